/* t_legacy.c: initialize and what each legacy revision sees. */
#include "tests/unit/mcp/protocol/rig.h"

static void initialize(struct rig *r, const char *version)
{
	char text[256];

	snprintf(
		text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
		"\"protocolVersion\":\"%s\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\","
		"\"version\":\"1\"}}}",
		version);
	say(r, text);
}

static void t_negotiation(void)
{
	static const struct {
		const char *asked, *got;
	} cases[] = {
		{"2024-10-07", "2024-10-07"}, {"2024-11-05", "2024-11-05"},
		{"2025-03-26", "2025-03-26"}, {"2025-06-18", "2025-06-18"},
		{"2025-11-25", "2025-11-25"}, {"2026-07-28", "2025-11-25"},
		{"1999-01-01", "2025-11-25"}, {"", "2025-11-25"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		char want[64];

		rig_open(&r);
		initialize(&r, cases[i].asked);
		snprintf(want, sizeof(want), "\"protocolVersion\":\"%s\"",
			 cases[i].got);
		ok(SAYS(&r, "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{", want,
			"\"capabilities\":{\"tools\":{\"listChanged\":true},\"logging\":{}",
			"\"serverInfo\":{\"name\":\"fumehood\"", "\"instructions\":\"",
			"!resultType", "!prompts", "!resources"),
		   "a client asking %s gets %s", cases[i].asked, cases[i].got);
		say(&r,
		    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
		ok(r.n == 0, "initialized is not answered");
		rig_close(&r);
	}
}

static void t_list_by_revision(void)
{
	static const struct {
		const char *version;
		bool annotations, structured;
	} cases[] = {
		{"2024-11-05", false, false},
		{"2025-03-26", true, false},
		{"2025-06-18", true, true},
		{"2025-11-25", true, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;

		rig_open(&r);
		initialize(&r, cases[i].version);
		say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
		ok(SAYS(&r, "{\"tools\":[{\"name\":\"echo\",",
			"\"inputSchema\":{\"type\":\"object\"",
			"\"description\":\"Says it again.\"", "!resultType", "!ttlMs",
			"!nextCursor", "!execution", "!icons",
			cases[i].annotations ? "\"annotations\":{\"readOnlyHint\":true}"
					     : "!annotations",
			cases[i].structured ? "\"outputSchema\":{" : "!outputSchema",
			cases[i].structured ? "\"title\":\"Echo\"" : "!title"),
		   "tools/list of %s has what that revision knows", cases[i].version);
		say(&r,
		    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{"
		    "\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}}}");
		ok(SAYS(&r, "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]",
			"!isError", "!resultType",
			cases[i].structured ? "\"structuredContent\":{\"text\":\"hi\"}"
					    : "!structuredContent"),
		   "and so has tools/call");
		rig_close(&r);
	}
}

static void t_small_methods(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
	ok(r.n == 1 && !strcmp(msg(&r, 0),
			       "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}"),
	   "ping is answered, also before initialize");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/list\"}");
	ok(SAYS(&r, "\"id\":1,\"error\":{\"code\":-32601", "resources/list",
		"\"remediation\":\"revision 2025-11-25 is served here with: initialize, ping, "
		"tools/call, tools/list, logging/setLevel\""),
	   "an unknown method is refused with what there is");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logging/setLevel\",\"params\":{"
	    "\"level\":\"info\"}}");
	ok(SAYS(&r, "\"id\":2,\"result\":{}"), "a log level is taken");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\",\"params\":{}}");
	ok(SAYS(&r, "-32602", "protocolVersion"),
	   "initialize without a version says what it lacks");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/list\"}");
	ok(SAYS(&r, "\"outputSchema\"", "\"title\""),
	   "before initialize the latest legacy revision is assumed");
	rig_close(&r);
}

static void t_pages(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{"
		"\"cursor\":\"next\"}}");
	ok(SAYS(&r, "-32602", "cursor"),
	   "a cursor that was never handed out is refused");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{"
		"\"cursor\":7}}");
	ok(SAYS(&r, "-32602", "cursor"), "whatever its type");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{"
		"\"cursor\":null,\"_meta\":5}}");
	ok(SAYS(&r, "\"tools\":["), "null is none, and an odd _meta is ignored");
	rig_close(&r);
}

static void t_instructions(void)
{
	struct rig r;
	struct cJSON *doc;

	rig_open(&r);
	initialize(&r, "2025-06-18");
	doc = rpc_json_parse(buf_view(&r.sent[0].json), NULL);
	ok(js_str(js_get(js_get(doc, "result"), "instructions")).n <= 1024,
	   "the instructions fit into 1 KiB");
	cJSON_Delete(doc);
	rig_close(&r);
}

int main(void)
{
	t_negotiation();
	t_list_by_revision();
	t_small_methods();
	t_pages();
	t_instructions();
	return tap_done();
}
