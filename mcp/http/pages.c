/* pages.c: memory that is allocated but not needed yet.
 *
 * mbedTLS has two buffers of 16 KiB for a connection and nghttp2 one, for the largest record or frame
 * there may be. Most connections only ever use the first page of each, but the heap hands out
 * memory that was in use before, or clears it, and then all of it is real: 40 KiB of an idle
 * connection's 46. So whole pages of a new block go back to the kernel, and come when touched. */
#include "mcp/http/internal.h"

#include <sys/mman.h>

enum {
	PAGE = 4096
}; /* where pages are larger, the kernel refuses and nothing happens */

void pages_release(void *p, size_t n)
{
	char *at = p;
	size_t skip = (PAGE - (uintptr_t)at % PAGE) % PAGE;

	if (n >= skip + PAGE)
		madvise(at + skip, (n - skip) / PAGE * PAGE, MADV_DONTNEED);
}
