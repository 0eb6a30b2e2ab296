/* mem.h: the only way to the heap, and the always-on assertion.
 *
 * mem_* return NULL when there is no memory; callers report it (ERR_LIMIT) and live on. mem_free
 * accepts NULL. Tests make the Nth allocation fail with mem_fail_after(). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n);		/* uninitialised */
void *mem_zalloc(size_t n);		/* zeroed */
void *mem_realloc(void *p, size_t n);	/* on failure p stays valid */
char *mem_strdup(const char *s);	/* owned by the caller */
void mem_free(void *p);

/* Up to n bytes that were freed last stay this process' own instead of going back to the kernel at
 * once. For one that needs and frees as much for each request: getting it back, page by page, costs
 * more than all the rest of a short request. */
void mem_keep(int n);

/* Makes the Nth allocation from now fail, once (1 = the next); 0 switches it off. Tests only. */
void mem_fail_after(long n);

/* Programmer errors only, never for input: prints file:line to stderr and aborts. */
#define must(cond) ((cond) ? (void)0 : mem_must_failed(#cond, __FILE__, __LINE__))
_Noreturn void mem_must_failed(const char *cond, const char *file, int line);

#define ARRAY_LEN(a) (sizeof(a) / sizeof(*(a)))

#endif
