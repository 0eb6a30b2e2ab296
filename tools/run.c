/* run.c: a checked request to the keeper, and its answer back; shared by run_code and run_command.
 *
 * Theory of operation. A run outlives its call. The call ends when the run does, or before it with
 * `running`: at once where background was asked for, after promote_ms otherwise; in both cases not before the
 * keeper has said the run's id, as without it nobody could go on. Until the call has ended, cancelling it
 * cancels the run. Output goes to the registry as it comes. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#define PROGRESS_US 100000
#define RETRY_MS 1000

/* *ret stays -1 for nothing to send: the guest takes that for no file at all. */
static int seal(const char *name, struct sv bytes, bool wanted, int *ret, struct err *e)
{
	if (wanted)
		*ret = fd_memfd(name, bytes.p, bytes.n, e);
	return wanted && *ret < 0 ? -1 : 0;
}

/* --- answering -------------------------------------------------------------------------------- */

static struct tool_call *take_call(struct run *r)
{
	struct tool_call *call = r->call;

	loop_timer_stop(call->env.loop, &r->promote);
	r->call = NULL;
	call->state = NULL;
	return call;
}

/* With `running`. The run goes on without the call. */
static void answer_running(struct run *r)
{
	const struct run_page page = {.max_bytes = RUN_PAGE_BYTES};
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};

	buf_init(&json, RUN_MAX_ANSWER_BYTES);
	buf_init(&text, RUN_MAX_ANSWER_BYTES);
	/* where it cannot be told, or may not go on alone, the call waits on */
	if (run_render_page(r, &page, &json, &text, NULL) || !run_detach(r)) {
		loop_timer_set(r->call->env.loop, &r->promote, RETRY_MS);
		return;
	}
	tool_call_done(take_call(r),
		       &(struct tool_answer){.structured_json = buf_view(&json),
					     .text = buf_view(&text),
					     .running = true});
}

static void on_promote_due(struct loop_timer *t)
{
	struct run *r = t->arg;

	r->answer_running = true;
	if (r->id[0])
		answer_running(r);
}

void run_answer_finish(struct run_answer *a)
{
	buf_finish(&a->json);
	buf_finish(&a->text);
	buf_finish(&a->content);
	buf_finish(&a->trace);
}

/* Between two moments; nothing where one of them did not come. */
static void put_span(struct jw *w, const char *name, uint64_t from_us, uint64_t to_us)
{
	if (from_us && to_us >= from_us)
		jw_kint(w, name, (int64_t)(to_us - from_us));
}

/* The clock is the same in all processes. */
static void make_trace(const struct run *r, struct buf *trace)
{
	const struct sup_trace *t = &r->result.trace;
	const uint64_t now = loop_now_us();
	struct jw w;

	buf_init(trace, 1024);
	jw_init(&w, trace);
	jw_obj(&w);
	put_span(&w, "front_us", r->started_us, t->arrived_us);
	put_span(&w, "policy_us", t->arrived_us, t->planned_us);
	put_span(&w, "queue_us", t->planned_us, t->slot_us);
	put_span(&w, "ledger_us", t->slot_us, t->recorded_us);
	put_span(&w, "spawn_us", t->recorded_us, t->started_us);
	put_span(&w, "first_byte_us", t->started_us, r->first_byte_us);
	put_span(&w, "exit_us", t->started_us, t->ended_us);
	put_span(&w, "collect_us", t->ended_us, t->closed_us);
	put_span(&w, "answer_us", t->closed_us, now);
	put_span(&w, "total_us", r->started_us, now);
	jw_obj_end(&w);
}

/* Of one that has been settled. p: see run_answer_ended. */
static void make_answer(const struct run *r, const struct run_page *p,
			struct run_answer *ret)
{
	*ret = (struct run_answer){.err = r->err};
	if (r->err.code)
		return;
	buf_init(&ret->json, RUN_MAX_ANSWER_BYTES);
	buf_init(&ret->text, RUN_MAX_ANSWER_BYTES);
	buf_init(&ret->content, RUN_MAX_CONTENT_BYTES);
	if (p ? run_render_page(r, p, &ret->json, &ret->text, &ret->err)
	      : run_render_ended(r, &ret->json, &ret->text, &ret->err))
		return;
	if (!p || run_is_last_page(r, p))
		ret->plain_n = run_blocks(r, buf_view(&ret->text), &ret->content);
	if (!p && r->call && r->call->trace)
		make_trace(r, &ret->trace);
}

/* The run may be gone before it returns. */
static void give_answer(struct tool_call *call, const struct run_answer *a)
{
	if (a->err.code) {
		tool_call_error(call, &a->err);
		return;
	}
	/* without memory for the links the text still has their addresses */
	tool_call_done(
		call,
		&(struct tool_answer){
			.structured_json = buf_view(&a->json),
			.text = buf_view(&a->text),
			.content_json =
				a->content.failed ? SV("") : buf_view(&a->content),
			.plain_n = a->content.failed ? 0 : a->plain_n,
			.trace_json = a->trace.failed ? SV("") : buf_view(&a->trace)});
}

void run_answer_ended(struct tool_call *call, const struct run *r,
		      const struct run_page *p)
{
	struct run_answer a;

	make_answer(r, p, &a);
	give_answer(call, &a);
	run_answer_finish(&a);
}

/* --- what the client says ----------------------------------------------------------------------- */

static void on_accepted(void *arg, struct sv run_id)
{
	struct run *r = arg;

	run_name(r, run_id);
	if (r->call && r->answer_running && r->id[0])
		answer_running(r);
}

static void on_bytes(void *arg, int stream, struct sv bytes)
{
	struct run *r = arg;

	if (!r->first_byte_us)
		r->first_byte_us = loop_now_us();
	run_keep(r, stream == 1 ? RUN_STDOUT : RUN_STDERR, bytes);
	waits_wake(r);
}

static void on_output(void *arg, uint64_t total_bytes)
{
	struct run *r = arg;
	uint64_t now;

	if (!r->call || !r->call->hooks->progress)
		return;
	now = loop_now_us();
	if (r->reported_us && now - r->reported_us < PROGRESS_US)
		return;
	r->reported_us = now;
	r->call->hooks->progress(r->call, total_bytes, SV(""));
}

static void on_rich(void *arg, struct sv line)
{
	run_keep_rich(arg, line);
}

static void run_leave_session(struct run *r)
{
	if (!r->throwaway[0])
		return;
	sup_client_session_drop(r->client, sv_of(r->throwaway));
	r->throwaway[0] = '\0';
}

/* What was made for the call goes to it; to whoever else asks from now on, it has ended. */
static void on_recorded(void *arg)
{
	struct run *r = arg;
	struct tool_call *call = r->call ? take_call(r) : NULL;
	struct run_answer a = r->answer;

	r->answer = (struct run_answer){0};
	run_end(r);
	if (!r->kept)
		run_leave_session(r);
	waits_wake(r);
	if (call)
		give_answer(call, &a);
	run_answer_finish(&a);
}

static void on_done(void *arg, const struct sup_answer *a)
{
	struct run *r = arg;

	/* it never began, and nobody was told that it had */
	if (a->err && (!r->id[0] || (r->call && !r->waits))) {
		const struct err e = *a->err;

		run_never_began(r, &e);
		return;
	}
	run_settle(r, a);
	if (a->changes && !a->err && (r->ndeclared || !r->own_session))
		run_take_changes(r, a->changes);
	r->kept = !a->err && r->throwaway[0] && a->changes && a->changes->known &&
		  (r->artifacts.shown || r->artifacts.more);
	if (r->call) {
		/* it is not promoted any more */
		loop_timer_stop(r->call->env.loop, &r->promote);
		make_answer(r, NULL, &r->answer);
	}
	if (a->err)
		on_recorded(r);
}

void run_never_began(struct run *r, const struct err *e)
{
	struct tool_call *call = r->call ? take_call(r) : NULL;

	run_leave_session(r);
	run_forget(r);
	if (call)
		tool_call_error(call, e);
}

/* --- start, cancel ------------------------------------------------------------------------------ */

void run_close_opts(struct sup_run_opts *o)
{
	fd_close(&o->code_fd);
	fd_close(&o->input_fd);
	fd_close(&o->stdin_fd);
}

int run_ask(struct run *r, const struct sup_run_opts *o, struct err *e)
{
	r->sup = sup_client_run(r->client, o, e);
	return r->sup ? 0 : -1;
}

/* What the arguments say is sealed: they are gone when start has returned. */
static int set_opts(struct run *r, struct tool_call *call,
		    const struct run_request *req, struct sup_run_opts *ret,
		    struct err *e)
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
		.on_done = on_done,
		.on_recorded = on_recorded,
		.on_accepted = on_accepted,
		.on_output = on_output,
		.on_bytes = on_bytes,
		.on_rich = on_rich,
		.session_id = req->session_id,
		.open_stdin = req->open_stdin,
		.keep_files = req->ndeclared > 0,
		.arg = r,
	};

	if (seal("code", req->code, !req->has_argv, &code, e) ||
	    seal("input", buf_view(&req->input), req->input.n > 0, &input, e) ||
	    seal("stdin", req->stdin_text, req->stdin_text.n > 0, &in, e))
		return -1;
	o.code_fd = fd_steal(&code);
	o.input_fd = fd_steal(&input);
	o.stdin_fd = fd_steal(&in);
	*ret = o;
	return 0;
}

/* What the run owns from now on. */
static void take_declared(struct run *r, struct run_request *req)
{
	r->declared = req->declared;
	r->ndeclared = req->ndeclared;
	req->declared = (struct buf){0};
}

int run_start(struct tool_call *call, struct run_request *req, struct err *e)
{
	const struct run_opts o = {.env = &call->env,
				   .tool = req->tool,
				   .language = req->language,
				   .background = req->background,
				   .session_id = req->session_id,
				   .open_stdin = req->open_stdin};
	int agreed = confirm_run(call, req, e), bad;
	struct sup_run_opts with;
	struct run *r;

	if (agreed <= 0)
		return agreed;
	r = runs_add(call->env.runs, &o, e);
	if (!r)
		return -1;
	r->only_compiled = !req->has_outputs && run_is_compiled(req);
	take_declared(r, req);
	bad = set_opts(r, call, req, &with, e);
	if (!bad)
		bad = run_wants_prep(req) ? prep_start(r, req, &with, e)
					  : run_ask(r, &with, e);
	if (bad) {
		run_forget(r);
		return -1;
	}
	r->call = call;
	call->state = r;
	r->answer_running = req->background;
	r->promote = (struct loop_timer){.on_due = on_promote_due, .arg = r};
	if (call->promote_ms && !req->background)
		loop_timer_set(call->env.loop, &r->promote, call->promote_ms);
	return 0;
}

void run_cancel(struct tool_call *call)
{
	struct run *r = call->state;

	if (r && r->sup)
		sup_client_cancel(r->sup);
	else if (r && r->prep)
		prep_cancel(r);
}

void run_break_off(struct run *r)
{
	struct tool_call *call = r->call ? take_call(r) : NULL;
	struct err e = {0};

	err_set(&e, ERR_LOST, "the server is ending and ended the program with it");
	if (r->sup)
		sup_client_abandon(r->sup);
	prep_drop(r);
	r->sup = NULL;
	waits_break_off(r, &e);
	if (call)
		tool_call_error(call, &e);
}
