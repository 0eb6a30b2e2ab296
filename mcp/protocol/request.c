/* request.c: the requests in flight: their table, their end, their cancellation.
 *
 * Theory of operation. A request is unlinked and freed in one place, proto_request_end, which also
 * gives its sink the one end it must have. Cancelling a request ends it at once without an answer:
 * its id is free, nothing more can be sent for it. Its call goes on by itself until the tool has
 * answered, because the tool holds a pointer into it; that answer finds no request and is dropped.
 *
 * A transport may free the peer from within the end of a sink. So the peer is held there. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

int proto_id_key(const struct rpc_msg *m, const struct cJSON *id, struct buf *ret)
{
	if (js_is_str(id)) {
		/* "\u0061" and "a" are one id */
		json_quote(ret, js_str(id));
		return ret->failed ? -1 : 0;
	}
	return rpc_scalar_text(m, id, ret);
}

struct proto_request *proto_request_find(struct proto_peer *p, struct sv key)
{
	for (struct proto_request *r = p->requests; r; r = r->next)
		if (sv_eq(buf_view(&r->key), key))
			return r;
	return NULL;
}

static void release(struct proto_request *r)
{
	if (!r)
		return;
	buf_finish(&r->id);
	buf_finish(&r->key);
	buf_finish(&r->token);
	mem_free(r);
}

static void read_token(struct proto_request *r, const struct proto_ctx *c)
{
	const struct cJSON *token = js_get(c->meta, "progressToken");

	if (token && rpc_scalar_text(c->m, token, &r->token))
		buf_reset(&r->token);
}

struct proto_request *proto_request_new(struct proto_ctx *c,
					enum proto_request_kind kind)
{
	struct proto_peer *p = c->p;
	struct proto_request *r = mem_zalloc(sizeof(*r));
	struct err e = {0};

	if (r) {
		buf_init(&r->id, 2 * RPC_MAX_ID_BYTES);
		buf_init(&r->key, 2 * RPC_MAX_ID_BYTES);
		buf_init(&r->token, 2 * RPC_MAX_ID_BYTES);
		buf_sv(&r->id, c->m->id);
		buf_sv(&r->key, c->key);
	}
	if (!r || r->id.failed || r->key.failed) {
		release(r);
		err_set(&e, ERR_LIMIT, "no memory for the request");
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return NULL;
	}
	r->peer = p;
	r->kind = kind;
	r->rev = c->rev;
	r->sink = c->sink;
	r->caps = c->caps;
	r->log_level = proto_log_level(js_str(js_get(c->meta, PROTO_META_LOG)));
	read_token(r, c);
	r->next = p->requests;
	if (r->next)
		r->next->prev = r;
	p->requests = r;
	if (kind == PROTO_LISTEN) {
		p->listens++;
		proto_account_add(c->s, p->account, PROTO_USE_LISTENS, 1);
		proto_watch_init(&r->watch, p, r);
	}
	c->taken = r;
	return r;
}

static void unlink_request(struct proto_request *r)
{
	struct proto_peer *p = r->peer;

	if (r->prev)
		r->prev->next = r->next;
	else
		p->requests = r->next;
	if (r->next)
		r->next->prev = r->prev;
	if (r->kind != PROTO_LISTEN)
		return;
	p->listens--;
	proto_account_sub(p->server, p->account, PROTO_USE_LISTENS, 1);
	proto_tasks_unlisten(r);
	proto_watch_finish(&r->watch);
}

void proto_request_end(struct proto_request *r)
{
	struct proto_peer *p = r->peer;
	struct proto_sink *sink = r->sink;

	proto_peer_hold(p);
	unlink_request(r);
	if (r->call)
		r->call->request = NULL;
	release(r);
	if (sink)
		sink->end(sink);
	proto_peer_release(p);
}

void proto_request_cancel(struct proto_request *r, bool with_end)
{
	struct proto_peer *p = r->peer;
	struct proto_call *call = r->call;

	proto_peer_hold(p);
	if (!with_end)
		r->sink = NULL;
	if (call)
		proto_asks_drop(call);
	if (r->on_cancel)
		r->on_cancel(r);
	proto_request_end(r);
	if (call)
		proto_call_cancel(call);
	proto_peer_release(p);
}

/* From the start again after each: a tool may end other calls from within its cancel. */
void proto_request_cancel_all(struct proto_peer *p, bool with_end)
{
	proto_peer_hold(p);
	while (p->requests)
		proto_request_cancel(p->requests, with_end);
	proto_peer_release(p);
}

/* Unknown ids are ignored: the answer and the cancellation may have crossed. */
void proto_on_cancelled(struct proto_ctx *c)
{
	struct proto_request *r;
	AUTO_BUF key = {0};

	buf_init(&key, 2 * RPC_MAX_ID_BYTES);
	if (proto_id_key(c->m, js_get(c->m->params, "requestId"), &key))
		return;
	r = proto_request_find(c->p, buf_view(&key));
	if (r)
		proto_request_cancel(r, true);
}

struct proto_request *proto_request_of_sink(const struct proto_peer *p,
					    const struct proto_sink *sink)
{
	struct proto_request *r = p->requests;

	while (r && r->sink != sink)
		r = r->next;
	return r;
}

void proto_sink_gone(struct proto_peer *p, struct proto_sink *sink)
{
	proto_peer_hold(p);
	for (struct proto_request *r; (r = proto_request_of_sink(p, sink));)
		proto_request_cancel(r, false);
	proto_batches_gone(p, sink);
	if (p->standalone == sink)
		p->standalone = NULL;
	proto_peer_release(p);
}
