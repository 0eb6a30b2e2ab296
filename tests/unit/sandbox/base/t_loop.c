/* t_loop.c: descriptors, timers, and removing either from inside a handler. */
#include "sandbox/base/loop.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool full; /* another process of this user has all watches */

/* In the place of the C library's. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	if (full && op == EPOLL_CTL_ADD) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
}

static struct loop loop;
static char order[64];
static size_t order_n;

static void note(char c)
{
	if (order_n < sizeof(order) - 1)
		order[order_n++] = c;
	order[order_n] = '\0';
}

static void begin(void)
{
	must(!loop_init(&loop, NULL));
	memset(order, 0, sizeof(order));
	order_n = 0;
}

static void on_due_note(struct loop_timer *t)
{
	const char *name = t->arg;

	note(*name);
}

static void on_due_stop(struct loop_timer *t)
{
	on_due_note(t);
	loop_stop(&loop);
}

static void t_timer_order(void)
{
	char a = 'a', b = 'b', c = 'c', d = 'd', z = 'z';
	struct loop_timer ta = {.on_due = on_due_note, .arg = &a};
	struct loop_timer tb = {.on_due = on_due_note, .arg = &b};
	struct loop_timer tc = {.on_due = on_due_note, .arg = &c};
	struct loop_timer td = {.on_due = on_due_note, .arg = &d};
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};
	uint64_t start;

	begin();
	start = loop_now_us();
	loop_timer_set(&loop, &tz, 30);
	loop_timer_set(&loop, &tc, 20);
	loop_timer_set(&loop, &ta, 0);
	loop_timer_set(&loop, &tb, 10);
	loop_timer_set(&loop, &td, 5);
	loop_timer_stop(&loop, &td);
	loop_timer_stop(&loop, &td);
	ok(!loop_run(&loop, NULL) && !strcmp(order, "abcz"),
	   "timers fire soonest first, stopped ones never: %s", order);
	ok(loop_now_us() - start >= 30000, "none fires early");
	ok(!ta.armed && !tz.armed && !loop.timers, "a fired timer is no longer armed");
	loop_finish(&loop);
}

static void t_timer_again(void)
{
	char a = 'a', z = 'z';
	struct loop_timer ta = {.on_due = on_due_note, .arg = &a};
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};

	begin();
	loop_timer_set(&loop, &ta, 1);
	loop_timer_set(&loop, &ta, UINT64_MAX);
	loop_timer_set(&loop, &tz, 5);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "z") && ta.armed,
	   "setting a timer again replaces it; one set for ever does not wrap round");
	loop_timer_stop(&loop, &ta);
	ok(!loop.timers, "and can be stopped");
	loop_finish(&loop);
}

#define MANY 3000
static struct loop_timer many[MANY];
static const struct loop_timer *fired_last;
static unsigned fired, out_of_order;

static void on_due_in_order(struct loop_timer *t)
{
	const struct loop_timer *p = fired_last;

	if (p &&
	    (p->due_us > t->due_us || (p->due_us == t->due_us && p->order > t->order)))
		out_of_order++;
	fired_last = t;
	if (++fired == MANY / 2)
		loop_stop(&loop);
}

static void t_many_timers(void)
{
	uint32_t seed = 1, left = MANY;

	begin();
	for (unsigned i = 0; i < MANY; i++)
		many[i] = (struct loop_timer){.on_due = on_due_in_order};
	for (unsigned i = 0; i < 10 * MANY; i++) {
		seed = seed * 1664525 + 1013904223;
		if (seed >> 31)
			loop_timer_stop(&loop, &many[(seed >> 8) % MANY]);
		else
			loop_timer_set(&loop, &many[(seed >> 8) % MANY],
				       (seed >> 4) % 16);
	}
	for (unsigned i = 0; i < MANY; i++)
		if (!many[i].armed)
			loop_timer_set(&loop, &many[i], i % 16);
	for (unsigned i = 0; left > MANY / 2; i++, left--)
		loop_timer_stop(&loop, &many[i]);
	loop_run(&loop, NULL);
	ok(fired == MANY / 2 && !out_of_order && !loop.timers,
	   "of thousands, set and stopped at random, each that is left fires once, in "
	   "order: %u, %u out of order",
	   fired, out_of_order);
	loop_finish(&loop);
}

static int rearms;
static void on_due_rearm(struct loop_timer *t)
{
	if (++rearms == 1000)
		loop_stop(&loop);
	loop_timer_set(&loop, t, 0);
}

static struct loop_timer victim;
static void on_due_stop_other(struct loop_timer *t)
{
	(void)t;
	note('k');
	loop_timer_stop(&loop, &victim);
}

static void t_timer_from_handler(void)
{
	char v = 'v', z = 'z';
	struct loop_timer again = {.on_due = on_due_rearm};
	struct loop_timer killer = {.on_due = on_due_stop_other};
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};

	begin();
	loop_timer_set(&loop, &again, 0);
	loop_run(&loop, NULL);
	ok(rearms == 1000, "a timer may set itself again");
	loop_timer_stop(&loop, &again);
	loop_finish(&loop);
	begin();
	victim = (struct loop_timer){.on_due = on_due_note, .arg = &v};
	loop_timer_set(&loop, &killer, 0);
	loop_timer_set(&loop, &victim, 0);
	loop_timer_set(&loop, &tz, 5);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "kz"), "and stop another that is due as well");
	loop_finish(&loop);
}

static void on_ready_read(struct loop_io *io, uint32_t events)
{
	char c;

	if (events & EPOLLIN && read(io->fd, &c, 1) == 1)
		note(c);
	else
		loop_stop(&loop);
}

static void t_io(void)
{
	struct loop_io io = {.on_ready = on_ready_read};
	int p[2];

	begin();
	must(!fd_pipe(p, NULL));
	io.fd = p[0];
	ok(!loop_add(&loop, &io, EPOLLIN, NULL) && io.added, "a descriptor is added");
	fd_write_all(p[1], "xyz", 3);
	fd_close(&p[1]);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "xyz"),
	   "it is called until it is empty, then for the hang-up");
	loop_del(&loop, &io);
	loop_del(&loop, &io);
	ok(!io.added, "it is removed, once");
	fd_close(&p[0]);
	loop_finish(&loop);
}

static struct loop_io ios[2];
static void on_ready_remove_both(struct loop_io *io, uint32_t events)
{
	(void)io, (void)events;
	note('r');
	loop_del(&loop, &ios[0]);
	loop_del(&loop, &ios[1]);
}

/* Both are ready in one batch; whichever comes first removes the other. */
static void t_removed_in_batch(void)
{
	char z = 'z';
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};
	int p[2][2];

	begin();
	for (int i = 0; i < 2; i++) {
		must(!fd_pipe(p[i], NULL));
		fd_write_all(p[i][1], "x", 1);
		ios[i] = (struct loop_io){.fd = p[i][0],
					  .on_ready = on_ready_remove_both};
		must(!loop_add(&loop, &ios[i], EPOLLIN, NULL));
	}
	loop_timer_set(&loop, &tz, 1);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "rz"),
	   "a removed one is not called for an event already fetched");
	for (int i = 0; i < 2; i++)
		fd_close(&p[i][0]), fd_close(&p[i][1]);
	loop_finish(&loop);
}

static void t_mod(void)
{
	char z = 'z';
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};
	struct loop_io io = {.on_ready = on_ready_read};
	int p[2];

	begin();
	must(!fd_pipe(p, NULL));
	io.fd = p[0];
	must(!loop_add(&loop, &io, 0, NULL));
	fd_write_all(p[1], "x", 1);
	loop_timer_set(&loop, &tz, 2);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "z"), "without interest no call");
	loop.stopped = false;
	ok(!loop_mod(&loop, &io, EPOLLIN), "interest can be changed");
	loop_timer_set(&loop, &tz, 1000);
	fd_close(&p[1]);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "zx"), "then the call comes");
	loop_timer_stop(&loop, &tz);
	loop_del(&loop, &io);
	fd_close(&p[0]);
	loop_finish(&loop);
}

static void t_errors(void)
{
	struct err e = {.code = ERR_NONE};
	struct loop_io io = {.fd = -1, .on_ready = on_ready_read};

	begin();
	ok(loop_add(&loop, &io, EPOLLIN, &e) == -1 && e.sys == EBADF && !io.added,
	   "a bad descriptor is not added");
	loop_finish(&loop);
	ok(loop.epfd == -1, "a finished loop holds no descriptor");
	loop_finish(&loop);
	loop_finish(NULL);
	ok(loop_wall_us() > 1600000000000000, "the wall clock counts from 1970");
}

#define CROWD (LOOP_BATCH + 8) /* more than are handled in one turn */

static unsigned seen[CROWD], calls;
static struct loop_io crowd[CROWD];

static void on_ready_count(struct loop_io *io, uint32_t events)
{
	if (events & EPOLLIN)
		seen[io - crowd]++;
	if (++calls == 4 * CROWD)
		loop_stop(&loop);
}

static void t_no_room_in_epoll(void)
{
	unsigned missed = 0;
	char z = 'z';
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};
	struct loop_io early = {.on_ready = on_ready_read}, late = early;
	int p[2], q[2];

	begin();
	must(!fd_pipe(p, NULL) && !fd_pipe(q, NULL));
	early.fd = late.fd = p[0];
	must(!loop_add(&loop, &early, 0, NULL));
	full = true;
	ok(!loop_mod(&loop, &early, EPOLLIN), "what has room keeps it");
	loop_del(&loop, &early);
	ok(!loop_add(&loop, &late, 0, NULL) && late.added,
	   "what has none is added all the same");
	fd_write_all(p[1], "x", 1);
	loop_timer_set(&loop, &tz, 2);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "z"), "timers come, and without interest no call");
	loop.stopped = false;
	ok(!loop_mod(&loop, &late, EPOLLIN), "interest can be changed");
	fd_close(&p[1]);
	loop_timer_set(&loop, &tz, 1000);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "zx"), "then the call comes");
	loop_del(&loop, &late);
	loop_del(&loop, &late);
	ok(!loop.spilled && !loop.nspilled && !late.added, "it can be removed");

	fd_write_all(q[1], "x", 1);
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = (struct loop_io){.fd = q[0], .on_ready = on_ready_count};
		must(!loop_add(&loop, &crowd[i], EPOLLIN, NULL));
	}
	loop.stopped = false;
	loop_run(&loop, NULL);
	for (unsigned i = 0; i < CROWD; i++) {
		missed += !seen[i];
		loop_del(&loop, &crowd[i]);
	}
	ok(!missed, "many that are always ready take turns");
	ok(!loop.spilled && !loop.nspilled, "none is left");
	full = false;
	loop_timer_stop(&loop, &tz);
	fd_close(&p[0]), fd_close(&q[0]), fd_close(&q[1]);
	loop_finish(&loop);
}

/* A handler removes the next of its turn. */
static void on_ready_remove(struct loop_io *io, uint32_t events)
{
	struct loop_io *other = io == &crowd[0] ? &crowd[1] : &crowd[0];

	(void)events;
	note('r');
	loop_del(&loop, other);
	loop_del(&loop, io);
	loop_stop(&loop);
}

static void t_removed_while_polled(void)
{
	char z = 'z';
	struct loop_timer tz = {.on_due = on_due_stop, .arg = &z};
	int p[2];

	begin();
	full = true;
	must(!fd_pipe(p, NULL));
	fd_write_all(p[1], "x", 1);
	for (unsigned i = 0; i < 2; i++) {
		crowd[i] = (struct loop_io){.fd = p[0], .on_ready = on_ready_remove};
		must(!loop_add(&loop, &crowd[i], EPOLLIN, NULL));
	}
	loop_run(&loop, NULL);
	loop.stopped = false;
	loop_timer_set(&loop, &tz, 2);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "rz"), "one that is removed is not called any more");
	full = false;
	fd_close(&p[0]), fd_close(&p[1]);
	loop_finish(&loop);
}

static int news[2];

/* Works for longer than timers have in one turn; what it works on may be due again and again. */
static void on_due_work(struct loop_timer *t)
{
	const uint64_t end = loop_now_us() + 2000;

	(void)t;
	note('t');
	fd_write_all(news[1], "x", 1);
	while (loop_now_us() < end)
		;
}

static void on_ready_news(struct loop_io *io, uint32_t events)
{
	char some[8];

	(void)events;
	note('r');
	must(read(io->fd, some, sizeof(some)) > 0);
}

static void t_much_due_at_once(void)
{
	struct loop_timer work[4], tz;
	char z = 'z';
	struct loop_io io;

	begin();
	must(!fd_pipe(news, NULL));
	io = (struct loop_io){.fd = news[0], .on_ready = on_ready_news};
	must(!loop_add(&loop, &io, EPOLLIN, NULL));
	for (unsigned i = 0; i < 4; i++) {
		work[i] = (struct loop_timer){.on_due = on_due_work};
		loop_timer_set(&loop, &work[i], 0);
	}
	tz = (struct loop_timer){.on_due = on_due_stop, .arg = &z};
	loop_timer_set(&loop, &tz, 0);
	loop_run(&loop, NULL);
	ok(!strcmp(order, "trtrtrtrz"),
	   "between slow timers descriptors have their turn");
	loop_del(&loop, &io);
	fd_close(&news[0]), fd_close(&news[1]);
	loop_finish(&loop);
}

int main(void)
{
	t_much_due_at_once();
	t_timer_order();
	t_many_timers();
	t_timer_again();
	t_timer_from_handler();
	t_io();
	t_removed_in_batch();
	t_mod();
	t_no_room_in_epoll();
	t_removed_while_polled();
	t_errors();
	return tap_done();
}
