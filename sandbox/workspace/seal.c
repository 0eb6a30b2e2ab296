/* seal.c: an object sealed while it streams by, and opened again.
 *
 * Theory of operation. The chunk key needs nothing that is not known at the start, so each chunk is sealed in
 * place as soon as it is full and written behind a header of zeroes. The tag over length and label comes last,
 * and with it the header: until then the file is no object. Opening verifies the header first, which says how
 * many chunks there must be; from then on each chunk stands for itself. */
#include "sandbox/workspace/seal.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/workspace/internal.h"

#include <errno.h>
#include <unistd.h>

/* A header: where its parts begin. */
enum {
	MAGIC = 0,
	GENERATION = 8,
	LENGTH = 16,
	SALT = 24,
	KEY = 48,
	TAG = 64,
	CHECK = 96
};
#define SALT_BYTES 24
#define TAG_BYTES 32
#define CHECK_BYTES 16
#define MAC_BYTES crypto_aead_chacha20poly1305_ietf_ABYTES
#define PIECE_BYTES (WS_CHUNK_BYTES + MAC_BYTES)
#define MAX_TRIES 256 /* to say which chunk a wrong one is */

_Static_assert(CHECK + CHECK_BYTES == WS_HEADER_BYTES, "the parts of a header");

static const unsigned char magic[8] = "fhseal\0\1";

struct secrets {
	crypto_generichash_blake2b_state id; /* so far: of the content, or the name */
	unsigned char keys[2 * WS_KEY_BYTES]; /* of chunks, of the head */
};

struct ws_seal {
	struct secrets *x;
	unsigned char *chunk; /* PIECE_BYTES: plain, then sealed in place */
	size_t n; /* plain bytes in it */
	size_t used; /* the most there were: to be zeroed */
	uint64_t chunks; /* written */
	struct ws_file to;
	const char *what;
	struct sv name;
	bool open; /* between start and end, and nothing has failed */
	unsigned char header[WS_HEADER_BYTES];
};

struct ws_open {
	struct secrets *x;
	unsigned char *chunk;
	uint64_t bytes; /* of the content */
	size_t used; /* of chunk: to be zeroed */
	struct ws_file from;
	const char *what;
};

/* --- keys, tags, ids -------------------------------------------------------------- */

static void derive(struct secrets *x, const struct ws_place *at,
		   const unsigned char *salt)
{
	crypto_generichash_blake2b_state st;

	ws_hash_start(&st, ws_key_open(at->key), WS_FOR_OBJECT, sizeof(x->keys));
	ws_key_shut(at->key);
	ws_hash_field(&st, SV("v1"));
	ws_hash_field(&st, at->tenant);
	ws_hash_field(&st, at->workspace);
	ws_hash_u64(&st, at->generation);
	crypto_generichash_blake2b_update(&st, salt, SALT_BYTES);
	crypto_generichash_blake2b_final(&st, x->keys, sizeof(x->keys));
	sodium_memzero(&st, sizeof(st));
}

static void make_tag(const struct secrets *x, const unsigned char *header,
		     const struct ws_label *l, unsigned char ret[TAG_BYTES])
{
	const struct sv is =
		l->id ? (struct sv){(const char *)l->id, WS_ID_BYTES} : l->name;
	crypto_generichash_blake2b_state st;

	ws_hash_start(&st, x->keys + WS_KEY_BYTES, WS_FOR_HEAD, TAG_BYTES);
	crypto_generichash_blake2b_update(&st, header, TAG);
	ws_hash_u64(&st, is.n + 1);
	crypto_generichash_blake2b_update(
		&st, (const unsigned char *)(l->id ? "c" : "n"), 1);
	crypto_generichash_blake2b_update(&st, (const unsigned char *)is.p, is.n);
	crypto_generichash_blake2b_final(&st, ret, TAG_BYTES);
	sodium_memzero(&st, sizeof(st));
}

static void make_check(const unsigned char *header, unsigned char ret[CHECK_BYTES])
{
	crypto_generichash_blake2b_state st;

	ws_hash_start(&st, NULL, WS_FOR_CHECK, CHECK_BYTES);
	crypto_generichash_blake2b_update(&st, header, CHECK);
	crypto_generichash_blake2b_final(&st, ret, CHECK_BYTES);
}

void ws_id_of_name(const struct ws_key *key, struct sv name,
		   unsigned char ret[WS_ID_BYTES])
{
	crypto_generichash_blake2b_state st;

	ws_hash_start(&st, ws_key_open(key), WS_FOR_LABEL, WS_ID_BYTES);
	ws_key_shut(key);
	crypto_generichash_blake2b_update(&st, (const unsigned char *)name.p, name.n);
	crypto_generichash_blake2b_final(&st, ret, WS_ID_BYTES);
	sodium_memzero(&st, sizeof(st));
}

static uint64_t chunks_of(uint64_t n)
{
	return n / WS_CHUNK_BYTES + (n % WS_CHUNK_BYTES != 0);
}

uint64_t ws_sealed_bytes(uint64_t n)
{
	return WS_HEADER_BYTES + n + MAC_BYTES * chunks_of(n);
}

static uint64_t place_of(uint64_t chunk)
{
	return WS_HEADER_BYTES + chunk * PIECE_BYTES;
}

static void make_nonce(uint64_t chunk,
		       unsigned char ret[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
	ws_put_u64(ret, chunk);
	memset(ret + 8, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES - 8);
}

/* --- sealing ---------------------------------------------------------------------- */

static int out_of_memory(const char *what, struct err *e)
{
	return err_set(e, ERR_LIMIT, "%s: out of memory", what);
}

struct ws_seal *ws_seal_new(struct err *e)
{
	struct ws_seal *s = mem_zalloc(sizeof(*s));

	if (s) {
		s->chunk = mem_zalloc(PIECE_BYTES);
		s->x = ws_secret_new(sizeof(*s->x), e);
	}
	if (s && s->chunk && s->x)
		return s;
	ws_seal_free(s);
	out_of_memory("sealing", e);
	return NULL;
}

void ws_seal_drop(struct ws_seal *s)
{
	sodium_memzero(s->x, sizeof(*s->x));
	sodium_memzero(s->chunk, s->used);
	s->used = 0;
	s->open = false;
}

void ws_seal_free(struct ws_seal *s)
{
	if (!s)
		return;
	if (s->x && s->chunk)
		ws_seal_drop(s);
	sodium_free(s->x);
	mem_free(s->chunk);
	mem_free(s);
}

static int cannot_write(const char *what, struct err *e)
{
	if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
		return err_sys(e, "%s could not be written", what);
	err_set(e, ERR_LIMIT, "%s could not be written: the disk is full", what);
	if (e)
		e->sys = errno;
	return err_fix(e, "free space on the disk of the state folder, or delete "
			  "snapshots; nothing was changed");
}

static int write_at(const struct ws_seal *s, uint64_t at, const unsigned char *p,
		    size_t n, struct err *e)
{
	struct buf *b = s->to.b;

	if (b && at < b->n) {
		must(n <= b->n - at);
		memcpy(b->p + at, p, n);
	} else if (b) {
		must(at == b->n);
		buf_add(b, p, n);
	}
	if (b)
		return b->failed ? out_of_memory(s->what, e) : 0;
	while (n) {
		ssize_t k = pwrite(s->to.fd, p, n, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			errno = k ? errno : EIO;
			return cannot_write(s->what, e);
		}
		p += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return 0;
}

static int failed(struct ws_seal *s)
{
	ws_seal_drop(s);
	return -1;
}

int ws_seal_start(struct ws_seal *s, const struct ws_place *at, struct sv name,
		  const struct ws_file *to, struct err *e)
{
	must(name.n <= WS_MAX_NAME_BYTES);
	ws_seal_drop(s);
	s->n = 0;
	s->chunks = 0;
	s->to = *to;
	s->what = at->what;
	s->name = name;
	memset(s->header, 0, sizeof(s->header));
	/* in a file a hole is left in front, which reads as zeroes */
	if (to->b && write_at(s, 0, s->header, sizeof(s->header), e))
		return failed(s);
	memcpy(s->header + MAGIC, magic, sizeof(magic));
	ws_put_u64(s->header + GENERATION, at->generation);
	randombytes_buf(s->header + SALT, SALT_BYTES);
	memcpy(s->header + KEY, ws_key_name(at->key), WS_KEY_NAME_BYTES);
	derive(s->x, at, s->header + SALT);
	ws_hash_start(&s->x->id, ws_key_open(at->key),
		      name.n ? WS_FOR_LABEL : WS_FOR_CONTENT, WS_ID_BYTES);
	ws_key_shut(at->key);
	crypto_generichash_blake2b_update(&s->x->id, (const unsigned char *)name.p,
					  name.n);
	s->open = true;
	return 0;
}

/* Seals n bytes, which may be those in s->chunk, and writes them. */
static int put_chunk(struct ws_seal *s, const unsigned char *p, size_t n, struct err *e)
{
	unsigned char nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	if (s->chunks >= WS_MAX_OBJECT_BYTES / WS_CHUNK_BYTES) {
		err_set(e, ERR_LIMIT, "%s is too long", s->what);
		return failed(s);
	}
	make_nonce(s->chunks, nonce);
	if (!s->name.n)
		crypto_generichash_blake2b_update(&s->x->id, p, n);
	crypto_aead_chacha20poly1305_ietf_encrypt(s->chunk, NULL, p, n, NULL, 0, NULL,
						  nonce, s->x->keys);
	if (write_at(s, place_of(s->chunks), s->chunk, n + MAC_BYTES, e))
		return failed(s);
	s->chunks++;
	s->n = 0;
	return 0;
}

static int check_open(const struct ws_seal *s, struct err *e)
{
	return s->open ? 0
		       : err_set(e, ERR_INTERNAL,
				 "%s: nothing is being sealed, or it failed", s->what);
}

int ws_seal_add(struct ws_seal *s, const void *p, size_t n, struct err *e)
{
	const unsigned char *from = p;

	if (check_open(s, e))
		return -1;
	while (n) {
		size_t k = WS_CHUNK_BYTES - s->n;

		if (k > n)
			k = n;
		if (k == WS_CHUNK_BYTES) {
			if (put_chunk(s, from, k, e))
				return -1;
		} else {
			memcpy(s->chunk + s->n, from, k);
			s->n += k;
			s->used = s->used < s->n ? s->n : s->used;
			if (s->n == WS_CHUNK_BYTES && put_chunk(s, s->chunk, s->n, e))
				return -1;
		}
		from += k;
		n -= k;
	}
	return 0;
}

int ws_seal_from(struct ws_seal *s, int in, struct err *e)
{
	if (check_open(s, e))
		return -1;
	while (s->n < WS_CHUNK_BYTES) {
		ssize_t k = read(in, s->chunk + s->n, WS_CHUNK_BYTES - s->n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			err_sys(e, "what is to become %s could not be read", s->what);
			return errno == EAGAIN ? -1 : failed(s);
		}
		if (!k)
			return 0;
		s->n += (size_t)k;
		s->used = s->used < s->n ? s->n : s->used;
	}
	return put_chunk(s, s->chunk, s->n, e) ? -1 : 1;
}

int ws_seal_end(struct ws_seal *s, unsigned char ret_id[WS_ID_BYTES], struct err *e)
{
	const size_t rest = s->n;
	unsigned char id[WS_ID_BYTES];
	const struct ws_label label = {.id = s->name.n ? NULL : id, .name = s->name};

	if (check_open(s, e) || (rest && put_chunk(s, s->chunk, rest, e)))
		return -1;
	crypto_generichash_blake2b_final(&s->x->id, id, sizeof(id));
	ws_put_u64(s->header + LENGTH, rest ? (s->chunks - 1) * WS_CHUNK_BYTES + rest
					    : s->chunks * WS_CHUNK_BYTES);
	make_tag(s->x, s->header, &label, s->header + TAG);
	make_check(s->header, s->header + CHECK);
	if (write_at(s, 0, s->header, sizeof(s->header), e))
		return failed(s);
	ws_seal_drop(s);
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

/* --- opening ---------------------------------------------------------------------- */

struct ws_open *ws_open_new(struct err *e)
{
	struct ws_open *o = mem_zalloc(sizeof(*o));

	if (o) {
		o->chunk = mem_zalloc(PIECE_BYTES);
		o->x = ws_secret_new(sizeof(*o->x), e);
	}
	if (o && o->chunk && o->x)
		return o;
	ws_open_free(o);
	out_of_memory("opening", e);
	return NULL;
}

void ws_open_drop(struct ws_open *o)
{
	sodium_memzero(o->x, sizeof(*o->x));
	sodium_memzero(o->chunk, o->used);
	o->bytes = o->used = 0;
}

void ws_open_free(struct ws_open *o)
{
	if (!o)
		return;
	if (o->x && o->chunk)
		ws_open_drop(o);
	sodium_free(o->x);
	mem_free(o->chunk);
	mem_free(o);
}

/* Up to n bytes; fewer where the object ends. -1: it cannot be read. */
static int64_t read_at(const struct ws_open *o, uint64_t at, unsigned char *dst,
		       size_t n, struct err *e)
{
	const struct buf *b = o->from.b;
	size_t done = 0;

	if (b) {
		n = at > b->n ? 0 : n < b->n - at ? n : b->n - at;
		if (n)
			memcpy(dst, b->p + at, n);
		return (int64_t)n;
	}
	while (done < n) {
		ssize_t k = pread(o->from.fd, dst + done, n - done, (off_t)(at + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, "%s could not be read", o->what);
		if (!k)
			break;
		done += (size_t)k;
	}
	return (int64_t)done;
}

static int is_damaged(const struct ws_open *o, struct err *e, const char *how)
{
	err_set(e, ERR_INTERNAL, "%s %s", o->what, how);
	return err_fix(e, "it was changed outside of fumehood, or the disk lost it; "
			  "what does not need it can be used");
}

static int is_another(const struct ws_open *o, struct err *e, const char *how)
{
	err_set(e, ERR_DENIED, "%s is not what it should be: %s", o->what, how);
	return err_fix(e, "somebody has moved or replaced files in the state folder; "
			  "what does not need it can be used");
}

static int check_header(const struct ws_open *o, const struct ws_place *at,
			const unsigned char *h, struct err *e)
{
	unsigned char check[CHECK_BYTES];
	char how[96];

	if (memcmp(h, magic, sizeof(magic) - 1) != 0)
		return is_damaged(o, e,
				  "is no sealed object, or its writing was cut off");
	if (h[sizeof(magic) - 1] != magic[sizeof(magic) - 1]) {
		err_set(e, ERR_UNAVAILABLE, "%s has format %u, this fumehood knows 1",
			o->what, h[sizeof(magic) - 1]);
		return err_fix(e, "open it with the fumehood that made it");
	}
	make_check(h, check);
	if (memcmp(check, h + CHECK, sizeof(check)) != 0)
		return is_damaged(o, e, "has a damaged header");
	if (memcmp(h + KEY, ws_key_name(at->key), WS_KEY_NAME_BYTES) != 0)
		return is_another(o, e, "it was sealed with another workspace's key");
	if (ws_get_u64(h + GENERATION) == at->generation)
		return 0;
	snprintf(how, sizeof(how), "it is generation %llu, not %llu",
		 (unsigned long long)ws_get_u64(h + GENERATION),
		 (unsigned long long)at->generation);
	return is_another(o, e, how);
}

static int check_size(const struct ws_open *o, uint64_t bytes, struct err *e)
{
	const int64_t has = o->from.b ? (int64_t)o->from.b->n : fd_size(o->from.fd);
	const uint64_t wants = ws_sealed_bytes(bytes);
	char how[96];

	if (has == (int64_t)wants)
		return 0;
	snprintf(how, sizeof(how), "%s: it has %lld of %llu bytes",
		 has < (int64_t)wants ? "is truncated" : "has bytes behind its end",
		 (long long)has, (unsigned long long)wants);
	return is_damaged(o, e, how);
}

int ws_open_start(struct ws_open *o, const struct ws_place *at,
		  const struct ws_label *label, const struct ws_file *from,
		  struct err *e)
{
	unsigned char h[WS_HEADER_BYTES], tag[TAG_BYTES];
	uint64_t bytes;
	int64_t n;

	ws_open_drop(o);
	o->from = *from;
	o->what = at->what;
	n = read_at(o, 0, h, sizeof(h), e);
	if (n < 0)
		return -1;
	if (n < WS_HEADER_BYTES)
		return is_damaged(o, e, "is truncated: not even its header is whole");
	if (check_header(o, at, h, e))
		return -1;
	derive(o->x, at, h + SALT);
	make_tag(o->x, h, label, tag);
	if (sodium_memcmp(tag, h + TAG, sizeof(tag))) {
		ws_open_drop(o);
		return is_another(
			o, e,
			"it was sealed for another tenant, workspace or name, "
			"or its header was altered");
	}
	bytes = ws_get_u64(h + LENGTH);
	if (check_size(o, bytes, e)) {
		ws_open_drop(o);
		return -1;
	}
	o->bytes = bytes;
	return 0;
}

uint64_t ws_open_bytes(const struct ws_open *o)
{
	return o->bytes;
}

uint64_t ws_open_chunks(const struct ws_open *o)
{
	return chunks_of(o->bytes);
}

/* In place; without `plain` it is only verified. */
static int decrypt(struct ws_open *o, uint64_t i, size_t n, bool plain)
{
	unsigned char nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	make_nonce(i, nonce);
	return crypto_aead_chacha20poly1305_ietf_decrypt(plain ? o->chunk : NULL, NULL,
							 NULL, o->chunk, n + MAC_BYTES,
							 NULL, 0, nonce, o->x->keys);
}

/* n bytes and their tag. */
static int read_chunk(struct ws_open *o, uint64_t i, size_t n, struct err *e)
{
	const int64_t has = read_at(o, place_of(i), o->chunk, n + MAC_BYTES, e);

	o->used = o->used < n ? n : o->used;
	if (has < 0)
		return -1;
	return has == (int64_t)(n + MAC_BYTES)
		       ? 0
		       : is_damaged(o, e, "was truncated while it was read");
}

/* Damaged, or is it another chunk of the same object? */
static int wrong_chunk(struct ws_open *o, uint64_t i, size_t n, struct err *e)
{
	const uint64_t all = ws_open_chunks(o);
	const uint64_t first = i > MAX_TRIES / 2 ? i - MAX_TRIES / 2 : 0;
	char how[96];

	/* the failed decryption has zeroed it */
	if (read_chunk(o, i, n, e))
		return -1;
	for (uint64_t j = first; j < first + MAX_TRIES && j < all; j++) {
		if (decrypt(o, j, n, false))
			continue;
		snprintf(how, sizeof(how), "has its chunk %llu where %llu should be",
			 (unsigned long long)j, (unsigned long long)i);
		return is_damaged(o, e, how);
	}
	snprintf(how, sizeof(how), "is damaged in chunk %llu of %llu",
		 (unsigned long long)i, (unsigned long long)all);
	return is_damaged(o, e, how);
}

int ws_open_chunk(struct ws_open *o, uint64_t i, struct sv *ret, struct err *e)
{
	uint64_t n = o->bytes - i * WS_CHUNK_BYTES;

	if (i >= ws_open_chunks(o))
		return err_set(e, ERR_INTERNAL, "%s has no chunk %llu", o->what,
			       (unsigned long long)i);
	if (n > WS_CHUNK_BYTES)
		n = WS_CHUNK_BYTES;
	if (read_chunk(o, i, (size_t)n, e))
		return -1;
	if (decrypt(o, i, (size_t)n, true))
		return wrong_chunk(o, i, (size_t)n, e);
	*ret = (struct sv){(const char *)o->chunk, (size_t)n};
	return 0;
}
