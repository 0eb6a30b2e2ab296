/* tasks_follow.c: who hears of a task: modern listeners, legacy clients that wait for the result,
 * and the questions that are put to those while they wait. See tasks.h.
 *
 * Theory of operation. A legacy client is asked on the stream of its tasks/result (2025-11-25,
 * tasks, "Input Required Status"): one question is with one client at a time. When that stream goes,
 * its questions are open again and go to the next tasks/result. */
#include "mcp/protocol/tasks.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>

/* --- the list ---------------------------------------------------------------------------------- */

static struct task_follow *follow(struct proto_task *t, struct proto_request *r)
{
	struct proto_tasks *all = t->server->tasks;
	struct task_follow *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct task_follow){.next = all->follows, .r = r, .task = t};
	all->follows = f;
	return f;
}

static bool follows(const struct proto_request *r, const struct proto_task *t)
{
	const struct task_follow *f = t->server->tasks->follows;

	while (f && (f->r != r || f->task != t))
		f = f->next;
	return f;
}

static unsigned listeners(const struct proto_task *t)
{
	unsigned n = 0;

	for (const struct task_follow *f = t->server->tasks->follows; f; f = f->next)
		n += f->task == t && f->r->kind == PROTO_LISTEN;
	return n;
}

/* Those of t, or of r; one of the two is NULL. */
static void drop(struct proto_tasks *all, const struct proto_task *t,
		 const struct proto_request *r)
{
	for (struct task_follow **at = &all->follows, *f; (f = *at);) {
		if (f->task == t || f->r == r) {
			*at = f->next;
			mem_free(f);
		} else {
			at = &f->next;
		}
	}
}

static void take_questions_back(struct proto_task *t, const struct proto_peer *p)
{
	for (unsigned i = 0; i < t->nasks; i++)
		if (t->asks[i].peer == p) {
			t->asks[i].peer = NULL;
			t->asks[i].id = 0;
		}
}

/* --- waiting ----------------------------------------------------------------------------------- */

static void write_question(struct buf *ret, const struct proto_task *t,
			   const struct task_ask *ask)
{
	const struct cJSON *m;
	struct cJSON *params = rpc_json_parse(buf_view(&ask->params), NULL);
	AUTO_BUF text = {0};
	struct jw w;

	jw_init(&w, ret);
	jw_obj(&w);
	cJSON_ArrayForEach(m, params)
	{
		buf_finish(&text);
		buf_init(&text, PROTO_MAX_RESULT_BYTES);
		proto_print(m, &text);
		ret->failed = ret->failed || text.failed;
		jw_kraw(&w, m->string, buf_view(&text));
	}
	task_write_related(&w, t);
	jw_obj_end(&w);
	ret->failed = ret->failed || !params;
	cJSON_Delete(params);
}

static void put_question(const struct proto_task *t, struct task_ask *ask,
			 const struct proto_request *r)
{
	char id[24];
	AUTO_BUF params = {0};
	AUTO_BUF b = {0};

	ask->peer = r->peer;
	ask->id = ++r->peer->next_ask;
	snprintf(id, sizeof(id), "%" PRId64, ask->id);
	buf_init(&params, 2 * PROTO_MAX_RESULT_BYTES);
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	write_question(&params, t, ask);
	if (params.failed)
		return;
	rpc_write_request(&b, sv_of(id), buf_view(&ask->method), buf_view(&params));
	proto_send(r->peer, r->sink, PROTO_REQUEST, &b, 200);
}

static void put_questions(struct proto_task *t, const struct proto_request *r)
{
	for (unsigned i = 0; i < t->nasks; i++)
		if (!t->asks[i].answered && !t->asks[i].peer)
			put_question(t, &t->asks[i], r);
}

static struct task_follow *waiting_for(const struct proto_task *t)
{
	struct task_follow *f = t->server->tasks->follows;

	while (f && (f->task != t || f->r->kind != PROTO_WAIT))
		f = f->next;
	return f;
}

/* To the first on whose stream a question can be put: one that takes a single answer has none. */
static void put_questions_somewhere(struct proto_task *t)
{
	const struct task_follow *f = t->server->tasks->follows;

	while (f && (f->task != t || f->r->kind != PROTO_WAIT || f->r->sink->alone))
		f = f->next;
	if (f)
		put_questions(t, f->r);
}

static void on_wait_cancelled(struct proto_request *r)
{
	struct proto_task *t = ((struct task_follow *)r->waiter)->task;

	take_questions_back(t, r->peer);
	drop(t->server->tasks, NULL, r);
	put_questions_somewhere(t);
}

int task_wait(struct proto_task *t, struct proto_request *r)
{
	struct task_follow *f = follow(t, r);

	if (!f)
		return -1;
	r->waiter = f;
	r->on_cancel = on_wait_cancelled;
	if (t->status == TASK_INPUT_REQUIRED)
		put_questions_somewhere(t);
	return 0;
}

void task_send_result(struct proto_task *t, const struct proto_request *r)
{
	struct err e = {0};
	AUTO_BUF b = {0};
	struct jw w;

	t->read = true;
	if (t->status == TASK_FAILED) {
		proto_request_fail(r, t->rpc_code, &t->err, (struct sv){0});
		return;
	}
	if (t->status == TASK_CANCELLED) {
		err_set(&e, ERR_NOT_FOUND, "The task was cancelled: it has no result");
		proto_request_fail(r, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return;
	}
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	/* all but the last brace; a result has content, so a comma fits */
	buf_add(&b, t->result.p, t->result.n - 1);
	buf_byte(&b, ',');
	jw_init(&w, &b);
	task_write_related(&w, t);
	buf_byte(&b, '}');
	proto_request_reply(r, &b);
}

/* --- telling ----------------------------------------------------------------------------------- */

static void tell_listener(const struct proto_task *t, const struct proto_request *r)
{
	AUTO_BUF params = {0};
	struct jw w;

	buf_init(&params, PROTO_MAX_OUT_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	task_write_detail(&w, t, r->rev);
	jw_key(&w, "_meta");
	jw_obj(&w);
	jw_kraw(&w, PROTO_META_SUBSCRIPTION, buf_view(&r->id));
	jw_obj_end(&w);
	jw_obj_end(&w);
	proto_request_notify(r, "notifications/tasks", &params);
}

/* The legacy session it came from, if that is there still. */
static void tell_session(const struct proto_task *t)
{
	const struct proto_peer *p = t->server->peers;
	AUTO_BUF params = {0};
	AUTO_BUF b = {0};
	struct jw w;

	while (p && p->serial != t->peer_serial)
		p = p->next;
	if (!p || t->rev->era != PROTO_LEGACY || !p->standalone)
		return;
	buf_init(&params, PROTO_MAX_LOG_BYTES);
	buf_init(&b, PROTO_MAX_LOG_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	task_write(&w, t, t->rev);
	jw_obj_end(&w);
	rpc_write_notification(&b, "notifications/tasks/status", buf_view(&params));
	if (!params.failed)
		proto_send(p, p->standalone, PROTO_NOTIFICATION, &b, 200);
}

void task_tell(struct proto_task *t)
{
	struct task_follow *f;

	for (f = t->server->tasks->follows; f; f = f->next)
		if (f->task == t && f->r->kind == PROTO_LISTEN)
			tell_listener(t, f->r);
	tell_session(t);
	if (t->status == TASK_INPUT_REQUIRED)
		put_questions_somewhere(t);
	/* From the start again after each: the end of one may take others along. */
	while (task_ended(t) && (f = waiting_for(t))) {
		struct proto_request *r = f->r;

		r->on_cancel = NULL;
		drop(t->server->tasks, NULL, r);
		task_send_result(t, r);
		proto_request_end(r);
	}
}

void task_unfollow(struct proto_task *t)
{
	drop(t->server->tasks, t, NULL);
}

/* --- subscriptions/listen ---------------------------------------------------------------------- */

void proto_tasks_listen(struct proto_request *r, const struct cJSON *wanted,
			struct jw *w)
{
	const struct cJSON *list = js_get(wanted, "taskIds"), *id;
	unsigned looked_at = 0;

	if (!cJSON_IsArray(list) || !(r->caps & PROTO_CAN_TASKS))
		return;
	jw_key(w, "taskIds");
	jw_arr(w);
	cJSON_ArrayForEach(id, list)
	{
		struct proto_task *t;

		/* finding one takes time, whether it is there or not */
		if (looked_at++ == TASKS_MAX_FOLLOWED)
			break;
		t = task_find(r->peer->server, buf_view(&r->peer->principal),
			      js_str(id));
		if (t && !follows(r, t) && listeners(t) < TASKS_MAX_LISTENERS &&
		    follow(t, r))
			jw_str(w, sv_of(t->id));
	}
	jw_arr_end(w);
}

void proto_tasks_unlisten(struct proto_request *r)
{
	if (r->peer->server->tasks)
		drop(r->peer->server->tasks, NULL, r);
}

/* --- answers of legacy clients ----------------------------------------------------------------- */

static struct task_ask *asked(const struct proto_ctx *c, int64_t id,
			      struct proto_task **ret_task)
{
	for (struct proto_task *t = c->s->tasks->first; t; t = t->next)
		for (unsigned i = 0; i < t->nasks; i++)
			if (t->asks[i].peer == c->p && t->asks[i].id == id &&
			    !t->asks[i].answered) {
				*ret_task = t;
				return &t->asks[i];
			}
	return NULL;
}

void proto_tasks_response(struct proto_ctx *c, int64_t id)
{
	struct sv text = js_str(js_get(js_get(c->m->root, "error"), "message"));
	const struct cJSON *result = js_get(c->m->root, "result");
	struct proto_task *t = NULL;
	struct task_ask *ask = asked(c, id, &t);
	struct err e = {0};

	if (!ask)
		return;
	if (proto_input_valid(result)) {
		task_answer(t, (unsigned)(ask - t->asks), cJSON_Duplicate(result, 1));
		return;
	}
	if (text.n)
		err_set(&e, ERR_INVALID, "the client refused a question: %.*s",
			PROTO_QUOTE(text));
	else
		err_set(&e, ERR_INVALID, "the client's answer to a question is none");
	task_fail(t, RPC_INTERNAL_ERROR, &e);
}
