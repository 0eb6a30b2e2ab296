/* tls.c: TLS 1.2 and 1.3 by mbedTLS, between the socket and the protocols.
 *
 * Theory of operation: mbedTLS never touches the socket. f_recv hands it what conn.c has read,
 * f_send gives its records to the connection's queue and always takes all, so a write is never
 * half done. Randomness is getrandom(2): no file. After tls_server_new the only system call of this
 * file's own is that one.
 *
 * No session tickets: in TLS 1.3 a resumed session of mbedTLS has no peer certificate, so a client
 * would be somebody on its first connection and nobody on its second. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <sys/random.h>

struct tls_server {
	mbedtls_ssl_config conf;
	mbedtls_x509_crt chain, ca;
	mbedtls_pk_context key;
};

struct tls_conn {
	mbedtls_ssl_context ssl;
	struct conn *c;
	struct sv in; /* what f_recv has not given yet */
	bool up; /* the handshake is over and the peer is who it may be */
};

/* forward secret and AEAD, nothing else; HTTP/2 forbids the rest anyway (RFC 9113, 9.2.2) */
static const int suites[] = {
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	0,
};
enum { SMALL_RECORD = 4 << 10, BULK_BYTES = 64 << 10 };

static const char *alpn[] = {"h2", "http/1.1", NULL};

static int random_bytes(void *arg, unsigned char *to, size_t n)
{
	(void)arg;
	while (n) {
		ssize_t k = getrandom(to, n, 0);

		if (k < 0 && errno != EINTR)
			return MBEDTLS_ERR_SSL_HW_ACCEL_FAILED;
		if (k > 0)
			to += k, n -= (size_t)k;
	}
	return 0;
}

/* --- the server's side ------------------------------------------------------------------------- */

static int tls_err(struct err *e, int got, const char *what)
{
	char why[128];

	mbedtls_strerror(got, why, sizeof(why));
	err_set(e, ERR_INVALID, "%s: %s", what, why);
	return err_fix(e,
		       "give a PEM certificate chain, the server's own first, and its "
		       "unencrypted PEM key");
}

/* mbedTLS wants PEM with its NUL counted. In one block: growing would leave copies of a key. */
static int with_nul(struct sv pem, struct buf *b, struct err *e)
{
	buf_init(b, SIZE_MAX);
	buf_reserve(b, pem.n + 1);
	buf_sv(b, pem);
	buf_byte(b, '\0');
	return b->failed ? err_set(e, ERR_LIMIT, "no memory for a certificate") : 0;
}

static int parse_chain(mbedtls_x509_crt *to, struct sv pem, const char *what,
		       struct err *e)
{
	AUTO_BUF b = {0};
	int got;

	if (with_nul(pem, &b, e))
		return -1;
	got = mbedtls_x509_crt_parse(to, (const unsigned char *)b.p, b.n);
	if (got > 0)
		return err_set(e, ERR_INVALID, "%s: %d certificates in it are broken",
			       what, got);
	return got ? tls_err(e, got, what) : 0;
}

static int parse_key(mbedtls_pk_context *to, struct sv pem, struct err *e)
{
	AUTO_BUF b = {0};
	int got;

	if (with_nul(pem, &b, e))
		return -1;
	got = mbedtls_pk_parse_key(to, (const unsigned char *)b.p, b.n, NULL, 0,
				   random_bytes, NULL);
	mbedtls_platform_zeroize(b.p, b.n);
	return got ? tls_err(e, got, "the TLS key") : 0;
}

static int configure(struct tls_server *t, const struct http_tls_opts *o, struct err *e)
{
	mbedtls_ssl_config *conf = &t->conf;
	int got = mbedtls_ssl_config_defaults(conf, MBEDTLS_SSL_IS_SERVER,
					      MBEDTLS_SSL_TRANSPORT_STREAM,
					      MBEDTLS_SSL_PRESET_DEFAULT);

	if (!got)
		got = mbedtls_ssl_conf_own_cert(conf, &t->chain, &t->key);
	if (!got)
		got = mbedtls_ssl_conf_alpn_protocols(conf, alpn);
	if (got)
		return tls_err(e, got, "TLS");
	mbedtls_ssl_conf_rng(conf, random_bytes, NULL);
	mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_ciphersuites(conf, suites);
	mbedtls_ssl_conf_session_tickets(conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	mbedtls_ssl_conf_authmode(conf, MBEDTLS_SSL_VERIFY_NONE);
	if (!o->client_ca.n)
		return 0;
	if (parse_chain(&t->ca, o->client_ca, "the CA of client certificates", e))
		return -1;
	mbedtls_ssl_conf_ca_chain(conf, &t->ca, NULL);
	mbedtls_ssl_conf_authmode(conf, o->client_required
						? MBEDTLS_SSL_VERIFY_REQUIRED
						: MBEDTLS_SSL_VERIFY_OPTIONAL);
	return 0;
}

static int load(struct tls_server *t, const struct http_tls_opts *o, struct err *e)
{
	int got;

	if (psa_crypto_init() != PSA_SUCCESS)
		return err_set(e, ERR_INTERNAL, "mbedTLS finds no randomness");
	if (parse_chain(&t->chain, o->cert_chain, "the TLS certificate", e) ||
	    parse_key(&t->key, o->key, e))
		return -1;
	got = mbedtls_pk_check_pair(&t->chain.pk, &t->key, random_bytes, NULL);
	if (got)
		return tls_err(e, got, "the TLS key is not that of the certificate");
	return configure(t, o, e);
}

struct tls_server *tls_server_new(const struct http_tls_opts *o, struct err *e)
{
	struct tls_server *t = mem_zalloc(sizeof(*t));

	if (!t) {
		err_set(e, ERR_LIMIT, "no memory for TLS");
		return NULL;
	}
	/* mbedTLS compares dates with gmtime_r, whose first call reads the time zone's file */
	tzset();
	mbedtls_ssl_config_init(&t->conf);
	mbedtls_x509_crt_init(&t->chain);
	mbedtls_x509_crt_init(&t->ca);
	mbedtls_pk_init(&t->key);
	if (load(t, o, e)) {
		tls_server_free(t);
		return NULL;
	}
	return t;
}

void tls_server_free(struct tls_server *t)
{
	if (!t)
		return;
	mbedtls_ssl_config_free(&t->conf);
	mbedtls_x509_crt_free(&t->chain);
	mbedtls_x509_crt_free(&t->ca);
	mbedtls_pk_free(&t->key);
	mem_free(t);
}

/* --- its buffers ------------------------------------------------------------------------------- */

/* mbedTLS tells nobody where they are; elsewhere they may be something else. */
#if MBEDTLS_VERSION_NUMBER < 0x04000000
#define IN_BUF MBEDTLS_PRIVATE(in_buf)
#define OUT_BUF MBEDTLS_PRIVATE(out_buf)

/* Of a new session: it is zero, and will be when it comes back. */
static void release_in(mbedtls_ssl_context *ssl)
{
	pages_release(ssl->IN_BUF, MBEDTLS_SSL_IN_CONTENT_LEN);
}

/* Holds nothing between records, as f_send takes all. In the handshake PSA fills it with zeros. */
static void release_out(mbedtls_ssl_context *ssl)
{
	pages_release(ssl->OUT_BUF, MBEDTLS_SSL_OUT_CONTENT_LEN);
}
#else
static void release_in(mbedtls_ssl_context *ssl)
{
	(void)ssl;
}

static void release_out(mbedtls_ssl_context *ssl)
{
	(void)ssl;
}
#endif

/* --- a connection ------------------------------------------------------------------------------ */

static int f_recv(void *arg, unsigned char *to, size_t n)
{
	struct tls_conn *t = arg;

	n = t->in.n < n ? t->in.n : n;
	if (!n)
		return MBEDTLS_ERR_SSL_WANT_READ;
	memcpy(to, t->in.p, n);
	t->in = (struct sv){t->in.p + n, t->in.n - n};
	return (int)n;
}

static int f_send(void *arg, const unsigned char *p, size_t n)
{
	struct tls_conn *t = arg;
	struct sv record = {(const char *)p, n};

	conn_raw(t->c, &record, 1);
	return (int)n;
}

int tls_start(struct conn *c)
{
	struct tls_conn *t = mem_zalloc(sizeof(*t));

	if (!t)
		return -1;
	t->c = c;
	c->tls = t;
	mbedtls_ssl_init(&t->ssl);
	if (mbedtls_ssl_setup(&t->ssl, &c->s->tls->conf))
		return -1;
	release_in(&t->ssl);
	release_out(&t->ssl);
	mbedtls_ssl_set_bio(&t->ssl, t, f_send, f_recv, NULL);
	return 0;
}

void tls_free(struct tls_conn *t)
{
	if (!t)
		return;
	mbedtls_ssl_free(&t->ssl);
	mem_free(t);
}

/* Where a certificate may be shown but need not be, mbedTLS leaves it to us to refuse a bad one. */
static bool is_bad_client(struct tls_conn *t)
{
	if (!mbedtls_ssl_get_peer_cert(&t->ssl) ||
	    !mbedtls_ssl_get_verify_result(&t->ssl))
		return false;
	mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
				       MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
	return true;
}

static void handshake(struct conn *c)
{
	struct tls_conn *t = c->tls;
	int got = mbedtls_ssl_handshake(&t->ssl);
	const char *protocol;

	if (got == MBEDTLS_ERR_SSL_WANT_READ)
		return;
	if (got || is_bad_client(t)) {
		c->s->stats.refused++;
		conn_finish(c); /* the alert is on its way */
		return;
	}
	t->up = true;
	release_out(&t->ssl);
	protocol = mbedtls_ssl_get_alpn_protocol(&t->ssl);
	if (!protocol || strcmp(protocol, "h2") != 0)
		c->state = CONN_H1;
	else if (h2_start(c))
		conn_doom(c);
}

void tls_input(struct conn *c, struct sv bytes)
{
	struct tls_conn *t = c->tls;
	struct http_server *s = c->s;

	t->in = bytes;
	if (c->state == CONN_TLS)
		handshake(c);
	while (!c->doomed && (c->state == CONN_H1 || c->state == CONN_H2)) {
		unsigned char *to = (unsigned char *)s->plain;
		int n = mbedtls_ssl_read(&t->ssl, to, sizeof(s->plain));

		if (n == MBEDTLS_ERR_SSL_WANT_READ)
			break;
		if (n > 0)
			conn_plain(c, (struct sv){s->plain, (size_t)n});
		else if (n == 0 || n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
			conn_eof(c);
		if (n > 0)
			continue;
		conn_uncork(c); /* an alert tells what was wrong */
		if (n != 0 && n != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
			conn_doom(c);
		break;
	}
	t->in = (struct sv){0};
}

/* A record is built in a buffer of the connection's, which stays as large as the largest was: so
 * only bulk goes out in full ones. */
static size_t record_bytes(const struct conn *c, size_t n)
{
	if (c->h2)
		n += h2_queued(c);
	return n > BULK_BYTES ? SIZE_MAX : SMALL_RECORD;
}

/* One record per call where the parts fit into one. */
void tls_send(struct conn *c, const struct sv *parts, unsigned n)
{
	struct http_server *s = c->s;
	struct sv joined = {s->join, 0};
	size_t sum = 0, most;

	for (unsigned i = 0; i < n; i++)
		sum += parts[i].n;
	most = record_bytes(c, sum);
	if (n > 1 && sum <= sizeof(s->join)) {
		for (unsigned i = 0; i < n; i++) {
			if (parts[i].n)
				memcpy(s->join + joined.n, parts[i].p, parts[i].n);
			joined.n += parts[i].n;
		}
		parts = &joined;
		n = 1;
	}
	for (unsigned i = 0; i < n && !c->doomed; i++) {
		struct sv rest = parts[i];

		while (rest.n && !c->doomed) {
			int k = mbedtls_ssl_write(&c->tls->ssl,
						  (const unsigned char *)rest.p,
						  rest.n < most ? rest.n : most);

			if (k <= 0)
				conn_doom(c);
			else
				rest = (struct sv){rest.p + k, rest.n - (size_t)k};
		}
	}
}

void tls_close_notify(struct conn *c)
{
	if (c->tls->up)
		mbedtls_ssl_close_notify(&c->tls->ssl);
}

struct sv tls_client_cert(const struct conn *c)
{
	const mbedtls_x509_crt *crt = NULL;

	if (c->tls && c->s->tls->ca.raw.len)
		crt = mbedtls_ssl_get_peer_cert(&c->tls->ssl);
	if (!crt || !crt->raw.p)
		return SV("");
	return (struct sv){(const char *)crt->raw.p, crt->raw.len};
}
