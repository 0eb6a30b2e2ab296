/* t_hooks.c: what a tool may say while it runs: log messages, progress in numbers of its own; and
 * what it may do to its stream. */
#include "mcp/protocol/internal.h"
#include "tests/unit/mcp/protocol/more.h"

static const char *const levels[] = {"debug", "info",	  "notice", "warning",
				     "error", "critical", "alert",  "emergency"};

static void t_log_modern(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, MODERN("1", "tools/call", "\"name\":\"logger\","));
	ok(!r.n, "nothing is logged to a request that did not ask");
	hello(&r, r.p, "2025-11-25", "");
	say(&r, LEGACY("2", "logging/setLevel", "\"level\":\"debug\""));
	say(&r, MODERN("3", "tools/call", "\"name\":\"logger\","));
	ok(!r.n, "whatever a legacy client has set");
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		char text[512], want[64];

		snprintf(
			text, sizeof(text),
			LEGACY("\"l\"", "tools/call",
			       "\"name\":\"logger\"," MODERN_META(
				       "",
				       ",\"io.modelcontextprotocol/logLevel\":\"%s\"")),
			levels[i]);
		say(&r, text);
		snprintf(want, sizeof(want), "\"params\":{\"level\":\"%s\"", levels[i]);
		ok(r.n == 8 - i &&
			   SAYS_AT(&r, 0, "notifications/message", want,
				   "\"data\":{\"a\":1}}") &&
			   r.sent[0].sink == r.last &&
			   SAYS_AT(&r, r.n - 1, "emergency", "\"logger\":\"rig\""),
		   "from %s on, on the request's own stream", levels[i]);
		rig_clear(&r);
		slow_end(2);
		seen.slow_n--;
		ok(SAYS(&r, "slept"), "then the answer");
	}
	slow_end(0);
	slow_end(1);
	rig_close(&r);
}

static void t_log_legacy(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LEGACY("1", "tools/call", "\"name\":\"logger\""));
	ok(!r.n, "a client that has set no level hears nothing");
	say(&r, LEGACY("2", "logging/setLevel", "\"level\":\"error\""));
	say(&r, LEGACY("3", "tools/call", "\"name\":\"logger\""));
	ok(r.n == 4 && SAYS_AT(&r, 0, "\"level\":\"error\"") &&
		   r.sent[0].sink == r.last,
	   "then from that level on, on the stream of the call");
	rig_clear(&r);
	seen.slow[1]->hooks->log(seen.slow[1], TOOL_ALERT, NULL, SV("\"text\""));
	ok(SAYS(&r, "\"level\":\"alert\",\"data\":\"text\"", "!logger"),
	   "data is any JSON");
	say(&r, CANCEL("3"));
	rig_clear(&r);
	seen.slow[1]->hooks->log(seen.slow[1], TOOL_ALERT, NULL, SV("1"));
	ok(!r.n, "nothing for a cancelled call");
	rig_close(&r);
}

static void t_log_bounds(void)
{
	struct rig r;
	unsigned n = 0;
	AUTO_BUF b = {0};

	rig_open_more(&r);
	say(&r, LEGACY("2", "logging/setLevel", "\"level\":\"debug\""));
	say(&r, LEGACY("3", "tools/call", "\"name\":\"slow\""));
	buf_init(&b, 1 << 20);
	buf_byte(&b, '"');
	for (int i = 0; i < 70000; i++)
		buf_byte(&b, 'x');
	buf_byte(&b, '"');
	rig_clear(&r);
	seen.slow[0]->hooks->log(seen.slow[0], TOOL_INFO, NULL, buf_view(&b));
	ok(SAYS(&r, "too long to be sent", "!xxx"), "a message has a length");
	for (int i = 0; i < 2000; i++) {
		rig_clear(&r);
		seen.slow[0]->hooks->log(seen.slow[0], TOOL_INFO, NULL, SV("1"));
		n += r.n;
	}
	ok(n == PROTO_MAX_LOGS - 1, "and a call a number of them (%u)", n + 1);
	slow_end(0);
	rig_close(&r);
}

static void t_own_progress(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LEGACY("1", "tools/call",
		       "\"name\":\"counter\",\"_meta\":{\"progressToken\":\"t\"}"));
	ok(r.n == 3 &&
		   SAYS_AT(&r, 0,
			   "\"params\":{\"progressToken\":\"t\",\"progress\":0,\"total\":100}") &&
		   SAYS_AT(&r, 1, "\"progress\":50,\"total\":100,\"message\":\"on\"") &&
		   SAYS_AT(&r, 2, "\"progress\":100,"),
	   "a tool's own numbers go out as they are, but only those that rise");
	ok(r.opens == 1 && r.last->opens == 1, "the stream was opened for them");
	rig_clear(&r);
	rig_wait(&r, RIG_PROGRESS_MS * 3 / 2);
	seen.slow[0]->hooks->progress(seen.slow[0], 1000, SV("bytes"));
	ok(!r.n, "and nothing else is counted beside them");
	seen.slow[0]->hooks->progress_at(seen.slow[0], 101, 0, SV(""));
	ok(SAYS(&r, "\"progress\":101}"), "without a total none is told");
	slow_end(0);
	seen.slow_n = 0;
	say(&r, LEGACY("1", "tools/call", "\"name\":\"counter\""));
	ok(!r.n && !r.opens, "no token, no progress, no stream");
	slow_end(0);
	rig_close(&r);
}

static void t_progress_bounds(void)
{
	struct rig r;
	unsigned n = 0;

	rig_open_more(&r);
	say(&r, LEGACY("1", "tools/call",
		       "\"name\":\"slow\",\"_meta\":{\"progressToken\":\"t\"}"));
	for (uint64_t i = 1; i < 100000; i++) {
		rig_clear(&r);
		seen.slow[0]->hooks->progress_at(seen.slow[0], i, 0, SV(""));
		n += r.n;
	}
	ok(n >= 1000 && n < 1100, "a tool that counts fast is heard less often (%u)",
	   n);
	slow_end(0);
	rig_close(&r);
}

static void t_streams(void)
{
	struct rig r;

	rig_open_more(&r);
	say(&r, LEGACY("1", "tools/call", "\"name\":\"dropper\""));
	ok(r.drops == 1 && !r.ended, "a tool may drop its stream");
	rig_clear(&r);
	slow_end(0);
	ok(SAYS(&r, "slept") && r.ended == 1, "and still be answered on it");
	say(&r, LEGACY("2", "tools/call",
		       "\"name\":\"echo\",\"arguments\":{\"text\":\"x\"},"
		       "\"_meta\":{\"progressToken\":1}"));
	ok(r.n == 1 && !r.opens, "what is answered at once needs no stream");
	seen.slow_n = 0;
	say(&r, LEGACY("3", "tools/call",
		       "\"name\":\"slow\",\"_meta\":{\"progressToken\":1}"));
	ok(r.opens == 1, "what takes long and wants progress does");
	say(&r, CANCEL("3"));
	seen.slow[0]->hooks->drop_stream(seen.slow[0]);
	ok(!r.drops, "a cancelled call has no stream any more");
	slow_end(0);
	rig_close(&r);
}

static void t_promotion(void)
{
	static const struct tool_set *const sets[] = {&rig_set};
	struct rig r;

	rig_open_with(&r, (struct proto_server_opts){.sets = sets, .nsets = 1});
	say(&r, LEGACY("1", "tools/call", "\"name\":\"slow\""));
	ok(seen.slow[0]->promote_ms == 45000, "a call is promoted well before 60 s");
	ok(sv_eq(seen.slow[0]->env.principal, SV("alice")) &&
		   sv_eq(seen.slow[0]->env.credential, SV("cred")) &&
		   seen.slow[0]->env.events && seen.slow[0]->env.loop == &r.loop,
	   "it knows whose it is");
	slow_end(0);
	rig_close(&r);
	rig_open_with(&r, (struct proto_server_opts){
				  .sets = sets, .nsets = 1, .promote_ms = 7});
	say(&r, LEGACY("1", "tools/call", "\"name\":\"slow\""));
	ok(seen.slow[0]->promote_ms == 7, "or when the operator says");
	slow_end(0);
	rig_close(&r);
}

int main(void)
{
	t_log_modern();
	t_log_legacy();
	t_log_bounds();
	t_own_progress();
	t_progress_bounds();
	t_streams();
	t_promotion();
	return tap_done();
}
