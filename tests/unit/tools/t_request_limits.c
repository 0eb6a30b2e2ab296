/* t_request_limits.c: every size has a stated limit, and the limit itself is still taken. */
#include "tests/unit/tools/requests.h"

/* The JSON `head` + n times 'x' + `tail`. */
static struct buf with_bytes(const char *head, size_t n, const char *tail)
{
	struct buf b;
	char *at;

	buf_init(&b, n + 4096);
	buf_str(&b, head);
	at = buf_reserve(&b, n);
	must(at);
	memset(at, 'x', n);
	if (n)
		buf_commit(&b, n);
	buf_str(&b, tail);
	must(!b.failed);
	return b;
}

static const struct {
	const char *what, *tool, *head, *tail;
	size_t max;
	enum err_code code;
	const char *cause;
} rows[] = {
	{"code", "run_code", "{\"language\":\"python\",\"code\":\"", "\"}",
	 POL_MAX_CODE_BYTES, ERR_LIMIT,
	 "code is 10485761 bytes, at most 10485760 (10 MiB)"},
	{"command", "run_command", "{\"command\":\"", "\"}", POL_MAX_CODE_BYTES,
	 ERR_LIMIT, "command is 10485761 bytes"},
	{"language", "run_code", "{\"code\":\"\",\"language\":\"", "\"}",
	 RUN_MAX_LANGUAGE_BYTES, ERR_NOT_FOUND, "language is no language"},
	{"an argument", "run_code", "{\"language\":\"sh\",\"code\":\"\",\"args\":[\"",
	 "\"]}", RUN_MAX_STRING_BYTES, ERR_LIMIT,
	 "args[0] is 131072 bytes, at most 131071"},
	{"a variable", "run_code",
	 "{\"language\":\"sh\",\"code\":\"\",\"env\":{\"A\":\"", "\"}}",
	 RUN_MAX_STRING_BYTES - 2, ERR_LIMIT, "env.A is 131072 bytes"},
	{"part of a path", "run_code",
	 "{\"language\":\"sh\",\"code\":\"\",\"files\":[{\"content\":\"\",\"path\":\"a/",
	 "\"}]}", RUN_MAX_PART_BYTES, ERR_INVALID, "longer than 255 bytes"},
};

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t over = 0; over < 2; over++) {
			struct buf json = with_bytes(rows[i].head, rows[i].max + over,
						     rows[i].tail);
			struct asked a;
			int got = ask(&a, rows[i].tool, buf_view(&json));

			if (!over)
				ok(!got, "%s of %zu bytes is taken: %s", rows[i].what,
				   rows[i].max, a.err.cause);
			else
				ok(got && a.err.code == rows[i].code &&
					   !a.schema_refused &&
					   strstr(a.err.cause, rows[i].cause) &&
					   a.err.remediation[0],
				   "one more is refused: %s", a.err.cause);
			asked_finish(&a);
			buf_finish(&json);
		}
}

static void test_stdin(void)
{
	struct buf json = with_bytes("", POL_MAX_STDIN_BYTES + 1, "");
	struct asked a = {.args = cJSON_CreateObject()};

	/* larger than a message may be, so the tree is made by hand */
	cJSON_AddStringToObject(a.args, "language", "python");
	cJSON_AddStringToObject(a.args, "code", "");
	cJSON_AddStringToObject(a.args, "stdin", buf_cstr(&json));
	ok(run_request_code(a.args, &a.req, &a.err) == -1 && a.err.code == ERR_LIMIT &&
		   strstr(a.err.cause, "stdin is 16777217 bytes"),
	   "stdin past 16 MiB is refused: %s", a.err.cause);
	asked_finish(&a);
	buf_finish(&json);
}

/* Many arguments, each within its limit. */
static void test_exec_sum(void)
{
	AUTO_BUF json = {0};
	struct asked a;

	buf_init(&json, 4 << 20);
	buf_str(&json, "{\"argv\":[\"ls\"");
	for (int i = 0; i < 900; i++)
		buf_fmt(&json, ",\"%01200d\"", i);
	buf_str(&json, "]}");
	ok(ask(&a, "run_command", buf_view(&json)) == -1 && a.err.code == ERR_LIMIT &&
		   strstr(a.err.cause,
			  "arguments and environment are more than 1048576 bytes"),
	   "arguments execve would refuse are refused before: %s", a.err.cause);
	asked_finish(&a);
}

static void test_files_sum(void)
{
	struct buf part = with_bytes("", POL_MAX_INPUT_BYTES / 4, "");
	struct asked a = {.args = cJSON_CreateObject()};
	struct cJSON *files = cJSON_AddArrayToObject(a.args, "files");

	cJSON_AddStringToObject(a.args, "language", "python");
	cJSON_AddStringToObject(a.args, "code", "");
	for (int i = 0; i < 4; i++) {
		struct cJSON *f = cJSON_CreateObject();
		char path[16];

		snprintf(path, sizeof(path), "f%d", i);
		cJSON_AddStringToObject(f, "path", path);
		cJSON_AddStringToObject(f, "content", buf_cstr(&part));
		cJSON_AddItemToArray(files, f);
	}
	ok(run_request_code(a.args, &a.req, &a.err) == -1 && a.err.code == ERR_LIMIT &&
		   strstr(a.err.cause, "more than 32 MiB together"),
	   "files past 32 MiB are refused: %s", a.err.cause);
	asked_finish(&a);
	buf_finish(&part);
}

static void test_path(void)
{
	AUTO_BUF json = {0};
	struct asked a;

	buf_init(&json, 1 << 16);
	buf_str(&json,
		"{\"language\":\"sh\",\"code\":\"\",\"files\":[{\"content\":\"\",\"path\":\"");
	for (int i = 0; i < RUN_MAX_PATH_BYTES / 10; i++)
		buf_str(&json, "123456789/");
	buf_str(&json, "x\"}]}");
	ok(ask(&a, "run_code", buf_view(&json)) == -1 &&
		   strstr(a.err.cause, "files[0].path is longer than 4000 bytes"),
	   "a path past 4000 bytes is refused");
	asked_finish(&a);
}

static void test_no_memory(void)
{
	static const char args[] =
		"{\"language\":\"python\",\"code\":\"\",\"files\":["
		"{\"path\":\"a\",\"content\":\"AAAA\",\"encoding\":\"base64\"},"
		"{\"path\":\"b\",\"content\":\"\"}]}";
	struct asked a = {.args = rpc_json_parse(sv_of(args), NULL)};
	long n = 1;

	must(a.args);
	for (;; n++) {
		int bad;

		err_clear(&a.err);
		mem_fail_after(n);
		bad = run_request_code(a.args, &a.req, &a.err);
		mem_fail_after(0);
		run_request_finish(&a.req);
		if (!bad || a.err.code != ERR_LIMIT || n > 50)
			break;
	}
	ok(n >= 3 && !a.err.code, "each of %ld allocations may fail: an error says so",
	   n - 1);
	asked_finish(&a);
}

int main(void)
{
	test_rows();
	test_stdin();
	test_exec_sum();
	test_files_sum();
	test_path();
	test_no_memory();
	return tap_done();
}
