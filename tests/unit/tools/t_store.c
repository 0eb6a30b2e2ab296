/* t_store.c: what was kept of a stream is read back from any place, before and after it moved to a memfd. */
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"
#include "tools/runs.h"

#include <string.h>
#include <sys/resource.h>

static char whole[300000];

static bool reads_back(const struct store *s, uint64_t kept)
{
	static char got[sizeof(whole)];
	uint32_t seed = 12345;

	for (int i = 0; i < 300; i++) {
		size_t at, n, want;

		seed = seed * 1664525 + 1013904223;
		at = seed % (kept + 10);
		seed = seed * 1664525 + 1013904223;
		n = seed % 70000;
		want = at >= kept ? 0 : kept - at < n ? (size_t)(kept - at) : n;
		if (store_read(s, at, got, n) != want ||
		    memcmp(got, whole + at, want) != 0)
			return false;
	}
	return true;
}

static void test_small_to_large(void)
{
	struct store s;
	uint64_t n = 0;
	bool good = true, was_small = false;

	store_init(&s);
	for (size_t step = 1; n + step <= sizeof(whole);
	     n += step, step = step * 7 % 4099) {
		bool spills = store_will_spill(&s, step), before = s.fd >= 0;

		store_add(&s, (struct sv){whole + n, step}, step);
		good = good && s.kept == n + step && spills == (!before && s.fd >= 0);
		was_small = was_small || s.fd < 0;
	}
	ok(good && was_small && s.fd >= 0 && !s.closed,
	   "a stream is kept byte for byte and moves to a memfd when it says so");
	ok(!s.small.p, "then nothing of it stays on the heap");
	ok(reads_back(&s, n), "and every part is read back as it was");
	store_finish(&s);
}

static void test_border(void)
{
	struct store s;

	store_init(&s);
	store_add(&s, (struct sv){whole, RUN_SMALL_BYTES}, RUN_SMALL_BYTES);
	ok(s.fd < 0 && s.kept == RUN_SMALL_BYTES && reads_back(&s, s.kept),
	   "as much as is small needs no descriptor");
	store_add(&s, (struct sv){whole + s.kept, 1}, 1);
	ok(s.fd >= 0 && reads_back(&s, RUN_SMALL_BYTES + 1), "one byte more does");
	store_finish(&s);
	ok(s.fd < 0, "which is closed with it");
}

static void test_room(void)
{
	struct store s;

	store_init(&s);
	store_add(&s, (struct sv){whole, 100}, 40);
	ok(s.kept == 40 && s.total == 100 && s.closed, "what has no room is counted");
	store_add(&s, (struct sv){whole + 40, 10}, 1000);
	ok(s.kept == 40 && s.total == 110 && reads_back(&s, 40),
	   "and nothing is kept after a hole");
	store_finish(&s);
}

/* Without descriptors a stream ends where its small part does. */
static void test_no_memfd(void)
{
	struct rlimit old, none;
	struct store s;

	must(!getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 0;
	store_init(&s);
	must(!setrlimit(RLIMIT_NOFILE, &none));
	store_add(&s, (struct sv){whole, RUN_SMALL_BYTES - 10}, RUN_SMALL_BYTES);
	store_add(&s, (struct sv){whole + s.kept, 100}, 100);
	must(!setrlimit(RLIMIT_NOFILE, &old));
	ok(s.kept == RUN_SMALL_BYTES && s.total == RUN_SMALL_BYTES + 90 && s.closed &&
		   reads_back(&s, s.kept),
	   "without a descriptor the beginning stays");
	store_finish(&s);
}

static void test_no_memory(void)
{
	struct store s;

	store_init(&s);
	mem_fail_after(1);
	store_add(&s, (struct sv){whole, 100}, 100);
	mem_fail_after(0);
	ok(!s.kept && s.total == 100 && s.closed,
	   "without memory nothing is kept, and said");
	store_finish(&s);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(whole); i++)
		whole[i] = (char)(i * 31 + i / 251);
	test_small_to_large();
	test_border();
	test_room();
	test_no_memfd();
	test_no_memory();
	return tap_done();
}
