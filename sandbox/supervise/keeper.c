/* keeper.c: the keeper's connections: front, ledger, signals.
 *
 * Theory of operation. The front gone (EOF) or SIGTERM: every run is cancelled, the process ends
 * when the last outcome is recorded. The ledger gone: nothing may run unrecorded, so every run is
 * ended at once and the process with it. The auth role gone: nobody's calls can be told from
 * anybody's, so it ends in order, as without a front. Killed: bwrap and its guest die with this process
 * (--die-with-parent), and the process that started the roles removes the cgroups. */
#include "sandbox/supervise/stock.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* pipes, sockets, cgroup files and pidfds of one run; memfds of one that waits */
#define FDS_PER_RUN 24
#define FDS_PER_WAITING 4
#define LEAST_QUEUE 64
#define FDS_PER_SESSION 24 /* its cgroup files, sockets, pidfds of interpreters */

static void end_if_idle(struct keeper *k)
{
	if (k->front_gone && !k->runs && !k->sessions && !k->stocks)
		loop_stop(&k->loop);
}

void keeper_pump(struct keeper *k)
{
	struct run *r;

	/* looked for anew each time: an event may free runs and change the list */
	while (!k->front_gone && !k->ledger_gone && (r = share_next(k)))
		run_event(r, EV_SLOT);
	end_if_idle(k);
}

static void stop_all(struct keeper *k, enum verdict_reason why)
{
	struct run *next;

	for (struct run *r = k->runs; r; r = next) {
		next = r->next;
		if (!r->evidence.reason)
			r->evidence.reason = why;
		run_event(r, EV_STOP);
	}
}

void keeper_end(struct keeper *k)
{
	if (k->front_gone)
		return;
	k->front_gone = true;
	loop_del(&k->loop, &k->front_io);
	tell_finish(k);
	auth_drop_all(k);
	stop_all(k, VERDICT_CANCEL);
	ses_end_all(k, "server_stopped");
	stock_end_all(k);
	end_if_idle(k);
}

/* --- what the front sends; -1: not a record it may send ------------------------------------------ */

static int take_run(struct keeper *k, struct ipc_msg *m)
{
	struct wire_run w;

	if (run_find(k, m->id) || !m->id || auth_has(k, m->id, true) ||
	    wire_get_run(m, &w))
		return -1;
	auth_run(k, m->id, &w);
	return 0;
}

static int take_stop(struct keeper *k, struct ipc_msg *m)
{
	struct run *r = run_find(k, m->id);
	const uint32_t why = ipc_get_u32(m);

	if (!ipc_end(m) || (why != WIRE_CANCEL && why != WIRE_OUTPUT_LIMIT))
		return -1;
	auth_stop(k, m->id);
	if (!r) /* it has just ended: the records crossed */
		return 0;
	if (!r->evidence.reason && !r->evidence.has_status)
		r->evidence.reason =
			why == WIRE_CANCEL ? VERDICT_CANCEL : VERDICT_OUTPUT;
	run_event(r, EV_STOP);
	return 0;
}

static int take_auth(struct keeper *k, struct ipc_msg *m)
{
	const struct sv credential = ipc_get_sv(m, SUP_MAX_CREDENTIAL);

	if (!ipc_end(m) || auth_has(k, m->id, false))
		return -1;
	auth_identify(k, m->id, credential);
	return 0;
}

static int take_ask(struct keeper *k, struct ipc_msg *m)
{
	struct wire_ask a;

	if (!m->id || ask_has(k, m->id) || wire_get_ask(m, &a))
		return -1;
	ask_new(k, m->id, m->type, &a);
	return 0;
}

static int take_drop(struct keeper *k, struct ipc_msg *m)
{
	char id[SUP_SESSION_ID_SIZE] = "";

	ipc_get_cstr(m, id, sizeof(id));
	if (!ipc_end(m))
		return -1;
	ses_drop(k, id);
	return 0;
}

static int front_record(struct keeper *k, struct ipc_msg *m)
{
	if (m->id & WIRE_ID_BIT)
		return -1;
	if (m->type >= SUP_ASK_OPEN && m->type <= SUP_ASK_FILE)
		return take_ask(k, m);
	switch (m->type) {
	case SUP_RUN:
		return take_run(k, m);
	case SUP_STOP:
		return take_stop(k, m);
	case SUP_AUTH:
		return take_auth(k, m);
	case SUP_DROP:
		return take_drop(k, m);
	case SUP_ASK_STOP:
	case SUP_READ:
		if (!ipc_end(m))
			return -1;
		(m->type == SUP_READ ? ses_read : file_stop)(k, m->id);
		return 0;
	default:
		return -1;
	}
}

static void on_front_ready(struct loop_io *io, uint32_t events)
{
	struct keeper *k = io->arg;
	struct ipc_msg m;
	struct err e = {0};
	int got;

	if (tell_waits(k)) {
		tell_again(k);
		return;
	}
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	got = ipc_recv(k->front, &m, &e);
	if (got < 0 && e.sys == EAGAIN)
		return;
	if (got == 1 && front_record(k, &m)) {
		log_msg(LOG_ERROR, "event=bad_record_from_front type=%u", m.type);
		got = -1;
	}
	sodium_memzero(m.data, m.n < sizeof(m.data) ? m.n : sizeof(m.data));
	ipc_finish(&m);
	if (got != 1)
		keeper_end(k);
}

/* Looked for anew each time: an event frees one. */
static void unrecord_sessions(struct keeper *k)
{
	struct session *s = k->sessions;

	while (s) {
		if (s->state == SES_RECORDING || s->state == SES_CLOSING) {
			ses_event(s, SEV_NOT_RECORDED);
			s = k->sessions;
		} else {
			s = s->next;
		}
	}
}

/* An acknowledgement, or its refusal: of a run's record or of a session's. */
static void on_written(struct keeper *k, uint64_t id, bool written)
{
	struct session *s = id & WIRE_ID_BIT ? ses_by_number(k, id) : NULL;
	struct run *r = id && !(id & WIRE_ID_BIT) ? run_find(k, id) : NULL;

	if (s)
		ses_event(s, written ? SEV_RECORDED : SEV_NOT_RECORDED);
	if (r)
		run_event(r, written ? EV_RECORDED : EV_NOT_RECORDED);
}

static void ledger_left(struct keeper *k)
{
	struct run *next;

	k->ledger_gone = true;
	loop_del(&k->loop, &k->ledger_io);
	log_msg(LOG_ERROR, "event=ledger_gone");
	for (struct run *r = k->runs; r; r = next) {
		next = r->next;
		if (r->state == RUN_RECORDING || r->state == RUN_CLOSING)
			run_event(r, EV_NOT_RECORDED);
	}
	unrecord_sessions(k);
	keeper_end(k);
}

static void on_ledger_ready(struct loop_io *io, uint32_t events)
{
	struct keeper *k = io->arg;
	struct ipc_msg m;
	struct err e = {0};
	int got;

	if (events & EPOLLOUT)
		ledger_write_again(k);
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	got = ipc_recv(k->ledger, &m, &e);
	if (got < 0 && e.sys == EAGAIN)
		return;
	if (got != 1) {
		ledger_left(k);
		return;
	}
	if (m.type == LED_KEY_FOUND) {
		auth_on_key(k, &m);
		ipc_finish(&m);
		return;
	}
	if (m.type == LED_NAK) {
		char why[200];

		log_msg(LOG_ERROR, "event=not_recorded cause=\"%s\"",
			log_esc(ipc_get_sv(&m, 400), why, sizeof(why)));
	}
	if (m.type == LED_ACK || m.type == LED_NAK)
		on_written(k, m.id, m.type == LED_ACK);
	ipc_finish(&m);
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct keeper *k = io->arg;
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		keeper_end(k);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void say_hello(struct keeper *k)
{
	const struct launch_facts *f = launch_facts(k->host);
	const struct pol_policy *p = pol_default();
	struct sup_info i = {.host = f->host,
			     .limits = p->limits,
			     .max_wall_ms = p->max_wall_ms,
			     .max_runs = k->max_runs,
			     .max_queue = k->max_queue,
			     .max_sessions = k->max_sessions,
			     .landlock_abi = f->landlock_abi,
			     .root = f->root};
	struct ipc_msg m;

	snprintf(i.cgroup, sizeof(i.cgroup), "%s", launch_cgroup_kind_name(f->cgroup));
	snprintf(i.bwrap_version, sizeof(i.bwrap_version), "%s", f->bwrap_version);
	snprintf(i.bwrap_path, sizeof(i.bwrap_path), "%s", f->bwrap_path);
	snprintf(i.degraded, sizeof(i.degraded), "%s", f->degraded);
	if (k->image)
		i.image = *k->image;
	ipc_start(&m, SUP_HELLO, 0);
	wire_put_info(&m, &i);
	keeper_tell(k, &m);
}

/* The ledger closes what dead servers left open before it says it is ready. */
static int await_ledger(struct keeper *k, struct err *e)
{
	struct ipc_msg m;
	int got = ipc_recv(k->ledger, &m, e);

	if (got == 1 && m.type != LED_READY)
		got = -1;
	if (got == 1)
		ipc_finish(&m);
	return got == 1 ? 0 : err_set(e, ERR_UNAVAILABLE, "the ledger did not start");
}

/* No record, no service: that nobody is asked who he is must be in the chain first. */
static int record_no_auth(struct keeper *k, struct err *e)
{
	char who[32];
	struct ipc_msg m;
	bool good;

	if (!(k->auth.modes & SUP_AUTH_NONE))
		return 0;
	log_msg(LOG_WARN, "event=insecure_no_auth");
	snprintf(who, sizeof(who), "local:%u", (unsigned)getuid());
	ipc_start(&m, LED_EVENT, 0);
	led_put_event(&m, &(struct led_event){.kind = SV("insecure_no_auth"),
					      .principal = sv_of(who),
					      .detail = SV("callers are not asked who "
							   "they are")});
	if (ipc_send(k->ledger, &m, e) || ipc_recv(k->ledger, &m, e) != 1)
		return err_set(e, ERR_UNAVAILABLE, "the ledger has gone");
	good = m.type == LED_ACK;
	ipc_finish(&m);
	return good ? 0
		    : err_set(e, ERR_UNAVAILABLE,
			      "that nobody is asked who he is could not be recorded");
}

/* Open files for all but sessions. */
static uint64_t files_of_runs(const struct keeper *k)
{
	return k->max_runs * FDS_PER_RUN + k->max_queue * FDS_PER_WAITING + 64;
}

/* Where open files are few, no more may wait than a quarter of what runs leave does for. */
static void fit_queue(struct keeper *k, uint64_t files)
{
	const uint64_t runs = k->max_runs * FDS_PER_RUN + 64;
	uint64_t room = files > runs ? (files - runs) / 4 / FDS_PER_WAITING : 0;

	if (room < LEAST_QUEUE)
		room = LEAST_QUEUE;
	if (k->max_queue <= room)
		return;
	k->max_queue = (uint32_t)room;
	log_msg(LOG_WARN, "event=queue_is_shorter open_files=%llu max_queue=%u",
		(unsigned long long)files, k->max_queue);
}

/* Runs come first: sessions get what those cannot need. So many as were asked for, or it is refused;
 * so many as there may be, where nobody asked. */
static int fit_sessions(struct keeper *k, const struct sup_keeper_opts *o,
			uint64_t files, struct err *e)
{
	const uint64_t room = (files - files_of_runs(k)) / FDS_PER_SESSION;
	const uint32_t uids = o->uid_count ? o->uid_count : LAUNCH_MAX_UIDS;
	const uint32_t free_uids = !launch_facts(k->host)->root ? UINT32_MAX
				   : uids > k->max_runs		? uids - k->max_runs
								: 0;

	if (o->max_sessions > room) {
		err_set(e, ERR_UNAVAILABLE,
			"%llu open files are too few for %u sessions beside %u runs: "
			"they do for %llu",
			(unsigned long long)files, o->max_sessions, k->max_runs,
			(unsigned long long)room);
		return err_fix(
			e,
			"raise the limit (ulimit -Hn) or lower --max-sessions or --max-runs");
	}
	if (o->max_sessions > free_uids) {
		err_set(e, ERR_UNAVAILABLE,
			"as root each sandbox has a uid of its own: of %u, %u are for "
			"runs, which leaves %u for %u sessions",
			uids, k->max_runs, free_uids, o->max_sessions);
		return err_fix(e,
			       "lower --max-sessions or --max-runs, raise --uid-count "
			       "(at most 256), or do not start it as root");
	}
	if (k->max_sessions > room)
		k->max_sessions = (uint32_t)room;
	if (k->max_sessions > free_uids)
		k->max_sessions = free_uids;
	return 0;
}

/* What has none of this runs as well, but for the time it takes: so it comes last. */
static void fit_cells(struct keeper *k, uint64_t files)
{
	const uint64_t others = files_of_runs(k) + k->max_sessions * FDS_PER_SESSION;
	const uint32_t asked = k->warm_cells;

	k->warm_cells = stock_fit(asked, files > others ? files - others : 0);
	if (k->warm_cells < asked)
		log_msg(LOG_WARN,
			"event=fewer_warm_cells open_files=%llu warm_cells=%u",
			(unsigned long long)files, k->warm_cells);
}

static int open_all(struct keeper *k, const struct sup_keeper_opts *o, struct err *e)
{
	const uint64_t files = launch_raise_nofile();

	fit_queue(k, files);
	if (files < files_of_runs(k)) {
		err_set(e, ERR_UNAVAILABLE, "%llu open files are too few for %u runs",
			(unsigned long long)files, k->max_runs);
		return err_fix(e, "raise the limit (ulimit -Hn) or lower --max-runs");
	}
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium does not start");
	if (loop_init(&k->loop, e) ||
	    launch_host_open(&(struct launch_host_opts){.bwrap_path = o->bwrap_path,
							.uid_base = o->uid_base,
							.uid_count = o->uid_count,
							.image = o->image
									 ? &o->image_dir
									 : NULL},
			     &k->host, e))
		return -1;
	launch_cgroups_sweep(0, false);
	if (fit_sessions(k, o, files, e))
		return -1;
	fit_cells(k, files);
	if (await_ledger(k, e) || launch_role_confine(LAUNCH_KEEPER, NULL, 0, e) ||
	    record_no_auth(k, e) || auth_open(k, e))
		return -1;
	k->front_io =
		(struct loop_io){.fd = k->front, .on_ready = on_front_ready, .arg = k};
	k->ledger_io = (struct loop_io){
		.fd = k->ledger, .on_ready = on_ledger_ready, .arg = k};
	k->signal_io =
		(struct loop_io){.fd = open_signals(), .on_ready = on_signal, .arg = k};
	if (fd_set_nonblock(k->front) || fd_set_nonblock(k->ledger))
		return err_sys(e, "set a socket non-blocking");
	return loop_add(&k->loop, &k->front_io, EPOLLIN, e) ||
	       loop_add(&k->loop, &k->ledger_io, EPOLLIN, e) ||
	       loop_add(&k->loop, &k->signal_io, EPOLLIN, e);
}

int sup_keeper_main(const struct sup_keeper_opts *o)
{
	struct keeper k = {.front = o->front_sock,
			   .image = o->image,
			   .ledger = o->ledger_sock,
			   .max_runs = o->max_runs,
			   .max_queue = o->max_queue,
			   .warm_cells = o->warm_cells,
			   .max_sessions =
				   o->max_sessions ? o->max_sessions : SUP_MAX_SESSIONS,
			   .refusals = {.burst = 60, .per_s = 1}};
	struct err e = {0};
	int bad;

	auth_init(&k.auth, o->auth_sock, o->auth_modes);
	bad = open_all(&k, o, &e);
	if (!bad) {
		say_hello(&k);
		bad = loop_run(&k.loop, &e);
	}
	if (bad)
		log_err("keeper_failed", &e);
	tell_finish(&k);
	ledger_write_finish(&k);
	auth_finish(&k);
	launch_host_free(k.host);
	loop_finish(&k.loop);
	fd_close(&k.signal_io.fd);
	fd_close(&k.ledger);
	fd_close(&k.front);
	return bad || k.ledger_gone || k.auth.gone ? 1 : 0;
}
