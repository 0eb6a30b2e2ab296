/* conn.c: one connection: its socket, what it waits for, and its end.
 *
 * Theory of operation: the loop, the timers and the later list call into a connection between
 * conn_enter and conn_leave. In between the protocol reads, answers and sets what it waits for;
 * conn_leave sends what was gathered, closes what is doomed and tells epoll and the wheel.
 *
 * A connection that has been answered for the last time is not just closed: with unread bytes in
 * its socket the kernel would send a reset, which can overtake our answer (RFC 9112, 9.6). It is
 * shut down on our side, then read until the peer is done or LINGER_MS, LINGER_BYTES are spent. */
#include "mcp/http/internal.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* --- lists ------------------------------------------------------------------------------------- */

static void unlink_conn(struct conn *c)
{
	struct conns *l = &c->s->lists[c->list];

	if (c->prev)
		c->prev->next = c->next;
	else
		l->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		l->last = c->prev;
	c->prev = c->next = NULL;
}

static void link_last(struct conn *c)
{
	struct conns *l = &c->s->lists[c->list];

	c->prev = l->last;
	if (l->last)
		l->last->next = c;
	else
		l->first = c;
	l->last = c;
}

static void move(struct conn *c, enum conn_list to)
{
	if (c->list == to)
		return;
	unlink_conn(c);
	c->list = (uint8_t)to;
	link_last(c);
}

bool conn_is_idle(const struct conn *c)
{
	return c->list == LIST_IDLE;
}

void conn_busy(struct conn *c)
{
	c->fresh = false;
	move(c, LIST_BUSY);
}

void conn_receiving(struct conn *c)
{
	c->fresh = false;
	move(c, LIST_RECEIVING);
}

void conn_idle(struct conn *c)
{
	move(c, LIST_IDLE);
	c->read_due = now_ms() + c->s->limits.idle_ms;
}

/* --- the end ----------------------------------------------------------------------------------- */

void conn_free(struct conn *c)
{
	struct http_server *s = c->s;

	while (c->xs)
		exchange_free(c->xs);
	timing_forget(c);
	unlink_conn(c);
	share_queue(c, 0);
	s->shares[c->share].conns--;
	loop_del(s->loop, &c->io);
	if (s->current == c) {
		buf_reset(&s->cork);
		s->current = NULL;
	}
	fd_close(&c->io.fd);
	h2_free(c->h2);
	tls_free(c->tls);
	buf_finish(&c->in);
	buf_finish(&c->out);
	mem_free(c);
	s->stats.connections--;
}

void conn_close(struct conn *c)
{
	struct http_server *s = c->s;

	c->doomed = true;
	while (c->xs) {
		struct http_exchange *x = c->xs;

		exchange_gone(x);
		exchange_free(x);
	}
	conn_free(c);
	server_check_idle(s);
}

void conn_doom(struct conn *c)
{
	c->doomed = true;
	if (c->s->current != c)
		conn_later(c);
}

void conn_finish(struct conn *c)
{
	if (c->state >= CONN_CLOSING || c->doomed)
		return;
	conn_busy(c);
	if (c->tls)
		tls_close_notify(c);
	c->state = CONN_CLOSING;
	c->linger_left = LINGER_BYTES;
	c->read_due = 0;
	buf_finish(&c->in);
	if (c->s->current != c)
		conn_later(c);
}

static void linger(struct conn *c)
{
	if (c->eof || shutdown(c->io.fd, SHUT_WR)) {
		c->doomed = true;
		return;
	}
	conn_receiving(c);
	c->state = CONN_LINGER;
	c->read_due = now_ms() + LINGER_MS;
}

/* --- what it waits for ------------------------------------------------------------------------- */

/* Pipelined requests are read ahead up to this many bytes; then only the peer's end is watched. */
static bool wants_input(const struct conn *c)
{
	/* a head at its limit may lack the LF that decides about it */
	return !c->eof && c->in.n <= (size_t)c->s->limits.header_bytes + 2;
}

static void rearm(struct conn *c)
{
	uint32_t want = 0;

	if (wants_input(c))
		want |= EPOLLIN;
	else if (!c->eof)
		want |= EPOLLRDHUP;
	if (conn_unsent(c))
		want |= EPOLLOUT;
	if (want != c->interest && loop_mod(c->s->loop, &c->io, want)) {
		conn_doom(c);
		return;
	}
	c->interest = want;
	timing_schedule(c);
}

void conn_enter(struct conn *c)
{
	must(!c->s->current);
	c->s->current = c;
}

void conn_leave(struct conn *c)
{
	conn_uncork(c);
	/* not to be shed in the middle of an answer, nor told that a request is due */
	if (conn_is_idle(c) && conn_unsent(c)) {
		move(c, LIST_BUSY);
		c->read_due = 0;
	}
	if (!c->doomed && c->state == CONN_CLOSING && !conn_unsent(c))
		linger(c);
	if (!c->doomed)
		rearm(c);
	buf_reset(&c->s->cork);
	c->s->current = NULL;
	if (c->doomed)
		conn_close(c);
}

void conn_touch(struct conn *c)
{
	if (c->s->current == c)
		return;
	if (c->doomed || c->h2 || c->in.n)
		conn_later(c);
	else
		rearm(c);
}

/* --- what arrives ------------------------------------------------------------------------------ */

static void become_h1(struct conn *c, struct sv bytes)
{
	c->state = CONN_H1;
	h1_input(c, bytes);
}

/* RFC 9113, 3.4: what begins like the preface is HTTP/2, as no HTTP/1 method is PRI. */
static void sniff(struct conn *c, struct sv bytes)
{
	size_t n = sizeof(preface) - 1;
	struct buf all;

	buf_sv(&c->in, bytes);
	if (c->in.failed) {
		conn_doom(c);
		return;
	}
	n = c->in.n < n ? c->in.n : n;
	if (!memcmp(c->in.p, preface, n) && n < sizeof(preface) - 1)
		return;
	all = c->in;
	buf_init(&c->in, c->in.max);
	if (memcmp(all.p, preface, n) != 0)
		become_h1(c, buf_view(&all));
	else if (h2_start(c))
		conn_doom(c);
	else
		h2_input(c, buf_view(&all));
	buf_finish(&all);
}

void conn_plain(struct conn *c, struct sv bytes)
{
	if (c->fresh)
		conn_receiving(c);
	if (c->state == CONN_H1)
		h1_input(c, bytes);
	else if (c->state == CONN_H2)
		h2_input(c, bytes);
	else if (c->state == CONN_SNIFF && !c->in.n && bytes.p[0] != preface[0])
		become_h1(c, bytes);
	else if (c->state == CONN_SNIFF)
		sniff(c, bytes);
}

void conn_eof(struct conn *c)
{
	if (c->eof)
		return;
	c->eof = true;
	if (c->state == CONN_H1)
		h1_eof(c);
	else if (c->state != CONN_CLOSING)
		conn_doom(c);
}

static void input(struct conn *c, struct sv bytes)
{
	if (c->state >= CONN_CLOSING) {
		if (bytes.n > c->linger_left)
			conn_doom(c);
		else
			c->linger_left -= (uint32_t)bytes.n;
	} else if (c->is_tls) {
		/* not before the first byte: it takes 40 KiB */
		if (!c->tls && tls_start(c))
			conn_doom(c);
		else
			tls_input(c, bytes);
	} else {
		conn_plain(c, bytes);
	}
}

static void readable(struct conn *c)
{
	char *to = c->s->rbuf;
	ssize_t n = recv(c->io.fd, to, READ_BYTES, 0);

	if (n > 0)
		input(c, (struct sv){to, (size_t)n});
	else if (n == 0)
		conn_eof(c);
	else if (errno != EAGAIN && errno != EINTR)
		conn_doom(c);
}

void conn_resume(struct conn *c)
{
	if (c->doomed)
		return;
	exchange_serve(c);
	if (c->doomed)
		return;
	if (c->state == CONN_H2)
		h2_flush(c);
	else if (c->state == CONN_H1)
		h1_run(c);
}

static void on_ready(struct loop_io *io, uint32_t events)
{
	struct conn *c = io->arg;

	conn_enter(c);
	if (events & EPOLLOUT) {
		conn_flush(c);
		if (!conn_unsent(c))
			conn_resume(c);
	}
	if (c->doomed) {
		conn_leave(c);
		return;
	}
	if (events & EPOLLIN && wants_input(c))
		readable(c);
	else if (events & EPOLLRDHUP && !c->eof)
		conn_eof(c);
	else if (events & (EPOLLERR | EPOLLHUP))
		conn_doom(c);
	conn_leave(c);
}

void conn_due(struct conn *c, uint64_t now)
{
	if (c->doomed)
		return;
	if (c->write_due && c->write_due <= now)
		conn_doom(c);
	else if (c->state == CONN_H1)
		h1_due(c);
	else if (c->state == CONN_H2)
		h2_due(c, now);
	else
		conn_doom(c);
}

/* --- the beginning ----------------------------------------------------------------------------- */

static void set_peer(struct conn *c, const struct sockaddr *from)
{
	union {
		const struct sockaddr *any;
		const struct sockaddr_in *v4;
		const struct sockaddr_in6 *v6;
	} a = {from};

	if (from->sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.v4->sin_addr, c->peer, sizeof(c->peer));
	} else if (from->sa_family == AF_INET6 &&
		   IN6_IS_ADDR_V4MAPPED(&a.v6->sin6_addr)) {
		inet_ntop(AF_INET, &a.v6->sin6_addr.s6_addr[12], c->peer,
			  sizeof(c->peer));
	} else if (from->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a.v6->sin6_addr, c->peer, sizeof(c->peer));
	} else {
		c->is_unix = true;
		snprintf(c->peer, sizeof(c->peer), "unix");
	}
}

struct conn *conn_new(struct http_server *s, int fd, const struct sockaddr *from,
		      bool tls)
{
	struct conn *c = mem_zalloc(sizeof(*c));
	AUTO_FD owned = fd;

	if (!c)
		return NULL;
	c->s = s;
	c->io = (struct loop_io){.fd = fd, .on_ready = on_ready, .arg = c};
	c->state = tls ? CONN_TLS : CONN_SNIFF;
	c->is_tls = tls;
	c->fresh = true;
	c->interest = EPOLLIN;
	c->read_due = now_ms() + s->limits.header_ms;
	buf_init(&c->in, (size_t)s->limits.header_bytes + 2 * (size_t)READ_BYTES);
	buf_init(&c->out, SIZE_MAX);
	set_peer(c, from);
	c->share = share_find(s, from);
	if (loop_add(s->loop, &c->io, c->interest, NULL)) {
		mem_free(c);
		return NULL;
	}
	fd_steal(&owned);
	/* not one byte yet: the first to go when room is needed */
	c->list = LIST_IDLE;
	link_last(c);
	s->shares[c->share].conns++;
	s->stats.connections++;
	timing_schedule(c);
	return c;
}
