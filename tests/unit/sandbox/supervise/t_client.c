/* The front's side of a run: its id comes once, from the queue or at its start; a cancel is never lost;
 * whoever breaks the order is no keeper. The keeper is a socket held by the test. */
#include "tests/unit/sandbox/supervise/front.h"

#include "sandbox/base/log.h"
#include "sandbox/supervise/client.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ID "run_0123456789abcdef0123456789abcdef"
#define OTHER "run_ffffffffffffffffffffffffffffffff"

static unsigned named, done, recorded;
static char name[SUP_RUN_ID_SIZE];
static enum sup_status status;
static enum err_code code;

static void on_accepted(void *arg, struct sv run_id)
{
	(void)arg;
	named++;
	must(!sv_copy(run_id, name, sizeof(name)));
}

static char compiler_said[64];
static uint64_t out_bytes, streamed;
static struct sup_compile compiled;

static void on_bytes(void *arg, int stream, struct sv bytes)
{
	(void)arg;
	must(stream == 1 || stream == 2);
	streamed += bytes.n;
}

static void on_done(void *arg, const struct sup_answer *a)
{
	(void)arg;
	done++;
	code = a->err ? a->err->code : ERR_NONE;
	out_bytes = a->out->total;
	snprintf(compiler_said, sizeof(compiler_said), SV_FMT,
		 SV_ARG(buf_view(&a->compile->head)));
	if (a->result)
		compiled = a->result->compile;
	status = a->err ? SUP_STATUS_COUNT : a->result->status;
}

static void up(void)
{
	named = done = recorded = 0;
	front_up();
}

/* on_recorded: of one who can hold the answer; NULL: of one who cannot. */
static struct sup_run *ask_with(void (*on_recorded)(void *arg))
{
	return sup_client_run(client,
			      &(struct sup_run_opts){.language = SV("bash"),
						     .code_fd = -1,
						     .input_fd = -1,
						     .stdin_fd = -1,
						     .on_done = on_done,
						     .on_recorded = on_recorded,
						     .on_bytes = on_bytes,
						     .on_accepted = on_accepted},
			      NULL);
}

static struct sup_run *ask(void)
{
	return ask_with(NULL);
}

/* The type of the next record, 0: none; its id in *ret_id. */
static uint32_t next(uint64_t *ret_id)
{
	struct ipc_msg m;
	uint32_t type = ipc_recv(keeper, &m, NULL) == 1 ? m.type : 0;

	*ret_id = m.id;
	ipc_finish(&m);
	return type;
}

static uint64_t begin(void)
{
	uint64_t id;

	must(ask() && next(&id) == SUP_RUN);
	return id;
}

static void queue(uint64_t id, const char *run_id)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_QUEUED, id);
	ipc_put_sv(&m, sv_of(run_id));
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static void accept_run(uint64_t id, const char *run_id)
{
	int out[2], errs[2];
	struct wire_start start = {
		.output_max = 1000, .fds = {-1, -1, -1}, .stdin_fd = -1};
	struct ipc_msg m;

	must(!fd_pipe(out, NULL) && !fd_pipe(errs, NULL));
	ipc_start(&m, SUP_ACCEPTED, id);
	snprintf(start.run_id, sizeof(start.run_id), "%s", run_id);
	start.fds[0] = out[0];
	start.fds[1] = errs[0];
	wire_put_start(&m, &start);
	must(!ipc_send(keeper, &m, NULL));
	for (int i = 0; i < 2; i++) {
		fd_close(&out[i]);
		fd_close(&errs[i]);
	}
	turn();
}

static void end_as(uint64_t id, struct sup_result r)
{
	struct ipc_msg m;

	snprintf(r.run_id, sizeof(r.run_id), ID);
	ipc_start(&m, SUP_ENDED, id);
	wire_put_result(&m, &r);
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static void record(uint64_t id)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_RECORDED, id);
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static void end(uint64_t id, enum sup_status how)
{
	end_as(id, (struct sup_result){.status = how});
	record(id);
}

/* What the compiler prints comes with the answer, and never as the program's. */
static void test_compiled(void)
{
	struct wire_start start = {.run_id = ID, .output_max = 1000, .stdin_fd = -1};
	int p[3][2];
	struct ipc_msg m;
	uint64_t id;

	up();
	id = begin();
	ipc_start(&m, SUP_ACCEPTED, id);
	for (int i = 0; i < 3; i++) {
		must(!fd_pipe(p[i], NULL));
		start.fds[i] = p[i][0];
	}
	wire_put_start(&m, &start);
	must(!ipc_send(keeper, &m, NULL));
	must(!fd_write_all(p[2][1], "warning\n", 8) &&
	     !fd_write_all(p[0][1], "out\n", 4));
	turn();
	for (int i = 0; i < 3; i++) {
		fd_close(&p[i][0]);
		fd_close(&p[i][1]);
	}
	end_as(id, (struct sup_result){.status = SUP_COMPILE_ERROR,
				       .compile = {.there = true,
						   .last = true,
						   .status = SUP_COMPILE_ERROR,
						   .has_exit_code = true,
						   .exit_code = 2,
						   .duration_us = 77}});
	record(id);
	ok(done == 1 && status == SUP_COMPILE_ERROR && compiled.there &&
		   compiled.last && compiled.exit_code == 2 &&
		   compiled.duration_us == 77,
	   "the step is in the result");
	ok(!strcmp(compiler_said, "warning\n") && out_bytes == 4 && streamed == 4,
	   "its output is a stream of its own");
	id = begin();
	ipc_start(&m, SUP_ACCEPTED, id);
	must(!fd_pipe(p[0], NULL) && !fd_pipe(p[1], NULL) && !fd_pipe(p[2], NULL));
	start.fds[0] = p[0][0];
	start.fds[1] = p[1][0];
	start.fds[2] = p[2][0];
	start.output_max = 10;
	wire_put_start(&m, &start);
	must(!ipc_send(keeper, &m, NULL));
	must(!fd_write_all(p[2][1], "12345678901", 11));
	turn();
	ok(next(&id) == SUP_STOP, "the ceiling of output is its, too");
	for (int i = 0; i < 3; i++) {
		fd_close(&p[i][0]);
		fd_close(&p[i][1]);
	}
	front_down();
}

static void test_queued(void)
{
	uint64_t id;

	up();
	id = begin();
	queue(id, ID);
	ok(named == 1 && !strcmp(name, ID), "a run that waits has its id");
	accept_run(id, ID);
	ok(named == 1 && !lost, "which is told once");
	end(id, SUP_EXITED);
	ok(done == 1 && status == SUP_EXITED && !code, "and then it ends");
	id = begin();
	accept_run(id, ID);
	ok(named == 2, "one that need not wait has it when it starts");
	end(id, SUP_EXITED);
	id = begin();
	queue(id, ID);
	end(id, SUP_CANCELLED);
	ok(done == 3 && status == SUP_CANCELLED && !lost,
	   "one that is cancelled while it waits ends as that");
	front_down();
}

static void on_recorded(void *arg)
{
	(void)arg;
	recorded++;
}

static struct sup_run *ask_early(void)
{
	return ask_with(on_recorded);
}

static void test_recorded(void)
{
	const struct sup_result good = {.status = SUP_CANCELLED};
	struct sup_run *r;
	uint64_t id;

	up();
	id = begin();
	end_as(id, good);
	ok(!done, "a verdict is not told before its record");
	record(id);
	ok(done == 1 && !sup_client_active(client), "and then it is");
	must(ask_early() && next(&id) == SUP_RUN);
	end_as(id, good);
	ok(done == 2 && !recorded && sup_client_active(client) == 1,
	   "who can hold the answer gets it at once");
	record(id);
	ok(recorded == 1 && done == 2 && !sup_client_active(client) && !lost,
	   "and word of the record");
	r = ask_early();
	must(r && next(&id) == SUP_RUN);
	end_as(id, good);
	sup_client_abandon(r);
	record(id);
	ok(recorded == 1 && !sup_client_active(client) && !lost,
	   "none who has gone meanwhile");
	must(ask_early() && next(&id) == SUP_RUN);
	end_as(id, (struct sup_result){.status = SUP_EXITED});
	ok(done == 4 && code == ERR_LOST, "output that was lost");
	record(id);
	ok(recorded == 1 && !sup_client_active(client) && !lost, "is an error alone");
	front_down();
}

static void test_recorded_lost(void)
{
	uint64_t id;

	up();
	must(ask_early() && next(&id) == SUP_RUN);
	end_as(id, (struct sup_result){.status = SUP_CANCELLED});
	fd_close(&keeper);
	turn();
	ok(lost == 1 && done == 1 && recorded == 1,
	   "without a keeper nothing more will come");
	front_down();
	up();
	id = begin();
	record(id);
	ok(lost == 1 && done == 1 && code == ERR_LOST, "a record of nothing");
	front_down();
	up();
	must(ask_early() && next(&id) == SUP_RUN);
	end_as(id, (struct sup_result){.status = SUP_CANCELLED});
	record(id);
	record(id);
	ok(lost == 1 && recorded == 1, "a second record");
	front_down();
}

/* What programs do not read waits here, of all together only so much. */
static void test_input_ceiling(void)
{
	struct sup_run *r[8];
	const size_t n = SUP_MAX_WAITING_INPUT;
	struct err e = {0};
	char *bytes = mem_zalloc(n);
	size_t all = 0;
	uint64_t id;

	must(bytes);
	up();
	for (unsigned i = 0; i < ARRAY_LEN(r); i++) {
		r[i] = sup_client_run(client,
				      &(struct sup_run_opts){.language = SV("bash"),
							     .code_fd = -1,
							     .input_fd = -1,
							     .stdin_fd = -1,
							     .open_stdin = true,
							     .on_done = on_done},
				      NULL);
		must(r[i] && next(&id) == SUP_RUN);
	}
	ok(!sup_client_input(r[0], (struct sv){bytes, n}, false, &e) &&
		   sup_client_input(r[0], SV("x"), false, &e) == -1 &&
		   e.code == ERR_BUSY,
	   "a run alone may have as much as a run may");
	ok(sup_client_input(r[1], (struct sv){bytes, n}, false, NULL) == -1 &&
		   !sup_client_input(r[1], (struct sv){bytes, n * 3 / 4}, false, NULL),
	   "beside it another may have less");
	for (unsigned i = 2; i < ARRAY_LEN(r); i++)
		for (size_t part = n; part >= 4096; part /= 2)
			while (!sup_client_input(r[i], (struct sv){bytes, part}, false,
						 NULL))
				all += part;
	ok(all + n + n * 3 / 4 < SUP_MAX_WAITING_INPUT_ALL && all > n,
	   "all together have a ceiling");
	ok(!sup_client_input(r[7], SV("x"), true, NULL), "and the last still has room");
	front_down();
	mem_free(bytes);
}

static void test_out_of_order(void)
{
	static const char *const what[] = {"another id than before", "queued twice",
					   "queued when it runs", "no id"};

	for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
		uint64_t id;

		up();
		id = begin();
		if (i == 2)
			accept_run(id, ID);
		else
			queue(id, i == 3 ? "" : ID);
		if (i == 0)
			accept_run(id, OTHER);
		else if (i < 3)
			queue(id, ID);
		ok(lost == 1 && done == 1 && code == ERR_LOST, "%s: no keeper",
		   what[i]);
		front_down();
	}
}

/* Fills the keeper's socket; how many runs that took. One more waits. */
static unsigned fill(void)
{
	unsigned n = 0;
	const struct sup_run *r;

	while ((r = ask()) && !r->unsent)
		n++;
	must(r);
	return n;
}

static void test_cancel_waits(void)
{
	struct sup_run *r, *given_up;
	unsigned runs, stops = 0;
	uint64_t id, got;
	uint32_t type;

	up();
	r = ask();
	given_up = ask();
	must(next(&id) == SUP_RUN && next(&got) == SUP_RUN);
	runs = fill();
	sup_client_cancel(r);
	sup_client_abandon(given_up);
	for (unsigned i = 0; i < runs; i++)
		must(next(&got) == SUP_RUN);
	ok(!next(&got), "a cancel found no room");
	turn();
	must(next(&got) == SUP_RUN);
	while ((type = next(&got)))
		stops += type == SUP_STOP && (got == id || got == id + 1);
	ok(stops == 2, "so it comes when there is some");
	sup_client_cancel(r);
	turn();
	ok(!next(&got), "and only once");
	front_down();
}

static void test_cancel_too_late(void)
{
	struct sup_run *r;
	uint64_t id, got;

	up();
	r = ask();
	must(r && next(&id) == SUP_RUN);
	fill();
	sup_client_cancel(r);
	end(id, SUP_CANCELLED);
	ok(done == 1, "a run that has ended meanwhile");
	while (next(&got) == SUP_RUN)
		;
	turn();
	must(next(&got) == SUP_RUN);
	ok(!next(&got), "need not be stopped any more");
	front_down();
}

static struct sup_run *ask_for_file(int fd)
{
	return sup_client_run(client,
			      &(struct sup_run_opts){.language = SV("bash"),
						     .code_fd = fd,
						     .input_fd = -1,
						     .stdin_fd = -1,
						     .on_done = on_done},
			      NULL);
}

static void test_burst(void)
{
	unsigned wrong = 0, n = 0, sent;
	struct sup_run *r, *late;
	uint64_t got, last;
	struct ipc_msg m;
	const int file = fd_memfd("code", "x", 1, NULL);

	up();
	sent = fill();
	for (unsigned i = 0; i < 1000; i++)
		wrong += !ask();
	r = ask_for_file(file);
	ok(!wrong && r && r->unsent, "more than fit are taken, and wait");
	must(next(&last) == SUP_RUN);
	late = ask();
	ok(late && late->unsent, "who finds room then is not before them");
	for (n = 1; n < sent + 1001;)
		if (next(&got) == SUP_RUN) {
			wrong += got != ++last;
			n++;
		} else {
			turn();
		}
	must(ipc_recv(keeper, &m, NULL) == 1);
	ok(!wrong && m.id == r->id && m.nfds == 1,
	   "and come in turn, with their files");
	ipc_finish(&m);
	turn();
	ok(!r->unsent && fcntl(file, F_GETFD) < 0, "which are kept no longer");
	must(next(&got) == SUP_RUN && got == late->id);
	ok(!next(&got), "once each");
	front_down();
}

static void test_unsent(void)
{
	const int file = fd_memfd("code", "x", 1, NULL);
	struct sup_run *r, *cancelled;
	unsigned sent;
	uint64_t got;

	up();
	sent = fill();
	cancelled = ask();
	sup_client_cancel(cancelled);
	r = ask_for_file(file);
	for (unsigned i = 0; i < sent; i++)
		must(next(&got) == SUP_RUN);
	turn();
	must(next(&got) == SUP_RUN && next(&got) == SUP_RUN);
	ok(got == cancelled->id && next(&got) == SUP_RUN && got == r->id &&
		   next(&got) == SUP_STOP && got == cancelled->id,
	   "a run that is cancelled while it waits is stopped when it was sent");
	fill();
	r = ask_for_file(fd_memfd("code", "x", 1, NULL));
	done = 0;
	fd_close(&keeper);
	turn();
	ok(lost == 1 && code == ERR_LOST && done == sent * 2 + 5,
	   "the keeper is gone: all are told, those that wait too");
	front_down();
	up();
	fill();
	r = ask_for_file(fd_memfd("code", "x", 1, NULL));
	must(r && r->unsent);
	front_down();
	ok(true, "whoever leaves takes them along");
}

int main(void)
{
	log_open("test", LOG_ERROR);
	must(freopen("/dev/null", "w", stderr));
	test_queued();
	test_compiled();
	test_recorded();
	test_recorded_lost();
	test_input_ceiling();
	test_out_of_order();
	test_cancel_waits();
	test_cancel_too_late();
	test_burst();
	test_unsent();
	return tap_done();
}
