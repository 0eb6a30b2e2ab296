/* session.c: legacy sessions: who has which, how many, and for how long. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/mem.h"

#include <sodium.h>

/* Keyed, so that nobody can choose what falls into one bucket, and looking one up takes the same
 * time whatever of it is right. */
static uint64_t hash(const struct streamable *t, struct sv s)
{
	uint64_t h;

	_Static_assert(sizeof(t->hash_key) == crypto_shorthash_KEYBYTES, "SipHash");
	crypto_shorthash((uint8_t *)&h, (const uint8_t *)s.p, s.n, t->hash_key);
	return h;
}

/* --- owners ------------------------------------------------------------------------------------- */

struct owner *owner_get(struct streamable *t, struct sv principal)
{
	struct owner **bucket = &t->owners[hash(t, principal) % OWNER_BUCKETS], *o;

	for (o = *bucket; o; o = o->next)
		if (sv_eq(sv_of(o->principal), principal))
			return o;
	o = mem_zalloc(sizeof(*o));
	if (!o || sv_copy(principal, o->principal, sizeof(o->principal))) {
		mem_free(o);
		return NULL;
	}
	o->next = *bucket;
	*bucket = o;
	return o;
}

void owner_put(struct streamable *t, struct owner *o)
{
	struct owner **at = &t->owners[hash(t, sv_of(o->principal)) % OWNER_BUCKETS];

	if (o->sessions || o->requests || o->transfers)
		return;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	mem_free(o);
}

/* --- finding ------------------------------------------------------------------------------------ */

static struct session **bucket_of(struct streamable *t, struct sv id)
{
	return &t->sessions[hash(t, id) % SESSION_BUCKETS];
}

struct session *session_find(struct streamable *t, struct sv id, struct sv principal)
{
	struct session *found = NULL;

	if (id.n != SESSION_ID_SIZE - 1)
		return NULL;
	for (struct session *s = *bucket_of(t, id); s; s = s->next)
		if (!sodium_memcmp(s->id, id.p, id.n))
			found = s;
	return found && sv_eq(sv_of(found->owner->principal), principal) ? found : NULL;
}

void session_touch(struct session *s)
{
	s->used_us = loop_now_us();
	if (!s->ending)
		list_add(&s->t->lru, &s->lru);
}

static bool is_in_use(const struct session *s)
{
	return s->requests || s->standalone.x;
}

/* --- making room -------------------------------------------------------------------------------- */

/* The longest unused one, of owner or (NULL) of all: rather one that nobody listens to; never one
 * with a call in flight. */
static struct session *find_victim(struct streamable *t, const struct owner *owner)
{
	struct session *second = NULL;

	for (struct node *n = t->lru.next; n != &t->lru; n = n->next) {
		struct session *s = of_node(n, struct session, lru);

		if (s->requests || (owner && s->owner != owner))
			continue;
		if (!s->standalone.x)
			return s;
		if (!second)
			second = s;
	}
	return second;
}

/* o counts the new one already. */
static int make_room(struct streamable *t, const struct owner *o, struct err *e)
{
	const bool mine = !t->o.site.no_auth && o->sessions > t->o.max_sessions_each;
	struct session *victim;

	if (!mine && t->nsessions < t->o.max_sessions)
		return 0;
	victim = find_victim(t, mine ? o : NULL);
	if (!victim) {
		err_set(e, ERR_BUSY, "too many sessions, each with a call in flight");
		return err_fix(e, "end sessions with DELETE, or wait for calls to end");
	}
	session_end(victim, ENDED_BY_AGE);
	return 0;
}

/* --- life --------------------------------------------------------------------------------------- */

static void make_id(struct session *s)
{
	uint8_t id[SESSION_ID_BYTES];

	randombytes_buf(id, sizeof(id));
	sodium_bin2hex(s->id, sizeof(s->id), id, sizeof(id));
}

static struct session *allocate(struct streamable *t, struct sv credential,
				const struct sup_identity *id, struct err *e)
{
	struct session *s = mem_zalloc(sizeof(*s));

	if (!s) {
		err_set(e, ERR_LIMIT, "no memory for another session");
		return NULL;
	}
	s->t = t;
	outlet_init(&s->standalone, t, NULL, TAKES_SSE);
	s->standalone.session = s;
	s->standalone.standalone = s->standalone.ids = true;
	s->peer = proto_peer_new(
		&(struct proto_peer_opts){.server = t->o.server,
					  .credential = credential,
					  .principal = sv_of(id->principal),
					  .standalone = &s->standalone.sink,
					  .nobody = t->o.site.no_auth,
					  .http = true},
		e);
	if (!s->peer) {
		mem_free(s);
		return NULL;
	}
	return s;
}

struct session *session_new(struct streamable *t, struct sv credential,
			    const struct sup_identity *id, struct err *e)
{
	struct owner *o = owner_get(t, sv_of(id->principal));
	struct session *s = NULL, **bucket;

	if (!o) {
		err_set(e, ERR_LIMIT, "no memory for another session");
		return NULL;
	}
	o->sessions++; /* holds it while others of its own may go */
	if (!make_room(t, o, e))
		s = allocate(t, credential, id, e);
	if (!s) {
		o->sessions--;
		owner_put(t, o);
		return NULL;
	}
	s->owner = o;
	list_init(&s->streams);
	make_id(s);
	bucket = bucket_of(t, sv_of(s->id));
	s->next = *bucket;
	*bucket = s;
	t->nsessions++;
	session_touch(s);
	streamable_tick_soon(t);
	return s;
}

static void on_peer_idle(void *arg)
{
	struct session *s = arg;

	s->idle = true;
	streamable_reap_soon(s->t);
}

/* Nobody finds it any more. */
static void take_out(struct session *s)
{
	struct session **at = bucket_of(s->t, sv_of(s->id));

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->t->nsessions--;
	list_del(&s->lru);
	s->owner->sessions--;
	owner_put(s->t, s->owner);
	s->owner = NULL;
}

void session_end(struct session *s, enum ending why)
{
	if (s->ending)
		return;
	take_out(s);
	s->ending = why;
	list_add(&s->t->dead_sessions, &s->dead);
	outlet_detach(&s->standalone);
	for (struct node *n = s->streams.next, *next; n != &s->streams; n = next) {
		struct outlet *st = of_node(n, struct outlet, in_session);

		next = n->next;
		if (st->ended)
			outlet_release(st);
		else
			st->ending = why;
	}
	proto_peer_close(s->peer, on_peer_idle, s);
}

void session_sweep(struct streamable *t, uint64_t now_us)
{
	const uint64_t age_us = t->o.session_ms * 1000;

	while (!list_empty(&t->lru)) {
		struct session *s = of_node(t->lru.next, struct session, lru);

		if (now_us < s->used_us + age_us)
			return;
		if (is_in_use(s))
			session_touch(s);
		else
			session_end(s, ENDED_BY_AGE);
	}
}

void session_free(struct session *s)
{
	if (!s->ending)
		take_out(s);
	list_del(&s->dead);
	proto_peer_free(s->peer);
	while (!list_empty(&s->streams))
		outlet_release(of_node(s->streams.next, struct outlet, in_session));
	outlet_release(&s->standalone);
	mem_free(s);
}
