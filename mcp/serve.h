/* serve.h: `fumehood serve`: what may be started, and the descriptors the front gets for it.
 *
 * The front of serve has from descriptor 4 on: the line to say that it serves; certificate chain
 * and key, where there is TLS; the client CA, where there is one; then the listening sockets. */
#ifndef MCP_SERVE_H
#define MCP_SERVE_H

#include "mcp/options.h"

int cmd_serve(struct options *o);
/* Which credentials the keeper takes: enum sup_auth_mode, or-ed. */
unsigned serve_auth_modes(const struct options *o);

#endif
