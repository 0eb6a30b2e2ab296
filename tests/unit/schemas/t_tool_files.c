/* t_tool_files.c: the tools' schema files are flat, complete, understood by the validator, and true. */
#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/supervise.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/tools.h"

#include <cjson/cJSON.h>

/* Keywords rpc_schema_check knows, and the two that say nothing about values. Others would be
 * ignored silently, $ref, anyOf and the like break clients. */
static const char *const keywords[] = {
	"type",	    "enum",	"properties",	 "required",  "additionalProperties",
	"items",    "minimum",	"maximum",	 "minLength", "maxLength",
	"minItems", "maxItems", "maxProperties", "const",     "description",
	"title",
};

static bool is_known(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (sv_eq(name, sv_of(keywords[i])))
			return true;
	return false;
}

static bool is_plain_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '_' && (s.p[i] < 'a' || s.p[i] > 'z') &&
		    (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	return s.n > 0;
}

static int complain(const char *path, struct sv name, const char *what)
{
	printf("# %s." SV_FMT ": %s\n", path, SV_ARG(name), what);
	return 1;
}

/* Counts what is wrong in a schema and below. */
static int faults(const struct cJSON *schema, const char *path)
{
	const struct cJSON *props = js_get(schema, "properties"), *more;
	int bad = 0;

	for (const struct cJSON *m = js_first(schema); m; m = js_next(m))
		if (!is_known(js_name(m)))
			bad += complain(path, js_name(m), "unknown keyword");
	if (!js_is_str(js_get(schema, "type")))
		bad += complain(path, SV("type"), "is not one name");
	if (sv_eq(js_str(js_get(schema, "type")), SV("object")) &&
	    !js_get(schema, "additionalProperties"))
		bad += complain(path, SV("additionalProperties"), "is missing");
	for (const struct cJSON *p = js_first(props); p; p = js_next(p)) {
		if (!is_plain_name(js_name(p)))
			bad += complain(path, js_name(p), "is not made of a-z, 0-9, _");
		if (!js_str(js_get(p, "description")).n && !js_get(p, "properties"))
			bad += complain(path, js_name(p), "has no description");
		bad += faults(p, js_name(p).p);
	}
	for (const struct cJSON *r = js_first(js_get(schema, "required")); r;
	     r = js_next(r))
		if (!js_get(props, js_str(r).p))
			bad += complain(path, js_str(r), "is required but no property");
	if (js_get(schema, "items"))
		bad += faults(js_get(schema, "items"), path);
	more = js_get(schema, "additionalProperties");
	if (js_first(more))
		bad += faults(more, path);
	return bad;
}

static bool is_one_of(const char *name, const char *const *list)
{
	while (*list && strcmp(*list, name) != 0)
		list++;
	return *list;
}

static const char *const readers[] = {"sandbox_info",  "run_status",
				      "session_list",  "artifact_download",
				      "artifact_list", NULL};
/* What is gone, or was replaced, cannot be had again. */
static const char *const destroyers[] = {"session_close", "artifact_upload",
					 "artifact_delete", NULL};
static const char *const runners[] = {"run_code",   "run_command",  "run_status",
				      "run_cancel", "sandbox_info", NULL};

static void test_file(const struct tool *t)
{
	static const char *const hints[] = {"readOnlyHint", "destructiveHint",
					    "idempotentHint", "openWorldHint"};
	struct err e = {0};
	struct cJSON *doc = rpc_json_parse(schemas_get(t->schema_file), &e);
	const struct cJSON *notes = js_get(doc, "annotations");
	size_t n = 0;

	ok(doc, "%s parses: %s", t->schema_file, e.cause);
	ok(sv_eq(js_str(js_get(doc, "name")), sv_of(t->name)) &&
		   js_str(js_get(doc, "title")).n,
	   "%s: name and title", t->name);
	ok(!faults(js_get(doc, "inputSchema"), "inputSchema"),
	   "%s: inputSchema is sound", t->name);
	ok(cJSON_IsFalse(js_get(js_get(doc, "inputSchema"), "additionalProperties")),
	   "%s: an unknown argument is refused", t->name);
	ok(!faults(js_get(doc, "outputSchema"), "outputSchema"),
	   "%s: outputSchema is sound", t->name);
	while (n < ARRAY_LEN(hints) && cJSON_IsBool(js_get(notes, hints[n])))
		n++;
	ok(n == ARRAY_LEN(hints), "%s: all hints are given", t->name);
	ok(js_is_true(js_get(notes, "readOnlyHint")) == is_one_of(t->name, readers) &&
		   cJSON_IsFalse(js_get(notes, "openWorldHint")) &&
		   js_is_true(js_get(notes, "destructiveHint")) ==
			   is_one_of(t->name, destroyers),
	   "%s: and true", t->name);
	cJSON_Delete(doc);
}

/* What a description says about limits must be what policy does. */
static void test_limits_told(const struct tool *t)
{
	const struct pol_limits *l = &pol_default()->limits;
	struct cJSON *doc = rpc_json_parse(schemas_get(t->schema_file), NULL);
	const char *text = js_str(js_get(doc, "description")).p;
	char want[6][32];

	snprintf(want[0], 32, "%u s wall time", l->wall_ms / 1000);
	snprintf(want[1], 32, "%u MiB memory", (unsigned)(l->memory_bytes >> 20));
	snprintf(want[2], 32, "%u processes", l->processes);
	snprintf(want[3], 32, "%u MiB", (unsigned)(l->workspace_bytes >> 20));
	snprintf(want[4], 32, "%u CPU", l->cpu_millis / 1000);
	snprintf(want[5], 32, "%s", "network");
	for (int i = 0; i < 6; i++)
		ok(strstr(text, want[i]), "%s says: %s", t->name, want[i]);
	ok(strstr(text, "empty /workspace"), "%s says that nothing persists", t->name);
	cJSON_Delete(doc);
}

/* A caller that wants more than the default need not try what is granted. */
static void test_session_limits_told(void)
{
	const struct pol_session_limits *std = &pol_default()->session,
					*lo = &pol_default()->session_min,
					*hi = &pol_default()->session_max;
	const struct {
		const char *name;
		uint64_t standard, min, max;
	} rows[] = {
		{"ttl_s", std->ttl_s, lo->ttl_s, hi->ttl_s},
		{"idle_ttl_s", std->idle_ttl_s, lo->idle_ttl_s, hi->idle_ttl_s},
		{"processes", std->processes, lo->processes, hi->processes},
		{"memory_bytes", std->memory_bytes, lo->memory_bytes, hi->memory_bytes},
		{"workspace_bytes", std->workspace_bytes, lo->workspace_bytes,
		 hi->workspace_bytes},
	};
	struct cJSON *doc =
		rpc_json_parse(schemas_get("tool_session_create.json"), NULL);
	const struct cJSON *fields = js_get(js_get(doc, "inputSchema"), "properties");
	char want[96];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct cJSON *field = js_get(fields, rows[i].name);

		snprintf(want, sizeof(want),
			 "Default %llu, from %llu to %llu; anything else is refused.",
			 (unsigned long long)rows[i].standard,
			 (unsigned long long)rows[i].min,
			 (unsigned long long)rows[i].max);
		ok(field && strstr(js_str(js_get(field, "description")).p, want),
		   "session_create says of %s: %s", rows[i].name, want);
	}
	cJSON_Delete(doc);
}

static void test_status_names(const char *file)
{
	struct cJSON *doc = rpc_json_parse(schemas_get(file), NULL);
	const struct cJSON *s =
		js_get(js_get(js_get(doc, "outputSchema"), "properties"), "status");
	const struct cJSON *v = js_first(js_get(s, "enum"));
	int i = 0;

	while (v && i < SUP_STATUS_COUNT &&
	       sv_eq(js_str(v), sv_of(sup_status_name((enum sup_status)i)))) {
		v = js_next(v);
		i++;
	}
	ok(i == SUP_STATUS_COUNT && sv_eq(js_str(v), SV("running")) && !js_next(v),
	   "%s lists every status, running and no other", file);
	cJSON_Delete(doc);
}

/* The tools that answer with a result do so alike; a client that knows one knows the others. */
static void test_same_output(void)
{
	struct cJSON *a = rpc_json_parse(schemas_get("tool_run_code.json"), NULL);
	struct cJSON *b = rpc_json_parse(schemas_get("tool_run_command.json"), NULL);
	struct cJSON *c = rpc_json_parse(schemas_get("tool_run_cancel.json"), NULL);

	ok(cJSON_Compare(js_get(a, "outputSchema"), js_get(b, "outputSchema"), 1),
	   "run_code and run_command promise the same output");
	ok(cJSON_Compare(js_get(a, "outputSchema"), js_get(c, "outputSchema"), 1),
	   "and so does run_cancel");
	cJSON_Delete(a);
	cJSON_Delete(b);
	cJSON_Delete(c);
}

/* Counts the {{names}} in text that are no argument of the prompt. */
static int unknown_names(const struct cJSON *args, const char *text)
{
	int bad = 0;

	for (const char *at = strstr(text, "{{"); at; at = strstr(at + 2, "{{")) {
		const char *end = strstr(at, "}}");
		const struct cJSON *a = js_first(args);
		struct sv name = {at + 2, end ? (size_t)(end - at) - 2 : 0};

		while (a && !sv_eq(js_str(js_get(a, "name")), name))
			a = js_next(a);
		if (!a)
			bad += complain("messages", name, "is no argument");
	}
	return bad;
}

/* A line with an argument that is left out goes: what is required must not be the whole of none. */
static void test_prompt(const struct prompt *p)
{
	struct err e = {0};
	struct cJSON *doc = rpc_json_parse(schemas_get(p->schema_file), &e);
	const struct cJSON *args = js_get(doc, "arguments"), *m;
	int bad = 0;

	ok(doc && sv_eq(js_str(js_get(doc, "name")), sv_of(p->name)) &&
		   js_str(js_get(doc, "title")).n &&
		   js_str(js_get(doc, "description")).n,
	   "%s: name, title, description %s", p->name, e.cause);
	for (const struct cJSON *a = js_first(args); a; a = js_next(a))
		bad += !is_plain_name(js_str(js_get(a, "name"))) ||
		       !js_str(js_get(a, "description")).n ||
		       !cJSON_IsBool(js_get(a, "required"));
	ok(!bad && js_first(args), "%s: its arguments are described", p->name);
	m = js_first(js_get(doc, "messages"));
	ok(m && sv_eq(js_str(js_get(m, "role")), SV("user")), "%s: has a message",
	   p->name);
	for (; m; m = js_next(m)) {
		const struct cJSON *c = js_get(m, "content");

		bad += !sv_eq(js_str(js_get(c, "type")), SV("text"));
		bad += unknown_names(args, js_str(js_get(c, "text")).n
						   ? js_str(js_get(c, "text")).p
						   : "");
		for (const struct cJSON *a = js_first(args); a; a = js_next(a)) {
			char want[80];

			snprintf(want, sizeof(want), "{{%s}}",
				 js_str(js_get(a, "name")).p);
			if (!strstr(js_str(js_get(c, "text")).p, want))
				bad += complain(p->name, js_str(js_get(a, "name")),
						"is not used");
		}
	}
	ok(!bad, "%s: its text uses its arguments and nothing else", p->name);
	cJSON_Delete(doc);
}

int main(void)
{
	for (size_t i = 0; i < tools_all.ntools; i++) {
		test_file(&tools_all.tools[i]);
		if (is_one_of(tools_all.tools[i].name, runners))
			test_limits_told(&tools_all.tools[i]);
	}
	for (size_t i = 0; i < tools_all.nprompts; i++)
		test_prompt(&tools_all.prompts[i]);
	test_session_limits_told();
	test_status_names("tool_run_code.json");
	test_status_names("tool_run_command.json");
	test_status_names("tool_run_status.json");
	test_status_names("tool_run_cancel.json");
	test_same_output();
	ok(!schemas_get("tool_nothing.json").n && !schemas_get("").n,
	   "no other file is there");
	return tap_done();
}
