/* The front's side of sessions: whose output is whose, where pipes outlive the calls that print into them.
 * The keeper is a socket held by the test. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/client.h"
#include "sandbox/supervise/wire.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define SES "ses_0123456789abcdef0123456789abcdef"

static struct loop loop;
static struct sup_client *client;
static int keeper; /* the test's end */
static bool lost;
static int to[3]; /* the interpreter's ends of its pipes */
static int in_from; /* its stdin */

struct call {
	uint64_t id;
	struct sup_run *run;
	unsigned done;
	enum err_code code;
	struct sup_result r;
	struct buf out, errs, rich, bytes;
	uint64_t total;
};

static void on_lost(void *arg)
{
	(void)arg;
	lost = true;
}

static void on_rich(void *arg, struct sv line)
{
	struct call *c = arg;

	buf_sv(&c->rich, line);
	buf_byte(&c->rich, '|');
}

static void on_bytes(void *arg, int stream, struct sv bytes)
{
	struct call *c = arg;

	if (stream == 1)
		buf_sv(&c->bytes, bytes);
}

static void on_done(void *arg, const struct sup_answer *a)
{
	struct call *c = arg;

	c->done++;
	c->code = a->err ? a->err->code : ERR_NONE;
	if (a->err)
		return;
	c->r = *a->result;
	sup_stream_text(a->out, &c->out, &c->out);
	sup_stream_text(a->errs, &c->errs, &c->errs);
	c->total = a->out->total;
}

static void on_idle(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void turn(void)
{
	for (int i = 0; i < 8; i++) {
		struct loop_timer t = {.on_due = on_idle, .arg = &loop};

		loop.stopped = false;
		loop_timer_set(&loop, &t, 0);
		must(!loop_run(&loop, NULL));
	}
}

static void up(void)
{
	int p[2];

	lost = false;
	to[0] = to[1] = to[2] = in_from = -1;
	must(!fd_socketpair(p, NULL) && !fd_set_nonblock(p[0]) &&
	     !fd_set_nonblock(p[1]));
	must(!loop_init(&loop, NULL));
	keeper = p[1];
	client = sup_client_new(&loop, p[0], on_lost, NULL, NULL);
	must(client);
}

static void down(void)
{
	sup_client_free(client);
	loop_finish(&loop);
	fd_close(&keeper);
	for (unsigned i = 0; i < 3; i++)
		fd_close(&to[i]);
	fd_close(&in_from);
}

static void finish(struct call *c)
{
	buf_finish(&c->out);
	buf_finish(&c->errs);
	buf_finish(&c->rich);
	buf_finish(&c->bytes);
}

/* The keeper's next record; of SUP_READ, whose output has been read, is only noted. */
static uint64_t last_read;
static bool hear(struct ipc_msg *m)
{
	int got;

	while ((got = ipc_recv(keeper, m, NULL)) == 1 && m->type == SUP_READ) {
		last_read = m->id;
		ipc_finish(m);
	}
	return got == 1;
}

static void ask(struct call *c, bool open_stdin, int stdin_fd)
{
	struct ipc_msg m;

	*c = (struct call){.done = 0};
	buf_init(&c->out, 1 << 20);
	buf_init(&c->errs, 1 << 20);
	buf_init(&c->rich, 1 << 22);
	buf_init(&c->bytes, 1 << 22);
	c->run = sup_client_run(client,
				&(struct sup_run_opts){.language = SV("python"),
						       .session_id = SV(SES),
						       .open_stdin = open_stdin,
						       .code_fd = -1,
						       .input_fd = -1,
						       .stdin_fd = stdin_fd,
						       .on_done = on_done,
						       .on_bytes = on_bytes,
						       .on_rich = on_rich,
						       .arg = c},
				NULL);
	must(c->run && hear(&m) && m.type == SUP_RUN);
	c->id = m.id;
	ipc_finish(&m);
}

/* The call starts; fresh: with new pipes. */
static void start(struct call *c, bool fresh, bool with_stdin)
{
	struct wire_start s = {.run_id = "run_1",
			       .session_id = SES,
			       .output_max = 1000000,
			       .fresh = fresh,
			       .fds = {-1, -1, -1},
			       .stdin_fd = -1};
	struct ipc_msg m;
	int p[2], in[2] = {-1, -1};

	for (unsigned i = 0; fresh && i < 3; i++) {
		must(!fd_pipe(p, NULL));
		s.fds[i] = p[0];
		fd_close(&to[i]);
		to[i] = p[1];
	}
	if (with_stdin) {
		must(!fd_pipe(in, NULL));
		fd_close(&in_from);
		in_from = in[0];
		s.stdin_fd = in[1];
	}
	ipc_start(&m, SUP_CALLED, c->id);
	wire_put_start(&m, &s);
	must(!ipc_send(keeper, &m, NULL));
	for (unsigned i = 0; fresh && i < 3; i++)
		fd_close(&s.fds[i]);
	fd_close(&in[1]);
	turn();
}

static void begin(struct call *c, bool fresh)
{
	ask(c, false, -1);
	start(c, fresh, false);
}

static void end_with(struct call *c, struct sup_result r)
{
	struct ipc_msg m;

	snprintf(r.run_id, sizeof(r.run_id), "run_1");
	r.in_session = true;
	ipc_start(&m, SUP_ENDED, c->id);
	wire_put_result(&m, &r);
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static void print(unsigned i, const char *text)
{
	must(!fd_write_all(to[i], text, strlen(text)));
}

static bool is(const struct buf *b, const char *text)
{
	return sv_eq(buf_view(b), sv_of(text));
}

/* How a call is told to end: because it was cancelled (1), or printed too much (2); 0: it was not. */
static uint32_t was_stopped(const struct call *c)
{
	struct ipc_msg m;
	uint32_t why = 0;

	if (!hear(&m))
		return 0;
	if (m.type == SUP_STOP && m.id == c->id)
		why = ipc_get_u32(&m);
	ipc_finish(&m);
	return why;
}

static void test_output(void)
{
	struct call c;

	up();
	begin(&c, true);
	print(0, "one");
	print(1, "oops");
	print(2, "{\"a\":1}\n{\"b\"");
	turn();
	print(2, ":2}\n");
	print(0, " two");
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	ok(c.done == 1 && !c.code && is(&c.out, "one two") && is(&c.errs, "oops") &&
		   is(&c.rich, "{\"a\":1}|{\"b\":2}|"),
	   "what is in the pipes when a call ends is its output");
	ok(!was_stopped(&c) && last_read == c.id, "that it has been read is told");
	finish(&c);
	print(0, "between and ");
	turn();
	ask(&c, false, -1);
	print(0, "before ");
	start(&c, false, false);
	print(0, "during");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.out, "between and before during") && is(&c.bytes, buf_cstr(&c.out)),
	   "what came between two calls is the first of the next: %s",
	   buf_cstr(&c.out));
	finish(&c);
	print(1, "last words");
	fd_close(&to[1]);
	turn();
	begin(&c, true);
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	ok(is(&c.errs, "last words"), "the last words of one that died are not lost");
	finish(&c);
	begin(&c, false);
	print(0, "x");
	end_with(&c, (struct sup_result){.status = SUP_SIGNALED, .lost_state = true});
	ok(is(&c.out, "x") && write(to[0], "y", 1) < 0,
	   "one that ended has no pipes any more");
	finish(&c);
	ok(!lost, "all in order");
	down();
}

/* Nobody reads its pipe but the front: it must not be held up between calls, nor fill the front. */
static void test_flood_between(void)
{
	static char lot[100000];
	struct call c;
	uint64_t sent = 0, began_us, turns;

	memset(lot, 'x', sizeof(lot));
	up();
	begin(&c, true);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	must(!fd_set_nonblock(to[0]));
	began_us = loop_now_us();
	while (sent < 2000001) {
		ssize_t n = write(to[0], lot, sizeof(lot));

		sent += n > 0 ? (uint64_t)n : 0;
		turn();
	}
	/* kept, read at intervals of 20 ms, in the pipe */
	turns = (loop_now_us() - began_us) / 20000 + 1;
	ok(sent <= (256u << 10) + turns * 65536 + 2 * 65536,
	   "it does not take all of the front's time: %u KiB in %u ms",
	   (unsigned)(sent >> 10), (unsigned)turns * 20);
	begin(&c, false);
	print(0, "END");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(sent > 2000000 && c.total == sent + 3, "all of it is counted");
	ok(c.bytes.n == (256u << 10) + 3 && sv_ends(buf_view(&c.bytes), SV("END")),
	   "as much as there is room for is kept (%zu)", c.bytes.n);
	ok(!c.run || c.done == 1, "and the call was not ended for it");
	finish(&c);
	down();
}

/* A writer that goes on and on must not keep a call from its end. */
static void test_flood_at_end(void)
{
	struct call c;
	pid_t pid;

	up();
	begin(&c, true);
	pid = fork();
	if (!pid) {
		static char lot[65536];

		signal(SIGPIPE, SIG_DFL);
		while (write(to[0], lot, sizeof(lot)) > 0)
			;
		_exit(0);
	}
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(c.done == 1, "the call ends");
	must(!kill(pid, SIGKILL));
	finish(&c);
	down();
}

static void test_rich(void)
{
	static char line[3 << 20];
	struct call c;
	uint64_t before;

	memset(line, 'a', sizeof(line));
	up();
	begin(&c, true);
	must(!fd_set_nonblock(to[2]));
	/* 18 MiB of a line */
	for (size_t at = 0; at < (18u << 20);) {
		ssize_t n = write(to[2], line, 65536);

		if (n > 0)
			at += (size_t)n;
		turn();
	}
	print(2, "\nshort\n");
	print(2, "part of");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	before = c.r.rich_dropped;
	ok(is(&c.rich, "short|") && before == 1,
	   "a line that is too long is dropped, and counted");
	finish(&c);
	begin(&c, false);
	print(2, " a line\n");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.rich, "part of a line|") && !c.r.rich_dropped,
	   "an unfinished one is finished later");
	finish(&c);
	down();
}

/* Sixteen MiB are little, and as much from each interpreter of all sessions is not. */
static void test_rich_together(void)
{
	struct call c;
	size_t mine;

	up();
	begin(&c, true);
	must(client->line_bytes == 0);
	client->line_bytes = CLIENT_LINE_BYTES - 10; /* others' */
	print(2, "0123456789");
	turn();
	ok(client->line_bytes == CLIENT_LINE_BYTES, "what is there is used up");
	print(2, "a\nwhole\n");
	print(2, "12345678");
	turn();
	mine = client->line_bytes - (CLIENT_LINE_BYTES - 10);
	ok(mine == 8, "and given back (%zu)", mine);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.rich, "whole|") && c.r.rich_dropped == 1,
	   "the line without room is dropped, and counted");
	finish(&c);
	client->line_bytes -= CLIENT_LINE_BYTES - 10;
	begin(&c, false);
	print(2, "9\n");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.rich, "123456789|") && !client->line_bytes, "nothing is left");
	finish(&c);
	down();
}

/* Lines that are not kept take time all the same, empty ones most of all. */
static void test_rich_flood(const char *bytes, unsigned max_mib)
{
	static char lot[65536];
	struct call c;
	uint32_t why = 0;
	uint64_t sent = 0;

	for (size_t i = 0; i < sizeof(lot); i++)
		lot[i] = bytes[i % strlen(bytes)];
	up();
	begin(&c, true);
	must(!fd_set_nonblock(to[2]));
	while (!why && sent >> 20 < 2 * max_mib) {
		ssize_t n = write(to[2], lot, sizeof(lot));

		sent += n > 0 ? (uint64_t)n : 0;
		turn();
		buf_reset(&c.rich);
		why = was_stopped(&c);
	}
	ok(why == WIRE_OUTPUT_LIMIT && sent >> 20 <= max_mib,
	   "a flood of lines ends its call, after %u MiB", (unsigned)(sent >> 20));
	end_with(&c, (struct sup_result){.status = SUP_OUTPUT_LIMIT});
	ok(c.r.rich_dropped > 0, "and is told of");
	finish(&c);
	begin(&c, false);
	print(2, "\nhere\n");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(sv_ends(buf_view(&c.rich), SV("here|")) && !was_stopped(&c),
	   "the next call has its own");
	finish(&c);
	down();
}

static void test_input(void)
{
	static char lot[2 << 20];
	struct call c;
	char got[65536];
	uint64_t n = 0;
	ssize_t k;

	memset(lot, 'z', sizeof(lot));
	up();
	ask(&c, true, fd_memfd("in", "first,", 6, NULL));
	ok(!sup_client_input(c.run, SV("second,"), false, NULL),
	   "it can be written before it starts");
	start(&c, true, true);
	must(!sup_client_input(c.run, SV("third"), false, NULL));
	ok(read(in_from, got, sizeof(got)) == 18 &&
		   !memcmp(got, "first,second,third", 18),
	   "all comes in order");
	for (unsigned i = 0; i < 8; i++)
		must(!sup_client_input(c.run, (struct sv){lot, sizeof(lot)}, false,
				       NULL));
	ok(sup_client_input(c.run, (struct sv){lot, sizeof(lot)}, false, NULL) == -1,
	   "what nobody reads is bounded");
	must(!sup_client_input(c.run, SV(""), true, NULL));
	ok(sup_client_input(c.run, SV("x"), false, NULL) == -1,
	   "after the end there is no more");
	must(!fd_set_nonblock(in_from));
	while ((k = read(in_from, got, sizeof(got))) != 0) {
		n += k > 0 ? (uint64_t)k : 0;
		turn();
	}
	ok(n == 8 * sizeof(lot), "all of it comes, and then the end");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	ask(&c, true, -1);
	start(&c, false, true);
	fd_close(&in_from);
	turn();
	ok(sup_client_input(c.run, SV("x"), false, NULL) == -1,
	   "a program that wants none gets none");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	ask(&c, false, -1);
	ok(sup_client_input(c.run, SV("x"), false, NULL) == -1,
	   "nor one that was not to");
	start(&c, false, false);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	ok(!lost, "all in order");
	down();
}

static void test_out_of_order(void)
{
	static const char *const what[] = {"two calls at once in one interpreter",
					   "a call of one without a session",
					   "an answer to no question",
					   "an end of a session cut short"};

	for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
		struct call c, d;
		struct ipc_msg m;

		up();
		ask(&c, false, -1);
		ask(&d, false, -1);
		start(&c, true, false);
		ipc_start(&m, SUP_GONE, 0);
		if (i == 0)
			start(&d, false, false);
		if (i == 1) {
			ipc_start(&m, SUP_CALLED, 999);
			must(!ipc_send(keeper, &m, NULL));
		}
		if (i == 2) {
			ipc_start(&m, SUP_FILE_DONE, c.id);
			wire_put_file_done(&m, &(struct sup_file_done){.fd = -1});
			must(!ipc_send(keeper, &m, NULL));
		}
		if (i == 3)
			must(!ipc_send(keeper, &m, NULL));
		turn();
		ok(lost && c.done == 1 && d.done == 1 && c.code == ERR_LOST,
		   "%s: no keeper", what[i]);
		finish(&c);
		finish(&d);
		down();
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	must(freopen("/dev/null", "w", stderr));
	test_output();
	test_flood_between();
	test_flood_at_end();
	test_rich();
	test_rich_together();
	test_rich_flood("\n", 2);
	test_rich_flood("0123456789abcde\n", 20);
	test_rich_flood("x", 66);
	test_input();
	test_out_of_order();
	return tap_done();
}
