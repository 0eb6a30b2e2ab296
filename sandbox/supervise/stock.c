/* stock.c: warm sandboxes: when one is begun, kept, renewed and ended; see stock.h. */
#include "sandbox/supervise/stock.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"

#include <unistd.h>

#define START_MS 10000
#define UPKEEP_MS 500
#define LADDER_MS 100
#define POLL_GONE_MS 1
#define IDLE_US (600 * 1000000ull)
#define AGE_US (900 * 1000000ull)
#define MAX_MADE 1000 /* cells, then hash seed and addresses are renewed */
#define MAX_STOCKS 8
/* So long without a run before another may have its place. With more callers than places all would be begun anew all the
 * time, which costs more than the cold path of each of their runs. */
#define USED_US (10 * 1000000ull)
#define MAX_FAILURES 4 /* then this host will make none */
/* Of a sandbox, eight control groups for its next cells among them; and of a cell that waits. */
#define FDS_PER_STOCK 140
#define FDS_PER_CELL 20
#define MIN_WANTED 2
#define MAX_WANTED 8
/* Where each cell has started its own interpreter: 6 MiB and 40 ms of a processor, for 1.6 and 2. */
#define MAX_WANTED_AHEAD 4
#define WEIGHT_AHEAD 4
#define MAKING_AHEAD 2 /* at a time: the first of them is not to come last */
#define QUIET_US                                                                       \
	(100 * 1000ull) /* without a taking: then one fewer is wanted each upkeep */
#define AFTER_FAILURE_US (30 * 1000000ull)

static void end(struct stock *s);

/* --- which ------------------------------------------------------------------------------------ */

static struct stock *find(const struct keeper *k, const struct plan *plan,
			  const struct stock *but)
{
	struct stock *s = k->stocks;

	while (s && (s == but || s->state > STOCK_UP ||
		     !pol_plan_shares_cells(s->plan, plan)))
		s = s->next;
	return s;
}

static unsigned ready_or_soon(const struct stock *s)
{
	return cells_in(s, CELL_READY, false) + cells_in(s, CELL_MAKING, false);
}

/* Cells that a run has. */
static unsigned taken(const struct stock *s)
{
	return cells_in(s, CELL_MAKING, true) + cells_in(s, CELL_READY, true) +
	       cells_in(s, CELL_TAKEN, true);
}

static unsigned weight(const struct stock *s)
{
	return s->ahead ? WEIGHT_AHEAD : 1;
}

static unsigned waiting(const struct keeper *k)
{
	unsigned n = 0;

	for (const struct stock *s = k->stocks; s; s = s->next)
		n += ready_or_soon(s) * weight(s);
	return n;
}

static bool is_used(const struct stock *s)
{
	return s->state == STOCK_UP && loop_now_us() - s->used_us <= USED_US;
}

/* How many are to wait in it: all that are in use have the same part of the budget, those that are not keep what nobody
 * else needs. */
static unsigned allowed(const struct stock *s)
{
	unsigned users = 0, part;

	for (const struct stock *o = s->k->stocks; o; o = o->next)
		users += is_used(o);
	if (!users || !is_used(s))
		return 0;
	part = s->k->warm_cells / users / weight(s);
	if (!part)
		part = 1;
	return s->wanted < part ? s->wanted : part;
}

static bool another_is_short(const struct stock *s)
{
	const struct stock *o = s->k->stocks;

	while (o && (o == s || ready_or_soon(o) >= allowed(o)))
		o = o->next;
	return o && waiting(s->k) + weight(o) > s->k->warm_cells;
}

/* The place of the one that was of no use for longest, if all are taken. */
static bool make_place(struct keeper *k)
{
	const uint64_t now = loop_now_us();
	struct stock *oldest = NULL;
	unsigned n = 0;

	for (struct stock *s = k->stocks; s; s = s->next) {
		n++;
		if (s->state <= STOCK_UP && !taken(s) && now - s->used_us > USED_US &&
		    (!oldest || s->used_us < oldest->used_us))
			oldest = s;
	}
	if (n < MAX_STOCKS)
		return true;
	if (oldest)
		stock_retire(oldest);
	return false; /* for the next one that asks */
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void stock_free(struct stock *s)
{
	struct keeper *k = s->k;

	for (struct stock **at = &k->stocks; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	loop_timer_stop(&k->loop, &s->timer);
	loop_timer_stop(&k->loop, &s->refill);
	mem_free(s->plan);
	mem_free(s);
	keeper_pump(k);
}

static void failed(struct stock *s, const char *why)
{
	char raw[512], said[220];
	const ssize_t n = read(s->sandbox.complaints, raw, sizeof(raw));

	log_esc(sv_trim((struct sv){raw, n > 0 ? (size_t)n : 0}), said, sizeof(said));
	log_msg(LOG_WARN, "event=no_zygote runtime=%s why=%s said=\"%s\"",
		pol_plan_runtime(s->plan)->name, why, said);
	s->k->stock_not_before_us = loop_now_us() + AFTER_FAILURE_US;
	end(s);
}

static void guest_failed(struct stock *s, struct ipc_msg *m)
{
	char why[80];

	log_esc(ipc_get_sv(m, 64), why, sizeof(why));
	failed(s, why);
}

static void up(struct stock *s)
{
	struct stock *older;

	s->state = STOCK_UP;
	s->born_us = s->used_us = loop_now_us();
	loop_timer_set(&s->k->loop, &s->timer, UPKEEP_MS);
	loop_timer_set(&s->k->loop, &s->refill, 0);
	while ((older = find(s->k, s->plan, s)))
		stock_retire(older);
}

static bool guest_record(void *arg, struct ipc_msg *m)
{
	struct stock *s = arg;

	if (s->state != STOCK_STARTING)
		return cell_record(s, m);
	if (m->type == GUEST_UP)
		launch_sandbox_up(&s->sandbox);
	else if (m->type == GUEST_ZYGOTE_UP && ipc_end(m))
		up(s);
	else if (m->type == GUEST_FAILED)
		guest_failed(s, m);
	else
		return false;
	return true;
}

/* False: nothing more is to be read in this turn. */
static bool read_record(void *arg)
{
	struct stock *s = arg;
	uint32_t type;
	const enum heard heard = hear_record(&s->ctl_io, guest_record, &type);

	if (heard == HEARD_NOTHING || heard == HEARD_GOOD)
		return heard == HEARD_GOOD;
	loop_del(&s->k->loop, &s->ctl_io);
	if (s->state == STOCK_STARTING)
		failed(s, "died");
	else
		end(s);
	return false;
}

static void on_ctl_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	hear_turn(io, read_record);
}

/* bwrap has ended: of what is left the kernel is asked. */
static void on_child_ready(struct loop_io *io, uint32_t events)
{
	struct stock *s = io->arg;

	(void)events;
	loop_del(&s->k->loop, io);
	s->child_ended = true;
	while (s->ctl_io.added && read_record(s))
		;
	if (s->state == STOCK_STARTING)
		failed(s, "died");
	end(s);
	loop_timer_set(&s->k->loop, &s->timer, 0);
}

static void on_timer(struct loop_timer *t);

/* Makes cells up to what is wanted, while the budget of all lasts. */
static void on_refill(struct loop_timer *t)
{
	struct stock *s = t->arg;

	while (s->state == STOCK_UP && ready_or_soon(s) < allowed(s) &&
	       (!s->ahead || cells_in(s, CELL_MAKING, false) < MAKING_AHEAD) &&
	       waiting(s->k) < s->k->warm_cells && cell_order(s))
		;
}

static int watch(struct stock *s, struct err *e)
{
	s->ctl_io = (struct loop_io){
		.fd = s->sandbox.ctl, .on_ready = on_ctl_ready, .arg = s};
	s->child_io = (struct loop_io){
		.fd = s->sandbox.pidfd, .on_ready = on_child_ready, .arg = s};
	return loop_add(&s->k->loop, &s->ctl_io, EPOLLIN, e) ||
	       loop_add(&s->k->loop, &s->child_io, EPOLLIN, e);
}

static void begin(struct keeper *k, const struct plan *plan)
{
	struct stock *s = mem_zalloc(sizeof(*s));
	void *own = s ? mem_alloc(pol_plan_size()) : NULL;
	struct err e = {0};

	if (!own) {
		mem_free(s);
		return;
	}
	memcpy(own, plan, pol_plan_size());
	*s = (struct stock){
		.k = k,
		.plan = own,
		.ahead = launch_zygote_driver(pol_plan_runtime(plan)->name)->ahead,
		.wanted = MIN_WANTED,
		.next = k->stocks};
	s->timer = (struct loop_timer){.on_due = on_timer, .arg = s};
	s->refill = (struct loop_timer){.on_due = on_refill, .arg = s};
	s->used_us = loop_now_us();
	k->stocks = s;
	if (launch_zygote(k->host, s->plan, &s->sandbox, &e)) {
		log_err("zygote", &e);
		k->stock_not_before_us = s->used_us + AFTER_FAILURE_US;
		stock_free(s);
		return;
	}
	loop_timer_set(&k->loop, &s->timer, START_MS);
	if (watch(s, &e))
		failed(s, "watch");
}

/* --- in use ----------------------------------------------------------------------------------- */

/* Whatever a program is to find beyond its code and its stdin is laid out on the cold path, where it can still be told that
 * there is no room for it. */
static bool is_plain(const struct run *r)
{
	const struct pol_runtime *rt = pol_plan_runtime(r->plan);
	const uint64_t room = pol_plan_limits(r->plan)->workspace_bytes / 2;

	return !r->is_call && rt && launch_zygote_driver(rt->name) &&
	       pol_plan_tool(r->plan) == POL_RUN_CODE && r->code_fd >= 0 &&
	       (uint64_t)fd_size(r->code_fd) <= room && r->input_fd < 0 &&
	       !r->open_stdin;
}

struct stock *stock_for(struct run *r)
{
	struct keeper *k = r->k;
	struct stock *s, *older;

	if (!k->warm_cells || k->front_gone || !is_plain(r))
		return NULL;
	s = find(k, r->plan, NULL);
	/* one that is to take another's place is not up yet */
	older = s && s->state == STOCK_STARTING ? find(k, r->plan, s) : NULL;
	if (older)
		s = older;
	if (s) {
		s->used_us = loop_now_us();
		return s->state == STOCK_UP ? s : NULL;
	}
	if (loop_now_us() >= k->stock_not_before_us && make_place(k))
		begin(k, r->plan);
	return NULL;
}

void stock_taken(struct stock *s)
{
	s->used_us = loop_now_us();
	if (s->wanted < (s->ahead ? MAX_WANTED_AHEAD : MAX_WANTED))
		s->wanted++;
}

void stock_refill_in(struct stock *s, uint64_t ms)
{
	const uint64_t due_us = loop_now_us() + ms * 1000;

	if (s->state == STOCK_UP && (!s->refill.armed || s->refill.due_us > due_us))
		loop_timer_set(&s->k->loop, &s->refill, ms);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void end(struct stock *s)
{
	if (s->state == STOCK_ENDING)
		return;
	s->state = STOCK_ENDING;
	launch_sandbox_kill(&s->sandbox, s->sandbox.guest_pidfd < 0 ? 0 : 1);
	loop_timer_set(&s->k->loop, &s->timer, LADDER_MS);
	cells_end(s);
}

void stock_retire(struct stock *s)
{
	if (s->state == STOCK_UP)
		s->state = STOCK_RETIRED;
	else if (s->state == STOCK_STARTING)
		end(s);
	stock_settle(s);
}

void stock_settle(struct stock *s)
{
	if (s->state == STOCK_RETIRED && !taken(s))
		end(s);
	else if (s->gone && !s->cells)
		stock_free(s);
}

/* Whatever the reason is, such as a bound on user namespaces: runs are not to wait for it, nor the log to be full of it. */
void stock_failed(struct stock *s)
{
	if (++s->failures < MAX_FAILURES || s->state != STOCK_UP)
		return;
	log_msg(LOG_WARN, "event=no_cells runtime=%s", pol_plan_runtime(s->plan)->name);
	s->k->stock_not_before_us = loop_now_us() + AFTER_FAILURE_US;
	stock_retire(s);
}

void stock_break(struct stock *s, const char *why)
{
	if (s->state != STOCK_ENDING)
		log_msg(LOG_ERROR, "event=zygote_broken why=\"%s\"", why);
	end(s);
}

static void look_for_end(struct stock *s)
{
	launch_sandbox_kill(&s->sandbox, 1);
	if (!s->child_ended && s->child_io.added) {
		loop_timer_set(&s->k->loop, &s->timer, LADDER_MS);
		return;
	}
	loop_del(&s->k->loop, &s->ctl_io);
	loop_del(&s->k->loop, &s->child_io);
	if (!launch_sandbox_gone(s->k->host, &s->sandbox)) {
		loop_timer_set(&s->k->loop, &s->timer, POLL_GONE_MS);
		return;
	}
	s->gone = true;
	stock_settle(s); /* or when the last of its cells has gone */
}

/* Where there is no place for two, that of the old one is for who asks next. */
static void renew(struct stock *s)
{
	if (make_place(s->k))
		begin(s->k, s->plan); /* which retires this one when it is up */
	else if (s->state == STOCK_UP)
		stock_retire(s);
}

static void upkeep(struct stock *s)
{
	const uint64_t now = loop_now_us();

	loop_timer_set(&s->k->loop, &s->timer, UPKEEP_MS);
	if (now - s->used_us > QUIET_US && s->wanted > MIN_WANTED)
		s->wanted--;
	if (another_is_short(s))
		while (ready_or_soon(s) > allowed(s) && cell_drop(s))
			;
	stock_refill_in(s, 0);
	if (now - s->used_us > IDLE_US)
		stock_retire(s);
	else if ((s->made > MAX_MADE || now - s->born_us > AGE_US) &&
		 !find(s->k, s->plan, s) && now >= s->k->stock_not_before_us)
		renew(s);
}

static void on_timer(struct loop_timer *t)
{
	struct stock *s = t->arg;

	if (s->state == STOCK_ENDING) {
		look_for_end(s);
	} else if (s->state == STOCK_STARTING) {
		failed(s, "took too long");
	} else if (s->state == STOCK_UP) {
		upkeep(s);
	}
}

uint32_t stock_fit(uint32_t cells, uint64_t files)
{
	const uint64_t stocks = (uint64_t)MAX_STOCKS * FDS_PER_STOCK;
	const uint64_t room = files > stocks ? (files - stocks) / FDS_PER_CELL : 0;

	return cells < room ? cells : (uint32_t)room;
}

void stock_end_all(struct keeper *k)
{
	struct stock *next;

	for (struct stock *s = k->stocks; s; s = next) {
		next = s->next;
		stock_retire(s);
	}
}
