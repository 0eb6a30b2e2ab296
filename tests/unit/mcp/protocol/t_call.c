/* t_call.c: tools/call: arguments, progress, cancellation, ids, limits, the end. */
#include "tests/unit/mcp/protocol/rig.h"

#define CALL(id, name, more)                                                           \
	"{\"jsonrpc\":\"2.0\",\"id\":" id                                              \
	",\"method\":\"tools/call\",\"params\":{\"name\":\"" name "\"" more "}}"
#define CANCEL(id)                                                                     \
	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"     \
	"\"requestId\":" id ",\"reason\":\"user\"}}"

static void t_arguments(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, CALL("1", "echo",
		     ",\"arguments\":{\"text\":\"x\",\"count\":\"30\","
		     "\"loud\":\"true\"}"));
	ok(!strcmp(seen.args, "{\"text\":\"x\",\"count\":30,\"loud\":true}"),
	   "numbers and booleans in strings are taken for what they are: %s",
	   seen.args);
	say(&r, CALL("1", "echo", ",\"arguments\":\"{\\\"text\\\":\\\"y\\\"}\""));
	ok(!strcmp(seen.args, "{\"text\":\"y\"}"), "so is an object in a string");
	say(&r, CALL("1", "echo", ",\"arguments\":{\"text\":\"x\",\"colour\":1}"));
	ok(SAYS(&r, "\"result\":{\"content\":[", "\"isError\":true", "colour",
		"\\\"code\\\":\\\"invalid\\\"",
		"\\\"remediation\\\":", "!structuredContent", "!\"error\""),
	   "an unknown field is a tool error that names it");
	say(&r, CALL("1", "echo", ""));
	ok(SAYS(&r, "\"isError\":true", "text"),
	   "missing arguments are none: text is asked for");
	say(&r, CALL("1", "echo", ",\"arguments\":null"));
	ok(SAYS(&r, "\"isError\":true", "text"), "so are null arguments");
	say(&r, CALL("1", "echo", ",\"arguments\":[1]"));
	ok(SAYS(&r, "\"isError\":true", "arguments: "), "an array is refused by name");
	say(&r, CALL("1", "echo", ",\"arguments\":\"text\""));
	ok(SAYS(&r, "\"isError\":true", "arguments: "), "and so is some string");
	say(&r, CALL("1", "nothing_like_it", ""));
	ok(SAYS(&r, "-32602", "Unknown tool: nothing_like_it",
		"echo, slow, stuck, broken"),
	   "an unknown tool is a protocol error that names those there are");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}");
	ok(SAYS(&r, "-32602", "name must be a string"), "no params at all");
	say(&r, CALL("1", "broken", ""));
	ok(SAYS(&r, "\"isError\":true", "this \\\\\\\"host\\\\\\\" has no sandbox",
		"run doctor"),
	   "a start that fails is a tool error, its quotes escaped twice");
	rig_close(&r);
}

static void t_ids(void)
{
	static const char *const ids[] = {"1",	 "-7",	    "9007199254740992", "1.50",
					  "1e2", "\"a b\"", "\"\\u0061\\n\"",	"\"\"",
					  "0"};
	struct rig r;

	rig_open(&r);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char text[256], want[128];

		snprintf(
			text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"tools/call\",\"params\":{"
			"\"name\":\"slow\",\"_meta\":{\"progressToken\":%s}}}",
			ids[i], ids[i]);
		say(&r, text);
		seen.slow[0]->hooks->progress(seen.slow[0], 1, (struct sv){0});
		slow_end(0);
		seen.slow_n = 0;
		snprintf(want, sizeof(want),
			 "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", ids[i]);
		ok(SAYS(&r, want), "the id %s comes back as it was sent", ids[i]);
	}
	say(&r, CALL("1", "slow", ""));
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	ok(SAYS(&r, "\"id\":1,\"error\":{\"code\":-32600", "in flight"),
	   "an id in flight cannot be used again");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"ping\"}");
	ok(SAYS(&r, "\"id\":\"1\",\"result\":{}"),
	   "a string is another id than a number");
	rig_clear(&r);
	slow_end(0);
	ok(SAYS(&r, "\"id\":1,\"result\":", "slept"),
	   "the first one is answered all the same");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	ok(SAYS(&r, "\"id\":1,\"result\":{}"), "then its id is free");
	rig_close(&r);
}

static void t_cancel(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, CALL("5", "slow", ",\"_meta\":{\"progressToken\":5}"));
	say(&r, CANCEL("\"5\""));
	ok(seen.cancels == 0, "a cancellation of another id is ignored");
	say(&r, CANCEL("5"));
	ok(seen.cancels == 1 && r.n == 0,
	   "cancelling asks the tool and answers nothing");
	say(&r, CANCEL("5"));
	ok(seen.cancels == 1, "once");
	seen.slow[0]->hooks->progress(seen.slow[0], 99, SV("more"));
	rig_wait(&r, RIG_PROGRESS_MS + 50);
	ok(r.n == 0, "no progress for a cancelled call");
	say(&r, CALL("5", "echo", ",\"arguments\":{\"text\":\"again\"}"));
	ok(SAYS(&r, "\"id\":5,\"result\":", "again"), "its id may be used again");
	rig_clear(&r);
	slow_end(0);
	ok(r.n == 0, "the late answer is dropped");

	seen.slow_obeys = true;
	say(&r, CALL("\"\\u0061\"", "slow", ""));
	say(&r, CANCEL("\"a\""));
	ok(seen.cancels == 2 && r.n == 0 && !seen.slow[1],
	   "ids are compared by value; a tool may end the call within its cancel");
	say(&r, CALL("6", "stuck", ""));
	say(&r, CANCEL("6"));
	ok(r.n == 0, "a tool that cannot be cancelled is silenced");
	rig_clear(&r);
	slow_end(2);
	ok(r.n == 0, "for good");
	say(&r, CANCEL("6"));
	say(&r, CANCEL("{}"));
	say(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}");
	ok(r.n == 0, "cancellations of nothing are ignored");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"notifications/cancelled\",\"params\":{"
	    "\"requestId\":1}}");
	ok(SAYS(&r, "\"id\":9,\"error\":{\"code\":-32601"),
	   "a notification's name is not a method");
	rig_close(&r);
}

static int64_t progress_of(const struct rig *r, unsigned i)
{
	struct cJSON *doc = rpc_json_parse(sv_of(msg(r, i)), NULL);
	int64_t v = -1;

	js_int(js_get(js_get(doc, "params"), "progress"), &v);
	cJSON_Delete(doc);
	return v;
}

static void t_progress(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, CALL("1", "slow", ",\"_meta\":{\"progressToken\":\"t\\u00e9\"}"));
	seen.slow[0]->hooks->progress(seen.slow[0], 10, (struct sv){0});
	ok(r.n == 0, "not at once");
	rig_wait(&r, RIG_PROGRESS_MS / 4 + 10);
	seen.slow[0]->hooks->progress(seen.slow[0], 10, (struct sv){0});
	ok(r.n == 0, "nor when nothing grew");
	seen.slow[0]->hooks->progress(seen.slow[0], 77, (struct sv){0});
	ok(SAYS(&r, "\"method\":\"notifications/progress\"",
		"\"progressToken\":\"t\\u00e9\"",
		"\"message\":\"running for 0 s, 77 bytes of output so far\"", "!total"),
	   "output that grew is reported, under the client's token as it was sent");
	rig_wait(&r, RIG_PROGRESS_MS * 5 / 2);
	ok(r.n == 3, "then once in every period (%u)", r.n);
	ok(progress_of(&r, 0) > 0 && progress_of(&r, 1) > progress_of(&r, 0) &&
		   progress_of(&r, 2) > progress_of(&r, 1),
	   "strictly increasing");
	rig_wait(&r, 10);
	rig_clear(&r);
	slow_end(0);
	rig_wait(&r, RIG_PROGRESS_MS + 50);
	ok(SAYS(&r, "\"id\":1,\"result\":"), "never after the answer");
	rig_close(&r);
}

/* Reports that share a millisecond still differ. */
static void t_progress_fast(void)
{
	static const struct tool_set *const sets[] = {&rig_set};
	struct rig r;
	uint64_t until = loop_now_us() + 5000000;
	unsigned rising = 0;

	rig_open_with(&r, (struct proto_server_opts){
				  .sets = sets, .nsets = 1, .progress_ms = 1});
	say(&r, CALL("1", "slow", ",\"_meta\":{\"progressToken\":1}"));
	for (uint64_t bytes = 1; r.n < 100 && loop_now_us() < until; bytes++)
		seen.slow[0]->hooks->progress(seen.slow[0], bytes, (struct sv){0});
	for (unsigned i = 1; i < r.n; i++)
		rising += progress_of(&r, i) > progress_of(&r, i - 1);
	ok(r.n == 100 && rising == 99,
	   "reports in quick succession rise too (%u of 99)", rising);
	rig_close(&r);
}

static void t_progress_unasked(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, CALL("1", "slow", ""));
	say(&r, CALL("2", "slow", ",\"_meta\":{\"progressToken\":null}"));
	say(&r, CALL("3", "slow", ",\"_meta\":{\"progressToken\":{\"a\":1}}"));
	rig_wait(&r, RIG_PROGRESS_MS + 50);
	for (unsigned i = 0; i < 3; i++)
		seen.slow[i]->hooks->progress(seen.slow[i], 5, SV("hello"));
	ok(r.n == 0, "no token, no progress");
	for (unsigned i = 0; i < 3; i++)
		slow_end(i);
	seen.slow_n = 0;
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
		"\"protocolVersion\":\"2024-11-05\"}}");
	say(&r, CALL("1", "slow", ",\"_meta\":{\"progressToken\":3}"));
	rig_wait(&r, RIG_PROGRESS_MS + 50);
	ok(SAYS(&r, "\"progressToken\":3,\"progress\":", "!message"),
	   "2024-11-05 knows no message");
	rig_close(&r);
}

static void t_busy(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, CALL("1", "slow", ""));
	say(&r, CALL("2", "slow", ""));
	say(&r, CALL("3", "slow", ""));
	say(&r, CALL("4", "echo", ",\"arguments\":{\"text\":\"x\"}"));
	ok(SAYS(&r, "\"id\":4,\"result\":", "\"isError\":true",
		"\\\"code\\\":\\\"busy\\\"", "\\\"remediation\\\":"),
	   "more calls than allowed are told so as a tool error");
	say(&r, CANCEL("1"));
	say(&r, CALL("5", "echo", ",\"arguments\":{\"text\":\"x\"}"));
	ok(SAYS(&r, "\\\"code\\\":\\\"busy\\\""),
	   "a cancelled one counts until it has ended");
	slow_end(0);
	say(&r, CALL("6", "echo", ",\"arguments\":{\"text\":\"x\"}"));
	ok(SAYS(&r, "!isError", "\"text\":\"x\""), "then there is room again");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}");
	ok(SAYS(&r, "\"result\":{}"), "only calls are counted");
	rig_close(&r);
}

static void t_end(void)
{
	struct rig r;

	rig_open(&r);
	say(&r, CALL("1", "slow", ",\"_meta\":{\"progressToken\":1}"));
	say(&r, CALL("2", "stuck", ""));
	say(&r, CANCEL("1"));
	proto_peer_close(r.p, rig_on_idle, &r);
	ok(seen.cancels == 1 && r.idle == 0,
	   "closing cancels what is not yet cancelled and waits");
	slow_end(0);
	ok(r.idle == 0, "for every call");
	slow_end(1);
	ok(r.idle == 1 && r.n == 0, "and says nothing of their answers");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}");
	proto_on_oversize(r.p, SV(""), SV(""), 10, &rig_sink_new(&r)->s);
	ok(r.n == 0, "nor of anything else");
	proto_peer_free(r.p);
	r.p = NULL;
	rig_close(&r);

	rig_open(&r);
	proto_peer_close(r.p, rig_on_idle, &r);
	ok(r.idle == 1, "with nothing in flight closing is done at once");
	rig_close(&r);

	rig_open(&r);
	seen.slow_obeys = true;
	say(&r, CALL("1", "slow", ""));
	say(&r, CALL("2", "slow", ""));
	proto_peer_close(r.p, rig_on_idle, &r);
	ok(seen.cancels == 2 && r.idle == 1,
	   "tools that end within their cancel are waited for once");
	rig_close(&r);

	rig_open(&r);
	say(&r, CALL("1", "slow", ""));
	proto_peer_free(r.p);
	r.p = NULL;
	slow_end(0);
	ok(r.n == 0, "a call may end after its connection was freed");
	rig_close(&r);
}

int main(void)
{
	t_arguments();
	t_ids();
	t_cancel();
	t_progress();
	t_progress_fast();
	t_progress_unasked();
	t_busy();
	t_end();
	return tap_done();
}
