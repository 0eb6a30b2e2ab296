/* terminal.c: group T, terminals, signals, clocks and priorities. */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void type_into_terminal(struct finding *f, const struct probe *p)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), s = -1;
	char c = (char)p->args[0];

	if (p->nr != TIOCCONS && m >= 0 && !unlockpt(m))
		s = open(ptsname(m), O_RDWR | O_CLOEXEC);
	/* without a terminal the call is made all the same: the filter does not look at
	 * the fd; TIOCCONS would take the console's output away, so it never gets
	 * one */
	judge_call(f, syscall(SYS_ioctl, s, p->nr, &c));
}

static void has_terminal(struct finding *f, const struct probe *p)
{
	(void)p;
	found(f, probe_had_terminal ? OPEN : BLOCKED,
	      probe_had_terminal ? "yes" : "none");
}

static void signal_pid1(struct finding *f, const struct probe *p)
{
	siginfo_t info = {.si_signo = 0, .si_code = SI_QUEUE};

	if (p->nr == SYS_rt_sigqueueinfo)
		judge_call(f, syscall(p->nr, 1, 0, &info));
	else if (p->nr == SYS_tgkill)
		judge_call(f, syscall(p->nr, 1, 1, 0));
	else if (p->nr == SYS_tkill)
		judge_call(f, syscall(p->nr, 1, 0));
	else
		judge_call(f, kill(1, 0));
}

static void signal_by_pidfd(struct finding *f, const struct probe *p)
{
	long fd = syscall(SYS_pidfd_open, 1, 0);

	(void)p;
	judge_call(f, fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
}

/* Signal 0 to every process in sight but this one and the one that started it. */
static void signal_strangers(struct finding *f, const struct probe *p)
{
	DIR *d = opendir("/proc");
	const struct dirent *en;

	(void)p;
	found(f, d ? BLOCKED : UNKNOWN, "nobody else can be signalled");
	while (d && (en = readdir(d))) {
		pid_t pid = (pid_t)strtoll(en->d_name, NULL, 10);

		if (isdigit((unsigned char)en->d_name[0]) && pid != getpid() &&
		    pid != getppid() && !kill(pid, 0)) {
			found(f, OPEN, "pid %d", (int)pid);
			return;
		}
	}
}

static void many_timers(struct finding *f, const struct probe *p)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	long made = 0, id, r = 0;

	while (made < p->nr &&
	       !(r = syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id)))
		made++;
	judge_limit(f, r);
	if (f->verdict == BLOCKED)
		found(f, BLOCKED, "%s after %ld", strerrorname_np(errno), made);
}

static void raise_priority(struct finding *f, const struct probe *p)
{
	(void)p;
	judge_call(f, setpriority(PRIO_PROCESS, 0, -1));
}

static void real_time(struct finding *f, const struct probe *p)
{
	struct sched_param param = {.sched_priority = 1};

	judge_call(f, syscall(SYS_sched_setscheduler, 0, p->nr, &param));
}

/* struct sched_attr of sched_setattr(2): size, policy, flags, nice, priority, ... */
static void real_time_attr(struct finding *f, const struct probe *p)
{
	unsigned attr[12] = {48, SCHED_RR, 0, 0, 0, 1};

	(void)p;
	judge_call(f, syscall(SYS_sched_setattr, 0, attr, 0));
}

static void core_limit(struct finding *f, const struct probe *p)
{
	struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit((__rlimit_resource_t)p->nr, &l);
	if (l.rlim_max == (rlim_t)p->args[0])
		found(f, BLOCKED, "hard limit %ld", p->args[0]);
	else
		found(f, OPEN, "hard limit %ld", (long)l.rlim_max);
}

/* Gets itself more than the sandbox grants, less than an ordinary user has. */
static void raise_limit(struct finding *f, const struct probe *p)
{
	struct rlimit l = {(rlim_t)p->args[0], (rlim_t)p->args[0]};

	judge_call(f, setrlimit((__rlimit_resource_t)p->nr, &l));
}

static const struct timespec no_time = {0, -1};
static char timex[512] __attribute__((aligned(8))); /* modes 0: only asks */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_REAL_TIME (1L << 13)

const struct probe probes_terminal[] = {
	{.id = "T-01.tiocsti", .run = type_into_terminal, .nr = TIOCSTI, .args = {'x'}},
	{.id = "T-01.tioclinux",
	 .run = type_into_terminal,
	 .nr = TIOCLINUX,
	 .args = {6}},
	{.id = "T-01.tioccons", .run = type_into_terminal, .nr = TIOCCONS},
	{.id = "T-01.controlling_terminal", .run = has_terminal},
	{.id = "T-04.kill_pid1", .run = signal_pid1, .nr = SYS_kill},
	{.id = "T-04.sigqueue_pid1", .run = signal_pid1, .nr = SYS_rt_sigqueueinfo},
	{.id = "T-04.tgkill_pid1", .run = signal_pid1, .nr = SYS_tgkill},
	{.id = "T-04.tkill_pid1", .run = signal_pid1, .nr = SYS_tkill},
	{.id = "T-04.pidfd_signal_pid1", .run = signal_by_pidfd},
	{.id = "T-04.signal_strangers", .run = signal_strangers},
	CALL("T-06.clock_settime", SYS_clock_settime, CLOCK_REALTIME, (long)&no_time),
	CALL("T-06.settimeofday", SYS_settimeofday, 0, 0),
	CALL("T-06.adjtimex", SYS_adjtimex, (long)timex),
	CALL("T-06.clock_adjtime", SYS_clock_adjtime, CLOCK_REALTIME, (long)timex),
	{.id = "T-07.timers", .run = many_timers, .nr = 20000},
	{.id = "T-08.fifo", .run = real_time, .nr = SCHED_FIFO},
	{.id = "T-08.batch", .run = real_time, .nr = SCHED_BATCH},
	{.id = "T-08.real_time_attr", .run = real_time_attr},
	{.id = "T-08.nice", .run = raise_priority},
	CALL("T-08.io_priority", SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
	     IOPRIO_REAL_TIME),
	{.id = "T-10.core_size", .run = core_limit, .nr = RLIMIT_CORE, .args = {0}},
	{.id = "T-10.message_queues",
	 .run = core_limit,
	 .nr = RLIMIT_MSGQUEUE,
	 .args = {0}},
	{.id = "T-10.more_open_files",
	 .run = raise_limit,
	 .nr = RLIMIT_NOFILE,
	 .args = {2048}},
	{.id = "T-10.larger_files",
	 .run = raise_limit,
	 .nr = RLIMIT_FSIZE,
	 .args = {1L << 30}},
	{.id = "T-10.more_signals",
	 .run = raise_limit,
	 .nr = RLIMIT_SIGPENDING,
	 .args = {1024}},
	{.id = NULL},
};
