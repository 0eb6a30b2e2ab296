/* t_pages.c: of a block only whole pages are given back, and nothing beside it. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 6 };

static unsigned char *area;

/* The bytes that are zero, from the first to the last; -1 where they are not in one piece. */
static long zeros(size_t *ret_first)
{
	long n = 0;
	bool inside = false, over = false;

	for (size_t i = 0; i < PAGES * PAGE; i++) {
		if (area[i]) {
			over = over || inside;
			inside = false;
			continue;
		}
		if (over)
			return -1;
		if (!inside)
			*ret_first = i;
		inside = true;
		n++;
	}
	return n;
}

static void released(size_t at, size_t n, size_t first, size_t wanted)
{
	size_t begin = first;
	long got;

	memset(area, 'x', PAGES * PAGE);
	pages_release(area + at, n);
	got = zeros(&begin);
	ok(got == (long)wanted && (!wanted || begin == first),
	   "%zu bytes at %zu: %ld from %zu on", n, at, got, begin);
}

int main(void)
{
	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(area != MAP_FAILED);
	if (sysconf(_SC_PAGESIZE) != PAGE) {
		ok(true, "pages are larger here, and nothing is given back");
		return tap_done();
	}
	released(0, PAGES * PAGE, 0, PAGES * PAGE);
	released(1, 4 * PAGE, PAGE, 3 * PAGE);
	released(PAGE - 1, 2 * PAGE, PAGE, PAGE);
	released(PAGE, 2 * PAGE - 1, PAGE, PAGE);
	released(1, 2 * PAGE - 2, 0, 0);
	released(0, PAGE - 1, 0, 0);
	released(100, 0, 0, 0);
	return tap_done();
}
