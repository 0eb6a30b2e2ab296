/* ledger.h: the record. The only room with sqlite3.h; the ledger role is the only writer.
 *
 * "No record, no run": the keeper sends an intent before it starts anything and waits for the
 * acknowledgement; it sends the outcome when the verdict is known. Rows go into an append-only
 * table chained by hash: hash = SHA-256("fumehood-audit-v1" || prev || canonical fields, each with
 * its length). Several servers may share a state folder: a row is appended in one BEGIN IMMEDIATE
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
};

struct led_intent {
	struct sv run_id, principal, tool, runtime;
	unsigned char code_sha256[32], input_sha256[32], stdin_sha256[32];
	uint64_t code_bytes, input_bytes, stdin_bytes;
	uint64_t wall_ms, memory_bytes, processes, workspace_bytes, output_bytes;
};

struct led_outcome {
	struct sv run_id, status;
	int64_t exit_code;		/* -1: none */
	int64_t signal;			/* 0: none */
	uint64_t duration_us, cpu_us, peak_memory_bytes;
	uint64_t hits;			/* limits hit, SUP_HIT_* bits */
};

struct led_event {
	struct sv kind;			/* "start", "stop", "refused" */
	struct sv run_id, principal;	/* may be empty */
	struct sv detail;
};

/* Encoders used by the keeper; the matching decoders are the ledger's own. */
void led_put_intent(struct ipc_msg *m, const struct led_intent *r);
void led_put_outcome(struct ipc_msg *m, const struct led_outcome *r);
void led_put_event(struct ipc_msg *m, const struct led_event *r);

struct led_opts {
	int sock;			/* to the keeper; taken over */
	const char *state_dir;		/* created 0700 when missing */
};
/* Opens the store, closes dead servers' intents, says LED_READY, confines itself through
 * `confine` (called once everything is open; -1 ends the role), then serves until the keeper has
 * gone. Returns the process' exit code. */
int led_main(const struct led_opts *o, int (*confine)(void *arg), void *arg);

/* --- `fumehood audit`: read-only, may run beside servers -------------------------------------- */
struct led_query {
	const char *state_dir;
	bool json;			/* one JSON object per line */
	int64_t limit;			/* newest N; list only */
	struct sv run_id;		/* show */
};
int led_audit_list(const struct led_query *q, FILE *out, struct err *e);
int led_audit_show(const struct led_query *q, FILE *out, struct err *e);	/* all rows of a run */
/* Recomputes the whole chain. 0 intact; -1: e says which row is wrong and how. ret_rows may be NULL. */
int led_audit_verify(const struct led_query *q, FILE *out, uint64_t *ret_rows, struct err *e);

#endif
