/* keeper.h: a tool under test on one side of the line, a keeper played by the test on the other.
 *
 * The client is the real one; what it sends is read with the keeper's own decoders. keeper_turn()
 * runs the loop until nothing is left to do, so nothing here waits on a clock. */
#ifndef TESTS_TOOLS_KEEPER_H
#define TESTS_TOOLS_KEEPER_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/wire.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/internal.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define RUN_ID "run_00112233445566778899aabbccddeeff"

/* One tool call and how it ended. */
struct called {
	struct tool_call call;
	struct cJSON *args;
	unsigned ended, progress;
	uint64_t progress_bytes;
	bool failed, running;
	size_t plain_n;
	struct err err;
	struct cJSON *structured;
	struct buf text, content, ask, state;
	const char *ask_method, *ask_key;
	bool can_be_asked;
};

/* What is set from asks on is for the next call_start. */
struct keeper {
	struct loop loop;
	struct sup_client *client;
	struct runs *runs;
	int sock;		/* the keeper's side */
	bool lost;
	const char *run_id;	/* of the next accepted or ended run */
	uint64_t output_max;
	const char *principal;
	uint64_t promote_ms;
	bool confirm, can_be_asked;
	const char *inputs, *ask_state;
	const struct tool_events *events;
};

static inline void on_keeper_lost(void *arg)
{
	struct keeper *k = arg;

	k->lost = true;
}

/* A registry of those ceilings in place of the one before. */
static inline void keeper_runs(struct keeper *k, const struct runs_opts *o)
{
	struct runs_opts with = *o;
	struct err e = {0};

	with.loop = &k->loop;
	runs_free(k->runs);
	k->runs = runs_new(&with, &e);
	must(k->runs);
	k->runs->gather_ms = 0;
}

static inline void keeper_init(struct keeper *k)
{
	struct err e = {0};
	int pair[2];

	*k = (struct keeper){.sock = -1, .run_id = RUN_ID, .output_max = 16 << 20, .principal = ""};
	must(!loop_init(&k->loop, &e) && !fd_socketpair(pair, &e));
	must(!fd_set_nonblock(pair[0]) && !fd_set_nonblock(pair[1]));
	k->sock = pair[1];
	k->client = sup_client_new(&k->loop, pair[0], on_keeper_lost, k, &e);
	must(k->client);
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
}

static inline void keeper_finish(struct keeper *k)
{
	runs_free(k->runs);
	sup_client_free(k->client);
	fd_close(&k->sock);
	loop_finish(&k->loop);
}

static inline void on_idle_due(struct loop_timer *t)
{
	loop_stop(t->arg);
}

/* What is ready before a timer of 0 ms is handled in the same or an earlier turn of the loop, and
 * its consequences in the following ones. */
static inline void keeper_turn(struct keeper *k)
{
	for (int i = 0; i < 8; i++) {
		struct loop_timer t = {.on_due = on_idle_due, .arg = &k->loop};
		struct err e = {0};

		k->loop.stopped = false;	/* a loop is meant to be stopped once */
		loop_timer_set(&k->loop, &t, 0);
		must(!loop_run(&k->loop, &e) && !t.armed);
	}
}

static inline void keeper_hello(struct keeper *k, const char *const paths[])
{
	struct sup_info i = {.limits = pol_default()->limits,
			     .max_wall_ms = 300000,
			     .max_runs = 8,
			     .max_queue = 64,
			     .cgroup = "v1",
			     .bwrap_version = "0.12.0",
			     .bwrap_path = "/usr/bin/bwrap",
			     .landlock_abi = 7,
			     .root = true,
			     .degraded = "no memory.high (a; b); old kernel"};
	struct ipc_msg m;
	struct err e = {0};

	for (unsigned n = 0; n < pol_runtimes_count; n++)
		must(!sv_copy(sv_of(paths[n]), i.host.path[n], sizeof(i.host.path[n])));
	ipc_start(&m, SUP_HELLO, 0);
	wire_put_info(&m, &i);
	must(!ipc_send(k->sock, &m, &e));
	keeper_turn(k);
}

/* The next record from the front: its type, or 0 when there is none. */
static inline uint32_t keeper_next(struct keeper *k, struct ipc_msg *m)
{
	struct err e = {0};
	int got = ipc_recv(k->sock, m, &e);

	must(got == 1 || (got < 0 && e.sys == EAGAIN));
	return got == 1 ? m->type : 0;
}

/* Takes a SUP_RUN; the fds are the caller's. *ret borrows from *m. */
static inline bool keeper_next_run(struct keeper *k, struct ipc_msg *m, struct wire_run *ret)
{
	*ret = (struct wire_run){.code_fd = -1, .input_fd = -1, .stdin_fd = -1};
	return keeper_next(k, m) == SUP_RUN && !wire_get_run(m, ret);
}

/* Run `id` has to wait for its turn. */
static inline void keeper_queue(struct keeper *k, uint64_t id)
{
	struct ipc_msg m;
	struct err e = {0};

	ipc_start(&m, SUP_QUEUED, id);
	ipc_put_sv(&m, sv_of(k->run_id));
	must(!ipc_send(k->sock, &m, &e));
	keeper_turn(k);
}

/* Accepts run `id`; the write ends of its pipes are the caller's. */
static inline void keeper_open(struct keeper *k, uint64_t id, int ret[2])
{
	int p[2][2];
	struct ipc_msg m;
	struct err e = {0};

	ipc_start(&m, SUP_ACCEPTED, id);
	ipc_put_sv(&m, sv_of(k->run_id));
	ipc_put_u64(&m, k->output_max);
	ipc_put_u32(&m, 0); /* no compiler's */
	for (int i = 0; i < 2; i++) {
		must(!fd_pipe(p[i], &e));
		ipc_put_fd(&m, p[i][0]);
	}
	must(!ipc_send(k->sock, &m, &e));
	for (int i = 0; i < 2; i++) {
		fd_close(&p[i][0]);
		ret[i] = p[i][1];
	}
}

/* Accepts run `id`, writes out and errs to its pipes; *ret_keep, if given, holds stdout open. */
static inline void keeper_accept(struct keeper *k, uint64_t id, const char *out, const char *errs,
				 int *ret_keep)
{
	int w[2];

	keeper_open(k, id, w);
	must(!fd_write_all(w[0], out, strlen(out)) && !fd_write_all(w[1], errs, strlen(errs)));
	if (ret_keep)
		*ret_keep = fd_steal(&w[0]);
	fd_close(&w[0]);
	fd_close(&w[1]);
}

/* Writes any amount to a run's pipe, which the client reads meanwhile. */
static inline void keeper_print(struct keeper *k, int fd, struct sv bytes)
{
	while (bytes.n) {
		size_t n = bytes.n < 4096 ? bytes.n : 4096;

		must(!fd_write_all(fd, bytes.p, n));
		bytes.p += n, bytes.n -= n;
		if (!(bytes.n / 4096 % 8))
			keeper_turn(k);
	}
	keeper_turn(k);
}

static inline void keeper_end(struct keeper *k, uint64_t id, enum sup_status status, int exit_code)
{
	struct sup_result r = {.status = status,
			       .has_exit_code = status == SUP_EXITED,
			       .exit_code = exit_code,
			       .duration_us = 5000,
			       .limits = pol_default()->limits};
	struct ipc_msg m;
	struct err e = {0};

	snprintf(r.run_id, sizeof(r.run_id), "%s", k->run_id);
	ipc_start(&m, SUP_ENDED, id);
	wire_put_result(&m, &r);
	must(!ipc_send(k->sock, &m, &e));
	ipc_start(&m, SUP_RECORDED, id);
	must(!ipc_send(k->sock, &m, &e));
}

static inline void keeper_refuse(struct keeper *k, uint64_t id, enum err_code code,
				 const char *cause)
{
	struct err refusal = {0}, e = {0};
	struct ipc_msg m;

	err_set(&refusal, code, "%s", cause);
	err_fix(&refusal, "as told");
	ipc_start(&m, SUP_REFUSED, id);
	wire_put_err(&m, &refusal);
	must(!ipc_send(k->sock, &m, &e));
}

static inline void on_call_done(struct tool_call *call, const struct tool_answer *a)
{
	struct called *c = call->owner;
	struct err e = {0};

	c->ended++;
	c->failed = a->err != NULL;
	c->running = a->running;
	buf_sv(&c->content, a->content_json);
	c->plain_n = a->plain_n;
	if (a->nasks) {
		must(a->nasks == 1);
		buf_sv(&c->ask, a->asks->params_json);
		buf_sv(&c->state, a->state);
		c->ask_method = a->asks->method;
		c->ask_key = a->asks->key;
		return;
	}
	if (a->err) {
		c->err = *a->err;
		return;
	}
	c->structured = rpc_json_parse(a->structured_json, &e);
	buf_sv(&c->text, a->text);
}

static inline void on_call_progress(struct tool_call *call, uint64_t bytes, struct sv message)
{
	struct called *c = call->owner;

	(void)message;
	c->progress++;
	c->progress_bytes = bytes;
}

static inline bool on_client_can(const struct tool_call *call, const char *capability)
{
	const struct called *c = call->owner;

	return c->can_be_asked && !strcmp(capability, "elicitation");
}

static const struct tool_hooks called_hooks = {
	.done = on_call_done,
	.progress = on_call_progress,
	.client_can = on_client_can,
};

static inline const struct tool *tool_named(const char *name)
{
	for (size_t i = 0; i < tools_all.ntools; i++)
		if (!strcmp(tools_all.tools[i].name, name))
			return &tools_all.tools[i];
	return NULL;
}

static inline struct tool_env keeper_env(struct keeper *k)
{
	return (struct tool_env){.loop = &k->loop,
				 .client = k->client,
				 .runs = k->runs,
				 .credential = SV("cred"),
				 .principal = sv_of(k->principal),
				 .events = k->events,
				 .confirm = k->confirm};
}

static inline int call_start(struct called *c, struct keeper *k, const char *tool,
			     const char *json)
{
	struct cJSON *inputs = k->inputs ? rpc_json_parse(sv_of(k->inputs), NULL) : NULL;
	int bad;

	*c = (struct called){.args = rpc_json_parse(sv_of(json), NULL),
			     .can_be_asked = k->can_be_asked};
	must(c->args);
	buf_init(&c->text, 8 << 20);
	buf_init(&c->content, 32 << 20);
	buf_init(&c->ask, 1 << 20);
	buf_init(&c->state, 1 << 20);
	c->call = (struct tool_call){.tool = tool_named(tool),
				     .env = keeper_env(k),
				     .args = c->args,
				     .inputs = inputs,
				     .ask_state = sv_of(k->ask_state),
				     .promote_ms = k->promote_ms,
				     .hooks = &called_hooks,
				     .owner = c};
	must(c->call.tool);
	bad = c->call.tool->start(&c->call, &c->err);
	cJSON_Delete(c->args);	/* borrowed until start returns, no longer */
	cJSON_Delete(inputs);
	c->call.args = c->call.inputs = NULL;
	return bad;
}

static inline void called_finish(struct called *c)
{
	cJSON_Delete(c->structured);
	buf_finish(&c->text);
	buf_finish(&c->content);
	buf_finish(&c->ask);
	buf_finish(&c->state);
}

/* Turns until the call has ended: for what waits for a timer. */
static inline void keeper_until_ended(struct keeper *k, const struct called *c)
{
	while (!c->ended)
		keeper_turn(k);
}

/* Starts run_code and lets the keeper accept it under k->run_id: the id of its record. The write ends
 * of its pipes are the caller's. */
static inline uint64_t keeper_begin(struct keeper *k, struct called *c, const char *args, int w[2])
{
	struct wire_run run;
	struct ipc_msg m;

	must(!call_start(c, k, "run_code", args) && keeper_next_run(k, &m, &run));
	fd_close(&run.code_fd);
	fd_close(&run.input_fd);
	fd_close(&run.stdin_fd);
	keeper_open(k, m.id, w);
	keeper_turn(k);
	return m.id;
}

/* Closes what is open of w and says how it ended. */
static inline void keeper_finish_run(struct keeper *k, uint64_t id, int w[2], enum sup_status status)
{
	fd_close(&w[0]);
	fd_close(&w[1]);
	keeper_end(k, id, status, 0);
	keeper_turn(k);
}

/* Facts of the answer. */
static inline const char *text_of(const struct called *c, const char *key)
{
	return js_str(js_get(c->structured, key)).n ? js_str(js_get(c->structured, key)).p : "";
}

static inline int64_t int_of(const struct called *c, const char *key)
{
	int64_t v;

	return js_int(js_get(c->structured, key), &v) ? -1 : v;
}

static inline bool is_of_schema(const struct called *c)
{
	struct err e = {0};
	struct cJSON *doc = rpc_json_parse(schemas_get(c->call.tool->schema_file), &e);
	bool good = doc && c->structured &&
		    !rpc_schema_check(js_get(doc, "outputSchema"), c->structured, false, &e);

	if (!good)
		printf("# %s: %s\n", c->call.tool->name, e.cause);
	cJSON_Delete(doc);
	return good;
}

static inline bool fd_holds(int fd, const char *want)
{
	AUTO_BUF b = {0};
	struct err e = {0};

	buf_init(&b, 1 << 20);
	return fd >= 0 && fd_is_sealed(fd) && !fd_read_all(fd, &b, &e) &&
	       sv_eq(buf_view(&b), sv_of(want));
}

static inline void wire_run_close(struct wire_run *r)
{
	fd_close(&r->code_fd);
	fd_close(&r->input_fd);
	fd_close(&r->stdin_fd);
}

#endif
