/* t_peers.c: clients beside each other, and the ways a client, a stream and a server can end. */
#include "tests/unit/mcp/protocol/more.h"

#define SLOW(id) LEGACY(id, "tools/call", "\"name\":\"slow\"")

static void t_ids(void)
{
	struct rig r;
	struct proto_peer *other;

	rig_open_more(&r);
	other = rig_peer(&r, "alice", false);
	say(&r, SLOW("1"));
	say_as(&r, other, SLOW("1"));
	ok(!r.n && seen.slow_n == 2, "two clients may use the same id");
	say_as(&r, other, CANCEL("1"));
	ok(seen.cancels == 1 && r.ended == 2, "each cancels its own");
	rig_clear(&r);
	slow_end(1);
	ok(!r.n, "which is not answered");
	slow_end(0);
	ok(SAYS(&r, "\"id\":1,\"result\":") && r.ended == 1, "the other one is");
	say_as(&r, other, CANCEL("1"));
	say(&r, LEGACY("1", "ping", ""));
	ok(SAYS(&r, "\"result\":{}"), "and its id free");
	proto_peer_free(other);
	rig_close(&r);
}

static void t_room(void)
{
	static const struct tool_set *const sets[] = {&rig_set};
	struct rig r;
	struct proto_peer *other;

	rig_open_with(&r, (struct proto_server_opts){
				  .sets = sets, .nsets = 1, .max_calls = 4});
	other = rig_peer(&r, "bob", false);
	say(&r, SLOW("1"));
	say(&r, SLOW("2"));
	say(&r, SLOW("3"));
	say_as(&r, other, SLOW("1"));
	say_as(&r, other, SLOW("2"));
	ok(SAYS(&r, "\\\"code\\\":\\\"busy\\\"", "4 calls are running"),
	   "all clients together have a limit too");
	slow_end(0);
	say_as(&r, other, SLOW("2"));
	ok(!r.n, "it is one for all");
	proto_peer_close(other, NULL, NULL);
	proto_peer_free(other);
	rig_close(&r);
}

static void t_sink_gone(void)
{
	struct rig r;
	struct rig_sink *first;

	rig_open_more(&r);
	say(&r, SLOW("1"));
	first = r.last;
	say(&r, SLOW("2"));
	first->gone = true;
	proto_sink_gone(r.p, &first->s);
	ok(seen.cancels == 1 && seen.slow_n == 2,
	   "a stream that closes cancels its call");
	say(&r, LEGACY("1", "ping", ""));
	ok(SAYS(&r, "\"id\":1,\"result\":{}"), "whose id is free");
	rig_clear(&r);
	slow_end(0);
	ok(!r.n && !r.ended, "of which nothing more is heard");
	slow_end(1);
	ok(SAYS(&r, "\"id\":2,\"result\":"), "the other goes on");
	proto_sink_gone(r.p, &first->s);
	ok(seen.cancels == 1, "a stream that is known no more is nothing");
	seen.slow_obeys = true;
	seen.slow_n = 0;
	say(&r, SLOW("3"));
	r.last->gone = true;
	proto_sink_gone(r.p, &r.last->s);
	ok(!proto_peer_busy(r.p), "a tool may end within that");
	rig_close(&r);
}

/* One sink for everything, as on stdio: it gets as many ends as messages. */
static unsigned shared_ends, shared_sent;

static void on_shared_send(struct proto_sink *s, const struct proto_message *m)
{
	(void)s;
	(void)m;
	shared_sent++;
}

static void on_shared_end(struct proto_sink *s)
{
	(void)s;
	shared_ends++;
}

static void t_shared(void)
{
	static const char *const talk[] = {
		SLOW("1"),
		SLOW("2"),
		LEGACY("3", "ping", ""),
		"{",
		CANCEL("1"),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
		MODERN("4", "subscriptions/listen", ""),
		MODERN("5", "no/such", ""),
		LEGACY("3", "tools/call", "\"name\":\"none\""),
		LEGACY("2", "ping", ""),
	};
	struct proto_sink s = {.send = on_shared_send, .end = on_shared_end};
	struct rig r;

	rig_open_more(&r);
	for (size_t i = 0; i < ARRAY_LEN(talk); i++)
		proto_on_message(r.p, sv_of(talk[i]), &s);
	ok(shared_sent == 6 && shared_ends == ARRAY_LEN(talk) - 2,
	   "all but two are done (%u sent, %u ends)", shared_sent, shared_ends);
	proto_peer_close(r.p, rig_on_idle, &r);
	ok(shared_ends == ARRAY_LEN(talk) && shared_sent == 6 && !r.idle,
	   "closing ends them without a message");
	slow_end(0);
	slow_end(1);
	ok(r.idle == 1 && shared_ends == ARRAY_LEN(talk), "once");
	rig_close(&r);
}

/* A transport may free the peer when its only message has ended: a modern request over HTTP. */
static struct proto_peer *doomed;

static void on_end_free(struct proto_sink *s)
{
	(void)s;
	shared_ends++;
	proto_peer_free(doomed);
	doomed = NULL;
}

static void on_end_close(struct proto_sink *s)
{
	(void)s;
	shared_ends++;
	proto_peer_close(doomed, NULL, NULL);
}

static void t_freed_within(void)
{
	static const char *const talk[] = {
		LEGACY("3", "ping", ""),
		"{",
		MODERN("5", "no/such", ""),
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}",
		LEGACY("1", "tools/call",
		       "\"name\":\"echo\",\"arguments\":{\"text\":\"\"}"),
		LEGACY("1", "tools/call", "\"name\":\"broken\""),
		LEGACY("1", "tools/call",
		       "\"name\":\"quiz\",\"arguments\":{\"methods\":[]}"),
	};
	struct proto_sink s = {.send = on_shared_send, .end = on_end_free};
	struct rig r;

	rig_open_more(&r);
	shared_ends = 0;
	for (size_t i = 0; i < ARRAY_LEN(talk); i++) {
		doomed = rig_peer(&r, "eve", true);
		proto_on_message(doomed, sv_of(talk[i]), &s);
	}
	ok(shared_ends == ARRAY_LEN(talk) && !doomed,
	   "a peer may be freed at the end of its message");
	doomed = rig_peer(&r, "eve", true);
	proto_on_message(doomed, sv_of(SLOW("1")), &s);
	slow_end(0);
	ok(!doomed, "when its call ends");
	doomed = rig_peer(&r, "eve", true);
	proto_on_message(doomed, sv_of(SLOW("1")), &s);
	proto_on_message(
		doomed, sv_of(CANCEL("1")),
		&(struct proto_sink){.send = on_shared_send, .end = on_shared_end});
	ok(!doomed && seen.cancels == 1, "when it is cancelled");
	slow_end(1);
	doomed = rig_peer(&r, "eve", true);
	proto_on_message(doomed, sv_of(MODERN("1", "subscriptions/listen", "")), &s);
	proto_server_drain(r.server);
	ok(!doomed, "when its subscription ends");
	doomed = rig_peer(&r, "eve", true);
	proto_on_message(doomed, sv_of(LEGACY("1", "ping", "")), &s);
	ok(!doomed, "at any time");
	rig_close(&r);
}

static void t_closed_within(void)
{
	struct proto_sink s = {.send = on_shared_send, .end = on_end_close};
	struct rig r;

	rig_open_more(&r);
	shared_ends = 0;
	doomed = rig_peer(&r, "eve", true);
	proto_on_message(doomed, sv_of(SLOW("1")), &s);
	proto_on_message(doomed, sv_of(SLOW("2")), &s);
	proto_on_message(doomed, sv_of(LEGACY("3", "ping", "")), &s);
	ok(shared_ends == 3 && seen.cancels == 2,
	   "a peer may be closed within an end (%u ends)", shared_ends);
	shared_ends = 0;
	proto_on_message(
		doomed, sv_of(LEGACY("3", "ping", "")),
		&(struct proto_sink){.send = on_shared_send, .end = on_shared_end});
	ok(shared_ends == 1, "what is delivered to a closed peer only ends");
	proto_peer_free(doomed);
	doomed = NULL;
	slow_end(0);
	slow_end(1);
	rig_close(&r);
}

static void t_freed_server(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, SLOW("1"));
	say(&r, SLOW("2"));
	say(&r, CANCEL("2"));
	rig_clear(&r);
	r.last->gone = true;
	r.sinks[0].gone = true;
	proto_peer_free(r.p);
	ok(seen.cancels == 2 && !r.ended, "freeing a peer cancels and ends no sink");
	proto_server_free(r.server);
	r.p = NULL;
	r.server = NULL;
	slow_end(0);
	slow_end(1);
	ok(!r.n, "calls may end after their server was freed");
	rig_close(&r);
	proto_peer_free(NULL);
	proto_server_free(NULL);
}

static void t_standalone_gone(void)
{
	const struct tool_events *ev;
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", "");
	ev = proto_server_events(r.server);
	proto_sink_gone(r.p, &r.standalone.s);
	ev->tools_changed(ev->arg);
	ok(!r.n, "a standalone stream may go as well");
	rig_close(&r);
}

int main(void)
{
	t_ids();
	t_room();
	t_sink_gone();
	t_shared();
	t_freed_within();
	t_closed_within();
	t_freed_server();
	t_standalone_gone();
	return tap_done();
}
