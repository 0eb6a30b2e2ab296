/* transport.h: bytes <-> whole messages, and nothing about what they mean. Two of them: stdio, and
 * MCP's Streamable HTTP (below).
 *
 * stdio: one JSON message per line (MCP, transports/stdio). The protocol descriptors are moved away
 * from 0 and 1 before anything else runs (stdio_take_over), so that nothing can ever write noise
 * into the stream. Output is queued and written without blocking: a reader that stalls holds up
 * nobody; past STDIO_MAX_QUEUE_BYTES of unread output the connection is given up. Memory is bounded
 * by max_message_bytes of input and that queue.
 *
 * Life cycle: stdio_take_over -> stdio_new -> callbacks, stdio_send ... -> on_end or stdio_flush ->
 * stdio_free. on_end and on_flushed come from the loop, never from within a call; stdio_free may
 * be called from any callback. The process ignores SIGPIPE. */
#ifndef MCP_TRANSPORT_H
#define MCP_TRANSPORT_H

#include "mcp/http/http.h"
#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/loop.h"
#include "sandbox/supervise/supervise.h"

#define STDIO_MAX_QUEUE_BYTES ((size_t)64 << 20)
#define STDIO_EXCERPT_BYTES 256

/* Duplicates 0 and 1 to new CLOEXEC descriptors (>= 3), then points 0 at /dev/null and 1 at
 * stderr. Call first thing in main(). Pipes and terminals are opened anew through /proc, so that
 * not blocking is ours alone and never a flag on what the parent or a shell shares with us. A
 * stderr that is the same pipe as stdout is pointed at /dev/null: logs would be noise there. */
int stdio_take_over(int *ret_in, int *ret_out, struct err *e);

struct stdio_transport;
struct stdio_opts {
	struct loop *loop;
	int in_fd, out_fd;		/* taken over; left to the caller when stdio_new fails */
	size_t max_message_bytes;
	/* One message without its newline; borrowed. CR before LF is dropped, blank lines are skipped. */
	void (*on_message)(void *arg, struct sv message);
	/* A line over the limit was skipped to its end; borrowed are the first and the last
	 * STDIO_EXCERPT_BYTES of it, so that the protocol can find whom to tell. */
	void (*on_oversize)(void *arg, size_t limit_bytes, struct sv head, struct sv tail);
	/* EOF (an unfinished last line is delivered first) or a broken output; once. */
	void (*on_end)(void *arg);
	void *arg;
};
struct stdio_transport *stdio_new(const struct stdio_opts *o, struct err *e);
void stdio_free(struct stdio_transport *t);
/* Queues one message; adds the newline. Never blocks, never fails visibly (a dead peer shows as
 * on_end). A line break inside the message, which JSON has only between tokens, becomes a blank. */
void stdio_send(struct stdio_transport *t, struct sv message);
/* Stops reading; calls on_flushed when all output is written, the peer is gone or timeout_ms has
 * passed. on_end is not called any more. */
void stdio_flush(struct stdio_transport *t, uint64_t timeout_ms, void (*on_flushed)(void *arg));

/* --- Streamable HTTP ----------------------------------------------------------------------------
 * One path, /mcp, for both eras (MCP, transports, 2025-03-26 to 2026-07-28): a modern POST is a peer
 * of its own; legacy POSTs, GET and DELETE belong to a session. Each request says who is calling; the
 * keeper tells whether that is so. Host and Origin are checked on every request: a page in
 * somebody's browser must not reach a server on his machine, whatever name it resolves to it.
 *
 * A session belongs to the principal that made it; to any other it does not exist. An SSE stream of
 * a session that breaks is recorded, within limits, and goes on where the client comes back with
 * Last-Event-ID. A second standalone GET takes the place of the first: the first is mostly a
 * connection that has died without saying so, and clients do not recover from a 409.
 *
 * Also: GET /healthz; /.well-known/oauth-protected-resource (RFC 9728) when there is an issuer; and
 * PUT, GET, HEAD and DELETE of /files/SESSION_ID/PATH, for files that are too large for messages: they pass
 * through in pieces. Errors there are {"error": {code, cause, remediation}}.
 *
 * Life cycle: streamable_new -> http_server_new with its handler -> streamable_drain ->
 * http_server_free -> streamable_free -> proto_server_free. */
struct streamable;
struct proto_server;
struct runs;

/* What this server is called; views are borrowed and outlive it. */
struct streamable_site {
	const uint16_t *ports;		/* of the TCP sockets */
	unsigned nports;
	bool exposed;			/* some are reachable from other hosts */
	bool tls;			/* on the TCP sockets */
	bool no_auth;			/* whoever reaches it may use it */
	struct sv public_url;		/* "" or what clients use */
	struct sv allow_hosts, allow_origins;	/* comma-separated */
	struct sv issuer, scope;	/* OAuth; "" without */
};

struct streamable_opts {
	struct loop *loop;
	struct proto_server *server;
	struct streamable_site site;
	/* sup_client_auth and sup_client_auth_cancel, and what they work on. */
	struct sup_client *client;
	struct sup_auth *(*auth)(struct sup_client *c, struct sv credential, sup_auth_fn *on_done,
				 void *arg, struct err *e);
	void (*auth_cancel)(struct sup_auth *a);
	/* 0: the default */
	uint64_t keepalive_ms;		/* 15 s: a comment on a stream that was silent that long */
	uint64_t silence_ms;		/* 10 s: then a response that has not begun becomes SSE */
	uint64_t open_ms;		/* 100 ms: the same where SSE can be resumed */
	uint64_t session_ms;		/* 30 min: a session nobody used ends */
	uint64_t keep_ms;		/* 5 min: an ended stream can still be resumed */
	unsigned max_sessions;		/* 4096; beyond, the longest unused ends */
	unsigned max_sessions_each;	/* 64 of one principal; no limit with no_auth */
	unsigned max_requests_each;	/* 512 modern ones of one principal in flight; likewise */
	unsigned max_transfers;		/* 64 files on their way; each has a descriptor or two */
	unsigned max_transfers_each;	/* 16 of one principal; no limit with no_auth */
	struct runs *runs;		/* with client: whose files; NULL: there is no /files */
};
struct streamable *streamable_new(const struct streamable_opts *o, struct err *e);
struct http_handler streamable_handler(struct streamable *t);
/* SIGTERM: listening streams end with their result, calls in flight may take timeout_ms, then they
 * are answered with an error. on_drained is called from the loop when all have been answered. */
void streamable_drain(struct streamable *t, uint64_t timeout_ms, void (*on_drained)(void *arg), void *arg);
/* A session of the keeper's has ended: its files are not sent on. */
void streamable_session_gone(void *t, struct sv session_id);
/* After the HTTP server. */
void streamable_free(struct streamable *t);

#endif
