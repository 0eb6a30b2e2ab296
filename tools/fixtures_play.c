/* fixtures_play.c: plays a row of the fixtures' table for a call. See fixtures.h.
 *
 * Theory of operation. All that depends on the arguments and the client's answers is decided and
 * written down in fixture_start, because both are gone when it returns. Then the steps run, each
 * followed by its wait; with nothing to wait for the call has ended before fixture_start returns.
 * A job is owned by itself: it ends once, by its last step or by fixture_cancel. */
#include "tools/fixtures.h"

#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

#define MAX_TEXT_BYTES ((size_t)1 << 20)
#define MAX_ASKS ARRAY_LEN(((struct fixture_round *)NULL)->asks)

struct job {
	struct tool_call *call;
	const struct fixture *f;
	struct loop_timer timer;
	unsigned step, nsteps; /* of f->steps; an asking call has none */
	uint64_t wait_ms; /* after the steps */
	unsigned nasks;
	struct tool_ask asks[MAX_ASKS];
	struct buf params[MAX_ASKS], state; /* owned, as text */
	struct buf text; /* of the answer */
};

/* --- texts ------------------------------------------------------------------------------------ */

/* Appends s as it stands inside a JSON string. */
static void add_escaped(struct buf *b, struct sv s)
{
	AUTO_BUF q = {0};

	buf_init(&q, MAX_TEXT_BYTES);
	json_quote(&q, s);
	if (q.failed)
		b->failed = true;
	else
		buf_add(b, q.p + 1, q.n - 2);
}

static void add_value(struct buf *b, const struct cJSON *v)
{
	char *text;

	if (!v) {
		buf_str(b, "unknown");
	} else if (js_is_str(v)) {
		add_escaped(b, js_str(v));
	} else if (cJSON_IsArray(v)) {
		buf_fmt(b, "%d", cJSON_GetArraySize(v));
	} else {
		text = cJSON_PrintUnformatted(v);
		if (text)
			add_escaped(b, sv_of(text));
		else
			b->failed = true;
		cJSON_free(text);
	}
}

/* What the round before remembered, behind its number. */
static struct sv told(const struct tool_call *call)
{
	struct sv s = call->ask_state;

	return s.n ? (struct sv){s.p + 1, s.n - 1} : s;
}

static void add_path(struct buf *b, struct sv path, const struct tool_call *call)
{
	const struct cJSON *v = NULL;
	char name[64];
	bool more = true;
	struct sv part;

	sv_cut(&path, '.', &more, &part);
	if (sv_eq(part, SV("state"))) {
		add_escaped(b, told(call));
		return;
	}
	v = sv_eq(part, SV("args")) ? call->args : call->inputs;
	while (more && sv_cut(&path, '.', &more, &part)) {
		must(!sv_copy(part, name, sizeof(name)));
		v = js_get(v, name);
	}
	add_value(b, v);
}

void fixture_fill(struct buf *b, const char *tpl, const struct tool_call *call)
{
	const char *open, *close;

	while ((open = strstr(tpl, "{{")) && (close = strstr(open, "}}"))) {
		buf_add(b, tpl, (size_t)(open - tpl));
		add_path(b, (struct sv){open + 2, (size_t)(close - open - 2)}, call);
		tpl = close + 2;
	}
	buf_str(b, tpl);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* How a method's answer is known to be one, and what the client declares for it. */
static const struct {
	const char *method, *capability, *member;
} methods[] = {
	{"elicitation/create", "elicitation", "action"},
	{"sampling/createMessage", "sampling", "content"},
	{"roots/list", "roots", "roots"},
};

static size_t method_of(const struct fixture_ask *a)
{
	size_t i = 0;

	while (strcmp(methods[i].method, a->method) != 0)
		must(++i < ARRAY_LEN(methods));
	return i;
}

static bool is_asked(const struct fixture *f, const struct tool_call *call,
		     const struct fixture_ask *a)
{
	return !f->ask_declared ||
	       call->hooks->client_can(call, methods[method_of(a)].capability);
}

static bool is_answered(const struct tool_call *call, const struct fixture_ask *a)
{
	return js_get(js_get(call->inputs, a->key), methods[method_of(a)].member);
}

/* Whether the client has said all that round r asks for. */
static bool round_done(const struct fixture *f, const struct tool_call *call,
		       unsigned r)
{
	const struct fixture_round *round = &f->rounds[r];

	if (round->state && !call->ask_state.n)
		return false;
	for (unsigned i = 0; i < round->n; i++)
		if (is_asked(f, call, &round->asks[i]) &&
		    !is_answered(call, &round->asks[i]))
			return false;
	return true;
}

/* The round whose state came back; -1: none. */
static int asked(const struct tool_call *call)
{
	return call->ask_state.n ? call->ask_state.p[0] - '0' : -1;
}

/* The round to ask; nrounds when there is nothing to ask (any more). */
static unsigned next_round(const struct fixture *f, const struct tool_call *call)
{
	unsigned r = 0;

	if (!f->nrounds)
		return 0;
	if (asked(call) > 0 && asked(call) < (int)f->nrounds)
		r = (unsigned)asked(call);
	return round_done(f, call, r) ? r + 1 : r;
}

static void prepare_round(struct job *j, unsigned r)
{
	const struct fixture_round *round = &j->f->rounds[r];

	for (unsigned i = 0; i < round->n; i++) {
		struct buf *params = &j->params[j->nasks];

		if (!is_asked(j->f, j->call, &round->asks[i]))
			continue;
		buf_init(params, MAX_TEXT_BYTES);
		fixture_fill(params, round->asks[i].params, j->call);
		j->text.failed |= params->failed;
		j->asks[j->nasks] = (struct tool_ask){.key = round->asks[i].key,
						      .method = round->asks[i].method,
						      .params_json = buf_view(params)};
		j->nasks++;
	}
	if (round->state && asked(j->call) == (int)r) {
		/* once more: what it was made from is gone */
		buf_sv(&j->state, j->call->ask_state);
	} else if (round->state) {
		buf_byte(&j->state, (char)('0' + (int)r));
		fixture_fill(&j->state, round->state, j->call);
	}
	j->wait_ms = j->f->ask_ms;
}

static void prepare_answer(struct job *j)
{
	const struct fixture *f = j->f;
	int64_t seconds = 0;

	j->nsteps = f->nsteps;
	if (f->seconds && !js_int(js_get(j->call->args, f->seconds), &seconds))
		j->wait_ms = (uint64_t)seconds * 1000;
	if (f->content) {
		buf_byte(&j->text, '[');
		fixture_fill(&j->text, f->content, j->call);
		buf_byte(&j->text, ']');
	} else if (f->result) {
		fixture_fill(&j->text, f->result, j->call);
	}
}

/* --- playing ---------------------------------------------------------------------------------- */

static void release(struct job *j)
{
	for (size_t i = 0; i < MAX_ASKS; i++)
		buf_finish(&j->params[i]);
	buf_finish(&j->state);
	buf_finish(&j->text);
	mem_free(j);
}

static void deliver(struct job *j)
{
	const struct fixture *f = j->f;
	struct tool_call *call = j->call;
	struct tool_answer a = {.is_error = f->is_error};
	struct err e = {0};

	call->state = NULL;
	if (j->nasks) {
		tool_call_ask(call, j->asks, j->nasks, buf_view(&j->state));
		release(j);
		return;
	}
	if (f->rpc_code) {
		err_set(&e, ERR_INTERNAL, "This job always ends with an error");
		a.err = &e;
		a.rpc_code = f->rpc_code;
	} else if (f->result) {
		a.result_json = buf_view(&j->text);
	} else {
		a.content_json = buf_view(&j->text);
	}
	tool_call_done(call, &a);
	release(j);
}

static void do_step(const struct job *j, const struct fixture_step *s)
{
	const struct tool_hooks *h = j->call->hooks;
	AUTO_BUF json = {0};

	if (s->log) {
		buf_init(&json, 1024);
		json_quote(&json, sv_of(s->log));
		h->log(j->call, TOOL_INFO, "fixtures", buf_view(&json));
	}
	if (s->progress)
		h->progress_at(j->call, s->at, 100, SV(""));
	if (s->drop)
		h->drop_stream(j->call);
}

static void wait(struct job *j, uint64_t ms)
{
	loop_timer_set(j->call->env.loop, &j->timer, ms);
}

static void play(struct job *j)
{
	while (j->step < j->nsteps) {
		const struct fixture_step *s = &j->f->steps[j->step++];

		do_step(j, s);
		if (s->then_ms) {
			wait(j, s->then_ms);
			return;
		}
	}
	if (j->wait_ms) {
		wait(j, j->wait_ms);
		j->wait_ms = 0;
		return;
	}
	deliver(j);
}

static void on_timer_due(struct loop_timer *t)
{
	play(t->arg);
}

static void tell(const struct tool_call *call, enum fixture_event what)
{
	const struct tool_events *ev = call->env.events;

	if (!ev)
		return;
	if (what == FIXTURE_TOOLS)
		ev->tools_changed(ev->arg);
	else if (what == FIXTURE_PROMPTS)
		ev->prompts_changed(ev->arg);
	else if (what == FIXTURE_RESOURCE)
		ev->resource_updated(ev->arg, call->env.principal,
				     SV("test://watched-resource"));
}

int fixture_start(struct tool_call *call, struct err *e)
{
	struct job *j = mem_zalloc(sizeof(*j));
	unsigned r;

	if (!j)
		return err_set(e, ERR_LIMIT, "no memory for the call");
	j->call = call;
	j->f = fixture_of(call);
	must(j->f);
	j->timer = (struct loop_timer){.on_due = on_timer_due, .arg = j};
	buf_init(&j->text, MAX_TEXT_BYTES);
	buf_init(&j->state, MAX_TEXT_BYTES);
	r = next_round(j->f, call);
	if (r < j->f->nrounds)
		prepare_round(j, r);
	else
		prepare_answer(j);
	if (j->text.failed || j->state.failed) {
		release(j);
		return err_set(e, ERR_LIMIT, "no memory for the answer");
	}
	call->state = j;
	tell(call, j->f->event);
	play(j);
	return 0;
}

void fixture_cancel(struct tool_call *call)
{
	struct job *j = call->state;
	struct err e = {0};

	if (!j)
		return;
	loop_timer_stop(call->env.loop, &j->timer);
	call->state = NULL;
	release(j);
	err_set(&e, ERR_LOST, "the call was cancelled");
	tool_call_error(call, &e);
}
