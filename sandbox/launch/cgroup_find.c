/* cgroup_find.c: which cgroup controllers this process may use, and where.
 *
 * Theory of operation. v1: each of memory, pids, cpu, cpuacct is a hierarchy of its own (or shares
 * one); ours go below the cgroup this process is in. v2: one tree; controllers can be handed on
 * only by a cgroup without processes, so launch_cgroups_prepare() moves the server into the leaf
 * `fumehood-<id>-main` first and the sandboxes become its siblings. Where the own cgroup holds
 * foreign processes (a login session) root falls back to the top of the tree. In each place a
 * server makes one folder, `fumehood-<id>`, while it still has every privilege, and the sandboxes'
 * cgroups in it; so the keeper needs none later. The id is the pid namespace, pid and start time
 * of the server's first process: a later server can tell which are left over, and sweeps them. */
#include "sandbox/launch/cgroup.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define MAIN_LEAF "-main"

static int start_time(pid_t pid, uint64_t *ret)
{
	char path[64];
	AUTO_BUF b = {0};
	struct sv rest, part;
	ptrdiff_t at;
	bool more = true;

	buf_init(&b, 4096);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fd_read_file(path, &b, NULL))
		return -1;
	/* field 22; the command in field 2 may hold anything up to the last ')' */
	rest = buf_view(&b);
	for (at = (ptrdiff_t)rest.n - 1; at >= 0 && rest.p[at] != ')'; at--)
		;
	if (at < 0 || (size_t)at + 2 >= rest.n)
		return -1;
	rest = (struct sv){rest.p + at + 2, rest.n - (size_t)at - 2};
	for (int field = 3; sv_cut(&rest, ' ', &more, &part); field++)
		if (field == 22)
			return sv_to_u64(part, ret);
	return -1;
}

int cgroup_owner_id(pid_t pid, char *dst, size_t size)
{
	struct stat st;
	uint64_t started;

	if (stat("/proc/self/ns/pid", &st) || start_time(pid, &started))
		return -1;
	snprintf(dst, size, "%llu-%d-%" PRIu64, (unsigned long long)st.st_ino, (int)pid,
		 started);
	return 0;
}

/* True when `name` (after the prefix) belongs to a server of this pid namespace that is no more. */
static bool owner_is_dead(struct sv name)
{
	struct sv ns, pid, started;
	uint64_t ns_id, pid_id, was, now;
	struct stat st;
	bool more = true;

	if (!sv_cut(&name, '-', &more, &ns) || !sv_cut(&name, '-', &more, &pid) ||
	    !sv_cut(&name, '-', &more, &started) || sv_to_u64(ns, &ns_id) ||
	    sv_to_u64(pid, &pid_id) || sv_to_u64(started, &was) ||
	    stat("/proc/self/ns/pid", &st))
		return false;
	if (ns_id != (uint64_t)st.st_ino)
		return false; /* another container's: not ours to judge */
	return start_time((pid_t)pid_id, &now) || now != was;
}

/* --- /proc/self/cgroup and mountinfo ---------------------------------------------------------- */

static bool has_word(struct sv list, char sep, const char *word)
{
	struct sv part;
	bool more = true;

	while (sv_cut(&list, sep, &more, &part))
		if (sv_eq(part, sv_of(word)))
			return true;
	return false;
}

/* The path of this process' cgroup in the hierarchy of `controller` ("" for v2). */
static int own_path(const char *controller, char *dst, size_t size)
{
	AUTO_BUF b = {0};
	struct sv rest, line, hierarchy, list;
	bool more = true;

	buf_init(&b, 16384);
	if (fd_read_file("/proc/self/cgroup", &b, NULL))
		return -1;
	rest = buf_view(&b);
	while (sv_cut(&rest, '\n', &more, &line)) {
		bool m = true;

		if (!sv_cut(&line, ':', &m, &hierarchy) ||
		    !sv_cut(&line, ':', &m, &list))
			continue;
		if (*controller ? has_word(list, ',', controller)
				: sv_eq(hierarchy, SV("0")))
			return sv_copy(line, dst, size);
	}
	return -1;
}

/* Where the hierarchy of `controller` ("" for v2) is mounted: fields 5 and the last of mountinfo. */
static int mount_point(const char *controller, char *dst, size_t size)
{
	AUTO_BUF b = {0};
	struct sv rest, line;
	bool more = true;

	buf_init(&b, 1 << 20);
	if (fd_read_file("/proc/self/mountinfo", &b, NULL))
		return -1;
	rest = buf_view(&b);
	while (sv_cut(&rest, '\n', &more, &line)) {
		struct sv part, at = {"", 0}, type = {"", 0}, last = {"", 0};
		bool m = true, tail = false;
		int field = 1;

		for (; sv_cut(&line, ' ', &m, &part); field++) {
			if (field == 5)
				at = part;
			if (tail && !type.n)
				type = part;
			tail |= field > 6 && sv_eq(part, SV("-"));
			last = part;
		}
		if (*controller ? sv_eq(type, SV("cgroup")) &&
					  has_word(last, ',', controller)
				: sv_eq(type, SV("cgroup2")))
			return sv_copy(at, dst, size);
	}
	return -1;
}

static int open_own(const char *controller)
{
	char at[512], path[512], whole[1100];

	if (mount_point(controller, at, sizeof(at)) ||
	    own_path(controller, path, sizeof(path)))
		return -1;
	snprintf(whole, sizeof(whole), "%s%s", at, path);
	return open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* --- v2 --------------------------------------------------------------------------------------- */

static const char wanted[] = "+memory +pids +cpu";

static bool has_controllers(int dir, const char *file)
{
	char text[512];
	struct sv list;

	if (cgroup_read(dir, file, text, sizeof(text)) < 0)
		return false;
	list = sv_trim(sv_of(text));
	return has_word(list, ' ', "memory") && has_word(list, ' ', "pids") &&
	       has_word(list, ' ', "cpu");
}

void launch_cgroups_prepare(void)
{
	AUTO_FD dir = open_own("");
	AUTO_FD leaf = -1;
	char id[64], name[96], path[512];

	if (dir < 0 || !has_controllers(dir, "cgroup.controllers") ||
	    own_path("", path, sizeof(path)) || !cgroup_is_delegated(dir, path) ||
	    cgroup_owner_id(getpid(), id, sizeof(id)))
		return;
	snprintf(name, sizeof(name), CG_PREFIX "%s" MAIN_LEAF, id);
	if (mkdirat(dir, name, 0755))
		return;
	leaf = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (leaf >= 0 && !cgroup_write(leaf, "cgroup.procs", "0") &&
	    !cgroup_write(dir, "cgroup.subtree_control", wanted))
		return;
	/* foreign processes live here: back to where we were, and launch_cgroups_open tries the top */
	if (leaf >= 0)
		cgroup_write(dir, "cgroup.procs", "0");
	unlinkat(dir, name, AT_REMOVEDIR);
}

/* The folder our v2 cgroups go to, or -1: the parent of the leaf we were moved to, or the top. */
static int open_v2_parent(void)
{
	char at[512], path[512], whole[1100];
	AUTO_FD dir = -1;

	if (mount_point("", at, sizeof(at)) || own_path("", path, sizeof(path)))
		return -1;
	if (sv_ends(sv_of(path), SV(MAIN_LEAF)) && strrchr(path, '/')) {
		*strrchr(path, '/') = '\0';
		snprintf(whole, sizeof(whole), "%s%s", at, path);
	} else {
		snprintf(whole, sizeof(whole), "%s", at);
	}
	dir = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || faccessat(dir, "cgroup.procs", W_OK, 0))
		return -1;
	if (!has_controllers(dir, "cgroup.subtree_control"))
		cgroup_write(dir, "cgroup.subtree_control", wanted);
	return has_controllers(dir, "cgroup.subtree_control") ? fd_steal(&dir) : -1;
}

static int open_v2(struct launch_cgroups *c)
{
	int dir = open_v2_parent();

	if (dir < 0)
		return -1;
	c->kind = LAUNCH_CG_V2;
	c->parent[c->nparents++] = dir;
	c->memory = c->pids = c->cpu = c->cpuacct = 0;
	return 0;
}

/* --- v1 --------------------------------------------------------------------------------------- */

/* Index of the hierarchy of `controller`, opened if it is not yet; -1 when there is none to use. */
static int open_v1_one(struct launch_cgroups *c, const char *controller)
{
	AUTO_FD dir = open_own(controller);
	struct stat st, other;

	if (dir < 0 || faccessat(dir, ".", W_OK, AT_EACCESS) || fstat(dir, &st))
		return -1;
	for (unsigned i = 0; i < c->nparents; i++)
		if (!fstat(c->parent[i], &other) && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino)
			return (int)i; /* mounted together, as cpu,cpuacct often are */
	c->parent[c->nparents] = fd_steal(&dir);
	return (int)c->nparents++;
}

static int open_v1(struct launch_cgroups *c)
{
	c->memory = open_v1_one(c, "memory");
	c->pids = open_v1_one(c, "pids");
	c->cpu = open_v1_one(c, "cpu");
	c->cpuacct = open_v1_one(c, "cpuacct");
	if (c->memory < 0 || c->pids < 0 || c->cpu < 0)
		return -1;
	c->kind = LAUNCH_CG_V1;
	return 0;
}

/* --- both --------------------------------------------------------------------------------------- */

static void start_empty(struct launch_cgroups *c)
{
	*c = (struct launch_cgroups){
		.memory = -1, .pids = -1, .cpu = -1, .cpuacct = -1};
}

/* Replaces each place by this server's own folder there. */
static int enter_own(struct launch_cgroups *c)
{
	char name[96];

	snprintf(name, sizeof(name), CG_PREFIX "%s", c->id);
	for (unsigned i = 0; i < c->nparents; i++) {
		AUTO_FD dir = -1;

		if (mkdirat(c->parent[i], name, 0755) && errno != EEXIST)
			return -1;
		dir = openat(c->parent[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || (c->kind == LAUNCH_CG_V2 &&
				cgroup_write(dir, "cgroup.subtree_control", wanted)))
			return -1;
		fd_close(&c->parent[i]);
		c->parent[i] = fd_steal(&dir);
	}
	return 0;
}

void launch_cgroups_open(struct launch_cgroups *c, char *why, size_t why_size)
{
	start_empty(c);
	snprintf(why, why_size, "%s", "");
	/* the id is the parent's: it outlives this role and sweeps after it */
	if (cgroup_owner_id(getppid(), c->id, sizeof(c->id))) {
		snprintf(why, why_size, "/proc is not readable");
		return;
	}
	if (!open_v2(c) && !enter_own(c))
		return;
	launch_cgroups_close(c);
	if (!open_v1(c) && !enter_own(c))
		return;
	launch_cgroups_close(c);
	snprintf(
		why, why_size,
		"no writable cgroup with memory, pids and cpu: limits are rlimits only");
}

void launch_cgroups_close(struct launch_cgroups *c)
{
	char id[64];

	for (unsigned i = 0; i < c->nparents; i++)
		fd_close(&c->parent[i]);
	memcpy(id, c->id, sizeof(id));
	start_empty(c);
	memcpy(c->id, id, sizeof(id));
}

/* A cgroup cannot be removed before its last process is gone; a killed one goes within
 * milliseconds. */
static void remove_dead(int parent, const char *name)
{
	AUTO_FD dir =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	const struct timespec pause = {0, 1000000};

	for (int i = 0; dir >= 0 && i < 500; i++) {
		cgroup_kill_dir(dir);
		if (!unlinkat(parent, name, AT_REMOVEDIR) || errno != EBUSY)
			return;
		nanosleep(&pause, NULL);
	}
}

/* A server's folder and the sandboxes' in it. */
static void remove_server(int parent, const char *name)
{
	AUTO_FD dir =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int again = dir < 0 ? -1 : fcntl(dir, F_DUPFD_CLOEXEC, 3);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *row;

	if (!d) {
		fd_close(&again);
		return;
	}
	while ((row = readdir(d)))
		if (row->d_type == DT_DIR && row->d_name[0] == 'r')
			remove_dead(dir, row->d_name);
	closedir(d);
	unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweep_dir(int parent, struct sv own)
{
	int again = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *row;

	if (!d) {
		fd_close(&again);
		return;
	}
	while ((row = readdir(d))) {
		struct sv name = sv_of(row->d_name);

		if (!sv_starts(name, SV(CG_PREFIX)) || sv_ends(name, SV(MAIN_LEAF)))
			continue;
		name.p += sizeof(CG_PREFIX) - 1, name.n -= sizeof(CG_PREFIX) - 1;
		if (own.n ? sv_eq(name, own) : owner_is_dead(name))
			remove_server(parent, row->d_name);
	}
	closedir(d);
}

/* v2: the leaf of a dead server, or our own when we are its last process: then we must leave it. */
static void sweep_leaves(int parent, bool own_too, struct sv own)
{
	int again = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *row;

	if (!d) {
		fd_close(&again);
		return;
	}
	while ((row = readdir(d))) {
		struct sv name = sv_of(row->d_name);

		if (!sv_starts(name, SV(CG_PREFIX)) || !sv_ends(name, SV(MAIN_LEAF)))
			continue;
		name.p += sizeof(CG_PREFIX) - 1, name.n -= sizeof(CG_PREFIX) - 1;
		if (own_too && sv_starts(name, own)) {
			/* controllers off first: a cgroup that hands them on takes no process */
			cgroup_write(parent, "cgroup.subtree_control",
				     "-memory -pids -cpu");
			cgroup_write(parent, "cgroup.procs", "0");
			unlinkat(parent, row->d_name, AT_REMOVEDIR);
		} else if (owner_is_dead(name)) {
			unlinkat(parent, row->d_name, AT_REMOVEDIR);
		}
	}
	closedir(d);
}

void launch_cgroups_sweep(pid_t owner_pid, bool own_too)
{
	struct launch_cgroups c;
	char own[80] = "";

	start_empty(&c);
	if (open_v2(&c)) {
		launch_cgroups_close(&c);
		if (open_v1(&c)) {
			launch_cgroups_close(&c);
			return;
		}
	}
	if (own_too && cgroup_owner_id(owner_pid, own, sizeof(own) - 1))
		own_too = false;
	for (unsigned i = 0; i < c.nparents; i++) {
		if (own_too)
			sweep_dir(c.parent[i], sv_of(own));
		sweep_dir(c.parent[i], SV(""));
		if (c.kind == LAUNCH_CG_V2)
			sweep_leaves(c.parent[i], own_too, sv_of(own));
	}
	launch_cgroups_close(&c);
}
