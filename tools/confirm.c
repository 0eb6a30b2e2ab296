/* confirm.c: asking the user before a program is run, where the operator wants that.
 *
 * Nothing is kept between the question and the answer: the state that goes along with the question is
 * a digest of all that would be run, so that an answer counts for exactly what was shown, and a random
 * number, so that it counts once: a request that is sent again with the answer in it (a proxy, a client
 * whose connection broke) is asked about again. Whoever cannot be asked is refused. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <sodium.h>

#define KEY "confirm"
#define EXCERPT_BYTES 1200
#define DIGEST_BYTES 32
/* of the state, in hex: the digest, then the number of the question */
#define DIGEST_HEX (2 * (size_t)DIGEST_BYTES)
#define STATE_HEX (DIGEST_HEX + 2 * (size_t)RUNS_YES_BYTES)

/* --- what would be run --------------------------------------------------------------------------- */

static void hash_sv(crypto_generichash_state *h, struct sv s)
{
	uint64_t n = s.n;

	crypto_generichash_update(h, (const unsigned char *)&n, sizeof(n));
	crypto_generichash_update(h, (const unsigned char *)s.p, s.n);
}

#define HASH_PARTS 6

/* Of all parts, each with its length. */
static void digest(const struct sv parts[static HASH_PARTS],
		   char hex[static DIGEST_HEX + 1])
{
	unsigned char out[DIGEST_BYTES];
	crypto_generichash_state h;

	crypto_generichash_init(&h, NULL, 0, sizeof(out));
	for (int i = 0; i < HASH_PARTS; i++)
		hash_sv(&h, parts[i]);
	crypto_generichash_final(&h, out, sizeof(out));
	sodium_bin2hex(hex, DIGEST_HEX + 1, out, sizeof(out));
}

static void digest_request(const struct run_request *req,
			   char hex[static DIGEST_HEX + 1])
{
	char numbers[80];

	snprintf(numbers, sizeof(numbers), "%d %d %d %lld %d", (int)req->tool,
		 req->has_argv, req->has_timeout, (long long)req->timeout_ms,
		 req->open_stdin);
	digest((const struct sv[HASH_PARTS]){sv_of(numbers), req->language, req->code,
					     req->stdin_text, buf_view(&req->input),
					     req->session_id},
	       hex);
}

/* What a screen shows otherwise than it is, or not at all: controls, and the characters that turn the
 * direction of writing or have no width ("Trojan Source", CVE-2021-42574). */
static const struct {
	uint32_t first, last;
} deceptive[] = {
	{0x00, 0x08},	    {0x0b, 0x1f},
	{0x7f, 0x9f},	    {0x061c, 0x061c}, /* Arabic letter mark */
	{0x200b, 0x200f}, /* zero width, marks of direction */
	{0x2028, 0x202e}, /* separators, embeddings, overrides */
	{0x2060, 0x206f}, /* invisible operators, isolates */
	{0xfeff, 0xfeff}, /* zero width no-break space */
	{0xe0000, 0xe01ff}, /* tags, variation selectors */
};

/* c is one well-formed character. */
static uint32_t code_point(struct sv c)
{
	static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t v = (unsigned char)c.p[0] & lead[c.n];

	for (size_t i = 1; i < c.n; i++)
		v = v << 6 | ((unsigned char)c.p[i] & 0x3f);
	return v;
}

static bool is_deceptive(struct sv c)
{
	const uint32_t v = code_point(c);

	for (size_t i = 0; i < ARRAY_LEN(deceptive); i++)
		if (v >= deceptive[i].first && v <= deceptive[i].last)
			return true;
	return false;
}

static void put_excerpt(struct buf *b, struct sv s)
{
	struct sv rest = s;

	while (rest.n && s.n - rest.n < EXCERPT_BYTES) {
		size_t k = sv_utf8_len(rest);
		struct sv c = {rest.p, k ? k : 1};

		if (k && !is_deceptive(c))
			buf_sv(b, c);
		else
			for (size_t i = 0; i < c.n; i++)
				buf_fmt(b, "\\x%02x", (unsigned char)c.p[i]);
		rest.p += c.n, rest.n -= c.n;
	}
	if (rest.n)
		buf_fmt(b, "\n... %zu more bytes, not shown", rest.n);
}

static void put_argv(struct buf *b, const struct cJSON *argv)
{
	AUTO_BUF line = {0};

	buf_init(&line, b->max);
	for (const struct cJSON *v = js_first(argv); v; v = js_next(v)) {
		if (line.n)
			buf_byte(&line, ' ');
		json_quote(&line, js_str(v));
		if (line.n > 2 * EXCERPT_BYTES)
			break;
	}
	put_excerpt(b, buf_view(&line));
}

static void put_message(struct buf *b, const struct tool_call *call,
			const struct run_request *req)
{
	if (req->tool == POL_RUN_CODE)
		buf_fmt(b, "Run this %.*s program (%zu bytes) in the sandbox?",
			(int)(req->language.n < 32 ? req->language.n : 32),
			req->language.p, req->code.n);
	else
		buf_str(b, "Run this command in the sandbox?");
	if (req->session_id.n)
		buf_fmt(b,
			" In session " SV_FMT ", with what earlier calls left there.",
			SV_ARG(req->session_id));
	if (req->input.n || req->stdin_text.n)
		buf_fmt(b,
			" It gets %zu bytes of files, arguments and variables and %zu "
			"bytes of input.",
			req->input.n, req->stdin_text.n);
	buf_str(b, "\n\n");
	if (req->has_argv)
		put_argv(b, js_get(call->args, "argv"));
	else
		put_excerpt(b, req->code);
}

/* --- asking ------------------------------------------------------------------------------------- */

static void put_params(struct buf *b, struct sv message)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "mode", SV("form"));
	jw_kstr(&w, "message", message);
	jw_kraw(&w, "requestedSchema",
		SV("{\"type\":\"object\",\"properties\":{\"" KEY
		   "\":{\"type\":\"boolean\",\"title\":\"Run it\",\"description\":"
		   "\"Yes: this is done once.\",\"default\":false}},"
		   "\"required\":[\"" KEY "\"]}"));
	jw_obj_end(&w);
}

static void cannot_ask(struct tool_call *call)
{
	struct err e = {0};

	err_set(&e, ERR_DENIED,
		"the operator wants the user to be asked before each run, and this client "
		"cannot ask");
	err_fix(&e,
		"use a client that supports elicitation, or ask the operator to switch "
		"confirm off");
	tool_call_done(call, &(struct tool_answer){.err = &e, .needs = "elicitation"});
}

/* message: what the user is asked; digest_hex: of all that a yes is for. */
static int ask(struct tool_call *call, const struct buf *message,
	       const char *digest_hex, struct err *e)
{
	unsigned char number[RUNS_YES_BYTES];
	char state[STATE_HEX + 1];
	AUTO_BUF params = {0};

	if (!call->hooks->client_can || !call->hooks->client_can(call, "elicitation")) {
		cannot_ask(call);
		return 0;
	}
	buf_init(&params, 64 * EXCERPT_BYTES);
	put_params(&params, buf_view(message));
	if (message->failed || params.failed)
		return err_set(e, ERR_LIMIT, "no memory to ask the user");
	randombytes_buf(number, sizeof(number));
	memcpy(state, digest_hex, DIGEST_HEX);
	sodium_bin2hex(state + DIGEST_HEX, sizeof(state) - DIGEST_HEX, number,
		       sizeof(number));
	tool_call_ask(call,
		      &(struct tool_ask){.key = KEY,
					 .method = "elicitation/create",
					 .params_json = buf_view(&params)},
		      1, (struct sv){state, STATE_HEX});
	return 0;
}

static int refuse(const struct cJSON *answer, struct err *e)
{
	bool said = !sv_eq(js_str(js_get(answer, "action")), SV("cancel"));

	err_set(e, ERR_DENIED, "the user was asked and %s",
		said ? "does not want this to be run" : "gave no answer");
	return err_fix(e,
		       "do not send it again as it is: tell the user what it does and "
		       "what for, and ask what to do instead");
}

/* Whether the state is of our question about just this; its number. */
static bool is_ours(struct sv state, const char *digest_hex,
		    unsigned char number[static RUNS_YES_BYTES])
{
	return state.n == STATE_HEX &&
	       !sodium_memcmp(state.p, digest_hex, DIGEST_HEX) &&
	       !sodium_hex2bin(number, RUNS_YES_BYTES, state.p + DIGEST_HEX,
			       STATE_HEX - DIGEST_HEX, NULL, NULL, NULL);
}

static int confirm(struct tool_call *call, const struct buf *message, const char *hex,
		   struct err *e)
{
	const struct cJSON *answer = js_get(call->inputs, KEY);
	unsigned char number[RUNS_YES_BYTES];

	/* an answer without our question, or to another one, is none */
	if (!answer || !is_ours(call->ask_state, hex, number))
		return ask(call, message, hex, e);
	if (!sv_eq(js_str(js_get(answer, "action")), SV("accept")) ||
	    !js_is_true(js_get(js_get(answer, "content"), KEY)))
		return refuse(answer, e);
	return runs_use_yes(call->env.runs, number) ? 1 : ask(call, message, hex, e);
}

int confirm_run(struct tool_call *call, const struct run_request *req, struct err *e)
{
	char hex[DIGEST_HEX + 1];
	AUTO_BUF message = {0};

	if (!call->env.confirm)
		return 1;
	digest_request(req, hex);
	buf_init(&message, 16 * EXCERPT_BYTES);
	put_message(&message, call, req);
	return confirm(call, &message, hex, e);
}

int confirm_input(struct tool_call *call, const struct run *r, struct sv text,
		  struct err *e)
{
	char hex[DIGEST_HEX + 1];
	AUTO_BUF message = {0};

	if (!call->env.confirm || !text.n)
		return 1;
	digest((const struct sv[HASH_PARTS]){SV("input"), sv_of(r->id), text}, hex);
	buf_init(&message, 16 * EXCERPT_BYTES);
	buf_fmt(&message,
		"Send this input (%zu bytes) to the running %s program %s in the "
		"sandbox?\n\n",
		text.n, *r->language ? r->language : "command-line", r->id);
	put_excerpt(&message, text);
	return confirm(call, &message, hex, e);
}
