/* rig.h: a server with tools of its own and one client, for the tests of mcp/protocol.
 *
 * echo answers within start; slow answers when the test says so (slow_end) or, with slow_obeys,
 * from within its cancel; stuck is slow without a cancel; broken fails to start. What else there is
 * to offer stands in more.h.
 *
 * Every message is delivered with a sink of its own. A message on a sink that has ended, and a
 * second end, stop the test at once; rig_close demands that every sink has ended. */
#ifndef TESTS_PROTOCOL_RIG_H
#define TESTS_PROTOCOL_RIG_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "mcp/protocol/protocol.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

#define MAX_SENT 256
#define MAX_SINKS 256
#define RIG_PROGRESS_MS 200
#define MAX_SLOW 8

#define META_INSIDE                                                                              \
	"\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                            \
	"\"io.modelcontextprotocol/clientCapabilities\":{}"
#define META "\"_meta\":{" META_INSIDE "}"

static struct {
	struct tool_call *slow[MAX_SLOW];
	unsigned slow_n, cancels;
	bool slow_obeys;
	char args[256];		/* of the last echo */
} seen;

struct rig;
struct rig_sink {
	struct proto_sink s;
	struct rig *rig;	/* NULL: free */
	bool gone;		/* the client is; nothing may come, not even an end */
	unsigned opens, drops;
};

struct rig_sent {
	struct buf json;
	enum proto_message_kind kind;
	unsigned status;
	struct rig_sink *sink;
};

struct rig {
	struct loop loop;
	struct proto_server *server;
	struct proto_peer *p;
	struct rig_sink sinks[MAX_SINKS];
	struct rig_sink standalone;
	struct rig_sink *last;		/* of the last message delivered; may have ended */
	struct rig_sent sent[MAX_SENT];
	unsigned n;		/* messages sent since the last clear */
	unsigned ended;		/* sinks since then */
	unsigned idle;
	unsigned opens, drops;
};

static int echo_start(struct tool_call *call, struct err *e)
{
	struct sv text = js_str(js_get(call->args, "text"));
	AUTO_BUF b = {0};
	struct jw w;
	char *args = cJSON_PrintUnformatted(call->args);

	(void)e;
	snprintf(seen.args, sizeof(seen.args), "%s", args ? args : "");
	cJSON_free(args);
	buf_init(&b, 4096);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "text", text);
	jw_obj_end(&w);
	call->hooks->done(call,
			  &(struct tool_answer){.structured_json = buf_view(&b), .text = text});
	return 0;
}

static int slow_start(struct tool_call *call, struct err *e)
{
	(void)e;
	must(seen.slow_n < MAX_SLOW);
	seen.slow[seen.slow_n++] = call;
	return 0;
}

static inline void slow_end(unsigned i)
{
	struct tool_call *call = seen.slow[i];

	must(call);
	seen.slow[i] = NULL;
	call->hooks->done(call, &(struct tool_answer){.structured_json = SV("{\"text\":\"slept\"}"),
						      .text = SV("slept")});
}

static void slow_cancel(struct tool_call *call)
{
	struct err e = {0};

	seen.cancels++;
	if (!seen.slow_obeys)
		return;
	for (unsigned i = 0; i < MAX_SLOW; i++)
		if (seen.slow[i] == call)
			seen.slow[i] = NULL;
	err_set(&e, ERR_LOST, "cancelled");
	call->hooks->done(call, &(struct tool_answer){.err = &e});
}

static int broken_start(struct tool_call *call, struct err *e)
{
	(void)call;
	err_set(e, ERR_UNAVAILABLE, "this \"host\" has no sandbox");
	return err_fix(e, "run doctor");
}

static const struct tool rig_tools[] = {
	{.name = "echo", .schema_file = "echo", .start = echo_start},
	{.name = "slow", .schema_file = "plain", .start = slow_start, .cancel = slow_cancel},
	{.name = "stuck", .schema_file = "stuck", .start = slow_start},
	{.name = "broken", .schema_file = "broken", .start = broken_start},
};

static const struct tool_set rig_set = {.tools = rig_tools, .ntools = ARRAY_LEN(rig_tools)};

static struct sv rig_schema(const char *name)
{
	static const struct {
		const char *name, *text;
	} files[] = {
		{"echo", "{\"name\":\"echo\",\"title\":\"Echo\",\"description\":\"Says it again.\","
			 "\"inputSchema\":{\"type\":\"object\",\"properties\":{"
			 "\"text\":{\"type\":\"string\"},\"count\":{\"type\":\"integer\"},"
			 "\"loud\":{\"type\":\"boolean\"}},\"required\":[\"text\"],"
			 "\"additionalProperties\":false},"
			 "\"outputSchema\":{\"type\":\"object\"},"
			 "\"annotations\":{\"readOnlyHint\":true}}"},
		{"plain", "{\"name\":\"slow\",\"description\":\"Waits.\","
			  "\"inputSchema\":{\"type\":\"object\",\"properties\":{}}}"},
		{"stuck", "{\"name\":\"stuck\",\"description\":\"Waits for ever.\","
			  "\"inputSchema\":{\"type\":\"object\",\"properties\":{}}}"},
		{"broken", "{\"name\":\"broken\",\"description\":\"Cannot.\","
			   "\"inputSchema\":{\"type\":\"object\",\"properties\":{}}}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (!strcmp(files[i].name, name))
			return sv_of(files[i].text);
	return (struct sv){0};
}

static void rig_on_send(struct proto_sink *sink, const struct proto_message *m)
{
	struct rig_sink *s = (struct rig_sink *)sink;
	struct rig *r = s->rig;

	must(r && !s->gone);
	must(r->n < MAX_SENT);
	must(m->json.n && sv_find(m->json, '\n') < 0);
	buf_reset(&r->sent[r->n].json);
	buf_sv(&r->sent[r->n].json, m->json);
	r->sent[r->n].kind = m->kind;
	r->sent[r->n].status = m->http_status;
	r->sent[r->n].sink = s;
	r->n++;
}

static void rig_on_end(struct proto_sink *sink)
{
	struct rig_sink *s = (struct rig_sink *)sink;

	must(s->rig && !s->gone);
	s->rig->ended++;
	s->rig = NULL;
}

static void rig_on_open(struct proto_sink *sink)
{
	struct rig_sink *s = (struct rig_sink *)sink;

	must(s->rig && !s->gone);
	s->opens++;
	s->rig->opens++;
}

static void rig_on_drop(struct proto_sink *sink)
{
	struct rig_sink *s = (struct rig_sink *)sink;

	must(s->rig && !s->gone);
	s->drops++;
	s->rig->drops++;
}

static inline void rig_sink_init(struct rig *r, struct rig_sink *s)
{
	*s = (struct rig_sink){.s = {rig_on_send, rig_on_end, rig_on_drop, rig_on_open}, .rig = r};
}

static inline struct rig_sink *rig_sink_new(struct rig *r)
{
	for (size_t i = 0; i < MAX_SINKS; i++)
		if (!r->sinks[i].rig) {
			rig_sink_init(r, &r->sinks[i]);
			return &r->sinks[i];
		}
	must(!"a sink left");
	return NULL;
}

static inline unsigned rig_open_sinks(const struct rig *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < MAX_SINKS; i++)
		n += r->sinks[i].rig && !r->sinks[i].gone;
	return n;
}

static inline void rig_on_idle(void *arg)
{
	struct rig *r = arg;

	r->idle++;
}

/* "nobody": where callers are not asked who they are. */
static inline struct proto_peer *rig_peer(struct rig *r, const char *principal, bool http)
{
	struct err e = {0};
	struct proto_peer *p =
		proto_peer_new(&(struct proto_peer_opts){.server = r->server,
							 .credential = SV("cred"),
							 .principal = sv_of(principal),
							 .standalone = &r->standalone.s,
							 .nobody = !strcmp(principal, "nobody"),
							 .http = http},
			       &e);

	must(p);
	return p;
}

static inline void rig_open_with(struct rig *r, struct proto_server_opts o)
{
	struct err e = {0};

	*r = (struct rig){0};
	memset(&seen, 0, sizeof(seen));
	must(!loop_init(&r->loop, &e));
	for (size_t i = 0; i < MAX_SENT; i++)
		buf_init(&r->sent[i].json, (size_t)1 << 20);
	rig_sink_init(r, &r->standalone);
	o.loop = &r->loop;
	o.schema = o.schema ? o.schema : rig_schema;
	o.max_in_flight = o.max_in_flight ? o.max_in_flight : 3;
	o.progress_ms = o.progress_ms ? o.progress_ms : RIG_PROGRESS_MS;
	r->server = proto_server_new(&o, &e);
	if (!r->server)
		printf("# %s\n", e.cause);
	must(r->server);
	r->p = rig_peer(r, "alice", false);
}

static inline void rig_open(struct rig *r)
{
	static const struct tool_set *const sets[] = {&rig_set};

	rig_open_with(r, (struct proto_server_opts){.sets = sets, .nsets = 1});
}

static inline void rig_clear(struct rig *r)
{
	for (unsigned i = 0; i < r->n; i++)
		buf_reset(&r->sent[i].json);
	r->n = r->ended = r->opens = r->drops = 0;
}

static inline void rig_close(struct rig *r)
{
	if (r->p) {
		proto_peer_close(r->p, NULL, NULL);
		must(!rig_open_sinks(r));
	}
	proto_peer_free(r->p);
	proto_server_free(r->server);
	for (unsigned i = 0; i < MAX_SLOW; i++)
		if (seen.slow[i])
			slow_end(i);
	for (size_t i = 0; i < MAX_SENT; i++)
		buf_finish(&r->sent[i].json);
	loop_finish(&r->loop);
}

/* Delivers one message of that client; older messages are forgotten. */
static inline void say_as(struct rig *r, struct proto_peer *p, const char *json)
{
	rig_clear(r);
	r->last = rig_sink_new(r);
	proto_on_message(p, sv_of(json), &r->last->s);
}

/* Sends one message; what came out of it is in r->sent, older messages are forgotten. */
static inline void say(struct rig *r, const char *json)
{
	say_as(r, r->p, json);
}

/* The i-th message since; "" when there is none. */
static inline const char *msg(const struct rig *r, unsigned i)
{
	return i < r->n ? buf_cstr(&r->sent[i].json) : "";
}

/* The only message since, when it has all of the parts; a part that begins with '!' must not be
 * there. */
static inline bool says(const struct rig *r, const char *const *parts)
{
	if (r->n != 1) {
		printf("# %u messages\n", r->n);
		return false;
	}
	for (; *parts; parts++) {
		bool absent = (*parts)[0] == '!';

		if ((strstr(msg(r, 0), *parts + absent) != NULL) == absent) {
			printf("# part %s in %s\n", *parts, msg(r, 0));
			return false;
		}
	}
	return true;
}
#define SAYS(r, ...) says((r), (const char *const[]){__VA_ARGS__, NULL})

/* Runs the loop for that long. */
static void rig_on_due(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static inline void rig_wait(struct rig *r, uint64_t ms)
{
	struct loop_timer t = {.on_due = rig_on_due, .arg = &r->loop};

	loop_timer_set(&r->loop, &t, ms);
	r->loop.stopped = false;
	loop_run(&r->loop, NULL);
}

#endif
