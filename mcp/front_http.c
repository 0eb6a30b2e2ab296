/* front_http.c: the front as an MCP server over HTTP.
 *
 * Theory of operation. All is built before anything is given up: certificates read, sockets
 * watched, buffers made; then this process confines itself (it can still accept4) and serves. It says
 * that it serves when the keeper is ready too.
 *
 * Three ways to the end. SIGTERM: no more connections, streams that only listen end, calls in
 * flight have --drain-ms, then they are cancelled and answered; when the last answer is written, or
 * FLUSH_MS later, exit 0. A second SIGTERM: at once. The keeper is lost: every call has been answered with
 * an error by then; as SIGTERM, without waiting, exit 1. */
#include "mcp/front.h"

#include "mcp/http/http.h"
#include "mcp/listen.h"
#include "mcp/protocol/protocol.h"
#include "mcp/transport/transport.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "sandbox/supervise/supervise.h"
#include "tools/tools.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FLUSH_MS 1000
#define MAX_PEM_BYTES (1u << 20)
#define KEEP_BYTES (512 << 10) /* an answer takes three buffers of up to 128 KiB */
#define SPARE_FILES 512 /* of calls: pipes, memfds */
#define MAX_IN_FLIGHT 128 /* calls of one session */

struct front {
	const struct options *o;
	struct loop loop;
	struct sup_client *client;
	struct runs *runs;
	struct proto_server *server;
	struct streamable *streamable;
	struct http_server *http;
	struct listens listens;
	uint16_t ports[LISTEN_MAX];
	struct loop_io signal_io;
	struct loop_timer end_timer;
	int ready_fd;
	bool ending, drained, idle;
	int code;
};

/* --- the end ---------------------------------------------------------------------------------- */

static void end_if_done(struct front *f)
{
	if (f->drained && f->idle)
		loop_stop(&f->loop);
}

static void on_end_due(struct loop_timer *t)
{
	struct front *f = t->arg;

	loop_stop(&f->loop);
}

static void on_drained(void *arg)
{
	struct front *f = arg;

	f->drained = true;
	loop_timer_set(&f->loop, &f->end_timer, FLUSH_MS);
	end_if_done(f);
}

static void on_http_idle(void *arg)
{
	struct front *f = arg;

	f->idle = true;
	end_if_done(f);
}

static void begin_end(struct front *f, int code, uint64_t drain_ms)
{
	if (f->ending)
		return;
	f->ending = true;
	f->code = code;
	log_msg(LOG_INFO, "event=stopping");
	http_server_drain(f->http, drain_ms + FLUSH_MS, on_http_idle, f);
	streamable_drain(f->streamable, drain_ms, on_drained, f);
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct front *f = io->arg;
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (f->ending)
		loop_stop(&f->loop);
	else
		begin_end(f, 0, f->o->drain_n);
}

static void on_keeper_lost(void *arg)
{
	struct front *f = arg;

	if (f->http && f->streamable)
		begin_end(f, 1, 0);
	f->code = 1;
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* One line for each socket, at any log level: with port 0 there is no other way to know. */
static void announce(const struct front *f)
{
	const char *scheme = *f->o->tls_cert ? "https" : "http";
	char text[160];

	log_open("front", f->o->level < LOG_INFO ? LOG_INFO : f->o->level);
	for (unsigned i = 0; i < f->listens.n; i++) {
		const struct listen_socket *s = &f->listens.at[i];

		log_esc(sv_of(s->name), text, sizeof(text));
		if (s->is_unix)
			log_msg(LOG_INFO, "event=listening address=%s", text);
		else
			log_msg(LOG_INFO, "event=listening address=%s url=%s://%s/mcp",
				text, scheme, text);
	}
	log_open("front", f->o->level);
}

static void on_keeper_ready(void *arg)
{
	struct front *f = arg;

	announce(f);
	if (write(f->ready_fd, "", 1) < 0)
		log_msg(LOG_DEBUG, "event=nobody_waits_for_ready");
	fd_close(&f->ready_fd);
}

static int read_pem(int fd, const char *path, struct buf *ret, struct err *e)
{
	AUTO_FD file = fd;

	buf_init(ret, MAX_PEM_BYTES);
	if (fd_read_all(file, ret, e))
		return err_fix(e, "name a PEM file, not %.200s", path);
	if (ret->n)
		return 0;
	err_set(e, ERR_INVALID, "%.200s is empty", path);
	return err_fix(e, "name a PEM file");
}

struct pems {
	struct buf cert, key, ca;
};

static void forget_pems(struct pems *p)
{
	if (p->key.p)
		sodium_memzero(p->key.p, p->key.cap);
	buf_finish(&p->cert);
	buf_finish(&p->key);
	buf_finish(&p->ca);
}

/* *at moves over the descriptors of the files; see serve.h. */
static int read_pems(const struct options *o, int *at, struct pems *ret, struct err *e)
{
	if (!*o->tls_cert)
		return 0;
	if (read_pem((*at)++, o->tls_cert, &ret->cert, e) ||
	    read_pem((*at)++, o->tls_key, &ret->key, e))
		return -1;
	return *o->tls_client_ca ? read_pem((*at)++, o->tls_client_ca, &ret->ca, e) : 0;
}

/* The rest of the descriptors: main closed all others. */
static void find_listens(struct front *f, int at)
{
	for (; f->listens.n < LISTEN_MAX &&
	       !listen_describe(at, &f->listens.at[f->listens.n]);
	     at++)
		f->listens.n++;
}

static int open_http(struct front *f, const struct pems *p, struct err *e)
{
	const uint64_t files = launch_raise_nofile();
	const struct http_tls_opts tls = {.cert_chain = buf_view(&p->cert),
					  .key = buf_view(&p->key),
					  .client_ca = buf_view(&p->ca),
					  .client_required = f->o->tls_client_required};
	struct http_listen listens[LISTEN_MAX];
	struct http_server_opts o = {.loop = &f->loop,
				     .listens = listens,
				     .nlistens = f->listens.n,
				     .tls = *f->o->tls_cert ? &tls : NULL,
				     .handler = streamable_handler(f->streamable)};

	for (unsigned i = 0; i < f->listens.n; i++)
		listens[i] = (struct http_listen){.fd = f->listens.at[i].fd,
						  .tls = *f->o->tls_cert &&
							 !f->listens.at[i].is_unix};
	http_limits_default(&o.limits);
	o.limits.max_connections = f->o->max_connections_n;
	if (files && files < (uint64_t)o.limits.max_connections + SPARE_FILES) {
		o.limits.max_connections =
			(uint32_t)(files > 2 * SPARE_FILES ? files - SPARE_FILES
							   : files / 2);
		log_msg(LOG_INFO, "event=fewer_connections limit=%u open_files=%llu",
			o.limits.max_connections, (unsigned long long)files);
	}
	f->http = http_server_new(&o, e);
	return f->http ? 0 : -1;
}

static int open_streamable(struct front *f, struct err *e)
{
	const struct options *o = f->o;
	struct streamable_site site = {
		.ports = f->ports,
		.exposed = listen_exposed(&f->listens),
		.tls = *o->tls_cert != '\0',
		.no_auth = o->insecure_no_auth,
		.public_url = sv_of(o->public_url),
		.allow_hosts = sv_of(o->allow_host),
		.allow_origins = sv_of(o->allow_origin),
		.issuer = sv_of(o->oauth_issuer),
		.scope = sv_of(o->oauth_scope),
	};

	for (unsigned i = 0; i < f->listens.n; i++)
		if (!f->listens.at[i].is_unix)
			f->ports[site.nports++] = f->listens.at[i].port;
	f->streamable = streamable_new(
		&(struct streamable_opts){.loop = &f->loop,
					  .server = f->server,
					  .site = site,
					  .client = f->client,
					  .auth = sup_client_auth,
					  .auth_cancel = sup_client_auth_cancel,
					  .runs = f->runs,
					  .keepalive_ms = o->keepalive_n},
		e);
	return f->streamable ? 0 : -1;
}

static int open_protocol(struct front *f, struct err *e)
{
	static const struct tool_set *const sets[] = {&tools_all, &tools_fixtures};

	f->runs = runs_new(&(struct runs_opts){.loop = &f->loop}, e);
	if (!f->runs)
		return -1;
	f->server = proto_server_new(
		&(struct proto_server_opts){
			.loop = &f->loop,
			.env = {.loop = &f->loop,
				.client = f->client,
				.runs = f->runs,
				.confirm = f->o->confirm},
			.sets = sets,
			.nsets = f->o->conformance_fixtures ? 2 : 1,
			.max_in_flight = MAX_IN_FLIGHT,
			.promote_ms = f->o->promote_n,
			.fixtures = f->o->conformance_fixtures,
		},
		e);
	return f->server ? 0 : -1;
}

static int confine(struct front *f, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	f->signal_io =
		(struct loop_io){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
				 .on_ready = on_signal,
				 .arg = f};
	if (f->signal_io.fd < 0)
		return err_sys(e, "signalfd");
	if (launch_role_confine(LAUNCH_FRONT_HTTP, NULL,
				launch_front_uid(f->o->uid_base_n), e))
		return -1;
	return loop_add(&f->loop, &f->signal_io, EPOLLIN, e);
}

static int open_front(struct front *f, const struct front_http_fds *fds, struct err *e)
{
	struct pems pems = {0};
	int at = fds->rest, bad;

	mem_keep(KEEP_BYTES);
	f->end_timer = (struct loop_timer){.on_due = on_end_due, .arg = f};
	if (loop_init(&f->loop, e))
		return -1;
	f->client = sup_client_new(&f->loop, fds->keeper, on_keeper_lost, f, e);
	if (!f->client || open_protocol(f, e))
		return -1;
	bad = read_pems(f->o, &at, &pems, e);
	find_listens(f, at);
	bad = bad || open_streamable(f, e) || open_http(f, &pems, e);
	forget_pems(&pems);
	if (bad || confine(f, e))
		return -1;
	sup_client_on_session_gone(f->client, streamable_session_gone, f->streamable);
	sup_client_on_ready(f->client, on_keeper_ready, f);
	return 0;
}

int front_http(const struct options *o, const struct front_http_fds *fds)
{
	struct front f = {.o = o, .ready_fd = fds->ready};
	struct err e = {0};

	if (open_front(&f, fds, &e) || loop_run(&f.loop, &e)) {
		log_err("front_failed", &e);
		f.code = 1;
	}
	http_server_free(f.http);
	streamable_free(f.streamable);
	runs_free(f.runs); /* what it still tells, the server must be there to hear */
	proto_server_free(f.server);
	sup_client_free(f.client);
	loop_finish(&f.loop);
	return f.code;
}
