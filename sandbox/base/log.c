/* log.c: key=value lines on stderr. */
#include "sandbox/base/log.h"

#include "sandbox/base/mem.h"

#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

static const char *const names[] = {[LOG_ERROR] = "error",
				    [LOG_WARN] = "warn",
				    [LOG_INFO] = "info",
				    [LOG_DEBUG] = "debug"};
_Static_assert(sizeof(names) / sizeof(*names) == LOG_LEVEL_COUNT, "one name per level");

static const char *my_role = "fumehood";
static enum log_level my_level = LOG_WARN;

void log_open(const char *role, enum log_level level)
{
	my_role = role;
	my_level = level;
}

enum log_level log_level(void)
{
	return my_level;
}

int log_level_of(struct sv name, enum log_level *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (sv_eq(name, sv_of(names[i]))) {
			*ret = (enum log_level)i;
			return 0;
		}
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return (unsigned)level < ARRAY_LEN(names) ? names[level] : "?";
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	struct pollfd out = {STDERR_FILENO, POLLOUT, 0};
	char line[1024];
	va_list ap;
	size_t n;
	int k;

	if (level > my_level)
		return;
	k = snprintf(line, sizeof(line), "%s %s pid=%d ", names[level], my_role,
		     (int)getpid());
	n = k < 0 ? 0 : (size_t)k;
	va_start(ap, fmt);
	k = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	n = k < 0 ? n : n + (size_t)k;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* a reader that stalls loses lines; it must not stall us */
	if (poll(&out, 1, 0) < 1 || !(out.revents & POLLOUT))
		return;
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody left to tell */
}

void log_err(const char *event, const struct err *e)
{
	char cause[400], fix[400];

	log_esc(sv_of(e->cause), cause, sizeof(cause));
	log_esc(sv_of(e->remediation), fix, sizeof(fix));
	log_msg(LOG_ERROR, "event=%s code=%s cause=\"%s\"%s%s%s", event,
		err_code_name(e->code), cause, *fix ? " remediation=\"" : "", fix,
		*fix ? "\"" : "");
}

const char *log_esc(struct sv s, char *dst, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && n + 5 < size; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			dst[n++] = (char)c;
		else
			n += (size_t)snprintf(dst + n, size - n, "\\x%02x", c);
	}
	dst[n] = '\0';
	return dst;
}
