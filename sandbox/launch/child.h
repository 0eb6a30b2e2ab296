/* child.h: between fork and exec: async-signal-safe steps on data prepared before the fork. */
#ifndef SANDBOX_LAUNCH_CHILD_H
#define SANDBOX_LAUNCH_CHILD_H

#include "sandbox/launch/launch.h"

#define CHILD_MAX_FDS 16

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
};

/* Forks. The parent gets the pid and, if ret_pidfd is not NULL, a pidfd; -1 on error. */
pid_t child_start(const struct child_plan *p, int *ret_pidfd, struct err *e);

#endif
