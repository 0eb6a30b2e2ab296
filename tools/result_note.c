/* result_note.c: what a status means and what to do next, in a sentence or two. */
#include "tools/result.h"

#include <inttypes.h>

static uint64_t to_mib(uint64_t bytes)
{
	return bytes >> 20;
}

static void next_sentence(struct buf *b)
{
	if (b->n)
		buf_byte(b, ' ');
}

static void put_limit(struct buf *b, const struct sup_result *r)
{
	const struct pol_limits *l = &r->limits;

	switch (r->status) {
	case SUP_TIMEOUT:
		buf_fmt(b,
			"It was still running after %" PRIu32
			" ms and was ended; do less, or ask "
			"for a larger timeout_ms.",
			l->wall_ms);
		break;
	case SUP_OUT_OF_MEMORY:
		/* a session's: what was asked for, and what its compilers need beyond that */
		buf_fmt(b,
			"%s needed more than its %" PRIu64
			" MiB of memory%s; work on smaller pieces, or in a session with "
			"more memory_bytes.",
			r->in_session ? "The session" : "It", to_mib(l->memory_bytes),
			r->in_session ? " (memory_bytes and a reserve for compilers)"
				      : "");
		break;
	case SUP_TOO_MANY_PROCESSES:
		buf_fmt(b,
			"It wanted more than its %" PRIu32
			" processes and threads; start fewer.",
			l->processes);
		break;
	case SUP_DISK_FULL:
		/* a session's may have been full before */
		buf_fmt(b,
			r->in_session
				? "The %" PRIu64
				  " MiB of /workspace are full; delete (and close) files, "
				  "or work in a session with more workspace_bytes."
				: "It filled its %" PRIu64
				  " MiB of /workspace; write less, or in a session with "
				  "more workspace_bytes.",
			to_mib(l->workspace_bytes));
		break;
	case SUP_OUTPUT_LIMIT:
		buf_fmt(b,
			"It printed more than %" PRIu64
			" MiB and was ended; print a summary.",
			to_mib(l->output_bytes));
		break;
	default:
		break;
	}
}

/* It ended before there was a program. */
static void put_compile(struct buf *b, const struct sup_result *r)
{
	switch (r->status) {
	case SUP_COMPILE_ERROR:
		buf_str(b, "The compiler refused the code; compile.output says why.");
		break;
	case SUP_TIMEOUT:
		buf_fmt(b,
			"The compiler was still working after %" PRIu64
			" ms and was ended; give it less to do.",
			result_ms(r->compile.duration_us));
		break;
	case SUP_OUT_OF_MEMORY:
		buf_fmt(b,
			"The compiler needed more than the %" PRIu64
			" MiB of memory there are; give it less to do.",
			to_mib(r->limits.memory_bytes));
		break;
	case SUP_OUTPUT_LIMIT:
		buf_fmt(b, "The compiler printed more than %" PRIu64 " MiB.",
			to_mib(r->limits.output_bytes));
		break;
	default:
		buf_fmt(b, "It was still being compiled (%s).",
			sup_status_name(r->status));
		break;
	}
	buf_str(b, " The program was not started.");
}

static void put_status(struct buf *b, const struct sup_result *r)
{
	if (r->compile.last || r->status == SUP_COMPILE_ERROR) {
		put_compile(b, r);
		return;
	}
	switch (r->status) {
	case SUP_SIGNALED:
		buf_str(b,
			"A signal ended the program: it crashed or was told to stop from inside.");
		break;
	case SUP_DENIED:
		buf_str(b,
			"It made a system call the sandbox forbids; do it in another way.");
		break;
	case SUP_CANCELLED:
		buf_str(b,
			r->in_session
				? "The call was cancelled and its code was stopped."
				: "The call was cancelled and everything it had started was ended.");
		break;
	case SUP_LOST:
		buf_str(b,
			"The sandbox died and how far the program came is unknown; run it again.");
		break;
	default:
		put_limit(b, r);
		break;
	}
}

/* A program of its own, not a call in an interpreter. */
static bool is_program(const struct run *run)
{
	const struct pol_runtime *rt = run && run->tool == POL_RUN_CODE
					       ? runtime_of(sv_of(run->language))
					       : NULL;

	return rt && !rt->driver[0];
}

/* What stays of the session for the next call. */
static void put_session(struct buf *b, const struct sup_result *r,
			const struct run *run)
{
	static const char *const why[] = {
		[SUP_SESSION_CLOSED] = "it was closed",
		[SUP_SESSION_TTL] = "its ttl_s was over",
		[SUP_SESSION_IDLE] = "nothing was asked of it for its idle_ttl_s",
		[SUP_SESSION_DIED] = "its sandbox died",
	};

	next_sentence(b);
	if (r->session_ended)
		buf_fmt(b,
			"The session has ended (%s): variables and files are gone; make a "
			"new one with session_create.",
			why[r->session_end]);
	else if (r->lost_state)
		buf_str(b,
			"The interpreter ended with it: its variables were lost, files are "
			"still there; the next call starts a new one.");
	else if (r->lost_before)
		buf_str(b,
			"A new interpreter was started for this call: variables of earlier "
			"calls were lost, files are still there.");
	else if (r->status == SUP_TIMEOUT || r->status == SUP_CANCELLED)
		buf_str(b,
			is_program(run)
				? "The session goes on: its files are still there."
				: "The interpreter goes on: variables and files are still there.");
	else if (b->n)
		b->n--; /* no sentence follows */
}

/* What to do next about a run whose end, or whose output, has not all been told. */
static void put_next(struct buf *b, const struct report *v)
{
	const struct shown *out = &v->s[RUN_STDOUT], *errs = &v->s[RUN_STDERR];

	if (!out->paged || (out->eof && errs->eof))
		return;
	next_sentence(b);
	buf_fmt(b,
		"%s: call run_status with run_id %s, stdout_offset %" PRIu64
		" and stderr_offset %" PRIu64 "%s",
		v->result ? "There is more output" : "It still runs", v->run_id.p,
		out->next, errs->next,
		v->result ? "." : " (and wait_ms) to follow it, run_cancel to end it.");
	if (!v->result && v->run && v->run->open_stdin && !v->run->stdin_closed)
		buf_str(b, " Its standard input is open: run_input writes to it.");
}

void result_note(struct report *v)
{
	struct buf *b = &v->note;

	if (v->result) {
		put_status(b, v->result);
		if (v->result->in_session || v->result->session_ended)
			put_session(b, v->result, v->run);
	}
	put_next(b, v);
}
