/* schemas.h: the files of schemas/, embedded at build time by schemas/gen.c. */
#ifndef SCHEMAS_SCHEMAS_H
#define SCHEMAS_SCHEMAS_H

#include "sandbox/base/sv.h"

/* The text of schemas/<name> ("tool_run_code.json"), or of one member of schemas/fixtures.json
 * ("fixtures.json#greet"); the empty view when there is none. */
struct sv schemas_get(const char *name);

#endif
