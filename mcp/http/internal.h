/* internal.h: what the files of mcp/http share. See http.h for the data flow.
 *
 * Who may end what: a connection is closed and freed only from the top of the loop (conn_leave, the
 * accept path), never from inside a call of the handler's. What goes wrong deeper down dooms it
 * (conn_doom); doomed and otherwise unfinished connections wait in the server's `later` list, which
 * the loop visits next. So on_gone is never called from within http_respond and its like, and a
 * request that was pipelined is never handed out from within the answer to the one before.
 *
 * Between conn_enter and conn_leave a connection is the server's current one: its small writes
 * are gathered in one buffer and leave in one system call. */
#ifndef MCP_HTTP_INTERNAL_H
#define MCP_HTTP_INTERNAL_H

#include "mcp/http/parse.h"

#include <sys/socket.h>
#include <sys/types.h>

struct conn;
struct h2;
struct tls_conn;
struct tls_server;

enum {
	READ_BYTES = 64 << 10,	/* of one recv */
	CORK_BYTES = 64 << 10,	/* gathered before a write */
	HIGH_WATER = 64 << 10,	/* unsent: no further request is begun, no further frame made */
	LINGER_MS = 2000,	/* how long a client may take to read our last words ... */
	LINGER_BYTES = 32 << 20,	/* ... while we throw away what it still sends */
	LINGER_MOST = 160 << 20,	/* the same with what it had announced */
	ROOM_BYTES = 64 << 10,	/* less than that unsent on a stream: there is room */
	WHEEL_SLOTS = 64,
	SHARES = 1024,
};

enum conn_list {
	LIST_IDLE,	/* waits for a request; the oldest first */
	LIST_RECEIVING,	/* for the rest of one: the peer's turn */
	LIST_BUSY,
	LISTS,
};

enum conn_state {
	CONN_TLS,	/* handshake */
	CONN_SNIFF,	/* in the clear: HTTP/2's preface or HTTP/1 */
	CONN_H1,
	CONN_H2,
	CONN_CLOSING,	/* the rest of the output is on its way */
	CONN_LINGER,	/* our side is shut down, the peer's is read to its end */
};

enum h1_state { H1_HEAD, H1_BODY, H1_HANDLER };

struct conn {
	struct loop_io io;
	struct http_server *s;
	struct conn *prev, *next;	/* of s->lists[c->list] */
	struct conn *wheel_prev, *wheel_next;
	struct conn *later_prev, *later_next;
	struct tls_conn *tls;		/* owned, or NULL */
	struct h2 *h2;			/* owned, or NULL */
	struct http_exchange *xs;	/* owned; HTTP/1 has one at most */
	struct buf in;			/* read, not understood yet */
	struct buf out;			/* not yet taken by the socket, from out_at on */
	size_t out_at;
	uint64_t read_due, write_due, body_end;	/* ms of the loop's clock; 0: none */
	uint64_t wheel_tick;		/* 0: not in the wheel */
	uint32_t interest;
	uint32_t linger_left;
	size_t queued;		/* bytes, as they are counted in its share */
	struct h1_scan scan;
	struct h1_body body;
	uint16_t share;		/* of s->shares */
	uint8_t state, h1, list;
	bool is_later, is_tls, is_unix;
	bool fresh;	/* not a byte has come yet */
	bool eof;	/* the peer sends no more */
	bool doomed;	/* to be closed from the top of the loop */
	char peer[46];
};

struct http_exchange {
	struct conn *c;
	struct http_exchange *prev, *next;	/* of the connection */
	void *user;
	struct sv path, query, authority;
	struct field *fields;
	uint32_t n;
	enum http_method method;
	struct buf body;
	size_t counted;		/* of the body, in the server's sum */
	uint64_t length;	/* Content-Length */
	bool has_length;
	bool handed;		/* on_request was called */
	bool ended;		/* the handler is done with it */
	bool streaming;
	bool whole;		/* the request has been read to its end */
	bool pieces;		/* its body comes in pieces: */
	bool wanted;		/* http_body_start was called */
	bool expect;		/* 100 is to be said then */
	bool news;		/* on_body is to be called */
	bool wants_room;	/* on_room is to be called */
	bool sized;
	uint64_t left;		/* sized: bytes of the answer still to be written */
	bool chunked;		/* HTTP/1: the answer is */
	bool close;		/* HTTP/1: the connection ends with the answer */
	/* HTTP/2 */
	int32_t stream;
	bool out_end;		/* nothing is added to out any more */
	bool deferred;		/* nghttp2 waits to be told of more */
	uint64_t body_due, body_end;
	uint64_t unwanted;	/* bytes of the body that came after the answer */
	struct buf out;
	size_t out_at;
	char text[];
};

struct conns {
	struct conn *first, *last;
};

/* What the connections of one address hold; see share.c. */
struct share {
	uint32_t conns;
	size_t bodies_bytes, queued_bytes;
};

struct listener {
	struct loop_io io;
	struct http_server *s;
	bool tls;
};

struct http_server {
	struct loop *loop;
	struct http_limits limits;
	struct http_handler handler;
	struct listener *listeners;
	unsigned nlisteners;
	struct tls_server *tls;
	struct conns lists[LISTS];
	struct conn *later_first, *later_last;
	uint32_t later_n;
	struct conn *current;
	struct conn *wheel[WHEEL_SLOTS];
	uint64_t tick;
	uint32_t tick_ms;
	struct loop_timer tick_timer, later_timer, accept_timer, drain_timer;
	struct http_stats stats;
	size_t bodies_bytes, queued_bytes;
	uint64_t share_key;
	struct share shares[SHARES];
	bool draining;
	void (*on_idle)(void *arg);
	void *on_idle_arg;
	struct field *fields;	/* limits.header_fields of them: scratch of the head parser */
	struct buf cork;	/* of the current connection */
	struct buf head;	/* scratch: a response's head */
	uint64_t date_s;
	char date[HTTP_DATE_SIZE];
	char rbuf[READ_BYTES];
	char join[16 << 10];	/* one TLS record to be sent */
	char plain[16 << 10];	/* one that came */
	char frames[16 << 10];	/* HTTP/2 frames that leave together */
};

uint64_t now_ms(void);

/* --- conn.c ----------------------------------------------------------------------------------------- */
/* Takes fd over, also when it fails (NULL: memory). */
struct conn *conn_new(struct http_server *s, int fd, const struct sockaddr *from, bool tls);
void conn_close(struct conn *c);	/* top of the loop only; on_gone for what is open */
void conn_free(struct conn *c);		/* without on_gone */
void conn_enter(struct conn *c);
void conn_leave(struct conn *c);	/* c may be gone after it */
void conn_doom(struct conn *c);
void conn_later(struct conn *c);
void conn_touch(struct conn *c);	/* after the handler did something to it */
void conn_finish(struct conn *c);	/* close once all that is queued has been sent and read */
void conn_idle(struct conn *c);		/* waits for a request */
void conn_receiving(struct conn *c);	/* for the rest of it */
void conn_busy(struct conn *c);
bool conn_is_idle(const struct conn *c);
void conn_plain(struct conn *c, struct sv bytes);	/* bytes after TLS */
void conn_eof(struct conn *c);
void conn_due(struct conn *c, uint64_t now);
/* What can still be done without another event; from the top of the loop. */
void conn_resume(struct conn *c);

/* --- write.c ---------------------------------------------------------------------------------------- */
enum { SEND_PARTS = 4 };
void conn_send(struct conn *c, const struct sv *parts, unsigned n);	/* through TLS where there is */
void conn_raw(struct conn *c, const struct sv *parts, unsigned n);	/* to the socket */
void conn_flush(struct conn *c);	/* what is queued */
void conn_uncork(struct conn *c);
size_t conn_unsent(const struct conn *c);
bool conn_overfull(const struct conn *c);	/* more is queued than may be */
/* The queue has changed: the time until the peer must take something of it. taken: bytes it took. */
void conn_write_due(struct conn *c, size_t taken);

/* --- timing.c --------------------------------------------------------------------------------------- */
void timing_init(struct http_server *s);
void timing_stop(struct http_server *s);
void timing_schedule(struct conn *c);
void timing_forget(struct conn *c);	/* it is in no list of ours any more */

/* --- tls.c ------------------------------------------------------------------------------------------ */
struct tls_server *tls_server_new(const struct http_tls_opts *o, struct err *e);
void tls_server_free(struct tls_server *t);
int tls_start(struct conn *c);			/* 0, or -1: memory */
void tls_free(struct tls_conn *t);
void tls_input(struct conn *c, struct sv bytes);
void tls_send(struct conn *c, const struct sv *parts, unsigned n);
void tls_close_notify(struct conn *c);
struct sv tls_client_cert(const struct conn *c);

/* --- h1.c ------------------------------------------------------------------------------------------- */
void h1_input(struct conn *c, struct sv bytes);
void h1_run(struct conn *c);			/* what is in c->in */
void h1_eof(struct conn *c);
void h1_due(struct conn *c);
void h1_refuse(struct conn *c, const struct refusal *r);
void h1_respond(struct http_exchange *x, unsigned status, const struct http_field *fields,
		unsigned n, struct sv body);
void h1_start(struct http_exchange *x, unsigned status, const struct http_field *fields, unsigned n);
void h1_body_wanted(struct http_exchange *x);
void h1_body_taken(struct http_exchange *x);
void h1_write(struct http_exchange *x, struct sv bytes);
void h1_end(struct http_exchange *x);

/* --- h2.c ------------------------------------------------------------------------------------------- */
int h2_start(struct conn *c);			/* 0, or -1: memory */
void h2_free(struct h2 *h);
void h2_input(struct conn *c, struct sv bytes);
void h2_flush(struct conn *c);
void h2_due(struct conn *c, uint64_t now);
void h2_shutdown(struct conn *c);		/* GOAWAY; open streams go on */
size_t h2_queued(const struct conn *c);
void h2_respond(struct http_exchange *x, unsigned status, const struct http_field *fields,
		unsigned n, struct sv body);
void h2_start_stream(struct http_exchange *x, unsigned status, const struct http_field *fields,
		     unsigned n);
void h2_body_wanted(struct http_exchange *x);
void h2_body_taken(struct http_exchange *x, size_t n);
void h2_write(struct http_exchange *x, struct sv bytes);
void h2_end(struct http_exchange *x);
void h2_abort(struct http_exchange *x);

/* --- exchange.c ------------------------------------------------------------------------------------- */
/* Copies what h views; NULL without memory. */
struct http_exchange *exchange_new(struct conn *c, const struct head *h);
void exchange_free(struct http_exchange *x);	/* unlinks it; on_gone is not called */
void exchange_hand(struct http_exchange *x);	/* on_request */
/* A body will follow: asks whether it is to come in pieces. */
void exchange_ask(struct http_exchange *x);
void exchange_take(struct http_exchange *x, size_t n);	/* of the body, also when x has ended */
/* From the top of the loop: the callbacks its exchanges wait for and can have. */
void exchange_serve(struct conn *c);
/* x->body has more, or its end has come. x may be gone after it. */
void exchange_news(struct http_exchange *x);
bool exchange_has_room(const struct http_exchange *x);
/* When the peer must have sent more of a body in pieces; 0: it is not its turn. */
uint64_t exchange_body_due(const struct http_exchange *x, uint64_t end);
void exchange_end(struct http_exchange *x);	/* it is no longer the handler's */
void exchange_gone(struct http_exchange *x);	/* on_gone if the handler has it */
/* After x->body has grown. 0, or -1: all bodies together, or this address's, are too much. */
int exchange_count_body(struct http_exchange *x, struct refusal *r);
/* The body of a refusal: {"code","cause","remediation"}. */
void refusal_json(struct buf *b, const struct refusal *r);
const char *status_phrase(unsigned status);

/* --- share.c ---------------------------------------------------------------------------------------- */
int share_init(struct http_server *s);		/* 0, or -1: no randomness */
uint16_t share_find(const struct http_server *s, const struct sockaddr *from);
/* more bytes of a body, or -1 if they are too much for all or for this address. */
int share_body(struct conn *c, size_t more);
void share_body_done(struct conn *c, size_t n);
/* c's queue has n bytes now; -1 if it has grown and that is too much. */
int share_queue(struct conn *c, size_t n);
/* At the ceiling: the connection that makes room for one of that share, or NULL. */
struct conn *share_victim(const struct http_server *s, uint16_t newcomer);

/* --- pages.c ---------------------------------------------------------------------------------------- */
/* A block whose contents do not matter, or are zero: what can be given back until it is used, is. */
void pages_release(void *p, size_t n);

/* --- server.c --------------------------------------------------------------------------------------- */
void server_check_idle(struct http_server *s);	/* a connection has gone */
const char *server_date(struct http_server *s);

#endif
