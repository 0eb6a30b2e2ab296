/* outputs.c: what a run displayed beside its streams: kept whole or not at all, and counted.
 *
 * All bytes of one run's outputs lie one after another in one store, so that they cost one
 * descriptor at most. */
#include "sandbox/base/mem.h"
#include "tools/runs.h"

#include <string.h>

void outputs_finish(struct outputs *o)
{
	mem_free(o->list);
	/* one that never began has no descriptor, but says 0 */
	if (o->cap)
		store_finish(&o->bytes);
	*o = (struct outputs){.n = 0};
}

/* A place at the end of the list. */
static struct output *next_place(struct run *r)
{
	struct outputs *o = &r->outputs;
	const unsigned cap = o->cap ? 2 * o->cap : 4;
	struct output *list;

	if (o->n < o->cap)
		return &o->list[o->n];
	if (o->n == RUN_MAX_OUTPUTS)
		return NULL;
	list = mem_realloc(o->list, cap * sizeof(*list));
	if (!list)
		return NULL;
	if (!o->cap)
		store_init(&o->bytes);
	run_charge(r, RUNS_BYTES, (cap - o->cap) * sizeof(*list));
	o->list = list;
	o->cap = cap;
	return &o->list[o->n];
}

static bool keep_bytes(struct run *r, struct sv bytes, struct output_item *it)
{
	struct store *s = &r->outputs.bytes;
	const bool spills = store_will_spill(s, bytes.n);

	it->at = s->kept;
	it->n = (uint32_t)bytes.n;
	if (bytes.n > RUN_MAX_OUTPUT_BYTES - s->kept || s->closed ||
	    run_make_room(r, s, bytes.n) < bytes.n)
		return false;
	store_add(s, bytes, bytes.n);
	run_charge(r, RUNS_BYTES, s->kept - it->at);
	if (spills && s->fd >= 0)
		run_charge(r, RUNS_FDS, 1);
	return s->kept - it->at == bytes.n;
}

static void keep_item(struct run *r, struct output *to, const struct rich_item *it)
{
	struct output_item *at = &to->items[to->nitems];

	memcpy(at->mime, it->mime, sizeof(at->mime));
	at->is_text = it->is_text;
	if (keep_bytes(r, buf_view(&it->bytes), at))
		to->nitems++;
	else
		r->outputs.left_out++;
}

/* Plain text first, as the forms of a result have it; the others as they came. */
static void keep_items(struct run *r, struct output *to, const struct rich *from)
{
	unsigned plain = from->nitems;

	for (unsigned i = 0; i < from->nitems && from->kind != RICH_ERROR; i++)
		if (!strcmp(from->items[i].mime, "text/plain"))
			plain = i;
	if (plain < from->nitems)
		keep_item(r, to, &from->items[plain]);
	for (unsigned i = 0; i < from->nitems; i++)
		if (i != plain)
			keep_item(r, to, &from->items[i]);
}

static void keep(struct run *r, const struct rich *from)
{
	struct outputs *o = &r->outputs;
	struct output *to = next_place(r);

	if (!to) {
		o->left_out++;
		return;
	}
	*to = (struct output){
		.kind = from->kind, .line = from->line, .first = o->nitems};
	keep_items(r, to, from);
	o->left_out += from->left_out;
	/* of an error all or nothing: its items have no names but their places */
	if (!to->nitems || (from->kind == RICH_ERROR && to->nitems < from->nitems))
		return;
	o->nitems += to->nitems;
	o->n++;
	run_list_changed(r);
}

void run_keep_rich(struct run *r, struct sv line)
{
	struct rich rich;

	if (rich_read(line, &rich))
		r->outputs.left_out++;
	else
		keep(r, &rich);
	rich_finish(&rich);
}

const struct output_item *run_output_item(const struct run *r, uint64_t number,
					  const struct output **ret_output)
{
	for (unsigned i = 0; i < r->outputs.n; i++) {
		const struct output *o = &r->outputs.list[i];

		if (number < o->first || number - o->first >= o->nitems)
			continue;
		if (ret_output)
			*ret_output = o;
		return &o->items[number - o->first];
	}
	return NULL;
}
