/* confine.c: what takes every privilege from a process before it runs code nobody has read.
 *
 * Each function: Must: be called in the order of inside.h, in the forked child, after the mounts.
 * Must not: be undone by the program; from confine_limits on each only narrows. */
#include "sandbox/base/fd.h"
#include "sandbox/base/landlock.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine_enter(const struct room *room)
{
	const int users = room->own_users ? CLONE_NEWUSER : 0;

	/* the kernel enters that one first */
	if (setns(room->pidfd,
		  users | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET))
		return -1;
	umask(022);
	setsid();
	return 0;
}

static int limit(int what, uint64_t value)
{
	struct rlimit now, want = {value, value};

	if (getrlimit((unsigned)what, &now))
		return -1;
	if (now.rlim_max < want.rlim_max)
		want.rlim_cur = want.rlim_max = now.rlim_max;
	return setrlimit((unsigned)what, &want);
}

/* The out-of-memory killer takes the program before the guest, whatever their sizes. A process that
 * is not dumpable does not own its own files in /proc. Dumpable, it is still out of reach of what
 * else may run in the room, as long as it has capabilities those lack: in a session the caller makes it not
 * dumpable again before it gives them up. */
static int die_first(void)
{
	AUTO_FD fd = -1;

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	return fd < 0 || fd_write_all(fd, "1000", 4) ? -1 : 0;
}

int confine_stack(void)
{
	return limit(RLIMIT_STACK, 8u << 20);
}

int confine_limits(const struct guest_run *r, uint32_t ours)
{
	if (limit(RLIMIT_CORE, 0) || limit(RLIMIT_NOFILE, r->open_files) ||
	    limit(RLIMIT_FSIZE, r->workspace_bytes) || confine_stack() ||
	    limit(RLIMIT_MEMLOCK, 64u << 10) || limit(RLIMIT_MSGQUEUE, 0) ||
	    limit(RLIMIT_SIGPENDING, 256) || limit(RLIMIT_NICE, 0) ||
	    limit(RLIMIT_RTPRIO, 0))
		return -1;
	/* without cgroups these are the only bounds */
	if (r->rlimit_memory && (limit(RLIMIT_DATA, r->memory_bytes) ||
				 limit(RLIMIT_NPROC, r->processes + ours)))
		return -1;
	for (int cap = 0; cap <= 63; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) {
			if (errno != EINVAL)
				return -1;
			break; /* past the last one this kernel knows */
		}
	return die_first();
}

int confine_privileges(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    syscall(SYS_capset, &head, none))
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int confine_files(const char *more)
{
	static const char *const readable[] = {"/usr", "/bin",	 "/sbin",
					       "/lib", "/lib32", "/lib64",
					       "/etc", "/proc",	 GUEST_IMAGE_DIR};
	static const char *const writable[] = {"/workspace", "/tmp", "/dev/shm"};
	struct landlock l;
	int bad = landlock_begin(&l);

	for (unsigned i = 0; i < ARRAY_LEN(readable); i++)
		bad = bad || landlock_allow(&l, readable[i], LANDLOCK_READ);
	for (unsigned i = 0; i < ARRAY_LEN(writable); i++)
		bad = bad || landlock_allow(&l, writable[i], LANDLOCK_ALL);
	bad = bad || (more && landlock_allow(&l, more, LANDLOCK_ALL));
	bad = bad || landlock_allow(&l, "/dev", LANDLOCK_READ | LANDLOCK_WRITE_FILES);
	return bad || landlock_enforce(&l) ? -1 : 0;
}

int confine_read(int filter_fd, struct sock_fprog *ret)
{
	int64_t bytes = fd_size(filter_fd);
	struct sock_fprog prog = {0};

	if (bytes <= 0 || bytes % (int64_t)sizeof(struct sock_filter) ||
	    bytes / (int64_t)sizeof(struct sock_filter) > BPF_MAXINSNS) {
		errno = EINVAL;
		return -1;
	}
	prog.len = (unsigned short)(bytes / (int64_t)sizeof(struct sock_filter));
	prog.filter = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, filter_fd, 0);
	if (prog.filter == MAP_FAILED)
		return -1;
	*ret = prog;
	return 0;
}

int confine_calls_by(const struct sock_fprog *prog)
{
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog);
}

int confine_calls(int filter_fd)
{
	struct sock_fprog prog;

	return confine_read(filter_fd, &prog) ? -1 : confine_calls_by(&prog);
}
