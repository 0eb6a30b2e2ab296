/* jobs.h: tools that may, always or must become a task, for rig.h; the test ends them (slow_end). */
#ifndef TESTS_PROTOCOL_JOBS_H
#define TESTS_PROTOCOL_JOBS_H

#include "mcp/protocol/tasks.h"
#include "tests/unit/mcp/protocol/rig.h"

#define TASK_MS 30
#define CAPS(inside)                                                                             \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                 \
	"\"io.modelcontextprotocol/clientCapabilities\":{" inside "}}"
#define TAKES                                                                                    \
	CAPS("\"elicitation\":{},\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}")
#define CALL(id, tool, meta)                                                                     \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"" tool \
	"\",\"arguments\":{}," meta "}}"

static struct {
	char state[64], inputs[256];	/* of the last start */
} job;

static int job_start(struct tool_call *call, struct err *e)
{
	char *inputs = call->inputs ? cJSON_PrintUnformatted(call->inputs) : NULL;

	snprintf(job.state, sizeof(job.state), SV_FMT, SV_ARG(call->ask_state));
	snprintf(job.inputs, sizeof(job.inputs), "%s", inputs ? inputs : "");
	cJSON_free(inputs);
	return slow_start(call, e);
}

static const struct tool job_tools[] = {
	{.name = "never", .schema_file = "never", .start = job_start, .cancel = slow_cancel},
	{.name = "may", .schema_file = "may", .start = job_start, .cancel = slow_cancel,
	 .task = TOOL_TASK_MAY},
	{.name = "always", .schema_file = "always", .start = job_start, .cancel = slow_cancel,
	 .task = TOOL_TASK_ALWAYS},
	{.name = "must", .schema_file = "must", .start = job_start, .cancel = slow_cancel,
	 .task = TOOL_TASK_REQUIRED},
};
static const struct tool_set job_set = {.tools = job_tools, .ntools = ARRAY_LEN(job_tools)};

static struct sv job_schema(const char *name)
{
#define JOB(n)                                                                                   \
	{n, "{\"name\":\"" n "\",\"description\":\"Waits.\",\"inputSchema\":{\"type\":\"object\"}}"}
	static const struct {
		const char *name, *text;
	} files[] = {JOB("never"), JOB("may"), JOB("always"), JOB("must")};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (!strcmp(files[i].name, name))
			return sv_of(files[i].text);
	return (struct sv){0};
}

static inline void jobs_open(struct rig *r)
{
	static const struct tool_set *const sets[] = {&job_set};

	rig_open_with(r, (struct proto_server_opts){
				 .sets = sets, .nsets = 1, .schema = job_schema, .task_ms = TASK_MS});
	seen.slow_obeys = true;
}

/* The first task id in the i-th message; "" when there is none. */
static inline const char *task_id(const struct rig *r, unsigned i)
{
	static char id[TASKS_ID_SIZE];
	const char *at = strstr(msg(r, i), "\"taskId\":\"");

	snprintf(id, sizeof(id), "%s", at ? at + 10 : "");
	return id;
}

/* What the program of seen.slow[i] says. */
static inline void job_done(unsigned i, const struct tool_answer *a)
{
	struct tool_call *call = seen.slow[i];

	must(call);
	seen.slow[i] = NULL;
	call->hooks->done(call, a);
}

static inline void job_asks(unsigned i, const char *first, const char *second)
{
	const struct tool_ask asks[] = {
		{first, "elicitation/create", SV("{\"message\":\"?\"}")},
		{second, "elicitation/create", SV("{\"message\":\"??\"}")},
	};

	job_done(i, &(struct tool_answer){
			    .asks = asks, .nasks = second ? 2 : 1, .state = SV("kept")});
}

static inline void say_of(struct rig *r, struct proto_peer *p, const char *fmt, const char *id)
{
	char text[1024];

	/* %s is the only conversion, and at most twice */
	must(snprintf(text, sizeof(text), "%s", fmt) < (int)sizeof(text));
	for (char *at; (at = strstr(text, "TASK"));) {
		char rest[1024];

		snprintf(rest, sizeof(rest), "%s", at + 4);
		snprintf(at, sizeof(text) - (size_t)(at - text), "%s%s", id, rest);
	}
	say_as(r, p, text);
}

#endif
