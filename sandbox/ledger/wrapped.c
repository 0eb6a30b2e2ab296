/* wrapped.c: keys of tenants and workspaces, wrapped with others: kept, given out, destroyed, wrapped anew.
 *
 * Theory of operation. A key that was destroyed must be in no file of ours: a row that is deleted or replaced is
 * overwritten with zeroes in its page (secure_delete), the write-ahead log, which has the page as it was, is copied
 * into the database and then cut to nothing. What was only just put must not be lost to a power cut, as objects
 * sealed with it are not: each change is synced before it is answered. Both are rare. */
#include "sandbox/base/json.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/records.h"
#include "sandbox/ledger/store.h"

#include <sodium.h>
#include <unistd.h>

#define OPENING_MS 10000
#define HEX_SIZE (2 * LED_ROOT_NAME_BYTES + 1)
#define AUTO_STORE __attribute__((cleanup(led_store_finish))) struct led_store

/* The statement with tenant, workspace and epoch bound. */
static sqlite3_stmt *about(struct led_store *s, enum led_sql q,
			   const struct led_wrapped *k, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, q, e);

	if (st) {
		led_bind_sv(st, 1, k->tenant);
		led_bind_sv(st, 2, k->workspace);
		sqlite3_bind_int64(st, 3, (int64_t)k->epoch);
	}
	return st;
}

static int has(struct led_store *s, enum led_sql q, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, q, e);
	int rc = st ? led_step(s, st, "read the schema", e) : -1;

	if (rc == 1) {
		rc = sqlite3_column_int64(st, 0) == 1;
		sqlite3_reset(st);
	}
	return rc;
}

/* --- one ---------------------------------------------------------------------------- */

static int there_is_one(const struct led_wrapped *k, struct err *e)
{
	err_set(e, ERR_INVALID, "there is a key of %s " SV_FMT " already",
		k->workspace.n ? "workspace" : "tenant",
		SV_ARG(k->workspace.n ? k->workspace : k->tenant));
	return err_fix(e, "destroy it first, or take the next epoch");
}

static int add(struct led_store *s, const struct led_wrapped *k, struct err *e)
{
	sqlite3_stmt *st = about(s, LED_SQL_WRAPPED_GET, k, e);
	int rc = st ? led_step(s, st, "look for a wrapped key", e) : -1;

	if (st)
		sqlite3_reset(st);
	if (rc)
		return rc < 0 ? -1 : there_is_one(k, e);
	st = about(s, LED_SQL_WRAPPED_PUT, k, e);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 4, (int64_t)loop_wall_us());
	sqlite3_bind_blob(st, 5, k->blob.p, (int)k->blob.n, SQLITE_STATIC);
	return led_step(s, st, "keep a wrapped key", e);
}

int led_wrapped_put(struct led_store *s, const struct led_wrapped *k, struct err *e)
{
	if (led_check_files(s, e) || led_begin(s, e))
		return -1;
	if (add(s, k, e) || led_commit(s, e)) {
		led_rollback(s);
		return -1;
	}
	return led_sync(s, e);
}

int led_wrapped_get(struct led_store *s, struct led_wrapped *k,
		    unsigned char mem[LED_WRAPPED_MAX], struct err *e)
{
	sqlite3_stmt *st = about(s, LED_SQL_WRAPPED_GET, k, e);
	int rc = st ? led_step(s, st, "look up a wrapped key", e) : -1;
	struct sv blob;

	k->blob = (struct sv){(const char *)mem, 0};
	if (rc != 1)
		return rc;
	blob = led_col(st, 1);
	if (blob.n && blob.n <= LED_WRAPPED_MAX) {
		memcpy(mem, blob.p, blob.n);
		k->blob.n = blob.n;
		k->epoch = (uint64_t)sqlite3_column_int64(st, 0);
	} else { /* bent out of shape by somebody */
		rc = err_set(e, ERR_INTERNAL,
			     "a wrapped key in %s/audit.db is %zu bytes long", s->path,
			     blob.n);
	}
	sqlite3_reset(st);
	return rc;
}

/* --- none --------------------------------------------------------------------------- */

/* Nothing of the past is left in a file. */
static int cut_log(struct led_store *s, struct err *e)
{
	const int rc = sqlite3_wal_checkpoint_v2(
		s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	if (!rc)
		return 0;
	if ((rc & 0xff) != SQLITE_BUSY)
		return led_sql_err(s, "clear the log of a destroyed key", e);
	err_set(e, ERR_BUSY,
		"the key is destroyed, but its bytes may still be in the log: a reader has it open");
	return err_fix(
		e,
		"let `fumehood audit` and other readers of %s/audit.db end, and do it again",
		s->path);
}

int led_wrapped_destroy(struct led_store *s, const struct led_wrapped *k, struct err *e)
{
	sqlite3_stmt *st;

	if (led_check_files(s, e) || led_begin(s, e))
		return -1;
	st = about(s, LED_SQL_WRAPPED_DROP, k, e);
	if (!st || led_step(s, st, "destroy a wrapped key", e) || led_commit(s, e)) {
		led_rollback(s);
		return -1;
	}
	return led_sync(s, e) || cut_log(s, e) ? -1 : 0;
}

/* --- the root ----------------------------------------------------------------------- */

/* 1, 0: there is none, -1. */
static int read_root(struct led_store *s, struct led_root *ret, struct err *e)
{
	sqlite3_stmt *st;
	int rc = has(s, LED_SQL_HAS_ROOT, e);

	if (rc <= 0)
		return rc;
	st = led_stmt(s, LED_SQL_ROOT_GET, e);
	rc = st ? led_step(s, st, "look up the root key", e) : -1;
	if (rc <= 0)
		return rc;
	if (led_col(st, 0).n == sizeof(ret->name))
		memcpy(ret->name, led_col(st, 0).p, sizeof(ret->name));
	else
		rc = err_set(e, ERR_INTERNAL,
			     "the name of the root key in %s/audit.db is none",
			     s->path);
	ret->since_us = (uint64_t)sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	if (rc < 0)
		return rc;
	st = led_stmt(s, LED_SQL_WRAPPED_COUNT, e);
	rc = st ? led_step(s, st, "count the wrapped keys", e) : -1;
	if (rc == 1) {
		ret->tenants = (uint64_t)sqlite3_column_int64(st, 0);
		ret->workspaces = (uint64_t)sqlite3_column_int64(st, 1);
		sqlite3_reset(st);
	}
	return rc;
}

int led_root_get(const char *state_dir, struct led_root *ret, struct err *e)
{
	AUTO_STORE s = {0};
	struct led_root r = {0};
	int rc;

	if (led_store_open_ro(&s, state_dir, e))
		return -1;
	rc = read_root(&s, &r, e);
	if (rc == 1) {
		*ret = r;
		return 0;
	}
	if (rc)
		return -1;
	err_set(e, ERR_NOT_FOUND, "the state folder %s has no root key", s.path);
	return err_fix(e, "make one: fumehood key root init");
}

/* Its name, and the row that tells of it. */
static int set_root(struct led_store *s, const unsigned char *old,
		    const unsigned char *new, uint64_t tenants, struct err *e)
{
	AUTO_BUF body = {.max = LED_MAX_BODY};
	sqlite3_stmt *st = led_stmt(s, LED_SQL_ROOT_SET, e);
	char hex[HEX_SIZE], who[32];
	struct jw w;

	if (!st)
		return -1;
	sqlite3_bind_blob(st, 1, new, LED_ROOT_NAME_BYTES, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, (int64_t)loop_wall_us());
	if (led_step(s, st, "set the root key", e))
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "detail",
		sv_of(sodium_bin2hex(hex, sizeof(hex), new, LED_ROOT_NAME_BYTES)));
	if (old)
		jw_kstr(&w, "before",
			sv_of(sodium_bin2hex(hex, sizeof(hex), old,
					     LED_ROOT_NAME_BYTES)));
	jw_kint(&w, "tenants", (int64_t)tenants);
	jw_obj_end(&w);
	if (body.failed)
		return err_set(e, ERR_LIMIT, "out of memory");
	snprintf(who, sizeof(who), "local:%u", (unsigned)getuid());
	return led_append_in_tx(
		s,
		&(struct led_entry){.kind = old ? SV("root_key_rotated")
						: SV("root_key_created"),
				    .principal = sv_of(who),
				    .body = buf_view(&body)},
		NULL, e);
}

static int init(struct led_store *s, const unsigned char *name, struct err *e)
{
	struct led_root r;
	const int rc = read_root(s, &r, e);

	if (rc == 1) {
		err_set(e, ERR_INVALID, "the state folder %s has a root key already",
			s->path);
		return err_fix(
			e,
			"see it with `fumehood key root show`, change it with `key root rotate`");
	}
	return rc || set_root(s, NULL, name, 0, e) ? -1 : 0;
}

int led_root_init(const char *state_dir, const unsigned char name[LED_ROOT_NAME_BYTES],
		  struct err *e)
{
	AUTO_STORE s = {0};

	if (led_store_open_tool(&s, state_dir, e) || led_begin(&s, e))
		return -1;
	if (init(&s, name, e) || led_commit(&s, e)) {
		led_rollback(&s);
		return -1;
	}
	return led_sync(&s, e);
}

/* The key after *k of the tenants' own: 1, 0, -1. Copied, so that the table may change meanwhile. */
static int next_tenant(struct led_store *s, struct buf *mem, struct led_wrapped *k,
		       struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_WRAPPED_NEXT, e);
	struct sv tenant, blob;
	int rc;

	if (!st)
		return -1;
	led_bind_sv(st, 1, k->tenant);
	sqlite3_bind_int64(st, 2, (int64_t)k->epoch);
	rc = led_step(s, st, "read the wrapped keys", e);
	if (rc != 1)
		return rc;
	tenant = led_col(st, 0);
	blob = led_col(st, 2);
	buf_reset(mem);
	buf_sv(mem, tenant);
	buf_sv(mem, blob);
	k->tenant = (struct sv){mem->p, tenant.n};
	k->blob = (struct sv){mem->p + tenant.n, blob.n};
	k->epoch = (uint64_t)sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return mem->failed ? err_set(e, ERR_LIMIT,
				     "out of memory, or a wrapped key is too long")
			   : 1;
}

static int rewrap_all(struct led_store *s, const struct led_rotation *r,
		      uint64_t *ret_n, struct err *e)
{
	AUTO_BUF mem = {.max = LED_MAX_PRINCIPAL + LED_WRAPPED_MAX};
	struct led_wrapped k = {.tenant = SV("")};
	int rc;

	while ((rc = next_tenant(s, &mem, &k, e)) == 1) {
		unsigned char blob[LED_WRAPPED_MAX];
		sqlite3_stmt *st;

		if (r->rewrap(r->arg, &k, blob, e))
			return -1;
		st = led_stmt(s, LED_SQL_WRAPPED_SET, e);
		if (!st)
			return -1;
		led_bind_sv(st, 1, k.tenant);
		sqlite3_bind_int64(st, 2, (int64_t)k.epoch);
		sqlite3_bind_blob(st, 3, blob, (int)k.blob.n, SQLITE_STATIC);
		if (led_step(s, st, "wrap a key anew", e))
			return -1;
		++*ret_n;
	}
	return rc;
}

/* A server that runs would go on wrapping with the old root. None starts while the opening lock is held. */
static int no_server(struct led_store *s, struct err *e)
{
	struct led_live live;
	int rc = led_live_load(s, &live, e);

	if (!rc && live.ids.n) {
		err_set(e, ERR_BUSY, "a server of the state folder %s is running",
			s->path);
		err_fix(e, "stop it, and do this again");
		rc = -1;
	}
	led_live_finish(&live);
	return rc;
}

static int rotate(struct led_store *s, const struct led_rotation *r, uint64_t *ret_n,
		  struct err *e)
{
	struct led_root now;
	const int rc = read_root(s, &now, e);

	if (rc < 0)
		return -1;
	if (!rc || memcmp(now.name, r->old, sizeof(now.name)) != 0) {
		err_set(e, ERR_BUSY, "the root key of %s was changed meanwhile",
			s->path);
		return err_fix(
			e, "see it with `fumehood key root show`, and do this again");
	}
	return rewrap_all(s, r, ret_n, e) || set_root(s, r->old, r->new, *ret_n, e) ? -1
										    : 0;
}

int led_root_rotate(const char *state_dir, const struct led_rotation *r,
		    uint64_t *ret_tenants, struct err *e)
{
	AUTO_STORE s = {0};
	uint64_t n = 0;

	if (led_store_open_tool(&s, state_dir, e) ||
	    led_lock(s.lock, LED_LOCK_OPENING, OPENING_MS, e) || no_server(&s, e) ||
	    led_begin(&s, e))
		return -1;
	if (rotate(&s, r, &n, e) || led_commit(&s, e)) {
		led_rollback(&s);
		return -1;
	}
	*ret_tenants = n;
	return led_sync(&s, e) || cut_log(&s, e) ? -1 : 0;
}
