/* waits.c: calls that wait for a run: run_status for more output, run_cancel for the end.
 *
 * Theory of operation. A wait hangs on its run, which is not dropped as long as it has one. It is
 * answered from its own timer or from the run's wake timer, never from within a callback of the
 * client, so that a call that comes back at once finds everything in order. The wake timer lets a
 * little output gather: programs write a line in pieces, and each answer costs the caller a call. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

struct run_wait {
	struct run *run;
	struct run_wait *next;
	struct tool_call *call;
	struct wait_opts o;
	struct loop_timer timer;
};

/* Whether there is something to show from offset on: a part of a character is not. */
static bool has_more(const struct store *s, uint64_t offset)
{
	char bytes[RUN_MIN_PAGE_BYTES];
	size_t n;

	if (s->kept - offset >= sizeof(bytes) || s->closed)
		return s->kept > offset;
	n = store_read(s, offset, bytes, sizeof(bytes));
	return text_cut_at_end((struct sv){bytes, n}) < n;
}

static bool is_ready(const struct run *r, const struct wait_opts *o)
{
	if (r->ended)
		return true;
	return !o->for_end &&
	       (has_more(&r->out[RUN_STDOUT], o->page.offset[RUN_STDOUT]) ||
		has_more(&r->out[RUN_STDERR], o->page.offset[RUN_STDERR]));
}

static void answer_now(struct tool_call *call, const struct run *r,
		       const struct wait_opts *o)
{
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct err e = {0};

	if (r->ended) {
		run_answer_ended(call, r, o->for_end ? NULL : &o->page);
		return;
	}
	buf_init(&json, RUN_MAX_ANSWER_BYTES);
	buf_init(&text, RUN_MAX_ANSWER_BYTES);
	if (run_render_page(r, &o->page, &json, &text, &e))
		tool_call_error(call, &e);
	else
		tool_call_done(call,
			       &(struct tool_answer){.structured_json = buf_view(&json),
						     .text = buf_view(&text)});
}

/* Off its run; the caller answers the call. */
static struct tool_call *wait_finish(struct run_wait *w)
{
	struct tool_call *call = w->call;

	for (struct run_wait **at = &w->run->waits; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	loop_timer_stop(call->env.loop, &w->timer);
	runs_wait_end(w->run);
	call->state = NULL;
	mem_free(w);
	return call;
}

static void answer_wait(struct run_wait *w)
{
	const struct run *r = w->run;
	const struct wait_opts o = w->o;

	answer_now(wait_finish(w), r, &o);
}

static void on_wait_due(struct loop_timer *t)
{
	answer_wait(t->arg);
}

/* Each time from the start: an answer may bring other calls, and end other waits. */
static void on_wake_due(struct loop_timer *t)
{
	struct run *r = t->arg;
	struct run_wait *w;

	r->pinned = true;
	do {
		for (w = r->waits; w && !is_ready(r, &w->o);)
			w = w->next;
		if (w)
			answer_wait(w);
	} while (w);
	r->pinned = false;
}

void waits_wake(struct run *r)
{
	if (!r->waits || (r->wake.armed && !r->ended))
		return;
	if (!r->wake.armed)
		r->wake = (struct loop_timer){.on_due = on_wake_due, .arg = r};
	loop_timer_set(r->runs->loop, &r->wake, r->ended ? 0 : r->runs->gather_ms);
}

int wait_start(struct tool_call *call, struct run *r, const struct wait_opts *o,
	       struct err *e)
{
	struct run_wait *w;

	if (!o->wait_ms || is_ready(r, o)) {
		answer_now(call, r, o);
		return 0;
	}
	if (!runs_wait_begin(r)) {
		err_set(e, ERR_BUSY, "too many calls wait for runs");
		return err_fix(e,
			       "ask with wait_ms 0, or wait for the calls under way");
	}
	w = mem_zalloc(sizeof(*w));
	if (!w) {
		runs_wait_end(r);
		return err_set(e, ERR_LIMIT, "no memory for another wait");
	}
	*w = (struct run_wait){.run = r, .next = r->waits, .call = call, .o = *o};
	w->timer = (struct loop_timer){.on_due = on_wait_due, .arg = w};
	r->waits = w;
	call->state = w;
	loop_timer_set(call->env.loop, &w->timer, o->wait_ms);
	return 0;
}

void wait_cancel(struct tool_call *call)
{
	if (call->state)
		answer_wait(call->state);
}

void waits_break_off(struct run *r, const struct err *e)
{
	while (r->waits)
		tool_call_error(wait_finish(r->waits), e);
}

struct run *run_of_args(const struct tool_call *call, struct err *e)
{
	struct run *r = runs_find(call->env.runs, call->env.principal,
				  js_str(js_get(call->args, "run_id")));

	if (!r)
		runs_not_found(call->env.runs, e);
	return r;
}
