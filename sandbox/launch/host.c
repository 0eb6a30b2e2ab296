/* host.c: what this host offers to sandboxes, found once when the keeper starts. */
#include "sandbox/launch/host.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* above every range that systemd, adduser or subuid hand out */
#define DEFAULT_UID_BASE 1900000000u
#define UID_BLOCKS 64
#define UID_BLOCK_SIZE (HOST_MAX_UIDS + 8) /* the front's is among the last */
#define ALL_UIDS (UID_BLOCKS * UID_BLOCK_SIZE) /* those of cells come after them */

/* The guest's program, embedded by the Makefile. */
extern const char guest_blob[], guest_blob_end[];
/* What makes an interpreter a zygote; the same way. */
extern const char cell_blob[], cell_blob_end[], ahead_blob[], ahead_blob_end[];

static void note(struct launch_host *h, const char *text)
{
	char *d = h->facts.degraded;
	size_t n = strlen(d);

	if (*text)
		snprintf(d + n, sizeof(h->facts.degraded) - n, "%s%s", n ? "; " : "",
			 text);
}

void host_image(const struct launch_host *h, uint32_t uid_slot, struct child_image *ret)
{
	const uint32_t uid = h->uid_base + uid_slot;

	if (h->facts.root)
		child_image_make(ret, h->image, uid, uid);
	else
		child_image_make(ret, h->image, getuid(), getgid());
}

/* --- bwrap ------------------------------------------------------------------------------------ */

/* A program others could change, or one that gains privileges, is not run. */
static int open_bwrap_at(const char *path, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(e, ERR_UNAVAILABLE, "%s is not a file", path);
	if (st.st_mode & (S_ISUID | S_ISGID))
		return err_set(e, ERR_UNAVAILABLE, "%s is setuid", path);
	if (st.st_mode & S_IWOTH)
		return err_set(e, ERR_UNAVAILABLE, "%s is writable by everybody", path);
	return fd_steal(&fd);
}

static int find_bwrap(struct launch_host *h, const char *given, struct err *e)
{
	char exe[200] = "", *slash;
	char at[5][256] = {"", "", "", "/usr/bin/bwrap", "/usr/local/bin/bwrap"};
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (given) {
		snprintf(h->facts.bwrap_path, sizeof(h->facts.bwrap_path), "%s", given);
		h->bwrap = open_bwrap_at(given, e);
		return h->bwrap < 0
			       ? err_fix(e,
					 "name a bubblewrap with --bwrap, or leave it out")
			       : 0;
	}
	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	if (slash) {
		*slash = '\0';
		snprintf(at[0], sizeof(at[0]), "%s/deps/bin/bwrap", exe);
		snprintf(at[1], sizeof(at[1]), "%s/../deps/bin/bwrap", exe);
		snprintf(at[2], sizeof(at[2]), "%s/../libexec/fumehood/bwrap", exe);
	}
	for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
		if (!at[i][0] || access(at[i], X_OK))
			continue;
		if (sv_copy(sv_of(at[i]), h->facts.bwrap_path,
			    sizeof(h->facts.bwrap_path)))
			continue;
		h->bwrap = open_bwrap_at(at[i], e);
		return h->bwrap < 0 ? -1 : 0;
	}
	err_set(e, ERR_UNAVAILABLE, "bubblewrap (bwrap) is not installed");
	return err_fix(
		e,
		"run `make deps` in the source tree, or: apt-get install bubblewrap");
}

/* bwrap's answer to --version, started as for a sandbox; "" when there is none. */
static int ask_bwrap(struct launch_host *h, char *text, size_t size, struct err *e)
{
	struct child_image image;
	char name[] = "bwrap", option[] = "--version";
	char *const argv[] = {name, option, NULL}, *const envp[] = {NULL};
	int out[2];
	ssize_t n;
	pid_t pid;

	if (fd_pipe(out, e))
		return -1;
	if (h->image >= 0)
		host_image(h, 0, &image);
	int fds[3] = {h->null, out[1], out[1]};
	pid = child_start(&(struct child_plan){.program = h->bwrap,
					       .argv = argv,
					       .envp = envp,
					       .fds = fds,
					       .nfds = 3,
					       .parent = getpid(),
					       .death_signal = SIGKILL,
					       .change_uid = h->facts.root,
					       .uid = h->uid_base,
					       .image = h->image >= 0 ? &image : NULL},
			  NULL, e);
	fd_close(&out[1]);
	n = pid < 0 ? -1 : read(out[0], text, size - 1);
	fd_close(&out[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 && sv_starts(sv_of(text), SV("bubblewrap ")) ? 0 : -1;
}

/* "bubblewrap 0.12.0": asked once, under the uid a sandbox would have. */
static int ask_bwrap_version(struct launch_host *h, struct err *e)
{
	char text[128] = "";

	if (ask_bwrap(h, text, sizeof(text), e)) {
		err_set(e, ERR_UNAVAILABLE, "%s does not answer --version: %.60s",
			h->facts.bwrap_path, text);
		return err_fix(
			e,
			"as root a range of unprivileged uids is needed (--uid-base)");
	}
	return sv_copy(sv_trim(sv_of(text + 11)), h->facts.bwrap_version,
		       sizeof(h->facts.bwrap_version));
}

/* Tried once: no sandbox could be made later if this does not work. */
static int take_image(struct launch_host *h, int dir, struct err *e)
{
	char text[128] = "";

	/* O_PATH: its lock stays with the descriptor that has it */
	h->image = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->image < 0)
		return err_sys(e, "open the image's folder");
	if (!ask_bwrap(h, text, sizeof(text), e))
		return 0;
	err_clear(e);
	err_set(e, ERR_UNAVAILABLE,
		"the image cannot be brought into a sandbox: %.100s", text);
	return err_fix(e,
		       "`fumehood doctor` says what keeps user namespaces from being "
		       "made; AppArmor must allow them to fumehood too");
}

static void judge_bwrap_version(struct launch_host *h)
{
	struct sv rest = sv_of(h->facts.bwrap_version), part;
	bool more = true;
	uint64_t major = 0, minor = 0;

	if (sv_cut(&rest, '.', &more, &part) && !sv_to_u64(part, &major) &&
	    sv_cut(&rest, '.', &more, &part) && !sv_to_u64(part, &minor) &&
	    (major > 0 || minor >= 12))
		return;
	note(h,
	     "bubblewrap is older than 0.12 (CVE-2026-87766, not reachable through the mounts "
	     "used here): run `make deps`");
}

/* --- what goes into a sandbox ---------------------------------------------------------------- */

/* The guest runs from memory: no path to it exists anywhere. */
static int load_guest(struct launch_host *h, struct err *e)
{
	const size_t n = (size_t)(guest_blob_end - guest_blob);
	const unsigned exec_flag = 0x10; /* MFD_EXEC, Linux 6.3 */
	AUTO_FD fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING | exec_flag);

	if (fd < 0)
		fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fd_write_all(fd, guest_blob, n) || fchmod(fd, 0555) ||
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return err_sys(e, "the guest's memfd");
	h->guest = fd_steal(&fd);
	h->cell_object =
		fd_memfd("cell", cell_blob, (size_t)(cell_blob_end - cell_blob), e);
	h->ahead_object =
		fd_memfd("ahead", ahead_blob, (size_t)(ahead_blob_end - ahead_blob), e);
	return h->cell_object < 0 || h->ahead_object < 0 ? -1 : 0;
}

/* Passwd or group with a row for each cell's uid, so that who asks for its name finds one. */
static int load_cells_etc(struct launch_host *h, unsigned i, const char *text,
			  struct err *e)
{
	AUTO_BUF b = {0};

	buf_init(&b, 16384);
	buf_str(&b, text);
	for (unsigned id = LAUNCH_CELL_UID; id < LAUNCH_CELL_UID + GUEST_CELLS; id++)
		if (i == 0)
			buf_fmt(&b, "sandbox:x:%u:%u::/workspace:/bin/bash\n", id, id);
		else
			buf_fmt(&b, "sandbox:x:%u:\n", id);
	if (b.failed)
		return err_set(e, ERR_LIMIT, "no memory");
	h->cells_etc[i] = fd_memfd("etc", b.p, b.n, e);
	return h->cells_etc[i] < 0 ? -1 : 0;
}

static int load_etc(struct launch_host *h, struct err *e)
{
	static const char *const text[HOST_ETC_FILES] = {
		"root:x:0:0:root:/root:/usr/sbin/nologin\n"
		"sandbox:x:1000:1000::/workspace:/bin/bash\n"
		"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n",
		"127.0.0.1 localhost sandbox\n::1 localhost\n",
		"passwd: files\ngroup: files\nhosts: files\n",
	};

	for (unsigned i = 0; i < HOST_ETC_FILES; i++) {
		h->etc[i] = fd_memfd("etc", text[i], strlen(text[i]), e);
		if (h->etc[i] < 0)
			return -1;
		h->cells_etc[i] = h->etc[i];
	}
	if (!h->max_zygotes)
		return 0;
	if (load_cells_etc(h, 0, text[0], e) || load_cells_etc(h, 1, text[1], e))
		return -1;
	return 0;
}

static int load_filter(const char *const *extra, int *ret, struct err *e)
{
	struct sock_fprog prog = {0};

	if (launch_filter_build(extra, &prog, e))
		return -1;
	*ret = fd_memfd("filter", prog.filter, prog.len * sizeof(struct sock_filter),
			e);
	mem_free(prog.filter);
	return *ret < 0 ? -1 : 0;
}

static int load_filters(struct launch_host *h, struct err *e)
{
	if (load_filter(NULL, &h->filters[POL_MAX_RUNTIMES], e))
		return -1;
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if (pol_runtimes[i].syscalls[0] &&
		    load_filter(pol_runtimes[i].syscalls, &h->filters[i], e))
			return -1;
	return 0;
}

static void find_program(const char *const *list, char *dst, size_t size)
{
	dst[0] = '\0';
	for (; *list && !dst[0]; list++)
		if (!access(*list, X_OK))
			snprintf(dst, size, "%s", *list);
}

static void find_runtimes(struct launch_host *h)
{
	struct pol_host *host = &h->facts.host;

	must(pol_runtimes_count <= POL_MAX_RUNTIMES);
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const struct pol_runtime *rt = &pol_runtimes[i];
		const bool two = rt->compile.find[0] && rt->find[0];

		find_program(rt->compile.find[0] ? rt->compile.find : rt->find,
			     host->path[i], sizeof(host->path[i]));
		if (!two)
			continue;
		find_program(rt->find, host->runner[i], sizeof(host->runner[i]));
		if (!host->runner[i][0]) /* half of it is of no use */
			host->path[i][0] = '\0';
	}
}

static void find_top_dirs(struct launch_host *h)
{
	static const char *const dirs[HOST_TOP_DIRS] = {"/bin", "/sbin", "/lib",
							"/lib32", "/lib64"};

	for (unsigned i = 0; i < HOST_TOP_DIRS; i++) {
		char *to = h->top_target[i];
		ssize_t n = readlink(dirs[i], to, sizeof(h->top_target[i]) - 1);
		struct stat st;

		to[n > 0 ? n : 0] = '\0';
		if (n <= 0 && lstat(dirs[i], &st))
			memcpy(to, "-", 2);
	}
}

/* --- uids --------------------------------------------------------------------------------------- */

/* How many there are from that one on. */
static uint64_t uids_from(uint32_t first)
{
	AUTO_BUF b = {0};
	struct sv rest, line;
	bool more = true;

	buf_init(&b, 4096);
	if (fd_read_file("/proc/self/uid_map", &b, NULL))
		return UINT32_MAX;
	rest = buf_view(&b);
	while (sv_cut(&rest, '\n', &more, &line)) {
		uint64_t field[3] = {0, 0, 0}; /* inside, outside, count */
		struct sv part;
		bool m = true;
		unsigned n = 0;

		while (sv_cut(&line, ' ', &m, &part))
			if (part.n && n < 3 && !sv_to_u64(part, &field[n]))
				n++;
		if (n == 3 && first >= field[0] && first - field[0] < field[2])
			return field[2] - (first - field[0]);
	}
	return 0;
}

/* In a container few uids may exist; then a lower range is taken. */
static uint32_t usable_uid_base(uint32_t want)
{
	return uids_from(want) > ALL_UIDS ? want : 40000;
}

uint32_t launch_front_uid(uint32_t uid_base)
{
	return usable_uid_base(uid_base ? uid_base : DEFAULT_UID_BASE) + HOST_MAX_UIDS;
}

uint32_t launch_auth_uid(uint32_t uid_base)
{
	return launch_front_uid(uid_base) + 1;
}

uint32_t launch_fetch_uid(uint32_t uid_base)
{
	return launch_front_uid(uid_base) + 2;
}

#define NO_BLOCK UINT32_MAX

/* Servers of one host take different blocks of uids: each holds a lock on its block's byte for as
 * long as it lives. Without the file (a read-only /run) all take the first, which is said. */
static uint32_t take_uid_block(struct launch_host *h)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	h->uid_lock = open("/run/fumehood.uids",
			   O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (uint32_t i = 0; h->uid_lock >= 0 && i < UID_BLOCKS; i++) {
		l.l_start = i;
		if (!fcntl(h->uid_lock, F_OFD_SETLK, &l))
			return i;
	}
	note(h,
	     "no block of uids of its own (/run/fumehood.uids): another server's sandboxes may "
	     "have the same");
	return NO_BLOCK;
}

/* Those of cells: after all that sandboxes may have, a block for each server there too. In a range of the operator's
 * there is one server, and they come right after its own. Where there are fewer uids, there are fewer zygotes; without
 * the lock there are none, for another server's cells may have the same. */
static void find_cell_uids(struct launch_host *h, uint32_t base, uint32_t block,
			   bool given)
{
	const uint32_t servers = given ? 1 : UID_BLOCKS;
	const uint32_t first = base + (given ? UID_BLOCK_SIZE : ALL_UIDS);
	const uint64_t each = uids_from(first) / servers / GUEST_CELLS;

	if (block == NO_BLOCK)
		return;
	h->max_zygotes =
		each < LAUNCH_MAX_ZYGOTES ? (uint32_t)each : LAUNCH_MAX_ZYGOTES;
	h->cells_base = first + block * h->max_zygotes * GUEST_CELLS;
}

static void find_uids(struct launch_host *h, const struct launch_host_opts *o)
{
	const uint32_t base =
		usable_uid_base(o->uid_base ? o->uid_base : DEFAULT_UID_BASE);
	uint32_t block = 0;

	h->facts.root = geteuid() == 0;
	if (h->facts.root && !o->uid_base)
		block = take_uid_block(h);
	h->uid_base = base + (block == NO_BLOCK ? 0 : block * UID_BLOCK_SIZE);
	if (h->facts.root)
		find_cell_uids(h, base, block, o->uid_base != 0);
	h->uid_count = o->uid_count && o->uid_count < HOST_MAX_UIDS ? o->uid_count
								    : HOST_MAX_UIDS;
}

int launch_host_open(const struct launch_host_opts *o, struct launch_host **ret,
		     struct err *e)
{
	struct launch_host *h = mem_zalloc(sizeof(*h));
	char why[160];
	long abi;

	if (!h)
		return err_set(e, ERR_LIMIT, "no memory");
	h->bwrap = h->guest = h->null = h->uid_lock = h->image = h->cell_object =
		h->ahead_object = -1;
	memset(h->etc, -1, sizeof(h->etc));
	memset(h->cells_etc, -1, sizeof(h->cells_etc));
	memset(h->filters, -1, sizeof(h->filters));
	find_uids(h, o);
	launch_cgroups_open(&h->cgroups, why, sizeof(why));
	h->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (h->null < 0 || find_bwrap(h, o->bwrap_path, e) || ask_bwrap_version(h, e) ||
	    load_guest(h, e) || load_etc(h, e) || load_filters(h, e)) {
		err_set(e, ERR_INTERNAL, "open /dev/null");
		launch_host_free(h);
		return -1;
	}
	judge_bwrap_version(h);
	note(h, why);
	h->facts.cgroup = h->cgroups.kind;
	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* version */);
	h->facts.landlock_abi = abi > 0 ? (uint32_t)abi : 0;
	if (h->facts.landlock_abi < 6)
		note(h, "the kernel's Landlock lacks scopes (ABI 6, Linux 6.12)");
	if (o->image && take_image(h, *o->image, e)) {
		launch_host_free(h);
		return -1;
	}
	find_runtimes(h);
	find_top_dirs(h);
	host_build_argv(h);
	*ret = h;
	return 0;
}

void launch_host_free(struct launch_host *h)
{
	if (!h)
		return;
	fd_close(&h->bwrap);
	fd_close(&h->guest);
	fd_close(&h->cell_object);
	fd_close(&h->ahead_object);
	fd_close(&h->null);
	fd_close(&h->uid_lock);
	fd_close(&h->image);
	for (unsigned i = 0; i < HOST_ETC_FILES; i++) {
		if (h->cells_etc[i] != h->etc[i])
			fd_close(&h->cells_etc[i]);
		fd_close(&h->etc[i]);
	}
	for (unsigned i = 0; i < ARRAY_LEN(h->filters); i++)
		fd_close(&h->filters[i]);
	launch_cgroups_close(&h->cgroups);
	mem_free(h);
}

const struct launch_facts *launch_facts(const struct launch_host *h)
{
	return &h->facts;
}
