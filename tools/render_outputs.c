/* render_outputs.c: what a run displayed, in each form of its result.
 *
 * Each form goes through the outputs in the same order with the same budgets, so that they agree on what is
 * shown and what is linked. Texts are untrusted: cut, and marked as the streams are. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <inttypes.h>
#include <sodium.h>

#define HEAD_BYTES 512 /* enough to tell what it is */
#define ENDS 2

struct budget {
	size_t text, images;
};

static struct budget whole_budget(void)
{
	return (struct budget){OUTPUT_TEXTS_BYTES, OUTPUT_IMAGES_BYTES};
}

/* --- one item ----------------------------------------------------------------------------------- */

static const struct store *bytes_of(const struct run *r)
{
	return &r->outputs.bytes;
}

/* Appends the item's text: all of it, or its two ends. True when it was cut. */
static bool put_text(const struct run *r, const struct output_item *it, size_t *budget,
		     struct buf *b)
{
	size_t max = *budget < OUTPUT_TEXT_BYTES ? *budget : OUTPUT_TEXT_BYTES, cut;
	const struct store *s = bytes_of(r);

	*budget -= it->n < max ? it->n : max;
	if (it->n <= max) {
		b->failed |= store_copy(s, it->at, it->n, b) != 0;
		return false;
	}
	max /= ENDS;
	b->failed |= store_copy(s, it->at, max, b) != 0;
	cut = text_cut_at_end(buf_view(b));
	b->n -= cut < b->n ? cut : 0;
	buf_fmt(b, "\n... [%" PRIu64 " bytes omitted] ...\n",
		(uint64_t)it->n - ENDS * max);
	b->failed |= store_copy(s, it->at + it->n - max, max, b) != 0;
	return true;
}

static bool is_image(const struct run *r, const struct output_item *it)
{
	AUTO_BUF bytes = {0};
	size_t n = it->n;

	if (it->is_text || !sv_starts(sv_of(it->mime), SV("image/")) ||
	    n > OUTPUT_IMAGE_BYTES)
		return false;
	if (strcmp(it->mime, "image/jpeg") != 0 && n > HEAD_BYTES)
		n = HEAD_BYTES;
	buf_init(&bytes, n);
	return !store_copy(bytes_of(r), it->at, n, &bytes) &&
	       mime_can_show(sv_of(it->mime), buf_view(&bytes));
}

/* Whether it comes as a picture; takes it off the budget then. */
static bool take_image(const struct run *r, const struct output_item *it,
		       struct budget *left)
{
	if (it->n > left->images || !is_image(r, it))
		return false;
	left->images -= it->n;
	return true;
}

static bool is_plain(const struct output_item *it)
{
	return !strcmp(it->mime, "text/plain");
}

static void item_uri(const struct run *r, unsigned number,
		     char dst[static RUN_URI_SIZE])
{
	char what[32];

	snprintf(what, sizeof(what), "outputs/%u", number);
	run_uri(r, what, dst);
}

/* One item as the forms see it. */
struct seen {
	const struct output *o;
	const struct output_item *it;
	unsigned number;
	bool shown; /* as a picture */
	bool cut; /* text that is shown in part */
	struct buf text; /* what is shown of it */
};

/* Decides how it is shown; text is owned by the caller. */
static void see(const struct run *r, const struct output *o, unsigned i,
		struct budget *left, struct seen *ret)
{
	*ret = (struct seen){.o = o, .it = &o->items[i], .number = o->first + i};
	buf_init(&ret->text, OUTPUT_TEXT_BYTES + 128);
	if (o->kind == RICH_ERROR || is_plain(ret->it))
		ret->cut = put_text(r, ret->it, &left->text, &ret->text);
	else
		ret->shown = take_image(r, ret->it, left);
}

/* Whether there is more than is shown. */
static bool is_linked(const struct seen *s)
{
	return s->cut || (!s->shown && s->o->kind != RICH_ERROR && !is_plain(s->it));
}

/* Calls visit for every item in order; false from it ends that. */
static void each_item(const struct run *r,
		      void (*visit)(void *arg, const struct seen *s), void *arg)
{
	struct budget left = whole_budget();
	struct seen s;

	for (unsigned i = 0; i < r->outputs.n; i++)
		for (unsigned k = 0; k < r->outputs.list[i].nitems; k++) {
			see(r, &r->outputs.list[i], k, &left, &s);
			visit(arg, &s);
			buf_finish(&s.text);
		}
}

/* --- structuredContent -------------------------------------------------------------------------- */

struct json_form {
	const struct run *r;
	struct jw *w;
	bool listing; /* the array of items is open */
};

static void json_item(struct json_form *f, const struct seen *s)
{
	char uri[RUN_URI_SIZE];

	if (!f->listing) {
		jw_key(f->w, "items");
		jw_arr(f->w);
		f->listing = true;
	}
	item_uri(f->r, s->number, uri);
	jw_obj(f->w);
	jw_kstr(f->w, "mime_type", sv_of(s->it->mime));
	jw_kint(f->w, "bytes", s->it->n);
	jw_kstr(f->w, "uri", sv_of(uri));
	if (s->shown)
		jw_kbool(f->w, "shown", true);
	jw_obj_end(f->w);
}

static void json_error_item(struct json_form *f, const struct seen *s, unsigned i)
{
	static const char *const keys[] = {"type", "message", "traceback"};

	if (i == RICH_TYPE) {
		jw_key(f->w, "error");
		jw_obj(f->w);
	}
	jw_kstr(f->w, keys[i], buf_view(&s->text));
	if (i == RICH_MESSAGE && s->o->line)
		jw_kint(f->w, "line", s->o->line);
	if (i == RICH_TRACEBACK)
		jw_obj_end(f->w);
}

static void json_visit(void *arg, const struct seen *s)
{
	struct json_form *f = arg;
	const unsigned i = s->number - s->o->first;

	f->w->b->failed |= s->text.failed;
	if (!i) {
		jw_obj(f->w);
		jw_kstr(f->w, "type", sv_of(rich_kind_names[s->o->kind]));
		f->listing = false;
	}
	if (s->o->kind == RICH_ERROR) {
		json_error_item(f, s, i);
	} else {
		if (is_plain(s->it) && !f->listing)
			jw_kstr(f->w, "text", buf_view(&s->text));
		if (!is_plain(s->it) || s->cut)
			json_item(f, s);
	}
	if (i + 1 < s->o->nitems)
		return;
	if (f->listing)
		jw_arr_end(f->w);
	jw_obj_end(f->w);
}

/* All that nobody can get: of the keeper's side too. */
static uint64_t left_out(const struct run *r)
{
	return r->outputs.left_out + r->result.rich_dropped;
}

void outputs_json(struct jw *w, const struct run *r)
{
	struct json_form f = {.r = r, .w = w};

	if (r->outputs.n) {
		jw_key(w, "outputs");
		jw_arr(w);
		each_item(r, json_visit, &f);
		jw_arr_end(w);
	}
	if (left_out(r))
		jw_kint(w, "outputs_left_out", (int64_t)left_out(r));
}

/* --- text --------------------------------------------------------------------------------------- */

struct text_form {
	const struct run *r;
	struct sv mark;
	struct buf *b;
};

static unsigned output_number(const struct run *r, const struct output *o)
{
	return (unsigned)(o - r->outputs.list) + 1;
}

static void text_shown(struct text_form *f, const struct seen *s, const char *what)
{
	struct buf *b = f->b;

	buf_fmt(b,
		"--- output %u, %s: untrusted program output up to the line with " SV_FMT
		" ---\n",
		output_number(f->r, s->o), what, SV_ARG(f->mark));
	buf_sv(b, buf_view(&s->text));
	if (!sv_ends(buf_view(&s->text), SV("\n")))
		buf_byte(b, '\n');
	buf_fmt(b, "--- end of output %u " SV_FMT " ---\n", output_number(f->r, s->o),
		SV_ARG(f->mark));
}

/* The traceback stands in stderr already. */
static void text_error(struct text_form *f, const struct seen *s)
{
	static const char *const what[] = {"type of the error", "message of the error"};
	const unsigned i = s->number - s->o->first;

	if (i == RICH_TRACEBACK || (i == RICH_MESSAGE && !s->it->n))
		return;
	if (i == RICH_TYPE && s->o->line)
		buf_fmt(f->b, "output %u: an error in line %" PRIu32 "\n",
			output_number(f->r, s->o), s->o->line);
	text_shown(f, s, what[i]);
}

static void text_visit(void *arg, const struct seen *s)
{
	struct text_form *f = arg;
	char uri[RUN_URI_SIZE];

	f->b->failed |= s->text.failed;
	if (s->o->kind == RICH_ERROR) {
		text_error(f, s);
		return;
	}
	if (is_plain(s->it))
		text_shown(f, s,
			   s->o->kind == RICH_RESULT ? "value of the last expression"
						     : "displayed");
	if (is_plain(s->it) && !s->cut)
		return;
	item_uri(f->r, s->number, uri);
	buf_fmt(f->b, "output %u: %s, %" PRIu32 " bytes%s: %s\n",
		output_number(f->r, s->o), s->it->mime, s->it->n,
		s->shown ? ", shown beside this text" : "", uri);
}

void outputs_text(const struct run *r, struct sv mark, struct buf *b)
{
	struct text_form f = {.r = r, .mark = mark, .b = b};

	each_item(r, text_visit, &f);
	if (left_out(r))
		buf_fmt(b,
			"outputs: %" PRIu64
			" were left out (ill-formed, too many or too large)\n",
			left_out(r));
}

/* --- content blocks ----------------------------------------------------------------------------- */

static void put_base64(struct jw *w, const char *key, struct sv bytes)
{
	const int variant = sodium_base64_VARIANT_ORIGINAL;
	const size_t n = sodium_base64_encoded_len(bytes.n, variant); /* with NUL */
	char *at;

	/* nothing in it needs an escape */
	jw_kraw(w, key, SV("\""));
	at = buf_reserve(w->b, n);
	if (!at)
		return;
	sodium_bin2base64(at, n, (const unsigned char *)bytes.p, bytes.n, variant);
	buf_commit(w->b, n - 1);
	buf_byte(w->b, '"');
}

void image_block(struct jw *w, const char *mime, struct sv bytes)
{
	jw_obj(w);
	jw_kstr(w, "type", SV("image"));
	put_base64(w, "data", bytes);
	jw_kstr(w, "mimeType", sv_of(mime));
	jw_obj_end(w);
}

static void image_visit(void *arg, const struct seen *s)
{
	struct json_form *f = arg;
	AUTO_BUF bytes = {0};

	if (!s->shown)
		return;
	buf_init(&bytes, s->it->n);
	if (store_copy(bytes_of(f->r), s->it->at, s->it->n, &bytes))
		f->w->b->failed = true;
	image_block(f->w, s->it->mime, buf_view(&bytes));
}

void outputs_images(const struct run *r, struct jw *w)
{
	struct json_form f = {.r = r, .w = w};

	each_item(r, image_visit, &f);
}

static void link_visit(void *arg, const struct seen *s)
{
	struct json_form *f = arg;
	char uri[RUN_URI_SIZE], words[96];

	if (!is_linked(s))
		return;
	item_uri(f->r, s->number, uri);
	snprintf(words, sizeof(words), "output %u of %s: untrusted program output",
		 output_number(f->r, s->o), f->r->id);
	jw_obj(f->w);
	jw_kstr(f->w, "type", SV("resource_link"));
	jw_kstr(f->w, "uri", sv_of(uri));
	jw_kstr(f->w, "name", sv_of(strstr(uri, "outputs/")));
	jw_kstr(f->w, "description", sv_of(words));
	jw_kstr(f->w, "mimeType", sv_of(s->it->mime));
	jw_kint(f->w, "size", s->it->n);
	jw_obj_end(f->w);
}

void outputs_links(const struct run *r, struct jw *w)
{
	struct json_form f = {.r = r, .w = w};

	each_item(r, link_visit, &f);
}

static void any_visit(void *arg, const struct seen *s)
{
	bool *any = arg;

	*any = *any || s->shown || is_linked(s);
}

bool outputs_have_blocks(const struct run *r)
{
	bool any = false;

	each_item(r, any_visit, &any);
	return any;
}
