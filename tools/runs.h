/* runs.h: every run of this process, running or ended: whose it is, how far it came, what it printed.
 * For the files of this room; what others need of it stands in tools.h.
 *
 * Invariants.
 * - A run belongs to the principal that started it. Look-ups search among that principal's alone, so
 *   another's run and one that never was are the same miss, found out by the same work.
 * - What is kept of a stream is its beginning, without holes: bytes [0, kept). Once a byte could not
 *   be kept none after it is, and total - kept says how many are missing.
 * - Running runs are never dropped. Ended ones are after keep_ms, or sooner to make room: the longest
 *   ended of whoever holds most. Nobody loses a run to one who holds more than he does.
 *
 * Life cycle: runs_add -> run_name (the keeper has said its id; before that nobody can look it up)
 * -> run_keep ... -> run_end -> dropped by the registry; or run_forget, when it never began. */
#ifndef TOOLS_RUNS_H
#define TOOLS_RUNS_H

#include "sandbox/base/loop.h"
#include "sandbox/supervise/supervise.h"
#include "tools/rich.h"
#include "tools/tools.h"

#define RUNS_URI "sandbox://runs/"
#define RUN_URI_SIZE 80			/* of RUNS_URI, a run id and "/stdout" or "/outputs/999" */
#define RUN_SMALL_BYTES ((size_t)64 << 10)	/* longer streams go into a memfd */
#define RUN_NEWS_MS 1000		/* between two rounds of news about one thing */

enum run_stream { RUN_STDOUT, RUN_STDERR, RUN_STREAMS };
extern const char *const run_stream_names[RUN_STREAMS];

/* --- store.c: the bytes of one stream ----------------------------------------------------------- */

struct store {
	struct buf small;	/* until it is too long for that */
	int fd;			/* then a memfd; -1 before */
	uint64_t kept;		/* bytes [0, kept) are here */
	uint64_t total;		/* bytes that came */
	bool closed;		/* some were not kept: nothing more will be */
};
void store_init(struct store *s);
void store_finish(struct store *s);
/* Whether adding n bytes would make a memfd. */
bool store_will_spill(const struct store *s, size_t n);
/* Keeps the first `room` of bytes and counts all. */
void store_add(struct store *s, struct sv bytes, size_t room);
/* Up to n bytes from offset on; how many there were. */
size_t store_read(const struct store *s, uint64_t offset, char *dst, size_t n);
/* The same into b. -1: b failed. */
int store_copy(const struct store *s, uint64_t offset, size_t n, struct buf *b);

/* --- outputs.c: what was displayed, beside the streams --------------------------------------------- */

#define RUN_MAX_OUTPUTS 64
#define RUN_MAX_OUTPUT_BYTES ((size_t)32 << 20)	/* of all outputs of one run */

struct run;
struct output_item {
	char mime[RICH_MIME_SIZE];
	bool is_text;
	uint32_t n;			/* bytes */
	uint64_t at;			/* from there on in the store of all */
};
struct output {
	enum rich_kind kind;
	uint32_t line;			/* of an error; 0: not known */
	unsigned nitems, first;		/* number of its first item among all of the run */
	struct output_item items[RICH_ITEMS];
};
/* Zeroed is empty. Items are whole or not there. */
struct outputs {
	struct output *list;		/* owned */
	unsigned n, cap, nitems;
	uint64_t left_out;		/* lines and items nobody can get */
	struct store bytes;
};
/* Keeps a line of the driver, as far as it is one and there is room. */
void run_keep_rich(struct run *r, struct sv line);
/* The item of that number; NULL: none. *ret_output, if given, is what it is a form of. */
const struct output_item *run_output_item(const struct run *r, uint64_t number,
					  const struct output **ret_output);
void outputs_finish(struct outputs *o);

/* --- changed.c: what it has done to files --------------------------------------------------------- */

#define RUN_SHOWN_FILES 200	/* of each list */
#define RUN_MAX_DECLARED 100
#define RUN_MAX_PATTERN_BYTES 1024
/* Zeroed is none. */
struct run_files {
	bool there, more, full;		/* more: than are shown, or than could be found out */
	uint32_t total, shown;
	struct buf json, text;		/* owned; rows of an array, lines */
};
/* Of an ended run, once. */
void run_take_changes(struct run *r, const struct sup_changes *c);
/* Of *steps one is taken for each comparison; false too when there are none left. */
bool run_pattern_matches(const char *pattern, struct sv path, unsigned *steps);
void run_files_finish(struct run_files *f);

/* --- runs.c: the registry ------------------------------------------------------------------------ */

enum runs_use { RUNS_COUNT, RUNS_BYTES, RUNS_FDS, RUNS_USES };

struct run_owner;
struct run_wait;

/* How a call is answered. */
struct run_answer {
	struct buf json, text, content, trace;
	size_t plain_n;
	struct err err;			/* instead of these */
};
void run_answer_finish(struct run_answer *a);

struct run {
	struct runs *runs;
	struct run_owner *owner;
	struct run *prev, *next;	/* of one owner, newest first */
	struct run *ended_prev, *ended_next;	/* of all, the longest ended first */
	uint64_t serial;		/* grows with every run */
	char id[SUP_RUN_ID_SIZE];	/* zero-padded; "" until the keeper has said it */
	char language[32];
	char session_id[SUP_SESSION_ID_SIZE];	/* "": a sandbox of its own */
	char throwaway[SUP_SESSION_ID_SIZE];	/* the session that is its alone, which nobody is told; "": none */
	bool own_session;		/* it runs, or has run, in such a one */
	bool only_compiled;		/* for no other reason than that its language is compiled */
	enum pol_tool tool;
	bool ended;
	bool background;		/* goes on without a call */
	bool open_stdin;
	bool stdin_closed;		/* by run_input */
	bool answer_running;		/* run.c's: as soon as the id is known */
	bool pinned;			/* waits.c's: not dropped now, its waits are being answered */
	bool dirty[RUN_STREAMS + 1];	/* news to tell; the last: result */
	uint64_t started_us, started_wall_us, ended_us;
	struct err err;			/* of an ended one, instead of result */
	struct sup_result result;
	struct store out[RUN_STREAMS];
	struct outputs outputs;
	struct run_files changed, artifacts;	/* changed.c's */
	struct buf declared;		/* the paths and patterns it was to leave, each ended by NUL */
	unsigned ndeclared;
	unsigned char matched[RUN_MAX_DECLARED / 8 + 1]; /* a bit each */
	bool kept;			/* the throwaway session stays for its files */
	/* Of an ended one whose stream was not kept whole: its ends, as the caller is shown them. The last: the
	 * compiler's, of which nothing else is kept. */
	struct buf head[RUN_STREAMS + 1], tail[RUN_STREAMS + 1];
	uint64_t compile_bytes;		/* that the compiler printed */
	uint64_t use[RUNS_USES];

	/* run.c's: while it runs */
	struct sup_client *client;
	struct sup_run *sup;		/* the client's; NULL: ended, or prep is there */
	struct prep *prep;		/* prepare.c's; NULL: none */
	struct tool_call *call;		/* that still waits for the end; NULL: none */
	struct loop_timer promote;
	uint64_t reported_us;		/* of the last progress */
	uint64_t first_byte_us;		/* of its output, when it came; 0: not yet */
	struct run_answer answer;	/* to that call, until it may be told */
	/* waits.c's */
	struct run_wait *waits;		/* as long as there are some it is not dropped */
	struct loop_timer wake;
	/* news to tell */
	struct loop_timer news;
	uint64_t news_us;
};

struct run_opts {
	const struct tool_env *env;	/* loop, client, principal and events are taken from it */
	enum pol_tool tool;
	struct sv language;
	bool background;
	struct sv session_id;
	bool open_stdin;
};
/* NULL: too many are running (ERR_BUSY), or no memory. */
struct run *runs_add(struct runs *r, const struct run_opts *o, struct err *e);
void run_name(struct run *r, struct sv id);
void run_keep(struct run *r, enum run_stream s, struct sv bytes);
/* Room for n more bytes of output in s: how many of them may be kept. */
size_t run_make_room(struct run *r, const struct store *s, size_t n);
/* What s, or something else of the run, has taken. */
void run_charge(struct run *r, enum runs_use u, uint64_t n);
/* There is one more, or one fewer, of its resources. */
void run_list_changed(struct run *r);
/* result or err, and what of the streams is not kept, are taken from a. Nobody is told yet. */
void run_settle(struct run *r, const struct sup_answer *a);
/* After it: it counts as ended. */
void run_end(struct run *r);
void run_forget(struct run *r);
/* It goes on without a call from now on; false: its owner has too many of those. */
bool run_detach(struct run *r);
/* The row of pol_runtimes a language is a name of; NULL: none. */
const struct pol_runtime *runtime_of(struct sv language);

struct run *runs_find(struct runs *r, struct sv principal, struct sv id);	/* or NULL */
/* ERR_NOT_FOUND in words. Returns -1. */
int runs_not_found(const struct runs *r, struct err *e);
/* The owner's newest run, or the next older than r (which may be dropped by now: an id). NULL: none. */
struct run *runs_newest(struct runs *r, struct sv principal);
struct run *runs_older(struct run *r);
/* The first older than the one of that id; found also some time after that one was dropped. */
struct run *runs_after(struct runs *r, struct sv principal, struct sv id);

struct sv run_principal(const struct run *r);
void run_uri(const struct run *r, const char *what, char dst[static RUN_URI_SIZE]);
uint64_t runs_keep_ms(const struct runs *r);
size_t runs_keep_bytes(const struct runs *r);
unsigned runs_max_background(const struct runs *r);
/* One more or one fewer call waits; false: as many as this principal, or all, may have. */
bool runs_wait_begin(struct run *r);
void runs_wait_end(struct run *r);

/* lookup.c: a yes counts once; false: it has been used. number is random. Forgotten after RUNS_YES
 * others: whoever could make that many can also say yes for himself. */
#define RUNS_YES 1024
#define RUNS_YES_BYTES 16
bool runs_use_yes(struct runs *r, const unsigned char number[static RUNS_YES_BYTES]);

/* run.c: answers the call that waits, and those of waits.c, with an error and lets the keeper end it. */
void run_break_off(struct run *r);

/* The streams of an ended run as the caller is shown them: the ends, and how much there was.
 * Owned by the caller (runs_streams_finish, also after a failure). */
int run_streams(const struct run *r, struct sup_stream ret[static RUN_STREAMS], struct err *e);
void run_streams_finish(struct sup_stream s[static RUN_STREAMS]);
/* The same of what the compiler printed, one stream; -1: no memory. */
int run_compiled(const struct run *r, struct sup_stream *ret);
void run_compiled_finish(struct sup_stream *s);

/* --- runs.c's and lookup.c's own ------------------------------------------------------------------ */

#define RUNS_GONE 64	/* dropped ones whose place in the list is remembered */
#define RUNS_MAX_WAITS 1024	/* calls that wait, of all; */
#define RUNS_MAX_OWNER_WAITS 64	/* of one principal */

struct run_gone {
	char id[SUP_RUN_ID_SIZE];
	uint64_t serial;
};

struct run_owner {
	struct runs *runs;
	struct run_owner *next;
	char *principal;		/* owned */
	struct run *newest, *oldest;
	uint64_t use[RUNS_USES];
	uint64_t running_bytes;
	unsigned background, waits;
	struct loop_timer changed;
	uint64_t changed_us;
	struct run_gone gone[RUNS_GONE];
	unsigned gone_at;
};

struct runs {
	struct loop *loop;
	uint64_t max[RUNS_USES], use[RUNS_USES];
	uint64_t keep_ms;
	unsigned max_background, waits, running;
	unsigned gather_ms;		/* between output and the answer to who waits for it */
	uint64_t next_serial;
	struct run_owner *owners;
	struct run *ended_first, *ended_last;
	struct loop_timer expiry;
	const struct tool_events *events;
	void (*on_idle)(void *arg);
	void *idle_arg;
	unsigned char yes[RUNS_YES][RUNS_YES_BYTES];
	unsigned yes_at;
};

struct run_owner *runs_owner(struct runs *r, struct sv principal);	/* NULL: has none */

#endif
