/* sandbox_info.c: the tool sandbox_info: what is really here.
 *
 * Theory of operation. A version is what the runtime prints in the sandbox, so the first call runs
 * each installed runtime once and the doctor's probes, all at the same time. Calls that come meanwhile wait for the same
 * answers. What is known is kept for the process' life; what is not is asked again by the next
 * round. Before the keeper has said what it found, every runtime is asked: its refusals say as
 * much, and by the last answer its report is there. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#define VERSION_TIMEOUT_MS 10000
#define INFO_MAX_BYTES ((size_t)256 << 10)

struct waiter {
	struct tool_call *call;
	struct waiter *next;
	bool cancelled;
};

static struct info_round {
	struct info_version versions[POL_MAX_RUNTIMES];
	struct sup_run
		*runs[POL_MAX_RUNTIMES]; /* the client's, NULL when not running */
	struct probes probes;
	struct sup_run *probe_run; /* the client's, NULL when not running */
	unsigned pending;
	bool starting; /* do not end the round while it is being started */
	struct waiter *waiters; /* owned */
} round_now;

/* What was said last, and from what: said again while none of that has changed. */
static struct {
	struct buf json, text;
	struct sup_info info;
	struct info_more more;
	bool valid; /* no runtime and no probe was asked since */
} said;

static void answer(struct waiter *w, struct sv json, struct sv text,
		   const struct err *e)
{
	struct tool_call *call = w->call;

	call->state = NULL;
	mem_free(w);
	if (e)
		tool_call_error(call, e);
	else
		tool_call_result(call, json, text);
}

static bool is_said(const struct sup_info *info, const struct info_more *more)
{
	/* NOLINTNEXTLINE(*suspicious-memory-comparison,*exp42-c,*flp37-c): padding that differs costs time only */
	return said.valid && !memcmp(info, &said.info, sizeof(*info)) &&
	       more->promote_ms == said.more.promote_ms &&
	       more->keep_ms == said.more.keep_ms &&
	       more->keep_bytes == said.more.keep_bytes &&
	       more->max_background == said.more.max_background;
}

static int render(const struct tool_call *call, struct err *e)
{
	const struct sup_info *info = sup_client_info(call->env.client);
	const struct info_more more = info_more_of(call->env.runs, call->promote_ms);
	const struct info_facts facts = {.info = info,
					 .versions = round_now.versions,
					 .probes = &round_now.probes,
					 .more = more};

	if (!info)
		return err_set(e, ERR_BUSY, "the server has not finished starting");
	if (is_said(info, &more))
		return 0;
	said.valid = false;
	buf_finish(&said.json);
	buf_finish(&said.text);
	buf_init(&said.json, INFO_MAX_BYTES);
	buf_init(&said.text, INFO_MAX_BYTES);
	if (info_render(&facts, &said.json, &said.text, e))
		return -1;
	/* with the bytes between its members, for memcmp */
	memcpy(&said.info, info, sizeof(*info));
	said.more = more;
	said.valid = true;
	return 0;
}

static void end_round(void)
{
	struct waiter *w = round_now.waiters, *next;
	struct err e = {0};
	int bad;

	if (round_now.pending || round_now.starting || !w)
		return;
	round_now.waiters = NULL; /* an answer may bring the next call at once */
	bad = render(w->call, &e);
	for (; w; w = next) {
		next = w->next;
		answer(w, buf_view(&said.json), buf_view(&said.text), bad ? &e : NULL);
	}
}

static void on_version_done(void *arg, const struct sup_answer *a)
{
	struct info_version *v = arg;

	info_version_of(a, v);
	round_now.runs[v - round_now.versions] = NULL;
	must(round_now.pending > 0);
	round_now.pending--;
	end_round();
}

static void ask_version(const struct tool_env *env, unsigned i)
{
	struct info_version *v = &round_now.versions[i];
	struct err e = {0};
	struct sup_run_opts o = {
		.tool = POL_RUNTIME_VERSION,
		.credential = env->credential,
		.language = sv_of(pol_runtimes[i].name),
		.has_timeout = true,
		.timeout_ms = VERSION_TIMEOUT_MS,
		.code_fd = -1,
		.input_fd = -1,
		.stdin_fd = -1,
		.on_done = on_version_done,
		.arg = v,
	};

	*v = (struct info_version){0};
	said.valid = false;
	round_now.runs[i] = sup_client_run(env->client, &o, &e);
	if (round_now.runs[i])
		round_now.pending++;
	else
		info_version_of(&(struct sup_answer){.err = &e}, v);
}

static void on_probes_done(void *arg, const struct sup_answer *a)
{
	struct probes *p = arg;

	probes_read(a, p);
	round_now.probe_run = NULL;
	must(round_now.pending > 0);
	round_now.pending--;
	end_round();
}

static void ask_probes(const struct tool_env *env)
{
	struct sup_run_opts o = {
		.tool = POL_PROBE,
		.credential = env->credential,
		.code_fd = -1,
		.input_fd = -1,
		.stdin_fd = -1,
		.on_done = on_probes_done,
		.arg = &round_now.probes,
	};

	round_now.probes = (struct probes){.known = false};
	said.valid = false;
	round_now.probe_run = sup_client_run(env->client, &o, &round_now.probes.err);
	if (round_now.probe_run)
		round_now.pending++;
}

const struct info_version *sandbox_info_versions(void)
{
	return round_now.versions;
}

int sandbox_info_start(struct tool_call *call, struct err *e)
{
	const struct sup_info *info = sup_client_info(call->env.client);
	struct waiter *w = mem_zalloc(sizeof(*w));
	bool first = !round_now.waiters;

	if (!w)
		return err_set(e, ERR_LIMIT, "no memory for another call");
	*w = (struct waiter){.call = call, .next = round_now.waiters};
	round_now.waiters = w;
	call->state = w;
	round_now.starting = true;
	for (unsigned i = 0; first && i < pol_runtimes_count; i++)
		if (!round_now.versions[i].known && (!info || info->host.path[i][0]))
			ask_version(&call->env, i);
	if (first && !round_now.probes.known)
		ask_probes(&call->env);
	round_now.starting = false;
	end_round();
	return 0;
}

/* The answer comes either way; with nobody left who wants it, it comes sooner. */
void sandbox_info_cancel(struct tool_call *call)
{
	struct waiter *w = call->state;

	if (w)
		w->cancelled = true;
	for (w = round_now.waiters; w; w = w->next)
		if (!w->cancelled)
			return;
	if (round_now.probe_run)
		sup_client_cancel(round_now.probe_run);
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if (round_now.runs[i])
			sup_client_cancel(round_now.runs[i]);
}
