/* t_parse.c: bytes -> request, notification, response or fault; ids and tokens as they came. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

static void t_kinds(void)
{
	struct rpc_msg m;
	struct rpc_fault f;

	ok(!rpc_parse(SV("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\","
			 "\"params\":{\"name\":\"x\"},\"extra\":[]}"),
		      &m, &f) &&
		   m.kind == RPC_REQUEST && sv_eq(m.id, SV("1")) &&
		   sv_eq(m.method, SV("tools/call")) &&
		   sv_eq(js_str(js_get(m.params, "name")), SV("x")) &&
		   cJSON_IsObject(m.root),
	   "a request, with params and a member nobody knows");
	rpc_msg_finish(&m);
	rpc_fault_finish(&f);
	ok(!m.owned && !m.params, "a finished message holds nothing");
	rpc_msg_finish(&m);
	rpc_msg_finish(NULL);
	rpc_fault_finish(NULL);
	ok(!rpc_parse(
		   SV(" {\"method\":\"notifications/initialized\",\"jsonrpc\":\"2.0\"}\r"),
		   &m, &f) &&
		   m.kind == RPC_NOTIFICATION && !m.id.n && !m.params,
	   "a notification, between blanks");
	rpc_msg_finish(&m);
	ok(!rpc_parse(SV("{\"jsonrpc\":\"2.0\",\"id\":\"s1\",\"result\":null}"), &m,
		      &f) &&
		   m.kind == RPC_RESPONSE && !m.method.n && sv_eq(m.id, SV("\"s1\"")),
	   "a response with a result of null");
	rpc_msg_finish(&m);
	ok(!rpc_parse(SV("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-1}}"),
		      &m, &f) &&
		   m.kind == RPC_RESPONSE,
	   "an error response to an id nobody could read");
	rpc_msg_finish(&m);
	ok(!rpc_parse(
		   SV("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":null}"),
		   &m, &f) &&
		   !m.params,
	   "params of null are absent params");
	rpc_msg_finish(&m);
	ok(!rpc_parse(
		   SV("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"Params\":[],\"ID\":2}"),
		   &m, &f) &&
		   !m.params && sv_eq(m.id, SV("1")),
	   "names are told apart by case");
	rpc_msg_finish(&m);
}

static void t_ids(void)
{
	static const char *const ids[] = {
		"0",
		"-1",
		"1.0",
		"1e400",
		"-0",
		"1E+2",
		"9007199254740993",
		"0.1e-7",
		"\"a\"",
		"\"\"",
		"\"\\u00e9\\/\"",
		"\"\xc3\xa9\"",
		"\"}{\\\"id\\\":3,\"",
		"18446744073709551616123456789",
		"\"\\ud83d\\ude00\"",
	};
	char digits[401];
	struct rpc_msg m;
	struct rpc_fault f;

	for (size_t i = 0; i <= ARRAY_LEN(ids); i++) {
		const char *id = i < ARRAY_LEN(ids) ? ids[i] : digits;
		AUTO_BUF b = {0}, last = {0};

		memset(digits, '7', 400);
		digits[400] = '\0';
		buf_init(&b, 4096);
		buf_init(&last, 4096);
		buf_fmt(&b, "{\"jsonrpc\":\"2.0\",\"id\": %s ,\"method\":\"x\"}", id);
		buf_fmt(&last,
			"{\"method\":\"x\",\"params\":{\"id\":[5,{\"id\":6}],\"s\":\"\\\"\"},"
			"\"jsonrpc\":\"2.0\",\"\\u0069d\":%s}",
			id);
		ok(!rpc_parse(buf_view(&b), &m, &f) && sv_eq(m.id, sv_of(id)),
		   "id %.40s is kept as it came", id);
		rpc_msg_finish(&m);
		rpc_fault_finish(&f);
		ok(!rpc_parse(buf_view(&last), &m, &f) && sv_eq(m.id, sv_of(id)),
		   "also as the last member");
		rpc_msg_finish(&m);
		rpc_fault_finish(&f);
	}
}

struct refusal {
	const char *text;
	enum rpc_code code;
	const char *id; /* what is echoed; "" nothing */
	const char *says;
};

#define V "\"jsonrpc\":\"2.0\""

/* clang-format off */
static const struct refusal refusals[] = {
	{"", RPC_PARSE_ERROR, "", "it ends"},
	{"{", RPC_PARSE_ERROR, "", "it ends"},
	{"nonsense", RPC_PARSE_ERROR, "", "true, false or null"},
	{"[]", RPC_INVALID_REQUEST, "", "batches"},
	{"[{" V ",\"id\":1,\"method\":\"x\"}]", RPC_INVALID_REQUEST, "", "batches"},
	{"\"x\"", RPC_INVALID_REQUEST, "", "must be a JSON object"},
	{"42", RPC_INVALID_REQUEST, "", "must be a JSON object"},
	{"{}", RPC_INVALID_REQUEST, "", "jsonrpc is missing"},
	{"{\"id\":1,\"method\":\"x\"}", RPC_INVALID_REQUEST, "1", "jsonrpc is missing"},
	{"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"x\"}", RPC_INVALID_REQUEST, "1", "jsonrpc"},
	{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"x\"}", RPC_INVALID_REQUEST, "1", "jsonrpc"},
	{"{" V ",\"id\":null,\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "is null"},
	{"{" V ",\"id\":true,\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "id must be"},
	{"{" V ",\"id\":[1],\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "id must be"},
	{"{" V ",\"id\":{\"id\":1},\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "id must be"},
	{"{" V ",\"id\":1}", RPC_INVALID_REQUEST, "1", "no method"},
	{"{" V ",\"id\":1,\"method\":7}", RPC_INVALID_REQUEST, "1", "method must be"},
	{"{" V ",\"id\":1,\"method\":null}", RPC_INVALID_REQUEST, "1", "method must be"},
	{"{" V ",\"id\":1,\"method\":\"x\",\"result\":1}", RPC_INVALID_REQUEST, "1", "an answer"},
	{"{" V ",\"id\":1,\"method\":\"x\",\"params\":[]}", RPC_INVALID_PARAMS, "1", "an object"},
	{"{" V ",\"id\":1,\"method\":\"x\",\"params\":\"{}\"}", RPC_INVALID_PARAMS, "1", "an object"},
	{"{" V ",\"method\":\"x\",\"params\":7}", RPC_INVALID_PARAMS, "", "an object"},
	/* a broken response names an id of ours: echoing it could answer a request of the peer's */
	{"{" V ",\"id\":1,\"result\":1,\"error\":{}}", RPC_INVALID_REQUEST, "", "both"},
	{"{" V ",\"id\":1,\"error\":7}", RPC_INVALID_REQUEST, "", "no object"},
	{"{" V ",\"id\":null,\"result\":7}", RPC_INVALID_REQUEST, "", "without an id"},
	{"{" V ",\"result\":7}", RPC_INVALID_REQUEST, "", "without an id"},
	{"{" V ",\"id\":1,\"result\":{\"a\":[}}", RPC_PARSE_ERROR, "", "expected a value"},
	/* the id is read from text that is refused */
	{"{" V ",\"id\":7,\"method\":\"x\",\"params\":{\"a\":[1,", RPC_PARSE_ERROR, "7", "it ends"},
	{"{" V ",\"id\":7", RPC_PARSE_ERROR, "", "it ends"},
	{"{" V ",\"id\":\"7", RPC_PARSE_ERROR, "", "it ends"},
	{"{\"method\":\"x\",\"params\":{\"a\":01}," V ",\"id\":\"q\"}", RPC_PARSE_ERROR, "\"q\"", "'1'"},
	{"{\"method\":\"x\",\"params\":{\"a\":\"\\x\"}," V ",\"id\":8}", RPC_PARSE_ERROR, "8", "backslash"},
	{"{\"method\":\"x\",\"params\":{\"a\":\"b\"c\"}," V ",\"id\":8}", RPC_PARSE_ERROR, "", "'c'"},
	{"{\"method\":\"x\",\"params\":{\"a\":1," V ",\"id\":8}", RPC_PARSE_ERROR, "", "it ends"},
	{"{" V ",\"id\":8,\"method\":\"x\"} {" V ",\"id\":9}", RPC_PARSE_ERROR, "8", "nothing after"},
	{"{\"method\":\"x\"," V ",\"id\":8,,}", RPC_PARSE_ERROR, "8", "','"},
	{"{" V ",\"id\":01,\"method\":\"x\"}", RPC_PARSE_ERROR, "", "'1'"},
	{"{" V ",\"id\":\"\\ud800\",\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "surrogate"},
	{"{" V ",\"id\":\"\\u0000\",\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "NUL"},
	{"{\"method\":\"x\",\"params\":{\"a\":\"\\u0000\"}," V ",\"id\":1.0}", RPC_INVALID_REQUEST, "1.0", "NUL"},
	{"{\"method\":\"x\",\"method\":\"y\"," V ",\"id\":8}", RPC_INVALID_REQUEST, "8", "\"method\" stands twice"},
	{"{\"id\":1,\"id\":2," V ",\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "\"id\" stands twice"},
	{"{\"id\":1,\"\\u0069d\":2," V ",\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "stands twice"},
	{"{\"params\":{\"id\":9,\"a\":1,\"a\":1}," V ",\"method\":\"x\"}", RPC_INVALID_REQUEST, "", "\"a\" stands"},
};
/* clang-format on */

static void t_refusals(void)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct rpc_msg m;
		struct rpc_fault f;
		int bad = rpc_parse(sv_of(r->text), &m, &f);

		if (!ok(bad == -1 && f.code == r->code && f.err.code == ERR_INVALID &&
				sv_eq(buf_view(&f.id_text), sv_of(r->id)) &&
				strstr(f.err.cause, r->says) && !m.owned,
			"refused: %s", r->text))
			printf("# %d, code %d, id %s: %s\n", bad, f.code,
			       buf_cstr(&f.id_text), f.err.cause);
		rpc_fault_finish(&f);
	}
}

static void t_limits(void)
{
	struct rpc_msg m;
	struct rpc_fault f;
	AUTO_BUF b = {0};

	buf_init(&b, 2 * RPC_MAX_MESSAGE_BYTES);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"");
	for (int i = 0; i < RPC_MAX_ID_BYTES - 2; i++)
		buf_byte(&b, 'i');
	buf_str(&b, "\",\"method\":\"x\"}");
	ok(!rpc_parse(buf_view(&b), &m, &f) && m.id.n == RPC_MAX_ID_BYTES,
	   "an id of %d bytes is taken", RPC_MAX_ID_BYTES);
	rpc_msg_finish(&m);
	buf_reset(&b);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"");
	for (int i = 0; i < RPC_MAX_ID_BYTES - 1; i++)
		buf_byte(&b, 'i');
	buf_str(&b, "\",\"method\":\"x\"}");
	ok(rpc_parse(buf_view(&b), &m, &f) && f.code == RPC_INVALID_REQUEST &&
		   !f.id_text.n && !f.id_text.failed && strstr(f.err.cause, "4096"),
	   "a longer one is refused and not echoed");
	rpc_fault_finish(&f);
	buf_reset(&b);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"d\":");
	for (int i = 0; i < 1000000; i++)
		buf_byte(&b, '[');
	for (int i = 0; i < 1000000; i++)
		buf_byte(&b, ']');
	buf_str(&b, "},\"id\":\"deep\"}");
	ok(rpc_parse(buf_view(&b), &m, &f) && f.code == RPC_INVALID_REQUEST &&
		   f.err.code == ERR_LIMIT &&
		   sv_eq(buf_view(&f.id_text), SV("\"deep\"")),
	   "a million levels are refused, the id behind them is read");
	rpc_fault_finish(&f);
	while (b.n <= RPC_MAX_MESSAGE_BYTES)
		buf_str(&b, "                ");
	ok(rpc_parse(buf_view(&b), &m, &f) && f.code == RPC_INVALID_REQUEST &&
		   f.err.code == ERR_LIMIT,
	   "too many bytes are refused");
	rpc_fault_finish(&f);
}

static void t_long_numbers(void)
{
	struct err e = {.code = ERR_NONE};
	int64_t n = 0;
	AUTO_BUF b = {0};
	struct cJSON *t;

	buf_init(&b, RPC_MAX_MESSAGE_BYTES);
	buf_str(&b,
		"[\"1111111111111111111111111111111111111111111111111111111111111111111\\\"\",");
	buf_str(&b,
		"0.00000000000000000000000000000000000000000000000000000000000000000000025,");
	buf_str(&b,
		"-1234567.000000000000000000000000000000000000000000000000000000000000000,");
	for (int i = 0; i < 500; i++)
		buf_byte(&b, '9');
	buf_str(&b, ",-");
	for (int i = 0; i < 500; i++)
		buf_byte(&b, '9');
	buf_str(&b, "]");
	t = rpc_json_parse(buf_view(&b), &e);
	ok(t && cJSON_GetArraySize(t) == 5, "numbers of hundreds of digits parse");
	ok(js_str(cJSON_GetArrayItem(t, 0)).n == 68,
	   "digits in a string are left alone");
	ok(t && cJSON_GetArrayItem(t, 1)->valuedouble == 0.25e-69,
	   "a long fraction is right");
	ok(!js_int(cJSON_GetArrayItem(t, 2), &n) && n == -1234567,
	   "a long whole number is");
	ok(t && cJSON_GetArrayItem(t, 3)->valuedouble > 1e308 &&
		   cJSON_GetArrayItem(t, 4)->valuedouble < -1e308 &&
		   js_int(cJSON_GetArrayItem(t, 3), &n),
	   "a huge one is infinite and no integer");
	cJSON_Delete(t);
	buf_reset(&b);
	while (b.n < RPC_MAX_MESSAGE_BYTES)
		buf_byte(&b, '3');
	t = rpc_json_parse(buf_view(&b), &e);
	ok(cJSON_IsNumber(t), "16 MiB of digits are one number");
	cJSON_Delete(t);
}

static struct sv token_of(const struct rpc_msg *m, const struct cJSON *v, struct buf *b)
{
	buf_reset(b);
	return rpc_scalar_text(m, v, b) ? SV("-") : buf_view(b);
}

static void t_tokens(void)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":[{\"b\":1.0},"
		"{ \"\\u0062\" : [\"\\u00e9\\/\" , 1e400, 12345678901234567890]} ],"
		"\"_meta\":{\"progressToken\":\"]}\\\"\",\"n\":-7,\"t\":true,\"o\":{},"
		"\"s\":\"5\"}},\"id\":1}";
	struct rpc_msg m;
	struct rpc_fault f;
	const struct cJSON *meta, *list, *a;
	struct cJSON *made = cJSON_CreateNumber(12), *half = cJSON_CreateNumber(0.5);
	struct cJSON *word = cJSON_CreateString("w\"");
	AUTO_BUF b = {0};

	buf_init(&b, 8192);
	ok(!rpc_parse(sv_of(text), &m, &f), "a message with scalars everywhere");
	meta = js_get(m.params, "_meta");
	a = js_get(m.params, "a");
	list = js_get(cJSON_GetArrayItem(a, 1), "b");
	ok(sv_eq(token_of(&m, js_get(meta, "progressToken"), &b), SV("\"]}\\\"\"")),
	   "a string token comes back raw");
	ok(sv_eq(token_of(&m, js_get(meta, "n"), &b), SV("-7")), "a number does");
	ok(sv_eq(token_of(&m, js_get(cJSON_GetArrayItem(a, 0), "b"), &b), SV("1.0")),
	   "1.0 stays 1.0");
	ok(sv_eq(token_of(&m, cJSON_GetArrayItem(list, 0), &b), SV("\"\\u00e9\\/\"")),
	   "escapes stay as they were");
	ok(sv_eq(token_of(&m, cJSON_GetArrayItem(list, 1), &b), SV("1e400")),
	   "1e400 stays");
	ok(sv_eq(token_of(&m, cJSON_GetArrayItem(list, 2), &b),
		 SV("12345678901234567890")),
	   "a number past 2^53 stays");
	ok(sv_eq(token_of(&m, js_get(meta, "t"), &b), SV("-")) &&
		   sv_eq(token_of(&m, js_get(meta, "o"), &b), SV("-")) &&
		   sv_eq(token_of(&m, NULL, &b), SV("-")),
	   "true, an object and nothing are no scalars");
	ok(sv_eq(token_of(&m, made, &b), SV("12")) &&
		   sv_eq(token_of(&m, half, &b), SV("-")) &&
		   sv_eq(token_of(&m, word, &b), SV("\"w\\\"\"")),
	   "a node from elsewhere is written anew, if that is exact");
	rpc_msg_finish(&m);
	cJSON_Delete(made);
	cJSON_Delete(half);
	cJSON_Delete(word);
}

static void t_long_token(void)
{
	char *word = mem_zalloc(RPC_MAX_ID_BYTES + 1);
	struct cJSON *made;
	struct rpc_msg m;
	struct rpc_fault f;
	AUTO_BUF b, token;

	memset(word, 'w', RPC_MAX_ID_BYTES);
	buf_init(&b, 65536);
	buf_init(&token, 65536);
	buf_fmt(&b,
		"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":\"%s\",\"b\":\"%s\"}}",
		word, word + 2);
	ok(!rpc_parse(buf_view(&b), &m, &f), "a message with long strings");
	ok(!rpc_scalar_text(&m, js_get(m.params, "b"), &token) &&
		   token.n == RPC_MAX_ID_BYTES,
	   "text of %d bytes may be a token", RPC_MAX_ID_BYTES);
	buf_reset(&token);
	ok(rpc_scalar_text(&m, js_get(m.params, "a"), &token) == -1 && !token.n,
	   "longer text may not");
	made = cJSON_CreateString(word);
	ok(rpc_scalar_text(&m, made, &token) == -1 && !token.n,
	   "nor may it when made anew");
	cJSON_Delete(made);
	rpc_msg_finish(&m);
	mem_free(word);
}

/* After coercion a container stands where the source has a string. */
static void t_tokens_after_coercion(void)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"n\":\"7\","
		"\"l\":\"[1.0,\\\"a\\\"]\",\"after\":2.0}}";
	struct err e = {.code = ERR_NONE};
	struct rpc_msg m;
	struct rpc_fault f;
	struct cJSON *schema = rpc_json_parse(
		SV("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"},"
		   "\"l\":{\"type\":\"array\"}}}"),
		&e);
	struct cJSON *params;
	AUTO_BUF b = {0};

	buf_init(&b, 8192);
	ok(!rpc_parse(sv_of(text), &m, &f), "a message with stringified arguments");
	params = cJSON_GetObjectItemCaseSensitive(m.owned, "params");
	ok(!rpc_schema_check(schema, params, true, &e), "they are coerced");
	ok(sv_eq(token_of(&m, js_get(params, "n"), &b), SV("7")),
	   "a coerced number is written");
	ok(sv_eq(token_of(&m, js_get(params, "l")->child, &b), SV("1")) &&
		   sv_eq(token_of(&m, js_get(params, "l")->child->next, &b),
			 SV("\"a\"")),
	   "so is what is in a coerced array");
	ok(sv_eq(token_of(&m, js_get(params, "after"), &b), SV("2.0")),
	   "what stands behind it is still found");
	rpc_msg_finish(&m);
	cJSON_Delete(schema);
}

/* Every allocation of one parse, cJSON's included, fails once. */
static void t_no_memory(void)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"abc\",\"method\":\"x\",\"params\":{\"a\":[1,{\"b\":"
		"\"c\"}],\"long\":0.1111111111111111111111111111111111111111111111111111111111111}}";
	long n = 0;
	bool good = true, done = false;

	while (!done && n < 1000) {
		struct rpc_msg m;
		struct rpc_fault f;

		mem_fail_after(++n);
		done = !rpc_parse(sv_of(text), &m, &f);
		mem_fail_after(0);
		good = good && (done || (f.code == RPC_INTERNAL_ERROR &&
					 f.err.code == ERR_LIMIT && f.err.cause[0] &&
					 !m.owned &&
					 sv_eq(buf_view(&f.id_text), SV("\"abc\""))));
		rpc_msg_finish(&m);
		rpc_fault_finish(&f);
	}
	ok(good && done && n > 20,
	   "each of %ld allocations may fail: a fault with the id", n - 1);
}

int main(void)
{
	t_kinds();
	t_ids();
	t_refusals();
	t_limits();
	t_long_numbers();
	t_tokens();
	t_long_token();
	t_tokens_after_coercion();
	t_no_memory();
	return tap_done();
}
