/* t_schema_suite.c: the packaged JSON Schema test suite, as far as the subset goes.
 *
 * Debian's json-schema-test-suite 2.0.0 ends with draft 7; for the keywords of the subset that
 * draft and 2020-12 say the same. Groups whose schema uses more are left out. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>
#include <unistd.h>

#define SUITE "/usr/share/json-schema-test-suite/tests/draft7"

static const char *const files[] = {
	"additionalProperties",
	"const",
	"enum",
	"items",
	"maxItems",
	"maxLength",
	"maximum",
	"maxProperties",
	"minItems",
	"minLength",
	"minimum",
	"minProperties",
	"properties",
	"required",
	"type",
};

static unsigned groups_run, groups_left;

static void run_group(const char *file, const struct cJSON *group)
{
	const struct cJSON *schema = js_get(group, "schema"), *t;

	if (rpc_schema_lint(schema, NULL)) {
		groups_left++;
		return;
	}
	groups_run++;
	cJSON_ArrayForEach(t, js_get(group, "tests"))
	{
		struct cJSON *v = cJSON_Duplicate(js_get(t, "data"), 1);
		int bad = rpc_schema_check(schema, v, false, NULL);

		ok(!bad == js_is_true(js_get(t, "valid")), "%s: %s: %s", file,
		   js_str(js_get(group, "description")).p,
		   js_str(js_get(t, "description")).p);
		cJSON_Delete(v);
	}
}

static void run_file(const char *name)
{
	struct err e = {.code = ERR_NONE};
	const struct cJSON *group;
	struct cJSON *all;
	char path[200];
	AUTO_BUF b = {0};

	buf_init(&b, 1 << 20);
	snprintf(path, sizeof(path), "%s/%s.json", SUITE, name);
	fd_read_file(path, &b, &e);
	all = rpc_json_parse(buf_view(&b), &e);
	ok(all, "%s is read %s", path, e.cause);
	cJSON_ArrayForEach(group, all)
	{
		run_group(name, group);
	}
	cJSON_Delete(all);
}

int main(void)
{
	const char *must_run = getenv("MUST_RUN");

	if (access(SUITE, R_OK)) {
		printf("1..0 # SKIP no " SUITE
		       ": apt-get install json-schema-test-suite\n");
		return must_run && !strcmp(must_run, "1");
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		run_file(files[i]);
	ok(groups_run >= 30, "%u groups ran, %u use more than the subset", groups_run,
	   groups_left);
	return tap_done();
}
