/* reply.c: an HTTP/1.1 response, whole -> its body. */
#include "mcp/auth/reply.h"

#include "sandbox/base/mem.h"

#include <string.h>
#include <strings.h>

struct head {
	struct sv lines; /* the fields */
	size_t bytes; /* with the empty line */
	bool has_length, chunked;
	uint64_t length;
};

static enum reply_state bad(struct err *e, const char *why)
{
	err_set(e, ERR_UNAVAILABLE, "the answer cannot be used: %s", why);
	return REPLY_BAD;
}

static bool same_name(struct sv a, const char *lower)
{
	return a.n == strlen(lower) && !strncasecmp(a.p, lower, a.n);
}

static int take_field(struct head *h, struct sv line)
{
	ptrdiff_t colon = sv_find(line, ':');
	struct sv name = {line.p, colon > 0 ? (size_t)colon : 0}, value;

	if (colon <= 0 || line.p[0] == ' ' || line.p[0] == '\t')
		return -1;
	value = sv_trim((struct sv){line.p + colon + 1, line.n - (size_t)colon - 1});
	if (same_name(name, "content-length")) {
		if (h->has_length || sv_to_u64(value, &h->length))
			return -1;
		h->has_length = true;
	} else if (same_name(name, "transfer-encoding")) {
		if (h->chunked || !same_name(value, "chunked"))
			return -1;
		h->chunked = true;
	} else if (same_name(name, "content-encoding")) {
		return same_name(value, "identity") ? 0 : -1;
	}
	return 0;
}

static int take_fields(struct head *h)
{
	struct sv rest = h->lines, line;
	bool more = rest.n > 0;

	while (sv_cut(&rest, '\n', &more, &line)) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n && take_field(h, line))
			return -1;
	}
	return h->has_length && h->chunked ? -1 : 0;
}

/* "HTTP/1.1 200 OK": MORE until all of the head is there, then DONE. */
static enum reply_state read_head(struct sv bytes, struct head *h, struct err *e)
{
	const char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4);
	struct sv line = {bytes.p, 0};
	char why[64];

	if (!end)
		return bytes.n > REPLY_MAX_HEAD ? bad(e, "its head is too long")
						: REPLY_MORE;
	h->bytes = (size_t)(end - bytes.p) + 4;
	line.n = (size_t)((const char *)memchr(bytes.p, '\r', h->bytes) - bytes.p);
	if (h->bytes > REPLY_MAX_HEAD || line.n < 12 ||
	    (!sv_starts(line, SV("HTTP/1.1 ")) && !sv_starts(line, SV("HTTP/1.0 "))))
		return bad(e, "no HTTP/1.1");
	if (memcmp(line.p + 9, "200", 3) != 0 || (line.n > 12 && line.p[12] != ' ')) {
		snprintf(why, sizeof(why), "status %.3s%s",
			 line.p[9] >= '1' && line.p[9] <= '9' ? line.p + 9 : "?",
			 line.p[9] == '3' ? ", and redirects are not followed" : "");
		return bad(e, why);
	}
	h->lines = (struct sv){line.p + line.n, h->bytes - 4 - line.n};
	return take_fields(h) ? bad(e, "its head is ambiguous or encoded") : REPLY_DONE;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* "1a;name=value\r\n" -> 26. */
static enum reply_state chunk_size(struct sv *rest, size_t *ret)
{
	const char *lf = memchr(rest->p, '\n', rest->n < 256 ? rest->n : 256);
	size_t size = 0, n = 0;

	if (!lf)
		return rest->n < 256 ? REPLY_MORE : REPLY_BAD;
	for (; n < 7 && hex_digit(rest->p[n]) >= 0; n++)
		size = size * 16 + (size_t)hex_digit(rest->p[n]);
	if (!n || (rest->p[n] != '\r' && rest->p[n] != ';') || lf[-1] != '\r')
		return REPLY_BAD;
	*ret = size;
	n = (size_t)(lf - rest->p) + 1;
	*rest = (struct sv){rest->p + n, rest->n - n};
	return REPLY_DONE;
}

/* What follows the last chunk does not matter: the connection is closed. */
static enum reply_state read_chunks(struct sv rest, struct buf *body)
{
	const size_t before = body->n;

	for (;;) {
		size_t size = 0;
		enum reply_state s = chunk_size(&rest, &size);

		if (s == REPLY_DONE && !size)
			return REPLY_DONE;
		if (s == REPLY_DONE && rest.n < size + 2)
			s = REPLY_MORE;
		if (s == REPLY_DONE && memcmp(rest.p + size, "\r\n", 2) != 0)
			s = REPLY_BAD;
		if (s != REPLY_DONE) {
			if (body->n > before) /* it will be read again from the start */
				body->n = before;
			return s;
		}
		buf_add(body, rest.p, size);
		if (body->failed)
			return REPLY_BAD;
		rest = (struct sv){rest.p + size + 2, rest.n - size - 2};
	}
}

enum reply_state reply_read(struct sv bytes, bool ended, struct buf *body,
			    struct err *e)
{
	struct head h = {.bytes = 0};
	enum reply_state s = read_head(bytes, &h, e);
	struct sv rest;

	if (s == REPLY_BAD)
		return s;
	if (s == REPLY_DONE) {
		rest = (struct sv){bytes.p + h.bytes, bytes.n - h.bytes};
		if (h.chunked) {
			s = read_chunks(rest, body);
		} else if (!h.has_length) {
			return bad(e, "it does not say how long it is");
		} else if (h.length > body->max) {
			return bad(e, "it is too long");
		} else if (rest.n < h.length) {
			s = REPLY_MORE;
		} else {
			buf_add(body, rest.p, (size_t)h.length);
		}
	}
	if (s == REPLY_BAD || body->failed)
		return bad(e, "its body is broken or too long");
	return s == REPLY_MORE && ended ? bad(e, "it was cut off") : s;
}
