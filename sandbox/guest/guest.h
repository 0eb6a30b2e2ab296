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
 * Or it serves a *session*: one standing room, and in it up to GUEST_SLOTS interpreters that
 * stay, each running a driver (sandbox/guest/drivers) that takes one call after another, and
 * programs of their own beside them. A guest serves one run or one session, by its first record.
 *
 *	keeper                    guest
 *	  GUEST_OPEN        --->    make the room
 *	  <--- GUEST_OPENED         {workspace dirfd}; or GUEST_FAILED, and the guest ends
 *	  GUEST_CALL        --->    start the slot's interpreter if it does not run; unpack; run
 *	  <--- GUEST_CALL_STARTED   {when, pidfd if a process was started for it}
 *	  <--- GUEST_CALL_ENDED     {how, status, when}; or GUEST_FAILED: it was not run
 *	  GUEST_INTERRUPT, GUEST_KILL {slot}; the record's id is the call meant, 0 any
 *	  <--- GUEST_DIED           {slot, wait status, when}: an interpreter, between calls
 *	  <--- GUEST_CHANGES        {what the call has changed beneath /workspace}
 *	  GUEST_FILE_OP     --->    list, read, write, delete beneath /workspace
 *	  <--- GUEST_FILE_DONE      {errno, what it is, descriptor}
 *	  EOF               --->    exit
 *
 * The id of a GUEST_CALL or GUEST_FILE_OP is the keeper's, unique and not 0; its answers carry it.
 * Each call is answered by exactly one of GUEST_FAILED and GUEST_CALL_ENDED, each file operation
 * by one GUEST_FILE_DONE. GUEST_CALL_STARTED comes at most once, before either, and may be
 * missing: the call ended at once, was killed or interrupted early, or its files could not be
 * unpacked. A call of a language that is compiled is two GUEST_CALLs with one id (enum guest_part), the second when the first is answered. After
 * GUEST_FAILED a process that was started for the call is gone; an interpreter that was there goes on.
 *
 * Or it keeps a *zygote*: an interpreter that has run nothing but our own driver, and is forked for each run. A *cell*
 * is such a fork: in a room of its own, and confined in every way (cgroup, uid, limits, capabilities, Landlock, seccomp)
 * before it is given the code. That comes on a line of its own from the keeper, past the guest.
 *
 *	keeper                    guest
 *	  GUEST_ZYGOTE + fds --->   start the zygote
 *	  <--- GUEST_ZYGOTE_UP      it can be forked; or GUEST_FAILED, and the guest ends
 *	  GUEST_CELL + fds  --->    make a room, fork into it, confine
 *	  <--- GUEST_CELL_MADE      {program's pidfd, workspace dirfd}; or GUEST_FAILED: it will not come
 *	  <--- (the cell, on its line) one byte: it is ready, and can do nothing but wait
 *	  (on its line) one byte + fds: the code, a sealed memfd; perhaps stdin --->   it runs
 *	  <--- GUEST_ENDED          {wait status, when}, after the room is dead and reaped
 *	  GUEST_KILL {GUEST_NO_SLOT} --->  the room of the record's id is killed; GUEST_ENDED follows, or GUEST_FAILED
 *					if GUEST_CELL_MADE was still to come
 *	  EOF               --->    exit
 *
 * A cell whose line closes before the code came ends by itself. When the zygote dies the guest ends.
 *
 * Everything the guest sends is hostile bytes to the keeper. */
#ifndef SANDBOX_GUEST_H
#define SANDBOX_GUEST_H

#include "sandbox/base/ipc.h"

#define GUEST_CTL_FD 3		/* the control socket */
#define GUEST_SELF_FD 4		/* the guest's own program, closed by it at once */
#define GUEST_RUN_DIR "/run/fumehood"	/* a session's, between guest and drivers: a tmpfs, mode 0700 */
#define GUEST_IMAGE_DIR "/opt/fumehood"	/* the operator's packages, read-only; may be missing */
#define GUEST_MAX_ARGS 24
#define GUEST_MAX_ENV 32

/* What of a program's start a call is. */
enum guest_part {
	GUEST_WHOLE,
	GUEST_COMPILES,	/* unpacks code and files; the arguments are those of `args` alone */
	GUEST_COMPILED,	/* after it: the arguments of `args` and of the input; nothing is unpacked */
	GUEST_PARTS
};

enum guest_type {
	GUEST_RUN = 200,
	GUEST_UP,	/* guest -> keeper: it has got as far as its main() */
	GUEST_STARTED,	/* guest -> keeper: u64 when, CLOCK_MONOTONIC us; fds = program's pidfd, /workspace */
	GUEST_ENDED,	/* guest -> keeper: u32 wait status as of wait(2), u64 when */
	GUEST_FAILED,	/* guest -> keeper: cstr stage, u32 errno */
	/* a session's */
	GUEST_OPEN,	/* guest_put_open */
	GUEST_OPENED,	/* guest -> keeper: fd = /workspace */
	GUEST_CALL,	/* guest_put_call */
	GUEST_CALL_STARTED, /* guest -> keeper, these three: guest_put_word */
	GUEST_CALL_ENDED,
	GUEST_DIED,
	GUEST_INTERRUPT, /* u32 slot: SIGINT to the process group; the code stops, the state stays */
	GUEST_KILL,	/* u32 slot: SIGKILL to all of its session id; a file operation is given up */
	GUEST_FILE_OP,	/* guest_put_file */
	GUEST_FILE_DONE, /* guest -> keeper: guest_put_file_done */
	GUEST_CHANGES,	/* guest -> keeper: guest_put_changes */
	/* a zygote's */
	GUEST_ZYGOTE,	/* guest_put_zygote */
	GUEST_ZYGOTE_UP,
	GUEST_CELL,	/* guest_put_cell; the id is the keeper's, not 0 */
	GUEST_CELL_MADE, /* guest -> keeper: fds = program's pidfd, /workspace */
	GUEST_LOOK,	/* these two between the guest and its own children */
	GUEST_LOOKED,
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
	enum guest_part part;		/* of a GUEST_CALL without a driver; else GUEST_WHOLE */
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

/* --- sessions -------------------------------------------------------------------------------- */

#define GUEST_SLOTS 8		/* interpreters at a time */
#define GUEST_PROGRAMS 32	/* programs of their own at a time; one more fails with EBUSY */
#define GUEST_FILE_OPS 8	/* file operations at a time; the same */
#define GUEST_NO_SLOT 0xffffffffu /* for what has none: then the record's id says which is meant */
#define GUEST_SPARE_PROCESSES 4	/* of the guest's own in the room, to be added to the limit */

/* GUEST_OPEN: of r the limits, landlock and filter_fd. Strings are empty, other fds -1. */
void guest_put_open(struct ipc_msg *m, const struct guest_run *r);
int guest_get_open(struct ipc_msg *m, struct guest_run *r);

/* GUEST_CALL. With a driver: for the interpreter of `slot`. run.out_fd, run.err_fd, rich_fd and
 * driver_fd are there all or none, with the interpreter, args and env of `run`; they are used only if the
 * interpreter does not run yet (without them such a call fails with ESRCH and can be sent again). run.code_fd must be there;
 * run.stdin_fd is a memfd or the read end of a pipe; run.code_name is not used.
 * Without (driver "", slot GUEST_NO_SLOT): a program of its own, as by GUEST_RUN; out and err must
 * be there. run.filter_fd -1: the session's. The limits of `run` are not sent: the session's hold. */
struct guest_call {
	uint32_t slot;
	struct sv driver;	/* its file name, "driver.py": it is started as
				 * `interpreter args... /run/fumehood/driver.py` */
	struct guest_run run;
	bool last;		/* see GUEST_CHANGES */
	int rich_fd;		/* write end of a pipe: descriptor 4 of the interpreter */
	int driver_fd;		/* the driver's text, a sealed memfd */
};
void guest_put_call(struct ipc_msg *m, const struct guest_call *c);
int guest_get_call(struct ipc_msg *m, struct guest_call *c);
void guest_close_call(struct guest_call *c);	/* all its fds */

/* GUEST_INTERRUPT and GUEST_KILL. What has ended meanwhile, or is another call than the record's
 * id says, is not touched, and nothing is answered. */
void guest_put_slot(struct ipc_msg *m, uint32_t slot);
int guest_get_slot(struct ipc_msg *m, uint32_t *ret);

/* What the guest tells about calls. */
enum guest_how { GUEST_BY_DRIVER = 1, GUEST_BY_KERNEL };
struct guest_word {
	uint64_t when_us;	/* CLOCK_MONOTONIC */
	int pidfd;		/* GUEST_CALL_STARTED: of the process started for this call, or -1: the
				 * interpreter was there */
	enum guest_how how;	/* GUEST_CALL_ENDED: the driver's word and the interpreter goes on, or
				 * the process has ended */
	uint32_t status;	/* exit code 0..255, or as of wait(2); GUEST_DIED: as of wait(2) */
	uint32_t slot;		/* GUEST_DIED */
	bool changes;		/* GUEST_CALL_ENDED: a GUEST_CHANGES of the same id follows */
};
/* By m->type, one of GUEST_CALL_STARTED, GUEST_CALL_ENDED, GUEST_DIED. get: the fd is the caller's. */
void guest_put_word(struct ipc_msg *m, const struct guest_word *w);
int guest_get_word(struct ipc_msg *m, struct guest_word *w);

/* GUEST_FILE_OP. Paths as of guest_path_ok, relative to /workspace. Symbolic links are never
 * followed, neither in the middle nor at the end (ELOOP). Nothing but a regular file is opened
 * (EINVAL, EISDIR). */
enum guest_file_kind { GUEST_LIST = 1, GUEST_READ, GUEST_WRITE, GUEST_DELETE };
enum { GUEST_KEEP = 1 };	/* flag of GUEST_WRITE: what is there stays (EEXIST) */
struct guest_file {
	enum guest_file_kind op;
	struct sv path;		/* GUEST_LIST: may be "", all; of a file: its own row */
	uint32_t flags;
	uint32_t max_rows;	/* GUEST_LIST */
	/* GUEST_WRITE: the content, to its end, from a memfd or a pipe. Fewer or more bytes than
	 * these: ENODATA, EFBIG, and nothing has changed. Folders on the way are made, what was there is
	 * replaced at once. */
	uint64_t min_bytes, max_bytes;
	int data_fd;
};
void guest_put_file(struct ipc_msg *m, const struct guest_file *f);
int guest_get_file(struct ipc_msg *m, struct guest_file *f);

enum guest_node { GUEST_NODE_FILE = 1, GUEST_NODE_DIR, GUEST_NODE_LINK, GUEST_NODE_OTHER };
enum { GUEST_MORE = 1 };	/* flag of GUEST_LIST's answer: there is more than was listed */
struct guest_file_done {
	uint32_t sys;		/* errno; 0 done, and then: */
	enum guest_node node;	/* what is there, was listed or deleted */
	uint32_t flags;
	uint64_t size;		/* of the file; GUEST_LIST: of the list, in bytes */
	int64_t mtime_ns;
	int fd;			/* GUEST_READ: the file, read-only. GUEST_LIST: a sealed memfd of rows. Else -1.
				 * For the receiver to check: it is the guest's word */
};
void guest_put_file_done(struct ipc_msg *m, const struct guest_file_done *d);
int guest_get_file_done(struct ipc_msg *m, struct guest_file_done *d);

/* A row of GUEST_LIST: {u8 node, u32 path bytes, u32 nlink, u64 size, disk bytes, inode, i64 mtime, ctime,
 * path}. Folders come before what is in them; the path is relative to /workspace. */
struct guest_row {
	enum guest_node node;
	uint32_t nlink;
	uint64_t size, disk_bytes, inode;
	int64_t mtime_ns, ctime_ns;
	struct sv path;		/* borrowed from the list */
};
/* --- zygotes ----------------------------------------------------------------------------------- */

#define GUEST_CELLS 64		/* at a time, those that run included; one more fails with EBUSY */
#define GUEST_CELL_JOINS 4	/* cgroups of v1 it has to join */
#define GUEST_UID 1000u		/* the guest's own, inside */
#define GUEST_OWN_UID 0xffffffffu	/* it keeps that one, in a user namespace of its own */

/* Of run: interpreter, args, env, the limits of each cell, landlock, filter_fd; `ahead`: code_name. The zygote is started
 * as `interpreter args... DRIVER` with the object preloaded; what the environment says of either is gone when the
 * driver runs. Where the interpreter cannot be forked, each cell starts it ahead instead, as `interpreter args... code_name`
 * (sandbox/guest/ahead.h). */
struct guest_zygote {
	struct guest_run run;
	uint32_t ahead;		/* 1: so */
	int driver_fd;		/* its text, a sealed memfd */
	int object_fd;		/* build/cell.so, or build/ahead.so; a sealed memfd */
};
void guest_put_zygote(struct ipc_msg *m, const struct guest_zygote *z);
int guest_get_zygote(struct ipc_msg *m, struct guest_zygote *z);	/* the fds are the caller's */

struct guest_cell {
	uint32_t uid;		/* in the guest's user namespace, or GUEST_OWN_UID */
	int line_fd, out_fd, err_fd;	/* the line: SOCK_SEQPACKET */
	uint32_t njoins;
	int join_fd[GUEST_CELL_JOINS];	/* cgroup.procs or tasks, open to write "0" to */
};
void guest_put_cell(struct ipc_msg *m, const struct guest_cell *c);
int guest_get_cell(struct ipc_msg *m, struct guest_cell *c);	/* the fds are the caller's */
void guest_close_cell(struct guest_cell *c);

/* --- what a call has changed ----------------------------------------------------------------- */
/* After each call the workspace is compared with what it was after the call before; what was written meanwhile by
 * GUEST_WRITE, GUEST_DELETE and the files of the call itself is left out. So each change is told once, with the
 * call that ended next: also one that another call, or something in the background, has made.
 *
 * Files count, symbolic links and whatever else is no folder; folders do not. A file has changed when it is another
 * one, or its size, its times or its mode are others; a store through a shared mapping alters none of these on a
 * tmpfs, and is not seen. A workspace of more than LOOK_ROWS entries, or that takes too long to be gone through, is known in
 * part: then what is told is true, but not all (GUEST_MORE). A call after which nothing can have changed is told by
 * GUEST_CALL_ENDED alone.
 *
 * After the `last` call of a session every process of the room is killed first: what is told then is what stays, and all
 * files are told, also those that are as they were. Nothing can be called after it. */
enum guest_change_kind { GUEST_SAME, GUEST_CREATED, GUEST_CHANGED, GUEST_DELETED };
enum { GUEST_NOT_KNOWN = 2 };	/* flag beside GUEST_MORE: it could not be found out, fd is -1 */
struct guest_changes {
	uint32_t flags;
	uint32_t total;		/* changes found; the list may hold fewer */
	int fd;			/* a sealed memfd of rows as of guest_next_change, in the order of their paths; -1: none */
};
void guest_put_changes(struct ipc_msg *m, const struct guest_changes *c);
int guest_get_changes(struct ipc_msg *m, struct guest_changes *c);	/* the fd is the caller's */

#define GUEST_MAX_CHANGES 2000
#define GUEST_MAX_CHANGES_BYTES ((size_t)2 << 20)
#define GUEST_HEAD_BYTES 512
/* {u8 kind, node, has_sha, 0; u32 path bytes, head bytes; u64 size; hash; path, head} */
struct guest_change {
	enum guest_change_kind kind;
	enum guest_node node;	/* not a folder; of a deleted one what it was */
	/* false: not a file or deleted, or too large, written to meanwhile, or not readable */
	bool has_sha;
	unsigned char sha[32];
	uint64_t size;
	struct sv path, head;	/* borrowed; head: what the file begins with */
};
#define GUEST_CHANGE_HEAD 52
void guest_put_change(char dst[GUEST_CHANGE_HEAD], const struct guest_change *c);
int guest_next_change(struct sv *rest, struct guest_change *ret);	/* 1, 0 at the end, -1 ill-formed */

#define GUEST_ROW_HEAD 49
#define GUEST_MAX_ROWS 100000
/* Writes a row's head to dst. */
void guest_put_row(char dst[GUEST_ROW_HEAD], const struct guest_row *r);
/* Cuts the next row from *rest: 1, 0 at the end, -1 ill-formed (the path too: guest_path_ok). */
int guest_next_row(struct sv *rest, struct guest_row *ret);

#endif
