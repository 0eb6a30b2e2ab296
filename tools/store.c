/* store.c: the bytes of one stream, in memory while they are few and in a memfd when they are not. */
#include "sandbox/base/fd.h"
#include "tools/runs.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

void store_init(struct store *s)
{
	*s = (struct store){.fd = -1};
	buf_init(&s->small, RUN_SMALL_BYTES);
}

void store_finish(struct store *s)
{
	buf_finish(&s->small);
	fd_close(&s->fd);
	s->kept = 0;
}

bool store_will_spill(const struct store *s, size_t n)
{
	return !s->closed && s->fd < 0 && n > RUN_SMALL_BYTES - s->small.n;
}

/* How many of the bytes were written. */
static size_t write_at(int fd, uint64_t offset, struct sv bytes)
{
	size_t done = 0;

	while (done < bytes.n) {
		ssize_t n = pwrite(fd, bytes.p + done, bytes.n - done,
				   (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

static void spill(struct store *s)
{
	AUTO_FD fd = memfd_create("output", MFD_CLOEXEC);

	if (fd < 0 || write_at(fd, 0, buf_view(&s->small)) < s->small.n)
		return;
	s->fd = fd_steal(&fd);
	buf_finish(&s->small);
}

/* How many of the bytes were kept. */
static size_t keep(struct store *s, struct sv bytes)
{
	if (s->fd < 0 && bytes.n > RUN_SMALL_BYTES - s->small.n)
		spill(s);
	if (s->fd >= 0)
		return write_at(s->fd, s->kept, bytes);
	if (bytes.n > RUN_SMALL_BYTES - s->small.n)
		bytes.n = RUN_SMALL_BYTES - s->small.n;
	buf_sv(&s->small, bytes);
	return s->small.failed ? 0 : bytes.n;
}

void store_add(struct store *s, struct sv bytes, size_t room)
{
	struct sv fits = {bytes.p, bytes.n < room ? bytes.n : room};

	s->total += bytes.n;
	if (s->closed)
		return;
	if (fits.n)
		s->kept += keep(s, fits);
	s->closed = s->kept < s->total;
}

size_t store_read(const struct store *s, uint64_t offset, char *dst, size_t n)
{
	if (offset >= s->kept)
		return 0;
	if (n > s->kept - offset)
		n = (size_t)(s->kept - offset);
	if (s->fd < 0) {
		memcpy(dst, s->small.p + offset, n);
		return n;
	}
	return fd_read_at(s->fd, offset, dst, n);
}

int store_copy(const struct store *s, uint64_t offset, size_t n, struct buf *b)
{
	char *at;

	if (offset >= s->kept)
		return 0;
	if (n > s->kept - offset)
		n = (size_t)(s->kept - offset);
	at = buf_reserve(b, n);
	if (!at)
		return -1;
	buf_commit(b, store_read(s, offset, at, n));
	return 0;
}
