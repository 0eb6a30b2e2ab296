/* f_jwt.c: what the auth and the fetch role parse: tokens, their two halves, key sets, certificates,
 * HTTP answers, URLs. The first byte says which.
 *
 * What must hold: only what is signed by the key is good; what is good has a principal that fits and a
 * reason that is a literal of ours; what is refused leaves no principal; an answer read in pieces is
 * never another than the whole. */
#include "mcp/auth/cert.h"
#include "mcp/auth/jwt.h"
#include "mcp/auth/reply.h"
#include "mcp/auth/url.h"
#include "sandbox/base/mem.h"

#include <sodium.h>

#define NOW 1700000000
#define HEAD "{\"alg\":\"EdDSA\",\"kid\":\"k\"}"
#define CLAIMS "{\"iss\":\"https://i\",\"aud\":\"a\",\"sub\":\"s\",\"exp\":1700000600}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char public[32], secret[64];
static struct jwks *set;
static const struct jwt_policy policy = {{"https://i", 9}, {"a", 1}, {"", 0}};

static void add_base64(struct buf *b, struct sv s)
{
	static char text[16384];

	if (s.n > 8192)
		s.n = 8192;
	sodium_bin2base64(text, sizeof(text), (const unsigned char *)s.p, s.n,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	buf_str(b, text);
}

static void prepare(void)
{
	static const unsigned char seed[32] = {1};
	AUTO_BUF b = {.max = 1024};

	must(sodium_init() >= 0);
	crypto_sign_seed_keypair(public, secret, seed);
	buf_str(&b,
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"");
	add_base64(&b, (struct sv){(const char *)public, 32});
	buf_str(&b, "\"}]}");
	set = jwks_parse(buf_view(&b), NULL, NULL);
	must(set);
}

static enum jwt_verdict check(struct sv token)
{
	struct jwt_result r;
	enum jwt_verdict v = jwt_check(set, &policy, token, NOW, &r);

	must(r.reason && strlen(r.reason) < 80 &&
	     !r.id.principal[0] == (v != JWT_GOOD));
	if (v == JWT_GOOD)
		must(!strncmp(r.id.principal, "oauth:i#", 8) && r.id.expires_us > 0);
	return v;
}

/* Nobody without the key makes a good one; an example of one may be in the corpus. */
static void token(struct sv s)
{
	check(s);
}

static void signed_token(struct sv head, struct sv claims)
{
	AUTO_BUF b = {.max = 65536};
	unsigned char sig[64];

	add_base64(&b, head);
	buf_byte(&b, '.');
	add_base64(&b, claims);
	crypto_sign_detached(sig, NULL, (const unsigned char *)b.p, b.n, secret);
	buf_byte(&b, '.');
	add_base64(&b, (struct sv){(const char *)sig, 64});
	if (b.failed || check(buf_view(&b)) != JWT_GOOD)
		return;
	b.p[b.n - 40] ^= 1; /* in the signature */
	must(check(buf_view(&b)) == JWT_BAD);
}

static void header(struct sv s)
{
	signed_token(s, SV(CLAIMS));
}

static void claims(struct sv s)
{
	signed_token(SV(HEAD), s);
}

static void keys(struct sv s)
{
	unsigned passed_over = 0;
	struct err e = {0};
	struct jwks *k = jwks_parse(s, &passed_over, &e);

	must(k ? jwks_count(k) + passed_over <= JWKS_MAX_KEYS && jwks_count(k)
	       : !!e.cause[0]);
	for (unsigned a = 0; k && a < JWS_ALG_COUNT; a++) {
		const struct jwk *one = jwks_find(k, (enum jws_alg)a, NULL);

		if (one)
			must(!jwk_verify(one, (enum jws_alg)a, s,
					 (struct sv){s.p, 64}) ||
			     s.n < 64);
	}
	jwks_free(k);
}

static void certificate(struct sv s)
{
	struct sup_identity id = {.principal = ""};
	const char *reason = NULL;
	int bad = cert_check(s, NOW, &id, &reason);

	must(bad ? reason && !id.principal[0] : !strncmp(id.principal, "cert:", 5));
}

static void answer(struct sv s)
{
	AUTO_BUF whole = {.max = 4096}, part = {.max = 4096};
	struct err e = {0};
	enum reply_state state = reply_read(s, true, &whole, &e), half;

	must(state != REPLY_MORE && (state == REPLY_DONE || e.cause[0]));
	half = reply_read((struct sv){s.p, s.n / 2}, false, &part, NULL);
	must(half != REPLY_DONE ||
	     (state == REPLY_DONE && sv_eq(buf_view(&whole), buf_view(&part))));
	must(half != REPLY_BAD || state == REPLY_BAD);
}

static void address(struct sv s)
{
	struct err e = {0};
	struct url u;

	if (url_parse(s, &u, &e))
		must(e.cause[0]);
	else
		must(u.host[0] && u.port[0] && u.path[0] == '/' &&
		     !strpbrk(u.path, "\r\n #"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parts[])(struct sv) = {token,	header, claims, keys,
						   certificate, answer, address};
	char *copy;

	if (!set)
		prepare();
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
