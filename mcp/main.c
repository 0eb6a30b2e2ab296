/* main.c: the command, the process table and the wiring; the only file that sees every room.
 *
 * Theory of operation. The process a client starts opens what must be opened, starts the three
 * roles (re-executed, so none inherits another's memory), lets go of everything and waits:
 *
 *	main ---- front    in, out, socket to the keeper
 *	      |-- keeper   sockets to front and ledger; parent of the sandboxes
 *	      `-- ledger   socket to the keeper, the state folder
 *
 * The front's end ends the keeper (EOF), whose end ends the ledger. Whichever dies first, the others
 * follow; this process waits for all of them, kills what is left after END_MS, and removes the
 * cgroups, also of a keeper that was killed. It is the subreaper of all: a child that bwrap left behind
 * when it died early comes here and is killed. If this process is killed, front and keeper get
 * SIGTERM from the kernel and end in order. */
#include "mcp/front.h"
#include "mcp/transport/transport.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
/* The leak check runs ptrace at exit, which the roles' filters refuse; unit tests check leaks. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

#define END_MS 1700 /* after the first role has ended; a client waits 2 s in all */
#define MAX_ROLE_ARGS (OPTIONS_MAX_ARGS + 32)

static int complain(const struct err *e)
{
	dprintf(STDERR_FILENO, "fumehood: %s\n  %s\n", e->cause, err_remediation(e));
	return 2;
}

/* --- roles: what each is when it starts ------------------------------------------------------- */

static int confine_ledger(void *arg)
{
	const struct options *o = arg;
	const char *const dirs[] = {o->state_dir, NULL};
	struct err e = {0};

	if (!launch_role_confine(LAUNCH_LEDGER, dirs, 0, &e))
		return 0;
	log_err("ledger_not_confined", &e);
	return -1;
}

static int be_ledger(struct options *o)
{
	log_open("ledger", o->level);
	return led_main(&(struct led_opts){.sock = 3, .state_dir = o->state_dir},
			confine_ledger, o);
}

static int be_keeper(struct options *o)
{
	log_open("keeper", o->level);
	return sup_keeper_main(&(struct sup_keeper_opts){
		.front_sock = 3,
		.ledger_sock = 4,
		.bwrap_path = *o->bwrap ? o->bwrap : NULL,
		.uid_base = o->uid_base_n,
		.uid_count = o->uid_count_n,
		.max_runs = o->max_runs_n,
		.max_queue = o->max_queue_n,
	});
}

static int be_front_stdio(struct options *o)
{
	log_open("front", o->level);
	return front_stdio(
		o, &(struct front_fds){.keeper = 3, .in = 4, .out = 5, .file = -1});
}

static int be_front_run(struct options *o)
{
	log_open("front", o->level);
	return front_run(
		o, &(struct front_fds){.keeper = 3, .in = 4, .out = 5, .file = 6});
}

static int be_front_doctor(struct options *o)
{
	log_open("front", o->level);
	return front_doctor(
		o, &(struct front_fds){.keeper = 3, .in = -1, .out = 5, .file = -1});
}

static const struct {
	const char *name;
	int (*be)(struct options *o);
} role_mains[] = {
	{"ledger", be_ledger},
	{"keeper", be_keeper},
	{"front-stdio", be_front_stdio},
	{"front-run", be_front_run},
	{"front-doctor", be_front_doctor},
};

static int be_role(struct options *o)
{
	for (unsigned i = 0; o->nargs && i < ARRAY_LEN(role_mains); i++)
		if (sv_eq(sv_of(o->args[0]), sv_of(role_mains[i].name)))
			return role_mains[i].be(o);
	return 2;
}

/* --- the parent --------------------------------------------------------------------------------- */

struct family {
	pid_t pid[LAUNCH_ROLE_COUNT]; /* 0: ended */
	int front_code;
	bool keeper_failed;
};

/* The options again, for the roles: they must not depend on the variables being there. */
static void role_argv(const char *role, const struct options *o, char **argv)
{
	static char flags[11][4200];
	const struct {
		const char *name, *value;
	} rows[] = {
		{"state", o->state_dir},       {"log-level", log_level_name(o->level)},
		{"bwrap", o->bwrap},	       {"uid-base", o->uid_base},
		{"uid-count", o->uid_count},   {"max-runs", o->max_runs},
		{"max-queue", o->max_queue},   {"language", o->language},
		{"timeout-ms", o->timeout_ms}, {"json", o->json ? "1" : "0"},
	};
	static char name[64], command[] = "role", stop[] = "--";
	unsigned n = 0;
	union {
		const char *in;
		char *out; /* execve keeps the const its prototype lacks */
	} u;

	snprintf(name, sizeof(name), "fumehood-%s", role);
	argv[n++] = name;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		if (!*rows[i].value)
			continue;
		snprintf(flags[i], sizeof(flags[i]), "--%s=%s", rows[i].name,
			 rows[i].value);
		argv[n++] = flags[i];
	}
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

static pid_t spawn(enum launch_role r, const char *name, const struct options *o,
		   const int *fds, unsigned nfds, struct err *e)
{
	static char *argv[MAX_ROLE_ARGS];

	role_argv(name, o, argv);
	return launch_role_spawn(r, argv, fds, nfds, e);
}

static int start_family(struct family *f, const char *front, const struct options *o,
			const int io[3], struct err *e)
{
	int fk[2] = {-1, -1}, kl[2] = {-1, -1}, bad;

	bad = fd_socketpair(fk, e) || fd_socketpair(kl, e);
	if (!bad) {
		const int ledger[] = {kl[1]}, keeper[] = {fk[1], kl[0]};
		const int front_fds[] = {fk[0], io[0], io[1], io[2]};

		f->pid[LAUNCH_LEDGER] = spawn(LAUNCH_LEDGER, "ledger", o, ledger, 1, e);
		f->pid[LAUNCH_KEEPER] = spawn(LAUNCH_KEEPER, "keeper", o, keeper, 2, e);
		f->pid[LAUNCH_FRONT] =
			spawn(LAUNCH_FRONT, front, o, front_fds, io[2] >= 0 ? 4 : 3, e);
		bad = f->pid[LAUNCH_LEDGER] < 0 || f->pid[LAUNCH_KEEPER] < 0 ||
		      f->pid[LAUNCH_FRONT] < 0;
	}
	for (int i = 0; i < 2; i++) {
		fd_close(&fk[i]);
		fd_close(&kl[i]);
	}
	return bad ? -1 : 0;
}

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

/* Waits for the roles. The first end starts the clock for the others. */
static void wait_family(struct family *f, const sigset_t *set)
{
	uint64_t deadline_us = 0;

	for (;;) {
		struct timespec t = {3600, 0};
		uint64_t now = loop_now_us();
		int sig;

		reap(f);
		if (!any_left(f))
			return;
		for (int r = 0; !deadline_us && r < LAUNCH_ROLE_COUNT; r++)
			if (f->pid[r] == 0)
				deadline_us = now + END_MS * 1000;
		if (deadline_us && now >= deadline_us) {
			signal_family(f, SIGKILL, false);
			t = (struct timespec){1, 0};
		} else if (deadline_us) {
			t = (struct timespec){
				(time_t)((deadline_us - now) / 1000000),
				(long)((deadline_us - now) % 1000000 * 1000)};
		}
		sig = sigtimedwait(set, NULL, &t);
		if (sig > 0 && sig != SIGCHLD)
			signal_family(f, SIGTERM, true);
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

/* io: the front's descriptors 4, 5, 6; taken over. */
static int run_family(const char *front, const struct options *o, int io[3])
{
	struct family f = {.front_code = 1};
	struct err e = {0};
	sigset_t set;
	int bad;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	launch_cgroups_prepare();
	bad = start_family(&f, front, o, io, &e);
	for (int i = 0; i < 3; i++)
		fd_close(&io[i]);
	if (bad) {
		complain(&e);
		signal_family(&f, SIGKILL, false);
	}
	wait_family(&f, &set);
	end_orphans();
	launch_cgroups_sweep(getpid(), true);
	return bad ? 1 : f.front_code ? f.front_code : f.keeper_failed;
}

/* --- commands ----------------------------------------------------------------------------------- */

static int cmd_stdio(struct options *o)
{
	int io[3] = {-1, -1, -1};
	struct err e = {0};

	if (stdio_take_over(&io[0], &io[1], &e))
		return complain(&e);
	return run_family("front-stdio", o, io);
}

/* The front may open nothing, so the file is opened here. */
static int cmd_run(struct options *o)
{
	struct err e = {0};
	const bool from_stdin = o->nargs && sv_eq(sv_of(o->args[0]), SV("-"));
	int io[3];

	if (!o->nargs) {
		err_set(&e, ERR_INVALID, "run needs a file");
		err_fix(&e,
			"fumehood run FILE [ARG...]; - reads the program from standard input");
		return complain(&e);
	}
	io[0] = from_stdin ? open("/dev/null", O_RDONLY | O_CLOEXEC)
			   : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	io[1] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	io[2] = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			   : open(o->args[0], O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (io[2] < 0) {
		err_sys(&e, "%.200s", o->args[0]);
		err_fix(&e, "name a file that can be read");
		return complain(&e);
	}
	return run_family("front-run", o, io);
}

static int cmd_doctor(struct options *o)
{
	int io[3] = {open("/dev/null", O_RDWR | O_CLOEXEC),
		     fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), -1};

	return run_family("front-doctor", o, io);
}

static int cmd_audit(struct options *o)
{
	const char *what = o->nargs ? o->args[0] : "list";
	struct led_query q = {.state_dir = o->state_dir,
			      .json = o->json,
			      .limit = o->limit_n,
			      .run_id = sv_of(o->nargs > 1 ? o->args[1] : "")};
	struct err e = {0};
	int bad;

	if (sv_eq(sv_of(what), SV("list"))) {
		bad = led_audit_list(&q, stdout, &e);
	} else if (sv_eq(sv_of(what), SV("show"))) {
		bad = led_audit_show(&q, stdout, &e);
	} else if (sv_eq(sv_of(what), SV("verify"))) {
		bad = led_audit_verify(&q, stdout, NULL, &e);
	} else {
		bad = err_set(&e, ERR_INVALID, "there is no `audit %.40s`", what);
		err_fix(&e, "use audit list, audit show RUN or audit verify");
	}
	fflush(stdout);
	if (!bad)
		return 0;
	complain(&e);
	return 1;
}

static int cmd_version(struct options *o)
{
	printf(o->json ? "{\"name\":\"fumehood\",\"version\":\"%s\"}\n"
		       : "fumehood %s\n",
	       FUMEHOOD_VERSION);
	return 0;
}

static int cmd_help(struct options *o)
{
	(void)o;
	options_help();
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct options *o);
} commands[] = {
	{"stdio", cmd_stdio}, {"run", cmd_run},	  {"doctor", cmd_doctor},
	{"audit", cmd_audit}, {"help", cmd_help}, {"version", cmd_version},
	{"role", be_role},
};

int main(int argc, char **argv)
{
	static struct options o;
	struct err e = {0};

	umask(077);
	if (options_parse(argc, argv, &o, &e))
		return complain(&e);
	log_open("main", o.level);
	if (!o.command) {
		options_help();
		return 2;
	}
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		if (sv_eq(sv_of(o.command), sv_of(commands[i].name)))
			return commands[i].run(&o);
	err_set(&e, ERR_INVALID, "there is no command %.40s", o.command);
	err_fix(&e, "`fumehood help` lists them");
	return complain(&e);
}
