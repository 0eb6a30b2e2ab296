/* child.c: the fork and exec of roles and sandboxes; what the operator has done is in installer.c.
 *
 * Order in the child, each step for a reason: signals to their defaults; cgroup while still root;
 * uid, never 0 for a sandbox; the image, and the uids of cells; the death signal after the changes of ids, which would clear it; then a
 * look whether the parent died in between; descriptors; exec. */
#include "sandbox/launch/child.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HIGH_FD 200 /* above every descriptor a child is given */

static _Noreturn void fail(const char *what)
{
	static const char head[] = "fumehood child: ";

	/* fds[2] may not be in place yet, then this goes to the log; either is right */
	if (write(2, head, sizeof(head) - 1) < 0 || write(2, what, strlen(what)) < 0 ||
	    write(2, "\n", 1) < 0)
		_exit(112);
	_exit(111);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Must: give the child exactly fds[0..n). Must not: leave any other open across exec. First all go
 * out of the way, so that none overwrites one still to come. */
static int place_fds(const int *fds, unsigned n)
{
	int high[CHILD_MAX_FDS + 1];

	for (unsigned i = 0; i < n; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
		if (high[i] < 0)
			return -1;
	}
	for (unsigned i = 0; i < n; i++)
		if (dup2(high[i], (int)i) < 0)
			return -1;
	return close_range(n, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* Must: leave no id, group or capability of root behind. Must not: be called for a role that keeps
 * its uid. Before the death signal is set, after the cgroup was joined. */
static int become(uint32_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return -1;
	return setresuid(0, 0, 0) == 0 ? -1 : 0;
}

static int join_v1(const struct launch_cgroup *cg)
{
	for (unsigned i = 0; i < cg->ndirs; i++)
		if (cg->join[i] >= 0 && write(cg->join[i], "0", 1) != 1)
			return -1;
	return 0;
}

static int write_own(const char *path, const char *text)
{
	AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : fd_write_all(fd, text, strlen(text));
}

/* The image is beneath the state folder, which a sandbox's uid may not pass, and bubblewrap wants a
 * path. The one thing of a process that goes along into a new mount namespace, without a path being walked,
 * is its working folder: so it is bound to a place that has one. The user namespace that this takes has the
 * child's own ids and is all the child will ever have been in; its capabilities end with exec.
 *
 * Where cells have uids of their own, it has those too, and another one is made in it.
 *
 * Must: run as the child's last uid. Must not: leave the working folder there, nor change a mount the host
 * sees: the new namespace's are slaves, and are made private before. */
static int enter_own(const struct child_plan *p, struct child_helper *mapper)
{
	const struct child_image *m = p->image;

	/* after a change of uid the files in /proc/self would be root's */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) || (m && fchdir(m->dir)) ||
	    unshare(CLONE_NEWUSER | (m ? CLONE_NEWNS : 0)))
		return -1;
	if (p->ids && p->ids->many)
		return child_ids_outer(mapper);
	return write_own("/proc/self/setgroups", "deny") ||
			       write_own("/proc/self/uid_map", m->uid_map) ||
			       write_own("/proc/self/gid_map", m->gid_map)
		       ? -1
		       : 0;
}

static int bind_image(void)
{
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(".", CHILD_IMAGE_AT, NULL, MS_BIND | MS_REC, NULL))
		return -1;
	return chdir("/");
}

void child_image_make(struct child_image *ret, int dir, uint32_t uid, uint32_t gid)
{
	ret->dir = dir;
	snprintf(ret->uid_map, sizeof(ret->uid_map), "%u %u 1", uid, uid);
	snprintf(ret->gid_map, sizeof(ret->gid_map), "%u %u 1", gid, gid);
}

static _Noreturn void child_main(const struct child_plan *p)
{
	int program = fcntl(p->program, F_DUPFD_CLOEXEC, HIGH_FD);
	struct child_helper mapper = {0, -1, -1};
	const bool many = p->ids && p->ids->many;
	int fds[CHILD_MAX_FDS + 1], ids = -1;

	reset_signals();
	if (p->cgroup && join_v1(p->cgroup))
		fail("cannot join the cgroup");
	if (many && child_ids_begin(p->ids, &mapper))
		fail("cannot fork");
	if (p->change_uid && become(p->uid))
		fail("cannot change to an unprivileged uid");
	if ((p->image || many) && enter_own(p, &mapper))
		fail("cannot make a user namespace");
	if (p->image && bind_image())
		fail("cannot bring the image in");
	if (p->ids && (ids = child_ids_inner(p->ids)) < 0)
		fail("cannot make the cells' user namespace");
	if (prctl(PR_SET_PDEATHSIG, p->death_signal, 0, 0, 0) || getppid() != p->parent)
		fail("the parent has gone");
	memcpy(fds, p->fds, p->nfds * sizeof(*fds));
	fds[p->nfds] = ids;
	if (program < 0 || place_fds(fds, p->nfds + (p->ids ? 1 : 0)))
		fail("cannot place the descriptors");
	execveat(program, "", p->argv, p->envp, AT_EMPTY_PATH);
	fail(strerrorname_np(errno));
}

pid_t child_start(const struct child_plan *p, int *ret_pidfd, struct err *e)
{
	int pidfd = -1;
	struct clone_args a = {.flags = CLONE_PIDFD,
			       .pidfd = (uint64_t)(uintptr_t)&pidfd,
			       .exit_signal = SIGCHLD};
	long pid;

	must(p->nfds <= CHILD_MAX_FDS);
	if (p->cgroup && p->cgroup->ndirs && p->cgroup->in->kind == LAUNCH_CG_V2) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t)(unsigned)p->cgroup->dir[0];
	}
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid < 0)
		return err_sys(e, "clone3");
	if (!pid)
		child_main(p);
	if (ret_pidfd)
		*ret_pidfd = pidfd;
	else
		fd_close(&pidfd);
	return (pid_t)pid;
}
