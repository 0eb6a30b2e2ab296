/* t_tasks_legacy.c: the experimental tasks of 2025-11-25: the client asks for one. */
#include "tests/unit/mcp/protocol/jobs.h"

#define ASKED(id, tool, task)                                                          \
	"{\"jsonrpc\":\"2.0\",\"id\":" id                                              \
	",\"method\":\"tools/call\",\"params\":{\"name\":\"" tool "\"" task "}}"
#define TASK ",\"task\":{}"
#define ABOUT(n, method)                                                               \
	"{\"jsonrpc\":\"2.0\",\"id\":" n ",\"method\":\"tasks/" method                 \
	"\",\"params\":{\"taskId\":\"TASK\"}}"
#define LIST(params)                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":80,\"method\":\"tasks/list\",\"params\":{" params \
	"}}"

static char id[TASKS_ID_SIZE];

static void shake_hands(struct rig *r, struct proto_peer *p, const char *revision)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
		 "\"protocolVersion\":\"%s\",\"capabilities\":{\"elicitation\":{}},"
		 "\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}",
		 revision);
	say_as(r, p, text);
}

static void open_at(struct rig *r, const char *revision)
{
	jobs_open(r);
	shake_hands(r, r->p, revision);
}

static void about(struct rig *r, const char *text)
{
	say_of(r, r->p, text, id);
}

static void make_task(struct rig *r)
{
	say(r, ASKED("1", "may", TASK));
	must(r->n == 1);
	memcpy(id, task_id(r, 0), sizeof(id));
	must(id[0]);
}

static void test_life(void)
{
	struct rig r;

	open_at(&r, "2025-11-25");
	ok(SAYS(&r,
		"\"tasks\":{\"list\":{},\"cancel\":{},\"requests\":{\"tools\":{"
		"\"call\":{}}}}",
		"!extensions"),
	   "tasks are declared");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
	ok(SAYS(&r, "\"execution\":{\"taskSupport\":\"optional\"}",
		"\"execution\":{\"taskSupport\":\"required\"}", "!forbidden"),
	   "and what each tool makes of them");
	say(&r, ASKED("1", "may", ",\"task\":{\"ttl\":120000}"));
	ok(SAYS(&r, "\"result\":{\"task\":{\"taskId\":\"tsk_", "\"status\":\"working\"",
		"\"createdAt\":\"", "\"ttl\":120000", "\"pollInterval\":", "!ttlMs",
		"!resultType") &&
		   r.ended == 1 && seen.slow_n == 1,
	   "a task is made at once");
	memcpy(id, task_id(&r, 0), sizeof(id));
	about(&r, ABOUT("2", "get"));
	ok(SAYS(&r, "\"result\":{\"taskId\":", "\"working\"", "!content"),
	   "it can be looked at");
	about(&r, ABOUT("3", "result"));
	ok(!r.n && !r.ended && r.opens == 1, "its result is waited for");
	rig_clear(&r);
	slow_end(0);
	ok(r.n == 2 &&
		   strstr(msg(&r, 0), "\"method\":\"notifications/tasks/status\"") &&
		   strstr(msg(&r, 0), "\"status\":\"completed\"") &&
		   r.sent[0].sink == &r.standalone,
	   "the session is told of its end");
	ok(strstr(msg(&r, 1), "\"id\":3") && strstr(msg(&r, 1), "slept") &&
		   strstr(msg(&r, 1),
			  "\"_meta\":{\"io.modelcontextprotocol/related-task\":"
			  "{\"taskId\":\"tsk_") &&
		   r.ended == 1,
	   "and who waits has the result");
	about(&r, ABOUT("4", "result"));
	ok(SAYS(&r, "slept", "related-task"), "it is there for the next too");
	about(&r, ABOUT("5", "cancel"));
	ok(SAYS(&r, "\"code\":-32602", "completed"),
	   "what has ended cannot be cancelled");
	rig_close(&r);
}

static void test_misuse(void)
{
	struct rig r;

	open_at(&r, "2025-11-25");
	say(&r, ASKED("1", "never", TASK));
	ok(SAYS(&r, "\"code\":-32601", "cannot be called as a task") && !seen.slow_n &&
		   r.ended == 1,
	   "what is never a task cannot be made one");
	say(&r, ASKED("2", "must", ""));
	ok(SAYS(&r, "\"code\":-32601", "must be called as a task") && !seen.slow_n,
	   "what must be one is nothing else");
	say(&r, ASKED("3", "may", ""));
	slow_end(0);
	ok(SAYS(&r, "slept"), "what may be one need not");
	about(&r, ABOUT("4", "update"));
	ok(SAYS(&r, "\"code\":-32601"), "tasks/update is not of this revision");
	say(&r, ASKED("5", "may", ",\"task\":{\"ttl\":1}"));
	ok(SAYS(&r, "\"ttl\":60000"), "a task is kept for a minute at least");
	say(&r, ASKED("6", "may", ",\"task\":{\"ttl\":9007199254740992}"));
	ok(SAYS(&r, "\"ttl\":86400000"), "and a day at most");
	rig_close(&r);
	open_at(&r, "2025-06-18");
	ok(SAYS(&r, "!\"tasks\""), "an older revision has none");
	say(&r, ASKED("1", "may", TASK));
	slow_end(0);
	ok(SAYS(&r, "slept", "!task"), "there the wish is ignored");
	about(&r, ABOUT("2", "get"));
	ok(SAYS(&r, "\"code\":-32601"), "as the methods are");
	say(&r, LIST(""));
	ok(SAYS(&r, "\"code\":-32601"), "all of them");
	rig_close(&r);
}

static void test_ends(void)
{
	struct err e = {0};
	struct rig r;

	open_at(&r, "2025-11-25");
	make_task(&r);
	err_set(&e, ERR_UNAVAILABLE, "no sandbox");
	job_done(0, &(struct tool_answer){.err = &e});
	about(&r, ABOUT("2", "get"));
	ok(SAYS(&r, "\"status\":\"failed\""), "a tool's error is a failure here");
	about(&r, ABOUT("3", "result"));
	ok(SAYS(&r, "\"result\":{", "\"isError\":true", "no sandbox"),
	   "its result is the tool's");
	make_task(&r);
	job_done(1, &(struct tool_answer){.err = &e, .rpc_code = -32603});
	about(&r, ABOUT("4", "result"));
	ok(SAYS(&r, "\"error\":{\"code\":-32603", "no sandbox"),
	   "a JSON-RPC error comes as one");
	make_task(&r);
	about(&r, ABOUT("5", "result"));
	about(&r, ABOUT("6", "cancel"));
	ok(r.n == 3 && strstr(msg(&r, 0), "tasks/status") &&
		   strstr(msg(&r, 1), "\"id\":5,\"error\"") &&
		   strstr(msg(&r, 2), "\"id\":6,\"result\":{\"taskId\"") &&
		   strstr(msg(&r, 2), "\"status\":\"cancelled\"") && seen.cancels == 1,
	   "who waits for a task that is cancelled is told, then who cancelled it");
	rig_close(&r);
}

static void test_questions(void)
{
	struct rig r;

	open_at(&r, "2025-11-25");
	make_task(&r);
	rig_clear(&r);
	job_asks(0, "a", "b");
	ok(SAYS(&r, "notifications/tasks/status", "\"status\":\"input_required\""),
	   "the session is told of a task that asks");
	about(&r, ABOUT("2", "get"));
	ok(SAYS(&r, "\"status\":\"input_required\"", "!inputRequests"),
	   "and when it is looked at");
	about(&r, ABOUT("3", "result"));
	ok(r.n == 2 && r.sent[0].kind == PROTO_REQUEST && r.sent[0].sink == r.last &&
		   strstr(msg(&r, 0), "\"method\":\"elicitation/create\"") &&
		   strstr(msg(&r, 0), "\"message\":\"?\",\"_meta\":{"
				      "\"io.modelcontextprotocol/related-task\":"
				      "{\"taskId\":\"tsk_"),
	   "the questions come on the stream of its result");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{\"action\":\"accept\"}}");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"action\":\"accept\"}}");
	ok(seen.slow_n == 1, "an answer to nothing is nothing, one of two not enough");
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		"\"params\":{\"requestId\":3}}");
	about(&r, ABOUT("4", "result"));
	ok(SAYS(&r, "\"id\":3,\"method\":\"elicitation/create\"", "\"??\""),
	   "what was not answered on one stream is asked on the next");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"action\":\"accept\"}}");
	ok(seen.slow_n == 1, "an answer to the stream that is gone is too late");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"action\":\"decline\"}}");
	ok(seen.slow_n == 2 && strstr(job.inputs, "\"a\":{\"action\":\"accept\"}") &&
		   strstr(job.inputs, "\"b\":{\"action\":\"decline\"}") &&
		   !strcmp(job.state, "kept"),
	   "with all answers the tool starts again");
	rig_clear(&r);
	slow_end(1);
	ok(r.n == 2 && strstr(msg(&r, 1), "\"id\":4,\"result\"") &&
		   strstr(msg(&r, 1), "slept"),
	   "and its result comes to who waits");
	make_task(&r);
	about(&r, ABOUT("5", "result"));
	rig_clear(&r);
	job_asks(2, "a", NULL);
	ok(r.n == 2 && strstr(msg(&r, 1), "\"id\":4,\"method\":\"elicitation/create\""),
	   "who waits already is asked at once");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":-1,\"message\":\"no\"}}");
	ok(r.n == 2 && strstr(msg(&r, 1), "\"id\":5,\"error\"") &&
		   strstr(msg(&r, 1), "the client refused a question: no"),
	   "a refusal ends the task");
	rig_close(&r);
}

/* A wait that takes one JSON answer is passed over: a question on it would never be seen. */
static void test_questions_have_a_way(void)
{
	struct rig_sink *alone;
	struct rig r;
	char text[256];

	open_at(&r, "2025-11-25");
	make_task(&r);
	memcpy(id, task_id(&r, 0), sizeof(id));
	snprintf(text, sizeof(text),
		 "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tasks/result\","
		 "\"params\":{\"taskId\":\"%s\"}}",
		 id);
	rig_clear(&r);
	alone = rig_sink_new(&r);
	alone->s.alone = true;
	proto_on_message(r.p, sv_of(text), &alone->s);
	job_asks(0, "a", NULL);
	ok(SAYS(&r, "notifications/tasks/status"), "it gets no question");
	about(&r, ABOUT("4", "result"));
	ok(SAYS(&r, "\"method\":\"elicitation/create\"") && r.sent[0].sink == r.last,
	   "the next that can be asked does");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"action\":\"accept\"}}");
	rig_clear(&r);
	slow_end(1);
	ok(r.n == 3 && r.ended == 2, "the result comes to both");
	rig_close(&r);
}

static void test_list(void)
{
	struct proto_peer *mallory;
	char cursor[64] = "", text[256];
	struct rig r;
	const char *at;

	open_at(&r, "2025-11-25");
	say(&r, LIST(""));
	ok(SAYS(&r, "\"tasks\":[]", "!nextCursor"), "no tasks are a list too");
	for (int i = 0; i < TASKS_PAGE + 1; i++) {
		seen.slow_n = 0;
		make_task(&r);
		slow_end(0);
	}
	say(&r, LIST(""));
	at = strstr(msg(&r, 0), "\"nextCursor\":\"");
	must(at);
	snprintf(cursor, sizeof(cursor), "%.*s", (int)strcspn(at + 14, "\""), at + 14);
	ok(!strstr(msg(&r, 0), id), "a page has an end");
	snprintf(text, sizeof(text), LIST("\"cursor\":\"%s\""), cursor);
	say(&r, text);
	ok(SAYS(&r, id, "!nextCursor"), "the next has the rest");
	say(&r, LIST("\"cursor\":\"tsk\""));
	ok(SAYS(&r, "\"code\":-32602"), "a made-up cursor is refused");
	say(&r, LIST("\"cursor\":\"t99999\""));
	ok(SAYS(&r, "\"code\":-32602"), "also one that looks like ours");
	mallory = rig_peer(&r, "mallory", true);
	shake_hands(&r, mallory, "2025-11-25");
	say_as(&r, mallory, LIST(""));
	ok(SAYS(&r, "\"tasks\":[]"), "another principal sees none of them");
	say_of(&r, mallory, ABOUT("2", "result"), id);
	ok(SAYS(&r, "\"code\":-32602", "Unknown task"), "nor a result");
	proto_peer_free(mallory);
	rig_close(&r);
}

/* Without authentication all sessions are the same nobody. */
static void test_nobody(void)
{
	struct proto_peer *a, *b;
	struct rig r;

	jobs_open(&r);
	a = rig_peer(&r, "nobody", true);
	b = rig_peer(&r, "nobody", true);
	shake_hands(&r, a, "2025-11-25");
	shake_hands(&r, b, "2025-11-25");
	say_as(&r, a, ASKED("1", "may", TASK));
	memcpy(id, task_id(&r, 0), sizeof(id));
	say_as(&r, a, LIST(""));
	ok(SAYS(&r, id), "a session lists its own tasks");
	say_as(&r, b, LIST(""));
	ok(SAYS(&r, "\"tasks\":[]"), "another session of nobody does not");
	proto_peer_free(a);
	a = rig_peer(&r, "nobody", true);
	shake_hands(&r, a, "2025-11-25");
	say_as(&r, a, LIST(""));
	ok(SAYS(&r, "\"tasks\":[]"), "nor one that took the place of the first");
	proto_peer_free(a);
	proto_peer_free(b);
	rig_close(&r);
}

static void test_waiting(void)
{
	struct rig r;
	char text[256];

	open_at(&r, "2025-11-25");
	make_task(&r);
	for (int i = 0; i < TASKS_MAX_WAITS; i++) {
		snprintf(text, sizeof(text), ABOUT("%d", "result"), 100 + i);
		about(&r, text);
	}
	ok(!r.n, "many may wait for a result");
	about(&r, ABOUT("7", "result"));
	ok(SAYS(&r, "\"id\":7", "wait already"), "but not any number");
	rig_clear(&r);
	slow_end(0);
	ok(r.n == TASKS_MAX_WAITS + 1 && r.ended == TASKS_MAX_WAITS,
	   "and all of them have it");
	make_task(&r);
	about(&r, ABOUT("8", "result"));
	proto_peer_close(r.p, NULL, NULL);
	ok(!rig_open_sinks(&r), "a wait ends with its client");
	slow_end(1);
	rig_close(&r);
}

int main(void)
{
	test_life();
	test_misuse();
	test_ends();
	test_questions();
	test_questions_have_a_way();
	test_list();
	test_nobody();
	test_waiting();
	return tap_done();
}
