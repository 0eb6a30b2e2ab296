/* devices.c: group D, /dev and the writable folders' size. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void extra_entry(struct finding *f, const struct probe *p)
{
	static const char *const known[] = {
		".",	"..",  "null", "zero", "full",	"random", "urandom", "tty",
		"ptmx", "pts", "shm",  "fd",   "stdin", "stdout", "stderr",  "core"};
	DIR *d = opendir(p->path);
	const struct dirent *en;

	found(f, d ? BLOCKED : UNKNOWN, "only the usual ones");
	while (d && (en = readdir(d))) {
		bool ok = false;

		for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			ok = ok || !strcmp(en->d_name, known[i]);
		if (!ok) {
			found(f, OPEN, "has %.100s", en->d_name);
			return;
		}
	}
}

static void block_device(struct finding *f, const struct probe *p)
{
	DIR *d = opendir(p->path);
	const struct dirent *en;
	struct stat st;

	found(f, BLOCKED, "none");
	while (d && (en = readdir(d)))
		if (!fstatat(dirfd(d), en->d_name, &st, 0) && S_ISBLK(st.st_mode))
			found(f, OPEN, "has %.100s", en->d_name);
}

/* nr MiB in files of 16 MiB (a limit on the size of one file must not be what stops
 * it). */
static void fill(struct finding *f, const struct probe *p)
{
	char name[300];
	long made = 0, want = p->nr / 16;
	int r = 0;

	signal(SIGXFSZ, SIG_IGN);
	while (made < want && !r) {
		int fd;

		snprintf(name, sizeof(name), "%s/fill-%ld", p->path, made);
		fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		r = fd < 0 ? -1 : fallocate(fd, 0, 0, 16 << 20);
		if (fd >= 0)
			close(fd);
		made++;
	}
	judge_limit(f, r);
	while (made--) {
		snprintf(name, sizeof(name), "%s/fill-%ld", p->path, made);
		unlink(name);
	}
}

static void many_terminals(struct finding *f, const struct probe *p)
{
	struct rlimit l;
	long made = 0, r = 0;

	if (!getrlimit(RLIMIT_NOFILE, &l)) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	while (made < p->nr && (r = posix_openpt(O_RDWR | O_NOCTTY)) >= 0)
		made++;
	if (made && r < 0)
		judge_limit(f, r);
	else
		judge_path(f, r);
	if (r < 0)
		found(f, f->verdict, "%s after %ld", strerrorname_np(errno), made);
}

#define DEVICE(name)                                                                   \
	{                                                                              \
		.id = "D-02." name, .run = attack_exists, .path = "/dev/" name         \
	}

const struct probe probes_devices[] = {
	{.id = "D-01.extra_entry", .run = extra_entry, .path = "/dev"},
	{.id = "D-02.block_device", .run = block_device, .path = "/dev"},
	DEVICE("vda"),
	DEVICE("kvm"),
	DEVICE("fuse"),
	DEVICE("net/tun"),
	DEVICE("vsock"),
	DEVICE("vhost-vsock"),
	DEVICE("mem"),
	DEVICE("kmsg"),
	DEVICE("console"),
	DEVICE("loop-control"),
	DEVICE("userfaultfd"),
	DEVICE("mapper/control"),
	{.id = "D-03.fill_shm", .run = fill, .path = "/dev/shm", .nr = 160},
	{.id = "D-03.fill_tmp", .run = fill, .path = "/tmp", .nr = 160},
	{.id = "D-03.fill_workspace", .run = fill, .path = ".", .nr = 160},
	{.id = "D-04.terminals", .run = many_terminals, .nr = 300},
	{.id = NULL},
};
