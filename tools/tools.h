/* tools.h: what callers can ask for: one file per tool, one registry table.
 *
 * A tool is a row: its name, its schema file (title, description, inputSchema, outputSchema,
 * annotations; embedded from schemas/tool_<name>.json) and a start function. A call is asynchronous: start returns at
 * once and later exactly one of tool_call_result / tool_call_error is called. Cancelling a call
 * only asks: the answer still comes (and the protocol then drops it).
 *
 * Data flow: protocol validates arguments against the schema, allocates the call, calls start;
 * the tool puts code, files, stdin into sealed memfds and asks the keeper through sup_client; on
 * the answer it writes structuredContent and the text block that says the same. */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/json.h"

struct sup_client;
struct tool_call;

/* What a finished call gives. Exactly one of `err` and `structured` is set; all borrowed until the
 * callback returns. */
struct tool_answer {
	const struct err *err;		/* isError: {code, cause, remediation} */
	struct sv structured_json;	/* the structuredContent object */
	struct sv text;			/* the same facts as text */
};

struct tool_env {
	struct sup_client *client;	/* borrowed, outlives every call */
	struct sv credential;		/* of the caller, forwarded, never interpreted; "" on stdio */
};

struct tool_call {
	const struct tool *tool;
	struct tool_env env;
	const struct cJSON *args;	/* valid against the schema; never NULL; borrowed until start returns */
	void (*on_done)(struct tool_call *call, const struct tool_answer *answer);
	/* Progress for a human, at most every 100 ms; may be NULL. */
	void (*on_progress)(struct tool_call *call, uint64_t bytes_out, struct sv message);
	void *owner;			/* the protocol's */
	void *state;			/* the tool's */
};

struct tool {
	const char *name;
	const char *schema_file;	/* key of schemas_get() */
	/* 0 when started (on_done will be called, perhaps before start returns), or -1 with e. */
	int (*start)(struct tool_call *call, struct err *e);
	void (*cancel)(struct tool_call *call);	/* NULL when it cannot be cancelled */
};

extern const struct tool tools[];
extern const size_t tools_count;
const struct tool *tool_find(struct sv name);	/* NULL when there is none */

/* --- what the doctor and sandbox_info can prove ------------------------------------------------ */

/* The escapes a POL_PROBE run tries from where a program would run (sandbox/guest/probe.c). */
extern const char *const probe_names[];
extern const unsigned probe_count;
#define PROBES_MAX 32

struct sup_answer;
struct probes {
	bool known;		/* the run ended in order; else err says why not */
	struct err err;
	bool held[PROBES_MAX];	/* in the order of probe_names; one that said nothing has not held */
	char detail[PROBES_MAX][80]; /* printable */
};
/* Reads what the run printed: untrusted text, lines of `name held|open detail`. */
void probes_read(const struct sup_answer *a, struct probes *ret);
unsigned probes_open(const struct probes *p);	/* how many did not hold */

/* For tools: ends a call. */
void tool_call_result(struct tool_call *call, struct sv structured_json, struct sv text);
void tool_call_error(struct tool_call *call, const struct err *e);

#endif
