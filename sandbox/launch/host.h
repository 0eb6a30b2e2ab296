/* host.h: struct launch_host, and how a sandbox is started: what host.c, argv.c, sandbox.c, zygote.c and cell.c share. */
#ifndef SANDBOX_LAUNCH_HOST_H
#define SANDBOX_LAUNCH_HOST_H

#include "sandbox/guest/guest.h"
#include "sandbox/launch/launch.h"

#define HOST_MAX_UIDS LAUNCH_MAX_UIDS
#define HOST_ETC_FILES 4
#define HOST_TOP_DIRS 5
#define HOST_FDS (5 + HOST_ETC_FILES)	/* bwrap's; a user namespace is the one after them */
#define HOST_MAX_WAYS 64
#define HOST_MAX_ARGV (160 + 3 * 8 * POL_MAX_RUNTIMES + 4 * HOST_MAX_WAYS)

struct launch_host {
	struct launch_facts facts;
	int bwrap;			/* open for execveat; owned */
	int guest;			/* sealed memfd; owned */
	int cell_object, ahead_object;	/* sealed memfds; owned */
	int null;			/* /dev/null; owned */
	int uid_lock;			/* on this server's block of uids; owned, -1: none */
	int image;			/* the image's folder, O_PATH; owned, -1: none */
	int etc[HOST_ETC_FILES];	/* sealed memfds; owned */
	int cells_etc[HOST_ETC_FILES];	/* where cells have uids: the first two are its own, the others
					 * borrowed from etc */
	int filters[POL_MAX_RUNTIMES + 1]; /* sealed memfds per runtime; last: no runtime; owned,
					    * -1 where it is the last one */
	char top_target[HOST_TOP_DIRS][64]; /* where /bin, /lib, ... point; "" a folder, "-" absent */
	char *argv[HOST_MAX_ARGV];	/* bwrap's, borrowed from argv_text and literals */
	char *cells_argv[HOST_MAX_ARGV]; /* the same where there are cells */
	char way[HOST_MAX_WAYS][64];	/* what of that is neither a literal nor a path of the table */
	unsigned nways;
	struct launch_cgroups cgroups;
	uint32_t uid_base, uid_count;
	bool uid_taken[HOST_MAX_UIDS];
	uint32_t cells_base, max_zygotes;	/* host uids: GUEST_CELLS for each of so many */
	bool zygote_taken[LAUNCH_MAX_ZYGOTES];
};

/* /etc files every sandbox has, in the order of `etc`. */
extern const char *const host_etc_paths[HOST_ETC_FILES];
/* The image, as the child in that uid slot brings it in; only if there is one. */
struct child_image;
void host_image(const struct launch_host *h, uint32_t uid_slot, struct child_image *ret);
/* Fills both argv: the one place that says what bwrap is told. */
void host_build_argv(struct launch_host *h);

/* How a sandbox is started. */
struct host_start {
	const struct plan *plan;
	const struct launch_io *io;	/* of a run */
	struct pol_limits limits;	/* of its cgroup */
	bool goes_on;		/* when one of its processes has run out of memory */
	bool cells;		/* there will be, in the user namespace that they need */
	uint32_t cell_uid;	/* the first of GUEST_CELLS host uids; 0: they have none of their own */
	/* Sends the first record, before the guest exists: no round trip at start */
	int (*send)(struct launch_host *h, const struct host_start *how, int line,
		    struct err *e);
};
int host_start(struct launch_host *h, const struct host_start *how,
	       struct launch_sandbox *ret, struct err *e);
/* The plan in the guest's words; what it points to stands until the next call. */
void host_describe(const struct launch_host *h, const struct plan *plan,
		   const struct launch_io *io, struct guest_run *r);
/* Nothing is left of a sandbox, which may have been a zygote's. */
void zygote_ended(struct launch_host *h, struct launch_sandbox *s);

#endif
