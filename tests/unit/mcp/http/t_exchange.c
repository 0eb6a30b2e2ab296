/* t_exchange.c: what a handler sees of a request, and what becomes of its answers. */
#include "tests/unit/mcp/http/rig.h"

enum { MAX = 64 };

static struct http_exchange *open_ones[MAX];
static unsigned nopen, ngone;
static bool busy; /* inside a call of ours into the server */
static unsigned called_back; /* by the server, out of such a call */

static void on_request(void *arg, struct http_exchange *x)
{
	(void)arg;
	called_back += busy;
	must(nopen < MAX);
	open_ones[nopen++] = x;
}

static void on_gone(void *arg, struct http_exchange *x)
{
	(void)arg;
	called_back += busy;
	ngone++;
	for (unsigned i = 0; i < nopen; i++)
		if (open_ones[i] == x)
			open_ones[i--] = open_ones[--nopen];
}

static const struct http_handler handler = {.on_request = on_request,
					    .on_gone = on_gone};

static struct http_exchange *take(void)
{
	must(nopen);
	nopen--;
	return open_ones[nopen];
}

static void respond(unsigned status, struct sv body)
{
	busy = true;
	http_respond(take(), status, NULL, 0, body);
	busy = false;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: rig\r\n\r\n"

static void request_is_seen(struct rig *r)
{
	int fd = rig_connect(r), mark;
	struct sv v;
	AUTO_BUF b = {.max = 1 << 20};

	rig_say(r, fd,
		SV("POST /p?q HTTP/1.1\r\nHost: h:1\r\nX-Two: a\r\nx-two: "
		   "b\r\nContent-Length: 3\r\n\r\nabc"));
	ok(nopen == 1, "a request is handed out");
	ok(http_method(open_ones[0]) == HTTP_POST, "its method");
	ok(sv_eq(http_path(open_ones[0]), SV("/p")) &&
		   sv_eq(http_query(open_ones[0]), SV("q")),
	   "path and query");
	ok(sv_eq(http_body(open_ones[0]), SV("abc")), "body");
	ok(sv_eq(http_authority(open_ones[0]), SV("h:1")), "authority");
	ok(http_header(open_ones[0], "x-two", &v) == 2 && sv_eq(v, SV("a")),
	   "a field that occurs twice is counted, and its first value given");
	ok(http_header(open_ones[0], "x-none", &v) == 0 && !v.n,
	   "one that is not there");
	ok(http_is_unix(open_ones[0]) && !http_is_tls(open_ones[0]) &&
		   sv_eq(http_peer(open_ones[0]), SV("unix")),
	   "where it comes from");
	ok(!http_client_cert(open_ones[0]).n, "no certificate");
	http_set_user(open_ones[0], &mark);
	ok(http_user(open_ones[0]) == &mark, "the handler's own pointer is kept");
	respond(200, SV("yes"));
	ok(!rig_hear(r, fd, &b) && rig_count(&b, "HTTP/1.1 200 OK\r\n") == 1 &&
		   rig_count(&b, "\r\n\r\nyes") == 1,
	   "the answer arrives, and the connection stays");
	close(fd);
	rig_turn(r);
	ok(ngone == 0, "what was answered is not gone");
}

static void fields_are_clean(struct rig *r)
{
	const struct http_field f[] = {
		{"x-bad", SV("a\r\nset-cookie: b\0c")},
		{"content-length", SV("77")},
		{"transfer-encoding", SV("chunked")},
		{"connection", SV("close")},
		{"date", SV("never")},
	};
	int fd = rig_connect(r);
	AUTO_BUF b = {.max = 1 << 20};

	rig_say(r, fd, SV(GET("/")));
	http_respond(take(), 200, f, ARRAY_LEN(f), SV("x"));
	rig_hear(r, fd, &b);
	ok(rig_count(&b, "x-bad: a  set-cookie: b c\r\n") == 1,
	   "no value ends its line");
	ok(rig_count(&b, "content-length") == 1 && !rig_count(&b, "77") &&
		   !rig_count(&b, "chunked") && !rig_count(&b, "close") &&
		   rig_count(&b, "date: ") == 1 && !rig_count(&b, "never"),
	   "framing is the server's alone");
	close(fd);
	rig_turn(r);
}

static void one_after_the_other(struct rig *r)
{
	int fd = rig_connect(r);
	AUTO_BUF b = {.max = 1 << 20};
	unsigned i;

	called_back = 0;
	rig_say(r, fd, SV(GET("/0") GET("/1") GET("/2") GET("/3") "GET /4 HT"));
	for (i = 0; i < 4; i++) {
		char path[3] = {'/', (char)('0' + i), '\0'};

		if (nopen != 1 || !sv_eq(http_path(open_ones[0]), sv_of(path)))
			break;
		respond(200, sv_of(path));
		rig_turn(r);
	}
	ok(i == 4 && nopen == 0,
	   "pipelined requests are handed out one by one, in order");
	ok(called_back == 0, "never from within the answer to the one before");
	rig_say(r, fd, SV("TP/1.1\r\nHost: rig\r\n\r\n"));
	ok(nopen == 1, "a cut one after them is completed");
	respond(200, SV("/4"));
	rig_hear(r, fd, &b);
	ok(rig_count(&b, "HTTP/1.1 200") == 5 && rig_count(&b, "\r\n\r\n/4") == 1,
	   "each has its answer");
	close(fd);
	rig_turn(r);
}

static void going_away(struct rig *r, const char *what, void (*leave)(int fd))
{
	int fd = rig_connect(r);

	ngone = 0;
	rig_say(r, fd, SV(GET("/")));
	must(nopen == 1);
	leave(fd);
	rig_turn(r);
	ok(ngone == 1 && nopen == 0, "%s is told, once", what);
	close(fd);
}

static void half_close(int fd)
{
	shutdown(fd, SHUT_WR);
}

static void whole_close(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

/* Far more than is read ahead, then the end: it must be noticed though nothing is read. */
static void chatter_then_leave(int fd)
{
	static char junk[64 << 10];

	memset(junk, 'G', sizeof(junk));
	while (send(fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	shutdown(fd, SHUT_WR);
}

static void answers_to_the_dead(struct rig *r)
{
	static char big[1 << 20];
	int fd = rig_connect(r);

	ngone = called_back = 0;
	rig_say(r, fd, SV(GET("/")));
	http_stream_start(open_ones[0], 200, NULL, 0);
	close(fd);
	busy = true;
	for (int i = 0; i < 20; i++)
		http_stream_write(open_ones[0], (struct sv){big, sizeof(big)});
	busy = false;
	ok(ngone == 0 && called_back == 0, "writing to a dead peer calls nothing back");
	rig_turn(r);
	ok(ngone == 1, "it is gone at the loop's next turn");

	fd = rig_connect(r);
	ngone = 0;
	rig_say(r, fd, SV(GET("/")));
	http_stream_start(open_ones[0], 200, NULL, 0);
	close(fd);
	http_stream_write(open_ones[0], SV("x"));
	http_stream_end(take());
	rig_turn(r);
	ok(ngone == 0, "one that was ended in time is not gone");
}

static void slow_reader(struct rig *r)
{
	static char big[1 << 20];
	int fd = rig_connect(r);
	AUTO_BUF b = {.max = 64 << 20};

	ngone = 0;
	rig_say(r, fd, SV(GET("/")));
	http_stream_start(open_ones[0], 200, NULL, 0);
	for (int i = 0; i < 8; i++)
		http_stream_write(open_ones[0], (struct sv){big, sizeof(big)});
	rig_turn(r);
	ok(ngone == 0 && http_queued(open_ones[0]) > 7 << 20,
	   "what a client does not read is queued");
	for (int i = 0; i < 8 && nopen; i++)
		http_stream_write(open_ones[0], (struct sv){big, sizeof(big)});
	rig_turn(r);
	ok(ngone == 1, "up to the ceiling; then it is gone");
	close(fd);

	fd = rig_connect(r);
	rig_say(r, fd, SV(GET("/")));
	{
		struct sv all = {mem_zalloc(20 << 20), 20 << 20};

		http_respond(take(), 200, NULL, 0, all);
		rig_hear(r, fd, &b);
		ok(b.n > all.n, "one answer may be larger than that");
		buf_reset(&b);
		rig_say(r, fd, SV(GET("/")));
		respond(200, SV("small"));
		rig_hear(r, fd, &b);
		ok(rig_count(&b, "small") == 1, "and the next follows it");
		close(fd);
		rig_turn(r);
		union {
			const char *in;
			void *out;
		} p = {all.p};
		mem_free(p.out);
	}
}

static void breaking_off(struct rig *r)
{
	int fd = rig_connect(r);
	AUTO_BUF b = {.max = 1 << 20};

	ngone = 0;
	rig_say(r, fd, SV(GET("/")));
	http_stream_start(open_ones[0], 200, NULL, 0);
	http_stream_write(open_ones[0], SV("half"));
	http_abort(take());
	rig_turn(r);
	ok(rig_hear(r, fd, &b) && rig_count(&b, "half") && !rig_count(&b, "\r\n0\r\n"),
	   "a stream that is broken off has no proper end");
	ok(ngone == 0, "and is not gone: the handler did it");
	close(fd);
}

static void multiplexed(struct rig *r)
{
	int fd = rig_connect(r);
	AUTO_BUF out = {.max = 1 << 20}, in = {.max = 1 << 20};

	ngone = called_back = 0;
	h2_preface(&out);
	h2_request(&out, 1, "/one", SV(""));
	h2_request(&out, 3, "/three", SV("body"));
	h2_request(&out, 5, "/five", SV(""));
	rig_say(r, fd, buf_view(&out));
	ok(nopen == 3 && sv_eq(http_path(open_ones[1]), SV("/three")) &&
		   sv_eq(http_body(open_ones[1]), SV("body")) &&
		   sv_eq(http_authority(open_ones[1]), SV("rig")),
	   "HTTP/2: requests are handed out side by side");
	respond(200, SV("answer five"));
	rig_turn(r);
	rig_hear(r, fd, &in);
	ok(memmem(in.p, in.n, "answer five", 11) != NULL, "answered in any order");
	buf_reset(&out);
	h2_frame(&out, 3, 0, 1, SV("\0\0\0\x08"));
	rig_say(r, fd, buf_view(&out));
	ok(ngone == 1 && nopen == 1, "a stream that is reset is gone, alone");
	shutdown(fd, SHUT_WR);
	rig_turn(r);
	ok(ngone == 2 && nopen == 0, "with the connection all others are");
	ok(called_back == 0, "and nothing calls back from within a call");
	close(fd);
}

static void draining(struct rig *r)
{
	struct http_stats s;
	int idle = rig_connect(r), fd = rig_connect(r);
	AUTO_BUF b = {.max = 1 << 20};

	rig_say(r, idle, SV(GET("/")));
	respond(200, SV(""));
	rig_say(r, fd, SV(GET("/")));
	http_server_drain(r->server, 60000, NULL, NULL);
	rig_turn(r);
	ok(rig_hear(r, idle, &b), "draining closes idle connections");
	buf_reset(&b);
	ok(!rig_hear(r, fd, &b), "not one that waits for its answer");
	respond(200, SV("last"));
	rig_turn(r);
	ok(rig_hear(r, fd, &b) && rig_count(&b, "connection: close\r\n") &&
		   rig_count(&b, "last"),
	   "which is told to be the last");
	close(fd);
	close(idle);
	rig_turn(r);
	http_server_stats(r->server, &s);
	ok(!s.connections && !s.exchanges, "none is left");
}

int main(void)
{
	struct http_limits limits;
	struct rig r;

	http_limits_default(&limits);
	rig_start(&r, &limits, handler);
	request_is_seen(&r);
	fields_are_clean(&r);
	one_after_the_other(&r);
	going_away(&r, "half closing", half_close);
	going_away(&r, "closing", whole_close);
	going_away(&r, "chattering and leaving", chatter_then_leave);
	answers_to_the_dead(&r);
	slow_reader(&r);
	breaking_off(&r);
	multiplexed(&r);
	draining(&r);
	rig_finish(&r);
	return tap_done();
}
