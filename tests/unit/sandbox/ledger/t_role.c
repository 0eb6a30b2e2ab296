/* The ledger role answers every record, and closes what the keeper left open. */
#include "led_test.h"

static void serves(void)
{
	struct ledger l;
	struct err e = {0};
	struct stat st;
	char path[160];
	uint64_t seq = 0;
	struct ipc_msg m;
	struct led_intent x = sample_intent("run_a");

	ok(ledger_start(&l, state_dir) && l.last_seq == 1 && !l.orphans,
	   "a new record begins with `start`, and the ledger says it is ready");
	ipc_start(&m, LED_INTENT, 42);
	led_put_intent(&m, &x);
	ok(ask(&l, &m, &seq) == LED_ACK && seq == 2 && m.id == 42,
	   "an intent is row 2");
	ok(ask_intent(&l, "run_a") == LED_NAK, "the same run may not begin twice");
	ok(ask_outcome(&l, "run_b") == LED_NAK, "an outcome needs an open intent");
	ok(ask_outcome(&l, "run_a") == LED_ACK, "the outcome is taken");
	ok(ask_outcome(&l, "run_a") == LED_NAK, "but once");
	ok(ask_intent(&l, "run_a") == LED_NAK, "a run that ended may not begin again");
	ok(ask_event(&l, SV("refused"), SV("no such language")) == LED_ACK,
	   "a refusal is taken");
	ok(verify(state_dir, &e) == 4, "the record is intact while the server runs");
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", state_dir,
			 i ? "audit.db-wal" : "audit.db");
		ok(!stat(path, &st) && (st.st_mode & 07777) == 0600, "%s is private",
		   path);
	}
	ok(!stat(state_dir, &st) && (st.st_mode & 07777) == 0700, "so is the folder");
	ok(ledger_wait(&l) == 0, "it ends with the keeper");
	ok(verify(state_dir, &e) == 5, "with a `stop` row");
	ok(raw_int(state_dir, "SELECT count(*) FROM audit WHERE kind='stop'") == 1,
	   "one");
}

static void keeper_dies(void)
{
	struct ledger l;
	struct err e = {0};

	ok(ledger_start(&l, state_dir), "starts on an old record");
	ok(ask_intent(&l, "run_c") == LED_ACK && ask_intent(&l, "run_d") == LED_ACK,
	   "two runs begin");
	ok(ledger_wait(&l) == 0, "the keeper goes without a word");
	ok(raw_int(state_dir,
		   "SELECT count(*) FROM audit WHERE kind='unknown' AND run_id IN "
		   "('run_c','run_d') AND principal='local' AND "
		   "json_extract(body,'$.reason')='keeper ended'") == 2,
	   "both are closed as unknown");
	ok(verify(state_dir, &e) == 11, "and the record is intact: %s", e.cause);
}

static void signals(void)
{
	struct ledger l;

	ok(ledger_start(&l, state_dir), "starts");
	kill(l.pid, SIGINT);
	kill(l.pid, SIGTERM);
	ok(ask_intent(&l, "run_e") == LED_ACK, "SIGINT and SIGTERM do not end it");
	ok(ask_event(&l, SV("stop"), SV("end of input")) == LED_ACK,
	   "the keeper says stop");
	ok(ledger_wait(&l) == 0, "ends");
	ok(raw_int(state_dir,
		   "SELECT count(*) FROM audit WHERE kind='stop' AND instance="
		   "(SELECT max(id) FROM instances)") == 1,
	   "there is one stop row, not two");
}

static void broken_records(void)
{
	static const uint32_t types[] = {LED_INTENT, LED_OUTCOME, LED_EVENT,
					 LED_ACK,    0,		  7777};
	struct err e = {0};

	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		struct ledger l;
		struct ipc_msg m;
		char run[16];

		snprintf(run, sizeof(run), "run_x%u", i);
		ledger_start(&l, state_dir);
		ask_intent(&l, run);
		ipc_start(&m, types[i], 1);
		ipc_put_u32(&m, 5);
		ok(ask(&l, &m, NULL) == 0 && ledger_wait(&l) == 1,
		   "a broken record of type %u ends it with an error", types[i]);
	}
	ok(raw_int(state_dir,
		   "SELECT count(*) FROM audit WHERE kind='unknown' AND "
		   "json_extract(body,'$.reason')='keeper sent a broken record'") ==
		   (int64_t)ARRAY_LEN(types),
	   "the open runs are closed all the same");
	ok(verify(state_dir, &e) > 0, "and the record is intact: %s", e.cause);
}

static void descriptor(void)
{
	struct ledger l;
	struct ipc_msg m;
	struct led_outcome x = sample_outcome("run_y");

	ledger_start(&l, state_dir);
	ask_intent(&l, "run_y");
	ipc_start(&m, LED_OUTCOME, 1);
	led_put_outcome(&m, &x);
	ipc_put_fd(&m, 0);
	ok(ask(&l, &m, NULL) == 0 && ledger_wait(&l) == 1,
	   "so is one with a descriptor");
}

/* The keeper sends hundreds of records before it reads one answer. */
static void slow_reader(void)
{
	struct ledger l;
	struct err e = {0};
	struct ipc_msg m;
	unsigned sent = 0, acked = 0;
	const unsigned want = 2000;

	ledger_start(&l, state_dir);
	while (acked < want) {
		struct led_event x = {.kind = SV("refused"), .detail = SV("x")};

		err_clear(&e);
		ipc_start(&m, LED_EVENT, sent);
		led_put_event(&m, &x);
		if (sent < want && !ipc_send(l.sock, &m, &e)) {
			sent++;
			continue;
		}
		if (ledger_recv(&l, &m) != LED_ACK || m.id != acked)
			break;
		acked++;
	}
	ok(acked == want, "%u answers arrive in order after a keeper that reads late",
	   acked);
	ok(ledger_wait(&l) == 0, "and it ends well");
}

static int refuse_confine(void *arg)
{
	(void)arg;
	return -1;
}

static void unconfined(void)
{
	struct ledger l;

	ledger_fork(&l, state_dir, NULL, refuse_confine, NULL);
	ok(!ledger_ready(&l) && ledger_wait(&l) == 1, "it does not serve unconfined");
}

int main(void)
{
	folder_new();
	serves();
	keeper_dies();
	signals();
	broken_records();
	descriptor();
	slow_reader();
	unconfined();
	folder_end();
	return tap_done();
}
