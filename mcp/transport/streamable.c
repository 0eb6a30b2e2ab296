/* streamable.c: MCP's Streamable HTTP: routes, clock, drain. See streamable.h for the whole. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/mem.h"

#include <sodium.h>

#define TICK_MS 1000 /* while somebody is connected */
#define SLOW_TICK_MS 10000 /* while there are sessions or kept streams only */
#define MAX_METADATA_BYTES 8192
#define METADATA_NAME "/.well-known/oauth-protected-resource"

/* --- routes ------------------------------------------------------------------------------------- */

static void refuse(struct http_exchange *x, unsigned status, const char *cause,
		   const char *fix)
{
	struct err e = {0};
	const struct fields none = {0};

	err_set(&e,
		status == 403	? ERR_FORBIDDEN
		: status == 404 ? ERR_NOT_FOUND
		: status == 503 ? ERR_BUSY
				: ERR_INVALID,
		"%s", cause);
	err_fix(&e, "%s", fix);
	reply_error_with(x, status, &none, SV(""), 0, &e);
}

/* True when x was refused. Of Host first: with a name that is not ours nothing else is true. */
static bool is_not_for_us(const struct streamable *t, struct http_exchange *x)
{
	struct sv origin;
	unsigned n = http_header(x, "origin", &origin);

	if (!access_host_ok(&t->o.site, http_authority(x), http_is_unix(x))) {
		refuse(x, 403, "this server does not go by the name in Host",
		       "use the name it listens on, or start it with --allow-host");
		return true;
	}
	if (!n || (n == 1 && access_origin_ok(&t->o.site, origin)))
		return false;
	refuse(x, 403, "pages of this origin may not call this server",
	       "start it with --allow-origin");
	return true;
}

static void method_not_allowed(struct http_exchange *x, const char *allow)
{
	struct fields f;
	struct err e = {0};

	reply_fields(x, &f);
	reply_add(&f, "allow", sv_of(allow));
	err_set(&e, ERR_INVALID, "Method not allowed");
	err_fix(&e, "use %s", allow);
	reply_error_with(x, 405, &f, SV(""), 0, &e);
}

static void on_health(struct streamable *t, struct http_exchange *x)
{
	if (http_method(x) != HTTP_GET && http_method(x) != HTTP_HEAD)
		method_not_allowed(x, "GET, HEAD");
	else if (t->draining)
		reply_json(x, 503, SV("{\"status\":\"stopping\"}"));
	else
		reply_json(x, 200, SV("{\"status\":\"ok\"}"));
}

/* A GET that can be no stream is told so before it is asked who it is: some clients try one before
 * they initialize, and take 405 for "there is none". */
static void on_get(struct streamable *t, struct http_exchange *x)
{
	struct sv id;

	if (!(access_takes(x) & TAKES_SSE))
		refuse(x, 406, "Not Acceptable: a GET is answered by an event stream",
		       "send Accept: text/event-stream");
	else if (!http_header(x, "mcp-session-id", &id))
		method_not_allowed(x, "POST, OPTIONS");
	else if (t->draining)
		refuse(x, 503, "the server is stopping", "try again in a moment");
	else
		caller_identify(t, x, get_begin);
}

static void on_mcp(struct streamable *t, struct http_exchange *x)
{
	struct sv origin;

	switch (http_method(x)) {
	case HTTP_POST:
		caller_identify(t, x, post_begin);
		return;
	case HTTP_GET:
		on_get(t, x);
		return;
	case HTTP_DELETE:
		caller_identify(t, x, delete_begin);
		return;
	case HTTP_OPTIONS:
		if (http_header(x, "origin", &origin)) {
			reply_preflight(x, "GET, POST, DELETE, OPTIONS");
			return;
		}
		break;
	case HTTP_HEAD:
	case HTTP_PUT:
	case HTTP_OTHER:
		break;
	}
	method_not_allowed(x, "GET, POST, DELETE, OPTIONS");
}

static void on_well_known(struct streamable *t, struct http_exchange *x, struct sv name)
{
	struct sv origin;

	if (http_method(x) == HTTP_OPTIONS && http_header(x, "origin", &origin))
		reply_preflight(x, "GET, HEAD, OPTIONS");
	else if (http_method(x) == HTTP_GET || http_method(x) == HTTP_HEAD)
		reply_well_known(t, x, name);
	else
		method_not_allowed(x, "GET, HEAD, OPTIONS");
}

static void on_request(void *arg, struct http_exchange *x)
{
	const struct sv well_known = SV("/.well-known/");
	struct streamable *t = arg;
	struct sv path = http_path(x);

	http_set_user(x, NULL);
	if (sv_eq(path, SV("/healthz"))) {
		on_health(t, x); /* whoever watches over it may call it anything */
		return;
	}
	if (is_not_for_us(t, x))
		return;
	if (sv_eq(path, SV("/mcp")) || sv_eq(path, SV("/mcp/")))
		on_mcp(t, x);
	else if (sv_starts(path, well_known))
		on_well_known(
			t, x,
			(struct sv){path.p + well_known.n, path.n - well_known.n});
	else if (t->o.runs && sv_starts(path, SV(FILES_PREFIX)))
		files_request(t, x);
	else
		refuse(x, 404, "there is nothing here", "send MCP requests to /mcp");
}

static bool takes_pieces(void *arg, const struct http_exchange *x)
{
	const struct streamable *t = arg;

	return t->o.runs && http_method(x) == HTTP_PUT &&
	       sv_starts(http_path(x), SV(FILES_PREFIX));
}

static void on_body(void *arg, struct http_exchange *x)
{
	struct visitor *v = http_user(x);

	(void)arg;
	v->on_body(v);
}

static void on_room(void *arg, struct http_exchange *x)
{
	struct visitor *v = http_user(x);

	(void)arg;
	v->on_room(v);
}

static void on_gone(void *arg, struct http_exchange *x)
{
	struct visitor *v = http_user(x);

	(void)arg;
	if (v)
		v->on_gone(v);
}

struct http_handler streamable_handler(struct streamable *t)
{
	return (struct http_handler){.takes_pieces = takes_pieces,
				     .on_request = on_request,
				     .on_body = on_body,
				     .on_room = on_room,
				     .on_gone = on_gone,
				     .arg = t};
}

/* --- the clock ---------------------------------------------------------------------------------- */

static void forget_kept(struct streamable *t, uint64_t now_us)
{
	while (!list_empty(&t->kept)) {
		struct outlet *s = of_node(t->kept.next, struct outlet, kept);

		if (now_us < s->kept_us + t->o.keep_ms * 1000)
			return;
		outlet_release(s);
	}
}

static void on_tick(struct loop_timer *timer)
{
	struct streamable *t = timer->arg;
	const uint64_t now_us = loop_now_us();

	for (struct node *n = t->live.next, *next; n != &t->live; n = next) {
		struct outlet *s = of_node(n, struct outlet, live);

		next = n->next;
		if (outlet_is_expired(s))
			outlet_expire(s);
		else
			outlet_keepalive(s, now_us);
	}
	forget_kept(t, now_us);
	session_sweep(t, now_us);
	streamable_tick_soon(t);
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void streamable_tick_soon(struct streamable *t)
{
	const uint64_t fast =
		at_most(TICK_MS, at_most(t->o.keepalive_ms, t->o.silence_ms) / 4 + 1);
	const uint64_t slow =
		at_most(SLOW_TICK_MS, at_most(t->o.keep_ms, t->o.session_ms) / 4 + 1);
	const uint64_t wanted = list_empty(&t->live) ? slow : fast;

	if (list_empty(&t->live) && !t->nsessions && list_empty(&t->kept))
		return;
	if (t->tick.armed && t->tick.due_us <= loop_now_us() + wanted * 1000)
		return;
	loop_timer_set(t->o.loop, &t->tick, wanted);
}

static void on_open_due(struct loop_timer *timer)
{
	struct streamable *t = timer->arg;
	const uint64_t now_us = loop_now_us(), wait_us = t->o.open_ms * 1000;

	while (!list_empty(&t->young)) {
		struct outlet *s = of_node(t->young.next, struct outlet, young);

		if (now_us < s->since_us + wait_us) {
			loop_timer_set(t->o.loop, &t->open_timer,
				       (s->since_us + wait_us - now_us) / 1000 + 1);
			return;
		}
		list_del(&s->young);
		outlet_open(s);
	}
}

void streamable_young(struct streamable *t, struct outlet *s)
{
	list_add(&t->young, &s->young);
	if (!t->open_timer.armed)
		loop_timer_set(t->o.loop, &t->open_timer, t->o.open_ms);
}

static void on_reap(struct loop_timer *timer)
{
	struct streamable *t = timer->arg;

	while (!list_empty(&t->dead))
		outlet_release(of_node(t->dead.next, struct outlet, dead));
	for (struct node *n = t->dead_sessions.next, *next; n != &t->dead_sessions;
	     n = next) {
		struct session *s = of_node(n, struct session, dead);

		next = n->next;
		if (s->idle)
			session_free(s);
	}
}

void streamable_reap_soon(struct streamable *t)
{
	if (!t->reaper.armed)
		loop_timer_set(t->o.loop, &t->reaper, 0);
}

/* --- drain -------------------------------------------------------------------------------------- */

/* Those still in flight are cancelled, and their clients told why. */
static void cut_all(struct streamable *t)
{
	t->cut = true;
	files_cut(t);
	while (!list_empty(&t->lru))
		session_end(of_node(t->lru.next, struct session, lru), ENDED_BY_DRAIN);
	for (struct node *n = t->live.next, *next; n != &t->live; n = next) {
		struct outlet *s = of_node(n, struct outlet, live);

		next = n->next;
		if (s->session || s->ended)
			continue;
		s->ending = ENDED_BY_DRAIN;
		proto_peer_close(s->peer, NULL, NULL);
	}
}

static void on_drain_due(struct loop_timer *timer)
{
	struct streamable *t = timer->arg;

	if (t->pending && !t->cut)
		cut_all(t);
	if (t->on_drained)
		t->on_drained(t->drain_arg);
	t->on_drained = NULL;
}

void streamable_ended(struct streamable *t)
{
	if (t->draining && !t->pending)
		loop_timer_set(t->o.loop, &t->drain_timer, 0);
}

void streamable_drain(struct streamable *t, uint64_t timeout_ms,
		      void (*on_drained)(void *arg), void *arg)
{
	t->draining = true;
	t->on_drained = on_drained;
	t->drain_arg = arg;
	loop_timer_set(t->o.loop, &t->drain_timer, timeout_ms);
	proto_server_drain(t->o.server);
	for (struct node *n = t->lru.next, *next; n != &t->lru; n = next) {
		next = n->next;
		outlet_detach(&of_node(n, struct session, lru)->standalone);
	}
	streamable_ended(t);
}

/* --- life --------------------------------------------------------------------------------------- */

/* RFC 9728, section 2; where it is found: section 3.1. */
static int write_metadata(struct streamable *t, struct err *e)
{
	const struct streamable_site *site = &t->o.site;
	struct sv scopes = site->scope, word;
	struct access_url url;
	bool more = true;
	struct jw w;

	buf_init(&t->metadata, MAX_METADATA_BYTES);
	buf_init(&t->metadata_url, MAX_METADATA_BYTES);
	if (!site->issuer.n)
		return 0;
	if (access_url(site->public_url, &url))
		return err_set(e, ERR_INVALID, "--public-url is no http or https URL");
	buf_sv(&t->metadata_url, url.origin);
	buf_str(&t->metadata_url, METADATA_NAME);
	buf_sv(&t->metadata_url, url.path);
	jw_init(&w, &t->metadata);
	jw_obj(&w);
	jw_kstr(&w, "resource", site->public_url);
	jw_kstr(&w, "resource_name", SV("fumehood"));
	jw_key(&w, "authorization_servers");
	jw_arr(&w);
	jw_str(&w, site->issuer);
	jw_arr_end(&w);
	jw_key(&w, "scopes_supported");
	jw_arr(&w);
	while (sv_cut(&scopes, ' ', &more, &word))
		if (word.n)
			jw_str(&w, word);
	jw_arr_end(&w);
	jw_key(&w, "bearer_methods_supported");
	jw_arr(&w);
	jw_str(&w, SV("header"));
	jw_arr_end(&w);
	jw_obj_end(&w);
	return t->metadata.failed || t->metadata_url.failed
		       ? err_set(e, ERR_LIMIT, "--public-url is too long")
		       : 0;
}

static void set_default(uint64_t *v, uint64_t otherwise)
{
	if (!*v)
		*v = otherwise;
}

static void set_defaults(struct streamable_opts *o)
{
	set_default(&o->keepalive_ms, 15000);
	set_default(&o->silence_ms, 10000);
	set_default(&o->open_ms, 100);
	set_default(&o->session_ms, 30 * 60 * 1000);
	set_default(&o->keep_ms, 5 * 60 * 1000);
	if (!o->max_sessions)
		o->max_sessions = 4096;
	if (!o->max_sessions_each)
		o->max_sessions_each = 64;
	if (!o->max_requests_each)
		o->max_requests_each = 512;
	if (!o->max_transfers)
		o->max_transfers = 64;
	if (!o->max_transfers_each)
		o->max_transfers_each = 16;
}

struct streamable *streamable_new(const struct streamable_opts *o, struct err *e)
{
	struct streamable *t = mem_zalloc(sizeof(*t));

	if (!t || sodium_init() < 0) {
		mem_free(t);
		err_set(e, ERR_LIMIT, "no memory for the HTTP transport");
		return NULL;
	}
	t->o = *o;
	set_defaults(&t->o);
	list_init(&t->lru);
	list_init(&t->live);
	list_init(&t->young);
	list_init(&t->kept);
	list_init(&t->dead);
	list_init(&t->dead_sessions);
	list_init(&t->visits);
	list_init(&t->passages);
	t->tick = (struct loop_timer){.on_due = on_tick, .arg = t};
	t->open_timer = (struct loop_timer){.on_due = on_open_due, .arg = t};
	t->reaper = (struct loop_timer){.on_due = on_reap, .arg = t};
	t->drain_timer = (struct loop_timer){.on_due = on_drain_due, .arg = t};
	randombytes_buf(t->hash_key, sizeof(t->hash_key));
	randombytes_buf(t->cache_key, sizeof(t->cache_key));
	if (!write_metadata(t, e))
		return t;
	streamable_free(t);
	return NULL;
}

void streamable_session_gone(void *t, struct sv session_id)
{
	files_session_gone(t, session_id);
}

void streamable_free(struct streamable *t)
{
	if (!t)
		return;
	caller_forget(t);
	files_forget(t);
	/* the HTTP server went before, and its exchanges with it */
	for (struct node *n = t->live.next; n != &t->live; n = n->next)
		of_node(n, struct outlet, live)->x = NULL;
	while (!list_empty(&t->lru))
		session_free(of_node(t->lru.next, struct session, lru));
	while (!list_empty(&t->dead_sessions))
		session_free(of_node(t->dead_sessions.next, struct session, dead));
	while (!list_empty(&t->live))
		outlet_release(of_node(t->live.next, struct outlet, live));
	while (!list_empty(&t->dead))
		outlet_release(of_node(t->dead.next, struct outlet, dead));
	loop_timer_stop(t->o.loop, &t->tick);
	loop_timer_stop(t->o.loop, &t->open_timer);
	loop_timer_stop(t->o.loop, &t->reaper);
	loop_timer_stop(t->o.loop, &t->drain_timer);
	buf_finish(&t->metadata);
	buf_finish(&t->metadata_url);
	sodium_memzero(t->cache_key, sizeof(t->cache_key));
	mem_free(t);
}
