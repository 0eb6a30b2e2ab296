/* arena.c: chunked bump allocation. */
#include "sandbox/base/arena.h"

#include "sandbox/base/mem.h"

#include <stdalign.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
	*a = (struct arena){.max = max_bytes};
}

void arena_reset(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;

		mem_free(a->chunks);
		a->chunks = next;
	}
	a->used = 0;
}

void arena_finish(struct arena *a)
{
	if (a)
		arena_reset(a);
}

static struct arena_chunk *add_chunk(struct arena *a, size_t n)
{
	size_t size = n > 4096 ? n : 4096;
	struct arena_chunk *c = mem_alloc(sizeof(*c) + size);

	if (!c)
		return NULL;
	c->next = a->chunks;
	c->used = 0;
	c->size = size;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_chunk *c = a->chunks;
	const size_t align = alignof(max_align_t);
	void *p;

	if (n > SIZE_MAX - align)
		return NULL;
	n = (n + align - 1) / align * align;
	if (n > a->max - a->used)
		return NULL;
	if (!c || n > c->size - c->used)
		c = add_chunk(a, n);
	if (!c)
		return NULL;
	p = c->data + c->used;
	c->used += n;
	a->used += n;
	return memset(p, 0, n);
}

char *arena_strdup(struct arena *a, struct sv s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}
