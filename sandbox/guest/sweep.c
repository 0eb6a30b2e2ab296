/* sweep.c: kills all of a session id, forks that race it included.
 *
 * Looks into the guest's own /proc, which no program sees. A process is held by its folder there, which
 * the kernel takes for a pidfd: so the one judged is the one that gets the signal. Members
 * are stopped first, until a look finds no new ones: stopped ones still count against the limit of
 * processes, so a fork bomb runs into it instead of refilling what was killed. */
#include "sandbox/base/fd.h"
#include "sandbox/guest/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS 16 /* at most, for the members to stay the same */

/* "pid (any bytes) state ppid pgrp session ...": the first four after the last parenthesis. */
static bool is_member(int dir, pid_t sid)
{
	char text[512], *p;
	AUTO_FD fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	struct sv rest, part = {"", 0};
	bool more = true;
	int64_t id;

	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
		return false;
	rest = sv_of(p + 2);
	for (unsigned i = 0; i < 4; i++)
		if (!sv_cut(&rest, ' ', &more, &part))
			return false;
	return !sv_to_i64(part, &id) && id == sid;
}

struct look {
	unsigned members;
	uint64_t sum; /* of their pids: tells one set of members from another */
};

static struct look look(pid_t sid, int sig)
{
	DIR *d = opendir("/proc");
	struct look l = {0, 0};
	struct dirent *en;
	int64_t pid;

	while (d && (en = readdir(d))) {
		AUTO_FD dir = -1;

		if (sv_to_i64(sv_of(en->d_name), &pid) || pid <= 1)
			continue;
		dir = openat(dirfd(d), en->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || !is_member(dir, sid))
			continue;
		syscall(SYS_pidfd_send_signal, dir, sig, NULL, 0);
		l.members++;
		l.sum += (uint64_t)pid * (uint64_t)pid;
	}
	if (d)
		closedir(d);
	return l;
}

unsigned sweep(pid_t sid)
{
	struct look before = look(sid, SIGSTOP), now;

	if (!before.members)
		return 0;
	for (unsigned i = 0; i < LOOKS; i++, before = now) {
		now = look(sid, SIGSTOP);
		if (now.members == before.members && now.sum == before.sum)
			break;
	}
	return look(sid, SIGKILL).members;
}
