/* fixtures_resources.c: the test:// resources, and completion for the fixtures. See fixtures.h. */
#include "tools/fixtures.h"

#include "sandbox/base/mem.h"

static const struct {
	const char *uri, *name, *title, *mime;
	const char *text, *blob; /* one of the two */
} table[] = {
	{"test://static-text", "static-text", "Static text", "text/plain",
	 "This is the content of the static text resource.", NULL},
	{"test://static-binary", "static-binary", "Static image", "image/png", NULL,
	 FIXTURE_PNG},
	{"test://watched-resource", "watched-resource", "Resource to subscribe to",
	 "text/plain", "This is the content of the watched resource.", NULL},
};

static const struct resource_template templates[] = {
	{.uri_template = "test://template/{id}/data",
	 .name = "template",
	 .title = "Template",
	 .description = "Says which id it was read with",
	 .mime = "application/json"},
};

static bool list(const struct tool_env *env, struct sv after, unsigned max,
		 void (*put)(void *arg, const struct resource *r), void *arg)
{
	bool seen = !after.n;
	unsigned n = 0;

	(void)env;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct resource r = {.uri = sv_of(table[i].uri),
				     .name = sv_of(table[i].name),
				     .title = sv_of(table[i].title),
				     .mime = sv_of(table[i].mime),
				     .size = -1};

		if (seen && n++ == max)
			return true;
		if (seen)
			put(arg, &r);
		else
			seen = sv_eq(after, r.uri);
	}
	return false;
}

/* The id of a URI the template makes; empty when it is none. */
static struct sv template_id(struct sv uri)
{
	const struct sv head = SV("test://template/"), tail = SV("/data");
	struct sv id = {0};

	if (uri.n > head.n + tail.n && sv_starts(uri, head) && sv_ends(uri, tail))
		id = (struct sv){uri.p + head.n, uri.n - head.n - tail.n};
	return sv_find(id, '/') < 0 ? id : (struct sv){0};
}

static void write_contents(struct jw *w, struct sv uri, const char *mime,
			   const char *member, struct sv text)
{
	jw_obj(w);
	jw_kstr(w, "uri", uri);
	jw_kstr(w, "mimeType", sv_of(mime));
	jw_kstr(w, member, text);
	jw_obj_end(w);
}

static void write_template(struct jw *contents, struct sv uri, struct sv id)
{
	AUTO_BUF b = {0};
	AUTO_BUF data = {0};
	struct jw w;

	buf_init(&b, 4 * uri.n + 256);
	buf_init(&data, uri.n + 256);
	buf_fmt(&data, "Data for ID: ");
	buf_sv(&data, id);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "id", id);
	jw_kbool(&w, "templateTest", true);
	jw_kstr(&w, "data", buf_view(&data));
	jw_obj_end(&w);
	write_contents(contents, uri, templates[0].mime, "text", buf_view(&b));
}

static int read_resource(const struct tool_env *env, struct sv uri, struct jw *contents,
			 struct err *e)
{
	struct sv id = template_id(uri);

	(void)env;
	if (id.n) {
		write_template(contents, uri, id);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!sv_eq(uri, sv_of(table[i].uri)))
			continue;
		if (table[i].blob)
			write_contents(contents, uri, table[i].mime, "blob",
				       sv_of(table[i].blob));
		else
			write_contents(contents, uri, table[i].mime, "text",
				       sv_of(table[i].text));
		return 0;
	}
	return err_set(e, ERR_NOT_FOUND, "no such resource: %.*s",
		       (int)(uri.n < 64 ? uri.n : 64), uri.p);
}

static void put_starting(const char *const *values, struct sv value,
			 void (*put)(void *arg, struct sv value), void *arg)
{
	for (; *values; values++)
		if (sv_starts(sv_of(*values), value))
			put(arg, sv_of(*values));
}

static void complete(const struct tool_env *env, const struct resource_template *t,
		     struct sv variable, struct sv value,
		     void (*put)(void *arg, struct sv value), void *arg)
{
	static const char *const ids[] = {"1", "12", "123", "2", NULL};

	(void)env;
	(void)t;
	if (sv_eq(variable, SV("id")))
		put_starting(ids, value, put, arg);
}

void fixture_complete_prompt(const struct tool_env *env, struct sv prompt,
			     struct sv argument, struct sv value,
			     void (*put)(void *arg, struct sv value), void *arg)
{
	static const char *const words[] = {"paris", "park", "party", NULL};

	(void)env;
	if (sv_eq(prompt, SV("test_prompt_with_arguments")) &&
	    (sv_eq(argument, SV("arg1")) || sv_eq(argument, SV("arg2"))))
		put_starting(words, value, put, arg);
}

const struct resource_source fixture_resources = {
	.prefix = "test://",
	.templates = templates,
	.ntemplates = ARRAY_LEN(templates),
	.list = list,
	.read = read_resource,
	.complete = complete,
};
