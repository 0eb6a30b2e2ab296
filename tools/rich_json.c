/* rich_json.c: JSON text, checked and cut into pieces without a tree (RFC 8259, strictly). */
#include "tools/rich.h"

#include <string.h>

static void skip_blanks(struct sv *s)
{
	while (s->n &&
	       (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
		s->p++, s->n--;
}

static void step(struct sv *s, size_t n)
{
	s->p += n, s->n -= n;
}

static bool take(struct sv *s, char c)
{
	skip_blanks(s);
	if (!s->n || *s->p != c)
		return false;
	step(s, 1);
	skip_blanks(s);
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Of four hex digits, or -1. */
static int32_t code_unit(struct sv s)
{
	int32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		if (i >= s.n || hex_digit(s.p[i]) < 0)
			return -1;
		v = v * 16 + hex_digit(s.p[i]);
	}
	return v;
}

/* Bytes of the escape after its backslash, or 0. */
static size_t escape_len(struct sv s)
{
	if (!s.n)
		return 0;
	if (*s.p == 'u')
		return code_unit((struct sv){s.p + 1, s.n - 1}) >= 0 ? 5 : 0;
	return memchr("\"\\/bfnrt", *s.p, 8) ? 1 : 0;
}

static bool cut_string(struct sv *s)
{
	step(s, 1);
	while (s->n) {
		const unsigned char c = (unsigned char)*s->p;
		size_t k;

		step(s, 1);
		if (c == '"')
			return true;
		if (c < 0x20)
			return false;
		if (c != '\\')
			continue;
		k = escape_len(*s);
		if (!k)
			return false;
		step(s, k);
	}
	return false;
}

static bool cut_digits(struct sv *s)
{
	if (!s->n || !is_digit(*s->p))
		return false;
	while (s->n && is_digit(*s->p))
		step(s, 1);
	return true;
}

static bool cut_number(struct sv *s)
{
	if (s->n && *s->p == '-')
		step(s, 1);
	if (s->n && *s->p == '0')
		step(s, 1);
	else if (!cut_digits(s))
		return false;
	if (s->n && *s->p == '.') {
		step(s, 1);
		if (!cut_digits(s))
			return false;
	}
	if (s->n && (*s->p == 'e' || *s->p == 'E')) {
		step(s, 1);
		if (s->n && (*s->p == '+' || *s->p == '-'))
			step(s, 1);
		return cut_digits(s);
	}
	return true;
}

static bool cut_word(struct sv *s)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (sv_starts(*s, sv_of(words[i]))) {
			step(s, strlen(words[i]));
			return true;
		}
	return false;
}

static enum rich_value cut_any(struct sv *s, unsigned depth);

static bool cut_members(struct sv *s, char end, unsigned depth)
{
	step(s, 1);
	if (take(s, end))
		return true;
	do {
		if (end == '}' &&
		    (!s->n || *s->p != '"' || !cut_string(s) || !take(s, ':')))
			return false;
		if (cut_any(s, depth + 1) == RICH_NONE)
			return false;
	} while (take(s, ','));
	return take(s, end);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RICH_MAX_DEPTH */
static enum rich_value cut_any(struct sv *s, unsigned depth)
{
	if (!s->n || depth > RICH_MAX_DEPTH)
		return RICH_NONE;
	switch (*s->p) {
	case '"':
		return cut_string(s) ? RICH_STRING : RICH_NONE;
	case '{':
		return cut_members(s, '}', depth) ? RICH_OBJECT : RICH_NONE;
	case '[':
		return cut_members(s, ']', depth) ? RICH_OTHER : RICH_NONE;
	case 't':
	case 'f':
	case 'n':
		return cut_word(s) ? RICH_OTHER : RICH_NONE;
	default:
		return cut_number(s) ? RICH_NUMBER : RICH_NONE;
	}
}

enum rich_value rich_cut_value(struct sv *rest, struct sv *ret)
{
	enum rich_value kind;

	skip_blanks(rest);
	ret->p = rest->p;
	kind = cut_any(rest, 1);
	ret->n = (size_t)(rest->p - ret->p);
	if (kind == RICH_OBJECT || (ret->n && *ret->p == '['))
		while (ret->n && ret->p[ret->n - 1] != '}' && ret->p[ret->n - 1] != ']')
			ret->n--; /* blanks that were taken with the end */
	skip_blanks(rest);
	return kind;
}

int rich_next_member(struct sv *rest, struct rich_member *ret)
{
	if (!rest->n)
		return -1;
	/* the object's own brace, or the comma before this member */
	if (*rest->p != '{' && *rest->p != ',')
		return *rest->p == '}' && rest->n == 1 ? 0 : -1;
	step(rest, 1);
	skip_blanks(rest);
	if (rest->n == 1 && *rest->p == '}')
		return 0;
	if (rich_cut_value(rest, &ret->name) != RICH_STRING || !take(rest, ':'))
		return -1;
	ret->kind = rich_cut_value(rest, &ret->value);
	return ret->kind == RICH_NONE ? -1 : 1;
}

/* --- strings ------------------------------------------------------------------------------------ */

static void put_char(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_byte(b, (char)c);
	} else if (c < 0x800) {
		buf_byte(b, (char)(0xc0 | c >> 6));
		buf_byte(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_byte(b, (char)(0xe0 | c >> 12));
		buf_byte(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_byte(b, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_byte(b, (char)(0xf0 | c >> 18));
		buf_byte(b, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_byte(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_byte(b, (char)(0x80 | (c & 0x3f)));
	}
}

/* s is after a backslash and u; gives back how many bytes of it were used. */
static size_t put_unit(struct buf *b, struct sv s)
{
	const uint32_t high = (uint32_t)code_unit(s);
	int32_t low = -1;

	if (high < 0xd800 || high > 0xdfff) {
		put_char(b, high);
		return 4;
	}
	if (high < 0xdc00 && s.n >= 10 && s.p[4] == '\\' && s.p[5] == 'u')
		low = code_unit((struct sv){s.p + 6, s.n - 6});
	if (low < 0xdc00 || low > 0xdfff) {
		put_char(b, 0xfffd);
		return 4;
	}
	put_char(b, 0x10000 + ((high - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
	return 10;
}

static void put_escape(struct buf *b, struct sv *s)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char c = *s->p, *at = strchr(from, c);

	step(s, 1);
	if (c == 'u')
		step(s, put_unit(b, *s));
	else
		buf_byte(b, at ? to[at - from] : c);
}

void rich_unquote(struct sv quoted, struct buf *b)
{
	struct sv s = {quoted.p + 1, quoted.n - 2};

	while (s.n && !b->failed) {
		const char *back = memchr(s.p, '\\', s.n);
		const size_t n = back ? (size_t)(back - s.p) : s.n;

		buf_add(b, s.p, n);
		step(&s, n);
		if (!s.n)
			break;
		step(&s, 1);
		put_escape(b, &s);
	}
}

bool rich_is_word(struct sv quoted, const char *word)
{
	return sv_eq((struct sv){quoted.p + 1, quoted.n - 2}, sv_of(word));
}
