/* t_tasks.c: the extension io.modelcontextprotocol/tasks of 2026-07-28. */
#include "tests/unit/mcp/protocol/jobs.h"

#define ABOUT(method, more, meta)                                                      \
	"{\"jsonrpc\":\"2.0\",\"id\":90,\"method\":\"tasks/" method                    \
	"\",\"params\":{\"taskId\":\"TASK\"," more meta "}}"
#define GET ABOUT("get", "", TAKES)
#define CANCEL ABOUT("cancel", "", TAKES)
#define UPDATE(answers) ABOUT("update", "\"inputResponses\":{" answers "},", TAKES)
#define ACCEPT(key) "\"" key "\":{\"action\":\"accept\",\"content\":{\"x\":1}}"

static char id[TASKS_ID_SIZE];

static void about(struct rig *r, const char *text)
{
	say_of(r, r->p, text, id);
}

/* Calls `always`, which becomes a task; its id is in `id`. */
static void make_task(struct rig *r)
{
	say(r, CALL("1", "always", TAKES));
	must(!r->n);
	rig_wait(r, 5);
	must(r->n == 1);
	memcpy(id, task_id(r, 0), sizeof(id));
	must(id[0]);
}

static void test_life(void)
{
	struct rig r;

	jobs_open(&r);
	say(&r, CALL("1", "always", TAKES));
	ok(!r.n, "nothing is said while the call could end at once");
	rig_wait(&r, 5);
	ok(SAYS(&r, "\"resultType\":\"task\"", "\"taskId\":\"tsk_",
		"\"status\":\"working\"", "\"createdAt\":\"20",
		"\"lastUpdatedAt\":\"20", "\"ttlMs\":3600000",
		"\"pollIntervalMs\":", "serverInfo", "!\"task\":{", "!requestState",
		"!\"result\":{\"content", "!\"ttl\"") &&
		   r.ended == 1,
	   "then the request is answered with a task");
	memcpy(id, task_id(&r, 0), sizeof(id));
	ok(strlen(id) == TASKS_ID_SIZE - 1, "its id has 128 bits");
	about(&r, GET);
	ok(SAYS(&r, "\"resultType\":\"complete\"", "\"status\":\"working\"", id,
		"!\"result\":{\"c", "!\"error\""),
	   "tasks/get says that it works");
	rig_clear(&r);
	slow_end(0);
	ok(!r.n, "its end is not announced to nobody");
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"completed\"",
		"\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"slept\"}]",
		"\"structuredContent\":{\"text\":\"slept\"}", "!related-task"),
	   "tasks/get has the result");
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"completed\""), "and has it again");
	say(&r, CALL("1", "always", TAKES));
	slow_end(1);
	ok(SAYS(&r, "\"resultType\":\"complete\"", "slept", "!taskId"),
	   "a call that ends at once is no task");
	rig_close(&r);
}

static void test_may(void)
{
	struct rig r;

	jobs_open(&r);
	say(&r, CALL("1", "may", TAKES));
	ok(seen.slow[0]->promote_ms == 0, "what may be a task is not cut short");
	rig_wait(&r, 5);
	ok(!r.n, "a call that may become a task is given a while");
	slow_end(0);
	ok(SAYS(&r, "\"resultType\":\"complete\"", "slept"), "and answered in it");
	say(&r, CALL("2", "may", TAKES));
	rig_wait(&r, 2 * TASK_MS);
	ok(SAYS(&r, "\"resultType\":\"task\""), "after it, it is a task");
	say(&r, CALL("3", "never", TAKES));
	rig_wait(&r, 2 * TASK_MS);
	ok(!r.n && seen.slow[2]->promote_ms > 0, "what never is a task is none");
	say(&r, CALL("4", "may", CAPS("")));
	rig_wait(&r, 2 * TASK_MS);
	ok(!r.n, "nor is any for a client that takes none");
	rig_close(&r);
}

static void test_undeclared(void)
{
	static const char *const methods[] = {
		ABOUT("get", "", CAPS("")), ABOUT("cancel", "", CAPS("")),
		ABOUT("update", "\"inputResponses\":{},", CAPS(""))};
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		about(&r, methods[i]);
		ok(SAYS(&r, "\"code\":-32021",
			"\"requiredCapabilities\":{\"extensions\":{"
			"\"io.modelcontextprotocol/tasks\":{}}}") &&
			   r.sent[0].status == 400,
		   "without the capability there is no method %zu", i);
	}
	say(&r, CALL("2", "must", CAPS("")));
	ok(SAYS(&r, "\"code\":-32021", "io.modelcontextprotocol/tasks") &&
		   r.ended == 1 && seen.slow_n == 1,
	   "nor a call of what must be a task");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tasks/list\",\"params\":{" TAKES
	    "}}");
	ok(SAYS(&r, "\"code\":-32601") && r.sent[0].status == 404,
	   "tasks/list is of the past");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"server/discover\",\"params\":{" TAKES
	    "}}");
	ok(SAYS(&r, "\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}",
		"!\"tasks\":{\"list\""),
	   "the extension is declared");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/list\",\"params\":{" TAKES
	    "}}");
	ok(SAYS(&r, "\"must\"", "!execution"), "tools say nothing of it in this era");
	rig_close(&r);
}

static void test_whose(void)
{
	struct proto_peer *mallory, *alice;
	char mine[512];
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	mallory = rig_peer(&r, "mallory", true);
	say_of(&r, mallory, GET, id);
	snprintf(mine, sizeof(mine), "%s", msg(&r, 0));
	ok(SAYS(&r, "\"code\":-32602", "Unknown task"), "another's task is not there");
	say_of(&r, mallory, GET, "tsk_00000000000000000000000000000000");
	ok(SAYS(&r, "\"code\":-32602", "Unknown task") &&
		   strlen(mine) == strlen(msg(&r, 0)),
	   "exactly as one that never was");
	say_of(&r, mallory, CANCEL, id);
	ok(SAYS(&r, "\"code\":-32602") && !seen.cancels, "nor can it be cancelled");
	say_of(&r, mallory, GET, "");
	ok(SAYS(&r, "\"code\":-32602"), "an empty id is none");
	proto_peer_free(mallory);
	proto_peer_free(r.p);
	r.p = NULL;
	ok(seen.cancels == 0, "a task outlives the client it was made by");
	alice = rig_peer(&r, "alice", true);
	slow_end(0);
	say_of(&r, alice, GET, id);
	ok(SAYS(&r, "\"status\":\"completed\"", "slept"),
	   "and is there for the next one of the same principal");
	proto_peer_free(alice);
	rig_close(&r);
}

static void test_cancel(void)
{
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	about(&r, CANCEL);
	ok(SAYS(&r, "\"resultType\":\"complete\"", "!taskId", "!status") &&
		   seen.cancels == 1,
	   "tasks/cancel is acknowledged, and the tool asked to end");
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"cancelled\"", "!\"result\":{\"c", "!\"error\":"),
	   "the task is cancelled");
	about(&r, CANCEL);
	ok(SAYS(&r, "\"resultType\":\"complete\"") && seen.cancels == 1,
	   "once more changes nothing");
	seen.slow_obeys = false;
	make_task(&r);
	about(&r, CANCEL);
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"cancelled\""),
	   "it is cancelled also while the tool takes its time");
	slow_end(1);
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"cancelled\"", "!slept"),
	   "its late answer is dropped");
	seen.slow_obeys = true;
	say(&r, CALL("7", "may", TAKES));
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		"\"params\":{\"requestId\":7}}");
	rig_wait(&r, 2 * TASK_MS);
	ok(!r.n && seen.cancels == 3,
	   "a call cancelled before it was one becomes none");
	seen.slow_obeys = false;
	say(&r, CALL("8", "may", TAKES));
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		"\"params\":{\"requestId\":8}}");
	rig_wait(&r, 2 * TASK_MS);
	slow_end(3);
	ok(!r.n, "also when its tool ends long after that");
	rig_close(&r);
}

static void test_ends(void)
{
	struct err e = {0};
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	err_set(&e, ERR_UNAVAILABLE, "no sandbox");
	job_done(0, &(struct tool_answer){.err = &e});
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"completed\"", "\"isError\":true", "no sandbox"),
	   "what the tool says of itself is a result");
	make_task(&r);
	job_done(1, &(struct tool_answer){.err = &e, .rpc_code = -32603});
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"failed\"",
		"\"error\":{\"code\":-32603,\"message\":\"no sandbox\"",
		"\"statusMessage\":\"no sandbox\"", "!\"result\":{\"c"),
	   "what the protocol says is a failure");
	rig_close(&r);
}

static void test_questions(void)
{
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	job_asks(0, "a", "b");
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"input_required\"",
		"\"inputRequests\":{\"a\":{\"method\":\"elicitation/create\",\"params\":{"
		"\"message\":\"?\"}},\"b\":{"),
	   "a question of a task is in the task");
	about(&r, UPDATE(ACCEPT("z") ",\"b\":5,\"a\":{\"action\":\"maybe\"}"));
	ok(SAYS(&r, "\"resultType\":\"complete\"", "!status"),
	   "an update is acknowledged");
	about(&r, GET);
	ok(SAYS(&r, "\"input_required\"", "\"a\":{", "\"b\":{"),
	   "what is no answer to what was asked changes nothing");
	about(&r, UPDATE(ACCEPT("a")));
	about(&r, GET);
	ok(SAYS(&r, "\"input_required\"", "!\"a\":{", "\"b\":{"),
	   "one of two answers: the other is still wanted");
	about(&r, UPDATE(ACCEPT("a") "," ACCEPT("b")));
	ok(seen.slow_n == 2 && r.n == 1 && !strcmp(job.state, "kept") &&
		   strstr(job.inputs, "\"a\":{") && strstr(job.inputs, "\"b\":{"),
	   "with both the tool starts again, with what it said and what was answered");
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"working\"", "!inputRequests"), "and the task works");
	job_asks(1, "a", NULL);
	about(&r, GET);
	ok(SAYS(&r, "\"input_required\"", "\"a#2\":{"),
	   "a key is never used twice in a task");
	about(&r, UPDATE(ACCEPT("a")));
	ok(seen.slow_n == 2, "so an old answer cannot be taken for a new one");
	about(&r, UPDATE(ACCEPT("a#2")));
	slow_end(2);
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"completed\""), "it ends as any other");
	rig_close(&r);
}

static void test_unanswered(void)
{
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	job_asks(0, "a", NULL);
	about(&r, CANCEL);
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"cancelled\"", "!inputRequests"),
	   "it can be cancelled while it asks");
	about(&r, UPDATE(ACCEPT("a")));
	ok(SAYS(&r, "\"resultType\":\"complete\"") && seen.slow_n == 1,
	   "an answer after that is acknowledged and forgotten");
	about(&r, ABOUT("update", "\"inputResponses\":5,", TAKES));
	ok(SAYS(&r, "\"code\":-32602", "inputResponses"), "answers are an object");
	say(&r, CALL("1", "always", TAKES));
	job_asks(1, "a", NULL);
	ok(SAYS(&r, "\"resultType\":\"input_required\"", "requestState", "!taskId"),
	   "what is asked before anything is a question of the call");
	say(&r, CALL("1", "always",
		     CAPS("\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}")));
	rig_wait(&r, 5);
	memcpy(id, task_id(&r, 0), sizeof(id));
	job_asks(2, "a", NULL);
	about(&r, GET);
	ok(SAYS(&r, "\"status\":\"failed\"", "\"code\":-32021"),
	   "a client that cannot answer is not asked");
	rig_close(&r);
}

#define LISTEN(ids, meta)                                                              \
	"{\"jsonrpc\":\"2.0\",\"id\":\"sub\",\"method\":\"subscriptions/listen\","     \
	"\"params\":{\"notifications\":{\"taskIds\":" ids "}," meta "}}"

static void test_listen(void)
{
	struct rig r;

	jobs_open(&r);
	make_task(&r);
	about(&r, LISTEN("[\"TASK\",\"TASK\",\"tsk_x\",5]", TAKES));
	ok(strstr(msg(&r, 0), "acknowledged") &&
		   strstr(msg(&r, 0), "\"taskIds\":[\"tsk_") &&
		   !strstr(msg(&r, 0), "tsk_x") && !strstr(msg(&r, 0), "\",\"tsk_"),
	   "a task is honoured once, one that is not there is not");
	rig_clear(&r);
	job_asks(0, "a", NULL);
	ok(SAYS(&r, "\"method\":\"notifications/tasks\"",
		"\"status\":\"input_required\"", "\"inputRequests\":{\"a\"",
		"\"io.modelcontextprotocol/subscriptionId\":\"sub\""),
	   "the listener is told that it asks");
	about(&r, CANCEL);
	ok(r.n == 2 && strstr(msg(&r, 1), "\"status\":\"cancelled\"") &&
		   strstr(msg(&r, 1), "notifications/tasks"),
	   "and that it was cancelled");
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		"\"params\":{\"requestId\":\"sub\"}}");
	about(&r, LISTEN("[\"TASK\"]", CAPS("")));
	ok(SAYS(&r, "\"code\":-32021", "io.modelcontextprotocol/tasks"),
	   "a client that takes no tasks hears of none");
	about(&r, LISTEN("\"TASK\"", TAKES));
	ok(SAYS(&r, "\"code\":-32602"), "taskIds are an array");
	make_task(&r);
	about(&r, LISTEN("[\"TASK\"]", TAKES));
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		"\"params\":{\"requestId\":\"sub\"}}");
	slow_end(1);
	ok(!r.n, "nobody is told who has stopped listening");
	rig_close(&r);
}

static void test_room(void)
{
	struct rig r;

	jobs_open(&r);
	for (int i = 0; i < 3; i++)
		make_task(&r);
	say(&r, CALL("5", "must", TAKES));
	ok(SAYS(&r, "\"error\"", "no room for another task") && r.ended == 1 &&
		   seen.slow_n == 3,
	   "no more tasks of one principal run than calls may");
	say(&r, CALL("6", "always", TAKES));
	rig_wait(&r, 5);
	ok(!r.n && seen.slow_n == 4, "what need not be a task is a call then");
	slow_end(3);
	ok(SAYS(&r, "slept"), "and answered as one");
	slow_end(0);
	make_task(&r);
	ok(id[0], "one that has ended leaves room");
	rig_close(&r);
}

/* Old ones go for new ones, but not one whose end nobody has seen. */
static void test_evicted(void)
{
	char first[TASKS_ID_SIZE], second[TASKS_ID_SIZE];
	struct rig r;
	unsigned made = 2;

	jobs_open(&r);
	make_task(&r);
	slow_end(0);
	memcpy(first, id, sizeof(first));
	seen.slow_n = 0;
	make_task(&r);
	slow_end(0);
	memcpy(second, id, sizeof(second));
	about(&r, GET);
	for (seen.slow_n = 0; made <= TASKS_MAX_EACH; made++, seen.slow_n = 0) {
		make_task(&r);
		slow_end(0);
	}
	say_of(&r, r.p, GET, first);
	ok(SAYS(&r, "\"status\":\"completed\""), "a result nobody has seen is kept");
	say_of(&r, r.p, GET, second);
	ok(SAYS(&r, "Unknown task"), "one that was seen gave its place");
	rig_close(&r);
}

/* Whatever allocation fails: no crash, no leak, and the server still serves. */
static void test_no_memory(void)
{
	bool good = true;

	for (long n = 1; n < 120; n++) {
		struct rig r;

		jobs_open(&r);
		mem_fail_after(n);
		say(&r, CALL("1", "always", TAKES));
		rig_wait(&r, 1);
		memcpy(id, task_id(&r, 0), sizeof(id));
		if (seen.slow_n)
			job_asks(0, "a", "b");
		about(&r, UPDATE(ACCEPT("a") "," ACCEPT("b")));
		if (seen.slow_n > 1)
			slow_end(1);
		about(&r, GET);
		mem_fail_after(0);
		say(&r, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\","
			"\"params\":{" TAKES "}}");
		good = good && strstr(msg(&r, 0), "\"must\"");
		rig_close(&r);
	}
	ok(good, "no allocation that fails breaks anything");
}

int main(void)
{
	test_life();
	test_may();
	test_undeclared();
	test_whose();
	test_cancel();
	test_ends();
	test_questions();
	test_unanswered();
	test_listen();
	test_room();
	test_evicted();
	test_no_memory();
	return tap_done();
}
