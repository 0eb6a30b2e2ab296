/* starter.c: a zygote that is no interpreter, but starts one in each of its cells, to wait there (ahead.h). */
#include "sandbox/base/fd.h"
#include "sandbox/guest/ahead.h"
#include "sandbox/guest/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Across the exec. They come from below: a cell is given few descriptors. */
static int place_ahead(const struct guest_cell *c, uint32_t open_files)
{
	const int first = AHEAD_FIRST_FD(open_files);
	const int from[AHEAD_FDS] = {[AHEAD_LINE] = c->line_fd,
				     [AHEAD_OBJECT] = ZYGOTE_OBJECT_FD,
				     [AHEAD_DRIVER] = ZYGOTE_DRIVER_FD};

	for (int i = 0; i < AHEAD_FDS; i++) {
		if (from[i] >= first) {
			errno = EMFILE;
			return -1;
		}
		if (dup2(from[i], first + i) < 0)
			return -1;
	}
	return close_range(3, (unsigned)first - 1, 0) ||
			       close_range((unsigned)first + AHEAD_FDS, ~0U, 0)
		       ? -1
		       : 0;
}

_Noreturn void starter_main(char *const *argv, char *const *envp)
{
	static const struct zygote_way way = {fork, place_ahead};

	zygote_serve(&way);
	execve(argv[0], argv, envp);
	zygote_fail("start the interpreter");
}
