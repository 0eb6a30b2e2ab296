/* write.c: the one output queue of a connection.
 *
 * Theory of operation: what is to be sent goes to the socket at once while nothing is queued; what
 * the socket does not take is queued in c->out and sent when epoll says so. The current connection's
 * small writes are gathered in the server's cork first. Nobody is told of an error here: it dooms
 * the connection. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

#include <errno.h>
#include <sys/uio.h>

size_t conn_unsent(const struct conn *c)
{
	return c->out.n - c->out_at;
}

bool conn_overfull(const struct conn *c)
{
	size_t queued = conn_unsent(c) + (c->h2 ? h2_queued(c) : 0);

	return queued > c->s->limits.queue_bytes;
}

/* A peer that took one byte every write_ms would have its queue kept for days: so a byte buys no more
 * time than it would need at the slowest pace that is put up with. */
void conn_write_due(struct conn *c, size_t taken)
{
	const struct http_limits *l = &c->s->limits;
	size_t owing = conn_unsent(c) + (c->h2 ? h2_queued(c) : 0);
	uint64_t latest = now_ms() + l->write_ms;

	if (!owing)
		c->write_due = 0;
	else if (!c->write_due)
		c->write_due = latest;
	else
		c->write_due += (uint64_t)taken * 1000 / l->write_bytes_s;
	if (c->write_due > latest)
		c->write_due = latest;
	if (share_queue(c, owing))
		conn_doom(c);
}

static void queue(struct conn *c, const struct sv *parts, unsigned n)
{
	if (c->out_at && c->out_at >= c->out.n / 2) {
		buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
	for (unsigned i = 0; i < n; i++)
		buf_sv(&c->out, parts[i]);
	if (c->out.failed)
		conn_doom(c);
	conn_write_due(c, 0);
}

/* sent bytes of the parts are done with; the rest is queued. */
static void queue_rest(struct conn *c, struct sv *parts, unsigned n, size_t sent)
{
	for (unsigned i = 0; i < n; i++) {
		size_t k = sent < parts[i].n ? sent : parts[i].n;

		parts[i] = (struct sv){parts[i].p + k, parts[i].n - k};
		sent -= k;
	}
	queue(c, parts, n);
}

/* One system call. What was sent, 0 for "not now", -1 with the connection doomed. */
static ssize_t send_parts(struct conn *c, const struct sv *parts, unsigned n)
{
	struct iovec v[SEND_PARTS + 1];
	struct msghdr m = {.msg_iov = v};
	ssize_t sent;

	for (unsigned i = 0; i < n; i++) {
		union {
			const char *in;
			char *out;
		} p = {parts[i].p}; /* iov_base is not const, and not written to */

		if (parts[i].n)
			v[m.msg_iovlen++] = (struct iovec){p.out, parts[i].n};
	}
	sent = m.msg_iovlen == 1
		       ? send(c->io.fd, v[0].iov_base, v[0].iov_len, MSG_NOSIGNAL)
		       : sendmsg(c->io.fd, &m, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return 0;
	if (sent < 0)
		conn_doom(c);
	return sent;
}

static size_t sum(const struct sv *parts, unsigned n)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += parts[i].n;
	return bytes;
}

static void send_now(struct conn *c, const struct sv *parts, unsigned n)
{
	struct sv all[SEND_PARTS + 1];
	struct http_server *s = c->s;
	unsigned k = 0;
	size_t bytes;
	ssize_t sent;

	must(n <= SEND_PARTS);
	if (s->current == c && s->cork.n)
		all[k++] = buf_view(&s->cork);
	for (unsigned i = 0; i < n; i++)
		all[k++] = parts[i];
	bytes = sum(all, k);
	sent = bytes ? send_parts(c, all, k) : 0;
	if (sent >= 0 && (size_t)sent < bytes)
		queue_rest(c, all, k, (size_t)sent);
	if (s->current == c)
		buf_reset(&s->cork);
}

void conn_raw(struct conn *c, const struct sv *parts, unsigned n)
{
	struct http_server *s = c->s;

	if (c->doomed)
		return;
	if (conn_unsent(c)) {
		queue(c, parts, n);
		return;
	}
	if (s->current == c && sum(parts, n) <= CORK_BYTES - s->cork.n) {
		size_t before = s->cork.n;

		for (unsigned i = 0; i < n; i++)
			buf_sv(&s->cork, parts[i]);
		if (!s->cork.failed)
			return;
		s->cork.failed = false;
		s->cork.n = before;
	}
	send_now(c, parts, n);
}

void conn_send(struct conn *c, const struct sv *parts, unsigned n)
{
	if (c->tls)
		tls_send(c, parts, n);
	else
		conn_raw(c, parts, n);
}

void conn_uncork(struct conn *c)
{
	if (c->s->current == c && c->s->cork.n && !c->doomed)
		send_now(c, NULL, 0);
}

void conn_flush(struct conn *c)
{
	struct sv rest;
	ssize_t sent;

	if (c->doomed || !conn_unsent(c))
		return;
	rest = (struct sv){c->out.p + c->out_at, conn_unsent(c)};
	sent = send_parts(c, &rest, 1);
	if (sent <= 0)
		return;
	c->out_at += (size_t)sent;
	if (!conn_unsent(c)) {
		buf_finish(&c->out);
		c->out_at = 0;
	}
	/* with frames waiting behind it, only what leaves a stream counts: see h2.c */
	conn_write_due(c, c->h2 && h2_queued(c) ? 0 : (size_t)sent);
}
