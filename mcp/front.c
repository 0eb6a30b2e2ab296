/* front.c: the front as an MCP server on stdio.
 *
 * Theory of operation. One peer, one sink: every message is a line, whichever request it is about.
 * Three ways to the end: the client closes stdin (or SIGTERM): calls are
 * cancelled, their sandboxes die, what is queued is written, exit 0, all within FLUSH_MS after the
 * last sandbox; the keeper dies: what was in flight is answered with an error, exit 1; the
 * client does not read: the queue's ceiling ends it. */
#include "mcp/front.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "mcp/protocol/protocol.h"
#include "mcp/transport/transport.h"
#include "sandbox/base/fd.h"
#include "sandbox/launch/launch.h"
#include "sandbox/supervise/supervise.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FLUSH_MS 500
#define END_MS 1500 /* a client waits 2 s before it sends SIGTERM */
#define MORE_CALLS 240 /* than run and wait: they ask for other things */

struct front {
	struct loop loop;
	struct stdio_transport *transport;
	struct proto_server *server;
	struct proto_peer *peer;
	struct proto_sink sink;
	struct sup_client *client;
	struct runs *runs;
	struct loop_io signal_io;
	struct loop_timer end_timer;
	bool ending;
	int code;
};

int front_confine(const struct options *o, int *ret_signal_fd, struct err *e)
{
	sigset_t set;

	launch_raise_nofile();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*ret_signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_signal_fd < 0)
		return err_sys(e, "signalfd");
	return launch_role_confine(LAUNCH_FRONT, NULL, launch_front_uid(o->uid_base_n),
				   e);
}

static void on_flushed(void *arg)
{
	struct front *f = arg;

	loop_stop(&f->loop);
}

static void on_idle(void *arg)
{
	struct front *f = arg;

	stdio_flush(f->transport, FLUSH_MS, on_flushed);
}

static void on_end_due(struct loop_timer *t)
{
	struct front *f = t->arg;

	loop_stop(&f->loop);
}

static void begin_end(struct front *f, int code)
{
	if (f->ending)
		return;
	f->ending = true;
	f->code = code;
	loop_timer_set(&f->loop, &f->end_timer, END_MS);
	proto_server_drain(f->server);
	proto_peer_close(f->peer, on_idle, f);
}

static void on_message(void *arg, struct sv message)
{
	struct front *f = arg;

	proto_on_message(f->peer, message, &f->sink);
}

static void on_oversize(void *arg, size_t limit_bytes, struct sv head, struct sv tail)
{
	struct front *f = arg;

	proto_on_oversize(f->peer, head, tail, limit_bytes, &f->sink);
}

static void on_end(void *arg)
{
	begin_end(arg, 0);
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		begin_end(io->arg, 0);
}

static void on_keeper_lost(void *arg)
{
	begin_end(arg, 1);
}

static void on_send(struct proto_sink *sink, const struct proto_message *m)
{
	struct front *f = (struct front *)((char *)sink - offsetof(struct front, sink));

	stdio_send(f->transport, m->json);
}

static void on_sink_end(struct proto_sink *sink)
{
	(void)sink;
}

static int open_protocol(struct front *f, const struct options *o, struct err *e)
{
	static const struct tool_set *const sets[] = {&tools_all, &tools_fixtures};

	f->sink = (struct proto_sink){.send = on_send, .end = on_sink_end};
	f->runs = runs_new(&(struct runs_opts){.loop = &f->loop}, e);
	if (!f->runs)
		return -1;
	f->server = proto_server_new(
		&(struct proto_server_opts){
			.loop = &f->loop,
			.env = {.loop = &f->loop,
				.client = f->client,
				.runs = f->runs,
				.confirm = o->confirm},
			.sets = sets,
			.nsets = o->conformance_fixtures ? 2 : 1,
			.max_in_flight = o->max_runs_n + o->max_queue_n + MORE_CALLS,
			.promote_ms = o->promote_n,
			.fixtures = o->conformance_fixtures},
		e);
	if (!f->server)
		return -1;
	f->peer = proto_peer_new(
		&(struct proto_peer_opts){.server = f->server, .standalone = &f->sink},
		e);
	return f->peer ? 0 : -1;
}

static int open_front(struct front *f, const struct options *o,
		      const struct front_fds *fds, struct err *e)
{
	int signals;

	if (loop_init(&f->loop, e))
		return -1;
	f->transport = stdio_new(
		&(struct stdio_opts){.loop = &f->loop,
				     .in_fd = fds->in,
				     .out_fd = fds->out,
				     .max_message_bytes = RPC_MAX_MESSAGE_BYTES,
				     .on_message = on_message,
				     .on_oversize = on_oversize,
				     .on_end = on_end,
				     .arg = f},
		e);
	f->client = sup_client_new(&f->loop, fds->keeper, on_keeper_lost, f, e);
	if (!f->transport || !f->client || open_protocol(f, o, e) ||
	    front_confine(o, &signals, e))
		return -1;
	f->signal_io = (struct loop_io){.fd = signals, .on_ready = on_signal, .arg = f};
	f->end_timer = (struct loop_timer){.on_due = on_end_due, .arg = f};
	return loop_add(&f->loop, &f->signal_io, EPOLLIN, e);
}

int front_stdio(const struct options *o, const struct front_fds *fds)
{
	struct front f = {.code = 0};
	struct err e = {0};

	if (open_front(&f, o, fds, &e) || loop_run(&f.loop, &e)) {
		log_err("front_failed", &e);
		f.code = 1;
	}
	proto_peer_free(f.peer);
	runs_free(f.runs); /* what it still tells, the server must be there to hear */
	proto_server_free(f.server);
	stdio_free(f.transport);
	sup_client_free(f.client);
	loop_finish(&f.loop);
	return f.code;
}
