/* runtimes.h: an operator's own languages (--runtimes): rows as of schemas/runtimes.json, held to the same
 * rules, behind those built in. A row may not take the name or an alias of another.
 *
 * The file is read once, by the process that starts the roles; they get its text as their own --runtimes, so
 * that all of them have the same table, whatever happens to the file. Each reads it before it does anything
 * else; after that the table never changes. */
#ifndef MCP_RUNTIMES_H
#define MCP_RUNTIMES_H

#include "sandbox/base/err.h"

#define RUNTIMES_MAX_BYTES 65536 /* half of what one argument of execve(2) may be */

/* *given is the file's name, or (of a role) its text, which begins with a brace; then it is the text, which
 * lives as long as the process. -1: e says what is wrong where. */
int runtimes_load(const char **given, struct err *e);

#endif
