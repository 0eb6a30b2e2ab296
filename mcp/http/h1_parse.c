/* h1_parse.c: the head of an HTTP/1 request (RFC 9112), strictly. */
#include "mcp/http/parse.h"

#include "sandbox/base/mem.h"

/* what a request line has besides its target: a method, two blanks, a version */
enum { METHOD_MAX = 32, LINE_SPARE = METHOD_MAX + 16 };

int refuse(struct refusal *r, unsigned status, const char *cause)
{
	*r = (struct refusal){status, cause};
	return H1_BAD;
}

static int too_long(const struct h1_scan *s, const struct http_limits *l,
		    struct refusal *r)
{
	if (!s->in_fields && s->at - s->line > l->target_bytes + LINE_SPARE)
		return refuse(r, 414, "the request line is too long");
	if (s->at > l->header_bytes)
		return refuse(r, 431, "the header is too long");
	return H1_MORE;
}

static const char head_method[] = "HEAD ";

/* A line ends at s->at (CR); H1_DONE when it was the last of the head. */
static int scan_line(struct h1_scan *s, struct sv bytes, const struct http_limits *l,
		     struct refusal *r)
{
	struct sv line = {bytes.p + s->line, s->at - s->line};

	if (!line.n && s->in_fields)
		return H1_DONE;
	if (!line.n && s->blank)
		return refuse(r, 400, "empty lines in place of a request");
	if (!line.n) {
		s->blank = true;
	} else if (!s->in_fields) {
		s->in_fields = true;
		s->is_head = sv_starts(line, sv_of(head_method));
	} else if (++s->fields > l->header_fields) {
		return refuse(r, 431, "too many header fields");
	}
	s->line = s->at + 2;
	return H1_MORE;
}

int h1_scan(struct h1_scan *s, struct sv bytes, const struct http_limits *l,
	    struct refusal *r)
{
	while (s->at < bytes.n) {
		unsigned char c = (unsigned char)bytes.p[s->at];
		int got = H1_MORE;

		if (c == '\r') {
			if (s->at + 1 == bytes.n)
				break;
			if (bytes.p[s->at + 1] != '\n')
				return refuse(r, 400, "a CR without LF");
			got = scan_line(s, bytes, l, r);
			s->at += 2;
		} else if (c == '\n') {
			return refuse(r, 400, "a line that ends in a bare LF");
		} else if ((c < ' ' && c != '\t') || c == 0x7f) {
			return refuse(r, 400, "a control character in the header");
		} else {
			s->at++;
		}
		if (got == H1_MORE)
			got = too_long(s, l, r);
		if (got != H1_MORE)
			return got;
	}
	return H1_MORE;
}

/* Cuts the next line, which h1_scan knows to end in CRLF. */
static struct sv next_line(struct sv *rest)
{
	ptrdiff_t n = sv_find(*rest, '\r');
	struct sv line;

	must(n >= 0 && (size_t)n + 2 <= rest->n);
	line = (struct sv){rest->p, (size_t)n};
	*rest = (struct sv){rest->p + n + 2, rest->n - (size_t)n - 2};
	return line;
}

static int parse_version(struct sv v, struct head *h, struct refusal *r)
{
	if (v.n != 8 || !sv_starts(v, SV("HTTP/")) || v.p[5] < '0' || v.p[5] > '9' ||
	    v.p[6] != '.' || v.p[7] < '0' || v.p[7] > '9')
		return refuse(r, 400, "the request line does not end in HTTP/1.1");
	h->v10 = v.p[7] == '0';
	if (v.p[5] != '1' || v.p[7] > '1')
		return refuse(r, 505, "HTTP/1.0, 1.1 and 2 are spoken here");
	return H1_DONE;
}

/* method SP request-target SP HTTP-version, with exactly these two blanks */
static int parse_request_line(struct sv line, const struct http_limits *l,
			      struct head *h, struct refusal *r)
{
	ptrdiff_t a = sv_find(line, ' '), b;

	if (a <= 0)
		return refuse(r, 400, "no request line");
	h->method = (struct sv){line.p, (size_t)a};
	line = (struct sv){line.p + a + 1, line.n - (size_t)a - 1};
	b = sv_find(line, ' ');
	if (b <= 0)
		return refuse(r, 400, "no request line");
	h->target = (struct sv){line.p, (size_t)b};
	for (size_t i = 0; i < h->method.n; i++)
		if (!is_tchar(h->method.p[i]))
			return refuse(r, 400, "the method is no token");
	if (h->method.n > METHOD_MAX)
		return refuse(r, 501, "no such method");
	if (h->target.n > l->target_bytes)
		return refuse(r, 414, "the request target is too long");
	return parse_version((struct sv){line.p + b + 1, line.n - (size_t)b - 1}, h, r);
}

static struct sv trim_ows(struct sv s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int parse_field(struct sv line, struct field *f, struct refusal *r)
{
	ptrdiff_t colon = sv_find(line, ':');

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return refuse(r, 400, "a folded header field");
	if (colon <= 0)
		return refuse(r, 400, "a header field without a name");
	f->name = (struct sv){line.p, (size_t)colon};
	for (size_t i = 0; i < f->name.n; i++)
		if (!is_tchar(f->name.p[i]))
			return refuse(r, 400, "a header field's name is no token");
	f->value =
		trim_ows((struct sv){line.p + colon + 1, line.n - (size_t)colon - 1});
	return H1_DONE;
}

/* What the framing fields may say is so little that nobody can read them in another way. */
static int on_length(const struct field *f, struct head *h, struct refusal *r)
{
	if (h->has_length)
		return refuse(r, 400, "more than one Content-Length");
	if (head_length(f->value, &h->length))
		return refuse(r, 400, "Content-Length is no number");
	h->has_length = true;
	return H1_DONE;
}

static int on_coding(const struct field *f, struct head *h, struct refusal *r)
{
	if (h->chunked)
		return refuse(r, 400, "more than one Transfer-Encoding");
	if (!sv_eq_nocase(f->value, SV("chunked")))
		return refuse(r, 501, "chunked is the only transfer coding here");
	h->chunked = true;
	return H1_DONE;
}

static int on_host(const struct field *f, struct head *h, struct refusal *r)
{
	if (h->authority.p)
		return refuse(r, 400, "more than one Host");
	h->authority = f->value;
	return H1_DONE;
}

static int on_connection(const struct field *f, struct head *h, struct refusal *r)
{
	struct sv rest = f->value, token;
	bool more = true;

	(void)r;
	while (sv_cut(&rest, ',', &more, &token))
		if (sv_eq_nocase(trim_ows(token), SV("close")))
			h->close = true;
	return H1_DONE;
}

static const struct {
	struct sv name;
	int (*on)(const struct field *f, struct head *h, struct refusal *r);
} known_fields[] = {
	{{"content-length", 14}, on_length},
	{{"transfer-encoding", 17}, on_coding},
	{{"host", 4}, on_host},
	{{"connection", 10}, on_connection},
};

/* All lines first: a field folded over two must not be judged by its first. */
static int parse_fields(struct sv rest, const struct http_limits *l, struct head *h,
			struct refusal *r)
{
	for (struct sv line = next_line(&rest); line.n; line = next_line(&rest)) {
		must(h->n < l->header_fields);
		if (parse_field(line, &h->fields[h->n++], r) != H1_DONE)
			return H1_BAD;
	}
	for (uint32_t k = 0; k < h->n; k++)
		for (size_t i = 0; i < ARRAY_LEN(known_fields); i++)
			if (sv_eq_nocase(h->fields[k].name, known_fields[i].name) &&
			    known_fields[i].on(&h->fields[k], h, r) != H1_DONE)
				return H1_BAD;
	return H1_DONE;
}

/* absolute-form is what proxies get; to an origin server it says its authority twice
 * (RFC 9112, 3.2.2), so both must be the same. Leaves the origin-form in h->target. */
static int absolute_form(struct head *h, struct refusal *r)
{
	static const struct sv schemes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct sv t = h->target, authority;
		size_t n = 0;

		if (t.n < schemes[i].n ||
		    !sv_eq_nocase((struct sv){t.p, schemes[i].n}, schemes[i]))
			continue;
		t = (struct sv){t.p + schemes[i].n, t.n - schemes[i].n};
		while (n < t.n && t.p[n] != '/' && t.p[n] != '?' && t.p[n] != '#')
			n++;
		authority = (struct sv){t.p, n};
		if (!h->authority.p || !sv_eq_nocase(authority, h->authority))
			return refuse(r, 400,
				      "the target names another host than Host does");
		h->target = (struct sv){t.p + n, t.n - n};
		if (!h->target.n)
			h->target = SV("/");
	}
	return H1_DONE;
}

static int judge(struct head *h, struct refusal *r)
{
	if (h->chunked && h->has_length)
		return refuse(r, 400, "Content-Length beside Transfer-Encoding");
	if (h->chunked && h->v10)
		return refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
	if (!h->authority.p)
		return refuse(r, 400, "no Host");
	if (h->v10)
		h->close = true;
	return absolute_form(h, r);
}

int h1_head(struct sv bytes, const struct http_limits *l, struct head *h,
	    struct refusal *r)
{
	struct sv rest = bytes, line;

	*h = (struct head){.fields = h->fields};
	line = next_line(&rest);
	if (!line.n)
		line = next_line(&rest);
	if (parse_request_line(line, l, h, r) != H1_DONE ||
	    parse_fields(rest, l, h, r) != H1_DONE)
		return H1_BAD;
	return judge(h, r);
}
