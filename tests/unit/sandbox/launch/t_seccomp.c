/* t_seccomp.c: the filter's verdict on every call number and on arguments.
 *
 * The program is run in an interpreter of classic BPF, against tables written here from
 * the design's words, not from the filter's source: a rule that is missing, too wide or
 * too narrow differs. */
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#undef free /* for the names libseccomp allocates */

#define ALLOW SECCOMP_RET_ALLOW
#define KILL SECCOMP_RET_KILL_PROCESS
#define REFUSE(e) (SECCOMP_RET_ERRNO | (e))
#define BROKEN 0xdeadbeefU /* the interpreter's: the program itself is wrong */
#define X32 0x40000000
#define LAST_NUMBER 1023
#define HIGH (1ULL << 32)

static struct sock_fprog prog;

/* --- classic BPF, as far as seccomp_check_filter() allows it --------------------------- */

static bool jump(const struct sock_filter *i, uint32_t a)
{
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return a == i->k;
	case BPF_JGT:
		return a > i->k;
	case BPF_JGE:
		return a >= i->k;
	default:
		return (a & i->k) != 0;
	}
}

static uint32_t judge(const struct sock_fprog *f, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < f->len; pc++) {
		const struct sock_filter *i = &f->filter[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k % 4 || i->k > sizeof(*d) - 4)
				return BROKEN;
			memcpy(&a, (const char *)d + i->k, 4);
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += jump(i, a) ? i->jt : i->jf;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			return BROKEN;
		}
	}
	return BROKEN;
}

static uint32_t call(long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data d = {
		.nr = (int)nr, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2}};

	return judge(&prog, &d);
}

/* "allow", "EPERM", ...; two buffers, so that it can stand twice in one line. */
static const char *say(uint32_t verdict)
{
	static char text[2][32];
	static unsigned turn;
	char *s = text[turn++ & 1];
	const char *name = strerrorname_np((int)(verdict & SECCOMP_RET_DATA));

	if (verdict == ALLOW)
		return "allow";
	if (verdict == KILL)
		return "kill";
	if (verdict == BROKEN)
		return "a broken program";
	if ((verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO && name)
		return name;
	snprintf(s, sizeof(text[0]), "%#x", verdict);
	return s;
}

/* --- every number ---------------------------------------------------------------- */

/* What Python, Node, gcc, perl, tar and a shell need; whatever the arguments. */
/* clang-format off */
static const char *const allowed[] = {
	"accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk",
	"cachestat", "capget", "chdir", "chmod", "clock_getres", "clock_gettime",
	"clock_nanosleep", "close", "close_range", "connect", "copy_file_range",
	"creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl",
	"epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "execve",
	"execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64",
	"fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fcntl", "fdatasync",
	"fgetxattr", "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr",
	"fstat", "fstatfs", "fsync", "ftruncate", "futex", "futex_requeue",
	"futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_robust_list",
	"get_thread_area", "getcpu", "getcwd", "getdents", "getdents64", "getegid",
	"geteuid", "getgid", "getgroups", "getitimer", "getpeername", "getpgid",
	"getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
	"getresuid", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt",
	"gettid", "gettimeofday", "getuid", "getxattr", "getxattrat",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
	"ioprio_get", "kill", "landlock_add_rule", "landlock_create_ruleset",
	"landlock_restrict_self", "lgetxattr", "link", "linkat", "listen", "listxattr",
	"listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat",
	"madvise", "membarrier", "memfd_create", "mincore", "mkdir", "mkdirat", "mmap",
	"mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap",
	"nanosleep", "newfstatat", "open", "openat", "openat2", "pause", "pidfd_open",
	"pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free",
	"pkey_mprotect", "poll", "ppoll", "pread64", "preadv", "preadv2", "prlimit64",
	"pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
	"readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg", "removexattr",
	"removexattrat", "rename", "renameat", "renameat2", "restart_syscall", "rmdir",
	"rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
	"rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
	"sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_rr_get_interval", "sched_setaffinity", "sched_yield", "select",
	"sendfile", "sendmmsg", "sendmsg", "sendto", "set_robust_list",
	"set_thread_area", "set_tid_address", "setgid", "setitimer", "setpgid",
	"setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit",
	"setsid", "setsockopt", "setuid", "setxattr", "setxattrat", "shutdown",
	"sigaltstack", "signalfd", "signalfd4", "stat", "statfs", "statx", "symlink",
	"symlinkat", "sync_file_range", "sysinfo", "tgkill", "time", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
	"timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "tkill",
	"truncate", "umask", "uname", "unlink", "unlinkat", "utime", "utimensat",
	"utimes", "vfork", "wait4", "waitid", "write", "writev",
};
/* clang-format on */

/* As if the kernel did not have them: io_uring, clone3 and the new mount API. */
static const char *const absent[] = {
	"clone3",    "io_uring_setup", "io_uring_enter", "io_uring_register",
	"open_tree", "move_mount",     "fsopen",	 "fsconfig",
	"fsmount",   "fspick",	       "mount_setattr",	 "open_tree_attr",
};

/* Decided by their arguments, further down. */
static const char *const by_arguments[] = {"clone", "socket", "socketpair",
					   "ioctl", "prctl",  "personality"};

/* Numbers libseccomp may be too old to name (the same on every architecture). */
static const struct {
	long nr;
	const char *name;
} recent[] = {
	{451, "cachestat"},	    {452, "fchmodat2"},
	{453, "map_shadow_stack"},  {454, "futex_wake"},
	{455, "futex_wait"},	    {456, "futex_requeue"},
	{457, "statmount"},	    {458, "listmount"},
	{459, "lsm_get_self_attr"}, {460, "lsm_set_self_attr"},
	{461, "lsm_list_modules"},  {462, "mseal"},
	{463, "setxattrat"},	    {464, "getxattrat"},
	{465, "listxattrat"},	    {466, "removexattrat"},
	{467, "open_tree_attr"},
};
#define FIRST_RECENT 451
#define LAST_RECENT 467

static bool is_in(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}
#define IS_IN(list, name) is_in(list, ARRAY_LEN(list), name)

/* NULL where x86-64 has no such call. */
static const char *name_of(long nr)
{
	static char name[64];
	char *s;

	for (size_t i = 0; i < ARRAY_LEN(recent); i++)
		if (recent[i].nr == nr)
			return recent[i].name;
	s = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)nr);
	if (!s)
		return NULL;
	snprintf(name, sizeof(name), "%s", s);
	free(s);
	return name;
}

static void check_number(long nr)
{
	const char *name = name_of(nr);
	uint32_t got = call(nr, 0, 0, 0), want = REFUSE(EPERM);
	bool either = false;

	if (nr > LAST_RECENT) {
		want = REFUSE(ENOSYS);
	} else if (!name) {
		either = true; /* a gap in the table */
	} else if (IS_IN(by_arguments, name)) {
		return;
	} else if (IS_IN(allowed, name)) {
		/* where libseccomp cannot name it, it must at least look absent, never
		 * forbidden */
		either = seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR &&
			 got == REFUSE(ENOSYS);
		want = ALLOW;
	} else if (IS_IN(absent, name)) {
		want = REFUSE(ENOSYS);
	} else if (nr >= FIRST_RECENT) {
		either =
			true; /* callers of calls this young cope with either refusal */
	}
	if (either)
		ok(got == REFUSE(EPERM) || got == REFUSE(ENOSYS),
		   "%ld %s is refused: %s", nr, name ? name : "(none)", say(got));
	else
		ok(got == want, "%ld %s: want %s, got %s", nr, name ? name : "(none)",
		   say(want), say(got));
}

static void check_architectures(void)
{
	static const uint32_t others[] = {
		AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_AARCH64, AUDIT_ARCH_MIPS, 0,
		UINT32_MAX};
	static const long numbers[] = {0,   1,	 11,  20,  39,	       59,
				       102, 425, 435, 600, LAST_NUMBER};
	bool all = true;

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
			struct seccomp_data d = {.nr = (int)numbers[k],
						 .arch = others[i]};
			uint32_t got = judge(&prog, &d);

			if (got != KILL)
				all = ok(0, "arch %#x call %ld: %s", others[i],
					 numbers[k], say(got));
		}
	ok(all, "every other architecture is killed");
	all = true;
	for (long nr = 0; nr <= LAST_NUMBER; nr++)
		all = all && call(X32 | nr, 0, 0, 0) == KILL;
	ok(all, "every call with the x32 bit is killed");
	ok(call(-1, 0, 0, 0) != ALLOW, "call -1 is not allowed");
	ok(call(INT32_MIN, 0, 0, 0) != ALLOW, "the lowest number is not allowed");
}

/* --- arguments ------------------------------------------------------------------- */

static void check_clone(void)
{
	static const uint64_t forbidden[] = {
		CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
		CLONE_NEWUSER, CLONE_NEWPID,	CLONE_NEWNET, CLONE_PARENT};
	static const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES |
				       CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				       CLONE_SETTLS | CLONE_PARENT_SETTID |
				       CLONE_CHILD_CLEARTID;

	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		uint64_t f = forbidden[i];

		ok(call(SYS_clone, f | SIGCHLD, 0, 0) == REFUSE(EPERM), "clone(%#jx)",
		   (uintmax_t)f);
		ok(call(SYS_clone, f | thread, 0, 0) == REFUSE(EPERM),
		   "clone(%#jx | thread)", (uintmax_t)f);
		ok(call(SYS_clone, f | HIGH << 8 | SIGCHLD, 0, 0) == REFUSE(EPERM),
		   "clone(%#jx) with high bits", (uintmax_t)f);
	}
	ok(call(SYS_clone, SIGCHLD, 0, 0) == ALLOW, "clone as fork");
	ok(call(SYS_clone, thread, 0, 0) == ALLOW, "clone as pthread_create");
	ok(call(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0) == ALLOW,
	   "clone as vfork");
	ok(call(SYS_clone, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0, 0) ==
		   ALLOW,
	   "clone as glibc's fork");
}

/* All commands there are but two: who opens a file waits for its lease. */
static void check_fcntl(void)
{
	bool all = true;

	for (uint64_t cmd = 0; cmd < 2048; cmd++) {
		const bool lease = cmd == F_SETLEASE || cmd == F_SETLEASE + 16;
		const uint32_t want = lease ? REFUSE(EPERM) : ALLOW;

		if (call(SYS_fcntl, 3, cmd, 0) != want ||
		    call(SYS_fcntl, 3, cmd | HIGH, 0) != want)
			all = ok(0, "fcntl %ju", (uintmax_t)cmd);
	}
	ok(all, "fcntl takes all commands but leases, whatever the high bits are");
}

static bool is_tcp(uint64_t family, uint64_t type, uint64_t proto)
{
	return (family == 2 || family == 10) && (type & 0xf) == 1 &&
	       (proto == 0 || proto == 6);
}

static bool is_no_such(uint32_t verdict)
{
	return verdict == REFUSE(EAFNOSUPPORT) || verdict == REFUSE(EPROTONOSUPPORT) ||
	       verdict == REFUSE(ESOCKTNOSUPPORT);
}

/* All families, types with and without flags, and protocols; one line per family. */
static void check_family(uint64_t family)
{
	static const uint64_t flags[] = {0, 02000000, 04000, 02004000};
	char bad[200] = "";

	for (uint64_t type = 0; type < 16; type++)
		for (size_t k = 0; k < ARRAY_LEN(flags); k++)
			for (uint64_t proto = 0; proto <= 300; proto++) {
				uint32_t got = call(SYS_socket, family, type | flags[k],
						    proto);
				bool right = is_no_such(got);

				if (family == 1 || is_tcp(family, type, proto))
					right = got == ALLOW;
				else if (family != 2 && family != 10)
					right = got == REFUSE(EAFNOSUPPORT);
				if (!right && !bad[0])
					snprintf(bad, sizeof(bad),
						 ", but type %ju protocol %ju: %s",
						 (uintmax_t)type, (uintmax_t)proto,
						 say(got));
			}
	ok(!bad[0], "socket family %ju: %s%s", (uintmax_t)family,
	   family == 1			 ? "all"
	   : family == 2 || family == 10 ? "TCP only"
					 : "EAFNOSUPPORT",
	   bad);
}

static void check_sockets(void)
{
	static const uint64_t looks_like_tcp[] = {2, 10, HIGH | 2, HIGH | 10};
	bool none = true;

	for (uint64_t family = 0; family <= 50; family++)
		check_family(family);
	ok(call(SYS_socket, 255, 1, 0) == REFUSE(EAFNOSUPPORT), "socket family 255");
	/* the kernel reads the low 32 bits of each argument */
	for (size_t i = 0; i < ARRAY_LEN(looks_like_tcp); i++) {
		uint64_t f = looks_like_tcp[i];

		none = none && call(SYS_socket, f, 1, HIGH | 262) != ALLOW &&
		       call(SYS_socket, f, HIGH | 1, 262) != ALLOW &&
		       call(SYS_socket, f, HIGH | 3, 0) != ALLOW &&
		       call(SYS_socket, f, HIGH | 2, 0) != ALLOW;
	}
	for (uint64_t f = 0; f <= 50; f++)
		none = none && (f == 1 || f == 2 || f == 10 ||
				call(SYS_socket, HIGH | f, 1, 0) != ALLOW);
	ok(none, "bits above the 32nd open no other socket");
	ok(call(SYS_socketpair, 1, 1, 0) == ALLOW, "socketpair of AF_UNIX");
	none = true;
	for (uint64_t f = 0; f <= 50; f++)
		none = none && (f == 1 || call(SYS_socketpair, f, 1, 0) != ALLOW);
	ok(none, "socketpair of no other family");
}

/* Terminal queries and settings, FIONREAD, FIONBIO, FIOCLEX and pty handling. */
static const uint64_t ioctls[] = {
	0x5401, 0x5402, 0x5403, 0x5404, 0x540b, 0x540e, 0x540f, 0x5410,	    0x5413,
	0x5414, 0x541b, 0x5421, 0x5429, 0x5441, 0x5450, 0x5451, 0x80045430, 0x40045431};
static const uint64_t prctls[] = {1,  2,  3,  4,  7,  15, 16, 21, 23,
				  29, 30, 36, 37, 38, 39, 41, 42, 0x53564d41};

static bool holds(const uint64_t *list, size_t n, uint64_t v)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == v)
			return true;
	return false;
}

static void check_ioctl(uint64_t cmd, const char *what)
{
	uint32_t want = holds(ioctls, ARRAY_LEN(ioctls), cmd) ? ALLOW : REFUSE(EPERM);
	uint32_t got = call(SYS_ioctl, 0, cmd, 0),
		 high = call(SYS_ioctl, 0, HIGH | cmd, 0);

	ok(got == want, "ioctl %#jx %s: want %s, got %s", (uintmax_t)cmd, what,
	   say(want), say(got));
	ok(high == want, "ioctl %#jx with high bits: want %s, got %s", (uintmax_t)cmd,
	   say(want), say(high));
}

static void check_ioctls(void)
{
	static const struct {
		uint64_t cmd;
		const char *what;
	} named[] = {
		{0x40049409, "FICLONE"},       {0x4020940d, "FICLONERANGE"},
		{0xc0189436, "FIDEDUPERANGE"}, {0x40086602, "FS_IOC_SETFLAGS"},
		{0x8914, "SIOCSIFFLAGS"},      {0x8912, "SIOCGIFCONF"},
		{0x8933, "SIOCGIFINDEX"},      {0xae01, "KVM_CREATE_VM"},
		{0x400454ca, "TUNSETIFF"},     {0x4b3a, "KDSETMODE"},
		{0xc0045877, "FIFREEZE"},      {0x40085203, "RNDADDENTROPY"},
		{0xb701, "NS_GET_USERNS"},     {0x80045430, "TIOCGPTN"},
		{0x40045431, "TIOCSPTLCK"},    {0, "0"},
		{UINT32_MAX, "all ones"},
	};

	for (uint64_t cmd = 0x5400; cmd <= 0x546f; cmd++)
		check_ioctl(cmd, cmd == 0x5412	 ? "TIOCSTI"
				 : cmd == 0x541c ? "TIOCLINUX"
				 : cmd == 0x541d ? "TIOCCONS"
						 : "");
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		check_ioctl(named[i].cmd, named[i].what);
}

static void check_prctl(uint64_t option)
{
	uint32_t want =
		holds(prctls, ARRAY_LEN(prctls), option) ? ALLOW : REFUSE(EPERM);
	uint32_t got = call(SYS_prctl, option, 0, 0),
		 high = call(SYS_prctl, HIGH | option, 0, 0);

	ok(got == want, "prctl %ju: want %s, got %s", (uintmax_t)option, say(want),
	   say(got));
	ok(want == ALLOW || high == want, "prctl %ju with high bits: %s",
	   (uintmax_t)option, say(high));
}

static void check_personality(void)
{
	static const uint64_t worlds[] = {0x0040000, 0x0080000, 0x0100000,
					  0x0200000, 0x0400000, 0x0800000,
					  0x1000000, 0x2000000, 0x4000000,
					  0x8000000, 8,		HIGH | 0x0040000};

	ok(call(SYS_personality, UINT32_MAX, 0, 0) == ALLOW,
	   "personality may be asked");
	for (size_t i = 0; i < ARRAY_LEN(worlds); i++)
		ok(call(SYS_personality, worlds[i], 0, 0) == REFUSE(EPERM),
		   "personality(%#jx) may not be set", (uintmax_t)worlds[i]);
}

/* --- the whole ------------------------------------------------------------------- */

static void check_extra(void)
{
	static const char *const extra[] = {"mlock", NULL};
	struct sock_fprog wider;
	struct err e = {0};
	unsigned differ = 0;

	if (!ok(!launch_filter_build(extra, &wider, &e), "a runtime's extra call: %s",
		e.cause))
		return;
	for (long nr = 0; nr <= LAST_NUMBER; nr++) {
		struct seccomp_data d = {.nr = (int)nr, .arch = AUDIT_ARCH_X86_64};

		differ += judge(&wider, &d) != call(nr, 0, 0, 0);
		if (nr == SYS_mlock)
			ok(judge(&wider, &d) == ALLOW, "the extra call is allowed");
	}
	ok(differ == 1, "and nothing else changed (%u differ)", differ);
	mem_free(wider.filter);
}

static void check_no_memory(void)
{
	struct sock_fprog p = {.len = 7, .filter = NULL};
	struct err e = {0};

	mem_fail_after(1);
	ok(launch_filter_build(NULL, &p, &e) == -1 && e.code == ERR_LIMIT && p.len == 7,
	   "without memory there is an error, and nothing was written");
	mem_fail_after(0);
}

/* The interpreter may be wrong; the kernel has the last word. */
static void check_kernel(void)
{
	int st = 0;
	pid_t pid = fork();

	if (!pid) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
			_exit(1);
		if (syscall(SYS_getppid) <= 0)
			_exit(2);
		if (syscall(SYS_keyctl, 0, -3, 0) != -1 || errno != EPERM)
			_exit(3);
		if (syscall(SYS_socket, 16, 3, 0) != -1 || errno != EAFNOSUPPORT)
			_exit(4);
		if (syscall(LAST_NUMBER) != -1 || errno != ENOSYS)
			_exit(5);
		syscall(X32 | SYS_getpid);
		_exit(6);
	}
	waitpid(pid, &st, 0);
	ok(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS,
	   "the kernel takes the program and agrees with the interpreter (stage %d)",
	   WIFEXITED(st) ? WEXITSTATUS(st) : 0);
}

int main(void)
{
	struct err e = {0};

	if (!ok(!launch_filter_build(NULL, &prog, &e), "the filter is built: %s",
		e.cause))
		return tap_done();
	ok(prog.len > 100 && prog.len <= BPF_MAXINSNS, "it has %u instructions",
	   prog.len);
	for (long nr = 0; nr <= LAST_NUMBER; nr++)
		check_number(nr);
	check_architectures();
	check_clone();
	check_fcntl();
	check_sockets();
	check_ioctls();
	for (uint64_t option = 0; option <= 100; option++)
		check_prctl(option);
	check_prctl(0x53564d41);
	check_prctl(0x59616d61);
	check_personality();
	check_extra();
	check_no_memory();
	check_kernel();
	mem_free(prog.filter);
	return tap_done();
}
