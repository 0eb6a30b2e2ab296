/* t_runs.c: what the registry keeps, what it drops and in which order, and that one principal cannot
 * push out another's. */
#include "tests/unit/tools/registry.h"

#include <fcntl.h>

#define KIB ((size_t)1 << 10)

static void test_oldest_first(void)
{
	struct shelf s;
	struct run *running;

	shelf_init(&s, &(struct runs_opts){.keep_runs = 4});
	running = shelf_add(&s, "a", "run_0", NULL);
	shelf_done(&s, "a", "run_1", 10);
	shelf_done(&s, "a", "run_2", 10);
	shelf_done(&s, "a", "run_3", 10);
	shelf_done(&s, "a", "run_4", 10);
	ok(!has(&s, "a", "run_1") && has(&s, "a", "run_2") && has(&s, "a", "run_4"),
	   "of too many runs the longest ended goes");
	ok(has(&s, "a", "run_0"), "and the one that runs stays, though it began first");
	shelf_end(running);
	shelf_done(&s, "a", "run_5", 10);
	ok(!has(&s, "a", "run_2") && has(&s, "a", "run_0"),
	   "it counts when it ended, not when it began");
	shelf_finish(&s);
}

static void test_all_running(void)
{
	struct shelf s;
	struct err e = {0};

	shelf_init(&s, &(struct runs_opts){.keep_runs = 2});
	shelf_add(&s, "a", "run_0", NULL);
	shelf_add(&s, "a", "run_1", NULL);
	ok(!shelf_add(&s, "b", "run_2", &e) && e.code == ERR_BUSY,
	   "with nothing but running ones the next is refused");
	ok(has(&s, "a", "run_0") && has(&s, "a", "run_1"), "and none is dropped");
	shelf_finish(&s);
}

static void test_bytes(void)
{
	struct shelf s;

	shelf_init(&s, &(struct runs_opts){.keep_bytes = 100 * KIB});
	shelf_done(&s, "", "run_1", 40 * KIB);
	shelf_done(&s, "", "run_2", 40 * KIB);
	shelf_done(&s, "", "run_3", 20 * KIB);
	ok(has(&s, "", "run_1"), "as much as may be kept is");
	shelf_done(&s, "", "run_4", 1);
	ok(!has(&s, "", "run_1") && has(&s, "", "run_2") && has(&s, "", "run_4"),
	   "one byte more, and the longest ended goes");
	ok(s.runs->use[RUNS_BYTES] == 60 * KIB + 1, "what is held is counted");
	shelf_finish(&s);
}

/* A run alone has more output than all may hold. */
static void test_too_much(void)
{
	struct shelf s;
	struct run *r;

	shelf_init(&s, &(struct runs_opts){.keep_bytes = 100 * KIB});
	shelf_done(&s, "", "run_1", 40 * KIB);
	r = shelf_add(&s, "", "run_2", NULL);
	shelf_print(r, RUN_STDOUT, 'x', 300 * KIB);
	shelf_print(r, RUN_STDERR, 'y', 10);
	ok(r->out[RUN_STDOUT].kept == 100 * KIB &&
		   r->out[RUN_STDOUT].total == 300 * KIB,
	   "its beginning is kept, its length known");
	ok(!r->out[RUN_STDERR].kept && r->out[RUN_STDERR].closed,
	   "there is no room for anything else");
	ok(!has(&s, "", "run_1") && s.runs->use[RUNS_BYTES] == 100 * KIB,
	   "and never more than the ceiling is held");
	shelf_finish(&s);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_descriptors(void)
{
	struct shelf s;
	char id[24];
	int before = open_fds();

	shelf_init(&s, &(struct runs_opts){.keep_runs = 5000});
	for (int i = 0; i < 600; i++) {
		snprintf(id, sizeof(id), "run_%d", i);
		shelf_done(&s, "", id, RUN_SMALL_BYTES + 1);
	}
	ok(s.runs->use[RUNS_FDS] <= 512 && !has(&s, "", "run_0") &&
		   has(&s, "", "run_599"),
	   "descriptors have a ceiling of their own (%d)", (int)s.runs->use[RUNS_FDS]);
	shelf_finish(&s);
	ok(open_fds() == before, "and all are closed in the end");
}

static void test_fair_bytes(void)
{
	struct shelf s;
	char id[24];

	shelf_init(&s, &(struct runs_opts){.keep_bytes = 100 * KIB});
	shelf_done(&s, "small", "run_s", 20 * KIB);
	for (int i = 0; i < 40; i++) {
		snprintf(id, sizeof(id), "run_%d", i);
		shelf_done(&s, "greedy", id, 10 * KIB);
	}
	ok(has(&s, "small", "run_s"),
	   "who fills the house pushes out his own, not another's");
	ok(has(&s, "greedy", "run_39") && !has(&s, "greedy", "run_31"),
	   "of his the longest ended");
	shelf_done(&s, "small", "run_t", 20 * KIB);
	ok(has(&s, "small", "run_s") && has(&s, "small", "run_t") &&
		   !has(&s, "greedy", "run_33") && has(&s, "greedy", "run_34"),
	   "and makes room for one who has less");
	shelf_finish(&s);
}

static void test_fair_runs(void)
{
	struct shelf s;
	char id[24];

	shelf_init(&s, &(struct runs_opts){.keep_runs = 10});
	shelf_done(&s, "small", "run_s", 0);
	for (int i = 0; i < 50; i++) {
		snprintf(id, sizeof(id), "run_%d", i);
		shelf_done(&s, "greedy", id, 0);
	}
	ok(has(&s, "small", "run_s") && has(&s, "greedy", "run_49"),
	   "the same for the number of runs");
	for (int i = 0; i < 9; i++) {
		snprintf(id, sizeof(id), "run_t%d", i);
		shelf_done(&s, "small", id, 0);
	}
	ok(has(&s, "greedy", "run_49") && has(&s, "small", "run_t8") &&
		   s.runs->use[RUNS_COUNT] == 10,
	   "up to equal shares");
	shelf_finish(&s);
}

/* What runs cannot be dropped, so it may not take all. */
static void test_fair_running(void)
{
	struct shelf s;
	struct run *a, *b;

	shelf_init(&s, &(struct runs_opts){.keep_bytes = 400 * KIB});
	a = shelf_add(&s, "greedy", "run_a", NULL);
	shelf_print(a, RUN_STDOUT, 'x', 1000 * KIB);
	ok(a->out[RUN_STDOUT].kept == 100 * KIB,
	   "what one principal has running holds a quarter at most");
	b = shelf_add(&s, "other", "run_b", NULL);
	shelf_print(b, RUN_STDOUT, 'x', 90 * KIB);
	ok(b->out[RUN_STDOUT].kept == 90 * KIB, "so another's output finds room");
	shelf_end(a);
	a = shelf_add(&s, "greedy", "run_c", NULL);
	shelf_print(a, RUN_STDOUT, 'x', 50 * KIB);
	ok(a->out[RUN_STDOUT].kept == 50 * KIB,
	   "and what has ended counts no more for that");
	shelf_finish(&s);
}

/* What runs is all the greedy one has: there is nothing of his own to drop. */
static void test_fair_to_ended(void)
{
	static const char *const others[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	struct shelf s;
	struct run *r;
	unsigned left = 0;

	shelf_init(&s, &(struct runs_opts){.keep_bytes = 400 * KIB});
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		shelf_done(&s, others[i], "run_1", 45 * KIB);
	r = shelf_add(&s, "greedy", "run_g", NULL);
	shelf_print(r, RUN_STDOUT, 'x', 100 * KIB);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		left += has(&s, others[i], "run_1");
	ok(left == 7,
	   "one who holds less takes from one who holds more, until he does not");
	ok(r->out[RUN_STDOUT].kept == 85 * KIB && r->out[RUN_STDOUT].total == 100 * KIB,
	   "what he prints then is counted and not kept");
	shelf_finish(&s);
}

static void test_age(void)
{
	struct shelf s;

	shelf_init(&s, &(struct runs_opts){.keep_ms = 1});
	shelf_done(&s, "a", "run_1", 10);
	shelf_add(&s, "a", "run_2", NULL);
	while (has(&s, "a", "run_1"))
		shelf_turn(&s);
	ok(has(&s, "a", "run_2"),
	   "an ended run goes when it is old, a running one does not");
	shelf_finish(&s);
}

static void test_owners(void)
{
	struct shelf s;
	struct err e = {0}, f = {0};

	shelf_init(&s, &(struct runs_opts){.keep_runs = 0});
	shelf_done(&s, "alice", "run_1", 10);
	ok(has(&s, "alice", "run_1") && !has(&s, "bob", "run_1") &&
		   !has(&s, "", "run_1") && !has(&s, "alic", "run_1"),
	   "a run is its owner's alone");
	shelf_done(&s, "bob", "run_2", 10);
	ok(!has(&s, "bob", "run_1") && has(&s, "bob", "run_2"),
	   "also to one who has runs himself");
	ok(!has(&s, "alice", "run_") && !has(&s, "alice", "run_11") &&
		   !has(&s, "alice", "") &&
		   !has(&s, "alice",
			"run_1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	   "no part and no more of an id will do");
	runs_not_found(s.runs, &e);
	runs_not_found(s.runs, &f);
	ok(e.code == ERR_NOT_FOUND && !memcmp(&e, &f, sizeof(e)),
	   "the miss is always the same");
	shelf_finish(&s);
}

/* Before the keeper has said its id a run is nobody's to find, list or page through. */
static void test_unnamed(void)
{
	struct shelf s;
	struct run *r;

	shelf_init(&s, &(struct runs_opts){.keep_runs = 0});
	r = shelf_add(&s, "a", "", NULL);
	ok(!has(&s, "a", "") && !runs_newest(s.runs, SV("a")),
	   "a run without an id cannot be found");
	run_name(r, SV("run_1"));
	ok(has(&s, "a", "run_1") && runs_newest(s.runs, SV("a")) == r,
	   "with one it can");
	run_forget(r);
	ok(!has(&s, "a", "run_1") && !s.runs->use[RUNS_COUNT],
	   "a forgotten one is gone");
	shelf_finish(&s);
}

static void test_paging(void)
{
	struct shelf s;
	char id[24];
	struct run *r;
	int n = 0;

	shelf_init(&s, &(struct runs_opts){.keep_runs = 20});
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "run_%d", i);
		shelf_done(&s, "a", id, 0);
	}
	for (r = runs_newest(s.runs, SV("a")); r; r = runs_older(r)) {
		snprintf(id, sizeof(id), "run_%d", 19 - n++);
		if (strcmp(r->id, id) != 0)
			break;
	}
	ok(!r && n == 20, "runs are listed newest first");
	r = runs_after(s.runs, SV("a"), SV("run_5"));
	ok(r && !strcmp(r->id, "run_4"), "and gone on with after any of them");
	for (int i = 20; i < 26; i++) {
		snprintf(id, sizeof(id), "run_%d", i);
		shelf_done(&s, "a", id, 0);
	}
	r = runs_after(s.runs, SV("a"), SV("run_7"));
	ok(!has(&s, "a", "run_5") && r && !strcmp(r->id, "run_6"),
	   "runs that came meanwhile change nothing");
	ok(!runs_after(s.runs, SV("a"), SV("run_5")),
	   "after one that was dropped comes nothing older");
	ok(!runs_after(s.runs, SV("a"), SV("run_x")) &&
		   !runs_after(s.runs, SV("b"), SV("run_7")),
	   "nor after one that never was, or is another's");
	shelf_finish(&s);
}

static void test_news(void)
{
	struct shelf s;
	struct run *r;

	shelf_init(&s, &(struct runs_opts){.keep_runs = 0});
	r = shelf_add(&s, "a", "run_1", NULL);
	shelf_turn(&s);
	ok(s.changed == 1 && !strcmp(s.principal, "a"),
	   "a run that begins is news to its owner");
	shelf_print(r, RUN_STDOUT, 'x', 100);
	shelf_turn(&s);
	ok(s.updated == 1 && !strcmp(s.uri, "sandbox://runs/run_1/stdout"),
	   "output is, of the stream it is in");
	for (int i = 0; i < 100; i++) {
		shelf_print(r, RUN_STDOUT, 'x', 100);
		shelf_turn(&s);
	}
	ok(s.updated <= 1 + (loop_now_us() - r->news_us) / 1000000 + 1,
	   "but not more than once a second (%u)", s.updated);
	shelf_end(r);
	ok(r->news.armed, "the end is told when its time has come");
	shelf_finish(&s);
}

/* News is told by the owner's timer: he must be there when it goes off. */
static void test_news_of_the_last(void)
{
	struct shelf s;

	shelf_init(&s, &(struct runs_opts){.keep_ms = 1});
	shelf_done(&s, "a", "run_1", 0);
	while (has(&s, "a", "run_1"))
		shelf_turn(&s);
	while (runs_owner(s.runs, SV("a")))
		shelf_turn(&s);
	ok(s.changed == 2,
	   "that the last run was dropped is told, then its owner is forgotten");
	shelf_finish(&s);
}

static void test_ends_kept(void)
{
	struct sup_stream whole, shown[RUN_STREAMS], errs;
	struct sup_result result = {.run_id = "run_1", .status = SUP_EXITED};
	struct sup_answer a = {.result = &result, .out = &whole, .errs = &errs};
	struct buf head[2] = {{0}}, tail[2] = {{0}};
	size_t sizes[] = {0,
			  1,
			  SUP_HEAD_BYTES,
			  SUP_HEAD_BYTES + 1,
			  SUP_HEAD_BYTES + SUP_TAIL_BYTES,
			  SUP_HEAD_BYTES + SUP_TAIL_BYTES + 1,
			  200 * KIB};
	unsigned same = 0, tried = 0;

	for (size_t i = 0; i < 2; i++) {
		buf_init(&head[i], SUP_HEAD_BYTES);
		buf_init(&tail[i], SUP_TAIL_BYTES);
	}
	/* kept whole, and with room for 30 KiB of it only */
	for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
		struct shelf s;
		struct run *r;
		uint64_t left[2];

		shelf_init(&s, &(struct runs_opts){.keep_bytes = i % 2 ? 30 * KIB : 0});
		r = shelf_add(&s, "", "run_1", NULL);
		stream_init(&whole);
		stream_init(&errs);
		for (size_t n = 0; n < sizes[i / 2]; n++) {
			char c = (char)(n * 7 + n / 253);

			run_keep(r, RUN_STDOUT, (struct sv){&c, 1});
			stream_add(&whole, (struct sv){&c, 1});
		}
		run_settle(r, &a);
		run_end(r);
		must(!run_streams(r, shown, NULL));
		for (size_t k = 0; k < 2; k++) {
			buf_reset(&head[k]);
			buf_reset(&tail[k]);
			left[k] = sup_stream_text(k ? &shown[0] : &whole, &head[k],
						  &tail[k]);
		}
		tried++;
		same += left[0] == left[1] &&
			sv_eq(buf_view(&head[0]), buf_view(&head[1])) &&
			sv_eq(buf_view(&tail[0]), buf_view(&tail[1]));
		run_streams_finish(shown);
		stream_finish(&whole);
		shelf_finish(&s);
	}
	ok(same == tried, "the ends shown later are those shown first (%u of %u)", same,
	   tried);
	for (size_t i = 0; i < 2; i++) {
		buf_finish(&head[i]);
		buf_finish(&tail[i]);
	}
}

static void test_no_memory(void)
{
	struct shelf s;
	long n = 1;

	shelf_init(&s, &(struct runs_opts){.keep_runs = 0});
	for (; n < 20; n++) {
		struct err e = {0};
		struct run *r;

		mem_fail_after(n);
		r = shelf_add(&s, "a", "run_1", &e);
		mem_fail_after(0);
		if (r || e.code != ERR_LIMIT)
			break;
	}
	ok(n == 4 && has(&s, "a", "run_1"), "each of %ld allocations may fail", n - 1);
	shelf_finish(&s);
}

int main(void)
{
	test_oldest_first();
	test_all_running();
	test_bytes();
	test_too_much();
	test_descriptors();
	test_fair_bytes();
	test_fair_runs();
	test_fair_running();
	test_fair_to_ended();
	test_age();
	test_owners();
	test_unnamed();
	test_paging();
	test_news();
	test_news_of_the_last();
	test_ends_kept();
	test_no_memory();
	return tap_done();
}
