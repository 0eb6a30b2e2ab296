/* runs.c: the registry of runs: who has which, how much is kept of them, when one is dropped.
 *
 * Theory of operation. What is held is counted in three ways (runs, bytes of output, descriptors),
 * for each owner and in all. When something would go past the ceiling of all, ended runs are dropped
 * until it fits: of the owner who holds most of what is short, the longest ended first, but never of
 * one who holds less than the one who asks. So whoever takes more than an equal share pays for it
 * himself. What running runs hold cannot be taken back; so that one owner's cannot fill the house,
 * they have a ceiling of their own (running_bytes).
 *
 * News of the list is put together by a timer of the owner, news of a run by one of the run; an owner
 * stays until his has gone off. */
#include "tools/runs.h"

#include "sandbox/base/mem.h"
#include "tools/internal.h"

#define KEEP_BYTES ((size_t)256 << 20)
#define KEEP_RUNS 1024
#define KEEP_MS (30 * 60 * (uint64_t)1000)
#define MAX_BACKGROUND 16
#define MAX_FDS 512
#define GATHER_MS 50

const char *const run_stream_names[RUN_STREAMS] = {"stdout", "stderr"};

/* --- owners ------------------------------------------------------------------------------------- */

static void owner_free(struct run_owner *o)
{
	loop_timer_stop(o->runs->loop, &o->changed);
	mem_free(o->principal);
	mem_free(o);
}

/* Frees it when nothing is left of it. */
static void owner_settle(struct run_owner *o)
{
	struct runs *r = o->runs;

	if (o->newest || o->changed.armed)
		return;
	for (struct run_owner **at = &r->owners; *at; at = &(*at)->next)
		if (*at == o) {
			*at = o->next;
			break;
		}
	owner_free(o);
}

static void on_changed_due(struct loop_timer *t)
{
	struct run_owner *o = t->arg;
	const struct tool_events *ev = o->runs->events;

	o->changed_us = loop_now_us();
	if (ev && ev->resources_changed)
		ev->resources_changed(ev->arg, sv_of(o->principal));
	owner_settle(o);
}

/* Milliseconds until news may follow news that was told at last_us; 0: at once. */
static uint64_t news_delay(uint64_t last_us)
{
	uint64_t now = loop_now_us();

	if (!last_us || now - last_us >= (uint64_t)RUN_NEWS_MS * 1000)
		return 0;
	return RUN_NEWS_MS - (now - last_us) / 1000;
}

static void list_changed(struct run_owner *o)
{
	if (!o->changed.armed)
		loop_timer_set(o->runs->loop, &o->changed, news_delay(o->changed_us));
}

static struct run_owner *owner_get(struct runs *r, struct sv principal)
{
	struct run_owner *o = runs_owner(r, principal);

	if (o)
		return o;
	o = mem_zalloc(sizeof(*o));
	if (!o)
		return NULL;
	o->principal = mem_zalloc(principal.n + 1);
	if (!o->principal) {
		mem_free(o);
		return NULL;
	}
	memcpy(o->principal, principal.p, principal.n);
	o->runs = r;
	o->changed = (struct loop_timer){.on_due = on_changed_due, .arg = o};
	o->next = r->owners;
	r->owners = o;
	return o;
}

/* --- what is held ------------------------------------------------------------------------------- */

void run_charge(struct run *r, enum runs_use u, uint64_t n)
{
	r->use[u] += n;
	r->owner->use[u] += n;
	r->runs->use[u] += n;
	if (u == RUNS_BYTES && !r->ended)
		r->owner->running_bytes += n;
}

static void discharge(struct run *r)
{
	for (int u = 0; u < RUNS_USES; u++) {
		r->owner->use[u] -= r->use[u];
		r->runs->use[u] -= r->use[u];
		r->use[u] = 0;
	}
}

static void unlink_ended(struct run *r)
{
	struct runs *all = r->runs;

	*(r->ended_prev ? &r->ended_prev->ended_next : &all->ended_first) =
		r->ended_next;
	*(r->ended_next ? &r->ended_next->ended_prev : &all->ended_last) =
		r->ended_prev;
}

static void unlink_owned(struct run *r)
{
	struct run_owner *o = r->owner;

	*(r->prev ? &r->prev->next : &o->newest) = r->next;
	*(r->next ? &r->next->prev : &o->oldest) = r->prev;
}

static void run_free(struct run *r)
{
	struct loop *l = r->runs->loop;

	loop_timer_stop(l, &r->promote);
	loop_timer_stop(l, &r->wake);
	loop_timer_stop(l, &r->news);
	for (int i = 0; i < RUN_STREAMS; i++)
		store_finish(&r->out[i]);
	for (unsigned i = 0; i < ARRAY_LEN(r->head); i++) {
		buf_finish(&r->head[i]);
		buf_finish(&r->tail[i]);
	}
	outputs_finish(&r->outputs);
	run_files_finish(&r->changed);
	run_files_finish(&r->artifacts);
	buf_finish(&r->declared);
	run_answer_finish(&r->answer);
	mem_free(r);
}

/* Of an ended run. */
static void drop(struct run *r)
{
	struct run_owner *o = r->owner;
	struct run_gone *g = &o->gone[o->gone_at++ % RUNS_GONE];

	memcpy(g->id, r->id, sizeof(g->id));
	g->serial = r->serial;
	if (r->kept) /* nobody can ask for them any more */
		sup_client_session_drop(r->client, sv_of(r->throwaway));
	discharge(r);
	unlink_ended(r);
	unlink_owned(r);
	run_free(r);
	list_changed(o);
}

static bool is_held(const struct run *r)
{
	return r->waits || r->pinned;
}

static void on_expiry_due(struct loop_timer *t);

static void set_expiry(struct runs *r)
{
	uint64_t age;

	loop_timer_stop(r->loop, &r->expiry);
	if (!r->ended_first)
		return;
	age = (loop_now_us() - r->ended_first->ended_us) / 1000;
	loop_timer_set(r->loop, &r->expiry, age < r->keep_ms ? r->keep_ms - age : 0);
}

static void on_expiry_due(struct loop_timer *t)
{
	struct runs *r = t->arg;
	uint64_t now = loop_now_us();

	while (r->ended_first && !is_held(r->ended_first) &&
	       now - r->ended_first->ended_us >= r->keep_ms * 1000)
		drop(r->ended_first);
	set_expiry(r);
}

static uint64_t most_used(const struct runs *r, enum runs_use u)
{
	uint64_t most = 0;

	for (const struct run_owner *o = r->owners; o; o = o->next)
		most = o->use[u] > most ? o->use[u] : most;
	return most;
}

/* The run to drop so that `asks` may have more of u; NULL: none may be. */
static struct run *victim(struct runs *r, const struct run_owner *asks, enum runs_use u)
{
	const uint64_t most = most_used(r, u);
	struct run *found = NULL;

	for (struct run *e = r->ended_first; e; e = e->ended_next) {
		if (!e->use[u] || is_held(e) ||
		    (e->owner != asks && e->owner->use[u] <= asks->use[u]))
			continue;
		if (!found || e->owner->use[u] > found->owner->use[u])
			found = e;
		if (found && found->owner->use[u] == most) /* none is better */
			break;
	}
	return found;
}

/* Drops what it may until n more of u fit; how many of the n do. */
static uint64_t make_room(struct runs *r, const struct run_owner *asks, enum runs_use u,
			  uint64_t n)
{
	while (r->use[u] + n > r->max[u]) {
		struct run *e = victim(r, asks, u);

		if (!e)
			return r->use[u] < r->max[u] ? r->max[u] - r->use[u] : 0;
		drop(e);
	}
	return n;
}

/* --- life --------------------------------------------------------------------------------------- */

struct runs *runs_new(const struct runs_opts *o, struct err *e)
{
	struct runs *r = mem_zalloc(sizeof(*r));

	if (!r) {
		err_set(e, ERR_LIMIT, "no memory for the registry of runs");
		return NULL;
	}
	r->loop = o->loop;
	r->max[RUNS_COUNT] = o->keep_runs ? o->keep_runs : KEEP_RUNS;
	r->max[RUNS_BYTES] = o->keep_bytes ? o->keep_bytes : KEEP_BYTES;
	r->max[RUNS_FDS] = MAX_FDS;
	r->keep_ms = o->keep_ms ? o->keep_ms : KEEP_MS;
	r->max_background = o->max_background ? o->max_background : MAX_BACKGROUND;
	r->gather_ms = GATHER_MS;
	r->next_serial = 1;
	r->expiry = (struct loop_timer){.on_due = on_expiry_due, .arg = r};
	return r;
}

static void on_news_due(struct loop_timer *t)
{
	struct run *r = t->arg;
	const struct tool_events *ev = r->runs->events;
	char uri[RUN_URI_SIZE];
	bool dirty[RUN_STREAMS + 1];

	memcpy(dirty, r->dirty, sizeof(dirty));
	memset(r->dirty, 0, sizeof(r->dirty));
	r->news_us = loop_now_us();
	for (int i = 0; i <= RUN_STREAMS; i++)
		if (dirty[i] && ev && ev->resource_updated) {
			run_uri(r, i < RUN_STREAMS ? run_stream_names[i] : "result",
				uri);
			ev->resource_updated(ev->arg, run_principal(r), sv_of(uri));
		}
}

static void has_news(struct run *r, int what)
{
	r->dirty[what] = true;
	if (r->id[0] && !r->news.armed)
		loop_timer_set(r->runs->loop, &r->news, news_delay(r->news_us));
}

static struct run *run_make(struct run_owner *owner, const struct run_opts *o)
{
	struct run *r = mem_zalloc(sizeof(*r));

	if (!r)
		return NULL;
	r->runs = owner->runs;
	r->owner = owner;
	r->serial = owner->runs->next_serial++;
	r->tool = o->tool;
	r->background = o->background;
	owner->background += o->background;
	snprintf(r->language, sizeof(r->language), "%.*s",
		 (int)(o->language.n < 31 ? o->language.n : 31), o->language.p);
	r->open_stdin = o->open_stdin;
	/* what is no id of ours has no session, and the keeper will say so */
	if (sv_copy(o->session_id, r->session_id, sizeof(r->session_id)))
		r->session_id[0] = '\0';
	r->client = o->env->client;
	r->started_us = loop_now_us();
	r->started_wall_us = loop_wall_us();
	r->news = (struct loop_timer){.on_due = on_news_due, .arg = r};
	for (int i = 0; i < RUN_STREAMS; i++)
		store_init(&r->out[i]);
	for (unsigned i = 0; i < ARRAY_LEN(r->head); i++) {
		buf_init(&r->head[i], SUP_HEAD_BYTES);
		buf_init(&r->tail[i], SUP_TAIL_BYTES);
	}
	r->next = owner->newest;
	*(r->next ? &r->next->prev : &owner->oldest) = r;
	owner->newest = r;
	owner->runs->running++;
	run_charge(r, RUNS_COUNT, 1);
	return r;
}

struct run *runs_add(struct runs *r, const struct run_opts *o, struct err *e)
{
	struct run_owner *owner = owner_get(r, o->env->principal);
	struct run *made = NULL;

	if (!owner) {
		err_set(e, ERR_LIMIT, "no memory for another run");
		return NULL;
	}
	if (o->background && owner->background >= r->max_background) {
		err_set(e, ERR_BUSY, "%u runs go on in the background, as many as may",
			owner->background);
		err_fix(e, "wait for one of them with run_status or end it with "
			   "run_cancel, or leave out background");
	} else if (!make_room(r, owner, RUNS_COUNT, 1)) {
		err_set(e, ERR_BUSY, "too many runs at once");
		err_fix(e, "try again when some of them have ended");
	} else {
		made = run_make(owner, o);
		if (!made)
			err_set(e, ERR_LIMIT, "no memory for another run");
	}
	if (o->env->events)
		r->events = o->env->events;
	owner_settle(owner);
	return made;
}

void run_name(struct run *r, struct sv id)
{
	if (r->id[0] || sv_copy(id, r->id, sizeof(r->id)))
		return;
	list_changed(r->owner);
	for (int i = 0; i < RUN_STREAMS; i++)
		if (r->dirty[i])
			has_news(r, i);
}

size_t run_make_room(struct run *r, const struct store *s, size_t n)
{
	struct run_owner *o = r->owner;
	struct runs *all = r->runs;
	/* alone on stdio there is nobody to leave something for */
	uint64_t ceiling =
		*o->principal ? all->max[RUNS_BYTES] / 4 : all->max[RUNS_BYTES];
	uint64_t room = 0;

	if (!s->closed && o->running_bytes < ceiling)
		room = ceiling - o->running_bytes;
	room = make_room(all, o, RUNS_BYTES, room < n ? room : n);
	if (store_will_spill(s, n) && !make_room(all, o, RUNS_FDS, 1) &&
	    room > RUN_SMALL_BYTES - s->small.n)
		room = RUN_SMALL_BYTES - s->small.n;
	return (size_t)room;
}

void run_keep(struct run *r, enum run_stream i, struct sv bytes)
{
	struct store *s = &r->out[i];
	const uint64_t before = s->kept;
	const bool spills = store_will_spill(s, bytes.n);

	store_add(s, bytes, run_make_room(r, s, bytes.n));
	run_charge(r, RUNS_BYTES, s->kept - before);
	if (spills && s->fd >= 0)
		run_charge(r, RUNS_FDS, 1);
	has_news(r, (int)i);
}

void run_list_changed(struct run *r)
{
	if (r->id[0])
		list_changed(r->owner);
}

/* The ends of a stream that was not kept whole; its bytes are few and not asked about. */
static void keep_ends(struct run *r, const struct sup_stream *s, int i)
{
	r->out[i].total = s->total;
	r->out[i].closed = r->out[i].kept < s->total;
	if (!r->out[i].closed)
		return;
	sup_stream_text(s, &r->head[i], &r->tail[i]);
	run_charge(r, RUNS_BYTES, r->head[i].n + r->tail[i].n);
}

static void keep_compile(struct run *r, const struct sup_stream *s)
{
	struct buf *head = &r->head[RUN_STREAMS], *tail = &r->tail[RUN_STREAMS];

	if (!s || !s->total)
		return;
	r->compile_bytes = s->total;
	sup_stream_text(s, head, tail);
	run_charge(r, RUNS_BYTES, head->n + tail->n);
}

static void note_end(struct run *r)
{
	struct runs *all = r->runs;

	if (r->background)
		r->owner->background--;
	r->owner->running_bytes -= r->use[RUNS_BYTES];
	r->ended = true;
	r->ended_us = loop_now_us();
	r->sup = NULL;
	all->running--;
}

void run_settle(struct run *r, const struct sup_answer *a)
{
	if (a->err)
		r->err = *a->err;
	else
		r->result = *a->result;
	if (r->own_session)
		r->result.in_session = r->result.lost_state = r->result.session_ended =
			false;
	if (!a->err)
		run_name(r, sv_of(r->result.run_id));
	keep_ends(r, a->out, RUN_STDOUT);
	keep_ends(r, a->errs, RUN_STDERR);
	keep_compile(r, a->compile);
}

static void tell_idle(struct runs *r)
{
	void (*on_idle)(void *arg) = r->on_idle;

	if (r->running || !on_idle)
		return;
	r->on_idle = NULL;
	on_idle(r->idle_arg);
}

void run_end(struct run *r)
{
	struct runs *all = r->runs;

	note_end(r);
	r->ended_prev = all->ended_last;
	*(r->ended_prev ? &r->ended_prev->ended_next : &all->ended_first) = r;
	all->ended_last = r;
	if (all->ended_first == r)
		set_expiry(all);
	for (int i = 0; i <= RUN_STREAMS; i++)
		if (i == RUN_STREAMS || r->dirty[i])
			has_news(r, i);
	tell_idle(all);
}

void run_forget(struct run *r)
{
	struct run_owner *o = r->owner;
	struct runs *all = r->runs;

	if (!r->ended)
		note_end(r);
	else
		unlink_ended(r);
	if (r->id[0])
		list_changed(o);
	discharge(r);
	unlink_owned(r);
	run_free(r);
	owner_settle(o);
	tell_idle(all);
}

bool run_detach(struct run *r)
{
	if (!r->background && r->owner->background >= r->runs->max_background)
		return false;
	r->owner->background += !r->background;
	r->background = true;
	return true;
}

/* --- the end of all ------------------------------------------------------------------------------ */

void runs_cancel_all(struct runs *r, void (*on_idle)(void *arg), void *arg)
{
	r->on_idle = on_idle;
	r->idle_arg = arg;
	for (struct run_owner *o = r->owners; o; o = o->next)
		for (struct run *at = o->newest; at; at = at->next)
			if (at->sup)
				sup_client_cancel(at->sup);
			else if (at->prep)
				prep_cancel(at);
	tell_idle(r);
}

void runs_free(struct runs *r)
{
	struct run_owner *o;

	if (!r)
		return;
	r->events = NULL;
	r->on_idle = NULL;
	while ((o = r->owners)) {
		if (o->newest) {
			struct run *at = o->newest;

			run_break_off(at);
			run_forget(at);
		} else {
			r->owners = o->next;
			owner_free(o);
		}
	}
	loop_timer_stop(r->loop, &r->expiry);
	mem_free(r);
}
