/* f_seal.c: a sealed object, changed in any way and opened; and any bytes as one, as a wrapped key, or as the
 * file of a root key.
 *
 * The first byte says which. An edit is 6 bytes: what, a u32 place, a value; the last of them may make the
 * header's check sum good again, as one who alters on purpose would. What must hold: what differs from what was
 * sealed is not opened as a whole, no chunk gives out anything but the bytes that were sealed there, and every
 * refusal names the object. */
#include "sandbox/base/mem.h"
#include "sandbox/workspace/internal.h"
#include "sandbox/workspace/workspace.h"

#include <string.h>

#define CONTENT ((size_t)2 * WS_CHUNK_BYTES + 40)
#define PIECE ((size_t)WS_CHUNK_BYTES + 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ws_key *key;
static struct ws_open *opener;
static struct buf whole; /* the object */
static unsigned char id[WS_ID_BYTES];
static char content[CONTENT];

static struct ws_place place(void)
{
	return (struct ws_place){.key = key,
				 .tenant = SV("t"),
				 .workspace = SV("w"),
				 .what = "object x"};
}

static void start(void)
{
	unsigned char bytes[WS_KEY_BYTES] = {1};
	const struct ws_file to = {.fd = -1, .b = &whole};
	struct ws_place at;
	struct ws_seal *s;

	must(sodium_init() >= 0);
	key = ws_key_take(bytes, NULL);
	s = ws_seal_new(NULL);
	opener = ws_open_new(NULL);
	must(key && s && opener);
	at = place();
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * 31);
	buf_init(&whole, (size_t)1 << 20);
	must(!ws_seal_start(s, &at, (struct sv){0}, &to, NULL) &&
	     !ws_seal_add(s, content, sizeof(content), NULL) &&
	     !ws_seal_end(s, id, NULL));
	ws_seal_free(s);
}

/* How much of it opens; all of that must be what was sealed. */
static bool opens(struct buf *b)
{
	const struct ws_place at = place();
	const struct ws_file from = {.fd = -1, .b = b};
	struct err e = {0};
	bool all = true;
	struct sv part;

	if (ws_open_start(opener, &at, &(struct ws_label){.id = id}, &from, &e)) {
		must(e.code && strstr(e.cause, "object x") && *err_remediation(&e));
		return false;
	}
	must(ws_open_bytes(opener) == sizeof(content));
	for (uint64_t i = 0; i < ws_open_chunks(opener); i++) {
		err_clear(&e);
		if (ws_open_chunk(opener, i, &part, &e)) {
			must(e.code == ERR_INTERNAL && strstr(e.cause, "object x"));
			all = false;
			continue;
		}
		must(part.n <= sizeof(content) - i * WS_CHUNK_BYTES &&
		     !memcmp(part.p, content + i * WS_CHUNK_BYTES, part.n));
	}
	return all;
}

static void edit(struct buf *b, const uint8_t *d)
{
	const size_t at = (size_t)d[1] | (size_t)d[2] << 8 | (size_t)d[3] << 16;
	char *first = b->p + WS_HEADER_BYTES, tmp[PIECE];
	crypto_generichash_blake2b_state st;

	switch (d[0] % 5) {
	case 0:
		if (at < b->n)
			b->p[at] = (char)(b->p[at] ^ d[5]);
		break;
	case 1:
		if (at < b->n)
			b->n = at;
		break;
	case 2:
		buf_add(b, d, d[5] % 7);
		break;
	case 3:
		if (b->n < WS_HEADER_BYTES + 2 * PIECE)
			break;
		memcpy(tmp, first, PIECE);
		memcpy(first, first + PIECE, PIECE);
		memcpy(first + PIECE, tmp, PIECE);
		break;
	default:
		if (b->n < WS_HEADER_BYTES)
			break;
		ws_hash_start(&st, NULL, WS_FOR_CHECK, 16);
		crypto_generichash_blake2b_update(&st, (unsigned char *)b->p, 96);
		crypto_generichash_blake2b_final(&st, (unsigned char *)b->p + 96, 16);
	}
}

static void any_key(struct sv wrapped)
{
	const struct ws_scope s = {.tenant = SV("t")};
	struct err e = {0};

	must(!ws_key_unwrap(key, &s, wrapped, &e) && e.code == ERR_DENIED &&
	     strstr(e.cause, "tenant t"));
}

static void any_root(struct sv line)
{
	unsigned char bytes[WS_KEY_BYTES];
	struct ws_root r = {0};

	if (!ws_root_parse(&r, line, bytes) && r.passphrase)
		must(r.ops && r.ops <= 64 && r.kib >= 8 && r.kib <= 4u << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF b = {.max = (size_t)1 << 20};

	if (!key)
		start();
	if (!size)
		return 0;
	if (data[0] == 'f') {
		any_root((struct sv){(const char *)data, size});
		return 0;
	}
	if (data[0] % 3 == 0) {
		any_key((struct sv){(const char *)data + 1, size - 1});
		return 0;
	}
	if (data[0] % 3 == 1) {
		buf_add(&b, data + 1, size - 1);
		must(!opens(&b));
		return 0;
	}
	buf_sv(&b, buf_view(&whole));
	for (size_t i = 1; i + 6 <= size && i < 64; i += 6)
		edit(&b, data + i);
	must(!b.failed && opens(&b) == sv_eq(buf_view(&b), buf_view(&whole)));
	return 0;
}
