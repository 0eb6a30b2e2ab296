/* room.c: the namespaces and mounts of one call, held open by a tiny pid 1. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAIN (MS_NOSUID | MS_NODEV)

/* 32,768 inodes: `size` alone does not bound them, and each costs about 1 KiB of kernel memory */
static int mount_tmpfs(const char *at, uint64_t bytes, const char *mode, uint32_t uid)
{
	char opts[128], owner[40] = "";

	if (uid != GUEST_OWN_UID)
		snprintf(owner, sizeof(owner), ",uid=%u,gid=%u", uid, uid);
	snprintf(opts, sizeof(opts), "size=%llu,nr_inodes=32768,mode=%s%s",
		 (unsigned long long)bytes, mode, owner);
	return mount("tmpfs", at, "tmpfs", PLAIN, opts);
}

/* What tells a program about the host, or lets it talk to the kernel beside system calls. Masks
 * go over a procfs this room has just mounted, which no program has seen yet (CVE-2025-31133). */
static int mask_proc(void)
{
	static const char *const files[] = {
		"/proc/buddyinfo",   "/proc/cmdline",	    "/proc/config.gz",
		"/proc/consoles",    "/proc/crypto",	    "/proc/diskstats",
		"/proc/interrupts",  "/proc/iomem",	    "/proc/ioports",
		"/proc/kallsyms",    "/proc/kcore",	    "/proc/key-users",
		"/proc/keys",	     "/proc/kmsg",	    "/proc/modules",
		"/proc/mtrr",	     "/proc/pagetypeinfo",  "/proc/partitions",
		"/proc/sched_debug", "/proc/slabinfo",	    "/proc/softirqs",
		"/proc/swaps",	     "/proc/sysrq-trigger", "/proc/timer_list",
		"/proc/vmallocinfo", "/proc/zoneinfo",
	};
	static const char *const dirs[] = {
		"/proc/acpi", "/proc/bus",	    "/proc/driver", "/proc/fs",
		"/proc/irq",  "/proc/pressure",	    "/proc/scsi",   "/proc/sysvipc",
		"/proc/tty",  "/proc/dynamic_debug"};

	for (unsigned i = 0; i < ARRAY_LEN(files); i++)
		if (mount("/dev/null", files[i], NULL, MS_BIND, NULL) &&
		    errno != ENOENT)
			return -1;
	for (unsigned i = 0; i < ARRAY_LEN(dirs); i++)
		if (mount("/run/empty", dirs[i], NULL, MS_BIND, NULL) &&
		    errno != ENOENT)
			return -1;
	if (mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL))
		return -1;
	return mount(NULL, "/proc/sys", NULL,
		     MS_BIND | MS_REMOUNT | MS_RDONLY | PLAIN | MS_NOEXEC, NULL);
}

static int write_to(const char *path, const char *text)
{
	AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : fd_write_all(fd, text, strlen(text));
}

/* Must: come before anything that is owned by a uid is made; in the room's first /proc, which is the guest's. Must not: leave
 * anybody in the room the right to make a namespace of users. */
static int map_users(const struct room_plan *p)
{
	char map[40];
	int bad;

	if (!p->own_users)
		return 0;
	snprintf(map, sizeof(map), "%u %u 1", GUEST_UID, GUEST_UID);
	/* its files there are nobody's as long as it is not dumpable; what else is the user's lives elsewhere or has ended */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	bad = write_to("/proc/self/setgroups", "deny") ||
	      write_to("/proc/self/uid_map", map) ||
	      write_to("/proc/self/gid_map", map) ||
	      write_to("/proc/sys/user/max_user_namespaces", "0");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return bad ? -1 : 0;
}

static int loopback_up(const struct room_plan *p)
{
	struct ifreq req = {.ifr_flags = IFF_UP | IFF_RUNNING};
	AUTO_FD s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)p;
	memcpy(req.ifr_name, "lo", 3);
	return s < 0 ? -1 : ioctl(s, SIOCSIFFLAGS, &req);
}

static int mount_proc(const struct room_plan *p)
{
	(void)p;
	return mount("proc", "/proc", "proc", PLAIN | MS_NOEXEC, NULL) || mask_proc();
}

/* A program finds its own terminals and no other's: those of bwrap's mount are of all the rooms in one sandbox, and where these
 * are one user, one could read what the other types. */
static int mount_terminals(const struct room_plan *p)
{
	(void)p;
	return mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		     "newinstance,ptmxmode=0666,mode=620");
}

static int mount_writable(const struct room_plan *p)
{
	const struct guest_run *r = p->limits;

	return mount_tmpfs("/workspace", r->workspace_bytes, "0755", p->uid) ||
	       mount_tmpfs("/tmp", r->tmp_bytes, "1777", GUEST_OWN_UID) ||
	       mount_tmpfs("/dev/shm", r->tmp_bytes, "1777", GUEST_OWN_UID);
}

/* One folder of one user, which no other process of the room should have to be kept out of: they
 * all are that user. A driver reads its calls there. */
static int mount_run(const struct room_plan *p)
{
	(void)p;
	return mount_tmpfs(GUEST_RUN_DIR, GUEST_RUN_DIR_BYTES, "0700", GUEST_OWN_UID);
}

static int drop_privileges(const struct room_plan *p)
{
	(void)p;
	return confine_privileges();
}

static int set_up(const struct room_plan *p, struct failure *f)
{
	static const struct {
		const char *stage;
		int (*step)(const struct room_plan *p);
		bool standing; /* in a session's room only */
	} steps[] = {
		{"map the user", map_users, false},
		{"mount and mask /proc", mount_proc, false},
		{"mount the terminals", mount_terminals, false},
		{"mount the writable folders", mount_writable, false},
		{"mount the session's folder", mount_run, true},
		{"bring up loopback", loopback_up, false},
		{"drop capabilities", drop_privileges, false},
	};

	for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
		if ((p->kind == ROOM_STANDING || !steps[i].standing) &&
		    steps[i].step(p)) {
			snprintf(f->stage, sizeof(f->stage), "%s", steps[i].stage);
			f->sys = errno;
			return -1;
		}
	return 0;
}

static _Noreturn void room_main(const struct room_plan *p, int ready_fd)
{
	struct failure f = {.sys = 0};
	sigset_t none;

	/* orphans of the program fall to this process; the kernel reaps them */
	signal(SIGCHLD, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, "room", 0, 0, 0);
	setsid();
	set_up(p, &f);
	if (write(ready_fd, &f, sizeof(f)) != sizeof(f) || f.stage[0])
		_exit(1);
	close_range(0, ~0U, 0);
	for (;;)
		pause();
}

int room_begin(const struct room_plan *p, struct room *ret, int *ret_ready_fd)
{
	const unsigned long users = p->own_users ? CLONE_NEWUSER : 0;
	const unsigned long flags = users | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC |
				    CLONE_NEWUTS | CLONE_NEWNET | CLONE_PIDFD | SIGCHLD;
	int ready[2], pidfd = -1;
	long pid;

	if (fd_pipe(ready, NULL))
		return -1;
	pid = syscall(SYS_clone, flags, 0, &pidfd, 0, 0);
	if (!pid)
		room_main(p, ready[1]);
	fd_close(&ready[1]);
	if (pid < 0) {
		fd_close(&ready[0]);
		return -1;
	}
	*ret = (struct room){(pid_t)pid, pidfd, p->own_users};
	*ret_ready_fd = ready[0];
	return 0;
}

int room_ready(int ready_fd, struct failure *f)
{
	if (read(ready_fd, f, sizeof(*f)) != sizeof(*f)) {
		snprintf(f->stage, sizeof(f->stage), "room died");
		f->sys = 0;
	}
	return f->stage[0] ? -1 : 0;
}

int room_start(const struct guest_run *r, enum room_kind kind, struct room *ret,
	       struct failure *f)
{
	const struct room_plan p = {.limits = r, .kind = kind, .uid = GUEST_OWN_UID};
	AUTO_FD ready = -1;

	if (room_begin(&p, ret, &ready)) {
		f->sys = errno;
		snprintf(f->stage, sizeof(f->stage), "make the room");
		return -1;
	}
	if (!room_ready(ready, f))
		return 0;
	room_end(ret);
	return -1;
}

int room_workspace(const struct room *room)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/root/workspace", (int)room->pid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int room_mounts(const struct room *room)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)room->pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

void room_end(struct room *room)
{
	/* waitpid returns only after the whole pid namespace is dead */
	kill(room->pid, SIGKILL);
	while (waitpid(room->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&room->pidfd);
}
