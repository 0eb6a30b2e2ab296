/* classify.c: what is checked of a request before its method: the envelope, versions, headers.
 *
 * The order is that of the reference server: envelope, header against body, version, the other
 * headers, then (methods.c) the method. Notifications are the same in both eras and do not come
 * here. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

static bool is_log_level(const struct cJSON *v)
{
	return js_is_str(v) && proto_log_level(js_str(v)) >= 0;
}

static bool is_string(const struct cJSON *v)
{
	return js_is_str(v);
}

static bool is_object(const struct cJSON *v)
{
	return cJSON_IsObject(v);
}

static const struct {
	const char *key, *want;
	bool (*valid)(const struct cJSON *v);
	bool required;
} envelope[] = {
	{PROTO_META_VERSION, "a string such as 2026-07-28", is_string, true},
	{PROTO_META_CAPS, "an object, {} when there are none", is_object, true},
	{PROTO_META_INFO, "an object with name and version", is_object, false},
	{PROTO_META_LOG,
	 "debug, info, notice, warning, error, critical, alert or emergency",
	 is_log_level, false},
};

static int refuse_missing(const struct proto_ctx *c, const char *key)
{
	struct err e = {0};
	char extra[160];

	err_set(&e, ERR_INVALID,
		"Invalid params: the request lacks %s, which revision %s requires", key,
		proto_revision_latest(PROTO_MODERN)->name);
	err_fix(&e,
		"send params._meta with %s and %s, or initialize with a revision up to %s",
		PROTO_META_VERSION, PROTO_META_CAPS,
		proto_revision_latest(PROTO_LEGACY)->name);
	snprintf(extra, sizeof(extra), "\"envelope\":{\"missing\":[\"%s\"]}", key);
	proto_refuse(c, RPC_INVALID_PARAMS, &e, sv_of(extra));
	return -1;
}

static int refuse_member(const struct proto_ctx *c, size_t row, const char *problem)
{
	struct err e = {0};
	char extra[160];

	err_set(&e, ERR_INVALID, "Invalid _meta envelope: %s: %s", envelope[row].key,
		problem);
	err_fix(&e, "params._meta[\"%s\"] is %s", envelope[row].key,
		envelope[row].want);
	snprintf(extra, sizeof(extra),
		 "\"envelope\":{\"key\":\"%s\",\"problem\":\"%s\"}", envelope[row].key,
		 problem);
	proto_refuse(c, RPC_INVALID_PARAMS, &e, sv_of(extra));
	return -1;
}

static int refuse_version(const struct proto_ctx *c, struct sv requested)
{
	struct err e = {0};
	AUTO_BUF extra = {0};
	struct jw w;

	requested.n = requested.n < PROTO_QUOTE_BYTES ? requested.n : PROTO_QUOTE_BYTES;
	err_set(&e, ERR_INVALID, "Unsupported protocol version: " SV_FMT,
		SV_ARG(requested));
	err_fix(&e, "name %s in _meta; revisions up to %s are served after initialize",
		proto_revision_latest(PROTO_MODERN)->name,
		proto_revision_latest(PROTO_LEGACY)->name);
	buf_init(&extra, 1024);
	jw_init(&w, &extra);
	jw_key(&w, "supported");
	proto_revision_list(&w, PROTO_MODERN);
	jw_kstr(&w, "requested", requested);
	proto_fail(c, RPC_UNSUPPORTED_VERSION, &e, buf_view(&extra));
	return -1;
}

static int refuse_headers(const struct proto_ctx *c, const struct err *e)
{
	proto_fail(c, RPC_HEADER_MISMATCH, e, (struct sv){0});
	return -1;
}

static int check_envelope(struct proto_ctx *c)
{
	struct sv version = js_str(js_get(c->meta, PROTO_META_VERSION));
	struct err e = {0};

	if (!js_get(c->meta, PROTO_META_VERSION))
		return refuse_missing(c, PROTO_META_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(envelope); i++) {
		const struct cJSON *v = js_get(c->meta, envelope[i].key);

		if (!v && envelope[i].required)
			return refuse_member(c, i, "missing");
		if (v && !envelope[i].valid(v))
			return refuse_member(c, i, "invalid");
	}
	if (proto_check_version_header(c->in, version, &e))
		return refuse_headers(c, &e);
	c->rev = proto_revision_find(PROTO_MODERN, version);
	if (!c->rev)
		return refuse_version(c, version);
	if (proto_check_headers(c->in, &e))
		return refuse_headers(c, &e);
	c->caps = proto_caps_read(js_get(c->meta, PROTO_META_CAPS));
	return 0;
}

/* A client that says it is modern and then shakes hands would wait for a session in vain. */
static int refuse_handshake(const struct proto_ctx *c)
{
	struct err e = {0};

	err_set(&e, ERR_INVALID,
		"Header mismatch: MCP-Protocol-Version names %.*s, which has no initialize",
		PROTO_QUOTE(proto_version_header(c->in->headers)));
	err_fix(&e,
		"send the envelope of %s in _meta, or initialize without that header",
		proto_revision_latest(PROTO_MODERN)->name);
	return refuse_headers(c, &e);
}

static int classify_modern(struct proto_ctx *c)
{
	if (js_get(c->meta, PROTO_META_VERSION) || js_get(c->meta, PROTO_META_CAPS))
		return check_envelope(c);
	if (sv_eq(c->m->method, SV("initialize")))
		return refuse_handshake(c);
	/* A bare probe on stdio gets its answer: discovering needs nothing of the envelope. */
	if (!c->in->headers && sv_eq(c->m->method, SV("server/discover"))) {
		c->rev = proto_revision_latest(PROTO_MODERN);
		return 0;
	}
	return refuse_missing(c, c->meta ? PROTO_META_VERSION : "_meta");
}

int proto_classify(struct proto_ctx *c)
{
	if (c->era == PROTO_MODERN)
		return classify_modern(c);
	c->rev = c->p->legacy;
	c->caps = c->p->caps;
	return 0;
}

int proto_check_legacy_header(const struct proto_ctx *c)
{
	struct sv named = proto_version_header(c->in->headers);
	struct err e = {0};

	if (!named.n || proto_revision_find(PROTO_LEGACY, named) ||
	    proto_revision_find(PROTO_MODERN, named))
		return 0;
	err_set(&e, ERR_INVALID,
		"Unsupported protocol version in MCP-Protocol-Version: %.*s",
		PROTO_QUOTE(named));
	err_fix(&e, "name the revision that initialize agreed on, up to %s",
		proto_revision_latest(PROTO_LEGACY)->name);
	proto_refuse(c, RPC_INVALID_REQUEST, &e, (struct sv){0});
	return -1;
}
