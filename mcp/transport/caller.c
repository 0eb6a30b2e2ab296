/* caller.c: what a request shows -> who is calling, asked of the keeper and remembered for a moment.
 *
 * Theory of operation. The keeper decides and looks at every run by itself; here the answer is for
 * lists, sessions and status codes. Only a yes is remembered, for CACHE_US: a key that is revoked
 * is refused everywhere within that time. What is remembered is a keyed hash of the credential. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/mem.h"

#include <sodium.h>

#define CACHE_US                                                                       \
	100000 /* many calls of one client share a look-up; nobody waits for its end */

struct visit {
	struct visitor visitor;
	struct streamable *t;
	struct http_exchange *x;
	struct sup_auth *auth;
	struct node node; /* t->visits */
	visit_fn *fn;
	struct buf credential;
};

/* --- what is shown ------------------------------------------------------------------------------ */

static bool is_token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || sv_find(SV("-._~+/="), c) >= 0;
}

/* RFC 6750, 2.1: one field, "Bearer", b64token. */
static int take_bearer(struct sv value, struct buf *ret, struct err *e)
{
	static const char scheme[] = "bearer";
	struct sv token;
	size_t n = 0;

	while (n < value.n && value.p[n] != ' ' && value.p[n] != '\t')
		n++;
	if (n != sizeof(scheme) - 1 || strncasecmp(value.p, scheme, n) != 0) {
		err_set(e, ERR_UNAUTHENTICATED,
			"the authorization scheme is not Bearer");
		return err_fix(e,
			       "send Authorization: Bearer with an API key or a token");
	}
	token = sv_trim((struct sv){value.p + n, value.n - n});
	for (size_t i = 0; i < token.n; i++)
		if (!is_token_byte(token.p[i]))
			token.n = 0;
	if (!token.n)
		return err_set(e, ERR_INVALID, "what follows Bearer is no token");
	buf_str(ret, "bearer ");
	buf_sv(ret, token);
	return ret->failed ? err_set(e, ERR_INVALID, "the token is too long") : 0;
}

static int take_credential(const struct streamable *t, const struct http_exchange *x,
			   struct buf *ret, struct err *e)
{
	struct sv value, cert = http_client_cert(x);
	unsigned n = http_header(x, "authorization", &value);

	buf_init(ret, SUP_MAX_CREDENTIAL);
	if (t->o.site.no_auth) {
		buf_str(ret, "none");
		return 0;
	}
	if (n > 1)
		return err_set(e, ERR_INVALID, "more than one Authorization field");
	if (n)
		return take_bearer(value, ret, e);
	if (cert.n) {
		buf_str(ret, "cert ");
		buf_sv(ret, cert);
		return ret->failed ? err_set(e, ERR_UNAUTHENTICATED,
					     "the client certificate is too long")
				   : 0;
	}
	err_set(e, ERR_UNAUTHENTICATED, "this server wants to know who is calling");
	return err_fix(e, "send Authorization: Bearer with an API key (`fumehood key "
			  "create NAME` makes one)");
}

/* --- memory ------------------------------------------------------------------------------------- */

static struct cache_entry *entry_of(struct streamable *t, struct sv credential,
				    uint8_t digest[CACHE_DIGEST])
{
	uint16_t at;

	crypto_generichash(digest, CACHE_DIGEST, (const uint8_t *)credential.p,
			   credential.n, t->cache_key, sizeof(t->cache_key));
	memcpy(&at, digest, sizeof(at));
	return &t->cache[at % CACHE_ENTRIES];
}

static const struct sup_identity *remembered(struct streamable *t, struct sv credential)
{
	uint8_t digest[CACHE_DIGEST];
	struct cache_entry *c = entry_of(t, credential, digest);

	if (!c->at_us || loop_now_us() - c->at_us > CACHE_US ||
	    sodium_memcmp(c->digest, digest, sizeof(digest)) ||
	    (c->id.expires_us && c->id.expires_us <= loop_wall_us()))
		return NULL;
	return &c->id;
}

static void remember(struct streamable *t, struct sv credential,
		     const struct sup_identity *id)
{
	uint8_t digest[CACHE_DIGEST];
	struct cache_entry *c = entry_of(t, credential, digest);

	memcpy(c->digest, digest, sizeof(digest));
	c->at_us = loop_now_us();
	c->id = *id;
}

/* --- asking ------------------------------------------------------------------------------------- */

static void free_visit(struct visit *v)
{
	list_del(&v->node);
	sodium_memzero(v->credential.p, v->credential.n);
	buf_finish(&v->credential);
	mem_free(v);
}

static void on_visitor_gone(struct visitor *visitor)
{
	struct visit *v = (struct visit *)(void *)visitor;

	v->t->o.auth_cancel(v->auth);
	free_visit(v);
}

static void on_auth(void *arg, const struct sup_identity *id, const struct err *e)
{
	struct visit *v = arg;

	http_set_user(v->x, NULL);
	if (id) {
		remember(v->t, buf_view(&v->credential), id);
		v->fn(v->t, v->x, buf_view(&v->credential), id);
	} else {
		reply_refused(v->t, v->x, e);
	}
	free_visit(v);
}

static int ask(struct streamable *t, struct http_exchange *x, struct buf *credential,
	       visit_fn *fn, struct err *e)
{
	struct visit *v = mem_zalloc(sizeof(*v));

	if (!v)
		return err_set(e, ERR_LIMIT, "no memory for the request");
	*v = (struct visit){.visitor.on_gone = on_visitor_gone,
			    .t = t,
			    .x = x,
			    .fn = fn,
			    .credential = *credential};
	*credential = (struct buf){0};
	list_add(&t->visits, &v->node);
	v->auth = t->o.auth(t->o.client, buf_view(&v->credential), on_auth, v, e);
	if (v->auth) {
		http_set_user(x, &v->visitor);
		return 0;
	}
	free_visit(v);
	return -1;
}

void caller_identify(struct streamable *t, struct http_exchange *x, visit_fn *fn)
{
	AUTO_BUF credential = {0};
	const struct sup_identity *id;
	struct sup_identity copy;
	struct err e = {0};

	if (take_credential(t, x, &credential, &e)) {
		reply_refused(t, x, &e);
		return;
	}
	id = remembered(t, buf_view(&credential));
	if (id) {
		copy = *id;
		fn(t, x, buf_view(&credential), &copy);
	} else if (ask(t, x, &credential, fn, &e)) {
		reply_refused(t, x, &e);
	}
	if (credential.p)
		sodium_memzero(credential.p, credential.n);
}

void caller_forget(struct streamable *t)
{
	while (!list_empty(&t->visits)) {
		struct visit *v = of_node(t->visits.next, struct visit, node);

		t->o.auth_cancel(v->auth);
		free_visit(v);
	}
}
