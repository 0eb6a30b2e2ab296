/* front_call.h: front.h with calls of interpreters: the test holds the ends of their pipes. */
#ifndef FRONT_CALL_H
#define FRONT_CALL_H

#include "tests/unit/sandbox/supervise/front.h"

#include "sandbox/supervise/client.h"

#include <unistd.h>

#define SES "ses_0123456789abcdef0123456789abcdef"
#define OTHER_SES "ses_ffffffffffffffffffffffffffffffff"

static const char *session = SES; /* whose calls ask and start are of */

static int to[3]; /* the interpreter's ends of its pipes */
static int in_from; /* its stdin */

struct call {
	uint64_t id;
	struct sup_run *run;
	unsigned done;
	enum err_code code;
	struct sup_result r;
	struct buf out, errs, rich, bytes;
	uint64_t total;
	bool changes_known;
};

static inline void on_rich(void *arg, struct sv line)
{
	struct call *c = arg;

	buf_sv(&c->rich, line);
	buf_byte(&c->rich, '|');
}

static inline void on_bytes(void *arg, int stream, struct sv bytes)
{
	struct call *c = arg;

	if (stream == 1)
		buf_sv(&c->bytes, bytes);
}

static inline void on_done(void *arg, const struct sup_answer *a)
{
	struct call *c = arg;

	c->done++;
	c->code = a->err ? a->err->code : ERR_NONE;
	if (a->err)
		return;
	c->r = *a->result;
	sup_stream_text(a->out, &c->out, &c->out);
	sup_stream_text(a->errs, &c->errs, &c->errs);
	c->total = a->out->total;
	c->changes_known = a->changes && a->changes->known;
}

static inline void up(void)
{
	to[0] = to[1] = to[2] = in_from = -1;
	front_up();
}

static inline void down(void)
{
	front_down();
	for (unsigned i = 0; i < 3; i++)
		fd_close(&to[i]);
	fd_close(&in_from);
}

static inline void finish(struct call *c)
{
	buf_finish(&c->out);
	buf_finish(&c->errs);
	buf_finish(&c->rich);
	buf_finish(&c->bytes);
}

/* The keeper's next record; of SUP_READ, whose output has been read, is only noted. */
static uint64_t last_read;
static inline bool hear(struct ipc_msg *m)
{
	int got;

	while ((got = ipc_recv(keeper, m, NULL)) == 1 && m->type == SUP_READ) {
		last_read = m->id;
		ipc_finish(m);
	}
	return got == 1;
}

static inline void ask(struct call *c, bool open_stdin, int stdin_fd)
{
	struct ipc_msg m;

	*c = (struct call){.done = 0};
	buf_init(&c->out, 1 << 20);
	buf_init(&c->errs, 1 << 20);
	buf_init(&c->rich, 1 << 22);
	buf_init(&c->bytes, 1 << 22);
	c->run = sup_client_run(client,
				&(struct sup_run_opts){.language = SV("python"),
						       .session_id = sv_of(session),
						       .open_stdin = open_stdin,
						       .code_fd = -1,
						       .input_fd = -1,
						       .stdin_fd = stdin_fd,
						       .on_done = on_done,
						       .on_bytes = on_bytes,
						       .on_rich = on_rich,
						       .arg = c},
				NULL);
	must(c->run && hear(&m) && m.type == SUP_RUN);
	c->id = m.id;
	ipc_finish(&m);
}

/* The call starts; fresh: with new pipes. The front has not heard of it yet. */
static inline void send_start(struct call *c, bool fresh, bool with_stdin)
{
	struct wire_start s = {.run_id = "run_1",
			       .output_max = 1000000,
			       .fresh = fresh,
			       .fds = {-1, -1, -1},
			       .stdin_fd = -1};
	struct ipc_msg m;
	int p[2], in[2] = {-1, -1};

	for (unsigned i = 0; fresh && i < 3; i++) {
		must(!fd_pipe(p, NULL));
		s.fds[i] = p[0];
		fd_close(&to[i]);
		to[i] = p[1];
	}
	if (with_stdin) {
		must(!fd_pipe(in, NULL));
		fd_close(&in_from);
		in_from = in[0];
		s.stdin_fd = in[1];
	}
	snprintf(s.session_id, sizeof(s.session_id), "%s", session);
	ipc_start(&m, SUP_CALLED, c->id);
	wire_put_start(&m, &s);
	must(!ipc_send(keeper, &m, NULL));
	for (unsigned i = 0; fresh && i < 3; i++)
		fd_close(&s.fds[i]);
	fd_close(&in[1]);
}

static inline void start(struct call *c, bool fresh, bool with_stdin)
{
	send_start(c, fresh, with_stdin);
	turn();
}

static inline void begin(struct call *c, bool fresh)
{
	ask(c, false, -1);
	start(c, fresh, false);
}

static inline void end_with(struct call *c, struct sup_result r)
{
	struct ipc_msg m;

	snprintf(r.run_id, sizeof(r.run_id), "run_1");
	r.in_session = true;
	ipc_start(&m, SUP_ENDED, c->id);
	wire_put_result(&m, &r);
	must(!ipc_send(keeper, &m, NULL));
	ipc_start(&m, SUP_RECORDED, c->id);
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static inline void print(unsigned i, const char *text)
{
	must(!fd_write_all(to[i], text, strlen(text)));
}

static inline bool is(const struct buf *b, const char *text)
{
	return sv_eq(buf_view(b), sv_of(text));
}

/* How a call is told to end: because it was cancelled (1), or printed too much (2); 0: it was not. */
static inline uint32_t was_stopped(const struct call *c)
{
	struct ipc_msg m;
	uint32_t why = 0;

	if (!hear(&m))
		return 0;
	if (m.type == SUP_STOP && m.id == c->id)
		why = ipc_get_u32(&m);
	ipc_finish(&m);
	return why;
}

#endif
