/* runtimes.c: the languages of --runtimes, behind those built in. */
#include "mcp/runtimes.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"
#include "schemas/rows.h"
#include "schemas/schemas.h"

#include <cjson/cJSON.h>

static int bad_file(const char *name, struct err *e)
{
	return err_fix(e, "correct %.200s; it has the form of schemas/runtimes.json",
		       name);
}

static int read_text(const char *name, struct buf *ret, struct err *e)
{
	buf_init(ret, RUNTIMES_MAX_BYTES);
	if (!fd_read_file(name, ret, e)) {
		buf_byte(ret, '\0');
		return ret->failed ? err_set(e, ERR_LIMIT, "%.200s is too long", name)
				   : 0;
	}
	return err_fix(
		e, "name a file of at most %d bytes that can be read, with --runtimes",
		RUNTIMES_MAX_BYTES - 1);
}

/* The tree must stay: rows borrow from it. */
static int add_rows(const struct cJSON *tree, struct rows *all, struct err *e)
{
	const unsigned built_in = pol_runtimes_count;

	memcpy(all->row, pol_runtimes, built_in * sizeof(*all->row));
	all->n = built_in;
	if (rows_add(all, js_get(tree, "runtimes")))
		return err_set(e, ERR_INVALID, "%s", all->why);
	for (unsigned i = built_in; i < all->n; i++)
		if (all->row[i].driver[0] || all->row[i].zygote[0] ||
		    all->row[i].ahead[0])
			return err_set(e, ERR_INVALID,
				       "runtimes[%u].%s must be empty: drivers are "
				       "built in",
				       i - built_in,
				       all->row[i].driver[0]   ? "driver"
				       : all->row[i].zygote[0] ? "zygote"
							       : "ahead");
	return 0;
}

int runtimes_load(const char **given, struct err *e)
{
	static struct rows all;
	const char *name = *given;
	struct cJSON *tree, *schema;
	struct buf text = {0}; /* lives as long as the process */
	int bad;

	if (*name != '{') {
		if (read_text(name, &text, e))
			return -1;
		*given = text.p + strspn(text.p, " \t\r\n");
	}
	tree = rpc_json_parse(sv_of(*given), e);
	if (!tree)
		return bad_file(name, e);
	schema = rpc_json_parse(schemas_get("runtimes.schema.json"), e);
	bad = !schema || rpc_schema_check(schema, tree, false, e);
	cJSON_Delete(schema);
	if (bad || add_rows(tree, &all, e)) {
		cJSON_Delete(tree);
		return bad_file(name, e);
	}
	pol_runtimes = all.row;
	pol_runtimes_count = all.n;
	return 0;
}
