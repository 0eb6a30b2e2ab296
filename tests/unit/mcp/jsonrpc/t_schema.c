/* t_schema.c: what the validator takes and refuses, its words, its coercions; our own schemas. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>
#include <glob.h>

static const char sample[] =
	"{\"$schema\":\"x\",\"title\":\"t\",\"x-note\":1,\"type\":\"object\",\"properties\":{"
	"\"language\":{\"type\":\"string\",\"enum\":[\"python\",\"bash\"]},"
	"\"code\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":5,\"description\":\"d\"},"
	"\"timeout_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000,\"default\":1},"
	"\"ratio\":{\"type\":\"number\",\"minimum\":0.5},"
	"\"background\":{\"type\":\"boolean\"},"
	"\"one\":{\"const\":1},"
	"\"args\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":3},"
	"\"env\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"},"
	"\"maxProperties\":2},"
	"\"nothing\":{\"type\":\"null\"},"
	"\"files\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\","
	"\"properties\":{\"path\":{\"type\":\"string\"},\"mode\":{\"type\":\"integer\"}},"
	"\"required\":[\"path\"],\"additionalProperties\":false}}"
	"},\"required\":[\"language\"],\"additionalProperties\":false}";

struct row {
	const char *value;
	const char *says; /* NULL: taken; else the whole cause */
	const char *fix; /* a part of the remediation, or NULL */
};

/* clang-format off */
static const struct row rows[] = {
	{"{\"language\":\"bash\"}", NULL, NULL},
	{"{\"language\":\"bash\",\"code\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80xx\",\"timeout_ms\":1000,"
	 "\"ratio\":0.5,\"background\":false,\"one\":1.0,\"args\":[\"a\",\"\"],\"env\":{\"A\":\"1\"},"
	 "\"nothing\":null,\"files\":[{\"path\":\"p\",\"mode\":420}]}", NULL, NULL},
	{"[]", "got an array, expected an object", NULL},
	{"{}", "language: this field is required", "add it: one of \"python\", \"bash\""},
	{"{\"language\":\"ruby\"}", "language: got the string \"ruby\", expected one of \"python\", \"bash\"", NULL},
	{"{\"language\":\"Bash\"}", "language: got the string \"Bash\", expected one of \"python\", \"bash\"", NULL},
	{"{\"language\":\"bash\",\"tiemout\":1}", "tiemout: there is no such field",
	 "known fields: language, code, timeout_ms, ratio, background, one, args, env, nothing, files"},
	{"{\"language\":\"bash\",\"Code\":\"x\"}", "Code: there is no such field", "code"},
	{"{\"language\":\"bash\",\"a b\\n\":1}", "[\"a b?\"]: there is no such field", NULL},
	{"{\"language\":\"bash\",\"\":1}", "[\"\"]: there is no such field", NULL},
	{"{\"language\":\"bash\",\"code\":\"\"}", "code: got the string \"\", expected a string of 1 to 5 characters", NULL},
	{"{\"language\":\"bash\",\"code\":\"123456\"}", "code: got the string \"123456\", expected a string of 1 to 5 characters", NULL},
	{"{\"language\":\"bash\",\"code\":5}", "code: got the number 5, expected a string of 1 to 5 characters", NULL},
	{"{\"language\":\"bash\",\"code\":null}", "code: got null, expected a string of 1 to 5 characters", "leave the field out"},
	{"{\"language\":\"bash\",\"timeout_ms\":-1}", "timeout_ms: got the number -1, expected an integer from 0 to 1000", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":1001}", "timeout_ms: got the number 1001, expected an integer from 0 to 1000", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":1.5}", "timeout_ms: got the number 1.5, expected an integer from 0 to 1000", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":1e400}", "timeout_ms: got the number inf, expected an integer from 0 to 1000", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":true}", "timeout_ms: got true, expected an integer from 0 to 1000", NULL},
	{"{\"language\":\"bash\",\"ratio\":0.25}", "ratio: got the number 0.25, expected a number at least 0.5", NULL},
	{"{\"language\":\"bash\",\"ratio\":1e400}", "ratio: got the number inf, expected a number at least 0.5", NULL},
	{"{\"language\":\"bash\",\"background\":1}", "background: got the number 1, expected true or false", NULL},
	{"{\"language\":\"bash\",\"one\":2}", "one: got the number 2, expected 1", NULL},
	{"{\"language\":\"bash\",\"nothing\":0}", "nothing: got the number 0, expected null", NULL},
	{"{\"language\":\"bash\",\"args\":[\"a\",2]}", "args[1]: got the number 2, expected a string", NULL},
	{"{\"language\":\"bash\",\"args\":[\"\",\"\",\"\",\"\"]}", "args: got an array, expected an array of at most 3 items", NULL},
	{"{\"language\":\"bash\",\"args\":{}}", "args: got an object, expected an array of at most 3 items", NULL},
	{"{\"language\":\"bash\",\"env\":{\"A\":1}}", "env.A: got the number 1, expected a string", NULL},
	{"{\"language\":\"bash\",\"env\":{\"A\":\"\",\"B\":\"\",\"C\":\"\"}}", "env: got an object, expected an object of at most 2 fields", NULL},
	{"{\"language\":\"bash\",\"files\":[]}", "files: got an array, expected an array of at least 1 items", NULL},
	{"{\"language\":\"bash\",\"files\":[{\"path\":\"a\"},{\"path\":\"b\"},{\"path\":false}]}",
	 "files[2].path: got false, expected a string", NULL},
	{"{\"language\":\"bash\",\"files\":[{\"mode\":1}]}", "files[0].path: this field is required", "add it: a string"},
	{"{\"language\":\"bash\",\"files\":[{\"path\":\"a\",\"content\":\"\"}]}",
	 "files[0].content: there is no such field", "known fields: path, mode"},
	{"{\"language\":\"0123456789012345678901234567890123456789012345678901234567\xc3\xa9\xc3\xa9\"}",
	 "language: got the string \"0123456789012345678901234567890123456789012345678901234567\xc3\xa9...\", "
	 "expected one of \"python\", \"bash\"", NULL},
};
/* clang-format on */

static struct cJSON *parsed(const char *text)
{
	struct err e = {.code = ERR_NONE};
	struct cJSON *t = rpc_json_parse(sv_of(text), &e);

	if (!t)
		printf("Bail out! %s: %s\n", text, e.cause);
	return t;
}

static void t_rows(void)
{
	struct cJSON *schema = parsed(sample);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {.code = ERR_NONE};
		struct cJSON *v = parsed(rows[i].value);
		int bad = rpc_schema_check(schema, v, false, &e);
		bool good = rows[i].says ? bad == -1 && e.code == ERR_INVALID &&
						   !strcmp(e.cause, rows[i].says)
					 : !bad && !e.code;

		if (rows[i].fix && !strstr(err_remediation(&e), rows[i].fix))
			good = false;
		if (!ok(good, "%s", rows[i].value))
			printf("# %s / %s\n", e.cause, e.remediation);
		cJSON_Delete(v);
	}
	cJSON_Delete(schema);
}

struct coercion {
	const char *value;
	const char *becomes; /* NULL: refused */
};

/* clang-format off */
static const struct coercion coercions[] = {
	{"{\"language\":\"bash\",\"timeout_ms\":\"30\"}", "{\"language\":\"bash\",\"timeout_ms\":30}"},
	{"{\"timeout_ms\":\"1e2\",\"language\":\"bash\"}", "{\"timeout_ms\":100,\"language\":\"bash\"}"},
	{"{\"language\":\"bash\",\"ratio\":\"0.75\"}", "{\"language\":\"bash\",\"ratio\":0.75}"},
	{"{\"language\":\"bash\",\"background\":\"true\"}", "{\"language\":\"bash\",\"background\":true}"},
	{"{\"language\":\"bash\",\"background\":\"false\"}", "{\"language\":\"bash\",\"background\":false}"},
	{"{\"language\":\"bash\",\"args\":\"[\\\"a\\\",\\\"b\\\"]\"}", "{\"language\":\"bash\",\"args\":[\"a\",\"b\"]}"},
	{"{\"language\":\"bash\",\"env\":\"{\\\"A\\\":\\\"1\\\"}\"}", "{\"language\":\"bash\",\"env\":{\"A\":\"1\"}}"},
	{"{\"language\":\"bash\",\"files\":\"[{\\\"path\\\":\\\"p\\\",\\\"mode\\\":\\\"7\\\"}]\"}",
	 "{\"language\":\"bash\",\"files\":[{\"path\":\"p\",\"mode\":7}]}"},
	{"{\"language\":\"bash\",\"files\":[\"{\\\"path\\\":\\\"p\\\"}\"]}",
	 "{\"language\":\"bash\",\"files\":[{\"path\":\"p\"}]}"},
	{"\"{\\\"language\\\":\\\"bash\\\"}\"", "{\"language\":\"bash\"}"},
	/* a string where a string is wanted stays one, whatever it spells */
	{"{\"language\":\"bash\",\"code\":\"17\"}", "{\"language\":\"bash\",\"code\":\"17\"}"},
	{"{\"language\":\"bash\",\"args\":[\"1\",\"[]\"]}", "{\"language\":\"bash\",\"args\":[\"1\",\"[]\"]}"},
	{"{\"language\":\"bash\",\"timeout_ms\":\"\"}", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":\"30 s\"}", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":\"1.5\"}", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":\"0x10\"}", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":\"1001\"}", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":\"null\"}", NULL},
	{"{\"language\":\"bash\",\"timeout_ms\":\"true\"}", NULL},
	{"{\"language\":\"bash\",\"background\":\"True\"}", NULL},
	{"{\"language\":\"bash\",\"background\":\"1\"}", NULL},
	{"{\"language\":\"bash\",\"background\":\"yes\"}", NULL},
	{"{\"language\":\"bash\",\"nothing\":\"null\"}", NULL},
	{"{\"language\":\"bash\",\"args\":\"a\"}", NULL},
	{"{\"language\":\"bash\",\"args\":\"{}\"}", NULL},
	{"{\"language\":\"bash\",\"args\":\"[1]\"}", NULL},
	{"{\"language\":\"bash\",\"env\":\"{\\\"A\\\":\\\"1\\\",\\\"A\\\":\\\"2\\\"}\"}", NULL},
};
/* clang-format on */

static void t_coercions(void)
{
	struct cJSON *schema = parsed(sample);

	for (size_t i = 0; i < ARRAY_LEN(coercions); i++) {
		struct err e = {.code = ERR_NONE};
		struct cJSON *v = parsed(coercions[i].value);
		int strict = rpc_schema_check(schema, v, false, NULL);
		int bad = rpc_schema_check(schema, v, true, &e);
		char *text = cJSON_PrintUnformatted(v);
		bool as_string = strstr(coercions[i].value, "\"code\"") ||
				 strstr(coercions[i].value, "[\"1\"");

		ok(coercions[i].becomes ? !bad && !strcmp(text, coercions[i].becomes) &&
						  !strict == as_string
					: bad && strict && e.code == ERR_INVALID,
		   "%s: %s", coercions[i].value, bad ? e.cause : text);
		mem_free(text);
		cJSON_Delete(v);
	}
	cJSON_Delete(schema);
}

static void t_open_schemas(void)
{
	struct err e = {.code = ERR_NONE};
	struct cJSON *schema =
		parsed("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
		       "\"integer\"}}}");
	struct cJSON *v = parsed("{\"a\":1,\"b\":[{}]}");

	ok(!rpc_schema_check(schema, v, false, &e),
	   "unlisted fields pass where none are barred");
	cJSON_Delete(schema);
	schema = parsed("{}");
	ok(!rpc_schema_check(schema, v, false, &e), "an empty schema takes all");
	cJSON_Delete(schema);
	schema = parsed("{\"enum\":[{\"b\":[{}],\"a\":1},7]}");
	ok(!rpc_schema_check(schema, v, false, &e), "an enum may list objects");
	cJSON_Delete(schema);
	cJSON_Delete(v);
}

static void t_integer_bounds(void)
{
	struct cJSON *schema = parsed("{\"type\":\"integer\"}");
	struct cJSON *most = parsed("9007199254740992"),
		     *more = parsed("9007199254740994");
	struct cJSON *least = parsed("-9007199254740992"), *whole = parsed("3.0");

	ok(!rpc_schema_check(schema, most, false, NULL) &&
		   !rpc_schema_check(schema, least, false, NULL) &&
		   !rpc_schema_check(schema, whole, false, NULL),
	   "integers reach to 2^53; 3.0 is one");
	ok(rpc_schema_check(schema, more, false, NULL),
	   "beyond, js_int would not take them");
	cJSON_Delete(schema);
	cJSON_Delete(most);
	cJSON_Delete(more);
	cJSON_Delete(least);
	cJSON_Delete(whole);
}

static void t_lint(void)
{
	static const char *const bad[] = {
		"{\"pattern\":\"x\"}",
		"{\"type\":[\"string\",\"null\"]}",
		"{\"type\":\"text\"}",
		"{\"properties\":{\"a\":{\"oneOf\":[]}}}",
		"{\"items\":{\"properties\":{\"a\":{\"$ref\":\"#\"}}}}",
		"{\"additionalProperties\":{\"not\":{}}}",
		"{\"items\":true}",
		"{\"required\":\"a\"}",
		"{\"required\":[1]}",
		"{\"enum\":[]}",
		"{\"maxLength\":\"5\"}",
		"{\"maxLength\":-5}",
		"{\"minimum\":null}",
		"{\"properties\":[]}",
		"{\"properties\":{\"a\":true}}",
		"true",
		"[]",
	};
	struct cJSON *schema = parsed(sample);

	ok(!rpc_schema_lint(schema, NULL), "the sample uses only known keywords");
	cJSON_Delete(schema);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = {.code = ERR_NONE};

		schema = parsed(bad[i]);
		ok(rpc_schema_lint(schema, &e) == -1 && e.code == ERR_INTERNAL,
		   "%s: %s", bad[i], e.cause);
		cJSON_Delete(schema);
	}
}

static void t_unknown_keyword_fails_closed(void)
{
	struct err e = {.code = ERR_NONE};
	struct cJSON *schema = parsed("{\"properties\":{\"a\":{\"pattern\":\"^b$\"}}}");
	struct cJSON *v = parsed("{\"a\":\"b\"}");

	ok(rpc_schema_check(schema, v, false, &e) && e.code == ERR_INTERNAL &&
		   strstr(e.cause, "pattern"),
	   "a schema beyond the subset is our fault and takes nothing");
	cJSON_Delete(schema);
	cJSON_Delete(v);
}

static void lint_file(const char *path)
{
	static const char *const parts[] = {"inputSchema", "outputSchema"};
	struct err e = {.code = ERR_NONE};
	AUTO_BUF text = {0};
	struct cJSON *file;

	buf_init(&text, 1 << 20);
	fd_read_file(path, &text, &e);
	file = rpc_json_parse(buf_view(&text), &e);
	ok(file, "%s is strict JSON %s", path, e.cause);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		ok(!rpc_schema_lint(js_get(file, parts[i]), &e),
		   "its %s is in the subset %s", parts[i], e.cause);
	cJSON_Delete(file);
}

/* Run at the top of the tree, as prove does. */
static void t_our_schemas(void)
{
	glob_t found = {.gl_pathc = 0};

	ok(!glob("schemas/tool_*.json", 0, NULL, &found) && found.gl_pathc > 0,
	   "schemas/ has tools");
	for (size_t i = 0; i < found.gl_pathc; i++)
		lint_file(found.gl_pathv[i]);
	globfree(&found);
}

/* Coercion parses: each of its allocations fails once. The value is refused or coerced, no more. */
static void t_no_memory(void)
{
	struct cJSON *schema = parsed(sample);
	bool good = true, done = false;
	long n = 0;

	while (!done && n < 1000) {
		struct cJSON *v = parsed(
			"{\"language\":\"bash\",\"files\":\"[{\\\"path\\\":\\\"p\\\"}]\"}");

		mem_fail_after(++n);
		done = !rpc_schema_check(schema, v, true, NULL);
		mem_fail_after(0);
		good = good && (done || js_is_str(js_get(v, "files")));
		cJSON_Delete(v);
	}
	ok(good && done && n > 5, "each of %ld allocations may fail", n - 1);
	cJSON_Delete(schema);
}

int main(void)
{
	t_rows();
	t_coercions();
	t_open_schemas();
	t_integer_bounds();
	t_lint();
	t_unknown_keyword_fails_closed();
	t_our_schemas();
	t_no_memory();
	return tap_done();
}
