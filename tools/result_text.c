/* result_text.c: a report as text, for a model that sees nothing else.
 *
 * A program could print what looks like the end of its own output and go on in our name, so the lines
 * around output carry a piece of the run id, which the program does not know. */
#include "sandbox/base/mem.h"
#include "tools/result.h"

#include <inttypes.h>

/* The step before the program, if it came no further. */
static void text_compile(const struct sup_compile *c, enum sup_status status,
			 struct buf *b)
{
	char sig[24];

	result_signal_name(c->signal, sig, sizeof(sig));
	buf_fmt(b, "%s: the compiler ended after %" PRIu64 " ms",
		sup_status_name(status), result_ms(c->duration_us));
	if (c->has_exit_code)
		buf_fmt(b, " with exit code %d", c->exit_code);
	else if (c->signal)
		buf_fmt(b, " by %s", sig);
	buf_byte(b, '\n');
}

static void text_head(const struct sup_result *r, struct buf *b)
{
	uint64_t ms = result_ms(r->duration_us);
	char sig[24];

	if (r->compile.last) {
		text_compile(&r->compile, r->status, b);
		return;
	}
	if (r->compile.there)
		buf_fmt(b, "compiled in %" PRIu64 " ms, ",
			result_ms(r->compile.duration_us));
	result_signal_name(r->signal, sig, sizeof(sig));
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

	for (size_t i = 0; i < RESULT_HITS; i++)
		if (r->hits & result_hits[i].bit) {
			buf_fmt(b, "%s%s", sep, result_hits[i].name);
			sep = ", ";
		}
	if (r->hits)
		buf_byte(b, '\n');
	if (r->timeout_clamped)
		buf_fmt(b, "timeout_ms was out of range and set to %" PRIu32 "\n",
			r->limits.wall_ms);
	if (!r->limits_degraded)
		buf_fmt(b, "cpu %" PRIu64 " ms, peak memory %" PRIu64 " bytes, ",
			result_ms(r->cpu_us), r->peak_memory_bytes);
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

void result_text(const struct report *v, struct buf *b)
{
	struct sv mark = v->run_id;

	if (mark.n > MARK_BYTES)
		mark = (struct sv){mark.p + mark.n - MARK_BYTES, MARK_BYTES};
	if (v->result)
		text_head(v->result, b);
	else
		buf_fmt(b, "running: for %" PRIu64 " ms so far, %s\n",
			result_ms(v->elapsed_us), v->run_id.p);
	if (v->note.n) {
		buf_sv(b, buf_view(&v->note));
		buf_byte(b, '\n');
	}
	if (v->result)
		text_measures(v->result, b);
	if (v->run && v->run->session_id[0])
		buf_fmt(b, "session %s%s\n", v->run->session_id,
			v->result && v->result->fresh ? ", in a new interpreter" : "");
	if (v->result && v->result->compile.there && v->compile.total)
		text_stream(&v->compile, mark, b);
	for (int i = 0; i < RUN_STREAMS; i++)
		text_stream(&v->s[i], mark, b);
	if (v->result && v->run)
		outputs_text(v->run, mark, b);
	if (v->result && v->run)
		files_text(v->run, b);
}
