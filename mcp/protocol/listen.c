/* listen.c: subscriptions: subscriptions/listen, and resources/subscribe of the legacy era. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

static const struct {
	const char *name;
	unsigned kind;
} filters[] = {
	{"toolsListChanged", PROTO_WATCH_TOOLS},
	{"promptsListChanged", PROTO_WATCH_PROMPTS},
	{"resourcesListChanged", PROTO_WATCH_RESOURCES},
};

static bool offered(const struct proto_server *s, unsigned kind)
{
	switch (kind) {
	case PROTO_WATCH_TOOLS:
		return s->catalog.ntools > 0;
	case PROTO_WATCH_PROMPTS:
		return s->catalog.nprompts > 0;
	default:
		return s->catalog.nsources > 0;
	}
}

/* Whether a resource is there is not looked at: it may come, and to tell would betray those of
 * others. */
static void take_filter(struct proto_request *r, const struct cJSON *wanted)
{
	const struct proto_server *s = r->peer->server;
	const struct cJSON *uri;
	unsigned looked_at = 0;

	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		if (js_is_true(js_get(wanted, filters[i].name)) &&
		    offered(s, filters[i].kind))
			r->watch.want |= filters[i].kind;
	if (!s->catalog.nsources)
		return;
	cJSON_ArrayForEach(uri, js_get(wanted, "resourceSubscriptions"))
	{
		/* those that are too many are not honoured, nor even looked at */
		if (looked_at++ == PROTO_MAX_WATCHED)
			break;
		proto_watch_add(&r->watch, js_str(uri), NULL);
	}
}

static void write_honoured(struct proto_request *r, const struct cJSON *wanted,
			   struct jw *w)
{
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		if (r->watch.want & filters[i].kind)
			jw_kbool(w, filters[i].name, true);
	if (r->watch.nuris) {
		jw_key(w, "resourceSubscriptions");
		jw_arr(w);
		for (unsigned i = 0; i < r->watch.nuris; i++)
			jw_str(w, buf_view(&r->watch.uris[i].uri));
		jw_arr_end(w);
	}
	proto_tasks_listen(r, wanted, w);
	jw_obj_end(w);
}

static void acknowledge(struct proto_request *r, const struct cJSON *wanted)
{
	AUTO_BUF params = {0};
	struct jw w;

	buf_init(&params, PROTO_MAX_RESULT_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	jw_key(&w, "notifications");
	write_honoured(r, wanted, &w);
	jw_key(&w, "_meta");
	jw_obj(&w);
	jw_kraw(&w, PROTO_META_SUBSCRIPTION, buf_view(&r->id));
	jw_obj_end(&w);
	jw_obj_end(&w);
	proto_request_notify(r, "notifications/subscriptions/acknowledged", &params);
}

static int check_filter(const struct cJSON *wanted, struct err *e)
{
	const struct cJSON *uris = js_get(wanted, "resourceSubscriptions"), *x;

	if (wanted && !cJSON_IsObject(wanted)) {
		err_set(e, ERR_INVALID,
			"Invalid params: notifications must be an object");
		return err_fix(
			e,
			"send notifications as an object, e.g. {\"toolsListChanged\":true}");
	}
	if (uris && !cJSON_IsArray(uris))
		return err_set(
			e, ERR_INVALID,
			"Invalid params: resourceSubscriptions must be an array of URIs");
	cJSON_ArrayForEach(x, uris)
	{
		if (!js_is_str(x))
			return err_set(
				e, ERR_INVALID,
				"Invalid params: resourceSubscriptions must be an array of URIs");
	}
	return 0;
}

static int check_room(const struct proto_ctx *c, struct err *e)
{
	if (c->s->draining)
		return err_set(e, ERR_BUSY, "the server is about to end");
	if (c->p->listens < PROTO_MAX_LISTENS &&
	    proto_account_has(c->s, c->p->account, PROTO_USE_LISTENS, 1))
		return 0;
	err_set(e, ERR_LIMIT, "too many subscriptions are open already");
	return err_fix(e, "cancel one of them first");
}

void proto_on_listen(struct proto_ctx *c)
{
	const struct cJSON *wanted = js_get(c->m->params, "notifications");
	struct proto_request *r;
	struct err e = {0};

	if (check_filter(wanted, &e)) {
		proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
		return;
	}
	if (proto_tasks_check_listen(c, wanted))
		return;
	if (check_room(c, &e)) {
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return;
	}
	r = proto_request_new(c, PROTO_LISTEN);
	if (!r)
		return;
	take_filter(r, wanted);
	if (r->sink->open)
		r->sink->open(r->sink);
	acknowledge(r, wanted);
}

void proto_listen_end(struct proto_request *r)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, 4 * (size_t)RPC_MAX_ID_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "resultType", SV("complete"));
	jw_key(&w, "_meta");
	jw_obj(&w);
	jw_key(&w, PROTO_META_SERVER);
	proto_write_server_info(&w, r->rev);
	jw_kraw(&w, PROTO_META_SUBSCRIPTION, buf_view(&r->id));
	jw_obj_end(&w);
	jw_obj_end(&w);
	proto_request_reply(r, &b);
	proto_request_end(r);
}

/* --- the legacy era ---------------------------------------------------------------------------- */

static void reply_nothing(const struct proto_ctx *c)
{
	AUTO_BUF b = {0};

	buf_init(&b, 16);
	buf_str(&b, "{}");
	proto_reply(c, &b);
}

void proto_on_subscribe(struct proto_ctx *c)
{
	struct err e = {0};

	if (proto_watch_add(&c->p->watch, js_str(js_get(c->m->params, "uri")), &e))
		proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
	else
		reply_nothing(c);
}

void proto_on_unsubscribe(struct proto_ctx *c)
{
	struct sv uri = js_str(js_get(c->m->params, "uri"));
	struct err e = {0};

	if (uri.n) {
		proto_watch_drop(&c->p->watch, uri);
		reply_nothing(c);
		return;
	}
	err_set(&e, ERR_INVALID, "Invalid params: uri must be a string");
	err_fix(&e, "send the uri that was subscribed to");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
}
