/* slice.c: asks for short slices. */
#include "sandbox/base/slice.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS 100000 /* the shortest there is */
#define NORMAL 0 /* the policy, SCHED_OTHER */
#define RESET_ON_FORK 1

/* As of linux/sched/types.h; not every C library lets that be included. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

void slice_short(void)
{
	struct attr a = {.size = sizeof(a)};

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) || a.policy != NORMAL)
		return;
	a.size = sizeof(a);
	a.flags = RESET_ON_FORK;
	a.runtime_ns = SLICE_NS;
	/* refused or not known: then it is as it was */
	syscall(SYS_sched_setattr, 0, &a, 0);
}
