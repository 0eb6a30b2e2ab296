/* calls.c: group S, system calls and ABIs. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* int 0x80: the 32-bit entry, whose numbers a filter for 64-bit ones does not know. */
static void enter_by_int80(struct finding *f, const struct probe *p)
{
#if defined(__x86_64__)
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(p->nr)
			 : "memory", "r8", "r9", "r10", "r11");
	errno = r < 0 ? (int)-r : 0;
	judge_call(f, r < 0 ? -1 : r);
#else
	(void)p;
	found(f, BLOCKED, "this machine has no such entry");
#endif
}

/* Numbers the kernel may have but no list knows yet: each with arguments of 0. nr 1:
 * each must be answered as if the kernel had it not, so that C libraries fall back. */
static void call_each(struct finding *f, const struct probe *p)
{
	found(f, BLOCKED, p->nr ? "all ENOSYS" : "all refused");
	for (long nr = p->args[0]; nr <= p->args[1]; nr++) {
		errno = 0;
		if (syscall(nr, 0, 0, 0, 0, 0, 0) < 0 &&
		    (errno == ENOSYS || (errno == EPERM && !p->nr)))
			continue;
		found(f, OPEN, "%ld: %s", nr, errno ? strerrorname_np(errno) : "done");
		return;
	}
}

static int own_terminal(bool controlling)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	const char *name;

	if (m < 0 || unlockpt(m))
		return -1;
	name = ptsname(m);
	return name ? open(name, O_RDWR | O_CLOEXEC | (controlling ? 0 : O_NOCTTY))
		    : -1;
}

/* Where no terminal can be had (or not ours), the call is made all the same: the filter
 * judges before the descriptor is looked at, and EBADF or ENOTTY then says it let the
 * command through. */
static void terminal_command(struct finding *f, const struct probe *p)
{
	char c[16] = {(char)p->args[1]};
	int fd = own_terminal(true);

	judge_call(f, syscall(SYS_ioctl, fd, p->args[0], c));
}

static void clone_flags(struct finding *f, const struct probe *p)
{
	long r = syscall(SYS_clone, (unsigned long)p->nr | SIGCHLD, 0, 0, 0, 0);

	if (!r)
		_exit(0);
	if (r < 0 && errno == ENOSPC)
		found(f, BLOCKED, "ENOSPC");
	else
		judge_call(f, r);
}

static long add_filter(unsigned flags, uint32_t action)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, action)};
	struct sock_fprog prog = {.len = 1, .filter = all};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

/* A second filter that allows all must not undo the first. */
static void loosen_filter(struct finding *f, const struct probe *p)
{
	(void)p;
	add_filter(0, SECCOMP_RET_ALLOW);
	judge_call(f, syscall(SYS_personality, ADDR_NO_RANDOMIZE));
}

static void become_supervisor(struct finding *f, const struct probe *p)
{
	(void)p;
	judge_call(f, add_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_ALLOW));
}

static void add_filter_by_prctl(struct finding *f, const struct probe *p)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {.len = 1, .filter = all};

	(void)p;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	judge_call(f, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0));
}

/* Moves one byte through pipes by the call nr names. */
static void move_pages(struct finding *f, const struct probe *p)
{
	struct iovec v = {(char[]){"x"}, 1};
	int a[2], b[2];
	long r;

	if (pipe(a) || pipe(b) || write(a[1], "x", 1) != 1)
		return;
	if (p->nr == SYS_vmsplice)
		r = syscall(p->nr, b[1], &v, 1, 0);
	else if (p->nr == SYS_tee)
		r = syscall(p->nr, a[0], b[1], 1, 0);
	else
		r = syscall(p->nr, a[0], NULL, b[1], NULL, 1, 0);
	judge_call(f, r);
}

static void map_writable_code(struct finding *f, const struct probe *p)
{
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)p;
	judge_call(f, m == MAP_FAILED ? -1 : 0);
}

static void run_from_memory(struct finding *f, const struct probe *p)
{
	static const char script[] = "#!/bin/sh\nexit 42\n";
	char *argv[] = {(char[]){"memory"}, NULL}, *envp[] = {NULL};
	int fd = (int)syscall(SYS_memfd_create, "memory", 0), st = 0;
	pid_t pid;

	(void)p;
	if (fd < 0 || write(fd, script, sizeof(script) - 1) < 0) {
		judge_call(f, -1);
		return;
	}
	pid = fork();
	if (!pid) {
		fexecve(fd, argv, envp);
		_exit(1);
	}
	waitpid(pid, &st, 0);
	if (WIFEXITED(st) && WEXITSTATUS(st) == 42)
		found(f, OPEN, "ran");
	else
		found(f, BLOCKED, "did not run");
}

static void lock_memory(struct finding *f, const struct probe *p)
{
	static char block[128 << 10];

	if (p->nr == SYS_mlockall)
		judge_limit(f, syscall(p->nr, MCL_CURRENT));
	else
		judge_limit(f, syscall(p->nr, block, sizeof(block), 0));
}

static void modify_ldt(struct finding *f, const struct probe *p)
{
	char entry[16] = {0};

#if defined(SYS_modify_ldt)
	judge_call(f, syscall(SYS_modify_ldt, p->nr, entry, sizeof(entry)));
#else
	(void)p;
	found(f, BLOCKED, "this machine has no such call");
#endif
	(void)entry;
}

#define CLONE_HIGH (1L << 40)
#define TIOCSTI_HIGH (0x5412L | 1L << 32)
#define TIOCLINUX_HIGH (0x541cL | 0xffL << 32)
#define NR_USERFAULTFD 323
#define NR_MEMFD_SECRET 447
#define NR_KEXEC_FILE_LOAD 320
#define NR_MEMPOLICY_HOME 450

static char buf[4096];

const struct probe probes_calls[] = {
	{.id = "S-01.int80", .run = enter_by_int80, .nr = 20},
	CALL("S-02.x32", 0x40000000L | 39, 0),
	{.id = "S-04.newer_calls", .run = call_each, .args = {468, 480}},
	{.id = "S-04.unknown_calls", .run = call_each, .nr = 1, .args = {481, 1023}},
	{.id = "S-05.tiocsti_high_bits",
	 .run = terminal_command,
	 .args = {TIOCSTI_HIGH, 'x'}},
	{.id = "S-05.tioclinux_high_bits",
	 .run = terminal_command,
	 .args = {TIOCLINUX_HIGH, 6}},
	CALL("S-06.read_implies_exec", SYS_personality, READ_IMPLIES_EXEC),
	CALL("S-06.no_randomize", SYS_personality, ADDR_NO_RANDOMIZE),
	CALL("S-06.personality_high_bits", SYS_personality,
	     1L << 32 | ADDR_NO_RANDOMIZE),
	{.id = "S-07.clone_mount", .run = clone_flags, .nr = CLONE_NEWNS},
	{.id = "S-07.clone_net", .run = clone_flags, .nr = CLONE_NEWNET},
	{.id = "S-07.clone_pid", .run = clone_flags, .nr = CLONE_NEWPID},
	{.id = "S-07.clone_ipc", .run = clone_flags, .nr = CLONE_NEWIPC},
	{.id = "S-07.clone_uts", .run = clone_flags, .nr = CLONE_NEWUTS},
	{.id = "S-07.clone_cgroup", .run = clone_flags, .nr = CLONE_NEWCGROUP},
	/* a child of the guest's, or of the zygote's */
	{.id = "S-07.clone_parent", .run = clone_flags, .nr = CLONE_PARENT},
	{.id = "S-07.clone_high_bits",
	 .run = clone_flags,
	 .nr = CLONE_NEWUSER | CLONE_HIGH},
	{.id = "S-08.loosen_filter", .run = loosen_filter},
	{.id = "S-08.listener", .run = become_supervisor},
	{.id = "S-08.filter_by_prctl", .run = add_filter_by_prctl},
	CALL("S-09.kexec_load", SYS_kexec_load, 0, 0, 0, 0xfff0),
	CALL("S-09.kexec_file_load", NR_KEXEC_FILE_LOAD, -1, -1, 0, 0, 0xfff0),
	CALL("S-09.init_module", SYS_init_module, (long)buf, 0, (long)""),
	CALL("S-09.finit_module", SYS_finit_module, -1, (long)"", 0),
	CALL("S-09.delete_module", SYS_delete_module, (long)"probe_no_such_module",
	     O_NONBLOCK),
	CALL("S-09.reboot", SYS_reboot, 0, 0, 0, 0),
	CALL("S-09.swapon", SYS_swapon, (long)"./no-such-file", 0),
	CALL("S-09.swapoff", SYS_swapoff, (long)"./no-such-file"),
	CALL("S-09.acct", SYS_acct, (long)"./no-such-file"),
	CALL("S-09.iopl", SYS_iopl, 3),
	CALL("S-09.ioperm", SYS_ioperm, 0x80, 1, 1),
	CALL("S-09.sethostname", SYS_sethostname, (long)"probe", 5),
	CALL("S-09.setdomainname", SYS_setdomainname, (long)"probe", 5),
	CALL("S-09.vhangup", SYS_vhangup, 0),
	CALL("S-09.syslog", SYS_syslog, 10, 0, 0),
	CALL("S-09.quotactl", SYS_quotactl, 0x80000100L | 0x7f, (long)"/", 0, 0),
	CALL("S-09.setgroups", SYS_setgroups, 0, 0),
	CALL("S-10.userfaultfd", NR_USERFAULTFD, 0),
	CALL("S-10.userfaultfd_user_mode", NR_USERFAULTFD, 1),
	CALL("S-10.memfd_secret", NR_MEMFD_SECRET, 0),
	CALL("S-10.move_pages", SYS_move_pages, 0, 0, 0, 0, 0, 0),
	CALL("S-10.migrate_pages", SYS_migrate_pages, 0, 0, 0, 0),
	CALL("S-10.mbind", SYS_mbind, 0, 0, 0, 0, 0, 0),
	CALL("S-10.set_mempolicy", SYS_set_mempolicy, 0, 0, 0),
	CALL("S-10.get_mempolicy", SYS_get_mempolicy, 0, 0, 0, 0, 0),
	CALL("S-10.mempolicy_home_node", NR_MEMPOLICY_HOME, 0, 0, 0, 0),
	CALL("S-10.remap_file_pages", SYS_remap_file_pages, 0, 0, 0, 0, 0),
	{.id = "S-10.splice", .run = move_pages, .nr = SYS_splice},
	{.id = "S-10.tee", .run = move_pages, .nr = SYS_tee},
	{.id = "S-10.vmsplice", .run = move_pages, .nr = SYS_vmsplice},
	{.id = "S-10.modify_ldt", .run = modify_ldt, .nr = 0},
	CALL("S-10.shmget", SYS_shmget, 0, 4096, 0600),
	CALL("S-10.msgget", SYS_msgget, 0, 0600),
	CALL("S-10.semget", SYS_semget, 0, 1, 0600),
	CALL("S-10.mq_open", SYS_mq_open, (long)"no-such-queue", O_RDWR, 0, 0),
	{.id = "S-11.writable_code", .run = map_writable_code},
	{.id = "S-11.run_from_memory", .run = run_from_memory},
	{.id = "S-12.mlock", .run = lock_memory, .nr = SYS_mlock},
	{.id = "S-12.mlock2", .run = lock_memory, .nr = SYS_mlock2},
	{.id = "S-12.mlockall", .run = lock_memory, .nr = SYS_mlockall},
	{.id = NULL},
};
