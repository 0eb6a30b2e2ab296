/* take_over.c: moves the protocol away from descriptors 0 and 1. */
#include "mcp/transport/transport.h"

#include "sandbox/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* True for what can be opened a second time as the same channel: a pipe without a name, or a
 * terminal. A regular file would start at offset 0 again; a named pipe whose writer has left would
 * never report its end (the kernel compares writer generations at open); a socket cannot. */
static bool can_reopen(int fd, const char *proc_path)
{
	char target[64];
	ssize_t n = readlink(proc_path, target, sizeof(target));

	if (n > 0 && sv_starts((struct sv){target, (size_t)n}, SV("pipe:[")))
		return true;
	return isatty(fd);
}

/* A CLOEXEC descriptor >= 3 for what fd refers to; not blocking when it could get an open file
 * description of its own (never possible for a pipe made by another uid). */
static int private_dup(int fd, int access_mode, struct err *e)
{
	char path[32];
	AUTO_FD fresh = -1;
	int got;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (can_reopen(fd, path))
		fresh = open(path, access_mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	got = fcntl(fresh >= 0 ? fresh : fd, F_DUPFD_CLOEXEC, 3);
	return got < 0 ? err_sys(e, "duplicating descriptor %d", fd) : got;
}

/* stderr into the very pipe, socket or file that carries the protocol. A terminal is left alone:
 * whoever types JSON there wants to see the log. */
static bool is_same_stream(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino && !S_ISCHR(x.st_mode);
}

int stdio_take_over(int *ret_in, int *ret_out, struct err *e)
{
	AUTO_FD null = -1;
	AUTO_FD in = -1;
	AUTO_FD out = -1;

	if (fcntl(STDOUT_FILENO, F_GETFD) < 0) {
		err_sys(e, "standard output");
		return err_fix(e, "start fumehood stdio with its standard output open");
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_sys(e, "open /dev/null");
	/* with 0 or 2 closed at start null has become one of them, which is what it is for */
	if (null < 3) {
		int up = fcntl(null, F_DUPFD_CLOEXEC, 3);

		if (up < 0)
			return err_sys(e, "duplicating /dev/null");
		fcntl(null, F_SETFD, 0);
		null = up;
	}
	in = private_dup(STDIN_FILENO, O_RDONLY, e);
	if (in < 0)
		return -1;
	out = private_dup(STDOUT_FILENO, O_WRONLY, e);
	if (out < 0)
		return -1;
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 ||
	    is_same_stream(STDOUT_FILENO, STDERR_FILENO))
		dup2(null, STDERR_FILENO);
	if (dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return err_sys(e, "pointing stdin and stdout away");
	*ret_in = fd_steal(&in);
	*ret_out = fd_steal(&out);
	return 0;
}
