/* keeper.h: the keeper's state, shared by keeper.c (connections), tell.c (what is said to the front),
 * request.c (a request becomes a run), share.c (whose turn it is), run.c (one run's life), calls.c (that
 * of a run in a session), session.c and sessions.c (one session's life; all of them), asks.c (questions about sessions), files.c (about
 * files in them), file_notes.c (their record), changes.c (what calls do to files) and hear.c (guests that stay).
 *
 * A run's life, and what it waits for:
 *
 *	QUEUED --slot, or cancel--> RECORDING --ledger ack--> STARTING --GUEST_STARTED--> RUNNING
 *	                                |  |                      |                          |
 *	                                |  | cancelled            `--failed, deadline,       | ended, deadline,
 *	                   nak: refused |  `--------.                cancel ------.          | cancel, output,
 *	                                v           v                             v          v oom
 *	                             (free) <--- CLOSING <---------gone--------- ENDING <----'
 *	                                  ack or nak
 *
 * Before QUEUED who asks must be known; that may take a look-up (auth.c), and a request that waits for
 * it is no run yet. A run that must wait for a slot has its id told to the front at once, so it is
 * recorded however it ends, also when it never starts.
 *
 * ENDING kills step by step until nothing of the sandbox is left; only then are the cgroup's
 * counters read for the verdict, so they are complete.
 *
 * A run in a session, a *call*, goes through the same states, but the sandbox is the session's: it may have a
 * slot when its interpreter has none before it, STARTING waits for GUEST_CALL_STARTED, and ENDING for
 * the guest's word that the code has stopped: interrupt, kill, end of the session. One of a language that is
 * compiled goes from RUNNING to STARTING once, when the compiler has ended well. A session's own life:
 *
 *	RECORDING --ledger ack--> STARTING --GUEST_OPENED--> OPEN
 *	    |                        | failed                  | closed, too old, idle, its guest has gone
 *	    nak: refused             `--------> ENDING <-------'
 *	                                          | nothing is left: its calls end, then
 *	                                          v
 *	                                       CLOSING --ack or nak--> (free)
 */
#ifndef SANDBOX_SUPERVISE_KEEPER_H
#define SANDBOX_SUPERVISE_KEEPER_H

#include "sandbox/guest/guest.h"
#include "sandbox/launch/launch.h"
#include "sandbox/supervise/verdict.h"
#include "sandbox/supervise/wire.h"

enum run_state { RUN_QUEUED, RUN_RECORDING, RUN_STARTING, RUN_RUNNING, RUN_ENDING, RUN_CLOSING,
		 RUN_STATE_COUNT };

enum run_event {
	EV_SLOT,	/* it is this run's turn */
	EV_RECORDED,	/* the ledger has written what was sent */
	EV_NOT_RECORDED,
	EV_STARTED,	/* from the guest */
	EV_ENDED,
	EV_FAILED,
	EV_GUEST_GONE,
	EV_DEADLINE,	/* the run's timer */
	EV_STOP,	/* from the front: cancel or output ceiling */
	EV_OOM,		/* the cgroup killed something */
	EV_GONE,	/* nothing of the sandbox is left */
	EV_COUNT
};

struct keeper;

/* What one principal has here; share.c. */
struct share {
	struct share *next;
	char principal[SUP_PRINCIPAL_SIZE]; /* "" when it could not be told */
	unsigned busy, waiting;		/* its part of the keeper's */
	uint64_t served;		/* the turn its last run got a slot in; 0: none yet */
};

struct session;

/* The ends of a program's pipes; -1: not there. */
struct pipes {
	int from[3], to[3];	/* out, err, rich or the compiler's */
	int in_from, in_to;	/* an open stdin */
};

struct run {
	struct keeper *k;
	struct run *next;
	struct share *share;		/* counted there: under busy with a slot, else under waiting */
	bool has_slot;
	enum run_state state;
	uint64_t id;			/* the front's number */
	struct plan *plan;		/* owned storage */
	char run_id[SUP_RUN_ID_SIZE];
	unsigned char code_hash[32], input_hash[32], stdin_hash[32];
	uint64_t code_bytes, input_bytes, stdin_bytes;
	int code_fd, input_fd, stdin_fd;	/* owned */
	struct launch_sandbox sandbox;
	int workspace_fd, program_pidfd; /* owned; from the guest */
	bool open_stdin;
	int stdin_to;			/* owned; the write end, so that it does not end before it is opened */
	struct loop_io ctl_io, child_io, oom_io;
	struct loop_timer timer;	/* deadline, then the kill ladder */
	bool oom_seen;			/* the cgroup said so, whatever its counter shows */
	bool child_ended;		/* bwrap has: what is left is polled for */
	uint64_t launched_us, started_us, ended_us;
	struct verdict_evidence evidence;
	struct err failure;		/* set: there is no verdict but an error */
	struct sup_result result;
	/* A call's, calls.c. */
	bool is_call;
	struct session *session;	/* NULL: it is no more */
	uint32_t slot;			/* GUEST_NO_SLOT: a program of its own */
	bool told;			/* the front has its start */
	bool changes_due;		/* the guest will say what it has changed */
	bool recorded;			/* its outcome */
	bool ended_told;		/* the front has the result */
	bool keep_files;		/* it is the last of a throwaway session that stays for its files */
	bool compiling;			/* in the first of two steps, or before it */
	bool begun;			/* the program of this step has started */
	enum { STEP_ASK, STEP_ASK_AGAIN, STEP_KILL } step; /* of the ladder */
	struct pipes pipes;		/* the front's ends, until it is told */
	struct cell *cell;		/* stock.h; NULL: it has a sandbox of its own, or a session's */
	struct launch_usage before;
};

enum session_state { SES_RECORDING, SES_STARTING, SES_OPEN, SES_ENDING, SES_CLOSING, SES_STATE_COUNT };

enum session_event {
	SEV_RECORDED,
	SEV_NOT_RECORDED,
	SEV_OPENED,	/* from the guest */
	SEV_FAILED,
	SEV_GUEST_GONE,
	SEV_TIMER,
	SEV_END,	/* `end` and `reason` say why */
	SEV_GONE,	/* nothing of the sandbox is left */
	SEV_COUNT
};

struct ask;

struct session {
	struct keeper *k;
	struct session *next;
	enum session_state state;
	uint64_t number;		/* the ledger's, with WIRE_ID_BIT */
	char id[SUP_SESSION_ID_SIZE];
	struct plan *plan;		/* owned storage */
	struct ask *ask;		/* who waits for it to open, or to be closed; owned */
	struct launch_sandbox sandbox;
	int workspace_fd;		/* owned; from the guest, a folder on tmpfs; -1 from SES_ENDING on */
	bool disk_is_full;		/* then; until then the descriptor tells */
	dev_t workspace_dev;
	struct loop_io ctl_io, child_io;
	struct loop_timer timer;	/* start, then its age and idleness, then the kill ladder */
	bool launched, was_open, child_ended;
	bool throwaway, taken;		/* for one run; it has had it */
	uint64_t kept;			/* that has ended, and left files; the how manyth to do so, 0: it has not */
	bool counted;			/* the counters of its cgroup were read for the last time */
	enum sup_session_end end;
	const char *reason;		/* NULL: it has none to end; for the ledger */
	struct err failure;		/* why it did not start */
	uint64_t created_us, opened_us, used_us, ended_us; /* the first CLOCK_REALTIME, all others monotonic */
	uint32_t calls, file_ops;	/* so far; under way */
	unsigned char last_read[32];	/* hash of the path */
	struct {
		bool alive;		/* its interpreter runs, for all that is known */
		bool used, lost;	/* code has run in it; one that was has ended, which nobody has been told */
		int pidfd;		/* owned; from the guest */
		struct run *run;	/* has it now */
		uint64_t unread;	/* the front's number of the call before, until it has read all of its output */
	} slot[GUEST_SLOTS];
};

/* A question of the front about sessions, from its arrival to its answer. */
struct ask {
	struct keeper *k;
	struct ask *next;
	uint64_t id;			/* the front's number */
	uint32_t type;			/* SUP_ASK_* */
	char principal[SUP_PRINCIPAL_SIZE]; /* "" until known */
	struct sup_session_limits limits; /* OPEN */
	char language[64];
	char session_id[SUP_SESSION_ID_SIZE];
	bool throwaway;			/* OPEN */
	struct session *session;	/* FILE: waits, or is under way there */
	bool sent, killed;
	struct loop_timer timer;
	enum sup_file_op op;
	uint32_t max_rows;
	bool keep;
	uint64_t min_bytes, max_bytes;
	int data_fd;			/* owned */
	bool hashed;			/* what is written, before it goes */
	unsigned char hash[32];
	size_t path_n;
	char path[];
};

/* How much of something may happen: `burst` at once, then `per_s` a second. */
struct ration {
	unsigned burst, per_s;
	uint64_t left_us, at_us;	/* unused so far, counted in time; when */
	unsigned denied;		/* since it was last granted */
};

#define AUTH_CACHE 256
struct auth_ask;
struct auth {
	unsigned modes;			/* enum sup_auth_mode */
	int sock;			/* to the auth role; owned, -1: none */
	struct loop_io io;
	struct loop_timer timer;	/* for answers that do not come */
	struct auth_ask *asks;		/* oldest first */
	unsigned nasks, runs;		/* of them requests for runs */
	unsigned in_flight[2];		/* by enum auth_how */
	uint64_t next_id;
	bool gone;			/* the auth role has ended */
	struct ration records, logs;
	unsigned char cache_key[32];
	struct {
		unsigned char digest[32];	/* of the credential, keyed */
		struct sup_identity id;
		uint64_t until_us;		/* CLOCK_MONOTONIC */
	} cache[AUTH_CACHE];
};

struct keeper {
	struct loop loop;
	struct launch_host *host;
	const struct sup_image *image;	/* borrowed; NULL: none */
	struct auth auth;
	int front, ledger;		/* owned */
	struct loop_io front_io, ledger_io, signal_io;
	struct untold *untold;		/* what the front has not taken yet, oldest first; tell.c */
	unsigned nuntold;
	struct unwritten *unwritten, *last_unwritten; /* what the ledger has not taken yet, oldest first; ledger_line.c */
	struct loop_timer untold_timer;	/* armed: the kernel, not the front, holds the first of it up */
	struct run *runs;		/* oldest first */
	unsigned busy, waiting;		/* runs with a slot: a sandbox, or about to have one; all others */
	uint32_t max_runs, max_queue, max_sessions;
	struct session *sessions;	/* oldest first */
	unsigned nsessions;
	uint64_t session_numbers, kept_numbers;
	struct ask *asks;		/* oldest first */
	unsigned nasks;
	struct ration refusals;		/* of sessions, that are recorded */
	struct share *shares;
	uint64_t turns;
	struct stock *stocks;		/* of warm sandboxes; stock.h */
	uint32_t warm_cells;		/* that may wait in them; 0: there are none */
	uint64_t stock_not_before_us;	/* one has just failed */
	bool front_gone, ledger_gone;
};

/* Takes the request over; answers SUP_REFUSED itself when it cannot be run, SUP_QUEUED when it has to
 * wait. who: NULL when that could not be told; why then says why not. */
void run_new(struct keeper *k, uint64_t id, const struct wire_run *w,
	     const struct sup_identity *who, const struct err *why);
void run_event(struct run *r, enum run_event ev);
void run_on_timer(struct loop_timer *t);
/* SUP_REFUSED; run_refuse frees the run. */
void run_tell_refused(struct keeper *k, uint64_t id, const struct err *e);
void run_refuse(struct run *r, const struct err *e);
struct run *run_find(struct keeper *k, uint64_t id);
/* For calls.c, which has a table of its own. */
typedef void run_action(struct run *r);
run_action *call_action(enum run_state s, enum run_event ev);
void run_record(struct run *r);		/* with its slot */
void run_write_intent(struct run *r);	/* without one: it will not run */
void run_refuse_unrecorded(struct run *r);
/* The counters, while the cgroup is there; of a run with a cell, cells.c has read them. */
void run_gather(struct run *r);
void run_take_usage(struct run *r, const struct launch_usage *use);
void run_launch(struct run *r);		/* in a sandbox of its own */
/* The front gets the read ends of p, which are closed here. -1: it does not take them. */
int run_tell_start(struct run *r, struct pipes *p, struct err *e);
void run_close_books(struct run *r);
void run_tell_ended(struct run *r);	/* the result, which is not to be told yet */
void run_answer(struct run *r);		/* now it may be; frees r */
void run_outcome_unrecorded(struct run *r);
/* What the guest said went wrong; sys is hostile, stage is shown escaped. */
void run_not_run(struct run *r, struct sv stage, int sys);
/* The kernel's own word on how the program ended, where it gives it. */
void run_ask_kernel(struct run *r);
bool run_disk_is_full(int workspace_fd);
/* The last look at its workspace: before its sandbox, or its cell, is told to end, or has been. */
void run_leave_workspace(struct run *r);
uint64_t run_clamp(uint64_t v, uint64_t min, uint64_t max);
/* Starts what fits. */
void keeper_pump(struct keeper *k);
/* The front has gone, or must be treated as if it had. */
void keeper_end(struct keeper *k);

/* --- ledger_line.c ------------------------------------------------------------------------------ */
/* A record without descriptors. -1: it has gone, or there is no memory. */
int keeper_ask_ledger(struct keeper *k, struct ipc_msg *m);
void ledger_write_again(struct keeper *k);	/* there is room */
void ledger_write_finish(struct keeper *k);

/* --- hear.c: guests that stay ------------------------------------------------------------------- */
/* io->arg is whose guest it is; take: whether it may say that, and now. ret_type is written where it said something. */
typedef bool hear_take(void *whose, struct ipc_msg *m);
enum heard { HEARD_NOTHING, HEARD_GOOD, HEARD_BAD, HEARD_END };	/* END: nothing will come any more */
enum heard hear_record(const struct loop_io *io, hear_take *take, uint32_t *ret_type);
/* Reads until `read` says no, or io is no longer in the loop; one that floods does not keep the others waiting. */
void hear_turn(struct loop_io *io, bool (*read)(void *whose));

/* --- pipes.c ------------------------------------------------------------------------------------ */
/* n of them, and one for stdin. What programs get is theirs under any uid. */
int pipes_open(struct pipes *p, unsigned n, bool with_stdin, struct err *e);
void pipes_none(struct pipes *p);
void pipes_close_from(struct pipes *p);	/* what the front has, or nobody needs */
void pipes_close(struct pipes *p);

/* --- calls.c ------------------------------------------------------------------------------------ */
/* Where r will run: -1 when it cannot, e says why. */
int call_join(struct run *r, struct session *s, struct err *e);
/* Whether nothing stands before it; true for one that is no call. */
bool call_is_next(const struct run *r);
/* The session begins to end, or nothing of it is left. */
void call_session_ends(struct run *r);
void call_session_gone(struct run *r);
/* Reads the session's counters for it; for the last time before the sandbox is given up. */
void call_count(struct run *r);
void call_leave(struct run *r);		/* before it is freed */
/* A record of the guest about calls. False: it may not send that. */
bool call_record(struct session *s, struct ipc_msg *m);

/* --- changes.c ---------------------------------------------------------------------------------- */
/* Of a call in RUN_CLOSING; each may free it. */
void changes_recorded(struct run *r);	/* its outcome is */
void changes_lost(struct run *r);	/* the session ends */
void changes_timed_out(struct run *r);
bool changes_record(struct session *s, struct ipc_msg *m);

/* Its program has started, or will: the counters from here on are its. For compile.c, as the next. */
void call_begin_step(struct run *r);
/* What the guest said of its end stands in the evidence. */
void call_finish(struct run *r);
/* Idempotent; nothing of one that has failed. */
void call_tell_start(struct run *r);
/* compile.c: to the guest, with all pipes made; -1: r->failure says why not. */
int compile_send(struct run *r);
void compile_done(struct run *r);	/* the compiler has exited with 0 */
void compile_fill(struct run *r);	/* how long it took, in the result, for any run */

/* --- session.c, sessions.c ---------------------------------------------------------------------------------- */
void ses_open(struct keeper *k, struct ask *a);	/* takes a over */
void ses_event(struct session *s, enum session_event ev);
void ses_end(struct session *s, enum sup_session_end end, const char *reason);
void ses_end_all(struct keeper *k, const char *reason);
/* The principal's own that is open; NULL: there is none, or it is another's. */
struct session *ses_find(struct keeper *k, const char *principal, const char *id);
struct session *ses_by_number(struct keeper *k, uint64_t number);
/* Its run has ended, and it stays for what that left. */
void ses_keep(struct session *s);
void ses_read(struct keeper *k, uint64_t id); /* SUP_READ */
void ses_drop(struct keeper *k, const char *id); /* the throwaway of that name, if there is one */
/* Has it room for another? -1: e says why not. */
int ses_may_open(struct keeper *k, const char *principal, struct err *e);
bool ses_is_busy(const struct session *s); /* something is under way there */
void ses_used(struct session *s);	/* something was asked of it, or has ended there */
int ses_send(struct session *s, struct ipc_msg *m, struct err *e);
void ses_info(const struct session *s, struct sup_session_info *ret);
/* GUEST_INTERRUPT, GUEST_KILL; -1: the guest does not listen. */
int ses_signal(struct session *s, enum guest_type type, uint64_t id, uint32_t slot);
/* Interpreters that stay have a slot each; GUEST_NO_SLOT: it has none. */
uint32_t ses_slot(const struct pol_runtime *rt);

/* --- asks.c, files.c ------------------------------------------------------------------------------ */
/* A question has come. Takes w's fd over. */
void ask_new(struct keeper *k, uint64_t id, uint32_t type, const struct wire_ask *w);
/* Who asks is known, or (NULL) not, and why says why not. */
void ask_known(struct ask *a, const struct sup_identity *who, const struct err *why);
bool ask_has(const struct keeper *k, uint64_t id);
void ask_refuse(struct ask *a, const struct err *e);	/* both free it */
void ask_answer_row(struct ask *a, const struct session *s);
void ask_free(struct ask *a);
void ask_not_found(struct err *e);
void file_ask(struct ask *a);
void file_stop(struct keeper *k, uint64_t id); /* the front's number; it may have been answered */
bool file_record(struct session *s, struct ipc_msg *m);
void files_session_ends(struct session *s);
/* file_notes.c: the record of what was done to files. */
void file_hash(struct ask *a);		/* while its data is there */
void file_note(const struct ask *a, uint64_t size); /* it has been done */

/* --- tell.c ----------------------------------------------------------------------------------- */
/* Sends to the front: 0, or -1 when it has gone. What it does not take at once is kept for it; until it
 * has taken all of that nothing more is read from it, so what is kept is bounded by what it has asked
 * for already. */
int keeper_tell(struct keeper *k, struct ipc_msg *m);
bool tell_waits(const struct keeper *k); /* for room in the front's socket: nothing is read from it */
void tell_again(struct keeper *k);	/* that has room */
void tell_finish(struct keeper *k);	/* drops what is left */

/* --- share.c: no principal may have all slots or all of the queue ------------------------------ */
/* Counts a new run under waiting; -1: no memory. */
int share_join(struct run *r, const char *principal);
void share_leave(struct run *r);	/* also one that never joined */
/* Whether a run of its principal may have a slot now, or else may wait for one. */
bool share_may_start(const struct run *r);
bool share_may_wait(const struct run *r);
void share_take_slot(struct run *r);
/* The queued run whose turn it is; NULL: none may start. */
struct run *share_next(const struct keeper *k);

/* --- auth.c ----------------------------------------------------------------------------------- */
void auth_init(struct auth *a, int sock, unsigned modes);
int auth_open(struct keeper *k, struct err *e);	/* the loop is there */
void auth_finish(struct keeper *k);
/* A request for a run: becomes one (run_new) when it is known whose it is. Takes its fds over. */
void auth_run(struct keeper *k, uint64_t id, const struct wire_run *w);
/* SUP_AUTH. */
void auth_identify(struct keeper *k, uint64_t id, struct sv credential);
/* A question; its fields are there already. */
void auth_ask(struct keeper *k, struct ask *x, struct sv credential);
/* Is such a request waiting? Its id is the front's. */
bool auth_has(const struct keeper *k, uint64_t id, bool run);
/* SUP_STOP for a run that is none yet: answered. */
void auth_stop(struct keeper *k, uint64_t id);
void auth_on_key(struct keeper *k, struct ipc_msg *m);	/* LED_KEY_FOUND */
void auth_drop_all(struct keeper *k);
/* ration.c: one less of the ration; false: there is none left, r->denied counts. */
bool ration_take(struct ration *r);

#endif
