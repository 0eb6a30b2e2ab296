/* t_share.c: who counts as one, and how much of what there is one may have. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct http_server s;
static struct conn conns[3];

static uint16_t share4(const char *text)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
	} a = {.v4 = {.sin_family = AF_INET}};

	must(inet_pton(AF_INET, text, &a.v4.sin_addr) == 1);
	return share_find(&s, &a.any);
}

static uint16_t share6(const char *text)
{
	union {
		struct sockaddr any;
		struct sockaddr_in6 v6;
	} a = {.v6 = {.sin6_family = AF_INET6}};

	must(inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1);
	return share_find(&s, &a.any);
}

static void cells(void)
{
	static bool seen[SHARES];
	unsigned used = 0;
	char text[INET_ADDRSTRLEN];

	ok(share4("192.0.2.1") == share4("192.0.2.1"), "an address is itself");
	ok(share4("192.0.2.1") == share6("::ffff:192.0.2.1"), "in either family");
	ok(share6("2001:db8:1:2::1") == share6("2001:db8:1:2:ffff::9"),
	   "a /64 is one host");
	for (unsigned i = 0; i < 256; i++) {
		uint16_t at;

		snprintf(text, sizeof(text), "192.0.2.%u", i);
		at = share4(text);
		must(at < SHARES);
		used += !seen[at];
		seen[at] = true;
	}
	ok(used > 150, "neighbours have cells of their own (%u of 256)", used);
}

static void keyed(void)
{
	uint64_t old = s.share_key;
	unsigned same = 0;

	for (unsigned i = 0; i < 64; i++) {
		uint16_t before;
		char text[INET_ADDRSTRLEN];

		snprintf(text, sizeof(text), "192.0.2.%u", i);
		before = share4(text);
		s.share_key = old + 1;
		same += share4(text) == before;
		s.share_key = old;
	}
	ok(same < 8, "which ones depends on the key (%u of 64 do not)", same);
}

static void bodies(void)
{
	s.limits.all_bodies_bytes = 1000;
	ok(!share_body(&conns[0], 500), "one may have half");
	ok(share_body(&conns[0], 1) && share_body(&conns[1], 1),
	   "and no byte more, on whichever of its connections");
	ok(share_body(&conns[2], 251) && !share_body(&conns[2], 250),
	   "the next one half of the rest");
	ok(share_body(&conns[0], SIZE_MAX) && share_body(&conns[2], SIZE_MAX - 100),
	   "sums do not wrap");
	share_body_done(&conns[0], 500);
	ok(!share_body(&conns[1], 300), "what is given back can be had again");
	share_body_done(&conns[1], 300);
	share_body_done(&conns[2], 250);
	ok(!s.bodies_bytes && !s.shares[1].bodies_bytes && !s.shares[2].bodies_bytes,
	   "and nothing is left");
}

static void queues(void)
{
	s.limits.all_queues_bytes = 1000;
	ok(!share_queue(&conns[0], 400) && !share_queue(&conns[1], 100),
	   "queues of one add up to half");
	ok(share_queue(&conns[1], 101), "and not to more");
	ok(!share_queue(&conns[1], 100), "to shrink is never too much");
	ok(!share_queue(&conns[2], 250) && share_queue(&conns[2], 251),
	   "the next one has half of the rest");
	for (int i = 0; i < 3; i++)
		share_queue(&conns[i], 0);
	ok(!s.queued_bytes && !s.shares[1].queued_bytes, "nothing is left");
}

static void victims(void)
{
	s.shares[1].conns = 2;
	s.shares[2].conns = 1;
	s.lists[LIST_RECEIVING].first = &conns[2];
	conns[2].next = &conns[0];
	conns[0].next = &conns[1];
	ok(share_victim(&s, 3) == &conns[0], "the oldest of whoever has more goes");
	ok(!share_victim(&s, 2), "not for one that would then have as many");
	ok(!share_victim(&s, 1), "nor for the one that has most");
	s.lists[LIST_RECEIVING].first = NULL;
	ok(!share_victim(&s, 3), "nobody goes where nobody is");
}

int main(void)
{
	for (int i = 0; i < 3; i++)
		conns[i] = (struct conn){.s = &s, .share = i < 2 ? 1 : 2};
	ok(!share_init(&s), "there is a key");
	cells();
	keyed();
	bodies();
	queues();
	victims();
	return tap_done();
}
