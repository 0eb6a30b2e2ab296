/* probes.c: what the escapes tried from inside came to. */
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/supervise.h"
#include "tools/tools.h"

/* clang-format off */
const char *const probe_names[] = {
	"capabilities", "inherited_fds", "write_root", "write_usr", "read_shadow",
	"host_homes", "sys_tree", "core_pattern", "init_memory", "init_kill",
	"user_namespace", "mount", "ptrace", "io_uring", "bpf", "keyring",
	"packet_socket", "netlink_socket", "vsock_socket", "udp_socket",
	"network_device",
};
/* clang-format on */
const unsigned probe_count = ARRAY_LEN(probe_names);
_Static_assert(ARRAY_LEN(probe_names) <= PROBES_MAX, "a place for each");

static void read_line(struct probes *p, struct sv line)
{
	const struct sv whole = line;
	struct sv name, verdict;
	bool more = true;

	if (!sv_cut(&line, ' ', &more, &name) || !sv_cut(&line, ' ', &more, &verdict))
		return;
	for (unsigned i = 0; i < probe_count; i++)
		if (sv_eq(name, sv_of(probe_names[i]))) {
			p->held[i] = sv_eq(verdict, SV("held"));
			log_esc(more ? line : whole, p->detail[i],
				sizeof(p->detail[i]));
		}
}

void probes_read(const struct sup_answer *a, struct probes *ret)
{
	struct sv rest, line;
	bool more = true;

	*ret = (struct probes){.known = false};
	if (a->err) {
		ret->err = *a->err;
		return;
	}
	rest = buf_view(&a->out->head);
	while (sv_cut(&rest, '\n', &more, &line))
		read_line(ret, line);
	ret->known = a->result->status == SUP_EXITED;
	if (!ret->known)
		err_set(&ret->err, ERR_UNAVAILABLE, "the probes ended with %s",
			sup_status_name(a->result->status));
}

unsigned probes_open(const struct probes *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < probe_count; i++)
		n += !p->held[i];
	return n;
}
