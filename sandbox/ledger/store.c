/* store.c: audit.db.
 *
 * Theory of operation. Any number of ledgers may have the file open. A row is appended in one
 * BEGIN IMMEDIATE transaction, which holds SQLite's write lock from before the last hash is
 * read until the new row is committed, so the chain cannot fork. A kill at any point leaves
 * either all of a transaction in the WAL or none that a reader would believe (its frames end
 * with a checksummed commit mark). When a write fails the transaction is rolled back and the
 * chain stands as it was.
 *
 * Durability: synchronous=NORMAL does not fsync at commit; a commit survives our death because
 * it is in the page cache, and power loss only once it was synced. led_sync does that with one
 * fsync of the WAL: SQLite rebuilds every commit in it after a power cut, so the database file
 * itself need not be touched. Checkpoints, which cost two fsyncs and a copy, are taken out of
 * the commit path (the WAL hook only counts pages) and done after a sync when the WAL has
 * grown; no acknowledgement waits for them but those that arrive meanwhile. */
#include "sandbox/ledger/store.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA_VERSION 1
#define APPLICATION_ID 1179143236 /* "FHLD" */
#define BUSY_MS 4000
#define OPENING_MS 10000
#define CHECKPOINT_PAGES 2000

#define ENDED "('outcome','unknown','session_closed')"
#define BEGUN "('intent','session_opened')"
/* A member of a row's body; NULL where the body is no JSON. */
#define BODY(row, key)                                                                 \
	" CASE WHEN json_valid(" row ".body) THEN json_extract(" row ".body,'$." key   \
	"') END"

#define KEY_COLUMNS "SELECT id, name, created_us, expires_us, used_us, revoked_us"

static const char *const sql[] = {
	[LED_SQL_IDENTITY] =
		"SELECT (SELECT application_id FROM pragma_application_id),"
		" (SELECT user_version FROM pragma_user_version),"
		" (SELECT count(*) FROM sqlite_schema)",
	/* Small pages: a commit puts four or five whole ones into the log, whatever it changes.
	 * recursive_triggers, so that REPLACE meets the trigger that refuses deletion. */
	[LED_SQL_PRAGMAS] =
		"PRAGMA page_size=2048; PRAGMA recursive_triggers=ON; PRAGMA trusted_schema=OFF;"
		"PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
		"PRAGMA cache_size=-512; PRAGMA secure_delete=ON; PRAGMA synchronous=NORMAL;"
		"PRAGMA journal_size_limit=8388608;",
	[LED_SQL_PRAGMAS_RO] =
		"PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
		"PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; PRAGMA query_only=ON;",
	[LED_SQL_WAL] = "PRAGMA journal_mode=WAL",
	[LED_SQL_SCHEMA] =
		"CREATE TABLE audit("
		" seq INTEGER PRIMARY KEY, ts_us INTEGER NOT NULL, instance INTEGER NOT NULL,"
		" kind TEXT NOT NULL, run_id TEXT NOT NULL, principal TEXT NOT NULL,"
		" body TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
		"CREATE INDEX audit_run ON audit(run_id) WHERE run_id<>'';"
		"CREATE TABLE head(id INTEGER PRIMARY KEY CHECK(id=1), seq INTEGER NOT NULL,"
		" hash BLOB NOT NULL) STRICT;"
		"INSERT INTO head VALUES(1,0,zeroblob(32));"
		"CREATE TABLE open_runs(run_id TEXT PRIMARY KEY, instance INTEGER NOT NULL,"
		" seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
		"CREATE TABLE instances(id INTEGER PRIMARY KEY AUTOINCREMENT,"
		" boot_id TEXT NOT NULL, started_us INTEGER NOT NULL, ended_us INTEGER,"
		" ended_how TEXT) STRICT;"
		"CREATE INDEX instances_unended ON instances(id) WHERE ended_us IS NULL;"
		"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN"
		" SELECT RAISE(ABORT,'the record is append-only'); END;"
		"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN"
		" SELECT RAISE(ABORT,'the record is append-only'); END;"
		"PRAGMA application_id=1179143236; PRAGMA user_version=1;",
	[LED_SQL_KEYS] =
		"CREATE TABLE IF NOT EXISTS keys("
		" id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL,"
		" created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
		" used_us INTEGER NOT NULL, revoked_us INTEGER NOT NULL) STRICT, WITHOUT ROWID",
	[LED_SQL_WRAPPED] =
		"CREATE TABLE IF NOT EXISTS wrapped("
		" tenant TEXT NOT NULL, workspace TEXT NOT NULL, epoch INTEGER NOT NULL,"
		" created_us INTEGER NOT NULL, blob BLOB NOT NULL,"
		" PRIMARY KEY(tenant, workspace, epoch)) STRICT, WITHOUT ROWID;"
		"CREATE TABLE IF NOT EXISTS root("
		" id INTEGER PRIMARY KEY CHECK(id=1), name BLOB NOT NULL,"
		" since_us INTEGER NOT NULL) STRICT",
	[LED_SQL_HAS_ROOT] =
		"SELECT count(*) FROM sqlite_schema WHERE type='table' AND name='root'",
	[LED_SQL_HAS_KEYS] =
		"SELECT count(*) FROM sqlite_schema WHERE type='table' AND name='keys'",
	[LED_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[LED_SQL_COMMIT] = "COMMIT",
	[LED_SQL_ROLLBACK] = "ROLLBACK",
	[LED_SQL_TAIL] =
		"SELECT h.seq, h.hash, a.seq, a.hash FROM head h"
		" LEFT JOIN audit a ON a.seq=(SELECT max(seq) FROM audit) WHERE h.id=1",
	[LED_SQL_ADD] =
		"INSERT INTO audit(seq,ts_us,instance,kind,run_id,principal,body,prev,hash)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[LED_SQL_SET_HEAD] = "UPDATE head SET seq=?1, hash=?2 WHERE id=1",
	[LED_SQL_HAS_INTENT] =
		"SELECT 1 FROM audit WHERE run_id=?1 AND run_id<>'' AND kind IN " BEGUN,
	[LED_SQL_OPEN_ADD] =
		"INSERT INTO open_runs(run_id,instance,seq) VALUES(?1,?2,?3)",
	[LED_SQL_OPEN_DEL] = "DELETE FROM open_runs WHERE run_id=?1 AND instance=?2",
	[LED_SQL_OPEN_FIRST] =
		"SELECT o.run_id, o.seq, coalesce(a.principal,'') FROM open_runs o"
		" LEFT JOIN audit a ON a.seq=o.seq WHERE o.instance=?1 ORDER BY o.seq LIMIT 1",
	[LED_SQL_INSTANCE_ADD] =
		"INSERT INTO instances(boot_id,started_us) VALUES(?1,?2)",
	[LED_SQL_INSTANCE_END] =
		"UPDATE instances SET ended_us=?2, ended_how=?3 WHERE id=?1",
	[LED_SQL_INSTANCE_NEXT] =
		"SELECT id FROM instances WHERE ended_us IS NULL AND id>?1 ORDER BY id LIMIT 1",
	[LED_SQL_INSTANCE_MAX] = "SELECT coalesce(max(id),0) FROM instances",
	[LED_SQL_SNAPSHOT] = "BEGIN",
	/* clang-format off */
	[LED_SQL_LIST] =
		"SELECT i.seq, i.ts_us, i.kind, i.run_id, i.principal, i.instance,"
		BODY("i", "tool") "," BODY("i", "runtime") "," BODY("i", "detail") ","
		" o.kind," BODY("o", "status") "," BODY("o", "duration_us") ","
		BODY("o", "exit_code") "," BODY("o", "signal")
		" FROM (SELECT * FROM audit WHERE kind IN ('intent','refused','key_created',"
		"  'key_revoked','root_key_created','root_key_rotated','insecure_no_auth',"
		"  'session_opened','session_closed')"
		"  ORDER BY seq DESC LIMIT ?1) i"
		" LEFT JOIN audit o ON o.seq=(SELECT min(seq) FROM audit"
		"  WHERE run_id=i.run_id AND run_id<>'' AND seq>i.seq AND kind IN " ENDED
		"  AND i.kind='intent')"
		" ORDER BY i.seq",
	/* clang-format on */
	[LED_SQL_RUN_PREFIX] =
		"SELECT DISTINCT run_id FROM audit WHERE run_id<>'' AND run_id>=?1 AND run_id<?2"
		" ORDER BY run_id LIMIT 4",
	[LED_SQL_SHOW] =
		"SELECT seq,ts_us,instance,kind,run_id,principal,body,prev,hash,"
		" CASE WHEN json_valid(body) THEN json(body) END"
		" FROM audit WHERE run_id=?1 AND run_id<>'' ORDER BY seq",
	[LED_SQL_BODY_EACH] =
		"SELECT key, coalesce(atom,value,'none') FROM json_each(?1)",
	[LED_SQL_CHAIN] =
		"SELECT seq,ts_us,instance,kind,run_id,principal,body,prev,hash"
		" FROM audit NOT INDEXED ORDER BY seq",
	[LED_SQL_SEQ_OF_HASH] =
		"SELECT seq FROM audit NOT INDEXED WHERE hash=?1 LIMIT 1",
	[LED_SQL_HEAD] = "SELECT seq, hash FROM head WHERE id=1",
	[LED_SQL_UNCLOSED] =
		"SELECT i.seq, i.run_id, i.instance FROM audit i WHERE i.kind IN " BEGUN
		" AND NOT EXISTS"
		" (SELECT 1 FROM audit o WHERE o.run_id=i.run_id AND o.run_id<>'' AND o.seq>i.seq"
		" AND o.kind IN " ENDED ") ORDER BY i.seq",
	[LED_SQL_TRIGGERS] = "SELECT count(*) FROM sqlite_schema WHERE type='trigger'"
			     " AND name IN ('audit_no_update','audit_no_delete')",
	[LED_SQL_INTEGRITY] = "PRAGMA integrity_check(1)",
	[LED_SQL_KEY_FIND] =
		"SELECT hash, name, expires_us, revoked_us, used_us FROM keys WHERE id=?1",
	[LED_SQL_KEY_USED] = "UPDATE keys SET used_us=?2 WHERE id=?1",
	[LED_SQL_KEY_COUNT] = "SELECT count(*) FROM keys",
	[LED_SQL_KEY_IN_FORCE] = "SELECT id FROM keys WHERE name=?1 AND revoked_us=0"
				 " AND (expires_us=0 OR expires_us>?2)",
	[LED_SQL_KEY_ADD] = "INSERT INTO keys VALUES(?1,?2,?3,?4,?5,0,0)",
	[LED_SQL_KEY_BY_ID] =
		KEY_COLUMNS " FROM keys WHERE id>=?1 AND id<?2 ORDER BY id LIMIT 2",
	/* one in force before one that has expired: of a name there is at most one that is */
	[LED_SQL_KEY_BY_NAME] =
		KEY_COLUMNS " FROM keys WHERE name=?1"
			    " ORDER BY revoked_us<>0, created_us DESC LIMIT 1",
	[LED_SQL_KEY_REVOKE] = "UPDATE keys SET revoked_us=?2 WHERE id=?1",
	[LED_SQL_KEY_EACH] = KEY_COLUMNS " FROM keys ORDER BY created_us, id",
	/* clang-format off */
	[LED_SQL_KEYS_ODD] =
		"SELECT id, name FROM keys k WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE"
		"  a.run_id='fh_'||k.id AND a.run_id<>'' AND a.kind='key_created'"
		"  AND " BODY("a", "name") "=k.name"
		"  AND " BODY("a", "key_sha256") "=lower(hex(k.hash))"
		"  AND " BODY("a", "expires_us") "=k.expires_us)"
		" OR (revoked_us<>0)<>EXISTS (SELECT 1 FROM audit a WHERE"
		"  a.run_id='fh_'||k.id AND a.run_id<>'' AND a.kind='key_revoked') LIMIT 1",
	/* clang-format on */
	[LED_SQL_WRAPPED_PUT] = "INSERT INTO wrapped VALUES(?1,?2,?3,?4,?5)",
	[LED_SQL_WRAPPED_GET] =
		"SELECT epoch, blob FROM wrapped WHERE tenant=?1 AND workspace=?2"
		" AND (?3=0 OR epoch=?3) ORDER BY epoch DESC LIMIT 1",
	[LED_SQL_WRAPPED_NEXT] =
		"SELECT tenant, epoch, blob FROM wrapped WHERE workspace=''"
		" AND (tenant,epoch)>(?1,?2) ORDER BY tenant, epoch LIMIT 1",
	[LED_SQL_WRAPPED_SET] =
		"UPDATE wrapped SET blob=?3 WHERE tenant=?1 AND workspace='' AND epoch=?2",
	[LED_SQL_WRAPPED_DROP] =
		"DELETE FROM wrapped WHERE tenant=?1 AND epoch=?3 AND (?2='' OR workspace=?2)",
	[LED_SQL_WRAPPED_COUNT] = "SELECT count(*) FILTER (WHERE workspace=''),"
				  " count(*) FILTER (WHERE workspace<>'') FROM wrapped",
	[LED_SQL_ROOT_GET] = "SELECT name, since_us FROM root WHERE id=1",
	[LED_SQL_ROOT_SET] = "INSERT OR REPLACE INTO root VALUES(1,?1,?2)",
};
_Static_assert(ARRAY_LEN(sql) == LED_SQL_COUNT, "one string per statement");

static const char *const file_names[] = {"audit.db", "audit.db-wal", "audit.db-shm",
					 "lock"};
_Static_assert(ARRAY_LEN(file_names) == LED_FILES, "one identity per file");

/* --- statements and errors -------------------------------------------------------- */

static bool is_full(int code, int sys)
{
	return code == SQLITE_FULL ||
	       (code == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT));
}

int led_sql_err(struct led_store *s, const char *what, struct err *e)
{
	int rc = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_NOMEM;
	int sys = s->db ? sqlite3_system_errno(s->db) : 0, code = rc & 0xff;
	const char *text = s->db ? sqlite3_errmsg(s->db) : "out of memory";

	if (is_full(code, sys)) {
		err_set(e, ERR_LIMIT, "%s: the disk that holds %s is full", what,
			s->path);
		return err_fix(
			e, "free space on that disk; nothing runs without a record");
	}
	if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
		err_set(e, ERR_BUSY, "%s: %s/audit.db is locked by another process",
			what, s->path);
		return err_fix(
			e, "see which process holds the file open (fuser) and end it");
	}
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
		err_set(e, ERR_INTERNAL, "%s: %s/audit.db is damaged: %s", what,
			s->path, text);
		return err_fix(
			e, "keep the files for examination; restore a backup, or start "
			   "with another --state");
	}
	if (code == SQLITE_READONLY) {
		err_set(e, ERR_INTERNAL, "%s: %s/audit.db cannot be written: %s", what,
			s->path, text);
		return err_fix(
			e,
			"use --state with a folder on a file system that can be written");
	}
	if (code == SQLITE_NOMEM)
		return err_set(e, ERR_LIMIT, "%s: out of memory", what);
	if (sys && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN))
		return err_set(e, ERR_INTERNAL, "%s: %s/audit.db: %s (%s)", what,
			       s->path, text, strerror(sys));
	return err_set(e, ERR_INTERNAL, "%s: %s/audit.db: %s", what, s->path, text);
}

sqlite3_stmt *led_stmt(struct led_store *s, enum led_sql q, struct err *e)
{
	if (!s->stmt[q] &&
	    sqlite3_prepare_v3(s->db, sql[q], -1, SQLITE_PREPARE_PERSISTENT,
			       &s->stmt[q], NULL)) {
		led_sql_err(s, "prepare", e);
		return NULL;
	}
	sqlite3_reset(s->stmt[q]);
	sqlite3_clear_bindings(s->stmt[q]);
	return s->stmt[q];
}

int led_step(struct led_store *s, sqlite3_stmt *st, const char *what, struct err *e)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		led_sql_err(s, what, e);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int led_run(struct led_store *s, enum led_sql q, const char *what, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, q, e);

	return st ? led_step(s, st, what, e) : -1;
}

void led_bind_sv(sqlite3_stmt *st, int at, struct sv text)
{
	sqlite3_bind_text(st, at, text.n ? text.p : "", (int)text.n, SQLITE_STATIC);
}

struct sv led_col(sqlite3_stmt *st, int at)
{
	const char *p = sqlite3_column_blob(st, at);

	return (struct sv){p ? p : "", p ? (size_t)sqlite3_column_bytes(st, at) : 0};
}

static int exec(struct led_store *s, enum led_sql q, const char *what, struct err *e)
{
	return sqlite3_exec(s->db, sql[q], NULL, NULL, NULL) ? led_sql_err(s, what, e)
							     : 0;
}

/* --- transactions and durability -------------------------------------------------- */

int led_begin(struct led_store *s, struct err *e)
{
	s->tx_seq = s->last_seq;
	return led_run(s, LED_SQL_BEGIN, "begin a record", e);
}

int led_commit(struct led_store *s, struct err *e)
{
	if (led_run(s, LED_SQL_COMMIT, "commit a record", e))
		return -1;
	s->last_seq = s->tx_seq;
	s->unsynced = true;
	return 0;
}

void led_rollback(struct led_store *s)
{
	if (s->db && !sqlite3_get_autocommit(s->db))
		led_run(s, LED_SQL_ROLLBACK, "roll back", NULL);
}

static void remember_files(struct led_store *s)
{
	struct stat st;

	for (unsigned i = 0; i < LED_FILES; i++)
		if (!fstatat(s->dir, file_names[i], &st, AT_SYMLINK_NOFOLLOW)) {
			s->file[i].dev = st.st_dev;
			s->file[i].ino = st.st_ino;
		}
}

int led_check_files(struct led_store *s, struct err *e)
{
	for (unsigned i = 0; i < LED_FILES; i++) {
		struct stat st;

		if (!fstatat(s->dir, file_names[i], &st, AT_SYMLINK_NOFOLLOW) &&
		    st.st_dev == s->file[i].dev && st.st_ino == s->file[i].ino)
			continue;
		err_set(e, ERR_INTERNAL,
			"%s/%s was moved, deleted or replaced under the running "
			"server",
			s->path, file_names[i]);
		return err_fix(
			e,
			"stop every server of that state folder, put the file back or "
			"choose another --state, and start again");
	}
	return 0;
}

int led_sync(struct led_store *s, struct err *e)
{
	sqlite3_file *wal = NULL;

	if (!s->unsynced)
		return 0;
	if (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) ||
	    !wal || !wal->pMethods)
		return err_set(e, ERR_INTERNAL, "the write-ahead log is not open");
	if (wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL)) {
		err_set(e, ERR_INTERNAL, "fsync of %s/audit.db-wal failed", s->path);
		return err_fix(
			e, "see the kernel's log: the disk may have lost what it took");
	}
	s->unsynced = false;
	if (s->wal_pages >= CHECKPOINT_PAGES)
		/* may be cut short by readers; the next one goes on */
		sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
					  NULL);
	return 0;
}

/* --- opening and closing ---------------------------------------------------------- */

/* Two servers meet for tens of microseconds at a time: SQLite's own handler starts at 1 ms. */
static int on_busy(void *arg, int n)
{
	struct led_store *s = arg;
	uint64_t now = loop_now_us();
	struct timespec pause = {.tv_nsec = n < 20 ? 50000 : 1000000};

	if (!n)
		s->busy_since_us = now;
	if (now - s->busy_since_us > (uint64_t)BUSY_MS * 1000)
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

static int on_commit_pages(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct led_store *s = arg;

	(void)db;
	(void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

static int connect_db(struct led_store *s, int flags, struct err *e)
{
	char file[LED_PATH_SIZE + 16];

	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium did not start");
	snprintf(file, sizeof(file), "%s/%s", s->path, file_names[0]);
	if (sqlite3_open_v2(file, &s->db,
			    flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
				    SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
			    NULL))
		return led_sql_err(s, "open", e);
	sqlite3_busy_handler(s->db, on_busy, s);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	return 0;
}

/* Whose file is this? *ret_fresh: nobody's yet. */
static int check_identity(struct led_store *s, bool *ret_fresh, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_IDENTITY, e);
	int rc = st ? led_step(s, st, "open", e) : -1;
	int64_t app, version, objects;

	if (rc != 1)
		return -1;
	app = sqlite3_column_int64(st, 0);
	version = sqlite3_column_int64(st, 1);
	objects = sqlite3_column_int64(st, 2);
	sqlite3_reset(st);
	*ret_fresh = !app && !version && !objects;
	if (*ret_fresh || (app == APPLICATION_ID && version == SCHEMA_VERSION))
		return 0;
	if (app == APPLICATION_ID && version > SCHEMA_VERSION) {
		err_set(e, ERR_UNAVAILABLE,
			"%s/audit.db was written by a newer fumehood (schema %lld, "
			"this one knows %d)",
			s->path, (long long)version, SCHEMA_VERSION);
		return err_fix(e, "use that version, or --state with another folder");
	}
	err_set(e, ERR_DENIED, "%s/audit.db is not a record of fumehood", s->path);
	return err_fix(e, "move the file away, or use --state with another folder");
}

static int to_wal(struct led_store *s, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_WAL, e);
	int rc = st ? led_step(s, st, "switch to write-ahead logging", e) : -1;
	bool good;

	if (rc != 1)
		return -1;
	good = sv_eq(led_col(st, 0), SV("wal"));
	sqlite3_reset(st);
	if (good)
		return 0;
	err_set(e, ERR_UNAVAILABLE, "the file system of %s has no shared memory maps",
		s->path);
	return err_fix(e, "use --state with a folder on a local file system");
}

static int ensure_schema(struct led_store *s, struct err *e)
{
	bool fresh;

	if (exec(s, LED_SQL_PRAGMAS, "set up", e) || check_identity(s, &fresh, e) ||
	    to_wal(s, e))
		return -1;
	if (led_begin(s, e))
		return -1;
	if ((fresh && exec(s, LED_SQL_SCHEMA, "make the tables", e)) ||
	    exec(s, LED_SQL_KEYS, "make the table of keys", e) ||
	    exec(s, LED_SQL_WRAPPED, "make the table of wrapped keys", e) ||
	    led_commit(s, e)) {
		led_rollback(s);
		return -1;
	}
	return 0;
}

static int open_db(struct led_store *s, struct err *e)
{
	AUTO_FD made = led_file_open(s->dir, file_names[0], e);

	if (made < 0)
		return -1;
	/* before SQLite opens it: closing any descriptor of a file drops the process' locks */
	fd_close(&made);
	if (connect_db(s, SQLITE_OPEN_READWRITE, e) || ensure_schema(s, e))
		return -1;
	sqlite3_wal_hook(s->db, on_commit_pages, s);
	return 0;
}

static int become_instance(struct led_store *s, uint32_t *ret_orphans, struct err *e)
{
	if (led_begin(s, e))
		return -1;
	if (led_instance_start(s, ret_orphans, e) || led_commit(s, e)) {
		led_rollback(s);
		return -1;
	}
	remember_files(s);
	return led_sync(s, e);
}

/* Opens the folder and takes the opening lock. */
static int open_dir(struct led_store *s, const char *state_dir, struct err *e)
{
	*s = (struct led_store){.open = true, .dir = -1, .lock = -1};
	s->dir = led_dir_open(state_dir, s->path, e);
	if (s->dir < 0)
		return -1;
	s->lock = led_file_open(s->dir, "lock", e);
	if (s->lock < 0 || led_lock(s->lock, LED_LOCK_OPENING, OPENING_MS, e))
		return -1;
	return 0;
}

int led_store_open(struct led_store *s, const char *state_dir, uint32_t *ret_orphans,
		   struct err *e)
{
	int rc;

	if (open_dir(s, state_dir, e))
		return -1;
	rc = open_db(s, e) || become_instance(s, ret_orphans, e) ? -1 : 0;
	led_unlock(s->lock, LED_LOCK_OPENING);
	return rc;
}

int led_store_open_tool(struct led_store *s, const char *state_dir, struct err *e)
{
	int rc;

	if (open_dir(s, state_dir, e))
		return -1;
	rc = open_db(s, e);
	led_unlock(s->lock, LED_LOCK_OPENING);
	return rc;
}

int led_store_open_ro(struct led_store *s, const char *state_dir, struct err *e)
{
	bool fresh;

	*s = (struct led_store){.open = true, .dir = -1, .lock = -1};
	s->dir = led_dir_open_ro(state_dir, s->path, e);
	if (s->dir < 0)
		return -1;
	if (faccessat(s->dir, file_names[0], F_OK, 0)) {
		err_set(e, ERR_NOT_FOUND, "there is no record in %s", s->path);
		return err_fix(e, "name the server's folder with --state");
	}
	s->lock =
		openat(s->dir, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (connect_db(s, SQLITE_OPEN_READONLY, e) ||
	    exec(s, LED_SQL_PRAGMAS_RO, "set up", e) || check_identity(s, &fresh, e))
		return -1;
	if (fresh)
		return err_set(e, ERR_NOT_FOUND, "the record in %s was never begun",
			       s->path);
	return 0;
}

int led_store_end(struct led_store *s, const char *reason, bool stop_written,
		  struct err *e)
{
	if (led_check_files(s, e) || led_begin(s, e))
		return -1;
	if (led_instance_end(s, reason, stop_written, e) || led_commit(s, e)) {
		led_rollback(s);
		return -1;
	}
	return led_sync(s, e);
}

void led_store_finish(struct led_store *s)
{
	if (!s || !s->open)
		return;
	for (unsigned i = 0; i < LED_SQL_COUNT; i++)
		sqlite3_finalize(s->stmt[i]);
	sqlite3_close(s->db);
	fd_close(&s->lock);
	fd_close(&s->dir);
	*s = (struct led_store){.dir = -1, .lock = -1};
}
