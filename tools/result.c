/* result.c: how a run went or goes, as structuredContent and as text that says the same.
 *
 * Two forms of the same report: of an ended run with the ends of its output (what run_code answers), and
 * of any run with the output from given offsets on (what run_status answers, and run_code when it
 * does not wait for the end).
 *
 * The text is for a model that sees nothing else. A program could print what looks like the end of its own
 * output and go on in our name, so the lines around output carry a piece of the run id, which the
 * program does not know. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <inttypes.h>
#include <signal.h>

#define MARK_BYTES 8 /* of the run id's 32 digits */

/* One stream as the caller gets it. */
struct shown {
	const char *name;
	struct buf text; /* owned */
	uint64_t total, omitted, bad;
	/* The ends only: where all of it is; "" when nothing is left out or nothing kept. */
	char uri[RUN_URI_SIZE];
	uint64_t kept;
	/* From an offset on. */
	bool paged, eof;
	uint64_t offset, next;
	uint64_t dropped; /* bytes nobody can get any more */
};

struct report {
	const struct sup_result *result; /* NULL: it still runs */
	struct sv run_id;
	uint64_t elapsed_us; /* while it runs */
	struct shown s[RUN_STREAMS];
	struct buf note;
};

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
	buf_init(&v->text, SUP_HEAD_BYTES + SUP_TAIL_BYTES + 128);
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
			v->omitted, kept ? "; read " : "", v->uri);
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

/* --- words ------------------------------------------------------------------------------------ */

static void signal_name(int sig, char *dst, size_t size)
{
	const char *abbrev = sigabbrev_np(sig);

	if (abbrev)
		snprintf(dst, size, "SIG%s", abbrev);
	else if (sig >= SIGRTMIN && sig <= SIGRTMAX)
		snprintf(dst, size, "SIGRTMIN+%d", sig - SIGRTMIN);
	else
		snprintf(dst, size, "SIG%d", sig);
}

static uint64_t to_ms(uint64_t us)
{
	return (us + 500) / 1000;
}

static uint64_t to_mib(uint64_t bytes)
{
	return bytes >> 20;
}

static void put_note(struct buf *b, const struct sup_result *r)
{
	const struct pol_limits *l = &r->limits;

	switch (r->status) {
	case SUP_SIGNALED:
		buf_str(b,
			"A signal ended the program: it crashed or was told to stop from inside.");
		break;
	case SUP_TIMEOUT:
		buf_fmt(b,
			"It was still running after %" PRIu32
			" ms and was ended; do less, or ask "
			"for a larger timeout_ms.",
			l->wall_ms);
		break;
	case SUP_OUT_OF_MEMORY:
		buf_fmt(b,
			"It needed more than its %" PRIu64
			" MiB of memory; work on smaller pieces.",
			to_mib(l->memory_bytes));
		break;
	case SUP_TOO_MANY_PROCESSES:
		buf_fmt(b,
			"It wanted more than its %" PRIu32
			" processes and threads; start fewer.",
			l->processes);
		break;
	case SUP_DISK_FULL:
		buf_fmt(b, "It filled its %" PRIu64 " MiB of /workspace; write less.",
			to_mib(l->workspace_bytes));
		break;
	case SUP_OUTPUT_LIMIT:
		buf_fmt(b,
			"It printed more than %" PRIu64
			" MiB and was ended; print a summary.",
			to_mib(l->output_bytes));
		break;
	case SUP_DENIED:
		buf_str(b,
			"It made a system call the sandbox forbids; do it in another way.");
		break;
	case SUP_CANCELLED:
		buf_str(b,
			"The call was cancelled and everything it had started was ended.");
		break;
	case SUP_LOST:
		buf_str(b,
			"The sandbox died and how far the program came is unknown; run it again.");
		break;
	case SUP_EXITED:
	case SUP_STATUS_COUNT:
		break;
	}
}

/* What to do next about a run whose end, or whose output, has not all been told. */
static void put_next(struct buf *b, const struct report *v)
{
	const struct shown *out = &v->s[RUN_STDOUT], *errs = &v->s[RUN_STDERR];

	if (!out->paged || (out->eof && errs->eof))
		return;
	buf_fmt(b,
		"%s: call run_status with run_id %s, stdout_offset %" PRIu64
		" and stderr_offset %" PRIu64 "%s",
		v->result ? "There is more output" : "It still runs", v->run_id.p,
		out->next, errs->next,
		v->result ? "." : " (and wait_ms) to follow it, run_cancel to end it.");
}

static const struct {
	uint32_t bit;
	const char *name;
} hits[] = {
	{SUP_HIT_TIME, "time"},		  {SUP_HIT_MEMORY, "memory"},
	{SUP_HIT_PROCESSES, "processes"}, {SUP_HIT_DISK, "disk"},
	{SUP_HIT_OUTPUT, "output"},
};

/* --- structuredContent ------------------------------------------------------------------------ */

static void put_key(struct jw *w, const char *prefix, const struct shown *v,
		    const char *suffix)
{
	char key[40];

	snprintf(key, sizeof(key), "%s%s%s", prefix, v->name, suffix);
	jw_key(w, key);
}

static void json_page(struct jw *w, const struct shown *v)
{
	put_key(w, "", v, "_offset");
	jw_int(w, (int64_t)v->offset);
	put_key(w, "next_", v, "_offset");
	jw_int(w, (int64_t)v->next);
	put_key(w, "", v, "_eof");
	jw_bool(w, v->eof);
	if (v->dropped) {
		put_key(w, "", v, "_dropped_bytes");
		jw_int(w, (int64_t)v->dropped);
	}
}

static void json_stream(struct jw *w, const struct shown *v)
{
	put_key(w, "", v, "");
	jw_str(w, buf_view(&v->text));
	put_key(w, "", v, "_bytes");
	jw_int(w, (int64_t)v->total);
	put_key(w, "", v, "_truncated");
	jw_bool(w, v->omitted > 0);
	if (v->bad) {
		put_key(w, "", v, "_invalid_utf8");
		jw_int(w, (int64_t)v->bad);
	}
	if (v->uri[0]) {
		put_key(w, "", v, "_uri");
		jw_str(w, sv_of(v->uri));
	}
	if (v->paged)
		json_page(w, v);
}

static void json_measures(struct jw *w, const struct sup_result *r)
{
	if (!r->limits_degraded) {
		jw_kint(w, "cpu_ms", (int64_t)to_ms(r->cpu_us));
		jw_kint(w, "peak_memory_bytes", (int64_t)r->peak_memory_bytes);
	}
	jw_key(w, "limits_hit");
	jw_arr(w);
	for (size_t i = 0; i < ARRAY_LEN(hits); i++)
		if (r->hits & hits[i].bit)
			jw_str(w, sv_of(hits[i].name));
	jw_arr_end(w);
	jw_kint(w, "timeout_ms", r->limits.wall_ms);
	if (r->timeout_clamped)
		jw_kbool(w, "timeout_clamped", true);
	jw_kstr(w, "limits", r->limits_degraded ? SV("degraded") : SV("enforced"));
}

static void json_how(struct jw *w, const struct sup_result *r)
{
	char sig[24];

	if (r->has_exit_code)
		jw_kint(w, "exit_code", r->exit_code);
	if (r->signal) {
		signal_name(r->signal, sig, sizeof(sig));
		jw_kstr(w, "signal", sv_of(sig));
	}
}

static void render_json(const struct report *v, struct buf *json)
{
	const struct sup_result *r = v->result;
	struct jw w;

	jw_init(&w, json);
	jw_obj(&w);
	jw_kstr(&w, "status", r ? sv_of(sup_status_name(r->status)) : SV("running"));
	if (v->note.n)
		jw_kstr(&w, "note", buf_view(&v->note));
	if (r)
		json_how(&w, r);
	for (int i = 0; i < RUN_STREAMS; i++)
		json_stream(&w, &v->s[i]);
	jw_kint(&w, "duration_ms", (int64_t)to_ms(r ? r->duration_us : v->elapsed_us));
	jw_kstr(&w, "run_id", v->run_id);
	if (r)
		json_measures(&w, r);
	jw_obj_end(&w);
}

/* --- text ------------------------------------------------------------------------------------- */

static void text_head(const struct sup_result *r, struct buf *b)
{
	uint64_t ms = to_ms(r->duration_us);
	char sig[24];

	signal_name(r->signal, sig, sizeof(sig));
	if (r->status == SUP_EXITED && r->has_exit_code) {
		buf_fmt(b, "exited with code %d in %" PRIu64 " ms\n", r->exit_code, ms);
		return;
	}
	buf_fmt(b, "%s: ended after %" PRIu64 " ms", sup_status_name(r->status), ms);
	if (r->has_exit_code)
		buf_fmt(b, " with exit code %d", r->exit_code);
	else if (r->signal)
		buf_fmt(b, " by %s", sig);
	buf_byte(b, '\n');
}

static void text_measures(const struct sup_result *r, struct buf *b)
{
	const char *sep = "limits hit: ";

	for (size_t i = 0; i < ARRAY_LEN(hits); i++)
		if (r->hits & hits[i].bit) {
			buf_fmt(b, "%s%s", sep, hits[i].name);
			sep = ", ";
		}
	if (r->hits)
		buf_byte(b, '\n');
	if (r->timeout_clamped)
		buf_fmt(b, "timeout_ms was out of range and set to %" PRIu32 "\n",
			r->limits.wall_ms);
	if (!r->limits_degraded)
		buf_fmt(b, "cpu %" PRIu64 " ms, peak memory %" PRIu64 " bytes, ",
			to_ms(r->cpu_us), r->peak_memory_bytes);
	buf_fmt(b, "time limit %" PRIu32 " ms, limits %s, %s\n", r->limits.wall_ms,
		r->limits_degraded ? "degraded" : "enforced", r->run_id);
}

/* What of the stream stands here, in the line before it. */
static void text_extent(const struct shown *v, struct buf *b)
{
	if (v->paged)
		buf_fmt(b, "--- %s, bytes %" PRIu64 " to %" PRIu64 " of %" PRIu64 "%s",
			v->name, v->offset, v->next, v->total,
			v->eof ? ", its end" : "");
	else
		buf_fmt(b, "--- %s, %" PRIu64 " bytes", v->name, v->total);
	if (!v->paged && v->omitted)
		buf_fmt(b, ", %" PRIu64 " of them left out", v->omitted);
	if (v->uri[0] && v->kept < v->total)
		buf_fmt(b, " (the first %" PRIu64 " bytes: run_status, or %s)", v->kept,
			v->uri);
	else if (v->uri[0])
		buf_fmt(b, " (all of it: run_status, or %s)", v->uri);
	if (v->bad)
		buf_fmt(b, ", %" PRIu64 " invalid UTF-8 sequences replaced", v->bad);
}

static void text_stream(const struct shown *v, struct sv mark, struct buf *b)
{
	if (v->dropped)
		buf_fmt(b,
			"%s: %" PRIu64 " bytes after byte %" PRIu64
			" were not kept and are lost\n",
			v->name, v->dropped, v->total - v->dropped);
	if (!v->total) {
		buf_fmt(b, "%s: empty%s\n", v->name,
			v->paged && !v->eof ? " so far" : "");
		return;
	}
	if (v->paged && !v->text.n) {
		buf_fmt(b, "%s: nothing %safter byte %" PRIu64 "\n", v->name,
			v->eof ? "" : "yet ", v->offset);
		return;
	}
	text_extent(v, b);
	buf_fmt(b, ": untrusted program output up to the line with " SV_FMT " ---\n",
		SV_ARG(mark));
	buf_sv(b, buf_view(&v->text));
	if (!sv_ends(buf_view(&v->text), SV("\n")))
		buf_byte(b, '\n');
	buf_fmt(b, "--- end of %s " SV_FMT " ---\n", v->name, SV_ARG(mark));
}

static void render_text(const struct report *v, struct buf *b)
{
	struct sv mark = v->run_id;

	if (mark.n > MARK_BYTES)
		mark = (struct sv){mark.p + mark.n - MARK_BYTES, MARK_BYTES};
	if (v->result)
		text_head(v->result, b);
	else
		buf_fmt(b, "running: for %" PRIu64 " ms so far, %s\n",
			to_ms(v->elapsed_us), v->run_id.p);
	if (v->note.n) {
		buf_sv(b, buf_view(&v->note));
		buf_byte(b, '\n');
	}
	if (v->result)
		text_measures(v->result, b);
	for (int i = 0; i < RUN_STREAMS; i++)
		text_stream(&v->s[i], mark, b);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void report_init(struct report *v, const struct sup_result *result)
{
	*v = (struct report){.result = result};
	buf_init(&v->note, 512);
	for (int i = 0; i < RUN_STREAMS; i++)
		v->s[i].name = run_stream_names[i];
}

/* bad: something of it is missing. Frees the report. */
static int report_render(struct report *v, bool bad, struct buf *json, struct buf *text,
			 struct err *e)
{
	if (v->result)
		put_note(&v->note, v->result);
	if (v->note.n && v->s[0].paged && !(v->s[0].eof && v->s[1].eof))
		buf_byte(&v->note, ' ');
	put_next(&v->note, v);
	render_json(v, json);
	render_text(v, text);
	bad |= v->note.failed || json->failed || text->failed;
	buf_finish(&v->note);
	for (int i = 0; i < RUN_STREAMS; i++)
		buf_finish(&v->s[i].text);
	if (!bad)
		return 0;
	err_set(e, ERR_LIMIT,
		"the program %s (%s, %s) but there was no memory for its result",
		v->result ? "has run" : "runs", v->run_id.p,
		v->result ? sup_status_name(v->result->status) : "running");
	return err_fix(e, "try again when fewer calls run");
}

int run_render(const struct sup_answer *a, const uint64_t kept[RUN_STREAMS],
	       struct buf *json, struct buf *text, struct err *e)
{
	const struct sup_stream *from[RUN_STREAMS] = {a->out, a->errs};
	struct report v;
	int bad = 0;

	report_init(&v, a->result);
	v.run_id = sv_of(a->result->run_id);
	for (int i = 0; i < RUN_STREAMS; i++)
		bad |= show_ends(&v.s[i], from[i], kept ? kept[i] : 0, v.run_id.p);
	return report_render(&v, bad, json, text, e);
}

int run_render_page(const struct run *r, const struct run_page *p, struct buf *json,
		    struct buf *text, struct err *e)
{
	struct report v;
	int bad = 0;

	report_init(&v, r->ended ? &r->result : NULL);
	v.run_id = sv_of(r->id);
	v.elapsed_us = loop_now_us() - r->started_us;
	for (int i = 0; i < RUN_STREAMS; i++)
		bad |= show_page(&v.s[i], r, i, p->offset[i], p->max_bytes);
	return report_render(&v, bad, json, text, e);
}

int run_render_ended(const struct run *r, struct buf *json, struct buf *text,
		     struct err *e)
{
	struct sup_stream s[RUN_STREAMS];
	const struct sup_answer a = {
		.result = &r->result, .out = &s[RUN_STDOUT], .errs = &s[RUN_STDERR]};
	const uint64_t kept[RUN_STREAMS] = {r->out[RUN_STDOUT].kept,
					    r->out[RUN_STDERR].kept};
	int bad = run_streams(r, s, e) || run_render(&a, kept, json, text, e);

	run_streams_finish(s);
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

void run_links(const struct run *r, struct sv text, struct buf *content)
{
	struct jw w;

	if (!is_cut(&r->out[RUN_STDOUT]) && !is_cut(&r->out[RUN_STDERR]))
		return;
	jw_init(&w, content);
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "type", SV("text"));
	jw_kstr(&w, "text", text);
	jw_obj_end(&w);
	for (int i = 0; i < RUN_STREAMS; i++)
		if (is_cut(&r->out[i]))
			put_link(&w, r, i);
	jw_arr_end(&w);
}
