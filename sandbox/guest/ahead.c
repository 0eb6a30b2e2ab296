/* ahead.c: ahead.so, preloaded into an interpreter that is to wait for its program (ahead.h).
 *
 * Theory of operation. The interpreter is started on a file that is not there yet. The first call by which it looks for it, of
 * those that are taken over here, is where it waits: all of its own start is done, and none of what it does with a program.
 *
 * What it would do for the first time with any program can be done ahead too: where it is built on V8, a script
 * (drivers/ahead.js) is run there, in the context that the program will have, but on no stack of its own, and as no
 * module. V8 is found by the names of its symbols, which have stood since 2018; all of what is given and returned are single
 * pointers. Where one is missing there is no such script. One that throws ends the cell: what it has left half done
 * could be seen.
 *
 * Nothing of this is run once the program is there, but that the calls go on to the C library by way of here. */
#include "sandbox/guest/ahead.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/files.h"
#include "sandbox/guest/line.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool waits; /* it has to, and has not yet */
static int first; /* of its descriptors */
static char file[256];

/* Its line closes with it; who waits for it there takes another way. */
static _Noreturn void fail(const char *stage)
{
	dprintf(2, "ahead: %s: errno %d\n", stage, errno);
	_exit(111);
}

/* The C library's. Another object may have begun before this one. */
static long (*real_syscall(void))(long number, ...)
{
	static long (*it)(long number, ...);
	void *found;

	if (!it) {
		/* what dlsym returns is no function pointer to ISO C */
		found = dlsym(RTLD_NEXT, "syscall");
		memcpy(&it, &found, sizeof(it));
	}
	return it;
}

/* --- V8 ----------------------------------------------------------------------------------------- */

/* Handles are pointers to what the garbage collector moves; the call that is under way holds a scope for them. */
static struct {
	void *(*isolate)(void);
	void *(*context)(void *isolate);
	void *(*string)(void *isolate, const char *text, int type, int length);
	void *(*compile)(void *context, void *source, void *origin);
	void *(*run)(void *script, void *context);
} v8;

static bool find_v8(void)
{
	static const struct {
		const char *name;
		void *at;
	} symbols[] = {
		{"_ZN2v87Isolate10GetCurrentEv", &v8.isolate},
		{"_ZN2v87Isolate17GetCurrentContextEv", &v8.context},
		{"_ZN2v86String11NewFromUtf8EPNS_7IsolateEPKcNS_13NewStringTypeEi",
		 &v8.string},
		{"_ZN2v86Script7CompileENS_5LocalINS_7ContextEEENS1_INS_6StringEEE"
		 "PNS_12ScriptOriginE",
		 &v8.compile},
		{"_ZN2v86Script3RunENS_5LocalINS_7ContextEEE", &v8.run},
	};

	for (unsigned i = 0; i < ARRAY_LEN(symbols); i++) {
		void *found = dlsym(RTLD_DEFAULT, symbols[i].name);

		if (!found)
			return false;
		memcpy(symbols[i].at, &found, sizeof(found));
	}
	return true;
}

static void run_script(const char *text, size_t n)
{
	void *isolate = v8.isolate(), *context, *source, *script = NULL;

	if (!isolate)
		fail("V8");
	context = v8.context(isolate);
	source = v8.string(isolate, text, 0, (int)n);
	if (source)
		script = v8.compile(context, source, NULL);
	if (!script || !v8.run(script, context))
		fail("what is to be run ahead");
}

static void warm_up(int driver_fd)
{
	static char text[65536];
	const size_t n = fd_read_at(driver_fd, 0, text, sizeof(text));

	if (n && n < sizeof(text) && find_v8())
		run_script(text, n);
	memset(text, 0, n);
	close(driver_fd);
}

/* --- the program -------------------------------------------------------------------------------- */

/* As files_unpack makes it. */
static int write_program(int from)
{
	AUTO_FD fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char part[16384];
	uint64_t done = 0;
	size_t n;

	if (fd < 0)
		return -1;
	while ((n = fd_read_at(from, done, part, sizeof(part)))) {
		if (fd_write_all(fd, part, n) ||
		    (!done && files_is_program((struct sv){part, n}) &&
		     fchmod(fd, 0755)))
			return -1;
		done += n;
	}
	return 0;
}

static void await_program(void)
{
	int fds[2];
	unsigned n;

	waits = false;
	warm_up(first + AHEAD_DRIVER);
	n = line_await(first + AHEAD_LINE, fds);
	if ((n == 2 && line_place(fds[1], 0, 0)) || write_program(fds[0]))
		fail("the program");
	close(fds[0]);
	close(first + AHEAD_LINE);
}

/* --- what it is held by -------------------------------------------------------------------------- */

static void look(const char *path)
{
	const int kept = errno;

	if (!waits || !path ||
	    (strcmp(path, file) != 0 && strcmp(path, strrchr(file, '/') + 1) != 0))
		return;
	await_program();
	errno = kept;
}

/* By other names here than those of the C library's headers, which may be macros. */
#define INSTEAD_OF(name) __asm__(name) __attribute__((visibility("default")))
long take_syscall(long number, ...) INSTEAD_OF("syscall");
int take_open(const char *path, int flags, ...) INSTEAD_OF("open");
int take_open64(const char *path, int flags, ...) INSTEAD_OF("open64")
	__attribute__((alias("open")));

/* More is read of the arguments than there may be: harmless, as it is in the C library. */
long take_syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (unsigned i = 0; i < ARRAY_LEN(a); i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (waits && number == SYS_statx) {
		const char *path;

		memcpy(&path, &a[1], sizeof(path));
		look(path);
	}
	return real_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int take_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list list;

	va_start(list, flags);
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		mode = va_arg(list, mode_t);
	va_end(list);
	look(path);
	return (int)real_syscall()(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* --- the beginning ------------------------------------------------------------------------------- */

/* Its bytes too: /proc/self/environ goes on to show them. What these two are is at the end of it. */
static void forget(const char *name)
{
	char *value = getenv(name);
	const size_t head = strlen(name) + 1;

	if (!value)
		return;
	unsetenv(name);
	memset(value - head, 0, head + strlen(value));
}

/* "N PATH" */
static bool read_mark(const char *mark)
{
	while (*mark >= '0' && *mark <= '9' && first < 1000)
		first = first * 10 + *mark++ - '0';
	if (*mark != ' ' || mark[1] != '/' || strlen(mark + 1) >= sizeof(file))
		return false;
	memcpy(file, mark + 1, strlen(mark + 1) + 1);
	return true;
}

__attribute__((constructor)) static void begin(void)
{
	const char *mark = getenv(AHEAD_MARK);

	if (!mark || !read_mark(mark))
		return;
	forget(AHEAD_MARK);
	forget("LD_PRELOAD");
	close(first + AHEAD_OBJECT);
	fd_set_cloexec(first + AHEAD_LINE, true);
	fd_set_cloexec(first + AHEAD_DRIVER, true);
	waits = true;
}
