/* load.c: an HTTP/1.1 load generator that reads what it is answered.
 *
 *   load PORT FILE EXPECT CONNECTIONS MILLISECONDS
 *
 * Sends the requests of FILE to 127.0.0.1:PORT over keep-alive connections, one in flight on each:
 * connection i sends request i mod their number. FILE holds whole HTTP requests, each behind a line
 * with its length in bytes. Eight '@' in a request are replaced by a number that no other request
 * has. The first answer must have status 200, hold EXPECT and `"id":` with that number, and neither
 * `"error":{"code":` nor `"isError":true`; every other one must be the same but for the number. The first
 * that is wrong ends the program with exit code 1. (Comparing costs a tenth of searching, and this
 * program shares the machine with what it measures.)
 *
 * Prints {"requests":N,"seconds":S,"cpu_seconds":C,"bytes":B,"histogram":[[NS,COUNT],...]}: B is
 * the length of an answer's body, NS the upper end of a bucket in nanoseconds, 3 % wide, so that
 * histograms of several runs can be added up.
 *
 * With MILLISECONDS 0 the answers are streams: each must begin with status 200 and hold EXPECT in its
 * head or its first bytes. When all do, prints {"open":N}, holds them until standard input ends,
 * and prints {"kept":N}. */
#include "sandbox/base/buf.h"
#include "sandbox/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ID_DIGITS = 8,
	FIRST_ID = 10000000,
	MAX_CONNECTIONS = 4096,
	MAX_ANSWER_BYTES = 4 << 20,
	MAX_FILE_BYTES = 16 << 20,
	RECV_BYTES = 64 << 10,
	STREAM_RECV_BYTES = 4 << 10,
	PATIENCE_MS = 20000,
	SUB_BITS = 5, /* 32 buckets to each doubling */
	BUCKETS = 64 << SUB_BITS,
	BATCH = 64,
};

struct request {
	struct buf text;
	char *id; /* in text, or NULL */
};

struct conn {
	struct request *r;
	struct buf in;
	uint64_t began_ns;
	size_t sent;
	uint32_t id;
	int fd;
	bool waiting;
};

static struct {
	struct request *requests;
	size_t nrequests;
	struct conn conns[MAX_CONNECTIONS];
	uint64_t histogram[BUCKETS];
	uint64_t done, end_ns;
	struct sv expect;
	struct buf sample; /* the body of the first answer */
	size_t id_at; /* in sample */
	uint32_t next_id;
	unsigned nconns, waiting, kept;
	int epoll;
	bool hold;
} g;

static _Noreturn void fail(const char *what, struct sv detail)
{
	fprintf(stderr, "load: %s: " SV_FMT "\n", what,
		(int)(detail.n > 1500 ? 1500 : detail.n), detail.p);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- the histogram: log-linear, as in HDR histograms ------------------------------------------ */

static unsigned bucket_of(uint64_t ns)
{
	unsigned top = 63u - (unsigned)__builtin_clzll(ns | 1);
	if (top <= SUB_BITS)
		return (unsigned)ns;
	unsigned shift = top - SUB_BITS;
	return (shift << SUB_BITS) + (unsigned)(ns >> shift);
}

static uint64_t upper_end(unsigned bucket)
{
	if (bucket < 2u << SUB_BITS)
		return bucket;
	unsigned shift = (bucket >> SUB_BITS) - 1;
	uint64_t step = (bucket & ((1u << SUB_BITS) - 1)) + (1u << SUB_BITS);
	return ((step + 1) << shift) - 1;
}

/* --- an answer -------------------------------------------------------------------------------- */

static const char *find(struct sv in, struct sv what)
{
	return memmem(in.p, in.n, what.p, what.n);
}

/* The value of a field in the head; empty when it is not there. */
static struct sv field(struct sv head, const char *name)
{
	struct sv line, rest = head;
	size_t n = strlen(name);
	bool more = true;
	while (sv_cut(&rest, '\n', &more, &line))
		if (line.n > n && line.p[n] == ':' && strncasecmp(line.p, name, n) == 0)
			return sv_trim((struct sv){line.p + n + 1, line.n - n - 1});
	return SV("");
}

/* Whether the chunked body is all there. Its framing stays in between: no text that is looked for
 * may then be found when a chunk ends within it, which shows as a wrong answer, never as a right
 * one. */
static bool chunks_end(struct sv body)
{
	return sv_ends(body, SV("\r\n0\r\n\r\n"));
}

/* Cuts in->n bytes into head and body; false while it is not complete. */
static bool complete(struct sv in, struct sv *ret_head, struct sv *ret_body)
{
	const char *blank = find(in, SV("\r\n\r\n"));
	if (!blank)
		return false;
	struct sv head = {in.p, (size_t)(blank - in.p) + 2};
	struct sv body = {blank + 4, in.n - head.n - 2};
	struct sv length = field(head, "content-length");
	uint64_t n = 0;
	if (sv_to_u64(length, &n) == 0) {
		if (body.n > n)
			fail("more bytes than the length says", in);
		if (body.n < n)
			return false;
	} else if (!chunks_end(body)) {
		return false;
	}
	*ret_head = head;
	*ret_body = body;
	return true;
}

/* The first answer, which becomes the sample. */
static void judge(const struct conn *c, struct sv body)
{
	char want[32];
	const char *id;
	snprintf(want, sizeof(want), "\"id\":%" PRIu32, c->id);
	id = find(body, sv_of(want));
	if (!id)
		fail(want, buf_view(&c->in));
	if (!find(body, g.expect))
		fail("not what was expected", buf_view(&c->in));
	if (find(body, SV("\"error\":{\"code\":")) ||
	    find(body, SV("\"isError\":true")))
		fail("an error", buf_view(&c->in));
	g.id_at = (size_t)(id - body.p) + sizeof("\"id\":") - 1;
	buf_init(&g.sample, body.n);
	buf_sv(&g.sample, body);
	must(!g.sample.failed);
}

static bool is_like_sample(struct sv body, uint32_t id)
{
	const char *sample = g.sample.p;
	size_t at = g.id_at, after = at + ID_DIGITS;
	uint64_t got;
	return body.n == g.sample.n && !memcmp(body.p, sample, at) &&
	       !memcmp(body.p + after, sample + after, body.n - after) &&
	       !sv_to_u64((struct sv){body.p + at, ID_DIGITS}, &got) && got == id;
}

static void check(const struct conn *c, struct sv head, struct sv body)
{
	if (!sv_starts(head, SV("HTTP/1.1 200 ")))
		fail("not status 200", buf_view(&c->in));
	if (!g.sample.n)
		judge(c, body);
	else if (!is_like_sample(body, c->id))
		fail("not the answer that came first", buf_view(&c->in));
}

/* --- connections ------------------------------------------------------------------------------ */

static void on_writable(struct conn *c)
{
	struct sv text = buf_view(&c->r->text);
	/* the text is shared by connections; it carries this one's id while it is written */
	if (c->r->id) {
		char digits[ID_DIGITS + 1];
		snprintf(digits, sizeof(digits), "%0*" PRIu32, ID_DIGITS, c->id);
		memcpy(c->r->id, digits, ID_DIGITS);
	}
	while (c->sent < text.n) {
		ssize_t n =
			send(c->fd, text.p + c->sent, text.n - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			fail("send", sv_of(strerror(errno)));
		c->sent += (size_t)n;
	}
}

static void ask(struct conn *c)
{
	buf_reset(&c->in);
	c->sent = 0;
	c->id = g.next_id++;
	c->waiting = true;
	g.waiting++;
	c->began_ns = now_ns();
	on_writable(c);
}

static void answered(struct conn *c)
{
	c->waiting = false;
	g.waiting--;
}

static void on_answer_bytes(struct conn *c)
{
	struct sv head, body;
	if (!complete(buf_view(&c->in), &head, &body))
		return;
	uint64_t now = now_ns();
	if (!c->waiting)
		fail("an answer to nothing", buf_view(&c->in));
	check(c, head, body);
	g.histogram[bucket_of(now - c->began_ns)]++;
	g.done++;
	answered(c);
	if (now < g.end_ns)
		ask(c);
}

static void on_stream_bytes(struct conn *c)
{
	struct sv in = buf_view(&c->in);
	if (c->waiting && find(in, SV("\r\n\r\n")) && find(in, g.expect)) {
		if (!sv_starts(in, SV("HTTP/1.1 200 ")))
			fail("not status 200", in);
		answered(c);
		g.kept++;
	}
	/* only the beginning is looked at; keep-alive comments would fill the memory */
	if (!c->waiting)
		buf_reset(&c->in);
}

/* False when the peer has closed. What is less than there was room for was all: more is news to
 * epoll. */
static bool on_readable(struct conn *c)
{
	size_t room = g.hold ? STREAM_RECV_BYTES : RECV_BYTES;
	for (;;) {
		char *to = buf_reserve(&c->in, room);
		if (!to)
			fail("a very long answer", SV(""));
		ssize_t n = recv(c->fd, to, room, 0);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		buf_commit(&c->in, (size_t)n);
		if (g.hold)
			on_stream_bytes(c);
		else
			on_answer_bytes(c);
		if ((size_t)n < room)
			return true;
	}
}

static void on_closed(struct conn *c)
{
	if (!g.hold || c->waiting)
		fail("the server closed a connection", buf_view(&c->in));
	close(c->fd);
	c->fd = -1;
	g.kept--;
}

static void open_conn(struct conn *c, uint16_t port, struct request *r)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect", sv_of(strerror(errno)));
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
	if (epoll_ctl(g.epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		fail("epoll_ctl", sv_of(strerror(errno)));
	buf_init(&c->in, MAX_ANSWER_BYTES);
	c->r = r;
}

/* Under load it does not sleep: waking this process would be most of what an answer costs the server
 * that has one client, and a client elsewhere is not woken by the server's processor. It gives way
 * to whoever else can run. */
static int wait_for(struct epoll_event *ev)
{
	uint64_t until = now_ns() + (uint64_t)PATIENCE_MS * 1000000;
	if (g.hold)
		return epoll_wait(g.epoll, ev, BATCH, g.waiting ? PATIENCE_MS : -1);
	while (now_ns() < until) {
		int n = epoll_wait(g.epoll, ev, BATCH, 0);
		if (n)
			return n;
		sched_yield();
	}
	return 0;
}

/* Handles what there is; a NULL pointer stands for standard input. False when that has ended. */
static bool turn(void)
{
	struct epoll_event ev[BATCH];
	int n = wait_for(ev);
	if (n == 0)
		fail("no answer in time", SV(""));
	for (int i = 0; i < n; i++) {
		struct conn *c = ev[i].data.ptr;
		if (!c)
			return false;
		if (c->waiting && ev[i].events & EPOLLOUT)
			on_writable(c);
		if (!on_readable(c))
			on_closed(c);
	}
	return true;
}

/* --- the request file ------------------------------------------------------------------------- */

static void read_all(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "rbe");
	char chunk[65536];
	size_t n;
	if (!f)
		fail(path, sv_of(strerror(errno)));
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(b, chunk, n);
	fclose(f);
	if (b->failed)
		fail(path, SV("too long"));
}

static void add_request(struct sv text)
{
	g.requests = mem_realloc(g.requests, (g.nrequests + 1) * sizeof(*g.requests));
	must(g.requests);
	struct request *r = &g.requests[g.nrequests++];
	buf_init(&r->text, text.n);
	buf_sv(&r->text, text);
	must(!r->text.failed);
	const char *mark = find(buf_view(&r->text), SV("@@@@@@@@"));
	r->id = mark ? r->text.p + (mark - r->text.p) : NULL;
}

static void read_requests(const char *path)
{
	AUTO_BUF all = {0};
	buf_init(&all, MAX_FILE_BYTES);
	read_all(path, &all);
	struct sv line, rest = buf_view(&all);
	bool more = true;
	while (rest.n > 0 && sv_cut(&rest, '\n', &more, &line)) {
		uint64_t n;
		if (sv_to_u64(line, &n) < 0 || n > rest.n)
			fail(path, SV("a wrong length"));
		add_request((struct sv){rest.p, (size_t)n});
		rest = (struct sv){rest.p + n, rest.n - (size_t)n};
	}
	if (!g.nrequests)
		fail(path, SV("no request"));
}

/* --- the two ways of use ---------------------------------------------------------------------- */

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void load(uint64_t length_ns)
{
	uint64_t began = now_ns();
	double cpu = cpu_seconds();
	g.end_ns = began + length_ns;
	for (unsigned i = 0; i < g.nconns; i++)
		ask(&g.conns[i]);
	while (g.waiting > 0)
		turn();
	printf("{\"requests\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_seconds\":%.6f",
	       g.done, (double)(now_ns() - began) / 1e9, cpu_seconds() - cpu);
	printf(",\"bytes\":%zu,\"histogram\":[", g.sample.n);
	const char *comma = "";
	for (unsigned i = 0; i < BUCKETS; i++)
		if (g.histogram[i]) {
			printf("%s[%" PRIu64 ",%" PRIu64 "]", comma, upper_end(i),
			       g.histogram[i]);
			comma = ",";
		}
	puts("]}");
}

static void hold(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	for (unsigned i = 0; i < g.nconns; i++)
		ask(&g.conns[i]);
	while (g.waiting > 0)
		turn();
	printf("{\"open\":%u}\n", g.kept);
	fflush(stdout);
	if (epoll_ctl(g.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
		fail("standard input", sv_of(strerror(errno)));
	while (turn())
		;
	printf("{\"kept\":%u}\n", g.kept);
}

static uint64_t number(const char *text, uint64_t max)
{
	uint64_t n;
	if (sv_to_u64(sv_of(text), &n) < 0 || n > max)
		fail("not a number that fits", sv_of(text));
	return n;
}

int main(int argc, char **argv)
{
	if (argc != 6)
		fail("usage", SV("load PORT FILE EXPECT CONNECTIONS MILLISECONDS"));
	uint16_t port = (uint16_t)number(argv[1], UINT16_MAX);
	read_requests(argv[2]);
	g.expect = sv_of(argv[3]);
	g.nconns = (unsigned)number(argv[4], MAX_CONNECTIONS);
	uint64_t ms = number(argv[5], 60000);
	g.hold = ms == 0;
	g.next_id = FIRST_ID;
	g.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < g.nconns; i++)
		open_conn(&g.conns[i], port, &g.requests[i % g.nrequests]);
	if (g.hold)
		hold();
	else
		load(ms * 1000000);
	return 0;
}
