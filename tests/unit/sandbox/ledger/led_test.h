/* led_test.h: what the ledger's tests share: a folder, a ledger process, records, raw SQL. */
#ifndef LED_TEST_H
#define LED_TEST_H

#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/records.h"
#include "sandbox/ledger/store.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static char base_dir[64];	/* removed at the end */
static char state_dir[96];	/* base_dir/state, not made yet */

UNUSED static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	(void)st;
	(void)kind;
	(void)f;
	return remove(path);
}

UNUSED static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

UNUSED static void folder_new_in(const char *where)
{
	alarm(300); /* a test that hangs is a test that fails */
	snprintf(base_dir, sizeof(base_dir), "%s/t_ledger.XXXXXX", where);
	must(mkdtemp(base_dir));
	snprintf(state_dir, sizeof(state_dir), "%s/state", base_dir);
}

UNUSED static void folder_new(void)
{
	folder_new_in("/tmp");
}

UNUSED static void folder_end(void)
{
	remove_tree(base_dir);
}

/* A test that cannot run says so, and fails where it must. */
UNUSED static void skip(const char *why)
{
	const char *must_run = getenv("MUST_RUN");

	if (must_run && sv_eq(sv_of(must_run), SV("1")))
		ok(0, "cannot run: %s", why);
	else
		ok(1, "# SKIP %s", why);
}

/* --- a ledger process ------------------------------------------------------------- */

struct ledger {
	pid_t pid;
	int sock;
	uint64_t last_seq;	/* from LED_READY */
	uint32_t orphans;
};

/* Receives one record; its type, or 0 when the ledger has gone. */
UNUSED static uint32_t ledger_recv(struct ledger *l, struct ipc_msg *m)
{
	struct err e = {0};

	return ipc_recv(l->sock, m, &e) == 1 ? m->type : 0;
}

/* Starts led_main in a child, silent on stderr unless TEST_VERBOSE is set; `before` runs in
 * the child first. */
UNUSED static void ledger_fork(struct ledger *l, const char *dir, void (*before)(void *),
			       int (*confine)(void *), void *arg)
{
	struct timeval patience = {.tv_sec = 20};
	struct err e = {0};
	int pair[2];

	must(!fd_socketpair(pair, &e));
	fflush(stdout);
	l->pid = fork();
	must(l->pid >= 0);
	if (!l->pid) {
		struct led_opts o = {.sock = pair[1], .state_dir = dir};

		if (!getenv("TEST_VERBOSE"))
			must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2) == 2);
		/* a copy of another ledger's socket would keep that one from its end, and of a
		 * locked file would keep the lock; the real role is executed and has none */
		must(dup2(pair[1], 3) == 3 && !close_range(4, ~0u, 0));
		o.sock = 3;
		if (before)
			before(arg);
		_exit(led_main(&o, confine, arg));
	}
	close(pair[1]);
	l->sock = pair[0];
	setsockopt(l->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Waits for LED_READY; false when the ledger ended first. */
UNUSED static bool ledger_ready(struct ledger *l)
{
	struct ipc_msg m;

	if (ledger_recv(l, &m) != LED_READY)
		return false;
	l->last_seq = ipc_get_u64(&m);
	l->orphans = ipc_get_u32(&m);
	return ipc_end(&m);
}

UNUSED static bool ledger_start(struct ledger *l, const char *dir)
{
	ledger_fork(l, dir, NULL, NULL, NULL);
	return ledger_ready(l);
}

/* Waits for the end: the exit code, or minus the signal. */
UNUSED static int ledger_wait(struct ledger *l)
{
	int status = 0;

	fd_close(&l->sock);
	while (waitpid(l->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* --- records ---------------------------------------------------------------------- */

UNUSED static struct led_intent sample_intent(const char *run)
{
	struct led_intent x = {.run_id = sv_of(run),
			       .principal = SV("local"),
			       .tool = SV("run_code"),
			       .runtime = SV("python"),
			       .code_bytes = 17,
			       .wall_ms = 10000,
			       .memory_bytes = (uint64_t)256 << 20,
			       .processes = 64,
			       .output_bytes = UINT64_MAX};

	memset(x.code_sha256, 0xab, sizeof(x.code_sha256));
	return x;
}

UNUSED static struct led_outcome sample_outcome(const char *run)
{
	return (struct led_outcome){.run_id = sv_of(run),
				    .status = SV("exited"),
				    .exit_code = 3,
				    .duration_us = 12345,
				    .cpu_us = 999};
}

/* Sends m; the type of the answer (0: the ledger has gone) and its seq, if it is an ack. */
UNUSED static uint32_t ask(struct ledger *l, struct ipc_msg *m, uint64_t *ret_seq)
{
	struct err e = {0};
	uint64_t id = m->id;
	uint32_t type;

	if (ipc_send(l->sock, m, &e))
		return 0;
	type = ledger_recv(l, m);
	if (type && m->id != id)
		return UINT32_MAX;
	if (type == LED_ACK && ret_seq)
		*ret_seq = ipc_get_u64(m);
	return type;
}

UNUSED static uint32_t ask_intent(struct ledger *l, const char *run)
{
	struct led_intent x = sample_intent(run);
	struct ipc_msg m;

	ipc_start(&m, LED_INTENT, 7);
	led_put_intent(&m, &x);
	return ask(l, &m, NULL);
}

UNUSED static uint32_t ask_outcome(struct ledger *l, const char *run)
{
	struct led_outcome x = sample_outcome(run);
	struct ipc_msg m;

	ipc_start(&m, LED_OUTCOME, 8);
	led_put_outcome(&m, &x);
	return ask(l, &m, NULL);
}

UNUSED static uint32_t ask_event(struct ledger *l, struct sv kind, struct sv detail)
{
	struct led_event x = {.kind = kind, .detail = detail};
	struct ipc_msg m;

	ipc_start(&m, LED_EVENT, 9);
	led_put_event(&m, &x);
	return ask(l, &m, NULL);
}

/* --- the audit commands and raw SQL ----------------------------------------------- */

/* Rows of an intact record, or -1 with e. */
UNUSED static int64_t verify(const char *dir, struct err *e)
{
	struct led_query q = {.state_dir = dir};
	FILE *out = fopen("/dev/null", "w");
	uint64_t rows = 0;
	int rc = led_audit_verify(&q, out, &rows, e);

	fclose(out);
	return rc ? -1 : (int64_t)rows;
}

/* What a command prints; owned by the caller (buf). rc is its return value. */
UNUSED static int printed(int (*cmd)(const struct led_query *, FILE *, struct err *),
			  const struct led_query *q, struct buf *ret, struct err *e)
{
	FILE *f = tmpfile();
	char tmp[4096];
	size_t n;
	int rc = cmd(q, f, e);

	rewind(f);
	buf_init(ret, (size_t)1 << 20);
	while ((n = fread(tmp, 1, sizeof(tmp), f)) > 0)
		buf_add(ret, tmp, n);
	fclose(f);
	return rc;
}

UNUSED static int verify_cmd(const struct led_query *q, FILE *out, struct err *e)
{
	return led_audit_verify(q, out, NULL, e);
}

UNUSED static bool has(const struct buf *b, const char *text)
{
	return strstr(buf_cstr(b), text) != NULL;
}

UNUSED static sqlite3 *raw_open(const char *dir)
{
	char path[160];
	sqlite3 *db = NULL;

	snprintf(path, sizeof(path), "%s/audit.db", dir);
	must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	return db;
}

/* Runs SQL on the record from outside; SQLite's result code. */
UNUSED static int raw_exec(const char *dir, const char *sql)
{
	sqlite3 *db = raw_open(dir);
	char *text = NULL;
	int rc = sqlite3_exec(db, sql, NULL, NULL, &text);

	if (rc && getenv("TEST_VERBOSE"))
		printf("# %s: %s\n", sql, text);
	sqlite3_free(text);
	sqlite3_close(db);
	return rc;
}

UNUSED static int64_t raw_int(const char *dir, const char *sql)
{
	sqlite3 *db = raw_open(dir);
	sqlite3_stmt *st = NULL;
	int64_t v = -1;

	if (!sqlite3_prepare_v2(db, sql, -1, &st, NULL) && sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return v;
}

#define UNLOCK_SQL "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;"

#endif
