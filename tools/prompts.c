/* prompts.c: the prompts, which are files alone, and what their arguments can be. */
#include "tools/internal.h"

const struct prompt tool_prompts[TOOL_PROMPTS] = {
	{.name = "analyze_data", .schema_file = "prompt_analyze_data.json"},
	{.name = "debug_code", .schema_file = "prompt_debug_code.json"},
	{.name = "write_and_test", .schema_file = "prompt_write_and_test.json"},
};

/* Languages that are installed; all of them before the keeper has said what is. */
void prompts_complete(const struct tool_env *env, struct sv prompt, struct sv argument,
		      struct sv value, void (*put)(void *arg, struct sv value),
		      void *arg)
{
	const struct sup_info *info = sup_client_info(env->client);

	(void)prompt;
	if (!sv_eq(argument, SV("language")))
		return;
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if ((!info || info->host.path[i][0]) &&
		    sv_starts(sv_of(pol_runtimes[i].name), value))
			put(arg, sv_of(pol_runtimes[i].name));
}
