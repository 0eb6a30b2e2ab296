/* t_schema_known.c: of a schema that says more than we check, what is left takes all that it takes. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

static struct cJSON *parsed(const char *text)
{
	struct cJSON *v = rpc_json_parse(sv_of(text), NULL);

	must(v);
	return v;
}

static const struct {
	const char *schema, *known;
} rows[] = {
	{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"x\"}}}",
	 "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}"},
	{"{\"$schema\":\"s\",\"$defs\":{\"d\":{}},\"$anchor\":\"a\",\"allOf\":[{}],\"if\":{},"
	 "\"then\":{},\"else\":{},\"required\":[\"a\"],\"title\":\"t\"}",
	 "{\"$schema\":\"s\",\"required\":[\"a\"],\"title\":\"t\"}"},
	{"{\"type\":[\"string\",\"null\"],\"maxLength\":3}", "{\"maxLength\":3}"},
	{"{\"properties\":{\"a\":true,\"b\":false,\"c\":{\"$ref\":\"#/$defs/x\"}},"
	 "\"additionalProperties\":false}",
	 "{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"additionalProperties\":false}"},
	{"{\"patternProperties\":{\"^x\":{}},\"additionalProperties\":false}", "{}"},
	{"{\"prefixItems\":[{}],\"items\":{\"type\":\"string\"}}", "{}"},
	{"{\"items\":{\"oneOf\":[{}],\"type\":\"string\"},"
	 "\"additionalProperties\":{\"anyOf\":[{}],\"minimum\":2}}",
	 "{\"items\":{\"type\":\"string\"},\"additionalProperties\":{\"minimum\":2}}"},
	{"{\"items\":false,\"minItems\":-1,\"maxItems\":2.5,\"enum\":[]}", "{}"},
	{"{\"dependentRequired\":{\"a\":[\"b\"]},\"exclusiveMinimum\":1,\"minimum\":0}",
	 "{\"minimum\":0}"},
};

static void t_rows(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cJSON *schema = parsed(rows[i].schema);
		struct cJSON *known = rpc_schema_known(schema);
		struct cJSON *want = parsed(rows[i].known);
		struct err e = {0};

		ok(known && cJSON_Compare(known, want, 1), "of %s is left %s",
		   rows[i].schema, rows[i].known);
		ok(!rpc_schema_lint(known, &e), "which is known: %s", e.cause);
		cJSON_Delete(want);
		want = parsed(rows[i].schema);
		ok(cJSON_Compare(schema, want, 1), "the schema itself stays as it is");
		cJSON_Delete(want);
		cJSON_Delete(known);
		cJSON_Delete(schema);
	}
}

/* What is no schema stays none, and is found by the lint. */
static void t_broken(void)
{
	static const char *const broken[] = {"[]", "7", "\"x\"",
					     "{\"properties\":{\"a\":[1]}}",
					     "{\"properties\":{\"a\":\"b\"}}"};

	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct cJSON *schema = parsed(broken[i]);
		struct cJSON *known = rpc_schema_known(schema);

		ok(known && rpc_schema_lint(known, NULL), "%s is no schema", broken[i]);
		cJSON_Delete(known);
		cJSON_Delete(schema);
	}
}

static void t_no_memory(void)
{
	struct cJSON *schema = parsed(rows[0].schema), *known = NULL;
	long n = 0;

	while (!known && n < 1000) {
		mem_fail_after(++n);
		known = rpc_schema_known(schema);
		mem_fail_after(0);
	}
	ok(known && n > 5, "each of %ld allocations may fail", n - 1);
	cJSON_Delete(known);
	cJSON_Delete(schema);
}

int main(void)
{
	t_rows();
	t_broken();
	t_no_memory();
	return tap_done();
}
