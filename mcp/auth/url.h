/* url.h: an https URL taken apart, strictly. Private to the room. Pure. */
#ifndef AUTH_URL_H
#define AUTH_URL_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

struct url {
	char host[256];		/* without the brackets of an IPv6 address */
	char port[8];
	char authority[300];	/* for Host */
	char path[1024];	/* with the query; begins with '/' */
};
/* Printable ASCII, scheme https, no user, no fragment. */
int url_parse(struct sv text, struct url *ret, struct err *e);

#endif
