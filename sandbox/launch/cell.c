/* cell.c: one cell: its order, its code, what it has used, its end. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/cgroup.h"
#include "sandbox/launch/zygote.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int take_uid(struct launch_zygote *z, uint32_t *ret, struct err *e)
{
	if (z->cells == GUEST_CELLS)
		return err_set(e, ERR_BUSY, "all %d cells are in use", GUEST_CELLS);
	for (uint32_t i = 0; i < GUEST_CELLS; i++)
		if (!(z->uids_taken >> i & 1)) {
			z->uids_taken |= 1ull << i;
			z->cells++;
			*ret = i;
			return 0;
		}
	must(false);
	return -1;
}

static void give_back_uid(struct launch_host *h, struct launch_cell *c)
{
	struct launch_zygote *z = c->of;

	z->uids_taken &= ~(1ull << c->uid_slot);
	z->cells--;
	c->of = NULL;
	zygote_settle(h, z);
}

static int take_cgroup(struct launch_host *h, struct launch_zygote *z,
		       struct launch_cgroup *ret, struct err *e)
{
	static const struct cgroup_own own = {.entered = true};

	if (!z->nspares)
		return cgroup_make(&h->cgroups, &z->limits, &own, ret, e);
	*ret = z->spare[--z->nspares];
	return 0;
}

static bool give_back_cgroup(struct launch_zygote *z, struct launch_cgroup *cg)
{
	if (!launch_cgroup_is_empty(cg))
		return false;
	if (z->ended || z->nspares == ZYGOTE_SPARES || !cgroup_as_new(cg))
		return !launch_cgroup_remove(cg);
	z->spare[z->nspares++] = *cg;
	*cg = (struct launch_cgroup){.oom_event = -1};
	return true;
}

static int send_order(int ctl, const struct launch_cell *c,
		      const struct launch_cell_order *o, int line, struct err *e)
{
	struct guest_cell g = {.uid = c->of->own_uids ? LAUNCH_CELL_UID + c->uid_slot
						      : GUEST_OWN_UID,
			       .line_fd = line,
			       .out_fd = o->out_fd,
			       .err_fd = o->err_fd};
	struct ipc_msg m;

	for (unsigned i = 0; i < c->cgroup.ndirs; i++)
		g.join_fd[g.njoins++] = c->cgroup.join[i];
	ipc_start(&m, GUEST_CELL, c->id);
	guest_put_cell(&m, &g);
	return ipc_send(ctl, &m, e);
}
_Static_assert(LAUNCH_CG_MAX <= GUEST_CELL_JOINS, "every hierarchy can be joined");

int launch_cell_make(struct launch_host *h, struct launch_sandbox *zygote,
		     const struct launch_cell_order *o, struct launch_cell *ret,
		     struct err *e)
{
	struct launch_cell c = {
		.id = o->id, .line = -1, .of = zygote->zygote, .cgroup.oom_event = -1};
	int line[2] = {-1, -1}, bad;

	must(c.of && c.id);
	if (take_uid(c.of, &c.uid_slot, e))
		return -1;
	bad = take_cgroup(h, c.of, &c.cgroup, e) || fd_socketpair(line, e);
	c.line = line[0];
	bad = bad || fd_set_nonblock(c.line) ||
	      send_order(zygote->ctl, &c, o, line[1], e);
	fd_close(&line[1]);
	if (bad) {
		fd_close(&c.line);
		launch_cgroup_remove(&c.cgroup);
		give_back_uid(h, &c);
		return err_set(e, ERR_INTERNAL, "the cell could not be ordered");
	}
	*ret = c;
	return 0;
}

int launch_cell_ready(struct launch_cell *c)
{
	char byte;
	ssize_t n = recv(c->line, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n != 1)
		return -1;
	c->ready = true;
	launch_cgroup_usage(&c->cgroup, &c->before);
	cgroup_forget_peak(&c->cgroup);
	return 1;
}

int launch_cell_run(struct launch_cell *c, int code_fd, int stdin_fd, struct err *e)
{
	const int fds[2] = {code_fd, stdin_fd};
	const size_t bytes = (stdin_fd >= 0 ? 2 : 1) * sizeof(int);
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = {.bytes = {0}};
	char byte = 0;
	struct iovec v = {&byte, 1};
	struct msghdr h = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = CMSG_SPACE(bytes)};
	struct cmsghdr *x = CMSG_FIRSTHDR(&h);

	if (!c->ready)
		return err_set(e, ERR_INTERNAL, "the cell is not ready");
	x->cmsg_level = SOL_SOCKET;
	x->cmsg_type = SCM_RIGHTS;
	x->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(x), fds, bytes);
	if (sendmsg(c->line, &h, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return err_sys(e, "send the code to its cell");
	return 0;
}

/* What it has grown by. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

void launch_cell_usage(const struct launch_cell *c, struct launch_usage *ret)
{
	launch_cgroup_usage(&c->cgroup, ret);
	ret->cpu_us = since(ret->cpu_us, c->before.cpu_us);
	ret->oom_kills = since(ret->oom_kills, c->before.oom_kills);
	ret->pids_denied = since(ret->pids_denied, c->before.pids_denied);
}

void launch_cell_kill(const struct launch_sandbox *zygote, const struct launch_cell *c)
{
	struct ipc_msg m;

	if (!c->of)
		return;
	ipc_start(&m, GUEST_KILL, c->id);
	guest_put_slot(&m, GUEST_NO_SLOT);
	if (zygote->ctl >= 0)
		ipc_send(zygote->ctl, &m, NULL);
	launch_cgroup_kill(&c->cgroup);
}

bool launch_cell_gone(struct launch_host *h, struct launch_cell *c)
{
	if (!c->of)
		return true;
	fd_close(&c->line);
	if (!give_back_cgroup(c->of, &c->cgroup))
		return false;
	give_back_uid(h, c);
	return true;
}
