/* f_headers.c: any header values against any body of a modern message.
 *
 * The input is "name: value" lines up to a NUL, then the body. What must hold: nothing is accepted
 * that a proxy could read as something else: Mcp-Method is there once and is the method, and a
 * refusal says why. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema[] =
	"{\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"},"
	"\"b\":{\"type\":\"integer\",\"x-mcp-header\":\"B\"},"
	"\"c\":{\"properties\":{\"d\":{\"type\":\"boolean\",\"x-mcp-header\":\"D\"}}}}}}";

static unsigned get(void *arg, const char *name, struct sv *ret)
{
	const struct sv *all = arg;
	struct sv rest = *all, line;
	bool more = true;
	unsigned n = 0;

	while (sv_cut(&rest, '\n', &more, &line)) {
		ptrdiff_t colon = sv_find(line, ':');

		if (colon < 0 ||
		    !sv_eq((struct sv){line.p, (size_t)colon}, sv_of(name)))
			continue;
		if (!n++)
			*ret = (struct sv){line.p + colon + 1,
					   line.n - (size_t)colon - 1};
	}
	return n;
}

static void check(struct proto_in *in, const struct proto_item *tool)
{
	struct err e = {0};
	struct sv v = {0};
	bool good = !proto_check_headers(in, &e);

	must(good == !e.code && (good || e.cause[0]));
	if (good) {
		must(get(in->headers->arg, "mcp-method", &v) == 1);
		must(sv_eq(sv_trim(v), in->msg.method));
	}
	err_clear(&e);
	good = !proto_check_param_headers(in, tool, js_get(in->msg.params, "arguments"),
					  &e);
	must(good == !e.code && (good || e.cause[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proto_item tool;
	const uint8_t *nul = memchr(data, 0, size);
	struct sv all = {(const char *)data, nul ? (size_t)(nul - data) : size};
	struct proto_headers h = {.get = get, .arg = &all};
	struct proto_in in = {.headers = &h};

	if (!tool.doc)
		tool.doc = rpc_json_parse(sv_of(schema), NULL);
	if (!nul)
		return 0;
	all.n = (size_t)(nul - data);
	if (!rpc_parse((struct sv){(const char *)nul + 1, size - all.n - 1}, &in.msg,
		       &in.fault))
		check(&in, &tool);
	rpc_msg_finish(&in.msg);
	rpc_fault_finish(&in.fault);
	return 0;
}
