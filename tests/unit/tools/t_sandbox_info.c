/* t_sandbox_info.c: versions are what the runtimes print in the sandbox, asked once, all at a time.
 *
 * What is known is kept for the process' life, so the order of the tests matters. */
#include "tests/unit/tools/keeper.h"

#define MAX_RUNS POL_MAX_RUNTIMES

/* paths in the order of schemas/runtimes.json: python, javascript, bash */
static const char *const paths[POL_MAX_RUNTIMES] = {"/usr/bin/python3", "",
						    "/usr/bin/bash"};

/* The version runs under way: ids by language. */
struct asked_runs {
	uint64_t id[MAX_RUNS];
	char language[MAX_RUNS][16];
	unsigned n;
};

/* All probes hold but one. */
static void answer_probes(struct keeper *k, uint64_t id)
{
	AUTO_BUF b = {0};

	buf_init(&b, 4096);
	for (unsigned i = 0; i < probe_count; i++)
		buf_fmt(&b, "%s %s detail\n", probe_names[i],
			strcmp(probe_names[i], "ptrace") ? "held" : "open");
	keeper_accept(k, id, buf_cstr(&b), "", NULL);
	keeper_end(k, id, SUP_EXITED, 0);
	keeper_turn(k);
}

static unsigned probe_runs;

static void take_runs(struct keeper *k, struct asked_runs *r)
{
	struct ipc_msg m;
	struct wire_run w;

	r->n = 0;
	while (r->n < MAX_RUNS && keeper_next_run(k, &m, &w)) {
		if (w.tool == POL_PROBE) {
			probe_runs++;
			answer_probes(k, m.id);
			continue;
		}
		must(w.tool == POL_RUNTIME_VERSION && w.code_fd < 0 && w.input_fd < 0 &&
		     w.stdin_fd < 0);
		must(!sv_copy(w.language, r->language[r->n], 16));
		r->id[r->n++] = m.id;
	}
}

static uint64_t id_of(const struct asked_runs *r, const char *language)
{
	for (unsigned i = 0; i < r->n; i++)
		if (!strcmp(r->language[i], language))
			return r->id[i];
	return 0;
}

static const struct cJSON *runtime_named(const struct called *c, const char *name)
{
	const struct cJSON *r = js_first(js_get(c->structured, "runtimes"));

	while (r && !sv_eq(js_str(js_get(r, "name")), sv_of(name)))
		r = js_next(r);
	return r;
}

static bool says(const struct cJSON *obj, const char *key, const char *part)
{
	return js_is_str(js_get(obj, key)) && strstr(js_str(js_get(obj, key)).p, part);
}

static bool says_open(const struct called *c, const char *name)
{
	const struct cJSON *i = js_get(c->structured, "isolation");
	const struct cJSON *open = js_get(js_get(i, "escapes"), "open");

	return !js_is_true(js_get(i, "proven")) && js_first(open) &&
	       sv_eq(js_str(js_first(open)), sv_of(name));
}

static bool schema_holds(const struct called *c)
{
	struct err e = {0};
	struct cJSON *doc = rpc_json_parse(schemas_get("tool_sandbox_info.json"), &e);
	bool good = doc && c->structured &&
		    !rpc_schema_check(js_get(doc, "outputSchema"), c->structured, false,
				      &e);

	if (!good)
		printf("# %s\n", e.cause);
	cJSON_Delete(doc);
	return good;
}

/* Before the keeper has said anything every runtime is asked; nobody wants the answer any more. */
static void test_before_hello(struct keeper *k)
{
	struct called c;
	struct asked_runs r;
	struct ipc_msg m;

	ok(!call_start(&c, k, "sandbox_info", "{}") && !c.ended,
	   "asked before the keeper's report");
	take_runs(k, &r);
	ok(r.n == pol_runtimes_count, "all runtimes are asked");
	c.call.tool->cancel(&c.call);
	for (unsigned i = 0; i < r.n; i++)
		ok(keeper_next(k, &m) == SUP_STOP, "a cancelled call stops the run %u",
		   i);
	keeper_hello(k, paths);
	for (unsigned i = 0; i < r.n; i++) {
		keeper_refuse(k, r.id[i], ERR_BUSY, "no room");
		keeper_turn(k);
	}
	ok(c.ended == 1 && !c.failed && schema_holds(&c),
	   "and it is answered all the same");
	ok(probe_runs == 1 && says_open(&c, "ptrace"),
	   "an escape that succeeded is named, and nothing is proven");
	ok(says(runtime_named(&c, "python"), "problem", "no room") &&
		   js_is_true(js_get(runtime_named(&c, "python"), "available")),
	   "a runtime that could not be asked is installed, of unknown version, and says why");
	called_finish(&c);
}

static void test_two_at_once(struct keeper *k)
{
	struct called a, b;
	struct asked_runs r;

	ok(!call_start(&a, k, "sandbox_info", "{}") &&
		   !call_start(&b, k, "sandbox_info", "{}"),
	   "two calls");
	take_runs(k, &r);
	ok(r.n == 2 && id_of(&r, "python") && id_of(&r, "bash"),
	   "ask each installed runtime once, before any has answered");
	keeper_accept(k, id_of(&r, "python"), "\n  Python 3.11.2\nmore\n", "", NULL);
	keeper_end(k, id_of(&r, "python"), SUP_EXITED, 0);
	keeper_turn(k);
	ok(!a.ended && !b.ended, "one answer is not all");
	keeper_accept(k, id_of(&r, "bash"), "", "oops\n", NULL);
	keeper_end(k, id_of(&r, "bash"), SUP_DENIED, 0);
	keeper_turn(k);
	ok(a.ended == 1 && b.ended == 1 && schema_holds(&a) && schema_holds(&b),
	   "both are answered");
	ok(says(runtime_named(&a, "python"), "version", "Python 3.11.2") &&
		   says(runtime_named(&a, "python"), "path", "/usr/bin/python3"),
	   "the version is the first line with something in it");
	ok(!js_is_true(js_get(runtime_named(&a, "bash"), "available")) &&
		   says(runtime_named(&a, "bash"), "problem", "denied"),
	   "what does not run is not available and says why");
	ok(!js_is_true(js_get(runtime_named(&a, "javascript"), "available")) &&
		   !js_get(runtime_named(&a, "javascript"), "path") &&
		   says(runtime_named(&a, "javascript"), "problem",
			"/usr/local/bin/node") &&
		   says(runtime_named(&a, "javascript"), "problem", "nodejs"),
	   "what is not installed says where it was looked for, and what brings it");
	ok(says(runtime_named(&a, "java"), "problem", "/usr/bin/javac, or no /usr/") &&
		   says(runtime_named(&a, "c"), "problem",
			"there is no /usr/bin/gcc and"),
	   "of what is compiled, both halves");
	called_finish(&a);
	called_finish(&b);
}

static void test_kept(struct keeper *k)
{
	struct called c;
	struct asked_runs r;

	ok(!call_start(&c, k, "sandbox_info", "{}"), "a later call");
	take_runs(k, &r);
	ok(r.n == 1 && id_of(&r, "bash"), "asks only what is not known yet");
	keeper_accept(k, r.id[0], "", "GNU bash 5\x1b[0m\n", NULL);
	keeper_end(k, r.id[0], SUP_EXITED, 0);
	keeper_turn(k);
	ok(c.ended == 1 &&
		   says(runtime_named(&c, "bash"), "version", "GNU bash 5\\x1b[0m"),
	   "a version on stderr counts, its control bytes do not");
	called_finish(&c);
	ok(!call_start(&c, k, "sandbox_info", "{}") && c.ended == 1,
	   "then it is answered at once");
	take_runs(k, &r);
	ok(!r.n, "without running anything");
	called_finish(&c);
}

static void test_facts(struct keeper *k)
{
	struct called c;
	const struct cJSON *isolation, *limits, *degraded;
	int64_t n;

	call_start(&c, k, "sandbox_info", "{}");
	isolation = js_get(c.structured, "isolation");
	limits = js_get(c.structured, "limits");
	degraded = js_first(js_get(isolation, "degraded"));
	ok(says(isolation, "cgroup", "v1") &&
		   says(isolation, "bwrap_version", "0.12.0") &&
		   !js_int(js_get(isolation, "landlock_abi"), &n) && n == 7 &&
		   js_is_true(js_get(isolation, "separate_uid")),
	   "isolation is as the keeper found it");
	ok(sv_eq(js_str(degraded), SV("no memory.high (a; b)")) &&
		   sv_eq(js_str(js_next(degraded)), SV("old kernel")) &&
		   !js_next(js_next(degraded)),
	   "what is missing is a list");
	ok(!js_int(js_get(limits, "memory_bytes"), &n) && n == 256 << 20 &&
		   !js_int(js_get(limits, "max_timeout_ms"), &n) && n == 300000 &&
		   says(c.structured, "network", "denied"),
	   "limits and network");
	for (const struct cJSON *l = js_first(limits); l; l = js_next(l)) {
		char line[80];

		must(!js_int(l, &n));
		snprintf(line, sizeof(line), "- %s: %lld\n", js_name(l).p,
			 (long long)n);
		ok(strstr(buf_cstr(&c.text), line), "the text has %s too",
		   js_name(l).p);
	}
	ok(strstr(buf_cstr(&c.text), "Python 3.11.2") &&
		   strstr(buf_cstr(&c.text), "degraded: old kernel\n") &&
		   strstr(buf_cstr(&c.text), "network: denied\n") &&
		   strstr(buf_cstr(&c.text), "Landlock ABI 7"),
	   "and versions, isolation, network");
	called_finish(&c);
}

/* What is said is kept, but not longer than it is true. */
static void test_changed(struct keeper *k)
{
	static const uint64_t each[] = {1234, 1234, 5678, 1234};
	const uint64_t before = k->promote_ms;
	struct called c;
	char line[40];

	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		k->promote_ms = each[i];
		call_start(&c, k, "sandbox_info", "{}");
		snprintf(line, sizeof(line), "- promote_ms: %u\n", (unsigned)each[i]);
		ok(c.ended == 1 && strstr(buf_cstr(&c.text), line) && schema_holds(&c),
		   "call %zu says what holds for it", i);
		called_finish(&c);
	}
	k->promote_ms = before;
}

static void test_no_memory(struct keeper *k)
{
	struct called c;
	long n = 1;

	for (; n < 50; n++) {
		mem_fail_after(n);
		c = (struct called){.call = {.tool = tool_named("sandbox_info"),
					     .env = keeper_env(k),
					     /* never said before */
					     .promote_ms = 10000 + (uint64_t)n,
					     .hooks = &called_hooks}};
		c.call.owner = &c;
		buf_init(&c.text, 1 << 20);
		if (c.call.tool->start(&c.call, &c.err))
			c.failed = true;
		mem_fail_after(0);
		called_finish(&c);
		if (!c.failed || c.err.code != ERR_LIMIT)
			break;
	}
	ok(n > 2 && !c.failed,
	   "each allocation of the answer may fail: an error says so");
}

int main(void)
{
	struct keeper k;

	keeper_init(&k);
	test_before_hello(&k);
	test_two_at_once(&k);
	test_kept(&k);
	test_facts(&k);
	test_changed(&k);
	test_no_memory(&k);
	keeper_finish(&k);
	return tap_done();
}
