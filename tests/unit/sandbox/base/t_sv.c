/* t_sv.c: views: comparing, cutting, numbers, UTF-8. */
#include "sandbox/base/sv.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

static void t_compare(void)
{
	struct sv none = {NULL, 0};

	ok(sv_eq(none, SV("")) && sv_eq(sv_of(NULL), none),
	   "empty views are equal, NULL or not");
	ok(sv_eq(SV("a\0b"), SV("a\0b")) && !sv_eq(SV("a\0b"), SV("a\0c")) &&
		   !sv_eq(SV("a"), SV("ab")),
	   "all bytes count, NUL too");
	ok(sv_starts(SV("abc"), SV("ab")) && sv_starts(SV("a"), none) &&
		   !sv_starts(SV("a"), SV("ab")),
	   "starts");
	ok(sv_ends(SV("abc"), SV("bc")) && sv_ends(SV("a"), none) &&
		   !sv_ends(SV("c"), SV("bc")),
	   "ends");
	ok(sv_find(SV("a=b=c"), '=') == 1 && sv_find(SV("abc"), 'x') == -1 &&
		   sv_find(none, 'x') == -1,
	   "find gives the first offset or -1");
}

static void t_cut(void)
{
	static const char *const want[] = {"a", "b", ""};
	struct sv rest = SV("a,b,"), part;
	bool more = true, right = true;
	size_t n = 0;

	for (; sv_cut(&rest, ',', &more, &part); n++)
		right = right && n < 3 && sv_eq(part, sv_of(want[n]));
	ok(right && n == 3, "\"a,b,\" is three parts");
	rest = (struct sv){NULL, 0};
	more = true;
	ok(sv_cut(&rest, ',', &more, &part) && !part.n &&
		   !sv_cut(&rest, ',', &more, &part),
	   "nothing is one empty part");
	ok(sv_eq(sv_trim(SV(" \t\r\na b\n ")), SV("a b")) && !sv_trim(SV(" \n")).n &&
		   !sv_trim((struct sv){NULL, 0}).n,
	   "trim takes blanks at both ends only");
}

static void t_i64(void)
{
	static const char *const bad[] = {"",
					  "-",
					  "+1",
					  " 1",
					  "1 ",
					  "0x1",
					  "1e3",
					  "1.0",
					  "--1",
					  "1-",
					  "9223372036854775808",
					  "-9223372036854775809",
					  "99999999999999999999"};
	int64_t v = 7;

	ok(!sv_to_i64(SV("9223372036854775807"), &v) && v == INT64_MAX, "the largest");
	ok(!sv_to_i64(SV("-9223372036854775808"), &v) && v == INT64_MIN,
	   "the smallest");
	ok(!sv_to_i64(SV("-0"), &v) && v == 0 && !sv_to_i64(SV("007"), &v) && v == 7,
	   "zeros in front");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(sv_to_i64(sv_of(bad[i]), &v) == -1 && v == 7, "\"%s\" is no integer",
		   bad[i]);
	ok(sv_to_i64(SV("1\0"), &v) == -1, "nor is one with a NUL behind it");
}

static void t_u64(void)
{
	uint64_t v = 7;

	ok(!sv_to_u64(SV("18446744073709551615"), &v) && v == UINT64_MAX,
	   "the largest unsigned");
	v = 7;
	ok(sv_to_u64(SV("18446744073709551616"), &v) && sv_to_u64(SV("-1"), &v) &&
		   sv_to_u64(SV("000000000000000000001"), &v) && v == 7,
	   "one more, a sign, 21 digits are refused");
}

static void t_copy(void)
{
	char s[4] = "xyz";

	ok(sv_copy(SV("abcd"), s, sizeof(s)) == -1 &&
		   sv_copy(SV("a\0b"), s, sizeof(s)) == -1 && !strcmp(s, "xyz"),
	   "what does not fit or holds a NUL is not copied");
	ok(!sv_copy(SV("abc"), s, sizeof(s)) && !strcmp(s, "abc"), "what just fits is");
	ok(!sv_copy((struct sv){NULL, 0}, s, sizeof(s)) && !s[0], "so is nothing");
	ok(sv_copy(SV(""), s, 0) == -1, "not even nothing fits into no bytes");
}

static void t_utf8_rows(void)
{
	static const struct {
		struct sv bytes;
		size_t len;
	} rows[] = {
		{{"A", 1}, 1},
		{{"\0", 1}, 1},
		{{"\x7f", 1}, 1},
		{{"\x80", 1}, 0},
		{{"\xc1\xbf", 2}, 0},
		{{"\xc2\x80", 2}, 2},
		{{"\xdf\xbf", 2}, 2},
		{{"\xc2", 1}, 0},
		{{"\xc2\x41", 2}, 0},
		{{"\xe0\x9f\xbf", 3}, 0},
		{{"\xe0\xa0\x80", 3}, 3},
		{{"\xed\x9f\xbf", 3}, 3},
		{{"\xed\xa0\x80", 3}, 0},
		{{"\xed\xbf\xbf", 3}, 0},
		{{"\xee\x80\x80", 3}, 3},
		{{"\xef\xbf\xbf", 3}, 3},
		{{"\xef\xbf", 2}, 0},
		{{"\xf0\x8f\xbf\xbf", 4}, 0},
		{{"\xf0\x90\x80\x80", 4}, 4},
		{{"\xf4\x8f\xbf\xbf", 4}, 4},
		{{"\xf4\x90\x80\x80", 4}, 0},
		{{"\xf5\x80\x80\x80", 4}, 0},
		{{"\xf0\x90\x80", 3}, 0},
		{{"\xf0\x90\x80\x41", 4}, 0},
		{{"\xff", 1}, 0},
		{{"", 0}, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ok(sv_utf8_len(rows[i].bytes) == rows[i].len, "UTF-8 row %zu: %zu", i,
		   rows[i].len);
}

/* Every code point both ways: encoded by hand here, surrogates refused. */
static void t_utf8_all(void)
{
	bool right = true;

	for (unsigned c = 0x800; c <= 0xffff; c++) {
		char s[3] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 63)),
			     (char)(0x80 | (c & 63))};
		bool surrogate = c >= 0xd800 && c <= 0xdfff;

		right = right && sv_utf8_len((struct sv){s, 3}) == (surrogate ? 0 : 3);
	}
	ok(right, "three bytes: all but the surrogates");
	ok(sv_valid_utf8(SV("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")) &&
		   sv_valid_utf8(SV("")) && !sv_valid_utf8(SV("a\xc3")) &&
		   !sv_valid_utf8(SV("\xe2\x82x")),
	   "whole texts");
}

int main(void)
{
	t_compare();
	t_cut();
	t_i64();
	t_u64();
	t_copy();
	t_utf8_rows();
	t_utf8_all();
	return tap_done();
}
