/* request.c: a request from the front becomes a run: hashed, planned, queued. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"

#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL_BYTES 8192 /* up to here reading takes less than mapping */

/* The bytes cannot change after this: the memfd is sealed, and that is checked. */
static int hash_fd(int fd, uint64_t max_bytes, unsigned char out[32],
		   uint64_t *ret_bytes, struct err *e)
{
	int64_t n = fd < 0 ? 0 : fd_size(fd);
	unsigned char few[SMALL_BYTES];
	void *p;

	if (n < 0 || (fd >= 0 && !fd_is_sealed(fd)))
		return err_set(e, ERR_INVALID,
			       "a part of the request is not a sealed memfd");
	/* before a byte is read: a sparse file of any size costs its sender nothing */
	if ((uint64_t)n > max_bytes) {
		*ret_bytes = (uint64_t)n;
		return 0; /* the plan refuses it, with the limit's name */
	}
	if (n <= SMALL_BYTES) {
		if (n && pread(fd, few, (size_t)n, 0) != n)
			return err_sys(e, "read the request");
		crypto_hash_sha256(out, few, (unsigned long long)n);
		*ret_bytes = (uint64_t)n;
		return 0;
	}
	p = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "map the request");
	crypto_hash_sha256(out, p, (unsigned long long)n);
	munmap(p, (size_t)n);
	*ret_bytes = (uint64_t)n;
	return 0;
}

static int make_plan(struct run *r, const struct wire_run *w, const struct session *s,
		     struct err *e)
{
	struct pol_request req = {
		.tool = w->tool,
		.language = w->language,
		.has_timeout = w->has_timeout,
		.timeout_ms = w->timeout_ms,
		.has_argv = w->has_argv,
		.session = s ? s->plan : NULL,
	};
	void *mem;

	if (hash_fd(r->code_fd, POL_MAX_CODE_BYTES, r->code_hash, &r->code_bytes, e) ||
	    hash_fd(r->input_fd, POL_MAX_INPUT_BYTES, r->input_hash, &r->input_bytes,
		    e) ||
	    hash_fd(r->stdin_fd, POL_MAX_STDIN_BYTES, r->stdin_hash, &r->stdin_bytes,
		    e))
		return -1;
	req.code_bytes = r->code_bytes;
	req.input_bytes = r->input_bytes;
	req.stdin_bytes = r->stdin_bytes;
	mem = mem_alloc(pol_plan_size());
	if (!mem)
		return err_set(e, ERR_LIMIT, "no memory");
	r->plan = mem;
	return pol_plan_make(
		mem, &req,
		&(struct pol_context){.policy = pol_default(),
				      .host = &launch_facts(r->k->host)->host,
				      .principal = r->share->principal},
		&r->plan, e);
}

/* What it asks for, and where. */
static int place(struct run *r, const struct wire_run *w, struct err *e)
{
	struct session *s = NULL;
	char id[SUP_SESSION_ID_SIZE];

	if (w->session_id.n) {
		if (!sv_copy(w->session_id, id, sizeof(id)))
			s = ses_find(r->k, r->share->principal, id);
		if (s && s->throwaway && s->taken)
			s = NULL;
		if (!s) {
			ask_not_found(e);
			return -1;
		}
	}
	if (make_plan(r, w, s, e))
		return -1;
	if (s)
		s->taken = true;
	r->keep_files = r->keep_files && s && s->throwaway;
	if (s)
		return call_join(r, s, e);
	if (!pol_plan_compiler(r->plan)[0])
		return 0;
	err_set(e, ERR_INVALID, "%s is compiled first, which takes a session",
		pol_plan_runtime(r->plan)->title);
	return err_fix(e, "create a session for it");
}

/* A refusal is answered when it is recorded: so a flood of them is bounded by what its sender may have
 * in the queue. */
static void record_refusal(struct run *r, struct sv detail)
{
	struct keeper *k = r->k;
	struct ipc_msg m;

	r->state = RUN_CLOSING;
	ipc_start(&m, LED_EVENT, r->id);
	led_put_event(&m, &(struct led_event){.kind = SV("refused"),
					      .principal = sv_of(r->share->principal),
					      .detail = detail});
	if (keeper_ask_ledger(k, &m))
		run_event(r, EV_NOT_RECORDED);
}

/* Nobody answers for these, so they are not only bounded but rationed: a stranger must not fill the
 * disk. How many were left out is in the next that is recorded. */
static void refuse_unknown(struct run *r)
{
	struct ration *ration = &r->k->auth.records;
	const unsigned left_out = ration->denied;
	char detail[400];

	if (!ration_take(ration)) {
		run_refuse(r, &r->failure);
		return;
	}
	snprintf(detail, sizeof(detail), "%s", r->failure.cause);
	if (left_out)
		snprintf(detail, sizeof(detail), "%s (and %u more like it before)",
			 r->failure.cause, left_out);
	record_refusal(r, sv_of(detail));
}

static void new_run_id(char dst[SUP_RUN_ID_SIZE])
{
	unsigned char raw[16];

	randombytes_buf(raw, sizeof(raw));
	memcpy(dst, "run_", 4);
	sodium_bin2hex(dst + 4, SUP_RUN_ID_SIZE - 4, raw, sizeof(raw));
}

/* NULL: it was refused. */
static struct run *add_run(struct keeper *k, uint64_t id, const struct wire_run *w,
			   const char *principal)
{
	struct run *r = mem_zalloc(sizeof(*r)), **at = &k->runs;
	struct err e = {0};

	if (!r) {
		int fds[3] = {w->code_fd, w->input_fd, w->stdin_fd};

		for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
			fd_close(&fds[i]);
		err_set(&e, ERR_LIMIT, "no memory");
		run_tell_refused(k, id, &e);
		return NULL;
	}
	*r = (struct run){.k = k,
			  .id = id,
			  .state = RUN_QUEUED,
			  .code_fd = w->code_fd,
			  .input_fd = w->input_fd,
			  .stdin_fd = w->stdin_fd,
			  .workspace_fd = -1,
			  .program_pidfd = -1,
			  .open_stdin = w->open_stdin,
			  .stdin_to = -1,
			  .is_call = w->session_id.n > 0,
			  .keep_files = w->keep_files,
			  .slot = GUEST_NO_SLOT};
	pipes_none(&r->pipes);
	r->timer = (struct loop_timer){.on_due = run_on_timer, .arg = r};
	r->ctl_io.fd = r->child_io.fd = r->oom_io.fd = -1;
	r->result.trace.arrived_us = loop_now_us();
	new_run_id(r->run_id);
	while (*at)
		at = &(*at)->next;
	*at = r;
	if (!share_join(r, principal))
		return r;
	err_set(&e, ERR_LIMIT, "no memory");
	run_refuse(r, &e);
	return NULL;
}

/* Whose place it takes is said: another's many runs are nothing he could wait for or end. */
static void refuse_busy(struct run *r)
{
	const struct keeper *k = r->k;
	struct err e = {0};

	err_set(&e, ERR_BUSY,
		"%u runs are under way and %u wait, of these %u and %u of this caller",
		k->busy, k->waiting - 1, r->share->busy, r->share->waiting - 1);
	err_fix(&e, "try again when some have ended");
	run_refuse(r, &e);
}

/* It has to wait: with its id it can be followed and ended meanwhile. */
static void tell_queued(struct run *r)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_QUEUED, r->id);
	ipc_put_sv(&m, sv_of(r->run_id));
	keeper_tell(r->k, &m);
}

void run_new(struct keeper *k, uint64_t id, const struct wire_run *w,
	     const struct sup_identity *who, const struct err *why)
{
	struct run *r = add_run(k, id, w, who ? who->principal : "");
	bool starts;

	if (!r)
		return;
	starts = share_may_start(r);
	if (!starts && !share_may_wait(r)) {
		refuse_busy(r);
		return;
	}
	if (!who) {
		r->failure = *why;
		refuse_unknown(r);
	} else if (place(r, w, &r->failure)) {
		record_refusal(r, sv_of(r->failure.cause));
	} else {
		r->result.trace.planned_us = loop_now_us();
		if (!starts || !call_is_next(r))
			tell_queued(r);
	}
}
