/* t_date.c: the Date header, at the borders of days, months, leap years and centuries. */
#include "mcp/http/parse.h"

#include "tests/lib/tap.h"

int main(void)
{
	static const struct {
		uint64_t at;
		const char *text;
	} dates[] = {
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
		{1798761599, "Thu, 31 Dec 2026 23:59:59 GMT"},
		{4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};
	char text[HTTP_DATE_SIZE];

	for (size_t i = 0; i < sizeof(dates) / sizeof(*dates); i++) {
		http_date(dates[i].at, text);
		ok(!strcmp(text, dates[i].text), "%s is %s", text, dates[i].text);
	}
	http_date(UINT64_MAX, text);
	ok(strlen(text) == HTTP_DATE_SIZE - 1,
	   "no number is too large to be written: %s", text);
	return tap_done();
}
