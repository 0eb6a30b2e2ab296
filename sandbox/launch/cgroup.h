/* cgroup.h: what the files of cgroups share with each other, and with those of sandboxes and cells; see launch.h. */
#ifndef SANDBOX_LAUNCH_CGROUP_H
#define SANDBOX_LAUNCH_CGROUP_H

#include "sandbox/launch/launch.h"

#define CG_PREFIX "fumehood-"	/* of a server's folder; then its id, then nothing or -main */

/* What is in a cgroup beside the program: its limits are raised by that. */
struct cgroup_own {
	uint64_t memory_bytes;
	uint32_t processes;
	bool entered;	/* a process that is there already joins it, whatever the kind of cgroup */
};
/* cpu_millis 0: as much CPU time as there is. */
int cgroup_make(struct launch_cgroups *c, const struct pol_limits *limits,
		const struct cgroup_own *own, struct launch_cgroup *ret, struct err *e);

/* The peak of memory is counted from now on, where the kernel can do that. */
void cgroup_forget_peak(const struct launch_cgroup *cg);

/* Whether a cell's cgroup, made as `entered`, can be given to the next cell of the same limits (cgroup_spare.c). */
bool cgroup_as_new(const struct launch_cgroup *cg);

/* Writes text to a file of a cgroup; 0 or -1 with errno. */
int cgroup_write(int dir, const char *file, const char *text);
/* Reads a file of a cgroup into dst as a C string; bytes or -1. */
ssize_t cgroup_read(int dir, const char *file, char *dst, size_t size);
/* The number after `key ` at the start of a line ("" = the whole file); 0 when it is not there. */
uint64_t cgroup_number(int dir, const char *file, const char *key);
/* SIGKILL to every process of the cgroup at dir. */
void cgroup_kill_dir(int dir);

/* v2: whether what we make below dir, whose path in the tree is given, will be left alone. */
bool cgroup_is_delegated(int dir, const char *path);

/* "<pid namespace>-<pid>-<start time>": tells a server from every other one, dead or alive, on this kernel. */
int cgroup_owner_id(pid_t pid, char *dst, size_t size);

#endif
