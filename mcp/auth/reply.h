/* reply.h: an HTTP/1.1 response, whole, as the fetch role got it -> its body. Private to the room.
 *
 * Strict (RFC 9112): status 200 and nothing else (no redirect is followed: where the keys are is
 * configured), a body whose end is certain by Content-Length or chunks. Pure. */
#ifndef AUTH_REPLY_H
#define AUTH_REPLY_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"

#define REPLY_MAX_HEAD 32768

enum reply_state { REPLY_MORE, REPLY_DONE, REPLY_BAD };
/* Of what has come so far. DONE: the body is appended to body, whose ceiling holds. BAD: e. `ended`: no
 * more will come. */
enum reply_state reply_read(struct sv bytes, bool ended, struct buf *body, struct err *e);

#endif
