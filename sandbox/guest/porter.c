/* porter.c: who touches the files of a session's room, so that the guest need not.
 *
 * Theory of operation. A porter is a child of the guest, in the room, without any privilege and under
 * the programs' own file rules before it opens the first file; it shares nothing with the guest but a
 * socket. It serves one job at a time, and one porter is kept waiting, for forking takes longer
 * than a short call. What comes back is checked like anything else from the room.
 *
 *	WAITS --GUEST_CALL--> UNPACKS --done--> WAITS, or FEEDS (stdin is a pipe) until the call ends
 *	WAITS --GUEST_FILE_OP--> FILE --done--> WAITS
 *	WAITS --GUEST_LOOK--> LOOKS --done--> WAITS
 *
 * A GUEST_KILL before a job names a driver's call whose files are to be removed; it is not answered.
 *
 * A porter that is killed (any program of the room can) fails its job; one that is stopped
 * holds it up until the keeper's deadline. */
#include "sandbox/base/buf.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/slice.h"
#include "sandbox/guest/files.h"
#include "sandbox/guest/look.h"
#include "sandbox/guest/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLEAR_MS 2000 /* what no SIGKILL ends is the kernel's */

/* --- the porter's side ------------------------------------------------------------------------ */

struct shelf { /* what a porter works on */
	int sock, log, workspace, run;
};

/* What the input asks for beside files: the driver reads it from files of its own. */
struct words {
	struct buf args, env, cwd;
};

static void take_entry(struct words *w, const struct guest_entry *en)
{
	if (en->kind == GUEST_ARG) {
		buf_sv(&w->args, en->data);
		buf_byte(&w->args, '\0');
	} else if (en->kind == GUEST_ENV) {
		buf_sv(&w->env, en->name);
		buf_byte(&w->env, '=');
		buf_sv(&w->env, en->data);
		buf_byte(&w->env, '\0');
	} else {
		buf_reset(&w->cwd);
		buf_str(&w->cwd, "/workspace/");
		buf_sv(&w->cwd, en->data);
	}
}

static const char *unpack_input(const struct shelf *k, struct sv rest, struct words *w)
{
	struct guest_entry en;
	int got;

	while ((got = guest_next_entry(&rest, &en)) == 1)
		if (en.kind != GUEST_FILE)
			take_entry(w, &en);
		else if (files_unpack(k->workspace, en.name, en.data))
			return "unpack files";
	errno = EINVAL;
	return got < 0 ? "read the input" : NULL;
}

static const char *unpack_words(const struct shelf *k, uint64_t number,
				const struct words *w)
{
	const struct {
		const char *ending;
		const struct buf *b;
	} rows[] = {{"args", &w->args}, {"env", &w->env}, {"cwd", &w->cwd}};
	char name[40];

	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(name, sizeof(name), "%llu.%s", (unsigned long long)number,
			 rows[i].ending);
		if (rows[i].b->failed) {
			errno = ENOMEM;
			return "memory";
		}
		if (rows[i].b->n &&
		    files_unpack(k->run, sv_of(name), buf_view(rows[i].b)))
			return "write the arguments";
	}
	return NULL;
}

static const char *unpack_bundle(const struct shelf *k, uint64_t number, int fd)
{
	struct words w = {.args = {0}};
	int64_t n = fd_size(fd);
	const char *bad = "map the input";
	void *p = n > 0 ? mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;

	if (n <= 0 || p == MAP_FAILED)
		return n == 0 ? NULL : bad;
	buf_init(&w.args, (size_t)n + 1);
	buf_init(&w.env, (size_t)n + 1);
	buf_init(&w.cwd, 8192);
	bad = unpack_input(k, (struct sv){p, (size_t)n}, &w);
	if (!bad)
		bad = unpack_words(k, number, &w);
	buf_finish(&w.args);
	buf_finish(&w.env);
	buf_finish(&w.cwd);
	munmap(p, (size_t)n);
	return bad;
}

/* A pipe becomes a FIFO, held open here by its inode; *ret_fifo is the caller's. */
static const char *unpack_stdin(const struct shelf *k, const char *name, int fd,
				int *ret_fifo)
{
	struct stat st;

	if (fd_size(fd) >= 0)
		return files_unpack_fd(k->run, name, fd) ? "write stdin" : NULL;
	if ((unlinkat(k->run, name, 0) && errno != ENOENT) ||
	    mkfifoat(k->run, name, 0600))
		return "make a FIFO for stdin";
	*ret_fifo = files_open(k->run, name, O_PATH | O_NOFOLLOW);
	errno = EINVAL;
	return *ret_fifo < 0 || fstat(*ret_fifo, &st) || !S_ISFIFO(st.st_mode)
		       ? "open the FIFO for stdin"
		       : NULL;
}

static const char *unpack(const struct shelf *k, uint64_t number,
			  const struct guest_call *c, int *ret_fifo)
{
	char name[40];
	const char *bad = NULL;

	snprintf(name, sizeof(name), "%llu.code", (unsigned long long)number);
	if (files_unpack_fd(k->run, name, c->run.code_fd))
		return "write the code";
	if (c->run.input_fd >= 0)
		bad = unpack_bundle(k, number, c->run.input_fd);
	snprintf(name, sizeof(name), "%llu.in", (unsigned long long)number);
	if (!bad && c->run.stdin_fd >= 0)
		bad = unpack_stdin(k, name, c->run.stdin_fd, ret_fifo);
	return bad;
}

/* Blocks until the driver opens its end, then until the pipe ends or the reader has gone. */
static _Noreturn void feed(int from, int fifo)
{
	char path[40], part[16384];
	int to;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fifo);
	to = open(path, O_WRONLY | O_CLOEXEC);
	for (;;) {
		ssize_t n = to < 0 ? -1 : read(from, part, sizeof(part));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || fd_write_all(to, part, (size_t)n))
			_exit(0);
	}
}

static void answer(const struct shelf *k, struct ipc_msg *m)
{
	if (ipc_send(k->sock, m, NULL))
		_exit(1);
}

static void serve_call(const struct shelf *k, struct ipc_msg *m)
{
	const uint64_t number = m->id;
	struct guest_call c;
	int fifo = -1;
	const char *bad;

	if (guest_get_call(m, &c))
		_exit(1);
	bad = unpack(k, number, &c, &fifo);
	ipc_start(m, bad ? GUEST_FAILED : GUEST_UP, number);
	if (bad) {
		ipc_put_sv(m, sv_of(bad));
		ipc_put_u32(m, (uint32_t)errno);
	} else {
		ipc_put_u32(m, fifo >= 0);
	}
	answer(k, m);
	if (!bad && fifo >= 0)
		feed(c.run.stdin_fd, fifo);
	fd_close(&fifo);
	guest_close_call(&c);
}

static void serve_file(const struct shelf *k, struct ipc_msg *m)
{
	struct guest_file_done d;
	struct guest_file f;

	if (guest_get_file(m, &f))
		_exit(1);
	files_serve(k->workspace, &f, &d);
	ipc_start(m, GUEST_FILE_DONE, m->id);
	guest_put_file_done(m, &d);
	answer(k, m);
	fd_close(&d.fd);
	fd_close(&f.data_fd);
}

static void serve_look(const struct shelf *k, struct ipc_msg *m)
{
	struct look_opts l = {.root = k->workspace, .base = -1, .log = k->log};
	struct looked d;

	l.all = ipc_get_u32(m);
	l.log_from = ipc_get_u64(m);
	if (ipc_get_u32(m))
		l.base = ipc_take_fd(m);
	if (!ipc_end(m))
		_exit(1);
	if (look_at(&l, &d))
		_exit(1);
	ipc_start(m, GUEST_LOOKED, m->id);
	looks_put(m, &d);
	answer(k, m);
	fd_close(&l.base);
	fd_close(&d.base);
	fd_close(&d.changes);
}

static void remove_call(const struct shelf *k, uint64_t number)
{
	static const char *const endings[] = {"code", "in", "args", "env", "cwd"};
	char name[40];

	for (unsigned i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		snprintf(name, sizeof(name), "%llu.%s", (unsigned long long)number,
			 endings[i]);
		unlinkat(k->run, name, 0);
	}
}

/* Must: hold no capability and, where there is one, be under Landlock before the first file of the
 * room; keep nothing of the guest's but sock; stay not dumpable. Must not: return. */
static _Noreturn void porter_main(const struct session *s, int sock)
{
	struct shelf k = {.sock = 0};
	struct ipc_msg m;

	if (payload_enter(&s->room) || dup2(sock, 0) < 0 || dup2(s->look_log, 1) < 0 ||
	    close_range(2, ~0U, 0))
		_exit(1);
	k.log = 1;
	prctl(PR_SET_NAME, "porter", 0, 0, 0);
	slice_short();
	signal(SIGPIPE, SIG_IGN);
	if (confine_privileges() || (s->base.landlock && confine_files(GUEST_RUN_DIR)))
		_exit(1);
	k.workspace = open("/workspace", O_PATH | O_DIRECTORY | O_CLOEXEC);
	k.run = open(GUEST_RUN_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (k.workspace < 0 || k.run < 0)
		_exit(1);
	files_note_in(k.workspace, k.log);
	while (ipc_recv(k.sock, &m, NULL) == 1) {
		if (m.type == GUEST_CALL)
			serve_call(&k, &m);
		else if (m.type == GUEST_FILE_OP)
			serve_file(&k, &m);
		else if (m.type == GUEST_LOOK)
			serve_look(&k, &m);
		else if (m.type == GUEST_KILL)
			remove_call(&k, m.id);
		else
			_exit(1);
	}
	_exit(0);
}

/* Kills everything of the room but its init and this process: at once, so that whoever forks meanwhile has the signal
 * already. What is dead is there until it is reaped. Not a porter: under Landlock it may signal none but its own.
 *
 * Must: hold no capability. Must not: touch a file. */
static _Noreturn void clearer_main(const struct session *s, int sock)
{
	const struct timespec ms = {0, 1000000};
	struct ipc_msg m;

	if (payload_enter(&s->room) || confine_privileges())
		_exit(1);
	for (unsigned i = 0; i < CLEAR_MS; i++) {
		if (kill(-1, SIGKILL) && errno == ESRCH) {
			ipc_start(&m, GUEST_UP, 0);
			_exit(ipc_send(sock, &m, NULL) ? 1 : 0);
		}
		nanosleep(&ms, NULL);
	}
	_exit(1);
}

/* --- the guest's side ------------------------------------------------------------------------- */

static void end(struct porter *p)
{
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&p->sock);
	*p = (struct porter){.sock = -1};
}

static struct porter *find(struct session *s, enum porter_job job)
{
	for (unsigned i = 0; i < PORTERS; i++)
		if (s->porters[i].job == job)
			return &s->porters[i];
	return NULL;
}

static struct porter *hire(struct session *s, enum porter_job job)
{
	struct porter *p = find(s, PORTER_NONE);
	int pair[2];
	pid_t pid;

	errno = EBUSY;
	if (!p || fd_socketpair(pair, NULL))
		return NULL;
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid && job == PORTER_CLEARS)
		clearer_main(s, pair[1]);
	if (!pid)
		porter_main(s, pair[1]);
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return NULL;
	}
	*p = (struct porter){.job = job, .pid = pid, .sock = pair[0]};
	return p;
}

void porter_spare(struct session *s)
{
	if (!find(s, PORTER_WAITS))
		hire(s, PORTER_WAITS);
}

int porter_clear(struct session *s)
{
	return hire(s, PORTER_CLEARS) ? 0 : -1;
}

/* More than can be remembered stay where they are, until the folder is full. */
void porter_forget(struct session *s, uint64_t number)
{
	if (s->nforget < FORGET_MAX)
		s->forget[s->nforget++] = number;
}

static int send_job(struct session *s, const struct porter *p, struct ipc_msg *m)
{
	struct ipc_msg first;

	for (; s->nforget; s->nforget--) {
		ipc_start(&first, GUEST_KILL, s->forget[s->nforget - 1]);
		if (ipc_send(p->sock, &first, NULL))
			return -1;
	}
	return ipc_send(p->sock, m, NULL);
}

int porter_send(struct session *s, const struct porter *job, struct ipc_msg *m)
{
	struct porter *p = find(s, PORTER_WAITS);

	/* the one that waited may be dead */
	if (p && send_job(s, p, m)) {
		end(p);
		p = NULL;
	}
	if (!p) {
		p = hire(s, PORTER_WAITS);
		if (!p)
			return -1;
		if (send_job(s, p, m)) {
			end(p);
			errno = EIO;
			return -1;
		}
	}
	p->job = job->job;
	p->task = job->task;
	p->id = job->id;
	return 0;
}

/* Waits for the next job, unless another one does. */
static void rest(struct session *s, struct porter *p)
{
	if (find(s, PORTER_WAITS))
		end(p);
	else
		p->job = PORTER_WAITS;
}

static void file_done(uint64_t id, const struct guest_file_done *d)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_FILE_DONE, id);
	guest_put_file_done(&m, d);
	tell(&m);
}

/* Only a regular file of this room's workspace, read-only, or a sealed memfd goes on to the keeper. */
static bool may_pass(const struct session *s, int fd)
{
	struct stat st;

	if (fd < 0 || fd_is_sealed(fd))
		return true;
	return !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       st.st_dev == s->workspace.st_dev &&
	       (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

static int pass_file(struct session *s, struct porter *p, struct ipc_msg *m)
{
	const uint64_t id = p->id;
	struct guest_file_done d;

	if (m->type != GUEST_FILE_DONE || guest_get_file_done(m, &d))
		return -1;
	if (!may_pass(s, d.fd)) {
		fd_close(&d.fd);
		return -1;
	}
	rest(s, p);
	file_done(id, &d);
	fd_close(&d.fd);
	return 0;
}

static int pass_unpacked(struct session *s, struct porter *p, struct ipc_msg *m)
{
	struct task *t = &s->tasks[p->task];
	struct failure f = {.sys = 0};
	uint32_t n;

	if (m->id != t->number || (m->type != GUEST_UP && m->type != GUEST_FAILED))
		return -1;
	if (m->type == GUEST_FAILED)
		ipc_get_cstr(m, f.stage, sizeof(f.stage));
	n = ipc_get_u32(m);
	f.sys = (int)n;
	if (!ipc_end(m))
		return -1;
	if (m->type == GUEST_UP && n)
		p->job = PORTER_FEEDS;
	else
		rest(s, p);
	if (m->type == GUEST_UP) {
		task_event(s, t, EV_UNPACKED);
	} else {
		t->failure = f;
		task_event(s, t, EV_NOT_UNPACKED);
	}
	return 0;
}

static int pass_look(struct session *s, struct porter *p, struct ipc_msg *m)
{
	if (m->id != p->id)
		return -1;
	/* it may be the one that makes the next */
	rest(s, p);
	if (!looks_answer(s, m))
		return 0;
	looks_lost(s);
	return 0;
}

static int pass_cleared(struct session *s, struct porter *p)
{
	end(p);
	looks_cleared(s);
	return 0;
}

/* It has died, or said what it may not. */
static void lose(struct session *s, struct porter *p)
{
	const struct porter was = *p;

	end(p);
	if (was.job == PORTER_FILE) {
		file_done(was.id, &(struct guest_file_done){.sys = EIO, .fd = -1});
	} else if (was.job == PORTER_UNPACKS) {
		failure_set(&s->tasks[was.task].failure, "unpack: killed", EIO);
		task_event(s, &s->tasks[was.task], EV_NOT_UNPACKED);
	} else if (was.job == PORTER_LOOKS || was.job == PORTER_CLEARS) {
		looks_lost(s);
	}
}

void on_porter(struct session *s, struct porter *p)
{
	struct ipc_msg m;
	int bad = -1;

	if (ipc_recv(p->sock, &m, NULL) != 1) {
		lose(s, p);
		return;
	}
	if (p->job == PORTER_FILE)
		bad = pass_file(s, p, &m);
	else if (p->job == PORTER_UNPACKS)
		bad = pass_unpacked(s, p, &m);
	else if (p->job == PORTER_LOOKS)
		bad = pass_look(s, p, &m);
	else if (p->job == PORTER_CLEARS && m.type == GUEST_UP)
		bad = pass_cleared(s, p);
	ipc_finish(&m);
	if (bad)
		lose(s, p);
}

void porter_drop(struct session *s, unsigned task)
{
	for (unsigned i = 0; i < PORTERS; i++) {
		struct porter *p = &s->porters[i];

		if ((p->job == PORTER_UNPACKS || p->job == PORTER_FEEDS) &&
		    p->task == task)
			end(p);
	}
}

bool porter_cancel(struct session *s, uint64_t id)
{
	for (unsigned i = 0; i < PORTERS; i++) {
		struct porter *p = &s->porters[i];

		if ((p->job != PORTER_FILE && p->job != PORTER_LOOKS) || p->id != id)
			continue;
		if (p->job == PORTER_LOOKS) {
			lose(s, p);
			return true;
		}
		end(p);
		file_done(id, &(struct guest_file_done){.sys = ECANCELED, .fd = -1});
		return true;
	}
	return false;
}
