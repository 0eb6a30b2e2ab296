/* looks.c: after which calls the workspace is looked at, and by whom; see session.h and look.h.
 *
 * One look at a time: each tells what has changed since the one before, so that nothing is told twice. A look that
 * is lost (any program of the room can kill who makes it) is said to be not known, and the next one tells its changes. Not so the
 * last of a session, before which nothing of the room may live on: it is tried again, and then the session ends. */
#include "sandbox/base/fd.h"
#include "sandbox/guest/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRIES 3

int looks_open(struct session *s)
{
	s->look_base = -1;
	s->look_log = memfd_create("log", MFD_CLOEXEC);
	return s->look_log < 0 ? -1 : fcntl(s->look_log, F_SETFL, O_APPEND);
}

/* A folder on tmpfs is as long as it has entries, and an empty one not always 0: as long as it was at first. */
static bool is_empty(const struct session *s)
{
	struct stat st;

	return !fstat(s->workspace_fd, &st) && st.st_size == s->workspace.st_size;
}

bool looks_wanted(const struct session *s, const struct task *t)
{
	return t->last || (!t->compiles && (s->look_base >= 0 || !is_empty(s)));
}

static void tell_changes(uint64_t call, const struct looked *d)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_CHANGES, call);
	guest_put_changes(&m, &(struct guest_changes){.flags = d->flags,
						      .total = d->total,
						      .fd = d->changes});
	tell(&m);
}

static void leave(struct session *s)
{
	s->looking = false;
	s->tries = 0;
	memmove(s->looks, s->looks + 1, --s->nlooks * sizeof(*s->looks));
}

static int send_look(struct session *s, const struct look_due *due)
{
	const struct porter job = {.job = PORTER_LOOKS, .id = due->call};
	struct ipc_msg m;

	ipc_start(&m, GUEST_LOOK, due->call);
	ipc_put_u32(&m, due->last);
	ipc_put_u64(&m, s->log_from);
	ipc_put_u32(&m, s->look_base >= 0);
	if (s->look_base >= 0)
		ipc_put_fd(&m, s->look_base);
	return porter_send(s, &job, &m);
}

static int begin_first(struct session *s, const struct look_due *due)
{
	return due->last && !s->cleared ? porter_clear(s) : send_look(s, due);
}

static void go_on(struct session *s)
{
	static const struct looked lost = {.flags = GUEST_NOT_KNOWN, .changes = -1};

	while (s->nlooks && !s->looking) {
		const struct look_due due = s->looks[0];

		s->looking = !begin_first(s, &due);
		if (s->looking)
			return;
		if (due.last && s->tries++ == TRIES)
			_exit(1);
		if (due.last)
			continue;
		leave(s);
		tell_changes(due.call, &lost);
	}
}

void looks_begin(struct session *s, uint64_t call, bool last)
{
	s->over |= last;
	/* there are no more calls than tasks, and each waits for its own */
	if (s->nlooks == TASKS)
		_exit(1);
	s->looks[s->nlooks++] = (struct look_due){call, last};
	go_on(s);
}

/* What stands in the log before log_to is in the base now. */
static void take(struct session *s, struct looked *d)
{
	fd_close(&s->look_base);
	s->look_base = fd_steal(&d->base);
	s->log_from = d->log_to;
	fallocate(s->look_log, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		  (off_t)d->log_to);
}

static int get_looked(struct ipc_msg *m, struct looked *d)
{
	uint32_t has;

	*d = (struct looked){.flags = ipc_get_u32(m), .changes = -1, .base = -1};
	d->total = ipc_get_u32(m);
	d->log_to = ipc_get_u64(m);
	has = ipc_get_u32(m);
	if (has & 1)
		d->base = ipc_take_fd(m);
	if (has & 2)
		d->changes = ipc_take_fd(m);
	if (ipc_end(m) && m->type == GUEST_LOOKED && has < 4 &&
	    (d->base < 0 || fd_is_sealed(d->base)) &&
	    (d->changes < 0 || fd_is_sealed(d->changes)) &&
	    !(d->flags & ~(uint32_t)GUEST_MORE))
		return 0;
	fd_close(&d->base);
	fd_close(&d->changes);
	return -1;
}

void looks_put(struct ipc_msg *m, const struct looked *d)
{
	ipc_put_u32(m, d->flags);
	ipc_put_u32(m, d->total);
	ipc_put_u64(m, d->log_to);
	ipc_put_u32(m, (d->base >= 0 ? 1u : 0) | (d->changes >= 0 ? 2u : 0));
	if (d->base >= 0)
		ipc_put_fd(m, d->base);
	if (d->changes >= 0)
		ipc_put_fd(m, d->changes);
}

int looks_answer(struct session *s, struct ipc_msg *m)
{
	const uint64_t call = s->looks[0].call;
	struct looked d;

	if (get_looked(m, &d))
		return -1;
	leave(s);
	take(s, &d);
	tell_changes(call, &d);
	fd_close(&d.changes);
	go_on(s);
	return 0;
}

void looks_cleared(struct session *s)
{
	s->cleared = true;
	s->looking = false;
	go_on(s);
}

void looks_lost(struct session *s)
{
	const struct look_due due = s->looks[0];

	s->looking = false;
	if (due.last && s->tries++ == TRIES)
		_exit(1);
	if (!due.last) {
		leave(s);
		tell_changes(due.call,
			     &(struct looked){.flags = GUEST_NOT_KNOWN, .changes = -1});
	}
	go_on(s);
}
