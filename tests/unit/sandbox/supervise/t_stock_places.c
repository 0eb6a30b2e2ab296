/* Several callers: whose warm sandbox stays, and how many cells wait in each. */
#include "tests/unit/sandbox/supervise/stock_test.h"

static bool goes_cold_for(uint64_t id, const char *who)
{
	const struct sup_identity it = {.principal = {who[0]}};
	const struct wire_run w = {.tool = POL_RUN_CODE,
				   .language = SV("python"),
				   .code_fd = fd_memfd("code", "x", 1, NULL),
				   .input_fd = -1,
				   .stdin_fd = -1};

	run_new(&k, id, &w, &it, NULL);
	keeper_pump(&k);
	turn();
	return written(LED_INTENT) && went_cold(id);
}

static unsigned stocks_in(enum stock_state state)
{
	unsigned n = 0;

	for (const struct stock *st = k.stocks; st; st = st->next)
		n += st->state == state;
	return n;
}

/* More callers than places. */
static void test_places(void)
{
	static const char who[] = "abcdefgh";
	int guests[8];
	struct stock *st;

	begin_warm();
	zygotes_stay = true;
	for (uint64_t i = 0; i < 8; i++) {
		must(goes_cold_for(i + 1, who + i));
		guests[i] = zygote_guest;
		zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	}
	ok(stocks_in(STOCK_UP) == 8, "each of the first has a zygote");
	ok(goes_cold_for(9, "i") && zygotes_made == 8 && stocks_in(STOCK_UP) == 8,
	   "one more takes none of those in use");
	st = k.stocks;
	st->made = 100000;
	st->timer.on_due(&st->timer);
	ok(stocks_in(STOCK_UP) == 7 && zygotes_made == 8,
	   "one that is to be renewed gives its place up");
	ok(goes_cold_for(10, "i") && zygotes_made == 8, "when it has gone");
	cells_dead = gone_now = true;
	st->child_ended = true;
	st->timer.on_due(&st->timer);
	while (k.stocks == st) /* which goes with its last cell */
		st->cells->timer.on_due(&st->cells->timer);
	ok(goes_cold_for(11, "i") && zygotes_made == 9, "to who asks next");
	k.stocks->next->used_us = 0;
	ok(goes_cold_for(12, "j") && stocks_in(STOCK_UP) == 6,
	   "and so does one that is not used");
	zygotes_stay = false;
	for (unsigned i = 0; i < ARRAY_LEN(guests); i++)
		if (guests[i] != zygote_guest)
			fd_close(&guests[i]);
	end_warm();
}

/* Two callers, and a budget that the first has used up. */
static void test_parts(void)
{
	struct stock *first, *second;
	int guest_of_first;

	begin_warm();
	zygotes_stay = true;
	k.warm_cells = 8;
	first = warm_up();
	first->wanted = 8;
	stock_refill_in(first, 0);
	turn();
	for (uint64_t id = 3; id <= cells_made; id++)
		make_ready(id);
	ok(cells_in(first, CELL_READY, false) == 8, "one alone has all of the budget");
	guest_of_first = zygote_guest;
	must(goes_cold_for(9, "b"));
	second = k.stocks;
	zygote_says(GUEST_ZYGOTE_UP, 0, 0);
	ok(second->state == STOCK_UP && !cells_in(second, CELL_MAKING, false),
	   "then another has nothing of it");
	first->timer.on_due(&first->timer);
	ok(cells_in(first, CELL_READY, false) == 4, "until the first is left its part");
	second->timer.on_due(&second->timer);
	turn();
	ok(cells_in(second, CELL_MAKING, false) == 2, "and the other has cells made");
	first->timer.on_due(&first->timer);
	ok(cells_in(first, CELL_READY, false) == 4, "what nobody needs it keeps");
	second->wanted = 8;
	first->used_us = 0;
	first->timer.on_due(&first->timer);
	ok(!cells_in(first, CELL_READY, false), "one not in use has no part");
	zygotes_stay = false;
	end_warm();
	fd_close(&guest_of_first);
	k.warm_cells = 24;
}

int main(void)
{
	must(freopen("/dev/null", "w", stderr));
	test_places();
	test_parts();
	return tap_done();
}
