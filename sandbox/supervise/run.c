/* run.c: one run's life as action[state][event]; see keeper.h. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/supervise/stock.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_MS 10000 /* for bwrap and the guest to come up; not the program's time */
#define LADDER_MS 100 /* between the steps of the kill ladder */
#define POLL_GONE_MS 1
#define GIVE_UP_US 5000000 /* then the guest's own pidfd is no longer believed */

/* --- answering -------------------------------------------------------------------------------- */

static void run_free(struct run *r)
{
	struct keeper *k = r->k;

	for (struct run **at = &k->runs; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	share_leave(r);
	loop_timer_stop(&k->loop, &r->timer);
	fd_close(&r->code_fd);
	fd_close(&r->input_fd);
	fd_close(&r->stdin_fd);
	fd_close(&r->workspace_fd);
	fd_close(&r->program_pidfd);
	fd_close(&r->stdin_to);
	if (r->is_call)
		call_leave(r);
	cell_leave(r);
	mem_free(r->plan);
	mem_free(r);
	keeper_pump(k);
}

void run_tell_refused(struct keeper *k, uint64_t id, const struct err *e)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_REFUSED, id);
	wire_put_err(&m, e);
	keeper_tell(k, &m);
}

void run_refuse(struct run *r, const struct err *e)
{
	run_tell_refused(r->k, r->id, e);
	run_free(r);
}

void run_tell_ended(struct run *r)
{
	struct ipc_msg m;

	if (r->failure.code || r->ended_told)
		return;
	r->ended_told = true;
	if (r->is_call && r->launched_us)
		call_tell_start(r);
	ipc_start(&m, SUP_ENDED, r->id);
	wire_put_result(&m, &r->result);
	keeper_tell(r->k, &m);
}

void run_answer(struct run *r)
{
	struct ipc_msg m;

	if (r->failure.code) {
		run_refuse(r, &r->failure);
		return;
	}
	run_tell_ended(r);
	ipc_start(&m, SUP_RECORDED, r->id);
	keeper_tell(r->k, &m);
	run_free(r);
}

/* --- QUEUED -> RECORDING ---------------------------------------------------------------------- */

void run_record(struct run *r)
{
	r->result.trace.slot_us = loop_now_us();
	share_take_slot(r);
	run_write_intent(r);
}

void run_refuse_unrecorded(struct run *r)
{
	struct err e = {0};

	err_set(&e, ERR_UNAVAILABLE,
		"the audit record could not be written, so nothing was run");
	err_fix(&e, "look at the server's log; is the disk of the state folder full?");
	run_refuse(r, &e);
}

/* --- RECORDING -> STARTING -------------------------------------------------------------------- */

static void on_ctl_ready(struct loop_io *io, uint32_t events);
static void on_child_ready(struct loop_io *io, uint32_t events);
static void on_oom_ready(struct loop_io *io, uint32_t events);
static void do_end(struct run *r);
static bool try_gone(struct run *r);

int run_tell_start(struct run *r, struct pipes *p, struct err *e)
{
	struct wire_start start = {.output_max =
					   pol_plan_limits(r->plan)->output_bytes};
	struct ipc_msg m;
	int bad;

	memcpy(start.run_id, r->run_id, sizeof(start.run_id));
	memcpy(start.fds, p->from, sizeof(start.fds));
	start.stdin_fd = p->in_to;
	ipc_start(&m, SUP_ACCEPTED, r->id);
	wire_put_start(&m, &start);
	bad = keeper_tell(r->k, &m);
	if (bad)
		err_set(e, ERR_BUSY, "the output pipes could not be handed over");
	pipes_close_from(p);
	return bad ? -1 : 0;
}

static int watch(struct run *r, struct err *e)
{
	struct loop *l = &r->k->loop;

	r->ctl_io = (struct loop_io){
		.fd = r->sandbox.ctl, .on_ready = on_ctl_ready, .arg = r};
	r->child_io = (struct loop_io){
		.fd = r->sandbox.pidfd, .on_ready = on_child_ready, .arg = r};
	r->oom_io = (struct loop_io){
		.fd = r->sandbox.cgroup.oom_event, .on_ready = on_oom_ready, .arg = r};
	if (loop_add(l, &r->ctl_io, EPOLLIN, e) ||
	    loop_add(l, &r->child_io, EPOLLIN, e))
		return -1;
	return r->oom_io.fd >= 0 ? loop_add(l, &r->oom_io, EPOLLIN, e) : 0;
}

void run_launch(struct run *r)
{
	struct launch_io io = {r->code_fd, r->input_fd, r->stdin_fd, -1, -1};
	struct pipes p;
	int bad;

	bad = pipes_open(&p, 2, r->open_stdin, &r->failure) ||
	      run_tell_start(r, &p, &r->failure);
	if (!bad) {
		io.out_fd = p.to[0];
		io.err_fd = p.to[1];
		if (r->open_stdin)
			io.stdin_fd = p.in_from;
		bad = launch_sandbox(r->k->host, r->plan, &io, &r->sandbox,
				     &r->failure);
		r->stdin_to = fd_steal(&p.in_to);
		pipes_close(&p);
	}
	fd_close(&r->code_fd);
	fd_close(&r->input_fd);
	fd_close(&r->stdin_fd);
	if (bad) {
		run_close_books(r);
		return;
	}
	r->state = RUN_STARTING;
	loop_timer_set(&r->k->loop, &r->timer, START_MS);
	if (watch(r, &r->failure))
		do_end(r);
}

static void do_launch(struct run *r)
{
	const struct cell *c;

	if (r->evidence
		    .reason) { /* cancelled: in the queue, or while the intent was written */
		run_close_books(r);
		return;
	}
	r->launched_us = loop_now_us();
	c = cell_take(r);
	if (!c) {
		run_launch(r);
		return;
	}
	r->state = RUN_STARTING;
	loop_timer_set(&r->k->loop, &r->timer, START_MS);
	if (c->state == CELL_READY)
		run_event(r, EV_STARTED);
}

/* --- STARTING, RUNNING ------------------------------------------------------------------------ */

static void do_started(struct run *r)
{
	r->state = RUN_RUNNING;
	fd_close(&r->stdin_to);
	loop_timer_set(&r->k->loop, &r->timer, pol_plan_limits(r->plan)->wall_ms);
}

static void read_complaints(struct run *r, char *dst, size_t size)
{
	char raw[512];
	ssize_t n = read(r->sandbox.complaints, raw, sizeof(raw));

	log_esc(sv_trim((struct sv){raw, n > 0 ? (size_t)n : 0}), dst, size);
}

static void do_not_started(struct run *r)
{
	char said[220];

	read_complaints(r, said, sizeof(said));
	if (!r->failure.code) {
		err_set(&r->failure, ERR_UNAVAILABLE, "the sandbox did not start%s%s",
			said[0] ? ": " : "", said);
		err_fix(&r->failure, "run `fumehood doctor` on the host");
	}
	do_end(r);
}

static void do_deadline(struct run *r)
{
	r->evidence.reason = VERDICT_DEADLINE;
	do_end(r);
}

/* Begins the end: from here only the ladder and what is left of the guest's words count. */
static void do_end(struct run *r)
{
	int step;

	if (!r->ended_us)
		r->ended_us = loop_now_us();
	r->state = RUN_ENDING;
	run_leave_workspace(r);
	/* bwrap must not die before its child does: early on the child waits for it without a death
	 * signal of its own. Until the guest is up it is only told; it then ends by itself. */
	step = r->evidence.has_status || r->sandbox.guest_pidfd < 0 ? 0 : 1;
	launch_sandbox_kill(&r->sandbox, step);
	loop_timer_set(&r->k->loop, &r->timer, LADDER_MS);
}

/* What is killed stays killed; this is for what was out of reach the first time. */
static void do_ladder(struct run *r)
{
	launch_sandbox_kill(&r->sandbox, 1);
	if (r->sandbox.guest_pidfd >= 0 && loop_now_us() - r->ended_us > GIVE_UP_US) {
		log_msg(LOG_ERROR, "event=guest_will_not_die run=%s", r->run_id);
		fd_close(&r->sandbox.guest_pidfd);
	}
	/* not watched at all: then it is asked here */
	if (!r->child_ended && r->child_io.added) {
		loop_timer_set(&r->k->loop, &r->timer, LADDER_MS);
		return;
	}
	if (try_gone(r))
		run_event(r, EV_GONE);
}

/* --- ENDING -> CLOSING ------------------------------------------------------------------------ */

static void do_gone(struct run *r)
{
	run_close_books(r);
}

void run_outcome_unrecorded(struct run *r)
{
	log_msg(LOG_ERROR, "event=outcome_not_recorded run=%s", r->run_id);
	run_answer(r);
}

/* --- the table ---------------------------------------------------------------------------------- */

static void ignore(struct run *r)
{
	(void)r;
}

/* NULL: cannot happen, or a lie; then the sandbox is ended. */
static run_action *const actions[RUN_STATE_COUNT][EV_COUNT] = {
	[RUN_QUEUED] = {[EV_SLOT] = run_record, [EV_STOP] = run_write_intent},
	[RUN_RECORDING] = {[EV_RECORDED] = do_launch,
			   [EV_NOT_RECORDED] = run_refuse_unrecorded,
			   [EV_STOP] = ignore},
	[RUN_STARTING] = {[EV_STARTED] = do_started,
			  [EV_FAILED] = do_not_started,
			  [EV_GUEST_GONE] = do_not_started,
			  [EV_DEADLINE] = do_not_started,
			  [EV_STOP] = do_end,
			  [EV_OOM] = do_end},
	[RUN_RUNNING] = {[EV_ENDED] = do_end,
			 [EV_GUEST_GONE] = do_end,
			 [EV_DEADLINE] = do_deadline,
			 [EV_STOP] = do_end,
			 [EV_OOM] = do_end},
	[RUN_ENDING] = {[EV_ENDED] = ignore,
			[EV_STARTED] = ignore,
			[EV_FAILED] = ignore,
			[EV_GUEST_GONE] = ignore,
			[EV_DEADLINE] = do_ladder,
			[EV_STOP] = ignore,
			[EV_OOM] = ignore,
			[EV_GONE] = do_gone},
	[RUN_CLOSING] = {[EV_RECORDED] = run_answer,
			 [EV_NOT_RECORDED] = run_outcome_unrecorded,
			 [EV_STOP] = ignore},
};

void run_event(struct run *r, enum run_event ev)
{
	run_action *act = r->is_call ? call_action(r->state, ev)
			  : r->cell  ? cell_action(r->state, ev)
				     : actions[r->state][ev];

	if (act) {
		act(r);
		return;
	}
	log_msg(LOG_ERROR, "event=out_of_order run=%s state=%d got=%d", r->run_id,
		r->state, ev);
	if (!r->is_call && !r->cell &&
	    (r->state == RUN_STARTING || r->state == RUN_RUNNING))
		do_end(r);
}

/* --- sources of events ------------------------------------------------------------------------ */

void run_not_run(struct run *r, struct sv stage, int sys)
{
	char shown[80];

	log_esc(stage, shown, sizeof(shown));
	if (sys == ENOSPC) {
		err_set(&r->failure, ERR_LIMIT,
			"the files do not fit into the workspace of %llu MiB",
			(unsigned long long)(pol_plan_limits(r->plan)
						     ->workspace_bytes >>
					     20));
		err_fix(&r->failure, "send fewer or smaller files");
	} else {
		err_set(&r->failure, ERR_UNAVAILABLE,
			"the sandbox did not start: %s: %s", shown, strerror(sys));
		err_fix(&r->failure, "run `fumehood doctor` on the host");
	}
}

static void guest_failed(struct run *r, struct ipc_msg *m)
{
	char stage[64];
	int sys;

	ipc_get_cstr(m, stage, sizeof(stage));
	sys = (int)ipc_get_u32(m);
	if (!ipc_end(m)) {
		run_event(r, EV_GUEST_GONE);
		return;
	}
	/* too late, or the keeper ended it: then this is not why */
	if (r->state != RUN_STARTING || r->evidence.reason)
		return;
	run_not_run(r, sv_of(stage), sys);
	run_event(r, EV_FAILED);
}

/* The guest saw the moment; the host's own clock bounds what it may say. */
uint64_t run_clamp(uint64_t v, uint64_t min, uint64_t max)
{
	return v < min ? min : v > max ? max : v;
}

/* Everything in m is hostile bytes: it can end its own run early and lie about its own status,
 * nothing else. */
static void guest_record(struct run *r, struct ipc_msg *m)
{
	switch (m->type) {
	case GUEST_UP:
		launch_sandbox_up(&r->sandbox);
		return;
	case GUEST_STARTED: {
		uint64_t when = ipc_get_u64(m);

		if (r->state != RUN_STARTING)
			return;
		r->started_us = run_clamp(when, r->launched_us, loop_now_us());
		fd_close(&r->program_pidfd);
		r->program_pidfd = ipc_take_fd(m);
		fd_close(&r->workspace_fd);
		r->workspace_fd = ipc_take_fd(m);
		run_event(r, EV_STARTED);
		return;
	}
	case GUEST_ENDED:
		/* once the keeper has begun to kill, a status only tells of that */
		if (r->state == RUN_RUNNING) {
			r->evidence.wait_status = (int)ipc_get_u32(m);
			r->ended_us =
				run_clamp(ipc_get_u64(m), r->started_us, loop_now_us());
			r->evidence.has_status = ipc_end(m);
		}
		run_event(r, EV_ENDED);
		return;
	case GUEST_FAILED:
		guest_failed(r, m);
		return;
	default:
		run_event(r, EV_GUEST_GONE);
	}
}

static void on_ctl_ready(struct loop_io *io, uint32_t events)
{
	struct run *r = io->arg;
	struct ipc_msg m;
	struct err e = {0};
	int got = ipc_recv(io->fd, &m, &e);

	(void)events;
	if (got < 0 && e.sys == EAGAIN)
		return;
	if (got == 1) {
		guest_record(r, &m);
		ipc_finish(&m);
		return;
	}
	loop_del(&r->k->loop, io);
	run_event(r, EV_GUEST_GONE);
}

static void stop_watching(struct run *r)
{
	loop_del(&r->k->loop, &r->ctl_io);
	loop_del(&r->k->loop, &r->child_io);
	loop_del(&r->k->loop, &r->oom_io);
}

/* After bwrap has ended. Counters first, then the cgroup goes. */
static bool try_gone(struct run *r)
{
	run_gather(r);
	if (launch_sandbox_gone(r->k->host, &r->sandbox))
		return true;
	loop_timer_set(&r->k->loop, &r->timer, POLL_GONE_MS);
	return false;
}

static void on_child_ready(struct loop_io *io, uint32_t events)
{
	struct run *r = io->arg;

	(void)events;
	/* bwrap has ended: the guest's last words may still be in the socket */
	while (r->ctl_io.added && r->state != RUN_ENDING) {
		struct ipc_msg m;

		if (ipc_recv(r->ctl_io.fd, &m, NULL) != 1)
			break;
		guest_record(r, &m);
		ipc_finish(&m);
	}
	if (r->state != RUN_ENDING)
		run_event(r, EV_GUEST_GONE);
	r->child_ended = true;
	stop_watching(r);
	if (try_gone(r))
		run_event(r, EV_GONE);
}

static void on_oom_ready(struct loop_io *io, uint32_t events)
{
	struct run *r = io->arg;

	(void)events;
	/* v1 tells before the kernel kills, and the keeper's own kill may come first: then its counter
	 * stays 0, but this was the cause */
	r->oom_seen = true;
	loop_del(&r->k->loop, io);
	run_event(r, EV_OOM);
}

void run_on_timer(struct loop_timer *t)
{
	run_event(t->arg, EV_DEADLINE);
}

struct run *run_find(struct keeper *k, uint64_t id)
{
	struct run *r = k->runs;

	while (r && r->id != id)
		r = r->next;
	return r;
}
