/* watch.c: news of what has changed, to those who asked for it.
 *
 * Theory of operation. A watch is a filter and what is due. The first news goes out at once; for
 * QUIET_MS after it, more of it only marks what is due, and the timer sends each mark once. So a
 * program that writes a thousand times a second costs its watchers ten lines a second, and the last
 * change is always told. Legacy clients hear on their standalone stream, modern ones on the stream
 * of their subscriptions/listen, tagged with its id. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#define QUIET_MS 100

static const struct {
	unsigned kind;
	const char *method;
} kinds[] = {
	{PROTO_WATCH_TOOLS, "notifications/tools/list_changed"},
	{PROTO_WATCH_PROMPTS, "notifications/prompts/list_changed"},
	{PROTO_WATCH_RESOURCES, "notifications/resources/list_changed"},
};

static struct loop *loop_of(const struct proto_watch *w)
{
	return w->peer->server->o.loop;
}

/* --- telling ----------------------------------------------------------------------------------- */

/* uri empty: none. */
static void tell(const struct proto_watch *watch, const char *method, struct sv uri)
{
	const struct proto_request *r = watch->request;
	AUTO_BUF params = {0};
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&params, 8 * (size_t)PROTO_MAX_URI_BYTES + RPC_MAX_ID_BYTES);
	buf_init(&b, 10 * (size_t)PROTO_MAX_URI_BYTES + RPC_MAX_ID_BYTES);
	jw_init(&w, &params);
	jw_obj(&w);
	if (uri.n)
		jw_kstr(&w, "uri", uri);
	if (r) {
		jw_key(&w, "_meta");
		jw_obj(&w);
		jw_kraw(&w, PROTO_META_SUBSCRIPTION, buf_view(&r->id));
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
	if (r) {
		proto_request_notify(r, method, &params);
		return;
	}
	rpc_write_notification(&b, method, uri.n ? buf_view(&params) : (struct sv){0});
	proto_send(watch->peer, watch->peer->standalone, PROTO_NOTIFICATION, &b, 200);
}

static bool tell_due(struct proto_watch *w)
{
	bool told = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (w->due & kinds[i].kind) {
			tell(w, kinds[i].method, (struct sv){0});
			told = true;
		}
	w->due = 0;
	for (unsigned i = 0; i < w->nuris; i++)
		if (w->uris[i].due) {
			w->uris[i].due = false;
			tell(w, "notifications/resources/updated",
			     buf_view(&w->uris[i].uri));
			told = true;
		}
	return told;
}

static void on_quiet_due(struct loop_timer *t)
{
	struct proto_watch *w = t->arg;

	if (tell_due(w))
		loop_timer_set(loop_of(w), t, QUIET_MS);
}

static void news(struct proto_watch *w)
{
	if (!w->quiet.armed && tell_due(w))
		loop_timer_set(loop_of(w), &w->quiet, QUIET_MS);
}

void proto_watch_note(struct proto_watch *w, unsigned kind)
{
	w->due |= kind & w->want;
	news(w);
}

static struct proto_watched *find(const struct proto_watch *w, struct sv uri)
{
	for (unsigned i = 0; i < w->nuris; i++)
		if (sv_eq(buf_view(&w->uris[i].uri), uri))
			return &w->uris[i];
	return NULL;
}

void proto_watch_note_uri(struct proto_watch *w, struct sv uri)
{
	struct proto_watched *x = find(w, uri);

	if (!x)
		return;
	x->due = true;
	news(w);
}

/* --- the filter -------------------------------------------------------------------------------- */

static void forget(struct proto_watch *w, struct proto_watched *x)
{
	proto_account_sub(w->peer->server, w->peer->account, PROTO_USE_WATCHED,
			  x->uri.n);
	buf_finish(&x->uri);
}

void proto_watch_init(struct proto_watch *w, struct proto_peer *p,
		      struct proto_request *r)
{
	*w = (struct proto_watch){.peer = p, .request = r};
	w->quiet = (struct loop_timer){.on_due = on_quiet_due, .arg = w};
}

void proto_watch_finish(struct proto_watch *w)
{
	/* of a peer that never came to be there is no loop yet, and no timer either */
	if (w->quiet.armed)
		loop_timer_stop(loop_of(w), &w->quiet);
	for (unsigned i = 0; i < w->nuris; i++)
		forget(w, &w->uris[i]);
	mem_free(w->uris);
	w->uris = NULL;
	w->nuris = 0;
}

int proto_watch_add(struct proto_watch *w, struct sv uri, struct err *e)
{
	struct proto_watched *v;

	if (find(w, uri))
		return 0;
	if (!uri.n || uri.n > PROTO_MAX_URI_BYTES)
		return err_set(e, ERR_INVALID,
			       "Invalid params: a uri is a string of at most %d bytes",
			       PROTO_MAX_URI_BYTES);
	if (w->nuris >= PROTO_MAX_WATCHED) {
		err_set(e, ERR_LIMIT, "%u resources are watched already", w->nuris);
		return err_fix(e, "unsubscribe from one of them first");
	}
	if (!proto_account_has(w->peer->server, w->peer->account, PROTO_USE_WATCHED,
			       uri.n)) {
		err_set(e, ERR_LIMIT, "too many resources are watched already");
		return err_fix(e, "unsubscribe from some of them first");
	}
	v = mem_realloc(w->uris, (w->nuris + 1) * sizeof(*v));
	if (!v)
		return err_set(e, ERR_LIMIT, "no memory for a subscription");
	w->uris = v;
	v = &v[w->nuris];
	*v = (struct proto_watched){.due = false};
	buf_init(&v->uri, PROTO_MAX_URI_BYTES);
	buf_sv(&v->uri, uri);
	if (v->uri.failed)
		return err_set(e, ERR_LIMIT, "no memory for a subscription");
	proto_account_add(w->peer->server, w->peer->account, PROTO_USE_WATCHED, uri.n);
	w->nuris++;
	return 0;
}

void proto_watch_drop(struct proto_watch *w, struct sv uri)
{
	struct proto_watched *x = find(w, uri);

	if (!x)
		return;
	forget(w, x);
	w->nuris--;
	*x = w->uris[w->nuris];
}

/* --- events ------------------------------------------------------------------------------------ */

/* One of the two is given. principal NULL: everybody's. */
struct event {
	unsigned kind;
	struct sv uri;
	const struct sv *principal;
};

static void note(struct proto_watch *w, const struct event *ev)
{
	if (ev->kind)
		proto_watch_note(w, ev->kind);
	else
		proto_watch_note_uri(w, ev->uri);
}

/* A sink may not call back from its send, so the lists stay as they are meanwhile. */
static void spread(struct proto_server *s, const struct event *ev)
{
	for (struct proto_peer *p = s->peers; p; p = p->next) {
		if (p->silent ||
		    (ev->principal && !sv_eq(buf_view(&p->principal), *ev->principal)))
			continue;
		note(&p->watch, ev);
		for (struct proto_request *r = p->requests; r; r = r->next)
			if (r->kind == PROTO_LISTEN)
				note(&r->watch, ev);
	}
}

static void on_resource_updated(void *arg, struct sv principal, struct sv uri)
{
	spread(arg, &(struct event){.uri = uri, .principal = &principal});
}

static void on_resources_changed(void *arg, struct sv principal)
{
	spread(arg,
	       &(struct event){.kind = PROTO_WATCH_RESOURCES, .principal = &principal});
}

static void on_tools_changed(void *arg)
{
	spread(arg, &(struct event){.kind = PROTO_WATCH_TOOLS});
}

static void on_prompts_changed(void *arg)
{
	spread(arg, &(struct event){.kind = PROTO_WATCH_PROMPTS});
}

void proto_events_init(struct proto_server *s)
{
	s->events = (struct tool_events){
		.resource_updated = on_resource_updated,
		.resources_changed = on_resources_changed,
		.tools_changed = on_tools_changed,
		.prompts_changed = on_prompts_changed,
		.arg = s,
	};
}
