/* internal.h: what the files of this room share; nobody else includes it but the room's tests.
 *
 * A run goes request -> start -> answer:
 *	run_request_*	arguments -> struct run_request; pure, all checks a caller's mistake can
 *			run into (request.c)
 *	run_start	request -> sealed memfds -> sup_client_run (run.c)
 *	run_render	answer -> structuredContent and text; pure (result.c) */
#ifndef TOOLS_INTERNAL_H
#define TOOLS_INTERNAL_H

#include "sandbox/supervise/supervise.h"
#include "tools/tools.h"

#define RUN_MAX_LANGUAGE_BYTES 64	/* more would not fit the keeper's record */
#define RUN_MAX_PATH_BYTES 4000		/* with "/workspace/" still below PATH_MAX */
#define RUN_MAX_PART_BYTES 255		/* NAME_MAX */
#define RUN_MAX_STRING_BYTES 131071	/* one argument or NAME=value: MAX_ARG_STRLEN less NUL */
#define RUN_MAX_EXEC_BYTES ((size_t)1 << 20)	/* all of them: half of what execve takes */
#define RUN_MAX_ANSWER_BYTES ((size_t)2 << 20)	/* twice two streams, each byte as \u00XX */

/* Life cycle: zeroed -> run_request_* -> run_request_finish, also after a failure. */
struct run_request {
	enum pol_tool tool;
	struct sv language;	/* borrowed from the arguments, as code and stdin_text */
	struct sv code;
	struct sv stdin_text;
	bool has_argv;		/* then code is empty and the program is in input */
	bool has_timeout;
	int64_t timeout_ms;
	size_t exec_bytes;	/* of args and env, as execve counts them */
	struct buf input;	/* owned: args, env, files, cwd */
};
int run_request_code(const struct cJSON *args, struct run_request *ret, struct err *e);
int run_request_command(const struct cJSON *args, struct run_request *ret, struct err *e);
void run_request_finish(struct run_request *r);

/* A run under way; owned by itself, freed before the call ends. */
struct run {
	struct tool_call *call;
	struct sup_run *sup;	/* the client's, until run_on_done */
	uint64_t reported_us;	/* of the last progress */
};
/* Makes the run, asks the client; call->state is the run from then on. */
int run_start(struct tool_call *call, const struct run_request *req, struct err *e);
void run_cancel(struct tool_call *call);
void run_on_done(void *run, const struct sup_answer *a);
void run_on_output(void *run, uint64_t total_bytes);

/* a->err is NULL. Both buffers come with a ceiling; -1 when it was too low or memory ran out. */
int run_render(const struct sup_answer *a, struct buf *json, struct buf *text, struct err *e);

/* What asking a runtime for its version gave. */
struct info_version {
	bool known;		/* it ran and printed one: kept for the process' life */
	bool failed;		/* it ran and did not work */
	char text[160];		/* the version when known, else why not; UTF-8 */
};
/* From the answer of a POL_RUNTIME_VERSION run. */
void info_version_of(const struct sup_answer *a, struct info_version *ret);
/* versions: one per runtime, in the order of pol_runtimes. */
int info_render(const struct sup_info *info, const struct info_version *versions,
		const struct probes *probes, struct buf *json, struct buf *text,
		struct err *e);

int run_code_start(struct tool_call *call, struct err *e);
int run_command_start(struct tool_call *call, struct err *e);
int sandbox_info_start(struct tool_call *call, struct err *e);
void sandbox_info_cancel(struct tool_call *call);

#endif
