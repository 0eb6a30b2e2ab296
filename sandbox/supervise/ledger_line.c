/* ledger_line.c: what the keeper says to the ledger.
 *
 * Theory of operation. When a thousand runs end at once, what is to be written of them fills the ledger's socket, and its
 * answers the keeper's. Who waited for room then would wait for one that waits for it. So the keeper never waits: what finds no
 * room stays here, in order, and goes when there is some; it is bounded by what there is to write of. */
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

struct unwritten {
	struct unwritten *next;
	uint32_t type, n;
	uint64_t id;
	char data[];
};

static int keep(struct keeper *k, const struct ipc_msg *m)
{
	struct unwritten *u = mem_zalloc(sizeof(*u) + m->n);

	must(!m->nfds);
	if (!u)
		return -1;
	u->type = m->type;
	u->id = m->id;
	u->n = m->n;
	memcpy(u->data, m->data, m->n);
	*(k->unwritten ? &k->last_unwritten->next : &k->unwritten) = u;
	k->last_unwritten = u;
	return 0;
}

static void drop_first(struct keeper *k)
{
	struct unwritten *u = k->unwritten;

	k->unwritten = u->next;
	mem_free(u);
}

int keeper_ask_ledger(struct keeper *k, struct ipc_msg *m)
{
	struct err e = {0};

	if (k->ledger_gone)
		return -1;
	if (!k->unwritten && !ipc_send(k->ledger, m, &e))
		return 0;
	if (e.code && e.code != ERR_BUSY) {
		log_err("ledger_does_not_listen", &e);
		return -1;
	}
	if (keep(k, m)) {
		log_msg(LOG_ERROR, "event=no_memory_for_the_ledger");
		return -1;
	}
	if (!k->unwritten->next)
		loop_mod(&k->loop, &k->ledger_io, EPOLLIN | EPOLLOUT);
	return 0;
}

void ledger_write_again(struct keeper *k)
{
	while (k->unwritten) {
		const struct unwritten *u = k->unwritten;
		struct err e = {0};
		struct ipc_msg m;

		ipc_start(&m, u->type, u->id);
		m.n = u->n;
		memcpy(m.data, u->data, u->n);
		/* that it has gone is told by the loop */
		if (ipc_send(k->ledger, &m, &e))
			return;
		drop_first(k);
	}
	loop_mod(&k->loop, &k->ledger_io, EPOLLIN);
}

void ledger_write_finish(struct keeper *k)
{
	while (k->unwritten)
		drop_first(k);
}
