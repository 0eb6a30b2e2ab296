/* argv.c: what bwrap is told: the outer wall, in one place.
 *
 * No mask on /proc here: a masked procfs makes the kernel refuse every later mount of a fresh one
 * in a room (mount_too_revealing), so rooms mask their own. Nothing is mounted, made or linked
 * below anything a tenant can write (CVE-2026-87766): the only writable trees are tmpfs mounted in
 * the rooms, later, by the guest. GUEST_RUN_DIR is where one of a session's is mounted; in all else
 * it stays an empty folder. */
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/launch/child.h"
#include "sandbox/launch/host.h"

#include <unistd.h>

const char *const host_etc_paths[HOST_ETC_FILES] = {"/etc/passwd", "/etc/group",
						    "/etc/hosts", "/etc/nsswitch.conf"};

/* an option and its values on one line */
/* clang-format off */
static const char *const own_userns[] = {
	"--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000",
};

/* One that is there already (child_ids.c), where only as many further ones can be made as are needed: bwrap refuses
 * --disable-userns then. */
static const char *const given_userns[] = {"--userns", "9"};
_Static_assert(HOST_FDS == 9, "the namespace's descriptor");

/* Where cells have uids in it, the guest makes each what it is to be. */
static const char *const changes_uids[] = {
	"--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
};

static const char *const namespaces[] = {
	"--unshare-pid", "--unshare-net", "--unshare-ipc",
	"--unshare-uts", "--unshare-cgroup", "--as-pid-1",
	"--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox",
	/* the guest's, in its own user namespace only: make rooms, enter them, give all up */
	"--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_NET_ADMIN",
	"--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_SYS_CHROOT", "--cap-add", "CAP_SYS_PTRACE",
	"--cap-add", "CAP_KILL",
};

static const char *const tree[] = {
	"--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/alternatives", "/etc/alternatives",
	"--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
	"--symlink", "../usr/lib/os-release", "/etc/os-release",
	"--symlink", "/proc/self/mounts", "/etc/mtab",
	"--proc", "/proc", "--dev", "/dev",
	"--dir", "/workspace", "--dir", "/tmp", "--dir", "/run/empty", "--dir", "/var/tmp",
	"--dir", GUEST_RUN_DIR,
};

static const char *const last[] = {
	"--remount-ro", "/dev", "--remount-ro", "/", "--", "/proc/self/fd/4",
};
_Static_assert(GUEST_SELF_FD == 4, "the last argument names the guest's descriptor");
/* clang-format on */

static const char *const top_dirs[HOST_TOP_DIRS] = {"/bin", "/sbin", "/lib", "/lib32",
						    "/lib64"};
static const char *const etc_fds[HOST_ETC_FILES] = {"5", "6", "7", "8"};

/* One of the two lists, and how long it is. */
struct list {
	char **argv;
	unsigned n;
};

static void add(struct list *l, const char *arg)
{
	union {
		const char *in;
		char *out; /* execve's prototype lacks the const it keeps */
	} u = {arg};

	must(l->n + 1 < HOST_MAX_ARGV);
	l->argv[l->n++] = u.out;
	l->argv[l->n] = NULL;
}

static void add_all(struct list *l, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(l, words[i]);
}

/* What runtimes that are here read below /etc, as far as it is there. Rows may name the same. */
static void add_config(const struct launch_host *h, struct list *l)
{
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		for (const char *const *at = pol_runtimes[i].etc;
		     h->facts.host.path[i][0] && *at; at++) {
			add(l, "--ro-bind-try");
			add(l, *at);
			add(l, *at);
		}
}

/* The same for all, but for the user namespace. */
static void add_rest(const struct launch_host *h, struct list *l)
{
	add_all(l, tree, ARRAY_LEN(tree));
	for (unsigned i = 0; i < HOST_TOP_DIRS; i++) {
		const char *to = h->top_target[i];

		if (to[0] == '-')
			continue;
		add(l, to[0] ? "--symlink" : "--ro-bind");
		add(l, to[0] ? to : top_dirs[i]);
		add(l, top_dirs[i]);
	}
	if (h->image >= 0) {
		add(l, "--ro-bind");
		add(l, CHILD_IMAGE_AT);
		add(l, GUEST_IMAGE_DIR);
	}
	add_config(h, l);
	for (unsigned i = 0; i < HOST_ETC_FILES; i++) {
		add(l, "--perms");
		add(l, "0444");
		add(l, "--file");
		add(l, etc_fds[i]);
		add(l, host_etc_paths[i]);
	}
	add_all(l, last, ARRAY_LEN(last));
}

/* Folders that only lead to a mount are made by bwrap for the sandbox's own uid: not for cells of another one. */
static bool add_folder(struct list *l, const char *path)
{
	for (unsigned i = 0; i + 1 < l->n; i++)
		if (!strcmp(l->argv[i], "--dir") && !strcmp(l->argv[i + 1], path))
			return false;
	add(l, "--perms");
	add(l, "0755");
	add(l, "--dir");
	add(l, path);
	return true;
}

/* Those on the way to what add_config adds: "/etc", and "/etc/ssl" for "/etc/ssl/certs". */
static void add_way_to(struct launch_host *h, struct list *l, const char *path)
{
	for (size_t i = 1; path[i]; i++) {
		char *at = h->way[h->nways];

		if (path[i] != '/' || i >= sizeof(h->way[0]) ||
		    h->nways == HOST_MAX_WAYS - 1)
			continue;
		memcpy(at, path, i);
		at[i] = '\0';
		if (add_folder(l, at))
			h->nways++;
	}
}

static void add_ways(struct launch_host *h, struct list *l)
{
	add_folder(l, "/etc");
	if (h->image >= 0)
		add_way_to(h, l, GUEST_IMAGE_DIR);
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		for (const char *const *at = pol_runtimes[i].etc;
		     h->facts.host.path[i][0] && *at; at++)
			if (!access(*at, F_OK))
				add_way_to(h, l, *at);
}

void host_build_argv(struct launch_host *h)
{
	struct list one = {h->argv, 0}, cells = {h->cells_argv, 0};

	add(&one, "bwrap");
	add_all(&one, own_userns, ARRAY_LEN(own_userns));
	add_all(&one, namespaces, ARRAY_LEN(namespaces));
	add_rest(h, &one);
	add(&cells, "bwrap");
	add_all(&cells, namespaces, ARRAY_LEN(namespaces));
	add_all(&cells, given_userns, ARRAY_LEN(given_userns));
	if (h->facts.root)
		add_all(&cells, changes_uids, ARRAY_LEN(changes_uids));
	add_ways(h, &cells);
	add_rest(h, &cells);
}
