/* headers.c: what HTTP says beside the body of a modern message, held against the body.
 *
 * Proxies route and refuse by these headers, the server acts by the body; were the two to differ, a
 * request could pass the proxy as one thing and be done here as another. So each header a body
 * calls for must be there, once, and say the same; one that says something where the body is silent
 * is refused too. Revision 2026-07-28, basic/transports/streamable-http, "Request Metadata". */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#define MAX_PARAM_DEPTH 16
#define MAX_NAME_BYTES 128

static const struct sv sentinel_head = {"=?base64?", 9}, sentinel_tail = {"?=", 2};

/* Where a method's Mcp-Name comes from; others have none. */
static const struct {
	const char *method, *member;
} named[] = {
	{"prompts/get", "name"}, {"resources/read", "uri"},  {"tasks/cancel", "taskId"},
	{"tasks/get", "taskId"}, {"tasks/update", "taskId"}, {"tools/call", "name"},
};

static int mismatch(struct err *e, const char *header, struct sv said, struct sv body)
{
	err_set(e, ERR_INVALID,
		"Header mismatch: %s says '%.*s' but the body says '%.*s'", header,
		PROTO_QUOTE(said), PROTO_QUOTE(body));
	return err_fix(e, "send %s with the value of the body", header);
}

/* The header's value without blanks around it; *ret_there false when there is none. */
static int get(const struct proto_headers *h, const char *header, struct sv *ret,
	       bool *ret_there, struct err *e)
{
	char lower[MAX_NAME_BYTES + 1];
	struct sv v = {0};
	size_t i = 0;
	unsigned n;

	for (; header[i] && i < MAX_NAME_BYTES; i++)
		lower[i] = (char)(header[i] >= 'A' && header[i] <= 'Z' ? header[i] + 32
								       : header[i]);
	lower[i] = '\0';
	n = h->get(h->arg, lower, &v);
	if (n > 1)
		return err_set(e, ERR_INVALID,
			       "Header mismatch: %s stands %u times in the request",
			       header, n);
	while (v.n && (v.p[0] == ' ' || v.p[0] == '\t'))
		v = (struct sv){v.p + 1, v.n - 1};
	while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	for (i = 0; i < v.n; i++)
		if (v.p[i] != '\t' && (v.p[i] < ' ' || v.p[i] > '~'))
			return err_set(
				e, ERR_INVALID,
				"Header mismatch: %s holds a byte that is not visible ASCII",
				header);
	*ret = v;
	*ret_there = n == 1;
	return 0;
}

static int require(const struct proto_headers *h, const char *header, struct sv *ret,
		   struct err *e)
{
	bool there = false;

	if (get(h, header, ret, &there, e))
		return -1;
	if (there)
		return 0;
	err_set(e, ERR_INVALID, "Header mismatch: %s is missing", header);
	return err_fix(e, "send %s with the value of the body", header);
}

/* Undoes =?base64?...?=; *ret is v itself where it is not encoded, else a view of room. The
 * alphabet, the padding and the unused bits must be exact: one value, one spelling. */
static int decode(const char *header, struct sv v, struct buf *room, struct sv *ret,
		  struct err *e)
{
	size_t n = sentinel_head.n + sentinel_tail.n, got = 0;
	const char *end = NULL;
	char *p;

	*ret = v;
	if (v.n < n || !sv_starts(v, sentinel_head) || !sv_ends(v, sentinel_tail))
		return 0;
	v = (struct sv){v.p + sentinel_head.n, v.n - n};
	buf_init(room, v.n + 1);
	p = buf_reserve(room, v.n + 1);
	if (!p)
		return err_set(e, ERR_LIMIT, "no memory for the header %s", header);
	if (sodium_base642bin((unsigned char *)p, v.n + 1, v.p, v.n, NULL, &got, &end,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    end != v.p + v.n || !sv_valid_utf8((struct sv){p, got}))
		return err_set(e, ERR_INVALID,
			       "Header mismatch: %s is not Base64 of UTF-8", header);
	buf_commit(room, got);
	*ret = buf_view(room);
	return 0;
}

int proto_check_version_header(const struct proto_in *in, struct sv body_version,
			       struct err *e)
{
	struct sv said = {0};

	if (!in->headers)
		return 0;
	if (require(in->headers, "MCP-Protocol-Version", &said, e))
		return -1;
	return sv_eq(said, body_version)
		       ? 0
		       : mismatch(e, "MCP-Protocol-Version", said, body_version);
}

static int check_name(const struct proto_in *in, const char *member, struct err *e)
{
	const struct cJSON *v = js_get(in->msg.params, member);
	struct sv said = {0};
	AUTO_BUF room = {0};

	/* what the body lacks is the method's to refuse */
	if (!js_is_str(v))
		return 0;
	if (require(in->headers, "Mcp-Name", &said, e) ||
	    decode("Mcp-Name", said, &room, &said, e))
		return -1;
	return sv_eq(said, js_str(v)) ? 0 : mismatch(e, "Mcp-Name", said, js_str(v));
}

int proto_check_headers(const struct proto_in *in, struct err *e)
{
	struct sv said = {0};

	if (!in->headers)
		return 0;
	if (require(in->headers, "Mcp-Method", &said, e))
		return -1;
	if (!sv_eq(said, in->msg.method))
		return mismatch(e, "Mcp-Method", said, in->msg.method);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (sv_eq(in->msg.method, sv_of(named[i].method)))
			return check_name(in, named[i].member, e);
	return 0;
}

/* --- Mcp-Param-NAME --------------------------------------------------------------------------- */

/* "42" and "42.0" are one integer; exponents are nothing a client writes for one. */
static bool same_integer(struct sv said, const struct cJSON *v)
{
	int64_t a, b;
	ptrdiff_t dot = sv_find(said, '.');

	if (dot > 0) {
		for (size_t i = (size_t)dot + 1; i < said.n; i++)
			if (said.p[i] != '0')
				return false;
		if ((size_t)dot + 1 == said.n)
			return false;
		said.n = (size_t)dot;
	}
	return !js_int(v, &a) && !sv_to_i64(said, &b) && a == b;
}

static int check_value(const char *header, struct sv said, const struct cJSON *v,
		       struct err *e)
{
	AUTO_BUF text = {0};
	bool same;

	if (js_is_str(v))
		return sv_eq(said, js_str(v)) ? 0
					      : mismatch(e, header, said, js_str(v));
	if (cJSON_IsBool(v))
		same = sv_eq(said, js_is_true(v) ? SV("true") : SV("false"));
	else
		same = same_integer(said, v);
	if (same)
		return 0;
	buf_init(&text, PROTO_QUOTE_BYTES);
	if (proto_print(v, &text))
		buf_reset(&text);
	return mismatch(e, header, said, buf_view(&text));
}

/* v: the argument, NULL when there is none. Objects and arrays fail against the schema later. */
static int check_param(const struct proto_headers *h, struct sv name,
		       const struct cJSON *v, struct err *e)
{
	char header[MAX_NAME_BYTES + 1];
	bool there = false;
	struct sv said = {0};
	AUTO_BUF room = {0};

	if (snprintf(header, sizeof(header), "Mcp-Param-%.*s", SV_ARG(name)) >=
	    (int)sizeof(header))
		return 0;
	if (get(h, header, &said, &there, e) || decode(header, said, &room, &said, e))
		return -1;
	if (!v || cJSON_IsNull(v)) {
		if (!there)
			return 0;
		err_set(e, ERR_INVALID,
			"Header mismatch: %s is there but the body has no such argument",
			header);
		return err_fix(e, "send %s only with the argument", header);
	}
	if (cJSON_IsObject(v) || cJSON_IsArray(v))
		return 0;
	if (!there) {
		err_set(e, ERR_INVALID, "Header mismatch: %s is missing", header);
		return err_fix(e, "repeat the argument in the header %s", header);
	}
	return check_value(header, said, v, e);
}

static int check_properties(const struct proto_headers *h, const struct cJSON *schema,
			    const struct cJSON *args, unsigned depth, struct err *e)
{
	const struct cJSON *p = js_first(js_get(schema, "properties"));

	for (; p && depth < MAX_PARAM_DEPTH; p = js_next(p)) {
		const struct cJSON *v = js_get(args, js_name(p).p);
		struct sv name = js_str(js_get(p, "x-mcp-header"));

		if (name.n && check_param(h, name, v, e))
			return -1;
		if (check_properties(h, p, cJSON_IsObject(v) ? v : NULL, depth + 1, e))
			return -1;
	}
	return 0;
}

int proto_check_param_headers(const struct proto_in *in, const struct proto_item *tool,
			      const struct cJSON *args, struct err *e)
{
	if (!in->headers)
		return 0;
	return check_properties(in->headers, js_get(tool->doc, "inputSchema"),
				cJSON_IsObject(args) ? args : NULL, 0, e);
}
