/* t_json.c: the writer's commas and escapes, ill-formed UTF-8, the readers of a tree. */
#include "sandbox/base/json.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>
#include <math.h>

static bool is(const struct buf *b, struct sv want)
{
	if (sv_eq(buf_view(b), want))
		return true;
	printf("# %s\n", buf_cstr(b));
	return false;
}

static void t_document(void)
{
	struct jw w;
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "s", SV("x"));
	jw_kint(&w, "most", INT64_MAX);
	jw_kint(&w, "least", INT64_MIN);
	jw_kbool(&w, "t", true);
	jw_key(&w, "n");
	jw_null(&w);
	jw_kraw(&w, "raw", SV("1.50"));
	jw_key(&w, "a");
	jw_arr(&w);
	jw_obj(&w);
	jw_obj_end(&w);
	jw_arr(&w);
	jw_arr_end(&w);
	jw_str(&w, SV(""));
	jw_int(&w, 0);
	jw_bool(&w, false);
	jw_raw(&w, SV("{}"));
	jw_arr_end(&w);
	jw_kint(&w, "last \"one\"", 1);
	jw_obj_end(&w);
	ok(is(&b,
	      SV("{\"s\":\"x\",\"most\":9223372036854775807,\"least\":-9223372036854775808,"
		 "\"t\":true,\"n\":null,\"raw\":1.50,\"a\":[{},[],\"\",0,false,{}],"
		 "\"last \\\"one\\\"\":1}")),
	   "a document of everything, commas where they belong, integers exact");
	ok(w.depth == 0, "every level is closed");
}

static void t_deep(void)
{
	struct jw w;
	bool right;
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	jw_init(&w, &b);
	for (int i = 0; i < 63; i++)
		jw_arr(&w);
	jw_int(&w, 1);
	jw_int(&w, 2);
	for (int i = 0; i < 63; i++)
		jw_arr_end(&w);
	right = b.n == 63 + 3 + 63 && !memcmp(b.p + 62, "[1,2]", 5);
	ok(right, "63 levels, with commas at the last");
}

static void t_ceiling(void)
{
	struct jw w;
	AUTO_BUF b = {0};

	buf_init(&b, 10);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "key", SV("value"));
	jw_obj_end(&w);
	ok(b.failed, "a document over its ceiling fails as a whole");
}

#define FFFD "\xef\xbf\xbd"

/* Replacement per maximal subpart; the table of the Unicode Standard, 3.9, among them. */
static const struct {
	struct sv in, out;
	uint64_t bad;
} quotes[] = {
	{{"", 0}, {"", 0}, 0},
	{{"a/b", 3}, {"a/b", 3}, 0},
	{{"\"\\", 2}, {"\\\"\\\\", 4}, 0},
	{{"\b\t\n\f\r", 5}, {"\\b\\t\\n\\f\\r", 10}, 0},
	{{"\0\x1f\x7f", 3}, {"\\u0000\\u001f\\u007f", 18}, 0},
	{{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
	 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
	 0},
	{{"\x80", 1}, {FFFD, 3}, 1},
	{{"\xff\xfe", 2}, {FFFD FFFD, 6}, 2},
	{{"\xc0\xaf", 2}, {FFFD FFFD, 6}, 2},
	{{"\xe0\x80\xaf", 3}, {FFFD FFFD FFFD, 9}, 3},
	{{"\xed\xa0\x80", 3}, {FFFD FFFD FFFD, 9}, 3},
	{{"\xf4\x91\x92\x93", 4}, {FFFD FFFD FFFD FFFD, 12}, 4},
	{{"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 9}, {FFFD FFFD FFFD FFFD "A", 13}, 4},
	{{"\xe2\x82", 2}, {FFFD, 3}, 1},
	{{"\xf0\x9f\x98", 3}, {FFFD, 3}, 1},
	{{"\xf0\x9f", 2}, {FFFD, 3}, 1},
	{{"\xc3", 1}, {FFFD, 3}, 1},
	{{"\xc3(", 2}, {FFFD "(", 4}, 1},
	{{"a\xe2\x82z", 4}, {"a" FFFD "z", 5}, 1},
};

static void t_quotes(void)
{
	for (size_t i = 0; i < ARRAY_LEN(quotes); i++) {
		struct sv in = quotes[i].in;
		AUTO_BUF b = {0}, want = {0};

		buf_init(&b, 4096);
		buf_init(&want, 4096);
		json_quote(&b, in);
		buf_byte(&want, '"');
		buf_sv(&want, quotes[i].out);
		buf_byte(&want, '"');
		ok(is(&b, buf_view(&want)) && json_bad_utf8(in) == quotes[i].bad,
		   "quote row %zu: %u replaced", i, (unsigned)quotes[i].bad);
	}
}

/* What cJSON reads back from a quoted string is what went in, for every pair of bytes that is
 * UTF-8 without NUL; and any pair at all gives valid UTF-8. */
static void t_every_pair(void)
{
	bool valid = true, same = true;
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	for (unsigned i = 0; i < 65536; i++) {
		char s[3] = {(char)(i >> 8), (char)i, '\0'};
		struct cJSON *t;

		buf_reset(&b);
		json_quote(&b, (struct sv){s, 2});
		valid = valid && sv_valid_utf8(buf_view(&b));
		if (!s[0] || !s[1] || json_bad_utf8((struct sv){s, 2}))
			continue;
		t = cJSON_ParseWithLength(b.p, b.n);
		same = same && sv_eq(js_str(t), sv_of(s));
		cJSON_Delete(t);
	}
	ok(valid, "whatever two bytes are quoted, the result is UTF-8");
	ok(same, "what is UTF-8 can be read back");
}

/* Text is read 8 bytes at a time; alone, a byte is not. */
static void t_every_place(void)
{
	unsigned wrong = 0;
	AUTO_BUF alone = {0};
	AUTO_BUF among = {0};
	AUTO_BUF want = {0};

	buf_init(&alone, 64);
	buf_init(&among, 64);
	buf_init(&want, 64);
	for (int c = 0; c < 128; c++)
		for (size_t at = 0; at < 17; at++) {
			char text[] = "aaaaaaaaaaaaaaaaa";

			text[at] = (char)c;
			buf_reset(&alone);
			buf_reset(&among);
			buf_reset(&want);
			json_quote(&alone, (struct sv){&text[at], 1});
			json_quote(&among, (struct sv){text, 17});
			buf_byte(&want, '"');
			buf_add(&want, text, at);
			buf_add(&want, alone.p + 1, alone.n - 2);
			buf_add(&want, text + at + 1, 16 - at);
			buf_byte(&want, '"');
			wrong += !sv_eq(buf_view(&among), buf_view(&want));
		}
	ok(!wrong, "a byte is quoted alike wherever it stands: %u are not", wrong);
}

static void t_readers(void)
{
	struct cJSON *t =
		cJSON_Parse("{\"a\":1,\"A\":\"x\",\"t\":true,\"f\":false,\"l\":[3,4]}");
	const struct cJSON *m = js_first(js_get(t, "l"));

	ok(js_is_str(js_get(t, "A")) && !js_is_str(js_get(t, "a")) && !js_get(t, "T"),
	   "names are looked up exactly");
	ok(js_is_true(js_get(t, "t")) && !js_is_true(js_get(t, "f")) &&
		   !js_is_true(js_get(t, "a")),
	   "true is true alone");
	ok(sv_eq(js_str(js_get(t, "A")), SV("x")) && !js_str(js_get(t, "a")).n,
	   "the text of a string, of nothing else");
	ok(m && m->valueint == 3 && js_next(m)->valueint == 4 && !js_next(js_next(m)),
	   "the items of an array");
	ok(sv_eq(js_name(js_first(t)), SV("a")) && !js_name(m).n,
	   "members have names, items none");
	ok(!js_get(NULL, "a") && !js_is_str(NULL) && !js_is_true(NULL) &&
		   !js_str(NULL).n && !js_first(NULL) && !js_next(NULL) &&
		   !js_name(NULL).n,
	   "all accept NULL");
	cJSON_Delete(t);
}

static void t_int(void)
{
	static const struct {
		double d;
		bool good;
	} rows[] = {{0, true},
		    {-0.0, true},
		    {3, true},
		    {9007199254740992.0, true},
		    {-9007199254740992.0, true},
		    {9007199254740994.0, false},
		    {0.5, false},
		    {-1e300, false},
		    {HUGE_VAL, false},
		    {-HUGE_VAL, false}};
	struct cJSON *word = cJSON_CreateString("3");
	int64_t v;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cJSON *n = cJSON_CreateNumber(rows[i].d);

		v = 77;
		ok(rows[i].good ? !js_int(n, &v) && (double)v == rows[i].d
				: js_int(n, &v) == -1 && v == 77,
		   "%g is %s integer", rows[i].d, rows[i].good ? "an" : "no");
		cJSON_Delete(n);
	}
	ok(js_int(word, &v) == -1 && js_int(NULL, &v) == -1,
	   "nor is a string or nothing");
	cJSON_Delete(word);
}

/* What some who read lines take for the end of one, and its neighbours. */
static void t_line_ends(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	json_quote(&b, SV("a\xc2\x84\xc2\x85\xc2\x86"
			  "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"
			  "\xe2\x81\xa8z"));
	ok(is(&b, SV("\"a\xc2\x84\\u0085\xc2\x86"
		     "\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa"
		     "\xe2\x81\xa8z\"")),
	   "line ends of Unicode are escaped, no other character is");
}

int main(void)
{
	t_document();
	t_deep();
	t_ceiling();
	t_quotes();
	t_every_pair();
	t_every_place();
	t_readers();
	t_int();
	t_line_ends();
	return tap_done();
}
