/* files.c: questions about files of a session's workspace.
 *
 * Theory of operation. The keeper opens nothing there: the guest does, by a child in the room that has
 * no privilege. What comes back is hostile: a descriptor goes on to the front only if it is a regular file of
 * that workspace opened for reading alone, or a sealed memfd. As many operations as the guest takes are under
 * way in a session, others wait in the order they came; what is written, which may come slowly, leaves some
 * of them free. One without an answer is given up; if the guest says nothing to that either, its session
 * ends. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PATIENCE_MS 30000
#define WRITE_PATIENCE_MS 600000 /* what is written may come over a network */
#define GIVE_UP_MS 2000
#define SPARE_OPS 2 /* not for what is written */
#define MAX_LIST_BYTES ((uint64_t)64 << 20)

static void send_next(struct session *s);

/* --- asking ------------------------------------------------------------------------------------- */

static void leave(struct ask *a)
{
	struct session *s = a->session;

	if (s && a->sent)
		s->file_ops--;
	if (s)
		ses_used(s);
	a->session = NULL;
	a->sent = false;
}

static void refuse(struct ask *a, const struct err *e)
{
	leave(a);
	ask_refuse(a, e);
}

static void give_up(struct ask *a)
{
	a->killed = true;
	ses_signal(a->session, GUEST_KILL, a->id, GUEST_NO_SLOT);
	loop_timer_set(&a->k->loop, &a->timer, GIVE_UP_MS);
}

static void on_patience_due(struct loop_timer *t)
{
	struct ask *a = t->arg;

	if (a->killed) {
		log_msg(LOG_ERROR, "event=file_operation_will_not_end session=%s",
			a->session->id);
		ses_end(a->session, SUP_SESSION_DIED, "file_operation_would_not_end");
		return;
	}
	give_up(a);
}

static void send_ask(struct ask *a)
{
	static const enum guest_file_kind kinds[SUP_FILE_OP_COUNT] = {
		[SUP_FILE_LIST] = GUEST_LIST,
		[SUP_FILE_READ] = GUEST_READ,
		[SUP_FILE_WRITE] = GUEST_WRITE,
		[SUP_FILE_DELETE] = GUEST_DELETE,
	};
	struct err e = {0};
	struct ipc_msg m;

	file_hash(a);
	ipc_start(&m, GUEST_FILE_OP, a->id);
	guest_put_file(&m, &(struct guest_file){.op = kinds[a->op],
						.path = {a->path, a->path_n},
						.flags = a->keep ? GUEST_KEEP : 0,
						.max_rows = a->max_rows,
						.min_bytes = a->min_bytes,
						.max_bytes = a->max_bytes,
						.data_fd = a->data_fd});
	if (ses_send(a->session, &m, &e)) {
		refuse(a, &e);
		return;
	}
	fd_close(&a->data_fd);
	a->sent = true;
	a->session->file_ops++;
	loop_timer_set(&a->k->loop, &a->timer,
		       a->op == SUP_FILE_WRITE ? WRITE_PATIENCE_MS : PATIENCE_MS);
}

/* What is written may come at anybody's pace: it leaves room for what ends by itself. */
static bool may_write(const struct session *s)
{
	unsigned writes = 0;

	for (const struct ask *a = s->k->asks; a; a = a->next)
		writes += a->session == s && a->sent && a->op == SUP_FILE_WRITE;
	return writes < GUEST_FILE_OPS - SPARE_OPS;
}

static void send_next(struct session *s)
{
	struct ask *next;

	for (struct ask *a = s->k->asks; a && s->file_ops < GUEST_FILE_OPS; a = next) {
		next = a->next;
		if (a->session == s && !a->sent &&
		    (a->op != SUP_FILE_WRITE || may_write(s)))
			send_ask(a);
	}
}

/* What is written must not change under the guest, or be a thing of another kind. */
static bool is_data(int fd)
{
	struct stat st;

	return fd_is_sealed(fd) || (!fstat(fd, &st) && S_ISFIFO(st.st_mode) &&
				    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
}

static int check(const struct ask *a, struct err *e)
{
	const struct sv path = {a->path, a->path_n};

	if (!guest_path_ok(path) && (path.n || a->op != SUP_FILE_LIST)) {
		err_set(e, ERR_INVALID, "the path is not one beneath /workspace");
		return err_fix(e, "use a relative path without \".\" and \"..\" parts");
	}
	if (a->max_rows > GUEST_MAX_ROWS || a->min_bytes > a->max_bytes)
		return err_set(e, ERR_INVALID, "a number is out of range");
	if (a->op == SUP_FILE_WRITE && !is_data(a->data_fd))
		return err_set(e, ERR_INVALID,
			       "the content is neither a sealed memfd nor a pipe");
	return 0;
}

void file_ask(struct ask *a)
{
	struct session *s = ses_find(a->k, a->principal, a->session_id);
	struct err e = {0};

	if (!s)
		ask_not_found(&e);
	if (a->killed)
		err_set(&e, ERR_BUSY, "it was given up");
	if (!s || a->killed || check(a, &e)) {
		ask_refuse(a, &e);
		return;
	}
	a->session = s;
	a->timer = (struct loop_timer){.on_due = on_patience_due, .arg = a};
	ses_used(s);
	send_next(s);
}

/* Who asked is known later, where it is not yet. */
void file_stop(struct keeper *k, uint64_t id)
{
	struct ask *a = k->asks;
	struct err e = {0};

	while (a && a->id != id)
		a = a->next;
	if (!a || a->type != SUP_ASK_FILE || a->killed)
		return;
	if (a->sent) {
		give_up(a);
	} else if (a->session) {
		err_set(&e, ERR_BUSY, "it was given up");
		refuse(a, &e);
	} else {
		a->killed = true;
	}
}

void files_session_ends(struct session *s)
{
	struct ask *next;

	for (struct ask *a = s->k->asks; a; a = next) {
		struct err e = {0};

		next = a->next;
		if (a->session != s)
			continue;
		err_set(&e, ERR_NOT_FOUND, "the session has ended");
		err_fix(&e, "its files are gone; create another session");
		refuse(a, &e);
	}
}

/* --- the guest's answer -------------------------------------------------------------------------- */

static const char *what_to_do(enum err_code code, int sys)
{
	if (sys == EEXIST)
		return "give another path, or leave out overwrite (If-None-Match) to "
		       "replace it";
	if (sys == ENOTEMPTY)
		return "delete what is in it first";
	if (sys == ENOSPC || sys == EDQUOT)
		return "delete files that are no longer needed";
	if (sys == ENAMETOOLONG)
		return "use a shorter name";
	if (code == ERR_BUSY)
		return "try again";
	if (code == ERR_LIMIT || sys == ENODATA)
		return "send it again, all of it and no more";
	if (code == ERR_UNAVAILABLE)
		return "try again; should it stay so, close the session";
	return "artifact_list shows what is there; give the path of a regular file below "
	       "/workspace";
}

/* errno is hostile too, but only ever shown. */
static void explain(const struct ask *a, int sys, struct err *e)
{
	static const struct {
		int sys;
		enum err_code code;
		const char *cause;
	} rows[] = {
		{ENOENT, ERR_NOT_FOUND, "there is no such file"},
		{ENOTDIR, ERR_NOT_FOUND, "a part of the path is no folder"},
		{ELOOP, ERR_DENIED, "it is a symbolic link, or reached by one"},
		{EXDEV, ERR_DENIED, "it is not in the workspace"},
		{EISDIR, ERR_INVALID, "it is a folder"},
		{EINVAL, ERR_INVALID, "it is not a regular file"},
		{EEXIST, ERR_INVALID, "it exists already"},
		{ENOTEMPTY, ERR_INVALID, "the folder is not empty"},
		{ENAMETOOLONG, ERR_INVALID, "the name is too long"},
		{ENODATA, ERR_INVALID, "the content ended early"},
		{EFBIG, ERR_LIMIT,
		 "there are more bytes than were announced or allowed"},
		{ENOSPC, ERR_LIMIT, "the workspace is full"},
		{EDQUOT, ERR_LIMIT, "the workspace is full"},
		{EACCES, ERR_DENIED,
		 "the code in the session has made it inaccessible"},
		{EPERM, ERR_DENIED, "the code in the session has made it inaccessible"},
		{EBUSY, ERR_BUSY, "it is in use, or keeps changing"},
		{EAGAIN, ERR_BUSY, "it is in use, or keeps changing"},
		{ECANCELED, ERR_BUSY, "it took too long and was given up"},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].sys == sys)
			err_set(e, rows[i].code, "%s", rows[i].cause);
	if (!e->code && a->killed)
		err_set(e, ERR_BUSY, "it took too long and was given up");
	if (!e->code)
		err_set(e, ERR_UNAVAILABLE, "the sandbox could not do it: %s",
			strerror(sys));
	err_fix(e, "%s", what_to_do(e->code, sys));
	e->sys = sys;
}

/* Whether the descriptor is what was asked for; sets the size to what it is. */
static bool may_pass(const struct ask *a, struct guest_file_done *d)
{
	const int flags = d->fd >= 0 ? fcntl(d->fd, F_GETFL) : -1;
	int64_t n;
	struct stat st;

	if (a->op == SUP_FILE_LIST) {
		n = d->fd >= 0 && fd_is_sealed(d->fd) ? fd_size(d->fd) : -1;
		d->size = (uint64_t)n;
		return n >= 0 && (uint64_t)n <= MAX_LIST_BYTES;
	}
	if (a->op != SUP_FILE_READ)
		return d->fd < 0;
	if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) != O_RDONLY ||
	    fstat(d->fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    st.st_dev != a->session->workspace_dev)
		return false;
	d->size = (uint64_t)st.st_size;
	d->mtime_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return true;
}

static void pass(struct ask *a, const struct guest_file_done *d)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_FILE_DONE, a->id);
	wire_put_file_done(&m,
			   &(struct sup_file_done){.is_dir = d->node == GUEST_NODE_DIR,
						   .more = d->flags & GUEST_MORE,
						   .size = d->size,
						   .mtime_ns = d->mtime_ns,
						   .fd = d->fd});
	keeper_tell(a->k, &m);
	file_note(a, d->size);
	leave(a);
	ask_free(a);
}

static struct ask *find(const struct session *s, uint64_t id)
{
	struct ask *a = s->k->asks;

	while (a && (a->id != id || a->session != s || !a->sent))
		a = a->next;
	return a;
}

bool file_record(struct session *s, struct ipc_msg *m)
{
	struct ask *a = find(s, m->id);
	struct guest_file_done d;
	struct err e = {0};

	if (guest_get_file_done(m, &d))
		return false;
	if (!a || (!d.sys && !may_pass(a, &d))) {
		fd_close(&d.fd);
		return false;
	}
	if (d.sys) {
		explain(a, (int)d.sys, &e);
		refuse(a, &e);
	} else {
		pass(a, &d);
	}
	fd_close(&d.fd);
	send_next(s);
	return true;
}
