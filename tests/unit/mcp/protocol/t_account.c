/* t_account.c: what is for all clients together, and that no principal gets all of it. */
#include "mcp/protocol/internal.h"
#include "tests/unit/mcp/protocol/more.h"

#define SLOW(id) LEGACY(id, "tools/call", "\"name\":\"slow\"")
#define SUBSCRIBE                                                                      \
	"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"resources/subscribe\","           \
	"\"params\":{\"uri\":\"%s%u\"}}"

static void open_for(struct rig *r, unsigned max_calls)
{
	static const struct tool_set *const sets[] = {&rig_set};

	rig_open_with(r, (struct proto_server_opts){.sets = sets,
						    .nsets = 1,
						    .max_calls = max_calls,
						    .max_in_flight = 8});
}

static void leave(struct proto_peer *p)
{
	proto_peer_close(p, NULL, NULL);
	proto_peer_free(p);
}

static bool call_of(struct rig *r, struct proto_peer *p, unsigned id)
{
	char text[256];

	snprintf(text, sizeof(text), SLOW("%u"), id);
	say_as(r, p, text);
	return !r->n;
}

/* How many calls it gets, at most max. */
static unsigned take(struct rig *r, struct proto_peer *p, unsigned max)
{
	unsigned n = 0;

	while (n < max && call_of(r, p, n))
		n++;
	return n;
}

static void t_calls(void)
{
	struct proto_peer *greedy, *again, *other, *third;
	struct rig r;
	unsigned n;

	open_for(&r, 8);
	greedy = rig_peer(&r, "greedy", true);
	again = rig_peer(&r, "greedy", true);
	other = rig_peer(&r, "other", true);
	n = take(&r, greedy, 2) + take(&r, again, 8);
	ok(n == 4, "a principal gets half, over however many clients: %u", n);
	ok(SAYS(&r, "\\\"code\\\":\\\"busy\\\""), "then it is told to wait");
	n = take(&r, other, 8);
	ok(n == 2, "another one gets half of what is left: %u", n);
	leave(other);
	slow_end(4);
	slow_end(5);
	third = rig_peer(&r, "third", true);
	ok(call_of(&r, third, 9), "so does a third");
	slow_end(0);
	ok(call_of(&r, again, 10), "what has ended can be had again");
	leave(greedy);
	leave(again);
	leave(third);
	rig_close(&r);
}

static void t_one_caller(void)
{
	struct proto_peer *nobody;
	struct rig r;

	open_for(&r, 6);
	ok(take(&r, r.p, 8) == 6, "on stdio all of it is for the one client");
	rig_close(&r);
	open_for(&r, 6);
	nobody = rig_peer(&r, "nobody", true);
	ok(take(&r, nobody, 8) == 6, "so it is where nobody is asked who he is");
	leave(nobody);
	rig_close(&r);
}

static unsigned accounts(const struct rig *r)
{
	unsigned n = 0;

	for (int i = 0; i < PROTO_ACCOUNT_BUCKETS; i++)
		n += r->server->accounts[i] != NULL;
	return n;
}

static void t_life(void)
{
	struct proto_peer *p;
	struct rig r;

	open_for(&r, 6);
	p = rig_peer(&r, "bob", true);
	ok(accounts(&r) == 1, "a principal has an account as long as it has a client");
	must(call_of(&r, p, 1));
	leave(p);
	ok(accounts(&r) == 1, "or a call");
	slow_end(0);
	ok(!accounts(&r) && !r.server->use[PROTO_USE_CALLS], "then no longer");
	mem_fail_after(4);
	p = proto_peer_new(&(struct proto_peer_opts){.server = r.server,
						     .credential = SV("c"),
						     .principal = SV("bob"),
						     .http = true},
			   NULL);
	mem_fail_after(0);
	ok(!p && !accounts(&r), "without memory for one there is no client");
	rig_close(&r);
}

static void t_watched(void)
{
	static char uri[PROTO_MAX_URI_BYTES - 16], text[PROTO_MAX_URI_BYTES + 256];
	struct proto_peer *p[80] = {NULL}, *other;
	size_t each = 0;
	struct rig r;
	unsigned n = 0;

	rig_open_more(&r);
	memset(uri, 'u', sizeof(uri) - 1);
	for (; n < ARRAY_LEN(p); n++) {
		p[n] = rig_peer(&r, "greedy", true);
		for (unsigned i = 0; i < PROTO_MAX_WATCHED; i++) {
			snprintf(text, sizeof(text), SUBSCRIBE, i, uri, 100 + i);
			say_as(&r, p[n], text);
			if (strstr(msg(&r, 0), "too many resources are watched"))
				break;
			each++;
		}
	}
	ok(each * sizeof(uri) < PROTO_MAX_WATCHED_BYTES / 2 + sizeof(text) &&
		   each > PROTO_MAX_WATCHED,
	   "what one principal watches is bounded over all its clients: %zu", each);
	other = rig_peer(&r, "other", true);
	snprintf(text, sizeof(text), SUBSCRIBE, 1, uri, 100);
	say_as(&r, other, text);
	ok(SAYS(&r, "\"result\":{}"), "and leaves room to others");
	while (n--)
		leave(p[n]);
	leave(other);
	ok(!r.server->use[PROTO_USE_WATCHED], "it is given back");
	rig_close(&r);
}

/* A list may have a million entries; looking at each costs everybody else. */
static void t_long_list(void)
{
	struct rig r;
	AUTO_BUF b = {0};

	rig_open_more(&r);
	buf_init(&b, 1 << 20);
	buf_str(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\","
		"\"params\":{" META ",\"notifications\":{\"resourceSubscriptions\":[");
	for (int i = 0; i < 1000; i++)
		buf_str(&b, "\"own://alice\",");
	buf_str(&b, "\"own://late\"]}}}");
	say(&r, buf_cstr(&b));
	ok(SAYS(&r, "\"resourceSubscriptions\":[\"own://alice\"]"),
	   "of a long list only the beginning is looked at");
	rig_close(&r);
}

int main(void)
{
	t_calls();
	t_one_caller();
	t_life();
	t_watched();
	t_long_list();
	return tap_done();
}
