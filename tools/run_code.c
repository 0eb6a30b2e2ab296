/* run_code.c: the tool run_code: a program in a language of the runtime table. */
#include "tools/internal.h"

int run_code_start(struct tool_call *call, struct err *e)
{
	struct run_request req = {0};
	int bad = run_request_code(call->args, &req, e) || run_start(call, &req, e);

	run_request_finish(&req);
	return bad ? -1 : 0;
}
