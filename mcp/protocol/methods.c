/* methods.c: the method table of both eras, and the methods that need nothing but an answer. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

#define MAX_RESULT_BYTES ((size_t)4 << 20)

static void on_initialize(const struct proto_ctx *c)
{
	const struct cJSON *asked = js_get(c->m->params, "protocolVersion");
	struct err e = {0};
	AUTO_BUF b = {0};
	struct jw w;

	if (!js_is_str(asked)) {
		err_set(&e, ERR_INVALID,
			"Invalid params: protocolVersion must be a string");
		err_fix(&e, "send initialize with protocolVersion, e.g. \"%s\"",
			proto_revision_latest(PROTO_LEGACY)->name);
		proto_send_error(c->p, c->m->id, RPC_INVALID_PARAMS, &e,
				 (struct sv){0});
		return;
	}
	c->p->legacy = proto_revision_find(PROTO_LEGACY, js_str(asked));
	if (!c->p->legacy)
		c->p->legacy = proto_revision_latest(PROTO_LEGACY);
	buf_init(&b, MAX_RESULT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "protocolVersion", sv_of(c->p->legacy->name));
	jw_key(&w, "capabilities");
	proto_write_capabilities(&w);
	jw_key(&w, "serverInfo");
	proto_write_server_info(&w, c->p->legacy);
	jw_kstr(&w, "instructions", sv_of(proto_instructions));
	jw_obj_end(&w);
	proto_send_result(c->p, c->m->id, &b);
}

static void on_ping(const struct proto_ctx *c)
{
	AUTO_BUF b = {0};

	buf_init(&b, 16);
	buf_str(&b, "{}");
	proto_send_result(c->p, c->m->id, &b);
}

static void on_discover(const struct proto_ctx *c)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, MAX_RESULT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	/* A client that picked a legacy revision here would still need initialize. */
	jw_key(&w, "supportedVersions");
	proto_revision_list(&w, PROTO_MODERN);
	jw_key(&w, "capabilities");
	proto_write_capabilities(&w);
	jw_kstr(&w, "instructions", sv_of(proto_instructions));
	proto_write_cache(&w, c->rev);
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_send_result(c->p, c->m->id, &b);
}

static void on_tools_list(const struct proto_ctx *c)
{
	const struct cJSON *cursor = js_get(c->m->params, "cursor");
	struct err e = {0};
	AUTO_BUF b = {0};
	struct jw w;

	if (cursor && !cJSON_IsNull(cursor)) {
		err_set(&e, ERR_INVALID,
			"Invalid params: cursor is none that was handed out");
		err_fix(&e,
			"call tools/list without a cursor: all tools are on one page");
		proto_send_error(c->p, c->m->id, RPC_INVALID_PARAMS, &e,
				 (struct sv){0});
		return;
	}
	buf_init(&b, MAX_RESULT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "tools");
	proto_catalog_list(&c->p->catalog, c->rev, &w);
	proto_write_cache(&w, c->rev);
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_send_result(c->p, c->m->id, &b);
}

typedef void method_fn(const struct proto_ctx *c);

/* An era that does not know a method has no function in its column. */
static const struct {
	const char *name;
	method_fn *on[PROTO_ERA_COUNT];
} methods[] = {
	{"initialize", {[PROTO_LEGACY] = on_initialize}},
	{"ping", {[PROTO_LEGACY] = on_ping}},
	{"server/discover", {[PROTO_MODERN] = on_discover}},
	{"subscriptions/listen", {[PROTO_MODERN] = proto_on_listen}},
	{"tools/call",
	 {[PROTO_LEGACY] = proto_on_tools_call, [PROTO_MODERN] = proto_on_tools_call}},
	{"tools/list",
	 {[PROTO_LEGACY] = on_tools_list, [PROTO_MODERN] = on_tools_list}},
};

static void refuse_method(const struct proto_ctx *c)
{
	struct err e = {0};
	char names[128] = "";
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].on[c->rev->era] && at < sizeof(names))
			at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
					       at ? ", " : "", methods[i].name);
	err_set(&e, ERR_NOT_FOUND, "Method not found: %.*s", PROTO_QUOTE(c->m->method));
	err_fix(&e, "revision %s is served here with: %s", c->rev->name, names);
	proto_send_error(c->p, c->m->id, RPC_METHOD_NOT_FOUND, &e, (struct sv){0});
}

void proto_dispatch(const struct proto_ctx *c)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		method_fn *fn = methods[i].on[c->rev->era];

		if (fn && sv_eq(sv_of(methods[i].name), c->m->method)) {
			fn(c);
			return;
		}
	}
	refuse_method(c);
}

static const struct {
	const char *name;
	method_fn *on;
} notifications[] = {
	{"notifications/cancelled", proto_on_cancelled},
};

/* Notifications are never answered, whatever they say (JSON-RPC 2.0, section 4.1). Those not
 * listed, notifications/initialized among them, change nothing here. */
void proto_notify(const struct proto_ctx *c)
{
	for (size_t i = 0; i < ARRAY_LEN(notifications); i++)
		if (sv_eq(sv_of(notifications[i].name), c->m->method))
			notifications[i].on(c);
}
