/* supervise.h: the keeper role, and the front's side of the line to it.
 *
 * The keeper owns runs: request -> plan (policy) -> intent (ledger) -> sandbox (launch) -> watch
 * (deadline, cgroup events, guest records, cancel) -> kill ladder -> verdict -> outcome (ledger) ->
 * result record. It reads code, input and output only as bytes; output pipes go straight to the front.
 *
 * The front owns a sup_client: it hands over requests as sealed memfds, drains the output pipes
 * while the program runs (capped, head and tail kept) and gets one callback per run. */
#ifndef SANDBOX_SUPERVISE_H
#define SANDBOX_SUPERVISE_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/ipc.h"
#include "sandbox/base/loop.h"
#include "sandbox/policy/policy.h"

#define SUP_RUN_ID_SIZE 40		/* "run_" + 32 hex digits + NUL */
#define SUP_HEAD_BYTES (24u << 10)	/* of each stream, kept from the start */
#define SUP_TAIL_BYTES (8u << 10)	/* and up to the end */

/* How a run ended. The keeper decides from the host's own evidence. */
enum sup_status {
	SUP_EXITED,
	SUP_SIGNALED,
	SUP_TIMEOUT,
	SUP_OUT_OF_MEMORY,
	SUP_TOO_MANY_PROCESSES,
	SUP_DISK_FULL,
	SUP_OUTPUT_LIMIT,
	SUP_DENIED,		/* the kernel killed it for a forbidden call (SIGSYS) */
	SUP_CANCELLED,
	SUP_LOST,		/* the sandbox died without a verdict; nothing is made up */
	SUP_STATUS_COUNT
};
const char *sup_status_name(enum sup_status s);	/* "exited", ... as on the wire */

/* Limits that were hit, whether or not they ended the run. */
enum { SUP_HIT_TIME = 1, SUP_HIT_MEMORY = 2, SUP_HIT_PROCESSES = 4, SUP_HIT_DISK = 8, SUP_HIT_OUTPUT = 16 };

struct sup_result {
	char run_id[SUP_RUN_ID_SIZE];
	enum sup_status status;
	bool has_exit_code;
	int exit_code;		/* 0..255 */
	int signal;		/* 0: none */
	uint32_t hits;		/* SUP_HIT_* */
	uint64_t duration_us;	/* program start to known end, CLOCK_MONOTONIC */
	uint64_t cpu_us;	/* 0 with limits_degraded */
	uint64_t peak_memory_bytes;	/* 0 with limits_degraded */
	bool limits_degraded;	/* no cgroup: rlimits only */
	bool timeout_clamped;
	struct pol_limits limits;	/* that were in force */
};

/* One captured stream. Bytes [0, head.n) and the last tail_n bytes; between them
 * total - head.n - tail_n bytes are gone. */
struct sup_stream {
	struct buf head;
	char *tail;		/* ring of SUP_TAIL_BYTES, or NULL */
	size_t tail_at, tail_n;	/* write offset, bytes held */
	uint64_t total;		/* bytes the program wrote */
};
/* Appends head, then tail in order, to b (no marker between); returns the bytes left out. */
uint64_t sup_stream_text(const struct sup_stream *s, struct buf *head, struct buf *tail);

/* --- the front's side ------------------------------------------------------------------------ */
struct sup_client;
struct sup_run;

struct sup_answer {
	const struct err *err;			/* set: there was no run, or it was lost */
	const struct sup_result *result;	/* valid when err is NULL */
	const struct sup_stream *out, *errs;
};

struct sup_run_opts {
	enum pol_tool tool;
	struct sv credential;		/* forwarded; the keeper resolves the principal: see below */
	struct sv language;
	bool has_timeout;
	int64_t timeout_ms;
	bool has_argv;
	int code_fd, input_fd, stdin_fd;	/* sealed memfds or -1; taken over in every case */
	/* Called once, later, never from within sup_client_run. The run is freed after it. */
	void (*on_done)(void *arg, const struct sup_answer *a);
	/* The run has its id: it starts, or waits for its turn. Once; not for one that is refused before
	 * that. May be NULL. */
	void (*on_accepted)(void *arg, struct sv run_id);
	/* Output arrived: total bytes of both streams so far. May be NULL. */
	void (*on_output)(void *arg, uint64_t total_bytes);
	/* Every byte of stream 1 or 2 as it comes, up to the output ceiling and not past it; before
	 * on_output. May be NULL. */
	void (*on_bytes)(void *arg, int stream, struct sv bytes);
	void *arg;
};

/* Takes over sock (the keeper's socket). on_lost is called once if the keeper goes away; every
 * run in flight has been answered with ERR_LOST by then. */
struct sup_client *sup_client_new(struct loop *l, int sock, void (*on_lost)(void *arg),
				  void *arg, struct err *e);
void sup_client_free(struct sup_client *c);
/* NULL on error, e says why. */
struct sup_run *sup_client_run(struct sup_client *c, const struct sup_run_opts *o,
			       struct err *e);
void sup_client_cancel(struct sup_run *r);
/* The same, and none of its callbacks is called any more: arg may go. Not from within on_done. */
void sup_client_abandon(struct sup_run *r);
unsigned sup_client_active(const struct sup_client *c);	/* runs not yet answered */

/* --- who is calling --------------------------------------------------------------------------- */
/* A credential is a word, a blank and bytes, at most SUP_MAX_CREDENTIAL in all:
 *	""		the process that started this one (stdio, run, doctor)
 *	"bearer TOKEN"	an API key (fh_...) or a JWT
 *	"cert DER"	a client certificate whose possession TLS has proven to the front
 *	"none"		nobody asked: only where the keeper was told so (--insecure-no-auth)
 * The front passes it on as it came and asserts nothing. The keeper resolves it for every run by
 * itself; this is for all else the front answers (lists, resources, 401).
 *
 * API keys are looked up by the ledger, each time: a revoked one is refused at once. Tokens and
 * certificates are checked by the auth role (mcp/auth); a yes is believed for at most 60 s. */
#define SUP_MAX_CREDENTIAL 8192
#define SUP_PRINCIPAL_SIZE 128
struct sup_identity {
	char principal[SUP_PRINCIPAL_SIZE];	/* "key:ci", "oauth:ISSUER#SUB", "cert:CN", "local:0", "anonymous" */
	uint64_t expires_us;		/* CLOCK_REALTIME; 0: does not */
};
/* Called once, later, never from within sup_client_auth. Exactly one of id and e is
 * set: ERR_UNAUTHENTICATED (no or a bad credential: 401), ERR_INVALID (malformed: 400), ERR_FORBIDDEN
 * (scope: 403), else 503. */
typedef void sup_auth_fn(void *arg, const struct sup_identity *id, const struct err *e);
struct sup_auth;
/* The credential is copied. NULL on error (too long: ERR_INVALID), e says why. */
struct sup_auth *sup_client_auth(struct sup_client *c, struct sv credential, sup_auth_fn *on_done, void *arg,
				 struct err *e);
void sup_client_auth_cancel(struct sup_auth *a);	/* on_done will not be called */

/* What the keeper found at start: answered from the READY record, so synchronous. */
struct sup_info {
	struct pol_host host;
	struct pol_limits limits;	/* the defaults in force */
	uint32_t max_wall_ms, max_runs, max_queue;
	char cgroup[16];		/* "v1", "v2", "none" */
	char bwrap_version[32];
	char bwrap_path[256];
	uint32_t landlock_abi;		/* 0: none */
	bool root;			/* keeper runs as root: one host uid per sandbox */
	char degraded[512];		/* what is missing, "; "-separated; "" when nothing is */
};
/* NULL until the keeper said it is ready. */
const struct sup_info *sup_client_info(const struct sup_client *c);
/* Called once when the info is there (at once if it already is). */
void sup_client_on_ready(struct sup_client *c, void (*cb)(void *arg), void *arg);

/* The bundle of args, env and files that goes to the guest as `input` (sealed memfd). Entries are
 * {u8 kind, u32 path/name bytes, u64 data bytes, name, data}; see sandbox/guest/guest.h. */
int sup_input_arg(struct buf *b, struct sv value, struct err *e);
int sup_input_env(struct buf *b, struct sv name, struct sv value, struct err *e);
int sup_input_file(struct buf *b, struct sv path, struct sv content, struct err *e);
int sup_input_cwd(struct buf *b, struct sv path, struct err *e);

/* --- the line from the keeper to the auth role --------------------------------------------------- */
/* Records; id is the keeper's number, echoed. The answers may come in any order. */
enum sup_check_type {
	SUP_CHECK_TOKEN = 400,	/* sv: a JWT */
	SUP_CHECK_CERT,		/* sv: a certificate, DER */
	SUP_CHECKED,		/* struct sup_check */
	SUP_CHECKER_UP,		/* the role's first record: it has its keys and is confined */
};
/* The verdict: id is set, or code is not ERR_NONE and the reason is for the log alone. */
struct sup_check {
	enum err_code code;	/* ERR_UNAUTHENTICATED, ERR_FORBIDDEN, ERR_UNAVAILABLE */
	struct sup_identity id;
	char reason[160];
};
void sup_put_check(struct ipc_msg *m, const struct sup_check *c);
int sup_get_check(struct ipc_msg *m, struct sup_check *ret);	/* 0, or -1 ill-formed */

/* --- the keeper ------------------------------------------------------------------------------ */
/* Which credentials are taken; all others are refused. */
enum sup_auth_mode {
	SUP_AUTH_LOCAL = 1,	/* "": principal "local:UID" */
	SUP_AUTH_NONE = 2,	/* "none": "anonymous"; an audit event says so at start */
	SUP_AUTH_KEYS = 4,	/* "bearer fh_...": "key:NAME" */
	SUP_AUTH_OAUTH = 8,	/* "bearer JWT": needs auth_sock */
	SUP_AUTH_CERT = 16,	/* "cert DER": needs auth_sock */
};
struct sup_keeper_opts {
	int front_sock, ledger_sock;	/* taken over */
	int auth_sock;			/* to the auth role, taken over; -1: there is none */
	unsigned auth_modes;		/* enum sup_auth_mode, or-ed; 0: nobody is let in */
	const char *bwrap_path;		/* NULL: look in the usual places */
	uint32_t uid_base, uid_count;	/* host uids for sandboxes when root */
	/* Of all callers. Where callers are told apart no one of them gets all slots, nor the whole
	 * queue, and whoever has fewest slots is next. */
	uint32_t max_runs, max_queue;
};
/* Runs until the front, the ledger or the auth role has gone; returns the process' exit code. */
int sup_keeper_main(const struct sup_keeper_opts *o);

#endif
