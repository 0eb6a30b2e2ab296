/* ws_test.h: what the workspace room's tests share: a folder, keys of a pattern, an object sealed and opened
 * whole. */
#ifndef WS_TEST_H
#define WS_TEST_H

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/workspace/internal.h"
#include "sandbox/workspace/workspace.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static char base_dir[64]; /* removed at the end */

UNUSED static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	(void)st;
	(void)kind;
	(void)f;
	return remove(path);
}

UNUSED static void folder_new(void)
{
	alarm(300); /* a test that hangs is a test that fails */
	must(sodium_init() >= 0);
	snprintf(base_dir, sizeof(base_dir), "/tmp/t_workspace.XXXXXX");
	must(mkdtemp(base_dir));
}

UNUSED static void folder_end(void)
{
	nftw(base_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A test that cannot run says so, and fails where it must. */
UNUSED static void skip(const char *why)
{
	const char *must_run = getenv("MUST_RUN");

	if (must_run && sv_eq(sv_of(must_run), SV("1")))
		ok(0, "cannot run: %s", why);
	else
		ok(1, "# SKIP %s", why);
}

/* The bytes from `first` on. */
UNUSED static struct ws_key *key_from(unsigned char first)
{
	unsigned char bytes[WS_KEY_BYTES];
	struct ws_key *k;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(first + i);
	k = ws_key_take(bytes, NULL);
	must(k);
	return k;
}

/* The n bytes that tests/lib/seal.py calls pattern(n); mem_free them. */
UNUSED static unsigned char *pattern(size_t n)
{
	unsigned char *p = mem_alloc(n + 1);

	must(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 7 + i / 251);
	return p;
}

UNUSED static struct ws_place place(const struct ws_key *key, uint64_t generation)
{
	return (struct ws_place){.key = key,
				 .tenant = SV("key:ci"),
				 .workspace = SV("ses_0123456789abcdef"),
				 .generation = generation,
				 .what = "object x"};
}

/* Seals all of it into b. */
UNUSED static int seal_buf(const struct ws_place *at, struct sv name, struct sv content, struct buf *b,
			   unsigned char id[WS_ID_BYTES])
{
	static struct ws_seal *s;
	const struct ws_file to = {.fd = -1, .b = b};

	if (!s)
		s = ws_seal_new(NULL);
	must(s);
	return ws_seal_start(s, at, name, &to, NULL) || ws_seal_add(s, content.p, content.n, NULL) ||
	       ws_seal_end(s, id, NULL);
}

/* Opens what is in b and holds it against `content`: 0 the same, -1 with e, -2 another content. */
UNUSED static int open_buf(const struct ws_place *at, const struct ws_label *label, struct buf *b, struct sv content,
			   struct err *e)
{
	static struct ws_open *o;
	const struct ws_file from = {.fd = -1, .b = b};
	struct sv part;
	size_t done = 0;

	if (!o)
		o = ws_open_new(NULL);
	must(o);
	if (ws_open_start(o, at, label, &from, e))
		return -1;
	for (uint64_t i = 0; i < ws_open_chunks(o); i++) {
		if (ws_open_chunk(o, i, &part, e))
			return -1;
		if (part.n > content.n - done || memcmp(part.p, content.p + done, part.n))
			return -2;
		done += part.n;
	}
	return done == content.n && ws_open_bytes(o) == content.n ? 0 : -2;
}

#endif
