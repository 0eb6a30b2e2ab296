/* http.h: an HTTP server: bytes on sockets <-> whole requests and responses. Knows nothing of MCP.
 *
 * HTTP/1.1 (RFC 9112), strictly: what two servers could read in two ways is refused and the
 * connection closed; HTTP/2 (RFC 9113) by libnghttp2, over TLS by ALPN and in the clear by prior
 * knowledge; TLS 1.2 and 1.3 by mbedTLS, also client certificates. On TCP or Unix sockets that are
 * bound already: this room never opens one.
 *
 * Why not libwebsockets 4.3.5: on HTTP/2 it drops every header it has no token for
 * (lib/roles/h2/hpack.c, "unknown_header"; lws_hdr_custom_copy returns -1 when mux_substream), and
 * MCP lives in such headers (Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name); with
 * mbedTLS it negotiates no TLS 1.3; on HTTP/1.1 it loses pipelined requests, hangs on chunked
 * bodies and never sends 100 Continue. libevent's evhttp has no HTTP/2 and takes bare LF, two
 * Content-Lengths and NUL.
 *
 * Data flow: listen socket -> conn (socket, TLS) -> h1 or h2 (parsing) -> struct http_exchange
 * -> on_request -> http_respond, or http_stream_start, _write ..., _end -> conn's output queue.
 * A body of any length comes in pieces where the handler wants that, and an answer of any length goes in
 * pieces as there is room for them: of neither is more than a window in memory.
 *
 * Who owns what: the server owns everything. An exchange is the handler's to use from on_request
 * until it has been ended (http_respond, http_stream_end: from then on its pointer is dead) or
 * on_gone has been called for it. Requests on one HTTP/1.1 connection come one after the other:
 * the next is read when the one before has been answered.
 *
 * Memory is bounded: per connection by the limits below; all of them by max_connections,
 * all_bodies_bytes and all_queues_bytes. Of the latter two the connections of one address may take
 * as much as is left for others: see share.c. An idle connection takes about 400 bytes in the
 * clear, some 20 KiB under TLS, and 15 KiB more with HTTP/2. */
#ifndef MCP_HTTP_H
#define MCP_HTTP_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/loop.h"

struct http_server;
struct http_exchange;

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

/* All have defaults (http_limits_default); none may be 0. */
struct http_limits {
	uint32_t header_bytes;		/* 32 KiB: request line and all fields; more: 431 */
	uint32_t header_fields;		/* 100; more: 431 */
	uint32_t target_bytes;		/* 8 KiB of the request target; more: 414 */
	size_t body_bytes;		/* 16 MiB; more: 413 before it is read */
	uint32_t header_ms;		/* 10 s from the first byte (or accept, TLS included) to the end of the fields */
	uint32_t body_ms;		/* 10 s without a byte of the body that is due; more: 408 */
	uint32_t body_total_ms;		/* 120 s for the whole of it */
	uint32_t pieces_total_ms;	/* 600 s for the whole of one that is taken in pieces */
	uint32_t idle_ms;		/* 75 s between requests */
	uint32_t write_ms;		/* 30 s without the peer taking a byte of what is queued ... */
	uint32_t write_bytes_s;		/* 512: ... and the slowest pace of one that does, in the long run */
	size_t queue_bytes;		/* 8 MiB queued for one connection that does not read; then it is closed.
					 * An answer longer than that is let through: it counts from its second write */
	size_t all_queues_bytes;	/* 512 MiB queued for all connections; who would take more is closed */
	uint32_t max_connections;	/* 16384; at the ceiling the one idle longest makes room, else one whose
					 * request is not whole and whose address has more than the newcomer's,
					 * else 503 */
	uint32_t max_streams;		/* 100 at once on one HTTP/2 connection */
	size_t all_bodies_bytes;	/* 512 MiB of request bodies in memory, of all connections; more: 503.
					 * One address may have as much as it leaves */
};
void http_limits_default(struct http_limits *l);

struct http_listen {
	int fd;				/* bound, listening, non-blocking; taken over */
	bool tls;
};

/* PEM texts; borrowed for the call. */
struct http_tls_opts {
	struct sv cert_chain, key;
	struct sv client_ca;		/* empty: no client certificate is asked for */
	bool client_required;		/* else one may be shown, and is verified if it is */
};

struct http_handler {
	/* The fields of a request have come, and a body will: true: it is to come in pieces, see
	 * http_body_start; false: it is gathered, at most body_bytes. Nothing may be done to x yet. NULL:
	 * all are gathered. */
	bool (*takes_pieces)(void *arg, const struct http_exchange *x);
	/* A whole request, body included; or its fields, when the body is to come in pieces. May answer
	 * at once. */
	void (*on_request)(void *arg, struct http_exchange *x);
	/* After http_body_start: http_body has more, or is at its end (http_body_whole). From the loop or
	 * out of on_request's place, never from within one of the functions below. */
	void (*on_body)(void *arg, struct http_exchange *x);
	/* After http_want_room, likewise. */
	void (*on_room)(void *arg, struct http_exchange *x);
	/* The peer closed or reset before the response had been ended; x is dead after it. Half
	 * closing counts as closing (MCP: closing the stream is cancelling). Not called after
	 * http_respond or http_stream_end, also if the bytes then never arrive; never called from
	 * within one of the functions below. (An HTTP/1.1 client that has sent more than header_bytes
	 * behind its request hides its end from TCP until something is written to it.) */
	void (*on_gone)(void *arg, struct http_exchange *x);
	void *arg;
};

struct http_server_opts {
	struct loop *loop;
	const struct http_listen *listens;
	unsigned nlistens;
	const struct http_tls_opts *tls;	/* NULL: no listen has tls */
	struct http_limits limits;
	struct http_handler handler;
};
/* NULL with e (unusable certificate or key, memory); the listen fds are then still the caller's. Everything that opens a file or asks the
 * kernel for more than accept4 is done here, so that the caller can confine itself afterwards. */
struct http_server *http_server_new(const struct http_server_opts *o, struct err *e);
/* Closes everything at once; on_gone is not called. Not from within a handler. */
void http_server_free(struct http_server *s);
/* Stops accepting; idle connections are closed, others after the response in progress (HTTP/2:
 * GOAWAY). on_idle is called from the loop when no connection is left, or timeout_ms has passed. */
void http_server_drain(struct http_server *s, uint64_t timeout_ms, void (*on_idle)(void *arg), void *arg);

struct http_stats { uint64_t accepted, requests, refused; uint32_t connections, exchanges; };
void http_server_stats(const struct http_server *s, struct http_stats *ret);

/* --- the request; views live as long as the exchange ------------------------------------------- */
enum http_method http_method(const struct http_exchange *x);
struct sv http_path(const struct http_exchange *x);	/* "/mcp": as sent, not decoded, no query */
struct sv http_query(const struct http_exchange *x);	/* without "?"; "" when there is none */
struct sv http_body(const struct http_exchange *x);
struct sv http_authority(const struct http_exchange *x);	/* Host or :authority; never empty */
/* How often the field occurs; *ret is the first one's value, blanks around it removed ("" if none).
 * name is lower case. Values hold no control character but HTAB. */
unsigned http_header(const struct http_exchange *x, const char *name, struct sv *ret);
bool http_is_tls(const struct http_exchange *x);
bool http_is_unix(const struct http_exchange *x);
struct sv http_peer(const struct http_exchange *x);	/* "192.0.2.1", "2001:db8::1", "unix" */
/* DER of the verified client certificate; empty when none was shown. */
struct sv http_client_cert(const struct http_exchange *x);

/* Content-Length; false when the request has none. */
bool http_length(const struct http_exchange *x, uint64_t *ret);
/* A body has come, or comes. */
bool http_has_body(const struct http_exchange *x);

/* --- a body in pieces ---------------------------------------------------------------------------- */
enum { HTTP_BODY_WINDOW = 256 << 10 };
/* Once, when the handler is ready: only then is the client told to go on (100 Continue), and time counts
 * against it. A body that is whole already, or not there, is told by on_body all the same. The handler counts the bytes; how many there may be is its own to say. It may answer
 * before the end; what still comes then is thrown away. A body that breaks its framing or takes
 * too long is answered by the server, and on_gone called. */
void http_body_start(struct http_exchange *x);
/* The first n bytes of http_body are done with. While HTTP_BODY_WINDOW of them are not, the peer has to
 * wait. */
void http_body_take(struct http_exchange *x, size_t n);
/* No bytes come after those http_body has. */
bool http_body_whole(const struct http_exchange *x);

/* The handler's own pointer. */
void http_set_user(struct http_exchange *x, void *user);
void *http_user(const struct http_exchange *x);

/* --- the response; nothing here blocks or fails visibly: a dead peer shows as on_gone ------------ */
struct http_field {
	const char *name;		/* lower case */
	struct sv value;		/* a CR, LF or NUL in it becomes a blank */
};
enum { HTTP_MAX_FIELDS = 32 };		/* of one response */
/* Whole: Date, Content-Length and Connection are added; HEAD sends no body. Ends the exchange. */
void http_respond(struct http_exchange *x, unsigned status, const struct http_field *fields, unsigned n,
		  struct sv body);
/* In pieces: chunked (HTTP/1.0: until close) or DATA frames. Not before the whole request has come. */
void http_stream_start(struct http_exchange *x, unsigned status, const struct http_field *fields,
		       unsigned n);
/* The same with a Content-Length: that many bytes must be written before the end (to HEAD: none are), or
 * it must be broken off. */
void http_stream_start_sized(struct http_exchange *x, unsigned status, const struct http_field *fields,
			     unsigned n, uint64_t length);
void http_stream_write(struct http_exchange *x, struct sv bytes);
void http_stream_end(struct http_exchange *x);	/* the proper end: last chunk, END_STREAM */
/* Breaks it off: the connection is closed (h1) or the stream reset (h2) without a proper end. */
void http_abort(struct http_exchange *x);
size_t http_queued(const struct http_exchange *x);	/* bytes of its connection not yet written */
/* Asks for one on_room, when the peer has taken most of what was written. */
void http_want_room(struct http_exchange *x);

#endif
