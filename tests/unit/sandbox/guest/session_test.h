/* session_test.h: a real sandbox that serves a session, and the keeper's side of its line.
 *
 * The interpreter of most tests is a shell whose driver sources each call's code: so a call can do
 * whatever a taken-over driver could. Nothing here waits for time to pass: LONG_MS only ends a test that
 * would hang. */
#ifndef SESSION_TEST_H
#define SESSION_TEST_H

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/launch/launch.h"
#include "tests/lib/tap.h"
#include "tests/unit/sandbox/plan_of.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 60000

/* Sources the code; `up` and `end` as a driver says them. An interrupt ends the code. */
#define SHELL_DRIVER                                                                   \
	"trap : INT\necho up >&3\n"                                                    \
	"while read -r word n <&3; do\n"                                               \
	"\tcode=/run/fumehood/$n.code\n"                                               \
	"\t. $code\n"                                                                  \
	"\techo \"end $n $?\" >&3\n"                                                   \
	"done\n"

struct told {
	uint32_t type;
	uint64_t id;
	struct guest_word word;
	char stage[48];
	uint32_t sys;
	struct guest_file_done file;
};

struct test_session {
	struct launch_sandbox box;
	int workspace;
	int out[GUEST_SLOTS], err[GUEST_SLOTS], rich[GUEST_SLOTS]; /* read ends */
	uint64_t last_id;
	struct guest_changes changes; /* the last that were told, */
	uint64_t changes_id; /* of that call; 0: none yet */
};

static struct launch_host *host;

static inline void skip(const char *why)
{
	const char *must_run = getenv("MUST_RUN");

	printf("# skip: %s\n", why);
	if (must_run && !strcmp(must_run, "1"))
		ok(0, "nothing is skipped: %s", why);
}

static inline void open_host(void)
{
	const char *built = "build/deps/bin/bwrap";
	struct err e = {0};
	struct launch_host_opts o = {.bwrap_path = access(built, X_OK) ? NULL : built};

	if (launch_host_open(&o, &host, &e)) {
		printf("Bail out! %s\n", e.cause);
		exit(1);
	}
}

/* What calls have changed comes beside all else. */
static inline bool took_changes(struct test_session *t, struct ipc_msg *m)
{
	struct guest_changes got;

	if (m->type != GUEST_CHANGES || guest_get_changes(m, &got))
		return false;
	if (t->changes_id)
		fd_close(&t->changes.fd);
	t->changes = got;
	t->changes_id = m->id;
	return true;
}

/* Waits for those of call id, whatever else comes is passed over. False: the guest has gone. */
static inline bool await_changes(struct test_session *t, uint64_t id)
{
	struct pollfd p = {t->box.ctl, POLLIN, 0};
	static struct ipc_msg m;

	while (t->changes_id != id) {
		if (poll(&p, 1, LONG_MS) != 1 || ipc_recv(t->box.ctl, &m, NULL) != 1)
			return false;
		took_changes(t, &m);
		ipc_finish(&m);
	}
	return true;
}

/* The next record, but for GUEST_UP and GUEST_CHANGES; type 0: the guest has gone or said what cannot be read. */
static inline struct told next_told(struct test_session *t)
{
	struct pollfd p = {t->box.ctl, POLLIN, 0};
	static struct ipc_msg m;
	struct told got = {.word = {.pidfd = -1}, .file = {.fd = -1}};
	bool bad = false;

	do
		if (poll(&p, 1, LONG_MS) != 1 || ipc_recv(t->box.ctl, &m, NULL) != 1)
			return got;
	while (m.type == GUEST_UP || took_changes(t, &m));
	got.id = m.id;
	if (m.type == GUEST_OPENED) {
		t->workspace = ipc_take_fd(&m);
		bad = !ipc_end(&m);
	} else if (m.type == GUEST_FAILED) {
		ipc_get_cstr(&m, got.stage, sizeof(got.stage));
		got.sys = ipc_get_u32(&m);
		bad = !ipc_end(&m);
	} else if (m.type == GUEST_FILE_DONE) {
		bad = guest_get_file_done(&m, &got.file);
	} else {
		bad = guest_get_word(&m, &got.word);
	}
	got.type = bad ? 0 : m.type;
	ipc_finish(&m);
	return got;
}

static inline bool open_session_with(struct test_session *t, const struct plan *plan)
{
	struct err e = {0};
	struct told got;

	*t = (struct test_session){.workspace = -1};
	memset(t->out, -1, sizeof(t->out));
	memset(t->err, -1, sizeof(t->err));
	memset(t->rich, -1, sizeof(t->rich));
	if (launch_session(host, plan, &t->box, &e)) {
		printf("# %s\n", e.cause);
		return false;
	}
	got = next_told(t);
	launch_sandbox_up(&t->box);
	if (got.type != GUEST_OPENED) {
		char text[400];
		ssize_t n = read(t->box.complaints, text, sizeof(text));

		printf("# not opened: %u %s %u: %.*s\n", got.type, got.stage, got.sys,
		       n > 0 ? (int)n : 0, text);
	}
	return got.type == GUEST_OPENED;
}

static inline bool open_session(struct test_session *t)
{
	return open_session_with(t, plan_of(host, POL_PROBE, "", NULL));
}

/* True when nothing of it is left. */
static inline bool close_session(struct test_session *t)
{
	struct pollfd p = {t->box.pidfd, POLLIN, 0};
	const struct timespec ms = {0, 1000000};

	launch_sandbox_kill(&t->box, 0);
	if (poll(&p, 1, LONG_MS) != 1)
		launch_sandbox_kill(&t->box, 1);
	fd_close(&t->workspace);
	for (unsigned i = 0; i < GUEST_SLOTS; i++) {
		fd_close(&t->out[i]);
		fd_close(&t->err[i]);
		fd_close(&t->rich[i]);
	}
	for (unsigned i = 0; i < LONG_MS; i++) {
		if (launch_sandbox_gone(host, &t->box))
			return true;
		nanosleep(&ms, NULL); /* only a cgroup's removal is worth asking again */
	}
	return false;
}

static inline int memfd_of(struct sv text)
{
	return fd_memfd("test", text.p, text.n, NULL);
}

/* What a call consists of; zeroes are what most want. */
struct call {
	uint32_t slot;
	const char *code;
	const char *driver;		/* its text; NULL: the shell's */
	const char *name;		/* of its file; NULL: driver.test */
	const char *interpreter;	/* NULL: /bin/sh */
	struct sv input;
	int stdin_fd;			/* 0: none */
	bool warm;			/* sends no pipes */
};

/* Makes the pipes of a slot anew; the write ends go to w. */
static inline void make_pipes(struct test_session *t, uint32_t slot, int w[3])
{
	int *ends[3] = {&t->out[slot], &t->err[slot], &t->rich[slot]};

	for (unsigned i = 0; i < 3; i++) {
		int p[2];

		must(!fd_pipe(p, NULL));
		*ends[i] = p[0];
		fd_set_nonblock(p[0]);
		w[i] = p[1];
	}
}

static inline uint64_t send_call(struct test_session *t, const struct call *c)
{
	const char *driver = c->driver ? c->driver : SHELL_DRIVER;
	int w[3] = {-1, -1, -1}, old[3] = {t->out[c->slot], t->err[c->slot], t->rich[c->slot]};
	struct guest_call g = {.slot = c->slot,
			       .driver = sv_of(c->name ? c->name : "driver.test"),
			       .rich_fd = -1,
			       .driver_fd = -1,
			       .run = {.filter_fd = -1,
				       .out_fd = -1,
				       .err_fd = -1,
				       .input_fd = -1,
				       .stdin_fd = c->stdin_fd ? c->stdin_fd : -1}};
	static struct ipc_msg m;

	g.run.code_fd = memfd_of(sv_of(c->code));
	if (c->input.n)
		g.run.input_fd = memfd_of(c->input);
	if (!c->warm) {
		make_pipes(t, c->slot, w);
		g.run.out_fd = w[0], g.run.err_fd = w[1], g.rich_fd = w[2];
		g.driver_fd = memfd_of(sv_of(driver));
		g.run.interpreter = sv_of(c->interpreter ? c->interpreter : "/bin/sh");
		g.run.env[g.run.nenv++] = SV("PATH=/usr/bin:/bin");
		for (unsigned i = 0; i < 3; i++)
			fd_close(&old[i]);
	}
	ipc_start(&m, GUEST_CALL, ++t->last_id);
	guest_put_call(&m, &g);
	must(!ipc_send(t->box.ctl, &m, NULL));
	g.run.stdin_fd = -1; /* the test's */
	guest_close_call(&g);
	return t->last_id;
}

static inline void send_slot(struct test_session *t, uint32_t type, uint64_t id,
			     uint32_t slot)
{
	static struct ipc_msg m;

	ipc_start(&m, type, id);
	guest_put_slot(&m, slot);
	must(!ipc_send(t->box.ctl, &m, NULL));
}

/* Sends it and waits for its end; what started it is in *ret_started if that is not NULL. */
static inline struct told do_call(struct test_session *t, const struct call *c,
				  struct told *ret_started)
{
	uint64_t id = send_call(t, c);
	struct told got;

	do {
		got = next_told(t);
		if (got.type == GUEST_CALL_STARTED) {
			if (ret_started)
				*ret_started = got;
			else
				fd_close(&got.word.pidfd);
		}
	} while (got.type && (got.id != id || got.type == GUEST_CALL_STARTED));
	return got;
}

/* A call in slot 0, to an interpreter that runs if `warm`: its exit code, or -1. */
static inline int sh(struct test_session *t, const char *code, bool warm)
{
	struct told got = do_call(t, &(struct call){.code = code, .warm = warm}, NULL);

	if (got.type == GUEST_CALL_ENDED && got.word.how == GUEST_BY_DRIVER)
		return (int)got.word.status;
	printf("# %u %s %u how %d status %x\n", got.type, got.stage, got.sys,
	       (int)got.word.how, got.word.status);
	return -1;
}

/* Everything a non-blocking descriptor holds now. */
static inline const char *drain(int fd)
{
	static char text[70000];
	size_t n = 0;
	ssize_t k;

	while (n < sizeof(text) - 1 && (k = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)k;
	text[n] = '\0';
	return text;
}

static inline bool ended(const struct told *got, enum guest_how how, uint32_t status)
{
	bool good = got->type == GUEST_CALL_ENDED && got->word.how == how &&
		    got->word.status == status;

	if (!good)
		printf("# got %u %s %u how %d status %x\n", got->type, got->stage,
		       got->sys, (int)got->word.how, got->word.status);
	return good;
}

/* A FIFO in the workspace, for tests to wait on; programs may not make one. As root it is made under
 * the sandbox's uid: others do not exist on its file systems. */
static inline void make_fifo(struct test_session *t, const char *name)
{
	struct stat st;

	must(!fstat(t->workspace, &st));
	setfsgid(st.st_gid);
	setfsuid(st.st_uid);
	must(!mkfifoat(t->workspace, name, 0600));
	setfsuid(geteuid());
	setfsgid(getegid());
}

/* Appends an entry of a call's input. */
static inline void add_entry(struct buf *b, enum guest_entry_kind kind, struct sv name,
			     struct sv data)
{
	uint32_t name_n = (uint32_t)name.n;
	uint64_t data_n = data.n;

	buf_byte(b, (char)kind);
	buf_add(b, &name_n, sizeof(name_n));
	buf_add(b, &data_n, sizeof(data_n));
	buf_sv(b, name);
	buf_sv(b, data);
}

static inline struct told file_op(struct test_session *t, struct guest_file f)
{
	static struct ipc_msg m;

	ipc_start(&m, GUEST_FILE_OP, ++t->last_id);
	guest_put_file(&m, &f);
	must(!ipc_send(t->box.ctl, &m, NULL));
	return next_told(t);
}

#endif
