/* registry.c: what everybody is offered, and how a call ends. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

static const struct tool tools[] = {
	{.name = "run_code",
	 .schema_file = "tool_run_code.json",
	 .start = run_code_start,
	 .cancel = run_cancel,
	 .task = TOOL_TASK_MAY},
	{.name = "run_command",
	 .schema_file = "tool_run_command.json",
	 .start = run_command_start,
	 .cancel = run_cancel,
	 .task = TOOL_TASK_MAY},
	{.name = "run_status",
	 .schema_file = "tool_run_status.json",
	 .start = run_status_start,
	 .cancel = wait_cancel},
	{.name = "run_cancel",
	 .schema_file = "tool_run_cancel.json",
	 .start = run_cancel_start,
	 .cancel = wait_cancel},
	{.name = "run_input",
	 .schema_file = "tool_run_input.json",
	 .start = run_input_start},
	{.name = "session_create",
	 .schema_file = "tool_session_create.json",
	 .start = session_create_start,
	 .cancel = session_create_cancel},
	{.name = "session_list",
	 .schema_file = "tool_session_list.json",
	 .start = session_list_start,
	 .cancel = question_cancel},
	{.name = "session_close",
	 .schema_file = "tool_session_close.json",
	 .start = session_close_start,
	 .cancel = question_cancel},
	{.name = "artifact_upload",
	 .schema_file = "tool_artifact_upload.json",
	 .start = artifact_upload_start,
	 .cancel = question_cancel},
	{.name = "artifact_download",
	 .schema_file = "tool_artifact_download.json",
	 .start = artifact_download_start,
	 .cancel = question_cancel},
	{.name = "artifact_list",
	 .schema_file = "tool_artifact_list.json",
	 .start = artifact_list_start,
	 .cancel = question_cancel},
	{.name = "artifact_delete",
	 .schema_file = "tool_artifact_delete.json",
	 .start = artifact_delete_start,
	 .cancel = question_cancel},
	{.name = "sandbox_info",
	 .schema_file = "tool_sandbox_info.json",
	 .start = sandbox_info_start,
	 .cancel = sandbox_info_cancel},
};

const struct tool_set tools_all = {
	.tools = tools,
	.ntools = ARRAY_LEN(tools),
	.prompts = tool_prompts,
	.nprompts = TOOL_PROMPTS,
	.sources = tool_sources,
	.nsources = TOOL_SOURCES,
	.complete_prompt = prompts_complete,
};

void tool_call_done(struct tool_call *call, const struct tool_answer *a)
{
	call->hooks->done(call, a);
}

void tool_call_result(struct tool_call *call, struct sv structured_json, struct sv text)
{
	tool_call_done(call, &(struct tool_answer){.structured_json = structured_json,
						   .text = text});
}

void tool_call_error(struct tool_call *call, const struct err *e)
{
	must(e->code != ERR_NONE);
	tool_call_done(call, &(struct tool_answer){.err = e});
}

void tool_call_ask(struct tool_call *call, const struct tool_ask *asks, unsigned n,
		   struct sv state)
{
	tool_call_done(call,
		       &(struct tool_answer){.asks = asks, .nasks = n, .state = state});
}
