/* t_h1_body.c: counted and chunked bodies, in every way they can be cut and be wrong. */
#include "mcp/http/parse.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

static struct http_limits limits;

/* Feeds bytes in pieces of `step`; the status, 0 when whole (then *ret_used tells how much), or -1
 * when more is due. */
static int fed(const struct head *h, struct sv bytes, size_t step, struct buf *out,
	       size_t *ret_used)
{
	struct h1_body b;
	struct refusal r = {0};
	int got = h1_body_start(&b, h, limits.body_bytes, &r);

	*ret_used = 0;
	while (got == H1_MORE && *ret_used < bytes.n) {
		size_t n = bytes.n - *ret_used, used = 0;
		struct sv piece = {bytes.p + *ret_used, n < step ? n : step};

		got = h1_body_feed(&b, piece, &used, out, &limits, &r);
		*ret_used += used;
	}
	return got == H1_BAD ? (int)r.status : got == H1_DONE ? 0 : -1;
}

#define ROW(status, used, text, body)                                                  \
	{                                                                              \
		status, used, {text, sizeof(text) - 1},                                \
		{                                                                      \
			body, sizeof(body) - 1                                         \
		}                                                                      \
	}
static const struct {
	int status;
	size_t used;
	struct sv bytes, body;
} cases[] = {
	/* clang-format off */
	ROW(0, 5, "0\r\n\r\nGET", ""),
	ROW(0, 14, "4\r\nwiki\r\n0\r\n\r\n", "wiki"),
	ROW(0, 17, "0004\r\nwiki\r\n0\r\n\r\n", "wiki"),
	ROW(0, 24, "a\r\n0123456789\r\n000\r\n\r\nx", "0123456789"),
	ROW(0, 24, "A\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
	ROW(0, 22, "1\r\na\r\n2;x\r\nbc\r\n0\r\n\r\n", "abc"),
	ROW(0, 26, "1;a=\"b;c\"\r\na\r\n0;ext\r\n\r\n", "a"),
	ROW(0, 17, "0\r\nA: b\r\nC:\r\n\r\n", ""),
	ROW(-1, 12, "4\r\nwiki\r\n0\r\n", "wiki"),
	ROW(-1, 2, "4\r", ""),
	ROW(400, 0, "\r\n\r\n", ""),
	ROW(400, 0, " 4\r\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "4 \r\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "+4\r\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "0x4\r\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "g\r\n", ""),
	ROW(400, 0, ";a\r\n", ""),
	ROW(400, 0, "4\nwiki\n0\n\n", ""),
	ROW(400, 0, "4\r\rwiki\r\n", ""),
	ROW(400, 0, "4;a\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "4;a\rb\r\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "4;\0\r\nwiki\r\n0\r\n\r\n", ""),
	ROW(400, 0, "4\r\nwikis\r\n0\r\n\r\n", "wiki"),
	ROW(400, 0, "4\r\nwiki\n0\r\n\r\n", "wiki"),
	ROW(400, 0, "4\r\nwiki\rx", "wiki"),
	ROW(413, 0, "ffffffffffffffff\r\n", ""),
	ROW(400, 0, "10000000000000000\r\n", ""),
	ROW(400, 0, "00000000000000004\r\n", ""),
	ROW(413, 0, "1000001\r\n", ""),
	ROW(400, 0, "0\r\n a: b\r\n\r\n", ""),
	ROW(400, 0, "0\r\na b: c\r\n\r\n", ""),
	ROW(400, 0, "0\r\n: c\r\n\r\n", ""),
	ROW(400, 0, "0\r\na: \x01\r\n\r\n", ""),
	ROW(400, 0, "0\r\na: b\n\r\n", ""),
	ROW(400, 0, "0\r\n\rx", ""),
	/* clang-format on */
};

static void chunked(void)
{
	struct head h = {.chunked = true};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool same = true;
		int got = 0;
		size_t used = 0;

		for (size_t step = 1; step <= cases[i].bytes.n && same; step++) {
			AUTO_BUF out = {.max = limits.body_bytes};

			got = fed(&h, cases[i].bytes, step, &out, &used);
			same = got == cases[i].status &&
			       sv_eq(buf_view(&out), cases[i].body) &&
			       (got > 0 || used <= cases[i].bytes.n);
		}
		ok(same, "chunked case %zu: %d, expected %d, in any pieces", i, got,
		   cases[i].status);
	}
}

static void leaves_the_next_request(void)
{
	struct head h = {.chunked = true};
	AUTO_BUF out = {.max = limits.body_bytes};
	size_t used = 0;
	int got = fed(&h, SV("1\r\na\r\n0\r\nT: x\r\n\r\nGET /"), 1000, &out, &used);

	ok(!got && used == 17, "what follows a chunked body is not touched (%zu)",
	   used);
	buf_reset(&out);
	h = (struct head){.has_length = true, .length = 3};
	ok(!fed(&h, SV("abcGET /"), 1000, &out, &used) && used == 3 &&
		   sv_eq(buf_view(&out), SV("abc")),
	   "nor what follows a counted one");
}

static void lengths(void)
{
	struct h1_body b;
	struct refusal r = {0};
	struct head h = {.has_length = true, .length = limits.body_bytes};

	ok(h1_body_start(&b, &h, limits.body_bytes, &r) == H1_MORE, "16 MiB may come");
	h.length++;
	ok(h1_body_start(&b, &h, limits.body_bytes, &r) == H1_BAD && r.status == 413,
	   "one byte more may not, and is refused before it comes");
	h.length = UINT64_MAX;
	ok(h1_body_start(&b, &h, limits.body_bytes, &r) == H1_BAD, "nor may 2^64 - 1");
	h.length = 0;
	ok(h1_body_start(&b, &h, limits.body_bytes, &r) == H1_DONE,
	   "nothing is nothing");
	h = (struct head){0};
	ok(h1_body_start(&b, &h, limits.body_bytes, &r) == H1_DONE,
	   "without length or coding there is no body");
}

/* before, n times the piece, after */
static int repeated(const char *before, const char *piece, size_t n, const char *after)
{
	struct head h = {.chunked = true};
	AUTO_BUF in = {.max = 64 << 20}, out = {.max = limits.body_bytes};
	size_t used;

	buf_str(&in, before);
	for (size_t i = 0; i < n; i++)
		buf_str(&in, piece);
	buf_str(&in, after);
	return fed(&h, buf_view(&in), 4096, &out, &used);
}

static void bounds(void)
{
	ok(repeated("1;", "x", 4000, "\r\na\r\n0\r\n\r\n") == 0,
	   "an extension may be long");
	ok(repeated("1;", "x", 5000, "\r\na\r\n0\r\n\r\n") == 400, "but not too long");
	ok(repeated("1;", "x", 1 << 20, "\r\na\r\n0\r\n\r\n") == 400, "nor 1 MiB");
	ok(repeated("", "1;xxxxxxxxx\r\na\r\n", 1000, "0\r\n\r\n") == 400,
	   "nor may many short ones add up to it");
	ok(repeated("", "1\r\na\r\n", 10000, "0\r\n\r\n") == 0, "many chunks may come");
	ok(repeated("0\r\n", "a: b\r\n", 100, "\r\n") == 0, "100 trailers may come");
	ok(repeated("0\r\n", "a: b\r\n", 101, "\r\n") == 431, "101 may not");
	ok(repeated("0\r\na: ", "x", 33000, "\r\n\r\n") == 431, "nor more than 32 KiB");
	limits.body_bytes = 1000;
	ok(repeated("",
		    "64\r\n"
		    "0123456789012345678901234567890123456789012345678901234567"
		    "890123456789012345678901234567890123456789\r\n",
		    10, "0\r\n\r\n") == 0,
	   "chunks may add up to the limit");
	ok(repeated("",
		    "64\r\n"
		    "0123456789012345678901234567890123456789012345678901234567"
		    "890123456789012345678901234567890123456789\r\n",
		    10, "1\r\n") == 413,
	   "but not to one byte more");
}

static void no_memory(void)
{
	struct head h = {.has_length = true, .length = 100};
	AUTO_BUF out = {.max = 1000};
	size_t used;

	mem_fail_after(1);
	ok(fed(&h, SV("abc"), 10, &out, &used) == 503, "without memory it is refused");
	mem_fail_after(0);
}

int main(void)
{
	http_limits_default(&limits);
	chunked();
	leaves_the_next_request();
	lengths();
	no_memory();
	bounds();
	return tap_done();
}
