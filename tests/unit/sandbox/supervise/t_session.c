/* A session's life, state by state: recorded before it starts, told when it stands, ended by whatever ends it,
 * and by every lie of its guest. */
#include "tests/unit/sandbox/supervise/fake.h"

static void test_opens_and_closes(void)
{
	struct ipc_msg m;
	static struct wire_sessions rows;
	struct session *s;
	char id[SUP_SESSION_ID_SIZE];

	up(SUP_AUTH_LOCAL);
	ask_for(1, SUP_ASK_OPEN, (struct wire_ask){.language = SV("py")});
	ok(guest < 0 && k.sessions, "nothing is started before it is recorded");
	ok(written(LED_SESSION_OPEN) && guest >= 0, "then it is");
	ok(!type_at(front), "and not told before it stands");
	{
		AUTO_FD dir = workspace();

		say_opened(dir);
	}
	ok(take(front, &m) == SUP_SESSIONS && m.id == 1 &&
		   !wire_get_sessions(&m, &rows) && rows.n == 1 && !rows.more &&
		   !strcmp(rows.rows[0].language, "python") &&
		   rows.rows[0].limits.ttl_s == 3600 &&
		   rows.rows[0].expires_us > rows.rows[0].idle_expires_us,
	   "then its row is");
	ipc_finish(&m);
	s = k.sessions;
	snprintf(id, sizeof(id), "%s", s->id);
	ask_for(2, SUP_ASK_CLOSE, (struct wire_ask){.session_id = sv_of(id)});
	ok(s->state == SES_ENDING && killed, "closing ends it");
	ask_for(3, SUP_ASK_CLOSE, (struct wire_ask){.session_id = sv_of(id)});
	ok(refused(SUP_ASK_REFUSED, 3, ERR_NOT_FOUND), "a second time it is not there");
	child_ends();
	ok(!type_at(front), "it is told when that is recorded");
	ok(written(LED_SESSION_CLOSE), "once nothing is left of it");
	ok(type_at(front) == SUP_SESSIONS && type_at(front) == SUP_GONE,
	   "and so it is");
	down();
}

static void test_not_started(void)
{
	static const char *const how[] = {
		"not recorded",	  "not launched",   "the guest fails",
		"the guest goes", "too late",	    "no folder",
		"another record", "the front goes", "no tmpfs"};

	for (unsigned i = 0; i < ARRAY_LEN(how); i++) {
		struct ipc_msg m;
		AUTO_FD file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		AUTO_FD proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		up(SUP_AUTH_LOCAL);
		launch_fails = i == 1;
		ask_for(7, SUP_ASK_OPEN, (struct wire_ask){.language = SV("")});
		if (i == 0) {
			must(type_at(ledger) == LED_SESSION_OPEN);
			ses_event(k.sessions, SEV_NOT_RECORDED);
		} else {
			must(written(LED_SESSION_OPEN));
		}
		if (i == 2)
			say_failed(1, 1);
		if (i == 3)
			fd_close(&guest);
		if (i == 4)
			k.sessions->timer.on_due(&k.sessions->timer);
		if (i == 5)
			say_opened(file);
		if (i == 6) {
			ipc_start(&m, GUEST_STARTED, 1);
			say(&m);
		}
		if (i == 7)
			ses_end_all(&k, "server_stopped");
		if (i == 8)
			say_opened(proc);
		turn();
		if (i > 1)
			child_ends();
		if (i)
			ok(written(LED_SESSION_CLOSE), "%s: recorded", how[i]);
		ok(refused(SUP_ASK_REFUSED, 7, i == 7 ? ERR_BUSY : ERR_UNAVAILABLE) &&
			   !type_at(front),
		   "%s: refused, and never heard of again", how[i]);
		down();
	}
}

static void test_lies(void)
{
	static const char *const lies[] = {
		"opened again",	       "an end of no call", "an answer to no question",
		"a record of a run's", "a short record",    "a failure of nothing"};

	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		AUTO_FD dir = workspace();
		struct ipc_msg m;

		up(SUP_AUTH_LOCAL);
		open_one(1);
		ipc_start(&m, i == 3 ? GUEST_ENDED : GUEST_CALL_ENDED, 1);
		if (i == 0)
			say_opened(dir);
		else if (i == 1)
			say_ended(99, GUEST_BY_DRIVER, 0);
		else if (i == 2) {
			ipc_start(&m, GUEST_FILE_DONE, 5);
			guest_put_file_done(
				&m, &(struct guest_file_done){.sys = 2, .fd = -1});
			say(&m);
		} else if (i == 5)
			say_failed(5, 3);
		else
			say(&m);
		ok(k.sessions->state == SES_ENDING, "%s: the end of its session",
		   lies[i]);
		child_ends();
		ok(written(LED_SESSION_CLOSE) && type_at(front) == SUP_GONE,
		   "which is told");
		down();
	}
}

/* What a dead interpreter's notice says is passed over where there is none. */
static void test_died(void)
{
	up(SUP_AUTH_LOCAL);
	open_one(1);
	k.sessions->slot[0].alive = true;
	say_word(GUEST_DIED, 0, &(struct guest_word){.pidfd = -1, .slot = 0});
	say_word(GUEST_DIED, 0, &(struct guest_word){.pidfd = -1, .slot = 7});
	ok(k.sessions->state == SES_OPEN && !k.sessions->slot[0].alive,
	   "an interpreter that dies between calls is known to be dead");
	close_all();
	down();
}

static void test_clock(void)
{
	struct session *s;

	up(SUP_AUTH_LOCAL);
	s = open_one(1);
	s->timer.on_due(&s->timer);
	ok(s->state == SES_OPEN && s->timer.armed, "before its time it goes on");
	s->used_us -= 601ull * 1000000;
	s->file_ops = 1;
	s->timer.on_due(&s->timer);
	ok(s->state == SES_OPEN, "one that is busy is not idle");
	s->file_ops = 0;
	ses_used(s);
	s->timer.on_due(&s->timer);
	ok(s->state == SES_OPEN, "nor one that was used just now");
	s->used_us -= 601ull * 1000000;
	s->timer.on_due(&s->timer);
	ok(s->state == SES_ENDING && s->end == SUP_SESSION_IDLE, "an idle one ends");
	close_all();
	s = open_one(2);
	s->opened_us -= 3601ull * 1000000;
	s->file_ops = 1;
	s->timer.on_due(&s->timer);
	ok(s->end == SUP_SESSION_TTL, "an old one does, busy or not");
	s->file_ops = 0;
	close_all();
	down();
}

static void test_limits(void)
{
	unsigned taken = 0;

	up(SUP_AUTH_LOCAL | SUP_AUTH_KEYS);
	for (uint64_t id = 1; id <= 4; id++) {
		ask_for(id, SUP_ASK_OPEN, (struct wire_ask){.language = SV("")});
		taken += written(LED_SESSION_OPEN);
	}
	ok(taken == 2 && k.nsessions == 2, "of 8 one of several callers gets 2");
	ok(refused(SUP_ASK_REFUSED, 3, ERR_BUSY), "more are refused");
	type_at(front);
	for (struct session *s = k.sessions; s; s = s->next)
		must(s->state == SES_STARTING);
	while (k.sessions) {
		struct session *s = k.sessions;

		child_event = s->sandbox.pidfd;
		ses_end(s, SUP_SESSION_CLOSED, "closed");
		child_ends();
		must(written(LED_SESSION_CLOSE));
	}
	while (type_at(front))
		;
	ask_for(9, SUP_ASK_OPEN,
		(struct wire_ask){.language = SV(""), .limits = {.processes = 1000}});
	ok(refused(SUP_ASK_REFUSED, 9, ERR_LIMIT) && !k.sessions, "so is too much");
	ask_for(11, SUP_ASK_OPEN,
		(struct wire_ask){
			.language =
				SV("a-name-that-is-longer-than-that-of-any-language-"
				   "and-would-not-fit-either")});
	ok(refused(SUP_ASK_REFUSED, 11, ERR_NOT_FOUND) && !k.sessions,
	   "and a language whose name does not even fit");
	ask_for(10, SUP_ASK_OPEN,
		(struct wire_ask){.credential = SV("none"), .language = SV("")});
	ok(refused(SUP_ASK_REFUSED, 10, ERR_UNAUTHENTICATED) &&
		   type_at(ledger) == LED_EVENT,
	   "and nobody, on record");
	down();
}

static void test_another(void)
{
	struct session *s;

	up(SUP_AUTH_LOCAL | SUP_AUTH_NONE);
	s = open_one(1);
	ask_for(2, SUP_ASK_CLOSE,
		(struct wire_ask){.credential = SV("none"),
				  .session_id = sv_of(s->id)});
	ok(refused(SUP_ASK_REFUSED, 2, ERR_NOT_FOUND) && s->state == SES_OPEN,
	   "another's is not there to close");
	ask_for(3, SUP_ASK_FILE,
		(struct wire_ask){.credential = SV("none"),
				  .session_id = sv_of(s->id),
				  .op = SUP_FILE_READ,
				  .path = SV("x")});
	ok(refused(SUP_ASK_REFUSED, 3, ERR_NOT_FOUND), "nor to read from");
	ask_for(4, SUP_ASK_LIST, (struct wire_ask){.credential = SV("none")});
	{
		static struct wire_sessions rows;
		struct ipc_msg m;

		ok(take(front, &m) == SUP_SESSIONS && !wire_get_sessions(&m, &rows) &&
			   !rows.n,
		   "nor in the list");
		ipc_finish(&m);
	}
	close_all();
	down();
}

/* However few each of them has. */
static void test_max(void)
{
	up(SUP_AUTH_LOCAL | SUP_AUTH_NONE);
	k.max_sessions = 1;
	open_one(1);
	ask_for(2, SUP_ASK_OPEN,
		(struct wire_ask){.credential = SV("none"), .language = SV("")});
	ok(refused(SUP_ASK_REFUSED, 2, ERR_BUSY) && k.nsessions == 1,
	   "there are no more sessions than may be, whoever asks");
	close_all();
	down();
}

static void test_no_memory(void)
{
	const unsigned files = open_files();

	for (long n = 1; n < 5; n++) {
		up(SUP_AUTH_LOCAL);
		mem_fail_after(n);
		ask_for(1, SUP_ASK_OPEN, (struct wire_ask){.language = SV("")});
		mem_fail_after(0);
		if (k.sessions) {
			must(written(LED_SESSION_OPEN));
			ses_end_all(&k, "server_stopped");
			child_ends();
			must(written(LED_SESSION_CLOSE));
		}
		ok(type_at(front) == SUP_ASK_REFUSED,
		   "without memory (%ld) it is refused", n);
		down();
	}
	ok(open_files() == files, "no descriptor is left");
}

int main(void)
{
	must(freopen("/dev/null", "w", stderr));
	test_opens_and_closes();
	test_not_started();
	test_lies();
	test_died();
	test_clock();
	test_limits();
	test_another();
	test_max();
	test_no_memory();
	return tap_done();
}
