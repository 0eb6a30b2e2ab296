/* child.h: between fork and exec: async-signal-safe steps on data prepared before the fork. */
#ifndef SANDBOX_LAUNCH_CHILD_H
#define SANDBOX_LAUNCH_CHILD_H

#include "sandbox/launch/launch.h"

#define CHILD_MAX_FDS 16

/* A folder that the program's mount namespace has at CHILD_IMAGE_AT, read-only or not as it is; it need not
 * be reachable by path. Made with child_image_make before the fork, for the uid the child will have. */
#define CHILD_IMAGE_AT "/tmp"	/* what a bubblewrap covers with its own root first */
struct child_image {
	int dir;			/* borrowed; the child may search it */
	char uid_map[40], gid_map[40];	/* the child's own ids, as they are */
};
void child_image_make(struct child_image *ret, int dir, uint32_t uid, uint32_t gid);

/* A user namespace for the program, which is the descriptor after all others of it (child_ids.c): inside, the child's uid
 * is GUEST_UID, so is its gid. Made before the fork. */
struct child_ids {
	bool many;		/* it has more than that one */
	uint32_t own;		/* many: the child's uid and gid */
	char outer[64];		/* many */
	char uids[64], gids[64];
	char beneath[12];	/* how many user namespaces there may be in it */
};
/* As root: cells have uids there too, from LAUNCH_CELL_UID on, and their gids are the same numbers. */
void child_ids_make(struct child_ids *ret, uint32_t own, uint32_t cells);
/* As an ordinary user: cells have user namespaces in it. */
void child_ids_make_one(struct child_ids *ret, uint32_t uid, uint32_t gid);
struct child_helper {
	pid_t pid;
	int to, from;
};
/* In this order, all in the child: `many`, while it is root; `many`, when it is in a new user namespace as own; then, the
 * namespace's descriptor, or -1. */
int child_ids_begin(const struct child_ids *ids, struct child_helper *ret);
int child_ids_outer(struct child_helper *p);
int child_ids_inner(const struct child_ids *ids);

struct child_plan {
	int program;			/* executed by descriptor (execveat) */
	char *const *argv, *const *envp;
	const int *fds;			/* fds[i] becomes descriptor i of the child */
	unsigned nfds;
	pid_t parent;			/* getpid() of the caller */
	int death_signal;		/* when the parent dies */
	bool change_uid;		/* to uid, before exec */
	uint32_t uid;
	const struct launch_cgroup *cgroup;	/* joined before exec; or NULL */
	const struct child_image *image;	/* or NULL */
	const struct child_ids *ids;		/* or NULL */
};

/* Forks. The parent gets the pid and, if ret_pidfd is not NULL, a pidfd; -1 on error. */
pid_t child_start(const struct child_plan *p, int *ret_pidfd, struct err *e);

#endif
