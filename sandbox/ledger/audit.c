/* audit.c: `fumehood audit list` and `show`: the record, read. */
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/report.h"
#include "sandbox/ledger/store.h"

#include <inttypes.h>

#define LINE_MAX_BYTES ((size_t)256 << 10)
#define AUTO_STORE __attribute__((cleanup(led_store_finish))) struct led_store

/* Columns of LED_SQL_LIST. */
enum {
	L_SEQ,
	L_TS,
	L_KIND,
	L_RUN,
	L_PRINCIPAL,
	L_INSTANCE,
	L_TOOL,
	L_RUNTIME,
	L_DETAIL,
	L_END,
	L_STATUS,
	L_DURATION,
	L_EXIT,
	L_SIGNAL
};

/* What became of the run in this row of the list. */
static struct sv list_status(sqlite3_stmt *st, const struct led_live *live)
{
	struct sv end = led_col(st, L_END), kind = led_col(st, L_KIND);

	if (!sv_eq(kind, SV("intent")))
		return kind;
	if (sv_eq(end, SV("unknown")))
		return end;
	if (end.n)
		return led_col(st, L_STATUS);
	return led_live_has(live, sqlite3_column_int64(st, L_INSTANCE))
		       ? SV("running")
		       : SV("unclosed");
}

static void kint_col(struct jw *w, const char *key, sqlite3_stmt *st, int at)
{
	jw_key(w, key);
	if (sqlite3_column_type(st, at) == SQLITE_INTEGER)
		jw_int(w, sqlite3_column_int64(st, at));
	else
		jw_null(w);
}

/* The row st stands on; its number is the first column of every query here. */
static int too_long(sqlite3_stmt *st, struct err *e)
{
	return err_set(e, ERR_LIMIT,
		       "row %lld is too long to print, or memory is short",
		       (long long)sqlite3_column_int64(st, 0));
}

static int list_json(FILE *out, sqlite3_stmt *st, struct sv status, struct err *e)
{
	AUTO_BUF b = {.max = LINE_MAX_BYTES};
	char when[LED_TIME_SIZE];
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "seq", sqlite3_column_int64(st, L_SEQ));
	jw_kstr(&w, "time",
		sv_of(led_time(sqlite3_column_int64(st, L_TS), true, when)));
	jw_kstr(&w, "run_id", led_col(st, L_RUN));
	jw_kstr(&w, "principal", led_col(st, L_PRINCIPAL));
	jw_kstr(&w, "tool", led_col(st, L_TOOL));
	jw_kstr(&w, "language", led_col(st, L_RUNTIME));
	jw_kstr(&w, "status", status);
	kint_col(&w, "duration_us", st, L_DURATION);
	kint_col(&w, "exit_code", st, L_EXIT);
	kint_col(&w, "signal", st, L_SIGNAL);
	if (sqlite3_column_type(st, L_DETAIL) == SQLITE_TEXT)
		jw_kstr(&w, "detail", led_col(st, L_DETAIL));
	jw_obj_end(&w);
	if (b.failed)
		return too_long(st, e);
	led_put_json(out, buf_view(&b));
	return 0;
}

/* --- the table -------------------------------------------------------------------- */

enum {
	C_TIME,
	C_RUN,
	C_WHO,
	C_TOOL,
	C_LANGUAGE,
	C_STATUS,
	C_DURATION,
	C_EXIT,
	C_COUNT
};
#define CELL_SIZE 96
struct cells {
	char text[C_COUNT][CELL_SIZE];
};
static const struct cells titles = {{[C_TIME] = "TIME",
				     [C_RUN] = "RUN",
				     [C_WHO] = "PRINCIPAL",
				     [C_TOOL] = "TOOL",
				     [C_LANGUAGE] = "LANGUAGE",
				     [C_STATUS] = "STATUS",
				     [C_DURATION] = "DURATION",
				     [C_EXIT] = "EXIT"}};

static void cell_text(char *cell, struct sv s)
{
	log_esc(s.n ? s : SV("-"), cell, CELL_SIZE);
}

static void duration_text(char *cell, int64_t us)
{
	if (us < 1000000)
		snprintf(cell, CELL_SIZE, "%.1f ms", (double)us / 1e3);
	else
		snprintf(cell, CELL_SIZE, "%.2f s", (double)us / 1e6);
}

static void fill_cells(struct cells *c, sqlite3_stmt *st, struct sv status)
{
	char when[LED_TIME_SIZE];

	cell_text(c->text[C_TIME],
		  sv_of(led_time(sqlite3_column_int64(st, L_TS), false, when)));
	cell_text(c->text[C_RUN], led_col(st, L_RUN));
	cell_text(c->text[C_WHO], led_col(st, L_PRINCIPAL));
	cell_text(c->text[C_TOOL], led_col(st, L_TOOL));
	cell_text(c->text[C_LANGUAGE], led_col(st, L_RUNTIME));
	cell_text(c->text[C_STATUS], status);
	if (sqlite3_column_type(st, L_DURATION) == SQLITE_INTEGER)
		duration_text(c->text[C_DURATION],
			      sqlite3_column_int64(st, L_DURATION));
	else
		cell_text(c->text[C_DURATION], SV(""));
	if (sqlite3_column_type(st, L_EXIT) == SQLITE_INTEGER)
		snprintf(c->text[C_EXIT], CELL_SIZE, "%lld",
			 (long long)sqlite3_column_int64(st, L_EXIT));
	else if (sqlite3_column_type(st, L_SIGNAL) == SQLITE_INTEGER)
		snprintf(c->text[C_EXIT], CELL_SIZE, "signal %lld",
			 (long long)sqlite3_column_int64(st, L_SIGNAL));
	else
		cell_text(c->text[C_EXIT], SV(""));
}

static void widen(int width[C_COUNT], const struct cells *c)
{
	for (int i = 0; i < C_COUNT; i++)
		if ((int)strlen(c->text[i]) > width[i])
			width[i] = (int)strlen(c->text[i]);
}

static void put_cells(FILE *out, const int width[C_COUNT], const struct cells *c)
{
	for (int i = 0; i < C_COUNT - 1; i++)
		fprintf(out, i == C_DURATION ? "%*s  " : "%-*s  ", width[i],
			c->text[i]);
	fprintf(out, "%s\n", c->text[C_COUNT - 1]);
}

struct list {
	struct led_store s;
	struct led_live live;
	const struct led_query *q;
	FILE *out;
	int width[C_COUNT];
};
enum pass { MEASURE, PRINT };

/* One walk over the list; both walks of a table see the same snapshot. */
static int walk_list(struct list *l, enum pass pass, struct err *e)
{
	sqlite3_stmt *st = led_stmt(&l->s, LED_SQL_LIST, e);
	struct cells c;
	int rc;

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, l->q->limit > 0 ? l->q->limit : -1);
	while ((rc = led_step(&l->s, st, "read the record", e)) == 1) {
		struct sv status = list_status(st, &l->live);

		if (l->q->json) {
			if (list_json(l->out, st, status, e))
				return -1;
			continue;
		}
		fill_cells(&c, st, status);
		if (pass == MEASURE)
			widen(l->width, &c);
		else
			put_cells(l->out, l->width, &c);
	}
	return rc;
}

static int list(struct list *l, struct err *e)
{
	if (led_store_open_ro(&l->s, l->q->state_dir, e) ||
	    led_live_load(&l->s, &l->live, e) ||
	    led_run(&l->s, LED_SQL_SNAPSHOT, "read the record", e))
		return -1;
	if (!l->q->json) {
		widen(l->width, &titles);
		if (walk_list(l, MEASURE, e))
			return -1;
		put_cells(l->out, l->width, &titles);
	}
	return walk_list(l, PRINT, e) ? -1 : led_flush(l->out, e);
}

int led_audit_list(const struct led_query *q, FILE *out, struct err *e)
{
	struct list l = {.q = q, .out = out};
	int rc = list(&l, e);

	led_live_finish(&l.live);
	led_store_finish(&l.s);
	return rc;
}

/* --- show ------------------------------------------------------------------------- */

/* The first text after every one that begins with prefix: run ids are ASCII. */
static int prefix_end(struct sv prefix, struct buf *b)
{
	buf_sv(b, prefix);
	buf_byte(b, '\x7f');
	return b->failed ? -1 : 0;
}

static int ambiguous(sqlite3_stmt *st, struct sv prefix, struct buf *first,
		     struct err *e)
{
	char a[80], b[80], p[80];

	log_esc(buf_view(first), a, sizeof(a));
	log_esc(led_col(st, 0), b, sizeof(b));
	err_set(e, ERR_INVALID, "several runs begin with \"%s\": %s, %s, ...",
		log_esc(prefix, p, sizeof(p)), a, b);
	return err_fix(e, "give more of the run id");
}

/* The whole id of the one run that begins with prefix. */
static int find_run(struct led_store *s, struct sv prefix, struct buf *ret,
		    struct err *e)
{
	AUTO_BUF end = {.max = 1024};
	sqlite3_stmt *st = led_stmt(s, LED_SQL_RUN_PREFIX, e);
	char p[80];
	int rc;

	if (!st)
		return -1;
	if (!prefix.n || prefix_end(prefix, &end))
		return err_set(e, ERR_INVALID, "a run id is needed");
	led_bind_sv(st, 1, prefix);
	led_bind_sv(st, 2, buf_view(&end));
	while ((rc = led_step(s, st, "look for the run", e)) == 1) {
		bool exact = sv_eq(led_col(st, 0), prefix);

		if (ret->n) {
			rc = ambiguous(st, prefix, ret, e);
			break;
		}
		buf_sv(ret, led_col(st, 0));
		if (exact)
			break;
	}
	sqlite3_reset(st);
	if (rc < 0)
		return -1;
	if (ret->n && !ret->failed)
		return 0;
	err_set(e, ERR_NOT_FOUND, "no run of the record begins with \"%s\"",
		log_esc(prefix, p, sizeof(p)));
	return err_fix(e, "`fumehood audit list` shows the runs");
}

/* Columns of LED_SQL_SHOW. */
enum {
	S_SEQ,
	S_TS,
	S_INSTANCE,
	S_KIND,
	S_RUN,
	S_PRINCIPAL,
	S_BODY,
	S_PREV,
	S_HASH,
	S_JSON
};

static int show_json(FILE *out, sqlite3_stmt *st, struct err *e)
{
	AUTO_BUF b = {.max = LINE_MAX_BYTES};
	char when[LED_TIME_SIZE];
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "seq", sqlite3_column_int64(st, S_SEQ));
	jw_kstr(&w, "time",
		sv_of(led_time(sqlite3_column_int64(st, S_TS), true, when)));
	jw_kint(&w, "instance", sqlite3_column_int64(st, S_INSTANCE));
	jw_kstr(&w, "kind", led_col(st, S_KIND));
	jw_kstr(&w, "run_id", led_col(st, S_RUN));
	jw_kstr(&w, "principal", led_col(st, S_PRINCIPAL));
	if (sqlite3_column_type(st, S_JSON) == SQLITE_TEXT)
		jw_kraw(&w, "body", led_col(st, S_JSON));
	else
		jw_kstr(&w, "body", led_col(st, S_BODY));
	led_khash(&w, "prev", led_col(st, S_PREV));
	led_khash(&w, "hash", led_col(st, S_HASH));
	jw_obj_end(&w);
	if (b.failed)
		return too_long(st, e);
	led_put_json(out, buf_view(&b));
	return 0;
}

static void put_field(FILE *out, struct sv key, struct sv value)
{
	char k[64], v[LINE_MAX_BYTES / 64];

	fprintf(out, "  %-16s  %s\n", log_esc(key, k, sizeof(k)),
		log_esc(value, v, sizeof(v)));
}

static void put_hash_field(FILE *out, const char *name, struct sv hash)
{
	AUTO_BUF hex = {.max = 128};

	buf_hex(&hex, hash.p, hash.n < 32 ? hash.n : 32);
	put_field(out, sv_of(name), buf_view(&hex));
}

static int show_row(struct led_store *s, FILE *out, sqlite3_stmt *st, struct err *e)
{
	sqlite3_stmt *each;
	char when[LED_TIME_SIZE], kind[64];
	int rc;

	fprintf(out, "row %" PRId64 "  %s  %s\n",
		(int64_t)sqlite3_column_int64(st, S_SEQ),
		led_time(sqlite3_column_int64(st, S_TS), true, when),
		log_esc(led_col(st, S_KIND), kind, sizeof(kind)));
	put_field(out, SV("run_id"), led_col(st, S_RUN));
	if (led_col(st, S_PRINCIPAL).n)
		put_field(out, SV("principal"), led_col(st, S_PRINCIPAL));
	fprintf(out, "  %-16s  %lld\n", "instance",
		(long long)sqlite3_column_int64(st, S_INSTANCE));
	if (sqlite3_column_type(st, S_JSON) == SQLITE_TEXT) {
		each = led_stmt(s, LED_SQL_BODY_EACH, e);
		if (!each)
			return -1;
		led_bind_sv(each, 1, led_col(st, S_JSON));
		while ((rc = led_step(s, each, "read a row", e)) == 1)
			put_field(out, led_col(each, 0), led_col(each, 1));
		if (rc)
			return -1;
	} else {
		put_field(out, SV("body"), led_col(st, S_BODY));
	}
	put_hash_field(out, "prev", led_col(st, S_PREV));
	put_hash_field(out, "hash", led_col(st, S_HASH));
	return 0;
}

int led_audit_show(const struct led_query *q, FILE *out, struct err *e)
{
	AUTO_STORE s = {0};
	AUTO_BUF run = {.max = 4096};
	sqlite3_stmt *st;
	int rc;

	if (led_store_open_ro(&s, q->state_dir, e) ||
	    led_run(&s, LED_SQL_SNAPSHOT, "read the record", e) ||
	    find_run(&s, q->run_id, &run, e))
		return -1;
	st = led_stmt(&s, LED_SQL_SHOW, e);
	if (!st)
		return -1;
	led_bind_sv(st, 1, buf_view(&run));
	while ((rc = led_step(&s, st, "read the record", e)) == 1)
		if (q->json ? show_json(out, st, e) : show_row(&s, out, st, e))
			return -1;
	return rc ? -1 : led_flush(out, e);
}
