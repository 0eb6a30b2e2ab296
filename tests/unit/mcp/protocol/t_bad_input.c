/* t_bad_input.c: whatever comes in, the answer is an error that says what to do, or nothing. */
#include "mcp/protocol/internal.h"
#include "tests/unit/mcp/protocol/rig.h"

static void t_faults(void)
{
	static const struct {
		const char *in, *code, *part;
	} cases[] = {
		{"{", "-32700", "\"id\":null"},
		{"not json", "-32700", "\"id\":null"},
		{"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", "-32600",
		 "batch"},
		{"[]", "-32600", "batch"},
		{"7", "-32600", "\"id\":null"},
		{"{\"id\":1,\"method\":\"ping\"}", "-32600", "jsonrpc"},
		{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", "-32600",
		 "null"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "-32600", "method"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}",
		 "-32600", "id"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}",
		 "-32602", "\"id\":1"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\\u0000\"}", "-32600",
		 "\"id\":1"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"}", "-32600",
		 "\"id\":1"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", "-32700",
		 "UTF-8"},
	};
	struct rig r;

	rig_open(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		say(&r, cases[i].in);
		ok(SAYS(&r, "\"error\":{\"code\":", cases[i].code, cases[i].part,
			"\"remediation\":\""),
		   "refused with %s: %s", cases[i].code, cases[i].in);
	}
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	ok(r.n == 0, "an answer to nothing is ignored");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"x\"}}");
	ok(r.n == 0, "so is an error");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/whatever\",\"params\":{}}");
	ok(r.n == 0, "and an unknown notification");
	say(&r,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}");
	ok(r.n == 0, "and a request without an id");
	say(&r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"extra\":1}");
	ok(SAYS(&r, "\"result\":{}"), "after all that a ping is a ping");
	rig_close(&r);
}

static void t_long_names(void)
{
	struct rig r;
	AUTO_BUF b = {0};

	rig_open(&r);
	buf_init(&b, (size_t)1 << 20);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"");
	for (int i = 0; i < 50000; i++)
		buf_str(&b, "\xc3\xa9");
	buf_str(&b, "\"}");
	say(&r, b.p);
	ok(SAYS(&r, "-32601") && r.sent[0].json.n < 1024,
	   "a long method is not sent back whole");
	buf_reset(&b);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":\"");
	for (int i = 0; i < 5000; i++)
		buf_byte(&b, 'i');
	buf_str(&b, "\"}");
	say(&r, b.p);
	ok(SAYS(&r, "-32600", "id"), "an id that is too long is refused");
	rig_close(&r);
}

static void t_oversize(void)
{
	static const struct {
		const char *head, *tail, *id;
	} cases[] = {
		{"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/ca", "xxx\"}}}",
		 "7"},
		{"{\"jsonrpc\": \"2.0\", \"id\": \"a-1\", \"meth", "xxx\"}}}",
		 "\"a-1\""},
		{"{\"id\":-3,\"method\":\"tools/ca", "xxx\"}}}", "-3"},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"id\":3,\"pa",
		 "xx\"}}}", "3"},
		{"{\"method\":\"tools/call\",\"params\":{\"co",
		 "xxx\"}},\"jsonrpc\":\"2.0\",\"id\":12}", "12"},
		{"{\"method\":\"tools/call\",\"params\":{\"co",
		 "xxx\"} , \"id\" : \"z\" }", "\"z\""},
		/* the id of something else */
		{"{\"method\":\"tools/call\",\"params\":{\"co", "xxx\",\"id\":12}}",
		 ""},
		{"{\"params\":{\"id\":4,", "xxx\"}}}", ""},
		/* text that only looks like one */
		{"{\"params\":{\"co", "xxx\\\",\\\"id\\\":12}", ""},
		{"{\"jsonrpc\":\"2.0\",\"id\":\"esc\\\"aped\",\"method\":\"x\",", "}",
		 ""},
		{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"x\",", "}", ""},
		{"{\"jsonrpc\":\"2.0\",\"id\":1", "1,\"x\":2}", ""},
		{"", "", ""},
		{"{", "}", ""},
	};
	struct rig r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sv id =
			proto_excerpt_id(sv_of(cases[i].head), sv_of(cases[i].tail));

		ok(sv_eq(id, sv_of(cases[i].id)),
		   "%s ... %s has the id '%s' (" SV_FMT ")", cases[i].head,
		   cases[i].tail, cases[i].id, SV_ARG(id));
	}
	rig_open(&r);
	proto_on_oversize(r.p, SV("{\"id\":5,\"method\":\"x\""), SV("}"), 1000,
			  &rig_sink_new(&r)->s);
	ok(SAYS(&r, "\"id\":5,\"error\":{\"code\":-32600", "1000 bytes",
		"\"remediation\":\""),
	   "a message over the limit is answered, with the limit");
	rig_clear(&r);
	rig_clear(&r);
	proto_on_oversize(r.p, SV("xxxx"), SV("xxxx"), 1000, &rig_sink_new(&r)->s);
	ok(SAYS(&r, "\"id\":null,\"error\":{\"code\":-32600"),
	   "also when nobody knows whose it was");
	rig_close(&r);
}

/* Nobody has read it, so it need not be JSON. */
static void t_oversize_id(void)
{
	struct rig r;

	rig_open(&r);
	rig_clear(&r);
	proto_on_oversize(r.p, SV("{\"id\":\"\x01\",\"m"), SV("}"), 1000,
			  &rig_sink_new(&r)->s);
	ok(SAYS(&r, "\"id\":null,"), "what is no JSON is not sent back");
	rig_clear(&r);
	proto_on_oversize(r.p, SV("xxxx"), SV("x,\"id\":\"\xff\"}"), 1000,
			  &rig_sink_new(&r)->s);
	ok(SAYS(&r, "\"id\":null,"), "nor is what is no UTF-8");
	rig_clear(&r);
	proto_on_oversize(r.p, SV("{\"id\":007,"), SV("}"), 1000, &rig_sink_new(&r)->s);
	ok(SAYS(&r, "\"id\":null,"), "nor is what is no number");
	rig_close(&r);
}

/* Every allocation of a conversation fails once; nothing leaks, nothing falls over, and the next
 * message is served. */
static void t_no_memory(void)
{
	static const char *const talk[] = {
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
		"\"protocolVersion\":\"2025-11-25\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{" META
		"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{"
		"\"name\":\"echo\",\"arguments\":{\"text\":\"x\"},"
		"\"_meta\":{\"progressToken\":1}}}",
		"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/call\",\"params\":{"
		"\"name\":\"broken\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"subscriptions/listen\",\"params\":{" META
		"}}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
		"\"requestId\":5}}",
		"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"nothing\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"params\":{\"_meta\":{"
		"\"io.modelcontextprotocol/protocolVersion\":\"x\","
		"\"io.modelcontextprotocol/clientCapabilities\":{}}}}",
	};
	struct rig r;
	unsigned worst = 0, unserved = 0;

	rig_open(&r);
	for (size_t i = 0; i < ARRAY_LEN(talk); i++)
		for (long n = 1; n < 60; n++) {
			rig_clear(&r);
			mem_fail_after(n);
			proto_on_message(r.p, sv_of(talk[i]), &rig_sink_new(&r)->s);
			mem_fail_after(0);
			worst = r.n > worst ? r.n : worst;
			say(&r,
			    "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
			unserved += !strstr(msg(&r, 0), "\"result\":{}");
			say(&r, talk[5]);
		}
	ok(worst <= 1, "at most one answer each");
	ok(!unserved, "the connection lives on");
	rig_close(&r);
}

static struct sv no_schema(const char *name)
{
	return strcmp(name, "stuck") ? rig_schema(name) : (struct sv){0};
}

static struct sv other_schema(const char *name)
{
	return strcmp(name, "stuck") ? rig_schema(name) : rig_schema("plain");
}

static void t_birth(void)
{
	static const struct tool_set *const sets[] = {&rig_set, &rig_set};
	struct proto_server_opts o = {
		.sets = sets, .nsets = 1, .schema = no_schema, .max_in_flight = 1};
	struct err e = {0};
	struct proto_server *p = NULL;
	int tries = 0;

	ok(!proto_server_new(&o, &e) && e.code == ERR_INTERNAL &&
		   strstr(e.cause, "stuck"),
	   "a missing schema file is named: %s", e.cause);
	err_clear(&e);
	o.schema = other_schema;
	ok(!proto_server_new(&o, &e) && strstr(e.cause, "name"),
	   "and one of another tool: %s", e.cause);
	o.schema = rig_schema;
	err_clear(&e);
	o.nsets = 2;
	ok(!proto_server_new(&o, &e) && strstr(e.cause, "two are called echo"),
	   "and a name given twice: %s", e.cause);
	o.nsets = 1;
	while (!p && tries < 1000) {
		mem_fail_after(++tries);
		p = proto_server_new(&o, NULL);
		mem_fail_after(0);
	}
	ok(p && tries > 10, "no allocation of %d fails unnoticed", tries);
	proto_server_free(p);
}

int main(void)
{
	t_faults();
	t_long_names();
	t_oversize();
	t_oversize_id();
	t_no_memory();
	t_birth();
	return tap_done();
}
