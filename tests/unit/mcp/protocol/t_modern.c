/* t_modern.c: the stateless era: envelope, versions, removed methods, subscriptions. */
#include "tests/unit/mcp/protocol/rig.h"

#define SERVER_META                                                                    \
	"\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"fumehood\","

static void t_discover(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":\"server-discover-probe-1\","
		"\"method\":\"server/discover\",\"params\":{" META "}}");
	ok(SAYS(&r, "\"id\":\"server-discover-probe-1\",\"result\":{",
		"\"supportedVersions\":[\"2026-07-28\"]",
		"\"capabilities\":{\"tools\":{\"listChanged\":true},\"logging\":{}",
		"\"resultType\":\"complete\"",
		"\"ttlMs\":", "\"cacheScope\":\"private\"", "\"instructions\":\"",
		SERVER_META, "!prompts", "!resources"),
	   "discover tells versions, capabilities and who answers");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\"}");
	ok(SAYS(&r, "\"supportedVersions\":[\"2026-07-28\"]"),
	   "a bare probe is answered too");
	rig_close(&r);
}

static void t_envelope(void)
{
	static const struct {
		const char *method, *meta, *want, *what;
	} cases[] = {
		{"tools/list",
		 "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}",
		 "\"envelope\":{\"key\":\"io.modelcontextprotocol/clientCapabilities\","
		 "\"problem\":\"missing\"}",
		 "no clientCapabilities"},
		{"tools/list", "{\"io.modelcontextprotocol/clientCapabilities\":{}}",
		 "\"envelope\":{\"missing\":[\"io.modelcontextprotocol/protocolVersion\"]}",
		 "no protocolVersion"},
		{"server/discover",
		 "{\"io.modelcontextprotocol/clientCapabilities\":{}}",
		 "\"envelope\":{\"missing\":[\"io.modelcontextprotocol/protocolVersion\"]}",
		 "not even for discover"},
		{"subscriptions/listen", "7", "\"envelope\":{\"missing\":[\"_meta\"]}",
		 "no _meta for a modern method"},
		{"tools/list",
		 "{\"io.modelcontextprotocol/protocolVersion\":7,"
		 "\"io.modelcontextprotocol/clientCapabilities\":{}}",
		 "\"envelope\":{\"key\":\"io.modelcontextprotocol/protocolVersion\","
		 "\"problem\":\"invalid\"}",
		 "a version that is no string"},
		{"tools/list",
		 "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
		 "\"io.modelcontextprotocol/clientCapabilities\":[]}",
		 "\"problem\":\"invalid\"", "capabilities that are no object"},
		{"tools/list",
		 "{" META_INSIDE ",\"io.modelcontextprotocol/clientInfo\":1}",
		 "\"key\":\"io.modelcontextprotocol/clientInfo\"",
		 "a clientInfo that is none"},
		{"tools/list",
		 "{" META_INSIDE ",\"io.modelcontextprotocol/logLevel\":\"loud\"}",
		 "\"key\":\"io.modelcontextprotocol/logLevel\"",
		 "a level that is none"},
	};
	struct rig r;

	rig_open(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];

		snprintf(text, sizeof(text),
			 "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"%s\",\"params\":{"
			 "\"_meta\":%s}}",
			 cases[i].method, cases[i].meta);
		say(&r, text);
		ok(SAYS(&r, "\"id\":4,\"error\":{\"code\":-32602", cases[i].want,
			"\"remediation\":"),
		   "envelope refused: %s", cases[i].what);
	}
	rig_close(&r);
}

static void t_versions(void)
{
	struct rig r;

	rig_open(&r);
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":301,\"method\":\"server/discover\",\"params\":{"
	    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"v999.0.0\","
	    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}");
	ok(SAYS(&r, "\"code\":-32022", "\"supported\":[\"2026-07-28\"]",
		"\"requested\":\"v999.0.0\""),
	   "an unknown version is refused with those that are served");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":301,\"method\":\"ping\",\"params\":{"
		"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2025-11-25\","
		"\"io.modelcontextprotocol/clientCapabilities\":{}}}}");
	ok(SAYS(&r, "-32022", "\"requested\":\"2025-11-25\"", "initialize"),
	   "a legacy one in the envelope too, with the way to get it");
	rig_close(&r);
}

static void t_removed(void)
{
	static const char *const gone[] = {
		"initialize",
		"ping",
		"logging/setLevel",
		"resources/subscribe",
		"resources/unsubscribe",
		"tasks/list",
		"unknown/method",
		"resources/list",
		"",
	};
	struct rig r;

	rig_open(&r);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
		char text[512];

		snprintf(
			text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":500,\"method\":\"%s\",\"params\":{%s}}",
			gone[i], META);
		say(&r, text);
		ok(SAYS(&r, "\"id\":500,\"error\":{\"code\":-32601", "server/discover"),
		   "modern '%s' is not found", gone[i]);
	}
	rig_close(&r);
}

static void t_list_and_call(void)
{
	struct rig r;

	rig_open(&r);
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META
	    "}}");
	ok(SAYS(&r, "\"ttlMs\":", "\"cacheScope\":\"private\"",
		"\"resultType\":\"complete\"", SERVER_META, "\"outputSchema\"",
		"\"annotations\"", "\"title\":\"Echo\""),
	   "tools/list can be cached and is complete");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{"
		"\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}," META "}}");
	ok(SAYS(&r, "\"resultType\":\"complete\"",
		"\"structuredContent\":{\"text\":\"hi\"}",
		"\"type\":\"text\",\"text\":\"hi\"", SERVER_META, "!isError", "!ttlMs"),
	   "so is tools/call");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{"
		"\"name\":\"broken\"," META "}}");
	ok(SAYS(&r, "\"isError\":true", "\"resultType\":\"complete\"",
		"!structuredContent", "\\\"code\\\":\\\"unavailable\\\""),
	   "and a tool that cannot run");
	rig_close(&r);
}

static void t_both_eras(void)
{
	struct rig r;

	rig_open(&r);
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{" META
	    "}}");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{"
		"\"protocolVersion\":\"2024-11-05\"}}");
	ok(SAYS(&r, "\"protocolVersion\":\"2024-11-05\""),
	   "a client may fall back after a probe");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/list\",\"params\":{" META
	    "}}");
	ok(SAYS(&r, "\"outputSchema\"", "\"resultType\""), "modern requests go on");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/list\"}");
	ok(SAYS(&r, "!outputSchema", "!resultType"),
	   "beside legacy ones of the agreed revision");
	rig_close(&r);
}

static void t_listen(void)
{
	struct rig r;

	rig_open(&r);
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":\"listen:0\",\"method\":\"subscriptions/listen\","
	    "\"params\":{\"notifications\":{\"toolsListChanged\":true}," META "}}");
	ok(r.n == 1 &&
		   !strcmp(msg(&r, 0),
			   "{\"jsonrpc\":\"2.0\","
			   "\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{"
			   "\"notifications\":{\"toolsListChanged\":true},\"_meta\":{"
			   "\"io.modelcontextprotocol/subscriptionId\":\"listen:0\"}}}"),
	   "a subscription is acknowledged with what is honoured: %s", msg(&r, 0));
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":\"listen:0\",\"method\":\"tools/list\",\"params\":{" META
	    "}}");
	ok(SAYS(&r, "-32600", "in flight"), "and stays open");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
	    "\"requestId\":\"listen:0\"}}");
	ok(r.n == 0, "until it is cancelled, which is not answered");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":\"listen:0\",\"method\":\"tools/list\",\"params\":{" META
	    "}}");
	ok(SAYS(&r, "\"tools\":["), "after that its id is free");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{"
	    "\"notifications\":[]," META "}}");
	ok(SAYS(&r, "-32602", "notifications must be an object"),
	   "its filter is checked");
	for (int i = 0; i <= 32; i++) {
		char text[400];

		snprintf(
			text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"subscriptions/listen\","
			"\"params\":{\"notifications\":{},%s}}",
			i, META);
		say(&r, text);
	}
	ok(SAYS(&r, "\"id\":32,\"error\":", "subscriptions are open"),
	   "and their number bounded");
	proto_peer_close(r.p, rig_on_idle, &r);
	ok(r.idle == 1, "open subscriptions do not hold up the end");
	rig_close(&r);
}

int main(void)
{
	t_discover();
	t_envelope();
	t_versions();
	t_removed();
	t_list_and_call();
	t_both_eras();
	t_listen();
	return tap_done();
}
