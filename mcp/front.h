/* front.h: the front role in its three shapes: an MCP server, one run for a person, the doctor.
 *
 * Each gets its descriptors already open, confines itself, then talks to the keeper only. */
#ifndef MCP_FRONT_H
#define MCP_FRONT_H

#include "mcp/options.h"

struct front_fds {
	int keeper;	/* all taken over */
	int in, out;	/* stdio: the protocol; run: the program's input and output */
	int file;	/* run: the code */
};

/* Each returns the process' exit code. */
int front_stdio(const struct options *o, const struct front_fds *fds);
int front_run(const struct options *o, const struct front_fds *fds);
int front_doctor(const struct options *o, const struct front_fds *fds);

/* Shared: ignores SIGPIPE, SIGINT, SIGHUP, returns a signalfd for SIGTERM; then confines. */
int front_confine(const struct options *o, int *ret_signal_fd, struct err *e);

#endif
