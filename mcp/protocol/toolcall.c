/* toolcall.c: tools/call from its arguments to its answer.
 *
 * Theory of operation. on_done ends the request, perhaps from within start; then the memory must
 * outlive start (`starting`), and on_call_done only marks it. Progress goes out every progress_ms,
 * and when output grew and a quarter of that has passed; its timer dies with the request or with
 * its cancellation, so none can follow the answer. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>

/* {code, cause, remediation} as text: structuredContent would have to match outputSchema. */
static void write_error_text(struct jw *w, const struct err *e)
{
	AUTO_BUF text = {0};
	struct jw inner;

	buf_init(&text, 8 * sizeof(*e));
	jw_init(&inner, &text);
	jw_obj(&inner);
	jw_kstr(&inner, "code", sv_of(err_code_name(e->code)));
	jw_kstr(&inner, "cause", sv_of(e->cause));
	jw_kstr(&inner, "remediation", sv_of(err_remediation(e)));
	jw_obj_end(&inner);
	if (text.failed)
		w->b->failed = true;
	jw_kstr(w, "text", buf_view(&text));
}

static void send_answer(struct proto *p, struct sv id, const struct proto_revision *rev,
			const struct tool_answer *a)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_OUT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "content");
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "type", SV("text"));
	if (a->err)
		write_error_text(&w, a->err);
	else
		jw_kstr(&w, "text", a->text);
	jw_obj_end(&w);
	jw_arr_end(&w);
	if (a->err)
		jw_kbool(&w, "isError", true);
	else if (rev->structured && a->structured_json.n)
		jw_kraw(&w, "structuredContent", a->structured_json);
	proto_write_result_meta(&w, rev);
	jw_obj_end(&w);
	proto_send_result(p, id, &b);
}

/* --- progress --------------------------------------------------------------------------------- */

static void report(struct proto_request *r, struct sv message)
{
	uint64_t now = loop_now_us(), ms = (now - r->started_us) / 1000;
	char text[96];
	AUTO_BUF params = {0};
	AUTO_BUF b = {0};
	struct jw w;

	/* milliseconds so far; whatever the clock says, each is more than the one before */
	r->progress = ms > r->progress ? ms : r->progress + 1;
	r->reported_us = now;
	if (!message.n) {
		snprintf(text, sizeof(text),
			 "running for %" PRIu64 " s, %" PRIu64
			 " bytes of output so far",
			 ms / 1000, r->bytes_out);
		message = sv_of(text);
	}
	buf_init(&params, 4 * RPC_MAX_ID_BYTES);
	buf_init(&b, 5 * RPC_MAX_ID_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	jw_kraw(&w, "progressToken", buf_view(&r->token));
	jw_kint(&w, "progress", (int64_t)r->progress);
	if (r->rev->progress_message)
		jw_kstr(&w, "message", message);
	jw_obj_end(&w);
	rpc_write_notification(&b, "notifications/progress", buf_view(&params));
	proto_send(r->p, &b);
	loop_timer_set(r->p->o.loop, &r->tick, r->p->o.progress_ms);
}

static void on_tick_due(struct loop_timer *t)
{
	report(t->arg, (struct sv){0});
}

static void on_call_progress(struct tool_call *call, uint64_t bytes_out,
			     struct sv message)
{
	struct proto_request *r = call->owner;
	bool grew = bytes_out > r->bytes_out;

	r->bytes_out = bytes_out;
	if (r->cancelled || r->done || !r->token.n || !(grew || message.n))
		return;
	if (loop_now_us() - r->reported_us >= (uint64_t)r->p->o.progress_ms * 250)
		report(r, message);
}

static void start_progress(struct proto_request *r, const struct proto_ctx *c)
{
	const struct cJSON *token = js_get(c->meta, "progressToken");

	r->started_us = r->reported_us = loop_now_us();
	r->tick = (struct loop_timer){.on_due = on_tick_due, .arg = r};
	if (!token || rpc_scalar_text(c->m, token, &r->token)) {
		buf_reset(&r->token);
		return;
	}
	loop_timer_set(r->p->o.loop, &r->tick, r->p->o.progress_ms);
}

/* --- start, end, cancel ----------------------------------------------------------------------- */

static void on_call_done(struct tool_call *call, const struct tool_answer *a)
{
	struct proto_request *r = call->owner;

	must(!r->done);
	r->done = true;
	loop_timer_stop(r->p->o.loop, &r->tick);
	if (!r->cancelled)
		send_answer(r->p, buf_view(&r->id), r->rev, a);
	if (!r->starting)
		proto_request_end(r);
}

void proto_call_cancel(struct proto_request *r)
{
	loop_timer_stop(r->p->o.loop, &r->tick);
	if (r->call.tool->cancel && !r->done)
		r->call.tool->cancel(&r->call);
}

static void start_call(const struct proto_ctx *c, const struct proto_tool *t,
		       const struct cJSON *args)
{
	struct proto_request *r = proto_request_new(c, PROTO_CALL);
	struct err e = {0};

	if (!r)
		return;
	r->call = (struct tool_call){
		.tool = t->tool,
		.env = c->p->o.env,
		.args = args,
		.on_done = on_call_done,
		.on_progress = on_call_progress,
		.owner = r,
	};
	start_progress(r, c);
	r->starting = true;
	if (t->tool->start(&r->call, &e) && !r->done)
		on_call_done(&r->call, &(struct tool_answer){.err = &e});
	r->starting = false;
	r->call.args = NULL;
	if (r->done)
		proto_request_end(r);
}

static void answer_error(const struct proto_ctx *c, const struct err *e)
{
	send_answer(c->p, c->m->id, c->rev, &(struct tool_answer){.err = e});
}

static void refuse_tool(const struct proto_ctx *c, const struct cJSON *name)
{
	struct err e = {0};
	char names[256];

	proto_catalog_names(&c->p->catalog, names, sizeof(names));
	if (js_is_str(name))
		err_set(&e, ERR_NOT_FOUND, "Unknown tool: %.*s",
			PROTO_QUOTE(js_str(name)));
	else
		err_set(&e, ERR_INVALID, "Invalid params: name must be a string");
	err_fix(&e, "the tools are: %s", names);
	proto_send_error(c->p, c->m->id, RPC_INVALID_PARAMS, &e, (struct sv){0});
}

/* Checks args against the tool's schema and coerces them in place. */
static int check_args(const struct proto_tool *t, struct cJSON *args, struct err *e)
{
	struct err why = {0};

	if (!args)
		return err_set(e, ERR_LIMIT, "no memory for the arguments");
	if (!rpc_schema_check(t->input, args, true, &why))
		return 0;
	if (cJSON_IsObject(args)) {
		*e = why;
		return -1;
	}
	err_set(e, ERR_INVALID, "arguments: %s", why.cause);
	return err_fix(e, "send arguments as a JSON object");
}

void proto_on_tools_call(const struct proto_ctx *c)
{
	const struct cJSON *name = js_get(c->m->params, "name");
	const struct proto_tool *t = proto_catalog_find(&c->p->catalog, js_str(name));
	struct cJSON *params = cJSON_GetObjectItemCaseSensitive(c->m->owned, "params");
	struct cJSON *args = cJSON_GetObjectItemCaseSensitive(params, "arguments");
	struct cJSON *none = NULL;
	struct err e = {0};

	if (!t) {
		refuse_tool(c, name);
		return;
	}
	if (c->p->calls >= c->p->o.max_in_flight) {
		err_set(&e, ERR_BUSY,
			"%u calls are running, as many as this server takes at once",
			c->p->calls);
		err_fix(&e, "wait until one of them has ended, then call %s again",
			t->tool->name);
		answer_error(c, &e);
		return;
	}
	/* not added to the tree: the raw progress token is found by its place there */
	if (!args || cJSON_IsNull(args))
		args = none = cJSON_CreateObject();
	if (check_args(t, args, &e))
		answer_error(c, &e);
	else
		start_call(c, t, args);
	cJSON_Delete(none);
}
