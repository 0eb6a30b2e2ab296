/* err.c: {code, cause, remediation}. */
#include "sandbox/base/err.h"

#include <errno.h>
#include <stdarg.h>

static const struct {
	const char *name, *remediation;
} codes[] = {
	[ERR_NONE] = {"none", "nothing to do"},
	[ERR_INVALID] = {"invalid", "correct the request and send it again"},
	[ERR_NOT_FOUND] = {"not_found",
			   "use a name or handle that exists; sandbox_info lists them"},
	[ERR_LIMIT] = {"limit", "send less, or wait for running calls to end"},
	[ERR_DENIED] = {"denied", "ask the operator to change the policy"},
	[ERR_UNAUTHENTICATED] =
		{"unauthenticated",
		 "send a valid API key or token as Authorization: Bearer"},
	[ERR_FORBIDDEN] = {"forbidden", "use a credential that is allowed to do this"},
	[ERR_BUSY] = {"busy", "try again in a moment"},
	[ERR_UNAVAILABLE] = {"unavailable",
			     "run `fumehood doctor` on the host and follow it"},
	[ERR_LOST] =
		{"lost",
		 "restart the server; `fumehood audit list` shows what was recorded"},
	[ERR_INTERNAL] = {"internal", "see the server's log on stderr; try again"},
};
_Static_assert(sizeof(codes) / sizeof(*codes) == ERR_CODE_COUNT, "one row per code");

static void fill(struct err *e, enum err_code code, int sys, const char *fmt,
		 va_list ap)
{
	size_t n;

	if (!e || e->code)
		return;
	e->code = code;
	e->sys = sys;
	vsnprintf(e->cause, sizeof(e->cause), fmt, ap);
	n = strlen(e->cause);
	if (sys)
		snprintf(e->cause + n, sizeof(e->cause) - n, ": %s", strerror(sys));
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, code, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int sys = errno;
	va_list ap;

	va_start(ap, fmt);
	fill(e, ERR_INTERNAL, sys, fmt, ap);
	va_end(ap);
	return -1;
}

int err_fix(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vsnprintf(e->remediation, sizeof(e->remediation), fmt, ap);
	va_end(ap);
	return -1;
}

void err_clear(struct err *e)
{
	if (e)
		*e = (struct err){0};
}

const char *err_code_name(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? codes[code].name : "internal";
}

const char *err_remediation(const struct err *e)
{
	return e->remediation[0] ? e->remediation
				 : codes[e->code % ERR_CODE_COUNT].remediation;
}
