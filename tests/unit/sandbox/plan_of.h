/* plan_of.h: a plan for this host, as the keeper makes it. */
#ifndef PLAN_OF_H
#define PLAN_OF_H

#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <stddef.h>
#include <stdio.h>

/* Of the default policy, but for the limits where there are some; NULL, and why: there can be none. Stands until the next. */
static inline struct plan *plan_of(const struct launch_host *host, enum pol_tool tool,
				   const char *language, const struct pol_limits *limits)
{
	static union {
		max_align_t align;
		char bytes[4096];
	} storage;
	struct pol_policy policy = *pol_default();
	struct pol_request req = {.tool = tool, .language = sv_of(language)};
	struct pol_context ctx = {&policy, &launch_facts(host)->host, "test"};
	struct plan *p = NULL;
	struct err e = {0};

	must(pol_plan_size() <= sizeof(storage));
	if (limits)
		policy.limits = *limits;
	if (pol_plan_make(storage.bytes, &req, &ctx, &p, &e))
		printf("# %s\n", e.cause);
	return p;
}

#endif
