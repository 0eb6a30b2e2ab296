/* A disk that is full or fails: the record is refused with its cause, and the chain stands. */
#include "led_io.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

static void fail_at(long at, int err, bool sync_only)
{
	io->calls = 0;
	io->hit = false;
	io->at = at;
	io->err = err;
	io->sync_only = sync_only;
	io->mode = IO_FAIL;
}

static bool nak_says(struct ledger *l, const char *run, const char *text)
{
	struct led_intent x = sample_intent(run);
	char cause[400] = "";
	struct ipc_msg m;

	ipc_start(&m, LED_INTENT, 5);
	led_put_intent(&m, &x);
	if (ask(l, &m, NULL) != LED_NAK)
		return false;
	ipc_get_cstr(&m, cause, sizeof(cause));
	return ipc_end(&m) && strstr(cause, text);
}

static void full_for_a_while(void)
{
	struct ledger l;
	struct err e = {0};

	ledger_fork(&l, state_dir, io_install, NULL, NULL);
	ok(ledger_ready(&l) && ask_intent(&l, "run_1") == LED_ACK, "a run begins");
	fail_at(0, ENOSPC, false);
	ok(nak_says(&l, "run_2", "is full"),
	   "no space: the intent is refused, and says why");
	ok(ask_outcome(&l, "run_1") == LED_NAK, "so is an outcome");
	fail_at(0, EIO, false);
	ok(nak_says(&l, "run_2", "I/O error"), "an I/O error is told as one");
	ok(verify(state_dir, &e) == 2, "the chain stands: %s", e.cause);
	io->mode = IO_PASS;
	ok(ask_outcome(&l, "run_1") == LED_ACK && ask_intent(&l, "run_2") == LED_ACK,
	   "with space again it goes on");
	ok(ledger_wait(&l) == 0 && verify(state_dir, &e) == 6, "to a good end %s",
	   e.cause);
}

static void full_at_the_end(void)
{
	struct ledger l;
	struct err e = {0};

	ledger_fork(&l, state_dir, io_install, NULL, NULL);
	ok(ledger_ready(&l) && ask_intent(&l, "run_3") == LED_ACK, "a run begins");
	fail_at(0, ENOSPC, false);
	ok(ledger_wait(&l) == 1, "no space for its end: the ledger's end is an error");
	io->mode = IO_PASS;
	ok(ledger_start(&l, state_dir) && l.orphans == 1 && ledger_wait(&l) == 0,
	   "the next start closes it");
	ok(verify(state_dir, &e) > 6, "the chain stands: %s", e.cause);
}

static void start_refused(int err, const char *what)
{
	struct ledger l;
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/none%d", base_dir, err);
	fail_at(0, err, false);
	ledger_fork(&l, dir, io_install, NULL, NULL);
	ok(!ledger_ready(&l) && ledger_wait(&l) == 1, "%s: it does not start", what);
	io->mode = IO_PASS;
	ok(ledger_start(&l, dir) && ledger_wait(&l) == 0, "%s: later it does", what);
}

/* Each write of a session fails once. */
static void one_write_fails(int err, const char *what)
{
	struct err e = {0};
	long n, wrong = 0;
	char dir[128], a[32], b[32];

	snprintf(dir, sizeof(dir), "%s/one%d", base_dir, err);
	for (n = 1; n < 2000; n++) {
		struct ledger l;

		snprintf(a, sizeof(a), "run_a%ld", n);
		snprintf(b, sizeof(b), "run_b%ld", n);
		remove_tree(dir);
		fail_at(n, err, false);
		ledger_fork(&l, dir, io_install, NULL, NULL);
		if (ledger_ready(&l)) {
			bool open = ask_intent(&l, a) == LED_ACK;

			open = open || ask_intent(&l, a) == LED_ACK;
			wrong += !open || ask_intent(&l, b) == 0;
			ask_outcome(&l, a);
		}
		ledger_wait(&l);
		err_clear(&e);
		if (!io->hit)
			break;
		io->mode = IO_PASS;
		/* early ones leave no record, or one without rows */
		if (verify(dir, &e) < 0 && e.code != ERR_NOT_FOUND)
			wrong++;
	}
	ok(n > 20 && n < 2000 && !wrong,
	   "%s at each of %ld writes: the chain stands %s", what, n - 1, e.cause);
	io->mode = IO_PASS;
}

static void sync_fails(void)
{
	struct ledger l;
	struct err e = {0};
	struct ipc_msg m;

	ledger_fork(&l, state_dir, io_install, NULL, NULL);
	must(ledger_ready(&l));
	fail_at(1, EIO, true);
	ok(ask_intent(&l, "run_s") == LED_ACK, "a run begins");
	ok(ledger_recv(&l, &m) == 0 && ledger_wait(&l) == 1 && io->hit,
	   "an fsync fails: the ledger ends at once rather than promise what may be lost");
	io->mode = IO_PASS;
	ok(verify(state_dir, &e) > 0, "the chain stands %s", e.cause);
}

static void synced_in_time(void)
{
	struct ledger l;
	uint64_t t0;

	ledger_fork(&l, state_dir, io_install, NULL, NULL);
	must(ledger_ready(&l));
	fail_at(LONG_MAX, EIO, true); /* only counts */
	ok(ask_intent(&l, "run_t") == LED_ACK, "a run begins");
	t0 = loop_now_us();
	while (!((volatile struct io_plan *)io)->calls && loop_now_us() - t0 < 5000000)
		usleep(1000);
	ok(io->calls > 0 && loop_now_us() - t0 < 1000000,
	   "its row is synced soon, though nothing follows it (after %" PRIu64 " us)",
	   loop_now_us() - t0);
	io->mode = IO_PASS;
	ledger_wait(&l);
}

/* A real file system that fills up, in a mount namespace of its own. */
static int real_disk(void)
{
	struct ledger l;
	char run[32], fill[160];
	unsigned i, acked = 0;
	struct err e = {0};
	static char junk[65536];
	AUTO_FD fd = -1;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mkdir(state_dir, 0700) ||
	    mount("none", state_dir, "tmpfs", 0, "size=1m,mode=0700"))
		return 77;
	if (!ledger_start(&l, state_dir))
		return 1;
	snprintf(fill, sizeof(fill), "%s/fill", state_dir);
	fd = open(fill, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, junk, sizeof(junk)) > 0)
		continue;
	for (i = 0; i < 200; i++) {
		snprintf(run, sizeof(run), "run_%u", i);
		acked += ask_intent(&l, run) == LED_ACK;
	}
	fd_close(&fd);
	if (acked == 200 || !nak_says(&l, "run_x", "is full"))
		return 2;
	if (verify(state_dir, &e) != 1 + (int64_t)acked || unlink(fill))
		return 3;
	if (ask_intent(&l, "run_y") != LED_ACK || ledger_wait(&l) ||
	    verify(state_dir, &e) != 3 + 2 * (int64_t)acked + 1)
		return 4;
	return 0;
}

static void real_disk_in_child(void)
{
	int status = 0;
	pid_t pid;

	remove_tree(state_dir);
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(real_disk());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip("a mount namespace needs root");
	else
		ok(!status, "a tmpfs that fills up and empties again (step %d)",
		   WEXITSTATUS(status));
}

int main(void)
{
	folder_new();
	io_new();
	full_for_a_while();
	full_at_the_end();
	start_refused(ENOSPC, "no space");
	start_refused(EIO, "an I/O error");
	start_refused(EROFS, "a read-only file system");
	one_write_fails(ENOSPC, "no space");
	one_write_fails(EIO, "an I/O error");
	sync_fails();
	synced_in_time();
	real_disk_in_child();
	folder_end();
	return tap_done();
}
