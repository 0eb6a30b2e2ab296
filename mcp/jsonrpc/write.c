/* write.c: results, errors, notifications and requests -> one line of JSON each. */
#include "mcp/jsonrpc/jsonrpc.h"

/* Offset of the next c from `from` on; the length when there is none. */
static size_t next_byte(struct sv s, size_t from, char c)
{
	const char *at = from < s.n ? memchr(s.p + from, c, s.n - from) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

/* A line break in JSON stands between tokens and means nothing; on stdio it would end the message.
 * So the text of an embedded schema can be passed as it is in its file. Nearly all that comes is one
 * line already, which memchr sees many bytes at a time. */
static void add_on_one_line(struct buf *b, struct sv json)
{
	size_t lf = next_byte(json, 0, '\n'), cr = next_byte(json, 0, '\r');

	for (size_t from = 0; from < json.n;) {
		size_t stop = lf < cr ? lf : cr;

		buf_add(b, json.p + from, stop - from);
		from = stop + 1;
		lf = lf < from ? next_byte(json, from, '\n') : lf;
		cr = cr < from ? next_byte(json, from, '\r') : cr;
	}
}

static void start(struct buf *b, struct sv id)
{
	buf_str(b, "{\"jsonrpc\":\"2.0\",\"id\":");
	add_on_one_line(b, id.n ? id : SV("null"));
}

void rpc_write_result(struct buf *b, struct sv id, struct sv result_json)
{
	start(b, id);
	buf_str(b, ",\"result\":");
	add_on_one_line(b, result_json.n ? result_json : SV("{}"));
	buf_byte(b, '}');
}

void rpc_write_error(struct buf *b, struct sv id, enum rpc_code code,
		     const struct err *e, struct sv extra_data_members)
{
	start(b, id);
	buf_fmt(b, ",\"error\":{\"code\":%d,\"message\":", (int)code);
	json_quote(b, e->cause[0] ? sv_of(e->cause) : SV("the request failed"));
	buf_str(b, ",\"data\":{\"code\":");
	json_quote(b, sv_of(err_code_name(e->code)));
	buf_str(b, ",\"remediation\":");
	json_quote(b, sv_of(err_remediation(e)));
	if (extra_data_members.n) {
		buf_byte(b, ',');
		add_on_one_line(b, extra_data_members);
	}
	buf_str(b, "}}}");
}

void rpc_write_notification(struct buf *b, const char *method, struct sv params_json)
{
	buf_str(b, "{\"jsonrpc\":\"2.0\",\"method\":");
	json_quote(b, sv_of(method));
	if (params_json.n) {
		buf_str(b, ",\"params\":");
		add_on_one_line(b, params_json);
	}
	buf_byte(b, '}');
}

void rpc_write_request(struct buf *b, struct sv id, struct sv method,
		       struct sv params_json)
{
	start(b, id);
	buf_str(b, ",\"method\":");
	json_quote(b, method);
	buf_str(b, ",\"params\":");
	add_on_one_line(b, params_json.n ? params_json : SV("{}"));
	buf_byte(b, '}');
}
