/* tell.c: the guest's answers to the keeper. */
#include "sandbox/guest/session.h"

#include <time.h>
#include <unistd.h>

void tell(struct ipc_msg *m)
{
	if (ipc_send(GUEST_CTL_FD, m, NULL))
		_exit(1);
}

void tell_failed(uint64_t id, const struct failure *f)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_FAILED, id);
	ipc_put_sv(&m, sv_of(f->stage));
	ipc_put_u32(&m, (uint32_t)f->sys);
	tell(&m);
}

void tell_word(enum guest_type type, uint64_t id, const struct guest_word *w)
{
	struct ipc_msg m;

	ipc_start(&m, type, id);
	guest_put_word(&m, w);
	tell(&m);
}

uint64_t guest_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void failure_set(struct failure *f, const char *stage, int sys)
{
	*f = (struct failure){.sys = sys};
	snprintf(f->stage, sizeof(f->stage), "%s", stage);
}
