/* A store whose process dies, or whose disk fails, at every single call: what was acknowledged is there, each object is
 * whole, and nothing is left over. */
#include "store_test.h"

#include <sys/syscall.h>

/* In place of the C library's. The calls that change the disk are counted, and one of them is struck. */
enum how { NOTHING, DIES_BEFORE, DIES_AFTER, DIES_HALFWAY, FAILS };
static struct {
	enum how how;
	unsigned at, calls;
	int error;
	char log[4096]; /* a letter for each */
} plan;

/* True: the call is not to be made, and has failed. */
static bool strikes(char letter)
{
	if (plan.calls < sizeof(plan.log) - 1)
		plan.log[plan.calls] = letter;
	if (++plan.calls != plan.at)
		return false;
	if (plan.how == DIES_BEFORE)
		_exit(99);
	errno = plan.error;
	return plan.how == FAILS;
}

static long after(long rc)
{
	if (plan.calls == plan.at &&
	    (plan.how == DIES_AFTER || plan.how == DIES_HALFWAY))
		_exit(99);
	return rc;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (strikes('w'))
		return -1;
	if (plan.calls == plan.at && plan.how == DIES_HALFWAY)
		n /= 2;
	return after(syscall(SYS_pwrite64, fd, p, n, at));
}

int fsync(int fd)
{
	struct stat st;

	must(!fstat(fd, &st));
	return strikes(S_ISDIR(st.st_mode) ? 'd' : 'f')
		       ? -1
		       : (int)after(syscall(SYS_fsync, fd));
}

int renameat(int a, const char *from, int b, const char *to)
{
	return strikes('r') ? -1 : (int)after(syscall(SYS_renameat, a, from, b, to));
}

int unlinkat(int dir, const char *name, int flags)
{
	return strikes('u') ? -1 : (int)after(syscall(SYS_unlinkat, dir, name, flags));
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	return strikes('m') ? -1 : (int)after(syscall(SYS_mkdirat, dir, name, mode));
}

/* --- what is done, and what is acknowledged ------------------------------------------------ */

struct acks {
	unsigned done; /* steps acknowledged */
	uint64_t generation; /* of the manifest */
	bool tried; /* the next generation is being put */
	unsigned char small[WS_ID_BYTES], big[WS_ID_BYTES];
};
static struct acks *acks; /* shared with the child */

static int put_manifest(struct ws_store *st, struct err *e)
{
	const uint64_t next = acks->generation + 1;
	unsigned char id[WS_ID_BYTES];

	acks->tried = true;
	if (put(st, by_name("manifest", next), content((size_t)next * 1000), id, e) ||
	    ws_store_flush(st, e))
		return -1;
	acks->generation = next;
	acks->tried = false;
	return 0;
}

static int steps(struct ws_store *st, struct err *e)
{
	unsigned char id[WS_ID_BYTES], big[WS_ID_BYTES];

	if (put(st, by_content(NULL), content(10), id, e) ||
	    put(st, by_content(NULL), content(BIG), big, e) || ws_store_flush(st, e))
		return -1;
	memcpy(acks->small, id, sizeof(id));
	memcpy(acks->big, big, sizeof(big));
	acks->done = 1;
	if (put_manifest(st, e))
		return -1;
	acks->done = 2;
	/* again what is there, something that is given up, and something new */
	if (put(st, by_content(NULL), content(BIG), id, e) ||
	    ws_put_start(st, &(struct ws_object){.what = "y"}, e) ||
	    ws_seal_add(opts.seal, bytes, BIG, e))
		return -1;
	ws_put_drop(st);
	if (put_manifest(st, e))
		return -1;
	acks->done = 3;
	if (ws_delete(st, acks->small, e) || put_manifest(st, e))
		return -1;
	acks->done = 4;
	return 0;
}

static int scenario(struct err *e)
{
	struct ws_store st;
	int rc;

	if (ws_store_open(&st, &opts, e))
		return -1;
	rc = steps(&st, e);
	ws_store_finish(&st);
	return rc;
}

/* --- what must hold afterwards ------------------------------------------------------------- */

static struct ws_store *looked_at;
static unsigned n_objects;
static void on_object(void *arg, const unsigned char *id, uint64_t sealed_bytes)
{
	unsigned char name[WS_ID_BYTES];
	struct err e = {0};

	(void)arg;
	(void)sealed_bytes;
	n_objects++;
	ws_id_of_name(key, SV("manifest"), name);
	if (!memcmp(id, name, sizeof(name)))
		return;
	must(!get(looked_at, by_content(id), content(10), &e) ||
	     !get(looked_at, by_content(id), content(BIG), &e));
}

static bool holds(void)
{
	struct ws_store st;
	struct err e = {0};
	const uint64_t g = acks->generation;
	bool good = !ws_store_open(&st, &opts, &e);

	must(good);
	looked_at = &st;
	n_objects = 0;
	must(!ws_each(&st, on_object, NULL, &e)); /* each is whole */
	if (acks->done >= 1)
		good = good && !get(&st, by_content(acks->big), content(BIG), &e);
	if (acks->done >= 1 && acks->done < 3)
		good = good && !get(&st, by_content(acks->small), content(10), &e);
	/* the one that was acknowledged, or the one that was on its way */
	if (g || acks->tried)
		good = good &&
		       (!get(&st, by_name("manifest", g), content((size_t)g * 1000),
			     &e) ||
			(acks->tried && !get(&st, by_name("manifest", g + 1),
					     content((size_t)(g + 1) * 1000), &e)) ||
			!g);
	good = good && n_objects <= 3;
	if (!good)
		printf("# %u calls (%s), %u done: %s\n", plan.at, plan.log, acks->done,
		       e.cause);
	ws_store_finish(&st);
	return good;
}

/* Nothing but objects in the folder, once it was opened. */
static bool is_clean(void)
{
	char folder[WS_STORE_NAME_SIZE];

	ws_store_name(ws_key_name(key), folder);
	for (unsigned i = 0; i < 8; i++) {
		char path[220];

		snprintf(path, sizeof(path), "%s/%s/new.%u", base_dir, folder, i);
		if (!access(path, F_OK))
			return false;
	}
	return true;
}

static void begin(enum how how, unsigned at, int error)
{
	plan.how = NOTHING;
	must(!ws_store_destroy(opts.parent, ws_key_name(key), NULL));
	memset(acks, 0, sizeof(*acks));
	memset(&plan, 0, sizeof(plan));
	plan.how = how;
	plan.at = at;
	plan.error = error;
}

static unsigned count(void)
{
	struct err e = {0};
	unsigned n;
	bool good;

	begin(NOTHING, 0, 0);
	good = !scenario(&e) && acks->done == 4;
	n = plan.calls;
	ok(good && holds(), "the control: %s %s", plan.log, e.cause);
	return n;
}

static void killed(enum how how, const char *name, unsigned n)
{
	unsigned died = 0, good = 0;

	for (unsigned at = 1; at <= n; at++) {
		int status;
		pid_t pid;

		begin(how, at, 0);
		pid = fork();
		must(pid >= 0);
		if (!pid) { /* keys are not inherited */
			const int parent = opts.parent;

			store_new();
			opts.parent = parent;
			_exit(scenario(NULL) ? 1 : 0);
		}
		must(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		died += WEXITSTATUS(status) == 99;
		plan.how = NOTHING;
		good += holds() && is_clean();
	}
	ok(died == n && good == n,
	   "killed %s each of %u calls (%u): all that was acknowledged is there (%u)",
	   name, n, died, good);
}

static void fails(int error, unsigned n)
{
	unsigned told = 0, went_on = 0, good = 0;

	for (unsigned at = 1; at <= n; at++) {
		struct err e = {0};

		begin(FAILS, at, error);
		if (scenario(&e))
			told += e.cause[0] && e.sys == error;
		else
			went_on++; /* a name that was to be given up could not be removed */
		plan.how = NOTHING;
		good += holds() && is_clean();
		/* and when the disk has room again all goes on */
		must(!ws_store_destroy(opts.parent, ws_key_name(key), NULL));
		memset(acks, 0, sizeof(*acks));
		good += !scenario(&e);
	}
	ok(told + went_on == n && went_on <= 2 && good == 2 * n,
	   "%s at each of %u calls: told %u, went on %u, right %u", strerror(error), n,
	   told, went_on, good);
}

/* Every byte is synced before its file gets its name, and every name before it is acknowledged. */
static void in_order(void)
{
	const char *last_write, *last_sync, *first_rename, *last_rename, *last_dir;
	unsigned char id[WS_ID_BYTES];
	struct ws_store st;
	unsigned files = 0;

	begin(NOTHING, 0, 0);
	must(!ws_store_open(&st, &opts, NULL));
	memset(&plan, 0, sizeof(plan));
	for (size_t i = 1; i <= 3; i++)
		must(!put(&st, by_content(NULL), content(i * 60000), id, NULL));
	must(!ws_store_flush(&st, NULL));
	last_write = strrchr(plan.log, 'w');
	last_sync = strrchr(plan.log, 'f');
	first_rename = strchr(plan.log, 'r');
	last_rename = strrchr(plan.log, 'r');
	last_dir = strrchr(plan.log, 'd');
	for (const char *p = plan.log; *p; p++)
		files += *p == 'f' && p > last_write;
	ok(files == 3 && last_write < last_sync && last_sync < first_rename &&
		   last_rename < last_dir,
	   "written, synced, renamed, and the folder synced: %s", plan.log);
	ws_store_finish(&st);
}

int main(void)
{
	unsigned n;

	folder_new();
	acks = mmap(NULL, sizeof(*acks), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(acks != MAP_FAILED);
	store_new();
	n = count();
	in_order();
	killed(DIES_BEFORE, "before", n);
	killed(DIES_AFTER, "after", n);
	killed(DIES_HALFWAY, "halfway through", n);
	fails(ENOSPC, n);
	fails(EIO, n);
	store_end();
	folder_end();
	return tap_done();
}
