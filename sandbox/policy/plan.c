/* plan.c: what a run may do; the only file that knows what a plan is made of. */
#include "sandbox/base/mem.h"
#include "sandbox/policy/policy.h"

struct plan {
	enum pol_tool tool;
	const struct pol_runtime *runtime; /* NULL: the program is in argv */
	char interpreter[256], compiler[256];
	char principal[POL_PRINCIPAL_SIZE];
	struct pol_limits limits;
	struct pol_session_limits session; /* POL_SESSION */
	uint64_t program_memory;
	bool has_argv;
	bool timeout_clamped;
};

static const char *const tool_names[] = {
	[POL_RUN_CODE] = "run_code",
	[POL_RUN_COMMAND] = "run_command",
	[POL_RUNTIME_VERSION] = "runtime_version",
	[POL_PROBE] = "probe",
	[POL_SESSION] = "session_create",
};
_Static_assert(sizeof(tool_names) / sizeof(*tool_names) == POL_TOOL_COUNT,
	       "one name per tool");

const char *pol_tool_name(enum pol_tool t)
{
	return (unsigned)t < POL_TOOL_COUNT ? tool_names[t] : "?";
}

const struct pol_policy *pol_default(void)
{
	static const struct pol_policy p = {
		.name = "default",
		.limits = {.wall_ms = 10000,
			   .processes = 64,
			   .cpu_millis = 1000,
			   .open_files = 1024,
			   .memory_bytes = (uint64_t)256 << 20,
			   .workspace_bytes = (uint64_t)64 << 20,
			   .tmp_bytes = (uint64_t)32 << 20,
			   .output_bytes = (uint64_t)16 << 20},
		.min_wall_ms = 100,
		.max_wall_ms = 300000,
		.session = {.ttl_s = 3600,
			    .idle_ttl_s = 600,
			    .processes = 128,
			    .memory_bytes = (uint64_t)1 << 30,
			    .workspace_bytes = (uint64_t)256 << 20},
		.session_min = {.ttl_s = 1,
				.idle_ttl_s = 1,
				.processes = 8,
				.memory_bytes = (uint64_t)64 << 20,
				.workspace_bytes = (uint64_t)1 << 20},
		.session_max = {.ttl_s = 86400,
				.idle_ttl_s = 86400,
				.processes = 256,
				.memory_bytes = (uint64_t)2 << 30,
				.workspace_bytes = (uint64_t)512 << 20},
	};

	return &p;
}

size_t pol_plan_size(void)
{
	return sizeof(struct plan);
}

static bool names_runtime(const struct pol_runtime *r, struct sv language)
{
	if (sv_eq(language, sv_of(r->name)))
		return true;
	for (const char *const *a = r->aliases; *a; a++)
		if (sv_eq(language, sv_of(*a)))
			return true;
	return false;
}

/* "python, bash": what a caller may ask for on this host. */
static void list_available(const struct pol_host *host, char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	for (unsigned i = 0; i < pol_runtimes_count && n < size; i++) {
		if (!host->path[i][0])
			continue;
		n += (size_t)snprintf(dst + n, size - n, "%s%s", n ? ", " : "",
				      pol_runtimes[i].name);
	}
	if (!n)
		snprintf(dst, size, "none");
}

/* What the plan starts: of a language that is compiled the compiler, and what is run after it. */
static int set_programs(struct plan *p, unsigned i, const struct pol_host *host,
			struct err *e)
{
	const struct pol_runtime *rt = &pol_runtimes[i];
	const bool two = rt->compile.find[0] && p->tool == POL_RUN_CODE;
	const char *runs = !two		 ? host->path[i]
			   : rt->find[0] ? host->runner[i]
					 : rt->compile.product;

	p->runtime = rt;
	if (sv_copy(sv_of(runs), p->interpreter, sizeof(p->interpreter)) ||
	    sv_copy(sv_of(two ? host->path[i] : ""), p->compiler, sizeof(p->compiler)))
		return err_set(e, ERR_INTERNAL, "the path of %s is too long", rt->name);
	return 0;
}

static int choose_runtime(struct plan *p, struct sv language,
			  const struct pol_host *host, struct err *e)
{
	char have[200], asked[64];
	const struct pol_runtime *rt;
	unsigned i = 0;

	while (i < pol_runtimes_count && !names_runtime(&pol_runtimes[i], language))
		i++;
	list_available(host, have, sizeof(have));
	snprintf(asked, sizeof(asked), SV_FMT, (int)(language.n < 40 ? language.n : 40),
		 language.p);
	if (i == pol_runtimes_count) {
		err_set(e, ERR_NOT_FOUND, "there is no language \"%s\"", asked);
		return err_fix(e, "use one of: %s", have);
	}
	if (host->path[i][0])
		return set_programs(p, i, host, e);
	rt = &pol_runtimes[i];
	err_set(e, ERR_NOT_FOUND, "%s is not installed on this host", rt->title);
	if (rt->package[0])
		return err_fix(e, "use one of: %s; or on the host: apt-get install %s",
			       have, rt->package);
	return err_fix(e, "use one of: %s; or install %s", have,
		       rt->compile.find[0] ? rt->compile.find[0] : rt->find[0]);
}

static int check_sizes(const struct pol_request *req, struct err *e)
{
	const bool command = req->tool == POL_RUN_COMMAND;
	const struct {
		const char *what;
		uint64_t got, max;
	} rows[] = {
		{command ? "command" : "code", req->code_bytes,
		 command ? POL_MAX_COMMAND_BYTES : POL_MAX_CODE_BYTES},
		{"args, env and files together", req->input_bytes, POL_MAX_INPUT_BYTES},
		{"stdin", req->stdin_bytes, POL_MAX_STDIN_BYTES},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].got > rows[i].max) {
			err_set(e, ERR_LIMIT,
				"%s: %llu bytes, at most %llu are accepted",
				rows[i].what, (unsigned long long)rows[i].got,
				(unsigned long long)rows[i].max);
			return err_fix(e, "send less%s",
				       command ? ", or use run_code with bash" : "");
		}
	return 0;
}

static void set_timeout(struct plan *p, const struct pol_request *req,
			const struct pol_policy *policy)
{
	int64_t want = req->timeout_ms;

	if (!req->has_timeout)
		return;
	if (want < (int64_t)policy->min_wall_ms)
		want = policy->min_wall_ms;
	if (want > (int64_t)policy->max_wall_ms)
		want = policy->max_wall_ms;
	p->timeout_clamped = want != req->timeout_ms;
	p->limits.wall_ms = (uint32_t)want;
}

/* Those of the session it runs in; what its interpreters need is in them already. */
static int join_session(struct plan *p, const struct pol_request *req,
			struct sv *language, struct err *e)
{
	const struct plan *s = req->session;

	if (req->tool != POL_RUN_CODE && req->tool != POL_RUN_COMMAND)
		return err_set(e, ERR_INVALID, "%s does not run in a session",
			       tool_names[req->tool]);
	p->limits = s->limits;
	p->program_memory = s->session.memory_bytes;
	if (req->tool != POL_RUN_CODE || !s->runtime)
		return 0;
	if (!language->n)
		*language = sv_of(s->runtime->name);
	if (names_runtime(s->runtime, *language))
		return 0;
	err_set(e, ERR_INVALID, "this is a session of %s alone", s->runtime->title);
	return err_fix(e, "use %s, or create a session without a language",
		       s->runtime->name);
}

int pol_plan_make(void *mem, const struct pol_request *req,
		  const struct pol_context *ctx, struct plan **ret, struct err *e)
{
	struct plan *p = mem;
	struct sv language = req->language;

	*p = (struct plan){.tool = req->tool, .limits = ctx->policy->limits};
	if ((unsigned)req->tool >= POL_TOOL_COUNT || req->tool == POL_SESSION)
		return err_set(e, ERR_INVALID, "no such tool");
	if (sv_copy(sv_of(ctx->principal), p->principal, sizeof(p->principal)))
		return err_set(e, ERR_INVALID, "the principal's name is too long");
	if (check_sizes(req, e))
		return -1;
	p->has_argv = req->has_argv && req->tool == POL_RUN_COMMAND;
	if (req->session && join_session(p, req, &language, e))
		return -1;
	if (req->tool == POL_RUN_COMMAND && !language.n)
		language = SV("bash");
	if (req->tool != POL_PROBE && !p->has_argv &&
	    choose_runtime(p, language, ctx->host, e))
		return -1;
	if (!req->session)
		p->program_memory = p->limits.memory_bytes;
	if (p->runtime && !req->session) {
		p->limits.memory_bytes += p->runtime->extra_memory_bytes;
		p->limits.processes += p->runtime->extra_processes;
	}
	set_timeout(p, req, ctx->policy);
	*ret = p;
	return 0;
}

/* --- sessions ----------------------------------------------------------------------------------- */

struct range {
	const char *what;
	uint64_t asked, min, standard, max;
};

static int choose(const struct range *r, uint64_t *ret, struct err *e)
{
	if (r->asked && (r->asked < r->min || r->asked > r->max)) {
		err_set(e, ERR_LIMIT, "%s: %llu, from %llu to %llu is granted", r->what,
			(unsigned long long)r->asked, (unsigned long long)r->min,
			(unsigned long long)r->max);
		return err_fix(e, "ask for a value in that range, or leave it out");
	}
	*ret = r->asked ? r->asked : r->standard;
	return 0;
}

static int choose_limits(struct plan *p, const struct pol_session_limits *asked,
			 const struct pol_policy *policy, struct err *e)
{
	const struct pol_session_limits *lo = &policy->session_min,
					*std = &policy->session,
					*hi = &policy->session_max;
	const struct range rows[] = {
		{"ttl_s", asked->ttl_s, lo->ttl_s, std->ttl_s, hi->ttl_s},
		{"idle_ttl_s", asked->idle_ttl_s, lo->idle_ttl_s, std->idle_ttl_s,
		 hi->idle_ttl_s},
		{"processes", asked->processes, lo->processes, std->processes,
		 hi->processes},
		{"memory_bytes", asked->memory_bytes, lo->memory_bytes,
		 std->memory_bytes, hi->memory_bytes},
		{"workspace_bytes", asked->workspace_bytes, lo->workspace_bytes,
		 std->workspace_bytes, hi->workspace_bytes},
	};
	uint64_t got[ARRAY_LEN(rows)];

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (choose(&rows[i], &got[i], e))
			return -1;
	p->session = (struct pol_session_limits){.ttl_s = (uint32_t)got[0],
						 .idle_ttl_s = (uint32_t)got[1],
						 .processes = (uint32_t)got[2],
						 .memory_bytes = got[3],
						 .workspace_bytes = got[4]};
	return 0;
}

/* Interpreters stay beside one another; of programs it is enough to have room for the one that needs most. */
static void add_extras(struct plan *p, const struct pol_host *host)
{
	uint32_t processes = 0;
	uint64_t memory = 0;

	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const struct pol_runtime *rt = &pol_runtimes[i];

		if (!host->path[i][0] || (p->runtime && p->runtime != rt))
			continue;
		if (rt->driver[0]) {
			p->limits.processes += rt->extra_processes;
			p->limits.memory_bytes += rt->extra_memory_bytes;
			continue;
		}
		if (rt->extra_processes > processes)
			processes = rt->extra_processes;
		if (rt->extra_memory_bytes > memory)
			memory = rt->extra_memory_bytes;
	}
	p->limits.processes += processes;
	p->limits.memory_bytes += memory;
}

int pol_session_make(void *mem, const struct pol_session_request *req,
		     const struct pol_context *ctx, struct plan **ret, struct err *e)
{
	struct plan *p = mem;

	*p = (struct plan){.tool = POL_SESSION, .limits = ctx->policy->limits};
	if (sv_copy(sv_of(ctx->principal), p->principal, sizeof(p->principal)))
		return err_set(e, ERR_INVALID, "the principal's name is too long");
	if ((req->language.n && choose_runtime(p, req->language, ctx->host, e)) ||
	    choose_limits(p, &req->limits, ctx->policy, e))
		return -1;
	p->limits.processes = p->session.processes;
	p->limits.memory_bytes = p->session.memory_bytes;
	p->limits.workspace_bytes = p->session.workspace_bytes;
	p->program_memory = p->session.memory_bytes;
	add_extras(p, ctx->host);
	*ret = p;
	return 0;
}

const struct pol_session_limits *pol_plan_session_limits(const struct plan *p)
{
	return &p->session;
}

bool pol_plan_has_driver(const struct plan *p)
{
	return p->runtime && p->runtime->driver[0] &&
	       (p->tool == POL_RUN_CODE || p->tool == POL_RUN_COMMAND);
}

const struct pol_limits *pol_plan_limits(const struct plan *p)
{
	return &p->limits;
}

const struct pol_runtime *pol_plan_runtime(const struct plan *p)
{
	return p->runtime;
}

const char *pol_plan_interpreter(const struct plan *p)
{
	return p->interpreter;
}

const char *pol_plan_compiler(const struct plan *p)
{
	return p->compiler;
}

uint64_t pol_plan_program_memory(const struct plan *p)
{
	return p->program_memory;
}

const char *pol_plan_principal(const struct plan *p)
{
	return p->principal;
}

enum pol_tool pol_plan_tool(const struct plan *p)
{
	return p->tool;
}

bool pol_plan_has_argv(const struct plan *p)
{
	return p->has_argv;
}

bool pol_plan_timeout_clamped(const struct plan *p)
{
	return p->timeout_clamped;
}

bool pol_plan_shares_cells(const struct plan *a, const struct plan *b)
{
	struct pol_limits l = a->limits;

	l.wall_ms = b->limits.wall_ms;
	l.output_bytes = b->limits.output_bytes;
	return a->tool == b->tool && a->runtime == b->runtime &&
	       a->has_argv == b->has_argv && a->program_memory == b->program_memory &&
	       !strcmp(a->interpreter, b->interpreter) &&
	       !strcmp(a->compiler, b->compiler) &&
	       !strcmp(a->principal, b->principal) &&
	       l.processes == b->limits.processes &&
	       l.cpu_millis == b->limits.cpu_millis &&
	       l.open_files == b->limits.open_files &&
	       l.memory_bytes == b->limits.memory_bytes &&
	       l.workspace_bytes == b->limits.workspace_bytes &&
	       l.tmp_bytes == b->limits.tmp_bytes;
}
