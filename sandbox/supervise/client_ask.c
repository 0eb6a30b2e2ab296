/* client_ask.c: the front's questions about sessions and their files. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/client.h"

#define MAX_ASKS 256
#define MAX_ROWS 1024

struct sup_ask {
	struct sup_client *c;
	struct sup_ask *next;
	uint64_t id;
	sup_session_fn *
		on_sessions; /* one of these two, or none: nobody wants the answer, but it comes */
	sup_file_fn *on_file;
	bool of_file;
	void *arg;
	struct sup_session_info *rows; /* owned; of records before the last */
	unsigned n;
	int hold_fd; /* owned; closed with it */
};

static void free_ask(struct sup_ask *q)
{
	struct sup_ask **at = &q->c->asks;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	q->c->nasks--;
	fd_close(&q->hold_fd);
	mem_free(q->rows);
	mem_free(q);
}

void client_free_asks(struct sup_client *c)
{
	while (c->asks)
		free_ask(c->asks);
}

/* NULL: it could not be sent. */
static struct sup_ask *ask(struct sup_client *c, uint32_t type,
			   const struct wire_ask *w, struct err *e)
{
	struct sup_ask *q = NULL;
	struct ipc_msg m;

	if (c->lost)
		err_set(e, ERR_LOST, "the keeper process has ended");
	else if (w->credential.n > SUP_MAX_CREDENTIAL)
		err_set(e, ERR_INVALID, "the credential is longer than %d bytes",
			SUP_MAX_CREDENTIAL);
	else if (w->language.n > 256 || w->session_id.n >= SUP_SESSION_ID_SIZE)
		err_set(e, ERR_NOT_FOUND, "there is no such %s",
			w->language.n > 256 ? "language" : "session");
	else if (c->nasks >= MAX_ASKS)
		err_set(e, ERR_BUSY, "too many questions about sessions are under way");
	else if (!(q = mem_zalloc(sizeof(*q))))
		err_set(e, ERR_LIMIT, "no memory");
	if (!q)
		return NULL;
	q->c = c;
	q->hold_fd = -1;
	q->id = c->next_id;
	ipc_start(&m, type, q->id);
	wire_put_ask(&m, w);
	if (ipc_send(c->sock, &m, e)) {
		mem_free(q);
		return NULL;
	}
	explicit_bzero(m.data, m.n);
	c->next_id++;
	c->nasks++;
	q->next = c->asks;
	c->asks = q;
	return q;
}

static struct sup_ask *with_sessions(struct sup_ask *q, sup_session_fn *fn, void *arg)
{
	if (q) {
		q->on_sessions = fn;
		q->arg = arg;
	}
	return q;
}

struct sup_ask *sup_client_session_open(struct sup_client *c,
					const struct sup_session_opts *o,
					sup_session_fn *fn, void *arg, struct err *e)
{
	const struct wire_ask w = {.credential = o->credential,
				   .language = o->language,
				   .limits = o->limits,
				   .throwaway = o->throwaway,
				   .data_fd = -1};

	return with_sessions(ask(c, SUP_ASK_OPEN, &w, e), fn, arg);
}

struct sup_ask *sup_client_session_close(struct sup_client *c, struct sv credential,
					 struct sv id, sup_session_fn *fn, void *arg,
					 struct err *e)
{
	const struct wire_ask w = {
		.credential = credential, .session_id = id, .data_fd = -1};

	return with_sessions(ask(c, SUP_ASK_CLOSE, &w, e), fn, arg);
}

struct sup_ask *sup_client_session_list(struct sup_client *c, struct sv credential,
					sup_session_fn *fn, void *arg, struct err *e)
{
	const struct wire_ask w = {.credential = credential, .data_fd = -1};

	return with_sessions(ask(c, SUP_ASK_LIST, &w, e), fn, arg);
}

struct sup_ask *sup_client_file(struct sup_client *c, const struct sup_file_opts *o,
				sup_file_fn *fn, void *arg, struct err *e)
{
	const struct wire_ask w = {.credential = o->credential,
				   .session_id = o->session_id,
				   .op = o->op,
				   .path = o->path,
				   .max_rows = o->max_rows,
				   .keep = o->keep,
				   .min_bytes = o->min_bytes,
				   .max_bytes = o->max_bytes,
				   .data_fd = o->data_fd};
	int data = o->data_fd;
	struct sup_ask *q = ask(c, SUP_ASK_FILE, &w, e);

	if (o->op == SUP_FILE_WRITE)
		fd_close(&data);
	if (q) {
		q->on_file = fn;
		q->of_file = true;
		q->arg = arg;
	}
	return q;
}

/* One that cannot be said is the end of the line to the keeper, or soon made up for by the session's age. */
void sup_client_session_drop(struct sup_client *c, struct sv id)
{
	struct ipc_msg m;

	if (c->lost || id.n >= SUP_SESSION_ID_SIZE)
		return;
	ipc_start(&m, SUP_DROP, 0);
	ipc_put_sv(&m, id);
	if (ipc_send(c->sock, &m, NULL))
		log_msg(LOG_WARN, "event=session_not_dropped");
}

/* One that cannot be said is made up for by the keeper's patience, and hold_fd stays open until then. */
void sup_client_file_stop(struct sup_ask *q, int hold_fd)
{
	struct ipc_msg m;

	sup_client_ask_cancel(q);
	q->hold_fd = hold_fd;
	ipc_start(&m, SUP_ASK_STOP, q->id);
	if (!q->c->lost && ipc_send(q->c->sock, &m, NULL))
		log_msg(LOG_WARN, "event=file_operation_not_stopped");
}

void sup_client_ask_cancel(struct sup_ask *q)
{
	q->on_sessions = NULL;
	q->on_file = NULL;
}

/* --- answers ------------------------------------------------------------------------------------ */

/* The callbacks come last: they may do anything, also free the client. */
static void say_no(struct sup_ask *q, const struct err *e)
{
	const struct sup_ask was = *q;

	free_ask(q);
	if (was.on_sessions)
		was.on_sessions(was.arg, NULL, 0, e);
	if (was.on_file)
		was.on_file(was.arg, NULL, e);
}

static int more_rows(struct sup_ask *q, const struct wire_sessions *w)
{
	struct sup_session_info *rows;

	if (w->n > MAX_ROWS - q->n)
		return -1;
	rows = mem_realloc(q->rows, (q->n + w->n + 1) * sizeof(*rows));
	if (!rows)
		return -1;
	memcpy(rows + q->n, w->rows, w->n * sizeof(*rows));
	q->rows = rows;
	q->n += w->n;
	return 0;
}

static int on_sessions(struct sup_ask *q, struct ipc_msg *m)
{
	static struct wire_sessions w; /* one thread, used up before return */
	struct sup_ask was;

	if (wire_get_sessions(m, &w) || more_rows(q, &w))
		return -1;
	if (w.more)
		return 0;
	was = *q;
	q->rows = NULL;
	free_ask(q);
	if (was.on_sessions)
		was.on_sessions(was.arg, was.rows, was.n, NULL);
	mem_free(was.rows);
	return 0;
}

static int on_file(struct sup_ask *q, struct ipc_msg *m)
{
	const struct sup_ask was = *q;
	struct sup_file_done d;

	if (wire_get_file_done(m, &d))
		return -1;
	free_ask(q);
	if (was.on_file)
		was.on_file(was.arg, &d, NULL);
	else
		fd_close(&d.fd);
	return 0;
}

int client_on_ask_record(struct sup_client *c, struct ipc_msg *m)
{
	struct sup_ask *q = c->asks;
	struct err e = {0};

	while (q && q->id != m->id)
		q = q->next;
	if (!q ||
	    (m->type != SUP_ASK_REFUSED && q->of_file != (m->type == SUP_FILE_DONE)))
		return -1;
	if (m->type == SUP_SESSIONS)
		return on_sessions(q, m);
	if (m->type == SUP_FILE_DONE)
		return on_file(q, m);
	if (wire_get_err(m, &e))
		return -1;
	say_no(q, &e);
	return 0;
}

void client_lose_asks(struct sup_client *c)
{
	while (c->asks) {
		struct err e = {0};

		err_set(&e, ERR_LOST, "the keeper process has ended");
		say_no(c->asks, &e);
	}
}
