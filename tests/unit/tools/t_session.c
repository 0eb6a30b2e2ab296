/* t_session.c: sessions are made, listed and closed as asked; a cancelled call leaves none behind. */
#include "tests/unit/tools/fake.h"

static void test_create(struct keeper *k)
{
	const struct sup_session_info s = fake_session();
	struct called c;

	ok(!call_start(
		   &c, k, "session_create",
		   "{\"language\":\"python\",\"ttl_s\":60,\"idle_ttl_s\":5,\"memory_bytes\":100000000,"
		   "\"workspace_bytes\":2000000,\"processes\":9}") &&
		   !c.ended && fake.question.kind == FAKE_OPEN,
	   "the keeper is asked");
	ok(!strcmp(fake.question.language, "python") &&
		   !strcmp(fake.question.credential, "cred") &&
		   fake.question.limits.ttl_s == 60 &&
		   fake.question.limits.idle_ttl_s == 5 &&
		   fake.question.limits.memory_bytes == 100000000 &&
		   fake.question.limits.workspace_bytes == 2000000 &&
		   fake.question.limits.processes == 9,
	   "for what the caller wants, in the caller's name");
	fake_sessions(&s, 1);
	ok(c.ended == 1 && is_of_schema(&c) &&
		   !strcmp(text_of(&c, "session_id"), SES_ID) &&
		   !strcmp(text_of(&c, "language"), "mixed"),
	   "the session is told");
	ok(!strcmp(text_of(&c, "created_at"), "2026-01-02T03:04:05Z") &&
		   !strcmp(text_of(&c, "expires_at"), "2026-01-02T04:04:05Z") &&
		   !strcmp(text_of(&c, "idle_expires_at"), "2026-01-02T03:14:05Z") &&
		   int_of(&c, "ttl_s") == 3600 &&
		   int_of(&c, "workspace_bytes") == 268435456,
	   "when it ends, and its limits");
	ok(says(&c.text, SES_ID) && says(&c.text, "2026-01-02T04:04:05Z") &&
		   says(&c.text, "1024 MiB") && says(&c.text, pol_runtimes[0].name),
	   "also in the text");
	called_finish(&c);
}

static void test_defaults(struct keeper *k)
{
	struct called c;

	ok(!call_start(&c, k, "session_create", "{\"language\":\"mixed\"}") &&
		   !fake.question.language[0] && !fake.question.limits.ttl_s &&
		   !fake.question.limits.memory_bytes,
	   "nothing asked for is the keeper's default, mixed is any language");
	fake_fails(ERR_BUSY, "too many sessions");
	ok(c.ended == 1 && c.failed && c.err.code == ERR_BUSY && !c.call.state,
	   "a refusal is an error");
	called_finish(&c);
	ok(!call_start(&c, k, "session_create", "{\"ttl_s\":9007199254740992}") &&
		   fake.question.limits.ttl_s == UINT32_MAX,
	   "what no record holds is the most that one holds");
	fake_fails(ERR_INVALID, "ttl_s is out of range");
	called_finish(&c);
}

static void test_bad_arguments(struct keeper *k)
{
	static const char *const args[] = {
		"{\"ttl_s\":0}",
		"{\"ttl_s\":-1}",
		"{\"ttl_s\":1.5}",
		"{\"memory_bytes\":0}",
		"{\"language\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	};
	unsigned asked = fake.asked;
	struct called c;

	for (size_t i = 0; i < ARRAY_LEN(args); i++) {
		ok(call_start(&c, k, "session_create", args[i]) == -1 && c.err.code &&
			   !c.call.state,
		   "refused: %s", args[i]);
		called_finish(&c);
	}
	fake.refuse = true;
	ok(call_start(&c, k, "session_create", "{}") == -1 && c.err.code == ERR_LOST &&
		   !c.call.state,
	   "without a keeper it does not start");
	called_finish(&c);
	ok(fake.asked == asked, "nothing of that reaches the keeper");
}

static void test_create_cancelled(struct keeper *k)
{
	const struct sup_session_info s = fake_session();
	struct called c;

	must(!call_start(&c, k, "session_create", "{}"));
	c.call.tool->cancel(&c.call);
	ok(!c.ended && fake.question.kind == FAKE_OPEN,
	   "a cancelled call waits for what it asked for");
	fake_sessions(&s, 1);
	ok(c.ended == 1 && c.failed && fake.question.kind == FAKE_CLOSE &&
		   !strcmp(fake.question.id, SES_ID) &&
		   !strcmp(fake.question.credential, "cred"),
	   "and closes it again");
	fake_sessions(&s, 1);
	called_finish(&c);
	must(!call_start(&c, k, "session_create", "{}"));
	c.call.tool->cancel(&c.call);
	fake_fails(ERR_BUSY, "no");
	ok(c.ended == 1 && fake.question.kind == FAKE_NOTHING,
	   "one that was not made need not be closed");
	called_finish(&c);
}

static void test_list(struct keeper *k)
{
	struct sup_session_info s[2] = {fake_session(), fake_session()};
	const struct cJSON *list;
	struct called c;

	snprintf(s[1].language, sizeof(s[1].language), "bash");
	must(!call_start(&c, k, "session_list", "{}") &&
	     fake.question.kind == FAKE_LIST);
	fake_sessions(s, 2);
	list = js_first(js_get(c.structured, "sessions"));
	ok(is_of_schema(&c) && sv_eq(js_str(js_get(list, "language")), SV("mixed")) &&
		   sv_eq(js_str(js_first(js_get(list, "interpreters"))),
			 sv_of(pol_runtimes[0].name)) &&
		   sv_eq(js_str(js_get(js_next(list), "language")), SV("bash")),
	   "all are listed");
	ok(says(&c.text, "2 sessions\n"), "and counted");
	called_finish(&c);
	must(!call_start(&c, k, "session_list", "{}"));
	fake_sessions(s, 0);
	ok(is_of_schema(&c) && !js_first(js_get(c.structured, "sessions")),
	   "none is an empty list");
	called_finish(&c);
	must(!call_start(&c, k, "session_list", "{}"));
	c.call.tool->cancel(&c.call);
	ok(c.ended == 1 && c.failed && fake.question.kind == FAKE_NOTHING &&
		   !c.call.state,
	   "a cancelled call ends, and its question is withdrawn");
	called_finish(&c);
}

static void test_close(struct keeper *k)
{
	static const char *const wrong[] = {"",
					    "ses_",
					    "run_00112233445566778899aabbccddeeff",
					    "ses_00112233445566778899aabbccddeef",
					    "ses_00112233445566778899aabbccddeefff",
					    "ses_00112233445566778899AABBCCDDEEFF",
					    "ses_00112233445566778899aabbccddeef/"};
	const struct sup_session_info s = fake_session();
	unsigned asked = fake.asked;
	struct called c;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char args[128];

		snprintf(args, sizeof(args), "{\"session_id\":\"%s\"}", wrong[i]);
		ok(call_start(&c, k, "session_close", args) == -1 &&
			   c.err.code == ERR_NOT_FOUND && fake.asked == asked,
		   "no session: '%s'", wrong[i]);
		called_finish(&c);
	}
	must(!call_start(&c, k, "session_close", "{\"session_id\":\"" SES_ID "\"}"));
	ok(fake.question.kind == FAKE_CLOSE && !strcmp(fake.question.id, SES_ID),
	   "one is closed");
	fake_sessions(&s, 1);
	ok(is_of_schema(&c) && js_is_true(js_get(c.structured, "closed")) &&
		   int_of(&c, "calls") == 3,
	   "and told");
	called_finish(&c);
}

static void test_no_memory(struct keeper *k)
{
	const struct sup_session_info s = fake_session();
	struct called c;
	long n = 1;

	for (; n < 50; n++) {
		must(!call_start(&c, k, "session_list", "{}"));
		mem_fail_after(n);
		fake_sessions(&s, 1);
		mem_fail_after(0);
		if (!c.failed || c.ended != 1 || c.err.code != ERR_LIMIT)
			break;
		called_finish(&c);
	}
	ok(n > 2 && c.ended == 1 && !c.failed, "each of %ld allocations may fail",
	   n - 1);
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	fake_init(&k);
	test_create(&k);
	test_defaults(&k);
	test_bad_arguments(&k);
	test_create_cancelled(&k);
	test_list(&k);
	test_close(&k);
	test_no_memory(&k);
	fake_finish(&k);
	return tap_done();
}
