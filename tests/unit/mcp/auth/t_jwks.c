/* Keys are read strictly, and a signature is believed only if it is one. */
#include "tokens.h"

#define RSA_MAX 2048

static struct keys k;

/* --- the RFCs' own examples --------------------------------------------------------------------- */

#define PAYLOAD_7515                                                                           \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290" \
	"Ijp0cnVlfQ"
#define PAYLOAD_7520                                                                           \
	"SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0" \
	"ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5v" \
	"IGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"

static const struct {
	const char *name, *jwk, *text, *signature;
	enum jws_alg alg;
} vectors[] = {
	{"RFC 7515 A.2",
	 "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmf"
	 "HQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo"
	 "9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTB"
	 "QY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PA"
	 "cDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}",
	 "eyJhbGciOiJSUzI1NiJ9." PAYLOAD_7515,
	 "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8"
	 "W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPv"
	 "kSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1ph"
	 "CnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
	 JWS_RS256},
	{"RFC 7515 A.3",
	 "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	 "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
	 "eyJhbGciOiJFUzI1NiJ9." PAYLOAD_7515,
	 "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	 JWS_ES256},
	{"RFC 7520 4.1",
	 "{\"kty\":\"RSA\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"n\":\"n4EPtAO"
	 "Cc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCp"
	 "MaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe"
	 "-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_"
	 "vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw\",\"e\":"
	 "\"AQAB\"}",
	 "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." PAYLOAD_7520,
	 "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp8"
	 "3xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUC"
	 "TJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1"
	 "U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
	 JWS_RS256},
	{"RFC 8037 A.4",
	 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
	 "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
	 "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
	 JWS_EDDSA},
};

static struct jwks *parse_one(const char *jwk)
{
	AUTO_BUF b = {.max = 1 << 20};

	buf_fmt(&b, "{\"keys\":[%s]}", jwk);
	return jwks_parse(buf_view(&b), NULL, NULL);
}

static void published_examples(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
		struct jwks *s = parse_one(vectors[i].jwk);
		const struct jwk *key = s ? jwks_find(s, vectors[i].alg, NULL) : NULL;
		unsigned char sig[512];
		struct sv view = {(const char *)sig, 0};
		struct sv text = sv_of(vectors[i].text), shorter;

		must(!jws_base64(sv_of(vectors[i].signature), sig, sizeof(sig),
				 &view.n));
		shorter = (struct sv){text.p, text.n - 1};
		ok(key && jwk_verify(key, vectors[i].alg, text, view), "%s verifies",
		   vectors[i].name);
		ok(key && !jwk_verify(key, vectors[i].alg, shorter, view),
		   "%s: not for another text", vectors[i].name);
		sig[view.n / 2] ^= 1;
		ok(key && !jwk_verify(key, vectors[i].alg, text, view),
		   "%s: not with a bit flipped", vectors[i].name);
		sig[view.n / 2] ^= 1;
		for (unsigned a = 0; key && a < JWS_ALG_COUNT; a++)
			if ((enum jws_alg)a != vectors[i].alg)
				ok(!jwk_verify(key, (enum jws_alg)a, text, view),
				   "%s: not as algorithm %u", vectors[i].name, a);
		jwks_free(s);
	}
}

/* --- forged signatures -------------------------------------------------------------------------- */

static bool accepts(const struct jwks *s, enum jws_alg alg, struct sv text,
		    const void *sig, size_t n)
{
	return jwk_verify(jwks_find(s, alg, NULL), alg, text, (struct sv){sig, n});
}

static void p256_forgeries(const struct jwks *s)
{
	const struct sv text = SV("header.payload");
	/* n, the order of the group */
	static const unsigned char order[32] = {
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
		0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
	unsigned char good[64], bad[72] = {0};

	sign_p256(&k, text, good);
	ok(accepts(s, JWS_ES256, text, good, 64), "ES256: the control is accepted");
	ok(!accepts(s, JWS_ES256, text, bad, 64), "r = s = 0 is not (CVE-2022-21449)");
	memcpy(bad, good, 32);
	ok(!accepts(s, JWS_ES256, text, bad, 64), "nor s = 0");
	memset(bad, 0, 32);
	memcpy(bad + 32, good + 32, 32);
	ok(!accepts(s, JWS_ES256, text, bad, 64), "nor r = 0");
	memcpy(bad, order, 32);
	memcpy(bad + 32, order, 32);
	ok(!accepts(s, JWS_ES256, text, bad, 64), "nor r = s = n");
	ok(!accepts(s, JWS_ES256, text, good, 63) &&
		   !accepts(s, JWS_ES256, text, good, 0),
	   "nor a shorter one");
	memcpy(bad, good, 64);
	ok(!accepts(s, JWS_ES256, text, bad, 65), "nor a longer one");
	/* SEQUENCE { INTEGER r, INTEGER s } of the good one */
	memcpy(bad, (unsigned char[]){0x30, 70, 2, 33, 0}, 5);
	memcpy(bad + 5, good, 32);
	memcpy(bad + 37, (unsigned char[]){2, 33, 0}, 3);
	memcpy(bad + 40, good + 32, 32);
	ok(!accepts(s, JWS_ES256, text, bad, 72), "nor DER");
}

/* S + L is the same point equation, but another encoding. */
static void ed25519_forgeries(const struct jwks *s)
{
	static const unsigned char order[32] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,	      0xd6,
		0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
	const struct sv text = SV("header.payload");
	unsigned char sig[65] = {0}, carry = 0;

	crypto_sign_detached(sig, NULL, (const unsigned char *)text.p, text.n,
			     k.ed_secret);
	ok(accepts(s, JWS_EDDSA, text, sig, 64), "EdDSA: the control is accepted");
	ok(!accepts(s, JWS_EDDSA, text, sig, 63) &&
		   !accepts(s, JWS_EDDSA, text, sig, 65),
	   "not shorter, not longer");
	for (unsigned i = 0; i < 32; i++) {
		unsigned sum = (unsigned)sig[32 + i] + order[i] + carry;

		sig[32 + i] = (unsigned char)sum;
		carry = (unsigned char)(sum >> 8);
	}
	ok(!accepts(s, JWS_EDDSA, text, sig, 64),
	   "nor with L added to S (malleability)");
	memset(sig, 0, 64);
	sig[0] = 1; /* R the neutral element, S 0: holds for a key of small order */
	ok(!accepts(s, JWS_EDDSA, text, sig, 64), "nor R neutral and S 0");
}

static const unsigned char digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
					    0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
					    0x01, 0x05, 0x00, 0x04, 0x20};

/* Signs an encoded message that is not what PKCS#1 says, with the true key. */
static bool accepts_encoded(const struct jwks *s, struct sv text,
			    const unsigned char *em)
{
	unsigned char sig[256];

	must(!mbedtls_rsa_private(&k.rsa, test_random, NULL, em, sig));
	return accepts(s, JWS_RS256, text, sig, 256);
}

static void encode(unsigned char em[256], struct sv text, size_t pad,
		   unsigned char fill)
{
	memset(em, 0x5a, 256); /* what follows the hash: garbage */
	em[0] = 0;
	em[1] = 1;
	memset(em + 2, fill, pad);
	em[2 + pad] = 0;
	memcpy(em + 3 + pad, digest_info, sizeof(digest_info));
	crypto_hash_sha256(em + 3 + pad + sizeof(digest_info),
			   (const unsigned char *)text.p, text.n);
}

static void rsa_forgeries(const struct jwks *s)
{
	const size_t full = 256 - 3 - sizeof(digest_info) - 32;
	const struct sv text = SV("header.payload");
	unsigned char em[256], sig[1024];

	encode(em, text, full, 0xff);
	ok(accepts_encoded(s, text, em), "RS256: the control is accepted, e=3");
	encode(em, text, 8, 0xff);
	ok(!accepts_encoded(s, text, em),
	   "garbage after the hash is not (Bleichenbacher 2006)");
	encode(em, text, full, 0x00);
	ok(!accepts_encoded(s, text, em), "nor padding of zeroes");
	encode(em, text, full, 0xff);
	em[1] = 2;
	ok(!accepts_encoded(s, text, em), "nor block type 2");
	encode(em, text, full, 0xff);
	em[100] = 0xfe;
	ok(!accepts_encoded(s, text, em), "nor one byte of the padding changed");
	encode(em, text, full, 0xff);
	em[3 + full + 14] = 0x03; /* SHA-512's name */
	ok(!accepts_encoded(s, text, em), "nor another hash's name");
	encode(em, text, full,
	       0xff); /* 30 2f 30 0b OID 04 20 hash, two bytes shorter */
	em[2 + full] = em[3 + full] = 0xff;
	em[4 + full] = 0;
	memcpy(em + 5 + full, (unsigned char[]){0x30, 0x2f, 0x30, 0x0b}, 4);
	memcpy(em + 9 + full, digest_info + 4, 11);
	ok(!accepts_encoded(s, text, em), "nor without the NULL of the parameters");
	sign_rsa(&k, text, -1, sig);
	ok(accepts(s, JWS_RS256, text, sig, 256),
	   "a signature of the library's is accepted");
	ok(!accepts(s, JWS_RS256, text, sig, 255) &&
		   !accepts(s, JWS_RS256, text, sig, 257),
	   "not shorter, not longer");
	ok(!accepts(s, JWS_PS256, text, sig, 256), "not as PS256");
	sign_rsa(&k, text, 32, sig);
	ok(accepts(s, JWS_PS256, text, sig, 256), "PS256 is accepted");
	ok(!accepts(s, JWS_RS256, text, sig, 256), "not as RS256");
	sign_rsa(&k, text, 20, sig);
	ok(!accepts(s, JWS_PS256, text, sig, 256), "nor with a salt of another length");
}

static void forgeries(void)
{
	AUTO_BUF b = {.max = 1 << 20};
	struct jwks *s;
	struct err e = {0};

	buf_str(&b, "{\"keys\":[");
	add_ed_jwk(&b, &k, "");
	buf_byte(&b, ',');
	add_ec_jwk(&b, &k, "");
	buf_byte(&b, ',');
	add_rsa_jwk(&b, &k, "");
	buf_str(&b, "]}");
	s = jwks_parse(buf_view(&b), NULL, &e);
	must(s && jwks_count(s) == 3);
	p256_forgeries(s);
	ed25519_forgeries(s);
	rsa_forgeries(s);
	jwks_free(s);
}

/* --- sets --------------------------------------------------------------------------------------- */

static void unusable(const char *what, struct buf *jwk)
{
	struct jwks *s = parse_one(buf_cstr(jwk));

	ok(!s, "not taken: %s", what);
	jwks_free(s);
	buf_reset(jwk);
}

static void unusable_keys(void)
{
	static const struct {
		const char *what, *more;
	} marks[] = {
		{"for encryption", ",\"use\":\"enc\""},
		{"use is no string", ",\"use\":[\"sig\"]"},
		{"for signing only", ",\"key_ops\":[\"sign\"]"},
		{"key_ops is no array", ",\"key_ops\":\"verify\""},
		{"with its private half", ",\"d\":\"AAAA\""},
		{"for an algorithm of another type", ",\"alg\":\"RS256\""},
		{"for HS256", ",\"alg\":\"HS256\""},
		{"for none", ",\"alg\":\"none\""},
		{"kid is a number", ",\"kid\":7"},
	};
	static const struct {
		const char *what, *jwk;
	} texts[] = {
		{"a shared secret",
		 "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"},
		{"no point of the curve",
		 "{\"kty\":\"EC\",\"crv\":\"P-256\","
		 "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		 "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5b0\"}"},
		{"another curve's name",
		 "{\"kty\":\"EC\",\"crv\":\"secp256k1\","
		 "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		 "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"},
		{"the point at infinity",
		 "{\"kty\":\"EC\",\"crv\":\"P-256\","
		 "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		 "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"},
		{"Ed25519 of small order",
		 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		 "\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"},
		{"X25519", "{\"kty\":\"OKP\",\"crv\":\"X25519\","
			   "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"},
		{"padding in base64",
		 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		 "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}"},
		{"bits no byte owns",
		 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		 "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp\"}"},
		{"RSA without e", "{\"kty\":\"RSA\",\"n\":\"AQAB\"}"},
		{"an even modulus", "{\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"AQAB\"}"},
		{"no object", "7"},
		{"an unknown type", "{\"kty\":\"LWE\"}"},
	};
	AUTO_BUF b = {.max = 1 << 16};

	for (unsigned i = 0; i < ARRAY_LEN(marks); i++) {
		add_ed_jwk(&b, &k, marks[i].more);
		unusable(marks[i].what, &b);
	}
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		buf_str(&b, texts[i].jwk);
		unusable(texts[i].what, &b);
	}
}

/* The point of an accepted key, its x by p more: the same point, if nobody looks. */
static void other_points(void)
{
	static const char with[] =
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}";
	/* (0, sqrt b) is on the curve; p is 0 */
	static const struct {
		const char *what, *x, *y;
		bool good;
	} rows[] = {
		{"x = 0", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		 "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q", true},
		{"x = p", "_____wAAAAEAAAAAAAAAAAAAAAD_______________8",
		 "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q", false},
		{"x of 31 bytes", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		 "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q", false},
		{"x of 33 bytes", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		 "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q", false},
		{"y of the twist", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		 "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_U", false},
	};
	AUTO_BUF b = {.max = 1 << 16};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct jwks *s;

		buf_reset(&b);
		buf_fmt(&b, with, rows[i].x, rows[i].y);
		s = parse_one(buf_cstr(&b));
		ok(!s == !rows[i].good, "P-256, %s: %s", rows[i].what,
		   rows[i].good ? "taken, the control" : "not taken");
		jwks_free(s);
	}
}

/* As add_rsa_jwk, of these bytes. */
static struct jwks *parse_rsa(const unsigned char *n, size_t n_bytes,
			      const unsigned char *e, size_t e_bytes)
{
	AUTO_BUF b = {.max = 1 << 16};

	buf_str(&b, "{\"kty\":\"RSA\",\"n\":\"");
	add_base64(&b, n, n_bytes);
	buf_str(&b, "\",\"e\":\"");
	add_base64(&b, e, e_bytes);
	buf_str(&b, "\"}");
	return parse_one(buf_cstr(&b));
}

static void odd_rsa(void)
{
	static const struct {
		const char *what;
		unsigned char e[5];
		size_t n;
		bool good;
	} exponents[] = {
		{"3", {3}, 1, true},
		{"65537, with zeroes before it", {0, 1, 0, 1}, 4, true},
		{"0", {0}, 1, false},
		{"1", {1}, 1, false}, /* then every signature is its own text */
		{"1, with zeroes before it", {0, 0, 0, 1}, 4, false},
		{"2", {2}, 1, false},
		{"65536", {1, 0, 0}, 3, false},
		{"five bytes", {1, 0, 0, 0, 1}, 5, false},
	};
	unsigned char n[RSA_MAX], e[4], three = 3;
	const size_t bytes = rsa_public(&k, n, e);
	struct jwks *s;

	for (unsigned i = 0; i < ARRAY_LEN(exponents); i++) {
		s = parse_rsa(n, bytes, exponents[i].e, exponents[i].n);
		ok(!s == !exponents[i].good, "RSA, e is %s: %s", exponents[i].what,
		   exponents[i].good ? "taken" : "not taken");
		jwks_free(s);
	}
	n[bytes - 1] ^= 1;
	s = parse_rsa(n, bytes, &three, 1);
	ok(!s, "an even modulus of 2048 bits is not taken");
	jwks_free(s);
	n[bytes - 1] ^= 1;
	s = parse_rsa(n + 1, bytes - 1, &three, 1);
	ok(!s, "nor one of 2040");
	jwks_free(s);
	n[0] &= 0x7f;
	n[0] |= 0x40;
	s = parse_rsa(n, bytes, &three, 1);
	ok(!s, "nor one of 2047");
	jwks_free(s);
	memmove(n + 512, n, bytes);
	memset(n, 0, 512);
	s = parse_rsa(n, 512 + bytes, &three, 1);
	ok(!s, "nor one that is longer by zeroes only");
	jwks_free(s);
	memset(n, 0xff, sizeof(n));
	s = parse_rsa(n, 1024, &three, 1);
	ok(s, "8192 bits are taken");
	jwks_free(s);
	s = parse_rsa(n, 1025, &three, 1);
	ok(!s, "one byte more is not: it would only cost time");
	jwks_free(s);
}

static void weak_rsa(void)
{
	AUTO_BUF b = {.max = 1 << 16};
	struct keys weak;
	struct jwks *s;

	keys_init(&weak, 1024, 65537);
	add_rsa_jwk(&b, &weak, "");
	unusable("RSA of 1024 bits", &b);
	keys_finish(&weak);
	add_rsa_jwk(&b, &k,
		    ",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"PS256\"");
	s = parse_one(buf_cstr(&b));
	ok(s && jwks_find(s, JWS_PS256, NULL) && !jwks_find(s, JWS_RS256, NULL),
	   "a key for PS256 is for nothing else");
	jwks_free(s);
}

static void garbage(void)
{
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"keys\":{}}",
		"{\"keys\":[]}",
		"{\"keys\":[null]}",
		"{\"keys\":[],\"keys\":[]}",
		"{\"Keys\":[]}",
		"{\"keys\":[{\"kty\":\"RSA\"}]",
		"\xff",
	};

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		struct err e = {0};

		ok(!jwks_parse(sv_of(texts[i]), NULL, &e) && e.cause[0],
		   "no set: %u (%s)", i, e.cause);
	}
}

static void many(void)
{
	AUTO_BUF b = {.max = 1 << 20};
	struct err e = {0};
	unsigned passed_over = 0;
	struct jwks *s;

	for (unsigned n = JWKS_MAX_KEYS; n <= JWKS_MAX_KEYS + 1; n++) {
		buf_reset(&b);
		buf_str(&b, "{\"keys\":[");
		for (unsigned i = 0; i < n; i++) {
			char kid[32];

			snprintf(kid, sizeof(kid), ",\"kid\":\"%u\"", i);
			buf_str(&b, i ? "," : "");
			add_ed_jwk(&b, &k, i == 5 ? ",\"use\":\"enc\"" : kid);
		}
		buf_str(&b, "]}");
		s = jwks_parse(buf_view(&b), &passed_over, &e);
		ok(n > JWKS_MAX_KEYS ? !s
				     : s && jwks_count(s) == n - 1 && passed_over == 1,
		   "%u keys", n);
		jwks_free(s);
	}
	buf_reset(&b);
	for (size_t i = 0; i <= JWKS_MAX_BYTES; i++)
		buf_byte(&b, ' ');
	ok(!jwks_parse(buf_view(&b), NULL, NULL), "nor one that is too long");
}

static void choosing(void)
{
	AUTO_BUF b = {.max = 1 << 20};
	struct sv a = SV("a"), none = SV(""), path = SV("../a");
	struct jwks *s;

	buf_str(&b, "{\"keys\":[");
	add_ed_jwk(&b, &k, ",\"kid\":\"a\"");
	buf_byte(&b, ',');
	add_ec_jwk(&b, &k, ",\"kid\":\"a\"");
	buf_byte(&b, ',');
	add_rsa_jwk(&b, &k, ",\"kid\":\"b\"");
	buf_byte(&b, ',');
	add_rsa_jwk(&b, &k, ",\"kid\":\"b\"");
	buf_str(&b, "]}");
	s = jwks_parse(buf_view(&b), NULL, NULL);
	must(s);
	ok(jwks_find(s, JWS_EDDSA, &a) && jwks_find(s, JWS_ES256, &a) &&
		   jwks_find(s, JWS_EDDSA, &a) != jwks_find(s, JWS_ES256, &a),
	   "kid and alg choose together");
	ok(!jwks_find(s, JWS_RS256, &a), "a kid is not enough");
	ok(jwks_find(s, JWS_EDDSA, NULL), "without kid: the only one");
	ok(!jwks_find(s, JWS_RS256, NULL) && !jwks_find(s, JWS_RS256, &SV("b")),
	   "never one of two");
	ok(!jwks_find(s, JWS_EDDSA, &none) && !jwks_find(s, JWS_EDDSA, &path) &&
		   !jwks_find(s, JWS_EDDSA, &SV("A")),
	   "a kid is compared byte for byte");
	jwks_free(s);
}

static void short_of_memory(void)
{
	AUTO_BUF b = {.max = 1 << 20};
	struct jwks *s = NULL;
	long n = 0;

	buf_str(&b, "{\"keys\":[");
	add_ed_jwk(&b, &k, ",\"kid\":\"a\"");
	buf_str(&b, "]}");
	for (n = 1; !s && n < 100; n++) {
		struct err e = {0};

		mem_fail_after(n);
		s = jwks_parse(buf_view(&b), NULL, &e);
		mem_fail_after(0);
		must(s || e.code);
	}
	ok(s && n > 3, "every allocation may fail (%ld)", n);
	jwks_free(s);
}

int main(void)
{
	keys_init(&k, 2048, 3);
	published_examples();
	forgeries();
	unusable_keys();
	other_points();
	weak_rsa();
	odd_rsa();
	garbage();
	many();
	choosing();
	short_of_memory();
	keys_finish(&k);
	return tap_done();
}
