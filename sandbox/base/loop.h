/* loop.h: the one event loop of a process: descriptors and timers, no threads.
 *
 * The kernel counts the watches of epoll by user (fs.epoll.max_user_watches): programs that run under this
 * process' uid can use them up. Then what is added is polled instead, so that they cannot stop a server.
 *
 * The caller owns every loop_io and loop_timer and must remove it before its memory goes. A
 * handler may add, change or remove any of them, itself included; a removed one is never called
 * again, also not for an event already fetched. Handlers never block and do bounded work: what is long is cut into
 * slices, each from a timer that is set again. However many of these there are: when they have had a
 * millisecond, descriptors have their turn. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "sandbox/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop_io {
	int fd;			/* borrowed */
	void (*on_ready)(struct loop_io *io, uint32_t events); /* EPOLLIN, EPOLLOUT, ... */
	void *arg;
	bool added;		/* the loop's own, as all below */
	bool spilled;
	uint32_t events;
	struct loop_io *next;
};

struct loop_timer {
	void (*on_due)(struct loop_timer *t);
	void *arg;
	uint64_t due_us;	/* the loop's own, as all below */
	uint64_t order;		/* of those that are due at once: as they were set */
	struct loop_timer *prev, *next, *child;
	bool armed;
};

#define LOOP_BATCH 64
struct loop {
	int epfd;
	bool stopped;
	struct loop_io *spilled;	/* polled, for want of room in epoll */
	unsigned nspilled;
	struct loop_timer *timers;	/* the soonest, above all others */
	uint64_t order;
	struct epoll_event batch[LOOP_BATCH];
	int batch_n, batch_at;
};

int loop_init(struct loop *l, struct err *e);
void loop_finish(struct loop *l);
int loop_add(struct loop *l, struct loop_io *io, uint32_t events, struct err *e);
int loop_mod(struct loop *l, struct loop_io *io, uint32_t events);	/* 0 or -1 */
void loop_del(struct loop *l, struct loop_io *io);	/* before closing the fd; idempotent */
/* (Re)arms t to fire once, delay_ms from now. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
void loop_timer_stop(struct loop *l, struct loop_timer *t);	/* idempotent */
/* Runs until loop_stop(). */
int loop_run(struct loop *l, struct err *e);
void loop_stop(struct loop *l);
uint64_t loop_now_us(void);	/* CLOCK_MONOTONIC */
uint64_t loop_wall_us(void);	/* CLOCK_REALTIME since 1970 */

#endif
