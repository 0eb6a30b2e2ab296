/* child_ids.c: a user namespace with a uid for each cell, made by the child that becomes bwrap.
 *
 * Theory of operation. bwrap maps one uid. Who may map more is somebody with CAP_SETUID outside, which the keeper as root
 * has, and a sandbox's uid has not; and the map can be written from outside only. And bwrap wants to be beneath what it
 * is given, not in it. So two are made, one in the other:
 *
 *	child, root           forks the mapper
 *	child, sandbox's uid  unshare: the outer one    --->   mapper: writes its map, all ids as they are, and ends
 *	child, in the outer   binds the image (child.c), forks the maker
 *	maker                 unshare: the inner one    --->   child: writes its map, ids as they are seen inside
 *	maker                 no further user namespace in it; the child opens it; the maker ends
 *	child                 exec bwrap, its capabilities end with that; bwrap enters the inner one as its owner's uid
 *
 * All of it happens in the sandbox's own cgroup, and past the keeper, which does not wait for it. */
#include "sandbox/launch/child.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void child_ids_make(struct child_ids *ret, uint32_t own, uint32_t cells)
{
	ret->own = own;
	snprintf(ret->outer, sizeof(ret->outer), "%u %u 1\n%u %u %u\n", own, own, cells,
		 cells, GUEST_CELLS);
	snprintf(ret->inner, sizeof(ret->inner), "1000 %u 1\n%u %u %u\n", own,
		 LAUNCH_CELL_UID, cells, GUEST_CELLS);
}

/* "/proc/PID/file", with nothing but what may be called between fork and exec. */
static int open_proc(pid_t pid, const char *file, int flags)
{
	char path[64] = "/proc/", digits[12];
	size_t n = 0, at = sizeof("/proc/") - 1;

	for (; pid > 0; pid /= 10)
		digits[n++] = (char)('0' + pid % 10);
	while (n)
		path[at++] = digits[--n];
	path[at++] = '/';
	must(strlen(file) < sizeof(path) - at);
	memcpy(path + at, file, strlen(file) + 1);
	return open(path, flags | O_CLOEXEC);
}

static int write_maps(pid_t pid, const char *map)
{
	AUTO_FD uids = open_proc(pid, "uid_map", O_WRONLY);
	AUTO_FD gids = open_proc(pid, "gid_map", O_WRONLY);

	/* a map is taken in one write or not at all */
	return uids < 0 || gids < 0 || fd_write_all(uids, map, strlen(map)) ||
			       fd_write_all(gids, map, strlen(map))
		       ? -1
		       : 0;
}

/* Must: become the namespace's owner, who alone may write its map, and keep of root what lets it map the ids of others.
 * Must not: live on. */
static int write_as_owner(pid_t pid, const struct child_ids *ids)
{
	const uint32_t keep = 1u << CAP_SETUID | 1u << CAP_SETGID;
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{keep, keep, 0}, {0, 0, 0}};

	/* the effective uid alone: with the others the permitted capabilities would go */
	if (setresuid((uid_t)-1, ids->own, (uid_t)-1) || syscall(SYS_capset, &head, d))
		return -1;
	return write_maps(pid, ids->outer);
}

static bool hear(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

static bool say(int fd)
{
	return write(fd, "", 1) == 1;
}

/* Forks; in the parent helper has its pid, and the ends to speak to it and to hear it. */
static int fork_helper(struct child_helper *ret)
{
	int to[2], from[2];
	long pid;

	if (fd_pipe(to, NULL) || fd_pipe(from, NULL))
		return -1;
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		return -1;
	*ret = (struct child_helper){(pid_t)pid, pid ? to[1] : from[1],
				     pid ? from[0] : to[0]};
	fd_close(pid ? &to[0] : &to[1]);
	fd_close(pid ? &from[1] : &from[0]);
	return 0;
}

static int end_helper(struct child_helper *p)
{
	int status = -1;

	fd_close(&p->to);
	fd_close(&p->from);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? -1 : 0;
}

int child_ids_begin(const struct child_ids *ids, struct child_helper *ret)
{
	const pid_t whom = getpid();

	if (fork_helper(ret))
		return -1;
	if (!ret->pid) {
		/* what is read is EOF when the child is no more: then its pid may be another's */
		if (!hear(ret->from) || write_as_owner(whom, ids) || !say(ret->to))
			_exit(1);
		_exit(0);
	}
	return 0;
}

int child_ids_outer(struct child_helper *p)
{
	const bool good = say(p->to) && hear(p->from);

	return end_helper(p) || !good ? -1 : 0;
}

/* Must: have every capability in the namespace, as who makes one has. Must not: end before it is opened. */
static _Noreturn void maker(const struct child_helper *p)
{
	AUTO_FD most = -1;

	if (unshare(CLONE_NEWUSER) || !say(p->to) || !hear(p->from))
		_exit(1);
	/* what bwrap's --disable-userns comes to */
	most = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (most < 0 || fd_write_all(most, "0", 1) || !say(p->to))
		_exit(1);
	hear(p->from);
	_exit(0);
}

int child_ids_inner(const struct child_ids *ids)
{
	struct child_helper p;
	AUTO_FD ns = -1;
	bool good;

	if (fork_helper(&p))
		return -1;
	if (!p.pid)
		maker(&p);
	good = hear(p.from) && !write_maps(p.pid, ids->inner) && say(p.to) &&
	       hear(p.from);
	if (good)
		ns = open_proc(p.pid, "ns/user", O_RDONLY);
	return end_helper(&p) || !good ? -1 : fd_steal(&ns);
}
