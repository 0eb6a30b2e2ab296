/* internal.h: what the files of this room share; nobody else includes it but the room's tests.
 *
 * A run goes request -> start -> answer:
 *	run_request_*	arguments -> struct run_request; pure, all checks a caller's mistake can
 *			run into (request.c)
 *	confirm_*	asks the user first, where the operator wants that (confirm.c)
 *	run_start	request -> sealed memfds -> sup_client_run, a run in the registry (run.c)
 *	run_render*	run -> structuredContent and text; pure (result.c)
 *
 * A call that does not wait for the end leaves its run in the registry (runs.h), where run_status,
 * run_cancel and the resources find it (waits.c, resources.c). */
#ifndef TOOLS_INTERNAL_H
#define TOOLS_INTERNAL_H

#include "sandbox/supervise/supervise.h"
#include "tools/runs.h"
#include "tools/tools.h"

#define RUN_MAX_LANGUAGE_BYTES 64	/* more would not fit the keeper's record */
#define RUN_MAX_PATH_BYTES 4000		/* with "/workspace/" still below PATH_MAX */
#define RUN_MAX_PART_BYTES 255		/* NAME_MAX */
#define RUN_MAX_STRING_BYTES 131071	/* one argument or NAME=value: MAX_ARG_STRLEN less NUL */
#define RUN_MAX_EXEC_BYTES ((size_t)1 << 20)	/* all of them: half of what execve takes */
#define RUN_MAX_ANSWER_BYTES ((size_t)4 << 20)	/* two streams, each byte as \u00XX, and as much again */
#define RUN_MAX_CONTENT_BYTES ((size_t)24 << 20)	/* the text once more, links, and pictures as base64 */
#define RUN_PAGE_BYTES (SUP_HEAD_BYTES + SUP_TAIL_BYTES)	/* of a stream, where not asked otherwise */
#define RUN_MAX_PAGE_BYTES ((size_t)128 << 10)
#define RUN_MIN_PAGE_BYTES 4		/* one character */
#define RUN_MAX_WAIT_MS 45000		/* clients give up after 60 s */
#define RUN_CANCEL_WAIT_MS 5000

/* Life cycle: zeroed -> run_request_* -> run_request_finish, also after a failure. */
struct run_request {
	enum pol_tool tool;
	struct sv language;	/* borrowed from the arguments, as code and stdin_text */
	struct sv code;
	struct sv stdin_text;
	bool has_argv;		/* then code is empty and the program is in input */
	bool has_timeout;
	bool background;
	bool open_stdin;
	struct sv session_id;	/* borrowed; "": a sandbox of its own */
	bool has_outputs;	/* it is to leave files behind, or its values: see prepare.c */
	int64_t timeout_ms;
	size_t exec_bytes;	/* of args and env, as execve counts them */
	struct buf input;	/* owned: args, env, files, cwd */
	struct buf declared;	/* owned: as of struct run */
	unsigned ndeclared;
	/* Owned: of each file that comes from elsewhere four words, each ended by NUL: its number among files, whose it
	 * is ("ses_..." or "run_..."), its path there, its path here. */
	struct buf inputs;
};
int run_request_code(const struct cJSON *args, struct run_request *ret, struct err *e);
int run_request_command(const struct cJSON *args, struct run_request *ret, struct err *e);
void run_request_finish(struct run_request *r);
/* What more tools than those two take: a path below /workspace, a session's id (left alone where none is given),
 * bytes as base64 (ret is the caller's, to be finished also after a failure). field: for the error. */
int request_path(struct sv path, const char *field, struct err *e);
int request_session(const struct cJSON *args, struct sv *ret, struct err *e);
int request_language(struct sv language, struct err *e);	/* too long for the keeper to be asked */
int request_base64(struct sv text, const char *field, struct buf *ret, struct err *e);
/* A whole number of at least min; *ret stays where none is given. */
int request_number(const struct cJSON *args, const char *name, int64_t min, int64_t *ret,
		   struct err *e);

/* Puts a run into the registry and asks the client; call->state is the run until the call ends. */
int run_start(struct tool_call *call, struct run_request *req, struct err *e);
void run_cancel(struct tool_call *call);
int run_ask(struct run *r, const struct sup_run_opts *o, struct err *e); /* o's fds are taken */
void run_close_opts(struct sup_run_opts *o);
/* Nothing was started: its call ends with e, and it is forgotten. */
void run_never_began(struct run *r, const struct err *e);

/* --- what comes before a run (prepare.c) ---------------------------------------------------------- */
#define RUN_KEPT_S 600	/* what a run has left is kept as long after it was last asked for */
/* Whether it is to run as the only call of a session of its own: then the interpreter's driver runs the code, so that
 * values, figures and errors come as outputs, and the sandbox stays for the files after the end. */
bool run_wants_session(const struct run_request *req);
/* Whether its language is compiled first, which takes one. */
bool run_is_compiled(const struct run_request *req);
/* Whether prep_start must come before run_ask, which it then calls itself. */
bool run_wants_prep(const struct run_request *req);
/* req's inputs and o's fds are taken, also after a failure */
int prep_start(struct run *r, struct run_request *req, struct sup_run_opts *o, struct err *e);
void prep_cancel(struct run *r);
void prep_drop(struct run *r);	/* if it has one */
/* The session that holds what that run has left: of the principal's own that is kept. -1: e says why there is none. */
int run_kept_session(struct runs *all, struct sv principal, struct sv run_id, struct sv *ret, struct err *e);

/* 1: the user agreed, or need not be asked. 0: the call has ended, with the question or because nobody
 * can be asked. -1: refused. */
int confirm_run(struct tool_call *call, const struct run_request *req, struct err *e);
/* The same before input is sent to a run: a shell that reads commands would run them. */
int confirm_input(struct tool_call *call, const struct run *r, struct sv text, struct err *e);

/* a->err is NULL. kept: how much of each stream can be read as a resource; NULL: nothing. Buffers come
 * with a ceiling; -1 when it was too low or memory ran out. */
int run_render(const struct sup_answer *a, const uint64_t kept[RUN_STREAMS],
	       struct buf *json, struct buf *text, struct err *e);
/* The same of an ended run, from the registry. */
int run_render_ended(const struct run *r, struct buf *json, struct buf *text, struct err *e);
/* Content blocks: text, pictures, and links to other outputs and the streams it shows the ends of;
 * nothing when the text shows all. The first so many bytes, and a ], are the text and the pictures. */
size_t run_blocks(const struct run *r, struct sv text, struct buf *content);

/* --- changed.c ----------------------------------------------------------------------------------- */
/* The members changed_files, artifacts and missing_outputs, where there are such. */
void files_json(struct jw *w, const struct run *r);
void files_text(const struct run *r, struct buf *b);

/* --- render_outputs.c: what was displayed, in the forms of a result ------------------------------- */
#define OUTPUT_TEXT_BYTES ((size_t)16 << 10)	/* shown of one text, */
#define OUTPUT_TEXTS_BYTES ((size_t)64 << 10)	/* of all in one result */
#define OUTPUT_IMAGE_BYTES ((size_t)1 << 20)	/* the largest picture shown, */
#define OUTPUT_IMAGES_BYTES ((size_t)8 << 20)	/* all in one result */
/* The members outputs and outputs_left_out, when there are any. */
void outputs_json(struct jw *w, const struct run *r);
void outputs_text(const struct run *r, struct sv mark, struct buf *b);
/* The blocks of pictures, and the links. */
void outputs_images(const struct run *r, struct jw *w);
void outputs_links(const struct run *r, struct jw *w);
/* Whether there are any of these. */
bool outputs_have_blocks(const struct run *r);
void image_block(struct jw *w, const char *mime, struct sv bytes);

/* From where on, and how much of each stream. */
struct run_page {
	uint64_t offset[RUN_STREAMS];	/* at most what is kept */
	size_t max_bytes;		/* RUN_MIN_PAGE_BYTES..RUN_MAX_PAGE_BYTES */
};
int run_render_page(const struct run *r, const struct run_page *p, struct buf *json,
		    struct buf *text, struct err *e);
/* Whether it has ended and nothing follows the page. */
bool run_is_last_page(const struct run *r, const struct run_page *p);
/* Bytes at the end of s that start a character the cut took the rest of: 0..3. */
size_t text_cut_at_end(struct sv s);

/* A call that waits for a run to say more or to end (waits.c). */
struct wait_opts {
	bool for_end;			/* not for output: run_cancel */
	struct run_page page;
	uint64_t wait_ms;
};
/* Ends the call at once, or when what it waits for is there or wait_ms have passed. */
int wait_start(struct tool_call *call, struct run *r, const struct wait_opts *o, struct err *e);
void wait_cancel(struct tool_call *call);
void waits_wake(struct run *r);		/* more output, or the end: looked at from the loop */
void waits_break_off(struct run *r, const struct err *e);
/* The run that the argument run_id names, or NULL: ERR_NOT_FOUND. */
struct run *run_of_args(const struct tool_call *call, struct err *e);
/* Ends the call with the final result of an ended run, whole or from a page on (NULL: whole). */
void run_answer_ended(struct tool_call *call, const struct run *r, const struct run_page *p);

/* What asking a runtime for its version gave. */
struct info_version {
	bool known;		/* it ran and printed one: kept for the process' life */
	bool failed;		/* it ran and did not work */
	char text[160];		/* the version when known, else why not; UTF-8 */
};
/* From the answer of a POL_RUNTIME_VERSION run. */
void info_version_of(const struct sup_answer *a, struct info_version *ret);
/* What the front adds to what the keeper found. */
struct info_more {
	uint64_t promote_ms;		/* 0: a call waits for its run's end */
	uint64_t keep_ms, keep_bytes;	/* of ended runs */
	unsigned max_background;
};
struct info_more info_more_of(const struct runs *r, uint64_t promote_ms);
/* Everything sandbox_info tells. versions: one per runtime, in the order of pol_runtimes. */
struct info_facts {
	const struct sup_info *info;
	const struct info_version *versions;
	const struct probes *probes;
	struct info_more more;
};
int info_render(const struct info_facts *f, struct buf *json, struct buf *text, struct err *e);

/* --- questions to the keeper that are no runs (questions.c) ---------------------------------------------- */

/* The caller's struct begins with it. Such a call ends by question_answer or question_fail, which free what it
 * owns; cancelled before, it ends at once. */
struct question {
	struct tool_call *call;		/* NULL once it is answered: it is gone then */
	struct loop *loop;		/* the call's */
	struct sup_ask *at;		/* the client's; NULL: nothing is asked just now */
	void (*finish)(struct question *a);	/* frees what is owned, and the memory */
};
/* n bytes, zeroed; call->state is it until the call ends. */
void *question_new(struct tool_call *call, size_t n, void (*finish)(struct question *a), struct err *e);
void question_drop(struct question *a);		/* of a call that has not started */
/* Answers with what the buffers hold, or that there was no memory. blocks NULL: text alone. */
void question_answer(struct question *a, const struct buf *json, const struct buf *text,
		     const struct buf *blocks);
void question_fail(struct question *a, const struct err *e);
void question_cancel(struct tool_call *call);

/* --- sessions (session.c) ------------------------------------------------------------------------- */
void session_json(struct jw *w, const struct sup_session_info *s);
void session_text(struct buf *b, const struct sup_session_info *s);
const char *session_end_name(enum sup_session_end end);
/* 2026-01-02T03:04:05Z */
#define TIME_TEXT_SIZE 32
void time_text(int64_t wall_s, char dst[static TIME_TEXT_SIZE]);

int session_create_start(struct tool_call *call, struct err *e);
void session_create_cancel(struct tool_call *call);
int session_list_start(struct tool_call *call, struct err *e);
int session_close_start(struct tool_call *call, struct err *e);
int artifact_upload_start(struct tool_call *call, struct err *e);
int artifact_download_start(struct tool_call *call, struct err *e);
int artifact_list_start(struct tool_call *call, struct err *e);
int artifact_delete_start(struct tool_call *call, struct err *e);
int run_input_start(struct tool_call *call, struct err *e);
int run_code_start(struct tool_call *call, struct err *e);
int run_command_start(struct tool_call *call, struct err *e);
int run_status_start(struct tool_call *call, struct err *e);
int run_cancel_start(struct tool_call *call, struct err *e);
int sandbox_info_start(struct tool_call *call, struct err *e);
void sandbox_info_cancel(struct tool_call *call);

/* What is known of the runtimes' versions by now, in the order of pol_runtimes. */
const struct info_version *sandbox_info_versions(void);
/* One object each: the members runtimes and limits of what sandbox_info says. */
void info_json_runtimes(const struct sup_info *info, const struct info_version *versions, struct buf *b);
void info_json_limits(const struct sup_info *info, const struct info_more *more, struct buf *b);

/* resources.c: the runs, and what sandbox_info says */
#define TOOL_SOURCES 3
extern const struct resource_source tool_sources[TOOL_SOURCES];
/* prompts.c */
#define TOOL_PROMPTS 3
extern const struct prompt tool_prompts[TOOL_PROMPTS];
void prompts_complete(const struct tool_env *env, struct sv prompt, struct sv argument, struct sv value,
		      void (*put)(void *arg, struct sv value), void *arg);

#endif
