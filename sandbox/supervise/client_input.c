/* client_input.c: what a caller writes to a program's standard input while it runs. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/client.h"

#include <errno.h>
#include <unistd.h>

#define PART_BYTES 65536
#define MOVE_BYTES ((size_t)1 << 20)

static void close_pipe(struct sup_run *r)
{
	loop_del(r->c->loop, &r->in.io);
	fd_close(&r->in.io.fd);
	r->in.open = false;
}

/* 1: the next bytes are at *ret; 0: there are none; -1: the memfd cannot be read. */
static int next_part(struct run_input *in, char *mem, struct sv *ret)
{
	ssize_t n;

	if (in->first_fd >= 0) {
		n = pread(in->first_fd, mem, PART_BYTES, in->first_at);
		if (n < 0)
			return -1;
		*ret = (struct sv){mem, (size_t)n};
		if (n)
			return 1;
		fd_close(&in->first_fd);
	}
	*ret = buf_view(&in->waiting);
	ret->p += in->at;
	ret->n -= in->at;
	return ret->n > 0;
}

static void step_over(struct run_input *in, size_t n)
{
	if (in->first_fd >= 0) {
		in->first_at += (int64_t)n;
		return;
	}
	in->at += n;
	/* moving the rest each time would cost the square of it */
	if (in->at == in->waiting.n || in->at >= MOVE_BYTES) {
		buf_consume(&in->waiting, in->at);
		in->at = 0;
	}
}

/* Writes what there is room for. A reader that has gone is no error: the program does not want it. */
static void feed(struct sup_run *r)
{
	static char mem[PART_BYTES]; /* one thread, used up before return */
	struct run_input *in = &r->in;
	struct sv part;
	int got;

	while ((got = next_part(in, mem, &part)) == 1) {
		ssize_t n = write(in->io.fd, part.p,
				  part.n < PART_BYTES ? part.n : PART_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_mod(r->c->loop, &in->io, EPOLLOUT);
			return;
		}
		if (n < 0) {
			close_pipe(r);
			return;
		}
		step_over(in, (size_t)n);
	}
	if (got < 0 || in->eof)
		close_pipe(r);
	else
		loop_mod(r->c->loop, &in->io,
			 0); /* an end of the reader is still told */
}

static void on_ready(struct loop_io *io, uint32_t events)
{
	struct sup_run *r = io->arg;

	if (events & (EPOLLERR | EPOLLHUP))
		close_pipe(r);
	else
		feed(r);
}

void client_input_init(struct sup_run *r, bool open, int first_fd)
{
	r->in = (struct run_input){.open = open, .first_fd = first_fd, .io.fd = -1};
	buf_init(&r->in.waiting, SUP_MAX_WAITING_INPUT + MOVE_BYTES);
}

int client_input_start(struct sup_run *r, int fd)
{
	struct run_input *in = &r->in;

	if (fd < 0)
		return 0;
	fd_close(&in->io.fd);
	in->io = (struct loop_io){.fd = fd, .on_ready = on_ready, .arg = r};
	if (fd_set_nonblock(fd) || loop_add(r->c->loop, &in->io, 0, NULL))
		return -1;
	if (in->open)
		feed(r);
	else
		close_pipe(r);
	return 0;
}

void client_input_finish(struct sup_run *r)
{
	close_pipe(r);
	fd_close(&r->in.first_fd);
	buf_finish(&r->in.waiting);
}

static size_t waiting(const struct sup_run *r)
{
	return r->in.waiting.n - r->in.at;
}

/* A quarter of what others leave of the whole, so that whoever comes last still has some. */
static size_t ceiling(const struct sup_run *r)
{
	size_t left = SUP_MAX_WAITING_INPUT_ALL;

	for (const struct sup_run *x = r->c->runs; x; x = x->next)
		if (x != r)
			left -= waiting(x) < left ? waiting(x) : left;
	return left / 4 < SUP_MAX_WAITING_INPUT ? left / 4 : SUP_MAX_WAITING_INPUT;
}

int sup_client_input(struct sup_run *r, struct sv bytes, bool eof, struct err *e)
{
	struct run_input *in = &r->in;

	if (!in->open || in->eof || r->has_result || r->has_err)
		return err_set(e, ERR_INVALID, "the run's standard input is not open");
	if (waiting(r) + bytes.n > ceiling(r)) {
		err_set(e, ERR_BUSY,
			"%zu bytes wait for the program to read them, and others for "
			"other programs",
			waiting(r));
		return err_fix(e, "send more when it has");
	}
	buf_sv(&in->waiting, bytes);
	if (in->waiting.failed) {
		in->waiting.failed = false; /* what was there still is */
		return err_set(e, ERR_LIMIT, "no memory");
	}
	in->eof = eof;
	if (in->io.fd >= 0)
		feed(r);
	return 0;
}
