/* list.c: tools/list, prompts/list, resources/list, resources/templates/list, and their pages.
 *
 * A cursor is opaque to clients, but may be anything when it comes back: in clear it is
 * KIND:INDEX:URI, in hexadecimal on the wire. INDEX counts entries (of resources: sources, and URI
 * is the last one shown). One that does not read back exactly is refused. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

struct page {
	char kind; /* which list: t p r m */
	const char *member; /* of the result */
	size_t n; /* entries, or sources, there are */
	size_t at; /* the first one to show */
	struct buf uri; /* of resources: the last one shown */
};

/* --- cursors ----------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

static int from_hex(struct sv s, struct buf *ret)
{
	if (s.n % 2 || s.n > 2 * (size_t)(PROTO_MAX_URI_BYTES + 32))
		return -1;
	for (size_t i = 0; i < s.n; i += 2) {
		int hi = hex_value(s.p[i]), lo = hex_value(s.p[i + 1]);

		if (hi < 0 || lo < 0)
			return -1;
		buf_byte(ret, (char)(hi << 4 | lo));
	}
	return ret->failed ? -1 : 0;
}

static int parse_cursor(struct page *page, struct sv text)
{
	struct sv rest, kind, index;
	uint64_t at;
	bool more = true;
	AUTO_BUF clear = {0};

	buf_init(&clear, PROTO_MAX_URI_BYTES + 32);
	if (from_hex(text, &clear))
		return -1;
	rest = buf_view(&clear);
	if (!sv_cut(&rest, ':', &more, &kind) || !sv_cut(&rest, ':', &more, &index) ||
	    !more)
		return -1;
	if (kind.n != 1 || kind.p[0] != page->kind || sv_to_u64(index, &at) ||
	    at >= page->n || (rest.n && page->kind != 'r') || !sv_valid_utf8(rest))
		return -1;
	page->at = (size_t)at;
	buf_sv(&page->uri, rest);
	return page->uri.failed ? -1 : 0;
}

static int read_cursor(const struct proto_ctx *c, struct page *page)
{
	const struct cJSON *cursor = js_get(c->m->params, "cursor");
	struct err e = {0};

	if (!cursor || cJSON_IsNull(cursor))
		return 0;
	if (js_is_str(cursor) && !parse_cursor(page, js_str(cursor)))
		return 0;
	err_set(&e, ERR_INVALID, "Invalid params: cursor is none that was handed out");
	err_fix(&e, "ask without a cursor, then with the nextCursor of each answer");
	proto_fail(c, RPC_INVALID_PARAMS, &e, (struct sv){0});
	return -1;
}

static void write_cursor(struct jw *w, const struct page *page)
{
	AUTO_BUF clear = {0};
	AUTO_BUF text = {0};

	buf_init(&clear, PROTO_MAX_URI_BYTES + 32);
	buf_init(&text, 2 * (size_t)(PROTO_MAX_URI_BYTES + 32));
	buf_fmt(&clear, "%c:%zu:", page->kind, page->at);
	buf_sv(&clear, buf_view(&page->uri));
	buf_hex(&text, clear.p, clear.n);
	if (clear.failed || text.failed)
		w->b->failed = true;
	jw_kstr(w, "nextCursor", buf_view(&text));
}

/* --- pages ------------------------------------------------------------------------------------- */

/* Writes entries from page->at on, sets it to the first that is left; true when one is. */
typedef bool entries_fn(const struct proto_ctx *c, struct page *page, struct jw *w);

static void answer(const struct proto_ctx *c, struct page *page, entries_fn *write,
		   int64_t ttl_ms)
{
	bool more;
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&page->uri, PROTO_MAX_URI_BYTES);
	if (!read_cursor(c, page)) {
		buf_init(&b, PROTO_MAX_RESULT_BYTES);
		jw_init(&w, &b);
		jw_obj(&w);
		jw_key(&w, page->member);
		jw_arr(&w);
		more = write(c, page, &w);
		jw_arr_end(&w);
		if (more)
			write_cursor(&w, page);
		proto_write_cache(&w, c->rev, ttl_ms);
		proto_write_result_meta(&w, c->rev);
		jw_obj_end(&w);
		proto_reply(c, &b);
	}
	buf_finish(&page->uri);
}

static bool write_items(const struct proto_ctx *c, struct page *page, struct jw *w)
{
	struct proto_item *v =
		page->kind == 't' ? c->s->catalog.tools : c->s->catalog.prompts;
	size_t end = page->at + PROTO_PAGE;

	for (; page->at < page->n && page->at < end; page->at++)
		proto_item_write(&v[page->at], c->rev, w);
	return page->at < page->n;
}

void proto_on_tools_list(struct proto_ctx *c)
{
	struct page page = {.kind = 't', .member = "tools", .n = c->s->catalog.ntools};

	answer(c, &page, write_items, PROTO_LIST_TTL_MS);
}

void proto_on_prompts_list(struct proto_ctx *c)
{
	struct page page = {
		.kind = 'p', .member = "prompts", .n = c->s->catalog.nprompts};

	answer(c, &page, write_items, PROTO_LIST_TTL_MS);
}

/* --- resources --------------------------------------------------------------------------------- */

static void member(struct jw *w, const char *key, struct sv v)
{
	if (v.n)
		jw_kstr(w, key, v);
}

struct listing {
	const struct proto_ctx *c;
	struct page *page;
	struct jw *w;
	unsigned shown;
	bool unnamed; /* one whose URI no cursor can hold was shown last */
};

static void put_resource(void *arg, const struct resource *r)
{
	struct listing *l = arg;

	if (r->uri.n > PROTO_MAX_URI_BYTES)
		return;
	l->shown++;
	jw_obj(l->w);
	jw_kstr(l->w, "uri", r->uri);
	jw_kstr(l->w, "name", r->name);
	if (l->c->rev->structured)
		member(l->w, "title", r->title);
	member(l->w, "description", r->description);
	member(l->w, "mimeType", r->mime);
	if (r->size >= 0)
		jw_kint(l->w, "size", r->size);
	jw_obj_end(l->w);
	buf_reset(&l->page->uri);
	buf_sv(&l->page->uri, r->uri);
}

static bool write_resources(const struct proto_ctx *c, struct page *page, struct jw *w)
{
	const struct tool_env env = proto_peer_env(c->p);
	struct listing l = {.c = c, .page = page, .w = w};

	while (page->at < page->n && l.shown < PROTO_PAGE) {
		const struct resource_source *src = proto_source_at(c->s, page->at);
		/* its own copy: put_resource changes page->uri */
		AUTO_BUF after = {0};

		buf_init(&after, PROTO_MAX_URI_BYTES);
		buf_sv(&after, buf_view(&page->uri));
		if (src->list && src->list(&env, buf_view(&after), PROTO_PAGE - l.shown,
					   put_resource, &l))
			return true;
		buf_reset(&page->uri);
		page->at++;
	}
	return page->at < page->n;
}

void proto_on_resources_list(struct proto_ctx *c)
{
	struct page page = {
		.kind = 'r', .member = "resources", .n = c->s->catalog.nsources};

	answer(c, &page, write_resources, 0);
}

static bool write_templates(const struct proto_ctx *c, struct page *page, struct jw *w)
{
	size_t end = page->at + PROTO_PAGE;

	for (; page->at < page->n && page->at < end; page->at++) {
		const struct resource_source *src;
		const struct resource_template *t =
			proto_template_at(c->s, page->at, &src);

		jw_obj(w);
		jw_kstr(w, "uriTemplate", sv_of(t->uri_template));
		jw_kstr(w, "name", sv_of(t->name));
		if (c->rev->structured)
			member(w, "title", sv_of(t->title));
		member(w, "description", sv_of(t->description));
		member(w, "mimeType", sv_of(t->mime));
		jw_obj_end(w);
	}
	return page->at < page->n;
}

void proto_on_templates_list(struct proto_ctx *c)
{
	struct page page = {.kind = 'm',
			    .member = "resourceTemplates",
			    .n = c->s->catalog.ntemplates};

	answer(c, &page, write_templates, PROTO_LIST_TTL_MS);
}
