/* t_request_refused.c: a request that cannot work is refused with the field's name and a way out. */
#include "tests/unit/tools/requests.h"

#define CODE(more) "{\"language\":\"python\",\"code\":\"1\"," more "}"
#define FILE_AT(path) CODE("\"files\":[{\"path\":\"" path "\",\"content\":\"\"}]")
#define FILES(a, b)                                                                    \
	CODE("\"files\":[{\"path\":\"" a "\",\"content\":\"\"},{\"path\":\"" b         \
	     "\",\"content\":\"\"}]")
#define BASE64(text)                                                                   \
	CODE("\"files\":[{\"path\":\"a\",\"content\":\"" text                          \
	     "\",\"encoding\":\"base64\"}]")

static const struct {
	const char *tool, *args, *cause; /* cause: a part of it */
} rows[] = {
	{"run_code", FILE_AT(""), "files[0].path is empty"},
	{"run_code", FILE_AT("/etc/passwd"), "files[0].path starts with /"},
	{"run_code", FILE_AT("a/"), "files[0].path ends with /"},
	{"run_code", FILE_AT("a//b"), "files[0].path has an empty part"},
	{"run_code", FILE_AT("./a"), "files[0].path has a part that is . or .."},
	{"run_code", FILE_AT("a/../b"), "files[0].path has a part that is . or .."},
	{"run_code", FILE_AT(".."), "files[0].path has a part that is . or .."},
	{"run_code", FILE_AT("main.py"), "files[0].path is main.py"},
	{"run_code", FILE_AT("main.py/x"), "files[0].path is main.py"},
	{"run_code",
	 "{\"language\":\"js\",\"code\":\"\",\"files\":[{\"path\":\"main.js\",\"content\":\"\"}]}",
	 "files[0].path is main.js"},
	{"run_command",
	 "{\"command\":\"ls\",\"files\":[{\"path\":\"main.sh\",\"content\":\"\"}]}",
	 "files[0].path is main.sh"},
	{"run_code", FILES("a", "a"), "\"a\" is given twice"},
	{"run_code", FILES("a/b", "a"), "\"a\" is a file and the folder of another"},
	{"run_code", FILES("x", "a//b"), "files[1].path"},
	{"run_code", BASE64("AP8"), "files[0].content is not base64"},
	{"run_code", BASE64("AP8=\\n"),
	 "files[0].content is not base64 (wrong at byte 4)"},
	{"run_code", BASE64("A-8_"), "files[0].content is not base64"},
	{"run_code", BASE64("!"), "files[0].content is not base64 (wrong at byte 0)"},
	{"run_code",
	 CODE("\"files\":[{\"path\":\"a\",\"content\":\"\",\"encoding\":\"hex\"}]"),
	 "encoding"},
	{"run_code", CODE("\"files\":[{\"path\":\"a\"}]"), "content"},
	{"run_code", CODE("\"env\":{\"1A\":\"\"}"), "env.1A is not a name"},
	{"run_code", CODE("\"env\":{\"\":\"\"}"), "env. is not a name"},
	{"run_code", CODE("\"env\":{\"A=B\":\"\"}"), "env.A=B is not a name"},
	{"run_code", CODE("\"env\":{\"A\":1}"), "env"},
	{"run_code", CODE("\"timeout_ms\":1e300"), "timeout_ms"},
	{"run_code", CODE("\"timeout_ms\":1.5"), "timeout_ms"},
	{"run_code", CODE("\"timeout_ms\":\"soon\""), "timeout_ms"},
	{"run_code", CODE("\"timeot_ms\":1"), "timeot_ms"},
	{"run_code", "{\"code\":\"1\"}", "language"},
	{"run_code", "{\"language\":\"python\"}", "code"},
	{"run_command", "{}", "neither command nor argv"},
	{"run_command", "{\"command\":\"ls\",\"argv\":[\"ls\"]}",
	 "both command and argv"},
	{"run_command", "{\"command\":\" \\n\"}", "command is empty"},
	{"run_command", "{\"argv\":[]}", "argv"},
	{"run_command", "{\"argv\":[\"\"]}", "argv[0] is missing or empty"},
	{"run_command", "{\"command\":\"ls\",\"cwd\":\"/etc\"}", "cwd starts with /"},
	{"run_command", "{\"command\":\"ls\",\"cwd\":\"../..\"}", "cwd has a part"},
};

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct asked a;
		int got = ask(&a, rows[i].tool, sv_of(rows[i].args));

		ok(got == -1 && a.err.code == ERR_INVALID &&
			   strstr(a.err.cause, rows[i].cause),
		   "%s: %s", rows[i].args, rows[i].cause);
		if (got != -1 || !strstr(a.err.cause, rows[i].cause))
			printf("# got %d: %s\n", got, a.err.cause);
		if (!a.schema_refused)
			ok(a.err.remediation[0], "and what to do: %s",
			   a.err.remediation);
		asked_finish(&a);
	}
	return tap_done();
}
