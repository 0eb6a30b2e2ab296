/* keeper.h: the keeper's state, shared by keeper.c (connections), tell.c (what is said to the front),
 * request.c (a request becomes a run), share.c (whose turn it is) and run.c (one run's life).
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
 * counters read for the verdict, so they are complete. */
#ifndef SANDBOX_SUPERVISE_KEEPER_H
#define SANDBOX_SUPERVISE_KEEPER_H

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
	struct loop_io ctl_io, child_io, oom_io;
	struct loop_timer timer;	/* deadline, then the kill ladder */
	bool oom_seen;			/* the cgroup said so, whatever its counter shows */
	bool child_ended;		/* bwrap has: what is left is polled for */
	uint64_t launched_us, started_us, ended_us;
	struct verdict_evidence evidence;
	struct err failure;		/* set: there is no verdict but an error */
	struct sup_result result;
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
	struct auth auth;
	int front, ledger;		/* owned */
	struct loop_io front_io, ledger_io, signal_io;
	struct untold *untold;		/* what the front has not taken yet, oldest first; tell.c */
	struct run *runs;		/* oldest first */
	unsigned busy, waiting;		/* runs with a slot: a sandbox, or about to have one; all others */
	uint32_t max_runs, max_queue;
	struct share *shares;
	uint64_t turns;
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
/* Starts what fits. */
void keeper_pump(struct keeper *k);
int keeper_ask_ledger(struct keeper *k, struct ipc_msg *m);	/* 0 or -1 */
/* The front has gone, or must be treated as if it had. */
void keeper_end(struct keeper *k);

/* --- tell.c ----------------------------------------------------------------------------------- */
/* Sends to the front: 0, or -1 when it has gone. What it does not take at once is kept for it; until it
 * has taken all of that nothing more is read from it, so what is kept is bounded by what it has asked
 * for already. */
int keeper_tell(struct keeper *k, struct ipc_msg *m);
void tell_again(struct keeper *k);	/* the front's socket has room */
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
/* Is such a request waiting? Its id is the front's. */
bool auth_has(const struct keeper *k, uint64_t id, bool run);
/* SUP_STOP for a run that is none yet: answered. */
void auth_stop(struct keeper *k, uint64_t id);
void auth_on_key(struct keeper *k, struct ipc_msg *m);	/* LED_KEY_FOUND */
void auth_drop_all(struct keeper *k);
/* ration.c: one less of the ration; false: there is none left, r->denied counts. */
bool ration_take(struct ration *r);

#endif
