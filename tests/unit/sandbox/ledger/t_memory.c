/* Every allocation fails once, SQLite's included: an error with its cause, and the chain stands. */
#include "led_test.h"

struct block {
	max_align_t n;
};

static void *sq_alloc(int n)
{
	struct block *b = mem_alloc(sizeof(*b) + (size_t)n);

	if (!b)
		return NULL;
	memcpy(b, &n, sizeof(n));
	return b + 1;
}

static void sq_free(void *p)
{
	if (p)
		mem_free((struct block *)p - 1);
}

static int sq_size(void *p)
{
	int n = 0;

	if (p)
		memcpy(&n, (struct block *)p - 1, sizeof(n));
	return n;
}

static void *sq_realloc(void *p, int n)
{
	struct block *b = mem_realloc((struct block *)p - 1, sizeof(*b) + (size_t)n);

	if (!b)
		return NULL;
	memcpy(b, &n, sizeof(n));
	return b + 1;
}

static int sq_round(int n)
{
	return (n + 7) & ~7;
}

static int sq_init(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void sq_end(void *arg)
{
	(void)arg;
}

static const sqlite3_mem_methods methods = {
	.xMalloc = sq_alloc,
	.xFree = sq_free,
	.xRealloc = sq_realloc,
	.xSize = sq_size,
	.xRoundup = sq_round,
	.xInit = sq_init,
	.xShutdown = sq_end,
};

static long failing_at;
static bool reached; /* the failing allocation took place */

/* mem_fail_after counts down to 0 when it has struck: ask by allocating. */
static bool struck(void)
{
	for (int i = 0; i < 3; i++) {
		void *p = mem_alloc(1);

		if (!p)
			return false;
		mem_free(p);
	}
	return true;
}

/* A session of the store; whatever fails, fails with a cause. */
static bool store_session(const char *dir, long n, struct err *e)
{
	struct led_store s = {0};
	char run[32];
	struct led_entry x = {.effect = LED_OPENS,
			      .kind = SV("intent"),
			      .principal = SV("local"),
			      .body = SV("{}")};
	uint32_t orphans;
	int rc;

	snprintf(run, sizeof(run), "run_%ld", n);
	x.run_id = sv_of(run);
	mem_fail_after(n);
	rc = led_store_open(&s, dir, &orphans, e) || led_append(&s, &x, NULL, e) ||
	     led_sync(&s, e);
	if (!rc && n % 2) /* every other one leaves its run to the next start */
		rc = led_store_end(&s, "test", false, e);
	led_store_finish(&s);
	return !rc;
}

static void store(void)
{
	struct err e = {0};
	long n, silent = 0, broken = 0, failed = 0;

	for (n = 1; n < 5000; n++) {
		bool good;

		err_clear(&e);
		good = store_session(state_dir, n, &e);
		failed += !good;
		silent += !good && !e.cause[0];
		reached = struck();
		mem_fail_after(0);
		err_clear(&e);
		if (verify(state_dir, &e) < 1 && e.code != ERR_NOT_FOUND)
			broken++;
		if (good && !reached)
			break;
	}
	ok(n > 100 && failed > 50 && !silent && !broken,
	   "the store: %ld allocations, %ld failures, each told, the chain stands %s",
	   n, failed, e.cause);
}

/* The commands either print the same as ever or fail with a cause. */
static void command(const char *name,
		    int (*cmd)(const struct led_query *, FILE *, struct err *),
		    bool json)
{
	struct led_query q = {
		.state_dir = state_dir, .json = json, .run_id = SV("run_0")};
	struct err e = {0};
	struct buf want, got;
	long wrong = 0;
	bool good = false;

	must(!printed(cmd, &q, &want, &e));
	for (failing_at = 1; !good && failing_at < 5000; failing_at++) {
		FILE *f = tmpfile();
		int rc;

		err_clear(&e);
		mem_fail_after(failing_at);
		rc = cmd(&q, f, &e);
		good = !struck();
		mem_fail_after(0);
		fclose(f);
		wrong += rc ? !e.cause[0] : 0;
	}
	ok(good && failing_at > 30 && !wrong && !printed(cmd, &q, &got, &e) &&
		   sv_eq(buf_view(&want), buf_view(&got)),
	   "%s%s: %ld allocations, each failure told", name, json ? " --json" : "",
	   failing_at);
	buf_finish(&want);
	buf_finish(&got);
}

int main(void)
{
	struct err e = {0};

	/* no lookaside and no page cache of its own: every need is an allocation */
	must(!sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) &&
	     !sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0));
	folder_new();
	store();
	must(store_session(state_dir, 0, &e)); /* a run for `show`: nothing fails */
	for (int json = 0; json < 2; json++) {
		command("list", led_audit_list, json);
		command("show", led_audit_show, json);
		command("verify", verify_cmd, json);
	}
	folder_end();
	return tap_done();
}
