/* jwks.h: the keys of one issuer (RFC 7517), and signatures by them (RFC 7515, 7518, 8037).
 *
 * Taken are: RSA of 2048 to 8192 bits for RS256 and PS256, P-256 for ES256, Ed25519 for EdDSA. A key
 * that says another use, other operations or another alg is not; nor is one with its private half in
 * the set, one that is no point of its curve, or of a type unknown here (RFC 7517 section 5: such are
 * passed over). Pure: no I/O, no clock. Needs sodium_init(). */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

#define JWKS_MAX_BYTES ((size_t)256 << 10)
#define JWKS_MAX_KEYS 64
#define JWKS_MAX_KID 256

enum jws_alg { JWS_RS256, JWS_PS256, JWS_ES256, JWS_EDDSA, JWS_ALG_COUNT };
/* By its name, exactly; -1: none that is taken ("none" and HS256 are not). */
int jws_alg_of(struct sv name, enum jws_alg *ret);

struct jwks;
struct jwk;

/* NULL when there is no usable key in it; e says why. passed_over may be NULL: how many keys were. */
struct jwks *jwks_parse(struct sv json, unsigned *passed_over, struct err *e);
void jwks_free(struct jwks *s);
unsigned jwks_count(const struct jwks *s);
/* The one key for that algorithm with that kid; without one (kid NULL) the only key for it. NULL:
 * none, or more than one. Borrowed from s. */
const struct jwk *jwks_find(const struct jwks *s, enum jws_alg alg, const struct sv *kid);
/* Is sig one over bytes? false also for a key that does not fit alg. */
bool jwk_verify(const struct jwk *k, enum jws_alg alg, struct sv bytes, struct sv sig);

/* Strict base64url: no padding, no blanks, no bits that belong to no byte. -1: not that, or over max. */
int jws_base64(struct sv text, void *ret, size_t max, size_t *ret_n);

#endif
