/* host.h: struct launch_host, shared by host.c and sandbox.c. */
#ifndef SANDBOX_LAUNCH_HOST_H
#define SANDBOX_LAUNCH_HOST_H

#include "sandbox/launch/launch.h"

#define HOST_MAX_UIDS LAUNCH_MAX_UIDS
#define HOST_ETC_FILES 4
#define HOST_TOP_DIRS 5
#define HOST_MAX_ARGV (160 + 3 * 8 * POL_MAX_RUNTIMES)

struct launch_host {
	struct launch_facts facts;
	int bwrap;			/* open for execveat; owned */
	int guest;			/* sealed memfd; owned */
	int null;			/* /dev/null; owned */
	int uid_lock;			/* on this server's block of uids; owned, -1: none */
	int image;			/* the image's folder, O_PATH; owned, -1: none */
	int etc[HOST_ETC_FILES];	/* sealed memfds; owned */
	int filters[POL_MAX_RUNTIMES + 1]; /* sealed memfds per runtime; last: no runtime; owned,
					    * -1 where it is the last one */
	char top_target[HOST_TOP_DIRS][64]; /* where /bin, /lib, ... point; "" a folder, "-" absent */
	char *argv[HOST_MAX_ARGV];	/* bwrap's, borrowed from argv_text and literals */
	struct launch_cgroups cgroups;
	uint32_t uid_base, uid_count;
	bool uid_taken[HOST_MAX_UIDS];
};

/* /etc files every sandbox has, in the order of `etc`. */
extern const char *const host_etc_paths[HOST_ETC_FILES];
/* The image, as the child in that uid slot brings it in; only if there is one. */
struct child_image;
void host_image(const struct launch_host *h, uint32_t uid_slot, struct child_image *ret);
/* Fills h->argv: the one place that says what bwrap is told. */
void host_build_argv(struct launch_host *h);

#endif
