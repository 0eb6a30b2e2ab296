/* frame.c: the records and the input format of guest.h; linked into guest and keeper alike. */
#include "sandbox/guest/frame.h"

#include "sandbox/base/fd.h"

void frame_put_list(struct ipc_msg *m, const struct sv *list, uint32_t n)
{
	ipc_put_u32(m, n);
	for (uint32_t i = 0; i < n; i++)
		ipc_put_sv(m, list[i]);
}

void frame_put_limits(struct ipc_msg *m, const struct guest_run *r)
{
	ipc_put_u64(m, r->workspace_bytes);
	ipc_put_u64(m, r->tmp_bytes);
	ipc_put_u64(m, r->memory_bytes);
	ipc_put_u32(m, r->open_files);
	ipc_put_u32(m, r->processes);
	ipc_put_u32(m, r->rlimit_memory);
	ipc_put_u32(m, r->landlock);
}

void guest_put_run(struct ipc_msg *m, const struct guest_run *r)
{
	ipc_put_sv(m, r->interpreter);
	frame_put_list(m, r->args, r->nargs);
	ipc_put_sv(m, r->code_name);
	frame_put_list(m, r->env, r->nenv);
	frame_put_limits(m, r);
	ipc_put_u32(m, r->probe);
	ipc_put_u32(m, (r->code_fd >= 0 ? 1u : 0) | (r->input_fd >= 0 ? 2u : 0) |
			       (r->stdin_fd >= 0 ? 4u : 0));
	ipc_put_fd(m, r->out_fd);
	ipc_put_fd(m, r->err_fd);
	ipc_put_fd(m, r->filter_fd);
	if (r->code_fd >= 0)
		ipc_put_fd(m, r->code_fd);
	if (r->input_fd >= 0)
		ipc_put_fd(m, r->input_fd);
	if (r->stdin_fd >= 0)
		ipc_put_fd(m, r->stdin_fd);
}

uint32_t frame_get_list(struct ipc_msg *m, struct sv *list, uint32_t max)
{
	uint32_t n = ipc_get_u32(m);

	if (n > max) {
		m->bad = true;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		list[i] = ipc_get_sv(m, IPC_MAX_BYTES);
		if (sv_find(list[i], '\0') >= 0)
			m->bad = true;
	}
	return n;
}

void frame_get_limits(struct ipc_msg *m, struct guest_run *r)
{
	r->workspace_bytes = ipc_get_u64(m);
	r->tmp_bytes = ipc_get_u64(m);
	r->memory_bytes = ipc_get_u64(m);
	r->open_files = ipc_get_u32(m);
	r->processes = ipc_get_u32(m);
	r->rlimit_memory = ipc_get_u32(m);
	r->landlock = ipc_get_u32(m);
}

int guest_get_run(struct ipc_msg *m, struct guest_run *r)
{
	uint32_t has;

	*r = (struct guest_run){.code_fd = -1, .input_fd = -1, .stdin_fd = -1};
	r->interpreter = ipc_get_sv(m, 255);
	r->nargs = frame_get_list(m, r->args, GUEST_MAX_ARGS);
	r->code_name = ipc_get_sv(m, 64);
	r->nenv = frame_get_list(m, r->env, GUEST_MAX_ENV);
	frame_get_limits(m, r);
	r->probe = ipc_get_u32(m);
	has = ipc_get_u32(m);
	r->out_fd = ipc_take_fd(m);
	r->err_fd = ipc_take_fd(m);
	r->filter_fd = ipc_take_fd(m);
	if (has & 1)
		r->code_fd = ipc_take_fd(m);
	if (has & 2)
		r->input_fd = ipc_take_fd(m);
	if (has & 4)
		r->stdin_fd = ipc_take_fd(m);
	return ipc_end(m) ? 0 : -1;
}

bool guest_path_ok(struct sv path)
{
	struct sv part;
	bool more = true;

	if (!path.n || path.n > 4096 || sv_find(path, '\0') >= 0)
		return false;
	while (sv_cut(&path, '/', &more, &part))
		if (!part.n || part.n > 255 || sv_eq(part, SV(".")) ||
		    sv_eq(part, SV("..")))
			return false;
	return true;
}

static bool entry_ok(const struct guest_entry *en)
{
	switch (en->kind) {
	case GUEST_ARG:
		return !en->name.n && sv_find(en->data, '\0') < 0;
	case GUEST_ENV:
		return en->name.n && sv_find(en->name, '=') < 0 &&
		       sv_find(en->name, '\0') < 0 && sv_find(en->data, '\0') < 0;
	case GUEST_FILE:
		return guest_path_ok(en->name);
	case GUEST_CWD:
		return !en->name.n && guest_path_ok(en->data);
	}
	return false;
}

int guest_next_entry(struct sv *rest, struct guest_entry *ret)
{
	uint32_t name_n;
	uint64_t data_n;
	const char *p = rest->p;

	if (!rest->n)
		return 0;
	if (rest->n < GUEST_ENTRY_HEAD)
		return -1;
	memcpy(&name_n, p + 1, sizeof(name_n));
	memcpy(&data_n, p + 5, sizeof(data_n));
	if (name_n > rest->n - GUEST_ENTRY_HEAD ||
	    data_n > rest->n - GUEST_ENTRY_HEAD - name_n)
		return -1;
	ret->kind = (enum guest_entry_kind)(unsigned char)p[0];
	ret->name = (struct sv){p + GUEST_ENTRY_HEAD, name_n};
	ret->data = (struct sv){p + GUEST_ENTRY_HEAD + name_n, (size_t)data_n};
	if (!entry_ok(ret))
		return -1;
	rest->p += GUEST_ENTRY_HEAD + name_n + data_n;
	rest->n -= GUEST_ENTRY_HEAD + name_n + (size_t)data_n;
	return 1;
}

/* --- sessions --------------------------------------------------------------------------------- */

const struct guest_run frame_no_run = {.out_fd = -1,
				       .err_fd = -1,
				       .filter_fd = -1,
				       .code_fd = -1,
				       .input_fd = -1,
				       .stdin_fd = -1};

void guest_put_open(struct ipc_msg *m, const struct guest_run *r)
{
	frame_put_limits(m, r);
	ipc_put_fd(m, r->filter_fd);
}

int guest_get_open(struct ipc_msg *m, struct guest_run *r)
{
	*r = frame_no_run;
	frame_get_limits(m, r);
	r->filter_fd = ipc_take_fd(m);
	return ipc_end(m) ? 0 : -1;
}

#define CALL_FDS 8

/* The descriptors of a call in the order of the record; a bit tells for each whether it is there. */
static void call_fds(struct guest_call *c, int *list[CALL_FDS])
{
	int *const all[CALL_FDS] = {&c->run.code_fd, &c->run.input_fd, &c->run.stdin_fd,
				    &c->run.out_fd,  &c->run.err_fd,   &c->rich_fd,
				    &c->driver_fd,   &c->run.filter_fd};

	memcpy(list, all, sizeof(all));
}

void guest_put_call(struct ipc_msg *m, const struct guest_call *given)
{
	struct guest_call c = *given;
	int *fds[CALL_FDS];
	uint32_t has = 0;

	call_fds(&c, fds);
	for (unsigned i = 0; i < CALL_FDS; i++)
		has |= *fds[i] >= 0 ? 1u << i : 0;
	ipc_put_u32(m, c.slot);
	ipc_put_u32(m, has);
	ipc_put_u32(m, c.run.part);
	ipc_put_u32(m, c.last);
	ipc_put_sv(m, c.driver);
	ipc_put_sv(m, c.run.interpreter);
	frame_put_list(m, c.run.args, c.run.nargs);
	ipc_put_sv(m, c.run.code_name);
	frame_put_list(m, c.run.env, c.run.nenv);
	for (unsigned i = 0; i < CALL_FDS; i++)
		if (*fds[i] >= 0)
			ipc_put_fd(m, *fds[i]);
}

static bool driver_ok(struct sv name)
{
	if (!sv_starts(name, SV("driver.")) || name.n > 24)
		return false;
	for (size_t i = 7; i < name.n; i++)
		if ((name.p[i] < 'a' || name.p[i] > 'z') &&
		    (name.p[i] < '0' || name.p[i] > '9'))
			return false;
	return name.n > 7;
}

static bool call_ok(const struct guest_call *c)
{
	const struct guest_run *r = &c->run;
	const bool out = r->out_fd >= 0, all = out && r->err_fd >= 0;

	if ((unsigned)r->part >= GUEST_PARTS || (c->driver.n && r->part != GUEST_WHOLE))
		return false;
	if (!c->driver.n)
		return c->slot == GUEST_NO_SLOT && all && c->rich_fd < 0 &&
		       c->driver_fd < 0;
	if (!driver_ok(c->driver) || c->slot >= GUEST_SLOTS || r->code_fd < 0 ||
	    out != (r->err_fd >= 0) || out != (c->rich_fd >= 0) ||
	    out != (c->driver_fd >= 0))
		return false;
	return !out || (r->interpreter.n && r->interpreter.p[0] == '/');
}

int guest_get_call(struct ipc_msg *m, struct guest_call *c)
{
	int *fds[CALL_FDS];
	uint32_t has, last;

	*c = (struct guest_call){.run = frame_no_run, .rich_fd = -1, .driver_fd = -1};
	call_fds(c, fds);
	c->slot = ipc_get_u32(m);
	has = ipc_get_u32(m);
	c->run.part = (enum guest_part)ipc_get_u32(m);
	last = ipc_get_u32(m);
	c->last = last == 1;
	c->driver = ipc_get_sv(m, 24);
	c->run.interpreter = ipc_get_sv(m, 255);
	c->run.nargs = frame_get_list(m, c->run.args, GUEST_MAX_ARGS);
	c->run.code_name = ipc_get_sv(m, 64);
	c->run.nenv = frame_get_list(m, c->run.env, GUEST_MAX_ENV);
	if (sv_find(c->run.interpreter, '\0') >= 0 ||
	    (c->run.code_name.n && !guest_path_ok(c->run.code_name)) ||
	    has >> CALL_FDS || last > 1)
		m->bad = true;
	for (unsigned i = 0; i < CALL_FDS; i++)
		if (has >> i & 1)
			*fds[i] = ipc_take_fd(m);
	if (ipc_end(m) && call_ok(c))
		return 0;
	guest_close_call(c);
	return -1;
}

void guest_close_call(struct guest_call *c)
{
	int *fds[CALL_FDS];

	call_fds(c, fds);
	for (unsigned i = 0; i < CALL_FDS; i++)
		fd_close(fds[i]);
}

void guest_put_slot(struct ipc_msg *m, uint32_t slot)
{
	ipc_put_u32(m, slot);
}

int guest_get_slot(struct ipc_msg *m, uint32_t *ret)
{
	uint32_t slot = ipc_get_u32(m);

	if (!ipc_end(m) || (slot >= GUEST_SLOTS && slot != GUEST_NO_SLOT))
		return -1;
	*ret = slot;
	return 0;
}

void guest_put_word(struct ipc_msg *m, const struct guest_word *w)
{
	ipc_put_u64(m, w->when_us);
	if (m->type == GUEST_CALL_STARTED) {
		ipc_put_u32(m, w->pidfd >= 0);
		if (w->pidfd >= 0)
			ipc_put_fd(m, w->pidfd);
		return;
	}
	ipc_put_u32(m, m->type == GUEST_DIED ? w->slot : (uint32_t)w->how);
	ipc_put_u32(m, w->status);
	if (m->type == GUEST_CALL_ENDED)
		ipc_put_u32(m, w->changes);
}

int guest_get_word(struct ipc_msg *m, struct guest_word *w)
{
	struct guest_word got = {.pidfd = -1, .when_us = ipc_get_u64(m)};
	uint32_t what = ipc_get_u32(m), more;
	bool bad = false;

	if (m->type == GUEST_CALL_STARTED) {
		bad = what > 1;
		got.pidfd = what == 1 ? ipc_take_fd(m) : -1;
	} else if (m->type == GUEST_CALL_ENDED) {
		got.how = (enum guest_how)what;
		got.status = ipc_get_u32(m);
		more = ipc_get_u32(m);
		got.changes = more == 1;
		bad = more > 1 || (what != GUEST_BY_KERNEL &&
				   (what != GUEST_BY_DRIVER || got.status > 255));
	} else {
		got.slot = what;
		got.status = ipc_get_u32(m);
		bad = m->type != GUEST_DIED || what >= GUEST_SLOTS;
	}
	if (bad || !ipc_end(m)) {
		fd_close(&got.pidfd);
		return -1;
	}
	*w = got;
	return 0;
}

void guest_put_file(struct ipc_msg *m, const struct guest_file *f)
{
	ipc_put_u32(m, (uint32_t)f->op);
	ipc_put_sv(m, f->path);
	ipc_put_u32(m, f->flags);
	ipc_put_u32(m, f->max_rows);
	ipc_put_u64(m, f->min_bytes);
	ipc_put_u64(m, f->max_bytes);
	if (f->op == GUEST_WRITE)
		ipc_put_fd(m, f->data_fd);
}

int guest_get_file(struct ipc_msg *m, struct guest_file *f)
{
	struct guest_file got = {.op = (enum guest_file_kind)ipc_get_u32(m),
				 .data_fd = -1};
	bool bad;

	got.path = ipc_get_sv(m, 4096);
	got.flags = ipc_get_u32(m);
	got.max_rows = ipc_get_u32(m);
	got.min_bytes = ipc_get_u64(m);
	got.max_bytes = ipc_get_u64(m);
	if (got.op == GUEST_WRITE)
		got.data_fd = ipc_take_fd(m);
	bad = got.op < GUEST_LIST || got.op > GUEST_DELETE ||
	      got.flags & ~(got.op == GUEST_WRITE ? (uint32_t)GUEST_KEEP : 0) ||
	      got.max_rows > GUEST_MAX_ROWS || got.min_bytes > got.max_bytes ||
	      (!guest_path_ok(got.path) && (got.path.n || got.op != GUEST_LIST));
	if (bad || !ipc_end(m)) {
		fd_close(&got.data_fd);
		return -1;
	}
	*f = got;
	return 0;
}

void guest_put_file_done(struct ipc_msg *m, const struct guest_file_done *d)
{
	ipc_put_u32(m, d->sys);
	ipc_put_u32(m, (uint32_t)d->node);
	ipc_put_u32(m, d->flags);
	ipc_put_u64(m, d->size);
	ipc_put_i64(m, d->mtime_ns);
	ipc_put_u32(m, d->fd >= 0);
	if (d->fd >= 0)
		ipc_put_fd(m, d->fd);
}

int guest_get_file_done(struct ipc_msg *m, struct guest_file_done *d)
{
	struct guest_file_done got = {.sys = ipc_get_u32(m), .fd = -1};
	uint32_t has;

	got.node = (enum guest_node)ipc_get_u32(m);
	got.flags = ipc_get_u32(m);
	got.size = ipc_get_u64(m);
	got.mtime_ns = ipc_get_i64(m);
	has = ipc_get_u32(m);
	if (has == 1)
		got.fd = ipc_take_fd(m);
	if (has > 1 || !ipc_end(m) || got.flags & ~(uint32_t)GUEST_MORE ||
	    (unsigned)got.node > GUEST_NODE_OTHER || (got.sys && has)) {
		fd_close(&got.fd);
		return -1;
	}
	*d = got;
	return 0;
}

/* After the first byte: u32 path bytes, u32 nlink, then five words of 64 bits. */
void guest_put_row(char dst[GUEST_ROW_HEAD], const struct guest_row *r)
{
	const uint32_t narrow[2] = {(uint32_t)r->path.n, r->nlink};
	const uint64_t wide[5] = {r->size, r->disk_bytes, r->inode,
				  (uint64_t)r->mtime_ns, (uint64_t)r->ctime_ns};

	dst[0] = (char)r->node;
	memcpy(dst + 1, narrow, sizeof(narrow));
	memcpy(dst + 9, wide, sizeof(wide));
}

int guest_next_row(struct sv *rest, struct guest_row *ret)
{
	uint32_t narrow[2];
	uint64_t wide[5];

	if (!rest->n)
		return 0;
	if (rest->n < GUEST_ROW_HEAD)
		return -1;
	memcpy(narrow, rest->p + 1, sizeof(narrow));
	memcpy(wide, rest->p + 9, sizeof(wide));
	if (narrow[0] > rest->n - GUEST_ROW_HEAD)
		return -1;
	*ret = (struct guest_row){
		.node = (enum guest_node)(unsigned char)rest->p[0],
		.nlink = narrow[1],
		.size = wide[0],
		.disk_bytes = wide[1],
		.inode = wide[2],
		.mtime_ns = (int64_t)wide[3],
		.ctime_ns = (int64_t)wide[4],
		.path = {rest->p + GUEST_ROW_HEAD, narrow[0]},
	};
	if (ret->node < GUEST_NODE_FILE || ret->node > GUEST_NODE_OTHER ||
	    !guest_path_ok(ret->path))
		return -1;
	rest->p += GUEST_ROW_HEAD + narrow[0];
	rest->n -= GUEST_ROW_HEAD + narrow[0];
	return 1;
}

/* --- changes ---------------------------------------------------------------------------------- */

void guest_put_changes(struct ipc_msg *m, const struct guest_changes *c)
{
	ipc_put_u32(m, c->flags);
	ipc_put_u32(m, c->total);
	ipc_put_u32(m, c->fd >= 0);
	if (c->fd >= 0)
		ipc_put_fd(m, c->fd);
}

int guest_get_changes(struct ipc_msg *m, struct guest_changes *c)
{
	struct guest_changes got = {.flags = ipc_get_u32(m), .fd = -1};
	uint32_t has;

	got.total = ipc_get_u32(m);
	has = ipc_get_u32(m);
	if (has == 1)
		got.fd = ipc_take_fd(m);
	if (has > 1 || !ipc_end(m) ||
	    got.flags & ~((uint32_t)GUEST_MORE | (uint32_t)GUEST_NOT_KNOWN) ||
	    (got.flags & GUEST_NOT_KNOWN && has)) {
		fd_close(&got.fd);
		return -1;
	}
	*c = got;
	return 0;
}

void guest_put_change(char dst[GUEST_CHANGE_HEAD], const struct guest_change *c)
{
	const uint32_t narrow[2] = {(uint32_t)c->path.n, (uint32_t)c->head.n};

	dst[0] = (char)c->kind;
	dst[1] = (char)c->node;
	dst[2] = c->has_sha;
	dst[3] = 0;
	memcpy(dst + 4, narrow, sizeof(narrow));
	memcpy(dst + 12, &c->size, sizeof(c->size));
	memcpy(dst + 20, c->sha, sizeof(c->sha));
}

static bool change_ok(const struct guest_change *c)
{
	const bool file = c->node == GUEST_NODE_FILE && c->kind != GUEST_DELETED;

	return c->kind <= GUEST_DELETED && c->node >= GUEST_NODE_FILE &&
	       c->node <= GUEST_NODE_OTHER && c->node != GUEST_NODE_DIR &&
	       c->size <= INT64_MAX && (file || (!c->has_sha && !c->head.n)) &&
	       guest_path_ok(c->path);
}

int guest_next_change(struct sv *rest, struct guest_change *ret)
{
	uint32_t narrow[2];
	const char *p = rest->p;

	if (!rest->n)
		return 0;
	if (rest->n < GUEST_CHANGE_HEAD)
		return -1;
	memcpy(narrow, p + 4, sizeof(narrow));
	if (narrow[1] > GUEST_HEAD_BYTES || (unsigned char)p[2] > 1 || p[3] ||
	    narrow[0] > rest->n - GUEST_CHANGE_HEAD ||
	    narrow[1] > rest->n - GUEST_CHANGE_HEAD - narrow[0])
		return -1;
	*ret = (struct guest_change){
		.kind = (enum guest_change_kind)(unsigned char)p[0],
		.node = (enum guest_node)(unsigned char)p[1],
		.has_sha = p[2],
		.path = {p + GUEST_CHANGE_HEAD, narrow[0]},
		.head = {p + GUEST_CHANGE_HEAD + narrow[0], narrow[1]},
	};
	memcpy(&ret->size, p + 12, sizeof(ret->size));
	memcpy(ret->sha, p + 20, sizeof(ret->sha));
	if (!change_ok(ret))
		return -1;
	rest->p += GUEST_CHANGE_HEAD + narrow[0] + narrow[1];
	rest->n -= GUEST_CHANGE_HEAD + narrow[0] + narrow[1];
	return 1;
}
