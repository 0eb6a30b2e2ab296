/* prompts.c: prompts that are only text: the schema file's messages with {{argument}} filled in, as
 * tools.h says. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

/* The argument's value as given, or NULL for a name that is no argument. */
static const struct sv *value_of(const struct cJSON *doc, const struct cJSON *args,
				 struct sv name, struct sv *room)
{
	const struct cJSON *a;

	cJSON_ArrayForEach(a, js_get(doc, "arguments"))
	{
		if (!sv_eq(js_str(js_get(a, "name")), name))
			continue;
		*room = js_str(js_get(args, js_str(js_get(a, "name")).p));
		return room;
	}
	return NULL;
}

/* The text between "{{" at s.p and the next "}}"; empty when there is none. */
static struct sv name_at(struct sv s)
{
	struct sv name = {s.p + 2, 0};

	if (!sv_starts(s, SV("{{")))
		return (struct sv){0};
	while (name.n + 4 <= s.n &&
	       !sv_starts((struct sv){name.p + name.n, 2}, SV("}}")))
		name.n++;
	return name.n + 4 <= s.n ? name : (struct sv){0};
}

/* One pass: what an argument brings is never looked at again. False: one has nothing to bring. */
static bool fill_line(const struct cJSON *doc, const struct cJSON *args, struct sv s,
		      struct buf *ret)
{
	while (s.n) {
		struct sv name = name_at(s), room;
		const struct sv *v = name.n ? value_of(doc, args, name, &room) : NULL;
		size_t used = v ? name.n + 4 : 1;

		if (v && !v->n)
			return false;
		buf_sv(ret, v ? *v : (struct sv){s.p, 1});
		s = (struct sv){s.p + used, s.n - used};
	}
	return true;
}

static void fill_text(const struct cJSON *doc, const struct cJSON *args, struct sv s,
		      struct buf *ret)
{
	struct sv line;
	bool more = true, any = false;

	while (sv_cut(&s, '\n', &more, &line)) {
		AUTO_BUF filled = {0};

		buf_init(&filled, PROTO_MAX_RESULT_BYTES);
		if (!fill_line(doc, args, line, &filled))
			continue;
		if (any)
			buf_byte(ret, '\n');
		any = true;
		buf_sv(ret, buf_view(&filled));
		ret->failed = ret->failed || filled.failed;
	}
}

/* A message whose text was made of arguments that were not given. */
static bool is_left_out(const struct cJSON *doc, const struct cJSON *args,
			const struct cJSON *message)
{
	struct sv text = js_str(js_get(js_get(message, "content"), "text"));
	AUTO_BUF filled = {0};

	buf_init(&filled, PROTO_MAX_RESULT_BYTES);
	fill_text(doc, args, text, &filled);
	return text.n && !filled.n && !filled.failed;
}

/* Recursion follows the schema file, which is ours. */
static void write_filled(const struct cJSON *doc, const struct cJSON *args,
			 const struct cJSON *v, struct jw *w)
{
	const struct cJSON *m;
	AUTO_BUF text = {0};

	buf_init(&text, PROTO_MAX_RESULT_BYTES);
	if (cJSON_IsString(v)) {
		fill_text(doc, args, js_str(v), &text);
		jw_str(w, buf_view(&text));
	} else if (cJSON_IsObject(v)) {
		jw_obj(w);
		for (m = v->child; m; m = m->next) {
			jw_key(w, m->string);
			write_filled(doc, args, m, w);
		}
		jw_obj_end(w);
	} else if (cJSON_IsArray(v)) {
		jw_arr(w);
		for (m = v->child; m; m = m->next)
			write_filled(doc, args, m, w);
		jw_arr_end(w);
	} else {
		proto_print(v, &text);
		jw_raw(w, buf_view(&text));
	}
	if (text.failed)
		w->b->failed = true;
}

int proto_prompt_fill(const struct proto_item *prompt, const struct cJSON *args,
		      struct buf *ret_members, struct err *e)
{
	const struct cJSON *m;
	struct jw w;

	jw_init(&w, ret_members);
	jw_kstr(&w, "description", js_str(js_get(prompt->doc, "description")));
	jw_key(&w, "messages");
	jw_arr(&w);
	cJSON_ArrayForEach(m, js_get(prompt->doc, "messages"))
	{
		if (!is_left_out(prompt->doc, args, m))
			write_filled(prompt->doc, args, m, &w);
	}
	jw_arr_end(&w);
	if (!ret_members->failed)
		return 0;
	err_set(e, ERR_LIMIT, "the prompt did not fit into %zu bytes or into memory",
		PROTO_MAX_RESULT_BYTES);
	return err_fix(e, "send shorter arguments");
}
