/* result.h: a run's report, shared by result.c (what it is made of), result_json.c and result_text.c
 * (its two forms). */
#ifndef TOOLS_RESULT_H
#define TOOLS_RESULT_H

#include "tools/internal.h"

#define MARK_BYTES 8	/* of the run id's 32 digits */

/* One stream as the caller gets it. */
struct shown {
	const char *name;
	struct buf text;		/* owned */
	uint64_t total, omitted, bad;
	/* The ends only: where all of it is; "" when nothing is left out or nothing kept. */
	char uri[RUN_URI_SIZE];
	uint64_t kept;
	/* From an offset on. */
	bool paged, eof;
	uint64_t offset, next;
	uint64_t dropped;		/* bytes nobody can get any more */
};

struct report {
	const struct sup_result *result;	/* NULL: it still runs */
	const struct run *run;		/* outputs and session; NULL: neither */
	struct sv run_id;
	uint64_t elapsed_us;		/* while it runs */
	struct shown s[RUN_STREAMS];
	struct shown compile;		/* of the compiler, where there was one */
	struct buf note;
};

struct result_hit {
	uint32_t bit;
	const char *name;
};
#define RESULT_HITS 5
extern const struct result_hit result_hits[RESULT_HITS];

void result_note(struct report *v);	/* fills note */
void result_json(const struct report *v, struct buf *json);
void result_text(const struct report *v, struct buf *b);
void result_signal_name(int sig, char *dst, size_t size);
uint64_t result_ms(uint64_t us);

#endif
