/* h2_heap.c: the memory of an nghttp2 session, so that it can be given back without asking nghttp2.
 *
 * nghttp2 1.52 is not sound once an allocation has failed: nghttp2_submit_data frees an item that a
 * stream keeps, and nghttp2_session_del frees it again. So a session that ran out of memory is not
 * used any more, not even to end it: its connection is doomed and its blocks are freed from the list
 * they are in. */
#include "mcp/http/h2.h"

#include "sandbox/base/mem.h"

enum { LARGE_BYTES = 16 << 10 }; /* its buffer for a frame */

/* in front of each block; its alignment is that of malloc */
struct h2_block {
	struct h2_block *prev, *next;
} __attribute__((aligned(16)));

static void *linked(struct h2 *h, struct h2_block *b)
{
	if (!b) {
		h->oom = true;
		conn_doom(h->c);
		return NULL;
	}
	*b = (struct h2_block){NULL, h->blocks};
	if (h->blocks)
		h->blocks->prev = b;
	h->blocks = b;
	return b + 1;
}

static struct h2_block *unlinked(struct h2 *h, void *p)
{
	struct h2_block *b = (struct h2_block *)p - 1;

	if (b->prev)
		b->prev->next = b->next;
	else
		h->blocks = b->next;
	if (b->next)
		b->next->prev = b->prev;
	return b;
}

static bool fits(size_t n)
{
	return n <= SIZE_MAX - sizeof(struct h2_block);
}

static void *heap_alloc(size_t n, void *arg)
{
	void *p = linked(arg, fits(n) ? mem_alloc(sizeof(struct h2_block) + n) : NULL);

	if (p && n >= LARGE_BYTES)
		pages_release(p, n);
	return p;
}

static void *heap_calloc(size_t n, size_t size, void *arg)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all) || !fits(all))
		return linked(arg, NULL);
	return linked(arg, mem_zalloc(sizeof(struct h2_block) + all));
}

static void heap_free(void *p, void *arg)
{
	if (p)
		mem_free(unlinked(arg, p));
}

static void *heap_realloc(void *p, size_t n, void *arg)
{
	struct h2_block *old, *b;

	if (!p)
		return heap_alloc(n, arg);
	old = unlinked(arg, p);
	b = fits(n) ? mem_realloc(old, sizeof(*b) + n) : NULL;
	if (b)
		return linked(arg, b);
	linked(arg, old);
	return linked(arg, NULL);
}

nghttp2_mem h2_heap(struct h2 *h)
{
	return (nghttp2_mem){h, heap_alloc, heap_free, heap_calloc, heap_realloc};
}

void h2_heap_finish(struct h2 *h)
{
	while (h->blocks)
		mem_free(unlinked(h, h->blocks + 1));
}
