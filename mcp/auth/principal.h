/* principal.h: the name under which a caller is known from then on. Private to the room. */
#ifndef AUTH_PRINCIPAL_H
#define AUTH_PRINCIPAL_H

#include "sandbox/base/sv.h"
#include "sandbox/supervise/supervise.h"

struct principal_parts {
	const char *kind;	/* "oauth", "cert" */
	struct sv realm;	/* who vouches; may be empty; holds no '#' */
	struct sv name;		/* of the caller there; any bytes */
	bool odd;		/* the name could be taken for one of another sort */
};
/* "kind:realm#name", without a realm "kind:name". Different callers never get the same: a name that
 * does not fit, is odd, begins with '~', begins or ends with a blank, is no UTF-8 or holds what cannot
 * be seen (control characters, other directions, other blanks) is not cut but put as '~' and the
 * base64url of a SHA-256 over all parts. */
void principal_make(const struct principal_parts *p, char ret[SUP_PRINCIPAL_SIZE]);

#endif
