/* config.c: whether what was configured can work. */
#include "mcp/auth/auth.h"
#include "mcp/auth/url.h"
#include "sandbox/base/mem.h"
#include "sandbox/base/sv.h"

#include <string.h>

bool auth_jwks_is_url(const char *jwks)
{
	return strstr(jwks, "://") != NULL;
}

/* A loopback issuer is for trying things out: its keys come from a file all the same. */
static bool is_loopback(struct sv issuer)
{
	const struct sv hosts[] = {SV("http://127.0.0.1"), SV("http://localhost"),
				   SV("http://[::1]")};

	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++)
		if (sv_starts(issuer, hosts[i]) &&
		    (issuer.n == hosts[i].n || issuer.p[hosts[i].n] == ':' ||
		     issuer.p[hosts[i].n] == '/'))
			return true;
	return false;
}

/* RFC 8414 section 2: https, no query, no fragment. */
static int check_issuer(struct sv issuer, struct err *e)
{
	struct url u;

	if (sv_find(issuer, '?') < 0 && sv_find(issuer, '#') < 0 &&
	    (is_loopback(issuer) || !url_parse(issuer, &u, NULL)))
		return 0;
	err_set(e, ERR_INVALID, "--oauth-issuer " SV_FMT " is no issuer's name",
		(int)(issuer.n < 100 ? issuer.n : 100), issuer.p);
	return err_fix(
		e, "an https URL without query or fragment, exactly as in the tokens' "
		   "\"iss\"");
}

/* RFC 6749 section 3.3: visible characters but '"' and '\\', in words. */
static int check_scope(struct sv scope, struct err *e)
{
	for (size_t i = 0; i < scope.n; i++)
		if (scope.p[i] < ' ' || scope.p[i] > '~' || scope.p[i] == '"' ||
		    scope.p[i] == '\\')
			return err_set(
				e, ERR_INVALID,
				"--oauth-scope has a character no scope may have");
	return 0;
}

int auth_config_check(const struct auth_config *c, struct err *e)
{
	struct url u;

	if (!*c->issuer) {
		if (!*c->jwks && !*c->audience)
			return 0;
		err_set(e, ERR_INVALID, "OAuth is configured without --oauth-issuer");
		return err_fix(e, "name the issuer whose tokens are taken");
	}
	if (check_issuer(sv_of(c->issuer), e) || check_scope(sv_of(c->scope), e))
		return -1;
	if (!*c->audience) {
		err_set(e, ERR_INVALID, "OAuth is configured without an audience");
		return err_fix(
			e, "give --oauth-audience or --public-url: a token made for "
			   "another server must not open this one");
	}
	if (!*c->jwks) {
		err_set(e, ERR_INVALID, "OAuth is configured without keys");
		return err_fix(e,
			       "give --oauth-jwks: a file, or the issuer's jwks_uri");
	}
	return auth_jwks_is_url(c->jwks) ? url_parse(sv_of(c->jwks), &u, e) : 0;
}
