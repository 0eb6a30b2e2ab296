/* The front's side of sessions: whose output is whose, where pipes outlive the calls that print into them.
 * The keeper is a socket held by the test. */
#include "tests/unit/sandbox/supervise/front_call.h"

#include "sandbox/guest/guest.h"

#include <fcntl.h>
#include <signal.h>

static void test_output(void)
{
	struct call c;
	int old;

	up();
	begin(&c, true);
	print(0, "one");
	print(1, "oops");
	print(2, "{\"a\":1}\n{\"b\"");
	turn();
	print(2, ":2}\n");
	print(0, " two");
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	ok(c.done == 1 && !c.code && is(&c.out, "one two") && is(&c.errs, "oops") &&
		   is(&c.rich, "{\"a\":1}|{\"b\":2}|"),
	   "what is in the pipes when a call ends is its output");
	ok(!was_stopped(&c) && last_read == c.id, "that it has been read is told");
	finish(&c);
	print(0, "between and ");
	turn();
	ask(&c, false, -1);
	print(0, "before ");
	start(&c, false, false);
	print(0, "during");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.out, "between and before during") && is(&c.bytes, buf_cstr(&c.out)),
	   "what came between two calls is the first of the next: %s",
	   buf_cstr(&c.out));
	finish(&c);
	print(1, "last words");
	fd_close(&to[1]);
	turn();
	begin(&c, true);
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	ok(is(&c.errs, "last words"), "the last words of one that died are not lost");
	finish(&c);
	ask(&c, false, -1);
	old = dup(to[0]);
	send_start(&c, true, false);
	must(!fd_write_all(old, "not read", 8));
	fd_close(&old);
	turn();
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	ok(is(&c.out, "not read"), "nor those that lay in its pipe until then");
	finish(&c);
	begin(&c, false);
	print(0, "x");
	end_with(&c, (struct sup_result){.status = SUP_SIGNALED, .lost_state = true});
	ok(is(&c.out, "x") && write(to[0], "y", 1) < 0,
	   "one that ended has no pipes any more");
	finish(&c);
	ok(!lost, "all in order");
	down();
}

/* The same interpreter of two sessions. */
static void test_two_sessions(void)
{
	struct call c, d;
	int first[3];

	up();
	begin(&c, true);
	memcpy(first, to, sizeof(first));
	to[0] = to[1] = to[2] = -1;
	session = OTHER_SES;
	begin(&d, true);
	session = SES;
	print(0, "other");
	must(!fd_write_all(first[0], "one", 3));
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	end_with(&d, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	ok(!lost && is(&c.out, "one") && is(&d.out, "other"),
	   "what one session prints is not another's");
	finish(&c);
	finish(&d);
	for (unsigned i = 0; i < 3; i++)
		fd_close(&first[i]);
	down();
}

static void test_gone(void)
{
	struct call c;
	struct ipc_msg m;

	up();
	begin(&c, true);
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	finish(&c);
	ipc_start(&m, SUP_GONE, 0);
	ipc_put_sv(&m, SV(OTHER_SES));
	ipc_put_u32(&m, SUP_SESSION_IDLE);
	must(!ipc_send(keeper, &m, NULL));
	turn();
	ok(write(to[0], "x", 1) == 1, "the end of another session is none of this one");
	ipc_start(&m, SUP_GONE, 0);
	ipc_put_sv(&m, SV(SES));
	ipc_put_u32(&m, SUP_SESSION_IDLE);
	must(!ipc_send(keeper, &m, NULL));
	turn();
	ok(!lost && write(to[0], "x", 1) < 0, "with its end its pipes are closed");
	down();
}

static void test_changes(void)
{
	AUTO_FD good = fd_memfd("changes", "rows", 4, NULL);
	char path[40];
	struct ipc_msg m;
	struct call c;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
	for (int i = 0; i < 2; i++) {
		AUTO_FD bad = open(path, O_PATH | O_CLOEXEC);

		up();
		begin(&c, true);
		ipc_start(&m, SUP_CHANGES, c.id);
		guest_put_changes(
			&m, &(struct guest_changes){.total = 1, .fd = i ? bad : good});
		must(!ipc_send(keeper, &m, NULL));
		end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
		ok(c.done == 1 && c.changes_known == !i, "changes that can%s be read",
		   i ? "not" : "");
		finish(&c);
		down();
	}
}

/* Nobody reads its pipe but the front: it must not be held up between calls, nor fill the front. */
static void test_flood_between(void)
{
	static char lot[100000];
	struct call c;
	uint64_t sent = 0, began_us, turns;

	memset(lot, 'x', sizeof(lot));
	up();
	begin(&c, true);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	must(!fd_set_nonblock(to[0]));
	began_us = loop_now_us();
	while (sent < 2000001) {
		ssize_t n = write(to[0], lot, sizeof(lot));

		sent += n > 0 ? (uint64_t)n : 0;
		turn();
	}
	/* kept, read at intervals of 20 ms, in the pipe */
	turns = (loop_now_us() - began_us) / 20000 + 1;
	ok(sent <= (256u << 10) + turns * 65536 + 2 * 65536,
	   "it does not take all of the front's time: %u KiB in %u ms",
	   (unsigned)(sent >> 10), (unsigned)turns * 20);
	begin(&c, false);
	print(0, "END");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(sent > 2000000 && c.total == sent + 3, "all of it is counted");
	ok(c.bytes.n == (256u << 10) + 3 && sv_ends(buf_view(&c.bytes), SV("END")),
	   "as much as there is room for is kept (%zu)", c.bytes.n);
	ok(!c.run || c.done == 1, "and the call was not ended for it");
	finish(&c);
	for (sent = 0; sent < (1u << 20);) {
		ssize_t n = write(to[0], lot, sizeof(lot));

		sent += n > 0 ? (uint64_t)n : 0;
		turn();
	}
	ask(&c, false, -1);
	must(write(to[0], "ITS OWN", 7) == 7);
	/* longer than the interval */
	for (began_us = loop_now_us(); loop_now_us() < began_us + 60000;)
		turn();
	start(&c, false, false);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(sv_ends(buf_view(&c.bytes), SV("ITS OWN")),
	   "what it prints before it is told of as begun is not dropped");
	finish(&c);
	down();
}

static void test_gap(void)
{
	struct call c;

	up();
	begin(&c, true);
	end_with(&c, (struct sup_result){.status = SUP_EXITED, .fresh = true});
	finish(&c);
	mem_fail_after(1);
	print(0, "no room");
	turn();
	mem_fail_after(0);
	print(0, " then room");
	turn();
	begin(&c, false);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(!c.bytes.n && c.total == 17,
	   "what comes after a gap is not given as if there were none");
	finish(&c);
	down();
}

/* A writer that goes on and on must not keep a call from its end. */
static void test_flood_at_end(void)
{
	struct call c;
	pid_t pid;

	up();
	begin(&c, true);
	pid = fork();
	if (!pid) {
		static char lot[65536];

		signal(SIGPIPE, SIG_DFL);
		while (write(to[0], lot, sizeof(lot)) > 0)
			;
		_exit(0);
	}
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(c.done == 1, "the call ends");
	must(!kill(pid, SIGKILL));
	finish(&c);
	down();
}

static void test_input(void)
{
	static char lot[2 << 20];
	struct call c;
	char got[65536];
	uint64_t n = 0;
	ssize_t k;

	memset(lot, 'z', sizeof(lot));
	up();
	ask(&c, true, fd_memfd("in", "first,", 6, NULL));
	ok(!sup_client_input(c.run, SV("second,"), false, NULL),
	   "it can be written before it starts");
	start(&c, true, true);
	must(!sup_client_input(c.run, SV("third"), false, NULL));
	ok(read(in_from, got, sizeof(got)) == 18 &&
		   !memcmp(got, "first,second,third", 18),
	   "all comes in order");
	for (unsigned i = 0; i < 8; i++)
		must(!sup_client_input(c.run, (struct sv){lot, sizeof(lot)}, false,
				       NULL));
	ok(sup_client_input(c.run, (struct sv){lot, sizeof(lot)}, false, NULL) == -1,
	   "what nobody reads is bounded");
	must(!sup_client_input(c.run, SV(""), true, NULL));
	ok(sup_client_input(c.run, SV("x"), false, NULL) == -1,
	   "after the end there is no more");
	must(!fd_set_nonblock(in_from));
	while ((k = read(in_from, got, sizeof(got))) != 0) {
		n += k > 0 ? (uint64_t)k : 0;
		turn();
	}
	ok(n == 8 * sizeof(lot), "all of it comes, and then the end");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	ask(&c, true, -1);
	start(&c, false, true);
	fd_close(&in_from);
	turn();
	ok(sup_client_input(c.run, SV("x"), false, NULL) == -1,
	   "a program that wants none gets none");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	ask(&c, false, -1);
	ok(sup_client_input(c.run, SV("x"), false, NULL) == -1,
	   "nor one that was not to");
	start(&c, false, false);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	finish(&c);
	ok(!lost, "all in order");
	down();
}

static void test_out_of_order(void)
{
	static const char *const what[] = {"two calls at once in one interpreter",
					   "a call of one without a session",
					   "an answer to no question",
					   "an end of a session cut short"};

	for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
		struct call c, d;
		struct ipc_msg m;

		up();
		ask(&c, false, -1);
		ask(&d, false, -1);
		start(&c, true, false);
		ipc_start(&m, SUP_GONE, 0);
		if (i == 0)
			start(&d, false, false);
		if (i == 1) {
			ipc_start(&m, SUP_CALLED, 999);
			must(!ipc_send(keeper, &m, NULL));
		}
		if (i == 2) {
			ipc_start(&m, SUP_FILE_DONE, c.id);
			wire_put_file_done(&m, &(struct sup_file_done){.fd = -1});
			must(!ipc_send(keeper, &m, NULL));
		}
		if (i == 3)
			must(!ipc_send(keeper, &m, NULL));
		turn();
		ok(lost && c.done == 1 && d.done == 1 && c.code == ERR_LOST,
		   "%s: no keeper", what[i]);
		finish(&c);
		finish(&d);
		down();
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	must(freopen("/dev/null", "w", stderr));
	test_output();
	test_two_sessions();
	test_gone();
	test_changes();
	test_flood_between();
	test_gap();
	test_flood_at_end();
	test_input();
	test_out_of_order();
	return tap_done();
}
