/* inside.h: what the files of the guest share; see guest.h for the room as a whole. */
#ifndef SANDBOX_GUEST_INSIDE_H
#define SANDBOX_GUEST_INSIDE_H

#include "sandbox/guest/guest.h"

#include <linux/filter.h>
#include <sys/types.h>

/* Where something failed, for GUEST_FAILED; the text is a literal. */
struct failure {
	char stage[48];
	int sys;
};

struct room {
	pid_t pid;	/* in the guest's pid namespace */
	int pidfd;	/* owned */
	bool own_users;	/* it has a user namespace of its own, which who enters it enters too */
};

enum room_kind { ROOM_ONE_RUN, ROOM_STANDING };	/* the latter has GUEST_RUN_DIR too */
#define GUEST_RUN_DIR_BYTES ((uint64_t)64 << 20)

struct room_plan {
	const struct guest_run *limits;	/* borrowed for the call */
	enum room_kind kind;
	uint32_t uid;	/* the owner of /workspace; GUEST_OWN_UID: the guest's */
	/* A user namespace of its own, with the guest's uid and no other, and none beneath it. Rooms of one user are kept apart by
	 * that: what the kernel counts for each user it counts for each room then, and a process of one has no power over another's. */
	bool own_users;
};
/* Makes a room; it stands when room_ready says so, which waits for ready_fd, to be closed by the caller.
 * -1 with errno. Must: run with CAP_SYS_ADMIN, CAP_NET_ADMIN in the guest's user namespace. Must not: leave
 * the room's init with any capability. */
int room_begin(const struct room_plan *p, struct room *ret, int *ret_ready_fd);
int room_ready(int ready_fd, struct failure *f);	/* -1: it does not, and is to be ended */
/* Both. */
int room_start(const struct guest_run *r, enum room_kind kind, struct room *ret,
	       struct failure *f);
/* The room's /workspace; before any program runs in it. -1 with errno. */
int room_workspace(const struct room *room);
/* Its mounts, as a descriptor. Who closes the last one waits for the kernel to take them down, with all that is in them: that is
 * to be nobody whose end is waited for. -1 with errno. */
int room_mounts(const struct room *room);
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
/* What every forked child of the guest does first, but for leaving its descriptors: confine_enter, and
 * default signals. -1 with errno. */
int payload_enter(const struct room *room);

/* Confinement of the calling process, in this order (confine.c, which is linked into cell.so too). */
int confine_enter(const struct room *room);	/* the room, but for its processes; as a session leader */
int confine_stack(void);	/* of confine_limits what an interpreter reads when it starts */
/* Rlimits, bounding set, oom score. Where processes are limited by their user's number, this many of ours are among them. */
int confine_limits(const struct guest_run *r, uint32_t ours);
#define CONFINE_OURS 2	/* guest and room's init; in a cell's room the latter alone, but a program finds the same number */
#define CONFINE_OURS_STANDING 3	/* and whom the guest forks for files */
int confine_privileges(void);			/* no capability in any set, no_new_privs */
/* Landlock: file allowlist and scopes; `more` is one further folder to write, or NULL */
int confine_files(const char *more);
int confine_calls(int filter_fd);		/* seccomp; last */
/* Its two halves, for many processes with one filter: what was read stays mapped. */
int confine_read(int filter_fd, struct sock_fprog *ret);
int confine_calls_by(const struct sock_fprog *prog);

/* Telling the keeper (tell.c); one that does not listen any more is the end of the guest. A zygote tells
 * the guest by the same number of descriptor. */
void tell(struct ipc_msg *m);
void tell_failed(uint64_t id, const struct failure *f);
void tell_word(enum guest_type type, uint64_t id, const struct guest_word *w);
uint64_t guest_now_us(void);
/* Fills f; the text is a literal. */
void failure_set(struct failure *f, const char *stage, int sys);

/* The doctor's checks, run in place of a program: prints "name held|open detail" lines. */
int probe_main(void);

#endif
