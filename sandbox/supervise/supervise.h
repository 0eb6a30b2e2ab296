/* supervise.h: the keeper role, and the front's side of the line to it.
 *
 * The keeper owns runs: request -> plan (policy) -> intent (ledger) -> sandbox (launch) -> watch
 * (deadline, cgroup events, guest records, cancel) -> kill ladder -> verdict -> outcome (ledger) ->
 * result record. It reads code, input and output only as bytes; output pipes go straight to the front.
 * It owns sessions in the same way: what runs in one is a run like any other, in a sandbox that was
 * there before and stays after it.
 *
 * The front owns a sup_client: it hands over requests as sealed memfds, drains the output pipes
 * while the program runs (capped, head and tail kept) and gets one callback per run. */
#ifndef SANDBOX_SUPERVISE_H
#define SANDBOX_SUPERVISE_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/ipc.h"
#include "sandbox/base/loop.h"
#include "sandbox/policy/policy.h"

#define SUP_RUN_ID_SIZE 40		/* "run_" + 32 hex digits + NUL */
#define SUP_HEAD_BYTES (24u << 10)	/* of each stream, kept from the start */
#define SUP_TAIL_BYTES (8u << 10)	/* and up to the end */

/* How a run ended. The keeper decides from the host's own evidence. */
enum sup_status {
	SUP_EXITED,
	SUP_SIGNALED,
	SUP_TIMEOUT,
	SUP_OUT_OF_MEMORY,
	SUP_TOO_MANY_PROCESSES,
	SUP_DISK_FULL,
	SUP_OUTPUT_LIMIT,
	SUP_DENIED,		/* the kernel killed it for a forbidden call (SIGSYS) */
	SUP_CANCELLED,
	SUP_LOST,		/* the sandbox died without a verdict; nothing is made up */
	SUP_COMPILE_ERROR,	/* the compiler said no: the program was not started */
	SUP_STATUS_COUNT
};
const char *sup_status_name(enum sup_status s);	/* "exited", ... as on the wire */

/* --- sessions ---------------------------------------------------------------------------------- */
/* A session is one sandbox that stays: a workspace, and an interpreter per language used that keeps its
 * variables from call to call. It belongs to the principal that made it: to anybody else it is not
 * there. It outlives the caller's connection, not the server. It ends when it is closed, when nothing was
 * asked of it for idle_ttl_s, when it is ttl_s old, or when its sandbox dies; its workspace goes with it. */
#define SUP_SESSION_ID_SIZE 40		/* "ses_" + 32 hex digits + NUL */

struct sup_session_limits {		/* 0: the policy's default; more than it grants is refused */
	uint32_t ttl_s, idle_ttl_s;
	uint64_t memory_bytes, workspace_bytes;
	uint32_t processes;
};
struct sup_session_info {
	char id[SUP_SESSION_ID_SIZE];
	char language[32];		/* "": any */
	uint64_t created_us, expires_us, idle_expires_us; /* CLOCK_REALTIME; the earlier of the last two counts */
	struct sup_session_limits limits; /* in force */
	uint32_t calls;			/* so far */
	uint32_t running, queued;	/* calls now */
	uint32_t alive;			/* bit per row of pol_runtimes: its interpreter is there */
};
/* Names what ended one. */
enum sup_session_end { SUP_SESSION_CLOSED, SUP_SESSION_TTL, SUP_SESSION_IDLE, SUP_SESSION_DIED,
		       SUP_SESSION_END_COUNT };

/* Limits that were hit, whether or not they ended the run. */
enum { SUP_HIT_TIME = 1, SUP_HIT_MEMORY = 2, SUP_HIT_PROCESSES = 4, SUP_HIT_DISK = 8, SUP_HIT_OUTPUT = 16 };

/* The first step of a call of a language that is compiled. */
struct sup_compile {
	bool there;		/* it was begun */
	bool last;		/* the call ended in it: the program was not started */
	enum sup_status status;	/* SUP_EXITED with code 0, unless it is the last */
	bool has_exit_code;
	int exit_code, signal;	/* as of the result */
	uint64_t duration_us;
};

/* When what happened to a run in the keeper, CLOCK_MONOTONIC microseconds; 0: it did not. */
struct sup_trace {
	uint64_t arrived_us;	/* the request */
	uint64_t planned_us;	/* checked, and it is known where it will run */
	uint64_t slot_us;	/* it has waited for its turn */
	uint64_t recorded_us;	/* its intent */
	uint64_t started_us, ended_us; /* the program */
	uint64_t closed_us;	/* all that it had started is dead, its counters are read */
};

struct sup_result {
	char run_id[SUP_RUN_ID_SIZE];
	enum sup_status status;
	bool has_exit_code;
	int exit_code;		/* 0..255 */
	int signal;		/* 0: none */
	uint32_t hits;		/* SUP_HIT_* */
	uint64_t duration_us;	/* program start to known end, CLOCK_MONOTONIC; 0: it was not started */
	struct sup_compile compile; /* counts for cpu_us, too */
	uint64_t cpu_us;	/* 0 with limits_degraded */
	uint64_t peak_memory_bytes;	/* 0 with limits_degraded */
	bool limits_degraded;	/* no cgroup: rlimits only */
	bool timeout_clamped;
	struct pol_limits limits;	/* that were in force */
	/* Of a run in a session: */
	bool in_session;
	bool fresh;		/* the interpreter was started for this call */
	bool lost_state;	/* it ended with the call, so variables are gone; files stay */
	bool lost_before;	/* one that calls had run in ended since the last call in its place: so their
				 * variables are gone. Said once for each that has ended */
	bool session_ended;	/* with all of it: why is in session_end */
	enum sup_session_end session_end;
	uint64_t rich_dropped;	/* rich lines that were not handed on; the client's own count */
	struct sup_trace trace;
	bool warm;		/* it ran in a cell that was waiting for it, or in one made of the same zygote */
};
/* Of a call in an interpreter: SUP_EXITED with the exit code the driver says; SUP_SIGNALED and so on when the
 * interpreter ended with it; SUP_TIMEOUT, SUP_CANCELLED, SUP_OUTPUT_LIMIT: it was interrupted, and killed if it did
 * not stop: lost_state says which. CPU: the session's over the call; peak memory: the session's so
 * far. What an interpreter printed after its last call comes first in the output of its next call. */
#define SUP_MAX_RICH_BYTES ((size_t)16 << 20)	/* of a line */
#define SUP_MAX_RICH_CALL_BYTES ((size_t)32 << 20) /* of a call */
#define SUP_MAX_WAITING_INPUT ((size_t)16 << 20)	/* of a run, and less where others' wait */
#define SUP_MAX_WAITING_INPUT_ALL ((size_t)64 << 20)

/* One captured stream. Bytes [0, head.n) and the last tail_n bytes; between them
 * total - head.n - tail_n bytes are gone. */
struct sup_stream {
	struct buf head;
	char *tail;		/* ring of SUP_TAIL_BYTES, or NULL */
	size_t tail_at, tail_n;	/* write offset, bytes held */
	uint64_t total;		/* bytes the program wrote */
};
/* Appends head, then tail in order, to b (no marker between); returns the bytes left out. */
uint64_t sup_stream_text(const struct sup_stream *s, struct buf *head, struct buf *tail);

/* --- the front's side ------------------------------------------------------------------------ */
struct sup_client;
struct sup_run;

/* What a call has changed in its session's workspace; see GUEST_CHANGES (sandbox/guest/guest.h). */
struct sup_changes {
	bool known;		/* false: it could not be found out, or the session has ended */
	bool more;		/* there may be others than those found */
	uint32_t total;		/* found; rows may hold fewer */
	struct sv rows;		/* as of guest_next_change: hostile bytes */
};

struct sup_answer {
	const struct err *err;			/* set: there was no run, or it was lost */
	const struct sup_result *result;	/* valid when err is NULL */
	const struct sup_changes *changes;	/* of a run in a session; else NULL */
	const struct sup_stream *out, *errs;
	const struct sup_stream *compile;	/* of the compiler, both of its streams; empty where there was none */
};

struct sup_run_opts {
	enum pol_tool tool;
	struct sv credential;		/* forwarded; the keeper resolves the principal: see below */
	struct sv language;
	bool has_timeout;
	int64_t timeout_ms;
	bool has_argv;
	int code_fd, input_fd, stdin_fd;	/* sealed memfds or -1; taken over in every case */
	/* "": a sandbox of its own. Else: the language's interpreter there (run_code; run_command without
	 * argv: bash's), or a program of its own in that sandbox (argv; languages without a driver). Calls
	 * of one interpreter run one after another, in the order they came. */
	struct sv session_id;
	bool open_stdin;		/* it stays open: sup_client_input; stdin_fd, if there, comes first */
	/* In a throwaway session: when the run has ended all else that runs there is killed, and the workspace stays.
	 * changes tells all of its files then. */
	bool keep_files;
	/* Called once, later, never from within sup_client_run. After it the run is freed, or, with on_recorded and
	 * without an error, after that. */
	void (*on_done)(void *arg, const struct sup_answer *a);
	/* The outcome is in the record, so that the answer may be told: it is to be made before, in on_done. NULL:
	 * on_done waits for that. */
	void (*on_recorded)(void *arg);
	/* The run has its id: it starts, or waits for its turn. Once; not for one that is refused before
	 * that. May be NULL. */
	void (*on_accepted)(void *arg, struct sv run_id);
	/* Output arrived: total bytes of both streams so far. May be NULL. */
	void (*on_output)(void *arg, uint64_t total_bytes);
	/* Every byte of stream 1 or 2 as it comes, up to the output ceiling and not past it; before
	 * on_output. May be NULL. */
	void (*on_bytes)(void *arg, int stream, struct sv bytes);
	/* A line of the driver without its newline: meant to be JSON text, hostile bytes. May be NULL. */
	void (*on_rich)(void *arg, struct sv line);
	void *arg;
};

/* Takes over sock (the keeper's socket). on_lost is called once if the keeper goes away; every
 * run in flight has been answered with ERR_LOST by then. */
struct sup_client *sup_client_new(struct loop *l, int sock, void (*on_lost)(void *arg),
				  void *arg, struct err *e);
void sup_client_free(struct sup_client *c);
/* NULL on error, e says why. */
struct sup_run *sup_client_run(struct sup_client *c, const struct sup_run_opts *o,
			       struct err *e);
/* A call in an interpreter is interrupted first, and killed if it does not stop within 2 s. */
void sup_client_cancel(struct sup_run *r);
void sup_client_interrupt(struct sup_run *r); /* the same, by the name of what is meant */
/* Writes to the run's standard input, in order; eof closes it. -1: it is not open (ERR_INVALID), or more than
 * may wait would wait (ERR_BUSY). What the program does not read is lost with its end. */
int sup_client_input(struct sup_run *r, struct sv bytes, bool eof, struct err *e);
/* The same, and none of its callbacks is called any more: arg may go. Not from within on_done. */
void sup_client_abandon(struct sup_run *r);
unsigned sup_client_active(const struct sup_client *c);	/* runs not yet answered */

/* Each question calls back once, later, never from within; exactly one of rows (or d) and e is not
 * NULL. NULL at once: e says why. */
struct sup_ask;
struct sup_session_opts {
	struct sv credential, language;	/* "": any of those with a driver, and all others as programs */
	struct sup_session_limits limits;
	/* For one run and the files it leaves: in no list, and taken by the first run in it alone. It is ended by its
	 * limits, by sup_client_session_drop, or to make room for another session. */
	bool throwaway;
};
typedef void sup_session_fn(void *arg, const struct sup_session_info *rows, unsigned n,
			    const struct err *e);
/* n is 1. The sandbox stands when it calls back; no interpreter yet. */
struct sup_ask *sup_client_session_open(struct sup_client *c, const struct sup_session_opts *o,
					sup_session_fn *fn, void *arg, struct err *e);
/* n is 1: what it was. Calls in it end as cancelled. ERR_NOT_FOUND: none, or another's. */
struct sup_ask *sup_client_session_close(struct sup_client *c, struct sv credential, struct sv id,
					 sup_session_fn *fn, void *arg, struct err *e);
/* All of the caller's, oldest first; n may be 0. */
struct sup_ask *sup_client_session_list(struct sup_client *c, struct sv credential,
					sup_session_fn *fn, void *arg, struct err *e);
/* A throwaway session is not needed any more. Nothing is answered: it may have ended before. */
void sup_client_session_drop(struct sup_client *c, struct sv id);
void sup_client_ask_cancel(struct sup_ask *q); /* fn will not be called; what was asked for may happen all the same */

/* --- files of a session's workspace --- */
/* paths: relative to /workspace, as of guest_path_ok. Symbolic links are never followed, nothing but regular
 * files is opened. */
enum sup_file_op { SUP_FILE_LIST, SUP_FILE_READ, SUP_FILE_WRITE, SUP_FILE_DELETE, SUP_FILE_OP_COUNT };
struct sup_file_opts {
	enum sup_file_op op;
	struct sv credential, session_id, path;
	uint32_t max_rows;	/* LIST */
	bool keep;		/* WRITE: what is there stays; then e->sys is EEXIST */
	uint64_t min_bytes, max_bytes;	/* WRITE: more or fewer, and nothing has changed */
	int data_fd;		/* WRITE: a memfd or pipe, read to its end; taken over in every case; else -1 */
};
struct sup_file_done {
	bool is_dir, more;	/* what is there, or was; LIST: there is more than was listed */
	uint64_t size;		/* of the file; LIST: of the list */
	int64_t mtime_ns;
	/* READ: a regular file on tmpfs, read-only, checked by the keeper; it can still change and shrink:
	 * read(2) only, never mmap. LIST: a sealed memfd of rows as of guest_next_row. The callback's, to
	 * close. Else -1. */
	int fd;
};
/* e->sys is the error's number, where the workspace said no: ENOENT, ELOOP, EISDIR, EEXIST, ... */
typedef void sup_file_fn(void *arg, const struct sup_file_done *d, const struct err *e);
struct sup_ask *sup_client_file(struct sup_client *c, const struct sup_file_opts *o,
				sup_file_fn *fn, void *arg, struct err *e);
/* It is not to happen: as sup_client_ask_cancel, and what is under way is ended; unless it was done before,
 * nothing has changed then. hold_fd (or -1) is taken over and closed after that: the write end of a pipe
 * that has not brought all must stay open so long, or its end would be taken for the content's. */
void sup_client_file_stop(struct sup_ask *q, int hold_fd);
/* Called for every session that has ended, whoever's it was; what is open of its files is to be
 * closed, or their memory stays. */
void sup_client_on_session_gone(struct sup_client *c, void (*on_gone)(void *arg, struct sv session_id),
				void *arg);

/* --- who is calling --------------------------------------------------------------------------- */
/* A credential is a word, a blank and bytes, at most SUP_MAX_CREDENTIAL in all:
 *	""		the process that started this one (stdio, run, doctor)
 *	"bearer TOKEN"	an API key (fh_...) or a JWT
 *	"cert DER"	a client certificate whose possession TLS has proven to the front
 *	"none"		nobody asked: only where the keeper was told so (--insecure-no-auth)
 * The front passes it on as it came and asserts nothing. The keeper resolves it for every run by
 * itself; this is for all else the front answers (lists, resources, 401).
 *
 * API keys are looked up by the ledger, each time: a revoked one is refused at once. Tokens and
 * certificates are checked by the auth role (mcp/auth); a yes is believed for at most 60 s. */
#define SUP_MAX_CREDENTIAL 8192
#define SUP_PRINCIPAL_SIZE 128
struct sup_identity {
	char principal[SUP_PRINCIPAL_SIZE];	/* "key:ci", "oauth:ISSUER#SUB", "cert:CN", "local:0", "anonymous" */
	uint64_t expires_us;		/* CLOCK_REALTIME; 0: does not */
};
/* Called once, later, never from within sup_client_auth. Exactly one of id and e is
 * set: ERR_UNAUTHENTICATED (no or a bad credential: 401), ERR_INVALID (malformed: 400), ERR_FORBIDDEN
 * (scope: 403), else 503. */
typedef void sup_auth_fn(void *arg, const struct sup_identity *id, const struct err *e);
struct sup_auth;
/* The credential is copied. NULL on error (too long: ERR_INVALID), e says why. */
struct sup_auth *sup_client_auth(struct sup_client *c, struct sv credential, sup_auth_fn *on_done, void *arg,
				 struct err *e);
void sup_client_auth_cancel(struct sup_auth *a);	/* on_done will not be called */

/* The packages every sandbox of this server has beside the host's (mcp/image.h). */
#define SUP_IMAGE_NAME_SIZE 65
struct sup_image {
	char name[SUP_IMAGE_NAME_SIZE];	/* "": there is none */
	char sha256[65];		/* hex; "" of one that is not finished */
	char packages[3072];		/* a line each: "python pandas 3.1.1" */
	uint32_t count;			/* packages in all */
	bool cut;			/* not all are in `packages` */
};

/* What the keeper found at start: answered from the READY record, so synchronous. */
struct sup_info {
	struct pol_host host;
	struct pol_limits limits;	/* the defaults in force */
	uint32_t max_wall_ms, max_runs, max_queue, max_sessions;
	char cgroup[16];		/* "v1", "v2", "none" */
	char bwrap_version[32];
	char bwrap_path[256];
	uint32_t landlock_abi;		/* 0: none */
	bool root;			/* keeper runs as root: one host uid per sandbox */
	char degraded[512];		/* what is missing, "; "-separated; "" when nothing is */
	struct sup_image image;
};
/* NULL until the keeper said it is ready. */
const struct sup_info *sup_client_info(const struct sup_client *c);
/* Called once when the info is there (at once if it already is). */
void sup_client_on_ready(struct sup_client *c, void (*cb)(void *arg), void *arg);

/* The bundle of args, env and files that goes to the guest as `input` (sealed memfd). Entries are
 * {u8 kind, u32 path/name bytes, u64 data bytes, name, data}; see sandbox/guest/guest.h. */
int sup_input_arg(struct buf *b, struct sv value, struct err *e);
int sup_input_env(struct buf *b, struct sv name, struct sv value, struct err *e);
int sup_input_file(struct buf *b, struct sv path, struct sv content, struct err *e);
int sup_input_cwd(struct buf *b, struct sv path, struct err *e);

/* --- the line from the keeper to the auth role --------------------------------------------------- */
/* Records; id is the keeper's number, echoed. The answers may come in any order. */
enum sup_check_type {
	SUP_CHECK_TOKEN = 400,	/* sv: a JWT */
	SUP_CHECK_CERT,		/* sv: a certificate, DER */
	SUP_CHECKED,		/* struct sup_check */
	SUP_CHECKER_UP,		/* the role's first record: it has its keys and is confined */
};
/* The verdict: id is set, or code is not ERR_NONE and the reason is for the log alone. */
struct sup_check {
	enum err_code code;	/* ERR_UNAUTHENTICATED, ERR_FORBIDDEN, ERR_UNAVAILABLE */
	struct sup_identity id;
	char reason[160];
};
void sup_put_check(struct ipc_msg *m, const struct sup_check *c);
int sup_get_check(struct ipc_msg *m, struct sup_check *ret);	/* 0, or -1 ill-formed */

/* --- the keeper ------------------------------------------------------------------------------ */
/* Which credentials are taken; all others are refused. */
enum sup_auth_mode {
	SUP_AUTH_LOCAL = 1,	/* "": principal "local:UID" */
	SUP_AUTH_NONE = 2,	/* "none": "anonymous"; an audit event says so at start */
	SUP_AUTH_KEYS = 4,	/* "bearer fh_...": "key:NAME" */
	SUP_AUTH_OAUTH = 8,	/* "bearer JWT": needs auth_sock */
	SUP_AUTH_CERT = 16,	/* "cert DER": needs auth_sock */
};
struct sup_keeper_opts {
	int front_sock, ledger_sock;	/* taken over */
	int auth_sock;			/* to the auth role, taken over; -1: there is none */
	unsigned auth_modes;		/* enum sup_auth_mode, or-ed; 0: nobody is let in */
	const char *bwrap_path;		/* NULL: look in the usual places */
	uint32_t uid_base, uid_count;	/* host uids for sandboxes when root */
	/* Of all callers. Where callers are told apart no one of them gets all slots, nor the whole
	 * queue, and whoever has fewest slots is next. */
	uint32_t max_runs, max_queue;
	/* Of all callers. 0: SUP_MAX_SESSIONS, fewer where descriptors or uids are short; for another number
	 * they must do. Where callers are told apart no one of them has more than a quarter; a single one has
	 * all of them. */
	uint32_t max_sessions;
	/* Of all callers: cells that wait for one-shot runs (stock.h). 0: each starts anew */
	uint32_t warm_cells;
	const struct sup_image *image;	/* borrowed for as long as it runs; NULL: none */
	int image_dir;			/* with an image: its folder, borrowed */
};
#define SUP_MAX_SESSIONS 64
/* Throwaway sessions that stay for their files: of one principal, of all. Beyond that, and where another session needs the
 * place, the oldest goes: the principal's own, or of whoever has most. */
#define SUP_MAX_KEPT_EACH 8
#define SUP_MAX_KEPT 24
/* Runs until the front, the ledger or the auth role has gone; returns the process' exit code. */
int sup_keeper_main(const struct sup_keeper_opts *o);

#endif
