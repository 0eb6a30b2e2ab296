/* t_input.c: what goes into the input bundle is what the guest reads out of it. */
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/supervise/supervise.h"
#include "tests/lib/tap.h"

static bool next_is(struct sv *rest, enum guest_entry_kind kind, struct sv name,
		    struct sv data)
{
	struct guest_entry en;

	return guest_next_entry(rest, &en) == 1 && en.kind == kind &&
	       sv_eq(en.name, name) && sv_eq(en.data, data);
}

static void test_round_trip(void)
{
	AUTO_BUF b = {0};
	struct err e = {0};
	struct guest_entry en;
	struct sv rest;

	buf_init(&b, POL_MAX_INPUT_BYTES);
	ok(!sup_input_arg(&b, SV("-x"), &e) && !sup_input_arg(&b, SV(""), &e) &&
		   !sup_input_env(&b, SV("A"), SV("b=c"), &e) &&
		   !sup_input_file(&b, SV("d/f"), SV("nul\0inside"), &e) &&
		   !sup_input_cwd(&b, SV("d"), &e),
	   "every kind is taken");
	rest = buf_view(&b);
	ok(next_is(&rest, GUEST_ARG, SV(""), SV("-x")), "the guest reads the argument");
	ok(next_is(&rest, GUEST_ARG, SV(""), SV("")), "and an empty one");
	ok(next_is(&rest, GUEST_ENV, SV("A"), SV("b=c")), "and the variable");
	ok(next_is(&rest, GUEST_FILE, SV("d/f"), SV("nul\0inside")),
	   "and the file's bytes");
	ok(next_is(&rest, GUEST_CWD, SV(""), SV("d")), "and the folder");
	ok(guest_next_entry(&rest, &en) == 0, "and then the end");
}

static void test_ceiling(void)
{
	AUTO_BUF b = {0};
	struct err e = {0};
	size_t head = GUEST_ENTRY_HEAD + 1, all = POL_MAX_INPUT_BYTES;
	char *bytes = mem_zalloc(all);
	size_t before;

	must(bytes);
	buf_init(&b, 2 * all);
	ok(!sup_input_file(&b, SV("a"), (struct sv){bytes, all - 2 * head}, &e),
	   "a file that leaves room for one header is taken");
	before = b.n;
	ok(sup_input_file(&b, SV("b"), SV("1"), &e) == -1 && e.code == ERR_LIMIT,
	   "one byte more than the ceiling is refused as a limit");
	ok(b.n == before && !b.failed, "and leaves the bundle as it was");
	err_clear(&e);
	ok(!sup_input_file(&b, SV("b"), SV(""), &e) && b.n == all,
	   "exactly the ceiling is taken");
	ok(sup_input_arg(&b, SV(""), &e) == -1, "then nothing more");
	mem_free(bytes);
}

static void test_no_memory(void)
{
	AUTO_BUF b = {0};
	struct err e = {0};

	buf_init(&b, 100);
	mem_fail_after(1);
	ok(sup_input_arg(&b, SV("x"), &e) == -1 && e.code == ERR_LIMIT,
	   "no memory is an error, not a cut bundle");
	mem_fail_after(0);
	ok(sup_input_arg(&b, SV("x"), NULL) == -1,
	   "a buffer that failed once takes nothing");
}

int main(void)
{
	test_round_trip();
	test_ceiling();
	test_no_memory();
	return tap_done();
}
