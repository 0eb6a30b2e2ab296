/* t_run_input.c: input reaches the run it is for, in order, while that can read it; never unasked. */
#include "tests/unit/tools/fake.h"

#define OPEN                                                                           \
	"{\"language\":\"bash\",\"code\":\"cat\",\"background\":true,\"open_stdin\":true}"
#define TO(more) "{\"run_id\":\"" RUN_ID "\"" more "}"

static void begin(struct keeper *k, struct called *c, const char *args)
{
	must(!call_start(c, k, "run_code", args));
	fake_accept(k);
	must(c->ended == 1 && c->running);
}

static bool refused(struct keeper *k, const char *args, enum err_code code,
		    const char *words)
{
	struct err e;

	return refuses(k, "run_input", args, code, &e) && strstr(e.cause, words);
}

static void test_sent(struct keeper *k)
{
	struct called run, c;

	begin(k, &run, OPEN);
	ok(fake.run.o.open_stdin && says(&run.text, "run_input"),
	   "the run is started with open input");
	ok(!call_start(&c, k, "run_input", TO(",\"stdin\":\"a\\n\"")) && c.ended == 1 &&
		   is_of_schema(&c) && int_of(&c, "stdin_bytes") == 2 &&
		   js_is_true(js_get(c.structured, "stdin_open")),
	   "input is taken");
	called_finish(&c);
	ok(!call_start(&c, k, "run_input", TO(",\"stdin\":\"b\",\"eof\":true")) &&
		   is_of_schema(&c) && !js_is_true(js_get(c.structured, "stdin_open")),
	   "and its end");
	called_finish(&c);
	ok(sv_eq(buf_view(&fake.run.input), SV("a\nb")) && fake.run.eof,
	   "in the order it came");
	ok(refused(k, TO(",\"stdin\":\"c\""), ERR_INVALID, "closed"),
	   "after the end there is no more");
	fake_end(k);
	ok(refused(k, TO(",\"stdin\":\"c\""), ERR_INVALID, "ended"),
	   "nor after the run");
	called_finish(&run);
}

static void test_refused(struct keeper *k)
{
	struct called run;

	k->run_id = "run_10112233445566778899aabbccddeeff";
	begin(k, &run, "{\"language\":\"bash\",\"code\":\"cat\",\"background\":true}");
	ok(refused(k,
		   "{\"run_id\":\"run_10112233445566778899aabbccddeeff\",\"stdin\":\"x\"}",
		   ERR_INVALID, "open_stdin"),
	   "a run without open input takes none");
	fake_end(k);
	called_finish(&run);
	k->run_id = "run_20112233445566778899aabbccddeeff";
	begin(k, &run, OPEN);
	ok(refused(k, "{\"run_id\":\"run_20112233445566778899aabbccddeeff\"}",
		   ERR_INVALID, "neither"),
	   "nothing to send is a mistake");
	fake.refuse = true;
	ok(refused(k,
		   "{\"run_id\":\"run_20112233445566778899aabbccddeeff\",\"stdin\":\"x\"}",
		   ERR_BUSY, "too much"),
	   "what the client cannot take is not lost silently");
	k->principal = "somebody else";
	ok(refused(k,
		   "{\"run_id\":\"run_20112233445566778899aabbccddeeff\",\"stdin\":\"x\"}",
		   ERR_NOT_FOUND, "no run"),
	   "another's run is none");
	k->principal = "";
	ok(!fake.run.input.n, "none of that reached the run");
	fake_end(k);
	called_finish(&run);
}

static void test_open_without_background(struct keeper *k)
{
	struct err e;

	ok(refuses(k, "run_code",
		   "{\"language\":\"bash\",\"code\":\"cat\",\"open_stdin\":true}",
		   ERR_INVALID, &e) &&
		   strstr(e.remediation, "background"),
	   "open input without background is refused: nobody could send any");
}

/* A shell that reads commands runs what is sent: the user is asked about it as about a run. */
static void test_confirm(struct keeper *k)
{
	struct called run, c;
	AUTO_BUF state = {0};

	k->run_id = "run_30112233445566778899aabbccddeeff";
	begin(k, &run, OPEN);
	k->confirm = true;
	k->can_be_asked = true;
	must(!call_start(
		&c, k, "run_input",
		"{\"run_id\":\"run_30112233445566778899aabbccddeeff\",\"stdin\":\"rm -rf .\\n\"}"));
	ok(c.ask.n && says(&c.ask, "rm -rf .") && !fake.run.input.n,
	   "the user is asked, and shown the input");
	buf_init(&state, 1000);
	buf_sv(&state, buf_view(&c.state));
	called_finish(&c);
	k->inputs =
		"{\"confirm\":{\"action\":\"accept\",\"content\":{\"confirm\":true}}}";
	k->ask_state = buf_cstr(&state);
	must(!call_start(
		&c, k, "run_input",
		"{\"run_id\":\"run_30112233445566778899aabbccddeeff\",\"stdin\":\"other\"}"));
	ok(c.ask.n && !fake.run.input.n, "a yes is for that input alone");
	called_finish(&c);
	must(!call_start(
		&c, k, "run_input",
		"{\"run_id\":\"run_30112233445566778899aabbccddeeff\",\"stdin\":\"rm -rf .\\n\"}"));
	ok(!c.ask.n && fake.run.input.n == 9, "then it is sent");
	called_finish(&c);
	must(!call_start(
		&c, k, "run_input",
		"{\"run_id\":\"run_30112233445566778899aabbccddeeff\",\"stdin\":\"rm -rf .\\n\"}"));
	ok(c.ask.n && fake.run.input.n == 9, "once");
	called_finish(&c);
	k->inputs = k->ask_state = NULL;
	k->confirm = false;
	fake_end(k);
	called_finish(&run);
}

int main(void)
{
	struct keeper k;

	fake_init(&k);
	test_sent(&k);
	test_refused(&k);
	test_open_without_background(&k);
	test_confirm(&k);
	fake_finish(&k);
	return tap_done();
}
