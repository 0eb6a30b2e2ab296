/* t_confirm.c: where the operator wants it nothing runs before the user has agreed to exactly that. */
#include "tests/unit/tools/keeper.h"

#define CODE "{\"language\":\"python\",\"code\":\"print(1)\",\"stdin\":\"four\"}"
#define YES "{\"confirm\":{\"action\":\"accept\",\"content\":{\"confirm\":true}}}"

static bool is_quiet(struct keeper *k)
{
	struct ipc_msg m;

	keeper_turn(k);
	return !keeper_next(k, &m);
}

/* Asks and gives the state that came with the question; the caller's. */
static char *asked_state(struct keeper *k, const char *tool, const char *args)
{
	struct called c;
	char *state;

	k->inputs = k->ask_state = NULL;
	must(!call_start(&c, k, tool, args) && c.ended == 1 && c.ask.n);
	state = mem_strdup(buf_cstr(&c.state));
	called_finish(&c);
	return state;
}

static void test_off(struct keeper *k)
{
	struct called c;
	struct wire_run run;
	struct ipc_msg m;

	k->confirm = false;
	ok(!call_start(&c, k, "run_code", CODE) && !c.ended &&
		   keeper_next_run(k, &m, &run),
	   "where nobody wants it nobody is asked");
	wire_run_close(&run);
	keeper_refuse(k, m.id, ERR_DENIED, "enough");
	keeper_turn(k);
	called_finish(&c);
	k->confirm = true;
}

static void test_question(struct keeper *k)
{
	struct called c;
	struct cJSON *v;
	const struct cJSON *schema;

	ok(!call_start(&c, k, "run_code", CODE) && c.ended == 1 && !c.failed &&
		   !strcmp(c.ask_key, "confirm") &&
		   !strcmp(c.ask_method, "elicitation/create"),
	   "the user is asked first");
	v = rpc_json_parse(buf_view(&c.ask), NULL);
	schema = js_get(v, "requestedSchema");
	ok(sv_eq(js_str(js_get(v, "mode")), SV("form")) &&
		   sv_eq(js_str(js_get(js_get(js_get(schema, "properties"), "confirm"),
				       "type")),
			 SV("boolean")) &&
		   sv_eq(js_str(js_first(js_get(schema, "required"))), SV("confirm")),
	   "for a yes or no");
	ok(strstr(js_str(js_get(v, "message")).p, "print(1)") &&
		   strstr(js_str(js_get(v, "message")).p, "python") &&
		   strstr(js_str(js_get(v, "message")).p, "4 bytes of input"),
	   "and sees what is to run");
	ok(is_quiet(k), "nothing runs yet");
	cJSON_Delete(v);
	called_finish(&c);
}

static void test_yes(struct keeper *k)
{
	struct called c;
	struct wire_run run;
	struct ipc_msg m;
	char *state = asked_state(k, "run_code", CODE);

	k->inputs = YES;
	k->ask_state = state;
	ok(!call_start(&c, k, "run_code", CODE) && !c.ended &&
		   keeper_next_run(k, &m, &run) && fd_holds(run.code_fd, "print(1)"),
	   "who agrees gets it run");
	wire_run_close(&run);
	keeper_refuse(k, m.id, ERR_DENIED, "enough");
	keeper_turn(k);
	called_finish(&c);
	mem_free(state);
}

/* The same request once more, answer and all, is not another yes. */
static void test_twice(struct keeper *k)
{
	char *state = asked_state(k, "run_code", CODE), *again;
	struct called c;
	struct wire_run run;
	struct ipc_msg m;

	k->inputs = YES;
	k->ask_state = state;
	must(!call_start(&c, k, "run_code", CODE) && keeper_next_run(k, &m, &run));
	wire_run_close(&run);
	keeper_refuse(k, m.id, ERR_DENIED, "enough");
	keeper_turn(k);
	called_finish(&c);
	ok(!call_start(&c, k, "run_code", CODE) && c.ask.n && is_quiet(k),
	   "a yes counts once");
	again = mem_strdup(buf_cstr(&c.state));
	called_finish(&c);
	ok(strcmp(state, again) != 0, "the next question is another one");
	k->ask_state = again;
	ok(!call_start(&c, k, "run_code", CODE) && keeper_next_run(k, &m, &run),
	   "with a yes of its own");
	wire_run_close(&run);
	keeper_refuse(k, m.id, ERR_DENIED, "enough");
	keeper_turn(k);
	called_finish(&c);
	mem_free(state);
	mem_free(again);
}

static void test_no(struct keeper *k)
{
	static const char *const answers[] = {
		"{\"confirm\":{\"action\":\"decline\"}}",
		"{\"confirm\":{\"action\":\"cancel\"}}",
		"{\"confirm\":{\"action\":\"accept\"}}",
		"{\"confirm\":{\"action\":\"accept\",\"content\":{\"confirm\":false}}}",
		"{\"confirm\":{\"action\":\"accept\",\"content\":{\"confirm\":\"true\"}}}",
		"{\"confirm\":{\"content\":{\"confirm\":true}}}",
		"{\"confirm\":true}",
	};
	char *state = asked_state(k, "run_code", CODE);

	k->ask_state = state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct called c;

		k->inputs = answers[i];
		ok(call_start(&c, k, "run_code", CODE) == -1 &&
			   c.err.code == ERR_DENIED && c.err.remediation[0] &&
			   is_quiet(k),
		   "%s is no yes", answers[i]);
		called_finish(&c);
	}
	mem_free(state);
}

/* A yes counts for what was shown. */
static void test_other(struct keeper *k)
{
	static const char *const others[] = {
		"{\"language\":\"python\",\"code\":\"print(2)\",\"stdin\":\"four\"}",
		"{\"language\":\"bash\",\"code\":\"print(1)\",\"stdin\":\"four\"}",
		"{\"language\":\"python\",\"code\":\"print(1)\",\"stdin\":\"five\"}",
		"{\"language\":\"python\",\"code\":\"print(1)f\",\"stdin\":\"our\"}",
		"{\"language\":\"python\",\"code\":\"print(1)\",\"stdin\":\"four\",\"args\":[\"a\"]}",
		"{\"language\":\"python\",\"code\":\"print(1)\",\"stdin\":\"four\",\"timeout_ms\":9}",
	};
	char *state = asked_state(k, "run_code", CODE);

	k->inputs = YES;
	k->ask_state = state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct called c;

		ok(!call_start(&c, k, "run_code", others[i]) && c.ended == 1 &&
			   c.ask.n && is_quiet(k),
		   "for another program one is asked again: %s", others[i]);
		called_finish(&c);
	}
	for (size_t i = 0; i < 2; i++) {
		struct called c;

		k->ask_state = i ? "" : "0123456789";
		ok(!call_start(&c, k, "run_code", CODE) && c.ask.n && is_quiet(k),
		   "a yes to no question of ours counts for nothing");
		called_finish(&c);
	}
	mem_free(state);
}

static void test_cannot(struct keeper *k)
{
	struct called c;

	k->inputs = k->ask_state = NULL;
	k->can_be_asked = false;
	ok(!call_start(&c, k, "run_command", "{\"command\":\"ls\"}") && c.failed &&
		   c.err.code == ERR_DENIED && strstr(c.err.cause, "cannot ask") &&
		   is_quiet(k),
	   "who cannot be asked is refused, and told why");
	called_finish(&c);
	ok(!call_start(&c, k, "run_status", "{\"run_id\":\"run_0\"}") == 0 &&
		   c.err.code == ERR_NOT_FOUND,
	   "for what runs nothing nobody is asked");
	called_finish(&c);
	k->can_be_asked = true;
}

/* What a screen would hide stands there in letters. */
static void test_excerpt(struct keeper *k)
{
	struct called c;
	struct cJSON *v;
	const char *text;
	AUTO_BUF args = {0};

	k->inputs = k->ask_state = NULL;
	must(!call_start(
		&c, k, "run_code",
		"{\"language\":\"python\",\"code\":\"a\\u202eb\\u001b[2J\\u200b\\u00e9\\n\\u2066\"}"));
	v = rpc_json_parse(buf_view(&c.ask), NULL);
	text = js_str(js_get(v, "message")).p;
	ok(strstr(text,
		  "a\\xe2\\x80\\xaeb\\x1b[2J\\xe2\\x80\\x8b\xc3\xa9\n\\xe2\\x81\\xa6"),
	   "controls and what turns the writing round are shown as bytes");
	cJSON_Delete(v);
	called_finish(&c);
	buf_init(&args, 100000);
	buf_str(&args, "{\"language\":\"python\",\"code\":\"");
	for (int i = 0; i < 5000; i++)
		buf_str(&args, "\xc3\xa9");
	buf_str(&args, "\"}");
	must(!call_start(&c, k, "run_code", buf_cstr(&args)));
	v = rpc_json_parse(buf_view(&c.ask), NULL);
	text = js_str(js_get(v, "message")).p;
	ok(c.ask.n < 2000 && strstr(text, "(10000 bytes)") &&
		   strstr(text, "... 8800 more bytes, not shown"),
	   "of a long program the beginning, and how much is not shown");
	cJSON_Delete(v);
	called_finish(&c);
	must(!call_start(&c, k, "run_command",
			 "{\"argv\":[\"rm\",\"-r f\",\"\\u202e\"]}"));
	v = rpc_json_parse(buf_view(&c.ask), NULL);
	text = js_str(js_get(v, "message")).p;
	ok(strstr(text, "\"rm\" \"-r f\" \"\\xe2\\x80\\xae\""),
	   "of an argv its parts, so that one sees where each ends");
	cJSON_Delete(v);
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	keeper_init(&k);
	k.confirm = k.can_be_asked = true;
	test_off(&k);
	test_question(&k);
	test_yes(&k);
	test_twice(&k);
	test_no(&k);
	test_other(&k);
	test_cannot(&k);
	test_excerpt(&k);
	keeper_finish(&k);
	return tap_done();
}
