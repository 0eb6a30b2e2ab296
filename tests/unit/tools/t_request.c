/* t_request.c: what a caller asks for is what the keeper and the guest get to see. */
#include "tests/unit/tools/requests.h"

static void test_whole(void)
{
	struct asked a;
	struct sv rest;

	ok(!ask(&a, "run_code",
		SV("{\"language\":\"python\",\"code\":\"print(1)\\n\",\"stdin\":\"in\","
		   "\"args\":[\"-v\",\"\"],\"env\":{\"A_1\":\"x=y\"},"
		   "\"files\":[{\"path\":\"d/\\u00e9.txt\",\"content\":\"text\"},"
		   "{\"path\":\"b.bin\",\"content\":\"AP8=\",\"encoding\":\"base64\"}],"
		   "\"timeout_ms\":2500}")),
	   "a request with everything is taken");
	ok(a.req.tool == POL_RUN_CODE && !a.req.has_argv &&
		   sv_eq(a.req.language, SV("python")) &&
		   sv_eq(a.req.code, SV("print(1)\n")) &&
		   sv_eq(a.req.stdin_text, SV("in")) && a.req.has_timeout &&
		   a.req.timeout_ms == 2500,
	   "language, code, stdin and timeout");
	rest = buf_view(&a.req.input);
	ok(next_is(&rest, GUEST_ARG, SV(""), SV("-v")) &&
		   next_is(&rest, GUEST_ARG, SV(""), SV("")),
	   "args, empty ones too");
	ok(next_is(&rest, GUEST_ENV, SV("A_1"), SV("x=y")), "env");
	ok(next_is(&rest, GUEST_FILE, SV("d/\xc3\xa9.txt"), SV("text")),
	   "a file of text");
	ok(next_is(&rest, GUEST_FILE, SV("b.bin"), SV("\0\xff")), "a file of bytes");
	ok(!rest.n, "and nothing else");
	asked_finish(&a);
}

static void test_least(void)
{
	struct asked a;

	ok(!ask(&a, "run_code", SV("{\"language\":\"bash\",\"code\":\"\"}")) &&
		   !a.req.input.n && !a.req.has_timeout && !a.req.stdin_text.n,
	   "language and code are enough");
	asked_finish(&a);
	ok(!ask(&a, "run_code",
		SV("{\"language\":\"bash\",\"code\":\"\",\"timeout_ms\":0}")) &&
		   a.req.has_timeout && a.req.timeout_ms == 0,
	   "timeout 0 is given on: policy clamps it");
	asked_finish(&a);
	ok(!ask(&a, "run_code",
		SV("{\"language\":\"bash\",\"code\":\"\",\"timeout_ms\":1000000000}")) &&
		   a.req.timeout_ms == 1000000000,
	   "and so is 10^9");
	asked_finish(&a);
	ok(!ask(&a, "run_code",
		SV("{\"language\":\"bash\",\"code\":\"\",\"timeout_ms\":\"30000\"}")) &&
		   a.req.timeout_ms == 30000,
	   "and a number in a string");
	asked_finish(&a);
	ok(!ask(&a, "run_code", SV("{\"language\":\"cobol\",\"code\":\"\"}")),
	   "an unknown language is policy's to refuse");
	asked_finish(&a);
}

static void test_command(void)
{
	struct asked a;
	struct sv rest;

	ok(!ask(&a, "run_command", SV("{\"command\":\"ls | wc\",\"cwd\":\"d/e\"}")) &&
		   a.req.tool == POL_RUN_COMMAND && !a.req.has_argv &&
		   !a.req.language.n && sv_eq(a.req.code, SV("ls | wc")),
	   "a command line is the code");
	rest = buf_view(&a.req.input);
	ok(next_is(&rest, GUEST_CWD, SV(""), SV("d/e")) && !rest.n, "cwd is given on");
	asked_finish(&a);
	ok(!ask(&a, "run_command", SV("{\"argv\":[\"ls\",\"-l\"],\"cwd\":\".\"}")) &&
		   a.req.has_argv && !a.req.code.n,
	   "argv has no code");
	rest = buf_view(&a.req.input);
	ok(next_is(&rest, GUEST_ARG, SV(""), SV("ls")) &&
		   next_is(&rest, GUEST_ARG, SV(""), SV("-l")) && !rest.n,
	   "its parts are the arguments, and the workspace itself needs no cwd");
	asked_finish(&a);
}

/* Names that only look like a clash. */
static void test_near_clashes(void)
{
	struct asked a;

	ok(!ask(&a, "run_code",
		SV("{\"language\":\"python\",\"code\":\"\",\"files\":["
		   "{\"path\":\"a\",\"content\":\"\"},{\"path\":\"a-b/c\",\"content\":\"\"},"
		   "{\"path\":\"ab\",\"content\":\"\"},{\"path\":\"a.b\",\"content\":\"\"},"
		   "{\"path\":\"main.pyc\",\"content\":\"\"},{\"path\":\"x/main.py\",\"content\":\"\"},"
		   "{\"path\":\"main.js\",\"content\":\"\"},{\"path\":\"...\",\"content\":\"\"}]}")),
	   "similar paths, other languages' files and three dots are fine: %s",
	   a.err.cause);
	asked_finish(&a);
	ok(!ask(&a, "run_command",
		SV("{\"argv\":[\"bash\",\"main.sh\"],\"files\":[{\"path\":\"main.sh\","
		   "\"content\":\"\"}]}")),
	   "with argv no file name is taken");
	asked_finish(&a);
}

int main(void)
{
	test_whole();
	test_least();
	test_command();
	test_near_clashes();
	return tap_done();
}
