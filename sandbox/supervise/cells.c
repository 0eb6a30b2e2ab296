/* cells.c: one cell from its order to its end, and the run that has it; see stock.h. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/stock.h"

#include <errno.h>
#include <unistd.h>

#define START_MS 5000
#define POLL_GONE_MS 1
#define LADDER_MS 100
#define GIVE_UP_US 5000000
#define REFILL_LATER_MS 20 /* where the run that took one goes on */

/* --- what there is ---------------------------------------------------------------------------- */

unsigned cells_in(const struct stock *s, enum cell_state state, bool with_run)
{
	unsigned n = 0;

	for (const struct cell *c = s->cells; c; c = c->next)
		n += c->state == state && (c->run != NULL) == with_run;
	return n;
}

static struct cell *find(const struct stock *s, uint64_t id)
{
	struct cell *c = s->cells;

	while (c && c->id != id)
		c = c->next;
	return c;
}

static struct cell *find_free(const struct stock *s, enum cell_state state)
{
	struct cell *c = s->cells;

	while (c && (c->state != state || c->run))
		c = c->next;
	return c;
}

/* The newest comes first. */
static struct cell *find_soonest(const struct stock *s)
{
	struct cell *found = NULL;

	for (struct cell *c = find_free(s, CELL_MAKING); c; c = c->next)
		if (c->state == CELL_MAKING && !c->run)
			found = c;
	return found;
}

/* --- its end ---------------------------------------------------------------------------------- */

static void forget(struct cell *c)
{
	struct stock *s = c->stock;
	struct loop *l = &s->k->loop;

	for (struct cell **at = &s->cells; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	loop_timer_stop(l, &c->timer);
	loop_del(l, &c->line_io);
	loop_del(l, &c->oom_io);
	pipes_close(&c->pipes);
	fd_close(&c->program_pidfd);
	fd_close(&c->workspace_fd);
	mem_free(c);
	stock_settle(s);
}

/* By the kernel's word where there is a cgroup, else by the guest's, or because nothing of its sandbox is left. */
static bool is_dead(const struct cell *c)
{
	/* one that is being made is not in its cgroup yet */
	return launch_cgroup_is_empty(&c->box.cgroup) &&
	       (c->ended || c->stock->gone ||
		(c->state == CELL_TAKEN && c->box.cgroup.ndirs));
}

static void kill_it(struct cell *c)
{
	if (!c->ended)
		launch_cell_kill(&c->stock->sandbox, &c->box);
}

static void try_forget(struct cell *c)
{
	if (is_dead(c) && launch_cell_gone(c->stock->k->host, &c->box))
		forget(c);
	else
		loop_timer_set(&c->stock->k->loop, &c->timer, POLL_GONE_MS);
}

/* Nobody wants it any more. May free it, and its stock. */
static void let_go(struct cell *c)
{
	struct loop *l = &c->stock->k->loop;

	must(!c->run);
	if (c->state == CELL_GOING)
		return;
	c->state = CELL_GOING;
	loop_del(l, &c->line_io);
	loop_del(l, &c->oom_io);
	pipes_close(&c->pipes);
	kill_it(c);
	try_forget(c);
}

/* It came to nothing: who waits for it runs cold. */
static void fail(struct cell *c)
{
	struct stock *s = c->stock;

	if (c->run)
		run_event(c->run, EV_FAILED);
	else
		let_go(c);
	stock_failed(s);
}

static void on_timer(struct loop_timer *t)
{
	struct cell *c = t->arg;

	if (c->state == CELL_GOING) {
		kill_it(c);
		try_forget(c);
	} else if (c->state == CELL_MAKING) {
		log_msg(LOG_WARN, "event=cell_not_made");
		fail(c);
	}
}

/* An event may free its own cell, but no other, nor the stock: its sandbox has not gone yet. */
void cells_end(struct stock *s)
{
	struct cell *c = s->cells;

	while (c) {
		struct cell *next = c->next;

		if (c->run && c->state != CELL_GOING && !c->ended)
			run_event(c->run,
				  c->state == CELL_TAKEN ? EV_GUEST_GONE : EV_FAILED);
		else if (!c->run && c->state != CELL_GOING)
			let_go(c);
		c = next;
	}
}

/* --- its beginning ---------------------------------------------------------------------------- */

static void try_ready(struct cell *c)
{
	if (c->state != CELL_MAKING || !c->made || !c->said_ready)
		return;
	c->state = CELL_READY;
	c->stock->failures = 0;
	loop_timer_stop(&c->stock->k->loop, &c->timer);
	if (c->stock->ahead)
		stock_refill_in(c->stock, 0);
	if (c->run)
		run_event(c->run, EV_STARTED);
}

/* The one byte; or the end of one that died before. Why it did the guest will say, or its own end does: then it was not
 * the cell that failed. */
static void on_line_ready(struct loop_io *io, uint32_t events)
{
	struct cell *c = io->arg;
	const int got = launch_cell_ready(&c->box);

	(void)events;
	if (!got)
		return;
	loop_del(&c->stock->k->loop, io);
	c->said_ready = got > 0;
	try_ready(c);
}

static void on_oom_ready(struct loop_io *io, uint32_t events)
{
	struct cell *c = io->arg;

	(void)events;
	loop_del(&c->stock->k->loop, io);
	if (!c->run)
		return;
	c->run->oom_seen = true;
	run_event(c->run, EV_OOM);
}

struct cell *cell_order(struct stock *s)
{
	struct cell *c = mem_zalloc(sizeof(*c));
	struct err e = {0};

	if (!c)
		return NULL;
	*c = (struct cell){
		.stock = s, .id = s->made + 1, .program_pidfd = -1, .workspace_fd = -1};
	c->timer = (struct loop_timer){.on_due = on_timer, .arg = c};
	if (pipes_open(&c->pipes, 2, false, &e) ||
	    launch_cell_make(
		    s->k->host, &s->sandbox,
		    &(struct launch_cell_order){c->id, c->pipes.to[0], c->pipes.to[1]},
		    &c->box, &e)) {
		log_err("cell", &e);
		pipes_close(&c->pipes);
		mem_free(c);
		return NULL;
	}
	fd_close(&c->pipes.to[0]);
	fd_close(&c->pipes.to[1]);
	s->made++;
	c->next = s->cells;
	s->cells = c;
	c->line_io = (struct loop_io){
		.fd = c->box.line, .on_ready = on_line_ready, .arg = c};
	c->oom_io = (struct loop_io){
		.fd = c->box.cgroup.oom_event, .on_ready = on_oom_ready, .arg = c};
	loop_timer_set(&s->k->loop, &c->timer, START_MS);
	if (!loop_add(&s->k->loop, &c->line_io, EPOLLIN, &e))
		return c;
	let_go(c);
	return NULL;
}

bool cell_drop(struct stock *s)
{
	struct cell *c = find_free(s, CELL_READY);

	if (c)
		let_go(c);
	return c != NULL;
}

/* --- what the guest says ---------------------------------------------------------------------- */

static bool made(struct cell *c, struct ipc_msg *m)
{
	AUTO_FD pidfd = ipc_take_fd(m), workspace = ipc_take_fd(m);

	if (!ipc_end(m) || c->made || c->ended)
		return false;
	c->made = true;
	if (c->state != CELL_MAKING) /* nobody wants it any more */
		return true;
	c->program_pidfd = fd_steal(&pidfd);
	c->workspace_fd = fd_steal(&workspace);
	try_ready(c);
	return true;
}

static bool ended(struct cell *c, struct ipc_msg *m)
{
	const int status = (int)ipc_get_u32(m);
	const uint64_t when_us = ipc_get_u64(m);
	struct run *r = c->run;

	if (!ipc_end(m) || c->ended)
		return false;
	c->ended = true;
	if (!r) {
		if (c->state == CELL_MAKING)
			fail(c);
		else if (c->state != CELL_GOING)
			let_go(c);
		return true;
	}
	if (c->state != CELL_TAKEN) {
		fail(c);
		return true;
	}
	/* once the keeper has begun to kill, a status only tells of that */
	if (r->state == RUN_RUNNING) {
		r->evidence.wait_status = status;
		r->ended_us = run_clamp(when_us, r->started_us, loop_now_us());
		r->evidence.has_status = true;
	}
	run_event(r, EV_ENDED);
	return true;
}

static bool failed(struct cell *c, struct ipc_msg *m)
{
	char stage[80];
	const struct sv said = ipc_get_sv(m, 64);
	const int sys = (int)ipc_get_u32(m);

	if (!ipc_end(m) || c->ended || c->state == CELL_TAKEN)
		return false;
	log_msg(LOG_WARN, "event=cell_failed stage=\"%s\" errno=%d",
		log_esc(said, stage, sizeof(stage)), sys);
	c->ended = true;
	if (c->state != CELL_GOING)
		fail(c);
	return true;
}

bool cell_record(struct stock *s, struct ipc_msg *m)
{
	struct cell *c = find(s, m->id);

	/* its end is told last, and once; until then it is there */
	if (!c)
		return false;
	switch (m->type) {
	case GUEST_CELL_MADE:
		return made(c, m);
	case GUEST_ENDED:
		return ended(c, m);
	case GUEST_FAILED:
		return failed(c, m);
	default:
		return false;
	}
}

/* --- the run that has it ---------------------------------------------------------------------- */

struct cell *cell_take(struct run *r)
{
	struct stock *s = stock_for(r);
	struct cell *c = s ? find_free(s, CELL_READY) : NULL;

	if (s && !c)
		c = s->ahead ? find_soonest(s) : cell_order(s);
	if (!c) {
		if (s)
			stock_taken(s);
		return NULL;
	}
	c->run = r;
	r->cell = c;
	stock_taken(s);
	stock_refill_in(s, REFILL_LATER_MS);
	return c;
}

/* Takes the cell from its run; NULL: it had none. */
static struct cell *part(struct run *r)
{
	struct cell *c = r->cell;

	r->cell = NULL;
	if (c)
		c->run = NULL;
	return c;
}

void cell_leave(struct run *r)
{
	struct cell *c = part(r);

	if (!c)
		return;
	stock_refill_in(c->stock, 0);
	if (c->state != CELL_GOING)
		let_go(c);
}

static void go_cold(struct run *r)
{
	struct cell *c = part(r);

	let_go(c);
	run_launch(r);
}

static void do_start(struct run *r)
{
	struct cell *c = r->cell;
	struct loop *l = &r->k->loop;
	struct err e = {0};

	/* the code goes last: who has it does not go cold, or it would run twice */
	if ((c->oom_io.fd >= 0 && loop_add(l, &c->oom_io, EPOLLIN, &e)) ||
	    launch_cell_run(&c->box, r->code_fd, r->stdin_fd, &e)) {
		log_err("cell_run", &e);
		go_cold(r);
		return;
	}
	c->state = CELL_TAKEN;
	r->started_us = loop_now_us();
	r->result.warm = true;
	r->program_pidfd = fd_steal(&c->program_pidfd);
	r->workspace_fd = fd_steal(&c->workspace_fd);
	r->state = RUN_RUNNING;
	loop_timer_set(l, &r->timer, pol_plan_limits(r->plan)->wall_ms);
	if (run_tell_start(r, &c->pipes, &r->failure)) {
		kill_it(c);
		return;
	}
	fd_close(&r->code_fd);
	fd_close(&r->stdin_fd);
}

/* It is of use to another. */
static void do_cancel(struct run *r)
{
	struct cell *c = part(r);

	if (c->state == CELL_READY)
		stock_refill_in(c->stock, 0);
	/* it may be the last that a retired one has waited for */
	stock_settle(c->stock);
	run_close_books(r);
}

static void look_whether_dead(struct run *r)
{
	struct launch_usage use;

	if (!is_dead(r->cell)) {
		if (loop_now_us() - r->ended_us > GIVE_UP_US)
			stock_break(r->cell->stock, "a cell will not die");
		loop_timer_set(&r->k->loop, &r->timer, POLL_GONE_MS);
		return;
	}
	run_ask_kernel(r);
	launch_cell_usage(&r->cell->box, &use);
	run_take_usage(r, &use);
	run_close_books(r);
}

static void do_ended(struct run *r)
{
	if (!r->ended_us)
		r->ended_us = loop_now_us();
	r->state = RUN_ENDING;
	run_leave_workspace(r);
	look_whether_dead(r);
}

static void do_kill(struct run *r)
{
	r->ended_us = loop_now_us();
	r->state = RUN_ENDING;
	run_leave_workspace(r);
	kill_it(r->cell);
	loop_timer_set(&r->k->loop, &r->timer, POLL_GONE_MS);
}

static void do_deadline(struct run *r)
{
	r->evidence.reason = VERDICT_DEADLINE;
	do_kill(r);
}

static void do_ladder(struct run *r)
{
	if (loop_now_us() - r->ended_us > LADDER_MS * 1000u)
		kill_it(r->cell);
	look_whether_dead(r);
}

static void ignore(struct run *r)
{
	(void)r;
}

/* NULL: cannot happen, or a lie, which is passed over. */
static run_action *const actions[RUN_STATE_COUNT][EV_COUNT] = {
	[RUN_STARTING] = {[EV_STARTED] = do_start,
			  [EV_FAILED] = go_cold,
			  [EV_GUEST_GONE] = go_cold,
			  [EV_DEADLINE] = go_cold,
			  [EV_STOP] = do_cancel},
	[RUN_RUNNING] = {[EV_ENDED] = do_ended,
			 [EV_GUEST_GONE] = do_kill,
			 [EV_DEADLINE] = do_deadline,
			 [EV_STOP] = do_kill,
			 [EV_OOM] = do_kill},
	[RUN_ENDING] = {[EV_ENDED] = look_whether_dead,
			[EV_GUEST_GONE] = ignore,
			[EV_DEADLINE] = do_ladder,
			[EV_STOP] = ignore,
			[EV_OOM] = ignore},
	/* its cgroup was empty before the guest said that it ended, or before the kernel told of its memory */
	[RUN_CLOSING] = {[EV_RECORDED] = run_answer,
			 [EV_NOT_RECORDED] = run_outcome_unrecorded,
			 [EV_ENDED] = ignore,
			 [EV_GUEST_GONE] = ignore,
			 [EV_STOP] = ignore,
			 [EV_OOM] = ignore},
};

run_action *cell_action(enum run_state s, enum run_event ev)
{
	return actions[s][ev];
}
