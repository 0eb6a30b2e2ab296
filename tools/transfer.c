/* transfer.c: a whole file on its way into or out of a workspace, in pieces of the mover's choice.
 *
 * Theory of operation. Out: the sandbox opens the file, and it is read from there with pread alone.
 * In: first a look whether something of that name is there, then the sandbox is given the read end of a pipe,
 * and what it gets is written to a file without a name; at the pipe's end that gets its place. So
 * the end of the pipe must mean the end of the content: where the length was told beforehand, fewer
 * bytes change nothing; where it was not, a transfer that is given up keeps the pipe open until the
 * sandbox has given up too.
 *
 *	put	LOOKS --> ASKED, FLOWS --transfer_put_end--> ENDED --answer--> done
 *			    `---- the sandbox says no: the pipe breaks, the answer tells why */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tools/artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIPE_BYTES (256 << 10)

struct transfer {
	struct tool_env env; /* credential and principal are not valid */
	enum transfer_kind kind;
	struct sup_ask *at; /* NULL: nothing is asked just now */
	void (*on_done)(void *arg, const struct transfer_file *f, const struct err *e);
	void (*on_room)(void *arg);
	void *arg;
	char session_id[SUP_SESSION_ID_SIZE];
	struct buf credential, path;
	int fd; /* read: the file */
	struct loop_io pipe; /* write: its write end, -1: none */
	uint64_t length; /* told beforehand, or TRANSFER_UNKNOWN */
	uint64_t sent;
	bool keep, created, ended, of_run;
	bool full; /* the pipe is: on_room is due */
	char head[ARTIFACT_HEAD_BYTES];
	crypto_hash_sha256_state hash;
};

/* --- the end ------------------------------------------------------------------------------------ */

static void close_pipe(struct transfer *t)
{
	loop_del(t->env.loop, &t->pipe);
	fd_close(&t->pipe.fd);
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	loop_del(t->env.loop, &t->pipe);
	if (t->length != TRANSFER_UNKNOWN)
		fd_close(&t->pipe.fd);
	if (t->at && t->kind == TRANSFER_WRITE && !t->ended)
		sup_client_file_stop(t->at, fd_steal(&t->pipe.fd));
	else if (t->at)
		sup_client_ask_cancel(t->at);
	fd_close(&t->fd);
	if (t->credential.p)
		sodium_memzero(t->credential.p, t->credential.n);
	buf_finish(&t->credential);
	buf_finish(&t->path);
	mem_free(t);
}

bool transfer_is_in(const struct transfer *t, struct sv session_id)
{
	return sv_eq(sv_of(t->session_id), session_id);
}

static int ask(struct transfer *t, struct sup_file_opts *o, sup_file_fn *fn,
	       struct err *e)
{
	o->credential = buf_view(&t->credential);
	o->session_id = sv_of(t->session_id);
	o->path = buf_view(&t->path);
	t->at = sup_client_file(t->env.client, o, fn, t, e);
	return t->at ? 0 : -1;
}

/* t may be gone after it, as after on_room. */
static void fail(struct transfer *t, const struct err *e)
{
	struct err copy = *e;

	/* of its session nobody has heard */
	if (t->of_run && copy.code == ERR_NOT_FOUND && !copy.sys) {
		err_clear(&copy);
		err_set(&copy, ERR_NOT_FOUND,
			"the files of this run are no longer kept");
		err_fix(&copy,
			"run it again; files are kept for %d minutes after they were last "
			"asked for, and less when many runs leave some",
			RUN_KEPT_S / 60);
	} else if (!copy.remediation[0] && (copy.sys == ENOSPC || copy.sys == EDQUOT)) {
		err_fix(&copy, "delete files, or create a session with a larger "
			       "workspace_bytes");
	} else if (!copy.remediation[0] && copy.sys && copy.code != ERR_BUSY) {
		err_fix(&copy, "artifact_list shows what is there; give the path of a "
			       "regular file below /workspace");
	}
	t->on_done(t->arg, NULL, &copy);
}

/* --- out ---------------------------------------------------------------------------------------- */

size_t transfer_get(const struct transfer *t, uint64_t offset, char *dst, size_t n)
{
	return fd_read_at(t->fd, offset, dst, n);
}

static void on_opened(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct transfer *t = arg;
	struct transfer_file f = {.sha256 = ""};

	t->at = NULL;
	if (e) {
		fail(t, e);
		return;
	}
	t->fd = d->fd;
	f.size = d->size;
	f.mime = mime_of(
		(struct sv){t->head, transfer_get(t, 0, t->head, sizeof(t->head))});
	t->on_done(t->arg, &f, NULL);
}

/* --- away --------------------------------------------------------------------------------------- */

static void on_deleted(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct transfer *t = arg;
	struct transfer_file f = {.sha256 = ""};

	t->at = NULL;
	if (e) {
		fail(t, e);
		return;
	}
	f.is_dir = d->is_dir;
	t->on_done(t->arg, &f, NULL);
}

/* --- in ----------------------------------------------------------------------------------------- */

static void on_written(void *arg, const struct sup_file_done *d, const struct err *e)
{
	unsigned char sha[crypto_hash_sha256_BYTES];
	struct transfer *t = arg;
	struct transfer_file f = {.size = t->sent, .created = t->created};
	struct err why = {0};

	(void)d;
	t->at = NULL;
	close_pipe(t);
	if (!e && !t->ended) {
		err_set(&why, ERR_UNAVAILABLE, "the sandbox took less than the whole");
		e = &why;
	}
	if (e) {
		fail(t, e);
		return;
	}
	crypto_hash_sha256_final(&t->hash, sha);
	sodium_bin2hex(f.sha256, sizeof(f.sha256), sha, sizeof(sha));
	f.mime = mime_of((struct sv){t->head, t->sent < sizeof(t->head)
						      ? (size_t)t->sent
						      : sizeof(t->head)});
	t->on_done(t->arg, &f, NULL);
}

static void on_pipe_ready(struct loop_io *io, uint32_t events)
{
	struct transfer *t = io->arg;

	if (events & EPOLLERR || loop_mod(t->env.loop, io, 0)) {
		/* nobody reads it: the answer tells why */
		close_pipe(t);
		return;
	}
	t->full = false;
	t->on_room(t->arg);
}

size_t transfer_put(struct transfer *t, struct sv bytes)
{
	size_t done = 0, k;

	while (done < bytes.n && t->pipe.fd >= 0 && !t->full) {
		ssize_t n = write(t->pipe.fd, bytes.p + done, bytes.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN &&
		    !loop_mod(t->env.loop, &t->pipe, EPOLLOUT))
			t->full = true;
		else if (n <= 0)
			close_pipe(t);
		else
			done += (size_t)n;
	}
	if (t->sent < sizeof(t->head)) {
		k = sizeof(t->head) - (size_t)t->sent;
		memcpy(t->head + t->sent, bytes.p, k < done ? k : done);
	}
	crypto_hash_sha256_update(&t->hash, (const unsigned char *)bytes.p, done);
	t->sent += done;
	return done;
}

void transfer_put_end(struct transfer *t)
{
	t->ended = t->ended || t->pipe.fd >= 0;
	close_pipe(t);
}

static int begin_flow(struct transfer *t, struct err *e)
{
	const bool known = t->length != TRANSFER_UNKNOWN;
	struct sup_file_opts o = {.op = SUP_FILE_WRITE,
				  .keep = t->keep,
				  .min_bytes = known ? t->length : 0,
				  .max_bytes = known ? t->length : TRANSFER_MAX_BYTES};
	int ends[2];

	if (fd_pipe(ends, e))
		return -1;
	o.data_fd = ends[0];
	t->pipe.fd = ends[1];
	/* the sandbox has fewer turns on a busy machine; there may be no room for it */
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	if (!fd_set_nonblock(ends[1]) && !loop_add(t->env.loop, &t->pipe, EPOLLOUT, e))
		return ask(t, &o, on_written, e);
	fd_close(&o.data_fd);
	return err_set(e, ERR_LIMIT, "no room for another upload");
}

/* What the workspace says of the name decides nothing yet: it can be another a moment later. */
static void on_looked(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct transfer *t = arg;
	struct err why = {0};
	int fd = d ? d->fd : -1;

	t->at = NULL;
	fd_close(&fd);
	if (e && !e->sys) {
		fail(t, e);
		return;
	}
	t->created = e && e->sys == ENOENT;
	if (d && d->is_dir) {
		err_set(&why, ERR_INVALID, "it is a folder");
		why.sys = EISDIR;
	} else if (!begin_flow(t, &why)) {
		return;
	}
	fail(t, &why);
}

/* --- start -------------------------------------------------------------------------------------- */

static int check_path(struct sv path, struct err *e)
{
	if (request_path(path, "path", e))
		return -1;
	if (sv_valid_utf8(path) && sv_find(path, '\0') < 0)
		return 0;
	err_set(e, ERR_INVALID, "path is no UTF-8 text, or holds a NUL");
	return err_fix(e, "name files in UTF-8");
}

/* A session's own id; of a run that has ended, the session it has left its files in. */
static int find_session(struct transfer *t, const struct transfer_opts *o,
			struct err *e)
{
	struct sv id = o->id;

	t->of_run = sv_starts(id, SV("run_"));
	if (t->of_run && t->kind == TRANSFER_WRITE) {
		err_set(e, ERR_DENIED, "nothing is written into what a run has left");
		return err_fix(e, "work in a session, which takes files");
	}
	if (t->of_run && run_kept_session(o->env.runs, o->env.principal, o->id, &id, e))
		return -1;
	if (!sv_copy(id, t->session_id, sizeof(t->session_id)))
		return 0;
	err_set(e, ERR_NOT_FOUND, "there is no such session");
	return err_fix(e, "session_list shows those there are");
}

static int begin(struct transfer *t, struct err *e)
{
	struct sup_file_opts o = {.data_fd = -1};

	crypto_hash_sha256_init(&t->hash);
	if (t->kind == TRANSFER_WRITE) {
		o.op = SUP_FILE_LIST;
		o.max_rows = 1;
		return ask(t, &o, on_looked, e);
	}
	o.op = t->kind == TRANSFER_READ ? SUP_FILE_READ : SUP_FILE_DELETE;
	return ask(t, &o, t->kind == TRANSFER_READ ? on_opened : on_deleted, e);
}

struct transfer *transfer_new(enum transfer_kind kind, const struct transfer_opts *o,
			      struct err *e)
{
	struct transfer *t = mem_zalloc(sizeof(*t));

	if (!t) {
		err_set(e, ERR_LIMIT, "no memory for another transfer");
		return NULL;
	}
	t->env = o->env;
	t->env.credential = t->env.principal = SV("");
	t->kind = kind;
	t->on_done = o->on_done;
	t->on_room = o->on_room;
	t->arg = o->arg;
	t->length = o->length;
	t->keep = o->keep;
	t->fd = -1;
	t->pipe = (struct loop_io){.fd = -1, .on_ready = on_pipe_ready, .arg = t};
	buf_init(&t->credential, SUP_MAX_CREDENTIAL);
	buf_init(&t->path, RUN_MAX_PATH_BYTES);
	buf_sv(&t->credential, o->env.credential);
	if (!check_path(o->path, e))
		buf_sv(&t->path, o->path);
	if (t->credential.failed || t->path.failed)
		err_set(e, ERR_LIMIT, "no memory for another transfer");
	else if (t->path.n && !find_session(t, o, e) && !begin(t, e))
		return t;
	transfer_free(t);
	return NULL;
}
