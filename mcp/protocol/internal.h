/* internal.h: the room's own: what its files share. See protocol.h for the room's manual.
 *
 *	server.c    the server: what is offered, drain, its life
 *	account.c   what each principal holds of what is for all
 *	peer.c      one client: messages in, life and death
 *	read.c      bytes -> a message that knows its era; nothing is answered yet
 *	batch.c     many messages in one, in the revision that has them
 *	classify.c  the checks before a method: envelope, versions, headers
 *	headers.c   what HTTP says beside the body
 *	methods.c   the method table of both eras
 *	hello.c     initialize, ping, server/discover, logging/setLevel
 *	out.c       messages out: sinks, errors, HTTP statuses
 *	request.c   the table of requests in flight; their end and their cancellation
 *	begin.c     tools/call and prompts/get: arguments, inputs, what may start
 *	call.c      a call: start, end, cancel, start again
 *	hooks.c     what a call may do meanwhile: progress, log, ask what the client can
 *	answer.c    a call's answer as a result
 *	ask.c       questions: modern (input_required) and what both eras share
 *	ask_legacy.c questions: requests to the client while the call waits
 *	seal.c      the state of a question, sealed on its way through the client
 *	tasks*.c    calls that outlive their request; see tasks.h
 *	catalog.c   the schema files of tools and prompts
 *	list.c      lists and their pages
 *	resources.c resources/read, completion/complete
 *	prompts.c   prompts that are only text
 *	watch.c     what changes: listChanged, resources/updated, to both eras
 *	listen.c    subscriptions/listen, resources/subscribe
 *	revision.c  the revisions and what each knows
 *	meta.c      who we are, in words and in JSON
 *	oversize.c  whom to tell that a message was too long
 *
 * Who owns whom.
 *
 *	proto_server --> proto_peer --> proto_request --> (its sink's end)
 *	     |               |               ^ |
 *	     |               |               | v
 *	     +-- tasks       +--------> proto_call  (the owner of a tool_call)
 *
 * A request and its call live apart. The request is the id, the sink and what this client may be
 * told; it ends when it was answered or cancelled, and then its id is free. The call is the
 * tool_call the tool holds a pointer into; it ends when the tool has answered. Each points at the
 * other while both live (call->request, request->call). So a call without a request is one that
 * was cancelled, or one that became a task. */
#ifndef MCP_PROTOCOL_INTERNAL_H
#define MCP_PROTOCOL_INTERNAL_H

#include "mcp/jsonrpc/jsonrpc.h"
#include "mcp/protocol/protocol.h"

#define PROTO_META_VERSION "io.modelcontextprotocol/protocolVersion"
#define PROTO_META_CAPS "io.modelcontextprotocol/clientCapabilities"
#define PROTO_META_INFO "io.modelcontextprotocol/clientInfo"
#define PROTO_META_LOG "io.modelcontextprotocol/logLevel"
#define PROTO_META_SERVER "io.modelcontextprotocol/serverInfo"
#define PROTO_META_TRACE "fumehood/trace"	/* true in a request: how long what took, in its answer */
#define PROTO_META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"
#define PROTO_EXTENSION_TASKS "io.modelcontextprotocol/tasks"

/* At most this much of a name that came from outside goes into an error text. */
#define PROTO_QUOTE_BYTES 64
#define PROTO_QUOTE(s) (int)((s).n < PROTO_QUOTE_BYTES ? (s).n : PROTO_QUOTE_BYTES), (s).p

#define PROTO_MAX_OUT_BYTES ((size_t)32 << 20)
#define PROTO_MAX_RESULT_BYTES ((size_t)8 << 20)	/* of a list or a resource */
#define PROTO_MAX_BATCH 32		/* messages in one */
#define PROTO_MAX_LISTENS 32		/* subscriptions/listen of one peer */
#define PROTO_MAX_ALL_LISTENS 1024	/* of all of them */
#define PROTO_MAX_WATCHED 128		/* URIs of one subscription */
#define PROTO_MAX_WATCHED_BYTES ((size_t)32 << 20)	/* of all of them */
#define PROTO_MAX_URI_BYTES 4096
#define PROTO_MAX_ASKS 16		/* questions at once */
#define PROTO_MAX_ROUNDS 16		/* times a call may ask */
#define PROTO_MAX_STATE_BYTES 16384	/* what a tool gives with its questions */
#define PROTO_ASK_MS 600000		/* a question is open so long, in both eras */
#define PROTO_MAX_KEPT_BYTES ((size_t)64 << 20)	/* arguments kept for a second start, in all */
#define PROTO_MAX_LOGS 1000		/* of one call */
#define PROTO_MAX_LOG_BYTES 65536
#define PROTO_PAGE 200			/* entries of a page: clients that read only the first see all tools */
#define PROTO_LIST_TTL_MS 300000	/* of tools and prompts: a client may outlive this process */

/* --- revision.c ------------------------------------------------------------------------------- */
struct proto_revision {
	const char *name;
	enum proto_era era;
	bool annotations;	/* of tools: 2025-03-26 */
	bool progress_message;	/* 2025-03-26 */
	bool completions;	/* the capability: 2025-03-26 */
	bool structured;	/* structuredContent, outputSchema, title, _meta: 2025-06-18 */
	bool icons;		/* 2025-11-25 */
	bool core_tasks;	/* tasks/..., execution.taskSupport: 2025-11-25 alone */
	bool batches;		/* 2025-03-26 alone */
};
/* NULL when it is not one of that era's. */
const struct proto_revision *proto_revision_find(enum proto_era era, struct sv name);
const struct proto_revision *proto_revision_latest(enum proto_era era);
/* ["...", ...], newest first */
void proto_revision_list(struct jw *w, enum proto_era era);

/* --- catalog.c -------------------------------------------------------------------------------- */
struct proto_shown;
/* A tool or a prompt with its schema file. */
struct proto_item {
	const struct tool *tool;	/* one of the two */
	const struct prompt *prompt;
	const struct tool_set *set;	/* where it is from */
	struct cJSON *doc;		/* the schema file, owned */
	struct cJSON *input;		/* what is checked of a tool's inputSchema, owned */
	struct proto_shown *shown;	/* its text in the lists of the revisions that asked, owned */
};
struct proto_catalog {
	struct proto_item *tools, *prompts;	/* owned */
	size_t ntools, nprompts, nsources, ntemplates;
	bool completes;			/* there is something to complete */
	bool tasks;			/* a call of some tool may become one */
};
const char *proto_item_name(const struct proto_item *t);
int proto_catalog_init(struct proto_catalog *c, const struct proto_server_opts *o, struct err *e);
void proto_catalog_finish(struct proto_catalog *c);
const struct proto_item *proto_catalog_tool(const struct proto_catalog *c, struct sv name);
const struct proto_item *proto_catalog_prompt(const struct proto_catalog *c, struct sv name);
/* The entry of a list as this revision shows it. Written once, then kept. */
void proto_item_write(struct proto_item *t, const struct proto_revision *rev, struct jw *w);
void proto_catalog_names(const struct proto_item *v, size_t n, char *dst, size_t size);
/* The i-th source or template of all sets; NULL past the end. */
const struct resource_source *proto_source_at(const struct proto_server *s, size_t i);
const struct resource_source *proto_source_of(const struct proto_server *s, struct sv uri);
const struct resource_template *proto_template_at(const struct proto_server *s, size_t i,
						  const struct resource_source **ret_source);
/* Any node as text; -1 without memory or over max. */
int proto_print(const struct cJSON *v, struct buf *ret);

/* --- what a client has declared --------------------------------------------------------------- */
enum {
	PROTO_CAN_ELICIT = 1,		/* elicitation, in a form */
	PROTO_CAN_ELICIT_URL = 2,
	PROTO_CAN_SAMPLE = 4,
	PROTO_CAN_ROOTS = 8,
	PROTO_CAN_TASKS = 16,		/* the extension, modern */
};
unsigned proto_caps_read(const struct cJSON *capabilities);
/* "elicitation", "elicitation.url", "sampling", "roots", "tasks"; 0: no such capability. */
unsigned proto_cap_bit(struct sv name);

/* --- watch.c: who wants to hear of changes ---------------------------------------------------- */
enum {
	PROTO_WATCH_TOOLS = 1,
	PROTO_WATCH_PROMPTS = 2,
	PROTO_WATCH_RESOURCES = 4,
};
struct proto_watched {
	struct buf uri;		/* owned */
	bool due;
};
/* Of a legacy peer, or of one subscriptions/listen. After each news it is quiet for a moment;
 * what comes meanwhile is told once, when that is over. */
struct proto_watch {
	struct proto_peer *peer;		/* borrowed, as request */
	struct proto_request *request;	/* the listen; NULL: the peer's own (legacy) */
	unsigned want, due;		/* PROTO_WATCH_* */
	struct proto_watched *uris;	/* owned */
	unsigned nuris;
	struct loop_timer quiet;
};
void proto_watch_init(struct proto_watch *w, struct proto_peer *p, struct proto_request *r);
void proto_watch_finish(struct proto_watch *w);
/* -1 with e: too many, too long, no memory. One that is there is fine. */
int proto_watch_add(struct proto_watch *w, struct sv uri, struct err *e);
void proto_watch_drop(struct proto_watch *w, struct sv uri);
void proto_watch_note(struct proto_watch *w, unsigned kind);
void proto_watch_note_uri(struct proto_watch *w, struct sv uri);
void proto_events_init(struct proto_server *s);

/* --- request.c -------------------------------------------------------------------------------- */
enum proto_request_kind { PROTO_CALL, PROTO_LISTEN, PROTO_WAIT };

struct proto_call;
struct proto_task;
struct proto_tasks;

struct proto_request {
	struct proto_peer *peer;	/* borrowed; outlives its requests */
	struct proto_request *prev, *next;
	enum proto_request_kind kind;
	const struct proto_revision *rev;
	struct proto_sink *sink;	/* borrowed until its end */
	struct buf id;			/* raw text, echoed */
	struct buf key;			/* what ids are compared by */
	struct buf token;		/* raw progress token; empty: none was given */
	unsigned caps;			/* PROTO_CAN_*, of this request */
	int log_level;			/* the least that is sent; -1: none */
	struct proto_call *call;	/* PROTO_CALL: until the answer */
	struct proto_watch watch;	/* PROTO_LISTEN */
	/* PROTO_WAIT: told when it is cancelled, before it is freed (tasks.c: a waiting tasks/result). */
	void (*on_cancel)(struct proto_request *r);
	void *waiter;
};

/* --- account.c: what is for all, and how much of it one principal holds -------------------------- */
enum proto_use {
	PROTO_USE_CALLS,
	PROTO_USE_LISTENS,
	PROTO_USE_KEPT,		/* bytes of arguments kept for a second start */
	PROTO_USE_WATCHED,	/* bytes of URIs that are watched */
	PROTO_USES
};
#define PROTO_ACCOUNT_BUCKETS 256
struct proto_account;
void proto_account_init(struct proto_server *s);
/* Of the principal of an HTTP client, to be put when done. 0 and *ret, which is NULL for all others:
 * what they may have is not shared. -1: no memory. */
int proto_account_get(struct proto_server *s, const struct proto_peer_opts *o, struct proto_account **ret);
struct proto_account *proto_account_ref(struct proto_account *a);
void proto_account_put(struct proto_server *s, struct proto_account *a);
/* Whether there are `more` of u for this one. a may be NULL here and below. */
bool proto_account_has(const struct proto_server *s, const struct proto_account *a, enum proto_use u,
		       uint64_t more);
void proto_account_add(struct proto_server *s, struct proto_account *a, enum proto_use u, uint64_t n);
void proto_account_sub(struct proto_server *s, struct proto_account *a, enum proto_use u, uint64_t n);

/* --- server.c --------------------------------------------------------------------------------- */
struct proto_server {
	struct proto_server_opts o;	/* with the defaults filled in */
	struct proto_catalog catalog;
	struct proto_peer *peers;	/* all, also those that only wait for their calls */
	uint64_t last_serial;		/* of a peer */
	struct proto_tasks *tasks;	/* tasks.c */
	struct tool_events events;
	void *seal_key;			/* seal.c: secret memory, owned */
	uint64_t use[PROTO_USES];	/* of all peers, and tasks */
	struct proto_account *accounts[PROTO_ACCOUNT_BUCKETS];
	uint8_t account_key[16];
	bool draining;
	bool dead;			/* freed when the last call has ended */
};
/* Frees a dead server whose last call has ended. */
void proto_server_settle(struct proto_server *s);

/* --- peer.c ----------------------------------------------------------------------------------- */
struct proto_peer {
	struct proto_server *server;
	uint64_t serial;		/* never the same for two */
	struct proto_peer *prev, *next;
	struct buf credential, principal;
	struct proto_account *account;	/* owned; NULL: see account.c */
	struct proto_sink *standalone;
	bool http, nobody;
	const struct proto_revision *legacy;	/* negotiated, or the latest before initialize */
	bool initialized;
	unsigned caps;			/* of initialize */
	int log_level;			/* logging/setLevel; -1: none yet */
	struct proto_watch watch;	/* legacy list_changed and resources/subscribe */
	struct proto_request *requests;	/* owned */
	struct proto_call *call_list;	/* owned: all that count as its calls */
	struct proto_batch *batches;	/* owned: those not answered in full */
	unsigned calls, listens;
	int64_t next_ask;		/* id of our last request to it */
	unsigned holds;			/* on the stack: may not be freed now */
	bool silent;			/* the peer is gone */
	bool dead;			/* freed when the last call has ended */
	void (*on_idle)(void *arg);
	void *idle_arg;
};
/* Around what may end a sink: a transport may free the peer from there. */
void proto_peer_hold(struct proto_peer *p);
void proto_peer_release(struct proto_peer *p);	/* settles; p may be gone after it */
/* Calls on_idle or frees the peer when its last call has ended. p may be gone after it. */
void proto_peer_settle(struct proto_peer *p);
struct tool_env proto_peer_env(const struct proto_peer *p);

/* One request or notification on its way through the tables; lives on the stack. */
struct proto_ctx {
	struct proto_server *s;
	struct proto_peer *p;
	const struct proto_in *in;
	struct rpc_msg *m;
	enum proto_era era;
	const struct proto_revision *rev;	/* of a request, once classified; as caps */
	unsigned caps;			/* PROTO_CAN_* that hold for this request */
	const struct cJSON *meta;	/* params._meta when it is an object, else NULL */
	struct sv key;			/* of the request's id */
	struct proto_sink *sink;
	struct proto_request *taken;	/* the request that will end the sink; NULL: nobody yet */
};

/* --- out.c ------------------------------------------------------------------------------------ */
/* One message to a sink, unless the peer is gone. b failed: nothing is sent. */
void proto_send(const struct proto_peer *p, struct proto_sink *sink, enum proto_message_kind kind,
		const struct buf *b, unsigned http_status);
/* Answers this message. http_status follows from era and code: 200, or modern 400 and 404. */
void proto_fail(const struct proto_ctx *c, int code, const struct err *e, struct sv extra_data_members);
/* The same for what is wrong with the message as such: 400 in both eras. */
void proto_refuse(const struct proto_ctx *c, int code, const struct err *e, struct sv extra_data_members);
/* Answers with the result in b, or with an internal error when b failed. */
void proto_reply(const struct proto_ctx *c, const struct buf *b);
/* The same later: these do not end the request. */
void proto_request_fail(const struct proto_request *r, int code, const struct err *e,
			struct sv extra_data_members);
void proto_request_reply(const struct proto_request *r, const struct buf *result);
/* A notification on the request's stream; params is an object. */
void proto_request_notify(const struct proto_request *r, const char *method, const struct buf *params);

/* --- request.c, continued --------------------------------------------------------------------- */
/* Adds one for a request that will be answered later; it takes the sink. NULL: it was answered with
 * an error. */
struct proto_request *proto_request_new(struct proto_ctx *c, enum proto_request_kind kind);
/* The one in flight, or NULL. */
struct proto_request *proto_request_find(struct proto_peer *p, struct sv key);
/* Unlinks, ends its sink, frees; a call it had lives on without it. The peer may be gone after it. */
void proto_request_end(struct proto_request *r);
/* The one that is answered on that sink, or NULL. */
struct proto_request *proto_request_of_sink(const struct proto_peer *p, const struct proto_sink *sink);
/* Ends it without an answer and asks its call to end; with_end: the sink gets its end. */
void proto_request_cancel(struct proto_request *r, bool with_end);
void proto_request_cancel_all(struct proto_peer *p, bool with_end);
/* The comparable form of an id node: strings by their value, numbers by their text. */
int proto_id_key(const struct rpc_msg *m, const struct cJSON *id, struct buf *ret);
void proto_on_cancelled(struct proto_ctx *c);

/* --- call.c: the owner of a tool_call --------------------------------------------------------- */
enum proto_call_state {
	PROTO_CALL_NEW,
	PROTO_CALL_RUNNING,	/* with the tool, which will end it */
	PROTO_CALL_ASKING,	/* nobody has it: it is started again when the answers are there */
	PROTO_CALL_ENDED,
};
struct proto_pending {			/* a question put to a legacy client */
	int64_t id;			/* of our request; 0: answered */
	struct buf key;
	struct cJSON *answer;		/* owned */
};
struct proto_call {
	struct tool_call tool;		/* the tool holds a pointer to it */
	struct proto_server *server;
	const struct proto_item *item;
	/* Whose limits it counts against; NULL for a task, which may outlive its peer. */
	struct proto_peer *peer;
	struct proto_call *prev, *next;	/* in peer->call_list */
	struct proto_account *account;	/* where it is counted; owned, as the peer's */
	struct proto_request *request;	/* who waits for the answer; NULL: nobody any more */
	struct proto_task *task;	/* tasks.c: takes the answer in the request's place */
	struct buf credential, principal;	/* env's views: of this call alone */
	unsigned caps;			/* of the request it came with */
	enum proto_call_state state;
	bool starting, cancelled;
	struct cJSON *args;		/* owned; kept while it may have to start again, else NULL */
	size_t kept_bytes;		/* what they count against PROTO_MAX_KEPT_BYTES; 0: not kept */
	struct cJSON *inputs;		/* owned, until start returns */
	struct buf ask_state;		/* what the tool gave with its questions */
	unsigned round;			/* times it has asked */
	/* what the client is told meanwhile (hooks.c) */
	struct loop_timer tick;
	uint64_t started_us, reported_us, progress, bytes_out;
	bool reported, own_numbers;
	unsigned logs, reports;
	/* questions put to a legacy client (ask_legacy.c) */
	struct loop_timer ask_timer;
	struct proto_pending *asks;	/* owned */
	unsigned nasks, waiting;
};
/* A call that is not started, and its request. NULL: it was answered with an error. */
struct proto_call *proto_call_new(struct proto_ctx *c, const struct proto_item *item);
/* Starts it with args (and inputs, ask_state) set. It may be gone after this. */
void proto_call_start(struct proto_call *call);
/* A call that is ASKING: starts it once more; inputs is taken. It may be gone after this. */
void proto_call_restart(struct proto_call *call, struct cJSON *inputs);
/* A call that is ASKING: answers its request and frees it. */
void proto_call_give_up(struct proto_call *call, const struct err *e);
/* Nobody wants the answer any more: asks the tool to end. The call may be gone after this. */
void proto_call_cancel(struct proto_call *call);
/* Takes the call from its peer and from its request, which it gives back: the caller answers and
 * ends that. For a task. */
struct proto_request *proto_call_detach(struct proto_call *call);

/* --- hooks.c ---------------------------------------------------------------------------------- */
extern const struct tool_hooks proto_hooks;
void proto_call_done(struct tool_call *tool, const struct tool_answer *a);	/* call.c */
/* With a token in the request: progress goes out from now on. */
void proto_progress_begin(struct proto_call *call);
void proto_progress_stop(struct proto_call *call);
/* "debug" .. "emergency"; -1: none of them */
int proto_log_level(struct sv name);

/* --- answer.c --------------------------------------------------------------------------------- */
/* The members of the result of tools/call or prompts/get: content, structuredContent, isError; no
 * braces, resultType or _meta. For a result that was not asked for with an rpc_code. */
void proto_answer_members(struct jw *w, const struct proto_call *call, const struct proto_revision *rev,
			  const struct tool_answer *a);
/* Sends the answer to the call's request; does not end it. */
void proto_answer_send(const struct proto_call *call, const struct tool_answer *a);
/* A tools/call that never became a call: isError, by the rules of the era. */
void proto_answer_refuse(const struct proto_ctx *c, const struct err *e);

/* --- begin.c ---------------------------------------------------------------------------------- */
void proto_on_tools_call(struct proto_ctx *c);
void proto_on_prompts_get(struct proto_ctx *c);

/* --- ask.c, ask_legacy.c ---------------------------------------------------------------------- */
/* The PROTO_CAN_* of the first question the client cannot answer, 0 when there is none. -1: a
 * question nobody may be asked, or too many, too long: the tool's fault, with e. */
int proto_asks_check(const struct tool_answer *a, unsigned caps, struct err *e);
/* {"sampling":{}}: a bit in the form of ClientCapabilities. */
void proto_cap_write(struct jw *w, unsigned bit);
/* Writes data members for RPC_MISSING_CAPABILITY. */
void proto_cap_missing(struct buf *extra, unsigned bit, struct err *e);
/* Whether v can be the client's answer to a question at all. */
bool proto_input_valid(const struct cJSON *v);
/* A client's inputResponses without those that are no answer at all; owned by the caller; NULL when
 * there is none. v may be NULL. */
struct cJSON *proto_inputs_read(const struct cJSON *v);
/* "inputRequests":{...}: the member. */
void proto_asks_write(struct jw *w, const struct tool_answer *a);
/* The answer input_required, or an error; the caller ends the request. */
void proto_ask_modern(struct proto_call *call, const struct tool_answer *a);
/* Reads params.requestState of a request for item with args; -1: it was answered. */
int proto_ask_resume(struct proto_ctx *c, const struct proto_item *item, const struct cJSON *args,
		     unsigned *ret_round, struct buf *ret_state);
/* Puts the questions; the call waits. -1 with e: it ends with that error. */
int proto_ask_legacy(struct proto_call *call, const struct tool_answer *a, struct err *e);
/* A response: to one of ours, or ignored. */
void proto_on_response(struct proto_ctx *c);
/* Withdraws what is still open; a client that is there is told. */
void proto_asks_drop(struct proto_call *call);

/* --- seal.c ----------------------------------------------------------------------------------- */
/* Makes the key: before the process gives up what that takes. */
int proto_seal_init(struct proto_server *s, struct err *e);
/* Printable text that holds plain, unreadable to the client and bound to `bound` and to this
 * process. -1 without memory or over text's ceiling. */
int proto_seal(struct proto_server *s, struct sv plain, struct sv bound, struct buf *text);
/* -1: not ours, altered, or bound to something else. */
int proto_unseal(struct proto_server *s, struct sv text, struct sv bound, struct buf *plain);
void proto_seal_finish(struct proto_server *s);

/* --- headers.c: what HTTP says beside the body of a modern message ------------------------------ */
/* Each 0, or -1 with e: the answer is RPC_HEADER_MISMATCH. Without in->headers always 0. */
/* MCP-Protocol-Version is there once and says what the envelope says. */
int proto_check_version_header(const struct proto_in *in, struct sv body_version, struct err *e);
/* Mcp-Method is the method; Mcp-Name is params.name, .uri or .taskId where the method has one. */
int proto_check_headers(const struct proto_in *in, struct err *e);
/* Mcp-Param-NAME is the argument whose property says "x-mcp-header":"NAME". args as the client sent
 * them; may be NULL. */
int proto_check_param_headers(const struct proto_in *in, const struct proto_item *tool,
			      const struct cJSON *args, struct err *e);

/* --- tasks.c: calls that outlive their request -------------------------------------------------- */
/* Where tasks plug in:
 *
 * 1. proto_tasks_begin: tools/call is about to start (call->request is set, nothing has run). It may
 *    make the call a task at once: proto_call_detach, set call->task, answer the request with the new
 *    task, end it. call.c then starts the call whatever it did.
 * 2. proto_tasks_done: the tool has answered. With call->task set, or for an answer that is `running`
 *    and may become a task. What it says tells call.c what is left to do.
 * 3. proto_task_methods: rows of the method table.
 * 4. proto_tasks_listen: taskIds of subscriptions/listen.
 * A task that asks (answer->nasks) copies the questions and answer->state (into call->ask_state),
 * says KEEP, and later calls proto_call_restart with the answers (proto_inputs_read) or
 * proto_call_cancel. args are kept for every call of a client that takes tasks (kept_bytes not 0).
 * proto_tasks_finish cancels the calls of its tasks and sets their task to NULL. */
enum proto_task_verdict {
	PROTO_TASK_NOT,		/* no task: answer the request */
	PROTO_TASK_ENDED,	/* the task has the answer, or the request was answered with a task: free the call */
	PROTO_TASK_KEEP,	/* the task has asked and waits: keep the call */
};
int proto_tasks_init(struct proto_server *s, struct err *e);
void proto_tasks_finish(struct proto_server *s);
/* 0; -1: the request was refused and answered (not ended): the call is not started. */
int proto_tasks_begin(struct proto_ctx *c, struct proto_call *call);
enum proto_task_verdict proto_tasks_done(struct proto_call *call, const struct tool_answer *a);
/* The member "tasks":{...} (core_tasks) or "extensions":{...} (modern) of capabilities; or nothing. */
void proto_tasks_capability(struct jw *w, const struct proto_revision *rev);
/* The member "execution":{...} of a tool, where the revision has it; or nothing. */
void proto_tasks_write_tool(struct jw *w, const struct tool *t, const struct proto_revision *rev);
/* subscriptions/listen: reads notifications.taskIds and writes the honoured ones as a member; r is a
 * PROTO_LISTEN. proto_tasks_unlisten comes when r ends. */
void proto_tasks_listen(struct proto_request *r, const struct cJSON *wanted, struct jw *w);
/* Before that: whether the client may ask for them; -1: it was answered. */
int proto_tasks_check_listen(const struct proto_ctx *c, const struct cJSON *wanted);
void proto_tasks_unlisten(struct proto_request *r);
/* A legacy client's response that is not a call's: to a task's question, or ignored. */
void proto_tasks_response(struct proto_ctx *c, int64_t id);

/* --- methods.c -------------------------------------------------------------------------------- */
typedef void proto_method_fn(struct proto_ctx *c);
/* An era that does not know a method has no function in its column. */
struct proto_method {
	const char *name;
	proto_method_fn *on[PROTO_ERA_COUNT];
	bool (*offered)(const struct proto_catalog *c);	/* NULL: always */
};
extern const struct proto_method proto_task_methods[];	/* tasks.c */
extern const size_t proto_task_methods_count;
void proto_dispatch(struct proto_ctx *c);
void proto_notify(struct proto_ctx *c);

/* --- read.c, classify.c ----------------------------------------------------------------------- */
/* MCP-Protocol-Version, "" when there is none (or no HTTP). */
struct sv proto_version_header(const struct proto_headers *h);
/* Sets rev and caps of a request; -1: it was answered with an error. */
int proto_classify(struct proto_ctx *c);
/* A legacy message whose MCP-Protocol-Version names nothing we serve: answered, -1. */
int proto_check_legacy_header(const struct proto_ctx *c);

/* --- hello.c, list.c, resources.c, prompts.c, listen.c ------------------------------------------ */
proto_method_fn proto_on_initialize, proto_on_initialized, proto_on_ping, proto_on_discover, proto_on_set_level;
proto_method_fn proto_on_tools_list, proto_on_prompts_list, proto_on_resources_list, proto_on_templates_list;
proto_method_fn proto_on_resources_read, proto_on_complete;
proto_method_fn proto_on_listen, proto_on_subscribe, proto_on_unsubscribe;
/* Ends a listen with its result: the graceful end. The peer may be gone after it. */
void proto_listen_end(struct proto_request *r);
/* 0 and the members of the result, or -1 with e. */
int proto_prompt_fill(const struct proto_item *prompt, const struct cJSON *args, struct buf *ret_members,
		      struct err *e);

/* --- meta.c ----------------------------------------------------------------------------------- */
extern const char proto_instructions[];
void proto_write_server_info(struct jw *w, const struct proto_revision *rev);
void proto_write_capabilities(struct jw *w, const struct proto_server *s, const struct proto_revision *rev);
/* What a modern result carries besides its own members: resultType, _meta. */
void proto_write_result_meta(struct jw *w, const struct proto_revision *rev);
/* The same with what the tool measured; trace may be empty. */
void proto_write_answer_meta(struct jw *w, const struct proto_revision *rev, struct sv trace);
void proto_write_result_type(struct jw *w, const struct proto_revision *rev, const char *type);
/* ttlMs and cacheScope, for results a modern client may keep. */
void proto_write_cache(struct jw *w, const struct proto_revision *rev, int64_t ttl_ms);

/* --- batch.c ---------------------------------------------------------------------------------- */
/* Of a message that is bad: sets its batch and asks, if it is one. */
void proto_batch_read(struct sv bytes, struct proto_in *in);
void proto_batch_deliver(struct proto_peer *p, struct proto_in *in, struct proto_sink *sink);
/* As proto_sink_gone, for a sink that batches are answered on. */
void proto_batches_gone(struct proto_peer *p, const struct proto_sink *sink);
/* Forgets those that nobody waits for any more. */
void proto_batches_finish(struct proto_peer *p);

/* --- oversize.c ------------------------------------------------------------------------------- */
/* Raw text of the id of a message of which only the two ends are known; empty when it cannot be
 * told for certain. */
struct sv proto_excerpt_id(struct sv head, struct sv tail);

#endif
