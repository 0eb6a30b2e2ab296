/* log.h: one line per event on stderr, `level role key=value ...`; never on stdout.
 *
 * Values that came from outside are escaped by log_esc: nothing in a line can forge another line
 * or drive a terminal. Lines are at most 1,024 bytes and written with one write(2). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

/* role is borrowed for ever (a literal). Default: warn, "fumehood". */
void log_open(const char *role, enum log_level level);
enum log_level log_level(void);
/* -1 when name is none of error, warn, info, debug. */
int log_level_of(struct sv name, enum log_level *ret);
const char *log_level_name(enum log_level level);
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* event=... code=... cause="...", and remediation="..." where one was set */
void log_err(const char *event, const struct err *e);
/* s with everything but printable ASCII as \xNN, cut at size-1 bytes; returns dst. */
const char *log_esc(struct sv s, char *dst, size_t size);

#endif
