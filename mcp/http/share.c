/* share.c: nobody has it all.
 *
 * Theory of operation: connections, request bodies and unsent answers have a ceiling each for the
 * whole server. One client could reach it alone, and everybody else would be turned away. So the
 * connections of an address may take of the bytes as much as is left (the dynamic thresholds of
 * Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): one alone gets half of them,
 * and a second one a quarter. At the ceiling of connections one that is still to send its request
 * makes room for an address that has fewer.
 *
 * Addresses are counted in SHARES cells, found by a keyed hash, so that counting needs no memory and
 * cannot be attacked with addresses that hash alike; two that share a cell share what it may hold.
 * An IPv6 address is its /64, which is what one host has. A proxy is one address, and half will do
 * for it; Unix sockets are another. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

#include <netinet/in.h>
#include <sys/random.h>

/* how many connections are looked at for one that makes room */
enum { LOOK = 1024 };

int share_init(struct http_server *s)
{
	return getrandom(&s->share_key, sizeof(s->share_key), 0) ==
			       (ssize_t)sizeof(s->share_key)
		       ? 0
		       : -1;
}

/* The finalizer of splitmix64 (Steele, Lea, Flood, OOPSLA 2014), keyed. */
static uint64_t mix(uint64_t v, uint64_t key)
{
	for (int i = 0; i < 2; i++) {
		v ^= key;
		v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
		v = (v ^ v >> 27) * 0x94d049bb133111ebu;
		v ^= v >> 31;
	}
	return v;
}

uint16_t share_find(const struct http_server *s, const struct sockaddr *from)
{
	union {
		const struct sockaddr *any;
		const struct sockaddr_in *v4;
		const struct sockaddr_in6 *v6;
	} a = {from};
	uint64_t who = 0;

	if (from->sa_family == AF_INET)
		who = a.v4->sin_addr.s_addr;
	else if (from->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6->sin6_addr))
		memcpy(&who, a.v6->sin6_addr.s6_addr + 12, 4);
	else if (from->sa_family == AF_INET6)
		memcpy(&who, a.v6->sin6_addr.s6_addr, 8);
	return (uint16_t)(mix(who, s->share_key) % SHARES);
}

int share_body(struct conn *c, size_t more)
{
	struct http_server *s = c->s;
	struct share *mine = &s->shares[c->share];
	size_t left = s->limits.all_bodies_bytes - s->bodies_bytes;

	if (more > left || mine->bodies_bytes + more > left - more)
		return -1;
	s->bodies_bytes += more;
	mine->bodies_bytes += more;
	return 0;
}

void share_body_done(struct conn *c, size_t n)
{
	c->s->bodies_bytes -= n;
	c->s->shares[c->share].bodies_bytes -= n;
}

int share_queue(struct conn *c, size_t n)
{
	struct http_server *s = c->s;
	struct share *mine = &s->shares[c->share];
	const size_t most = s->limits.all_queues_bytes;
	bool grown = n > c->queued;

	s->queued_bytes += n - c->queued;
	mine->queued_bytes += n - c->queued;
	c->queued = n;
	return grown && (s->queued_bytes > most ||
			 mine->queued_bytes > most - s->queued_bytes)
		       ? -1
		       : 0;
}

struct conn *share_victim(const struct http_server *s, uint16_t newcomer)
{
	struct conn *c = s->lists[LIST_RECEIVING].first;

	for (int i = 0; c && i < LOOK; i++, c = c->next)
		if (s->shares[c->share].conns > s->shares[newcomer].conns + 1)
			return c;
	return NULL;
}
