/* t_ask_legacy.c: questions to a legacy client are requests of ours while the call waits. */
#include "tests/unit/mcp/protocol/more.h"

#define CAPS "\"elicitation\":{},\"sampling\":{},\"roots\":{}"
#define QUIZ(id, args)                                                                 \
	LEGACY(id, "tools/call", "\"name\":\"quiz\",\"arguments\":{" args "}")
#define RESULT(id, json) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":" json "}"
#define ACCEPT "{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}"

static void t_one(void)
{
	struct rig r;
	struct rig_sink *call;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\"]"));
	call = r.last;
	ok(SAYS(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"elicitation/create\","
		    "\"params\":{\"message\":\"?\"}}") &&
		   r.sent[0].kind == PROTO_REQUEST && r.sent[0].sink == call &&
		   r.sent[0].status == 200 && !r.ended,
	   "a question goes out on the stream of its call, which waits");
	ok(quiz.can[0] && !quiz.can[1] && quiz.can[2] && quiz.can[3],
	   "the tool sees what the client can");
	say(&r, RESULT("7", ACCEPT));
	ok(!r.n && r.ended == 1, "an answer to nothing is ignored");
	say(&r, RESULT("\"1\"", ACCEPT));
	say(&r, RESULT("-1", ACCEPT));
	say(&r, RESULT("1.5", ACCEPT));
	ok(!r.n && quiz.starts == 1, "as is one with an id like ours");
	say(&r, LEGACY("5", "ping", ""));
	ok(SAYS(&r, "-32600", "in flight"), "the id of the call is taken meanwhile");
	say(&r, RESULT("1", ACCEPT));
	ok(SAYS(&r, "\"id\":5,\"result\":{\"content\":[{\"type\":\"text\","
		    "\"text\":\"known\"}]}") &&
		   r.sent[0].sink == call && r.ended == 2,
	   "the answer to it lets the call end, and both streams");
	ok(!strcmp(quiz.inputs, "{\"elicitation\":" ACCEPT "}") &&
		   !strcmp(quiz.state, "0"),
	   "the tool was started again with answer and state: %s %s", quiz.inputs,
	   quiz.state);
	say(&r, RESULT("1", ACCEPT));
	ok(!r.n && quiz.starts == 2, "a second answer is nothing any more");
	rig_close(&r);
}

static void t_many(void)
{
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-06-18", CAPS);
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\",\"sampling\",\"roots\"],"
			  "\"rounds\":2"));
	ok(r.n == 3 && SAYS_AT(&r, 0, "\"id\":1,", "elicitation/create") &&
		   SAYS_AT(&r, 1, "\"id\":2,", "sampling/createMessage") &&
		   SAYS_AT(&r, 2, "\"id\":3,", "roots/list"),
	   "three questions are three requests");
	say(&r, RESULT("3", "{\"roots\":[]}"));
	say(&r, RESULT("1", "{\"action\":\"decline\"}"));
	ok(!r.n, "the call waits for all of them");
	say(&r, RESULT("2", "{\"role\":\"assistant\",\"content\":{},\"model\":\"m\"}"));
	ok(r.n == 3 && SAYS_AT(&r, 0, "\"id\":4,") && SAYS_AT(&r, 2, "\"id\":6,"),
	   "then it may ask again, under new ids");
	ok(!strcmp(quiz.inputs,
		   "{\"elicitation\":{\"action\":\"decline\"},\"sampling\":{"
		   "\"role\":\"assistant\",\"content\":{},\"model\":\"m\"},"
		   "\"roots\":{\"roots\":[]}}"),
	   "it was given all answers: %s", quiz.inputs);
	say(&r, RESULT("6", "{\"roots\":[]}"));
	say(&r, RESULT("5", "{\"role\":\"assistant\",\"content\":{}}"));
	say(&r, RESULT("4", "{\"action\":\"cancel\"}"));
	ok(SAYS(&r, "\"id\":5,\"result\":", "known") && !strcmp(quiz.state, "1"),
	   "and end after the second round");
	rig_close(&r);
}

/* A client that takes one JSON answer would never see the question. */
static void t_no_way(void)
{
	struct rig_sink *sink;
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	rig_clear(&r);
	sink = rig_sink_new(&r);
	sink->s.alone = true;
	proto_on_message(r.p, sv_of(QUIZ("5", "\"methods\":[\"elicitation\"]")),
			 &sink->s);
	ok(SAYS(&r, "\"id\":5", "\"isError\":true", "no event stream") && r.ended == 1,
	   "where no question can be put the call ends at once");
	rig_close(&r);
}

static void t_refused(void)
{
	static const struct {
		const char *answer, *want, *what;
	} cases[] = {
		{"\"error\":{\"code\":-1,"
		 "\"message\":\"user is away\"}",
		 "user is away", "an error"},
		{"\"result\":{}", "is none", "an empty result"},
		{"\"result\":7", "is none", "a number"},
		{"\"result\":{\"action\":\"yes\"}", "is none",
		 "an action that is none"},
		{"\"result\":{\"action\":\"accept\","
		 "\"content\":[]}",
		 "is none", "content that is no object"},
	};
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256], other[256];

		say(&r, QUIZ("5", "\"methods\":[\"elicitation\",\"roots\"]"));
		snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,%s}",
			 (int)(2 * i + 1), cases[i].answer);
		snprintf(other, sizeof(other),
			 "\"method\":\"notifications/cancelled\",\"params\":{"
			 "\"requestId\":%d,",
			 (int)(2 * i + 2));
		say(&r, text);
		ok(r.n == 2 && SAYS_AT(&r, 0, other) &&
			   SAYS_AT(&r, 1, "\"id\":5,\"result\":", "\"isError\":true",
				   cases[i].want) &&
			   r.ended == 2,
		   "%s ends the call and withdraws the other question", cases[i].what);
	}
	ok(quiz.starts == ARRAY_LEN(cases), "the tool was not started again");
	rig_close(&r);
}

static void t_undeclared(void)
{
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", "\"elicitation\":{\"url\":{}},\"roots\":7");
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\"]"));
	ok(SAYS(&r, "\"id\":5,\"result\":", "isError",
		"needs the client capability elicitation"),
	   "a client that can show links only is not asked to fill in forms");
	ok(!quiz.can[0] && quiz.can[1] && !quiz.can[2] && !quiz.can[3],
	   "and the tool could have seen it");
	say(&r, QUIZ("5", "\"methods\":[\"shell\"]"));
	ok(SAYS(&r, "isError", "\\\"code\\\":\\\"internal\\\"", "shell/run"),
	   "no tool gets through what no client has to answer");
	say(&r, LEGACY("6", "tools/call", "\"name\":\"needy\""));
	ok(SAYS(&r, "isError", "sampling"), "a tool that needs more is not started");
	say(&r, LEGACY("7", "prompts/get", "\"name\":\"asking\""));
	ok(SAYS(&r, "\"error\":{\"code\":-32602", "elicitation"),
	   "a prompt's refusal is an error of the protocol");
	rig_close(&r);
}

static void t_prompt(void)
{
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	say(&r, LEGACY("7", "prompts/get", "\"name\":\"asking\""));
	ok(SAYS(&r, "elicitation/create", "who?"), "a prompt may ask too");
	say(&r, RESULT("1", ACCEPT));
	ok(SAYS(&r, "\"id\":7,\"result\":{\"messages\":[1]}}") && r.ended == 2,
	   "and is made from the answer: %s", msg(&r, 0));
	rig_close(&r);
}

static void t_cancelled(void)
{
	struct rig r;
	struct rig_sink *call;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\"]"));
	call = r.last;
	say(&r, CANCEL("5"));
	ok(SAYS(&r, "notifications/cancelled", "\"requestId\":1") &&
		   r.sent[0].sink == call && r.ended == 2,
	   "cancelling a call that waits withdraws its question and ends both");
	say(&r, RESULT("1", ACCEPT));
	ok(!r.n && quiz.starts == 1, "a late answer starts nothing");
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\"]"));
	r.last->gone = true;
	proto_sink_gone(r.p, &r.last->s);
	say(&r, RESULT("2", ACCEPT));
	ok(!r.n && quiz.starts == 2, "nor does one to a client that has gone");
	ok(!proto_peer_busy(r.p), "nothing is left of either");
	say(&r, QUIZ("6", "\"methods\":[\"elicitation\"]"));
	rig_clear(&r);
	proto_peer_close(r.p, rig_on_idle, &r);
	ok(r.idle == 1 && !r.n && r.ended == 1, "closing waits for no answer");
	rig_close(&r);
}

static void t_others(void)
{
	struct rig r;
	struct proto_peer *other;

	rig_open_more(&r);
	other = rig_peer(&r, "alice", false);
	hello(&r, r.p, "2025-11-25", CAPS);
	hello(&r, other, "2025-11-25", CAPS);
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\"]"));
	say_as(&r, other, RESULT("1", ACCEPT));
	ok(!r.n && quiz.starts == 1, "another peer cannot answer");
	say(&r, RESULT("1", ACCEPT));
	ok(SAYS(&r, "known"), "the one that was asked can");
	proto_peer_free(other);
	rig_close(&r);
}

static void t_rounds(void)
{
	struct rig r;
	unsigned n = 0;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	say(&r, QUIZ("5", "\"methods\":[\"roots\"],\"rounds\":1000"));
	while (n++ < 100 && SAYS_AT(&r, 0, "roots/list")) {
		char text[128];

		snprintf(text, sizeof(text), RESULT("%u", "{\"roots\":[]}"), n);
		say(&r, text);
	}
	ok(n == 17 && SAYS(&r, "isError", "asked 16 times"),
	   "a call cannot ask for ever (%u)", n);
	say(&r, QUIZ("5", "\"methods\":[\"roots\",\"roots\",\"roots\",\"roots\","
			  "\"roots\",\"roots\",\"roots\",\"roots\",\"roots\","
			  "\"roots\",\"roots\",\"roots\",\"roots\",\"roots\","
			  "\"roots\",\"roots\",\"roots\"]"));
	ok(SAYS(&r, "isError", "17 questions"), "nor everything at once");
	rig_close(&r);
}

static void t_progress(void)
{
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	say(&r, LEGACY("5", "tools/call",
		       "\"name\":\"quiz\",\"arguments\":{\"methods\":[\"roots\"]},"
		       "\"_meta\":{\"progressToken\":9}"));
	rig_clear(&r);
	rig_wait(&r, RIG_PROGRESS_MS * 3 / 2);
	ok(SAYS(&r, "\"progressToken\":9", "waiting for the answer to a question"),
	   "meanwhile the client hears that it is waited for");
	rig_close(&r);
}

/* The timer that is due last, at once: the one of a question. */
static void let_time_pass(struct rig *r)
{
	struct loop_timer *last = r->loop.timers;

	must(last);
	while (last->next)
		last = last->next;
	must(last->due_us > loop_now_us() + 500u * 1000000);
	loop_timer_stop(&r->loop, last);
	last->on_due(last);
}

static void t_silence(void)
{
	struct rig r;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	say(&r, QUIZ("5", "\"methods\":[\"elicitation\",\"roots\"]"));
	say(&r, RESULT("2", "{\"roots\":[]}"));
	rig_clear(&r);
	let_time_pass(&r);
	ok(r.n == 2 && SAYS_AT(&r, 0, "notifications/cancelled", "\"requestId\":1,") &&
		   SAYS_AT(&r, 1, "\"id\":5,\"result\":", "isError", "within 600 s") &&
		   r.ended == 1,
	   "a question nobody answers is withdrawn and ends the call");
	ok(!r.loop.timers, "no timer is left");
	rig_close(&r);
}

/* Arguments are kept for the second start, within a limit for all. */
static void t_kept(void)
{
	struct rig r;
	unsigned asked = 0;
	AUTO_BUF b = {0};

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	buf_init(&b, (size_t)16 << 20);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{"
		    "\"name\":\"quiz\",\"arguments\":{\"methods\":[\"roots\",\"");
	while (b.n < (size_t)15 << 20)
		buf_str(&b, "0123456789abcdef0123456789abcdef");
	buf_str(&b, "\"]}},\"id\":9}");
	for (unsigned i = 1; i <= 6; i++) {
		b.p[b.n - 2] = (char)('0' + i);
		rig_clear(&r);
		r.last = rig_sink_new(&r);
		proto_on_message(r.p, buf_view(&b), &r.last->s);
		asked += strstr(msg(&r, 0), "roots/list") != NULL;
	}
	ok(asked == 4 && SAYS(&r, "isError", "no room to keep"),
	   "of large arguments only so many can be kept (%u)", asked);
	say(&r, CANCEL("1"));
	say(&r, QUIZ("7", "\"methods\":[\"roots\"]"));
	ok(SAYS(&r, "roots/list"), "what has ended gives its room back");
	rig_close(&r);
}

int main(void)
{
	t_silence();
	t_kept();
	t_one();
	t_many();
	t_no_way();
	t_refused();
	t_undeclared();
	t_prompt();
	t_cancelled();
	t_others();
	t_rounds();
	t_progress();
	return tap_done();
}
