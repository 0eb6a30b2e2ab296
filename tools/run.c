/* run.c: a checked request to the keeper and its answer back; shared by the run_* tools. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#define PROGRESS_US 100000

/* *ret stays -1 for nothing to send: the guest takes that for no file at all. */
static int seal(const char *name, struct sv bytes, bool wanted, int *ret, struct err *e)
{
	if (wanted)
		*ret = fd_memfd(name, bytes.p, bytes.n, e);
	return wanted && *ret < 0 ? -1 : 0;
}

int run_start(struct tool_call *call, const struct run_request *req, struct err *e)
{
	AUTO_FD code = -1;
	AUTO_FD input = -1;
	AUTO_FD in = -1;
	struct sup_run_opts o = {
		.tool = req->tool,
		.credential = call->env.credential,
		.language = req->language,
		.has_timeout = req->has_timeout,
		.timeout_ms = req->timeout_ms,
		.has_argv = req->has_argv,
		.on_done = run_on_done,
		.on_output = run_on_output,
	};
	struct run *r;

	if (seal("code", req->code, !req->has_argv, &code, e) ||
	    seal("input", buf_view(&req->input), req->input.n > 0, &input, e) ||
	    seal("stdin", req->stdin_text, req->stdin_text.n > 0, &in, e))
		return -1;
	r = mem_zalloc(sizeof(*r));
	if (!r)
		return err_set(e, ERR_LIMIT, "no memory for another run");
	r->call = call;
	call->state = o.arg = r;
	o.code_fd = fd_steal(&code);
	o.input_fd = fd_steal(&input);
	o.stdin_fd = fd_steal(&in);
	r->sup = sup_client_run(call->env.client, &o, e);
	if (r->sup)
		return 0;
	call->state = NULL;
	mem_free(r);
	return -1;
}

void run_cancel(struct tool_call *call)
{
	struct run *r = call->state;

	if (r)
		sup_client_cancel(r->sup);
}

void run_on_output(void *run, uint64_t total_bytes)
{
	struct run *r = run;
	uint64_t now;

	if (!r->call->on_progress)
		return;
	now = loop_now_us();
	if (r->reported_us && now - r->reported_us < PROGRESS_US)
		return;
	r->reported_us = now;
	r->call->on_progress(r->call, total_bytes, SV(""));
}

void run_on_done(void *run, const struct sup_answer *a)
{
	struct run *r = run;
	struct tool_call *call = r->call;
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct err e = {0};

	buf_init(&json, RUN_MAX_ANSWER_BYTES);
	buf_init(&text, RUN_MAX_ANSWER_BYTES);
	call->state = NULL;
	mem_free(r);
	if (a->err)
		tool_call_error(call, a->err);
	else if (run_render(a, &json, &text, &e))
		tool_call_error(call, &e);
	else
		tool_call_result(call, buf_view(&json), buf_view(&text));
}
