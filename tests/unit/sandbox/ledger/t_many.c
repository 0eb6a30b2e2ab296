/* Several ledgers on one folder write one chain; only the dead ones' runs are closed. */
#include "led_test.h"

#define WRITERS 4
#define RUNS 120

/* One keeper: runs that begin and end, and one left open. */
static int writer(unsigned id)
{
	struct ledger l;
	char run[32];

	if (!ledger_start(&l, state_dir))
		return 1;
	for (unsigned i = 0; i < RUNS; i++) {
		snprintf(run, sizeof(run), "run_%u_%u", id, i);
		if (ask_intent(&l, run) != LED_ACK || ask_outcome(&l, run) != LED_ACK)
			return 2;
	}
	snprintf(run, sizeof(run), "run_%u_open", id);
	if (ask_intent(&l, run) != LED_ACK)
		return 3;
	return ledger_wait(&l);
}

static void at_once(void)
{
	pid_t pid[WRITERS];
	struct err e = {0};
	int bad = 0, status;
	char sql[128];

	fflush(stdout);
	for (unsigned i = 0; i < WRITERS; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(writer(i));
	}
	/* readers beside them see an intact record at every moment */
	while (waitpid(pid[0], &status, WNOHANG) == 0) {
		err_clear(&e);
		if (verify(state_dir, &e) < 0 && e.code != ERR_NOT_FOUND)
			bad++;
	}
	ok(!bad && !status, "%d writers at once, each verify meanwhile passes %s",
	   WRITERS, e.cause);
	for (unsigned i = 1; i < WRITERS; i++) {
		waitpid(pid[i], &status, 0);
		ok(!status, "writer %u got every acknowledgement", i);
	}
	/* start, stop, runs, one intent, one unknown */
	ok(verify(state_dir, &e) == WRITERS * (2 + 2 * RUNS + 2),
	   "no row is missing %s", e.cause);
	snprintf(sql, sizeof(sql), "SELECT count(DISTINCT instance) FROM audit");
	ok(raw_int(state_dir, sql) == WRITERS, "each has its own instance id");
}

static void the_living_are_left_alone(void)
{
	struct ledger a, b, c;

	must(ledger_start(&a, state_dir) && ledger_start(&b, state_dir));
	ok(ask_intent(&a, "run_a") == LED_ACK && ask_intent(&b, "run_b") == LED_ACK,
	   "two servers, a run in each");
	kill(a.pid, SIGKILL);
	ledger_wait(&a);
	ok(ledger_start(&c, state_dir) && c.orphans == 1,
	   "one dies; a third closes its run");
	ok(raw_int(state_dir,
		   "SELECT count(*) FROM audit WHERE kind='unknown' AND run_id='run_a' "
		   "AND json_extract(body,'$.reason')='server died'") == 1,
	   "that of the dead one");
	ok(ask_outcome(&c, "run_b") == LED_NAK, "no server ends another's run");
	ok(ask_outcome(&b, "run_b") == LED_ACK, "the other's goes on to its outcome");
	ok(ledger_wait(&b) == 0 && ledger_wait(&c) == 0, "both end well");
}

/* A process that hangs while it opens the store. */
static void stuck_opener(void)
{
	char path[160];
	struct ledger l;
	struct err e = {0};
	AUTO_FD fd = -1;

	snprintf(path, sizeof(path), "%s/lock", state_dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	must(!led_lock(fd, LED_LOCK_OPENING, 0, &e));
	ledger_fork(&l, state_dir, NULL, NULL, NULL);
	fd_close(&fd);
	ok(ledger_ready(&l) && ledger_wait(&l) == 0,
	   "a start waits for another's to end");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ok(!led_is_locked(fd, LED_LOCK_OPENING), "the lock is free again");
}

int main(void)
{
	struct err e = {0};

	folder_new();
	at_once();
	the_living_are_left_alone();
	stuck_opener();
	ok(verify(state_dir, &e) > 0, "the chain is intact %s", e.cause);
	folder_end();
	return tap_done();
}
