/* A call of a language that is compiled, step by step: two programs for the guest, one call for everybody else. */
#include "tests/unit/sandbox/supervise/fake_call.h"

#include <errno.h>
#include <signal.h>

/* The front has been told, with the compiler's pipe. */
static bool told(uint64_t id)
{
	const bool good = told_start(SUP_ACCEPTED, id) && began.fds[0] >= 0 &&
			  began.fds[1] >= 0 && began.fds[2] >= 0;

	close_start();
	return good;
}

/* Its compiler runs. */
static struct run *compiling(uint64_t id)
{
	struct run *r = call(id, s, "c");

	must(r && written(LED_INTENT) && hears(GUEST_CALL));
	must(last_call.part == GUEST_COMPILES);
	say_started(id, true);
	must(told(id) && r->state == RUN_RUNNING && r->compiling);
	return r;
}

/* What it has made does. */
static struct run *running(uint64_t id)
{
	struct run *r = compiling(id);

	say_ended(id, GUEST_BY_KERNEL, 0);
	must(hears(GUEST_CALL) && last_call.part == GUEST_COMPILED);
	say_started(id, true);
	must(r->state == RUN_RUNNING && !r->compiling);
	return r;
}

static void test_two_steps(void)
{
	struct run *r;

	begin();
	r = call(10, s, "c");
	ok(written(LED_INTENT) && hears(GUEST_CALL) &&
		   last_call.part == GUEST_COMPILES && last_call.slot == GUEST_NO_SLOT,
	   "the compiler comes first");
	ok(last_call.io.code_fd >= 0 && last_call.io.stdin_fd < 0 &&
		   last_call.io.out_fd >= 0 &&
		   last_call.io.out_fd == last_call.io.err_fd,
	   "it has the code, one pipe for all it says, and no input");
	say_started(10, true);
	ok(told(10) && r->compiling, "the front is told once, with all pipes");
	usage.cpu_us += 300;
	usage.oom_kills++;
	say_ended(10, GUEST_BY_KERNEL, 0);
	ok(hears(GUEST_CALL) && last_call.id == 10 &&
		   last_call.part == GUEST_COMPILED && last_call.io.code_fd < 0 &&
		   last_call.io.out_fd >= 0 &&
		   last_call.io.out_fd != last_call.io.err_fd,
	   "then what it made, with the program's own");
	ok(!type_at(front) && !write_next() && r->state == RUN_STARTING &&
		   s->calls == 1,
	   "nobody else hears of that");
	say_started(10, true);
	ok(!type_at(front) && r->state == RUN_RUNNING, "also not when it starts");
	usage.cpu_us += 200;
	say_ended(10, GUEST_BY_KERNEL, 3 << 8);
	ok(closes(10) && got.status == SUP_EXITED && got.exit_code == 3 &&
		   got.compile.there && !got.compile.last &&
		   got.compile.status == SUP_EXITED && got.compile.has_exit_code &&
		   !got.compile.exit_code,
	   "its end is the call's");
	ok(got.cpu_us == 500 && !got.hits,
	   "both have cost, but what hit the compiler is not the program's");
	end();
}

static ino_t inode_of(int fd)
{
	struct stat st;

	must(!fstat(fd, &st));
	return st.st_ino;
}

static void test_pipes(void)
{
	struct wire_run w = {.tool = POL_RUN_CODE,
			     .language = SV("c"),
			     .code_fd = fd_memfd("code", "x", 1, NULL),
			     .input_fd = -1,
			     .stdin_fd = fd_memfd("stdin", "x", 1, NULL)};
	ino_t out, errs;

	begin();
	w.session_id = sv_of(s->id);
	auth_run(&k, 10, &w);
	must(written(LED_INTENT) && hears(GUEST_CALL));
	ok(last_call.part == GUEST_COMPILES && last_call.io.stdin_fd < 0,
	   "the compiler does not read what the program is to read");
	say_started(10, true);
	must(told_start(SUP_ACCEPTED, 10));
	out = inode_of(began.fds[0]);
	errs = inode_of(began.fds[1]);
	close_start();
	say_ended(10, GUEST_BY_KERNEL, 0);
	must(hears(GUEST_CALL));
	ok(last_call.part == GUEST_COMPILED && last_call.io.stdin_fd >= 0 &&
		   inode_of(last_call.io.out_fd) == out &&
		   inode_of(last_call.io.err_fd) == errs,
	   "the program has the others, and its input");
	say_ended(10, GUEST_BY_KERNEL, 0);
	must(closes(10));
	end();
}

static void test_refused(void)
{
	begin();
	compiling(10);
	say_ended(10, GUEST_BY_KERNEL, 1 << 8);
	ok(!hears(GUEST_CALL) && closes(10) && got.status == SUP_COMPILE_ERROR &&
		   !got.has_exit_code && got.compile.last &&
		   got.compile.exit_code == 1 && !got.duration_us,
	   "a compiler that says no ends the call");
	compiling(11);
	usage.oom_kills++;
	say_ended(11, GUEST_BY_KERNEL, 1 << 8);
	ok(closes(11) && got.status == SUP_OUT_OF_MEMORY &&
		   got.compile.status == SUP_OUT_OF_MEMORY && got.compile.last,
	   "one that was killed for its memory says so");
	compiling(12);
	say_ended(12, GUEST_BY_KERNEL, SIGSEGV);
	ok(closes(12) && got.status == SUP_SIGNALED && !got.signal &&
		   got.compile.signal == SIGSEGV,
	   "so does one that crashes");
	ok(s->state == SES_OPEN && !ses_is_busy(s), "the session goes on");
	end();
}

static void test_deadlines(void)
{
	struct run *r;
	uint64_t left;

	begin();
	r = compiling(10);
	left = r->timer.due_us - loop_now_us();
	ok(left > 20000000 && left <= 30000000, "the compiler has a time of its own");
	due(r);
	ok(hears(GUEST_KILL) && r->state == RUN_ENDING, "past it, it is killed");
	say_ended(10, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(10) && got.status == SUP_TIMEOUT && got.compile.last &&
		   got.compile.status == SUP_TIMEOUT && got.hits == SUP_HIT_TIME,
	   "and the call ends there");
	r = running(11);
	left = r->timer.due_us - loop_now_us();
	ok(left > 5000000 && left <= 10000000, "then the program has all of its own");
	due(r);
	must(hears(GUEST_KILL));
	say_ended(11, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(11) && got.status == SUP_TIMEOUT && !got.compile.last &&
		   got.compile.status == SUP_EXITED,
	   "past it, it was the program");
	end();
}

static void test_stopped(void)
{
	struct run *r;

	begin();
	r = call(10, s, "c");
	stop(r);
	must(written(LED_INTENT));
	ok(!hears(GUEST_CALL) && closes(10) && got.status == SUP_CANCELLED &&
		   !got.compile.there,
	   "cancelled before it: there was no step");
	r = compiling(11);
	stop(r);
	ok(hears(GUEST_KILL), "cancelled in it: it is killed");
	/* it had just ended: what it made must not be started */
	say_ended(11, GUEST_BY_KERNEL, 0);
	ok(!hears(GUEST_CALL) && closes(11) && got.status == SUP_CANCELLED &&
		   got.compile.last && got.compile.status == SUP_CANCELLED,
	   "and nothing comes after it");
	r = compiling(12);
	say_ended(12, GUEST_BY_KERNEL, 0);
	must(hears(GUEST_CALL));
	stop(r);
	ok(hears(GUEST_KILL), "cancelled between them: the second is killed");
	say_ended(12, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(12) && got.status == SUP_CANCELLED && !got.compile.last &&
		   got.compile.status == SUP_EXITED && !got.duration_us,
	   "which had not begun");
	r = compiling(13);
	r->evidence.reason = VERDICT_OUTPUT;
	run_event(r, EV_STOP);
	turn();
	must(hears(GUEST_KILL));
	say_ended(13, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(13) && got.status == SUP_OUTPUT_LIMIT && got.compile.last,
	   "its output has a ceiling");
	end();
}

static void test_not_run(void)
{
	struct run *r;

	begin();
	r = call(10, s, "c");
	must(r && written(LED_INTENT) && hears(GUEST_CALL));
	say_failed(10, ENOENT);
	ok(written(LED_OUTCOME) && refused(SUP_REFUSED, 10, ERR_UNAVAILABLE),
	   "a compiler that cannot be started is an error");
	compiling(11);
	say_ended(11, GUEST_BY_KERNEL, 0);
	must(hears(GUEST_CALL));
	say_failed(11, ENOENT);
	ok(written(LED_OUTCOME) && refused(SUP_REFUSED, 11, ERR_UNAVAILABLE),
	   "so is one that made nothing");
	compiling(12);
	say_ended(12, GUEST_BY_KERNEL, 0);
	must(hears(GUEST_CALL));
	say_failed(12, EBUSY);
	ok(written(LED_OUTCOME) && refused(SUP_REFUSED, 12, ERR_BUSY),
	   "the guest may be full by then");
	end();
}

static void test_session_ends(void)
{
	begin();
	compiling(10);
	ses_end(s, SUP_SESSION_CLOSED, "closed");
	turn();
	child_ends();
	ok(closes(10) && got.status == SUP_CANCELLED && got.session_ended &&
		   got.compile.last && got.compile.there,
	   "closed while it compiles: it ends as cancelled, in that step");
	must(written(LED_SESSION_CLOSE) && type_at(front) == SUP_GONE);
	down();
	begin();
	compiling(10);
	fd_close(&guest);
	turn();
	child_ends();
	ok(closes(10) && got.status == SUP_LOST && got.compile.last,
	   "or its sandbox dies");
	must(written(LED_SESSION_CLOSE) && type_at(front) == SUP_GONE);
	down();
}

static void test_lies(void)
{
	struct run *r;

	begin();
	r = compiling(10);
	say_started(10, true);
	ok(r->state == RUN_RUNNING && !type_at(front), "started twice changes nothing");
	say_word(GUEST_CALL_ENDED, 10,
		 &(struct guest_word){.when_us = 0,
				      .pidfd = -1,
				      .how = GUEST_BY_KERNEL,
				      .changes = true});
	ok(hears(GUEST_CALL) && r->state == RUN_STARTING && !r->changes_due,
	   "of the first step no changes are waited for");
	say_ended(10, GUEST_BY_KERNEL, 0);
	ok(closes(10) && got.status == SUP_EXITED && got.compile.there,
	   "a program may end before it is said to start");
	r = call(11, s, "c");
	must(written(LED_INTENT) && hears(GUEST_CALL));
	say_ended(11, GUEST_BY_KERNEL, 0);
	ok(hears(GUEST_CALL) && last_call.part == GUEST_COMPILED, "a compiler, too");
	say_started(11, true);
	ok(told(11), "then the front is told with the program");
	say_ended(11, GUEST_BY_DRIVER, 0);
	ok(closes(11) && got.status == SUP_EXITED, "and it ends");
	end();
}

/* A compiler reads its file late. */
static void test_turns(void)
{
	struct run *r, *other;

	begin();
	compiling(10);
	r = call(11, s, "c");
	ok(type_at(front) == SUP_QUEUED && r->state == RUN_QUEUED,
	   "calls of one such language wait for one another");
	other = call(12, s, "rust");
	ok(written(LED_INTENT) && hears(GUEST_CALL) && other->state == RUN_STARTING,
	   "those of another do not");
	ok(call(13, s, "ruby") && written(LED_INTENT) && hears(GUEST_CALL) &&
		   last_call.part == GUEST_WHOLE,
	   "nor those that are not compiled");
	r = call(14, s, "ruby");
	ok(type_at(front) == SUP_QUEUED && r->state == RUN_QUEUED,
	   "whose code is a file all the same");
	say_ended(10, GUEST_BY_KERNEL, 1 << 8);
	must(closes(10));
	ok(written(LED_INTENT) && hears(GUEST_CALL) && last_call.id == 11,
	   "the end of one is the turn of the next");
	ses_end(s, SUP_SESSION_CLOSED, "closed");
	turn();
	child_ends();
	while (write_next())
		;
	while (type_at(front))
		;
	down();
}

static void test_alone(void)
{
	struct wire_run w = {.tool = POL_RUN_CODE,
			     .language = SV("c"),
			     .session_id = SV(""),
			     .code_fd = fd_memfd("code", "x", 1, NULL),
			     .input_fd = -1,
			     .stdin_fd = -1};

	begin();
	auth_run(&k, 10, &w);
	turn();
	ok(written(LED_EVENT) && refused(SUP_REFUSED, 10, ERR_INVALID),
	   "without a session it is refused: the front makes one");
	end();
}

int main(void)
{
	const unsigned files = open_files();

	must(freopen("/dev/null", "w", stderr));
	test_two_steps();
	test_pipes();
	test_refused();
	test_deadlines();
	test_stopped();
	test_not_run();
	test_session_ends();
	test_lies();
	test_turns();
	test_alone();
	ok(open_files() == files, "no descriptor is left (%u)", open_files() - files);
	return tap_done();
}
