/* access.c: is this request for us, from a page that may call, and what answers does it take. */
#include "mcp/transport/streamable.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same_word(struct sv a, struct sv b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

static struct sv from(struct sv s, size_t at)
{
	return (struct sv){s.p + at, s.n - at};
}

/* --- Accept and Content-Type -------------------------------------------------------------------- */

/* RFC 9110, 12.4.2: q=0 is "not acceptable". */
static bool is_refused(struct sv parameters)
{
	struct sv part;
	bool more = true;

	while (sv_cut(&parameters, ';', &more, &part)) {
		part = sv_trim(part);
		if (part.n < 3 || lower(part.p[0]) != 'q' || part.p[1] != '=')
			continue;
		for (size_t i = 2; i < part.n; i++)
			if (part.p[i] != '0' && part.p[i] != '.')
				return false;
		return true;
	}
	return false;
}

static unsigned takes_of(struct sv range)
{
	static const struct {
		const char *name;
		unsigned takes;
	} known[] = {
		{"application/json", TAKES_JSON}, {"text/event-stream", TAKES_SSE},
		{"application/*", TAKES_JSON},	  {"text/*", TAKES_SSE},
		{"*/*", TAKES_JSON | TAKES_SSE},
	};
	ptrdiff_t semicolon = sv_find(range, ';');
	struct sv name = range;

	if (semicolon >= 0) {
		if (is_refused(from(range, (size_t)semicolon + 1)))
			return 0;
		name.n = (size_t)semicolon;
	}
	name = sv_trim(name);
	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (same_word(name, sv_of(known[i].name)))
			return known[i].takes;
	return 0;
}

unsigned access_takes(const struct http_exchange *x)
{
	struct sv accept, part;
	unsigned takes = 0;
	bool more = true;

	if (!http_header(x, "accept", &accept))
		return TAKES_JSON;
	while (sv_cut(&accept, ',', &more, &part))
		takes |= takes_of(part);
	return takes;
}

bool access_is_json(const struct http_exchange *x)
{
	struct sv type;
	ptrdiff_t semicolon;

	if (http_header(x, "content-type", &type) != 1)
		return false;
	semicolon = sv_find(type, ';');
	if (semicolon >= 0)
		type.n = (size_t)semicolon;
	return same_word(sv_trim(type), SV("application/json"));
}

/* --- Host --------------------------------------------------------------------------------------- */

struct authority {
	struct sv host; /* [::1] with its brackets */
	uint16_t port;
	bool has_port;
};

static int parse_authority(struct sv s, struct authority *ret)
{
	ptrdiff_t colon = -1;
	uint64_t port = 0;

	*ret = (struct authority){.host = s};
	if (s.n && s.p[0] == '[') {
		ptrdiff_t end = sv_find(s, ']');

		if (end < 0)
			return -1;
		if ((size_t)end + 1 < s.n)
			colon = end + 1;
	} else {
		colon = sv_find(s, ':');
	}
	if (colon >= 0) {
		if (s.p[colon] != ':' || sv_to_u64(from(s, (size_t)colon + 1), &port) ||
		    port > 65535)
			return -1;
		ret->host.n = (size_t)colon;
		ret->has_port = true;
		ret->port = (uint16_t)port;
	}
	return ret->host.n ? 0 : -1;
}

/* Nobody can make DNS say that a literal address is somewhere else. */
static bool is_literal(struct sv host)
{
	const struct sv bytes = sv_starts(host, SV("["))
					? SV("0123456789abcdefABCDEF:.[]")
					: SV("0123456789.");

	for (size_t i = 0; i < host.n; i++)
		if (sv_find(bytes, host.p[i]) < 0)
			return false;
	return host.n > 0;
}

static bool is_loopback_name(struct sv host)
{
	return same_word(host, SV("localhost")) || sv_eq(host, SV("127.0.0.1")) ||
	       sv_eq(host, SV("[::1]"));
}

static bool is_our_port(const struct streamable_site *s, uint16_t port)
{
	for (unsigned i = 0; i < s->nports; i++)
		if (s->ports[i] == port)
			return true;
	return false;
}

/* "name" with any port, or "name:port". */
static bool is_listed_host(struct sv list, const struct authority *a)
{
	struct authority entry;
	struct sv part;
	bool more = list.n > 0;

	while (sv_cut(&list, ',', &more, &part))
		if (!parse_authority(sv_trim(part), &entry) &&
		    same_word(entry.host, a->host) &&
		    (!entry.has_port || (a->has_port && entry.port == a->port)))
			return true;
	return false;
}

bool access_host_ok(const struct streamable_site *s, struct sv authority, bool is_unix)
{
	const uint16_t usual = s->tls ? 443 : 80;
	struct access_url public_url;
	struct authority a;

	if (is_unix)
		return true;
	if (parse_authority(authority, &a))
		return false;
	if (is_listed_host(s->allow_hosts, &a))
		return true;
	if (!access_url(s->public_url, &public_url) &&
	    same_word(public_url.host, a.host))
		return true;
	/* 127.0.0.2 is no other host either; as an Origin it may be another user's page */
	if ((is_loopback_name(a.host) ||
	     (is_literal(a.host) && sv_starts(a.host, SV("127.")))) &&
	    is_our_port(s, a.has_port ? a.port : usual))
		return true;
	if (!s->exposed || s->allow_hosts.n || s->public_url.n)
		return false;
	/* from other hosts, and nobody said by which name: without a credential, which no page
	 * has, a name gives nothing; where none is asked for, only what DNS has no say in */
	return s->no_auth ? is_literal(a.host) || is_loopback_name(a.host) : true;
}

/* --- Origin ------------------------------------------------------------------------------------- */

int access_url(struct sv url, struct access_url *ret)
{
	struct authority a;
	struct sv rest;
	size_t n;

	*ret = (struct access_url){0};
	if (sv_starts(url, SV("https://")))
		ret->scheme = (struct sv){url.p, 5};
	else if (sv_starts(url, SV("http://")))
		ret->scheme = (struct sv){url.p, 4};
	else
		return -1;
	rest = from(url, ret->scheme.n + 3);
	for (n = 0;
	     n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#';)
		n++;
	ret->path = from(rest, n);
	ret->origin = (struct sv){url.p, url.n - ret->path.n};
	rest.n = n;
	if (parse_authority(rest, &a))
		return -1;
	ret->host = a.host;
	ret->port = a.has_port ? a.port : ret->scheme.n == 5 ? 443 : 80;
	return 0;
}

static bool is_listed_origin(struct sv list, struct sv origin)
{
	struct sv part;
	bool more = list.n > 0;

	while (sv_cut(&list, ',', &more, &part)) {
		part = sv_trim(part);
		if (part.n && part.p[part.n - 1] == '/')
			part.n--;
		if (part.n && same_word(part, origin))
			return true;
	}
	return false;
}

bool access_origin_ok(const struct streamable_site *s, struct sv origin)
{
	struct access_url url, public_url;

	if (is_listed_origin(s->allow_origins, origin))
		return true;
	/* an origin has no path; "null" (a file, a sandboxed frame) is no URL */
	if (access_url(origin, &url) || url.path.n)
		return false;
	if (is_loopback_name(url.host) && is_our_port(s, url.port) &&
	    s->tls == (url.scheme.n == 5))
		return true;
	return !access_url(s->public_url, &public_url) &&
	       same_word(public_url.host, url.host) && public_url.port == url.port &&
	       public_url.scheme.n == url.scheme.n;
}
