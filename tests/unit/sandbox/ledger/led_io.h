/* led_io.h: SQLite's system calls, counted and made to fail or to kill, in a child of a test. */
#ifndef LED_IO_H
#define LED_IO_H

#include "led_test.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum io_mode { IO_PASS, IO_KILL, IO_KILL_TORN, IO_FAIL };
/* Shared between the test and its children. */
struct io_plan {
	enum io_mode mode;
	long at;		/* the at-th call is hit (1 = the first); 0: every one */
	int err;		/* IO_FAIL */
	bool sync_only;		/* IO_FAIL: fsync, else writes */
	long calls;		/* seen so far */
	bool hit;
};
static struct io_plan *io;

UNUSED static void io_new(void)
{
	io = mmap(NULL, sizeof(*io), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(io != MAP_FAILED);
}

static bool io_now(void)
{
	io->calls++;
	if (io->at && io->calls != io->at)
		return false;
	io->hit = true;
	return true;
}

static void io_step(void)
{
	if ((io->mode == IO_KILL || io->mode == IO_KILL_TORN) && io_now())
		kill(getpid(), SIGKILL);
}

static ssize_t io_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (io->mode == IO_FAIL && !io->sync_only && io_now()) {
		errno = io->err;
		return -1;
	}
	if (io->mode == IO_KILL_TORN && io->calls + 1 == io->at && pwrite(fd, p, n / 2, at) < 0)
		return -1;
	io_step();
	return pwrite(fd, p, n, at);
}

/* SQLite's table has no entry for it: the program's own symbol takes the library's place. */
int fdatasync(int fd)
{
	if (io && io->mode == IO_FAIL && io->sync_only && io_now()) {
		errno = io->err;
		return -1;
	}
	if (io)
		io_step();
	return (int)syscall(SYS_fdatasync, fd);
}

static int io_ftruncate(int fd, off_t n)
{
	io_step();
	return ftruncate(fd, n);
}

static int io_unlink(const char *path)
{
	io_step();
	return unlink(path);
}

static int io_open(const char *path, int flags, int mode)
{
	io_step();
	return open(path, flags, mode);
}

static int io_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	io_step();
	return fcntl(fd, cmd, arg);
}

/* For ledger_fork: puts the calls above under SQLite in this process. */
UNUSED static void io_install(void *arg)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr fn;
	} calls[] = {
		{"pwrite", (sqlite3_syscall_ptr)io_pwrite},
		{"pwrite64", (sqlite3_syscall_ptr)io_pwrite},
		{"ftruncate", (sqlite3_syscall_ptr)io_ftruncate},
		{"unlink", (sqlite3_syscall_ptr)io_unlink},
		{"open", (sqlite3_syscall_ptr)io_open},
		{"fcntl", (sqlite3_syscall_ptr)io_fcntl},
	};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	(void)arg;
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
		/* one of the two names of pwrite may be unknown to this build of SQLite */
		must(!vfs->xSetSystemCall(vfs, calls[i].name, calls[i].fn) || i < 2);
}

#endif
