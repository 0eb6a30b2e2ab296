/* role.c: the processes of fumehood: how each is started and what it gives up.
 *
 * front	parses what strangers send: no files, no exec, no sockets (over HTTP: none but those it
 *		accepts); as root another uid
 * keeper	starts sandboxes: its filter is inherited by bwrap, so it is a list of what is
 *		forbidden; as root it keeps CAP_SETUID, CAP_SETGID and CAP_KILL
 * ledger	one folder, no exec, no sockets; no capability
 * auth		parses credentials: as the front, under a uid of its own
 * fetch	gets the issuer's keys: reads a few files of /etc, talks to one host; no exec,
 *		nothing to listen with; a uid of its own
 */
#include "sandbox/base/fd.h"
#include "sandbox/base/landlock.h"
#include "sandbox/base/mem.h"
#include "sandbox/base/slice.h"
#include "sandbox/launch/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* words */
/* clang-format off */
/* What any event loop with records and memory needs. */
static const char *const common_calls[] = {
	"brk", "clock_gettime", "clock_nanosleep", "close", "dup", "dup3", "epoll_create1",
	"epoll_ctl", "epoll_pwait", "epoll_wait", "exit", "exit_group", "fcntl", "fstat",
	"ftruncate", "futex", "getpid", "getppid", "getrandom", "gettid", "lseek", "madvise",
	"memfd_create", "mremap", "munmap", "nanosleep", "newfstatat", "pipe2", "poll", "ppoll",
	"pread64", "pwrite64", "read", "readv", "recvfrom", "recvmsg", "restart_syscall", "rseq",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_yield", "sendmsg", "sendto",
	"set_robust_list", "shutdown", "sigaltstack", "signalfd4", "tgkill", "write", "writev",
	NULL,
};

/* Connections to sockets that are bound already. */
static const char *const http_calls[] = {"accept4", NULL};

/* SQLite on one folder. */
static const char *const ledger_calls[] = {
	"access", "faccessat", "faccessat2", "fallocate", "fchmod", "fchown", "fdatasync",
	"flock", "fsync", "getcwd", "getegid", "geteuid", "getgid", "getuid", "lstat", "mkdirat",
	"openat", "readlink", "stat", "statx", "statfs", "fstatfs", "unlink", "unlinkat",
	"utimensat", NULL,
};

/* A name looked up, a connection made, certificates read. No bind but of a netlink socket, which
 * getaddrinfo uses: an address that is bound is of no use without listen. */
static const char *const fetch_calls[] = {
	"access", "bind", "connect", "faccessat", "faccessat2", "getdents64", "getegid", "geteuid",
	"getgid", "getpeername", "getsockname", "getsockopt", "getuid", "ioctl", "lstat",
	"openat", "readlink", "readlinkat", "recvmmsg", "sendmmsg", "setsockopt", "socket", "stat",
	"statx", "sysinfo", "uname", NULL,
};

/* None of these is needed to make a sandbox, and each has been a way to the kernel. */
static const char *const keeper_forbidden[] = {
	"acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime", "create_module",
	"delete_module", "fanotify_init", "finit_module", "init_module", "io_cancel",
	"io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
	"io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl",
	"kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind", "migrate_pages",
	"modify_ldt", "move_pages", "name_to_handle_at", "nfsservctl", "open_by_handle_at",
	"perf_event_open", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl",
	"quotactl_fd", "reboot", "remap_file_pages", "request_key", "settimeofday", "swapoff",
	"swapon", "syslog", "uselib", "userfaultfd", "vhangup", "vmsplice", NULL,
};
/* clang-format on */

static const struct role_row {
	const char *name;
	const char *const *allow[2]; /* allowlists; none: all but `forbid` */
	const char *const *forbid;
	uint64_t keep_caps; /* as root */
	int death_signal; /* when the parent dies; 0: it ends with its socket */
	bool no_files; /* Landlock with no rule but the given dirs */
	bool read_only; /* which may only be read */
	bool own_uid; /* as root: change to the given uid */
} roles[] = {
	[LAUNCH_FRONT] = {.name = "front",
			  .allow = {common_calls},
			  .no_files = true,
			  .own_uid = true,
			  .death_signal = SIGTERM},
	[LAUNCH_FRONT_HTTP] = {.name = "front",
			       .allow = {common_calls, http_calls},
			       .no_files = true,
			       .own_uid = true,
			       .death_signal = SIGTERM},
	[LAUNCH_KEEPER] = {.name = "keeper",
			   .forbid = keeper_forbidden,
			   .keep_caps =
				   1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL,
			   .death_signal = SIGTERM},
	[LAUNCH_LEDGER] = {.name = "ledger",
			   .allow = {common_calls, ledger_calls},
			   .no_files = true},
	[LAUNCH_AUTH] = {.name = "auth",
			 .allow = {common_calls},
			 .no_files = true,
			 .own_uid = true},
	[LAUNCH_FETCH] = {.name = "fetch",
			  .allow = {common_calls, fetch_calls},
			  .no_files = true,
			  .read_only = true,
			  .own_uid = true},
};
_Static_assert(sizeof(roles) / sizeof(*roles) == LAUNCH_ROLE_COUNT, "one row per role");

const char *launch_role_name(enum launch_role r)
{
	return (unsigned)r < ARRAY_LEN(roles) ? roles[r].name : "?";
}

pid_t launch_role_spawn(enum launch_role r, char *const argv[], const int *fds,
			unsigned nfds, struct err *e)
{
	/* what the one who started the server has there is nobody else's: options come by argv */
	char *const no_environment[] = {NULL};
	int all[CHILD_MAX_FDS];
	AUTO_FD self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);

	must(nfds + 3 <= CHILD_MAX_FDS);
	if (self < 0 || null < 0)
		return err_sys(e, "open /proc/self/exe and /dev/null");
	all[0] = null;
	all[1] = all[2] = STDERR_FILENO;
	for (unsigned i = 0; i < nfds; i++)
		all[3 + i] = fds[i];
	return child_start(&(struct child_plan){.program = self,
						.argv = argv,
						.envp = no_environment,
						.fds = all,
						.nfds = 3 + nfds,
						.parent = getpid(),
						.death_signal = roles[r].death_signal},
			   NULL, e);
}

uint64_t launch_raise_nofile(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return 0;
	l.rlim_cur = l.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &l) ? 0 : l.rlim_cur;
}

/* Must: leave exactly `keep` in the permitted and bounding sets. Must not: be called before files
 * that only root can open are open. */
static int drop_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{(uint32_t)keep, (uint32_t)keep, 0},
					      {0, 0, 0}};

	for (int cap = 0; cap <= 63; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) &&
		    errno != EINVAL)
			return -1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return -1;
	return (int)syscall(SYS_capset, &head, d);
}

/* Must: run while still root. Must not: leave a group of root's. */
static int change_uid(uint32_t uid)
{
	return setgroups(0, NULL) || setresgid(uid, uid, uid) ||
			       setresuid(uid, uid, uid)
		       ? -1
		       : 0;
}

static int limit_files(const char *const *dirs, uint64_t access)
{
	struct landlock l;

	if (!landlock_abi())
		return 0; /* named in `degraded`; the call list has no open for the front */
	if (landlock_begin(&l))
		return -1;
	for (; dirs && *dirs; dirs++)
		if (landlock_allow(&l, *dirs, access & ~LANDLOCK_EXECUTE))
			return -1;
	return landlock_enforce(&l);
}

static int add_rules(scmp_filter_ctx x, uint32_t action, const char *const *names)
{
	int bad = 0;

	for (; names && *names; names++) {
		int nr = seccomp_syscall_resolve_name(*names);

		if (nr >= 0)
			bad |= seccomp_rule_add(x, action, nr, 0);
	}
	return bad;
}

/* The keeper's filter is the sandbox's too, so this holds for guest and program alike. No linger: a
 * descriptor that blocks whoever closes it. No kernel TLS and no packet filters: sockets of theirs have
 * led into the kernel. No huge pages: they are outside every memory limit. */
static int add_inherited_rules(scmp_filter_ctx x)
{
	static const struct {
		unsigned level, option;
	} options[] = {
		{1, 13 /* SO_LINGER */},
		{1, 26 /* SO_ATTACH_FILTER */},
		{1, 50 /* SO_ATTACH_BPF */},
		{1, 51 /* SO_ATTACH_REUSEPORT_CBPF */},
		{1, 52 /* ..._REUSEPORT_EBPF */},
		{6, 31 /* TCP_ULP */},
	};
	const uint32_t no = SCMP_ACT_ERRNO(EPERM);
	int bad = 0;

	for (unsigned i = 0; i < ARRAY_LEN(options); i++)
		bad |= seccomp_rule_add(
			x, no, SCMP_SYS(setsockopt), 2,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, options[i].level),
			SCMP_A2(SCMP_CMP_MASKED_EQ, 0xffffffff, options[i].option));
	bad |= seccomp_rule_add(
		x, no, SCMP_SYS(setsockopt), 1,
		SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, 282 /* SOL_TLS */));
	bad |= seccomp_rule_add(x, no, SCMP_SYS(mmap), 1,
				SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_HUGETLB, MAP_HUGETLB));
	bad |= seccomp_rule_add(x, no, SCMP_SYS(memfd_create), 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ, MFD_HUGETLB, MFD_HUGETLB));
	return bad;
}

/* Memory may be had, but never code. */
static int add_memory_rules(scmp_filter_ctx x)
{
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);

	return seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec) |
	       seccomp_rule_add(x, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
}

static int limit_calls(const struct role_row *row, struct err *e)
{
	const bool list = row->allow[0] != NULL;
	scmp_filter_ctx x = seccomp_init(list ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
	int bad;

	if (!x)
		return err_set(e, ERR_INTERNAL, "seccomp_init failed");
	bad = add_rules(x, SCMP_ACT_ALLOW, row->allow[0]) |
	      add_rules(x, SCMP_ACT_ALLOW, row->allow[1]) |
	      add_rules(x, SCMP_ACT_ERRNO(EPERM), row->forbid);
	bad |= list ? add_memory_rules(x) : add_inherited_rules(x);
	bad = bad || seccomp_load(x);
	seccomp_release(x);
	return bad ? err_set(e, ERR_INTERNAL, "the %s's system call filter", row->name)
		   : 0;
}

int launch_role_confine(enum launch_role r, const char *const *dirs, uint32_t uid,
			struct err *e)
{
	const struct role_row *row = &roles[r];
	const bool root = geteuid() == 0;

	slice_short();
	if (row->own_uid && root && change_uid(uid))
		return err_sys(e, "the %s cannot change to uid %u", row->name, uid);
	if (root && !row->own_uid && drop_caps(row->keep_caps))
		return err_sys(e, "the %s cannot drop its capabilities", row->name);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_sys(e, "no_new_privs");
	/* secrets and other callers' data live here: no ptrace, no core */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err_sys(e, "dumpable");
	if (row->no_files &&
	    limit_files(dirs, row->read_only ? LANDLOCK_READ : LANDLOCK_ALL))
		return err_sys(e, "Landlock for the %s", row->name);
	return limit_calls(row, e);
}
