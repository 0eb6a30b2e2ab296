/* tokens.h: what the tests of mcp/auth share: keys that are made on the spot, and tokens by them. */
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include "mcp/auth/jwks.h"
#include "sandbox/base/buf.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/rsa.h>
#include <sodium.h>
#include <string.h>

#define UNUSED __attribute__((unused))

UNUSED static int test_random(void *arg, unsigned char *p, size_t n)
{
	(void)arg;
	randombytes_buf(p, n);
	return 0;
}

UNUSED static void add_base64(struct buf *b, const void *p, size_t n)
{
	char text[16384];

	must(n < sizeof(text) / 2);
	sodium_bin2base64(text, sizeof(text), p, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	buf_str(b, text);
}

struct keys {
	unsigned char ed_public[32], ed_secret[64];
	mbedtls_ecp_keypair p256;
	mbedtls_rsa_context rsa;
};

UNUSED static void keys_init(struct keys *k, unsigned bits, int exponent)
{
	must(sodium_init() >= 0);
	crypto_sign_keypair(k->ed_public, k->ed_secret);
	mbedtls_ecp_keypair_init(&k->p256);
	must(!mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, &k->p256, test_random, NULL));
	mbedtls_rsa_init(&k->rsa);
	if (bits)
		must(!mbedtls_rsa_gen_key(&k->rsa, test_random, NULL, bits, exponent));
}

UNUSED static void keys_finish(struct keys *k)
{
	mbedtls_ecp_keypair_free(&k->p256);
	mbedtls_rsa_free(&k->rsa);
}

/* A member each: {"kty":...,"kid":"ed"}, "ec", "rsa"; `more` like ",\"use\":\"sig\"". */
UNUSED static void add_ed_jwk(struct buf *b, const struct keys *k, const char *more)
{
	buf_str(b, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
	add_base64(b, k->ed_public, 32);
	buf_fmt(b, "\"%s}", more);
}

UNUSED static void add_ec_jwk(struct buf *b, struct keys *k, const char *more)
{
	mbedtls_ecp_group g;
	mbedtls_mpi d;
	mbedtls_ecp_point q;
	unsigned char xy[65];
	size_t n;

	mbedtls_ecp_group_init(&g);
	mbedtls_mpi_init(&d);
	mbedtls_ecp_point_init(&q);
	must(!mbedtls_ecp_export(&k->p256, &g, &d, &q));
	must(!mbedtls_ecp_point_write_binary(&g, &q, MBEDTLS_ECP_PF_UNCOMPRESSED, &n, xy, 65));
	buf_str(b, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
	add_base64(b, xy + 1, 32);
	buf_str(b, "\",\"y\":\"");
	add_base64(b, xy + 33, 32);
	buf_fmt(b, "\"%s}", more);
	mbedtls_ecp_point_free(&q);
	mbedtls_mpi_free(&d);
	mbedtls_ecp_group_free(&g);
}

UNUSED static size_t rsa_public(struct keys *k, unsigned char n[1024], unsigned char e[4])
{
	const size_t bytes = mbedtls_rsa_get_len(&k->rsa);

	must(!mbedtls_rsa_export_raw(&k->rsa, n, bytes, NULL, 0, NULL, 0, NULL, 0, e, 4));
	return bytes;
}

UNUSED static void add_rsa_jwk(struct buf *b, struct keys *k, const char *more)
{
	unsigned char n[1024], e[4];
	const size_t bytes = rsa_public(k, n, e);

	buf_str(b, "{\"kty\":\"RSA\",\"n\":\"");
	add_base64(b, n, bytes);
	buf_str(b, "\",\"e\":\"");
	add_base64(b, e, 4);
	buf_fmt(b, "\"%s}", more);
}

/* R and S, 32 bytes each. */
UNUSED static void sign_p256(struct keys *k, struct sv text, unsigned char sig[64])
{
	unsigned char hash[32];
	mbedtls_ecp_group g;
	mbedtls_mpi r, s, d;
	mbedtls_ecp_point q;

	crypto_hash_sha256(hash, (const unsigned char *)text.p, text.n);
	mbedtls_ecp_group_init(&g);
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	mbedtls_mpi_init(&d);
	mbedtls_ecp_point_init(&q);
	must(!mbedtls_ecp_export(&k->p256, &g, &d, &q));
	must(!mbedtls_ecdsa_sign(&g, &r, &s, &d, hash, 32, test_random, NULL));
	must(!mbedtls_mpi_write_binary(&r, sig, 32) &&
	     !mbedtls_mpi_write_binary(&s, sig + 32, 32));
	mbedtls_ecp_point_free(&q);
	mbedtls_mpi_free(&d);
	mbedtls_mpi_free(&s);
	mbedtls_mpi_free(&r);
	mbedtls_ecp_group_free(&g);
}

/* PKCS#1 v1.5, or PSS with a salt of that many bytes. */
UNUSED static void sign_rsa(struct keys *k, struct sv text, int salt, unsigned char sig[1024])
{
	unsigned char hash[32];

	crypto_hash_sha256(hash, (const unsigned char *)text.p, text.n);
	if (salt < 0) {
		must(!mbedtls_rsa_set_padding(&k->rsa, MBEDTLS_RSA_PKCS_V15, 0));
		must(!mbedtls_rsa_rsassa_pkcs1_v15_sign(&k->rsa, test_random, NULL,
							MBEDTLS_MD_SHA256, 32, hash, sig));
		return;
	}
	must(!mbedtls_rsa_set_padding(&k->rsa, MBEDTLS_RSA_PKCS_V21, MBEDTLS_MD_SHA256));
	must(!mbedtls_rsa_rsassa_pss_sign_ext(&k->rsa, test_random, NULL, MBEDTLS_MD_SHA256, 32,
					      hash, salt, sig));
}

enum signer { BY_ED, BY_EC, BY_RSA, BY_PSS };

/* Header and payload as texts -> b as a token. */
UNUSED static void make_token(struct buf *b, struct keys *k, enum signer by, const char *header,
			      const char *payload)
{
	unsigned char sig[1024];
	size_t n = 64;

	buf_reset(b);
	add_base64(b, header, strlen(header));
	buf_byte(b, '.');
	add_base64(b, payload, strlen(payload));
	if (by == BY_ED)
		crypto_sign_detached(sig, NULL, (const unsigned char *)b->p, b->n, k->ed_secret);
	else if (by == BY_EC)
		sign_p256(k, buf_view(b), sig);
	else
		sign_rsa(k, buf_view(b), by == BY_PSS ? 32 : -1, sig);
	if (by == BY_RSA || by == BY_PSS)
		n = mbedtls_rsa_get_len(&k->rsa);
	buf_byte(b, '.');
	add_base64(b, sig, n);
}

#endif
