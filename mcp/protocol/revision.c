/* revision.c: the protocol revisions and what each of them knows. */
#include "mcp/protocol/internal.h"

#include "sandbox/base/mem.h"

/* Newest first within an era. 2024-10-07 is the draft some old SDKs still offer. */
static const struct proto_revision revisions[] = {
	{.name = "2026-07-28",
	 .era = PROTO_MODERN,
	 .annotations = true,
	 .progress_message = true,
	 .completions = true,
	 .structured = true,
	 .icons = true},
	{.name = "2025-11-25",
	 .era = PROTO_LEGACY,
	 .annotations = true,
	 .progress_message = true,
	 .completions = true,
	 .structured = true,
	 .icons = true,
	 .core_tasks = true},
	{.name = "2025-06-18",
	 .era = PROTO_LEGACY,
	 .annotations = true,
	 .progress_message = true,
	 .completions = true,
	 .structured = true},
	{.name = "2025-03-26",
	 .era = PROTO_LEGACY,
	 .annotations = true,
	 .progress_message = true,
	 .completions = true,
	 .batches = true},
	{.name = "2024-11-05", .era = PROTO_LEGACY},
	{.name = "2024-10-07", .era = PROTO_LEGACY},
};

const struct proto_revision *proto_revision_find(enum proto_era era, struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(revisions); i++)
		if (revisions[i].era == era && sv_eq(sv_of(revisions[i].name), name))
			return &revisions[i];
	return NULL;
}

const struct proto_revision *proto_revision_latest(enum proto_era era)
{
	for (size_t i = 0; i < ARRAY_LEN(revisions); i++)
		if (revisions[i].era == era)
			return &revisions[i];
	must(!"an era without revisions");
	return NULL;
}

void proto_revision_list(struct jw *w, enum proto_era era)
{
	jw_arr(w);
	for (size_t i = 0; i < ARRAY_LEN(revisions); i++)
		if (revisions[i].era == era)
			jw_str(w, sv_of(revisions[i].name));
	jw_arr_end(w);
}
