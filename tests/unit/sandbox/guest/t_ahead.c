/* t_ahead.c: cells that start an interpreter of their own, to wait there for its program, under the real bwrap. The
 * interpreter is a shell: what is done ahead in others is tests/drivers/test_ahead.py's. */
#include "sandbox/guest/ahead.h"

#include "tests/unit/sandbox/guest/zygote_test.h"

#include <sys/stat.h>

extern const char ahead_blob[], ahead_blob_end[];

static struct guest_run shell_run(void)
{
	struct guest_run r = command("/bin/sh", "-u");

	r.code_name = SV("main.sh");
	return r;
}

/* True when it is up. Takes r's filter. */
static bool open_ahead(struct box *b, struct guest_run *r)
{
	struct guest_zygote z = {.run = *r, .ahead = 1, .driver_fd = memfd_of("")};
	static struct ipc_msg m;
	struct told got;
	int line[2];

	z.object_fd = fd_memfd("ahead", ahead_blob,
			       (size_t)(ahead_blob_end - ahead_blob), NULL);
	must(!fd_socketpair(line, NULL));
	*b = (struct box){.cells = true, .ctl = line[0], .last_id = 100};
	ipc_start(&m, GUEST_ZYGOTE, 1);
	guest_put_zygote(&m, &z);
	must(!ipc_send(b->ctl, &m, NULL));
	start_box(b, line[1]);
	fd_close(&line[1]);
	fd_close(&r->filter_fd);
	fd_close(&z.driver_fd);
	fd_close(&z.object_fd);
	got = told_next(b->ctl);
	return told_is(&got, GUEST_ZYGOTE_UP, 1);
}

static bool open_shells(struct box *b)
{
	struct guest_run r = shell_run();

	return open_ahead(b, &r);
}

static mode_t mode_of(int dir, const char *file)
{
	struct stat st;

	return fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_mode & 07777;
}

static void test_life(void)
{
	AUTO_FD script =
		memfd_of("#!/bin/sh\ncat; echo err >&2; echo x > f; cat main.sh > g");
	AUTO_FD given = memfd_of("given\n");
	const int fds[2] = {script, given};
	struct test_cell c;
	struct box b;
	char byte;

	ok(open_shells(&b), "what starts interpreters comes up");
	order_cell(&b, &c);
	ok(await_made(&b, &c) && c.pidfd >= 0 && c.workspace >= 0, "a cell is made");
	ok(await_ready(&c), "it says that it is ready");
	ok(!mode_of(c.workspace, "main.sh"), "while its program is not there");
	must(lseek(given, 3, SEEK_SET) == 3);
	give_fds(&c, fds, 2);
	ok(await_ended(&b, &c) == 0, "it runs what it is given");
	ok(!strcmp(all_of(c.out), "given\n"), "with its stdin, from the start");
	ok(!strcmp(all_of(c.err), "err\n"), "into the two pipes of the keeper");
	ok(mode_of(c.workspace, "main.sh") == 0755 && mode_of(c.workspace, "g") == 0644,
	   "from a file that is a program if it says so");
	ok(recv(c.line, &byte, 1, 0) == 0, "its line is closed");
	close_cell(&c);
	must(make_cell(&b, &c));
	give_code(&c, "echo 1");
	ok(await_ended(&b, &c) == 0 && mode_of(c.workspace, "main.sh") == 0644,
	   "another one after it, which does not");
	close_cell(&c);
	ok(close_box(&b), "the end of the keeper's line ends it all");
}

static const struct {
	const char *what, *code;
	int status;
} ends[] = {
	{"nothing", "", 0},
	{"exit 37", "exit 37", 37 << 8},
	{"SIGKILL", "kill -9 $$", SIGKILL},
	{"SIGTERM", "kill $$", SIGTERM},
	{"another program in its place", "exec sh -c 'exit 5'", 5 << 8},
	{"a child that outlives it", "sleep 1000 & exit 6", 6 << 8},
	{"its own number", "[ $$ = 2 ]", 0},
};

static void test_ends(void)
{
	struct box b;

	must(open_shells(&b));
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		ok(run(&b, ends[i].code, NULL) == ends[i].status, "%s is told",
		   ends[i].what);
	close_box(&b);
}

/* Without as much as a look for a program. */
static void test_no_interpreter(void)
{
	struct guest_run r = shell_run();
	struct test_cell c;
	struct box b;

	r.interpreter = SV("/bin/true");
	must(open_ahead(&b, &r));
	order_cell(&b, &c);
	ok(await_made(&b, &c) && !await_ready(&c) && await_ended(&b, &c) == 0,
	   "an interpreter that does not wait is never ready");
	close_cell(&c);
	close_box(&b);
	r = shell_run();
	r.interpreter = SV("/bin/nosuch");
	must(open_ahead(&b, &r));
	order_cell(&b, &c);
	ok(await_made(&b, &c) && !await_ready(&c) && await_ended(&b, &c) == 111 << 8 &&
		   strstr(all_of(c.err), "start the interpreter"),
	   "nor is one that is not there, which says so");
	close_cell(&c);
	ok(close_box(&b), "and the sandbox goes on until its end");
}

static void test_not_wanted(void)
{
	struct test_cell c, other;
	struct box b;

	must(open_shells(&b) && make_cell(&b, &c) && make_cell(&b, &other));
	fd_close(&c.line);
	ok(await_ended(&b, &c) == 0 && !*all_of(c.out),
	   "one whose line closes has ended, and run nothing");
	close_cell(&c);
	send_kill(&b, other.id);
	ok(await_ended(&b, &other) == SIGKILL, "one that waits can be killed");
	close_cell(&other);
	must(make_cell(&b, &c) && make_cell(&b, &other));
	give_code(&c, "(trap '' TERM; echo u; exec sleep 1000) & wait");
	must(read(c.out, (char[2]){0}, 2) == 2);
	send_kill(&b, c.id);
	ok(await_ended(&b, &c) == SIGKILL && !*all_of(c.out),
	   "and one that runs, with all it has started");
	give_code(&other, "echo alive");
	ok(await_ended(&b, &other) == 0, "the cell beside it goes on");
	close_cell(&c);
	close_cell(&other);
	close_box(&b);
}

/* --- confinement -------------------------------------------------------------------------------- */

/* What bounds a program, but for numbers that are another's each time. The shell looks by itself for what its own
 * children would add. */
static const char tells_all[] =
	"exec 2>&1\n"
	"grep -E '^(Name|Umask|[UGN]id|Groups|P?Pid|NSpid|NSsid|NSpgid|Sig[BIC]|Cap|NoNewPrivs|"
	"Seccomp|TracerPid|Threads)' /proc/self/status\n"
	"ulimit -a; ulimit -Ha; pwd; id; env | sort; echo \"$0 $-\"\n"
	"tr '\\0' '\\n' < /proc/$$/environ | grep . | sort\n"
	"tr '\\0' ' ' < /proc/$$/cmdline; echo; cat /proc/$$/comm /proc/$$/oom_score_adj\n"
	"for f in /proc/$$/fd/*; do\n"
	"	if [ -p $f ]; then echo $f is a pipe; elif [ -e $f ]; then echo $f is $(readlink $f); fi\n"
	"done\n"
	"grep flags /proc/$$/fdinfo/0; cat /proc/$$/cgroup\n"
	"sed 's/^[^ ]* [^ ]* [^ ]* //' /proc/self/mountinfo | sort\n"
	"ls -A /workspace /tmp /dev/shm /run /; hostname; echo /proc/[0-9]*\n"
	"stat -c '%a %u %g %s' /workspace/main.sh /workspace /tmp /dev/shm\n"
	"grep -c : /proc/net/dev\n"
	"for f in /etc/shadow /run/fumehood/x /proc/1/mem /proc/1/environ /sys/x /x; do\n"
	"	(: > $f); cat $f\n"
	"done\n"
	"unshare -U true; unshare -m true; mount -t tmpfs x /tmp; kill -9 1\n";

static void test_same_bounds(void)
{
	static char want[70000];
	const char *out = "";
	struct box b;

	snprintf(want, sizeof(want), "%s", cold(shell_run(), tells_all));
	ok(strstr(want, "Seccomp:\t2\n") &&
		   strstr(want, "CapBnd:\t0000000000000000\n") &&
		   strstr(want, "NoNewPrivs:\t1\n") && !strstr(want, AHEAD_MARK),
	   "it is told what bounds a program");
	must(open_shells(&b));
	run(&b, tells_all, &out);
	ok(!differences(want, out), "a cell is bounded as a program of its own is");
	ok(close_box(&b), "and the sandbox ends");
}

/* With few descriptors the cell's own are among the first. */
static void test_few_files(void)
{
	struct guest_run r = shell_run();
	const char *out = "";
	struct box b;

	r.open_files = 24;
	ok(AHEAD_FIRST_FD(r.open_files) == 21 && AHEAD_FIRST_FD(1024) == 61,
	   "they are the last of the first 64, or of all");
	must(open_ahead(&b, &r));
	ok(run(&b, "ulimit -n", &out) == 0 && !strcmp(out, "24\n"),
	   "a limit of 24 open files is kept, and enough");
	close_box(&b);
}

static void test_nothing_is_carried_over(void)
{
	static const char looks[] = "ls -A /workspace /tmp /dev/shm; env | sort; "
				    "echo /proc/[0-9]*; ls /proc/$$/fd";
	static char before[2000];
	const char *out = "";
	unsigned good = 0;
	struct box b;

	must(open_shells(&b) && run(&b, looks, &out) == 0);
	snprintf(before, sizeof(before), "%s", out);
	/* more of them than the guest may have open files */
	for (unsigned i = 0; i < FEW_FILES + 20; i++)
		good += run(&b,
			    i % 2 ? "exit 3"
				  : "sleep 1000 & echo x > /tmp/mark; echo x > /dev/shm/mark; exit 3",
			    NULL) == 3 << 8;
	ok(good == FEW_FILES + 20, "many, one after the other");
	ok(run(&b, looks, &out) == 0 && !strcmp(out, before),
	   "leave nothing to the next");
	ok(close_box(&b), "nor in the way of its end");
}

int main(void)
{
	test_life();
	test_ends();
	test_no_interpreter();
	test_not_wanted();
	test_same_bounds();
	test_few_files();
	test_nothing_is_carried_over();
	return tap_done();
}
