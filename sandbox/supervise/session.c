/* session.c: one session's life as action[state][event]; see keeper.h.
 *
 * Theory of operation. It is recorded before its sandbox is started, and recorded again when nothing of
 * that is left; an id is told only when the sandbox stands. Whoever is not its principal gets the same
 * answer as for an id that never was. Everything on ctl is hostile bytes: what the guest may not say is the end of
 * its session, and of nothing else. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"

#include <errno.h>
#include <linux/magic.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define START_MS 10000
#define LADDER_MS 100
#define POLL_GONE_MS 1
#define GIVE_UP_US 5000000 /* as run.c's */
#define LAST_RECORDS 256 /* more than a guest that is honest has left to say */

static void begin_end(struct session *s);
static void do_died(struct session *s);

/* --- opening ---------------------------------------------------------------------------------- */

static void session_free(struct session *s)
{
	struct keeper *k = s->k;

	for (struct session **at = &k->sessions; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			k->nsessions--;
			break;
		}
	loop_timer_stop(&k->loop, &s->timer);
	for (unsigned i = 0; i < GUEST_SLOTS; i++)
		fd_close(&s->slot[i].pidfd);
	fd_close(&s->workspace_fd);
	ask_free(s->ask);
	mem_free(s->plan);
	mem_free(s);
	keeper_pump(k);
}

static void record_open(struct session *s)
{
	const struct pol_session_limits *l = pol_plan_session_limits(s->plan);
	const struct pol_runtime *rt = pol_plan_runtime(s->plan);
	struct ipc_msg m;

	ipc_start(&m, LED_SESSION_OPEN, s->number);
	led_put_session(&m, &(struct led_session){
				    .session_id = sv_of(s->id),
				    .principal = sv_of(pol_plan_principal(s->plan)),
				    .runtime = sv_of(rt ? rt->name : ""),
				    .image_sha256 = sv_of(
					    s->k->image ? s->k->image->sha256 : ""),
				    .ttl_s = l->ttl_s,
				    .idle_ttl_s = l->idle_ttl_s,
				    .memory_bytes = l->memory_bytes,
				    .processes = l->processes,
				    .workspace_bytes = l->workspace_bytes});
	if (keeper_ask_ledger(s->k, &m))
		ses_event(s, SEV_NOT_RECORDED);
}

static struct session *make(struct keeper *k, struct ask *a, struct err *e)
{
	struct session *s = mem_zalloc(sizeof(*s));
	const struct pol_session_request req = {
		.language = sv_of(a->language),
		.limits = {.ttl_s = a->limits.ttl_s,
			   .idle_ttl_s = a->limits.idle_ttl_s,
			   .processes = a->limits.processes,
			   .memory_bytes = a->limits.memory_bytes,
			   .workspace_bytes = a->limits.workspace_bytes}};
	void *mem = s ? mem_zalloc(pol_plan_size()) : NULL;

	if (!mem) {
		mem_free(s);
		err_set(e, ERR_LIMIT, "no memory");
		return NULL;
	}
	if (pol_session_make(mem, &req,
			     &(struct pol_context){.policy = pol_default(),
						   .host = &launch_facts(k->host)->host,
						   .principal = a->principal},
			     &s->plan, e)) {
		mem_free(mem);
		mem_free(s);
		return NULL;
	}
	return s;
}

void ses_open(struct keeper *k, struct ask *a)
{
	struct session **at = &k->sessions, *s = NULL;
	unsigned char raw[16];
	struct err e = {0};

	if (!ses_may_open(k, a->principal, &e))
		s = make(k, a, &e);
	if (!s) {
		ask_refuse(a, &e);
		return;
	}
	s->k = k;
	s->ask = a;
	s->throwaway = a->throwaway;
	s->number = WIRE_ID_BIT | ++k->session_numbers;
	s->workspace_fd = s->ctl_io.fd = s->child_io.fd = -1;
	s->created_us = loop_wall_us();
	s->opened_us = s->used_us = loop_now_us();
	for (unsigned i = 0; i < GUEST_SLOTS; i++)
		s->slot[i].pidfd = -1;
	randombytes_buf(raw, sizeof(raw));
	memcpy(s->id, "ses_", 4);
	sodium_bin2hex(s->id + 4, SUP_SESSION_ID_SIZE - 4, raw, sizeof(raw));
	while (*at)
		at = &(*at)->next;
	*at = s;
	k->nsessions++;
	record_open(s);
}

static void do_refuse_unrecorded(struct session *s)
{
	struct ask *a = s->ask;
	struct err e = {0};

	s->ask = NULL;
	err_set(&e, ERR_UNAVAILABLE,
		"the audit record could not be written, so nothing was started");
	err_fix(&e, "look at the server's log; is the disk of the state folder full?");
	if (a)
		ask_refuse(a, &e);
	session_free(s);
}

/* --- RECORDING -> STARTING -> OPEN -------------------------------------------------------------- */

static void on_ctl_ready(struct loop_io *io, uint32_t events);
static void on_child_ready(struct loop_io *io, uint32_t events);
static void close_books(struct session *s);

static void on_timer(struct loop_timer *t)
{
	ses_event(t->arg, SEV_TIMER);
}

static int watch(struct session *s, struct err *e)
{
	s->ctl_io = (struct loop_io){
		.fd = s->sandbox.ctl, .on_ready = on_ctl_ready, .arg = s};
	s->child_io = (struct loop_io){
		.fd = s->sandbox.pidfd, .on_ready = on_child_ready, .arg = s};
	return loop_add(&s->k->loop, &s->ctl_io, EPOLLIN, e) ||
	       loop_add(&s->k->loop, &s->child_io, EPOLLIN, e);
}

static void do_launch(struct session *s)
{
	s->timer = (struct loop_timer){.on_due = on_timer, .arg = s};
	if (!s->reason && launch_session(s->k->host, s->plan, &s->sandbox, &s->failure))
		s->reason = "not_started";
	else if (!s->reason)
		s->launched = true;
	if (!s->launched) {
		close_books(s);
		return;
	}
	s->state = SES_STARTING;
	loop_timer_set(&s->k->loop, &s->timer, START_MS);
	if (watch(s, &s->failure))
		ses_end(s, SUP_SESSION_DIED, "not_started");
}

static void set_clock(struct session *s)
{
	const struct pol_session_limits *l = pol_plan_session_limits(s->plan);
	const uint64_t now = loop_now_us(), end = s->opened_us + l->ttl_s * 1000000ull,
		       idle = (ses_is_busy(s) ? now : s->used_us) +
			      l->idle_ttl_s * 1000000ull,
		       first = end < idle ? end : idle;

	loop_timer_set(&s->k->loop, &s->timer,
		       first > now ? (first - now + 999) / 1000 : 0);
}

static void do_open(struct session *s)
{
	struct ask *a = s->ask;

	s->state = SES_OPEN;
	s->was_open = true;
	s->opened_us = s->used_us = loop_now_us();
	s->ask = NULL;
	set_clock(s);
	ask_answer_row(a, s);
}

static void do_not_started(struct session *s)
{
	char raw[512], said[220];
	ssize_t n = read(s->sandbox.complaints, raw, sizeof(raw));

	log_esc(sv_trim((struct sv){raw, n > 0 ? (size_t)n : 0}), said, sizeof(said));
	if (!s->failure.code) {
		err_set(&s->failure, ERR_UNAVAILABLE, "the sandbox did not start%s%s",
			said[0] ? ": " : "", said);
		err_fix(&s->failure, "run `fumehood doctor` on the host");
	}
	s->reason = "not_started";
	do_died(s);
}

/* --- OPEN -> ENDING ----------------------------------------------------------------------------- */

void ses_used(struct session *s)
{
	s->used_us = loop_now_us();
}

/* Set for the soonest that could be: what was used meanwhile has more time. */
static void do_look_at_clock(struct session *s)
{
	const struct pol_session_limits *l = pol_plan_session_limits(s->plan);
	const uint64_t now = loop_now_us();

	if (now - s->opened_us >= l->ttl_s * 1000000ull)
		ses_end(s, SUP_SESSION_TTL, "ttl");
	else if (!ses_is_busy(s) && now - s->used_us >= l->idle_ttl_s * 1000000ull)
		ses_end(s, SUP_SESSION_IDLE, "idle");
	else
		set_clock(s);
}

static void do_died(struct session *s)
{
	s->end = SUP_SESSION_DIED;
	s->reason = s->reason ? s->reason : "died";
	begin_end(s);
}

/* Looked for anew each time: an event may free runs and change the list. */
static void for_calls(struct session *s, void (*on)(struct run *r), bool all)
{
	struct run *r = s->k->runs;

	while (r) {
		if (r->session == s && (all || !r->result.session_ended)) {
			on(r);
			r = s->k->runs;
		} else {
			r = r->next;
		}
	}
}

static void begin_end(struct session *s)
{
	s->state = SES_ENDING;
	s->ended_us = loop_now_us();
	s->disk_is_full = run_disk_is_full(s->workspace_fd);
	fd_close(&s->workspace_fd); /* as run_leave_workspace */
	/* as of a run: until the guest is up it is only told */
	launch_sandbox_kill(&s->sandbox, s->sandbox.guest_pidfd < 0 ? 0 : 1);
	loop_timer_set(&s->k->loop, &s->timer, LADDER_MS);
	for_calls(s, call_session_ends, false);
	files_session_ends(s);
}

void ses_end(struct session *s, enum sup_session_end end, const char *reason)
{
	if (!s->reason) {
		s->end = end;
		s->reason = reason;
	}
	ses_event(s, SEV_END);
}

void ses_end_all(struct keeper *k, const char *reason)
{
	struct session *next;

	for (struct session *s = k->sessions; s; s = next) {
		next = s->next;
		ses_end(s, SUP_SESSION_CLOSED, reason);
	}
}

/* --- ENDING -> CLOSING -> free ------------------------------------------------------------------ */

static bool try_gone(struct session *s)
{
	for (struct run *r = s->k->runs; r; r = r->next)
		if (r->session == s)
			call_count(r);
	if (launch_sandbox_gone(s->k->host, &s->sandbox)) {
		s->counted = true;
		return true;
	}
	loop_timer_set(&s->k->loop, &s->timer, POLL_GONE_MS);
	return false;
}

static void do_ladder(struct session *s)
{
	launch_sandbox_kill(&s->sandbox, 1);
	if (s->sandbox.guest_pidfd >= 0 && loop_now_us() - s->ended_us > GIVE_UP_US) {
		log_msg(LOG_ERROR, "event=guest_will_not_die session=%s", s->id);
		fd_close(&s->sandbox.guest_pidfd);
	}
	if (!s->child_ended && s->child_io.added) {
		loop_timer_set(&s->k->loop, &s->timer, LADDER_MS);
		return;
	}
	if (try_gone(s))
		ses_event(s, SEV_GONE);
}

static void close_books(struct session *s)
{
	struct ipc_msg m;

	s->state = SES_CLOSING;
	loop_timer_stop(&s->k->loop, &s->timer);
	ipc_start(&m, LED_SESSION_CLOSE, s->number);
	led_put_session_end(&m, &(struct led_session_end){
					.session_id = sv_of(s->id),
					.principal = sv_of(pol_plan_principal(s->plan)),
					.reason = sv_of(s->reason),
					.calls = s->calls,
					.duration_us = loop_now_us() - s->opened_us});
	if (keeper_ask_ledger(s->k, &m))
		ses_event(s, SEV_NOT_RECORDED);
}

/* Outcomes of calls come before the end of their session. */
static void do_gone(struct session *s)
{
	for_calls(s, call_session_gone, true);
	close_books(s);
}

/* Whoever waits hears: that it did not start, or what it was. */
static void tell_end(struct session *s)
{
	struct ask *a = s->ask;
	struct ipc_msg m;

	s->ask = NULL;
	if (a && s->was_open) {
		ask_answer_row(a, s);
	} else if (a) {
		if (!s->failure.code)
			err_set(&s->failure, ERR_BUSY, "ended before it had started");
		ask_refuse(a, &s->failure);
	}
	if (!s->was_open)
		return;
	ipc_start(&m, SUP_GONE, 0);
	ipc_put_sv(&m, sv_of(s->id));
	ipc_put_u32(&m, s->end);
	keeper_tell(s->k, &m);
}

static void do_closed(struct session *s)
{
	tell_end(s);
	session_free(s);
}

static void do_closed_unrecorded(struct session *s)
{
	log_msg(LOG_ERROR, "event=end_not_recorded session=%s", s->id);
	do_closed(s);
}

/* --- the table ---------------------------------------------------------------------------------- */

static void ignore(struct session *s)
{
	(void)s;
}

/* NULL: cannot happen, or a lie; then it is ended. */
static void (*const actions[SES_STATE_COUNT][SEV_COUNT])(struct session *s) = {
	[SES_RECORDING] = {[SEV_RECORDED] = do_launch,
			   [SEV_NOT_RECORDED] = do_refuse_unrecorded,
			   [SEV_END] = ignore},
	[SES_STARTING] = {[SEV_OPENED] = do_open,
			  [SEV_FAILED] = do_not_started,
			  [SEV_GUEST_GONE] = do_not_started,
			  [SEV_TIMER] = do_not_started,
			  [SEV_END] = begin_end},
	[SES_OPEN] = {[SEV_GUEST_GONE] = do_died,
		      [SEV_TIMER] = do_look_at_clock,
		      [SEV_END] = begin_end},
	[SES_ENDING] = {[SEV_OPENED] = ignore,
			[SEV_FAILED] = ignore,
			[SEV_GUEST_GONE] = ignore,
			[SEV_TIMER] = do_ladder,
			[SEV_END] = ignore,
			[SEV_GONE] = do_gone},
	[SES_CLOSING] = {[SEV_RECORDED] = do_closed,
			 [SEV_NOT_RECORDED] = do_closed_unrecorded,
			 [SEV_END] = ignore},
};

void ses_event(struct session *s, enum session_event ev)
{
	void (*act)(struct session * s) = actions[s->state][ev];

	if (act) {
		act(s);
		return;
	}
	log_msg(LOG_ERROR, "event=out_of_order session=%s state=%d got=%d", s->id,
		s->state, ev);
	if (s->state == SES_STARTING || s->state == SES_OPEN)
		do_died(s);
}

/* --- the line to the guest ---------------------------------------------------------------------- */

int ses_send(struct session *s, struct ipc_msg *m, struct err *e)
{
	return ipc_send(s->sandbox.ctl, m, e);
}

int ses_signal(struct session *s, enum guest_type type, uint64_t id, uint32_t slot)
{
	struct ipc_msg m;

	ipc_start(&m, type, id);
	guest_put_slot(&m, slot);
	return ses_send(s, &m, NULL);
}

/* A folder on tmpfs, for all that can be told: only its numbers are ever looked at. */
static bool opened(struct session *s, struct ipc_msg *m)
{
	struct statfs fs;
	struct stat st;

	s->workspace_fd = ipc_take_fd(m);
	if (!ipc_end(m) || fstat(s->workspace_fd, &st) || !S_ISDIR(st.st_mode) ||
	    fstatfs(s->workspace_fd, &fs) || fs.f_type != TMPFS_MAGIC)
		return false;
	s->workspace_dev = st.st_dev;
	ses_event(s, SEV_OPENED);
	return true;
}

static bool not_opened(struct session *s, struct ipc_msg *m)
{
	const struct sv stage = ipc_get_sv(m, 64);
	const int sys = (int)ipc_get_u32(m);
	char shown[80];

	if (!ipc_end(m))
		return false;
	err_set(&s->failure, ERR_UNAVAILABLE, "the sandbox did not start: %s: %s",
		log_esc(stage, shown, sizeof(shown)), strerror(sys));
	err_fix(&s->failure, "run `fumehood doctor` on the host");
	ses_event(s, SEV_FAILED);
	return true;
}

static bool guest_record(void *arg, struct ipc_msg *m)
{
	struct session *s = arg;

	switch (m->type) {
	case GUEST_UP:
		launch_sandbox_up(&s->sandbox);
		return true;
	case GUEST_OPENED:
		return s->state == SES_STARTING && opened(s, m);
	case GUEST_FAILED:
		if (s->state == SES_STARTING)
			return not_opened(s, m);
		return s->state == SES_OPEN && call_record(s, m);
	case GUEST_CALL_STARTED:
	case GUEST_CALL_ENDED:
	case GUEST_DIED:
		return s->state == SES_OPEN && call_record(s, m);
	case GUEST_CHANGES:
		return s->state == SES_OPEN && changes_record(s, m);
	case GUEST_FILE_DONE:
		return s->state == SES_OPEN && file_record(s, m);
	default:
		return false;
	}
}

/* False: nothing more is to be read in this turn. */
static bool read_record(void *arg)
{
	struct session *s = arg;
	uint32_t type = 0;
	const enum heard heard = hear_record(&s->ctl_io, guest_record, &type);

	if (heard == HEARD_NOTHING || heard == HEARD_GOOD)
		return heard == HEARD_GOOD;
	if (heard == HEARD_BAD && s->state == SES_OPEN)
		log_msg(LOG_WARN, "event=bad_record_from_guest session=%s type=%u",
			s->id, type);
	if (heard == HEARD_BAD && s->state == SES_ENDING)
		return true;
	loop_del(&s->k->loop, &s->ctl_io);
	ses_event(s, SEV_GUEST_GONE);
	return false;
}

static void on_ctl_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	hear_turn(io, read_record);
}

static void on_child_ready(struct loop_io *io, uint32_t events)
{
	struct session *s = io->arg;

	(void)events;
	/* its last words may still be in the socket */
	for (unsigned i = 0; i < LAST_RECORDS && s->ctl_io.added &&
			     s->state != SES_ENDING && read_record(s);
	     i++)
		;
	if (s->state != SES_ENDING)
		ses_event(s, SEV_GUEST_GONE);
	s->child_ended = true;
	loop_del(&s->k->loop, &s->ctl_io);
	loop_del(&s->k->loop, &s->child_io);
	if (try_gone(s))
		ses_event(s, SEV_GONE);
}
