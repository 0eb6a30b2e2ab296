/* fetch.c: the fetch role: gets the issuer's keys by https, when the auth role says so.
 *
 * Theory of operation. It waits for FETCH_GO, does one GET, hands the bytes over in a sealed memfd
 * and waits again; there is nothing else to do meanwhile, so it simply blocks, in poll() with a
 * deadline or in getaddrinfo(). When the auth role goes away during that, SIGIO ends the process.
 *
 * Trust: certificates are checked against the system's bundle, names included, TLS 1.2 or newer. No
 * proxy, no redirect, no cookies, nothing of the environment. What comes is not looked at here
 * beyond HTTP: the auth role does, and it has no network.
 *
 * By hand on mbedTLS, which the server has anyway: libcurl would bring some thirty shared libraries
 * into every role's start. */
#include "mcp/auth/auth.h"
#include "mcp/auth/fetching.h"
#include "mcp/auth/jwks.h"
#include "mcp/auth/reply.h"
#include "mcp/auth/url.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/ipc.h"
#include "sandbox/base/log.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <netdb.h>
#include <poll.h>
#include <psa/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define MAX_ADDRESSES 8

struct fetcher {
	struct url url;
	int auth; /* the auth role's socket; borrowed */
	mbedtls_x509_crt roots;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_ssl_config config;
};

/* One attempt. */
struct attempt {
	struct fetcher *f;
	uint64_t deadline_us;
	int sock;
	mbedtls_ssl_context tls;
};

/* --- the socket ----------------------------------------------------------------------------------- */

/* Waits for the socket until the deadline. */
static int await(const struct attempt *a, short events, struct err *e)
{
	struct pollfd p = {a->sock, events, 0};
	const uint64_t now = loop_now_us();
	int n = 0;

	if (now < a->deadline_us)
		n = poll(&p, 1, (int)((a->deadline_us - now) / 1000) + 1);
	if (n > 0 || (n < 0 && errno == EINTR))
		return 0;
	return err_set(e, ERR_UNAVAILABLE, "no answer within %d s", FETCH_MS / 1000);
}

static int connect_to(struct attempt *a, const struct addrinfo *to, struct err *e)
{
	int sys = 0;
	socklen_t n = sizeof(sys);

	a->sock = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->sock < 0)
		return err_sys(e, "socket");
	if (!connect(a->sock, to->ai_addr, to->ai_addrlen))
		return 0;
	if (errno != EINPROGRESS)
		return err_sys(e, "connect to %s", a->f->url.host);
	if (await(a, POLLOUT, e))
		return -1;
	if (getsockopt(a->sock, SOL_SOCKET, SO_ERROR, &sys, &n))
		sys = errno;
	errno = sys;
	return sys ? err_sys(e, "connect to %s", a->f->url.host) : 0;
}

/* The first address that answers. */
static int open_connection(struct attempt *a, struct err *e)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	unsigned n = 0;
	int rc = getaddrinfo(a->f->url.host, a->f->url.port, &hints, &list);

	if (rc)
		return err_set(e, ERR_UNAVAILABLE, "no address of %s: %s",
			       a->f->url.host, gai_strerror(rc));
	a->deadline_us = loop_now_us() + (uint64_t)FETCH_MS * 1000;
	rc = -1;
	for (struct addrinfo *to = list; to && rc && n < MAX_ADDRESSES;
	     to = to->ai_next, n++) {
		err_clear(e);
		fd_close(&a->sock);
		rc = connect_to(a, to, e);
	}
	freeaddrinfo(list);
	return rc;
}

/* --- TLS -------------------------------------------------------------------------------------------- */

static int on_tls_send(void *arg, const unsigned char *p, size_t n)
{
	const struct attempt *a = arg;
	ssize_t k = send(a->sock, p, n, MSG_NOSIGNAL);

	if (k >= 0)
		return (int)k;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
						 : MBEDTLS_ERR_SSL_CONN_EOF;
}

static int on_tls_recv(void *arg, unsigned char *p, size_t n)
{
	const struct attempt *a = arg;
	ssize_t k = recv(a->sock, p, n, 0);

	if (k >= 0)
		return (int)k;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
						 : MBEDTLS_ERR_SSL_CONN_EOF;
}

/* After a call that gave rc: 0 to call again. Every round looks at the clock, so that a peer which
 * trickles cannot hold it. */
static int again(const struct attempt *a, int rc, struct err *e)
{
	char why[100] = "";

	if (rc == MBEDTLS_ERR_SSL_WANT_READ)
		return await(a, POLLIN, e);
	if (rc == MBEDTLS_ERR_SSL_WANT_WRITE)
		return await(a, POLLOUT, e);
	if (rc == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET &&
	    loop_now_us() < a->deadline_us)
		return 0;
	if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
		mbedtls_x509_crt_verify_info(why, sizeof(why), "",
					     mbedtls_ssl_get_verify_result(&a->tls));
	else
		mbedtls_strerror(rc, why, sizeof(why));
	why[strcspn(why, "\n")] = '\0';
	return err_set(e, ERR_UNAVAILABLE, "TLS with %s: %s", a->f->url.host, why);
}

static int handshake(struct attempt *a, struct err *e)
{
	int rc = mbedtls_ssl_setup(&a->tls, &a->f->config);

	if (!rc)
		rc = mbedtls_ssl_set_hostname(&a->tls, a->f->url.host);
	if (rc)
		return err_set(e, ERR_LIMIT, "TLS does not start");
	mbedtls_ssl_set_bio(&a->tls, a, on_tls_send, on_tls_recv, NULL);
	while ((rc = mbedtls_ssl_handshake(&a->tls)))
		if (again(a, rc, e))
			return -1;
	return 0;
}

static int send_request(struct attempt *a, struct err *e)
{
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	buf_fmt(&b,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: fumehood/" FUMEHOOD_VERSION
		"\r\nAccept: application/jwk-set+json, application/json\r\nConnection: "
		"close\r\n\r\n",
		a->f->url.path, a->f->url.authority);
	if (b.failed)
		return err_set(e, ERR_LIMIT, "no memory");
	while (b.n) {
		int k = mbedtls_ssl_write(&a->tls, (const unsigned char *)b.p, b.n);

		if (k >= 0)
			buf_consume(&b, (size_t)k);
		else if (again(a, k, e))
			return -1;
	}
	return 0;
}

static int read_reply(struct attempt *a, struct buf *body, struct err *e)
{
	AUTO_BUF got = {0};
	enum reply_state s = REPLY_MORE;

	buf_init(&got, JWKS_MAX_BYTES + JWKS_MAX_BYTES / 4 + REPLY_MAX_HEAD);
	while (s == REPLY_MORE) {
		unsigned char bytes[16384];
		int k = mbedtls_ssl_read(&a->tls, bytes, sizeof(bytes));

		if (k < 0 && k != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY &&
		    k != MBEDTLS_ERR_SSL_CONN_EOF) {
			if (again(a, k, e))
				return -1;
			continue;
		}
		if (k > 0)
			buf_add(&got, bytes, (size_t)k);
		if (got.failed)
			return err_set(e, ERR_LIMIT, "the answer is too long");
		s = reply_read(buf_view(&got), k <= 0, body, e);
		if (s == REPLY_MORE && loop_now_us() >= a->deadline_us)
			return err_set(e, ERR_UNAVAILABLE, "it trickles");
	}
	return s == REPLY_DONE ? 0 : -1;
}

static int fetch(struct fetcher *f, struct buf *body, struct err *e)
{
	struct attempt a = {.f = f, .sock = -1};
	int bad;

	mbedtls_ssl_init(&a.tls);
	bad = open_connection(&a, e) || handshake(&a, e) || send_request(&a, e) ||
	      read_reply(&a, body, e);
	mbedtls_ssl_free(&a.tls);
	fd_close(&a.sock);
	return bad ? -1 : 0;
}

/* --- the role ---------------------------------------------------------------------------------------- */

/* Nothing is asked while a fetch is under way: what happens on the socket then is its end. */
static void end_with_auth(int sock, bool on)
{
	const int flags = fcntl(sock, F_GETFL);

	signal(SIGIO, SIG_DFL);
	fcntl(sock, F_SETOWN, getpid());
	fcntl(sock, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC);
}

static void serve_one(struct fetcher *f, uint64_t id)
{
	AUTO_BUF body = {0};
	AUTO_FD fd = -1;
	struct err e = {0};
	struct ipc_msg m;

	buf_init(&body, JWKS_MAX_BYTES);
	end_with_auth(f->auth, true);
	if (!fetch(f, &body, &e))
		fd = fd_memfd("jwks", body.p, body.n, &e);
	end_with_auth(f->auth, false);
	ipc_start(&m, fd >= 0 ? FETCH_GOT : FETCH_FAILED, id);
	if (fd >= 0)
		ipc_put_fd(&m, fd);
	else
		ipc_put_sv(&m, sv_of(e.cause));
	if (ipc_send(f->auth, &m, &e))
		log_err("auth_does_not_listen", &e);
}

static int start_tls(struct fetcher *f, const char *ca_file, struct err *e)
{
	int rc;

	mbedtls_x509_crt_init(&f->roots);
	mbedtls_entropy_init(&f->entropy);
	mbedtls_ctr_drbg_init(&f->random);
	mbedtls_ssl_config_init(&f->config);
	rc = mbedtls_x509_crt_parse_file(&f->roots, ca_file);
	if (rc < 0) {
		err_set(e, ERR_UNAVAILABLE, "no certificates can be read from %s",
			ca_file);
		return err_fix(e, "install the package ca-certificates");
	}
	if (psa_crypto_init() ||
	    mbedtls_ctr_drbg_seed(&f->random, mbedtls_entropy_func, &f->entropy, NULL,
				  0) ||
	    mbedtls_ssl_config_defaults(&f->config, MBEDTLS_SSL_IS_CLIENT,
					MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT))
		return err_set(e, ERR_INTERNAL, "TLS does not start");
	mbedtls_ssl_conf_rng(&f->config, mbedtls_ctr_drbg_random, &f->random);
	mbedtls_ssl_conf_authmode(&f->config, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_min_tls_version(&f->config, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_ca_chain(&f->config, &f->roots, NULL);
	return 0;
}

static void finish_tls(struct fetcher *f)
{
	mbedtls_ssl_config_free(&f->config);
	mbedtls_ctr_drbg_free(&f->random);
	mbedtls_entropy_free(&f->entropy);
	mbedtls_x509_crt_free(&f->roots);
}

static int start(struct fetcher *f, const struct fetch_opts *o, struct err *e)
{
	/* what getaddrinfo reads; the folder, as resolv.conf may be replaced at any time */
	static const char *const readable[] = {"/etc", "/run/systemd/resolve",
					       "/run/resolvconf", "/run/NetworkManager",
					       NULL};
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

	for (unsigned i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	clearenv(); /* getaddrinfo goes by LOCALDOMAIN, RES_OPTIONS and HOSTALIASES */
	f->auth = o->auth_sock;
	if (url_parse(sv_of(o->url), &f->url, e) ||
	    start_tls(f, o->ca_file ? o->ca_file : CA_FILE, e))
		return -1;
	return launch_role_confine(LAUNCH_FETCH, readable, o->uid, e);
}

int auth_fetch_main(const struct fetch_opts *o)
{
	static struct fetcher f;
	AUTO_FD auth = o->auth_sock;
	struct err e = {0};
	int got = -1;

	if (start(&f, o, &e)) {
		log_err("fetch_failed", &e);
		finish_tls(&f);
		return 1;
	}
	for (;;) {
		struct ipc_msg m;

		got = ipc_recv(auth, &m, &e);
		if (got != 1)
			break;
		if (m.type == FETCH_GO && ipc_end(&m))
			serve_one(&f, m.id);
		ipc_finish(&m);
	}
	finish_tls(&f);
	return got ? 1 : 0;
}
