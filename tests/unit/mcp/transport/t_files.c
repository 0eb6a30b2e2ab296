/* t_files.c: files over HTTP: which transfer a request becomes, how bytes go on, and every way it ends. */
#include "tests/unit/mcp/transport/fake.h"

#include <errno.h>

#define AT "/files/ses_1/"

/* --- transfers under the test's hand ------------------------------------------------------------ */

struct transfer {
	enum transfer_kind kind;
	struct transfer_opts o;
	char id[64], path[4200], credential[64], principal[64];
	struct buf got;
	bool ended;
};
static struct transfer *last;
static unsigned transfers;
static size_t room; /* that transfer_put takes in all */
static struct buf file; /* what transfer_get reads */
static enum err_code refuses;

struct transfer *transfer_new(enum transfer_kind kind, const struct transfer_opts *o,
			      struct err *e)
{
	struct transfer *t = refuses ? NULL : mem_zalloc(sizeof(*t));

	if (!t) {
		err_set(e, refuses, "refused");
		return NULL;
	}
	t->kind = kind;
	t->o = *o;
	must(!sv_copy(o->id, t->id, sizeof(t->id)));
	must(!sv_copy(o->path, t->path, sizeof(t->path)));
	must(!sv_copy(o->env.credential, t->credential, sizeof(t->credential)));
	must(!sv_copy(o->env.principal, t->principal, sizeof(t->principal)));
	buf_init(&t->got, 1 << 20);
	transfers++;
	return last = t;
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	buf_finish(&t->got);
	mem_free(t);
	transfers--;
	if (last == t)
		last = NULL;
}

size_t transfer_put(struct transfer *t, struct sv bytes)
{
	size_t n = bytes.n < room ? bytes.n : room;

	must(!t->ended);
	room -= n;
	buf_add(&t->got, bytes.p, n);
	return n;
}

void transfer_put_end(struct transfer *t)
{
	must(!t->ended);
	t->ended = true;
}

size_t transfer_get(const struct transfer *t, uint64_t offset, char *dst, size_t n)
{
	(void)t;
	if (offset >= file.n)
		return 0;
	n = n < file.n - offset ? n : file.n - offset;
	memcpy(dst, file.p + offset, n);
	return n;
}

bool transfer_is_in(const struct transfer *t, struct sv session_id)
{
	return sv_eq(sv_of(t->id), session_id);
}

static void done(const struct transfer_file *f)
{
	last->o.on_done(last->o.arg, f, NULL);
}

static void failed(enum err_code code, int sys)
{
	struct err e = {0};

	err_set(&e, code, "the workspace says no");
	e.sys = sys;
	last->o.on_done(last->o.arg, NULL, &e);
}

/* --- a server and its clients ------------------------------------------------------------------- */

static void open_it(struct rig *r, struct streamable_opts *o)
{
	o->runs = (struct runs *)(void *)r;
	rig_open(r, o);
}

static void close_it(struct rig *r)
{
	rig_close(r);
	ok(!transfers && !fake_exchanges, "nothing is left");
}

static struct http_exchange *put(const char *path, int64_t length)
{
	struct http_exchange *x = x_new(HTTP_PUT, path);

	x->pieces = length != 0;
	x->has_length = length >= 0;
	x->length = length >= 0 ? (uint64_t)length : 0;
	x_go(x);
	return x;
}

static struct http_exchange *get(const char *path)
{
	struct http_exchange *x = x_new(HTTP_GET, path);

	x_go(x);
	return x;
}

static void give(struct http_exchange *x, const char *bytes, bool whole)
{
	buf_str(&x->body, bytes);
	x->whole = whole;
	fake_handler.on_body(fake_handler.arg, x);
}

static void give_room(struct http_exchange *x)
{
	must(x->wants_room);
	x->wants_room = false;
	fake_handler.on_room(fake_handler.arg, x);
}

static bool is_refused(const struct http_exchange *x, unsigned status)
{
	return x->ended && x->status == status && x_has(x, "{\"error\":{\"code\":\"") &&
	       x_has(x, "\"cause\":\"") && x_has(x, "\"remediation\":\"") &&
	       !x_has(x, "jsonrpc");
}

/* --- PUT ---------------------------------------------------------------------------------------- */

static void uploads(void)
{
	const struct transfer_file f = {
		.size = 5, .mime = "text/plain", .sha256 = "5a"};
	struct streamable_opts o = {0};
	struct http_exchange *x;
	struct rig r;

	open_it(&r, &o);
	x = put(AT "a%20b/c", 5);
	ok(last && last->kind == TRANSFER_WRITE && !strcmp(last->path, "a b/c") &&
		   !strcmp(last->id, "ses_1") && last->o.length == 5 && !last->o.keep &&
		   !strcmp(last->credential, "bearer me") &&
		   !strcmp(last->principal, "key:bearer me"),
	   "it becomes a transfer, in the caller's name");
	ok(!x->wanted && !x->ended, "the client waits until the workspace is ready");
	room = 2;
	last->o.on_room(last->o.arg);
	ok(x->wanted, "then it may go on");
	give(x, "abc", false);
	ok(sv_eq(buf_view(&last->got), SV("ab")) && x->body.n == 1 && !last->ended,
	   "what the workspace does not take stays with HTTP");
	room = 100;
	last->o.on_room(last->o.arg);
	ok(!x->body.n && !last->ended, "until it does");
	give(x, "de", true);
	ok(sv_eq(buf_view(&last->got), SV("abcde")) && last->ended && !x->ended,
	   "the end is passed on");
	done(&f);
	ok(x->ended && x->status == 200 &&
		   x_has(x, "{\"path\":\"a b/c\",\"size\":5,\"sha256\":\"5a\","
			    "\"mime_type\":\"text/plain\"}"),
	   "what became of it is the answer: %s", x_text(x));
	x_free(x);
	x = put(AT "new", -1);
	ok(last->o.length == TRANSFER_UNKNOWN, "one of unknown length");
	last->o.on_room(last->o.arg);
	give(x, "", true);
	ok(last->ended, "may be empty");
	done(&(struct transfer_file){.mime = "text/plain", .created = true});
	ok(x->status == 201, "a new one is created");
	x_free(x);
	x = put(AT "empty", 0);
	last->o.on_room(last->o.arg);
	ok(x->wanted, "one without bytes goes the same way");
	give(x, "", true);
	ok(last->ended, "to its end");
	x_gone(x);
	ok(!transfers, "a client that leaves gives it up");
	x_free(x);
	close_it(&r);
}

static void refused_uploads(void)
{
	struct streamable_opts o = {0};
	struct http_exchange *x;
	struct rig r;

	open_it(&r, &o);
	x = put(AT "big", (int64_t)TRANSFER_MAX_BYTES + 1);
	ok(is_refused(x, 413) && !x->wanted && !transfers,
	   "too large is refused before a byte of it has come");
	x_free(x);
	x = put(AT "x", (int64_t)TRANSFER_MAX_BYTES);
	ok(transfers == 1 && !x->ended, "the largest is not");
	x_gone(x);
	x_free(x);
	x = x_new(HTTP_PUT, AT "x");
	x_go(x);
	ok(is_refused(x, 411), "no body at all is no empty file");
	x_free(x);
	x = x_new(HTTP_PUT, AT "x");
	x->pieces = x->has_length = true;
	x->length = 1;
	x_set(x, "content-range", "bytes 0-0/2");
	x_go(x);
	ok(is_refused(x, 400), "a part is not the whole");
	x_free(x);
	x = x_new(HTTP_PUT, AT "x");
	x->pieces = x->has_length = true;
	x_set(x, "if-none-match", "*");
	x_go(x);
	ok(last->o.keep, "what is there can be kept");
	failed(ERR_INVALID, EEXIST);
	ok(is_refused(x, 412), "and is");
	x_free(x);
	refuses = ERR_BUSY;
	x = put(AT "x", 1);
	ok(is_refused(x, 503) && *x_get(x, "retry-after"), "too busy to begin");
	refuses = ERR_NONE;
	x_free(x);
	close_it(&r);
}

static void errors(void)
{
	static const struct {
		enum err_code code;
		int sys;
		unsigned status;
	} rows[] = {
		{ERR_LIMIT, ENOSPC, 507},      {ERR_LIMIT, EDQUOT, 507},
		{ERR_LIMIT, EFBIG, 413},       {ERR_INVALID, EISDIR, 409},
		{ERR_INVALID, EINVAL, 409},    {ERR_INVALID, ENOTEMPTY, 409},
		{ERR_DENIED, ELOOP, 403},      {ERR_DENIED, EACCES, 403},
		{ERR_NOT_FOUND, ENOENT, 404},  {ERR_NOT_FOUND, ENOTDIR, 409},
		{ERR_NOT_FOUND, 0, 404},       {ERR_INVALID, 0, 400},
		{ERR_INVALID, ENODATA, 400},   {ERR_BUSY, ECANCELED, 503},
		{ERR_UNAVAILABLE, EIO, 503},   {ERR_LOST, 0, 503},
		{ERR_UNAUTHENTICATED, 0, 401}, {ERR_FORBIDDEN, 0, 403},
		{ERR_INTERNAL, EMFILE, 500},   {ERR_LIMIT, 0, 503},
	};
	struct streamable_opts o = {0};
	struct rig r;

	open_it(&r, &o);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_exchange *x = put(AT "x", 5);

		failed(rows[i].code, rows[i].sys);
		ok(is_refused(x, rows[i].status) && !transfers,
		   "row %u: %u, without waiting for the body", i, x->status);
		x_free(x);
	}
	close_it(&r);
}

static void addresses(void)
{
	static const struct {
		const char *path;
		unsigned status; /* 0: fine */
		const char *is;
	} rows[] = {
		{"/files/", 404, ""},
		{"/files/x", 404, ""},
		{"/files/x/", 404, ""},
		{"/files//x", 404, ""},
		{AT "%2F", 400, ""},
		{AT "a%2fb", 400, ""},
		{AT "%00", 400, ""},
		{AT "%C3%a4%25+", 0, "\xc3\xa4%+"},
		/* what is no path the transfer says */
		{AT "../x", 0, "../x"},
		{AT "%2e%2E/x", 0, "../x"},
	};
	struct streamable_opts o = {0};
	struct http_exchange *x;
	struct rig r;

	open_it(&r, &o);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		x = get(rows[i].path);
		ok(rows[i].status ? is_refused(x, rows[i].status)
				  : last && !strcmp(last->path, rows[i].is),
		   "%s: %u", rows[i].path, x->status);
		if (!x->ended)
			x_gone(x);
		x_free(x);
	}
	x = x_new(HTTP_POST, AT "x");
	x_go(x);
	ok(is_refused(x, 405) && strstr(x_get(x, "allow"), "PUT"), "other methods");
	x_free(x);
	x = x_new(HTTP_GET, AT "x");
	x_set(x, "authorization", "Bearer bad");
	x_go(x);
	ok(is_refused(x, 401) && *x_get(x, "www-authenticate") && !transfers,
	   "strangers get nowhere");
	x_free(x);
	x = x_new(HTTP_GET, AT "x");
	x->authority = "evil.example";
	x_go(x);
	ok(is_refused(x, 403), "nor does another name");
	x_free(x);
	close_it(&r);
	rig_open(&r, NULL);
	x = get(AT "x");
	ok(x->status == 404 && !fake_handler.takes_pieces(fake_handler.arg, x),
	   "without runs there is no such place");
	x_free(x);
	close_it(&r);
}

/* --- GET ---------------------------------------------------------------------------------------- */

static void downloads(void)
{
	const struct transfer_file f = {.size = 150000, .mime = "text/html"};
	struct streamable_opts o = {0};
	struct http_exchange *x;
	struct rig r;

	for (unsigned i = 0; i < 150000; i++)
		buf_byte(&file, (char)('a' + i % 26));
	open_it(&r, &o);
	x = get(AT "x");
	done(&f);
	ok(x->status == 200 && x->left == 150000 &&
		   !strcmp(x_get(x, "content-type"), "text/html") &&
		   !strcmp(x_get(x, "x-content-type-options"), "nosniff") &&
		   !strcmp(x_get(x, "content-disposition"), "attachment") &&
		   strstr(x_get(x, "content-security-policy"), "sandbox"),
	   "its length is promised, and that it is no page");
	for (unsigned i = 0; x->wants_room && i < 10; i++) {
		ok(x->out.n <= i * ((size_t)64 << 10), "a piece for each room");
		give_room(x);
	}
	ok(x->ended && !x->aborted && sv_eq(buf_view(&x->out), buf_view(&file)) &&
		   !transfers,
	   "all of it comes");
	x_free(x);
	x = get(AT "x");
	done(&f);
	give_room(x);
	file.n = 70000;
	give_room(x);
	give_room(x);
	ok(x->aborted && !transfers, "one that has become shorter is broken off");
	file.n = 150000;
	x_free(x);
	x = x_new(HTTP_HEAD, AT "x");
	x_go(x);
	done(&f);
	ok(x->ended && x->left == 150000 && !x->out.n, "HEAD is its head alone");
	x_free(x);
	x = get(AT "x");
	done(&(struct transfer_file){.mime = "text/plain"});
	ok(x->ended && !x->wants_room && x->status == 200, "an empty one is whole");
	x_free(x);
	x = get(AT "x");
	done(&f);
	give_room(x);
	x_gone(x);
	ok(!transfers, "a client that leaves closes it");
	x_free(x);
	x = x_new(HTTP_DELETE, AT "x");
	x_go(x);
	ok(last->kind == TRANSFER_DELETE, "DELETE deletes");
	done(&(struct transfer_file){.is_dir = true});
	ok(x->status == 200 && x_has(x, "\"type\":\"folder\",\"deleted\":true"),
	   "and says what it was");
	x_free(x);
	close_it(&r);
	buf_finish(&file);
}

static void ranges(void)
{
	static const struct {
		const char *range;
		unsigned status;
		const char *body, *says;
	} rows[] = {
		{"bytes=0-0", 206, "0", "bytes 0-0/10"},
		{"bytes=2-", 206, "23456789", "bytes 2-9/10"},
		{"bytes=-2", 206, "89", "bytes 8-9/10"},
		{"bytes=-11", 206, "0123456789", "bytes 0-9/10"},
		{"bytes=9-99", 206, "9", "bytes 9-9/10"},
		{"bytes=10-", 416, NULL, "bytes */10"},
		{"bytes=-0", 416, NULL, "bytes */10"},
		{"bytes=4-2", 200, "0123456789", ""},
		{"bytes=0-1,2-3", 200, "0123456789", ""},
		{"bytes=0", 200, "0123456789", ""},
		{"bytes=-", 200, "0123456789", ""},
		{"bytes=99999999999999999999-", 200, "0123456789", ""},
		{"lines=0-1", 200, "0123456789", ""},
		{"", 200, "0123456789", ""},
	};
	struct streamable_opts o = {0};
	struct rig r;

	buf_str(&file, "0123456789");
	open_it(&r, &o);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_exchange *x = x_new(HTTP_GET, AT "x");

		x_set(x, "range", rows[i].range);
		x_go(x);
		done(&(struct transfer_file){.size = 10, .mime = "text/plain"});
		if (x->wants_room)
			give_room(x);
		ok(x->ended && x->status == rows[i].status &&
			   (!rows[i].body || !strcmp(x_text(x), rows[i].body)) &&
			   !strcmp(x_get(x, "content-range"), rows[i].says),
		   "%s: %u %s", rows[i].range, x->status, x_get(x, "content-range"));
		x_free(x);
	}
	close_it(&r);
	buf_finish(&file);
}

/* --- ends --------------------------------------------------------------------------------------- */

static void session_ends(void)
{
	struct streamable_opts o = {0};
	struct http_exchange *up, *down, *other;
	struct rig r;

	buf_str(&file, "0123456789");
	open_it(&r, &o);
	up = put(AT "x", 5);
	down = get(AT "x");
	done(&(struct transfer_file){.size = 10, .mime = "text/plain"});
	other = get("/files/ses_2/x");
	streamable_session_gone(r.t, SV("ses_1"));
	ok(is_refused(up, 404), "an upload into a session that ends is told");
	ok(down->aborted, "a download that has begun is broken off");
	ok(!other->ended && transfers == 1, "others go on");
	x_gone(other);
	x_free(up);
	x_free(down);
	x_free(other);
	close_it(&r);
	buf_finish(&file);
}

static void limits(void)
{
	struct streamable_opts o = {.max_transfers = 3, .max_transfers_each = 2};
	struct http_exchange *x[4];
	struct rig r;

	open_it(&r, &o);
	for (unsigned i = 0; i < 2; i++)
		x[i] = get(AT "x");
	x[2] = get(AT "x");
	ok(is_refused(x[2], 429) && *x_get(x[2], "retry-after"),
	   "nobody has more than his");
	x_free(x[2]);
	for (unsigned i = 2; i < 4; i++) {
		x[i] = x_new(HTTP_GET, AT "x");
		x_set(x[i], "authorization", i == 2 ? "Bearer you" : "Bearer they");
		x_go(x[i]);
	}
	ok(!x[2]->ended && is_refused(x[3], 503), "nor all more than all may");
	x_free(x[3]);
	x_gone(x[0]);
	x[3] = get(AT "x");
	ok(!x[3]->ended, "one that ends makes room");
	x_free(x[0]);
	for (unsigned i = 1; i < 4; i++) {
		x_gone(x[i]);
		x_free(x[i]);
	}
	close_it(&r);
}

static void on_drained(void *arg)
{
	*(bool *)arg = true;
}

static void stopping(void)
{
	struct streamable_opts o = {0};
	struct http_exchange *up, *down, *late;
	bool drained = false;
	struct rig r;

	buf_str(&file, "0123456789");
	open_it(&r, &o);
	up = put(AT "x", 5);
	down = get(AT "x");
	done(&(struct transfer_file){.size = 10, .mime = "text/plain"});
	streamable_drain(r.t, 20, on_drained, &drained);
	late = get(AT "x");
	ok(is_refused(late, 503), "nothing is begun when the server stops");
	ok(!up->ended && !down->ended && !drained, "what is under way may end");
	rig_until(&r, drained);
	ok(is_refused(up, 503) && down->aborted, "or is cut");
	x_free(up);
	x_free(down);
	x_free(late);
	close_it(&r);
	open_it(&r, &o);
	drained = false;
	up = put(AT "x", 5);
	streamable_drain(r.t, 100000, on_drained, &drained);
	done(&(struct transfer_file){.size = 5, .mime = "text/plain"});
	rig_until(&r, drained);
	ok(up->status == 200, "the last one to end is the end");
	x_free(up);
	close_it(&r);
	open_it(&r, &o);
	up = put(AT "x", 5);
	x_free(up); /* the HTTP server went before */
	close_it(&r);
	buf_finish(&file);
}

int main(void)
{
	buf_init(&file, 1 << 20);
	uploads();
	refused_uploads();
	errors();
	addresses();
	downloads();
	ranges();
	session_ends();
	limits();
	stopping();
	return tap_done();
}
