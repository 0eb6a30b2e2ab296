/* zygote.c: the loop of a guest that keeps a zygote; see zygote.h. */
#include "sandbox/guest/zygote.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- what happens to a cell -------------------------------------------------------------------- */

static void bury(struct zygote *z, struct cell *c)
{
	struct ipc_msg m;

	(void)z;
	if (c->told) {
		ipc_start(&m, GUEST_ENDED, c->id);
		ipc_put_u32(&m, c->status);
		ipc_put_u64(&m, c->ended_us);
		tell(&m);
	} else {
		tell_failed(c->id, &c->failure);
	}
	fd_close(&c->mounts);
	c->state = CELL_FREE;
}

static void end_room(struct zygote *z, struct cell *c)
{
	c->state = CELL_ENDING;
	if (c->room.pidfd >= 0)
		syscall(SYS_pidfd_send_signal, c->room.pidfd, SIGKILL, NULL, 0);
	else if (!c->owed)
		bury(z, c);
}

static void give_up(struct zygote *z, struct cell *c, const char *stage, int sys)
{
	failure_set(&c->failure, stage, sys);
	guest_close_cell(&c->given);
	fd_close(&c->ready_fd);
	end_room(z, c);
}

static void do_stands(struct zygote *z, struct cell *c)
{
	struct ipc_msg m;

	fd_close(&c->ready_fd);
	ipc_start(&m, GUEST_CELL, c->id);
	ipc_put_fd(&m, c->room.pidfd);
	guest_put_cell(&m, &c->given);
	if (ipc_send(z->line, &m, NULL)) {
		give_up(z, c, "order a cell", errno);
		return;
	}
	guest_close_cell(&c->given);
	c->owed = true;
	c->state = CELL_FORKING;
}

static void do_fell(struct zygote *z, struct cell *c)
{
	const struct failure why = c->failure;

	give_up(z, c, why.stage, why.sys);
}

static void do_cancel(struct zygote *z, struct cell *c)
{
	give_up(z, c, "killed", ECANCELED);
}

static void do_made(struct zygote *z, struct cell *c)
{
	struct ipc_msg m;
	AUTO_FD ws = c->room.pidfd >= 0 ? room_workspace(&c->room) : -1;

	if (ws < 0) { /* it was killed meanwhile */
		give_up(z, c, "open the workspace", errno);
		return;
	}
	c->mounts = mounts_hold(z->mounts, &c->room);
	c->state = CELL_LIVE;
	c->told = true;
	ipc_start(&m, GUEST_CELL_MADE, c->id);
	ipc_put_fd(&m, c->pidfd);
	ipc_put_fd(&m, ws);
	tell(&m);
}

/* Both of the zygote's last words: what the cell leaves behind goes with its room. */
static void do_ended(struct zygote *z, struct cell *c)
{
	c->owed = false;
	end_room(z, c);
}

/* What is in the room dies with it; the zygote will say so. */
static void do_kill(struct zygote *z, struct cell *c)
{
	(void)z;
	if (c->room.pidfd >= 0)
		syscall(SYS_pidfd_send_signal, c->room.pidfd, SIGKILL, NULL, 0);
}

static void do_gone(struct zygote *z, struct cell *c)
{
	room_end(&c->room);
	if (c->state == CELL_ENDING && !c->owed)
		bury(z, c);
}

/* NULL: comes too late, or cannot happen. */
/* clang-format off */
static void (*const action[CELL_STATES][CELL_EVENTS])(struct zygote *, struct cell *) = {
	[CELL_FREE] = {NULL},
	[CELL_ROOM] = {
		[EV_ROOM_STANDS] = do_stands,	[EV_ROOM_FELL] = do_fell,
		[EV_CELL_KILL] = do_cancel,
	},
	[CELL_FORKING] = {
		[EV_CELL_MADE] = do_made,		[EV_CELL_NOT_MADE] = do_ended,
		[EV_CELL_KILL] = do_kill,		[EV_ROOM_GONE] = do_gone,
	},
	[CELL_LIVE] = {
		[EV_CELL_ENDED] = do_ended,
		[EV_CELL_KILL] = do_kill,		[EV_ROOM_GONE] = do_gone,
	},
	[CELL_ENDING] = {
		[EV_CELL_ENDED] = do_ended,		[EV_ROOM_GONE] = do_gone,
	},
};
/* clang-format on */

static void event(struct zygote *z, struct cell *c, enum cell_event ev)
{
	void (*act)(struct zygote *, struct cell *) = action[c->state][ev];

	if (act)
		act(z, c);
}

static struct cell *find(struct zygote *z, uint64_t id)
{
	for (unsigned i = 0; i < GUEST_CELLS; i++)
		if (z->cells[i].state != CELL_FREE && z->cells[i].id == id)
			return &z->cells[i];
	return NULL;
}

/* --- what the keeper says ----------------------------------------------------------------------- */

static void begin(struct zygote *z, struct cell *c, uint64_t id,
		  const struct guest_cell *given)
{
	const struct room_plan plan = {.limits = &z->base,
				       .kind = ROOM_ONE_RUN,
				       .uid = given->uid,
				       .own_users = given->uid == GUEST_OWN_UID};

	*c = (struct cell){.state = CELL_ROOM,
			   .id = id,
			   .given = *given,
			   .room = {.pid = -1, .pidfd = -1},
			   .ready_fd = -1,
			   .pidfd = -1,
			   .mounts = -1};
	if (room_begin(&plan, &c->room, &c->ready_fd))
		give_up(z, c, "make the room", errno);
}

static void on_cell(struct zygote *z, struct ipc_msg *m)
{
	struct failure busy;
	struct guest_cell given;

	if (!m->id || find(z, m->id) || guest_get_cell(m, &given))
		_exit(1);
	for (unsigned i = 0; i < GUEST_CELLS; i++)
		if (z->cells[i].state == CELL_FREE) {
			begin(z, &z->cells[i], m->id, &given);
			return;
		}
	guest_close_cell(&given);
	failure_set(&busy, "too many cells", EBUSY);
	tell_failed(m->id, &busy);
}

static void on_kill(struct zygote *z, struct ipc_msg *m)
{
	struct cell *c = find(z, m->id);
	uint32_t slot;

	if (guest_get_slot(m, &slot) || slot != GUEST_NO_SLOT)
		_exit(1);
	if (c)
		event(z, c, EV_CELL_KILL);
}

static void on_keeper(struct zygote *z)
{
	struct ipc_msg m;
	int got = ipc_recv(GUEST_CTL_FD, &m, NULL);

	if (got != 1)
		_exit(got ? 1 : 0);
	if (m.type == GUEST_CELL)
		on_cell(z, &m);
	else if (m.type == GUEST_KILL)
		on_kill(z, &m);
	else
		_exit(1);
	ipc_finish(&m);
}

/* --- what the zygote says ------------------------------------------------------------------------ */

static void get_failure(struct ipc_msg *m, struct failure *f)
{
	ipc_get_cstr(m, f->stage, sizeof(f->stage));
	f->sys = (int)ipc_get_u32(m);
}

/* Of a cell. */
static void on_word(struct zygote *z, struct ipc_msg *m)
{
	struct cell *c = find(z, m->id);
	enum cell_event ev = EV_CELL_MADE;

	if (!c || !c->owed)
		_exit(1);
	if (m->type == GUEST_CELL_MADE) {
		c->pidfd = ipc_take_fd(m);
	} else if (m->type == GUEST_ENDED) {
		ev = EV_CELL_ENDED;
		c->status = ipc_get_u32(m);
		c->ended_us = ipc_get_u64(m);
	} else if (m->type == GUEST_FAILED) {
		ev = EV_CELL_NOT_MADE;
		get_failure(m, &c->failure);
	} else {
		_exit(1);
	}
	if (!ipc_end(m))
		_exit(1);
	event(z, c, ev);
	fd_close(&c->pidfd);
}

static void on_zygote(struct zygote *z)
{
	struct ipc_msg m;

	if (ipc_recv(z->line, &m, NULL) != 1)
		_exit(1);
	on_word(z, &m);
	ipc_finish(&m);
}

/* --- the loop ------------------------------------------------------------------------------------ */

/* What a zygote says of a cell comes before what the kernel says of its room, and the keeper last. */
enum { THE_ZYGOTE, ITS_LINE, THE_CELLS, THE_KEEPER = THE_CELLS + GUEST_CELLS, WATCHES };

/* A negative one is not asked. */
static int watched(const struct cell *c)
{
	return c->state == CELL_FREE   ? -1
	       : c->state == CELL_ROOM ? c->ready_fd
				       : c->room.pidfd;
}

static void round_of(struct zygote *z)
{
	struct pollfd p[WATCHES] = {
		[THE_ZYGOTE] = {z->pidfd, POLLIN, 0},
		[ITS_LINE] = {z->line, POLLIN, 0},
		[THE_KEEPER] = {GUEST_CTL_FD, POLLIN, 0},
	};

	for (unsigned i = 0; i < GUEST_CELLS; i++)
		p[THE_CELLS + i] = (struct pollfd){watched(&z->cells[i]), POLLIN, 0};
	if (poll(p, WATCHES, -1) < 0) {
		if (errno == EINTR)
			return;
		_exit(1);
	}
	if (p[ITS_LINE].revents)
		on_zygote(z);
	if (p[THE_ZYGOTE].revents)
		_exit(1);
	for (unsigned i = 0; i < GUEST_CELLS; i++) {
		struct cell *c = &z->cells[i];

		/* the line's word may have closed or ended what was asked */
		if (!p[THE_CELLS + i].revents || p[THE_CELLS + i].fd != watched(c))
			continue;
		if (c->state == CELL_ROOM)
			event(z, c,
			      room_ready(c->ready_fd, &c->failure) ? EV_ROOM_FELL
								   : EV_ROOM_STANDS);
		else
			event(z, c, EV_ROOM_GONE);
	}
	if (p[THE_KEEPER].revents)
		on_keeper(z);
}

/* --- the beginning -------------------------------------------------------------------------------- */

#define HIGH_FD 64 /* above all that the zygote starts with */

/* Ends the child that was to become the zygote. */
static _Noreturn void fail(const char *stage)
{
	struct failure f;

	failure_set(&f, stage, errno);
	tell_failed(0, &f);
	_exit(1);
}

static void place_fds(const struct guest_zygote *g)
{
	const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int high[] = {nothing,	    nothing,	  2,
			    ZYGOTE_LINE_FD, g->driver_fd, g->object_fd};
	int moved[ARRAY_LEN(high)];

	for (unsigned i = 0; i < ARRAY_LEN(high); i++)
		moved[i] = fcntl(high[i], F_DUPFD_CLOEXEC, HIGH_FD);
	for (unsigned i = 0; i < ARRAY_LEN(high); i++)
		if (dup2(moved[i], (int)i) < 0)
			fail("the zygote's descriptors");
	if (close_range(ARRAY_LEN(high), ~0U, 0))
		fail("close descriptors");
}
_Static_assert(ZYGOTE_LINE_FD == 3 && ZYGOTE_DRIVER_FD == 4 && ZYGOTE_OBJECT_FD == 5,
	       "the order above");

/* Copies of a record's strings, for exec. */
static char *keep(struct sv s)
{
	static char text[IPC_MAX_BYTES + GUEST_MAX_ARGS + GUEST_MAX_ENV];
	static size_t used;
	char *at = text + used;

	if (s.n >= sizeof(text) - used)
		fail("arguments");
	memcpy(at, s.p, s.n);
	used += s.n + 1;
	return at;
}

/* What is to be run, and what makes it a zygote, or has it wait in a cell: at the end of its environment, where it is taken
 * away again. */
static void put_words(const struct guest_zygote *g, char **argv, char **envp)
{
	const struct guest_run *r = &g->run;
	const int first = AHEAD_FIRST_FD(r->open_files);
	char preload[64], mark[160];
	uint32_t n = 0;

	argv[n++] = keep(r->interpreter);
	for (uint32_t i = 0; i < r->nargs; i++)
		argv[n++] = keep(r->args[i]);
	argv[n] = keep(g->ahead ? r->code_name : SV("/proc/self/fd/4"));
	snprintf(preload, sizeof(preload), "LD_PRELOAD=/proc/self/fd/%d",
		 g->ahead ? first + AHEAD_OBJECT : ZYGOTE_OBJECT_FD);
	snprintf(mark, sizeof(mark), AHEAD_MARK "=%d /workspace/" SV_FMT, first,
		 SV_ARG(r->code_name));
	for (n = 0; n < r->nenv; n++)
		envp[n] = keep(r->env[n]);
	envp[n++] = keep(sv_of(preload));
	envp[n] = keep(g->ahead ? sv_of(mark) : SV(ZYGOTE_MARK "=1"));
}
_Static_assert(ZYGOTE_DRIVER_FD == 4, "the path above");

/* Must: leave the zygote the guest's capabilities, which are ambient, and nothing else of the guest's. Must not: be given
 * anything of a caller's. */
static _Noreturn void become_zygote(const struct guest_zygote *g, int line)
{
	char *argv[GUEST_MAX_ARGS + 3] = {NULL}, *envp[GUEST_MAX_ENV + 3] = {NULL};
	sigset_t none;

	if (dup2(line, ZYGOTE_LINE_FD) < 0) /* so that what fails is told there */
		_exit(1);
	place_fds(g);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	put_words(g, argv, envp);
	if (g->ahead)
		starter_main(argv, envp);
	if (confine_stack())
		fail("limits");
	execve(argv[0], argv, envp);
	fail("start the interpreter");
}

/* -1 with f filled. */
static int start(struct zygote *z, const struct guest_zygote *g, struct failure *f)
{
	int line[2];
	long pid;

	failure_set(f, "fork the zygote", 0);
	if (fd_socketpair(line, NULL)) {
		f->sys = errno;
		return -1;
	}
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &z->pidfd, 0, 0);
	if (!pid)
		become_zygote(g, line[1]);
	f->sys = errno;
	z->line = line[0];
	fd_close(&line[1]);
	return pid < 0 ? -1 : 0;
}

/* Waits for it, unless the keeper goes away meanwhile, and tells it what its cells are to be given. */
static int arm(struct zygote *z, const struct guest_zygote *g, struct failure *f)
{
	struct pollfd p[2] = {{z->line, POLLIN, 0}, {GUEST_CTL_FD, POLLRDHUP, 0}};
	struct ipc_msg m;
	int got;

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			_exit(1);
	if (p[1].revents)
		_exit(0);
	failure_set(f, "the zygote's driver", 0);
	got = ipc_recv(z->line, &m, NULL);
	if (got == 1 && m.type == GUEST_FAILED)
		get_failure(&m, f);
	ipc_finish(&m);
	if (got != 1 || m.type != GUEST_ZYGOTE_UP)
		return -1;
	ipc_start(&m, GUEST_OPEN, 0);
	guest_put_open(&m, &g->run);
	return ipc_send(z->line, &m, NULL);
}

_Noreturn void zygote_main(uint64_t id, struct guest_zygote *g)
{
	static struct zygote z = {.pidfd = -1, .line = -1, .mounts = -1};
	struct failure f = {.sys = 0};
	struct ipc_msg m;

	z.base = g->run;
	if (start(&z, g, &f) || arm(&z, g, &f)) {
		tell_failed(id, &f);
		_exit(1);
	}
	fd_close(&g->run.filter_fd);
	fd_close(&g->driver_fd);
	fd_close(&g->object_fd);
	z.mounts = mounts_begin();
	ipc_start(&m, GUEST_ZYGOTE_UP, id);
	tell(&m);
	for (;;)
		round_of(&z);
}
