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

struct keeper {
	struct loop loop;
	struct launch_host *host;
	int front, ledger;		/* owned */
	struct loop_io front_io, ledger_io, signal_io;
	struct run *runs;		/* oldest first */
	unsigned busy, waiting;		/* runs with a sandbox or about to have one; queued ones */
	uint32_t max_runs, max_queue;
	bool front_gone, ledger_gone;
	char principal[64];
};

/* Takes the request over; answers SUP_REFUSED itself when it cannot be run. */
void run_new(struct keeper *k, uint64_t id, const struct wire_run *w);
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

#endif
