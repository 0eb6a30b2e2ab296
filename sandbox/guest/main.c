/* main.c: the guest, PID 1 of a sandbox: makes rooms, starts programs in them, reaps, reports.
 *
 * Theory of operation. It serves one run, here, or one session (session.h), or keeps a zygote (zygote.h), by its first record. Not dumpable from the first instruction: the program runs under the same
 * uid and must not open this process' memory. All signals are blocked; SIGCHLD comes by signalfd. While a program
 * runs, two things can happen: a child ends, or the keeper speaks (only EOF is legal then). Death
 * of this process is death of the sandbox. */
#include "sandbox/base/fd.h"
#include "sandbox/base/slice.h"
#include "sandbox/guest/session.h"
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

static int child_fd = -1; /* signalfd for SIGCHLD */

static void say_up(void)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_UP, 0);
	tell(&m);
}

static void say_started(uint64_t id, const struct room *room, int program_pidfd)
{
	struct ipc_msg m;
	/* the keeper measures it after the end */
	AUTO_FD ws = room_workspace(room);

	ipc_start(&m, GUEST_STARTED, id);
	ipc_put_u64(&m, guest_now_us());
	ipc_put_fd(&m, program_pidfd);
	ipc_put_fd(&m, ws);
	tell(&m);
}

/* Forks the program into the room. 0 once it has been exec'd, -1 with f filled. From then on every
 * child of this process would be born in that room: its own pid namespace belongs to bwrap's outer
 * user namespace and cannot be re-entered. So a guest serves one run. */
static int start_program(const struct guest_run *r, const struct room *room,
			 pid_t *ret_pid, int *ret_pidfd, struct failure *f)
{
	int failed[2];
	long pid = -1;
	ssize_t k;

	*f = (struct failure){.stage = "fork the program", .sys = errno};
	if (fd_pipe(failed, NULL))
		return -1;
	if (!setns(room->pidfd, CLONE_NEWPID)) {
		pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, ret_pidfd, 0, 0);
		f->sys = errno;
		if (!pid)
			payload_main(r, room, failed[1]);
	}
	f->sys = pid < 0 ? errno : f->sys;
	fd_close(&failed[1]);
	k = pid > 0 ? read(failed[0], f, sizeof(*f)) : (ssize_t)sizeof(*f);
	fd_close(&failed[0]);
	*ret_pid = (pid_t)pid;
	if (k && pid > 0) {
		/* it must be reaped here: the room's init cannot end before it is */
		kill((pid_t)pid, SIGKILL);
		while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
			;
		fd_close(ret_pidfd);
	}
	return k == 0 ? 0 : -1;
}

/* Waits for the program to end; exits if the keeper goes away. Returns the wait status. */
static int wait_program(pid_t pid)
{
	struct pollfd p[2] = {{GUEST_CTL_FD, POLLIN, 0}, {child_fd, POLLIN, 0}};
	struct signalfd_siginfo si;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return status;
		if (got < 0 || (poll(p, 2, -1) < 0 && errno != EINTR))
			_exit(1);
		if (p[0].revents)
			_exit(0);
		if (p[1].revents && read(child_fd, &si, sizeof(si)) < 0 &&
		    errno != EAGAIN)
			_exit(1);
	}
}

static void close_run(struct guest_run *r)
{
	fd_close(&r->out_fd);
	fd_close(&r->err_fd);
	fd_close(&r->filter_fd);
	fd_close(&r->code_fd);
	fd_close(&r->input_fd);
	fd_close(&r->stdin_fd);
}

/* Nothing may follow the request: whatever is there to read is the end. Waits for it that long. */
static bool keeper_has_gone(int ms)
{
	struct pollfd p = {GUEST_CTL_FD, POLLIN, 0};

	return poll(&p, 1, ms) != 0;
}

static void serve(uint64_t id, struct guest_run *r)
{
	struct room room = {.pid = -1, .pidfd = -1};
	struct failure f = {.sys = 0};
	int pidfd = -1, status;
	AUTO_FD mounts = -1;
	struct ipc_msg m;
	uint64_t ended_us;
	pid_t pid;

	if (room_start(r, ROOM_ONE_RUN, &room, &f)) {
		tell_failed(id, &f);
		return;
	}
	if (start_program(r, &room, &pid, &pidfd, &f)) {
		room_end(&room);
		tell_failed(id, &f);
		return;
	}
	close_run(r);
	say_started(id, &room, pidfd);
	status = wait_program(pid);
	ended_us = guest_now_us();
	fd_close(&pidfd);
	mounts = room_mounts(&room);
	room_end(&room);
	ipc_start(&m, GUEST_ENDED, id);
	ipc_put_u32(&m, (uint32_t)status);
	ipc_put_u64(&m, ended_us);
	tell(&m);
	/* it has closed its descriptor of the workspace then */
	keeper_has_gone(-1);
	fd_close(&mounts);
}

static void set_up(void)
{
	sigset_t all;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NAME, "guest", 0, 0, 0);
	slice_short();
	/* its own program, and what bwrap has left open: the user namespace of cells, to name one */
	close_range(GUEST_SELF_FD, ~0U, 0);
	fd_set_cloexec(GUEST_CTL_FD, true);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	child_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child_fd < 0)
		_exit(1);
}

int main(void)
{
	struct ipc_msg m;
	struct guest_zygote z;
	struct guest_run r;

	set_up();
	say_up();
	if (ipc_recv(GUEST_CTL_FD, &m, NULL) != 1)
		return 0;
	if (m.type == GUEST_OPEN && !guest_get_open(&m, &r))
		session_main(m.id, &r);
	if (m.type == GUEST_ZYGOTE && !guest_get_zygote(&m, &z))
		zygote_main(m.id, &z);
	if (m.type != GUEST_RUN || guest_get_run(&m, &r))
		return 1;
	if (!keeper_has_gone(0))
		serve(m.id, &r);
	return 0;
}
