/* t_rich.c: a driver's line is taken exactly as the contract has it, or not at all. */
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"
#include "tools/rich.h"

#include <string.h>

#define PNG                                                                            \
	"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
#define DATA(members) "{\"call\":1,\"kind\":\"display\",\"data\":{" members "}}"
#define ERROR(members) "{\"call\":1,\"kind\":\"error\",\"error\":{" members "}}"

static bool refused(struct sv line)
{
	struct rich r;
	bool bad = rich_read(line, &r) != 0;

	rich_finish(&r);
	return bad;
}

static bool holds(const struct rich_item *it, const char *mime, const char *text)
{
	return !strcmp(it->mime, mime) && sv_eq(buf_view(&it->bytes), sv_of(text));
}

static const char *const refusals[] = {
	"",
	" ",
	"null",
	"7",
	"\"x\"",
	"[]",
	"{}",
	"{",
	"}",
	"{\"kind\":\"display\"}",
	"{\"kind\":\"display\",\"data\":{}",
	DATA("") "x",
	DATA("") " {}",
	"{\"kind\":\"display\",\"data\":[]}",
	"{\"kind\":\"display\",\"data\":\"\"}",
	"{\"kind\":\"other\",\"data\":{}}",
	"{\"kind\":7,\"data\":{}}",
	"{\"kind\":\"display\",\"kind\":\"error\",\"data\":{}}",
	"{\"kind\":\"display\",\"data\":{},\"data\":{}}",
	"{\"call\":\"1\",\"kind\":\"display\",\"data\":{}}",
	"{\"kind\":\"error\",\"data\":{}}",
	"{\"kind\":\"display\",\"error\":{\"type\":\"E\"}}",
	"{\"kind\":\"display\",\"data\":{},\"error\":{}}",
	"{'kind':'display','data':{}}",
	"{\"kind\":\"display\",\"data\":{},}",
	"{\"kind\":\"display\",,\"data\":{}}",
	"{\"kind\" \"display\",\"data\":{}}",
	"{\"kind\":\"display\",\"data\":{\"text/plain\":tru}}",
	"{\"kind\":\"display\",\"data\":{\"text/plain\":\"a\nb\"}}",
	"{\"kind\":\"display\",\"data\":{\"text/plain\":\"\\x41\"}}",
	"{\"kind\":\"display\",\"data\":{\"text/plain\":\"\\u12g4\"}}",
	"{\"kind\":\"display\",\"data\":{\"text/plain\":\"\\u12\"}}",
	"{\"kind\":\"display\",\"data\":{\"text/plain\":\"abc}}",
	"{\"kind\":\"display\",\"data\":{},\"n\":01}",
	"{\"kind\":\"display\",\"data\":{},\"n\":+1}",
	"{\"kind\":\"display\",\"data\":{},\"n\":1.}",
	"{\"kind\":\"display\",\"data\":{},\"n\":.5}",
	"{\"kind\":\"display\",\"data\":{},\"n\":1e}",
	"{\"kind\":\"display\",\"data\":{},\"n\":-}",
	"{\"kind\":\"display\",\"data\":{},\"n\":NaN}",
	"{\"kind\":\"display\",\"data\":{},\"n\":Infinity}",
	"{\"kind\":\"display\",\"data\":{},\"n\":[1,]}",
	"{\"kind\":\"display\",\"data\":{},\"n\":[1 2]}",
	"{\"kind\":\"display\",\"data\":{},\"n\":[}",
	"\xef\xbb\xbf{\"kind\":\"display\",\"data\":{}}",
	ERROR(""),
	ERROR("\"message\":\"m\""),
	ERROR("\"type\":7"),
	ERROR("\"type\":\"\""),
	ERROR("\"type\":\"E\",\"type\":\"F\""),
	ERROR("\"type\":\"E\",\"message\":null"),
	ERROR("\"type\":\"E\",\"line\":0"),
	ERROR("\"type\":\"E\",\"line\":-1"),
	ERROR("\"type\":\"E\",\"line\":1.5"),
	ERROR("\"type\":\"E\",\"line\":\"1\""),
	ERROR("\"type\":\"E\",\"line\":1,\"line\":1"),
	ERROR("\"type\":\"E\",\"line\":99999999999"),
	ERROR("\"type\":\"E\",\"traceback\":[]"),
};

static void test_refused(void)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		ok(refused(sv_of(refusals[i])), "refused: %zu", i);
	ok(refused((struct sv){"{\"kind\":\"display\",\"data\":{}}\0", 29 + 1}),
	   "refused: a NUL after it");
}

/* Every beginning of a line is no line, and reads nothing past its end (ASan). */
static void test_cut(void)
{
	static const char line[] =
		DATA("\"text/plain\":\"\\u00e9\\ud83d\\ude00\",\"image/png\":\"" PNG
		     "\",\"application/json\":{\"a\":[1,-2.5e3,true,null,{}]}");
	bool all = true;

	for (size_t n = 0; n + 1 < sizeof(line) - 1; n++) {
		char *copy = mem_alloc(n + 1);

		must(copy);
		memcpy(copy, line, n);
		all = all && refused((struct sv){copy, n});
		mem_free(copy);
	}
	ok(all && !refused((struct sv){line, sizeof(line) - 1}),
	   "each part of a line is refused");
}

/* A line of n arrays within each other. */
static void nest(struct buf *b, size_t n)
{
	buf_init(b, 4 * n + 100);
	buf_str(b, "{\"kind\":\"display\",\"data\":{\"application/json\":");
	for (size_t i = 0; i < n; i++)
		buf_byte(b, '[');
	for (size_t i = 0; i < n; i++)
		buf_byte(b, ']');
	buf_str(b, "}}");
}

static void test_depth(void)
{
	static const size_t deep[] = {RICH_MAX_DEPTH - 1, RICH_MAX_DEPTH, 1000000};

	for (size_t i = 0; i < ARRAY_LEN(deep); i++) {
		AUTO_BUF line = {0};

		nest(&line, deep[i]);
		ok(refused(buf_view(&line)), "%zu levels are refused", deep[i] + 2);
	}
	{
		AUTO_BUF line = {0};

		nest(&line, RICH_MAX_DEPTH - 2);
		ok(!refused(buf_view(&line)), "%d levels are taken", RICH_MAX_DEPTH);
	}
}

static void test_display(void)
{
	static const char line[] =
		" {\"call\" : 3 , \"kind\":\"result\",\"metadata\":{\"x\":[]},\"data\":{"
		"\"text/plain\":\"a\\n\\\"\\\\\\/\\t\\u00e9\\ud83d\\ude00\","
		"\"text/html\":\"<b>\",\"application/json\": {\"a\": [1, 2]} ,"
		"\"application/vnd.x+json\":\"[]\"}} ";
	struct rich r;

	ok(!rich_read(sv_of(line), &r) && r.kind == RICH_RESULT && r.nitems == 4 &&
		   !r.left_out,
	   "a result is read");
	ok(holds(&r.items[0], "text/plain", "a\n\"\\/\t\xc3\xa9\xf0\x9f\x98\x80"),
	   "its text is what the escapes stand for");
	ok(holds(&r.items[1], "text/html", "<b>") && r.items[1].is_text,
	   "so is its HTML");
	ok(holds(&r.items[2], "application/json", "{\"a\": [1, 2]}") &&
		   r.items[2].is_text,
	   "JSON stays as it was written");
	rich_finish(&r);
}

static void test_surrogates(void)
{
	struct rich r;

	ok(!rich_read(
		   sv_of(DATA(
			   "\"text/plain\":\"a\\ud800b\\udc00\\ud800\\u0041\\ud800\\ud800\\udc00\"")),
		   &r) &&
		   holds(&r.items[0], "text/plain",
			 "a\xef\xbf\xbd"
			 "b\xef\xbf\xbd\xef\xbf\xbd"
			 "A\xef\xbf\xbd\xf0\x90\x80\x80"),
	   "a surrogate alone is replaced, a pair is one character");
	rich_finish(&r);
	ok(!rich_read(sv_of(DATA("\"text/plain\":\"a\\u0000b\"")), &r) &&
		   r.items[0].bytes.n == 3,
	   "NUL is a character like others");
	rich_finish(&r);
}

static void test_images(void)
{
	struct rich r;

	ok(!rich_read(sv_of(DATA("\"image/png\":\"" PNG "\"")), &r) && r.nitems == 1 &&
		   !strcmp(r.items[0].mime, "image/png") && !r.items[0].is_text &&
		   sv_starts(buf_view(&r.items[0].bytes), SV("\x89PNG")),
	   "base64 becomes bytes");
	rich_finish(&r);
	ok(!rich_read(sv_of(DATA("\"image/png\":\"iVBORw0K\\nGgo=\\n\"")), &r) &&
		   r.items[0].bytes.n == 8,
	   "also in lines");
	rich_finish(&r);
	ok(!rich_read(sv_of(DATA("\"image/png\":\"R0lGODlh\"")), &r) && r.nitems == 1 &&
		   !strcmp(r.items[0].mime, "application/octet-stream"),
	   "what is no PNG is not handed on as one");
	rich_finish(&r);
	ok(!rich_read(
		   sv_of(DATA("\"image/jpeg\":\"AAAA\",\"application/pdf\":\"AAAA\"")),
		   &r) &&
		   !strcmp(r.items[1].mime, "application/octet-stream"),
	   "nor what is no JPEG and no PDF");
	rich_finish(&r);
	ok(!rich_read(sv_of(DATA("\"image/svg+xml\":\"<svg/>\"")), &r) &&
		   holds(&r.items[0], "image/svg+xml", "<svg/>") && r.items[0].is_text,
	   "SVG is text");
	rich_finish(&r);
	ok(!rich_read(sv_of(DATA("\"image/png\":\"\",\"font/x\":\"\"")), &r) &&
		   r.nitems == 2 && !r.items[1].bytes.n,
	   "nothing in base64 is no bytes");
	rich_finish(&r);
}

static void test_left_out(void)
{
	static const char *const items[] = {
		"\"image/png\":\"*\"",
		"\"image/png\":\"iVBO=\"",
		"\"image/png\":{}",
		"\"image/png\":7",
		"\"text/html\":[]",
		"\"plain\":\"x\"",
		"\"/plain\":\"x\"",
		"\"text/\":\"x\"",
		"\"text/a/b\":\"x\"",
		"\"text/pl ain\":\"x\"",
		"\"text/plain;charset=x\":\"x\"",
		"\"text/<script>\":\"x\"",
		"\"te\\u0078t/plain\":\"x\"",
		"\"\":\"x\"",
		"\"text/\xc3\xa9\":\"x\"",
		"\"text/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":\"x\"",
	};

	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		AUTO_BUF line = {0};
		struct rich r;

		buf_init(&line, 1000);
		buf_fmt(&line,
			"{\"kind\":\"display\",\"data\":{%s,\"text/plain\":\"y\"}}",
			items[i]);
		ok(!rich_read(buf_view(&line), &r) && r.nitems == 1 &&
			   r.left_out == 1 && holds(&r.items[0], "text/plain", "y"),
		   "left out, and the rest is there: %s", items[i]);
		rich_finish(&r);
	}
}

static void test_many_items(void)
{
	AUTO_BUF line = {0};
	struct rich r;

	buf_init(&line, 10000);
	buf_str(&line, "{\"kind\":\"display\",\"data\":{\"TEXT/x0\":\"0\"");
	for (int i = 0; i < 20; i++)
		buf_fmt(&line, ",\"text/x%d\":\"%d\"", i, i);
	buf_str(&line, "}}");
	ok(!rich_read(buf_view(&line), &r) && r.nitems == RICH_ITEMS &&
		   r.left_out == 21 - RICH_ITEMS && holds(&r.items[7], "text/x7", "7"),
	   "as many forms as are kept, none twice, in lower case");
	rich_finish(&r);
}

static void test_error(void)
{
	struct rich r;

	ok(!rich_read(
		   sv_of(ERROR(
			   "\"type\":\"E\",\"message\":\"m\",\"line\":3,\"traceback\":\"t\",\"more\":{}")),
		   &r) &&
		   r.kind == RICH_ERROR && r.nitems == RICH_ERROR_ITEMS &&
		   r.line == 3 && holds(&r.items[RICH_TYPE], "text/plain", "E") &&
		   holds(&r.items[RICH_MESSAGE], "text/plain", "m") &&
		   holds(&r.items[RICH_TRACEBACK], "text/plain", "t"),
	   "an error is read");
	rich_finish(&r);
	ok(!rich_read(sv_of(ERROR("\"type\":\"E\"")), &r) && !r.line &&
		   !r.items[RICH_MESSAGE].bytes.n && r.nitems == RICH_ERROR_ITEMS,
	   "its type alone is enough");
	rich_finish(&r);
}

static void test_no_memory(void)
{
	static const char line[] =
		DATA("\"text/plain\":\"a\",\"image/png\":\"" PNG "\"");
	long n = 1;

	for (; n < 50; n++) {
		struct rich r;
		bool whole;

		mem_fail_after(n);
		whole = !rich_read(sv_of(line), &r) && r.nitems == 2;
		mem_fail_after(0);
		rich_finish(&r);
		if (whole)
			break;
	}
	ok(n > 3 && n < 50, "each of %ld allocations may fail", n - 1);
}

int main(void)
{
	test_refused();
	test_cut();
	test_depth();
	test_display();
	test_surrogates();
	test_images();
	test_left_out();
	test_many_items();
	test_error();
	test_no_memory();
	return tap_done();
}
