/* run_cancel.c: the tool run_cancel: ends a run; the answer is how it ended. */
#include "tools/internal.h"

int run_cancel_start(struct tool_call *call, struct err *e)
{
	struct run *r = run_of_args(call, e);
	const struct wait_opts o = {.for_end = true,
				    .page = {.max_bytes = RUN_PAGE_BYTES},
				    .wait_ms = RUN_CANCEL_WAIT_MS};

	if (!r)
		return -1;
	if (r->sup)
		sup_client_cancel(r->sup);
	return wait_start(call, r, &o, e);
}
