/* h2_send.c: answers on streams. */
#include "mcp/http/h2.h"

#include "sandbox/base/mem.h"

enum { OWN_FIELDS = 3 }; /* :status, date, content-length */

size_t h2_queued(const struct conn *c)
{
	return c->h2->pending;
}

void h2_drop(struct http_exchange *x)
{
	struct conn *c = x->c;

	c->h2->pending -= x->out.n - x->out_at;
	exchange_free(x);
	conn_write_due(c, 0);
}

/* --- data -------------------------------------------------------------------------------------- */

static ssize_t read_data(nghttp2_session *session, int32_t stream, uint8_t *to,
			 size_t size, uint32_t *flags, nghttp2_data_source *source,
			 void *arg)
{
	struct http_exchange *x = source->ptr;
	size_t n = x->out.n - x->out_at;
	struct h2 *h = arg;

	(void)session, (void)stream;
	n = n < size ? n : size;
	if (!n && !x->out_end) {
		x->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n)
		memcpy(to, x->out.p + x->out_at, n);
	x->out_at += n;
	h->pending -= n;
	conn_write_due(h->c, n);
	if (x->wants_room && exchange_has_room(x))
		conn_later(h->c);
	if (x->out_at == x->out.n) {
		buf_finish(&x->out);
		x->out_at = 0;
		if (x->out_end)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	return (ssize_t)n;
}

void h2_reset(struct http_exchange *x, uint32_t code)
{
	if (x->c->h2->oom)
		return;
	nghttp2_submit_rst_stream(x->c->h2->session, NGHTTP2_FLAG_NONE, x->stream,
				  code);
}

static void resume(struct http_exchange *x)
{
	if (!x->deferred || x->c->h2->oom)
		return;
	x->deferred = false;
	nghttp2_session_resume_data(x->c->h2->session, x->stream);
}

static void add_data(struct http_exchange *x, struct sv bytes)
{
	struct h2 *h = x->c->h2;

	if (x->out_at && x->out_at >= x->out.n / 2) {
		buf_consume(&x->out, x->out_at);
		x->out_at = 0;
	}
	buf_sv(&x->out, bytes);
	if (x->out.failed) {
		h2_reset(x, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	h->pending += bytes.n;
	conn_write_due(h->c, 0);
}

/* --- heads ------------------------------------------------------------------------------------- */

/* What HTTP/2 has no place for (RFC 9113, 8.2.2), and what is ours to say. */
static bool is_ours(const char *name)
{
	static const char *const ours[] = {
		"connection", "transfer-encoding", "keep-alive",       "upgrade",
		"date",	      "content-length",	   "proxy-connection",
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (!strcmp(name, ours[i]))
			return true;
	return false;
}

struct nva {
	nghttp2_nv v[HTTP_MAX_FIELDS + OWN_FIELDS];
	size_t n;
};

/* nghttp2 copies both, and its pointers are not const only because they need not be copied. */
static void add_nv(struct nva *a, struct sv name, struct sv value)
{
	union {
		const char *in;
		uint8_t *out;
	} n = {name.p}, v = {value.p};

	must(a->n < ARRAY_LEN(a->v));
	a->v[a->n++] = (nghttp2_nv){
		.name = n.out, .value = v.out, .namelen = name.n, .valuelen = value.n};
}

/* The same value without what would end a line elsewhere; lives in *b, which must not grow. */
static struct sv clean(struct buf *b, struct sv value)
{
	size_t at = b->n;

	buf_sv(b, value);
	if (b->failed)
		return SV("");
	for (size_t i = at; i < b->n; i++)
		if (b->p[i] == '\r' || b->p[i] == '\n' || b->p[i] == '\0')
			b->p[i] = ' ';
	return (struct sv){b->p + at, value.n};
}

/* length < 0: not known. with_data: DATA frames follow. */
struct answer {
	unsigned status;
	const struct http_field *fields;
	unsigned n;
	int64_t length;
	bool with_data;
};

static void submit(struct http_exchange *x, const struct answer *a)
{
	struct http_server *s = x->c->s;
	nghttp2_data_provider data = {.source.ptr = x, .read_callback = read_data};
	struct nva nva = {.n = 0};
	char status[12], length[24];
	size_t room = 0;

	if (x->c->h2->oom)
		return;
	for (unsigned i = 0; i < a->n; i++)
		room += a->fields[i].value.n;
	buf_reset(&s->head);
	buf_reserve(&s->head, room);
	snprintf(status, sizeof(status), "%03u", a->status);
	add_nv(&nva, SV(":status"), sv_of(status));
	add_nv(&nva, SV("date"), sv_of(server_date(s)));
	if (a->length >= 0) {
		snprintf(length, sizeof(length), "%lld", (long long)a->length);
		add_nv(&nva, SV("content-length"), sv_of(length));
	}
	for (unsigned i = 0; i < a->n; i++)
		if (!is_ours(a->fields[i].name))
			add_nv(&nva, sv_of(a->fields[i].name),
			       clean(&s->head, a->fields[i].value));
	if (s->head.failed ||
	    nghttp2_submit_response(x->c->h2->session, x->stream, nva.v, nva.n,
				    a->with_data ? &data : NULL))
		h2_reset(x, NGHTTP2_INTERNAL_ERROR);
}

static bool has_content(unsigned status)
{
	return status != 204 && status != 304;
}

void h2_respond(struct http_exchange *x, unsigned status,
		const struct http_field *fields, unsigned n, struct sv body)
{
	struct answer a = {status, fields, n, -1, false};

	if (has_content(status))
		a.length = (int64_t)body.n;
	a.with_data = has_content(status) && body.n && x->method != HTTP_HEAD;
	x->out_end = true;
	if (x->pieces && !x->whole) {
		/* the client may say the rest; see on_sent */
		exchange_take(x, x->body.n);
		x->body_due = x->body_end = 0;
	}
	submit(x, &a);
	if (a.with_data)
		add_data(x, body);
}

void h2_start_stream(struct http_exchange *x, unsigned status,
		     const struct http_field *fields, unsigned n)
{
	struct answer a = {status, fields, n, -1, x->method != HTTP_HEAD};

	must(has_content(status));
	if (x->sized)
		a.length = (int64_t)x->left;
	submit(x, &a);
}

void h2_write(struct http_exchange *x, struct sv bytes)
{
	add_data(x, bytes);
	resume(x);
}

void h2_end(struct http_exchange *x)
{
	x->out_end = true;
	resume(x);
}

void h2_abort(struct http_exchange *x)
{
	h2_reset(x, NGHTTP2_INTERNAL_ERROR);
}

void h2_continue(struct http_exchange *x)
{
	struct nva nva = {.n = 0};

	if (x->c->h2->oom)
		return;
	add_nv(&nva, SV(":status"), SV("100"));
	nghttp2_submit_headers(x->c->h2->session, NGHTTP2_FLAG_NONE, x->stream, NULL,
			       nva.v, nva.n, NULL);
}

void h2_refuse(struct http_exchange *x, const struct refusal *r)
{
	struct http_field type = {"content-type", SV("application/json")};
	AUTO_BUF body = {.max = 1024};

	x->c->s->stats.refused++;
	exchange_gone(x);
	refusal_json(&body, r);
	h2_respond(x, r->status, &type, 1, buf_view(&body));
}
