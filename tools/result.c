/* result.c: how a run went or goes, as structuredContent and as text that says the same.
 *
 * Two forms of the same report: of an ended run with the ends of its output (what run_code answers), and
 * of any run with the output from given offsets on (what run_status answers, and run_code when it
 * does not wait for the end). */
#include "sandbox/base/mem.h"
#include "tools/result.h"

#include <inttypes.h>

/* --- streams ---------------------------------------------------------------------------------- */

static size_t lead_len(unsigned char c)
{
	return c >= 0xf5 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t text_cut_at_end(struct sv s)
{
	for (size_t k = 1; k <= 3 && k <= s.n; k++)
		if (!is_continuation(s.p[s.n - k]))
			return lead_len((unsigned char)s.p[s.n - k]) > k ? k : 0;
	return 0;
}

/* Bytes at the start of s that end a character the cut took the beginning of. */
static size_t cut_at_start(struct sv s)
{
	size_t k = 0;

	while (k < 3 && k < s.n && is_continuation(s.p[k]))
		k++;
	return k;
}

static int show_ends(struct shown *v, const struct sup_stream *s, uint64_t kept,
		     const char *run_id)
{
	AUTO_BUF tail = {0};

	v->total = s->total;
	v->kept = kept;
	buf_init(&v->text, SUP_HEAD_BYTES + SUP_TAIL_BYTES + 192);
	buf_init(&tail, SUP_TAIL_BYTES);
	v->omitted = sup_stream_text(s, &v->text, &tail);
	if (v->omitted) {
		size_t end = text_cut_at_end(buf_view(&v->text));
		size_t start = cut_at_start(buf_view(&tail));

		v->text.n -= end;
		buf_consume(&tail, start);
		v->omitted += end + start;
		if (kept)
			snprintf(v->uri, sizeof(v->uri), RUNS_URI "%s/%s", run_id,
				 v->name);
		buf_fmt(&v->text, "\n... [%" PRIu64 " bytes omitted%s%s] ...\n",
			v->omitted, kept ? "; run_status reads it, or " : "", v->uri);
	}
	buf_sv(&v->text, buf_view(&tail));
	v->bad = json_bad_utf8(buf_view(&v->text));
	return v->text.failed || tail.failed ? -1 : 0;
}

/* A character that is not all there yet is left for the next page, unless no more will come. */
static int show_page(struct shown *v, const struct run *r, int i, uint64_t offset,
		     size_t max)
{
	const struct store *s = &r->out[i];
	int bad;

	v->paged = true;
	v->total = s->total;
	v->dropped = s->total - s->kept;
	v->offset = offset;
	buf_init(&v->text, max);
	bad = store_copy(s, offset, max, &v->text);
	v->next = offset + v->text.n;
	if (v->next < s->kept || !(r->ended || s->closed)) {
		size_t cut = text_cut_at_end(buf_view(&v->text));

		v->text.n -= cut;
		v->next -= cut;
	}
	v->eof = r->ended && v->next == s->kept;
	v->omitted = s->total - v->next;
	v->bad = json_bad_utf8(buf_view(&v->text));
	return bad;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void report_init(struct report *v, const struct sup_result *result)
{
	*v = (struct report){.result = result};
	buf_init(&v->note, 1024);
	v->compile.name = "compiler output";
	for (int i = 0; i < RUN_STREAMS; i++)
		v->s[i].name = run_stream_names[i];
}

/* bad: something of it is missing. Frees the report. */
static int report_render(struct report *v, bool bad, struct buf *json, struct buf *text,
			 struct err *e)
{
	result_note(v);
	result_json(v, json);
	result_text(v, text);
	bad |= v->note.failed || json->failed || text->failed;
	buf_finish(&v->note);
	for (int i = 0; i < RUN_STREAMS; i++)
		buf_finish(&v->s[i].text);
	buf_finish(&v->compile.text);
	if (!bad)
		return 0;
	err_set(e, ERR_LIMIT,
		"the program %s (%s, %s) but there was no memory for its result",
		v->result ? "has run" : "runs", v->run_id.p,
		v->result ? sup_status_name(v->result->status) : "running");
	return err_fix(e, "try again when fewer calls run");
}

static int render_answer(const struct sup_answer *a, const struct run *run,
			 const uint64_t kept[RUN_STREAMS], struct buf *const forms[2],
			 struct err *e)
{
	const struct sup_stream *from[RUN_STREAMS] = {a->out, a->errs};
	struct report v;
	int bad = 0;

	report_init(&v, a->result);
	v.run = run;
	v.run_id = sv_of(a->result->run_id);
	for (int i = 0; i < RUN_STREAMS; i++)
		bad |= show_ends(&v.s[i], from[i], kept ? kept[i] : 0, v.run_id.p);
	if (a->compile)
		bad |= show_ends(&v.compile, a->compile, 0, "");
	return report_render(&v, bad, forms[0], forms[1], e);
}

int run_render(const struct sup_answer *a, const uint64_t kept[RUN_STREAMS],
	       struct buf *json, struct buf *text, struct err *e)
{
	return render_answer(a, NULL, kept, (struct buf *const[2]){json, text}, e);
}

int run_render_page(const struct run *r, const struct run_page *p, struct buf *json,
		    struct buf *text, struct err *e)
{
	struct sup_stream compiled;
	struct report v;
	int bad = run_compiled(r, &compiled);

	report_init(&v, r->ended ? &r->result : NULL);
	v.run = r;
	v.run_id = sv_of(r->id);
	v.elapsed_us = loop_now_us() - r->started_us;
	for (int i = 0; i < RUN_STREAMS; i++)
		bad |= show_page(&v.s[i], r, i, p->offset[i], p->max_bytes);
	bad |= show_ends(&v.compile, &compiled, 0, "");
	run_compiled_finish(&compiled);
	return report_render(&v, bad, json, text, e);
}

bool run_is_last_page(const struct run *r, const struct run_page *p)
{
	bool last = r->ended;

	for (int i = 0; i < RUN_STREAMS; i++)
		last = last && r->out[i].kept - p->offset[i] <= p->max_bytes;
	return last;
}

int run_render_ended(const struct run *r, struct buf *json, struct buf *text,
		     struct err *e)
{
	struct sup_stream s[RUN_STREAMS], compiled;
	const struct sup_answer a = {.result = &r->result,
				     .out = &s[RUN_STDOUT],
				     .errs = &s[RUN_STDERR],
				     .compile = &compiled};
	const uint64_t kept[RUN_STREAMS] = {r->out[RUN_STDOUT].kept,
					    r->out[RUN_STDERR].kept};
	int bad = run_compiled(r, &compiled) | run_streams(r, s, e);

	if (bad)
		err_set(e, ERR_LIMIT, "no memory to show the output of %s", r->id);
	else
		bad = render_answer(&a, r, kept, (struct buf *const[2]){json, text}, e);
	run_streams_finish(s);
	run_compiled_finish(&compiled);
	return bad ? -1 : 0;
}

/* --- for clients that follow links -------------------------------------------------------------- */

static void put_link(struct jw *w, const struct run *r, int i)
{
	char uri[RUN_URI_SIZE], words[96];

	run_uri(r, run_stream_names[i], uri);
	snprintf(words, sizeof(words), "%s of %s%s: untrusted program output",
		 run_stream_names[i], r->id,
		 r->out[i].kept < r->out[i].total ? " as far as it was kept" : "");
	jw_obj(w);
	jw_kstr(w, "type", SV("resource_link"));
	jw_kstr(w, "uri", sv_of(uri));
	jw_kstr(w, "name", sv_of(run_stream_names[i]));
	jw_kstr(w, "description", sv_of(words));
	jw_kstr(w, "mimeType", SV("text/plain"));
	jw_kint(w, "size", (int64_t)r->out[i].kept);
	jw_obj_end(w);
}

/* Whether a result shows less than all of the stream. */
static bool is_cut(const struct store *s)
{
	return s->kept && s->total > SUP_HEAD_BYTES + SUP_TAIL_BYTES;
}

size_t run_blocks(const struct run *r, struct sv text, struct buf *content)
{
	size_t plain;
	struct jw w;

	if (!is_cut(&r->out[RUN_STDOUT]) && !is_cut(&r->out[RUN_STDERR]) &&
	    !outputs_have_blocks(r))
		return 0;
	jw_init(&w, content);
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "type", SV("text"));
	jw_kstr(&w, "text", text);
	jw_obj_end(&w);
	outputs_images(r, &w);
	plain = content->n;
	outputs_links(r, &w);
	for (int i = 0; i < RUN_STREAMS; i++)
		if (is_cut(&r->out[i]))
			put_link(&w, r, i);
	jw_arr_end(&w);
	return plain;
}
