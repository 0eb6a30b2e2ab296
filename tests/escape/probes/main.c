/* main.c: runs each attack in a child of its own and prints what came of it.
 *
 * Theory of operation: the child writes its finding into a page it shares with the
 * parent, so that an attack which is killed half-way (seccomp, a signal) has still said
 * nothing, and the parent names the signal. The child leads its own session; after it
 * ended or its time is up, everything in that session's process group is killed. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROBE_TIMEOUT_S 2

bool probe_had_terminal;

static const struct probe *const groups[] = {
	probes_files,	probes_proc,	 probes_namespaces, probes_calls,
	probes_tracing, probes_terminal, probes_sockets,    probes_devices,
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static struct timespec left_until(const struct timespec *end)
{
	struct timespec now, left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left.tv_sec = end->tv_sec - now.tv_sec;
	left.tv_nsec = end->tv_nsec - now.tv_nsec;
	if (left.tv_nsec < 0) {
		left.tv_sec--;
		left.tv_nsec += 1000000000L;
	}
	return left;
}

/* The child's wait status, or -1 when its time was up. */
static int wait_for(pid_t child)
{
	struct timespec end;
	sigset_t chld;
	int st;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += PROBE_TIMEOUT_S;
	for (;;) {
		struct timespec left = left_until(&end);

		if (waitpid(child, &st, WNOHANG) == child && !WIFSTOPPED(st))
			return st;
		if (left.tv_sec < 0)
			return -1;
		sigtimedwait(&chld, NULL, &left);
	}
}

static void run_one(const struct probe *p, struct finding *f)
{
	sigset_t chld;
	pid_t child;
	int st;

	memset(f, 0, sizeof(*f));
	fflush(stdout);
	child = fork();
	if (child < 0) {
		found(f, UNKNOWN, "fork: %s", strerrorname_np(errno));
		return;
	}
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigemptyset(&chld);
		sigprocmask(SIG_SETMASK, &chld, NULL);
		setsid();
		errno = 0;
		p->run(f, p);
		_exit(0);
	}
	st = wait_for(child);
	kill(-child, SIGKILL);
	if (st == -1) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		found(f, UNKNOWN, "no answer in %d s", PROBE_TIMEOUT_S);
	} else if (WIFSIGNALED(st) && f->verdict == UNKNOWN) {
		found(f, BLOCKED, "killed by SIG%s", sigabbrev_np(WTERMSIG(st)));
	}
}

static bool is_named(const char *id, char **names)
{
	for (; *names; names++) {
		const char *n = *names;
		size_t k = strlen(n);

		if (!strcmp(n, "all") || !strcmp(n, id) ||
		    (k && n[k - 1] == '-' && !strncmp(id, n, k)))
			return true;
	}
	return false;
}

static void run(const struct probe *p, struct finding *f)
{
	static const char *const words[] = {"unknown", "open", "blocked"};

	run_one(p, f);
	for (char *c = f->detail; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	printf("%s %s %s\n", p->id, words[f->verdict], f->detail);
}

int main(int argc, char **argv)
{
	struct finding *f = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	sigset_t chld;

	if (tty >= 0)
		close(tty);
	probe_had_terminal = tty >= 0;
	if (argc < 2 || f == MAP_FAILED)
		return 2;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	for (size_t g = 0; g < GROUPS; g++)
		for (const struct probe *p = groups[g]; p->id; p++) {
			if (!strcmp(argv[1], "list"))
				printf("%s\n", p->id);
			else if (is_named(p->id, argv + 1))
				run(p, f);
		}
	return fflush(stdout) ? 1 : 0;
}
