/* Sessions in the record: opened and closed, told from their calls, closed as unknown when their server dies. */
#include "led_test.h"

#define SES "ses_0011"

static uint32_t ask_session(struct ledger *l, const char *id)
{
	struct ipc_msg m;

	ipc_start(&m, LED_SESSION_OPEN, 1);
	led_put_session(&m, &(struct led_session){.session_id = sv_of(id),
						  .principal = SV("key:ci"),
						  .runtime = SV("python"),
						  .ttl_s = 60,
						  .processes = UINT64_MAX});
	return ask(l, &m, NULL);
}

static uint32_t ask_session_end(struct ledger *l, const char *id)
{
	struct ipc_msg m;

	ipc_start(&m, LED_SESSION_CLOSE, 1);
	led_put_session_end(&m, &(struct led_session_end){.session_id = sv_of(id),
							  .principal = SV("key:ci"),
							  .reason = SV("idle"),
							  .calls = 7});
	return ask(l, &m, NULL);
}

static uint32_t ask_call(struct ledger *l, const char *run)
{
	struct led_intent x = sample_intent(run);
	struct ipc_msg m;

	x.session_id = SV(SES);
	x.open_stdin = true;
	ipc_start(&m, LED_INTENT, 7);
	led_put_intent(&m, &x);
	return ask(l, &m, NULL);
}

static void test_rows(const char *dir)
{
	struct ledger l;

	must(ledger_start(&l, dir));
	ok(ask_session_end(&l, SES) == LED_NAK, "what is not open cannot be closed");
	ok(ask_session(&l, SES) == LED_ACK, "a session opens");
	ok(ask_session(&l, SES) == LED_NAK, "once");
	ok(ask_call(&l, "run_aa") == LED_ACK && ask_outcome(&l, "run_aa") == LED_ACK,
	   "a call in it");
	ok(ask_intent(&l, "run_bb") == LED_ACK && ask_outcome(&l, "run_bb") == LED_ACK,
	   "and a run that is not");
	ok(ask_session_end(&l, SES) == LED_ACK && ask_session_end(&l, SES) == LED_NAK,
	   "it closes, once");
	ok(ask_session(&l, "ses_left") == LED_ACK, "another stays open");
	kill(l.pid, SIGKILL);
	ledger_wait(&l);
}

static void test_shown(const char *dir)
{
	struct led_query q = {.state_dir = dir, .run_id = SV("ses_00")};
	AUTO_BUF out = {0};
	struct err e = {0};

	ok(!printed(led_audit_show, &q, &out, &e) && has(&out, "session_opened") &&
		   has(&out, "session_closed") && has(&out, "idle") &&
		   has(&out, "key:ci"),
	   "audit show tells of it");
	buf_finish(&out);
	q.run_id = SV("run_aa");
	ok(!printed(led_audit_show, &q, &out, &e) && has(&out, "session_id") &&
		   has(&out, SES) && has(&out, "stdin_open"),
	   "and of a call, in which session it was");
	buf_finish(&out);
	q.run_id = SV("run_bb");
	ok(!printed(led_audit_show, &q, &out, &e) && !has(&out, "session_id") &&
		   !has(&out, "stdin_open"),
	   "which a run of its own was not");
	buf_finish(&out);
	q.run_id = SV("");
	ok(!printed(led_audit_list, &q, &out, &e) && has(&out, "session_opened") &&
		   has(&out, "session_closed") && has(&out, "python"),
	   "audit list has both");
}

static void test_dead(const char *dir)
{
	struct led_query q = {.state_dir = dir};
	AUTO_BUF out = {0};
	struct ledger l;
	struct err e = {0};

	ok(!printed(verify_cmd, &q, &out, &e) && has(&out, "ses_left"),
	   "audit verify warns of what a dead server left open");
	buf_finish(&out);
	must(ledger_start(&l, dir) && !ledger_wait(&l));
	ok(!printed(verify_cmd, &q, &out, &e) && !has(&out, "warning"),
	   "the next start closes it");
	buf_finish(&out);
	q.run_id = SV("ses_left");
	ok(!printed(led_audit_show, &q, &out, &e) && has(&out, "unknown") &&
		   has(&out, "server died"),
	   "as unknown");
}

int main(void)
{
	folder_new();
	test_rows(state_dir);
	test_shown(state_dir);
	test_dead(state_dir);
	folder_end();
	return tap_done();
}
