/* numbers.c: long numbers made short enough for cJSON.
 *
 * Without the fix of CVE-2023-26819 cJSON copies a number into 64 bytes and then fails on the
 * rest of it, so that a client's long id would make the message unreadable. */
#include "mcp/jsonrpc/scan.h"

#include "sandbox/base/mem.h"

#include <math.h>

static bool in_number(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' ||
	       c == 'E';
}

/* The number at p, `bytes` long, as the nearest double in at most 24 bytes, then blanks. */
static void shorten_number(char *p, size_t bytes)
{
	char brief[32];
	double d = strtod(p, NULL);
	size_t n;

	if (isinf(d))
		snprintf(brief, sizeof(brief), "%s1e999", d < 0 ? "-" : "");
	else
		snprintf(brief, sizeof(brief), "%.17g", d);
	n = strlen(brief);
	memset(p, ' ', bytes);
	memcpy(p, brief, n);
}

char *rpc_shorten_numbers(struct sv bytes)
{
	char *copy = mem_alloc(bytes.n + 1);
	bool in_string = false;

	if (!copy)
		return NULL;
	memcpy(copy, bytes.p, bytes.n);
	copy[bytes.n] = '\0';
	for (size_t i = 0, n; i < bytes.n; i += n) {
		n = 1;
		if (in_string && copy[i] == '\\') {
			n = 2;
		} else if (copy[i] == '"') {
			in_string = !in_string;
		} else if (!in_string &&
			   (copy[i] == '-' || (copy[i] >= '0' && copy[i] <= '9'))) {
			while (i + n < bytes.n && in_number(copy[i + n]))
				n++;
			if (n > RPC_CJSON_NUMBER_BYTES)
				shorten_number(copy + i, n);
		}
	}
	return copy;
}
