/* payload.c: the child that becomes the program: enter, unpack, confine, exec. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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

/* The workspace is this room's own and nothing has run in it; RESOLVE_BENEATH all the same. */
static int open_beneath(int dir, const char *path, uint64_t flags)
{
	struct open_how how = {.flags = flags | O_CLOEXEC,
			       .mode = flags & O_CREAT ? 0644 : 0,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int make_parents(int dir, char *path)
{
	for (char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		int bad;

		*p = '\0';
		bad = mkdirat(dir, path, 0755) && errno != EEXIST;
		*p = '/';
		if (bad)
			return -1;
	}
	return 0;
}

static bool is_program(struct sv content)
{
	return sv_starts(content, SV("#!")) || sv_starts(content, SV("\177ELF"));
}

static void write_file(int dir, struct sv path, struct sv content)
{
	char *name = join(path, "", (struct sv){"", 0});
	AUTO_FD fd = -1;

	if (make_parents(dir, name))
		fail("unpack files");
	fd = open_beneath(dir, name, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0 || fd_write_all(fd, content.p, content.n) ||
	    (is_program(content) && fchmod(fd, 0755)))
		fail("unpack files");
	mem_free(name);
}

static void unpack(struct start *s, int dir, int input_fd)
{
	struct sv rest = input_fd >= 0 ? map_fd(input_fd) : (struct sv){"", 0};
	struct guest_entry en;
	int got;

	while ((got = guest_next_entry(&rest, &en)) == 1) {
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
		push(&s->argv, &s->argc, join(r->code_name, "", (struct sv){"", 0}));
	} else if (r->code_fd >= 0) {
		push(&s->argv, &s->argc,
		     join(map_fd(r->code_fd), "", (struct sv){"", 0}));
	}
	unpack(s, dir, r->input_fd);
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

static void enter(const struct room *room)
{
	sigset_t none;

	sigemptyset(&none);
	if (setns(room->pidfd,
		  CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET))
		fail("enter the room");
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	setsid();
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
	enter(room);
	prepare(&s, r);
	set_stdio(r);
	if (confine_limits(r))
		fail("limits");
	if (confine_privileges())
		fail("drop capabilities");
	if (r->landlock && confine_files())
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
