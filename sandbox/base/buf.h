/* buf.h: a growing run of bytes with a hard ceiling.
 *
 * Life cycle: buf_init(b, max) -> add ... -> buf_finish(b). A zeroed struct is a valid empty
 * buffer with ceiling 0. Adding past `max` bytes, or without memory, changes nothing and makes the
 * buffer fail for good (b->failed): write many times, check once. `p` always has a NUL after the
 * last byte, not counted in n. After curl's dynbuf. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "sandbox/base/sv.h"

#include <stdarg.h>

struct buf {
	char *p;	/* owned; NULL while empty */
	size_t n;	/* bytes used */
	size_t cap;	/* bytes allocated */
	size_t max;	/* ceiling in bytes */
	bool failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_finish(struct buf *b);
void buf_reset(struct buf *b);			/* empty again, not failed, memory kept */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_sv(struct buf *b, struct sv s);
void buf_str(struct buf *b, const char *cstr);
void buf_byte(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vfmt(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_hex(struct buf *b, const void *p, size_t n);
/* Room for n more bytes, or NULL (then failed); commit what was written with buf_commit. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n);	/* drops n bytes from the front */
struct sv buf_view(const struct buf *b);	/* valid until the next change */
const char *buf_cstr(const struct buf *b);	/* "" when empty; valid until the next change */

/* Always with an initialiser, `AUTO_BUF b = {0};`: an early return finishes it too. */
#define AUTO_BUF __attribute__((cleanup(buf_finish))) struct buf

#endif
