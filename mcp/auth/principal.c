/* principal.c: the name under which a caller is known from then on. */
#include "mcp/auth/principal.h"

#include <sodium.h>

#define HASH_CHARS 44 /* of 32 bytes in base64url, with the NUL */

/* The ledger takes no control characters. */
static bool is_plain(struct sv name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
			return false;
	return name.n && name.p[0] != '~' && sv_valid_utf8(name);
}

static void add_part(crypto_hash_sha256_state *st, struct sv part)
{
	const uint64_t n = part.n;

	crypto_hash_sha256_update(st, (const unsigned char *)&n, sizeof(n));
	crypto_hash_sha256_update(st, (const unsigned char *)part.p, part.n);
}

static void hash_parts(const struct principal_parts *p, char ret[HASH_CHARS])
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	add_part(&st, SV("fumehood-principal-v1"));
	add_part(&st, sv_of(p->kind));
	add_part(&st, p->realm);
	add_part(&st, p->name);
	crypto_hash_sha256_final(&st, hash);
	sodium_bin2base64(ret, HASH_CHARS, hash, sizeof(hash),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void principal_make(const struct principal_parts *p, char ret[SUP_PRINCIPAL_SIZE])
{
	const size_t head = strlen(p->kind) + 1 + p->realm.n + (p->realm.n ? 1 : 0);
	const char *mark = p->realm.n ? "#" : "";
	char hash[HASH_CHARS];

	if (!p->odd && is_plain(p->name) && head + p->name.n < SUP_PRINCIPAL_SIZE) {
		snprintf(ret, SUP_PRINCIPAL_SIZE, "%s:" SV_FMT "%s" SV_FMT, p->kind,
			 SV_ARG(p->realm), mark, SV_ARG(p->name));
		return;
	}
	hash_parts(p, hash);
	if (head + HASH_CHARS < SUP_PRINCIPAL_SIZE)
		snprintf(ret, SUP_PRINCIPAL_SIZE, "%s:" SV_FMT "%s~%s", p->kind,
			 SV_ARG(p->realm), mark, hash);
	else
		snprintf(ret, SUP_PRINCIPAL_SIZE, "%s:~%s", p->kind, hash);
}
