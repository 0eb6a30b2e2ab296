/* answers.h: sup_answers of any kind, for the tests of rendering. */
#ifndef TESTS_TOOLS_ANSWERS_H
#define TESTS_TOOLS_ANSWERS_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/stream.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/internal.h"

#include <cjson/cJSON.h>

struct rendered {
	struct sup_result result;
	struct sup_stream out, errs, compile;
	struct buf json, text;
	struct cJSON *tree;	/* of json */
	struct err err;
	uint64_t kept;			/* of each stream, as a resource */
};

static inline void rendered_init(struct rendered *r)
{
	*r = (struct rendered){.result = {.run_id = "run_00112233445566778899aabbccddeeff",
					  .status = SUP_EXITED,
					  .has_exit_code = true,
					  .duration_us = 34400,
					  .cpu_us = 12000,
					  .peak_memory_bytes = 9000000,
					  .limits = pol_default()->limits}};
	stream_init(&r->out);
	stream_init(&r->errs);
	stream_init(&r->compile);
	buf_init(&r->json, RUN_MAX_ANSWER_BYTES);
	buf_init(&r->text, RUN_MAX_ANSWER_BYTES);
}

static inline int rendered_make(struct rendered *r)
{
	struct sup_answer a = {.result = &r->result, .out = &r->out, .errs = &r->errs,
			       .compile = &r->compile};

	const uint64_t kept[] = {r->kept, r->kept};

	buf_reset(&r->json);
	buf_reset(&r->text);
	cJSON_Delete(r->tree);
	r->tree = NULL;
	err_clear(&r->err);
	if (run_render(&a, r->kept ? kept : NULL, &r->json, &r->text, &r->err))
		return -1;
	r->tree = rpc_json_parse(buf_view(&r->json), &r->err);
	return r->tree ? 0 : -1;
}

static inline void rendered_finish(struct rendered *r)
{
	stream_finish(&r->out);
	stream_finish(&r->errs);
	stream_finish(&r->compile);
	buf_finish(&r->json);
	buf_finish(&r->text);
	cJSON_Delete(r->tree);
}

/* Whether v is what the tool's outputSchema promises; says why not. */
static inline bool matches_output_schema(const char *file, struct cJSON *v)
{
	struct err e = {0};
	struct cJSON *doc = rpc_json_parse(schemas_get(file), &e);
	bool good = doc && !rpc_schema_check(js_get(doc, "outputSchema"), v, false, &e);

	if (!good)
		printf("# %s: %s\n", file, e.cause);
	cJSON_Delete(doc);
	return good;
}

static inline bool has_text(const struct buf *b, const char *part)
{
	return strstr(buf_cstr(b), part) != NULL;
}

static inline bool is_int(const struct cJSON *obj, const char *key, int64_t want)
{
	int64_t got;

	return !js_int(js_get(obj, key), &got) && got == want;
}

static inline bool is_text(const struct cJSON *obj, const char *key, const char *want)
{
	return js_is_str(js_get(obj, key)) && sv_eq(js_str(js_get(obj, key)), sv_of(want));
}

#endif
