/* The lines of interpreters, of any length and any number, on the front's side of sessions. */
#include "tests/unit/sandbox/supervise/front_call.h"

#include <signal.h>

static void test_rich(void)
{
	static char line[3 << 20];
	struct call c;
	uint64_t before;

	memset(line, 'a', sizeof(line));
	up();
	begin(&c, true);
	must(!fd_set_nonblock(to[2]));
	/* 18 MiB of a line */
	for (size_t at = 0; at < (18u << 20);) {
		ssize_t n = write(to[2], line, 65536);

		if (n > 0)
			at += (size_t)n;
		turn();
	}
	print(2, "\nshort\n");
	print(2, "part of");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	before = c.r.rich_dropped;
	ok(is(&c.rich, "short|") && before == 1,
	   "a line that is too long is dropped, and counted");
	finish(&c);
	begin(&c, false);
	print(2, " a line\n");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.rich, "part of a line|") && !c.r.rich_dropped,
	   "an unfinished one is finished later");
	finish(&c);
	down();
}

/* Sixteen MiB are little, and as much from each interpreter of all sessions is not. */
static void test_rich_together(void)
{
	struct call c;
	size_t mine;

	up();
	begin(&c, true);
	must(client->line_bytes == 0);
	client->line_bytes = CLIENT_LINE_BYTES - 10; /* others' */
	print(2, "0123456789");
	turn();
	ok(client->line_bytes == CLIENT_LINE_BYTES, "what is there is used up");
	print(2, "a\nwhole\n");
	print(2, "12345678");
	turn();
	mine = client->line_bytes - (CLIENT_LINE_BYTES - 10);
	ok(mine == 8, "and given back (%zu)", mine);
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.rich, "whole|") && c.r.rich_dropped == 1,
	   "the line without room is dropped, and counted");
	finish(&c);
	client->line_bytes -= CLIENT_LINE_BYTES - 10;
	begin(&c, false);
	print(2, "9\n");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(is(&c.rich, "123456789|") && !client->line_bytes, "nothing is left");
	finish(&c);
	down();
}

/* Lines that are not kept take time all the same, empty ones most of all. */
static void test_rich_flood(const char *bytes, unsigned max_mib)
{
	static char lot[65536];
	struct call c;
	uint32_t why = 0;
	uint64_t sent = 0;

	for (size_t i = 0; i < sizeof(lot); i++)
		lot[i] = bytes[i % strlen(bytes)];
	up();
	begin(&c, true);
	must(!fd_set_nonblock(to[2]));
	while (!why && sent >> 20 < 2 * max_mib) {
		ssize_t n = write(to[2], lot, sizeof(lot));

		sent += n > 0 ? (uint64_t)n : 0;
		turn();
		buf_reset(&c.rich);
		why = was_stopped(&c);
	}
	ok(why == WIRE_OUTPUT_LIMIT && sent >> 20 <= max_mib,
	   "a flood of lines ends its call, after %u MiB", (unsigned)(sent >> 20));
	end_with(&c, (struct sup_result){.status = SUP_OUTPUT_LIMIT});
	ok(c.r.rich_dropped > 0, "and is told of");
	finish(&c);
	begin(&c, false);
	print(2, "\nhere\n");
	end_with(&c, (struct sup_result){.status = SUP_EXITED});
	ok(sv_ends(buf_view(&c.rich), SV("here|")) && !was_stopped(&c),
	   "the next call has its own");
	finish(&c);
	down();
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	must(freopen("/dev/null", "w", stderr));
	test_rich();
	test_rich_together();
	test_rich_flood("\n", 2);
	test_rich_flood("0123456789abcde\n", 20);
	test_rich_flood("x", 66);
	return tap_done();
}
