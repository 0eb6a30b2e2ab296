/* tools.h: what callers can ask for: one file per tool, one registry table.
 *
 * Three kinds of things are offered, each a row of a table: tools, prompts, and sources of
 * resources. What the protocol (mcp/protocol) needs to know of them is here; it knows none by name.
 *
 * A call (of a tool or a prompt) is asynchronous: start returns at once and later exactly one of
 * the tool_call_* enders is called. Cancelling only asks: the answer still comes (and the protocol
 * then drops it). Resources are read at once: they are in this process' memory.
 *
 * Asking the user. A call may end with tool_call_ask: "I need these answers first". The protocol
 * puts the questions to the client (2025: server-to-client requests while the call waits; 2026: the
 * answer `input_required`), and when the answers are there it starts the same row once more, with
 * the same arguments, inputs and the state the tool gave. So a tool keeps nothing between the two.
 *
 * Data flow: protocol validates arguments against the schema, allocates the call, calls start;
 * the tool puts code, files, stdin into sealed memfds and asks the keeper through sup_client; on
 * the answer it writes structuredContent and the text block that says the same. Output goes to a
 * record in `runs` (runs.h), from which run_status and the resources read. */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/json.h"

struct sup_client;
struct tool_call;
struct runs;
struct loop;

/* What tools tell the protocol without being asked. Nothing may be started or ended from within. */
struct tool_events {
	/* A resource's text has changed; or the list of them. principal: whose it is. */
	void (*resource_updated)(void *arg, struct sv principal, struct sv uri);
	void (*resources_changed)(void *arg, struct sv principal);
	void (*tools_changed)(void *arg);
	void (*prompts_changed)(void *arg);
	void *arg;
};

/* The caller and what a tool may use; the views and pointers outlive the call. */
struct tool_env {
	struct loop *loop;
	struct sup_client *client;
	struct runs *runs;		/* of every caller; look-ups take the principal */
	struct sv credential;		/* forwarded, never interpreted; "" on stdio */
	struct sv principal;		/* whose handles these are; "" on stdio */
	const struct tool_events *events;	/* may be NULL */
	bool confirm;			/* ask the user before anything is run; who cannot be asked is refused */
};

/* One question to the client. */
struct tool_ask {
	const char *key;		/* the answer is inputs[key] */
	const char *method;		/* elicitation/create, sampling/createMessage, roots/list */
	struct sv params_json;		/* an object */
};

/* What a finished call gives: one of err, asks and the rest. All borrowed until the callback
 * returns. */
struct tool_answer {
	const struct err *err;		/* isError: {code, cause, remediation} */
	int rpc_code;			/* not 0: err is a JSON-RPC error with this code, not a result */
	/* With err: the client capability it is for want of ("elicitation"). Where requests declare
	 * capabilities the protocol has an error of its own for that. */
	const char *needs;
	const struct tool_ask *asks;	/* input_required */
	unsigned nasks;
	struct sv state;		/* with asks: given back on the next start; sealed on its way */
	struct sv structured_json;	/* the structuredContent object */
	struct sv text;			/* the same facts as text */
	/* An array of content blocks, in place of text. When text is given too, the first block holds
	 * it and the others are resource_link: a revision that does not know those gets text alone. */
	struct sv content_json;
	/* With text: the first so many bytes of content_json, and a ], are blocks that every revision
	 * knows (the text, images). 0: only the text is. */
	size_t plain_n;
	struct sv result_json;		/* prompts: the members of the result, without braces */
	bool is_error;			/* with text or content: isError */
	/* The program still runs: the answer may become a task (see promote below). */
	bool running;
	struct sv trace_json;		/* an object: how long what took; where the call asked for it */
};

enum tool_log_level { TOOL_DEBUG, TOOL_INFO, TOOL_NOTICE, TOOL_WARNING, TOOL_ERROR, TOOL_CRITICAL, TOOL_ALERT, TOOL_EMERGENCY };

/* What the protocol offers to a call; every function may be called until the call has ended. */
struct tool_hooks {
	void (*done)(struct tool_call *call, const struct tool_answer *answer);
	/* Progress for a human, at most every 100 ms: bytes of output so far; message may be empty. */
	void (*progress)(struct tool_call *call, uint64_t bytes_out, struct sv message);
	/* Progress in numbers of the tool's own; total 0: unknown. */
	void (*progress_at)(struct tool_call *call, uint64_t progress, uint64_t total, struct sv message);
	/* A log message for this caller, if it asked for that level. data_json: any JSON. */
	void (*log)(struct tool_call *call, enum tool_log_level level, const char *logger, struct sv data_json);
	/* Whether the client declared it: "elicitation", "sampling", "roots". */
	bool (*client_can)(const struct tool_call *call, const char *capability);
	/* Ends the connection this answer would go to, where that can be resumed; the answer waits
	 * for the client to come back. For the conformance suite. */
	void (*drop_stream)(struct tool_call *call);
};

struct tool_call {
	const struct tool *tool;	/* one of the two */
	const struct prompt *prompt;
	struct tool_env env;
	const struct cJSON *args;	/* valid against the schema; never NULL; borrowed until start returns */
	const struct cJSON *inputs;	/* answers by key, or NULL; borrowed until start returns */
	struct sv ask_state;		/* what the tool gave with its questions; until start returns */
	/* Milliseconds after which a run should answer `running` and go on by itself; 0: never. */
	uint64_t promote_ms;
	bool trace;			/* how long what took is asked for */
	const struct tool_hooks *hooks;
	void *owner;			/* the protocol's */
	void *state;			/* the tool's */
};

/* Whether a call of it may become, or always is, a task. */
enum tool_task { TOOL_TASK_NEVER, TOOL_TASK_MAY, TOOL_TASK_ALWAYS, TOOL_TASK_REQUIRED };

struct tool {
	const char *name;
	const char *schema_file;	/* key of schemas_get(): title, description, inputSchema,
					 * outputSchema, annotations */
	/* 0 when started (an ender will be called, perhaps before start returns), or -1 with e. */
	int (*start)(struct tool_call *call, struct err *e);
	void (*cancel)(struct tool_call *call);	/* NULL when it cannot be cancelled */
	enum tool_task task;
	const char *needs;		/* a client capability without which it is refused; NULL: none */
};

/* How the messages of a prompt's file are filled in. The text of a message is taken line by line: a
 * line with a {{argument}} that was not given (or is empty) is left out whole; elsewhere the value
 * stands in its place as it is, and is not looked at again for placeholders. A message of which
 * nothing is left is left out too. */
struct prompt {
	const char *name;
	const char *schema_file;	/* {name, title, description, arguments:[{name,description,required}], messages} */
	/* As a tool's. NULL: the file's messages with {{argument}} filled in. args: an object of strings. */
	int (*start)(struct tool_call *call, struct err *e);
};

struct resource {
	struct sv uri, name, title, description, mime;	/* empty: left out, but for uri and name */
	int64_t size;			/* bytes; -1: unknown */
};

struct resource_template {
	const char *uri_template;	/* RFC 6570 level 1 */
	const char *name, *title, *description, *mime;
};

/* A source of resources. The principal in env sees only its own. */
struct resource_source {
	const char *prefix;		/* of every URI of it, "sandbox://runs/" */
	const struct resource_template *templates;
	unsigned ntemplates;
	/* Calls put for at most max resources after the one named `after` ("": from the start), in a
	 * stable order; true when there are more. */
	bool (*list)(const struct tool_env *env, struct sv after, unsigned max,
		     void (*put)(void *arg, const struct resource *r), void *arg);
	/* Writes the content objects ({uri, mimeType, text|blob}) into the open array; ERR_NOT_FOUND:
	 * there is none, or it is another's: which of the two cannot be told. */
	int (*read)(const struct tool_env *env, struct sv uri, struct jw *contents, struct err *e);
	/* Values for a template's variable that begin with `value`; put is called at most 100 times. */
	void (*complete)(const struct tool_env *env, const struct resource_template *t, struct sv variable,
			 struct sv value, void (*put)(void *arg, struct sv value), void *arg);
};

/* Everything one room offers; the protocol takes a list of these. */
struct tool_set {
	const struct tool *tools;
	size_t ntools;
	const struct prompt *prompts;
	size_t nprompts;
	const struct resource_source *sources;
	size_t nsources;
	/* Values for a prompt's argument, as for templates; may be NULL. */
	void (*complete_prompt)(const struct tool_env *env, struct sv prompt, struct sv argument, struct sv value,
				void (*put)(void *arg, struct sv value), void *arg);
};

extern const struct tool_set tools_all;		/* what everybody gets */
extern const struct tool_set tools_fixtures;	/* for the conformance suite: --conformance-fixtures only */

/* Enders and news, for tools. */
void tool_call_done(struct tool_call *call, const struct tool_answer *a);
void tool_call_result(struct tool_call *call, struct sv structured_json, struct sv text);
void tool_call_error(struct tool_call *call, const struct err *e);
void tool_call_ask(struct tool_call *call, const struct tool_ask *asks, unsigned n, struct sv state);

/* --- runs: every run this process knows of, running or ended (runs.c) ---------------------------- */

struct runs_opts {
	struct loop *loop;
	size_t keep_bytes;		/* of output in all, 0: 256 MiB; the longest ended goes first */
	unsigned keep_runs;		/* 0: 1024 */
	uint64_t keep_ms;		/* after its end; 0: 30 minutes */
	unsigned max_background;	/* running ones of one principal that answered `running`; 0: 16 */
};
struct runs *runs_new(const struct runs_opts *o, struct err *e);
/* Asks every run to end; on_idle is called when the last has (at once if there is none). For the
 * server's end: runs that answered `running` belong to no call that could be cancelled. */
void runs_cancel_all(struct runs *r, void (*on_idle)(void *arg), void *arg);
/* Cancels what runs and ends every call that waits for a run. After the peers have gone, before
 * proto_server_free and sup_client_free. */
void runs_free(struct runs *r);

/* --- whole files (transfer.c) ---------------------------------------------------------------------- */

/* A whole file of a session, on its way in pieces that its mover gives or takes as he can: what
 * the artifact tools do for files that fit into a message. Never more of it than a piece is in memory. */
struct transfer;
enum transfer_kind { TRANSFER_READ, TRANSFER_WRITE, TRANSFER_DELETE };
#define TRANSFER_MAX_BYTES ((uint64_t)100 << 20)	/* written */
#define TRANSFER_UNKNOWN UINT64_MAX
struct transfer_file {
	uint64_t size;		/* when it was opened: it can change while it is read */
	const char *mime;	/* by what it begins with */
	char sha256[65];	/* hex, of what was written; else "" */
	bool created;		/* written: there had been nothing of that name */
	bool is_dir;		/* deleted: it was a folder */
};
struct transfer_opts {
	struct tool_env env;	/* client, loop, runs; the strings are copied */
	struct sv id, path;	/* a session's, or (not WRITE) of a run that has left files; beneath /workspace. Copied */
	uint64_t length;	/* WRITE: at most TRANSFER_MAX_BYTES, or TRANSFER_UNKNOWN */
	bool keep;		/* WRITE: what is there stays: e->sys is EEXIST */
	/* Once, later, one of the two: READ: it is open; else: it is done. The transfer may be freed from within. */
	void (*on_done)(void *arg, const struct transfer_file *f, const struct err *e);
	/* WRITE: transfer_put takes bytes, again. The transfer may be freed from within. */
	void (*on_room)(void *arg);
	void *arg;
};
/* NULL: e says why. e->sys as of sup_file_fn. */
struct transfer *transfer_new(enum transfer_kind kind, const struct transfer_opts *o, struct err *e);
/* Before on_done: a file that was being written is not there, or is what it was. NULL is accepted. */
void transfer_free(struct transfer *t);
/* How many bytes were taken; fewer than given, and on_room is called when more are. */
size_t transfer_put(struct transfer *t, struct sv bytes);
void transfer_put_end(struct transfer *t);	/* all were put */
/* After on_done of READ: how many bytes there are from offset on, up to n: fewer if it has become shorter. */
size_t transfer_get(const struct transfer *t, uint64_t offset, char *dst, size_t n);
bool transfer_is_in(const struct transfer *t, struct sv session_id);

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

#endif
