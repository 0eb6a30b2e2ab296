/* server.c: listening sockets, the ceiling on connections, draining. */
#include "mcp/http/internal.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

enum {
	ACCEPT_BATCH = 64, /* of one event */
	/* after the system had no descriptor or memory for one more */
	ACCEPT_PAUSE_MS = 100,
	/* a new connection is not shed at once: its request may be in the socket */
	GRACE_MS = 1000,
	UNSENT_BYTES = 128 << 10, /* in a socket */
};

void http_limits_default(struct http_limits *l)
{
	*l = (struct http_limits){
		.header_bytes = 32 << 10,
		.header_fields = 100,
		.target_bytes = 8 << 10,
		.body_bytes = 16 << 20,
		.header_ms = 10000,
		.body_ms = 10000,
		.body_total_ms = 120000,
		.pieces_total_ms = 600000,
		.idle_ms = 75000,
		.write_ms = 30000,
		.write_bytes_s = 512,
		.queue_bytes = 8 << 20,
		.all_queues_bytes = 512 << 20,
		.max_connections = 16384,
		.max_streams = 100,
		.all_bodies_bytes = 512 << 20,
	};
}

const char *server_date(struct http_server *s)
{
	uint64_t now = loop_wall_us() / 1000000;

	if (now != s->date_s) {
		http_date(now, s->date);
		s->date_s = now;
	}
	return s->date;
}

/* --- accepting --------------------------------------------------------------------------------- */

static void pause_accepting(struct http_server *s)
{
	for (unsigned i = 0; i < s->nlisteners; i++)
		loop_del(s->loop, &s->listeners[i].io);
	loop_timer_set(s->loop, &s->accept_timer, ACCEPT_PAUSE_MS);
}

static void on_pause_over(struct loop_timer *t)
{
	struct http_server *s = t->arg;

	for (unsigned i = 0; i < s->nlisteners; i++)
		if (!s->draining &&
		    loop_add(s->loop, &s->listeners[i].io, EPOLLIN, NULL)) {
			pause_accepting(s);
			return;
		}
}

/* Closes the connection that has been idle longest; false when none is. */
static bool shed_idle(struct http_server *s)
{
	struct conn *c = s->lists[LIST_IDLE].first;

	if (!c || (c->fresh && now_ms() + s->limits.header_ms < c->read_due + GRACE_MS))
		return false;
	conn_close(c);
	return true;
}

static bool make_room(struct http_server *s, const struct sockaddr *from)
{
	struct conn *c;

	if (s->stats.connections < s->limits.max_connections || shed_idle(s))
		return true;
	c = share_victim(s, share_find(s, from));
	if (c)
		conn_close(c);
	return c;
}

/* Best effort: what does not fit into a fresh socket's buffer is not worth waiting for. */
static void turn_away(struct http_server *s, int fd, bool tls)
{
	struct refusal r = {503, "too many connections"};
	AUTO_BUF body = {.max = 1024}, all = {.max = 2048};

	s->stats.refused++;
	if (tls)
		return;
	refusal_json(&body, &r);
	buf_fmt(&all,
		"HTTP/1.1 503 %s\r\ndate: %s\r\ncontent-type: application/json\r\n"
		"content-length: %zu\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
		status_phrase(503), server_date(s), body.n);
	buf_sv(&all, buf_view(&body));
	send(fd, buf_cstr(&all), all.n, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
}

static void admit(struct listener *l, int fd, const struct sockaddr *from)
{
	struct http_server *s = l->s;
	AUTO_FD owned = fd;

	s->stats.accepted++;
	if (!make_room(s, from)) {
		turn_away(s, fd, l->tls);
		return;
	}
	if (!conn_new(s, fd_steal(&owned), from, l->tls))
		s->stats.refused++;
}

/* Errors of one connection that was given up before we came for it (accept(2)); the next may be
 * well. */
static bool is_passing(int error)
{
	return error == ECONNABORTED || error == EINTR || error == EPROTO ||
	       error == EPERM || error == ENETDOWN || error == ENETUNREACH ||
	       error == EHOSTDOWN || error == EHOSTUNREACH || error == ENOPROTOOPT ||
	       error == ENONET || error == EOPNOTSUPP;
}

static void on_accept(struct loop_io *io, uint32_t events)
{
	struct listener *l = io->arg;
	struct http_server *s = l->s;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		union {
			struct sockaddr any;
			struct sockaddr_in v4;
			struct sockaddr_in6 v6;
			struct sockaddr_un un;
		} from = {.any.sa_family = AF_UNIX};
		socklen_t n = sizeof(from);
		int fd = accept4(io->fd, &from.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(l, fd, &from.any);
		} else if (!is_passing(errno)) {
			if (errno == EAGAIN)
				return;
			/* EMFILE and its like: the event would come again at once */
			shed_idle(s);
			pause_accepting(s);
			return;
		}
	}
}

/* --- draining ---------------------------------------------------------------------------------- */

static void drained(struct http_server *s)
{
	void (*on_idle)(void *arg) = s->on_idle;

	s->on_idle = NULL;
	loop_timer_stop(s->loop, &s->drain_timer);
	if (on_idle)
		on_idle(s->on_idle_arg);
}

static void on_drain_due(struct loop_timer *t)
{
	drained(t->arg);
}

/* on_idle must come from the loop, and conn_close may have been called by something of ours that
 * still goes through lists: so the timer brings it. */
void server_check_idle(struct http_server *s)
{
	if (s->draining && s->on_idle && !s->stats.connections)
		loop_timer_set(s->loop, &s->drain_timer, 0);
}

static void stop_listening(struct http_server *s)
{
	for (unsigned i = 0; i < s->nlisteners; i++) {
		loop_del(s->loop, &s->listeners[i].io);
		fd_close(&s->listeners[i].io.fd);
	}
	s->nlisteners = 0;
}

void http_server_drain(struct http_server *s, uint64_t timeout_ms,
		       void (*on_idle)(void *arg), void *arg)
{
	s->draining = true;
	s->on_idle = on_idle;
	s->on_idle_arg = arg;
	loop_timer_stop(s->loop, &s->accept_timer);
	stop_listening(s);
	loop_timer_set(s->loop, &s->drain_timer, timeout_ms);
	for (int i = 0; i < LISTS; i++)
		for (struct conn *c = s->lists[i].first; c; c = c->next)
			if (c->state == CONN_H2)
				h2_shutdown(c);
			else if (i == LIST_IDLE)
				conn_doom(c);
	server_check_idle(s);
}

/* --- life -------------------------------------------------------------------------------------- */

static void check_limits(const struct http_limits *l)
{
	must(l->header_bytes && l->header_fields && l->target_bytes && l->body_bytes &&
	     l->header_ms && l->body_ms && l->body_total_ms && l->pieces_total_ms &&
	     l->idle_ms && l->write_ms && l->write_bytes_s && l->queue_bytes &&
	     l->max_connections && l->max_streams && l->all_bodies_bytes &&
	     l->all_queues_bytes);
}

/* Accepted sockets inherit them; setsockopt is not ours any more when they come. What the kernel
 * takes off our hands before it can be sent is counted by nobody, and hides for how long the peer
 * has taken nothing. Unix sockets refuse both. */
static void set_options(int fd)
{
	int on = 1, unsent = UNSENT_BYTES;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static int start(struct http_server *s, const struct http_server_opts *o, struct err *e)
{
	s->listeners = mem_zalloc(o->nlistens * sizeof(*s->listeners));
	s->fields = mem_zalloc(s->limits.header_fields * sizeof(*s->fields));
	if (!s->listeners || !s->fields)
		return err_set(e, ERR_LIMIT, "no memory for the HTTP server");
	if (share_init(s))
		return err_set(e, ERR_INTERNAL, "no randomness for the HTTP server");
	if (o->tls && !(s->tls = tls_server_new(o->tls, e)))
		return -1;
	for (unsigned i = 0; i < o->nlistens; i++) {
		struct listener *l = &s->listeners[i];

		must(!o->listens[i].tls || s->tls);
		*l = (struct listener){
			.io = {.fd = o->listens[i].fd, .on_ready = on_accept, .arg = l},
			.s = s,
			.tls = o->listens[i].tls,
		};
		set_options(l->io.fd);
		if (loop_add(s->loop, &l->io, EPOLLIN, e))
			return -1;
		s->nlisteners++;
	}
	return 0;
}

struct http_server *http_server_new(const struct http_server_opts *o, struct err *e)
{
	struct http_server *s = mem_zalloc(sizeof(*s));

	if (!s) {
		err_set(e, ERR_LIMIT, "no memory for the HTTP server");
		return NULL;
	}
	check_limits(&o->limits);
	s->loop = o->loop;
	s->limits = o->limits;
	s->handler = o->handler;
	buf_init(&s->cork, CORK_BYTES);
	buf_init(&s->head, SIZE_MAX);
	timing_init(s);
	s->accept_timer = (struct loop_timer){.on_due = on_pause_over, .arg = s};
	s->drain_timer = (struct loop_timer){.on_due = on_drain_due, .arg = s};
	if (start(s, o, e)) {
		for (unsigned i = 0; i < s->nlisteners; i++) {
			loop_del(s->loop, &s->listeners[i].io);
			s->listeners[i].io.fd = -1; /* still the caller's */
		}
		http_server_free(s);
		return NULL;
	}
	return s;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	for (int i = 0; i < LISTS; i++)
		while (s->lists[i].first)
			conn_free(s->lists[i].first);
	stop_listening(s);
	timing_stop(s);
	tls_server_free(s->tls);
	buf_finish(&s->cork);
	buf_finish(&s->head);
	mem_free(s->fields);
	mem_free(s->listeners);
	mem_free(s);
}

void http_server_stats(const struct http_server *s, struct http_stats *ret)
{
	*ret = s->stats;
}
