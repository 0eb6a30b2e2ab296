/* cli_image.h: `fumehood image`. */
#ifndef MCP_CLI_IMAGE_H
#define MCP_CLI_IMAGE_H

#include "mcp/options.h"

/* create NAME --python LIST --javascript LIST | list | show NAME | remove NAME. Results go to stdout, progress and the
 * installers' own words to stderr. Returns the process' exit code. */
int cli_image(struct options *o);

#endif
