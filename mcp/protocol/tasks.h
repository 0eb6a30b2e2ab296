/* tasks.h: what the files of tasks share; only they and their test include it.
 *
 *	tasks.c          the registry: birth, states, results, death; the seams to call.c
 *	tasks_methods.c  tasks/get, update, cancel, result, list; how a task is shown
 *	tasks_follow.c   who is told: listeners, waiting tasks/result; questions to legacy clients
 *
 * Two forms of one thing: the extension io.modelcontextprotocol/tasks of 2026-07-28, where the
 * server decides, and the experimental core tasks of 2025-11-25, where the client asks for a task.
 *
 *	(a call) --> PENDING --> WORKING <--> INPUT_REQUIRED
 *	                |           |              |
 *	                v           +--> COMPLETED, FAILED, CANCELLED --> (forgotten)
 *	           (no task)
 *
 * PENDING is a call that may become a task: a timer makes it one unless it has ended by then. So a
 * quick call is answered at once, and what a tool asks before anything is a question of the call
 * (multi round-trip), not of the task. The client knows nothing of it yet.
 *
 * A task belongs to the principal that called: to any other it is unknown. It outlives the peer it
 * came from. It is kept TASKS_KEEP_MS past its end; when the table is full, those ended ones go first
 * whose end the client has seen. Running ones count against max_in_flight of their principal. */
#ifndef MCP_PROTOCOL_TASKS_H
#define MCP_PROTOCOL_TASKS_H

#include "mcp/protocol/internal.h"

#define TASKS_ID_SIZE 37		/* "tsk_", 128 random bits in hex, NUL */
#define TASKS_KEEP_MS 3600000
#define TASKS_MIN_KEEP_MS 60000		/* past the end, whatever ttl a client wants */
#define TASKS_MAX_TTL_MS 86400000
#define TASKS_POLL_MS 1000
#define TASKS_MAX 2048			/* of all principals, as TASKS_MAX_BYTES */
#define TASKS_MAX_EACH 256
#define TASKS_MAX_BYTES ((size_t)128 << 20)	/* of results */
#define TASKS_MAX_BYTES_EACH ((size_t)32 << 20)
#define TASKS_MAX_WAITS 32		/* tasks/result of one peer that wait */
#define TASKS_MAX_FOLLOWED 64		/* taskIds of one listen */
#define TASKS_MAX_LISTENERS 16		/* of one task: each is sent its result */
#define TASKS_PAGE 50

enum task_status {
	TASK_PENDING,
	TASK_WORKING,
	TASK_INPUT_REQUIRED,
	TASK_COMPLETED,
	TASK_FAILED,
	TASK_CANCELLED,
	TASK_STATUS_COUNT
};

struct task_ask {
	struct buf key;			/* the tool's */
	struct buf wire;		/* the client's: never used twice in a task */
	struct buf method, params;
	bool answered;
	struct proto_peer *peer;	/* a legacy client it was put to, and the id of that request */
	int64_t id;
};

struct proto_task {
	struct proto_server *server;
	struct proto_task *prev, *next;
	uint64_t serial;		/* rises from task to task */
	char id[TASKS_ID_SIZE];
	struct buf principal;
	uint64_t peer_serial;		/* of the peer it came from */
	const struct proto_revision *rev;
	enum task_status status;
	bool is_error;			/* completed with isError */
	bool read;			/* the client has seen the end */
	uint64_t created_us, updated_us;	/* of the day */
	uint64_t born_us;		/* monotonic */
	uint64_t ttl_ms;		/* from birth; grows at the end */
	const char *message;		/* statusMessage, or NULL */
	struct proto_call *call;	/* until the end */
	struct buf result;		/* completed: an object */
	struct err err;			/* failed */
	int rpc_code;
	struct task_ask *asks;		/* input_required; owned */
	unsigned nasks, waiting, rounds;
	struct cJSON *inputs;		/* answers so far; owned */
	struct loop_timer timer;	/* pending: becomes a task; asking: too late; ended: forgotten */
};

/* A request that wants to hear of a task: PROTO_LISTEN hears of every change, PROTO_WAIT (a
 * tasks/result) of the end. */
struct task_follow {
	struct task_follow *next;
	struct proto_request *r;
	struct proto_task *task;
};

struct proto_tasks {
	struct proto_task *first, *last;	/* owned, oldest first */
	struct task_follow *follows;		/* owned */
	uint64_t last_serial;
};

/* tasks.c */
/* The principal's task of that id; NULL: unknown, another's, or not one yet. */
struct proto_task *task_find(const struct proto_server *s, struct sv principal, struct sv id);
bool task_ended(const struct proto_task *t);
/* Ends a task before its call has ended: asks that to end too. */
void task_stop(struct proto_task *t, const char *message);
void task_fail(struct proto_task *t, int rpc_code, const struct err *e);
/* An answer to the i-th question; v is taken. After the last one the call goes on. */
void task_answer(struct proto_task *t, unsigned i, struct cJSON *v);

/* tasks_methods.c */
/* The members of a task: the plain ones; `detail` adds what became of it. */
void task_write(struct jw *w, const struct proto_task *t, const struct proto_revision *rev);
void task_write_detail(struct jw *w, const struct proto_task *t, const struct proto_revision *rev);
void task_write_related(struct jw *w, const struct proto_task *t);

/* tasks_follow.c */
/* Something about the task has changed. Requests that waited may be gone after it. */
void task_tell(struct proto_task *t);
void task_unfollow(struct proto_task *t);
/* Makes r, a PROTO_WAIT, wait for the end; -1: no memory. */
int task_wait(struct proto_task *t, struct proto_request *r);
/* Answers a tasks/result with what the task came to; does not end the request. */
void task_send_result(struct proto_task *t, const struct proto_request *r);

#endif
