/* protocol.h: the MCP eras over any transport: lifecycle, method table, progress, cancel.
 *
 * Both eras side by side, decided per message: a request whose params._meta carries
 * io.modelcontextprotocol/protocolVersion is modern (2026-07-28, stateless); anything else is
 * legacy (initialize, 2024-10-07 .. 2025-11-25). Spec: modelcontextprotocol.io revisions of those
 * dates. parse -> classify -> dispatch is free of I/O and knows no transport: bytes in through
 * proto_read and proto_deliver, bytes out through a sink, tool calls through tools.h.
 *
 *	proto_server	one per process: what is offered, tasks, subscriptions, the sealing key
 *	proto_peer	one client: a stdio process, a legacy HTTP session, or one modern HTTP request
 *	proto_request	one request in flight, owned by its peer, found by its id
 *	proto_sink	where the messages about one request go: a line writer, an HTTP response
 *
 * A second request with an id in flight is refused. A cancelled request is never answered: its
 * sink only gets its end.
 *
 * Life cycle: proto_server_new -> proto_peer_new -> proto_read, proto_deliver ... -> proto_peer_close
 * -> on_idle -> proto_peer_free -> proto_server_free. */
#ifndef MCP_PROTOCOL_H
#define MCP_PROTOCOL_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/err.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/sv.h"
#include "tools/tools.h"

struct proto_server;
struct proto_peer;

enum proto_era { PROTO_LEGACY, PROTO_MODERN, PROTO_ERA_COUNT };

/* --- out ----------------------------------------------------------------------------------------- */
enum proto_message_kind { PROTO_RESULT, PROTO_ERROR, PROTO_NOTIFICATION, PROTO_REQUEST };

struct proto_message {
	enum proto_message_kind kind;
	struct sv json;			/* one message, no newline */
	unsigned http_status;		/* of an HTTP response that begins with it: 200, 400, 404 ... */
};

/* Embedded in a transport's own struct. */
struct proto_sink {
	/* One message. May not call back into the peer. */
	void (*send)(struct proto_sink *s, const struct proto_message *m);
	/* Nothing will follow on this sink for the delivered message; exactly once per
	 * proto_deliver, perhaps before it returns; a request that was cancelled ends without an
	 * answer. The sink may be freed in it. */
	void (*end)(struct proto_sink *s);
	/* Break the connection off but keep the stream (tests of resumption); NULL: cannot. */
	void (*drop)(struct proto_sink *s);
	/* What comes on it is a stream that must be open before there is anything to send
	 * (subscriptions/listen, a call that will report progress). NULL: no matter. */
	void (*open)(struct proto_sink *s);
	bool alone;	/* takes the answer and nothing before it: no question can be put on it */
};

/* --- the server ---------------------------------------------------------------------------------- */
struct proto_server_opts {
	struct loop *loop;
	struct tool_env env;		/* credential and principal are the peers' */
	const struct tool_set *const *sets;	/* borrowed, outlive the server */
	size_t nsets;
	/* Text of a schema file; NULL: schemas_get. Lives as long as the server. */
	struct sv (*schema)(const char *name);
	unsigned max_in_flight;		/* calls of one peer, cancelled ones that still end included; more get "busy" */
	unsigned max_calls;		/* of all peers; 0: 2048, or one peer's if that is more. Over HTTP no principal gets all: account.c */
	unsigned progress_ms;		/* between progress notifications; 0: 2000 */
	uint64_t promote_ms;		/* a call that runs longer answers `running`; 0: 45000 */
	uint64_t task_ms;		/* the same where the client takes tasks; 0: 1000 */
	bool fixtures;			/* the conformance suite runs: shows what is for it alone */
};

/* NULL with e: no memory, or a schema file is missing or broken (ERR_INTERNAL). */
struct proto_server *proto_server_new(const struct proto_server_opts *o, struct err *e);
void proto_server_free(struct proto_server *s);	/* after its peers; ends tasks; NULL is accepted */
/* SIGTERM: ends every subscription with its result, refuses new calls (busy). */
void proto_server_drain(struct proto_server *s);
/* For tool_env.events. */
const struct tool_events *proto_server_events(struct proto_server *s);

/* --- in ------------------------------------------------------------------------------------------ */
/* What HTTP said about the message; NULL for stdio. Values "" when absent. */
struct proto_headers {
	/* How often the field occurs (name in lower case); *ret is its value. */
	unsigned (*get)(void *arg, const char *name, struct sv *ret);
	void *arg;
};

/* A message read and classified, before it is known whose it is. */
struct proto_in {
	struct rpc_msg msg;
	struct rpc_fault fault;
	bool bad;			/* fault says why */
	enum proto_era era;
	bool initialize;		/* a legacy initialize request: makes a session */
	bool asks;			/* a request, or a batch with one in it: an answer is due */
	const struct proto_headers *headers;
	/* A batch, which is bad to all but those proto_peer_takes says. */
	struct proto_in *batch;		/* owned */
	unsigned nbatch;
};
/* bytes and headers must outlive *ret. Never fails: what is wrong is answered by proto_deliver. */
void proto_read(struct sv bytes, const struct proto_headers *headers, struct proto_in *ret);
void proto_in_finish(struct proto_in *in);

struct proto_peer_opts {
	struct proto_server *server;
	struct sv credential, principal;	/* copied */
	/* For what belongs to no request (legacy list_changed, resources/updated); NULL: nowhere. */
	struct proto_sink *standalone;
	bool http;
	/* Callers are not asked who they are: the principal is everybody's. */
	bool nobody;
};
struct proto_peer *proto_peer_new(const struct proto_peer_opts *o, struct err *e);
/* What the same principal shows from now on: tokens are renewed while a session lives. Copied; calls
 * in flight keep theirs. -1: no memory, and nothing has changed. */
int proto_peer_renew(struct proto_peer *p, struct sv credential, struct err *e);
/* Cancels what is in flight and says nothing more (sinks get no end); calls that end later find
 * their memory still there. NULL is accepted. */
void proto_peer_free(struct proto_peer *p);
/* Whether in is one message, or a batch and the peer's revision has those (2025-03-26). What a batch is
 * answered needs a sink that takes many messages. */
bool proto_peer_takes(const struct proto_peer *p, const struct proto_in *in);
/* The message is the peer's now. sink: see there; may be shared by all messages of a peer. */
void proto_deliver(struct proto_peer *p, struct proto_in *in, struct proto_sink *sink);
/* proto_read, proto_deliver and proto_in_finish in one, for a transport without headers. */
void proto_on_message(struct proto_peer *p, struct sv bytes, struct proto_sink *sink);
/* The client closed the stream a request was to be answered on. Cancels it (the sink gets no
 * end and is dead). For legacy sessions over HTTP do not call this: there closing is not cancelling. */
void proto_sink_gone(struct proto_peer *p, struct proto_sink *sink);
/* A message of more than limit bytes was skipped; head and tail are its two ends. */
void proto_on_oversize(struct proto_peer *p, struct sv head, struct sv tail, size_t limit_bytes, struct proto_sink *sink);
/* The peer has gone: cancels everything; on_idle is called when the last call has ended (at once
 * if there is none). Sinks get their end, and no message. */
void proto_peer_close(struct proto_peer *p, void (*on_idle)(void *arg), void *arg);
/* As proto_peer_close, but calls in flight may end by themselves: SIGTERM. */
bool proto_peer_busy(const struct proto_peer *p);
/* The revision negotiated, or "" before initialize. */
const char *proto_peer_revision(const struct proto_peer *p);
/* An error without a peer (unknown session, no authority): text of one JSON-RPC error message. */
void proto_write_refusal(struct buf *b, struct sv id, int code, const struct err *e);

#endif
