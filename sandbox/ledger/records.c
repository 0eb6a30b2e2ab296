/* records.c: intents, outcomes and events as IPC records and as JSON. */
#include "sandbox/ledger/records.h"

#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"

#include <inttypes.h>

/* --- what a string may be; the encoder refuses what the decoder would ------------- */

static bool is_run_id(struct sv s)
{
	if (s.n > LED_MAX_RUN_ID)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return true;
}

static bool is_text(struct sv s, size_t max)
{
	if (s.n > max || !sv_valid_utf8(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool is_event_kind(struct sv s)
{
	return sv_eq(s, SV("start")) || sv_eq(s, SV("stop")) ||
	       sv_eq(s, SV("refused")) || sv_eq(s, SV("insecure_no_auth")) ||
	       sv_eq(s, SV("file"));
}

/* SHA-256 in hex, or nothing. */
static bool is_image(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
		      (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return !s.n || s.n == (size_t)2 * LED_HASH_BYTES;
}

static bool intent_is_sound(const struct led_intent *r)
{
	return r->run_id.n && is_run_id(r->run_id) &&
	       is_text(r->principal, LED_MAX_PRINCIPAL) && r->tool.n &&
	       is_text(r->tool, LED_MAX_NAME) && is_text(r->runtime, LED_MAX_NAME) &&
	       is_run_id(r->session_id) && is_image(r->image_sha256);
}

static bool session_is_sound(const struct led_session *r)
{
	return r->session_id.n && is_run_id(r->session_id) &&
	       is_text(r->principal, LED_MAX_PRINCIPAL) &&
	       is_text(r->runtime, LED_MAX_NAME) && is_image(r->image_sha256);
}

static bool session_end_is_sound(const struct led_session_end *r)
{
	return r->session_id.n && is_run_id(r->session_id) &&
	       is_text(r->principal, LED_MAX_PRINCIPAL) && r->reason.n &&
	       is_text(r->reason, LED_MAX_NAME);
}

static bool outcome_is_sound(const struct led_outcome *r)
{
	return r->run_id.n && is_run_id(r->run_id) &&
	       is_text(r->principal, LED_MAX_PRINCIPAL) && r->status.n &&
	       is_text(r->status, LED_MAX_NAME);
}

static bool event_is_sound(const struct led_event *r)
{
	return is_event_kind(r->kind) && is_run_id(r->run_id) &&
	       is_text(r->principal, LED_MAX_PRINCIPAL) &&
	       r->detail.n <= LED_MAX_DETAIL;
}

/* --- encoders --------------------------------------------------------------------- */

static void put_hash(struct ipc_msg *m, const unsigned char hash[32])
{
	ipc_put_sv(m, (struct sv){(const char *)hash, 32});
}

void led_put_intent(struct ipc_msg *m, const struct led_intent *r)
{
	ipc_put_sv(m, r->run_id);
	ipc_put_sv(m, r->principal);
	ipc_put_sv(m, r->tool);
	ipc_put_sv(m, r->runtime);
	ipc_put_sv(m, r->session_id);
	ipc_put_sv(m, r->image_sha256);
	ipc_put_u32(m, r->open_stdin);
	put_hash(m, r->code_sha256);
	put_hash(m, r->input_sha256);
	put_hash(m, r->stdin_sha256);
	ipc_put_u64(m, r->code_bytes);
	ipc_put_u64(m, r->input_bytes);
	ipc_put_u64(m, r->stdin_bytes);
	ipc_put_u64(m, r->wall_ms);
	ipc_put_u64(m, r->memory_bytes);
	ipc_put_u64(m, r->processes);
	ipc_put_u64(m, r->workspace_bytes);
	ipc_put_u64(m, r->output_bytes);
	if (!intent_is_sound(r))
		m->bad = true;
}

void led_put_outcome(struct ipc_msg *m, const struct led_outcome *r)
{
	ipc_put_sv(m, r->run_id);
	ipc_put_sv(m, r->principal);
	ipc_put_sv(m, r->status);
	ipc_put_i64(m, r->exit_code);
	ipc_put_i64(m, r->signal);
	ipc_put_u64(m, r->duration_us);
	ipc_put_u64(m, r->cpu_us);
	ipc_put_u64(m, r->peak_memory_bytes);
	ipc_put_u64(m, r->hits);
	if (!outcome_is_sound(r))
		m->bad = true;
}

void led_put_event(struct ipc_msg *m, const struct led_event *r)
{
	struct led_event cut = *r;

	if (cut.detail.n > LED_MAX_DETAIL)
		cut.detail.n = LED_MAX_DETAIL;
	ipc_put_sv(m, cut.kind);
	ipc_put_sv(m, cut.run_id);
	ipc_put_sv(m, cut.principal);
	ipc_put_sv(m, cut.detail);
	if (!event_is_sound(&cut))
		m->bad = true;
}

void led_put_session(struct ipc_msg *m, const struct led_session *r)
{
	ipc_put_sv(m, r->session_id);
	ipc_put_sv(m, r->principal);
	ipc_put_sv(m, r->runtime);
	ipc_put_sv(m, r->image_sha256);
	ipc_put_u64(m, r->ttl_s);
	ipc_put_u64(m, r->idle_ttl_s);
	ipc_put_u64(m, r->memory_bytes);
	ipc_put_u64(m, r->processes);
	ipc_put_u64(m, r->workspace_bytes);
	if (!session_is_sound(r))
		m->bad = true;
}

void led_put_session_end(struct ipc_msg *m, const struct led_session_end *r)
{
	ipc_put_sv(m, r->session_id);
	ipc_put_sv(m, r->principal);
	ipc_put_sv(m, r->reason);
	ipc_put_u64(m, r->calls);
	ipc_put_u64(m, r->duration_us);
	if (!session_end_is_sound(r))
		m->bad = true;
}

static bool is_key_id(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
		      (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return s.n == LED_KEY_ID_SIZE - 1;
}

void led_put_key_find(struct ipc_msg *m, struct sv id, const unsigned char hash[32])
{
	ipc_put_sv(m, id);
	put_hash(m, hash);
	if (!is_key_id(id))
		m->bad = true;
}

static bool wrapped_is_sound(const struct led_wrapped *k)
{
	return k->tenant.n && is_text(k->tenant, LED_MAX_PRINCIPAL) &&
	       is_run_id(k->workspace) && k->blob.n <= LED_WRAPPED_MAX &&
	       k->epoch <= INT64_MAX;
}

void led_put_wrapped(struct ipc_msg *m, const struct led_wrapped *k)
{
	ipc_put_sv(m, k->tenant);
	ipc_put_sv(m, k->workspace);
	ipc_put_u64(m, k->epoch);
	ipc_put_sv(m, k->blob);
	if (!wrapped_is_sound(k))
		m->bad = true;
}

void led_put_key_found(struct ipc_msg *m, const struct led_key_found *r)
{
	ipc_put_u32(m, r->state);
	ipc_put_sv(m, sv_of(r->name));
	ipc_put_u64(m, r->expires_us);
}

/* --- decoders --------------------------------------------------------------------- */

static void get_hash(struct ipc_msg *m, unsigned char ret[32])
{
	struct sv s = ipc_get_sv(m, 32);

	if (s.n != 32) {
		m->bad = true;
		memset(ret, 0, 32);
		return;
	}
	memcpy(ret, s.p, 32);
}

static int ill_formed(const char *what, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "the keeper sent an ill-formed %s", what);
}

int led_get_intent(struct ipc_msg *m, struct led_intent *ret, struct err *e)
{
	struct led_intent r = {0};
	uint32_t open_stdin;

	r.run_id = ipc_get_sv(m, LED_MAX_RUN_ID);
	r.principal = ipc_get_sv(m, LED_MAX_PRINCIPAL);
	r.tool = ipc_get_sv(m, LED_MAX_NAME);
	r.runtime = ipc_get_sv(m, LED_MAX_NAME);
	r.session_id = ipc_get_sv(m, LED_MAX_RUN_ID);
	r.image_sha256 = ipc_get_sv(m, LED_MAX_NAME);
	open_stdin = ipc_get_u32(m);
	r.open_stdin = open_stdin;
	get_hash(m, r.code_sha256);
	get_hash(m, r.input_sha256);
	get_hash(m, r.stdin_sha256);
	r.code_bytes = ipc_get_u64(m);
	r.input_bytes = ipc_get_u64(m);
	r.stdin_bytes = ipc_get_u64(m);
	r.wall_ms = ipc_get_u64(m);
	r.memory_bytes = ipc_get_u64(m);
	r.processes = ipc_get_u64(m);
	r.workspace_bytes = ipc_get_u64(m);
	r.output_bytes = ipc_get_u64(m);
	if (!ipc_end(m) || open_stdin > 1 || !intent_is_sound(&r))
		return ill_formed("intent", e);
	*ret = r;
	return 0;
}

int led_get_outcome(struct ipc_msg *m, struct led_outcome *ret, struct err *e)
{
	struct led_outcome r = {0};

	r.run_id = ipc_get_sv(m, LED_MAX_RUN_ID);
	r.principal = ipc_get_sv(m, LED_MAX_PRINCIPAL);
	r.status = ipc_get_sv(m, LED_MAX_NAME);
	r.exit_code = ipc_get_i64(m);
	r.signal = ipc_get_i64(m);
	r.duration_us = ipc_get_u64(m);
	r.cpu_us = ipc_get_u64(m);
	r.peak_memory_bytes = ipc_get_u64(m);
	r.hits = ipc_get_u64(m);
	if (!ipc_end(m) || !outcome_is_sound(&r))
		return ill_formed("outcome", e);
	*ret = r;
	return 0;
}

int led_get_event(struct ipc_msg *m, struct led_event *ret, struct err *e)
{
	struct led_event r = {0};

	r.kind = ipc_get_sv(m, LED_MAX_NAME);
	r.run_id = ipc_get_sv(m, LED_MAX_RUN_ID);
	r.principal = ipc_get_sv(m, LED_MAX_PRINCIPAL);
	r.detail = ipc_get_sv(m, LED_MAX_DETAIL);
	if (!ipc_end(m) || !event_is_sound(&r))
		return ill_formed("event", e);
	*ret = r;
	return 0;
}

int led_get_session(struct ipc_msg *m, struct led_session *ret, struct err *e)
{
	struct led_session r = {0};

	r.session_id = ipc_get_sv(m, LED_MAX_RUN_ID);
	r.principal = ipc_get_sv(m, LED_MAX_PRINCIPAL);
	r.runtime = ipc_get_sv(m, LED_MAX_NAME);
	r.image_sha256 = ipc_get_sv(m, LED_MAX_NAME);
	r.ttl_s = ipc_get_u64(m);
	r.idle_ttl_s = ipc_get_u64(m);
	r.memory_bytes = ipc_get_u64(m);
	r.processes = ipc_get_u64(m);
	r.workspace_bytes = ipc_get_u64(m);
	if (!ipc_end(m) || !session_is_sound(&r))
		return ill_formed("session", e);
	*ret = r;
	return 0;
}

int led_get_session_end(struct ipc_msg *m, struct led_session_end *ret, struct err *e)
{
	struct led_session_end r = {0};

	r.session_id = ipc_get_sv(m, LED_MAX_RUN_ID);
	r.principal = ipc_get_sv(m, LED_MAX_PRINCIPAL);
	r.reason = ipc_get_sv(m, LED_MAX_NAME);
	r.calls = ipc_get_u64(m);
	r.duration_us = ipc_get_u64(m);
	if (!ipc_end(m) || !session_end_is_sound(&r))
		return ill_formed("end of a session", e);
	*ret = r;
	return 0;
}

int led_get_key_find(struct ipc_msg *m, struct sv *ret_id, struct sv *ret_hash,
		     struct err *e)
{
	struct sv id = ipc_get_sv(m, LED_KEY_ID_SIZE - 1);
	struct sv hash = ipc_get_sv(m, LED_HASH_BYTES);

	if (!ipc_end(m) || !is_key_id(id) || hash.n != LED_HASH_BYTES)
		return ill_formed("question for a key", e);
	*ret_id = id;
	*ret_hash = hash;
	return 0;
}

int led_get_wrapped(struct ipc_msg *m, struct led_wrapped *ret)
{
	struct led_wrapped k = {0};

	k.tenant = ipc_get_sv(m, LED_MAX_PRINCIPAL);
	k.workspace = ipc_get_sv(m, LED_MAX_RUN_ID);
	k.epoch = ipc_get_u64(m);
	k.blob = ipc_get_sv(m, LED_WRAPPED_MAX);
	if (!ipc_end(m) || !wrapped_is_sound(&k))
		return -1;
	*ret = k;
	return 0;
}

int led_take_wrapped(struct ipc_msg *m, struct led_wrapped *ret, struct err *e)
{
	struct led_wrapped k;

	if (led_get_wrapped(m, &k) || (k.blob.n != 0) != (m->type == LED_WRAPPED_PUT) ||
	    (!k.epoch && m->type != LED_WRAPPED_GET))
		return ill_formed("wrapped key", e);
	*ret = k;
	return 0;
}

int led_get_key_found(struct ipc_msg *m, struct led_key_found *ret)
{
	struct led_key_found r = {0};

	r.state = (enum led_key_state)ipc_get_u32(m);
	ipc_get_cstr(m, r.name, sizeof(r.name));
	r.expires_us = ipc_get_u64(m);
	if (!ipc_end(m) || (unsigned)r.state >= LED_KEY_STATE_COUNT ||
	    (r.state == LED_KEY_GOOD && !r.name[0]))
		return -1;
	*ret = r;
	return 0;
}

/* --- bodies ----------------------------------------------------------------------- */

static void kuint(struct jw *w, const char *key, uint64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, v);

	jw_kraw(w, key, (struct sv){text, (size_t)n});
}

static void khash(struct jw *w, const char *key, const unsigned char hash[32])
{
	static const char digit[] = "0123456789abcdef";
	char hex[64];

	for (size_t i = 0; i < 32; i++) {
		hex[2 * i] = digit[hash[i] >> 4];
		hex[2 * i + 1] = digit[hash[i] & 15];
	}
	jw_kstr(w, key, (struct sv){hex, sizeof(hex)});
}

void led_body_intent(struct buf *b, const struct led_intent *r)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "tool", r->tool);
	jw_kstr(&w, "runtime", r->runtime);
	if (r->session_id.n)
		jw_kstr(&w, "session_id", r->session_id);
	if (r->image_sha256.n)
		jw_kstr(&w, "image_sha256", r->image_sha256);
	if (r->open_stdin)
		jw_kbool(&w, "stdin_open", true);
	khash(&w, "code_sha256", r->code_sha256);
	khash(&w, "input_sha256", r->input_sha256);
	khash(&w, "stdin_sha256", r->stdin_sha256);
	kuint(&w, "code_bytes", r->code_bytes);
	kuint(&w, "input_bytes", r->input_bytes);
	kuint(&w, "stdin_bytes", r->stdin_bytes);
	kuint(&w, "wall_ms", r->wall_ms);
	kuint(&w, "memory_bytes", r->memory_bytes);
	kuint(&w, "processes", r->processes);
	kuint(&w, "workspace_bytes", r->workspace_bytes);
	kuint(&w, "output_bytes", r->output_bytes);
	jw_obj_end(&w);
}

static void kint_or_null(struct jw *w, const char *key, int64_t v, int64_t none)
{
	jw_key(w, key);
	if (v == none)
		jw_null(w);
	else
		jw_int(w, v);
}

void led_body_outcome(struct buf *b, const struct led_outcome *r)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "status", r->status);
	kint_or_null(&w, "exit_code", r->exit_code, -1);
	kint_or_null(&w, "signal", r->signal, 0);
	kuint(&w, "duration_us", r->duration_us);
	/* without a cgroup neither is known; no program takes no memory */
	if (r->peak_memory_bytes) {
		kuint(&w, "cpu_us", r->cpu_us);
		kuint(&w, "peak_memory_bytes", r->peak_memory_bytes);
	}
	kuint(&w, "hits", r->hits);
	jw_obj_end(&w);
}

void led_body_event(struct buf *b, const struct led_event *r)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "detail", r->detail);
	jw_obj_end(&w);
}

void led_body_session(struct buf *b, const struct led_session *r)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "runtime", r->runtime);
	if (r->image_sha256.n)
		jw_kstr(&w, "image_sha256", r->image_sha256);
	kuint(&w, "ttl_s", r->ttl_s);
	kuint(&w, "idle_ttl_s", r->idle_ttl_s);
	kuint(&w, "memory_bytes", r->memory_bytes);
	kuint(&w, "processes", r->processes);
	kuint(&w, "workspace_bytes", r->workspace_bytes);
	jw_obj_end(&w);
}

void led_body_session_end(struct buf *b, const struct led_session_end *r)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "reason", r->reason);
	kuint(&w, "calls", r->calls);
	kuint(&w, "duration_us", r->duration_us);
	jw_obj_end(&w);
}
