/* t_fixtures.c: the fixtures say what their table says, whatever a client answers. */
#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "schemas/schemas.h"
#include "tests/lib/tap.h"
#include "tools/fixtures.h"

#include <cjson/cJSON.h>

static struct loop loop;
static struct {
	unsigned done, asks, logs, progress, drops, tools, prompts, resources;
	char text[4096]; /* content, result or error of the last end; the questions */
	char keys[256], state[256];
	int rpc_code;
	bool is_error;
	unsigned can; /* bits: elicitation, sampling, roots */
} got;

static void on_done(struct tool_call *call, const struct tool_answer *a)
{
	struct sv text = a->content_json.n ? a->content_json : a->result_json;

	(void)call;
	got.done++;
	got.asks = a->nasks;
	got.is_error = a->is_error;
	got.rpc_code = a->rpc_code;
	got.keys[0] = got.state[0] = '\0';
	snprintf(got.text, sizeof(got.text), SV_FMT, SV_ARG(text));
	if (a->err)
		snprintf(got.text, sizeof(got.text), "%s", a->err->cause);
	for (unsigned i = 0; i < a->nasks; i++) {
		size_t n = strlen(got.keys);
		struct cJSON *params = rpc_json_parse(a->asks[i].params_json, NULL);

		snprintf(got.keys + n, sizeof(got.keys) - n, "%s ", a->asks[i].key);
		if (!params)
			snprintf(got.keys, sizeof(got.keys), "broken");
		cJSON_Delete(params);
		n = strlen(got.text);
		snprintf(got.text + n, sizeof(got.text) - n, SV_FMT,
			 SV_ARG(a->asks[i].params_json));
	}
	snprintf(got.state, sizeof(got.state), SV_FMT, SV_ARG(a->state));
	loop_stop(&loop);
}

static void on_log(struct tool_call *call, enum tool_log_level level,
		   const char *logger, struct sv data_json)
{
	struct cJSON *data = rpc_json_parse(data_json, NULL);

	(void)call;
	got.logs += level == TOOL_INFO && logger && cJSON_IsString(data);
	cJSON_Delete(data);
}

static void on_progress_at(struct tool_call *call, uint64_t progress, uint64_t total,
			   struct sv message)
{
	(void)call;
	(void)message;
	got.progress += progress == 50 * got.progress && total == 100;
}

static bool client_can(const struct tool_call *call, const char *capability)
{
	static const char *const names[] = {"elicitation", "sampling", "roots"};
	unsigned i = 0;

	(void)call;
	while (strcmp(names[i], capability))
		must(++i < ARRAY_LEN(names));
	return got.can >> i & 1;
}

static void drop_stream(struct tool_call *call)
{
	(void)call;
	got.drops++;
}

static void tools_changed(void *arg)
{
	(void)arg;
	got.tools++;
}

static void prompts_changed(void *arg)
{
	(void)arg;
	got.prompts++;
}

static void resource_updated(void *arg, struct sv principal, struct sv uri)
{
	(void)arg;
	got.resources += sv_eq(principal, SV("alice")) &&
			 sv_eq(uri, SV("test://watched-resource"));
}

static const struct tool_hooks hooks = {
	.done = on_done,
	.progress_at = on_progress_at,
	.log = on_log,
	.client_can = client_can,
	.drop_stream = drop_stream,
};
static const struct tool_events events = {
	.tools_changed = tools_changed,
	.prompts_changed = prompts_changed,
	.resource_updated = resource_updated,
};

static const struct tool *tool_named(const char *name)
{
	for (size_t i = 0; i < tools_fixtures.ntools; i++)
		if (!strcmp(tools_fixtures.tools[i].name, name))
			return &tools_fixtures.tools[i];
	return NULL;
}

struct given {
	const char *args, *inputs, *state;
};

static void start(struct tool_call *call, const char *name, const struct given *g)
{
	struct cJSON *args = rpc_json_parse(sv_of(g->args ? g->args : "{}"), NULL);
	struct cJSON *inputs =
		g->inputs ? rpc_json_parse(sv_of(g->inputs), NULL) : NULL;
	const struct prompt *last =
		&tools_fixtures.prompts[tools_fixtures.nprompts - 1];
	const unsigned can = got.can;
	struct err e = {0};

	must(args && (!g->inputs || inputs));
	memset(&got, 0, sizeof(got));
	got.can = can;
	*call = (struct tool_call){
		.tool = tool_named(name),
		.env = {.loop = &loop, .principal = SV("alice"), .events = &events},
		.args = args,
		.inputs = inputs,
		.ask_state = sv_of(g->state),
		.hooks = &hooks,
	};
	if (!call->tool)
		call->prompt = last;
	must(!fixture_start(call, &e));
	cJSON_Delete(args);
	cJSON_Delete(inputs);
}

/* Plays it to its end. */
static void play_with(const char *name, struct given g)
{
	struct tool_call call;

	start(&call, name, &g);
	if (got.done)
		return;
	loop.stopped = false;
	must(!loop_run(&loop, NULL));
}

static void play(const char *name)
{
	play_with(name, (struct given){0});
}

static void test_table(void)
{
	unsigned bad = 0;

	for (size_t i = 0; i < tools_fixtures.ntools; i++) {
		const struct tool *t = &tools_fixtures.tools[i];
		struct cJSON *doc = rpc_json_parse(schemas_get(t->schema_file), NULL);
		struct tool_call call = {.tool = t};

		if (!sv_eq(js_str(js_get(doc, "name")), sv_of(t->name)) ||
		    !fixture_of(&call) || !cJSON_IsObject(js_get(doc, "inputSchema"))) {
			printf("# %s\n", t->name);
			bad++;
		}
		cJSON_Delete(doc);
	}
	for (size_t i = 0; i < tools_fixtures.nprompts; i++) {
		const struct prompt *p = &tools_fixtures.prompts[i];
		struct cJSON *doc = rpc_json_parse(schemas_get(p->schema_file), NULL);
		struct tool_call call = {.prompt = p};

		if (!sv_eq(js_str(js_get(doc, "name")), sv_of(p->name)) ||
		    (p->start && !fixture_of(&call)))
			bad++;
		cJSON_Delete(doc);
	}
	ok(!bad, "every tool and prompt has its schema and its row");
}

/* With everything answered, or with nothing, what comes is JSON. */
static void test_all_json(void)
{
	unsigned bad = 0;

	got.can = 7;
	for (size_t i = 0; i < tools_fixtures.ntools; i++) {
		const char *name = tools_fixtures.tools[i].name;
		struct cJSON *content;

		play_with(name,
			  (struct given){
				  .args = "{\"seconds\":0,\"name\":\"\\\"\\n{{x}}\"}"});
		if (got.asks) {
			bad += !strcmp(got.keys, "broken");
			continue;
		}
		content = rpc_json_parse(sv_of(got.text), NULL);
		if (!got.rpc_code && !cJSON_IsArray(content)) {
			printf("# %s: %s\n", name, got.text);
			bad++;
		}
		cJSON_Delete(content);
	}
	ok(!bad, "every content and every question is JSON");
}

static void test_plain(void)
{
	play("test_simple_text");
	ok(got.done == 1 && !got.is_error &&
		   strstr(got.text, "This is a simple text response for testing."),
	   "a text");
	play("test_error_handling");
	ok(got.is_error, "an error");
	play_with("greet", (struct given){.args = "{\"name\":\"\\\"{{state}}\\n\"}"});
	ok(strstr(got.text, "Hello, \\\"{{state}}\\n!"),
	   "a value is put in escaped and not looked at again");
	play_with("test_x_mcp_header", (struct given){0});
	ok(strstr(got.text, "region=unknown"), "what was not given is unknown");
	play("test_tool_with_logging");
	ok(got.logs == 3, "three log messages");
	play("test_tool_with_progress");
	ok(got.progress == 3, "progress 0, 50, 100 of 100");
	play("test_reconnection");
	ok(got.drops == 1 && got.done == 1, "the stream is dropped, the answer comes");
	play("protocol_error_job");
	ok(got.rpc_code == -32603 && got.text[0], "a JSON-RPC error");
	play("test_trigger_tool_change");
	play("test_trigger_prompt_change");
	ok(got.prompts == 1 && !got.tools, "a change is told");
	play("test_trigger_resource_change");
	ok(got.resources == 1, "also a resource's, to its owner");
}

#define ACCEPT(key, content)                                                           \
	"\"" key "\":{\"action\":\"accept\",\"content\":" content "}"

static void test_asking(void)
{
	const char *name = "test_input_required_result_elicitation";

	play(name);
	ok(got.asks == 1 && !strcmp(got.keys, "user_name ") && !got.state[0],
	   "a question");
	play_with(name, (struct given){.inputs = "{\"user_name\":12345}"});
	ok(got.asks == 1, "no answer: the question again");
	play_with(name, (struct given){.inputs = "{" ACCEPT("user_name",
							    "{\"name\":\"Ann\"}") "}"});
	ok(!got.asks && strstr(got.text, "Hello, Ann!"), "the answer");
	play_with(name,
		  (struct given){.inputs = "{\"user_name\":{\"action\":\"decline\"}}"});
	ok(!got.asks && strstr(got.text, "unknown"), "no is an answer too");
	play_with("test_elicitation",
		  (struct given){.args = "{\"message\":\"A \\\"B\\\"?\"}"});
	ok(strstr(got.text, "\"message\":\"A \\\"B\\\"?\""),
	   "a question with an argument");
	play_with("test_input_required_result_request_state",
		  (struct given){.inputs = "{" ACCEPT("confirm", "{\"ok\":true}") "}"});
	ok(got.asks == 1 && got.state[0],
	   "an answer without the state it needs: again");
	play_with("test_input_required_result_list_roots",
		  (struct given){.inputs = "{\"client_roots\":{\"roots\":[{},{}]}}"});
	ok(strstr(got.text, "Found 2 root(s)"), "an array is put in as its length");
}

static void test_rounds(void)
{
	const char *name = "test_input_required_result_multi_round";
	char state[256];

	play(name);
	ok(!strcmp(got.keys, "step1 ") && got.state[0], "the first round");
	snprintf(state, sizeof(state), "%s", got.state);
	play_with(name, (struct given){
				.inputs = "{" ACCEPT("step1", "{\"name\":\"Ann\"}") "}",
				.state = state});
	ok(!strcmp(got.keys, "step2 "), "the second");
	snprintf(state, sizeof(state), "%s", got.state);
	play_with(name, (struct given){.inputs = "{\"step2\":5}", .state = state});
	ok(!strcmp(got.keys, "step2 ") && !strcmp(got.state, state),
	   "the second again, nothing forgotten");
	play_with(name, (struct given){.inputs = "{" ACCEPT("step2",
							    "{\"color\":\"red\"}") "}",
				       .state = state});
	ok(strstr(got.text, "Ann likes red"), "the end knows both");
	play_with(name, (struct given){.state = "~"});
	ok(!strcmp(got.keys, "step1 "), "a state of no round is the first");
}

static void test_declared(void)
{
	const char *name = "test_input_required_result_capabilities";

	got.can = 2;
	play(name);
	ok(!strcmp(got.keys, "sample_input "), "only what was declared is asked");
	got.can = 0;
	play(name);
	ok(got.done == 1 && !got.asks, "nothing declared, nothing asked");
}

static void test_cancel(void)
{
	struct tool_call call;

	start(&call, "slow_compute", &(struct given){.args = "{\"seconds\":3600}"});
	ok(!got.done, "it takes its time");
	call.tool->cancel(&call);
	ok(got.done == 1 && got.text[0], "until it is cancelled");
	call.tool->cancel(&call);
	ok(got.done == 1, "it ends once");
}

static void test_prompt(void)
{
	play("the last prompt");
	ok(!strcmp(got.keys, "user_context "), "a prompt may ask");
	play_with("the last prompt",
		  (struct given){.inputs = "{" ACCEPT("user_context",
						      "{\"context\":\"x\\\"y\"}") "}"});
	ok(!strncmp(got.text, "\"messages\":[{\"role\":\"user\"", 26) &&
		   strstr(got.text, "Use this context: x\\\"y"),
	   "and then has its messages");
}

static char listed[512];

static void put_resource(void *arg, const struct resource *r)
{
	size_t n = strlen(listed);

	(void)arg;
	snprintf(listed + n, sizeof(listed) - n, SV_FMT " ", SV_ARG(r->uri));
}

static void put_value(void *arg, struct sv value)
{
	put_resource(arg, &(struct resource){.uri = value});
}

static bool reads(const char *uri, const char *part)
{
	AUTO_BUF b = {0};
	struct jw w;
	struct err e = {0};

	buf_init(&b, 4096);
	jw_init(&w, &b);
	jw_arr(&w);
	return !fixture_resources.read(NULL, sv_of(uri), &w, &e) &&
	       strstr(buf_cstr(&b), part);
}

static void test_resources(void)
{
	listed[0] = '\0';
	ok(fixture_resources.list(NULL, SV(""), 2, put_resource, NULL) &&
		   !strcmp(listed, "test://static-text test://static-binary "),
	   "a page of resources");
	listed[0] = '\0';
	ok(!fixture_resources.list(NULL, SV("test://static-binary"), 2, put_resource,
				   NULL) &&
		   !strcmp(listed, "test://watched-resource "),
	   "and the rest");
	ok(reads("test://static-text", "\"text\":\"This is the content") &&
		   reads("test://static-binary", "\"blob\":\"iVBOR") &&
		   reads("test://template/123/data",
			 "{\\\"id\\\":\\\"123\\\","
			 "\\\"templateTest\\\":true,"
			 "\\\"data\\\":\\\"Data for ID: 123\\\"}"),
	   "each reads as the suite wants it");
	ok(!reads("test://template//data", "") &&
		   !reads("test://template/a/b/data", "") &&
		   !reads("test://template/data", "") && !reads("test://other", "") &&
		   !reads("", ""),
	   "what is not there does not");
	listed[0] = '\0';
	fixture_complete_prompt(NULL, SV("test_prompt_with_arguments"), SV("arg1"),
				SV("part"), put_value, NULL);
	ok(!strcmp(listed, "party "), "values that begin so");
}

int main(void)
{
	struct err e = {0};

	must(!loop_init(&loop, &e));
	test_table();
	test_all_json();
	test_plain();
	test_asking();
	test_rounds();
	test_declared();
	test_cancel();
	test_prompt();
	test_resources();
	loop_finish(&loop);
	return tap_done();
}
