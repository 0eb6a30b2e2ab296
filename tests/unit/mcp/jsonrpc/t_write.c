/* t_write.c: what goes out is one line of JSON that the room itself would take. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

static bool is(const struct buf *b, const char *want)
{
	if (sv_eq(buf_view(b), sv_of(want)))
		return true;
	printf("# %s\n", buf_cstr(b));
	return false;
}

static void t_result(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	rpc_write_result(&b, SV("1.0"), SV("{\"a\":1}"));
	ok(is(&b, "{\"jsonrpc\":\"2.0\",\"id\":1.0,\"result\":{\"a\":1}}"), "a result");
	buf_reset(&b);
	rpc_write_result(&b, SV("\"\\u00e9\""), SV(""));
	ok(is(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"\\u00e9\",\"result\":{}}"),
	   "an empty result is an empty object");
	buf_reset(&b);
	rpc_write_result(&b, SV("7"),
			 SV("{\r\n\t\"a\": [1,\n2],\n\"b\": \"x\\ny\"\n}\n"));
	ok(is(&b,
	      "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\t\"a\": [1,2],\"b\": \"x\\ny\"}}"),
	   "line breaks between tokens do not reach the line");
}

static void t_error(void)
{
	struct err e = {.code = ERR_NONE};
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	err_set(&e, ERR_NOT_FOUND, "no \"x\" in\nhere \xff");
	err_fix(&e, "use y");
	rpc_write_error(&b, SV(""), RPC_METHOD_NOT_FOUND, &e, SV(""));
	ok(is(&b,
	      "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32601,\"message\":"
	      "\"no \\\"x\\\" in\\nhere \xef\xbf\xbd\",\"data\":{\"code\":\"not_found\","
	      "\"remediation\":\"use y\"}}}"),
	   "an error without an id; its words are quoted");
	buf_reset(&b);
	e = (struct err){.code = ERR_INVALID};
	rpc_write_error(&b, SV("5"), RPC_UNSUPPORTED_VERSION, &e,
			SV("\"supported\":[\"2026-07-28\"],\n\"requested\":\"x\""));
	ok(is(&b,
	      "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32022,\"message\":"
	      "\"the request failed\",\"data\":{\"code\":\"invalid\",\"remediation\":"
	      "\"correct the request and send it again\",\"supported\":[\"2026-07-28\"],"
	      "\"requested\":\"x\"}}}"),
	   "an error with members of its own, and words where none were set");
}

static void t_notification(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	rpc_write_notification(&b, "notifications/progress", SV("{\"progress\":1}"));
	ok(is(&b,
	      "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
	      "{\"progress\":1}}"),
	   "a notification");
	buf_reset(&b);
	rpc_write_notification(&b, "x", SV(""));
	ok(is(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}"), "one without params");
}

static void t_round_trip(void)
{
	struct err e = {.code = ERR_NONE};
	struct rpc_msg m;
	struct rpc_fault f;
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	err_set(&e, ERR_INVALID, "x");
	rpc_write_error(&b, SV("\"a\\/b\""), RPC_INVALID_PARAMS, &e, SV("\"k\":1"));
	ok(!rpc_parse(buf_view(&b), &m, &f) && m.kind == RPC_RESPONSE &&
		   sv_eq(m.id, SV("\"a\\/b\"")) &&
		   js_get(js_get(js_get(m.root, "error"), "data"), "k"),
	   "what is written can be read");
	rpc_msg_finish(&m);
}

static void t_no_memory(void)
{
	bool good = true;
	long n = 0;

	for (;;) {
		AUTO_BUF b = {0};

		buf_init(&b, 4096);
		mem_fail_after(++n);
		rpc_write_result(&b, SV("1"),
				 SV("{\"a\":\"0123456789012345678901234567890123456"
				    "789012345678901234567890123456789\"}"));
		mem_fail_after(0);
		if (!b.failed)
			break;
		good = good && n < 10;
	}
	ok(good && n > 2, "without memory the buffer says so");
}

static void t_request(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	rpc_write_request(&b, SV("7"), SV("a/\"b\""), SV("{\n\"x\":1}"));
	ok(is(&b,
	      "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a/\\\"b\\\"\",\"params\":{"
	      "\"x\":1}}"),
	   "a request");
	buf_reset(&b);
	rpc_write_request(&b, SV("\"s\""), SV("roots/list"), SV(""));
	ok(is(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"roots/list\","
		  "\"params\":{}}"),
	   "no params are an empty object");
}

int main(void)
{
	t_request();
	t_result();
	t_error();
	t_notification();
	t_round_trip();
	t_no_memory();
	return tap_done();
}
