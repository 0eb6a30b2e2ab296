/* t_h1_head.c: heads of HTTP/1 requests: what is taken, and how each other one is refused. */
#include "mcp/http/parse.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

static struct http_limits limits;
static struct field fields[100];

/* The status a head ends in: 0 when it is taken, -1 when more is waited for. */
static int status_of(struct sv bytes, struct head *h)
{
	struct h1_scan s = {0};
	struct refusal r = {0};
	int got = h1_scan(&s, bytes, &limits, &r);

	*h = (struct head){.fields = fields};
	if (got == H1_DONE)
		got = h1_head((struct sv){bytes.p, s.at}, &limits, h, &r);
	if (got == H1_DONE && head_check(h, &r))
		got = H1_BAD;
	if (got == H1_BAD)
		return (int)r.status;
	return got == H1_DONE ? 0 : -1;
}

#define HOST "Host: a\r\n"
/* clang-format off */
static const struct {
	int status;
	struct sv bytes;
} cases[] = {
#define ROW(status, text) {status, {text, sizeof(text) - 1}}
	ROW(0, "GET / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(0, "\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(0, "GET / HTTP/1.0\r\n" HOST "\r\n"),
	ROW(0, "BREW-1 /pot?a=b&c HTTP/1.1\r\n" HOST "\r\n"),
	ROW(0, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET * HTTP/1.1\r\n" HOST "\r\n"),
	ROW(-1, "GET / HTTP/1.1\r\n" HOST),
	ROW(-1, "GET / HTTP/1.1\r\n" HOST "\r"),
	ROW(-1, ""),
	/* lines */
	ROW(400, "GET / HTTP/1.1\n" "Host: a\n\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\r\n" HOST "\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A: b\x0b\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n\r\n"),
	ROW(0, "GET / HTTP/1.1\r\n" HOST "A: \tb\tc \r\n\r\n"),
	ROW(0, "GET / HTTP/1.1\r\n" HOST "A: \xe4\xff\r\n\r\n"),
	ROW(0, "GET / HTTP/1.1\r\n" HOST "A:\r\n\r\n"),
	/* the request line */
	ROW(400, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, " GET / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
	ROW(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /\r\n" HOST "\r\n"),
	ROW(400, "G(T / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET / http/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET / HTTP/11\r\n" HOST "\r\n"),
	ROW(400, "GET / HTTP/1.10\r\n" HOST "\r\n"),
	ROW(505, "GET / HTTP/1.2\r\n" HOST "\r\n"),
	ROW(505, "GET / HTTP/2.0\r\n" HOST "\r\n"),
	ROW(505, "GET / HTTP/0.9\r\n" HOST "\r\n"),
	ROW(501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET a HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /%zz HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /%4 HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET /a\\b HTTP/1.1\r\n" HOST "\r\n"),
	ROW(0, "GET /%41?{x}=|y| HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "PRI * HTTP/1.1\r\n" HOST "\r\n"),
	ROW(505, "PRI * HTTP/2.0\r\n\r\n"),
	/* absolute form */
	ROW(0, "GET http://a/b HTTP/1.1\r\n" HOST "\r\n"),
	ROW(0, "GET HTTPS://A/b HTTP/1.1\r\n" HOST "\r\n"),
	ROW(0, "GET http://a HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET http://b/ HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET http://a:80/ HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"),
	ROW(400, "GET //a/ HTTP/1.1\r\n\r\n"),
	/* Host */
	ROW(400, "GET / HTTP/1.1\r\n\r\n"),
	ROW(400, "GET / HTTP/1.0\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"),
	ROW(0, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\nHost: [::1%25lo]\r\n\r\n"),
	/* fields */
	ROW(400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A b: c\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST ": c\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "abc\r\n\r\n"),
	ROW(400, "GET / HTTP/1.1\r\n" HOST "A\xe4: b\r\n\r\n"),
	ROW(417, "POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n"),
	ROW(0, "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n"),
	ROW(415, "POST / HTTP/1.1\r\n" HOST "Content-Encoding: gzip\r\n\r\n"),
	ROW(0, "POST / HTTP/1.1\r\n" HOST "Content-Encoding: Identity\r\n\r\n"),
	ROW(0, "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
	/* framing */
	ROW(0, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n"),
	ROW(0, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
	ROW(0, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"),
	ROW(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	ROW(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n"),
	ROW(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"),
	ROW(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
	ROW(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b" "chunked\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
	ROW(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	ROW(400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
};
/* clang-format on */

/* "GET /aaa HTTP/1.1", host and more fields until the head has `total` bytes. */
static int sized(size_t target, size_t nfields, size_t value)
{
	AUTO_BUF b = {.max = 1 << 20};
	struct head h;

	buf_str(&b, "GET /");
	for (size_t i = 1; i < target; i++)
		buf_byte(&b, 'a');
	buf_str(&b, " HTTP/1.1\r\n" HOST);
	for (size_t i = 1; i < nfields; i++) {
		buf_str(&b, "x: ");
		for (size_t k = 0; k < value; k++)
			buf_byte(&b, 'v');
		buf_str(&b, "\r\n");
	}
	buf_str(&b, "\r\n");
	return status_of(buf_view(&b), &h);
}

static void sizes(void)
{
	ok(sized(8192, 1, 0) == 0, "a target of 8 KiB is taken");
	ok(sized(8193, 1, 0) == 414, "one byte more is not");
	ok(sized(100000, 1, 0) == 414, "nor is a line far longer");
	ok(sized(1, 100, 10) == 0, "100 fields are taken");
	ok(sized(1, 101, 10) == 431, "101 are not");
	ok(sized(1, 10000, 10) == 431, "nor are 10,000");
	ok(sized(1, 2, 32000) == 0, "32 KiB of header are taken");
	ok(sized(1, 2, 33000) == 431, "more are not");
	ok(sized(1, 2, 100 << 10) == 431, "nor are 100 KiB");
}

static void parts(void)
{
	struct head h;
	struct sv v = SV("PUT /a/b%20c?q=1?2 HTTP/1.1\r\nhOsT: Ex:80\r\nConnection: "
			 "keep-alive, CLOSE\r\nX-A:  one two\t\r\n\r\nrest");

	ok(status_of(v, &h) == 0 && h.known == HTTP_PUT,
	   "a head is taken apart: method");
	ok(sv_eq(h.path, SV("/a/b%20c")) && sv_eq(h.query, SV("q=1?2")), "path, query");
	ok(sv_eq(h.authority, SV("Ex:80")), "authority");
	ok(h.n == 3 && sv_eq(h.fields[2].name, SV("X-A")) &&
		   sv_eq(h.fields[2].value, SV("one two")),
	   "fields, blanks around their values removed");
	ok(h.close, "Connection: close is found in a list");
	v = SV("GET http://ex/x?y HTTP/1.1\r\nHost: ex\r\n\r\n");
	ok(status_of(v, &h) == 0 && sv_eq(h.path, SV("/x")) && sv_eq(h.query, SV("y")),
	   "an absolute target leaves its path");
	v = SV("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nExpect: "
	       "100-continue\r\n\r\n");
	ok(status_of(v, &h) == 0 && h.close && !h.expect,
	   "HTTP/1.0 is neither kept alive nor told to continue");
}

/* The answer to a head that comes in pieces is that to the whole. */
static int in_pieces(struct sv bytes, size_t step)
{
	struct h1_scan s = {0};
	struct refusal r = {0};
	int got = H1_MORE;

	for (size_t n = step; got == H1_MORE; n += step) {
		got = h1_scan(&s, (struct sv){bytes.p, n < bytes.n ? n : bytes.n},
			      &limits, &r);
		if (n >= bytes.n)
			break;
	}
	return got == H1_BAD ? (int)r.status : got;
}

int main(void)
{
	struct head h;
	unsigned bad = 0;

	http_limits_default(&limits);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = status_of(cases[i].bytes, &h);

		ok(got == cases[i].status, "case %zu: %d, expected %d", i, got,
		   cases[i].status);
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step < 40; step++)
			bad += in_pieces(cases[i].bytes, step) !=
			       in_pieces(cases[i].bytes, 1 << 20);
	ok(bad == 0, "the pieces it comes in do not matter (%u differ)", bad);
	sizes();
	parts();
	return tap_done();
}
