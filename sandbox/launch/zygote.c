/* zygote.c: a sandbox that keeps a zygote. What is in its cgroup, none of the cells, is ours: bwrap, the guest, the zygote and
 * a small process for each cell's room. It has bounds in case that we err; its CPU time is what the keeper orders. */
#include "sandbox/launch/zygote.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

/* Those, cells on their way to their own cgroups, and who takes down what has ended. */
#define ZYGOTE_PROCESSES (4 + 3 * GUEST_CELLS)
/* Measured: 12 MiB with Python's modules, 0.45 for each room; an image's modules may be larger. */
#define ZYGOTE_MEMORY_BYTES ((uint64_t)192 << 20)

/* An environment variable for the driver, which removes it. */
#define PRELOAD "FUMEHOOD_PRELOAD="

static int join_words(struct buf *b, const char *const *list)
{
	buf_str(b, PRELOAD);
	for (const char *const *s = list; *s; s++) {
		buf_str(b, s == list ? "" : " ");
		buf_str(b, *s);
	}
	return b->failed ? -1 : 0;
}

static int send_zygote(struct launch_host *h, const struct host_start *how, int line,
		       struct err *e)
{
	static const struct launch_io none = {-1, -1, -1, -1, -1};
	const struct pol_runtime *rt = pol_plan_runtime(how->plan);
	const struct launch_driver *d = launch_zygote_driver(rt->name);
	struct guest_zygote z = {.ahead = d->ahead,
				 .object_fd =
					 d->ahead ? h->ahead_object : h->cell_object};
	AUTO_BUF preload = {0};
	AUTO_FD text = fd_memfd(d->file, d->text, (size_t)(d->end - d->text), e);
	struct ipc_msg m;

	buf_init(&preload, 4096);
	if (text < 0 || join_words(&preload, rt->preload))
		return err_set(e, ERR_LIMIT, "no memory");
	z.driver_fd = text;
	host_describe(h, how->plan, &none, &z.run);
	if (!d->ahead) {
		must(z.run.nenv < GUEST_MAX_ENV);
		z.run.env[z.run.nenv++] = buf_view(&preload);
	}
	ipc_start(&m, GUEST_ZYGOTE, 1);
	guest_put_zygote(&m, &z);
	return ipc_send(line, &m, e);
}

static int take_uids(struct launch_host *h, struct launch_zygote *z, struct err *e)
{
	if (!h->facts.root)
		return 0;
	for (uint32_t i = 0; i < h->max_zygotes; i++)
		if (!h->zygote_taken[i]) {
			h->zygote_taken[i] = z->own_uids = true;
			z->uid_set = i;
			return 0;
		}
	if (h->max_zygotes)
		return err_set(e, ERR_BUSY, "all %u sets of uids for cells are in use",
			       h->max_zygotes);
	err_set(e, ERR_UNAVAILABLE, "there are no uids for cells of their own");
	return err_fix(e,
		       "let /run be written to, or name a range of at least %u uids "
		       "that belong to nobody with --uid-base",
		       HOST_MAX_UIDS + 8 + LAUNCH_MAX_ZYGOTES * GUEST_CELLS);
}

void zygote_settle(struct launch_host *h, struct launch_zygote *z)
{
	if (!z->ended || z->cells)
		return;
	while (z->nspares)
		launch_cgroup_remove(&z->spare[--z->nspares]);
	if (z->own_uids)
		h->zygote_taken[z->uid_set] = false;
	mem_free(z);
}

void zygote_ended(struct launch_host *h, struct launch_sandbox *s)
{
	if (!s->zygote)
		return;
	s->zygote->ended = true;
	zygote_settle(h, s->zygote);
	s->zygote = NULL;
}

int launch_zygote(struct launch_host *h, const struct plan *plan,
		  struct launch_sandbox *ret, struct err *e)
{
	const struct pol_runtime *rt = pol_plan_runtime(plan);
	struct launch_zygote *z;
	struct host_start how = {.plan = plan,
				 .limits = {.processes = ZYGOTE_PROCESSES,
					    .memory_bytes = ZYGOTE_MEMORY_BYTES},
				 .cells = true,
				 .send = send_zygote};

	if (pol_plan_tool(plan) != POL_RUN_CODE || !rt ||
	    !launch_zygote_driver(rt->name))
		return err_set(e, ERR_INVALID, "no zygote can run this");
	z = mem_zalloc(sizeof(*z));
	if (!z)
		return err_set(e, ERR_LIMIT, "no memory");
	z->limits = *pol_plan_limits(plan);
	if (take_uids(h, z, e)) {
		mem_free(z);
		return -1;
	}
	if (z->own_uids)
		how.cell_uid = h->cells_base + z->uid_set * GUEST_CELLS;
	if (host_start(h, &how, ret, e)) {
		z->ended = true;
		zygote_settle(h, z);
		return -1;
	}
	ret->zygote = z;
	return 0;
}
