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

static alignas(max_align_t) char session_storage[4096];

static struct plan *session_of(const char *language, struct pol_session_limits l)
{
	const struct pol_context ctx = {pol_default(), &host, "local:1"};
	const struct pol_session_request req = {sv_of(language), l};
	struct plan *p = NULL;

	err_clear(&e);
	return pol_session_make(session_storage, &req, &ctx, &p, &e) ? NULL : p;
}

static void test_sessions(void)
{
	const struct pol_policy *d = pol_default();
	struct plan *p = session_of("", (struct pol_session_limits){0});
	uint32_t extra = 0, most = 0;

	ok(p && !memcmp(pol_plan_session_limits(p), &d->session, sizeof(d->session)) &&
		   !pol_plan_runtime(p) && pol_plan_tool(p) == POL_SESSION,
	   "a session of any language, with the policy's limits");
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const struct pol_runtime *rt = &pol_runtimes[i];

		if (rt->driver[0])
			extra += host.path[i][0] ? rt->extra_processes : 0;
		else if (rt->extra_processes > most)
			most = rt->extra_processes;
	}
	ok(extra && most &&
		   pol_plan_limits(p)->processes == d->session.processes + extra + most,
	   "its interpreters get what they need themselves, programs what one needs");
	p = session_of("py", (struct pol_session_limits){.ttl_s = 5,
							 .memory_bytes = 64u << 20});
	ok(p && !strcmp(pol_plan_runtime(p)->name, "python") &&
		   pol_plan_session_limits(p)->ttl_s == 5 &&
		   pol_plan_limits(p)->memory_bytes == 64u << 20 &&
		   pol_plan_limits(p)->processes == d->session.processes,
	   "less can be asked for");
	ok(!session_of("cobol", (struct pol_session_limits){0}) &&
		   e.code == ERR_NOT_FOUND &&
		   !session_of("bash", (struct pol_session_limits){0}),
	   "of a language that is not there, it is refused");
	ok(!session_of("", (struct pol_session_limits){.ttl_s = 86401}) &&
		   e.code == ERR_LIMIT &&
		   !session_of("",
			       (struct pol_session_limits){.idle_ttl_s = UINT32_MAX}) &&
		   !session_of("", (struct pol_session_limits){.processes = 257}) &&
		   !session_of("", (struct pol_session_limits){.processes = 1}) &&
		   !session_of("", (struct pol_session_limits){.memory_bytes =
								       UINT64_MAX}) &&
		   !session_of("",
			       (struct pol_session_limits){
				       .workspace_bytes =
					       d->session_max.workspace_bytes + 1}),
	   "nothing widens what policy grants: %s", e.cause);
}

static void test_in_session(void)
{
	struct pol_request req = python;
	struct plan *p;

	req.session = session_of("", (struct pol_session_limits){.processes = 9});
	p = plan_of(req);
	ok(p &&
		   pol_plan_limits(p)->processes ==
			   pol_plan_limits(req.session)->processes &&
		   pol_plan_limits(p)->wall_ms == pol_default()->limits.wall_ms &&
		   pol_plan_has_driver(p),
	   "in a session its limits hold");
	req.has_timeout = true;
	req.timeout_ms = INT64_MAX;
	ok(pol_plan_limits(plan_of(req))->wall_ms == pol_default()->max_wall_ms,
	   "the time of a call is bounded as ever");
	req.language = SV("");
	ok(!plan_of(req), "of any language, one must be named");
	req.session = session_of("javascript", (struct pol_session_limits){0});
	p = plan_of(req);
	ok(p && !strcmp(pol_plan_runtime(p)->name, "javascript"),
	   "of one, it need not be");
	req.language = SV("python");
	ok(!plan_of(req) && e.code == ERR_INVALID, "and another is refused");
	req.tool = POL_RUN_COMMAND;
	req.has_argv = true;
	ok(plan_of(req) && !pol_plan_has_driver(plan_of(req)),
	   "a program of its own may run");
	req.tool = POL_PROBE;
	ok(!plan_of(req), "a probe may not");
	req.tool = POL_SESSION;
	req.session = NULL;
	ok(!plan_of(req), "a session is no run");
}

static struct plan *compiled(const char *language, struct plan *session)
{
	return plan_of((struct pol_request){
		.tool = POL_RUN_CODE, .language = sv_of(language), .session = session});
}

static void test_compiled(void)
{
	struct plan *s = session_of("", (struct pol_session_limits){0}), *p;
	unsigned i = 0;

	p = compiled("c++", s);
	ok(p && !strcmp(pol_plan_compiler(p), "/usr/bin/g++") &&
		   !strcmp(pol_plan_interpreter(p), "/tmp/main.cpp.out") &&
		   !pol_plan_has_driver(p),
	   "a compiler, and what it makes is run");
	p = compiled("java", s);
	ok(p && strstr(pol_plan_compiler(p), "javac") &&
		   !strcmp(pol_plan_interpreter(p), "/usr/bin/java"),
	   "a compiler, and what runs what it makes");
	ok(pol_plan_program_memory(p) == pol_default()->session.memory_bytes &&
		   pol_plan_limits(p)->memory_bytes > pol_plan_program_memory(p),
	   "the program's part of the memory is told from the runtime's");
	p = compiled("python", s);
	ok(p && !pol_plan_compiler(p)[0], "most have no compiler");
	p = plan_of((struct pol_request){.tool = POL_RUNTIME_VERSION,
					 .language = SV("java")});
	ok(p && !pol_plan_compiler(p)[0] && strstr(pol_plan_interpreter(p), "javac"),
	   "its version is one program's");
	while (strcmp(pol_runtimes[i].name, "rust") != 0)
		i++;
	host.path[i][0] = '\0';
	ok(!compiled("rust", s) && e.code == ERR_NOT_FOUND &&
		   strstr(e.remediation, "apt-get install rustc"),
	   "what is missing is named by its package: %s", e.remediation);
}

/* The plan of python's in `where`, as this caller's under this policy. */
static const struct plan *plan_in(void *where, const struct pol_policy *policy,
				  const char *principal, const char *language)
{
	const struct pol_request req = {.tool = POL_RUN_CODE,
					.language = sv_of(language),
					.has_timeout = true,
					.timeout_ms = policy->max_wall_ms};
	const struct pol_context ctx = {policy, &host, principal};
	struct plan *p = NULL;

	must(!pol_plan_make(where, &req, &ctx, &p, NULL));
	return p;
}

static bool shares(const struct pol_policy *policy, const char *principal,
		   const char *language)
{
	static alignas(max_align_t) char other[4096];
	const struct plan *a = plan_of(python);
	const struct plan *b = plan_in(other, policy, principal, language);

	must(a && pol_plan_shares_cells(a, b) == pol_plan_shares_cells(b, a));
	return pol_plan_shares_cells(a, b);
}

/* Cells that were made for one run are given to another. */
static void test_cells(void)
{
	static const struct {
		const char *what;
		size_t at, size;
		bool shared;
	} rows[] = {
#define LIMIT(name, shared)                                                            \
	{#name, offsetof(struct pol_limits, name),                                     \
	 sizeof(((struct pol_limits *)0)->name), shared}
		LIMIT(wall_ms, true),	       LIMIT(output_bytes, true),
		LIMIT(processes, false),       LIMIT(cpu_millis, false),
		LIMIT(open_files, false),      LIMIT(memory_bytes, false),
		LIMIT(workspace_bytes, false), LIMIT(tmp_bytes, false),
#undef LIMIT
	};
	static const char *const others[] = {"javascript", "ruby", "perl", "php",
					     "lua"};
	size_t all = 0;

	ok(shares(pol_default(), "local:1", "python"), "the same may have them");
	ok(!shares(pol_default(), "local:2", "python"), "another caller may not");
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		ok(!shares(pol_default(), "local:1", others[i]), "nor %s", others[i]);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct pol_policy policy = *pol_default();

		all += rows[i].size;
		/* one less, whatever its size */
		--*((char *)&policy.limits + rows[i].at);
		ok(shares(&policy, "local:1", "python") == rows[i].shared,
		   "who has another %s may%s", rows[i].what,
		   rows[i].shared ? "" : " not");
	}
	ok(all == sizeof(struct pol_limits), "there is no limit beside these");
}

static void install(unsigned i)
{
	const struct pol_runtime *rt = &pol_runtimes[i];
	const bool two = rt->compile.find[0];

	snprintf(host.path[i], sizeof(host.path[i]), "%s",
		 two ? rt->compile.find[0] : rt->find[0]);
	if (two && rt->find[0])
		snprintf(host.runner[i], sizeof(host.runner[i]), "/usr/bin/%s",
			 strrchr(rt->find[0], '/') + 1);
}

int main(void)
{
	/* all but bash are installed on this host */
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if (strcmp(pol_runtimes[i].name, "bash"))
			install(i);
	test_timeouts();
	test_languages();
	test_sizes();
	test_tools();
	test_sessions();
	test_in_session();
	test_compiled();
	test_cells();
	return tap_done();
}
