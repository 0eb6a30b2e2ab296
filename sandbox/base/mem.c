/* mem.c: the heap behind mem.h. */
#include "sandbox/base/mem.h"

#include <malloc.h>

/* the one file that may use what banned.h bans */
#undef malloc
#undef calloc
#undef realloc
#undef free

static long fail_countdown;

void mem_fail_after(long n)
{
	fail_countdown = n;
}

static int must_fail_now(void)
{
	return fail_countdown > 0 && --fail_countdown == 0;
}

void *mem_alloc(size_t n)
{
	return must_fail_now() ? NULL : malloc(n ? n : 1);
}

void *mem_zalloc(size_t n)
{
	return must_fail_now() ? NULL : calloc(1, n ? n : 1);
}

void *mem_realloc(void *p, size_t n)
{
	return must_fail_now() ? NULL : realloc(p, n ? n : 1);
}

char *mem_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = mem_alloc(n);

	return p ? memcpy(p, s, n) : NULL;
}

void mem_free(void *p)
{
	free(p);
}

/* This also fixes what is mapped by itself, and so given back, at 128 KiB: glibc would raise it to
 * the longest answer there ever was. */
void mem_keep(int n)
{
#ifdef __GLIBC__
	mallopt(M_TRIM_THRESHOLD, n);
#else
	(void)n;
#endif
}

_Noreturn void mem_must_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "fumehood: %s:%d: must(%s) failed\n", file, line, cond);
	abort();
}
