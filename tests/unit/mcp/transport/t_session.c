/* t_session.c: legacy sessions: made, found by their owner alone, ended. */
#include "tests/unit/mcp/transport/legacy.h"

static void life(void)
{
	struct http_exchange *x;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	ok(strlen(session_id) == 2 * SESSION_ID_BYTES, "an id of 256 random bits");
	x = in_session(x_post(REQUEST(2, "now")));
	ok(x->status == 200 && x_has(x, "result") && !*x_get(x, "mcp-session-id"),
	   "a quick answer is JSON");
	x_free(x);
	ok(status_and_free(in_session(x_post("{\"jsonrpc\":\"2.0\",\"method\":"
					     "\"notifications/initialized\"}"))) == 202,
	   "a notification");
	ok(status_and_free(in_session(
		   x_post("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"))) == 202,
	   "a response");
	x = x_post(REQUEST(3, "now"));
	x_go(x);
	ok(x->status == 400 && x_has(x, "-32000"), "without the id: 400");
	x_free(x);
	x = x_post(REQUEST(3, "now"));
	x_set(x, "accept", "text/html");
	x_set(x, "mcp-session-id", session_id);
	x_go(x);
	ok(x->status == 406, "who takes neither JSON nor SSE: 406");
	x_free(x);
	x = in_session(x_post(INITIALIZE(NEW)));
	ok(x->status == 400 && !*x_get(x, "mcp-session-id"),
	   "a second initialize is told so");
	x_free(x);
	ok(status_and_free(in_session(x_new(HTTP_DELETE, "/mcp"))) == 204, "DELETE");
	rig_turn(&r);
	ok(!fake_peers, "all of it is gone");
	x = in_session(x_post(REQUEST(4, "now")));
	ok(x->status == 404 && x_has(x, "-32001") && x_has(x, "Session not found"),
	   "after that: 404");
	x_free(x);
	ok(status_and_free(in_session(x_new(HTTP_DELETE, "/mcp"))) == 404, "twice");
	x = in_session(x_post(INITIALIZE(NEW)));
	ok(x->status == 200 && strlen(x_get(x, "mcp-session-id")) &&
		   strcmp(x_get(x, "mcp-session-id"), session_id) != 0,
	   "a stale id and initialize: a new session");
	x_free(x);
	rig_close(&r);
}

static void whose(void)
{
	char mine[SESSION_ID_SIZE];
	struct http_exchange *x;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	memcpy(mine, session_id, sizeof(mine));
	for (unsigned i = 0; i < 3; i++) {
		static const enum http_method methods[] = {HTTP_POST, HTTP_GET,
							   HTTP_DELETE};

		x = i ? x_new(methods[i], "/mcp") : x_post(REQUEST(1, "now"));
		x_set(x, "accept", "application/json, text/event-stream");
		x_set(x, "authorization", "Bearer you");
		in_session(x);
		finish(&r, x);
		ok(x->status == 404 && x_has(x, "Session not found"),
		   "to another it does not exist (%u)", i);
		x_free(x);
	}
	x = x_post(INITIALIZE(NEW));
	x_set(x, "authorization", "Bearer you");
	in_session(x);
	finish(&r, x);
	ok(x->status == 200 && strcmp(x_get(x, "mcp-session-id"), mine) != 0,
	   "he gets one of his own");
	x_free(x);
	ok(status_and_free(in_session(x_post(REQUEST(1, "now")))) == 200,
	   "and mine is still there");
	session_id[5] = session_id[5] == 'a' ? 'b' : 'a';
	ok(status_and_free(in_session(x_post(REQUEST(1, "now")))) == 404, "one digit");
	session_id[SESSION_ID_SIZE - 2] = '\0';
	ok(status_and_free(in_session(x_post(REQUEST(1, "now")))) == 404, "too short");
	rig_close(&r);
}

static void renewed(void)
{
	struct http_exchange *x = x_post(REQUEST(1, "now"));
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	x_set(x, "authorization", "Bearer me.2");
	finish(&r, in_session(x));
	ok(x->status == 200, "the same principal with another token");
	ok(sv_eq(buf_view(&fake_last_peer->credential), SV("bearer me.2")),
	   "what it starts from now on is started with that");
	x_free(x);
	rig_close(&r);
}

static void refused_initialize(void)
{
	struct http_exchange *x;
	struct rig r;

	rig_open(&r, NULL);
	x = x_post(INITIALIZE("refuse"));
	x_go(x);
	finish(&r, x);
	ok(x->status == 400 && !*x_get(x, "mcp-session-id"),
	   "an error, and no session");
	x_free(x);
	rig_turn(&r);
	ok(!fake_peers, "nothing is left of it");
	rig_close(&r);
}

static void deleted_in_flight(void)
{
	struct http_exchange *json, *sse, *standalone;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	json = in_session(x_post(REQUEST(1, "later")));
	sse = in_session(x_post(REQUEST(2, "open")));
	standalone = get(NULL);
	ok(standalone->streaming && !standalone->ended, "the standalone stream");
	ok(status_and_free(in_session(x_new(HTTP_DELETE, "/mcp"))) == 204, "DELETE");
	ok(fake_cancelled == 2, "both calls are cancelled");
	ok(json->status == 200 && json->ended && x_has(json, "\"id\":1,\"error\""),
	   "told, by an event: see outlet.c");
	ok(sse->ended && x_has(sse, "\"id\":2,\"error\""), "told on the stream");
	ok(standalone->ended, "the standalone stream ends");
	x_free(json);
	x_free(sse);
	x_free(standalone);
	rig_turn(&r);
	ok(!fake_peers, "all of it is gone");
	rig_close(&r);
}

static void cancelled(void)
{
	struct http_exchange *json, *sse, *back;
	char id[64];
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	json = in_session(x_post(REQUEST(1, "later")));
	sse = in_session(x_post(REQUEST(2, "open")));
	fake_cancel("1");
	fake_cancel("2");
	ok(json->status == 202 && !json->out.n, "no answer: 202 and nothing");
	ok(sse->ended && !x_has(sse, "\"id\":2"), "no answer: the stream ends");
	must(!sv_copy((struct sv){x_text(sse) + 4, TAG_SIZE + 1}, id, sizeof(id)));
	back = get(id);
	ok(back->status == 204, "who comes back for it is told not to: %u",
	   back->status);
	x_free(json);
	x_free(sse);
	x_free(back);
	rig_close(&r);
}

static void on_drained(void *arg)
{
	++*(unsigned *)arg;
}

static void drain(void)
{
	struct http_exchange *call, *stream, *x;
	unsigned drained = 0;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	call = in_session(x_post(REQUEST(1, "open")));
	stream = get(NULL);
	streamable_drain(r.t, 10, on_drained, &drained);
	ok(stream->ended, "the standalone stream ends");
	ok(status_and_free(get(NULL)) == 503, "no new one");
	x = x_post(INITIALIZE(NEW));
	x_go(x);
	ok(x->status == 503, "no new session");
	x_free(x);
	ok(status_and_free(in_session(x_post(REQUEST(2, "now")))) == 200,
	   "quick ones still work");
	rig_until(&r, drained == 1);
	ok(call->ended && x_has(call, "\"id\":1,\"error\""), "cut, and told so");
	x_free(call);
	x_free(stream);
	rig_close(&r);
}

static void no_memory(void)
{
	for (long n = 1; n < 40; n++) {
		const struct streamable_opts o = {.open_ms = 1};
		struct http_exchange *x, *stream;
		struct rig r;

		rig_begin(&r, &o, INITIALIZE(NEW));
		x = x_post(REQUEST(1, "open"));
		stream = x_new(HTTP_GET, "/mcp");
		x_set(stream, "accept", "text/event-stream");
		mem_fail_after(n);
		in_session(x);
		if (fake_pending[0].peer)
			fake_note("1", 1);
		in_session(stream);
		if (fake_pending[0].peer)
			fake_answer("1");
		mem_fail_after(0);
		if (!x->ended)
			x_gone(x);
		if (!stream->ended)
			x_gone(stream);
		rig_close(&r);
		x_free(x);
		x_free(stream);
	}
}

int main(void)
{
	life();
	whose();
	renewed();
	refused_initialize();
	deleted_in_flight();
	cancelled();
	drain();
	no_memory();
	ok(!fake_exchanges, "every exchange was given back");
	return tap_done();
}
