/* t_zygote.c: a guest that keeps a zygote, under the real bwrap: cells, from their order to their end. */
#include "tests/unit/sandbox/guest/zygote_test.h"

#include <elf.h>

static void test_life(void)
{
	struct test_cell c;
	struct box b;
	char byte;

	ok(open_zygote(&b), "a zygote comes up");
	order_cell(&b, &c);
	ok(await_made(&b, &c), "a cell is made");
	ok(c.pidfd >= 0 && c.workspace >= 0, "with its process and its workspace");
	ok(await_ready(&c), "it says that it is ready");
	give_code(&c, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n"
		      "open('f', 'w').write('x')\n");
	ok(await_ended(&b, &c) == 0, "and runs what it is given");
	ok(!strcmp(all_of(c.out), "out\n") && !strcmp(all_of(c.err), "err\n"),
	   "into the two pipes of the keeper");
	ok(!faccessat(c.workspace, "f", F_OK, 0), "in its own workspace");
	ok(recv(c.line, &byte, 1, 0) == 0, "its line is closed");
	ok(!strcmp(all_of(c.pidfd), ""), "its process has ended");
	close_cell(&c);
	ok(run(&b, "pass\n", NULL) == 0, "another one after it");
	ok(close_box(&b), "the end of the keeper's line ends it all");
}

static const struct {
	const char *what, *code;
	int status;
} ends[] = {
	{"exit 0", "pass\n", 0},
	{"exit 37", "raise SystemExit(37)\n", 37 << 8},
	{"exit without a word to Python", "import os\nos._exit(3)\n", 3 << 8},
	{"SIGKILL", "import os\nos.kill(os.getpid(), 9)\n", SIGKILL},
	{"SIGSEGV", "import os\nos.kill(os.getpid(), 11)\n", SIGSEGV},
	{"SIGTERM", "import os\nos.kill(os.getpid(), 15)\n", SIGTERM},
	{"SIGABRT", "import os\nos.abort()\n", SIGABRT},
	{"another program in its place",
	 "import os\nos.execv('/bin/sh', ['sh', '-c', "
	 "'exit 5'])\n",
	 5 << 8},
	{"a child that outlives it",
	 "import os\nif os.fork():\n    os._exit(6)\n"
	 "import time\ntime.sleep(1000)\n",
	 6 << 8},
	{"children by fork, vfork and a shell",
	 "import os, subprocess\np = os.fork()\nif not p:\n    os._exit(4)\n"
	 "r = os.waitstatus_to_exitcode(os.waitpid(p, 0)[1])\n"
	 "r += subprocess.call(['/bin/sh', '-c', 'exit 2'])\n"
	 "r += os.waitstatus_to_exitcode(os.system('exit 1'))\nos._exit(r)\n",
	 7 << 8},
};

static void test_ends(void)
{
	struct box b;

	must(open_zygote(&b));
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		ok(run(&b, ends[i].code, NULL) == ends[i].status, "%s is told",
		   ends[i].what);
	close_box(&b);
}

/* Two that have left session and parent, and hold the pipe. */
static void test_kill(void)
{
	struct test_cell c, other;
	struct box b;
	char up[3];

	must(open_zygote(&b) && make_cell(&b, &other) && make_cell(&b, &c));
	give_code(&c, "import os, signal\n"
		      "for i in range(2):\n"
		      "    if not os.fork():\n"
		      "        os.setsid()\n"
		      "        if os.fork(): os._exit(0)\n"
		      "        for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\n"
		      "        os.write(1, b'u')\n"
		      "        while True: signal.pause()\n"
		      "os.write(1, b'u')\n"
		      "while True: pass\n");
	for (unsigned i = 0; i < 3; i++)
		must(read(c.out, up + i, 1) == 1);
	send_kill(&b, c.id);
	ok(await_ended(&b, &c) == SIGKILL, "one that hangs is killed");
	ok(!strcmp(all_of(c.out), ""), "with all it has started");
	send_kill(&b, c.id);
	give_code(&other, "print('alive')\n");
	ok(await_ended(&b, &other) == 0, "the cell beside it goes on");
	close_cell(&c);
	close_cell(&other);
	close_box(&b);
}

/* Whatever has been reached by then. */
static void test_kill_early(void)
{
	struct test_cell c;
	struct told got;
	struct box b;
	unsigned good = 0;

	must(open_zygote(&b));
	for (unsigned i = 0; i < 20; i++) {
		order_cell(&b, &c);
		send_kill(&b, c.id);
		got = told_next(b.ctl);
		if (got.type == GUEST_CELL_MADE) {
			fd_close(&got.pidfd);
			fd_close(&got.workspace);
			got = told_next(b.ctl);
		}
		if (got.type == GUEST_FAILED)
			good += told_is(&got, GUEST_FAILED, c.id);
		else
			good += told_is(&got, GUEST_ENDED, c.id) &&
				got.status == SIGKILL;
		close_cell(&c);
	}
	ok(good == 20, "one that is being made is killed too");
	ok(run(&b, "pass\n", NULL) == 0, "the next is as any");
	must(make_cell(&b, &c));
	send_kill(&b, c.id);
	ok(await_ended(&b, &c) == SIGKILL, "and one that waits for its code");
	close_cell(&c);
	close_box(&b);
}

static void test_line_closes(void)
{
	struct test_cell c;
	struct box b;
	int fds[3] = {0, 0, 0};

	must(open_zygote(&b) && make_cell(&b, &c));
	fd_close(&c.line);
	ok(await_ended(&b, &c) == 0, "a cell whose line closes ends");
	close_cell(&c);
	order_cell(&b, &c);
	fd_close(&c.line);
	ok(await_made(&b, &c) && await_ended(&b, &c) == 0, "also before it was ready");
	close_cell(&c);
	must(make_cell(&b, &c));
	give_fds(&c, NULL, 0);
	ok(await_ended(&b, &c) == 0, "or that is given no code");
	close_cell(&c);
	must(make_cell(&b, &c));
	give_fds(&c, fds, 3);
	ok(await_ended(&b, &c) == 0, "or more than there can be");
	close_cell(&c);
	close_box(&b);
}

static void test_stdin(void)
{
	struct test_cell c;
	struct box b;
	int fds[2], p[2];

	must(open_zygote(&b) && make_cell(&b, &c) && !fd_pipe(p, NULL));
	fds[0] = memfd_of("import sys\nprint(sys.stdin.read())\n");
	fds[1] = memfd_of("given");
	must(lseek(fds[1], 2, SEEK_SET) == 2);
	give_fds(&c, fds, 2);
	ok(await_ended(&b, &c) == 0 && !strcmp(all_of(c.out), "given\n"),
	   "stdin is read from its start");
	ok(lseek(fds[1], 0, SEEK_CUR) == 2, "with an offset of its own");
	close_cell(&c);
	must(make_cell(&b, &c) && write(p[1], "piped", 5) == 5);
	fd_close(&fds[1]);
	fd_close(&p[1]);
	fds[1] = p[0];
	give_fds(&c, fds, 2);
	fd_close(&fds[0]);
	fd_close(&p[0]);
	ok(await_ended(&b, &c) == 0 && !strcmp(all_of(c.out), "piped\n"),
	   "it may be a pipe");
	close_cell(&c);
	ok(run(&b, "import sys\nraise SystemExit(len(sys.stdin.read()))\n", NULL) == 0,
	   "and is empty without");
	close_box(&b);
}

/* The box has FEW_FILES: less than one for each. */
static void test_many(void)
{
	pid_t children[8], zygote;
	unsigned good = 0;
	struct box b;

	must(open_zygote(&b));
	for (unsigned i = 0; i < 200; i++)
		good += run(&b,
			    "import os\nif os.fork(): os._exit(9)\nwhile True: pass\n",
			    NULL) == 9 << 8;
	ok(good == 200, "200 in a row");
	/* who takes the mounts of rooms down ends a little later, and only the kernel sees that */
	for (unsigned i = 0; i < LONG_MS && children_of(guest_of(&b), children, 8) != 2;
	     i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	/* the other one holds them until then */
	ok(children_of(guest_of(&b), children, 8) == 2, "no room is left");
	zygote = children[0];
	ok(children_of(zygote, children, 8) == 0, "and no cell");
	close_box(&b);
}

static void test_too_many(void)
{
	static struct test_cell cells[GUEST_CELLS];
	struct test_cell more;
	struct told got;
	struct box b;
	unsigned n = 0;

	must(open_zygote(&b));
	while (n < GUEST_CELLS && make_cell(&b, &cells[n]))
		n++;
	ok(n == GUEST_CELLS, "%u cells wait", n);
	order_cell(&b, &more);
	got = told_next(b.ctl);
	ok(told_is(&got, GUEST_FAILED, more.id) && got.sys == EBUSY,
	   "one more does not come");
	close_cell(&more);
	give_code(&cells[7], "raise SystemExit(7)\n");
	ok(await_ended(&b, &cells[7]) == 7 << 8, "each of them is itself");
	ok(run(&b, "pass\n", NULL) == 0, "and makes room");
	for (unsigned i = 0; i < n; i++)
		close_cell(&cells[i]);
	close_box(&b);
}

/* From outside; of a cell's processes one does not see the other's, nor the zygote. */
static void test_deaths(void)
{
	pid_t children[8] = {0}, zygote;
	struct test_cell c;
	struct told got;
	struct box b;

	must(open_zygote(&b));
	must(children_of(guest_of(&b), &zygote, 1) == 1);
	must(make_cell(&b, &c));
	/* the oldest first: zygote, who holds mounts, room */
	must(children_of(guest_of(&b), children, 8) == 3 && children[0] == zygote);
	kill(children[2], SIGKILL);
	ok(await_ended(&b, &c) == SIGKILL, "a cell ends with its room");
	close_cell(&c);
	kill(children[1], SIGKILL);
	ok(run(&b, "pass\n", NULL) == 0, "without who holds mounts it goes on");
	must(make_cell(&b, &c));
	kill(zygote, SIGKILL);
	do
		got = told_next(b.ctl);
	while (got.type == GUEST_ENDED);
	ok(!got.type && await_box(&b), "the guest ends with its zygote");
	ok(!strcmp(all_of(c.out), ""), "and the cells with it");
	close_cell(&c);
}

static void test_no_zygote(void)
{
	struct told got;
	struct box b;

	open_box(&b, "/usr/bin/there-is-no-such", SHORT_DRIVER);
	got = told_next(b.ctl);
	ok(told_is(&got, GUEST_FAILED, 1) && got.sys == ENOENT,
	   "an interpreter that is not there");
	ok(await_box(&b), "ends the guest");
	open_box(&b, "/usr/bin/python3", "raise SystemExit(0)\n");
	got = told_next(b.ctl);
	ok(told_is(&got, GUEST_FAILED, 1), "so does a driver that does not fork");
	ok(await_box(&b), "whatever its status");
	open_box(&b, "/usr/bin/python3", "while True: pass\n");
	ok(close_box(&b), "one that hangs does not keep the guest from its end");
}

/* It is loaded beside whichever C library an interpreter has. */
static void test_object(void)
{
	static const char *const recent[] = {"stat",	   "fstat",
					     "lstat",	   "close_range",
					     "pidfd_open", "__isoc23_strtol"};
	const size_t size = (size_t)(cell_blob_end - cell_blob);
	unsigned dynamic = 0, needs = 0, bad = 0;
	Elf64_Phdr p;
	Elf64_Ehdr h;
	Elf64_Dyn d;

	memcpy(&h, cell_blob, sizeof(h));
	for (unsigned i = 0; i < h.e_phnum; i++) {
		memcpy(&p, cell_blob + h.e_phoff + i * sizeof(p), sizeof(p));
		for (size_t at = 0; p.p_type == PT_DYNAMIC && at < p.p_filesz;
		     at += sizeof(d)) {
			memcpy(&d, cell_blob + p.p_offset + at, sizeof(d));
			dynamic++;
			needs += d.d_tag == DT_NEEDED || d.d_tag == DT_VERNEED;
		}
	}
	ok(dynamic && !needs,
	   "the object to be preloaded needs no library, and no version");
	for (unsigned i = 0; i < ARRAY_LEN(recent); i++) {
		char name[32] = "";

		memcpy(name + 1, recent[i], strlen(recent[i]));
		if (memmem(cell_blob, size, name, strlen(recent[i]) + 2)) {
			printf("# %s\n", recent[i]);
			bad++;
		}
	}
	ok(!bad, "nor a function that is recent");
}

int main(void)
{
	test_object();
	test_life();
	test_ends();
	test_kill();
	test_kill_early();
	test_line_closes();
	test_stdin();
	test_many();
	test_too_many();
	test_deaths();
	test_no_zygote();
	return tap_done();
}
