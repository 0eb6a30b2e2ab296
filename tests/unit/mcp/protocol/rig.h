/* rig.h: a connection with tools of its own, for the tests of mcp/protocol.
 *
 * echo answers within start; slow answers when the test says so (slow_end) or, with slow_obeys,
 * from within its cancel; stuck is slow without a cancel; broken fails to start. */
#ifndef TESTS_PROTOCOL_RIG_H
#define TESTS_PROTOCOL_RIG_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "mcp/protocol/protocol.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

#define MAX_SENT 256
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

struct rig {
	struct loop loop;
	struct proto *p;
	struct buf sent[MAX_SENT];
	unsigned n;		/* messages sent since the last clear */
	unsigned idle;
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
	call->on_done(call, &(struct tool_answer){.structured_json = buf_view(&b), .text = text});
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
	call->on_done(call, &(struct tool_answer){.structured_json = SV("{\"text\":\"slept\"}"),
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
	call->on_done(call, &(struct tool_answer){.err = &e});
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

static void rig_on_send(void *arg, struct sv message)
{
	struct rig *r = arg;

	must(r->n < MAX_SENT);
	must(sv_find(message, '\n') < 0);
	buf_sv(&r->sent[r->n], message);
	r->n++;
}

static inline void rig_on_idle(void *arg)
{
	struct rig *r = arg;

	r->idle++;
}

static inline void rig_open(struct rig *r)
{
	struct err e = {0};

	*r = (struct rig){0};
	memset(&seen, 0, sizeof(seen));
	must(!loop_init(&r->loop, &e));
	for (size_t i = 0; i < MAX_SENT; i++)
		buf_init(&r->sent[i], (size_t)1 << 20);
	r->p = proto_new(&(struct proto_opts){.loop = &r->loop,
					      .tools = rig_tools,
					      .tools_count = ARRAY_LEN(rig_tools),
					      .schema = rig_schema,
					      .send = rig_on_send,
					      .arg = r,
					      .max_in_flight = 3,
					      .progress_ms = RIG_PROGRESS_MS},
			 &e);
	if (!r->p)
		printf("# %s\n", e.cause);
	must(r->p);
}

static inline void rig_clear(struct rig *r)
{
	for (unsigned i = 0; i < r->n; i++)
		buf_reset(&r->sent[i]);
	r->n = 0;
}

static inline void rig_close(struct rig *r)
{
	proto_free(r->p);
	for (unsigned i = 0; i < MAX_SLOW; i++)
		if (seen.slow[i])
			slow_end(i);
	for (size_t i = 0; i < MAX_SENT; i++)
		buf_finish(&r->sent[i]);
	loop_finish(&r->loop);
}

/* Sends one message; what came out of it is in r->sent, older messages are forgotten. */
static inline void say(struct rig *r, const char *json)
{
	rig_clear(r);
	proto_on_message(r->p, sv_of(json));
}

/* The i-th message since; "" when there is none. */
static inline const char *msg(const struct rig *r, unsigned i)
{
	return i < r->n ? buf_cstr(&r->sent[i]) : "";
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
