/* internal.h: a key's bytes, and hashing fields. Private to the room. */
#ifndef WORKSPACE_INTERNAL_H
#define WORKSPACE_INTERNAL_H

#include "sandbox/workspace/keys.h"
#include "sandbox/workspace/root.h"

#include <sodium.h>

/* The bytes, readable until ws_key_shut. Calls may nest. */
const unsigned char *ws_key_open(const struct ws_key *k);
void ws_key_shut(const struct ws_key *k);

/* The line of a root key's file, without its end; the key in it, if there is one, goes to bytes. 0, or -1: it is
 * none. */
int ws_root_parse(struct ws_root *r, struct sv line, unsigned char bytes[WS_KEY_BYTES]);

/* Memory for one secret of n bytes, zeroed, as of keys.h; for sodium_free. NULL: e is set. */
void *ws_secret_new(size_t n, struct err *e);

/* What a hash is for: 16 bytes, all different. */
#define WS_FOR_NAME "fumehood keyname"
#define WS_FOR_OBJECT "fumehood objkeys"
#define WS_FOR_HEAD "fumehood objhead"
#define WS_FOR_CHECK "fumehood header."
#define WS_FOR_CONTENT "fumehood content"
#define WS_FOR_LABEL "fumehood objname"

/* BLAKE2b of n bytes; key is WS_KEY_BYTES, or NULL. */
void ws_hash_start(crypto_generichash_blake2b_state *st, const unsigned char *key, const char *person, size_t n);
void ws_hash_u64(crypto_generichash_blake2b_state *st, uint64_t v);
void ws_hash_field(crypto_generichash_blake2b_state *st, struct sv s);	/* its length as u64, then it */

void ws_put_u64(unsigned char dst[8], uint64_t v);
uint64_t ws_get_u64(const unsigned char src[8]);

#endif
