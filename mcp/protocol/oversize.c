/* oversize.c: whom to tell that a message was too long, when only its two ends were kept.
 *
 * An error without an id leaves the caller waiting for its timeout. Two places can be read without
 * the middle, given that the whole was valid JSON: an object that begins with "id", perhaps after
 * "jsonrpc" and "method"; and one whose last member is "id". The second is safe because every quote
 * inside a JSON string follows a backslash: `,"id":7}` at the end cannot be text within one. */
#include "mcp/protocol/internal.h"

#include <cjson/cJSON.h>

static bool skip(struct sv *s, const char *literal)
{
	struct sv want = sv_of(literal), rest = sv_trim(*s);

	if (!sv_starts(rest, want))
		return false;
	*s = (struct sv){rest.p + want.n, rest.n - want.n};
	return true;
}

/* A plain string with its quotes, or an integer, at the start of s; empty when there is none. */
static struct sv scalar(struct sv s)
{
	size_t n = 1;

	if (!s.n)
		return (struct sv){0};
	if (s.p[0] == '"') {
		while (n < s.n && s.p[n] != '"' && s.p[n] != '\\')
			n++;
		return n < s.n && s.p[n] == '"' ? (struct sv){s.p, n + 1}
						: (struct sv){0};
	}
	for (n = s.p[0] == '-'; n < s.n && s.p[n] >= '0' && s.p[n] <= '9';)
		n++;
	return n > (size_t)(s.p[0] == '-') ? (struct sv){s.p, n} : (struct sv){0};
}

/* "name": "value" , */
static void skip_string_member(struct sv *s, const char *quoted_name)
{
	struct sv at = *s, v;

	if (!skip(&at, quoted_name) || !skip(&at, ":"))
		return;
	at = sv_trim(at);
	v = scalar(at);
	if (!v.n || v.p[0] != '"')
		return;
	at = (struct sv){v.p + v.n, (size_t)(at.p + at.n - (v.p + v.n))};
	if (skip(&at, ","))
		*s = at;
}

static struct sv id_at_start(struct sv head)
{
	struct sv s = head, v;

	if (!skip(&s, "{"))
		return (struct sv){0};
	skip_string_member(&s, "\"jsonrpc\"");
	skip_string_member(&s, "\"method\"");
	if (!skip(&s, "\"id\"") || !skip(&s, ":"))
		return (struct sv){0};
	s = sv_trim(s);
	v = scalar(s);
	s = (struct sv){s.p + v.n, s.n - v.n};
	return v.n && skip(&s, ",") ? v : (struct sv){0};
}

static struct sv id_at_end(struct sv tail)
{
	struct sv s = sv_trim(tail);

	for (size_t i = s.n; i-- > 0;) {
		struct sv at = {s.p + i, s.n - i}, v;

		if (s.p[i] != ',' || !skip(&at, ",") || !skip(&at, "\"id\"") ||
		    !skip(&at, ":"))
			continue;
		at = sv_trim(at);
		v = scalar(at);
		at = (struct sv){at.p + v.n, at.n - v.n};
		if (v.n && skip(&at, "}") && !sv_trim(at).n)
			return v;
	}
	return (struct sv){0};
}

/* The message was not read, so it need not be JSON: what is sent back must. */
static bool is_json(struct sv scalar)
{
	struct cJSON *v = rpc_json_parse(scalar, NULL);
	bool good = v != NULL;

	cJSON_Delete(v);
	return good;
}

struct sv proto_excerpt_id(struct sv head, struct sv tail)
{
	struct sv id = id_at_start(head);

	if (!id.n)
		id = id_at_end(tail);
	return id.n && is_json(id) ? id : (struct sv){0};
}
