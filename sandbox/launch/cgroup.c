/* cgroup.c: one sandbox's cgroup, or one cell's: limits in, evidence out.
 *
 * The whole sandbox is inside, bwrap and guest included, because it is joined before bwrap's exec:
 * nothing of it is ever outside. So the limits are raised by what those need. Of a cell the program alone is inside. */
#include "sandbox/launch/cgroup.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_PROCESSES 3 /* bwrap, the guest, the room's init */
#define OWN_MEMORY_BYTES ((uint64_t)4 << 20) /* theirs, measured at 2.2 MiB */
#define CPU_PERIOD_US 100000

static const char *const kind_names[] = {
	[LAUNCH_CG_NONE] = "none", [LAUNCH_CG_V1] = "v1", [LAUNCH_CG_V2] = "v2"};

const char *launch_cgroup_kind_name(enum launch_cgroup_kind k)
{
	return (unsigned)k < ARRAY_LEN(kind_names) ? kind_names[k] : "?";
}

int cgroup_write(int dir, const char *file, const char *text)
{
	AUTO_FD fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : fd_write_all(fd, text, strlen(text));
}

ssize_t cgroup_read(int dir, const char *file, char *dst, size_t size)
{
	AUTO_FD fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, size - 1);

	/* fd_close, which comes last, leaves errno alone */
	dst[n > 0 ? n : 0] = '\0';
	return n;
}

static uint64_t number_in(const char *text, const char *key)
{
	struct sv rest = sv_of(text), line, k = sv_of(key);
	bool more = true;
	uint64_t v;

	while (sv_cut(&rest, '\n', &more, &line)) {
		if (!sv_starts(line, k))
			continue;
		line.p += k.n, line.n -= k.n;
		if (!sv_to_u64(sv_trim(line), &v))
			return v;
	}
	return 0;
}

uint64_t cgroup_number(int dir, const char *file, const char *key)
{
	char text[4096];

	return cgroup_read(dir, file, text, sizeof(text)) < 0 ? 0
							      : number_in(text, key);
}

static int write_number(int dir, const char *file, uint64_t v)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, v);
	return cgroup_write(dir, file, text);
}

static int limit_cpu(struct launch_cgroup *cg, const struct pol_limits *l)
{
	const bool v2 = cg->in->kind == LAUNCH_CG_V2;
	const int dir = cg->dir[v2 ? 0 : cg->in->cpu];
	const unsigned quota = l->cpu_millis * (CPU_PERIOD_US / 1000);
	char both[48];

	if (!quota)
		return 0;
	snprintf(both, sizeof(both), "%u %u", quota, CPU_PERIOD_US);
	if (v2)
		return cgroup_write(dir, "cpu.max", both);
	return write_number(dir, "cpu.cfs_period_us", CPU_PERIOD_US) ||
			       write_number(dir, "cpu.cfs_quota_us", quota)
		       ? -1
		       : 0;
}

static int limit_v1(struct launch_cgroup *cg, const struct pol_limits *l)
{
	const struct launch_cgroups *in = cg->in;
	int mem = cg->dir[in->memory];
	const uint64_t bytes = l->memory_bytes;

	if (write_number(mem, "memory.limit_in_bytes", bytes) ||
	    write_number(cg->dir[in->pids], "pids.max", l->processes) ||
	    limit_cpu(cg, l))
		return -1;
	/* no swap: absent without swap accounting, and then the next line holds */
	if (write_number(mem, "memory.memsw.limit_in_bytes", bytes) && errno != ENOENT)
		return -1;
	return write_number(mem, "memory.swappiness", 0);
}

static int limit_v2(struct launch_cgroup *cg, const struct pol_limits *l)
{
	int dir = cg->dir[0];

	if (write_number(dir, "memory.max", l->memory_bytes) ||
	    write_number(dir, "pids.max", l->processes) || limit_cpu(cg, l) ||
	    cgroup_write(dir, "memory.oom.group", "1"))
		return -1;
	/* absent in kernels without swap */
	return write_number(dir, "memory.swap.max", 0) && errno != ENOENT ? -1 : 0;
}

/* v1 kills one process at a time and only an eventfd tells at once (cgroup-v1/memory.rst, 9). */
static int watch_oom_v1(struct launch_cgroup *cg)
{
	int mem = cg->dir[cg->in->memory];
	AUTO_FD control = openat(mem, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	char text[32];

	cg->oom_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control < 0 || cg->oom_event < 0)
		return -1;
	snprintf(text, sizeof(text), "%d %d", cg->oom_event, control);
	return cgroup_write(mem, "cgroup.event_control", text);
}

static int open_dirs(struct launch_cgroup *cg, bool entered)
{
	const struct launch_cgroups *in = cg->in;
	/* `tasks`, not cgroup.procs: 0.1 ms against 6 to 16 (no threadgroup lock). In v2 there is no choice, and where a
	 * process can be born inside, none is needed. */
	const char *const join = in->kind == LAUNCH_CG_V1 ? "tasks"
				 : entered		  ? "cgroup.procs"
							  : NULL;

	for (unsigned i = 0; i < in->nparents; i++) {
		if (mkdirat(in->parent[i], cg->name, 0755))
			return -1;
		cg->dir[cg->ndirs] = openat(in->parent[i], cg->name,
					    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cg->join[cg->ndirs] = -1;
		if (cg->dir[cg->ndirs++] < 0)
			return -1;
		if (!join)
			continue;
		cg->join[i] = openat(cg->dir[i], join, O_WRONLY | O_CLOEXEC);
		if (cg->join[i] < 0)
			return -1;
	}
	return 0;
}

/* Opened once: a session's are read at both ends of each of its calls, and opening takes longer. */
static void open_counters(struct launch_cgroup *cg, bool entered)
{
	static const char *const v1[LAUNCH_CG_COUNTERS] = {
		"cpuacct.usage", "memory.max_usage_in_bytes", "memory.oom_control",
		"pids.events"};
	static const char *const v2[LAUNCH_CG_COUNTERS] = {
		"cpu.stat", "memory.peak", "memory.events", "pids.events"};
	const struct launch_cgroups *in = cg->in;
	const int at[LAUNCH_CG_COUNTERS] = {in->cpuacct, in->memory, in->memory,
					    in->pids};
	int fd;

	for (unsigned i = 0; i < LAUNCH_CG_COUNTERS; i++)
		if (in->kind == LAUNCH_CG_V2)
			cg->counter[i] =
				openat(cg->dir[0], v2[i], O_RDONLY | O_CLOEXEC);
		else if (at[i] >= 0)
			cg->counter[i] =
				openat(cg->dir[at[i]], v1[i], O_RDONLY | O_CLOEXEC);
	if (!entered)
		return;
	/* what may be written to it; in v2 since Linux 6.12, for reads of this descriptor */
	fd = openat(cg->dir[at[LAUNCH_CG_PEAK]],
		    (in->kind == LAUNCH_CG_V2 ? v2 : v1)[LAUNCH_CG_PEAK],
		    O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		fd_close(&cg->counter[LAUNCH_CG_PEAK]);
		cg->counter[LAUNCH_CG_PEAK] = fd;
	}
}

void cgroup_forget_peak(const struct launch_cgroup *cg)
{
	const int fd = cg->ndirs ? cg->counter[LAUNCH_CG_PEAK] : -1;

	if (fd >= 0 && pwrite(fd, "0", 1, 0) != 1)
		return; /* then what was before counts, too */
}

void launch_cgroup_joined(struct launch_cgroup *cg)
{
	for (unsigned i = 0; i < cg->ndirs; i++)
		fd_close(&cg->join[i]);
}

int launch_cgroup_make(struct launch_cgroups *c, const struct pol_limits *limits,
		       struct launch_cgroup *ret, struct err *e)
{
	static const struct cgroup_own own = {.memory_bytes = OWN_MEMORY_BYTES,
					      .processes = OWN_PROCESSES};

	return cgroup_make(c, limits, &own, ret, e);
}

int cgroup_make(struct launch_cgroups *c, const struct pol_limits *limits,
		const struct cgroup_own *own, struct launch_cgroup *ret, struct err *e)
{
	struct launch_cgroup cg = {.in = c, .oom_event = -1};
	struct pol_limits l = *limits;
	int bad;

	for (unsigned i = 0; i < LAUNCH_CG_COUNTERS; i++)
		cg.counter[i] = -1;
	snprintf(cg.name, sizeof(cg.name), "r%u", c->next++);
	if (c->kind == LAUNCH_CG_NONE) {
		*ret = cg;
		return 0;
	}
	l.memory_bytes += own->memory_bytes;
	l.processes += own->processes;
	bad = open_dirs(&cg, own->entered);
	if (!bad)
		bad = c->kind == LAUNCH_CG_V2 ? limit_v2(&cg, &l)
					      : limit_v1(&cg, &l) || watch_oom_v1(&cg);
	if (bad) {
		err_sys(e, "cgroup %s", cg.name);
		launch_cgroup_remove(&cg);
		return -1;
	}
	open_counters(&cg, own->entered);
	*ret = cg;
	return 0;
}

static uint64_t count(const struct launch_cgroup *cg, unsigned which, const char *key)
{
	char text[4096];
	ssize_t n = cg->counter[which] < 0
			    ? -1
			    : pread(cg->counter[which], text, sizeof(text) - 1, 0);

	if (n < 0)
		return 0;
	text[n] = '\0';
	return number_in(text, key);
}

void launch_cgroup_usage(const struct launch_cgroup *cg, struct launch_usage *ret)
{
	const bool v2 = cg->ndirs && cg->in->kind == LAUNCH_CG_V2;

	*ret = (struct launch_usage){0};
	if (!cg->ndirs)
		return;
	ret->limits_gone = v2 && faccessat(cg->dir[0], "memory.max", F_OK, 0) != 0;
	ret->cpu_us = v2 ? count(cg, LAUNCH_CG_CPU, "usage_usec ")
			 : count(cg, LAUNCH_CG_CPU, "") / 1000;
	ret->peak_memory_bytes = count(cg, LAUNCH_CG_PEAK, "");
	ret->oom_kills = count(cg, LAUNCH_CG_OOM, "oom_kill ");
	ret->pids_denied = count(cg, LAUNCH_CG_PIDS, "max ");
}

void cgroup_kill_dir(int dir)
{
	char text[8192];
	struct sv rest, line;
	bool more = true;
	uint64_t pid;

	/* v2, since Linux 5.14: all at once, forks included */
	if (!cgroup_write(dir, "cgroup.kill", "1"))
		return;
	if (cgroup_read(dir, "cgroup.procs", text, sizeof(text)) < 0)
		return;
	rest = sv_of(text);
	while (sv_cut(&rest, '\n', &more, &line))
		if (!sv_to_u64(line, &pid) && pid > 1)
			kill((pid_t)pid, SIGKILL);
}

void launch_cgroup_kill(const struct launch_cgroup *cg)
{
	if (cg->ndirs)
		cgroup_kill_dir(cg->dir[0]);
}

bool launch_cgroup_is_empty(const struct launch_cgroup *cg)
{
	char text[64];
	ssize_t n;

	if (!cg->ndirs)
		return true;
	if (cg->in->kind == LAUNCH_CG_V2)
		return !cgroup_number(cg->dir[0], "cgroup.events", "populated ");
	/* removed: by another server, which found that our first process had died */
	n = cgroup_read(cg->dir[0], "cgroup.procs", text, sizeof(text));
	return !n || (n < 0 && (errno == ENOENT || errno == ENODEV));
}

int launch_cgroup_remove(struct launch_cgroup *cg)
{
	for (unsigned i = 0; cg->ndirs && i < cg->in->nparents; i++)
		if (unlinkat(cg->in->parent[i], cg->name, AT_REMOVEDIR) &&
		    errno != ENOENT)
			return -1;
	for (unsigned i = 0; i < cg->ndirs; i++) {
		fd_close(&cg->dir[i]);
		fd_close(&cg->join[i]);
	}
	if (cg->ndirs)
		for (unsigned i = 0; i < LAUNCH_CG_COUNTERS; i++)
			fd_close(&cg->counter[i]);
	cg->ndirs = 0;
	fd_close(&cg->oom_event);
	return 0;
}
