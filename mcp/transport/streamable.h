/* streamable.h: inside the transport room: the pieces of MCP's Streamable HTTP and how they meet.
 *
 *	streamable.c	which path and method; start, drain, end; the clock
 *	access.c	is this request for us, from a page that may, and what does it take: pure
 *	caller.c	credential -> identity, with a short memory
 *	reply.c		whole answers: errors, well-knowns, CORS
 *	session.c	legacy sessions: ids, owners, limits, idle time
 *	post.c		one POSTed message: to which peer, and GET and DELETE
 *	outlet.c	where the messages about one POST go: JSON, SSE, nowhere, later
 *	events.c	what was written to an SSE stream, for whoever comes back
 *	files.c		/files/SESSION/PATH: files of sessions, in and out
 *
 * Theory of operation. An exchange has a struct visitor as its http_user: first a visit (who is
 * calling is being asked), then a stream. `x` of either is NULL once the exchange has ended or the
 * client has gone (which http tells from the loop, never from within a call). The protocol tells a
 * stream's end from within its own functions, where its peer may not be freed: peers that are done with
 * wait in `dead` for a timer of 0 ms. While a message is being delivered its bytes are the
 * exchange's, so what would end the exchange waits for outlet_settle.
 *
 * A stream (struct outlet) begins undecided. Its first message decides: an answer is sent as JSON; anything else,
 * proto_sink.open, or time opens SSE. Time is OPEN_MS for clients that can resume (they get an
 * event id early) and silence_ms for all others (so that no proxy cuts a long call), and only where the
 * client takes SSE.
 *
 *	stream of		peer is		peer closes the connection	kept for resuming
 *	modern POST		its own		cancels				no
 *	legacy POST		the session's	goes on				if SSE had begun
 *	legacy standalone GET	the session's	goes on				as long as the session
 *	without a session	its own		cancels				no
 */
#ifndef MCP_TRANSPORT_STREAMABLE_H
#define MCP_TRANSPORT_STREAMABLE_H

#include "mcp/http/http.h"
#include "mcp/protocol/protocol.h"
#include "mcp/transport/transport.h"
#include "sandbox/supervise/supervise.h"
#include "tools/tools.h"

#define SESSION_ID_BYTES 32		/* random; hex on the wire */
#define SESSION_ID_SIZE (2 * SESSION_ID_BYTES + 1)
#define SESSION_BUCKETS 4096
#define OWNER_BUCKETS 256
#define CACHE_ENTRIES 1024
#define CACHE_DIGEST 16
#define TAG_SIZE 17			/* 16 hex digits: one stream within its session */
#define RING_EVENTS 256
#define RING_BYTES ((size_t)1 << 20)	/* but for a single event */
#define SESSION_RING_BYTES ((size_t)8 << 20)
#define ALL_RING_BYTES ((size_t)128 << 20)
#define FILES_PREFIX "/files/"
#define RETRY_MS 1000			/* after a broken connection, before the client comes back */

/* --- lists ---------------------------------------------------------------------------------- */
struct node { struct node *prev, *next; };

static inline void list_init(struct node *head) { head->prev = head->next = head; }
static inline bool list_empty(const struct node *head) { return head->next == head; }
static inline void list_del(struct node *n)	/* idempotent, also for a zeroed node */
{
	if (n->next) {
		n->prev->next = n->next;
		n->next->prev = n->prev;
	}
	n->prev = n->next = NULL;
}
static inline void list_add(struct node *head, struct node *n)	/* at the end */
{
	list_del(n);
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}
#define of_node(n, type, member) ((type *)(void *)((char *)(n) - offsetof(type, member)))

/* --- who has an exchange -------------------------------------------------------------------- */
struct visitor {
	void (*on_gone)(struct visitor *v);
	/* of those that move bytes in pieces; see http_handler */
	void (*on_body)(struct visitor *v);
	void (*on_room)(struct visitor *v);
};

/* --- events --------------------------------------------------------------------------------- */
struct event;
/* What was sent on one stream, oldest first; ids are TAG-SEQ, SEQ from 1. */
struct ring {
	struct event *first, *last;
	unsigned n;
	size_t bytes;
	uint64_t next;			/* SEQ of the next event */
	char tag[TAG_SIZE];		/* "" until ring_tag is first asked */
};
struct session;
void ring_init(struct ring *r);
/* Drawn when it is first to be shown: most streams are answered as JSON and show none. */
const char *ring_tag(struct ring *r);
/* Bounded by dropping the oldest; *all and *session count bytes. 0: not kept (no memory). */
void ring_add(struct ring *r, struct sv json, size_t *all, size_t *of_session);
void ring_clear(struct ring *r, size_t *all, size_t *of_session);
/* Frames of all events after seq. */
void ring_replay(struct ring *r, uint64_t after, struct http_exchange *x);
bool ring_has_after(const struct ring *r, uint64_t seq);
/* "TAG-SEQ" apart; -1 when it is none of ours. */
int ring_parse_id(struct sv id, struct sv *ret_tag, uint64_t *ret_seq);
/* One SSE frame; without an id when tag is NULL. */
void event_write(struct http_exchange *x, const char *tag, uint64_t seq, struct sv json);
/* An id to come back with and when, without a message (MCP 2025-11-25, transports). */
void event_write_priming(struct http_exchange *x, const char *tag);

/* --- access.c ------------------------------------------------------------------------------- */
enum { TAKES_JSON = 1, TAKES_SSE = 2 };
unsigned access_takes(const struct http_exchange *x);	/* of Accept; absent: JSON */
bool access_is_json(const struct http_exchange *x);	/* Content-Type */
bool access_host_ok(const struct streamable_site *s, struct sv authority, bool is_unix);
bool access_origin_ok(const struct streamable_site *s, struct sv origin);
/* scheme://host[:port]/path; -1 when it is no http or https URL. Borrowed from url. */
struct access_url { struct sv origin, scheme, host, path; uint16_t port; };
int access_url(struct sv url, struct access_url *ret);

/* --- sessions ------------------------------------------------------------------------------- */
/* What one principal has here. */
struct owner {
	struct owner *next;		/* in its bucket */
	unsigned sessions, requests;	/* requests: modern ones not ended */
	unsigned transfers;		/* of files */
	char principal[SUP_PRINCIPAL_SIZE];
};

enum ending { NOT_ENDING, ENDED_BY_CLIENT, ENDED_BY_AGE, ENDED_BY_DRAIN, ENDED_BY_EXPIRY };

struct outlet {
	struct proto_sink sink;
	struct visitor visitor;
	struct streamable *t;
	struct session *session;	/* whose peer it is on; NULL: its own */
	struct proto_peer *peer;	/* its own; else NULL */
	struct owner *owner;		/* counted in requests; else NULL */
	struct http_exchange *x;	/* NULL: nobody is connected */
	struct node in_session;		/* session->streams */
	struct node live;		/* t->live: has an x */
	struct node young;		/* t->young: to be opened after OPEN_MS */
	struct node kept;		/* t->kept: ended, may be resumed */
	struct node dead;		/* t->dead */
	unsigned takes;			/* TAKES_* */
	bool standalone;
	bool is_request;		/* an answer is due */
	bool ids;			/* events carry ids: legacy */
	bool primes;			/* the client knows events without a message */
	bool sse;			/* decided: SSE */
	bool started;			/* on the current x */
	bool delivering, drop_wanted;	/* within proto_deliver: x must not end yet */
	bool answered, ended;
	bool counted;			/* in ring_bytes, with itself: it is kept */
	bool makes_session;		/* initialize: the answer carries the session's id */
	enum ending ending;
	struct buf held;		/* the JSON answer that came within proto_deliver */
	unsigned held_status;
	struct buf id;			/* JSON text of the request's id */
	struct ring ring;
	uint64_t since_us, written_us, kept_us;
	/* Of one that only listens: when what the caller showed expires (CLOCK_REALTIME), 0: never. A
	 * call is checked when it starts; this could go on for ever. */
	uint64_t expires_us;
};

struct session {
	struct streamable *t;
	struct session *next;		/* in its bucket */
	struct node lru;		/* t->lru, longest unused first */
	struct node dead;
	struct node streams;
	struct owner *owner;
	struct proto_peer *peer;
	struct outlet standalone;
	unsigned requests;		/* not ended */
	size_t ring_bytes;		/* of what is kept: events, and ended streams themselves */
	uint64_t used_us;
	enum ending ending;
	bool idle;			/* while ending: the peer may be freed */
	char id[SESSION_ID_SIZE];
};

/* NULL with e: ERR_BUSY when this principal, or all, have too many that are in use. */
struct session *session_new(struct streamable *t, struct sv credential, const struct sup_identity *id, struct err *e);
/* NULL: unknown, ended, or another principal's; the time it takes does not tell which. */
struct session *session_find(struct streamable *t, struct sv id, struct sv principal);
void session_touch(struct session *s);
/* Ends it: nobody finds it any more, its calls are cancelled, its streams end. */
void session_end(struct session *s, enum ending why);
void session_sweep(struct streamable *t, uint64_t now_us);	/* those idle too long */
void session_free(struct session *s);
struct owner *owner_get(struct streamable *t, struct sv principal);	/* NULL: no memory */
void owner_put(struct streamable *t, struct owner *o);	/* freed when it has nothing */

/* --- streams -------------------------------------------------------------------------------- */
/* Takes over x. */
void outlet_init(struct outlet *s, struct streamable *t, struct http_exchange *x, unsigned takes);
void outlet_attach(struct outlet *s, struct http_exchange *x);
/* Ends the response it has, if any, properly. */
void outlet_detach(struct outlet *s);
void outlet_start(struct outlet *s);		/* the head of an SSE response */
void outlet_open(struct outlet *s);		/* SSE from here on, if the client takes it */
/* After proto_deliver has returned: what had to wait. May free s. */
void outlet_settle(struct outlet *s);
void outlet_keepalive(struct outlet *s, uint64_t now_us);
bool outlet_is_expired(const struct outlet *s);
void outlet_expire(struct outlet *s);
/* The end of an ended stream that is kept no longer, or of one whose session goes. */
void outlet_release(struct outlet *s);

/* --- callers -------------------------------------------------------------------------------- */
struct visit;
typedef void visit_fn(struct streamable *t, struct http_exchange *x, struct sv credential,
		      const struct sup_identity *id);
/* Answers x with 400, 401, 403 or 503, or calls fn, now or later. */
void caller_identify(struct streamable *t, struct http_exchange *x, visit_fn *fn);
void caller_forget(struct streamable *t);	/* those being asked about */

/* --- replies -------------------------------------------------------------------------------- */
struct fields {
	struct http_field at[HTTP_MAX_FIELDS];
	unsigned n;
};
/* With what CORS needs for x. */
void reply_fields(const struct http_exchange *x, struct fields *ret);
void reply_add(struct fields *f, const char *name, struct sv value);
/* A JSON-RPC error without a request; code 0: -32000. */
void reply_error(struct http_exchange *x, unsigned status, int code, const struct err *e);
void reply_error_with(struct http_exchange *x, unsigned status, const struct fields *f, struct sv id,
		      int code, const struct err *e);
void reply_empty(struct http_exchange *x, unsigned status);
void reply_json(struct http_exchange *x, unsigned status, struct sv json);
void reply_preflight(struct http_exchange *x, const char *allow);
/* 401 ...: e says which. */
void reply_refused(const struct streamable *t, struct http_exchange *x, const struct err *e);
/* /.well-known/NAME */
void reply_well_known(const struct streamable *t, struct http_exchange *x, struct sv name);

/* --- requests ------------------------------------------------------------------------------- */
visit_fn post_begin, get_begin, delete_begin;

/* --- files ---------------------------------------------------------------------------------- */
void files_request(struct streamable *t, struct http_exchange *x);
visit_fn files_begin;
void files_session_gone(struct streamable *t, struct sv session_id);
void files_cut(struct streamable *t);		/* those still under way */
void files_forget(struct streamable *t);	/* the same, after the HTTP server has gone */

/* --- the whole ------------------------------------------------------------------------------ */
struct cache_entry {
	uint8_t digest[CACHE_DIGEST];
	uint64_t at_us;			/* 0: free */
	struct sup_identity id;
};

struct streamable {
	struct streamable_opts o;
	struct buf metadata;		/* protected resource metadata (RFC 9728) */
	struct buf metadata_url;
	struct session *sessions[SESSION_BUCKETS];
	struct owner *owners[OWNER_BUCKETS];
	unsigned nsessions;
	struct node lru, live, young, kept, dead, dead_sessions, visits, passages;
	struct loop_timer tick, open_timer, reaper, drain_timer;
	unsigned pending;		/* requests not ended, of all */
	unsigned ntransfers;		/* of files */
	size_t ring_bytes;
	bool draining, cut;
	void (*on_drained)(void *arg);
	void *drain_arg;
	uint8_t hash_key[16];		/* sessions, owners */
	uint8_t cache_key[32];
	struct cache_entry cache[CACHE_ENTRIES];
};
void streamable_reap_soon(struct streamable *t);
void streamable_tick_soon(struct streamable *t);	/* there is something to watch now */
void streamable_young(struct streamable *t, struct outlet *s);
/* A request has ended: maybe the last one of a drain. */
void streamable_ended(struct streamable *t);

#endif
