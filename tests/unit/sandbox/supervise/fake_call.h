/* fake_call.h: fake.h with one session, and what tests of its calls need. */
#ifndef FAKE_CALL_H
#define FAKE_CALL_H

#include "tests/unit/sandbox/supervise/fake.h"

#include <sys/mman.h>

static struct session *s;
static struct sup_result got;
static struct wire_start began = {.fds = {-1, -1, -1}, .stdin_fd = -1}; /* what the front was told last */

static inline void begin(void)
{
	up(SUP_AUTH_LOCAL);
	s = open_one(1);
}

static inline void end(void)
{
	close_all();
	down();
}

static inline bool hears(uint32_t type)
{
	return type_at(guest) == type;
}

/* The front is told that the call has begun; its descriptors are to be closed. */
static inline bool told_start(uint32_t type, uint64_t id)
{
	struct ipc_msg m;
	bool good = take(front, &m) == type && m.id == id && !wire_get_start(&m, &began);

	ipc_finish(&m);
	return good;
}

static inline void close_start(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(began.fds); i++)
		fd_close(&began.fds[i]);
	fd_close(&began.stdin_fd);
}

static inline bool closes(uint64_t id)
{
	return written(LED_OUTCOME) && ended(id, &got) && got.in_session;
}

static inline void due(struct run *r)
{
	must(r->timer.armed);
	r->timer.on_due(&r->timer);
	turn();
}

/* A memfd of so many zero bytes that nobody can change any more. */
static inline int sealed(uint64_t bytes)
{
	int fd = memfd_create("zeros", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0 && !ftruncate(fd, (off_t)bytes) &&
	     !fcntl(fd, F_ADD_SEALS,
		    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	return fd;
}

static inline void stop(struct run *r)
{
	r->evidence.reason = VERDICT_CANCEL;
	run_event(r, EV_STOP);
	turn();
}

#endif
