/* t_session_hostile.c: interpreters that were taken over: each costs itself, never the session. */
#include "sandbox/launch/host.h"
#include "tests/unit/sandbox/guest/session_test.h"

#include <dirent.h>

static const struct {
	const char *what, *code;
	uint32_t status; /* as of wait(2) */
} endings[] = {
	{"it exits", "exit 3\n", 3 << 8},
	{"it segfaults", "kill -SEGV $$\n", SIGSEGV},
	{"it kills itself", "kill -9 $$\n", SIGKILL},
	{"another program takes its place",
	 "exec sh -c 'echo in its place; exit 5' 3>&-\n", 5 << 8},
	{"it closes its line and goes on", "exec 3>&-; exit 4\n", 4 << 8},
	{"it kills all it may", "kill -9 -1; exit 9\n", 9 << 8},
	{"it writes garbage", "echo garbage >&3; while :; do :; done\n", SIGKILL},
	{"it says up again", "echo up >&3; while :; do :; done\n", SIGKILL},
	{"it ends another call", "echo end 99999 0 >&3; while :; do :; done\n",
	 SIGKILL},
	{"an exit code off the range", "echo end $n 256 >&3; while :; do :; done\n",
	 SIGKILL},
	{"a negative one", "echo end $n -1 >&3; while :; do :; done\n", SIGKILL},
	{"nothing in its place", "echo \"end $n \" >&3; while :; do :; done\n",
	 SIGKILL},
	{"something behind it", "echo end $n 0 0 >&3; while :; do :; done\n", SIGKILL},
	{"a line that does not end", "printf %070d 1 >&3; while :; do :; done\n",
	 SIGKILL},
	{"a flood", "while :; do echo floodfloodflood; done >&3\n", SIGKILL},
	{"zeroes", "cat /dev/zero >&3\n", SIGKILL},
};
static void test_endings(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(endings); i++) {
		struct test_session t;
		struct told got, other;

		must(open_session(&t));
		must(sh(&t, "x=mine; echo kept >f\n", false) == 0);
		got = do_call(&t, &(struct call){.slot = 1, .code = endings[i].code},
			      NULL);
		ok(ended(&got, GUEST_BY_KERNEL, endings[i].status),
		   "%s: the kernel says so", endings[i].what);
		if (strstr(endings[i].code, "-9 -1")) {
			/* without Landlock's scope it reaches the other interpreter */
			other = (struct told){.type = GUEST_CALL_ENDED};
			if (sh(&t, "[ -s f ]\n", true))
				sh(&t, "[ -s f ]\n", false);
		} else {
			other = do_call(
				&t,
				&(struct call){.code = "[ $x = mine ]\n", .warm = true},
				NULL);
			ok(ended(&other, GUEST_BY_DRIVER, 0),
			   "the other slot knows nothing of it");
		}
		got = do_call(&t, &(struct call){.slot = 1, .code = "cat f\n"}, NULL);
		ok(ended(&got, GUEST_BY_DRIVER, 0) &&
			   !strcmp(drain(t.out[1]), "kept\n"),
		   "its own starts anew, with the files");
		close_session(&t);
	}
}

/* What it says after its `end` kills it between calls. */
static void test_dies_between_calls(void)
{
	static const struct {
		const char *what, *driver;
		uint32_t status;
	} rows[] = {
		{"two ends",
		 "echo up >&3; read -r w n <&3; echo \"end $n 0\nend $n 0\" >&3; sleep 100\n",
		 SIGKILL},
		{"an exit after the end",
		 "echo up >&3; read -r w n <&3; echo end $n 0 >&3; exit 6\n", 6 << 8},
		{"a closed line",
		 "echo up >&3; read -r w n <&3; echo end $n 0 >&3; exec 3<&-; sleep 100\n",
		 SIGKILL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct test_session t;
		struct told got;

		must(open_session(&t));
		got = do_call(&t,
			      &(struct call){.code = ":\n", .driver = rows[i].driver},
			      NULL);
		ok(ended(&got, GUEST_BY_DRIVER, 0), "%s: the call has ended",
		   rows[i].what);
		got = next_told(&t);
		ok(got.type == GUEST_DIED && !got.word.slot &&
			   got.word.status == rows[i].status,
		   "then its interpreter");
		ok(sh(&t, ":\n", false) == 0, "the next call starts one");
		close_session(&t);
	}
}

static void test_bad_starts(void)
{
	static const struct {
		const char *what, *driver;
		uint32_t status;
	} rows[] = {
		{"it ends before it is up", "exit 2\n", 2 << 8},
		{"it says end before up", "echo end 1 0 >&3; sleep 100\n", SIGKILL},
		{"it closes its line before it is up", "exec 3>&-; sleep 100\n",
		 SIGKILL},
	};
	struct test_session t;
	struct told got;

	must(open_session(&t));
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		got = do_call(&t,
			      &(struct call){.code = ":\n", .driver = rows[i].driver},
			      NULL);
		ok(ended(&got, GUEST_BY_KERNEL, rows[i].status), "%s", rows[i].what);
	}
	got = do_call(&t,
		      &(struct call){.code = ":\n", .interpreter = "/bin/not-there"},
		      NULL);
	ok(got.type == GUEST_FAILED && got.sys == ENOENT,
	   "an interpreter that is not there");
	ok(sh(&t, ":\n", false) == 0, "none of them harms the session");
	close_session(&t);
}

/* A driver that does not read: `run` lines pile up in nobody's buffer, because there is one call at
 * a time; the keeper's deadline is a kill. */
static void test_never_reads(void)
{
	struct test_session t;
	struct told got;
	uint64_t id;

	must(open_session(&t));
	id = send_call(&t, &(struct call){.code = ":\n",
					  .driver = "echo up >&3; sleep 1000\n"});
	got = next_told(&t);
	fd_close(&got.word.pidfd);
	send_slot(&t, GUEST_KILL, id, 0);
	got = next_told(&t);
	ok(ended(&got, GUEST_BY_KERNEL, SIGKILL),
	   "one that never reads its line is killed");
	close_session(&t);
}

static void test_children(void)
{
	struct test_session t;
	struct told got;

	must(open_session(&t));
	ok(sh(&t, "sleep 1000 & sleep 1000 3>&- & setsid sleep 1001 & echo\n", false) ==
		   0,
	   "children that hold 1, 2 and 3 do not hold up a call");
	ok(sh(&t, "while [ $(pgrep -c sleep) != 3 ]; do :; done\n", true) == 0,
	   "they go on after it");
	got = do_call(&t, &(struct call){.code = "exit 1\n", .warm = true}, NULL);
	ok(ended(&got, GUEST_BY_KERNEL, 1 << 8), "the end of the interpreter");
	ok(sh(&t, "[ \"$(pgrep -a sleep)\" = \"$(pgrep -a sleep | grep 1001)\" ]\n",
	      false) == 0,
	   "takes what is of its session id, and no more");
	close_session(&t);
}

/* Every process of the bomb forks as fast as it can, and is of the interpreter's session id. The
 * interpreter itself only waits: a shell that cannot fork would end. */
static void test_fork_bomb(void)
{
	static const char bomb[] = "b() { while :; do b & done; }\n(b 2>/dev/null) &\n"
				   "while :; do wait; done\n";
	struct test_session t;
	struct told got;
	uint64_t id;

	must(open_session(&t));
	must(sh(&t, "x=mine\n", false) == 0);
	id = send_call(&t, &(struct call){.slot = 1, .code = bomb});
	got = next_told(&t);
	ok(got.type == GUEST_CALL_STARTED, "a fork bomb starts");
	fd_close(&got.word.pidfd);
	/* the other slot's builtins go on; it sees the limit reached before the bomb is killed */
	ok(sh(&t, "set --; while [ $# -lt 20 ]; do set -- /proc/[0-9]*; done\n",
	      true) == 0,
	   "its processes are there");
	send_slot(&t, GUEST_KILL, id, 1);
	got = next_told(&t);
	ok(got.id == id && ended(&got, GUEST_BY_KERNEL, SIGKILL), "it is killed");
	/* the dead are listed until the room's first process has collected them */
	ok(sh(&t,
	      "i=0; until set -- /proc/[0-9]*; [ $# -le 4 ]; do\n"
	      "i=$((i+1)); [ $i -lt 20000 ] || break; done\n"
	      "[ $x = mine ] && [ $# -le 4 ]\n",
	      true) == 0,
	   "all of it, and only it");
	got = do_call(&t, &(struct call){.slot = 1, .code = "/bin/true\n"}, NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0), "the slot starts anew");
	close_session(&t);
}

/* 100,000 attempts to fork: what counts is that the guest outlives them and nothing is left. */
static void test_many_processes(void)
{
	struct test_session t;

	must(open_session(&t));
	ok(sh(&t,
	      "i=0; sleep 1000 & sleep 1000 &\n"
	      "while [ $i -lt 100000 ]; do (sleep 1000 & sleep 1000 &) & i=$((i+1)); done\n",
	      false) != 0,
	   "more processes than there may be");
	ok(sh(&t, "kill -9 $(pgrep sleep)\n", false) >= 0, "the session takes calls");
	ok(sh(&t, "[ $(pgrep -c sleep) = 0 ]\n", true) == 0, "nothing is left");
	close_session(&t);
}

static void test_out_of_memory(void)
{
	struct pol_limits l = pol_default()->limits;
	struct test_session t;
	struct told got;

	if (launch_facts(host)->cgroup == LAUNCH_CG_NONE) {
		skip("no cgroup: nothing runs out of memory but by its own rlimit");
		return;
	}
	l.memory_bytes = (uint64_t)64 << 20;
	must(open_session_with(&t, plan_of(host, POL_PROBE, "", &l)));
	must(sh(&t, "x=mine; echo kept >f\n", false) == 0);
	got = do_call(
		&t,
		&(struct call){
			.slot = 1,
			.code = "a=$(head -c 200000000 /dev/zero | tr '\\0' x)\n"},
		NULL);
	ok(got.type == GUEST_CALL_ENDED &&
		   (got.word.how == GUEST_BY_KERNEL || got.word.status != 0),
	   "an interpreter without memory dies of it");
	got = do_call(&t, &(struct call){.slot = 2, .code = "cat f\n"}, NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0) && !strcmp(drain(t.out[2]), "kept\n"),
	   "room and workspace are there");
	close_session(&t);
}

/* Who opens what programs have made is no more than they are. */
static void test_porter(void)
{
	static const char look[] =
		"n=0; for p in /proc/[0-9]*; do read -r c <$p/comm; [ $c = porter ] || continue\n"
		"n=1; for want in 'CapPrm:.0*' 'CapEff:.0*' 'NoNewPrivs:.1'; do\n"
		"grep -q \"^$want$\" $p/status || echo \"$want\"; done; done; [ $n = 1 ]\n";
	struct test_session t;

	must(open_session(&t));
	ok(sh(&t, look, false) == 0, "a program sees the porter");
	ok(!strcmp(drain(t.out[0]), ""), "which has no capability, and gets none");
	close_session(&t);
}

/* The descriptors of the guest, by its folder in the host's /proc; -1 where only root may look. */
static int guest_fds(const struct test_session *t)
{
	char path[64], line[16] = "";
	AUTO_BUF b = {0};
	struct sv rest, part;
	bool more = true;
	int n = 0;

	buf_init(&b, 4096);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", t->box.guest_pidfd);
	must(!fd_read_file(path, &b, NULL));
	rest = buf_view(&b);
	while (sv_cut(&rest, '\n', &more, &part))
		if (sv_starts(part, SV("Pid:")))
			must(!sv_copy(sv_trim((struct sv){part.p + 4, part.n - 4}),
				      line, sizeof(line)));
	snprintf(path, sizeof(path), "/proc/%s/fd", line);
	AUTO_FD dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	char names[65536];
	long got = getdents64(dir, names, sizeof(names));
	for (long at = 0; at < got; n++) {
		unsigned short len;

		memcpy(&len, names + at + 16, sizeof(len));
		at += len;
	}
	return n;
}

static void test_descriptors(void)
{
	struct test_session t;
	struct told got;
	int before, bad = 0;

	must(open_session(&t) && t.box.guest_pidfd >= 0);
	must(sh(&t, ":\n", false) == 0 && sh(&t, ":\n", true) == 0);
	before = guest_fds(&t);
	if (before < 0) {
		skip("the guest's descriptors are root's to count");
		close_session(&t);
		return;
	}
	for (unsigned i = 0; i < 1000; i++) {
		int fd = memfd_of(SV("in\n"));

		bad += sh(&t, ":\n", true) != 0;
		if (i % 10 == 0) {
			got = do_call(&t,
				      &(struct call){.slot = 1,
						     .code = "exit 1\n",
						     .stdin_fd = fd},
				      NULL);
			bad += !ended(&got, GUEST_BY_KERNEL, 1 << 8);
			got = do_call(
				&t,
				&(struct call){.slot = 2, .code = "x\n", .warm = true},
				NULL);
			bad += got.sys != ESRCH;
			got = file_op(&t, (struct guest_file){.op = GUEST_LIST,
							      .max_rows = 10});
			bad += got.type != GUEST_FILE_DONE;
			fd_close(&got.file.fd);
		}
		fd_close(&fd);
	}
	ok(!bad, "a thousand calls end well");
	ok(guest_fds(&t) == before, "%d descriptors before them, %d after", before,
	   guest_fds(&t));
	close_session(&t);
}

/* Where the kernel has no Landlock, programs of one room can reach each other and the porter. */
static void test_without_landlock(void)
{
	/* of what one call of it has found the next knows nothing: both run in one shell */
	static const char stop[] =
		"found=; until [ $found ]; do for p in /proc/[0-9]*; do read -r c <$p/comm\n"
		"[ $c = porter ] && kill -STOP ${p#/proc/} && found=1; done; done; :\n";
	const uint32_t abi = host->facts.landlock_abi;
	struct test_session t;
	struct told got;
	unsigned died = 0, on = 0;
	uint64_t id;

	host->facts.landlock_abi = 0;
	must(open_session(&t));
	must(sh(&t, "echo kept >f\n", false) == 0);
	id = send_call(&t, &(struct call){.slot = 1, .code = "kill -9 -1\n"});
	for (unsigned i = 0; i < 3; i++) { /* in any order but started before ended */
		got = next_told(&t);
		fd_close(&got.word.pidfd);
		died += got.type == GUEST_DIED && got.word.slot == 0;
		on += got.type == GUEST_CALL_ENDED && got.id == id &&
		      got.word.how == GUEST_BY_DRIVER;
	}
	ok(died == 1 && on == 1, "one program kills the others and goes on");
	ok(sh(&t, "grep -qx kept f\n", false) == 0, "and so does the session");
	ok(sh(&t, stop, true) == 0, "a program stops the porter");
	/* unless that was the one which looked at the workspace, and another waits */
	for (unsigned i = 0; i < 100; i++) {
		id = send_call(&t,
			       &(struct call){.slot = 0, .code = ":\n", .warm = true});
		send_slot(&t, GUEST_KILL, id, 0);
		got = next_told(&t);
		if (got.type != GUEST_CALL_ENDED || got.word.how != GUEST_BY_DRIVER)
			break;
		must(sh(&t, stop, true) == 0);
	}
	ok(got.id == id && ended(&got, GUEST_BY_KERNEL, SIGKILL),
	   "the call that waits for it can be killed");
	ok(sh(&t, "grep -qx kept f\n", false) == 0, "and the next has a porter");
	close_session(&t);
	host->facts.landlock_abi = abi;
}

int main(void)
{
	open_host();
	test_endings();
	test_dies_between_calls();
	test_bad_starts();
	test_never_reads();
	test_children();
	test_fork_bomb();
	test_many_processes();
	test_out_of_memory();
	test_porter();
	test_without_landlock();
	test_descriptors();
	launch_host_free(host);
	return tap_done();
}
