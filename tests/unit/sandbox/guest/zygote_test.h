/* zygote_test.h: a real sandbox that keeps a zygote, and the keeper's side of its line and of its cells'.
 *
 * The records are the test's own, not those of sandbox/launch: so it can send what no keeper would. All of it is one
 * ordinary user's, as root that of uid 4242. Nothing here waits for time to pass: LONG_MS only ends a
 * test that would hang. */
#ifndef ZYGOTE_TEST_H
#define ZYGOTE_TEST_H

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/launch/child.h"
#include "sandbox/launch/launch.h"
#include "tests/lib/tap.h"
#include "tests/unit/sandbox/guest/told.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORDINARY_UID 4242
/* Of the guest and what it starts: a descriptor that leaks with each cell is soon one too many. */
#define FEW_FILES 160

/* The shortest there can be. */
#define SHORT_DRIVER                                                                   \
	"import os, sys, traceback\n"                                                  \
	"os.fork()\n"                                                                  \
	"os.fork()\n"                                                                  \
	"with open(3, 'rb') as f:\n"                                                   \
	"    code = f.read()\n"                                                        \
	"status = 0\n"                                                                 \
	"try:\n"                                                                       \
	"    exec(compile(code, 'main.py', 'exec'), {'__name__': '__main__'})\n"       \
	"except SystemExit as e:\n"                                                    \
	"    status = e.code\n"                                                        \
	"except BaseException:\n"                                                      \
	"    traceback.print_exc()\n"                                                  \
	"    status = 1\n"                                                             \
	"sys.stdout.flush()\n"                                                         \
	"os._exit(status)\n"

extern const char guest_blob[], guest_blob_end[], cell_blob[], cell_blob_end[];

struct box {
	bool cells;	/* there are to be some */
	pid_t pid;	/* bwrap */
	int ctl;	/* owned */
	uint64_t last_id;
};

struct test_cell {
	uint64_t id;
	int line, out, err;	/* owned; out and err are read ends */
	int pidfd, workspace;	/* owned; -1 until it was told */
};

static inline const char *bwrap_path(void)
{
	static const char *const paths[] = {"build/deps/bin/bwrap", "/usr/bin/bwrap"};

	return paths[access(paths[0], X_OK) ? 1 : 0];
}

static inline void add_tree(const char **argv, unsigned *n)
{
	static const char *const dirs[] = {"/bin", "/sbin", "/lib", "/lib64"};
	static char to[ARRAY_LEN(dirs)][128];

	for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
		ssize_t k = readlink(dirs[i], to[i], sizeof(to[i]) - 1);

		if (access(dirs[i], F_OK))
			continue;
		argv[(*n)++] = k > 0 ? "--symlink" : "--ro-bind";
		argv[(*n)++] = k > 0 ? to[i] : dirs[i];
		argv[(*n)++] = dirs[i];
	}
}

#define USERNS_FD 5

/* As sandbox/launch/argv.c has it for one user. */
static inline unsigned add_users(const char **argv, bool cells)
{
	static const char *const own[] = {
		"bwrap", "--unshare-user", "--disable-userns", "--uid",
		"1000",	 "--gid",	   "1000"};
	static const char *const given[] = {"bwrap", "--userns", "5"};

	if (cells)
		memcpy(argv, given, sizeof(given));
	else
		memcpy(argv, own, sizeof(own));
	return cells ? ARRAY_LEN(given) : ARRAY_LEN(own);
}

/* The same, and as its child.c has it. */
static inline void become_user(bool cells)
{
	struct child_ids ids;
	int ns;

	if (!geteuid() &&
	    (setgroups(0, NULL) || setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID) ||
	     setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)))
		_exit(1);
	if (!cells)
		return;
	child_ids_make_one(&ids, getuid(), getgid());
	ns = child_ids_inner(&ids);
	if (ns < 0 || dup2(ns, USERNS_FD) < 0 || (ns != USERNS_FD && close(ns)))
		_exit(1);
}

static inline _Noreturn void become_bwrap(const struct box *b, int bwrap, int ctl,
					  int guest)
{
	/* clang-format off */
	static const char *const args[] = {
		"--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup",
		"--as-pid-1", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
		"--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_NET_ADMIN", "--cap-add", "CAP_SETPCAP",
		"--cap-add", "CAP_SYS_CHROOT", "--cap-add", "CAP_SYS_PTRACE", "--cap-add", "CAP_KILL",
		"--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--dir", "/workspace",
		"--dir", "/tmp", "--dir", "/run/empty", "--dir", GUEST_RUN_DIR,
	};
	/* clang-format on */
	static const char *const last[] = {"--remount-ro", "/dev", "--remount-ro",
					   "/",	 "--",	 "/proc/self/fd/4"};
	const char *argv[ARRAY_LEN(args) + ARRAY_LEN(last) + 24];
	char *const none[] = {NULL};
	const struct rlimit few = {FEW_FILES, FEW_FILES};
	const struct rlimit odd = {24 << 20, RLIM_INFINITY}; /* nothing's default */
	unsigned n = add_users(argv, b->cells);

	memcpy(argv + n, args, sizeof(args));
	n += ARRAY_LEN(args);
	add_tree(argv, &n);
	memcpy(argv + n, last, sizeof(last));
	argv[n + ARRAY_LEN(last)] = NULL;
	bwrap = fcntl(bwrap, F_DUPFD_CLOEXEC, 100);
	ctl = fcntl(ctl, F_DUPFD_CLOEXEC, 100);
	guest = fcntl(guest, F_DUPFD_CLOEXEC, 100);
	if (dup2(ctl, GUEST_CTL_FD) < 0 || dup2(guest, GUEST_SELF_FD) < 0 ||
	    dup2(2, 1) < 0 || close_range(5, ~0U, CLOSE_RANGE_CLOEXEC) ||
	    setrlimit(RLIMIT_NOFILE, &few) || setrlimit(RLIMIT_STACK, &odd))
		_exit(1);
	become_user(b->cells);
	execveat(bwrap, "", (char *const *)(uintptr_t)argv, none, AT_EMPTY_PATH);
	_exit(1);
}

static inline int memfd_of(const char *text)
{
	return fd_memfd("test", text, strlen(text), NULL);
}

static inline int filter_memfd(void)
{
	struct sock_fprog prog;
	int fd;

	must(!launch_filter_build(NULL, &prog, NULL));
	fd = fd_memfd("filter", prog.filter, prog.len * sizeof(*prog.filter), NULL);
	mem_free(prog.filter);
	return fd;
}

/* What each cell may; some tests look for just these. */
static const struct guest_run limits = {
	.workspace_bytes = 16 << 20,
	.tmp_bytes = 8 << 20,
	.memory_bytes = 256 << 20,
	.open_files = 120,
	.processes = 30,
	.rlimit_memory = 1,
	.landlock = 1,
};

/* Its filter is the caller's to close. */
static inline struct guest_run command(const char *interpreter, const char *arg)
{
	struct guest_run r = limits;

	r.interpreter = sv_of(interpreter);
	r.args[r.nargs++] = sv_of(arg);
	r.env[r.nenv++] = SV("PATH=/usr/bin:/bin");
	r.env[r.nenv++] = SV("HOME=/workspace");
	r.env[r.nenv++] = SV("LANG=C.UTF-8");
	r.filter_fd = filter_memfd();
	return r;
}

static inline void send_zygote(struct box *b, const char *interpreter,
			       const char *driver)
{
	struct guest_zygote z = {.run = command(interpreter, "-I")};
	static struct ipc_msg m;

	z.driver_fd = memfd_of(driver);
	z.object_fd =
		fd_memfd("cell", cell_blob, (size_t)(cell_blob_end - cell_blob), NULL);
	ipc_start(&m, GUEST_ZYGOTE, 1);
	guest_put_zygote(&m, &z);
	must(!ipc_send(b->ctl, &m, NULL));
	fd_close(&z.run.filter_fd);
	fd_close(&z.driver_fd);
	fd_close(&z.object_fd);
}

/* bwrap, with this end of the line for the guest. */
static inline void start_box(struct box *b, int guest_end)
{
	AUTO_FD bwrap = open(bwrap_path(), O_PATH | O_CLOEXEC);
	AUTO_FD guest = fd_memfd("guest", guest_blob,
				 (size_t)(guest_blob_end - guest_blob), NULL);

	must(bwrap >= 0 && guest >= 0);
	b->pid = fork();
	must(b->pid >= 0);
	if (!b->pid)
		become_bwrap(b, bwrap, guest_end, guest);
}

static inline void open_box(struct box *b, const char *interpreter, const char *driver)
{
	int line[2];

	must(!fd_socketpair(line, NULL));
	*b = (struct box){.cells = true, .ctl = line[0], .last_id = 100};
	send_zygote(b, interpreter, driver);
	start_box(b, line[1]);
	fd_close(&line[1]);
}

static inline bool open_zygote(struct box *b)
{
	struct told got;

	open_box(b, "/usr/bin/python3", SHORT_DRIVER);
	got = told_next(b->ctl);
	return told_is(&got, GUEST_ZYGOTE_UP, 1);
}

/* True when bwrap has ended, which it does last. */
static inline bool await_box(struct box *b)
{
	int pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
	struct pollfd p = {pidfd, POLLIN, 0};
	const bool ended = poll(&p, 1, LONG_MS) == 1;

	if (!ended)
		kill(b->pid, SIGKILL);
	waitpid(b->pid, NULL, 0);
	fd_close(&pidfd);
	fd_close(&b->ctl);
	return ended;
}

static inline bool close_box(struct box *b)
{
	shutdown(b->ctl, SHUT_WR);
	return await_box(b);
}

static inline void order_cell(struct box *b, struct test_cell *c)
{
	struct guest_cell g = {.uid = GUEST_OWN_UID};
	int line[2], out[2], err[2];
	static struct ipc_msg m;

	must(!fd_socketpair(line, NULL) && !fd_pipe(out, NULL) && !fd_pipe(err, NULL));
	*c = (struct test_cell){.id = ++b->last_id,
				.line = line[0],
				.out = out[0],
				.err = err[0],
				.pidfd = -1,
				.workspace = -1};
	g.line_fd = line[1], g.out_fd = out[1], g.err_fd = err[1];
	ipc_start(&m, GUEST_CELL, c->id);
	guest_put_cell(&m, &g);
	must(!ipc_send(b->ctl, &m, NULL));
	guest_close_cell(&g);
}

static inline bool await_made(struct box *b, struct test_cell *c)
{
	struct told got = told_next(b->ctl);

	c->pidfd = got.pidfd;
	c->workspace = got.workspace;
	return told_is(&got, GUEST_CELL_MADE, c->id);
}

static inline bool await_ready(const struct test_cell *c)
{
	struct pollfd p = {c->line, POLLIN, 0};
	char byte[2];

	return poll(&p, 1, LONG_MS) == 1 && recv(c->line, byte, sizeof(byte), 0) == 1;
}

static inline bool make_cell(struct box *b, struct test_cell *c)
{
	order_cell(b, c);
	return await_made(b, c) && await_ready(c);
}

/* nfds of fds with one byte. */
static inline void give_fds(const struct test_cell *c, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} u;
	char byte = 0;
	struct iovec v = {&byte, 1};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	struct cmsghdr *x;

	memset(&u, 0, sizeof(u));
	if (nfds) {
		h.msg_control = u.bytes;
		h.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		x = CMSG_FIRSTHDR(&h);
		x->cmsg_level = SOL_SOCKET;
		x->cmsg_type = SCM_RIGHTS;
		x->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(x), fds, nfds * sizeof(int));
	}
	must(sendmsg(c->line, &h, MSG_NOSIGNAL) == 1);
}

static inline void give_code(const struct test_cell *c, const char *code)
{
	AUTO_FD fd = memfd_of(code);

	give_fds(c, &fd, 1);
}

/* Its wait status; -1: something else was told. */
static inline int await_ended(struct box *b, const struct test_cell *c)
{
	struct told got = told_next(b->ctl);

	return told_is(&got, GUEST_ENDED, c->id) ? (int)got.status : -1;
}

static inline void close_cell(struct test_cell *c)
{
	fd_close(&c->line);
	fd_close(&c->out);
	fd_close(&c->err);
	fd_close(&c->pidfd);
	fd_close(&c->workspace);
}

/* A cell's whole life: its status, and in *ret_out what it has written, until the next call. */
static inline int run(struct box *b, const char *code, const char **ret_out)
{
	struct test_cell c;
	const char *out;
	int status = -1;

	if (make_cell(b, &c)) {
		give_code(&c, code);
		status = await_ended(b, &c);
	}
	out = all_of(c.err);
	if (*out)
		printf("# %s\n", out);
	out = all_of(c.out);
	if (ret_out)
		*ret_out = out;
	close_cell(&c);
	return status;
}

/* What a program of its own has written, in a sandbox of the same kind. Takes r's filter. */
static inline const char *cold(struct guest_run r, const char *code)
{
	struct box b = {.pid = -1};
	static struct ipc_msg m;
	int line[2], o[2], e[2];
	bool ended = false;
	const char *out;

	must(!fd_socketpair(line, NULL) && !fd_pipe(o, NULL) && !fd_pipe(e, NULL));
	b.ctl = line[0];
	r.out_fd = o[1], r.err_fd = e[1];
	r.code_fd = memfd_of(code);
	r.input_fd = r.stdin_fd = -1;
	ipc_start(&m, GUEST_RUN, 1);
	guest_put_run(&m, &r);
	must(!ipc_send(b.ctl, &m, NULL));
	start_box(&b, line[1]);
	fd_close(&line[1]);
	fd_close(&o[1]);
	fd_close(&e[1]);
	fd_close(&r.filter_fd);
	fd_close(&r.code_fd);
	out = all_of(e[0]);
	if (*out)
		printf("# %s\n", out);
	out = all_of(o[0]);
	while (ipc_recv(b.ctl, &m, NULL) == 1) {
		ended = m.type == GUEST_ENDED;
		ipc_finish(&m);
		if (ended) /* the guest waits for it */
			shutdown(b.ctl, SHUT_WR);
	}
	ok(ended, "a program of its own has run");
	fd_close(&o[0]);
	fd_close(&e[0]);
	await_box(&b);
	return out;
}

/* In how many lines they differ. */
static inline unsigned differences(const char *cold_text, const char *warm_text)
{
	struct sv x = sv_of(cold_text), y = sv_of(warm_text), one, other;
	bool more_x = true, more_y = true;
	unsigned n = 0;

	while (sv_cut(&x, '\n', &more_x, &one) & sv_cut(&y, '\n', &more_y, &other))
		if (!sv_eq(one, other)) {
			printf("# cold: " SV_FMT "\n# warm: " SV_FMT "\n", SV_ARG(one),
			       SV_ARG(other));
			n++;
		}
	return n + more_x + more_y;
}

static inline void send_kill(struct box *b, uint64_t id)
{
	static struct ipc_msg m;

	ipc_start(&m, GUEST_KILL, id);
	guest_put_slot(&m, GUEST_NO_SLOT);
	must(!ipc_send(b->ctl, &m, NULL));
}

/* The children of a process, as the host numbers them; how many there are. */
static inline unsigned children_of(pid_t pid, pid_t *ret, unsigned max)
{
	char path[64];
	AUTO_BUF b = {0};
	struct sv rest, part;
	bool more = true;
	unsigned n = 0;
	int64_t child;

	buf_init(&b, 65536);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	must(!fd_read_file(path, &b, NULL));
	rest = buf_view(&b);
	while (sv_cut(&rest, ' ', &more, &part))
		if (!sv_to_i64(part, &child) && n < max)
			ret[n++] = (pid_t)child;
	return n;
}

static inline pid_t guest_of(const struct box *b)
{
	pid_t pid = 0;

	must(children_of(b->pid, &pid, 1) == 1);
	return pid;
}

#endif
