/* principal.c: the name under which a caller is known from then on. */
#include "mcp/auth/principal.h"

#include "sandbox/base/mem.h"

#include <sodium.h>

#define HASH_CHARS 44 /* of 32 bytes in base64url, with the NUL */

/* What looks like nothing, or changes how the rest looks: by these a name on a screen could pass for
 * another (Unicode: Cc, Cf, Zl, Zp, blanks but ' ', fillers, variation selectors). Sorted. */
static const struct {
	uint32_t from, to;
} unseen[] = {
	{0x0000, 0x001f},   {0x007f, 0x00a0},	{0x00ad, 0x00ad},    {0x034f, 0x034f},
	{0x0600, 0x0605},   {0x061c, 0x061c},	{0x06dd, 0x06dd},    {0x070f, 0x070f},
	{0x0890, 0x0891},   {0x08e2, 0x08e2},	{0x115f, 0x1160},    {0x1680, 0x1680},
	{0x17b4, 0x17b5},   {0x180b, 0x180f},	{0x2000, 0x200f},    {0x2028, 0x202f},
	{0x205f, 0x206f},   {0x2800, 0x2800},	{0x3000, 0x3000},    {0x3164, 0x3164},
	{0xe000, 0xf8ff},   {0xfe00, 0xfe0f},	{0xfeff, 0xfeff},    {0xffa0, 0xffa0},
	{0xfff0, 0xffff},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},  {0x13430, 0x1343f},
	{0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
};

/* The code point at *i, which moves over it. Of well-formed UTF-8. */
static uint32_t take(struct sv s, size_t *i)
{
	const unsigned char first = (unsigned char)s.p[(*i)++];
	uint32_t c = first < 0x80   ? first
		     : first < 0xe0 ? first & 0x1f
		     : first < 0xf0 ? first & 0x0f
				    : first & 0x07;

	while (*i < s.n && ((unsigned char)s.p[*i] & 0xc0) == 0x80)
		c = c << 6 | ((unsigned char)s.p[(*i)++] & 0x3f);
	return c;
}

static bool is_seen(uint32_t c)
{
	for (unsigned i = 0; i < ARRAY_LEN(unseen) && unseen[i].from <= c; i++)
		if (c <= unseen[i].to)
			return false;
	return true;
}

static bool is_plain(struct sv name)
{
	if (!name.n || name.p[0] == '~' || name.p[0] == ' ' ||
	    name.p[name.n - 1] == ' ' || !sv_valid_utf8(name))
		return false;
	for (size_t i = 0; i < name.n;)
		if (!is_seen(take(name, &i)))
			return false;
	return true;
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
	if (p->odd) /* the same name of its own sort, hashed for its length, is another */
		add_part(&st, SV("odd"));
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
