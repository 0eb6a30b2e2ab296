/* slice.h: how long a process wants to run at a time.
 *
 * The roles and the guest mostly wait, and do little when they are woken, one after another: on a busy
 * machine a call's time is what each of them waits for a processor. A short slice has the kernel run such a process
 * sooner, at no more of the processor (EEVDF; sched_setattr(2), since Linux 6.12). */
#ifndef SANDBOX_BASE_SLICE_H
#define SANDBOX_BASE_SLICE_H

/* For the calling process; what it starts has the usual again. Does nothing where the kernel knows no such
 * wish, nor to a process that has a scheduling policy of somebody's choice. */
void slice_short(void);

#endif
