/* url.c: an https URL taken apart, strictly. */
#include "mcp/auth/url.h"

#include "sandbox/base/mem.h"

static int no(struct err *e, const char *why)
{
	err_set(e, ERR_INVALID, "that is no https URL that can be fetched: %s", why);
	return err_fix(e, "it looks like https://host/path");
}

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_host(struct sv s, bool bracketed)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_host_char(s.p[i]) && !(bracketed && s.p[i] == ':'))
			return false;
	return s.n > 0;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static int take_authority(struct sv s, struct url *u, struct err *e)
{
	const bool bracketed = sv_starts(s, SV("["));
	ptrdiff_t at = bracketed ? sv_find(s, ']') : sv_find(s, ':');
	struct sv host = s, rest = {"", 0};
	uint64_t port = 443;

	if (sv_copy(s, u->authority, sizeof(u->authority)))
		return no(e, "its host is too long");
	if (bracketed && at < 0)
		return no(e, "a bracket is open");
	if (at >= 0) {
		host.n = (size_t)at;
		rest = (struct sv){s.p + at + bracketed, s.n - (size_t)at - bracketed};
	}
	if (bracketed) {
		host.p++;
		host.n--;
	}
	if (!is_host(host, bracketed) || sv_copy(host, u->host, sizeof(u->host)))
		return no(e, "its host is none");
	if (rest.n && (rest.p[0] != ':' ||
		       sv_to_u64((struct sv){rest.p + 1, rest.n - 1}, &port) || !port ||
		       port > 65535))
		return no(e, "its port is none");
	snprintf(u->port, sizeof(u->port), "%u", (unsigned)port);
	return 0;
}

int url_parse(struct sv text, struct url *ret, struct err *e)
{
	const struct sv scheme = SV("https://");
	struct sv rest, authority;
	size_t n = 0;

	*ret = (struct url){.path = "/"};
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~' || text.p[i] == '#' ||
		    text.p[i] == '\\')
			return no(e, "it has a character that must not be there");
	if (!sv_starts(text, scheme))
		return no(e, "its scheme is another");
	rest = (struct sv){text.p + scheme.n, text.n - scheme.n};
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	authority = (struct sv){rest.p, n};
	rest = (struct sv){rest.p + n, rest.n - n};
	if (take_authority(authority, ret, e))
		return -1;
	if (!rest.n)
		return 0;
	if (rest.n + 2 > sizeof(ret->path))
		return no(e, "its path is too long");
	snprintf(ret->path, sizeof(ret->path), "%s" SV_FMT, rest.p[0] == '?' ? "/" : "",
		 SV_ARG(rest));
	return 0;
}
