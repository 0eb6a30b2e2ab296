/* options.h: the command line: one table of options, one of commands.
 *
 * Every option has a flag, a FUMEHOOD_* variable and a key in the config file; the order is flag,
 * variable, file, default. A role that was started by `main` gets every option that is set as a flag
 * (options_argv) and looks at neither variables nor file. */
#ifndef MCP_OPTIONS_H
#define MCP_OPTIONS_H

#include "sandbox/base/err.h"
#include "sandbox/base/log.h"
#include "sandbox/base/sv.h"

#define OPTIONS_MAX_ARGS 256
#define OPTIONS_MAX_FLAGS 64

struct options {
	/* strings are borrowed from argv, the environment or the config file's tree, "" when unset */
	const char *state, *config, *log_level, *bwrap, *language, *timeout_ms;
	const char *uid_base, *uid_count, *max_runs, *max_queue, *max_sessions, *warm_cells, *limit, *expires;
	const char *listen, *tls_cert, *tls_key, *tls_client_ca, *public_url;
	const char *allow_origin, *allow_host;	/* comma-separated */
	const char *oauth_issuer, *oauth_audience, *oauth_jwks, *oauth_scope;
	const char *image, *python, *javascript;
	const char *root_key;
	const char *runtimes;	/* mcp/runtimes.h */
	const char *max_connections, *promote_ms, *drain_ms, *keepalive_ms;
	bool json, confirm, conformance_fixtures, image_unfinished, passphrase;
	bool tls_client_required, insecure_no_auth, insecure_no_auth_anywhere, insecure_plaintext;
	/* parsed and range-checked from the above */
	enum log_level level;
	uint32_t uid_base_n, uid_count_n, max_runs_n, max_queue_n, max_sessions_n, warm_cells_n, max_connections_n;
	uint64_t promote_n, drain_n, keepalive_n;	/* ms */
	int64_t timeout_n;	/* -1: not given */
	int64_t limit_n;
	int64_t expires_n;	/* days; 0: never */
	char state_dir[4096];
	const char *command;
	/* what follows the command and is no option; of a role one more: its name */
	const char *args[OPTIONS_MAX_ARGS + 1];
	unsigned nargs;
};

/* -1 with e: what is wrong and how to ask for help. After the first plain argument of `run`, all
 * is the program's. `COMMAND --help` is read as `help COMMAND`, for which neither variables nor file
 * are looked at. */
int options_parse(int argc, char **argv, struct options *ret, struct err *e);
/* To stdout: all, or all about a command; -1 with e when there is none of that name. */
int options_help(const char *command, struct err *e);
/* Every option that is set, as --name=value, at most max (one per row of the table); returns how
 * many. The strings live as long as the process. */
unsigned options_argv(const struct options *o, char **ret, unsigned max);

#endif
