/* ask_legacy.c: questions to a legacy client: requests of ours, while the call waits.
 *
 * Theory of operation. Each question is a JSON-RPC request with an id of this peer's own count, on
 * the stream of the request it is about (or, over HTTP, nobody would know which). The answers come
 * as responses to the same peer, in any order. When the last one is there the row is started again.
 * An error, a malformed answer or PROTO_ASK_MS of silence ends the call; what is still open then
 * is withdrawn. An id that is none of these (late, made up, another peer's) is ignored. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>

static void withdraw(const struct proto_call *call, int64_t id)
{
	AUTO_BUF params = {0};

	buf_init(&params, 256);
	buf_fmt(&params, "{\"requestId\":%" PRId64 ",\"reason\":\"no longer needed\"}",
		id);
	proto_request_notify(call->request, "notifications/cancelled", &params);
}

void proto_asks_drop(struct proto_call *call)
{
	loop_timer_stop(call->server->o.loop, &call->ask_timer);
	for (unsigned i = 0; i < call->nasks; i++) {
		struct proto_pending *ask = &call->asks[i];

		if (ask->id && call->request)
			withdraw(call, ask->id);
		buf_finish(&ask->key);
		cJSON_Delete(ask->answer);
	}
	mem_free(call->asks);
	call->asks = NULL;
	call->nasks = call->waiting = 0;
}

static void on_ask_due(struct loop_timer *t)
{
	struct proto_call *call = t->arg;
	struct err e = {0};

	err_set(&e, ERR_LIMIT, "a question to the user was not answered within %d s",
		PROTO_ASK_MS / 1000);
	err_fix(&e, "call again when somebody is there to answer");
	proto_call_give_up(call, &e);
}

/* --- putting them ------------------------------------------------------------------------------ */

static int check(const struct proto_call *call, const struct tool_answer *a,
		 struct err *e)
{
	int beyond = proto_asks_check(a, call->caps, e);
	AUTO_BUF unused = {0};

	if (beyond > 0)
		proto_cap_missing(&unused, (unsigned)beyond, e);
	else if (!beyond && call->round >= PROTO_MAX_ROUNDS)
		beyond = err_set(e, ERR_LIMIT, "asked %d times already",
				 PROTO_MAX_ROUNDS);
	else if (!beyond && call->request->sink->alone)
		beyond = err_set(
			e, ERR_DENIED,
			"the user must be asked, and the question has no way to "
			"this client: it takes no event stream");
	else if (!beyond && !call->kept_bytes)
		beyond = err_set(e, ERR_LIMIT, "no room to keep what was called");
	return beyond ? -1 : 0;
}

static int note(struct proto_call *call, const struct tool_answer *a, struct err *e)
{
	buf_reset(&call->ask_state);
	buf_sv(&call->ask_state, a->state);
	call->asks = mem_zalloc(a->nasks * sizeof(*call->asks));
	for (; call->asks && call->nasks < a->nasks; call->nasks++) {
		struct proto_pending *ask = &call->asks[call->nasks];

		buf_init(&ask->key, 256);
		buf_str(&ask->key, a->asks[call->nasks].key);
		if (ask->key.failed)
			break;
	}
	if (call->nasks == a->nasks && !call->ask_state.failed)
		return 0;
	if (call->asks && call->nasks < a->nasks)
		buf_finish(&call->asks[call->nasks].key);
	proto_asks_drop(call);
	return err_set(e, ERR_LIMIT, "no memory for a question to the user");
}

static void put(struct proto_call *call, struct proto_pending *ask,
		const struct tool_ask *what)
{
	const struct proto_request *r = call->request;
	char id[24];
	AUTO_BUF b = {0};

	ask->id = ++r->peer->next_ask;
	snprintf(id, sizeof(id), "%" PRId64, ask->id);
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	rpc_write_request(&b, sv_of(id), sv_of(what->method), what->params_json);
	proto_send(r->peer, r->sink, PROTO_REQUEST, &b, 200);
}

int proto_ask_legacy(struct proto_call *call, const struct tool_answer *a,
		     struct err *e)
{
	if (check(call, a, e) || note(call, a, e))
		return -1;
	call->waiting = call->nasks;
	call->ask_timer = (struct loop_timer){.on_due = on_ask_due, .arg = call};
	loop_timer_set(call->server->o.loop, &call->ask_timer, PROTO_ASK_MS);
	for (unsigned i = 0; i < call->nasks; i++)
		put(call, &call->asks[i], &a->asks[i]);
	return 0;
}

/* --- the answers ------------------------------------------------------------------------------- */

static struct proto_pending *find(const struct proto_peer *p, int64_t id,
				  struct proto_call **ret_call)
{
	for (struct proto_call *call = p->call_list; call; call = call->next)
		for (unsigned i = 0; i < call->nasks; i++)
			if (call->asks[i].id == id) {
				*ret_call = call;
				return &call->asks[i];
			}
	return NULL;
}

static void give_up(struct proto_call *call, const struct cJSON *error)
{
	struct sv text = js_str(js_get(error, "message"));
	struct err e = {0};

	if (error)
		err_set(&e, ERR_INVALID, "the client refused a question: %.*s",
			PROTO_QUOTE(text));
	else
		err_set(&e, ERR_INVALID, "the client's answer to a question is none");
	err_fix(&e, "answer it as the client capability says that was declared");
	proto_call_give_up(call, &e);
}

static void go_on(struct proto_call *call)
{
	struct cJSON *inputs = cJSON_CreateObject();
	struct err e = {0};

	for (unsigned i = 0; inputs && i < call->nasks; i++) {
		struct proto_pending *ask = &call->asks[i];

		if (!cJSON_AddItemToObject(inputs, buf_cstr(&ask->key), ask->answer)) {
			cJSON_Delete(inputs);
			inputs = NULL;
			break;
		}
		ask->answer = NULL;
	}
	if (inputs) {
		proto_asks_drop(call);
		proto_call_restart(call, inputs);
		return;
	}
	err_set(&e, ERR_LIMIT, "no memory for the answer to a question");
	proto_call_give_up(call, &e);
}

void proto_on_response(struct proto_ctx *c)
{
	struct proto_call *call = NULL;
	struct proto_pending *ask = NULL;
	int64_t id = 0;

	if (!js_int(js_get(c->m->root, "id"), &id) && id > 0)
		ask = find(c->p, id, &call);
	if (!ask) {
		proto_tasks_response(c, id);
		return;
	}
	ask->id = 0;
	if (!proto_input_valid(js_get(c->m->root, "result"))) {
		give_up(call, js_get(c->m->root, "error"));
		return;
	}
	ask->answer = cJSON_DetachItemFromObjectCaseSensitive(c->m->owned, "result");
	if (--call->waiting == 0)
		go_on(call);
}
