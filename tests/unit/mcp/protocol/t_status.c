/* t_status.c: over HTTP: which era a message is of, and the status its answer begins with. */
#include "tests/unit/mcp/protocol/more.h"

/* "name: value" lines, names in lower case. */
static unsigned get_header(void *arg, const char *name, struct sv *ret)
{
	struct sv rest = sv_of(arg), line;
	bool more = true;
	unsigned n = 0;

	while (sv_cut(&rest, '\n', &more, &line)) {
		ptrdiff_t colon = sv_find(line, ':');

		if (colon > 0 &&
		    sv_eq((struct sv){line.p, (size_t)colon}, sv_of(name)) && !n++)
			*ret = sv_trim((struct sv){line.p + colon + 1,
						   line.n - (size_t)colon - 1});
	}
	return n;
}

static struct proto_in post(struct rig *r, const char *headers, const char *body)
{
	char room[1024];
	struct proto_headers h = {get_header, room};
	struct proto_in in, seen_as;

	snprintf(room, sizeof(room), "%s", headers);
	rig_clear(r);
	r->last = rig_sink_new(r);
	proto_read(sv_of(body), &h, &in);
	seen_as = in;
	proto_deliver(r->p, &in, &r->last->s);
	proto_in_finish(&in);
	return seen_as;
}

#define VERSION "mcp-protocol-version: 2026-07-28\n"
#define OLD "mcp-protocol-version: 2025-11-25\n"
#define IS(method) VERSION "mcp-method: " method "\n"
#define WITH(version)                                                                  \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" version "\","      \
	"\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define INITIALIZE LEGACY("1", "initialize", "\"protocolVersion\":\"2025-11-25\"")

static const struct {
	const char *headers, *body;
	enum proto_era era;
	unsigned status; /* 0: no answer */
	const char *part; /* of the answer */
} posts[] = {
	/* modern */
	{IS("server/discover"), MODERN("1", "server/discover", ""), PROTO_MODERN, 200,
	 "supportedVersions"},
	{IS("server/discover"), LEGACY("1", "server/discover", ""), PROTO_MODERN, 400,
	 "\"code\":-32602,\"message\":\"Invalid params: the request lacks _meta"},
	{IS("server/discover"),
	 LEGACY("1", "server/discover",
		"\"_meta\":{\"io.modelcontextprotocol/clientCapabilities\":{}}"),
	 PROTO_MODERN, 400,
	 "\"missing\":[\"io.modelcontextprotocol/protocolVersion\"]"},
	{IS("tools/list"), LEGACY("1", "tools/list", ""), PROTO_MODERN, 400,
	 "\"envelope\":{\"missing\":[\"_meta\"]}"},
	{"", LEGACY("1", "server/discover", ""), PROTO_MODERN, 400, "-32602"},
	{"", MODERN("1", "server/discover", ""), PROTO_MODERN, 400, "\"code\":-32020"},
	{"mcp-protocol-version: v999.0.0\nmcp-method: tools/list\n",
	 LEGACY("1", "tools/list", WITH("v999.0.0")), PROTO_MODERN, 400,
	 "\"code\":-32022"},
	{IS("tools/list"), LEGACY("1", "tools/list", WITH("v999.0.0")), PROTO_MODERN,
	 400, "\"code\":-32020"},
	{OLD, LEGACY("1", "tools/list", WITH("2026-07-28")), PROTO_MODERN, 400,
	 "\"code\":-32020"},
	{VERSION, MODERN("1", "tools/list", ""), PROTO_MODERN, 400, "-32020"},
	{IS("tools/call"), MODERN("1", "tools/list", ""), PROTO_MODERN, 400, "-32020"},
	{IS("no/such"), MODERN("1", "no/such", ""), PROTO_MODERN, 404, "-32601"},
	{IS("ping"), MODERN("1", "ping", ""), PROTO_MODERN, 404, "-32601"},
	{IS("initialize"), MODERN("1", "initialize", ""), PROTO_MODERN, 404, "-32601"},
	{VERSION, INITIALIZE, PROTO_MODERN, 400, "-32020"},
	{IS("tools/call") "mcp-name: none\n",
	 MODERN("1", "tools/call", "\"name\":\"none\","), PROTO_MODERN, 200, "-32602"},
	{IS("tools/call") "mcp-name: other\n",
	 MODERN("1", "tools/call", "\"name\":\"needy\","), PROTO_MODERN, 400, "-32020"},
	{IS("tools/call") "mcp-name: needy\n",
	 MODERN("1", "tools/call", "\"name\":\"needy\","), PROTO_MODERN, 400, "-32021"},
	{IS("tools/call") "mcp-name: coded\n",
	 MODERN("1", "tools/call", "\"name\":\"coded\","), PROTO_MODERN, 200,
	 "\"error\":{\"code\":7,\"message\":\"not today\""},
	{IS("tools/call") "mcp-name: rich\n",
	 MODERN("1", "tools/call", "\"name\":\"rich\","), PROTO_MODERN, 200,
	 "\"result\":{\"content\":[{\"type\":\"image\"}],\"isError\":true"},
	{IS("tools/list"), MODERN("1", "tools/list", "\"cursor\":\"x\","), PROTO_MODERN,
	 200, "-32602"},
	{IS("resources/read") "mcp-name: own://bob\n",
	 MODERN("1", "resources/read", "\"uri\":\"own://bob\","), PROTO_MODERN, 200,
	 "-32602"},
	{VERSION, "{", PROTO_MODERN, 400, "-32700"},
	{VERSION, "[]", PROTO_MODERN, 400, "-32600"},
	{VERSION, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}", PROTO_MODERN,
	 0, ""},
	/* legacy */
	{"", "{", PROTO_LEGACY, 400, "-32700"},
	{OLD, "[]", PROTO_LEGACY, 400, "-32600"},
	{OLD, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", PROTO_LEGACY, 400,
	 "-32600"},
	{"mcp-protocol-version: 1999-01-01\n", LEGACY("1", "ping", ""), PROTO_LEGACY,
	 400, "\"id\":1,\"error\":{\"code\":-32600"},
	{"mcp-protocol-version: 1999-01-01\n",
	 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", PROTO_LEGACY,
	 400, "\"id\":null,\"error\":{\"code\":-32600"},
	{OLD, INITIALIZE, PROTO_LEGACY, 200, "serverInfo"},
	{OLD, INITIALIZE, PROTO_LEGACY, 400,
	 "\"code\":-32600,\"message\":\"Invalid Request: this session is initialized"},
	{"", LEGACY("1", "ping", ""), PROTO_LEGACY, 200, "\"result\":{}"},
	{"mcp-protocol-version: 2024-11-05\n", LEGACY("1", "ping", ""), PROTO_LEGACY,
	 200, "\"result\":{}"},
	{OLD, LEGACY("1", "no/such", ""), PROTO_LEGACY, 200, "-32601"},
	{OLD, LEGACY("1", "tools/call", "\"name\":\"none\""), PROTO_LEGACY, 200,
	 "-32602"},
	{OLD, LEGACY("1", "resources/read", "\"uri\":\"own://bob\""), PROTO_LEGACY, 200,
	 "-32002"},
	{OLD, LEGACY("1", "tools/call", "\"name\":\"needy\""), PROTO_LEGACY, 200,
	 "isError"},
	{OLD, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", PROTO_LEGACY, 0, ""},
	{VERSION, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", PROTO_LEGACY, 0, ""},
	{OLD, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
	 PROTO_LEGACY, 0, ""},
};

static void t_posts(void)
{
	struct rig r;

	rig_open_more(&r);
	proto_peer_free(r.p);
	r.p = rig_peer(&r, "alice", true);
	for (size_t i = 0; i < ARRAY_LEN(posts); i++) {
		struct proto_in in = post(&r, posts[i].headers, posts[i].body);
		bool good = in.era == posts[i].era && r.ended == 1 &&
			    r.n == (posts[i].status != 0) &&
			    strstr(msg(&r, 0), posts[i].part) &&
			    (!r.n || r.sent[0].status == posts[i].status);

		ok(good, "%s is %s with %u: %s", posts[i].body,
		   posts[i].era == PROTO_MODERN ? "modern" : "legacy", posts[i].status,
		   posts[i].part);
		if (!good)
			printf("# era %d, %u sent, %u ended, status %u: %s\n", in.era,
			       r.n, r.ended, r.sent[0].status, msg(&r, 0));
	}
	rig_close(&r);
}

static void t_initialize(void)
{
	struct rig r;

	rig_open_more(&r);
	ok(!*proto_peer_revision(r.p), "no revision before initialize");
	ok(post(&r, "", INITIALIZE).initialize, "a handshake is known as one");
	ok(!strcmp(proto_peer_revision(r.p), "2025-11-25"), "then there is one");
	ok(!post(&r, VERSION, INITIALIZE).initialize,
	   "not one that would make no session");
	ok(!post(&r, "", MODERN("1", "initialize", "")).initialize,
	   "nor one with an envelope");
	ok(!post(&r, "", "{\"jsonrpc\":\"2.0\",\"method\":\"initialize\"}").initialize,
	   "nor a notification");
	ok(!post(&r, "", "{\"method\":\"initialize\"}").initialize, "nor a broken one");
	rig_close(&r);
}

static void t_oversize(void)
{
	struct rig r;

	rig_open(&r);
	proto_on_oversize(r.p, SV("{\"id\":5,"), SV("}"), 10, &rig_sink_new(&r)->s);
	ok(r.n == 1 && r.sent[0].status == 413 && r.sent[0].kind == PROTO_ERROR &&
		   r.ended == 1,
	   "a message that is too long is 413");
	rig_close(&r);
}

static void t_refusal(void)
{
	struct err e = {0};
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	err_set(&e, ERR_NOT_FOUND, "Session not found");
	proto_write_refusal(&b, SV("7"), -32001, &e);
	ok(strstr(buf_cstr(&b),
		  "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32001,"
		  "\"message\":\"Session not found\"") == b.p,
	   "an error without a peer: %s", buf_cstr(&b));
}

int main(void)
{
	t_posts();
	t_initialize();
	t_oversize();
	t_refusal();
	return tap_done();
}
