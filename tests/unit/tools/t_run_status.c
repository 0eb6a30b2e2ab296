/* t_run_status.c: following a run by its offsets: nothing is lost, nothing comes twice, and who waits is
 * woken by what he waits for. */
#include "tests/unit/tools/keeper.h"

#define BACKGROUND "{\"language\":\"python\",\"code\":\"print(1)\",\"background\":true}"

/* The end of the pipe that was given away must not end the run. */
static uint64_t begin(struct keeper *k, int w[2])
{
	struct called c;
	uint64_t id;

	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	id = keeper_begin(k, &c, BACKGROUND, w);
	must(c.ended == 1 && c.running);
	called_finish(&c);
	return id;
}

struct place {
	int64_t out, errs;
};

static int ask(struct keeper *k, struct called *c, struct place at, unsigned wait_ms,
	       unsigned max_bytes)
{
	AUTO_BUF args = {0};

	buf_init(&args, 1000);
	buf_fmt(&args,
		"{\"run_id\":\"%s\",\"stdout_offset\":%lld,\"stderr_offset\":%lld,"
		"\"wait_ms\":%u,\"max_bytes\":%u}",
		RUN_ID, (long long)at.out, (long long)at.errs, wait_ms, max_bytes);
	return call_start(c, k, "run_status", buf_cstr(&args));
}

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Characters of one to four bytes. */
static void make_text(struct buf *b, size_t chars)
{
	static const char *const some[] = {
		"a",   "\n", "\"", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
		"\x01"};

	for (size_t i = 0; i < chars; i++)
		buf_str(b, some[random_below(ARRAY_LEN(some))]);
}

/* Takes one page and adds it to what was read; false when something about it is wrong. */
static bool take(struct keeper *k, struct place *at, struct buf *out, struct buf *errs,
		 unsigned max_bytes)
{
	struct called c;
	bool good;

	must(!ask(k, &c, *at, 0, max_bytes) && c.ended == 1 && !c.failed);
	good = is_of_schema(&c) && int_of(&c, "stdout_offset") == at->out &&
	       int_of(&c, "stderr_offset") == at->errs &&
	       !js_get(c.structured, "stdout_invalid_utf8") &&
	       js_str(js_get(c.structured, "stdout")).n <= max_bytes &&
	       js_str(js_get(c.structured, "stderr")).n <= max_bytes &&
	       (size_t)(int_of(&c, "next_stdout_offset") - at->out) ==
		       js_str(js_get(c.structured, "stdout")).n;
	buf_sv(out, js_str(js_get(c.structured, "stdout")));
	buf_sv(errs, js_str(js_get(c.structured, "stderr")));
	at->out = int_of(&c, "next_stdout_offset");
	at->errs = int_of(&c, "next_stderr_offset");
	called_finish(&c);
	return good;
}

static bool at_end(struct keeper *k, struct place at)
{
	struct called c;
	bool end;

	must(!ask(k, &c, at, 0, 100) && c.ended == 1 && !c.failed);
	end = js_is_true(js_get(c.structured, "stdout_eof")) &&
	      js_is_true(js_get(c.structured, "stderr_eof")) &&
	      !*text_of(&c, "stdout") && !*text_of(&c, "stderr");
	called_finish(&c);
	return end;
}

/* Written and read in pieces of any size, cut anywhere. */
static void test_pieces(struct keeper *k, size_t chars, unsigned max_write,
			unsigned max_page)
{
	struct buf whole[2] = {{0}}, read_back[2] = {{0}};
	struct place at = {0, 0};
	size_t done[2] = {0, 0};
	bool good = true;
	uint64_t id;
	int w[2];

	for (int i = 0; i < 2; i++) {
		buf_init(&whole[i], 1 << 20);
		buf_init(&read_back[i], 1 << 20);
		make_text(&whole[i], chars);
	}
	id = begin(k, w);
	while (done[0] < whole[0].n || done[1] < whole[1].n) {
		int i = (int)random_below(2);
		size_t n = 1 + random_below(max_write);

		if (n > whole[i].n - done[i])
			n = whole[i].n - done[i];
		keeper_print(k, w[i], (struct sv){whole[i].p + done[i], n});
		done[i] += n;
		if (random_below(3))
			good = take(k, &at, &read_back[0], &read_back[1],
				    4 + random_below(max_page)) &&
			       good;
	}
	keeper_finish_run(k, id, w, SUP_EXITED);
	while (good && !at_end(k, at))
		good = take(k, &at, &read_back[0], &read_back[1],
			    4 + random_below(max_page));
	ok(good && sv_eq(buf_view(&whole[0]), buf_view(&read_back[0])) &&
		   sv_eq(buf_view(&whole[1]), buf_view(&read_back[1])),
	   "%zu and %zu bytes, written by %u and read by %u: every byte once, no character torn",
	   whole[0].n, whole[1].n, max_write, max_page);
	for (int i = 0; i < 2; i++) {
		buf_finish(&whole[i]);
		buf_finish(&read_back[i]);
	}
}

static void test_torn_character(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	keeper_print(k, w[0], SV("ab\xe2\x82"));
	must(!ask(k, &c, (struct place){0, 0}, 0, 100));
	ok(!strcmp(text_of(&c, "stdout"), "ab") &&
		   int_of(&c, "next_stdout_offset") == 2 &&
		   js_is_true(js_get(c.structured, "stdout_truncated")),
	   "the beginning of a character is left for the next time");
	called_finish(&c);
	must(!ask(k, &c, (struct place){2, 0}, 45000, 100));
	ok(!c.ended, "and is not worth waking anyone");
	keeper_print(k, w[0], SV("\xac"));
	ok(c.ended == 1 && !strcmp(text_of(&c, "stdout"), "\xe2\x82\xac"),
	   "until the rest of it has come");
	called_finish(&c);
	keeper_print(k, w[0], SV("\xe2\x82"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	must(!ask(k, &c, (struct place){5, 0}, 0, 100));
	ok(!strcmp(text_of(&c, "stdout"), "\xef\xbf\xbd") &&
		   int_of(&c, "next_stdout_offset") == 7 &&
		   int_of(&c, "stdout_invalid_utf8") == 1 &&
		   js_is_true(js_get(c.structured, "stdout_eof")),
	   "at the end nothing more will come: it is shown for what it is");
	called_finish(&c);
}

static void test_bytes(struct keeper *k)
{
	struct place at = {0, 0};
	struct called c;
	uint64_t id;
	int w[2], pages = 0;
	char noise[64];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(0x80 + i);
	id = begin(k, w);
	keeper_print(k, w[0], (struct sv){noise, sizeof(noise)});
	keeper_finish_run(k, id, w, SUP_EXITED);
	for (bool eof = false; !eof && pages < 100; pages++) {
		must(!ask(k, &c, at, 0, 4));
		eof = js_is_true(js_get(c.structured, "stdout_eof"));
		if (int_of(&c, "next_stdout_offset") <= at.out)
			break;
		at.out = int_of(&c, "next_stdout_offset");
		called_finish(&c);
	}
	ok(at.out == sizeof(noise) && pages < 100,
	   "what is no text is gone through as well");
}

static void test_whole_result(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	keeper_print(k, w[0], SV("0123456789"));
	keeper_print(k, w[1], SV("oops\n"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	must(!ask(k, &c, (struct place){0, 0}, 45000, 4));
	ok(c.ended == 1 && !strcmp(text_of(&c, "status"), "exited") &&
		   int_of(&c, "exit_code") == 0 && int_of(&c, "duration_ms") == 5 &&
		   int_of(&c, "timeout_ms") == 10000 && is_of_schema(&c),
	   "an ended run is answered at once, with all that run_code tells");
	ok(!strcmp(text_of(&c, "stdout"), "0123") &&
		   !js_is_true(js_get(c.structured, "stdout_eof")) &&
		   strstr(text_of(&c, "note"), "stdout_offset 4 and stderr_offset 4"),
	   "with more to read it says how");
	ok(strstr(buf_cstr(&c.text), "exited with code 0") &&
		   strstr(buf_cstr(&c.text), "stdout, bytes 0 to 4 of 10") &&
		   strstr(buf_cstr(&c.text), text_of(&c, "note")),
	   "the text says the same");
	called_finish(&c);
	must(!ask(k, &c, (struct place){4, 4}, 0, 100));
	ok(!strcmp(text_of(&c, "stdout"), "456789") &&
		   !strcmp(text_of(&c, "stderr"), "\n") &&
		   js_is_true(js_get(c.structured, "stdout_eof")) &&
		   !js_get(c.structured, "note"),
	   "at the end there is no more to say");
	called_finish(&c);
	must(!ask(k, &c, (struct place){10, 5}, 0, 100));
	ok(!*text_of(&c, "stdout") && int_of(&c, "next_stdout_offset") == 10 &&
		   js_is_true(js_get(c.structured, "stderr_eof")),
	   "and past it nothing");
	called_finish(&c);
}

static void test_wrong(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	keeper_print(k, w[0], SV("abc"));
	ok(ask(k, &c, (struct place){4, 0}, 0, 100) == -1 &&
		   c.err.code == ERR_INVALID && strstr(c.err.cause, "stdout_offset") &&
		   strstr(c.err.cause, "3 bytes"),
	   "an offset nobody gave is refused");
	called_finish(&c);
	ok(ask(k, &c, (struct place){0, 9007199254740992}, 0, 100) == -1 &&
		   c.err.code == ERR_INVALID && strstr(c.err.cause, "stderr_offset"),
	   "also the largest");
	called_finish(&c);
	ok(ask(k, &c, (struct place){-1, 0}, 0, 100) == -1 && c.err.code == ERR_INVALID,
	   "and one below nothing");
	called_finish(&c);
	ok(!ask(k, &c, (struct place){0, 0}, 0, 4000000000u) && c.ended == 1,
	   "more than is given is cut");
	called_finish(&c);
	keeper_finish_run(k, id, w, SUP_EXITED);
}

static void test_waits(struct keeper *k)
{
	struct called c, d;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	must(!ask(k, &c, (struct place){0, 0}, 45000, 100) &&
	     !ask(k, &d, (struct place){0, 0}, 4000000000u, 100));
	keeper_turn(k);
	ok(!c.ended && !d.ended, "with nothing to say a call waits");
	keeper_print(k, w[1], SV("!"));
	ok(c.ended == 1 && d.ended == 1 && !strcmp(text_of(&c, "stderr"), "!") &&
		   !strcmp(text_of(&c, "status"), "running") && !c.running,
	   "output of either stream wakes all who wait");
	called_finish(&c);
	called_finish(&d);
	must(!ask(k, &c, (struct place){0, 1}, 1, 100));
	ok(!c.ended, "what one has seen is nothing new");
	keeper_until_ended(k, &c);
	ok(!*text_of(&c, "stderr") && !strcmp(text_of(&c, "status"), "running") &&
		   int_of(&c, "next_stderr_offset") == 1 && is_of_schema(&c),
	   "and the time given is waited, no longer");
	called_finish(&c);
	must(!ask(k, &c, (struct place){0, 1}, 45000, 100));
	c.call.tool->cancel(&c.call);
	ok(c.ended == 1 && !strcmp(text_of(&c, "status"), "running"),
	   "cancelling it ends the waiting");
	called_finish(&c);
	must(!ask(k, &c, (struct place){0, 1}, 45000, 100));
	keeper_finish_run(k, id, w, SUP_TIMEOUT);
	ok(c.ended == 1 && !strcmp(text_of(&c, "status"), "timeout"),
	   "not the run: its end wakes too");
	called_finish(&c);
}

static void test_ceilings(struct keeper *k)
{
	const uint64_t now = loop_now_us();
	uint64_t latest = 0;
	struct called c;
	AUTO_BUF lot = {0};
	uint64_t id;
	int w[2];

	id = begin(k, w);
	must(!ask(k, &c, (struct place){0, 0}, 4000000, 100));
	for (const struct loop_timer *t = k->loop.timers; t; t = t->next)
		latest = t->due_us;
	ok(!c.ended && latest >= now && latest < loop_now_us() + 46000000,
	   "nobody waits longer than clients do");
	buf_init(&lot, 200000);
	while (lot.n < 200000)
		buf_str(&lot, "0123456789");
	keeper_print(k, w[0], buf_view(&lot));
	keeper_until_ended(k, &c);
	called_finish(&c);
	must(!ask(k, &c, (struct place){0, 0}, 0, 4000000) && c.ended == 1);
	ok(js_str(js_get(c.structured, "stdout")).n == RUN_MAX_PAGE_BYTES &&
		   int_of(&c, "next_stdout_offset") == (int64_t)RUN_MAX_PAGE_BYTES,
	   "nor is shown more than a page");
	called_finish(&c);
	keeper_finish_run(k, id, w, SUP_EXITED);
}

static void test_bounded(struct keeper *k)
{
	static struct called many[100];
	unsigned waiting = 0;
	struct called c;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	while (waiting < ARRAY_LEN(many) &&
	       !ask(k, &many[waiting], (struct place){0, 0}, 45000, 100))
		waiting++;
	ok(waiting == 64 && many[waiting].err.code == ERR_BUSY,
	   "so many may wait and no more (%u)", waiting);
	called_finish(&many[waiting]);
	ok(!ask(k, &c, (struct place){0, 0}, 0, 100) && c.ended == 1,
	   "who does not wait is answered");
	called_finish(&c);
	keeper_print(k, w[0], SV("x"));
	for (unsigned i = 0; i < waiting; i++) {
		must(many[i].ended == 1);
		called_finish(&many[i]);
	}
	ok(!ask(k, &c, (struct place){1, 0}, 45000, 100) && !c.ended,
	   "when they have been answered others may");
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(c.ended == 1, "and are");
	called_finish(&c);
}

/* Output past what is kept is gone, and is said to be. */
static void test_dropped(struct keeper *k)
{
	struct called c;
	uint64_t id;
	int w[2];

	keeper_runs(k, &(struct runs_opts){.keep_bytes = 1000});
	id = keeper_begin(k, &c, BACKGROUND, w);
	called_finish(&c);
	for (int i = 0; i < 15; i++)
		keeper_print(k, w[0],
			     SV("0123456789012345678901234567890123456789"
				"0123456789012345678901234567890123456789"
				"01234567890123456789"));
	must(!ask(k, &c, (struct place){990, 0}, 0, 100));
	ok(int_of(&c, "next_stdout_offset") == 1000 &&
		   int_of(&c, "stdout_bytes") == 1500 &&
		   int_of(&c, "stdout_dropped_bytes") == 500 &&
		   js_is_true(js_get(c.structured, "stdout_truncated")) &&
		   !js_is_true(js_get(c.structured, "stdout_eof")) && is_of_schema(&c),
	   "what was not kept is counted");
	ok(strstr(buf_cstr(&c.text), "stdout: 500 bytes after byte 1000 were not kept"),
	   "the text says so");
	called_finish(&c);
	must(!ask(k, &c, (struct place){1000, 0}, 45000, 100));
	keeper_print(k, w[0], SV("more"));
	ok(!c.ended, "what cannot be read wakes nobody");
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(c.ended == 1 && js_is_true(js_get(c.structured, "stdout_eof")) &&
		   int_of(&c, "stdout_dropped_bytes") == 504,
	   "the end does");
	called_finish(&c);
}

/* Past the policy's ceiling the client keeps nothing; the sum is known at the end. */
static void test_output_limit(struct keeper *k)
{
	struct called c;
	struct ipc_msg m;
	uint64_t id;
	int w[2];

	k->output_max = 10;
	id = begin(k, w);
	keeper_print(k, w[0], SV("0123456789abcdef"));
	ok(keeper_next(k, &m) == SUP_STOP, "too much output ends the run");
	keeper_finish_run(k, id, w, SUP_OUTPUT_LIMIT);
	must(!ask(k, &c, (struct place){0, 0}, 0, 100));
	ok(!strcmp(text_of(&c, "stdout"), "0123456789") &&
		   int_of(&c, "stdout_bytes") == 16 &&
		   int_of(&c, "stdout_dropped_bytes") == 6 &&
		   !strcmp(text_of(&c, "status"), "output_limit"),
	   "what came up to it is there, exactly");
	called_finish(&c);
	must(!call_start(&c, k, "run_cancel", "{\"run_id\":\"" RUN_ID "\"}"));
	ok(!strcmp(text_of(&c, "stdout"), "0123456789abcdef"),
	   "and what run_code showed still is");
	called_finish(&c);
	k->output_max = 16 << 20;
}

/* A call that comes from within an answer finds everything in order. */
static struct {
	struct keeper *k;
	struct called next;
	bool again;
} chain;

static void on_done_chained(struct tool_call *call, const struct tool_answer *a)
{
	on_call_done(call, a);
	if (chain.again) {
		chain.again = false;
		must(!ask(chain.k, &chain.next, (struct place){1, 0}, 45000, 100));
	}
}

static void test_chained(struct keeper *k)
{
	static const struct tool_hooks hooks = {.done = on_done_chained};
	struct called c;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	chain.k = k;
	chain.again = true;
	must(!ask(k, &c, (struct place){0, 0}, 45000, 100));
	c.call.hooks = &hooks;
	keeper_print(k, w[0], SV("x"));
	ok(c.ended == 1 && !chain.again && !chain.next.ended,
	   "an answer may bring the next wait");
	keeper_print(k, w[0], SV("y"));
	ok(chain.next.ended == 1 && !strcmp(text_of(&chain.next, "stdout"), "y"),
	   "which gets what is new, and only that");
	called_finish(&chain.next);
	called_finish(&c);
	keeper_finish_run(k, id, w, SUP_EXITED);
}

/* A line comes in pieces. */
static void test_gathered(struct keeper *k)
{
	struct called c, d;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	k->runs->gather_ms = 20;
	must(!ask(k, &c, (struct place){0, 0}, 45000, 100));
	keeper_print(k, w[0], SV("line"));
	keeper_print(k, w[0], SV("\n"));
	keeper_until_ended(k, &c);
	ok(!strcmp(text_of(&c, "stdout"), "line\n"),
	   "what comes in a moment comes in one answer");
	called_finish(&c);
	k->runs->gather_ms = 45000;
	must(!ask(k, &d, (struct place){5, 0}, 45000, 100));
	keeper_print(k, w[0], SV("last"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(d.ended == 1 && !strcmp(text_of(&d, "stdout"), "last"),
	   "the end is not waited for");
	called_finish(&d);
}

int main(void)
{
	struct keeper k;

	keeper_init(&k);
	test_pieces(&k, 2000, 40, 60);
	test_pieces(&k, 300, 3, 5);
	test_pieces(&k, 60000, 9000, 20000);
	test_torn_character(&k);
	test_bytes(&k);
	test_whole_result(&k);
	test_wrong(&k);
	test_waits(&k);
	test_ceilings(&k);
	test_bounded(&k);
	test_dropped(&k);
	test_output_limit(&k);
	test_chained(&k);
	test_gathered(&k);
	keeper_finish(&k);
	return tap_done();
}
