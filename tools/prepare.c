/* prepare.c: what some runs need before the keeper can be asked for them: a throwaway session, files from elsewhere.
 *
 * Theory of operation. A run that leaves files behind, or whose values are wanted, runs as the only call of a
 * session that nobody else knows of. The run is in the registry from the start, without an id, and its call waits;
 * what was to be sent is sealed already, because the arguments are gone when start has returned. A
 * session that was asked for may be made although the call was cancelled meanwhile: so the answer is waited for
 * all the same, and what was made is dropped.
 *
 * Files of other sessions and runs are copied one after another: opened there, written here by a pipe that is filled
 * from the loop, piece by piece as the sandbox takes them. The keeper lets nobody open what is not his. In a session
 * that is the caller's they are there when the run is asked for, which may be before its turn. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tools/artifact.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 << 10)

struct prep {
	struct run *run;
	struct sup_run_opts
		o; /* its fds are owned; language and session_id are borrowed from below and the run */
	char language[RUN_MAX_LANGUAGE_BYTES + 1];
	struct sup_ask *at; /* the client's; NULL: nothing is asked just now */
	bool cancelled;
	struct buf inputs; /* as of struct run_request */
	struct sv rest; /* what of it is to be done yet */
	struct sv number, from, to; /* of the file under way; views into inputs */
	int fd; /* it; -1: none */
	uint64_t size, sent;
	struct loop_io pipe; /* the write end; fd -1: none */
	struct loop_timer first;
};

static void close_pipe(struct prep *p)
{
	loop_del(p->run->runs->loop, &p->pipe);
	fd_close(&p->pipe.fd);
}

static void prep_free(struct prep *p)
{
	p->run->prep = NULL;
	close_pipe(p);
	loop_timer_stop(p->run->runs->loop, &p->first);
	fd_close(&p->fd);
	buf_finish(&p->inputs);
	fd_close(&p->o.code_fd);
	fd_close(&p->o.input_fd);
	fd_close(&p->o.stdin_fd);
	mem_free(p);
}

static void fail(struct prep *p, const struct err *e)
{
	const struct err copy = *e;
	struct run *r = p->run;

	prep_free(p);
	run_never_began(r, &copy);
}

/* All is there. */
static void go(struct prep *p)
{
	struct run *r = p->run;
	struct sup_run_opts o = p->o;
	struct err e = {0};

	p->o.code_fd = p->o.input_fd = p->o.stdin_fd = -1;
	/* language is read before it goes */
	if (run_ask(r, &o, &e)) {
		fail(p, &e);
		return;
	}
	prep_free(p);
}

/* --- files from elsewhere ----------------------------------------------------------------------- */

static void next_input(struct prep *p);

/* Which of the files it is, before the cause. */
static void fail_input(struct prep *p, const struct err *e, const char *what)
{
	struct err why = {0};

	err_set(&why, e->code, "files[%.*s]%s: %s", (int)p->number.n, p->number.p, what,
		e->cause);
	if (e->remediation[0])
		err_fix(&why, "%s", e->remediation);
	else
		err_fix(&why, "artifact_list shows what is there; give the path of a "
			      "regular file below /workspace");
	why.sys = e->sys;
	fail(p, &why);
}

static void on_written(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct prep *p = arg;

	(void)d;
	p->at = NULL;
	close_pipe(p);
	fd_close(&p->fd);
	if (e)
		fail_input(p, e, "");
	else
		next_input(p);
}

/* One turn's worth. A file that has become shorter ends early, which the sandbox takes for no file at all. */
static void on_pipe_ready(struct loop_io *io, uint32_t events)
{
	static char bytes[CHUNK_BYTES]; /* one thread, used up before return */
	struct prep *p = io->arg;
	size_t done = 0;

	(void)events;
	while (done < ARTIFACT_SLICE_BYTES) {
		const uint64_t left = p->size - p->sent;
		ssize_t n = pread(p->fd, bytes,
				  left < sizeof(bytes) ? (size_t)left : sizeof(bytes),
				  (off_t)p->sent);

		if (n > 0)
			n = write(io->fd, bytes, (size_t)n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_pipe(
				p); /* all is said, or nobody listens: the answer tells */
			return;
		}
		p->sent += (uint64_t)n;
		done += (size_t)n;
	}
}

static int send_input(struct prep *p, struct err *e)
{
	struct sup_file_opts o = {.op = SUP_FILE_WRITE,
				  .credential = p->o.credential,
				  .session_id = p->o.session_id,
				  .path = p->to,
				  .min_bytes = p->size,
				  .max_bytes = p->size};
	int ends[2];

	if (fd_pipe(ends, e))
		return -1;
	o.data_fd = ends[0];
	p->sent = 0;
	p->pipe = (struct loop_io){.fd = ends[1], .on_ready = on_pipe_ready, .arg = p};
	if (fd_set_nonblock(ends[1]) ||
	    loop_add(p->run->runs->loop, &p->pipe, EPOLLOUT, e)) {
		fd_close(&o.data_fd);
		return err_set(e, ERR_LIMIT, "no room for another file");
	}
	p->at = sup_client_file(p->run->client, &o, on_written, p, e);
	return p->at ? 0 : -1;
}

static void on_read(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct prep *p = arg;
	struct err why = {0};

	p->at = NULL;
	if (e) {
		fail_input(p, e, ".artifact");
		return;
	}
	p->fd = d->fd;
	p->size = d->size;
	if (p->size > ARTIFACT_MAX_BYTES) {
		err_set(&why, ERR_LIMIT,
			"it is %" PRIu64 " bytes, at most %" PRIu64
			" (100 MiB) are accepted",
			p->size, ARTIFACT_MAX_BYTES);
		err_fix(&why, "split it into several files");
		fail_input(p, &why, ".artifact");
	} else if (send_input(p, &why)) {
		fail_input(p, &why, "");
	}
}

static struct sv cut_word(struct sv *rest)
{
	struct sv word = {"", 0};
	bool more = true;

	sv_cut(rest, '\0', &more, &word);
	return word;
}

/* The session whose file it is; of an ended run the one that it has kept. */
static int source_of(struct prep *p, struct sv id, struct sv *ret, struct err *e)
{
	*ret = id;
	return sv_starts(id, SV("ses_"))
		       ? 0
		       : run_kept_session(p->run->runs, run_principal(p->run), id, ret,
					  e);
}

static void next_input(struct prep *p)
{
	struct sup_file_opts o = {
		.op = SUP_FILE_READ, .credential = p->o.credential, .data_fd = -1};
	struct err why = {0};
	struct sv id;

	if (p->cancelled) {
		err_set(&why, ERR_LOST,
			"the call was cancelled before its program had started");
		fail(p, &why);
		return;
	}
	if (!p->rest.n) {
		go(p);
		return;
	}
	p->number = cut_word(&p->rest);
	id = cut_word(&p->rest);
	p->from = cut_word(&p->rest);
	p->to = cut_word(&p->rest);
	o.path = p->from;
	if (!source_of(p, id, &o.session_id, &why))
		p->at = sup_client_file(p->run->client, &o, on_read, p, &why);
	if (!p->at)
		fail_input(p, &why, ".artifact");
}

/* --- a session of its own ------------------------------------------------------------------------- */

static void on_opened(void *arg, const struct sup_session_info *s, unsigned n,
		      const struct err *e)
{
	struct prep *p = arg;

	p->at = NULL;
	if (e) {
		fail(p, e);
		return;
	}
	must(n == 1);
	memcpy(p->run->throwaway, s->id, sizeof(p->run->throwaway));
	p->o.session_id = sv_of(p->run->throwaway);
	next_input(p);
}

static int open_session(struct prep *p, struct err *e)
{
	const struct sup_info *info = sup_client_info(p->run->client);
	struct sup_session_opts o = {
		.credential = p->o.credential,
		.limits = {.idle_ttl_s = RUN_KEPT_S},
		.throwaway = true,
	};

	/* as any other run without a session */
	if (p->run->only_compiled && info) {
		o.language = p->o.language;
		o.limits.memory_bytes = info->limits.memory_bytes;
		o.limits.workspace_bytes = info->limits.workspace_bytes;
		o.limits.processes = info->limits.processes;
	}

	p->at = sup_client_session_open(p->run->client, &o, on_opened, p, e);
	return p->at ? 0 : -1;
}

bool run_wants_prep(const struct run_request *req)
{
	return run_wants_session(req) || req->inputs.n;
}

/* What comes first must not fail the call within its start. */
static void on_first_due(struct loop_timer *t)
{
	struct prep *p = t->arg;

	next_input(p);
}

int prep_start(struct run *r, struct run_request *req, struct sup_run_opts *o,
	       struct err *e)
{
	struct prep *p = mem_zalloc(sizeof(*p));

	if (!p) {
		run_close_opts(o);
		return err_set(e, ERR_LIMIT, "no memory for another run");
	}
	p->run = r;
	p->o = *o;
	must(!sv_copy(o->language, p->language, sizeof(p->language)));
	p->o.language = sv_of(p->language);
	p->fd = p->pipe.fd = -1;
	r->own_session = run_wants_session(req);
	p->inputs = req->inputs;
	req->inputs = (struct buf){0};
	p->rest = buf_view(&p->inputs);
	r->prep = p;
	if (!r->own_session) {
		p->o.session_id = sv_of(r->session_id);
		p->first = (struct loop_timer){.on_due = on_first_due, .arg = p};
		loop_timer_set(r->runs->loop, &p->first, 0);
		return 0;
	}
	if (!open_session(p, e))
		return 0;
	prep_free(p);
	return -1;
}

void prep_cancel(struct run *r)
{
	r->prep->cancelled = true;
}

void prep_drop(struct run *r)
{
	if (r->prep && r->prep->at)
		sup_client_ask_cancel(r->prep->at);
	if (r->prep)
		prep_free(r->prep);
}
