/* rich.c: one line of a driver -> struct rich. */
#include "tools/rich.h"

#include "sandbox/base/mem.h"

#include <sodium.h>
#include <string.h>

const char *const rich_kind_names[RICH_KINDS] = {"display", "result", "error"};

/* The members that count; others may come later and are passed over. */
struct parts {
	struct sv kind, data, error, call;
};

/* --- items -------------------------------------------------------------------------------------- */

/* The type that stands in quotes, in lower case; -1: none that we would repeat. */
static int read_mime(struct sv quoted, char dst[static RICH_MIME_SIZE])
{
	const struct sv s = {quoted.p + 1, quoted.n - 2};

	if (sv_copy(s, dst, RICH_MIME_SIZE))
		return -1;
	for (char *c = dst; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	return mime_is_plain(sv_of(dst)) ? 0 : -1;
}

static int decode(struct buf *b)
{
	AUTO_BUF bytes = {0};
	const size_t max = b->n / 4 * 3 + 3;
	const char *end = NULL;
	size_t n = 0;
	char *at;

	if (!b->n)
		return 0;
	buf_init(&bytes, max);
	at = buf_reserve(&bytes, max);
	if (!at ||
	    sodium_base642bin((unsigned char *)at, max, b->p, b->n, "\r\n", &n, &end,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    end != b->p + b->n)
		return -1;
	buf_reset(b);
	buf_add(b, at, n);
	return b->failed ? -1 : 0;
}

/* A picture that is none of its type is not handed on as one. */
static void check_type(struct rich_item *it)
{
	static const char *const checked[] = {"image/png", "image/jpeg", "image/gif",
					      "image/webp", "application/pdf"};

	for (size_t i = 0; i < ARRAY_LEN(checked); i++)
		if (!strcmp(it->mime, checked[i]) &&
		    strcmp(mime_of(buf_view(&it->bytes)), it->mime) != 0)
			snprintf(it->mime, sizeof(it->mime),
				 "application/octet-stream");
}

static int fill_item(struct rich_item *it, const struct rich_member *m)
{
	it->is_text = mime_is_text(sv_of(it->mime));
	/* what base64 stands for is shorter, never longer */
	buf_init(&it->bytes, m->value.n);
	if (m->kind == RICH_STRING) {
		rich_unquote(m->value, &it->bytes);
	} else {
		if (!it->is_text || !strstr(it->mime, "json"))
			return -1;
		buf_sv(&it->bytes, m->value);
	}
	if (it->bytes.failed || (!it->is_text && decode(&it->bytes)))
		return -1;
	if (!it->is_text)
		check_type(it);
	return 0;
}

static void add_item(struct rich *r, const struct rich_member *m)
{
	struct rich_item *it = &r->items[r->nitems];

	if (r->nitems == RICH_ITEMS || read_mime(m->name, it->mime))
		goto no;
	for (unsigned i = 0; i < r->nitems; i++)
		if (!strcmp(r->items[i].mime, it->mime))
			goto no;
	if (fill_item(it, m)) {
		buf_finish(&it->bytes);
		goto no;
	}
	r->nitems++;
	return;
no:
	r->left_out++;
}

static int read_data(struct sv data, struct rich *r)
{
	struct rich_member m;
	int more;

	while ((more = rich_next_member(&data, &m)) > 0)
		add_item(r, &m);
	return more;
}

/* --- errors ------------------------------------------------------------------------------------- */

static int set_text(struct rich_item *it, const struct rich_member *m)
{
	if (m->kind != RICH_STRING || it->mime[0])
		return -1;
	snprintf(it->mime, sizeof(it->mime), "text/plain");
	it->is_text = true;
	buf_init(&it->bytes, m->value.n);
	rich_unquote(m->value, &it->bytes);
	return it->bytes.failed ? -1 : 0;
}

static int read_line(const struct rich_member *m, struct rich *r)
{
	int64_t line;

	if (m->kind != RICH_NUMBER || r->line || sv_to_i64(m->value, &line) ||
	    line < 1 || line > INT32_MAX)
		return -1;
	r->line = (uint32_t)line;
	return 0;
}

static int read_error(struct sv error, struct rich *r)
{
	static const char *const names[RICH_ERROR_ITEMS] = {"type", "message",
							    "traceback"};
	struct rich_member m;
	int more, bad = 0;

	r->nitems = RICH_ERROR_ITEMS;
	while ((more = rich_next_member(&error, &m)) > 0) {
		for (int i = 0; i < RICH_ERROR_ITEMS; i++)
			if (rich_is_word(m.name, names[i]))
				bad |= set_text(&r->items[i], &m);
		if (rich_is_word(m.name, "line"))
			bad |= read_line(&m, r);
	}
	return more || bad || !r->items[RICH_TYPE].bytes.n ? -1 : 0;
}

/* --- the line ----------------------------------------------------------------------------------- */

static int read_parts(struct sv line, struct parts *p)
{
	const struct {
		const char *name;
		struct sv *to;
		enum rich_value kind;
	} known[] = {{"kind", &p->kind, RICH_STRING},
		     {"data", &p->data, RICH_OBJECT},
		     {"error", &p->error, RICH_OBJECT},
		     {"call", &p->call, RICH_NUMBER}};
	struct rich_member m;
	int more;

	while ((more = rich_next_member(&line, &m)) > 0)
		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			if (!rich_is_word(m.name, known[i].name))
				continue;
			if (known[i].to->n || m.kind != known[i].kind)
				return -1;
			*known[i].to = m.value;
		}
	return more;
}

static int read_whole(struct sv line, struct rich *r)
{
	struct parts p = {.kind = {0}};
	struct sv object, rest = line;

	if (rich_cut_value(&rest, &object) != RICH_OBJECT || rest.n ||
	    read_parts(object, &p) || !p.kind.n)
		return -1;
	while (!rich_is_word(p.kind, rich_kind_names[r->kind]))
		if (++r->kind == RICH_KINDS)
			return -1;
	if (r->kind == RICH_ERROR)
		return p.error.n && !p.data.n ? read_error(p.error, r) : -1;
	return p.data.n && !p.error.n ? read_data(p.data, r) : -1;
}

int rich_read(struct sv line, struct rich *r)
{
	int bad;

	*r = (struct rich){.kind = RICH_DISPLAY};
	bad = read_whole(line, r);
	/* the loop over the kinds may have left it at none */
	r->kind = bad ? RICH_DISPLAY : r->kind;
	return bad;
}

void rich_finish(struct rich *r)
{
	for (unsigned i = 0; i < RICH_ITEMS; i++)
		buf_finish(&r->items[i].bytes);
}
