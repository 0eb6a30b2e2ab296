/* How many cells wait, and when their sandbox ends or another takes its place. */
#include "tests/unit/sandbox/supervise/stock_test.h"

static void test_budget(void)
{
	static const struct {
		bool ahead;
		uint32_t may, made;
	} rows[] = {
		{false, 1, 1}, {false, 2, 2}, {true, 1, 1}, {true, 7, 1}, {true, 8, 2}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		begin_warm();
		cells_ahead = rows[i].ahead;
		k.warm_cells = rows[i].may;
		warm_up();
		ok(cells_made == rows[i].made, "where %u may wait, %u %s", rows[i].may,
		   rows[i].made,
		   rows[i].ahead ? "that take the place of four do" : "do");
		end_warm();
	}
}

/* So long have they been there, and so long nobody has asked. Then it is looked after. */
static void let_pass(struct stock *st, uint64_t age_s, uint64_t unused_ms)
{
	st->born_us = loop_now_us() - age_s * 1000000;
	st->used_us = loop_now_us() - unused_ms * 1000;
	st->timer.on_due(&st->timer);
	turn();
}

static void test_quiet(void)
{
	struct stock *st;

	begin_warm();
	st = warm_up();
	st->wanted = 5;
	let_pass(st, 1, 10);
	ok(st->wanted == 5, "as many are wanted as long as some are taken");
	let_pass(st, 1, 200);
	ok(st->wanted == 4, "one fewer each time that none was");
	for (unsigned i = 0; i < 9; i++)
		let_pass(st, 1, 200);
	ok(st->wanted == 2, "but some always");
	let_pass(st, 700, 599000);
	ok(st->state == STOCK_UP, "for ten minutes");
	let_pass(st, 700, 601000);
	ok(st->state == STOCK_ENDING, "then it ends");
	end_warm();
}

/* Another is begun; until that is up it serves. */
static void test_renewed(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct stock *st;
		struct run *r;
		int newer;
		AUTO_FD first = -1; /* else the guest of the first one would be gone */

		begin_warm();
		st = warm_up();
		first = fcntl(zygote_guest, F_DUPFD_CLOEXEC, 0);
		let_pass(st, 899, 0);
		ok(zygotes_made == 1, "it stays for a quarter of an hour");
		st->made = i ? 1001 : st->made;
		let_pass(st, i ? 1 : 901, 0);
		ok(zygotes_made == 2 && st->state == STOCK_UP,
		   "after %s another is begun", i ? "a thousand cells" : "that");
		let_pass(st, 901, 0);
		ok(zygotes_made == 2, "one is enough");
		r = run_one(2, "python", 0);
		must(ok(r && r->cell && r->cell->stock == st && starts(2),
			"meanwhile this one serves"));
		zygote_says(GUEST_ZYGOTE_UP, 0, 0);
		ok(k.stocks != st && k.stocks->state == STOCK_UP &&
			   st->state == STOCK_RETIRED,
		   "then the other does");
		newer = zygote_guest;
		zygote_guest = first;
		zygote_says(GUEST_ENDED, r->cell->id, 0);
		zygote_guest = newer;
		dies(r);
		must(finishes(2));
		ok(st->state == STOCK_ENDING, "and this one ends with its last run");
		end_warm();
	}
}

int main(void)
{
	must(freopen("/dev/null", "w", stderr));
	test_budget();
	test_quiet();
	test_renewed();
	return tap_done();
}
