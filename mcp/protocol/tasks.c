/* tasks.c: calls that outlive their request: the registry and its states. See tasks.h. */
#include "mcp/protocol/tasks.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <sodium.h>

/* --- the registry ------------------------------------------------------------------------------ */

bool task_ended(const struct proto_task *t)
{
	return t->status >= TASK_COMPLETED;
}

static bool is_mine(const struct proto_task *t, struct sv principal)
{
	return sv_eq(buf_view(&t->principal), principal);
}

/* Every entry is looked at in full, so that the time tells nothing. */
struct proto_task *task_find(const struct proto_server *s, struct sv principal,
			     struct sv id)
{
	struct proto_task *found = NULL;

	if (id.n != TASKS_ID_SIZE - 1)
		return NULL;
	for (struct proto_task *t = s->tasks->first; t; t = t->next)
		if (!sodium_memcmp(t->id, id.p, id.n) && is_mine(t, principal) &&
		    t->status != TASK_PENDING)
			found = t;
	return found;
}

static void drop_asks(struct proto_task *t)
{
	for (unsigned i = 0; i < t->nasks; i++) {
		buf_finish(&t->asks[i].key);
		buf_finish(&t->asks[i].wire);
		buf_finish(&t->asks[i].method);
		buf_finish(&t->asks[i].params);
	}
	mem_free(t->asks);
	cJSON_Delete(t->inputs);
	t->asks = NULL;
	t->inputs = NULL;
	t->nasks = t->waiting = 0;
}

static void unlink_task(struct proto_task *t)
{
	struct proto_tasks *all = t->server->tasks;

	*(t->prev ? &t->prev->next : &all->first) = t->next;
	*(t->next ? &t->next->prev : &all->last) = t->prev;
}

static void forget(struct proto_task *t)
{
	must(!t->call);
	task_unfollow(t);
	loop_timer_stop(t->server->o.loop, &t->timer);
	unlink_task(t);
	drop_asks(t);
	buf_finish(&t->principal);
	buf_finish(&t->result);
	mem_free(t);
}

/* --- room -------------------------------------------------------------------------------------- */

struct usage {
	unsigned all, mine, mine_running;
	size_t all_bytes, mine_bytes;
};

static struct usage usage_of(const struct proto_server *s, struct sv principal)
{
	struct usage u = {0};

	for (const struct proto_task *t = s->tasks->first; t; t = t->next) {
		bool mine = is_mine(t, principal);

		u.all++;
		u.all_bytes += t->result.n;
		u.mine += mine;
		u.mine_bytes += mine ? t->result.n : 0;
		u.mine_running += mine && t->call && t->status != TASK_PENDING;
	}
	return u;
}

/* The oldest ended one whose end was seen: of the principal, or of anybody. */
static struct proto_task *spare(const struct proto_server *s, struct sv principal,
				bool others)
{
	for (struct proto_task *t = s->tasks->first; t; t = t->next)
		if (task_ended(t) && t->read && (others || is_mine(t, principal)))
			return t;
	return NULL;
}

/* Whether `more` tasks and the results there are find room; makes it where it may. */
static bool make_room(const struct proto_server *s, struct sv principal, unsigned more)
{
	for (;;) {
		struct usage u = usage_of(s, principal);
		bool each = u.mine + more > TASKS_MAX_EACH ||
			    u.mine_bytes > TASKS_MAX_BYTES_EACH;
		bool all = u.all + more > TASKS_MAX || u.all_bytes > TASKS_MAX_BYTES;
		struct proto_task *t;

		if (!each && !all)
			return true;
		t = spare(s, principal, !each);
		if (!t)
			return false;
		forget(t);
	}
}

/* --- states ------------------------------------------------------------------------------------ */

static uint64_t age_ms(const struct proto_task *t)
{
	return (loop_now_us() - t->born_us) / 1000;
}

/* The last thing done to t by its callers: telling may end requests, not tasks. */
static void set_status(struct proto_task *t, enum task_status status,
		       const char *message)
{
	struct loop *loop = t->server->o.loop;
	uint64_t age = age_ms(t);

	t->status = status;
	t->message = message;
	t->updated_us = loop_wall_us();
	loop_timer_stop(loop, &t->timer);
	if (status == TASK_INPUT_REQUIRED)
		loop_timer_set(loop, &t->timer, PROTO_ASK_MS);
	if (task_ended(t)) {
		drop_asks(t);
		if (t->rev->era == PROTO_MODERN)
			t->ttl_ms = age + TASKS_KEEP_MS;
		else if (t->ttl_ms < age + TASKS_MIN_KEEP_MS)
			t->ttl_ms = age + TASKS_MIN_KEEP_MS;
		loop_timer_set(loop, &t->timer, t->ttl_ms - age);
	}
	task_tell(t);
}

static struct proto_call *let_go(struct proto_task *t)
{
	struct proto_call *call = t->call;

	t->call = NULL;
	if (call)
		call->task = NULL;
	return call;
}

void task_stop(struct proto_task *t, const char *message)
{
	struct proto_call *call = let_go(t);

	set_status(t, TASK_CANCELLED, message);
	if (call)
		proto_call_cancel(call);
}

/* The call is not asked to end: it has, or the caller sees to it. */
static void set_failed(struct proto_task *t, int rpc_code, const struct err *e)
{
	t->err = *e;
	t->rpc_code = rpc_code;
	set_status(t, TASK_FAILED, t->err.cause);
}

void task_fail(struct proto_task *t, int rpc_code, const struct err *e)
{
	struct proto_call *call = let_go(t);

	set_failed(t, rpc_code, e);
	if (call)
		proto_call_cancel(call);
}

static void set_completed(struct proto_task *t, const struct proto_call *call,
			  const struct tool_answer *a)
{
	struct err e = {0};
	struct jw w;

	buf_init(&t->result, TASKS_MAX_BYTES_EACH);
	jw_init(&w, &t->result);
	jw_obj(&w);
	proto_answer_members(&w, call, t->rev, a);
	if (t->rev->era == PROTO_MODERN)
		jw_kstr(&w, "resultType", SV("complete"));
	jw_obj_end(&w);
	t->is_error = a->err || a->is_error;
	if (t->result.failed || !make_room(t->server, buf_view(&t->principal), 0)) {
		buf_finish(&t->result);
		err_set(&e, ERR_LIMIT, "there was no room to keep the result");
		err_fix(&e, "fetch results of earlier tasks, or write less");
		set_failed(t, RPC_INTERNAL_ERROR, &e);
		return;
	}
	set_status(t, TASK_COMPLETED,
		   t->is_error ? "The tool reported an error." : NULL);
}

/* --- birth ------------------------------------------------------------------------------------- */

static void reply_created(const struct proto_task *t, const struct proto_request *r)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_LOG_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	if (t->rev->era == PROTO_LEGACY) {
		jw_key(&w, "task");
		jw_obj(&w);
		task_write(&w, t, t->rev);
		jw_obj_end(&w);
	} else {
		task_write(&w, t, t->rev);
		proto_write_result_type(&w, t->rev, "task");
	}
	jw_obj_end(&w);
	proto_request_reply(r, &b);
}

/* The call's request is answered with the task; the peer may be gone after it. */
static void become_task(struct proto_task *t)
{
	struct proto_request *r = proto_call_detach(t->call);

	t->status = TASK_WORKING;
	reply_created(t, r);
	proto_request_end(r);
}

static void on_timer_due(struct loop_timer *timer)
{
	struct proto_task *t = timer->arg;

	if (t->status == TASK_INPUT_REQUIRED) {
		task_stop(t, "A question was not answered in time.");
	} else if (t->status != TASK_PENDING) {
		forget(t);
	} else if (t->call->request) {
		become_task(t);
	} else {
		/* cancelled, and its tool takes its time to end */
		let_go(t);
		forget(t);
	}
}

static struct proto_task *task_new(const struct proto_ctx *c, struct proto_call *call)
{
	struct proto_tasks *all = c->s->tasks;
	struct sv principal = buf_view(&call->principal);
	unsigned char random[(TASKS_ID_SIZE - 5) / 2];
	struct proto_task *t;

	if (usage_of(c->s, principal).mine_running >= c->s->o.max_in_flight ||
	    !make_room(c->s, principal, 1))
		return NULL;
	t = mem_zalloc(sizeof(*t));
	if (!t)
		return NULL;
	buf_init(&t->principal, principal.n + 1);
	buf_sv(&t->principal, principal);
	if (t->principal.failed) {
		mem_free(t);
		return NULL;
	}
	randombytes_buf(random, sizeof(random));
	memcpy(t->id, "tsk_", 4);
	sodium_bin2hex(t->id + 4, sizeof(t->id) - 4, random, sizeof(random));
	t->server = c->s;
	t->serial = ++all->last_serial;
	t->peer_serial = c->p->serial;
	t->rev = c->rev;
	t->call = call;
	t->created_us = t->updated_us = loop_wall_us();
	t->born_us = loop_now_us();
	t->ttl_ms = TASKS_KEEP_MS;
	t->timer = (struct loop_timer){.on_due = on_timer_due, .arg = t};
	t->prev = all->last;
	*(all->last ? &all->last->next : &all->first) = t;
	all->last = t;
	call->task = t;
	return t;
}

static int no_room(const struct proto_call *call)
{
	struct err e = {0};

	err_set(&e, ERR_BUSY, "no room for another task");
	err_fix(&e, "let a task end and fetch its result, then call %s again",
		call->tool.tool->name);
	proto_request_fail(call->request, RPC_INTERNAL_ERROR, &e, (struct sv){0});
	return -1;
}

static int begin_modern(struct proto_ctx *c, struct proto_call *call)
{
	const enum tool_task kind = call->tool.tool->task;
	struct proto_task *t;
	struct err e = {0};
	AUTO_BUF extra = {0};

	if (kind == TOOL_TASK_NEVER)
		return 0;
	if (!(c->caps & PROTO_CAN_TASKS)) {
		if (kind != TOOL_TASK_REQUIRED)
			return 0;
		buf_init(&extra, 256);
		proto_cap_missing(&extra, PROTO_CAN_TASKS, &e);
		proto_request_fail(call->request, RPC_MISSING_CAPABILITY, &e,
				   buf_view(&extra));
		return -1;
	}
	t = task_new(c, call);
	if (!t)
		return kind == TOOL_TASK_REQUIRED ? no_room(call) : 0;
	call->tool.promote_ms = 0;
	loop_timer_set(c->s->o.loop, &t->timer,
		       kind == TOOL_TASK_MAY ? c->s->o.task_ms : 0);
	return 0;
}

static int misused(const struct proto_call *call, const char *must_or_not)
{
	struct err e = {0};

	err_set(&e, ERR_INVALID, "Method not found: the tool %s %s be called as a task",
		call->tool.tool->name, must_or_not);
	err_fix(&e, "see execution.taskSupport of the tool in tools/list");
	proto_request_fail(call->request, RPC_METHOD_NOT_FOUND, &e, (struct sv){0});
	return -1;
}

static int begin_legacy(struct proto_ctx *c, struct proto_call *call)
{
	const struct cJSON *wanted = js_get(c->m->params, "task");
	const enum tool_task kind = call->tool.tool->task;
	struct proto_task *t;
	int64_t ttl;

	if (!cJSON_IsObject(wanted))
		return kind == TOOL_TASK_REQUIRED ? misused(call, "must") : 0;
	if (kind == TOOL_TASK_NEVER)
		return misused(call, "cannot");
	t = task_new(c, call);
	if (!t)
		return no_room(call);
	if (!js_int(js_get(wanted, "ttl"), &ttl))
		t->ttl_ms = ttl < TASKS_MIN_KEEP_MS  ? TASKS_MIN_KEEP_MS
			    : ttl > TASKS_MAX_TTL_MS ? TASKS_MAX_TTL_MS
						     : (uint64_t)ttl;
	call->tool.promote_ms = 0;
	become_task(t);
	return 0;
}

int proto_tasks_begin(struct proto_ctx *c, struct proto_call *call)
{
	if (c->era == PROTO_MODERN)
		return begin_modern(c, call);
	return c->rev->core_tasks ? begin_legacy(c, call) : 0;
}

/* --- questions --------------------------------------------------------------------------------- */

static bool copy_ask(struct proto_task *t, struct task_ask *to,
		     const struct tool_ask *from)
{
	buf_init(&to->key, 256);
	buf_init(&to->wire, 280);
	buf_init(&to->method, 64);
	buf_init(&to->params, PROTO_MAX_RESULT_BYTES);
	buf_str(&to->key, from->key);
	buf_str(&to->wire, from->key);
	if (t->rounds > 1)
		buf_fmt(&to->wire, "#%u", t->rounds);
	buf_str(&to->method, from->method);
	buf_sv(&to->params, from->params_json.n ? from->params_json : SV("{}"));
	return !to->key.failed && !to->wire.failed && !to->method.failed &&
	       !to->params.failed;
}

static int copy_asks(struct proto_task *t, struct proto_call *call,
		     const struct tool_answer *a, struct err *e)
{
	bool good = true;

	buf_reset(&call->ask_state);
	buf_sv(&call->ask_state, a->state);
	t->rounds++;
	t->inputs = cJSON_CreateObject();
	t->asks = mem_zalloc(a->nasks * sizeof(*t->asks));
	if (t->asks)
		for (; t->nasks < a->nasks; t->nasks++)
			good = copy_ask(t, &t->asks[t->nasks], &a->asks[t->nasks]) &&
			       good;
	if (good && t->asks && t->inputs && !call->ask_state.failed)
		return 0;
	return err_set(e, ERR_LIMIT, "no memory for a question to the user");
}

/* The task waits for answers; -1: it has failed. */
static int park(struct proto_task *t, struct proto_call *call,
		const struct tool_answer *a)
{
	struct err e = {0};
	AUTO_BUF extra = {0};
	int beyond = proto_asks_check(a, call->caps, &e);
	int code = RPC_INTERNAL_ERROR;

	if (beyond > 0) {
		buf_init(&extra, 256);
		proto_cap_missing(&extra, (unsigned)beyond, &e);
		code = RPC_MISSING_CAPABILITY;
	} else if (!beyond && call->round >= PROTO_MAX_ROUNDS) {
		err_set(&e, ERR_LIMIT, "asked %d times already", PROTO_MAX_ROUNDS);
	} else if (!beyond && !call->kept_bytes) {
		err_set(&e, ERR_LIMIT, "no room to keep what was called");
	} else if (!beyond) {
		copy_asks(t, call, a, &e);
	}
	if (e.code) {
		let_go(t);
		set_failed(t, code, &e);
		return -1;
	}
	t->waiting = t->nasks;
	set_status(t, TASK_INPUT_REQUIRED, "An answer is needed.");
	return 0;
}

void task_answer(struct proto_task *t, unsigned i, struct cJSON *v)
{
	struct task_ask *ask = &t->asks[i];
	struct proto_call *call = t->call;
	struct cJSON *inputs = t->inputs;
	struct err e = {0};

	if (!v || !cJSON_AddItemToObject(inputs, buf_cstr(&ask->key), v)) {
		cJSON_Delete(v);
		err_set(&e, ERR_LIMIT, "no memory for the answer to a question");
		task_fail(t, RPC_INTERNAL_ERROR, &e);
		return;
	}
	ask->answered = true;
	t->waiting--;
	t->updated_us = loop_wall_us();
	if (t->waiting)
		return;
	t->inputs = NULL;
	drop_asks(t);
	set_status(t, TASK_WORKING, NULL);
	proto_call_restart(call, inputs);
}

/* --- the end ----------------------------------------------------------------------------------- */

enum proto_task_verdict proto_tasks_done(struct proto_call *call,
					 const struct tool_answer *a)
{
	struct proto_task *t = call->task;

	if (!t)
		return PROTO_TASK_NOT;
	if (t->status == TASK_PENDING) {
		let_go(t);
		forget(t);
		return PROTO_TASK_NOT;
	}
	if (a->nasks)
		return park(t, call, a) ? PROTO_TASK_ENDED : PROTO_TASK_KEEP;
	let_go(t);
	if (a->err && a->rpc_code)
		set_failed(t, a->rpc_code, a->err);
	else
		set_completed(t, call, a);
	return PROTO_TASK_ENDED;
}

int proto_tasks_init(struct proto_server *s, struct err *e)
{
	s->tasks = mem_zalloc(sizeof(*s->tasks));
	return s->tasks ? 0 : err_set(e, ERR_LIMIT, "no memory for the tasks");
}

void proto_tasks_finish(struct proto_server *s)
{
	for (struct proto_task *t; (t = s->tasks->first);) {
		struct proto_call *call = let_go(t);
		bool pending = t->status == TASK_PENDING;

		forget(t);
		/* a pending one is still its request's */
		if (call && !pending)
			proto_call_cancel(call);
	}
	must(!s->tasks->follows);
	mem_free(s->tasks);
	s->tasks = NULL;
}
