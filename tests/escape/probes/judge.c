/* judge.c: what an errno means, and the attacks that are one call long. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int refused_call[] = {EPERM, EACCES, ENOSYS, 0};
static const int refused_path[] = {ENOENT, ENOTDIR, EROFS, ENXIO, ENODEV, 0};
static const int refused_socket[] = {EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, 0};
static const int refused_limit[] = {EMFILE, ENFILE, ENOSPC, EAGAIN,
				    ENOMEM, EDQUOT, EFBIG,  0};

void found(struct finding *f, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->detail, sizeof(f->detail), fmt, ap);
	va_end(ap);
	f->verdict = v;
}

static bool is_in(const int *list, int e)
{
	for (; *list; list++)
		if (*list == e)
			return true;
	return false;
}

static void judge(struct finding *f, long rv, const int *also)
{
	const char *name = rv < 0 ? strerrorname_np(errno) : NULL;

	if (rv >= 0)
		found(f, OPEN, "done");
	else if (is_in(refused_call, errno) || (also && is_in(also, errno)))
		found(f, BLOCKED, "%s", name ? name : "an unnamed error");
	else
		found(f, OPEN, "reached: %s", name ? name : "an unnamed error");
}

void judge_call(struct finding *f, long rv)
{
	judge(f, rv, NULL);
}
void judge_path(struct finding *f, long rv)
{
	judge(f, rv, refused_path);
}
void judge_socket(struct finding *f, long rv)
{
	judge(f, rv, refused_socket);
}
void judge_limit(struct finding *f, long rv)
{
	judge(f, rv, refused_limit);
}

void attack_call(struct finding *f, const struct probe *p)
{
	const long *a = p->args;

	judge_call(f, syscall(p->nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* A mask over a file of /proc opens too, but is empty. */
void attack_read(struct finding *f, const struct probe *p)
{
	int fd = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char buf[256];
	ssize_t n;

	if (fd < 0) {
		judge_path(f, -1);
		return;
	}
	n = read(fd, buf, sizeof(buf));
	if (n > 0)
		found(f, OPEN, "%zd bytes", n);
	else if (n == 0)
		found(f, BLOCKED, "empty");
	else
		judge_path(f, -1);
}

void attack_open(struct finding *f, const struct probe *p)
{
	judge_path(f, open(p->path, (int)p->nr | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
}

void attack_list(struct finding *f, const struct probe *p)
{
	DIR *d = opendir(p->path);
	const struct dirent *en;

	if (!d) {
		judge_path(f, -1);
		return;
	}
	while ((en = readdir(d)))
		if (strcmp(en->d_name, ".") && strcmp(en->d_name, "..")) {
			found(f, OPEN, "has %s", en->d_name);
			return;
		}
	found(f, BLOCKED, "empty");
}

void attack_exists(struct finding *f, const struct probe *p)
{
	struct stat st;

	judge_path(f, stat(p->path, &st));
}

long read_whole(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -1;
	while (at + 1 < size && (n = read(fd, buf + at, size - at - 1)) > 0)
		at += (size_t)n;
	close(fd);
	buf[at] = '\0';
	return n < 0 ? -1 : (long)at;
}

const char *env_or(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v ? v : otherwise;
}
