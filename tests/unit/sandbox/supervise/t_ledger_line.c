/* What the keeper has to say to a ledger that does not read for a while. */
#include "tests/unit/sandbox/supervise/fake.h"

#define MANY 5000

static void on_room(struct loop_io *io, uint32_t events)
{
	(void)io;
	if (events & EPOLLOUT)
		ledger_write_again(&k);
}

static int ask(uint64_t id)
{
	struct ipc_msg m;

	ipc_start(&m, LED_OUTCOME, id);
	ipc_put_u64(&m, ~id);
	return keeper_ask_ledger(&k, &m);
}

/* The ledger takes all there is; how many came, in order and whole. */
static uint64_t take_all(uint64_t from)
{
	struct ipc_msg m;

	for (;;) {
		turn();
		if (ipc_recv(ledger, &m, NULL) != 1)
			return from;
		if (m.type != LED_OUTCOME || m.id != from || ipc_get_u64(&m) != ~from ||
		    !ipc_end(&m))
			return 0;
		from++;
		ipc_finish(&m);
	}
}

static void begin(void)
{
	up(0);
	k.ledger_io = (struct loop_io){.fd = k.ledger, .on_ready = on_room, .arg = &k};
	must(!loop_add(&k.loop, &k.ledger_io, EPOLLIN, NULL));
}

static void test_many(void)
{
	unsigned refused = 0;

	begin();
	for (uint64_t id = 1; id <= MANY; id++)
		refused += ask(id) != 0;
	ok(!refused && k.unwritten, "more than its socket holds is taken, at once");
	ok(take_all(1) == MANY + 1, "and all of it comes, in order");
	ok(!k.unwritten && !ask(1) && !k.unwritten, "then it goes straight again");
	loop_del(&k.loop, &k.ledger_io);
	down();
}

static void test_gone(void)
{
	begin();
	for (uint64_t id = 1; id <= MANY; id++)
		must(!ask(id));
	fd_close(&ledger);
	turn();
	k.ledger_gone = true;
	ok(ask(1) == -1, "one that has gone is told nothing");
	ledger_write_finish(&k);
	ok(!k.unwritten, "and what it was to be told is freed");
	loop_del(&k.loop, &k.ledger_io);
	down();
}

int main(void)
{
	must(freopen("/dev/null", "w", stderr));
	test_many();
	test_gone();
	return tap_done();
}
