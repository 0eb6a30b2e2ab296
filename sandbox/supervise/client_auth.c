/* client_auth.c: the front's questions who is calling; see client.h. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/client.h"

#define MAX_AUTHS 4096
#define MAX_AUTHS_IN_FLIGHT 64

void client_free_auth(struct sup_auth *a)
{
	struct sup_client *c = a->c;
	struct sup_auth **at = &c->auths;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	c->nauths--;
	if (a->sent)
		c->auths_in_flight--;
	explicit_bzero(a->bytes, a->n);
	mem_free(a);
}

/* Few at a time: their answers must fit into the socket while this process does something else. What
 * the keeper's socket has no room for waits until it has. */
void client_send_auths(struct sup_client *c)
{
	bool full =
		client_send_orders(c) || client_send_stops(c) || client_send_reads(c);

	for (struct sup_auth *a = c->auths; a && !c->lost && !full; a = a->next) {
		struct err e = {0};
		struct ipc_msg m;

		if (a->sent || c->auths_in_flight >= MAX_AUTHS_IN_FLIGHT)
			continue;
		ipc_start(&m, SUP_AUTH, a->id);
		ipc_put_sv(&m, (struct sv){a->bytes, a->n});
		full = ipc_send(c->sock, &m, &e);
		explicit_bzero(m.data, m.n);
		if (full) /* no room; or gone, which its socket will tell */
			break;
		a->sent = true;
		c->auths_in_flight++;
		explicit_bzero(a->bytes, a->n);
	}
	if (!c->lost)
		loop_mod(c->loop, &c->io, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

struct sup_auth *sup_client_auth(struct sup_client *c, struct sv credential,
				 sup_auth_fn *on_done, void *arg, struct err *e)
{
	struct sup_auth **at = &c->auths, *a = NULL;

	if (credential.n > SUP_MAX_CREDENTIAL) {
		err_set(e, ERR_INVALID, "the credential is longer than %d bytes",
			SUP_MAX_CREDENTIAL);
		return NULL;
	}
	if (c->lost) {
		err_set(e, ERR_LOST, "the keeper process has ended");
		return NULL;
	}
	if (c->nauths < MAX_AUTHS)
		a = mem_zalloc(sizeof(*a) + credential.n);
	if (!a) {
		err_set(e, ERR_BUSY, "too many callers wait to be let in");
		return NULL;
	}
	a->c = c;
	a->id = c->next_id++;
	a->on_done = on_done;
	a->arg = arg;
	a->n = credential.n;
	if (a->n)
		memcpy(a->bytes, credential.p, a->n);
	while (*at)
		at = &(*at)->next;
	*at = a;
	c->nauths++;
	client_send_auths(c);
	return a;
}

void sup_client_auth_cancel(struct sup_auth *a)
{
	a->on_done = NULL;
	if (!a->sent)
		client_free_auth(a);
}

/* The callback comes last: it may do anything, also free the client. */
static void answer_auth(struct sup_auth *a, const struct sup_identity *id,
			const struct err *e)
{
	struct sup_client *c = a->c;
	sup_auth_fn *on_done = a->on_done;
	void *arg = a->arg;

	client_free_auth(a);
	client_send_auths(c);
	if (on_done)
		on_done(arg, id, id ? NULL : e);
}

/* 0, or -1: not an answer to anything, or ill-formed. */
int client_on_auth_record(struct sup_client *c, struct ipc_msg *m)
{
	struct sup_auth *a = c->auths;
	struct sup_identity id;
	struct err e = {0};

	while (a && (a->id != m->id || !a->sent))
		a = a->next;
	if (!a)
		return -1;
	if (m->type == SUP_IDENTITY ? wire_get_identity(m, &id) : wire_get_err(m, &e))
		return -1;
	answer_auth(a, m->type == SUP_IDENTITY ? &id : NULL, &e);
	return 0;
}

void client_lose_auths(struct sup_client *c)
{
	while (c->auths) {
		struct err e = {0};

		err_set(&e, ERR_LOST, "the keeper process has ended");
		answer_auth(c->auths, NULL, &e);
	}
}
