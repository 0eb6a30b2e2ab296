/* jwks.c: the keys of one issuer, and signatures by them. */
#include "mcp/auth/jwks.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/rsa.h>
#include <sodium.h>

#define RSA_MIN_BITS 2048
#define RSA_MAX_BYTES 1024
#define RSA_MAX_E_BYTES 4 /* 65537 takes 3; a long one would only cost time */
#define P256_BYTES 32

enum jwk_type { JWK_RSA, JWK_P256, JWK_ED25519 };

struct jwk {
	enum jwk_type type;
	bool has_kid, has_alg;
	enum jws_alg alg; /* has_alg: the only one it is for */
	char kid[JWKS_MAX_KID + 1];
	size_t kid_bytes;
	mbedtls_rsa_context rsa;
	mbedtls_ecp_point point;
	unsigned char ed25519[crypto_sign_PUBLICKEYBYTES];
};

struct jwks {
	mbedtls_ecp_group p256;
	unsigned n;
	struct jwk keys[JWKS_MAX_KEYS];
};

static const struct {
	const char *name;
	enum jws_alg alg;
} alg_names[] = {
	{"RS256", JWS_RS256}, {"PS256", JWS_PS256},   {"ES256", JWS_ES256},
	{"EdDSA", JWS_EDDSA}, {"Ed25519", JWS_EDDSA}, /* RFC 9864 */
};

static const enum jwk_type type_for[JWS_ALG_COUNT] = {
	[JWS_RS256] = JWK_RSA,
	[JWS_PS256] = JWK_RSA,
	[JWS_ES256] = JWK_P256,
	[JWS_EDDSA] = JWK_ED25519,
};

int jws_alg_of(struct sv name, enum jws_alg *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(alg_names); i++)
		if (sv_eq(name, sv_of(alg_names[i].name))) {
			*ret = alg_names[i].alg;
			return 0;
		}
	return -1;
}

int jws_base64(struct sv text, void *ret, size_t max, size_t *ret_n)
{
	return sodium_base642bin(ret, max, text.n ? text.p : "", text.n, NULL, ret_n,
				 NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING)
		       ? -1
		       : 0;
}

/* --- reading keys ------------------------------------------------------------------------------- */

static int member_bytes(const cJSON *jwk, const char *name, void *ret, size_t max,
			size_t *ret_n)
{
	const cJSON *v = js_get(jwk, name);

	if (!js_is_str(v) || jws_base64(js_str(v), ret, max, ret_n))
		return -1;
	return *ret_n ? 0 : -1;
}

/* The first of these that is there would make the set no public one. */
static bool is_secret(const cJSON *jwk)
{
	static const char *const names[] = {"d",  "p",	"q",   "dp",
					    "dq", "qi", "oth", "k"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (js_get(jwk, names[i]))
			return true;
	return false;
}

/* RFC 7517 sections 4.2, 4.3. */
static bool is_for_verifying(const cJSON *jwk)
{
	const cJSON *use = js_get(jwk, "use"), *ops = js_get(jwk, "key_ops");

	if (use && (!js_is_str(use) || !sv_eq(js_str(use), SV("sig"))))
		return false;
	if (!ops)
		return true;
	if (!cJSON_IsArray(ops))
		return false;
	for (const cJSON *op = js_first(ops); op; op = js_next(op))
		if (js_is_str(op) && sv_eq(js_str(op), SV("verify")))
			return true;
	return false;
}

static int read_rsa(struct jwk *k, const cJSON *jwk)
{
	unsigned char n[RSA_MAX_BYTES + 1], e[RSA_MAX_E_BYTES + 1];
	size_t n_bytes, e_bytes;

	if (member_bytes(jwk, "n", n, sizeof(n), &n_bytes) ||
	    member_bytes(jwk, "e", e, sizeof(e), &e_bytes) ||
	    (e_bytes > RSA_MAX_E_BYTES && e[0]) ||
	    mbedtls_rsa_import_raw(&k->rsa, n, n_bytes, NULL, 0, NULL, 0, NULL, 0, e,
				   e_bytes) ||
	    mbedtls_rsa_complete(&k->rsa) || mbedtls_rsa_check_pubkey(&k->rsa))
		return -1;
	return mbedtls_rsa_get_bitlen(&k->rsa) >= RSA_MIN_BITS &&
			       mbedtls_rsa_get_len(&k->rsa) <= RSA_MAX_BYTES
		       ? 0
		       : -1;
}

static int read_p256(struct jwk *k, mbedtls_ecp_group *group, const cJSON *jwk)
{
	unsigned char xy[1 + 2 * P256_BYTES] = {4};
	size_t x, y;

	if (!sv_eq(js_str(js_get(jwk, "crv")), SV("P-256")) ||
	    member_bytes(jwk, "x", xy + 1, P256_BYTES, &x) || x != P256_BYTES ||
	    member_bytes(jwk, "y", xy + 1 + P256_BYTES, P256_BYTES, &y) ||
	    y != P256_BYTES)
		return -1;
	return mbedtls_ecp_point_read_binary(group, &k->point, xy, sizeof(xy)) ||
			       mbedtls_ecp_check_pubkey(group, &k->point)
		       ? -1
		       : 0;
}

static int read_ed25519(struct jwk *k, const cJSON *jwk)
{
	size_t n;

	if (!sv_eq(js_str(js_get(jwk, "crv")), SV("Ed25519")) ||
	    member_bytes(jwk, "x", k->ed25519, sizeof(k->ed25519), &n) ||
	    n != sizeof(k->ed25519))
		return -1;
	return crypto_core_ed25519_is_valid_point(k->ed25519) ? 0 : -1;
}

static int read_names(struct jwk *k, const cJSON *jwk)
{
	const cJSON *kid = js_get(jwk, "kid"), *alg = js_get(jwk, "alg");

	if (kid && (!js_is_str(kid) || js_str(kid).n > JWKS_MAX_KID))
		return -1;
	if (alg && (!js_is_str(alg) || jws_alg_of(js_str(alg), &k->alg) ||
		    type_for[k->alg] != k->type))
		return -1;
	k->has_kid = kid;
	k->has_alg = alg;
	k->kid_bytes = js_str(kid).n;
	if (kid)
		memcpy(k->kid, js_str(kid).p, k->kid_bytes);
	return 0;
}

static int read_key(struct jwks *s, struct jwk *k, const cJSON *jwk)
{
	struct sv type = js_str(js_get(jwk, "kty"));
	int bad = -1;

	if (!cJSON_IsObject(jwk) || is_secret(jwk) || !is_for_verifying(jwk))
		return -1;
	if (sv_eq(type, SV("RSA"))) {
		k->type = JWK_RSA;
		bad = read_rsa(k, jwk);
	} else if (sv_eq(type, SV("EC"))) {
		k->type = JWK_P256;
		bad = read_p256(k, &s->p256, jwk);
	} else if (sv_eq(type, SV("OKP"))) {
		k->type = JWK_ED25519;
		bad = read_ed25519(k, jwk);
	}
	return bad || read_names(k, jwk) ? -1 : 0;
}

static void key_init(struct jwk *k)
{
	*k = (struct jwk){0};
	mbedtls_rsa_init(&k->rsa);
	mbedtls_ecp_point_init(&k->point);
}

static void key_finish(struct jwk *k)
{
	mbedtls_rsa_free(&k->rsa);
	mbedtls_ecp_point_free(&k->point);
}

static int read_keys(struct jwks *s, const cJSON *list, unsigned *passed_over,
		     struct err *e)
{
	unsigned seen = 0;

	*passed_over = 0;
	if (!cJSON_IsArray(list))
		return err_set(e, ERR_INVALID,
			       "a JWKS is an object with the array \"keys\"");
	for (const cJSON *one = js_first(list); one; one = js_next(one)) {
		struct jwk *k = &s->keys[s->n];

		if (++seen > JWKS_MAX_KEYS)
			return err_set(e, ERR_LIMIT, "a JWKS of more than %d keys",
				       JWKS_MAX_KEYS);
		key_init(k);
		if (!read_key(s, k, one)) {
			s->n++;
			continue;
		}
		key_finish(k);
		++*passed_over;
	}
	if (s->n)
		return 0;
	err_set(e, ERR_INVALID, "none of the %u keys of the JWKS can be used", seen);
	return err_fix(
		e,
		"wanted are public keys for signatures: RSA of at least %d bits, "
		"P-256 or Ed25519",
		RSA_MIN_BITS);
}

struct jwks *jwks_parse(struct sv json, unsigned *passed_over, struct err *e)
{
	struct jwks *s;
	unsigned skipped = 0;
	cJSON *root;
	int bad;

	if (json.n > JWKS_MAX_BYTES) {
		err_set(e, ERR_LIMIT, "a JWKS of more than %zu bytes", JWKS_MAX_BYTES);
		return NULL;
	}
	root = rpc_json_parse(json, e);
	if (!root)
		return NULL;
	s = mem_zalloc(sizeof(*s));
	if (!s) {
		cJSON_Delete(root);
		err_set(e, ERR_LIMIT, "no memory");
		return NULL;
	}
	mbedtls_ecp_group_init(&s->p256);
	bad = mbedtls_ecp_group_load(&s->p256, MBEDTLS_ECP_DP_SECP256R1)
		      ? err_set(e, ERR_LIMIT, "no memory")
		      : read_keys(s, js_get(root, "keys"), &skipped, e);
	cJSON_Delete(root);
	if (bad) {
		jwks_free(s);
		return NULL;
	}
	if (passed_over)
		*passed_over = skipped;
	return s;
}

void jwks_free(struct jwks *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		key_finish(&s->keys[i]);
	mbedtls_ecp_group_free(&s->p256);
	mem_free(s);
}

unsigned jwks_count(const struct jwks *s)
{
	return s->n;
}

static bool fits(const struct jwk *k, enum jws_alg alg, const struct sv *kid)
{
	if (k->type != type_for[alg] || (k->has_alg && k->alg != alg))
		return false;
	return !kid || (k->has_kid && sv_eq(*kid, (struct sv){k->kid, k->kid_bytes}));
}

const struct jwk *jwks_find(const struct jwks *s, enum jws_alg alg,
			    const struct sv *kid)
{
	const struct jwk *found = NULL;

	for (unsigned i = 0; i < s->n; i++) {
		if (!fits(&s->keys[i], alg, kid))
			continue;
		if (found)
			return NULL;
		found = &s->keys[i];
	}
	return found;
}

/* --- signatures --------------------------------------------------------------------------------- */

/* mbedTLS wants what it reads to be writable, but does not write. */
static mbedtls_rsa_context *rsa_of(const struct jwk *k)
{
	union {
		const mbedtls_rsa_context *in;
		mbedtls_rsa_context *out;
	} u = {.in = &k->rsa};

	return u.out;
}

/* RFC 7518 sections 3.3 and 3.5. The library builds the padding itself and compares all of it, so
 * nothing hides behind a small exponent; the salt is as long as the hash. */
static bool verify_rsa(const struct jwk *k, enum jws_alg alg,
		       const unsigned char hash[32], struct sv sig)
{
	const unsigned char *bytes = (const unsigned char *)sig.p;

	if (sig.n != mbedtls_rsa_get_len(&k->rsa))
		return false;
	if (alg == JWS_RS256)
		return !mbedtls_rsa_rsassa_pkcs1_v15_verify(
			rsa_of(k), MBEDTLS_MD_SHA256, 32, hash, bytes);
	return !mbedtls_rsa_rsassa_pss_verify_ext(rsa_of(k), MBEDTLS_MD_SHA256, 32,
						  hash, MBEDTLS_MD_SHA256, 32, bytes);
}

/* RFC 7518 section 3.4: R and S, 32 bytes each, big-endian; not DER. Both must lie in 1..n-1, which
 * mbedtls_ecdsa_verify checks (CVE-2022-21449 is what happens without). */
static bool verify_p256(const struct jwk *k, const unsigned char hash[32],
			struct sv sig)
{
	const unsigned char *bytes = (const unsigned char *)sig.p;
	mbedtls_ecp_group group;
	mbedtls_mpi r, s;
	bool good;

	if (sig.n != 2 * P256_BYTES)
		return false;
	mbedtls_ecp_group_init(&group);
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	good = !mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) &&
	       !mbedtls_mpi_read_binary(&r, bytes, P256_BYTES) &&
	       !mbedtls_mpi_read_binary(&s, bytes + P256_BYTES, P256_BYTES) &&
	       !mbedtls_ecdsa_verify(&group, hash, 32, &k->point, &r, &s);
	mbedtls_mpi_free(&s);
	mbedtls_mpi_free(&r);
	mbedtls_ecp_group_free(&group);
	return good;
}

bool jwk_verify(const struct jwk *k, enum jws_alg alg, struct sv bytes, struct sv sig)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	unsigned char hash[crypto_hash_sha256_BYTES];

	if (k->type != type_for[alg] || (k->has_alg && k->alg != alg))
		return false;
	/* libsodium refuses S >= L and points of small order: one signature, one encoding */
	if (alg == JWS_EDDSA)
		return sig.n == crypto_sign_BYTES &&
		       !crypto_sign_verify_detached((const unsigned char *)sig.p, p,
						    bytes.n, k->ed25519);
	crypto_hash_sha256(hash, p, bytes.n);
	return alg == JWS_ES256 ? verify_p256(k, hash, sig)
				: verify_rsa(k, alg, hash, sig);
}
