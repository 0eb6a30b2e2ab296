/* t_plan.c: nothing a request says widens what policy grants. */
#include "sandbox/policy/policy.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <stdalign.h>

static alignas(max_align_t) char storage[4096];
static struct pol_host host;
static struct err e;

static struct plan *plan_of(struct pol_request req)
{
	const struct pol_context ctx = {pol_default(), &host, "local:1"};
	struct plan *p = NULL;

	err_clear(&e);
	return pol_plan_make(storage, &req, &ctx, &p, &e) ? NULL : p;
}

static const struct pol_request python = {.tool = POL_RUN_CODE,
					  .language = {"python", 6}};

static uint32_t wall_of(bool has, int64_t ms, bool *clamped)
{
	struct pol_request req = python;
	struct plan *p;

	req.has_timeout = has;
	req.timeout_ms = ms;
	p = plan_of(req);
	*clamped = p && pol_plan_timeout_clamped(p);
	return p ? pol_plan_limits(p)->wall_ms : 0;
}

static void test_timeouts(void)
{
	const struct pol_policy *d = pol_default();
	bool clamped;

	ok(wall_of(false, 0, &clamped) == d->limits.wall_ms && !clamped,
	   "unset is the default");
	ok(wall_of(true, 0, &clamped) == d->min_wall_ms && clamped,
	   "0 is the minimum, and said so");
	ok(wall_of(true, -1, &clamped) == d->min_wall_ms && clamped,
	   "negative is the minimum");
	ok(wall_of(true, 1000000000, &clamped) == d->max_wall_ms && clamped,
	   "10^9 is the maximum, and said so");
	ok(wall_of(true, INT64_MAX, &clamped) == d->max_wall_ms && clamped,
	   "so is 2^63 - 1");
	ok(wall_of(true, 5000, &clamped) == 5000 && !clamped,
	   "what is in range stands");
}

static void test_languages(void)
{
	struct pol_request req = python;

	ok(plan_of(req) != NULL, "python is there");
	req.language = SV("py");
	ok(plan_of(req) != NULL, "and under its alias");
	req.language = SV("cobol");
	ok(!plan_of(req) && e.code == ERR_NOT_FOUND && strstr(e.remediation, "python"),
	   "an unknown language is refused, naming those there are: %s", e.remediation);
	req.language = SV("bash");
	ok(!plan_of(req) && e.code == ERR_NOT_FOUND && !strstr(e.remediation, "bash,"),
	   "a language that is not installed is refused: %s", e.cause);
	req.language = SV("");
	ok(!plan_of(req), "no language is not any language");
}

static void test_sizes(void)
{
	struct pol_request req = python;

	req.code_bytes = POL_MAX_CODE_BYTES;
	ok(plan_of(req) != NULL, "code of exactly the limit");
	req.code_bytes++;
	ok(!plan_of(req) && e.code == ERR_LIMIT && strstr(e.cause, "10485760"),
	   "one byte more is refused, stating the limit: %s", e.cause);
	req = python;
	req.input_bytes = UINT64_MAX;
	ok(!plan_of(req) && e.code == ERR_LIMIT, "input of 2^64 - 1 bytes");
	req = (struct pol_request){.tool = POL_RUN_COMMAND,
				   .language = SV("python"),
				   .code_bytes = POL_MAX_COMMAND_BYTES + 1};
	ok(!plan_of(req) && e.code == ERR_LIMIT, "a command too long for one argument");
}

static void test_tools(void)
{
	struct pol_request req = {.tool = (enum pol_tool)99, .language = SV("python")};

	ok(!plan_of(req), "a tool number off the table is refused");
	req = python;
	req.has_argv = true;
	ok(plan_of(req) && !pol_plan_has_argv(plan_of(req)),
	   "run_code cannot choose its program by argv");
	req = (struct pol_request){.tool = POL_RUN_COMMAND, .has_argv = true};
	ok(plan_of(req) && pol_plan_runtime(plan_of(req)) == NULL, "run_command can");
	ok(pol_plan_size() <= sizeof(storage), "a plan is small");
}

int main(void)
{
	/* all but bash are installed on this host */
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if (strcmp(pol_runtimes[i].name, "bash"))
			snprintf(host.path[i], sizeof(host.path[i]), "%s",
				 pol_runtimes[i].find[0]);
	test_timeouts();
	test_languages();
	test_sizes();
	test_tools();
	return tap_done();
}
