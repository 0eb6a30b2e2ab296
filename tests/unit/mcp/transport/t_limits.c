/* t_limits.c: how much is kept, how many sessions, for how long. */
#include "tests/unit/mcp/transport/legacy.h"

static void ring_limits(void)
{
	struct http_exchange *x, *back;
	char id[64];
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	x = in_session(x_post(REQUEST(1, "open")));
	last_id(x, id, sizeof(id));
	x_gone(x);
	x_free(x);
	for (unsigned i = 0; i < 1000; i++)
		fake_note("1", i);
	fake_answer("1");
	back = get(id);
	ok(x_count(back, "data: ") == RING_EVENTS, "%u events are kept", RING_EVENTS);
	ok(x_has(back, "{\"note\":999}") && x_count(back, "\"result\"") == 1,
	   "the newest, and the answer");
	x_free(back);
	rig_close(&r);
}

/* Old answers make room for new ones, the session stays within its limit. */
static void session_bytes(void)
{
	struct http_exchange *x;
	struct rig r;
	char *big = mem_alloc((size_t)2 << 20);
	unsigned kept = 0;

	must(big);
	memset(big, 'x', (size_t)2 << 20);
	rig_begin(&r, NULL, INITIALIZE(NEW));
	for (unsigned i = 0; i < 8; i++) {
		struct fake_request *q;
		struct proto_sink *sink;

		x = in_session(x_post(REQUEST(1, "open")));
		q = fake_find("1");
		sink = q->sink;
		q->peer = NULL;
		sink->send(sink, &(struct proto_message){
					 PROTO_RESULT, {big, (size_t)2 << 20}, 200});
		sink->end(sink);
		x_free(x);
	}
	for (struct node *n = r.t->kept.next; n != &r.t->kept; n = n->next)
		kept++;
	ok(kept == 3, "%u answers of 2 MiB are kept", kept);
	ok(r.t->ring_bytes <= SESSION_RING_BYTES, "%zu bytes", r.t->ring_bytes);
	mem_free(big);
	rig_close(&r);
}

/* Short answers are many: what is around them counts too. */
static void session_streams(void)
{
	struct http_exchange *x;
	unsigned kept = 0;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	for (unsigned i = 0; i < 30000; i++) {
		x = in_session(x_post(REQUEST(1, "open")));
		fake_answer("1");
		x_free(x);
	}
	for (struct node *n = r.t->kept.next; n != &r.t->kept; n = n->next)
		kept++;
	ok(kept > 1000 && kept * sizeof(struct outlet) <= SESSION_RING_BYTES,
	   "%u short answers are kept, %zu bytes around them", kept,
	   kept * sizeof(struct outlet));
	ok(r.t->ring_bytes <= SESSION_RING_BYTES, "%zu bytes", r.t->ring_bytes);
	x = finish(&r, in_session(x_new(HTTP_DELETE, "/mcp")));
	ok(status_and_free(x) == 204 && !r.t->ring_bytes, "with the session they go");
	rig_close(&r);
}

static void ages(void)
{
	const struct streamable_opts o = {.open_ms = 1, .session_ms = 20, .keep_ms = 1};
	struct http_exchange *x, *stream;
	struct rig r;

	rig_begin(&r, &o, INITIALIZE(NEW));
	x = in_session(x_post(REQUEST(1, "open")));
	stream = get(NULL);
	fake_answer("1");
	x_free(x);
	ok(!list_empty(&r.t->kept), "an ended stream is kept");
	rig_until(&r, list_empty(&r.t->kept));
	x = in_session(x_post(REQUEST(2, "later")));
	begin(&r, INITIALIZE(NEW), "Bearer me");
	rig_until(&r, r.t->nsessions == 1);
	ok(!fake_cancelled && !stream->ended, "only the one that is not in use ends");
	fake_answer("2");
	x_gone(stream);
	rig_until(&r, r.t->nsessions == 0);
	rig_turn(&r);
	ok(!fake_peers, "nothing is left");
	x_free(x);
	x_free(stream);
	rig_close(&r);
}

/* A stream that only listens ends with what it was opened with; a call goes on. */
static void expired(void)
{
	const struct streamable_opts o = {.keepalive_ms = 40};
	struct http_exchange *listener, *call, *get_stream;
	struct rig r;

	rig_open(&r, &o);
	begin(&r, INITIALIZE(NEW), "Bearer brief");
	listener = x_post(REQUEST(1, "subscriptions/listen"));
	x_set(listener, "mcp-protocol-version", "2026-07-28");
	x_set(listener, "authorization", "Bearer brief");
	call = x_post(REQUEST(2, "open"));
	x_set(call, "mcp-protocol-version", "2026-07-28");
	x_set(call, "authorization", "Bearer brief");
	get_stream = x_new(HTTP_GET, "/mcp");
	x_set(get_stream, "accept", "text/event-stream");
	x_set(get_stream, "authorization", "Bearer brief");
	x_set(get_stream, "mcp-session-id", session_id);
	x_go(listener);
	x_go(call);
	x_go(get_stream);
	rig_until(&r, listener->ended && get_stream->ended);
	ok(x_has(listener, "has expired") && x_has(listener, "\"id\":1"),
	   "who listens is told that the credential has expired");
	ok(call->streaming && !call->ended, "a call goes on");
	fake_answer("2");
	ok(call->ended && x_has(call, "\"id\":2,\"result\""), "and is answered");
	x_free(listener);
	x_free(call);
	x_free(get_stream);
	rig_close(&r);
}

static void shares(void)
{
	const struct streamable_opts o = {.max_sessions_each = 2, .max_sessions = 4};
	struct http_exchange *x, *call;
	char first[SESSION_ID_SIZE], second[SESSION_ID_SIZE], third[SESSION_ID_SIZE];
	struct rig r;

	rig_begin(&r, &o, INITIALIZE(NEW));
	memcpy(first, session_id, sizeof(first));
	begin(&r, INITIALIZE(NEW), "Bearer me");
	memcpy(second, session_id, sizeof(second));
	memcpy(session_id, first, sizeof(first));
	call = in_session(x_post(REQUEST(1, "later")));
	begin(&r, INITIALIZE(NEW), "Bearer me");
	memcpy(third, session_id, sizeof(third));
	ok(*third && r.t->nsessions == 2, "a third of one's own ends another");
	memcpy(session_id, second, sizeof(second));
	ok(status_and_free(in_session(x_post(REQUEST(2, "now")))) == 404,
	   "the one without a call");
	memcpy(session_id, third, sizeof(third));
	x = in_session(x_post(REQUEST(3, "later")));
	begin(&r, INITIALIZE(NEW), "Bearer me");
	ok(!*session_id, "all in use: no more");
	begin(&r, INITIALIZE(NEW), "Bearer you");
	ok(*session_id, "another caller is not touched");
	begin(&r, INITIALIZE(NEW), "Bearer she");
	begin(&r, INITIALIZE(NEW), "Bearer he");
	ok(*session_id && r.t->nsessions == 4, "in all: the longest unused goes");
	fake_answer("1");
	fake_answer("3");
	x_free(call);
	x_free(x);
	rig_close(&r);
}

static void no_owner_no_share(void)
{
	const struct streamable_opts o = {.site.no_auth = true, .max_sessions_each = 2};
	struct rig r;

	rig_open(&r, &o);
	for (unsigned i = 0; i < 10; i++)
		begin(&r, INITIALIZE(NEW), "x");
	ok(r.t->nsessions == 10, "where nobody is asked, all are one caller");
	rig_close(&r);
}

int main(void)
{
	ring_limits();
	session_bytes();
	session_streams();
	ages();
	expired();
	shares();
	no_owner_no_share();
	ok(!fake_exchanges, "every exchange was given back");
	return tap_done();
}
