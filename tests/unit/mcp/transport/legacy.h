/* legacy.h: a legacy client of the faked transport: a session, and requests in it. */
#ifndef TESTS_TRANSPORT_LEGACY_H
#define TESTS_TRANSPORT_LEGACY_H

#include "tests/unit/mcp/transport/fake.h"

#define NEW "2025-11-25"
#define OLD "2025-06-18"

static char session_id[SESSION_ID_SIZE];

static inline struct http_exchange *finish(struct rig *r, struct http_exchange *x)
{
	if (!x->ended)
		rig_until(r, x->ended);
	return x;
}

/* A session of `who` ("Bearer me"); its id is in session_id. */
static inline void begin(struct rig *r, const char *body, const char *who)
{
	struct http_exchange *x = x_post(body);

	x_set(x, "authorization", who);
	x_go(x);
	finish(r, x);
	must(!sv_copy(sv_of(x_get(x, "mcp-session-id")), session_id,
		      sizeof(session_id)));
	x_free(x);
}

static inline void rig_begin(struct rig *r, const struct streamable_opts *o, const char *body)
{
	rig_open(r, o);
	begin(r, body, "Bearer me");
	must(session_id[0]);
}

static inline struct http_exchange *in_session(struct http_exchange *x)
{
	x_set(x, "mcp-session-id", session_id);
	x_go(x);
	return x;
}

static inline struct http_exchange *get(const char *last_event_id)
{
	struct http_exchange *x = x_new(HTTP_GET, "/mcp");

	x_set(x, "accept", "text/event-stream");
	if (last_event_id)
		x_set(x, "last-event-id", last_event_id);
	return in_session(x);
}

static inline unsigned status_and_free(struct http_exchange *x)
{
	unsigned status = x->status;

	if (!x->ended)
		x_gone(x);
	x_free(x);
	return status;
}

/* The last event id in what x got. */
static inline void last_id(const struct http_exchange *x, char *ret, size_t size)
{
	const char *at = NULL;

	for (const char *p = x_text(x); (p = strstr(p, "id: ")); p++)
		if (p == x_text(x) || p[-1] == '\n')
			at = p + 4;
	must(at);
	must(!sv_copy((struct sv){at, strcspn(at, "\n")}, ret, size));
}

#endif
