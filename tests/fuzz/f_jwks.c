/* f_jwks.c: sets of keys, as an issuer's server might send them. The first byte says how: as they are, or
 * as the numbers of a key of one type, so that the arithmetic behind the base64 is reached.
 *
 * What must hold: a set that is taken has as many keys as it says, each found only for algorithms of its
 * type, and the same by its kid; what is taken is of the sizes that are wanted; no signature that
 * nobody made is one; and what was read once is read the same again. */
#include "mcp/auth/jwks.h"
#include "sandbox/base/buf.h"
#include "sandbox/base/mem.h"

#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_base64(struct buf *b, const char *name, struct sv s)
{
	static char text[16384];

	if (s.n > 2048)
		s.n = 2048;
	sodium_bin2base64(text, sizeof(text), (const unsigned char *)s.p, s.n,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	buf_fmt(b, ",\"%s\":\"%s\"", name, text);
}

/* The algorithms that the set has exactly one key for, as bits. */
static unsigned found(const struct jwks *s, struct sv bytes)
{
	unsigned mask = 0;

	for (unsigned a = 0; a < JWS_ALG_COUNT; a++) {
		const struct jwk *k = jwks_find(s, (enum jws_alg)a, NULL);
		static const struct sv kid = {"k", 1};

		if (!k)
			continue;
		mask |= 1u << a;
		for (unsigned other = 0; other < JWS_ALG_COUNT; other++)
			for (size_t n = 0; n <= 1024; n = n ? 2 * n : 1)
				if (n <= bytes.n)
					must(!jwk_verify(k, (enum jws_alg)other, bytes,
							 (struct sv){bytes.p, n}));
		must(!jwks_find(s, (enum jws_alg)a, &kid) ||
		     jwks_find(s, (enum jws_alg)a, &kid) == k || jwks_count(s) > 1);
	}
	return mask;
}

/* What is found, or 0 where the set is not taken. */
static unsigned parse(struct sv json, struct sv bytes)
{
	unsigned passed_over = 0, mask;
	struct err e = {0};
	struct jwks *s = jwks_parse(json, &passed_over, &e);

	must(!s == !!e.cause[0]);
	if (!s)
		return 0;
	must(jwks_count(s) && jwks_count(s) + passed_over <= JWKS_MAX_KEYS);
	mask = found(s, bytes);
	jwks_free(s);
	return mask;
}

static void as_it_is(struct sv s)
{
	must(parse(s, s) == parse(s, s));
}

static void ed25519(struct sv s)
{
	AUTO_BUF b = {.max = 65536};

	buf_str(&b, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\"");
	add_base64(&b, "x", s);
	buf_str(&b, "}]}");
	must(!parse(buf_view(&b), s) || s.n == 32);
}

static void p256(struct sv s)
{
	AUTO_BUF b = {.max = 65536};
	const struct sv x = {s.p, s.n / 2}, y = {s.p + s.n / 2, s.n - s.n / 2};

	buf_str(&b, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\"");
	add_base64(&b, "x", x);
	add_base64(&b, "y", y);
	buf_str(&b, "}]}");
	must(!parse(buf_view(&b), s) || s.n == 64);
}

/* The first byte: how long the exponent is; the modulus is repeated until it is long enough. */
static void rsa(struct sv s)
{
	AUTO_BUF b = {.max = 65536}, n = {.max = 2048};
	size_t e_bytes = s.n ? (unsigned char)s.p[0] % 8u : 0;
	struct sv e = {s.p + 1, e_bytes}, rest;

	if (s.n < 2 + e_bytes)
		return;
	rest = (struct sv){s.p + 1 + e_bytes, s.n - 1 - e_bytes};
	do
		buf_sv(&n, rest);
	while (rest.n && n.n + rest.n <= 1100 && n.n < 256);
	buf_str(&b, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k\"");
	add_base64(&b, "n", buf_view(&n));
	add_base64(&b, "e", e);
	buf_str(&b, "}]}");
	if (parse(buf_view(&b), s)) {
		/* odd, and so is e, which is more than 1 */
		must(n.n >= 256 && n.n <= 1025 && n.p[n.n - 1] & 1);
		must(e.n && e.n <= 5 && e.p[e.n - 1] & 1 &&
		     (e.p[e.n - 1] != 1 || e.n > 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parts[])(struct sv) = {as_it_is, ed25519, p256, rsa};
	char *copy;

	must(sodium_init() >= 0);
	if (!size)
		return 0;
	/* of its own, so that a byte too far is seen */
	copy = mem_alloc(size);
	must(copy);
	memcpy(copy, data + 1, size - 1);
	parts[data[0] % ARRAY_LEN(parts)]((struct sv){copy, size - 1});
	mem_free(copy);
	return 0;
}
