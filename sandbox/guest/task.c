/* task.c: one interpreter or program of a session, from its call to its end; see session.h. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/session.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIVE_UP_SWEEPS 4000 /* about as many ms: what no SIGKILL ends is the kernel's */
#define AT_ONCE 200 /* the same, where a call waits for it */

static bool is_program(const struct session *s, const struct task *t)
{
	return t - s->tasks >= GUEST_SLOTS;
}

static unsigned index_of(const struct session *s, const struct task *t)
{
	return (unsigned)(t - s->tasks);
}

/* --- what happens ----------------------------------------------------------------------------- */

static void ignore(struct session *s, struct task *t)
{
	(void)s;
	(void)t;
}

static void do_kill(struct session *s, struct task *t)
{
	/* before the sweep, which may come too late for one that has called setsid() again */
	syscall(SYS_pidfd_send_signal, t->pidfd, SIGKILL, NULL, 0);
	fd_close(&t->line);
	fd_close(&t->fail_fd);
	porter_drop(s, index_of(s, t));
	t->state = TASK_ENDING;
	t->sweeps = 0;
	task_end_step(s, t);
}

static void do_exit(struct session *s, struct task *t)
{
	t->ended_us = guest_now_us();
	do_kill(s, t);
}

static void do_not_started(struct session *s, struct task *t)
{
	do_kill(s, t);
}

static void finish_call(struct session *s, struct task *t)
{
	struct guest_word w = {.pidfd = -1,
			       .how = GUEST_BY_DRIVER,
			       .status = t->code,
			       .when_us = guest_now_us()};
	const uint64_t call = t->call;

	w.changes = looks_wanted(s, t);
	t->call = 0;
	t->state = TASK_IDLE;
	porter_drop(s, index_of(s, t));
	tell_word(GUEST_CALL_ENDED, call, &w);
	if (w.changes)
		looks_begin(s, call, t->last);
}

/* It must be looking for this: a buffer that is full or gone is its own doing. */
static void give_order(struct session *s, struct task *t, struct sv order)
{
	if (t->line < 0 || send(t->line, order.p, order.n,
				MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)order.n) {
		do_kill(s, t);
		return;
	}
	t->state = TASK_RUNNING;
	t->run_us = guest_now_us();
}

bool task_is_untold(const struct task *t)
{
	return t->state == TASK_RUNNING && !t->told;
}

void task_tell(struct task *t)
{
	struct guest_word w = {.pidfd = -1, .when_us = t->run_us};

	if (guest_now_us() - t->run_us < TASK_TELL_MS * 1000)
		return;
	t->told = true;
	tell_word(GUEST_CALL_STARTED, t->call, &w);
}

/* An interpreter that is up and whose call's files are there. */
static void run(struct session *s, struct task *t)
{
	char line[40];
	int n = snprintf(line, sizeof(line), "run %llu\n",
			 (unsigned long long)t->number);

	if (t->interrupted) {
		porter_forget(s, t->number);
		t->code = 128 + SIGINT;
		finish_call(s, t);
		return;
	}
	give_order(s, t, (struct sv){line, (size_t)n});
}

static void do_exec(struct session *s, struct task *t)
{
	struct guest_word w = {.pidfd = t->pidfd, .when_us = guest_now_us()};

	fd_close(&t->fail_fd);
	t->state = is_program(s, t) ? TASK_RUNNING : TASK_LOADING;
	t->told = true;
	tell_word(GUEST_CALL_STARTED, t->call, &w);
	if (t->interrupted && is_program(s, t))
		kill(-t->pid, SIGINT);
}

static void do_up(struct session *s, struct task *t)
{
	t->state = TASK_UNPACKING;
	if (t->unpacked)
		run(s, t);
}

static void note_unpacked(struct session *s, struct task *t)
{
	(void)s;
	t->unpacked = true;
}

static void do_unpacked(struct session *s, struct task *t)
{
	t->unpacked = true;
	run(s, t);
}

/* The call is over; an interpreter that was there before it is not to blame. */
static void do_not_unpacked(struct session *s, struct task *t)
{
	const uint64_t call = t->call;

	if (t->fresh) {
		do_kill(s, t);
		return;
	}
	porter_forget(s, t->number);
	t->state = TASK_IDLE;
	t->call = 0;
	tell_failed(call, &t->failure);
}

/* While code runs, the line may close without harm: a program that took the interpreter's place, or
 * closed what it did not open, runs on to its end. It can take no further call. */
static void do_line_closed(struct session *s, struct task *t)
{
	(void)s;
	fd_close(&t->line);
}

static void do_interrupt(struct session *s, struct task *t)
{
	(void)s;
	kill(-t->pid, SIGINT);
}

static void note_interrupt(struct session *s, struct task *t)
{
	(void)s;
	t->interrupted = true;
}

/* Programs have no line, so the events of lines never reach them; what a task in TASK_FREE or
 * TASK_ENDING is told comes too late. NULL: cannot happen. */
/* clang-format off */
static void (*const action[TASK_STATES][TASK_EVENTS])(struct session *, struct task *) = {
	[TASK_FREE] = {NULL},
	[TASK_STARTING] = {
		[EV_EXEC] = do_exec,		[EV_NOT_STARTED] = do_not_started,
		[EV_UNPACKED] = note_unpacked,	[EV_NOT_UNPACKED] = do_not_unpacked,
		[EV_INTERRUPT] = note_interrupt, [EV_KILL] = do_kill, [EV_EXIT] = do_exit,
	},
	[TASK_LOADING] = {
		[EV_UP] = do_up,		[EV_END] = do_kill,
		[EV_WRONG] = do_kill,		[EV_LINE_CLOSED] = do_kill,
		[EV_UNPACKED] = note_unpacked,	[EV_NOT_UNPACKED] = do_not_unpacked,
		[EV_INTERRUPT] = note_interrupt, [EV_KILL] = do_kill, [EV_EXIT] = do_exit,
	},
	[TASK_IDLE] = {
		[EV_UP] = do_kill,		[EV_END] = do_kill,
		[EV_WRONG] = do_kill,		[EV_LINE_CLOSED] = do_kill,
		[EV_INTERRUPT] = ignore,	[EV_KILL] = do_kill, [EV_EXIT] = do_exit,
	},
	[TASK_UNPACKING] = {
		[EV_UP] = do_kill,		[EV_END] = do_kill,
		[EV_WRONG] = do_kill,		[EV_LINE_CLOSED] = do_kill,
		[EV_UNPACKED] = do_unpacked,	[EV_NOT_UNPACKED] = do_not_unpacked,
		[EV_INTERRUPT] = note_interrupt, [EV_KILL] = do_kill, [EV_EXIT] = do_exit,
	},
	[TASK_RUNNING] = {
		[EV_UP] = do_kill,		[EV_END] = finish_call,
		[EV_WRONG] = do_kill,		[EV_LINE_CLOSED] = do_line_closed,
		[EV_INTERRUPT] = do_interrupt,	[EV_KILL] = do_kill, [EV_EXIT] = do_exit,
	},
	[TASK_ENDING] = {
		[EV_INTERRUPT] = ignore,	[EV_KILL] = ignore, [EV_EXIT] = ignore,
	},
};
/* clang-format on */

void task_event(struct session *s, struct task *t, enum task_event ev)
{
	void (*act)(struct session *, struct task *) = action[t->state][ev];

	if (act)
		act(s, t);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void bury(struct session *s, struct task *t)
{
	struct guest_word w = {.pidfd = -1,
			       .how = GUEST_BY_KERNEL,
			       .slot = index_of(s, t),
			       .when_us = t->ended_us ? t->ended_us : guest_now_us()};
	const struct task was = *t;
	int status = 0;

	while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
		;
	w.status = (uint32_t)status;
	w.changes = was.call && !was.failure.stage[0] && looks_wanted(s, &was);
	fd_close(&t->pidfd);
	*t = (struct task){.pidfd = -1, .fail_fd = -1, .line = -1};
	if (was.call && was.number)
		porter_forget(s, was.number);
	if (was.call && was.failure.stage[0])
		tell_failed(was.call, &was.failure);
	else if (was.call)
		tell_word(GUEST_CALL_ENDED, was.call, &w);
	else
		tell_word(GUEST_DIED, 0, &w);
	if (w.changes)
		looks_begin(s, was.call, was.last);
}

static bool leader_is_dead(const struct task *t)
{
	siginfo_t si = {.si_pid = 0};

	return !waitid(P_PID, (id_t)t->pid, &si, WEXITED | WNOHANG | WNOWAIT) &&
	       si.si_pid == t->pid;
}

void task_end_step(struct session *s, struct task *t)
{
	const bool dead = leader_is_dead(t);

	if (dead && !t->ended_us)
		t->ended_us = guest_now_us();
	if ((sweep(t->pid) && t->sweeps++ < GIVE_UP_SWEEPS) || !dead)
		return;
	bury(s, t);
}

static void end_at_once(struct session *s, struct task *t)
{
	const struct timespec ms = {0, 1000000};

	for (unsigned i = 0; t->state == TASK_ENDING && i < AT_ONCE; i++) {
		nanosleep(&ms, NULL);
		task_end_step(s, t);
	}
}

/* --- the start -------------------------------------------------------------------------------- */

/* In the child it never returns. */
static int start(struct session *s, struct task *t, struct guest_call *c)
{
	int failed[2] = {-1, -1}, line[2] = {-1, -1}, pidfd = -1;
	long pid = -1;

	if (c->run.filter_fd < 0)
		c->run.filter_fd = fcntl(s->base.filter_fd, F_DUPFD_CLOEXEC, 0);
	if (c->run.filter_fd >= 0 && !fd_pipe(failed, NULL) &&
	    (!c->driver.n || !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line)))
		pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
	if (!pid)
		payload_call_main(&(struct payload_call){.call = c,
							 .room = &s->room,
							 .log_fd = s->look_log,
							 .fail_fd = failed[1],
							 .line_fd = line[1]});
	fd_close(&failed[1]);
	fd_close(&line[1]);
	if (pid < 0) {
		fd_close(&failed[0]);
		fd_close(&line[0]);
		return -1;
	}
	*t = (struct task){.state = TASK_STARTING,
			   .pid = (pid_t)pid,
			   .pidfd = pidfd,
			   .fail_fd = failed[0],
			   .line = line[0]};
	snprintf(t->driver, sizeof(t->driver), SV_FMT, SV_ARG(c->driver));
	return 0;
}

static void set_limits(const struct session *s, struct guest_run *r)
{
	r->workspace_bytes = s->base.workspace_bytes;
	r->tmp_bytes = s->base.tmp_bytes;
	r->memory_bytes = s->base.memory_bytes;
	r->open_files = s->base.open_files;
	r->processes = s->base.processes + GUEST_SPARE_PROCESSES;
	r->rlimit_memory = s->base.rlimit_memory;
	r->landlock = s->base.landlock;
}

static struct task *find(struct session *s, const struct guest_call *c)
{
	if (c->driver.n)
		return &s->tasks[c->slot];
	for (unsigned i = GUEST_SLOTS; i < TASKS; i++)
		if (s->tasks[i].state == TASK_FREE)
			return &s->tasks[i];
	return NULL;
}

/* Whether t can take the call; starts it if it does not run. */
static int ready(struct session *s, struct task *t, struct guest_call *c,
		 struct failure *f)
{
	if (t && t->state == TASK_ENDING && !t->call)
		end_at_once(s, t);
	if (!t || s->over || (t->state != TASK_FREE && t->state != TASK_IDLE)) {
		failure_set(f, "busy", EBUSY);
		return -1;
	}
	if (t->state == TASK_IDLE) {
		failure_set(f, "another driver runs there", EINVAL);
		return sv_eq(c->driver, sv_of(t->driver)) ? 0 : -1;
	}
	failure_set(f, "no interpreter", ESRCH);
	if (c->run.out_fd < 0)
		return -1;
	set_limits(s, &c->run);
	if (start(s, t, c)) {
		failure_set(f, "fork the program", errno);
		return -1;
	}
	return 0;
}

/* Has a porter lay out the files of a driver's call. */
static int unpack(struct session *s, struct task *t, const struct guest_call *c)
{
	const struct porter job = {.job = PORTER_UNPACKS, .task = index_of(s, t)};
	struct guest_call files = *c;
	struct ipc_msg m;

	files.run.nargs = files.run.nenv = 0;
	files.run.interpreter = files.run.code_name = SV("");
	files.run.out_fd = files.run.err_fd = files.run.filter_fd = -1;
	files.rich_fd = files.driver_fd = -1;
	ipc_start(&m, GUEST_CALL, t->number);
	guest_put_call(&m, &files);
	return porter_send(s, &job, &m);
}

/* Short code and nothing else: an interpreter that waits for it gets it without a porter and a file,
 * which would take longer than the code does. False: not so. */
static bool hand_over(struct session *s, struct task *t, const struct guest_call *c)
{
	static char order[64 + TASK_INLINE_BYTES];
	const int64_t size = c->run.input_fd < 0 && c->run.stdin_fd < 0
				     ? fd_size(c->run.code_fd)
				     : -1;
	size_t head;

	if (t->fresh || !t->takes_code || size < 0 || size > TASK_INLINE_BYTES)
		return false;
	head = (size_t)snprintf(order, 64, "code %llu %lld\n",
				(unsigned long long)t->number, (long long)size);
	if (pread(c->run.code_fd, order + head, (size_t)size, 0) != size)
		return false;
	give_order(s, t, (struct sv){order, head + (size_t)size});
	return true;
}

void task_call(struct session *s, uint64_t id, struct guest_call *c)
{
	struct task *t = find(s, c);
	struct failure f;

	if (ready(s, t, c, &f)) {
		guest_close_call(c);
		tell_failed(id, &f);
		return;
	}
	t->call = id;
	t->fresh = t->state == TASK_STARTING;
	t->compiles = c->run.part == GUEST_COMPILES;
	t->last = c->last && !t->compiles;
	t->told = t->interrupted = t->unpacked = false;
	t->failure.stage[0] = '\0';
	if (!t->fresh)
		t->state = TASK_UNPACKING;
	if (c->driver.n)
		t->number = ++s->last_number;
	if (c->driver.n && !hand_over(s, t, c) && unpack(s, t, c)) {
		failure_set(&t->failure, "fork a porter", errno);
		task_event(s, t, EV_NOT_UNPACKED);
	}
	guest_close_call(c);
}

/* --- what a task's descriptors say ------------------------------------------------------------ */

void on_task_failure(struct session *s, struct task *t)
{
	struct failure f;
	ssize_t n = read(t->fail_fd, &f, sizeof(f));

	if (!n) {
		task_event(s, t, EV_EXEC);
		return;
	}
	if (n == sizeof(f))
		t->failure = f;
	else
		failure_set(&t->failure, "start", n < 0 ? errno : EPROTO);
	t->failure.stage[sizeof(f.stage) - 1] = '\0';
	task_event(s, t, EV_NOT_STARTED);
}

/* "up", "up inline", or "end N CODE". */
static enum task_event read_line(struct task *t, struct sv line)
{
	bool more = true;
	struct sv word, number;
	uint64_t n, code;

	t->takes_code |= sv_eq(line, SV("up inline"));
	if (sv_eq(line, SV("up")) || sv_eq(line, SV("up inline")))
		return EV_UP;
	if (!sv_cut(&line, ' ', &more, &word) || !sv_eq(word, SV("end")) || !more ||
	    !sv_cut(&line, ' ', &more, &number) || !more || sv_to_u64(number, &n) ||
	    n != t->number || sv_to_u64(line, &code) || code > 255)
		return EV_WRONG;
	t->code = (uint32_t)code;
	return EV_END;
}

/* At most a line's worth of bytes at a time: one that floods does not keep the others waiting. */
void on_task_line(struct session *s, struct task *t)
{
	ssize_t n =
		recv(t->line, t->got + t->ngot, sizeof(t->got) - t->ngot, MSG_DONTWAIT);
	struct sv rest;
	ptrdiff_t at;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		task_event(s, t, EV_LINE_CLOSED);
		return;
	}
	t->ngot += (unsigned)n;
	rest = (struct sv){t->got, t->ngot};
	/* the line is gone when a word was wrong */
	while (t->line >= 0 && (at = sv_find(rest, '\n')) >= 0) {
		enum task_event ev = read_line(t, (struct sv){rest.p, (size_t)at});

		rest.p += at + 1, rest.n -= (size_t)at + 1;
		task_event(s, t, ev);
	}
	if (t->line < 0)
		return;
	t->ngot = (unsigned)rest.n;
	memmove(t->got, rest.p, rest.n);
	if (t->ngot == sizeof(t->got))
		task_event(s, t, EV_WRONG);
}

/* What it said before it died comes first. */
void on_task_exit(struct session *s, struct task *t)
{
	if (t->state == TASK_STARTING)
		on_task_failure(s, t);
	if (t->state != TASK_STARTING && t->line >= 0)
		on_task_line(s, t);
	task_event(s, t, EV_EXIT);
}
