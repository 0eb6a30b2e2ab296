/* scan.h: the room's own: the strict pass over the raw bytes, and raw text found again in them.
 *
 * rpc_scan decides alone whether text is taken; everything else here may assume less (raw.c reads
 * refused text as well) but never reads outside its view. */
#ifndef MCP_JSONRPC_SCAN_H
#define MCP_JSONRPC_SCAN_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

struct cJSON;

enum rpc_verdict {
	RPC_SCAN_OK,
	RPC_SCAN_BROKEN,	/* not JSON, or not UTF-8 */
	RPC_SCAN_REFUSED,	/* JSON, but over a limit or ambiguous: see jsonrpc.h */
	RPC_SCAN_NO_MEMORY,
};

/* Every cJSON takes numbers of so many bytes; see numbers.c. */
#define RPC_CJSON_NUMBER_BYTES 60

struct rpc_scan_result {
	enum rpc_verdict verdict;
	size_t at;		/* offset of the defect; the length when there is none */
	bool long_number;	/* at least one is over RPC_CJSON_NUMBER_BYTES */
};

int rpc_scan(struct sv bytes, struct rpc_scan_result *ret, struct err *e);
/* True when text is one number, or one string with its quotes, that rpc_scan would take. */
bool rpc_scan_scalar(struct sv text);

/* --- names.c: the names of the objects that are open ------------------------------------------ */
struct rpc_name {
	uint32_t at, n;		/* between the quotes */
	uint32_t hash;		/* of the unescaped name */
	bool escaped;
};

struct rpc_names {
	struct rpc_name *v;	/* owned */
	size_t n, cap;
};

void rpc_names_finish(struct rpc_names *names);
/* -1 without memory. */
int rpc_names_add(struct rpc_names *names, struct sv all, struct rpc_name name);
/* Drops the names from `mark` on, those of one object; if two of them are equal once unescaped,
 * gives back the later one and is true. */
bool rpc_names_close(struct rpc_names *names, struct sv all, size_t mark,
		     struct rpc_name *ret_duplicate);
/* Whether raw (the text between the quotes) spells name. */
bool rpc_name_is(struct sv raw, const char *name);

/* --- numbers.c ------------------------------------------------------------------------------ */
/* A copy of text that passed the scan, of the same length and tree, in which every number over
 * RPC_CJSON_NUMBER_BYTES stands as the nearest double (1e999 past the largest) and blanks. Owned by
 * the caller; NUL behind it; NULL without memory. */
char *rpc_shorten_numbers(struct sv bytes);

/* --- raw.c: raw text ------------------------------------------------------------------------ */
/* The raw text of node in the text its tree came from; empty when it is not from there. */
struct sv rpc_raw_of(struct sv source, const struct cJSON *root, const struct cJSON *node);
/* The raw id of a message that is to be refused because of a defect at offset `defect`; empty when
 * there is none, more than one, or it cannot be trusted. */
struct sv rpc_salvage_id(struct sv bytes, size_t defect);
/* At most max_bytes of s, cut between characters. */
struct sv rpc_clip(struct sv s, size_t max_bytes);

#endif
