/* client.c: the front's side: requests to the keeper, output from the pipes, one answer per run.
 *
 * Theory of operation. A run is answered when three things have come: the verdict and the end of
 * both pipes. The pipes end when the last process of the sandbox is dead, so output is complete;
 * the keeper sends the verdict after that death, so the wait is short. Should a pipe stay open all the same,
 * GRACE_MS bounds it. Output past the ceiling is read and counted but not kept, and the
 * keeper is asked to end the run. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/stream.h"
#include "sandbox/supervise/wire.h"

#include <errno.h>
#include <unistd.h>

#define GRACE_MS 2000
#define READ_BYTES 65536
#define MAX_AUTHS 4096
#define MAX_AUTHS_IN_FLIGHT 64

struct sup_run {
	struct sup_client *c;
	struct sup_run *next;
	uint64_t id;
	struct sup_stream out, errs;
	struct loop_io out_io, err_io;
	uint64_t output_max; /* per stream; 0 until accepted */
	bool accepted; /* the pipes have come */
	bool stopped; /* SUP_STOP was sent */
	bool has_result, has_err;
	struct sup_result result;
	struct err err;
	struct loop_timer timer;
	void (*on_done)(void *arg, const struct sup_answer *a);
	void (*on_accepted)(void *arg, struct sv run_id);
	void (*on_output)(void *arg, uint64_t total_bytes);
	void (*on_bytes)(void *arg, int stream, struct sv bytes);
	void *arg;
};

/* A question of sup_client_auth. */
struct sup_auth {
	struct sup_client *c;
	struct sup_auth *next;
	uint64_t id;
	bool sent;
	sup_auth_fn *on_done; /* NULL: nobody wants the answer, but it will come */
	void *arg;
	size_t n; /* bytes; wiped when sent */
	char bytes[];
};

struct sup_client {
	struct loop *loop;
	struct loop_io io;
	int sock;
	struct sup_run *runs;
	unsigned active;
	struct sup_auth *auths; /* oldest first */
	unsigned nauths, auths_in_flight;
	uint64_t next_id;
	bool lost, ready;
	struct sup_info info;
	void (*on_lost)(void *arg);
	void *lost_arg;
	void (*on_ready)(void *arg);
	void *ready_arg;
};

static void stop_pipe(struct sup_run *r, struct loop_io *io)
{
	loop_del(r->c->loop, io);
	fd_close(&io->fd);
}

static void free_run(struct sup_run *r)
{
	struct sup_client *c = r->c;

	for (struct sup_run **at = &c->runs; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			c->active--;
			break;
		}
	loop_timer_stop(c->loop, &r->timer);
	stop_pipe(r, &r->out_io);
	stop_pipe(r, &r->err_io);
	stream_finish(&r->out);
	stream_finish(&r->errs);
	mem_free(r);
}

static void answer(struct sup_run *r)
{
	struct sup_answer a = {.err = r->has_err ? &r->err : NULL,
			       .result = r->has_err ? NULL : &r->result,
			       .out = &r->out,
			       .errs = &r->errs};

	if (r->on_done)
		r->on_done(r->arg, &a);
	free_run(r);
}

/* Answers if all has come; true when r is gone. */
static bool try_answer(struct sup_run *r)
{
	if (!r->has_result && !r->has_err)
		return false;
	if (r->has_result && (r->out_io.fd >= 0 || r->err_io.fd >= 0)) {
		if (!r->timer.armed)
			loop_timer_set(r->c->loop, &r->timer, GRACE_MS);
		return false;
	}
	answer(r);
	return true;
}

static void on_grace_due(struct loop_timer *t)
{
	struct sup_run *r = t->arg;

	log_msg(LOG_WARN, "event=pipe_left_open run=%s", r->result.run_id);
	answer(r);
}

static void send_stop(struct sup_run *r, enum wire_stop why)
{
	struct ipc_msg m;

	if (r->stopped || r->c->lost || r->has_result || r->has_err)
		return;
	ipc_start(&m, SUP_STOP, r->id);
	ipc_put_u32(&m, why);
	r->stopped = !ipc_send(r->c->sock, &m, NULL);
}

static void on_pipe_ready(struct loop_io *io, uint32_t events)
{
	struct sup_run *r = io->arg;
	struct sup_stream *s = io == &r->out_io ? &r->out : &r->errs;
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
	if (r->on_bytes && s->total < r->output_max) {
		uint64_t room = r->output_max - s->total;

		r->on_bytes(r->arg, io == &r->out_io ? 1 : 2,
			    (struct sv){bytes, (uint64_t)n < room ? (size_t)n : room});
	}
	stream_add(s, (struct sv){bytes, (size_t)n});
	if (s->total > r->output_max)
		send_stop(r, WIRE_OUTPUT_LIMIT);
	if (r->on_output)
		r->on_output(r->arg, r->out.total + r->errs.total);
}

static struct sup_run *find(struct sup_client *c, uint64_t id)
{
	struct sup_run *r = c->runs;

	while (r && r->id != id)
		r = r->next;
	return r;
}

static int on_accepted(struct sup_client *c, struct sup_run *r, struct ipc_msg *m)
{
	struct err e = {0};

	ipc_get_cstr(m, r->result.run_id, sizeof(r->result.run_id));
	r->output_max = ipc_get_u64(m);
	r->accepted = true;
	r->out_io.fd = ipc_take_fd(m);
	r->err_io.fd = ipc_take_fd(m);
	if (!ipc_end(m) || fd_set_nonblock(r->out_io.fd) ||
	    fd_set_nonblock(r->err_io.fd) ||
	    loop_add(c->loop, &r->out_io, EPOLLIN, &e) ||
	    loop_add(c->loop, &r->err_io, EPOLLIN, &e))
		return -1;
	if (r->on_accepted)
		r->on_accepted(r->arg, sv_of(r->result.run_id));
	return 0;
}

/* --- who is calling --------------------------------------------------------------------------- */

static void free_auth(struct sup_auth *a)
{
	struct sup_client *c = a->c;
	struct sup_auth **at = &c->auths;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	c->nauths--;
	if (a->sent)
		c->auths_in_flight--;
	explicit_bzero(a->bytes, a->n);
	mem_free(a);
}

/* Few at a time: their answers must fit into the socket while this process does something else. What
 * the keeper's socket has no room for waits until it has. */
static void send_auths(struct sup_client *c)
{
	bool full = false;

	for (struct sup_auth *a = c->auths; a && !c->lost; a = a->next) {
		struct err e = {0};
		struct ipc_msg m;

		if (a->sent || c->auths_in_flight >= MAX_AUTHS_IN_FLIGHT)
			continue;
		ipc_start(&m, SUP_AUTH, a->id);
		ipc_put_sv(&m, (struct sv){a->bytes, a->n});
		full = ipc_send(c->sock, &m, &e);
		explicit_bzero(m.data, m.n);
		if (full) /* gone: its socket will tell */
			break;
		a->sent = true;
		c->auths_in_flight++;
		explicit_bzero(a->bytes, a->n);
	}
	if (!c->lost)
		loop_mod(c->loop, &c->io, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

struct sup_auth *sup_client_auth(struct sup_client *c, struct sv credential,
				 sup_auth_fn *on_done, void *arg, struct err *e)
{
	struct sup_auth **at = &c->auths, *a = NULL;

	if (credential.n > SUP_MAX_CREDENTIAL) {
		err_set(e, ERR_INVALID, "the credential is longer than %d bytes",
			SUP_MAX_CREDENTIAL);
		return NULL;
	}
	if (c->lost) {
		err_set(e, ERR_LOST, "the keeper process has ended");
		return NULL;
	}
	if (c->nauths < MAX_AUTHS)
		a = mem_zalloc(sizeof(*a) + credential.n);
	if (!a) {
		err_set(e, ERR_BUSY, "too many callers wait to be let in");
		return NULL;
	}
	a->c = c;
	a->id = c->next_id++;
	a->on_done = on_done;
	a->arg = arg;
	a->n = credential.n;
	if (a->n)
		memcpy(a->bytes, credential.p, a->n);
	while (*at)
		at = &(*at)->next;
	*at = a;
	c->nauths++;
	send_auths(c);
	return a;
}

void sup_client_auth_cancel(struct sup_auth *a)
{
	a->on_done = NULL;
	if (!a->sent)
		free_auth(a);
}

/* The callback comes last: it may do anything, also free the client. */
static void answer_auth(struct sup_auth *a, const struct sup_identity *id,
			const struct err *e)
{
	struct sup_client *c = a->c;
	sup_auth_fn *on_done = a->on_done;
	void *arg = a->arg;

	free_auth(a);
	send_auths(c);
	if (on_done)
		on_done(arg, id, id ? NULL : e);
}

/* 0, or -1: not an answer to anything, or ill-formed. */
static int on_auth_record(struct sup_client *c, struct ipc_msg *m)
{
	struct sup_auth *a = c->auths;
	struct sup_identity id;
	struct err e = {0};

	while (a && (a->id != m->id || !a->sent))
		a = a->next;
	if (!a)
		return -1;
	if (m->type == SUP_IDENTITY ? wire_get_identity(m, &id) : wire_get_err(m, &e))
		return -1;
	answer_auth(a, m->type == SUP_IDENTITY ? &id : NULL, &e);
	return 0;
}

static void lose_auths(struct sup_client *c)
{
	while (c->auths) {
		struct err e = {0};

		err_set(&e, ERR_LOST, "the keeper process has ended");
		answer_auth(c->auths, NULL, &e);
	}
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
		return on_auth_record(c, m);
	if (!r || r->has_result || r->has_err)
		return -1;
	if (m->type == SUP_ACCEPTED && r->out_io.fd < 0 && r->err_io.fd < 0)
		return on_accepted(c, r, m);
	if (m->type == SUP_ENDED) {
		r->has_result = !wire_get_result(m, &r->result);
		if (!r->has_result)
			return -1;
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
	lose_auths(c);
	c->on_lost(c->lost_arg);
}

static void on_keeper_ready(struct loop_io *io, uint32_t events)
{
	struct sup_client *c = io->arg;
	struct ipc_msg m;
	struct err e = {0};
	int got;

	if (events & EPOLLOUT)
		send_auths(c);
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
		free_auth(c->auths);
	loop_del(c->loop, &c->io);
	fd_close(&c->sock);
	mem_free(c);
}

static int send_run(struct sup_client *c, const struct sup_run_opts *o, uint64_t id,
		    struct err *e)
{
	struct ipc_msg m;

	if (c->lost)
		return err_set(e, ERR_LOST, "the keeper process has ended");
	if (o->credential.n > SUP_MAX_CREDENTIAL)
		return err_set(e, ERR_INVALID, "the credential is longer than %d bytes",
			       SUP_MAX_CREDENTIAL);
	ipc_start(&m, SUP_RUN, id);
	wire_put_run(&m, &(struct wire_run){.tool = o->tool,
					    .credential = o->credential,
					    .language = o->language,
					    .has_timeout = o->has_timeout,
					    .has_argv = o->has_argv,
					    .timeout_ms = o->timeout_ms,
					    .code_fd = o->code_fd,
					    .input_fd = o->input_fd,
					    .stdin_fd = o->stdin_fd});
	return ipc_send(c->sock, &m, e);
}

struct sup_run *sup_client_run(struct sup_client *c, const struct sup_run_opts *o,
			       struct err *e)
{
	int fds[3] = {o->code_fd, o->input_fd, o->stdin_fd};
	struct sup_run *r = mem_zalloc(sizeof(*r));

	if (!r)
		err_set(e, ERR_LIMIT, "no memory");
	if (r && send_run(c, o, c->next_id, e)) {
		mem_free(r);
		r = NULL;
	}
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	if (!r)
		return NULL;
	r->c = c;
	r->id = c->next_id++;
	r->on_done = o->on_done;
	r->on_accepted = o->on_accepted;
	r->on_output = o->on_output;
	r->on_bytes = o->on_bytes;
	r->arg = o->arg;
	r->out_io = (struct loop_io){.fd = -1, .on_ready = on_pipe_ready, .arg = r};
	r->err_io = r->out_io;
	r->timer = (struct loop_timer){.on_due = on_grace_due, .arg = r};
	stream_init(&r->out);
	stream_init(&r->errs);
	r->next = c->runs;
	c->runs = r;
	c->active++;
	return r;
}

void sup_client_cancel(struct sup_run *r)
{
	send_stop(r, WIRE_CANCEL);
}

void sup_client_abandon(struct sup_run *r)
{
	r->on_done = NULL;
	r->on_accepted = NULL;
	r->on_output = NULL;
	r->on_bytes = NULL;
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
