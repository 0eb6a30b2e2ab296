/* instance.c: servers that share a state folder: who lives, and closing the intents of the dead.
 *
 * Theory of operation. An instance takes its id from the table and the lock on byte <id> of
 * DIR/lock while it holds the opening lock, in the transaction that also closes the dead: so
 * nobody ever sees an id without its lock but those of the dead. A kill before the commit
 * leaves no row; one after it leaves a row whose byte is free, which the next start finds. */
#include "sandbox/ledger/store.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/loop.h"
#include "sandbox/ledger/records.h"

#include <fcntl.h>
#include <unistd.h>

#define LIVE_MAX_BYTES ((size_t)1 << 20)

static struct sv read_boot_id(char *mem, size_t size)
{
	AUTO_FD fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, mem, size);

	return sv_trim((struct sv){mem, n < 0 ? 0 : (size_t)n});
}

static int add_instance(struct led_store *s, struct sv boot_id, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_INSTANCE_ADD, e);

	if (!st)
		return -1;
	led_bind_sv(st, 1, boot_id);
	sqlite3_bind_int64(st, 2, (int64_t)loop_wall_us());
	if (led_step(s, st, "register this server", e))
		return -1;
	s->instance = sqlite3_last_insert_rowid(s->db);
	return led_lock(s->lock, s->instance, 0, e);
}

static int mark_ended(struct led_store *s, int64_t id, const char *how, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_INSTANCE_END, e);

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, id);
	sqlite3_bind_int64(st, 2, (int64_t)loop_wall_us());
	led_bind_sv(st, 3, sv_of(how));
	return led_step(s, st, "mark a server ended", e);
}

/* Writes `unknown` for the run in the row st stands on. */
static int close_one(struct led_store *s, sqlite3_stmt *st, int64_t instance,
		     const char *reason, struct err *e)
{
	AUTO_BUF text = {.max = LED_MAX_BODY}, body = {.max = LED_MAX_BODY};
	struct sv run_id = led_col(st, 0), principal = led_col(st, 2);
	struct led_entry x = {
		.effect = LED_CLOSES, .dead = instance, .kind = SV("unknown")};
	struct jw w;

	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "reason", sv_of(reason));
	jw_kint(&w, "intent_seq", sqlite3_column_int64(st, 1));
	jw_kint(&w, "instance", instance);
	jw_obj_end(&w);
	buf_sv(&text, run_id);
	buf_sv(&text, principal);
	/* the deletion must not find the row still being read */
	sqlite3_reset(st);
	if (text.failed || body.failed)
		return err_set(e, ERR_LIMIT, "out of memory closing a run");
	x.run_id = (struct sv){text.p, run_id.n};
	x.principal = (struct sv){text.p + run_id.n, principal.n};
	x.body = buf_view(&body);
	return led_append_in_tx(s, &x, NULL, e);
}

static int close_open_runs(struct led_store *s, int64_t instance, const char *reason,
			   uint32_t *count, struct err *e)
{
	for (;; ++*count) {
		sqlite3_stmt *st = led_stmt(s, LED_SQL_OPEN_FIRST, e);
		int rc;

		if (!st)
			return -1;
		sqlite3_bind_int64(st, 1, instance);
		rc = led_step(s, st, "look for open runs", e);
		if (rc <= 0)
			return rc;
		if (close_one(s, st, instance, reason, e))
			return -1;
	}
}

/* 1 with the next instance not marked ended in *id, 0 none left, -1 error. */
static int next_unended(struct led_store *s, int64_t *id, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_INSTANCE_NEXT, e);
	int rc;

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, *id);
	rc = led_step(s, st, "look for other servers", e);
	if (rc == 1) {
		*id = sqlite3_column_int64(st, 0);
		sqlite3_reset(st);
	}
	return rc;
}

static int bury_the_dead(struct led_store *s, uint32_t *ret_orphans, struct err *e)
{
	int64_t id = 0;
	int rc;

	while ((rc = next_unended(s, &id, e)) == 1) {
		if (id == s->instance || led_is_locked(s->lock, id))
			continue;
		if (close_open_runs(s, id, "server died", ret_orphans, e) ||
		    mark_ended(s, id, "found dead", e))
			return -1;
	}
	return rc;
}

static int append_own(struct led_store *s, struct sv kind, const struct buf *body,
		      struct err *e)
{
	struct led_entry x = {.kind = kind, .body = buf_view(body)};

	if (body->failed)
		return err_set(e, ERR_LIMIT, "out of memory");
	return led_append_in_tx(s, &x, NULL, e);
}

int led_instance_start(struct led_store *s, uint32_t *ret_orphans, struct err *e)
{
	AUTO_BUF body = {.max = LED_MAX_BODY};
	uint32_t orphans = 0;
	char mem[64];
	struct sv boot_id = read_boot_id(mem, sizeof(mem));
	struct jw w;

	if (add_instance(s, boot_id, e) || bury_the_dead(s, &orphans, e))
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "version", SV(FUMEHOOD_VERSION));
	jw_kstr(&w, "boot_id", boot_id);
	jw_kint(&w, "pid", getpid());
	jw_kint(&w, "orphans_closed", orphans);
	jw_obj_end(&w);
	if (append_own(s, SV("start"), &body, e))
		return -1;
	*ret_orphans = orphans;
	return 0;
}

int led_instance_end(struct led_store *s, const char *reason, bool stop_written,
		     struct err *e)
{
	AUTO_BUF body = {.max = LED_MAX_BODY};
	uint32_t closed = 0;
	struct jw w;

	if (close_open_runs(s, s->instance, reason, &closed, e))
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "reason", sv_of(reason));
	jw_kint(&w, "runs_closed", closed);
	jw_obj_end(&w);
	if (!stop_written && append_own(s, SV("stop"), &body, e))
		return -1;
	return mark_ended(s, s->instance, "stopped", e);
}

/* --- who lives -------------------------------------------------------------------- */

static int load_ids(struct led_store *s, struct led_live *l, struct err *e)
{
	int64_t id = 0;
	int rc;

	while ((rc = next_unended(s, &id, e)) == 1)
		if (led_is_locked(s->lock, id))
			buf_add(&l->ids, &id, sizeof(id));
	if (!rc && l->ids.failed)
		return err_set(e, ERR_LIMIT, "out of memory listing servers");
	return rc;
}

int led_live_load(struct led_store *s, struct led_live *ret, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_INSTANCE_MAX, e);
	int rc = st ? led_step(s, st, "look for servers", e) : -1;

	*ret = (struct led_live){0};
	buf_init(&ret->ids, LIVE_MAX_BYTES);
	if (rc != 1)
		return -1;
	ret->max_id = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return load_ids(s, ret, e);
}

void led_live_finish(struct led_live *l)
{
	buf_finish(&l->ids);
}

bool led_live_has(const struct led_live *l, int64_t id)
{
	if (id > l->max_id)
		return true;
	for (size_t at = 0; at < l->ids.n; at += sizeof(id)) {
		int64_t one;

		memcpy(&one, l->ids.p + at, sizeof(one));
		if (one == id)
			return true;
	}
	return false;
}
