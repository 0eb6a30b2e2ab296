/* payload.c: the child that becomes the program: enter, unpack, confine, exec. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/files.h"
#include "sandbox/guest/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Everything the program starts with. Pointers go to the heap of this short-lived process; argv[0]
 * is left free for the interpreter. */
struct start {
	char **argv, **envp;
	size_t argc, envc;
	char cwd[4200];
};

static int fail_to = -1;
static int note_in = -1; /* a session's log, see files.h */

static _Noreturn void fail(const char *stage)
{
	struct failure f = {.sys = errno};

	snprintf(f.stage, sizeof(f.stage), "%s", stage);
	if (write(fail_to, &f, sizeof(f)) < 0)
		_exit(2);
	_exit(1);
}

static struct sv map_fd(int fd)
{
	int64_t n = fd_size(fd);
	void *p;

	if (n < 0)
		fail("map the input");
	if (!n)
		return (struct sv){"", 0};
	p = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		fail("map the input");
	return (struct sv){p, (size_t)n};
}

static char *join(struct sv a, const char *mid, struct sv b)
{
	size_t k = strlen(mid);
	char *p = mem_alloc(a.n + k + b.n + 1);

	if (!p)
		fail("memory");
	memcpy(p, a.p, a.n);
	memcpy(p + a.n, mid, k);
	memcpy(p + a.n + k, b.p, b.n);
	p[a.n + k + b.n] = '\0';
	return p;
}

static void push(char ***list, size_t *n, char *s)
{
	if ((*n & 63) == 0) {
		char **p = mem_realloc(*list, (*n + 65) * sizeof(char *));

		if (!p)
			fail("memory");
		*list = p;
	}
	(*list)[(*n)++] = s;
	(*list)[*n] = NULL;
}

/* A later NAME=value replaces an earlier one. */
static void push_env(struct start *s, struct sv name, struct sv value)
{
	char *row = join(name, "=", value);

	for (size_t i = 0; i < s->envc; i++)
		if (strncmp(s->envp[i], row, name.n + 1) == 0) {
			s->envp[i] = row;
			return;
		}
	push(&s->envp, &s->envc, row);
}

static void write_file(int dir, struct sv path, struct sv content)
{
	if (files_unpack(dir, path, content))
		fail("unpack files");
}

/* Whether the program that is to be started is the one this is for. */
static bool concerns(enum guest_part part, enum guest_entry_kind kind)
{
	return part == GUEST_COMPILES	? kind != GUEST_ARG
	       : part == GUEST_COMPILED ? kind != GUEST_FILE
					: true;
}

static void unpack(struct start *s, int dir, const struct guest_run *r)
{
	struct sv rest = r->input_fd >= 0 ? map_fd(r->input_fd) : (struct sv){"", 0};
	struct guest_entry en;
	int got;

	while ((got = guest_next_entry(&rest, &en)) == 1) {
		if (!concerns(r->part, en.kind))
			continue;
		if (en.kind == GUEST_ARG)
			push(&s->argv, &s->argc, join(en.data, "", (struct sv){"", 0}));
		else if (en.kind == GUEST_ENV)
			push_env(s, en.name, en.data);
		else if (en.kind == GUEST_FILE)
			write_file(dir, en.name, en.data);
		else if (sv_copy(en.data, s->cwd, sizeof(s->cwd)))
			fail("working folder");
	}
	errno = EINVAL;
	if (got < 0)
		fail("read the input");
}

static void prepare(struct start *s, const struct guest_run *r)
{
	AUTO_FD dir = open("/workspace", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		fail("open /workspace");
	if (note_in >= 0)
		files_note_in(dir, note_in);
	s->argv = mem_zalloc(sizeof(char *));
	s->envp = mem_zalloc(sizeof(char *));
	if (!s->argv || !s->envp)
		fail("memory");
	for (uint32_t i = 0; i < r->nenv; i++) {
		ptrdiff_t at = sv_find(r->env[i], '=');

		if (at > 0)
			push_env(s, (struct sv){r->env[i].p, (size_t)at},
				 (struct sv){r->env[i].p + at + 1,
					     r->env[i].n - (size_t)at - 1});
	}
	if (r->interpreter.n) {
		push(&s->argv, &s->argc, join(r->interpreter, "", (struct sv){"", 0}));
		for (uint32_t i = 0; i < r->nargs; i++)
			push(&s->argv, &s->argc,
			     join(r->args[i], "", (struct sv){"", 0}));
	}
	if (r->code_name.n) {
		if (r->code_fd >= 0)
			write_file(dir, r->code_name, map_fd(r->code_fd));
		if (r->part != GUEST_COMPILES)
			push(&s->argv, &s->argc,
			     join(r->code_name, "", (struct sv){"", 0}));
	} else if (r->code_fd >= 0) {
		push(&s->argv, &s->argc,
		     join(map_fd(r->code_fd), "", (struct sv){"", 0}));
	}
	unpack(s, dir, r);
	files_note_in(-1, -1); /* dir's number will be another's */
	if (fchdir(dir))
		fail("enter /workspace");
}

static void set_stdio(const struct guest_run *r)
{
	char path[40] = "/dev/null";
	int in;

	/* opened anew: a read offset of its own, at the start, which nobody outside can move */
	if (r->stdin_fd >= 0)
		snprintf(path, sizeof(path), "/proc/self/fd/%d", r->stdin_fd);
	in = open(path, O_RDONLY | O_CLOEXEC);

	if (in < 0 || dup2(in, 0) < 0 || dup2(r->out_fd, 1) < 0 ||
	    dup2(r->err_fd, 2) < 0)
		fail("standard streams");
}

int payload_enter(const struct room *room)
{
	sigset_t none;

	if (confine_enter(room))
		return -1;
	sigemptyset(&none);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}

/* The program the caller named. Not finding it is the caller's news, not a failure of ours: as a
 * shell does, 127 not found, 126 not executable, and a line on stderr. */
static _Noreturn void exec_argv(const struct start *s)
{
	static const char *const path[] = {"/usr/local/bin/", "/usr/bin/", "/bin/",
					   "/usr/sbin/", "/sbin/"};
	const char *name = s->argc ? s->argv[0] : "";
	char at[4200];
	int sys = ENOENT;

	if (strchr(name, '/')) {
		execve(name, s->argv, s->envp);
		sys = errno;
	} else if (*name) {
		for (unsigned i = 0; i < ARRAY_LEN(path); i++) {
			snprintf(at, sizeof(at), "%s%s", path[i], name);
			execve(at, s->argv, s->envp);
			if (errno != ENOENT)
				sys = errno;
		}
	}
	dprintf(2, "%s: %s\n", name, strerror(sys));
	_exit(sys == ENOENT ? 127 : 126);
}

_Noreturn void payload_main(const struct guest_run *r, const struct room *room,
			    int fail_fd)
{
	struct start s = {.argc = 0};

	fail_to = fail_fd;
	if (payload_enter(room))
		fail("enter the room");
	prepare(&s, r);
	set_stdio(r);
	if (confine_limits(r, CONFINE_OURS))
		fail("limits");
	if (confine_privileges())
		fail("drop capabilities");
	if (r->landlock && confine_files(NULL))
		fail("Landlock");
	if (s.cwd[0] && chdir(s.cwd)) {
		dprintf(2, "cwd %s: %s\n", s.cwd, strerror(errno));
		_exit(126);
	}
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
		fail("close descriptors");
	if (confine_calls(r->filter_fd))
		fail("seccomp");
	if (r->probe) {
		close_range(3, ~0U, 0);
		_exit(probe_main());
	}
	if (!r->interpreter.n)
		exec_argv(&s);
	execve(s.argv[0], s.argv, s.envp);
	fail("start the interpreter");
}

/* --- sessions --------------------------------------------------------------------------------- */

#define HIGH_FD 64 /* above all that a process starts with */

/* 0 is stdin or /dev/null; 3 and 4 are an interpreter's only. First all go out of the way, so that
 * none overwrites one still to come. Everything else closes at the exec. */
static void place_fds(const struct payload_call *p, int *filter_fd)
{
	const struct guest_call *c = p->call;
	const bool driver = c->driver.n > 0;
	const int line = driver ? fcntl(p->line_fd, F_DUPFD_CLOEXEC, HIGH_FD) : -1;
	const int rich = driver ? fcntl(c->rich_fd, F_DUPFD_CLOEXEC, HIGH_FD) : -1;
	struct guest_run io = c->run;

	fail_to = fcntl(fail_to, F_DUPFD_CLOEXEC, HIGH_FD);
	*filter_fd = fcntl(c->run.filter_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	io.out_fd = fcntl(io.out_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	io.err_fd = fcntl(io.err_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (driver) /* each call brings its own */
		io.stdin_fd = -1;
	set_stdio(&io);
	if (driver && (dup2(line, 3) < 0 || dup2(rich, 4) < 0))
		fail("the driver's descriptors");
}

/* Under a name of its own first: another slot may be starting from the same file. */
static void install_driver(struct start *s, const struct guest_call *c)
{
	AUTO_FD dir = open(GUEST_RUN_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[64], own[64];

	snprintf(own, sizeof(own), SV_FMT ".%u", SV_ARG(c->driver), c->slot);
	snprintf(path, sizeof(path), SV_FMT, SV_ARG(c->driver));
	if (dir < 0 || files_unpack(dir, sv_of(own), map_fd(c->driver_fd)) ||
	    renameat(dir, own, dir, path))
		fail("install the driver");
	snprintf(path, sizeof(path), GUEST_RUN_DIR "/" SV_FMT, SV_ARG(c->driver));
	push(&s->argv, &s->argc, join(sv_of(path), "", (struct sv){"", 0}));
}

/* Must: hold no capability, and be under Landlock, before the first file of the room is touched;
 * not be dumpable from the fork to the exec. Must not: follow what programs have left there. */
_Noreturn void payload_call_main(const struct payload_call *p)
{
	const struct guest_call *c = p->call;
	const bool driver = c->driver.n > 0;
	struct start s = {.argc = 0};
	struct guest_run r = c->run;
	int filter_fd = -1;

	fail_to = p->fail_fd;
	note_in = p->log_fd;
	if (payload_enter(p->room))
		fail("enter the room");
	if (confine_limits(&r, CONFINE_OURS_STANDING) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		fail("limits");
	if (confine_privileges())
		fail("drop capabilities");
	if (r.landlock && confine_files(GUEST_RUN_DIR))
		fail("Landlock");
	/* a file past the limit is an error to report, not the end */
	signal(SIGXFSZ, SIG_IGN);
	if (driver) {
		r.code_fd = r.input_fd = -1;
		r.code_name = SV("");
	}
	prepare(&s, &r);
	if (driver)
		install_driver(&s, c);
	signal(SIGXFSZ, SIG_DFL);
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
		fail("close descriptors");
	place_fds(p, &filter_fd);
	if (s.cwd[0] && chdir(s.cwd)) {
		dprintf(2, "cwd %s: %s\n", s.cwd, strerror(errno));
		_exit(126);
	}
	if (confine_calls(filter_fd))
		fail("seccomp");
	if (!r.interpreter.n)
		exec_argv(&s);
	execve(s.argv[0], s.argv, s.envp);
	fail("start the interpreter");
}
