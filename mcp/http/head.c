/* head.c: what must hold of a request in either version of HTTP. */
#include "mcp/http/parse.h"

#include "sandbox/base/mem.h"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static bool one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

bool is_tchar(char c)
{
	return is_alnum(c) || one_of(c, "!#$%&'*+-.^_`|~");
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool sv_eq_nocase(struct sv a, struct sv b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

int head_length(struct sv value, uint64_t *ret)
{
	uint64_t v = 0;

	if (!value.n)
		return -1;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9' ||
		    __builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(value.p[i] - '0'), &v))
			return -1;
	}
	*ret = v;
	return 0;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f');
}

/* unreserved, sub-delims and percent triplets (RFC 3986, 3.2.2), or an address in brackets */
static bool is_host(struct sv s)
{
	bool bracket = s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';

	if (!s.n)
		return false;
	if (bracket)
		s = (struct sv){s.p + 1, s.n - 2};
	for (size_t i = 0; i < s.n; i++) {
		if (bracket ? !is_hex(s.p[i]) && !one_of(s.p[i], ":.")
			    : !is_alnum(s.p[i]) && !one_of(s.p[i], "-._~!$&'()*+,;=%"))
			return false;
		if (s.p[i] == '%' &&
		    (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
			return false;
	}
	return true;
}

bool is_authority(struct sv s)
{
	size_t n = s.n;

	while (n && s.p[n - 1] >= '0' && s.p[n - 1] <= '9')
		n--;
	if (n && s.p[n - 1] == ':' && s.n - n <= 5)
		return is_host((struct sv){s.p, n - 1});
	return is_host(s);
}

/* Printable ASCII, percent triplets that are such, and no fragment. */
static int check_target(struct head *h, struct refusal *r)
{
	struct sv t = h->target;
	ptrdiff_t q = sv_find(t, '?');

	if (sv_eq(t, SV("*")) && sv_eq(h->method, SV("OPTIONS"))) {
		h->path = t;
		h->query = SV("");
		return 0;
	}
	if (!t.n || t.p[0] != '/')
		return refuse(r, 400, "the request target is no path");
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] <= ' ' || t.p[i] >= 0x7f || one_of(t.p[i], "#\"<>\\"))
			return refuse(r, 400,
				      "a byte that may not stand in a request target");
		if (t.p[i] == '%' &&
		    (t.n - i < 3 || !is_hex(t.p[i + 1]) || !is_hex(t.p[i + 2])))
			return refuse(r, 400, "a % in the request target is no escape");
	}
	h->path = (struct sv){t.p, q < 0 ? t.n : (size_t)q};
	h->query = q < 0 ? SV("") : (struct sv){t.p + q + 1, t.n - (size_t)q - 1};
	return 0;
}

static int check_field(const struct field *f, struct head *h, struct refusal *r)
{
	if (sv_eq_nocase(f->name, SV("expect"))) {
		if (!sv_eq_nocase(f->value, SV("100-continue")))
			return refuse(r, 417,
				      "100-continue is all that can be expected");
		/* RFC 9110, 10.1.1: from an HTTP/1.0 client it means nothing */
		h->expect = !h->v10;
	} else if (sv_eq_nocase(f->name, SV("content-encoding")) &&
		   !sv_eq_nocase(f->value, SV("identity"))) {
		return refuse(r, 415, "the body must come uncompressed");
	}
	return 0;
}

static const struct {
	struct sv name;
	enum http_method method;
} methods[] = {
	{{"GET", 3}, HTTP_GET},	      {{"HEAD", 4}, HTTP_HEAD},
	{{"POST", 4}, HTTP_POST},     {{"PUT", 3}, HTTP_PUT},
	{{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS},
};
_Static_assert(ARRAY_LEN(methods) == HTTP_OTHER, "one row per method");

int head_check(struct head *h, struct refusal *r)
{
	h->known = HTTP_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (sv_eq(h->method, methods[i].name))
			h->known = methods[i].method;
	if (check_target(h, r))
		return H1_BAD;
	if (!is_authority(h->authority))
		return refuse(r, 400, "Host is no host");
	for (uint32_t i = 0; i < h->n; i++)
		if (check_field(&h->fields[i], h, r))
			return H1_BAD;
	return 0;
}
