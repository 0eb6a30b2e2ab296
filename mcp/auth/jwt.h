/* jwt.h: an access token in -> who that is, or why not.
 *
 * JWS compact serialization (RFC 7515 section 7.1) of a JWT (RFC 7519), profile RFC 9068, with what
 * RFC 8725 asks for:
 *	- strict base64url and JSON (no duplicate names), everything bounded
 *	- alg from a list of four that also must fit the key (sections 3.1, 3.2); no "none", no HMAC
 *	- the key comes from the issuer's set alone, by kid, compared byte for byte (3.10): jwk, jku, x5c
 *	  and x5u in a header are never read; crit is refused, nothing critical being understood
 *	- typ, when there is one, is JWT or at+jwt (3.11)
 *	- nothing in it is believed before the signature held
 *	- iss exactly ours (3.8), aud contains ours (3.9; RFC 8707), exp there and not past nor more than
 *	  JWT_MAX_AHEAD_S ahead, nbf and iat not in the future, with JWT_LEEWAY_S for clocks that differ
 *	- sub there; all of the wanted scopes granted by `scope` or `scp`
 * Pure: no I/O; the clock is an argument. Needs sodium_init(). */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include "mcp/auth/jwks.h"
#include "sandbox/supervise/supervise.h"

#define JWT_MAX_BYTES 8000
#define JWT_MAX_SUB 1024
#define JWT_LEEWAY_S 60
#define JWT_MAX_AHEAD_S 86400

/* Borrowed. */
struct jwt_policy {
	struct sv issuer, audience;
	struct sv scope;		/* blank-separated; empty: none is needed */
};

enum jwt_verdict {
	JWT_GOOD,
	JWT_BAD,
	JWT_SCOPE,	/* good, but does not grant the scope */
	JWT_NO_KEY,	/* by a key that is not in the set: a newer set may have it */
};
struct jwt_result {
	struct sup_identity id;		/* of JWT_GOOD */
	const char *reason;		/* a literal, never NULL; for the log alone */
};
enum jwt_verdict jwt_check(const struct jwks *keys, const struct jwt_policy *p, struct sv token,
			   int64_t now_s, struct jwt_result *ret);

#endif
