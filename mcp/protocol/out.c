/* out.c: messages out: which sink, and the HTTP status of a response that begins with one.
 *
 * The statuses are those of the reference servers: in the modern era an error that concerns the
 * message as such has its own, so that a proxy sees it too; what a method found out is 200. */
#include "mcp/protocol/internal.h"

static unsigned status_of(enum proto_era era, int code)
{
	if (era == PROTO_LEGACY)
		return 200;
	switch (code) {
	case RPC_METHOD_NOT_FOUND:
		return 404;
	case RPC_PARSE_ERROR:
	case RPC_INVALID_REQUEST:
	case RPC_HEADER_MISMATCH:
	case RPC_MISSING_CAPABILITY:
	case RPC_UNSUPPORTED_VERSION:
		return 400;
	default:
		return 200;
	}
}

void proto_send(const struct proto_peer *p, struct proto_sink *sink,
		enum proto_message_kind kind, const struct buf *b, unsigned http_status)
{
	struct proto_message m = {
		.kind = kind, .json = buf_view(b), .http_status = http_status};

	if (!p->silent && !b->failed && sink)
		sink->send(sink, &m);
}

struct to {
	const struct proto_peer *peer;
	struct proto_sink *sink;
	struct sv id;
	unsigned status;
};

static void send_error(const struct to *to, int code, const struct err *e,
		       struct sv extra)
{
	AUTO_BUF b = {0};

	buf_init(&b, PROTO_MAX_OUT_BYTES);
	rpc_write_error(&b, to->id, (enum rpc_code)code, e, extra);
	proto_send(to->peer, to->sink, PROTO_ERROR, &b, to->status);
}

static void send_result(const struct to *to, const struct buf *result)
{
	struct err e = {0};
	AUTO_BUF b = {0};

	buf_init(&b, PROTO_MAX_OUT_BYTES + 2 * RPC_MAX_ID_BYTES);
	if (!result->failed)
		rpc_write_result(&b, to->id, buf_view(result));
	if (!result->failed && !b.failed) {
		proto_send(to->peer, to->sink, PROTO_RESULT, &b, 200);
		return;
	}
	err_set(&e, ERR_INTERNAL,
		"the answer did not fit into %zu bytes or into memory",
		PROTO_MAX_OUT_BYTES);
	send_error(to, RPC_INTERNAL_ERROR, &e, (struct sv){0});
}

static struct to to_sender(const struct proto_ctx *c, unsigned status)
{
	return (struct to){c->p, c->sink, c->m->id, status};
}

void proto_fail(const struct proto_ctx *c, int code, const struct err *e,
		struct sv extra_data_members)
{
	struct to to = to_sender(c, status_of(c->era, code));

	send_error(&to, code, e, extra_data_members);
}

void proto_refuse(const struct proto_ctx *c, int code, const struct err *e,
		  struct sv extra_data_members)
{
	struct to to = to_sender(c, 400);

	if (c->in && c->in->bad)
		to.id = buf_view(&c->in->fault.id_text);
	send_error(&to, code, e, extra_data_members);
}

void proto_reply(const struct proto_ctx *c, const struct buf *b)
{
	struct to to = to_sender(c, 200);

	send_result(&to, b);
}

static struct to to_request(const struct proto_request *r, unsigned status)
{
	return (struct to){r->peer, r->sink, buf_view(&r->id), status};
}

void proto_request_fail(const struct proto_request *r, int code, const struct err *e,
			struct sv extra_data_members)
{
	struct to to = to_request(r, status_of(r->rev->era, code));

	send_error(&to, code, e, extra_data_members);
}

void proto_request_reply(const struct proto_request *r, const struct buf *result)
{
	struct to to = to_request(r, 200);

	send_result(&to, result);
}

void proto_request_notify(const struct proto_request *r, const char *method,
			  const struct buf *params)
{
	AUTO_BUF b = {0};

	buf_init(&b, PROTO_MAX_OUT_BYTES);
	if (params->failed)
		return;
	rpc_write_notification(&b, method, buf_view(params));
	proto_send(r->peer, r->sink, PROTO_NOTIFICATION, &b, 200);
}

void proto_write_refusal(struct buf *b, struct sv id, int code, const struct err *e)
{
	rpc_write_error(b, id, (enum rpc_code)code, e, (struct sv){0});
}
