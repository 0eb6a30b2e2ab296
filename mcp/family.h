/* family.h: the process a person or a client starts, and the roles it starts and waits for.
 *
 * Theory of operation. It opens what must be opened, starts the roles (re-executed, so none inherits
 * another's memory), lets go of everything and waits:
 *
 *	main ---- front    what the command gives it, socket to the keeper
 *	      |-- keeper   sockets to front, ledger, auth; parent of the sandboxes
 *	      |-- ledger   socket to the keeper, the state folder
 *	      |-- auth     sockets to keeper and fetch	} serve with tokens or
 *	      `-- fetch    socket to auth, a network	} client certificates
 *
 * The front's end ends the keeper (EOF), whose end ends the ledger and auth, whose end ends fetch.
 * Whichever dies first, the others follow; this process waits for all of them, kills what is left
 * after END_MS, and removes the cgroups, also of a keeper that was killed. It is the subreaper of all:
 * a child that bwrap left behind when it died early comes here and is killed. If this process is
 * killed, front and keeper get SIGTERM from the kernel and end in order. */
#ifndef MCP_FAMILY_H
#define MCP_FAMILY_H

#include "mcp/options.h"

#include <stdbool.h>

#define FAMILY_MAX_FDS 12

struct family_plan {
	const char *front;		/* the role's name in main.c's table */
	const char *keeper;
	int fds[FAMILY_MAX_FDS];	/* the front's descriptors from 4 on; taken over */
	unsigned nfds;
	bool auth;			/* with the auth role */
	int jwks_fd;			/* for it: the keys' file, taken over; -1: none */
	bool fetch;			/* with the fetch role */
	int ready_fd;			/* read end: the front writes a byte when it serves; -1 */
	void (*on_ready)(void);
	void (*on_stopping)(void);	/* the first signal to end; may be NULL, as on_ready */
};

/* Returns the process' exit code. */
int family_run(const struct options *o, struct family_plan *p);
/* Two lines on stderr; returns 2, the exit code of a wrong command line. */
int complain(const struct err *e);

#endif
