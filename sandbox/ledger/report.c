/* report.c: times, hashes and JSON lines for the audit commands. */
#include "sandbox/ledger/report.h"

#include <time.h>

const char *led_time(int64_t ts_us, bool fraction, char dst[LED_TIME_SIZE])
{
	int64_t s = ts_us / 1000000, us = ts_us % 1000000;
	time_t t = (time_t)(us < 0 ? s - 1 : s);
	struct tm tm;

	if (us < 0)
		us += 1000000;
	/* four-digit years only: the number may be anything in a tampered row */
	if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
		snprintf(dst, LED_TIME_SIZE, "%lld us", (long long)ts_us);
	else if (strftime(dst, LED_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm) && fraction)
		snprintf(dst + 19, LED_TIME_SIZE - 19, ".%06dZ", (int)us);
	else
		snprintf(dst + 19, LED_TIME_SIZE - 19, "Z");
	return dst;
}

static uint32_t code_point(const unsigned char *p, size_t n)
{
	uint32_t c = n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0x0fu : p[0] & 0x07u;

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3fu);
	return c;
}

static void put_escaped(FILE *out, uint32_t c)
{
	if (c < 0x10000) {
		fprintf(out, "\\u%04x", (unsigned)c);
		return;
	}
	c -= 0x10000;
	fprintf(out, "\\u%04x\\u%04x", (unsigned)(0xd800 + (c >> 10)),
		(unsigned)(0xdc00 + (c & 0x3ff)));
}

void led_put_json(FILE *out, struct sv json)
{
	while (json.n) {
		unsigned char c = (unsigned char)json.p[0];
		size_t k = sv_utf8_len(json);

		if (c >= 0x20 && c < 0x7f)
			putc(c, out);
		else if (c == '\n' || c == '\r' || c == '\t') /* only between tokens */
			putc(' ', out);
		else
			put_escaped(out,
				    k == 1 ? c
				    : k ? code_point((const unsigned char *)json.p, k)
					: 0xfffd);
		json.p += k ? k : 1;
		json.n -= k ? k : 1;
	}
	putc('\n', out);
}

void led_khash(struct jw *w, const char *key, struct sv hash)
{
	static const char digit[] = "0123456789abcdef";
	char hex[64];
	size_t n = hash.n < 32 ? hash.n : 32;

	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digit[(unsigned char)hash.p[i] >> 4];
		hex[2 * i + 1] = digit[(unsigned char)hash.p[i] & 15];
	}
	jw_kstr(w, key, (struct sv){hex, 2 * n});
}

int led_flush(FILE *out, struct err *e)
{
	return fflush(out) || ferror(out) ? err_sys(e, "write the report") : 0;
}
