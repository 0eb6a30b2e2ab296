/* buf.c: growing bytes with a ceiling. */
#include "sandbox/base/buf.h"

#include "sandbox/base/mem.h"

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.max = max_bytes};
}

void buf_finish(struct buf *b)
{
	if (!b)
		return;
	mem_free(b->p);
	*b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t n)
{
	size_t cap;
	char *p;

	/* the second test: a ceiling of SIZE_MAX leaves no room to count the NUL */
	if (b->failed || n > b->max - b->n || n >= SIZE_MAX - b->n) {
		b->failed = true;
		return NULL;
	}
	if (n < b->cap - b->n)
		return b->p + b->n;
	cap = b->cap ? b->cap : 64;
	while (cap - b->n <= n)
		cap = cap > SIZE_MAX / 2 ? b->n + n + 1 : cap * 2;
	p = mem_realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return p + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
	must(n < b->cap - b->n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *at;

	if (!n)
		return;
	at = buf_reserve(b, n);
	if (!at)
		return;
	memcpy(at, p, n);
	buf_commit(b, n);
}

void buf_sv(struct buf *b, struct sv s)
{
	buf_add(b, s.p, s.n);
}

void buf_str(struct buf *b, const char *cstr)
{
	buf_add(b, cstr, strlen(cstr));
}

void buf_byte(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
	/* mostly there is room already, and printing once is enough */
	size_t room = b->failed ? 0 : b->cap - b->n;
	va_list again;
	int n;
	char *at;

	va_copy(again, ap);
	n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, again);
	va_end(again);
	if (n >= 0 && (size_t)n < room && (size_t)n <= b->max - b->n) {
		b->n += (size_t)n;
		return;
	}
	if (room)
		b->p[b->n] = '\0';
	if (n < 0) {
		b->failed = true;
		return;
	}
	at = buf_reserve(b, (size_t)n);
	if (!at)
		return;
	vsnprintf(at, (size_t)n + 1, fmt, ap);
	buf_commit(b, (size_t)n);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(b, fmt, ap);
	va_end(ap);
}

void buf_hex(struct buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *q = p;

	for (size_t i = 0; i < n; i++) {
		buf_byte(b, digits[q[i] >> 4]);
		buf_byte(b, digits[q[i] & 15]);
	}
}

void buf_consume(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (!n)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

struct sv buf_view(const struct buf *b)
{
	return (struct sv){b->p ? b->p : "", b->n};
}

const char *buf_cstr(const struct buf *b)
{
	return b->p ? b->p : "";
}
