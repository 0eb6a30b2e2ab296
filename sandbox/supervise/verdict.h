/* verdict.h: evidence -> how a run ended. Pure. */
#ifndef SANDBOX_SUPERVISE_VERDICT_H
#define SANDBOX_SUPERVISE_VERDICT_H

#include "sandbox/supervise/supervise.h"

enum verdict_reason { VERDICT_NONE, VERDICT_DEADLINE, VERDICT_CANCEL, VERDICT_OUTPUT };

/* What the host saw itself, and one thing it was told: the wait status. */
struct verdict_evidence {
	enum verdict_reason reason;	/* why the keeper ended it, if it did */
	uint64_t oom_kills, pids_denied; /* the cgroup's counters */
	bool disk_full;			/* fstatfs of the workspace at the end */
	bool disk_was_full;		/* at its start: if it fails, that may have any cause */
	bool goes_on;			/* only the call has ended, its interpreter has not: then an OOM kill
					 * hit something else, and counts if the call failed */
	bool compiling;			/* all this is of the compiler; the program was not started */
	bool has_status;
	int wait_status;		/* from the program's real parent, as of wait(2) */
};

/* Sets status, exit code, signal and hits of *r, and compile where that was the last step. What was asked for (cancel) and what the
 * kernel counted come before the status the program left; without any of them the run is lost. */
void verdict_decide(const struct verdict_evidence *ev, struct sup_result *r);

#endif
