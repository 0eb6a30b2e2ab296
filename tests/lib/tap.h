/* tap.h: a unit test is a main() of ok() lines and tap_done(); run by prove. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdarg.h>
#include <stdio.h>

static int tap_count, tap_bad;

/* One checked fact; the text says what must hold. Evaluates to the condition. */
#define ok(cond, ...) tap_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static inline int tap_ok(int good, const char *file,
							       int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	if (!good) {
		tap_bad++;
		printf("# failed at %s:%d\n", file, line);
	}
	fflush(stdout);
	return good;
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_bad != 0;
}

#endif
