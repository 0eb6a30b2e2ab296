/* result.c: how a run went, as structuredContent and as text that says the same.
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
};

/* --- streams ---------------------------------------------------------------------------------- */

static size_t lead_len(unsigned char c)
{
	return c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Bytes at the end of s that start a character the cut took the rest of. */
static size_t cut_at_end(struct sv s)
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

static int show(struct shown *v, const char *name, const struct sup_stream *s)
{
	AUTO_BUF tail = {0};

	*v = (struct shown){.name = name, .total = s->total};
	buf_init(&v->text, SUP_HEAD_BYTES + SUP_TAIL_BYTES + 64);
	buf_init(&tail, SUP_TAIL_BYTES);
	v->omitted = sup_stream_text(s, &v->text, &tail);
	if (v->omitted) {
		size_t end = cut_at_end(buf_view(&v->text));
		size_t start = cut_at_start(buf_view(&tail));

		v->text.n -= end;
		buf_consume(&tail, start);
		v->omitted += end + start;
		buf_fmt(&v->text, "\n... [%" PRIu64 " bytes omitted] ...\n",
			v->omitted);
	}
	buf_sv(&v->text, buf_view(&tail));
	v->bad = json_bad_utf8(buf_view(&v->text));
	return v->text.failed || tail.failed ? -1 : 0;
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

static const struct {
	uint32_t bit;
	const char *name;
} hits[] = {
	{SUP_HIT_TIME, "time"},		  {SUP_HIT_MEMORY, "memory"},
	{SUP_HIT_PROCESSES, "processes"}, {SUP_HIT_DISK, "disk"},
	{SUP_HIT_OUTPUT, "output"},
};

/* --- structuredContent ------------------------------------------------------------------------ */

static void put_key(struct jw *w, const struct shown *v, const char *suffix)
{
	char key[32];

	snprintf(key, sizeof(key), "%s%s", v->name, suffix);
	jw_key(w, key);
}

static void json_stream(struct jw *w, const struct shown *v)
{
	put_key(w, v, "");
	jw_str(w, buf_view(&v->text));
	put_key(w, v, "_bytes");
	jw_int(w, (int64_t)v->total);
	put_key(w, v, "_truncated");
	jw_bool(w, v->omitted > 0);
	if (v->bad) {
		put_key(w, v, "_invalid_utf8");
		jw_int(w, (int64_t)v->bad);
	}
}

static void json_measures(struct jw *w, const struct sup_result *r)
{
	jw_kint(w, "duration_ms", (int64_t)to_ms(r->duration_us));
	if (!r->limits_degraded) {
		jw_kint(w, "cpu_ms", (int64_t)to_ms(r->cpu_us));
		jw_kint(w, "peak_memory_bytes", (int64_t)r->peak_memory_bytes);
	}
	jw_kstr(w, "run_id", sv_of(r->run_id));
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

static void render_json(const struct sup_result *r, const struct shown *out,
			const struct shown *errs, struct sv note, struct buf *json)
{
	char sig[24];
	struct jw w;

	jw_init(&w, json);
	jw_obj(&w);
	jw_kstr(&w, "status", sv_of(sup_status_name(r->status)));
	if (note.n)
		jw_kstr(&w, "note", note);
	if (r->has_exit_code)
		jw_kint(&w, "exit_code", r->exit_code);
	if (r->signal) {
		signal_name(r->signal, sig, sizeof(sig));
		jw_kstr(&w, "signal", sv_of(sig));
	}
	json_stream(&w, out);
	json_stream(&w, errs);
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

static void text_stream(const struct shown *v, struct sv mark, struct buf *b)
{
	if (!v->total) {
		buf_fmt(b, "%s: empty\n", v->name);
		return;
	}
	buf_fmt(b, "--- %s, %" PRIu64 " bytes", v->name, v->total);
	if (v->omitted)
		buf_fmt(b, ", %" PRIu64 " of them left out", v->omitted);
	if (v->bad)
		buf_fmt(b, ", %" PRIu64 " invalid UTF-8 sequences replaced", v->bad);
	buf_fmt(b, ": untrusted program output up to the line with " SV_FMT " ---\n",
		SV_ARG(mark));
	buf_sv(b, buf_view(&v->text));
	if (!sv_ends(buf_view(&v->text), SV("\n")))
		buf_byte(b, '\n');
	buf_fmt(b, "--- end of %s " SV_FMT " ---\n", v->name, SV_ARG(mark));
}

static void render_text(const struct sup_result *r, const struct shown *out,
			const struct shown *errs, struct sv note, struct buf *b)
{
	struct sv mark = sv_of(r->run_id);

	if (mark.n > MARK_BYTES)
		mark = (struct sv){mark.p + mark.n - MARK_BYTES, MARK_BYTES};
	text_head(r, b);
	if (note.n) {
		buf_sv(b, note);
		buf_byte(b, '\n');
	}
	text_measures(r, b);
	text_stream(out, mark, b);
	text_stream(errs, mark, b);
}

int run_render(const struct sup_answer *a, struct buf *json, struct buf *text,
	       struct err *e)
{
	struct shown out, errs;
	AUTO_BUF note = {0};
	int bad;

	buf_init(&note, 512);
	put_note(&note, a->result);
	bad = show(&out, "stdout", a->out);
	bad |= show(&errs, "stderr", a->errs);
	render_json(a->result, &out, &errs, buf_view(&note), json);
	render_text(a->result, &out, &errs, buf_view(&note), text);
	bad |= note.failed || json->failed || text->failed;
	buf_finish(&out.text);
	buf_finish(&errs.text);
	if (!bad)
		return 0;
	err_set(e, ERR_LIMIT,
		"the program has run (%s, %s) but there was no memory for its result",
		a->result->run_id, sup_status_name(a->result->status));
	return err_fix(e, "try again when fewer calls run");
}
