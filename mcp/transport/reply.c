/* reply.c: whole answers: errors, challenges, CORS, well-known documents. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/json.h"

#define MAX_REPLY_BYTES 8192
#define RPC_REFUSED                                                                    \
	(-32000) /* what the reference SDK uses for a request it did not read */

void reply_add(struct fields *f, const char *name, struct sv value)
{
	if (f->n < HTTP_MAX_FIELDS)
		f->at[f->n++] = (struct http_field){name, value};
}

/* Only an origin that is allowed gets this far. */
void reply_fields(const struct http_exchange *x, struct fields *ret)
{
	struct sv origin;

	ret->n = 0;
	if (!http_header(x, "origin", &origin))
		return;
	reply_add(ret, "access-control-allow-origin", origin);
	reply_add(ret, "vary", SV("origin"));
	reply_add(ret, "access-control-expose-headers",
		  SV("mcp-session-id, www-authenticate, content-range"));
}

static void respond(struct http_exchange *x, unsigned status, const struct fields *f,
		    struct sv body)
{
	http_respond(x, status, f->at, f->n, body);
}

void reply_empty(struct http_exchange *x, unsigned status)
{
	struct fields f;

	reply_fields(x, &f);
	respond(x, status, &f, SV(""));
}

static void json_fields(struct fields *f)
{
	reply_add(f, "content-type", SV("application/json"));
	reply_add(f, "cache-control", SV("no-store"));
}

void reply_json(struct http_exchange *x, unsigned status, struct sv json)
{
	struct fields f;

	reply_fields(x, &f);
	json_fields(&f);
	respond(x, status, &f, json);
}

static bool is_of_files(const struct http_exchange *x)
{
	return sv_starts(http_path(x), SV(FILES_PREFIX));
}

/* Who moves files need not speak JSON-RPC. */
static void write_plain(struct buf *b, const struct err *e)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kstr(&w, "code", sv_of(err_code_name(e->code)));
	jw_kstr(&w, "cause", sv_of(e->cause));
	jw_kstr(&w, "remediation", sv_of(err_remediation(e)));
	jw_obj_end(&w);
	jw_obj_end(&w);
}

void reply_error_with(struct http_exchange *x, unsigned status, const struct fields *f,
		      struct sv id, int code, const struct err *e)
{
	struct fields all = *f;
	AUTO_BUF b = {0};

	buf_init(&b, MAX_REPLY_BYTES);
	if (is_of_files(x))
		write_plain(&b, e);
	else
		proto_write_refusal(&b, id, code ? code : RPC_REFUSED, e);
	json_fields(&all);
	respond(x, status, &all, buf_view(&b));
}

void reply_error(struct http_exchange *x, unsigned status, int code,
		 const struct err *e)
{
	struct fields f;

	reply_fields(x, &f);
	reply_error_with(x, status, &f, SV(""), code, e);
}

/* --- CORS --------------------------------------------------------------------------------------- */

/* A name that a page may send: those MCP has, and all that begin with mcp- (Mcp-Param-*). */
static bool may_send(struct sv name)
{
	static const char *const known[] = {"accept",	     "authorization",
					    "content-type",  "last-event-id",
					    "if-none-match", "range"};

	if (sv_starts(name, SV("mcp-"))) {
		for (size_t i = 0; i < name.n; i++)
			if (name.p[i] != '-' && (name.p[i] < 'a' || name.p[i] > 'z') &&
			    (name.p[i] < '0' || name.p[i] > '9'))
				return false;
		return true;
	}
	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (sv_eq(name, sv_of(known[i])))
			return true;
	return false;
}

void reply_preflight(struct http_exchange *x, const char *allow)
{
	AUTO_BUF allowed = {0};
	struct sv wanted, part;
	struct fields f;
	bool more = true;

	buf_init(&allowed, MAX_REPLY_BYTES);
	/* browsers send these names in lower case (Fetch, CORS-unsafe request-header names) */
	if (http_header(x, "access-control-request-headers", &wanted))
		while (sv_cut(&wanted, ',', &more, &part))
			if (may_send(sv_trim(part))) {
				buf_str(&allowed, allowed.n ? ", " : "");
				buf_sv(&allowed, sv_trim(part));
			}
	reply_fields(x, &f);
	reply_add(&f, "allow", sv_of(allow));
	reply_add(&f, "access-control-allow-methods", sv_of(allow));
	if (allowed.n)
		reply_add(&f, "access-control-allow-headers", buf_view(&allowed));
	reply_add(&f, "access-control-max-age", SV("600"));
	respond(x, 204, &f, SV(""));
}

/* --- authorization ------------------------------------------------------------------------------ */

static void quoted(struct buf *b, const char *name, struct sv value)
{
	buf_fmt(b, ", %s=\"", name);
	for (size_t i = 0; i < value.n; i++)
		/* RFC 6750, 3: printable ASCII without quote and backslash */
		buf_byte(b, value.p[i] >= 0x20 && value.p[i] < 0x7f &&
					    value.p[i] != '"' && value.p[i] != '\\'
				    ? value.p[i]
				    : '?');
	buf_byte(b, '"');
}

/* RFC 6750, section 3; RFC 9728, section 5.1. A request that showed nothing gets no error code. */
static void challenge(const struct streamable *t, struct http_exchange *x,
		      const struct err *e, struct buf *b)
{
	const bool showed = http_header(x, "authorization", &(struct sv){0}) > 0;

	buf_str(b, "Bearer realm=\"fumehood\"");
	if (e->code == ERR_FORBIDDEN)
		quoted(b, "error", SV("insufficient_scope"));
	else if (e->code == ERR_INVALID)
		quoted(b, "error", SV("invalid_request"));
	else if (showed)
		quoted(b, "error", SV("invalid_token"));
	if (showed)
		quoted(b, "error_description", sv_of(e->cause));
	if (!t->o.site.issuer.n)
		return;
	quoted(b, "scope", t->o.site.scope);
	quoted(b, "resource_metadata", buf_view(&t->metadata_url));
}

void reply_refused(const struct streamable *t, struct http_exchange *x,
		   const struct err *e)
{
	const unsigned status = e->code == ERR_UNAUTHENTICATED ? 401
				: e->code == ERR_INVALID       ? 400
				: e->code == ERR_FORBIDDEN     ? 403
							       : 503;
	AUTO_BUF b = {0};
	struct fields f;

	buf_init(&b, MAX_REPLY_BYTES);
	reply_fields(x, &f);
	if (status != 503) {
		challenge(t, x, e, &b);
		reply_add(&f, "www-authenticate", buf_view(&b));
	} else {
		reply_add(&f, "retry-after", SV("1"));
	}
	reply_error_with(x, status, &f, SV(""), 0, e);
}

/* --- well-known --------------------------------------------------------------------------------- */

static bool is_metadata(const struct streamable *t, struct sv name)
{
	const struct sv base = SV("oauth-protected-resource");
	struct access_url url;
	struct sv path = name;

	if (!t->metadata.n || !sv_starts(name, base))
		return false;
	path.p += base.n;
	path.n -= base.n;
	return !path.n || sv_eq(path, SV("/mcp")) ||
	       (!access_url(t->o.site.public_url, &url) && sv_eq(path, url.path));
}

/* Whatever else clients look for is not there, and they must be told so: anything but 404 makes some
 * of them begin an OAuth dance. */
void reply_well_known(const struct streamable *t, struct http_exchange *x,
		      struct sv name)
{
	struct err e = {0};

	if (is_metadata(t, name)) {
		reply_json(x, 200, buf_view(&t->metadata));
		return;
	}
	err_set(&e, ERR_NOT_FOUND, "there is no such document here");
	err_fix(&e, "send MCP requests to /mcp");
	reply_error(x, 404, 0, &e);
}
