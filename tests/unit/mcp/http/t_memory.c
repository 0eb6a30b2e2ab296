/* t_memory.c: every allocation of the server fails once; it lives on and serves the next client. */
#include "tests/unit/mcp/http/rig.h"

static struct http_exchange *stream;
static unsigned served;
static size_t taken;

static void on_request(void *arg, struct http_exchange *x)
{
	(void)arg;
	served++;
	if (sv_eq(http_path(x), SV("/pieces"))) {
		http_body_start(x);
		return;
	}
	if (!sv_eq(http_path(x), SV("/sse"))) {
		http_respond(x, 200, NULL, 0, http_body(x));
		return;
	}
	stream = x;
	http_stream_start(x, 200, NULL, 0);
	http_stream_write(x, SV("one"));
}

static void on_gone(void *arg, struct http_exchange *x)
{
	(void)arg;
	if (stream == x)
		stream = NULL;
}

static bool takes_pieces(void *arg, const struct http_exchange *x)
{
	(void)arg;
	return sv_eq(http_path(x), SV("/pieces"));
}

/* As much goes out as has come in. */
static void on_body(void *arg, struct http_exchange *x)
{
	(void)arg;
	taken += http_body(x).n;
	http_body_take(x, http_body(x).n);
	if (!http_body_whole(x))
		return;
	http_stream_start_sized(x, 200, NULL, 0, taken);
	http_want_room(x);
}

static void on_room(void *arg, struct http_exchange *x)
{
	static char bytes[9000];
	const size_t n = taken < sizeof(bytes) ? taken : sizeof(bytes);

	(void)arg;
	http_stream_write(x, (struct sv){bytes, n});
	taken -= n;
	if (taken)
		http_want_room(x);
	else
		http_stream_end(x);
}

static void talk_pieces(struct rig *r, int fd)
{
	static char body[9000];

	taken = 0;
	rig_say(r, fd,
		SV("PUT /pieces HTTP/1.1\r\nHost: rig\r\nContent-Length: 9000\r\n\r\n"));
	rig_say(r, fd, (struct sv){body, sizeof(body)});
	rig_say(r, fd,
		SV("GET / HTTP/1.1\r\nHost: rig\r\n\r\nGET /sse HTTP/1.1\r\nHost: rig\r\n\r\n"));
}

static void talk_pieces2(struct rig *r, int fd)
{
	static char body[9000];
	AUTO_BUF out = {.max = 1 << 20};

	taken = 0;
	h2_preface(&out);
	h2_request(&out, 1, "/pieces", (struct sv){body, sizeof(body)});
	h2_request(&out, 3, "/", SV(""));
	rig_say(r, fd, buf_view(&out));
	buf_reset(&out);
	h2_request(&out, 5, "/sse", SV(""));
	rig_say(r, fd, buf_view(&out));
}

static void talk_http1(struct rig *r, int fd)
{
	rig_say(r, fd, SV("POST / HTTP/1.1\r\nHost: rig\r\nContent-"));
	rig_say(r, fd,
		SV("Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\nHost: "
		   "rig\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"));
	rig_say(r, fd, SV("0\r\n\r\nGET /sse HTTP/1.1\r\nHost: rig\r\n\r\n"));
}

static void talk_http2(struct rig *r, int fd)
{
	static char body[9000];
	AUTO_BUF out = {.max = 1 << 20};

	h2_preface(&out);
	h2_request(&out, 1, "/", (struct sv){body, sizeof(body)});
	h2_request(&out, 3, "/", SV(""));
	rig_say(r, fd, buf_view(&out));
	buf_reset(&out);
	h2_request(&out, 5, "/sse", SV(""));
	rig_say(r, fd, buf_view(&out));
}

static bool serves(struct rig *r)
{
	int fd = rig_connect(r);
	AUTO_BUF b = {.max = 1 << 20};

	rig_say(r, fd,
		SV("POST / HTTP/1.1\r\nHost: rig\r\nContent-Length: 2\r\n\r\nok"));
	rig_hear(r, fd, &b);
	close(fd);
	rig_turn(r);
	return rig_count(&b, "\r\n\r\nok") == 1;
}

/* The Nth allocation fails; true when there was one. */
static bool fail_nth(long n, void (*talk)(struct rig *r, int fd), bool *ret_good)
{
	struct http_limits limits;
	struct http_stats s;
	struct rig r;
	unsigned before;
	bool hit;
	int fd;
	AUTO_BUF b = {.max = 1 << 20};

	http_limits_default(&limits);
	rig_start(&r, &limits,
		  (struct http_handler){.takes_pieces = takes_pieces,
					.on_request = on_request,
					.on_body = on_body,
					.on_room = on_room,
					.on_gone = on_gone});
	before = served;
	mem_fail_after(n);
	fd = rig_connect(&r);
	talk(&r, fd);
	if (stream)
		http_stream_write(stream, SV("two"));
	rig_turn(&r);
	if (stream)
		http_stream_end(stream);
	stream = NULL;
	rig_turn(&r);
	mem_fail_after(0);
	rig_hear(&r, fd, &b);
	hit = served - before < 3 || !memmem(buf_cstr(&b), b.n, "two", 3);
	close(fd);
	rig_turn(&r);
	*ret_good = serves(&r);
	http_server_stats(r.server, &s);
	*ret_good = *ret_good && !s.connections && !s.exchanges && !stream;
	rig_finish(&r);
	return hit;
}

static void every_one(const char *what, void (*talk)(struct rig *r, int fd))
{
	long failed = 0, bad = 0;
	bool good;

	for (long n = 1; n < 400; n++) {
		failed += fail_nth(n, talk, &good);
		bad += !good;
	}
	ok(bad == 0, "%s: the server outlives each failed allocation (%ld did not)",
	   what, bad);
	ok(failed > 5 && failed < 390,
	   "%s: %ld of them were felt, the last ones by none", what, failed);
}

/* Making the server: NULL and an error, and nothing kept. */
static void at_birth(void)
{
	struct http_limits limits;
	struct loop loop;
	int made = 0, told = 0;

	http_limits_default(&limits);
	must(!loop_init(&loop, NULL));
	for (long n = 1; n < 6; n++) {
		struct http_listen l = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
		struct http_server_opts o = {
			.loop = &loop, .listens = &l, .nlistens = 1, .limits = limits};
		struct err e = {0};
		struct http_server *s;

		mem_fail_after(n);
		s = http_server_new(&o, &e);
		mem_fail_after(0);
		made += s != NULL;
		told += !s && e.code == ERR_LIMIT && !close(l.fd);
		http_server_free(s);
	}
	loop_finish(&loop);
	ok(told == 3 && made == 2,
	   "without memory there is no server, and a reason (%d)", told);
}

int main(void)
{
	at_birth();
	every_one("HTTP/1", talk_http1);
	every_one("HTTP/2", talk_http2);
	every_one("HTTP/1 in pieces", talk_pieces);
	every_one("HTTP/2 in pieces", talk_pieces2);
	return tap_done();
}
