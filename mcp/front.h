/* front.h: the front role in its four shapes: an MCP server on stdio or HTTP, one run for a person, the
 * doctor.
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

struct front_http_fds {
	int keeper;	/* all taken over */
	int ready;	/* a byte is written when the server serves */
	int rest;	/* the first of the others: see serve.h */
};

/* Each returns the process' exit code. */
int front_stdio(const struct options *o, const struct front_fds *fds);
int front_http(const struct options *o, const struct front_http_fds *fds);
int front_run(const struct options *o, const struct front_fds *fds);
int front_doctor(const struct options *o, const struct front_fds *fds);

/* Shared: ignores SIGPIPE, SIGINT, SIGHUP, returns a signalfd for SIGTERM; then confines. */
int front_confine(const struct options *o, int *ret_signal_fd, struct err *e);

#endif
