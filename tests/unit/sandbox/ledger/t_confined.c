/* Under the role's real confinement the ledger does all it has to: grow, checkpoint, end. */
#include "led_test.h"

#include "sandbox/launch/launch.h"

static int confine(void *arg)
{
	const char *const dirs[] = {arg, NULL};
	struct err e = {0};

	if (launch_role_confine(LAUNCH_LEDGER, dirs, 0, &e))
		return -1;
	/* the control: were it not confined, this would open and the test fail */
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0
										: -1;
}

static uint32_t ask_wrapped(struct ledger *l, uint32_t type, struct sv blob)
{
	const struct led_wrapped k = {.tenant = SV("key:ci"), .epoch = 1, .blob = blob};
	struct ipc_msg m;

	ipc_start(&m, type, 9);
	led_put_wrapped(&m, &k);
	return ask(l, &m, NULL);
}

int main(void)
{
	const unsigned runs = 3000;
	struct ledger l;
	struct err e = {0};
	struct stat st;
	char run[32], wal[160];
	unsigned acked = 0;

	folder_new();
	ledger_fork(&l, state_dir, NULL, confine, state_dir);
	ok(ledger_ready(&l), "it is ready, and could not open a file elsewhere");
	for (unsigned i = 0; i < runs; i++) {
		snprintf(run, sizeof(run), "run_%u", i * 2654435761u);
		acked += ask_intent(&l, run) == LED_ACK &&
			 ask_outcome(&l, run) == LED_ACK;
	}
	ok(acked == runs, "%u runs are recorded", acked);
	snprintf(wal, sizeof(wal), "%s/audit.db-wal", state_dir);
	must(!stat(wal, &st));
	ok(st.st_size < (off_t)48 << 20, "checkpoints keep the log small (%lld bytes)",
	   (long long)st.st_size);
	ok(ask_wrapped(&l, LED_WRAPPED_PUT, SV("wrapped")) == LED_ACK &&
		   ask_wrapped(&l, LED_WRAPPED_DESTROY, SV("")) == LED_ACK &&
		   !stat(wal, &st) && !st.st_size,
	   "a wrapped key is kept and destroyed, and the log cut");
	ok(ask_intent(&l, "run_open") == LED_ACK && ledger_wait(&l) == 0,
	   "it ends well");
	ok(stat(wal, &st) && errno == ENOENT, "and leaves no write-ahead log behind");
	ok(verify(state_dir, &e) == 2 * runs + 4, "the chain is intact %s", e.cause);
	folder_end();
	return tap_done();
}
