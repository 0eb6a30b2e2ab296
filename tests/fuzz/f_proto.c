/* f_proto.c: messages to a server with tools that ask, log, count and fail; on stdio and over HTTP.
 *
 * The input is lines; the first byte of each says how it comes (see deliver). What must hold, whatever
 * they are: every delivered message's sink gets exactly one end and nothing after it; every message
 * out is one line of JSON with words in its errors; at most one answer per request; and in the end
 * nothing is left. Run under ASan and UBSan. */
#include "mcp/protocol/protocol.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

#define MAX_LINES 64
#define MAX_CALLS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the client's side ------------------------------------------------------------------------- */

struct sink {
	struct proto_sink s;
	bool ended, gone;
	unsigned answers, most; /* most: 1, and more for a batch */
};

static struct sink sinks[MAX_LINES + 1]; /* the last one: standalone */

static void on_send(struct proto_sink *sink, const struct proto_message *m)
{
	struct sink *s = (struct sink *)sink;
	struct rpc_msg msg;
	struct rpc_fault fault;

	must(!s->ended && !s->gone);
	must(m->http_status >= 200 && m->http_status < 600);
	must(!memchr(m->json.p, '\n', m->json.n));
	must(!rpc_parse(m->json, &msg, &fault));
	must((m->kind == PROTO_REQUEST) == (msg.kind == RPC_REQUEST));
	must((m->kind == PROTO_NOTIFICATION) == (msg.kind == RPC_NOTIFICATION));
	if (msg.kind == RPC_RESPONSE) {
		s->answers++;
		must(s->answers <= s->most && s != &sinks[MAX_LINES]);
		must((m->kind == PROTO_ERROR) == (js_get(msg.root, "error") != NULL));
		must(m->kind != PROTO_ERROR ||
		     js_str(js_get(js_get(msg.root, "error"), "message")).n);
	}
	rpc_msg_finish(&msg);
	rpc_fault_finish(&fault);
}

static void on_end(struct proto_sink *sink)
{
	struct sink *s = (struct sink *)sink;

	must(!s->ended && !s->gone);
	s->ended = true;
}

static void on_other(struct proto_sink *sink)
{
	struct sink *s = (struct sink *)sink;

	must(!s->ended && !s->gone);
}

/* --- tools: what they do follows from their arguments -------------------------------------------- */

static struct tool_call *calls[MAX_CALLS];

static void end_call(unsigned i, const struct tool_answer *a)
{
	struct tool_call *call = calls[i];

	if (!call)
		return;
	calls[i] = NULL;
	call->hooks->done(call, a);
}

static void play(struct tool_call *call)
{
	const struct tool_hooks *h = call->hooks;
	int64_t n = 0;

	js_int(js_get(call->args, "n"), &n);
	for (int64_t i = 0; i < n && i < 5; i++) {
		h->log(call, (enum tool_log_level)(i + 2), "f", SV("[1]"));
		h->progress_at(call, (uint64_t)(n - i), (uint64_t)n, SV("x"));
		h->progress(call, (uint64_t)i, SV(""));
	}
	if (n == 7)
		h->drop_stream(call);
}

static int act_start(struct tool_call *call, struct err *e)
{
	const struct tool_ask asks[] = {
		{"a", "elicitation/create", SV("{\"message\":\"?\"}")},
		{"b", "sampling/createMessage", SV("{}")},
		{"c", "roots/list", {0}},
	};
	struct sv what = js_str(js_get(call->args, "what"));
	const struct tool_events *ev = call->env.events;

	play(call);
	ev->resource_updated(ev->arg, call->env.principal, what);
	if (sv_eq(what, SV("fail")))
		return err_set(e, ERR_UNAVAILABLE, "no");
	if (sv_eq(what, SV("change")))
		ev->tools_changed(ev->arg);
	if (sv_eq(what, SV("ask")) && !js_get(call->inputs, "a")) {
		call->hooks->done(call, &(struct tool_answer){.asks = asks,
							      .nasks = 3,
							      .state = SV("s")});
		return 0;
	}
	for (unsigned i = 0; sv_eq(what, SV("wait")) && i < MAX_CALLS; i++)
		if (!calls[i]) {
			calls[i] = call;
			return 0;
		}
	call->hooks->done(
		call, &(struct tool_answer){.structured_json = SV("{}"), .text = what});
	return 0;
}

static void act_cancel(struct tool_call *call)
{
	struct err e = {0};

	err_set(&e, ERR_LOST, "cancelled");
	for (unsigned i = 0; i < MAX_CALLS; i += 2)
		if (calls[i] == call)
			end_call(i, &(struct tool_answer){.err = &e});
}

static const struct tool tools[] = {
	{.name = "act", .schema_file = "act", .start = act_start, .cancel = act_cancel},
	{.name = "task",
	 .schema_file = "task",
	 .start = act_start,
	 .cancel = act_cancel,
	 .task = TOOL_TASK_ALWAYS},
};

static const struct prompt prompts[] = {
	{.name = "fill", .schema_file = "fill"},
	{.name = "act", .schema_file = "act", .start = act_start},
};

static bool list(const struct tool_env *env, struct sv after, unsigned max,
		 void (*put)(void *arg, const struct resource *r), void *arg)
{
	(void)env;
	(void)max;
	put(arg, &(struct resource){.uri = SV("f://a"), .name = SV("a"), .size = -1});
	return !after.n;
}

static int read_one(const struct tool_env *env, struct sv uri, struct jw *w,
		    struct err *e)
{
	(void)env;
	if (uri.n % 2)
		return err_set(e, ERR_NOT_FOUND, "odd");
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	jw_kstr(w, "text", uri);
	jw_obj_end(w);
	return 0;
}

static void complete(const struct tool_env *env, const struct resource_template *t,
		     struct sv variable, struct sv value,
		     void (*put)(void *arg, struct sv value), void *arg)
{
	(void)env;
	(void)t;
	for (size_t i = 0; i < value.n && i < 200; i++)
		put(arg, variable);
}

static const struct resource_template templates[] = {{"f://{x}", "f", "F", "", ""}};
static const struct resource_source sources[] = {
	{"f://", templates, 1, list, read_one, complete}};

static struct sv schema(const char *name)
{
	if (!strcmp(name, "fill"))
		return SV(
			"{\"name\":\"fill\",\"description\":\"d\",\"arguments\":[{\"name\":\"x\"}],"
			"\"messages\":[{\"a\":\"{{x}} {{y}} {{x\"}]}");
	return strcmp(name, "act")
		       ? SV("{\"name\":\"task\",\"description\":\"d\",\"inputSchema\":{}}")
		       : SV("{\"name\":\"act\",\"description\":\"d\",\"inputSchema\":{"
			    "\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\","
			    "\"x-mcp-header\":\"N\"}}}}");
}

/* --- delivery ---------------------------------------------------------------------------------- */

static const char *header_of[] = {"mcp-protocol-version", "mcp-method", "mcp-name",
				  "mcp-param-n"};

/* Sixteen bits choose: absent, the value the body wants, or another one. */
struct headers {
	unsigned choice;
	struct sv body;
};

static unsigned get_header(void *arg, const char *name, struct sv *ret)
{
	static const char *const values[][4] = {
		{"", "2026-07-28", "2025-11-25", "v1"},
		{"", "tools/call", "tools/list", "x"},
		{"", "act", "=?base64?YWN0?=", "=?base64?!?="},
		{"", "1", "=?base64?MQ==?=", "-"},
	};
	const struct headers *h = arg;

	for (unsigned i = 0; i < ARRAY_LEN(header_of); i++)
		if (!strcmp(name, header_of[i])) {
			*ret = sv_of(values[i][h->choice >> (2 * i) & 3]);
			return ret->n != 0;
		}
	return 0;
}

/* 'h' and the byte after it: HTTP headers; 'o': too long; 'g': the stream of the message before goes;
 * 'e': a call ends; 's': of the other client, by the byte after it; anything else: stdio. */
static void deliver(struct proto_peer *const peers[2], struct sv line, unsigned at)
{
	const bool other = line.n && line.p[0] == 's';
	struct proto_peer *p = peers[other];
	struct headers h = {0};
	struct proto_headers headers = {get_header, &h};
	struct proto_in in;

	if (other)
		line = (struct sv){line.p + 1, line.n - 1};
	sinks[at].most = line.n && line.p[0] == '[' ? 64 : 1;
	if (line.n > 2 && line.p[0] == 'h') {
		sinks[at].most = line.p[2] == '[' ? 64 : 1;
		h.choice = (unsigned char)line.p[1];
		proto_read((struct sv){line.p + 2, line.n - 2}, &headers, &in);
		proto_deliver(p, &in, &sinks[at].s);
		proto_in_finish(&in);
	} else if (line.n && line.p[0] == 'o') {
		proto_on_oversize(p, line, line, 1, &sinks[at].s);
	} else {
		proto_on_message(p, line, &sinks[at].s);
	}
	if (line.n && line.p[0] == 'g' && at && !sinks[at - 1].ended) {
		proto_sink_gone(peers[0], &sinks[at - 1].s);
		proto_sink_gone(peers[1], &sinks[at - 1].s);
		sinks[at - 1].gone = true;
	}
	if (line.n && line.p[0] == 'e')
		end_call(at % MAX_CALLS, &(struct tool_answer){.text = line});
}

static struct proto_server *open_server(struct loop *loop)
{
	static const struct tool_set set = {.tools = tools,
					    .ntools = ARRAY_LEN(tools),
					    .prompts = prompts,
					    .nprompts = ARRAY_LEN(prompts),
					    .sources = sources,
					    .nsources = ARRAY_LEN(sources)};
	static const struct tool_set *const sets[] = {&set};
	struct proto_server *s =
		proto_server_new(&(struct proto_server_opts){.loop = loop,
							     .sets = sets,
							     .nsets = 1,
							     .schema = schema,
							     .max_in_flight = 8},
				 NULL);

	must(s);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = {(const char *)data, size}, line;
	struct loop loop;
	struct proto_server *s;
	struct proto_peer *peers[2];
	unsigned at = 0;
	bool more = true;

	must(!loop_init(&loop, NULL));
	s = open_server(&loop);
	memset(sinks, 0, sizeof(sinks));
	for (unsigned i = 0; i <= MAX_LINES; i++)
		sinks[i].s = (struct proto_sink){.send = on_send,
						 .end = on_end,
						 .drop = on_other,
						 .open = on_other,
						 .alone = i % 8 == 7};
	for (unsigned i = 0; i < 2; i++) {
		/* of one principal, or of two */
		peers[i] = proto_peer_new(
			&(struct proto_peer_opts){.server = s,
						  .principal = i && size % 5 ? SV("q")
									     : SV("p"),
						  .standalone = &sinks[MAX_LINES].s,
						  .nobody = size % 7 == 0,
						  .http = size % 2},
			NULL);
		must(peers[i]);
	}
	while (at < MAX_LINES && sv_cut(&rest, '\n', &more, &line))
		deliver(peers, line, at++);
	proto_server_drain(s);
	for (unsigned i = 0; i < 2; i++)
		proto_peer_close(peers[i], NULL, NULL);
	for (unsigned i = 0; i < at; i++)
		must(sinks[i].ended || sinks[i].gone);
	for (unsigned i = 0; i < 2; i++)
		proto_peer_free(peers[i]);
	proto_server_free(s);
	for (unsigned i = 0; i < MAX_CALLS; i++)
		end_call(i, &(struct tool_answer){.text = SV("late")});
	must(!loop.timers);
	loop_finish(&loop);
	return 0;
}
