/* cell.c: cell.so, preloaded into an interpreter to make it a zygote (zygote.h). It takes fork() over.
 *
 * Theory of operation. The interpreter's driver calls fork() twice, by whatever its language has for it: so its own hooks (locks,
 * the reseeding of its generators) run as at any fork, and nothing is embedded.
 *
 *	1st	the parent stays in it for ever, and forks a cell for each order of the guest. It returns, with 0, only in a
 *		cell: in its room and fully confined. There the driver may warm itself up, at its own cost.
 *	2nd	says on the cell's line that it is ready and waits there for the code. Returns 0 with that as descriptor 3, its
 *		stdin as 0 and the line closed. A line that closes ends the cell.
 *	later	the C library's
 *
 * Not one byte of the caller's is in the process before its last privilege is gone. What the interpreter has done about signals
 * stays as it is, as it would on the cold path.
 *
 * Linked without a C library, it uses the interpreter's: no call may be here that an older one lacks. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/zygote.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CODE_FD 3
#define CELL_LINE_FD 4 /* until the code is there */

__attribute__((visibility("default"))) pid_t fork(void);

/* By this name the C library has it since 2.33 only. */
int fstat(int fd, struct stat *st)
{
	return (int)syscall(SYS_fstat, fd, st);
}

static enum { FORK_REAL, FORK_SERVES, FORK_WAITS } next;
static pid_t (*real_fork)(void);

static struct guest_run base; /* limits, landlock */
static struct sock_fprog filter;
static sigset_t mask; /* the interpreter's */

/* Its line to the guest closes with it: what could not be confined does not live. */
static _Noreturn void fail(const char *stage)
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

static int set_limits(uint32_t uid)
{
	struct guest_run r = base;

	/* where all cells are one user, its processes are counted together */
	if (uid == GUEST_OWN_UID)
		r.processes += 2 * GUEST_CELLS;
	return confine_limits(&r);
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

/* Beside the streams the line; nothing else. What had its number is the zygote's, or has been used. */
static int place_line(const struct guest_cell *c)
{
	if (c->line_fd != CELL_LINE_FD && dup3(c->line_fd, CELL_LINE_FD, O_CLOEXEC) < 0)
		return -1;
	close(CODE_FD);
	return (int)syscall(SYS_close_range, CELL_LINE_FD + 1, ~0U, 0);
}

/* Must: do what payload_main does, in its order, and the cgroups and the uid before the capabilities go. Must not: return with any
 * of it undone. */
static void confine(const struct guest_cell *c, const struct room *room)
{
	for (uint32_t i = 0; i < c->njoins; i++)
		if (write(c->join_fd[i], "0", 1) != 1)
			fail("join the cgroups");
	/* as on the cold path, /proc/self/cgroup names none */
	if (unshare(CLONE_NEWCGROUP))
		fail("a cgroup namespace");
	if (confine_enter(room) || chdir("/workspace"))
		fail("enter the room");
	if (place_streams(c))
		fail("standard streams");
	if (set_limits(c->uid))
		fail("limits");
	if (change_uid(c->uid))
		fail("change to its uid");
	if (confine_privileges())
		fail("drop capabilities");
	/* a change of uid takes it, and with it a process' own files in /proc */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		fail("dumpable");
	if (base.landlock && confine_files(NULL))
		fail("Landlock");
	if (place_line(c))
		fail("close descriptors");
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (confine_calls_by(&filter))
		fail("seccomp");
	next = FORK_WAITS;
}

union two_fds {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(2 * sizeof(int))];
};

/* One byte and one or two descriptors: how many, or 0 when there is nothing to run. */
static unsigned receive(int fds[2])
{
	char byte;
	struct iovec v = {&byte, 1};
	union two_fds c;
	struct msghdr h = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof(c.bytes)};
	struct cmsghdr *x;
	ssize_t k;
	size_t n;

	do
		k = recvmsg(CELL_LINE_FD, &h, MSG_CMSG_CLOEXEC);
	while (k < 0 && errno == EINTR);
	x = k == 1 ? CMSG_FIRSTHDR(&h) : NULL;
	if (!x || x->cmsg_level != SOL_SOCKET || x->cmsg_type != SCM_RIGHTS ||
	    h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return 0;
	n = (x->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(x), n * sizeof(int));
	return (unsigned)n;
}

/* Gives `given` the number `at`; a file with a read offset of its own, at the start, as on the cold path. */
static int place(int given, int at, int flags)
{
	char path[40];
	int in = given;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", given);
	if (fd_size(given) >= 0)
		in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0 || (in != at && dup3(in, at, flags) < 0))
		return -1;
	if (in != at && in != given)
		close(in);
	return given == at ? 0 : close(given);
}

static pid_t await_code(void)
{
	int fds[2];
	unsigned n;

	if (send(CELL_LINE_FD, "", 1, MSG_NOSIGNAL) != 1 || !(n = receive(fds)))
		_exit(0);
	if ((n == 2 && place(fds[1], 0, 0)) || place(fds[0], CODE_FD, O_CLOEXEC))
		fail("the code");
	close(CELL_LINE_FD);
	next = FORK_REAL;
	return 0;
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
	struct room room = {-1, -1};
	struct guest_cell c;
	struct failure f;
	struct ipc_msg m;
	pid_t pid = -1;

	if (ipc_recv(ZYGOTE_LINE_FD, &m, NULL) != 1)
		_exit(0);
	room.pidfd = ipc_take_fd(&m);
	if (m.type != GUEST_CELL || guest_get_cell(&m, &c))
		_exit(1);
	/* only what is forked next is in the room; this process stays where it is */
	if (!setns(room.pidfd, CLONE_NEWPID))
		pid = real_fork();
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

/* Returns in cells alone. */
static pid_t serve(void)
{
	struct pollfd p[2] = {{ZYGOTE_LINE_FD, POLLIN, 0}, {-1, POLLIN, 0}};
	struct ipc_msg m;
	sigset_t ends;

	ipc_start(&m, GUEST_ZYGOTE_UP, 0);
	tell(&m);
	if (ipc_recv(ZYGOTE_LINE_FD, &m, NULL) != 1 || m.type != GUEST_OPEN ||
	    guest_get_open(&m, &base) || confine_read(base.filter_fd, &filter))
		fail("begin");
	fd_close(&base.filter_fd);
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, &mask);
	p[1].fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p[1].fd < 0)
		fail("signalfd");
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		if (p[1].revents)
			on_ends(p[1].fd);
		if (p[0].revents && on_order())
			return 0;
	}
}

pid_t fork(void)
{
	switch (next) {
	case FORK_SERVES:
		return serve();
	case FORK_WAITS:
		return await_code();
	case FORK_REAL:
		break;
	}
	return real_fork();
}

/* --- the beginning ------------------------------------------------------------------------------- */

/* Its bytes too: /proc/self/environ shows what was there when the process began. */
static bool forget(const char *name)
{
	char *value = getenv(name);
	const size_t head = strlen(name) + 1;

	if (!value)
		return false;
	unsetenv(name);
	memset(value - head, 0, head + strlen(value));
	return true;
}

/* Nothing is read or closed yet: a driver may start its interpreter once more, with the same environment. */
__attribute__((constructor)) static void begin(void)
{
	union { /* what dlsym returns is no function pointer to ISO C */
		void *symbol;
		pid_t (*function)(void);
	} u = {dlsym(RTLD_NEXT, "fork")};

	real_fork = u.function;
	if (!forget(ZYGOTE_MARK))
		return;
	forget("LD_PRELOAD");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	next = FORK_SERVES;
}
