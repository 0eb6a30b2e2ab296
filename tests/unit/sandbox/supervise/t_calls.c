/* A call's life in a session, state by state, with a guest that does what the test wants: also lie. */
#include "tests/unit/sandbox/supervise/fake_call.h"

#include <errno.h>
#include <signal.h>

/* The type of the guest's next record, its slot in *ret. */
static uint32_t heard(uint32_t *ret)
{
	struct ipc_msg m;
	uint32_t type = take(guest, &m);

	*ret = type ? ipc_get_u32(&m) : 0;
	if (type)
		ipc_finish(&m);
	return type;
}

static bool told_called(uint64_t id, bool fresh)
{
	const bool good = told_start(SUP_CALLED, id) && began.fresh == fresh;

	close_start();
	return good;
}

/* A call that runs. */
static struct run *running(uint64_t id, bool fresh)
{
	struct run *r = call(id, s, "python");

	must(r && written(LED_INTENT) && hears(GUEST_CALL));
	say_started(id, fresh);
	must(told_called(id, fresh) && r->state == RUN_RUNNING);
	return r;
}

/* What stands in the socket when the sandbox is seen to have ended was said before. */
static void test_last_words(void)
{
	const char *const languages[] = {"python", "javascript", "bash"};
	struct ipc_msg m;

	begin();
	for (unsigned i = 0; i < ARRAY_LEN(languages); i++) {
		must(call(10 + i, s, languages[i]) && written(LED_INTENT) &&
		     hears(GUEST_CALL));
		say_started(10 + i, true);
		must(told_called(10 + i, true));
	}
	for (unsigned i = 0; i < ARRAY_LEN(languages); i++) {
		ipc_start(&m, GUEST_CALL_ENDED, 10 + i);
		guest_put_word(&m, &(struct guest_word){.when_us = loop_now_us(),
							.pidfd = -1,
							.how = GUEST_BY_DRIVER});
		must(!ipc_send(guest, &m, NULL));
	}
	gone_now = true;
	s->child_io.on_ready(&s->child_io, EPOLLIN); /* its turn came first */
	for (unsigned i = 0; i < ARRAY_LEN(languages); i++)
		ok(has_result(10 + i, &got) && got.status == SUP_EXITED &&
			   !got.session_ended,
		   "%s had ended before", languages[i]);
	while (write_next())
		;
	end();
}

static void test_ordinary(void)
{
	struct run *r;

	begin();
	r = call(10, s, "python");
	ok(r && !hears(GUEST_CALL), "nothing goes to the guest before it is recorded");
	ok(written(LED_INTENT) && hears(GUEST_CALL) && last_call.io.out_fd >= 0 &&
		   last_call.rich_fd >= 0,
	   "the first call brings pipes");
	usage.cpu_us += 500;
	ok(!type_at(front), "the front waits for the guest");
	say_started(10, true);
	ok(told_called(10, true) && !strcmp(began.session_id, s->id), "it gets them");
	usage.peak_memory_bytes = 77;
	say_ended(10, GUEST_BY_DRIVER, 3);
	ok(closes(10) && got.status == SUP_EXITED && got.exit_code == 3 && got.fresh &&
		   !got.lost_state && got.cpu_us == 500 && got.peak_memory_bytes == 77,
	   "its code and what the session's counters have grown by are the result");
	r = running(11, false);
	ok(last_call.io.out_fd < 0, "the next one brings none");
	usage.oom_kills++;
	say_ended(11, GUEST_BY_DRIVER, 0);
	ok(closes(11) && got.status == SUP_EXITED && got.hits & SUP_HIT_MEMORY &&
		   !got.cpu_us,
	   "where only something it started ran out of memory it still exited");
	running(12, false);
	say_ended(12, GUEST_BY_KERNEL, SIGSEGV);
	ok(closes(12) && got.status == SUP_SIGNALED && got.signal == SIGSEGV &&
		   got.lost_state && !s->slot[0].alive,
	   "a crash loses the state");
	running(13, true);
	usage.oom_kills++;
	say_ended(13, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(13) && got.status == SUP_OUT_OF_MEMORY && got.lost_state,
	   "so does the OOM killer");
	ok(s->calls == 4 && ses_is_busy(s) == false, "they are counted");
	end();
}

/* The news that it died crossed the call. */
static void test_crossed(void)
{
	begin();
	running(10, true);
	say_ended(10, GUEST_BY_DRIVER, 0);
	must(closes(10));
	must(call(11, s, "python") && written(LED_INTENT) && hears(GUEST_CALL) &&
	     last_call.io.out_fd < 0);
	say_failed(11, ESRCH);
	ok(hears(GUEST_CALL) && last_call.io.out_fd >= 0,
	   "it is sent again, with pipes");
	say_failed(11, ESRCH);
	ok(!hears(GUEST_CALL) && written(LED_OUTCOME) &&
		   refused(SUP_REFUSED, 11, ERR_UNAVAILABLE),
	   "but not for ever");
	running(12, true);
	say_ended(12, GUEST_BY_DRIVER, 0);
	must(closes(12));
	must(call(13, s, "python") && written(LED_INTENT) && hears(GUEST_CALL));
	say_word(GUEST_DIED, 0,
		 &(struct guest_word){.pidfd = -1, .when_us = loop_now_us()});
	say_failed(13, ESRCH);
	ok(hears(GUEST_CALL) && last_call.io.out_fd >= 0,
	   "also when the news of its death comes first");
	end();
}

static void test_not_run(void)
{
	static const struct {
		uint32_t sys;
		enum err_code code;
	} rows[] = {{ENOSPC, ERR_LIMIT}, {EBUSY, ERR_BUSY}, {EIO, ERR_UNAVAILABLE}};

	begin();
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		must(call(10 + i, s, "python") && written(LED_INTENT) &&
		     hears(GUEST_CALL));
		say_failed(10 + i, rows[i].sys);
		ok(written(LED_OUTCOME) && refused(SUP_REFUSED, 10 + i, rows[i].code),
		   "what could not be run is an error of kind %d", rows[i].code);
	}
	ok(s->state == SES_OPEN && !s->slot[0].run, "the session goes on");
	running(20, true);
	say_failed(20, ENOSPC);
	ok(!s->slot[0].alive && written(LED_OUTCOME) && type_at(front) == SUP_REFUSED,
	   "also where the interpreter was started for it, and has gone with it");
	running(21, true);
	say_ended(21, GUEST_BY_DRIVER, 0);
	ok(closes(21) && got.fresh && !got.lost_before,
	   "what it had never held is not lost");
	end();
}

static void test_stopped(void)
{
	struct run *r;
	uint32_t slot;

	begin();
	r = running(10, true);
	stop(r);
	ok(heard(&slot) == GUEST_INTERRUPT && slot == 0, "a cancel interrupts");
	say_ended(10, GUEST_BY_DRIVER, 130);
	ok(closes(10) && got.status == SUP_CANCELLED && !got.lost_state &&
		   !got.has_exit_code,
	   "the state stays");
	r = running(11, false);
	due(r);
	ok(hears(GUEST_INTERRUPT), "so does the deadline");
	due(r);
	ok(hears(GUEST_INTERRUPT), "what has missed it hears another");
	due(r);
	ok(hears(GUEST_KILL), "what does not stop is killed");
	say_ended(11, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(11) && got.status == SUP_TIMEOUT && got.lost_state,
	   "then the state is lost");
	r = running(12, true);
	stop(r);
	for (unsigned i = 0; i < 3; i++)
		due(r);
	ok(s->state == SES_ENDING && s->end == SUP_SESSION_DIED,
	   "what does not even die ends the session");
	child_ends();
	ok(closes(12) && got.status == SUP_CANCELLED && got.session_ended,
	   "and the call with it");
	must(written(LED_SESSION_CLOSE));
	ok(type_at(front) == SUP_GONE, "before the session's end is told");
	down();
}

static void test_stopped_early(void)
{
	struct run *r;

	begin();
	r = call(10, s, "python");
	stop(r);
	must(written(LED_INTENT));
	ok(!hears(GUEST_CALL) && closes(10) && got.status == SUP_CANCELLED &&
		   !s->slot[0].run,
	   "cancelled while it is recorded: never sent");
	r = call(11, s, "python");
	must(written(LED_INTENT) && hears(GUEST_CALL));
	stop(r);
	must(hears(GUEST_INTERRUPT));
	say_started(11, true);
	ok(told_called(11, true) && r->state == RUN_ENDING,
	   "it may start all the same");
	say_ended(11, GUEST_BY_DRIVER, 130);
	ok(closes(11) && got.status == SUP_CANCELLED && got.fresh,
	   "and ends as cancelled");
	r = call(12, s, "python");
	must(written(LED_INTENT) && hears(GUEST_CALL));
	due(r);
	ok(hears(GUEST_KILL), "what does not start is killed");
	say_ended(12, GUEST_BY_KERNEL, SIGKILL);
	ok(written(LED_OUTCOME) && refused(SUP_REFUSED, 12, ERR_UNAVAILABLE),
	   "and said to be");
	r = call(13, s, "python");
	must(written(LED_INTENT) && hears(GUEST_CALL));
	say_ended(13, GUEST_BY_KERNEL, 0);
	ok(written(LED_OUTCOME) && told_called(13, false) && ended(13, &got) &&
		   got.status == SUP_EXITED,
	   "an end without a start is one");
	end();
}

static void test_queue(void)
{
	struct run *r;

	begin();
	running(10, true);
	r = call(11, s, "python");
	ok(type_at(front) == SUP_QUEUED && r->state == RUN_QUEUED && !r->has_slot,
	   "a second call waits, and takes no slot");
	ok(call(12, s, "bash") && written(LED_INTENT) && hears(GUEST_CALL) &&
		   last_call.slot == 2,
	   "another interpreter does not wait for it");
	for (uint64_t id = 13; id < 28; id++)
		must(call(id, s, "python") && type_at(front) == SUP_QUEUED);
	call(28, s, "python");
	ok(written(LED_EVENT) && refused(SUP_REFUSED, 28, ERR_BUSY),
	   "there is a bound");
	stop(run_find(&k, 13));
	must(written(LED_INTENT));
	ok(closes(13) && got.status == SUP_CANCELLED, "what waits can be cancelled");
	say_ended(10, GUEST_BY_DRIVER, 0);
	ok(closes(10) && r->state == RUN_RECORDING,
	   "when it ends the next one's turn has come");
	ses_end(s, SUP_SESSION_TTL, "ttl");
	turn();
	child_ends();
	while (write_next())
		;
	{
		unsigned cancelled = 0, id;

		for (id = 0; id < 60; id++) {
			struct ipc_msg m;
			uint32_t type = take(front, &m);

			cancelled += type == SUP_ENDED && !wire_get_result(&m, &got) &&
				     got.status == SUP_CANCELLED && got.session_ended &&
				     got.session_end == SUP_SESSION_TTL;
			if (type)
				ipc_finish(&m);
		}
		ok(cancelled == 16, "all that wait end with the session (%u)",
		   cancelled);
	}
	down();
}

/* What the interpreter prints then must not be taken for what it printed before. */
static void test_unread(void)
{
	begin();
	running(10, true);
	front_reads = false;
	must(call(11, s, "python") && call(12, s, "python"));
	must(type_at(front) == SUP_QUEUED && type_at(front) == SUP_QUEUED);
	say_ended(10, GUEST_BY_DRIVER, 0);
	ok(closes(10) && !write_next() && !hears(GUEST_CALL),
	   "a call waits until the output of the one before it has been read");
	ses_read(&k, 9);
	ok(!write_next(), "of that one");
	ses_read(&k, 10);
	ok(written(LED_INTENT) && hears(GUEST_CALL), "then it goes to the guest");
	say_started(11, false);
	must(told_called(11, false));
	say_ended(11, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(11) && written(LED_INTENT) && hears(GUEST_CALL),
	   "a new interpreter has pipes of its own, and need not wait");
	front_reads = true;
	end();
}

static void test_session_dies(void)
{
	begin();
	running(10, true);
	usage.cpu_us = 1234;
	fd_close(&guest);
	turn();
	ok(s->state == SES_ENDING, "the guest goes");
	child_ends();
	ok(closes(10) && got.status == SUP_LOST && got.session_ended &&
		   got.session_end == SUP_SESSION_DIED && got.cpu_us == 1234,
	   "the call is lost, its costs are not");
	must(written(LED_SESSION_CLOSE) && type_at(front) == SUP_GONE);
	down();
	begin();
	running(10, true);
	usage.oom_kills++;
	fd_close(&guest);
	turn();
	child_ends();
	ok(closes(10) && got.status == SUP_OUT_OF_MEMORY,
	   "or the OOM killer took it all");
	must(written(LED_SESSION_CLOSE) && type_at(front) == SUP_GONE);
	down();
	begin();
	running(10, true);
	must(call(11, s, "python") && type_at(front) == SUP_QUEUED);
	fd_close(&guest);
	turn();
	must(written(LED_INTENT));
	ok(closes(11) && got.status == SUP_CANCELLED && got.session_ended &&
		   got.session_end == SUP_SESSION_DIED,
	   "what waited for its turn is not lost: it never ran");
	end();
}

static void test_lies(void)
{
	struct run *r;
	AUTO_FD any = open("/dev/null", O_RDONLY | O_CLOEXEC);

	begin();
	r = running(10, true);
	say_started(10, true);
	ok(r->state == RUN_RUNNING && !type_at(front), "started twice changes nothing");
	say_ended(10, GUEST_BY_DRIVER, 0);
	must(closes(10));
	must(call(11, s, "python") && written(LED_INTENT) && hears(GUEST_CALL));
	say_word(GUEST_CALL_STARTED, 11,
		 &(struct guest_word){.when_us = UINT64_MAX, .pidfd = any});
	ok(told_called(11, false), "a new interpreter where none was started is none");
	say_word(GUEST_CALL_ENDED, 11,
		 &(struct guest_word){
			 .when_us = 0, .pidfd = -1, .how = GUEST_BY_DRIVER});
	ok(closes(11) && got.duration_us < 60000000,
	   "time is what the host's clock allows");
	running(12, false);
	say_ended(12, GUEST_BY_DRIVER, 0);
	say_ended(12, GUEST_BY_DRIVER, 0);
	ok(s->state == SES_ENDING, "ended twice ends the session");
	end();
}

/* Programs of their own. */
static void test_programs(void)
{
	struct wire_run w = {.tool = POL_RUN_COMMAND,
			     .has_argv = true,
			     .session_id = sv_of(""),
			     .open_stdin = true,
			     .code_fd = -1,
			     .input_fd = -1,
			     .stdin_fd = -1};
	struct run *r;
	uint32_t slot;

	begin();
	w.session_id = sv_of(s->id);
	auth_run(&k, 10, &w);
	auth_run(&k, 11, &w);
	must(written(LED_INTENT) && written(LED_INTENT));
	ok(hears(GUEST_CALL) && hears(GUEST_CALL) && last_call.rich_fd < 0 &&
		   last_call.io.stdin_fd >= 0,
	   "programs do not wait for one another");
	say_started(10, true);
	ok(told_start(SUP_ACCEPTED, 10) && began.fds[0] >= 0 && began.fds[1] >= 0 &&
		   began.fds[2] < 0 && began.stdin_fd >= 0,
	   "their pipes are their own");
	close_start();
	r = run_find(&k, 10);
	stop(r);
	ok(heard(&slot) == GUEST_KILL && slot == GUEST_NO_SLOT, "a cancel kills them");
	say_ended(10, GUEST_BY_KERNEL, SIGKILL);
	ok(closes(10) && got.status == SUP_CANCELLED && !got.lost_state,
	   "no state was lost");
	end();
}

static void test_refused(void)
{
	struct wire_run w = {.tool = POL_RUN_CODE,
			     .language = SV("python"),
			     .session_id = SV("ses_00000000000000000000000000000000"),
			     .code_fd = -1,
			     .input_fd = -1,
			     .stdin_fd = -1};

	begin();
	auth_run(&k, 10, &w);
	ok(written(LED_EVENT) && refused(SUP_REFUSED, 10, ERR_NOT_FOUND),
	   "there is no such session");
	w.session_id = sv_of(s->id);
	auth_run(&k, 11, &w);
	ok(written(LED_EVENT) && refused(SUP_REFUSED, 11, ERR_INVALID),
	   "a call without code");
	w.tool = POL_PROBE;
	auth_run(&k, 12, &w);
	ok(written(LED_EVENT) && refused(SUP_REFUSED, 12, ERR_INVALID), "another tool");
	end();
}

int main(void)
{
	const unsigned files = open_files();

	must(freopen("/dev/null", "w", stderr));
	test_ordinary();
	test_last_words();
	test_crossed();
	test_not_run();
	test_stopped();
	test_stopped_early();
	test_queue();
	test_unread();
	test_session_dies();
	test_lies();
	test_programs();
	test_refused();
	ok(open_files() == files, "no descriptor is left (%u)", open_files() - files);
	return tap_done();
}
