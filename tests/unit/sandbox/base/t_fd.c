/* t_fd.c: descriptors are CLOEXEC, sealed where promised, and closed once. */
#include "sandbox/base/fd.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool is_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static void t_ownership(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), kept = fd, stolen;

	{
		AUTO_FD gone = dup(fd);

		kept = gone;
		ok(is_open(kept), "an owned descriptor is open in its block");
	}
	ok(!is_open(kept), "and closed after it");
	{
		AUTO_FD given = fd;

		stolen = fd_steal(&given);
		ok(given == -1, "a stolen one is given up");
	}
	ok(stolen == fd && is_open(fd), "and outlives the block");
	errno = ENOENT;
	fd_close(&fd);
	ok(fd == -1 && errno == ENOENT, "closing sets -1 and keeps errno");
	fd_close(&fd);
	ok(fd == -1, "twice is once");
}

static void t_flags(void)
{
	int p[2], s[2];
	struct err e = {.code = ERR_NONE};

	ok(!fd_pipe(p, &e) && is_cloexec(p[0]) && is_cloexec(p[1]),
	   "a pipe is CLOEXEC");
	ok(!fd_socketpair(s, &e) && is_cloexec(s[0]) && is_cloexec(s[1]),
	   "so is a pair");
	ok(!fd_set_cloexec(p[0], false) && fcntl(p[0], F_GETFD) == 0 &&
		   !fd_set_cloexec(p[0], true) && is_cloexec(p[0]),
	   "the flag is set and cleared");
	ok(!(fcntl(p[0], F_GETFL) & O_NONBLOCK) && !fd_set_nonblock(p[0]) &&
		   (fcntl(p[0], F_GETFL) & O_NONBLOCK) && read(p[0], s, 1) == -1 &&
		   errno == EAGAIN,
	   "a pipe blocks until told not to");
	ok(fd_set_nonblock(-1) == -1 && fd_set_cloexec(-1, true) == -1,
	   "no descriptor, no flag");
	fd_close(&p[0]), fd_close(&p[1]), fd_close(&s[0]), fd_close(&s[1]);
}

static void t_memfd(void)
{
	struct err e = {.code = ERR_NONE};
	char got[8] = "";
	AUTO_FD fd = fd_memfd("t", "hello", 5, &e);
	AUTO_FD empty = fd_memfd("t", NULL, 0, &e);
	AUTO_FD loose = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ok(fd >= 0 && is_cloexec(fd) && fd_size(fd) == 5 &&
		   read(fd, got, sizeof(got)) == 5 && !strcmp(got, "hello"),
	   "a memfd holds its bytes, at their start");
	ok(fd_is_sealed(fd) && pwrite(fd, "x", 1, 0) == -1 && ftruncate(fd, 0) == -1 &&
		   ftruncate(fd, 10) == -1 &&
		   fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1,
	   "nobody can change it any more");
	ok(mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED,
	   "not by mapping it either");
	ok(empty >= 0 && fd_size(empty) == 0 && fd_is_sealed(empty),
	   "one may be empty");
	ok(!fd_is_sealed(loose), "one that is not sealed is told apart");
	fcntl(loose, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	ok(!fd_is_sealed(loose), "also one without the last of the seals");
	fcntl(loose, F_ADD_SEALS, F_SEAL_SEAL);
	ok(fd_is_sealed(loose), "with all four it is sealed");
	ok(!fd_is_sealed(STDOUT_FILENO) && !fd_is_sealed(-1),
	   "other descriptors are not");
}

static void t_size(void)
{
	int p[2];

	must(!fd_pipe(p, NULL));
	ok(fd_size(p[0]) == -1 && fd_size(-1) == -1, "a pipe has no size");
	fd_close(&p[0]), fd_close(&p[1]);
}

static void t_read(void)
{
	struct err e = {.code = ERR_NONE};
	static char big[10000];
	AUTO_FD fd = fd_memfd("t", big, sizeof(big), &e);
	AUTO_BUF all = {0}, few = {0};

	buf_init(&all, sizeof(big));
	buf_init(&few, sizeof(big) - 1);
	ok(!fd_read_all(fd, &all, &e) && all.n == sizeof(big),
	   "everything up to EOF is read");
	lseek(fd, 0, SEEK_SET);
	ok(fd_read_all(fd, &few, &e) == -1 && e.code == ERR_LIMIT &&
		   strstr(e.cause, "9999"),
	   "more than the ceiling is an error that states it");
	err_clear(&e);
	ok(fd_read_all(-1, &all, &e) == -1 && e.sys == EBADF, "so is a bad descriptor");
	err_clear(&e);
	buf_reset(&all);
	ok(!fd_read_file("/proc/self/comm", &all, &e) &&
		   !strncmp(buf_cstr(&all), "t_fd", 4),
	   "a file is read whole");
	ok(fd_read_file("/nonexistent/x", &all, &e) == -1 && e.sys == ENOENT &&
		   strstr(e.cause, "/nonexistent/x"),
	   "one that is not there is named");
	err_clear(&e);
	lseek(fd, 0, SEEK_SET);
	buf_finish(&all);
	mem_fail_after(1);
	ok(fd_read_all(fd, &all, &e) == -1 && e.code == ERR_LIMIT,
	   "without memory it fails");
	mem_fail_after(0);
}

static void t_read_at(void)
{
	AUTO_FD fd = fd_memfd("t", "0123456789", 10, NULL);
	char got[10];

	ok(fd_read_at(fd, 4, got, 3) == 3 && !memcmp(got, "456", 3),
	   "bytes in the middle are read");
	ok(fd_read_at(fd, 8, got, 10) == 2 && !memcmp(got, "89", 2),
	   "as many as there are");
	ok(!fd_read_at(fd, 10, got, 1) && !fd_read_at(fd, 1 << 20, got, 1) &&
		   !fd_read_at(-1, 0, got, 1),
	   "or none");
	ok(!lseek(fd, 0, SEEK_CUR), "the offset of the descriptor stays");
}

static void t_write(void)
{
	struct err e = {.code = ERR_NONE};
	char got[4] = "";
	int p[2];

	must(!fd_pipe(p, &e));
	ok(!fd_write_all(p[1], "abc", 3) && read(p[0], got, 4) == 3 &&
		   !strcmp(got, "abc"),
	   "all bytes are written");
	ok(!fd_write_all(p[1], NULL, 0), "none are too");
	ok(fd_write_all(p[0], "x", 1) == -1 && errno == EBADF, "an error is told");
	fd_close(&p[0]), fd_close(&p[1]);
}

int main(void)
{
	t_ownership();
	t_flags();
	t_memfd();
	t_size();
	t_read();
	t_read_at();
	t_write();
	return tap_done();
}
