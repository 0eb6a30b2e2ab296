/* child_ids.c: a user namespace for cells, made by the child that becomes bwrap.
 *
 * Theory of operation. bwrap maps one uid. As root cells have uids of their own, and who may map more than one is somebody
 * with CAP_SETUID outside, which the keeper as root has, and a sandbox's uid has not; and the map can be written from
 * outside only. And bwrap wants to be beneath what it is given, not in it. So two are made, one in the other:
 *
 *	child, root           forks the mapper
 *	child, sandbox's uid  unshare: the outer one    --->   mapper: writes its map, all ids as they are, and ends
 *	child, in the outer   binds the image (child.c), forks the maker
 *	maker                 unshare: the inner one    --->   child: writes its map, ids as they are seen inside
 *	maker                 no further user namespace in it; the child opens it; the maker ends
 *	child                 exec bwrap, its capabilities end with that; bwrap enters the inner one as its owner's uid
 *
 * An ordinary user has one uid, which it may map by itself; so there is the inner one alone, beneath whatever the child is
 * in. There cells are kept apart by a user namespace for each room, and bwrap's --disable-userns would leave room for none.
 * So a bound is set to them here; in a room's the room itself sets it to 0.
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

/* Of a room's the kernel lets go some time after the room, when its network is taken down. */
#define ONE_USERS_ROOMS (4 * GUEST_CELLS)

void child_ids_make_one(struct child_ids *ret, uint32_t uid, uint32_t gid)
{
	*ret = (struct child_ids){.many = false};
	snprintf(ret->uids, sizeof(ret->uids), "%u %u 1", GUEST_UID, uid);
	snprintf(ret->gids, sizeof(ret->gids), "%u %u 1", GUEST_UID, gid);
	snprintf(ret->beneath, sizeof(ret->beneath), "%d", ONE_USERS_ROOMS);
}

void child_ids_make(struct child_ids *ret, uint32_t own, uint32_t cells)
{
	*ret = (struct child_ids){.many = true, .own = own, .beneath = "0"};
	snprintf(ret->outer, sizeof(ret->outer), "%u %u 1\n%u %u %u\n", own, own, cells,
		 cells, GUEST_CELLS);
	snprintf(ret->uids, sizeof(ret->uids), "%u %u 1\n%u %u %u\n", GUEST_UID, own,
		 LAUNCH_CELL_UID, cells, GUEST_CELLS);
	memcpy(ret->gids, ret->uids, sizeof(ret->gids));
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

static int write_proc(pid_t pid, const char *file, const char *text)
{
	AUTO_FD fd = open_proc(pid, file, O_WRONLY);

	/* a map is taken in one write or not at all */
	return fd < 0 ? -1 : fd_write_all(fd, text, strlen(text));
}

static int write_maps(pid_t pid, const char *uids, const char *gids)
{
	return write_proc(pid, "uid_map", uids) || write_proc(pid, "gid_map", gids);
}

/* Who has no right to map the ids of others may map its own group only where nobody can put one down. */
static int write_inner(pid_t pid, const struct child_ids *ids)
{
	return (!ids->many && write_proc(pid, "setgroups", "deny")) ||
	       write_maps(pid, ids->uids, ids->gids);
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
	return write_maps(pid, ids->outer, ids->outer);
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
static _Noreturn void maker(const struct child_helper *p, const char *beneath)
{
	AUTO_FD most = -1;

	if (unshare(CLONE_NEWUSER) || !say(p->to) || !hear(p->from))
		_exit(1);
	/* with 0 what bwrap's --disable-userns comes to */
	most = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (most < 0 || fd_write_all(most, beneath, strlen(beneath)) || !say(p->to))
		_exit(1);
	hear(p->from);
	_exit(0);
}

int child_ids_inner(const struct child_ids *ids)
{
	struct child_helper p;
	AUTO_FD ns = -1;
	bool good;

	/* else the maker's files in /proc would be root's */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) || fork_helper(&p))
		return -1;
	if (!p.pid)
		maker(&p, ids->beneath);
	good = hear(p.from) && !write_inner(p.pid, ids) && say(p.to) && hear(p.from);
	if (good)
		ns = open_proc(p.pid, "ns/user", O_RDONLY);
	return end_helper(&p) || !good ? -1 : fd_steal(&ns);
}
