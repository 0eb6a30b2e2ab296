/* t_stream.c: head, tail and count of a captured stream, at every size around the borders. */
#include "sandbox/supervise/stream.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

static char byte_at(uint64_t i)
{
	return (char)(i * 31 + (i >> 8));
}

/* Feeds n bytes in pieces and checks what is kept against what was written. */
static bool holds(uint64_t n, size_t piece)
{
	struct sup_stream s;
	struct buf head = {.max = SUP_HEAD_BYTES}, tail = {.max = SUP_TAIL_BYTES};
	uint64_t left_out;
	bool good;
	char *p = mem_alloc(piece);

	stream_init(&s);
	for (uint64_t i = 0; i < n;) {
		size_t k = n - i < piece ? (size_t)(n - i) : piece;

		for (size_t j = 0; j < k; j++)
			p[j] = byte_at(i + j);
		stream_add(&s, (struct sv){p, k});
		i += k;
	}
	left_out = sup_stream_text(&s, &head, &tail);
	good = s.total == n && head.n + tail.n + left_out == n && !head.failed &&
	       !tail.failed;
	good = good && head.n == (n < SUP_HEAD_BYTES ? n : SUP_HEAD_BYTES);
	for (uint64_t i = 0; good && i < head.n; i++)
		good = head.p[i] == byte_at(i);
	for (uint64_t i = 0; good && i < tail.n; i++)
		good = tail.p[i] == byte_at(n - tail.n + i);
	buf_finish(&head);
	buf_finish(&tail);
	stream_finish(&s);
	mem_free(p);
	return good;
}

int main(void)
{
	const uint64_t sizes[] = {0,
				  1,
				  SUP_HEAD_BYTES - 1,
				  SUP_HEAD_BYTES,
				  SUP_HEAD_BYTES + 1,
				  SUP_HEAD_BYTES + SUP_TAIL_BYTES - 1,
				  SUP_HEAD_BYTES + SUP_TAIL_BYTES,
				  SUP_HEAD_BYTES + SUP_TAIL_BYTES + 1,
				  SUP_HEAD_BYTES + 3 * SUP_TAIL_BYTES + 17,
				  1000003};
	const size_t pieces[] = {1, 7, 4096, SUP_TAIL_BYTES, 65536};

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
		for (unsigned j = 0; j < ARRAY_LEN(pieces); j++)
			ok(holds(sizes[i], pieces[j]), "%llu bytes in pieces of %zu",
			   (unsigned long long)sizes[i], pieces[j]);
	return tap_done();
}
