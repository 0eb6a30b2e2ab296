/* catalog.c: the tools' schema files, checked once, as tools/list shows them. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"
#include "schemas/schemas.h"

#include <cjson/cJSON.h>

#define MAX_SCHEMA_BYTES ((size_t)256 << 10)

static void print_member(const struct cJSON *doc, const char *key, struct buf *ret)
{
	const struct cJSON *v = js_get(doc, key);
	char *text;

	buf_init(ret, MAX_SCHEMA_BYTES);
	if (!v)
		return;
	text = cJSON_PrintUnformatted(v);
	if (text)
		buf_str(ret, text);
	else
		ret->failed = true;
	cJSON_free(text);
}

static int load(struct proto_tool *t, struct sv text, struct err *e)
{
	const char *file = t->tool->schema_file;
	struct err why = {0};

	t->doc = rpc_json_parse(text, &why);
	if (!t->doc)
		return err_set(e, ERR_INTERNAL, "schema %s: %s", file,
			       text.n ? why.cause
				      : "there is no such file in this program");
	t->input = js_get(t->doc, "inputSchema");
	if (!sv_eq(js_str(js_get(t->doc, "name")), sv_of(t->tool->name)))
		return err_set(e, ERR_INTERNAL, "schema %s: its name is not %s", file,
			       t->tool->name);
	if (!js_str(js_get(t->doc, "description")).n || !cJSON_IsObject(t->input))
		return err_set(e, ERR_INTERNAL,
			       "schema %s: no description or inputSchema", file);
	print_member(t->doc, "inputSchema", &t->input_json);
	print_member(t->doc, "outputSchema", &t->output_json);
	print_member(t->doc, "annotations", &t->annotations_json);
	if (t->input_json.failed || t->output_json.failed || t->annotations_json.failed)
		return err_set(e, ERR_LIMIT, "schema %s: no memory for it", file);
	return 0;
}

int proto_catalog_init(struct proto_catalog *c, const struct proto_opts *o,
		       struct err *e)
{
	*c = (struct proto_catalog){0};
	c->v = mem_zalloc(o->tools_count * sizeof(*c->v));
	if (!c->v)
		return err_set(e, ERR_LIMIT, "no memory for the tool table");
	for (; c->n < o->tools_count; c->n++) {
		struct proto_tool *t = &c->v[c->n];

		t->tool = &o->tools[c->n];
		if (load(t,
			 o->schema ? o->schema(t->tool->schema_file)
				   : schemas_get(t->tool->schema_file),
			 e)) {
			c->n++;
			proto_catalog_finish(c);
			return -1;
		}
	}
	return 0;
}

void proto_catalog_finish(struct proto_catalog *c)
{
	for (size_t i = 0; i < c->n; i++) {
		cJSON_Delete(c->v[i].doc);
		buf_finish(&c->v[i].input_json);
		buf_finish(&c->v[i].output_json);
		buf_finish(&c->v[i].annotations_json);
	}
	mem_free(c->v);
	*c = (struct proto_catalog){0};
}

const struct proto_tool *proto_catalog_find(const struct proto_catalog *c,
					    struct sv name)
{
	for (size_t i = 0; i < c->n; i++)
		if (sv_eq(sv_of(c->v[i].tool->name), name))
			return &c->v[i];
	return NULL;
}

static void list_tool(const struct proto_tool *t, const struct proto_revision *rev,
		      struct jw *w)
{
	struct sv title = js_str(js_get(t->doc, "title"));

	jw_obj(w);
	jw_kstr(w, "name", sv_of(t->tool->name));
	if (rev->structured && title.n)
		jw_kstr(w, "title", title);
	jw_kstr(w, "description", js_str(js_get(t->doc, "description")));
	jw_kraw(w, "inputSchema", buf_view(&t->input_json));
	if (rev->structured && t->output_json.n)
		jw_kraw(w, "outputSchema", buf_view(&t->output_json));
	if (rev->annotations && t->annotations_json.n)
		jw_kraw(w, "annotations", buf_view(&t->annotations_json));
	jw_obj_end(w);
}

void proto_catalog_list(const struct proto_catalog *c, const struct proto_revision *rev,
			struct jw *w)
{
	jw_arr(w);
	for (size_t i = 0; i < c->n; i++)
		list_tool(&c->v[i], rev, w);
	jw_arr_end(w);
}

void proto_catalog_names(const struct proto_catalog *c, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < c->n && at < size; i++)
		at += (size_t)snprintf(dst + at, size - at, "%s%s", i ? ", " : "",
				       c->v[i].tool->name);
}
