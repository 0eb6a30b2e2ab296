/* stdio.c: lines in, lines out, over two descriptors.
 *
 * Theory of operation. Input is read in chunks of 64 KiB, one per event, and cut at newlines; a
 * line inside one chunk is delivered where it lies, a longer one is gathered in `line`, and one
 * over the limit is forgotten but for its two ends. Output goes through `queue`; what the kernel
 * does not take at once waits for EPOLLOUT. Neither side waits for the other.
 *
 * What the descriptors are decides how they are used, and no flag is ever set on them, because the
 * open file description may be shared with the parent (see take_over.c):
 *	SOCKET	MSG_DONTWAIT
 *	OWN	O_NONBLOCK was set by whoever made it, or by stdio_take_over on its own copy
 *	SHARED	blocking pipe or terminal: used only after poll, a step that cannot block at a time
 *	PLAIN	epoll refuses it (EPERM: regular file, /dev/null): read from a timer, written directly
 *
 * on_end and on_flushed are called from the timer `late`, so that stdio_send can be called from
 * anywhere without being re-entered. */
#include "mcp/transport/transport.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (64u << 10)
#define KEEP_BYTES                                                                     \
	((size_t)1 << 20) /* buffers larger than this are given back when empty */
#define TTY_STEP_BYTES                                                                 \
	128 /* a terminal is writable when 256 bytes fit (WAKEUP_CHARS) */
#define PUMP_WRITES 16 /* per event, so that a fast reader does not hold the loop */

enum kind { SOCKET, OWN, SHARED, PLAIN };

struct stdio_transport {
	struct stdio_opts o;
	struct loop_io in, out;
	struct loop_timer in_due; /* PLAIN input */
	struct loop_timer late; /* on_end, on_flushed */
	enum kind in_kind, out_kind;
	size_t out_step; /* SHARED output */
	bool reading, broken, ended, want_out;
	bool busy, dead; /* in a callback; freed from within it */
	void (*on_flushed)(void *arg);
	struct buf line;
	bool skipping;
	char head[STDIO_EXCERPT_BYTES], tail[STDIO_EXCERPT_BYTES];
	size_t head_n, tail_n;
	struct buf queue;
	size_t sent; /* of queue, already written */
	char chunk[CHUNK_BYTES];
};

static void shrink(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_finish(b);
	buf_reset(b);
}

static void stop_reading(struct stdio_transport *t)
{
	t->reading = false;
	loop_del(t->o.loop, &t->in);
	loop_timer_stop(t->o.loop, &t->in_due);
}

static void end_soon(struct stdio_transport *t)
{
	stop_reading(t);
	loop_timer_set(t->o.loop, &t->late, 0);
}

static void on_late_due(struct loop_timer *timer)
{
	struct stdio_transport *t = timer->arg;
	void (*flushed)(void *arg) = t->on_flushed;

	if (flushed) {
		t->on_flushed = NULL;
		flushed(t->o.arg);
	} else if (!t->ended) {
		t->ended = true;
		t->o.on_end(t->o.arg);
	}
}

/* --- input ------------------------------------------------------------------------------------ */

static void excerpt(struct stdio_transport *t, struct sv part)
{
	size_t room = sizeof(t->head) - t->head_n, keep;

	memcpy(t->head + t->head_n, part.p, part.n < room ? part.n : room);
	t->head_n += part.n < room ? part.n : room;
	if (part.n > sizeof(t->tail)) {
		part.p += part.n - sizeof(t->tail);
		part.n = sizeof(t->tail);
	}
	keep = sizeof(t->tail) - part.n < t->tail_n ? sizeof(t->tail) - part.n
						    : t->tail_n;
	memmove(t->tail, t->tail + t->tail_n - keep, keep);
	memcpy(t->tail + keep, part.p, part.n);
	t->tail_n = keep + part.n;
}

static void report_oversize(struct stdio_transport *t)
{
	struct sv head = {t->head, t->head_n}, tail = {t->tail, t->tail_n};

	t->skipping = false;
	t->head_n = t->tail_n = 0;
	t->o.on_oversize(t->o.arg, t->o.max_message_bytes, sv_trim(head),
			 sv_trim(tail));
}

static void deliver(struct stdio_transport *t, struct sv s)
{
	if (s.n && s.p[s.n - 1] == '\r')
		s.n--;
	if (!sv_trim(s).n)
		return;
	if (s.n <= t->o.max_message_bytes) {
		t->o.on_message(t->o.arg, s);
		return;
	}
	excerpt(t, s);
	report_oversize(t);
}

static void add_part(struct stdio_transport *t, struct sv part)
{
	if (!part.n)
		return;
	if (!t->skipping) {
		buf_sv(&t->line, part);
		if (!t->line.failed)
			return;
		/* over the limit, or no memory for it: the same to the sender */
		t->skipping = true;
		excerpt(t, buf_view(&t->line));
		shrink(&t->line);
	}
	excerpt(t, part);
}

static void end_line(struct stdio_transport *t)
{
	if (t->skipping) {
		report_oversize(t);
	} else {
		deliver(t, buf_view(&t->line));
		shrink(&t->line);
	}
}

static void feed(struct stdio_transport *t, struct sv in)
{
	while (in.n && t->reading) {
		ptrdiff_t nl = sv_find(in, '\n');
		struct sv part = {in.p, nl < 0 ? in.n : (size_t)nl};

		in.p += part.n + (nl >= 0), in.n -= part.n + (nl >= 0);
		if (nl >= 0 && !t->skipping && !t->line.n) {
			deliver(t, part);
			continue;
		}
		add_part(t, part);
		if (nl >= 0)
			end_line(t);
	}
}

static void release(struct stdio_transport *t)
{
	buf_finish(&t->line);
	buf_finish(&t->queue);
	mem_free(t);
}

/* One read; false when there is nothing more to come. */
static bool read_once(struct stdio_transport *t)
{
	int fd = t->o.in_fd;
	ssize_t n = t->in_kind == SOCKET ? recv(fd, t->chunk, CHUNK_BYTES, MSG_DONTWAIT)
					 : read(fd, t->chunk, CHUNK_BYTES);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n > 0) {
		feed(t, (struct sv){t->chunk, (size_t)n});
		return true;
	}
	if (t->line.n || t->skipping)
		end_line(t);
	return false;
}

static void take_input(struct stdio_transport *t)
{
	bool more;

	t->busy = true;
	more = read_once(t);
	t->busy = false;
	if (t->dead)
		release(t);
	else if (!more && t->reading)
		end_soon(t);
	else if (t->reading && t->in_kind == PLAIN)
		loop_timer_set(t->o.loop, &t->in_due, 0);
}

static void on_in_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	take_input(io->arg);
}

static void on_in_due(struct loop_timer *timer)
{
	take_input(timer->arg);
}

/* --- output ----------------------------------------------------------------------------------- */

static void give_up(struct stdio_transport *t)
{
	t->broken = true;
	loop_del(t->o.loop, &t->out);
	buf_finish(&t->queue);
	t->sent = 0;
	end_soon(t);
}

static void want_out(struct stdio_transport *t, bool on)
{
	if (t->want_out == on || t->out_kind == PLAIN)
		return;
	t->want_out = on;
	loop_mod(t->o.loop, &t->out, on ? EPOLLOUT : 0);
}

static ssize_t write_some(struct stdio_transport *t, const char *p, size_t n)
{
	struct pollfd f = {.fd = t->o.out_fd, .events = POLLOUT};

	if (t->out_kind == SOCKET)
		return send(t->o.out_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (t->out_kind == SHARED) {
		if (poll(&f, 1, 0) <= 0 ||
		    !(f.revents & (POLLOUT | POLLERR | POLLHUP))) {
			errno = EAGAIN;
			return -1;
		}
		n = n < t->out_step ? n : t->out_step;
	}
	return write(t->o.out_fd, p, n);
}

static void pump(struct stdio_transport *t)
{
	for (int i = 0;
	     t->sent < t->queue.n && (i < PUMP_WRITES || t->out_kind == PLAIN); i++) {
		ssize_t n = write_some(t, t->queue.p + t->sent, t->queue.n - t->sent);

		if (n > 0) {
			t->sent += (size_t)n;
		} else if (n < 0 && errno == EAGAIN && t->out_kind != PLAIN) {
			break;
		} else if (n == 0 || errno != EINTR) {
			give_up(t);
			return;
		}
	}
	if (t->sent < t->queue.n) {
		want_out(t, true);
		return;
	}
	shrink(&t->queue);
	t->sent = 0;
	want_out(t, false);
	if (t->on_flushed)
		loop_timer_set(t->o.loop, &t->late, 0);
}

static void on_out_ready(struct loop_io *io, uint32_t events)
{
	struct stdio_transport *t = io->arg;

	if (events & (EPOLLERR | EPOLLHUP))
		give_up(t);
	else
		pump(t);
}

static void add_line(struct buf *q, struct sv s)
{
	for (ptrdiff_t nl; (nl = sv_find(s, '\n')) >= 0;) {
		buf_add(q, s.p, (size_t)nl);
		buf_byte(q, ' ');
		s.p += nl + 1, s.n -= (size_t)nl + 1;
	}
	buf_sv(q, s);
	buf_byte(q, '\n');
}

void stdio_send(struct stdio_transport *t, struct sv message)
{
	bool idle = t->sent == t->queue.n;

	if (t->broken || t->dead)
		return;
	/* moving the rest costs at most as much as was written before */
	if (t->sent > KEEP_BYTES && t->sent > t->queue.n / 2) {
		buf_consume(&t->queue, t->sent);
		t->sent = 0;
	}
	add_line(&t->queue, message);
	if (t->queue.failed)
		give_up(t);
	else if (idle)
		pump(t);
}

void stdio_flush(struct stdio_transport *t, uint64_t timeout_ms,
		 void (*on_flushed)(void *arg))
{
	bool done = t->broken || t->sent == t->queue.n;

	stop_reading(t);
	t->on_flushed = on_flushed;
	loop_timer_set(t->o.loop, &t->late, done ? 0 : timeout_ms);
}

/* --- life ------------------------------------------------------------------------------------- */

static enum kind kind_of(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && S_ISSOCK(st.st_mode))
		return SOCKET;
	return fcntl(fd, F_GETFL) & O_NONBLOCK ? OWN : SHARED;
}

static int add_io(struct stdio_transport *t, struct loop_io *io, uint32_t events,
		  enum kind *kind, struct err *e)
{
	struct err why = {0};

	if (!loop_add(t->o.loop, io, events, &why))
		return 0;
	if (why.sys != EPERM) {
		*e = why;
		return -1;
	}
	*kind = PLAIN;
	return 0;
}

struct stdio_transport *stdio_new(const struct stdio_opts *o, struct err *e)
{
	struct stdio_transport *t = mem_zalloc(sizeof(*t));
	struct err why = {0};

	if (!t) {
		err_set(e, ERR_LIMIT, "no memory for the connection");
		return NULL;
	}
	t->o = *o;
	t->reading = true;
	/* one more for the CR that does not count */
	buf_init(&t->line, o->max_message_bytes + 1);
	buf_init(&t->queue, STDIO_MAX_QUEUE_BYTES);
	t->in = (struct loop_io){.fd = o->in_fd, .on_ready = on_in_ready, .arg = t};
	t->out = (struct loop_io){.fd = o->out_fd, .on_ready = on_out_ready, .arg = t};
	t->in_due = (struct loop_timer){.on_due = on_in_due, .arg = t};
	t->late = (struct loop_timer){.on_due = on_late_due, .arg = t};
	t->in_kind = kind_of(o->in_fd);
	t->out_kind = kind_of(o->out_fd);
	t->out_step = isatty(o->out_fd) ? TTY_STEP_BYTES : PIPE_BUF;
	if (add_io(t, &t->in, EPOLLIN, &t->in_kind, &why) ||
	    add_io(t, &t->out, 0, &t->out_kind, &why)) {
		loop_del(o->loop, &t->in);
		release(t);
		err_set(e, why.code, "%s", why.cause);
		return NULL;
	}
	if (t->in_kind == PLAIN)
		loop_timer_set(o->loop, &t->in_due, 0);
	return t;
}

void stdio_free(struct stdio_transport *t)
{
	if (!t || t->dead)
		return;
	t->dead = true;
	stop_reading(t);
	loop_timer_stop(t->o.loop, &t->late);
	loop_del(t->o.loop, &t->out);
	fd_close(&t->o.in_fd);
	fd_close(&t->o.out_fd);
	if (!t->busy)
		release(t);
}
