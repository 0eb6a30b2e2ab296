/* h1.c: HTTP/1 on a connection: requests one after the other, and their answers.
 *
 * Theory of operation: c->h1 says what comes next: a head, the body of x, or nothing until the
 * handler has answered x. What arrives in that last state is kept in c->in, up to header_bytes,
 * and is the next request. h1_run goes on with it. A request is begun only while little is unsent,
 * so a client that pipelines and does not read stops getting answers instead of filling memory.
 *
 * A body in pieces is handed on while it is read. What x->body has no room for stays in c->in, and then in
 * the socket: that is all there is to holding the client up. */
#include "mcp/http/internal.h"

#include "sandbox/base/mem.h"

/* requests served in one go before other connections have their turn */
enum { BATCH = 32 };

/* --- answers ----------------------------------------------------------------------------------- */

static void add_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, digits + n, sizeof(digits) - n);
}

/* these are ours to say */
static bool is_framing(const char *name)
{
	static const char *const ours[] = {"date", "content-length", "connection",
					   "transfer-encoding"};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (!strcmp(name, ours[i]))
			return true;
	return false;
}

static void add_value(struct buf *b, struct sv v)
{
	size_t at = b->n;

	buf_sv(b, v);
	for (; !b->failed && at < b->n; at++)
		if (b->p[at] == '\r' || b->p[at] == '\n' || b->p[at] == '\0')
			b->p[at] = ' ';
}

/* All but the last CRLF. */
static void start_head(struct http_server *s, unsigned status,
		       const struct http_field *fields, unsigned n, bool closes)
{
	struct buf *b = &s->head;

	buf_reset(b);
	buf_sv(b, SV("HTTP/1.1 "));
	add_u64(b, status);
	buf_byte(b, ' ');
	buf_str(b, status_phrase(status));
	buf_sv(b, SV("\r\ndate: "));
	buf_str(b, server_date(s));
	buf_sv(b, SV("\r\n"));
	for (unsigned i = 0; i < n; i++) {
		if (is_framing(fields[i].name))
			continue;
		buf_str(b, fields[i].name);
		buf_sv(b, SV(": "));
		add_value(b, fields[i].value);
		buf_sv(b, SV("\r\n"));
	}
	if (closes)
		buf_sv(b, SV("connection: close\r\n"));
}

/* RFC 9110, 8.6: with these there is no content, so no length either */
static bool has_content(unsigned status)
{
	return status != 204 && status != 304;
}

static void add_length(struct buf *b, uint64_t n)
{
	buf_sv(b, SV("content-length: "));
	add_u64(b, n);
	buf_sv(b, SV("\r\n"));
}

static void send_head(struct conn *c, struct sv body)
{
	struct sv parts[] = {buf_view(&c->s->head), body};

	if (c->s->head.failed)
		conn_doom(c);
	else
		conn_send(c, parts, ARRAY_LEN(parts));
}

/* Ends the head that start_head began, and sends it with the body. */
static void send_whole(struct conn *c, unsigned status, struct sv body, bool bodyless)
{
	struct buf *b = &c->s->head;

	if (has_content(status))
		add_length(b, body.n);
	buf_sv(b, SV("\r\n"));
	send_head(c, bodyless || !has_content(status) ? SV("") : body);
}

static void next_head(struct conn *c)
{
	c->h1 = H1_HEAD;
	c->scan = (struct h1_scan){0};
	c->read_due = 0;
}

/* The answer is complete; x dies. */
static void answered(struct http_exchange *x)
{
	struct conn *c = x->c;
	bool close = x->close || c->s->draining;
	uint64_t rest = x->whole ? 0 : c->body.left;

	exchange_free(x);
	next_head(c);
	if (close)
		conn_finish(c);
	if (close && c->state == CONN_CLOSING && rest)
		/* a client that reads no answer before all is sent shall come to read it */
		c->linger_left = rest < LINGER_MOST - LINGER_BYTES
					 ? LINGER_BYTES + (uint32_t)rest
					 : LINGER_MOST;
	if (close)
		return;
	if (c->s->current != c && !c->in.n && !conn_unsent(c))
		conn_idle(c);
}

void h1_respond(struct http_exchange *x, unsigned status,
		const struct http_field *fields, unsigned n, struct sv body)
{
	struct http_server *s = x->c->s;

	/* unread is the rest of the body, or one that will never come: no request can follow */
	x->close |= s->draining || !x->whole;
	start_head(s, status, fields, n, x->close);
	send_whole(x->c, status, body, x->method == HTTP_HEAD);
	answered(x);
}

void h1_start(struct http_exchange *x, unsigned status, const struct http_field *fields,
	      unsigned n)
{
	struct http_server *s = x->c->s;

	must(has_content(status));
	x->close |= s->draining;
	start_head(s, status, fields, n, x->close);
	if (x->sized) {
		x->chunked = false;
		add_length(&s->head, x->left);
	}
	buf_sv(&s->head,
	       x->chunked ? SV("transfer-encoding: chunked\r\n\r\n") : SV("\r\n"));
	send_head(x->c, SV(""));
}

void h1_write(struct http_exchange *x, struct sv bytes)
{
	char size[24];
	struct sv parts[] = {{size, 0}, bytes, SV("\r\n")};

	if (!x->chunked) {
		conn_send(x->c, &bytes, 1);
		return;
	}
	parts[0].n = (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes.n);
	conn_send(x->c, parts, ARRAY_LEN(parts));
}

void h1_end(struct http_exchange *x)
{
	struct sv last = SV("0\r\n\r\n");

	if (x->chunked && x->method != HTTP_HEAD)
		conn_send(x->c, &last, 1);
	answered(x);
}

/* Our own answer in place of the handler's; nothing that follows it can be trusted to be a request
 * (RFC 9112, 6.3 and 11.2), so it is the last. */
void h1_refuse(struct conn *c, const struct refusal *r)
{
	struct http_field type = {"content-type", SV("application/json")};
	AUTO_BUF body = {.max = 1024};

	c->s->stats.refused++;
	if (c->xs) {
		exchange_gone(c->xs);
		exchange_free(c->xs);
	}
	refusal_json(&body, r);
	start_head(c->s, r->status, &type, 1, true);
	send_whole(c, r->status, buf_view(&body), c->scan.is_head);
	next_head(c);
	conn_finish(c);
}

/* --- requests ---------------------------------------------------------------------------------- */

static void dispatch(struct conn *c)
{
	conn_busy(c);
	c->h1 = H1_HANDLER;
	c->read_due = 0;
	c->xs->whole = true;
	exchange_hand(c->xs);
	/* the peer is done sending, and that means done: see http_handler.on_gone */
	if (c->eof && c->state == CONN_H1 && c->h1 == H1_HANDLER)
		conn_doom(c);
}

static void say_go_on(struct conn *c)
{
	struct sv go_on = SV("HTTP/1.1 100 Continue\r\n\r\n");

	conn_send(c, &go_on, 1);
}

/* expect: and nothing of it has come yet */
static void await_body(struct conn *c, bool expect)
{
	const struct http_limits *l = &c->s->limits;

	c->h1 = H1_BODY;
	if (c->xs->pieces) {
		c->xs->expect = expect;
		c->read_due = 0;
		exchange_hand(c->xs);
		return;
	}
	c->read_due = now_ms() + l->body_ms;
	c->body_end = now_ms() + l->body_total_ms;
	if (expect)
		say_go_on(c);
}

void h1_body_wanted(struct http_exchange *x)
{
	struct conn *c = x->c;

	c->body_end = now_ms() + c->s->limits.pieces_total_ms;
	c->read_due = exchange_body_due(x, c->body_end);
	if (x->expect && !c->in.n)
		say_go_on(c);
}

void h1_body_taken(struct http_exchange *x)
{
	struct conn *c = x->c;

	if (x->whole)
		return;
	c->read_due = exchange_body_due(x, c->body_end);
	if (c->in.n)
		conn_later(c);
}

/* The exchange of that head: whether a body follows. */
static int begin(struct conn *c, const struct head *h, struct refusal *r)
{
	struct http_exchange *x = exchange_new(c, h);

	if (!x)
		return refuse(r, 503, "no memory for the request");
	if (h->chunked || h->length)
		exchange_ask(x);
	return h1_body_start(&c->body, h,
			     x->pieces ? UINT64_MAX : c->s->limits.body_bytes, r);
}

/* data starts a head. How much of it was used: 0 when it is not whole yet, or was refused. */
static size_t take_head(struct conn *c, struct sv data)
{
	struct http_server *s = c->s;
	struct head h = {.fields = s->fields};
	struct refusal r;
	size_t n;
	int got;

	if (conn_is_idle(c) || !c->read_due) {
		conn_receiving(c);
		c->read_due = now_ms() + s->limits.header_ms;
	}
	got = h1_scan(&c->scan, data, &s->limits, &r);
	if (got == H1_MORE)
		return 0;
	n = c->scan.at;
	if (got == H1_DONE)
		got = h1_head((struct sv){data.p, n}, &s->limits, &h, &r);
	if (got == H1_DONE && head_check(&h, &r))
		got = H1_BAD;
	if (got == H1_DONE)
		got = begin(c, &h, &r);
	if (got == H1_BAD) {
		h1_refuse(c, &r);
		return 0;
	}
	if (got == H1_DONE)
		dispatch(c);
	else
		await_body(c, h.expect && n == data.n);
	return n;
}

/* As much as there is room for; 0 holds the client up. */
static size_t take_piece(struct conn *c, struct sv data)
{
	struct http_exchange *x = c->xs;
	const size_t room = x->wanted ? HTTP_BODY_WINDOW - x->body.n : 0;
	struct refusal r;
	size_t used;
	int got;

	if (!room)
		return 0;
	data.n = data.n < room ? data.n : room;
	got = h1_body_feed(&c->body, data, &used, &x->body, &c->s->limits, &r);
	if (got != H1_BAD && exchange_count_body(x, &r))
		got = H1_BAD;
	if (got == H1_BAD) {
		h1_refuse(c, &r);
		return 0;
	}
	x->whole = got == H1_DONE;
	c->read_due = exchange_body_due(x, c->body_end);
	if (x->whole) {
		conn_busy(c);
		c->h1 = H1_HANDLER;
	}
	exchange_news(x);
	return used;
}

static size_t take_body(struct conn *c, struct sv data)
{
	const struct http_limits *l = &c->s->limits;
	struct http_exchange *x = c->xs;
	struct refusal r;
	uint64_t due;
	size_t used;
	int got = h1_body_feed(&c->body, data, &used, &x->body, l, &r);

	if (got != H1_BAD && exchange_count_body(x, &r))
		got = H1_BAD;
	if (got == H1_BAD) {
		h1_refuse(c, &r);
		return 0;
	}
	if (got == H1_DONE) {
		dispatch(c);
		return used;
	}
	due = now_ms() + l->body_ms;
	c->read_due = due < c->body_end ? due : c->body_end;
	return used;
}

/* Serves what data holds; returns how much of it is done with. */
static size_t process(struct conn *c, struct sv data)
{
	size_t used = 0, n = 1;
	int served = 0;

	while (n && used < data.n && c->state == CONN_H1 && !c->doomed &&
	       c->h1 != H1_HANDLER) {
		struct sv rest = {data.p + used, data.n - used};

		if (c->h1 == H1_BODY && c->xs->pieces) {
			n = take_piece(c, rest);
		} else if (c->h1 == H1_BODY) {
			n = take_body(c, rest);
		} else if (conn_unsent(c) > HIGH_WATER) {
			break;
		} else if (served++ == BATCH) {
			conn_later(c);
			break;
		} else {
			n = take_head(c, rest);
		}
		used += n;
	}
	return used;
}

/* After a turn: an empty-handed connection is idle; one whose peer sends no more is done when
 * nothing of what it did send waits for its turn. */
static void after_turn(struct conn *c)
{
	if (c->state != CONN_H1 || c->h1 != H1_HEAD || c->doomed)
		return;
	if (!c->in.n)
		buf_finish(&c->in);
	if (c->eof && !c->is_later && conn_unsent(c) <= HIGH_WATER)
		conn_finish(c);
	else if (!c->in.n && c->s->draining)
		conn_finish(c);
	else if (!c->in.n && !conn_is_idle(c))
		conn_idle(c);
}

void h1_run(struct conn *c)
{
	size_t used;

	if (c->in.n && c->h1 != H1_HANDLER) {
		used = process(c, buf_view(&c->in));
		if (c->state != CONN_H1 || c->doomed)
			return;
		buf_consume(&c->in, used);
	}
	after_turn(c);
}

void h1_input(struct conn *c, struct sv bytes)
{
	size_t used = 0;
	bool behind = c->in.n > 0;

	if (!behind)
		used = process(c, bytes);
	if (c->state != CONN_H1 || c->doomed)
		return;
	buf_add(&c->in, bytes.p + used, bytes.n - used);
	if (c->in.failed)
		conn_doom(c);
	else if (behind)
		h1_run(c);
	else
		after_turn(c);
}

void h1_eof(struct conn *c)
{
	if (c->h1 != H1_HEAD)
		conn_doom(c);
	else
		after_turn(c);
}

void h1_due(struct conn *c)
{
	struct refusal r = {408, "the request did not arrive in time"};

	/* one that nothing has come of is not late: after a TLS handshake, for instance */
	if (c->h1 == H1_HEAD && !c->in.n)
		conn_doom(c);
	else
		h1_refuse(c, &r);
}
