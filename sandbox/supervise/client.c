/* client.c: the front's side: requests to the keeper, output from the pipes, one answer per run.
 *
 * Theory of operation. A run is done when three things have come: the verdict and the end of
 * both pipes. It goes when the keeper has said as well that the outcome is in the record; who cannot hold an answer
 * so long (no on_recorded) is told only then. The pipes end when the last process of the sandbox is dead, so output is complete;
 * the keeper sends the verdict after that death, so the wait is short. Should a pipe stay open all the same,
 * GRACE_MS bounds it. Output past the ceiling is read and counted but not kept, and the
 * keeper is asked to end the run. In a session others may hold a program's pipes for ever: there its output is what
 * is in them when the verdict comes; that of an interpreter is client_session.c's. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/client.h"
#include "sandbox/supervise/stream.h"
#include "sandbox/supervise/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define GRACE_MS 2000
#define READ_BYTES 65536

static void stop_pipe(struct sup_run *r, struct loop_io *io)
{
	loop_del(r->c->loop, io);
	fd_close(&io->fd);
}

static void set_stop_due(struct sup_run *r, enum wire_stop why)
{
	struct sup_client *c = r->c;

	c->stops_due = c->stops_due + (why != 0) - (r->stop_due != 0);
	r->stop_due = why;
}

static void free_run(struct sup_run *r)
{
	struct sup_client *c = r->c;

	set_stop_due(r, 0);
	client_drop_order(r);
	for (struct sup_run **at = &c->runs; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			c->active--;
			break;
		}
	loop_timer_stop(c->loop, &r->timer);
	stop_pipe(r, &r->out_io);
	stop_pipe(r, &r->err_io);
	stop_pipe(r, &r->compile_io);
	client_leave_interp(r);
	if (r->has_read) /* the caller has its answer before the keeper has this */
		client_tell_read(c, r->id);
	client_input_finish(r);
	stream_finish(&r->out);
	stream_finish(&r->errs);
	stream_finish(&r->compile);
	if (r->changed.p) /* how the files of a session begin: not to outlive it here */
		explicit_bzero(r->changed.p, r->changed.n);
	buf_finish(&r->changed);
	mem_free(r);
}

bool client_drain(int fd, void (*take)(void *arg, struct sv bytes), void *arg)
{
	static char bytes[READ_BYTES]; /* one thread, used up before return */
	int left = fcntl(fd, F_GETPIPE_SZ);

	while (left > 0) {
		ssize_t n = read(fd, bytes,
				 (size_t)left < sizeof(bytes) ? (size_t)left
							      : sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		left -= (int)n;
		take(arg, (struct sv){bytes, (size_t)n});
	}
	return left == 0;
}

static void take_out(void *arg, struct sv bytes)
{
	client_take(arg, 1, bytes);
}

static void take_err(void *arg, struct sv bytes)
{
	client_take(arg, 2, bytes);
}

static void take_compile(void *arg, struct sv bytes)
{
	client_take(arg, CLIENT_COMPILE, bytes);
}

/* What is there is all there will be for this run. */
static void take_rest(struct sup_run *r)
{
	client_leave_interp(r);
	if (r->out_io.fd >= 0)
		client_drain(r->out_io.fd, take_out, r);
	if (r->err_io.fd >= 0)
		client_drain(r->err_io.fd, take_err, r);
	if (r->compile_io.fd >= 0)
		client_drain(r->compile_io.fd, take_compile, r);
	stop_pipe(r, &r->out_io);
	stop_pipe(r, &r->err_io);
	stop_pipe(r, &r->compile_io);
}

static void forget(struct sup_run *r)
{
	if (r->on_recorded && !r->has_err)
		r->on_recorded(r->arg);
	free_run(r);
}

static void answer(struct sup_run *r)
{
	struct sup_answer a = {.err = r->has_err ? &r->err : NULL,
			       .result = r->has_err ? NULL : &r->result,
			       .out = &r->out,
			       .errs = &r->errs,
			       .changes = r->in_session ? &r->changes : NULL,
			       .compile = &r->compile};

	r->told = true;
	loop_timer_stop(r->c->loop, &r->timer);
	stop_pipe(r, &r->out_io);
	stop_pipe(r, &r->err_io);
	stop_pipe(r, &r->compile_io);
	if (r->on_done)
		r->on_done(r->arg, &a);
	if (r->recorded || !r->has_result || r->c->lost)
		forget(r);
}

/* Answers if all has come. Then r may be gone. */
static void try_answer(struct sup_run *r)
{
	if (!r->has_result && !r->has_err)
		return;
	if (r->in_session)
		take_rest(r);
	if (r->has_result && (r->out_io.fd >= 0 || r->err_io.fd >= 0)) {
		if (!r->timer.armed)
			loop_timer_set(r->c->loop, &r->timer, GRACE_MS);
		return;
	}
	if (r->on_recorded || r->recorded || r->has_err)
		answer(r);
}

static void on_grace_due(struct loop_timer *t)
{
	struct sup_run *r = t->arg;

	log_msg(LOG_WARN, "event=pipe_left_open run=%s", r->result.run_id);
	stop_pipe(r, &r->out_io);
	stop_pipe(r, &r->err_io);
	try_answer(r);
}

/* Where the keeper's socket has no room it is sent later: a cancel must not get lost. */
static void send_stop(struct sup_run *r, enum wire_stop why)
{
	struct sup_client *c = r->c;
	struct err e = {0};
	struct ipc_msg m;

	set_stop_due(r, 0);
	if (r->stopped || c->lost || r->has_result || r->has_err)
		return;
	if (r->unsent) { /* first of its order, which has set that it waits */
		set_stop_due(r, why);
		return;
	}
	ipc_start(&m, SUP_STOP, r->id);
	ipc_put_u32(&m, why);
	r->stopped = !ipc_send(c->sock, &m, &e);
	set_stop_due(r, e.code == ERR_BUSY ? why : 0);
	if (r->stop_due)
		client_want_room(c);
}

/* True when there is no room for all of them yet. */
bool client_send_stops(struct sup_client *c)
{
	for (struct sup_run *r = c->runs; r && c->stops_due; r = r->next)
		if (r->stop_due) {
			send_stop(r, r->stop_due);
			if (r->stop_due)
				return true;
		}
	return false;
}

void client_want_room(struct sup_client *c)
{
	loop_mod(c->loop, &c->io, EPOLLIN | EPOLLOUT);
}

void client_fail(struct sup_run *r, const struct err *e)
{
	r->has_err = true;
	r->err = *e;
	answer(r);
}

void client_stop_flood(struct sup_run *r)
{
	send_stop(r, WIRE_OUTPUT_LIMIT);
}

void client_take(struct sup_run *r, int stream, struct sv bytes)
{
	struct sup_stream *s = stream == 1   ? &r->out
			       : stream == 2 ? &r->errs
					     : &r->compile;
	const uint64_t max = r->output_max + r->before[stream - 1];

	if (r->on_bytes && stream != CLIENT_COMPILE && s->total < max) {
		const uint64_t room = max - s->total;

		r->on_bytes(r->arg, stream,
			    (struct sv){bytes.p, bytes.n < room ? bytes.n : room});
	}
	stream_add(s, bytes);
	if (s->total > max)
		send_stop(r, WIRE_OUTPUT_LIMIT);
	if (r->on_output)
		r->on_output(r->arg, r->out.total + r->errs.total);
}

static void on_pipe_ready(struct loop_io *io, uint32_t events)
{
	struct sup_run *r = io->arg;
	static char bytes[READ_BYTES]; /* one thread, used up before return */
	ssize_t n = read(io->fd, bytes, sizeof(bytes));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stop_pipe(r, io);
		try_answer(r);
		return;
	}
	client_take(r,
		    io == &r->out_io   ? 1
		    : io == &r->err_io ? 2
				       : CLIENT_COMPILE,
		    (struct sv){bytes, (size_t)n});
}

static struct sup_run *find(struct sup_client *c, uint64_t id)
{
	struct sup_run *r = c->runs;

	while (r && r->id != id)
		r = r->next;
	return r;
}

/* Its id, told when it has to wait and when it starts. */
int client_take_id(struct sup_run *r, const char *id, bool *ret_new)
{
	*ret_new = !r->result.run_id[0];
	if (!id[0] || (!*ret_new && strcmp(id, r->result.run_id) != 0))
		return -1;
	snprintf(r->result.run_id, sizeof(r->result.run_id), "%s", id);
	return 0;
}

static int on_queued(struct sup_run *r, struct ipc_msg *m)
{
	char id[SUP_RUN_ID_SIZE];
	bool is_new;

	ipc_get_cstr(m, id, sizeof(id));
	if (!ipc_end(m) || client_take_id(r, id, &is_new) || !is_new)
		return -1;
	if (r->on_accepted)
		r->on_accepted(r->arg, sv_of(r->result.run_id));
	return 0;
}

static int on_accepted(struct sup_client *c, struct sup_run *r, struct ipc_msg *m)
{
	struct wire_start s;
	struct err e = {0};
	bool is_new;

	if (wire_get_start(m, &s))
		return -1;
	r->out_io.fd = s.fds[0];
	r->err_io.fd = s.fds[1];
	r->compile_io.fd = s.fds[2];
	r->output_max = s.output_max;
	r->accepted = true;
	if (client_input_start(r, s.stdin_fd) || client_take_id(r, s.run_id, &is_new) ||
	    fd_set_nonblock(r->out_io.fd) || fd_set_nonblock(r->err_io.fd) ||
	    loop_add(c->loop, &r->out_io, EPOLLIN, &e) ||
	    loop_add(c->loop, &r->err_io, EPOLLIN, &e))
		return -1;
	if (r->compile_io.fd >= 0 && (fd_set_nonblock(r->compile_io.fd) ||
				      loop_add(c->loop, &r->compile_io, EPOLLIN, &e)))
		return -1;
	if (is_new && r->on_accepted)
		r->on_accepted(r->arg, sv_of(r->result.run_id));
	return 0;
}

static int on_recorded(struct sup_run *r, const struct ipc_msg *m)
{
	if (!ipc_end(m) || !r->has_result || r->recorded)
		return -1;
	r->recorded = true;
	if (r->told)
		forget(r);
	else
		try_answer(r);
	return 0;
}

/* --- records ------------------------------------------------------------------------------------ */

/* 0, or -1: the record is not one the keeper may send now. */
static int on_record(struct sup_client *c, struct ipc_msg *m)
{
	struct sup_run *r = m->type == SUP_HELLO ? NULL : find(c, m->id);

	if (m->type == SUP_HELLO && !c->ready) {
		if (wire_get_info(m, &c->info))
			return -1;
		c->ready = true;
		if (c->on_ready)
			c->on_ready(c->ready_arg);
		return 0;
	}
	if (m->type == SUP_IDENTITY || m->type == SUP_UNKNOWN)
		return client_on_auth_record(c, m);
	if (m->type == SUP_GONE)
		return client_on_gone(c, m);
	if (m->type >= SUP_SESSIONS && m->type <= SUP_ASK_REFUSED)
		return client_on_ask_record(c, m);
	if (r && m->type == SUP_RECORDED)
		return on_recorded(r, m);
	if (!r || r->has_result || r->has_err)
		return -1;
	if (m->type == SUP_QUEUED && !r->accepted)
		return on_queued(r, m);
	if (m->type == SUP_ACCEPTED && r->out_io.fd < 0 && r->err_io.fd < 0)
		return on_accepted(c, r, m);
	if (m->type == SUP_CALLED && r->in_session && !r->accepted)
		return client_on_called(r, m);
	if (m->type == SUP_CHANGES && r->in_session)
		return client_on_changes(r, m);
	if (m->type == SUP_ENDED) {
		const uint64_t dropped = r->result.rich_dropped;

		r->has_result = !wire_get_result(m, &r->result);
		if (!r->has_result)
			return -1;
		r->result.rich_dropped = dropped;
		r->changes.known &= !r->result.session_ended;
		/* without pipes there was no output to lose only if nothing was started */
		if (!r->accepted && r->result.status != SUP_CANCELLED) {
			r->has_err = true;
			err_set(&r->err, ERR_LOST, "the program's output was lost");
		}
		try_answer(r);
		return 0;
	}
	if (m->type == SUP_REFUSED) {
		r->has_err = !wire_get_err(m, &r->err);
		if (!r->has_err)
			return -1;
		try_answer(r);
		return 0;
	}
	return -1;
}

static void lose(struct sup_client *c)
{
	if (c->lost)
		return;
	c->lost = true;
	loop_del(c->loop, &c->io);
	fd_close(&c->sock);
	while (c->runs) {
		struct sup_run *r = c->runs;

		if (r->told) {
			forget(r);
			continue;
		}
		if (!r->has_result && !r->has_err) {
			r->has_err = true;
			err_set(&r->err, ERR_LOST, "%s",
				c->ready
					? "the keeper process ended while the program ran; its "
					  "sandbox ended with it"
					: "the server could not start: nothing was run");
			if (!c->ready)
				err_fix(&r->err,
					"the server's log on stderr says why; run "
					"`fumehood doctor` on the host");
		}
		answer(r);
	}
	client_free_interps(c);
	client_lose_asks(c);
	client_lose_auths(c);
	c->on_lost(c->lost_arg);
}

static void on_keeper_ready(struct loop_io *io, uint32_t events)
{
	struct sup_client *c = io->arg;
	struct ipc_msg m;
	struct err e = {0};
	int got;

	if (events & EPOLLOUT)
		client_send_auths(c);
	if (!(events & ~(uint32_t)EPOLLOUT)) /* it blocks */
		return;
	got = ipc_recv(c->sock, &m, &e);
	if (got < 0 && e.sys == EAGAIN)
		return;
	if (got == 1 && !on_record(c, &m)) {
		ipc_finish(&m);
		return;
	}
	if (got)
		log_msg(LOG_ERROR, "event=bad_record_from_keeper type=%u",
			got == 1 ? m.type : 0);
	ipc_finish(&m);
	lose(c);
}

struct sup_client *sup_client_new(struct loop *l, int sock, void (*on_lost)(void *arg),
				  void *arg, struct err *e)
{
	struct sup_client *c = mem_zalloc(sizeof(*c));

	if (!c) {
		fd_close(&sock);
		err_set(e, ERR_LIMIT, "no memory");
		return NULL;
	}
	c->loop = l;
	c->sock = sock;
	c->on_lost = on_lost;
	c->lost_arg = arg;
	c->next_id = 1;
	c->io = (struct loop_io){.fd = sock, .on_ready = on_keeper_ready, .arg = c};
	if (loop_add(l, &c->io, EPOLLIN, e)) {
		sup_client_free(c);
		return NULL;
	}
	return c;
}

void sup_client_free(struct sup_client *c)
{
	if (!c)
		return;
	while (c->runs)
		free_run(c->runs);
	while (c->auths)
		client_free_auth(c->auths);
	client_free_interps(c);
	client_free_asks(c);
	loop_del(c->loop, &c->io);
	fd_close(&c->sock);
	mem_free(c);
}

static int check_opts(const struct sup_client *c, const struct sup_run_opts *o,
		      struct err *e)
{
	if (c->lost)
		return err_set(e, ERR_LOST, "the keeper process has ended");
	if (o->credential.n > SUP_MAX_CREDENTIAL)
		return err_set(e, ERR_INVALID, "the credential is longer than %d bytes",
			       SUP_MAX_CREDENTIAL);
	if (o->session_id.n >= SUP_SESSION_ID_SIZE)
		return err_set(e, ERR_NOT_FOUND, "there is no such session");
	return 0;
}

struct sup_run *sup_client_run(struct sup_client *c, const struct sup_run_opts *o,
			       struct err *e)
{
	int fds[3] = {o->code_fd, o->input_fd, o->stdin_fd};
	struct sup_run *r = NULL;

	if (!check_opts(c, o, e) && !(r = mem_zalloc(sizeof(*r))))
		err_set(e, ERR_LIMIT, "no memory");
	for (unsigned i = 0; i < ARRAY_LEN(fds) && !r; i++)
		fd_close(&fds[i]);
	if (!r)
		return NULL;
	r->c = c;
	r->id = c->next_id;
	if (client_order(r, o, e)) {
		if (o->open_stdin)
			fd_close(&fds[2]);
		mem_free(r);
		return NULL;
	}
	c->next_id++;
	client_input_init(r, o->open_stdin, o->open_stdin ? fds[2] : -1);
	r->on_done = o->on_done;
	r->on_recorded = o->on_recorded;
	r->on_accepted = o->on_accepted;
	r->on_output = o->on_output;
	r->on_bytes = o->on_bytes;
	r->on_rich = o->on_rich;
	r->in_session = o->session_id.n > 0;
	sv_copy(o->session_id, r->session_id, sizeof(r->session_id));
	client_expect(r);
	r->changes.known = true;
	r->arg = o->arg;
	r->out_io = (struct loop_io){.fd = -1, .on_ready = on_pipe_ready, .arg = r};
	r->err_io = r->compile_io = r->out_io;
	r->timer = (struct loop_timer){.on_due = on_grace_due, .arg = r};
	stream_init(&r->out);
	stream_init(&r->errs);
	stream_init(&r->compile);
	r->next = c->runs;
	c->runs = r;
	c->active++;
	return r;
}

void sup_client_cancel(struct sup_run *r)
{
	send_stop(r, WIRE_CANCEL);
}

void sup_client_interrupt(struct sup_run *r)
{
	send_stop(r, WIRE_CANCEL);
}

void sup_client_abandon(struct sup_run *r)
{
	r->on_done = NULL;
	r->on_recorded = NULL;
	r->on_accepted = NULL;
	r->on_output = NULL;
	r->on_bytes = NULL;
	r->on_rich = NULL;
	send_stop(r, WIRE_CANCEL);
}

unsigned sup_client_active(const struct sup_client *c)
{
	return c->active;
}

const struct sup_info *sup_client_info(const struct sup_client *c)
{
	return c->ready ? &c->info : NULL;
}

void sup_client_on_ready(struct sup_client *c, void (*cb)(void *arg), void *arg)
{
	c->on_ready = cb;
	c->ready_arg = arg;
	if (c->ready)
		cb(arg);
}
