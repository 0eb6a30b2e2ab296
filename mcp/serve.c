/* serve.c: the checks before `fumehood serve`, and its descriptors. */
#include "mcp/serve.h"

#include "mcp/auth/auth.h"
#include "mcp/family.h"
#include "mcp/listen.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/supervise.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

unsigned serve_auth_modes(const struct options *o)
{
	if (o->insecure_no_auth)
		return SUP_AUTH_NONE;
	return SUP_AUTH_KEYS | (*o->oauth_issuer ? SUP_AUTH_OAUTH : 0u) |
	       (*o->tls_client_ca ? SUP_AUTH_CERT : 0u);
}

/* --- what may be started ---------------------------------------------------------------------- */

static int check_tls(const struct options *o, struct err *e)
{
	if (!*o->tls_cert != !*o->tls_key)
		return err_set(e, ERR_INVALID,
			       "--tls-cert and --tls-key go together: one is missing");
	if (*o->tls_client_ca && !*o->tls_cert)
		return err_set(e, ERR_INVALID,
			       "--tls-client-ca needs --tls-cert and --tls-key");
	if (o->tls_client_required && !*o->tls_client_ca)
		return err_set(e, ERR_INVALID,
			       "--tls-client-required needs --tls-client-ca");
	return 0;
}

static const char *audience(const struct options *o)
{
	return *o->oauth_audience ? o->oauth_audience : o->public_url;
}

static int check_oauth(const struct options *o, struct err *e)
{
	const struct auth_config c = {.issuer = o->oauth_issuer,
				      .audience = audience(o),
				      .scope = o->oauth_scope,
				      .jwks = o->oauth_jwks};

	if (!*o->oauth_issuer)
		return *o->oauth_jwks || *o->oauth_audience
			       ? err_set(e, ERR_INVALID,
					 "--oauth-jwks and --oauth-audience need "
					 "--oauth-issuer")
			       : 0;
	if (o->insecure_no_auth)
		return err_set(
			e, ERR_INVALID,
			"--oauth-issuer and --insecure-no-auth exclude each other");
	if (!*o->public_url) {
		err_set(e, ERR_INVALID, "--oauth-issuer needs --public-url");
		return err_fix(e, "clients ask for a token for that URL: say what they "
				  "call this server, https://host/mcp");
	}
	return auth_config_check(&c, e);
}

/* RFC 8707, section 2: absolute, no fragment, better no query. It goes into headers and into metadata. */
static bool is_public_url(struct sv url)
{
	const size_t scheme = sv_starts(url, SV("https://"))  ? 8
			      : sv_starts(url, SV("http://")) ? 7
							      : 0;
	bool in_host = true;

	if (!scheme || url.n == scheme || url.p[scheme] == '/' || url.p[scheme] == ':')
		return false;
	for (size_t i = scheme; i < url.n; i++) {
		in_host = in_host && url.p[i] != '/';
		if (url.p[i] <= ' ' || url.p[i] > '~' ||
		    sv_find(SV("?#\"\\<>^`{|}"), url.p[i]) >= 0 ||
		    (in_host && url.p[i] == '@'))
			return false;
	}
	return true;
}

static int check_public_url(const struct options *o, struct err *e)
{
	if (!*o->public_url || is_public_url(sv_of(o->public_url)))
		return 0;
	err_set(e, ERR_INVALID, "what --public-url names is no http or https URL");
	return err_fix(
		e,
		"https://host/mcp, as clients are given it: no user, query, fragment");
}

/* The dangerous ways to be reachable each have a name that somebody must write down. */
static int check_exposure(const struct options *o, const struct listens *l,
			  struct err *e)
{
	if (o->insecure_no_auth_anywhere && !o->insecure_no_auth)
		return err_set(e, ERR_INVALID,
			       "--insecure-no-auth-anywhere needs --insecure-no-auth");
	if (!listen_exposed(l))
		return 0;
	if (o->insecure_no_auth && !o->insecure_no_auth_anywhere) {
		err_set(e, ERR_DENIED,
			"without authentication, on an address other hosts can reach");
		return err_fix(e,
			       "leave out --insecure-no-auth and make a key (fumehood "
			       "key create NAME), or add --insecure-no-auth-anywhere");
	}
	if (!o->insecure_no_auth && !*o->tls_cert && !o->insecure_plaintext) {
		err_set(e, ERR_DENIED,
			"without TLS, on an address other hosts can reach: keys would "
			"travel in the clear");
		return err_fix(e,
			       "give --tls-cert and --tls-key, or --insecure-plaintext "
			       "when a proxy in front does TLS");
	}
	return 0;
}

/* --- API keys --------------------------------------------------------------------------------- */

static void count_key(void *arg, const struct led_key *k)
{
	unsigned *n = arg;

	if (!k->revoked_us && (!k->expires_us || k->expires_us > loop_wall_us()))
		++*n;
}

/* A server that lets nobody in is no use: it says so, and what to do. */
static int look_for_keys(const struct options *o, struct err *e)
{
	unsigned n = 0;
	struct err why = {0}; /* not found: a state folder that is yet to be made */

	if (serve_auth_modes(o) != SUP_AUTH_KEYS)
		return 0;
	if (led_key_each(o->state_dir, count_key, &n, &why) &&
	    why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	if (!n)
		dprintf(STDERR_FILENO,
			"fumehood: there is no API key yet, so nobody can call this "
			"server\n  make one: fumehood key create NAME%s%s\n",
			*o->state ? " --state " : "", o->state);
	return 0;
}

/* --- the service manager ---------------------------------------------------------------------- */

/* sd_notify(3). Sent by this process: the one the manager knows. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	AUTO_FD fd = -1;
	size_t n;

	if (!path || (*path != '/' && *path != '@') ||
	    sv_copy(sv_of(path), un.sun_path, sizeof(un.sun_path)))
		return;
	n = strlen(un.sun_path);
	if (*path == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
			      (const struct sockaddr *)&un,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static void on_ready(void)
{
	notify("READY=1");
}

static void on_stopping(void)
{
	notify("STOPPING=1");
}

/* --- descriptors ------------------------------------------------------------------------------ */

static int add_file(struct family_plan *p, const char *path, struct err *e)
{
	int fd;

	if (!*path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		err_sys(e, "%.200s", path);
		return err_fix(e, "name a file that can be read");
	}
	p->fds[p->nfds++] = fd;
	return 0;
}

static int open_all(const struct options *o, struct listens *l, struct family_plan *p,
		    struct err *e)
{
	int ready[2];

	if (fd_pipe(ready, e))
		return -1;
	p->ready_fd = ready[0];
	p->fds[p->nfds++] = ready[1];
	if (add_file(p, o->tls_cert, e) || add_file(p, o->tls_key, e) ||
	    add_file(p, o->tls_client_ca, e))
		return -1;
	p->auth = serve_auth_modes(o) & (SUP_AUTH_OAUTH | SUP_AUTH_CERT);
	p->fetch = *o->oauth_issuer && auth_jwks_is_url(o->oauth_jwks);
	if (*o->oauth_issuer && !p->fetch) {
		p->jwks_fd = open(o->oauth_jwks, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (p->jwks_fd < 0) {
			err_sys(e, "--oauth-jwks %.200s", o->oauth_jwks);
			return err_fix(e, "name a file that can be read");
		}
	}
	for (unsigned i = 0; i < l->n; i++)
		p->fds[p->nfds++] = fd_steal(&l->at[i].fd);
	return 0;
}

_Static_assert(1 + 3 + LISTEN_MAX <= FAMILY_MAX_FDS, "the front's descriptors");

static int refuse(struct err *e)
{
	if (!*e->remediation)
		err_fix(e, "`fumehood help serve` says what it takes");
	return complain(e);
}

int cmd_serve(struct options *o)
{
	struct family_plan p = {.front = "front-http",
				.keeper = "keeper-serve",
				.jwks_fd = -1,
				.ready_fd = -1,
				.on_ready = on_ready,
				.on_stopping = on_stopping};
	struct listens l = {0};
	struct err e = {0};
	int code;

	if (!*o->oauth_scope)
		o->oauth_scope = "code:run";
	if (check_tls(o, &e) || check_public_url(o, &e) || check_oauth(o, &e) ||
	    listen_open(o->listen, &l, &e))
		return refuse(&e);
	if (check_exposure(o, &l, &e) || open_all(o, &l, &p, &e) ||
	    look_for_keys(o, &e)) {
		listen_remove(&l);
		return refuse(&e); /* descriptors go with the process */
	}
	code = family_run(o, &p);
	listen_remove(&l);
	return code;
}
