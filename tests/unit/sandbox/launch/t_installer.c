/* t_installer.c: a program of the operator's: where it works, what it is given, how it ends. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char shell[] = "/bin/sh", option[] = "-c";
static char answer[4096];

/* Runs a line of shell in /usr; its output is in answer. */
static int run(char *line, char *const *envp, bool quiet)
{
	char *const argv[] = {shell, option, line, NULL};
	AUTO_FD dir = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD out = memfd_create("out", MFD_CLOEXEC);
	int status = -1;
	ssize_t n;

	must(dir >= 0 && out >= 0);
	if (launch_installer(&(struct launch_installer){.path = shell,
							.argv = argv,
							.envp = envp,
							.dir = dir,
							.out = out,
							.quiet = quiet},
			     &status, NULL))
		return -1;
	n = pread(out, answer, sizeof(answer) - 1, 0);
	answer[n > 0 ? n : 0] = '\0';
	return status;
}

static void runs(void)
{
	char none[] = "exit 0", seven[] = "exit 7", killed[] = "kill -9 $$";
	char where[] = "pwd; cat", fds[] = "ls /proc/self/fd",
	     env[] = "echo $T_INSTALLER";
	char loud[] = "echo heard >&2", row[] = "T_INSTALLER=given";
	char *const given[] = {row, NULL};

	ok(run(none, NULL, false) == 0, "it ends well");
	ok(WEXITSTATUS(run(seven, NULL, false)) == 7, "or with a status");
	ok(WTERMSIG(run(killed, NULL, false)) == SIGKILL, "or by a signal");
	ok(!run(where, NULL, false) && !strcmp(answer, "/usr\n"),
	   "it works in the folder, and has nothing to read");
	ok(!run(fds, NULL, false) && !strcmp(answer, "0\n1\n2\n3\n"),
	   "no descriptor but the three (and ls' own)");
	must(!setenv("T_INSTALLER", "inherited", 1));
	ok(!run(env, NULL, false) && !strcmp(answer, "inherited\n"),
	   "it has the operator's environment");
	ok(!run(env, given, false) && !strcmp(answer, "given\n"),
	   "or the one it is given");
	ok(!run(loud, NULL, true), "a quiet one's complaints go nowhere");
}

static void absent(void)
{
	char name[] = "/nonexistent/program";
	char *const argv[] = {name, NULL};
	AUTO_FD dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status = 0;

	ok(!launch_installer(&(struct launch_installer){.path = name,
							.argv = argv,
							.dir = dir,
							.out = 1,
							.quiet = true},
			     &status, NULL) &&
		   WEXITSTATUS(status) == 127,
	   "a program that is not there");
}

/* The program says that it runs, then waits for ever; its pipe ends with it. */
static void orphans(void)
{
	char line[] = "echo up; exec sleep 1000";
	char *const argv[] = {shell, option, line, NULL};
	struct pollfd p = {.events = POLLIN};
	int up[2], status;
	char got[3];
	pid_t pid;

	must(!fd_pipe(up, NULL));
	pid = fork();
	if (!pid) {
		AUTO_FD dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		launch_installer(
			&(struct launch_installer){
				.path = shell, .argv = argv, .dir = dir, .out = up[1]},
			&status, NULL);
		_exit(0);
	}
	fd_close(&up[1]);
	must(read(up[0], got, sizeof(got)) == 3);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	p.fd = up[0];
	ok(poll(&p, 1, 20000) == 1 && !read(up[0], got, 1),
	   "it does not outlive who started it");
	fd_close(&up[0]);
}

int main(void)
{
	runs();
	absent();
	orphans();
	return tap_done();
}
