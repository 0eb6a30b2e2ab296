/* sandbox.c: plan -> a running sandbox, and its end. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/launch/cgroup.h"
#include "sandbox/launch/child.h"
#include "sandbox/launch/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const base_env[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin",
	"HOME=/workspace",
	"USER=sandbox",
	"LOGNAME=sandbox",
	"LANG=C.UTF-8",
	"TMPDIR=/tmp",
	"TERM=dumb",
	"SHELL=/bin/bash",
};

/* What finds the packages of an image. matplotlib wants a folder it may write to; a workspace is no place
 * for that. */
static const char *const image_env[] = {
	"PYTHONPATH=" GUEST_IMAGE_DIR "/python",
	"NODE_PATH=" GUEST_IMAGE_DIR "/javascript/node_modules",
	"MPLCONFIGDIR=/tmp/matplotlib",
};

static int take_uid(struct launch_host *h, uint32_t *ret, struct err *e)
{
	for (uint32_t i = 0; i < h->uid_count; i++)
		if (!h->uid_taken[i]) {
			h->uid_taken[i] = true;
			*ret = i;
			return 0;
		}
	return err_set(e, ERR_BUSY, "all %u uids for sandboxes are in use",
		       h->uid_count);
}

/* One thread, and what stands here is sent before it is written again. */
static struct {
	char text[4096];
	size_t n;
} filled;

/* s with what {memory_mib} stands for; s itself where it holds none, or there are too many. */
static struct sv fill(const char *s, const struct plan *plan)
{
	static const char mark[] = "{memory_mib}";
	const char *at = strstr(s, mark);
	char *to = filled.text + filled.n;
	const size_t room = sizeof(filled.text) - filled.n;
	int n;

	if (!at)
		return sv_of(s);
	n = snprintf(to, room, "%.*s%llu%s", (int)(at - s), s,
		     (unsigned long long)(pol_plan_program_memory(plan) >> 20),
		     at + sizeof(mark) - 1);
	if (n < 0 || (size_t)n >= room)
		return sv_of(s);
	filled.n += (size_t)n + 1;
	return (struct sv){to, (size_t)n};
}

static void add_env(struct guest_run *r, struct sv row)
{
	must(r->nenv < GUEST_MAX_ENV);
	r->env[r->nenv++] = row;
}

static void add_rows(struct guest_run *r, const char *const *list,
		     const struct plan *plan)
{
	for (; *list; list++)
		add_env(r, fill(*list, plan));
}

static void add_args(struct guest_run *r, const char *const *list,
		     const struct plan *plan)
{
	for (; *list; list++) {
		must(r->nargs < GUEST_MAX_ARGS);
		r->args[r->nargs++] = fill(*list, plan);
	}
}
_Static_assert(POL_MAX_ARGS <= GUEST_MAX_ARGS, "a row's lists fit a record");
_Static_assert(ARRAY_LEN(base_env) + ARRAY_LEN(image_env) + 2 * POL_MAX_ENV <=
		       GUEST_MAX_ENV,
	       "so do all variables");

static int filter_of(const struct launch_host *h, const struct pol_runtime *rt)
{
	int own = rt ? h->filters[rt - pol_runtimes] : -1;

	return own >= 0 ? own : h->filters[POL_MAX_RUNTIMES];
}

void host_describe(const struct launch_host *h, const struct plan *plan,
		   const struct launch_io *io, struct guest_run *r)
{
	static const char *const command[] = {"-c", NULL};
	const struct pol_limits *l = pol_plan_limits(plan);
	const struct pol_runtime *rt = pol_plan_runtime(plan);
	const enum pol_tool tool = pol_plan_tool(plan);

	*r = (struct guest_run){
		.interpreter = sv_of(pol_plan_interpreter(plan)),
		.workspace_bytes = l->workspace_bytes,
		.tmp_bytes = l->tmp_bytes,
		.memory_bytes = l->memory_bytes,
		.open_files = l->open_files,
		.processes = l->processes,
		.rlimit_memory = h->facts.cgroup == LAUNCH_CG_NONE,
		.landlock = h->facts.landlock_abi,
		.probe = tool == POL_PROBE,
		.out_fd = io->out_fd,
		.err_fd = io->err_fd,
		.filter_fd = filter_of(h, rt),
		.code_fd = io->code_fd,
		.input_fd = io->input_fd,
		.stdin_fd = io->stdin_fd,
	};
	for (unsigned i = 0; i < ARRAY_LEN(base_env); i++)
		add_env(r, sv_of(base_env[i]));
	for (unsigned i = 0; h->image >= 0 && i < ARRAY_LEN(image_env); i++)
		add_env(r, sv_of(image_env[i]));
	filled.n = 0;
	if (!rt)
		return;
	add_rows(r, rt->env, plan);
	add_args(r,
		 tool == POL_RUNTIME_VERSION ? rt->version
		 : tool == POL_RUN_COMMAND   ? command
					     : rt->run,
		 plan);
	if (tool == POL_RUN_CODE)
		r->code_name = sv_of(rt->file);
}

/* bwrap reads /etc's files to their end: each sandbox needs its own read offset. */
static int open_etc(const int *etc, int *fds, struct err *e)
{
	for (unsigned i = 0; i < HOST_ETC_FILES; i++) {
		char path[40];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", etc[i]);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			return err_sys(e, "open a file for /etc");
	}
	return 0;
}

static void make_ids(const struct launch_host *h, const struct launch_sandbox *s,
		     const struct host_start *how, struct child_ids *ret)
{
	if (how->cell_uid)
		child_ids_make(ret, h->uid_base + s->uid_slot, how->cell_uid);
	else
		child_ids_make_one(ret, getuid(), getgid());
}

static int start_bwrap(struct launch_host *h, struct launch_sandbox *s,
		       const int ends[2], const struct host_start *how, struct err *e)
{
	char *const envp[] = {NULL};
	struct child_image image;
	struct child_ids ids;
	int fds[HOST_FDS] = {h->null, ends[1], ends[1], ends[0], h->guest};
	int bad;

	for (unsigned i = 0; i < HOST_ETC_FILES; i++)
		fds[5 + i] = -1;
	bad = open_etc(how->cells ? h->cells_etc : h->etc, fds + 5, e);
	if (h->image >= 0)
		host_image(h, s->uid_slot, &image);
	if (how->cells)
		make_ids(h, s, how, &ids);
	if (!bad) {
		s->pid = child_start(
			&(struct child_plan){.program = h->bwrap,
					     .argv = how->cells ? h->cells_argv
								: h->argv,
					     .envp = envp,
					     .fds = fds,
					     .nfds = ARRAY_LEN(fds),
					     .parent = getpid(),
					     .death_signal = SIGKILL,
					     .change_uid = h->facts.root,
					     .uid = h->uid_base + s->uid_slot,
					     .cgroup = &s->cgroup,
					     .image = h->image >= 0 ? &image : NULL,
					     .ids = how->cells ? &ids : NULL},
			&s->pidfd, e);
		bad = s->pid < 0;
	}
	for (unsigned i = 0; i < HOST_ETC_FILES; i++)
		fd_close(&fds[5 + i]);
	return bad ? -1 : 0;
}

static void release(struct launch_host *h, struct launch_sandbox *s)
{
	fd_close(&s->ctl);
	fd_close(&s->complaints);
	fd_close(&s->pidfd);
	fd_close(&s->guest_pidfd);
	if (h->facts.root)
		h->uid_taken[s->uid_slot] = false;
}

static int send_run(struct launch_host *h, const struct host_start *how, int line,
		    struct err *e)
{
	struct ipc_msg m;
	struct guest_run r;

	host_describe(h, how->plan, how->io, &r);
	ipc_start(&m, GUEST_RUN, 1);
	guest_put_run(&m, &r);
	return ipc_send(line, &m, e);
}

static int send_open(struct launch_host *h, const struct host_start *how, int line,
		     struct err *e)
{
	static const struct launch_io none = {-1, -1, -1, -1, -1};
	struct ipc_msg m;
	struct guest_run r;

	host_describe(h, how->plan, &none, &r);
	r.filter_fd = filter_of(h, NULL);
	ipc_start(&m, GUEST_OPEN, 1);
	guest_put_open(&m, &r);
	return ipc_send(line, &m, e);
}

static int make_cgroup(struct launch_host *h, const struct host_start *how,
		       struct launch_cgroup *ret, struct err *e)
{
	if (launch_cgroup_make(&h->cgroups, &how->limits, ret, e))
		return -1;
	if (how->goes_on && h->cgroups.kind == LAUNCH_CG_V2 &&
	    cgroup_write(ret->dir[0], "memory.oom.group", "0"))
		return err_sys(e, "memory.oom.group");
	return 0;
}

int host_start(struct launch_host *h, const struct host_start *how,
	       struct launch_sandbox *ret, struct err *e)
{
	struct launch_sandbox s = {.pid = -1,
				   .pidfd = -1,
				   .ctl = -1,
				   .complaints = -1,
				   .guest_pidfd = -1,
				   .cgroup.oom_event = -1};
	int line[2] = {-1, -1}, complaints[2] = {-1, -1}, bad;

	if (h->facts.root && take_uid(h, &s.uid_slot, e))
		return -1;
	bad = make_cgroup(h, how, &s.cgroup, e) || fd_socketpair(line, e) ||
	      fd_pipe(complaints, e);
	s.ctl = line[0];
	s.complaints = complaints[0];
	/* the request is in the socket before the guest exists: no round trip at start */
	bad = bad || how->send(h, how, s.ctl, e) || fd_set_nonblock(s.ctl) ||
	      fd_set_nonblock(s.complaints) ||
	      start_bwrap(h, &s, (const int[2]){line[1], complaints[1]}, how, e);
	fd_close(&line[1]);
	fd_close(&complaints[1]);
	launch_cgroup_joined(&s.cgroup);
	if (bad) {
		launch_cgroup_remove(&s.cgroup);
		release(h, &s);
		return err_set(e, ERR_INTERNAL, "the sandbox could not be started");
	}
	*ret = s;
	return 0;
}

int launch_sandbox(struct launch_host *h, const struct plan *plan,
		   const struct launch_io *io, struct launch_sandbox *ret,
		   struct err *e)
{
	return host_start(h,
			  &(struct host_start){.plan = plan,
					       .io = io,
					       .limits = *pol_plan_limits(plan),
					       .send = send_run},
			  ret, e);
}

int launch_session(struct launch_host *h, const struct plan *plan,
		   struct launch_sandbox *ret, struct err *e)
{
	struct host_start how = {.plan = plan,
				 .limits = *pol_plan_limits(plan),
				 .goes_on = true,
				 .send = send_open};

	how.limits.processes += GUEST_SPARE_PROCESSES;
	return host_start(h, &how, ret, e);
}

/* The compiler's step, or what is run after it: that is given no code any more. */
static void set_part(struct guest_run *r, const struct plan *plan, enum guest_part part)
{
	const struct pol_runtime *rt = pol_plan_runtime(plan);

	r->part = part;
	if (part == GUEST_COMPILES) {
		r->interpreter = sv_of(pol_plan_compiler(plan));
		r->nargs = 0;
		add_rows(r, rt->compile.env, plan);
		add_args(r, rt->compile.args, plan);
	} else if (part == GUEST_COMPILED) {
		r->code_name = SV("");
	}
}

int launch_call(struct launch_host *h, struct launch_sandbox *s,
		const struct plan *plan, const struct launch_call *call, struct err *e)
{
	struct guest_call c = {.slot = call->slot,
			       .last = call->last,
			       .rich_fd = call->rich_fd,
			       .driver_fd = -1};
	const struct pol_runtime *rt = pol_plan_runtime(plan);
	const bool slot = call->slot != GUEST_NO_SLOT;
	const struct launch_driver *d = rt && slot ? launch_driver(rt->name) : NULL;
	AUTO_FD text = -1;
	struct ipc_msg m;

	host_describe(h, plan, &call->io, &c.run);
	if (slot && !d)
		return err_set(e, ERR_INVALID, "no interpreter of %s can stay",
			       rt ? rt->title : "a bare argv");
	if (d) {
		c.driver = sv_of(d->file);
		c.run.code_name = SV("");
		c.run.nargs = 0;
		add_args(&c.run, rt->run, plan);
	}
	set_part(&c.run, plan, (enum guest_part)call->part);
	if (c.run.filter_fd == filter_of(h, NULL) || call->io.out_fd < 0)
		c.run.filter_fd = -1; /* the session's */
	if (call->io.out_fd < 0) {
		c.run.interpreter = SV("");
		c.run.nargs = c.run.nenv = 0;
	} else if (d) {
		text = fd_memfd(d->file, d->text, (size_t)(d->end - d->text), e);
		if (text < 0)
			return -1;
		c.driver_fd = text;
	}
	ipc_start(&m, GUEST_CALL, call->id);
	guest_put_call(&m, &c);
	return ipc_send(s->ctl, &m, e);
}

/* The pid of bwrap's child, or 0. */
static pid_t child_of(pid_t pid)
{
	char path[64];
	AUTO_BUF b = {0};
	uint64_t child;

	buf_init(&b, 256);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (fd_read_file(path, &b, NULL) || sv_to_u64(sv_trim(buf_view(&b)), &child) ||
	    child < 2 || child > INT32_MAX)
		return 0;
	return (pid_t)child;
}

void launch_sandbox_up(struct launch_sandbox *s)
{
	pid_t guest = s->reaped || s->guest_pidfd >= 0 ? 0 : child_of(s->pid);

	if (!guest)
		return;
	s->guest_pidfd = (int)syscall(SYS_pidfd_open, guest, 0);
	/* still bwrap's child after it was opened: then it is that process and no other */
	if (s->guest_pidfd >= 0 && child_of(s->pid) != guest)
		fd_close(&s->guest_pidfd);
}

void launch_sandbox_kill(struct launch_sandbox *s, int step)
{
	if (s->ctl >= 0)
		shutdown(s->ctl,
			 SHUT_WR); /* the guest exits, its pid namespace with it */
	if (step == 0)
		return;
	launch_cgroup_kill(&s->cgroup);
	if (!s->reaped)
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	if (s->guest_pidfd >= 0)
		syscall(SYS_pidfd_send_signal, s->guest_pidfd, SIGKILL, NULL, 0);
}

static bool has_ended(int pidfd)
{
	struct pollfd p = {pidfd, POLLIN, 0};

	return pidfd < 0 || poll(&p, 1, 0) > 0;
}

bool launch_sandbox_gone(struct launch_host *h, struct launch_sandbox *s)
{
	siginfo_t si = {.si_pid = 0};

	if (!s->reaped) {
		if (waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED | WNOHANG) ||
		    !si.si_pid)
			return false;
		s->reaped = true;
	}
	/* a pidfd is readable only after the whole pid namespace under that init is dead */
	if (!s->cgroup.ndirs ? !has_ended(s->guest_pidfd)
			     : !launch_cgroup_is_empty(&s->cgroup) ||
				       launch_cgroup_remove(&s->cgroup))
		return false;
	release(h, s);
	zygote_ended(h, s);
	return true;
}
