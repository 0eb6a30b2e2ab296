/* verify.c: `fumehood audit verify`: the whole chain, recomputed.
 *
 * What it can tell: a row changed, removed, inserted or moved by anyone who did not recompute
 * every later hash and the head. What it cannot: a record rewritten as a whole, or replaced by
 * an older copy, by someone who may write the file; against that the head hash must be kept
 * elsewhere. */
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/report.h"
#include "sandbox/ledger/store.h"

#include <inttypes.h>
#include <stdarg.h>

#define WARNINGS_SHOWN 20
#define REPORT_MAX_BYTES ((size_t)64 << 10)
#define AUTO_STORE __attribute__((cleanup(led_store_finish))) struct led_store
#define AUTO_LIVE __attribute__((cleanup(led_live_finish))) struct led_live

struct walk {
	struct led_store *s;
	int64_t seq; /* of the last good row */
	unsigned char hash[LED_HASH_BYTES]; /* its hash */
	int64_t bad_seq; /* the row e is about, 0: none in particular */
	struct buf *warnings; /* lines; borrowed */
	uint64_t warned;
};

__attribute__((format(printf, 4, 5))) static int bad(struct walk *w, int64_t seq,
						     struct err *e, const char *fmt,
						     ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->bad_seq = seq;
	err_set(e, ERR_INVALID, "row %" PRId64 " %s", seq, text);
	return err_fix(
		e,
		"the record was altered or damaged: keep the files for examination and "
		"compare with a backup; rows before this one are intact");
}

__attribute__((format(printf, 2, 3))) static void warn(struct walk *w, const char *fmt,
						       ...)
{
	va_list ap;

	if (w->warned++ >= WARNINGS_SHOWN)
		return;
	if (w->warnings->n)
		buf_byte(w->warnings, '\n');
	va_start(ap, fmt);
	buf_vfmt(w->warnings, fmt, ap);
	va_end(ap);
}

static const struct {
	const char *name;
	int type;
} columns[] = {
	{"seq", SQLITE_INTEGER},      {"ts_us", SQLITE_INTEGER},
	{"instance", SQLITE_INTEGER}, {"kind", SQLITE_TEXT},
	{"run_id", SQLITE_TEXT},      {"principal", SQLITE_TEXT},
	{"body", SQLITE_TEXT},	      {"prev", SQLITE_BLOB},
	{"hash", SQLITE_BLOB},
};

static int read_row(struct walk *w, sqlite3_stmt *st, struct led_row *r, struct err *e)
{
	r->seq = sqlite3_column_int64(st, 0);
	for (unsigned i = 0; i < ARRAY_LEN(columns); i++)
		if (sqlite3_column_type(st, (int)i) != columns[i].type)
			return bad(w, r->seq, e,
				   "was changed: its %s has the wrong type",
				   columns[i].name);
	r->ts_us = sqlite3_column_int64(st, 1);
	r->instance = sqlite3_column_int64(st, 2);
	r->kind = led_col(st, 3);
	r->run_id = led_col(st, 4);
	r->principal = led_col(st, 5);
	r->body = led_col(st, 6);
	for (int i = 7; i < 9; i++) {
		struct sv hash = led_col(st, i);

		if (hash.n != LED_HASH_BYTES)
			return bad(w, r->seq, e,
				   "was changed: its %s is not 32 bytes long",
				   columns[i].name);
		memcpy(i == 7 ? r->prev : r->hash, hash.p, LED_HASH_BYTES);
	}
	return 0;
}

/* The row whose hash that is, 0 when there is none, -1 error. */
static int64_t seq_of_hash(struct walk *w, const unsigned char hash[32], struct err *e)
{
	sqlite3_stmt *st = led_stmt(w->s, LED_SQL_SEQ_OF_HASH, e);
	int64_t seq;
	int rc;

	if (!st)
		return -1;
	sqlite3_bind_blob(st, 1, hash, LED_HASH_BYTES, SQLITE_STATIC);
	rc = led_step(w->s, st, "look for a row", e);
	if (rc <= 0)
		return rc;
	seq = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return seq;
}

/* Its prev is not the hash of the row before it. */
static int wrong_place(struct walk *w, const struct led_row *r, bool own_hash,
		       struct err *e)
{
	int64_t from = seq_of_hash(w, r->prev, e);

	if (from < 0)
		return -1;
	if (from > 0)
		return bad(
			w, r->seq, e,
			"is out of order: it was written after what is now row %" PRId64,
			from);
	if (own_hash)
		return bad(w, r->seq, e,
			   "does not follow row %" PRId64
			   ": it was inserted, or what it followed "
			   "was replaced or removed",
			   w->seq);
	return bad(w, r->seq, e,
		   "was changed or replaced: neither its hash nor its link to row "
		   "%" PRId64 " holds",
		   w->seq);
}

static int check_row(struct walk *w, const struct led_row *r, struct err *e)
{
	unsigned char hash[LED_HASH_BYTES];
	bool own_hash;

	if (r->seq < w->seq + 1)
		return bad(w, r->seq, e, "was inserted: the record begins with row 1");
	if (r->seq > w->seq + 2)
		return bad(w, w->seq + 1, e,
			   "is missing, and so are all up to row %" PRId64, r->seq - 1);
	if (r->seq > w->seq + 1)
		return bad(w, w->seq + 1, e, "is missing");
	led_row_hash(r, hash);
	own_hash = memcmp(hash, r->hash, sizeof(hash)) == 0;
	if (memcmp(r->prev, w->hash, sizeof(w->hash)) != 0)
		return wrong_place(w, r, own_hash, e);
	if (!own_hash)
		return bad(w, r->seq, e,
			   "was changed: its contents do not give its hash");
	w->seq = r->seq;
	memcpy(w->hash, r->hash, sizeof(w->hash));
	return 0;
}

static int check_chain(struct walk *w, struct err *e)
{
	sqlite3_stmt *st = led_stmt(w->s, LED_SQL_CHAIN, e);
	int rc = -1;

	while (st && (rc = led_step(w->s, st, "read the record", e)) == 1) {
		struct led_row r;

		if (read_row(w, st, &r, e) || check_row(w, &r, e)) {
			sqlite3_reset(st);
			return -1;
		}
	}
	return rc;
}

/* The head tells rows cut off the end, and rows added by something that did not know of it. */
static int check_head(struct walk *w, struct err *e)
{
	sqlite3_stmt *st = led_stmt(w->s, LED_SQL_HEAD, e);
	int rc = st ? led_step(w->s, st, "read the head", e) : -1;
	int64_t seq;
	bool same;

	if (rc < 0)
		return -1;
	if (!rc)
		return bad(w, w->seq, e,
			   "is the last, but the head of the record was removed");
	seq = sqlite3_column_int64(st, 0);
	same = sv_eq(led_col(st, 1),
		     (struct sv){(const char *)w->hash, LED_HASH_BYTES});
	sqlite3_reset(st);
	if (seq > w->seq)
		return bad(w, w->seq + 1, e,
			   "is missing, as is everything after it: %" PRId64
			   " rows were written",
			   seq);
	if (seq < w->seq)
		return bad(w, seq + 1, e, "was inserted: %" PRId64 " rows were written",
			   seq);
	if (!same)
		return bad(w, seq, e,
			   "is not the last row that was written: its hash is not the "
			   "head's");
	return 0;
}

/* Pages, indexes and constraints, as SQLite sees them; the chain itself is sound by now. */
static int check_file(struct walk *w, struct err *e)
{
	sqlite3_stmt *st = led_stmt(w->s, LED_SQL_INTEGRITY, e);
	int rc = st ? led_step(w->s, st, "check the file", e) : -1;
	char text[200];
	bool good;

	if (rc != 1)
		return -1;
	good = sv_eq(led_col(st, 0), SV("ok"));
	log_esc(led_col(st, 0), text, sizeof(text));
	sqlite3_reset(st);
	if (good)
		return 0;
	err_set(e, ERR_INVALID, "the rows are intact, but the file is damaged: %s",
		text);
	return err_fix(e,
		       "keep the files for examination and start with another --state");
}

static int check_unclosed(struct walk *w, const struct led_live *live, struct err *e)
{
	sqlite3_stmt *st = led_stmt(w->s, LED_SQL_UNCLOSED, e);
	char run[80];
	int rc = -1;

	while (st && (rc = led_step(w->s, st, "look for open runs", e)) == 1)
		if (!led_live_has(live, sqlite3_column_int64(st, 2)))
			warn(w,
			     "row %lld: run %s has neither an outcome nor a living server "
			     "(the next start on this folder closes it)",
			     (long long)sqlite3_column_int64(st, 0),
			     log_esc(led_col(st, 1), run, sizeof(run)));
	return rc;
}

static int check_triggers(struct walk *w, struct err *e)
{
	sqlite3_stmt *st = led_stmt(w->s, LED_SQL_TRIGGERS, e);
	int rc = st ? led_step(w->s, st, "read the schema", e) : -1;

	if (rc != 1)
		return -1;
	if (sqlite3_column_int64(st, 0) != 2)
		warn(w, "the triggers that refuse changes to rows were removed");
	sqlite3_reset(st);
	return 0;
}

static int report_json(FILE *out, const struct walk *w, struct err *e)
{
	AUTO_BUF b = {.max = REPORT_MAX_BYTES};
	struct sv rest = buf_view(w->warnings), line;
	bool more = rest.n > 0;
	struct jw j;

	jw_init(&j, &b);
	jw_obj(&j);
	jw_kbool(&j, "intact", !e->code);
	jw_kint(&j, "rows", w->seq);
	led_khash(&j, "head", (struct sv){(const char *)w->hash, LED_HASH_BYTES});
	if (e->code) {
		jw_kint(&j, "bad_row", w->bad_seq);
		jw_kstr(&j, "cause", sv_of(e->cause));
	}
	jw_kint(&j, "warnings_count", (int64_t)w->warned);
	jw_key(&j, "warnings");
	jw_arr(&j);
	while (sv_cut(&rest, '\n', &more, &line))
		jw_str(&j, line);
	jw_arr_end(&j);
	jw_obj_end(&j);
	if (b.failed)
		return err_set(e, ERR_LIMIT, "out of memory writing the report");
	led_put_json(out, buf_view(&b));
	return 0;
}

static void report_text(FILE *out, const struct walk *w)
{
	AUTO_BUF hex = {.max = 128};
	struct sv rest = buf_view(w->warnings), line;
	bool more = rest.n > 0;

	buf_hex(&hex, w->hash, LED_HASH_BYTES);
	fprintf(out, "intact: %" PRId64 " rows, head %s\n", w->seq, buf_cstr(&hex));
	while (sv_cut(&rest, '\n', &more, &line))
		fprintf(out, "warning: " SV_FMT "\n", SV_ARG(line));
	if (w->warned > WARNINGS_SHOWN)
		fprintf(out, "warning: and %" PRIu64 " more\n",
			w->warned - WARNINGS_SHOWN);
}

int led_audit_verify(const struct led_query *q, FILE *out, uint64_t *ret_rows,
		     struct err *e)
{
	AUTO_STORE s = {0};
	AUTO_LIVE live = {0};
	AUTO_BUF warnings = {.max = REPORT_MAX_BYTES};
	struct walk w = {.s = &s, .warnings = &warnings};
	struct err mine = {0};
	int rc;

	if (led_store_open_ro(&s, q->state_dir, e) || led_live_load(&s, &live, e) ||
	    led_run(&s, LED_SQL_SNAPSHOT, "read the record", e))
		return -1;
	rc = check_chain(&w, &mine) || check_head(&w, &mine) || check_file(&w, &mine) ||
	     check_triggers(&w, &mine) || check_unclosed(&w, &live, &mine) ||
	     led_key_verify(&s, &mine);
	if (q->json)
		rc = report_json(out, &w, &mine) || rc;
	else if (!rc)
		report_text(out, &w);
	if (rc) {
		if (e)
			*e = mine;
		return -1;
	}
	if (led_flush(out, e))
		return -1;
	if (ret_rows)
		*ret_rows = (uint64_t)w.seq;
	return 0;
}
