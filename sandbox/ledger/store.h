/* store.h: audit.db: the schema, one row appended, what is durable. Private to the room.
 *
 * Life cycle: led_store_open -> led_append ... led_sync ... -> led_store_end -> led_store_finish;
 * readers: led_store_open_ro -> led_stmt -> led_store_finish. A zeroed store may be finished.
 *
 * Tables: audit (the chain), head (seq and hash of the last row, so that rows cut off the end are
 * missed), open_runs (intents not yet closed), instances (servers), keys (API keys), wrapped and root
 * (keys of tenants and workspaces, wrapped). A record made before there were keys gets the last three when
 * it is opened for writing. Only audit is evidence; the others but the last two are look-ups that
 * led_audit_verify holds against it. */
#ifndef LEDGER_STORE_H
#define LEDGER_STORE_H

#include "sandbox/base/buf.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/ledger/state.h"

#include <sqlite3.h>
#include <sys/types.h>

/* Rows of the string table in store.c. */
enum led_sql {
	LED_SQL_IDENTITY,
	LED_SQL_PRAGMAS,
	LED_SQL_PRAGMAS_RO,
	LED_SQL_WAL,
	LED_SQL_SCHEMA,
	LED_SQL_KEYS,
	LED_SQL_WRAPPED,
	LED_SQL_HAS_KEYS,
	LED_SQL_HAS_ROOT,
	LED_SQL_BEGIN,
	LED_SQL_COMMIT,
	LED_SQL_ROLLBACK,
	LED_SQL_TAIL,
	LED_SQL_ADD,
	LED_SQL_SET_HEAD,
	LED_SQL_HAS_INTENT,
	LED_SQL_OPEN_ADD,
	LED_SQL_OPEN_DEL,
	LED_SQL_OPEN_FIRST,
	LED_SQL_INSTANCE_ADD,
	LED_SQL_INSTANCE_END,
	LED_SQL_INSTANCE_NEXT,
	LED_SQL_INSTANCE_MAX,
	LED_SQL_SNAPSHOT,
	LED_SQL_LIST,
	LED_SQL_RUN_PREFIX,
	LED_SQL_SHOW,
	LED_SQL_BODY_EACH,
	LED_SQL_CHAIN,
	LED_SQL_SEQ_OF_HASH,
	LED_SQL_HEAD,
	LED_SQL_UNCLOSED,
	LED_SQL_TRIGGERS,
	LED_SQL_INTEGRITY,
	LED_SQL_KEY_FIND,
	LED_SQL_KEY_USED,
	LED_SQL_KEY_COUNT,
	LED_SQL_KEY_IN_FORCE,
	LED_SQL_KEY_ADD,
	LED_SQL_KEY_BY_ID,
	LED_SQL_KEY_BY_NAME,
	LED_SQL_KEY_REVOKE,
	LED_SQL_KEY_EACH,
	LED_SQL_KEYS_ODD,
	LED_SQL_WRAPPED_PUT,
	LED_SQL_WRAPPED_GET,
	LED_SQL_WRAPPED_NEXT,
	LED_SQL_WRAPPED_SET,
	LED_SQL_WRAPPED_DROP,
	LED_SQL_WRAPPED_COUNT,
	LED_SQL_ROOT_GET,
	LED_SQL_ROOT_SET,
	LED_SQL_COUNT
};

#define LED_FILES 4
struct led_store {
	sqlite3 *db;
	bool open;		/* dir and lock below are ours to close */
	int dir, lock;
	char path[LED_PATH_SIZE];
	sqlite3_stmt *stmt[LED_SQL_COUNT];	/* prepared when first used */
	int64_t instance;	/* 0: a reader */
	int64_t tx_seq, last_seq;	/* last row written in this transaction; committed */
	bool unsynced;		/* rows were committed since the last fsync */
	int wal_pages;
	uint64_t busy_since_us;
	struct {
		dev_t dev;
		ino_t ino;
	} file[LED_FILES];
};

/* One row as it is hashed; views borrowed. */
struct led_row {
	int64_t seq, ts_us, instance;
	struct sv kind, run_id, principal, body;
	unsigned char prev[LED_HASH_BYTES], hash[LED_HASH_BYTES];
};
/* SHA-256 over "fumehood-audit-v1", prev and the fields; the encoding is in ledger.h. */
void led_row_hash(const struct led_row *r, unsigned char ret[LED_HASH_BYTES]);

/* What an append does to the set of open runs. */
enum led_effect { LED_PLAIN, LED_OPENS, LED_CLOSES };
struct led_entry {
	enum led_effect effect;
	int64_t dead;		/* LED_CLOSES: the instance whose run it is; 0: ours */
	struct sv kind, run_id, principal, body;
};

/* Opens for writing: makes what is missing, takes an instance id and its lock, closes dead
 * servers' intents as `unknown`, writes `start`. */
int led_store_open(struct led_store *s, const char *state_dir, uint32_t *ret_orphans,
		   struct err *e);
/* For a deed at the command line: may write rows, but is no server: instance 0. */
int led_store_open_tool(struct led_store *s, const char *state_dir, struct err *e);
int led_store_open_ro(struct led_store *s, const char *state_dir, struct err *e);
void led_store_finish(struct led_store *s);

/* One row in one transaction, all or nothing. ERR_INVALID: the run is not in the state the entry
 * needs (intent twice, outcome of a run that is not open). */
int led_append(struct led_store *s, const struct led_entry *x, int64_t *ret_seq, struct err *e);
/* Makes every committed row survive a power cut. */
int led_sync(struct led_store *s, struct err *e);
/* Closes our open intents as `unknown` for that reason, writes `stop` unless stop_written, marks
 * the instance ended, syncs. */
int led_store_end(struct led_store *s, const char *reason, bool stop_written, struct err *e);

/* --- for the room's other files --------------------------------------------------- */

/* The statement, reset and unbound; owned by the store. NULL: e is set. */
sqlite3_stmt *led_stmt(struct led_store *s, enum led_sql q, struct err *e);
/* Steps once: 1 a row, 0 done (and reset), -1 e is set (and reset). `what` names the deed. */
int led_step(struct led_store *s, sqlite3_stmt *st, const char *what, struct err *e);
/* Runs a statement that gives no rows. */
int led_run(struct led_store *s, enum led_sql q, const char *what, struct err *e);
void led_bind_sv(sqlite3_stmt *st, int at, struct sv text);
struct sv led_col(sqlite3_stmt *st, int at);	/* text or blob; borrowed until the next step */
/* Fills e from the connection's last error. Returns -1. */
int led_sql_err(struct led_store *s, const char *what, struct err *e);
/* Inside a transaction of the caller's. */
int led_append_in_tx(struct led_store *s, const struct led_entry *x, int64_t *ret_seq,
		     struct err *e);
int led_begin(struct led_store *s, struct err *e);
int led_commit(struct led_store *s, struct err *e);
/* A record in a file that was moved or replaced under us is no record: are they all in place? */
int led_check_files(struct led_store *s, struct err *e);
void led_rollback(struct led_store *s);	/* nothing to do outside a transaction */

/* keys.c: looks one up and notes that it was used. Never fails: LED_KEY_FAILED, and e. */
void led_key_find(struct led_store *s, struct sv id, struct sv hash,
		  struct led_key_found *ret, struct err *e);
/* Are the keys what their events say? -1: e names one that is not. */
int led_key_verify(struct led_store *s, struct err *e);

/* wrapped.c. An error changes nothing, but for destroy: see ledger.h. */
int led_wrapped_put(struct led_store *s, const struct led_wrapped *k, struct err *e);
/* 1, and k is it, with its bytes in mem; 0 there is none, and k has no bytes; -1. */
int led_wrapped_get(struct led_store *s, struct led_wrapped *k, unsigned char mem[LED_WRAPPED_MAX],
		    struct err *e);
int led_wrapped_destroy(struct led_store *s, const struct led_wrapped *k, struct err *e);

/* instance.c: inside one transaction, with the opening lock held. */
int led_instance_start(struct led_store *s, uint32_t *ret_orphans, struct err *e);
int led_instance_end(struct led_store *s, const char *reason, bool stop_written,
		     struct err *e);

/* Which instances live. Load it before the snapshot it is held against is begun: then an instance
 * it calls dead has all its rows in the snapshot. */
struct led_live {
	int64_t max_id;		/* younger instances count as alive */
	struct buf ids;		/* int64_t each */
};
int led_live_load(struct led_store *s, struct led_live *ret, struct err *e);
void led_live_finish(struct led_live *l);
bool led_live_has(const struct led_live *l, int64_t id);

#endif
