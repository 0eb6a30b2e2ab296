/* t_registry.c: every tool, prompt and source is there, can be used and has its file. */
#include "sandbox/base/mem.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/tools.h"

#include <string.h>

static void test_tools(void)
{
	static const struct {
		const char *name;
		enum tool_task task;
	} promised[] = {{"run_code", TOOL_TASK_MAY},
			{"run_command", TOOL_TASK_MAY},
			{"run_status", TOOL_TASK_NEVER},
			{"run_cancel", TOOL_TASK_NEVER},
			{"run_input", TOOL_TASK_NEVER},
			{"session_create", TOOL_TASK_NEVER},
			{"session_list", TOOL_TASK_NEVER},
			{"session_close", TOOL_TASK_NEVER},
			{"artifact_upload", TOOL_TASK_NEVER},
			{"artifact_download", TOOL_TASK_NEVER},
			{"artifact_list", TOOL_TASK_NEVER},
			{"artifact_delete", TOOL_TASK_NEVER},
			{"sandbox_info", TOOL_TASK_NEVER}};

	ok(tools_all.ntools == ARRAY_LEN(promised), "as many tools as promised");
	for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
		const struct tool *t = &tools_all.tools[i];

		ok(!strcmp(t->name, promised[i].name), "%s is there", promised[i].name);
		/* that one answers at once */
		ok(t->start && (t->cancel || !strcmp(t->name, "run_input")),
		   "%s can start and be cancelled", t->name);
		ok(schemas_get(t->schema_file).n, "%s has its schema", t->name);
		ok(t->task == promised[i].task && !t->needs,
		   "%s: whether it can be a task; and every client may call it",
		   t->name);
	}
}

static void test_prompts(void)
{
	static const char *const promised[] = {"analyze_data", "debug_code",
					       "write_and_test"};

	ok(tools_all.nprompts == ARRAY_LEN(promised), "as many prompts as promised");
	for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
		const struct prompt *p = &tools_all.prompts[i];

		ok(!strcmp(p->name, promised[i]) && !p->start &&
			   schemas_get(p->schema_file).n,
		   "%s is there and has its file", promised[i]);
	}
}

static void test_sources(void)
{
	for (size_t i = 0; i < tools_all.nsources; i++) {
		const struct resource_source *s = &tools_all.sources[i];

		ok(s->list && s->read, "%s can be listed and read", s->prefix);
		ok(!s->ntemplates || s->complete, "%s: its templates are completed",
		   s->prefix);
		for (size_t k = 0; k < tools_all.nsources; k++)
			ok(k == i || strncmp(tools_all.sources[k].prefix, s->prefix,
					     strlen(s->prefix)) != 0,
			   "%s begins no address of another", s->prefix);
	}
	ok(tools_all.nsources == 3 && tools_all.complete_prompt, "three sources");
}

int main(void)
{
	test_tools();
	test_prompts();
	test_sources();
	return tap_done();
}
