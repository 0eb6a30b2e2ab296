/* frame.h: what the files that write and read guest.h's records share. */
#ifndef SANDBOX_GUEST_FRAME_H
#define SANDBOX_GUEST_FRAME_H

#include "sandbox/guest/guest.h"

extern const struct guest_run frame_no_run;	/* every descriptor -1 */

void frame_put_list(struct ipc_msg *m, const struct sv *list, uint32_t n);
/* Rows without NUL bytes; more than max of them make the record bad. Returns how many. */
uint32_t frame_get_list(struct ipc_msg *m, struct sv *list, uint32_t max);
/* From workspace_bytes to landlock. */
void frame_put_limits(struct ipc_msg *m, const struct guest_run *r);
void frame_get_limits(struct ipc_msg *m, struct guest_run *r);

#endif
