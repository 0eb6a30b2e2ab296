/* loop.c: epoll, poll for what it has no room for, and a heap of timers.
 *
 * There may be a hundred thousand timers, most of them stopped before they are due. In a pairing heap (Fredman,
 * Sedgewick, Sleator, Tarjan: Algorithmica 1, 1986) setting one costs the same however many there are. A timer
 * is no later than its children; `prev` is the sibling before it, or of the first the parent. */
#include "sandbox/base/loop.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#define SPILLED_BATCH (LOOP_BATCH / 2)
#define TIMERS_US 1000 /* in one turn */
_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
		       EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP,
	       "events are the same bits for both");

int loop_init(struct loop *l, struct err *e)
{
	*l = (struct loop){.epfd = epoll_create1(EPOLL_CLOEXEC)};
	return l->epfd < 0 ? err_sys(e, "epoll_create1") : 0;
}

void loop_finish(struct loop *l)
{
	if (l)
		fd_close(&l->epfd);
}

static void append(struct loop *l, struct loop_io *io)
{
	struct loop_io **at = &l->spilled;

	while (*at)
		at = &(*at)->next;
	*at = io;
	io->next = NULL;
	l->nspilled++;
}

static void unlink_spilled(struct loop *l, const struct loop_io *io)
{
	for (struct loop_io **at = &l->spilled; *at; at = &(*at)->next)
		if (*at == io) {
			*at = io->next;
			l->nspilled--;
			return;
		}
}

int loop_add(struct loop *l, struct loop_io *io, uint32_t events, struct err *e)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	must(!io->added);
	io->spilled = false;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, io->fd, &ev)) {
		if (errno != ENOSPC)
			return err_sys(e, "epoll add");
		io->spilled = true;
		io->events = events;
		append(l, io);
	}
	io->added = true;
	return 0;
}

int loop_mod(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	if (io->added && io->spilled) {
		io->events = events;
		return 0;
	}
	return epoll_ctl(l->epfd, EPOLL_CTL_MOD, io->fd, &ev);
}

void loop_del(struct loop *l, struct loop_io *io)
{
	if (!io->added)
		return;
	if (io->spilled)
		unlink_spilled(l, io);
	else
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	io->added = false;
	for (int i = l->batch_at; i < l->batch_n; i++)
		if (l->batch[i].data.ptr == io)
			l->batch[i].data.ptr = NULL;
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t loop_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t loop_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

/* --- timers ------------------------------------------------------------------------------------- */

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

/* Of two heaps, either may be NULL. */
static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
	struct loop_timer *first, *child;

	if (!a || !b)
		return a ? a : b;
	first = is_before(a, b) ? a : b;
	child = first == a ? b : a;
	child->prev = first;
	child->next = first->child;
	if (child->next)
		child->next->prev = child;
	first->child = child;
	return first;
}

/* Of siblings, by pairs from the first to the last, and these together from the last to the first. */
static struct loop_timer *meld_all(struct loop_timer *t)
{
	struct loop_timer *pairs = NULL, *all = NULL;

	while (t) {
		struct loop_timer *a = t, *b = a->next;

		t = b ? b->next : NULL;
		a->prev = a->next = NULL;
		if (b)
			b->prev = b->next = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct loop_timer *next = pairs->next;

		pairs->next = NULL;
		all = meld(all, pairs);
		pairs = next;
	}
	return all;
}

static void cut_out(struct loop_timer *t)
{
	if (t->prev->child == t)
		t->prev->child = t->next;
	else
		t->prev->next = t->next;
	if (t->next)
		t->next->prev = t->prev;
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *children;

	if (!t->armed)
		return;
	children = meld_all(t->child);
	if (t == l->timers) {
		l->timers = children;
	} else {
		cut_out(t);
		l->timers = meld(l->timers, children);
	}
	t->prev = t->next = t->child = NULL;
	t->armed = false;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	loop_timer_stop(l, t);
	if (__builtin_mul_overflow(delay_ms, (uint64_t)1000, &t->due_us) ||
	    __builtin_add_overflow(t->due_us, loop_now_us(), &t->due_us))
		t->due_us = UINT64_MAX;
	t->order = l->order++;
	t->armed = true;
	l->timers = meld(l->timers, t);
}

static int wait_ms(const struct loop *l)
{
	uint64_t now = loop_now_us(), ms;

	if (!l->timers)
		return -1;
	if (l->timers->due_us <= now)
		return 0;
	ms = (l->timers->due_us - now + 999) / 1000;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Those that are due may be many, and be due again at once: after TIMERS_US what is ready comes before the rest. */
static void fire_timers(struct loop *l)
{
	const uint64_t now = loop_now_us();

	while (!l->stopped && l->timers && l->timers->due_us <= now) {
		struct loop_timer *t = l->timers;

		loop_timer_stop(l, t);
		t->on_due(t);
		if (loop_now_us() - now >= TIMERS_US)
			return;
	}
}

/* Those that are ready go to the end of the list, so that each has its turn. */
static int take_spilled(struct loop *l, const struct pollfd *p, struct epoll_event *dst)
{
	struct loop_io *io = l->spilled, *next;
	int n = 0;

	for (unsigned i = 0, all = l->nspilled; io && i < all && n < SPILLED_BATCH;
	     i++, io = next) {
		next = io->next;
		if (!p[i].revents)
			continue;
		dst[n++] = (struct epoll_event){
			.events = (uint32_t)(unsigned short)p[i].revents,
			.data.ptr = io};
		unlink_spilled(l, io);
		append(l, io);
	}
	return n;
}

/* As epoll_wait, with those that are polled. Without memory these wait for a turn that has some. */
static int wait_with_spilled(struct loop *l)
{
	struct pollfd *p = mem_zalloc((l->nspilled + 1) * sizeof(*p));
	unsigned n = 0;
	int got;

	if (!p)
		return epoll_wait(l->epfd, l->batch, LOOP_BATCH, 1);
	for (const struct loop_io *io = l->spilled; io; io = io->next)
		p[n++] = (struct pollfd){.fd = io->fd, .events = (short)io->events};
	p[n] = (struct pollfd){.fd = l->epfd, .events = POLLIN};
	got = poll(p, n + 1, wait_ms(l));
	if (got > 0) {
		got = epoll_wait(l->epfd, l->batch, LOOP_BATCH - SPILLED_BATCH, 0);
		got = got < 0 ? 0 : got;
		got += take_spilled(l, p, l->batch + got);
	}
	mem_free(p);
	return got;
}

int loop_run(struct loop *l, struct err *e)
{
	while (!l->stopped) {
		int n = l->spilled
				? wait_with_spilled(l)
				: epoll_wait(l->epfd, l->batch, LOOP_BATCH, wait_ms(l));

		if (n < 0 && errno != EINTR)
			return err_sys(e, "wait for events");
		l->batch_n = n < 0 ? 0 : n;
		for (l->batch_at = 0; l->batch_at < l->batch_n && !l->stopped;) {
			struct epoll_event ev = l->batch[l->batch_at++];
			struct loop_io *io = ev.data.ptr;

			if (io)
				io->on_ready(io, ev.events);
		}
		fire_timers(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}
