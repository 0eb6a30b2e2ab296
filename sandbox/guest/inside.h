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

/* Makes a room and waits until its mounts stand. Must: run with CAP_SYS_ADMIN, CAP_NET_ADMIN in
 * the guest's user namespace. Must not: leave the room's init with any capability. */
int room_start(const struct guest_run *r, struct room *ret, struct failure *f);
/* Kills everything in the room and reaps its init. */
void room_end(struct room *room);

/* The forked child's whole life: enter the room, unpack, confine, exec. Never returns. Writes a
 * struct failure to fail_fd if it cannot get as far as the program. */
_Noreturn void payload_main(const struct guest_run *r, const struct room *room, int fail_fd);

/* Confinement of the calling process, in this order (confine.c). */
int confine_limits(const struct guest_run *r);	/* rlimits, bounding set, oom score */
int confine_privileges(void);			/* no capability in any set, no_new_privs */
int confine_files(void);			/* Landlock: file allowlist and scopes */
int confine_calls(int filter_fd);		/* seccomp; last */

/* The doctor's checks, run in place of a program: prints "name held|open detail" lines. */
int probe_main(void);

#endif
