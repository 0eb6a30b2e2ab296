/* Records come back as they were sent; any other bytes are refused. */
#include "led_test.h"

static struct sv wire(const struct ipc_msg *m, char *mem)
{
	struct {
		uint32_t type, nfds;
		uint64_t id;
	} head = {m->type, 0, m->id};

	memcpy(mem, &head, sizeof(head));
	memcpy(mem + sizeof(head), m->data, m->n);
	return (struct sv){mem, sizeof(head) + m->n};
}

static int decode(struct ipc_msg *m)
{
	struct led_intent i;
	struct led_outcome o;
	struct led_event v;
	struct err e = {0};

	switch (m->type) {
	case LED_INTENT:
		return led_get_intent(m, &i, &e);
	case LED_OUTCOME:
		return led_get_outcome(m, &o, &e);
	default:
		return led_get_event(m, &v, &e);
	}
}

/* Every shorter and one longer form of a good record must be refused. */
static void check_cuts(struct ipc_msg *m, const char *what)
{
	char mem[IPC_MAX_BYTES + 32];
	struct sv whole = wire(m, mem);
	struct err e = {0};
	unsigned accepted = 0;
	struct ipc_msg got;

	ok(!m->bad && ipc_parse(whole, &got, &e) == 1 && !decode(&got), "%s: whole",
	   what);
	for (size_t n = 0; n < whole.n; n++) {
		err_clear(&e);
		if (ipc_parse((struct sv){mem, n}, &got, &e) == 1 && !decode(&got))
			accepted++;
	}
	ok(!accepted, "%s: each of %zu shorter forms is refused", what, whole.n);
	mem[whole.n] = 0;
	err_clear(&e);
	ok(ipc_parse((struct sv){mem, whole.n + 1}, &got, &e) == 1 && decode(&got),
	   "%s: one byte more is refused", what);
}

static void intents(void)
{
	struct led_intent x = sample_intent("run_1"), got;
	struct err e = {0};
	struct ipc_msg m;
	AUTO_BUF b = {.max = LED_MAX_BODY};

	ipc_start(&m, LED_INTENT, 1);
	led_put_intent(&m, &x);
	check_cuts(&m, "intent");
	m.at = 0;
	ok(!led_get_intent(&m, &got, &e) && sv_eq(got.run_id, SV("run_1")) &&
		   sv_eq(got.tool, SV("run_code")) && got.output_bytes == UINT64_MAX &&
		   !memcmp(got.code_sha256, x.code_sha256, 32),
	   "an intent comes back");
	led_body_intent(&b, &got);
	ok(has(&b,
	       "\"tool\":\"run_code\",\"runtime\":\"python\",\"code_sha256\":\"abab") &&
		   has(&b, "\"output_bytes\":18446744073709551615}"),
	   "its body is exact");
}

static void outcomes(void)
{
	struct led_outcome x = sample_outcome("run_1"), got;
	struct err e = {0};
	struct ipc_msg m;
	AUTO_BUF b = {.max = LED_MAX_BODY};

	ipc_start(&m, LED_OUTCOME, 1);
	led_put_outcome(&m, &x);
	check_cuts(&m, "outcome");
	m.at = 0;
	ok(!led_get_outcome(&m, &got, &e) && got.exit_code == 3 &&
		   got.duration_us == 12345,
	   "an outcome comes back");
	led_body_outcome(&b, &got);
	ok(has(&b, "{\"status\":\"exited\",\"exit_code\":3,\"signal\":null,"),
	   "its body");
	got.exit_code = -1;
	got.signal = 9;
	buf_reset(&b);
	led_body_outcome(&b, &got);
	ok(has(&b, "\"exit_code\":null,\"signal\":9,"),
	   "no exit code is null, never a number");
}

static void events(void)
{
	static char many[4000];
	struct led_event x = {.kind = SV("refused"),
			      .detail = SV("no \xff such\nlanguage")},
			 got;
	struct err e = {0};
	struct ipc_msg m;
	AUTO_BUF b = {.max = LED_MAX_BODY};

	ipc_start(&m, LED_EVENT, 1);
	led_put_event(&m, &x);
	check_cuts(&m, "event");
	m.at = 0;
	ok(!led_get_event(&m, &got, &e), "an event comes back");
	led_body_event(&b, &got);
	ok(has(&b, "{\"detail\":\"no \xef\xbf\xbd such\\nlanguage\"}"),
	   "a detail of any bytes becomes a JSON string");
	memset(many, '\x01', sizeof(many));
	x.detail = (struct sv){many, sizeof(many)};
	ipc_start(&m, LED_EVENT, 1);
	led_put_event(&m, &x);
	ok(!m.bad && !led_get_event(&m, &got, &e) && got.detail.n == LED_MAX_DETAIL,
	   "a long detail is cut, not refused");
	buf_reset(&b);
	led_body_event(&b, &got);
	ok(!b.failed, "the worst detail fits into a body");
}

/* Both sides refuse the same strings. */
static void bad_intent(struct sv run, struct sv principal, struct sv tool,
		       const char *what)
{
	struct led_intent x = sample_intent("run_1"), got;
	struct err e = {0};
	struct ipc_msg m;

	x.run_id = run;
	x.principal = principal;
	x.tool = tool;
	ipc_start(&m, LED_INTENT, 1);
	led_put_intent(&m, &x);
	ok(m.bad, "not sent: %s", what);
	m.bad = false;
	ok(led_get_intent(&m, &got, &e) && e.code == ERR_INTERNAL, "not accepted: %s",
	   what);
}

static void bad_strings(void)
{
	static char many[300];
	struct led_event v = {.kind = SV("begin")}, got;
	struct err e = {0};
	struct ipc_msg m;

	memset(many, 'a', sizeof(many));
	bad_intent(SV(""), SV("p"), SV("t"), "no run id");
	bad_intent(SV("run/1"), SV("p"), SV("t"), "a slash in a run id");
	bad_intent(SV("run\0x"), SV("p"), SV("t"), "a NUL in a run id");
	bad_intent((struct sv){many, 65}, SV("p"), SV("t"), "a run id of 65 bytes");
	bad_intent(SV("r"), (struct sv){many, 257}, SV("t"),
		   "a principal of 257 bytes");
	bad_intent(SV("r"), SV("a\x1b[2J"), SV("t"), "an escape in a principal");
	bad_intent(SV("r"), SV("\xff"), SV("t"), "a principal that is not UTF-8");
	bad_intent(SV("r"), SV("p"), SV(""), "no tool");
	ipc_start(&m, LED_EVENT, 1);
	led_put_event(&m, &v);
	ok(m.bad, "not sent: an event of an unknown kind");
	m.bad = false;
	ok(led_get_event(&m, &got, &e), "not accepted: an event of an unknown kind");
}

/* What a run had beside the host's packages is in its body; none is no field. */
static void images(void)
{
	static const char hex[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const bad[] = {
		"0", "A123456789abcdef0123456789abcdef0123456789abcdef"
		     "0123456789abcdef"};
	struct led_intent x = sample_intent("run_1"), got;
	struct led_session s = {.session_id = SV("ses_1"), .principal = SV("p")}, back;
	AUTO_BUF b = {.max = LED_MAX_BODY};
	struct err e = {0};
	struct ipc_msg m;

	led_body_intent(&b, &x);
	ok(!strstr(buf_cstr(&b), "image"), "without an image there is no word of one");
	x.image_sha256 = s.image_sha256 = sv_of(hex);
	ipc_start(&m, LED_INTENT, 1);
	led_put_intent(&m, &x);
	buf_reset(&b);
	ok(!m.bad && !led_get_intent(&m, &got, &e) &&
		   sv_eq(got.image_sha256, sv_of(hex)),
	   "an intent's comes back");
	led_body_intent(&b, &got);
	ok(strstr(buf_cstr(&b), hex), "and is in its body");
	ipc_start(&m, LED_SESSION_OPEN, 1);
	led_put_session(&m, &s);
	buf_reset(&b);
	ok(!m.bad && !led_get_session(&m, &back, &e) &&
		   sv_eq(back.image_sha256, sv_of(hex)),
	   "a session's comes back");
	led_body_session(&b, &back);
	ok(strstr(buf_cstr(&b), hex), "and is in its body");
	for (unsigned i = 0; i < 2; i++) {
		x.image_sha256 = sv_of(bad[i]);
		ipc_start(&m, LED_INTENT, 1);
		led_put_intent(&m, &x);
		ok(m.bad, "what is no SHA-256 in hex is not sent");
	}
}

int main(void)
{
	intents();
	images();
	outcomes();
	events();
	bad_strings();
	return tap_done();
}
