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

/* One tool call and how it ended. */
struct called {
	struct tool_call call;
	struct cJSON *args;
	unsigned ended, progress;
	uint64_t progress_bytes;
	bool failed;
	struct err err;
	struct cJSON *structured;
	struct buf text;
};

struct keeper {
	struct loop loop;
	struct sup_client *client;
	int sock;		/* the keeper's side */
	bool lost;
};

static inline void on_keeper_lost(void *arg)
{
	struct keeper *k = arg;

	k->lost = true;
}

static inline void keeper_init(struct keeper *k)
{
	struct err e = {0};
	int pair[2];

	*k = (struct keeper){.sock = -1};
	must(!loop_init(&k->loop, &e) && !fd_socketpair(pair, &e));
	must(!fd_set_nonblock(pair[0]) && !fd_set_nonblock(pair[1]));
	k->sock = pair[1];
	k->client = sup_client_new(&k->loop, pair[0], on_keeper_lost, k, &e);
	must(k->client);
}

static inline void keeper_finish(struct keeper *k)
{
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

/* Accepts run `id`, writes out and errs to its pipes; *ret_keep, if given, holds stdout open. */
static inline void keeper_accept(struct keeper *k, uint64_t id, const char *out, const char *errs,
				 int *ret_keep)
{
	const char *bytes[2] = {out, errs};
	int p[2][2];
	struct ipc_msg m;
	struct err e = {0};

	ipc_start(&m, SUP_ACCEPTED, id);
	ipc_put_sv(&m, SV("run_00112233445566778899aabbccddeeff"));
	ipc_put_u64(&m, 16 << 20);
	for (int i = 0; i < 2; i++) {
		must(!fd_pipe(p[i], &e));
		must(!fd_write_all(p[i][1], bytes[i], strlen(bytes[i])));
		ipc_put_fd(&m, p[i][0]);
	}
	must(!ipc_send(k->sock, &m, &e));
	if (ret_keep)
		*ret_keep = fd_steal(&p[0][1]);
	for (int i = 0; i < 2; i++) {
		fd_close(&p[i][0]);
		fd_close(&p[i][1]);
	}
}

static inline void keeper_end(struct keeper *k, uint64_t id, enum sup_status status, int exit_code)
{
	struct sup_result r = {.run_id = "run_00112233445566778899aabbccddeeff",
			       .status = status,
			       .has_exit_code = status == SUP_EXITED,
			       .exit_code = exit_code,
			       .duration_us = 5000,
			       .limits = pol_default()->limits};
	struct ipc_msg m;
	struct err e = {0};

	ipc_start(&m, SUP_ENDED, id);
	wire_put_result(&m, &r);
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

static inline int call_start(struct called *c, struct keeper *k, const char *tool,
			     const char *json)
{
	int bad;

	*c = (struct called){.args = rpc_json_parse(sv_of(json), NULL)};
	must(c->args);
	buf_init(&c->text, 1 << 20);
	c->call = (struct tool_call){.tool = tool_find(sv_of(tool)),
				     .env = {.client = k->client, .credential = SV("cred")},
				     .args = c->args,
				     .on_done = on_call_done,
				     .on_progress = on_call_progress,
				     .owner = c};
	must(c->call.tool);
	bad = c->call.tool->start(&c->call, &c->err);
	cJSON_Delete(c->args);	/* borrowed until start returns, no longer */
	c->call.args = NULL;
	return bad;
}

static inline void called_finish(struct called *c)
{
	cJSON_Delete(c->structured);
	buf_finish(&c->text);
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
