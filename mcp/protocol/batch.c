/* batch.c: many messages in one array: revision 2025-03-26 (basic, "Batching") says that they MUST be
 * taken; the one before and all after it have none.
 *
 * Theory of operation. Each member is read, delivered and answered as a message by itself. Its sink is
 * the batch's, which hands on what comes and ends the one sink of all when each of them has ended. What
 * is answered comes as messages of their own, not as an array: that is allowed over SSE and between
 * lines, and nothing has to wait for the slowest. A member that is modern, or an initialize, makes the
 * whole no batch. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <stddef.h>

struct proto_batch {
	struct proto_sink sink;
	struct proto_peer *peer;
	struct proto_batch *prev, *next;
	struct proto_sink *to;
	unsigned left; /* members not ended, and the delivery itself */
};

void proto_batch_read(struct sv bytes, struct proto_in *in)
{
	struct sv member;
	size_t at = 0;

	in->batch = mem_zalloc(PROTO_MAX_BATCH * sizeof(*in->batch));
	while (in->batch && rpc_batch_next(bytes, &at, &member)) {
		struct proto_in *m = &in->batch[in->nbatch];
		bool good = in->nbatch < PROTO_MAX_BATCH;

		if (good) {
			proto_read(member, in->headers, m);
			in->nbatch++;
			good = m->era == PROTO_LEGACY && !m->initialize && !m->batch;
			in->asks = in->asks || m->asks || m->bad;
		}
		if (good)
			continue;
		while (in->nbatch)
			proto_in_finish(&in->batch[--in->nbatch]);
		break;
	}
	if (in->nbatch)
		return;
	mem_free(in->batch);
	in->batch = NULL;
	in->asks = false;
}

bool proto_peer_takes(const struct proto_peer *p, const struct proto_in *in)
{
	return !in->bad || (in->nbatch && p->initialized && p->legacy->batches);
}

static struct proto_batch *of_sink(struct proto_sink *sink)
{
	return (struct proto_batch *)(void *)((char *)sink -
					      offsetof(struct proto_batch, sink));
}

static void forget(struct proto_batch *b)
{
	*(b->prev ? &b->prev->next : &b->peer->batches) = b->next;
	if (b->next)
		b->next->prev = b->prev;
	mem_free(b);
}

static void on_send(struct proto_sink *sink, const struct proto_message *m)
{
	struct proto_sink *to = of_sink(sink)->to;

	to->send(to, m);
}

static void on_end(struct proto_sink *sink)
{
	struct proto_batch *b = of_sink(sink);
	struct proto_sink *to = b->to;

	if (--b->left)
		return;
	forget(b);
	to->end(to);
}

static void on_open(struct proto_sink *sink)
{
	struct proto_sink *to = of_sink(sink)->to;

	if (to->open)
		to->open(to);
}

static void refuse(struct proto_peer *p, struct proto_sink *sink)
{
	struct err e = {0};
	AUTO_BUF b = {0};

	err_set(&e, ERR_LIMIT, "no memory for a batch");
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	rpc_write_error(&b, (struct sv){0}, RPC_INTERNAL_ERROR, &e, (struct sv){0});
	proto_send(p, sink, PROTO_ERROR, &b, 200);
	sink->end(sink);
}

void proto_batch_deliver(struct proto_peer *p, struct proto_in *in,
			 struct proto_sink *sink)
{
	struct proto_batch *b = mem_zalloc(sizeof(*b));

	proto_peer_hold(p);
	if (!b) {
		refuse(p, sink);
		proto_peer_release(p);
		return;
	}
	*b = (struct proto_batch){
		.sink = {.send = on_send, .end = on_end, .open = on_open},
		.peer = p,
		.next = p->batches,
		.to = sink,
		.left = in->nbatch + 1};
	if (b->next)
		b->next->prev = b;
	p->batches = b;
	/* before anything answers: what takes one message alone is no place for many */
	if (in->asks)
		on_open(&b->sink);
	for (unsigned i = 0; i < in->nbatch; i++)
		proto_deliver(p, &in->batch[i], &b->sink);
	on_end(&b->sink);
	proto_peer_release(p);
}

void proto_batches_gone(struct proto_peer *p, const struct proto_sink *sink)
{
	struct proto_request *r;
	struct proto_batch *b = p->batches, *next;

	for (; b; b = next) {
		next = b->next;
		if (b->to != sink)
			continue;
		while ((r = proto_request_of_sink(p, &b->sink)))
			proto_request_cancel(r, false);
		forget(b);
	}
}

void proto_batches_finish(struct proto_peer *p)
{
	while (p->batches)
		forget(p->batches);
}
