/* events.c: SSE frames, and the ring of those a client may come back for. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/mem.h"

#include <sodium.h>

#define HEAD_BYTES 96 /* before the message: event, id, data */

struct event {
	struct event *next;
	uint64_t seq;
	size_t n;
	char json[];
};

/* --- frames ------------------------------------------------------------------------------------- */

/* In one piece where there is memory for it: one chunk, one frame, one record. */
static void write_frame(struct http_exchange *x, struct sv head, struct sv json)
{
	AUTO_BUF b = {0};

	buf_init(&b, head.n + json.n + 2);
	buf_sv(&b, head);
	buf_sv(&b, json);
	buf_str(&b, "\n\n");
	if (!b.failed) {
		http_stream_write(x, buf_view(&b));
		return;
	}
	http_stream_write(x, head);
	http_stream_write(x, json);
	http_stream_write(x, SV("\n\n"));
}

void event_write(struct http_exchange *x, const char *tag, uint64_t seq, struct sv json)
{
	char head[HEAD_BYTES];
	int n;

	if (tag)
		n = snprintf(head, sizeof(head),
			     "event: message\nid: %s-%llu\ndata: ", tag,
			     (unsigned long long)seq);
	else
		n = snprintf(head, sizeof(head), "event: message\ndata: ");
	write_frame(x, (struct sv){head, (size_t)n}, json);
}

void event_write_priming(struct http_exchange *x, const char *tag)
{
	char text[HEAD_BYTES];
	int n = snprintf(text, sizeof(text), "id: %s-0\nretry: %d\ndata: \n\n", tag,
			 RETRY_MS);

	http_stream_write(x, (struct sv){text, (size_t)n});
}

/* --- the ring ----------------------------------------------------------------------------------- */

void ring_init(struct ring *r)
{
	*r = (struct ring){.next = 1};
}

const char *ring_tag(struct ring *r)
{
	uint8_t tag[(TAG_SIZE - 1) / 2];

	if (!r->tag[0]) {
		randombytes_buf(tag, sizeof(tag));
		sodium_bin2hex(r->tag, sizeof(r->tag), tag, sizeof(tag));
	}
	return r->tag;
}

static void drop_first(struct ring *r, size_t *all, size_t *of_session)
{
	struct event *e = r->first;
	const size_t n = sizeof(*e) + e->n;

	r->first = e->next;
	if (!r->first)
		r->last = NULL;
	r->n--;
	r->bytes -= n;
	*all -= n;
	*of_session -= n;
	mem_free(e);
}

void ring_clear(struct ring *r, size_t *all, size_t *of_session)
{
	while (r->first)
		drop_first(r, all, of_session);
}

/* What is newest is worth most: the answer comes last. */
static bool is_full(const struct ring *r, size_t more, size_t all, size_t of_session)
{
	return r->n >= RING_EVENTS || r->bytes + more > RING_BYTES ||
	       of_session + more > SESSION_RING_BYTES || all + more > ALL_RING_BYTES;
}

void ring_add(struct ring *r, struct sv json, size_t *all, size_t *of_session)
{
	const size_t n = sizeof(struct event) + json.n;
	struct event *e;

	while (r->first && is_full(r, n, *all, *of_session))
		drop_first(r, all, of_session);
	r->next++;
	if (*of_session + n > SESSION_RING_BYTES || *all + n > ALL_RING_BYTES)
		return;
	e = mem_alloc(n);
	if (!e)
		return;
	*e = (struct event){.seq = r->next - 1, .n = json.n};
	memcpy(e->json, json.p, json.n);
	if (r->last)
		r->last->next = e;
	else
		r->first = e;
	r->last = e;
	r->n++;
	r->bytes += n;
	*all += n;
	*of_session += n;
}

void ring_replay(struct ring *r, uint64_t after, struct http_exchange *x)
{
	for (const struct event *e = r->first; e; e = e->next)
		if (e->seq > after)
			event_write(x, ring_tag(r), e->seq, (struct sv){e->json, e->n});
}

bool ring_has_after(const struct ring *r, uint64_t seq)
{
	return r->last && r->last->seq > seq;
}

int ring_parse_id(struct sv id, struct sv *ret_tag, uint64_t *ret_seq)
{
	ptrdiff_t dash = sv_find(id, '-');
	uint64_t seq;

	if (dash != TAG_SIZE - 1 ||
	    sv_to_u64((struct sv){id.p + dash + 1, id.n - (size_t)dash - 1}, &seq))
		return -1;
	*ret_tag = (struct sv){id.p, (size_t)dash};
	*ret_seq = seq;
	return 0;
}
