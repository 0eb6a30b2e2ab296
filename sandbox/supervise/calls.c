/* calls.c: a run in a session as action[state][event]; see keeper.h.
 *
 * Theory of operation. A call shares with other runs the queue, the intent before it and the outcome after
 * it. Between them its sandbox is the session's, and what it waits for is the guest's word. One that does not
 * come is waited for so long:
 *
 *	GUEST_CALL -- START_MS, then the deadline --> interrupt, twice -- a grace --> kill -- KILL_MS --> the session ends
 *
 * Code that no interpreter takes is a file of a fixed name in the workspace, which a compiler reads late: so calls of
 * one such language, too, run one after another.
 *
 * The guest's word about the end of a call can only be wrong about this session: its principal's own code is all
 * that could have made it so. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

#include <errno.h>
#include <unistd.h>

#define START_MS                                                                       \
	10000 /* until the code runs: an interpreter starts, files are unpacked */
#define DEADLINE_GRACE_MS 1000 /* to stop after an interrupt; half-way comes another */
#define CANCEL_GRACE_MS 2000
#define KILL_MS 2000
#define MAX_WAITING 16 /* calls for one interpreter */

static bool has_slot(const struct run *r)
{
	return r->slot != GUEST_NO_SLOT;
}

/* --- before it starts ------------------------------------------------------------------------- */

/* Whether its code is a file in the workspace. */
static bool has_file(const struct run *r)
{
	return r->is_call && r->session && !has_slot(r) && r->plan &&
	       pol_plan_tool(r->plan) == POL_RUN_CODE;
}

/* Whether the two may not run at the same time. */
static bool share_place(const struct run *a, const struct run *b)
{
	if (a == b || !a->session || a->session != b->session)
		return false;
	if (has_slot(a) || has_slot(b))
		return a->slot == b->slot;
	return has_file(a) && has_file(b) &&
	       pol_plan_runtime(a->plan) == pol_plan_runtime(b->plan);
}

bool call_is_next(const struct run *r)
{
	if (!r->is_call || !r->session)
		return true;
	if (has_slot(r))
		return !r->session->slot[r->slot].run &&
		       !(r->session->slot[r->slot].alive &&
			 r->session->slot[r->slot].unread);
	for (const struct run *x = r->k->runs; x; x = x->next)
		if (x->has_slot && (x->state < RUN_CLOSING || x->changes_due) &&
		    share_place(r, x))
			return false;
	return true;
}

/* Those before r, running ones included. */
static unsigned waiting_there(const struct run *r)
{
	unsigned n = 0;

	for (const struct run *x = r->k->runs; x; x = x->next)
		n += share_place(r, x);
	return n;
}

int call_join(struct run *r, struct session *s, struct err *e)
{
	r->slot = pol_plan_has_driver(r->plan) ? ses_slot(pol_plan_runtime(r->plan))
					       : GUEST_NO_SLOT;
	r->session = s;
	r->result.in_session = true;
	r->compiling = pol_plan_compiler(r->plan)[0] != '\0';
	if (!has_slot(r) && !has_file(r))
		return 0;
	if (r->code_fd < 0)
		return err_set(e, ERR_INVALID, "there is no code");
	if (waiting_there(r) <= MAX_WAITING)
		return 0;
	err_set(e, ERR_BUSY, "%d calls wait for the %s of this session already",
		MAX_WAITING, pol_plan_runtime(r->plan)->name);
	return err_fix(e, "wait for some of them to end, or interrupt what runs");
}

static void do_take(struct run *r)
{
	if (r->session && has_slot(r))
		r->session->slot[r->slot].run = r;
	run_record(r);
}

static void let_go(struct run *r)
{
	if (r->session && has_slot(r) && r->session->slot[r->slot].run == r)
		r->session->slot[r->slot].run = NULL;
}

void call_leave(struct run *r)
{
	let_go(r);
	pipes_close(&r->pipes);
	if (r->session)
		ses_used(r->session);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void close_fds(struct run *r)
{
	fd_close(&r->code_fd);
	fd_close(&r->input_fd);
	fd_close(&r->stdin_fd);
	fd_close(&r->pipes.in_from);
	fd_close(&r->stdin_to);
	for (unsigned i = 0; i < ARRAY_LEN(r->pipes.to); i++)
		fd_close(&r->pipes.to[i]);
}

/* What the session's counters have grown by. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

void call_count(struct run *r)
{
	const struct session *s = r->session;
	struct launch_usage now;

	/* with the sandbox its counters have gone: they were read just before */
	if (!s || !r->launched_us || s->counted)
		return;
	launch_cgroup_usage(&s->sandbox.cgroup, &now);
	r->evidence.oom_kills = since(now.oom_kills, r->before.oom_kills);
	r->evidence.pids_denied = since(now.pids_denied, r->before.pids_denied);
	r->evidence.disk_full = s->disk_is_full || run_disk_is_full(s->workspace_fd);
	r->result.limits_degraded = now.limits_gone;
	r->result.cpu_us = since(now.cpu_us, r->before.cpu_us);
	r->result.peak_memory_bytes = now.peak_memory_bytes;
}

/* The front must know whose output it is, also where the guest never said that the call began. */
void call_tell_start(struct run *r)
{
	struct wire_start start = {.output_max = pol_plan_limits(r->plan)->output_bytes,
				   .slot = r->slot,
				   .fresh = r->result.fresh,
				   .stdin_fd = r->pipes.in_to};
	struct ipc_msg m;

	if (r->told || r->failure.code)
		return;
	r->told = true;
	memcpy(start.run_id, r->run_id, sizeof(start.run_id));
	if (r->session)
		memcpy(start.session_id, r->session->id, sizeof(start.session_id));
	memcpy(start.fds, r->pipes.from, sizeof(start.fds));
	ipc_start(&m, has_slot(r) ? SUP_CALLED : SUP_ACCEPTED, r->id);
	wire_put_start(&m, &start);
	if (keeper_tell(r->k, &m))
		log_msg(LOG_WARN, "event=start_not_told run=%s", r->run_id);
	pipes_close_from(&r->pipes);
	r->stdin_to = fd_steal(&r->pipes.in_to);
}

/* For the step that begins: what the one before it did is not its fault. */
void call_begin_step(struct run *r)
{
	struct launch_usage now;

	r->begun = false;
	r->state = RUN_STARTING;
	loop_timer_set(&r->k->loop, &r->timer, START_MS);
	/* meanwhile the guest works */
	launch_cgroup_usage(&r->session->sandbox.cgroup, &now);
	if (r->result.compile.there)
		now.cpu_us = r->before.cpu_us;
	r->before = now;
}

/* What the guest said of its end stands in the evidence. */
void call_finish(struct run *r)
{
	if (!r->ended_us)
		r->ended_us = loop_now_us();
	call_count(r);
	/* those of an interpreter's call are closed when it is answered: that takes longer than to tell the ledger */
	if (!has_slot(r))
		close_fds(r);
	if ((r->told || !r->failure.code) && r->session && has_slot(r))
		r->session->slot[r->slot].unread = r->id;
	if (!r->changes_due)
		let_go(r);
	run_close_books(r);
}

/* --- GUEST_CALL ------------------------------------------------------------------------------- */

static int send_call(struct run *r)
{
	struct session *s = r->session;
	const bool start = !has_slot(r) || !s->slot[r->slot].alive;
	const bool third = has_slot(r) || r->compiling;
	struct launch_call c = {.id = r->id, .slot = r->slot, .rich_fd = -1};

	pipes_close(&r->pipes);
	if (pipes_open(&r->pipes,
		       !start  ? 0
		       : third ? 3
			       : 2,
		       r->open_stdin, &r->failure))
		return -1;
	if (r->compiling)
		return compile_send(r);
	c.io = (struct launch_io){r->code_fd, r->input_fd, r->stdin_fd, r->pipes.to[0],
				  r->pipes.to[1]};
	c.rich_fd = r->pipes.to[2];
	c.last = r->keep_files;
	if (r->open_stdin)
		c.io.stdin_fd = r->pipes.in_from;
	return launch_call(r->k->host, &s->sandbox, r->plan, &c, &r->failure);
}

static void do_send(struct run *r)
{
	if (r->evidence.reason || !r->session || r->session->state != SES_OPEN) {
		r->evidence.reason = VERDICT_CANCEL;
		let_go(r);
		run_close_books(r);
		return;
	}
	r->launched_us = loop_now_us();
	r->evidence.disk_was_full = run_disk_is_full(r->session->workspace_fd);
	if (send_call(r)) {
		call_finish(r);
		return;
	}
	r->session->calls++;
	call_begin_step(r);
}

/* --- the ladder ------------------------------------------------------------------------------- */

static void signal_it(struct run *r, enum guest_type type, uint64_t patience_ms)
{
	/* one that does not listen comes to the next step */
	if (r->session && ses_signal(r->session, type, r->id, r->slot))
		log_msg(LOG_WARN, "event=guest_does_not_listen run=%s", r->run_id);
	loop_timer_set(&r->k->loop, &r->timer, patience_ms);
}

static void kill_it(struct run *r)
{
	r->step = STEP_KILL;
	r->state = RUN_ENDING;
	signal_it(r, GUEST_KILL, KILL_MS);
}

static void ask_it(struct run *r)
{
	const uint64_t grace_ms = r->evidence.reason == VERDICT_CANCEL
					  ? CANCEL_GRACE_MS
					  : DEADLINE_GRACE_MS;

	r->state = RUN_ENDING;
	signal_it(r, GUEST_INTERRUPT, grace_ms / 2);
}

/* An interpreter is asked first; a program has no state to keep. */
static void stop_it(struct run *r)
{
	if (has_slot(r))
		ask_it(r);
	else
		kill_it(r);
}

static void do_deadline(struct run *r)
{
	r->evidence.reason = VERDICT_DEADLINE;
	stop_it(r);
}

static void do_not_started(struct run *r)
{
	err_set(&r->failure, ERR_UNAVAILABLE, "the call did not start within %d s",
		START_MS / 1000);
	err_fix(&r->failure, "try again; if it stays so, close the session");
	kill_it(r);
}

static void do_ladder(struct run *r)
{
	/* a driver that has read of the call, and not yet begun to listen, misses the first */
	if (r->step == STEP_ASK && has_slot(r)) {
		r->step = STEP_ASK_AGAIN;
		ask_it(r);
		return;
	}
	if (r->step != STEP_KILL) {
		kill_it(r);
		return;
	}
	log_msg(LOG_ERROR, "event=call_will_not_end run=%s", r->run_id);
	if (r->session)
		ses_end(r->session, SUP_SESSION_DIED, "call_would_not_end");
}

/* --- the session goes ------------------------------------------------------------------------- */

/* Its sandbox is being killed: EV_GONE comes when nothing of it is left. */
static void do_wait(struct run *r)
{
	r->state = RUN_ENDING;
	loop_timer_stop(&r->k->loop, &r->timer);
}

void call_session_ends(struct run *r)
{
	const enum sup_session_end end = r->session->end;

	r->result.session_ended = true;
	r->result.session_end = end;
	/* ended by somebody's wish; or it died, which is this run's end only if it ran */
	if (!r->evidence.reason && !r->failure.code &&
	    (end != SUP_SESSION_DIED || r->state < RUN_STARTING))
		r->evidence.reason = VERDICT_CANCEL;
	if (r->state == RUN_QUEUED || r->state == RUN_RECORDING)
		run_event(r, EV_STOP);
	else
		run_event(r, EV_GUEST_GONE);
}

static void do_gone(struct run *r)
{
	/* it did not start for that reason, and not of itself */
	if (r->failure.code && !r->told)
		err_clear(&r->failure);
	if (!r->ended_us)
		r->ended_us = loop_now_us();
	call_tell_start(r);
	close_fds(r);
	let_go(r);
	r->session = NULL;
	run_close_books(r);
}

void call_session_gone(struct run *r)
{
	if (r->state == RUN_ENDING) {
		run_event(r, EV_GONE);
		return;
	}
	let_go(r);
	r->session = NULL;
}

/* --- the table -------------------------------------------------------------------------------- */

static void do_started(struct run *r)
{
	r->state = RUN_RUNNING;
	loop_timer_set(&r->k->loop, &r->timer,
		       r->compiling ? pol_plan_runtime(r->plan)->compile.timeout_ms
				    : pol_plan_limits(r->plan)->wall_ms);
}

static void ignore(struct run *r)
{
	(void)r;
}

/* NULL: a lie, which is passed over: what it could be believed for is the sender's own. */
static run_action *const actions[RUN_STATE_COUNT][EV_COUNT] = {
	[RUN_QUEUED] = {[EV_SLOT] = do_take, [EV_STOP] = run_write_intent},
	[RUN_RECORDING] = {[EV_RECORDED] = do_send,
			   [EV_NOT_RECORDED] = run_refuse_unrecorded,
			   [EV_STOP] = ignore},
	[RUN_STARTING] = {[EV_STARTED] = do_started,
			  [EV_ENDED] = call_finish,
			  [EV_FAILED] = call_finish,
			  [EV_GUEST_GONE] = do_wait,
			  [EV_DEADLINE] = do_not_started,
			  [EV_STOP] = stop_it},
	[RUN_RUNNING] = {[EV_ENDED] = call_finish,
			 [EV_FAILED] = call_finish,
			 [EV_GUEST_GONE] = do_wait,
			 [EV_DEADLINE] = do_deadline,
			 [EV_STOP] = stop_it},
	[RUN_ENDING] = {[EV_STARTED] = ignore,
			[EV_ENDED] = call_finish,
			[EV_FAILED] = call_finish,
			[EV_GUEST_GONE] = do_wait,
			[EV_DEADLINE] = do_ladder,
			[EV_STOP] = ignore,
			[EV_GONE] = do_gone},
	[RUN_CLOSING] = {[EV_RECORDED] = changes_recorded,
			 [EV_NOT_RECORDED] = run_outcome_unrecorded,
			 [EV_GUEST_GONE] = changes_lost,
			 [EV_DEADLINE] = changes_timed_out,
			 [EV_STOP] = ignore},
};

run_action *call_action(enum run_state s, enum run_event ev)
{
	return actions[s][ev];
}

/* --- what the guest says ---------------------------------------------------------------------- */

/* A call of this session that the guest has: no other can be meant. */
static struct run *find(struct session *s, uint64_t id)
{
	struct run *r = run_find(s->k, id);

	return r && r->session == s && r->state >= RUN_STARTING &&
			       r->state <= RUN_ENDING
		       ? r
		       : NULL;
}

static void interpreter_ended(struct session *s, uint32_t slot)
{
	s->slot[slot].alive = false;
	s->slot[slot].lost |= s->slot[slot].used;
	s->slot[slot].used = false;
	fd_close(&s->slot[slot].pidfd);
}

static void started(struct run *r, struct guest_word *w)
{
	struct session *s = r->session;

	if (r->begun) {
		fd_close(&w->pidfd);
		return;
	}
	r->begun = true;
	r->started_us = run_clamp(w->when_us, r->launched_us, loop_now_us());
	if (!has_slot(r)) {
		fd_close(&r->program_pidfd);
		r->program_pidfd = fd_steal(&w->pidfd);
	} else if (w->pidfd >= 0 && r->pipes.from[0] >= 0) {
		r->result.fresh = true;
		s->slot[r->slot].alive = true;
		fd_close(&s->slot[r->slot].pidfd);
		s->slot[r->slot].pidfd = fd_steal(&w->pidfd);
	}
	fd_close(&w->pidfd);
	call_tell_start(r);
	if (!r->compiling)
		close_fds(r);
	run_event(r, EV_STARTED);
}

/* Once the keeper has begun to stop it, a status only tells of that. */
static void ended(struct run *r, const struct guest_word *w)
{
	struct session *s = r->session;

	/* of what is thrown away nobody asks */
	r->changes_due = w->changes && (!s->throwaway || r->keep_files);
	if (has_slot(r)) {
		r->result.lost_before = r->result.fresh && s->slot[r->slot].lost;
		s->slot[r->slot].lost &= !r->result.fresh;
		s->slot[r->slot].used = true;
	}
	if (w->how == GUEST_BY_KERNEL && has_slot(r)) {
		r->result.lost_state = true;
		fd_close(&r->program_pidfd);
		r->program_pidfd = fd_steal(&s->slot[r->slot].pidfd);
		interpreter_ended(s, r->slot);
	}
	/* it has, and the news of it came never or, which is usual, with that of its end */
	if (!r->started_us && has_slot(r))
		r->started_us = r->launched_us;
	if (r->state != RUN_ENDING) {
		r->ended_us = run_clamp(w->when_us,
					r->started_us ? r->started_us : r->launched_us,
					loop_now_us());
		r->evidence.has_status = true;
		r->evidence.goes_on = w->how == GUEST_BY_DRIVER;
		r->evidence.wait_status = w->how == GUEST_BY_DRIVER
						  ? (int)(w->status << 8)
						  : (int)w->status;
		if (w->how == GUEST_BY_KERNEL)
			run_ask_kernel(r);
	}
	if (r->compiling && r->state != RUN_ENDING && !r->evidence.wait_status)
		compile_done(r);
	else
		run_event(r, EV_ENDED);
}

/* What a call needs lies where the session's code can change it or use it up: the host is not to blame. */
static void not_taken(struct run *r, struct sv stage, int sys)
{
	char shown[80];

	err_set(&r->failure, sys == ENOSPC ? ERR_LIMIT : ERR_UNAVAILABLE,
		"the session could not take the call: %s: %s",
		log_esc(stage, shown, sizeof(shown)), strerror(sys));
	err_fix(&r->failure,
		"its code may have used up what a call needs, or changed files or "
		"permissions; undo that, or close the session and create another");
}

static bool failed(struct run *r, struct ipc_msg *m)
{
	const struct sv stage = ipc_get_sv(m, 64);
	const int sys = (int)ipc_get_u32(m);

	if (!ipc_end(m))
		return false;
	/* it died meanwhile, and the news of that crossed this call */
	if (sys == ESRCH && r->state == RUN_STARTING && has_slot(r) &&
	    r->pipes.from[0] < 0) {
		interpreter_ended(r->session, r->slot);
		if (send_call(r))
			call_finish(r);
		return true;
	}
	if (r->told &&
	    r->result.fresh) /* the interpreter that was started for it went with it */
		interpreter_ended(r->session, r->slot);
	if (sys == EBUSY && !r->evidence.reason) {
		err_set(&r->failure, ERR_BUSY,
			"the session cannot take another call now");
		err_fix(&r->failure, "try again when some have ended");
	} else if (!r->evidence.reason && !r->failure.code) {
		if (sys == ENOSPC && sv_eq(stage, SV("unpack files")))
			run_not_run(r, stage, sys);
		else
			not_taken(r, stage, sys);
	}
	run_event(r, EV_FAILED);
	return true;
}

static bool died(struct session *s, struct ipc_msg *m)
{
	struct guest_word w;

	if (guest_get_word(m, &w))
		return false;
	interpreter_ended(s, w.slot);
	return true;
}

bool call_record(struct session *s, struct ipc_msg *m)
{
	struct run *r = find(s, m->id);
	struct guest_word w;

	if (m->type == GUEST_DIED)
		return died(s, m);
	if (m->type == GUEST_FAILED)
		return r && failed(r, m);
	if (guest_get_word(m, &w))
		return false;
	if (!r)
		fd_close(&w.pidfd);
	else if (m->type == GUEST_CALL_STARTED)
		started(r, &w);
	else
		ended(r, &w);
	return r != NULL;
}
