/* t_buf.c: growth, the ceiling, sticky failure. */
#include "sandbox/base/buf.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

static void t_growth(void)
{
	bool whole = true;
	AUTO_BUF b = {0};

	buf_init(&b, 100000);
	ok(buf_view(&b).n == 0 && !strcmp(buf_cstr(&b), "") && !b.p,
	   "an empty buffer owns nothing and reads as \"\"");
	for (int i = 0; i < 100000; i++)
		buf_byte(&b, (char)('a' + i % 26));
	for (int i = 0; i < 100000; i++)
		whole = whole && b.p[i] == 'a' + i % 26;
	ok(whole && b.n == 100000 && !b.failed && b.p[b.n] == '\0',
	   "it grows to exactly its ceiling, NUL behind it");
	buf_byte(&b, 'x');
	ok(b.failed && b.n == 100000, "one byte more changes nothing and fails it");
	buf_consume(&b, 10);
	buf_byte(&b, 'x');
	ok(b.failed && b.n == 99990, "it stays failed even when there is room again");
	buf_reset(&b);
	buf_str(&b, "again");
	ok(!b.failed && !strcmp(buf_cstr(&b), "again"),
	   "after reset it is empty and usable");
}

static void t_zeroed(void)
{
	struct buf b = {0};

	buf_add(&b, "", 0);
	ok(!b.failed, "nothing fits into a zeroed buffer");
	buf_byte(&b, 'x');
	ok(b.failed && !b.p, "and nothing else does");
	buf_finish(&b);
	buf_finish(&b);
	buf_finish(NULL);
	buf_init(&b, 8);
	buf_str(&b, "12345678");
	buf_finish(&b);
	ok(!b.p && !b.n && b.max == 8, "finish keeps only the ceiling");
}

static void t_overflow(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, SIZE_MAX);
	buf_str(&b, "abc");
	ok(!buf_reserve(&b, SIZE_MAX - 3) && b.failed && b.n == 3,
	   "a size near the top of size_t fails and does not wrap");
}

static void t_reserve(void)
{
	char *at;
	AUTO_BUF b = {0};

	buf_init(&b, 64);
	at = buf_reserve(&b, 64);
	ok(at && b.n == 0, "reserved room is not yet content");
	memcpy(at, "hello", 5);
	buf_commit(&b, 5);
	ok(b.n == 5 && !strcmp(b.p, "hello"), "what is committed is, with its NUL");
	ok(!buf_reserve(&b, 60) && b.failed, "reserving past the ceiling fails");
}

static void t_format(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 10);
	buf_fmt(&b, "%d-%s", 42, "abc");
	buf_hex(&b, "\x00\xff", 2);
	ok(sv_eq(buf_view(&b), SV("42-abc00ff")),
	   "formats and hexadecimal fill it to the end");
	buf_fmt(&b, "%s", "");
	ok(!b.failed, "an empty format still fits");
	buf_reset(&b);
	buf_fmt(&b, "%s", "01234567890");
	ok(b.failed && b.n == 0, "a format is added whole or not at all");
	buf_reset(&b);
	buf_str(&b, "abc");
	buf_fmt(&b, "%s", "01234567");
	ok(b.failed && !strcmp(b.p, "abc"), "what was there stays, with its NUL");
	buf_fmt(&b, "%d", 1);
	ok(!strcmp(b.p, "abc"), "nothing is added to a buffer that failed");
	buf_finish(&b);

	buf_init(&b, 1000);
	buf_fmt(&b, "%060d", 1);
	buf_fmt(&b, "%0100d%s", 2, "!");
	ok(b.n == 161 && strlen(b.p) == 161 && b.p[59] == '1' && b.p[159] == '2' &&
		   b.p[160] == '!',
	   "a format that needs more room is added after it");
}

static void t_consume(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 10);
	buf_str(&b, "abcdef");
	buf_consume(&b, 2);
	ok(!strcmp(buf_cstr(&b), "cdef"), "consume drops from the front");
	buf_consume(&b, 0);
	buf_consume(&b, 4);
	ok(!strcmp(buf_cstr(&b), "") && !b.n, "to the last byte");
	buf_str(&b, "0123456789");
	ok(!b.failed && b.n == 10, "and the room is there again");
}

static void t_no_memory(void)
{
	AUTO_BUF b = {0};

	buf_init(&b, 1000);
	buf_str(&b, "kept");
	mem_fail_after(1);
	for (int i = 0; i < 500 && !b.failed; i++)
		buf_byte(&b, 'x');
	mem_fail_after(0);
	ok(b.failed && b.n == 63 && !memcmp(b.p, "keptx", 5),
	   "without memory it fails and keeps what it had");
}

int main(void)
{
	t_growth();
	t_zeroed();
	t_overflow();
	t_reserve();
	t_format();
	t_consume();
	t_no_memory();
	return tap_done();
}
