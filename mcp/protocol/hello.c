/* hello.c: how a client and this server get to know each other. */
#include "mcp/protocol/internal.h"

#include <cjson/cJSON.h>

static void write_greeting(struct jw *w, const struct proto_ctx *c,
			   const struct proto_revision *rev)
{
	jw_key(w, "capabilities");
	proto_write_capabilities(w, c->s, rev);
	if (rev->era == PROTO_LEGACY) {
		jw_key(w, "serverInfo");
		proto_write_server_info(w, rev);
	}
	jw_kstr(w, "instructions", sv_of(proto_instructions));
}

/* Over HTTP a session has one handshake; on stdio a client may begin anew. */
static int check_first(const struct proto_ctx *c)
{
	struct err e = {0};

	if (!c->p->http || !c->p->initialized)
		return 0;
	err_set(&e, ERR_INVALID, "Invalid Request: this session is initialized");
	err_fix(&e, "send initialize without Mcp-Session-Id for another session");
	proto_refuse(c, RPC_INVALID_REQUEST, &e, (struct sv){0});
	return -1;
}

void proto_on_initialize(struct proto_ctx *c)
{
	const struct cJSON *asked = js_get(c->m->params, "protocolVersion");
	struct proto_peer *p = c->p;
	struct err e = {0};
	AUTO_BUF b = {0};
	struct jw w;

	if (check_first(c))
		return;
	if (!js_is_str(asked)) {
		err_set(&e, ERR_INVALID,
			"Invalid params: protocolVersion must be a string");
		err_fix(&e, "send initialize with protocolVersion, e.g. \"%s\"",
			proto_revision_latest(PROTO_LEGACY)->name);
		proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
		return;
	}
	p->legacy = proto_revision_find(PROTO_LEGACY, js_str(asked));
	if (!p->legacy)
		p->legacy = proto_revision_latest(PROTO_LEGACY);
	/* the extension belongs to the modern era; the legacy one has tasks of its own */
	p->caps = proto_caps_read(js_get(c->m->params, "capabilities")) &
		  ~(unsigned)PROTO_CAN_TASKS;
	p->initialized = true;
	buf_init(&b, PROTO_MAX_RESULT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "protocolVersion", sv_of(p->legacy->name));
	write_greeting(&w, c, p->legacy);
	jw_obj_end(&w);
	proto_reply(c, &b);
}

/* Before this a client expects nothing it has not asked for. */
void proto_on_initialized(struct proto_ctx *c)
{
	if (c->p->initialized)
		c->p->watch.want =
			PROTO_WATCH_TOOLS | PROTO_WATCH_PROMPTS | PROTO_WATCH_RESOURCES;
}

static void reply_nothing(const struct proto_ctx *c)
{
	AUTO_BUF b = {0};

	buf_init(&b, 16);
	buf_str(&b, "{}");
	proto_reply(c, &b);
}

void proto_on_ping(struct proto_ctx *c)
{
	reply_nothing(c);
}

void proto_on_discover(struct proto_ctx *c)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_RESULT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	/* A client that picked a legacy revision here would still need initialize. */
	jw_key(&w, "supportedVersions");
	proto_revision_list(&w, PROTO_MODERN);
	write_greeting(&w, c, c->rev);
	proto_write_cache(&w, c->rev, PROTO_LIST_TTL_MS);
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_reply(c, &b);
}

void proto_on_set_level(struct proto_ctx *c)
{
	int level = proto_log_level(js_str(js_get(c->m->params, "level")));
	struct err e = {0};

	if (level >= 0) {
		c->p->log_level = level;
		reply_nothing(c);
		return;
	}
	err_set(&e, ERR_INVALID, "Invalid params: level is no log level");
	err_fix(&e,
		"send one of debug, info, notice, warning, error, critical, alert, emergency");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
}
