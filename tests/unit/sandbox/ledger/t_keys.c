/* API keys: made, found, revoked beside a running server; and the chain tells of each. */
#include "led_test.h"

#include <sodium.h>

static uint64_t asked;

/* What the running ledger says of a key. */
static struct led_key_found find(struct ledger *l, const char *key)
{
	struct led_key_found f = {.state = LED_KEY_STATE_COUNT};
	unsigned char hash[32];
	struct ipc_msg m;

	led_key_hash(sv_of(key), hash);
	ipc_start(&m, LED_KEY_FIND, ++asked);
	led_put_key_find(&m, led_key_id(sv_of(key)), hash);
	if (ask(l, &m, NULL) == LED_KEY_FOUND)
		must(!led_get_key_found(&m, &f));
	return f;
}

static void texts(const char *key)
{
	static const char *const bad[] = {
		"",
		"fh_",
		"fh_abcd1234_",
		"fh_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 42 */
		"fh_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 44 */
		"fh_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", /* not canonical */
		"fh_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"fh_abcd1234-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"fh_ABCD1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"fh_abc'1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"FH_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	};

	ok(strlen(key) == LED_KEY_TEXT_SIZE - 1 && led_key_id(sv_of(key)).n == 8,
	   "a key is fh_ID_SECRET");
	ok(led_key_id(SV("fh_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).n,
	   "the control is one");
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		ok(!led_key_id(sv_of(bad[i])).n, "\"%s\" is none", bad[i]);
}

static void names(void)
{
	static const char *const bad[] = {"",	  "a b",      "fh_x", "a/b",
					  "a\nb", "\303\244", "a'b"};
	char key[LED_KEY_TEXT_SIZE], name[LED_KEY_NAME_SIZE + 1];
	struct err e = {0};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		ok(led_key_create(state_dir, sv_of(bad[i]), 0, key, NULL),
		   "no name: \"%s\"", bad[i]);
	memset(name, 'n', sizeof(name));
	ok(led_key_create(state_dir, (struct sv){name, 65}, 0, key, NULL),
	   "nor 65 characters");
	ok(!led_key_create(state_dir, (struct sv){name, 64}, 0, key, &e),
	   "64 are one %s", e.cause);
	ok(led_key_create(state_dir, (struct sv){name, 64}, 0, key, &e) &&
		   strstr(e.cause, "already"),
	   "but once: %s", e.cause);
}

static int64_t seq_of(const char *sql)
{
	return raw_int(state_dir, sql);
}

static void life(void)
{
	char ci[LED_KEY_TEXT_SIZE], old[LED_KEY_TEXT_SIZE], other[LED_KEY_TEXT_SIZE];
	struct ledger l, second;
	struct led_key gone;
	struct err e = {0};

	ok(!led_key_create(state_dir, SV("ci"), 0, ci, &e),
	   "a key before any server: %s", e.cause);
	texts(ci);
	ok(ledger_start(&l, state_dir) && ledger_start(&second, state_dir),
	   "two servers");
	ok(!led_key_create(state_dir, SV("old"), 1, old, &e), "one that has expired");
	ok(!led_key_create(state_dir, SV("other"), loop_wall_us() + 3600000000u, other,
			   &e),
	   "one beside running servers");
	ok(find(&l, ci).state == LED_KEY_GOOD && !strcmp(find(&l, ci).name, "ci") &&
		   !find(&l, ci).expires_us,
	   "the key is found");
	ok(find(&second, other).state == LED_KEY_GOOD &&
		   find(&second, other).expires_us,
	   "so is the other, by the other server");
	ok(find(&l, old).state == LED_KEY_EXPIRED, "the expired one is expired");
	memcpy(old + 3, ci + 3, 8);
	ok(find(&l, old).state == LED_KEY_UNKNOWN,
	   "another's secret under an id is unknown");
	memcpy(old + 3, "zzzzzzzz", 8);
	ok(find(&l, old).state == LED_KEY_UNKNOWN && !find(&l, old).name[0],
	   "so is an id that was never made");
	ok(!led_key_revoke(state_dir, SV("ci"), &gone, &e) && !strcmp(gone.name, "ci"),
	   "revoked by its name");
	ok(find(&l, ci).state == LED_KEY_REVOKED &&
		   find(&second, ci).state == LED_KEY_REVOKED,
	   "is so at once, for every server");
	ok(led_key_revoke(state_dir, SV("ci"), &gone, &e) && strstr(e.cause, "already"),
	   "but once: %s", e.cause);
	err_clear(&e);
	ok(!led_key_create(state_dir, SV("ci"), 0, ci, &e) &&
		   find(&l, ci).state == LED_KEY_GOOD,
	   "the name is free again %s", e.cause);
	other[7] = '\0'; /* fh_ and four */
	ok(!led_key_revoke(state_dir, sv_of(other), &gone, &e) &&
		   !strcmp(gone.name, "other"),
	   "revoked by the first of its id %s", e.cause);
	ok(led_key_revoke(state_dir, SV("fh_zzz"), &gone, &e) &&
		   led_key_revoke(state_dir, SV("fh_%_%_"), &gone, &e) &&
		   led_key_revoke(state_dir, SV("nobody"), &gone, &e),
	   "nothing else is");
	ok(!ledger_wait(&l) && !ledger_wait(&second), "the servers end");
	ok(seq_of("SELECT count(*) FROM audit WHERE kind='key_created'") == 5 &&
		   seq_of("SELECT count(*) FROM audit WHERE kind='key_revoked'") == 2,
	   "the record tells of all");
	ok(verify(state_dir, &e) > 0, "and is intact: %s", e.cause);
}

static void never_kept(void)
{
	AUTO_BUF b = {.max = (size_t)8 << 20};
	char key[LED_KEY_TEXT_SIZE], path[160];
	struct err e = {0};

	must(!led_key_create(state_dir, SV("secret"), 0, key, &e));
	snprintf(path, sizeof(path), "%s/audit.db", state_dir);
	must(!fd_read_file(path, &b, &e));
	ok(memmem(b.p, b.n, key + 3, 8) && !memmem(b.p, b.n, key + 12, 43),
	   "the id is in the file, the secret is not");
}

static unsigned n_keys, n_used;
static void on_key(void *arg, const struct led_key *k)
{
	(void)arg;
	n_keys++;
	n_used += k->used_us != 0;
	must(k->created_us && k->name[0] && strlen(k->id) == 8);
}

/* In place of the library's: how often it was asked, and for how many bytes. */
static unsigned n_compared, n_compared_bytes;

int sodium_memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;
	unsigned char differs = 0;

	n_compared++;
	n_compared_bytes += (unsigned)n;
	for (size_t i = 0; i < n; i++)
		differs |= x[i] ^ y[i];
	return differs ? -1 : 0;
}

/* Neither tells a caller how far the look-up got: the statements, and the comparisons, one of a whole
 * hash. */
static unsigned n_statements;
static int on_trace(unsigned what, void *arg, void *p, void *x)
{
	(void)arg;
	(void)p;
	(void)x;
	n_statements += what == SQLITE_TRACE_STMT;
	return 0;
}

static unsigned statements_for(struct led_store *s, const char *key,
			       enum led_key_state want)
{
	unsigned char hash[32];
	struct led_key_found f;

	led_key_hash(sv_of(key), hash);
	n_statements = n_compared = n_compared_bytes = 0;
	led_key_find(s, led_key_id(sv_of(key)), (struct sv){(const char *)hash, 32}, &f,
		     NULL);
	must(f.state == want);
	ok(n_compared == 1 && n_compared_bytes == 32,
	   "one comparison of 32 bytes in constant time, whatever comes of it (%u)",
	   want);
	return n_statements;
}

static void same_work(void)
{
	char good[LED_KEY_TEXT_SIZE], wrong[LED_KEY_TEXT_SIZE], none[LED_KEY_TEXT_SIZE];
	struct led_store s = {0};
	struct err e = {0};
	uint32_t orphans;
	unsigned first;

	must(!led_key_create(state_dir, SV("twice"), 0, good, &e));
	memcpy(wrong, good, sizeof(wrong));
	wrong[20] = wrong[20] == 'A' ? 'B' : 'A';
	memcpy(none, wrong, sizeof(none));
	memcpy(none + 3, "00000000", 8);
	must(!led_store_open(&s, state_dir, &orphans, &e));
	sqlite3_trace_v2(s.db, SQLITE_TRACE_STMT, on_trace, NULL);
	first = statements_for(&s, good, LED_KEY_GOOD);
	ok(first > 1, "the first use is noted");
	ok(statements_for(&s, good, LED_KEY_GOOD) == 1,
	   "a right key takes one statement");
	ok(statements_for(&s, wrong, LED_KEY_UNKNOWN) == 1 &&
		   statements_for(&s, none, LED_KEY_UNKNOWN) == 1,
	   "so do a wrong one and an unknown one");
	must(!led_store_end(&s, "test", false, &e));
	led_store_finish(&s);
	ok(!led_key_each(state_dir, on_key, NULL, &e) && n_keys == 7 && n_used == 4,
	   "listed: %u keys, %u used", n_keys, n_used);
}

/* A record that was made before there were keys. */
static void old_record(void)
{
	char dir[128], key[LED_KEY_TEXT_SIZE];
	struct ledger l;
	struct err e = {0};

	snprintf(dir, sizeof(dir), "%s/old", base_dir);
	ok(ledger_start(&l, dir) && ask_intent(&l, "run_1") == LED_ACK &&
		   ask_outcome(&l, "run_1") == LED_ACK && !ledger_wait(&l),
	   "a record");
	must(!raw_exec(dir, "DROP TABLE keys"));
	n_keys = 0;
	ok(verify(dir, &e) == 4, "without the table it is intact %s", e.cause);
	ok(!led_key_each(dir, on_key, NULL, &e) && !n_keys, "and has no keys");
	ok(ledger_start(&l, dir), "a server opens it");
	ok(!led_key_create(dir, SV("new"), 0, key, &e) &&
		   find(&l, key).state == LED_KEY_GOOD,
	   "and keys can be made %s", e.cause);
	ok(!ledger_wait(&l) && verify(dir, &e) == 7, "the chain goes on %s", e.cause);
}

static void tampered(const char *sql)
{
	struct err e = {0};

	ok(!raw_exec(state_dir, sql), "done: %s", sql);
	ok(verify(state_dir, &e) == -1 && strstr(e.cause, "API key"), "seen: %s",
	   e.cause);
}

static void by_hand(void)
{
	char key[LED_KEY_TEXT_SIZE];
	struct err e = {0};

	must(!led_key_create(state_dir, SV("t"), 1, key, &e));
	ok(verify(state_dir, &e) > 0, "the control is intact %s", e.cause);
	tampered("INSERT INTO keys VALUES('aaaaaaaa','mallory',zeroblob(32),1,0,0,0)");
	must(!raw_exec(state_dir, "DELETE FROM keys WHERE id='aaaaaaaa'"));
	tampered("UPDATE keys SET expires_us=0 WHERE name='t'");
	must(!raw_exec(state_dir, "UPDATE keys SET expires_us=1 WHERE name='t'"));
	tampered("UPDATE keys SET name='root' WHERE name='t'");
	must(!raw_exec(state_dir, "UPDATE keys SET name='t' WHERE name='root'"));
	tampered("UPDATE keys SET revoked_us=0 WHERE name='other'");
	must(!raw_exec(state_dir, "UPDATE keys SET revoked_us=5 WHERE name='other'"));
	tampered("UPDATE keys SET hash=zeroblob(32) WHERE name='t'");
}

static void broken_question(void)
{
	struct ledger l;
	struct ipc_msg m;

	must(ledger_start(&l, state_dir));
	ipc_start(&m, LED_KEY_FIND, 1);
	ipc_put_sv(&m, SV("abcd123'"));
	ipc_put_sv(&m, SV("01234567890123456789012345678901"));
	ok(ask(&l, &m, NULL) == 0 && ledger_wait(&l) == 1,
	   "an id no encoder makes ends the role");
}

int main(void)
{
	folder_new();
	must(sodium_init() >= 0);
	names();
	life();
	never_kept();
	same_work();
	old_record();
	broken_question();
	by_hand();
	folder_end();
	return tap_done();
}
