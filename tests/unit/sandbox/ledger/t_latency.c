/* An intent is acknowledged in far less time than a sandbox takes to start. */
#include "led_test.h"

#define ROUNDS 3000

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(void)
{
	static uint64_t us[ROUNDS];
	struct ledger l;
	unsigned acked = 0;
	char run[48];

	folder_new();
	must(ledger_start(&l, state_dir));
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t t0;

		snprintf(run, sizeof(run), "run_%08x%08x%08x%08x", i * 2654435761u, i,
			 i, i);
		t0 = loop_now_us();
		acked += ask_intent(&l, run) == LED_ACK;
		us[i] = loop_now_us() - t0;
		acked += ask_outcome(&l, run) == LED_ACK;
	}
	ledger_wait(&l);
	qsort(us, ROUNDS, sizeof(*us), by_size);
	/* typically 30 us and 100 us; the bound only catches an fsync in the path of every row */
	ok(acked == 2 * ROUNDS && us[ROUNDS / 2] < 1000,
	   "intent to acknowledgement: p50 %" PRIu64 " us, p99 %" PRIu64
	   " us, max %" PRIu64 " us",
	   us[ROUNDS / 2], us[ROUNDS * 99 / 100], us[ROUNDS - 1]);
	folder_end();
	return tap_done();
}
