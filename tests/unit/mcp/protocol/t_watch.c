/* t_watch.c: news of changes: who hears what, how often, and when it ends. */
#include "mcp/protocol/internal.h"
#include "tests/unit/mcp/protocol/more.h"

#define LISTEN(id, filter)                                                             \
	MODERN(id, "subscriptions/listen", "\"notifications\":{" filter "},")
#define QUIET_MS 150 /* longer than a watch is quiet */

static const struct tool_events *events(const struct rig *r)
{
	return proto_server_events(r->server);
}

static void updated(const struct rig *r, const char *principal, const char *uri)
{
	events(r)->resource_updated(events(r)->arg, sv_of(principal), sv_of(uri));
}

static void t_listen(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LISTEN("1", "\"toolsListChanged\":true,\"promptsListChanged\":false,"
			    "\"resourcesListChanged\":\"yes\",\"unknown\":true,"
			    "\"resourceSubscriptions\":[\"own://alice\",\"x\",\"x\"]"));
	ok(SAYS(&r, "notifications/subscriptions/acknowledged",
		"\"notifications\":{\"toolsListChanged\":true,"
		"\"resourceSubscriptions\":[\"own://alice\",\"x\"]}",
		"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}") &&
		   r.opens == 1 && !r.ended,
	   "a subscription is acknowledged with what is honoured: %s", msg(&r, 0));
	rig_clear(&r);
	events(&r)->tools_changed(events(&r)->arg);
	ok(SAYS(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{"
		"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}}}") &&
		   r.sent[0].sink == r.last,
	   "what was asked for comes, on its stream, with its id");
	rig_wait(&r, QUIET_MS);
	rig_clear(&r);
	events(&r)->prompts_changed(events(&r)->arg);
	events(&r)->resources_changed(events(&r)->arg, SV("alice"));
	updated(&r, "alice", "y");
	ok(!r.n, "what was not asked for does not");
	updated(&r, "bob", "own://alice");
	updated(&r, "", "own://alice");
	ok(!r.n, "nor what happens to another principal's");
	updated(&r, "alice", "own://alice");
	ok(SAYS(&r,
		"notifications/resources/updated\",\"params\":{\"uri\":\"own://alice\","
		"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}}}"),
	   "a resource's change names it");
	say(&r, CANCEL("1"));
	ok(!r.n && r.ended == 2, "cancelling it is not answered");
	rig_wait(&r, QUIET_MS);
	events(&r)->tools_changed(events(&r)->arg);
	ok(!r.n, "and ends it");
	rig_close(&r);
}

static void t_bad_filters(void)
{
	static const char *const bad[] = {
		"\"resourceSubscriptions\":{}", "\"resourceSubscriptions\":[1]",
		"\"resourceSubscriptions\":\"x\"", "\"resourceSubscriptions\":[[]]"};
	struct rig r;

	rig_open_more(&r);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[512];

		snprintf(text, sizeof(text), LISTEN("1", "%s"), bad[i]);
		say(&r, text);
		ok(SAYS(&r, "-32602", "resourceSubscriptions") && r.ended == 1,
		   "{%s} is refused", bad[i]);
	}
	rig_close(&r);
}

static void t_too_many(void)
{
	struct rig r;
	unsigned refused = 0;
	AUTO_BUF b = {0};

	rig_open_more(&r);
	buf_init(&b, 1 << 20);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\","
		    "\"params\":{\"notifications\":{\"resourceSubscriptions\":[");
	for (unsigned i = 0; i < 200; i++)
		buf_fmt(&b, "\"u:%u\",", i);
	buf_str(&b, "\"\"]}," META "}}");
	say(&r, buf_cstr(&b));
	ok(SAYS(&r, "\"u:0\"", "\"u:127\"]", "!\"u:128\""),
	   "of 200 URIs 128 are honoured");
	hello(&r, r.p, "2025-11-25", "");
	for (unsigned i = 0; i < 200; i++) {
		char text[128];

		snprintf(text, sizeof(text),
			 LEGACY("2", "resources/subscribe", "\"uri\":\"u:%u\""), i);
		say(&r, text);
		refused += strstr(msg(&r, 0), "-32602") != NULL;
	}
	ok(refused == 72 && SAYS(&r, "128 resources are watched"),
	   "a legacy client may have as many (%u refused)", refused);
	buf_reset(&b);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\","
		    "\"params\":{\"uri\":\"");
	for (unsigned i = 0; i < 5000; i++)
		buf_byte(&b, 'u');
	buf_str(&b, "\"}}");
	say(&r, LEGACY("3", "resources/unsubscribe", "\"uri\":\"u:7\""));
	say(&r, buf_cstr(&b));
	ok(SAYS(&r, "-32", "!result"), "a URI has a length");
	rig_close(&r);
}

/* The sum over all peers, so that many of them do not get round it. */
static void t_too_many_in_all(void)
{
	struct rig r;
	struct proto_peer *p[40];
	unsigned open = 0;
	static struct rig_sink sinks[2000];

	rig_open_more(&r);
	for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
		char principal[16], text[512];

		snprintf(principal, sizeof(principal), "p%u", i);
		p[i] = rig_peer(&r, principal, false);
		for (unsigned k = 0; k < 32; k++) {
			struct rig_sink *s = &sinks[i * 32 + k];

			snprintf(text, sizeof(text), LISTEN("%u", ""), k);
			rig_sink_init(&r, s);
			rig_clear(&r);
			proto_on_message(p[i], sv_of(text), &s->s);
			open += strstr(msg(&r, 0), "acknowledged") != NULL;
		}
	}
	ok(open == 1024, "%u subscriptions are open in all", open);
	for (unsigned i = 0; i < ARRAY_LEN(p); i++)
		proto_peer_free(p[i]);
	say(&r, LISTEN("1", ""));
	ok(SAYS(&r, "acknowledged"), "those of clients that have gone do not count");
	rig_close(&r);
}

static void t_bursts(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LISTEN("1", "\"toolsListChanged\":true,"
			    "\"resourceSubscriptions\":[\"a\",\"b\"]"));
	rig_clear(&r);
	for (unsigned i = 0; i < 1000; i++) {
		updated(&r, "alice", "a");
		updated(&r, "alice", i % 2 ? "b" : "c");
		events(&r)->tools_changed(events(&r)->arg);
	}
	ok(r.n == 1, "of a burst the first news goes out at once (%u)", r.n);
	rig_wait(&r, QUIET_MS);
	ok(r.n == 4 && SAYS_AT(&r, 0, "\"uri\":\"a\"") &&
		   SAYS_AT(&r, 1, "tools/list_changed") &&
		   SAYS_AT(&r, 2, "\"uri\":\"a\"") && SAYS_AT(&r, 3, "\"uri\":\"b\""),
	   "the rest once for each thing, a moment later (%u)", r.n);
	rig_wait(&r, 3 * QUIET_MS);
	ok(r.n == 4, "then it is quiet");
	updated(&r, "alice", "b");
	ok(r.n == 5, "until the next news");
	rig_close(&r);
}

static void t_legacy(void)
{
	struct rig r;
	struct proto_peer *bob;

	rig_open_more(&r);
	bob = rig_peer(&r, "bob", false);
	events(&r)->tools_changed(events(&r)->arg);
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	events(&r)->tools_changed(events(&r)->arg);
	ok(!r.n, "nobody hears anything before initialize");
	say(&r, LEGACY("1", "initialize", "\"protocolVersion\":\"2025-11-25\""));
	rig_clear(&r);
	events(&r)->tools_changed(events(&r)->arg);
	ok(!r.n, "nor before the client has said that it is ready");
	hello(&r, r.p, "2025-11-25", "");
	events(&r)->tools_changed(events(&r)->arg);
	ok(SAYS(&r, "\"method\":\"notifications/tools/list_changed\"", "!_meta",
		"!uri") &&
		   r.sent[0].sink == &r.standalone &&
		   r.sent[0].kind == PROTO_NOTIFICATION,
	   "a legacy client hears of changed lists where nothing was asked for");
	rig_wait(&r, QUIET_MS);
	rig_clear(&r);
	updated(&r, "alice", "own://alice");
	ok(!r.n, "of resources only when it has subscribed");
	say(&r, LEGACY("1", "resources/subscribe", "\"uri\":\"own://alice\""));
	ok(SAYS(&r, "\"id\":1,\"result\":{}}"), "to them");
	say(&r, LEGACY("1", "resources/subscribe", "\"uri\":\"own://alice\""));
	ok(SAYS(&r, "\"id\":1,\"result\":{}}"), "twice is once");
	rig_clear(&r);
	updated(&r, "alice", "own://alice");
	ok(SAYS(&r, "\"method\":\"notifications/resources/updated\","
		    "\"params\":{\"uri\":\"own://alice\"}}"),
	   "then it does");
	rig_wait(&r, QUIET_MS);
	say(&r, LEGACY("1", "resources/unsubscribe", "\"uri\":\"own://alice\""));
	rig_clear(&r);
	updated(&r, "alice", "own://alice");
	ok(!r.n, "until it has unsubscribed");
	say(&r, LEGACY("1", "resources/unsubscribe", "\"uri\":\"own://alice\""));
	ok(SAYS(&r, "\"id\":1,\"result\":{}}"), "which can be said again");
	say(&r, LEGACY("1", "resources/unsubscribe", ""));
	ok(SAYS(&r, "-32602", "uri"), "but not of nothing");
	hello(&r, bob, "2025-11-25", "");
	events(&r)->resources_changed(events(&r)->arg, SV("bob"));
	ok(r.n == 1, "a principal's list is its own affair");
	proto_peer_free(bob);
	rig_close(&r);
}

/* News that are due when their watcher goes must not be told. */
static void t_gone(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LISTEN("1", "\"toolsListChanged\":true"));
	events(&r)->tools_changed(events(&r)->arg);
	events(&r)->tools_changed(events(&r)->arg);
	rig_clear(&r);
	r.last->gone = true;
	proto_sink_gone(r.p, &r.last->s);
	rig_wait(&r, QUIET_MS);
	ok(!r.n, "a watcher that has gone is told nothing");
	hello(&r, r.p, "2025-11-25", "");
	events(&r)->tools_changed(events(&r)->arg);
	events(&r)->tools_changed(events(&r)->arg);
	proto_peer_close(r.p, NULL, NULL);
	rig_clear(&r);
	rig_wait(&r, QUIET_MS);
	events(&r)->tools_changed(events(&r)->arg);
	ok(!r.n, "nor is a peer that has");
	rig_close(&r);
}

static void t_drain(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LISTEN("\"a\"", ""));
	say(&r, LISTEN("\"b\"", ""));
	say(&r, MODERN("3", "tools/call", "\"name\":\"slow\","));
	rig_clear(&r);
	proto_server_drain(r.server);
	ok(r.n == 2 && r.ended == 2 &&
		   SAYS_AT(&r, 0,
			   "\"id\":\"b\",\"result\":{\"resultType\":\"complete\"",
			   "subscriptionId\":\"b\"") &&
		   SAYS_AT(&r, 1, "\"id\":\"a\",\"result\":{") &&
		   r.sent[0].kind == PROTO_RESULT,
	   "draining ends subscriptions with their result");
	say(&r, MODERN("4", "tools/call", "\"name\":\"slow\","));
	ok(SAYS(&r, "isError", "\\\"code\\\":\\\"busy\\\""), "takes no new calls");
	say(&r, LISTEN("\"a\"", ""));
	ok(SAYS(&r, "\"error\":", "!acknowledged"), "nor subscriptions");
	say(&r, MODERN("4", "tools/list", ""));
	ok(SAYS(&r, "\"tools\":["), "but answers what it can at once");
	ok(proto_peer_busy(r.p), "a call goes on");
	rig_clear(&r);
	slow_end(0);
	ok(SAYS(&r, "slept") && r.ended == 1 && !proto_peer_busy(r.p),
	   "to its own end");
	rig_close(&r);
}

static void t_from_a_tool(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LISTEN("1", "\"toolsListChanged\":true"));
	say(&r, MODERN("2", "tools/call",
		       "\"name\":\"changer\",\"arguments\":{\"what\":\"tools\"},"));
	ok(r.n == 2 && SAYS_AT(&r, 0, "tools/list_changed") &&
		   SAYS_AT(&r, 1, "changed"),
	   "a tool may bring news about");
	rig_close(&r);
}

int main(void)
{
	t_listen();
	t_bad_filters();
	t_too_many();
	t_too_many_in_all();
	t_bursts();
	t_legacy();
	t_gone();
	t_drain();
	t_from_a_tool();
	return tap_done();
}
