/* wire_session.c: the records of sessions: calls, questions, rows, files; see wire.h. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/wire.h"

#define MAX_PATH_BYTES 4096

/* of SUP_ACCEPTED: `more` says whether there is a third */
static unsigned pipes_of(uint32_t type, bool more)
{
	return type == SUP_ACCEPTED ? 2u + more : more ? 3 : 0;
}

void wire_put_start(struct ipc_msg *m, const struct wire_start *s)
{
	const bool more = m->type == SUP_ACCEPTED ? s->fds[2] >= 0 : s->fresh;

	ipc_put_sv(m, sv_of(s->run_id));
	ipc_put_u64(m, s->output_max);
	if (m->type == SUP_CALLED) {
		ipc_put_sv(m, sv_of(s->session_id));
		ipc_put_u32(m, s->slot);
	}
	ipc_put_u32(m, more);
	for (unsigned i = 0; i < pipes_of(m->type, more); i++)
		ipc_put_fd(m, s->fds[i]);
	if (s->stdin_fd >= 0)
		ipc_put_fd(m, s->stdin_fd);
}

int wire_get_start(struct ipc_msg *m, struct wire_start *s)
{
	bool more;

	*s = (struct wire_start){.fds = {-1, -1, -1}, .stdin_fd = -1};
	ipc_get_cstr(m, s->run_id, sizeof(s->run_id));
	s->output_max = ipc_get_u64(m);
	if (m->type == SUP_CALLED) {
		ipc_get_cstr(m, s->session_id, sizeof(s->session_id));
		s->slot = ipc_get_u32(m);
	}
	more = ipc_get_u32(m);
	s->fresh = more && m->type == SUP_CALLED;
	for (unsigned i = 0; i < pipes_of(m->type, more); i++)
		s->fds[i] = ipc_take_fd(m);
	if (m->fd_at < m->nfds) /* one more than the rest needs */
		s->stdin_fd = ipc_take_fd(m);
	if (ipc_end(m) && s->run_id[0] &&
	    (m->type == SUP_ACCEPTED || m->type == SUP_CALLED))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(s->fds); i++)
		fd_close(&s->fds[i]);
	fd_close(&s->stdin_fd);
	return -1;
}

/* --- limits and rows -------------------------------------------------------------------------- */

static void put_limits(struct ipc_msg *m, const struct sup_session_limits *l)
{
	ipc_put_u32(m, l->ttl_s);
	ipc_put_u32(m, l->idle_ttl_s);
	ipc_put_u64(m, l->memory_bytes);
	ipc_put_u64(m, l->workspace_bytes);
	ipc_put_u32(m, l->processes);
}

static void get_limits(struct ipc_msg *m, struct sup_session_limits *l)
{
	l->ttl_s = ipc_get_u32(m);
	l->idle_ttl_s = ipc_get_u32(m);
	l->memory_bytes = ipc_get_u64(m);
	l->workspace_bytes = ipc_get_u64(m);
	l->processes = ipc_get_u32(m);
}

static void put_row(struct ipc_msg *m, const struct sup_session_info *s)
{
	ipc_put_sv(m, sv_of(s->id));
	ipc_put_sv(m, sv_of(s->language));
	ipc_put_u64(m, s->created_us);
	ipc_put_u64(m, s->expires_us);
	ipc_put_u64(m, s->idle_expires_us);
	put_limits(m, &s->limits);
	ipc_put_u32(m, s->calls);
	ipc_put_u32(m, s->running);
	ipc_put_u32(m, s->queued);
	ipc_put_u32(m, s->alive);
}

static void get_row(struct ipc_msg *m, struct sup_session_info *s)
{
	ipc_get_cstr(m, s->id, sizeof(s->id));
	ipc_get_cstr(m, s->language, sizeof(s->language));
	s->created_us = ipc_get_u64(m);
	s->expires_us = ipc_get_u64(m);
	s->idle_expires_us = ipc_get_u64(m);
	get_limits(m, &s->limits);
	s->calls = ipc_get_u32(m);
	s->running = ipc_get_u32(m);
	s->queued = ipc_get_u32(m);
	s->alive = ipc_get_u32(m);
	if (!s->id[0])
		m->bad = true;
}

void wire_put_sessions(struct ipc_msg *m, const struct wire_sessions *s)
{
	ipc_put_u32(m, s->n);
	ipc_put_u32(m, s->more);
	for (unsigned i = 0; i < s->n; i++)
		put_row(m, &s->rows[i]);
}

int wire_get_sessions(struct ipc_msg *m, struct wire_sessions *s)
{
	s->n = ipc_get_u32(m);
	s->more = ipc_get_u32(m);
	if (s->n > WIRE_SESSIONS)
		return -1;
	for (unsigned i = 0; i < s->n; i++)
		get_row(m, &s->rows[i]);
	return ipc_end(m) ? 0 : -1;
}

/* --- questions -------------------------------------------------------------------------------- */

static void put_file(struct ipc_msg *m, const struct wire_ask *a)
{
	ipc_put_u32(m, a->op);
	ipc_put_sv(m, a->path);
	ipc_put_u32(m, a->max_rows);
	ipc_put_u32(m, a->keep);
	ipc_put_u64(m, a->min_bytes);
	ipc_put_u64(m, a->max_bytes);
	if (a->op == SUP_FILE_WRITE)
		ipc_put_fd(m, a->data_fd);
}

static void get_file(struct ipc_msg *m, struct wire_ask *a)
{
	a->op = (enum sup_file_op)ipc_get_u32(m);
	a->path = ipc_get_sv(m, MAX_PATH_BYTES);
	a->max_rows = ipc_get_u32(m);
	a->keep = ipc_get_u32(m);
	a->min_bytes = ipc_get_u64(m);
	a->max_bytes = ipc_get_u64(m);
	if (a->op == SUP_FILE_WRITE)
		a->data_fd = ipc_take_fd(m);
	if ((unsigned)a->op >= SUP_FILE_OP_COUNT)
		m->bad = true;
}

void wire_put_ask(struct ipc_msg *m, const struct wire_ask *a)
{
	ipc_put_sv(m, a->credential);
	if (m->type == SUP_ASK_OPEN) {
		ipc_put_sv(m, a->language);
		put_limits(m, &a->limits);
		ipc_put_u32(m, a->throwaway);
	}
	if (m->type == SUP_ASK_CLOSE || m->type == SUP_ASK_FILE)
		ipc_put_sv(m, a->session_id);
	if (m->type == SUP_ASK_FILE)
		put_file(m, a);
}

int wire_get_ask(struct ipc_msg *m, struct wire_ask *a)
{
	*a = (struct wire_ask){.data_fd = -1};
	a->credential = ipc_get_sv(m, SUP_MAX_CREDENTIAL);
	if (m->type == SUP_ASK_OPEN) {
		a->language = ipc_get_sv(m, 256);
		get_limits(m, &a->limits);
		a->throwaway = ipc_get_u32(m);
	}
	if (m->type == SUP_ASK_CLOSE || m->type == SUP_ASK_FILE)
		a->session_id = ipc_get_sv(m, SUP_SESSION_ID_SIZE - 1);
	if (m->type == SUP_ASK_FILE)
		get_file(m, a);
	if (ipc_end(m) && m->type >= SUP_ASK_OPEN && m->type <= SUP_ASK_FILE)
		return 0;
	fd_close(&a->data_fd);
	return -1;
}

void wire_put_file_done(struct ipc_msg *m, const struct sup_file_done *d)
{
	ipc_put_u32(m, d->is_dir);
	ipc_put_u32(m, d->more);
	ipc_put_u64(m, d->size);
	ipc_put_i64(m, d->mtime_ns);
	ipc_put_u32(m, d->fd >= 0);
	if (d->fd >= 0)
		ipc_put_fd(m, d->fd);
}

int wire_get_file_done(struct ipc_msg *m, struct sup_file_done *d)
{
	*d = (struct sup_file_done){.is_dir = ipc_get_u32(m), .fd = -1};
	d->more = ipc_get_u32(m);
	d->size = ipc_get_u64(m);
	d->mtime_ns = ipc_get_i64(m);
	if (ipc_get_u32(m))
		d->fd = ipc_take_fd(m);
	if (ipc_end(m))
		return 0;
	fd_close(&d->fd);
	return -1;
}
