/* frame_cell.c: the records of zygotes and cells; linked into guest, keeper and cell.so alike. */
#include "sandbox/guest/frame.h"

#include "sandbox/base/fd.h"

void guest_put_zygote(struct ipc_msg *m, const struct guest_zygote *z)
{
	ipc_put_sv(m, z->run.interpreter);
	frame_put_list(m, z->run.args, z->run.nargs);
	frame_put_list(m, z->run.env, z->run.nenv);
	frame_put_limits(m, &z->run);
	ipc_put_u32(m, z->ahead);
	ipc_put_sv(m, z->ahead ? z->run.code_name : SV(""));
	ipc_put_fd(m, z->run.filter_fd);
	ipc_put_fd(m, z->driver_fd);
	ipc_put_fd(m, z->object_fd);
}

static bool is_plain_name(struct sv name)
{
	return guest_path_ok(name) && sv_find(name, '/') < 0;
}

int guest_get_zygote(struct ipc_msg *m, struct guest_zygote *z)
{
	struct guest_run *r = &z->run;

	*z = (struct guest_zygote){.run = frame_no_run};
	r->interpreter = ipc_get_sv(m, 255);
	r->nargs = frame_get_list(m, r->args, GUEST_MAX_ARGS);
	r->nenv = frame_get_list(m, r->env, GUEST_MAX_ENV);
	frame_get_limits(m, r);
	z->ahead = ipc_get_u32(m);
	r->code_name = ipc_get_sv(m, 64);
	r->filter_fd = ipc_take_fd(m);
	z->driver_fd = ipc_take_fd(m);
	z->object_fd = ipc_take_fd(m);
	if (ipc_end(m) && sv_starts(r->interpreter, SV("/")) &&
	    sv_find(r->interpreter, '\0') < 0 && z->ahead == (r->code_name.n > 0) &&
	    (!z->ahead || is_plain_name(r->code_name)))
		return 0;
	fd_close(&r->filter_fd);
	fd_close(&z->driver_fd);
	fd_close(&z->object_fd);
	return -1;
}

void guest_put_cell(struct ipc_msg *m, const struct guest_cell *c)
{
	if (c->njoins > GUEST_CELL_JOINS) {
		m->bad = true;
		return;
	}
	ipc_put_u32(m, c->uid);
	ipc_put_u32(m, c->njoins);
	ipc_put_fd(m, c->line_fd);
	ipc_put_fd(m, c->out_fd);
	ipc_put_fd(m, c->err_fd);
	for (uint32_t i = 0; i < c->njoins; i++)
		ipc_put_fd(m, c->join_fd[i]);
}

int guest_get_cell(struct ipc_msg *m, struct guest_cell *c)
{
	uint32_t n;

	*c = (struct guest_cell){.uid = ipc_get_u32(m)};
	n = ipc_get_u32(m);
	if (n > GUEST_CELL_JOINS)
		m->bad = true;
	c->line_fd = ipc_take_fd(m);
	c->out_fd = ipc_take_fd(m);
	c->err_fd = ipc_take_fd(m);
	while (!m->bad && c->njoins < n)
		c->join_fd[c->njoins++] = ipc_take_fd(m);
	/* root of the user namespace is nobody's cell */
	if (ipc_end(m) && c->uid)
		return 0;
	guest_close_cell(c);
	return -1;
}

void guest_close_cell(struct guest_cell *c)
{
	fd_close(&c->line_fd);
	fd_close(&c->out_fd);
	fd_close(&c->err_fd);
	for (uint32_t i = 0; i < c->njoins; i++)
		fd_close(&c->join_fd[i]);
	c->njoins = 0;
}
