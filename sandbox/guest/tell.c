/* tell.c: the guest's answers to the keeper, a zygote's to the guest. */
#include "sandbox/guest/inside.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define TRIES                                                                          \
	1000 /* as many times 5 ms: less than the keeper waits for a call to begin */

/* Programs of other sandboxes under this uid can have too many descriptors on their way (ipc.h): not for that does a
 * session end. */
void tell(struct ipc_msg *m)
{
	const struct timespec some = {0, 5000000};
	struct err e = {0};

	for (unsigned i = 0; ipc_send(GUEST_CTL_FD, m, &e); i++) {
		if (e.sys != ETOOMANYREFS || i == TRIES)
			_exit(1);
		err_clear(&e);
		nanosleep(&some, NULL);
	}
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
