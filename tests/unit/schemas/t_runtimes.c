/* t_runtimes.c: schemas/runtimes.json matches its schema and is what pol_runtimes[] says. */
#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/policy/policy.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

/* Absent is empty. */
static bool same_list(const struct cJSON *list, const char *const *got)
{
	const struct cJSON *v = js_first(list);

	for (; v && *got; v = js_next(v), got++)
		if (!sv_eq(js_str(v), sv_of(*got)))
			return false;
	return !v && !*got;
}

static bool same_text(const struct cJSON *row, const char *key, const char *got)
{
	return sv_eq(js_str(js_get(row, key)), sv_of(got));
}

static bool same_int(const struct cJSON *row, const char *key, uint64_t got)
{
	int64_t want = 0;

	return (!js_get(row, key) || !js_int(js_get(row, key), &want)) &&
	       (uint64_t)want == got;
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static void test_compile(const struct cJSON *c, const struct pol_runtime *r)
{
	const struct pol_compile *got = &r->compile;

	ok(same_list(js_get(c, "find"), got->find) &&
		   same_list(js_get(c, "args"), got->args) &&
		   same_list(js_get(c, "env"), got->env) &&
		   same_text(c, "product", got->product) &&
		   same_int(c, "timeout_ms", got->timeout_ms),
	   "%s: compile", r->name);
	ok(!c == !got->find[0] && (!c || count(got->args)),
	   "%s: there is a compiler or there is none", r->name);
	ok(count(got->args) <= GUEST_MAX_ARGS && count(got->env) <= POL_MAX_ENV,
	   "%s: it fits the guest's record", r->name);
}

static void test_row(const struct cJSON *row, const struct pol_runtime *r)
{
	ok(same_text(row, "name", r->name) && same_text(row, "title", r->title) &&
		   same_text(row, "file", r->file) &&
		   same_text(row, "package", r->package) && r->package[0] &&
		   same_text(row, "driver", r->driver) &&
		   same_text(row, "zygote", r->zygote) &&
		   same_text(row, "ahead", r->ahead),
	   "%s: name, title, file, driver, zygote, ahead", r->name);
	ok(same_list(js_get(row, "aliases"), r->aliases) &&
		   same_list(js_get(row, "find"), r->find) &&
		   same_list(js_get(row, "run"), r->run) &&
		   same_list(js_get(row, "version"), r->version) &&
		   same_list(js_get(row, "env"), r->env) &&
		   same_list(js_get(row, "preload"), r->preload) &&
		   same_list(js_get(row, "syscalls"), r->syscalls) &&
		   same_list(js_get(row, "etc"), r->etc),
	   "%s: lists", r->name);
	ok(same_int(row, "extra_memory_bytes", r->extra_memory_bytes) &&
		   same_int(row, "extra_processes", r->extra_processes),
	   "%s: numbers", r->name);
	test_compile(js_get(row, "compile"), r);
	ok(count(r->run) < GUEST_MAX_ARGS && count(r->version) < GUEST_MAX_ARGS &&
		   count(r->env) < GUEST_MAX_ENV,
	   "%s: fits the guest's record", r->name);
}

int main(void)
{
	static const char *const promised[] = {
		"python", "javascript", "bash", "typescript", "c",    "cpp", "go",
		"rust",	  "java",	"ruby", "php",	      "perl", "lua", "r"};
	struct err e = {0};
	struct cJSON *schema = rpc_json_parse(schemas_get("runtimes.schema.json"), &e);
	struct cJSON *doc = rpc_json_parse(schemas_get("runtimes.json"), &e);
	const struct cJSON *row = js_first(js_get(doc, "runtimes"));
	unsigned i = 0;

	ok(schema && doc, "both files parse: %s", e.cause);
	ok(!rpc_schema_check(schema, doc, false, &e),
	   "the table matches its schema: %s", e.cause);
	ok(pol_runtimes_count == ARRAY_LEN(promised), "as many runtimes as promised");
	for (; row && i < pol_runtimes_count; row = js_next(row), i++) {
		ok(!strcmp(pol_runtimes[i].name, promised[i]), "%s is there",
		   promised[i]);
		test_row(row, &pol_runtimes[i]);
	}
	ok(!row && i == pol_runtimes_count, "every row is in the table");
	cJSON_Delete(schema);
	cJSON_Delete(doc);
	return tap_done();
}
