/* internal.h: the room's own: what its files share. See protocol.h for the room's manual.
 *
 *	proto.c     the connection: messages in and out, life and death
 *	revision.c  the revisions and what each knows
 *	classify.c  which era a request belongs to; the modern envelope
 *	methods.c   the method table of both eras, and the small methods
 *	toolcall.c  tools/call: start, progress, answer
 *	request.c   the table of requests in flight; cancellation; subscriptions/listen
 *	catalog.c   the tools' schemas as tools/list shows them
 *	meta.c      who we are, in words and in JSON
 *	oversize.c  whom to tell that a message was too long */
#ifndef MCP_PROTOCOL_INTERNAL_H
#define MCP_PROTOCOL_INTERNAL_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "mcp/protocol/protocol.h"

#define PROTO_META_VERSION "io.modelcontextprotocol/protocolVersion"
#define PROTO_META_CAPS "io.modelcontextprotocol/clientCapabilities"
#define PROTO_META_INFO "io.modelcontextprotocol/clientInfo"
#define PROTO_META_LOG "io.modelcontextprotocol/logLevel"
#define PROTO_META_SERVER "io.modelcontextprotocol/serverInfo"
#define PROTO_META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

/* At most this much of a name that came from outside goes into an error text. */
#define PROTO_QUOTE_BYTES 64
#define PROTO_QUOTE(s) (int)((s).n < PROTO_QUOTE_BYTES ? (s).n : PROTO_QUOTE_BYTES), (s).p
#define PROTO_MAX_LISTENS 32
#define PROTO_MAX_OUT_BYTES ((size_t)32 << 20)

/* --- revision.c ------------------------------------------------------------------------------- */
enum proto_era { PROTO_LEGACY, PROTO_MODERN, PROTO_ERA_COUNT };

struct proto_revision {
	const char *name;
	enum proto_era era;
	bool annotations;	/* of tools: 2025-03-26 */
	bool progress_message;	/* 2025-03-26 */
	bool structured;	/* structuredContent, outputSchema, title: 2025-06-18 */
};
/* NULL when it is not one of that era's. */
const struct proto_revision *proto_revision_find(enum proto_era era, struct sv name);
const struct proto_revision *proto_revision_latest(enum proto_era era);
/* ["...", ...], newest first */
void proto_revision_list(struct jw *w, enum proto_era era);

/* --- catalog.c -------------------------------------------------------------------------------- */
struct proto_tool {
	const struct tool *tool;
	struct cJSON *doc;		/* the schema file, owned */
	const struct cJSON *input;	/* inputSchema, in doc */
	struct buf input_json, output_json, annotations_json;	/* owned; empty when absent */
};
struct proto_catalog {
	struct proto_tool *v;		/* owned */
	size_t n;
};
int proto_catalog_init(struct proto_catalog *c, const struct proto_opts *o, struct err *e);
void proto_catalog_finish(struct proto_catalog *c);
const struct proto_tool *proto_catalog_find(const struct proto_catalog *c, struct sv name);
/* The array of tools as this revision shows them, in the table's order. */
void proto_catalog_list(const struct proto_catalog *c, const struct proto_revision *rev,
			struct jw *w);
void proto_catalog_names(const struct proto_catalog *c, char *dst, size_t size);

/* --- request.c -------------------------------------------------------------------------------- */
enum proto_request_kind { PROTO_CALL, PROTO_LISTEN };

struct proto_request {
	struct proto *p;		/* borrowed; a connection outlives its requests */
	struct proto_request *prev, *next;
	enum proto_request_kind kind;
	const struct proto_revision *rev;
	struct buf id;			/* raw text, echoed */
	struct buf key;			/* what ids are compared by */
	struct buf token;		/* raw progress token; empty: none was given */
	bool cancelled, starting, done;
	struct tool_call call;
	struct loop_timer tick;
	uint64_t started_us, reported_us, progress, bytes_out;
};

/* --- proto.c ---------------------------------------------------------------------------------- */
struct proto {
	struct proto_opts o;
	struct proto_catalog catalog;
	const struct proto_revision *legacy;	/* negotiated, or the latest before initialize */
	struct proto_request *requests;		/* owned */
	unsigned calls, listens;
	bool silent;				/* the peer is gone */
	bool dead;				/* freed when the last call has ended */
	void (*on_idle)(void *arg);
	void *idle_arg;
};

/* One request or notification on its way through the tables; lives on the stack. */
struct proto_ctx {
	struct proto *p;
	const struct rpc_msg *m;
	const struct proto_revision *rev;
	const struct cJSON *meta;	/* params._meta when it is an object, else NULL */
	struct sv key;			/* of the request's id */
};

void proto_send(struct proto *p, const struct buf *message);
void proto_send_error(struct proto *p, struct sv id, enum rpc_code code, const struct err *e,
		      struct sv extra_data_members);
/* Answers id with the result in b; with an internal error when b failed. */
void proto_send_result(struct proto *p, struct sv id, const struct buf *b);
/* Calls on_idle or frees the connection when its last call has ended. p may be gone after it. */
void proto_settle(struct proto *p);

/* Adds one for a request that will be answered later, or NULL: it was answered with an error. */
struct proto_request *proto_request_new(const struct proto_ctx *c, enum proto_request_kind kind);
/* The one in flight that is not cancelled, or NULL. */
struct proto_request *proto_request_find(struct proto *p, struct sv key);
/* Unlinks and frees; then settles. */
void proto_request_end(struct proto_request *r);
void proto_request_cancel(struct proto_request *r);
void proto_request_cancel_all(struct proto *p);
/* The comparable form of an id node: strings by their value, numbers by their text. */
int proto_id_key(const struct rpc_msg *m, const struct cJSON *id, struct buf *ret);
void proto_on_cancelled(const struct proto_ctx *c);
void proto_on_listen(const struct proto_ctx *c);

/* --- classify.c ------------------------------------------------------------------------------- */
/* Sets c->rev; -1: the request was answered with an error. */
int proto_classify(struct proto_ctx *c);

/* --- methods.c, toolcall.c -------------------------------------------------------------------- */
void proto_dispatch(const struct proto_ctx *c);
void proto_notify(const struct proto_ctx *c);
void proto_on_tools_call(const struct proto_ctx *c);
void proto_call_cancel(struct proto_request *r);

/* --- meta.c ----------------------------------------------------------------------------------- */
extern const char proto_instructions[];
void proto_write_server_info(struct jw *w, const struct proto_revision *rev);
void proto_write_capabilities(struct jw *w);
/* What a modern result carries besides its own members: resultType, _meta. */
void proto_write_result_meta(struct jw *w, const struct proto_revision *rev);
/* ttlMs and cacheScope, for results a modern client may keep. */
void proto_write_cache(struct jw *w, const struct proto_revision *rev);

/* --- oversize.c ------------------------------------------------------------------------------- */
/* Raw text of the id of a message of which only the two ends are known; empty when it cannot be
 * told for certain. */
struct sv proto_excerpt_id(struct sv head, struct sv tail);

#endif
