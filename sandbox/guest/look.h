/* look.h: what has changed beneath a folder since it was last looked at; see GUEST_CHANGES in guest.h.
 *
 * To be called by a process without privileges, among hostile programs: what a look costs is bounded in rows, bytes and
 * time, and what could not be gone through is said to be more. */
#ifndef SANDBOX_GUEST_LOOK_H
#define SANDBOX_GUEST_LOOK_H

#include "sandbox/guest/guest.h"

#define LOOK_ROWS 10000
#define LOOK_ROWS_BYTES ((size_t)4 << 20)
#define LOOK_WALK_US ((uint64_t)1000000)
#define LOOK_HASH_US ((uint64_t)2000000)	/* of all files of a look; */
#define LOOK_ALL_HASH_US ((uint64_t)10000000)	/* of the last one of a session */
#define LOOK_HASH_FILE_BYTES ((uint64_t)100 << 20)

/* Descriptors are borrowed. */
struct look_opts {
	int root;		/* O_PATH will do */
	int base;		/* what the look before gave as such; -1: nothing was there */
	int log;		/* of files_note_in; -1: none */
	uint64_t log_from;	/* what stands before this in it is in the base */
	bool all;		/* GUEST_SAME is told too, and not left out for being in the log */
};
struct looked {
	uint32_t flags, total;	/* as of struct guest_changes, */
	int changes;		/* its fd: the caller's */
	int base;		/* a sealed memfd, the caller's; -1: nothing is there */
	uint64_t log_to;
};
int look_at(const struct look_opts *l, struct looked *ret);	/* -1 with errno */

#endif
