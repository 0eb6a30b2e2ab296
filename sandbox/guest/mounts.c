/* mounts.c: holds the mounts of a zygote's rooms until nobody else needs them, and takes them down. See zygote.h.
 *
 * A file system is taken apart by who closes it last, and with all inodes in use that takes 200 ms. That is to be nobody whose
 * end is waited for: not the keeper, not the guest, no cell, and no room's init. The guest cannot hold them itself:
 * each room's init begins as a copy of it, descriptors included, and if it is then the last to close one, its own
 * room stands, and ends, that much later. So they are sent here, to a child that forks nothing but who closes them.
 *
 * With the mounts comes the end of a pipe: they are let go when all of its other ends have closed. Copies of those only delay it. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAVE_MS                                                                       \
	50 /* to the keeper, which has a descriptor of the workspace, and is to close it first */
#define HIGH_FD 64
#define MAX_HELD (2 * GUEST_CELLS)

struct held {
	int mounts;
	int until; /* -1: it has come, */
	uint64_t since_us; /* then */
};

/* The life of a fork that closes the first n as the last one: when its parent has. */
static _Noreturn void close_last(const struct held *list, uint32_t n, uint32_t all,
				 const int line[2])
{
	char byte;

	close(line[1]);
	for (uint32_t i = n; i < all; i++) {
		close(list[i].mounts);
		if (list[i].until >= 0)
			close(list[i].until);
	}
	while (read(line[0], &byte, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

static void close_first(struct held *list, uint32_t n, uint32_t all)
{
	int line[2] = {-1, -1};
	long pid = -1;

	if (!fd_pipe(line, NULL))
		pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		close_last(list, n, all, line);
	for (uint32_t i = 0; i < n; i++)
		fd_close(&list[i].mounts);
	fd_close(&line[0]);
	fd_close(&line[1]);
}

/* Those that are due come first. How many these are. */
static uint32_t sort_due(struct held *list, uint32_t all)
{
	const uint64_t now = guest_now_us();
	uint32_t n = 0;

	for (uint32_t i = 0; i < all; i++)
		if (list[i].until < 0 && now - list[i].since_us >= LEAVE_MS * 1000u) {
			const struct held due = list[i];

			list[i] = list[n];
			list[n++] = due;
		}
	return n;
}

/* How many it is; none where there are too few descriptors for it. */
static uint32_t take(int line, struct held *ret)
{
	struct ipc_msg m;
	const int got = ipc_recv(line, &m, NULL);
	bool good;

	if (!got)
		_exit(0);
	if (got < 0)
		return 0;
	*ret = (struct held){.mounts = ipc_take_fd(&m)};
	ret->until = ipc_take_fd(&m);
	good = ipc_end(&m);
	ipc_finish(&m);
	return good;
}

static _Noreturn void hold(int line)
{
	static struct held list[MAX_HELD];
	struct pollfd p[MAX_HELD + 1];
	uint32_t n = 0;

	for (;;) {
		const uint32_t due = sort_due(list, n);
		int ms = -1;

		if (due) {
			close_first(list, due, n);
			n -= due;
			memmove(list, list + due, n * sizeof(*list));
		}
		for (uint32_t i = 0; i < n; i++) {
			p[i] = (struct pollfd){list[i].until, POLLIN, 0};
			ms = list[i].until < 0 ? LEAVE_MS : ms;
		}
		p[n] = (struct pollfd){n < MAX_HELD ? line : -1, POLLIN, 0};
		if (poll(p, n + 1, ms) < 0 && errno != EINTR)
			_exit(1);
		for (uint32_t i = 0; i < n; i++)
			if (p[i].revents) {
				fd_close(&list[i].until);
				list[i].since_us = guest_now_us();
			}
		if (p[n].revents)
			n += take(line, &list[n]);
	}
}

int mounts_begin(void)
{
	int line[2], high;
	long pid;

	if (fd_socketpair(line, NULL))
		return -1;
	/* without a signal: nobody waits for it */
	pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (!pid) {
		prctl(PR_SET_NAME, "mounts", 0, 0, 0);
		signal(SIGCHLD, SIG_IGN); /* the kernel reaps them */
		high = fcntl(line[1], F_DUPFD_CLOEXEC, HIGH_FD);
		if (high < 0 || close_range(0, (unsigned)high - 1, 0) ||
		    close_range((unsigned)high + 1, ~0U, 0) || confine_privileges())
			_exit(1);
		hold(high);
	}
	fd_close(&line[1]);
	if (pid < 0)
		fd_close(&line[0]);
	return line[0];
}

int mounts_hold(int line, const struct room *room)
{
	AUTO_FD mounts = line < 0 ? -1 : room_mounts(room);
	int until[2] = {-1, -1};
	struct ipc_msg m;

	if (mounts < 0 || fd_pipe(until, NULL))
		return -1;
	ipc_start(&m, GUEST_CELL, 0);
	ipc_put_fd(&m, mounts);
	ipc_put_fd(&m, until[0]);
	if (ipc_send(line, &m, NULL))
		fd_close(&until[1]);
	fd_close(&until[0]);
	return until[1];
}
