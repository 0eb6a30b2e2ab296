/* tell.c: what the keeper says to the front.
 *
 * Theory of operation. The front is one process with many callers: while it takes a thousand requests
 * in, it does not read, and the answers to them fill its socket. They wait here, in order, and the
 * keeper reads nothing more from it until they are gone; so the front's own next requests wait in its
 * socket, where it is told that there is no room. What waits is bounded by what was asked: a run has at
 * most five records, a question one (that for sessions one for each 32), a session one when it ends.
 *
 * It can be the kernel that does not take a descriptor, because programs in sandboxes have too many on their way
 * (ipc.h). Then it is tried again by the clock, and the front is heard meanwhile: it may ask to end what is to blame. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define MAX_FDS 4 /* of one record: the ends of an interpreter's pipes */
#define AGAIN_MS 10
#define MAX_HELD_UP 1024 /* records: then the front is not heard any more */

struct untold {
	struct untold *next;
	uint32_t type, n;
	uint64_t id;
	unsigned nfds;
	int fds[MAX_FDS]; /* owned */
	char data[];
};

static void free_untold(struct untold *u)
{
	for (unsigned i = 0; i < u->nfds; i++)
		fd_close(&u->fds[i]);
	mem_free(u);
}

/* NULL: no memory, or no descriptor. */
static struct untold *copy(const struct ipc_msg *m)
{
	struct untold *u = mem_zalloc(sizeof(*u) + m->n);

	must(m->nfds <= MAX_FDS);
	if (!u)
		return NULL;
	u->type = m->type;
	u->id = m->id;
	u->n = m->n;
	memcpy(u->data, m->data, m->n);
	for (; u->nfds < m->nfds; u->nfds++) {
		u->fds[u->nfds] = fcntl(m->fds[u->nfds], F_DUPFD_CLOEXEC, 3);
		if (u->fds[u->nfds] < 0) {
			free_untold(u);
			return NULL;
		}
	}
	return u;
}

static void refill(const struct untold *u, struct ipc_msg *m)
{
	ipc_start(m, u->type, u->id);
	memcpy(m->data, u->data, u->n);
	m->n = u->n;
	memcpy(m->fds, u->fds, u->nfds * sizeof(*u->fds));
	m->nfds = u->nfds;
}

/* One that has gone is the ordinary end, which its socket will tell. */
static void give_up(struct keeper *k, const struct err *e)
{
	tell_finish(k);
	if (e->code == ERR_LOST)
		return;
	log_err("front_does_not_listen", e);
	shutdown(k->front, SHUT_RDWR);
}

static void on_again_due(struct loop_timer *t)
{
	tell_again(t->arg);
}

/* why: of the first record that waits. */
static void wait_for_room(struct keeper *k, const struct err *why)
{
	if (why->sys != ETOOMANYREFS) {
		loop_mod(&k->loop, &k->front_io, EPOLLOUT);
		return;
	}
	k->untold_timer = (struct loop_timer){.on_due = on_again_due, .arg = k};
	loop_timer_set(&k->loop, &k->untold_timer, AGAIN_MS);
	loop_mod(&k->loop, &k->front_io, k->nuntold < MAX_HELD_UP ? EPOLLIN : 0);
}

bool tell_waits(const struct keeper *k)
{
	return k->untold && !k->untold_timer.armed;
}

static int keep(struct keeper *k, const struct ipc_msg *m)
{
	struct untold **at = &k->untold, *u = copy(m);
	struct err e = {0};

	if (!u) {
		err_set(&e, ERR_LIMIT, "no memory to keep a record for it");
		give_up(k, &e);
		return -1;
	}
	while (*at)
		at = &(*at)->next;
	*at = u;
	if (++k->nuntold == MAX_HELD_UP && k->untold_timer.armed)
		loop_mod(&k->loop, &k->front_io, 0);
	return 0;
}

/* What has no descriptor is not held up by those of others. One of no id speaks of what was told before. */
static bool may_overtake(const struct keeper *k, const struct ipc_msg *m)
{
	if (!k->untold_timer.armed || m->nfds || !m->id)
		return false;
	for (const struct untold *u = k->untold; u; u = u->next)
		if (u->id == m->id)
			return false;
	return true;
}

int keeper_tell(struct keeper *k, struct ipc_msg *m)
{
	struct err e = {0};

	if (k->front_gone)
		return -1;
	if (k->untold && !may_overtake(k, m))
		return keep(k, m);
	if (!ipc_send(k->front, m, &e))
		return 0;
	if (e.code != ERR_BUSY) {
		give_up(k, &e);
		return -1;
	}
	if (keep(k, m))
		return -1;
	if (!k->untold->next)
		wait_for_room(k, &e);
	return 0;
}

void tell_again(struct keeper *k)
{
	struct untold *u;
	struct ipc_msg m;

	while ((u = k->untold)) {
		struct err e = {0};

		refill(u, &m);
		if (ipc_send(k->front, &m, &e)) {
			if (e.code == ERR_BUSY)
				wait_for_room(k, &e);
			else
				give_up(k, &e);
			return;
		}
		k->untold = u->next;
		k->nuntold--;
		free_untold(u);
	}
	loop_mod(&k->loop, &k->front_io, EPOLLIN);
}

void tell_finish(struct keeper *k)
{
	struct untold *u;
	const bool any = k->untold != NULL;

	while ((u = k->untold)) {
		k->untold = u->next;
		free_untold(u);
	}
	k->nuntold = 0;
	loop_timer_stop(&k->loop, &k->untold_timer);
	if (any && !k->front_gone)
		loop_mod(&k->loop, &k->front_io, EPOLLIN);
}
