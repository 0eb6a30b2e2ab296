/* t_scan.c: what the strict pass refuses beyond the grammar, in which words, and at what cost. */
#include "mcp/jsonrpc/scan.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

struct row {
	const char *text;
	size_t n;
	enum rpc_verdict verdict;
	size_t at;
	const char *says; /* a part of the cause */
};

#define ROW(text, verdict, at, says)                                                   \
	{                                                                              \
		text, sizeof(text) - 1, verdict, at, says                              \
	}

/* clang-format off */
static const struct row rows[] = {
	ROW("{\"a\":[1,-2.5e3,\"x\",true,false,null,{}]}", RPC_SCAN_OK, 39, ""),
	ROW("", RPC_SCAN_BROKEN, 0, "it ends after 0 bytes"),
	ROW("\xef\xbb\xbf{}", RPC_SCAN_BROKEN, 0, "byte order mark"),
	ROW("\xff\xfe{\0}\0", RPC_SCAN_BROKEN, 0, "0xff at byte 0"),
	ROW("{} x", RPC_SCAN_BROKEN, 3, "'x' at byte 3, expected nothing after the value"),
	ROW("{}\0", RPC_SCAN_BROKEN, 2, "0x00 at byte 2"),
	ROW("[1 2]", RPC_SCAN_BROKEN, 3, "expected ',' or ']'"),
	ROW("{\"a\" 1}", RPC_SCAN_BROKEN, 5, "expected a colon"),
	ROW("{\"a\":1]", RPC_SCAN_BROKEN, 6, "expected ',' or '}'"),
	ROW("{a:1}", RPC_SCAN_BROKEN, 1, "a name in double quotes"),
	ROW("[01]", RPC_SCAN_BROKEN, 2, "'1' at byte 2"),
	ROW("[\"a\tb\"]", RPC_SCAN_BROKEN, 3, "control characters escaped"),
	ROW("[\"\xed\xa0\x80\"]", RPC_SCAN_BROKEN, 2, "well-formed UTF-8"),
	ROW("[\"\xc3\"]", RPC_SCAN_BROKEN, 2, "well-formed UTF-8"),
	ROW("\"\xe2\x82", RPC_SCAN_BROKEN, 1, "well-formed UTF-8"),
	ROW("[\"\\u12", RPC_SCAN_BROKEN, 6, "four hexadecimal digits"),
	ROW("[\"a\\u0000\"]", RPC_SCAN_REFUSED, 3, "NUL is not accepted"),
	ROW("[\"a\0\"]", RPC_SCAN_BROKEN, 3, "NUL is not accepted"),
	ROW("{\"\\u0000\":1}", RPC_SCAN_REFUSED, 2, "NUL is not accepted"),
	ROW("[\"\\ud800\"]", RPC_SCAN_REFUSED, 2, "surrogate"),
	ROW("[\"\\udc00\"]", RPC_SCAN_REFUSED, 2, "surrogate"),
	ROW("[\"\\ud800\\u0041\"]", RPC_SCAN_REFUSED, 2, "surrogate"),
	ROW("[\"\\ud800\\n\"]", RPC_SCAN_REFUSED, 2, "surrogate"),
	ROW("[\"\\ud83d\\ude00\"]", RPC_SCAN_OK, 16, ""),
	ROW("{\"a\":1,\"a\":2}", RPC_SCAN_REFUSED, 8, "the name \"a\" stands twice"),
	ROW("{\"\":1,\"\":2}", RPC_SCAN_REFUSED, 7, "the name \"\" stands twice"),
	ROW("{\"a\":1,\"b\":2,\"\\u0061\":3}", RPC_SCAN_REFUSED, 14, "stands twice"),
	ROW("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", RPC_SCAN_REFUSED, 19, "stands twice"),
	ROW("{\"/\":1,\"\\/\":2}", RPC_SCAN_REFUSED, 8, "stands twice"),
	ROW("[{\"x\":{\"k\":1,\"k\":1}}]", RPC_SCAN_REFUSED, 14, "\"k\" stands twice"),
	ROW("{\"a\":{\"a\":1},\"b\":{\"a\":1},\"A\":[{\"a\":1},{\"a\":1}]}", RPC_SCAN_OK, 47, ""),
	ROW("{\"ab\":1,\"a\":2,\"abc\":3,\"b\":4}", RPC_SCAN_OK, 28, ""),
};
/* clang-format on */

static void t_rows(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct err e = {.code = ERR_NONE};
		struct rpc_scan_result r;
		int bad = rpc_scan((struct sv){rows[i].text, rows[i].n}, &r, &e);

		if (!ok(r.verdict == rows[i].verdict && r.at == rows[i].at &&
				bad == -(r.verdict != RPC_SCAN_OK) &&
				strstr(e.cause, rows[i].says),
			"%s", rows[i].text))
			printf("# verdict %d at %zu: %s\n", (int)r.verdict, r.at,
			       e.cause);
	}
}

static enum rpc_verdict verdict_of(const struct buf *b, struct err *e)
{
	struct rpc_scan_result r;

	err_clear(e);
	rpc_scan(buf_view(b), &r, e);
	return r.verdict;
}

static void nest(struct buf *b, unsigned depth, const char *open, const char *close)
{
	buf_reset(b);
	for (unsigned i = 0; i < depth; i++)
		buf_str(b, open);
	buf_str(b, "1");
	for (unsigned i = 0; i < depth; i++)
		buf_str(b, close);
}

static void t_depth(void)
{
	struct err e;
	AUTO_BUF b = {0};

	buf_init(&b, RPC_MAX_MESSAGE_BYTES);
	nest(&b, RPC_MAX_DEPTH, "[", "]");
	ok(verdict_of(&b, &e) == RPC_SCAN_OK, "%d arrays deep is taken", RPC_MAX_DEPTH);
	nest(&b, RPC_MAX_DEPTH, "{\"a\":", "}");
	ok(verdict_of(&b, &e) == RPC_SCAN_OK, "%d objects deep is taken",
	   RPC_MAX_DEPTH);
	nest(&b, RPC_MAX_DEPTH + 1, "[", "]");
	ok(verdict_of(&b, &e) == RPC_SCAN_REFUSED && e.code == ERR_LIMIT,
	   "one more is not");
	ok(strstr(e.cause, "64") && strstr(e.remediation, "nest less"),
	   "and the error states the limit");
	nest(&b, 1000000, "[", "]");
	ok(verdict_of(&b, &e) == RPC_SCAN_REFUSED, "a million arrays deep is refused");
	nest(&b, 1000000, "{\"a\":", "}");
	ok(verdict_of(&b, &e) == RPC_SCAN_REFUSED, "a million objects deep is refused");
}

/* CPU time, as the machine may be busy. */
static double seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* All different, in no order. */
static void add_names(struct buf *b, uint64_t n, const char *last)
{
	buf_reset(b);
	buf_byte(b, '{');
	for (uint64_t i = 0; i < n; i++)
		buf_fmt(b, "\"k%u\":1,", (unsigned)(i * 7919 % n));
	buf_str(b, last);
	buf_byte(b, '}');
}

static void t_million_names(void)
{
	struct err e;
	double took;
	AUTO_BUF b = {0};

	buf_init(&b, RPC_MAX_MESSAGE_BYTES);
	add_names(&b, 1000000, "\"z\":1");
	took = seconds();
	ok(verdict_of(&b, &e) == RPC_SCAN_OK, "a million different names are taken");
	took = seconds() - took;
	ok(took < 10, "in far less than quadratic time (%.2f s)", took);
	add_names(&b, 1000000, "\"k123456\":1");
	ok(verdict_of(&b, &e) == RPC_SCAN_REFUSED && strstr(e.cause, "\"k123456\""),
	   "one of them twice is found and named");
}

#define BLOCKS 16
#define LETTERS 6

static uint32_t fnv1a(uint32_t h, const char *p)
{
	for (int i = 0; i < LETTERS; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return h;
}

/* FNV-1a is one to one on the first few numbers' letters, so they are scattered. */
static void block_of(unsigned number, char ret[LETTERS])
{
	uint32_t i = number * 2654435761u;

	for (int k = 0; k < LETTERS; k++, i /= 26)
		ret[k] = (char)('a' + i % 26);
}

/* Two blocks of letters that lead from each state to one and the same next: any choice among
 * them gives the same hash (Joux, Multicollisions in iterated hash functions, 2004). */
static bool find_collisions(char ret[BLOCKS][2][LETTERS])
{
	static uint32_t seen[1 << 20]; /* block number + 1 */
	uint32_t state = 2166136261u;

	for (int k = 0; k < BLOCKS; k++) {
		bool found = false;

		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < 10000000 && !found; i++) {
			uint32_t h, *slot;

			block_of(i, ret[k][0]);
			h = fnv1a(state, ret[k][0]);
			slot = &seen[h % (1 << 20)];
			if (*slot)
				block_of(*slot - 1, ret[k][1]);
			found = *slot && fnv1a(state, ret[k][1]) == h;
			*slot = i + 1;
		}
		if (!found)
			return false;
		state = fnv1a(state, ret[k][0]);
	}
	return true;
}

static void t_chosen_names(void)
{
	char blocks[BLOCKS][2][LETTERS];
	struct err e;
	double took;
	AUTO_BUF b = {0};

	buf_init(&b, RPC_MAX_MESSAGE_BYTES);
	ok(find_collisions(blocks), "names that share one FNV-1a hash are found");
	for (unsigned i = 0; i < 1 << BLOCKS; i++) {
		buf_str(&b, i ? ",\"" : "{\"");
		for (int k = 0; k < BLOCKS; k++)
			buf_add(&b, blocks[k][i >> k & 1], LETTERS);
		buf_str(&b, "\":1");
	}
	buf_byte(&b, '}');
	took = seconds();
	ok(verdict_of(&b, &e) == RPC_SCAN_OK, "65,536 different ones are taken");
	took = seconds() - took;
	ok(took < 5, "in far less than quadratic time (%.2f s)", took);
}

/* All sizes, every place of the pair: the sort leaves none of them apart. */
static void t_every_pair(void)
{
	bool found = true, named = true;
	AUTO_BUF b;

	buf_init(&b, 4096);
	for (unsigned n = 2; n < 20; n++)
		for (unsigned k = 0; k < n * n; k++) {
			unsigned i = k / n, j = k % n;
			struct err e;

			if (i >= j)
				continue;
			buf_reset(&b);
			for (unsigned x = 0; x < n; x++)
				buf_fmt(&b, "%s\"n%u\":1", x ? "," : "{",
					x == j ? i : x);
			buf_byte(&b, '}');
			found = found && verdict_of(&b, &e) == RPC_SCAN_REFUSED;
			buf_reset(&b);
			buf_fmt(&b, "\"n%u\" stands twice", i);
			named = named && strstr(e.cause, buf_cstr(&b));
		}
	ok(found && named, "a pair is found wherever it stands among 2 to 19 names");
}

static void t_limits(void)
{
	struct err e;
	AUTO_BUF b = {0};

	buf_init(&b, 2 * RPC_MAX_MESSAGE_BYTES);
	buf_byte(&b, '[');
	for (size_t i = 0; i < RPC_MAX_VALUES - 2; i++)
		buf_str(&b, "0,");
	buf_str(&b, "0]");
	ok(verdict_of(&b, &e) == RPC_SCAN_OK, "%zu values are taken", RPC_MAX_VALUES);
	b.n--;
	buf_str(&b, ",0]");
	ok(verdict_of(&b, &e) == RPC_SCAN_REFUSED && e.code == ERR_LIMIT,
	   "one more is not");
	buf_reset(&b);
	buf_byte(&b, '"');
	while (b.n < RPC_MAX_MESSAGE_BYTES - 1)
		buf_byte(&b, 'a');
	buf_byte(&b, '"');
	ok(verdict_of(&b, &e) == RPC_SCAN_OK, "%zu bytes are taken",
	   RPC_MAX_MESSAGE_BYTES);
	buf_byte(&b, ' ');
	ok(verdict_of(&b, &e) == RPC_SCAN_REFUSED && strstr(e.cause, "16777216"),
	   "one more is not, and the limit is stated");
}

static void t_messages(void)
{
	struct err e = {.code = ERR_NONE};
	struct rpc_scan_result r;
	AUTO_BUF b = {0};

	rpc_scan(SV("{\"code\":\"a\\u0000\"}"), &r, &e);
	ok(strstr(e.remediation, "base64"), "a NUL is told to go by base64");
	err_clear(&e);
	rpc_scan(SV("\xef\xbb\xbf{}"), &r, &e);
	ok(strstr(e.remediation, "without a byte order mark"), "a BOM is told to go");
	buf_init(&b, 4096);
	buf_str(&b, "{");
	for (int i = 0; i < 2; i++) {
		buf_str(&b, i ? ",\"x" : "\"x");
		for (int k = 0; k < 200; k++)
			buf_str(&b, "\xc3\xa9");
		buf_str(&b, "\":1");
	}
	buf_str(&b, "}");
	verdict_of(&b, &e);
	ok(strstr(e.cause, "...\" stands twice") && sv_valid_utf8(sv_of(e.cause)),
	   "a long name is cut between characters");
}

static void t_long_number(void)
{
	char text[RPC_CJSON_NUMBER_BYTES + 2] = "";
	struct rpc_scan_result r;

	memset(text, '7', RPC_CJSON_NUMBER_BYTES);
	ok(!rpc_scan(sv_of(text), &r, NULL) && !r.long_number,
	   "a number cJSON can surely read");
	text[RPC_CJSON_NUMBER_BYTES] = '7';
	ok(!rpc_scan(sv_of(text), &r, NULL) && r.long_number, "one digit more is told");
}

static void t_scalar(void)
{
	ok(rpc_scan_scalar(SV("-1.5e3")) && rpc_scan_scalar(SV("\"a\\n\"")) &&
		   rpc_scan_scalar(SV("\"\"")),
	   "numbers and strings are scalars");
	ok(!rpc_scan_scalar(SV("01")) && !rpc_scan_scalar(SV("1 ")) &&
		   !rpc_scan_scalar(SV("\"a")) && !rpc_scan_scalar(SV("")) &&
		   !rpc_scan_scalar(SV("null")) &&
		   !rpc_scan_scalar(SV("\"\\u0000\"")) &&
		   !rpc_scan_scalar(SV("\"a\"b")),
	   "anything else is not");
}

int main(void)
{
	t_rows();
	t_depth();
	t_million_names();
	t_chosen_names();
	t_every_pair();
	t_limits();
	t_messages();
	t_scalar();
	t_long_number();
	return tap_done();
}
