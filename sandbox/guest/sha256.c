/* sha256.c: SHA-256, by the processor's own instructions where it has them. */
#include "sandbox/guest/sha256.h"

#include "sandbox/base/mem.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
/* a part of it that is not needed here calls malloc, which nobody may by that name */
#define _MM_MALLOC_H_INCLUDED
#define __MM_MALLOC_H
#include <immintrin.h>
#endif

static const uint32_t k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static uint32_t big(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void schedule(uint32_t w[64], const unsigned char *p)
{
	for (unsigned i = 0; i < 16; i++)
		w[i] = big(p + 4 * i);
	for (unsigned i = 16; i < 64; i++) {
		const uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
		       (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
	}
}

/* One round: the eight words change their names instead of their places. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                               \
	do {                                                                           \
		const uint32_t t = v[h] +                                              \
				   (turn(v[e], 6) ^ turn(v[e], 11) ^ turn(v[e], 25)) + \
				   (v[g] ^ (v[e] & (v[f] ^ v[g]))) + k[i] + w[i];      \
		v[d] += t;                                                             \
		v[h] = t + (turn(v[a], 2) ^ turn(v[a], 13) ^ turn(v[a], 22)) +         \
		       ((v[a] & v[b]) | (v[c] & (v[a] | v[b])));                       \
	} while (0)

static void blocks_plain(uint32_t h[8], const unsigned char *p, size_t n)
{
	uint32_t w[64], v[8];

	for (; n; n--, p += 64) {
		schedule(w, p);
		memcpy(v, h, sizeof(v));
		for (unsigned i = 0; i < 64; i += 8) {
			ROUND(0, 1, 2, 3, 4, 5, 6, 7, i);
			ROUND(7, 0, 1, 2, 3, 4, 5, 6, i + 1);
			ROUND(6, 7, 0, 1, 2, 3, 4, 5, i + 2);
			ROUND(5, 6, 7, 0, 1, 2, 3, 4, i + 3);
			ROUND(4, 5, 6, 7, 0, 1, 2, 3, i + 4);
			ROUND(3, 4, 5, 6, 7, 0, 1, 2, i + 5);
			ROUND(2, 3, 4, 5, 6, 7, 0, 1, i + 6);
			ROUND(1, 2, 3, 4, 5, 6, 7, 0, i + 7);
		}
		for (unsigned i = 0; i < 8; i++)
			h[i] += v[i];
	}
}

#if defined(__x86_64__)
/* Intel SDM, SHA extensions: the state is held as {ABEF} and {CDGH}, four rounds take one word of 128 bits of the
 * schedule. */
__attribute__((target("sha,sse4.1"))) static void blocks_fast(uint32_t h[8],
							      const unsigned char *p,
							      size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1);
	__m128i b = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b);
	__m128i a = _mm_alignr_epi8(t, b, 8), m[4];

	b = _mm_blend_epi16(b, t, 0xf0);
	for (; n; n--, p += 64) {
		const __m128i a0 = a, b0 = b;

		for (unsigned i = 0; i < 16; i++) {
			__m128i *x = &m[i & 3];

			if (i < 4) {
				*x = _mm_shuffle_epi8(
					_mm_loadu_si128((const __m128i *)p + i), swap);
			} else {
				const __m128i last = m[(i + 3) & 3];

				*x = _mm_sha256msg1_epu32(*x, m[(i + 1) & 3]);
				*x = _mm_add_epi32(
					*x, _mm_alignr_epi8(last, m[(i + 2) & 3], 4));
				*x = _mm_sha256msg2_epu32(*x, last);
			}
			t = _mm_add_epi32(*x, _mm_load_si128((const __m128i *)k + i));
			b = _mm_sha256rnds2_epu32(b, a, t);
			a = _mm_sha256rnds2_epu32(a, b, _mm_shuffle_epi32(t, 0x0e));
		}
		a = _mm_add_epi32(a, a0);
		b = _mm_add_epi32(b, b0);
	}
	t = _mm_shuffle_epi32(a, 0x1b);
	b = _mm_shuffle_epi32(b, 0xb1);
	_mm_storeu_si128((__m128i *)h, _mm_blend_epi16(t, b, 0xf0));
	_mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(b, t, 8));
}

static bool is_fast(void)
{
	static int known = -1;
	unsigned a, b, c, d;

	if (known < 0) {
		known = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1 &&
			__get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29;
	}
	return known > 0;
}
#endif

static void blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
#if defined(__x86_64__)
	if (is_fast()) {
		blocks_fast(h, p, n);
		return;
	}
#endif
	blocks_plain(h, p, n);
}

void sha256_init(struct sha256 *s)
{
	*s = (struct sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *s, const void *from, size_t n)
{
	const unsigned char *p = from;
	size_t held = s->n % 64;

	s->n += n;
	if (held) {
		const size_t take = n < 64 - held ? n : 64 - held;

		memcpy(s->block + held, p, take);
		p += take, n -= take;
		if (held + take < 64)
			return;
		blocks(s->h, s->block, 1);
	}
	blocks(s->h, p, n / 64);
	memcpy(s->block, p + n / 64 * 64, n % 64);
}

void sha256_end(struct sha256 *s, unsigned char ret[SHA256_BYTES])
{
	const uint64_t bits = s->n * 8;
	const size_t held = s->n % 64;
	unsigned char last[128] = {0};
	const size_t n = held < 56 ? 64 : 128;

	memcpy(last, s->block, held);
	last[held] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		last[n - 1 - i] = (unsigned char)(bits >> (8 * i));
	blocks(s->h, last, n / 64);
	for (unsigned i = 0; i < SHA256_BYTES; i++)
		ret[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}
