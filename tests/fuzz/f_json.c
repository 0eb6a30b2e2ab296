/* f_json.c: bytes -> scan -> tree -> message -> schema -> bytes.
 *
 * What must hold, whatever the bytes: what the scan takes cJSON parses; what is taken is UTF-8
 * without NUL; every fault has words and an id that is itself JSON; every answer written with an
 * id or token from outside is one line that can be read again. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "mcp/jsonrpc/scan.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

static const char sample[] =
	"{\"type\":\"object\",\"properties\":{"
	"\"language\":{\"type\":\"string\",\"enum\":[\"python\",\"bash\"]},"
	"\"code\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64},"
	"\"timeout_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000},"
	"\"ratio\":{\"type\":\"number\"},\"flag\":{\"type\":\"boolean\"},\"one\":{\"const\":1},"
	"\"args\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":3},"
	"\"env\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"
	"\"files\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
	"\"path\":{\"type\":\"string\"},\"mode\":{\"type\":\"integer\"}},"
	"\"required\":[\"path\"],\"additionalProperties\":false}}},"
	"\"additionalProperties\":false}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One line, taken by our own scan. */
static void must_be_json(const struct buf *b)
{
	struct cJSON *t;

	must(!b->failed);
	must(!b->n || (!memchr(b->p, '\n', b->n) && !memchr(b->p, '\r', b->n)));
	t = rpc_json_parse(buf_view(b), NULL);
	must(t);
	cJSON_Delete(t);
}

static void must_read_back(const struct buf *b, struct sv id)
{
	struct rpc_msg m;
	struct rpc_fault f;

	must(!rpc_parse(buf_view(b), &m, &f));
	must(m.kind == RPC_RESPONSE && sv_eq(m.id, id.n ? id : SV("null")));
	rpc_msg_finish(&m);
	rpc_fault_finish(&f);
}

static void write_fault(const struct rpc_fault *f)
{
	AUTO_BUF b;

	must(f->err.code != ERR_NONE && f->err.cause[0] && f->code < 0);
	must(!f->id_text.failed);
	buf_init(&b, 1 << 20);
	rpc_write_error(&b, buf_view(&f->id_text), f->code, &f->err, SV(""));
	must_be_json(&b);
	must_read_back(&b, buf_view(&f->id_text));
}

static void write_answers(const struct rpc_msg *m)
{
	struct err e = {.code = ERR_NONE};
	AUTO_BUF b;

	buf_init(&b, 1 << 20);
	rpc_write_result(&b, m->id, SV("{}"));
	must_be_json(&b);
	if (m->kind == RPC_REQUEST)
		must_read_back(&b, m->id);
	buf_reset(&b);
	err_set(&e, ERR_NOT_FOUND, "no method %.*s", (int)(m->method.n % 400),
		m->method.p);
	rpc_write_error(&b, m->id, RPC_METHOD_NOT_FOUND, &e, SV("\"k\":1"));
	must_be_json(&b);
}

/* The raw text of a scalar means the same as its node. */
static void check_scalars(const struct rpc_msg *m, const struct cJSON *in,
			  unsigned *left)
{
	for (const struct cJSON *v = in->child; v && *left; v = v->next) {
		struct cJSON *again;
		AUTO_BUF b;

		buf_init(&b, RPC_MAX_ID_BYTES);
		check_scalars(m, v, left);
		if (!*left || (!cJSON_IsString(v) && !cJSON_IsNumber(v)))
			continue;
		--*left;
		if (rpc_scalar_text(m, v, &b))
			continue;
		again = rpc_json_parse(buf_view(&b), NULL);
		must(again && (again->type & 0xff) == (v->type & 0xff));
		must(cJSON_IsNumber(v) ? !(again->valuedouble < v->valuedouble) &&
						 !(again->valuedouble > v->valuedouble)
				       : sv_eq(js_str(again), js_str(v)));
		cJSON_Delete(again);
	}
}

static void fuzz_message(struct sv bytes)
{
	struct rpc_msg m;
	struct rpc_fault f;
	unsigned left = 20;

	if (rpc_parse(bytes, &m, &f)) {
		write_fault(&f);
	} else {
		must((m.kind == RPC_NOTIFICATION) == !m.id.n);
		must(!m.params || cJSON_IsObject(m.params));
		must(sv_valid_utf8(m.method));
		write_answers(&m);
		check_scalars(&m, m.root, &left);
	}
	rpc_msg_finish(&m);
	rpc_fault_finish(&f);
}

static void emit_again(const struct cJSON *v)
{
	char *text = cJSON_PrintUnformatted(v);
	AUTO_BUF b;

	must(text);
	buf_init(&b, 16 << 20);
	buf_str(&b, text);
	must_be_json(&b);
	mem_free(text);
}

static void fuzz_value(struct sv bytes, const struct cJSON *schema)
{
	struct err e = {.code = ERR_NONE};
	struct rpc_scan_result r;
	int bad = rpc_scan(bytes, &r, &e);
	struct cJSON *v = rpc_json_parse(bytes, NULL);

	must((bad == 0) == (v != NULL) && (bad == 0) == (r.verdict == RPC_SCAN_OK));
	must(bad ? e.code && e.cause[0] && r.at <= bytes.n
		 : !e.code && r.at == bytes.n);
	if (!v)
		return;
	must(sv_valid_utf8(bytes));
	emit_again(v);
	err_clear(&e);
	bad = rpc_schema_check(schema, v, false, &e);
	must(bad ? e.code == ERR_INVALID && e.cause[0] : !e.code);
	err_clear(&e);
	/* coercion takes all that passed without it, and what it leaves behind is a sound tree */
	must(!rpc_schema_check(schema, v, true, &e) || bad);
	if (!e.code) {
		must(!rpc_schema_check(schema, v, false, NULL));
		emit_again(v);
	}
	rpc_schema_lint(v, NULL);
	cJSON_Delete(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cJSON *schema;
	struct sv bytes = {(const char *)data, size};

	if (!schema)
		schema = rpc_json_parse(sv_of(sample), NULL);
	must(schema);
	fuzz_message(bytes);
	fuzz_value(bytes, schema);
	return 0;
}
