/* f_http1.c: the HTTP/1 parser on any bytes.
 *
 * What must hold: what it makes of them, requests, bodies and the refusal at the end, is the same
 * whether they come at once, byte by byte, or cut where the input says; and what it takes keeps the
 * promises of http.h. */
#include "mcp/http/parse.h"

#include "sandbox/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FIELDS = 20 };

static const struct http_limits limits = {
	.header_bytes = 2000,
	.header_fields = MAX_FIELDS,
	.target_bytes = 200,
	.body_bytes = 500,
};

/* A connection without its socket, as h1.c has it. */
struct reader {
	struct h1_scan scan;
	struct h1_body body;
	struct buf in, out;
	struct buf said; /* what was made of it all */
	bool in_body, dead;
};

static void say_refusal(struct reader *r, const struct refusal *why)
{
	must(why->status >= 400 && why->status < 600 && why->cause);
	buf_fmt(&r->said, "refused %u %s\n", why->status, why->cause);
	r->dead = true;
}

static void check_text(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		must((unsigned char)s.p[i] >= ' ' ? s.p[i] != 0x7f : s.p[i] == '\t');
}

static void say_head(struct reader *r, const struct head *h)
{
	must(h->n <= MAX_FIELDS && h->method.n && h->authority.n);
	must(h->path.n && (h->path.p[0] == '/' || sv_eq(h->path, SV("*"))));
	must(h->path.n + h->query.n <= limits.target_bytes);
	must(!(h->chunked && h->has_length));
	check_text(h->target);
	check_text(h->authority);
	buf_fmt(&r->said,
		SV_FMT " " SV_FMT " ? " SV_FMT " @ " SV_FMT " %d%d%d%d %llu\n",
		SV_ARG(h->method), SV_ARG(h->path), SV_ARG(h->query),
		SV_ARG(h->authority), h->v10, h->close, h->chunked, h->expect,
		(unsigned long long)h->length);
	for (uint32_t i = 0; i < h->n; i++) {
		must(h->fields[i].name.n);
		check_text(h->fields[i].name);
		check_text(h->fields[i].value);
		buf_fmt(&r->said, SV_FMT "=" SV_FMT "\n", SV_ARG(h->fields[i].name),
			SV_ARG(h->fields[i].value));
	}
}

static void end_request(struct reader *r)
{
	must(r->out.n <= limits.body_bytes);
	buf_fmt(&r->said, "body %zu ", r->out.n);
	buf_sv(&r->said, buf_view(&r->out));
	buf_byte(&r->said, '\n');
	buf_reset(&r->out);
	r->in_body = false;
	r->scan = (struct h1_scan){0};
}

static bool take_head(struct reader *r)
{
	struct field fields[MAX_FIELDS];
	struct head h = {.fields = fields};
	struct refusal why = {0};
	int got = h1_scan(&r->scan, buf_view(&r->in), &limits, &why);
	size_t n = r->scan.at;

	if (got == H1_MORE)
		return false;
	if (got == H1_DONE)
		got = h1_head((struct sv){r->in.p, n}, &limits, &h, &why);
	if (got == H1_DONE && head_check(&h, &why))
		got = H1_BAD;
	if (got == H1_DONE)
		got = h1_body_start(&r->body, &h, limits.body_bytes, &why);
	if (got == H1_BAD) {
		say_refusal(r, &why);
		return false;
	}
	say_head(r, &h);
	buf_consume(&r->in, n);
	r->in_body = true;
	if (got == H1_DONE)
		end_request(r);
	return true;
}

static bool take_body(struct reader *r)
{
	struct refusal why = {0};
	size_t used = 0, had = r->in.n;
	int got =
		h1_body_feed(&r->body, buf_view(&r->in), &used, &r->out, &limits, &why);

	must(used <= had);
	if (got == H1_BAD) {
		say_refusal(r, &why);
		return false;
	}
	must(got == H1_DONE || used == had);
	buf_consume(&r->in, used);
	if (got == H1_DONE)
		end_request(r);
	return got == H1_DONE;
}

static void feed(struct reader *r, struct sv bytes)
{
	if (r->dead)
		return;
	buf_sv(&r->in, bytes);
	while (r->in.n && (r->in_body ? take_body(r) : take_head(r)))
		;
}

/* cuts: how long the pieces are, in turn; none: all at once. */
static void read_all(struct reader *r, struct sv bytes, struct sv cuts)
{
	*r = (struct reader){.in = {.max = 1 << 20},
			     .out = {.max = limits.body_bytes},
			     .said = {.max = 8 << 20}};
	for (size_t i = 0; bytes.n; i++) {
		size_t n =
			cuts.n ? 1 + (unsigned char)cuts.p[i % cuts.n] % 61 : bytes.n;

		n = n < bytes.n ? n : bytes.n;
		feed(r, (struct sv){bytes.p, n});
		bytes = (struct sv){bytes.p + n, bytes.n - n};
	}
	must(!r->said.failed && !r->out.failed);
}

static void finish(struct reader *r)
{
	buf_finish(&r->in);
	buf_finish(&r->out);
	buf_finish(&r->said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv bytes = {(const char *)data, size};
	const struct sv cuts[] = {SV("\0"), bytes};
	struct reader whole, pieces;

	if (size > 1 << 16)
		return 0;
	read_all(&whole, bytes, SV(""));
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		read_all(&pieces, bytes, cuts[i]);
		must(sv_eq(buf_view(&whole.said), buf_view(&pieces.said)));
		finish(&pieces);
	}
	finish(&whole);
	return 0;
}
