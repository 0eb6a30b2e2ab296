/* registry.c: the table of tools and how a call ends. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

const struct tool tools[] = {
	{.name = "run_code",
	 .schema_file = "tool_run_code.json",
	 .start = run_code_start,
	 .cancel = run_cancel},
	{.name = "run_command",
	 .schema_file = "tool_run_command.json",
	 .start = run_command_start,
	 .cancel = run_cancel},
	{.name = "sandbox_info",
	 .schema_file = "tool_sandbox_info.json",
	 .start = sandbox_info_start,
	 .cancel = sandbox_info_cancel},
};
const size_t tools_count = ARRAY_LEN(tools);

const struct tool *tool_find(struct sv name)
{
	for (size_t i = 0; i < tools_count; i++)
		if (sv_eq(name, sv_of(tools[i].name)))
			return &tools[i];
	return NULL;
}

void tool_call_result(struct tool_call *call, struct sv structured_json, struct sv text)
{
	call->on_done(call, &(struct tool_answer){.structured_json = structured_json,
						  .text = text});
}

void tool_call_error(struct tool_call *call, const struct err *e)
{
	must(e->code != ERR_NONE);
	call->on_done(call, &(struct tool_answer){.err = e});
}
