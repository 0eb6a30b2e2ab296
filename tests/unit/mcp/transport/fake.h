/* fake.h: HTTP and the protocol as the transport sees them, under a test's hand.
 *
 * A test includes it once: it defines http.h's and protocol.h's functions. What a message does
 * stands in its method:
 *	initialize	result; revision as asked; "refuse" as revision: an error
 *	now		result at once
 *	note		a notification, then the result, at once
 *	later		nothing until fake_answer, fake_note, fake_ask
 *	open, drop	sink.open, sink.drop, then as later; subscriptions/listen as open
 *	lost		an error with status 404
 * Modern is what the header mcp-protocol-version says is 2026-07-28. */
#ifndef TESTS_TRANSPORT_FAKE_H
#define TESTS_TRANSPORT_FAKE_H

#include "mcp/transport/streamable.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"
#include "tests/unit/mcp/transport/fake_http.h"

#include <stdlib.h>

#define WATCHDOG_MS 20000

/* --- the protocol ------------------------------------------------------------------------------ */

#define FAKE_PENDING 512
struct fake_request {
	struct proto_peer *peer;	/* NULL: free */
	struct proto_sink *sink;
	char id[64];
};
static struct fake_request fake_pending[FAKE_PENDING];
static unsigned fake_peers, fake_cancelled;

struct proto_peer {
	struct proto_peer_opts o;
	struct buf credential, principal;
	char revision[32];
};

static bool fake_busy(const struct proto_peer *p)
{
	for (unsigned i = 0; i < FAKE_PENDING; i++)
		if (fake_pending[i].peer == p)
			return true;
	return false;
}

static struct proto_peer *fake_last_peer;

struct proto_peer *proto_peer_new(const struct proto_peer_opts *o, struct err *e)
{
	struct proto_peer *p = mem_zalloc(sizeof(*p));

	if (!p) {
		err_set(e, ERR_LIMIT, "no memory");
		return NULL;
	}
	p->o = *o;
	buf_init(&p->credential, SUP_MAX_CREDENTIAL);
	buf_init(&p->principal, SUP_MAX_CREDENTIAL);
	buf_sv(&p->credential, o->credential);
	buf_sv(&p->principal, o->principal);
	fake_peers++;
	fake_last_peer = p;
	return p;
}

void proto_peer_free(struct proto_peer *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < FAKE_PENDING; i++)
		if (fake_pending[i].peer == p) {
			fake_pending[i].peer = NULL;
			fake_cancelled++;
		}
	buf_finish(&p->credential);
	buf_finish(&p->principal);
	mem_free(p);
	fake_peers--;
}

int proto_peer_renew(struct proto_peer *p, struct sv credential, struct err *e)
{
	(void)e;
	buf_reset(&p->credential);
	buf_sv(&p->credential, credential);
	return 0;
}

static void fake_send(struct proto_sink *sink, enum proto_message_kind kind, unsigned status, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void fake_send(struct proto_sink *sink, enum proto_message_kind kind, unsigned status, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sink->send(sink, &(struct proto_message){kind, sv_of(text), status});
}

static void fake_later(struct proto_peer *p, struct proto_in *in, struct proto_sink *sink)
{
	for (unsigned i = 0; i < FAKE_PENDING; i++)
		if (!fake_pending[i].peer) {
			fake_pending[i].peer = p;
			fake_pending[i].sink = sink;
			snprintf(fake_pending[i].id, sizeof(fake_pending[i].id), SV_FMT, SV_ARG(in->msg.id));
			return;
		}
	abort();
}

static struct fake_request *fake_find(const char *id)
{
	for (unsigned i = 0; i < FAKE_PENDING; i++)
		if (fake_pending[i].peer && !strcmp(fake_pending[i].id, id))
			return &fake_pending[i];
	must(!"no such request");
	return NULL;
}

static inline void fake_answer(const char *id)
{
	struct fake_request *r = fake_find(id);
	struct proto_sink *sink = r->sink;

	r->peer = NULL;
	fake_send(sink, PROTO_RESULT, 200, "{\"id\":%s,\"result\":{}}", id);
	sink->end(sink);
}

static inline void fake_note(const char *id, unsigned n)
{
	fake_send(fake_find(id)->sink, PROTO_NOTIFICATION, 200, "{\"note\":%u}", n);
}

/* As notifications/cancelled does: its end, and no answer. */
static inline void fake_cancel(const char *id)
{
	struct fake_request *r = fake_find(id);

	r->peer = NULL;
	r->sink->end(r->sink);
}

static void fake_initialize(struct proto_peer *p, struct proto_in *in, struct proto_sink *sink)
{
	struct sv wanted = js_str(js_get(in->msg.params, "protocolVersion"));

	if (p->revision[0] || sv_eq(wanted, SV("refuse"))) {
		fake_send(sink, PROTO_ERROR, 400, "{\"id\":1,\"error\":\"initialize\"}");
	} else {
		sv_copy(wanted, p->revision, sizeof(p->revision));
		fake_send(sink, PROTO_RESULT, 200, "{\"id\":1,\"result\":\"hello\"}");
	}
	sink->end(sink);
}

void proto_deliver(struct proto_peer *p, struct proto_in *in, struct proto_sink *sink)
{
	struct sv m = in->msg.method;

	if (in->bad) {
		fake_send(sink, PROTO_ERROR, 400, "{\"error\":\"bad\"}");
		sink->end(sink);
	} else if (in->msg.kind != RPC_REQUEST) {
		sink->end(sink);
	} else if (in->initialize) {
		fake_initialize(p, in, sink);
	} else if (sv_eq(m, SV("later")) || sv_eq(m, SV("open")) || sv_eq(m, SV("drop")) ||
		   sv_eq(m, SV("subscriptions/listen"))) {
		fake_later(p, in, sink);
		if (!sv_eq(m, SV("later")) && !sv_eq(m, SV("drop")) && sink->open)
			sink->open(sink);
		if (sv_eq(m, SV("drop")) && sink->drop)
			sink->drop(sink);
	} else {
		if (sv_eq(m, SV("note")))
			fake_send(sink, PROTO_NOTIFICATION, 200, "{\"note\":0}");
		if (sv_eq(m, SV("lost")))
			fake_send(sink, PROTO_ERROR, 404, "{\"error\":\"lost\"}");
		else
			fake_send(sink, PROTO_RESULT, 200, "{\"id\":" SV_FMT ",\"result\":{}}", SV_ARG(in->msg.id));
		sink->end(sink);
	}
}

void proto_read(struct sv bytes, const struct proto_headers *headers, struct proto_in *ret)
{
	struct sv version;

	*ret = (struct proto_in){.headers = headers};
	ret->bad = rpc_parse(bytes, &ret->msg, &ret->fault) != 0;
	headers->get(headers->arg, "mcp-protocol-version", &version);
	ret->era = sv_eq(version, SV("2026-07-28")) ? PROTO_MODERN : PROTO_LEGACY;
	ret->initialize = !ret->bad && sv_eq(ret->msg.method, SV("initialize"));
	ret->asks = !ret->bad && ret->msg.kind == RPC_REQUEST;
}

bool proto_peer_takes(const struct proto_peer *p, const struct proto_in *in)
{
	(void)p;
	return !in->bad;
}

void proto_in_finish(struct proto_in *in)
{
	rpc_msg_finish(&in->msg);
	rpc_fault_finish(&in->fault);
}

void proto_sink_gone(struct proto_peer *p, struct proto_sink *sink)
{
	for (unsigned i = 0; i < FAKE_PENDING; i++)
		if (fake_pending[i].peer == p && fake_pending[i].sink == sink) {
			fake_pending[i].peer = NULL;
			fake_cancelled++;
		}
}

void proto_peer_close(struct proto_peer *p, void (*on_idle)(void *arg), void *arg)
{
	for (unsigned i = 0; i < FAKE_PENDING; i++)
		if (fake_pending[i].peer == p) {
			fake_pending[i].peer = NULL;
			fake_cancelled++;
			fake_pending[i].sink->end(fake_pending[i].sink);
		}
	if (on_idle)
		on_idle(arg);
}

bool proto_peer_busy(const struct proto_peer *p) { return fake_busy(p); }
const char *proto_peer_revision(const struct proto_peer *p) { return p->revision; }
void proto_server_drain(struct proto_server *s) { (void)s; }

void proto_write_refusal(struct buf *b, struct sv id, int code, const struct err *e)
{
	rpc_write_error(b, id, (enum rpc_code)code, e, (struct sv){0});
}

/* --- who is calling ---------------------------------------------------------------------------- */

/* "bearer NAME" is key:NAME; "bearer bad", "bearer scope", "bearer down" are refused; "slow" is
 * never answered; the others are when x_go is back from the handler, so that no test hangs on how
 * long an answer is remembered. "brief" expires after BRIEF_MS. */
#define BRIEF_MS 50
struct sup_auth {
	char credential[256];
	sup_auth_fn *on_done;
	void *arg;
};
static unsigned fake_asked, fake_auths;
static struct sup_auth *fake_quick;

static void fake_auth_done(struct sup_auth *a)
{
	static const struct { const char *token; enum err_code code; } refused[] = {
		{"bearer bad", ERR_UNAUTHENTICATED}, {"bearer odd", ERR_INVALID},
		{"bearer scope", ERR_FORBIDDEN}, {"bearer down", ERR_UNAVAILABLE},
	};
	struct sup_identity id = {0};
	struct err e = {0};

	for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
		if (!strcmp(a->credential, refused[i].token))
			err_set(&e, refused[i].code, "refused");
	/* "bearer me.2" is me too, with another token */
	snprintf(id.principal, sizeof(id.principal), "key:%.*s", (int)strcspn(a->credential, "."),
		 a->credential);
	if (!strcmp(a->credential, "bearer brief"))
		id.expires_us = loop_wall_us() + BRIEF_MS * 1000;
	fake_auths--;
	a->on_done(a->arg, e.code ? NULL : &id, e.code ? &e : NULL);
	mem_free(a);
}

static struct sup_auth *fake_auth(struct sup_client *c, struct sv credential, sup_auth_fn *on_done,
				  void *arg, struct err *e)
{
	struct sup_auth *a = mem_zalloc(sizeof(*a));

	(void)c;
	if (!a) {
		err_set(e, ERR_LIMIT, "no memory");
		return NULL;
	}
	fake_asked++;
	fake_auths++;
	a->on_done = on_done;
	a->arg = arg;
	sv_copy(credential, a->credential, sizeof(a->credential));
	if (!sv_eq(credential, SV("bearer slow")))
		fake_quick = a;
	return a;
}

static void fake_auth_cancel(struct sup_auth *a)
{
	if (a == fake_quick)
		fake_quick = NULL;
	fake_auths--;
	mem_free(a);
}

/* --- a server and its clients ------------------------------------------------------------------ */

struct rig {
	struct loop loop;
	struct streamable *t;
	uint16_t port;
	struct streamable_opts o;
	bool expired;
};

static inline void rig_on_watchdog(struct loop_timer *t)
{
	struct rig *r = t->arg;

	r->expired = true;
	loop_stop(&r->loop);
}

static inline void rig_on_step(struct loop_timer *t)
{
	struct rig *r = t->arg;

	loop_stop(&r->loop);
}

/* One turn of the loop: what is due now. */
static inline void rig_turn(struct rig *r)
{
	struct loop_timer step = {.on_due = rig_on_step, .arg = r};

	loop_timer_set(&r->loop, &step, 0);
	r->loop.stopped = false;
	loop_run(&r->loop, NULL);
}

/* Turns until the condition holds, or fails. */
#define rig_until(r, cond)                                                                   \
	do {                                                                                 \
		struct loop_timer dog = {.on_due = rig_on_watchdog, .arg = (r)};             \
		loop_timer_set(&(r)->loop, &dog, WATCHDOG_MS);                               \
		while (!(cond) && !(r)->expired) {                                           \
			struct loop_timer step = {.on_due = rig_on_step, .arg = (r)};        \
			loop_timer_set(&(r)->loop, &step, 1);                                \
			(r)->loop.stopped = false;                                           \
			loop_run(&(r)->loop, NULL);                                          \
			loop_timer_stop(&(r)->loop, &step);                                  \
		}                                                                            \
		loop_timer_stop(&(r)->loop, &dog);                                           \
		ok(!(r)->expired, "in time: %s", #cond);                                     \
		(r)->expired = false;                                                        \
	} while (0)

static inline void rig_open(struct rig *r, const struct streamable_opts *o)
{
	struct err e = {0};

	*r = (struct rig){.port = 8080};
	must(!loop_init(&r->loop, &e));
	if (o)
		r->o = *o;
	r->o.loop = &r->loop;
	r->o.client = (struct sup_client *)(void *)&r->loop;
	r->o.auth = fake_auth;
	r->o.auth_cancel = fake_auth_cancel;
	r->o.site.ports = &r->port;
	r->o.site.nports = 1;
	fake_asked = fake_cancelled = 0;
	r->t = streamable_new(&r->o, &e);
	must(r->t);
	fake_handler = streamable_handler(r->t);
}

static inline void rig_close(struct rig *r)
{
	streamable_free(r->t);
	loop_finish(&r->loop);
	memset(fake_pending, 0, sizeof(fake_pending));
	ok(fake_peers == 0, "no peer is left");
	ok(fake_auths == 0, "nobody is being asked about");
}

static inline void x_set(struct http_exchange *x, const char *name, const char *value)
{
	for (unsigned i = 0; i < x->nin; i++)
		if (!strcmp(x->in[i].name, name)) {
			x->in[i].value = value;
			return;
		}
	must(x->nin < FAKE_FIELDS);
	x->in[x->nin].name = name;
	x->in[x->nin++].value = value;
}

static inline struct http_exchange *x_new(enum http_method method, const char *path)
{
	struct http_exchange *x = mem_zalloc(sizeof(*x));

	must(x);
	x->method = method;
	x->path = path;
	x->authority = "127.0.0.1:8080";
	buf_init(&x->body, 1 << 20);
	buf_init(&x->out, 64 << 20);
	x_set(x, "authorization", "Bearer me");
	fake_exchanges++;
	return x;
}

static inline void x_free(struct http_exchange *x)
{
	buf_finish(&x->body);
	buf_finish(&x->out);
	mem_free(x);
	fake_exchanges--;
}

static inline void x_go(struct http_exchange *x)
{
	struct sup_auth *a;

	fake_handler.on_request(fake_handler.arg, x);
	a = fake_quick;
	fake_quick = NULL;
	if (a)
		fake_auth_done(a);
}

/* The client closes the connection. */
static inline void x_gone(struct http_exchange *x)
{
	must(!x->ended);
	x->gone = true;
	fake_handler.on_gone(fake_handler.arg, x);
}

static inline const char *x_get(const struct http_exchange *x, const char *name)
{
	for (unsigned i = 0; i < x->nout; i++)
		if (!strcmp(x->names[i], name))
			return x->values[i];
	return "";
}

static inline const char *x_text(const struct http_exchange *x) { return buf_cstr(&x->out); }
static inline bool x_has(const struct http_exchange *x, const char *text) { return strstr(x_text(x), text) != NULL; }

static inline unsigned x_count(const struct http_exchange *x, const char *text)
{
	unsigned n = 0;

	for (const char *p = x_text(x); (p = strstr(p, text)); p++)
		n++;
	return n;
}

static inline struct http_exchange *x_post(const char *body)
{
	struct http_exchange *x = x_new(HTTP_POST, "/mcp");

	buf_str(&x->body, body);
	x_set(x, "content-type", "application/json");
	x_set(x, "accept", "application/json, text/event-stream");
	return x;
}

#define REQUEST(id, method) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"" method "\"}"
#define INITIALIZE(version)                                                          \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"       \
	"\"protocolVersion\":\"" version "\"}}"

static inline struct http_exchange *x_modern(const char *body)
{
	struct http_exchange *x = x_post(body);

	x_set(x, "mcp-protocol-version", "2026-07-28");
	return x;
}

#endif
