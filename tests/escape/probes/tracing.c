/* tracing.c: group K, keyrings, io_uring, bpf, perf, ptrace and pid 1. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS_KEYRING (-2L)
#define SESSION_KEYRING (-3L)
#define USER_KEYRING (-4L)
#define KEYCTL_GET_KEYRING_ID 0
#define KEYCTL_REVOKE 3

/* The junk key goes into a ring that dies with this process, and is revoked at once. */
static void add_key(struct finding *f, const struct probe *p)
{
	long key = syscall(SYS_add_key, "user", "probe", "x", 1, p->nr);

	judge_call(f, key);
	if (key > 0)
		syscall(SYS_keyctl, KEYCTL_REVOKE, key, 0, 0, 0);
}

static void load_bpf(struct finding *f, const struct probe *p)
{
	static const struct bpf_insn ret0[] = {{.code = 0xb7}, {.code = 0x95}};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	if (p->nr == BPF_PROG_LOAD) {
		a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
		a.insns = (uintptr_t)ret0;
		a.insn_cnt = 2;
		a.license = (uintptr_t) "GPL";
	} else {
		a.map_type = BPF_MAP_TYPE_ARRAY;
		a.key_size = a.value_size = 4;
		a.max_entries = 1;
	}
	judge_call(f, syscall(SYS_bpf, p->nr, &a, sizeof(a)));
}

static void open_perf(struct finding *f, const struct probe *p)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE,
				    .size = sizeof(a),
				    .config = PERF_COUNT_SW_TASK_CLOCK,
				    .disabled = 1,
				    .exclude_kernel = 1,
				    .exclude_hv = 1};

	(void)p;
	judge_call(f, syscall(SYS_perf_event_open, &a, 0, -1, -1, 0UL));
}

/* TRACEME is asked for by a child of this child, which then just ends: its parent reaps
 * it. */
static void trace_me(struct finding *f, const struct probe *p)
{
	pid_t pid = fork();
	int st;

	(void)p;
	if (!pid) {
		judge_call(f, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		_exit(0);
	}
	waitpid(pid, &st, 0);
}

static void seize(struct finding *f, const struct probe *p)
{
	pid_t pid = p->nr ? (pid_t)p->nr : fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	judge_call(f, ptrace(PTRACE_SEIZE, pid, NULL, NULL));
	if (!p->nr)
		kill(pid, SIGKILL);
	else if (f->verdict == OPEN)
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

/* nr: whose memory; 0 is our own child's, which is as good as anybody's for the
 * filter. */
static void read_memory(struct finding *f, const struct probe *p)
{
	char from[8] = "memory", to[8];
	struct iovec l = {to, sizeof(to)}, r = {from, sizeof(from)};
	pid_t pid = p->nr ? (pid_t)p->nr : fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	judge_call(f, process_vm_readv(pid, &l, 1, &r, 1, 0));
	if (!p->nr)
		kill(pid, SIGKILL);
}

static void write_memory(struct finding *f, const struct probe *p)
{
	char here[8] = "memory";
	struct iovec l = {here, sizeof(here)}, r = {here, sizeof(here)};

	(void)p;
	judge_call(f, process_vm_writev(getppid(), &l, 1, &r, 0, 0));
}

static void compare(struct finding *f, const struct probe *p)
{
	judge_call(f, syscall(SYS_kcmp, getpid(), p->nr ? p->nr : getpid(), 1, 0, 0));
}

static void take_fd(struct finding *f, const struct probe *p)
{
	long fd = syscall(SYS_pidfd_open, p->nr ? p->nr : getpid(), 0);

	judge_call(f, fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 0, 0));
}

/* MADV_COLD (20) on one of our own pages: no privilege is asked for that. */
static void advise(struct finding *f, const struct probe *p)
{
	static char page[8192] __attribute__((aligned(4096)));
	struct iovec v = {page, 4096};
	long fd = syscall(SYS_pidfd_open, getpid(), 0);

	(void)p;
	judge_call(f, fd < 0 ? -1 : syscall(SYS_process_madvise, fd, &v, 1, 20, 0));
}

static void set_prctl(struct finding *f, const struct probe *p)
{
	judge_call(f,
		   prctl((int)p->nr, p->args[0], p->args[1], p->args[2], p->args[3]));
}

#define NR_IO_URING_SETUP 425
#define NR_IO_URING_ENTER 426
#define NR_IO_URING_REGISTER 427
#define PR_PTRACER 0x59616d61
#define PR_MM 35
#define PR_MM_MAP_BYTES 15 /* only asks */
#define PR_SPECULATION 53
#define PR_DISPATCH 59
#define PR_CORE_SCHED 62
#define PID1(tag, file, mode)                                                          \
	{                                                                              \
		.id = "K-06." tag, .run = attack_open, .path = "/proc/1/" file,        \
		.nr = mode                                                             \
	}

static char buf[4096] __attribute__((aligned(64)));

const struct probe probes_tracing[] = {
	{.id = "K-01.add_key", .run = add_key, .nr = PROCESS_KEYRING},
	{.id = "K-01.add_key_session", .run = add_key, .nr = SESSION_KEYRING},
	CALL("K-01.keyctl_session", SYS_keyctl, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING,
	     0, 0, 0),
	CALL("K-01.keyctl_user", SYS_keyctl, KEYCTL_GET_KEYRING_ID, USER_KEYRING, 0, 0,
	     0),
	CALL("K-01.request_key", SYS_request_key, (long)"user", (long)"probe-none", 0,
	     0),
	CALL("K-02.io_uring_setup", NR_IO_URING_SETUP, 1, (long)buf),
	CALL("K-02.io_uring_enter", NR_IO_URING_ENTER, -1, 0, 0, 0, 0, 0),
	CALL("K-02.io_uring_register", NR_IO_URING_REGISTER, -1, 0, 0, 0),
	CALL("K-02.aio_setup", SYS_io_setup, 1, (long)(buf + 1024)),
	CALL("K-02.aio_submit", SYS_io_submit, 0, 0, 0),
	{.id = "K-03.bpf_program", .run = load_bpf, .nr = BPF_PROG_LOAD},
	{.id = "K-03.bpf_map", .run = load_bpf, .nr = BPF_MAP_CREATE},
	{.id = "K-04.perf_event", .run = open_perf},
	{.id = "K-05.traceme", .run = trace_me},
	{.id = "K-05.seize_child", .run = seize},
	{.id = "K-05.seize_pid1", .run = seize, .nr = 1},
	{.id = "K-05.read_memory_of_child", .run = read_memory},
	{.id = "K-05.read_memory_of_pid1", .run = read_memory, .nr = 1},
	{.id = "K-05.write_memory", .run = write_memory},
	{.id = "K-05.kcmp_self", .run = compare},
	{.id = "K-05.kcmp_pid1", .run = compare, .nr = 1},
	{.id = "K-05.pidfd_getfd_self", .run = take_fd},
	{.id = "K-05.pidfd_getfd_pid1", .run = take_fd, .nr = 1},
	{.id = "K-05.process_madvise", .run = advise},
	PID1("memory_of_pid1", "mem", O_RDWR),
	PID1("maps_of_pid1", "maps", O_RDONLY),
	PID1("environ_of_pid1", "environ", O_RDONLY),
	PID1("fds_of_pid1", "fd", O_RDONLY | O_DIRECTORY),
	PID1("fd0_of_pid1", "fd/0", O_RDONLY),
	PID1("root_of_pid1", "root", O_RDONLY | O_DIRECTORY),
	PID1("cwd_of_pid1", "cwd", O_RDONLY | O_DIRECTORY),
	PID1("map_files_of_pid1", "map_files", O_RDONLY | O_DIRECTORY),
	PID1("syscall_of_pid1", "syscall", O_RDONLY),
	PID1("auxv_of_pid1", "auxv", O_RDONLY),
	{.id = "K-08.ptracer", .run = set_prctl, .nr = PR_PTRACER, .args = {-1}},
	{.id = "K-08.dumpable", .run = set_prctl, .nr = PR_SET_DUMPABLE, .args = {1}},
	{.id = "K-08.tsc", .run = set_prctl, .nr = PR_SET_TSC, .args = {PR_TSC_ENABLE}},
	{.id = "K-08.speculation",
	 .run = set_prctl,
	 .nr = PR_SPECULATION,
	 .args = {0, 8}},
	{.id = "K-08.syscall_dispatch", .run = set_prctl, .nr = PR_DISPATCH},
	{.id = "K-08.memory_map_fields",
	 .run = set_prctl,
	 .nr = PR_MM,
	 .args = {PR_MM_MAP_BYTES, (long)buf, 0}},
	{.id = "K-08.core_scheduling",
	 .run = set_prctl,
	 .nr = PR_CORE_SCHED,
	 .args = {99}},
	{.id = NULL},
};
