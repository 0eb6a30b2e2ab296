/* account.c: what is for all, and how much of it one principal holds.
 *
 * Theory of operation. Calls, subscriptions and the memory they take have a ceiling for all clients
 * together. One principal may open as many connections as it likes; so that it cannot keep everybody
 * else out, it may hold of each at most as much as it leaves free (a dynamic threshold, after Choudhury
 * and Hahne 1998): alone up to a half, and whoever comes later finds room. An account lives as long as
 * a client of its principal, or a call of one, does. Without one (stdio has one client, and where nobody
 * is asked who he is everybody is the same) only the ceiling counts. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#include <sodium.h>

struct proto_account {
	struct proto_account *next; /* in its bucket */
	unsigned refs;
	uint64_t use[PROTO_USES];
	size_t n;
	char principal[];
};

static const uint64_t ceilings[PROTO_USES] = {
	[PROTO_USE_CALLS] = 0, /* an option */
	[PROTO_USE_LISTENS] = PROTO_MAX_ALL_LISTENS,
	[PROTO_USE_KEPT] = PROTO_MAX_KEPT_BYTES,
	[PROTO_USE_WATCHED] = PROTO_MAX_WATCHED_BYTES,
};

void proto_account_init(struct proto_server *s)
{
	randombytes_buf(s->account_key, sizeof(s->account_key));
}

/* Keyed, so that nobody can choose what falls into one bucket. */
static struct proto_account **bucket_of(struct proto_server *s, struct sv principal)
{
	uint64_t h;

	_Static_assert(sizeof(s->account_key) == crypto_shorthash_KEYBYTES, "SipHash");
	crypto_shorthash((uint8_t *)&h, (const uint8_t *)principal.p, principal.n,
			 s->account_key);
	return &s->accounts[h % PROTO_ACCOUNT_BUCKETS];
}

static struct sv principal_of(const struct proto_account *a)
{
	return (struct sv){a->principal, a->n};
}

int proto_account_get(struct proto_server *s, const struct proto_peer_opts *o,
		      struct proto_account **ret)
{
	struct proto_account **bucket, *a;

	*ret = NULL;
	if (!o->http || o->nobody)
		return 0;
	bucket = bucket_of(s, o->principal);
	for (a = *bucket; a && !sv_eq(principal_of(a), o->principal);)
		a = a->next;
	if (!a) {
		a = mem_zalloc(sizeof(*a) + o->principal.n);
		if (!a)
			return -1;
		a->n = o->principal.n;
		memcpy(a->principal, o->principal.p, a->n);
		a->next = *bucket;
		*bucket = a;
	}
	*ret = proto_account_ref(a);
	return 0;
}

struct proto_account *proto_account_ref(struct proto_account *a)
{
	if (a)
		a->refs++;
	return a;
}

void proto_account_put(struct proto_server *s, struct proto_account *a)
{
	struct proto_account **at;

	if (!a || --a->refs)
		return;
	at = bucket_of(s, principal_of(a));
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	for (int u = 0; u < PROTO_USES; u++)
		must(!a->use[u]);
	mem_free(a);
}

static uint64_t left(const struct proto_server *s, enum proto_use u)
{
	const uint64_t max = u == PROTO_USE_CALLS ? s->o.max_calls : ceilings[u];

	return s->use[u] < max ? max - s->use[u] : 0;
}

bool proto_account_has(const struct proto_server *s, const struct proto_account *a,
		       enum proto_use u, uint64_t more)
{
	const uint64_t free_now = left(s, u);

	if (more > free_now)
		return false;
	return !a || (a->use[u] <= free_now && more <= free_now - a->use[u]);
}

void proto_account_add(struct proto_server *s, struct proto_account *a,
		       enum proto_use u, uint64_t n)
{
	s->use[u] += n;
	if (a)
		a->use[u] += n;
}

void proto_account_sub(struct proto_server *s, struct proto_account *a,
		       enum proto_use u, uint64_t n)
{
	s->use[u] -= n;
	if (a)
		a->use[u] -= n;
}
