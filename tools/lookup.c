/* lookup.c: finding runs: only among those of the principal who asks. */
#include "tools/internal.h"

#include <sodium.h>
#include <string.h>

struct run_owner *runs_owner(struct runs *r, struct sv principal)
{
	for (struct run_owner *o = r->owners; o; o = o->next)
		if (sv_eq(sv_of(o->principal), principal))
			return o;
	return NULL;
}

const struct pol_runtime *runtime_of(struct sv language)
{
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const struct pol_runtime *r = &pol_runtimes[i];

		if (sv_eq(language, sv_of(r->name)))
			return r;
		for (const char *const *a = r->aliases; *a; a++)
			if (sv_eq(language, sv_of(*a)))
				return r;
	}
	return NULL;
}

/* The whole of a principal's runs is gone through, and each id compared as a whole, so that the time
 * it takes tells nothing about how much of a guess was right. */
static struct run *find_in(struct run_owner *o, struct sv id)
{
	char padded[SUP_RUN_ID_SIZE] = "";
	struct run *found = NULL;

	if (!id.n || sv_copy(id, padded, sizeof(padded)))
		memset(padded, '?', sizeof(padded));
	for (struct run *r = o ? o->newest : NULL; r; r = r->next)
		if (!sodium_memcmp(r->id, padded, sizeof(padded)))
			found = r;
	return found;
}

struct run *runs_find(struct runs *r, struct sv principal, struct sv id)
{
	return find_in(runs_owner(r, principal), id);
}

int runs_not_found(const struct runs *r, struct err *e)
{
	err_set(e, ERR_NOT_FOUND, "there is no run with that run_id");
	return err_fix(
		e,
		"use a run_id that run_code or run_command gave; a run and its output are "
		"kept for %u minutes after its end, and less when many are made",
		(unsigned)(r->keep_ms / 60000));
}

int run_kept_session(struct runs *all, struct sv principal, struct sv id,
		     struct sv *ret, struct err *e)
{
	const struct run *r = runs_find(all, principal, id);

	if (!r)
		return runs_not_found(all, e);
	*ret = sv_of(r->throwaway);
	if (r->kept)
		return 0;
	if (!r->ended) {
		err_set(e, ERR_BUSY, "%s has not ended", r->id);
		return err_fix(e, "wait for its end with run_status");
	}
	if (r->session_id[0]) {
		err_set(e, ERR_INVALID, "%s ran in a session", r->id);
		return err_fix(e, "give its session_id, %s, instead of run_id",
			       r->session_id);
	}
	err_set(e, ERR_NOT_FOUND, "%s has left no files", r->id);
	return err_fix(e, "run it again and declare in outputs which files it leaves");
}

/* The next one that has its id, r itself included. */
static struct run *named(struct run *r)
{
	while (r && !r->id[0])
		r = r->next;
	return r;
}

struct run *runs_newest(struct runs *r, struct sv principal)
{
	struct run_owner *o = runs_owner(r, principal);

	return o ? named(o->newest) : NULL;
}

struct run *runs_older(struct run *r)
{
	return named(r->next);
}

struct run *runs_after(struct runs *r, struct sv principal, struct sv id)
{
	struct run_owner *o = runs_owner(r, principal);
	struct run *at = find_in(o, id);
	uint64_t serial = 0;

	if (at)
		return runs_older(at);
	for (unsigned i = 0; o && i < RUNS_GONE; i++)
		if (sv_eq(sv_of(o->gone[i].id), id))
			serial = o->gone[i].serial;
	for (at = o ? o->newest : NULL; at && at->serial >= serial;)
		at = at->next;
	return named(at);
}

struct sv run_principal(const struct run *r)
{
	return sv_of(r->owner->principal);
}

void run_uri(const struct run *r, const char *what, char dst[static RUN_URI_SIZE])
{
	snprintf(dst, RUN_URI_SIZE, RUNS_URI "%s/%s", r->id, what);
}

uint64_t runs_keep_ms(const struct runs *r)
{
	return r->keep_ms;
}

size_t runs_keep_bytes(const struct runs *r)
{
	return r->max[RUNS_BYTES];
}

unsigned runs_max_background(const struct runs *r)
{
	return r->max_background;
}

bool runs_use_yes(struct runs *r, const unsigned char number[static RUNS_YES_BYTES])
{
	for (unsigned i = 0; i < RUNS_YES; i++)
		if (!sodium_memcmp(r->yes[i], number, RUNS_YES_BYTES))
			return false;
	memcpy(r->yes[r->yes_at++ % RUNS_YES], number, RUNS_YES_BYTES);
	return true;
}

bool runs_wait_begin(struct run *r)
{
	if (r->runs->waits >= RUNS_MAX_WAITS || r->owner->waits >= RUNS_MAX_OWNER_WAITS)
		return false;
	r->runs->waits++;
	r->owner->waits++;
	return true;
}

void runs_wait_end(struct run *r)
{
	r->runs->waits--;
	r->owner->waits--;
}
