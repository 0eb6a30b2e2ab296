/* listen.c: binds what --listen names, or takes what systemd has bound. */
#include "mcp/listen.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACTIVATED_FD 3 /* SD_LISTEN_FDS_START */
#define DEFAULT_LIST "127.0.0.1:8080"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

static socklen_t size_of(const union address *a)
{
	if (a->any.sa_family == AF_UNIX)
		return sizeof(a->un);
	return a->any.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

int listen_describe(int fd, struct listen_socket *ret)
{
	union address a = {0};
	socklen_t n = sizeof(a), m = sizeof(int);
	char text[INET6_ADDRSTRLEN];
	int type = 0, listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m) || type != SOCK_STREAM)
		return -1;
	m = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &m) || !listening ||
	    getsockname(fd, &a.any, &n))
		return -1;
	*ret = (struct listen_socket){.fd = fd};
	if (a.any.sa_family == AF_UNIX) {
		ret->is_unix = ret->loopback = true;
		/* an abstract name begins with NUL */
		snprintf(ret->name, sizeof(ret->name), "unix:%s%.*s",
			 a.un.sun_path[0] ? "" : "@", (int)sizeof(a.un.sun_path) - 1,
			 a.un.sun_path + !a.un.sun_path[0]);
	} else if (a.any.sa_family == AF_INET) {
		ret->port = ntohs(a.v4.sin_port);
		ret->loopback = ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
		inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof(text));
		snprintf(ret->name, sizeof(ret->name), "%s:%u", text, ret->port);
	} else if (a.any.sa_family == AF_INET6) {
		ret->port = ntohs(a.v6.sin6_port);
		ret->loopback = IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
		inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof(text));
		snprintf(ret->name, sizeof(ret->name), "[%s]:%u", text, ret->port);
	} else {
		return -1;
	}
	return 0;
}

/* --- one socket ----------------------------------------------------------------------------- */

/* A socket file whose server has gone is in the way of the next one. Somebody who answers is not: two
 * servers on one path would take each other's clients. */
static int clear_stale(const struct sockaddr_un *un, struct err *e)
{
	AUTO_FD probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (probe < 0)
		return err_sys(e, "socket");
	if (lstat(un->sun_path, &st))
		return errno == ENOENT ? 0 : err_sys(e, "%.107s", un->sun_path);
	if (!S_ISSOCK(st.st_mode)) {
		err_set(e, ERR_INVALID, "%.107s is there and no socket", un->sun_path);
		return err_fix(e, "remove it, or name another path");
	}
	if (!connect(probe, (const struct sockaddr *)un, sizeof(*un)) ||
	    errno != ECONNREFUSED) {
		err_set(e, ERR_BUSY, "somebody listens on %.107s already",
			un->sun_path);
		return err_fix(e, "stop that server, or name another path");
	}
	return unlink(un->sun_path)
		       ? err_sys(e, "removing the stale %.107s", un->sun_path)
		       : 0;
}

static int set_on(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on));
}

/* NODELAY is inherited by what is accepted: the front may not set it. */
static int prepare_tcp(int fd, int family)
{
	return set_on(fd, SOL_SOCKET, SO_REUSEADDR) ||
	       set_on(fd, IPPROTO_TCP, TCP_NODELAY) ||
	       (family == AF_INET6 && set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY));
}

static const char *cure(int why, int family)
{
	if (why == EADDRINUSE)
		return "another program has that port: stop it, or choose another (0: any "
		       "that is free)";
	if (family == AF_UNIX)
		return "name a path in a folder that is there and that you can write";
	if (why == EACCES)
		return "ports below 1024 are root's: choose another, or let systemd listen "
		       "(fumehood.socket)";
	return "name an address of this host";
}

/* A listening socket, or -1 with e. */
static int bind_one(const union address *a, const char *what, struct err *e)
{
	const int family = a->any.sa_family;
	AUTO_FD fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const mode_t mask = umask(0177);
	int bad;

	bad = fd < 0 || (family != AF_UNIX && prepare_tcp(fd, family)) ||
	      bind(fd, &a->any, size_of(a)) || listen(fd, SOMAXCONN);
	umask(mask); /* which leaves errno alone */
	if (bad) {
		const int why = errno;

		err_sys(e, "--listen %.160s", what);
		return err_fix(e, "%s", cure(why, family));
	}
	return fd_steal(&fd);
}

static int open_one(const union address *a, const char *what, struct listens *l,
		    struct err *e)
{
	AUTO_FD fd = -1;
	struct stat st;

	/* before a socket file is made that nobody would remove */
	if (l->n == LISTEN_MAX)
		return err_set(e, ERR_LIMIT, "--listen: more than %d sockets",
			       LISTEN_MAX);
	fd = bind_one(a, what, e);
	if (fd < 0)
		return -1;
	if (listen_describe(fd, &l->at[l->n]))
		return err_set(e, ERR_INTERNAL, "--listen %.160s", what);
	if (a->any.sa_family == AF_UNIX && !stat(a->un.sun_path, &st)) {
		l->at[l->n].path = mem_strdup(a->un.sun_path);
		l->at[l->n].dev = st.st_dev;
		l->at[l->n].ino = st.st_ino;
	}
	l->n++;
	fd_steal(&fd);
	return 0;
}

/* --- the list ------------------------------------------------------------------------------- */

static int bad_address(const char *what, struct err *e)
{
	err_set(e, ERR_INVALID, "--listen %.160s is no address and port", what);
	return err_fix(e, "for example 127.0.0.1:8080, [::1]:8080, localhost:8080 or "
			  "unix:/run/user/1000/fumehood.sock");
}

static int open_unix(struct sv path, const char *what, struct listens *l, struct err *e)
{
	union address a = {.un.sun_family = AF_UNIX};

	if (!path.n || path.p[0] != '/' ||
	    sv_copy(path, a.un.sun_path, sizeof(a.un.sun_path))) {
		err_set(e, ERR_INVALID, "--listen %.160s is no absolute path", what);
		return err_fix(e, "unix:/PATH, of at most %zu bytes",
			       sizeof(a.un.sun_path) - 1);
	}
	return clear_stale(&a.un, e) ? -1 : open_one(&a, what, l, e);
}

/* Both loopbacks, on the same port; a host without IPv6 has one. */
static int open_localhost(uint16_t port, const char *what, struct listens *l,
			  struct err *e)
{
	union address a = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
	struct err six = {0};

	a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (open_one(&a, what, l, e))
		return -1;
	a = (union address){
		.v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
	a.v6.sin6_port = htons(l->at[l->n - 1].port);
	if (!open_one(&a, what, l, &six) || six.sys == EAFNOSUPPORT ||
	    six.sys == EADDRNOTAVAIL)
		return 0;
	*e = six;
	return -1;
}

static int open_tcp(struct sv s, const char *what, struct listens *l, struct err *e)
{
	union address a = {0};
	struct sv host = s, port = {0};
	char text[INET6_ADDRSTRLEN];
	uint64_t n;

	for (size_t i = s.n; i-- > 0 && !port.p;)
		if (s.p[i] == ':') {
			host.n = i;
			port = (struct sv){s.p + i + 1, s.n - i - 1};
		}
	if (!port.p || sv_to_u64(port, &n) || n > 65535)
		return bad_address(what, e);
	if (sv_eq(host, SV("localhost")))
		return open_localhost((uint16_t)n, what, l, e);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = (struct sv){host.p + 1, host.n - 2};
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
					     .sin6_port = htons((uint16_t)n)};
		if (sv_copy(host, text, sizeof(text)) ||
		    inet_pton(AF_INET6, text, &a.v6.sin6_addr) != 1)
			return bad_address(what, e);
		return open_one(&a, what, l, e);
	}
	a.v4 = (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)n)};
	if (sv_copy(host, text, sizeof(text)) ||
	    inet_pton(AF_INET, text, &a.v4.sin_addr) != 1)
		return bad_address(what, e);
	return open_one(&a, what, l, e);
}

/* sd_listen_fds(3): only for the process it names. */
static int take_activated(struct listens *l, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t who = 0, n = 0;

	if (!pid || !fds || sv_to_u64(sv_of(pid), &who) || who != (uint64_t)getpid() ||
	    sv_to_u64(sv_of(fds), &n))
		return 0;
	if (n > LISTEN_MAX)
		return err_set(e, ERR_LIMIT, "LISTEN_FDS=%.10s: at most %d sockets",
			       fds, LISTEN_MAX);
	for (int fd = ACTIVATED_FD; fd < ACTIVATED_FD + (int)n; fd++) {
		if (listen_describe(fd, &l->at[l->n]) || fd_set_nonblock(fd) ||
		    fd_set_cloexec(fd, true)) {
			err_set(e, ERR_INVALID,
				"descriptor %d of LISTEN_FDS is no listening stream "
				"socket",
				fd);
			return err_fix(e, "use ListenStream= and Accept=no in the "
					  "socket unit");
		}
		if (!l->at[l->n].is_unix)
			set_on(fd, IPPROTO_TCP, TCP_NODELAY);
		l->n++;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

static int open_list(const char *list, struct listens *l, struct err *e)
{
	struct sv rest = sv_of(list), part;
	bool more = true;
	char what[200];

	while (sv_cut(&rest, ',', &more, &part)) {
		const struct sv scheme = SV("unix:");

		part = sv_trim(part);
		if (sv_copy(part, what, sizeof(what)))
			return bad_address("(too long)", e);
		if (sv_starts(part, scheme) ? open_unix((struct sv){part.p + scheme.n,
								    part.n - scheme.n},
							what, l, e)
					    : open_tcp(part, what, l, e))
			return -1;
	}
	return 0;
}

int listen_open(const char *list, struct listens *ret, struct err *e)
{
	int bad;

	*ret = (struct listens){0};
	bad = take_activated(ret, e);
	if (!bad && (*list || !ret->n))
		bad = open_list(*list ? list : DEFAULT_LIST, ret, e);
	if (!bad)
		return 0;
	listen_remove(ret);
	listen_close(ret);
	return -1;
}

void listen_close(struct listens *l)
{
	for (unsigned i = 0; i < l->n; i++)
		fd_close(&l->at[i].fd);
}

void listen_remove(struct listens *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct listen_socket *s = &l->at[i];
		struct stat st;

		if (s->path && !lstat(s->path, &st) && st.st_dev == s->dev &&
		    st.st_ino == s->ino)
			unlink(s->path);
		mem_free(s->path);
		s->path = NULL;
	}
}

bool listen_exposed(const struct listens *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (!l->at[i].loopback)
			return true;
	return false;
}
