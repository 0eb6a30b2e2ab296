/* t_result_status.c: every way a run can end is told truly, in a form the outputSchema promises. */
#include "tests/unit/tools/answers.h"

#include <signal.h>

static void test_every_status(void)
{
	for (int s = 0; s < SUP_STATUS_COUNT; s++) {
		struct rendered r;
		const char *name = sup_status_name((enum sup_status)s);

		rendered_init(&r);
		r.result.status = (enum sup_status)s;
		r.result.has_exit_code = s == SUP_EXITED;
		r.result.signal = s == SUP_EXITED ? 0 : SIGKILL;
		ok(!rendered_make(&r), "%s is rendered", name);
		ok(matches_output_schema("tool_run_code.json", r.tree) &&
			   matches_output_schema("tool_run_command.json", r.tree),
		   "%s matches both outputSchemas", name);
		ok(is_text(r.tree, "status", name), "%s stands in status", name);
		ok(!js_get(r.tree, "note") == (s == SUP_EXITED),
		   "%s has a note unless exited", name);
		ok(s == SUP_EXITED ||
			   (has_text(&r.text, name) &&
			    has_text(&r.text, js_str(js_get(r.tree, "note")).p)),
		   "%s: the text says status and note too", name);
		ok(!strstr(buf_cstr(&r.json), "null"),
		   "%s: absent is absent, never null", name);
		rendered_finish(&r);
	}
}

static void test_exited(void)
{
	struct rendered r;

	rendered_init(&r);
	r.result.exit_code = 3;
	ok(!rendered_make(&r) && is_int(r.tree, "exit_code", 3),
	   "the exit code is told");
	ok(sv_starts(buf_view(&r.text), SV("exited with code 3 in 34 ms\n")),
	   "the text begins with it");
	ok(!js_get(r.tree, "signal"), "no signal is made up");
	ok(is_int(r.tree, "duration_ms", 34) && is_int(r.tree, "cpu_ms", 12) &&
		   is_int(r.tree, "peak_memory_bytes", 9000000) &&
		   is_int(r.tree, "timeout_ms", 10000),
	   "the measures are told");
	ok(is_text(r.tree, "run_id", r.result.run_id) &&
		   has_text(&r.text, r.result.run_id),
	   "and the run id");
	ok(is_text(r.tree, "limits", "enforced") && !js_get(r.tree, "timeout_clamped"),
	   "limits are enforced and the timeout as asked");
	rendered_finish(&r);
}

static void test_signals(void)
{
	static const struct {
		int sig;
		const char *name;
	} rows[] = {{SIGKILL, "SIGKILL"}, {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"}};
	struct rendered r;
	char rt[24];

	rendered_init(&r);
	r.result.status = SUP_SIGNALED;
	r.result.has_exit_code = false;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		r.result.signal = rows[i].sig;
		ok(!rendered_make(&r) && is_text(r.tree, "signal", rows[i].name) &&
			   has_text(&r.text, rows[i].name),
		   "%s by name", rows[i].name);
	}
	ok(!js_get(r.tree, "exit_code"), "no exit code is made up");
	r.result.signal = SIGRTMIN + 2;
	snprintf(rt, sizeof(rt), "SIGRTMIN+2");
	ok(!rendered_make(&r) && is_text(r.tree, "signal", rt),
	   "a real-time signal by name");
	rendered_finish(&r);
}

static void test_limits(void)
{
	struct rendered r;
	const struct cJSON *hit;

	rendered_init(&r);
	r.result.limits_degraded = true;
	r.result.timeout_clamped = true;
	r.result.limits.wall_ms = 100;
	r.result.hits = SUP_HIT_DISK | SUP_HIT_PROCESSES;
	ok(!rendered_make(&r) && matches_output_schema("tool_run_code.json", r.tree),
	   "a degraded, clamped run matches the schema");
	ok(is_text(r.tree, "limits", "degraded") &&
		   has_text(&r.text, "limits degraded"),
	   "degraded is said");
	ok(!js_get(r.tree, "cpu_ms") && !js_get(r.tree, "peak_memory_bytes") &&
		   !has_text(&r.text, "cpu 12"),
	   "what was not measured is not told");
	ok(js_is_true(js_get(r.tree, "timeout_clamped")) &&
		   is_int(r.tree, "timeout_ms", 100) &&
		   has_text(&r.text, "timeout_ms was out of range and set to 100"),
	   "the clamp is said");
	hit = js_first(js_get(r.tree, "limits_hit"));
	ok(sv_eq(js_str(hit), SV("processes")) &&
		   sv_eq(js_str(js_next(hit)), SV("disk")) && !js_next(js_next(hit)) &&
		   has_text(&r.text, "limits hit: processes, disk\n"),
	   "the limits hit are listed");
	rendered_finish(&r);
}

int main(void)
{
	test_every_status();
	test_exited();
	test_signals();
	test_limits();
	return tap_done();
}
