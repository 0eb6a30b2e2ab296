/* t_no_memory.c: every allocation of a conversation fails once: nothing leaks, nothing falls over, at
 * most one answer comes, every sink ends, and the next message is served. */
#include "tests/unit/mcp/protocol/more.h"

#define CAPS "\"elicitation\":{},\"roots\":{}"

static const char *const talk[] = {
	LEGACY("1", "initialize",
	       "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{" CAPS "}"),
	MODERN("1", "server/discover", ""),
	LEGACY("1", "tools/list", ""),
	LEGACY("1", "prompts/list", ""),
	LEGACY("1", "resources/list", ""),
	LEGACY("1", "resources/templates/list", ""),
	MODERN("1", "resources/read", "\"uri\":\"own://alice\","),
	MODERN("1", "resources/read", "\"uri\":\"own://bob\","),
	LEGACY("1", "prompts/get",
	       "\"name\":\"plain\",\"arguments\":{\"a\":\"{{b}}\"}"),
	LEGACY("1", "completion/complete",
	       "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"plain\"},"
	       "\"argument\":{\"name\":\"a\",\"value\":\"\"}"),
	LEGACY("1", "resources/subscribe", "\"uri\":\"own://alice\""),
	LEGACY("1", "logging/setLevel", "\"level\":\"debug\""),
	MODERN("1", "subscriptions/listen",
	       "\"notifications\":{\"toolsListChanged\":true,"
	       "\"resourceSubscriptions\":[\"a\",\"b\"]},"),
	LEGACY("1", "tools/call",
	       "\"name\":\"quiz\",\"arguments\":{\"methods\":[\"elicitation\",\"roots\"]}"),
	LEGACY("1", "tools/call",
	       "\"name\":\"quiz\",\"arguments\":{\"methods\":[\"roots\"]},"
	       "\"inputResponses\":{\"x\":{\"roots\":[]}}," MODERN_META(CAPS, "")),
	LEGACY("1", "prompts/get", "\"name\":\"asking\"," MODERN_META(CAPS, "")),
	LEGACY("1", "tools/call",
	       "\"name\":\"logger\",\"_meta\":{\"progressToken\":1}"),
	LEGACY("1", "tools/call",
	       "\"name\":\"changer\",\"arguments\":{\"what\":\"tools\"}"),
	LEGACY("1", "tools/call", "\"name\":\"rich\""),
};

static void end_slow(void)
{
	for (unsigned i = 0; i < seen.slow_n; i++)
		if (seen.slow[i])
			slow_end(i);
	seen.slow_n = 0;
}

/* One message while the nth allocation fails; how many results and errors came. */
static unsigned attempt(struct rig *r, const char *message, long n)
{
	unsigned answers = 0;

	rig_clear(r);
	mem_fail_after(n);
	proto_on_message(r->p, sv_of(message), &rig_sink_new(r)->s);
	mem_fail_after(0);
	end_slow();
	for (unsigned i = 0; i < r->n; i++)
		answers += r->sent[i].kind == PROTO_RESULT ||
			   r->sent[i].kind == PROTO_ERROR;
	return answers;
}

/* Answers what the quiz may have asked, again without memory. */
static void answer_quiz(struct rig *r, long n)
{
	char text[160];
	int64_t id = 0;

	for (unsigned i = r->n; i-- > 0;) {
		struct cJSON *doc = rpc_json_parse(sv_of(msg(r, i)), NULL);

		if (r->sent[i].kind == PROTO_REQUEST)
			js_int(js_get(doc, "id"), &id);
		cJSON_Delete(doc);
	}
	if (!id)
		return;
	for (int64_t k = id; k < id + 2; k++) {
		snprintf(text, sizeof(text),
			 "{\"jsonrpc\":\"2.0\",\"id\":%" PRId64
			 ",\"result\":{\"action\":\"cancel\",\"roots\":[]}}",
			 k);
		mem_fail_after(n);
		proto_on_message(r->p, sv_of(text), &rig_sink_new(r)->s);
		mem_fail_after(0);
	}
}

int main(void)
{
	struct rig r;
	unsigned worst = 0, unserved = 0, left = 0;

	rig_open_more(&r);
	hello(&r, r.p, "2025-11-25", CAPS);
	for (size_t i = 0; i < ARRAY_LEN(talk); i++)
		for (long n = 1; n < 120; n++) {
			unsigned answers = attempt(&r, talk[i], n);

			worst = answers > worst ? answers : worst;
			answer_quiz(&r, n);
			say(&r, CANCEL("1"));
			say(&r, LEGACY("\"p\"", "ping", ""));
			unserved += !strstr(msg(&r, 0), "\"result\":{}");
			left += rig_open_sinks(&r) != 0 || proto_peer_busy(r.p);
		}
	ok(worst == 1, "at most one answer each (%u)", worst);
	ok(!unserved, "the client is served on");
	ok(!left, "and nothing of it is left");
	rig_close(&r);
	return tap_done();
}
