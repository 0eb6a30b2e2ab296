/* line.c: the cell's end of its line; linked into what is preloaded (cell.c, ahead.c). */
#include "sandbox/guest/line.h"

#include "sandbox/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* By this name the C library has it since 2.33 only. */
int fstat(int fd, struct stat *st)
{
	return (int)syscall(SYS_fstat, fd, st);
}

union two_fds {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(2 * sizeof(int))];
};

/* One byte and one or two descriptors: how many, or 0 when there is nothing to run. */
static unsigned receive(int line, int fds[2])
{
	char byte;
	struct iovec v = {&byte, 1};
	union two_fds c;
	struct msghdr h = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof(c.bytes)};
	struct cmsghdr *x;
	ssize_t k;
	size_t n;

	do
		k = recvmsg(line, &h, MSG_CMSG_CLOEXEC);
	while (k < 0 && errno == EINTR);
	x = k == 1 ? CMSG_FIRSTHDR(&h) : NULL;
	if (!x || x->cmsg_level != SOL_SOCKET || x->cmsg_type != SCM_RIGHTS ||
	    h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return 0;
	n = (x->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(x), n * sizeof(int));
	return (unsigned)n;
}

int line_place(int given, int at, int flags)
{
	char path[40];
	int in = given;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", given);
	if (fd_size(given) >= 0)
		in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0 || (in != at && dup3(in, at, flags) < 0))
		return -1;
	if (in != at && in != given)
		close(in);
	return given == at ? 0 : close(given);
}

unsigned line_await(int line, int fds[2])
{
	unsigned n = 0;

	if (send(line, "", 1, MSG_NOSIGNAL) == 1)
		n = receive(line, fds);
	if (!n)
		_exit(0);
	return n;
}
