/* begin.c: tools/call and prompts/get up to the start: what is asked for, with what, and whether
 * there is room.
 *
 * Arguments a tool does not take are a result with isError, so that the model sees them and can
 * do better (SEP-1303); what is wrong with a prompt's is an error of the protocol. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

static void refuse_params(const struct proto_ctx *c, const struct err *e)
{
	proto_fail(c, RPC_INVALID_PARAMS, e, (struct sv){0});
}

static void refuse_name(const struct proto_ctx *c, const char *what,
			const struct cJSON *name, const char *names)
{
	struct err e = {0};

	if (js_is_str(name))
		err_set(&e, ERR_NOT_FOUND, "Unknown %s: %.*s", what,
			PROTO_QUOTE(js_str(name)));
	else
		err_set(&e, ERR_INVALID, "Invalid params: name must be a string");
	err_fix(&e, "the %ss are: %s", what, names);
	refuse_params(c, &e);
}

/* --- room -------------------------------------------------------------------------------------- */

static int check_room(const struct proto_ctx *c, const char *name, struct err *e)
{
	if (c->s->draining) {
		err_set(e, ERR_BUSY, "the server is about to end");
		return err_fix(e, "call %s again in a moment, on a new connection",
			       name);
	}
	if (c->p->calls < c->s->o.max_in_flight &&
	    proto_account_has(c->s, c->p->account, PROTO_USE_CALLS, 1))
		return 0;
	err_set(e, ERR_BUSY,
		"%llu calls are running, as many as this server takes at once",
		c->p->calls < c->s->o.max_in_flight
			? (unsigned long long)c->s->use[PROTO_USE_CALLS]
			: c->p->calls);
	return err_fix(e, "wait until one of them has ended, then call %s again", name);
}

/* --- the call ---------------------------------------------------------------------------------- */

/* Whether it may have to start again with the same arguments, without a new request. */
static bool may_start_again(const struct proto_call *call, const struct proto_ctx *c)
{
	const unsigned asks = PROTO_CAN_ELICIT | PROTO_CAN_ELICIT_URL |
			      PROTO_CAN_SAMPLE | PROTO_CAN_ROOTS;

	if (call->caps & asks)
		return true;
	return call->item->tool && call->item->tool->task != TOOL_TASK_NEVER &&
	       ((call->caps & PROTO_CAN_TASKS) || js_get(c->m->params, "task"));
}

/* Moves args out of the message's tree; nothing may look for raw text in that any more. */
static void take_args(struct proto_call *call, const struct proto_ctx *c,
		      struct cJSON *args)
{
	struct cJSON *params = cJSON_GetObjectItemCaseSensitive(c->m->owned, "params");
	struct cJSON *in_tree = cJSON_GetObjectItemCaseSensitive(params, "arguments");

	call->args = args == in_tree ? cJSON_DetachItemViaPointer(params, args) : args;
	if (!may_start_again(call, c) ||
	    !proto_account_has(c->s, c->p->account, PROTO_USE_KEPT, c->m->source.n))
		return;
	call->kept_bytes = c->m->source.n;
	proto_account_add(c->s, c->p->account, PROTO_USE_KEPT, call->kept_bytes);
}

/* Everything about the request was found good. args may be in the message's tree, or is taken. */
static void begin(struct proto_ctx *c, const struct proto_item *item,
		  struct cJSON *args)
{
	const struct cJSON *inputs =
		c->era == PROTO_MODERN ? js_get(c->m->params, "inputResponses") : NULL;
	struct proto_call *call = NULL;
	unsigned round = 0;
	bool of_tree = args == js_get(c->m->params, "arguments");
	AUTO_BUF state = {0};

	buf_init(&state, PROTO_MAX_STATE_BYTES);
	if (!proto_ask_resume(c, item, args, &round, &state))
		call = proto_call_new(c, item);
	if (!call) {
		if (!of_tree)
			cJSON_Delete(args);
		return;
	}
	call->inputs = proto_inputs_read(inputs);
	call->round = round;
	buf_sv(&call->ask_state, buf_view(&state));
	take_args(call, c, args);
	if (item->tool && proto_tasks_begin(c, call)) {
		struct proto_request *r = call->request;

		/* it was refused: the request has its answer */
		if (r)
			proto_request_cancel(r, true);
		return;
	}
	proto_call_start(call);
}

/* The arguments member, or an empty object that is the caller's. */
static struct cJSON *args_of(const struct proto_ctx *c)
{
	struct cJSON *params = cJSON_GetObjectItemCaseSensitive(c->m->owned, "params");
	struct cJSON *args = cJSON_GetObjectItemCaseSensitive(params, "arguments");

	return args && !cJSON_IsNull(args) ? args : cJSON_CreateObject();
}

static void drop_args(const struct proto_ctx *c, struct cJSON *args)
{
	if (args != js_get(c->m->params, "arguments"))
		cJSON_Delete(args);
}

/* --- tools/call -------------------------------------------------------------------------------- */

/* Checks args against the tool's schema and coerces them in place. */
static int check_args(const struct proto_item *t, struct cJSON *args, struct err *e)
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

/* A client that cannot answer what the tool must ask. */
static int check_needs(const struct proto_ctx *c, const struct proto_item *t)
{
	unsigned bit = t->tool->needs ? proto_cap_bit(sv_of(t->tool->needs)) : 0;
	struct err e = {0};
	AUTO_BUF extra = {0};

	if (!bit || (c->caps & bit))
		return 0;
	buf_init(&extra, 256);
	proto_cap_missing(&extra, bit, &e);
	if (c->era == PROTO_MODERN)
		proto_fail(c, RPC_MISSING_CAPABILITY, &e, buf_view(&extra));
	else
		proto_answer_refuse(c, &e);
	return -1;
}

static void call_tool(struct proto_ctx *c, const struct proto_item *t)
{
	struct cJSON *args;
	struct err e = {0};

	if (proto_check_param_headers(c->in, t, js_get(c->m->params, "arguments"),
				      &e)) {
		proto_fail(c, RPC_HEADER_MISMATCH, &e, (struct sv){0});
		return;
	}
	if (check_room(c, t->tool->name, &e)) {
		proto_answer_refuse(c, &e);
		return;
	}
	args = args_of(c);
	if (check_args(t, args, &e)) {
		proto_answer_refuse(c, &e);
		drop_args(c, args);
		return;
	}
	begin(c, t, args);
}

void proto_on_tools_call(struct proto_ctx *c)
{
	const struct cJSON *name = js_get(c->m->params, "name");
	const struct proto_item *t = proto_catalog_tool(&c->s->catalog, js_str(name));
	char names[256];

	if (!t) {
		proto_catalog_names(c->s->catalog.tools, c->s->catalog.ntools, names,
				    sizeof(names));
		refuse_name(c, "tool", name, names);
	} else if (!check_needs(c, t)) {
		call_tool(c, t);
	}
}

/* --- prompts/get ------------------------------------------------------------------------------- */

/* An object of strings that has all that are required. */
static int check_prompt_args(const struct proto_item *t, const struct cJSON *args,
			     struct err *e)
{
	const struct cJSON *a;

	if (!cJSON_IsObject(args)) {
		err_set(e, ERR_INVALID, "Invalid params: arguments must be an object");
		return err_fix(e, "send arguments as an object of strings");
	}
	cJSON_ArrayForEach(a, args)
	{
		if (js_is_str(a))
			continue;
		err_set(e, ERR_INVALID,
			"Invalid params: the argument %.*s must be a string",
			PROTO_QUOTE(js_name(a)));
		return err_fix(e, "the arguments of a prompt are strings");
	}
	cJSON_ArrayForEach(a, js_get(t->doc, "arguments"))
	{
		const char *name = js_get(a, "name")->valuestring;

		if (!js_is_true(js_get(a, "required")) || js_get(args, name))
			continue;
		err_set(e, ERR_INVALID,
			"Invalid params: prompt %s needs the argument %s",
			t->prompt->name, name);
		return err_fix(e, "add it: a string");
	}
	return 0;
}

static void fill(const struct proto_ctx *c, const struct proto_item *t,
		 const struct cJSON *args)
{
	struct err e = {0};
	AUTO_BUF members = {0};
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&members, PROTO_MAX_RESULT_BYTES);
	buf_init(&b, 2 * PROTO_MAX_RESULT_BYTES);
	if (proto_prompt_fill(t, args, &members, &e)) {
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return;
	}
	jw_init(&w, &b);
	jw_obj(&w);
	jw_raw(&w, buf_view(&members));
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_reply(c, &b);
}

static void get_prompt(struct proto_ctx *c, const struct proto_item *t)
{
	struct cJSON *args = args_of(c);
	struct err e = {0};

	if (!args) {
		err_set(&e, ERR_LIMIT, "no memory for the arguments");
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
	} else if (check_prompt_args(t, args, &e)) {
		refuse_params(c, &e);
	} else if (!t->prompt->start) {
		fill(c, t, args);
	} else if (check_room(c, t->prompt->name, &e)) {
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
	} else {
		begin(c, t, args);
		return;
	}
	drop_args(c, args);
}

void proto_on_prompts_get(struct proto_ctx *c)
{
	const struct cJSON *name = js_get(c->m->params, "name");
	const struct proto_item *t = proto_catalog_prompt(&c->s->catalog, js_str(name));
	char names[256];

	if (t) {
		get_prompt(c, t);
		return;
	}
	proto_catalog_names(c->s->catalog.prompts, c->s->catalog.nprompts, names,
			    sizeof(names));
	refuse_name(c, "prompt", name, names);
}
