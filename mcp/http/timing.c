/* timing.c: deadlines of thousands of connections for one loop timer, and the `later` list.
 *
 * Theory of operation: a wheel of WHEEL_SLOTS slots, one of which is due every tick. A connection
 * sits in the slot of its deadline or, where that lies beyond the wheel's turn, in the farthest.
 * A deadline that moves away, as it does with every request, is not moved in the wheel: the slot
 * comes up, the deadline is not reached yet, and the connection is put back. So a deadline fires up
 * to one tick late, and setting one costs nothing. The tick is a quarter of the shortest limit, at
 * most a second; without connections nothing ticks. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

enum { TICK_MIN_MS = 5, TICK_MAX_MS = 1000 };

uint64_t now_ms(void)
{
	return loop_now_us() / 1000;
}

static struct conn **slot_of(struct http_server *s, uint64_t tick)
{
	return &s->wheel[tick % WHEEL_SLOTS];
}

static void unlink_wheel(struct conn *c)
{
	if (!c->wheel_tick)
		return;
	if (c->wheel_prev)
		c->wheel_prev->wheel_next = c->wheel_next;
	else
		*slot_of(c->s, c->wheel_tick) = c->wheel_next;
	if (c->wheel_next)
		c->wheel_next->wheel_prev = c->wheel_prev;
	c->wheel_prev = c->wheel_next = NULL;
	c->wheel_tick = 0;
}

static uint64_t deadline(const struct conn *c)
{
	if (!c->write_due || (c->read_due && c->read_due < c->write_due))
		return c->read_due;
	return c->write_due;
}

void timing_schedule(struct conn *c)
{
	struct http_server *s = c->s;
	uint64_t due = deadline(c), tick;
	struct conn **slot;

	if (!due)
		return;
	if (!s->tick_timer.armed) {
		s->tick = now_ms() / s->tick_ms;
		loop_timer_set(s->loop, &s->tick_timer, s->tick_ms);
	}
	tick = due / s->tick_ms + 1;
	if (tick <= s->tick)
		tick = s->tick + 1;
	if (tick >= s->tick + WHEEL_SLOTS)
		tick = s->tick + WHEEL_SLOTS - 1;
	if (c->wheel_tick && c->wheel_tick <= tick)
		return;
	unlink_wheel(c);
	slot = slot_of(s, tick);
	c->wheel_tick = tick;
	c->wheel_next = *slot;
	if (*slot)
		(*slot)->wheel_prev = c;
	*slot = c;
}

/* Nothing is ever put into the slot that is being emptied: see the clamps above. */
static void empty_slot(struct http_server *s, uint64_t now)
{
	struct conn **slot = slot_of(s, s->tick);

	while (*slot) {
		struct conn *c = *slot;
		uint64_t due = deadline(c);

		unlink_wheel(c);
		if (!due || due > now) {
			timing_schedule(c);
			continue;
		}
		conn_enter(c);
		conn_due(c, now);
		conn_leave(c);
	}
}

static void on_tick(struct loop_timer *t)
{
	struct http_server *s = t->arg;
	uint64_t now = now_ms(), to = now / s->tick_ms;

	/* armed first: what is scheduled meanwhile must not reset the tick */
	if (s->stats.connections)
		loop_timer_set(s->loop, t, s->tick_ms);
	if (to - s->tick > WHEEL_SLOTS)
		s->tick = to - WHEEL_SLOTS;
	while (s->tick < to) {
		s->tick++;
		empty_slot(s, now);
	}
}

void conn_later(struct conn *c)
{
	struct http_server *s = c->s;

	if (c->is_later)
		return;
	c->is_later = true;
	c->later_prev = s->later_last;
	c->later_next = NULL;
	if (s->later_last)
		s->later_last->later_next = c;
	else
		s->later_first = c;
	s->later_last = c;
	s->later_n++;
	if (!s->later_timer.armed)
		loop_timer_set(s->loop, &s->later_timer, 0);
}

void timing_forget(struct conn *c)
{
	struct http_server *s = c->s;

	unlink_wheel(c);
	if (!c->is_later)
		return;
	if (c->later_prev)
		c->later_prev->later_next = c->later_next;
	else
		s->later_first = c->later_next;
	if (c->later_next)
		c->later_next->later_prev = c->later_prev;
	else
		s->later_last = c->later_prev;
	c->is_later = false;
	s->later_n--;
}

static void on_later(struct loop_timer *t)
{
	struct http_server *s = t->arg;

	/* what is added meanwhile waits for the next turn, after the sockets */
	for (uint32_t n = s->later_n; n && s->later_first; n--) {
		struct conn *c = s->later_first;

		conn_enter(c);
		timing_forget(c);
		conn_resume(c);
		conn_leave(c);
	}
	if (s->later_first)
		loop_timer_set(s->loop, t, 0);
}

void timing_init(struct http_server *s)
{
	const struct http_limits *l = &s->limits;
	uint32_t least = l->header_ms;

	least = l->body_ms < least ? l->body_ms : least;
	least = l->body_total_ms < least ? l->body_total_ms : least;
	least = l->pieces_total_ms < least ? l->pieces_total_ms : least;
	least = l->idle_ms < least ? l->idle_ms : least;
	least = l->write_ms < least ? l->write_ms : least;
	s->tick_ms = least / 4;
	if (s->tick_ms < TICK_MIN_MS)
		s->tick_ms = TICK_MIN_MS;
	if (s->tick_ms > TICK_MAX_MS)
		s->tick_ms = TICK_MAX_MS;
	s->tick_timer = (struct loop_timer){.on_due = on_tick, .arg = s};
	s->later_timer = (struct loop_timer){.on_due = on_later, .arg = s};
}

void timing_stop(struct http_server *s)
{
	loop_timer_stop(s->loop, &s->tick_timer);
	loop_timer_stop(s->loop, &s->later_timer);
	loop_timer_stop(s->loop, &s->accept_timer);
	loop_timer_stop(s->loop, &s->drain_timer);
}
