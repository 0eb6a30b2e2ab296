/* t_ask_modern.c: input_required, and what a retry may bring back. */
#include "mcp/protocol/internal.h"
#include "tests/unit/mcp/protocol/more.h"

#define CAPS "\"elicitation\":{},\"sampling\":{},\"roots\":{\"listChanged\":true}"
#define ACCEPT "{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}"

/* A call of quiz with those capabilities, arguments and further params ("" or "...,"). */
static void ask_as(struct rig *r, struct proto_peer *p, const char *caps,
		   const char *args, const char *more)
{
	static char text[2 * 65536];

	snprintf(
		text, sizeof(text),
		LEGACY("4", "tools/call",
		       "\"name\":\"quiz\",\"arguments\":{%s},%s" MODERN_META("%s", "")),
		args, more, caps);
	say_as(r, p, text);
}

static void ask(struct rig *r, const char *args, const char *more)
{
	ask_as(r, r->p, CAPS, args, more);
}

/* The same call again with answers and the state of the last message. */
static void answer_as(struct rig *r, struct proto_peer *p, const char *args,
		      const char *answers, const char *state)
{
	static char more[65536];

	snprintf(more, sizeof(more), "\"inputResponses\":{%s},\"requestState\":\"%s\",",
		 answers, state);
	ask_as(r, p, CAPS, args, more);
}

#define ARGS "\"methods\":[\"elicitation\"],\"rounds\":2"
#define STATE_BYTES 8192

static void t_rounds(void)
{
	struct rig r;
	char state[STATE_BYTES];

	rig_open_more(&r);
	ask(&r, ARGS, "");
	ok(SAYS(&r,
		"\"id\":4,\"result\":{\"inputRequests\":{\"elicitation\":{"
		"\"method\":\"elicitation/create\",\"params\":{\"message\":\"?\"}}},"
		"\"requestState\":\"",
		"\"resultType\":\"input_required\"", "serverInfo", "!content\"",
		"!ttlMs") &&
		   r.ended == 1 && r.sent[0].status == 200 &&
		   r.sent[0].kind == PROTO_RESULT,
	   "a question is an answer that requires input; the request is over");
	ok(!proto_peer_busy(r.p), "and nothing is kept of it");
	member_of(&r, 0, "requestState", state, sizeof(state));
	ok(!strstr(state, "alice") && strlen(state) > 40, "its state is opaque");
	answer_as(&r, r.p, ARGS, "\"elicitation\":" ACCEPT, state);
	ok(SAYS(&r, "input_required") && !strcmp(quiz.state, "0") &&
		   !strcmp(quiz.inputs, "{\"elicitation\":" ACCEPT "}"),
	   "the tool gets answer and state, and may ask again: %s", quiz.inputs);
	answer_as(&r, r.p, ARGS, "\"elicitation\":" ACCEPT, state);
	ok(SAYS(&r, "input_required"), "the old state can come again");
	member_of(&r, 0, "requestState", state, sizeof(state));
	answer_as(&r, r.p, ARGS, "\"elicitation\":{\"action\":\"decline\"}", state);
	ok(SAYS(&r, "\"text\":\"known\"", "\"resultType\":\"complete\"",
		"!requestState") &&
		   !strcmp(quiz.state, "1"),
	   "the last round ends it");
	rig_close(&r);
}

static void t_foreign(void)
{
	struct rig r;
	struct proto_peer *mallory;
	char state[STATE_BYTES], bad[STATE_BYTES + 512];
	static const char invalid[] = "\"reason\":\"invalid_request_state\"";

	rig_open_more(&r);
	mallory = rig_peer(&r, "mallory", false);
	ask(&r, ARGS, "");
	member_of(&r, 0, "requestState", state, sizeof(state));
	for (size_t i = 0; i < strlen(state); i += 7) {
		snprintf(bad, sizeof(bad), "%s", state);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		answer_as(&r, r.p, ARGS, "", bad);
		if (!SAYS(&r, "\"code\":-32602", invalid) || r.sent[0].status != 200)
			break;
	}
	ok(SAYS(&r, "\"id\":4,\"error\":{\"code\":-32602", invalid) &&
		   r.sent[0].status == 200 && quiz.starts == 1,
	   "a state with one letter changed is refused, wherever");
	snprintf(bad, sizeof(bad), "%s-TAMPERED", state);
	answer_as(&r, r.p, ARGS, "", bad);
	ok(SAYS(&r, invalid), "and one with more behind it");
	answer_as(&r, r.p, ARGS, "", "");
	ok(SAYS(&r, invalid), "an empty one");
	answer_as(&r, mallory, ARGS, "", state);
	ok(SAYS(&r, invalid) && quiz.starts == 1, "another principal's");
	answer_as(&r, r.p, "\"methods\":[\"elicitation\"],\"rounds\":3", "", state);
	ok(SAYS(&r, invalid), "one for other arguments");
	snprintf(bad, sizeof(bad),
		 LEGACY("4", "prompts/get",
			"\"name\":\"asking\",\"requestState\":\"%s\"," MODERN_META(CAPS,
										   "")),
		 state);
	say(&r, bad);
	ok(SAYS(&r, invalid), "one for another method");
	ask(&r, ARGS, "\"requestState\":7,");
	ok(SAYS(&r, invalid), "one that is no string");
	answer_as(&r, r.p, "\"rounds\":\"2\",\"methods\":\"[\\\"elicitation\\\"]\"", "",
		  state);
	ok(SAYS(&r, invalid), "the order of arguments is not looked through");
	answer_as(&r, r.p, ARGS, "\"elicitation\":" ACCEPT, state);
	ok(SAYS(&r, "input_required") && quiz.starts == 2, "the right one still does");
	proto_peer_free(mallory);
	rig_close(&r);
}

/* Another process, or this one after a restart. */
static void t_other_server(void)
{
	struct rig r;
	char state[STATE_BYTES];

	rig_open_more(&r);
	ask(&r, ARGS, "");
	member_of(&r, 0, "requestState", state, sizeof(state));
	rig_close(&r);
	rig_open_more(&r);
	answer_as(&r, r.p, ARGS, "\"elicitation\":" ACCEPT, state);
	ok(SAYS(&r, "invalid_request_state") && !quiz.starts,
	   "a state of another server is refused");
	rig_close(&r);
}

static void t_answers(void)
{
	static const struct {
		const char *responses, *inputs, *what;
	} cases[] = {
		{"{\"elicitation\":12345}", "", "a number is no answer"},
		{"{\"elicitation\":{\"action\":\"yes\"}}", "",
		 "nor is an action that is none"},
		{"{\"elicitation\":{\"action\":\"accept\",\"content\":\"Ada\"}}", "",
		 "nor content that is no object"},
		{"null", "", "null is none"},
		{"[]", "", "a list is none"},
		{"\"x\"", "", "a string is none"},
		{"{\"wrong\":" ACCEPT "}", "{\"wrong\":" ACCEPT "}",
		 "an answer to something else is the tool's to ignore"},
		{"{\"elicitation\":[],\"b\":{\"roots\":{}},\"c\":{\"role\":\"x\"},\"d\":{}}",
		 "", "roots and samples are looked at too"},
	};
	struct rig r;

	rig_open_more(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char more[256];

		snprintf(more, sizeof(more), "\"inputResponses\":%s,",
			 cases[i].responses);
		ask(&r, ARGS, more);
		ok(SAYS(&r, "input_required") && !strcmp(quiz.inputs, cases[i].inputs),
		   "%s: %s", cases[i].what, quiz.inputs);
	}
	ask(&r, "\"methods\":[\"elicitation\"]",
	    "\"inputResponses\":{\"elicitation\":" ACCEPT
	    ",\"extra\":{\"roots\":[]}},");
	ok(SAYS(&r, "\"text\":\"known\""),
	   "answers without a state are taken as those to the first questions");
	rig_close(&r);
}

static void t_capabilities(void)
{
	struct rig r;

	rig_open_more(&r);
	ask_as(&r, r.p, "\"sampling\":{}", "\"methods\":[\"elicitation\"]", "");
	ok(SAYS(&r, "\"code\":-32021",
		"\"requiredCapabilities\":{\"elicitation\":{}}") &&
		   r.sent[0].status == 400 && r.ended == 1,
	   "a question the client has not declared is refused with what it takes");
	ok(!quiz.can[0] && quiz.can[2], "the tool could have looked");
	hello(&r, r.p, "2025-11-25", CAPS);
	ask_as(&r, r.p, "", "\"methods\":[\"roots\"]", "");
	ok(SAYS(&r, "-32021", "\"requiredCapabilities\":{\"roots\":{}}"),
	   "what was declared to initialize does not count here");
	say(&r, MODERN("4", "tools/call", "\"name\":\"needy\","));
	ok(SAYS(&r, "-32021", "\"requiredCapabilities\":{\"sampling\":{}}") &&
		   r.sent[0].status == 400,
	   "a tool that needs it is refused before it starts");
	say(&r, LEGACY("4", "tools/call",
		       "\"name\":\"needy\"," MODERN_META("\"sampling\":{}", "")));
	ok(SAYS(&r, "sampled"), "and not when it is there");
	ask_as(&r, r.p, CAPS, "\"methods\":[\"shell\"]", "");
	ok(SAYS(&r, "-32603", "shell/run"),
	   "a question nobody may be asked is our fault");
	rig_close(&r);
}

static void t_prompt(void)
{
	struct rig r;
	char state[STATE_BYTES], text[STATE_BYTES + 512];

	rig_open_more(&r);
	say(&r,
	    LEGACY("4", "prompts/get", "\"name\":\"asking\"," MODERN_META(CAPS, "")));
	ok(SAYS(&r, "\"inputRequests\":{\"who\":{", "input_required"),
	   "a prompt may ask too");
	member_of(&r, 0, "requestState", state, sizeof(state));
	snprintf(text, sizeof(text),
		 LEGACY("4", "prompts/get",
			"\"name\":\"asking\",\"inputResponses\":{\"who\":" ACCEPT
			"},\"requestState\":\"%s\"," MODERN_META(CAPS, "")),
		 state);
	say(&r, text);
	ok(SAYS(&r, "\"messages\":[1]", "\"resultType\":\"complete\""),
	   "and is made from the answer");
	rig_close(&r);
}

static void t_for_ever(void)
{
	struct rig r;
	char state[STATE_BYTES];
	unsigned n = 0;

	rig_open_more(&r);
	ask(&r, "\"methods\":[\"roots\"],\"rounds\":1000", "");
	while (n++ < 100 && strstr(msg(&r, 0), "input_required")) {
		member_of(&r, 0, "requestState", state, sizeof(state));
		answer_as(&r, r.p, "\"methods\":[\"roots\"],\"rounds\":1000",
			  "\"roots\":{\"roots\":[]}", state);
	}
	ok(n == 17 && SAYS(&r, "-32603", "asked 16 times"),
	   "a call cannot ask for ever (%u)", n);
	rig_close(&r);
}

int main(void)
{
	t_rounds();
	t_foreign();
	t_other_server();
	t_answers();
	t_capabilities();
	t_prompt();
	t_for_ever();
	return tap_done();
}
