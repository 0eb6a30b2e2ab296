/* front.h: the front's client, and in the keeper's place a socket held by the test. */
#ifndef FRONT_H
#define FRONT_H

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/wire.h"
#include "tests/lib/tap.h"

static struct loop loop;
static struct sup_client *client;
static int keeper; /* the test's end */
static unsigned lost; /* how often the client said that it has no keeper */

static inline void on_lost(void *arg)
{
	(void)arg;
	lost++;
}

static inline void on_idle(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static inline void turn(void)
{
	for (int i = 0; i < 8; i++) {
		struct loop_timer t = {.on_due = on_idle, .arg = &loop};

		loop.stopped = false;
		loop_timer_set(&loop, &t, 0);
		must(!loop_run(&loop, NULL));
	}
}

static inline void front_up(void)
{
	int p[2];

	lost = 0;
	must(!fd_socketpair(p, NULL) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	must(!loop_init(&loop, NULL));
	keeper = p[1];
	client = sup_client_new(&loop, p[0], on_lost, NULL, NULL);
	must(client);
}

static inline void front_down(void)
{
	sup_client_free(client);
	loop_finish(&loop);
	fd_close(&keeper);
}

#endif
