/* names.c: duplicate names in an object, found in n log n whatever the names are.
 *
 * The names of all open objects lie on one stack. When an object closes, its names are
 * sorted by (hash, text) in place and neighbours compared. A hash table would be quicker for
 * a million honest names and quadratic for a million chosen ones. */
#include "mcp/jsonrpc/scan.h"

#include "sandbox/base/mem.h"

/* Reads a name byte by byte as it is once unescaped. Ill-formed escapes stand for themselves. */
struct reader {
	const char *p, *end;
	unsigned char pending[4];
	unsigned n, i;
};

static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static void put_utf8(struct reader *r, unsigned c)
{
	r->i = 0;
	if (c < 0x80) {
		r->n = 1;
		r->pending[0] = (unsigned char)c;
		return;
	}
	r->n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (unsigned k = r->n - 1; k > 0; k--) {
		r->pending[k] = (unsigned char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	r->pending[0] = (unsigned char)((0xf0u << (4 - r->n)) | c);
}

/* p stands after `\u`. */
static bool read_unicode_escape(struct reader *r)
{
	int hi = hex4(r->p, r->end), lo;

	if (hi < 0)
		return false;
	r->p += 4;
	if (hi >= 0xd800 && hi < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' &&
	    r->p[1] == 'u') {
		lo = hex4(r->p + 2, r->end);
		if (lo >= 0xdc00 && lo < 0xe000) {
			r->p += 6;
			hi = 0x10000 + ((hi - 0xd800) << 10) + (lo - 0xdc00);
		}
	}
	put_utf8(r, (unsigned)hi);
	return true;
}

/* The next byte, or -1 at the end. */
static int next_byte(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *known;

	if (r->i < r->n)
		return r->pending[r->i++];
	if (r->p == r->end)
		return -1;
	if (*r->p != '\\' || r->end - r->p < 2)
		return (unsigned char)*r->p++;
	known = r->p[1] ? strchr(from, r->p[1]) : NULL;
	if (known) {
		r->p += 2;
		return to[known - from];
	}
	if (r->p[1] == 'u') {
		r->p += 2;
		if (read_unicode_escape(r))
			return r->pending[r->i++];
		r->p -= 2;
	}
	return (unsigned char)*r->p++;
}

static struct reader reader_of(struct sv raw)
{
	return (struct reader){.p = raw.p, .end = raw.p + raw.n};
}

bool rpc_name_is(struct sv raw, const char *name)
{
	struct reader r = reader_of(raw);
	int c;

	while ((c = next_byte(&r)) >= 0)
		if (!*name || c != (unsigned char)*name++)
			return false;
	return !*name;
}

/* FNV-1a: only to make most comparisons short; nothing depends on its quality. */
static uint32_t hash_of(struct sv raw)
{
	struct reader r = reader_of(raw);
	uint32_t h = 2166136261u;
	int c;

	while ((c = next_byte(&r)) >= 0)
		h = (h ^ (uint32_t)c) * 16777619u;
	return h;
}

static struct sv text_of(struct sv all, const struct rpc_name *name)
{
	return (struct sv){all.p + name->at, name->n};
}

/* One order, byte by byte as unescaped, whichever way the names are written. */
static int compare_text(struct sv all, const struct rpc_name *a,
			const struct rpc_name *b)
{
	struct reader x = reader_of(text_of(all, a)), y = reader_of(text_of(all, b));
	size_t least = a->n < b->n ? a->n : b->n;
	int c, d;

	if (!a->escaped && !b->escaped) {
		c = least ? memcmp(x.p, y.p, least) : 0;
		return c ? c : (a->n > b->n) - (a->n < b->n);
	}
	do {
		c = next_byte(&x);
		d = next_byte(&y);
	} while (c == d && c >= 0);
	return c - d;
}

static bool goes_before(struct sv all, const struct rpc_name *a,
			const struct rpc_name *b)
{
	if (a->hash != b->hash)
		return a->hash < b->hash;
	return compare_text(all, a, b) < 0;
}

static void sift_down(struct rpc_name *v, size_t n, size_t at, struct sv all)
{
	struct rpc_name moving = v[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n && goes_before(all, &v[child], &v[child + 1]))
			child++;
		if (!goes_before(all, &moving, &v[child]))
			break;
		v[at] = v[child];
		at = child;
	}
	v[at] = moving;
}

static void heap_sort(struct rpc_name *v, size_t n, struct sv all)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(v, n, i, all);
	while (n > 1) {
		struct rpc_name top = v[0];

		n--;
		v[0] = v[n];
		v[n] = top;
		sift_down(v, n, 0, all);
	}
}

void rpc_names_finish(struct rpc_names *names)
{
	mem_free(names->v);
	*names = (struct rpc_names){0};
}

int rpc_names_add(struct rpc_names *names, struct sv all, struct rpc_name name)
{
	if (names->n == names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 32;
		struct rpc_name *v = mem_realloc(names->v, cap * sizeof(*v));

		if (!v)
			return -1;
		names->v = v;
		names->cap = cap;
	}
	name.hash = hash_of(text_of(all, &name));
	names->v[names->n++] = name;
	return 0;
}

bool rpc_names_close(struct rpc_names *names, struct sv all, size_t mark,
		     struct rpc_name *ret_duplicate)
{
	size_t n = names->n - mark;
	struct rpc_name *v;

	names->n = mark;
	if (n < 2)
		return false;
	v = names->v + mark;
	heap_sort(v, n, all);
	for (size_t i = 1; i < n; i++) {
		if (v[i - 1].hash != v[i].hash || compare_text(all, &v[i - 1], &v[i]))
			continue;
		*ret_duplicate = v[i - 1].at > v[i].at ? v[i - 1] : v[i];
		return true;
	}
	return false;
}
