/* t_seal.c: a sealed state comes back whole, or not at all. */
#include "mcp/protocol/internal.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <ctype.h>

#define BOUND SV("alice tools/call confirm_delete d1g3st")

static void seal(struct proto_server *s, struct sv plain, struct buf *text)
{
	buf_finish(text);
	buf_init(text, 1 << 16);
	must(!proto_seal(s, plain, BOUND, text));
}

static bool opens(struct proto_server *s, struct sv text, struct sv bound,
		  struct sv want)
{
	AUTO_BUF plain = {0};

	buf_init(&plain, 1 << 16);
	return !proto_unseal(s, text, bound, &plain) && sv_eq(buf_view(&plain), want);
}

static void test_round_trip(struct proto_server *s)
{
	AUTO_BUF a = {0};
	AUTO_BUF b = {0};
	AUTO_BUF big = {0};
	AUTO_BUF c = {0};
	bool plain_text = true;

	seal(s, SV("secret state"), &a);
	seal(s, SV("secret state"), &b);
	ok(opens(s, buf_view(&a), BOUND, SV("secret state")), "what was sealed opens");
	ok(!sv_eq(buf_view(&a), buf_view(&b)), "no two seals of it are alike");
	ok(!strstr(buf_cstr(&a), "secret"), "and none shows it");
	for (size_t i = 0; i < a.n; i++)
		plain_text = plain_text &&
			     (strchr("-_", a.p[i]) || isalnum((unsigned char)a.p[i]));
	ok(plain_text, "the text needs no escaping anywhere");
	seal(s, SV(""), &c);
	ok(opens(s, buf_view(&c), BOUND, SV("")), "an empty state is one");
	buf_init(&big, PROTO_MAX_STATE_BYTES);
	for (size_t i = 0; i < PROTO_MAX_STATE_BYTES; i++)
		buf_byte(&big, (char)i);
	seal(s, buf_view(&big), &c);
	ok(opens(s, buf_view(&c), BOUND, buf_view(&big)), "so is the largest");
	buf_finish(&b);
	buf_init(&b, 20);
	ok(proto_seal(s, SV("x"), BOUND, &b), "a text without room fails");
}

static void test_altered(struct proto_server *s)
{
	AUTO_BUF a = {0};
	int opened = 0;

	seal(s, SV("state"), &a);
	for (size_t i = 0; i < a.n; i++) {
		char old = a.p[i];

		for (int bit = 0; bit < 7; bit++) {
			a.p[i] = (char)(old ^ (1 << bit));
			opened += opens(s, buf_view(&a), BOUND, SV("state"));
		}
		a.p[i] = old;
	}
	ok(!opened, "with any bit of it flipped it does not open");
	for (size_t n = 0; n < a.n; n++)
		opened += opens(s, (struct sv){a.p, n}, BOUND, SV("state"));
	ok(!opened, "nor cut short anywhere");
	buf_str(&a, "-TAMPERED");
	ok(!opens(s, buf_view(&a), BOUND, SV("state")), "nor with more behind it");
	for (size_t n = 0; n < 9; n++) {
		buf_reset(&a);
		for (size_t i = 0; i < n * 8; i++)
			buf_byte(&a, 'A');
		opened += opens(s, buf_view(&a), BOUND, SV(""));
	}
	ok(!opened, "nothing but A is no seal");
	buf_reset(&a);
	for (size_t i = 0; i < 60000; i++)
		buf_byte(&a, 'A');
	ok(!opens(s, buf_view(&a), BOUND, SV("")),
	   "one too long is not even looked at");
}

static void test_elsewhere(struct proto_server *s)
{
	struct proto_server other = {0};
	AUTO_BUF a = {0};

	must(!proto_seal_init(&other, NULL));
	seal(s, SV("state"), &a);
	ok(!opens(s, buf_view(&a), SV("mallory tools/call confirm_delete d1g3st"),
		  SV("state")) &&
		   !opens(s, buf_view(&a), SV(""), SV("state")),
	   "for another caller or call it does not open");
	ok(!opens(&other, buf_view(&a), BOUND, SV("state")), "nor in another process");
	proto_seal_finish(&other);
}

int main(void)
{
	struct proto_server s = {0};

	must(!proto_seal_init(&s, NULL));
	test_round_trip(&s);
	test_altered(&s);
	test_elsewhere(&s);
	proto_seal_finish(&s);
	return tap_done();
}
