/* t_session_run.c: a call in a session goes where it is meant to, and its result says what is left of it. */
#include "tests/unit/tools/fake.h"

#define IN "\"session_id\":\"" SES_ID "\""
#define CODE "{\"language\":\"python\",\"code\":\"1\"," IN "}"

static char run_id[SUP_RUN_ID_SIZE];

/* Starts one under a new id. */
static void begin(struct keeper *k, struct called *c, const char *tool,
		  const char *args)
{
	static unsigned n;

	snprintf(run_id, sizeof(run_id), "run_%032x", ++n);
	k->run_id = run_id;
	must(!call_start(c, k, tool, args));
	fake_accept(k);
}

static struct sup_result in_session(enum sup_status status)
{
	return (struct sup_result){.status = status,
				   .has_exit_code = status == SUP_EXITED,
				   .signal = status == SUP_SIGNALED ? 11 : 0,
				   .in_session = true};
}

static void test_request(struct keeper *k)
{
	struct called c;

	begin(k, &c, "run_code", CODE);
	ok(!strcmp(fake.run.session_id, SES_ID) &&
		   !strcmp(fake.run.language, "python") && fake.run.o.on_rich &&
		   !fake.run.o.open_stdin,
	   "the session's id reaches the keeper");
	fake_end(k);
	ok(c.ended == 1 && is_of_schema(&c) &&
		   !strcmp(text_of(&c, "session_id"), SES_ID) &&
		   js_get(c.structured, "fresh") &&
		   !js_get(c.structured, "variables_lost") &&
		   !js_get(c.structured, "session_ended") &&
		   says(&c.text, "session " SES_ID),
	   "and stands in the result");
	called_finish(&c);
	begin(k, &c, "run_command", "{\"command\":\"ls\"," IN "}");
	ok(!strcmp(fake.run.session_id, SES_ID) && !fake.run.o.has_argv,
	   "also of a command");
	fake_end(k);
	called_finish(&c);
	begin(k, &c, "run_code", "{\"language\":\"python\",\"code\":\"1\"}");
	fake_end(k);
	ok(!fake.run.session_id[0] && is_of_schema(&c) &&
		   !js_get(c.structured, "session_id") &&
		   !js_get(c.structured, "fresh"),
	   "without one nothing is said of any");
	called_finish(&c);
}

/* An answer goes out when its outcome is in the record; until then the run has not ended, for anybody. */
static void test_recorded(struct keeper *k)
{
	struct called c, status, cancel;
	char ask[80];

	begin(k, &c, "run_code", CODE);
	snprintf(ask, sizeof(ask), "{\"run_id\":\"%s\"}", run_id);
	fake_done_as(k, in_session(SUP_EXITED));
	ok(!c.ended, "a verdict alone is no answer");
	ok(!call_start(&status, k, "run_status", ask) && status.ended == 1 &&
		   !strcmp(text_of(&status, "status"), "running"),
	   "nor is it told to who asks");
	called_finish(&status);
	ok(!call_start(&cancel, k, "run_cancel", ask) && !cancel.ended,
	   "who cancels it waits");
	fake_recorded();
	ok(c.ended == 1 && is_of_schema(&c) && !strcmp(text_of(&c, "status"), "exited"),
	   "its record is");
	keeper_turn(k);
	ok(cancel.ended == 1 && !strcmp(text_of(&cancel, "status"), "exited"),
	   "for all who wait");
	called_finish(&cancel);
	called_finish(&c);
}

static void test_bad_id(struct keeper *k)
{
	struct err e;

	ok(refuses(k, "run_code",
		   "{\"language\":\"python\",\"code\":\"1\",\"session_id\":\"\"}",
		   ERR_NOT_FOUND, &e) &&
		   strstr(e.remediation, "session_create"),
	   "what is no id is no session, rather than none at all");
}

/* In a session the code has a place where the caller's files cannot be. */
static void test_own_file(struct keeper *k)
{
	struct called c;

	begin(k, &c, "run_code",
	      "{\"language\":\"python\",\"code\":\"1\"," IN
	      ",\"files\":[{\"path\":\"main.py\",\"content\":\"x\"}]}");
	ok(fake.run.alive, "a file may be called main.py in a session");
	fake_end(k);
	called_finish(&c);
	ok(call_start(
		   &c, k, "run_code",
		   "{\"language\":\"python\",\"code\":\"1\",\"files\":[{\"path\":\"main.py\",\"content\":\"x\"}]}") ==
		   -1,
	   "without one it may not");
	called_finish(&c);
}

static void expect(struct keeper *k, struct sup_result r, const char *lost,
		   const char *note)
{
	struct called c;

	begin(k, &c, "run_code", CODE);
	fake_end_as(k, r);
	ok(is_of_schema(&c) &&
		   js_is_true(js_get(c.structured, "variables_lost")) ==
			   (*lost == 'y') &&
		   strstr(text_of(&c, "note"), note) && says(&c.text, note),
	   "%s: %s", sup_status_name(r.status), text_of(&c, "note"));
	called_finish(&c);
}

static void test_notes(struct keeper *k)
{
	struct sup_result r = in_session(SUP_TIMEOUT);

	expect(k, r, "no", "variables and files are still there");
	r.lost_state = true;
	expect(k, r, "yes", "variables were lost, files are still there");
	expect(k, in_session(SUP_CANCELLED), "no",
	       "its code was stopped. The interpreter goes on");
	r = in_session(SUP_SIGNALED);
	r.lost_state = true;
	expect(k, r, "yes", "variables were lost");
	r = in_session(SUP_OUT_OF_MEMORY);
	r.lost_state = true;
	expect(k, r, "yes", "variables were lost");
	expect(k, r, "yes", "or in a session with more memory_bytes.");
	expect(k, in_session(SUP_DISK_FULL), "no",
	       "MiB of /workspace are full; delete");
	r = in_session(SUP_EXITED);
	r.lost_state = true;
	expect(k, r, "yes", "variables were lost");
	r = in_session(SUP_EXITED);
	r.fresh = r.lost_before = true;
	expect(k, r, "yes", "A new interpreter was started for this call");
	expect(k, in_session(SUP_EXITED), "no", "");
}

/* Whether something was lost before is the keeper's to know. */
static void test_fresh(struct keeper *k)
{
	struct sup_result r = in_session(SUP_EXITED);
	struct called c;

	r.fresh = true;
	begin(k, &c, "run_code", "{\"language\":\"javascript\",\"code\":\"1\"," IN "}");
	fake_end_as(k, r);
	ok(is_of_schema(&c) && js_is_true(js_get(c.structured, "fresh")) &&
		   !js_get(c.structured, "variables_lost") &&
		   !js_get(c.structured, "note"),
	   "one may be fresh, and nothing was lost");
	called_finish(&c);
	r.lost_before = true;
	begin(k, &c, "run_code", "{\"language\":\"node\",\"code\":\"1\"," IN "}");
	fake_end_as(k, r);
	ok(js_is_true(js_get(c.structured, "variables_lost")),
	   "where there were some it says so");
	called_finish(&c);
}

static void test_session_ended(struct keeper *k)
{
	static const struct {
		enum sup_session_end end;
		const char *name;
	} rows[] = {{SUP_SESSION_CLOSED, "closed"},
		    {SUP_SESSION_TTL, "ttl"},
		    {SUP_SESSION_IDLE, "idle"},
		    {SUP_SESSION_DIED, "died"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sup_result r = in_session(SUP_CANCELLED);
		struct called c;

		r.session_ended = true;
		r.session_end = rows[i].end;
		begin(k, &c, "run_code", CODE);
		fake_end_as(k, r);
		ok(is_of_schema(&c) &&
			   !strcmp(text_of(&c, "session_ended"), rows[i].name) &&
			   strstr(text_of(&c, "note"), "session_create"),
		   "the session has ended: %s", rows[i].name);
		called_finish(&c);
	}
}

static void test_cancel(struct keeper *k)
{
	struct called c;

	begin(k, &c, "run_code", CODE);
	c.call.tool->cancel(&c.call);
	ok(fake.run.cancelled && !c.ended,
	   "a cancel is passed on and does not end the call by itself");
	fake_end_as(k, in_session(SUP_CANCELLED));
	ok(c.ended == 1 && !strcmp(text_of(&c, "status"), "cancelled"),
	   "the answer comes");
	called_finish(&c);
}

static void test_confirm(struct keeper *k)
{
	unsigned before = fake.runs;
	AUTO_BUF state = {0};
	struct called c;

	k->confirm = k->can_be_asked = true;
	must(!call_start(&c, k, "run_code", CODE));
	ok(c.ask.n && says(&c.ask, SES_ID) && fake.runs == before,
	   "the user is asked, and told where");
	buf_init(&state, 1000);
	buf_sv(&state, buf_view(&c.state));
	called_finish(&c);
	k->inputs =
		"{\"confirm\":{\"action\":\"accept\",\"content\":{\"confirm\":true}}}";
	k->ask_state = buf_cstr(&state);
	must(!call_start(
		&c, k, "run_code",
		"{\"language\":\"python\",\"code\":\"1\",\"session_id\":\"ses_ff112233445566778899aabbccddeeff\"}"));
	ok(c.ask.n && fake.runs == before, "a yes is for that session alone");
	called_finish(&c);
	must(!call_start(&c, k, "run_code", CODE));
	ok(!c.ask.n && fake.runs == before + 1, "there it is run");
	k->inputs = k->ask_state = NULL;
	k->confirm = false;
	fake_end(k);
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	fake_init(&k);
	test_request(&k);
	test_recorded(&k);
	test_bad_id(&k);
	test_own_file(&k);
	test_notes(&k);
	test_fresh(&k);
	test_session_ended(&k);
	test_cancel(&k);
	test_confirm(&k);
	fake_finish(&k);
	return tap_done();
}
