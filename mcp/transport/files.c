/* files.c: files of sessions over HTTP: PUT, GET, HEAD and DELETE of /files/SESSION/PATH.
 *
 * Theory of operation. Who calls is found out as for /mcp; whose the session is, and what may be done to the
 * path, the keeper and the sandbox say (tools/transfer.c). A struct passage ties an exchange to a
 * transfer until one of them ends:
 *
 *	PUT	the transfer has room -> the client is told to go on -> bytes of the body go on as
 *		both sides can -> the end of the body -> what became of it is the answer
 *	GET	the file is open -> its length is promised -> bytes go out as the client takes them; one
 *		that has become shorter, or whose session ends, is broken off
 *
 * A client that leaves, a body that ends early, a deadline: http tells that it is gone, and the
 * transfer is given up. */
#include "mcp/transport/streamable.h"

#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <sodium.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define MAX_REPLY_BYTES ((size_t)64 << 10)
#define ALLOW "GET, HEAD, PUT, DELETE, OPTIONS"
#define FORM "the address is /files/SESSION_ID/PATH, with PATH below /workspace"

struct passage {
	struct visitor visitor;
	struct node node; /* t->passages */
	struct streamable *t;
	struct owner *owner; /* counted in transfers */
	struct http_exchange *x;
	struct transfer *file;
	enum transfer_kind kind;
	bool started; /* PUT: the body is wanted; GET: the answer has begun */
	uint64_t got; /* PUT: bytes of the body */
	uint64_t at, end; /* GET: bytes of the file to be sent */
	struct buf path;
};

/* --- the end ------------------------------------------------------------------------------------ */

/* x has ended, or been told that it is gone. */
static void finish(struct passage *p)
{
	struct streamable *t = p->t;

	list_del(&p->node);
	transfer_free(p->file);
	if (p->owner) {
		p->owner->transfers--;
		owner_put(t, p->owner);
		t->ntransfers--;
		t->pending--;
		streamable_ended(t);
	}
	buf_finish(&p->path);
	mem_free(p);
}

static unsigned status_of(const struct passage *p, const struct err *e)
{
	static const struct {
		int sys;
		unsigned status;
	} by_sys[] = {
		{ENOSPC, 507},	  {EDQUOT, 507}, {EFBIG, 413},
		{EISDIR, 409},	  {EINVAL, 409}, {EEXIST, 412},
		{ENOTEMPTY, 409}, {ELOOP, 403},	 {ENODATA, 400},
	};
	static const unsigned by_code[ERR_CODE_COUNT] = {
		[ERR_INVALID] = 400,   [ERR_NOT_FOUND] = 404,
		[ERR_LIMIT] = 503,     [ERR_DENIED] = 403,
		[ERR_FORBIDDEN] = 403, [ERR_UNAUTHENTICATED] = 401,
		[ERR_BUSY] = 503,      [ERR_UNAVAILABLE] = 503,
		[ERR_LOST] = 503,
	};

	for (unsigned i = 0; e->sys && i < ARRAY_LEN(by_sys); i++)
		if (by_sys[i].sys == e->sys)
			return by_sys[i].status;
	if (e->sys == ENOTDIR && p->kind == TRANSFER_WRITE)
		return 409;
	return by_code[e->code] ? by_code[e->code] : 500;
}

static void refuse(struct http_exchange *x, unsigned status, const struct err *e)
{
	struct fields f;

	reply_fields(x, &f);
	if (status == 503 || status == 429)
		reply_add(&f, "retry-after", SV("1"));
	reply_error_with(x, status, &f, SV(""), 0, e);
}

static void refuse_all(struct passage *p, unsigned status, const struct err *e)
{
	struct http_exchange *x = p->x;

	http_set_user(x, NULL);
	finish(p);
	refuse(x, status, e);
}

/* As far as that is still possible. */
static void break_off(struct passage *p, const struct err *e)
{
	struct http_exchange *x = p->x;

	if (p->kind == TRANSFER_READ && p->started) {
		http_set_user(x, NULL);
		finish(p);
		http_abort(x);
		return;
	}
	refuse_all(p, status_of(p, e), e);
}

/* --- PUT ---------------------------------------------------------------------------------------- */

static void refuse_size(struct passage *p)
{
	struct err e = {0};

	err_set(&e, ERR_LIMIT,
		"the file is larger than %llu bytes (100 MiB), which is the most that "
		"is taken",
		(unsigned long long)TRANSFER_MAX_BYTES);
	err_fix(&e, "compress it, or split it into several files");
	refuse_all(p, 413, &e);
}

static void feed(struct passage *p)
{
	struct sv body = http_body(p->x);
	size_t n;

	if (body.n > TRANSFER_MAX_BYTES - p->got) {
		refuse_size(p);
		return;
	}
	n = body.n ? transfer_put(p->file, body) : 0;
	p->got += n;
	if (n)
		http_body_take(p->x, n);
	if (n == body.n && http_body_whole(p->x))
		transfer_put_end(p->file);
}

static void on_body(struct visitor *v)
{
	feed((struct passage *)(void *)v);
}

static void on_transfer_room(void *arg)
{
	struct passage *p = arg;

	if (p->started) {
		feed(p);
		return;
	}
	p->started = true;
	http_body_start(p->x);
}

static void write_result(const struct passage *p, const struct transfer_file *f,
			 struct buf *b)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "path", buf_view(&p->path));
	if (p->kind == TRANSFER_WRITE) {
		jw_kint(&w, "size", (int64_t)f->size);
		jw_kstr(&w, "sha256", sv_of(f->sha256));
		jw_kstr(&w, "mime_type", sv_of(f->mime));
	} else {
		jw_kstr(&w, "type", f->is_dir ? SV("folder") : SV("file"));
		jw_kbool(&w, "deleted", true);
	}
	jw_obj_end(&w);
}

/* --- GET ---------------------------------------------------------------------------------------- */

struct span {
	uint64_t at, end;
	bool is_part, is_bad;
};

/* RFC 9110, 14.1.2. Anything but one range of bytes is passed over, as is one that depends on a validator: there is
 * none. */
static struct span range_of(const struct http_exchange *x, uint64_t size)
{
	struct span whole = {0, size, false, false}, s = {0, size, true, false};
	struct sv value, first;
	uint64_t from, to;
	bool more = true;

	if (http_method(x) != HTTP_GET || http_header(x, "if-range", &value) ||
	    http_header(x, "range", &value) != 1 || !sv_starts(value, SV("bytes=")))
		return whole;
	value = sv_trim((struct sv){value.p + 6, value.n - 6});
	if (!sv_cut(&value, '-', &more, &first) || !more)
		return whole;
	if (!first.n && !sv_to_u64(value, &to)) {
		s.at = to < size ? size - to : 0;
		s.is_bad = !to || !size;
		return s;
	}
	if (sv_to_u64(first, &from) ||
	    (value.n && (sv_to_u64(value, &to) || to < from)))
		return whole;
	s.at = from;
	s.is_bad = from >= size;
	if (value.n && to < size - 1 && !s.is_bad)
		s.end = to + 1;
	return s;
}

static void add_content_range(struct fields *f, const struct span *s, uint64_t size,
			      struct buf *b)
{
	if (s->is_bad)
		buf_fmt(b, "bytes */%llu", (unsigned long long)size);
	else
		buf_fmt(b, "bytes %llu-%llu/%llu", (unsigned long long)s->at,
			(unsigned long long)s->end - 1, (unsigned long long)size);
	reply_add(f, "content-range", buf_view(b));
}

/* What a program wrote is never a page of this server's: not shown, not run, not guessed at. */
static void add_safety(struct fields *f, const char *mime)
{
	reply_add(f, "content-type", sv_of(mime));
	reply_add(f, "x-content-type-options", SV("nosniff"));
	reply_add(f, "content-disposition", SV("attachment"));
	reply_add(f, "content-security-policy", SV("sandbox; default-src 'none'"));
	reply_add(f, "cache-control", SV("no-store"));
	reply_add(f, "accept-ranges", SV("bytes"));
}

static void end_of_file(struct passage *p)
{
	struct http_exchange *x = p->x;

	http_set_user(x, NULL);
	finish(p);
	http_stream_end(x);
}

static void begin_download(struct passage *p, const struct transfer_file *file)
{
	const struct span s = range_of(p->x, file->size);
	AUTO_BUF range = {.max = 128};
	struct err e = {0};
	struct fields f;

	reply_fields(p->x, &f);
	if (s.is_part)
		add_content_range(&f, &s, file->size, &range);
	if (s.is_bad) {
		struct http_exchange *x = p->x;

		err_set(&e, ERR_INVALID, "the file has only %llu bytes",
			(unsigned long long)file->size);
		err_fix(&e, "ask for a range that begins before its end");
		http_set_user(x, NULL);
		finish(p);
		reply_error_with(x, 416, &f, SV(""), 0, &e);
		return;
	}
	add_safety(&f, file->mime);
	p->at = s.at;
	p->end = s.end;
	p->started = true;
	http_stream_start_sized(p->x, s.is_part ? 206 : 200, f.at, f.n, s.end - s.at);
	if (p->at == p->end || http_method(p->x) == HTTP_HEAD)
		end_of_file(p);
	else
		http_want_room(p->x);
}

static void on_room(struct visitor *v)
{
	static char bytes[CHUNK_BYTES]; /* one thread, used up before return */
	struct passage *p = (struct passage *)(void *)v;
	const uint64_t left = p->end - p->at;
	size_t n = transfer_get(p->file, p->at, bytes,
				left < sizeof(bytes) ? (size_t)left : sizeof(bytes));

	if (!n) {
		break_off(p, NULL); /* it has become shorter than was promised */
		return;
	}
	http_stream_write(p->x, (struct sv){bytes, n});
	p->at += n;
	if (p->at == p->end)
		end_of_file(p);
	else
		http_want_room(p->x);
}

void files_session_gone(struct streamable *t, struct sv session_id)
{
	struct err e = {0};

	err_set(&e, ERR_NOT_FOUND, "the session has ended");
	err_fix(&e, "its files are gone; create another session");
	for (struct node *n = t->passages.next, *next; n != &t->passages; n = next) {
		struct passage *p = of_node(n, struct passage, node);

		next = n->next;
		if (transfer_is_in(p->file, session_id))
			break_off(p, &e);
	}
}

/* --- what the transfer says --------------------------------------------------------------------- */

static void on_done(void *arg, const struct transfer_file *f, const struct err *e)
{
	AUTO_BUF json = {.max = MAX_REPLY_BYTES};
	struct passage *p = arg;
	struct http_exchange *x = p->x;

	if (e) {
		break_off(p, e);
		return;
	}
	if (p->kind == TRANSFER_READ) {
		begin_download(p, f);
		return;
	}
	write_result(p, f, &json);
	http_set_user(x, NULL);
	finish(p);
	reply_json(x, f->created ? 201 : 200, buf_view(&json));
}

/* --- the beginning ------------------------------------------------------------------------------ */

static void on_gone(struct visitor *v)
{
	finish((struct passage *)(void *)v);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

/* That each % begins an escape, http has seen to. */
static int decode(struct sv s, struct buf *ret, struct err *e)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			c = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
			i += 2;
			if (c == '/' || c == '\0') {
				err_set(e, ERR_INVALID,
					"an escaped / or NUL in the path");
				return err_fix(e, "no name in a workspace has either");
			}
		}
		buf_byte(ret, c);
	}
	return ret->failed ? err_set(e, ERR_INVALID, "the path is too long") : 0;
}

/* Borrows the id from x. */
static int take_apart(const struct http_exchange *x, struct sv *ret_id,
		      struct buf *ret_path, struct err *e)
{
	struct sv rest = http_path(x);
	bool more = true;

	rest.p += sizeof(FILES_PREFIX) - 1;
	rest.n -= sizeof(FILES_PREFIX) - 1;
	if (!sv_cut(&rest, '/', &more, ret_id) || !ret_id->n || !more || !rest.n) {
		err_set(e, ERR_NOT_FOUND, "there is nothing here");
		return err_fix(e, "%s", FORM);
	}
	if (http_query(x).n) {
		err_set(e, ERR_INVALID, "a ? in the address");
		return err_fix(e, "write %%3F for a ? in a name");
	}
	return decode(rest, ret_path, e);
}

/* 0, or the status it is refused with. */
static unsigned check_upload(const struct http_exchange *x, struct transfer_opts *o,
			     struct err *e)
{
	struct sv value;

	if (http_header(x, "content-range", &value)) {
		err_set(e, ERR_INVALID, "a PUT of a part of a file");
		err_fix(e, "send the whole; artifact_upload has an offset");
		return 400;
	}
	o->keep = http_header(x, "if-none-match", &value) && sv_eq(value, SV("*"));
	if (!http_length(x, &o->length)) {
		o->length = TRANSFER_UNKNOWN;
		if (http_has_body(x))
			return 0;
		err_set(e, ERR_INVALID, "there is no body");
		err_fix(e, "send Content-Length: 0 for an empty file");
		return 411;
	}
	if (o->length <= TRANSFER_MAX_BYTES)
		return 0;
	err_set(e, ERR_LIMIT,
		"the file has %llu bytes, at most %llu (100 MiB) are taken",
		(unsigned long long)o->length, (unsigned long long)TRANSFER_MAX_BYTES);
	err_fix(e, "compress it, or split it into several files");
	return 413;
}

/* 0, or the status it is refused with. */
static unsigned count(struct passage *p, struct sv principal, struct err *e)
{
	struct streamable *t = p->t;
	struct owner *o = owner_get(t, principal);
	const bool too_many =
		o && !t->o.site.no_auth && o->transfers >= t->o.max_transfers_each;

	if (!o || t->draining || t->ntransfers >= t->o.max_transfers || too_many) {
		if (!o)
			err_set(e, ERR_LIMIT, "no memory for another transfer");
		else if (t->draining)
			err_set(e, ERR_BUSY, "the server is stopping");
		else
			err_set(e, ERR_BUSY, "too many files are on their way%s",
				too_many ? " for this caller" : "");
		if (o)
			owner_put(t, o);
		return o && too_many ? 429 : 503;
	}
	o->transfers++;
	t->ntransfers++;
	t->pending++;
	p->owner = o;
	return 0;
}

static enum transfer_kind kind_of(const struct http_exchange *x)
{
	switch (http_method(x)) {
	case HTTP_PUT:
		return TRANSFER_WRITE;
	case HTTP_DELETE:
		return TRANSFER_DELETE;
	default:
		return TRANSFER_READ;
	}
}

/* 0, or the status it is refused with. */
static unsigned start(struct passage *p, struct sv credential,
		      const struct sup_identity *id, struct err *e)
{
	struct transfer_opts o = {.env = {.loop = p->t->o.loop,
					  .client = p->t->o.client,
					  .runs = p->t->o.runs,
					  .credential = credential,
					  .principal = sv_of(id->principal)},
				  .on_done = on_done,
				  .on_room = on_transfer_room,
				  .arg = p};
	unsigned status = 0;

	if (take_apart(p->x, &o.id, &p->path, e))
		return e->code == ERR_NOT_FOUND ? 404 : 400;
	if (p->kind == TRANSFER_WRITE)
		status = check_upload(p->x, &o, e);
	if (!status)
		status = count(p, sv_of(id->principal), e);
	if (status)
		return status;
	o.path = buf_view(&p->path);
	p->file = transfer_new(p->kind, &o, e);
	return p->file ? 0 : status_of(p, e);
}

void files_begin(struct streamable *t, struct http_exchange *x, struct sv credential,
		 const struct sup_identity *id)
{
	struct passage *p = mem_zalloc(sizeof(*p));
	struct err e = {0};
	unsigned status;

	if (!p) {
		err_set(&e, ERR_LIMIT, "no memory for another transfer");
		refuse(x, 503, &e);
		return;
	}
	*p = (struct passage){
		.visitor = {.on_gone = on_gone, .on_body = on_body, .on_room = on_room},
		.t = t,
		.x = x,
		.kind = kind_of(x)};
	buf_init(&p->path, http_path(x).n);
	list_add(&t->passages, &p->node);
	status = start(p, credential, id, &e);
	if (status)
		refuse_all(p, status, &e);
	else
		http_set_user(x, &p->visitor);
}

void files_request(struct streamable *t, struct http_exchange *x)
{
	struct err e = {0};
	struct fields f;
	struct sv origin;

	switch (http_method(x)) {
	case HTTP_GET:
	case HTTP_HEAD:
	case HTTP_PUT:
	case HTTP_DELETE:
		caller_identify(t, x, files_begin);
		return;
	case HTTP_OPTIONS:
		if (http_header(x, "origin", &origin)) {
			reply_preflight(x, ALLOW);
			return;
		}
		break;
	case HTTP_POST:
	case HTTP_OTHER:
		break;
	}
	reply_fields(x, &f);
	reply_add(&f, "allow", SV(ALLOW));
	err_set(&e, ERR_INVALID, "Method not allowed");
	err_fix(&e, "use %s", ALLOW);
	reply_error_with(x, 405, &f, SV(""), 0, &e);
}

/* --- drain -------------------------------------------------------------------------------------- */

void files_cut(struct streamable *t)
{
	struct err e = {0};

	err_set(&e, ERR_BUSY, "the server is stopping");
	while (!list_empty(&t->passages))
		break_off(of_node(t->passages.next, struct passage, node), &e);
}

void files_forget(struct streamable *t)
{
	while (!list_empty(&t->passages))
		finish(of_node(t->passages.next, struct passage, node));
}
