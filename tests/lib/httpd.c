/* httpd.c: a small program around mcp/http for the flow tests: every way a handler may answer.
 *
 *   httpd [--tcp] [--tls] [--unix PATH] [--cert FILE --key FILE [--client-ca FILE] [--required]]
 *         [--confine] [LIMIT=NUMBER ...]
 *
 * Prints "ready PORT..." (one per listening socket, 0 for Unix). SIGTERM drains, then it exits 0.
 * --confine: from then on a system call that the server may not use kills it.
 *
 * /echo the body; /info what the request looked like; /big?N N bytes; /empty 204; /count?N N chunks,
 * ended; /sse an endless stream; /emit one event to all of these; /flood?N N bytes at once on a
 * stream that does not end; /hold waits until /release; /abort breaks off; /stats.
 *
 * A body in pieces: /sink reads it and says what it was; /late begins to when /begin is asked for;
 * /tap reads what /pull?N lets through; /early?N answers after N bytes. /file?N an answer of that
 * length as there is room; /short?N one that is broken off in the middle. */
#include "tests/lib/httpd.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_LISTENS = 4 };

static struct loop loop;
static struct http_server *server;
static struct http_exchange *held[MAX_HELD], *streams[MAX_HELD];
static size_t nheld, nstreams;
static unsigned gone;

static struct http_listen listens[MAX_LISTENS];
static unsigned nlistens;
static unsigned ports[MAX_LISTENS];

static struct {
	const char *cert, *key, *client_ca;
	bool required, confine;
	struct http_limits limits;
} o;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "httpd: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* --- what the handlers do ---------------------------------------------------------------------- */

void httpd_text(struct http_exchange *x, unsigned status, struct sv body)
{
	struct http_field type = {"content-type", SV("text/plain")};

	http_respond(x, status, &type, 1, body);
}

static void on_echo(struct http_exchange *x)
{
	struct sv asked = SV("");
	struct http_field f[2] = {{"content-type", SV("application/octet-stream")}};
	unsigned n = http_header(x, "x-echo", &asked);

	f[1] = (struct http_field){"x-echoed", asked};
	http_respond(x, 200, f, n ? 2 : 1, http_body(x));
}

static void on_info(struct http_exchange *x)
{
	static const char *const names[] = {"GET",    "HEAD",	 "POST", "PUT",
					    "DELETE", "OPTIONS", "OTHER"};
	struct sv value, path = http_path(x), query = http_query(x);
	struct sv authority = http_authority(x), peer = http_peer(x);
	AUTO_BUF b = {.max = 1 << 20};
	unsigned n = http_header(x, "x-test", &value);

	buf_fmt(&b,
		"{\"method\":\"%s\",\"path\":\"" SV_FMT "\",\"query\":\"" SV_FMT "\",",
		names[http_method(x)], SV_ARG(path), SV_ARG(query));
	buf_fmt(&b, "\"authority\":\"" SV_FMT "\",\"peer\":\"" SV_FMT "\",",
		SV_ARG(authority), SV_ARG(peer));
	buf_fmt(&b, "\"tls\":%d,\"unix\":%d,\"cert\":%zu,\"body\":%zu,", http_is_tls(x),
		http_is_unix(x), http_client_cert(x).n, http_body(x).n);
	buf_fmt(&b, "\"n\":%u,\"value\":\"" SV_FMT "\"}", n, SV_ARG(value));
	httpd_text(x, 200, buf_view(&b));
}

uint64_t httpd_number(struct http_exchange *x)
{
	uint64_t n = 0;

	return sv_to_u64(http_query(x), &n) ? 0 : n;
}

static void on_big(struct http_exchange *x)
{
	uint64_t n = httpd_number(x);
	char *p = mem_alloc(n);

	memset(p, 'x', n);
	httpd_text(x, 200, (struct sv){p, n});
	mem_free(p);
}

static void on_empty(struct http_exchange *x)
{
	http_respond(x, 204, NULL, 0, SV(""));
}

static void start_stream(struct http_exchange *x)
{
	struct http_field f[] = {{"content-type", SV("text/event-stream")},
				 {"x-split", SV("a\r\nb: c")}};

	http_stream_start(x, 200, f, ARRAY_LEN(f));
}

static void on_count(struct http_exchange *x)
{
	start_stream(x);
	for (uint64_t i = 0, n = httpd_number(x); i < n; i++) {
		char line[32];

		snprintf(line, sizeof(line), "data: %u\n\n", (unsigned)i);
		http_stream_write(x, sv_of(line));
	}
	http_stream_end(x);
}

static void on_sse(struct http_exchange *x)
{
	must(nstreams < MAX_HELD);
	streams[nstreams++] = x;
	start_stream(x);
	http_stream_write(x, SV("data: open\n\n"));
}

static void on_emit(struct http_exchange *x)
{
	for (size_t i = 0; i < nstreams; i++)
		http_stream_write(streams[i], SV("data: event\n\n"));
	httpd_text(x, 200, SV("emitted"));
}

static void on_flood(struct http_exchange *x)
{
	static char block[64 << 10];
	uint64_t n = httpd_number(x);

	on_sse(x);
	for (; n; n -= n < sizeof(block) ? n : sizeof(block))
		http_stream_write(
			x, (struct sv){block, n < sizeof(block) ? n : sizeof(block)});
}

static void on_hold(struct http_exchange *x)
{
	must(nheld < MAX_HELD);
	held[nheld++] = x;
	http_set_user(x, &held);
}

static void on_release(struct http_exchange *x)
{
	size_t n = nheld;

	nheld = 0;
	for (size_t i = 0; i < n; i++) {
		must(http_user(held[i]) == &held);
		httpd_text(held[i], 200, SV("released"));
	}
	httpd_text(x, 200, SV("done"));
}

static void on_abort(struct http_exchange *x)
{
	start_stream(x);
	http_stream_write(x, SV("data: half\n\n"));
	http_abort(x);
}

static void on_stats(struct http_exchange *x)
{
	struct http_stats s;
	AUTO_BUF b = {.max = 4096};

	http_server_stats(server, &s);
	buf_fmt(&b,
		"{\"accepted\":%llu,\"requests\":%llu,\"refused\":%llu,"
		"\"connections\":%u,\"exchanges\":%u,\"gone\":%u,\"held\":%zu,"
		"\"streams\":%zu,\"queued\":%zu,\"waiting\":%zu}",
		(unsigned long long)s.accepted, (unsigned long long)s.requests,
		(unsigned long long)s.refused, s.connections, s.exchanges, gone, nheld,
		nstreams, nstreams ? http_queued(streams[0]) : 0, pieces_waiting());
	httpd_text(x, 200, buf_view(&b));
}

static const struct {
	const char *path;
	void (*on)(struct http_exchange *x);
} paths[] = {
	{"/sink", pieces_on_sink},
	{"/early", pieces_on_sink},
	{"/tap", pieces_on_sink},
	{"/late", pieces_on_late},
	{"/begin", pieces_on_begin},
	{"/pull", pieces_on_pull},
	{"/file", pieces_on_file},
	{"/short", pieces_on_file},
	{"/echo", on_echo},
	{"/info", on_info},
	{"/big", on_big},
	{"/empty", on_empty},
	{"/count", on_count},
	{"/sse", on_sse},
	{"/emit", on_emit},
	{"/flood", on_flood},
	{"/hold", on_hold},
	{"/abort", on_abort},
	{"/release", on_release},
	{"/stats", on_stats},
	{"*", on_info},
};

static void on_request(void *arg, struct http_exchange *x)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (sv_eq(http_path(x), sv_of(paths[i].path))) {
			paths[i].on(x);
			return;
		}
	httpd_text(x, 404, SV("no such path"));
}

void httpd_forget(struct http_exchange **list, size_t *n, const struct http_exchange *x)
{
	for (size_t i = 0; i < *n; i++)
		if (list[i] == x)
			list[i--] = list[--*n];
}

static void on_gone(void *arg, struct http_exchange *x)
{
	(void)arg;
	gone++;
	if (http_user(x) && http_user(x) != &held)
		pieces_gone(x);
	httpd_forget(held, &nheld, x);
	httpd_forget(streams, &nstreams, x);
}

/* --- start and end ----------------------------------------------------------------------------- */

static void add_listen(int fd, bool tls)
{
	if (fd < 0 || nlistens == MAX_LISTENS)
		die("socket");
	if (listen(fd, 4096) || fd_set_nonblock(fd))
		die("listen");
	listens[nlistens++] = (struct http_listen){fd, tls};
}

static void add_tcp(bool tls)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		die("bind");
	ports[nlistens] = ntohs(a.sin_port);
	add_listen(fd, tls);
}

static void add_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die(path);
	add_listen(fd, false);
}

static void set_limit(const char *arg)
{
	struct http_limits *l = &o.limits;
	const struct {
		const char *name;
		uint32_t *small;
		size_t *large;
	} limits[] = {
		{"header_bytes", &l->header_bytes, NULL},
		{"header_fields", &l->header_fields, NULL},
		{"target_bytes", &l->target_bytes, NULL},
		{"body_bytes", NULL, &l->body_bytes},
		{"header_ms", &l->header_ms, NULL},
		{"body_ms", &l->body_ms, NULL},
		{"body_total_ms", &l->body_total_ms, NULL},
		{"pieces_total_ms", &l->pieces_total_ms, NULL},
		{"idle_ms", &l->idle_ms, NULL},
		{"write_ms", &l->write_ms, NULL},
		{"write_bytes_s", &l->write_bytes_s, NULL},
		{"queue_bytes", NULL, &l->queue_bytes},
		{"max_connections", &l->max_connections, NULL},
		{"max_streams", &l->max_streams, NULL},
		{"all_bodies_bytes", NULL, &l->all_bodies_bytes},
		{"all_queues_bytes", NULL, &l->all_queues_bytes},
	};
	struct sv name, rest = sv_of(arg);
	bool more = true;
	uint64_t v;

	sv_cut(&rest, '=', &more, &name);
	for (size_t i = 0; more && i < ARRAY_LEN(limits); i++)
		if (sv_eq(name, sv_of(limits[i].name)) && !sv_to_u64(rest, &v)) {
			if (limits[i].small)
				*limits[i].small = (uint32_t)v;
			else
				*limits[i].large = v;
			return;
		}
	errno = EINVAL;
	die(arg);
}

static void read_options(char **a)
{
	http_limits_default(&o.limits);
	for (; *a; a++) {
		if (!strcmp(*a, "--tcp"))
			add_tcp(false);
		else if (!strcmp(*a, "--tls"))
			add_tcp(true);
		else if (!strcmp(*a, "--required"))
			o.required = true;
		else if (!strcmp(*a, "--confine"))
			o.confine = true;
		else if (!strcmp(*a, "--unix") && a[1])
			add_unix(*++a);
		else if (!strcmp(*a, "--cert") && a[1])
			o.cert = *++a;
		else if (!strcmp(*a, "--key") && a[1])
			o.key = *++a;
		else if (!strcmp(*a, "--client-ca") && a[1])
			o.client_ca = *++a;
		else
			set_limit(*a);
	}
}

/* What http.h promises to do without. Not under a sanitizer, which has calls of its own. */
static void confine(void)
{
#ifndef __SANITIZE_ADDRESS__
	static const int calls[] = {
		SCMP_SYS(accept4),	SCMP_SYS(recvfrom),   SCMP_SYS(read),
		SCMP_SYS(sendto),	SCMP_SYS(sendmsg),    SCMP_SYS(write),
		SCMP_SYS(writev),	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
		SCMP_SYS(epoll_ctl),	SCMP_SYS(close),      SCMP_SYS(shutdown),
		SCMP_SYS(getrandom),	SCMP_SYS(getpid),     SCMP_SYS(brk),
		SCMP_SYS(mmap),		SCMP_SYS(munmap),     SCMP_SYS(mremap),
		SCMP_SYS(madvise),	SCMP_SYS(mprotect),   SCMP_SYS(clock_gettime),
		SCMP_SYS(gettimeofday), SCMP_SYS(exit_group), SCMP_SYS(futex),
		SCMP_SYS(rt_sigreturn),
	};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0))
			die("seccomp");
	if (seccomp_load(f))
		die("seccomp");
	seccomp_release(f);
#endif
}

static void on_idle(void *arg)
{
	(void)arg;
	loop_stop(&loop);
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(io->fd, &info, sizeof(info)) == sizeof(info) && server)
		http_server_drain(server, 5000, on_idle, NULL);
}

static void watch_signals(struct loop_io *io)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*io = (struct loop_io){.on_ready = on_signal,
			       .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
	if (loop_add(&loop, io, EPOLLIN, NULL))
		die("signalfd");
}

static struct sv load(const char *path, struct buf *b)
{
	buf_init(b, 1 << 20);
	if (path && fd_read_file(path, b, NULL))
		die(path);
	return buf_view(b);
}

static void start(void)
{
	AUTO_BUF cert = {0}, key = {0}, ca = {0};
	struct http_tls_opts tls = {.cert_chain = load(o.cert, &cert),
				    .key = load(o.key, &key),
				    .client_ca = load(o.client_ca, &ca),
				    .client_required = o.required};
	struct http_server_opts opts = {.loop = &loop,
					.listens = listens,
					.nlistens = nlistens,
					.tls = o.cert ? &tls : NULL,
					.limits = o.limits,
					.handler = {.takes_pieces = pieces_wanted,
						    .on_request = on_request,
						    .on_body = pieces_on_body,
						    .on_room = pieces_on_room,
						    .on_gone = on_gone}};
	struct err e = {0};

	server = http_server_new(&opts, &e);
	if (!server) {
		fprintf(stderr, "httpd: %s\n", e.cause);
		exit(3);
	}
}

int main(int argc, char **argv)
{
	struct loop_io signals;
	struct err e = {0};

	(void)argc;
	read_options(argv + 1);
	if (loop_init(&loop, &e))
		die("loop");
	watch_signals(&signals);
	start();
	printf("ready");
	for (unsigned i = 0; i < nlistens; i++)
		printf(" %u", ports[i]);
	printf("\n");
	fflush(stdout);
	if (o.confine)
		confine();
	loop_run(&loop, &e);
	http_server_free(server);
	loop_del(&loop, &signals);
	loop_finish(&loop);
	return 0;
}
