/* cli_key.h: `fumehood key`. */
#ifndef MCP_CLI_KEY_H
#define MCP_CLI_KEY_H

#include "mcp/options.h"

/* create NAME [--expires DAYS] | list | revoke NAME-or-fh_ID. The new key goes to stdout, once; what to
 * do with it to stderr. Returns the process' exit code. */
int cli_key(struct options *o);

#endif
