/* files.c: group F, the file system. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const own_places[] = {"/workspace", "/tmp", "/dev/shm", NULL};

static bool is_own_place(const char *path)
{
	for (unsigned i = 0; own_places[i]; i++)
		if (!strcmp(path, own_places[i]))
			return true;
	return false;
}

static void create_file(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	judge_path(f, fd);
	if (fd >= 0)
		unlink(p->path);
}

static void create_folder(struct finding *f, const struct probe *p)
{
	int r = mkdir(p->path, 0700);

	judge_path(f, r);
	if (!r)
		rmdir(p->path);
}

static void change_mode(struct finding *f, const struct probe *p)
{
	struct stat st;

	if (stat(p->path, &st))
		found(f, UNKNOWN, "%s is not there", p->path);
	else
		judge_path(f, chmod(p->path, st.st_mode & 07777));
}

/* The n-th blank-separated field of a line, 1-based, cut out in place. */
static char *field(char *line, int n)
{
	char *save = NULL, *w = strtok_r(line, " ", &save);

	while (w && --n)
		w = strtok_r(NULL, " ", &save);
	return w;
}

static void try_mount_point(struct finding *f, const char *where)
{
	char path[512];
	int fd;

	if (is_own_place(where) || !strncmp(where, "/proc", 5))
		return;
	snprintf(path, sizeof(path), "%s/probe-%d", where, (int)getpid());
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	unlink(path);
	close(fd);
	found(f, OPEN, "a file can be made in %s", where);
}

static void any_writable_mount(struct finding *f, const struct probe *p)
{
	FILE *m = fopen("/proc/self/mountinfo", "re");
	char line[4096];

	(void)p;
	if (!m) {
		found(f, UNKNOWN, "no mountinfo");
		return;
	}
	found(f, BLOCKED, "no other mount can be written");
	while (f->verdict != OPEN && fgets(line, sizeof(line), m)) {
		const char *where = field(line, 5);

		if (where)
			try_mount_point(f, where);
	}
}

/* Field 4 is the folder of its own file system a mount shows: a temp dir or a workspace
 * there names host paths. The system's own top folders tell nothing. */
static bool tells_host_path(const char *root)
{
	static const char *const plain[] = {"/",     "/usr",   "/bin",	  "/sbin",
					    "/lib",  "/lib64", "/etc",	  "/null",
					    "/zero", "/full",  "/random", "/urandom",
					    "/tty",  "/sys",   "/ptmx",	  "/lib32"};

	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!strcmp(root, plain[i]))
			return false;
	/* /newroot is bubblewrap's own tmpfs, the same on every host */
	return strncmp(root, "/etc/", 5) && strncmp(root, "/usr/", 5) &&
	       strncmp(root, "/newroot", 8);
}

static void host_path_in_mountinfo(struct finding *f, const struct probe *p)
{
	FILE *m = fopen("/proc/self/mountinfo", "re");
	char line[4096];

	(void)p;
	if (!m) {
		found(f, UNKNOWN, "no mountinfo");
		return;
	}
	found(f, BLOCKED, "only the system's own folders");
	while (fgets(line, sizeof(line), m)) {
		const char *root = field(line, 4);

		if (root && tells_host_path(root)) {
			found(f, OPEN, "shows %.100s", root);
			return;
		}
	}
}

static void inherited_fd(struct finding *f, const struct probe *p)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *en;
	char to[128], link[300];

	(void)p;
	if (!d) {
		found(f, UNKNOWN, "no /proc/self/fd");
		return;
	}
	found(f, BLOCKED, "only 0, 1 and 2");
	while ((en = readdir(d))) {
		long fd = strtoll(en->d_name, NULL, 10);
		ssize_t n;

		if (en->d_name[0] == '.' || fd < 3 || fd == dirfd(d))
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%s", en->d_name);
		n = readlink(link, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		found(f, OPEN, "fd %ld is %.100s", fd, to);
		return;
	}
}

static void stdio_is_host_file(struct finding *f, const struct probe *p)
{
	char link[64], to[128];

	(void)p;
	found(f, BLOCKED, "pipes, memfds or /dev/null");
	for (int fd = 0; fd < 3; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		if (to[0] == '/' && strcmp(to, "/dev/null") &&
		    strncmp(to, "/memfd:", 7))
			found(f, OPEN, "fd %d is %.100s", fd, to);
	}
}

static void make_setuid(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_CREAT | O_RDWR | O_CLOEXEC, 0755);

	judge_path(f, fd < 0 ? -1 : fchmod(fd, 04755));
	unlink(p->path);
}

/* Every place files can be made must ignore what nr names: set-user-id bits or
 * devices. */
static void mount_flag_missing(struct finding *f, const struct probe *p)
{
	const char *places[] = {".", "/tmp", "/dev/shm", NULL};
	struct statvfs v;

	found(f, BLOCKED, "all have the flag");
	for (unsigned i = 0; places[i]; i++)
		if (!statvfs(places[i], &v) && !(v.f_flag & (unsigned long)p->nr))
			found(f, OPEN, "%s lacks the flag", places[i]);
}

static void make_node(struct finding *f, const struct probe *p)
{
	char name[64];
	int r;

	snprintf(name, sizeof(name), "node-%d", (int)getpid());
	r = mknod(name, (mode_t)p->args[0] | 0600, (dev_t)p->args[1]);
	judge_call(f, r);
	if (!r)
		unlink(name);
}

struct handle {
	struct file_handle h;
	unsigned char bytes[128];
};

static void open_handle(struct finding *f, const struct probe *p)
{
	struct handle h = {.h = {.handle_bytes = 128}};
	int mount_id;

	(void)p;
	/* where no handle can be had, one is made up: root's inode on ext4, generation
	 * 0 */
	if (name_to_handle_at(AT_FDCWD, ".", &h.h, &mount_id, 0)) {
		h.h.handle_bytes = 8;
		h.h.handle_type = 1;
		h.bytes[0] = 2;
	}
	judge_call(f, open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY));
}

static void name_handle(struct finding *f, const struct probe *p)
{
	struct handle h = {.h = {.handle_bytes = 128}};
	int mount_id;

	judge_call(f, name_to_handle_at(AT_FDCWD, p->path, &h.h, &mount_id, 0));
}

static void lock_shared_inode(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC);

	judge_path(f, fd < 0 ? -1 : flock(fd, LOCK_EX | LOCK_NB));
}

static void lease_shared_inode(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC);

	judge_path(f, fd < 0 ? -1 : fcntl(fd, F_SETLEASE, F_RDLCK));
}

/* Who opens such a file waits for its holder: those of a sandbox's /etc, and of an image, may belong to its user. */
static void lease_own_file(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);

	/* the kernel reads 32 bits of the command */
	judge_path(f,
		   fd < 0 ? -1 : syscall(SYS_fcntl, fd, F_SETLEASE | p->nr, F_RDLCK));
	unlink(p->path);
}

static void watch_shared_folder(struct finding *f, const struct probe *p)
{
	int in = inotify_init1(IN_CLOEXEC);

	judge_path(f, in < 0 ? -1 : inotify_add_watch(in, p->path, IN_OPEN));
}

static void notify_shared_folder(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	judge_path(f, fd < 0 ? -1 : fcntl(fd, F_NOTIFY, (long)DN_ACCESS));
}

/* quotactl_fd: a type that does not exist stops the call right after the descriptor was
 * taken. */
static void quota_by_fd(struct finding *f, const struct probe *p)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)p;
	judge_call(f, syscall(SYS_quotactl_fd, fd, 0x800001UL << 8 | 0x7f, 0, NULL));
}

/* A symbolic link out of the workspace must lead nowhere. */
static void follow_link_out(struct finding *f, const struct probe *p)
{
	char name[64];

	snprintf(name, sizeof(name), "link-%d", (int)getpid());
	if (symlink(p->path, name)) {
		found(f, UNKNOWN, "symlink: %s", strerrorname_np(errno));
		return;
	}
	judge_path(f, open(name, O_RDONLY | O_CLOEXEC));
	unlink(name);
}

/* statmount and listmount (6.8) ask about a mount by number; LSMT_ROOT is (u64)-1. */
struct mount_request {
	uint32_t size, spare;
	uint64_t mnt_id, param;
};
static struct mount_request about_root = {.size = 24, .mnt_id = UINT64_MAX, .param = 1};
static char scratch[4096] __attribute__((aligned(64)));

#define NR_STATMOUNT 457
#define NR_LISTMOUNT 458
#define FAN_REPORT_FID_ONLY 0x200

const struct probe probes_files[] = {
	{.id = "F-01.root_file", .run = create_file, .path = "/probe-file"},
	{.id = "F-01.root_folder", .run = create_folder, .path = "/probe-folder"},
	{.id = "F-01.run_file", .run = create_file, .path = "/run/probe-file"},
	{.id = "F-01.any_mount", .run = any_writable_mount},
	{.id = "F-02.dev_file", .run = create_file, .path = "/dev/probe-file"},
	{.id = "F-03.write_program",
	 .run = attack_open,
	 .path = "/usr/bin/true",
	 .nr = O_WRONLY},
	{.id = "F-03.chmod_program", .run = change_mode, .path = "/usr/bin/true"},
	{.id = "F-03.add_program",
	 .run = create_file,
	 .path = "/usr/bin/probe-program"},
	{.id = "F-04.shadow", .run = attack_read, .path = "/etc/shadow"},
	{.id = "F-04.gshadow", .run = attack_read, .path = "/etc/gshadow"},
	{.id = "F-04.machine_id", .run = attack_read, .path = "/etc/machine-id"},
	{.id = "F-04.fstab", .run = attack_read, .path = "/etc/fstab"},
	{.id = "F-04.hostname_file", .run = attack_read, .path = "/etc/hostname"},
	{.id = "F-04.root_home", .run = attack_list, .path = "/root"},
	{.id = "F-04.home", .run = attack_list, .path = "/home"},
	{.id = "F-04.run", .run = attack_list, .path = "/run"},
	{.id = "F-04.var_lib", .run = attack_list, .path = "/var/lib"},
	{.id = "F-04.var_log", .run = attack_list, .path = "/var/log"},
	{.id = "F-04.boot", .run = attack_list, .path = "/boot"},
	{.id = "F-04.mnt", .run = attack_list, .path = "/mnt"},
	{.id = "F-04.docker_socket",
	 .run = attack_exists,
	 .path = "/var/run/docker.sock"},
	{.id = "F-04.host_unix_socket", .run = attack_exists, .path = "/var/run/dbus"},
	{.id = "F-04.link_out", .run = follow_link_out, .path = "/etc/machine-id"},
	{.id = "F-05.host_path_in_mountinfo", .run = host_path_in_mountinfo},
	{.id = "F-06.inherited_fd", .run = inherited_fd},
	{.id = "F-06.stdio_is_host_file", .run = stdio_is_host_file},
	{.id = "F-07.setuid_on_own_file", .run = make_setuid, .path = "setuid-file"},
	{.id = "F-07.setuid_honoured", .run = mount_flag_missing, .nr = ST_NOSUID},
	{.id = "F-07.devices_honoured", .run = mount_flag_missing, .nr = ST_NODEV},
	{.id = "F-08.whiteout", .run = make_node, .args = {S_IFCHR, 0}},
	{.id = "F-08.char_device", .run = make_node, .args = {S_IFCHR, 0x103}},
	{.id = "F-08.block_device", .run = make_node, .args = {S_IFBLK, 0xfe00}},
	{.id = "F-10.open_by_handle", .run = open_handle},
	{.id = "F-11.name_to_handle", .run = name_handle, .path = "/usr"},
	CALL("F-11.fanotify", SYS_fanotify_init, FAN_REPORT_FID_ONLY, O_RDONLY),
	{.id = "F-11.quotactl_fd", .run = quota_by_fd},
	CALL("F-11.statmount", NR_STATMOUNT, (long)&about_root, (long)scratch,
	     sizeof(scratch), 0),
	CALL("F-11.listmount", NR_LISTMOUNT, (long)&about_root, (long)scratch, 16, 0),
	{.id = "F-14.flock_shared_inode",
	 .run = lock_shared_inode,
	 .path = "/usr/bin/true"},
	{.id = "F-14.lease_shared_inode",
	 .run = lease_shared_inode,
	 .path = "/usr/bin/true"},
	{.id = "F-14.lease_own_file", .run = lease_own_file, .path = "leased"},
	{.id = "F-14.lease_high_bits",
	 .run = lease_own_file,
	 .path = "leased",
	 .nr = 1L << 32},
	{.id = "F-15.inotify_shared_folder",
	 .run = watch_shared_folder,
	 .path = "/usr/bin"},
	{.id = "F-15.dnotify_shared_folder",
	 .run = notify_shared_folder,
	 .path = "/usr/bin"},
	{.id = NULL},
};
