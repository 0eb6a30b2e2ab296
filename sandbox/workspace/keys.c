/* keys.c: keys in memory, and keys wrapped with keys. */
#include "sandbox/workspace/keys.h"

#include "sandbox/base/mem.h"
#include "sandbox/workspace/internal.h"

#include <sys/mman.h>
#include <unistd.h>

/* A wrapped key: where its parts begin. */
enum { MAGIC = 0, WITH = 8, NAME = 24, NONCE = 40, BOX = 64 };
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define BOX_BYTES (WS_KEY_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES)
#define MAX_SCOPE_BYTES 1024 /* of additional data */

_Static_assert(BOX + BOX_BYTES == WS_WRAPPED_BYTES, "the parts of a wrapped key");
_Static_assert(NONCE + NONCE_BYTES == BOX, "the parts of a wrapped key");

static const unsigned char magic[8] = "fhwrap\0\1";

struct ws_key {
	unsigned char *bytes; /* no access while users is 0 */
	unsigned users;
	unsigned char name[WS_KEY_NAME_BYTES];
};

static bool all_locked = true;

/* --- bytes ------------------------------------------------------------------------ */

void ws_put_u64(unsigned char dst[8], uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		dst[i] = (unsigned char)(v >> (8 * i));
}

uint64_t ws_get_u64(const unsigned char src[8])
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)src[i] << (8 * i);
	return v;
}

void ws_hash_start(crypto_generichash_blake2b_state *st, const unsigned char *key,
		   const char *person, size_t n)
{
	unsigned char id[crypto_generichash_blake2b_PERSONALBYTES];

	must(strlen(person) == sizeof(id));
	memcpy(id, person, sizeof(id));
	crypto_generichash_blake2b_init_salt_personal(st, key, key ? WS_KEY_BYTES : 0,
						      n, NULL, id);
}

void ws_hash_u64(crypto_generichash_blake2b_state *st, uint64_t v)
{
	unsigned char raw[8];

	ws_put_u64(raw, v);
	crypto_generichash_blake2b_update(st, raw, sizeof(raw));
}

void ws_hash_field(crypto_generichash_blake2b_state *st, struct sv s)
{
	ws_hash_u64(st, s.n);
	crypto_generichash_blake2b_update(st, (const unsigned char *)s.p, s.n);
}

/* --- keys in memory --------------------------------------------------------------- */

/* libsodium locks the page and leaves it out of core dumps, but does not say when it could not lock. A
 * child (of the launcher, before its exec) does not get the page at all. */
void *ws_secret_new(size_t n, struct err *e)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *p = sodium_malloc(n), *start;

	if (!p) {
		err_set(e, ERR_LIMIT, "out of memory for a key");
		return NULL;
	}
	start = p - (uintptr_t)p % page;
	n = (size_t)(p + n - start);
	if (sodium_mlock(start, n))
		all_locked = false;
	madvise(start, (n + page - 1) / page * page, MADV_DONTFORK);
	sodium_memzero(p, (size_t)(start + n - p));
	return p;
}

bool ws_keys_locked(void)
{
	return all_locked;
}

const unsigned char *ws_key_open(const struct ws_key *k)
{
	struct ws_key *m = (struct ws_key *)(uintptr_t)k;

	if (!m->users++)
		sodium_mprotect_readonly(k->bytes);
	return k->bytes;
}

void ws_key_shut(const struct ws_key *k)
{
	struct ws_key *m = (struct ws_key *)(uintptr_t)k;

	must(k->users);
	if (!--m->users)
		sodium_mprotect_noaccess(k->bytes);
}

static void make_name(struct ws_key *k)
{
	crypto_generichash_blake2b_state st;

	ws_hash_start(&st, ws_key_open(k), WS_FOR_NAME, sizeof(k->name));
	crypto_generichash_blake2b_final(&st, k->name, sizeof(k->name));
	ws_key_shut(k);
	sodium_memzero(&st, sizeof(st));
}

/* Copies the bytes, or makes them up. */
static struct ws_key *make(const unsigned char *bytes, struct err *e)
{
	struct ws_key *k = mem_zalloc(sizeof(*k));

	if (!k)
		err_set(e, ERR_LIMIT, "out of memory for a key");
	else
		k->bytes = ws_secret_new(WS_KEY_BYTES, e);
	if (!k || !k->bytes) {
		mem_free(k);
		return NULL;
	}
	if (bytes)
		memcpy(k->bytes, bytes, WS_KEY_BYTES);
	else
		randombytes_buf(k->bytes, WS_KEY_BYTES);
	sodium_mprotect_noaccess(k->bytes);
	make_name(k);
	return k;
}

struct ws_key *ws_key_new(struct err *e)
{
	return make(NULL, e);
}

struct ws_key *ws_key_take(unsigned char bytes[WS_KEY_BYTES], struct err *e)
{
	struct ws_key *k = make(bytes, e);

	sodium_memzero(bytes, WS_KEY_BYTES);
	return k;
}

void ws_key_free(struct ws_key *k)
{
	if (!k)
		return;
	must(!k->users);
	sodium_free(k->bytes); /* zeroes them */
	mem_free(k);
}

const unsigned char *ws_key_name(const struct ws_key *k)
{
	return k->name;
}

/* --- wrapped keys ----------------------------------------------------------------- */

/* What is authenticated beside the key; its length, 0 when the scope's names are too long. */
static size_t scope_bytes(const unsigned char *wrapped, const struct ws_scope *s,
			  unsigned char dst[MAX_SCOPE_BYTES])
{
	const struct sv names[] = {s->tenant, s->workspace};
	size_t n = NONCE;

	memcpy(dst, wrapped, n);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		/* 16: this length, and the epoch */
		if (names[i].n > MAX_SCOPE_BYTES - 16 - n)
			return 0;
		ws_put_u64(dst + n, names[i].n);
		if (names[i].n)
			memcpy(dst + n + 8, names[i].p, names[i].n);
		n += 8 + names[i].n;
	}
	ws_put_u64(dst + n, s->epoch);
	return n + 8;
}

void ws_key_wrap(const struct ws_key *with, const struct ws_scope *s,
		 const struct ws_key *k, unsigned char ret[WS_WRAPPED_BYTES])
{
	unsigned char about[MAX_SCOPE_BYTES];
	size_t n;

	memcpy(ret + MAGIC, magic, sizeof(magic));
	memcpy(ret + WITH, with->name, WS_KEY_NAME_BYTES);
	memcpy(ret + NAME, k->name, WS_KEY_NAME_BYTES);
	randombytes_buf(ret + NONCE, NONCE_BYTES);
	n = scope_bytes(ret, s, about);
	must(n); /* names of ours have limits far below */
	crypto_aead_xchacha20poly1305_ietf_encrypt(ret + BOX, NULL, ws_key_open(k),
						   WS_KEY_BYTES, about, n, NULL,
						   ret + NONCE, ws_key_open(with));
	ws_key_shut(with);
	ws_key_shut(k);
}

static const unsigned char *part_of(struct sv wrapped, size_t at)
{
	if (wrapped.n != WS_WRAPPED_BYTES ||
	    memcmp(wrapped.p, magic, sizeof(magic)) != 0)
		return NULL;
	return (const unsigned char *)wrapped.p + at;
}

const unsigned char *ws_wrapped_with(struct sv wrapped)
{
	return part_of(wrapped, WITH);
}

const unsigned char *ws_wrapped_name(struct sv wrapped)
{
	return part_of(wrapped, NAME);
}

/* The key in the box; NULL without a word in e: it is not authentic here. */
static struct ws_key *open_box(const struct ws_key *with, const struct ws_scope *s,
			       const unsigned char *w, struct err *e)
{
	unsigned char about[MAX_SCOPE_BYTES], bytes[WS_KEY_BYTES];
	const size_t n = scope_bytes(w, s, about);
	struct ws_key *k = NULL;
	int bad;

	bad = !n || crypto_aead_xchacha20poly1305_ietf_decrypt(
			    bytes, NULL, NULL, w + BOX, BOX_BYTES, about, n, w + NONCE,
			    ws_key_open(with));
	if (n)
		ws_key_shut(with);
	if (!bad)
		k = ws_key_take(bytes, e);
	sodium_memzero(bytes, sizeof(bytes));
	return k;
}

struct ws_key *ws_key_unwrap(const struct ws_key *with, const struct ws_scope *s,
			     struct sv wrapped, struct err *e)
{
	const unsigned char *w = part_of(wrapped, 0);
	const char *whose = s->workspace.n ? "workspace" : "tenant";
	const struct sv who = s->workspace.n ? s->workspace : s->tenant;
	struct err why = {0};
	struct ws_key *k;

	if (!w) {
		err_set(e, ERR_DENIED,
			"what is kept as the key of %s " SV_FMT " is none", whose,
			SV_ARG(who));
		err_fix(e,
			"its bytes were changed: restore the database from a backup");
		return NULL;
	}
	if (memcmp(w + WITH, with->name, WS_KEY_NAME_BYTES) != 0) {
		err_set(e, ERR_DENIED,
			"the key of %s " SV_FMT
			" is wrapped with another key than the one given",
			whose, SV_ARG(who));
		err_fix(e, "give the root key this state folder was made with, or was "
			   "last rotated to: `fumehood key root show` says which");
		return NULL;
	}
	k = open_box(with, s, w, &why);
	if (k && !memcmp(k->name, w + NAME, WS_KEY_NAME_BYTES))
		return k;
	ws_key_free(k);
	if (why.code) {
		err_set(e, why.code, "%s", why.cause);
		return NULL;
	}
	err_set(e, ERR_DENIED,
		"the key of %s " SV_FMT " (epoch %llu) is damaged, or that of another",
		whose, SV_ARG(who), (unsigned long long)s->epoch);
	err_fix(e, "its bytes were changed, or moved from another place: restore the "
		   "database from a backup");
	return NULL;
}
