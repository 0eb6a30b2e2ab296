/* keys.h: keys in memory, and keys wrapped with keys. See FORMAT.md, 2.
 *
 * A key's bytes are in memory of sodium_malloc: between guard pages, locked into RAM, left out of core dumps and
 * of children, not readable except while a function here uses them, and zeroed when the key is freed. A process
 * that has keys should not be dumpable all the same (prctl(2)). */
#ifndef WORKSPACE_KEYS_H
#define WORKSPACE_KEYS_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

#define WS_KEY_BYTES 32
#define WS_KEY_NAME_BYTES 16
#define WS_WRAPPED_BYTES 112

struct ws_key;

/* Whose a wrapped key is. Views are borrowed. */
struct ws_scope {
	struct sv tenant;
	struct sv workspace;	/* empty: it is the tenant's own key */
	uint64_t epoch;		/* of the tenant key */
};

/* NULL: out of memory. All are the caller's, for ws_key_free, which accepts NULL. */
struct ws_key *ws_key_new(struct err *e);			/* random */
struct ws_key *ws_key_take(unsigned char bytes[WS_KEY_BYTES], struct err *e);	/* zeroes `bytes` in any case */
void ws_key_free(struct ws_key *k);
/* Tells keys apart, and nothing of them: 16 bytes that live as long as the key. */
const unsigned char *ws_key_name(const struct ws_key *k);

void ws_key_wrap(const struct ws_key *with, const struct ws_scope *s, const struct ws_key *k,
		 unsigned char ret[WS_WRAPPED_BYTES]);
/* NULL: ERR_DENIED and which of these it is: damaged or no wrapped key; wrapped with another key than `with`; of
 * another tenant, workspace or epoch. */
struct ws_key *ws_key_unwrap(const struct ws_key *with, const struct ws_scope *s, struct sv wrapped,
			     struct err *e);
/* The names in a wrapped key, or NULL when it is none; nothing is verified. They live as long as `wrapped`. */
const unsigned char *ws_wrapped_with(struct sv wrapped);
const unsigned char *ws_wrapped_name(struct sv wrapped);

/* False once a key's page could not be locked (RLIMIT_MEMLOCK): it may get into swap. libsodium says nothing. */
bool ws_keys_locked(void);

#endif
