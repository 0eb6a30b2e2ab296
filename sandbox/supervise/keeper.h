/* keeper.h: the keeper's state, shared by keeper.c (connections) and run.c (one run's life).
 *
 * A run's life, and what it waits for:
 *
 *	QUEUED --slot--> RECORDING --ledger ack--> STARTING --GUEST_STARTED--> RUNNING
 *	                     |                         |                          |
 *	                     | nak: refused            `--failed, deadline,       | ended, deadline,
 *	                     v                            cancel ------.          | cancel, output, oom
 *	                   (free)                                      v          v
 *	                   (free) <--ack or nak-- CLOSING <--gone-- ENDING <------'
 *
 * Before QUEUED who asks must be known; that may take a look-up (auth.c), and a request that waits for
 * it is no run yet.
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
struct run {
	struct keeper *k;
	struct run *next;
	enum run_state state;
	uint64_t id;			/* the front's number */
	struct plan *plan;		/* owned storage */
	char run_id[SUP_RUN_ID_SIZE];
	char principal[SUP_PRINCIPAL_SIZE]; /* "" when it could not be told */
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
	struct run *runs;		/* oldest first */
	unsigned busy, waiting;		/* runs with a sandbox or about to have one; queued ones */
	uint32_t max_runs, max_queue;
	bool front_gone, ledger_gone;
};

/* Takes the request over; answers SUP_REFUSED itself when it cannot be run. who: NULL when that
 * could not be told; why then says why not. */
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
/* Sends to the front: 0 or -1. A front that does not read has gone as far as the keeper cares. */
int keeper_tell(struct keeper *k, struct ipc_msg *m);
int keeper_ask_ledger(struct keeper *k, struct ipc_msg *m);	/* 0 or -1 */
/* The front has gone, or must be treated as if it had. */
void keeper_end(struct keeper *k);

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
