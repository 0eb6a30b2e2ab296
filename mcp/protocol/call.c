/* call.c: a call from its start to its end: the owner of a tool_call.
 *
 * Theory of operation. See the states in internal.h: a call is RUNNING while the tool holds it, and
 * only then may (and must) proto_call_done come, perhaps from within start or cancel. Within start
 * the memory must outlive the tool's function (`starting`), so that done only marks the end. An
 * answer goes to the call's task if it has one, else to its request, else nowhere: the request was
 * cancelled. A call that asks is with nobody until the answers are there (ASKING). */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

/* --- birth and death --------------------------------------------------------------------------- */

static void release(struct proto_call *call)
{
	buf_finish(&call->credential);
	buf_finish(&call->principal);
	buf_finish(&call->ask_state);
	cJSON_Delete(call->args);
	cJSON_Delete(call->inputs);
	mem_free(call);
}

static struct proto_call *new_call(const struct proto_ctx *c,
				   const struct proto_item *item)
{
	struct proto_call *call = mem_zalloc(sizeof(*call));

	if (!call)
		return NULL;
	buf_init(&call->credential, c->p->credential.n + 1);
	buf_init(&call->principal, c->p->principal.n + 1);
	buf_init(&call->ask_state, PROTO_MAX_STATE_BYTES);
	buf_sv(&call->credential, buf_view(&c->p->credential));
	buf_sv(&call->principal, buf_view(&c->p->principal));
	if (call->credential.failed || call->principal.failed) {
		release(call);
		return NULL;
	}
	call->server = c->s;
	call->item = item;
	call->caps = c->caps;
	call->tool = (struct tool_call){
		.tool = item->tool,
		.prompt = item->prompt,
		.env = proto_peer_env(c->p),
		.promote_ms = c->s->o.promote_ms,
		.hooks = &proto_hooks,
		.owner = call,
		.trace = cJSON_IsTrue(js_get(c->meta, PROTO_META_TRACE)),
	};
	call->tool.env.credential = buf_view(&call->credential);
	call->tool.env.principal = buf_view(&call->principal);
	if (item->tool && item->tool->task != TOOL_TASK_NEVER &&
	    (c->caps & PROTO_CAN_TASKS))
		call->tool.promote_ms = c->s->o.task_ms;
	return call;
}

struct proto_call *proto_call_new(struct proto_ctx *c, const struct proto_item *item)
{
	struct proto_call *call = new_call(c, item);
	struct proto_request *r;
	struct err e = {0};

	if (!call) {
		err_set(&e, ERR_LIMIT, "no memory for another call");
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return NULL;
	}
	r = proto_request_new(c, PROTO_CALL);
	if (!r) {
		release(call);
		return NULL;
	}
	r->call = call;
	call->request = r;
	call->peer = c->p;
	call->next = c->p->call_list;
	if (call->next)
		call->next->prev = call;
	c->p->call_list = call;
	c->p->calls++;
	call->account = proto_account_ref(c->p->account);
	proto_account_add(c->s, call->account, PROTO_USE_CALLS, 1);
	proto_progress_begin(call);
	return call;
}

/* From its peer's list, if it is still in one; gives back that peer. */
static struct proto_peer *leave_peer(struct proto_call *call)
{
	struct proto_peer *p = call->peer;

	if (!p)
		return NULL;
	if (call->prev)
		call->prev->next = call->next;
	else
		p->call_list = call->next;
	if (call->next)
		call->next->prev = call->prev;
	call->prev = call->next = NULL;
	call->peer = NULL;
	p->calls--;
	return p;
}

/* Of a call that no tool holds and no request waits for. */
static void free_call(struct proto_call *call)
{
	struct proto_server *s = call->server;
	struct proto_peer *p = leave_peer(call);

	must(call->state == PROTO_CALL_ENDED && !call->request && !call->starting);
	proto_progress_stop(call);
	proto_asks_drop(call);
	proto_account_sub(s, call->account, PROTO_USE_CALLS, 1);
	proto_account_sub(s, call->account, PROTO_USE_KEPT, call->kept_bytes);
	proto_account_put(s, call->account);
	release(call);
	if (p) {
		/* the server goes after its peers, so it is still there */
		proto_peer_settle(p);
		return;
	}
	proto_server_settle(s);
}

struct proto_request *proto_call_detach(struct proto_call *call)
{
	struct proto_request *r = call->request;

	proto_progress_stop(call);
	call->request = NULL;
	if (r)
		r->call = NULL;
	leave_peer(call);
	return r;
}

/* --- the end ----------------------------------------------------------------------------------- */

/* Ends the request, whose answer was sent, and the call. */
static void end(struct proto_call *call)
{
	struct proto_request *r = call->request;

	call->state = PROTO_CALL_ENDED;
	call->request = NULL;
	if (r) {
		r->call = NULL;
		proto_request_end(r);
	}
	if (!call->starting)
		free_call(call);
}

/* True when the call has to wait for answers. */
static bool ask(struct proto_call *call, const struct tool_answer *a)
{
	struct err e = {0};

	if (call->request->rev->era == PROTO_MODERN) {
		proto_ask_modern(call, a);
		return false;
	}
	call->state = PROTO_CALL_ASKING;
	if (!proto_ask_legacy(call, a, &e))
		return true;
	proto_answer_send(call, &(struct tool_answer){.err = &e});
	return false;
}

void proto_call_done(struct tool_call *tool, const struct tool_answer *a)
{
	struct proto_call *call = tool->owner;
	enum proto_task_verdict verdict = PROTO_TASK_NOT;

	must(call->state == PROTO_CALL_RUNNING);
	call->state = PROTO_CALL_ENDED;
	if (call->task || (call->request && a->running))
		verdict = proto_tasks_done(call, a);
	if (verdict == PROTO_TASK_KEEP) {
		call->state = PROTO_CALL_ASKING;
		return;
	}
	if (verdict == PROTO_TASK_NOT && call->request) {
		if (a->nasks && ask(call, a))
			return;
		proto_progress_stop(call);
		if (!a->nasks)
			proto_answer_send(call, a);
	}
	end(call);
}

void proto_call_give_up(struct proto_call *call, const struct err *e)
{
	must(call->state == PROTO_CALL_ASKING);
	proto_asks_drop(call);
	proto_progress_stop(call);
	if (call->request)
		proto_answer_send(call, &(struct tool_answer){.err = e});
	end(call);
}

void proto_call_cancel(struct proto_call *call)
{
	proto_progress_stop(call);
	proto_asks_drop(call);
	if (call->state == PROTO_CALL_RUNNING) {
		if (!call->cancelled && call->tool.tool && call->tool.tool->cancel) {
			call->cancelled = true;
			call->tool.tool->cancel(&call->tool);
		}
		return;
	}
	call->state = PROTO_CALL_ENDED;
	if (!call->starting)
		free_call(call);
}

/* --- the start --------------------------------------------------------------------------------- */

static void forget_args(struct proto_call *call)
{
	cJSON_Delete(call->args);
	call->args = NULL;
}

void proto_call_start(struct proto_call *call)
{
	struct tool_call *t = &call->tool;
	struct err e = {0};
	int bad;

	must(call->state != PROTO_CALL_RUNNING && call->args);
	call->state = PROTO_CALL_RUNNING;
	call->starting = true;
	t->args = call->args;
	t->inputs = call->inputs;
	t->ask_state = buf_view(&call->ask_state);
	t->state = NULL;
	bad = t->tool ? t->tool->start(t, &e) : t->prompt->start(t, &e);
	if (bad && call->state == PROTO_CALL_RUNNING)
		proto_call_done(t, &(struct tool_answer){.err = &e});
	call->starting = false;
	t->args = t->inputs = NULL;
	t->ask_state = (struct sv){0};
	cJSON_Delete(call->inputs);
	call->inputs = NULL;
	if (call->state == PROTO_CALL_ENDED) {
		free_call(call);
		return;
	}
	if (!call->kept_bytes)
		forget_args(call);
	/* only now: what answers at once needs no stream */
	if (call->request && call->request->token.n && call->request->sink->open)
		call->request->sink->open(call->request->sink);
}

void proto_call_restart(struct proto_call *call, struct cJSON *inputs)
{
	must(call->state == PROTO_CALL_ASKING && call->args && !call->inputs);
	call->inputs = inputs;
	call->round++;
	proto_call_start(call);
}
