/* namespaces.c: group N, namespaces, mounts and capabilities. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* The kernel answers ENOSPC where the number of namespaces is limited to none. */
static void judge_namespace(struct finding *f, long rv)
{
	if (rv < 0 && errno == ENOSPC)
		found(f, BLOCKED, "ENOSPC");
	else
		judge_call(f, rv);
}

static void unshare_one(struct finding *f, const struct probe *p)
{
	judge_namespace(f, syscall(SYS_unshare, p->nr));
}

static void clone_with(struct finding *f, const struct probe *p)
{
	long r = syscall(SYS_clone, (unsigned long)p->nr | SIGCHLD, 0, 0, 0, 0);

	if (!r)
		_exit(0);
	judge_namespace(f, r);
}

static void clone3_with(struct finding *f, const struct probe *p)
{
	uint64_t args[11] = {[0] = (uint64_t)p->nr, [4] = SIGCHLD};
	long r = syscall(SYS_clone3, args, sizeof(args));

	if (!r)
		_exit(0);
	judge_namespace(f, r);
}

static void enter_namespace(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC);

	judge_path(f, fd < 0 ? -1 : setns(fd, 0));
}

static void enter_by_pidfd(struct finding *f, const struct probe *p)
{
	long fd = syscall(SYS_pidfd_open, getpid(), 0);

	judge_call(f, fd < 0 ? -1 : setns((int)fd, (int)p->nr));
}

static void mount_tmpfs(struct finding *f, const struct probe *p)
{
	judge_call(f, mount("none", p->path, "tmpfs", 0, NULL));
}

static void mount_bind(struct finding *f, const struct probe *p)
{
	judge_call(f, mount(p->path, ".", NULL, MS_BIND, NULL));
}

static void remount_writable(struct finding *f, const struct probe *p)
{
	judge_call(f, mount(NULL, p->path, NULL, MS_REMOUNT | MS_BIND, NULL));
}

static void make_shared(struct finding *f, const struct probe *p)
{
	judge_call(f, mount(NULL, p->path, NULL, MS_SHARED | MS_REC, NULL));
}

static void unmount(struct finding *f, const struct probe *p)
{
	judge_call(f, umount2(p->path, MNT_DETACH));
}

/* Becoming user 0 of a user namespace of one's own: the way to every capability. */
static void become_root(struct finding *f, const struct probe *p)
{
	char map[64];
	int n = snprintf(map, sizeof(map), "0 %u 1", p->nr ? getgid() : getuid()), fd;

	unshare(CLONE_NEWUSER);
	if (p->nr && (fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC)) >= 0 &&
	    write(fd, "deny", 4) < 0)
		close(fd);
	fd = open(p->path, O_WRONLY | O_CLOEXEC);
	judge_path(f, fd < 0 ? -1 : write(fd, map, (size_t)n));
}

static void open_for_writing(struct finding *f, const struct probe *p)
{
	judge_path(f, open(p->path, O_WRONLY | O_CLOEXEC));
}

static void any_capability(struct finding *f, const struct probe *p)
{
	char buf[8192], *save = NULL;

	if (read_whole("/proc/self/status", buf, sizeof(buf)) < 0) {
		found(f, UNKNOWN, "no status");
		return;
	}
	found(f, UNKNOWN, "no line %s", p->path);
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		size_t k = strlen(p->path);

		if (strncmp(l, p->path, k) || l[k] != ':')
			continue;
		if (strspn(l + k + 1, "\t 0") == strlen(l + k + 1))
			found(f, BLOCKED, "none");
		else
			found(f, OPEN, "%.60s", l);
	}
}

static void lacks_no_new_privs(struct finding *f, const struct probe *p)
{
	(void)p;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		found(f, BLOCKED, "set");
	else
		found(f, OPEN, "not set");
}

static int take_capabilities(uint32_t inheritable)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{1u << CAP_SYS_ADMIN, 1u << CAP_SYS_ADMIN, inheritable}, {0, 0, 0}};

	return (int)syscall(SYS_capset, &head, data);
}

static void set_capabilities(struct finding *f, const struct probe *p)
{
	(void)p;
	judge_call(f, take_capabilities(0));
}

static void raise_ambient(struct finding *f, const struct probe *p)
{
	(void)p;
	take_capabilities(1u << CAP_SYS_ADMIN);
	judge_call(f, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
}

static void set_securebits(struct finding *f, const struct probe *p)
{
	(void)p;
	judge_call(f, prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
}

static void find_setuid(struct finding *f, const struct probe *p)
{
	DIR *d = opendir(p->path);
	const struct dirent *en;
	struct stat st;

	found(f, BLOCKED, "none");
	while (d && (en = readdir(d)))
		if (!fstatat(dirfd(d), en->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		    S_ISREG(st.st_mode) && st.st_mode & (S_ISUID | S_ISGID)) {
			found(f, OPEN, "%.100s", en->d_name);
			return;
		}
}

/* True once the process' effective user is 0 although ours is not. */
static bool became_root(pid_t pid)
{
	char path[64], buf[4096];
	const char *line;
	unsigned real, effective;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (read_whole(path, buf, sizeof(buf)) < 0)
		return false;
	line = strstr(buf, "\nUid:");
	return line && sscanf(line, "\nUid: %u %u", &real, &effective) == 2 &&
	       effective == 0 && real != 0;
}

/* su waits for a password on its standard input; what it runs as meanwhile is in
 * /proc. */
static void run_setuid(struct finding *f, const struct probe *p)
{
	char *argv[] = {(char[]){"su"}, NULL}, *envp[] = {NULL};
	const struct timespec tick = {0, 1000000};
	posix_spawn_file_actions_t io;
	int hold[2], st;
	pid_t pid;

	if (pipe2(hold, O_CLOEXEC))
		return;
	posix_spawn_file_actions_init(&io);
	posix_spawn_file_actions_adddup2(&io, hold[0], 0);
	posix_spawn_file_actions_addopen(&io, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&io, 1, 2);
	if (posix_spawn(&pid, p->path, &io, NULL, argv, envp)) {
		found(f, BLOCKED, "cannot be run");
		return;
	}
	found(f, BLOCKED, "runs without root's identity");
	for (int i = 0; i < 300 && waitpid(pid, &st, WNOHANG) == 0; i++) {
		if (became_root(pid)) {
			found(f, OPEN, "runs as root");
			break;
		}
		nanosleep(&tick, NULL);
	}
	close(hold[1]);
	kill(pid, SIGKILL);
}

#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_FSOPEN 430
#define NR_FSCONFIG 431
#define NR_FSMOUNT 432
#define NR_FSPICK 433
#define NR_MOUNT_SETATTR 442
#define NR_OPEN_TREE_ATTR 467
#define HERE AT_FDCWD
static char zeroes[64];

const struct probe probes_namespaces[] = {
	{.id = "N-01.unshare_user", .run = unshare_one, .nr = CLONE_NEWUSER},
	{.id = "N-01.clone_user", .run = clone_with, .nr = CLONE_NEWUSER},
	{.id = "N-01.clone3_user", .run = clone3_with, .nr = CLONE_NEWUSER},
	{.id = "N-02.unshare_mount", .run = unshare_one, .nr = CLONE_NEWNS},
	{.id = "N-02.unshare_net", .run = unshare_one, .nr = CLONE_NEWNET},
	{.id = "N-02.unshare_time", .run = unshare_one, .nr = CLONE_NEWTIME},
	{.id = "N-02.unshare_pid", .run = unshare_one, .nr = CLONE_NEWPID},
	{.id = "N-02.unshare_ipc", .run = unshare_one, .nr = CLONE_NEWIPC},
	{.id = "N-02.unshare_uts", .run = unshare_one, .nr = CLONE_NEWUTS},
	{.id = "N-02.unshare_cgroup", .run = unshare_one, .nr = CLONE_NEWCGROUP},
	{.id = "N-02.setns_own", .run = enter_namespace, .path = "/proc/self/ns/uts"},
	{.id = "N-02.setns_pid1", .run = enter_namespace, .path = "/proc/1/ns/mnt"},
	{.id = "N-02.setns_pidfd", .run = enter_by_pidfd, .nr = CLONE_NEWUTS},
	{.id = "N-03.mount_tmpfs", .run = mount_tmpfs, .path = "."},
	{.id = "N-03.mount_bind", .run = mount_bind, .path = "/usr"},
	{.id = "N-03.remount_usr_writable", .run = remount_writable, .path = "/usr"},
	{.id = "N-03.remount_root_writable", .run = remount_writable, .path = "/"},
	{.id = "N-03.make_shared", .run = make_shared, .path = "/"},
	{.id = "N-03.unmount_proc", .run = unmount, .path = "/proc"},
	{.id = "N-03.unmount_mask", .run = unmount, .path = "/proc/kallsyms"},
	CALL("N-03.pivot_root", SYS_pivot_root, (long)".", (long)"."),
	CALL("N-03.chroot", SYS_chroot, (long)"."),
	CALL("N-03.fsopen", NR_FSOPEN, (long)"tmpfs", 1),
	CALL("N-03.fsconfig", NR_FSCONFIG, -1, 6, 0, 0, 0),
	CALL("N-03.fsmount", NR_FSMOUNT, -1, 1, 0),
	CALL("N-03.fspick", NR_FSPICK, HERE, (long)".", 0),
	CALL("N-03.open_tree", NR_OPEN_TREE, HERE, (long)".", 0),
	CALL("N-03.open_tree_clone", NR_OPEN_TREE, HERE, (long)".", 1),
	CALL("N-03.open_tree_attr", NR_OPEN_TREE_ATTR, HERE, (long)".", 0, 0, 0),
	CALL("N-03.move_mount", NR_MOVE_MOUNT, -1, (long)"", -1, (long)"", 0),
	CALL("N-03.mount_setattr", NR_MOUNT_SETATTR, HERE, (long)".", 0, (long)zeroes,
	     32),
	{.id = "N-04.uid_map", .run = become_root, .path = "/proc/self/uid_map"},
	{.id = "N-04.gid_map",
	 .run = become_root,
	 .path = "/proc/self/gid_map",
	 .nr = 1},
	{.id = "N-04.setgroups",
	 .run = open_for_writing,
	 .path = "/proc/self/setgroups"},
	{.id = "N-05.inheritable", .run = any_capability, .path = "CapInh"},
	{.id = "N-05.permitted", .run = any_capability, .path = "CapPrm"},
	{.id = "N-05.effective", .run = any_capability, .path = "CapEff"},
	{.id = "N-05.bounding", .run = any_capability, .path = "CapBnd"},
	{.id = "N-05.ambient", .run = any_capability, .path = "CapAmb"},
	{.id = "N-05.no_new_privs", .run = lacks_no_new_privs},
	{.id = "N-05.capset", .run = set_capabilities},
	{.id = "N-05.raise_ambient", .run = raise_ambient},
	{.id = "N-05.securebits", .run = set_securebits},
	{.id = "N-06.setuid_runs_as_root", .run = run_setuid, .path = "/usr/bin/su"},
	{.id = "N-06.setuid_files", .run = find_setuid, .path = "/usr/bin"},
	{.id = NULL},
};
