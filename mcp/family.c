/* family.c: starts the roles, waits for them, cleans up. See family.h. */
#include "mcp/family.h"

#include "mcp/image.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_MS 1700 /* after the first role has ended; a client waits 2 s in all */
#define MAX_ROLE_ARGS (OPTIONS_MAX_ARGS + OPTIONS_MAX_FLAGS + 8)

struct family {
	pid_t pid[LAUNCH_ROLE_COUNT]; /* 0: ended, -1: never started */
	int front_code;
	bool keeper_failed, stopping;
	int signals; /* signalfd */
	int image; /* its folder, with the lock; -1: none */
	struct family_plan *plan;
};

int complain(const struct err *e)
{
	dprintf(STDERR_FILENO, "fumehood: %s\n  %s\n", e->cause, err_remediation(e));
	return 2;
}

/* --- start ------------------------------------------------------------------------------------ */

/* The options again, for the roles: they must not depend on the variables being there. */
static void role_argv(const char *role, const struct options *o, char **argv)
{
	static char name[64], command[] = "role", stop[] = "--";
	unsigned n = 0;
	union {
		const char *in;
		char *out; /* execve keeps the const its prototype lacks */
	} u;

	snprintf(name, sizeof(name), "fumehood-%s", role);
	argv[n++] = name;
	n += options_argv(o, argv + n, OPTIONS_MAX_FLAGS);
	argv[n++] = command;
	argv[n++] = stop;
	u.in = role;
	argv[n++] = u.out;
	for (unsigned i = 0; i < o->nargs; i++) {
		u.in = o->args[i];
		argv[n++] = u.out;
	}
	argv[n] = NULL;
}

struct spawn {
	enum launch_role role;
	const char *name;
	const int *fds;
	unsigned nfds;
};

static int spawn(struct family *f, const struct spawn *s, const struct options *o,
		 struct err *e)
{
	static char *argv[MAX_ROLE_ARGS];

	role_argv(s->name, o, argv);
	f->pid[s->role] = launch_role_spawn(s->role, argv, s->fds, s->nfds, e);
	return f->pid[s->role] < 0 ? -1 : 0;
}

/* The sockets between the roles. */
enum line { FRONT_KEEPER, KEEPER_LEDGER, KEEPER_AUTH, AUTH_FETCH, LINES };

static int start_auth(struct family *f, int lines[LINES][2], const struct options *o,
		      struct err *e)
{
	const struct family_plan *p = f->plan;
	const int auth[] = {lines[KEEPER_AUTH][1],
			    p->fetch ? lines[AUTH_FETCH][0] : p->jwks_fd};
	const int fetch[] = {lines[AUTH_FETCH][1]};
	const bool two = p->fetch || p->jwks_fd >= 0;

	if (p->auth &&
	    spawn(f, &(struct spawn){LAUNCH_AUTH, "auth", auth, two ? 2 : 1}, o, e))
		return -1;
	return p->fetch ? spawn(f, &(struct spawn){LAUNCH_FETCH, "fetch", fetch, 1}, o,
				e)
			: 0;
}

static int start_all(struct family *f, int lines[LINES][2], const struct options *o,
		     struct err *e)
{
	const struct family_plan *p = f->plan;
	const int ledger[] = {lines[KEEPER_LEDGER][1]};
	int keeper[4] = {lines[FRONT_KEEPER][1], lines[KEEPER_LEDGER][0]};
	unsigned n = 2;
	int front[1 + FAMILY_MAX_FDS] = {lines[FRONT_KEEPER][0]};

	if (p->auth)
		keeper[n++] = lines[KEEPER_AUTH][0];
	if (f->image >= 0)
		keeper[n++] = f->image;
	memcpy(front + 1, p->fds, sizeof(p->fds));
	return spawn(f, &(struct spawn){LAUNCH_LEDGER, "ledger", ledger, 1}, o, e) ||
	       start_auth(f, lines, o, e) ||
	       spawn(f, &(struct spawn){LAUNCH_KEEPER, p->keeper, keeper, n}, o, e) ||
	       spawn(f, &(struct spawn){LAUNCH_FRONT, p->front, front, 1 + p->nfds}, o,
		     e);
}

static int start_family(struct family *f, const struct options *o, struct err *e)
{
	const struct family_plan *p = f->plan;
	int lines[LINES][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
	int bad;

	bad = fd_socketpair(lines[FRONT_KEEPER], e) ||
	      fd_socketpair(lines[KEEPER_LEDGER], e) ||
	      (p->auth && fd_socketpair(lines[KEEPER_AUTH], e)) ||
	      (p->fetch && fd_socketpair(lines[AUTH_FETCH], e)) ||
	      start_all(f, lines, o, e);
	for (int i = 0; i < LINES; i++) {
		fd_close(&lines[i][0]);
		fd_close(&lines[i][1]);
	}
	return bad ? -1 : 0;
}

/* --- wait ------------------------------------------------------------------------------------- */

static void note_end(struct family *f, pid_t pid, int status)
{
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;

	for (int r = 0; r < LAUNCH_ROLE_COUNT; r++) {
		if (f->pid[r] != pid)
			continue;
		f->pid[r] = 0;
		if (r == LAUNCH_FRONT)
			f->front_code = code;
		else if (code)
			f->keeper_failed = true;
	}
}

static bool any_left(const struct family *f)
{
	for (int r = 0; r < LAUNCH_ROLE_COUNT; r++)
		if (f->pid[r] > 0)
			return true;
	return false;
}

static bool any_ended(const struct family *f)
{
	for (int r = 0; r < LAUNCH_ROLE_COUNT; r++)
		if (f->pid[r] == 0)
			return true;
	return false;
}

static void signal_family(const struct family *f, int sig, bool front_only)
{
	for (int r = 0; r < LAUNCH_ROLE_COUNT; r++)
		if (f->pid[r] > 0 && (!front_only || r == LAUNCH_FRONT))
			kill(f->pid[r], sig);
}

static void reap(struct family *f)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_end(f, pid, status);
}

static void on_signal(struct family *f)
{
	struct signalfd_siginfo si;

	while (read(f->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		if (!f->stopping && f->plan->on_stopping)
			f->plan->on_stopping();
		f->stopping = true;
		signal_family(f, SIGTERM, true);
	}
}

/* The front serves, or has ended without. */
static void on_ready(struct family *f)
{
	char byte;

	if (read(f->plan->ready_fd, &byte, 1) == 1 && f->plan->on_ready)
		f->plan->on_ready();
	fd_close(&f->plan->ready_fd);
}

/* Waits for the roles. The first end starts the clock for the others. */
static void wait_family(struct family *f)
{
	uint64_t deadline_us = 0;

	for (;;) {
		struct pollfd fds[] = {{f->signals, POLLIN, 0},
				       {f->plan->ready_fd, POLLIN, 0}};
		uint64_t now = loop_now_us();
		int ms = -1;

		reap(f);
		if (!any_left(f))
			return;
		if (!deadline_us && any_ended(f))
			deadline_us = now + END_MS * 1000;
		if (deadline_us && now >= deadline_us) {
			signal_family(f, SIGKILL, false);
			ms = 1000;
		} else if (deadline_us) {
			ms = (int)((deadline_us - now) / 1000 + 1);
		}
		if (poll(fds, 2, ms) <= 0)
			continue;
		if (fds[0].revents)
			on_signal(f);
		if (fds[1].revents)
			on_ready(f);
	}
}

/* Kills and reaps every child there is, adopted ones included, until there is none. */
static void end_orphans(void)
{
	char path[64];
	const struct timespec pause = {0, 1000000};

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	for (int i = 0; i < 1000; i++) {
		AUTO_BUF b = {0};
		struct sv rest, part;
		bool more = true;
		uint64_t pid;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		buf_init(&b, 65536);
		if (fd_read_file(path, &b, NULL) || !b.n)
			return;
		rest = buf_view(&b);
		while (sv_cut(&rest, ' ', &more, &part))
			if (!sv_to_u64(part, &pid) && pid > 1)
				kill((pid_t)pid, SIGKILL);
		nanosleep(&pause, NULL);
	}
}

static int open_signals(struct family *f, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return f->signals < 0 ? err_sys(e, "signalfd") : 0;
}

int family_run(const struct options *o, struct family_plan *p)
{
	struct family f = {.front_code = 1, .plan = p, .image = -1};
	struct err e = {0};
	int bad;

	f.image = *o->image ? image_open(o, &e) : -1;
	if (*o->image && f.image < 0)
		return complain(&e);
	for (int r = 0; r < LAUNCH_ROLE_COUNT; r++)
		f.pid[r] = -1;
	bad = open_signals(&f, &e);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	launch_cgroups_prepare();
	bad = bad || start_family(&f, o, &e);
	for (unsigned i = 0; i < p->nfds; i++)
		fd_close(&p->fds[i]);
	fd_close(&p->jwks_fd);
	fd_close(&f.image);
	if (bad) {
		complain(&e);
		signal_family(&f, SIGKILL, false);
	}
	wait_family(&f);
	fd_close(&f.signals);
	fd_close(&p->ready_fd);
	end_orphans();
	launch_cgroups_sweep(getpid(), true);
	return bad ? 1 : f.front_code ? f.front_code : f.keeper_failed;
}
