/* t_numbers.c: long numbers become short ones of the same value, all else stays byte for byte. */
#include "mcp/jsonrpc/scan.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#define N50 "01234567890123456789012345678901234567890123456789"
#define Z50 "00000000000000000000000000000000000000000000000000"

struct row {
	const char *text, *short_text; /* without the blanks that fill up */
};

static const struct row rows[] = {
	{"[1, -2.5e3 ,\"a\\\"1\"]", "[1, -2.5e3 ,\"a\\\"1\"]"},
	{"[1" N50 "012345678]", "[1" N50 "012345678]"},
	{"[1" N50 "0123456789]", "[1.0123456789012345e+60]"},
	{"[-1" N50 "0123456789,7]", "[-1.0123456789012345e+60,7]"},
	{"1" Z50 Z50, "1e+100"},
	{"[0." Z50 Z50 "25]", "[2.5e-101]"},
	{"[-42." Z50 "0000000000]", "[-42]"},
	{"[1" Z50 Z50 Z50 Z50 Z50 Z50 Z50 "]", "[1e999]"},
	{"[-1" Z50 Z50 Z50 Z50 Z50 Z50 Z50 "]", "[-1e999]"},
	{"[1e" Z50 "00000000007]", "[10000000]"},
	{"[\"1" Z50 Z50 "\"]", "[\"1" Z50 Z50 "\"]"},
	{"[\"\\\"1" Z50 Z50 "\\\\\",1" Z50 Z50 "]",
	 "[\"\\\"1" Z50 Z50 "\\\\\",1e+100]"},
	{"{\"a\\\"\":1" Z50 Z50 ",\"1" Z50 Z50 "\":2}",
	 "{\"a\\\"\":1e+100,\"1" Z50 Z50 "\":2}"},
};

/* The same text once blanks are left out, of the length of the original. */
static bool is_as(const char *got, const char *want, size_t length)
{
	size_t n = strlen(got);

	for (; *got; got++) {
		if (*got == *want)
			want++;
		else if (*got != ' ')
			return false;
	}
	return !*want && n == length;
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *got = rpc_shorten_numbers(sv_of(rows[i].text));

		if (!ok(got && is_as(got, rows[i].short_text, strlen(rows[i].text)),
			"%s", rows[i].short_text))
			printf("# %s\n", got ? got : "");
		mem_free(got);
	}
	mem_fail_after(1);
	ok(!rpc_shorten_numbers(SV("[1]")), "without memory there is no copy");
	mem_fail_after(0);
	return tap_done();
}
