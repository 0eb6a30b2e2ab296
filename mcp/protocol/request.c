/* request.c: the requests in flight: their table, their cancellation, and the ones that only
 * listen.
 *
 * Theory of operation. A request is unlinked and freed in one place, proto_request_end: by the
 * tool's answer (toolcall.c), or for a listener by its cancellation. Cancelling a call marks it,
 * silences it and asks the tool; its memory stays until the tool has answered, because the tool
 * holds a pointer into it. A cancelled id is free for reuse at once: its old owner is mute. */
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

struct proto_request *proto_request_find(struct proto *p, struct sv key)
{
	for (struct proto_request *r = p->requests; r; r = r->next)
		if (!r->cancelled && sv_eq(buf_view(&r->key), key))
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

struct proto_request *proto_request_new(const struct proto_ctx *c,
					enum proto_request_kind kind)
{
	struct proto *p = c->p;
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
		proto_send_error(p, c->m->id, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return NULL;
	}
	r->p = p;
	r->kind = kind;
	r->rev = c->rev;
	r->next = p->requests;
	if (r->next)
		r->next->prev = r;
	p->requests = r;
	*(kind == PROTO_CALL ? &p->calls : &p->listens) += 1;
	return r;
}

void proto_request_end(struct proto_request *r)
{
	struct proto *p = r->p;

	if (r->prev)
		r->prev->next = r->next;
	else
		p->requests = r->next;
	if (r->next)
		r->next->prev = r->prev;
	*(r->kind == PROTO_CALL ? &p->calls : &p->listens) -= 1;
	loop_timer_stop(p->o.loop, &r->tick);
	release(r);
	proto_settle(p);
}

void proto_request_cancel(struct proto_request *r)
{
	must(!r->cancelled);
	r->cancelled = true;
	if (r->kind == PROTO_CALL)
		proto_call_cancel(r);
	else
		proto_request_end(r);
}

static struct proto_request *first_alive(const struct proto *p)
{
	struct proto_request *r = p->requests;

	while (r && r->cancelled)
		r = r->next;
	return r;
}

/* From the start again after each: a tool may answer from within its cancel. */
void proto_request_cancel_all(struct proto *p)
{
	for (struct proto_request *r; (r = first_alive(p));)
		proto_request_cancel(r);
}

/* Unknown ids are ignored: the answer and the cancellation may have crossed. */
void proto_on_cancelled(const struct proto_ctx *c)
{
	struct proto_request *r;
	AUTO_BUF key = {0};

	buf_init(&key, 2 * RPC_MAX_ID_BYTES);
	if (proto_id_key(c->m, js_get(c->m->params, "requestId"), &key))
		return;
	r = proto_request_find(c->p, buf_view(&key));
	if (r)
		proto_request_cancel(r);
}

static void acknowledge(const struct proto_request *r)
{
	AUTO_BUF params = {0};
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&params, 3 * RPC_MAX_ID_BYTES);
	buf_init(&b, 4 * RPC_MAX_ID_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	jw_key(&w, "notifications");
	jw_obj(&w);
	jw_obj_end(&w);
	jw_key(&w, "_meta");
	jw_obj(&w);
	jw_kraw(&w, PROTO_META_SUBSCRIPTION, buf_view(&r->id));
	jw_obj_end(&w);
	jw_obj_end(&w);
	rpc_write_notification(&b, "notifications/subscriptions/acknowledged",
			       buf_view(&params));
	proto_send(r->p, &b);
}

/* subscriptions/listen: nothing here ever changes, so the honoured subset is empty whatever was
 * asked; the stream stays open until the client cancels it. */
void proto_on_listen(const struct proto_ctx *c)
{
	const struct cJSON *wanted = js_get(c->m->params, "notifications");
	struct proto_request *r;
	struct err e = {0};

	if (wanted && !cJSON_IsObject(wanted)) {
		err_set(&e, ERR_INVALID,
			"Invalid params: notifications must be an object");
		err_fix(&e,
			"send notifications as an object, e.g. {\"toolsListChanged\":true}");
		proto_send_error(c->p, c->m->id, RPC_INVALID_PARAMS, &e,
				 (struct sv){0});
		return;
	}
	if (c->p->listens >= PROTO_MAX_LISTENS) {
		err_set(&e, ERR_LIMIT, "%d subscriptions are open already",
			PROTO_MAX_LISTENS);
		err_fix(&e, "cancel one of them first");
		proto_send_error(c->p, c->m->id, RPC_INVALID_REQUEST, &e,
				 (struct sv){0});
		return;
	}
	r = proto_request_new(c, PROTO_LISTEN);
	if (r)
		acknowledge(r);
}
