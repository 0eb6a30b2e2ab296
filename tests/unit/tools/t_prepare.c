/* t_prepare.c: what a run needs before it is asked for: made, given back, and nothing started without it. */
#include "tests/unit/tools/fake.h"

#include "sandbox/guest/guest.h"

#include <sys/mman.h>

#define LEAVES                                                                         \
	"{\"language\":\"python\",\"code\":\"1\",\"background\":true,\"outputs\":[\"a\"]}"
#define FROM_ELSEWHERE                                                                 \
	"{\"language\":\"python\",\"code\":\"1\",\"session_id\":\"" SES_ID             \
	"\",\"files\":[{\"path\":\"in\",\"artifact\":{\"session_id\":\"" SES_ID        \
	"\",\"path\":\"x\"}}]}"
#define FILES_OF "{\"run_id\":\"" RUN_ID "\"}"

/* Answers the question for a session of the run's own. */
static void make_session(void)
{
	const struct sup_session_info made = fake_session();

	must(fake.question.kind == FAKE_OPEN);
	fake_sessions(&made, 1);
}

/* The run has left the file it was to leave. */
static void end_with_file(struct keeper *k)
{
	const struct guest_change c = {
		.kind = GUEST_CREATED, .node = GUEST_NODE_FILE, .path = SV("a")};
	struct sup_result r = {
		.status = SUP_EXITED, .has_exit_code = true, .in_session = true};
	struct sup_stream out = {.total = 0}, errs = {.total = 0};
	struct sup_changes changes = {.known = true, .total = 1};
	struct sup_answer a = {
		.result = &r, .out = &out, .errs = &errs, .changes = &changes};
	char head[GUEST_CHANGE_HEAD];
	AUTO_BUF rows = {0};

	guest_put_change(head, &c);
	buf_init(&rows, 1000);
	buf_add(&rows, head, sizeof(head));
	buf_sv(&rows, c.path);
	changes.rows = buf_view(&rows);
	snprintf(r.run_id, sizeof(r.run_id), "%s", k->run_id);
	r.limits = pol_default()->limits;
	fake.run.o.on_done(fake.run.o.arg, &a);
	fake_recorded();
}

static void test_own_session(struct keeper *k)
{
	struct called c, files;
	struct err e;

	fake.dropped[0] = '\0';
	keeper_runs(k, &(struct runs_opts){.keep_runs = 1});
	must(!call_start(&c, k, "run_code", LEAVES));
	ok(fake.question.kind == FAKE_OPEN && !fake.runs,
	   "a run that leaves files asks for a session first");
	make_session();
	ok(fake.runs == 1 && !strcmp(fake.run.session_id, SES_ID) &&
		   fake.run.o.keep_files,
	   "and runs in it");
	fake_accept(k);
	ok(refuses(k, "artifact_list", FILES_OF, ERR_BUSY, &e) && !fake.dropped[0],
	   "its files are not there before it has ended");
	end_with_file(k);
	called_finish(&c);
	must(!call_start(&files, k, "artifact_list", FILES_OF));
	ok(fake.question.kind == FAKE_FILE && !strcmp(fake.question.id, SES_ID) &&
		   !fake.dropped[0],
	   "then they are, in that session");
	fake_fails(ERR_NOT_FOUND, "no");
	called_finish(&files);
	must(!call_start(&c, k, "run_code",
			 "{\"language\":\"python\",\"code\":\"1\"}"));
	ok(!strcmp(fake.dropped, SES_ID),
	   "which ends with what is known of the run: nobody can name it any more");
	fake_accept(k);
	fake_end(k);
	called_finish(&c);
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
}

static void test_nothing_left(struct keeper *k)
{
	struct called c;

	fake.dropped[0] = '\0';
	must(!call_start(&c, k, "run_code", LEAVES));
	make_session();
	fake_accept(k);
	fake_end(k);
	ok(!strcmp(fake.dropped, SES_ID), "one that has left none needs it no more");
	called_finish(&c);
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
}

static void test_cancelled(struct keeper *k)
{
	const unsigned runs = fake.runs;
	struct called c;

	fake.dropped[0] = '\0';
	must(!call_start(&c, k, "run_code", LEAVES));
	c.call.tool->cancel(&c.call);
	ok(!fake.withdrawn && fake.question.kind == FAKE_OPEN,
	   "a session that may be made already is waited for");
	make_session();
	ok(fake.runs == runs && !strcmp(fake.dropped, SES_ID),
	   "and ended: nothing is run in it");
	called_finish(&c);
}

static void test_refused(struct keeper *k)
{
	const unsigned runs = fake.runs;
	struct called c;

	must(!call_start(&c, k, "run_code", LEAVES));
	fake_fails(ERR_BUSY, "too many sessions");
	ok(c.ended == 1 && c.failed && c.err.code == ERR_BUSY && fake.runs == runs,
	   "without a session nothing is run");
	called_finish(&c);
}

/* A one-shot of a compiled language has a session for its two steps alone. */
static void test_limits(struct keeper *k)
{
	const struct sup_info info = {.limits = {.memory_bytes = 5 << 20,
						 .workspace_bytes = 6 << 20,
						 .processes = 7}};
	struct called c;

	fake.info = &info;
	must(!call_start(&c, k, "run_code", "{\"language\":\"c\",\"code\":\"1\"}"));
	ok(fake.question.kind == FAKE_OPEN && !strcmp(fake.question.language, "c") &&
		   fake.question.limits.memory_bytes == 5 << 20 &&
		   fake.question.limits.workspace_bytes == 6 << 20 &&
		   fake.question.limits.processes == 7,
	   "one that is only compiled has the limits of any other run");
	fake_fails(ERR_BUSY, "no");
	called_finish(&c);
	must(!call_start(&c, k, "run_code",
			 "{\"language\":\"c\",\"code\":\"1\",\"outputs\":[\"a\"]}"));
	ok(fake.question.kind == FAKE_OPEN && !fake.question.language[0] &&
		   !fake.question.limits.memory_bytes &&
		   !fake.question.limits.processes,
	   "one that leaves files those of a session");
	fake_fails(ERR_BUSY, "no");
	called_finish(&c);
	fake.info = NULL;
}

static void test_too_large(struct keeper *k)
{
	const unsigned runs = fake.runs;
	struct called c;
	int fd = memfd_create("x", MFD_CLOEXEC);

	must(fd >= 0 && !call_start(&c, k, "run_code", FROM_ELSEWHERE));
	keeper_turn(k);
	must(fake.question.kind == FAKE_FILE && fake.question.file.op == SUP_FILE_READ);
	fake_file(&(struct sup_file_done){.size = TRANSFER_MAX_BYTES + 1, .fd = fd});
	ok(c.ended == 1 && c.err.code == ERR_LIMIT && strstr(c.err.cause, "files[0]") &&
		   fake.runs == runs && fake.question.kind == FAKE_NOTHING,
	   "a file that is too large is not copied, and nothing is run without it");
	ok(fcntl(fd, F_GETFD) < 0, "it is closed");
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	fake_init(&k);
	test_own_session(&k);
	test_nothing_left(&k);
	test_cancelled(&k);
	test_refused(&k);
	test_limits(&k);
	test_too_large(&k);
	fake_finish(&k);
	return tap_done();
}
