/* t_front_http.c: a front that serves HTTP and was taken over: what it can still do, and what not. */
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int listening, client;

static bool accepts(void)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool good = fd >= 0 && write(fd, "x", 1) == 1;

	close(fd);
	return good;
}

static bool opens(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool starts(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid > 0;
}

static bool executes(void)
{
	char name[] = "true";
	char *const argv[] = {name, NULL};

	execv("/bin/true", argv); /* in the control: ends with 0 */
	return false;
}

static bool makes_sockets(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool listens(void)
{
	return !listen(listening, 1);
}

static bool maps_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) != MAP_FAILED;
}

static bool kills(void)
{
	return !kill(getppid(), 0);
}

static const struct {
	const char *what;
	bool (*can)(void);
	bool confined; /* also then */
} rows[] = {
	{"accept a connection and write to it", accepts, true},
	{"open a file", opens, false},
	{"start a process", starts, false},
	{"execute a program", executes, false},
	{"make a socket", makes_sockets, false},
	{"listen elsewhere", listens, false},
	{"map memory as code", maps_code, false},
	{"signal the process that started it", kills, false},
};

/* In a child: does it work? */
static bool tried(unsigned i, bool confined)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t n = sizeof(at);
	struct err e = {0};
	int status;
	pid_t pid;

	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(!bind(listening, (struct sockaddr *)&at, n) && !listen(listening, 8));
	must(!getsockname(listening, (struct sockaddr *)&at, &n));
	must(!connect(client, (struct sockaddr *)&at, n));
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		signal(SIGSYS, SIG_DFL);
		if (confined && launch_role_confine(LAUNCH_FRONT_HTTP, NULL,
						    launch_front_uid(0), &e))
			_exit(99);
		_exit(rows[i].can() ? 0 : 1);
	}
	must(waitpid(pid, &status, 0) == pid);
	must(!WIFEXITED(status) || WEXITSTATUS(status) != 99);
	close(listening);
	close(client);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		ok(tried(i, false), "the control: unconfined it can %s", rows[i].what);
		ok(tried(i, true) == rows[i].confined, "confined it %s %s",
		   rows[i].confined ? "can" : "cannot", rows[i].what);
	}
	return tap_done();
}
