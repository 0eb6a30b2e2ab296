/* ledger.h: the record. The only room with sqlite3.h; the ledger role is the only writer.
 *
 * "No record, no run": the keeper sends an intent before it starts anything and waits for the
 * acknowledgement; it sends the outcome when the verdict is known. Rows go into an append-only
 * table chained by hash:
 *
 *   hash = SHA-256("fumehood-audit-v1" || prev || F(seq) || F(ts_us) || F(instance) || F(kind)
 *                  || F(run_id) || F(principal) || F(body))
 *   F(x) = length of x in bytes as u64, then x; numbers are 8 bytes; all little-endian
 *
 * prev is the 32-byte hash of the row before (zeroes for row 1); seq counts from 1 without
 * gaps; ts_us is CLOCK_REALTIME since 1970; body is the text of one JSON object. Kinds: intent,
 * outcome and refused as the keeper reports them; unknown for an intent whose outcome nobody
 * will ever report; start and stop, which the ledger writes of itself (the keeper may add its
 * own; after its stop the ledger adds none); insecure_no_auth when a server lets in whoever comes;
 * key_created and key_revoked, run_id being the key's public part, written by `fumehood key`;
 * root_key_created and root_key_rotated, written by `fumehood key root`;
 * session_opened and session_closed, run_id being the session's: what was not closed when its server
 * died is closed as unknown, like an intent; file, run_id being the session's, for each file that was uploaded to
 * it, deleted there or read (once for reads of one file that follow each other).
 *
 * The chain shows what was altered by someone who did not recompute it to the end. Whoever may
 * write the file can do that, or put an older copy in its place: keep the head hash that
 * `audit verify` prints somewhere else to be able to tell.
 *
 * Several servers may share a state folder: a row is appended in one BEGIN IMMEDIATE
 * transaction that reads the last hash; each server holds an OFD lock on its own byte of
 * DIR/lock, so a later start can tell the living from the dead and closes the intents of the dead
 * as `unknown`. WAL, synchronous=NORMAL: a record survives any crash of ours; fsync at least
 * every 100 ms. Files: DIR (0700) / audit.db, audit.db-wal, audit.db-shm, lock. */
#ifndef SANDBOX_LEDGER_H
#define SANDBOX_LEDGER_H

#include "sandbox/base/err.h"
#include "sandbox/base/ipc.h"
#include "sandbox/base/sv.h"

#include <stdio.h>

#define LED_HASH_BYTES 32

/* Records keeper -> ledger, and back. id is the keeper's number for the run. */
enum led_type {
	LED_INTENT = 100,	/* struct led_intent */
	LED_OUTCOME,		/* struct led_outcome */
	LED_EVENT,		/* struct led_event: refusals, start, stop */
	LED_ACK,		/* u64 seq */
	LED_NAK,		/* sv cause: the row could not be written */
	LED_READY,		/* ledger -> keeper once, id 0: u64 last seq, u32 orphans closed */
	LED_KEY_FIND,		/* sv id, sv hash of 32 bytes: whose API key is that? */
	LED_KEY_FOUND,		/* struct led_key_found; id as in the question */
	LED_SESSION_OPEN,	/* struct led_session */
	LED_SESSION_CLOSE,	/* struct led_session_end */
	LED_WRAPPED_PUT,	/* struct led_wrapped: keep it; LED_ACK when no power cut can lose it */
	LED_WRAPPED_GET,	/* the same without its bytes */
	LED_WRAPPED_FOUND,	/* the answer: the same, without bytes when there is none */
	LED_WRAPPED_DESTROY,	/* the same without its bytes; LED_ACK when it is in no file */
};

struct led_intent {
	struct sv run_id, principal, tool, runtime;
	struct sv session_id;		/* "": it has a sandbox of its own */
	struct sv image_sha256;		/* hex: of the packages it has beside the host's; "": none */
	bool open_stdin;		/* more may be written to it than stdin_sha256 tells */
	unsigned char code_sha256[32], input_sha256[32], stdin_sha256[32];
	uint64_t code_bytes, input_bytes, stdin_bytes;
	uint64_t wall_ms, memory_bytes, processes, workspace_bytes, output_bytes;
};

struct led_outcome {
	struct sv run_id, principal, status;
	int64_t exit_code;		/* -1: none */
	int64_t signal;			/* 0: none */
	uint64_t duration_us, cpu_us, peak_memory_bytes;
	uint64_t hits;			/* limits hit, SUP_HIT_* bits */
};

struct led_session {
	struct sv session_id, principal, runtime;	/* runtime "": any */
	struct sv image_sha256;		/* as above */
	uint64_t ttl_s, idle_ttl_s, memory_bytes, processes, workspace_bytes;
};

struct led_session_end {
	struct sv session_id, principal, reason;	/* "closed", "ttl", ... */
	uint64_t calls, duration_us;
};

struct led_event {
	struct sv kind;			/* "start", "stop", "refused", "insecure_no_auth" */
	struct sv run_id, principal;	/* may be empty */
	struct sv detail;
};

/* Encoders used by the keeper; the matching decoders are the ledger's own. */
void led_put_intent(struct ipc_msg *m, const struct led_intent *r);
void led_put_outcome(struct ipc_msg *m, const struct led_outcome *r);
void led_put_event(struct ipc_msg *m, const struct led_event *r);
void led_put_session(struct ipc_msg *m, const struct led_session *r);
void led_put_session_end(struct ipc_msg *m, const struct led_session_end *r);

/* --- API keys ---------------------------------------------------------------------- */
/* A key is fh_ID_SECRET: ID 8 of [a-z0-9], public, to tell keys apart; SECRET 43 characters of
 * base64url, 32 random bytes. Stored is SHA-256("fumehood-api-key-v1" NUL || key): there is nothing
 * to guess in 256 random bits, so a slow hash (Argon2) would only make every request slow. The
 * hashes are compared in constant time, an unknown ID against zeroes: one query in every case.
 *
 * Table `keys` of audit.db. Making and revoking a key is one transaction with its event, so the
 * chain tells every key there ever was; `audit verify` holds the table against it. */
#define LED_KEY_ID_SIZE 9		/* with its NUL, as all below */
#define LED_KEY_TEXT_SIZE 56
#define LED_KEY_NAME_SIZE 65		/* of [a-zA-Z0-9_.-], not beginning with fh_ */
#define LED_MAX_KEYS 10000		/* revoked ones included */

enum led_key_state {
	LED_KEY_GOOD,
	LED_KEY_UNKNOWN,	/* no such ID, or another secret */
	LED_KEY_REVOKED,
	LED_KEY_EXPIRED,
	LED_KEY_FAILED,		/* could not be looked up */
	LED_KEY_STATE_COUNT
};
struct led_key_found {
	enum led_key_state state;
	char name[LED_KEY_NAME_SIZE];	/* "" unless GOOD, REVOKED or EXPIRED */
	uint64_t expires_us;		/* CLOCK_REALTIME; 0: does not */
};

/* The ID in a well-formed key (borrowed from it), or the empty view. */
struct sv led_key_id(struct sv key);
void led_key_hash(struct sv key, unsigned char ret[LED_HASH_BYTES]);
void led_put_key_find(struct ipc_msg *m, struct sv id, const unsigned char hash[32]);
int led_get_key_found(struct ipc_msg *m, struct led_key_found *ret);	/* 0, or -1 ill-formed */

struct led_key {
	char id[LED_KEY_ID_SIZE], name[LED_KEY_NAME_SIZE];
	/* CLOCK_REALTIME, 0: never; used_us is behind by an hour at most */
	uint64_t created_us, expires_us, used_us, revoked_us;
};
/* These three may run beside servers; the state folder is made when it is missing. The name must
 * not be that of a key in force (ERR_INVALID). ret_text is the key, which is kept nowhere. */
int led_key_create(const char *state_dir, struct sv name, uint64_t expires_us,
		   char ret_text[LED_KEY_TEXT_SIZE], struct err *e);
/* `which`: a name, or fh_ and the first characters of an ID. */
int led_key_revoke(const char *state_dir, struct sv which, struct led_key *ret,
		   struct err *e);
/* Oldest first; key is borrowed for the call. */
int led_key_each(const char *state_dir, void (*on_key)(void *arg, const struct led_key *key),
		 void *arg, struct err *e);

/* --- wrapped keys ------------------------------------------------------------------ */
/* Keys of tenants and workspaces (sandbox/workspace), wrapped with other keys: bytes to us. Table `wrapped` of
 * audit.db; `root` has the name of the root key that the tenants' are wrapped with.
 *
 * What is destroyed is overwritten in the database (secure_delete), which is then checkpointed and its write-ahead
 * log cut to nothing. That waits for readers of other processes, 4 s at most: LED_NAK (ERR_BUSY) says that the key is
 * gone for everybody who asks, but that its bytes may still be in the log: ask again. Destroying what is not there
 * is no error. */
#define LED_WRAPPED_MAX 256		/* bytes of one */
#define LED_ROOT_NAME_BYTES 16

struct led_wrapped {
	struct sv tenant;
	struct sv workspace;		/* "": the tenant's own key */
	uint64_t epoch;			/* of the tenant, from 1; asked for, 0 is the newest */
	struct sv blob;			/* 1 to LED_WRAPPED_MAX bytes */
};

/* Destroying a tenant's own key destroys those of all workspaces of that epoch with it. */
void led_put_wrapped(struct ipc_msg *m, const struct led_wrapped *k);
/* Views are borrowed from m; 0, or -1 ill-formed. */
int led_get_wrapped(struct ipc_msg *m, struct led_wrapped *ret);

struct led_root {
	unsigned char name[LED_ROOT_NAME_BYTES];
	uint64_t since_us;		/* CLOCK_REALTIME */
	uint64_t tenants, workspaces;	/* keys that hang on it */
};
/* -1 with ERR_NOT_FOUND: this state folder has no root key (or there is none yet). */
int led_root_get(const char *state_dir, struct led_root *ret, struct err *e);
/* The first one; the state folder is made when it is missing. ERR_INVALID: there is one. */
int led_root_init(const char *state_dir, const unsigned char name[LED_ROOT_NAME_BYTES], struct err *e);
/* All tenants' keys are wrapped anew by `rewrap`, which puts as many bytes as there were into ret, in one transaction
 * with the name; then the log is cut. ERR_BUSY: a server runs, which knows the old one, or the root is not `old` any
 * more. */
struct led_rotation {
	unsigned char old[LED_ROOT_NAME_BYTES], new[LED_ROOT_NAME_BYTES];
	int (*rewrap)(void *arg, const struct led_wrapped *k, unsigned char *ret, struct err *e);
	void *arg;
};
int led_root_rotate(const char *state_dir, const struct led_rotation *r, uint64_t *ret_tenants, struct err *e);

/* Opens the state folder, making it (0700) and its parents when missing; -1 when it is not ours alone. The descriptor is
 * the caller's. */
int led_state_dir(const char *state_dir, struct err *e);

/* --- the role ---------------------------------------------------------------------- */
struct led_opts {
	int sock;			/* to the keeper; taken over */
	const char *state_dir;		/* created 0700 when missing */
};
/* Opens the store, closes dead servers' intents, confines itself through `confine` (called once
 * everything is open; -1 ends the role; may be NULL in tests), says LED_READY, then serves until
 * the keeper has gone; intents still open then are closed as `unknown`. A record that is
 * ill-formed ends the role; one that cannot be written, or does not fit what is open (a second
 * intent of a run, an outcome of none), is answered by LED_NAK and changes nothing. SIGINT, SIGTERM,
 * SIGHUP and SIGQUIT are ignored: the role ends with its socket. Returns the process' exit code. */
int led_main(const struct led_opts *o, int (*confine)(void *arg), void *arg);

/* --- `fumehood audit`: read-only, may run beside servers -------------------------- */
struct led_query {
	const char *state_dir;
	bool json;			/* one JSON object per line */
	int64_t limit;			/* newest N, 0: all; list only */
	struct sv run_id;		/* show; a prefix that only one run has will do */
};
int led_audit_list(const struct led_query *q, FILE *out, struct err *e);
int led_audit_show(const struct led_query *q, FILE *out, struct err *e);	/* all rows of a run */
/* Recomputes the whole chain. 0 intact: prints "intact: N rows, head HASH" and warnings (open
 * intents whose server is dead); -1: e says which row is wrong and how. With json one object
 * {intact, rows, head, bad_row, cause, warnings_count, warnings} is printed in both cases. API keys
 * that are not as their events say are no less an alteration; bad_row is 0 then.
 * ret_rows may be NULL. */
int led_audit_verify(const struct led_query *q, FILE *out, uint64_t *ret_rows, struct err *e);

#endif
