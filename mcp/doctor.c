/* doctor.c: `fumehood doctor`: tries the escapes on this host, with the real sandbox, and tells.
 *
 * The probes run inside a sandbox made exactly as for any program (sandbox/guest/probe.c); what
 * they print is untrusted text, and a probe that says nothing counts as open. Exit code: 0 all
 * holds, 1 something is open or no sandbox can be made, 3 all holds but something is degraded. */
#include "mcp/front.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "sandbox/supervise/supervise.h"
#include "tools/tools.h"

#include <unistd.h>

/* What commonly keeps a sandbox from being made, and the cure. */
static const struct cure {
	const char *path, *bad; /* the file says just this; NULL: see is_needed */
	const char *what, *fix;
} cures[] = {
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
	 "AppArmor restricts unprivileged user namespaces (Ubuntu 24.04)",
	 "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap "
	 "with `userns,`"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0",
	 "unprivileged user namespaces are switched off",
	 "sysctl -w kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", "0", "no user namespace may be made",
	 "sysctl -w user.max_user_namespaces=15000"},
	{"/proc/sys/vm/memfd_noexec", "2", "programs may not run from memory",
	 "sysctl -w vm.memfd_noexec=1"},
	{"/proc/self/mountinfo", NULL,
	 "parts of /proc are masked here, as in a container: the kernel then refuses a fresh one",
	 "Docker, Podman: --security-opt systempaths=unconfined; Kubernetes: procMount: Unmasked "
	 "with hostUsers: false"},
};

struct doctor {
	struct loop loop;
	struct sup_client *client;
	const struct options *o;
	int out;
	bool cure_needed[ARRAY_LEN(cures)];
	struct probes probes;
	struct err err;
	bool degraded_run;
	bool finished;
};

/* A mount over something in /proc, but for the one place that is empty by nature. */
static bool masks_proc(struct sv mountinfo)
{
	struct sv line, at;
	bool more = true;

	while (sv_cut(&mountinfo, '\n', &more, &line)) {
		bool m = true;

		for (int field = 1; field <= 5; field++)
			if (!sv_cut(&line, ' ', &m, &at))
				at = SV("");
		if (sv_starts(at, SV("/proc/")) &&
		    !sv_eq(at, SV("/proc/sys/fs/binfmt_misc")))
			return true;
	}
	return false;
}

static bool is_needed(const struct cure *c)
{
	AUTO_BUF b = {0};

	buf_init(&b, 1 << 20);
	if (fd_read_file(c->path, &b, NULL))
		return false;
	return c->bad ? sv_eq(sv_trim(buf_view(&b)), sv_of(c->bad))
		      : masks_proc(buf_view(&b));
}

static void look_for_cures(struct doctor *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(cures); i++)
		d->cure_needed[i] = is_needed(&cures[i]);
}

static void on_done(void *arg, const struct sup_answer *a)
{
	struct doctor *d = arg;

	d->finished = true;
	probes_read(a, &d->probes);
	d->err = d->probes.err;
	d->degraded_run = !a->err && a->result->limits_degraded;
	loop_stop(&d->loop);
}

static void on_ready(void *arg)
{
	struct doctor *d = arg;
	const struct sup_run_opts opts = {.tool = POL_PROBE,
					  .code_fd = -1,
					  .input_fd = -1,
					  .stdin_fd = -1,
					  .on_done = on_done,
					  .arg = d};

	if (!sup_client_run(d->client, &opts, &d->err))
		loop_stop(&d->loop);
}

static void on_lost(void *arg)
{
	struct doctor *d = arg;

	err_set(&d->err, ERR_UNAVAILABLE,
		"the keeper did not start; its log lines say why");
	loop_stop(&d->loop);
}

static void list_runtimes(const struct sup_info *info, struct buf *b)
{
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const struct pol_runtime *rt = &pol_runtimes[i];
		const bool here = info->host.path[i][0];

		buf_fmt(b, "  %-18s%s", rt->name,
			here ? info->host.path[i] : "not installed");
		if (!here && rt->package[0])
			buf_fmt(b, "; Debian's package: %s", rt->package);
		buf_byte(b, '\n');
	}
}

/* That it is as it was made has been seen before this process was started. */
static void list_image(const struct sup_info *info, struct buf *b)
{
	struct sv rest = sv_of(info->image.packages), line;
	bool more = true;

	if (!info->image.name[0])
		return;
	buf_fmt(b, "image\n  %-18s%s, %u packages\n", info->image.name,
		info->image.sha256[0] ? "intact" : "unfinished", info->image.count);
	buf_fmt(b, "  %-18s%s\n", "SHA-256", info->image.sha256);
	while (sv_cut(&rest, '\n', &more, &line) && line.n)
		buf_fmt(b, "  %-18s" SV_FMT "\n", "", SV_ARG(line));
	if (info->image.cut)
		buf_fmt(b, "  %-18s...\n", "");
}

static void write_person(const struct doctor *d, const struct sup_info *info,
			 struct buf *b)
{
	const unsigned open = probes_open(&d->probes);

	if (info) {
		buf_fmt(b, "host\n  %-18s%s (%s)\n  %-18s%s\n  %-18s%s\n  %-18s%s\n",
			"bubblewrap", info->bwrap_version, info->bwrap_path, "cgroup",
			info->cgroup, "Landlock", info->landlock_abi ? "yes" : "no",
			"uid per sandbox",
			info->root ? "yes"
				   : "no (not started by root: the caller's own)");
		buf_str(b, "runtimes\n");
		list_runtimes(info, b);
		list_image(info, b);
	}
	if (d->finished && !d->err.code) {
		buf_fmt(b, "escapes tried from inside\n");
		for (unsigned i = 0; i < probe_count; i++)
			buf_fmt(b, "  %-18s%-6s%s\n", probe_names[i],
				d->probes.held[i] ? "held" : "OPEN",
				d->probes.detail[i]);
	}
	if (d->err.code)
		buf_fmt(b, "\nNO SANDBOX: %s\n", d->err.cause);
	else if (open)
		buf_fmt(b, "\n%u OPEN: do not run untrusted code on this host\n", open);
	else
		buf_fmt(b, "\nall %u held%s\n", probe_count,
			info && info->degraded[0] ? "; degraded:" : "");
	if (info && info->degraded[0])
		buf_fmt(b, "  %s\n", info->degraded);
	if (info && d->degraded_run)
		buf_str(b,
			"  fix, with systemd: systemd-run --user --scope -p Delegate=yes fumehood "
			"stdio\n");
	for (unsigned i = 0; i < ARRAY_LEN(cures); i++)
		if (d->cure_needed[i] && (d->err.code || cures[i].bad))
			buf_fmt(b, "  %s\n    fix: %s\n", cures[i].what, cures[i].fix);
}

static void write_json(const struct doctor *d, const struct sup_info *info,
		       struct buf *b)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_kbool(&w, "sandbox", d->finished && !d->err.code);
	if (d->err.code) {
		jw_kstr(&w, "cause", sv_of(d->err.cause));
		jw_kstr(&w, "remediation", sv_of(err_remediation(&d->err)));
	}
	if (info) {
		jw_kstr(&w, "bwrap_version", sv_of(info->bwrap_version));
		jw_kstr(&w, "bwrap_path", sv_of(info->bwrap_path));
		jw_kstr(&w, "cgroup", sv_of(info->cgroup));
		jw_kint(&w, "landlock_abi", info->landlock_abi);
		jw_kbool(&w, "separate_uid", info->root);
		jw_kstr(&w, "degraded", sv_of(info->degraded));
	}
	if (info && info->image.name[0]) {
		jw_key(&w, "image");
		jw_obj(&w);
		jw_kstr(&w, "name", sv_of(info->image.name));
		jw_kstr(&w, "sha256", sv_of(info->image.sha256));
		jw_kint(&w, "packages_count", info->image.count);
		jw_kstr(&w, "packages", sv_of(info->image.packages));
		jw_obj_end(&w);
	}
	jw_key(&w, "probes");
	jw_obj(&w);
	for (unsigned i = 0; i < probe_count; i++)
		jw_kstr(&w, probe_names[i],
			d->probes.held[i] ? SV("held") : SV("open"));
	jw_obj_end(&w);
	jw_key(&w, "fixes");
	jw_arr(&w);
	for (unsigned i = 0; i < ARRAY_LEN(cures); i++)
		if (d->cure_needed[i] && (d->err.code || cures[i].bad))
			jw_str(&w, sv_of(cures[i].fix));
	jw_arr_end(&w);
	jw_obj_end(&w);
	buf_byte(b, '\n');
}

static int report(const struct doctor *d)
{
	const struct sup_info *info = d->client ? sup_client_info(d->client) : NULL;
	AUTO_BUF b = {0};

	buf_init(&b, 65536);
	if (d->o->json)
		write_json(d, info, &b);
	else
		write_person(d, info, &b);
	if (fd_write_all(d->out, b.p, b.n))
		return 1;
	if (d->err.code || !d->finished || probes_open(&d->probes))
		return 1;
	return info && info->degraded[0] ? 3 : 0;
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct doctor *d = io->arg;

	(void)events;
	loop_stop(&d->loop);
}

int front_doctor(const struct options *o, const struct front_fds *fds)
{
	static struct doctor d;
	struct loop_io signal_io = {.fd = -1, .on_ready = on_signal, .arg = &d};
	struct err e = {0};
	int code;

	d.o = o;
	d.out = fds->out;
	look_for_cures(&d);
	if (loop_init(&d.loop, &e))
		return 1;
	d.client = sup_client_new(&d.loop, fds->keeper, on_lost, &d, &e);
	if (!d.client || front_confine(o, &signal_io.fd, &e) ||
	    loop_add(&d.loop, &signal_io, EPOLLIN, &e)) {
		log_err("doctor_failed", &e);
		return 1;
	}
	sup_client_on_ready(d.client, on_ready, &d);
	if (loop_run(&d.loop, &e))
		log_err("doctor_failed", &e);
	code = report(&d);
	sup_client_free(d.client);
	loop_finish(&d.loop);
	return code;
}
