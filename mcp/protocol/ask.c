/* ask.c: questions to the client: what both eras share, and the modern form of them.
 *
 * Theory of operation. In the modern era the answer `input_required` ends the request; the client
 * sends the whole request again with the answers and the requestState it was given. That state is
 * in an adversary's hands: it is sealed (seal.c), bound to the principal, the method, the name and
 * the arguments, and it expires. So a retry can neither alter what the tool noted, nor bring notes
 * made for other arguments, nor those of another caller. Answers without a state are taken as
 * answers to the first questions: they are the client's word either way. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

#define STATE_HEAD_BYTES                                                               \
	9 /* expiry in us of CLOCK_MONOTONIC, little endian; the round */
#define MAX_SEALED_BYTES ((size_t)4 * PROTO_MAX_STATE_BYTES)

/* --- what a client can answer ------------------------------------------------------------------ */

static const struct capability {
	unsigned bit;
	const char *name; /* as tools say it */
	const char *in; /* the member of ClientCapabilities ... */
	const char *within; /* ... and the one within that, or NULL */
	const char *method; /* what it is asked by, or NULL */
} capabilities[] = {
	{PROTO_CAN_ELICIT, "elicitation", "elicitation", NULL, "elicitation/create"},
	{PROTO_CAN_ELICIT_URL, "elicitation.url", "elicitation", "url", NULL},
	{PROTO_CAN_SAMPLE, "sampling", "sampling", NULL, "sampling/createMessage"},
	{PROTO_CAN_ROOTS, "roots", "roots", NULL, "roots/list"},
	{PROTO_CAN_TASKS, "tasks", "extensions", PROTO_EXTENSION_TASKS, NULL},
};

unsigned proto_caps_read(const struct cJSON *declared)
{
	const struct cJSON *elicitation = js_get(declared, "elicitation");
	unsigned caps = 0;

	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
		const struct cJSON *v = js_get(declared, capabilities[i].in);

		if (capabilities[i].within)
			v = js_get(v, capabilities[i].within);
		if (cJSON_IsObject(v))
			caps |= capabilities[i].bit;
	}
	/* {} means a form, {"url":{}} means none (2025-11-25) */
	if (js_get(elicitation, "url") && !js_get(elicitation, "form"))
		caps &= ~(unsigned)PROTO_CAN_ELICIT;
	return caps;
}

unsigned proto_cap_bit(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		if (sv_eq(name, sv_of(capabilities[i].name)))
			return capabilities[i].bit;
	return 0;
}

static const struct capability *of_bit(unsigned bit)
{
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		if (capabilities[i].bit == bit)
			return &capabilities[i];
	must(!"no such capability");
	return NULL;
}

void proto_cap_write(struct jw *w, unsigned bit)
{
	const struct capability *c = of_bit(bit);

	jw_obj(w);
	jw_key(w, c->in);
	jw_obj(w);
	if (c->within) {
		jw_key(w, c->within);
		jw_obj(w);
		jw_obj_end(w);
	}
	jw_obj_end(w);
	jw_obj_end(w);
}

void proto_cap_missing(struct buf *extra, unsigned bit, struct err *e)
{
	struct jw w;

	err_set(e, ERR_INVALID,
		"this needs the client capability %s, which was not declared",
		of_bit(bit)->name);
	err_fix(e, "call it from a client that has and declares %s", of_bit(bit)->name);
	jw_init(&w, extra);
	jw_key(&w, "requiredCapabilities");
	proto_cap_write(&w, bit);
}

static bool asks_by_url(struct sv params_json)
{
	struct cJSON *params = rpc_json_parse(params_json, NULL);
	bool url = sv_eq(js_str(js_get(params, "mode")), SV("url"));

	cJSON_Delete(params);
	return url;
}

/* 0: nobody may be asked this. */
static unsigned needed_for(const struct tool_ask *ask)
{
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
		if (!capabilities[i].method ||
		    strcmp(ask->method, capabilities[i].method) != 0)
			continue;
		return capabilities[i].bit == PROTO_CAN_ELICIT &&
				       asks_by_url(ask->params_json)
			       ? PROTO_CAN_ELICIT_URL
			       : capabilities[i].bit;
	}
	return 0;
}

int proto_asks_check(const struct tool_answer *a, unsigned caps, struct err *e)
{
	if (a->nasks > PROTO_MAX_ASKS || a->state.n > PROTO_MAX_STATE_BYTES)
		return err_set(e, ERR_INTERNAL,
			       "the tool asks %u questions with %zu bytes of notes",
			       a->nasks, a->state.n);
	for (unsigned i = 0; i < a->nasks; i++) {
		unsigned bit = needed_for(&a->asks[i]);

		if (!bit)
			return err_set(e, ERR_INTERNAL, "the tool asks for %s",
				       a->asks[i].method);
		if (!(caps & bit))
			return (int)bit;
	}
	return 0;
}

/* --- answers ----------------------------------------------------------------------------------- */

static bool is_elicit_result(const struct cJSON *v)
{
	struct sv action = js_str(js_get(v, "action"));
	const struct cJSON *content = js_get(v, "content");

	if (sv_eq(action, SV("accept")))
		return !content || cJSON_IsObject(content);
	return sv_eq(action, SV("decline")) || sv_eq(action, SV("cancel"));
}

bool proto_input_valid(const struct cJSON *v)
{
	if (!cJSON_IsObject(v))
		return false;
	if (js_get(v, "action"))
		return is_elicit_result(v);
	if (js_get(v, "roots"))
		return cJSON_IsArray(js_get(v, "roots"));
	return js_is_str(js_get(v, "role")) && js_get(v, "content");
}

struct cJSON *proto_inputs_read(const struct cJSON *v)
{
	struct cJSON *copy = cJSON_IsObject(v) ? cJSON_Duplicate(v, 1) : NULL;

	for (struct cJSON *m = copy ? copy->child : NULL, *next; m; m = next) {
		next = m->next;
		if (!proto_input_valid(m))
			cJSON_Delete(cJSON_DetachItemViaPointer(copy, m));
	}
	if (copy && !copy->child) {
		cJSON_Delete(copy);
		copy = NULL;
	}
	return copy;
}

void proto_asks_write(struct jw *w, const struct tool_answer *a)
{
	jw_key(w, "inputRequests");
	jw_obj(w);
	for (unsigned i = 0; i < a->nasks; i++) {
		jw_key(w, a->asks[i].key);
		jw_obj(w);
		jw_kstr(w, "method", sv_of(a->asks[i].method));
		jw_kraw(w, "params",
			a->asks[i].params_json.n ? a->asks[i].params_json : SV("{}"));
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

/* --- the sealed state -------------------------------------------------------------------------- */

static void bind(struct buf *ret, struct sv part)
{
	buf_fmt(ret, "%zu:", part.n);
	buf_sv(ret, part);
}

/* Who asks for what with what, so that no two of these can read the same. */
static int bound_to(const struct proto_item *item, struct sv principal,
		    const struct cJSON *args, struct buf *ret)
{
	AUTO_BUF text = {0};

	buf_init(&text, PROTO_MAX_OUT_BYTES);
	buf_init(ret, PROTO_MAX_OUT_BYTES + 2 * PROTO_MAX_RESULT_BYTES);
	bind(ret, principal);
	bind(ret, item->tool ? SV("tools/call") : SV("prompts/get"));
	bind(ret, sv_of(proto_item_name(item)));
	if (proto_print(args, &text))
		return -1;
	bind(ret, buf_view(&text));
	return ret->failed ? -1 : 0;
}

static int seal_state(struct proto_call *call, struct sv state, struct buf *ret)
{
	uint64_t expires_us = loop_now_us() + (uint64_t)PROTO_ASK_MS * 1000;
	AUTO_BUF plain = {0};
	AUTO_BUF bound = {0};

	buf_init(&plain, STATE_HEAD_BYTES + PROTO_MAX_STATE_BYTES);
	for (unsigned i = 0; i < 8; i++)
		buf_byte(&plain, (char)(expires_us >> (8 * i) & 0xff));
	buf_byte(&plain, (char)(call->round + 1));
	buf_sv(&plain, state);
	if (plain.failed || !call->args ||
	    bound_to(call->item, buf_view(&call->principal), call->args, &bound))
		return -1;
	return proto_seal(call->server, buf_view(&plain), buf_view(&bound), ret);
}

static int refuse_state(const struct proto_ctx *c)
{
	struct err e = {0};

	err_set(&e, ERR_INVALID, "Invalid or expired requestState");
	err_fix(&e, "send the request again without inputResponses and requestState");
	proto_fail(c, RPC_INVALID_PARAMS, &e,
		   SV("\"reason\":\"invalid_request_state\""));
	return -1;
}

static bool is_fresh(const struct buf *plain)
{
	uint64_t expires_us = 0;

	if (plain->n < STATE_HEAD_BYTES)
		return false;
	for (unsigned i = 8; i-- > 0;)
		expires_us = expires_us << 8 | (unsigned char)plain->p[i];
	return loop_now_us() <= expires_us;
}

int proto_ask_resume(struct proto_ctx *c, const struct proto_item *item,
		     const struct cJSON *args, unsigned *ret_round,
		     struct buf *ret_state)
{
	const struct cJSON *given = js_get(c->m->params, "requestState");
	AUTO_BUF plain = {0};
	AUTO_BUF bound = {0};

	if (c->era != PROTO_MODERN || !given || cJSON_IsNull(given))
		return 0;
	buf_init(&plain, STATE_HEAD_BYTES + PROTO_MAX_STATE_BYTES);
	if (!js_is_str(given) ||
	    bound_to(item, buf_view(&c->p->principal), args, &bound) ||
	    proto_unseal(c->s, js_str(given), buf_view(&bound), &plain) ||
	    !is_fresh(&plain))
		return refuse_state(c);
	*ret_round = (unsigned char)plain.p[8];
	buf_add(ret_state, plain.p + STATE_HEAD_BYTES, plain.n - STATE_HEAD_BYTES);
	return ret_state->failed ? refuse_state(c) : 0;
}

/* --- input_required ---------------------------------------------------------------------------- */

static void send_questions(struct proto_call *call, const struct tool_answer *a)
{
	const struct proto_request *r = call->request;
	struct err e = {0};
	AUTO_BUF state = {0};
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&state, MAX_SEALED_BYTES);
	buf_init(&b, PROTO_MAX_RESULT_BYTES);
	if (seal_state(call, a->state, &state)) {
		err_set(&e, ERR_LIMIT, "no room to keep what was called");
		err_fix(&e, "send shorter arguments, or try again later");
		proto_request_fail(r, RPC_INTERNAL_ERROR, &e, (struct sv){0});
		return;
	}
	jw_init(&w, &b);
	jw_obj(&w);
	proto_asks_write(&w, a);
	jw_kstr(&w, "requestState", buf_view(&state));
	proto_write_result_type(&w, r->rev, "input_required");
	jw_obj_end(&w);
	proto_request_reply(r, &b);
}

void proto_ask_modern(struct proto_call *call, const struct tool_answer *a)
{
	struct err e = {0};
	int beyond = proto_asks_check(a, call->caps, &e);
	AUTO_BUF extra = {0};

	if (!beyond && call->round >= PROTO_MAX_ROUNDS)
		beyond = err_set(&e, ERR_LIMIT, "asked %d times already",
				 PROTO_MAX_ROUNDS);
	if (!beyond) {
		send_questions(call, a);
		return;
	}
	if (beyond < 0) {
		proto_request_fail(call->request, RPC_INTERNAL_ERROR, &e,
				   (struct sv){0});
		return;
	}
	buf_init(&extra, 256);
	proto_cap_missing(&extra, (unsigned)beyond, &e);
	proto_request_fail(call->request, RPC_MISSING_CAPABILITY, &e, buf_view(&extra));
}
