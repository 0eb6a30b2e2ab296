/* cell_test.h: a zygote and its cells by launch.h, under the real bwrap, and the keeper's side of their lines. Nothing
 * here waits for time to pass: LONG_MS only ends a test that would hang. */
#ifndef CELL_TEST_H
#define CELL_TEST_H

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/launch/launch.h"
#include "tests/lib/tap.h"
#include "tests/unit/sandbox/guest/told.h"
#include "tests/unit/sandbox/plan_of.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_cell {
	struct launch_cell cell;
	int out, err;		/* owned: read ends */
	int pidfd, workspace;	/* owned */
};

static struct launch_host *host;
static struct launch_sandbox box;
static uint64_t last_id;

static inline int open_host_at(uint32_t uid_base, const int *image)
{
	const char *built = "build/deps/bin/bwrap";
	struct err e = {0};
	struct launch_host_opts o = {.bwrap_path = access(built, X_OK) ? NULL : built,
				     .uid_base = uid_base,
				     .image = image};

	if (!launch_host_open(&o, &host, &e))
		return 0;
	printf("# %s\n", e.cause);
	return -1;
}

static inline int open_host(const int *image)
{
	return open_host_at(0, image);
}

static inline void say_complaints(void)
{
	char text[2000];
	ssize_t n = read(box.complaints, text, sizeof(text));

	if (n > 0)
		printf("# %.*s\n", (int)n, text);
}

static inline bool is_told(const struct told *got, uint32_t type, uint64_t id)
{
	const bool good = told_is(got, type, id);

	if (!good)
		say_complaints();
	return good;
}

static inline bool open_zygote(const struct plan *plan)
{
	struct err e = {0};
	struct told got;

	if (!plan || launch_zygote(host, plan, &box, &e)) {
		printf("# %s\n", e.cause);
		return false;
	}
	got = told_next(box.ctl);
	launch_sandbox_up(&box);
	return is_told(&got, GUEST_ZYGOTE_UP, 1);
}

static inline bool await(bool (*gone)(void *), void *arg)
{
	const struct timespec ms = {0, 1000000};

	for (unsigned i = 0; i < LONG_MS; i++) {
		if (gone(arg))
			return true;
		nanosleep(&ms, NULL); /* no event tells when a cgroup can be removed */
	}
	return false;
}

static inline bool box_gone(void *arg)
{
	(void)arg;
	return launch_sandbox_gone(host, &box);
}

/* True when nothing of it is left. */
static inline bool close_zygote(void)
{
	struct pollfd p = {box.pidfd, POLLIN, 0};

	launch_sandbox_kill(&box, 0);
	if (poll(&p, 1, LONG_MS) != 1)
		launch_sandbox_kill(&box, 1);
	return await(box_gone, NULL);
}

static inline bool order_cell(struct test_cell *c, struct err *e)
{
	int out[2], err[2], bad;

	must(!fd_pipe(out, NULL) && !fd_pipe(err, NULL));
	*c = (struct test_cell){
		.out = out[0], .err = err[0], .pidfd = -1, .workspace = -1};
	bad = launch_cell_make(host, &box,
			       &(struct launch_cell_order){++last_id, out[1], err[1]},
			       &c->cell, e);
	fd_close(&out[1]);
	fd_close(&err[1]);
	if (bad) {
		fd_close(&c->out);
		fd_close(&c->err);
	}
	return !bad;
}

static inline bool await_ready(struct test_cell *c)
{
	struct pollfd p = {c->cell.line, POLLIN, 0};

	return poll(&p, 1, LONG_MS) == 1 && launch_cell_ready(&c->cell) == 1;
}

static inline bool make_cell(struct test_cell *c)
{
	struct err e = {0};
	struct told got;

	if (!order_cell(c, &e)) {
		printf("# %s\n", e.cause);
		return false;
	}
	got = told_next(box.ctl);
	c->pidfd = got.pidfd;
	c->workspace = got.workspace;
	if (is_told(&got, GUEST_CELL_MADE, c->cell.id) && await_ready(c))
		return true;
	say_complaints();
	return false;
}

static inline bool give_code(struct test_cell *c, const char *code)
{
	AUTO_FD fd = fd_memfd("test", code, strlen(code), NULL);
	struct err e = {0};

	if (!launch_cell_run(&c->cell, fd, -1, &e))
		return true;
	printf("# %s\n", e.cause);
	return false;
}

/* Its wait status; -1: something else was told. */
static inline int await_ended(const struct test_cell *c)
{
	struct told got = told_next(box.ctl);

	return is_told(&got, GUEST_ENDED, c->cell.id) ? (int)got.status : -1;
}

static inline bool cell_gone(void *arg)
{
	return launch_cell_gone(host, arg);
}

/* True when nothing of it is left. */
static inline bool close_cell(struct test_cell *c)
{
	fd_close(&c->out);
	fd_close(&c->err);
	fd_close(&c->pidfd);
	fd_close(&c->workspace);
	return await(cell_gone, &c->cell);
}

/* A cell's whole life: its status; what it has written is in *ret_out until the next. */
static inline int run_cell(const char *code, const char **ret_out,
			   struct launch_usage *ret_usage)
{
	static char text[70000];
	struct test_cell c;
	int status = -1;

	if (!make_cell(&c))
		return -1;
	if (give_code(&c, code))
		status = await_ended(&c);
	printf("# %s", all_of(c.err));
	snprintf(text, sizeof(text), "%s", all_of(c.out));
	printf("\n");
	if (ret_usage)
		launch_cell_usage(&c.cell, ret_usage);
	if (ret_out)
		*ret_out = text;
	return close_cell(&c) ? status : -2;
}

/* Runs f in a child of its own, as an ordinary user; 0 when all was well there. */
static inline int as_user(int (*f)(void))
{
	const uid_t uid = 4242;
	char line[2000];
	FILE *from;
	int p[2], status = -1;
	pid_t pid;

	must(!fd_pipe(p, NULL));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(p[1], 1);
		if (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
		    setresuid(uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
			_exit(3);
		_exit(f());
	}
	fd_close(&p[1]);
	from = fdopen(p[0], "r");
	must(pid > 0 && from);
	while (fgets(line, sizeof(line), from))
		printf("#     %s", line);
	fclose(from);
	waitpid(pid, &status, 0);
	return status;
}

#endif
