/* wire.c: encoding and decoding, side by side so that they cannot drift apart. */
#include "sandbox/supervise/wire.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

static const char *const status_names[] = {
	[SUP_EXITED] = "exited",
	[SUP_SIGNALED] = "signaled",
	[SUP_TIMEOUT] = "timeout",
	[SUP_OUT_OF_MEMORY] = "out_of_memory",
	[SUP_TOO_MANY_PROCESSES] = "too_many_processes",
	[SUP_DISK_FULL] = "disk_full",
	[SUP_OUTPUT_LIMIT] = "output_limit",
	[SUP_DENIED] = "denied",
	[SUP_CANCELLED] = "cancelled",
	[SUP_LOST] = "lost",
	[SUP_COMPILE_ERROR] = "compile_error",
};
_Static_assert(sizeof(status_names) / sizeof(*status_names) == SUP_STATUS_COUNT,
	       "one name per status");

const char *sup_status_name(enum sup_status s)
{
	return (unsigned)s < SUP_STATUS_COUNT ? status_names[s] : "lost";
}

void wire_put_run(struct ipc_msg *m, const struct wire_run *r)
{
	const int fds[3] = {r->code_fd, r->input_fd, r->stdin_fd};

	ipc_put_u32(m, r->tool);
	ipc_put_sv(m, r->credential);
	ipc_put_sv(m, r->language);
	ipc_put_sv(m, r->session_id);
	ipc_put_u32(m, r->has_timeout);
	ipc_put_u32(m, r->has_argv);
	ipc_put_u32(m, r->open_stdin);
	ipc_put_u32(m, r->keep_files);
	ipc_put_i64(m, r->timeout_ms);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		ipc_put_u32(m, fds[i] >= 0);
		if (fds[i] >= 0)
			ipc_put_fd(m, fds[i]);
	}
}

int wire_get_run(struct ipc_msg *m, struct wire_run *r)
{
	int *const fds[3] = {&r->code_fd, &r->input_fd, &r->stdin_fd};

	r->tool = (enum pol_tool)ipc_get_u32(m);
	r->credential = ipc_get_sv(m, SUP_MAX_CREDENTIAL);
	r->language = ipc_get_sv(m, 256);
	r->session_id = ipc_get_sv(m, SUP_SESSION_ID_SIZE - 1);
	r->has_timeout = ipc_get_u32(m);
	r->has_argv = ipc_get_u32(m);
	r->open_stdin = ipc_get_u32(m);
	r->keep_files = ipc_get_u32(m);
	r->timeout_ms = ipc_get_i64(m);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		*fds[i] = -1;
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		if (ipc_get_u32(m))
			*fds[i] = ipc_take_fd(m);
	/* what comes first into an open one the front writes itself */
	if (ipc_end(m) && !(r->open_stdin && r->stdin_fd >= 0))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(fds[i]);
	return -1;
}

static void put_limits(struct ipc_msg *m, const struct pol_limits *l)
{
	ipc_put_u32(m, l->wall_ms);
	ipc_put_u32(m, l->processes);
	ipc_put_u32(m, l->cpu_millis);
	ipc_put_u32(m, l->open_files);
	ipc_put_u64(m, l->memory_bytes);
	ipc_put_u64(m, l->workspace_bytes);
	ipc_put_u64(m, l->tmp_bytes);
	ipc_put_u64(m, l->output_bytes);
}

static void get_limits(struct ipc_msg *m, struct pol_limits *l)
{
	l->wall_ms = ipc_get_u32(m);
	l->processes = ipc_get_u32(m);
	l->cpu_millis = ipc_get_u32(m);
	l->open_files = ipc_get_u32(m);
	l->memory_bytes = ipc_get_u64(m);
	l->workspace_bytes = ipc_get_u64(m);
	l->tmp_bytes = ipc_get_u64(m);
	l->output_bytes = ipc_get_u64(m);
}

void wire_put_info(struct ipc_msg *m, const struct sup_info *i)
{
	for (unsigned k = 0; k < POL_MAX_RUNTIMES; k++)
		ipc_put_sv(m, sv_of(i->host.path[k]));
	put_limits(m, &i->limits);
	ipc_put_u32(m, i->max_wall_ms);
	ipc_put_u32(m, i->max_runs);
	ipc_put_u32(m, i->max_queue);
	ipc_put_u32(m, i->max_sessions);
	ipc_put_sv(m, sv_of(i->cgroup));
	ipc_put_sv(m, sv_of(i->bwrap_version));
	ipc_put_sv(m, sv_of(i->bwrap_path));
	ipc_put_u32(m, i->landlock_abi);
	ipc_put_u32(m, i->root);
	ipc_put_sv(m, sv_of(i->degraded));
	ipc_put_sv(m, sv_of(i->image.name));
	ipc_put_sv(m, sv_of(i->image.sha256));
	ipc_put_sv(m, sv_of(i->image.packages));
	ipc_put_u32(m, i->image.count);
	ipc_put_u32(m, i->image.cut);
}

int wire_get_info(struct ipc_msg *m, struct sup_info *i)
{
	for (unsigned k = 0; k < POL_MAX_RUNTIMES; k++)
		ipc_get_cstr(m, i->host.path[k], sizeof(i->host.path[k]));
	get_limits(m, &i->limits);
	i->max_wall_ms = ipc_get_u32(m);
	i->max_runs = ipc_get_u32(m);
	i->max_queue = ipc_get_u32(m);
	i->max_sessions = ipc_get_u32(m);
	ipc_get_cstr(m, i->cgroup, sizeof(i->cgroup));
	ipc_get_cstr(m, i->bwrap_version, sizeof(i->bwrap_version));
	ipc_get_cstr(m, i->bwrap_path, sizeof(i->bwrap_path));
	i->landlock_abi = ipc_get_u32(m);
	i->root = ipc_get_u32(m);
	ipc_get_cstr(m, i->degraded, sizeof(i->degraded));
	ipc_get_cstr(m, i->image.name, sizeof(i->image.name));
	ipc_get_cstr(m, i->image.sha256, sizeof(i->image.sha256));
	ipc_get_cstr(m, i->image.packages, sizeof(i->image.packages));
	i->image.count = ipc_get_u32(m);
	i->image.cut = ipc_get_u32(m);
	return ipc_end(m) ? 0 : -1;
}

static void put_compile(struct ipc_msg *m, const struct sup_compile *c)
{
	ipc_put_u32(m, c->there);
	ipc_put_u32(m, c->last);
	ipc_put_u32(m, c->status);
	ipc_put_u32(m, c->has_exit_code);
	ipc_put_u32(m, (uint32_t)c->exit_code);
	ipc_put_u32(m, (uint32_t)c->signal);
	ipc_put_u64(m, c->duration_us);
}

static void get_compile(struct ipc_msg *m, struct sup_compile *c)
{
	c->there = ipc_get_u32(m);
	c->last = ipc_get_u32(m);
	c->status = (enum sup_status)ipc_get_u32(m);
	c->has_exit_code = ipc_get_u32(m);
	c->exit_code = (int)ipc_get_u32(m);
	c->signal = (int)ipc_get_u32(m);
	c->duration_us = ipc_get_u64(m);
	if ((unsigned)c->status >= SUP_STATUS_COUNT)
		m->bad = true;
}

void wire_put_result(struct ipc_msg *m, const struct sup_result *r)
{
	ipc_put_sv(m, sv_of(r->run_id));
	ipc_put_u32(m, r->status);
	ipc_put_u32(m, r->has_exit_code);
	ipc_put_u32(m, (uint32_t)r->exit_code);
	ipc_put_u32(m, (uint32_t)r->signal);
	ipc_put_u32(m, r->hits);
	ipc_put_u64(m, r->duration_us);
	ipc_put_u64(m, r->cpu_us);
	ipc_put_u64(m, r->peak_memory_bytes);
	ipc_put_u32(m, r->limits_degraded);
	ipc_put_u32(m, r->timeout_clamped);
	put_limits(m, &r->limits);
	put_compile(m, &r->compile);
	ipc_put_u32(m, r->in_session);
	ipc_put_u32(m, r->fresh);
	ipc_put_u32(m, r->lost_state);
	ipc_put_u32(m, r->lost_before);
	ipc_put_u32(m, r->session_ended);
	ipc_put_u32(m, r->session_end);
	ipc_put_u32(m, r->warm);
	ipc_put_u64(m, r->trace.arrived_us);
	ipc_put_u64(m, r->trace.planned_us);
	ipc_put_u64(m, r->trace.slot_us);
	ipc_put_u64(m, r->trace.recorded_us);
	ipc_put_u64(m, r->trace.started_us);
	ipc_put_u64(m, r->trace.ended_us);
	ipc_put_u64(m, r->trace.closed_us);
}

int wire_get_result(struct ipc_msg *m, struct sup_result *r)
{
	ipc_get_cstr(m, r->run_id, sizeof(r->run_id));
	r->status = (enum sup_status)ipc_get_u32(m);
	r->has_exit_code = ipc_get_u32(m);
	r->exit_code = (int)ipc_get_u32(m);
	r->signal = (int)ipc_get_u32(m);
	r->hits = ipc_get_u32(m);
	r->duration_us = ipc_get_u64(m);
	r->cpu_us = ipc_get_u64(m);
	r->peak_memory_bytes = ipc_get_u64(m);
	r->limits_degraded = ipc_get_u32(m);
	r->timeout_clamped = ipc_get_u32(m);
	get_limits(m, &r->limits);
	get_compile(m, &r->compile);
	r->in_session = ipc_get_u32(m);
	r->fresh = ipc_get_u32(m);
	r->lost_state = ipc_get_u32(m);
	r->lost_before = ipc_get_u32(m);
	r->session_ended = ipc_get_u32(m);
	r->session_end = (enum sup_session_end)ipc_get_u32(m);
	r->warm = ipc_get_u32(m);
	r->trace = (struct sup_trace){.arrived_us = ipc_get_u64(m)};
	r->trace.planned_us = ipc_get_u64(m);
	r->trace.slot_us = ipc_get_u64(m);
	r->trace.recorded_us = ipc_get_u64(m);
	r->trace.started_us = ipc_get_u64(m);
	r->trace.ended_us = ipc_get_u64(m);
	r->trace.closed_us = ipc_get_u64(m);
	r->rich_dropped = 0;
	return ipc_end(m) && (unsigned)r->status < SUP_STATUS_COUNT &&
			       (unsigned)r->session_end < SUP_SESSION_END_COUNT
		       ? 0
		       : -1;
}

void wire_put_err(struct ipc_msg *m, const struct err *e)
{
	ipc_put_u32(m, e->code);
	ipc_put_u32(m, (uint32_t)e->sys);
	ipc_put_sv(m, sv_of(e->cause));
	ipc_put_sv(m, sv_of(e->remediation));
}

int wire_get_err(struct ipc_msg *m, struct err *e)
{
	uint32_t code = ipc_get_u32(m);

	e->code = code && code < ERR_CODE_COUNT ? (enum err_code)code : ERR_INTERNAL;
	e->sys = (int)ipc_get_u32(m);
	ipc_get_cstr(m, e->cause, sizeof(e->cause));
	ipc_get_cstr(m, e->remediation, sizeof(e->remediation));
	return ipc_end(m) ? 0 : -1;
}

void wire_put_identity(struct ipc_msg *m, const struct sup_identity *i)
{
	ipc_put_sv(m, sv_of(i->principal));
	ipc_put_u64(m, i->expires_us);
}

/* An identity without a name is none: nothing must ever compare equal to it. */
int wire_get_identity(struct ipc_msg *m, struct sup_identity *i)
{
	ipc_get_cstr(m, i->principal, sizeof(i->principal));
	i->expires_us = ipc_get_u64(m);
	return ipc_end(m) && i->principal[0] ? 0 : -1;
}

void sup_put_check(struct ipc_msg *m, const struct sup_check *c)
{
	ipc_put_u32(m, c->code);
	ipc_put_sv(m, sv_of(c->id.principal));
	ipc_put_u64(m, c->id.expires_us);
	ipc_put_sv(m, sv_of(c->reason));
}

int sup_get_check(struct ipc_msg *m, struct sup_check *ret)
{
	uint32_t code = ipc_get_u32(m);

	*ret = (struct sup_check){.code = (enum err_code)code};
	ipc_get_cstr(m, ret->id.principal, sizeof(ret->id.principal));
	ret->id.expires_us = ipc_get_u64(m);
	ipc_get_cstr(m, ret->reason, sizeof(ret->reason));
	if (!ipc_end(m) || code >= ERR_CODE_COUNT)
		return -1;
	return (code == ERR_NONE) == (ret->id.principal[0] != '\0') ? 0 : -1;
}
