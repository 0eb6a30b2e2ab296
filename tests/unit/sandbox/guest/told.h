/* told.h: what a guest that keeps a zygote says, and the pipes of its cells. Nothing here waits for time to pass: LONG_MS only
 * ends a test that would hang. */
#ifndef TOLD_H
#define TOLD_H

#include "sandbox/guest/guest.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LONG_MS 60000

struct told {
	uint32_t type;	/* 0: the guest has gone, or said what cannot be read */
	uint64_t id;
	uint32_t status, sys;
	uint64_t when_us;
	char stage[48];
	int pidfd, workspace;	/* owned; of GUEST_CELL_MADE */
};

/* The next record but GUEST_UP. */
static inline struct told told_next(int ctl)
{
	struct pollfd p = {ctl, POLLIN, 0};
	struct told got = {.pidfd = -1, .workspace = -1};
	static struct ipc_msg m;
	bool bad = false;

	do
		if (poll(&p, 1, LONG_MS) != 1 || ipc_recv(ctl, &m, NULL) != 1)
			return got;
	while (m.type == GUEST_UP);
	got.id = m.id;
	if (m.type == GUEST_CELL_MADE) {
		got.pidfd = ipc_take_fd(&m);
		got.workspace = ipc_take_fd(&m);
	} else if (m.type == GUEST_FAILED) {
		ipc_get_cstr(&m, got.stage, sizeof(got.stage));
		got.sys = ipc_get_u32(&m);
	} else if (m.type == GUEST_ENDED) {
		got.status = ipc_get_u32(&m);
		got.when_us = ipc_get_u64(&m);
	} else {
		bad = m.type != GUEST_ZYGOTE_UP;
	}
	got.type = bad || !ipc_end(&m) ? 0 : m.type;
	ipc_finish(&m);
	return got;
}

static inline bool told_is(const struct told *got, uint32_t type, uint64_t id)
{
	const bool good = got->type == type && got->id == id;

	if (!good)
		printf("# got %u of %llu: %s %u status %x\n", got->type,
		       (unsigned long long)got->id, got->stage, got->sys, got->status);
	return good;
}

/* Everything up to the end of a pipe: it comes when nobody is left who could write. */
static inline const char *all_of(int fd)
{
	static char text[70000];
	struct pollfd p = {fd, POLLIN, 0};
	size_t n = 0;
	ssize_t k;

	while (n < sizeof(text) - 1 && poll(&p, 1, LONG_MS) == 1 &&
	       (k = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)k;
	text[n] = '\0';
	return text;
}

#endif
