/* ends.c: the two ends of what an ended run printed, as a result shows them. */
#include "sandbox/base/mem.h"
#include "tools/runs.h"

#include <string.h>

/* The ends of a stream that was kept whole. */
static int read_ends(const struct store *s, struct sup_stream *ret)
{
	uint64_t rest;

	if (store_copy(s, 0, SUP_HEAD_BYTES, &ret->head))
		return -1;
	rest = s->kept - ret->head.n;
	ret->tail_n = rest < SUP_TAIL_BYTES ? (size_t)rest : SUP_TAIL_BYTES;
	if (!ret->tail_n)
		return 0;
	ret->tail = mem_alloc(SUP_TAIL_BYTES);
	if (!ret->tail)
		return -1;
	ret->tail_at = ret->tail_n % SUP_TAIL_BYTES;
	return store_read(s, s->kept - ret->tail_n, ret->tail, ret->tail_n) ==
			       ret->tail_n
		       ? 0
		       : -1;
}

static int saved_ends(const struct run *r, int i, struct sup_stream *ret)
{
	const struct buf *tail = &r->tail[i];

	buf_sv(&ret->head, buf_view(&r->head[i]));
	if (tail->n) {
		ret->tail = mem_alloc(SUP_TAIL_BYTES);
		if (!ret->tail)
			return -1;
		memcpy(ret->tail, tail->p, tail->n);
	}
	ret->tail_n = tail->n;
	ret->tail_at = tail->n % SUP_TAIL_BYTES;
	return ret->head.failed ? -1 : 0;
}

int run_streams(const struct run *r, struct sup_stream ret[static RUN_STREAMS],
		struct err *e)
{
	int bad = 0;

	for (int i = 0; i < RUN_STREAMS; i++) {
		ret[i] = (struct sup_stream){.total = r->out[i].total};
		buf_init(&ret[i].head, SUP_HEAD_BYTES);
		bad |= r->out[i].closed ? saved_ends(r, i, &ret[i])
					: read_ends(&r->out[i], &ret[i]);
	}
	return bad ? err_set(e, ERR_LIMIT, "no memory to show the output of %s", r->id)
		   : 0;
}

int run_compiled(const struct run *r, struct sup_stream *ret)
{
	*ret = (struct sup_stream){.total = r->compile_bytes};
	buf_init(&ret->head, SUP_HEAD_BYTES);
	return saved_ends(r, RUN_STREAMS, ret);
}

void run_compiled_finish(struct sup_stream *s)
{
	buf_finish(&s->head);
	mem_free(s->tail);
	s->tail = NULL;
}

void run_streams_finish(struct sup_stream s[static RUN_STREAMS])
{
	for (int i = 0; i < RUN_STREAMS; i++)
		run_compiled_finish(&s[i]);
}
