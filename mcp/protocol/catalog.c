/* catalog.c: the schema files of tools and prompts, checked once when the server starts. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"
#include "schemas/schemas.h"

#include <cjson/cJSON.h>

const char *proto_item_name(const struct proto_item *t)
{
	return t->tool ? t->tool->name : t->prompt->name;
}

int proto_print(const struct cJSON *v, struct buf *ret)
{
	char *text = cJSON_PrintUnformatted(v);

	if (text)
		buf_str(ret, text);
	else
		ret->failed = true;
	cJSON_free(text);
	return ret->failed ? -1 : 0;
}

/* --- loading ----------------------------------------------------------------------------------- */

/* What is not known of an inputSchema is shown to the client but not checked. */
static int load_input(struct proto_item *t, struct err *e)
{
	const struct cJSON *input = js_get(t->doc, "inputSchema");
	struct err why = {0};

	if (!cJSON_IsObject(input))
		return err_set(e, ERR_INTERNAL, "schema %s: no inputSchema",
			       t->tool->schema_file);
	t->input = rpc_schema_known(input);
	if (!t->input)
		return err_set(e, ERR_LIMIT, "schema %s: no memory for it",
			       t->tool->schema_file);
	if (rpc_schema_lint(t->input, &why))
		return err_set(e, ERR_INTERNAL, "schema %s: %s", t->tool->schema_file,
			       why.cause);
	return 0;
}

static int load_prompt(const struct proto_item *t, struct err *e)
{
	const struct cJSON *a, *list = js_get(t->doc, "arguments");

	if (list && !cJSON_IsArray(list))
		return err_set(e, ERR_INTERNAL, "schema %s: arguments is no list",
			       t->prompt->schema_file);
	cJSON_ArrayForEach(a, list)
	{
		if (!js_str(js_get(a, "name")).n)
			return err_set(e, ERR_INTERNAL,
				       "schema %s: an argument without a name",
				       t->prompt->schema_file);
	}
	if (!t->prompt->start && !cJSON_IsArray(js_get(t->doc, "messages")))
		return err_set(e, ERR_INTERNAL, "schema %s: no messages",
			       t->prompt->schema_file);
	return 0;
}

static int load(struct proto_item *t, const struct proto_server_opts *o, struct err *e)
{
	const char *file = t->tool ? t->tool->schema_file : t->prompt->schema_file;
	struct sv text = o->schema ? o->schema(file) : schemas_get(file);
	struct err why = {0};

	t->doc = rpc_json_parse(text, &why);
	if (!t->doc)
		return err_set(e, ERR_INTERNAL, "schema %s: %s", file,
			       text.n ? why.cause
				      : "there is no such file in this program");
	if (!sv_eq(js_str(js_get(t->doc, "name")), sv_of(proto_item_name(t))))
		return err_set(e, ERR_INTERNAL, "schema %s: its name is not %s", file,
			       proto_item_name(t));
	if (!js_str(js_get(t->doc, "description")).n)
		return err_set(e, ERR_INTERNAL, "schema %s: no description", file);
	return t->tool ? load_input(t, e) : load_prompt(t, e);
}

static const struct proto_item *find(const struct proto_item *v, size_t n,
				     struct sv name)
{
	for (size_t i = 0; i < n; i++)
		if (sv_eq(sv_of(proto_item_name(&v[i])), name))
			return &v[i];
	return NULL;
}

/* Takes `from` into v[*n]. */
static int add(struct proto_item *v, size_t *n, const struct proto_item *from,
	       const struct proto_server_opts *o, struct err *e)
{
	const char *name;

	must(from->tool || from->prompt);
	name = proto_item_name(from);

	if (find(v, *n, sv_of(name)))
		return err_set(e, ERR_INTERNAL, "two are called %s", name);
	v[*n] = *from;
	*n += 1;
	return load(&v[*n - 1], o, e);
}

static int add_set(struct proto_catalog *c, const struct tool_set *set,
		   const struct proto_server_opts *o, struct err *e)
{
	struct proto_item item = {.set = set};

	for (size_t i = 0; i < set->ntools; i++) {
		item.tool = &set->tools[i];
		if (add(c->tools, &c->ntools, &item, o, e))
			return -1;
		c->tasks = c->tasks || item.tool->task != TOOL_TASK_NEVER;
	}
	item.tool = NULL;
	for (size_t i = 0; i < set->nprompts; i++) {
		item.prompt = &set->prompts[i];
		if (add(c->prompts, &c->nprompts, &item, o, e))
			return -1;
	}
	c->completes = c->completes || (set->nprompts && set->complete_prompt);
	for (size_t i = 0; i < set->nsources; i++) {
		c->nsources++;
		c->ntemplates += set->sources[i].ntemplates;
		c->completes = c->completes || set->sources[i].complete;
	}
	return 0;
}

int proto_catalog_init(struct proto_catalog *c, const struct proto_server_opts *o,
		       struct err *e)
{
	size_t tools = 0, prompts = 0;

	*c = (struct proto_catalog){0};
	for (size_t i = 0; i < o->nsets; i++) {
		tools += o->sets[i]->ntools;
		prompts += o->sets[i]->nprompts;
	}
	c->tools = mem_zalloc((tools + 1) * sizeof(*c->tools));
	c->prompts = mem_zalloc((prompts + 1) * sizeof(*c->prompts));
	if (!c->tools || !c->prompts) {
		proto_catalog_finish(c);
		return err_set(e, ERR_LIMIT, "no memory for the tool table");
	}
	for (size_t i = 0; i < o->nsets; i++)
		if (add_set(c, o->sets[i], o, e)) {
			proto_catalog_finish(c);
			return -1;
		}
	return 0;
}

struct proto_shown {
	struct proto_shown *next;
	const struct proto_revision *rev;
	size_t n;
	char text[];
};

static void finish(struct proto_item *v, size_t n)
{
	for (size_t i = 0; v && i < n; i++) {
		for (struct proto_shown *s = v[i].shown, *next; s; s = next) {
			next = s->next;
			mem_free(s);
		}
		cJSON_Delete(v[i].doc);
		cJSON_Delete(v[i].input);
	}
	mem_free(v);
}

void proto_catalog_finish(struct proto_catalog *c)
{
	finish(c->tools, c->ntools);
	finish(c->prompts, c->nprompts);
	*c = (struct proto_catalog){0};
}

/* --- looking up -------------------------------------------------------------------------------- */

const struct proto_item *proto_catalog_tool(const struct proto_catalog *c,
					    struct sv name)
{
	return find(c->tools, c->ntools, name);
}

const struct proto_item *proto_catalog_prompt(const struct proto_catalog *c,
					      struct sv name)
{
	return find(c->prompts, c->nprompts, name);
}

void proto_catalog_names(const struct proto_item *v, size_t n, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < n && at < size; i++)
		at += (size_t)snprintf(dst + at, size - at, "%s%s", i ? ", " : "",
				       proto_item_name(&v[i]));
}

const struct resource_source *proto_source_at(const struct proto_server *s, size_t i)
{
	for (size_t k = 0; k < s->o.nsets; k++) {
		if (i < s->o.sets[k]->nsources)
			return &s->o.sets[k]->sources[i];
		i -= s->o.sets[k]->nsources;
	}
	return NULL;
}

/* The one with the longest prefix: a source may lie within another's. */
const struct resource_source *proto_source_of(const struct proto_server *s,
					      struct sv uri)
{
	const struct resource_source *found = NULL, *x;

	for (size_t i = 0; (x = proto_source_at(s, i)); i++)
		if (sv_starts(uri, sv_of(x->prefix)) &&
		    (!found || sv_of(x->prefix).n > sv_of(found->prefix).n))
			found = x;
	return found;
}

const struct resource_template *proto_template_at(
	const struct proto_server *s, size_t i,
	const struct resource_source **ret_source)
{
	const struct resource_source *x;

	for (size_t k = 0; (x = proto_source_at(s, k)); k++) {
		if (i < x->ntemplates) {
			*ret_source = x;
			return &x->templates[i];
		}
		i -= x->ntemplates;
	}
	return NULL;
}

/* --- showing ----------------------------------------------------------------------------------- */

static void copy_member(struct jw *w, const struct cJSON *doc, const char *key)
{
	const struct cJSON *v = js_get(doc, key);
	AUTO_BUF text = {0};

	if (!v)
		return;
	buf_init(&text, PROTO_MAX_RESULT_BYTES);
	if (proto_print(v, &text))
		w->b->failed = true;
	else
		jw_kraw(w, key, buf_view(&text));
}

static void write_item(const struct proto_item *t, const struct proto_revision *rev,
		       struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "name", sv_of(proto_item_name(t)));
	if (rev->structured)
		copy_member(w, t->doc, "title");
	copy_member(w, t->doc, "description");
	if (rev->icons)
		copy_member(w, t->doc, "icons");
	if (t->tool) {
		copy_member(w, t->doc, "inputSchema");
		if (rev->structured)
			copy_member(w, t->doc, "outputSchema");
		if (rev->annotations)
			copy_member(w, t->doc, "annotations");
		proto_tasks_write_tool(w, t->tool, rev);
	} else {
		copy_member(w, t->doc, "arguments");
	}
	if (rev->structured)
		copy_member(w, t->doc, "_meta");
	jw_obj_end(w);
}

/* NULL without memory. Printing the trees anew would be nearly all that a list costs. */
static const struct proto_shown *show(struct proto_item *t,
				      const struct proto_revision *rev)
{
	struct proto_shown *s = t->shown;
	AUTO_BUF text = {0};
	struct jw w;

	while (s && s->rev != rev)
		s = s->next;
	if (s)
		return s;
	buf_init(&text, PROTO_MAX_RESULT_BYTES);
	jw_init(&w, &text);
	write_item(t, rev, &w);
	s = text.failed ? NULL : mem_alloc(sizeof(*s) + text.n);
	if (!s)
		return NULL;
	*s = (struct proto_shown){.next = t->shown, .rev = rev, .n = text.n};
	memcpy(s->text, text.p, text.n);
	t->shown = s;
	return s;
}

void proto_item_write(struct proto_item *t, const struct proto_revision *rev,
		      struct jw *w)
{
	const struct proto_shown *s = show(t, rev);

	if (s)
		jw_raw(w, (struct sv){s->text, s->n});
	else
		w->b->failed = true;
}
