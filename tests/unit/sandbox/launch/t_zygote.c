/* t_zygote.c: sandboxes that keep a zygote: who can have one, what they have of the host's uids, and their end; an image;
 * cells that run into their limits. As root and as an ordinary user. */
#include "sandbox/launch/zygote.h"
#include "tests/unit/sandbox/launch/cell_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

static struct plan *python(void)
{
	return plan_of(host, POL_RUN_CODE, "python", NULL);
}

static void is_refused(void)
{
	struct launch_sandbox s;
	struct err e = {0};

	ok(launch_zygote_driver("python") && !launch_zygote_driver("python")->ahead &&
		   launch_zygote_driver("javascript")->ahead &&
		   !launch_zygote_driver("bash") && !launch_zygote_driver(""),
	   "the table says which runtimes have a zygote");
	ok(launch_zygote(host, plan_of(host, POL_RUN_CODE, "bash", NULL), &s, &e) &&
		   e.code == ERR_INVALID,
	   "a language without");
	err_clear(&e);
	ok(launch_zygote(host, plan_of(host, POL_RUN_COMMAND, "", NULL), &s, &e) &&
		   e.code == ERR_INVALID,
	   "a command");
}

static bool taken(void)
{
	for (unsigned i = 0; i < LAUNCH_MAX_ZYGOTES; i++)
		if (host->zygote_taken[i])
			return true;
	return false;
}

/* Root's sandboxes alone need any. */
static void needs_uids(void)
{
	const uint32_t max = host->max_zygotes;
	struct launch_sandbox s;
	struct err e = {0};

	if (geteuid()) {
		ok(!host->max_zygotes && open_zygote(python()) && !taken() &&
			   close_zygote(),
		   "an ordinary user's cells need no uids");
		return;
	}
	host->max_zygotes = 0;
	ok(launch_zygote(host, python(), &s, &e) && e.code == ERR_UNAVAILABLE &&
		   strstr(e.remediation, "--uid-base"),
	   "where there are no uids there are no cells, and it is said why");
	err_clear(&e);
	host->max_zygotes = 1;
	must(open_zygote(python()));
	ok(taken() && launch_zygote(host, python(), &s, &e) && e.code == ERR_BUSY,
	   "when all are in use, there is no other zygote");
	ok(close_zygote() && !taken(), "they are free with its end");
	ok(open_zygote(python()) && close_zygote(), "for the next");
	host->max_zygotes = max;
}

static bool overlap(uint32_t a, uint32_t na, uint32_t b, uint32_t nb)
{
	return a < b + nb && b < a + na;
}

static void has_its_own(void)
{
	const uint32_t n = LAUNCH_MAX_ZYGOTES * GUEST_CELLS;
	struct launch_host *first = host, *other;

	if (geteuid())
		return;
	must(!open_host(NULL));
	other = host;
	ok(other->max_zygotes && !overlap(first->cells_base, n, other->cells_base, n),
	   "two servers have different uids for cells");
	ok(!overlap(first->cells_base, n, first->uid_base, HOST_MAX_UIDS + 8) &&
		   !overlap(first->cells_base, n, other->uid_base, HOST_MAX_UIDS + 8) &&
		   !overlap(other->cells_base, n, first->uid_base, HOST_MAX_UIDS + 8),
	   "which are no sandbox's");
	launch_host_free(other);
	must(!open_host_at(700000, NULL));
	other = host;
	ok(other->uid_base == 700000 &&
		   other->cells_base == launch_fetch_uid(700000) + 6 &&
		   other->max_zygotes == LAUNCH_MAX_ZYGOTES,
	   "in a range of the operator's they are right after the server's");
	launch_host_free(other);
	host = first;
}

/* The sandbox dies with cells that wait, and one that runs. */
static void ends_with_cells(void)
{
	struct test_cell wait, run;

	must(open_zygote(python()) && make_cell(&wait) && make_cell(&run));
	must(give_code(&run, "import time\nprint(1, flush=True)\ntime.sleep(1000)"));
	must(read(run.out, (char[1]){0}, 1) == 1);
	launch_sandbox_kill(&box, 1);
	ok(await(box_gone, NULL), "a zygote's sandbox ends with its cells");
	ok(taken() == !geteuid(), "whose uids are not free yet");
	launch_cell_kill(&box, &wait.cell);
	ok(close_cell(&wait) && close_cell(&run) && !taken(), "then they are");
}

/* One after the other in the same cgroup, unless something has happened there. */
static void reuses_cgroups(void)
{
	struct pol_limits small = pol_default()->limits;
	AUTO_FD held = -1;
	struct test_cell c;
	char name[sizeof(c.cell.cgroup.name)];

	if (launch_facts(host)->cgroup != LAUNCH_CG_V1)
		return;
	small.processes = 2;
	must(open_zygote(plan_of(host, POL_RUN_CODE, "python", &small)) &&
	     make_cell(&c));
	memcpy(name, c.cell.cgroup.name, sizeof(name));
	must(give_code(&c, "print(1)") && await_ended(&c) == 0 && close_cell(&c));
	must(make_cell(&c));
	ok(!strcmp(name, c.cell.cgroup.name) && box.zygote->nspares == 0,
	   "a cgroup is used again");
	must(give_code(&c, "import os\n"
			   "try:\n"
			   "    if os.fork() == 0: __import__('time').sleep(1000)\n"
			   "    os.fork()\n"
			   "except OSError: pass\n"));
	must(await_ended(&c) == 0);
	ok(close_cell(&c) && box.zygote->nspares == 0,
	   "not when a limit was reached in it");
	must(make_cell(&c));
	held = fcntl(c.workspace, F_DUPFD_CLOEXEC, 0);
	must(give_code(&c, "open('f', 'wb').write(bytes(2 << 20))"));
	must(await_ended(&c) == 0);
	ok(close_cell(&c) && box.zygote->nspares == 0,
	   "nor while files of its program are memory there");
	ok(close_zygote(), "the others go with the zygote");
}

/* As many as it may have; then it says how many that were. */
static const char forks[] = "import os, signal\n"
			    "n = 0\n"
			    "try:\n"
			    "    while True:\n"
			    "        if os.fork() == 0: signal.pause()\n"
			    "        n += 1\n"
			    "except OSError: print(n, flush=True)\n";

static void bump_into_limits(void)
{
	const bool groups = launch_facts(host)->cgroup != LAUNCH_CG_NONE;
	struct pol_limits small = pol_default()->limits;
	struct launch_usage u;
	const char *out = "";
	int status;

	small.memory_bytes = 64 << 20;
	small.processes = 10;
	small.open_files = 77;
	must(open_zygote(plan_of(host, POL_RUN_CODE, "python", &small)));
	ok(run_cell(
		   "import resource\nprint(*resource.getrlimit(resource.RLIMIT_NOFILE))",
		   &out, NULL) == 0 &&
		   !strcmp(out, "77 77\n"),
	   "each cell is under the plan's limits");
	status = run_cell("x = bytearray(b'x' * (100 << 20))\nprint(len(x))", &out, &u);
	ok(groups ? status == SIGKILL && u.oom_kills : status == 1 << 8 && !*out,
	   "memory is bounded");
	status = run_cell(forks, &out, &u);
	ok(status == 0 && !strcmp(out, groups ? "9\n" : "10\n") &&
		   (u.pids_denied || !groups),
	   "processes are: %s", out);
	ok(run_cell("pass", NULL, &u) == 0 && !u.oom_kills && !u.pids_denied,
	   "the next cell has nothing of it");
	ok(close_zygote(), "nothing is left");
}

/* What a limit of processes comes to, with and without a user namespace of one's own. */
static bool may_fork(bool own_users)
{
	const struct rlimit ten = {10, 10};
	pid_t pid = fork(), child;
	int status = -1;

	if (!pid) {
		if ((own_users && unshare(CLONE_NEWUSER)) ||
		    setrlimit(RLIMIT_NPROC, &ten))
			_exit(2);
		child = fork();
		_exit(child < 0);
	}
	must(waitpid(pid, &status, 0) == pid && status != 2 << 8);
	return !status;
}

/* Those of one cell are not another's, whosever they all are. */
static void are_counted_apart(void)
{
	struct pol_limits small = pol_default()->limits;
	char stays[sizeof(forks) + 20];
	const char *out = "";
	struct test_cell c;
	int status;

	small.processes = 10;
	must(open_zygote(plan_of(host, POL_RUN_CODE, "python", &small)));
	must(make_cell(&c));
	snprintf(stays, sizeof(stays), "%ssignal.pause()\n", forks);
	must(give_code(&c, stays));
	must(read(c.out, (char[1]){0}, 1) == 1);
	status = run_cell(forks, &out, NULL);
	ok(status == 0 && !strcmp(out, launch_facts(host)->cgroup ? "9\n" : "10\n"),
	   "beside one that has all it may have another has its own: %s", out);
	if (geteuid())
		ok(!may_fork(false) && may_fork(true),
		   "which its user namespace does: without, they would be the user's");
	launch_cell_kill(&box, &c.cell);
	ok(await_ended(&c) == SIGKILL && close_cell(&c), "a kill takes them all");
	ok(close_zygote(), "nothing is left");
}

static void has_an_image(void)
{
	char name[] = "/tmp/t_zygote.XXXXXX", path[64];
	const char *out = "";
	int dir, file;

	must(mkdtemp(name) && !chmod(name, 0755));
	snprintf(path, sizeof(path), "%s/python", name);
	must(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/python/of_the_image.py", name);
	file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	must(file >= 0 && !fd_write_all(file, "x = 'there'\n", 12) && !close(file));
	dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!open_host(&dir)) {
		ok(open_zygote(python()) &&
			   run_cell("import of_the_image; print(of_the_image.x)", &out,
				    NULL) == 0 &&
			   !strcmp(out, "there\n"),
		   "a server with an image has cells, with its packages");
		ok(close_zygote(), "nothing is left");
		launch_host_free(host);
	} else {
		ok(false, "a server with an image");
	}
	fd_close(&dir);
	must(!unlink(path));
	snprintf(path, sizeof(path), "%s/python", name);
	must(!rmdir(path) && !rmdir(name));
}

static int all(void)
{
	if (open_host(NULL))
		return 1;
	is_refused();
	needs_uids();
	has_its_own();
	ends_with_cells();
	reuses_cgroups();
	bump_into_limits();
	are_counted_apart();
	launch_host_free(host);
	has_an_image();
	return tap_done();
}

int main(void)
{
	if (!geteuid())
		ok(!as_user(all), "as an ordinary user");
	return all();
}
