/* t_take_over.c: after stdio_take_over nothing but the transport can reach the protocol. */
#include "mcp/transport/transport.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bits of the child's exit code: what did not hold. */
enum { BAD_FDS = 1, BAD_CLOEXEC = 2, BAD_STDIN = 4, BAD_FLAGS = 8, BAD_CALL = 16 };

static int check_child(void)
{
	int in = -1, out = -1, bad = 0;
	char c;

	if (stdio_take_over(&in, &out, NULL))
		return BAD_CALL;
	if (in < 3 || out < 3)
		bad |= BAD_FDS;
	if (!(fcntl(in, F_GETFD) & FD_CLOEXEC) || !(fcntl(out, F_GETFD) & FD_CLOEXEC))
		bad |= BAD_CLOEXEC;
	if (read(STDIN_FILENO, &c, 1) != 0)
		bad |= BAD_STDIN;
	if (!(fcntl(in, F_GETFL) & O_NONBLOCK) || !(fcntl(out, F_GETFL) & O_NONBLOCK))
		bad |= BAD_FLAGS;
	if (fd_write_all(STDOUT_FILENO, "noise\n", 6))
		bad |= BAD_FDS;
	fd_write_all(out, "signal\n", 7);
	return bad;
}

static void drain(int fd, char *dst, size_t size)
{
	size_t n = 0;
	ssize_t k;

	while (n < size - 1 && (k = read(fd, dst + n, size - 1 - n)) > 0)
		n += (size_t)k;
	dst[n] = '\0';
}

static void run(bool stderr_is_stdout, int *ret_bad, char *ret_out, char *ret_err)
{
	int in[2], out[2], err[2], status = -1;
	pid_t pid;

	must(!fd_pipe(in, NULL) && !fd_pipe(out, NULL) && !fd_pipe(err, NULL));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(stderr_is_stdout ? out[1] : err[1], 2);
		_exit(check_child());
	}
	waitpid(pid, &status, 0);
	*ret_bad = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	ok(!(fcntl(in[0], F_GETFL) & O_NONBLOCK) &&
		   !(fcntl(out[1], F_GETFL) & O_NONBLOCK),
	   "the descriptions shared with the parent keep their flags");
	close(out[1]);
	close(err[1]);
	drain(out[0], ret_out, 64);
	drain(err[0], ret_err, 64);
	close(in[0]), close(in[1]), close(out[0]), close(err[0]);
}

static int closed_child(int fd)
{
	int in, out;
	struct err e = {0};

	close(fd);
	if (!stdio_take_over(&in, &out, &e))
		return in >= 3 && out >= 3 ? 0 : 2;
	return e.code ? 1 : 3;
}

static int run_closed(int fd)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(closed_child(fd));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
	char out[64], err[64];
	int bad;

	run(false, &bad, out, err);
	ok(!bad,
	   "both are moved to CLOEXEC descriptors over 2, stdin is empty (bits %d)",
	   bad);
	ok(!strcmp(out, "signal\n"), "what is printed does not reach the protocol: %s",
	   out);
	ok(!strcmp(err, "noise\n"), "it goes to stderr");
	run(true, &bad, out, err);
	ok(!bad && !strcmp(out, "signal\n"),
	   "not even when stderr is the same pipe as stdout (bits %d): %s", bad, out);
	ok(run_closed(0) == 0, "a closed stdin is an empty one");
	ok(run_closed(1) == 1, "a closed stdout is an error");
	ok(run_closed(2) == 0, "a closed stderr is none");
	return tap_done();
}
