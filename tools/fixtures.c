/* fixtures.c: the table of what the conformance suite looks for. See fixtures.h. */
#include "tools/fixtures.h"

#include "sandbox/base/mem.h"

#define TEXT(s) "{\"type\":\"text\",\"text\":\"" s "\"}"
#define IMAGE                                                                          \
	"{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"" FIXTURE_PNG "\"}"
#define RESOURCE(uri, mime, text)                                                      \
	"{\"type\":\"resource\",\"resource\":{\"uri\":\"" uri                          \
	"\",\"mimeType\":\"" mime "\",\"text\":\"" text "\"}}"

/* A question to the user about the members given, all of them required but where it says so. */
#define FORM(message, properties, required)                                            \
	"{\"mode\":\"form\",\"message\":\"" message                                    \
	"\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{" properties      \
	"},\"required\":[" required "]}}"
#define ONE(message, name, type)                                                       \
	FORM(message, "\"" name "\":{\"type\":\"" type "\"}", "\"" name "\"")
#define SAMPLE(prompt, tokens)                                                         \
	"{\"messages\":[{\"role\":\"user\",\"content\":" TEXT(                         \
		prompt) "}],\"maxTokens\":" tokens "}"
/* clang-format off */
#define ELICIT(k, p) {.key = (k), .method = "elicitation/create", .params = (p)}
#define ASK_MODEL(k, p) {.key = (k), .method = "sampling/createMessage", .params = (p)}
#define ASK_ROOTS(k) {.key = (k), .method = "roots/list", .params = "{}"}
/* clang-format on */

#define STEPS(...)                                                                     \
	.steps = (const struct fixture_step[]){__VA_ARGS__},                           \
	.nsteps = ARRAY_LEN(((const struct fixture_step[]){__VA_ARGS__}))
#define ROUNDS(...)                                                                    \
	.rounds = (const struct fixture_round[]){__VA_ARGS__},                         \
	.nrounds = ARRAY_LEN(((const struct fixture_round[]){__VA_ARGS__}))
#define TALK "action={{inputs.answer.action}}, content={{inputs.answer.content}}"

/* SEP-1034: a default for every primitive type. */
#define DEFAULTS                                                                          \
	"\"name\":{\"type\":\"string\",\"default\":\"John Doe\"},"                        \
	"\"age\":{\"type\":\"integer\",\"default\":30},"                                  \
	"\"score\":{\"type\":\"number\",\"default\":95.5},"                               \
	"\"status\":{\"type\":\"string\",\"enum\":[\"active\",\"inactive\",\"pending\"]," \
	"\"default\":\"active\"},"                                                        \
	"\"verified\":{\"type\":\"boolean\",\"default\":true}"

/* SEP-1330: plain, titled and old-style titled, one of many and many of many. */
#define OPTION(v, t) "{\"const\":\"" v "\",\"title\":\"" t "\"}"
#define TITLED                                                                         \
	OPTION("value1", "First")                                                      \
	"," OPTION("value2", "Second") "," OPTION("value3", "Third")
#define PLAIN "\"enum\":[\"option1\",\"option2\",\"option3\"]"
#define MULTI "\"type\":\"array\",\"minItems\":1,\"maxItems\":3,\"items\":"
#define ENUMS                                                                          \
	"\"untitledSingle\":{\"type\":\"string\"," PLAIN "},"                          \
	"\"titledSingle\":{\"type\":\"string\",\"oneOf\":[" TITLED "]},"               \
	"\"legacyEnum\":{\"type\":\"string\",\"enum\":[\"opt1\",\"opt2\",\"opt3\"],"   \
	"\"enumNames\":[\"Option One\",\"Option Two\",\"Option Three\"]},"             \
	"\"untitledMulti\":{" MULTI "{\"type\":\"string\"," PLAIN "}},"                \
	"\"titledMulti\":{" MULTI "{\"anyOf\":[" TITLED "]}}"

#define NAME_OF(k) "{{inputs." k ".content.name}}"

/* clang-format off */
static const struct fixture plays[] = {
	{.name = "test_simple_text",
	 .content = TEXT("This is a simple text response for testing.")},
	{.name = "test_image_content", .content = IMAGE},
	{.name = "test_audio_content",
	 .content =
		 "{\"type\":\"audio\",\"mimeType\":\"audio/wav\",\"data\":\"" FIXTURE_WAV
		 "\"}"},
	{.name = "test_embedded_resource",
	 .content = RESOURCE("test://embedded-resource", "text/plain",
			     "This is an embedded resource content.")},
	{.name = "test_multiple_content_types",
	 .content = TEXT("Multiple content types test:") "," IMAGE "," RESOURCE(
		 "test://mixed-content-resource", "application/json",
		 "{\\\"test\\\":\\\"data\\\",\\\"value\\\":123}")},
	{.name = "test_tool_with_logging",
	 STEPS({.log = "Tool execution started", .then_ms = 50},
	       {.log = "Tool processing data", .then_ms = 50},
	       {.log = "Tool execution completed"}),
	 .content = TEXT("Tool with logging executed successfully")},
	{.name = "test_logging_tool",
	 STEPS({.log = "A message for those who asked for it"}),
	 .content = TEXT("Logged, if it was asked for")},
	{.name = "test_tool_with_progress",
	 STEPS({.progress = true, .at = 0, .then_ms = 50},
	       {.progress = true, .at = 50, .then_ms = 50},
	       {.progress = true, .at = 100}),
	 .content = TEXT("Tool with progress executed successfully")},
	{.name = "test_error_handling",
	 .content = TEXT("This tool intentionally returns an error for testing"),
	 .is_error = true},
	{.name = "test_reconnection",
	 STEPS({.drop = true, .then_ms = 100}),
	 .content = TEXT("Reconnection test completed successfully.")},
	{.name = "test_x_mcp_header", .content = TEXT("region={{args.region}}")},
	{.name = "test_missing_capability", .content = TEXT("Success")},
	{.name = "test_trigger_tool_change",
	 .event = FIXTURE_TOOLS,
	 .content = TEXT("Told")},
	{.name = "test_trigger_prompt_change",
	 .event = FIXTURE_PROMPTS,
	 .content = TEXT("Told")},
	{.name = "test_trigger_resource_change",
	 .event = FIXTURE_RESOURCE,
	 .content = TEXT("Told")},
	{.name = "test_sampling",
	 ROUNDS({{ASK_MODEL("answer", SAMPLE("{{args.prompt}}", "100"))}, 1, NULL}),
	 .content = TEXT("LLM response: {{inputs.answer.content.text}}")},
	{.name = "test_elicitation",
	 ROUNDS({{ELICIT("answer", ONE("{{args.message}}", "response", "string"))},
		 1,
		 NULL}),
	 .content = TEXT("User response: " TALK)},
	{.name = "test_elicitation_sep1034_defaults",
	 ROUNDS({{ELICIT("answer", FORM("Please review the defaults", DEFAULTS, ""))},
		 1,
		 NULL}),
	 .content = TEXT("Elicitation completed: " TALK)},
	{.name = "test_elicitation_sep1330_enums",
	 ROUNDS({{ELICIT("answer", FORM("Please select options", ENUMS, ""))},
		 1,
		 NULL}),
	 .content = TEXT("Elicitation completed: " TALK)},
	{.name = "test_streaming_elicitation",
	 ROUNDS({{ELICIT("answer", ONE("What is your name?", "name", "string"))},
		 1,
		 NULL}),
	 .content = TEXT("Hello, " NAME_OF("answer") "!")},
	{.name = "test_input_required_result_elicitation",
	 ROUNDS({{ELICIT("user_name", ONE("What is your name?", "name", "string"))},
		 1,
		 NULL}),
	 .content = TEXT("Hello, " NAME_OF("user_name") "!")},
	{.name = "test_input_required_result_sampling",
	 ROUNDS({{ASK_MODEL("capital_question",
			    SAMPLE("What is the capital of France?", "100"))},
		 1,
		 NULL}),
	 .content = TEXT("Sampling result: {{inputs.capital_question.content.text}}")},
	{.name = "test_input_required_result_list_roots",
	 ROUNDS({{ASK_ROOTS("client_roots")}, 1, NULL}),
	 .content = TEXT("Found {{inputs.client_roots.roots}} root(s)")},
	{.name = "test_input_required_result_request_state",
	 ROUNDS({{ELICIT("confirm", ONE("Please confirm", "ok", "boolean"))},
		 1,
		 "asked"}),
	 .content =
		 TEXT("state-ok: {{state}}, confirmed: {{inputs.confirm.content.ok}}")},
	{.name = "test_input_required_result_multiple_inputs",
	 ROUNDS({{ELICIT("user_name", ONE("What is your name?", "name", "string")),
		  ASK_MODEL("greeting", SAMPLE("Generate a greeting", "50")),
		  ASK_ROOTS("client_roots")},
		 3,
		 "asked"}),
	 .content = TEXT("Name: " NAME_OF(
		 "user_name") "; Greeting: {{inputs.greeting.content.text}}"
			      "; Roots: {{inputs.client_roots.roots}}")},
	{.name = "test_input_required_result_multi_round",
	 ROUNDS({{ELICIT("step1", ONE("Step 1: What is your name?", "name", "string"))},
		 1,
		 "asked"},
		{{ELICIT("step2", ONE("Step 2: What is your favorite color?", "color",
				      "string"))},
		 1,
		 NAME_OF("step1")}),
	 .content = TEXT(
		 "Multi-round complete: {{state}} likes {{inputs.step2.content.color}}")},
	{.name = "test_input_required_result_tampered_state",
	 ROUNDS({{ELICIT("confirm", ONE("Please confirm", "ok", "boolean"))},
		 1,
		 "asked"}),
	 .content = TEXT("integrity-ok: state {{state}}")},
	{.name = "test_input_required_result_capabilities",
	 ROUNDS({{ELICIT("elicit_input", ONE("Elicitation input", "value", "string")),
		  ASK_MODEL("sample_input", SAMPLE("Generate a short greeting", "50")),
		  ASK_ROOTS("roots_input")},
		 3,
		 NULL}),
	 .ask_declared = true,
	 .content = TEXT("All that could be asked was answered")},
	{.name = "json_schema_2020_12_tool", .content = TEXT("Called with {{args}}")},
	{.name = "greet", .content = TEXT("Hello, {{args.name}}!")},
	{.name = "slow_compute",
	 .seconds = "seconds",
	 .content = TEXT("Computed for {{args.seconds}} s: {{args.label}}")},
	{.name = "failing_job",
	 STEPS({.then_ms = 1000}),
	 .content = TEXT("The job has failed"),
	 .is_error = true},
	{.name = "protocol_error_job", STEPS({.then_ms = 100}), .rpc_code = -32603},
	{.name = "confirm_delete",
	 ROUNDS({{ELICIT("confirm",
			 ONE("Delete {{args.filename}}?", "confirm", "boolean"))},
		 1,
		 NULL}),
	 .ask_ms = 20,
	 .content = TEXT("Deletion confirmed: {{inputs.confirm.content.confirm}}")},
	{.name = "multi_input",
	 ROUNDS({{ELICIT("first", ONE("The first name?", "name", "string")),
		  ELICIT("second", ONE("The second name?", "name", "string"))},
		 2,
		 NULL}),
	 .ask_ms = 20,
	 .content = TEXT(NAME_OF("first") " and " NAME_OF("second"))},
	{.name = "test_tool_with_task",
	 STEPS({.then_ms = 100}),
	 ROUNDS({{ELICIT("user_name", ONE("What is your name?", "name", "string"))},
		 1,
		 NULL}),
	 .content = TEXT("Hello, " NAME_OF("user_name") "!")},
	{.name = "test_input_required_result_prompt",
	 ROUNDS({{ELICIT("user_context", ONE("What context should the prompt use?",
					     "context", "string"))},
		 1,
		 NULL}),
	 .result = "\"messages\":[{\"role\":\"user\",\"content\":" TEXT(
		 "Use this context: {{inputs.user_context.content.context}}") "}]"},
};
/* clang-format on */

/* clang-format off */
#define ROW(id) {.name = (id), .schema_file = "fixtures.json#" id, .start = fixture_start}
#define LONG(id, kind) {.name = (id), .schema_file = "fixtures.json#" id, \
	.start = fixture_start, .cancel = fixture_cancel, .task = (kind)}

static const struct tool tools[] = {
	ROW("test_simple_text"),
	ROW("test_image_content"),
	ROW("test_audio_content"),
	ROW("test_embedded_resource"),
	ROW("test_multiple_content_types"),
	LONG("test_tool_with_logging", TOOL_TASK_NEVER),
	ROW("test_logging_tool"),
	LONG("test_tool_with_progress", TOOL_TASK_NEVER),
	ROW("test_error_handling"),
	LONG("test_reconnection", TOOL_TASK_NEVER),
	ROW("test_x_mcp_header"),
	{.name = "test_missing_capability",
	 .schema_file = "fixtures.json#test_missing_capability",
	 .start = fixture_start,
	 .needs = "sampling"},
	ROW("test_trigger_tool_change"),
	ROW("test_trigger_prompt_change"),
	ROW("test_trigger_resource_change"),
	ROW("test_sampling"),
	ROW("test_elicitation"),
	ROW("test_elicitation_sep1034_defaults"),
	ROW("test_elicitation_sep1330_enums"),
	ROW("test_streaming_elicitation"),
	ROW("test_input_required_result_elicitation"),
	ROW("test_input_required_result_sampling"),
	ROW("test_input_required_result_list_roots"),
	ROW("test_input_required_result_request_state"),
	ROW("test_input_required_result_multiple_inputs"),
	ROW("test_input_required_result_multi_round"),
	ROW("test_input_required_result_tampered_state"),
	ROW("test_input_required_result_capabilities"),
	ROW("json_schema_2020_12_tool"),
	ROW("greet"),
	LONG("slow_compute", TOOL_TASK_ALWAYS),
	LONG("failing_job", TOOL_TASK_REQUIRED),
	LONG("protocol_error_job", TOOL_TASK_ALWAYS),
	LONG("confirm_delete", TOOL_TASK_ALWAYS),
	LONG("multi_input", TOOL_TASK_ALWAYS),
	LONG("test_tool_with_task", TOOL_TASK_REQUIRED),
};
/* clang-format on */

/* clang-format off */
#define PROMPT(id) {.name = (id), .schema_file = "fixtures.json#" id}
/* clang-format on */

static const struct prompt prompts[] = {
	PROMPT("test_simple_prompt"),
	PROMPT("test_prompt_with_arguments"),
	PROMPT("test_prompt_with_embedded_resource"),
	PROMPT("test_prompt_with_image"),
	{.name = "test_input_required_result_prompt",
	 .schema_file = "fixtures.json#test_input_required_result_prompt",
	 .start = fixture_start},
};

const struct tool_set tools_fixtures = {
	.tools = tools,
	.ntools = ARRAY_LEN(tools),
	.prompts = prompts,
	.nprompts = ARRAY_LEN(prompts),
	.sources = &fixture_resources,
	.nsources = 1,
	.complete_prompt = fixture_complete_prompt,
};

const struct fixture *fixture_of(const struct tool_call *call)
{
	const char *name = call->tool ? call->tool->name : call->prompt->name;

	for (size_t i = 0; i < ARRAY_LEN(plays); i++)
		if (!strcmp(plays[i].name, name))
			return &plays[i];
	return NULL;
}
