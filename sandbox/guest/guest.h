/* guest.h: the line between the keeper and the guest, PID 1 of a sandbox.
 *
 * The guest is a static program of its own (build/guest, embedded in fumehood, run from a sealed
 * memfd). It gets one request over GUEST_CTL_FD and starts the program in a *room*: a child that
 * holds fresh pid, mount, ipc, uts and network namespaces with /proc, /tmp, /workspace and
 * /dev/shm mounted. The program is pid 2 of its room, the guest is its real parent, so the status it reports
 * is the kernel's; killing the room's pid 1 kills everything in it.
 *
 *	keeper                    guest (PID 1 of bwrap's pid namespace)
 *	  GUEST_RUN + fds   --->    clone room; room: mounts, lo up, no capabilities, pause
 *	                            fork program into the room: unpack code and input, rlimits,
 *	                            no capabilities, no_new_privs, Landlock, seccomp, exec
 *	  <--- GUEST_STARTED        {program's pidfd, workspace dirfd}; or GUEST_FAILED
 *	  <--- GUEST_ENDED          {wait status}, after the room is dead and reaped
 *	  EOF               --->    exit: the pid namespace dies with it
 *
 * Everything the guest sends is hostile bytes to the keeper. */
#ifndef SANDBOX_GUEST_H
#define SANDBOX_GUEST_H

#include "sandbox/base/ipc.h"

#define GUEST_CTL_FD 3		/* the control socket */
#define GUEST_SELF_FD 4		/* the guest's own program, closed by it at once */
#define GUEST_MAX_ARGS 16
#define GUEST_MAX_ENV 24

enum guest_type {
	GUEST_RUN = 200,
	GUEST_UP,	/* guest -> keeper: it has got as far as its main() */
	GUEST_STARTED,	/* guest -> keeper: u64 when, CLOCK_MONOTONIC us; fds = program's pidfd, /workspace */
	GUEST_ENDED,	/* guest -> keeper: u32 wait status as of wait(2), u64 when */
	GUEST_FAILED,	/* guest -> keeper: cstr stage, u32 errno */
};

/* GUEST_RUN: the fields in this order, then the fds in this order. Strings are borrowed. */
struct guest_run {
	struct sv interpreter;		/* absolute path; "": the program is in the input's args */
	struct sv args[GUEST_MAX_ARGS];	/* between the interpreter and the code file */
	uint32_t nargs;
	struct sv code_name;		/* file under /workspace to hold the code; "": the code is an
					 * argument (as for sh -c) */
	struct sv env[GUEST_MAX_ENV];	/* NAME=value, before the caller's */
	uint32_t nenv;
	uint64_t workspace_bytes, tmp_bytes, memory_bytes;
	uint32_t open_files, processes;
	uint32_t rlimit_memory;		/* 1: no cgroup, bound memory and processes by rlimits */
	uint32_t landlock;		/* 0: the kernel has none; else it must hold */
	uint32_t probe;			/* 1: run the guest's own probes instead of a program */
	int out_fd, err_fd, filter_fd;	/* filter: struct sock_filter[] in a sealed memfd */
	int code_fd, input_fd, stdin_fd; /* sealed memfds or -1 */
};
void guest_put_run(struct ipc_msg *m, const struct guest_run *r);
/* Fills r from m and takes the fds; -1 when ill-formed. Used by the guest. */
int guest_get_run(struct ipc_msg *m, struct guest_run *r);

/* The input: a row of entries {u8 kind, u32 name bytes, u64 data bytes, name, data}. */
enum guest_entry_kind { GUEST_ARG = 1, GUEST_ENV, GUEST_FILE, GUEST_CWD };
struct guest_entry {
	enum guest_entry_kind kind;
	struct sv name, data;	/* borrowed from the input */
};
#define GUEST_ENTRY_HEAD 13
/* Cuts the next entry from *rest: 1 got one, 0 at the end, -1 ill-formed. Checks what the kind
 * demands: no NUL bytes in names, args and env; env names without '='; paths relative, without "." and ".."
 * parts or empty ones. */
int guest_next_entry(struct sv *rest, struct guest_entry *ret);
bool guest_path_ok(struct sv path);

#endif
