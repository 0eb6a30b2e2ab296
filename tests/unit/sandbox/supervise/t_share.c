/* Whose turn it is: no principal has all slots or all of the queue, and slots go round. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"
#include "tests/lib/tap.h"

#define MAX 400

static struct keeper k;
static struct run runs[MAX];
static unsigned n;

static void begin(unsigned modes, uint32_t max_runs, uint32_t max_queue)
{
	k = (struct keeper){
		.max_runs = max_runs, .max_queue = max_queue, .auth.modes = modes};
	n = 0;
}

/* As run_new does; NULL: there is no place for it. */
static struct run *add(const char *principal)
{
	struct run *r = &runs[n], **at = &k.runs;

	must(n++ < MAX);
	*r = (struct run){.k = &k, .state = RUN_QUEUED};
	must(!share_join(r, principal));
	if (!share_may_start(r) && !share_may_wait(r)) {
		share_leave(r);
		return NULL;
	}
	while (*at)
		at = &(*at)->next;
	*at = r;
	return r;
}

static struct run *start_next(void)
{
	struct run *r = share_next(&k);

	if (!r)
		return NULL;
	share_take_slot(r);
	r->state = RUN_RUNNING;
	return r;
}

static void end(struct run *r)
{
	struct run **at = &k.runs;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	share_leave(r);
}

static void end_all(void)
{
	while (k.runs)
		end(k.runs);
	ok(!k.busy && !k.waiting && !k.shares, "in the end nothing is left");
}

static bool is_of(const struct run *r, const char *principal)
{
	return r && !strcmp(r->share->principal, principal);
}

/* Adds as many as there is a place for, starting what may. */
static unsigned fill(const char *principal)
{
	unsigned taken = 0;

	while (add(principal)) {
		taken++;
		while (start_next())
			;
	}
	return taken;
}

static void test_alone(void)
{
	static const unsigned modes[] = {SUP_AUTH_LOCAL, SUP_AUTH_NONE};

	for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
		begin(modes[i], 16, 64);
		ok(fill("anonymous") == 80 && k.busy == 16 && k.waiting == 64,
		   "where there is one caller it has every place");
		end_all();
	}
}

static void test_slots(void)
{
	static const struct {
		uint32_t runs, each;
	} cases[] = {{1, 1}, {2, 1}, {3, 2}, {4, 3}, {5, 3}, {16, 12}, {256, 192}};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		begin(SUP_AUTH_KEYS, cases[i].runs, 4);
		fill("key:greedy");
		ok(k.busy == cases[i].each, "of %u slots one caller gets %u",
		   cases[i].runs, cases[i].each);
		if (cases[i].runs > 1)
			ok(add("key:late") && is_of(start_next(), "key:late"),
			   "and one that comes later starts at once");
		end_all();
	}
}

static void test_queue(void)
{
	char name[32];
	unsigned callers = 0;

	begin(SUP_AUTH_KEYS | SUP_AUTH_OAUTH, 16, 64);
	ok(fill("key:greedy") == 12 + 32 && k.waiting == 32,
	   "one caller fills half of the queue");
	ok(fill("key:second") == 4 + 16, "the next half of what is left");
	do
		snprintf(name, sizeof(name), "key:n%u", ++callers);
	while (fill(name) && callers < 100);
	ok(callers > 4 && k.waiting == 64, "%u callers had a place before it was full",
	   callers);
	ok(!add("key:greedy"), "then nobody gets one");
	end_all();
	begin(SUP_AUTH_CERT, 1, 0);
	ok(fill("cert:a") == 1 && !add("cert:b"), "there may be no queue at all");
	end_all();
	begin(SUP_AUTH_CERT, 1, 1);
	ok(fill("cert:a") == 2, "or one of one place");
	end_all();
}

static void test_turns(void)
{
	struct run *running, *next;
	unsigned a = 0, b = 0;

	begin(SUP_AUTH_KEYS, 1, 64);
	add("key:a");
	running = start_next();
	for (int i = 0; i < 10; i++)
		add("key:a");
	for (int i = 0; i < 3; i++)
		add("key:b");
	ok(!start_next(), "one slot, one run");
	for (int i = 0; i < 6; i++) {
		end(running);
		next = start_next();
		a += is_of(next, "key:a");
		b += is_of(next, "key:b");
		ok(next && next->share->served, "a slot that comes free is taken");
		running = next;
	}
	ok(a == 3 && b == 3, "in turns, however many of one stood there first");
	end_all();
}

static void test_order(void)
{
	struct run *first, *second;

	begin(SUP_AUTH_KEYS, 4, 64);
	first = add("key:a");
	second = add("key:a");
	ok(start_next() == first && start_next() == second,
	   "of one caller the oldest is first");
	add("key:a");
	add("key:b");
	ok(is_of(start_next(), "key:b"), "whoever has fewest is next");
	end_all();
}

/* What is being recorded as refused waits too: it has no slot to give back. */
static void test_refused(void)
{
	struct run *r;

	begin(SUP_AUTH_KEYS, 2, 4);
	r = add("key:a");
	r->state = RUN_CLOSING;
	ok(!start_next() && k.waiting == 1, "a refusal takes no slot");
	end(r);
	ok(!k.waiting && !k.busy, "and leaves its place");
	end_all();
}

int main(void)
{
	test_alone();
	test_slots();
	test_queue();
	test_turns();
	test_order();
	test_refused();
	return tap_done();
}
