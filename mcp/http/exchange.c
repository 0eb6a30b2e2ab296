/* exchange.c: a request and its answer, whichever version of HTTP carries them. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

static size_t put(char *text, size_t at, struct sv s, struct sv *ret)
{
	if (s.n)
		memcpy(text + at, s.p, s.n);
	*ret = (struct sv){text + at, s.n};
	return at + s.n;
}

/* Look-ups compare bytes, so names are brought to lower case once. */
static void lower(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
}

static size_t text_bytes(const struct head *h)
{
	size_t n = h->path.n + h->query.n + h->authority.n;

	for (uint32_t i = 0; i < h->n; i++)
		n += h->fields[i].name.n + h->fields[i].value.n;
	return n;
}

struct http_exchange *exchange_new(struct conn *c, const struct head *h)
{
	size_t table = h->n * sizeof(*h->fields), at;
	struct http_exchange *x = mem_alloc(sizeof(*x) + table + text_bytes(h));
	char *text;

	if (!x)
		return NULL;
	*x = (struct http_exchange){.c = c, .next = c->xs, .n = h->n};
	x->fields = (struct field *)(void *)x->text;
	text = x->text + table;
	x->method = h->known;
	x->close = h->close;
	x->chunked = !h->v10;
	x->has_length = h->has_length;
	x->length = h->length;
	buf_init(&x->body, c->s->limits.body_bytes);
	buf_init(&x->out, SIZE_MAX);
	at = put(text, 0, h->path, &x->path);
	at = put(text, at, h->query, &x->query);
	at = put(text, at, h->authority, &x->authority);
	for (uint32_t i = 0; i < h->n; i++) {
		size_t name = at;

		at = put(text, at, h->fields[i].name, &x->fields[i].name);
		lower(text + name, at - name);
		at = put(text, at, h->fields[i].value, &x->fields[i].value);
	}
	if (c->xs)
		c->xs->prev = x;
	c->xs = x;
	return x;
}

void exchange_free(struct http_exchange *x)
{
	struct conn *c = x->c;

	exchange_end(x);
	if (x->prev)
		x->prev->next = x->next;
	else
		c->xs = x->next;
	if (x->next)
		x->next->prev = x->prev;
	share_body_done(c, x->counted);
	buf_finish(&x->body);
	buf_finish(&x->out);
	mem_free(x);
}

int exchange_count_body(struct http_exchange *x, struct refusal *r)
{
	if (share_body(x->c, x->body.n - x->counted))
		return refuse(r, 503, "too many large requests at once");
	x->counted = x->body.n;
	return 0;
}

void exchange_ask(struct http_exchange *x)
{
	const struct http_handler *to = &x->c->s->handler;

	x->pieces = to->takes_pieces && to->takes_pieces(to->arg, x);
	if (x->pieces)
		buf_init(&x->body, HTTP_BODY_WINDOW);
}

void exchange_hand(struct http_exchange *x)
{
	struct http_server *s = x->c->s;

	x->handed = true;
	s->stats.requests++;
	s->stats.exchanges++;
	s->handler.on_request(s->handler.arg, x);
}

void exchange_end(struct http_exchange *x)
{
	if (x->handed && !x->ended)
		x->c->s->stats.exchanges--;
	x->ended = true;
}

void exchange_gone(struct http_exchange *x)
{
	struct http_server *s = x->c->s;
	bool tell = x->handed && !x->ended;

	exchange_end(x);
	if (tell)
		s->handler.on_gone(s->handler.arg, x);
}

/* --- pieces ------------------------------------------------------------------------------------ */

uint64_t exchange_body_due(const struct http_exchange *x, uint64_t end)
{
	const uint64_t due = now_ms() + x->c->s->limits.body_ms;

	if (!x->wanted || x->whole)
		return 0;
	return x->body.n < HTTP_BODY_WINDOW && due < end ? due : end;
}

void exchange_news(struct http_exchange *x)
{
	const struct http_handler *to = &x->c->s->handler;

	x->news = !x->wanted;
	if (x->wanted && !x->ended)
		to->on_body(to->arg, x);
}

bool exchange_has_room(const struct http_exchange *x)
{
	const struct conn *c = x->c;

	return c->h2 ? conn_unsent(c) <= HIGH_WATER && x->out.n - x->out_at < ROOM_BYTES
		     : conn_unsent(c) < ROOM_BYTES;
}

/* One callback for each: x may be gone after it. */
void exchange_serve(struct conn *c)
{
	const struct http_handler *to = &c->s->handler;
	struct http_exchange *next;

	for (struct http_exchange *x = c->xs; x && !c->doomed; x = next) {
		next = x->next;
		if (x->ended)
			continue;
		if (x->news && x->wanted) {
			exchange_news(x);
		} else if (x->wants_room && exchange_has_room(x)) {
			x->wants_room = false;
			to->on_room(to->arg, x);
		}
	}
}

void exchange_take(struct http_exchange *x, size_t n)
{
	/* what was too much to be counted is in the body, but not in the sum */
	const size_t counted = n < x->counted ? n : x->counted;

	x->counted -= counted;
	share_body_done(x->c, counted);
	buf_consume(&x->body, n);
	if (!x->body.n)
		buf_finish(&x->body);
	if (x->c->h2)
		h2_body_taken(x, n);
	else
		h1_body_taken(x);
}

void http_body_start(struct http_exchange *x)
{
	must(x->handed && !x->ended && !x->wanted);
	x->wanted = true;
	x->news = x->news || x->whole;
	if (x->c->doomed)
		return;
	if (x->c->h2)
		h2_body_wanted(x);
	else
		h1_body_wanted(x);
	if (x->news)
		conn_later(x->c);
	conn_touch(x->c);
}

void http_body_take(struct http_exchange *x, size_t n)
{
	must(x->wanted && !x->ended && n <= x->body.n);
	exchange_take(x, n);
	conn_touch(x->c);
}

bool http_body_whole(const struct http_exchange *x)
{
	return x->whole;
}

bool http_has_body(const struct http_exchange *x)
{
	return !x->whole || x->pieces || x->body.n;
}

bool http_length(const struct http_exchange *x, uint64_t *ret)
{
	if (x->has_length)
		*ret = x->length;
	return x->has_length;
}

/* --- the request ------------------------------------------------------------------------------- */

enum http_method http_method(const struct http_exchange *x)
{
	return x->method;
}

struct sv http_path(const struct http_exchange *x)
{
	return x->path;
}

struct sv http_query(const struct http_exchange *x)
{
	return x->query;
}

struct sv http_body(const struct http_exchange *x)
{
	return buf_view(&x->body);
}

struct sv http_authority(const struct http_exchange *x)
{
	return x->authority;
}

unsigned http_header(const struct http_exchange *x, const char *name, struct sv *ret)
{
	struct sv wanted = sv_of(name);
	unsigned found = 0;

	*ret = SV("");
	for (uint32_t i = 0; i < x->n; i++)
		if (sv_eq(x->fields[i].name, wanted) && !found++)
			*ret = x->fields[i].value;
	return found;
}

bool http_is_tls(const struct http_exchange *x)
{
	return x->c->is_tls;
}

bool http_is_unix(const struct http_exchange *x)
{
	return x->c->is_unix;
}

struct sv http_peer(const struct http_exchange *x)
{
	return sv_of(x->c->peer);
}

struct sv http_client_cert(const struct http_exchange *x)
{
	return tls_client_cert(x->c);
}

void http_set_user(struct http_exchange *x, void *user)
{
	x->user = user;
}

void *http_user(const struct http_exchange *x)
{
	return x->user;
}

/* --- the response ------------------------------------------------------------------------------ */

/* Programmer errors of the handler's. */
static void must_be_open(const struct http_exchange *x, unsigned status, unsigned n)
{
	must(x->handed && !x->ended && !x->streaming);
	must(status >= 200 && status <= 599 && n <= HTTP_MAX_FIELDS);
}

void http_respond(struct http_exchange *x, unsigned status,
		  const struct http_field *fields, unsigned n, struct sv body)
{
	struct conn *c = x->c;

	must_be_open(x, status, n);
	exchange_end(x);
	if (c->doomed)
		return;
	if (conn_overfull(c))
		conn_doom(c);
	else if (c->h2)
		h2_respond(x, status, fields, n, body);
	else
		h1_respond(x, status, fields, n, body);
	conn_touch(c);
}

void http_stream_start(struct http_exchange *x, unsigned status,
		       const struct http_field *fields, unsigned n)
{
	must_be_open(x, status, n);
	must(x->whole);
	x->streaming = true;
	if (x->c->doomed)
		return;
	if (x->c->h2)
		h2_start_stream(x, status, fields, n);
	else
		h1_start(x, status, fields, n);
	conn_touch(x->c);
}

void http_stream_start_sized(struct http_exchange *x, unsigned status,
			     const struct http_field *fields, unsigned n,
			     uint64_t length)
{
	x->sized = true;
	x->left = length;
	http_stream_start(x, status, fields, n);
}

void http_stream_write(struct http_exchange *x, struct sv bytes)
{
	struct conn *c = x->c;

	must(x->streaming && !x->ended);
	if (x->sized && x->method != HTTP_HEAD) {
		must(bytes.n <= x->left);
		x->left -= bytes.n;
	}
	if (c->doomed || x->method == HTTP_HEAD || !bytes.n)
		return;
	if (conn_overfull(c))
		conn_doom(c);
	else if (c->h2)
		h2_write(x, bytes);
	else
		h1_write(x, bytes);
	conn_touch(c);
}

void http_stream_end(struct http_exchange *x)
{
	struct conn *c = x->c;

	must(x->streaming && !x->ended);
	must(!x->sized || !x->left || x->method == HTTP_HEAD);
	exchange_end(x);
	if (c->doomed)
		return;
	if (c->h2)
		h2_end(x);
	else
		h1_end(x);
	conn_touch(c);
}

void http_abort(struct http_exchange *x)
{
	struct conn *c = x->c;

	must(x->handed && !x->ended);
	exchange_end(x);
	if (c->doomed)
		return;
	if (c->h2) {
		h2_abort(x);
	} else {
		conn_uncork(c); /* what was written came before the break */
		conn_doom(c);
	}
	conn_touch(c);
}

size_t http_queued(const struct http_exchange *x)
{
	return conn_unsent(x->c) + (x->c->h2 ? h2_queued(x->c) : 0);
}

void http_want_room(struct http_exchange *x)
{
	must(x->streaming && !x->ended);
	x->wants_room = true;
	if (!x->c->doomed && exchange_has_room(x))
		conn_later(x->c);
}

/* --- refusals ---------------------------------------------------------------------------------- */

static const struct {
	unsigned status;
	enum err_code code;
	const char *phrase, *remediation;
} statuses[] = {
	/* clang-format off */
	{200, ERR_NONE, "OK", NULL},
	{201, ERR_NONE, "Created", NULL},
	{202, ERR_NONE, "Accepted", NULL},
	{204, ERR_NONE, "No Content", NULL},
	{206, ERR_NONE, "Partial Content", NULL},
	{304, ERR_NONE, "Not Modified", NULL},
	{400, ERR_INVALID, "Bad Request", "send a well-formed HTTP request"},
	{401, ERR_NONE, "Unauthorized", NULL},
	{403, ERR_NONE, "Forbidden", NULL},
	{404, ERR_NONE, "Not Found", NULL},
	{405, ERR_NONE, "Method Not Allowed", NULL},
	{406, ERR_NONE, "Not Acceptable", NULL},
	{408, ERR_LIMIT, "Request Timeout", "send the whole request without pauses"},
	{409, ERR_NONE, "Conflict", NULL},
	{411, ERR_NONE, "Length Required", NULL},
	{412, ERR_NONE, "Precondition Failed", NULL},
	{413, ERR_LIMIT, "Content Too Large", "send a smaller body"},
	{414, ERR_LIMIT, "URI Too Long", "use a shorter request target"},
	{415, ERR_INVALID, "Unsupported Media Type", "leave out Content-Encoding and send the body as it is"},
	{416, ERR_NONE, "Range Not Satisfiable", NULL},
	{417, ERR_INVALID, "Expectation Failed", "expect nothing but 100-continue"},
	{429, ERR_NONE, "Too Many Requests", NULL},
	{431, ERR_LIMIT, "Request Header Fields Too Large", "send fewer or shorter header fields"},
	{500, ERR_NONE, "Internal Server Error", NULL},
	{501, ERR_INVALID, "Not Implemented", "use plain HTTP/1.1 or HTTP/2"},
	{503, ERR_BUSY, "Service Unavailable", "try again in a moment"},
	{505, ERR_INVALID, "HTTP Version Not Supported", "use HTTP/1.1 or HTTP/2"},
	{507, ERR_NONE, "Insufficient Storage", NULL},
	/* clang-format on */
};

const char *status_phrase(unsigned status)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].phrase;
	return "";
}

void refusal_json(struct buf *b, const struct refusal *r)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].status == r->status && statuses[i].remediation)
			/* literals without a quote or backslash: no escaping */
			buf_fmt(b,
				"{\"code\":\"%s\",\"cause\":\"%s\",\"remediation\":\"%s\"}",
				err_code_name(statuses[i].code), r->cause,
				statuses[i].remediation);
}
