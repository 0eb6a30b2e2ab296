/* What a call has changed comes between its end and its answer, or does not; and sandboxes that stay for their files. */
#include "tests/unit/sandbox/supervise/fake_call.h"

#include <time.h>

static void pass_over(int sock, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		must(type_at(sock));
}

/* A call that has ended, with something to follow; its outcome is not recorded yet. */
static struct run *ends_with_more(uint64_t id, bool fresh)
{
	struct run *r = call(id, s, "python");

	must(r && written(LED_INTENT) && type_at(guest) == GUEST_CALL);
	r->keep_files = s->throwaway;
	say_started(id, fresh);
	pass_over(front, 1);
	say_word(GUEST_CALL_ENDED, id,
		 &(struct guest_word){.when_us = loop_now_us(),
				      .pidfd = -1,
				      .how = GUEST_BY_DRIVER,
				      .changes = true});
	return r;
}

static void say_changes(uint64_t id, const struct guest_changes *c)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_CHANGES, id);
	guest_put_changes(&m, c);
	say(&m);
}

/* What the front is told of them; false: something else. */
static bool told(uint64_t id, struct guest_changes *ret)
{
	struct ipc_msg m;
	bool good = take(front, &m) == SUP_CHANGES && m.id == id &&
		    !guest_get_changes(&m, ret);

	ipc_finish(&m);
	return good;
}

static void test_order(void)
{
	AUTO_FD rows = fd_memfd("changes", "rows", 4, NULL);
	struct guest_changes c;

	begin();
	ends_with_more(10, true);
	ok(written(LED_OUTCOME) && !type_at(front),
	   "the answer waits for what was changed");
	ok(s->slot[0].run != NULL, "and with it the interpreter's next call");
	say_changes(10, &(struct guest_changes){.total = 3, .fd = rows});
	ok(told(10, &c) && c.total == 3 && fd_size(c.fd) == 4 && ended(10, &got),
	   "it is told before the answer");
	fd_close(&c.fd);
	ok(!s->slot[0].run, "then the next call may come");
	ends_with_more(11, false);
	say_changes(11, &(struct guest_changes){.flags = GUEST_MORE, .fd = -1});
	ok(told(11, &c) && c.flags == GUEST_MORE && has_result(11, &got) &&
		   !type_at(front),
	   "what comes early waits for the record");
	ok(written(LED_OUTCOME) && recorded(11), "as the answer does");
	end();
}

static void test_lost(void)
{
	struct guest_changes c;
	struct run *r;

	begin();
	r = ends_with_more(10, true);
	must(written(LED_OUTCOME));
	due(r);
	ok(told(10, &c) && c.flags == GUEST_NOT_KNOWN && ended(10, &got),
	   "what does not come is not known");
	ok(type_at(guest) == GUEST_KILL && s->state == SES_OPEN,
	   "the guest is told to give it up, and the session goes on");
	say_changes(10, &(struct guest_changes){.fd = -1});
	ok(s->state == SES_OPEN && !type_at(front), "too late it is passed over");
	ends_with_more(11, false);
	must(written(LED_OUTCOME));
	ses_end(s, SUP_SESSION_CLOSED, "closed");
	turn();
	ok(told(11, &c) && c.flags == GUEST_NOT_KNOWN && ended(11, &got) &&
		   got.session_ended,
	   "with the session's end it is not waited for");
	end();
}

static void test_lies(void)
{
	AUTO_FD bad = memfd_create("changes", MFD_CLOEXEC);
	AUTO_FD large = sealed(GUEST_MAX_CHANGES_BYTES + 1);
	struct guest_changes c;

	begin();
	ends_with_more(10, true);
	say_changes(10, &(struct guest_changes){.fd = bad});
	ok(s->state == SES_ENDING, "rows that can still change end the session");
	end();
	begin();
	ends_with_more(10, true);
	say_changes(10, &(struct guest_changes){.fd = large});
	ok(s->state == SES_ENDING, "as do more than there can be");
	end();
	begin();
	ends_with_more(10, true);
	say_changes(10, &(struct guest_changes){.total = 1, .fd = -1});
	say_changes(10, &(struct guest_changes){.total = 2, .fd = -1});
	ok(told(10, &c) && c.total == 1 && written(LED_OUTCOME) && ended(10, &got),
	   "of two answers the first is told, and no other");
	end();
	begin();
	say_changes(99, &(struct guest_changes){.fd = -1});
	ok(s->state == SES_OPEN && !type_at(front), "those of no call are passed over");
	end();
}

/* Whether variables were lost before it. */
static bool lost_before(uint64_t id, bool fresh)
{
	struct run *r = call(id, s, "python");

	must(r && written(LED_INTENT) && type_at(guest) == GUEST_CALL);
	say_started(id, fresh);
	pass_over(front, 1);
	say_ended(id, GUEST_BY_DRIVER, 0);
	must(written(LED_OUTCOME) && ended(id, &got));
	return got.lost_before;
}

static void dies(uint32_t slot)
{
	say_word(GUEST_DIED, 0,
		 &(struct guest_word){
			 .when_us = loop_now_us(), .pidfd = -1, .slot = slot});
}

static void test_lost_before(void)
{
	begin();
	ok(!lost_before(10, true), "the first call of an interpreter has lost nothing");
	ok(!lost_before(11, false), "nor the next");
	dies(0);
	ok(lost_before(12, true), "one after its death has");
	ok(!lost_before(13, false), "which is said once");
	dies(0);
	dies(0);
	ok(lost_before(14, true), "and once more for the next");
	dies(1);
	ok(!lost_before(15, false), "another's death is not its loss");
	end();
}

/* --- throwaway sessions ------------------------------------------------------------------------------ */

static int guests[SUP_MAX_KEPT + 4]; /* the rig knows one */
static unsigned nguests;

/* The one that was asked for last stands. */
static struct session *stands(void)
{
	AUTO_FD dir = workspace();
	struct session *made;

	must(written(LED_SESSION_OPEN));
	say_opened(dir);
	must(type_at(front) == SUP_SESSIONS);
	guests[nguests++] = fd_steal(&guest);
	for (made = k.sessions; made->next;)
		made = made->next;
	return made;
}

static struct session *open_throwaway(uint64_t id)
{
	ask_for(id, SUP_ASK_OPEN,
		(struct wire_ask){.language = SV(""), .throwaway = true});
	return stands();
}

static bool is_listed(uint64_t id)
{
	static struct wire_sessions rows;
	struct ipc_msg m;

	ask_for(id, SUP_ASK_LIST, (struct wire_ask){.language = SV("")});
	must(take(front, &m) == SUP_SESSIONS && !wire_get_sessions(&m, &rows));
	ipc_finish(&m);
	return rows.n > 0;
}

static void test_throwaway(void)
{
	AUTO_FD dir = workspace();
	struct run *r;

	up(SUP_AUTH_LOCAL);
	ask_for(1, SUP_ASK_OPEN,
		(struct wire_ask){.language = SV(""), .throwaway = true});
	must(written(LED_SESSION_OPEN) && k.sessions);
	say_opened(dir);
	must(type_at(front) == SUP_SESSIONS);
	s = k.sessions;
	ok(!is_listed(2), "a throwaway session is in no list");
	r = call(10, s, "python");
	ok(r && written(LED_INTENT), "it takes a run");
	ok(!call(11, s, "python") || written(LED_EVENT),
	   "and no other, as if it were not there");
	ok(refused(SUP_REFUSED, 11, ERR_NOT_FOUND), "which is what is said");
	ses_drop(&k, "ses_00112233445566778899aabbccddeeff");
	ok(s->state == SES_OPEN, "another's name drops nothing");
	ses_drop(&k, s->id);
	ok(s->state == SES_ENDING, "its own does");
	end();
	begin();
	ses_drop(&k, s->id);
	ok(s->state == SES_OPEN, "a caller's session is not dropped");
	end();
}

static void test_room_not_cleared(void)
{
	struct guest_changes c;
	struct run *r;

	up(SUP_AUTH_LOCAL);
	s = open_throwaway(1);
	guest = guests[--nguests];
	r = ends_with_more(10, true);
	must(written(LED_OUTCOME));
	due(r);
	ok(s->state == SES_ENDING && s->end == SUP_SESSION_DIED,
	   "one that leaves files and will not say which does not stay");
	ok(told(10, &c) && c.flags == GUEST_NOT_KNOWN && ended(10, &got) &&
		   got.session_ended,
	   "and the answer says so");
	end();
}

/* Of what is thrown away nobody asks. */
static void test_nothing_kept(void)
{
	struct run *r;

	up(SUP_AUTH_LOCAL);
	s = open_throwaway(1);
	guest = guests[--nguests];
	r = call(10, s, "python");
	must(r && written(LED_INTENT) && hears(GUEST_CALL));
	say_started(10, true);
	pass_over(front, 1);
	say_word(GUEST_CALL_ENDED, 10,
		 &(struct guest_word){.when_us = loop_now_us(),
				      .pidfd = -1,
				      .how = GUEST_BY_DRIVER,
				      .changes = true});
	ok(written(LED_OUTCOME) && ended(10, &got),
	   "one that leaves no files is answered without changes");
	end();
}

static void end_all(void)
{
	while (k.sessions) {
		struct session *one = k.sessions;

		ses_end(one, SUP_SESSION_CLOSED, "closed");
		gone_now = true;
		loop_del(&k.loop, &one->child_io);
		loop_del(&k.loop, &one->ctl_io);
		one->child_ended = true;
		ses_event(one, SEV_TIMER);
		while (write_next())
			;
	}
	for (unsigned i = 0; i < nguests; i++)
		fd_close(&guests[i]);
	nguests = 0;
	while (type_at(front))
		;
	down();
}

static void test_kept(void)
{
	struct session *all[4];
	struct err e = {0};

	up(SUP_AUTH_LOCAL);
	k.max_sessions = 4;
	for (unsigned i = 0; i < 4; i++)
		all[i] = open_throwaway(i + 1);
	ok(ses_may_open(&k, pol_plan_principal(all[0]->plan), &e) == -1 &&
		   e.code == ERR_BUSY,
	   "those that have their run before them leave no room");
	ses_keep(all[1]);
	ses_keep(all[2]);
	err_clear(&e);
	ok(!ses_may_open(&k, pol_plan_principal(all[0]->plan), &e) &&
		   all[1]->state == SES_ENDING && all[2]->state == SES_OPEN,
	   "the oldest that is kept makes room");
	ok(all[0]->state == SES_OPEN && all[3]->state == SES_OPEN, "no other does");
	end_all();
}

/* One that was made before others and ends after them: it has just come to be kept, so they are older. */
static void test_kept_last(void)
{
	AUTO_FD rows = fd_memfd("changes", "rows", 4, NULL);
	struct session *others[SUP_MAX_KEPT_EACH];
	struct guest_changes c;

	up(SUP_AUTH_LOCAL);
	k.max_sessions = 16;
	s = open_throwaway(1);
	for (unsigned i = 0; i < SUP_MAX_KEPT_EACH; i++)
		others[i] = open_throwaway(2 + i);
	guest = guests[0];
	ends_with_more(20, true);
	for (unsigned i = SUP_MAX_KEPT_EACH; i > 0; i--)
		ses_keep(others[i - 1]);
	must(written(LED_OUTCOME));
	say_changes(20, &(struct guest_changes){.total = 1, .fd = rows});
	guest = -1;
	ok(told(20, &c) && c.total == 1 && ended(20, &got) && !got.session_ended,
	   "one run too many that leaves files is answered with them, once");
	fd_close(&c.fd);
	ok(s->state == SES_OPEN && s->kept, "its own are kept");
	ok(others[SUP_MAX_KEPT_EACH - 1]->state == SES_ENDING &&
		   others[0]->state == SES_OPEN,
	   "those go that were kept first");
	end_all();
}

static struct session *open_throwaway_of(const char *principal)
{
	struct ask *a = mem_zalloc(sizeof(*a) + 1);
	struct sup_identity who = {.principal = ""};

	must(a);
	a->k = &k;
	a->type = SUP_ASK_OPEN;
	a->throwaway = true;
	a->data_fd = -1;
	k.asks = a;
	k.nasks++;
	snprintf(who.principal, sizeof(who.principal), "%s", principal);
	ask_known(a, &who, NULL);
	return stands();
}

/* Though none of their callers has more than he may. */
static void test_kept_by_all(void)
{
	enum { EACH = SUP_MAX_KEPT / 4 };
	struct session *last = NULL;
	unsigned open = 0;
	char name[8];

	up(SUP_AUTH_LOCAL);
	k.max_sessions = 2 * SUP_MAX_KEPT;
	for (unsigned i = 0; i < 4 * EACH + 1; i++) {
		snprintf(name, sizeof(name), "p%u", i / EACH);
		last = open_throwaway_of(name);
		ses_keep(last);
	}
	for (const struct session *x = k.sessions; x; x = x->next)
		open += x->state == SES_OPEN;
	ok(open == SUP_MAX_KEPT && last->state == SES_OPEN &&
		   k.sessions->state == SES_ENDING,
	   "of all that are kept one goes for one that comes");
	end_all();
}

int main(void)
{
	test_order();
	test_lost();
	test_lies();
	test_lost_before();
	test_throwaway();
	test_room_not_cleared();
	test_nothing_kept();
	test_kept();
	test_kept_last();
	test_kept_by_all();
	return tap_done();
}
