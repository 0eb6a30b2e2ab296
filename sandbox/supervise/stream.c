/* stream.c: one captured stream: its head, its tail, its length. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/stream.h"

void stream_init(struct sup_stream *s)
{
	*s = (struct sup_stream){.total = 0};
	buf_init(&s->head, SUP_HEAD_BYTES);
}

void stream_finish(struct sup_stream *s)
{
	buf_finish(&s->head);
	mem_free(s->tail);
	s->tail = NULL;
}

static void add_tail(struct sup_stream *s, struct sv bytes)
{
	if (!s->tail)
		s->tail = mem_alloc(SUP_TAIL_BYTES);
	if (!s->tail)
		return; /* the count still tells how much is missing */
	if (bytes.n > SUP_TAIL_BYTES)
		bytes = (struct sv){bytes.p + (bytes.n - SUP_TAIL_BYTES),
				    SUP_TAIL_BYTES};
	while (bytes.n) {
		size_t k = SUP_TAIL_BYTES - s->tail_at;

		k = k < bytes.n ? k : bytes.n;
		memcpy(s->tail + s->tail_at, bytes.p, k);
		s->tail_at = (s->tail_at + k) % SUP_TAIL_BYTES;
		s->tail_n =
			s->tail_n + k < SUP_TAIL_BYTES ? s->tail_n + k : SUP_TAIL_BYTES;
		bytes.p += k, bytes.n -= k;
	}
}

void stream_add(struct sup_stream *s, struct sv bytes)
{
	size_t room = SUP_HEAD_BYTES - s->head.n;
	size_t k = bytes.n < room ? bytes.n : room;

	s->total += bytes.n;
	buf_add(&s->head, bytes.p, s->head.failed ? 0 : k);
	if (bytes.n > k)
		add_tail(s, (struct sv){bytes.p + k, bytes.n - k});
}

uint64_t sup_stream_text(const struct sup_stream *s, struct buf *head, struct buf *tail)
{
	size_t start = s->tail_n < SUP_TAIL_BYTES ? 0 : s->tail_at;

	buf_sv(head, buf_view(&s->head));
	if (s->tail_n) {
		size_t first = s->tail_n < SUP_TAIL_BYTES - start
				       ? s->tail_n
				       : SUP_TAIL_BYTES - start;

		buf_add(tail, s->tail + start, first);
		buf_add(tail, s->tail, s->tail_n - first);
	}
	return s->total - s->head.n - s->tail_n;
}
