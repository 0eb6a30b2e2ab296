/* server.c: what one process offers to all its clients. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

#define PROGRESS_MS 2000 /* clients give up after 60 s of silence, some after 30 */
#define PROMOTE_MS 45000 /* well before those 60 s */
#define TASK_MS 1000
#define MAX_CALLS 2048

static void fill_defaults(struct proto_server_opts *o)
{
	if (!o->max_calls)
		o->max_calls =
			o->max_in_flight < MAX_CALLS ? MAX_CALLS : o->max_in_flight;
	if (!o->progress_ms)
		o->progress_ms = PROGRESS_MS;
	if (!o->promote_ms)
		o->promote_ms = PROMOTE_MS;
	if (!o->task_ms)
		o->task_ms = TASK_MS;
}

struct proto_server *proto_server_new(const struct proto_server_opts *o, struct err *e)
{
	struct proto_server *s = mem_zalloc(sizeof(*s));

	must(o->max_in_flight > 0);
	if (!s) {
		err_set(e, ERR_LIMIT, "no memory for the server");
		return NULL;
	}
	s->o = *o;
	fill_defaults(&s->o);
	proto_events_init(s);
	proto_account_init(s);
	s->o.env.loop = o->loop;
	s->o.env.events = &s->events;
	if (proto_catalog_init(&s->catalog, &s->o, e)) {
		mem_free(s);
		return NULL;
	}
	if (proto_seal_init(s, e) || proto_tasks_init(s, e)) {
		proto_seal_finish(s);
		proto_catalog_finish(&s->catalog);
		mem_free(s);
		return NULL;
	}
	return s;
}

void proto_server_settle(struct proto_server *s)
{
	if (!s->dead || s->peers || s->use[PROTO_USE_CALLS])
		return;
	proto_catalog_finish(&s->catalog);
	proto_seal_finish(s);
	mem_free(s);
}

void proto_server_free(struct proto_server *s)
{
	if (!s)
		return;
	proto_tasks_finish(s);
	s->dead = true;
	proto_server_settle(s);
}

static struct proto_request *any_listen(const struct proto_server *s)
{
	for (const struct proto_peer *p = s->peers; p; p = p->next)
		for (struct proto_request *r = p->requests; r; r = r->next)
			if (r->kind == PROTO_LISTEN)
				return r;
	return NULL;
}

/* From the start again after each: a sink's end may take its peer along. */
void proto_server_drain(struct proto_server *s)
{
	s->draining = true;
	for (struct proto_request *r; (r = any_listen(s));)
		proto_listen_end(r);
}

const struct tool_events *proto_server_events(struct proto_server *s)
{
	return &s->events;
}
