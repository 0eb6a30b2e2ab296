/* outlet.c: where the messages about one POST, or a session's standalone GET, go. See streamable.h. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/mem.h"

#define MAX_HELD_BYTES ((size_t)64 << 20)
#define SESSION_GONE                                                                   \
	(-32001) /* what the reference SDK says of a session that is not there */

static struct outlet *of_sink(struct proto_sink *sink)
{
	return (struct outlet *)(void *)((char *)sink - offsetof(struct outlet, sink));
}

static void free_outlet(struct outlet *s)
{
	size_t none = 0;

	must(!s->x);
	proto_peer_free(s->peer);
	list_del(&s->in_session);
	list_del(&s->live);
	list_del(&s->young);
	list_del(&s->kept);
	list_del(&s->dead);
	ring_clear(&s->ring, &s->t->ring_bytes,
		   s->session ? &s->session->ring_bytes : &none);
	if (s->counted) {
		s->t->ring_bytes -= sizeof(*s);
		s->session->ring_bytes -= sizeof(*s);
	}
	buf_finish(&s->held);
	buf_finish(&s->id);
	if (!s->standalone)
		mem_free(s);
}

/* A request has ended for good, whether or not it was answered. */
static void count_end(struct outlet *s)
{
	if (s->ended)
		return;
	s->ended = true;
	list_del(&s->young);
	if (s->owner) {
		s->owner->requests--;
		owner_put(s->t, s->owner);
		s->owner = NULL;
	}
	if (!s->is_request)
		return;
	s->t->pending--;
	if (s->session) {
		s->session->requests--;
		session_touch(s->session);
	}
	streamable_ended(s->t);
}

void outlet_release(struct outlet *s)
{
	if (!s->standalone)
		count_end(s);
	if (s->x && s->started)
		http_stream_end(s->x);
	else if (s->x)
		http_abort(s->x);
	s->x = NULL;
	free_outlet(s);
}

/* --- the connection --------------------------------------------------------------------------- */

static void leave(struct outlet *s)
{
	s->x = NULL;
	s->started = false;
	list_del(&s->live);
	list_del(&s->young);
	if (s->session)
		session_touch(s->session);
}

/* From the loop, never from within a call. */
static void on_gone(struct visitor *v)
{
	struct outlet *s = of_node(v, struct outlet, visitor);

	leave(s);
	if (s->session)
		return; /* to a session, disconnecting is not cancelling */
	if (!s->ended)
		proto_sink_gone(s->peer, &s->sink);
	count_end(s);
	free_outlet(s);
}

void outlet_attach(struct outlet *s, struct http_exchange *x)
{
	s->x = x;
	http_set_user(x, &s->visitor);
	list_add(&s->t->live, &s->live);
	streamable_tick_soon(s->t);
}

void outlet_detach(struct outlet *s)
{
	if (s->x && s->started)
		http_stream_end(s->x);
	else if (s->x)
		reply_empty(s->x, 202);
	if (s->x)
		leave(s);
}

/* --- SSE -------------------------------------------------------------------------------------- */

static void add_session_id(const struct outlet *s, struct fields *f)
{
	if (s->makes_session)
		reply_add(f, "mcp-session-id", sv_of(s->session->id));
}

void outlet_start(struct outlet *s)
{
	struct fields f;

	reply_fields(s->x, &f);
	reply_add(&f, "content-type", SV("text/event-stream"));
	reply_add(&f, "cache-control", SV("no-cache, no-transform"));
	reply_add(&f, "x-accel-buffering", SV("no"));
	add_session_id(s, &f);
	http_stream_start(s->x, 200, f.at, f.n);
	s->started = true;
	s->written_us = loop_now_us();
}

void outlet_open(struct outlet *s)
{
	if (s->sse || !(s->takes & TAKES_SSE) || !s->x || s->held.n)
		return;
	s->sse = true;
	list_del(&s->young);
	outlet_start(s);
	if (s->primes)
		event_write_priming(s->x, ring_tag(&s->ring));
}

void outlet_keepalive(struct outlet *s, uint64_t now_us)
{
	const struct streamable_opts *o = &s->t->o;

	if (!s->started) {
		if (s->is_request && now_us - s->since_us >= o->silence_ms * 1000)
			outlet_open(s);
		return;
	}
	if (now_us - s->written_us < o->keepalive_ms * 1000)
		return;
	http_stream_write(s->x, SV(": keepalive\n\n"));
	s->written_us = now_us;
}

/* What ended earlier makes room for what is new: first in this session, then anywhere. */
static void make_room(struct outlet *s, size_t n)
{
	struct node *at = s->session->streams.next;

	while (at != &s->session->streams &&
	       s->session->ring_bytes + n > SESSION_RING_BYTES) {
		struct outlet *old = of_node(at, struct outlet, in_session);

		at = at->next;
		if (old->kept.next)
			outlet_release(old);
	}
	while (s->t->ring_bytes + n > ALL_RING_BYTES && !list_empty(&s->t->kept))
		outlet_release(of_node(s->t->kept.next, struct outlet, kept));
}

static void write_message(struct outlet *s, struct sv json)
{
	if (s->ids) {
		make_room(s, json.n);
		ring_add(&s->ring, json, &s->t->ring_bytes, &s->session->ring_bytes);
	}
	if (!s->started)
		return;
	event_write(s->x, s->ids ? ring_tag(&s->ring) : NULL, s->ring.next - 1, json);
	s->written_us = loop_now_us();
}

/* --- messages --------------------------------------------------------------------------------- */

static void respond_json(struct outlet *s, unsigned status, struct sv json)
{
	struct fields f;

	reply_fields(s->x, &f);
	reply_add(&f, "content-type", SV("application/json"));
	reply_add(&f, "cache-control", SV("no-store"));
	add_session_id(s, &f);
	http_respond(s->x, status, f.at, f.n, json);
	leave(s);
}

/* An answer that nothing came before needs no stream. An error's status shows only in JSON. */
static bool wants_json(const struct outlet *s, const struct proto_message *m)
{
	return !s->sse && (m->kind == PROTO_RESULT || m->kind == PROTO_ERROR) &&
	       (m->http_status != 200 || s->takes & TAKES_JSON ||
		!(s->takes & TAKES_SSE));
}

static void on_send(struct proto_sink *sink, const struct proto_message *m)
{
	struct outlet *s = of_sink(sink);

	if (m->kind == PROTO_RESULT || m->kind == PROTO_ERROR)
		s->answered = true;
	/* whoever was not made a session gets no id of one */
	if (m->kind == PROTO_ERROR)
		s->makes_session = false;
	if (!wants_json(s, m)) {
		outlet_open(s);
		if (s->sse)
			write_message(s, m->json);
		return;
	}
	if (s->x && s->delivering) {
		buf_init(&s->held, MAX_HELD_BYTES);
		buf_sv(&s->held, m->json);
		s->held_status = m->http_status;
	} else if (s->x) {
		respond_json(s, m->http_status, m->json);
	}
}

static void drop(struct outlet *s)
{
	s->drop_wanted = false;
	outlet_open(s);
	outlet_detach(s);
}

static void on_drop(struct proto_sink *sink)
{
	struct outlet *s = of_sink(sink);

	if (!s->primes || !(s->takes & TAKES_SSE) || !s->x)
		return;
	if (s->delivering)
		s->drop_wanted = true;
	else
		drop(s);
}

static void on_open(struct proto_sink *sink)
{
	outlet_open(of_sink(sink));
}

/* --- the end ---------------------------------------------------------------------------------- */

/* We end it, not the client: it is told so. A request that was cancelled is never answered. */
static void write_last_words(struct outlet *s)
{
	const bool by_drain = s->ending == ENDED_BY_DRAIN;
	const bool by_expiry = s->ending == ENDED_BY_EXPIRY;
	AUTO_BUF b = {0};
	struct err e = {0};

	if (by_drain)
		err_set(&e, ERR_BUSY, "the server is stopping");
	else if (by_expiry)
		err_set(&e, ERR_UNAUTHENTICATED,
			"the credential this stream was opened with has expired");
	else
		err_set(&e, ERR_NOT_FOUND, "the session was ended");
	err_fix(&e, by_drain	? "try again in a moment"
		    : by_expiry ? "open it again with a new credential"
				: "initialize again");
	/* Who deletes its session is about to stop reading. The Python SDK falls over a status of 404
	 * that comes just then, not over an event. */
	if (s->ending == ENDED_BY_CLIENT)
		outlet_open(s);
	buf_init(&b, MAX_HELD_BYTES);
	proto_write_refusal(&b, buf_view(&s->id),
			    by_drain || by_expiry ? -32000 : SESSION_GONE, &e);
	s->answered = true;
	if (b.failed)
		return;
	if (s->started)
		event_write(s->x, s->ids ? ring_tag(&s->ring) : NULL, s->ring.next++,
			    buf_view(&b));
	else
		respond_json(s, by_drain ? 503 : by_expiry ? 401 : 404, buf_view(&b));
}

static void finish_response(struct outlet *s)
{
	if (s->held.failed) {
		http_abort(s->x);
		leave(s);
	} else if (s->held.n) {
		respond_json(s, s->held_status, buf_view(&s->held));
	} else if (s->ended && s->is_request && !s->answered && s->ending) {
		write_last_words(s);
	}
	if (s->ended)
		outlet_detach(s);
}

/* It counts as a whole: a short answer takes less than what is around it. */
static void keep(struct outlet *s)
{
	make_room(s, sizeof(*s));
	s->counted = true;
	s->t->ring_bytes += sizeof(*s);
	s->session->ring_bytes += sizeof(*s);
	s->kept_us = loop_now_us();
	list_add(&s->t->kept, &s->kept);
	streamable_tick_soon(s->t);
}

/* later: within a callback of the peer's, which may then not be freed. */
static void dispose(struct outlet *s, bool later)
{
	if (s->session && s->sse && s->ids && !s->session->ending) {
		keep(s);
	} else if (later && s->peer) {
		list_add(&s->t->dead, &s->dead);
		streamable_reap_soon(s->t);
	} else {
		free_outlet(s);
	}
}

void outlet_settle(struct outlet *s)
{
	if (s->drop_wanted && !s->ended)
		drop(s);
	if (s->x)
		finish_response(s);
	if (s->ended)
		dispose(s, false);
}

static void on_end(struct proto_sink *sink)
{
	struct outlet *s = of_sink(sink);

	if (s->standalone)
		return;
	count_end(s);
	if (s->delivering)
		return;
	if (s->x)
		finish_response(s);
	dispose(s, true);
}

bool outlet_is_expired(const struct outlet *s)
{
	return s->expires_us && s->expires_us <= loop_wall_us();
}

void outlet_expire(struct outlet *s)
{
	s->expires_us = 0;
	if (s->standalone) {
		outlet_detach(s); /* whoever comes back must show something new */
		return;
	}
	s->ending = ENDED_BY_EXPIRY;
	proto_peer_close(s->peer, NULL, NULL);
}

void outlet_init(struct outlet *s, struct streamable *t, struct http_exchange *x,
		 unsigned takes)
{
	*s = (struct outlet){
		.sink = {.send = on_send,
			 .end = on_end,
			 .drop = on_drop,
			 .open = on_open,
			 .alone = !(takes & TAKES_SSE)},
		.visitor.on_gone = on_gone,
		.t = t,
		.takes = takes,
		.since_us = loop_now_us(),
	};
	ring_init(&s->ring);
	if (x)
		outlet_attach(s, x);
}
