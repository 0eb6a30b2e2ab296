/* t_batch.c: many messages in one, in the revision that has them and in no other. */
#include "tests/unit/mcp/protocol/more.h"

#define PING(id) LEGACY(id, "ping", "")
#define NOTE(name) "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/" name "\"}"
#define SLOW(id) LEGACY(id, "tools/call", "\"name\":\"slow\"")
#define INIT(id, version)                                                              \
	LEGACY(id, "initialize",                                                       \
	       "\"protocolVersion\":\"" version "\",\"capabilities\":{},"              \
	       "\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}")

static void open_at(struct rig *r, const char *init)
{
	rig_open_more(r);
	say(r, init);
	must(strstr(msg(r, 0), "protocolVersion"));
}

static void t_many(void)
{
	struct rig r;

	open_at(&r, INIT("0", "2025-03-26"));
	say(&r, "[" PING("1") "," SLOW("2") " , " NOTE("initialized") "\n," PING(
			"\"x\"") "]");
	ok(r.n == 2 && strstr(msg(&r, 0), "\"id\":1,\"result\":{}") &&
		   strstr(msg(&r, 1), "\"id\":\"x\",\"result\":{}"),
	   "each is answered as soon as it can be");
	ok(r.opens == 1 && !r.ended, "on one stream, which stays open");
	rig_clear(&r);
	slow_end(0);
	ok(SAYS(&r, "\"id\":2,\"result\":") && r.ended == 1 && r.sent[0].sink == r.last,
	   "until the last one is");
	say(&r, "[" NOTE("initialized") "," NOTE("cancelled") "]");
	ok(!r.n && !r.opens && r.ended == 1, "notifications alone have no answer");
	say(&r, "[" PING("1") ",{},7," PING("2") "]");
	ok(r.n == 4 && r.ended == 1 && strstr(msg(&r, 1), "-32600") &&
		   strstr(msg(&r, 2), "-32600") && strstr(msg(&r, 3), "\"id\":2"),
	   "one that is none is refused by itself");
	say(&r, "[" SLOW("5") "," SLOW("5") "]");
	ok(SAYS(&r, "-32600", "in flight"), "ids are each their own here too");
	say(&r, "[" CANCEL("5") "]");
	ok(seen.cancels == 1 && !r.n && r.ended == 2, "one of them can be cancelled");
	slow_end(1);
	rig_close(&r);
}

static void t_ends(void)
{
	struct rig r;

	open_at(&r, INIT("0", "2025-03-26"));
	say(&r, "[" SLOW("1") "," SLOW("2") "]");
	proto_peer_close(r.p, NULL, NULL);
	ok(!r.n && r.ended == 1 && seen.cancels == 2, "it ends with its client, once");
	slow_end(0);
	slow_end(1);
	rig_close(&r);
	open_at(&r, INIT("0", "2025-03-26"));
	say(&r, "[" SLOW("1") "," SLOW("2") "]");
	r.last->gone = true;
	proto_peer_free(r.p);
	r.p = NULL;
	ok(!r.n && !r.ended, "one whose client was forgotten too is not heard of");
	rig_close(&r);
}

static void t_gone(void)
{
	struct rig r;

	open_at(&r, INIT("0", "2025-03-26"));
	say(&r, "[" SLOW("1") "," SLOW("2") "]");
	r.last->gone = true;
	proto_sink_gone(r.p, &r.last->s);
	ok(seen.cancels == 2 && !r.n && !r.ended,
	   "its stream goes, and with it all of it");
	slow_end(0);
	slow_end(1);
	say(&r, "[" PING("1") "]");
	ok(SAYS(&r, "\"id\":1") && r.ended == 1, "the client goes on");
	rig_close(&r);
}

static void t_none(void)
{
	static const char *const versions[] = {INIT("0", "2024-11-05"),
					       INIT("0", "2025-06-18"),
					       INIT("0", "2025-11-25")};
	static const char *const bad[] = {
		"[]",
		"[" INIT("1", "2025-03-26") "]",
		"[" PING("1") "," MODERN("2", "tools/list", "") "]",
		"[[" PING("1") "]]",
	};
	struct rig r;
	AUTO_BUF b = {0};

	rig_open_more(&r);
	say(&r, "[" PING("1") "]");
	ok(SAYS(&r, "-32600") && r.ended == 1, "before the handshake there are none");
	rig_close(&r);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		open_at(&r, versions[i]);
		say(&r, "[" PING("1") "]");
		ok(SAYS(&r, "-32600", "batches") && r.ended == 1 &&
			   r.sent[0].status == 400,
		   "nor in the other revisions");
		rig_close(&r);
	}
	open_at(&r, INIT("0", "2025-03-26"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		say(&r, bad[i]);
		ok(SAYS(&r, "-32600") && r.ended == 1, "this is none: %s", bad[i]);
	}
	buf_init(&b, 65536);
	for (int i = 0; i < 33; i++)
		buf_str(&b, i ? "," PING("1") : "[" PING("1"));
	buf_str(&b, "]");
	say(&r, buf_cstr(&b));
	ok(SAYS(&r, "-32600") && r.ended == 1, "nor is any number");
	rig_close(&r);
}

static void t_no_memory(void)
{
	struct rig r;
	bool good = true;

	open_at(&r, INIT("0", "2025-03-26"));
	for (long n = 1; n < 40; n++) {
		mem_fail_after(n);
		say(&r, "[" PING("1") "," PING("2") "]");
		mem_fail_after(0);
		good = good && r.ended == 1;
	}
	ok(good, "without memory it still ends once");
	rig_close(&r);
}

int main(void)
{
	t_many();
	t_ends();
	t_gone();
	t_none();
	t_no_memory();
	return tap_done();
}
