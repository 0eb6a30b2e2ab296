/* t_mime.c: what bytes are is told by their content; a picture is one only when it is. */
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"
#include "tools/rich.h"

#include <string.h>

#define BYTES(lit)                                                                     \
	{                                                                              \
		lit, sizeof(lit) - 1                                                   \
	}
#define PNG_HEAD "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"

static void test_of(void)
{
	static const struct {
		struct sv head;
		const char *mime;
	} rows[] = {
		{BYTES(""), "text/plain"},
		{BYTES("a,b\n1,2\n"), "text/plain"},
		{BYTES("caf\xc3\xa9"), "text/plain"},
		{BYTES("\xc3"), "application/octet-stream"},
		{BYTES("caf\xff x"), "application/octet-stream"},
		{BYTES("a\0b"), "application/octet-stream"},
		{BYTES("\x89PNG\r\n\x1a\n"), "image/png"},
		{BYTES("\x89PNG\r\n\x1a"), "application/octet-stream"},
		{BYTES("\xff\xd8\xff\xe0"), "image/jpeg"},
		{BYTES("GIF89a"), "image/gif"},
		{BYTES("GIF88a"), "text/plain"},
		{BYTES("RIFF\1\2\3\4WEBP"), "image/webp"},
		{BYTES("RIFF\1\2\3\4WAVE"), "audio/wav"},
		{BYTES("RIFF\1\2\3\4"), "application/octet-stream"},
		{BYTES("%PDF-1.7"), "application/pdf"},
		{BYTES("PK\3\4"), "application/zip"},
		{BYTES("\x1f\x8b\x08"), "application/gzip"},
		{BYTES("PAR1"), "application/vnd.apache.parquet"},
		{BYTES("SQLite format 3\0"), "application/vnd.sqlite3"},
		{BYTES("\x7f"
		       "ELF"),
		 "application/x-elf"},
		{BYTES("<!DOCTYPE HTML>"), "text/html"},
		{BYTES("\xef\xbb\xbf \n<html>"), "text/html"},
		{BYTES("<svg xmlns="), "image/svg+xml"},
		{BYTES("<?xml version=\"1.0\"?>\n<svg >"), "image/svg+xml"},
		{BYTES("<?xml version=\"1.0\"?>\n<a/>"), "application/xml"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ok(!strcmp(mime_of(rows[i].head), rows[i].mime), "%zu is %s: %s", i,
		   rows[i].mime, mime_of(rows[i].head));
}

static void test_cut_character(void)
{
	char head[512];

	memset(head, 'a', sizeof(head));
	head[511] = '\xe2';
	/* one more byte than is looked at, so that the character is cut */
	ok(!strcmp(mime_of((struct sv){head, sizeof(head)}), "text/plain"),
	   "a character that the end cuts is still text");
	head[510] = '\xff';
	ok(!strcmp(mime_of((struct sv){head, sizeof(head)}),
		   "application/octet-stream"),
	   "what is no character is not");
}

static void test_show(void)
{
	ok(mime_can_show(SV("image/png"), SV(PNG_HEAD "\0\0\0\1\0\0\0\1")),
	   "a PNG can be shown");
	ok(!mime_can_show(SV("image/png"), SV(PNG_HEAD "\0\0\0\0\0\0\0\1")),
	   "not one without width");
	ok(!mime_can_show(SV("image/png"), SV(PNG_HEAD "\0\1\0\0\0\0\0\1")),
	   "nor one of 65,536 columns");
	ok(!mime_can_show(SV("image/png"), SV(PNG_HEAD "\0\0\0\1\xff\0\0\0")),
	   "nor of 4 billion rows");
	ok(!mime_can_show(SV("image/png"), SV(PNG_HEAD "\0\0\0\1\0\0\0")),
	   "nor a part of one");
	ok(!mime_can_show(SV("image/png"), SV("GIF89a\1\0\1\0")),
	   "nor a GIF that says it is one");
	ok(mime_can_show(SV("image/gif"), SV("GIF89a\1\0\1\0")), "but as what it is");
	ok(!mime_can_show(SV("image/gif"), SV("GIF89a\0\0\1\0")), "if it has a size");
	ok(!mime_can_show(SV("application/pdf"), SV("%PDF-")) &&
		   !mime_can_show(SV("image/svg+xml"), SV("<svg/>")) &&
		   !mime_can_show(SV("image/bmp"), SV("BM1234\0\0\0\0")),
	   "and nothing else");
}

#define JPEG "\xff\xd8\xff\xe0\0\4ab"
#define FRAME(kind, h, w) "\xff" kind "\0\x0b\x08" h w "\1\1\x11\0"
#define WEBP "RIFF\1\2\3\4WEBP"

static void test_sizes(void)
{
	static const struct {
		const char *mime;
		struct sv bytes;
		bool shown;
	} rows[] = {
		{"image/png", BYTES(PNG_HEAD "\0\0\x20\0\0\0\x20\0"), true},
		{"image/png", BYTES(PNG_HEAD "\0\0\x40\0\0\0\x10\1"), false},
		{"image/gif", BYTES("GIF89a\0\x40\0\x40"), false},
		{"image/jpeg", BYTES(JPEG FRAME("\xc0", "\0\1", "\0\1")), true},
		{"image/jpeg", BYTES(JPEG "\xff\xff" FRAME("\xc2", "\0\1", "\x20\0")),
		 true},
		{"image/jpeg", BYTES(JPEG FRAME("\xc0", "\xff\xff", "\xff\xff")),
		 false},
		{"image/jpeg", BYTES(JPEG FRAME("\xc2", "\0\1", "\x40\1")), false},
		{"image/jpeg", BYTES(JPEG FRAME("\xc0", "\0\0", "\0\1")), false},
		{"image/jpeg", BYTES(JPEG FRAME("\xc4", "\0\1", "\0\1")), false},
		{"image/jpeg", BYTES(JPEG "\xff\xda" FRAME("\xc0", "\0\1", "\0\1")),
		 false},
		{"image/jpeg", BYTES(JPEG "\xff\xe1\xff\xff"), false},
		{"image/jpeg", BYTES(JPEG "\xff\xc0\0\x0b\x08\0\1\0"), false},
		{"image/jpeg", BYTES("\xff\xd8\xff"), false},
		{"image/webp", BYTES(WEBP "VP8 \1\0\0\0\0\0\0\x9d\x01\x2a\1\0\1\0"),
		 true},
		{"image/webp",
		 BYTES(WEBP "VP8 \1\0\0\0\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"), false},
		{"image/webp", BYTES(WEBP "VP8L\1\0\0\0\x2f\0\0\0\0\0\0\0\0\0"), true},
		{"image/webp", BYTES(WEBP "VP8L\1\0\0\0\x2f\xff\xff\xff\xff\0\0\0\0\0"),
		 false},
		{"image/webp", BYTES(WEBP "VP8X\1\0\0\0\0\0\0\0\xff\1\0\xff\1\0"),
		 true},
		{"image/webp", BYTES(WEBP "VP8X\1\0\0\0\0\0\0\0\xff\xff\xff\0\0\0"),
		 false},
		{"image/webp", BYTES(WEBP), false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ok(mime_can_show(sv_of(rows[i].mime), rows[i].bytes) == rows[i].shown,
		   "%s %zu is %sshown", rows[i].mime, i, rows[i].shown ? "" : "not ");
}

int main(void)
{
	test_of();
	test_cut_character();
	test_show();
	test_sizes();
	return tap_done();
}
