/* compile.c: a call of a language that is compiled: two programs of its own, one after the other.
 *
 * Theory of operation. To everybody else it is one call: one turn, one intent, one outcome, one id. All pipes are
 * made for the first program, the compiler, and those that are not its own are kept here for the second. The compiler
 * ends well, and the call goes back to STARTING, for what was made; or it ends otherwise, and that is the end of
 * the call. Whatever stops a call stops the program it has just then. */
#include "sandbox/base/fd.h"
#include "sandbox/supervise/keeper.h"

/* Of the step it is in, us. */
static uint64_t took(const struct run *r)
{
	return r->started_us && r->ended_us > r->started_us
		       ? r->ended_us - r->started_us
		       : 0;
}

void compile_fill(struct run *r)
{
	struct sup_result *s = &r->result;

	s->duration_us = took(r);
	if (!s->compile.last)
		return;
	/* or it never began */
	s->compile.there = s->compile.last = r->started_us != 0;
	s->compile.duration_us = s->duration_us;
	s->duration_us = 0;
}

/* The compiler's: what it says has a pipe of its own, and it reads nothing. */
int compile_send(struct run *r)
{
	const struct launch_call c = {
		.id = r->id,
		.slot = r->slot,
		.io = {r->code_fd, r->input_fd, -1, r->pipes.to[2], r->pipes.to[2]},
		.rich_fd = -1,
		.part = GUEST_COMPILES};
	const int bad =
		launch_call(r->k->host, &r->session->sandbox, r->plan, &c, &r->failure);

	/* nothing but the compiler and what it starts has its end */
	fd_close(&r->pipes.to[2]);
	fd_close(&r->code_fd);
	return bad;
}

/* What it made. */
static int send_product(struct run *r)
{
	const struct launch_call c = {
		.id = r->id,
		.slot = r->slot,
		.io = {-1, r->input_fd, r->open_stdin ? r->pipes.in_from : r->stdin_fd,
		       r->pipes.to[0], r->pipes.to[1]},
		.rich_fd = -1,
		.last = r->keep_files,
		.part = GUEST_COMPILED};

	return launch_call(r->k->host, &r->session->sandbox, r->plan, &c, &r->failure);
}

/* The compiler has ended well: what it made is run. */
void compile_done(struct run *r)
{
	r->result.compile = (struct sup_compile){.there = true,
						 .status = SUP_EXITED,
						 .has_exit_code = true,
						 .duration_us = took(r)};
	r->compiling = false;
	r->changes_due = false; /* of the program alone it is asked */
	r->started_us = r->ended_us = 0;
	r->evidence.has_status = false;
	fd_close(&r->program_pidfd);
	if (send_product(r))
		call_finish(r);
	else
		call_begin_step(r);
}
