/* cli_root.h: `fumehood key root`. */
#ifndef MCP_CLI_ROOT_H
#define MCP_CLI_ROOT_H

#include "mcp/options.h"

/* key root init | rotate | show, with --root-key FILE and --passphrase. A passphrase is asked for on the terminal;
 * where standard input is none, it is a line of that (of rotate two: the old one, the new one). What is the root
 * key then goes to stdout, without anything secret. Returns the process' exit code. */
int cli_root(const struct options *o);

#endif
