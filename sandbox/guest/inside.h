/* inside.h: what the files of the guest share; see guest.h for the room as a whole. */
#ifndef SANDBOX_GUEST_INSIDE_H
#define SANDBOX_GUEST_INSIDE_H

#include "sandbox/guest/guest.h"

#include <sys/types.h>

/* Where something failed, for GUEST_FAILED; the text is a literal. */
struct failure {
	char stage[48];
	int sys;
};

struct room {
	pid_t pid;	/* in the guest's pid namespace */
	int pidfd;	/* owned */
};

enum room_kind { ROOM_ONE_RUN, ROOM_STANDING };	/* the latter has GUEST_RUN_DIR too */
#define GUEST_RUN_DIR_BYTES ((uint64_t)64 << 20)

/* Makes a room and waits until its mounts stand. Must: run with CAP_SYS_ADMIN, CAP_NET_ADMIN in
 * the guest's user namespace. Must not: leave the room's init with any capability. */
int room_start(const struct guest_run *r, enum room_kind kind, struct room *ret,
	       struct failure *f);
/* The room's /workspace; before any program runs in it. -1 with errno. */
int room_workspace(const struct room *room);
/* Kills everything in the room and reaps its init. */
void room_end(struct room *room);

/* The forked child's whole life: enter the room, unpack, confine, exec. Never returns. Writes a
 * struct failure to fail_fd if it cannot get as far as the program. */
_Noreturn void payload_main(const struct guest_run *r, const struct room *room, int fail_fd);

/* The same for a process of a session, in a room where hostile programs may already run: it gives up
 * every privilege before it touches a file. */
struct payload_call {
	const struct guest_call *call;	/* its run has the session's limits and filter */
	const struct room *room;
	int fail_fd;
	int log_fd;		/* of files_note_in, for what it unpacks */
	int line_fd;		/* becomes 3 of an interpreter with a driver */
};
_Noreturn void payload_call_main(const struct payload_call *p);
/* What every forked child of the guest does first, but for leaving its descriptors: enters the room as
 * a session leader with default signals. -1 with errno. */
int payload_enter(const struct room *room);

/* Confinement of the calling process, in this order (confine.c). */
int confine_limits(const struct guest_run *r);	/* rlimits, bounding set, oom score */
int confine_privileges(void);			/* no capability in any set, no_new_privs */
/* Landlock: file allowlist and scopes; `more` is one further folder to write, or NULL */
int confine_files(const char *more);
int confine_calls(int filter_fd);		/* seccomp; last */

/* The doctor's checks, run in place of a program: prints "name held|open detail" lines. */
int probe_main(void);

#endif
