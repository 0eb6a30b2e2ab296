/* books.c: what is written of a run, before it and after it; see keeper.h. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#define PIDFD_INFO_EXIT (1ULL << 3) /* newer than Debian's headers */
#define PIDFD_GET_INFO_72 _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 72)

void run_write_intent(struct run *r)
{
	const struct pol_limits *l = pol_plan_limits(r->plan);
	const struct pol_runtime *rt = pol_plan_runtime(r->plan);
	struct led_intent in = {
		.run_id = sv_of(r->run_id),
		.principal = sv_of(pol_plan_principal(r->plan)),
		.tool = sv_of(pol_tool_name(pol_plan_tool(r->plan))),
		.runtime = sv_of(rt ? rt->name : ""),
		.session_id = sv_of(r->session ? r->session->id : ""),
		.image_sha256 = sv_of(r->k->image ? r->k->image->sha256 : ""),
		.open_stdin = r->open_stdin,
		.code_bytes = r->code_bytes,
		.input_bytes = r->input_bytes,
		.stdin_bytes = r->stdin_bytes,
		.wall_ms = l->wall_ms,
		.memory_bytes = l->memory_bytes,
		.processes = l->processes,
		.workspace_bytes = l->workspace_bytes,
		.output_bytes = l->output_bytes,
	};
	struct ipc_msg m;

	memcpy(in.code_sha256, r->code_hash, 32);
	memcpy(in.input_sha256, r->input_hash, 32);
	memcpy(in.stdin_sha256, r->stdin_hash, 32);
	r->state = RUN_RECORDING;
	ipc_start(&m, LED_INTENT, r->id);
	led_put_intent(&m, &in);
	if (keeper_ask_ledger(r->k, &m))
		run_event(r, EV_NOT_RECORDED);
}

/* Only fstatfs, and only of a tmpfs: the descriptor came from the guest. */
bool run_disk_is_full(int workspace_fd)
{
	struct statfs st;

	if (workspace_fd < 0 || fstatfs(workspace_fd, &st) || st.f_type != TMPFS_MAGIC)
		return false;
	return st.f_bavail == 0 || st.f_ffree == 0;
}

/* A file system is taken apart by who closes its last descriptor, and with all inodes in use that takes 70 ms: it is to
 * be the guest, whose end comes later. */
void run_leave_workspace(struct run *r)
{
	if (r->workspace_fd < 0)
		return;
	r->evidence.disk_full = run_disk_is_full(r->workspace_fd);
	fd_close(&r->workspace_fd);
}

/* Since Linux 6.15 the kernel itself tells the holder of a pidfd how the process ended
 * (PIDFD_GET_INFO, PIDFD_INFO_EXIT). Then the guest is not asked: its word is only compared. */
void run_ask_kernel(struct run *r)
{
	struct {
		uint64_t mask, cgroup_id;
		uint32_t ids[11];
		int32_t exit_code;
		uint64_t room[8];
	} info = {.mask = PIDFD_INFO_EXIT};
	int status;

	if (r->program_pidfd < 0 || !r->evidence.has_status ||
	    ioctl(r->program_pidfd, PIDFD_GET_INFO_72, &info) ||
	    !(info.mask & PIDFD_INFO_EXIT))
		return;
	status = info.exit_code;
	if (status != r->evidence.wait_status) {
		log_msg(LOG_WARN, "event=guest_lied run=%s said=%d kernel=%d",
			r->run_id, r->evidence.wait_status, status);
		r->evidence.wait_status = status;
	}
}

void run_take_usage(struct run *r, const struct launch_usage *use)
{
	r->evidence.oom_kills = use->oom_kills || !r->oom_seen ? use->oom_kills : 1;
	r->evidence.pids_denied = use->pids_denied;
	r->result.limits_degraded = use->limits_gone;
	r->result.cpu_us = use->cpu_us;
	r->result.peak_memory_bytes = use->peak_memory_bytes;
}

void run_gather(struct run *r)
{
	struct launch_usage use;

	run_ask_kernel(r);
	launch_cgroup_usage(&r->sandbox.cgroup, &use);
	run_take_usage(r, &use);
}

static void fill_result(struct run *r)
{
	struct sup_result *s = &r->result;

	r->evidence.compiling = r->compiling;
	verdict_decide(&r->evidence, s);
	memcpy(s->run_id, r->run_id, sizeof(s->run_id));
	s->limits = *pol_plan_limits(r->plan);
	s->timeout_clamped = pol_plan_timeout_clamped(r->plan);
	s->limits_degraded |= launch_facts(r->k->host)->cgroup == LAUNCH_CG_NONE;
	compile_fill(r);
}

/* The outcome goes to the ledger first. While it is written the front makes its answer, and holds it until it
 * hears of that. */
void run_close_books(struct run *r)
{
	struct ipc_msg m;

	fill_result(r);
	r->result.trace.recorded_us = r->launched_us;
	r->result.trace.started_us = r->started_us;
	r->result.trace.ended_us = r->ended_us;
	r->result.trace.closed_us = loop_now_us();
	r->state = RUN_CLOSING;
	loop_timer_stop(&r->k->loop, &r->timer);
	ipc_start(&m, LED_OUTCOME, r->id);
	led_put_outcome(
		&m,
		&(struct led_outcome){
			.run_id = sv_of(r->run_id),
			.principal = sv_of(pol_plan_principal(r->plan)),
			.status = r->failure.code
					  ? SV("not_started")
					  : sv_of(sup_status_name(r->result.status)),
			.exit_code = r->result.has_exit_code ? r->result.exit_code : -1,
			.signal = r->result.signal,
			.duration_us =
				r->result.duration_us + r->result.compile.duration_us,
			.cpu_us = r->result.cpu_us,
			.peak_memory_bytes = r->result.peak_memory_bytes,
			.hits = r->result.hits});
	if (keeper_ask_ledger(r->k, &m)) {
		run_event(r, EV_NOT_RECORDED);
		return;
	}
	if (r->changes_due)
		call_tell_start(r);
	else
		run_tell_ended(r);
}
