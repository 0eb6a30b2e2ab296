/* seccomp.c: the program's system calls: a list of what is allowed; everything else is refused.
 *
 * Default EPERM. A wrong architecture (int 0x80) or the x32 bit kills the process. ENOSYS, so that
 * C libraries fall back to older calls: clone3 (its flags are behind a pointer a filter cannot
 * read), io_uring, the new mount API, and whatever is newer than this list knows.
 * Not allowed on purpose: user namespaces, mounts, ptrace and process_vm_*, keyrings, bpf, perf,
 * userfaultfd, modules, kexec, clocks, SysV IPC and message queues, aio, quota, swap, splice tee
 * vmsplice (the page-cache write bugs of 2026 start there), mknod, chown, mlock, real-time
 * scheduling, leases on files (who opens one waits for its holder, up to 45 s, and files that sandboxes share may belong
 * to their user), children for one's parent (that is the guest, or the zygote of other runs; such a child, unreaped, keeps
 * its room from ending). sendfile and copy_file_range stay: cp, Python and Node need them. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* words, grouped */
/* clang-format off */
static const char *const allowed[] = {
	/* files */
	"access", "chdir", "chmod", "close", "close_range", "copy_file_range", "creat", "dup",
	"dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod",
	"fchmodat", "fchmodat2", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock",
	"fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat",
	"getcwd", "getdents", "getdents64", "getxattr", "getxattrat", "inotify_add_watch",
	"inotify_init", "inotify_init1", "inotify_rm_watch", "lgetxattr", "link", "linkat",
	"listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat",
	"mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv",
	"preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
	"readlinkat", "readv", "removexattr", "removexattrat", "rename", "renameat",
	"renameat2", "rmdir", "sendfile", "setxattr", "setxattrat", "stat", "statfs", "statx",
	"symlink", "symlinkat", "sync_file_range", "truncate", "umask", "unlink", "unlinkat",
	"utime", "utimensat", "utimes", "write", "writev", "cachestat",
	/* memory */
	"brk", "madvise", "membarrier", "memfd_create", "mincore", "mmap", "mprotect", "mremap",
	"mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
	"pkey_mprotect",
	/* processes, threads, signals */
	"alarm", "capget", "execve", "execveat", "exit", "exit_group", "fork", "futex",
	"futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
	"get_thread_area", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpgid",
	"getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit",
	"getrusage", "getsid", "gettid", "getuid", "ioprio_get", "kill", "pause", "pidfd_open",
	"pidfd_send_signal", "prlimit64", "restart_syscall", "rseq", "rt_sigaction",
	"rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max",
	"sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
	"sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_yield",
	"set_robust_list", "set_thread_area", "set_tid_address", "setgid", "setitimer",
	"setpgid", "setpriority", "setregid", "setresgid", "setresuid", "setreuid",
	"setrlimit", "setsid", "setuid", "sigaltstack", "tgkill", "tkill", "vfork", "wait4",
	"waitid", "arch_prctl",
	/* it may only tighten what it has */
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
	/* time */
	"clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time",
	"timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
	"timerfd_create", "timerfd_gettime", "timerfd_settime", "times",
	/* waiting and pipes */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
	"epoll_wait", "eventfd", "eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6",
	"select", "signalfd", "signalfd4",
	/* sockets: which families, and sending, is decided below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
	"listen", "recvfrom", "recvmmsg", "recvmsg", "setsockopt", "shutdown",
	/* the machine, as far as it shows */
	"getcpu", "getrandom", "sysinfo", "uname",
};

/* Answered as by a kernel that does not have them. */
static const char *const absent[] = {
	"clone3",	"io_uring_setup", "io_uring_enter", "io_uring_register", "open_tree",
	"move_mount",	"fsopen",	  "fsconfig",	    "fsmount",		 "fspick",
	"mount_setattr", "open_tree_attr", "listmount",	    "statmount",
};

static const unsigned long prctls[] = {
	PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME,
	PR_GET_NAME, PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, PR_SET_NO_NEW_PRIVS,
	PR_GET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER, PR_GET_SECCOMP,
	PR_GET_KEEPCAPS, PR_CAPBSET_READ, PR_GET_THP_DISABLE, PR_SET_THP_DISABLE,
	0x53564d41 /* PR_SET_VMA: names for memory maps */,
};

/* Terminal queries and settings, FIONREAD, FIONBIO, FIOCLEX and pty handling. Not TIOCSTI (types
 * into the terminal), TIOCLINUX, FICLONE. */
static const unsigned long ioctls[] = {
	0x5401 /* TCGETS */,	 0x5402 /* TCSETS */,	  0x5403 /* TCSETSW */,
	0x5404 /* TCSETSF */,	 0x540b /* TCFLSH */,	  0x540f /* TIOCGPGRP */,
	0x5410 /* TIOCSPGRP */,	 0x5413 /* TIOCGWINSZ */, 0x5414 /* TIOCSWINSZ */,
	0x541b /* FIONREAD */,	 0x5421 /* FIONBIO */,	  0x5450 /* FIONCLEX */,
	0x5451 /* FIOCLEX */,	 0x5429 /* TIOCGSID */,	  0x540e /* TIOCSCTTY */,
	0x80045430 /* TIOCGPTN */, 0x40045431 /* TIOCSPTLCK */, 0x5441 /* TIOCGPTPEER */,
};
/* clang-format on */

#define CLONE_FORBIDDEN                                                                \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |    \
	 CLONE_NEWUTS | CLONE_NEWCGROUP | 0x80 /* CLONE_NEWTIME */ | CLONE_PARENT)

/* Calls libseccomp 2.5 cannot name; the numbers are the same on every architecture. */
static int resolve(const char *name)
{
	static const struct {
		const char *name;
		int nr;
	} recent[] = {{"mseal", 462},	      {"setxattrat", 463},
		      {"getxattrat", 464},    {"listxattrat", 465},
		      {"removexattrat", 466}, {"open_tree_attr", 467}};
	int nr = seccomp_syscall_resolve_name(name);

	for (size_t i = 0; nr == __NR_SCMP_ERROR && i < ARRAY_LEN(recent); i++)
		if (!strcmp(name, recent[i].name))
			nr = recent[i].nr;
	return nr;
}

/* Every libseccomp call below returns 0 or a negative errno; the sum stays 0 when all went well. */
static int allow_names(scmp_filter_ctx x, const char *const *names, size_t n)
{
	int bad = 0;

	for (size_t i = 0; i < n && names[i]; i++) {
		int nr = resolve(names[i]);

		/* a name this libseccomp does not know stays forbidden */
		if (nr != __NR_SCMP_ERROR)
			bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, nr, 0);
	}
	return bad;
}

/* TCP only: of a stream socket protocol 262 would be MPTCP, 256 SMC. */
static int add_inet(scmp_filter_ctx x, unsigned family)
{
	const uint32_t no_family = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	const uint32_t no_protocol = SCMP_ACT_ERRNO(EPROTONOSUPPORT);
	const struct scmp_arg_cmp here = SCMP_A0(SCMP_CMP_EQ, family);
	const struct scmp_arg_cmp stream =
		SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM);
	int bad = 0;

	for (unsigned proto = 0; proto <= 6; proto++)
		bad |= seccomp_rule_add(x, proto % 6 ? no_protocol : SCMP_ACT_ALLOW,
					SCMP_SYS(socket), 3, here, stream,
					SCMP_A2(SCMP_CMP_EQ, proto));
	bad |= seccomp_rule_add(x, no_protocol, SCMP_SYS(socket), 3, here, stream,
				SCMP_A2(SCMP_CMP_GT, 6));
	for (unsigned type = 0; type < 16; type++)
		if (type != SOCK_STREAM)
			bad |= seccomp_rule_add(x, no_family, SCMP_SYS(socket), 2, here,
						SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, type));
	return bad;
}

static int add_sockets(scmp_filter_ctx x)
{
	const uint32_t no_family = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int bad = add_inet(x, AF_INET) | add_inet(x, AF_INET6);

	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	/* not EPERM: resolvers take EAFNOSUPPORT as "this machine has none" and go on */
	bad |= seccomp_rule_add(x, no_family, SCMP_SYS(socket), 1,
				SCMP_A0(SCMP_CMP_GT, AF_INET6));
	bad |= seccomp_rule_add(x, no_family, SCMP_SYS(socket), 1,
				SCMP_A0(SCMP_CMP_EQ, 0));
	for (unsigned family = AF_INET + 1; family < AF_INET6; family++)
		bad |= seccomp_rule_add(x, no_family, SCMP_SYS(socket), 1,
					SCMP_A0(SCMP_CMP_EQ, family));
	/* no out-of-band data: of no use here, and where AF_UNIX's bugs were (CVE-2025-38236) */
	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1,
				SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_OOB, 0));
	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_OOB, 0));
	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(sendmmsg), 1,
				SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_OOB, 0));
	return bad;
}

static int add_arguments(scmp_filter_ctx x)
{
	int bad = add_sockets(x);

	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_FORBIDDEN, 0));
	/* the kernel reads 32 bits of an ioctl's command: so compare 32 (CVE-2019-10063) */
	for (unsigned i = 0; i < ARRAY_LEN(ioctls); i++)
		bad |= seccomp_rule_add(
			x, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, ioctls[i]));
	for (unsigned i = 0; i < ARRAY_LEN(prctls); i++)
		bad |= seccomp_rule_add(
			x, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, prctls[i]));
	/* only to ask which personality it has */
	bad |= seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, 0xffffffff));
	for (unsigned i = 0; i < ARRAY_LEN(absent); i++) {
		int nr = resolve(absent[i]);

		if (nr >= 0)
			bad |= seccomp_rule_add(x, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
	}
	return bad;
}

/* The last call number the list above decides on (listmount 458, mseal 462, *xattrat 463-466,
 * open_tree_attr 467). */
#define NEWEST_KNOWN 467

#define FCNTL_SETDELEG (F_SETLEASE + 16) /* a lease of another kind, since Linux 6.19 */

/* Before libseccomp's program: numbers nobody knew when this was written do not exist. The x32
 * bit is left to libseccomp, which kills. Of fcntl() two commands are refused, of which the kernel reads 32 bits; as
 * rules for libseccomp it would be one for each of all others. */
static const struct sock_filter preamble[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 9),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 7, 0),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NEWEST_KNOWN, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 4),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETLEASE, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FCNTL_SETDELEG, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};

static int export_program(scmp_filter_ctx x, struct sock_fprog *ret, struct err *e)
{
	AUTO_FD fd = memfd_create("filter", MFD_CLOEXEC);
	int64_t bytes;
	size_t n;
	char *p;

	if (fd < 0 || seccomp_export_bpf(x, fd))
		return err_set(e, ERR_INTERNAL, "seccomp_export_bpf failed");
	bytes = fd_size(fd);
	n = ARRAY_LEN(preamble) + (size_t)bytes / sizeof(struct sock_filter);
	if (bytes <= 0 || n > BPF_MAXINSNS)
		return err_set(e, ERR_INTERNAL, "the filter has %zu instructions", n);
	p = mem_alloc(n * sizeof(struct sock_filter));
	if (!p)
		return err_set(e, ERR_LIMIT, "no memory for the filter");
	memcpy(p, preamble, sizeof(preamble));
	if (pread(fd, p + sizeof(preamble), (size_t)bytes, 0) != bytes) {
		mem_free(p);
		return err_sys(e, "read the filter");
	}
	ret->len = (unsigned short)n;
	ret->filter = (struct sock_filter *)(void *)p;
	return 0;
}

int launch_filter_build(const char *const *extra, struct sock_fprog *ret, struct err *e)
{
	scmp_filter_ctx x = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int bad = 0, r;

	if (!x)
		return err_set(e, ERR_INTERNAL, "seccomp_init failed");
	bad |= seccomp_attr_set(x, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* a binary tree instead of a chain: no faster a call, but attaching takes 0.1 ms, not 0.3 (the
	 * kernel tries every number once to fill its cache of what is always allowed) */
	bad |= seccomp_attr_set(x, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	bad |= allow_names(x, allowed, ARRAY_LEN(allowed));
	if (extra)
		bad |= allow_names(x, extra, SIZE_MAX);
	bad |= add_arguments(x);
	r = bad ? err_set(e, ERR_INTERNAL, "the system call filter could not be built")
		: export_program(x, ret, e);
	seccomp_release(x);
	return r;
}
