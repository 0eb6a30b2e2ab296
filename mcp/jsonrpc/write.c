/* write.c: results, errors, notifications and requests -> one line of JSON each. */
#include "mcp/jsonrpc/jsonrpc.h"

/* A line break in JSON stands between tokens and means nothing; on stdio it would end the message.
 * So the text of an embedded schema can be passed as it is in its file. */
static void add_on_one_line(struct buf *b, struct sv json)
{
	size_t from = 0;

	for (size_t i = 0; i < json.n; i++) {
		if (json.p[i] != '\n' && json.p[i] != '\r')
			continue;
		buf_add(b, json.p + from, i - from);
		from = i + 1;
	}
	if (from < json.n)
		buf_add(b, json.p + from, json.n - from);
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
