/* standin.c: takes fork() and sched_yield() over as cell.so does, without rooms or confinement: what test_zygote.py drives.
 *
 * On the socket that STANDIN names: "F" and a folder, with the cell's line, stdout and stderr as descriptors, is
 * answered with a pid; "W" and a pid with {wait status, calls of _exit() since the last fork}. On its line a cell says "r" and waits
 * for one byte with the program and perhaps its stdin. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH_FD 64

static int orders = -1, line = -1;
static int *exits; /* shared by all forks */

static void *symbol(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void)
{
	const char *number = getenv("STANDIN");

	if (!number || !getenv("FUMEHOOD_ZYGOTE"))
		return;
	orders = (int)strtol(number, NULL, 10);
	fcntl(orders, F_SETFD, FD_CLOEXEC);
	exits = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsetenv("STANDIN");
	unsetenv("FUMEHOOD_ZYGOTE");
	unsetenv("LD_PRELOAD");
}

static ssize_t take(int from, void *bytes, size_t n, int fds[3], size_t *nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} c;
	struct iovec v = {bytes, n};
	struct msghdr h = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof(c.bytes)};
	const ssize_t got = recvmsg(from, &h, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *x = got > 0 ? CMSG_FIRSTHDR(&h) : NULL;

	*nfds = x ? (x->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	if (x)
		memcpy(fds, CMSG_DATA(x), *nfds * sizeof(int));
	return got;
}

static void become_cell(const char *folder, const int fds[3])
{
	int high[3];

	close(orders);
	orders = -1;
	setsid();
	if (chdir(folder))
		_exit(99);
	for (int i = 0; i < 3; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
	line = high[0];
	dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
	dup2(high[1], 1);
	dup2(high[2], 2);
	close(high[1]);
	close(high[2]);
}

static pid_t await_program(void)
{
	int fds[3];
	size_t n;
	char byte;

	if (write(line, "r", 1) != 1 || take(line, &byte, 1, fds, &n) <= 0 || !n)
		_exit(0);
	for (size_t i = 0; i < n; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
	if (n > 1)
		dup2(fds[1], 0);
	dup3(fds[0], 3, O_CLOEXEC);
	close_range(4, ~0U, 0);
	line = -1;
	return 0;
}

static pid_t serve(pid_t (*real)(void))
{
	char order[4096];
	int fds[3], status[2];
	size_t n;
	pid_t pid;

	for (;;) {
		const ssize_t got = take(orders, order, sizeof(order) - 1, fds, &n);

		if (got <= 0)
			_exit(0);
		order[got] = '\0';
		if (order[0] == 'F') {
			*exits = 0;
			pid = real();
			if (!pid) {
				become_cell(order + 1, fds);
				return 0;
			}
			for (size_t i = 0; i < n; i++)
				close(fds[i]);
			if (write(orders, &pid, sizeof(pid)) < 0)
				_exit(1);
			continue;
		}
		memcpy(&pid, order + 1, sizeof(pid));
		if (waitpid(pid, status, 0) != pid)
			status[0] = -errno;
		status[1] = *exits;
		if (write(orders, status, sizeof(status)) < 0)
			_exit(1);
	}
}

pid_t fork(void)
{
	pid_t (*real)(void);

	*(void **)&real = symbol("fork");
	if (line >= 0)
		return await_program();
	return orders < 0 ? real() : serve(real);
}

int sched_yield(void)
{
	return line >= 0 ? await_program() : 0;
}

void _exit(int status)
{
	void (*real)(int) __attribute__((noreturn));

	*(void **)&real = symbol("_exit");
	if (exits)
		++*exits;
	real(status);
}
