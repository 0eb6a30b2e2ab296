/* f_http2.c: an HTTP/2 connection after its preface, fed with any bytes.
 *
 * The first byte says what the rest is: 0 bytes of the connection; 1 header blocks, each put into
 * HEADERS of a new stream; otherwise frames of the form {type, flags, stream, length, payload}, so
 * that mutations reach what lies behind the framing. What must hold: no stream outlives its
 * connection, the handler is told of each end once, and what a request shows it keeps the promises
 * of http.h. */
#include "mcp/http/internal.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_HELD = 256 };

static struct loop loop;
static struct http_server *server;
static struct http_exchange *held[MAX_HELD];
static size_t nheld;
static unsigned npieces; /* whose user is its address */

static void check_text(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		must((unsigned char)s.p[i] >= ' ' ? s.p[i] != 0x7f : s.p[i] == '\t');
}

static bool takes_pieces(void *arg, const struct http_exchange *x)
{
	(void)arg;
	return sv_starts(http_path(x), SV("/p"));
}

static void on_body(void *arg, struct http_exchange *x)
{
	const size_t n = http_body(x).n;
	const bool whole = http_body_whole(x);

	(void)arg;
	must(http_user(x) == &npieces && n <= HTTP_BODY_WINDOW);
	http_body_take(x, whole ? n : n - n / 2);
	if (!whole && !sv_eq(http_path(x), SV("/pe")))
		return;
	npieces--;
	http_respond(x, 200, NULL, 0, SV("some"));
}

static void on_room(void *arg, struct http_exchange *x)
{
	(void)arg;
	http_stream_write(x, SV("room"));
}

static void on_request(void *arg, struct http_exchange *x)
{
	struct sv value;

	(void)arg;
	must(http_path(x).n && http_authority(x).n);
	must(http_body(x).n <= server->limits.body_bytes);
	must(x->n <= server->limits.header_fields);
	for (uint32_t i = 0; i < x->n; i++) {
		must(x->fields[i].name.n && x->fields[i].name.p[0] != ':');
		check_text(x->fields[i].value);
	}
	http_header(x, "host", &value);
	if (takes_pieces(NULL, x)) {
		http_set_user(x, &npieces);
		npieces++;
		http_body_start(x);
		return;
	}
	if (sv_eq(http_path(x), SV("/"))) {
		http_respond(x, 200, NULL, 0, http_body(x));
		return;
	}
	must(nheld < MAX_HELD);
	held[nheld++] = x;
	http_stream_start(x, 200, NULL, 0);
	http_stream_write(x, SV("some"));
	http_want_room(x);
}

static void on_gone(void *arg, struct http_exchange *x)
{
	size_t i = 0;

	(void)arg;
	if (http_user(x) == &npieces) {
		npieces--;
		return;
	}
	while (i < nheld && held[i] != x)
		i++;
	must(i < nheld);
	held[i] = held[--nheld];
}

static void make_server(void)
{
	struct http_server_opts o = {.loop = &loop,
				     .handler = {.takes_pieces = takes_pieces,
						 .on_request = on_request,
						 .on_body = on_body,
						 .on_room = on_room,
						 .on_gone = on_gone}};

	http_limits_default(&o.limits);
	o.limits.header_bytes = 1000;
	o.limits.header_fields = 10;
	o.limits.body_bytes = 300;
	o.limits.max_streams = 10;
	o.limits.queue_bytes = 4000;
	must(!loop_init(&loop, NULL));
	server = http_server_new(&o, NULL);
	must(server);
}

static void add_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream,
		      struct sv payload)
{
	const uint8_t head[9] = {(uint8_t)(payload.n >> 16),
				 (uint8_t)(payload.n >> 8),
				 (uint8_t)payload.n,
				 type,
				 flags,
				 (uint8_t)(stream >> 24),
				 (uint8_t)(stream >> 16),
				 (uint8_t)(stream >> 8),
				 (uint8_t)stream};

	buf_add(b, head, sizeof(head));
	buf_sv(b, payload);
}

static struct sv cut(struct sv *rest, size_t n)
{
	struct sv part = {rest->p, n < rest->n ? n : rest->n};

	*rest = (struct sv){rest->p + part.n, rest->n - part.n};
	return part;
}

static void write_input(struct buf *b, uint8_t kind, struct sv rest)
{
	uint32_t stream = 1;

	buf_str(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	add_frame(b, 4, 0, 0, SV(""));
	if (kind == 0)
		buf_sv(b, rest);
	for (; kind == 1 && rest.n; stream += 2) {
		size_t n = (unsigned char)rest.p[0];

		cut(&rest, 1);
		/* the last bit of the length: does a body follow? */
		add_frame(b, 1, n & 1 ? 4 : 5, stream, cut(&rest, n));
	}
	while (kind > 1 && rest.n >= 4) {
		struct sv head = cut(&rest, 4);

		add_frame(b, (uint8_t)head.p[0] % 12, (uint8_t)head.p[1],
			  (uint8_t)head.p[2] & 31,
			  cut(&rest, (unsigned char)head.p[3]));
	}
}

static void swallow(int fd)
{
	static char junk[1 << 16];

	while (recv(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
}

static void turn(struct conn *c)
{
	if (server->stats.connections) {
		conn_enter(c);
		conn_resume(c);
		conn_leave(c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sockaddr from = {.sa_family = AF_UNIX};
	AUTO_BUF in = {.max = 1 << 22};
	struct conn *c;
	struct sv rest;
	size_t step;
	int pair[2];

	if (!server)
		make_server();
	if (size < 2 || size > 1 << 15 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		return 0;
	write_input(&in, data[0], (struct sv){(const char *)data + 2, size - 2});
	step = data[1] & 1 ? 1 + data[1] : in.n;
	c = conn_new(server, pair[0], &from, false);
	rest = buf_view(&in);
	while (c && rest.n && server->stats.connections) {
		conn_enter(c);
		conn_plain(c, cut(&rest, step));
		conn_leave(c);
		swallow(pair[1]);
		turn(c);
	}
	while (nheld && server->stats.connections) {
		http_stream_write(held[nheld - 1], SV("more"));
		http_stream_end(held[--nheld]);
		turn(c);
	}
	if (server->stats.connections)
		conn_close(c);
	must(!server->stats.connections && !server->stats.exchanges && !nheld);
	must(!npieces);
	must(!server->bodies_bytes && !server->later_first);
	close(pair[1]);
	return 0;
}
