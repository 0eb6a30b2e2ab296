/* resources.c: resources/read and completion/complete. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

#define MAX_VALUES 100 /* of a completion: the spec's ceiling */

static void refuse_params(const struct proto_ctx *c, const struct err *e)
{
	proto_fail(c, RPC_INVALID_PARAMS, e, (struct sv){0});
}

/* --- reading ----------------------------------------------------------------------------------- */

static int uri_of(const struct proto_ctx *c, struct sv *ret)
{
	const struct cJSON *uri = js_get(c->m->params, "uri");
	struct err e = {0};

	*ret = js_str(uri);
	if (ret->n && ret->n <= PROTO_MAX_URI_BYTES)
		return 0;
	err_set(&e, ERR_INVALID,
		"Invalid params: uri must be a string of at most %d bytes",
		PROTO_MAX_URI_BYTES);
	err_fix(&e, "send the uri of a resource, as resources/list names them");
	refuse_params(c, &e);
	return -1;
}

/* Over PROTO_QUOTE_BYTES only data has all of the URI. */
static void refuse_read(const struct proto_ctx *c, struct sv uri, struct err *e)
{
	int code = RPC_INTERNAL_ERROR;
	AUTO_BUF extra = {0};
	struct jw w;

	if (e->code == ERR_NOT_FOUND) {
		code = c->era == PROTO_MODERN ? RPC_INVALID_PARAMS
					      : RPC_RESOURCE_NOT_FOUND;
		err_clear(e);
		err_set(e, ERR_NOT_FOUND, "Resource not found: %.*s", PROTO_QUOTE(uri));
		err_fix(e, "use a uri of resources/list; what has expired is gone");
	} else if (e->code == ERR_INVALID) {
		code = RPC_INVALID_PARAMS;
	}
	buf_init(&extra, 8 * (size_t)PROTO_MAX_URI_BYTES);
	jw_init(&w, &extra);
	jw_kstr(&w, "uri", uri);
	proto_fail(c, code, e, buf_view(&extra));
}

void proto_on_resources_read(struct proto_ctx *c)
{
	const struct tool_env env = proto_peer_env(c->p);
	const struct resource_source *src;
	struct err e = {0};
	struct sv uri;
	AUTO_BUF b = {0};
	struct jw w;

	if (uri_of(c, &uri))
		return;
	src = proto_source_of(c->s, uri);
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "contents");
	jw_arr(&w);
	if (!src)
		err_set(&e, ERR_NOT_FOUND, "no such resource");
	if (!src || src->read(&env, uri, &w, &e)) {
		refuse_read(c, uri, &e);
		return;
	}
	jw_arr_end(&w);
	proto_write_cache(&w, c->rev, 0);
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_reply(c, &b);
}

/* --- completion -------------------------------------------------------------------------------- */

struct values {
	struct jw w;
	struct buf b;
	unsigned n;
	bool more;
};

static void put_value(void *arg, struct sv value)
{
	struct values *v = arg;

	if (v->n < MAX_VALUES)
		jw_str(&v->w, value);
	else
		v->more = true;
	v->n += v->n < MAX_VALUES;
}

static void answer_values(const struct proto_ctx *c, const struct values *v)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_RESULT_BYTES + PROTO_MAX_LOG_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "completion");
	jw_obj(&w);
	jw_kraw(&w, "values", buf_view(&v->b));
	if (!v->more)
		jw_kint(&w, "total", v->n);
	jw_kbool(&w, "hasMore", v->more);
	jw_obj_end(&w);
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	if (v->b.failed)
		b.failed = true;
	proto_reply(c, &b);
}

struct wanted {
	struct sv name, value; /* of the argument to complete */
};

/* 0; -1: there is no such prompt. */
static int complete_prompt(const struct proto_ctx *c, const struct cJSON *ref,
			   const struct wanted *want, struct values *v)
{
	const struct tool_env env = proto_peer_env(c->p);
	const struct proto_item *t =
		proto_catalog_prompt(&c->s->catalog, js_str(js_get(ref, "name")));

	if (!t)
		return -1;
	if (t->set->complete_prompt)
		t->set->complete_prompt(&env, sv_of(t->prompt->name), want->name,
					want->value, put_value, v);
	return 0;
}

static int complete_template(const struct proto_ctx *c, const struct cJSON *ref,
			     const struct wanted *want, struct values *v)
{
	const struct tool_env env = proto_peer_env(c->p);
	struct sv uri = js_str(js_get(ref, "uri"));
	const struct resource_source *src;
	const struct resource_template *t;

	for (size_t i = 0; (t = proto_template_at(c->s, i, &src)); i++) {
		if (!sv_eq(sv_of(t->uri_template), uri))
			continue;
		if (src->complete)
			src->complete(&env, t, want->name, want->value, put_value, v);
		return 0;
	}
	/* a plain resource has nothing to complete */
	return uri.n && proto_source_of(c->s, uri) ? 0 : -1;
}

static int complete(const struct proto_ctx *c, const struct wanted *want,
		    struct values *v, struct err *e)
{
	const struct cJSON *ref = js_get(c->m->params, "ref");
	struct sv type = js_str(js_get(ref, "type"));
	int bad = 0;

	if (sv_eq(type, SV("ref/prompt")))
		bad = complete_prompt(c, ref, want, v);
	else if (sv_eq(type, SV("ref/resource")))
		bad = complete_template(c, ref, want, v);
	else {
		err_set(e, ERR_INVALID,
			"Invalid params: ref.type must be ref/prompt or ref/resource");
		return -1;
	}
	if (!bad)
		return 0;
	err_set(e, ERR_NOT_FOUND, "Invalid params: ref names nothing there is");
	return err_fix(
		e,
		"name a prompt of prompts/list or a uriTemplate of resources/templates/list");
}

void proto_on_complete(struct proto_ctx *c)
{
	const struct cJSON *argument = js_get(c->m->params, "argument");
	struct wanted want = {js_str(js_get(argument, "name")),
			      js_str(js_get(argument, "value"))};
	struct values v = {.n = 0};
	struct err e = {0};

	if (!js_is_str(js_get(argument, "name")) ||
	    !js_is_str(js_get(argument, "value"))) {
		err_set(&e, ERR_INVALID,
			"Invalid params: argument must have a name and a value, both strings");
		err_fix(&e, "send argument as {\"name\":\"...\",\"value\":\"\"}");
		refuse_params(c, &e);
		return;
	}
	buf_init(&v.b, PROTO_MAX_RESULT_BYTES);
	jw_init(&v.w, &v.b);
	jw_arr(&v.w);
	if (complete(c, &want, &v, &e)) {
		refuse_params(c, &e);
	} else {
		jw_arr_end(&v.w);
		answer_values(c, &v);
	}
	buf_finish(&v.b);
}
