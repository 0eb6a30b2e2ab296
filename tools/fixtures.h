/* fixtures.h: what the files of the fixtures share; nobody else includes it but their tests.
 *
 *	fixtures.c            the table: what each tool and prompt says, asks and waits for
 *	fixtures_play.c       plays a row of the table for a call
 *	fixtures_resources.c  the test:// resources, and completion
 *
 * The official conformance suite looks for tools, prompts and resources of fixed names and says what
 * they must answer. They are offered with --conformance-fixtures only and touch nothing: no
 * sandbox, no file, no state beyond the call.
 *
 * Texts of the table are JSON in which {{path}} stands for a value, to be found in a string only:
 * {{args.name}} of the arguments, {{inputs.key.content.name}} of the client's answers, {{state}}
 * what the round before remembered. A string is put in as it is (escaped), an array as its length,
 * another value as its JSON, nothing as "unknown". */
#ifndef TOOLS_FIXTURES_H
#define TOOLS_FIXTURES_H

#include "tools/tools.h"

/* One thing a call does before it answers. */
struct fixture_step {
	const char *log;		/* text of a log message, or NULL */
	bool progress;			/* tell that `at` of 100 is done */
	unsigned at;
	bool drop;			/* break the stream off */
	unsigned then_ms;		/* and wait this long */
};

struct fixture_ask {
	const char *key, *method;
	const char *params;		/* a text */
};

/* One time the client is asked. */
struct fixture_round {
	struct fixture_ask asks[3];
	unsigned n;
	const char *state;		/* remembered for the next round; NULL: nothing is */
};

enum fixture_event { FIXTURE_NOTHING, FIXTURE_TOOLS, FIXTURE_PROMPTS, FIXTURE_RESOURCE };

struct fixture {
	const char *name;		/* of the tool or prompt */
	const struct fixture_step *steps;
	const struct fixture_round *rounds;
	const char *seconds;		/* the argument that says how long to wait before the end */
	const char *content;		/* the blocks of the answer, without brackets; a text */
	const char *result;		/* a prompt: the members of its result; a text */
	unsigned nsteps, nrounds;
	unsigned ask_ms;		/* waits this long before it asks */
	enum fixture_event event;
	int rpc_code;			/* not 0: ends with this JSON-RPC error */
	bool ask_declared;		/* asks only what the client can answer; nothing then: done */
	bool is_error;
};

/* The row that a call plays; NULL when it has none. */
const struct fixture *fixture_of(const struct tool_call *call);

int fixture_start(struct tool_call *call, struct err *e);
void fixture_cancel(struct tool_call *call);
/* Appends tpl with its {{}} filled in. */
void fixture_fill(struct buf *b, const char *tpl, const struct tool_call *call);

extern const struct resource_source fixture_resources;
void fixture_complete_prompt(const struct tool_env *env, struct sv prompt, struct sv argument,
			     struct sv value, void (*put)(void *arg, struct sv value), void *arg);

/* A PNG of one red pixel, a WAV of no samples. */
#define FIXTURE_PNG                                                                    \
	"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx" \
	"0gAAAABJRU5ErkJggg=="
#define FIXTURE_WAV "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="

#endif
