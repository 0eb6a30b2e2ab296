/* stock_test.h: a keeper with a warm sandbox, whose guest and whose cells the test plays. */
#ifndef STOCK_TEST_H
#define STOCK_TEST_H

#include "tests/unit/sandbox/supervise/fake_call.h"

#include "sandbox/supervise/stock.h"

static inline void begin_warm(void)
{
	up(SUP_AUTH_LOCAL);
	k.warm_cells = 24;
	zygotes = true;
	cells_ahead = false;
	cells_fail = cells_unwatched = run_fails = cells_dead = false;
	zygotes_made = cells_made = cells_run = cells_killed = cells_gone = 0;
}

static inline struct wire_run plain(const char *language, uint64_t timeout_ms)
{
	return (struct wire_run){.tool = POL_RUN_CODE,
				 .language = sv_of(language),
				 .has_timeout = timeout_ms > 0,
				 .timeout_ms = (int64_t)timeout_ms,
				 .code_fd = fd_memfd("code", "x", 1, NULL),
				 .input_fd = -1,
				 .stdin_fd = -1};
}

/* A run of its own: its intent is written, so that it starts. */
static inline struct run *run_this(uint64_t id, const struct wire_run *w)
{
	auth_run(&k, id, w);
	turn();
	must(written(LED_INTENT));
	return run_find(&k, id);
}

static inline struct run *run_one(uint64_t id, const char *language, uint64_t timeout_ms)
{
	const struct wire_run w = plain(language, timeout_ms);

	return run_this(id, &w);
}

static inline void zygote_says(uint32_t type, uint64_t id, uint64_t status)
{
	AUTO_FD any = open("/dev/null", O_RDONLY | O_CLOEXEC);
	AUTO_FD dir = workspace();
	struct ipc_msg m;

	ipc_start(&m, type, id);
	if (type == GUEST_CELL_MADE) {
		ipc_put_fd(&m, any);
		ipc_put_fd(&m, dir);
	} else if (type == GUEST_ENDED) {
		ipc_put_u32(&m, (uint32_t)status);
		ipc_put_u64(&m, loop_now_us());
	} else if (type == GUEST_FAILED) {
		ipc_put_sv(&m, SV("fork"));
		ipc_put_u32(&m, (uint32_t)status);
	}
	must(!ipc_send(zygote_guest, &m, NULL));
	turn();
}

static inline void make_ready(uint64_t id)
{
	zygote_says(GUEST_CELL_MADE, id, 0);
	must(write(cell_line[id], "r", 1) == 1);
	turn();
}

static inline bool starts(uint64_t id)
{
	const bool good = told_start(SUP_ACCEPTED, id);

	close_start();
	return good;
}

/* There is no launch_sandbox here: whoever goes the cold way is refused. */
static inline bool went_cold(uint64_t id)
{
	const struct run *r = run_find(&k, id);

	return starts(id) && r && !r->cell && !r->result.warm && written(LED_OUTCOME) &&
	       refused(SUP_REFUSED, id, ERR_INTERNAL);
}

/* The zygote is up, and its first cells wait. */
static inline struct stock *warm_up(void)
{
	run_one(1, "python", 0);
	must(k.stocks && went_cold(1));
	zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	for (uint64_t id = 1; id <= cells_made; id++)
		make_ready(id);
	must(k.stocks->state == STOCK_UP);
	return k.stocks;
}

static inline void end_warm(void)
{
	cells_dead = gone_now = true;
	for (unsigned i = 0; i < 100000 && k.stocks; i++) {
		struct stock *st = k.stocks;

		stock_break(st, "the test is over");
		st->child_ended = true;
		st->timer.on_due(&st->timer);
		turn();
	}
	must(!k.stocks);
	fd_close(&zygote_guest);
	down();
}

/* All that the cell had is dead, and that is seen. */
static inline void dies(struct run *r)
{
	cells_dead = true;
	if (r->timer.armed)
		r->timer.on_due(&r->timer);
	turn();
}

static inline bool finishes(uint64_t id)
{
	return written(LED_OUTCOME) && ended(id, &got);
}

/* As those that wait at first. */
static inline void two_run(void)
{
	must(run_one(2, "python", 0) && run_one(3, "python", 0) && starts(2) &&
	     starts(3));
}

static inline void both_end(void)
{
	for (uint64_t id = 2; id <= 3; id++) {
		struct run *r = run_find(&k, id);

		zygote_says(GUEST_ENDED, r->cell->id, 0);
		dies(r);
		must(finishes(id));
	}
}

#endif
