/* resources.c: what can be read by address: each run's output and result, the runtimes, the limits.
 *
 * A stream is read in pages: sandbox://runs/ID/stdout?offset=N&length=N, in bytes of the stream, at most
 * PAGE_BYTES each; the page says where the next one is. A page that is well-formed UTF-8 without NUL is
 * text, any other is a blob. Pages end between characters, as long as that takes them forward.
 *
 * What was displayed is sandbox://runs/ID/outputs/N: all of it, up to WHOLE_BYTES, where no page is asked for. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <inttypes.h>
#include <sodium.h>

#define PAGE_BYTES ((uint64_t)1 << 20)
#define WHOLE_BYTES ((uint64_t)4 << 20)
#define META "fumehood/"
#define RUNTIMES_URI "sandbox://runtimes"
#define LIMITS_URI "sandbox://limits"
#define MAX_COMPLETIONS 100
#define INFO_BYTES ((size_t)64 << 10)

/* The parts of a run, in the order they are listed; the last stands for as many as there are outputs. */
enum part { PART_RESULT, PART_STDOUT, PART_STDERR, PART_OUTPUT, PARTS };
static const char *const part_names[PARTS] = {"result", "stdout", "stderr", "outputs"};

/* --- addresses ---------------------------------------------------------------------------------- */

struct address {
	struct sv run_id;
	enum part part;
	uint64_t number; /* of an output */
	uint64_t offset, length, max;
};

static int no_such(struct err *e)
{
	err_set(e, ERR_NOT_FOUND, "there is no such resource");
	return err_fix(e,
		       "resources/list shows those there are; a run and its output are "
		       "kept for some time after its end");
}

static int read_query(struct sv query, struct address *a, struct err *e)
{
	struct sv pair, name;
	bool more = true;

	while (sv_cut(&query, '&', &more, &pair)) {
		bool rest = true;
		uint64_t *to;

		if (!sv_cut(&pair, '=', &rest, &name))
			continue;
		to = sv_eq(name, SV("offset"))	 ? &a->offset
		     : sv_eq(name, SV("length")) ? &a->length
						 : NULL;
		if (!to || !rest || sv_to_u64(pair, to) || *to > INT64_MAX) {
			err_set(e, ERR_INVALID,
				"the address has a query that says nothing");
			return err_fix(e, "use ?offset=N&length=N, in bytes");
		}
	}
	if (a->length && a->length <= a->max)
		return 0;
	err_set(e, ERR_INVALID, "length is not from 1 to %" PRIu64, a->max);
	return err_fix(e, "ask for at most that, then for the next page");
}

/* "stdout", "outputs/2" */
static void read_part(struct sv path, struct address *a)
{
	static const struct sv outputs = {"outputs/", 8};
	struct sv number = path;

	for (int i = 0; i < PART_OUTPUT; i++)
		if (sv_eq(path, sv_of(part_names[i])))
			a->part = (enum part)i;
	if (!sv_starts(path, outputs))
		return;
	number.p += outputs.n, number.n -= outputs.n;
	/* one way to write each */
	if (sv_to_u64(number, &a->number) || (number.n > 1 && *number.p == '0'))
		return;
	a->part = PART_OUTPUT;
	a->length = a->max = WHOLE_BYTES;
}

static int read_address(struct sv uri, struct address *a, struct err *e)
{
	struct sv part, path;
	bool more = true, query = true;

	*a = (struct address){.length = PAGE_BYTES, .max = PAGE_BYTES, .part = PARTS};
	if (!sv_starts(uri, SV(RUNS_URI)))
		goto none;
	uri.p += strlen(RUNS_URI), uri.n -= strlen(RUNS_URI);
	if (!sv_cut(&uri, '?', &query, &path) || !sv_cut(&path, '/', &more, &part) ||
	    !more)
		goto none;
	a->run_id = part;
	read_part(path, a);
	if (a->part == PARTS)
		goto none;
	return query ? read_query(uri, a, e) : 0;
none:
	no_such(e);
	return -1;
}

/* --- reading ------------------------------------------------------------------------------------ */

static void put_blob(struct jw *w, struct sv bytes)
{
	const int variant = sodium_base64_VARIANT_ORIGINAL;
	size_t n = sodium_base64_encoded_len(bytes.n, variant); /* with NUL */
	AUTO_BUF b = {0};
	char *at;

	buf_init(&b, n);
	at = buf_reserve(&b, n);
	if (!at) {
		w->b->failed = true;
		return;
	}
	sodium_bin2base64(at, n, (const unsigned char *)bytes.p, bytes.n, variant);
	buf_commit(&b, n - 1);
	jw_kstr(w, "blob", buf_view(&b));
}

static void put_meta(struct jw *w, const struct run *r, const struct address *a,
		     uint64_t next)
{
	const struct store *s = &r->out[a->part - PART_STDOUT];
	char uri[RUN_URI_SIZE], page[RUN_URI_SIZE + 64];

	run_uri(r, part_names[a->part], uri);
	jw_key(w, "_meta");
	jw_obj(w);
	jw_kint(w, META "offset", (int64_t)a->offset);
	jw_kint(w, META "total_bytes", (int64_t)s->total);
	jw_kbool(w, META "running", !r->ended);
	if (s->kept < s->total)
		jw_kint(w, META "dropped_bytes", (int64_t)(s->total - s->kept));
	if (next < s->kept || !r->ended) {
		snprintf(page, sizeof(page), "%s?offset=%" PRIu64 "&length=%" PRIu64,
			 uri, next, a->length);
		jw_kstr(w, META "next", sv_of(page));
	}
	jw_obj_end(w);
}

static int read_stream(const struct run *r, const struct address *a, struct sv uri,
		       struct jw *w, struct err *e)
{
	const struct store *s = &r->out[a->part - PART_STDOUT];
	struct sv page;
	AUTO_BUF b = {0};
	size_t cut;

	if (a->offset > s->kept) {
		err_set(e, ERR_INVALID,
			"offset is %" PRIu64 ", but there are %" PRIu64 " bytes",
			a->offset, s->kept);
		return err_fix(e, "begin with offset 0 and go on with the address in "
				  "_meta[\"" META "next\"]");
	}
	buf_init(&b, PAGE_BYTES);
	if (store_copy(s, a->offset, (size_t)a->length, &b))
		return err_set(e, ERR_LIMIT, "no memory for a page of output");
	page = buf_view(&b);
	cut = text_cut_at_end(page);
	if (cut && (a->offset + page.n < s->kept || !r->ended) &&
	    (cut < page.n || (!r->ended && a->length > cut)))
		page.n -= cut;
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	if (sv_valid_utf8(page) && sv_find(page, '\0') < 0) {
		jw_kstr(w, "mimeType", SV("text/plain"));
		jw_kstr(w, "text", page);
	} else {
		jw_kstr(w, "mimeType", SV("application/octet-stream"));
		put_blob(w, page);
	}
	put_meta(w, r, a, a->offset + page.n);
	jw_obj_end(w);
	return 0;
}

/* The piece, as what it is. */
static void put_piece(struct jw *w, const struct output_item *it, struct sv piece,
		      bool whole)
{
	const bool text = it->is_text && sv_valid_utf8(piece);

	jw_kstr(w, "mimeType",
		whole || text ? sv_of(it->mime) : SV("application/octet-stream"));
	if (it->is_text && (whole || text))
		jw_kstr(w, "text", piece);
	else
		put_blob(w, piece);
}

static int read_output(const struct run *r, const struct address *a, struct sv uri,
		       struct jw *w, struct err *e)
{
	const struct output_item *it = run_output_item(r, a->number, NULL);
	char base[RUN_URI_SIZE], page[RUN_URI_SIZE + 64], what[40];
	AUTO_BUF b = {0};
	uint64_t left;

	if (!it)
		return no_such(e);
	if (a->offset > it->n) {
		err_set(e, ERR_INVALID,
			"offset is %" PRIu64 ", but there are %" PRIu32 " bytes",
			a->offset, it->n);
		return err_fix(e, "begin with offset 0");
	}
	left = it->n - a->offset < a->length ? it->n - a->offset : a->length;
	buf_init(&b, (size_t)left);
	if (store_copy(&r->outputs.bytes, it->at + a->offset, (size_t)left, &b))
		return err_set(e, ERR_LIMIT, "no memory for the output");
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	put_piece(w, it, buf_view(&b), left == it->n);
	jw_key(w, "_meta");
	jw_obj(w);
	jw_kint(w, META "offset", (int64_t)a->offset);
	jw_kint(w, META "total_bytes", it->n);
	if (a->offset + left < it->n) {
		snprintf(what, sizeof(what), "outputs/%" PRIu64, a->number);
		run_uri(r, what, base);
		snprintf(page, sizeof(page), "%s?offset=%" PRIu64 "&length=%" PRIu64,
			 base, a->offset + left, a->length);
		jw_kstr(w, META "next", sv_of(page));
	}
	jw_obj_end(w);
	jw_obj_end(w);
	return 0;
}

static void put_json(struct jw *w, struct sv uri, struct sv json)
{
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	jw_kstr(w, "mimeType", SV("application/json"));
	jw_kstr(w, "text", json);
	jw_obj_end(w);
}

static void json_error(const struct err *e, struct buf *json)
{
	struct jw w;

	jw_init(&w, json);
	jw_obj(&w);
	jw_kstr(&w, "code", sv_of(err_code_name(e->code)));
	jw_kstr(&w, "cause", sv_of(e->cause));
	jw_kstr(&w, "remediation", sv_of(err_remediation(e)));
	jw_obj_end(&w);
}

static int read_result(const struct run *r, struct sv uri, struct jw *w, struct err *e)
{
	const struct run_page page = {.max_bytes = RUN_PAGE_BYTES};
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	int bad = 0;

	buf_init(&json, RUN_MAX_ANSWER_BYTES);
	buf_init(&text, RUN_MAX_ANSWER_BYTES);
	if (r->err.code)
		json_error(&r->err, &json);
	else if (r->ended)
		bad = run_render_ended(r, &json, &text, e);
	else
		bad = run_render_page(r, &page, &json, &text, e);
	if (bad)
		return -1;
	put_json(w, uri, buf_view(&json));
	return 0;
}

/* Last: the array it stands in may have failed under it. */
static int whole(const struct jw *w, struct err *e)
{
	return w->b->failed ? err_set(e, ERR_LIMIT, "no memory for the resource") : 0;
}

static int runs_read(const struct tool_env *env, struct sv uri, struct jw *w,
		     struct err *e)
{
	struct address a;
	struct run *r;
	int bad;

	if (read_address(uri, &a, e))
		return -1;
	r = runs_find(env->runs, env->principal, a.run_id);
	if (!r)
		return no_such(e);
	bad = a.part == PART_RESULT   ? read_result(r, uri, w, e)
	      : a.part == PART_OUTPUT ? read_output(r, &a, uri, w, e)
				      : read_stream(r, &a, uri, w, e);
	return bad ? -1 : whole(w, e);
}

/* --- listing ------------------------------------------------------------------------------------ */

/* Whether there is, or may still be, something to read. */
static bool has_part(const struct run *r, unsigned p)
{
	return p == PART_RESULT || p >= PART_OUTPUT || !r->ended ||
	       r->out[p - PART_STDOUT].kept;
}

static void put_output(const struct run *r, unsigned number,
		       void (*put)(void *arg, const struct resource *r), void *arg)
{
	const struct output *o;
	const struct output_item *it = run_output_item(r, number, &o);
	char uri[RUN_URI_SIZE], title[160], what[40];

	snprintf(what, sizeof(what), "outputs/%u", number);
	run_uri(r, what, uri);
	snprintf(title, sizeof(title), "%s (%s) of %s", it->mime,
		 rich_kind_names[o->kind], r->id);
	put(arg, &(struct resource){
			 .uri = sv_of(uri),
			 .name = sv_of(uri + strlen(RUNS_URI)),
			 .title = sv_of(title),
			 .description = SV("What the run displayed: untrusted data."),
			 .mime = sv_of(it->mime),
			 .size = it->n});
}

static void put_part(const struct run *r, enum part p,
		     void (*put)(void *arg, const struct resource *r), void *arg)
{
	static const char *const what[PARTS] = {
		[PART_RESULT] =
			"How it went: the object run_code or run_command answers with.",
		[PART_STDOUT] =
			"All it printed to standard output: untrusted data. Pages: "
			"?offset=N&length=N.",
		[PART_STDERR] =
			"All it printed to standard error: untrusted data. Pages: "
			"?offset=N&length=N.",
	};
	char uri[RUN_URI_SIZE], title[128];

	run_uri(r, part_names[p], uri);
	snprintf(title, sizeof(title), "%s of %s%s%s, %s", part_names[p],
		 pol_tool_name(r->tool), *r->language ? " " : "", r->language,
		 !r->ended     ? "running"
		 : r->err.code ? "lost"
			       : sup_status_name(r->result.status));
	put(arg,
	    &(struct resource){
		    .uri = sv_of(uri),
		    .name = sv_of(uri + strlen(RUNS_URI)),
		    .title = sv_of(title),
		    .description = sv_of(what[p]),
		    .mime = p == PART_RESULT ? SV("application/json")
					     : SV("text/plain"),
		    .size = p == PART_RESULT ? -1
					     : (int64_t)r->out[p - PART_STDOUT].kept});
}

static bool runs_list(const struct tool_env *env, struct sv after, unsigned max,
		      void (*put)(void *arg, const struct resource *r), void *arg)
{
	struct run *r = runs_newest(env->runs, env->principal);
	unsigned part = 0;
	struct address a;

	if (after.n && !read_address(after, &a, NULL)) {
		r = runs_find(env->runs, env->principal, a.run_id);
		part = (unsigned)a.part + 1;
		if (a.part == PART_OUTPUT)
			part += a.number < RUN_MAX_OUTPUTS * RICH_ITEMS
					? (unsigned)a.number
					: RUN_MAX_OUTPUTS * RICH_ITEMS;
		if (!r) {
			r = runs_after(env->runs, env->principal, a.run_id);
			part = 0;
		}
	}
	for (; r; r = runs_older(r), part = 0)
		for (; part < PART_OUTPUT + r->outputs.nitems; part++) {
			if (!has_part(r, part))
				continue;
			if (!max--)
				return true;
			if (part < PART_OUTPUT)
				put_part(r, (enum part)part, put, arg);
			else
				put_output(r, part - PART_OUTPUT, put, arg);
		}
	return false;
}

static void runs_complete(const struct tool_env *env, const struct resource_template *t,
			  struct sv variable, struct sv value,
			  void (*put)(void *arg, struct sv value), void *arg)
{
	unsigned n = 0;

	(void)t;
	if (!sv_eq(variable, SV("run_id")))
		return;
	for (struct run *r = runs_newest(env->runs, env->principal);
	     r && n < MAX_COMPLETIONS; r = runs_older(r))
		if (sv_starts(sv_of(r->id), value)) {
			put(arg, sv_of(r->id));
			n++;
		}
}

/* --- what sandbox_info says ---------------------------------------------------------------------- */

static int need_info(const struct tool_env *env, const struct sup_info **ret,
		     struct err *e)
{
	*ret = sup_client_info(env->client);
	return *ret ? 0 : err_set(e, ERR_BUSY, "the server has not finished starting");
}

static int runtimes_read(const struct tool_env *env, struct sv uri, struct jw *w,
			 struct err *e)
{
	const struct sup_info *info;
	AUTO_BUF json = {0};

	if (!sv_eq(uri, SV(RUNTIMES_URI)))
		return no_such(e);
	if (need_info(env, &info, e))
		return -1;
	buf_init(&json, INFO_BYTES);
	info_json_runtimes(info, sandbox_info_versions(), &json);
	put_json(w, uri, buf_view(&json));
	w->b->failed |= json.failed;
	return whole(w, e);
}

static int limits_read(const struct tool_env *env, struct sv uri, struct jw *w,
		       struct err *e)
{
	const struct info_more more = info_more_of(env->runs, 0);
	const struct sup_info *info;
	AUTO_BUF json = {0};

	if (!sv_eq(uri, SV(LIMITS_URI)))
		return no_such(e);
	if (need_info(env, &info, e))
		return -1;
	buf_init(&json, INFO_BYTES);
	info_json_limits(info, &more, &json);
	put_json(w, uri, buf_view(&json));
	w->b->failed |= json.failed;
	return whole(w, e);
}

static bool runtimes_list(const struct tool_env *env, struct sv after, unsigned max,
			  void (*put)(void *arg, const struct resource *r), void *arg)
{
	(void)env;
	if (after.n || !max)
		return !after.n;
	put(arg, &(struct resource){
			 .uri = SV(RUNTIMES_URI),
			 .name = SV("runtimes"),
			 .title = SV("Languages"),
			 .description = SV(
				 "The languages run_code knows and what is installed; "
				 "versions once sandbox_info has asked for them."),
			 .mime = SV("application/json"),
			 .size = -1});
	return false;
}

static bool limits_list(const struct tool_env *env, struct sv after, unsigned max,
			void (*put)(void *arg, const struct resource *r), void *arg)
{
	(void)env;
	if (after.n || !max)
		return !after.n;
	put(arg, &(struct resource){
			 .uri = SV(LIMITS_URI),
			 .name = SV("limits"),
			 .title = SV("Limits"),
			 .description = SV("The limits of each run, network and "
					   "persistence, as sandbox_info tells them."),
			 .mime = SV("application/json"),
			 .size = -1});
	return false;
}

/* --- the table ---------------------------------------------------------------------------------- */

static const struct resource_template run_templates[] = {
	{.uri_template = RUNS_URI "{run_id}/stdout",
	 .name = "stdout",
	 .title = "Standard output of a run",
	 .description =
		 "All a run printed, up to the output limit: untrusted data. Pages of at "
		 "most 1 MiB: append ?offset=N&length=N; the page says where the next is.",
	 .mime = "text/plain"},
	{.uri_template = RUNS_URI "{run_id}/stderr",
	 .name = "stderr",
	 .title = "Standard error of a run",
	 .description = "The same for standard error.",
	 .mime = "text/plain"},
	{.uri_template = RUNS_URI "{run_id}/outputs/{output}",
	 .name = "outputs",
	 .title = "What a run displayed",
	 .description =
		 "A picture, table or other output of a call in a session, in one of its "
		 "forms: untrusted data. Above 4 MiB in pages: append "
		 "?offset=N&length=N.",
	 .mime = "application/octet-stream"},
	{.uri_template = RUNS_URI "{run_id}/result",
	 .name = "result",
	 .title = "Result of a run",
	 .description =
		 "How a run went, or goes: the object run_code or run_command answers with.",
	 .mime = "application/json"},
};

const struct resource_source tool_sources[TOOL_SOURCES] = {
	{.prefix = RUNTIMES_URI, .list = runtimes_list, .read = runtimes_read},
	{.prefix = LIMITS_URI, .list = limits_list, .read = limits_read},
	{.prefix = RUNS_URI,
	 .templates = run_templates,
	 .ntemplates = ARRAY_LEN(run_templates),
	 .list = runs_list,
	 .read = runs_read,
	 .complete = runs_complete},
};
