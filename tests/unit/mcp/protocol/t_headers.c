/* t_headers.c: a modern request over HTTP says the same in its headers as in its body. */
#include "mcp/protocol/internal.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

#define CALL(args)                                                                            \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"," \
	"\"arguments\":" args "}}"
#define MESSAGE(method, params)                                                        \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

/* One request's headers: "name: value" lines, names in lower case. */
static unsigned get(void *arg, const char *name, struct sv *ret)
{
	struct sv rest = sv_of(arg), line;
	bool more = true;
	unsigned n = 0;

	while (sv_cut(&rest, '\n', &more, &line)) {
		ptrdiff_t colon = sv_find(line, ':');

		if (colon < 0 ||
		    !sv_eq((struct sv){line.p, (size_t)colon}, sv_of(name)))
			continue;
		if (!n++)
			*ret = (struct sv){line.p + colon + 1,
					   line.n - (size_t)colon - 1};
	}
	return n;
}

struct sent {
	struct proto_headers h;
	struct proto_in in;
	struct rpc_fault fault;
};

static void send(struct sent *x, const char *headers, const char *body)
{
	static char room[2048];

	snprintf(room, sizeof(room), "%s", headers);
	*x = (struct sent){.h = {get, room}};
	x->in.headers = &x->h;
	if (rpc_parse(sv_of(body), &x->in.msg, &x->fault))
		printf("# the test's body is broken: %s\n", body);
}

static void finish(struct sent *x)
{
	rpc_msg_finish(&x->in.msg);
	rpc_fault_finish(&x->fault);
}

static const struct {
	const char *headers, *body;
	const char *complaint; /* NULL: fine */
} standard[] = {
	{"mcp-method:tools/list", MESSAGE("tools/list", "{}"), NULL},
	{"mcp-method: \ttools/list \t", MESSAGE("tools/list", "{}"), NULL},
	{"", MESSAGE("tools/list", "{}"), "Mcp-Method is missing"},
	{"mcp-method:", MESSAGE("tools/list", "{}"), "says ''"},
	{"mcp-method:TOOLS/LIST", MESSAGE("tools/list", "{}"), "says 'TOOLS/LIST'"},
	{"mcp-method:prompts/list", MESSAGE("tools/list", "{}"),
	 "the body says 'tools/list'"},
	{"mcp-method:tools/list\nmcp-method:tools/list", MESSAGE("tools/list", "{}"),
	 "stands 2 times"},
	{"mcp-method:tools/list\nmcp-name:any", MESSAGE("tools/list", "{}"), NULL},
	{"mcp-method:=?base64?dG9vbHMvbGlzdA==?=", MESSAGE("tools/list", "{}"),
	 "Mcp-Method says"},
	{"mcp-method:tools/call\nmcp-name:t", CALL("{}"), NULL},
	{"mcp-method:tools/call\nmcp-name:  t  ", CALL("{}"), NULL},
	{"mcp-method:tools/call", CALL("{}"), "Mcp-Name is missing"},
	{"mcp-method:tools/call\nmcp-name:T", CALL("{}"), "Mcp-Name says 'T'"},
	{"mcp-method:tools/call\nmcp-name:t\nmcp-name:u", CALL("{}"),
	 "Mcp-Name stands 2"},
	{"mcp-method:tools/call\nmcp-name:=?base64?dA==?=", CALL("{}"), NULL},
	{"mcp-method:tools/call\nmcp-name:=?base64?dA?=", CALL("{}"), "not Base64"},
	{"mcp-method:tools/call\nmcp-name:=?base64?dB==?=", CALL("{}"), "not Base64"},
	{"mcp-method:tools/call\nmcp-name:=?BASE64?dA==?=", CALL("{}"),
	 "says '=?BASE64"},
	{"mcp-method:tools/call\nmcp-name:=?base64?=", CALL("{}"), "says '=?base64?='"},
	{"mcp-method:tools/call\nmcp-name:=?base64?\?=", CALL("{}"), "says ''"},
	{"mcp-method:tools/call\nmcp-name:=?base64?/w==?=", CALL("{}"),
	 "not Base64 of UTF-8"},
	{"mcp-method:tools/call\nmcp-name:t\xc3\xa4", CALL("{}"), "not visible ASCII"},
	{"mcp-method:tools/call\nmcp-name:t\x7f", CALL("{}"), "not visible ASCII"},
	{"mcp-method:tools/call", MESSAGE("tools/call", "{}"), NULL},
	{"mcp-method:tools/call", MESSAGE("tools/call", "{\"name\":5}"), NULL},
	{"mcp-method:prompts/get\nmcp-name:p",
	 MESSAGE("prompts/get", "{\"name\":\"p\"}"), NULL},
	{"mcp-method:prompts/get", MESSAGE("prompts/get", "{\"name\":\"p\"}"),
	 "is missing"},
	{"mcp-method:resources/read\nmcp-name:a://b",
	 MESSAGE("resources/read", "{\"uri\":\"a://b\"}"), NULL},
	{"mcp-method:resources/read\nmcp-name:=?base64?YTovL8Ok?=",
	 MESSAGE("resources/read", "{\"uri\":\"a://\xc3\xa4\"}"), NULL},
	{"mcp-method:resources/read\nmcp-name:a://c",
	 MESSAGE("resources/read", "{\"uri\":\"a://b\"}"), "'a://c'"},
	{"mcp-method:tasks/get\nmcp-name:x", MESSAGE("tasks/get", "{\"taskId\":\"y\"}"),
	 "'x'"},
	{"mcp-method:tasks/update", MESSAGE("tasks/update", "{\"taskId\":\"y\"}"),
	 "is missing"},
	{"mcp-method:tasks/cancel\nmcp-name:y",
	 MESSAGE("tasks/cancel", "{\"taskId\":\"y\"}"), NULL},
	{"mcp-method:tasks/result", MESSAGE("tasks/result", "{\"taskId\":\"y\"}"),
	 NULL},
};

#define REGION(v) CALL("{\"region\":" v "}")
#define LEVEL(v) CALL("{\"level\":" v "}")

static const struct {
	const char *headers, *body, *complaint;
} params[] = {
	{"", CALL("{}"), NULL},
	{"", CALL("{\"plain\":\"x\"}"), NULL},
	{"mcp-param-plain:y", CALL("{\"plain\":\"x\"}"), NULL},
	{"", REGION("null"), NULL},
	{"mcp-param-region:eu", REGION("\"eu\""), NULL},
	{"mcp-param-region: eu ", REGION("\"eu\""), NULL},
	{"", REGION("\"eu\""), "Mcp-Param-Region is missing"},
	{"", REGION("\"\""), "Mcp-Param-Region is missing"},
	{"mcp-param-region:", REGION("\"\""), NULL},
	{"mcp-param-region:us", REGION("\"eu\""), "says 'us' but the body says 'eu'"},
	{"mcp-param-region:EU", REGION("\"eu\""), "says 'EU'"},
	{"mcp-param-region:eu", CALL("{}"), "no such argument"},
	{"mcp-param-region:eu", REGION("null"), "no such argument"},
	{"mcp-param-region:eu\nmcp-param-region:eu", REGION("\"eu\""),
	 "stands 2 times"},
	{"mcp-param-region:=?base64?SGVsbG8=?=", REGION("\"Hello\""), NULL},
	{"mcp-param-region:=?base64?SGVsbG8?=", REGION("\"Hello\""), "not Base64"},
	{"mcp-param-region:=?base64?SGVs!!!bG8=?=", REGION("\"Hello\""), "not Base64"},
	{"mcp-param-region:SGVsbG8=", REGION("\"SGVsbG8=\""), NULL},
	{"mcp-param-region:=?base64?SGVsbG8=", REGION("\"=?base64?SGVsbG8=\""), NULL},
	{"mcp-param-region:=?base64?IHBhZGRlZCA=?=", REGION("\" padded \""), NULL},
	{"mcp-param-region:=?base64?bGluZTEKbGluZTI=?=", REGION("\"line1\\nline2\""),
	 NULL},
	{"mcp-param-region:=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
	 REGION("\"=?base64?literal?=\""), NULL},
	{"mcp-param-level:42", LEVEL("42"), NULL},
	{"mcp-param-level:42.0", LEVEL("42"), NULL},
	{"mcp-param-level:42", LEVEL("42.0"), NULL},
	{"mcp-param-level:-7", LEVEL("-7"), NULL},
	{"mcp-param-level:42", LEVEL("\"42\""), NULL},
	{"mcp-param-level:43", LEVEL("42"), "says '43' but the body says '42'"},
	{"mcp-param-level:42.5", LEVEL("42"), "says '42.5'"},
	{"mcp-param-level:42.", LEVEL("42"), "says '42.'"},
	{"mcp-param-level:0x2a", LEVEL("42"), "says '0x2a'"},
	{"mcp-param-level:9007199254740993", LEVEL("9007199254740992"),
	 "Header mismatch"},
	{"mcp-param-on:true", CALL("{\"deep\":{\"on\":true}}"), NULL},
	{"mcp-param-on:false", CALL("{\"deep\":{\"on\":true}}"), "says 'false'"},
	{"", CALL("{\"deep\":{\"on\":true}}"), "Mcp-Param-On is missing"},
	{"", CALL("{\"deep\":{}}"), NULL},
	{"", CALL("{\"deep\":[true]}"), NULL},
	{"", CALL("{\"on\":true}"), NULL},
	{"", REGION("{\"a\":1}"), NULL},
};

static const char schema[] =
	"{\"inputSchema\":{\"type\":\"object\",\"properties\":{"
	"\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"
	"\"plain\":{\"type\":\"string\"},"
	"\"level\":{\"type\":\"integer\",\"x-mcp-header\":\"Level\"},"
	"\"deep\":{\"type\":\"object\",\"properties\":{\"on\":{\"type\":\"boolean\","
	"\"x-mcp-header\":\"On\"}}}}}}";

static void test_standard(size_t i)
{
	struct sent x;
	struct err e = {0};
	int got;

	send(&x, standard[i].headers, standard[i].body);
	got = proto_check_headers(&x.in, &e);
	ok(standard[i].complaint ? got == -1 && strstr(e.cause, standard[i].complaint)
				 : !got,
	   "standard %zu: %s", i,
	   standard[i].complaint ? standard[i].complaint : "accepted");
	if (e.code)
		printf("# %s\n", e.cause);
	finish(&x);
}

static void test_param(const struct proto_item *tool, size_t i)
{
	struct sent x;
	struct err e = {0};
	int got;

	send(&x, params[i].headers, params[i].body);
	got = proto_check_param_headers(&x.in, tool,
					js_get(x.in.msg.params, "arguments"), &e);
	ok(params[i].complaint ? got == -1 && strstr(e.cause, params[i].complaint)
			       : !got,
	   "parameter %zu: %s", i,
	   params[i].complaint ? params[i].complaint : "accepted");
	if (e.code)
		printf("# %s\n", e.cause);
	finish(&x);
}

static void test_version(void)
{
	struct sent x;
	struct err e = {0};

	send(&x, "mcp-protocol-version:2026-07-28", MESSAGE("tools/list", "{}"));
	ok(!proto_check_version_header(&x.in, SV("2026-07-28"), &e),
	   "the same version");
	ok(proto_check_version_header(&x.in, SV("v999"), &e), "another version");
	finish(&x);
	send(&x, "", MESSAGE("tools/list", "{}"));
	ok(proto_check_version_header(&x.in, SV("2026-07-28"), &e), "no version");
	finish(&x);
	send(&x, "mcp-protocol-version:2026-07-28\nmcp-protocol-version:2026-07-28",
	     MESSAGE("tools/list", "{}"));
	ok(proto_check_version_header(&x.in, SV("2026-07-28"), &e), "twice");
	x.in.headers = NULL;
	ok(!proto_check_version_header(&x.in, SV("v1"), &e) &&
		   !proto_check_headers(&x.in, &e) &&
		   !proto_check_param_headers(&x.in, NULL, NULL, &e),
	   "without HTTP there is nothing to check");
	finish(&x);
}

int main(void)
{
	struct err e = {0};
	struct proto_item tool = {.doc = rpc_json_parse(sv_of(schema), &e)};

	must(tool.doc);
	for (size_t i = 0; i < ARRAY_LEN(standard); i++)
		test_standard(i);
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		test_param(&tool, i);
	test_version();
	cJSON_Delete(tool.doc);
	return tap_done();
}
