/* cell.c: cell.so, preloaded into an interpreter to make it a zygote (zygote.h). It takes fork() over.
 *
 * Theory of operation. The interpreter's driver calls fork(), by whatever its language has for it: so its own hooks (locks,
 * the reseeding of its generators) run as at any fork, and nothing is embedded.
 *
 *	1st	the parent stays in it for ever, and forks a cell for each order of the guest. It returns, with 0, only in a
 *		cell: in its room and fully confined. There the driver may warm itself up, at its own cost.
 *	2nd	says on the cell's line that it is ready and waits there for the code. Returns 0 with that as descriptor 3, its
 *		stdin as 0 and the line closed. A line that closes ends the cell. sched_yield() does it in its place: no hook
 *		runs by that when the code is there, which takes Python a quarter of a millisecond.
 *	later	the C library's
 *
 * Not one byte of the caller's is in the process before its last privilege is gone. What the interpreter has done about signals
 * stays as it is, as it would on the cold path.
 *
 * Linked without a C library, it uses the interpreter's: no call may be here that an older one lacks. */
#include "sandbox/guest/line.h"
#include "sandbox/guest/rehearse.h"
#include "sandbox/guest/zygote.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CODE_FD 3
#define CELL_LINE_FD 4 /* until the code is there */

__attribute__((visibility("default"))) pid_t fork(void);
__attribute__((visibility("default"))) int sched_yield(void);
__attribute__((visibility("default"))) _Noreturn void _exit(int status);

static enum { FORK_REAL, FORK_SERVES, FORK_WAITS } next;
static pid_t (*real_fork)(void);

/* Beside the streams the line; nothing else. What had its number is the zygote's, or has been used. */
static int place_line(const struct guest_cell *c, uint32_t open_files)
{
	(void)open_files;
	if (c->line_fd != CELL_LINE_FD && dup3(c->line_fd, CELL_LINE_FD, O_CLOEXEC) < 0)
		return -1;
	close(CODE_FD);
	return (int)syscall(SYS_close_range, CELL_LINE_FD + 1, ~0U, 0);
}

static pid_t await_code(void)
{
	int fds[2];
	unsigned n;

	if (rehearse_is_on()) {
		if (rehearse_start(CODE_FD))
			zygote_fail("the rehearsal");
		next = FORK_REAL;
		return 0;
	}
	rehearse_apply();
	n = line_await(CELL_LINE_FD, fds);
	if ((n == 2 && line_place(fds[1], 0, 0)) ||
	    line_place(fds[0], CODE_FD, O_CLOEXEC))
		zygote_fail("the code");
	close(CELL_LINE_FD);
	next = FORK_REAL;
	return 0;
}

/* What the process began with: /proc/self/environ goes on to show these bytes, whatever became of the variables. */
static struct {
	char *at;
	size_t n;
} strings;

static void note_environment(void)
{
	char **last = environ;

	if (!last || !*last)
		return;
	while (last[1])
		last++;
	strings.at = environ[0];
	strings.n = (size_t)(*last - strings.at) + strlen(*last) + 1;
}

/* Makes them what the environment now is, and zeros. */
static void settle_environment(void)
{
	static char all[8192];
	size_t used = 0;

	for (char **s = environ; *s; s++) {
		const size_t n = strlen(*s) + 1;

		if (n > sizeof(all) - used || n > strings.n - used)
			return;
		memcpy(all + used, *s, n);
		used += n;
	}
	memset(strings.at, 0, strings.n);
	memcpy(strings.at, all, used);
	used = 0;
	for (char **s = environ; *s; s++) {
		*s = strings.at + used;
		used += strlen(*s) + 1;
	}
}

/* Returns in cells alone. */
static pid_t become_zygote(void)
{
	static struct zygote_way way;

	way = (struct zygote_way){real_fork, place_line};
	settle_environment();
	if (!rehearse_begin(real_fork))
		zygote_serve(&way);
	next = FORK_WAITS;
	return 0;
}

pid_t fork(void)
{
	switch (next) {
	case FORK_SERVES:
		return become_zygote();
	case FORK_WAITS:
		return await_code();
	case FORK_REAL:
		break;
	}
	return real_fork();
}

int sched_yield(void)
{
	return next == FORK_WAITS ? await_code() : (int)syscall(SYS_sched_yield);
}

void _exit(int status)
{
	if (rehearse_is_on())
		rehearse_end();
	for (;;)
		syscall(SYS_exit_group, status);
}

/* --- the beginning ------------------------------------------------------------------------------- */

static bool forget(const char *name)
{
	return getenv(name) && !unsetenv(name);
}

/* Nothing is read or closed yet: a driver may start its interpreter once more, with the same environment. */
__attribute__((constructor)) static void begin(void)
{
	union { /* what dlsym returns is no function pointer to ISO C */
		void *symbol;
		pid_t (*function)(void);
	} u = {dlsym(RTLD_NEXT, "fork")};

	real_fork = u.function;
	note_environment();
	if (!forget(ZYGOTE_MARK))
		return;
	forget("LD_PRELOAD");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	next = FORK_SERVES;
}
