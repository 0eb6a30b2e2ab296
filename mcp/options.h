/* options.h: the command line: one table of options, one of commands.
 *
 * Every option has a flag, a FUMEHOOD_* variable and a key in the config file; the order is flag,
 * variable, file, default. */
#ifndef MCP_OPTIONS_H
#define MCP_OPTIONS_H

#include "sandbox/base/err.h"
#include "sandbox/base/log.h"
#include "sandbox/base/sv.h"

#define OPTIONS_MAX_ARGS 256

struct options {
	/* strings are borrowed from argv, the environment or the config file's tree, "" when unset */
	const char *state, *config, *log_level, *bwrap, *language, *timeout_ms;
	const char *uid_base, *uid_count, *max_runs, *max_queue, *limit;
	bool json;
	/* parsed and range-checked from the above */
	enum log_level level;
	uint32_t uid_base_n, uid_count_n, max_runs_n, max_queue_n;
	int64_t timeout_n;	/* -1: not given */
	int64_t limit_n;
	char state_dir[4096];
	const char *command;
	const char *args[OPTIONS_MAX_ARGS];	/* what follows the command and is no option */
	unsigned nargs;
};

/* -1 with e: what is wrong and how to ask for help. After the first plain argument of `run`, all
 * is the program's. */
int options_parse(int argc, char **argv, struct options *ret, struct err *e);
void options_help(void);	/* to stdout */

#endif
