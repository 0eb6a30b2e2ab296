/* seal.c: what a tool remembers between its questions, sealed on its way through the client.
 *
 * The server is stateless for a modern client: the state of a question goes out as requestState and
 * comes back as the client pleases, tomorrow, twice, altered, or for another call. So it is
 * encrypted and authenticated (XChaCha20-Poly1305, a key that lives as long as the process), bound
 * to what it belongs to as additional data; ask.c dates it. Every failure looks the same.
 *
 * text: base64url(nonce(24) || AEAD(plain)) */
#include "mcp/protocol/internal.h"

#include <sodium.h>

#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
/* the largest text that can be ours */
#define MAX_SEALED_BYTES (NONCE_BYTES + PROTO_MAX_STATE_BYTES + 4096 + TAG_BYTES)

int proto_seal_init(struct proto_server *s, struct err *e)
{
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "no random numbers");
	s->seal_key = sodium_malloc(KEY_BYTES);
	if (!s->seal_key)
		return err_set(e, ERR_LIMIT, "no memory for a key");
	randombytes_buf(s->seal_key, KEY_BYTES);
	sodium_mprotect_readonly(s->seal_key);
	return 0;
}

void proto_seal_finish(struct proto_server *s)
{
	if (s->seal_key)
		sodium_free(s->seal_key);
	s->seal_key = NULL;
}

int proto_seal(struct proto_server *s, struct sv plain, struct sv bound,
	       struct buf *text)
{
	const unsigned char *key = s->seal_key;
	unsigned long long n = 0;
	AUTO_BUF sealed = {0};
	char *p, *t;
	size_t len;

	buf_init(&sealed, MAX_SEALED_BYTES);
	p = plain.n <= MAX_SEALED_BYTES
		    ? buf_reserve(&sealed, NONCE_BYTES + plain.n + TAG_BYTES)
		    : NULL;
	if (!p)
		return -1;
	randombytes_buf(p, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		(unsigned char *)p + NONCE_BYTES, &n, (const unsigned char *)plain.p,
		plain.n, (const unsigned char *)bound.p, bound.n, NULL,
		(const unsigned char *)p, key);
	buf_commit(&sealed, NONCE_BYTES + (size_t)n);
	len = sodium_base64_encoded_len(sealed.n, BASE64); /* counts the NUL */
	t = buf_reserve(text, len);
	if (!t)
		return -1;
	sodium_bin2base64(t, len, (const unsigned char *)sealed.p, sealed.n, BASE64);
	buf_commit(text, len - 1);
	return 0;
}

int proto_unseal(struct proto_server *s, struct sv text, struct sv bound,
		 struct buf *plain)
{
	const unsigned char *key = s->seal_key;
	unsigned long long n = 0;
	const char *end = NULL;
	AUTO_BUF sealed = {0};
	AUTO_BUF opened = {0};
	size_t got = 0;
	char *p, *d;

	buf_init(&sealed, MAX_SEALED_BYTES);
	buf_init(&opened, MAX_SEALED_BYTES);
	if (text.n / 4 * 3 > MAX_SEALED_BYTES - 3)
		return -1;
	p = buf_reserve(&sealed, text.n / 4 * 3 + 3);
	if (!p ||
	    sodium_base642bin((unsigned char *)p, text.n / 4 * 3 + 3, text.p, text.n,
			      NULL, &got, &end, BASE64) ||
	    end != text.p + text.n || got < NONCE_BYTES + TAG_BYTES)
		return -1;
	d = buf_reserve(&opened, got);
	if (!d || crypto_aead_xchacha20poly1305_ietf_decrypt(
			  (unsigned char *)d, &n, NULL,
			  (const unsigned char *)p + NONCE_BYTES, got - NONCE_BYTES,
			  (const unsigned char *)bound.p, bound.n,
			  (const unsigned char *)p, key))
		return -1;
	buf_add(plain, d, (size_t)n);
	return plain->failed ? -1 : 0;
}
