/* peer.c: one client: its messages in, its life and its end. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

/* --- life -------------------------------------------------------------------------------------- */

static void release(struct proto_peer *p)
{
	proto_batches_finish(p);
	proto_watch_finish(&p->watch);
	if (p->server)
		proto_account_put(p->server, p->account);
	buf_finish(&p->credential);
	buf_finish(&p->principal);
	mem_free(p);
}

struct proto_peer *proto_peer_new(const struct proto_peer_opts *o, struct err *e)
{
	struct proto_server *s = o->server;
	struct proto_peer *p = mem_zalloc(sizeof(*p));

	if (p) {
		p->server = s;
		buf_init(&p->credential, o->credential.n + 1);
		buf_init(&p->principal, o->principal.n + 1);
		buf_sv(&p->credential, o->credential);
		buf_sv(&p->principal, o->principal);
		proto_watch_init(&p->watch, p, NULL);
	}
	if (!p || p->credential.failed || p->principal.failed ||
	    proto_account_get(s, o, &p->account)) {
		if (p)
			release(p);
		err_set(e, ERR_LIMIT, "no memory for another client");
		return NULL;
	}
	p->serial = ++s->last_serial;
	p->standalone = o->standalone;
	p->http = o->http;
	p->nobody = o->nobody;
	p->legacy = proto_revision_latest(PROTO_LEGACY);
	p->log_level = -1;
	p->next = s->peers;
	if (p->next)
		p->next->prev = p;
	s->peers = p;
	return p;
}

int proto_peer_renew(struct proto_peer *p, struct sv credential, struct err *e)
{
	struct buf fresh;

	if (sv_eq(buf_view(&p->credential), credential))
		return 0;
	buf_init(&fresh, credential.n + 1);
	buf_sv(&fresh, credential);
	if (fresh.failed) {
		buf_finish(&fresh);
		return err_set(e, ERR_LIMIT, "no memory for the credential");
	}
	buf_finish(&p->credential);
	p->credential = fresh;
	return 0;
}

void proto_peer_hold(struct proto_peer *p)
{
	p->holds++;
}

void proto_peer_release(struct proto_peer *p)
{
	must(p->holds > 0);
	p->holds--;
	proto_peer_settle(p);
}

void proto_peer_settle(struct proto_peer *p)
{
	struct proto_server *s = p->server;
	void (*idle)(void *arg) = p->on_idle;

	if (p->holds || p->requests || p->call_list)
		return;
	if (!p->dead) {
		p->on_idle = NULL;
		if (idle)
			idle(p->idle_arg);
		return;
	}
	if (p->prev)
		p->prev->next = p->next;
	else
		s->peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	release(p);
	proto_server_settle(s);
}

void proto_peer_close(struct proto_peer *p, void (*on_idle)(void *arg), void *arg)
{
	p->silent = true;
	p->on_idle = on_idle;
	p->idle_arg = arg;
	proto_request_cancel_all(p, true);
}

void proto_peer_free(struct proto_peer *p)
{
	if (!p)
		return;
	p->silent = true;
	p->standalone = NULL;
	p->on_idle = NULL;
	p->dead = true;
	proto_request_cancel_all(p, false);
}

bool proto_peer_busy(const struct proto_peer *p)
{
	return p->call_list != NULL;
}

const char *proto_peer_revision(const struct proto_peer *p)
{
	return p->initialized ? p->legacy->name : "";
}

struct tool_env proto_peer_env(const struct proto_peer *p)
{
	struct tool_env env = p->server->o.env;

	env.credential = buf_view(&p->credential);
	env.principal = buf_view(&p->principal);
	return env;
}

/* --- messages in ------------------------------------------------------------------------------- */

static void refuse_duplicate(const struct proto_ctx *c)
{
	struct err e = {0};

	err_set(&e, ERR_INVALID,
		"Invalid Request: a request with the id %.*s is in flight",
		PROTO_QUOTE(c->m->id));
	err_fix(&e, "give every request an id of its own");
	proto_fail(c, RPC_INVALID_REQUEST, &e, (struct sv){0});
}

static void on_request(struct proto_ctx *c)
{
	struct err e = {0};
	AUTO_BUF key = {0};

	buf_init(&key, 2 * RPC_MAX_ID_BYTES);
	if (proto_id_key(c->m, js_get(c->m->root, "id"), &key)) {
		err_set(&e, ERR_LIMIT, "Invalid Request: the id is too long");
		err_fix(&e, "use a number or a short string");
		proto_refuse(c, RPC_INVALID_REQUEST, &e, (struct sv){0});
		return;
	}
	c->key = buf_view(&key);
	if (proto_request_find(c->p, c->key))
		refuse_duplicate(c);
	else if (!proto_classify(c))
		proto_dispatch(c);
}

static void handle(struct proto_ctx *c)
{
	if (c->in->bad) {
		proto_refuse(c, (int)c->in->fault.code, &c->in->fault.err,
			     (struct sv){0});
		return;
	}
	if (c->era == PROTO_LEGACY && proto_check_legacy_header(c))
		return;
	if (c->m->kind == RPC_REQUEST)
		on_request(c);
	else if (c->m->kind == RPC_NOTIFICATION)
		proto_notify(c);
	else
		proto_on_response(c);
}

void proto_deliver(struct proto_peer *p, struct proto_in *in, struct proto_sink *sink)
{
	struct proto_ctx c = {
		.s = p->server,
		.p = p,
		.in = in,
		.m = &in->msg,
		.era = in->era,
		.meta = js_get(in->msg.params, "_meta"),
		.sink = sink,
	};

	if (in->nbatch && proto_peer_takes(p, in)) {
		proto_batch_deliver(p, in, sink);
		return;
	}
	if (!cJSON_IsObject(c.meta))
		c.meta = NULL;
	proto_peer_hold(p);
	if (!p->silent)
		handle(&c);
	if (!c.taken)
		sink->end(sink);
	proto_peer_release(p);
}

void proto_on_message(struct proto_peer *p, struct sv bytes, struct proto_sink *sink)
{
	struct proto_in in;

	proto_read(bytes, NULL, &in);
	proto_deliver(p, &in, sink);
	proto_in_finish(&in);
}

void proto_on_oversize(struct proto_peer *p, struct sv head, struct sv tail,
		       size_t limit_bytes, struct proto_sink *sink)
{
	struct err e = {0};
	AUTO_BUF b = {0};

	err_set(&e, ERR_LIMIT,
		"Invalid Request: the message is over the limit of %zu bytes",
		limit_bytes);
	err_fix(&e,
		"send less in one message; large input can be made or unpacked by the code itself");
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	rpc_write_error(&b, proto_excerpt_id(head, tail), RPC_INVALID_REQUEST, &e,
			(struct sv){0});
	proto_peer_hold(p);
	proto_send(p, sink, PROTO_ERROR, &b, 413);
	sink->end(sink);
	proto_peer_release(p);
}
