/* jsonrpc.h: bytes from outside -> a checked JSON-RPC 2.0 message; results and errors -> bytes.
 *
 * The only room that calls the JSON parser on outside bytes. rpc_parse makes one strict pass over
 * the raw bytes first (RFC 8259 grammar, UTF-8 well-formed, no lone surrogates, no NUL in a
 * string, no duplicate names at the same level, depth and size bounded, no bytes after the value)
 * and hands them to cJSON only if they passed, so that none of cJSON's leniencies is ever reached.
 * Ids and progress tokens are kept as the raw text they came in and echoed verbatim. A byte order
 * mark is refused too.
 *
 * cJSON's nodes come from mem.h (the room sets cJSON's hooks at its first parse), so that a test
 * can make any of its allocations fail.
 *
 * Pure: no I/O, no clock. RFC 8259 (JSON), JSON-RPC 2.0, MCP basic/index "Messages". */
#ifndef MCP_JSONRPC_H
#define MCP_JSONRPC_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/json.h"

#define RPC_MAX_DEPTH 64
#define RPC_MAX_MESSAGE_BYTES ((size_t)16 << 20)	/* code of 10 MiB, JSON-escaped, fits mostly */
/* A node of the tree takes some 80 bytes: 16 MiB of "0,0,0," would take 640 MiB without this. */
#define RPC_MAX_VALUES ((size_t)1 << 20)
#define RPC_MAX_ID_BYTES 4096		/* of raw text */

/* JSON-RPC 2.0 section 5.1 and MCP's own codes. */
enum rpc_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	RPC_RESOURCE_NOT_FOUND = -32002,	/* until 2025-11-25; then RPC_INVALID_PARAMS */
	RPC_HEADER_MISMATCH = -32020,
	RPC_MISSING_CAPABILITY = -32021,
	RPC_UNSUPPORTED_VERSION = -32022,
};

enum rpc_kind { RPC_REQUEST, RPC_NOTIFICATION, RPC_RESPONSE };

struct rpc_msg {
	enum rpc_kind kind;
	struct sv id;			/* raw JSON text of the id; empty for a notification */
	struct sv method;		/* empty for a response */
	const struct cJSON *params;	/* an object; NULL when absent or null */
	const struct cJSON *root;
	struct sv source;		/* borrowed: the bytes given to rpc_parse */
	struct cJSON *owned;		/* rpc_msg_finish frees it */
	struct buf id_text;		/* owned */
};

/* What was wrong with a message that could not become an rpc_msg; id is echoed where it could be
 * read, else empty (written as null). */
struct rpc_fault {
	enum rpc_code code;
	bool batch;			/* it is an array, which one revision takes: see rpc_batch_next */
	struct buf id_text;		/* owned; rpc_fault_finish */
	struct err err;			/* cause and what to do */
};

/* 0, or -1 with *fault filled; both may be finished in either case. Code and id of the fault:
 * - not JSON, not UTF-8, a BOM: RPC_PARSE_ERROR
 * - JSON this server does not take (a limit, NUL, a duplicate name, a lone surrogate), an array
 *   (batch), or no JSON-RPC 2.0 message: RPC_INVALID_REQUEST
 * - params neither object nor null: RPC_INVALID_PARAMS
 * - no memory: RPC_INTERNAL_ERROR
 * The id is read even from broken text when there is exactly one at the top level and either it
 * stands before the defect or all brackets still close. It stays empty for a broken response:
 * that id would be one of ours. A request's id is a string or any number, never null. */
int rpc_parse(struct sv bytes, struct rpc_msg *ret, struct rpc_fault *fault);
/* The members of an array that was refused as a batch, one by one: raw text for rpc_parse. *at is 0 at
 * the beginning. False: there are no more. */
bool rpc_batch_next(struct sv bytes, size_t *at, struct sv *ret);
void rpc_msg_finish(struct rpc_msg *m);
void rpc_fault_finish(struct rpc_fault *f);

/* A checked JSON value of any type, for files we own (schemas, config) and for tests. NULL on
 * error. Freed with cJSON_Delete. */
struct cJSON *rpc_json_parse(struct sv bytes, struct err *e);

/* Raw JSON text of a scalar (string or number) node of m: what the caller sent as progress token
 * or request id, exactly ("1.0", 400 digits, "\u00e9"), found again in m->source, which must still
 * be there. A node that is not from there (made or coerced later) is written anew. -1 for other
 * types, text over RPC_MAX_ID_BYTES, or when ret fails. */
int rpc_scalar_text(const struct rpc_msg *m, const struct cJSON *v, struct buf *ret);

/* --- writing; every line ends without a newline, contains none -------------------------------- */
/* Line breaks between the tokens of a JSON argument are dropped. An empty id is written as null. */
void rpc_write_result(struct buf *b, struct sv id, struct sv result_json);
/* {"code","message","data"}; message is the cause, data carries err.h's code name, the remediation
 * (and extra, which is zero or more `"key":value` members, or empty). */
void rpc_write_error(struct buf *b, struct sv id, enum rpc_code code, const struct err *e,
		     struct sv extra_data_members);
void rpc_write_notification(struct buf *b, const char *method, struct sv params_json);
/* A request of ours; id is raw JSON text. */
void rpc_write_request(struct buf *b, struct sv id, struct sv method, struct sv params_json);

/* --- schema: the subset of JSON Schema 2020-12 that schemas/ use -------------------------------
 * type (one name), enum, const, properties, required, additionalProperties (bool or schema), items,
 * minimum, maximum, minLength, maxLength, minItems, maxItems, maxProperties; pattern is not used.
 * Annotations (title, description, default, examples, format, $schema, $id, x-...) say nothing. An
 * unknown assertion keyword in a schema of ours is a programmer's error, found by a unit test with
 * rpc_schema_lint and answered with ERR_INTERNAL. An integer is what js_int takes (at most 2^53),
 * a number is finite; lengths count code points. */

/* Checks value against schema; the error names the field by its path ("files[2].path") and says
 * what was got and what is expected; one for an unknown field lists those that are known. With
 * coerce, a string that spells a number, "true"/"false" or a JSON array or object where the schema
 * wants an integer or number, boolean, array or object is replaced in the tree (many clients
 * stringify). */
int rpc_schema_check(const struct cJSON *schema, struct cJSON *value, bool coerce,
		     struct err *e);
/* -1 when schema or a schema in it uses a keyword or a form that rpc_schema_check does not know;
 * the error names it. */
int rpc_schema_lint(const struct cJSON *schema, struct err *e);
/* A copy of schema with only what rpc_schema_check knows, for schemas that say more than we check:
 * it takes all that schema takes. Owned by the caller; NULL without memory. */
struct cJSON *rpc_schema_known(const struct cJSON *schema);

#endif
