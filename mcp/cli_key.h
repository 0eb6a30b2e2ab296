/* cli_key.h: `fumehood key`. */
#ifndef MCP_CLI_KEY_H
#define MCP_CLI_KEY_H

#include "mcp/options.h"

/* create NAME [--expires DAYS] | list | revoke NAME-or-fh_ID; root: cli_root.h. The new key goes to stdout, once; what to
 * do with it to stderr. Returns the process' exit code. */
int cli_key(struct options *o);
/* Two lines on stderr, for this file and cli_root.c; returns code. When the state folder is a service's, what to
 * do is to become its user. */
int cli_key_complain(const struct options *o, struct err *e, int code);

#endif
