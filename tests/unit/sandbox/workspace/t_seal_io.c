/* Sealing into and from files that fail: a full disk, a broken one, short writes, an input that has nothing yet. */
#include "ws_test.h"

#include <sys/syscall.h>

/* In place of the C library's: the nth call from now fails, or does less. */
static struct fault {
	long nth;
	int error; /* 0: it does a part of its work */
	unsigned calls;
} on_write, on_read;

static bool strikes(struct fault *f)
{
	f->calls++;
	return f->nth && !--f->nth;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (strikes(&on_write)) {
		errno = on_write.error;
		if (errno)
			return -1;
		n = n > 5 ? 5 : n;
	}
	return syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	if (strikes(&on_read)) {
		errno = on_read.error;
		if (errno)
			return -1;
		n = n > 5 ? 5 : n;
	}
	return syscall(SYS_pread64, fd, p, n, at);
}

static struct ws_key *key;
static unsigned char *bytes;
#define N ((size_t)2 * WS_CHUNK_BYTES + 100)

static int new_file(void)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC);

	must(fd >= 0);
	return fd;
}

static int seal_file(int fd, unsigned char id[WS_ID_BYTES], struct err *e)
{
	const struct ws_place at = place(key, 0);
	const struct ws_file to = {.fd = fd};
	struct ws_seal *s = ws_seal_new(NULL);
	int rc;

	must(s);
	rc = ws_seal_start(s, &at, (struct sv){0}, &to, e) ||
	     ws_seal_add(s, bytes, N, e) || ws_seal_end(s, id, e);
	if (rc) /* and stays so */
		must(ws_seal_add(s, bytes, 1, NULL) && ws_seal_end(s, id, NULL));
	ws_seal_free(s);
	return rc;
}

static int open_file(int fd, const unsigned char *id, struct err *e)
{
	const struct ws_place at = place(key, 0);
	const struct ws_file from = {.fd = fd};
	struct ws_open *o = ws_open_new(NULL);
	struct sv part;
	size_t done = 0;
	int rc;

	must(o);
	rc = ws_open_start(o, &at, &(struct ws_label){.id = id}, &from, e);
	for (uint64_t i = 0; !rc && i < ws_open_chunks(o); i++) {
		rc = ws_open_chunk(o, i, &part, e);
		must(rc || !memcmp(part.p, bytes + done, part.n));
		done += rc ? 0 : part.n;
	}
	must(rc || done == N);
	ws_open_free(o);
	return rc;
}

/* Every write fails once: the object is not made, and is not one. */
static void writes_fail(int error, enum err_code code, const char *words)
{
	unsigned char id[WS_ID_BYTES] = {0};
	unsigned failed = 0, told = 0, none = 0;
	const unsigned writes = 4; /* three chunks, the header */

	for (unsigned i = 1; i <= writes; i++) {
		AUTO_FD fd = new_file();
		struct err e = {0};

		on_write = (struct fault){.nth = i, .error = error};
		failed += seal_file(fd, id, &e) != 0;
		told += e.code == code && strstr(e.cause, "object x") &&
			strstr(e.cause, words);
		on_write.nth = 0;
		none += open_file(fd, id, NULL) == -1;
	}
	ok(failed == writes && told == writes && none == writes,
	   "%s: %u of %u fail, %u say so, %u are no object", strerror(error), failed,
	   writes, told, none);
}

static void writes_do_less(int error)
{
	unsigned char id[WS_ID_BYTES];
	unsigned good = 0, struck = 0;

	for (unsigned i = 1; i <= 4; i++) {
		AUTO_FD fd = new_file();

		on_write = (struct fault){.nth = i, .error = error};
		good += !seal_file(fd, id, NULL);
		struck += on_write.calls == 5;
		good += !open_file(fd, id, NULL);
	}
	ok(good == 8 && struck == 4, "%s is gone on with",
	   error ? strerror(error) : "a short write");
}

static void reads_fail(void)
{
	AUTO_FD fd = new_file();
	unsigned char id[WS_ID_BYTES];
	struct err e = {0};

	must(!seal_file(fd, id, NULL));
	for (unsigned i = 1; i <= 4; i++) { /* the header, three chunks */
		on_read = (struct fault){.nth = i, .error = EIO};
		err_clear(&e);
		ok(open_file(fd, id, &e) == -1 && e.sys == EIO &&
			   strstr(e.cause, "object x"),
		   "%s", e.cause);
		on_read = (struct fault){.nth = i, .error = EINTR};
		ok(!open_file(fd, id, &e), "interrupted");
		on_read = (struct fault){.nth = i};
		ok(!open_file(fd, id, &e), "a short read");
	}
	must(!ftruncate(fd, 200));
	err_clear(&e);
	ok(open_file(fd, id, &e) && strstr(e.cause, "truncated"), "%s", e.cause);
	ok(open_file(-1, id, &e) == -1, "no file");
}

/* What comes through a pipe, bit by bit, while others are served. */
static void from_a_pipe(void)
{
	const struct ws_place at = place(key, 0);
	struct ws_seal *s = ws_seal_new(NULL);
	AUTO_FD fd = new_file();
	const struct ws_file to = {.fd = fd};
	unsigned char id[WS_ID_BYTES];
	unsigned waits = 0;
	size_t given = 0;
	int line[2], rc;

	must(s && !fd_pipe(line, NULL) && !fd_set_nonblock(line[0]) &&
	     !ws_seal_start(s, &at, (struct sv){0}, &to, NULL));
	do {
		struct err e = {0};

		rc = ws_seal_from(s, line[0], &e);
		if (rc >= 0)
			continue;
		must(e.sys == EAGAIN);
		waits++;
		if (given == N) {
			fd_close(&line[1]);
		} else {
			const size_t n = N - given < 10007 ? N - given : 10007;

			must(write(line[1], bytes + given, n) == (ssize_t)n);
			given += n;
		}
	} while (rc);
	ok(!ws_seal_end(s, id, NULL) && !open_file(fd, id, NULL) && waits > 10,
	   "an object from a pipe (%u waits)", waits);
	ws_seal_free(s);
	fd_close(&line[0]);
}

static void from_nothing(void)
{
	const struct ws_place at = place(key, 0);
	struct ws_seal *s = ws_seal_new(NULL);
	AUTO_FD fd = new_file();
	const struct ws_file to = {.fd = fd};
	struct err e = {0};

	must(s && !ws_seal_start(s, &at, (struct sv){0}, &to, NULL));
	ok(ws_seal_from(s, -1, &e) == -1 && e.sys == EBADF &&
		   strstr(e.cause, "object x"),
	   "%s", e.cause);
	ws_seal_free(s);
}

static void no_memory(void)
{
	for (long i = 1; i <= 2; i++) {
		struct err e = {0};

		mem_fail_after(i);
		ok(!ws_seal_new(&e) && e.code == ERR_LIMIT, "%s", e.cause);
		err_clear(&e);
		mem_fail_after(i);
		ok(!ws_open_new(&e) && e.code == ERR_LIMIT, "%s", e.cause);
	}
	mem_fail_after(0);
}

int main(void)
{
	folder_new();
	key = key_from(9);
	bytes = pattern(N);
	writes_fail(ENOSPC, ERR_LIMIT, "disk is full");
	writes_fail(EDQUOT, ERR_LIMIT, "disk is full");
	writes_fail(EIO, ERR_INTERNAL, "could not be written");
	writes_do_less(0);
	writes_do_less(EINTR);
	reads_fail();
	from_a_pipe();
	from_nothing();
	no_memory();
	ws_key_free(key);
	mem_free(bytes);
	folder_end();
	return tap_done();
}
