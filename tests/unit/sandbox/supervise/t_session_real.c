/* Sessions with a real keeper, ledger, sandbox and drivers: state stays from call to call, and what ends
 * it is told. */
#include "tests/unit/sandbox/supervise/real.h"

#include <errno.h>

static char id[SUP_SESSION_ID_SIZE];

static void test_state(void)
{
	struct asked a = open_with((struct sup_session_opts){.language = SV("")});
	struct called c;

	ok(!a.code && a.n == 1 && a.rows[0].calls == 0 && !a.rows[0].alive,
	   "a session opens");
	snprintf(id, sizeof(id), "%s", a.rows[0].id);
	c = call(id, "bash", "x=5; echo hello");
	fine(c,
	     !strcmp(c.out, "hello\n") && c.r.fresh && c.r.in_session &&
		     !c.r.lost_state && c.r.has_exit_code && !c.r.exit_code,
	     "a first call starts the interpreter");
	c = call(id, "bash", "echo $x; exit 3");
	fine(c,
	     !strcmp(c.out, "5\n") && !c.r.fresh && c.r.exit_code == 3 &&
		     !c.r.lost_state,
	     "a second one finds its variables; exit ends the call alone");
	c = call(id, "bash", "echo $x >&2; kill -9 $$");
	fine(c,
	     !strcmp(c.errs, "5\n") && c.r.status == SUP_SIGNALED &&
		     c.r.signal == SIGKILL && c.r.lost_state,
	     "one that kills it is told that variables are lost");
	c = call(id, "bash", "echo \"[$x]\"");
	fine(c, !strcmp(c.out, "[]\n") && c.r.fresh, "and the next one is fresh");
	a = list();
	ok(a.n == 1 && a.rows[0].calls == 4 && a.rows[0].alive && !a.rows[0].running,
	   "the list tells of it");
}

/* Turns until it has printed something. */
static void wait_output(struct called *c)
{
	struct loop_timer t = {.on_due = on_long};

	loop_timer_set(&loop, &t, LONG_MS);
	while (!c->done && !c->nout && !lost) {
		loop.stopped = false;
		must(!loop_run(&loop, NULL));
	}
	loop_timer_stop(&loop, &t);
}

static void test_python(void)
{
	struct called c;

	c = call(id, "python", "import os\nx = 41\nx + 1");
	fine(c, strstr(c.rich, "\"kind\"") && strstr(c.rich, "42") && c.rich_n == 1,
	     "the value of the last expression comes as a rich line: %s", c.rich);
	c = call(id, "python", "print(x)\n1/0");
	fine(c,
	     !strcmp(c.out, "41\n") && c.r.exit_code == 1 && !c.r.lost_state &&
		     strstr(c.errs, "ZeroDivisionError") && strstr(c.rich, "\"error\""),
	     "an error leaves the variables");
	c = call(id, "python", "os._exit(9)");
	fine(c, c.r.status == SUP_EXITED && c.r.exit_code == 9 && c.r.lost_state,
	     "os._exit ends the interpreter with its code");
}

static void test_interrupt(void)
{
	struct called c;

	c = call(id, "python", "y = 7");
	start(&c, id, "python", "import time\nprint('go', flush=True)\ntime.sleep(600)",
	      (struct sup_run_opts){.tool = POL_RUN_CODE});
	wait_output(&c);
	sup_client_interrupt(c.run);
	until(&c.done);
	fine(c, c.r.status == SUP_CANCELLED && !c.r.lost_state && strstr(c.out, "go"),
	     "an interrupt stops the code");
	c = call(id, "python", "print(y)");
	fine(c, !strcmp(c.out, "7\n") && !c.r.fresh, "and keeps the state");
	start(&c, id, "python", "import time\nwhile True: time.sleep(1)",
	      (struct sup_run_opts){
		      .tool = POL_RUN_CODE, .has_timeout = true, .timeout_ms = 200});
	until(&c.done);
	fine(c, c.r.status == SUP_TIMEOUT && !c.r.lost_state && !c.r.has_exit_code,
	     "so does a timeout");
	start(&c, id, "python",
	      "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
	      "while True: pass",
	      (struct sup_run_opts){
		      .tool = POL_RUN_CODE, .has_timeout = true, .timeout_ms = 200});
	until(&c.done);
	fine(c, c.r.status == SUP_TIMEOUT && c.r.lost_state && c.r.cpu_us + 1 > 0,
	     "code that does not stop is killed, and says that variables are lost");
}

static void test_programs(void)
{
	struct called c;
	AUTO_BUF input = {.max = 1 << 16};

	must(!sup_input_arg(&input, SV("/bin/cat"), NULL) &&
	     !sup_input_arg(&input, SV("-"), NULL));
	start(&c, id, "", NULL,
	      (struct sup_run_opts){.tool = POL_RUN_COMMAND,
				    .has_argv = true,
				    .open_stdin = true,
				    .stdin_fd = fd_memfd("in", "first ", 6, NULL),
				    .input_fd = fd_memfd("i", input.p, input.n, NULL)});
	must(!sup_client_input(c.run, SV("second"), false, NULL));
	wait_output(&c);
	must(!sup_client_input(c.run, SV(" third"), true, NULL));
	until(&c.done);
	fine(c,
	     !strcmp(c.out, "first second third") && c.r.in_session && !c.r.exit_code,
	     "a program of its own, with an open stdin: %s", c.out);
	start(&c, id, "python", "import sys\nprint(sys.stdin.read())",
	      (struct sup_run_opts){.tool = POL_RUN_CODE, .open_stdin = true});
	must(!sup_client_input(c.run, SV("to python"), true, NULL));
	until(&c.done);
	fine(c, !strcmp(c.out, "to python\n"), "an interpreter takes one as well");
	start(&c, "", "bash", "cat",
	      (struct sup_run_opts){.tool = POL_RUN_CODE, .open_stdin = true});
	must(!sup_client_input(c.run, SV("to nobody's"), true, NULL));
	until(&c.done);
	fine(c, !strcmp(c.out, "to nobody's") && !c.r.in_session,
	     "and a run in a sandbox of its own");
}

static void test_files(void)
{
	struct asked a = file(id, SUP_FILE_WRITE, "dir/a.txt", "content");
	struct called c;
	char got[32] = "";

	ok(!a.code, "a file is written");
	c = call(id, "bash",
		 "cat dir/a.txt; echo more >> dir/a.txt; ln -s /etc/passwd link");
	fine(c, !strcmp(c.out, "content") && !c.r.exit_code, "code reads it");
	a = file(id, SUP_FILE_READ, "dir/a.txt", NULL);
	ok(!a.code && a.file.size == 12 && read(a.file.fd, got, 31) == 12 &&
		   !strcmp(got, "contentmore\n"),
	   "and it is read back");
	fd_close(&a.file.fd);
	ok(file(id, SUP_FILE_READ, "link", NULL).code == ERR_DENIED,
	   "not through a link");
	a = file(id, SUP_FILE_READ, "dir", NULL);
	ok(a.code == ERR_INVALID && a.sys == EISDIR, "nor a folder");
	a = file(id, SUP_FILE_LIST, "", NULL);
	ok(!a.code && a.file.fd >= 0 && a.file.size > 100, "the tree is listed");
	fd_close(&a.file.fd);
	ok(!file(id, SUP_FILE_DELETE, "dir/a.txt", NULL).code, "it is deleted");
	a = file(id, SUP_FILE_READ, "dir/a.txt", NULL);
	ok(a.code == ERR_NOT_FOUND && a.sys == ENOENT, "then it is not there");
	ok(file(id, SUP_FILE_READ, "../x", NULL).code == ERR_INVALID,
	   "no path leads out");
	ok(file("ses_0", SUP_FILE_READ, "x", NULL).code == ERR_NOT_FOUND,
	   "nor into another's session");
}

static void test_output(void)
{
	struct called c;

	c = call(
		id, "bash",
		"(while :; do sleep 0.01; [ -e stop ] && echo late && break; done) & echo now");
	fine(c, !strcmp(c.out, "now\n"),
	     "what goes on in the background is not waited for");
	c = call(id, "bash", "touch stop; wait; echo end");
	fine(c, !strcmp(c.out, "late\nend\n"), "it prints into a later call");
	start(&c, id, "bash", "yes", (struct sup_run_opts){.tool = POL_RUN_CODE});
	until(&c.done);
	fine(c,
	     c.r.status == SUP_OUTPUT_LIMIT && !c.r.lost_state &&
		     c.out_total > 16u << 20,
	     "a flood is ended at the ceiling");
	c = call(id, "bash", "echo quiet");
	fine(c, !strcmp(c.out, "quiet\n"), "and nothing of it comes later");
	c = call(id, "bash", "head -c 9000000 /dev/zero; head -c 700000 /dev/zero >&2");
	fine(c, c.out_total == 9000000, "what is below the ceiling comes whole");
}

static void test_queue(void)
{
	struct called c[20];
	unsigned busy = 0, right = 0;
	char code[40], want[8];

	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		snprintf(code, sizeof(code), i ? "echo %u" : "sleep 0.3; echo %u", i);
		start(&c[i], id, "bash", code,
		      (struct sup_run_opts){.tool = POL_RUN_CODE});
	}
	for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
		until(&c[i].done);
		snprintf(want, sizeof(want), "%u\n", i);
		busy += c[i].code == ERR_BUSY;
		right += !c[i].code && !strcmp(c[i].out, want);
	}
	ok(busy == 3 && right == 17, "calls wait in order, up to a bound (%u, %u)",
	   right, busy);
}

static void test_ends(void)
{
	struct asked a = open_with((struct sup_session_opts){
		.language = SV("python"), .limits = {.ttl_s = 2, .idle_ttl_s = 1}});
	struct called c, d;

	ok(!a.code && !strcmp(a.rows[0].language, "python") &&
		   a.rows[0].limits.ttl_s == 2,
	   "a session of one language");
	c = call(a.rows[0].id, "bash", "echo");
	ok(c.code == ERR_INVALID, "takes no other: %s", c.cause);
	start(&c, a.rows[0].id, "",
	      "print(6*7, flush=True)\nimport time\ntime.sleep(9)",
	      (struct sup_run_opts){.tool = POL_RUN_CODE});
	start(&d, a.rows[0].id, "", "1", (struct sup_run_opts){.tool = POL_RUN_CODE});
	until(&c.done);
	fine(c,
	     c.r.status == SUP_CANCELLED && c.r.session_ended &&
		     c.r.session_end == SUP_SESSION_TTL && !strcmp(c.out, "42\n"),
	     "its time is over while a call runs: not idle, but old");
	until(&d.done);
	fine(d, d.r.status == SUP_CANCELLED && d.r.session_ended,
	     "what waited ends too");
	a = open_with((struct sup_session_opts){.limits = {.idle_ttl_s = 1}});
	turn_for(1500);
	ok(!a.code && call(a.rows[0].id, "bash", "echo").code == ERR_NOT_FOUND,
	   "an idle one ends");
	a = open_with((struct sup_session_opts){.limits = {.ttl_s = 90000}});
	ok(a.code == ERR_LIMIT, "more than is granted is refused");
	a = open_with((struct sup_session_opts){.language = SV("cobol")});
	ok(a.code == ERR_NOT_FOUND, "so is a language there is not");
}

static void test_memory(void)
{
	const char *must_run = getenv("MUST_RUN");
	struct asked a;
	struct called c;

	if (!strcmp(sup_client_info(client)->cgroup, "none")) {
		printf("# skip: no cgroup, so memory is not limited as a whole\n");
		ok(!must_run || strcmp(must_run, "1") != 0, "nothing is skipped");
		return;
	}
	a = open_with(
		(struct sup_session_opts){.limits = {.memory_bytes = 128u << 20}});
	call(a.rows[0].id, "python", "open('kept', 'w').write('yes'); x = 1");
	c = call(a.rows[0].id, "python", "b = bytearray(600 << 20)");
	fine(c,
	     c.r.status == SUP_OUT_OF_MEMORY && c.r.lost_state &&
		     c.r.hits & SUP_HIT_MEMORY,
	     "an interpreter that takes too much memory is ended, and says so");
	c = call(a.rows[0].id, "python", "print(open('kept').read(), 'x' in dir())");
	fine(c, !strcmp(c.out, "yes False\n") && c.r.fresh && c.r.status == SUP_EXITED,
	     "files stay, variables do not, and it is not held against the next");
	close_of(a.rows[0].id);
}

int main(void)
{
	up();
	test_state();
	test_python();
	test_interrupt();
	test_programs();
	test_files();
	test_output();
	test_queue();
	ok(!close_of(id).code, "a session closes");
	ok(close_of(id).code == ERR_NOT_FOUND, "and then it is not there");
	test_ends();
	test_memory();
	ok(list().n == 0, "nothing is left in the list");
	must(!open_with((struct sup_session_opts){.language = SV("")}).code);
	down();
	return tap_done();
}
