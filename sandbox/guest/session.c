/* session.c: the loop of a guest that serves a session; see session.h. */
#include "sandbox/guest/session.h"

#include "sandbox/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <unistd.h>

/* --- what the keeper says --------------------------------------------------------------------- */

static void on_call(struct session *s, struct ipc_msg *m)
{
	struct guest_call c;

	if (!m->id || guest_get_call(m, &c))
		_exit(1);
	task_call(s, m->id, &c);
}

static void on_file(struct session *s, struct ipc_msg *m)
{
	const struct porter job = {.job = PORTER_FILE, .id = m->id};
	struct guest_file f;
	struct ipc_msg order;
	unsigned busy = 0;
	int sys = 0;

	if (!m->id || guest_get_file(m, &f))
		_exit(1);
	for (unsigned i = 0; i < PORTERS; i++)
		busy += s->porters[i].job == PORTER_FILE;
	ipc_start(&order, GUEST_FILE_OP, m->id);
	guest_put_file(&order, &f);
	if (busy == GUEST_FILE_OPS)
		sys = EBUSY;
	else if (porter_send(s, &job, &order))
		sys = errno;
	fd_close(&f.data_fd);
	if (!sys)
		return;
	ipc_start(&order, GUEST_FILE_DONE, m->id);
	guest_put_file_done(&order,
			    &(struct guest_file_done){.sys = (uint32_t)sys, .fd = -1});
	tell(&order);
}

static void on_signal(struct session *s, struct ipc_msg *m)
{
	const enum task_event ev = m->type == GUEST_KILL ? EV_KILL : EV_INTERRUPT;
	uint32_t slot;

	if (guest_get_slot(m, &slot))
		_exit(1);
	if (slot != GUEST_NO_SLOT) {
		if (!m->id || s->tasks[slot].call == m->id)
			task_event(s, &s->tasks[slot], ev);
		return;
	}
	for (unsigned i = GUEST_SLOTS; m->id && i < TASKS; i++)
		if (s->tasks[i].call == m->id) {
			task_event(s, &s->tasks[i], ev);
			return;
		}
	porter_cancel(s, m->id);
}

static void on_keeper(struct session *s)
{
	struct ipc_msg m;
	int got = ipc_recv(GUEST_CTL_FD, &m, NULL);

	if (got != 1)
		_exit(got ? 1 : 0);
	switch (m.type) {
	case GUEST_CALL:
		on_call(s, &m);
		break;
	case GUEST_FILE_OP:
		on_file(s, &m);
		break;
	case GUEST_INTERRUPT:
	case GUEST_KILL:
		on_signal(s, &m);
		break;
	default:
		_exit(1);
	}
	ipc_finish(&m);
}

/* --- the loop --------------------------------------------------------------------------------- */

/* The order of handling: what a process said comes before its end, and the keeper last, so that
 * nothing is started in the place of what has an event of its own waiting. */
enum source {
	FROM_PORTER,
	FROM_FAILURE,
	FROM_LINE,
	FROM_EXIT,
	FROM_ROOM,
	FROM_KEEPER,
	SOURCES
};

#define WATCHES (PORTERS + 3 * TASKS + 2)

struct watches {
	struct pollfd p[WATCHES];
	struct {
		enum source source;
		unsigned index;
	} what[WATCHES];
	unsigned n;
	int timeout_ms;
};

static void add(struct watches *w, int fd, enum source source, unsigned index)
{
	if (fd < 0)
		return;
	w->p[w->n] = (struct pollfd){fd, POLLIN, 0};
	w->what[w->n].source = source;
	w->what[w->n++].index = index;
}

static void collect(const struct session *s, struct watches *w)
{
	w->n = 0;
	w->timeout_ms = -1;
	for (unsigned i = 0; i < PORTERS; i++)
		if (s->porters[i].job)
			add(w, s->porters[i].sock, FROM_PORTER, i);
	for (unsigned i = 0; i < TASKS; i++) {
		const struct task *t = &s->tasks[i];

		if (t->state == TASK_FREE)
			continue;
		add(w, t->fail_fd, FROM_FAILURE, i);
		/* until the exec its other end is our own code's */
		if (t->state != TASK_STARTING)
			add(w, t->line, FROM_LINE, i);
		/* a dead leader's would never be quiet again */
		if (!t->ended_us)
			add(w, t->pidfd, FROM_EXIT, i);
		if (t->state == TASK_ENDING)
			w->timeout_ms = 1;
		else if (task_is_untold(t) && w->timeout_ms < 0)
			w->timeout_ms = TASK_TELL_MS;
	}
	add(w, s->room.pidfd, FROM_ROOM, 0);
	add(w, GUEST_CTL_FD, FROM_KEEPER, 0);
}

/* One event. A descriptor that an earlier one of this round has closed is no longer asked. */
static void handle(struct session *s, enum source source, unsigned i, int fd)
{
	struct task *t = i < TASKS ? &s->tasks[i] : NULL;

	switch (source) {
	case FROM_PORTER:
		if (s->porters[i].job && s->porters[i].sock == fd)
			on_porter(s, &s->porters[i]);
		break;
	case FROM_FAILURE:
		if (t && t->state != TASK_FREE && t->fail_fd == fd)
			on_task_failure(s, t);
		break;
	case FROM_LINE:
		if (t && t->state != TASK_FREE && t->line == fd)
			on_task_line(s, t);
		break;
	case FROM_EXIT:
		if (t && t->state != TASK_FREE && t->pidfd == fd)
			on_task_exit(s, t);
		break;
	case FROM_KEEPER:
		on_keeper(s);
		break;
	case FROM_ROOM: /* all that was in it is dead too */
	case SOURCES:
		_exit(1);
	}
}

static void round_of(struct session *s, struct watches *w)
{
	collect(s, w);
	if (poll(w->p, w->n, w->timeout_ms) < 0 && errno != EINTR)
		_exit(1);
	for (unsigned source = 0; source < SOURCES; source++)
		for (unsigned i = 0; i < w->n; i++)
			if (w->what[i].source == source && w->p[i].revents)
				handle(s, w->what[i].source, w->what[i].index,
				       w->p[i].fd);
	for (unsigned i = 0; i < TASKS; i++)
		if (s->tasks[i].state == TASK_ENDING)
			task_end_step(s, &s->tasks[i]);
		else if (task_is_untold(&s->tasks[i]))
			task_tell(&s->tasks[i]);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* From setns on every child of this process is born in the room; it cannot be undone, nor done
 * again for another room: so a guest serves one session. */
static int open_room(struct session *s, int *ret_ws, struct failure *f)
{
	if (room_start(&s->base, ROOM_STANDING, &s->room, f))
		return -1;
	*ret_ws = room_workspace(&s->room);
	s->workspace_fd = fcntl(*ret_ws, F_DUPFD_CLOEXEC, 0);
	failure_set(f, "enter the room", 0);
	if (s->workspace_fd >= 0 && !looks_open(s) && !fstat(*ret_ws, &s->workspace) &&
	    !setns(s->room.pidfd, CLONE_NEWPID))
		return 0;
	f->sys = errno;
	return -1;
}

static void clear(struct session *s)
{
	for (unsigned i = 0; i < TASKS; i++)
		s->tasks[i].pidfd = s->tasks[i].fail_fd = s->tasks[i].line = -1;
	for (unsigned i = 0; i < PORTERS; i++)
		s->porters[i].sock = -1;
}

_Noreturn void session_main(uint64_t id, struct guest_run *r)
{
	static struct session s;
	static struct watches w;
	struct failure f = {.sys = 0};
	struct ipc_msg m;
	AUTO_FD ws = -1;

	s.base = *r;
	clear(&s);
	if (open_room(&s, &ws, &f)) {
		tell_failed(id, &f);
		_exit(1);
	}
	ipc_start(&m, GUEST_OPENED, id);
	ipc_put_fd(&m, ws);
	tell(&m);
	fd_close(&ws);
	porter_spare(&s);
	for (;;)
		round_of(&s, &w);
}
