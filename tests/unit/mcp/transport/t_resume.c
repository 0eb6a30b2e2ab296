/* t_resume.c: legacy streams that break and go on. */
#include "tests/unit/mcp/transport/legacy.h"

static void resumed(void)
{
	const struct streamable_opts o = {.open_ms = 1};
	struct http_exchange *x, *back, *again;
	char primed[64], first[64];
	struct rig r;

	rig_begin(&r, &o, INITIALIZE(NEW));
	x = in_session(x_post(REQUEST(1, "later")));
	ok(!x->status, "undecided at first");
	rig_until(&r, x->streaming);
	last_id(x, primed, sizeof(primed));
	ok(x_has(x, "\nretry: 1000\ndata: \n\n"), "an id to come back with");
	fake_note("1", 1);
	last_id(x, first, sizeof(first));
	ok(strcmp(primed, first) != 0 && x_has(x, "data: {\"note\":1}\n\n"), "event 1");
	x_gone(x);
	ok(!fake_cancelled, "leaving is not cancelling");
	fake_note("1", 2);
	back = get(first);
	ok(back->streaming && !x_has(back, "{\"note\":1}") &&
		   x_count(back, "{\"note\":2}") == 1 && !x_has(back, "retry"),
	   "what came meanwhile, once");
	fake_note("1", 3);
	ok(x_count(back, "{\"note\":3}") == 1, "and then as it comes");
	x_gone(back);
	fake_answer("1");
	again = get(first);
	ok(again->ended && x_count(again, "{\"note\":2}") == 1 &&
		   x_count(again, "{\"note\":3}") == 1 &&
		   x_count(again, "\"result\"") == 1,
	   "the answer, and the end");
	x_free(back);
	back = get(primed);
	ok(back->ended && x_count(back, "\"note\"") == 3 &&
		   x_count(back, "\"result\"") == 1,
	   "from the beginning, while it is kept");
	last_id(back, first, sizeof(first));
	x_free(back);
	back = get(first);
	ok(back->status == 204, "nothing more will come: 204");
	x_free(back);
	x_free(again);
	x_free(x);
	rig_close(&r);
}

static void not_resumable(void)
{
	static const char *const ids[] = {"",
					  "x",
					  "-",
					  "0123456789abcdef-0",
					  "0123456789abcdef",
					  "0123456789abcdef--1",
					  "0123456789abcdef-99999999999999999999"};
	struct http_exchange *x;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(OLD));
	x = in_session(x_post(REQUEST(1, "open")));
	ok(x->streaming && !x_has(x, "retry"), "older clients get no empty events");
	x_gone(x);
	x_free(x);
	fake_answer("1");
	x = in_session(x_post(REQUEST(2, "later")));
	x_gone(x);
	x_free(x);
	fake_answer("2");
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		ok(status_and_free(get(ids[i])) == 400, "unknown: %s", ids[i]);
	rig_close(&r);
}

/* One session's event ids say nothing in another's. */
static void foreign_event_id(void)
{
	const struct streamable_opts o = {.open_ms = 1};
	struct http_exchange *x;
	char id[64];
	struct rig r;

	rig_begin(&r, &o, INITIALIZE(NEW));
	x = in_session(x_post(REQUEST(1, "later")));
	rig_until(&r, x->streaming);
	last_id(x, id, sizeof(id));
	begin(&r, INITIALIZE(NEW), "Bearer me");
	ok(status_and_free(get(id)) == 400, "an id of another session");
	fake_answer("1");
	x_free(x);
	rig_close(&r);
}

static void dropped(void)
{
	struct http_exchange *x, *back;
	char id[64];
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	x = in_session(x_post(REQUEST(1, "drop")));
	ok(x->ended && x_has(x, "retry") && !x_has(x, "result"),
	   "closed after the id to come back with");
	last_id(x, id, sizeof(id));
	back = get(id);
	ok(back->streaming && !back->ended, "back before the answer");
	fake_answer("1");
	ok(back->ended && x_count(back, "\"result\"") == 1, "here it is");
	x_free(x);
	x_free(back);
	begin(&r, INITIALIZE(OLD), "Bearer me");
	x = in_session(x_post(REQUEST(2, "drop")));
	ok(!x->status, "not for clients that could not come back");
	fake_answer("2");
	ok(x->status == 200, "they get the answer");
	x_free(x);
	rig_close(&r);
}

static void standalone(void)
{
	struct http_exchange *first, *second, *third;
	struct proto_sink *sink;
	char id[64];
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE(NEW));
	sink = fake_last_peer->o.standalone;
	fake_send(sink, PROTO_NOTIFICATION, 200, "{\"news\":0}");
	first = get(NULL);
	ok(first->streaming && !first->out.n, "news from before are not kept");
	fake_send(sink, PROTO_NOTIFICATION, 200, "{\"news\":1}");
	ok(x_has(first, "{\"news\":1}"), "news");
	second = get(NULL);
	ok(first->ended && second->streaming && !x_has(second, "news"),
	   "a second one takes its place");
	last_id(first, id, sizeof(id));
	x_gone(second);
	fake_send(sink, PROTO_NOTIFICATION, 200, "{\"news\":2}");
	third = get(id);
	ok(x_count(third, "{\"news\":2}") == 1 && !x_has(third, "{\"news\":1}"),
	   "what came while nobody was there");
	x_gone(third);
	x_free(first);
	x_free(second);
	x_free(third);
	rig_close(&r);
}

int main(void)
{
	resumed();
	not_resumable();
	foreign_event_id();
	dropped();
	standalone();
	ok(!fake_exchanges, "every exchange was given back");
	return tap_done();
}
