/* h2.c: HTTP/2 on a connection: nghttp2's session, its streams as exchanges, and what a peer may
 * not do though the protocol lets it.
 *
 * Theory of operation: bytes go into nghttp2_session_mem_recv, whose callbacks fill exchanges and
 * hand them out; frames come out of nghttp2_session_mem_send, which asks for what the handler has
 * written. Frames are made only while little is unsent on the socket, so what a slow peer has not
 * taken waits in its streams, where it is counted (h->pending). mem_send must not be called from
 * within a callback of mem_recv, nor from a call of the handler's (it may close other streams): so
 * h2_flush runs at the end of h2_input or from the later list.
 *
 * An exchange lives until its stream is closed (on_stream_close), ended or not.
 *
 * Of what has come of a stream the connection's window is opened again at once: it is in memory, counted, and
 * bounded by the stream's own window. That one opens again when the bytes are done with: at once for
 * a body that is gathered, by the handler for one that goes in pieces, which is all there is to
 * holding the client up.
 *
 * Floods (RFC 9113, 10.5; CVE-2023-44487, CVE-2025-8671, CVE-2019-9512 and its like): a frame that
 * makes us work and carries no request costs a point, a reset stream ten, whoever resets it; they
 * are forgiven at POINTS_PER_S. nghttp2 ends the connection over CONTINUATION frames without end
 * and answers nobody reads. HPACK bombs: see h2_head.c. */
#include "mcp/http/h2.h"

#include "sandbox/base/mem.h"

enum {
	POINTS = 2000,
	POINTS_PER_S = 200,
	RESET_POINTS = 10,
	STREAM_WINDOW = HTTP_BODY_WINDOW,
	CONN_WINDOW = 1 << 20,
	FLUSH_BYTES = 1 << 20, /* of one turn */
};

/* --- floods ------------------------------------------------------------------------------------ */

static void charge(struct h2 *h, uint32_t points)
{
	uint64_t now = now_ms(), back = (now - h->points_at) * POINTS_PER_S / 1000;

	if (back) {
		h->points = back < h->points ? h->points - (uint32_t)back : 0;
		h->points_at = now;
	}
	h->points += points;
	if (h->points > POINTS && !h->oom) {
		h->points = 0;
		nghttp2_session_terminate_session(h->session,
						  NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

/* --- receiving --------------------------------------------------------------------------------- */

static struct http_exchange *exchange_of(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
			    void *arg)
{
	struct h2 *h = arg;

	(void)session;
	block_begin(&h->block, frame->headers.cat != NGHTTP2_HCAT_REQUEST,
		    now_ms() + h->c->s->limits.header_ms);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_n, const uint8_t *value,
		     size_t value_n, uint8_t flags, void *arg)
{
	struct h2 *h = arg;
	struct sv n = {(const char *)name, name_n}, v = {(const char *)value, value_n};

	(void)session, (void)frame, (void)flags;
	if (!block_add(&h->block, n, v, &h->c->s->limits))
		return 0;
	block_finish(&h->block);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 would leave out a field it finds malformed, and pass on the rest as if it were whole. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
			     const uint8_t *name, size_t name_n, const uint8_t *value,
			     size_t value_n, uint8_t flags, void *arg)
{
	struct h2 *h = arg;

	(void)session, (void)frame, (void)name, (void)name_n;
	(void)value, (void)value_n, (void)flags;
	block_finish(&h->block);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void dispatch(struct http_exchange *x)
{
	x->whole = true;
	x->body_due = x->body_end = 0;
	if (x->ended)
		return;
	if (x->pieces)
		exchange_news(x);
	else
		exchange_hand(x);
}

static void await_body(struct http_exchange *x, const struct head *head)
{
	const struct http_limits *l = &x->c->s->limits;
	struct refusal r = {413, "the body is too large"};
	uint64_t now = now_ms();

	exchange_ask(x);
	if (x->pieces) {
		x->expect = head->expect;
		exchange_hand(x);
		return;
	}
	if (head->length > l->body_bytes) {
		h2_refuse(x, &r);
		return;
	}
	x->body_due = now + l->body_ms;
	x->body_end = now + l->body_total_ms;
	if (head->expect)
		h2_continue(x);
}

void h2_body_wanted(struct http_exchange *x)
{
	x->body_end = now_ms() + x->c->s->limits.pieces_total_ms;
	x->body_due = exchange_body_due(x, x->body_end);
	if (x->whole)
		x->body_end = 0;
	else if (x->expect && !x->body.n)
		h2_continue(x);
}

void h2_body_taken(struct http_exchange *x, size_t n)
{
	if (x->pieces && !x->c->h2->oom)
		nghttp2_session_consume_stream(x->c->h2->session, x->stream, n);
	x->body_due = x->ended ? x->body_due : exchange_body_due(x, x->body_end);
}

/* A request's header block is complete. */
static void on_request(struct h2 *h, const nghttp2_frame *frame)
{
	struct conn *c = h->c;
	struct head head = {.fields = c->s->fields};
	struct refusal r;
	struct http_exchange *x;
	int got = block_head(&h->block, &c->s->limits, &head, &r);
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (got == H1_BAD)
		head.n = 0;
	x = exchange_new(c, &head);
	block_finish(&h->block);
	if (!x) {
		nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE,
					  frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
		return;
	}
	x->stream = frame->hd.stream_id;
	x->whole = last;
	nghttp2_session_set_stream_user_data(h->session, x->stream, x);
	if (got == H1_BAD)
		h2_refuse(x, &r);
	else if (last)
		dispatch(x);
	else
		await_body(x, &head);
}

static void take_frame(struct h2 *h, const nghttp2_frame *frame)
{
	struct http_exchange *x = exchange_of(h->session, frame->hd.stream_id);
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
			on_request(h, frame);
			return;
		}
		block_finish(&h->block);
		if (last && x)
			dispatch(x);
		return;
	case NGHTTP2_DATA:
		if (last && x)
			dispatch(x);
		else if (!last && !frame->hd.length)
			charge(h, 1);
		return;
	case NGHTTP2_SETTINGS:
		h->settled = true;
		charge(h, 1);
		return;
	case NGHTTP2_RST_STREAM:
		charge(h, RESET_POINTS);
		return;
	case NGHTTP2_WINDOW_UPDATE: /* as many as there is data */
		return;
	default:
		charge(h, 1);
		return;
	}
}

/* A session without memory is not gone on with: see h2_heap.c. */
static int verdict(const struct h2 *h)
{
	return h->oom ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)session;
	take_frame(arg, frame);
	return verdict(arg);
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame,
			    int error, void *arg)
{
	struct h2 *h = arg;

	(void)session, (void)frame, (void)error;
	block_finish(&h->block);
	charge(h, RESET_POINTS);
	return 0;
}

/* 0, or -1: it is refused. */
static int keep_data(struct http_exchange *x, struct sv data)
{
	struct refusal r = {413, "the body is too large"};

	x->body_due = now_ms() + x->c->s->limits.body_ms;
	buf_sv(&x->body, data);
	if (x->body.failed && data.n <= x->body.max - x->body.n)
		r = (struct refusal){503, "no memory for the body"};
	if (!x->body.failed && !exchange_count_body(x, &r))
		return 0;
	x->body_due = x->body_end = 0;
	h2_refuse(x, &r);
	return -1;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
		   const uint8_t *data, size_t n, void *arg)
{
	struct http_exchange *x = exchange_of(session, stream);
	const bool keeps = x && !x->whole && !x->ended;
	struct h2 *h = arg;

	(void)flags;
	nghttp2_session_consume_connection(session, n);
	if (!h->oom && (!keeps || !x->pieces))
		nghttp2_session_consume_stream(session, stream, n);
	if (keeps && !keep_data(x, (struct sv){(const char *)data, n}) && x->pieces) {
		x->body_due = exchange_body_due(x, x->body_end);
		exchange_news(x);
	} else if (x && x->ended && !keeps) {
		x->unwanted += n;
		if (x->unwanted > LINGER_BYTES)
			h2_reset(x, NGHTTP2_NO_ERROR);
	}
	return verdict(h);
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code,
			   void *arg)
{
	struct http_exchange *x = exchange_of(session, stream);

	(void)code;
	if (!x)
		return 0;
	exchange_gone(x);
	h2_drop(x);
	return verdict(arg);
}

/* Resets of ours are charged to the peer that provoked them. What comes of a request after our last
 * word on it is thrown away for LINGER_MS; then the stream is reset (RFC 9113, 8.1): clients that
 * are reset while they still send have been seen to lose the answer. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
	struct h2 *h = arg;

	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
		charge(h, RESET_POINTS);
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM && x && !x->whole)
		x->body_end = now_ms() + LINGER_MS;
	return 0;
}

/* --- the session ------------------------------------------------------------------------------- */

static void set_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb,
								     on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
}

static int open_session(struct h2 *h)
{
	nghttp2_mem heap = h2_heap(h);
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	int got = -1;

	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&option))
		goto out;
	set_callbacks(cb);
	/* streams that are closed would be kept for the priority tree, which we do not keep */
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_no_auto_window_update(option, 1);
	got = nghttp2_session_server_new3(&h->session, cb, h, option, &heap);
out:
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	return got;
}

static int greet(struct h2 *h)
{
	const struct http_limits *l = &h->c->s->limits;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->max_streams},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->header_bytes},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};

	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
				    ARRAY_LEN(settings)))
		return -1;
	return nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
						     CONN_WINDOW);
}

int h2_start(struct conn *c)
{
	struct h2 *h = mem_zalloc(sizeof(*h));

	if (!h)
		return -1;
	c->h2 = h;
	c->state = CONN_H2;
	h->c = c;
	h->points_at = now_ms();
	if (open_session(h) || greet(h))
		return -1;
	h->leaving = c->s->draining;
	return 0;
}

void h2_free(struct h2 *h)
{
	if (!h)
		return;
	if (!h->oom)
		nghttp2_session_del(h->session);
	h2_heap_finish(h);
	block_finish(&h->block);
	mem_free(h);
}

/* --- turns ------------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* When the peer must have sent what it owes. */
static void set_due(struct h2 *h)
{
	struct conn *c = h->c;
	uint64_t due = h->block.open ? h->block.due : 0;
	bool serving = false;

	if (!h->settled)
		return; /* header_ms from the beginning of the connection */
	if (!c->xs && !h->block.open) {
		if (!conn_is_idle(c))
			conn_idle(c);
		return;
	}
	for (struct http_exchange *x = c->xs; x; x = x->next) {
		due = sooner(due, sooner(x->body_due, x->body_end));
		serving = serving || (x->handed && x->whole);
	}
	if (serving)
		conn_busy(c);
	else
		conn_receiving(c);
	c->read_due = due;
}

/* All its streams are over: the session has failed, or been ended by either side. */
static void finish(struct h2 *h)
{
	while (h->c->xs) {
		struct http_exchange *x = h->c->xs;

		exchange_gone(x);
		h2_drop(x);
	}
	conn_finish(h->c);
}

/* Frames leave together: one TLS record for many, one copy less than a queue. False: enough for
 * this turn, but there may be more. */
static bool send_frames(struct h2 *h)
{
	struct conn *c = h->c;
	struct http_server *s = c->s;
	struct sv batch = {s->frames, 0};
	size_t sent = 0;
	ssize_t n = 1;

	while (n > 0 && sent < FLUSH_BYTES && !c->doomed &&
	       conn_unsent(c) <= HIGH_WATER) {
		const uint8_t *p = NULL;
		struct sv frame;

		n = nghttp2_session_mem_send(h->session, &p);
		if (n < 0)
			conn_doom(c);
		if (n <= 0)
			break;
		frame = (struct sv){(const char *)p, (size_t)n};
		sent += frame.n;
		if (frame.n > sizeof(s->frames) - batch.n) {
			conn_send(c, &batch, 1);
			batch.n = 0;
		}
		if (frame.n > sizeof(s->frames)) {
			conn_send(c, &frame, 1);
			continue;
		}
		memcpy(s->frames + batch.n, frame.p, frame.n);
		batch.n += frame.n;
	}
	if (batch.n)
		conn_send(c, &batch, 1);
	return sent < FLUSH_BYTES;
}

/* Now, not when draining began: what has been handed out since is not refused. */
static void say_goodbye(struct h2 *h)
{
	h->leaving = false;
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(h->session),
			      NGHTTP2_NO_ERROR, NULL, 0);
}

void h2_flush(struct conn *c)
{
	struct h2 *h = c->h2;

	if (c->doomed || c->state != CONN_H2)
		return;
	if (h->leaving)
		say_goodbye(h);
	if (!send_frames(h))
		conn_later(c);
	if (c->doomed)
		return;
	if (!nghttp2_session_want_read(h->session) &&
	    !nghttp2_session_want_write(h->session))
		finish(h);
	else
		set_due(h);
}

void h2_input(struct conn *c, struct sv bytes)
{
	ssize_t n = nghttp2_session_mem_recv(c->h2->session, (const uint8_t *)bytes.p,
					     bytes.n);

	if (n < 0)
		conn_doom(c);
	else
		h2_flush(c);
}

void h2_shutdown(struct conn *c)
{
	c->h2->leaving = true;
	conn_later(c);
}

static void refuse_late(struct http_exchange *x, uint64_t now)
{
	struct refusal r = {408, "the request did not arrive in time"};
	uint64_t due = sooner(x->body_due, x->body_end);

	if (!due || due > now)
		return;
	x->body_due = x->body_end = 0;
	if (x->ended)
		h2_reset(x, NGHTTP2_NO_ERROR);
	else
		h2_refuse(x, &r);
}

void h2_due(struct conn *c, uint64_t now)
{
	struct h2 *h = c->h2;

	if (!h->settled || conn_is_idle(c))
		nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
	else if (h->block.open && h->block.due <= now)
		nghttp2_session_terminate_session(h->session,
						  NGHTTP2_ENHANCE_YOUR_CALM);
	else
		for (struct http_exchange *x = c->xs; x; x = x->next)
			refuse_late(x, now);
	h2_flush(c);
}
