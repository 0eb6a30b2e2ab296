/* json.c: the JSON writer and the accessors of json.h. */
#include "sandbox/base/json.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

void jw_init(struct jw *w, struct buf *b)
{
	*w = (struct jw){.b = b};
}

static void before_value(struct jw *w)
{
	uint64_t bit = (uint64_t)1 << w->depth;

	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->has_item & bit)
		buf_byte(w->b, ',');
	w->has_item |= bit;
}

static void open_level(struct jw *w, char c)
{
	before_value(w);
	buf_byte(w->b, c);
	must(w->depth < 63);
	w->depth++;
	w->has_item &= ~((uint64_t)1 << w->depth);
}

static void close_level(struct jw *w, char c)
{
	must(w->depth > 0);
	w->depth--;
	buf_byte(w->b, c);
}

void jw_obj(struct jw *w)
{
	open_level(w, '{');
}

void jw_obj_end(struct jw *w)
{
	close_level(w, '}');
}

void jw_arr(struct jw *w)
{
	open_level(w, '[');
}

void jw_arr_end(struct jw *w)
{
	close_level(w, ']');
}

void jw_key(struct jw *w, const char *key)
{
	before_value(w);
	json_quote(w->b, sv_of(key));
	buf_byte(w->b, ':');
	w->after_key = true;
}

void jw_str(struct jw *w, struct sv s)
{
	before_value(w);
	json_quote(w->b, s);
}

void jw_int(struct jw *w, int64_t v)
{
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	char digits[20];
	size_t at = sizeof(digits);

	before_value(w);
	do
		digits[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		digits[--at] = '-';
	buf_add(w->b, digits + at, sizeof(digits) - at);
}

void jw_bool(struct jw *w, bool v)
{
	before_value(w);
	buf_str(w->b, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
	before_value(w);
	buf_str(w->b, "null");
}

void jw_raw(struct jw *w, struct sv json)
{
	before_value(w);
	buf_sv(w->b, json);
}

void jw_kstr(struct jw *w, const char *key, struct sv s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kint(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_int(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

void jw_kraw(struct jw *w, const char *key, struct sv json)
{
	jw_key(w, key);
	jw_raw(w, json);
}

/* Bytes of the ill-formed run that becomes one U+FFFD: the longest prefix of a well-formed
 * sequence, at least one byte. */
static size_t bad_run(struct sv s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t want = p[0] >= 0xf0 && p[0] <= 0xf4  ? 4
		      : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
						    : 1;

	for (size_t k = want - 1; want > 2 && k >= 2; k--) {
		char tail[4] = {(char)0x80, (char)0x80, (char)0x80, (char)0x80};

		if (k > s.n)
			continue;
		memcpy(tail, s.p, k);
		if (sv_utf8_len((struct sv){tail, want}) == want)
			return k;
	}
	return 1;
}

static void quote_ascii(struct buf *b, char c)
{
	static const char *const esc[128] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n",	 ['\f'] = "\\f",
		['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\",
	};

	if (esc[(unsigned char)c])
		buf_str(b, esc[(unsigned char)c]);
	else if ((unsigned char)c < 0x20 || c == 0x7f)
		buf_fmt(b, "\\u%04x", (unsigned)(unsigned char)c);
	else
		buf_byte(b, c);
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* The top bit of some byte is set when one of the 8 is 0; only then. */
static uint64_t zero_byte(uint64_t v)
{
	return (v - EACH(1u)) & ~v & EACH(0x80u);
}

/* Whether 8 bytes need no escape, all at once (Bit Twiddling Hacks, "hasless"): results are mostly
 * long runs of such. */
static bool are_plain(const char *p)
{
	uint64_t v, control;

	memcpy(&v, p, sizeof(v));
	control = (v - EACH(0x20u)) & ~v & EACH(0x80u);
	return !((v & EACH(0x80u)) | control | zero_byte(v ^ EACH(0x7fu)) |
		 zero_byte(v ^ EACH((unsigned)'"')) |
		 zero_byte(v ^ EACH((unsigned)'\\')));
}

/* Length of the leading run that needs no escape: printable ASCII but quote and backslash. */
static size_t plain_run(struct sv s)
{
	size_t n = 0;

	while (s.n - n >= 8 && are_plain(s.p + n))
		n += 8;
	while (n < s.n && (unsigned char)s.p[n] >= 0x20 &&
	       (unsigned char)s.p[n] < 0x7f && s.p[n] != '"' && s.p[n] != '\\')
		n++;
	return n;
}

/* U+0085, U+2028 and U+2029 end a line to many who read lines (JavaScript's and Python's among
 * them): as they are, a program that prints one would cut the message it is told in. */
static const char *line_end(struct sv c)
{
	if (c.n == 2 && !memcmp(c.p, "\xc2\x85", 2))
		return "\\u0085";
	if (c.n == 3 && !memcmp(c.p, "\xe2\x80\xa8", 3))
		return "\\u2028";
	return c.n == 3 && !memcmp(c.p, "\xe2\x80\xa9", 3) ? "\\u2029" : NULL;
}

/* One well-formed character past ASCII. */
static void quote_wide(struct buf *b, struct sv c)
{
	const char *escaped = line_end(c);

	if (escaped)
		buf_str(b, escaped);
	else
		buf_sv(b, c);
}

void json_quote(struct buf *b, struct sv s)
{
	buf_byte(b, '"');
	while (s.n && !b->failed) {
		size_t k = plain_run(s);

		if (k) {
			buf_add(b, s.p, k);
		} else if ((k = sv_utf8_len(s)) == 1) {
			quote_ascii(b, s.p[0]);
		} else if (k) {
			quote_wide(b, (struct sv){s.p, k});
		} else {
			buf_str(b, "\xef\xbf\xbd");
			k = bad_run(s);
		}
		s.p += k, s.n -= k;
	}
	buf_byte(b, '"');
}

uint64_t json_bad_utf8(struct sv s)
{
	uint64_t bad = 0;

	while (s.n) {
		size_t k = plain_run(s);

		if (!k)
			k = sv_utf8_len(s);
		if (!k) {
			bad++;
			k = bad_run(s);
		}
		s.p += k, s.n -= k;
	}
	return bad;
}

const struct cJSON *js_get(const struct cJSON *obj, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(obj, key);
}

bool js_is_str(const struct cJSON *v)
{
	return cJSON_IsString(v);
}

struct sv js_str(const struct cJSON *v)
{
	return sv_of(cJSON_IsString(v) ? v->valuestring : NULL);
}

bool js_is_true(const struct cJSON *v)
{
	return cJSON_IsTrue(v);
}

const struct cJSON *js_first(const struct cJSON *v)
{
	return v ? v->child : NULL;
}

const struct cJSON *js_next(const struct cJSON *v)
{
	return v ? v->next : NULL;
}

struct sv js_name(const struct cJSON *v)
{
	return sv_of(v ? v->string : NULL);
}

int js_int(const struct cJSON *v, int64_t *ret)
{
	const double top = 9007199254740992.0;

	if (!cJSON_IsNumber(v) || !(v->valuedouble >= -top && v->valuedouble <= top))
		return -1;
	if ((double)(int64_t)v->valuedouble != v->valuedouble)
		return -1;
	*ret = (int64_t)v->valuedouble;
	return 0;
}
