/* t_session_guess.c: how much of a session id was guessed right is told by nothing: the comparison is
 * libsodium's, over the whole id, and where an id is looked for depends on a key. */
#include "tests/unit/mcp/transport/fake.h"
#include "tests/unit/mcp/transport/legacy.h"

#include <sodium.h>

static unsigned compared, compared_bytes;

/* In place of the library's: how often it was asked, and for how many bytes. */
int sodium_memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;
	unsigned char differs = 0;

	compared++;
	compared_bytes += (unsigned)n;
	for (size_t i = 0; i < n; i++)
		differs |= x[i] ^ y[i];
	return differs ? -1 : 0;
}

/* The bytes compared for an id, by whoever asks; -1: a comparison was not of a whole one. */
static int bytes_for(struct rig *r, const char *id, const char *who, bool want)
{
	struct session *s;

	compared = compared_bytes = 0;
	s = session_find(r->t, sv_of(id), sv_of(who));
	must(!s == !want);
	return compared_bytes == compared * (SESSION_ID_SIZE - 1) ? (int)compared_bytes
								  : -1;
}

int main(void)
{
	char guess[SESSION_ID_SIZE], owner[SUP_PRINCIPAL_SIZE] = "";
	unsigned in_bucket = 0, differ = 0;
	struct rig r;

	rig_begin(&r, NULL, INITIALIZE("2025-11-25"));
	for (unsigned i = 0; i < OWNER_BUCKETS; i++)
		if (r.t->owners[i])
			memcpy(owner, r.t->owners[i]->principal, sizeof(owner));
	must(owner[0]);
	ok(bytes_for(&r, session_id, owner, true) == SESSION_ID_SIZE - 1,
	   "the right id is compared as a whole, in constant time");
	ok(bytes_for(&r, session_id, "key:another", false) == SESSION_ID_SIZE - 1,
	   "for another caller just the same");
	/* an attacker would go on with the longest prefix that took longest: none does */
	for (unsigned i = 0; i < SESSION_ID_SIZE - 1; i++) {
		int n;

		memcpy(guess, session_id, sizeof(guess));
		guess[i] = guess[i] == '0' ? '1' : '0';
		n = bytes_for(&r, guess, owner, false);
		differ += n != 0 && n != SESSION_ID_SIZE - 1;
		in_bucket += n > 0;
	}
	ok(!differ, "64 ids that are wrong in one digit: compared as a whole, or not");
	ok(in_bucket < 8, "hardly one of them falls to where the right one is (%u)",
	   in_bucket);
	rig_close(&r);
	return tap_done();
}
