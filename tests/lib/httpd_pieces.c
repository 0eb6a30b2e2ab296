/* httpd_pieces.c: bodies and answers in pieces; see httpd.h. */
#include "tests/lib/httpd.h"

#include "sandbox/base/mem.h"

static struct http_exchange *takers[MAX_HELD], *waiting[MAX_HELD];
static size_t ntakers, nwaiting;

/* Of a body in pieces, or of an answer in such. */
struct piecewise {
	uint64_t bytes, sum, allowed;
	bool early, used;
};
static struct piecewise pool[256];

static struct piecewise *piecewise_new(struct http_exchange *x)
{
	struct piecewise *p = pool;

	while (p->used)
		must(++p < pool + ARRAY_LEN(pool));
	*p = (struct piecewise){.used = true};
	http_set_user(x, p);
	return p;
}

static void piecewise_end(struct http_exchange *x)
{
	((struct piecewise *)http_user(x))->used = false;
	http_set_user(x, NULL);
	httpd_forget(takers, &ntakers, x);
	httpd_forget(waiting, &nwaiting, x);
}

bool pieces_wanted(void *arg, const struct http_exchange *x)
{
	static const char *const them[] = {"/sink", "/late", "/tap", "/early"};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(them); i++)
		if (sv_eq(http_path(x), sv_of(them[i])))
			return true;
	return false;
}

void pieces_on_body(void *arg, struct http_exchange *x)
{
	struct piecewise *p = http_user(x);
	struct sv body = http_body(x);
	size_t n = body.n < p->allowed ? body.n : (size_t)p->allowed;
	char said[80];

	(void)arg;
	for (size_t i = 0; i < n; i++)
		p->sum = p->sum * 31 + (unsigned char)body.p[i];
	p->bytes += n;
	p->allowed -= n;
	if (n)
		http_body_take(x, n);
	if (!http_body_whole(x) && !(p->early && !p->allowed))
		return;
	if (http_body(x).n && !p->early)
		return;
	snprintf(said, sizeof(said), "%llu %llu", (unsigned long long)p->bytes,
		 (unsigned long long)p->sum);
	n = p->early ? 507 : 200;
	piecewise_end(x);
	httpd_text(x, (unsigned)n, sv_of(said));
}

void pieces_on_sink(struct http_exchange *x)
{
	struct piecewise *p = piecewise_new(x);

	p->early = sv_eq(http_path(x), SV("/early"));
	p->allowed = p->early ? httpd_number(x) : UINT64_MAX;
	if (sv_eq(http_path(x), SV("/tap"))) {
		p->allowed = 0;
		takers[ntakers++] = x;
	}
	if (http_body_whole(x) || (p->early && !p->allowed))
		pieces_on_body(NULL, x);
	else
		http_body_start(x);
}

void pieces_on_late(struct http_exchange *x)
{
	piecewise_new(x)->allowed = UINT64_MAX;
	waiting[nwaiting++] = x;
}

void pieces_on_begin(struct http_exchange *x)
{
	while (nwaiting)
		http_body_start(waiting[--nwaiting]);
	httpd_text(x, 200, SV("begun"));
}

void pieces_on_pull(struct http_exchange *x)
{
	for (size_t i = ntakers; i-- > 0;) {
		struct piecewise *p = http_user(takers[i]);

		p->allowed += httpd_number(x);
		pieces_on_body(NULL, takers[i]);
	}
	httpd_text(x, 200, SV("pulled"));
}

void pieces_on_room(void *arg, struct http_exchange *x)
{
	static const char block[64 << 10];
	struct piecewise *p = http_user(x);
	size_t n = p->allowed < sizeof(block) ? (size_t)p->allowed : sizeof(block);

	(void)arg;
	http_stream_write(x, (struct sv){block, n});
	p->allowed -= n;
	p->bytes += n;
	if (p->allowed) {
		http_want_room(x);
		return;
	}
	n = p->early;
	piecewise_end(x);
	if (n)
		http_abort(x);
	else
		http_stream_end(x);
}

void pieces_on_file(struct http_exchange *x)
{
	struct piecewise *p = piecewise_new(x);

	p->early = sv_eq(http_path(x), SV("/short"));
	p->allowed = p->early ? httpd_number(x) / 2 : httpd_number(x);
	http_stream_start_sized(x, 200, NULL, 0, httpd_number(x));
	if (http_method(x) == HTTP_HEAD)
		p->allowed = 0;
	http_want_room(x);
}

size_t pieces_waiting(void)
{
	return ntakers ? http_body(takers[0]).n : 0;
}

void pieces_gone(struct http_exchange *x)
{
	piecewise_end(x);
}
