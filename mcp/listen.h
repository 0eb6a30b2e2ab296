/* listen.h: the sockets of `fumehood serve`, bound before the front exists.
 *
 * A list of ADDRESS:PORT (127.0.0.1:8080, [::1]:8080, localhost:8080: both loopbacks) and
 * unix:/PATH (mode 0600). Names are not looked up: an address that DNS decides about could be
 * anybody's. Port 0 lets the kernel choose. Sockets that systemd has opened (LISTEN_FDS,
 * sd_listen_fds(3)) take the place of the default address. */
#ifndef MCP_LISTEN_H
#define MCP_LISTEN_H

#include "sandbox/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LISTEN_MAX 8

struct listen_socket {
	int fd;			/* owned, listening, non-blocking */
	bool is_unix;
	bool loopback;		/* 127/8, ::1, or a Unix socket: nobody from another host */
	uint16_t port;		/* 0: a Unix socket */
	char name[128];		/* "127.0.0.1:8080", "[::1]:8080", "unix:/run/x" */
	char *path;		/* made by us, for listen_remove; else NULL */
	dev_t dev;		/* of the file there */
	ino_t ino;
};
struct listens {
	struct listen_socket at[LISTEN_MAX];
	unsigned n;
};

/* list "": what systemd gave, else the default. -1 with e; then nothing is left open. */
int listen_open(const char *list, struct listens *ret, struct err *e);
/* Closes the sockets; their files stay, for whoever has them still. */
void listen_close(struct listens *l);
/* Removes the files of Unix sockets made here that are still ours. */
void listen_remove(struct listens *l);
/* What fd is bound to: is_unix, loopback, port, name. -1: it is no listening stream socket. */
int listen_describe(int fd, struct listen_socket *ret);
/* Some socket can be reached from another host. */
bool listen_exposed(const struct listens *l);

#endif
