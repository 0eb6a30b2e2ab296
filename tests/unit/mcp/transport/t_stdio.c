/* t_stdio.c: lines and queues of the stdio transport, over pipes, sockets, files and terminals. */
#include "mcp/transport/transport.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define LIMIT 4096
#define WATCHDOG_MS 20000

struct rig {
	struct loop loop;
	struct stdio_transport *t;
	int to, from; /* the peer's ends */
	struct buf got; /* messages, each in [] */
	unsigned messages, oversize, ends, flushes;
	size_t limit;
	char head[STDIO_EXCERPT_BYTES + 1], tail[STDIO_EXCERPT_BYTES + 1];
	bool free_on_message, expired;
};

static void on_message(void *arg, struct sv m)
{
	struct rig *r = arg;

	r->messages++;
	buf_byte(&r->got, '[');
	buf_sv(&r->got, m);
	buf_byte(&r->got, ']');
	if (r->free_on_message) {
		stdio_free(r->t);
		r->t = NULL;
	}
	loop_stop(&r->loop);
}

static void on_oversize(void *arg, size_t limit, struct sv head, struct sv tail)
{
	struct rig *r = arg;

	r->oversize++;
	r->limit = limit;
	sv_copy(head, r->head, sizeof(r->head));
	sv_copy(tail, r->tail, sizeof(r->tail));
	loop_stop(&r->loop);
}

static void on_end(void *arg)
{
	struct rig *r = arg;

	r->ends++;
	loop_stop(&r->loop);
}

static void on_flushed(void *arg)
{
	struct rig *r = arg;

	r->flushes++;
	loop_stop(&r->loop);
}

static void on_watchdog(struct loop_timer *t)
{
	struct rig *r = t->arg;

	r->expired = true;
	loop_stop(&r->loop);
}

/* Runs the loop until *count reaches want; false (and a failed test) if it never does. */
static bool run_until(struct rig *r, const unsigned *count, unsigned want)
{
	struct loop_timer dog = {.on_due = on_watchdog, .arg = r};

	loop_timer_set(&r->loop, &dog, WATCHDOG_MS);
	while (*count < want && !r->expired) {
		r->loop.stopped = false;
		loop_run(&r->loop, NULL);
	}
	loop_timer_stop(&r->loop, &dog);
	return *count >= want;
}

/* One turn of the loop: what is ready now, no more. */
static void turn(struct rig *r)
{
	struct loop_timer dog = {.on_due = on_watchdog, .arg = r};

	loop_timer_set(&r->loop, &dog, 0);
	r->loop.stopped = false;
	loop_run(&r->loop, NULL);
	loop_timer_stop(&r->loop, &dog);
	r->expired = false;
}

static void rig_open(struct rig *r, int in, int out)
{
	struct err e = {0};
	struct stdio_opts o = {.in_fd = in,
			       .out_fd = out,
			       .max_message_bytes = LIMIT,
			       .on_message = on_message,
			       .on_oversize = on_oversize,
			       .on_end = on_end};

	*r = (struct rig){.to = -1, .from = -1};
	must(!loop_init(&r->loop, &e));
	buf_init(&r->got, (size_t)1 << 20);
	o.loop = &r->loop;
	o.arg = r;
	r->t = stdio_new(&o, &e);
	must(r->t);
}

static void rig_pipes(struct rig *r)
{
	int in[2], out[2];

	must(!fd_pipe(in, NULL) && !fd_pipe(out, NULL));
	rig_open(r, in[0], out[1]);
	r->to = in[1];
	r->from = out[0];
}

static void rig_close(struct rig *r)
{
	stdio_free(r->t);
	fd_close(&r->to);
	fd_close(&r->from);
	buf_finish(&r->got);
	loop_finish(&r->loop);
}

static void put(struct rig *r, const char *s)
{
	must(!fd_write_all(r->to, s, strlen(s)));
}

static bool got(const struct rig *r, const char *want)
{
	return !strcmp(buf_cstr(&r->got), want);
}

static void t_lines(void)
{
	static const char text[] = "{\"a\":1}\r\n\n  \r\nsecond\nlast";
	struct rig r;

	rig_pipes(&r);
	for (const char *p = text; *p; p++) {
		must(!fd_write_all(r.to, p, 1));
		if (*p == '\n' && (p[-1] == '\r' && p[-2] == '}'))
			run_until(&r, &r.messages, 1);
	}
	run_until(&r, &r.messages, 2);
	fd_close(&r.to);
	ok(run_until(&r, &r.ends, 1), "EOF ends the connection");
	ok(got(&r, "[{\"a\":1}][second][last]"),
	   "CR is dropped, blank lines are skipped, the unfinished last line is delivered: %s",
	   buf_cstr(&r.got));
	ok(r.ends == 1, "on_end comes once");
	rig_close(&r);
}

static void t_one_byte_per_event(void)
{
	struct rig r;
	unsigned turns = 0;

	rig_pipes(&r);
	for (const char *p = "[1]\n"; *p; p++) {
		must(!fd_write_all(r.to, p, 1));
		turn(&r);
		turns += r.messages == 0;
	}
	ok(turns == 3 && got(&r, "[[1]]"),
	   "a line that comes byte by byte is one message");
	rig_close(&r);
}

static void t_oversize(void)
{
	struct rig r;
	char line[3 * LIMIT];

	rig_pipes(&r);
	memset(line, 'x', sizeof(line));
	memcpy(line, "HEAD", 4);
	memcpy(line + sizeof(line) - 6, "TAIL\r\n", 6);
	must(!fd_write_all(r.to, line, sizeof(line)));
	put(&r, "after\n");
	ok(run_until(&r, &r.messages, 1) && r.oversize == 1 && r.limit == LIMIT,
	   "a line over the limit is reported");
	ok(got(&r, "[after]"), "and the next one is read as if nothing had been");
	ok(!strncmp(r.head, "HEADxx", 6) && strlen(r.head) == STDIO_EXCERPT_BYTES,
	   "its beginning is kept");
	ok(!strcmp(r.tail + strlen(r.tail) - 5, "xTAIL"), "and its end");

	memset(line, 'y', LIMIT);
	memcpy(line + LIMIT, "\r\n", 2);
	must(!fd_write_all(r.to, line, LIMIT + 2));
	ok(run_until(&r, &r.messages, 2) && r.oversize == 1,
	   "the limit itself is allowed");
	memset(line, 'z', LIMIT + 1);
	line[LIMIT + 1] = '\n';
	must(!fd_write_all(r.to, line, LIMIT + 2));
	ok(run_until(&r, &r.oversize, 2), "one byte more is not");
	must(!fd_write_all(r.to, line, LIMIT + 1));
	fd_close(&r.to);
	ok(run_until(&r, &r.ends, 1) && r.oversize == 3, "also when it ends with EOF");
	rig_close(&r);
}

/* What message i of a series looks like. */
static void numbered(char *dst, size_t size, unsigned i)
{
	memset(dst, 'a' + (int)(i % 26), size);
	snprintf(dst, 16, "%08u", i);
	dst[8] = ' ';
}

static void t_stalled_reader(bool socket)
{
	enum { SIZE = 10000, COUNT = 500 };
	static char want[SIZE], have[SIZE + 1];
	struct rig r;
	bool same = true;
	int in[2], out[2];

	if (socket) {
		must(!socketpair(AF_UNIX, SOCK_STREAM, 0, in));
		must(!socketpair(AF_UNIX, SOCK_STREAM, 0, out));
	} else {
		must(!fd_pipe(in, NULL) && !fd_pipe(out, NULL));
	}
	rig_open(&r, in[0], out[1]);
	r.to = in[1];
	r.from = out[0];
	for (unsigned i = 0; i < COUNT; i++) {
		numbered(want, SIZE, i);
		stdio_send(r.t, (struct sv){want, SIZE});
	}
	put(&r, "still listening\n");
	ok(run_until(&r, &r.messages, 1),
	   "input is read while nobody reads the output");
	stdio_flush(r.t, WATCHDOG_MS, on_flushed);
	if (fork() == 0) {
		for (unsigned i = 0; i < COUNT && same; i++) {
			size_t n = 0;
			ssize_t k;

			numbered(want, SIZE, i);
			while (n <= SIZE &&
			       (k = read(r.from, have + n, SIZE + 1 - n)) > 0)
				n += (size_t)k;
			same = n == SIZE + 1 && !memcmp(have, want, SIZE) &&
			       have[SIZE] == '\n';
		}
		_exit(same ? 0 : 1);
	}
	ok(run_until(&r, &r.flushes, 1), "a reader that wakes up gets the rest");
	{
		int status = -1;

		wait(&status);
		ok(status == 0, "every byte of it, in order (%s)",
		   socket ? "socket" : "pipe");
	}
	rig_close(&r);
}

/* A reader that follows slowly: sending goes on while part of the queue is written. */
static void t_slow_reader(void)
{
	enum { SIZE = 10000, COUNT = 700 };
	static char want[SIZE], have[SIZE + 1];
	struct rig r;
	unsigned good = 0;
	size_t n = 0;

	rig_pipes(&r);
	for (unsigned i = 0; good < COUNT;) {
		ssize_t k;

		/* 400 are ahead before the first is read, then one for every two */
		for (unsigned due = 400 + good / 2; i < COUNT && i < due; i++) {
			numbered(want, SIZE, i);
			stdio_send(r.t, (struct sv){want, SIZE});
		}
		turn(&r);
		k = read(r.from, have + n, SIZE + 1 - n);
		must(k > 0);
		n += (size_t)k;
		if (n <= SIZE)
			continue;
		numbered(want, SIZE, good);
		if (memcmp(have, want, SIZE) || have[SIZE] != '\n')
			break;
		good++;
		n = 0;
	}
	ok(good == COUNT, "a slow reader gets every message, in order (%u)", good);
	rig_close(&r);
}

static void t_queue_ceiling(void)
{
	enum { MIB = 1 << 20 };
	char *m = mem_zalloc(MIB);
	struct rig r;

	memset(m, 'q', MIB);
	rig_pipes(&r);
	for (int i = 0; i < 63; i++)
		stdio_send(r.t, (struct sv){m, MIB});
	put(&r, "x\n");
	ok(run_until(&r, &r.messages, 1) && !r.ends,
	   "63 MiB of unread output are held");
	stdio_send(r.t, (struct sv){m, MIB});
	stdio_send(r.t, (struct sv){m, MIB});
	ok(!r.ends, "on_end does not come from within a send");
	ok(run_until(&r, &r.ends, 1), "past the ceiling the connection is given up");
	stdio_send(r.t, SV("late"));
	ok(r.ends == 1, "and sending into it is harmless");
	rig_close(&r);
	mem_free(m);
}

static void t_reader_gone(void)
{
	struct rig r;

	rig_pipes(&r);
	fd_close(&r.from);
	ok(run_until(&r, &r.ends, 1),
	   "a reader that is gone ends the connection unasked");
	rig_close(&r);
	rig_pipes(&r);
	fd_close(&r.from);
	stdio_send(r.t, SV("into the void"));
	ok(!r.ends && run_until(&r, &r.ends, 1),
	   "also when it is noticed while writing");
	rig_close(&r);
}

static void t_framing_out(void)
{
	struct rig r;
	char text[64] = "";

	rig_pipes(&r);
	stdio_send(r.t, SV("{\n\"a\":\n1}"));
	must(read(r.from, text, sizeof(text) - 1) > 0);
	ok(!strcmp(text, "{ \"a\": 1}\n"),
	   "a message is one line whatever it was given as");
	ok(!(fcntl(r.from, F_GETFL) & O_NONBLOCK),
	   "no flag is set on a shared description");
	rig_close(&r);
}

static void t_flush_timeout(void)
{
	struct rig r;
	char m[100000];

	memset(m, 'm', sizeof(m));
	rig_pipes(&r);
	stdio_send(r.t, (struct sv){m, sizeof(m)});
	stdio_flush(r.t, 50, on_flushed);
	put(&r, "unread\n");
	ok(run_until(&r, &r.flushes, 1), "a flush gives up after its time");
	ok(!r.messages && !r.ends,
	   "nothing is read any more, and nothing else is reported");
	rig_close(&r);
	rig_pipes(&r);
	stdio_send(r.t, SV("x"));
	stdio_flush(r.t, WATCHDOG_MS, on_flushed);
	ok(!r.flushes && run_until(&r, &r.flushes, 1),
	   "with nothing queued it is done at once");
	rig_close(&r);
}

static void t_free_in_callback(void)
{
	struct rig r;

	rig_pipes(&r);
	r.free_on_message = true;
	put(&r, "one\ntwo\n");
	run_until(&r, &r.messages, 1);
	ok(got(&r, "[one]"), "a transport freed by a message delivers no more");
	rig_close(&r);
}

static void t_plain_files(void)
{
	struct rig r;
	AUTO_BUF text = {0};
	char path[] = "/tmp/t_stdio.XXXXXX";
	int in = mkstemp(path), out = open("/dev/null", O_WRONLY | O_CLOEXEC);

	buf_init(&text, (size_t)1 << 20);
	for (int i = 0; i < 30000; i++)
		buf_fmt(&text, "%d\n", i);
	must(!fd_write_all(in, text.p, text.n) && lseek(in, 2, SEEK_SET) == 2);
	rig_open(&r, in, out);
	stdio_send(r.t, SV("to nowhere"));
	ok(run_until(&r, &r.ends, 1) && r.messages == 29999,
	   "a regular file is read from where it stands to its end (%u lines)",
	   r.messages);
	ok(!strncmp(buf_cstr(&r.got), "[1][2][3]", 9), "in order");
	rig_close(&r);

	out = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	rig_open(&r, open("/dev/null", O_RDONLY | O_CLOEXEC), out);
	stdio_send(r.t, SV("kept"));
	ok(run_until(&r, &r.ends, 1), "/dev/null is an end of file");
	rig_close(&r);
	buf_reset(&text);
	ok(!fd_read_file(path, &text, NULL) && !strcmp(buf_cstr(&text), "kept\n"),
	   "a regular file takes output");
	unlink(path);
}

static void t_terminal(void)
{
	int master, slave, out;
	struct termios raw;
	struct rig r;
	char text[600], back[1200];
	size_t n = 0;

	must(!openpty(&master, &slave, NULL, NULL, NULL));
	must(!tcgetattr(slave, &raw));
	cfmakeraw(&raw);
	must(!tcsetattr(slave, TCSANOW, &raw));
	out = fcntl(slave, F_DUPFD_CLOEXEC, 3);
	rig_open(&r, slave, out);
	r.to = master;
	put(&r, "typed\n");
	ok(run_until(&r, &r.messages, 1) && got(&r, "[typed]"),
	   "a terminal can be typed into");
	memset(text, 't', sizeof(text));
	stdio_send(r.t, (struct sv){text, sizeof(text)});
	stdio_flush(r.t, WATCHDOG_MS, on_flushed);
	ok(run_until(&r, &r.flushes, 1), "and written to");
	while (n < sizeof(text) + 1) {
		ssize_t k = read(master, back + n, sizeof(back) - n);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	ok(n == sizeof(text) + 1 && back[n - 1] == '\n', "whole (%zu bytes)", n);
	rig_close(&r);
}

static void t_no_memory(void)
{
	struct rig r;

	rig_pipes(&r);
	mem_fail_after(1);
	stdio_send(r.t, SV("no room for this"));
	mem_fail_after(0);
	ok(run_until(&r, &r.ends, 1), "no memory for the queue ends the connection");
	rig_close(&r);
	rig_pipes(&r);
	put(&r, "first half");
	mem_fail_after(1);
	turn(&r);
	mem_fail_after(0);
	put(&r, " second half\nnext\n");
	run_until(&r, &r.messages, 1);
	ok(r.oversize == 1 && got(&r, "[next]") &&
		   !strcmp(r.head, "first half second half"),
	   "no memory for a line costs that line and is told: %s", r.head);
	rig_close(&r);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	t_lines();
	t_one_byte_per_event();
	t_oversize();
	t_stalled_reader(false);
	t_stalled_reader(true);
	t_slow_reader();
	t_queue_ceiling();
	t_reader_gone();
	t_framing_out();
	t_flush_timeout();
	t_free_in_callback();
	t_plain_files();
	t_terminal();
	t_no_memory();
	return tap_done();
}
