/* client_order.c: runs on their way to the keeper. Its socket holds some two hundred of them; the rest of a burst waits
 * here, in turn, and is not an error for the caller to repeat. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/client.h"

#include <errno.h>
#include <string.h>

/* A record of SUP_RUN. */
struct client_order {
	struct client_order *next; /* to be sent after it */
	struct sup_run *r;
	unsigned nfds;
	int fds[3]; /* owned */
	size_t n;
	char bytes[];
};

static void close_fds(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fd_close(&fds[i]);
}

static void free_order(struct client_order *o)
{
	close_fds(o->fds, o->nfds);
	explicit_bzero(o->bytes, o->n); /* a credential */
	mem_free(o);
}

static struct client_order *order_new(struct sup_run *r, const struct ipc_msg *m)
{
	struct client_order *o = mem_zalloc(sizeof(*o) + m->n);

	if (!o)
		return NULL;
	must(m->nfds <= ARRAY_LEN(o->fds));
	o->r = r;
	o->n = m->n;
	o->nfds = m->nfds;
	memcpy(o->bytes, m->data, m->n);
	memcpy(o->fds, m->fds, m->nfds * sizeof(int));
	return o;
}

static int send_order(const struct client_order *o, struct err *e)
{
	struct ipc_msg m;
	int bad;

	ipc_start(&m, SUP_RUN, o->r->id);
	m.n = (uint32_t)o->n;
	m.nfds = o->nfds;
	memcpy(m.data, o->bytes, o->n);
	memcpy(m.fds, o->fds, o->nfds * sizeof(int));
	bad = ipc_send(o->r->c->sock, &m, e);
	explicit_bzero(m.data, m.n);
	return bad;
}

static void append(struct sup_client *c, struct client_order *o)
{
	struct client_order **at = &c->orders;

	while (*at)
		at = &(*at)->next;
	*at = o;
	o->r->unsent = true;
	client_want_room(c);
}

static struct wire_run as_sent(const struct sup_run_opts *o)
{
	return (struct wire_run){.tool = o->tool,
				 .credential = o->credential,
				 .language = o->language,
				 .session_id = o->session_id,
				 .open_stdin = o->open_stdin,
				 .keep_files = o->keep_files,
				 .has_timeout = o->has_timeout,
				 .has_argv = o->has_argv,
				 .timeout_ms = o->timeout_ms,
				 .code_fd = o->code_fd,
				 .input_fd = o->input_fd,
				 .stdin_fd = o->open_stdin ? -1 : o->stdin_fd};
}

int client_order(struct sup_run *r, const struct sup_run_opts *opts, struct err *e)
{
	const struct wire_run w = as_sent(opts);
	struct sup_client *c = r->c;
	struct client_order *o = NULL;
	struct err why = {0};
	struct ipc_msg m;
	int bad = 0;

	ipc_start(&m, SUP_RUN, r->id);
	wire_put_run(&m, &w);
	if (m.bad)
		bad = err_set(e, ERR_LIMIT, "the call is over its limit");
	else if (!(o = order_new(r, &m)))
		bad = err_set(e, ERR_LIMIT, "no memory");
	else if (c->orders || (send_order(o, &why) && why.sys == EAGAIN))
		append(c, o);
	else if (why.code)
		bad = -1;
	if (why.code && bad && e && !e->code)
		*e = why;
	if (!o)
		close_fds(m.fds, m.nfds);
	else if (!r->unsent)
		free_order(o);
	explicit_bzero(m.data, m.n);
	return bad;
}

static void take_first(struct sup_client *c)
{
	struct client_order *o = c->orders;

	c->orders = o->next;
	o->r->unsent = false;
	free_order(o);
}

bool client_send_orders(struct sup_client *c)
{
	while (c->orders && !c->lost) {
		struct sup_run *r = c->orders->r;
		struct err e = {0};

		if (send_order(c->orders, &e) && e.sys == EAGAIN)
			return true;
		take_first(c);
		if (e.code)
			client_fail(r, &e);
	}
	return false;
}

void client_drop_order(struct sup_run *r)
{
	struct client_order **at = &r->c->orders, *o;

	if (!r->unsent)
		return;
	while ((*at)->r != r)
		at = &(*at)->next;
	o = *at;
	*at = o->next;
	r->unsent = false;
	free_order(o);
}
