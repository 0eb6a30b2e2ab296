/* verdict.c: one table of rules, first match wins. */
#include "sandbox/supervise/verdict.h"

#include <signal.h>
#include <sys/wait.h>

static bool failed(const struct verdict_evidence *ev)
{
	return ev->has_status &&
	       (WIFSIGNALED(ev->wait_status) || WEXITSTATUS(ev->wait_status) != 0);
}

static bool killed_by(const struct verdict_evidence *ev, int sig)
{
	return ev->has_status && WIFSIGNALED(ev->wait_status) &&
	       WTERMSIG(ev->wait_status) == sig;
}

static enum sup_status decide(const struct verdict_evidence *ev)
{
	if (ev->reason == VERDICT_CANCEL)
		return SUP_CANCELLED;
	if (ev->reason == VERDICT_OUTPUT)
		return SUP_OUTPUT_LIMIT;
	if (ev->oom_kills && (!ev->goes_on || failed(ev)))
		return SUP_OUT_OF_MEMORY;
	if (ev->reason == VERDICT_DEADLINE)
		return SUP_TIMEOUT;
	if (!ev->has_status)
		return SUP_LOST;
	if (killed_by(ev, SIGSYS))
		return SUP_DENIED;
	if (killed_by(ev, SIGXFSZ) ||
	    (failed(ev) && ev->disk_full && !ev->disk_was_full))
		return SUP_DISK_FULL;
	/* refused forks alone prove nothing: many programs carry on with fewer threads */
	if (failed(ev) && ev->pids_denied)
		return SUP_TOO_MANY_PROCESSES;
	if (WIFSIGNALED(ev->wait_status))
		return SUP_SIGNALED;
	return ev->compiling && WEXITSTATUS(ev->wait_status) ? SUP_COMPILE_ERROR
							     : SUP_EXITED;
}

void verdict_decide(const struct verdict_evidence *ev, struct sup_result *r)
{
	r->status = decide(ev);
	r->hits = (ev->reason == VERDICT_DEADLINE ? (uint32_t)SUP_HIT_TIME : 0u) |
		  (ev->reason == VERDICT_OUTPUT ? (uint32_t)SUP_HIT_OUTPUT : 0u) |
		  (ev->oom_kills ? (uint32_t)SUP_HIT_MEMORY : 0u) |
		  (ev->pids_denied ? (uint32_t)SUP_HIT_PROCESSES : 0u) |
		  (ev->disk_full || r->status == SUP_DISK_FULL ? (uint32_t)SUP_HIT_DISK
							       : 0u);
	r->has_exit_code = ev->has_status && WIFEXITED(ev->wait_status);
	r->exit_code = r->has_exit_code ? WEXITSTATUS(ev->wait_status) : 0;
	r->signal = ev->has_status && WIFSIGNALED(ev->wait_status)
			    ? WTERMSIG(ev->wait_status)
			    : 0;
	if (!ev->compiling)
		return;
	r->compile = (struct sup_compile){.there = true,
					  .last = true,
					  .status = r->status,
					  .has_exit_code = r->has_exit_code,
					  .exit_code = r->exit_code,
					  .signal = r->signal};
	r->has_exit_code = false;
	r->exit_code = r->signal = 0;
}
