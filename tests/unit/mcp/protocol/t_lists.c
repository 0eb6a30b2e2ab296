/* t_lists.c: tools, prompts, resources and templates as lists; reading, completing, filling in. */
#include "tests/unit/mcp/protocol/more.h"

static void t_capabilities(void)
{
	static const char all[] =
		"\"capabilities\":{\"tools\":{\"listChanged\":true},\"resources\":{"
		"\"subscribe\":true,\"listChanged\":true},\"prompts\":{\"listChanged\":true},"
		"\"logging\":{},\"completions\":{}";
	static const struct tool_set none = {.tools = NULL};
	static const struct tool_set *const sets[] = {&none};
	struct rig r;

	rig_open_more(&r);
	say(&r, LEGACY("1", "initialize", "\"protocolVersion\":\"2025-11-25\""));
	ok(SAYS(&r, all), "all that is offered is declared: %s", msg(&r, 0));
	say(&r, LEGACY("1", "initialize", "\"protocolVersion\":\"2024-11-05\""));
	ok(SAYS(&r, "\"logging\":{}", "!completions"),
	   "2024-11-05 knows no completions");
	say(&r, MODERN("1", "server/discover", ""));
	ok(SAYS(&r, all), "the modern era too");
	rig_close(&r);

	rig_open_with(&r, (struct proto_server_opts){.sets = sets, .nsets = 1});
	say(&r, LEGACY("1", "initialize", "\"protocolVersion\":\"2025-11-25\""));
	ok(SAYS(&r, "\"capabilities\":{", "!\"tools\"", "!prompts", "!resources",
		"!logging", "!completions"),
	   "what is not offered is not declared: %s", msg(&r, 0));
	say(&r, LEGACY("1", "tools/list", ""));
	ok(SAYS(&r, "-32601"), "nor served");
	say(&r, LEGACY("1", "resources/subscribe", "\"uri\":\"x\""));
	ok(SAYS(&r, "-32601"), "not at all");
	rig_close(&r);
}

/* inputSchema is shown as it stands in the file; the validator sees what it knows. */
static void t_schema_passes(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, MODERN("1", "tools/list", ""));
	ok(SAYS(&r,
		"\"inputSchema\":{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
		"\"type\":\"object\",\"$defs\":{\"m\":{\"$anchor\":\"m\",\"type\":\"string\"}},"
		"\"properties\":{\"methods\":{\"type\":\"array\",\"items\":{\"$ref\":\"#m\"}},"
		"\"rounds\":{\"type\":\"integer\"}},\"allOf\":[{\"not\":{}}],"
		"\"additionalProperties\":false}"),
	   "keywords that are not checked are shown all the same");
	say(&r, LEGACY("2", "tools/call",
		       "\"name\":\"quiz\",\"arguments\":{\"rounds\":0}"));
	ok(SAYS(&r, "\"text\":\"known\""), "and do not stop a call");
	say(&r,
	    LEGACY("2", "tools/call", "\"name\":\"quiz\",\"arguments\":{\"round\":0}"));
	ok(SAYS(&r, "isError", "round: there is no such field"),
	   "those that are known do");
	rig_close(&r);
}

static void t_prompts(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, MODERN("1", "prompts/list", ""));
	ok(SAYS(&r, "\"prompts\":[{\"name\":\"plain\",\"title\":\"Plain\"",
		"\"arguments\":[{\"name\":\"a\",\"required\":true},{\"name\":\"b\"}]",
		"\"icons\":[{", "\"_meta\":{\"x/y\":1}", "\"name\":\"asking\"",
		"!messages", "\"ttlMs\":", "\"cacheScope\":\"private\"",
		"\"resultType\":\"complete\"", "!nextCursor"),
	   "prompts/list shows what the files say, not the messages");
	hello(&r, r.p, "2025-06-18", "");
	say(&r, LEGACY("1", "prompts/list", ""));
	ok(SAYS(&r, "\"title\":\"Plain\"", "!icons", "!ttlMs", "!resultType"),
	   "2025-06-18 knows no icons");
	say(&r, MODERN("1", "prompts/list", ""));
	ok(SAYS(&r, "\"title\":\"Plain\"", "\"icons\":[{", "\"ttlMs\":"),
	   "what is kept of one revision's list is not shown to another");
	say(&r,
	    LEGACY("1", "prompts/get",
		   "\"name\":\"plain\",\"arguments\":{\"a\":\"x {{b}} \\\"\",\"z\":\"?\"}"));
	ok(SAYS(&r,
		"\"result\":{\"description\":\"Only text.\",\"messages\":[{\"role\":\"user\","
		"\"content\":{\"type\":\"text\",\"text\":\"<x {{b}} \\\"> <{{c}}>\\n\\n"
		"{{x {{b}} \\\"}} {{\"}}]}"),
	   "arguments are filled in, once; lines without theirs are left out: %s",
	   msg(&r, 0));
	say(&r, MODERN("1", "prompts/get",
		       "\"name\":\"plain\",\"arguments\":{\"a\":\"1\",\"b\":\"2\"},"));
	ok(SAYS(&r,
		"<1> <{{c}}>\\nb is 2 for 1\\n\\n{{1}} {{\"}},{\"role\":\"assistant\"",
		"\"text\":\"b: 2\"", "\"resultType\":\"complete\"", "serverInfo"),
	   "with all of them nothing is");
	say(&r, LEGACY("1", "tools/call", "\"name\":\"linked\""));
	ok(SAYS(&r, "\"text\":\"see there\"},{\"type\":\"resource_link\"}]"),
	   "2025-06-18 knows links");
	hello(&r, r.p, "2025-03-26", "");
	say(&r, LEGACY("1", "tools/call", "\"name\":\"linked\""));
	ok(SAYS(&r, "\"text\":\"see there\"}]"), "2025-03-26 gets the text alone");
	rig_close(&r);
}

static void t_bad_prompts(void)
{
	static const struct {
		const char *params, *want;
	} cases[] = {
		{"\"name\":\"plain\"", "needs the argument a"},
		{"\"name\":\"plain\",\"arguments\":{\"b\":\"1\"}",
		 "needs the argument a"},
		{"\"name\":\"plain\",\"arguments\":{\"a\":1}", "must be a string"},
		{"\"name\":\"plain\",\"arguments\":[]", "must be an object"},
		{"\"name\":\"plan\"", "Unknown prompt: plan"},
		{"\"name\":[]", "name must be a string"},
		{"\"x\":1", "the prompts are: plain, asking, failing"},
	};
	struct rig r;

	rig_open_more(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256];

		snprintf(text, sizeof(text), LEGACY("1", "prompts/get", "%s"),
			 cases[i].params);
		say(&r, text);
		ok(SAYS(&r, "-32602", cases[i].want, "\"remediation\":\""),
		   "prompts/get of {%s} is refused", cases[i].params);
	}
	say(&r, LEGACY("1", "prompts/get", "\"name\":\"failing\""));
	ok(SAYS(&r, "\"error\":{\"code\":-32603", "no prompt today"),
	   "a prompt that cannot be made is an error, there is no isError");
	rig_close(&r);
}

/* Reads a list to its end, page by page; counts the entries. */
static unsigned walk(struct rig *r, const char *method, const char *member,
		     unsigned *ret_pages)
{
	char cursor[4096] = "", text[6000];
	unsigned n = 0;

	for (*ret_pages = 0; *ret_pages < 20; ++*ret_pages) {
		struct cJSON *doc;

		snprintf(
			text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s%s%s}}",
			method, cursor[0] ? "\"cursor\":\"" : "", cursor,
			cursor[0] ? "\"" : "");
		say(r, text);
		doc = rpc_json_parse(sv_of(msg(r, 0)), NULL);
		n += (unsigned)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(doc, "result"), member));
		cJSON_Delete(doc);
		member_of(r, 0, "nextCursor", cursor, sizeof(cursor));
		if (!cursor[0]) {
			++*ret_pages;
			break;
		}
	}
	return n;
}

static void t_resources(void)
{
	struct rig r;
	unsigned pages, n;

	rig_open_more(&r);
	n = walk(&r, "resources/list", "resources", &pages);
	ok(n == ITEMS + 1 && pages == 3, "%u resources on %u pages", n, pages);
	ok(SAYS(&r, "\"uri\":\"test://item/449\"", "\"uri\":\"own://alice\",",
		"!test://item/399"),
	   "the last page ends with the last source");
	say(&r, MODERN("1", "resources/list", ""));
	ok(SAYS(&r,
		"{\"uri\":\"test://item/000\",\"name\":\"item 0\",\"mimeType\":\"text/plain\","
		"\"size\":3},{\"uri\":\"test://item/001\",\"name\":\"item 1\"}",
		"\"nextCursor\":\"", "\"ttlMs\":0", "\"cacheScope\":\"private\""),
	   "what a resource does not say is left out");
	say(&r, LEGACY("1", "resources/templates/list", ""));
	ok(SAYS(&r, "\"resourceTemplates\":[{\"uriTemplate\":\"test://item/{n}\","
		    "\"name\":\"item\",\"title\":\"Item\",\"description\":\"One.\"}]"),
	   "templates are listed");
	rig_close(&r);
}

static void t_read(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LEGACY("1", "resources/read", "\"uri\":\"test://item/001\""));
	ok(SAYS(&r,
		"\"result\":{\"contents\":[{\"uri\":\"test://item/001\",\"text\":\"abc\"}]}"),
	   "a resource is read");
	say(&r, MODERN("1", "resources/read", "\"uri\":\"own://alice\","));
	ok(SAYS(&r, "\"text\":\"cred\"", "\"ttlMs\":0", "\"cacheScope\":\"private\"",
		"\"resultType\":\"complete\""),
	   "by whom it belongs to");
	say(&r, MODERN("1", "resources/read", "\"uri\":\"own://bob\","));
	ok(SAYS(&r, "\"code\":-32602", "\"uri\":\"own://bob\"", "!contents") &&
		   r.sent[0].status == 200,
	   "another's is not found");
	say(&r, LEGACY("1", "resources/read", "\"uri\":\"own://bob\""));
	ok(SAYS(&r, "\"code\":-32002", "\"uri\":\"own://bob\""),
	   "which the legacy era has a code of its own for");
	say(&r, LEGACY("1", "resources/read", "\"uri\":\"nothing://like\\\"it\""));
	ok(SAYS(&r, "-32002", "\"uri\":\"nothing://like\\\"it\""),
	   "as no source at all");
	say(&r, LEGACY("1", "resources/read", "\"uri\":\"test://item/no-memory\""));
	ok(SAYS(&r, "-32603", "no room", "!contents"), "our own fault is none of its");
	say(&r, LEGACY("1", "resources/read", "\"uri\":7"));
	ok(SAYS(&r, "-32602", "uri must be a string"), "a uri is a string");
	say(&r, LEGACY("1", "resources/read", "\"u\":7"));
	ok(SAYS(&r, "-32602", "uri must be a string"), "and must be there");
	rig_close(&r);
}

static void t_cursors(void)
{
	/* t:0: p:0: t:999: r:0:own://bob, odd, not hex, upper case, cut, a sign, no URI of a tool */
	static const char *const bad[] = {"\"x\"",
					  "7",
					  "\"703a303a\"",
					  "\"743a3939393a\"",
					  "\"743a30\"",
					  "\"743a3\"",
					  "\"743A303A\"",
					  "\"zz\"",
					  "\"743a2d303a\"",
					  "\"743a303a78\"",
					  "[]",
					  "\"\"",
					  "\"723a303a\"",
					  "\"3a3a\""};
	struct rig r;

	rig_open_more(&r);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[128];

		snprintf(text, sizeof(text), LEGACY("1", "tools/list", "\"cursor\":%s"),
			 bad[i]);
		say(&r, text);
		ok(SAYS(&r, "-32602", "cursor"), "the cursor %s is refused", bad[i]);
	}
	say(&r, LEGACY("1", "tools/list", "\"cursor\":\"743a303a\""));
	ok(SAYS(&r, "\"tools\":["), "one that reads well is taken");
	say(&r, LEGACY("1", "resources/list",
		       "\"cursor\":\"723a313a6f776e3a2f2f616c696365\""));
	ok(SAYS(&r, "\"resources\":[]", "!nextCursor"),
	   "one behind the last resource gives an empty page");
	rig_close(&r);
}

static void t_complete(void)
{
	static const struct {
		const char *ref, *argument, *want;
	} cases[] = {
		{"\"type\":\"ref/prompt\",\"name\":\"plain\"",
		 "\"name\":\"a\",\"value\":\"a\"",
		 "\"completion\":{\"values\":[\"apple\",\"a \\\"pear\\\"\"],\"total\":2,"
		 "\"hasMore\":false}"},
		{"\"type\":\"ref/prompt\",\"name\":\"plain\"",
		 "\"name\":\"b\",\"value\":\"\"",
		 "\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false}"},
		{"\"type\":\"ref/resource\",\"uri\":\"test://item/{n}\"",
		 "\"name\":\"n\",\"value\":\"12\"", "\"values\":[\"120\",\"121\""},
		{"\"type\":\"ref/resource\",\"uri\":\"test://item/{n}\"",
		 "\"name\":\"n\",\"value\":\"\"", "\"099\"],\"hasMore\":true}"},
		{"\"type\":\"ref/resource\",\"uri\":\"test://item/001\"",
		 "\"name\":\"n\",\"value\":\"\"", "\"values\":[]"},
		{"\"type\":\"ref/prompt\",\"name\":\"plan\"",
		 "\"name\":\"a\",\"value\":\"\"", "-32602"},
		{"\"type\":\"ref/resource\",\"uri\":\"x://{n}\"",
		 "\"name\":\"n\",\"value\":\"\"", "-32602"},
		{"\"type\":\"ref/tool\",\"name\":\"plain\"",
		 "\"name\":\"a\",\"value\":\"\"", "-32602"},
		{"\"name\":\"plain\"", "\"name\":\"a\",\"value\":\"\"", "-32602"},
		{"\"type\":\"ref/prompt\",\"name\":\"plain\"", "\"name\":\"a\"",
		 "-32602"},
		{"\"type\":\"ref/prompt\",\"name\":\"plain\"",
		 "\"name\":\"a\",\"value\":3", "-32602"},
	};
	struct rig r;

	rig_open_more(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];

		snprintf(text, sizeof(text),
			 LEGACY("1", "completion/complete",
				"\"ref\":{%s},\"argument\":{%s}"),
			 cases[i].ref, cases[i].argument);
		say(&r, text);
		ok(SAYS(&r, cases[i].want), "{%s} {%s} gives %s", cases[i].ref,
		   cases[i].argument, cases[i].want);
		snprintf(text, sizeof(text),
			 MODERN("1", "completion/complete",
				"\"ref\":{%s},\"argument\":{%s},"),
			 cases[i].ref, cases[i].argument);
		say(&r, text);
		ok(SAYS(&r, cases[i].want), "in both eras");
	}
	rig_close(&r);
}

/* Many tools: the first page has as many as a client that knows no pages should see. */
static struct tool many[450];
static char many_names[450][8];

static struct sv many_schema(const char *name)
{
	return more_schema(name);
}

static void t_pages_of_tools(void)
{
	static struct tool_set set = {.tools = many, .ntools = ARRAY_LEN(many)};
	static const struct tool_set *const sets[] = {&set};
	struct rig r;
	unsigned pages, n;

	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		snprintf(many_names[i], sizeof(many_names[i]), "t%zu", i);
		many[i] = (struct tool){.name = many_names[i],
					.schema_file = many_names[i],
					.start = slow_start};
	}
	rig_open_with(&r, (struct proto_server_opts){
				  .sets = sets, .nsets = 1, .schema = many_schema});
	n = walk(&r, "tools/list", "tools", &pages);
	ok(n == 450 && pages == 3, "%u tools on %u pages", n, pages);
	rig_close(&r);
}

int main(void)
{
	t_capabilities();
	t_schema_passes();
	t_prompts();
	t_bad_prompts();
	t_resources();
	t_read();
	t_cursors();
	t_complete();
	t_pages_of_tools();
	return tap_done();
}
