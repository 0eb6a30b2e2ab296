/* hooks.c: what a call may do while it runs: progress, log messages, a look at the client.
 *
 * Theory of operation. Progress goes out every progress_ms, and when output grew and a quarter of
 * that has passed; its timer stops with the request's end, so none can follow the answer. A tool
 * that counts by itself (progress_at) silences the timer. All values of one request rise: a client
 * may drop the connection over one that does not. Nothing is said about a call without a request. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <inttypes.h>

#define FREE_REPORTS 1000 /* of a tool's own; past that one in every progress_ms */

/* RFC 5424 severities, in the order of enum tool_log_level */
static const char *const log_levels[] = {"debug", "info",     "notice", "warning",
					 "error", "critical", "alert",	"emergency"};
_Static_assert(ARRAY_LEN(log_levels) == TOOL_EMERGENCY + 1, "a name for each level");

int proto_log_level(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(log_levels); i++)
		if (sv_eq(name, sv_of(log_levels[i])))
			return (int)i;
	return -1;
}

/* --- progress ---------------------------------------------------------------------------------- */

struct report {
	uint64_t progress, total; /* total 0: unknown */
	struct sv message;
};

static void send_report(struct proto_call *call, const struct report *p)
{
	const struct proto_request *r = call->request;
	AUTO_BUF params = {0};
	struct jw w;

	call->reported = true;
	call->progress = p->progress;
	call->reported_us = loop_now_us();
	buf_init(&params, PROTO_MAX_LOG_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	jw_kraw(&w, "progressToken", buf_view(&r->token));
	jw_kint(&w, "progress", (int64_t)p->progress);
	if (p->total)
		jw_kint(&w, "total", (int64_t)p->total);
	if (r->rev->progress_message && p->message.n)
		jw_kstr(&w, "message", p->message);
	jw_obj_end(&w);
	proto_request_notify(r, "notifications/progress", &params);
}

/* Milliseconds so far; whatever the clock says, each is more than the one before. */
static void report_time(struct proto_call *call, struct sv message)
{
	uint64_t ms = (loop_now_us() - call->started_us) / 1000;
	char text[96];

	if (!message.n && call->state == PROTO_CALL_ASKING)
		message = SV("waiting for the answer to a question");
	if (!message.n) {
		snprintf(text, sizeof(text),
			 "running for %" PRIu64 " s, %" PRIu64
			 " bytes of output so far",
			 ms / 1000, call->bytes_out);
		message = sv_of(text);
	}
	send_report(call, &(struct report){.progress = ms > call->progress
							       ? ms
							       : call->progress + 1,
					   .message = message});
	loop_timer_set(call->server->o.loop, &call->tick, call->server->o.progress_ms);
}

static void on_tick_due(struct loop_timer *t)
{
	report_time(t->arg, (struct sv){0});
}

void proto_progress_begin(struct proto_call *call)
{
	call->started_us = call->reported_us = loop_now_us();
	call->tick = (struct loop_timer){.on_due = on_tick_due, .arg = call};
	if (call->request->token.n)
		loop_timer_set(call->server->o.loop, &call->tick,
			       call->server->o.progress_ms);
}

void proto_progress_stop(struct proto_call *call)
{
	loop_timer_stop(call->server->o.loop, &call->tick);
}

static bool wants_progress(const struct proto_call *call)
{
	return call->state == PROTO_CALL_RUNNING && call->request &&
	       call->request->token.n;
}

static bool has_passed(const struct proto_call *call, uint64_t ms)
{
	return loop_now_us() - call->reported_us >= ms * 1000;
}

static void on_progress(struct tool_call *tool, uint64_t bytes_out, struct sv message)
{
	struct proto_call *call = tool->owner;
	bool grew = bytes_out > call->bytes_out;

	call->bytes_out = bytes_out;
	if (wants_progress(call) && !call->own_numbers && (grew || message.n) &&
	    has_passed(call, call->server->o.progress_ms / 4))
		report_time(call, message);
}

static void on_progress_at(struct tool_call *tool, uint64_t progress, uint64_t total,
			   struct sv message)
{
	struct proto_call *call = tool->owner;

	if (!wants_progress(call) || (call->reported && progress <= call->progress))
		return;
	call->own_numbers = true;
	proto_progress_stop(call);
	if (call->reports < FREE_REPORTS)
		call->reports++;
	else if (!has_passed(call, call->server->o.progress_ms))
		return;
	send_report(call, &(struct report){progress, total, message});
}

/* --- log --------------------------------------------------------------------------------------- */

static bool wants_log(const struct proto_call *call, enum tool_log_level level)
{
	const struct proto_request *r = call->request;
	int least;

	if (call->state != PROTO_CALL_RUNNING || !r || call->logs >= PROTO_MAX_LOGS)
		return false;
	least = r->rev->era == PROTO_MODERN ? r->log_level : r->peer->log_level;
	return least >= 0 && (int)level >= least;
}

static void on_log(struct tool_call *tool, enum tool_log_level level,
		   const char *logger, struct sv data_json)
{
	struct proto_call *call = tool->owner;
	AUTO_BUF params = {0};
	struct jw w;

	must((size_t)level < ARRAY_LEN(log_levels));
	if (!wants_log(call, level))
		return;
	call->logs++;
	buf_init(&params, 2 * (size_t)PROTO_MAX_LOG_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	jw_kstr(&w, "level", sv_of(log_levels[level]));
	if (logger)
		jw_kstr(&w, "logger", sv_of(logger));
	if (data_json.n <= PROTO_MAX_LOG_BYTES)
		jw_kraw(&w, "data", data_json);
	else
		jw_kstr(&w, "data", SV("(a message too long to be sent)"));
	jw_obj_end(&w);
	proto_request_notify(call->request, "notifications/message", &params);
}

/* --- the client -------------------------------------------------------------------------------- */

static bool on_client_can(const struct tool_call *tool, const char *capability)
{
	const struct proto_call *call = tool->owner;

	return (call->caps & proto_cap_bit(sv_of(capability))) != 0;
}

static void on_drop_stream(struct tool_call *tool)
{
	const struct proto_call *call = tool->owner;
	const struct proto_request *r = call->request;

	if (r && r->sink->drop)
		r->sink->drop(r->sink);
}

const struct tool_hooks proto_hooks = {
	.done = proto_call_done,
	.progress = on_progress,
	.progress_at = on_progress_at,
	.log = on_log,
	.client_can = on_client_can,
	.drop_stream = on_drop_stream,
};
