/* json.h: writing JSON exactly, and reading a tree that was checked when it was parsed.
 *
 * Writing: jw streams into a buf, puts the commas itself, writes integers exactly and turns
 * ill-formed UTF-8 into U+FFFD (the caller counts those with json_bad_utf8 where it matters). A
 * failed buf fails the whole document; check it once at the end.
 *
 * Reading: accessors over a cJSON tree. They never look at case-folded or duplicate names: the
 * parser (mcp/jsonrpc) has refused duplicates, NUL bytes and ill-formed UTF-8. All accept NULL. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "sandbox/base/buf.h"

struct cJSON;

struct jw {
	struct buf *b;		/* borrowed */
	uint64_t has_item;	/* one bit per depth */
	unsigned depth;		/* at most 63 */
	bool after_key;
};

void jw_init(struct jw *w, struct buf *b);
void jw_obj(struct jw *w);
void jw_obj_end(struct jw *w);
void jw_arr(struct jw *w);
void jw_arr_end(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, struct sv s);
void jw_int(struct jw *w, int64_t v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct sv json);	/* one value, already JSON */
/* key and value in one */
void jw_kstr(struct jw *w, const char *key, struct sv s);
void jw_kint(struct jw *w, const char *key, int64_t v);
void jw_kbool(struct jw *w, const char *key, bool v);
void jw_kraw(struct jw *w, const char *key, struct sv json);

/* Appends s as a quoted JSON string. */
void json_quote(struct buf *b, struct sv s);
/* How many U+FFFD json_quote would put for s (maximal subparts, Unicode 15 section 3.9). */
uint64_t json_bad_utf8(struct sv s);

const struct cJSON *js_get(const struct cJSON *obj, const char *key);	/* exact name or NULL */
/* Text of a string node; the empty view for anything else. Lives as long as the tree. */
struct sv js_str(const struct cJSON *v);
bool js_is_str(const struct cJSON *v);
bool js_is_true(const struct cJSON *v);
/* Members of an object or array in order: for (m = js_first(v); m; m = js_next(m)). */
const struct cJSON *js_first(const struct cJSON *v);
const struct cJSON *js_next(const struct cJSON *v);
struct sv js_name(const struct cJSON *v);	/* of an object's member; else empty */
/* The one place a JSON number becomes an integer: 0 when v is a number with an integral value in
 * [-(2^53), 2^53], else -1. */
int js_int(const struct cJSON *v, int64_t *ret);

#endif
