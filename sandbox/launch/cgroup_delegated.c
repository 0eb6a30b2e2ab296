/* cgroup_delegated.c: may an ordinary user make cgroups of its own in the one it is in (v2)?
 *
 * That the folder can be written proves nothing: systemd gives every unit of a user manager to the
 * user. In one that is not delegated systemd empties subtree_control at its next reload, and the
 * limits are gone without a word; and an out-of-memory kill in a sandbox ends the whole unit
 * (OOMPolicy=stop). So systemd is asked (systemd.resource-control(5), Delegate=). */
#include "sandbox/launch/cgroup.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

extern char **environ;

/* systemd's units end so; any other folder was made by somebody who meant it. */
static bool is_unit(struct sv name)
{
	return sv_ends(name, SV(".scope")) || sv_ends(name, SV(".service")) ||
	       sv_ends(name, SV(".slice"));
}

/* Set by system managers since 250 or so; user managers of that age do not. */
static bool is_marked(int dir)
{
	char value[8];
	ssize_t n = fgetxattr(dir, "user.delegate", value, sizeof(value));

	return n == 1 && value[0] == '1';
}

/* What `systemctl --user show -p Delegate --value UNIT` prints starts with "yes". */
static bool manager_says_yes(const char *unit)
{
	char words[][16] = {"systemctl", "--user", "show", "-p", "Delegate", "--value"};
	char name[256];
	char *const argv[] = {words[0], words[1], words[2], words[3],
			      words[4], words[5], name,	    NULL};
	AUTO_FD program = open("/usr/bin/systemctl", O_RDONLY | O_CLOEXEC);
	AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int out[2];
	char said[8] = "";
	pid_t pid;

	if (program < 0 || null < 0 || sv_copy(sv_of(unit), name, sizeof(name)) ||
	    name[0] == '-' || fd_pipe(out, NULL))
		return false;
	const int fds[3] = {null, out[1], null};
	pid = child_start(&(struct child_plan){.program = program,
					       .argv = argv,
					       .envp = environ,
					       .fds = fds,
					       .nfds = 3,
					       .parent = getpid(),
					       .death_signal = SIGKILL},
			  NULL, NULL);
	fd_close(&out[1]);
	if (pid > 0 && read(out[0], said, sizeof(said) - 1) < 3)
		said[0] = '\0';
	fd_close(&out[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return sv_starts(sv_of(said), SV("yes"));
}

bool cgroup_is_delegated(int dir, const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return geteuid() == 0 || !is_unit(sv_of(name)) || is_marked(dir) ||
	       manager_says_yes(name);
}
