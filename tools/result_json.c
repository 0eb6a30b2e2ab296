/* result_json.c: a report as structuredContent. */
#include "sandbox/base/mem.h"
#include "tools/result.h"

#include <signal.h>

void result_signal_name(int sig, char *dst, size_t size)
{
	const char *abbrev = sigabbrev_np(sig);

	if (abbrev)
		snprintf(dst, size, "SIG%s", abbrev);
	else if (sig >= SIGRTMIN && sig <= SIGRTMAX)
		snprintf(dst, size, "SIGRTMIN+%d", sig - SIGRTMIN);
	else
		snprintf(dst, size, "SIG%d", sig);
}

uint64_t result_ms(uint64_t us)
{
	return (us + 500) / 1000;
}

const struct result_hit result_hits[RESULT_HITS] = {
	{SUP_HIT_TIME, "time"},		  {SUP_HIT_MEMORY, "memory"},
	{SUP_HIT_PROCESSES, "processes"}, {SUP_HIT_DISK, "disk"},
	{SUP_HIT_OUTPUT, "output"},
};

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
		jw_kint(w, "cpu_ms", (int64_t)result_ms(r->cpu_us));
		jw_kint(w, "peak_memory_bytes", (int64_t)r->peak_memory_bytes);
	}
	jw_key(w, "limits_hit");
	jw_arr(w);
	for (size_t i = 0; i < RESULT_HITS; i++)
		if (r->hits & result_hits[i].bit)
			jw_str(w, sv_of(result_hits[i].name));
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
		result_signal_name(r->signal, sig, sizeof(sig));
		jw_kstr(w, "signal", sv_of(sig));
	}
}

static void json_compile(struct jw *w, const struct report *v)
{
	const struct sup_compile *c = &v->result->compile;
	const struct shown *out = &v->compile;
	char sig[24];

	if (!c->there)
		return;
	jw_key(w, "compile");
	jw_obj(w);
	jw_kstr(w, "status", sv_of(sup_status_name(c->status)));
	if (c->has_exit_code)
		jw_kint(w, "exit_code", c->exit_code);
	if (c->signal) {
		result_signal_name(c->signal, sig, sizeof(sig));
		jw_kstr(w, "signal", sv_of(sig));
	}
	jw_kstr(w, "output", buf_view(&out->text));
	jw_kint(w, "output_bytes", (int64_t)out->total);
	jw_kbool(w, "output_truncated", out->omitted > 0);
	if (out->bad)
		jw_kint(w, "output_invalid_utf8", (int64_t)out->bad);
	jw_kint(w, "duration_ms", (int64_t)result_ms(c->duration_us));
	jw_obj_end(w);
}

static void json_session(struct jw *w, const struct report *v)
{
	const struct sup_result *r = v->result;

	if (v->run && v->run->session_id[0])
		jw_kstr(w, "session_id", sv_of(v->run->session_id));
	if (!r)
		return;
	if (r->in_session)
		jw_kbool(w, "fresh", r->fresh);
	else if (!r->session_ended)
		jw_kstr(w, "path", r->warm ? SV("warm") : SV("cold"));
	if (r->in_session && (r->lost_state || r->lost_before))
		jw_kbool(w, "variables_lost", true);
	if (r->session_ended)
		jw_kstr(w, "session_ended", sv_of(session_end_name(r->session_end)));
}

void result_json(const struct report *v, struct buf *json)
{
	const struct sup_result *r = v->result;
	struct jw w;

	jw_init(&w, json);
	jw_obj(&w);
	jw_kstr(&w, "status", r ? sv_of(sup_status_name(r->status)) : SV("running"));
	if (v->note.n)
		jw_kstr(&w, "note", buf_view(&v->note));
	if (r) {
		json_how(&w, r);
		json_compile(&w, v);
	}
	for (int i = 0; i < RUN_STREAMS; i++)
		json_stream(&w, &v->s[i]);
	if (r && v->run)
		outputs_json(&w, v->run);
	if (r && v->run)
		files_json(&w, v->run);
	jw_kint(&w, "duration_ms",
		(int64_t)result_ms(r ? r->duration_us : v->elapsed_us));
	jw_kstr(&w, "run_id", v->run_id);
	json_session(&w, v);
	if (r)
		json_measures(&w, r);
	jw_obj_end(&w);
}
