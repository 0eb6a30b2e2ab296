/* fake_zygote.h: of the launch room, as fake.h is it, what has to do with zygotes. */
#ifndef FAKE_ZYGOTE_H
#define FAKE_ZYGOTE_H

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* python has one where `zygotes` says so; with `cells_ahead` each cell starts an interpreter */
static bool launch_fails;
static struct launch_usage usage;
static bool zygotes, cells_ahead, cells_fail, cells_unwatched, run_fails, cells_dead;
static int zygote_guest = -1, zygote_event = -1; /* the test plays the guest of the newest one */
static bool zygotes_stay; /* when a newer one is made */
static unsigned zygotes_made, cells_made, cells_run, cells_killed, cells_gone;
static int cell_line[2048];	/* the test's end of each, by id */

const struct launch_driver *launch_zygote_driver(const char *runtime)
{
	static struct launch_driver it = {"python", "zygote.py", "", "", false};

	it.ahead = cells_ahead;
	return zygotes && !strcmp(runtime, "python") ? &it : NULL;
}

int launch_zygote(struct launch_host *h, const struct plan *plan, struct launch_sandbox *ret,
		  struct err *e)
{
	int p[2];

	(void)h;
	(void)plan;
	if (launch_fails)
		return err_set(e, ERR_UNAVAILABLE, "no zygote");
	must(!fd_socketpair(p, e) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	if (!zygotes_stay)
		fd_close(&zygote_guest);
	zygote_guest = p[1];
	zygote_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*ret = (struct launch_sandbox){.pid = -1,
				       .pidfd = zygote_event,
				       .ctl = p[0],
				       .complaints = open("/dev/null", O_RDONLY | O_CLOEXEC),
				       .guest_pidfd = -1,
				       .cgroup.oom_event = -1};
	zygotes_made++;
	return 0;
}

int launch_cell_make(struct launch_host *h, struct launch_sandbox *zygote,
		     const struct launch_cell_order *o, struct launch_cell *ret, struct err *e)
{
	int p[2];

	(void)h;
	(void)zygote;
	if (cells_fail)
		return err_set(e, ERR_UNAVAILABLE, "no cell");
	must(!fd_socketpair(p, e) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	*ret = (struct launch_cell){
		.id = o->id, .line = p[0], .cgroup = {.ndirs = 1, .oom_event = -1}};
	if (cells_unwatched) /* epoll takes no file */
		ret->cgroup.oom_event = fd_memfd("event", "", 0, e);
	must(o->id < ARRAY_LEN(cell_line));
	cell_line[o->id] = p[1];
	cells_made++;
	return 0;
}

int launch_cell_ready(struct launch_cell *c)
{
	char byte;
	const ssize_t n = read(c->line, &byte, 1);

	return n == 1 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

int launch_cell_run(struct launch_cell *c, int code_fd, int stdin_fd, struct err *e)
{
	(void)stdin_fd;
	must(code_fd >= 0);
	if (run_fails)
		return err_set(e, ERR_LOST, "the cell has gone");
	cells_run++;
	return write(c->line, "c", 1) == 1 ? 0 : -1;
}

void launch_cell_usage(const struct launch_cell *c, struct launch_usage *ret)
{
	(void)c;
	*ret = usage;
}

void launch_cell_kill(const struct launch_sandbox *zygote, const struct launch_cell *c)
{
	(void)zygote;
	(void)c;
	cells_killed++;
}

bool launch_cell_gone(struct launch_host *h, struct launch_cell *c)
{
	(void)h;
	if (!cells_dead)
		return false;
	fd_close(&c->line);
	fd_close(&cell_line[c->id]);
	fd_close(&c->cgroup.oom_event);
	cells_gone++;
	return true;
}

bool launch_cgroup_is_empty(const struct launch_cgroup *cg)
{
	(void)cg;
	return cells_dead;
}

#endif
