/* h2_head.c: header blocks of HTTP/2, field by field, within the limits. */
#include "mcp/http/h2.h"

#include "sandbox/base/mem.h"

enum {
	FIELD_OVERHEAD = 32,
	BOMB = 8, /* times the limits: the peer means harm */
};

void block_begin(struct block *b, bool trailers, uint64_t due)
{
	block_finish(b);
	b->open = true;
	b->trailers = trailers;
	b->due = due;
	buf_init(&b->text, SIZE_MAX);
	buf_init(&b->spans, SIZE_MAX);
}

void block_finish(struct block *b)
{
	buf_finish(&b->text);
	buf_finish(&b->spans);
	*b = (struct block){0};
}

static bool is_over(const struct block *b, const struct http_limits *l, size_t times)
{
	return b->bytes > l->header_bytes * times ||
	       b->fields > l->header_fields * times;
}

static struct span keep(struct block *b, struct sv s)
{
	struct span at = {b->text.n, s.n};

	buf_sv(&b->text, s);
	return b->text.failed ? (struct span){0} : at;
}

static void add_field(struct block *b, struct sv name, struct sv value)
{
	struct span pair[2];

	pair[0] = keep(b, name);
	pair[1] = keep(b, value);
	buf_add(&b->spans, pair, sizeof(pair));
}

int block_add(struct block *b, struct sv name, struct sv value,
	      const struct http_limits *l)
{
	b->bytes += name.n + value.n + FIELD_OVERHEAD;
	b->fields += name.n && name.p[0] != ':';
	if (is_over(b, l, BOMB))
		return -1;
	if (b->trailers || is_over(b, l, 1))
		return 0;
	if (sv_eq(name, SV(":method")))
		b->method = keep(b, value);
	else if (sv_eq(name, SV(":path")))
		b->path = keep(b, value);
	else if (sv_eq(name, SV(":authority")))
		b->authority = keep(b, value);
	else if (name.n && name.p[0] != ':')
		add_field(b, name, value);
	return 0;
}

static struct sv text(const struct block *b, struct span s)
{
	return (struct sv){buf_cstr(&b->text) + s.at, s.n};
}

/* :authority is Host in HTTP/2; who sends both must mean the same (RFC 9113, 8.3.1). */
static int on_host(struct sv value, struct head *h, unsigned *hosts, struct refusal *r)
{
	if (++*hosts > 1)
		return refuse(r, 400, "more than one Host");
	if (!h->authority.n)
		h->authority = value;
	if (!sv_eq_nocase(h->authority, value))
		return refuse(r, 400, "Host is not what :authority says");
	return H1_DONE;
}

static int on_length(struct sv value, struct head *h, struct refusal *r)
{
	if (h->has_length)
		return refuse(r, 400, "more than one Content-Length");
	if (head_length(value, &h->length))
		return refuse(r, 400, "Content-Length is no number");
	h->has_length = true;
	return H1_DONE;
}

int block_head(const struct block *b, const struct http_limits *l, struct head *h,
	       struct refusal *r)
{
	struct span pair[2];
	unsigned hosts = 0;

	*h = (struct head){.fields = h->fields};
	h->method = text(b, b->method);
	h->target = text(b, b->path);
	h->authority = text(b, b->authority);
	if (b->bytes > l->header_bytes)
		return refuse(r, 431, "the header is too long");
	if (b->fields > l->header_fields)
		return refuse(r, 431, "too many header fields");
	if (b->text.failed || b->spans.failed)
		return refuse(r, 503, "no memory for the request");
	if (h->target.n > l->target_bytes)
		return refuse(r, 414, "the request target is too long");
	for (size_t at = 0; at < b->spans.n; at += sizeof(pair)) {
		struct field *f = &h->fields[h->n++];

		memcpy(pair, b->spans.p + at, sizeof(pair));
		*f = (struct field){text(b, pair[0]), text(b, pair[1])};
		if (sv_eq(f->name, SV("host")) && on_host(f->value, h, &hosts, r) < 0)
			return H1_BAD;
		if (sv_eq(f->name, SV("content-length")) &&
		    on_length(f->value, h, r) < 0)
			return H1_BAD;
	}
	return head_check(h, r) ? H1_BAD : H1_DONE;
}
