/* registry.h: runs put into a registry by hand, without a keeper. */
#ifndef TESTS_TOOLS_REGISTRY_H
#define TESTS_TOOLS_REGISTRY_H

#include "sandbox/base/mem.h"
#include "sandbox/supervise/stream.h"
#include "tests/lib/tap.h"
#include "tools/internal.h"

#include <string.h>

struct shelf {
	struct loop loop;
	struct runs *runs;
	unsigned changed, updated;	/* news so far */
	char principal[16], uri[RUN_URI_SIZE];	/* of the last */
	struct tool_events events;
};

static inline void on_updated(void *arg, struct sv principal, struct sv uri)
{
	struct shelf *s = arg;

	s->updated++;
	must(!sv_copy(principal, s->principal, sizeof(s->principal)) &&
	     !sv_copy(uri, s->uri, sizeof(s->uri)));
}

static inline void on_changed(void *arg, struct sv principal)
{
	struct shelf *s = arg;

	s->changed++;
	must(!sv_copy(principal, s->principal, sizeof(s->principal)));
}

static inline void shelf_init(struct shelf *s, const struct runs_opts *o)
{
	struct runs_opts with = *o;
	struct err e = {0};

	*s = (struct shelf){.changed = 0};
	must(!loop_init(&s->loop, &e));
	with.loop = &s->loop;
	s->runs = runs_new(&with, &e);
	must(s->runs);
	s->events = (struct tool_events){
		.resource_updated = on_updated, .resources_changed = on_changed, .arg = s};
}

static inline void shelf_finish(struct shelf *s)
{
	runs_free(s->runs);
	loop_finish(&s->loop);
}

static inline void on_shelf_idle(struct loop_timer *t)
{
	loop_stop(t->arg);
}

/* One turn of the loop: timers that are due. */
static inline void shelf_turn(struct shelf *s)
{
	struct loop_timer t = {.on_due = on_shelf_idle, .arg = &s->loop};
	struct err e = {0};

	s->loop.stopped = false;
	loop_timer_set(&s->loop, &t, 0);
	must(!loop_run(&s->loop, &e));
}

static inline struct run *shelf_add(struct shelf *s, const char *principal, const char *id,
				    struct err *e)
{
	const struct tool_env env = {
		.loop = &s->loop, .principal = sv_of(principal), .events = &s->events};
	struct run *r = runs_add(s->runs,
				 &(struct run_opts){.env = &env,
						    .tool = POL_RUN_CODE,
						    .language = SV("python")},
				 e);

	if (r)
		run_name(r, sv_of(id));
	return r;
}

/* n bytes of c. */
static inline void shelf_print(struct run *r, enum run_stream i, char c, size_t n)
{
	char block[8192];

	memset(block, c, sizeof(block));
	while (n) {
		size_t k = n < sizeof(block) ? n : sizeof(block);

		run_keep(r, i, (struct sv){block, k});
		n -= k;
	}
}

static inline void shelf_end(struct run *r)
{
	struct sup_result result = {.status = SUP_EXITED, .has_exit_code = true};
	struct sup_stream out, errs;
	struct sup_answer a = {.result = &result, .out = &out, .errs = &errs};

	snprintf(result.run_id, sizeof(result.run_id), "%s", r->id);
	stream_init(&out);
	stream_init(&errs);
	out.total = r->out[RUN_STDOUT].total;
	errs.total = r->out[RUN_STDERR].total;
	run_settle(r, &a);
	run_end(r);
	stream_finish(&out);
	stream_finish(&errs);
}

static inline bool has(struct shelf *s, const char *principal, const char *id)
{
	return runs_find(s->runs, sv_of(principal), sv_of(id)) != NULL;
}

/* A run that has ended, with so much output. */
static inline void shelf_done(struct shelf *s, const char *principal, const char *id, size_t bytes)
{
	struct run *r = shelf_add(s, principal, id, NULL);

	must(r);
	shelf_print(r, RUN_STDOUT, 'x', bytes);
	shelf_end(r);
}

#endif
