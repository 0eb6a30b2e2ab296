/* t_run.c: a call reaches the keeper as sealed memfds and ends exactly once, whatever happens. */
#include "tests/unit/tools/keeper.h"

#define HELLO                                                                          \
	"{\"language\":\"python\",\"code\":\"print(1)\",\"stdin\":\"in\",\"timeout_ms\":7}"

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_request_and_result(struct keeper *k)
{
	struct called c;
	struct wire_run w;
	struct ipc_msg m;

	ok(!call_start(&c, k, "run_code", HELLO) && !c.ended, "started, not yet ended");
	ok(keeper_next_run(k, &m, &w), "the keeper is asked");
	ok(w.tool == POL_RUN_CODE && sv_eq(w.language, SV("python")) && !w.has_argv &&
		   w.has_timeout && w.timeout_ms == 7 &&
		   sv_eq(w.credential, SV("cred")),
	   "for what the caller wants, in the caller's name");
	ok(fd_holds(w.code_fd, "print(1)") && fd_holds(w.stdin_fd, "in") &&
		   w.input_fd < 0,
	   "code and stdin come sealed; no input, no descriptor");
	keeper_accept(k, m.id, "1\n", "", NULL);
	keeper_end(k, m.id, SUP_EXITED, 0);
	keeper_turn(k);
	ok(c.ended == 1 && !c.failed &&
		   sv_eq(js_str(js_get(c.structured, "stdout")), SV("1\n")) &&
		   strstr(buf_cstr(&c.text), "exited with code 0"),
	   "the result has what was printed and how it ended");
	ok(!c.call.state, "and nothing of the run is left");
	wire_run_close(&w);
	called_finish(&c);
}

static void test_argv(struct keeper *k)
{
	struct called c;
	struct wire_run w;
	struct ipc_msg m;

	ok(!call_start(&c, k, "run_command", "{\"argv\":[\"ls\"]}") &&
		   keeper_next_run(k, &m, &w) && w.tool == POL_RUN_COMMAND &&
		   w.has_argv && w.code_fd < 0 && w.input_fd >= 0 && w.stdin_fd < 0,
	   "argv goes as input without code");
	wire_run_close(&w);
	keeper_refuse(k, m.id, ERR_DENIED, "not today");
	keeper_turn(k);
	ok(c.ended == 1 && c.failed && c.err.code == ERR_DENIED &&
		   !strcmp(c.err.cause, "not today") &&
		   !strcmp(c.err.remediation, "as told"),
	   "a refusal is an error with its cause and remediation");
	called_finish(&c);
}

static void test_bad_arguments(struct keeper *k)
{
	struct called c;
	struct ipc_msg m;

	ok(call_start(&c, k, "run_command", "{}") == -1 && c.err.code == ERR_INVALID &&
		   !c.ended,
	   "bad arguments fail the start");
	ok(!keeper_next(k, &m), "and the keeper hears nothing of it");
	called_finish(&c);
}

static void test_cancel(struct keeper *k)
{
	struct called c;
	struct wire_run w;
	struct ipc_msg m;
	uint64_t id;

	ok(!call_start(&c, k, "run_code", HELLO) && keeper_next_run(k, &m, &w),
	   "started");
	id = m.id;
	wire_run_close(&w);
	c.call.tool->cancel(&c.call);
	ok(keeper_next(k, &m) == SUP_STOP && m.id == id &&
		   ipc_get_u32(&m) == WIRE_CANCEL,
	   "a cancel is passed on");
	ok(!c.ended, "and does not end the call by itself");
	keeper_accept(k, id, "", "", NULL);
	keeper_end(k, id, SUP_CANCELLED, 0);
	keeper_turn(k);
	ok(c.ended == 1 &&
		   sv_eq(js_str(js_get(c.structured, "status")), SV("cancelled")),
	   "the answer comes");
	c.call.tool->cancel(&c.call);
	ok(!keeper_next(k, &m), "a cancel after the end does nothing");
	called_finish(&c);
}

static void test_progress(struct keeper *k)
{
	struct called c;
	struct wire_run w;
	struct ipc_msg m;
	uint64_t since = loop_now_us();
	int out = -1;

	ok(!call_start(&c, k, "run_code", HELLO) && keeper_next_run(k, &m, &w),
	   "started");
	wire_run_close(&w);
	keeper_accept(k, m.id, "abc", "", &out);
	keeper_turn(k);
	ok(c.progress == 1 && c.progress_bytes == 3, "output is reported as it comes");
	for (int i = 0; i < 5; i++) {
		must(!fd_write_all(out, "x", 1));
		keeper_turn(k);
	}
	ok(c.progress <= 1 + (loop_now_us() - since) / 100000,
	   "but at most every 100 ms");
	fd_close(&out);
	keeper_end(k, m.id, SUP_EXITED, 0);
	keeper_turn(k);
	ok(c.ended == 1, "and then the end");
	called_finish(&c);
}

static void test_lost(struct keeper *k)
{
	struct called a, b, c;
	struct wire_run w;
	struct ipc_msg m;

	ok(!call_start(&a, k, "run_code", HELLO) &&
		   !call_start(&b, k, "run_code", HELLO),
	   "two runs under way");
	must(keeper_next_run(k, &m, &w));
	wire_run_close(&w);
	must(keeper_next_run(k, &m, &w));
	wire_run_close(&w);
	fd_close(&k->sock);
	keeper_turn(k);
	ok(k->lost && a.ended == 1 && b.ended == 1 && a.err.code == ERR_LOST &&
		   b.err.code == ERR_LOST,
	   "when the keeper dies both end as lost");
	ok(call_start(&c, k, "run_code", HELLO) == -1 && c.err.code == ERR_LOST &&
		   !c.call.state,
	   "and the next does not start");
	called_finish(&a);
	called_finish(&b);
	called_finish(&c);
}

static void test_no_memory(struct keeper *k)
{
	struct called c;
	struct wire_run w;
	struct ipc_msg m;
	int before = open_fds();
	long n = 1;

	k->principal = "a new one";
	for (; n < 50; n++) {
		struct err e = {0};
		struct run_request req = {.tool = POL_RUN_CODE,
					  .language = SV("python")};

		c = (struct called){
			.call = {.env = keeper_env(k), .hooks = &called_hooks}};
		c.call.owner = &c;
		mem_fail_after(n);
		if (!run_start(&c.call, &req, &e) || e.code != ERR_LIMIT ||
		    c.call.state || keeper_next(k, &m) || open_fds() != before)
			break;
		mem_fail_after(0);
	}
	mem_fail_after(0);
	ok(n > 3 && c.call.state,
	   "each of %ld allocations may fail: nothing is started, nothing left open",
	   n - 1);
	must(keeper_next_run(k, &m, &w));
	wire_run_close(&w);
	keeper_refuse(k, m.id, ERR_DENIED, "enough");
	keeper_turn(k);
	ok(c.ended == 1, "and then it works");
	k->principal = "";
}

int main(void)
{
	struct keeper k;
	int before;

	keeper_init(&k);
	before = open_fds();
	test_request_and_result(&k);
	test_argv(&k);
	test_bad_arguments(&k);
	test_cancel(&k);
	test_progress(&k);
	test_no_memory(&k);
	ok(open_fds() == before, "no descriptor is left open by any of them");
	test_lost(&k);
	keeper_finish(&k);
	return tap_done();
}
