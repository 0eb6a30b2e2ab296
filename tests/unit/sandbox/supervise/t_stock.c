/* Cells that wait for one-shot runs, and what becomes of a run that has one, with a guest that does what the test wants. */
#include "tests/unit/sandbox/supervise/stock_test.h"

#include <signal.h>

static void test_first(void)
{
	begin_warm();
	run_one(1, "python", 0);
	ok(went_cold(1) && zygotes_made == 1 && !cells_made,
	   "the first run goes the cold way and has a zygote started");
	run_one(2, "bash", 0);
	ok(went_cold(2) && zygotes_made == 1, "who has none has none started");
	run_one(3, "python", 0);
	ok(went_cold(3) && zygotes_made == 1, "one is enough");
	zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	ok(k.stocks->state == STOCK_UP && cells_made == 2,
	   "cells are made when it is up");
	end_warm();
}

static void test_ordinary(void)
{
	struct stock *st;
	struct run *r;

	begin_warm();
	st = warm_up();
	ok(cells_in(st, CELL_READY, false) == 2, "two wait");
	r = run_one(2, "python", 5000);
	ok(r && r->cell && r->state == RUN_RUNNING && starts(2) && r->result.warm,
	   "a run has one at once, whatever time it asks for");
	ok(cells_in(st, CELL_READY, false) == 1 && cells_made == 2,
	   "no other is made while it runs");
	usage.cpu_us = 500;
	usage.peak_memory_bytes = 77;
	cells_dead = true;
	zygote_says(GUEST_ENDED, r->cell->id, 3 << 8);
	ok(finishes(2) && got.status == SUP_EXITED && got.exit_code == 3 && got.warm &&
		   got.cpu_us == 500 && got.peak_memory_bytes == 77,
	   "what the kernel said of it is the result");
	turn();
	ok(cells_gone == 1 && cells_made == 4 && cells_in(st, CELL_MAKING, false) == 2,
	   "the cell goes, and others are made: one more is wanted");
	end_warm();
}

/* What a cell has no way to be given. */
static void test_not_plain(void)
{
	struct wire_run w = plain("python", 0);

	begin_warm();
	warm_up();
	w.open_stdin = true;
	run_this(2, &w);
	ok(went_cold(2), "who is given stdin bit by bit runs cold");
	w = plain("python", 0);
	w.input_fd = fd_memfd("input", "x", 1, NULL);
	run_this(3, &w);
	ok(went_cold(3), "and who has files or arguments");
	w = plain("python", 0);
	w.stdin_fd = fd_memfd("stdin", "x", 1, NULL);
	ok(run_this(4, &w)->cell && starts(4),
	   "who has a stdin that is there does not");
	zygote_says(GUEST_ENDED, run_find(&k, 4)->cell->id, 0);
	dies(run_find(&k, 4));
	must(finishes(4));
	end_warm();
}

static void test_not_dead(void)
{
	struct run *r;

	begin_warm();
	warm_up();
	r = run_one(2, "python", 0);
	must(starts(2));
	zygote_says(GUEST_ENDED, r->cell->id, 0);
	ok(r->state == RUN_ENDING && !written(LED_OUTCOME),
	   "what has said that it ended is not believed before it is dead");
	dies(r);
	ok(finishes(2) && got.status == SUP_EXITED && !got.exit_code, "and then it is");
	end_warm();
}

static void test_killed(void)
{
	static const struct {
		const char *what;
		enum run_event ev;
		enum sup_status status;
	} rows[] = {{"a deadline", EV_DEADLINE, SUP_TIMEOUT},
		    {"a cancel", EV_STOP, SUP_CANCELLED}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct run *r;

		begin_warm();
		warm_up();
		r = run_one(2, "python", 0);
		must(starts(2));
		if (rows[i].ev == EV_STOP)
			r->evidence.reason = VERDICT_CANCEL;
		run_event(r, rows[i].ev);
		ok(cells_killed == 1 && r->state == RUN_ENDING, "%s kills it",
		   rows[i].what);
		zygote_says(GUEST_ENDED, r->cell->id, SIGKILL);
		dies(r);
		ok(finishes(2) && got.status == rows[i].status && !got.signal,
		   "and is the result");
		end_warm();
	}
}

static void test_waits(void)
{
	struct stock *st;
	struct run *r;

	begin_warm();
	st = warm_up();
	two_run();
	r = run_one(4, "python", 0);
	ok(r && r->cell && r->state == RUN_STARTING && cells_made == 3 &&
		   !type_at(front),
	   "where none is ready, one is made, and waited for");
	make_ready(3);
	ok(r->state == RUN_RUNNING && starts(4), "it starts when that is");
	r = run_one(5, "python", 0);
	must(r && r->cell && r->state == RUN_STARTING);
	zygote_says(GUEST_FAILED, 4, 12);
	ok(went_cold(5), "what does not come is not waited for: it runs cold");
	r = run_one(6, "python", 0);
	must(r && r->cell);
	r->evidence.reason = VERDICT_CANCEL;
	run_event(r, EV_STOP);
	ok(finishes(6) && got.status == SUP_CANCELLED &&
		   cells_in(st, CELL_MAKING, false) >= 1,
	   "who does not want it any more leaves it to another");
	both_end();
	r = run_find(&k, 4);
	zygote_says(GUEST_ENDED, r->cell->id, 0);
	dies(r);
	must(finishes(4));
	end_warm();
}

/* It ends with the last run that has a cell of it: also one that is cancelled before it had the cell. */
static void test_retired(void)
{
	struct stock *st;
	struct run *r;

	begin_warm();
	st = warm_up();
	two_run();
	r = run_one(4, "python", 0);
	must(r && r->cell && r->state == RUN_STARTING);
	stock_retire(st);
	both_end();
	ok(st->state == STOCK_RETIRED, "a retired one stays while a run waits for it");
	r->evidence.reason = VERDICT_CANCEL;
	run_event(r, EV_STOP);
	ok(finishes(4) && got.status == SUP_CANCELLED && st->state == STOCK_ENDING,
	   "and not when that one wants it no more");
	end_warm();
}

/* A cgroup that is empty is believed before the guest has said so. */
static void test_late_word(void)
{
	struct run *r;
	uint64_t id;

	begin_warm();
	warm_up();
	r = run_one(2, "python", 0);
	must(starts(2));
	id = r->cell->id;
	run_event(r, EV_DEADLINE);
	dies(r);
	must(r->state == RUN_CLOSING);
	ok(cell_action(RUN_CLOSING, EV_ENDED) && cell_action(RUN_CLOSING, EV_OOM),
	   "what comes late is no surprise");
	zygote_says(GUEST_ENDED, id, SIGKILL);
	ok(finishes(2) && got.status == SUP_TIMEOUT && !got.signal,
	   "nor does it change what was found");
	end_warm();
}

/* Where each cell starts an interpreter: that takes as long as on the cold path, so none is ordered for a run that waits. */
static void test_ahead(void)
{
	struct stock *st;
	struct run *r;

	begin_warm();
	cells_ahead = true;
	st = warm_up();
	ok(cells_made == 2, "two are made");
	two_run();
	run_one(4, "python", 0);
	ok(went_cold(4) && cells_made == 2,
	   "when all are taken a run goes cold, and no other is ordered for it");
	both_end();
	turn();
	ok(st->wanted == 4 && cells_made == 4,
	   "more are wanted, but two at a time are made");
	r = run_one(5, "python", 0);
	ok(r && r->cell && r->cell->id == 3 && r->state == RUN_STARTING,
	   "a run waits for the one that was begun first");
	r = run_one(6, "python", 0);
	ok(r && r->cell && r->cell->id == 4 && r->state == RUN_STARTING,
	   "the next for the other");
	run_one(7, "python", 0);
	ok(went_cold(7) && cells_made == 4, "and then there is none");
	r->evidence.reason = VERDICT_CANCEL;
	run_event(r, EV_STOP);
	must(finishes(6));
	r = run_find(&k, 5);
	make_ready(3);
	ok(r->state == RUN_RUNNING && starts(5) && cells_made == 5,
	   "it starts when that is ready, which is when the next is begun");
	zygote_says(GUEST_ENDED, r->cell->id, 0);
	dies(r);
	must(finishes(5));
	end_warm();
}

/* Node without what it is held by: it looks for its program, finds none and ends. */
static void test_ahead_in_vain(void)
{
	begin_warm();
	cells_ahead = true;
	run_one(1, "python", 0);
	must(k.stocks && went_cold(1));
	zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	for (uint64_t id = 1; id <= 4; id++) {
		must(cells_made >= id || (stock_refill_in(k.stocks, 0), turn(), true));
		zygote_says(GUEST_CELL_MADE, id, 0);
		zygote_says(GUEST_ENDED, id, 1 << 8);
	}
	ok(k.stocks->state != STOCK_UP, "where none is ever ready, none more is made");
	run_one(2, "python", 0);
	ok(went_cold(2) && zygotes_made == 1, "and no other zygote is, for a while");
	end_warm();
}

static void test_open_files(void)
{
	unsigned least = 0;

	ok(stock_fit(24, 1 << 20) == 24 && !stock_fit(24, 500) &&
		   !stock_fit(0, 1 << 20),
	   "so many as are asked for, where there are open files for them");
	while (!stock_fit(24, least))
		least++;
	ok(stock_fit(24, least) == 1 && stock_fit(24, least + 100) > 1 &&
		   stock_fit(24, least + 100) < 24,
	   "fewer where these are few");
}

static void test_run_fails(void)
{
	begin_warm();
	warm_up();
	run_fails = true;
	run_one(2, "python", 0);
	ok(went_cold(2),
	   "a cell that does not take the code costs nothing: it runs cold");
	end_warm();
}

/* Who runs cold has been given to nobody before. */
static void test_not_watched(void)
{
	begin_warm();
	cells_unwatched = true;
	warm_up();
	run_one(2, "python", 0);
	ok(went_cold(2) && !cells_run,
	   "nor does one whose memory cannot be watched: it has not had the code");
	end_warm();
}

/* Cells go with their sandbox: nothing is wrong with how they are made. */
static void test_made_in_vain(void)
{
	struct stock *st;
	const uint64_t one = 1;

	begin_warm();
	run_one(1, "python", 0);
	must(k.stocks && went_cold(1));
	zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	st = k.stocks;
	for (unsigned i = 0; i < 6; i++)
		must(cell_order(st));
	for (uint64_t id = 1; id <= cells_made; id++)
		fd_close(&cell_line[id]);
	turn();
	ok(st->state == STOCK_UP && !st->failures,
	   "a line that closes says nothing of why");
	must(write(zygote_event, &one, sizeof(one)) == sizeof(one));
	turn();
	run_one(2, "python", 0);
	ok(went_cold(2) && zygotes_made == 2,
	   "the next run has another zygote started");
	end_warm();
}

static void test_cannot_be_made(void)
{
	begin_warm();
	run_one(1, "python", 0);
	must(k.stocks && went_cold(1));
	zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	for (uint64_t id = 1; id <= 3; id++) {
		must(cells_made >= id || (stock_refill_in(k.stocks, 0), turn(), true));
		zygote_says(GUEST_FAILED, id, 28);
	}
	ok(k.stocks->state == STOCK_UP, "a few that could not be made are nothing");
	stock_refill_in(k.stocks, 0);
	turn();
	make_ready(4);
	for (uint64_t id = 5; id <= 7; id++) {
		must(cells_made >= id || (stock_refill_in(k.stocks, 0), turn(), true));
		zygote_says(GUEST_FAILED, id, 28);
	}
	ok(k.stocks->state == STOCK_UP, "nor when one was made in between");
	stock_refill_in(k.stocks, 0);
	turn();
	zygote_says(GUEST_FAILED, 8, 28);
	ok(k.stocks->state == STOCK_ENDING, "more in a row are the end of it");
	run_one(2, "python", 0);
	ok(went_cold(2) && zygotes_made == 1, "it is not tried again at once");
	k.stock_not_before_us = 0;
	run_one(3, "python", 0);
	ok(went_cold(3) && zygotes_made == 2, "but later");
	end_warm();
}

/* Whatever it says that it may not say ends its sandbox, and loses nobody's answer. */
static void test_lies(void)
{
	static const struct {
		const char *what;
		uint32_t type;
		uint64_t id;
	} rows[] = {{"a second end", GUEST_ENDED, 1},
		    {"an end as of a session", GUEST_CALL_ENDED, 2},
		    {"that what runs was not made", GUEST_FAILED, 2},
		    {"that it was made twice", GUEST_CELL_MADE, 2},
		    {"that of one that has ended", GUEST_CELL_MADE, 1},
		    {"being up again", GUEST_ZYGOTE_UP, 0},
		    {"the guest itself again", GUEST_UP, 0},
		    {"the end of none there is", GUEST_ENDED, 60},
		    {"one not made that nobody ordered", GUEST_FAILED, 60}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct run *r;

		begin_warm();
		warm_up();
		r = run_one(2, "python", 0);
		must(starts(2));
		if (i == 0) {
			zygote_says(GUEST_ENDED, r->cell->id, 0);
			zygote_says(GUEST_ENDED, r->cell->id, 0);
		} else {
			zygote_says(rows[i].type, rows[i].id, 0);
		}
		ok(k.stocks->state == STOCK_ENDING, "%s is the end of it",
		   rows[i].what);
		dies(r);
		ok(finishes(2) && (got.status == SUP_LOST || !i),
		   "its run is told as lost, unless it had ended");
		end_warm();
	}
}

static void test_sandbox_dies(void)
{
	struct run *r, *other, *waits;
	const uint64_t one = 1;

	begin_warm();
	warm_up();
	r = run_one(2, "python", 0);
	other = run_one(3, "python", 0);
	must(other && starts(2) && starts(3));
	waits = run_one(4, "python", 0);
	must(waits->cell);
	must(write(zygote_event, &one, sizeof(one)) == sizeof(one));
	turn();
	ok(went_cold(4), "who waits for a cell goes the cold way");
	ok(r->state == RUN_ENDING, "who has one ends");
	loop_timer_stop(&k.loop, &other->timer); /* one after the other */
	cells_dead = gone_now = true;
	dies(r);
	ok(finishes(2) && got.status == SUP_LOST && got.warm, "as lost");
	loop_timer_set(&k.loop, &other->timer, 0);
	dies(other);
	must(finishes(3));
	run_one(5, "python", 0);
	ok(went_cold(5) && zygotes_made == 2, "the next one starts another zygote");
	end_warm();
}

int main(void)
{
	must(freopen("/dev/null", "w", stderr));
	test_first();
	test_ordinary();
	test_not_plain();
	test_not_dead();
	test_killed();
	test_waits();
	test_retired();
	test_late_word();
	test_ahead();
	test_ahead_in_vain();
	test_open_files();
	test_run_fails();
	test_not_watched();
	test_made_in_vain();
	test_cannot_be_made();
	test_lies();
	test_sandbox_dies();
	return tap_done();
}
