/* fd.c: descriptor helpers. */
#include "sandbox/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_steal(int *fd)
{
	int got = *fd;

	*fd = -1;
	return got;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

int fd_pipe(int ret[2], struct err *e)
{
	return pipe2(ret, O_CLOEXEC) ? err_sys(e, "pipe") : 0;
}

int fd_socketpair(int ret[2], struct err *e)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret)
		       ? err_sys(e, "socketpair")
		       : 0;
}

int fd_write_all(int fd, const void *p, size_t n)
{
	const char *q = p;

	while (n) {
		ssize_t k = write(fd, q, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		q += k;
		n -= (size_t)k;
	}
	return 0;
}

int fd_memfd(const char *name, const void *p, size_t n, struct err *e)
{
	AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || fd_write_all(fd, p, n) || lseek(fd, 0, SEEK_SET) ||
	    fcntl(fd, F_ADD_SEALS, ALL_SEALS))
		return err_sys(e, "memfd %s of %zu bytes", name, n);
	return fd_steal(&fd);
}

bool fd_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

int64_t fd_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) || !S_ISREG(st.st_mode) ? -1 : (int64_t)st.st_size;
}

size_t fd_read_at(int fd, uint64_t offset, void *dst, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k =
			pread(fd, (char *)dst + done, n - done, (off_t)(offset + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		done += (size_t)k;
	}
	return done;
}

int fd_read_all(int fd, struct buf *b, struct err *e)
{
	for (;;) {
		char tmp[4096];
		ssize_t k = read(fd, tmp, sizeof(tmp));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, "read");
		if (!k)
			return 0;
		buf_add(b, tmp, (size_t)k);
		if (b->failed)
			return err_set(e, ERR_LIMIT, "more than %zu bytes", b->max);
	}
}

int fd_read_file(const char *path, struct buf *b, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? err_sys(e, "open %s", path) : fd_read_all(fd, b, e);
}
