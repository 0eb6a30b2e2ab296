/* sha256.h: SHA-256 (FIPS 180-4) for the guest, which links no library. */
#ifndef SANDBOX_GUEST_SHA256_H
#define SANDBOX_GUEST_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 {
	uint32_t h[8];
	uint64_t n;		/* bytes so far */
	unsigned char block[64]; /* the last n % 64 of them */
};
void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, unsigned char ret[SHA256_BYTES]);

#endif
