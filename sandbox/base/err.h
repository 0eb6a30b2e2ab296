/* err.h: what went wrong, in words an agent or a person can act on.
 *
 * A struct err lives on the caller's stack and never allocates. Fallible functions take one as
 * their last argument, fill it and return -1; the first error wins until err_clear(). Every error a
 * caller sees is {code, cause, remediation}; the code is one of a closed list. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err_code {
	ERR_NONE,
	ERR_INVALID,	 /* the request is malformed or out of range: change it */
	ERR_NOT_FOUND,	 /* no such language, handle, file */
	ERR_LIMIT,	 /* a ceiling of ours was reached: smaller, fewer or later */
	ERR_DENIED,	 /* policy says no */
	ERR_UNAUTHENTICATED, /* who is calling is not known: show a credential */
	ERR_FORBIDDEN,	 /* known, but not allowed this */
	ERR_BUSY,	 /* try again later */
	ERR_UNAVAILABLE, /* this host cannot do it: run doctor */
	ERR_LOST,	 /* a process of ours died underneath the request */
	ERR_INTERNAL,	 /* our own fault or the operating system's */
	ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	int sys;		/* errno where there was one, else 0 */
	char cause[320];
	char remediation[320];
};

/* All return -1, so that `return err_set(e, ...)` reads well. e may be NULL. */
int err_set(struct err *e, enum err_code code, const char *cause_fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* ERR_INTERNAL with ": strerror(errno)" appended. */
int err_sys(struct err *e, const char *cause_fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds what to do about the error already set. */
int err_fix(struct err *e, const char *remediation_fmt, ...)
	__attribute__((format(printf, 2, 3)));
void err_clear(struct err *e);
/* "invalid", "not_found", ...: the code as it stands on the wire. Never NULL. */
const char *err_code_name(enum err_code code);
/* The remediation, or the code's general one where none was set. Never empty. */
const char *err_remediation(const struct err *e);

#endif
