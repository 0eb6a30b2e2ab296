/* proto.c: the connection: messages in and out, its life and its end. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

#define PROGRESS_MS 2000 /* clients give up after 60 s of silence, some after 30 */

void proto_send(struct proto *p, const struct buf *message)
{
	if (!p->silent && !message->failed)
		p->o.send(p->o.arg, buf_view(message));
}

void proto_send_error(struct proto *p, struct sv id, enum rpc_code code,
		      const struct err *e, struct sv extra_data_members)
{
	AUTO_BUF b = {0};

	buf_init(&b, PROTO_MAX_OUT_BYTES);
	rpc_write_error(&b, id, code, e, extra_data_members);
	proto_send(p, &b);
}

void proto_send_result(struct proto *p, struct sv id, const struct buf *result)
{
	struct err e = {0};
	AUTO_BUF b = {0};

	buf_init(&b, PROTO_MAX_OUT_BYTES + 2 * RPC_MAX_ID_BYTES);
	if (!result->failed)
		rpc_write_result(&b, id, buf_view(result));
	if (!result->failed && !b.failed) {
		proto_send(p, &b);
		return;
	}
	err_set(&e, ERR_INTERNAL,
		"the answer did not fit into %zu bytes or into memory",
		PROTO_MAX_OUT_BYTES);
	proto_send_error(p, id, RPC_INTERNAL_ERROR, &e, (struct sv){0});
}

static void refuse_duplicate(const struct proto_ctx *c)
{
	struct err e = {0};

	err_set(&e, ERR_INVALID,
		"Invalid Request: a request with the id %.*s is in flight",
		PROTO_QUOTE(c->m->id));
	err_fix(&e, "give every request an id of its own");
	proto_send_error(c->p, c->m->id, RPC_INVALID_REQUEST, &e, (struct sv){0});
}

static void on_request(struct proto_ctx *c)
{
	struct err e = {0};
	AUTO_BUF key = {0};

	buf_init(&key, 2 * RPC_MAX_ID_BYTES);
	if (proto_id_key(c->m, js_get(c->m->root, "id"), &key)) {
		err_set(&e, ERR_LIMIT, "Invalid Request: the id is too long");
		err_fix(&e, "use a number or a short string");
		proto_send_error(c->p, c->m->id, RPC_INVALID_REQUEST, &e,
				 (struct sv){0});
		return;
	}
	c->key = buf_view(&key);
	if (proto_request_find(c->p, c->key))
		refuse_duplicate(c);
	else if (!proto_classify(c))
		proto_dispatch(c);
}

void proto_on_message(struct proto *p, struct sv bytes)
{
	struct rpc_msg m = {0};
	struct rpc_fault fault = {0};
	struct proto_ctx c = {.p = p, .m = &m};

	if (p->silent)
		return;
	if (rpc_parse(bytes, &m, &fault)) {
		proto_send_error(p, buf_view(&fault.id_text), fault.code, &fault.err,
				 (struct sv){0});
	} else {
		c.meta = js_get(m.params, "_meta");
		if (!cJSON_IsObject(c.meta))
			c.meta = NULL;
		/* responses: nothing was asked, so nothing is expected */
		if (m.kind == RPC_REQUEST)
			on_request(&c);
		else if (m.kind == RPC_NOTIFICATION)
			proto_notify(&c);
	}
	rpc_msg_finish(&m);
	rpc_fault_finish(&fault);
}

void proto_on_oversize(struct proto *p, size_t limit_bytes, struct sv head,
		       struct sv tail)
{
	struct err e = {0};

	err_set(&e, ERR_LIMIT,
		"Invalid Request: the message is over the limit of %zu bytes",
		limit_bytes);
	err_fix(&e,
		"send less in one message; large input can be made or unpacked by the code itself");
	proto_send_error(p, proto_excerpt_id(head, tail), RPC_INVALID_REQUEST, &e,
			 (struct sv){0});
}

struct proto *proto_new(const struct proto_opts *o, struct err *e)
{
	struct proto *p = mem_zalloc(sizeof(*p));

	must(o->max_in_flight > 0);
	if (!p) {
		err_set(e, ERR_LIMIT, "no memory for the connection");
		return NULL;
	}
	p->o = *o;
	if (!p->o.progress_ms)
		p->o.progress_ms = PROGRESS_MS;
	p->legacy = proto_revision_latest(PROTO_LEGACY);
	if (proto_catalog_init(&p->catalog, o, e)) {
		mem_free(p);
		return NULL;
	}
	return p;
}

void proto_settle(struct proto *p)
{
	void (*idle)(void *arg) = p->on_idle;

	if (p->requests)
		return;
	if (p->dead) {
		proto_catalog_finish(&p->catalog);
		mem_free(p);
	} else if (idle) {
		p->on_idle = NULL;
		idle(p->idle_arg);
	}
}

void proto_close(struct proto *p, void (*on_idle)(void *arg), void *arg)
{
	p->silent = true;
	proto_request_cancel_all(p);
	p->on_idle = on_idle;
	p->idle_arg = arg;
	proto_settle(p);
}

void proto_free(struct proto *p)
{
	if (!p)
		return;
	p->silent = true;
	p->on_idle = NULL;
	proto_request_cancel_all(p);
	p->dead = true;
	proto_settle(p);
}
