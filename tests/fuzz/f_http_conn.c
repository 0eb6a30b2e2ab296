/* f_http_conn.c: an HTTP/1 connection fed with any bytes, and handlers that answer when they like.
 *
 * The first byte says into which pieces the rest is cut (0: none), the second when what is held is
 * answered. Of paths that begin with /p the body comes in pieces: /pl's when what is held would be
 * answered, /pe is answered before its end. What must hold: each request that was handed out has one
 * answer, in order, or the handler is told once that nobody waits for it; after a refusal nothing
 * follows; what is known of a body's length is true; and what the server writes can be read back as
 * answers without a byte left over. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop loop;
static struct http_server *server;
static struct http_exchange *held, *late, *piecewise;
static uint64_t came;
static unsigned handed, answered, gone, aborted;
static struct buf heard;

/* The number of the request is in its answer's body. */
static void answer(struct http_exchange *x)
{
	char text[16];
	struct sv body = {text, (size_t)snprintf(text, sizeof(text), "%u;", answered)};

	answered++;
	if (http_query(x).n && http_body_whole(x)) {
		if (http_query(x).n == 1)
			http_stream_start_sized(x, 200, NULL, 0, body.n);
		else
			http_stream_start(x, 200, NULL, 0);
		http_stream_write(x, body);
		http_stream_end(x);
	} else {
		http_respond(x, 200, NULL, 0, body);
	}
}

static bool takes_pieces(void *arg, const struct http_exchange *x)
{
	(void)arg;
	return !x->c->h2 && sv_starts(http_path(x), SV("/p"));
}

/* Odd amounts, so that some of it stays. */
static void on_body(void *arg, struct http_exchange *x)
{
	const size_t n = http_body(x).n, some = n > 7 ? n - n % 3 : n;
	uint64_t length;

	(void)arg;
	must(x == piecewise && n <= HTTP_BODY_WINDOW);
	came += some;
	http_body_take(x, some);
	if (http_body_whole(x))
		came += http_body(x).n;
	must(!http_length(x, &length) || came <= length);
	if (!http_body_whole(x) && !sv_eq(http_path(x), SV("/pe")))
		return;
	must(!http_body_whole(x) || !http_length(x, &length) || came == length);
	piecewise = NULL;
	answer(x);
}

static void on_pieces(struct http_exchange *x)
{
	must(!piecewise && !http_body(x).n);
	piecewise = x;
	came = 0;
	if (sv_eq(http_path(x), SV("/pl")))
		late = x;
	else
		http_body_start(x);
}

static void on_request(void *arg, struct http_exchange *x)
{
	struct sv value;

	(void)arg;
	must(!held && !piecewise);
	must(http_path(x).n && http_authority(x).n);
	must(http_body(x).n <= server->limits.body_bytes);
	must(x->n <= server->limits.header_fields);
	must(http_header(x, "host", &value) == 1 && value.n);
	handed++;
	if (!http_body_whole(x)) {
		on_pieces(x);
		return;
	}
	if (sv_eq(http_path(x), SV("/a"))) {
		aborted++;
		http_abort(x);
	} else if (sv_eq(http_path(x), SV("/h"))) {
		held = x;
	} else {
		answer(x);
	}
}

static void on_gone(void *arg, struct http_exchange *x)
{
	(void)arg;
	must(x == held || x == piecewise);
	held = late = piecewise = NULL;
	gone++;
}

static void make_server(void)
{
	struct http_server_opts o = {.loop = &loop,
				     .handler = {.takes_pieces = takes_pieces,
						 .on_request = on_request,
						 .on_body = on_body,
						 .on_gone = on_gone}};

	http_limits_default(&o.limits);
	o.limits.header_bytes = 1000;
	o.limits.header_fields = 10;
	o.limits.body_bytes = 300;
	o.limits.target_bytes = 100;
	must(!loop_init(&loop, NULL));
	server = http_server_new(&o, NULL);
	must(server);
	buf_init(&heard, 64 << 20);
}

static void listen_to(int fd)
{
	static char piece[1 << 16];
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
		buf_add(&heard, piece, (size_t)n);
}

static void turn(struct conn *c, int fd)
{
	listen_to(fd);
	for (int i = 0; i < 2 && server->stats.connections; i++) {
		conn_enter(c);
		conn_flush(c);
		conn_resume(c);
		conn_leave(c);
		listen_to(fd);
	}
}

/* --- reading back ------------------------------------------------------------------------------ */

static struct sv cut_line(struct sv *rest)
{
	ptrdiff_t n = sv_find(*rest, '\r');
	struct sv line;

	must(n >= 0 && (size_t)n + 2 <= rest->n && rest->p[n + 1] == '\n');
	line = (struct sv){rest->p, (size_t)n};
	*rest = (struct sv){rest->p + n + 2, rest->n - (size_t)n - 2};
	return line;
}

static struct sv cut(struct sv *rest, size_t n)
{
	struct sv part = {rest->p, n < rest->n ? n : rest->n};

	*rest = (struct sv){rest->p + part.n, rest->n - part.n};
	return part;
}

struct reply {
	unsigned status;
	bool close, chunked, has_length;
	uint64_t length;
};

static void read_head(struct sv *rest, struct reply *r)
{
	const struct sv length = SV("content-length: ");
	struct sv line = cut_line(rest);

	*r = (struct reply){0};
	must(line.n >= 13 && sv_starts(line, SV("HTTP/1.1 ")));
	for (int i = 9; i < 12; i++)
		r->status = r->status * 10 + (unsigned)(line.p[i] - '0');
	for (line = cut_line(rest); line.n; line = cut_line(rest)) {
		r->close = r->close || sv_eq(line, SV("connection: close"));
		r->chunked =
			r->chunked || sv_eq(line, SV("transfer-encoding: chunked"));
		if (sv_starts(line, length)) {
			must(!r->has_length);
			r->has_length = true;
			line = (struct sv){line.p + length.n, line.n - length.n};
			must(!sv_to_u64(line, &r->length));
		}
	}
}

/* True when the connection has said its last. */
static bool read_answer(struct sv *rest, unsigned *number)
{
	const struct sv end = SV("0\r\n\r\n");
	char wanted[16];
	struct reply r;
	struct sv want = {wanted,
			  (size_t)snprintf(wanted, sizeof(wanted), "%u;", *number)};
	struct sv body;

	read_head(rest, &r);
	if (r.status == 100)
		return false;
	if (r.status >= 400) {
		must(r.close);
		cut(rest, (size_t)r.length);
		return true;
	}
	++*number;
	must(r.chunked + r.has_length == 1 || (r.close && !r.has_length));
	if (r.chunked && rest->n && rest->p[0] >= '0' && rest->p[0] <= '9') {
		must(cut_line(rest).n == 1);
		body = cut(rest, want.n);
		cut_line(rest);
		must(sv_eq(body, want));
		must(sv_eq(cut(rest, end.n), end));
	} else if (!r.chunked && sv_starts(*rest, want)) {
		cut(rest, want.n);
	} /* else: to HEAD */
	return r.close;
}

static void read_back(void)
{
	struct sv rest = buf_view(&heard);
	unsigned number = 0;
	bool last = false;

	while (rest.n && !last)
		last = read_answer(&rest, &number);
	must(!rest.n);
	must(number <= answered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sockaddr from = {.sa_family = AF_UNIX};
	struct conn *c;
	struct sv rest;
	int pair[2];
	bool h2;

	if (!server)
		make_server();
	if (size < 3 || size > 1 << 15 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		return 0;
	handed = answered = gone = aborted = 0;
	buf_reset(&heard);
	rest = (struct sv){(const char *)data + 2, size - 2};
	h2 = sv_starts(rest, SV("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
	c = conn_new(server, pair[0], &from, false);
	for (unsigned i = 0; rest.n && server->stats.connections; i++) {
		conn_enter(c);
		conn_plain(c, cut(&rest, data[0] ? data[0] : rest.n));
		conn_leave(c);
		turn(c, pair[1]);
		if (late && i % 4 == data[1] % 4) {
			http_body_start(late);
			late = NULL;
			turn(c, pair[1]);
		}
		if (held && i % 4 == data[1] % 4) {
			struct http_exchange *x = held;

			held = NULL;
			answer(x);
			turn(c, pair[1]);
		}
	}
	if (server->stats.connections)
		conn_close(c);
	listen_to(pair[1]);
	must(!server->stats.connections && !server->stats.exchanges && !held);
	must(!piecewise);
	must(!server->bodies_bytes && !server->queued_bytes && !server->later_first);
	must(handed == answered + gone + aborted);
	if (!h2)
		read_back();
	close(pair[1]);
	return 0;
}
