/* auth.h: the auth role: tokens and certificates in, principals out; and the fetch role beside it.
 *
 * The keeper resolves who is calling (sandbox/supervise) but parses no JSON and no ASN.1. What has
 * to be parsed for that is parsed here, in a process of its own that can do nothing else: no
 * files, no exec, no network, an own uid as root. It talks to the keeper in fixed records.
 *
 *	front --credential--> keeper --SUP_CHECK_TOKEN, _CERT--> auth <--keys-- fetch --https--> issuer
 *	                             <------SUP_CHECKER_UP, SUP_CHECKED
 *
 * Tokens: JWTs (RFC 7519) as JWS compact serialization (RFC 7515) for an OAuth 2.1 resource
 * server (RFC 9068, RFC 8725 throughout), by the keys of one issuer (RFC 7517). See jwt.h and jwks.h.
 * Whatever is wrong with one, the caller learns one thing only; the log says what, but not the token.
 *
 * Certificates were verified by TLS in the front; here they only become a name. See cert.h.
 *
 * Keys come from a file, opened before this process gives up opening files, or from an https URL
 * through the fetch role, which has a network but no keys, no tokens and no state (fetch.c).
 * Refetched every 10 minutes and, at a key id nobody knows, at most once a minute; kept for
 * 24 hours when the issuer cannot be reached.
 *
 * Wiring, for main.c: start the auth role where OAuth or a client CA is configured
 * (launch_role_spawn with LAUNCH_AUTH), the fetch role (LAUNCH_FETCH) where auth_jwks_is_url says
 * so. Socketpairs: keeper-auth, auth-fetch. Both confine themselves. auth ends with the keeper's
 * socket, fetch with auth's; either's death ends the family. Neither reads its environment. The
 * keeper's sup_keeper_opts.auth_sock and auth_modes say the rest. */
#ifndef MCP_AUTH_H
#define MCP_AUTH_H

#include "sandbox/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Strings are never NULL. */
struct auth_config {
	const char *issuer;	/* exactly the tokens' `iss`, an https URL; "": no token is taken */
	const char *audience;	/* must be in the tokens' `aud`; the server's own URL (RFC 8707) */
	const char *scope;	/* all of these blank-separated words must be granted; "": none */
	const char *jwks;	/* path of a JWKS file, or its https URL */
};
/* Is that a configuration that can work? For main, before anything is started. An issuer on a
 * loopback address may be http. */
int auth_config_check(const struct auth_config *c, struct err *e);
bool auth_jwks_is_url(const char *jwks);

struct auth_opts {
	struct auth_config config;	/* jwks is not looked at: */
	int jwks_fd;		/* the file, open for reading, taken over; -1: keys come by fetch_sock */
	int fetch_sock;		/* to the fetch role, taken over; -1: there is none */
	int keeper_sock;	/* taken over */
	uint32_t uid;		/* to change to as root; must be nobody else's */
};
/* Reads the keys (an unusable file ends it), confines itself, serves until the keeper has gone.
 * Returns the process' exit code. */
int auth_main(const struct auth_opts *o);

struct fetch_opts {
	const char *url;	/* https */
	const char *ca_file;	/* PEM; NULL: the system's bundle */
	int auth_sock;		/* taken over */
	uint32_t uid;		/* as above */
};
int auth_fetch_main(const struct fetch_opts *o);

#endif
