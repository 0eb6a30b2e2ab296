/* methods.c: the method table of both eras. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

static bool has_tools(const struct proto_catalog *c)
{
	return c->ntools > 0;
}

static bool has_prompts(const struct proto_catalog *c)
{
	return c->nprompts > 0;
}

static bool has_resources(const struct proto_catalog *c)
{
	return c->nsources > 0;
}

static bool has_completions(const struct proto_catalog *c)
{
	return c->completes;
}

/* clang-format off */
#define LEGACY(fn) {[PROTO_LEGACY] = (fn)}
#define MODERN(fn) {[PROTO_MODERN] = (fn)}
#define BOTH(fn) {[PROTO_LEGACY] = (fn), [PROTO_MODERN] = (fn)}
static const struct proto_method methods[] = {
	{"initialize", LEGACY(proto_on_initialize), NULL},
	{"ping", LEGACY(proto_on_ping), NULL},
	{"server/discover", MODERN(proto_on_discover), NULL},
	{"subscriptions/listen", MODERN(proto_on_listen), NULL},
	{"tools/call", BOTH(proto_on_tools_call), has_tools},
	{"tools/list", BOTH(proto_on_tools_list), has_tools},
	{"prompts/get", BOTH(proto_on_prompts_get), has_prompts},
	{"prompts/list", BOTH(proto_on_prompts_list), has_prompts},
	{"resources/list", BOTH(proto_on_resources_list), has_resources},
	{"resources/templates/list", BOTH(proto_on_templates_list), has_resources},
	{"resources/read", BOTH(proto_on_resources_read), has_resources},
	{"resources/subscribe", LEGACY(proto_on_subscribe), has_resources},
	{"resources/unsubscribe", LEGACY(proto_on_unsubscribe), has_resources},
	{"completion/complete", BOTH(proto_on_complete), has_completions},
	{"logging/setLevel", LEGACY(proto_on_set_level), has_tools},
};
/* clang-format on */

static const struct proto_method *find(const struct proto_method *v, size_t n,
				       const struct proto_ctx *c)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].on[c->era] && sv_eq(sv_of(v[i].name), c->m->method))
			return &v[i];
	return NULL;
}

static void refuse_method(const struct proto_ctx *c)
{
	struct err e = {0};
	char names[256] = "";
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (methods[i].on[c->era] && at < sizeof(names) &&
		    (!methods[i].offered || methods[i].offered(&c->s->catalog)))
			at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
					       at ? ", " : "", methods[i].name);
	err_set(&e, ERR_NOT_FOUND, "Method not found: %.*s", PROTO_QUOTE(c->m->method));
	err_fix(&e, "revision %s is served here with: %s", c->rev->name, names);
	proto_fail(c, RPC_METHOD_NOT_FOUND, &e, (struct sv){0});
}

void proto_dispatch(struct proto_ctx *c)
{
	const struct proto_method *m = find(methods, ARRAY_LEN(methods), c);

	if (!m)
		m = find(proto_task_methods, proto_task_methods_count, c);
	if (m && (!m->offered || m->offered(&c->s->catalog)))
		m->on[c->era](c);
	else
		refuse_method(c);
}

static const struct {
	const char *name;
	proto_method_fn *on;
} notifications[] = {
	{"notifications/cancelled", proto_on_cancelled},
	{"notifications/initialized", proto_on_initialized},
};

/* Notifications are never answered, whatever they say (JSON-RPC 2.0, section 4.1). Those not
 * listed, notifications/roots/list_changed among them, change nothing here. */
void proto_notify(struct proto_ctx *c)
{
	for (size_t i = 0; i < ARRAY_LEN(notifications); i++)
		if (sv_eq(sv_of(notifications[i].name), c->m->method))
			notifications[i].on(c);
}
