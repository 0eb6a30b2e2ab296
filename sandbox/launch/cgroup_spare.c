/* cgroup_spare.c: cgroups of cells that are used again: making and removing one costs the keeper 0.3 ms.
 *
 * One whose cell has gone is as good as new when the kernel says that nothing is in it, and that nothing has happened in
 * it that it would remember: its counters of kills, refusals and throttled time are what they were at its making. What it has
 * used of CPU time is subtracted anyway, the peak of memory is set back. Nobody else may write to it: the cell's own
 * descriptors closed before the code came. Only v1, where all of this can be seen; and only between cells of one zygote,
 * which have the same limits and the same principal. */
#include "sandbox/launch/cgroup.h"

#include <unistd.h>

/* What the kernel has not given back yet, or counts ahead for each CPU. */
#define LEFT_BYTES ((uint64_t)512 << 10)

/* True when no process is in any of its folders, whether it is dying or not. */
static bool is_empty(const struct launch_cgroup *cg)
{
	char text[8];

	for (unsigned i = 0; i < cg->ndirs; i++)
		if (cgroup_read(cg->dir[i], "tasks", text, sizeof(text)) != 0)
			return false;
	return cgroup_read(cg->dir[cg->in->pids], "pids.current", text, sizeof(text)) ==
		       2 &&
	       text[0] == '0';
}

static bool is_clean(const struct launch_cgroup *cg)
{
	struct launch_usage u;
	uint64_t event;

	launch_cgroup_usage(cg, &u);
	return !u.oom_kills && !u.pids_denied &&
	       !cgroup_number(cg->dir[cg->in->cpu], "cpu.stat", "nr_throttled ") &&
	       read(cg->oom_event, &event, sizeof(event)) < 0;
}

bool cgroup_as_new(const struct launch_cgroup *cg)
{
	return cg->ndirs && cg->in->kind == LAUNCH_CG_V1 && is_empty(cg) &&
	       is_clean(cg) &&
	       cgroup_number(cg->dir[cg->in->memory], "memory.usage_in_bytes", "") <
		       LEFT_BYTES;
}
