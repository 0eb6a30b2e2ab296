/* chain.c: one row appended to the chain. */
#include "sandbox/ledger/store.h"

#include "sandbox/base/loop.h"

#include <sodium.h>

static void hash_u64(crypto_hash_sha256_state *h, uint64_t v)
{
	unsigned char le[8];

	for (unsigned i = 0; i < 8; i++)
		le[i] = (unsigned char)(v >> (8 * i));
	crypto_hash_sha256_update(h, le, sizeof(le));
}

static void hash_int(crypto_hash_sha256_state *h, int64_t v)
{
	hash_u64(h, 8);
	hash_u64(h, (uint64_t)v);
}

static void hash_sv(crypto_hash_sha256_state *h, struct sv s)
{
	hash_u64(h, s.n);
	crypto_hash_sha256_update(h, (const unsigned char *)s.p, s.n);
}

void led_row_hash(const struct led_row *r, unsigned char ret[LED_HASH_BYTES])
{
	static const unsigned char domain[] = "fumehood-audit-v1";
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, domain, sizeof(domain) - 1);
	crypto_hash_sha256_update(&h, r->prev, LED_HASH_BYTES);
	hash_int(&h, r->seq);
	hash_int(&h, r->ts_us);
	hash_int(&h, r->instance);
	hash_sv(&h, r->kind);
	hash_sv(&h, r->run_id);
	hash_sv(&h, r->principal);
	hash_sv(&h, r->body);
	crypto_hash_sha256_final(&h, ret);
}

static int tail_tampered(struct err *e)
{
	err_set(e, ERR_INTERNAL, "the end of the record is not where it was left");
	return err_fix(
		e, "run `fumehood audit verify`; keep the files for examination and "
		   "start with another --state");
}

/* Reads the last row's number and hash; refuses to build on an end that someone else moved. */
static int read_tail(struct led_store *s, struct led_row *r, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_TAIL, e);
	int rc = st ? led_step(s, st, "read the end of the record", e) : -1;
	struct sv hash;
	bool empty;

	if (rc < 0)
		return -1;
	if (!rc)
		return tail_tampered(e);
	hash = led_col(st, 1);
	empty = sqlite3_column_type(st, 2) == SQLITE_NULL;
	r->seq = sqlite3_column_int64(st, 0);
	if (hash.n != LED_HASH_BYTES || r->seq < s->tx_seq || r->seq < 0 ||
	    r->seq == INT64_MAX || r->seq != sqlite3_column_int64(st, 2) ||
	    (!empty && !sv_eq(hash, led_col(st, 3)))) {
		sqlite3_reset(st);
		return tail_tampered(e);
	}
	memcpy(r->prev, hash.p, LED_HASH_BYTES);
	r->seq++;
	sqlite3_reset(st);
	return 0;
}

static int insert_row(struct led_store *s, const struct led_row *r, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_ADD, e);

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, r->seq);
	sqlite3_bind_int64(st, 2, r->ts_us);
	sqlite3_bind_int64(st, 3, r->instance);
	led_bind_sv(st, 4, r->kind);
	led_bind_sv(st, 5, r->run_id);
	led_bind_sv(st, 6, r->principal);
	led_bind_sv(st, 7, r->body);
	sqlite3_bind_blob(st, 8, r->prev, LED_HASH_BYTES, SQLITE_STATIC);
	sqlite3_bind_blob(st, 9, r->hash, LED_HASH_BYTES, SQLITE_STATIC);
	if (led_step(s, st, "append a record", e))
		return -1;
	st = led_stmt(s, LED_SQL_SET_HEAD, e);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, r->seq);
	sqlite3_bind_blob(st, 2, r->hash, LED_HASH_BYTES, SQLITE_STATIC);
	return led_step(s, st, "move the head of the record", e);
}

static int check_no_intent(struct led_store *s, struct sv run_id, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_HAS_INTENT, e);
	int rc;

	if (!st)
		return -1;
	led_bind_sv(st, 1, run_id);
	rc = led_step(s, st, "look for the run", e);
	if (rc == 1) {
		sqlite3_reset(st);
		return err_set(e, ERR_INVALID, "run " SV_FMT " already has an intent",
			       SV_ARG(run_id));
	}
	return rc;
}

static int note_open(struct led_store *s, struct sv run_id, int64_t seq, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_OPEN_ADD, e);

	if (!st)
		return -1;
	led_bind_sv(st, 1, run_id);
	sqlite3_bind_int64(st, 2, s->instance);
	sqlite3_bind_int64(st, 3, seq);
	return led_step(s, st, "open the run", e);
}

static int note_closed(struct led_store *s, struct sv run_id, int64_t instance,
		       struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_OPEN_DEL, e);

	if (!st)
		return -1;
	led_bind_sv(st, 1, run_id);
	sqlite3_bind_int64(st, 2, instance);
	if (led_step(s, st, "close the run", e))
		return -1;
	if (sqlite3_changes(s->db) != 1)
		return err_set(e, ERR_INVALID, "run " SV_FMT " has no open intent",
			       SV_ARG(run_id));
	return 0;
}

int led_append_in_tx(struct led_store *s, const struct led_entry *x, int64_t *ret_seq,
		     struct err *e)
{
	struct led_row r = {.ts_us = (int64_t)loop_wall_us(),
			    .instance = s->instance,
			    .kind = x->kind,
			    .run_id = x->run_id,
			    .principal = x->principal,
			    .body = x->body};

	if (read_tail(s, &r, e))
		return -1;
	led_row_hash(&r, r.hash);
	if (x->effect == LED_OPENS &&
	    (check_no_intent(s, x->run_id, e) || note_open(s, x->run_id, r.seq, e)))
		return -1;
	if (x->effect == LED_CLOSES &&
	    note_closed(s, x->run_id, x->dead ? x->dead : s->instance, e))
		return -1;
	if (insert_row(s, &r, e))
		return -1;
	s->tx_seq = r.seq;
	if (ret_seq)
		*ret_seq = r.seq;
	return 0;
}

int led_append(struct led_store *s, const struct led_entry *x, int64_t *ret_seq,
	       struct err *e)
{
	int64_t seq;

	if (led_check_files(s, e) || led_begin(s, e))
		return -1;
	if (led_append_in_tx(s, x, &seq, e) || led_commit(s, e)) {
		led_rollback(s);
		return -1;
	}
	if (ret_seq)
		*ret_seq = seq;
	return 0;
}
