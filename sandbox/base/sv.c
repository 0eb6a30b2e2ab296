/* sv.c: views over bytes. */
#include "sandbox/base/sv.h"

struct sv sv_of(const char *cstr)
{
	return (struct sv){cstr ? cstr : "", cstr ? strlen(cstr) : 0};
}

bool sv_eq(struct sv a, struct sv b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool sv_starts(struct sv s, struct sv prefix)
{
	return s.n >= prefix.n && sv_eq((struct sv){s.p, prefix.n}, prefix);
}

bool sv_ends(struct sv s, struct sv suffix)
{
	return s.n >= suffix.n &&
	       sv_eq((struct sv){s.p + (s.n - suffix.n), suffix.n}, suffix);
}

ptrdiff_t sv_find(struct sv s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

bool sv_cut(struct sv *rest, char c, bool *more, struct sv *ret_part)
{
	ptrdiff_t at;

	if (!*more)
		return false;
	at = sv_find(*rest, c);
	if (at < 0) {
		*ret_part = *rest;
		*rest = (struct sv){rest->p + rest->n, 0};
		*more = false;
		return true;
	}
	*ret_part = (struct sv){rest->p, (size_t)at};
	*rest = (struct sv){rest->p + at + 1, rest->n - (size_t)at - 1};
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct sv sv_trim(struct sv s)
{
	while (s.n && is_blank(s.p[0]))
		s.p++, s.n--;
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

int sv_to_u64(struct sv s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s.n || s.n > 20)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

		if (d > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return -1;
	}
	*ret = v;
	return 0;
}

int sv_to_i64(struct sv s, int64_t *ret)
{
	bool neg = s.n && s.p[0] == '-';
	uint64_t v, top = (uint64_t)INT64_MAX + (neg ? 1 : 0);

	if (sv_to_u64(neg ? (struct sv){s.p + 1, s.n - 1} : s, &v) || v > top)
		return -1;
	*ret = neg ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

int sv_copy(struct sv s, char *dst, size_t size)
{
	if (s.n >= size || sv_find(s, '\0') >= 0)
		return -1;
	if (s.n)
		memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return 0;
}

size_t sv_utf8_len(struct sv s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned lo = 0x80, hi = 0xbf;
	size_t len;

	if (!s.n)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (s.n < len || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool sv_valid_utf8(struct sv s)
{
	while (s.n) {
		size_t k = sv_utf8_len(s);

		if (!k)
			return false;
		s.p += k, s.n -= k;
	}
	return true;
}
