/* store_test.h: what the tests of a store share: its key and folder, an object put and got whole. */
#ifndef STORE_TEST_H
#define STORE_TEST_H

#include "ws_test.h"

static struct ws_key *key;
static struct ws_store_opts opts;
static unsigned char *bytes;
#define BIG ((size_t)3 * WS_CHUNK_BYTES + 77)

UNUSED static struct ws_object by_content(const unsigned char *id)
{
	return (struct ws_object){.label.id = id, .what = "object x"};
}

UNUSED static struct ws_object by_name(const char *name, uint64_t generation)
{
	return (struct ws_object){
		.label.name = sv_of(name), .generation = generation, .what = name};
}

UNUSED static int put(struct ws_store *st, struct ws_object x, struct sv content,
	       unsigned char id[WS_ID_BYTES], struct err *e)
{
	return ws_put_start(st, &x, e) ||
	       ws_seal_add(opts.seal, content.p, content.n, e) || ws_put_end(st, id, e);
}

/* 0: it is there, whole, with that content. */
UNUSED static int get(struct ws_store *st, struct ws_object x, struct sv content,
	       struct err *e)
{
	size_t done = 0;
	struct sv part;
	int rc = ws_get(st, &x, e);

	if (rc)
		return rc;
	for (uint64_t i = 0; !rc && i < ws_open_chunks(opts.open); i++) {
		rc = ws_open_chunk(opts.open, i, &part, e);
		if (!rc && (part.n > content.n - done ||
			    memcmp(part.p, content.p + done, part.n) != 0))
			rc = -2;
		done += rc ? 0 : part.n;
	}
	if (!rc && done != content.n)
		rc = -2;
	ws_get_end(st);
	return rc;
}

UNUSED static struct sv content(size_t n)
{
	return (struct sv){(const char *)bytes, n};
}

UNUSED static void store_new(void)
{
	key = key_from(9);
	bytes = pattern(BIG);
	opts = (struct ws_store_opts){.parent = open(base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				      .key = key,
				      .tenant = SV("key:ci"),
				      .workspace = SV("ses_1"),
				      .seal = ws_seal_new(NULL),
				      .open = ws_open_new(NULL)};
	must(opts.parent >= 0 && opts.seal && opts.open);
}

UNUSED static void store_end(void)
{
	ws_seal_free(opts.seal);
	ws_open_free(opts.open);
	ws_key_free(key);
	mem_free(bytes);
	close(opts.parent);
}

#endif
