/* fake_http.h: http.h's functions under a test's hand; see fake.h. */
#ifndef TESTS_TRANSPORT_FAKE_HTTP_H
#define TESTS_TRANSPORT_FAKE_HTTP_H

#include "mcp/http/http.h"
#include "sandbox/base/mem.h"

#define FAKE_FIELDS 16
struct http_exchange {
	enum http_method method;
	const char *path, *authority;
	struct { const char *name, *value; } in[FAKE_FIELDS];
	unsigned nin;
	struct buf body;
	bool is_unix;
	struct sv cert;
	void *user;
	/* the answer */
	unsigned status;
	char names[HTTP_MAX_FIELDS][64], values[HTTP_MAX_FIELDS][512];
	unsigned nout;
	struct buf out;
	bool streaming, ended, aborted, gone;
	bool pieces, whole, wanted, wants_room, has_length, sized; /* in pieces */
	uint64_t length, left;
};

static struct http_handler fake_handler;
static unsigned fake_exchanges;

enum http_method http_method(const struct http_exchange *x) { return x->method; }
struct sv http_path(const struct http_exchange *x) { return sv_of(x->path); }
struct sv http_query(const struct http_exchange *x) { (void)x; return SV(""); }
struct sv http_body(const struct http_exchange *x) { return buf_view(&x->body); }
struct sv http_authority(const struct http_exchange *x) { return sv_of(x->authority); }
bool http_is_tls(const struct http_exchange *x) { (void)x; return false; }
bool http_is_unix(const struct http_exchange *x) { return x->is_unix; }
struct sv http_peer(const struct http_exchange *x) { (void)x; return SV("192.0.2.1"); }
struct sv http_client_cert(const struct http_exchange *x) { return x->cert; }
void http_set_user(struct http_exchange *x, void *user) { x->user = user; }
void *http_user(const struct http_exchange *x) { return x->user; }

unsigned http_header(const struct http_exchange *x, const char *name, struct sv *ret)
{
	unsigned n = 0;

	*ret = SV("");
	for (unsigned i = 0; i < x->nin; i++)
		if (sv_eq(sv_of(x->in[i].name), sv_of(name)) && !n++)
			*ret = sv_of(x->in[i].value);
	return n;
}

static void fake_head(struct http_exchange *x, unsigned status, const struct http_field *f, unsigned n)
{
	must(!x->streaming && !x->ended && !x->gone && n <= HTTP_MAX_FIELDS);
	x->status = status;
	x->nout = n;
	for (unsigned i = 0; i < n; i++) {
		must(!sv_copy(sv_of(f[i].name), x->names[i], sizeof(x->names[i])));
		must(!sv_copy(f[i].value, x->values[i], sizeof(x->values[i])));
	}
}

void http_respond(struct http_exchange *x, unsigned status, const struct http_field *f, unsigned n,
		  struct sv body)
{
	fake_head(x, status, f, n);
	buf_sv(&x->out, body);
	x->ended = true;
}

void http_stream_start(struct http_exchange *x, unsigned status, const struct http_field *f, unsigned n)
{
	fake_head(x, status, f, n);
	x->streaming = true;
}

void http_stream_write(struct http_exchange *x, struct sv bytes)
{
	must(x->streaming && !x->ended && !x->gone);
	must(!x->sized || bytes.n <= x->left);
	x->left -= x->sized ? bytes.n : 0;
	buf_sv(&x->out, bytes);
}

void http_stream_end(struct http_exchange *x)
{
	must(x->streaming && !x->ended && !x->gone);
	must(!x->sized || !x->left || x->method == HTTP_HEAD);
	x->ended = true;
}

bool http_length(const struct http_exchange *x, uint64_t *ret)
{
	if (x->has_length)
		*ret = x->length;
	return x->has_length;
}

bool http_has_body(const struct http_exchange *x) { return x->pieces; }
bool http_body_whole(const struct http_exchange *x) { return !x->pieces || x->whole; }

void http_body_start(struct http_exchange *x)
{
	must(!x->wanted && !x->ended && !x->gone);
	x->wanted = true;
}

void http_body_take(struct http_exchange *x, size_t n)
{
	must(x->wanted && !x->ended && !x->gone && n <= x->body.n);
	buf_consume(&x->body, n);
}

void http_stream_start_sized(struct http_exchange *x, unsigned status, const struct http_field *f,
			     unsigned n, uint64_t length)
{
	x->sized = true;
	x->left = length;
	http_stream_start(x, status, f, n);
}

void http_want_room(struct http_exchange *x)
{
	must(x->streaming && !x->ended && !x->gone);
	x->wants_room = true;
}

void http_abort(struct http_exchange *x)
{
	must(!x->ended && !x->gone);
	x->ended = x->aborted = true;
}

#endif
