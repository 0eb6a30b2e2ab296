/* requests.h: JSON arguments -> struct run_request, as the protocol would bring them. */
#ifndef TESTS_TOOLS_REQUESTS_H
#define TESTS_TOOLS_REQUESTS_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/internal.h"

#include <cjson/cJSON.h>

struct asked {
	struct cJSON *args;
	struct run_request req;	/* borrows from args */
	struct err err;
	bool schema_refused;
};

/* 0 or -1 as run_request_*; the schema is asked first, as before every call. */
static inline int ask(struct asked *a, const char *tool, struct sv json)
{
	AUTO_BUF file = {0};
	struct cJSON *doc;
	int bad;

	*a = (struct asked){.args = rpc_json_parse(json, &a->err)};
	must(a->args);
	buf_init(&file, 100);
	buf_fmt(&file, "tool_%s.json", tool);
	doc = rpc_json_parse(schemas_get(buf_cstr(&file)), &a->err);
	must(doc);
	bad = rpc_schema_check(js_get(doc, "inputSchema"), a->args, true, &a->err);
	a->schema_refused = bad;
	cJSON_Delete(doc);
	if (bad)
		return -1;
	return sv_eq(sv_of(tool), SV("run_code")) ? run_request_code(a->args, &a->req, &a->err)
						  : run_request_command(a->args, &a->req, &a->err);
}

static inline void asked_finish(struct asked *a)
{
	run_request_finish(&a->req);
	cJSON_Delete(a->args);
	*a = (struct asked){0};
}

static inline bool next_is(struct sv *rest, enum guest_entry_kind kind, struct sv name,
			   struct sv data)
{
	struct guest_entry en;

	return guest_next_entry(rest, &en) == 1 && en.kind == kind && sv_eq(en.name, name) &&
	       sv_eq(en.data, data);
}

#endif
