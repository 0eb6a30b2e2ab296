/* t_run_background.c: a run outlives its call when it should and only then; cancelling one of them means
 * what it says. */
#include "tests/unit/tools/keeper.h"

#define CODE "{\"language\":\"python\",\"code\":\"print(1)\"}"
#define BACKGROUND "{\"language\":\"python\",\"code\":\"print(1)\",\"background\":true}"
#define THE_RUN "{\"run_id\":\"" RUN_ID "\"}"

/* Whether the keeper is told to stop run id, and nothing else. */
static bool is_stopped(struct keeper *k, uint64_t id)
{
	struct ipc_msg m;

	return keeper_next(k, &m) == SUP_STOP && m.id == id &&
	       ipc_get_u32(&m) == WIRE_CANCEL && !keeper_next(k, &m);
}

static bool is_quiet(struct keeper *k)
{
	struct ipc_msg m;

	return !keeper_next(k, &m);
}

static void test_background(struct keeper *k)
{
	struct called c, status;
	struct wire_run run;
	struct ipc_msg m;
	uint64_t id;
	int w[2];

	ok(!call_start(&c, k, "run_code", BACKGROUND) && keeper_next_run(k, &m, &run),
	   "asked to run in the background");
	wire_run_close(&run);
	id = m.id;
	keeper_turn(k);
	ok(!c.ended, "without an id there is no answer yet");
	keeper_open(k, id, w);
	keeper_turn(k);
	ok(c.ended == 1 && c.running && !c.call.state &&
		   !strcmp(text_of(&c, "status"), "running") &&
		   !strcmp(text_of(&c, "run_id"), RUN_ID),
	   "with it comes the answer: it runs");
	ok(is_of_schema(&c), "which is what the schema promises");
	ok(strstr(text_of(&c, "note"), "run_status") &&
		   strstr(text_of(&c, "note"), RUN_ID) &&
		   strstr(buf_cstr(&c.text), text_of(&c, "note")),
	   "and says how to go on, in both forms");
	c.call.tool->cancel(&c.call);
	ok(is_quiet(k), "cancelling the call is too late to end the run");
	keeper_print(k, w[0], SV("hello\n"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(!call_start(&status, k, "run_status", THE_RUN) && status.ended == 1 &&
		   !strcmp(text_of(&status, "status"), "exited") &&
		   !strcmp(text_of(&status, "stdout"), "hello\n"),
	   "how it ended is there for run_status");
	called_finish(&c);
	called_finish(&status);
}

/* Starts a call; the front's number of its run. */
static uint64_t ask_only(struct keeper *k, struct called *c, const char *args)
{
	struct wire_run run;
	struct ipc_msg m;

	must(!call_start(c, k, "run_code", args) && keeper_next_run(k, &m, &run));
	wire_run_close(&run);
	return m.id;
}

static void test_queued(struct keeper *k)
{
	struct called c, status, cancel;
	uint64_t id = ask_only(k, &c, BACKGROUND);
	int w[2];

	keeper_queue(k, id);
	ok(c.ended == 1 && c.running && !strcmp(text_of(&c, "run_id"), RUN_ID) &&
		   is_of_schema(&c),
	   "a run that waits for its turn has a handle");
	ok(!call_start(&status, k, "run_status", THE_RUN) && status.ended == 1 &&
		   !strcmp(text_of(&status, "status"), "running"),
	   "by which it is followed");
	called_finish(&status);
	keeper_open(k, id, w);
	keeper_print(k, w[0], SV("begun\n"));
	ok(!call_start(&status, k, "run_status", THE_RUN) &&
		   !strcmp(text_of(&status, "stdout"), "begun\n"),
	   "also when it has begun");
	keeper_finish_run(k, id, w, SUP_EXITED);
	called_finish(&status);
	called_finish(&c);
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	id = ask_only(k, &c, BACKGROUND);
	keeper_queue(k, id);
	ok(!call_start(&cancel, k, "run_cancel", THE_RUN) && is_stopped(k, id),
	   "and ended");
	keeper_end(k, id, SUP_CANCELLED, 0);
	keeper_turn(k);
	ok(cancel.ended == 1 && !strcmp(text_of(&cancel, "status"), "cancelled") &&
		   is_of_schema(&cancel),
	   "without ever having begun");
	called_finish(&c);
	called_finish(&cancel);
}

static void test_queued_promotes(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	k->promote_ms = 1;
	id = ask_only(k, &c, CODE);
	keeper_queue(k, id);
	keeper_until_ended(k, &c);
	ok(c.running && !strcmp(text_of(&c, "run_id"), RUN_ID),
	   "a call that waits long for its turn is answered too");
	k->promote_ms = 0;
	keeper_open(k, id, w);
	keeper_finish_run(k, id, w, SUP_EXITED);
	called_finish(&c);
}

static void test_promote(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	k->promote_ms = 300; /* what it prints is to come before */
	id = keeper_begin(k, &c, CODE, w);
	keeper_print(k, w[0], SV("so far\n"));
	keeper_until_ended(k, &c);
	ok(c.running && !strcmp(text_of(&c, "status"), "running") && is_of_schema(&c),
	   "a call that takes long is answered: it runs");
	ok(!strcmp(text_of(&c, "stdout"), "so far\n") &&
		   int_of(&c, "next_stdout_offset") == 7 &&
		   strstr(buf_cstr(&c.text), "so far\n"),
	   "with what it has printed, and where to go on");
	ok(is_quiet(k), "the run goes on");
	keeper_finish_run(k, id, w, SUP_EXITED);
	called_finish(&c);
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	k->promote_ms = 60000;
	id = keeper_begin(k, &c, CODE, w);
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(c.ended == 1 && !c.running && !strcmp(text_of(&c, "status"), "exited"),
	   "one that ends in time is answered with its end");
	called_finish(&c);
	k->promote_ms = 0;
}

/* A run that waits for its turn has no id to answer with. */
static void test_promote_unnamed(struct keeper *k)
{
	struct called c;
	struct wire_run run;
	struct ipc_msg m;
	uint64_t id, since = loop_now_us();
	int w[2];

	k->promote_ms = 1;
	must(!call_start(&c, k, "run_code", CODE) && keeper_next_run(k, &m, &run));
	wire_run_close(&run);
	id = m.id;
	while (loop_now_us() - since < 5000)
		keeper_turn(k);
	ok(!c.ended, "while the id is not known the call waits");
	keeper_open(k, id, w);
	keeper_turn(k);
	ok(c.ended == 1 && c.running, "and is answered when it is");
	keeper_finish_run(k, id, w, SUP_EXITED);
	called_finish(&c);
	k->promote_ms = 0;
}

static void test_refused(struct keeper *k)
{
	struct called c, status;
	struct wire_run run;
	struct ipc_msg m;

	must(!call_start(&c, k, "run_code", BACKGROUND) &&
	     keeper_next_run(k, &m, &run));
	wire_run_close(&run);
	keeper_refuse(k, m.id, ERR_DENIED, "not today");
	keeper_turn(k);
	ok(c.ended == 1 && c.failed && c.err.code == ERR_DENIED,
	   "a background run that is refused is an error");
	ok(call_start(&status, k, "run_status", "{\"run_id\":\"\"}") == -1 &&
		   status.err.code == ERR_NOT_FOUND,
	   "and leaves nothing to ask about");
	called_finish(&c);
	called_finish(&status);
}

static void test_cancel_before(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	k->promote_ms = 60000;
	id = keeper_begin(k, &c, CODE, w);
	c.call.tool->cancel(&c.call);
	ok(is_stopped(k, id) && !c.ended,
	   "cancelling a call that was not answered ends its run");
	keeper_finish_run(k, id, w, SUP_CANCELLED);
	ok(c.ended == 1 && !strcmp(text_of(&c, "status"), "cancelled"),
	   "and the answer comes");
	called_finish(&c);
	k->promote_ms = 0;
}

static void test_run_cancel(struct keeper *k)
{
	struct called c, cancel, again;
	uint64_t id;
	int w[2];

	id = keeper_begin(k, &c, BACKGROUND, w);
	keeper_print(k, w[0], SV("before\n"));
	ok(!call_start(&cancel, k, "run_cancel", THE_RUN) && is_stopped(k, id) &&
		   !cancel.ended,
	   "run_cancel asks for the end and waits for it");
	ok(!call_start(&again, k, "run_cancel", THE_RUN) && !again.ended && is_quiet(k),
	   "a second one waits with it");
	keeper_finish_run(k, id, w, SUP_CANCELLED);
	ok(cancel.ended == 1 && !strcmp(text_of(&cancel, "status"), "cancelled") &&
		   !strcmp(text_of(&cancel, "stdout"), "before\n") &&
		   is_of_schema(&cancel),
	   "the answer is how it ended, with its output");
	ok(again.ended == 1 && !strcmp(text_of(&again, "status"), "cancelled"),
	   "for both of them");
	called_finish(&again);
	ok(!call_start(&again, k, "run_cancel", THE_RUN) && again.ended == 1 &&
		   !strcmp(text_of(&again, "status"), "cancelled") && is_quiet(k),
	   "of an ended run it is its result, as often as one likes");
	called_finish(&again);
	called_finish(&cancel);
	called_finish(&c);
}

/* A run that does not end: the answer may not wait for ever. */
static void test_run_cancel_gives_up(struct keeper *k)
{
	struct called c, cancel;
	uint64_t id;
	int w[2];

	id = keeper_begin(k, &c, BACKGROUND, w);
	must(!call_start(&cancel, k, "run_cancel", THE_RUN) && is_stopped(k, id));
	ok(cancel.call.tool->cancel && !cancel.ended, "it waits");
	cancel.call.tool->cancel(&cancel.call);
	ok(cancel.ended == 1 && !strcmp(text_of(&cancel, "status"), "running") &&
		   is_of_schema(&cancel),
	   "until it is told not to: the run is not said to have ended");
	keeper_finish_run(k, id, w, SUP_CANCELLED);
	called_finish(&cancel);
	called_finish(&c);
}

static void test_foreign(struct keeper *k)
{
	static const char *const names[] = {"run_status", "run_cancel"};
	struct called c, foreign, unknown;
	uint64_t id;
	int w[2];

	k->principal = "alice";
	id = keeper_begin(k, &c, BACKGROUND, w);
	k->principal = "bob";
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ok(call_start(&foreign, k, names[i], THE_RUN) == -1 &&
			   call_start(&unknown, k, names[i],
				      "{\"run_id\":\"run_0011\"}") == -1 &&
			   foreign.err.code == ERR_NOT_FOUND &&
			   !memcmp(&foreign.err, &unknown.err, sizeof(unknown.err)),
		   "%s: another's run is answered like none", names[i]);
		called_finish(&foreign);
		called_finish(&unknown);
	}
	ok(is_quiet(k), "and is not ended");
	keeper_finish_run(k, id, w, SUP_EXITED);
	called_finish(&c);
	k->principal = "";
}

static void test_too_many(struct keeper *k)
{
	struct called a, b, c;
	uint64_t first, second;
	int w[2], v[2];

	keeper_runs(k, &(struct runs_opts){.max_background = 1});
	first = keeper_begin(k, &a, BACKGROUND, w);
	ok(call_start(&b, k, "run_code", BACKGROUND) == -1 && b.err.code == ERR_BUSY &&
		   strstr(b.err.remediation, "run_cancel"),
	   "more than so many do not go into the background");
	called_finish(&b);
	k->promote_ms = 1;
	k->run_id = "run_ffffffffffffffffffffffffffffffff";
	second = keeper_begin(k, &c, CODE, v);
	for (uint64_t since = loop_now_us(); loop_now_us() - since < 5000;)
		keeper_turn(k);
	ok(!c.ended, "one that takes long is waited for instead");
	keeper_finish_run(k, second, v, SUP_EXITED);
	ok(c.ended == 1 && !c.running, "to its end");
	k->run_id = RUN_ID;
	k->promote_ms = 0;
	keeper_finish_run(k, first, w, SUP_EXITED);
	first = keeper_begin(k, &b, BACKGROUND, w);
	ok(b.ended == 1 && b.running, "when the first has ended there is room again");
	keeper_finish_run(k, first, w, SUP_EXITED);
	called_finish(&a);
	called_finish(&b);
	called_finish(&c);
}

/* What failed before the client knew of it is an error of the call and nothing else. */
static void test_failed_start(struct keeper *k)
{
	struct called c, status;
	uint64_t id;
	int w[2];

	id = keeper_begin(k, &c, CODE, w);
	fd_close(&w[0]);
	fd_close(&w[1]);
	keeper_refuse(k, id, ERR_UNAVAILABLE, "no sandbox");
	keeper_turn(k);
	ok(c.ended == 1 && c.failed && c.err.code == ERR_UNAVAILABLE &&
		   call_start(&status, k, "run_status", THE_RUN) == -1,
	   "a run that could not be started is not kept");
	called_finish(&c);
	called_finish(&status);
	id = keeper_begin(k, &c, BACKGROUND, w);
	fd_close(&w[0]);
	fd_close(&w[1]);
	keeper_refuse(k, id, ERR_UNAVAILABLE, "no sandbox");
	keeper_turn(k);
	ok(!call_start(&status, k, "run_status", THE_RUN) && status.failed &&
		   status.err.code == ERR_UNAVAILABLE &&
		   !strcmp(status.err.cause, "no sandbox"),
	   "unless the client was told that it runs: then it learns why it does not");
	called_finish(&c);
	called_finish(&status);
}

/* The registry is full, a run has ended and those who wait for it have not been answered yet. */
static struct keeper *full;
static int refused;

static void on_done_and_next(struct tool_call *call, const struct tool_answer *a)
{
	struct called next;

	on_call_done(call, a);
	refused = call_start(&next, full, "run_code", CODE);
	called_finish(&next);
}

static void test_held(struct keeper *k)
{
	static const struct tool_hooks hooks = {.done = on_done_and_next};
	struct called c, wait;
	uint64_t id;
	int w[2];

	keeper_runs(k, &(struct runs_opts){.keep_runs = 1});
	full = k;
	id = keeper_begin(k, &c, CODE, w);
	c.call.hooks = &hooks;
	must(!call_start(&wait, k, "run_status",
			 "{\"run_id\":\"" RUN_ID "\",\"wait_ms\":45000}") &&
	     !wait.ended);
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(c.ended == 1 && refused == -1,
	   "a run that is waited for is not dropped for the next");
	ok(wait.ended == 1 && !strcmp(text_of(&wait, "status"), "exited"),
	   "so who waits gets the answer");
	called_finish(&c);
	called_finish(&wait);
}

static void on_all_ended(void *arg)
{
	++*(int *)arg;
}

static void test_server_ends(struct keeper *k)
{
	struct called a, b, wait;
	uint64_t first, second;
	int w[2], v[2], idle = 0;

	first = keeper_begin(k, &a, BACKGROUND, w);
	second = keeper_begin(k, &b, CODE, v);
	must(!call_start(&wait, k, "run_cancel", THE_RUN) && is_stopped(k, first));
	runs_cancel_all(k->runs, on_all_ended, &idle);
	ok(is_stopped(k, second) && !idle,
	   "at the server's end every run is told to end");
	keeper_finish_run(k, first, w, SUP_CANCELLED);
	ok(!idle, "and waited for");
	keeper_finish_run(k, second, v, SUP_CANCELLED);
	ok(idle == 1, "up to the last");
	runs_cancel_all(k->runs, on_all_ended, &idle);
	ok(idle == 2, "with none running there is nothing to wait for");
	called_finish(&a);
	called_finish(&b);
	called_finish(&wait);
}

static void test_registry_ends(struct keeper *k)
{
	struct called a, b, wait;
	uint64_t first, second;
	int w[2], v[2];

	first = keeper_begin(k, &a, BACKGROUND, w);
	k->run_id = "run_ffffffffffffffffffffffffffffffff";
	second = keeper_begin(k, &b, CODE, v);
	k->run_id = RUN_ID;
	must(!call_start(&wait, k, "run_status",
			 "{\"run_id\":\"" RUN_ID "\",\"wait_ms\":45000}") &&
	     !wait.ended);
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	ok(b.ended == 1 && b.err.code == ERR_LOST && wait.ended == 1 &&
		   wait.err.code == ERR_LOST,
	   "without the registry every call that waits for a run ends");
	keeper_finish_run(k, first, w, SUP_CANCELLED);
	keeper_finish_run(k, second, v, SUP_CANCELLED);
	ok(b.ended == 1 && !sup_client_active(k->client),
	   "and what comes later finds nobody");
	called_finish(&a);
	called_finish(&b);
	called_finish(&wait);
}

int main(void)
{
	static void (*const tests[])(struct keeper * k) = {
		test_background,    test_queued,	  test_queued_promotes,
		test_promote,	    test_promote_unnamed, test_refused,
		test_cancel_before, test_run_cancel,	  test_run_cancel_gives_up,
		test_foreign,	    test_too_many,	  test_failed_start,
		test_held,	    test_server_ends,	  test_registry_ends,
	};
	struct keeper k;

	keeper_init(&k);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
		/* the runs of all have the same id */
		keeper_runs(&k, &(struct runs_opts){.keep_runs = 0});
		tests[i](&k);
	}
	keeper_finish(&k);
	return tap_done();
}
