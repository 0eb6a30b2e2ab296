/* t_err.c: the first error wins; every code has words. */
#include "sandbox/base/err.h"

#include "tests/lib/tap.h"

#include <errno.h>
#include <stdbool.h>

static void t_set(void)
{
	struct err e = {.code = ERR_NONE};

	ok(err_set(&e, ERR_LIMIT, "%d of %s", 3, "x") == -1 && e.code == ERR_LIMIT &&
		   !strcmp(e.cause, "3 of x") && !e.sys,
	   "an error is set and -1 returned");
	err_set(&e, ERR_INTERNAL, "later");
	errno = ENOENT;
	err_sys(&e, "later still");
	ok(e.code == ERR_LIMIT && !strcmp(e.cause, "3 of x") && !e.sys,
	   "the first one wins");
	ok(!strcmp(err_remediation(&e), "send less, or wait for running calls to end"),
	   "its code tells what to do");
	ok(err_fix(&e, "use %s", "y") == -1 && !strcmp(err_remediation(&e), "use y"),
	   "unless something better was said");
	err_clear(&e);
	ok(e.code == ERR_NONE && !e.cause[0] && !e.remediation[0], "cleared is as new");
}

static void t_sys(void)
{
	struct err e = {.code = ERR_NONE};

	errno = ENOENT;
	ok(err_sys(&e, "open %s", "f") == -1 && e.code == ERR_INTERNAL &&
		   e.sys == ENOENT &&
		   !strcmp(e.cause, "open f: No such file or directory"),
	   "a failed call says which and why");
}

static void t_null(void)
{
	errno = EIO;
	ok(err_set(NULL, ERR_BUSY, "x") == -1 && err_sys(NULL, "x") == -1 &&
		   err_fix(NULL, "x") == -1,
	   "nobody need listen");
	err_clear(NULL);
}

static void t_long(void)
{
	struct err e = {.code = ERR_NONE};

	errno = ENOENT;
	err_sys(&e, "%01000d", 7);
	ok(strlen(e.cause) == sizeof(e.cause) - 1, "a long cause is cut to its room");
	err_fix(&e, "%01000d", 7);
	ok(strlen(e.remediation) == sizeof(e.remediation) - 1,
	   "so is a long remediation");
}

static void t_names(void)
{
	bool words = true;

	for (int i = 0; i < ERR_CODE_COUNT; i++) {
		struct err e = {.code = (enum err_code)i};

		words = words && *err_code_name(e.code) && *err_remediation(&e);
	}
	ok(words, "every code has a name and a remedy");
	ok(!strcmp(err_code_name(ERR_NOT_FOUND), "not_found") &&
		   !strcmp(err_code_name((enum err_code)999), "internal") &&
		   !strcmp(err_code_name((enum err_code) - 1), "internal"),
	   "a code from nowhere is internal");
}

int main(void)
{
	t_set();
	t_sys();
	t_null();
	t_long();
	t_names();
	return tap_done();
}
