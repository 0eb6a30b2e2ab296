/* real.h: a keeper and a ledger as processes of their own, and this test as the front. */
#ifndef REAL_H
#define REAL_H

#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/supervise.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 60000 /* only ends a test that would hang */

static struct loop loop;
static struct sup_client *client;
static pid_t keeper_pid, ledger_pid;
static char state_dir[] = "/tmp/t_sessions.XXXXXX";
static bool ready, lost;

static void on_lost(void *arg)
{
	(void)arg;
	lost = true;
	loop_stop(&loop);
}

static void on_ready(void *arg)
{
	(void)arg;
	ready = true;
	loop_stop(&loop);
}

static void on_long(struct loop_timer *t)
{
	(void)t;
	printf("Bail out! it takes too long\n");
	exit(1);
}

/* Turns the loop until *flag. */
static inline void until(const bool *flag)
{
	struct loop_timer t = {.on_due = on_long};

	loop_timer_set(&loop, &t, LONG_MS);
	while (!*flag && !lost) {
		loop.stopped = false;
		must(!loop_run(&loop, NULL));
	}
	loop_timer_stop(&loop, &t);
}

static inline void rest_end(struct loop_timer *t)
{
	*(bool *)t->arg = true;
	loop_stop(&loop);
}

/* For what shows by itself only after a while: a TTL. */
static inline void turn_for(uint64_t ms)
{
	bool over = false;
	struct loop_timer t = {.on_due = rest_end, .arg = &over};

	loop_timer_set(&loop, &t, ms);
	until(&over);
	loop_timer_stop(&loop, &t);
}

static inline void up_with(const struct sup_keeper_opts *o)
{
	struct sup_keeper_opts mine = *o;
	const char *built = "build/deps/bin/bwrap";
	int front[2], ledger[2];
	struct err e = {0};

	log_open("test", getenv("LOUD") ? LOG_INFO : LOG_ERROR);
	must(mkdtemp(state_dir) && !fd_socketpair(front, &e) && !fd_socketpair(ledger, &e));
	ledger_pid = fork();
	if (!ledger_pid) {
		close(front[0]);
		close(front[1]);
		close(ledger[0]);
		_exit(led_main(&(struct led_opts){.sock = ledger[1], .state_dir = state_dir},
			       NULL, NULL));
	}
	keeper_pid = fork();
	if (!keeper_pid) {
		close(front[0]);
		close(ledger[1]);
		mine.front_sock = front[1];
		mine.ledger_sock = ledger[0];
		mine.auth_sock = -1;
		mine.bwrap_path = access(built, X_OK) ? NULL : built;
		_exit(sup_keeper_main(&mine));
	}
	close(front[1]);
	close(ledger[0]);
	close(ledger[1]);
	must(!loop_init(&loop, &e) && !fd_set_nonblock(front[0]));
	signal(SIGPIPE, SIG_IGN);
	client = sup_client_new(&loop, front[0], on_lost, NULL, &e);
	must(client);
	sup_client_on_ready(client, on_ready, NULL);
	until(&ready);
	if (lost) {
		printf("Bail out! the keeper did not start\n");
		exit(1);
	}
}

static inline void up(void)
{
	up_with(&(struct sup_keeper_opts){
		.auth_modes = SUP_AUTH_LOCAL, .max_runs = 16, .max_queue = 64});
}

/* The exit codes of keeper and ledger. */
static inline void down(void)
{
	static const char *const names[] = {"audit.db", "audit.db-wal", "audit.db-shm", "lock"};
	int k = -1, l = -1;
	char path[64];

	sup_client_free(client);
	must(waitpid(keeper_pid, &k, 0) == keeper_pid);
	must(waitpid(ledger_pid, &l, 0) == ledger_pid);
	ok(!k && !l, "keeper and ledger end in order");
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", state_dir, names[i]);
		unlink(path);
	}
	rmdir(state_dir);
	loop_finish(&loop);
}

/* --- questions ---------------------------------------------------------------------------------- */

struct asked {
	bool done;
	enum err_code code;
	int sys;
	unsigned n;
	struct sup_session_info rows[8];
	struct sup_file_done file;
};

static inline void on_rows(void *arg, const struct sup_session_info *rows, unsigned n,
			   const struct err *e)
{
	struct asked *a = arg;

	a->done = true;
	a->n = n;
	a->code = e ? e->code : ERR_NONE;
	if (e)
		printf("# %s\n", e->cause);
	for (unsigned i = 0; i < n && i < ARRAY_LEN(a->rows); i++)
		a->rows[i] = rows[i];
	loop_stop(&loop);
}

static inline void on_file(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct asked *a = arg;

	a->done = true;
	a->code = e ? e->code : ERR_NONE;
	a->sys = e ? e->sys : 0;
	a->file = d ? *d : (struct sup_file_done){.fd = -1};
	loop_stop(&loop);
}

static inline struct asked open_with(struct sup_session_opts o)
{
	struct asked a = {.n = 0};
	struct err e = {0};

	if (!sup_client_session_open(client, &o, on_rows, &a, &e))
		return (struct asked){.code = e.code};
	until(&a.done);
	return a;
}

static inline struct asked close_of(const char *id)
{
	struct asked a = {.n = 0};

	must(sup_client_session_close(client, SV(""), sv_of(id), on_rows, &a, NULL));
	until(&a.done);
	return a;
}

static inline struct asked list(void)
{
	struct asked a = {.n = 0};

	must(sup_client_session_list(client, SV(""), on_rows, &a, NULL));
	until(&a.done);
	return a;
}

static inline struct asked file(const char *id, enum sup_file_op op, const char *path,
				const char *content)
{
	struct asked a = {.n = 0};
	struct err e = {0};

	must(sup_client_file(
		client,
		&(struct sup_file_opts){
			.op = op,
			.session_id = sv_of(id),
			.path = sv_of(path),
			.max_rows = 1000,
			.max_bytes = content ? strlen(content) : 0,
			.data_fd = content ? fd_memfd("x", content, strlen(content), NULL)
					   : -1},
		on_file, &a, &e));
	until(&a.done);
	return a;
}

/* --- calls -------------------------------------------------------------------------------------- */

struct called {
	bool done, accepted;
	struct sup_run *run;
	enum err_code code;
	char cause[320];
	struct sup_result r;
	char out[4096], errs[4096], rich[4096];
	size_t nout;
	uint64_t out_total, rich_n;
};

static inline void c_accepted(void *arg, struct sv run_id)
{
	struct called *c = arg;

	(void)run_id;
	c->accepted = true;
	loop_stop(&loop);
}

static inline void c_rich(void *arg, struct sv line)
{
	struct called *c = arg;

	c->rich_n++;
	snprintf(c->rich + strlen(c->rich), sizeof(c->rich) - strlen(c->rich),
		 SV_FMT "\n", (int)(line.n < 4000 ? line.n : 4000), line.p);
}

static inline void c_output(void *arg, uint64_t total)
{
	struct called *c = arg;

	c->nout = (size_t)total;
	loop_stop(&loop);
}

static inline void text_of(const struct sup_stream *s, char *dst, size_t size)
{
	AUTO_BUF head = {.max = 65536}, tail = {.max = 65536};

	sup_stream_text(s, &head, &tail);
	snprintf(dst, size, "%s", buf_cstr(&head));
}

static inline void c_done(void *arg, const struct sup_answer *a)
{
	struct called *c = arg;

	c->done = true;
	c->run = NULL;
	if (a->err) {
		c->code = a->err->code;
		snprintf(c->cause, sizeof(c->cause), "%s", a->err->cause);
	} else {
		c->r = *a->result;
		text_of(a->out, c->out, sizeof(c->out));
		text_of(a->errs, c->errs, sizeof(c->errs));
		c->out_total = a->out->total;
	}
	loop_stop(&loop);
}

/* Fields that are 0 are what most want: fds of 0 are none. */
static inline void start(struct called *c, const char *session, const char *language,
			 const char *code, struct sup_run_opts o)
{
	struct err e = {0};

	*c = (struct called){.code = ERR_NONE};
	o.language = sv_of(language);
	o.session_id = sv_of(session);
	o.code_fd = code ? fd_memfd("code", code, strlen(code), NULL) : -1;
	o.input_fd = o.input_fd ? o.input_fd : -1;
	o.stdin_fd = o.stdin_fd ? o.stdin_fd : -1;
	o.on_done = c_done;
	o.on_accepted = c_accepted;
	o.on_output = c_output;
	o.on_rich = c_rich;
	o.arg = c;
	c->run = sup_client_run(client, &o, &e);
	if (!c->run) {
		c->done = true;
		c->code = e.code;
	}
}

static inline struct called call(const char *session, const char *language, const char *code)
{
	struct called c;

	start(&c, session, language, code, (struct sup_run_opts){.tool = POL_RUN_CODE});
	until(&c.done);
	return c;
}

/* Printed where a test fails, so that it can be told why. */
static inline void show(const struct called *c)
{
	printf("# code=%d %s status=%s exit=%d signal=%d fresh=%d lost=%d ended=%d out=%s err=%s\n",
	       c->code, c->cause, sup_status_name(c->r.status), c->r.exit_code, c->r.signal,
	       c->r.fresh, c->r.lost_state, c->r.session_ended, c->out, c->errs);
}

#define fine(c, cond, ...)                                                             \
	do {                                                                           \
		if (!ok(!(c).code && (cond), __VA_ARGS__))                             \
			show(&(c));                                                    \
	} while (0)

#endif
