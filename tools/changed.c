/* changed.c: the files a run has made, changed or deleted, and those it was to leave, as its result shows them.
 *
 * The rows come from a sandbox: their paths are any bytes, what they say of a file is the word of one who may have been
 * watched by a program. They are made into the forms of a result once, when the run has ended, and then only
 * kept. Patterns are the caller's and paths a program's, so matching them has a budget for all of a run. */
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "tools/internal.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#define JSON_BYTES ((size_t)384 << 10) /* of the rows of one list */
#define TEXT_BYTES ((size_t)256 << 10)
#define MATCH_STEPS 20000000u

void run_files_finish(struct run_files *f)
{
	buf_finish(&f->json);
	buf_finish(&f->text);
}

/* --- patterns --------------------------------------------------------------------------------- */

/* One byte of the path against one of the pattern. */
static bool fits(char p, char c)
{
	return p == '?' ? c != '/' : p == c;
}

/* The last star tried, and how far it has reached. */
struct star {
	const char *after; /* NULL: there was none */
	size_t reach;
};

/* * and ? stay within a folder, ** does not. A * that cannot reach further gives way to the ** before it. */
static bool matches(const char *p, struct sv path, unsigned *steps)
{
	struct star one = {NULL, 0}, any = {NULL, 0};
	size_t i = 0;

	while (*steps) {
		--*steps;
		if (*p == '*') {
			const bool two = p[1] == '*';

			p += two ? 2 : 1;
			*(two ? &any : &one) = (struct star){p, i};
			/* a double star and its slash are nothing too; what it is tried for later begins with the slash */
			if (two && *p == '/' && (!i || path.p[i - 1] == '/'))
				p++;
			if (two)
				one.after = NULL;
			continue;
		}
		if (i == path.n && !*p)
			return true;
		if (i < path.n && *p && fits(*p, path.p[i])) {
			p++, i++;
		} else if (one.after && one.reach < path.n &&
			   path.p[one.reach] != '/') {
			p = one.after;
			i = ++one.reach;
		} else if (any.after && any.reach < path.n) {
			p = any.after;
			i = ++any.reach;
			one.after = NULL;
		} else {
			return false;
		}
	}
	return false;
}

bool run_pattern_matches(const char *pattern, struct sv path, unsigned *steps)
{
	const struct sv dir = sv_of(pattern);

	/* a folder means all that is in it */
	if (path.n > dir.n && path.p[dir.n] == '/' && sv_starts(path, dir))
		return true;
	return matches(pattern, path, steps);
}

/* --- rows ------------------------------------------------------------------------------------- */

static const char *kind_name(enum guest_change_kind k)
{
	return k == GUEST_CREATED   ? "created"
	       : k == GUEST_DELETED ? "deleted"
				    : "changed";
}

static void put_file(const struct guest_change *c, const char *mime, struct jw *w,
		     struct buf *text)
{
	char hex[2 * sizeof(c->sha) + 1];

	jw_kint(w, "size", (int64_t)c->size);
	if (c->has_sha) {
		sodium_bin2hex(hex, sizeof(hex), c->sha, sizeof(c->sha));
		jw_kstr(w, "sha256", sv_of(hex));
	}
	jw_kstr(w, "mime_type", sv_of(mime));
	buf_fmt(text, ", %" PRIu64 " bytes, %s", c->size, mime);
}

/* kind NULL: a row of artifacts. */
static void put_row(struct run_files *f, const struct guest_change *c, const char *kind)
{
	const size_t json_n = f->json.n, text_n = f->text.n;
	struct jw w;

	if (f->shown)
		buf_byte(&f->json, ',');
	jw_init(&w, &f->json);
	jw_obj(&w);
	jw_kstr(&w, "path", c->path);
	if (json_bad_utf8(c->path))
		jw_kbool(&w, "path_not_utf8", true);
	if (kind)
		jw_kstr(&w, "change", sv_of(kind));
	if (c->node != GUEST_NODE_FILE)
		jw_kstr(&w, "type",
			c->node == GUEST_NODE_LINK ? SV("link") : SV("other"));
	if (kind)
		buf_fmt(&f->text, "%s ", kind);
	json_quote(&f->text, c->path);
	if (c->node == GUEST_NODE_FILE && c->kind != GUEST_DELETED)
		put_file(c, mime_of(c->head), &w, &f->text);
	buf_byte(&f->text, '\n');
	jw_obj_end(&w);
	if (!f->json.failed && !f->text.failed) {
		f->shown++;
		return;
	}
	/* this one is left out, and all that follow */
	f->json.n = json_n;
	f->text.n = text_n;
	f->json.failed = f->text.failed = false;
	f->full = true;
}

static void add_row(struct run_files *f, const struct guest_change *c, const char *kind)
{
	f->total++;
	if (f->shown == RUN_SHOWN_FILES || f->full)
		f->more = true;
	else
		put_row(f, c, kind);
	f->more |= f->full;
}

static void start(struct run_files *f, bool known)
{
	f->there = true;
	f->more = !known;
	buf_init(&f->json, JSON_BYTES);
	buf_init(&f->text, TEXT_BYTES);
}

/* Whether it was declared; notes which patterns have found something. */
static bool is_declared(struct run *r, const struct guest_change *c, unsigned *steps)
{
	bool found = false;
	unsigned i = 0;

	if (c->kind == GUEST_DELETED || c->node != GUEST_NODE_FILE)
		return false;
	for (const char *p = r->declared.p; i < r->ndeclared; p += strlen(p) + 1, i++)
		if (run_pattern_matches(p, c->path, steps)) {
			r->matched[i / 8] |= (unsigned char)(1u << i % 8);
			found = true;
		}
	return found;
}

void run_take_changes(struct run *r, const struct sup_changes *c)
{
	struct sv rest = c->rows;
	unsigned steps = MATCH_STEPS;
	struct guest_change row;
	int got = 0;

	start(&r->changed, c->known);
	if (r->ndeclared)
		start(&r->artifacts, c->known);
	while (c->known && (got = guest_next_change(&rest, &row)) == 1) {
		if (row.kind != GUEST_SAME)
			add_row(&r->changed, &row, kind_name(row.kind));
		if (r->ndeclared && is_declared(r, &row, &steps))
			add_row(&r->artifacts, &row, NULL);
	}
	/* more were found than were listed */
	if (!r->own_session && c->total > r->changed.total)
		r->changed.total = c->total;
	r->changed.more |= c->more || got < 0;
	r->artifacts.more |= c->more || got < 0 || !steps;
	run_charge(r, RUNS_BYTES,
		   r->changed.json.n + r->changed.text.n + r->artifacts.json.n +
			   r->artifacts.text.n);
}

/* --- in a result -------------------------------------------------------------------------------- */

static void json_list(struct jw *w, const struct run_files *f, const char *name)
{
	char key[40];

	jw_key(w, name);
	jw_arr(w);
	if (f->shown)
		jw_raw(w, buf_view(&f->json));
	jw_arr_end(w);
	if (!f->more)
		return;
	snprintf(key, sizeof(key), "%s_truncated", name);
	jw_kbool(w, key, true);
	if (f->total > f->shown) {
		snprintf(key, sizeof(key), "%s_found", name);
		jw_kint(w, key, (int64_t)f->total);
	}
}

static bool is_missing(const struct run *r, unsigned i)
{
	return !(r->matched[i / 8] & 1u << i % 8);
}

static void json_missing(struct jw *w, const struct run *r)
{
	unsigned i = 0;

	jw_key(w, "missing_outputs");
	jw_arr(w);
	for (const char *p = r->declared.p; i < r->ndeclared; p += strlen(p) + 1, i++)
		if (is_missing(r, i))
			jw_str(w, sv_of(p));
	jw_arr_end(w);
}

void files_json(struct jw *w, const struct run *r)
{
	if (r->changed.there)
		json_list(w, &r->changed, "changed_files");
	if (!r->ndeclared)
		return;
	json_list(w, &r->artifacts, "artifacts");
	json_missing(w, r);
}

static void text_list(struct buf *b, const struct run_files *f, const char *what)
{
	if (f->shown)
		buf_fmt(b, "%s (names are untrusted):\n", what);
	buf_sv(b, buf_view(&f->text));
	if (f->more && f->total > f->shown)
		buf_fmt(b, "%s: %" PRIu32 " found, %" PRIu32 " shown\n", what, f->total,
			f->shown);
	else if (f->more)
		buf_fmt(b, "%s: not all could be found out\n", what);
}

void files_text(const struct run *r, struct buf *b)
{
	unsigned i = 0;

	if (r->changed.there)
		text_list(b, &r->changed, "changed files");
	if (!r->ndeclared)
		return;
	text_list(b, &r->artifacts, "artifacts");
	if (r->kept)
		buf_fmt(b,
			"artifact_download with run_id %s fetches them; they are kept for "
			"%d minutes\n",
			r->id, RUN_KEPT_S / 60);
	for (const char *p = r->declared.p; i < r->ndeclared; p += strlen(p) + 1, i++)
		if (is_missing(r, i)) {
			buf_str(b, "missing output ");
			json_quote(b, sv_of(p));
			buf_byte(b, '\n');
		}
}
