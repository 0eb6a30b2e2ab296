/* answer.c: what a tool or a prompt gave, as the result its revision knows. */
#include "mcp/protocol/internal.h"

/* {code, cause, remediation} as text: structuredContent would have to match outputSchema. */
static void write_error_text(struct jw *w, const struct err *e)
{
	AUTO_BUF text = {0};
	struct jw inner;

	buf_init(&text, 8 * sizeof(*e));
	jw_init(&inner, &text);
	jw_obj(&inner);
	jw_kstr(&inner, "code", sv_of(err_code_name(e->code)));
	jw_kstr(&inner, "cause", sv_of(e->cause));
	jw_kstr(&inner, "remediation", sv_of(err_remediation(e)));
	jw_obj_end(&inner);
	if (text.failed)
		w->b->failed = true;
	jw_kstr(w, "text", buf_view(&text));
}

static void write_content(struct jw *w, const struct proto_revision *rev,
			  const struct tool_answer *a)
{
	jw_key(w, "content");
	if (!a->err && a->content_json.n && (rev->structured || !a->text.n)) {
		jw_raw(w, a->content_json);
		return;
	}
	/* links are as young as structuredContent */
	if (!a->err && a->plain_n) {
		jw_raw(w, (struct sv){a->content_json.p, a->plain_n});
		buf_str(w->b, "]");
		return;
	}
	jw_arr(w);
	jw_obj(w);
	jw_kstr(w, "type", SV("text"));
	if (a->err)
		write_error_text(w, a->err);
	else
		jw_kstr(w, "text", a->text);
	jw_obj_end(w);
	jw_arr_end(w);
}

static void write_tool_members(struct jw *w, const struct proto_revision *rev,
			       const struct tool_answer *a)
{
	write_content(w, rev, a);
	if (a->err || a->is_error)
		jw_kbool(w, "isError", true);
	else if (rev->structured && a->structured_json.n)
		jw_kraw(w, "structuredContent", a->structured_json);
}

void proto_answer_members(struct jw *w, const struct proto_call *call,
			  const struct proto_revision *rev, const struct tool_answer *a)
{
	if (!call->item->prompt)
		write_tool_members(w, rev, a);
	else if (a->result_json.n)
		jw_raw(w, a->result_json);
}

static void send_error(const struct proto_request *r, const struct tool_answer *a)
{
	int code = a->rpc_code;

	if (!code)
		code = a->err->code == ERR_INVALID || a->err->code == ERR_NOT_FOUND
			       ? RPC_INVALID_PARAMS
			       : RPC_INTERNAL_ERROR;
	proto_request_fail(r, code, a->err, (struct sv){0});
}

/* 2026-07-28, basic/index, "Per-request protocol fields": the client may send it again and declare it. */
static void send_missing(const struct proto_request *r, const struct tool_answer *a)
{
	AUTO_BUF extra = {0};
	struct jw w;

	buf_init(&extra, 256);
	jw_init(&w, &extra);
	jw_key(&w, "requiredCapabilities");
	proto_cap_write(&w, proto_cap_bit(sv_of(a->needs)));
	proto_request_fail(r, RPC_MISSING_CAPABILITY, a->err, buf_view(&extra));
}

void proto_answer_send(const struct proto_call *call, const struct tool_answer *a)
{
	const struct proto_request *r = call->request;
	AUTO_BUF b = {0};
	struct jw w;

	if (a->err && a->needs && r->rev->era == PROTO_MODERN) {
		send_missing(r, a);
		return;
	}
	/* a prompt has no isError */
	if (a->err && (a->rpc_code || call->item->prompt)) {
		send_error(r, a);
		return;
	}
	buf_init(&b, PROTO_MAX_OUT_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	proto_answer_members(&w, call, r->rev, a);
	proto_write_answer_meta(&w, r->rev, a->trace_json);
	jw_obj_end(&w);
	proto_request_reply(r, &b);
}

void proto_answer_refuse(const struct proto_ctx *c, const struct err *e)
{
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, PROTO_MAX_LOG_BYTES);
	jw_init(&w, &b);
	jw_obj(&w);
	write_tool_members(&w, c->rev, &(struct tool_answer){.err = e});
	proto_write_result_meta(&w, c->rev);
	jw_obj_end(&w);
	proto_reply(c, &b);
}
