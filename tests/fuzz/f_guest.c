/* f_guest.c: the guest's two parsers: the input bundle, and the GUEST_RUN record.
 *
 * The first byte chooses. What must hold: an entry lies within the bundle, each is consumed once,
 * and no name that is accepted leaves the workspace or ends early at a NUL. */
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

static void read_record(struct sv bytes)
{
	static struct ipc_msg m;
	struct guest_run r;

	if (ipc_parse(bytes, &m, NULL) != 1)
		return;
	if (!guest_get_run(&m, &r))
		must(r.nargs <= GUEST_MAX_ARGS && r.nenv <= GUEST_MAX_ENV);
	ipc_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest;

	if (!size)
		return 0;
	rest = (struct sv){(const char *)data + 1, size - 1};
	if (data[0] & 1)
		walk_input(rest);
	else
		read_record(rest);
	return 0;
}
