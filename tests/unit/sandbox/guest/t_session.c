/* t_session.c: a session of the guest under the real bwrap: calls, slots, input, interrupts, ends. */
#include "tests/unit/sandbox/guest/session_test.h"

#include <sys/syscall.h>

static void test_keeps_state(void)
{
	struct test_session t;
	struct told started = {.word = {.pidfd = -1}}, got;

	ok(open_session(&t), "a session opens");
	got = do_call(&t, &(struct call){.code = "x=41; echo one\n"}, &started);
	ok(ended(&got, GUEST_BY_DRIVER, 0), "the first call ends by the driver's word");
	ok(started.word.pidfd >= 0, "and has started a process");
	ok(!strcmp(drain(t.out[0]), "one\n"), "its output is there when it has ended");
	fd_close(&started.word.pidfd);
	got = do_call(&t,
		      &(struct call){.code = "echo $((x+1)); false\n", .warm = true},
		      &started);
	ok(ended(&got, GUEST_BY_DRIVER, 1) && started.word.pidfd < 0,
	   "the second is given to the same process");
	ok(!strcmp(drain(t.out[0]), "42\n"), "which still knows the first");
	got = do_call(&t, &(struct call){.slot = 5, .code = "echo \"x=$x\"\n"}, NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0) && !strcmp(drain(t.out[5]), "x=\n"),
	   "another slot is another interpreter");
	ok(sh(&t, "echo file >f; [ $x = 41 ]\n", true) == 0, "beside the first");
	got = do_call(&t, &(struct call){.slot = 5, .code = "cat f\n", .warm = true},
		      NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0) && !strcmp(drain(t.out[5]), "file\n"),
	   "in the same workspace");
	ok(close_session(&t), "the end of the keeper's line ends it all");
}

static void test_slots_are_independent(void)
{
	struct test_session t;
	struct told got;
	uint64_t slow;

	must(open_session(&t));
	make_fifo(&t, "gate");
	must(sh(&t, ":\n", false) == 0);
	slow = send_call(&t, &(struct call){.code = "read -r w <gate; [ $w = go ]\n",
					    .warm = true});
	got = next_told(&t);
	must(got.type == GUEST_CALL_STARTED && got.id == slow);
	got = do_call(&t, &(struct call){.slot = 1, .code = "echo go >gate\n"}, NULL);
	if (got.id == slow) /* either may be told first */
		got = next_told(&t);
	ok(got.type == GUEST_CALL_ENDED, "two slots run at the same time");
	got = do_call(&t, &(struct call){.slot = 1, .code = ":\n", .warm = true}, NULL);
	ok(got.type == GUEST_CALL_ENDED, "and go on");
	slow = send_call(&t,
			 &(struct call){.slot = 1, .code = "cat gate\n", .warm = true});
	got = next_told(&t);
	got = do_call(&t, &(struct call){.slot = 1, .code = ":\n", .warm = true}, NULL);
	ok(got.type == GUEST_FAILED && got.sys == EBUSY,
	   "one call at a time in a slot");
	close_session(&t);
}

static void test_input(void)
{
	struct test_session t;
	AUTO_BUF b = {0};
	struct told got;
	struct sv in;
	int fd = memfd_of(SV("line of stdin\n"));

	buf_init(&b, 65536);
	add_entry(&b, GUEST_ARG, SV(""), SV("a b"));
	add_entry(&b, GUEST_ARG, SV(""), SV(""));
	add_entry(&b, GUEST_ENV, SV("COLOUR"), SV("red=blue"));
	add_entry(&b, GUEST_FILE, SV("deep/er/data.txt"), SV("content\n"));
	add_entry(&b, GUEST_FILE, SV("tool"), SV("#!/bin/sh\necho tool\n"));
	add_entry(&b, GUEST_CWD, SV(""), SV("deep/er"));
	in = buf_view(&b);
	must(open_session(&t));
	got = do_call(
		&t,
		&(struct call){
			.code = "r=/run/fumehood/$n; od -An -c $r.args | tr -d ' \\n'\n"
				"echo; tr '\\0' '\\n' <$r.env; cat $r.cwd; echo\n"
				"cat $r.in deep/er/data.txt; ./tool\n"
				"stat -c %a deep/er/data.txt tool\n",
			.input = in,
			.stdin_fd = fd},
		NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0), "a call with everything");
	ok(!strcmp(drain(t.out[0]), "ab\\0\\0\nCOLOUR=red=blue\n/workspace/deep/er\n"
				    "line of stdin\ncontent\ntool\n644\n755\n"),
	   "args, environment, folder, stdin and files are laid out");
	ok(sh(&t, "ls /run/fumehood | grep -c '^2[.]' >/tmp/n; grep -qx 1 /tmp/n\n",
	      true) == 0,
	   "and of a plain one only its code");
	fd_close(&fd);
	close_session(&t);
}

static void test_open_stdin(void)
{
	struct test_session t;
	struct told got;
	uint64_t id;
	int p[2];

	must(open_session(&t) && !fd_pipe(p, NULL));
	id = send_call(&t, &(struct call){.code = "cat /run/fumehood/$n.in\n",
					  .stdin_fd = p[0]});
	fd_close(&p[0]);
	got = next_told(&t);
	fd_close(&got.word.pidfd);
	ok(got.type == GUEST_CALL_STARTED && got.id == id,
	   "it runs while its stdin is open");
	must(!fd_write_all(p[1], "typed later\n", 12));
	fd_close(&p[1]);
	got = next_told(&t);
	ok(ended(&got, GUEST_BY_DRIVER, 0) && !strcmp(drain(t.out[0]), "typed later\n"),
	   "and reads what comes, up to its end");
	must(!fd_pipe(p, NULL));
	got = do_call(&t,
		      &(struct call){.code = "exec 5</run/fumehood/$n.in\n",
				     .warm = true,
				     .stdin_fd = p[0]},
		      NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0), "a call need not read it");
	fd_close(&p[0]);
	signal(SIGPIPE, SIG_IGN);
	struct pollfd w = {p[1], 0, 0};
	ok(poll(&w, 1, LONG_MS) == 1 && w.revents & POLLERR,
	   "nobody holds it after the call");
	fd_close(&p[1]);
	ok(sh(&t, "read -r x <&5; [ $? = 1 ]\n", true) == 0,
	   "what was not read is gone, and who goes on reading gets the end");
	close_session(&t);
}

/* Stopped, it hears of two things at once, however late this process says the second. */
static void signal_guest(const struct test_session *t, int sig)
{
	must(!syscall(SYS_pidfd_send_signal, t->box.guest_pidfd, sig, NULL, 0));
}

static void test_interrupt(void)
{
	struct test_session t;
	struct told got;
	uint64_t id;

	must(open_session(&t));
	make_fifo(&t, "open");
	must(sh(&t, "x=kept\n", false) == 0);
	id = send_call(
		&t,
		&(struct call){.code = "trap stop=1 INT; echo >open; "
				       "while [ ! $stop ]; do :; done; (exit 130)\n",
			       .warm = true});
	got = next_told(&t);
	do_call(&t, &(struct call){.slot = 1, .code = "read x <open\n"}, NULL);
	send_slot(&t, GUEST_INTERRUPT, id + 100, 0);
	send_slot(&t, GUEST_INTERRUPT, id, 1);
	got = do_call(&t, &(struct call){.slot = 1, .code = ":\n", .warm = true}, NULL);
	ok(got.id == id + 2, "an interrupt for another call is nobody's");
	send_slot(&t, GUEST_INTERRUPT, id, 0);
	got = next_told(&t);
	ok(got.id == id && ended(&got, GUEST_BY_DRIVER, 130), "one stops the code");
	ok(sh(&t, "[ $x = kept ]\n", true) == 0, "and not the state");
	send_slot(&t, GUEST_INTERRUPT, 0, 0);
	ok(sh(&t, "[ $x = kept ]\n", true) == 0, "between calls it is nothing");
	signal_guest(&t, SIGSTOP);
	id = send_call(&t, &(struct call){.slot = 2, .code = "echo ran\n"});
	send_slot(&t, GUEST_INTERRUPT, id, 2);
	signal_guest(&t, SIGCONT);
	do
		got = next_told(&t);
	while (got.type == GUEST_CALL_STARTED);
	ok(ended(&got, GUEST_BY_DRIVER, 130) && !*drain(t.out[2]),
	   "a call that is interrupted before it runs does not run");
	got = do_call(&t, &(struct call){.slot = 2, .code = "echo on\n", .warm = true},
		      NULL);
	ok(ended(&got, GUEST_BY_DRIVER, 0) && !strcmp(drain(t.out[2]), "on\n"),
	   "its interpreter is there");
	ok(sh(&t,
	      "[ ! -e /run/fumehood/$((n-2)).code ] && [ -e /run/fumehood/$n.code ]\n",
	      true) == 0,
	   "its files are not");
	close_session(&t);
}

static void test_kill(void)
{
	struct test_session t;
	struct told got;
	uint64_t id;

	must(open_session(&t));
	make_fifo(&t, "gate");
	must(sh(&t, "echo kept >f\n", false) == 0);
	id = send_call(&t,
		       &(struct call){.code = "trap '' INT TERM; cat gate & cat gate\n",
				      .warm = true});
	got = next_told(&t);
	send_slot(&t, GUEST_KILL, id, 0);
	got = next_told(&t);
	ok(got.id == id && ended(&got, GUEST_BY_KERNEL, SIGKILL),
	   "a kill is the kernel's word");
	got = do_call(&t, &(struct call){.code = "cat f\n", .warm = true}, NULL);
	ok(got.type == GUEST_FAILED && got.sys == ESRCH, "then the slot is empty");
	got = do_call(&t, &(struct call){.code = "cat f; pgrep -c cat\n"}, NULL);
	ok(got.type == GUEST_CALL_ENDED && !strcmp(drain(t.out[0]), "kept\n0\n"),
	   "files are there, and nothing of its session id");
	send_slot(&t, GUEST_KILL, 0, 0);
	got = next_told(&t);
	ok(got.type == GUEST_DIED && got.word.slot == 0 && got.word.status == SIGKILL,
	   "an idle one dies too, and it is told");
	send_slot(&t, GUEST_KILL, 0, 0);
	signal_guest(&t, SIGSTOP);
	id = send_call(&t, &(struct call){.code = "echo ran\n"});
	send_slot(&t, GUEST_KILL, id, 0);
	signal_guest(&t, SIGCONT);
	do
		got = next_told(&t);
	while (got.type == GUEST_CALL_STARTED);
	ok(ended(&got, GUEST_BY_KERNEL, SIGKILL), "one that has hardly started");
	ok(sh(&t, "[ -f f ]\n", false) == 0, "and the next starts anew");
	close_session(&t);
}

/* A program of its own: run with out and err of a slot that nothing uses. */
static struct told program(struct test_session *t, const char *text,
			   struct told *ret_started)
{
	struct guest_call g = {.slot = GUEST_NO_SLOT,
			       .rich_fd = -1,
			       .driver_fd = -1,
			       .run = {.interpreter = SV("/bin/sh"),
				       .code_name = SV("main.sh"),
				       .filter_fd = -1,
				       .input_fd = -1,
				       .stdin_fd = -1}};
	static struct ipc_msg m;
	struct told got;
	int w[3];

	fd_close(&t->out[7]);
	fd_close(&t->err[7]);
	fd_close(&t->rich[7]);
	make_pipes(t, 7, w);
	fd_close(&w[2]);
	g.run.out_fd = w[0];
	g.run.err_fd = w[1];
	g.run.code_fd = memfd_of(sv_of(text));
	g.run.env[g.run.nenv++] = SV("PATH=/usr/bin:/bin");
	ipc_start(&m, GUEST_CALL, ++t->last_id);
	guest_put_call(&m, &g);
	must(!ipc_send(t->box.ctl, &m, NULL));
	guest_close_call(&g);
	got = next_told(t);
	if (got.type == GUEST_CALL_STARTED && ret_started) {
		*ret_started = got;
		return got;
	}
	fd_close(&got.word.pidfd);
	return got.type == GUEST_CALL_STARTED ? next_told(t) : got;
}

static void test_programs(void)
{
	struct test_session t;
	struct told got, started = {.word = {.pidfd = -1}};

	must(open_session(&t));
	must(sh(&t, "x=1; echo there >f\n", false) == 0);
	got = program(&t, "cat f; echo also >g; exit 7\n", NULL);
	ok(ended(&got, GUEST_BY_KERNEL, 7 << 8) && !strcmp(drain(t.out[7]), "there\n"),
	   "a program of its own runs in the same workspace");
	ok(sh(&t, "[ $x = 1 ] && grep -q also g\n", true) == 0,
	   "beside the interpreter");
	got = program(&t, "sleep 1000 & exec sleep 1000\n", &started);
	ok(started.word.pidfd >= 0, "its process is told");
	send_slot(&t, GUEST_KILL, started.id, GUEST_NO_SLOT);
	got = next_told(&t);
	ok(got.id == started.id && ended(&got, GUEST_BY_KERNEL, SIGKILL),
	   "it can be killed");
	fd_close(&started.word.pidfd);
	ok(sh(&t, "[ $(pgrep -c sleep) = 0 ]\n", true) == 0, "with all it has started");
	got = program(&t, "exec sleep 1000\n", &started);
	send_slot(&t, GUEST_INTERRUPT, started.id, GUEST_NO_SLOT);
	got = next_told(&t);
	ok(ended(&got, GUEST_BY_KERNEL, SIGINT), "or interrupted");
	fd_close(&started.word.pidfd);
	got = program(&t, "sleep 1000 &\n", NULL);
	ok(ended(&got, GUEST_BY_KERNEL, 0),
	   "what it leaves behind does not hold it up");
	close_session(&t);
}

int main(void)
{
	open_host();
	test_keeps_state();
	test_slots_are_independent();
	test_input();
	test_open_stdin();
	test_interrupt();
	test_kill();
	test_programs();
	launch_host_free(host);
	return tap_done();
}
