/* sv.h: a borrowed run of bytes with its length. It owns nothing; its life is its source's. */
#ifndef BASE_SV_H
#define BASE_SV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sv {
	const char *p;
	size_t n;
};

#define SV(lit) ((struct sv){"" lit, sizeof(lit) - 1})
#define SV_FMT "%.*s"
#define SV_ARG(s) (int)(s).n, (s).p

struct sv sv_of(const char *cstr);		/* NULL gives the empty view */
bool sv_eq(struct sv a, struct sv b);
bool sv_starts(struct sv s, struct sv prefix);
bool sv_ends(struct sv s, struct sv suffix);
/* Offset of the first byte c, or -1. */
ptrdiff_t sv_find(struct sv s, char c);
/* Cuts the part up to the first c from *rest and steps over c; false when *rest is spent.
 * "a,b," gives "a", "b", "". Start with rest = the whole and *more = true. */
bool sv_cut(struct sv *rest, char c, bool *more, struct sv *ret_part);
struct sv sv_trim(struct sv s);			/* blanks, tabs, CR, LF at both ends */
/* A whole decimal integer, optional '-', nothing around it, in range; else -1. */
int sv_to_i64(struct sv s, int64_t *ret);
int sv_to_u64(struct sv s, uint64_t *ret);
/* Copies into a C string of `size` bytes; -1 when it does not fit or holds a NUL byte. */
int sv_copy(struct sv s, char *dst, size_t size);
bool sv_valid_utf8(struct sv s);
/* Length in bytes (1..4) of the well-formed UTF-8 sequence at s.p, 0 if it is ill-formed or cut
 * (Unicode 15, table 3-7: no surrogates, no overlong forms, at most U+10FFFF). */
size_t sv_utf8_len(struct sv s);

#endif
