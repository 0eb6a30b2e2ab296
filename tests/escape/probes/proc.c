/* proc.c: group PR, /proc and /sys. */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Opening without reading or writing: a mask of /dev/null opens too, so only a regular
 * file of procfs itself counts. nr is the access mode. */
static bool opens_in_proc(const char *path, int mode)
{
	int fd = open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct statfs fs;
	bool yes;

	if (fd < 0)
		return false;
	yes = !fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC;
	close(fd);
	if (!yes)
		errno = ENODEV;
	return yes;
}

static void open_in_proc(struct finding *f, const struct probe *p)
{
	judge_path(f, opens_in_proc(p->path, (int)p->nr) ? 0 : -1);
}

struct walk {
	unsigned writable, seen;
	char first[128];
};

/* Counts the files below path that open for writing; processes' own folders are left
 * out. */
static void walk(struct walk *w, const char *path, int depth)
{
	DIR *d = opendir(path);
	const struct dirent *en;
	char sub[512];

	while (d && (en = readdir(d))) {
		struct stat st;

		if (en->d_name[0] == '.' || isdigit((unsigned char)en->d_name[0]) ||
		    (size_t)snprintf(sub, sizeof(sub), "%s/%s", path, en->d_name) >=
			    sizeof(sub) ||
		    lstat(sub, &st))
			continue;
		if (S_ISDIR(st.st_mode) && depth < 8) {
			walk(w, sub, depth + 1);
		} else if (S_ISREG(st.st_mode)) {
			w->seen++;
			if (opens_in_proc(sub, O_WRONLY) && !w->writable++)
				snprintf(w->first, sizeof(w->first), "%.120s", sub);
		}
	}
	if (d)
		closedir(d);
}

static void any_writable_below(struct finding *f, const struct probe *p)
{
	struct walk w = {.writable = 0};

	walk(&w, p->path, 0);
	if (w.writable)
		found(f, OPEN, "%u files, first %s", w.writable, w.first);
	else
		found(f, BLOCKED, "0 of %u files", w.seen);
}

static void raise_oom_score(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_WRONLY | O_CLOEXEC);

	judge_path(f, fd < 0 ? -1 : write(fd, "1000", 4));
}

static int parent_of(int pid)
{
	char path[64], buf[512];
	const char *end;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_whole(path, buf, sizeof(buf)) < 0)
		return 0;
	end = strrchr(buf, ')');
	if (!end || sscanf(end + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static bool descends(int pid, int from)
{
	for (int depth = 0; pid > 0 && depth < 64; depth++, pid = parent_of(pid))
		if (pid == from)
			return true;
	return false;
}

/* Anybody but pid 1, this program's ancestors and this program's children is a
 * stranger. */
static void sees_strangers(struct finding *f, const struct probe *p)
{
	DIR *d = opendir("/proc");
	const struct dirent *en;
	int top = getppid();

	(void)p;
	if (!d) {
		found(f, UNKNOWN, "no /proc");
		return;
	}
	while (parent_of(top) > 1)
		top = parent_of(top);
	found(f, BLOCKED, "only its own");
	while ((en = readdir(d))) {
		int pid = isdigit((unsigned char)en->d_name[0])
				  ? (int)strtoll(en->d_name, NULL, 10)
				  : 1;

		if (pid > 1 && pid != top && !descends(pid, top)) {
			found(f, OPEN, "pid %d", pid);
			return;
		}
	}
}

static const char constant[4096] __attribute__((aligned(4096))) = "constant";

static void write_own_text(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDWR | O_CLOEXEC);

	judge_path(f, fd < 0 ? -1 : pwrite(fd, "C", 1, (off_t)(size_t)constant));
}

static void outside_root_cgroup(struct finding *f, const struct probe *p)
{
	char buf[4096], *save = NULL;

	if (read_whole(p->path, buf, sizeof(buf)) < 0) {
		judge_path(f, -1);
		return;
	}
	found(f, BLOCKED, "only /");
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		const char *path = strrchr(l, ':');

		if (path && strcmp(path, ":/"))
			found(f, OPEN, "%.120s", path + 1);
	}
}

static void sees_hostname(struct finding *f, const struct probe *p)
{
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	if (!strcmp(name, env_or(p->path, "?")))
		found(f, OPEN, "it is %.100s", name);
	else
		found(f, BLOCKED, "it says %.100s", name);
}

static void device_memory(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		judge_path(f, -1);
	else if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, (unsigned)p->nr))
		found(f, OPEN, "opened");
	else
		found(f, BLOCKED, "masked");
}

/* A key of our own in the process keyring, so that there is one to be seen. */
static void read_keys(struct finding *f, const struct probe *p)
{
	syscall(SYS_add_key, "user", "probe-seen", "x", 1, -2);
	attack_read(f, p);
}

#define READ_PROC(name)                                                                \
	{                                                                              \
		.id = "PR-01." name, .run = attack_read, .path = "/proc/" name         \
	}
#define FINGERPRINT(tag, file)                                                         \
	{                                                                              \
		.id = "PR-06." tag, .run = attack_read, .path = file                   \
	}
#define WRITE_PROC(tag, file)                                                          \
	{                                                                              \
		.id = "PR-03." tag, .run = open_in_proc, .path = "/proc/" file,        \
		.nr = O_WRONLY                                                         \
	}

const struct probe probes_proc[] = {
	READ_PROC("kallsyms"),
	{.id = "PR-01.keys", .run = read_keys, .path = "/proc/keys"},
	READ_PROC("key-users"),
	READ_PROC("config.gz"),
	READ_PROC("cmdline"),
	READ_PROC("iomem"),
	READ_PROC("ioports"),
	READ_PROC("interrupts"),
	READ_PROC("softirqs"),
	READ_PROC("partitions"),
	READ_PROC("diskstats"),
	READ_PROC("crypto"),
	READ_PROC("timer_list"),
	READ_PROC("modules"),
	READ_PROC("sched_debug"),
	READ_PROC("schedstat"),
	READ_PROC("buddyinfo"),
	READ_PROC("zoneinfo"),
	READ_PROC("swaps"),
	READ_PROC("consoles"),
	READ_PROC("mtrr"),
	READ_PROC("pressure/cpu"),
	READ_PROC("sysvipc/shm"),
	READ_PROC("bus/pci/devices"),
	READ_PROC("fs/ext4/vda/mb_groups"),
	READ_PROC("tty/drivers"),
	READ_PROC("irq/0/spurious"),
	{.id = "PR-02.kcore",
	 .run = open_in_proc,
	 .path = "/proc/kcore",
	 .nr = O_RDONLY},
	{.id = "PR-02.kmsg", .run = open_in_proc, .path = "/proc/kmsg", .nr = O_RDONLY},
	{.id = "PR-02.slabinfo", .run = attack_read, .path = "/proc/slabinfo"},
	{.id = "PR-02.vmallocinfo", .run = attack_read, .path = "/proc/vmallocinfo"},
	{.id = "PR-02.pagetypeinfo", .run = attack_read, .path = "/proc/pagetypeinfo"},
	{.id = "PR-02.kpagecount",
	 .run = open_in_proc,
	 .path = "/proc/kpagecount",
	 .nr = O_RDONLY},
	{.id = "PR-02.dev_mem", .run = device_memory, .path = "/dev/mem", .nr = 1},
	{.id = "PR-02.dev_kmsg", .run = device_memory, .path = "/dev/kmsg", .nr = 11},
	WRITE_PROC("sysrq_trigger", "sysrq-trigger"),
	WRITE_PROC("core_pattern", "sys/kernel/core_pattern"),
	WRITE_PROC("hostname", "sys/kernel/hostname"),
	WRITE_PROC("overcommit", "sys/vm/overcommit_memory"),
	WRITE_PROC("ip_forward", "sys/net/ipv4/ip_forward"),
	WRITE_PROC("binfmt_misc", "sys/fs/binfmt_misc/register"),
	WRITE_PROC("mtrr", "mtrr"),
	WRITE_PROC("irq_affinity", "irq/0/smp_affinity"),
	WRITE_PROC("own_oom_score", "self/oom_score_adj"),
	WRITE_PROC("own_attr", "self/attr/current"),
	WRITE_PROC("own_timerslack", "self/timerslack_ns"),
	WRITE_PROC("own_clear_refs", "self/clear_refs"),
	{.id = "PR-03.any_sysctl", .run = any_writable_below, .path = "/proc/sys"},
	{.id = "PR-03.any_proc_file", .run = any_writable_below, .path = "/proc"},
	{.id = "PR-04.last_pid",
	 .run = open_in_proc,
	 .path = "/proc/sys/kernel/ns_last_pid",
	 .nr = O_WRONLY},
	{.id = "PR-05.oom_score_of_pid1",
	 .run = raise_oom_score,
	 .path = "/proc/1/oom_score_adj"},
	FINGERPRINT("boot_id", "/proc/sys/kernel/random/boot_id"),
	FINGERPRINT("stat", "/proc/stat"),
	FINGERPRINT("uptime", "/proc/uptime"),
	FINGERPRINT("version", "/proc/version"),
	FINGERPRINT("loadavg", "/proc/loadavg"),
	FINGERPRINT("meminfo", "/proc/meminfo"),
	FINGERPRINT("cpuinfo", "/proc/cpuinfo"),
	FINGERPRINT("vmstat", "/proc/vmstat"),
	{.id = "PR-06.hostname", .run = sees_hostname, .path = "PROBE_HOSTNAME"},
	{.id = "PR-07.strangers", .run = sees_strangers},
	{.id = "PR-08.exe_of_pid1",
	 .run = attack_open,
	 .path = "/proc/1/exe",
	 .nr = O_RDONLY},
	{.id = "PR-08.own_text", .run = write_own_text, .path = "/proc/self/mem"},
	{.id = "PR-09.sys", .run = attack_list, .path = "/sys"},
	{.id = "PR-09.cgroupfs", .run = attack_list, .path = "/sys/fs/cgroup"},
	{.id = "PR-09.cgroup_path",
	 .run = outside_root_cgroup,
	 .path = "/proc/self/cgroup"},
	{.id = NULL},
};
