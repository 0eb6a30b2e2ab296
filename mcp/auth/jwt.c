/* jwt.c: an access token in -> who that is, or why not. */
#include "mcp/auth/jwt.h"

#include "mcp/auth/principal.h"
#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <sodium.h>
#include <strings.h>

#define MAX_SIGNATURE 1024
#define MAX_LIST 256 /* members of aud, scope, scp */
/* NumericDate: any later one would overflow microseconds long before it is due */
#define MAX_DATE_S ((int64_t)1 << 40)

/* The parts of a token, and what was read from them. */
struct jwt {
	struct sv header, payload, signature; /* base64url; borrowed */
	struct sv signed_part;
	enum jws_alg alg;
	bool has_kid;
	struct sv kid; /* borrowed from the header's tree */
	const char *reason; /* a literal: why it was refused */
};

static int no(struct jwt *t, const char *reason)
{
	t->reason = reason;
	return -1;
}

/* --- the envelope ------------------------------------------------------------------------------- */

/* Exactly three parts, none empty: five would be encryption, an empty last one no signature. */
static int split(struct jwt *t, struct sv token)
{
	struct sv rest = token, part[3] = {{"", 0}, {"", 0}, {"", 0}};
	bool more = true;

	if (token.n > JWT_MAX_BYTES)
		return no(t, "too long");
	for (unsigned i = 0; i < ARRAY_LEN(part); i++)
		if (!sv_cut(&rest, '.', &more, &part[i]) || !part[i].n)
			return no(t, "not three parts");
	if (more)
		return no(t, "more than three parts");
	t->header = part[0];
	t->payload = part[1];
	t->signature = part[2];
	t->signed_part = (struct sv){token.p, part[0].n + 1 + part[1].n};
	return 0;
}

/* The JSON object in a part; NULL: there is none. Freed by the caller. */
static cJSON *open_part(struct sv part)
{
	char bytes[JWT_MAX_BYTES];
	cJSON *v = NULL;
	size_t n = 0;

	if (!jws_base64(part, bytes, sizeof(bytes), &n))
		v = rpc_json_parse((struct sv){bytes, n}, NULL);
	sodium_memzero(bytes, n);
	if (v && !cJSON_IsObject(v)) {
		cJSON_Delete(v);
		return NULL;
	}
	return v;
}

/* Media types are compared without regard to case (RFC 7515 section 4.1.9). */
static bool is_type(struct sv s, struct sv type)
{
	return s.n == type.n && !strncasecmp(s.p, type.p, s.n);
}

static int read_header(struct jwt *t, const cJSON *h)
{
	const cJSON *typ = js_get(h, "typ"), *kid = js_get(h, "kid");
	const cJSON *alg = js_get(h, "alg");
	struct sv type = js_str(typ);

	if (!js_is_str(alg) || jws_alg_of(js_str(alg), &t->alg))
		return no(t, "alg is none that is taken");
	if (js_get(h, "crit"))
		return no(t, "crit: nothing critical is understood");
	if (js_get(h, "b64"))
		return no(t, "b64: only base64url is understood");
	if (typ && !is_type(type, SV("JWT")) && !is_type(type, SV("at+jwt")) &&
	    !is_type(type, SV("application/at+jwt")))
		return no(t, "typ is not that of an access token");
	if (kid && (!js_is_str(kid) || js_str(kid).n > JWKS_MAX_KID))
		return no(t, "kid is no key's");
	t->has_kid = kid;
	t->kid = js_str(kid);
	return 0;
}

static enum jwt_verdict check_signature(struct jwt *t, const struct jwks *keys)
{
	const struct jwk *k = jwks_find(keys, t->alg, t->has_kid ? &t->kid : NULL);
	unsigned char sig[MAX_SIGNATURE];
	size_t n = 0;

	if (jws_base64(t->signature, sig, sizeof(sig), &n)) {
		no(t, "the signature is no base64url");
		return JWT_BAD;
	}
	if (!k) {
		no(t, t->has_kid ? "no key of that kid and alg"
				 : "no kid, and not exactly one key for alg");
		return JWT_NO_KEY;
	}
	if (!jwk_verify(k, t->alg, t->signed_part, (struct sv){(const char *)sig, n})) {
		no(t, "the signature is not by that key");
		return JWT_BAD;
	}
	return JWT_GOOD;
}

/* --- the claims --------------------------------------------------------------------------------- */

/* 1 there, 0 not, -1 no date. */
static int date(const cJSON *claims, const char *name, int64_t *ret)
{
	const cJSON *v = js_get(claims, name);

	if (!v)
		return 0;
	return js_int(v, ret) || *ret < 0 || *ret > MAX_DATE_S ? -1 : 1;
}

static int check_times(struct jwt *t, const cJSON *c, int64_t now, int64_t *ret_exp)
{
	int64_t exp = 0, nbf = 0, iat = 0;

	if (date(c, "exp", &exp) != 1)
		return no(t, "exp is missing or no date");
	if (date(c, "nbf", &nbf) < 0 || date(c, "iat", &iat) < 0)
		return no(t, "nbf or iat is no date");
	if (exp + JWT_LEEWAY_S <= now)
		return no(t, "expired");
	if (exp > now + JWT_MAX_AHEAD_S + JWT_LEEWAY_S)
		return no(t, "exp is more than a day ahead");
	if (nbf > now + JWT_LEEWAY_S || iat > now + JWT_LEEWAY_S)
		return no(t, "not valid yet (nbf, iat): do the clocks agree?");
	*ret_exp = exp;
	return 0;
}

/* v is want, or an array of strings that has it. */
static bool has_string(const cJSON *v, struct sv want)
{
	unsigned n = 0;
	bool found = false;

	if (js_is_str(v))
		return sv_eq(js_str(v), want);
	if (!cJSON_IsArray(v))
		return false;
	for (const cJSON *one = js_first(v); one; one = js_next(one)) {
		if (!js_is_str(one) || ++n > MAX_LIST)
			return false;
		found |= sv_eq(js_str(one), want);
	}
	return found;
}

/* In a blank-separated string, or one of an array. */
static bool grants(const cJSON *v, struct sv want)
{
	struct sv rest = js_str(v), word;
	bool more = js_is_str(v);

	if (!more)
		return has_string(v, want);
	while (sv_cut(&rest, ' ', &more, &word))
		if (sv_eq(word, want))
			return true;
	return false;
}

static bool has_scope(const cJSON *c, struct sv wanted)
{
	const cJSON *scope = js_get(c, "scope"), *scp = js_get(c, "scp");
	struct sv word;
	bool more = true;

	while (sv_cut(&wanted, ' ', &more, &word))
		if (word.n && !grants(scope, word) && !grants(scp, word))
			return false;
	return true;
}

/* "https://host/path/" -> "host/path" */
static struct sv realm_of(struct sv issuer)
{
	const struct sv schemes[] = {SV("https://"), SV("http://")};

	for (unsigned i = 0; i < ARRAY_LEN(schemes); i++)
		if (sv_starts(issuer, schemes[i])) {
			issuer.p += schemes[i].n;
			issuer.n -= schemes[i].n;
		}
	if (sv_ends(issuer, SV("/")))
		issuer.n--;
	return issuer;
}

static enum jwt_verdict check_claims(struct jwt *t, const cJSON *c,
				     const struct jwt_policy *p, int64_t now,
				     struct sup_identity *ret)
{
	const cJSON *iss = js_get(c, "iss"), *sub = js_get(c, "sub");
	int64_t exp = 0;
	int bad = 0;

	if (!js_is_str(iss) || !sv_eq(js_str(iss), p->issuer))
		bad = no(t, "iss is not the issuer");
	else if (!has_string(js_get(c, "aud"), p->audience))
		bad = no(t, "aud does not name this server");
	else if (!js_is_str(sub) || !js_str(sub).n || js_str(sub).n > JWT_MAX_SUB)
		bad = no(t, "sub is missing or too long");
	else
		bad = check_times(t, c, now, &exp);
	if (bad)
		return JWT_BAD;
	if (!has_scope(c, p->scope)) {
		no(t, "the scope is not granted");
		return JWT_SCOPE;
	}
	principal_make(&(struct principal_parts){.kind = "oauth",
						 .realm = realm_of(p->issuer),
						 .name = js_str(sub)},
		       ret->principal);
	ret->expires_us = (uint64_t)(exp + JWT_LEEWAY_S) * 1000000;
	return JWT_GOOD;
}

static enum jwt_verdict check_payload(struct jwt *t, const struct jwt_policy *p,
				      int64_t now, struct sup_identity *ret)
{
	cJSON *claims = open_part(t->payload);
	enum jwt_verdict v;

	if (!claims) {
		no(t, "the payload is no JSON object in base64url");
		return JWT_BAD;
	}
	v = check_claims(t, claims, p, now, ret);
	cJSON_Delete(claims);
	return v;
}

enum jwt_verdict jwt_check(const struct jwks *keys, const struct jwt_policy *p,
			   struct sv token, int64_t now_s, struct jwt_result *ret)
{
	struct jwt t = {.reason = "good"};
	enum jwt_verdict v = JWT_BAD;
	cJSON *header = NULL;

	*ret = (struct jwt_result){.reason = ""};
	if (!split(&t, token)) {
		header = open_part(t.header);
		if (!header)
			no(&t, "the header is no JSON object in base64url");
		else if (!read_header(&t, header))
			v = check_signature(&t, keys);
	}
	if (v == JWT_GOOD)
		v = check_payload(&t, p, now_s, &ret->id);
	cJSON_Delete(header);
	if (v != JWT_GOOD)
		ret->id = (struct sup_identity){0};
	ret->reason = t.reason;
	return v;
}
