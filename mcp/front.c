/* front.c: the front as an MCP server on stdio.
 *
 * Theory of operation. Three ways to the end: the client closes stdin (or SIGTERM): calls are
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
#include <sys/signalfd.h>
#include <unistd.h>

#define FLUSH_MS 500
#define END_MS 1500 /* a client waits 2 s before it sends SIGTERM */

struct front {
	struct loop loop;
	struct stdio_transport *transport;
	struct proto *proto;
	struct sup_client *client;
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
	proto_close(f->proto, on_idle, f);
}

static void on_message(void *arg, struct sv message)
{
	struct front *f = arg;

	proto_on_message(f->proto, message);
}

static void on_oversize(void *arg, size_t limit_bytes, struct sv head, struct sv tail)
{
	struct front *f = arg;

	proto_on_oversize(f->proto, limit_bytes, head, tail);
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

static void send_message(void *arg, struct sv message)
{
	struct front *f = arg;

	stdio_send(f->transport, message);
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
	if (!f->transport || !f->client)
		return -1;
	f->proto = proto_new(
		&(struct proto_opts){.loop = &f->loop,
				     .env = {.client = f->client, .credential = SV("")},
				     .tools = tools,
				     .tools_count = tools_count,
				     .send = send_message,
				     .arg = f,
				     .max_in_flight = 128},
		e);
	if (!f->proto || front_confine(o, &signals, e))
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
	proto_free(f.proto);
	stdio_free(f.transport);
	sup_client_free(f.client);
	loop_finish(&f.loop);
	return f.code;
}
