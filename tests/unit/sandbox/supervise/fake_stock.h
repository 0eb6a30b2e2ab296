/* fake_stock.h: a warm sandbox whose guest does what the test wants. */
#ifndef FAKE_STOCK_H
#define FAKE_STOCK_H

#include "tests/unit/sandbox/supervise/fake_call.h"

#include "sandbox/supervise/stock.h"

static inline void begin_warm(void)
{
	up(SUP_AUTH_LOCAL);
	k.warm_cells = 24;
	zygotes = true;
	cells_ahead = false;
	cells_fail = run_fails = cells_dead = false;
	zygotes_made = cells_made = cells_killed = cells_gone = 0;
}

/* A run of its own: its intent is written, so that it starts. */
static inline struct run *run_one(uint64_t id, const char *language, uint64_t timeout_ms)
{
	struct wire_run w = {.tool = POL_RUN_CODE,
			     .language = sv_of(language),
			     .has_timeout = timeout_ms > 0,
			     .timeout_ms = (int64_t)timeout_ms,
			     .code_fd = fd_memfd("code", "x", 1, NULL),
			     .input_fd = -1,
			     .stdin_fd = -1};

	auth_run(&k, id, &w);
	turn();
	must(written(LED_INTENT));
	return run_find(&k, id);
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
	return starts(id) && written(LED_OUTCOME) &&
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
	while (k.stocks) {
		struct stock *st = k.stocks;

		stock_break(st, "the test is over");
		st->child_ended = true;
		st->timer.on_due(&st->timer);
		turn();
	}
	fd_close(&zygote_guest);
	down();
}

#endif
