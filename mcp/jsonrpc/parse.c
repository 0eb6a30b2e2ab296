/* parse.c: checked bytes -> cJSON tree -> a JSON-RPC message, or a fault that can be answered. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "mcp/jsonrpc/scan.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdarg.h>

/* --- the tree ---------------------------------------------------------------------------------- */

static void use_our_heap(void)
{
	static bool done;
	cJSON_Hooks hooks = {mem_alloc, mem_free};

	if (!done)
		cJSON_InitHooks(&hooks);
	done = true;
}

/* NULL without memory: whatever passed the scan is JSON to cJSON too. */
static struct cJSON *build_tree(struct sv bytes, bool long_number, struct err *e)
{
	struct cJSON *root = NULL;
	char *copy = long_number ? rpc_shorten_numbers(bytes) : NULL;

	use_our_heap();
	if (copy || !long_number)
		root = cJSON_ParseWithLengthOpts(copy ? copy : bytes.p, bytes.n, NULL,
						 0);
	mem_free(copy);
	if (!root)
		err_set(e, ERR_LIMIT, "no memory for a message of %zu bytes", bytes.n);
	return root;
}

struct cJSON *rpc_json_parse(struct sv bytes, struct err *e)
{
	struct rpc_scan_result r;

	return rpc_scan(bytes, &r, e) ? NULL : build_tree(bytes, r.long_number, e);
}

/* --- the message ------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int refuse(struct rpc_fault *f,
							enum rpc_code code,
							const char *fmt, ...)
{
	va_list ap;
	char text[sizeof(f->err.cause)];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->code = code;
	return err_set(&f->err, ERR_INVALID, "%s", text);
}

static int keep_id(struct rpc_msg *m, const struct cJSON *id, struct rpc_fault *f)
{
	struct sv raw = rpc_raw_of(m->source, m->root, id);

	if (raw.n > RPC_MAX_ID_BYTES) {
		refuse(f, RPC_INVALID_REQUEST, "the id is longer than %d bytes",
		       RPC_MAX_ID_BYTES);
		return err_fix(&f->err, "use a short string or a number as id");
	}
	buf_sv(&m->id_text, raw);
	m->id = buf_view(&m->id_text);
	if (!m->id_text.failed)
		return 0;
	f->code = RPC_INTERNAL_ERROR;
	return err_set(&f->err, ERR_LIMIT, "no memory for the id of a message");
}

static int classify_response(struct rpc_msg *m, const struct cJSON *id,
			     struct rpc_fault *f)
{
	const struct cJSON *error = js_get(m->root, "error");
	bool result = js_get(m->root, "result") != NULL;

	m->kind = RPC_RESPONSE;
	if (!error && !result) {
		refuse(f, RPC_INVALID_REQUEST,
		       "the message has no method (nor result or error)");
		return err_fix(
			&f->err,
			"send {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"...\"}");
	}
	if (error && result)
		return refuse(f, RPC_INVALID_REQUEST,
			      "a response with both result and error");
	if (error && !cJSON_IsObject(error))
		return refuse(f, RPC_INVALID_REQUEST,
			      "a response whose error is no object");
	if (!id || (cJSON_IsNull(id) && !error))
		return refuse(f, RPC_INVALID_REQUEST, "a response without an id");
	return keep_id(m, id, f);
}

static int classify_call(struct rpc_msg *m, const struct cJSON *id, struct rpc_fault *f)
{
	const struct cJSON *method = js_get(m->root, "method");
	const struct cJSON *params = js_get(m->root, "params");

	m->kind = id ? RPC_REQUEST : RPC_NOTIFICATION;
	if (js_get(m->root, "result") || js_get(m->root, "error"))
		return refuse(f, RPC_INVALID_REQUEST,
			      "the message has a method and an answer");
	if (!js_is_str(method))
		return refuse(f, RPC_INVALID_REQUEST, "method must be a string");
	if (cJSON_IsNull(id)) {
		refuse(f, RPC_INVALID_REQUEST, "the id of a request is null");
		return err_fix(&f->err,
			       "use a string or a number as id; leave id out of a "
			       "notification");
	}
	if (params && !cJSON_IsObject(params) && !cJSON_IsNull(params)) {
		refuse(f, RPC_INVALID_PARAMS, "params must be an object");
		return err_fix(&f->err, "pass parameters by name: \"params\":{...}");
	}
	m->method = js_str(method);
	m->params = cJSON_IsObject(params) ? params : NULL;
	return id ? keep_id(m, id, f) : 0;
}

static int classify(struct rpc_msg *m, struct rpc_fault *f)
{
	const struct cJSON *id = js_get(m->root, "id");

	if (cJSON_IsArray(m->root)) {
		f->batch = true;
		refuse(f, RPC_INVALID_REQUEST,
		       "batches (arrays of messages) are not taken");
		return err_fix(&f->err, "send each message by itself");
	}
	if (!cJSON_IsObject(m->root))
		return refuse(f, RPC_INVALID_REQUEST,
			      "a message must be a JSON object");
	if (!sv_eq(js_str(js_get(m->root, "jsonrpc")), SV("2.0"))) {
		refuse(f, RPC_INVALID_REQUEST,
		       "the member jsonrpc is missing or not \"2.0\"");
		return err_fix(&f->err, "add \"jsonrpc\":\"2.0\" to the message");
	}
	if (id && !cJSON_IsString(id) && !cJSON_IsNumber(id) && !cJSON_IsNull(id))
		return refuse(f, RPC_INVALID_REQUEST,
			      "the id must be a string or a number");
	if (js_get(m->root, "method"))
		return classify_call(m, id, f);
	return classify_response(m, id, f);
}

static int parse(struct sv bytes, struct rpc_msg *m, struct rpc_fault *f,
		 size_t *ret_defect)
{
	static const enum rpc_code code_of[] = {
		[RPC_SCAN_OK] = RPC_INTERNAL_ERROR,
		[RPC_SCAN_BROKEN] = RPC_PARSE_ERROR,
		[RPC_SCAN_REFUSED] = RPC_INVALID_REQUEST,
		[RPC_SCAN_NO_MEMORY] = RPC_INTERNAL_ERROR,
	};
	struct rpc_scan_result r;
	int bad = rpc_scan(bytes, &r, &f->err);

	*ret_defect = r.at;
	f->code = code_of[r.verdict];
	if (bad)
		return -1;
	m->owned = build_tree(bytes, r.long_number, &f->err);
	m->root = m->owned;
	m->source = bytes;
	return m->owned ? classify(m, f) : -1;
}

int rpc_parse(struct sv bytes, struct rpc_msg *ret, struct rpc_fault *fault)
{
	size_t defect;

	*ret = (struct rpc_msg){.kind = RPC_NOTIFICATION};
	*fault = (struct rpc_fault){.code = RPC_INTERNAL_ERROR};
	buf_init(&ret->id_text, RPC_MAX_ID_BYTES);
	buf_init(&fault->id_text, RPC_MAX_ID_BYTES);
	if (!parse(bytes, ret, fault, &defect))
		return 0;
	rpc_msg_finish(ret);
	/* over the size limit the text was not even looked at */
	if (bytes.n <= RPC_MAX_MESSAGE_BYTES)
		buf_sv(&fault->id_text, rpc_salvage_id(bytes, defect));
	return -1;
}

void rpc_msg_finish(struct rpc_msg *m)
{
	if (!m)
		return;
	cJSON_Delete(m->owned);
	buf_finish(&m->id_text);
	*m = (struct rpc_msg){.kind = RPC_NOTIFICATION};
}

void rpc_fault_finish(struct rpc_fault *f)
{
	if (f)
		buf_finish(&f->id_text);
}

int rpc_scalar_text(const struct rpc_msg *m, const struct cJSON *v, struct buf *ret)
{
	struct sv raw;
	int64_t whole;

	if (!cJSON_IsString(v) && !cJSON_IsNumber(v))
		return -1;
	raw = rpc_raw_of(m->source, m->root, v);
	/* a string that was coerced into a number is still a string in the source */
	if (raw.n && (raw.p[0] == '"') == (bool)cJSON_IsString(v)) {
		if (raw.n > RPC_MAX_ID_BYTES)
			return -1;
		buf_sv(ret, raw);
	} else if (cJSON_IsString(v)) {
		if (js_str(v).n >
		    RPC_MAX_ID_BYTES / 6) /* \u00XX for each byte at most */
			return -1;
		json_quote(ret, js_str(v));
	} else if (!js_int(v, &whole)) {
		buf_fmt(ret, "%" PRId64, whole);
	} else {
		return -1;
	}
	return ret->failed ? -1 : 0;
}
