/* more.h: the rest of what a server may offer: tools that ask, log, count and change things, prompts,
 * resources. For rig.h.
 *
 *	quiz     asks for each of `methods` until it was answered `rounds` times; then tells all it knows
 *	needy    cannot do without sampling
 *	logger   one message of each level
 *	counter  progress in numbers of its own, not all of them rising
 *	changer  tells the protocol that `what` has changed
 *	dropper  breaks its connection off, then is slow
 *	coded    ends with a JSON-RPC error
 *	linked   text and a link
 *	rich     content blocks of its own, isError */
#ifndef TESTS_PROTOCOL_MORE_H
#define TESTS_PROTOCOL_MORE_H

#include "tests/unit/mcp/protocol/rig.h"

#include <inttypes.h>

#define ITEMS 450

static struct {
	char inputs[512];	/* what the last start was given, "" for none */
	char state[64];
	unsigned starts;
	bool can[4];		/* elicitation, elicitation.url, sampling, roots */
} quiz;

static const struct tool_ask quiz_asks[] = {
	{"elicitation", "elicitation/create", {0}},
	{"sampling", "sampling/createMessage", {0}},
	{"roots", "roots/list", {0}},
	{"shell", "shell/run", {0}},
};

static void quiz_note(struct tool_call *call)
{
	static const char *const names[] = {"elicitation", "elicitation.url", "sampling", "roots"};
	char *inputs = call->inputs ? cJSON_PrintUnformatted(call->inputs) : NULL;

	snprintf(quiz.inputs, sizeof(quiz.inputs), "%s", inputs ? inputs : "");
	cJSON_free(inputs);
	snprintf(quiz.state, sizeof(quiz.state), SV_FMT, SV_ARG(call->ask_state));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		quiz.can[i] = call->hooks->client_can(call, names[i]);
	quiz.starts++;
}

/* The asks whose keys are named in the array; how many. */
static unsigned quiz_pick(const struct cJSON *methods, struct tool_ask *ret)
{
	const struct cJSON *m;
	unsigned n = 0;

	cJSON_ArrayForEach(m, methods)
		for (size_t i = 0; i < ARRAY_LEN(quiz_asks); i++)
			if (sv_eq(js_str(m), sv_of(quiz_asks[i].key)) && n < 40) {
				ret[n] = quiz_asks[i];
				ret[n++].params_json = SV("{\"message\":\"?\"}");
			}
	return n;
}

static int quiz_start(struct tool_call *call, struct err *e)
{
	struct tool_ask asks[40];
	unsigned n = quiz_pick(js_get(call->args, "methods"), asks);
	int64_t rounds = 1;
	uint64_t done = 0;
	bool all = call->inputs != NULL;
	char state[24];

	(void)e;
	js_int(js_get(call->args, "rounds"), &rounds);
	sv_to_u64(call->ask_state, &done);
	quiz_note(call);
	for (unsigned i = 0; i < n; i++)
		all = all && js_get(call->inputs, asks[i].key);
	done += all;
	if ((int64_t)done >= rounds) {
		call->hooks->done(call, &(struct tool_answer){.text = SV("known")});
		return 0;
	}
	snprintf(state, sizeof(state), "%" PRIu64, done);
	call->hooks->done(call, &(struct tool_answer){.asks = asks, .nasks = n, .state = sv_of(state)});
	return 0;
}

static int needy_start(struct tool_call *call, struct err *e)
{
	(void)e;
	call->hooks->done(call, &(struct tool_answer){.text = SV("sampled")});
	return 0;
}

static int logger_start(struct tool_call *call, struct err *e)
{
	(void)e;
	for (int level = TOOL_DEBUG; level <= TOOL_EMERGENCY; level++)
		call->hooks->log(call, (enum tool_log_level)level, level ? "rig" : NULL,
				 SV("{\"a\":1}"));
	return slow_start(call, e);
}

static int counter_start(struct tool_call *call, struct err *e)
{
	static const uint64_t steps[] = {0, 50, 50, 40, 100};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		call->hooks->progress_at(call, steps[i], 100, i ? SV("on") : SV(""));
	return slow_start(call, e);
}

static int changer_start(struct tool_call *call, struct err *e)
{
	const struct tool_events *ev = call->env.events;
	struct sv what = js_str(js_get(call->args, "what"));

	(void)e;
	if (sv_eq(what, SV("tools")))
		ev->tools_changed(ev->arg);
	else if (sv_eq(what, SV("prompts")))
		ev->prompts_changed(ev->arg);
	else if (sv_eq(what, SV("resources")))
		ev->resources_changed(ev->arg, call->env.principal);
	else
		ev->resource_updated(ev->arg, call->env.principal, what);
	call->hooks->done(call, &(struct tool_answer){.text = SV("changed")});
	return 0;
}

static int dropper_start(struct tool_call *call, struct err *e)
{
	call->hooks->drop_stream(call);
	return slow_start(call, e);
}

static int coded_start(struct tool_call *call, struct err *e)
{
	struct err why = {0};

	(void)e;
	err_set(&why, ERR_DENIED, "not today");
	call->hooks->done(call, &(struct tool_answer){.err = &why, .rpc_code = 7});
	return 0;
}

static int linked_start(struct tool_call *call, struct err *e)
{
	(void)e;
	call->hooks->done(call, &(struct tool_answer){
					.text = SV("see there"),
					.content_json = SV("[{\"type\":\"text\",\"text\":\"see there\"},"
							   "{\"type\":\"resource_link\"}]")});
	return 0;
}

static int rich_start(struct tool_call *call, struct err *e)
{
	(void)e;
	call->hooks->done(call, &(struct tool_answer){
					.content_json = SV("[{\"type\":\"image\"}]"), .is_error = true});
	return 0;
}

static const struct tool more_tools[] = {
	{.name = "quiz", .schema_file = "quiz", .start = quiz_start},
	{.name = "needy", .schema_file = "needy", .start = needy_start, .needs = "sampling"},
	{.name = "logger", .schema_file = "logger", .start = logger_start},
	{.name = "counter", .schema_file = "counter", .start = counter_start},
	{.name = "changer", .schema_file = "changer", .start = changer_start},
	{.name = "dropper", .schema_file = "dropper", .start = dropper_start},
	{.name = "coded", .schema_file = "coded", .start = coded_start},
	{.name = "linked", .schema_file = "linked", .start = linked_start},
	{.name = "rich", .schema_file = "rich", .start = rich_start},
};

/* --- prompts ----------------------------------------------------------------------------------- */

static int asking_start(struct tool_call *call, struct err *e)
{
	const struct tool_ask ask = {"who", "elicitation/create", SV("{\"message\":\"who?\"}")};

	(void)e;
	quiz_note(call);
	call->hooks->done(call, call->inputs
					? &(struct tool_answer){.result_json = SV("\"messages\":[1]")}
					: &(struct tool_answer){.asks = &ask, .nasks = 1});
	return 0;
}

static int failing_start(struct tool_call *call, struct err *e)
{
	(void)call;
	return err_set(e, ERR_UNAVAILABLE, "no prompt today");
}

static const struct prompt more_prompts[] = {
	{.name = "plain", .schema_file = "plain_prompt"},
	{.name = "asking", .schema_file = "asking", .start = asking_start},
	{.name = "failing", .schema_file = "failing", .start = failing_start},
};

static void more_complete(const struct tool_env *env, struct sv prompt, struct sv argument,
			  struct sv value, void (*put)(void *arg, struct sv value), void *arg)
{
	(void)env;
	(void)value;
	if (sv_eq(prompt, SV("plain")) && sv_eq(argument, SV("a"))) {
		put(arg, SV("apple"));
		put(arg, SV("a \"pear\""));
	}
}

/* --- resources: test://item/000 .. 449 for all, own://PRINCIPAL for that one ---------------------- */

static bool items_list(const struct tool_env *env, struct sv after, unsigned max,
		       void (*put)(void *arg, const struct resource *r), void *arg)
{
	uint64_t from = 0;
	char uri[48], name[32];

	(void)env;
	if (after.n > 12 && !sv_to_u64((struct sv){after.p + 12, after.n - 12}, &from))
		from++;
	for (uint64_t i = from; i < ITEMS && i < from + max; i++) {
		snprintf(uri, sizeof(uri), "test://item/%03" PRIu64, i);
		snprintf(name, sizeof(name), "item %" PRIu64, i);
		put(arg, &(struct resource){.uri = sv_of(uri),
					    .name = sv_of(name),
					    .mime = i ? SV("") : SV("text/plain"),
					    .size = i ? -1 : 3});
	}
	return from + max < ITEMS;
}

static int items_read(const struct tool_env *env, struct sv uri, struct jw *w, struct err *e)
{
	(void)env;
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	if (sv_eq(uri, SV("test://item/no-memory")))
		return err_set(e, ERR_LIMIT, "no room");
	if (!sv_starts(uri, SV("test://item/0")))
		return err_set(e, ERR_NOT_FOUND, "none");
	jw_kstr(w, "text", SV("abc"));
	jw_obj_end(w);
	return 0;
}

static void items_complete(const struct tool_env *env, const struct resource_template *t,
			   struct sv variable, struct sv value, void (*put)(void *arg, struct sv value),
			   void *arg)
{
	char text[16];

	(void)env;
	(void)t;
	for (unsigned i = 0; sv_eq(variable, SV("n")) && i < 150; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		if (sv_starts(sv_of(text), value))
			put(arg, sv_of(text));
	}
}

static const struct resource_template items_templates[] = {
	{.uri_template = "test://item/{n}", .name = "item", .title = "Item", .description = "One."},
};

static bool own_list(const struct tool_env *env, struct sv after, unsigned max,
		     void (*put)(void *arg, const struct resource *r), void *arg)
{
	char uri[64];

	must(max > 0);
	snprintf(uri, sizeof(uri), "own://" SV_FMT, SV_ARG(env->principal));
	if (!after.n)
		put(arg, &(struct resource){.uri = sv_of(uri), .name = SV("own"), .size = -1});
	return false;
}

static int own_read(const struct tool_env *env, struct sv uri, struct jw *w, struct err *e)
{
	struct sv rest = {uri.p + 6, uri.n - 6};

	if (!sv_eq(rest, env->principal))
		return err_set(e, ERR_NOT_FOUND, "none");
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	jw_kstr(w, "text", env->credential);
	jw_obj_end(w);
	return 0;
}

static const struct resource_source more_sources[] = {
	{.prefix = "test://item/", .templates = items_templates, .ntemplates = 1, .list = items_list,
	 .read = items_read, .complete = items_complete},
	{.prefix = "own://", .list = own_list, .read = own_read},
};

static const struct tool_set more_set = {
	.tools = more_tools, .ntools = ARRAY_LEN(more_tools),
	.prompts = more_prompts, .nprompts = ARRAY_LEN(more_prompts),
	.sources = more_sources, .nsources = ARRAY_LEN(more_sources),
	.complete_prompt = more_complete,
};

static struct sv more_schema(const char *name)
{
	static char text[256];

	if (!strcmp(name, "plain_prompt"))
		return SV("{\"name\":\"plain\",\"title\":\"Plain\",\"description\":\"Only text.\","
			  "\"arguments\":[{\"name\":\"a\",\"required\":true},{\"name\":\"b\"}],"
			  "\"icons\":[{\"src\":\"data:,\"}],\"_meta\":{\"x/y\":1},"
			  "\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\","
			  "\"text\":\"<{{a}}> <{{c}}>\\nb is {{b}} for {{a}}\\n\\n{{{{a}}}} {{\"}},"
			  "{\"role\":\"assistant\",\"content\":{\"type\":\"text\",\"text\":\"b: {{b}}\"}}]}");
	if (!strcmp(name, "quiz"))
		return SV("{\"name\":\"quiz\",\"description\":\"Asks.\",\"inputSchema\":{"
			  "\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
			  "\"type\":\"object\",\"$defs\":{\"m\":{\"$anchor\":\"m\",\"type\":\"string\"}},"
			  "\"properties\":{\"methods\":{\"type\":\"array\",\"items\":{\"$ref\":\"#m\"}},"
			  "\"rounds\":{\"type\":\"integer\"}},\"allOf\":[{\"not\":{}}],"
			  "\"additionalProperties\":false}}");
	if (rig_schema(name).n)
		return rig_schema(name);
	snprintf(text, sizeof(text),
		 "{\"name\":\"%s\",\"description\":\"D.\",\"inputSchema\":{\"type\":\"object\","
		 "\"properties\":{\"what\":{\"type\":\"string\"}}}}",
		 name);
	return sv_of(text);
}

static inline void rig_open_more(struct rig *r)
{
	static const struct tool_set *const sets[] = {&rig_set, &more_set};

	memset(&quiz, 0, sizeof(quiz));
	rig_open_with(r, (struct proto_server_opts){
				 .sets = sets, .nsets = 2, .schema = more_schema, .max_in_flight = 8});
}

/* --- talking ------------------------------------------------------------------------------------ */

#define LEGACY(id, method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{" params "}}"
#define MODERN_META(caps, more) \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
	"\"io.modelcontextprotocol/clientCapabilities\":{" caps "}" more "}"
#define MODERN(id, method, params) LEGACY(id, method, params MODERN_META("", ""))
#define CANCEL(id) \
	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id "}}"

static inline void hello(struct rig *r, struct proto_peer *p, const char *version, const char *caps)
{
	char text[512];

	snprintf(text, sizeof(text),
		 LEGACY("\"init\"", "initialize", "\"protocolVersion\":\"%s\",\"capabilities\":{%s}"),
		 version, caps);
	say_as(r, p, text);
	must(r->n == 1 && strstr(msg(r, 0), "serverInfo"));
	say_as(r, p, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	must(!r->n && r->ended == 1);
	rig_clear(r);
}

/* Whether the i-th message since has all of the parts, as SAYS. */
static inline bool says_at(const struct rig *r, unsigned i, const char *const *parts)
{
	for (; *parts; parts++) {
		bool absent = (*parts)[0] == '!';

		if ((strstr(msg(r, i), *parts + absent) != NULL) == absent) {
			printf("# part %s in message %u of %u: %s\n", *parts, i, r->n, msg(r, i));
			return false;
		}
	}
	return i < r->n;
}
#define SAYS_AT(r, i, ...) says_at((r), (i), (const char *const[]){__VA_ARGS__, NULL})

/* The text of a member of the i-th message's result or error data, unescaped, as it would be sent
 * back: requestState, nextCursor. */
static inline void member_of(const struct rig *r, unsigned i, const char *name, char *dst, size_t size)
{
	struct cJSON *doc = rpc_json_parse(sv_of(msg(r, i)), NULL);
	struct sv v = js_str(js_get(js_get(doc, "result"), name));

	snprintf(dst, size, SV_FMT, SV_ARG(v));
	cJSON_Delete(doc);
}

#endif
