/* launch.h: the only room that forks, execs, builds seccomp filters and touches cgroups.
 *
 * Two things are launched: the roles of fumehood itself (launch_role_*, called by mcp/main.c), and
 * sandboxes (launch_sandbox, called by the keeper with a sealed plan). Nothing else can be.
 *
 * A sandbox, from outside in:
 *	fork -> join cgroup -> (root: drop to a host uid of its own) -> bwrap, by descriptor
 *	     -> the guest, from a sealed memfd, as PID 1 -> one room per run (sandbox/guest)
 * Layers that cannot be had on this host are found out once, at start (launch_host_open), and named in
 * `degraded`; what bwrap, user namespaces and seccomp do is never optional. */
#ifndef SANDBOX_LAUNCH_H
#define SANDBOX_LAUNCH_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/policy/policy.h"

#include <linux/filter.h>
#include <sys/types.h>

/* --- seccomp --------------------------------------------------------------------------------- */
/* The program's filter: default EPERM, wrong architecture and x32 kill, what is newer than
 * the list ENOSYS. `extra` are further names to allow, NULL-terminated, or NULL. ret->filter is owned by the caller
 * (mem_free). Not signal-safe. */
int launch_filter_build(const char *const *extra, struct sock_fprog *ret, struct err *e);

/* --- cgroups --------------------------------------------------------------------------------- */
enum launch_cgroup_kind { LAUNCH_CG_NONE, LAUNCH_CG_V1, LAUNCH_CG_V2 };
const char *launch_cgroup_kind_name(enum launch_cgroup_kind k);	/* "none", "v1", "v2" */

#define LAUNCH_CG_MAX 4		/* v1 hierarchies: memory, pids, cpu, cpuacct */

/* Where the sandboxes' cgroups are made. */
struct launch_cgroups {
	enum launch_cgroup_kind kind;
	int parent[LAUNCH_CG_MAX];	/* this server's folder in each; owned */
	unsigned nparents;
	int memory, pids, cpu, cpuacct;	/* index into parent, -1: not there */
	char id[64];			/* in the folders' names: pid namespace, pid, start time */
	unsigned next;			/* number of the next cgroup */
};

/* What a cgroup counts: CPU time, peak of memory, kills for want of memory, forks denied. */
enum { LAUNCH_CG_CPU, LAUNCH_CG_PEAK, LAUNCH_CG_OOM, LAUNCH_CG_PIDS, LAUNCH_CG_COUNTERS };

/* One sandbox's cgroup in each hierarchy. A zeroed struct with nparents 0 is "none". */
struct launch_cgroup {
	const struct launch_cgroups *in;	/* borrowed */
	char name[96];
	int dir[LAUNCH_CG_MAX];		/* owned */
	int join[LAUNCH_CG_MAX];	/* v1: `tasks`, a cell's in v2: `cgroup.procs`, open for writing "0";
					 * else -1 */
	unsigned ndirs;
	int counter[LAUNCH_CG_COUNTERS]; /* owned, open for reading; -1: not there */
	int oom_event;			/* v1: eventfd, readable at an OOM kill; else -1 */
};

struct launch_usage {
	uint64_t cpu_us, peak_memory_bytes;
	uint64_t oom_kills, pids_denied;
	bool limits_gone;	/* v2: somebody took the controllers away meanwhile */
};

/* v2 only, before any role is forked: moves this process into a leaf of its own so that controllers can be
 * handed on below. Harmless elsewhere. */
void launch_cgroups_prepare(void);
/* Finds what is usable. Never fails: kind NONE with *why saying what is missing. */
void launch_cgroups_open(struct launch_cgroups *c, char *why, size_t why_size);
void launch_cgroups_close(struct launch_cgroups *c);
/* Kills and removes the cgroups of servers that are no more. With own_too, also this server's (whose id is owner_pid's). */
void launch_cgroups_sweep(pid_t owner_pid, bool own_too);

/* Its first process is in it: nobody joins from outside any more. */
void launch_cgroup_joined(struct launch_cgroup *cg);
int launch_cgroup_make(struct launch_cgroups *c, const struct pol_limits *limits,
		       struct launch_cgroup *ret, struct err *e);
void launch_cgroup_usage(const struct launch_cgroup *cg, struct launch_usage *ret);
void launch_cgroup_kill(const struct launch_cgroup *cg);	/* SIGKILL to everything in it */
bool launch_cgroup_is_empty(const struct launch_cgroup *cg);
/* 0 removed (and closed); -1 still in use: try again. */
int launch_cgroup_remove(struct launch_cgroup *cg);

/* --- sandboxes ------------------------------------------------------------------------------- */
struct launch_host;	/* bwrap, guest, filters, cgroups, uids: found at start, owned by the keeper */

#define LAUNCH_MAX_UIDS 256
struct launch_host_opts {
	const char *bwrap_path;		/* NULL: look beside the binary, then in /usr */
	uint32_t uid_base, uid_count;	/* host uids for sandboxes when root; 0: LAUNCH_MAX_UIDS of them */
	/* The folder every sandbox has, read-only, at GUEST_IMAGE_DIR; borrowed for the call. NULL: none */
	const int *image;
};

/* What was found, for sandbox_info and doctor. */
struct launch_facts {
	struct pol_host host;
	enum launch_cgroup_kind cgroup;
	char bwrap_path[256], bwrap_version[32];
	uint32_t landlock_abi;
	bool root;
	char degraded[512];
};

int launch_host_open(const struct launch_host_opts *o, struct launch_host **ret, struct err *e);
void launch_host_free(struct launch_host *h);
const struct launch_facts *launch_facts(const struct launch_host *h);

/* Sealed memfds from the caller, or -1, and the write ends of the output pipes. */
struct launch_io {
	int code_fd, input_fd, stdin_fd;
	int out_fd, err_fd;
};

struct launch_sandbox {
	pid_t pid;		/* bwrap, child of the keeper */
	int pidfd;		/* owned */
	int ctl;		/* owned: the line to the guest, non-blocking */
	int complaints;		/* owned: read end of bwrap's and the guest's stderr, non-blocking */
	struct launch_cgroup cgroup;
	int guest_pidfd;	/* owned; launch_sandbox_up sets it; -1 until then */
	uint32_t uid_slot;	/* root: which host uid is in use */
	bool reaped;
	struct launch_zygote *zygote;	/* owned; of launch_zygote only, else NULL */
};

/* Starts a sandbox and hands it the run; returns at once, the guest answers on ctl. */
int launch_sandbox(struct launch_host *h, const struct plan *plan, const struct launch_io *io,
		   struct launch_sandbox *ret, struct err *e);
/* Starts a sandbox that serves a session (sandbox/guest/guest.h): of the plan only the limits count, for
 * all that will ever run in it together. The guest answers GUEST_OPENED, then takes records on ctl. Its processes may
 * be killed by the out-of-memory killer one by one, not all at once. */
int launch_session(struct launch_host *h, const struct plan *plan, struct launch_sandbox *ret,
		   struct err *e);

/* One call of a session. */
struct launch_call {
	uint64_t id;		/* the caller's, not 0; its answers carry it */
	uint32_t slot;		/* GUEST_NO_SLOT: a program of its own; else the plan's runtime must have
				 * a driver */
	struct launch_io io;	/* out_fd, err_fd -1: only if the slot's interpreter runs already */
	int rich_fd;		/* beside those two, for a slot; else -1 */
	bool last;		/* as of struct guest_call */
	/* enum guest_part. 0: all of it. Else the plan has a compiler, and this is its step, or what comes
	 * after it; then io's code_fd is -1. */
	uint32_t part;
};
/* Sends it. Descriptors stay the caller's. */
int launch_call(struct launch_host *h, struct launch_sandbox *s, const struct plan *plan,
		const struct launch_call *c, struct err *e);

/* The program that makes an interpreter of a runtime take calls (sandbox/guest/drivers). */
struct launch_driver {
	const char *runtime;	/* "python" */
	const char *file;	/* its name in a session's room, "driver.py" */
	const char *text, *end;	/* embedded by the Makefile */
	bool ahead;		/* of launch_zygote_driver: each cell starts the interpreter anew, and runs it there */
};
/* NULL: the runtime has none, each of its calls is a program of its own. Static. */
const struct launch_driver *launch_driver(const char *runtime);

/* What a zygote runs, of a runtime whose row names it. NULL: each run of it starts an interpreter. Static. */
const struct launch_driver *launch_zygote_driver(const char *runtime);

/* The guest has said that it is up: finds its process, bwrap's only child, by the host's own view.
 * Nothing the guest sends is taken for a pidfd: it could send one of anybody's. */
void launch_sandbox_up(struct launch_sandbox *s);
/* One step of the kill ladder: 0 ask (close ctl), 1 kill what the keeper can see. Idempotent. */
void launch_sandbox_kill(struct launch_sandbox *s, int step);
/* Reaps bwrap if it has ended and removes the cgroup; true when nothing is left. */
bool launch_sandbox_gone(struct launch_host *h, struct launch_sandbox *s);

/* --- zygotes and cells ------------------------------------------------------------------------ */
/* A run_code of a runtime that has a zygote's driver can be given to a *cell* (sandbox/guest/guest.h, zygotes): the
 * code then finds an interpreter that is warm, and under every limit, before it is there. A cell is under the same limits
 * as launch_sandbox would give the same plan, but for those of time, which are the caller's to keep.
 *
 *	launch_zygote        GUEST_ZYGOTE_UP
 *	launch_cell_make     GUEST_CELL_MADE, and the line is readable: launch_cell_ready
 *	launch_cell_run      the code, once
 *	launch_cell_usage    at any time until it is gone
 *	                     GUEST_ENDED (or GUEST_FAILED): launch_cell_gone until it says so
 *
 * A cell has a cgroup of its own where there are any, and as root a host uid of its own; as an ordinary user, whose all of it
 * is, a user namespace of its own. Without cgroups nothing is known of what it has used, and that it has ended is the
 * guest's word, until nothing of the sandbox is left. All in one zygote's sandbox is one principal's. Whatever fails here, fails before the code was
 * sent: the run can then be given to launch_sandbox. */

/* How many zygotes at a time, as root: each has GUEST_CELLS uids, beside those of sandboxes. */
#define LAUNCH_MAX_ZYGOTES 32
#define LAUNCH_CELL_UID 2000u	/* the first cell's, inside */

/* Starts the sandbox. It ends as any other: launch_sandbox_up, _kill, _gone. ERR_UNAVAILABLE: it will not work later
 * either. */
int launch_zygote(struct launch_host *h, const struct plan *plan, struct launch_sandbox *ret,
		  struct err *e);

struct launch_cell_order {
	uint64_t id;		/* the caller's, not 0; the guest's answers carry it */
	int out_fd, err_fd;	/* write ends of pipes; they stay the caller's */
};
struct launch_cell {
	uint64_t id;
	int line;		/* owned, non-blocking; to wait on, until it is ready */
	struct launch_cgroup cgroup; /* oom_event as a sandbox's */
	struct launch_usage before; /* what its making has used */
	bool ready;
	uint32_t uid_slot;
	struct launch_zygote *of; /* shared with the sandbox, whichever lives longer */
};
/* Orders one of the same plan as the zygote; returns at once. */
int launch_cell_make(struct launch_host *h, struct launch_sandbox *zygote,
		     const struct launch_cell_order *o, struct launch_cell *ret, struct err *e);
/* The line is readable. 1: it waits for its code, and what it has used so far is not the code's; 0 not yet; -1 it has
 * ended. */
int launch_cell_ready(struct launch_cell *c);
/* Sends the code, a sealed memfd, and stdin, a memfd or the read end of a pipe, or -1: nothing. The descriptors stay
 * the caller's. -1: it has nothing of the code; kill it. */
int launch_cell_run(struct launch_cell *c, int code_fd, int stdin_fd, struct err *e);
/* Since it was ready; without cgroups nothing. The peak counts what it had then, too. */
void launch_cell_usage(const struct launch_cell *c, struct launch_usage *ret);
/* SIGKILL to all of it: asks the guest, and sees to its cgroup itself. Idempotent. */
void launch_cell_kill(const struct launch_sandbox *zygote, const struct launch_cell *c);
/* True when nothing of it is left; its cgroup and uid are free then, its line closed. To be asked when the guest has
 * said that it ended, or the whole sandbox has gone: a cell that is being made is not in its cgroup yet. Again within
 * milliseconds where it is false: the kernel is still at it. */
bool launch_cell_gone(struct launch_host *h, struct launch_cell *c);

/* --- what the operator has done -------------------------------------------------------------- */
/* A program of the host, run in the foreground with all rights of the operator: pip, npm. */
struct launch_installer {
	const char *path;
	char *const *argv;
	char *const *envp;	/* NULL: the operator's */
	int dir;		/* where it works; borrowed */
	int out;		/* its stdout; borrowed */
	bool quiet;		/* its stderr goes nowhere, else to ours */
};
/* Waits for its end; it gets SIGTERM when this process dies. *ret_status is as of wait(2); 127 << 8: there is no such
 * program. */
int launch_installer(const struct launch_installer *i, int *ret_status, struct err *e);

/* --- roles ----------------------------------------------------------------------------------- */
enum launch_role {
	LAUNCH_FRONT, LAUNCH_KEEPER, LAUNCH_LEDGER, LAUNCH_AUTH, LAUNCH_FETCH,
	LAUNCH_FRONT_HTTP,	/* to confine only: it is started as LAUNCH_FRONT */
	LAUNCH_ROLE_COUNT
};
const char *launch_role_name(enum launch_role r);

/* Re-executes this binary (/proc/self/exe) with argv; fds[i] becomes descriptor 3 + i there, 0 is
 * /dev/null, 1 and 2 are stderr, all others are closed; no environment; SIGTERM when this process dies.
 * Returns the pid or -1. */
pid_t launch_role_spawn(enum launch_role r, char *const argv[], const int *fds, unsigned nfds,
			struct err *e);
/* The host uid of the front when root: the first after the sandboxes' (0: the default base). */
uint32_t launch_front_uid(uint32_t uid_base);
/* Those of the auth and the fetch role: the next two. */
uint32_t launch_auth_uid(uint32_t uid_base);
uint32_t launch_fetch_uid(uint32_t uid_base);
/* Raises the soft limit of open files to the hard one: descriptors on their way through sockets
 * count against the sender's limit together with those of every other process of the user, sandboxed ones
 * included. Returns the limit. */
uint64_t launch_raise_nofile(void);
/* Gives up what the role does not need: capabilities, files (Landlock; dirs is the NULL-terminated
 * list it may change, the fetch role: read, or NULL), system calls. Must: be called when everything is open.
 * Must not: be undone. As root front, auth and fetch also change to uid. */
int launch_role_confine(enum launch_role r, const char *const *dirs, uint32_t uid,
			struct err *e);

#endif
