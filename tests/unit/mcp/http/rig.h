/* rig.h: a server of mcp/http inside the test, on a Unix socket, and clients that talk to it.
 *
 * One thread: what a client says is served by rig_turn(), which runs the loop until nothing more
 * happens. Unix sockets deliver at once, so nothing has to be waited for. */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include "mcp/http/http.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct rig {
	struct loop loop;
	struct http_server *server;
	struct sockaddr_un at;
	socklen_t at_n;
	struct loop_timer stop;
};

static inline void rig_on_stop(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static inline void rig_turn(struct rig *r)
{
	for (int i = 0; i < 8; i++) {
		r->loop.stopped = false;
		loop_timer_set(&r->loop, &r->stop, 0);
		must(!loop_run(&r->loop, NULL));
	}
}

static inline void rig_start(struct rig *r, const struct http_limits *limits,
			     struct http_handler handler)
{
	struct http_listen l = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};
	struct http_server_opts o = {.loop = &r->loop,
				     .listens = &l,
				     .nlistens = 1,
				     .limits = *limits,
				     .handler = handler};
	struct err e = {0};

	*r = (struct rig){.at = {.sun_family = AF_UNIX}};
	r->stop = (struct loop_timer){.on_due = rig_on_stop, .arg = &r->loop};
	/* an abstract name of the kernel's choice */
	must(!bind(l.fd, (struct sockaddr *)&r->at, sizeof(sa_family_t)));
	r->at_n = sizeof(r->at);
	must(!getsockname(l.fd, (struct sockaddr *)&r->at, &r->at_n) && !listen(l.fd, 64));
	must(!loop_init(&r->loop, &e));
	r->server = http_server_new(&o, &e);
	must(r->server);
}

static inline void rig_finish(struct rig *r)
{
	http_server_free(r->server);
	loop_finish(&r->loop);
}

static inline int rig_connect(struct rig *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	must(fd >= 0 && !connect(fd, (struct sockaddr *)&r->at, r->at_n));
	return fd;
}

static inline void rig_say(struct rig *r, int fd, struct sv text)
{
	while (text.n) {
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			break;
		if (n > 0)
			text = (struct sv){text.p + n, text.n - (size_t)n};
		rig_turn(r);
	}
	rig_turn(r);
}

/* Adds what has come; true when the server's side is closed. */
static inline bool rig_hear(struct rig *r, int fd, struct buf *b)
{
	for (;;) {
		char piece[4096];
		ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		if (n < 0)
			return false;
		buf_add(b, piece, (size_t)n);
		rig_turn(r);
	}
}

static inline unsigned rig_count(const struct buf *b, const char *what)
{
	unsigned n = 0;

	for (const char *p = buf_cstr(b); (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* --- HTTP/2 by hand: as much as a client needs to be understood -------------------------------- */

static inline void h2_frame(struct buf *b, int type, int flags, uint32_t stream,
			    struct sv payload)
{
	unsigned char head[9] = {(unsigned char)(payload.n >> 16),
				 (unsigned char)(payload.n >> 8),
				 (unsigned char)payload.n,
				 (unsigned char)type,
				 (unsigned char)flags,
				 (unsigned char)(stream >> 24),
				 (unsigned char)(stream >> 16),
				 (unsigned char)(stream >> 8),
				 (unsigned char)stream};

	buf_add(b, head, sizeof(head));
	buf_sv(b, payload);
}

/* A literal that is not indexed, not Huffman coded (RFC 7541, 6.2.2); up to 126 bytes each. */
static inline void h2_literal(struct buf *b, const char *name, const char *value)
{
	must(strlen(name) < 127 && strlen(value) < 127);
	buf_byte(b, 0);
	buf_byte(b, (char)strlen(name));
	buf_str(b, name);
	buf_byte(b, (char)strlen(value));
	buf_str(b, value);
}

static inline void h2_preface(struct buf *b)
{
	buf_str(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	h2_frame(b, 4, 0, 0, SV(""));
}

/* HEADERS and, unless it is "", DATA. */
static inline void h2_request(struct buf *b, uint32_t stream, const char *path, struct sv body)
{
	AUTO_BUF block = {.max = 4096};

	h2_literal(&block, ":method", body.n ? "POST" : "GET");
	h2_literal(&block, ":scheme", "http");
	h2_literal(&block, ":path", path);
	h2_literal(&block, ":authority", "rig");
	h2_frame(b, 1, body.n ? 4 : 5, stream, buf_view(&block));
	if (body.n)
		h2_frame(b, 0, 1, stream, body);
}

#endif
