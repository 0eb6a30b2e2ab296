/* t_registry.c: every tool is found by its name, can start and has its schema file. */
#include "sandbox/base/mem.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/tools.h"

int main(void)
{
	static const char *const promised[] = {"run_code", "run_command",
					       "sandbox_info"};

	ok(tools_count == ARRAY_LEN(promised), "as many tools as promised");
	for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
		const struct tool *t = tool_find(sv_of(promised[i]));

		ok(t && !strcmp(t->name, promised[i]), "%s is found", promised[i]);
		ok(t && t->start && t->cancel, "%s can start and be cancelled",
		   promised[i]);
		ok(t && schemas_get(t->schema_file).n, "%s has its schema",
		   promised[i]);
	}
	ok(!tool_find(SV("run_cod")) && !tool_find(SV("run_code2")) &&
		   !tool_find(SV("")) && !tool_find(SV("RUN_CODE")),
	   "no other name is");
	return tap_done();
}
