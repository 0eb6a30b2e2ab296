/* sight.c: what a credential tells at first sight, and the words of a refusal. */
#include "sandbox/supervise/sight.h"

#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"

#include <sodium.h>
#include <unistd.h>

#define CACHE_US 60000000

void sight_log_refusal(struct auth *a, const char *kind, const char *reason)
{
	const unsigned before = a->logs.denied;
	char text[200];

	if (ration_take(&a->logs))
		log_msg(LOG_WARN,
			"event=not_authenticated kind=%s unlogged=%u reason=\"%s\"",
			kind, before, log_esc(sv_of(reason), text, sizeof(text)));
}

void sight_refuse(struct err *e)
{
	err_clear(e);
	err_set(e, ERR_UNAUTHENTICATED, "the credential was not accepted");
	err_fix(e,
		"send a valid API key or access token; the server's log says what was "
		"wrong with this one");
}

void sight_unavailable(struct err *e)
{
	err_clear(e);
	err_set(e, ERR_UNAVAILABLE, "credentials cannot be checked at the moment");
	err_fix(e, "try again; if it stays so, see the server's log");
}

/* --- the cache ---------------------------------------------------------------------------------- */

static unsigned cache_at(const unsigned char digest[32])
{
	return (digest[0] | (unsigned)digest[1] << 8) % AUTH_CACHE;
}

bool sight_expired(const struct sup_identity *id)
{
	return id->expires_us && id->expires_us <= loop_wall_us();
}

static bool cache_get(struct auth *a, const unsigned char digest[32],
		      struct sup_identity *ret)
{
	const unsigned i = cache_at(digest);

	if (a->cache[i].until_us <= loop_now_us() ||
	    sodium_memcmp(a->cache[i].digest, digest, 32) ||
	    sight_expired(&a->cache[i].id))
		return false;
	*ret = a->cache[i].id;
	return true;
}

void sight_remember(struct auth *a, const unsigned char digest[32],
		    const struct sup_identity *id)
{
	const unsigned i = cache_at(digest);

	memcpy(a->cache[i].digest, digest, 32);
	a->cache[i].id = *id;
	a->cache[i].until_us = loop_now_us() + CACHE_US;
}

/* --- at first sight ------------------------------------------------------------------------------- */

/* RFC 6750 section 2.1: b64token. Anything else is no token at all. */
static bool is_b64token(struct sv s)
{
	size_t n = s.n;

	while (n && s.p[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || (c && strchr("-._~+/", c))))
			return false;
	}
	return n > 0;
}

static void say_bad(struct auth *a, struct sight *s, const char *kind,
		    const char *reason)
{
	s->bad = true;
	sight_refuse(&s->e);
	sight_log_refusal(a, kind, reason);
}

static void say_known(struct sight *s, const char *principal)
{
	s->known = true;
	snprintf(s->id.principal, sizeof(s->id.principal), "%s", principal);
}

static void look_at_key(struct auth *a, struct sv key, struct sight *s)
{
	s->how = AUTH_LEDGER;
	s->key_id = led_key_id(key);
	led_key_hash(key, s->digest);
	if (!s->key_id.n)
		say_bad(a, s, "key", "not of the form of a key");
}

static void look_at_bytes(struct auth *a, struct sv credential, size_t skip,
			  enum sup_check_type type, struct sight *s)
{
	s->how = AUTH_ROLE;
	s->type = type;
	s->body = (struct sv){credential.p + skip, credential.n - skip};
	crypto_generichash(s->digest, sizeof(s->digest),
			   (const unsigned char *)credential.p, credential.n,
			   a->cache_key, sizeof(a->cache_key));
	s->known = cache_get(a, s->digest, &s->id);
	if (!s->known && a->gone) {
		s->bad = true;
		sight_unavailable(&s->e);
	}
}

static void look_at_bearer(struct auth *a, struct sv credential, struct sight *s)
{
	const struct sv token = {credential.p + 7, credential.n - 7};

	if (!is_b64token(token)) {
		s->bad = true;
		err_set(&s->e, ERR_INVALID, "the bearer token is malformed");
		err_fix(&s->e, "send it as `Authorization: Bearer TOKEN`");
	} else if (sv_starts(token, SV("fh_"))) { /* no token begins so */
		if (a->modes & SUP_AUTH_KEYS)
			look_at_key(a, token, s);
		else
			say_bad(a, s, "key", "keys are not taken");
	} else if (a->modes & SUP_AUTH_OAUTH) {
		look_at_bytes(a, credential, 7, SUP_CHECK_TOKEN, s);
	} else {
		say_bad(a, s, "token", "tokens are not taken");
	}
}

void sight_of(struct auth *a, struct sv credential, struct sight *s)
{
	char local[32];

	*s = (struct sight){0};
	if (!credential.n && a->modes & SUP_AUTH_LOCAL) {
		snprintf(local, sizeof(local), "local:%u", (unsigned)getuid());
		say_known(s, local);
	} else if (sv_eq(credential, SV("none")) && a->modes & SUP_AUTH_NONE) {
		say_known(s, "anonymous");
	} else if (!credential.n || sv_eq(credential, SV("none"))) {
		s->bad = true; /* so ordinary that it is not logged */
		err_set(&s->e, ERR_UNAUTHENTICATED, "no credential was sent");
		err_fix(&s->e, "send an API key or an access token as `Authorization: "
			       "Bearer TOKEN`");
	} else if (sv_starts(credential, SV("bearer "))) {
		look_at_bearer(a, credential, s);
	} else if (sv_starts(credential, SV("cert ")) && credential.n > 5) {
		if (a->modes & SUP_AUTH_CERT)
			look_at_bytes(a, credential, 5, SUP_CHECK_CERT, s);
		else
			say_bad(a, s, "cert", "certificates are not taken");
	} else {
		s->bad = true;
		err_set(&s->e, ERR_INVALID, "that is no credential");
	}
}
