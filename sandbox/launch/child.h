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
};

/* Forks. The parent gets the pid and, if ret_pidfd is not NULL, a pidfd; -1 on error. */
pid_t child_start(const struct child_plan *p, int *ret_pidfd, struct err *e);

#endif
