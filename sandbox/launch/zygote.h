/* zygote.h: what zygote.c and cell.c share; see launch.h. */
#ifndef SANDBOX_LAUNCH_ZYGOTE_H
#define SANDBOX_LAUNCH_ZYGOTE_H

#include "sandbox/launch/host.h"

#define ZYGOTE_SPARES 8

/* One sandbox's cells. It lives as long as the sandbox or any of them. */
struct launch_zygote {
	struct pol_limits limits;	/* of each cell */
	bool own_uids;
	uint32_t uid_set;	/* which GUEST_CELLS of the host's uids, if so */
	uint64_t uids_taken;	/* bit i: its i-th */
	unsigned cells;
	struct launch_cgroup spare[ZYGOTE_SPARES];	/* owned; of cells that have gone */
	unsigned nspares;
	bool ended;		/* the sandbox has gone */
};
_Static_assert(GUEST_CELLS <= 64, "a bit for each cell");

/* Frees it if nothing needs it any more. */
void zygote_settle(struct launch_host *h, struct launch_zygote *z);

#endif
