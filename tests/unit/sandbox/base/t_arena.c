/* t_arena.c: zeroed, aligned, bounded, gone at once. */
#include "sandbox/base/arena.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <stdalign.h>

static void t_memory(void)
{
	struct arena a;
	bool aligned = true, zeroed = true, apart = true;
	unsigned char *last = NULL;

	arena_init(&a, 1 << 20);
	for (size_t n = 1; n < 300; n++) {
		unsigned char *p = arena_alloc(&a, n);

		aligned = aligned && (uintptr_t)p % alignof(max_align_t) == 0;
		for (size_t i = 0; i < n; i++)
			zeroed = zeroed && !p[i];
		memset(p, 0xa5, n);
		apart = apart && (!last || last[n - 2] == 0xa5);
		last = p;
	}
	ok(aligned, "every block is aligned for any type");
	ok(zeroed, "and zeroed");
	ok(apart, "and none overlaps the one before");
	ok(arena_alloc(&a, 100000), "a block larger than a chunk is given");
	arena_reset(&a);
	ok(!a.used && !a.chunks, "reset gives all back");
	ok(arena_alloc(&a, 0), "nothing is a valid block too");
	arena_finish(&a);
	arena_finish(NULL);
}

static void t_ceiling(void)
{
	struct arena a;

	arena_init(&a, 1024);
	ok(!arena_alloc(&a, 1025) && !arena_alloc(&a, SIZE_MAX) &&
		   !arena_alloc(&a, SIZE_MAX - 8),
	   "past the ceiling there is nothing, near SIZE_MAX nothing wraps");
	ok(arena_alloc(&a, 1024) && !arena_alloc(&a, 1), "up to the ceiling there is");
	arena_finish(&a);
}

static void t_strings(void)
{
	struct arena a;
	char *s;

	arena_init(&a, 1024);
	s = arena_strdup(&a, (struct sv){"abcdef", 3});
	ok(s && !strcmp(s, "abc"), "a view becomes a C string");
	s = arena_strdup(&a, (struct sv){NULL, 0});
	ok(s && !*s, "the empty view an empty one");
	ok(!arena_strdup(&a, (struct sv){"x", SIZE_MAX}),
	   "an impossible length gives none");
	arena_finish(&a);
}

static void t_no_memory(void)
{
	struct arena a;

	arena_init(&a, 1 << 20);
	mem_fail_after(1);
	ok(!arena_alloc(&a, 16) && !a.used,
	   "without memory: NULL, and nothing counted");
	ok(arena_alloc(&a, 16), "and the next one works");
	mem_fail_after(1);
	ok(!arena_strdup(&a, (struct sv){(char[5000]){0}, 5000}),
	   "also a string in a new chunk");
	mem_fail_after(0);
	arena_finish(&a);
}

int main(void)
{
	t_memory();
	t_ceiling();
	t_strings();
	t_no_memory();
	return tap_done();
}
