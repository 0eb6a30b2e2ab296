/* t_slice.c: a short slice is asked for, and nothing else changes. */
#include "sandbox/base/slice.h"

#include "tests/lib/tap.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

static struct attr get(void)
{
	struct attr a = {.size = sizeof(a)};

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0))
		a.size = 0;
	return a;
}

/* What f says in a child. */
static bool in_child(bool (*f)(void))
{
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(f() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static uint64_t usual_ns;

static bool is_as_usual(void)
{
	const struct attr a = get();

	return a.runtime_ns == usual_ns && a.policy == SCHED_OTHER;
}

static bool keeps_its_nice_value(void)
{
	if (setpriority(PRIO_PROCESS, 0, 7))
		return false;
	slice_short();
	return get().nice == 7 && getpriority(PRIO_PROCESS, 0) == 7;
}

static bool leaves_a_policy_alone(void)
{
	const struct sched_param p = {.sched_priority = 0};

	if (sched_setscheduler(0, SCHED_BATCH, &p))
		return false;
	slice_short();
	return sched_getscheduler(0) == SCHED_BATCH && !get().flags;
}

static bool is_inherited_by_none(void)
{
	slice_short();
	return in_child(is_as_usual);
}

static bool is_short(void)
{
	slice_short();
	return get().runtime_ns == 100000;
}

int main(void)
{
	usual_ns = get().runtime_ns;
	/* 0: a kernel that tells of no slice knows none */
	ok(!usual_ns || in_child(is_short), "a short slice is asked for");
	ok(in_child(is_inherited_by_none), "what is started has the usual");
	ok(in_child(keeps_its_nice_value), "nice stays what it was");
	ok(in_child(leaves_a_policy_alone), "so does a policy of somebody's choice");
	return tap_done();
}
