/* h1_body.c: the body of an HTTP/1 request: counted or chunked (RFC 9112, 6 and 7), strictly.
 *
 * Theory of operation: one state per place in the grammar; data is copied in runs, all else is
 * looked at byte by byte, so that the result cannot depend on how the bytes arrived. Extensions
 * and trailers are read and dropped; both are bounded, and neither may hold a bare CR or LF: to
 * end a chunk's line in another place than the next reader does is how requests are smuggled. */
#include "mcp/http/parse.h"

enum {
	COUNTED,
	SIZE, /* the chunk's size, hexadecimal */
	EXTENSION, /* to the CR */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LINE, /* of the trailer section: at its start */
	NAME,
	VALUE,
	VALUE_LF,
	LAST_LF,
};

/* 16 digits are 64 bits; leading zeros count, or a size could go on for ever */
enum { MAX_DIGITS = 16, MAX_EXTENSIONS = 4096 };

int h1_body_start(struct h1_body *b, const struct head *h, uint64_t max_bytes,
		  struct refusal *r)
{
	*b = (struct h1_body){.state = h->chunked ? SIZE : COUNTED,
			      .left = h->length,
			      .max = max_bytes};
	if (h->chunked)
		return H1_MORE;
	if (b->left > max_bytes)
		return refuse(r, 413, "the body is too large");
	return b->left ? H1_MORE : H1_DONE;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(char c)
{
	return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static int on_size(struct h1_body *b, char c, struct refusal *r)
{
	int v = hex_value(c);

	if (v >= 0 && b->digits < MAX_DIGITS) {
		b->left = b->left << 4 | (unsigned)v;
		b->digits++;
		return H1_MORE;
	}
	if (!b->digits || (c != '\r' && c != ';'))
		return refuse(r, 400, "a chunk without a proper size");
	b->state = c == ';' ? EXTENSION : SIZE_LF;
	return H1_MORE;
}

static int on_extension(struct h1_body *b, char c, struct refusal *r)
{
	if (c == '\r') {
		b->state = SIZE_LF;
		return H1_MORE;
	}
	if (!is_text(c))
		return refuse(r, 400, "a control character in a chunk extension");
	if (++b->overhead > MAX_EXTENSIONS)
		return refuse(r, 400, "chunk extensions without end");
	return H1_MORE;
}

static int on_size_lf(struct h1_body *b, struct refusal *r)
{
	if (b->left > b->max - b->got)
		return refuse(r, 413, "the body is too large");
	b->state = b->left ? DATA : LINE;
	if (!b->left)
		b->overhead = 0;
	return H1_MORE;
}

/* One byte of the trailer section. */
static int on_trailer(struct h1_body *b, char c, const struct http_limits *l,
		      struct refusal *r)
{
	if (++b->overhead > l->header_bytes)
		return refuse(r, 431, "the trailer section is too long");
	if (b->state == LINE && c == '\r') {
		b->state = LAST_LF;
	} else if (b->state == LINE) {
		if (!is_tchar(c))
			return refuse(r, 400, "a trailer field without a name");
		if (++b->trailers > l->header_fields)
			return refuse(r, 431, "too many trailer fields");
		b->state = NAME;
	} else if (b->state == NAME) {
		if (c == ':')
			b->state = VALUE;
		else if (!is_tchar(c))
			return refuse(r, 400, "a trailer field's name is no token");
	} else if (c == '\r') {
		b->state = VALUE_LF;
	} else if (!is_text(c)) {
		return refuse(r, 400, "a control character in a trailer field");
	}
	return H1_MORE;
}

static int expect_byte(struct h1_body *b, char c, char wanted, uint8_t next,
		       struct refusal *r)
{
	if (c != wanted)
		return refuse(r, 400, "a line of the body does not end in CRLF");
	b->state = next;
	return H1_MORE;
}

static int on_byte(struct h1_body *b, char c, const struct http_limits *l,
		   struct refusal *r)
{
	switch (b->state) {
	case SIZE:
		return on_size(b, c, r);
	case EXTENSION:
		return on_extension(b, c, r);
	case SIZE_LF:
		return c == '\n' ? on_size_lf(b, r) : expect_byte(b, c, '\n', SIZE, r);
	case DATA_CR:
		return expect_byte(b, c, '\r', DATA_LF, r);
	case DATA_LF:
		b->digits = 0;
		return expect_byte(b, c, '\n', SIZE, r);
	case VALUE_LF:
		return expect_byte(b, c, '\n', LINE, r);
	case LAST_LF:
		return expect_byte(b, c, '\n', LAST_LF, r) == H1_BAD ? H1_BAD : H1_DONE;
	default:
		return on_trailer(b, c, l, r);
	}
}

/* A run of body bytes, as many as are due and there. */
static int on_data(struct h1_body *b, struct sv in, size_t *at, struct buf *out,
		   struct refusal *r)
{
	size_t n = in.n - *at < b->left ? in.n - *at : (size_t)b->left;

	buf_add(out, in.p + *at, n);
	if (out->failed)
		return refuse(r, 503, "no memory for the body");
	*at += n;
	b->left -= n;
	b->got += n;
	if (b->left)
		return H1_MORE;
	if (b->state == COUNTED)
		return H1_DONE;
	b->state = DATA_CR;
	return H1_MORE;
}

int h1_body_feed(struct h1_body *b, struct sv in, size_t *ret_used, struct buf *out,
		 const struct http_limits *l, struct refusal *r)
{
	int got = H1_MORE;
	size_t at = 0;

	while (at < in.n && got == H1_MORE) {
		if (b->state == COUNTED || b->state == DATA)
			got = on_data(b, in, &at, out, r);
		else
			got = on_byte(b, in.p[at++], l, r);
	}
	*ret_used = at;
	return got;
}
