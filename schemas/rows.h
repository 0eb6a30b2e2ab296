/* rows.h: rows of a table of runtimes, checked field by field. Shared by gen.c, for the table that is built
 * in, and by mcp/runtimes.c, for an operator's (--runtimes): both are held to the same rules. */
#ifndef SCHEMAS_ROWS_H
#define SCHEMAS_ROWS_H

#include "sandbox/policy/policy.h"

struct cJSON;

#define ROWS_POOL 4096	/* strings in lists, of all rows together */

/* Zeroed is empty. Strings are borrowed from the trees, lists from this struct: both must stay. */
struct rows {
	struct pol_runtime row[POL_MAX_RUNTIMES];
	unsigned n;
	const char *pool[ROWS_POOL];
	unsigned npool;
	char why[240];	/* "runtimes[2].find must be ..." */
};

/* Adds those of list, the array `runtimes`. -1: `why` names the row and the field. Names must differ from
 * those of all rows that were there before. */
int rows_add(struct rows *r, const struct cJSON *list);

#endif
