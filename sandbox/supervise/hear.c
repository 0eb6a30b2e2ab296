/* hear.c: what guests that stay say, a session's or a stock's; see keeper.h. */
#include "sandbox/supervise/keeper.h"

#include <errno.h>

#define RECORDS_PER_TURN 16

enum heard hear_record(const struct loop_io *io, hear_take *take, uint32_t *ret_type)
{
	struct err e = {0};
	struct ipc_msg m;
	const int got = ipc_recv(io->fd, &m, &e);
	bool good;

	if (got < 0 && e.sys == EAGAIN)
		return HEARD_NOTHING;
	if (got != 1)
		return HEARD_END;
	*ret_type = m.type;
	good = take(io->arg, &m);
	ipc_finish(&m);
	return good ? HEARD_GOOD : HEARD_BAD;
}

void hear_turn(struct loop_io *io, bool (*read)(void *whose))
{
	for (unsigned i = 0; i < RECORDS_PER_TURN && io->added; i++)
		if (!read(io->arg))
			return;
}
