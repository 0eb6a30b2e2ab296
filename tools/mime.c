/* mime.c: what bytes are, by their beginning: a small table, not a guess. */
#include "sandbox/base/mem.h"
#include "tools/rich.h"

#include <string.h>

#define MAX_SIDE 16384 /* pixels; what is larger few clients can show */
/* Of an image of few bytes too, since all of it stands in the memory of who looks at it: 4 bytes each. */
#define MAX_PIXELS ((uint64_t)64 << 20)
#define HEAD_BYTES 512

static const struct {
	const char *mime;
	unsigned at, n;
	const char *magic;
	unsigned at2, n2; /* n2 0: one is enough */
	const char *magic2;
} magics[] = {
	/* clang-format off */
	{"image/png",		  0, 8, "\x89PNG\r\n\x1a\n", 0, 0, ""},
	{"image/jpeg",		  0, 3, "\xff\xd8\xff", 0, 0, ""},
	{"image/gif",		  0, 6, "GIF87a", 0, 0, ""},
	{"image/gif",		  0, 6, "GIF89a", 0, 0, ""},
	{"image/webp",		  0, 4, "RIFF", 8, 4, "WEBP"},
	{"image/bmp",		  0, 2, "BM", 6, 4, "\0\0\0\0"},
	{"image/tiff",		  0, 4, "II*\0", 0, 0, ""},
	{"image/tiff",		  0, 4, "MM\0*", 0, 0, ""},
	{"audio/wav",		  0, 4, "RIFF", 8, 4, "WAVE"},
	{"audio/ogg",		  0, 4, "OggS", 0, 0, ""},
	{"audio/flac",		  0, 4, "fLaC", 0, 0, ""},
	{"audio/mpeg",		  0, 3, "ID3", 0, 0, ""},
	{"video/mp4",		  4, 4, "ftyp", 0, 0, ""},
	{"video/webm",		  0, 4, "\x1a\x45\xdf\xa3", 0, 0, ""},
	{"application/pdf",	  0, 5, "%PDF-", 0, 0, ""},
	{"application/zip",	  0, 4, "PK\x03\x04", 0, 0, ""},
	{"application/zip",	  0, 4, "PK\x05\x06", 0, 0, ""},
	{"application/gzip",	  0, 3, "\x1f\x8b\x08", 0, 0, ""},
	{"application/x-bzip2",	  0, 3, "BZh", 4, 6, "1AY&SY"},
	{"application/x-xz",	  0, 6, "\xfd" "7zXZ\0", 0, 0, ""},
	{"application/zstd",	  0, 4, "\x28\xb5\x2f\xfd", 0, 0, ""},
	{"application/x-tar",	257, 5, "ustar", 0, 0, ""},
	{"application/vnd.sqlite3", 0, 16, "SQLite format 3\0", 0, 0, ""},
	{"application/vnd.apache.parquet", 0, 4, "PAR1", 0, 0, ""},
	{"application/vnd.apache.arrow.file", 0, 6, "ARROW1", 0, 0, ""},
	{"application/x-hdf5",	  0, 8, "\x89HDF\r\n\x1a\n", 0, 0, ""},
	{"application/x-npy",	  0, 6, "\x93NUMPY", 0, 0, ""},
	{"application/x-elf",	  0, 4, "\x7f" "ELF", 0, 0, ""},
	{"application/wasm",	  0, 4, "\0asm", 0, 0, ""},
	{"font/woff2",		  0, 4, "wOF2", 0, 0, ""},
	/* clang-format on */
};

static bool has(struct sv s, unsigned at, unsigned n, const char *magic)
{
	return s.n >= at + n && !memcmp(s.p + at, magic, n);
}

static bool starts_nocase(struct sv s, const char *word)
{
	for (; *word; word++, s.p++, s.n--)
		if (!s.n ||
		    (*s.p >= 'A' && *s.p <= 'Z' ? *s.p - 'A' + 'a' : *s.p) != *word)
			return false;
	return true;
}

/* Whether more bytes could make a character of it. */
static bool is_cut(struct sv s)
{
	const unsigned char c = (unsigned char)*s.p;

	if (s.n >= (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) || c < 0xc2 || c > 0xf4)
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* UTF-8 without controls that no text has. may_be_cut: more follows. */
static bool is_text(struct sv s, bool may_be_cut)
{
	while (s.n) {
		size_t k = sv_utf8_len(s);

		if (!k)
			return may_be_cut && is_cut(s);
		if (k == 1 && (unsigned char)*s.p < 0x20 &&
		    !memchr("\t\n\v\f\r\x1b\b", *s.p, 7))
			return false;
		s.p += k, s.n -= k;
	}
	return true;
}

static const char *mime_of_text(struct sv s)
{
	if (sv_starts(s, SV("\xef\xbb\xbf")))
		s.p += 3, s.n -= 3;
	s = sv_trim(s);
	if (starts_nocase(s, "<!doctype html") || starts_nocase(s, "<html"))
		return "text/html";
	if (starts_nocase(s, "<svg"))
		return "image/svg+xml";
	if (!starts_nocase(s, "<?xml"))
		return "text/plain";
	for (size_t i = 0; i + 5 < s.n; i++)
		if (starts_nocase((struct sv){s.p + i, s.n - i}, "<svg"))
			return "image/svg+xml";
	return "application/xml";
}

const char *mime_of(struct sv head)
{
	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if (has(head, magics[i].at, magics[i].n, magics[i].magic) &&
		    has(head, magics[i].at2, magics[i].n2, magics[i].magic2))
			return magics[i].mime;
	if (head.n > HEAD_BYTES)
		head.n = HEAD_BYTES;
	return is_text(head, head.n == HEAD_BYTES) ? mime_of_text(head)
						   : "application/octet-stream";
}

bool mime_is_text(struct sv mime)
{
	static const char *const texts[] = {"application/json",
					    "application/javascript", "application/xml",
					    "application/x-tex", "application/x-latex"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (sv_eq(mime, sv_of(texts[i])))
			return true;
	return sv_starts(mime, SV("text/")) || sv_ends(mime, SV("+xml")) ||
	       sv_ends(mime, SV("+json"));
}

bool mime_is_plain(struct sv mime)
{
	const ptrdiff_t slash = sv_find(mime, '/');

	for (size_t i = 0; i < mime.n; i++) {
		const char c = mime.p[i];
		const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!letter && !memchr("+-._/", c, 5))
			return false;
		/* the slash is one, and has something on both sides */
		if (c == '/' && ((ptrdiff_t)i != slash || !i || i + 1 == mime.n))
			return false;
	}
	return slash > 0;
}

static uint32_t big(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static uint32_t little(const char *p)
{
	return (uint32_t)(unsigned char)p[0] | (uint32_t)(unsigned char)p[1] << 8;
}

/* --- the size of an image, from its bytes; 0 0: not found ----------------------------------------- */

struct size {
	uint32_t w, h;
};

static struct size size_of_png(struct sv s)
{
	if (!has(s, 12, 4, "IHDR") || s.n < 24)
		return (struct size){0, 0};
	return (struct size){big(s.p + 16), big(s.p + 20)};
}

static struct size size_of_gif(struct sv s)
{
	if (s.n < 10)
		return (struct size){0, 0};
	return (struct size){little(s.p + 6), little(s.p + 8)};
}

/* ITU T.81, B.1: segments until the frame's header, one of SOF0 to SOF15 that is no table. */
static struct size size_of_jpeg(struct sv s)
{
	size_t at = 2;

	while (s.n - at >= 9 && s.p[at] == '\xff') {
		const unsigned char marker = (unsigned char)s.p[at + 1];
		const size_t len = big(s.p + at + 2) >> 16;

		if (marker == 0xff) { /* fill */
			at++;
			continue;
		}
		if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 &&
		    marker != 0xc8 && marker != 0xcc)
			return (struct size){big(s.p + at + 5) & 0xffff,
					     big(s.p + at + 5) >> 16};
		if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xda) || len < 2 ||
		    s.n - at - 2 < len + 9)
			break;
		at += 2 + len;
	}
	return (struct size){0, 0};
}

/* RFC 9649, 2.5 to 2.7 */
static struct size size_of_webp(struct sv s)
{
	if (s.n < 30)
		return (struct size){0, 0};
	if (has(s, 12, 4, "VP8X"))
		return (struct size){
			1 + (little(s.p + 24) | (little(s.p + 26) & 0xff) << 16),
			1 + (little(s.p + 27) | (little(s.p + 29) & 0xff) << 16)};
	if (has(s, 12, 4, "VP8L")) {
		const uint32_t bits = little(s.p + 21) | little(s.p + 23) << 16;

		return (struct size){1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff)};
	}
	if (has(s, 12, 4, "VP8 ") && has(s, 23, 3, "\x9d\x01\x2a"))
		return (struct size){little(s.p + 26) & 0x3fff,
				     little(s.p + 28) & 0x3fff};
	return (struct size){0, 0};
}

bool mime_can_show(struct sv mime, struct sv whole)
{
	static const struct {
		const char *mime;
		struct size (*size_of)(struct sv s);
	} shown[] = {{"image/png", size_of_png},
		     {"image/jpeg", size_of_jpeg},
		     {"image/gif", size_of_gif},
		     {"image/webp", size_of_webp}};

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		if (sv_eq(mime, sv_of(shown[i].mime)) &&
		    sv_eq(mime, sv_of(mime_of(whole)))) {
			const struct size z = shown[i].size_of(whole);

			return z.w >= 1 && z.w <= MAX_SIDE && z.h >= 1 &&
			       z.h <= MAX_SIDE && (uint64_t)z.w * z.h <= MAX_PIXELS;
		}
	return false;
}
