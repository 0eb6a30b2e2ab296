/* A guest has no say in what is another session's, and does not keep others waiting. */
#include "tests/unit/sandbox/supervise/fake_call.h"

#include <errno.h>

static int guests[2];
static struct session *other;

static void begin_two(void)
{
	begin();
	guests[0] = guest;
	open_one(2);
	guests[1] = guest;
	guest = guests[0];
	other = s->next;
}

static void end_two(void)
{
	guest = guests[0];
	end();
	fd_close(&guests[1]);
}

/* A call of the first session runs. */
static struct run *running(uint64_t id)
{
	struct run *r = call(id, s, "python");

	must(r && written(LED_INTENT) && hears(GUEST_CALL));
	say_started(id, true);
	must(told_start(SUP_CALLED, id) && r->state == RUN_RUNNING);
	close_start();
	return r;
}

static void test_calls(void)
{
	static const char *const what[] = {"starts", "ends", "fails"};
	struct run *r;

	for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
		begin_two();
		r = running(10);
		guest = guests[1];
		if (i == 0)
			say_started(10, true);
		else if (i == 1)
			say_ended(10, GUEST_BY_DRIVER, 0);
		else
			say_failed(10, EIO);
		ok(r->state == RUN_RUNNING && s->slot[0].alive && !type_at(front),
		   "who says that another's call %s changes nothing of it", what[i]);
		ok(other->state == SES_ENDING && s->state == SES_OPEN,
		   "and ends its own session");
		guest = guests[0];
		say_ended(10, GUEST_BY_DRIVER, 0);
		ok(closes(10) && got.status == SUP_EXITED, "the call ends as it does");
		end_two();
	}
}

static void test_changes(void)
{
	struct ipc_msg m;

	begin_two();
	running(10);
	say_word(GUEST_CALL_ENDED, 10,
		 &(struct guest_word){.when_us = loop_now_us(),
				      .pidfd = -1,
				      .how = GUEST_BY_DRIVER,
				      .changes = true});
	must(written(LED_OUTCOME));
	guest = guests[1];
	ipc_start(&m, GUEST_CHANGES, 10);
	guest_put_changes(&m, &(struct guest_changes){.total = 3, .fd = -1});
	say(&m);
	ok(!type_at(front), "another's changes are not this call's");
	end_two();
}

static void test_files(void)
{
	struct ipc_msg m;

	begin_two();
	ask_for(10, SUP_ASK_FILE,
		(struct wire_ask){.session_id = sv_of(s->id),
				  .op = SUP_FILE_READ,
				  .path = SV("x")});
	must(hears(GUEST_FILE_OP));
	guest = guests[1];
	ipc_start(&m, GUEST_FILE_DONE, 10);
	guest_put_file_done(&m, &(struct guest_file_done){.sys = ENOENT, .fd = -1});
	say(&m);
	ok(!type_at(front) && k.nasks == 1 && other->state == SES_ENDING,
	   "another's answer to a question is none, and the end of its session");
	end_two();
}

/* What is heard in one turn of the loop; the others have theirs then. */
static void test_flood(void)
{
	enum { RECORDS = 64 };
	struct ipc_msg m;
	unsigned left = 0;

	begin();
	for (unsigned i = 0; i < RECORDS; i++) {
		ipc_start(&m, GUEST_UP, 1);
		must(!ipc_send(guest, &m, NULL));
	}
	s->ctl_io.on_ready(&s->ctl_io, EPOLLIN);
	for (; ipc_recv(s->sandbox.ctl, &m, NULL) == 1; left++)
		ipc_finish(&m);
	ok(s->state == SES_OPEN && left < RECORDS && left >= RECORDS / 2,
	   "of %d records %u are heard at once", RECORDS, RECORDS - left);
	end();
}

int main(void)
{
	const unsigned files = open_files();

	must(freopen("/dev/null", "w", stderr));
	test_calls();
	test_changes();
	test_files();
	test_flood();
	ok(open_files() == files, "no descriptor is left (%u)", open_files() - files);
	return tap_done();
}
