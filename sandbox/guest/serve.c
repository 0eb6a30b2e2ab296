/* serve.c: what a zygote does for the guest: it makes cells, and tells how they ended. Linked into cell.so, and into the guest
 * for a zygote that is no interpreter (starter.c). See zygote.h. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct zygote_way *way;
static struct guest_run base; /* limits, landlock */
static struct sock_fprog filter;
static sigset_t mask; /* the interpreter's */

_Noreturn void zygote_fail(const char *stage)
{
	dprintf(2, "cell: %s: errno %d\n", stage, errno);
	_exit(111);
}

/* --- a cell ------------------------------------------------------------------------------------- */

/* Must: run with CAP_SETUID and CAP_SETGID, and keep all capabilities: confine_privileges takes them. Raw calls:
 * the C library's would have every thread follow. */
static int change_uid(uint32_t uid)
{
	if (uid == GUEST_OWN_UID)
		return 0;
	return syscall(SYS_setgroups, 0, NULL) ||
			       syscall(SYS_setresgid, uid, uid, uid) ||
			       syscall(SYS_setresuid, uid, uid, uid)
		       ? -1
		       : 0;
}

/* From here on a failure is told where the program would have spoken. */
static int place_streams(const struct guest_cell *c)
{
	AUTO_FD nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return nothing < 0 || dup2(nothing, 0) < 0 || dup2(c->out_fd, 1) < 0 ||
			       dup2(c->err_fd, 2) < 0
		       ? -1
		       : 0;
}

/* Must: do what payload_main does, in its order, and the cgroups and the uid before the capabilities go. Must not: return with any
 * of it undone. */
static void confine(const struct guest_cell *c, const struct room *room)
{
	for (uint32_t i = 0; i < c->njoins; i++)
		if (write(c->join_fd[i], "0", 1) != 1)
			zygote_fail("join the cgroups");
	/* as on the cold path, /proc/self/cgroup names none */
	if (unshare(CLONE_NEWCGROUP))
		zygote_fail("a cgroup namespace");
	if (confine_enter(room) || chdir("/workspace"))
		zygote_fail("enter the room");
	if (place_streams(c))
		zygote_fail("standard streams");
	if (confine_limits(&base, CONFINE_OURS))
		zygote_fail("limits");
	if (change_uid(c->uid))
		zygote_fail("change to its uid");
	if (confine_privileges())
		zygote_fail("drop capabilities");
	/* a change of uid takes it, and with it a process' own files in /proc */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		zygote_fail("dumpable");
	if (base.landlock && confine_files(NULL))
		zygote_fail("Landlock");
	if (way->place(c, base.open_files))
		zygote_fail("close descriptors");
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (confine_calls_by(&filter))
		zygote_fail("seccomp");
}

/* --- the zygote ---------------------------------------------------------------------------------- */

static struct {
	pid_t pid; /* 0: free */
	uint64_t id;
} children[GUEST_CELLS];

static void on_ends(int signals)
{
	struct signalfd_siginfo si;
	struct ipc_msg m;
	int status;
	pid_t pid;

	while (read(signals, &si, sizeof(si)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < GUEST_CELLS; i++) {
			if (children[i].pid != pid)
				continue;
			children[i].pid = 0;
			ipc_start(&m, GUEST_ENDED, children[i].id);
			ipc_put_u32(&m, (uint32_t)status);
			ipc_put_u64(&m, guest_now_us());
			tell(&m);
			break;
		}
}

static void tell_made(uint64_t id, pid_t pid)
{
	/* it is not reaped yet: the number is still its own */
	AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct ipc_msg m;

	for (unsigned i = 0; i < GUEST_CELLS; i++)
		if (!children[i].pid) {
			children[i].pid = pid;
			children[i].id = id;
			break;
		}
	ipc_start(&m, GUEST_CELL_MADE, id);
	ipc_put_fd(&m, pidfd);
	tell(&m);
}

/* True in the cell. */
static bool on_order(void)
{
	struct room room = {.pid = -1, .pidfd = -1};
	struct guest_cell c;
	struct failure f;
	struct ipc_msg m;
	pid_t pid = -1;

	if (ipc_recv(ZYGOTE_LINE_FD, &m, NULL) != 1)
		_exit(0);
	room.pidfd = ipc_take_fd(&m);
	if (m.type != GUEST_CELL || guest_get_cell(&m, &c))
		_exit(1);
	room.own_users = c.uid == GUEST_OWN_UID;
	/* only what is forked next is in the room; this process stays where it is */
	if (!setns(room.pidfd, CLONE_NEWPID))
		pid = way->fork();
	if (!pid) {
		confine(&c, &room);
		return true;
	}
	failure_set(&f, "fork the cell", errno);
	fd_close(&room.pidfd);
	guest_close_cell(&c);
	if (pid > 0)
		tell_made(m.id, pid);
	else
		tell_failed(m.id, &f);
	return false;
}

void zygote_serve(const struct zygote_way *how)
{
	struct pollfd p[2] = {{ZYGOTE_LINE_FD, POLLIN, 0}, {-1, POLLIN, 0}};
	struct ipc_msg m;
	sigset_t ends;

	way = how;
	ipc_start(&m, GUEST_ZYGOTE_UP, 0);
	tell(&m);
	if (ipc_recv(ZYGOTE_LINE_FD, &m, NULL) != 1 || m.type != GUEST_OPEN ||
	    guest_get_open(&m, &base) || confine_read(base.filter_fd, &filter))
		zygote_fail("begin");
	fd_close(&base.filter_fd);
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, &mask);
	p[1].fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p[1].fd < 0)
		zygote_fail("signalfd");
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			zygote_fail("poll");
		if (p[1].revents)
			on_ends(p[1].fd);
		if (p[0].revents && on_order())
			return;
	}
}
