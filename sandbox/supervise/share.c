/* share.c: whose turn it is: slots and queue divided among principals.
 *
 * Theory of operation. Where callers are told apart, one of them must not be able to keep the others
 * out, however many requests it sends:
 * - of the slots a part stays free of any single principal;
 * - of the queue a principal may hold as much as it leaves free to others (a dynamic threshold, after
 *   Choudhury and Hahne 1998): alone up to a half, and whoever comes later still finds room;
 * - a slot that comes free goes to whoever has fewest, of those to whoever waited longest since its
 *   last one; within a principal the oldest run is first.
 * Where there is one caller only (stdio, or nobody is asked who he is) it has all of it. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

static bool is_shared(const struct keeper *k)
{
	return (k->auth.modes & (SUP_AUTH_KEYS | SUP_AUTH_OAUTH | SUP_AUTH_CERT)) != 0;
}

/* All but a quarter, which is at least one; of a single slot nothing can be left. */
static unsigned slots_each(const struct keeper *k)
{
	return is_shared(k) && k->max_runs > 1 ? k->max_runs - (k->max_runs + 3) / 4
					       : k->max_runs;
}

static struct share *find(struct keeper *k, const char *principal)
{
	struct share *s = k->shares;

	while (s && strcmp(s->principal, principal) != 0)
		s = s->next;
	return s;
}

int share_join(struct run *r, const char *principal)
{
	struct keeper *k = r->k;
	struct share *s = find(k, principal);

	if (!s) {
		s = mem_zalloc(sizeof(*s));
		if (!s)
			return -1;
		snprintf(s->principal, sizeof(s->principal), "%s", principal);
		s->next = k->shares;
		k->shares = s;
	}
	r->share = s;
	s->waiting++;
	k->waiting++;
	return 0;
}

void share_leave(struct run *r)
{
	struct keeper *k = r->k;
	struct share *s = r->share;

	if (!s)
		return;
	if (r->has_slot) {
		s->busy--;
		k->busy--;
	} else {
		s->waiting--;
		k->waiting--;
	}
	r->share = NULL;
	if (s->busy || s->waiting)
		return;
	for (struct share **at = &k->shares; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	mem_free(s);
}

static bool has_slot_for(const struct keeper *k, const struct share *s)
{
	return k->busy < k->max_runs && s->busy < slots_each(k);
}

bool share_may_start(const struct run *r)
{
	return has_slot_for(r->k, r->share);
}

/* r is counted already, so what is left is without it. */
bool share_may_wait(const struct run *r)
{
	const struct keeper *k = r->k;

	if (k->waiting > k->max_queue)
		return false;
	return !is_shared(k) || r->share->waiting - 1 < k->max_queue - (k->waiting - 1);
}

void share_take_slot(struct run *r)
{
	must(!r->has_slot);
	r->has_slot = true;
	r->share->waiting--;
	r->k->waiting--;
	r->share->busy++;
	r->k->busy++;
	r->share->served = ++r->k->turns;
}

static bool goes_before(const struct share *a, const struct share *b)
{
	return a->busy != b->busy ? a->busy < b->busy : a->served < b->served;
}

struct run *share_next(const struct keeper *k)
{
	struct run *found = NULL;

	for (struct run *r = k->runs; r; r = r->next)
		if (r->state == RUN_QUEUED && has_slot_for(k, r->share) &&
		    call_is_next(r) && (!found || goes_before(r->share, found->share)))
			found = r;
	return found;
}
