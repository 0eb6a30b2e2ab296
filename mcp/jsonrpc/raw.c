/* raw.c: raw text found again: of a node in text that passed the scan, and of the id in text that
 * did not.
 *
 * Both walk by brackets and quotes alone, without recursion, and stop at the end of the view. */
#include "mcp/jsonrpc/scan.h"

#include "mcp/jsonrpc/jsonrpc.h"

#include <cjson/cJSON.h>

struct sv rpc_clip(struct sv s, size_t max_bytes)
{
	if (s.n <= max_bytes)
		return s;
	while (max_bytes && ((unsigned char)s.p[max_bytes] & 0xc0) == 0x80)
		max_bytes--;
	return (struct sv){s.p, max_bytes};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_blanks(struct sv s, size_t at)
{
	while (at < s.n && is_blank(s.p[at]))
		at++;
	return at;
}

/* From an opening quote to the byte after the closing one. */
static size_t skip_string(struct sv s, size_t at)
{
	at++;
	while (at < s.n && s.p[at] != '"')
		at += s.p[at] == '\\' ? 2 : 1;
	return at < s.n ? at + 1 : s.n;
}

static size_t skip_value(struct sv s, size_t at)
{
	size_t depth = 0;

	do {
		char c = at < s.n ? s.p[at] : '\0';

		if (at >= s.n)
			return s.n;
		if (c == '"') {
			at = skip_string(s, at);
			continue;
		}
		if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (!depth)
				return at;
			depth--;
		} else if (!depth) {
			while (at < s.n && !is_blank(s.p[at]) &&
			       !strchr(",]}:", s.p[at]))
				at++;
			return at;
		}
		at++;
	} while (depth);
	return at;
}

/* --- a node ------------------------------------------------------------------------------------ */

struct path {
	unsigned n;
	size_t index[RPC_MAX_DEPTH];
};

/* Members before deeper levels: ids and tokens stand high in the tree. */
static bool find_path(const struct cJSON *in, const struct cJSON *node, struct path *p)
{
	const struct cJSON *c;
	size_t i;

	if (p->n == RPC_MAX_DEPTH)
		return false;
	for (c = in->child, i = 0; c; c = c->next, i++)
		if (c == node) {
			p->index[p->n++] = i;
			return true;
		}
	for (c = in->child, i = 0; c; c = c->next, i++) {
		p->index[p->n++] = i;
		if (find_path(c, node, p))
			return true;
		p->n--;
	}
	return false;
}

/* Offset of the index-th member's value in the container at `at`; s.n when there is none. */
static size_t enter(struct sv s, size_t at, size_t index)
{
	bool object = at < s.n && s.p[at] == '{';

	if (at >= s.n || (!object && s.p[at] != '['))
		return s.n;
	for (at = skip_blanks(s, at + 1); at < s.n; at = skip_blanks(s, at + 1)) {
		if (object) {
			if (s.p[at] != '"')
				return s.n;
			at = skip_blanks(s, skip_string(s, at));
			if (at >= s.n || s.p[at] != ':')
				return s.n;
			at = skip_blanks(s, at + 1);
		}
		if (!index--)
			return at;
		at = skip_blanks(s, skip_value(s, at));
		if (at >= s.n || s.p[at] != ',')
			return s.n;
	}
	return s.n;
}

struct sv rpc_raw_of(struct sv source, const struct cJSON *root,
		     const struct cJSON *node)
{
	struct path p = {.n = 0};
	size_t at = skip_blanks(source, 0);

	if (!root || (node != root && !find_path(root, node, &p)))
		return (struct sv){"", 0};
	for (unsigned i = 0; i < p.n; i++)
		at = enter(source, at, p.index[i]);
	if (at >= source.n)
		return (struct sv){"", 0};
	return (struct sv){source.p + at, skip_value(source, at) - at};
}

/* --- a batch ----------------------------------------------------------------------------------- */

bool rpc_batch_next(struct sv bytes, size_t *at, struct sv *ret)
{
	size_t from = skip_blanks(bytes, *at), end;

	/* the bracket, then the comma after each */
	if (from >= bytes.n || bytes.p[from] != (*at ? ',' : '['))
		return false;
	from = skip_blanks(bytes, from + 1);
	end = skip_value(bytes, from);
	if (end == from || end >= bytes.n)
		return false;
	*ret = (struct sv){bytes.p + from, end - from};
	*at = end;
	return true;
}

/* --- the id of a refused message --------------------------------------------------------------- */

struct salvage {
	struct sv all;
	size_t at, depth;
	bool want_name;
	struct sv id;
	unsigned ids;
	bool method, answer;
};

/* A name at the top level; the cursor ends before its value. */
static void on_name(struct salvage *v)
{
	size_t start = v->at, end = skip_string(v->all, start);
	struct sv name = {v->all.p + start + 1, end - start < 2 ? 0 : end - start - 2};

	v->want_name = false;
	v->at = skip_blanks(v->all, end);
	if (v->at >= v->all.n || v->all.p[v->at] != ':')
		return;
	v->at = skip_blanks(v->all, v->at + 1);
	if (rpc_name_is(name, "method"))
		v->method = true;
	else if (rpc_name_is(name, "result") || rpc_name_is(name, "error"))
		v->answer = true;
	else if (rpc_name_is(name, "id")) {
		v->ids++;
		v->id = (struct sv){v->all.p + v->at, 0};
		if (v->at < v->all.n && v->all.p[v->at] != '{' &&
		    v->all.p[v->at] != '[')
			v->id.n = skip_value(v->all, v->at) - v->at;
	}
}

static void salvage_step(struct salvage *v)
{
	char c = v->all.p[v->at];

	if (c == '"' && v->depth == 1 && v->want_name) {
		on_name(v);
	} else if (c == '"') {
		v->at = skip_string(v->all, v->at);
	} else {
		if (c == '{' || c == '[')
			v->depth++;
		else if (c == '}' || c == ']')
			v->depth--;
		else if (c == ',' && v->depth == 1)
			v->want_name = true;
		v->at++;
	}
}

struct sv rpc_salvage_id(struct sv bytes, size_t defect)
{
	struct salvage v = {.all = bytes, .want_name = true};
	bool closed, before;

	v.at = skip_blanks(bytes, 0);
	if (v.at >= bytes.n || bytes.p[v.at] != '{')
		return (struct sv){"", 0};
	do
		salvage_step(&v);
	while (v.depth && v.at < bytes.n);
	closed = !v.depth && skip_blanks(bytes, v.at) == bytes.n;
	before = v.ids == 1 && (size_t)(v.id.p - bytes.p) + v.id.n < defect;
	if (v.ids != 1 || v.id.n > RPC_MAX_ID_BYTES || (!closed && !before))
		return (struct sv){"", 0};
	/* a broken answer to one of our requests: its id names ours, not the peer's */
	if (v.answer && !v.method)
		return (struct sv){"", 0};
	return rpc_scan_scalar(v.id) ? v.id : (struct sv){"", 0};
}
