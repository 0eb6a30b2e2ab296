/* t_result_compile.c: what a compiler said is shown beside the program's output, and never as it; a call that ended
 * in its compiler is told from one whose program failed. */
#include "tests/unit/tools/answers.h"

#include <signal.h>

static const struct cJSON *step_of(struct rendered *r)
{
	const bool good = !rendered_make(r) &&
			  matches_output_schema("tool_run_code.json", r->tree) &&
			  matches_output_schema("tool_run_command.json", r->tree);

	ok(good, "it is as both outputSchemas say");
	return js_get(r->tree, "compile");
}

static void say(struct rendered *r, const char *text)
{
	stream_add(&r->compile, sv_of(text));
}

static void test_warnings(void)
{
	struct rendered r;
	const struct cJSON *c;

	rendered_init(&r);
	ok(!step_of(&r), "without a compiler there is no step");
	r.result.exit_code = 3;
	r.result.compile = (struct sup_compile){.there = true,
						.status = SUP_EXITED,
						.has_exit_code = true,
						.duration_us = 1500400};
	say(&r, "main.c:1: warning\n");
	stream_add(&r.out, SV("out"));
	c = step_of(&r);
	ok(is_text(c, "status", "exited") && is_int(c, "exit_code", 0) &&
		   is_text(c, "output", "main.c:1: warning\n") &&
		   is_int(c, "output_bytes", 18) && is_int(c, "duration_ms", 1500) &&
		   !js_is_true(js_get(c, "output_truncated")) &&
		   !js_get(c, "output_invalid_utf8") && !js_get(c, "signal"),
	   "the step is told");
	ok(is_text(r.tree, "stdout", "out") && is_text(r.tree, "stderr", "") &&
		   is_int(r.tree, "exit_code", 3) && !js_get(r.tree, "note"),
	   "the program's end is its own");
	ok(sv_starts(buf_view(&r.text),
		     SV("compiled in 1500 ms, exited with code 3 in 34 ms\n")) &&
		   has_text(&r.text, "--- compiler output, 18 bytes: untrusted program "
				     "output up to the line with ccddeeff ---\n"
				     "main.c:1: warning\n"
				     "--- end of compiler output ccddeeff ---\n"),
	   "the text says the same");
	rendered_finish(&r);
}

static void test_refused(void)
{
	struct rendered r;
	const struct cJSON *c;

	rendered_init(&r);
	r.result.status = SUP_COMPILE_ERROR;
	r.result.has_exit_code = false;
	r.result.duration_us = 0;
	r.result.compile = (struct sup_compile){.there = true,
						.last = true,
						.status = SUP_COMPILE_ERROR,
						.has_exit_code = true,
						.exit_code = 2,
						.duration_us = 7000};
	say(&r, "no \xff");
	c = step_of(&r);
	ok(is_text(r.tree, "status", "compile_error") && !js_get(r.tree, "exit_code") &&
		   is_int(r.tree, "duration_ms", 0) &&
		   is_text(c, "status", "compile_error") && is_int(c, "exit_code", 2) &&
		   is_int(c, "output_invalid_utf8", 1),
	   "the compiler's code is not the program's");
	ok(has_text(&r.text, "compile_error: the compiler ended after 7 ms with exit "
			     "code 2\n") &&
		   has_text(&r.text, "compile.output says why") &&
		   has_text(&r.text, "The program was not started."),
	   "the text says what has happened and what has not");
	rendered_finish(&r);
}

/* However it ended, the note is about the compiler. */
static void test_every_end(void)
{
	for (int s = 0; s < SUP_STATUS_COUNT; s++) {
		const char *name = sup_status_name((enum sup_status)s);
		struct rendered r;
		const struct cJSON *c;

		rendered_init(&r);
		r.result.status = (enum sup_status)s;
		r.result.has_exit_code = false;
		r.result.compile = (struct sup_compile){.there = true,
							.last = true,
							.status = (enum sup_status)s,
							.signal = SIGKILL,
							.duration_us = 30000000};
		c = step_of(&r);
		ok(is_text(c, "status", name) && is_text(c, "signal", "SIGKILL") &&
			   !js_get(r.tree, "signal"),
		   "%s: of the step", name);
		ok(has_text(&r.text, "The program was not started.") &&
			   !has_text(&r.text, "timeout_ms") &&
			   has_text(&r.text, "by SIGKILL"),
		   "%s: no advice about a program that never was", name);
		rendered_finish(&r);
	}
}

static void test_long(void)
{
	static char many[100000];
	struct rendered r;
	const struct cJSON *c;

	memset(many, 'x', sizeof(many));
	rendered_init(&r);
	r.result.compile = (struct sup_compile){.there = true};
	stream_add(&r.compile, (struct sv){many, sizeof(many)});
	c = step_of(&r);
	ok(js_is_true(js_get(c, "output_truncated")) &&
		   is_int(c, "output_bytes", sizeof(many)) &&
		   js_str(js_get(c, "output")).n <
			   SUP_HEAD_BYTES + SUP_TAIL_BYTES + 100 &&
		   strstr(js_str(js_get(c, "output")).p, "67232 bytes omitted]"),
	   "of much the two ends are shown");
	rendered_finish(&r);
}

int main(void)
{
	test_warnings();
	test_refused();
	test_every_end();
	test_long();
	return tap_done();
}
