/* sight.h: what a credential tells at first sight, and the words of a refusal; see auth.c.
 *
 * At first sight the keeper knows: the process that started it, nobody (if told to ask nobody), and what the
 * auth role said yes to in the last minute. Fail closed: a credential of a kind that is not taken is
 * refused like a wrong one, and a caller is told nothing but that. Why is in the log, without a byte of the
 * credential. */
#ifndef SANDBOX_SUPERVISE_SIGHT_H
#define SANDBOX_SUPERVISE_SIGHT_H

#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"

enum auth_how { AUTH_LEDGER, AUTH_ROLE }; /* who is asked */

struct sight {
	bool known, bad; /* id holds; e holds; else: */
	struct sup_identity id;
	struct err e;
	enum auth_how how;
	enum sup_check_type type; /* AUTH_ROLE */
	struct sv body; /* AUTH_ROLE: the token or certificate; borrowed */
	unsigned char digest[32]; /* AUTH_ROLE: of the credential; AUTH_LEDGER: the key's hash */
	struct sv key_id; /* AUTH_LEDGER; borrowed */
};
void sight_of(struct auth *a, struct sv credential, struct sight *s);
/* The auth role said yes: the digest is sight's. */
void sight_remember(struct auth *a, const unsigned char digest[32], const struct sup_identity *id);
bool sight_expired(const struct sup_identity *id);

/* One line, as far as the ration goes. reason holds nothing of the credential. */
void sight_log_refusal(struct auth *a, const char *kind, const char *reason);
void sight_refuse(struct err *e); /* the same words for every cause */
void sight_unavailable(struct err *e);

#endif
