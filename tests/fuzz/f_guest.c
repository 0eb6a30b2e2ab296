/* f_guest.c: what guest and keeper read of each other: the input bundle, a list of files, and the
 * records of runs, sessions and zygotes, each by its type; and what a call has changed.
 *
 * The first byte chooses. What must hold: an entry or row lies within its bytes, each is consumed
 * once, no name that is accepted leaves the workspace or ends early at a NUL, and a record that is accepted
 * is, written again, the same record. No descriptor comes with fuzzed bytes: records that need one are
 * to be refused. */
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct sv part, struct sv whole)
{
	return !part.n || (part.p >= whole.p && part.n <= whole.n &&
			   (size_t)(part.p - whole.p) <= whole.n - part.n);
}

static void check_path(struct sv path)
{
	struct sv part;
	bool more = true;

	must(path.n && path.p[0] != '/' && path.p[path.n - 1] != '/');
	must(sv_find(path, '\0') < 0);
	while (sv_cut(&path, '/', &more, &part))
		must(part.n && !sv_eq(part, SV(".")) && !sv_eq(part, SV("..")));
}

static void walk_input(struct sv whole)
{
	struct sv rest = whole;
	struct guest_entry en;
	size_t left = whole.n;

	while (guest_next_entry(&rest, &en) == 1) {
		must(inside(en.name, whole) && inside(en.data, whole));
		must(rest.n + GUEST_ENTRY_HEAD + en.name.n + en.data.n == left);
		left = rest.n;
		if (en.kind == GUEST_FILE)
			check_path(en.name);
		else if (en.kind == GUEST_CWD)
			check_path(en.data);
		else
			must(sv_find(en.data, '\0') < 0);
	}
}

static void walk_list(struct sv whole)
{
	struct sv rest = whole;
	struct guest_row row;
	size_t left = whole.n;

	while (guest_next_row(&rest, &row) == 1) {
		char head[GUEST_ROW_HEAD];

		must(inside(row.path, whole));
		check_path(row.path);
		guest_put_row(head, &row);
		must(!memcmp(head, row.path.p - GUEST_ROW_HEAD, GUEST_ROW_HEAD));
		must(rest.n + GUEST_ROW_HEAD + row.path.n == left);
		left = rest.n;
	}
}

static void walk_changes(struct sv whole)
{
	struct sv rest = whole;
	struct guest_change c;
	size_t left = whole.n;

	while (guest_next_change(&rest, &c) == 1) {
		char head[GUEST_CHANGE_HEAD];

		must(inside(c.path, whole) && inside(c.head, whole));
		must(c.node != GUEST_NODE_DIR && c.head.n <= GUEST_HEAD_BYTES);
		must(c.kind != GUEST_DELETED || (!c.has_sha && !c.head.n));
		check_path(c.path);
		guest_put_change(head, &c);
		must(!memcmp(head, c.path.p - GUEST_CHANGE_HEAD, GUEST_CHANGE_HEAD));
		must(rest.n + GUEST_CHANGE_HEAD + c.path.n + c.head.n == left);
		left = rest.n;
	}
}

/* Whether what was put is what had been got. */
static bool same(const struct ipc_msg *a, const struct ipc_msg *b)
{
	return !b->bad && a->n == b->n && !memcmp(a->data, b->data, a->n);
}

static void read_answer(struct ipc_msg *m, struct ipc_msg *again)
{
	struct guest_file_done d;
	struct guest_changes c;
	struct guest_word w;

	if (m->type == GUEST_CHANGES) {
		if (guest_get_changes(m, &c))
			return;
		must(c.fd < 0);
		guest_put_changes(again, &c);
	} else if (m->type == GUEST_FILE_DONE) {
		if (guest_get_file_done(m, &d))
			return;
		must(d.fd < 0);
		guest_put_file_done(again, &d);
	} else {
		if (guest_get_word(m, &w))
			return;
		must(w.pidfd < 0 && w.slot < GUEST_SLOTS);
		must(w.how != GUEST_BY_DRIVER || w.status <= 255);
		guest_put_word(again, &w);
	}
	must(same(m, again));
}

static void read_order(struct ipc_msg *m, struct ipc_msg *again)
{
	struct guest_zygote z;
	struct guest_cell cell;
	struct guest_call c;
	struct guest_file f;
	struct guest_run r;
	uint32_t slot;

	if (m->type == GUEST_RUN && !guest_get_run(m, &r))
		must(r.nargs <= GUEST_MAX_ARGS && r.nenv <= GUEST_MAX_ENV);
	/* a session and a zygote need their filter, a call its code or its outputs, a cell its line: all of them
	 * descriptors */
	if (m->type == GUEST_OPEN)
		must(guest_get_open(m, &r) == -1);
	if (m->type == GUEST_CALL)
		must(guest_get_call(m, &c) == -1);
	if (m->type == GUEST_ZYGOTE)
		must(guest_get_zygote(m, &z) == -1);
	if (m->type == GUEST_CELL)
		must(guest_get_cell(m, &cell) == -1);
	if (m->type == GUEST_KILL && !guest_get_slot(m, &slot)) {
		guest_put_slot(again, slot);
		must(same(m, again) && (slot < GUEST_SLOTS || slot == GUEST_NO_SLOT));
	}
	if (m->type == GUEST_FILE_OP && !guest_get_file(m, &f)) {
		must(f.op != GUEST_WRITE && f.data_fd < 0);
		if (f.path.n)
			check_path(f.path);
		guest_put_file(again, &f);
		must(same(m, again));
	}
}

static void read_record(struct sv bytes)
{
	static struct ipc_msg m, again;

	if (ipc_parse(bytes, &m, NULL) != 1)
		return;
	ipc_start(&again, m.type, m.id);
	switch (m.type) {
	case GUEST_CALL_STARTED:
	case GUEST_CALL_ENDED:
	case GUEST_DIED:
	case GUEST_FILE_DONE:
	case GUEST_CHANGES:
		read_answer(&m, &again);
		break;
	default:
		read_order(&m, &again);
	}
	ipc_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest;

	if (!size)
		return 0;
	rest = (struct sv){(const char *)data + 1, size - 1};
	if (data[0] % 4 == 1)
		walk_input(rest);
	else if (data[0] % 4 == 2)
		walk_list(rest);
	else if (data[0] % 4 == 3)
		walk_changes(rest);
	else
		read_record(rest);
	return 0;
}
