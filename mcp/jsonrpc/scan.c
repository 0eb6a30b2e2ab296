/* scan.c: the strict pass over raw bytes: RFC 8259, and what this server refuses beyond it.
 *
 * One loop over "what may come next"; the kinds of the open containers are bits of one word, so
 * that nothing recurses however deep the text nests. */
#include "mcp/jsonrpc/scan.h"

#include "mcp/jsonrpc/jsonrpc.h"

enum want {
	WANT_VALUE,
	WANT_ITEM_OR_END, /* after [ */
	WANT_NAME_OR_END, /* after { */
	WANT_NAME, /* after a comma in an object */
	WANT_NEXT, /* after a value in a container */
	WANT_DONE,
};

struct scan {
	struct sv all;
	size_t at;
	unsigned depth;
	uint64_t objects; /* bit d-1: the container at depth d is an object */
	size_t marks[RPC_MAX_DEPTH]; /* where its names start */
	size_t values;
	struct rpc_names names;
	struct rpc_scan_result *ret;
	struct err *e;
};
_Static_assert(RPC_MAX_DEPTH <= 64, "one bit per depth");
_Static_assert(RPC_MAX_MESSAGE_BYTES < UINT32_MAX, "offsets of names are 32 bits");

static const char send_utf8[] =
	"send one JSON value, encoded as UTF-8 without a byte order mark";

/* The byte at the cursor, or -1 at the end. */
static int peek(const struct scan *s)
{
	return s->at < s->all.n ? (unsigned char)s->all.p[s->at] : -1;
}

static void skip_blanks(struct scan *s)
{
	while (s->at < s->all.n && (s->all.p[s->at] == ' ' || s->all.p[s->at] == '\n' ||
				    s->all.p[s->at] == '\r' || s->all.p[s->at] == '\t'))
		s->at++;
}

static int broken(struct scan *s, const char *expected)
{
	int c = peek(s);

	s->ret->verdict = RPC_SCAN_BROKEN;
	if (c < 0)
		err_set(s->e, ERR_INVALID,
			"not JSON: it ends after %zu bytes, expected %s", s->at,
			expected);
	else if (c > 0x20 && c < 0x7f)
		err_set(s->e, ERR_INVALID, "not JSON: '%c' at byte %zu, expected %s", c,
			s->at, expected);
	else
		err_set(s->e, ERR_INVALID, "not JSON: 0x%02x at byte %zu, expected %s",
			(unsigned)c, s->at, expected);
	return err_fix(s->e, send_utf8);
}

static int refused_nul(struct scan *s, enum rpc_verdict verdict)
{
	s->ret->verdict = verdict;
	err_set(s->e, ERR_INVALID,
		"a NUL character at byte %zu; NUL is not accepted in strings", s->at);
	return err_fix(
		s->e, "remove it; to pass binary data, send it as a file with encoding "
		      "base64");
}

static int refused_surrogate(struct scan *s)
{
	s->ret->verdict = RPC_SCAN_REFUSED;
	err_set(s->e, ERR_INVALID,
		"half of a surrogate pair at byte %zu, which is no character", s->at);
	return err_fix(s->e,
		       "write characters past U+FFFF as a whole pair \\ud800-\\udbff "
		       "\\udc00-\\udfff or as UTF-8");
}

static int no_memory(struct scan *s)
{
	s->ret->verdict = RPC_SCAN_NO_MEMORY;
	return err_set(s->e, ERR_LIMIT, "no memory for a message of %zu bytes",
		       s->all.n);
}

/* --- scalars ----------------------------------------------------------------------------------- */

/* The four digits at the cursor, or -1. */
static int read_hex4(struct scan *s)
{
	int v = 0;

	for (int i = 0; i < 4; i++, s->at++) {
		int c = peek(s);

		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			v = v * 16 + c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			v = v * 16 + c - 'A' + 10;
		else
			return broken(s, "four hexadecimal digits");
	}
	return v;
}

static int scan_unicode_escape(struct scan *s)
{
	size_t start = s->at - 2;
	int hi = read_hex4(s), lo;

	if (hi < 0)
		return -1;
	if (hi == 0) {
		s->at = start;
		return refused_nul(s, RPC_SCAN_REFUSED);
	}
	if (hi < 0xd800 || hi > 0xdfff)
		return 0;
	if (hi < 0xdc00 && s->all.n - s->at >= 2 && s->all.p[s->at] == '\\' &&
	    s->all.p[s->at + 1] == 'u') {
		s->at += 2;
		lo = read_hex4(s);
		if (lo < 0)
			return -1;
		if (lo >= 0xdc00 && lo <= 0xdfff)
			return 0;
	}
	s->at = start;
	return refused_surrogate(s);
}

static int scan_escape(struct scan *s)
{
	int c;

	s->at++;
	c = peek(s);
	if (c <= 0 || !strchr("\"\\/bfnrtu", c))
		return broken(s, "one of \" \\ / b f n r t u after a backslash");
	s->at++;
	return c == 'u' ? scan_unicode_escape(s) : 0;
}

static int scan_string(struct scan *s, bool *ret_escaped)
{
	*ret_escaped = false;
	s->at++;
	for (;;) {
		int c;
		size_t k;

		while ((c = peek(s)) >= 0x20 && c < 0x80 && c != '"' && c != '\\')
			s->at++;
		if (c == '"') {
			s->at++;
			return 0;
		}
		if (c == '\\') {
			*ret_escaped = true;
			if (scan_escape(s))
				return -1;
			continue;
		}
		if (c == 0)
			return refused_nul(s, RPC_SCAN_BROKEN);
		if (c < 0x20)
			return broken(s, c < 0 ? "the quote that ends a string"
					       : "control characters escaped");
		k = sv_utf8_len((struct sv){s->all.p + s->at, s->all.n - s->at});
		if (!k)
			return broken(s, "well-formed UTF-8");
		s->at += k;
	}
}

static int scan_digits(struct scan *s)
{
	if (peek(s) < '0' || peek(s) > '9')
		return broken(s, "a digit");
	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return 0;
}

static int scan_number(struct scan *s)
{
	size_t start = s->at;

	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (scan_digits(s))
		return -1;
	if (peek(s) == '.') {
		s->at++;
		if (scan_digits(s))
			return -1;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (scan_digits(s))
			return -1;
	}
	if (s->at - start > RPC_CJSON_NUMBER_BYTES)
		s->ret->long_number = true;
	return 0;
}

static int scan_literal(struct scan *s, const char *word)
{
	for (; *word; word++, s->at++)
		if (peek(s) != *word)
			return broken(s, "true, false or null");
	return 0;
}

static int scan_leaf(struct scan *s)
{
	bool escaped;

	switch (peek(s)) {
	case '"':
		return scan_string(s, &escaped);
	case 't':
		return scan_literal(s, "true");
	case 'f':
		return scan_literal(s, "false");
	case 'n':
		return scan_literal(s, "null");
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return scan_number(s);
	default:
		return broken(s, "a value");
	}
}

/* --- containers -------------------------------------------------------------------------------- */

static bool in_object(const struct scan *s)
{
	return s->depth && (s->objects >> (s->depth - 1) & 1);
}

static void after_value(const struct scan *s, enum want *want)
{
	*want = s->depth ? WANT_NEXT : WANT_DONE;
}

static int open_container(struct scan *s, bool object, enum want *want)
{
	uint64_t bit;

	if (s->depth == RPC_MAX_DEPTH) {
		s->ret->verdict = RPC_SCAN_REFUSED;
		err_set(s->e, ERR_LIMIT,
			"arrays and objects nest deeper than %d at byte %zu",
			RPC_MAX_DEPTH, s->at);
		return err_fix(s->e, "nest less; deep data can be sent as a file");
	}
	s->marks[s->depth] = s->names.n;
	bit = (uint64_t)1 << s->depth++;
	s->objects = object ? s->objects | bit : s->objects & ~bit;
	s->at++;
	*want = object ? WANT_NAME_OR_END : WANT_ITEM_OR_END;
	return 0;
}

static int close_container(struct scan *s, enum want *want)
{
	struct rpc_name twice;

	if (in_object(s) &&
	    rpc_names_close(&s->names, s->all, s->marks[s->depth - 1], &twice)) {
		struct sv raw = {s->all.p + twice.at, twice.n},
			  shown = rpc_clip(raw, 80);

		s->at = twice.at;
		s->ret->verdict = RPC_SCAN_REFUSED;
		err_set(s->e, ERR_INVALID,
			"the name \"" SV_FMT
			"%s\" stands twice in one object, again at byte %zu",
			SV_ARG(shown), shown.n < raw.n ? "..." : "", s->at);
		return err_fix(s->e, "give each name of an object once");
	}
	s->depth--;
	s->at++;
	after_value(s, want);
	return 0;
}

static int on_value(struct scan *s, enum want *want)
{
	int c = peek(s);

	if (++s->values > RPC_MAX_VALUES) {
		s->ret->verdict = RPC_SCAN_REFUSED;
		err_set(s->e, ERR_LIMIT, "more than %zu values in one message",
			RPC_MAX_VALUES);
		return err_fix(s->e, "send less, or send the data as a file");
	}
	if (c == '{' || c == '[')
		return open_container(s, c == '{', want);
	after_value(s, want);
	return scan_leaf(s);
}

static int on_name(struct scan *s, enum want *want)
{
	struct rpc_name name = {.at = (uint32_t)s->at + 1};

	if (peek(s) != '"')
		return broken(s, "a name in double quotes");
	if (scan_string(s, &name.escaped))
		return -1;
	name.n = (uint32_t)(s->at - 1) - name.at;
	if (rpc_names_add(&s->names, s->all, name))
		return no_memory(s);
	skip_blanks(s);
	if (peek(s) != ':')
		return broken(s, "a colon");
	s->at++;
	*want = WANT_VALUE;
	return 0;
}

static int on_next(struct scan *s, enum want *want)
{
	int c = peek(s);

	if (c == ',') {
		s->at++;
		*want = in_object(s) ? WANT_NAME : WANT_VALUE;
		return 0;
	}
	if (c == (in_object(s) ? '}' : ']'))
		return close_container(s, want);
	return broken(s, in_object(s) ? "',' or '}'" : "',' or ']'");
}

static int scan_step(struct scan *s, enum want *want)
{
	skip_blanks(s);
	switch (*want) {
	case WANT_ITEM_OR_END:
		return peek(s) == ']' ? close_container(s, want) : on_value(s, want);
	case WANT_NAME_OR_END:
		return peek(s) == '}' ? close_container(s, want) : on_name(s, want);
	case WANT_NAME:
		return on_name(s, want);
	case WANT_NEXT:
		return on_next(s, want);
	case WANT_VALUE:
	case WANT_DONE:
		break;
	}
	return on_value(s, want);
}

static int scan_document(struct scan *s)
{
	enum want want = WANT_VALUE;

	if (s->all.n > RPC_MAX_MESSAGE_BYTES) {
		s->ret->verdict = RPC_SCAN_REFUSED;
		return err_set(s->e, ERR_LIMIT,
			       "a message of %zu bytes; at most %zu are taken",
			       s->all.n, RPC_MAX_MESSAGE_BYTES);
	}
	if (sv_starts(s->all, SV("\xef\xbb\xbf"))) {
		s->ret->verdict = RPC_SCAN_BROKEN;
		err_set(s->e, ERR_INVALID, "the message starts with a byte order mark");
		return err_fix(s->e, send_utf8);
	}
	while (want != WANT_DONE)
		if (scan_step(s, &want))
			return -1;
	skip_blanks(s);
	return s->at < s->all.n ? broken(s, "nothing after the value") : 0;
}

int rpc_scan(struct sv bytes, struct rpc_scan_result *ret, struct err *e)
{
	struct scan s = {.all = bytes, .ret = ret, .e = e};
	int bad;

	*ret = (struct rpc_scan_result){.verdict = RPC_SCAN_OK};
	bad = scan_document(&s);
	ret->at = s.at;
	rpc_names_finish(&s.names);
	return bad;
}

bool rpc_scan_scalar(struct sv text)
{
	struct rpc_scan_result r = {.verdict = RPC_SCAN_OK};
	struct scan s = {.all = text, .ret = &r};
	bool escaped;
	int c = peek(&s), bad = -1;

	if (c == '"')
		bad = scan_string(&s, &escaped);
	else if (c == '-' || (c >= '0' && c <= '9'))
		bad = scan_number(&s);
	return !bad && s.at == text.n;
}
