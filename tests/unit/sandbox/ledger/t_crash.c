/* A ledger killed at any step loses no acknowledged row, and the next start closes its runs. */
#include "led_io.h"

static char run_a[32], run_b[32];

struct acked {
	bool intent_a, outcome_a, intent_b;
};

/* One session in a ledger that will be killed at the planned call: a run that ends, a run that does
 * not, the end. True when the kill came. */
static bool session(const char *dir, struct acked *got)
{
	struct ledger l;

	*got = (struct acked){0};
	io->calls = 0;
	io->hit = false;
	ledger_fork(&l, dir, io_install, NULL, NULL);
	if (ledger_ready(&l)) {
		got->intent_a = ask_intent(&l, run_a) == LED_ACK;
		got->outcome_a = got->intent_a && ask_outcome(&l, run_a) == LED_ACK;
		got->intent_b = ask_intent(&l, run_b) == LED_ACK;
	}
	return ledger_wait(&l) == -SIGKILL;
}

static bool row_there(const char *dir, const char *kind, const char *run)
{
	char sql[200];

	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM audit WHERE kind='%s' AND run_id='%s'", kind,
		 run);
	return raw_int(dir, sql) == 1;
}

/* A clean start after the crash; what must hold, or the name of what does not. */
static const char *recover(const char *dir, const struct acked *got, struct err *e)
{
	struct ledger l;

	if (!ledger_start(&l, dir))
		return "it starts again";
	if (verify(dir, e) < 1)
		return "the chain is intact while it runs";
	if (ledger_wait(&l))
		return "it ends well";
	if (got->intent_a && !row_there(dir, "intent", run_a))
		return "an acknowledged intent is there";
	if (got->outcome_a && !row_there(dir, "outcome", run_a))
		return "an acknowledged outcome is there";
	if (got->intent_b &&
	    (!row_there(dir, "intent", run_b) || !row_there(dir, "unknown", run_b)))
		return "an orphan is closed as unknown";
	if (raw_int(dir,
		    "SELECT count(*) FROM audit i WHERE kind='intent' AND (SELECT count(*) FROM"
		    " audit o WHERE o.run_id=i.run_id AND o.kind IN ('outcome','unknown'))"
		    "<>1"))
		return "every intent has exactly one end";
	if (raw_int(dir, "SELECT count(*) FROM open_runs") ||
	    raw_int(dir, "SELECT count(*) FROM instances WHERE ended_us IS NULL"))
		return "nothing is left open";
	if (verify(dir, e) < 1)
		return "the chain is intact";
	return NULL;
}

/* Kills at call 1, 2, 3, ... until a session gets through. */
static void kill_everywhere(enum io_mode mode, bool fresh, const char *what)
{
	const char *broken = NULL;
	struct err e = {0};
	struct acked got;
	char dir[128];
	long n = 0, kills = 0;
	bool killed = true;

	snprintf(dir, sizeof(dir), "%s/%d%d", base_dir, (int)mode, fresh);
	for (n = 1; killed && !broken && n < 2000; n++) {
		snprintf(run_a, sizeof(run_a), "run_a%ld", n);
		snprintf(run_b, sizeof(run_b), "run_b%ld", n);
		if (fresh)
			remove_tree(dir);
		io->mode = mode;
		io->at = n;
		killed = session(dir, &got);
		kills += killed;
		io->mode = IO_PASS;
		broken = recover(dir, &got, &e);
	}
	ok(!broken, "%s: %ld kills, each survived%s%s %s", what, kills,
	   broken ? "; broken: " : "", broken ? broken : "", e.cause);
	ok(!killed && kills > 60,
	   "%s: every step was killed at, and then one got through", what);
}

/* Kills from outside at no step in particular, with several runs under way. */
static void kill_at_random(void)
{
	unsigned bad = 0;
	struct err e = {0};
	char run[32];

	for (unsigned n = 0; n < 150 && !bad; n++) {
		struct ledger l;
		unsigned acked = 0;

		if (!ledger_start(&l, state_dir))
			bad++;
		for (unsigned i = 0; i < n % 7; i++) {
			snprintf(run, sizeof(run), "run_%u_%u", n, i);
			acked += ask_intent(&l, run) == LED_ACK;
		}
		kill(l.pid, SIGKILL);
		ledger_wait(&l);
		if (!ledger_start(&l, state_dir) || l.orphans != acked ||
		    acked != n % 7)
			bad++;
		kill(l.pid, SIGKILL);
		ledger_wait(&l);
	}
	ok(!bad,
	   "after 300 kills each start closed exactly the runs acknowledged before");
	ok(verify(state_dir, &e) > 300, "and the chain is intact %s", e.cause);
}

int main(void)
{
	/* a kill leaves the page cache as it is: memory shows as much as a disk, sooner */
	folder_new_in(access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	io_new();
	kill_everywhere(IO_KILL, true, "new folder");
	kill_everywhere(IO_KILL_TORN, true, "new folder, writes torn in half");
	kill_everywhere(IO_KILL, false, "old folder");
	kill_everywhere(IO_KILL_TORN, false, "old folder, writes torn in half");
	kill_at_random();
	folder_end();
	return tap_done();
}
