/* cert.h: a client certificate in -> whose it is.
 *
 * TLS has verified the chain and that the caller has the key; here the certificate only becomes a name:
 * its URI name where it has exactly one (SPIFFE), else its common name, else its DNS name where it
 * has exactly one. Two of a sort, or none of any: refused, nobody could say which was meant. Its
 * validity is looked at again: a connection may outlive it. Pure: no I/O; the clock is an argument. */
#ifndef AUTH_CERT_H
#define AUTH_CERT_H

#include "sandbox/base/sv.h"
#include "sandbox/supervise/supervise.h"

/* 0, or -1 with the reason (a literal, for the log). */
int cert_check(struct sv der, int64_t now_s, struct sup_identity *ret, const char **reason);

#endif
