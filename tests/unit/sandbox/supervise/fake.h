/* fake.h: a keeper without processes: the test holds the front's, the ledger's and the guest's ends of its sockets,
 * and is the launch room. */
#ifndef FAKE_H
#define FAKE_H

#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static struct keeper k;
static int front, ledger, guest; /* the test's ends */
static struct launch_facts facts;
static bool gone_now;
static unsigned killed, calls_launched;
static int child_event; /* readable: bwrap has ended */
static struct launch_call last_call;

#include "tests/unit/sandbox/supervise/fake_zygote.h"

/* --- the launch room ---------------------------------------------------------------------------- */

const struct launch_facts *launch_facts(const struct launch_host *h)
{
	(void)h;
	return &facts;
}
int launch_host_open(const struct launch_host_opts *o, struct launch_host **ret, struct err *e)
{
	(void)o;
	(void)ret;
	return err_set(e, ERR_INTERNAL, "not here");
}
void launch_host_free(struct launch_host *h)
{
	(void)h;
}
int launch_sandbox(struct launch_host *h, const struct plan *plan, const struct launch_io *io,
		   struct launch_sandbox *ret, struct err *e)
{
	(void)h;
	(void)plan;
	(void)io;
	(void)ret;
	return err_set(e, ERR_INTERNAL, "not here");
}
int launch_session(struct launch_host *h, const struct plan *plan, struct launch_sandbox *ret,
		   struct err *e)
{
	int line[2], none[2];

	(void)h;
	(void)plan;
	if (launch_fails)
		return err_set(e, ERR_UNAVAILABLE, "it does not start");
	must(!fd_socketpair(line, e) && !fd_pipe(none, e) && !fd_set_nonblock(line[0]) &&
	     !fd_set_nonblock(line[1]));
	fd_close(&none[1]);
	guest = line[1];
	child_event = eventfd(0, EFD_CLOEXEC);
	*ret = (struct launch_sandbox){.pid = -1,
				       .pidfd = child_event,
				       .ctl = line[0],
				       .complaints = none[0],
				       .guest_pidfd = -1,
				       .cgroup.oom_event = -1};
	return 0;
}
int launch_call(struct launch_host *h, struct launch_sandbox *s, const struct plan *plan,
		const struct launch_call *c, struct err *e)
{
	struct ipc_msg m;

	(void)h;
	(void)plan;
	last_call = *c;
	calls_launched++;
	ipc_start(&m, GUEST_CALL, c->id);
	ipc_put_u32(&m, c->slot);
	ipc_put_u32(&m, c->io.out_fd >= 0);
	return ipc_send(s->ctl, &m, e);
}
void launch_sandbox_up(struct launch_sandbox *s)
{
	(void)s;
}
void launch_sandbox_kill(struct launch_sandbox *s, int step)
{
	(void)s;
	(void)step;
	killed++;
}
bool launch_sandbox_gone(struct launch_host *h, struct launch_sandbox *s)
{
	(void)h;
	if (!gone_now)
		return false;
	fd_close(&s->ctl);
	fd_close(&s->complaints);
	fd_close(&s->pidfd);
	usage = (struct launch_usage){0}; /* as a cgroup's that is no more */
	return true;
}
void launch_cgroup_usage(const struct launch_cgroup *cg, struct launch_usage *ret)
{
	(void)cg;
	*ret = usage;
}
const char *launch_cgroup_kind_name(enum launch_cgroup_kind kind)
{
	(void)kind;
	return "v2";
}
void launch_cgroups_sweep(pid_t owner_pid, bool own_too)
{
	(void)owner_pid;
	(void)own_too;
}
void launch_cgroup_kill(const struct launch_cgroup *cg)
{
	(void)cg;
}
int launch_role_confine(enum launch_role r, const char *const *dirs, uint32_t uid, struct err *e)
{
	(void)r;
	(void)dirs;
	(void)uid;
	(void)e;
	return 0;
}
uint64_t launch_raise_nofile(void)
{
	return 1024;
}

/* --- the rig ------------------------------------------------------------------------------------ */

static inline void pair(int *ours, int *theirs)
{
	int p[2];

	must(!fd_socketpair(p, NULL) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	*ours = p[0];
	*theirs = p[1];
}

static inline void on_idle(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static inline void turn(void)
{
	for (int i = 0; i < 6; i++) {
		struct loop_timer t = {.on_due = on_idle, .arg = &k.loop};

		k.loop.stopped = false;
		loop_timer_set(&k.loop, &t, 0);
		must(!loop_run(&k.loop, NULL));
		loop_timer_stop(&k.loop, &t);
	}
}

static inline void no_news(struct loop_io *io, uint32_t events)
{
	(void)io;
	(void)events;
}

static inline void up(unsigned modes)
{
	k = (struct keeper){.max_runs = 16,
			    .max_queue = 64,
			    .max_sessions = 8,
			    .auth.modes = modes,
			    .auth.sock = -1,
			    .refusals = {.burst = 60, .per_s = 1}};
	facts = (struct launch_facts){.cgroup = LAUNCH_CG_V2};
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		snprintf(facts.host.path[i], sizeof(facts.host.path[i]), "/usr/bin/x");
	launch_fails = gone_now = false;
	killed = calls_launched = 0;
	usage = (struct launch_usage){.peak_memory_bytes = 1};
	guest = -1;
	must(!loop_init(&k.loop, NULL));
	pair(&k.front, &front);
	pair(&k.ledger, &ledger);
	k.front_io = (struct loop_io){.fd = k.front, .on_ready = no_news, .arg = &k};
	must(!loop_add(&k.loop, &k.front_io, 0, NULL));
}

static inline void down(void)
{
	ok(!k.runs && !k.sessions && !k.asks && !k.busy && !k.waiting && !k.nsessions && !k.nasks,
	   "in the end nothing is left");
	loop_del(&k.loop, &k.front_io);
	loop_finish(&k.loop);
	fd_close(&k.front);
	fd_close(&k.ledger);
	fd_close(&front);
	fd_close(&ledger);
	fd_close(&guest);
}

/* The next record there, type 0: none. */
/* The front, if it is such, tells with its next record that all output of a call has been read. */
static bool front_reads = true;

static inline uint32_t take(int sock, struct ipc_msg *m)
{
	const uint32_t type = ipc_recv(sock, m, NULL) == 1 ? m->type : 0;

	if (front_reads && sock == front && (type == SUP_ENDED || type == SUP_REFUSED))
		ses_read(&k, m->id);
	return type;
}

static inline uint32_t type_at(int sock)
{
	struct ipc_msg m;
	uint32_t type = take(sock, &m);

	if (type)
		ipc_finish(&m);
	return type;
}

/* The ledger takes one record; its type, 0: there was none. */
static inline uint32_t write_next(void)
{
	struct ipc_msg m;
	uint32_t got = take(ledger, &m);
	const uint64_t id = m.id;

	if (!got)
		return 0;
	ipc_finish(&m);
	if (id & WIRE_ID_BIT && ses_by_number(&k, id))
		ses_event(ses_by_number(&k, id), SEV_RECORDED);
	else if (id && run_find(&k, id))
		run_event(run_find(&k, id), EV_RECORDED);
	turn();
	return got;
}

static inline bool written(uint32_t type)
{
	return write_next() == type;
}

static inline void say(struct ipc_msg *m)
{
	must(!ipc_send(guest, m, NULL));
	turn();
}

static inline void say_opened(int fd)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_OPENED, 1);
	ipc_put_fd(&m, fd);
	say(&m);
}

static inline void say_failed(uint64_t id, uint32_t sys)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_FAILED, id);
	ipc_put_sv(&m, SV("stage"));
	ipc_put_u32(&m, sys);
	say(&m);
}

static inline void say_word(enum guest_type type, uint64_t id, const struct guest_word *w)
{
	struct ipc_msg m;

	ipc_start(&m, type, id);
	guest_put_word(&m, w);
	say(&m);
}

static inline void say_started(uint64_t id, int fresh)
{
	AUTO_FD any = fresh ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;

	say_word(GUEST_CALL_STARTED, id,
		 &(struct guest_word){.when_us = loop_now_us(), .pidfd = any});
}

static inline void say_ended(uint64_t id, enum guest_how how, uint32_t status)
{
	say_word(GUEST_CALL_ENDED, id,
		 &(struct guest_word){.when_us = loop_now_us(),
				      .pidfd = -1,
				      .how = how,
				      .status = status});
}

static inline void ask_for(uint64_t id, uint32_t type, struct wire_ask w)
{
	w.data_fd = w.op == SUP_FILE_WRITE && type == SUP_ASK_FILE ? w.data_fd : -1;
	ask_new(&k, id, type, &w);
	turn();
}

/* Everything of the sandbox is dead. */
static inline void child_ends(void)
{
	const uint64_t one = 1;

	gone_now = true;
	must(write(child_event, &one, sizeof(one)) == sizeof(one));
	turn();
}

/* A folder on tmpfs, as the guest's. */
static inline int workspace(void)
{
	int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(fd >= 0);
	return fd;
}

/* Opens one as the caller of this process; its row is told. */
static inline struct session *open_one(uint64_t id)
{
	AUTO_FD dir = workspace();

	ask_for(id, SUP_ASK_OPEN, (struct wire_ask){.language = SV("")});
	must(written(LED_SESSION_OPEN) && k.sessions);
	say_opened(dir);
	must(type_at(front) == SUP_SESSIONS);
	return k.sessions;
}

static inline void close_all(void)
{
	while (k.sessions) {
		child_event = k.sessions->sandbox.pidfd;
		ses_end(k.sessions, SUP_SESSION_CLOSED, "closed");
		child_ends();
		while (write_next())
			;
	}
	while (type_at(front))
		;
}

/* Sends a call; its intent is not written yet. */
static inline struct run *call(uint64_t id, const struct session *s, const char *language)
{
	struct wire_run w = {.tool = POL_RUN_CODE,
			     .language = sv_of(language),
			     .session_id = sv_of(s->id),
			     .code_fd = fd_memfd("code", "x", 1, NULL),
			     .input_fd = -1,
			     .stdin_fd = -1};

	auth_run(&k, id, &w);
	turn();
	return run_find(&k, id);
}

/* The result the front got; false: it got something else. */
static inline bool has_result(uint64_t id, struct sup_result *ret)
{
	struct ipc_msg m;
	bool good = take(front, &m) == SUP_ENDED && m.id == id && !wire_get_result(&m, ret);

	ipc_finish(&m);
	return good;
}

/* It got word that it may tell it. */
static inline bool recorded(uint64_t id)
{
	struct ipc_msg m;
	bool good = take(front, &m) == SUP_RECORDED && m.id == id && ipc_end(&m);

	ipc_finish(&m);
	return good;
}

static inline bool ended(uint64_t id, struct sup_result *ret)
{
	return has_result(id, ret) && recorded(id);
}

static inline bool refused(uint32_t type, uint64_t id, enum err_code code)
{
	struct err e = {0};
	struct ipc_msg m;
	bool good = take(front, &m) == type && m.id == id && !wire_get_err(&m, &e) &&
		    e.code == code;

	if (!good)
		printf("# %u %d %s\n", m.type, e.code, e.cause);
	ipc_finish(&m);
	return good;
}

static inline unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

#endif
