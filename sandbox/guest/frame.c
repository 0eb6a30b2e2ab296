/* frame.c: the records and the input format of guest.h; linked into guest and keeper alike. */
#include "sandbox/guest/guest.h"

static void put_list(struct ipc_msg *m, const struct sv *list, uint32_t n)
{
	ipc_put_u32(m, n);
	for (uint32_t i = 0; i < n; i++)
		ipc_put_sv(m, list[i]);
}

void guest_put_run(struct ipc_msg *m, const struct guest_run *r)
{
	ipc_put_sv(m, r->interpreter);
	put_list(m, r->args, r->nargs);
	ipc_put_sv(m, r->code_name);
	put_list(m, r->env, r->nenv);
	ipc_put_u64(m, r->workspace_bytes);
	ipc_put_u64(m, r->tmp_bytes);
	ipc_put_u64(m, r->memory_bytes);
	ipc_put_u32(m, r->open_files);
	ipc_put_u32(m, r->processes);
	ipc_put_u32(m, r->rlimit_memory);
	ipc_put_u32(m, r->landlock);
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

static uint32_t get_list(struct ipc_msg *m, struct sv *list, uint32_t max)
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

int guest_get_run(struct ipc_msg *m, struct guest_run *r)
{
	uint32_t has;

	*r = (struct guest_run){.code_fd = -1, .input_fd = -1, .stdin_fd = -1};
	r->interpreter = ipc_get_sv(m, 255);
	r->nargs = get_list(m, r->args, GUEST_MAX_ARGS);
	r->code_name = ipc_get_sv(m, 64);
	r->nenv = get_list(m, r->env, GUEST_MAX_ENV);
	r->workspace_bytes = ipc_get_u64(m);
	r->tmp_bytes = ipc_get_u64(m);
	r->memory_bytes = ipc_get_u64(m);
	r->open_files = ipc_get_u32(m);
	r->processes = ipc_get_u32(m);
	r->rlimit_memory = ipc_get_u32(m);
	r->landlock = ipc_get_u32(m);
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
