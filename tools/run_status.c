/* run_status.c: the tool run_status: what a run has printed since, and whether it has ended. */
#include "tools/internal.h"

#include <inttypes.h>

static int get_offset(const struct tool_call *call, const struct run *r, int i,
		      uint64_t *ret, struct err *e)
{
	char name[32];
	int64_t offset = 0;

	snprintf(name, sizeof(name), "%s_offset", run_stream_names[i]);
	if (request_number(call->args, name, 0, &offset, e))
		return -1;
	*ret = (uint64_t)offset;
	if (*ret <= r->out[i].kept)
		return 0;
	err_set(e, ERR_INVALID, "%s is %" PRIu64 ", but there are %" PRIu64 " bytes",
		name, *ret, r->out[i].kept);
	return err_fix(e, "give the next_%s of the last answer, or 0 to begin anew",
		       name);
}

int run_status_start(struct tool_call *call, struct err *e)
{
	struct run *r = run_of_args(call, e);
	int64_t wait_ms = 0, max_bytes = RUN_PAGE_BYTES;
	struct wait_opts o = {.for_end = false};

	if (!r || request_number(call->args, "wait_ms", 0, &wait_ms, e) ||
	    request_number(call->args, "max_bytes", 0, &max_bytes, e))
		return -1;
	for (int i = 0; i < RUN_STREAMS; i++)
		if (get_offset(call, r, i, &o.page.offset[i], e))
			return -1;
	o.wait_ms = wait_ms < RUN_MAX_WAIT_MS ? (uint64_t)wait_ms : RUN_MAX_WAIT_MS;
	o.page.max_bytes = max_bytes < RUN_MIN_PAGE_BYTES ? RUN_MIN_PAGE_BYTES
			   : (uint64_t)max_bytes > RUN_MAX_PAGE_BYTES
				   ? RUN_MAX_PAGE_BYTES
				   : (size_t)max_bytes;
	return wait_start(call, r, &o, e);
}
