/* post.c: one message that was POSTed: whose it is and where its answer goes; GET and DELETE. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/mem.h"

#define SESSION_GONE                                                                   \
	(-32001) /* what the reference SDK says of a session that is not there */
#define CAN_RESUME "2025-11-25" /* the first revision with events without a message */

static unsigned get_header(void *arg, const char *name, struct sv *ret)
{
	return http_header(arg, name, ret);
}

static void refuse(struct http_exchange *x, unsigned status, const char *cause,
		   const char *fix)
{
	struct err e = {0};

	err_set(&e, ERR_INVALID, "%s", cause);
	err_fix(&e, "%s", fix);
	reply_error(x, status, 0, &e);
}

static void no_memory(struct http_exchange *x)
{
	struct err e = {0};

	err_set(&e, ERR_LIMIT, "no memory for the request");
	reply_error(x, 503, 0, &e);
}

/* --- delivering --------------------------------------------------------------------------------- */

static bool deliver(struct outlet *s, struct proto_peer *peer, struct proto_in *in)
{
	s->is_request = proto_peer_takes(peer, in) && in->asks;
	if (s->is_request) {
		buf_init(&s->id, RPC_MAX_ID_BYTES);
		buf_sv(&s->id, in->msg.id);
		s->t->pending++;
		if (s->session)
			s->session->requests++;
	}
	s->delivering = true;
	proto_deliver(peer, in, &s->sink);
	s->delivering = false;
	return s->answered;
}

static struct outlet *new_outlet(struct streamable *t, struct http_exchange *x)
{
	struct outlet *s = mem_zalloc(sizeof(*s));

	if (s)
		outlet_init(s, t, x, access_takes(x));
	return s;
}

/* --- a peer of its own: modern, or what belongs to nobody --------------------------------------- */

struct caller {
	struct sv credential;
	const struct sup_identity *id;
};

static int count_owner(struct outlet *s, const struct caller *c, struct err *e)
{
	struct streamable *t = s->t;
	struct owner *o = owner_get(t, sv_of(c->id->principal));

	if (!o)
		return err_set(e, ERR_LIMIT, "no memory for the request");
	if (!t->o.site.no_auth && o->requests >= t->o.max_requests_each) {
		err_set(e, ERR_BUSY, "%u requests of this caller are in flight",
			o->requests);
		return err_fix(e, "wait for some of them to end");
	}
	o->requests++;
	s->owner = o;
	return 0;
}

static int open_alone(struct outlet *s, const struct caller *c, struct err *e)
{
	if (count_owner(s, c, e))
		return -1;
	s->peer = proto_peer_new(
		&(struct proto_peer_opts){.server = s->t->o.server,
					  .credential = c->credential,
					  .principal = sv_of(c->id->principal),
					  .nobody = s->t->o.site.no_auth,
					  .http = true},
		e);
	return s->peer ? 0 : -1;
}

static void post_alone(struct streamable *t, struct http_exchange *x,
		       struct proto_in *in, const struct caller *c)
{
	const bool listens =
		!in->bad && sv_eq(in->msg.method, SV("subscriptions/listen"));
	struct outlet *s;
	struct err e = {0};

	if (listens && !(access_takes(x) & TAKES_SSE)) {
		refuse(x, 406, "what is listened to comes as an event stream",
		       "send Accept: application/json, text/event-stream");
		return;
	}
	s = new_outlet(t, x);
	if (!s) {
		no_memory(x);
		return;
	}
	if (open_alone(s, c, &e)) {
		reply_error(x, 503, 0, &e);
		s->x = NULL;
		outlet_release(s);
		return;
	}
	if (listens)
		s->expires_us = c->id->expires_us;
	deliver(s, s->peer, in);
	outlet_settle(s);
}

/* --- a session's -------------------------------------------------------------------------------- */

/* NULL: x was answered. */
static struct session *session_of(struct streamable *t, struct http_exchange *x,
				  const struct caller *c)
{
	struct session *s = NULL;
	struct err e = {0};
	struct sv id;
	unsigned n = http_header(x, "mcp-session-id", &id);

	if (n == 1)
		s = session_find(t, id, sv_of(c->id->principal));
	if (s)
		return s;
	if (n != 1) {
		refuse(x, 400, "Bad Request: one Mcp-Session-Id is wanted",
		       "initialize, and send the id of its answer with every request");
		return NULL;
	}
	err_set(&e, ERR_NOT_FOUND, "Session not found");
	err_fix(&e, "initialize again");
	reply_error(x, 404, SESSION_GONE, &e);
	return NULL;
}

/* The one an initialize goes to: that of the client, to be told so; else a new one, also for a
 * client that still names an old one. */
static struct session *session_for_initialize(struct streamable *t,
					      struct http_exchange *x,
					      const struct caller *c, bool *ret_fresh)
{
	struct session *s = NULL;
	struct err e = {0};
	struct sv id;

	if (http_header(x, "mcp-session-id", &id) == 1)
		s = session_find(t, id, sv_of(c->id->principal));
	*ret_fresh = !s;
	if (s)
		return s;
	if (t->draining)
		err_set(&e, ERR_BUSY, "the server is stopping");
	else
		s = session_new(t, c->credential, c->id, &e);
	if (!s)
		reply_error(x, 503, 0, &e);
	return s;
}

static void post_to_session(struct session *session, struct http_exchange *x,
			    struct proto_in *in, bool fresh)
{
	struct streamable *t = session->t;
	struct outlet *s = new_outlet(t, x);
	bool answered;

	if (!s) {
		no_memory(x);
		if (fresh)
			session_end(session, ENDED_BY_CLIENT);
		return;
	}
	s->session = session;
	list_add(&session->streams, &s->in_session);
	s->ids = true;
	s->primes = strcmp(proto_peer_revision(session->peer), CAN_RESUME) >= 0;
	s->makes_session = fresh;
	session_touch(session);
	answered = deliver(s, session->peer, in);
	/* an initialize that was refused leaves nothing behind */
	fresh = fresh && !(answered && s->makes_session);
	if (s->is_request && !s->ended && s->primes && s->takes & TAKES_SSE)
		streamable_young(t, s);
	outlet_settle(s);
	if (fresh)
		session_end(session, ENDED_BY_CLIENT);
}

/* With the principal's newest token: what it starts now is started with that. */
static void post_renewed(struct session *s, struct http_exchange *x,
			 struct proto_in *in, const struct caller *c, bool fresh)
{
	struct err e = {0};

	if (proto_peer_renew(s->peer, c->credential, &e))
		reply_error(x, 503, 0, &e);
	else
		post_to_session(s, x, in, fresh);
}

static void post_legacy(struct streamable *t, struct http_exchange *x,
			struct proto_in *in, const struct caller *c)
{
	struct session *s;
	bool fresh = false;

	if (!access_takes(x)) {
		refuse(x, 406, "Not Acceptable: answers are JSON or an event stream",
		       "send Accept: application/json, text/event-stream");
		return;
	}
	s = in->initialize ? session_for_initialize(t, x, c, &fresh)
			   : session_of(t, x, c);
	if (s)
		post_renewed(s, x, in, c, fresh);
}

/* To a session whose revision has batches it is many messages; to all others it is none. */
static void post_batch(struct streamable *t, struct http_exchange *x,
		       struct proto_in *in, const struct caller *c)
{
	struct session *s = NULL;
	struct sv id;

	if (http_header(x, "mcp-session-id", &id) == 1)
		s = session_find(t, id, sv_of(c->id->principal));
	if (!s || !proto_peer_takes(s->peer, in))
		post_alone(t, x, in, c);
	else if (in->asks && !(access_takes(x) & TAKES_SSE))
		refuse(x, 406, "what a batch is answered comes as an event stream",
		       "send Accept: application/json, text/event-stream");
	else
		post_renewed(s, x, in, c, false);
}

void post_begin(struct streamable *t, struct http_exchange *x, struct sv credential,
		const struct sup_identity *id)
{
	const struct caller c = {credential, id};
	const struct proto_headers headers = {get_header, x};
	struct proto_in in;

	if (!access_is_json(x)) {
		refuse(x, 415, "Unsupported Media Type: the body must be JSON",
		       "send Content-Type: application/json");
		return;
	}
	proto_read(http_body(x), &headers, &in);
	if (in.nbatch && in.era == PROTO_LEGACY)
		post_batch(t, x, &in, &c);
	else if (in.bad || in.era == PROTO_MODERN)
		post_alone(t, x, &in, &c);
	else
		post_legacy(t, x, &in, &c);
	proto_in_finish(&in);
}

/* --- GET and DELETE ----------------------------------------------------------------------------- */

static struct outlet *find_outlet(struct session *s, struct sv tag)
{
	if (sv_eq(sv_of(s->standalone.ring.tag), tag))
		return &s->standalone;
	for (struct node *n = s->streams.next; n != &s->streams; n = n->next) {
		struct outlet *st = of_node(n, struct outlet, in_session);

		if (st->sse && sv_eq(sv_of(st->ring.tag), tag))
			return st;
	}
	return NULL;
}

/* What came before on another connection of the same stream has ended: mostly it is dead, and only
 * the client knows. */
static void go_on(struct outlet *s, struct http_exchange *x, uint64_t after)
{
	if (s->ended && !ring_has_after(&s->ring, after)) {
		reply_empty(x, 204); /* nothing will ever come: do not come back */
		return;
	}
	outlet_detach(s);
	outlet_attach(s, x);
	s->sse = true;
	outlet_start(s);
	ring_replay(&s->ring, after, x);
	if (s->ended)
		outlet_detach(s);
}

void get_begin(struct streamable *t, struct http_exchange *x, struct sv credential,
	       const struct sup_identity *id)
{
	const struct caller c = {credential, id};
	struct outlet *stream;
	struct session *s;
	struct sv last, tag;
	uint64_t seq;

	s = session_of(t, x, &c);
	if (!s)
		return;
	session_touch(s);
	s->standalone.expires_us = id->expires_us;
	if (!http_header(x, "last-event-id", &last)) {
		go_on(&s->standalone, x, s->standalone.ring.next - 1);
		return;
	}
	stream = ring_parse_id(last, &tag, &seq) ? NULL : find_outlet(s, tag);
	if (stream)
		go_on(stream, x, seq);
	else
		refuse(x, 400, "the stream of this Last-Event-ID is not kept any more",
		       "leave out Last-Event-ID, and repeat the request");
}

void delete_begin(struct streamable *t, struct http_exchange *x, struct sv credential,
		  const struct sup_identity *id)
{
	const struct caller c = {credential, id};
	struct session *s = session_of(t, x, &c);

	if (!s)
		return;
	session_end(s, ENDED_BY_CLIENT);
	reply_empty(x, 204);
}
