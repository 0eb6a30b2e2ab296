/* `audit verify` names every row that was changed, removed, inserted or moved. */
#include "led_test.h"

static char copy_dir[96];

/* Ten rows: start, four intents, four outcomes, stop. */
static void make_record(void)
{
	static const char *const runs[] = {"run_1", "run_2", "run_3", "run_4"};
	struct ledger l;
	bool good = ledger_start(&l, state_dir);

	for (unsigned i = 0; i < ARRAY_LEN(runs); i++)
		good = good && ask_intent(&l, runs[i]) == LED_ACK &&
		       ask_outcome(&l, runs[i]) == LED_ACK;
	ok(good && ledger_wait(&l) == 0, "a record of ten rows");
}

static void copy_record(void)
{
	char from[160], to[160];
	AUTO_BUF b = {.max = (size_t)4 << 20};
	struct err e = {0};
	AUTO_FD fd = -1;

	remove_tree(copy_dir);
	must(!mkdir(copy_dir, 0700));
	snprintf(from, sizeof(from), "%s/audit.db", state_dir);
	snprintf(to, sizeof(to), "%s/audit.db", copy_dir);
	must(!fd_read_file(from, &b, &e));
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fd >= 0 && !fd_write_all(fd, b.p, b.n));
}

/* Does sql to a copy of the record; verify must say all of `says`. */
static void tamper(const char *sql, const char *says)
{
	struct err e = {0};

	copy_record();
	if (!ok(!raw_exec(copy_dir, UNLOCK_SQL) && !raw_exec(copy_dir, sql), "done: %s",
		sql))
		return;
	ok(verify(copy_dir, &e) == -1 && strstr(e.cause, says), "\"%s\" is in \"%s\"",
	   says, e.cause);
}

static void columns(void)
{
	tamper("UPDATE audit SET ts_us=ts_us+1 WHERE seq=4", "row 4 was changed");
	tamper("UPDATE audit SET instance=9 WHERE seq=4", "row 4 was changed");
	tamper("UPDATE audit SET kind='outcome' WHERE seq=4", "row 4 was changed");
	tamper("UPDATE audit SET run_id='run_9' WHERE seq=4", "row 4 was changed");
	tamper("UPDATE audit SET principal='someone' WHERE seq=4", "row 4 was changed");
	tamper("UPDATE audit SET body=replace(body,'python','pythoN') WHERE seq=4",
	       "row 4 was changed");
	tamper("UPDATE audit SET prev=zeroblob(32) WHERE seq=4",
	       "row 4 was changed or replaced");
	tamper("UPDATE audit SET hash=zeroblob(32) WHERE seq=4", "row 4 was changed");
	tamper("UPDATE audit SET hash=zeroblob(31) WHERE seq=4",
	       "row 4 was changed: its hash is not 32 bytes long");
	tamper("UPDATE audit SET seq=77 WHERE seq=4", "row 4 is missing");
	/* the same bytes, moved from one column to the next */
	tamper("UPDATE audit SET run_id='run_2l', principal='ocal' WHERE seq=4",
	       "row 4 was changed");
	tamper("UPDATE audit SET body=body||char(0) WHERE seq=10",
	       "row 10 was changed");
}

static void removals(void)
{
	tamper("DELETE FROM audit WHERE seq=1", "row 1 is missing");
	tamper("DELETE FROM audit WHERE seq=5", "row 5 is missing");
	tamper("DELETE FROM audit WHERE seq IN (5,6,7)",
	       "row 5 is missing, and so are all up to row 7");
	tamper("DELETE FROM audit WHERE seq=10", "row 10 is missing");
	tamper("DELETE FROM audit WHERE seq>6",
	       "row 7 is missing, as is everything after it: 10 rows were written");
	tamper("DELETE FROM audit", "row 1 is missing");
	tamper("DELETE FROM audit WHERE seq=5; UPDATE audit SET seq=seq-1 WHERE seq>5",
	       "row 5 was changed or replaced");
	tamper("DELETE FROM head", "the head of the record was removed");
	tamper("UPDATE head SET hash=zeroblob(32)", "row 10 is not the last row");
}

static void moves(void)
{
	tamper("UPDATE audit SET seq=-1 WHERE seq=5; UPDATE audit SET seq=5 WHERE seq=6;"
	       "UPDATE audit SET seq=6 WHERE seq=-1",
	       "row 5 is out of order: it was written after what is now row 6");
	tamper("UPDATE audit SET seq=-1 WHERE seq=2; UPDATE audit SET seq=2 WHERE seq=9;"
	       "UPDATE audit SET seq=9 WHERE seq=-1",
	       "row 2 is out of order");
	tamper("INSERT INTO audit SELECT 0,ts_us,instance,kind,run_id,principal,body,prev,hash"
	       " FROM audit WHERE seq=1",
	       "row 0 was inserted");
	tamper("INSERT INTO audit SELECT 11,ts_us,instance,kind,run_id,principal,body,hash,hash"
	       " FROM audit WHERE seq=10",
	       "row 11 was changed");
	tamper("UPDATE audit SET seq=-seq-1 WHERE seq>5; UPDATE audit SET seq=-seq WHERE seq<0;"
	       "INSERT INTO audit SELECT 6,ts_us,instance,kind,run_id,principal,body,prev,hash"
	       " FROM audit WHERE seq=5",
	       "row 6 is out of order");
}

/* A row whose own hash was recomputed: the chain after it gives it away. */
static void forged(const char *what, int64_t seq, bool move_head, const char *says)
{
	struct led_row r = {.seq = seq,
			    .kind = SV("intent"),
			    .run_id = SV("run_f"),
			    .principal = SV("local"),
			    .body = SV("{}"),
			    .instance = 1};
	struct err e = {0};
	sqlite3_stmt *st;
	sqlite3 *db;

	copy_record();
	must(!raw_exec(copy_dir, UNLOCK_SQL));
	db = raw_open(copy_dir);
	must(!sqlite3_prepare_v2(db, "SELECT hash FROM audit WHERE seq=?1", -1, &st,
				 NULL));
	sqlite3_bind_int64(st, 1, seq - 1);
	must(sqlite3_step(st) == SQLITE_ROW);
	memcpy(r.prev, sqlite3_column_blob(st, 0), 32);
	sqlite3_finalize(st);
	led_row_hash(&r, r.hash);
	must(!sqlite3_prepare_v2(
		db,
		"REPLACE INTO audit VALUES(?1,0,1,'intent','run_f','local',"
		"'{}',?2,?3)",
		-1, &st, NULL));
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_blob(st, 2, r.prev, 32, SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, r.hash, 32, SQLITE_STATIC);
	must(sqlite3_step(st) == SQLITE_DONE);
	sqlite3_finalize(st);
	if (move_head)
		must(!sqlite3_exec(db, "UPDATE head SET seq=11", NULL, NULL, NULL));
	sqlite3_close(db);
	ok(verify(copy_dir, &e) == -1 && strstr(e.cause, says),
	   "%s: \"%s\" is in \"%s\"", what, says, e.cause);
}

static void refused_outright(void)
{
	static const char *const tries[] = {
		"UPDATE audit SET body='{}'", "DELETE FROM audit WHERE seq=3",
		"PRAGMA recursive_triggers=ON; REPLACE INTO audit SELECT * FROM audit WHERE seq=3"};

	for (unsigned i = 0; i < ARRAY_LEN(tries); i++)
		ok(raw_exec(state_dir, tries[i]) == SQLITE_CONSTRAINT,
		   "the triggers refuse: %s", tries[i]);
}

/* A ledger does not build on an end that someone moved. */
static void no_append(const char *sql)
{
	struct ledger l;

	copy_record();
	must(!raw_exec(copy_dir, UNLOCK_SQL) && !raw_exec(copy_dir, sql));
	ledger_fork(&l, copy_dir, NULL, NULL, NULL);
	ok(!ledger_ready(&l) && ledger_wait(&l) == 1, "no server starts after: %s",
	   sql);
}

static void while_running(void)
{
	struct ledger l;

	copy_record();
	must(ledger_start(&l, copy_dir) && ask_intent(&l, "run_7") == LED_ACK);
	must(!raw_exec(
		copy_dir, UNLOCK_SQL
		"DELETE FROM audit WHERE seq>10;"
		"UPDATE head SET seq=10, hash=(SELECT hash FROM audit WHERE seq=10)"));
	ok(ask_outcome(&l, "run_7") == LED_NAK,
	   "nothing is appended to a record that shrank");
	ledger_wait(&l);
}

static void warnings(void)
{
	struct led_query q = {.state_dir = copy_dir};
	struct ledger l;
	struct err e = {0};
	struct buf out;

	copy_record();
	must(!raw_exec(copy_dir, UNLOCK_SQL));
	ok(!printed(verify_cmd, &q, &out, &e) && has(&out, "intact: 10 rows, head ") &&
		   has(&out, "warning: the triggers"),
	   "removed triggers are told");
	buf_finish(&out);
	copy_record();
	must(ledger_start(&l, copy_dir) && ask_intent(&l, "run_8") == LED_ACK);
	ok(!printed(verify_cmd, &q, &out, &e) && !has(&out, "warning"),
	   "a run under way is no cause for a warning");
	buf_finish(&out);
	kill(l.pid, SIGKILL);
	ledger_wait(&l);
	ok(!printed(verify_cmd, &q, &out, &e) &&
		   has(&out, "warning: row 12: run run_8 has neither an outcome nor"),
	   "a run whose server died is");
	buf_finish(&out);
	q.json = true;
	ok(!printed(verify_cmd, &q, &out, &e) &&
		   has(&out, "{\"intact\":true,\"rows\":12,") &&
		   has(&out, "\"warnings_count\":1,\"warnings\":[\"row 12"),
	   "in JSON too");
	buf_finish(&out);
	must(!raw_exec(copy_dir, UNLOCK_SQL "UPDATE audit SET ts_us=0 WHERE seq=4"));
	ok(printed(verify_cmd, &q, &out, &e) &&
		   has(&out, "{\"intact\":false,\"rows\":3,") &&
		   has(&out, "\"bad_row\":4,\"cause\":\"row 4 was changed"),
	   "and so is a bad row");
	buf_finish(&out);
}

int main(void)
{
	struct err e = {0};

	folder_new();
	snprintf(copy_dir, sizeof(copy_dir), "%s/copy", base_dir);
	make_record();
	copy_record();
	ok(verify(copy_dir, &e) == 10, "an untouched copy is intact %s", e.cause);
	columns();
	removals();
	moves();
	forged("a forged row in the middle", 5, false, "row 6 does not follow row 5");
	forged("a forged last row", 10, false, "row 10 is not the last row");
	forged("a row forged onto the end", 11, false, "row 11 was inserted");
	forged("the same, with the head's number", 11, true,
	       "row 11 is not the last row");
	refused_outright();
	no_append("DELETE FROM audit WHERE seq=10");
	no_append("DELETE FROM head");
	no_append("UPDATE head SET hash=zeroblob(32)");
	while_running();
	warnings();
	folder_end();
	return tap_done();
}
