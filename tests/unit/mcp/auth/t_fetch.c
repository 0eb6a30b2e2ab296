/* The fetch role, confined as it really is, against TLS servers of the test's: whom it believes. */
#include "mcp/auth/auth.h"
#include "mcp/auth/fetching.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/ipc.h"
#include "sandbox/launch/launch.h"
#include "tokens.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/pem.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static mbedtls_pk_context ca_key, key;
static char dir[64], ca_file[96];

struct cert {
	unsigned char der[2048];
	const unsigned char *p;
	size_t n;
};

static void new_key(mbedtls_pk_context *pk)
{
	mbedtls_pk_init(pk);
	must(!mbedtls_pk_setup(pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
	must(!mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*pk),
				  test_random, NULL));
}

/* name NULL: the CA itself. */
static void new_cert(struct cert *c, const char *name, mbedtls_pk_context *issuer,
		     const char *until)
{
	mbedtls_x509write_cert w;
	mbedtls_x509_san_list san = {0};
	char text[32] = "";
	int n;

	mbedtls_x509write_crt_init(&w);
	mbedtls_x509write_crt_set_subject_key(&w, name ? &key : issuer);
	mbedtls_x509write_crt_set_issuer_key(&w, issuer);
	mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
	must(!mbedtls_x509write_crt_set_subject_name(&w,
						     name ? "CN=server" : "CN=ca") &&
	     !mbedtls_x509write_crt_set_issuer_name(&w, "CN=ca") &&
	     !mbedtls_x509write_crt_set_serial_raw(&w, (unsigned char[]){name ? 2 : 1},
						   1) &&
	     !mbedtls_x509write_crt_set_validity(&w, "20200101000000", until) &&
	     !mbedtls_x509write_crt_set_basic_constraints(&w, !name, -1));
	if (name) {
		snprintf(text, sizeof(text), "%s", name);
		san.node.type = MBEDTLS_X509_SAN_DNS_NAME;
		san.node.san.unstructured_name.p = (unsigned char *)text;
		san.node.san.unstructured_name.len = strlen(text);
		must(!mbedtls_x509write_crt_set_subject_alternative_name(&w, &san));
	}
	n = mbedtls_x509write_crt_der(&w, c->der, sizeof(c->der), test_random, NULL);
	must(n > 0);
	c->p = c->der + sizeof(c->der) - n;
	c->n = (size_t)n;
	mbedtls_x509write_crt_free(&w);
}

/* --- a server in a child: one connection, one answer ------------------------------------------------ */

static int on_send(void *arg, const unsigned char *p, size_t n)
{
	ssize_t k = send(*(int *)arg, p, n, MSG_NOSIGNAL);

	return k < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : (int)k;
}

static int on_recv(void *arg, unsigned char *p, size_t n)
{
	ssize_t k = recv(*(int *)arg, p, n, 0);

	return k < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : (int)k;
}

static void write_all(mbedtls_ssl_context *tls, const char *text)
{
	size_t n = strlen(text);
	int k = 1;

	for (; n && k > 0; n -= k > 0 ? (size_t)k : 0, text += k > 0 ? k : 0)
		k = mbedtls_ssl_write(tls, (const unsigned char *)text, n);
}

static _Noreturn void serve(int sock, const struct cert *c, const char *answer)
{
	mbedtls_ssl_config conf;
	mbedtls_ssl_context tls;
	mbedtls_x509_crt crt;
	unsigned char got[4096];
	size_t n = 0;
	int fd = accept(sock, NULL, NULL), k = 1;

	mbedtls_ssl_config_init(&conf);
	mbedtls_ssl_init(&tls);
	mbedtls_x509_crt_init(&crt);
	must(psa_crypto_init() == 0);
	must(!mbedtls_x509_crt_parse_der(&crt, c->p, c->n) &&
	     !mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_SERVER,
					  MBEDTLS_SSL_TRANSPORT_STREAM,
					  MBEDTLS_SSL_PRESET_DEFAULT) &&
	     !mbedtls_ssl_conf_own_cert(&conf, &crt, &key));
	mbedtls_ssl_conf_rng(&conf, test_random, NULL);
	must(!mbedtls_ssl_setup(&tls, &conf));
	mbedtls_ssl_set_bio(&tls, &fd, on_send, on_recv, NULL);
	if (mbedtls_ssl_handshake(&tls))
		_exit(1);
	while (n < sizeof(got) - 1 && k > 0 && !memmem(got, n, "\r\n\r\n", 4)) {
		k = mbedtls_ssl_read(&tls, got + n, sizeof(got) - 1 - n);
		n += k > 0 ? (size_t)k : 0;
	}
	got[n] = '\0';
	if (!strncmp((char *)got, "GET /keys?x=1 HTTP/1.1\r\nHost: localhost:", 40))
		write_all(&tls, answer);
	mbedtls_ssl_close_notify(&tls);
	shutdown(fd, SHUT_WR);
	while (recv(fd, got, sizeof(got), 0) > 0)
		continue;
	_exit(0);
}

/* The port it listens on. */
static unsigned start_server(const struct cert *c, const char *answer, pid_t *pid)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(a);

	must(sock >= 0 && !bind(sock, (struct sockaddr *)&a, n) && !listen(sock, 4) &&
	     !getsockname(sock, (struct sockaddr *)&a, &n));
	fflush(stdout);
	*pid = fork();
	must(*pid >= 0);
	if (!*pid)
		serve(sock, c, answer);
	close(sock);
	return ntohs(a.sin_port);
}

/* --- the role --------------------------------------------------------------------------------------- */

static int role_up(unsigned port, const char *ca, pid_t *pid)
{
	const struct timeval t = {.tv_sec = 40};
	struct err e = {0};
	char url[96];
	int pair[2], code;

	must(!fd_socketpair(pair, &e));
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	snprintf(url, sizeof(url), "https://localhost:%u/keys?x=1", port);
	fflush(stdout);
	*pid = fork();
	must(*pid >= 0);
	if (!*pid) {
		if (!getenv("TEST_VERBOSE"))
			must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2) == 2);
		close(pair[0]);
		setenv("HOSTALIASES", "/dev/null", 1);
		code = auth_fetch_main(
			&(struct fetch_opts){.url = url,
					     .ca_file = ca,
					     .auth_sock = pair[1],
					     .uid = launch_fetch_uid(0)});
		_exit(getenv("HOSTALIASES") ? 9 : code);
	}
	close(pair[1]);
	return pair[0];
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* One fetch: the body, or what FETCH_FAILED says. */
static bool fetch(const struct cert *c, const char *answer, const char *ca,
		  struct buf *ret)
{
	pid_t server, role;
	unsigned port = start_server(c, answer, &server);
	AUTO_FD sock = role_up(port, ca, &role);
	static struct ipc_msg m;
	struct err e = {0};
	bool good = false;

	ipc_start(&m, FETCH_GO, 7);
	must(!ipc_send(sock, &m, &e));
	buf_reset(ret);
	if (ipc_recv(sock, &m, &e) == 1 && m.id == 7) {
		good = m.type == FETCH_GOT;
		if (good) {
			AUTO_FD fd = ipc_take_fd(&m);

			must(fd_is_sealed(fd) && !fd_read_all(fd, ret, &e));
		} else {
			buf_sv(ret, ipc_get_sv(&m, 400));
		}
		ipc_finish(&m);
	}
	fd_close(&sock);
	ok(wait_for(role) == 0, "the role ends with its socket");
	kill(server, SIGKILL);
	wait_for(server);
	return good;
}

static void refused(const struct cert *c, const char *answer, const char *ca,
		    const char *why)
{
	AUTO_BUF b = {.max = 1 << 20};

	const bool got = fetch(c, answer, ca, &b);

	ok(!got && b.n, "%s: %s", why, buf_cstr(&b));
}

#define BODY "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}"

static void whom_it_believes(void)
{
	struct cert good, other_name, expired, self;
	AUTO_BUF b = {.max = 1 << 20};
	bool got;

	new_cert(&good, "localhost", &ca_key, "20991231235959");
	new_cert(&other_name, "other.example", &ca_key, "20991231235959");
	new_cert(&expired, "localhost", &ca_key, "20210101000000");
	new_cert(&self, "localhost", &key, "20991231235959");
	got = fetch(&good, BODY, ca_file, &b);
	ok(got && sv_eq(buf_view(&b), SV("{\"keys\":[]}")), "the keys come: %s",
	   buf_cstr(&b));
	got = fetch(
		&good,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		ca_file, &b);
	ok(got && sv_eq(buf_view(&b), SV("{}")), "in chunks too: %s", buf_cstr(&b));
	refused(&other_name, BODY, ca_file, "another name");
	refused(&expired, BODY, ca_file, "a certificate that has expired");
	refused(&self, BODY, ca_file, "one that the CA did not sign");
	refused(&good, BODY, NULL, "a CA that is not the system's");
	refused(&good,
		"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
		ca_file, "a redirect");
	refused(&good, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"keys\":[]}",
		ca_file, "an answer that is cut off");
	refused(&good, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{", ca_file,
		"one that is too long");
}

/* 10 MiB that say they are, that do not say, and that never come to an end of the head. */
static void floods(void)
{
	static const char *const heads[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na00000\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: ",
	};
	AUTO_BUF b = {.max = 16 << 20};
	struct cert good;

	new_cert(&good, "localhost", &ca_key, "20991231235959");
	for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
		buf_reset(&b);
		buf_str(&b, heads[i]);
		while (b.n < 10 << 20)
			buf_str(&b,
				i == 3 ? "40\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
					 "xxxxxxxxxxxxxxxxxxxxxxxx\r\n"
				       : "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		refused(&good, buf_cstr(&b), ca_file, "10 MiB");
	}
}

static bool failed(int line, uint64_t id, char why[400])
{
	static struct ipc_msg m;
	struct err e = {0};

	if (ipc_recv(line, &m, &e) != 1 || m.type != FETCH_FAILED || m.id != id)
		return false;
	ipc_get_cstr(&m, why, 400);
	return why[0] && ipc_end(&m);
}

static void nobody_there(void)
{
	char why[400] = "";
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	AUTO_FD sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(a);
	struct ipc_msg m;
	struct err e = {0};
	pid_t role;
	int line;

	/* bound, so that nobody else is there; not listening */
	must(!bind(sock, (struct sockaddr *)&a, n) &&
	     !getsockname(sock, (struct sockaddr *)&a, &n));
	line = role_up(ntohs(a.sin_port), ca_file, &role);
	for (unsigned i = 0; i < 2; i++) {
		ipc_start(&m, FETCH_GO, i);
		must(!ipc_send(line, &m, &e));
		ok(failed(line, i, why), "nobody listens: %s", why);
	}
	must(!listen(sock, 1)); /* takes the connection, says nothing */
	ipc_start(&m, FETCH_GO, 9);
	must(!ipc_send(line, &m, &e));
	close(accept(sock, NULL, NULL));
	ok(failed(line, 9, why), "it hangs up: %s", why);
	ipc_start(&m, FETCH_GO, 10);
	must(!ipc_send(line, &m, &e));
	n = (socklen_t)accept(sock, NULL, NULL);
	fd_close(&line);
	ok(wait_for(role) == -SIGIO,
	   "in the middle of a fetch it ends with its socket too");
	close((int)n);
	ok(wait_for((role_up(1, "/nonexistent", &role), role)) == 1,
	   "without a bundle it ends, and without its environment");
}

int main(void)
{
	AUTO_FD fd = -1;
	struct cert ca;
	unsigned char pem[4096];
	size_t n;

	alarm(120);
	must(sodium_init() >= 0 && psa_crypto_init() == 0);
	new_key(&ca_key);
	new_key(&key);
	new_cert(&ca, NULL, &ca_key, "20991231235959");
	snprintf(dir, sizeof(dir), "/tmp/t_fetch.XXXXXX");
	must(mkdtemp(dir));
	snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", dir);
	must(!mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n",
				       "-----END CERTIFICATE-----\n", ca.p, ca.n, pem,
				       sizeof(pem), &n));
	fd = open(ca_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fd >= 0 && !fd_write_all(fd, pem, n - 1));
	whom_it_believes();
	floods();
	nobody_there();
	unlink(ca_file);
	rmdir(dir);
	mbedtls_pk_free(&key);
	mbedtls_pk_free(&ca_key);
	return tap_done();
}
