/* t_cells.c: cells of a zygote, from their order to their end: under the limits that they should have, and counted by
 * themselves; as root and as an ordinary user. */
#include "sandbox/launch/host.h"
#include "tests/unit/sandbox/launch/cell_test.h"

#include <signal.h>

static bool has_cgroups(void)
{
	return launch_facts(host)->cgroup != LAUNCH_CG_NONE;
}

static void runs(void)
{
	const char *out = "";
	struct test_cell c;

	ok(run_cell("print(6 * 7)", &out, NULL) == 0 && !strcmp(out, "42\n"),
	   "code is run, and its output is there");
	ok(run_cell("import sys; sys.exit(7)", NULL, NULL) == 7 << 8,
	   "how it ended is told truthfully");
	ok(run_cell("import os; os.kill(os.getpid(), 9)", NULL, NULL) == SIGKILL,
	   "also by a signal");
	must(make_cell(&c));
	ok(!fchdir(c.workspace) && c.pidfd >= 0, "its workspace is told");
	must(!chdir("/"));
	must(give_code(&c, "open('/workspace/f', 'w').write('x')"));
	ok(await_ended(&c) == 0 && !faccessat(c.workspace, "f", F_OK, 0),
	   "and is the one it writes to");
	ok(close_cell(&c) && close_cell(&c), "it is gone, and stays so");
}

/* Bytes of a pipe, and of a file whose offset is anywhere. */
static void reads(void)
{
	static const char code[] = "import sys; sys.stdout.write(sys.stdin.read())";
	AUTO_FD script = fd_memfd("test", code, sizeof(code) - 1, NULL);
	AUTO_FD file = fd_memfd("test", "given", 5, NULL);
	struct test_cell c;
	struct err e = {0};

	must(make_cell(&c) && !launch_cell_run(&c.cell, script, file, &e));
	ok(await_ended(&c) == 0 && !strcmp(all_of(c.out), "given"), "stdin is given");
	must(close_cell(&c));
	must(make_cell(&c) && give_code(&c, code));
	ok(await_ended(&c) == 0 && !*all_of(c.out), "where there is none, it is empty");
	must(close_cell(&c));
}

/* What a program finds of its limits and names. */
static void is_confined(void)
{
	const char *out = "";
	const char code[] =
		"import os, pwd, grp, resource\n"
		"s = dict(l.split(':\\t', 1) for l in open('/proc/self/status'))\n"
		"caps = [int(s[c], 16) for c in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')]\n"
		"print(any(caps), s['Seccomp'].strip(), s['NoNewPrivs'].strip(), s['Groups'].strip() == '')\n"
		"print(pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name, "
		"pwd.getpwuid(os.getuid()).pw_dir)\n"
		"ids = {*os.getresuid(), *os.getresgid(), os.stat('/workspace').st_uid, "
		"os.stat('/workspace').st_gid}\n"
		"print(ids == {os.getuid()}, os.getuid() >= 2000)\n"
		"print(*resource.getrlimit(resource.RLIMIT_NOFILE), *resource.getrlimit(resource.RLIMIT_CORE))\n"
		"print(sorted(k for k in os.environ if 'FUMEHOOD' in k or 'PRELOAD' in k))\n"
		"print(os.environ['HOME'], os.environ['PYTHONUTF8'])\n";
	char want[400];
	int status;

	snprintf(
		want, sizeof(want),
		"False 2 1 True\nsandbox sandbox /workspace\nTrue %s\n1024 1024 0 0\n[]\n/workspace 1\n",
		geteuid() ? "False" : "True");
	ok(run_cell(
		   "print({l.strip().rpartition(':')[2] for l in open('/proc/self/cgroup')})",
		   &out, NULL) == 0,
	   "it sees its cgroups");
	ok(!strcmp(out, "{'/'}\n"), "and not what they are called: %s", out);
	status = run_cell(code, &out, NULL);
	ok(status == 0 && !strcmp(out, want),
	   "it has no privilege, a uid with a name, and what the plan says");
	if (strcmp(out, want) != 0)
		printf("# %s# not\n%s", out, want);
	ok(run_cell("import os\n"
		    "try: os.unshare(os.CLONE_NEWUSER)\n"
		    "except AttributeError:\n"
		    "    import ctypes; print(ctypes.CDLL(None).unshare(0x10000000))\n"
		    "except OSError: print(-1)\n",
		    &out, NULL) == 0 &&
		   !strcmp(out, "-1\n"),
	   "it can make no user namespace");
	ok(run_cell("print(open('/proc/sys/user/max_user_namespaces').read())", &out,
		    NULL) == 0 &&
		   !strcmp(out, "0\n\n"),
	   "nobody there can");
}

/* A process' number on the host. */
static unsigned pid_of(int pidfd)
{
	char path[64], line[400];
	unsigned pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Pid: %u", &pid);
	if (f)
		fclose(f);
	return pid;
}

/* The user namespace of a process. */
static ino_t users_of(int pidfd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/ns/user", pid_of(pidfd));
	must(!stat(path, &st));
	return st.st_ino;
}

/* The uid of a process, seen from outside. */
static uid_t uid_of(int pidfd)
{
	char path[64], line[400];
	unsigned uid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", pid_of(pidfd));
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Uid: %u", &uid);
	if (f)
		fclose(f);
	return uid;
}

static void have_uids(void)
{
	struct test_cell a, b;
	uid_t ua, ub;

	must(make_cell(&a) && make_cell(&b));
	ua = uid_of(a.pidfd), ub = uid_of(b.pidfd);
	if (geteuid()) {
		ok(ua == geteuid() && ub == ua, "all cells are the user's");
		ok(users_of(a.pidfd) != users_of(b.pidfd),
		   "each in a user namespace of its own");
	} else {
		ok(users_of(a.pidfd) == users_of(b.pidfd), "all have one map of users");
		ok(ua != ub && ua >= host->cells_base && ub >= host->cells_base &&
			   ua < host->cells_base + GUEST_CELLS &&
			   ub < host->cells_base + GUEST_CELLS,
		   "each cell has a uid of its own: %u, %u", ua, ub);
	}
	must(give_code(&a, "") && await_ended(&a) == 0 && close_cell(&a));
	must(make_cell(&a));
	ok(uid_of(a.pidfd) == ua, "which is free again when it has gone");
	must(give_code(&a, "") && await_ended(&a) == 0 && close_cell(&a));
	must(give_code(&b, "") && await_ended(&b) == 0 && close_cell(&b));
}

static void is_counted(void)
{
	struct launch_usage all, u;
	struct test_cell c;

	if (!has_cgroups())
		return;
	must(make_cell(&c));
	ok(c.cell.before.cpu_us > 0, "what its making took is known");
	must(give_code(&c, "import time\n"
			   "while time.process_time() < 0.05: pass\n"
			   "x = b'x' * (20 << 20)\n"));
	must(await_ended(&c) == 0);
	launch_cell_usage(&c.cell, &u);
	launch_cgroup_usage(&c.cell.cgroup, &all);
	ok(u.cpu_us >= 40000 && u.cpu_us == all.cpu_us - c.cell.before.cpu_us,
	   "and is not the program's");
	ok(u.peak_memory_bytes >= 20 << 20 && !u.oom_kills && !u.pids_denied,
	   "its memory is counted");
	must(close_cell(&c));
	ok(run_cell("pass", NULL, &u) == 0 && u.peak_memory_bytes < 20 << 20,
	   "and not with the next one's");
}

static uint64_t number_in(int dir, const char *file)
{
	AUTO_FD fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	uint64_t v = 0;

	text[n > 0 ? n : 0] = '\0';
	return sv_to_u64(sv_trim(sv_of(text)), &v) ? 0 : v;
}

static void has_limits(void)
{
	const bool v2 = launch_facts(host)->cgroup == LAUNCH_CG_V2;
	const struct pol_limits *l = &pol_default()->limits;
	const struct launch_cgroup *cg;
	struct test_cell c;

	if (!has_cgroups())
		return;
	must(make_cell(&c));
	cg = &c.cell.cgroup;
	ok(number_in(cg->dir[cg->in->memory],
		     v2 ? "memory.max" : "memory.limit_in_bytes") == l->memory_bytes,
	   "the memory of the plan");
	ok(number_in(cg->dir[cg->in->pids], "pids.max") == l->processes,
	   "its processes");
	if (!v2)
		ok(number_in(cg->dir[cg->in->cpu], "cpu.cfs_quota_us") == 100000,
		   "its CPU");
	ok(number_in(cg->dir[cg->in->pids], "pids.current") == 1,
	   "and the cell alone is under them");
	must(give_code(&c, "") && await_ended(&c) == 0 && close_cell(&c));
}

static void is_killed(void)
{
	struct test_cell c;

	must(make_cell(&c) &&
	     give_code(&c, "import os, signal\n"
			   "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
			   "if os.fork() == 0: os.setsid()\n"
			   "os.write(1, b'x')\n"
			   "signal.pause()\n"));
	/* both are at it */
	must(read(c.out, (char[1]){0}, 1) == 1 && read(c.out, (char[1]){0}, 1) == 1);
	launch_cell_kill(&box, &c.cell);
	launch_cell_kill(&box, &c.cell);
	ok(await_ended(&c) == SIGKILL && !*all_of(c.out),
	   "a kill takes all that is in it");
	ok(close_cell(&c), "and nothing is left");
	launch_cell_kill(&box, &c.cell);
	ok(run_cell("pass", NULL, NULL) == 0, "it was no other's");
}

static bool cgroup_empty(void *arg)
{
	return launch_cgroup_is_empty(arg);
}

/* By its cgroup, where there is one. */
static void is_killed_past_the_guest(void)
{
	struct test_cell c;

	if (!has_cgroups())
		return;
	must(make_cell(&c) && give_code(&c, "import os, signal\n"
					    "os.fork()\n"
					    "os.write(1, b'x')\n"
					    "signal.pause()\n"));
	must(read(c.out, (char[1]){0}, 1) == 1 && read(c.out, (char[1]){0}, 1) == 1);
	must(!syscall(SYS_pidfd_send_signal, box.guest_pidfd, SIGSTOP, NULL, 0));
	launch_cell_kill(&box, &c.cell);
	ok(await(cgroup_empty, &c.cell.cgroup), "also where the guest does not hear");
	must(!syscall(SYS_pidfd_send_signal, box.guest_pidfd, SIGCONT, NULL, 0));
	ok(await_ended(&c) == SIGKILL && close_cell(&c), "which tells it when it does");
}

static void is_not_used(void)
{
	AUTO_FD code = fd_memfd("test", "print(1)", 8, NULL);
	struct test_cell c;
	struct err e = {0};

	must(order_cell(&c, &e));
	ok(launch_cell_run(&c.cell, code, -1, &e), "no code before it is ready");
	must(told_next(box.ctl).type == GUEST_CELL_MADE && await_ready(&c));
	ok(launch_cell_ready(&c.cell) == 0, "nothing else is on its line");
	fd_close(&c.cell.line);
	ok(await_ended(&c) == 0 && !*all_of(c.out) && close_cell(&c),
	   "one that nobody wants any more ends");
}

static void are_all_taken(void)
{
	static struct test_cell cells[GUEST_CELLS];
	struct test_cell more;
	struct err e = {0};
	unsigned made = 0, gone = 0;

	for (unsigned i = 0; i < GUEST_CELLS; i++)
		made += make_cell(&cells[i]);
	ok(made == GUEST_CELLS, "as many as there may be");
	ok(!order_cell(&more, &e) && e.code == ERR_BUSY, "and no more");
	for (unsigned i = 0; i < GUEST_CELLS; i++) {
		if (give_code(&cells[i], "print('there')") &&
		    await_ended(&cells[i]) == 0 &&
		    !strcmp(all_of(cells[i].out), "there\n"))
			gone += close_cell(&cells[i]);
	}
	ok(gone == GUEST_CELLS, "each runs, and is gone");
	ok(run_cell("pass", NULL, NULL) == 0, "then there is room again");
}

/* Of an interpreter that each cell starts for itself. */
static void waits_for_its_program(void)
{
	const struct plan *plan = plan_of(host, POL_RUN_CODE, "javascript", NULL);
	AUTO_FD given = fd_memfd("test", "given", 5, NULL);
	AUTO_FD code = -1;
	static const char reads[] =
		"process.stdin.on('data', d => process.stdout.write(d))";
	const char *out = "";
	struct launch_usage u;
	struct test_cell a, b;
	struct err e = {0};

	if (!plan) {
		printf("# there is no node here\n");
		ok(!getenv("MUST_RUN"), "javascript can be tested");
		return;
	}
	must(open_zygote(plan));
	ok(run_cell("console.log(6 * 7)", &out, &u) == 0 && !strcmp(out, "42\n"),
	   "an interpreter that has waited runs its program");
	ok(!has_cgroups() || (u.cpu_us && u.cpu_us < 60000 && u.peak_memory_bytes),
	   "what is counted is the program's: %u us", (unsigned)u.cpu_us);
	ok(run_cell("process.exit(7)", NULL, NULL) == 7 << 8 &&
		   run_cell("process.kill(process.pid, 9)", NULL, NULL) == SIGKILL,
	   "how it ended is told truthfully");
	ok(run_cell(
		   "console.log(Object.keys(process.env).filter(n => /FUMEHOOD|PRELOAD/.test(n)), "
		   "process.execArgv, process.argv[1])",
		   &out, NULL) == 0 &&
		   !strcmp(out, "[] [] /workspace/main.js\n"),
	   "it has nothing to see of it: %s", out);
	code = fd_memfd("test", reads, sizeof(reads) - 1, NULL);
	must(make_cell(&a) && make_cell(&b));
	ok(geteuid() ? users_of(a.pidfd) != users_of(b.pidfd)
		     : uid_of(a.pidfd) != uid_of(b.pidfd) &&
			       uid_of(b.pidfd) >= host->cells_base,
	   "each is apart from all others");
	must(!launch_cell_run(&a.cell, code, given, &e));
	ok(await_ended(&a) == 0 && !strcmp(all_of(a.out), "given"), "stdin is given");
	must(close_cell(&a));
	launch_cell_kill(&box, &b.cell);
	ok(await_ended(&b) == SIGKILL && close_cell(&b),
	   "one that waits can be killed");
	ok(close_zygote(), "nothing of it is left");
}

static void all_of_one(void)
{
	must(open_zygote(plan_of(host, POL_RUN_CODE, "python", NULL)));
	runs();
	reads();
	is_confined();
	have_uids();
	is_counted();
	has_limits();
	is_killed();
	is_killed_past_the_guest();
	is_not_used();
	are_all_taken();
	ok(close_zygote(), "nothing of it is left");
	waits_for_its_program();
}

static int all(void)
{
	if (open_host(NULL))
		return 1;
	all_of_one();
	if (has_cgroups()) {
		printf("# as where there are no cgroups\n");
		launch_cgroups_close(&host->cgroups);
		host->facts.cgroup = host->cgroups.kind;
		all_of_one();
	}
	launch_host_free(host);
	return tap_done();
}

int main(void)
{
	if (!geteuid())
		ok(!as_user(all), "as an ordinary user");
	return all();
}
