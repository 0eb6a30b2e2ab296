/* policy.h: (request, policy, principal) -> a sealed plan, or a refusal with its reason.
 *
 * Pure: no I/O, no clock, no heap. `struct plan` is defined in plan.c alone and launch takes
 * nothing else, so no other code can make up what a sandbox may do. Nothing in a request widens a limit: a
 * timeout is clamped to the policy's range and the plan says so; what policy does not allow is
 * refused. Empty, unset and "all" are different: an unset timeout is the default, 0 is the minimum.
 *
 * Runtimes are rows of schemas/runtimes.json, turned into the table below by schemas/gen.c; an operator's
 * own come after them (mcp/runtimes.h). */
#ifndef SANDBOX_POLICY_H
#define SANDBOX_POLICY_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

struct plan;

#define POL_MAX_RUNTIMES 32
#define POL_MAX_ARGS 24			/* of a list in a row, as all of these */
#define POL_MAX_ENV 8
#define POL_PRINCIPAL_SIZE 128		/* with its NUL */
#define POL_MAX_CODE_BYTES ((uint64_t)10 << 20)		/* the code of one call */
#define POL_MAX_COMMAND_BYTES ((uint64_t)120 << 10)	/* one argument of execve(2): 128 KiB */
#define POL_MAX_INPUT_BYTES ((uint64_t)32 << 20)	/* args, env and files of one call */
#define POL_MAX_STDIN_BYTES ((uint64_t)16 << 20)

/* The first step of a language that is compiled: the code file is in /workspace, which is the working
 * folder; nothing else of the call is there but its files. */
struct pol_compile {
	const char *const *find;	/* of the compiler; empty: the language has no such step */
	const char *const *args;	/* all of them: the code file is among them, or none is needed */
	const char *const *env;		/* beyond the row's, in this step alone */
	const char *product;		/* what it makes, below /tmp, if that is what is run; else "" */
	uint32_t timeout_ms;		/* of this step; that of a call is the program's */
};

/* Strings never NULL; lists end with NULL. In arguments and variables {memory_mib} stands for what the program
 * may use of memory. */
struct pol_runtime {
	const char *name;		/* "python" */
	const char *title;		/* "Python 3" */
	const char *package;		/* what brings it on Debian, "python3"; "": not said */
	const char *const *aliases;	/* "py", "python3" */
	const char *const *find;	/* absolute paths, first that exists wins; empty: the compiler's product is run */
	const char *const *run;		/* arguments before the file, after the interpreter; where there is a
					 * compiler: all of them */
	const char *const *version;	/* arguments that print the version: of the compiler, where there is one */
	const char *file;		/* name of the code file in the workspace, "main.py" */
	const char *driver;		/* what keeps its interpreter in a session: "driver.py"; "": each
					 * call is a program of its own */
	const char *zygote;		/* what makes its interpreter one that runs are forked from: "zygote.py";
					 * "": it is started for each */
	const char *const *preload;	/* modules such a one has loaded ahead */
	const char *ahead;		/* what its interpreter runs where it is started ahead, for one run: "ahead.js"; "": it is
					 * not */
	const char *const *env;		/* "NAME=value", beyond the base environment */
	const char *const *syscalls;	/* names allowed beyond the base list */
	const char *const *etc;		/* below /etc: what sandboxes show of it where it is there */
	uint64_t extra_memory_bytes;	/* what the runtime itself needs beyond the limit */
	uint32_t extra_processes;	/* threads of the runtime itself */
	struct pol_compile compile;
};
/* Set before anything else is, and never again (mcp/runtimes.h); those built in come first. */
extern const struct pol_runtime *pol_runtimes;
extern unsigned pol_runtimes_count;

/* What this host has; filled by launch at start, read only here. */
struct pol_host {
	/* absolute path of each runtime's compiler, or interpreter where it has none; "" when something of it
	 * is not installed */
	char path[POL_MAX_RUNTIMES][256];
	/* what runs what the compiler made; "" where that is a program; the keeper's alone */
	char runner[POL_MAX_RUNTIMES][256];
};

struct pol_limits {
	uint32_t wall_ms;
	uint32_t processes;		/* and threads */
	uint32_t cpu_millis;		/* 1000 = one CPU */
	uint32_t open_files;
	uint64_t memory_bytes;
	uint64_t workspace_bytes;	/* of /workspace; /tmp and /dev/shm have their own */
	uint64_t tmp_bytes;
	uint64_t output_bytes;		/* stdout and stderr each; past it the run is ended */
};

/* Of a session: all that runs in it has these together. */
struct pol_session_limits {
	uint32_t ttl_s, idle_ttl_s;	/* its age, and for how long nothing was asked of it */
	uint32_t processes;		/* and threads */
	uint64_t memory_bytes, workspace_bytes;
};

/* What the operator grants. The built-in one is pol_default(). */
struct pol_policy {
	const char *name;
	struct pol_limits limits;
	uint32_t max_wall_ms;
	uint32_t min_wall_ms;
	struct pol_session_limits session, session_min, session_max; /* the first: where not asked */
};
const struct pol_policy *pol_default(void);

enum pol_tool { POL_RUN_CODE, POL_RUN_COMMAND, POL_RUNTIME_VERSION, POL_PROBE, POL_SESSION, POL_TOOL_COUNT };
const char *pol_tool_name(enum pol_tool t);	/* "run_code" */

struct pol_request {
	enum pol_tool tool;
	struct sv language;		/* name or alias; for POL_RUN_COMMAND "" means bash */
	bool has_timeout;
	int64_t timeout_ms;
	uint64_t code_bytes, input_bytes, stdin_bytes;
	bool has_argv;			/* POL_RUN_COMMAND: argv in the input instead of code */
	/* The plan of the session it is to run in, or NULL. Then that one's limits hold, and of a session
	 * of one language run_code takes that alone ("" means it); commands run in any. */
	const struct plan *session;
};

struct pol_session_request {
	struct sv language;		/* "": any */
	struct pol_session_limits limits; /* 0: the policy's */
};
size_t pol_plan_size(void);		/* bytes of storage the caller provides */
/* Who asks, what is granted, what is there; all borrowed for the call. */
struct pol_context {
	const struct pol_policy *policy;
	const struct pol_host *host;
	const char *principal;		/* at most POL_PRINCIPAL_SIZE - 1 bytes, or the plan is refused */
};

/* Fills *mem (pol_plan_size() bytes, aligned for any type) and returns it in *ret. -1: refused; e
 * names what would be accepted. */
int pol_plan_make(void *mem, const struct pol_request *req, const struct pol_context *ctx,
		  struct plan **ret, struct err *e);

/* The same for a session; its tool is POL_SESSION. What is asked for beyond the grant is refused, not clamped:
 * a session that is smaller than its owner believes would fail later. Interpreters that stay get what they need
 * themselves on top. */
int pol_session_make(void *mem, const struct pol_session_request *req,
		     const struct pol_context *ctx, struct plan **ret, struct err *e);
const struct pol_session_limits *pol_plan_session_limits(const struct plan *p);

const struct pol_limits *pol_plan_limits(const struct plan *p);
const struct pol_runtime *pol_plan_runtime(const struct plan *p);	/* NULL: a bare argv, or a session of any */
/* Whether it is for an interpreter that stays, if it runs in a session. */
bool pol_plan_has_driver(const struct plan *p);
const char *pol_plan_interpreter(const struct plan *p);	/* absolute path; "" for a bare argv */
/* Where there is a first step (struct pol_compile): the compiler's path; else "". Such a plan is of a call in
 * a session, and the interpreter is what is run after it. */
const char *pol_plan_compiler(const struct plan *p);
/* What the program may use of memory_bytes: the runtime's own part is not in it. */
uint64_t pol_plan_program_memory(const struct plan *p);
const char *pol_plan_principal(const struct plan *p);
enum pol_tool pol_plan_tool(const struct plan *p);
bool pol_plan_has_argv(const struct plan *p);
bool pol_plan_timeout_clamped(const struct plan *p);
/* Whether a sandbox made for one can serve the other: all is the same but what is the run's own (time, output). */
bool pol_plan_shares_cells(const struct plan *a, const struct plan *b);

#endif
