/* The state folder: made private, and refused where it is not ours alone or not a record. */
#include "led_test.h"

/* A ledger that must not start; the cause, by opening the store here in a child. */
static void refused(const char *dir, const char *says, const char *fix)
{
	struct ledger l;
	int p[2], status;
	struct err e = {0};
	pid_t pid;

	ledger_fork(&l, dir, NULL, NULL, NULL);
	ok(!ledger_ready(&l) && ledger_wait(&l) == 1, "no ledger starts in %s", dir);
	must(!fd_pipe(p, &e));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct led_store s;
		uint32_t n;

		led_store_open(&s, dir, &n, &e);
		_exit(write(p[1], &e, sizeof(e)) != sizeof(e));
	}
	must(read(p[0], &e, sizeof(e)) == sizeof(e));
	waitpid(pid, &status, 0);
	close(p[0]);
	close(p[1]);
	ok(strstr(e.cause, says) && strstr(err_remediation(&e), fix),
	   "\"%s\" and \"%s\" are in \"%s\": %s", says, fix, e.cause,
	   err_remediation(&e));
}

static bool works(const char *dir)
{
	struct ledger l;

	return ledger_start(&l, dir) & (ledger_wait(&l) == 0);
}

static void folders(void)
{
	char path[160], deep[200];
	struct stat st;

	umask(022);
	snprintf(deep, sizeof(deep), "%s/a/b/c//", base_dir);
	ok(works(deep), "missing parents are made");
	ok(!stat(deep, &st) && (st.st_mode & 0777) == 0700, "the last one is 0700");
	snprintf(path, sizeof(path), "%s/a", base_dir);
	ok(!stat(path, &st) && (st.st_mode & 0777) == 0755,
	   "its parents as the umask says");
	must(!chdir(base_dir));
	ok(works("rel/ative") && !stat("rel/ative/audit.db", &st),
	   "a relative path is good");
	snprintf(path, sizeof(path), "%s/link", base_dir);
	must(!symlink("rel", path));
	ok(works("link/ative"), "and one through a symlink");
	refused("", "no state folder", "correct");
	refused("/usr", geteuid() ? "belongs to user id 0" : "open to others",
		geteuid() ? "--state" : "chmod 700");
	must(!mkdir("open", 0750) && !chmod("open", 0750));
	refused("open", "open to others (mode 750)", "chmod 700 open");
	must(!chmod("open", 0700));
	ok(works("open"), "the remedy helps");
	refused("rel/ative/audit.db", "Not a directory", "--state");
	if (!geteuid()) {
		must(!mkdir("other", 0700) && !chown("other", 4242, 4242));
		refused("other", "belongs to user id 4242, not to 0", "chown 0");
	}
}

static void put_file(const char *path, const char *text, mode_t mode)
{
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	must(fd >= 0 && !fd_write_all(fd, text, strlen(text)) && !fchmod(fd, mode));
}

static void files(void)
{
	struct err e = {0};

	must(!mkdir("f1", 0700));
	put_file("f1/audit.db",
		 "this is no database, it is a long text about something else", 0600);
	refused("f1", "damaged", "backup");
	must(!mkdir("f2", 0700));
	put_file("f2/audit.db", "", 0644);
	refused("f2", "audit.db in the state folder is not a private file", "0600");
	must(!mkdir("f3", 0700) && !symlink("../f1/audit.db", "f3/audit.db"));
	refused("f3", "open audit.db", "");
	must(!mkdir("f4", 0700));
	put_file("f4/audit.db", "", 0600);
	must(!raw_exec("f4", "CREATE TABLE notes(x)"));
	refused("f4", "is not a record of fumehood", "move the file away");
	ok(raw_int("f4", "SELECT count(*) FROM sqlite_schema") == 1,
	   "which is left as it was");
	ok(works("f5") && !raw_exec("f5", "PRAGMA user_version=2"),
	   "a record of the future");
	refused("f5", "newer fumehood (schema 2, this one knows 1)",
		"use that version");
	ok(verify("f5", &e) == -1 && strstr(e.cause, "newer fumehood"),
	   "readers say so too");
	must(!mkdir("f6", 0700) && !mkfifo("f6/lock", 0600));
	refused("f6", "lock in the state folder is not", "");
	err_clear(&e);
	ok(verify("nowhere", &e) == -1 && e.code == ERR_NOT_FOUND, "%s", e.cause);
	must(!mkdir("f7", 0700));
	err_clear(&e);
	ok(verify("f7", &e) == -1 && e.code == ERR_NOT_FOUND, "%s", e.cause);
}

/* Each page of a sound record is overwritten in turn: an error, never a crash or "intact". */
static void damaged_pages(void)
{
	AUTO_BUF whole = {.max = (size_t)4 << 20};
	struct ledger l;
	struct err e = {0};
	size_t wrong = 0, pages;
	char run[32];

	must(ledger_start(&l, "good"));
	for (unsigned i = 0; i < 100; i++) {
		snprintf(run, sizeof(run), "run_%u", i);
		must(ask_intent(&l, run) == LED_ACK && ask_outcome(&l, run) == LED_ACK);
	}
	ledger_wait(&l);
	must(!fd_read_file("good/audit.db", &whole, &e));
	pages = whole.n / 2048;
	must(!mkdir("bad", 0700));
	for (size_t at = 0; at < pages; at++) {
		AUTO_FD fd = open("bad/audit.db",
				  O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		char junk[2048];

		memset(junk, 0x5a, sizeof(junk));
		must(!fd_write_all(fd, whole.p, whole.n) &&
		     pwrite(fd, junk, sizeof(junk), (off_t)(at * 2048)) ==
			     sizeof(junk));
		err_clear(&e);
		if (verify("bad", &e) != -1 || !e.cause[0])
			wrong++;
	}
	ok(pages > 10 && !wrong, "each of %zu pages turned into junk is found", pages);
}

static void moved_away(void)
{
	struct ledger l;

	must(ledger_start(&l, "mv"));
	ok(ask_intent(&l, "run_1") == LED_ACK, "a server runs");
	must(!rename("mv/audit.db", "mv/was.db"));
	ok(ask_intent(&l, "run_2") == LED_NAK, "nothing is recorded into a moved file");
	must(!rename("mv/was.db", "mv/audit.db"));
	ok(ask_outcome(&l, "run_1") == LED_ACK, "back in its place it is good again");
	must(!unlink("mv/lock"));
	ok(ask_intent(&l, "run_3") == LED_NAK,
	   "nor without the lock others would look at");
	ok(ledger_wait(&l) == 1, "the end is told as an error");
}

static void read_only(void)
{
	struct ledger l;

	if (geteuid()) {
		must(works("ro") && !chmod("ro/audit.db", 0400));
		ledger_fork(&l, "ro", NULL, NULL, NULL);
		ok(!ledger_ready(&l) && ledger_wait(&l) == 1,
		   "a file we may not write to");
		return;
	}
	ledger_fork(&l, "/proc/fumehood", NULL, NULL, NULL);
	ok(!ledger_ready(&l) && ledger_wait(&l) == 1,
	   "a file system that takes no folder");
}

int main(void)
{
	folder_new();
	folders();
	files();
	damaged_pages();
	moved_away();
	read_only();
	must(!chdir("/"));
	folder_end();
	return tap_done();
}
