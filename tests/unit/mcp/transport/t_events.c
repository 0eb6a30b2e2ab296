/* t_events.c: the ring of what was sent on a stream stays within its limits. */
#include "tests/unit/mcp/transport/fake.h"

static void ring_bytes(void)
{
	struct ring ring;
	size_t all = 0, mine = 0;
	AUTO_BUF big = {0};

	buf_init(&big, 16 << 20);
	must(buf_reserve(&big, 9 << 20));
	memset(big.p, 'x', 9 << 20);
	buf_commit(&big, 9 << 20);
	ring_init(&ring);
	for (unsigned i = 0; i < 40; i++)
		ring_add(&ring, (struct sv){big.p, 100 << 10}, &all, &mine);
	ok(ring.bytes <= RING_BYTES && ring.n == 10, "at most 1 MiB: %u", ring.n);
	ring_add(&ring, (struct sv){big.p, 3 << 20}, &all, &mine);
	ok(ring.n == 1 && mine == ring.bytes, "one event may be longer");
	ring_add(&ring, buf_view(&big), &all, &mine);
	ok(!ring.n && !mine && !all, "but not longer than all of a session");
	ring_clear(&ring, &all, &mine);
	ring_add(&ring, SV("x"), &all, &mine);
	ok(ring_has_after(&ring, 42) && !ring_has_after(&ring, 43),
	   "numbers go on over what was not kept");
	ring_clear(&ring, &all, &mine);
	ok(!all && !mine, "counted out");
}

static void tags(void)
{
	struct ring one, other;
	char first[TAG_SIZE];

	ring_init(&one);
	ring_init(&other);
	ok(strlen(ring_tag(&one)) == TAG_SIZE - 1, "a tag: %s", ring_tag(&one));
	memcpy(first, ring_tag(&one), sizeof(first));
	ok(!strcmp(first, ring_tag(&one)), "one for the stream's life");
	ok(strcmp(first, ring_tag(&other)) != 0, "another stream has another");
}

static void ids(void)
{
	struct sv tag;
	uint64_t seq;

	ok(!ring_parse_id(SV("0123456789abcdef-17"), &tag, &seq) && seq == 17 &&
		   sv_eq(tag, SV("0123456789abcdef")),
	   "TAG-SEQ");
	ok(ring_parse_id(SV("0123456789abcde-17"), &tag, &seq) != 0, "a short tag");
	ok(ring_parse_id(SV("0123456789abcdef-"), &tag, &seq) != 0, "no number");
	ok(ring_parse_id(SV("0123456789abcdef-1x"), &tag, &seq) != 0, "more after it");
	ok(ring_parse_id(SV(""), &tag, &seq) != 0, "nothing");
}

int main(void)
{
	ring_bytes();
	tags();
	ids();
	return tap_done();
}
