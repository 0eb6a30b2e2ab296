/* tasks_methods.c: how a task is shown, and the methods about tasks. See tasks.h. */
#include "mcp/protocol/tasks.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <time.h>

/* --- showing ----------------------------------------------------------------------------------- */

static const char *const status_names[TASK_STATUS_COUNT] = {
	[TASK_PENDING] = "working",
	[TASK_WORKING] = "working",
	[TASK_INPUT_REQUIRED] = "input_required",
	[TASK_COMPLETED] = "completed",
	[TASK_FAILED] = "failed",
	[TASK_CANCELLED] = "cancelled",
};

static void write_time(struct jw *w, const char *key, uint64_t us)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	char text[40];

	must(gmtime_r(&s, &tm) &&
	     strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 19);
	snprintf(text + 19, sizeof(text) - 19, ".%03uZ", (unsigned)(us / 1000 % 1000));
	jw_kstr(w, key, sv_of(text));
}

void task_write(struct jw *w, const struct proto_task *t,
		const struct proto_revision *rev)
{
	const bool modern = rev->era == PROTO_MODERN;
	/* 2025-11-25 counts a tool's own error as a failure, 2026-07-28 as a result */
	const bool failed = !modern && t->status == TASK_COMPLETED && t->is_error;

	jw_kstr(w, "taskId", sv_of(t->id));
	jw_kstr(w, "status", sv_of(status_names[failed ? TASK_FAILED : t->status]));
	if (t->message)
		jw_kstr(w, "statusMessage", sv_of(t->message));
	write_time(w, "createdAt", t->created_us);
	write_time(w, "lastUpdatedAt", t->updated_us);
	jw_kint(w, modern ? "ttlMs" : "ttl", (int64_t)t->ttl_ms);
	jw_kint(w, modern ? "pollIntervalMs" : "pollInterval", TASKS_POLL_MS);
}

static void write_asks(struct jw *w, const struct proto_task *t)
{
	jw_key(w, "inputRequests");
	jw_obj(w);
	for (unsigned i = 0; i < t->nasks; i++) {
		const struct task_ask *ask = &t->asks[i];

		if (ask->answered)
			continue;
		jw_key(w, buf_cstr(&ask->wire));
		jw_obj(w);
		jw_kstr(w, "method", buf_view(&ask->method));
		jw_kraw(w, "params", buf_view(&ask->params));
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static void write_failure(struct jw *w, const struct proto_task *t)
{
	jw_key(w, "error");
	jw_obj(w);
	jw_kint(w, "code", t->rpc_code);
	jw_kstr(w, "message", sv_of(t->err.cause));
	jw_key(w, "data");
	jw_obj(w);
	jw_kstr(w, "code", sv_of(err_code_name(t->err.code)));
	jw_kstr(w, "remediation", sv_of(err_remediation(&t->err)));
	jw_obj_end(w);
	jw_obj_end(w);
}

void task_write_detail(struct jw *w, const struct proto_task *t,
		       const struct proto_revision *rev)
{
	task_write(w, t, rev);
	if (t->status == TASK_INPUT_REQUIRED)
		write_asks(w, t);
	else if (t->status == TASK_COMPLETED)
		jw_kraw(w, "result", buf_view(&t->result));
	else if (t->status == TASK_FAILED)
		write_failure(w, t);
}

void task_write_related(struct jw *w, const struct proto_task *t)
{
	jw_key(w, "_meta");
	jw_obj(w);
	jw_key(w, "io.modelcontextprotocol/related-task");
	jw_obj(w);
	jw_kstr(w, "taskId", sv_of(t->id));
	jw_obj_end(w);
	jw_obj_end(w);
}

/* --- both eras --------------------------------------------------------------------------------- */

/* The task that params.taskId names; NULL: it was answered. */
static struct proto_task *named(const struct proto_ctx *c)
{
	const struct cJSON *id = js_get(c->m->params, "taskId");
	struct proto_task *t = task_find(c->s, buf_view(&c->p->principal), js_str(id));
	struct err e = {0};

	if (t)
		return t;
	if (js_is_str(id))
		err_set(&e, ERR_NOT_FOUND, "Unknown task: %.*s",
			PROTO_QUOTE(js_str(id)));
	else
		err_set(&e, ERR_INVALID, "Invalid params: taskId must be a string");
	err_fix(&e,
		"tasks are forgotten some time after their end; call the tool again");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
	return NULL;
}

static void reply_task(struct proto_ctx *c, struct proto_task *t)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_OUT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	if (c->era == PROTO_MODERN) {
		task_write_detail(&w, t, c->rev);
		t->read = t->read || task_ended(t);
	} else {
		task_write(&w, t, c->rev);
	}
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_reply(c, &b);
}

/* --- modern ------------------------------------------------------------------------------------ */

/* The client must say in each request that it takes tasks. */
static int refuse_undeclared(const struct proto_ctx *c)
{
	struct err e = {0};
	AUTO_BUF extra = {0};

	if (c->caps & PROTO_CAN_TASKS)
		return 0;
	buf_init(&extra, 256);
	proto_cap_missing(&extra, PROTO_CAN_TASKS, &e);
	proto_fail(c, RPC_MISSING_CAPABILITY, &e, buf_view(&extra));
	return -1;
}

static void acknowledge(const struct proto_ctx *c)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_LOG_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_reply(c, &b);
}

int proto_tasks_check_listen(const struct proto_ctx *c, const struct cJSON *wanted)
{
	const struct cJSON *ids = js_get(wanted, "taskIds");
	struct err e = {0};

	if (!ids)
		return 0;
	if (refuse_undeclared(c))
		return -1;
	if (cJSON_IsArray(ids))
		return 0;
	err_set(&e, ERR_INVALID, "Invalid params: taskIds must be an array");
	err_fix(&e, "send the ids of tasks as strings");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
	return -1;
}

static void on_get(struct proto_ctx *c)
{
	struct proto_task *t = refuse_undeclared(c) ? NULL : named(c);

	if (t)
		reply_task(c, t);
}

/* Asking to end what has ended is no mistake: the two may have crossed. */
static void on_cancel(struct proto_ctx *c)
{
	struct proto_task *t = refuse_undeclared(c) ? NULL : named(c);

	if (!t)
		return;
	acknowledge(c);
	if (!task_ended(t))
		task_stop(t, "The task was cancelled by request.");
}

/* The first question still open to which v has an answer; -1: none. */
static int next_answered(const struct proto_task *t, const struct cJSON *v)
{
	for (unsigned i = 0; i < t->nasks; i++)
		if (!t->asks[i].answered &&
		    proto_input_valid(js_get(v, buf_cstr(&t->asks[i].wire))))
			return (int)i;
	return -1;
}

/* Answers to what was not asked, or was answered before, are ignored. */
static void on_update(struct proto_ctx *c)
{
	const struct cJSON *v = js_get(c->m->params, "inputResponses");
	struct proto_task *t = refuse_undeclared(c) ? NULL : named(c);
	struct err e = {0};
	unsigned round;

	if (!t)
		return;
	if (!cJSON_IsObject(v)) {
		err_set(&e, ERR_INVALID,
			"Invalid params: inputResponses must be an object");
		err_fix(&e, "send the answers under the keys of inputRequests");
		proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
		return;
	}
	acknowledge(c);
	round = t->rounds;
	for (int i; t->status == TASK_INPUT_REQUIRED && t->rounds == round &&
		    (i = next_answered(t, v)) >= 0;)
		task_answer(t, (unsigned)i,
			    cJSON_Duplicate(js_get(v, buf_cstr(&t->asks[i].wire)), 1));
}

/* --- legacy ------------------------------------------------------------------------------------ */

static int refuse_revision(const struct proto_ctx *c)
{
	struct err e = {0};

	if (c->rev->core_tasks)
		return 0;
	err_set(&e, ERR_NOT_FOUND, "Method not found: %.*s", PROTO_QUOTE(c->m->method));
	err_fix(&e, "revision %s has no tasks", c->rev->name);
	proto_fail(c, RPC_METHOD_NOT_FOUND, &e, (struct sv){0});
	return -1;
}

static void on_legacy_get(struct proto_ctx *c)
{
	struct proto_task *t = refuse_revision(c) ? NULL : named(c);

	if (t)
		reply_task(c, t);
}

static void on_legacy_cancel(struct proto_ctx *c)
{
	struct proto_task *t = refuse_revision(c) ? NULL : named(c);
	struct err e = {0};

	if (!t)
		return;
	if (!task_ended(t)) {
		task_stop(t, "The task was cancelled by request.");
		reply_task(c, t);
		return;
	}
	err_set(&e, ERR_INVALID, "Cannot cancel the task: it is %s already",
		status_names[t->status]);
	err_fix(&e, "tasks/result has what it came to");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
}

static unsigned waits_of(const struct proto_peer *p)
{
	unsigned n = 0;

	for (const struct proto_request *r = p->requests; r; r = r->next)
		n += r->kind == PROTO_WAIT;
	return n;
}

static void on_result(struct proto_ctx *c)
{
	struct proto_task *t = refuse_revision(c) ? NULL : named(c);
	struct proto_request *r;
	struct err e = {0};

	if (!t)
		return;
	if (waits_of(c->p) >= TASKS_MAX_WAITS) {
		err_set(&e, ERR_BUSY, "%d tasks/result wait already", TASKS_MAX_WAITS);
		proto_fail(c, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return;
	}
	r = proto_request_new(c, PROTO_WAIT);
	if (!r)
		return;
	if (task_ended(t)) {
		task_send_result(t, r);
		proto_request_end(r);
		return;
	}
	if (r->sink->open)
		r->sink->open(r->sink);
	if (task_wait(t, r)) {
		err_set(&e, ERR_LIMIT, "no memory to wait for the task");
		proto_request_fail(r, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		proto_request_end(r);
	}
}

/* Over HTTP without authentication nobody is who they are: a session sees its own tasks only. */
static bool is_listed(const struct proto_ctx *c, const struct proto_task *t)
{
	const struct proto_peer *p = c->p;

	return t->status != TASK_PENDING &&
	       sv_eq(buf_view(&t->principal), buf_view(&p->principal)) &&
	       (!p->nobody || t->peer_serial == p->serial);
}

/* The cursor is the serial of the last one of the page before. */
static int read_cursor(const struct proto_ctx *c, uint64_t *ret)
{
	const struct cJSON *v = js_get(c->m->params, "cursor");
	struct sv text = js_str(v);
	struct err e = {0};

	*ret = 0;
	if (!v || cJSON_IsNull(v))
		return 0;
	if (sv_starts(text, SV("t")) &&
	    !sv_to_u64((struct sv){text.p + 1, text.n - 1}, ret) &&
	    *ret <= c->s->tasks->last_serial)
		return 0;
	err_set(&e, ERR_INVALID, "Invalid params: cursor is none that was handed out");
	err_fix(&e, "call tasks/list without a cursor");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
	return -1;
}

static void on_list(struct proto_ctx *c)
{
	uint64_t after, last = 0;
	unsigned n = 0;
	char next[32];
	AUTO_BUF b = {0};
	struct jw w;

	if (refuse_revision(c) || read_cursor(c, &after))
		return;
	buf_init(&b, PROTO_MAX_RESULT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "tasks");
	jw_arr(&w);
	for (const struct proto_task *t = c->s->tasks->first; t; t = t->next) {
		if (t->serial <= after || !is_listed(c, t))
			continue;
		if (n++ == TASKS_PAGE)
			break;
		jw_obj(&w);
		task_write(&w, t, c->rev);
		jw_obj_end(&w);
		last = t->serial;
	}
	jw_arr_end(&w);
	snprintf(next, sizeof(next), "t%" PRIu64, last);
	if (n > TASKS_PAGE)
		jw_kstr(&w, "nextCursor", sv_of(next));
	jw_obj_end(&w);
	proto_reply(c, &b);
}

const struct proto_method proto_task_methods[] = {
	{.name = "tasks/get",
	 .on = {[PROTO_LEGACY] = on_legacy_get, [PROTO_MODERN] = on_get}},
	{.name = "tasks/update", .on = {[PROTO_MODERN] = on_update}},
	{.name = "tasks/cancel",
	 .on = {[PROTO_LEGACY] = on_legacy_cancel, [PROTO_MODERN] = on_cancel}},
	{.name = "tasks/result", .on = {[PROTO_LEGACY] = on_result}},
	{.name = "tasks/list", .on = {[PROTO_LEGACY] = on_list}},
};
const size_t proto_task_methods_count = ARRAY_LEN(proto_task_methods);

/* --- what is declared -------------------------------------------------------------------------- */

static void write_empty(struct jw *w, const char *key)
{
	jw_key(w, key);
	jw_obj(w);
	jw_obj_end(w);
}

void proto_tasks_capability(struct jw *w, const struct proto_revision *rev)
{
	if (rev->era == PROTO_MODERN) {
		jw_key(w, "extensions");
		jw_obj(w);
		write_empty(w, PROTO_EXTENSION_TASKS);
		jw_obj_end(w);
	} else if (rev->core_tasks) {
		jw_kraw(w, "tasks",
			SV("{\"list\":{},\"cancel\":{},"
			   "\"requests\":{\"tools\":{\"call\":{}}}}"));
	}
}

void proto_tasks_write_tool(struct jw *w, const struct tool *t,
			    const struct proto_revision *rev)
{
	static const char *const names[] = {
		[TOOL_TASK_NEVER] = "forbidden",
		[TOOL_TASK_MAY] = "optional",
		[TOOL_TASK_ALWAYS] = "optional",
		[TOOL_TASK_REQUIRED] = "required",
	};

	/* forbidden is the default, and some clients know no execution */
	if (!rev->core_tasks || t->task == TOOL_TASK_NEVER)
		return;
	jw_key(w, "execution");
	jw_obj(w);
	jw_kstr(w, "taskSupport", sv_of(names[t->task]));
	jw_obj_end(w);
}
