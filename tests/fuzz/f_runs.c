/* f_runs.c: the registry of runs and the addresses of resources, driven by any bytes.
 *
 * Each line is one thing that happens: the letter says what, the digits to which run, the rest how.
 * What must hold: never more is held than may be, what is read is what was printed there, a page goes
 * forward unless it is at the end, and an address is answered by one object or an error with its words. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/stream.h"
#include "tools/internal.h"

#include <string.h>

#define RUNS 8
#define KEEP_BYTES ((size_t)300 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop loop;
static struct runs *runs;
static struct tool_env env;
static char block[100000 + 26];

static const char *id_of(unsigned n, char dst[static 24])
{
	snprintf(dst, 24, "run_%u", n);
	return dst;
}

static struct run *find(unsigned n)
{
	char id[24];

	return runs_find(runs, env.principal, sv_of(id_of(n, id)));
}

static void add(unsigned n, struct sv how)
{
	const struct run_opts o = {.env = &env, .tool = POL_RUN_CODE, .language = how};
	struct err e = {0};
	struct run *r;
	char id[24];

	if (find(n))
		return;
	r = runs_add(runs, &o, &e);
	must(!r == (e.code != ERR_NONE));
	if (r)
		run_name(r, sv_of(id_of(n, id)));
}

/* The byte at an offset is known from the offset. */
static void print(unsigned n, struct sv how)
{
	struct run *r = find(n);
	uint64_t bytes = 0;

	if (!r || r->ended || sv_to_u64(how, &bytes))
		return;
	bytes = bytes < 100000 ? bytes : 100000;
	run_keep(r, n % 2 ? RUN_STDERR : RUN_STDOUT,
		 (struct sv){block + r->out[n % 2].total % 26, (size_t)bytes});
	must(r->out[n % 2].kept <= r->out[n % 2].total);
}

static void end(unsigned n, struct sv how)
{
	struct run *r = find(n);
	struct sup_result result = {
		.status = (enum sup_status)(how.n % SUP_STATUS_COUNT)};
	struct sup_stream s[RUN_STREAMS];
	const struct sup_answer a = {.result = &result, .out = &s[0], .errs = &s[1]};

	if (!r || r->ended)
		return;
	for (int i = 0; i < RUN_STREAMS; i++) {
		stream_init(&s[i]);
		s[i].total = r->out[i].total;
	}
	memcpy(result.run_id, r->id, sizeof(result.run_id));
	run_settle(r, &a);
	run_end(r);
	for (int i = 0; i < RUN_STREAMS; i++)
		stream_finish(&s[i]);
}

static void page(unsigned n, struct sv how)
{
	const struct run *r = find(n);
	const struct store *s;
	static char got[1000];
	uint64_t at = 0;
	size_t k;

	if (!r || sv_to_u64(how, &at))
		return;
	s = &r->out[n % 2];
	k = store_read(s, at, got, sizeof(got));
	must(k == (at >= s->kept		? 0
		   : s->kept - at < sizeof(got) ? (size_t)(s->kept - at)
						: sizeof(got)));
	must(!memcmp(got, block + at % 26, k));
}

static void resource(unsigned n, struct sv how)
{
	const struct resource_source *s = &tools_all.sources[n % tools_all.nsources];
	struct err e = {0};
	AUTO_BUF uri = {0};
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&uri, how.n + 100);
	buf_init(&b, 8 << 20);
	buf_str(&uri, s->prefix);
	buf_sv(&uri, how);
	jw_init(&w, &b);
	jw_arr(&w);
	/* of the others' sources the addresses alone: they ask the keeper */
	if (n % tools_all.nsources < 2)
		return;
	if (s->read(&env, buf_view(&uri), &w, &e)) {
		must(e.code != ERR_NONE && e.cause[0] && !b.failed);
		return;
	}
	jw_arr_end(&w);
	must(!b.failed &&
	     sv_starts(buf_view(&b), SV("[{\"uri\":\"sandbox://runs/run_")));
}

static void on_listed(void *arg, const struct resource *r)
{
	++*(unsigned *)arg;
	must(sv_starts(r->uri, SV(RUNS_URI)));
}

static void list(unsigned n, struct sv how)
{
	unsigned listed = 0;

	tools_all.sources[2].list(&env, how, n, on_listed, &listed);
	must(listed <= n);
}

static void who(unsigned n, struct sv how)
{
	(void)how;
	env.principal = n % 2 ? SV("alice") : SV("");
}

static void step(struct sv line)
{
	static const struct {
		char letter;
		void (*fn)(unsigned n, struct sv how);
	} ops[] = {{'a', add},	    {'p', print}, {'e', end}, {'r', page},
		   {'u', resource}, {'l', list},  {'w', who}};
	unsigned n;

	if (line.n < 2)
		return;
	n = (unsigned)(unsigned char)line.p[1] % RUNS;
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (ops[i].letter == line.p[0])
			ops[i].fn(n, (struct sv){line.p + 2, line.n - 2});
	must(runs->use[RUNS_COUNT] <= 5);
	/* the ends of a stream that was not kept are not asked about */
	must(runs->use[RUNS_BYTES] <=
	     KEEP_BYTES + 5 * RUN_STREAMS * (SUP_HEAD_BYTES + SUP_TAIL_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = {(const char *)data, size}, line;
	bool more = true;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)('a' + i % 26);
	if (size > 4096 || loop_init(&loop, NULL))
		return 0;
	runs = runs_new(&(struct runs_opts){.loop = &loop,
					    .keep_bytes = KEEP_BYTES,
					    .keep_runs = 5},
			NULL);
	env = (struct tool_env){.loop = &loop, .runs = runs, .principal = SV("")};
	while (runs && sv_cut(&rest, '\n', &more, &line))
		step(line);
	runs_free(runs);
	loop_finish(&loop);
	return 0;
}
