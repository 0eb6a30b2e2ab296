/* read.c: bytes -> a message that knows which era it is of. Nothing is answered here.
 *
 * The order is that of the reference dual-era server: a response is legacy; a modern envelope makes
 * it modern; so does a header that names a modern revision; else it is legacy. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

struct sv proto_version_header(const struct proto_headers *h)
{
	struct sv v = {0};

	if (h)
		h->get(h->arg, "mcp-protocol-version", &v);
	return v;
}

static bool names_modern(const struct proto_headers *h)
{
	struct sv v = proto_version_header(h);

	return v.n && proto_revision_find(PROTO_MODERN, v);
}

static enum proto_era era_of(const struct proto_in *in)
{
	const struct cJSON *meta = js_get(in->msg.params, "_meta");

	if (!in->bad && in->msg.kind == RPC_RESPONSE)
		return PROTO_LEGACY;
	if (js_get(meta, PROTO_META_VERSION) || js_get(meta, PROTO_META_CAPS) ||
	    names_modern(in->headers))
		return PROTO_MODERN;
	/* asked for without an envelope these can still mean nothing else */
	return sv_eq(in->msg.method, SV("server/discover")) ||
			       sv_eq(in->msg.method, SV("subscriptions/listen"))
		       ? PROTO_MODERN
		       : PROTO_LEGACY;
}

void proto_read(struct sv bytes, const struct proto_headers *headers,
		struct proto_in *ret)
{
	*ret = (struct proto_in){.headers = headers};
	ret->bad = rpc_parse(bytes, &ret->msg, &ret->fault) != 0;
	ret->era = era_of(ret);
	ret->initialize = !ret->bad && ret->era == PROTO_LEGACY &&
			  ret->msg.kind == RPC_REQUEST &&
			  sv_eq(ret->msg.method, SV("initialize"));
	ret->asks = !ret->bad && ret->msg.kind == RPC_REQUEST;
	if (ret->bad && ret->fault.batch)
		proto_batch_read(bytes, ret);
}

void proto_in_finish(struct proto_in *in)
{
	for (unsigned i = 0; i < in->nbatch; i++)
		proto_in_finish(&in->batch[i]);
	mem_free(in->batch);
	in->batch = NULL;
	in->nbatch = 0;
	rpc_msg_finish(&in->msg);
	rpc_fault_finish(&in->fault);
}
