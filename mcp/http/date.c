/* date.c: the Date header. */
#include "mcp/http/parse.h"

/* Days since 1970-01-01 to a date, by Howard Hinnant's civil_from_days. */
static void civil(uint64_t days, unsigned *y, unsigned *m, unsigned *d)
{
	uint64_t z = days + 719468, era = z / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (unsigned)(era * 400) + yoe + (*m <= 2);
}

void http_date(uint64_t unix_s, char ret[HTTP_DATE_SIZE])
{
	static const char days[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned y, m, d, s = (unsigned)(unix_s % 86400);

	civil(unix_s / 86400, &y, &m, &d);
	snprintf(ret, HTTP_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
		 days + unix_s / 86400 % 7 * 3, d % 100, months + (m - 1) * 3,
		 y % 10000, s / 3600, s / 60 % 60, s % 60);
}
