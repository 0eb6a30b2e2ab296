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

const char *const host_etc_paths[HOST_ETC_FILES] = {"/etc/passwd", "/etc/group",
						    "/etc/hosts", "/etc/nsswitch.conf"};

/* an option and its values on one line */
/* clang-format off */
static const char *const namespaces[] = {
	"bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
	"--unshare-uts", "--unshare-cgroup", "--disable-userns", "--as-pid-1",
	"--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox",
	"--uid", "1000", "--gid", "1000",
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
_Static_assert(GUEST_SELF_FD == 4, "the last argument names the guest's descriptor");

static const char *const top_dirs[HOST_TOP_DIRS] = {"/bin", "/sbin", "/lib", "/lib32",
						    "/lib64"};
static const char *const etc_fds[HOST_ETC_FILES] = {"5", "6", "7", "8"};

static void add(struct launch_host *h, unsigned *n, const char *arg)
{
	union {
		const char *in;
		char *out; /* execve's prototype lacks the const it keeps */
	} u = {arg};

	must(*n + 1 < HOST_MAX_ARGV);
	h->argv[(*n)++] = u.out;
	h->argv[*n] = NULL;
}

static void add_all(struct launch_host *h, unsigned *n, const char *const *list,
		    size_t len)
{
	for (size_t i = 0; i < len; i++)
		add(h, n, list[i]);
}

/* What runtimes that are here read below /etc, as far as it is there. Rows may name the same. */
static void add_config(struct launch_host *h, unsigned *n)
{
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		for (const char *const *at = pol_runtimes[i].etc;
		     h->facts.host.path[i][0] && *at; at++) {
			add(h, n, "--ro-bind-try");
			add(h, n, *at);
			add(h, n, *at);
		}
}

void host_build_argv(struct launch_host *h)
{
	unsigned n = 0;

	add_all(h, &n, namespaces, ARRAY_LEN(namespaces));
	add_all(h, &n, tree, ARRAY_LEN(tree));
	for (unsigned i = 0; i < HOST_TOP_DIRS; i++) {
		const char *to = h->top_target[i];

		if (to[0] == '-')
			continue;
		add(h, &n, to[0] ? "--symlink" : "--ro-bind");
		add(h, &n, to[0] ? to : top_dirs[i]);
		add(h, &n, top_dirs[i]);
	}
	if (h->image >= 0) {
		add(h, &n, "--ro-bind");
		add(h, &n, CHILD_IMAGE_AT);
		add(h, &n, GUEST_IMAGE_DIR);
	}
	add_config(h, &n);
	for (unsigned i = 0; i < HOST_ETC_FILES; i++) {
		add(h, &n, "--perms");
		add(h, &n, "0444");
		add(h, &n, "--file");
		add(h, &n, etc_fds[i]);
		add(h, &n, host_etc_paths[i]);
	}
	add_all(h, &n, last, ARRAY_LEN(last));
}
