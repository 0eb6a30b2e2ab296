/* installer.c: programs of the host that the operator has run, in the foreground: package managers.
 *
 * Unlike everything else that is started they keep the operator's environment, where their configuration is
 * (an index, a proxy, certificates), and whatever rights the operator has. Nothing a client sends gets
 * here: the commands that use it serve nobody. */
#include "sandbox/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void installer_main(const struct launch_installer *i, int in,
				     pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) || getppid() != parent ||
	    fchdir(i->dir) || dup2(in, STDIN_FILENO) < 0 ||
	    dup2(i->out, STDOUT_FILENO) < 0 ||
	    (i->quiet && dup2(in, STDERR_FILENO) < 0) ||
	    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
		_exit(126);
	execve(i->path, i->argv, i->envp ? i->envp : environ);
	_exit(errno == ENOENT ? 127 : 126);
}

int launch_installer(const struct launch_installer *i, int *ret_status, struct err *e)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), status = 0;
	const pid_t parent = getpid();
	pid_t pid = null < 0 ? -1 : fork();

	if (!pid)
		installer_main(i, null, parent);
	if (null >= 0)
		close(null);
	if (pid < 0)
		return err_sys(e, "start %.100s", i->path);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "wait for %.100s", i->path);
	*ret_status = status;
	return 0;
}
