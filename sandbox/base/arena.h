/* arena.h: one request's memory; everything in it dies at once.
 *
 * arena_finish (or arena_reset) frees all. A ceiling in bytes is given at birth; past it, or
 * without memory, allocation returns NULL. Memory is zeroed and aligned for any type. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "sandbox/base/sv.h"

struct arena_chunk;
struct arena {
	struct arena_chunk *chunks;	/* owned, newest first */
	size_t used, max;		/* bytes, over all chunks */
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_finish(struct arena *a);
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);
char *arena_strdup(struct arena *a, struct sv s);	/* NUL-terminated copy */

#endif
