/* sessions.c: which sessions there are, whose, and what is told of them. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

#include <sodium.h>

uint32_t ses_slot(const struct pol_runtime *rt)
{
	uint32_t n = 0;

	if (!rt->driver[0])
		return GUEST_NO_SLOT;
	for (const struct pol_runtime *x = pol_runtimes; x < rt; x++)
		n += x->driver[0] != '\0';
	return n < GUEST_SLOTS ? n : GUEST_NO_SLOT;
}

/* All are compared, whole, so that the time tells nothing of what others have. */
struct session *ses_find(struct keeper *k, const char *principal, const char *id)
{
	char asked[SUP_SESSION_ID_SIZE] = "";
	struct session *found = NULL;

	snprintf(asked, sizeof(asked), "%s", id);
	for (struct session *s = k->sessions; s; s = s->next)
		if (!sodium_memcmp(s->id, asked, sizeof(asked)) &&
		    s->state == SES_OPEN &&
		    !strcmp(pol_plan_principal(s->plan), principal))
			found = s;
	return found;
}

struct session *ses_by_number(struct keeper *k, uint64_t number)
{
	struct session *s = k->sessions;

	while (s && s->number != number)
		s = s->next;
	return s;
}

/* No credential: the name is known to nobody but the front, which asked for the session. */
void ses_read(struct keeper *k, uint64_t id)
{
	for (struct session *s = k->sessions; s && id; s = s->next)
		for (unsigned i = 0; i < GUEST_SLOTS; i++)
			if (s->slot[i].unread == id)
				s->slot[i].unread = 0;
	keeper_pump(k);
}

void ses_drop(struct keeper *k, const char *id)
{
	for (struct session *s = k->sessions; s; s = s->next)
		if (s->throwaway && !sodium_memcmp(s->id, id, sizeof(s->id))) {
			ses_end(s, SUP_SESSION_CLOSED, "dropped");
			return;
		}
}

static void calls_of(const struct session *s, unsigned *running, unsigned *queued)
{
	*running = *queued = 0;
	for (const struct run *r = s->k->runs; r; r = r->next)
		if (r->session == s && r->state != RUN_CLOSING)
			++*(r->state <= RUN_RECORDING ? queued : running);
}

bool ses_is_busy(const struct session *s)
{
	for (const struct run *r = s->k->runs; r; r = r->next)
		if (r->session == s)
			return true;
	return s->file_ops > 0;
}

void ses_info(const struct session *s, struct sup_session_info *ret)
{
	const struct pol_session_limits *l = pol_plan_session_limits(s->plan);
	const struct pol_runtime *rt = pol_plan_runtime(s->plan);
	const uint64_t now = loop_now_us(), wall = loop_wall_us();
	const uint64_t used = ses_is_busy(s) ? now : s->used_us;

	*ret = (struct sup_session_info){
		.created_us = s->created_us,
		.expires_us = wall - (now - s->opened_us) + l->ttl_s * 1000000ull,
		.idle_expires_us = wall - (now - used) + l->idle_ttl_s * 1000000ull,
		.limits = {.ttl_s = l->ttl_s,
			   .idle_ttl_s = l->idle_ttl_s,
			   .memory_bytes = l->memory_bytes,
			   .workspace_bytes = l->workspace_bytes,
			   .processes = l->processes},
		.calls = s->calls};
	memcpy(ret->id, s->id, sizeof(ret->id));
	snprintf(ret->language, sizeof(ret->language), "%s", rt ? rt->name : "");
	calls_of(s, &ret->running, &ret->queued);
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const uint32_t slot = ses_slot(&pol_runtimes[i]);

		if (slot != GUEST_NO_SLOT && s->slot[slot].alive)
			ret->alive |= 1u << i;
	}
}

/* --- throwaway sessions that are kept --------------------------------------------------------------- */

static bool is_kept(const struct session *s, const char *principal)
{
	return s->kept && s->state == SES_OPEN &&
	       (!principal || !strcmp(pol_plan_principal(s->plan), principal));
}

/* Of one principal, or (NULL) of all. */
static unsigned count_kept(const struct keeper *k, const char *principal)
{
	unsigned n = 0;

	for (const struct session *s = k->sessions; s; s = s->next)
		n += is_kept(s, principal);
	return n;
}

/* Kept for longest of that principal's, or (NULL) of those of whoever has most: not the one that was made first,
 * whose run may have ended last. NULL: there is none. */
static struct session *oldest_kept(const struct keeper *k, const char *principal)
{
	struct session *found = NULL;
	unsigned most = 0;

	for (struct session *s = k->sessions; s; s = s->next) {
		const unsigned n = is_kept(s, principal)
					   ? count_kept(k, pol_plan_principal(s->plan))
					   : 0;

		if (n > most || (n && n == most && s->kept < found->kept)) {
			found = s;
			most = n;
		}
	}
	return found;
}

static bool make_room(const struct keeper *k, const char *principal)
{
	struct session *s = oldest_kept(k, principal);

	if (s)
		ses_end(s, SUP_SESSION_CLOSED, "made_room");
	return s != NULL;
}

void ses_keep(struct session *s)
{
	const char *principal = pol_plan_principal(s->plan);

	s->kept = ++s->k->kept_numbers;
	if (count_kept(s->k, principal) > SUP_MAX_KEPT_EACH)
		make_room(s->k, principal);
	if (count_kept(s->k, NULL) > SUP_MAX_KEPT)
		make_room(s->k, NULL);
}

/* Where callers are told apart, no one of them has more than a quarter. */
int ses_may_open(struct keeper *k, const char *principal, struct err *e)
{
	const bool shared =
		k->auth.modes & (SUP_AUTH_KEYS | SUP_AUTH_OAUTH | SUP_AUTH_CERT);
	const unsigned each = shared && k->max_sessions > 1 ? (k->max_sessions + 3) / 4
							    : k->max_sessions;
	unsigned own = 0, all = 0;

	/* one that makes room is gone in a moment */
	for (const struct session *s = k->sessions; s; s = s->next)
		if (!s->kept || s->state == SES_OPEN) {
			own += !strcmp(pol_plan_principal(s->plan), principal);
			all++;
		}
	if (own >= each && make_room(k, principal))
		own--, all--;
	if (own < each && all >= k->max_sessions && make_room(k, NULL))
		all--;
	if (own < each && all < k->max_sessions)
		return 0;
	err_set(e, ERR_BUSY,
		"%u sessions are open (at most %u), %u of them this caller's (at "
		"most %u)",
		all, k->max_sessions, own, each);
	return err_fix(e, "close one that is no longer needed: session_list shows "
			  "them, session_close ends one");
}
