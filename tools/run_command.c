/* run_command.c: the tool run_command: a shell command line, or a program with its arguments. */
#include "tools/internal.h"

int run_command_start(struct tool_call *call, struct err *e)
{
	struct run_request req = {0};
	int bad = run_request_command(call->args, &req, e) || run_start(call, &req, e);

	run_request_finish(&req);
	return bad ? -1 : 0;
}
