/* keys.c: API keys: made, listed, revoked, looked up. What one is: see ledger.h.
 *
 * Theory of operation. `fumehood key` writes beside running servers: one BEGIN IMMEDIATE
 * transaction holds the key's row and its event. A server keeps no key in memory: each look-up
 * reads the table, so a committed revocation is in force for whatever is asked after it. When a
 * key was last used is written at most once an hour, or every call would write twice. */
#include "sandbox/base/json.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/records.h"
#include "sandbox/ledger/store.h"

#include <inttypes.h>
#include <sodium.h>
#include <unistd.h>

#define PREFIX "fh_"
#define ID_AT 3
#define ID_BYTES (LED_KEY_ID_SIZE - 1)
#define SECRET_AT (ID_AT + ID_BYTES + 1)
#define SECRET_BYTES 32
#define SECRET_CHARS 43
#define MIN_ID_PREFIX 4
#define MAX_SHOWN 32 /* of a name that is none; a secret has 43 */
#define USED_EVERY_US ((uint64_t)3600 * 1000000)
#define AUTO_STORE __attribute__((cleanup(led_store_finish))) struct led_store

_Static_assert(SECRET_AT + SECRET_CHARS + 1 == LED_KEY_TEXT_SIZE, "the parts of a key");

static const char id_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* --- the text of a key ------------------------------------------------------------ */

static bool is_id_char(char c)
{
	return c && strchr(id_chars, c);
}

static bool is_id_prefix(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_id_char(s.p[i]))
			return false;
	return s.n >= MIN_ID_PREFIX && s.n <= ID_BYTES;
}

struct sv led_key_id(struct sv key)
{
	const struct sv none = {"", 0}, id = {key.p + ID_AT, ID_BYTES};
	unsigned char secret[SECRET_BYTES];
	size_t n = 0;

	if (key.n != LED_KEY_TEXT_SIZE - 1 || !sv_starts(key, SV(PREFIX)) ||
	    !is_id_prefix(id) || key.p[SECRET_AT - 1] != '_')
		return none;
	/* also refuses what is not canonical: bits set that no byte owns */
	if (sodium_base642bin(secret, sizeof(secret), key.p + SECRET_AT, SECRET_CHARS,
			      NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING))
		n = 0;
	sodium_memzero(secret, sizeof(secret));
	return n == SECRET_BYTES ? id : none;
}

void led_key_hash(struct sv key, unsigned char ret[LED_HASH_BYTES])
{
	static const char domain[] = "fumehood-api-key-v1"; /* its NUL ends it */
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, (const unsigned char *)domain, sizeof(domain));
	crypto_hash_sha256_update(&st, (const unsigned char *)key.p, key.n);
	crypto_hash_sha256_final(&st, ret);
	sodium_memzero(&st, sizeof(st));
}

static void make_text(char ret[LED_KEY_TEXT_SIZE])
{
	unsigned char secret[SECRET_BYTES];

	memcpy(ret, PREFIX, ID_AT);
	for (unsigned i = 0; i < ID_BYTES; i++)
		ret[ID_AT + i] = id_chars[randombytes_uniform(sizeof(id_chars) - 1)];
	ret[SECRET_AT - 1] = '_';
	randombytes_buf(secret, sizeof(secret));
	sodium_bin2base64(ret + SECRET_AT, SECRET_CHARS + 1, secret, sizeof(secret),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(secret, sizeof(secret));
}

static bool has_name_chars(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
			return false;
	}
	return s.n > 0;
}

static int check_name(struct sv name, struct err *e)
{
	if (has_name_chars(name) && name.n < LED_KEY_NAME_SIZE &&
	    !sv_starts(name, SV(PREFIX)))
		return 0;
	err_set(e, ERR_INVALID, "that cannot be the name of a key");
	return err_fix(e,
		       "use 1 to %d letters, digits, _ . or -, not beginning with "
		       "fh_; it becomes the principal key:NAME in the record",
		       LED_KEY_NAME_SIZE - 1);
}

/* --- looking one up --------------------------------------------------------------- */

/* Notes the use; that it cannot be written must not keep anybody out. */
static void note_used(struct led_store *s, struct sv id, uint64_t now, struct err *e)
{
	sqlite3_stmt *st;

	if (led_begin(s, e))
		return;
	st = led_stmt(s, LED_SQL_KEY_USED, e);
	if (st) {
		led_bind_sv(st, 1, id);
		sqlite3_bind_int64(st, 2, (int64_t)now);
	}
	if (!st || led_step(s, st, "note the use of a key", e) || led_commit(s, e))
		led_rollback(s);
}

struct key_row {
	unsigned char hash[LED_HASH_BYTES];
	char name[LED_KEY_NAME_SIZE];
	uint64_t expires_us, revoked_us, used_us;
};

/* 1, 0: no such id, -1. A row somebody has bent out of shape counts as none. */
static int read_key(struct led_store *s, struct sv id, struct key_row *ret,
		    struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_KEY_FIND, e);
	int rc = -1;

	*ret = (struct key_row){0};
	if (st) {
		led_bind_sv(st, 1, id);
		rc = led_step(s, st, "look up a key", e);
	}
	if (rc != 1)
		return rc;
	if (led_col(st, 0).n == LED_HASH_BYTES &&
	    !sv_copy(led_col(st, 1), ret->name, sizeof(ret->name)) && ret->name[0]) {
		memcpy(ret->hash, led_col(st, 0).p, LED_HASH_BYTES);
		ret->expires_us = (uint64_t)sqlite3_column_int64(st, 2);
		ret->revoked_us = (uint64_t)sqlite3_column_int64(st, 3);
		ret->used_us = (uint64_t)sqlite3_column_int64(st, 4);
	} else {
		rc = 0;
	}
	sqlite3_reset(st);
	return rc;
}

void led_key_find(struct led_store *s, struct sv id, struct sv hash,
		  struct led_key_found *ret, struct err *e)
{
	const uint64_t now = loop_wall_us();
	struct key_row row;
	bool same;
	int rc;

	*ret = (struct led_key_found){.state = LED_KEY_FAILED};
	if (hash.n != LED_HASH_BYTES || led_check_files(s, e))
		return;
	rc = read_key(s, id, &row, e);
	if (rc < 0)
		return;
	same = !sodium_memcmp(row.hash, hash.p, LED_HASH_BYTES) && rc;
	ret->state = !same				       ? LED_KEY_UNKNOWN
		     : row.revoked_us			       ? LED_KEY_REVOKED
		     : row.expires_us && row.expires_us <= now ? LED_KEY_EXPIRED
							       : LED_KEY_GOOD;
	if (!same)
		return;
	memcpy(ret->name, row.name, sizeof(ret->name));
	ret->expires_us = row.expires_us;
	/* a clock that was set back must not stop it for ever */
	if (ret->state == LED_KEY_GOOD &&
	    (row.used_us > now || now - row.used_us >= USED_EVERY_US))
		note_used(s, id, now, e);
}

/* --- making one ------------------------------------------------------------------- */

static int check_room(struct led_store *s, struct sv name, uint64_t now, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_KEY_COUNT, e);
	int rc = st ? led_step(s, st, "count the keys", e) : -1;
	char id[16];

	if (rc != 1)
		return -1;
	rc = sqlite3_column_int64(st, 0) >= LED_MAX_KEYS;
	sqlite3_reset(st);
	if (rc) {
		err_set(e, ERR_LIMIT, "there are %d keys already", LED_MAX_KEYS);
		return err_fix(e, "use another --state");
	}
	st = led_stmt(s, LED_SQL_KEY_IN_FORCE, e);
	if (!st)
		return -1;
	led_bind_sv(st, 1, name);
	sqlite3_bind_int64(st, 2, (int64_t)now);
	rc = led_step(s, st, "look for the name", e);
	if (rc <= 0)
		return rc;
	sv_copy(led_col(st, 0), id, sizeof(id));
	sqlite3_reset(st);
	err_set(e, ERR_INVALID,
		"there is a key named " SV_FMT " already (" PREFIX "%s)", SV_ARG(name),
		id);
	return err_fix(e, "choose another name, or revoke that one first");
}

static int add_event(struct led_store *s, struct sv kind, struct sv id,
		     const struct buf *body, struct err *e)
{
	char run[LED_KEY_ID_SIZE + ID_AT], who[32];

	snprintf(run, sizeof(run), PREFIX SV_FMT, SV_ARG(id));
	snprintf(who, sizeof(who), "local:%u", (unsigned)getuid());
	if (body->failed)
		return err_set(e, ERR_LIMIT, "out of memory");
	return led_append_in_tx(s,
				&(struct led_entry){.kind = kind,
						    .run_id = sv_of(run),
						    .principal = sv_of(who),
						    .body = buf_view(body)},
				NULL, e);
}

static int add_key(struct led_store *s, struct sv name, uint64_t expires_us,
		   struct sv text, struct err *e)
{
	AUTO_BUF body = {.max = LED_MAX_BODY};
	unsigned char hash[LED_HASH_BYTES];
	char hex[2 * LED_HASH_BYTES + 1];
	const struct sv id = {text.p + ID_AT, ID_BYTES};
	sqlite3_stmt *st = led_stmt(s, LED_SQL_KEY_ADD, e);
	struct jw w;

	if (!st)
		return -1;
	led_key_hash(text, hash);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	led_bind_sv(st, 1, id);
	led_bind_sv(st, 2, name);
	sqlite3_bind_blob(st, 3, hash, sizeof(hash), SQLITE_STATIC);
	sqlite3_bind_int64(st, 4, (int64_t)loop_wall_us());
	sqlite3_bind_int64(st, 5, (int64_t)expires_us);
	if (led_step(s, st, "keep the key", e))
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "detail", name);
	jw_kstr(&w, "name", name);
	jw_kstr(&w, "key_sha256", sv_of(hex));
	jw_kint(&w, "expires_us", (int64_t)expires_us);
	jw_obj_end(&w);
	return add_event(s, SV("key_created"), id, &body, e);
}

int led_key_create(const char *state_dir, struct sv name, uint64_t expires_us,
		   char ret_text[LED_KEY_TEXT_SIZE], struct err *e)
{
	AUTO_STORE s = {0};
	char text[LED_KEY_TEXT_SIZE];
	int rc;

	if (check_name(name, e) || led_store_open_tool(&s, state_dir, e) ||
	    led_begin(&s, e))
		return -1;
	make_text(text);
	rc = check_room(&s, name, loop_wall_us(), e) ||
	     add_key(&s, name, expires_us, sv_of(text), e) || led_commit(&s, e);
	if (rc)
		led_rollback(&s);
	else if (!led_sync(&s, e))
		memcpy(ret_text, text, sizeof(text));
	else
		rc = -1;
	sodium_memzero(text, sizeof(text));
	return rc ? -1 : 0;
}

/* --- revoking, listing ------------------------------------------------------------ */

static void fill_key(struct led_key *k, sqlite3_stmt *st)
{
	*k = (struct led_key){0};
	sv_copy(led_col(st, 0), k->id, sizeof(k->id));
	sv_copy(led_col(st, 1), k->name, sizeof(k->name));
	k->created_us = (uint64_t)sqlite3_column_int64(st, 2);
	k->expires_us = (uint64_t)sqlite3_column_int64(st, 3);
	k->used_us = (uint64_t)sqlite3_column_int64(st, 4);
	k->revoked_us = (uint64_t)sqlite3_column_int64(st, 5);
}

/* More than a name may have been pasted here, the key itself or its secret part: what is long is not
 * repeated whole, what nothing is called not at all. */
static int no_such_key(struct sv which, struct err *e)
{
	const bool cut = which.n > ID_AT + ID_BYTES &&
			 (sv_starts(which, SV(PREFIX)) || which.n > MAX_SHOWN);
	const struct sv shown = {which.p, cut ? ID_AT + ID_BYTES : which.n};

	if (has_name_chars(which))
		err_set(e, ERR_NOT_FOUND, "there is no key " SV_FMT "%s", SV_ARG(shown),
			cut ? "..." : "");
	else
		err_set(e, ERR_NOT_FOUND, "there is no such key");
	return err_fix(e, "`fumehood key list` shows them");
}

static int find_by_id(struct led_store *s, struct sv which, struct led_key *ret,
		      struct err *e)
{
	struct sv id = {which.p + ID_AT, which.n - ID_AT};
	char from[LED_KEY_ID_SIZE], to[LED_KEY_ID_SIZE + 1];
	sqlite3_stmt *st;
	int rc;

	if (id.n > ID_BYTES) /* the whole key */
		id.n = ID_BYTES;
	if (!is_id_prefix(id))
		return no_such_key(which, e);
	st = led_stmt(s, LED_SQL_KEY_BY_ID, e);
	if (!st)
		return -1;
	snprintf(from, sizeof(from), SV_FMT, SV_ARG(id));
	snprintf(to, sizeof(to), SV_FMT "~", SV_ARG(id)); /* after all of id_chars */
	led_bind_sv(st, 1, sv_of(from));
	led_bind_sv(st, 2, sv_of(to));
	rc = led_step(s, st, "look for the key", e);
	if (rc <= 0)
		return rc ? rc : no_such_key(which, e);
	fill_key(ret, st);
	rc = led_step(s, st, "look for the key", e);
	if (rc == 1) {
		sqlite3_reset(st);
		err_set(e, ERR_INVALID, "several keys begin with " PREFIX "%s", from);
		return err_fix(e, "give more of it");
	}
	return rc;
}

static int find_by_name(struct led_store *s, struct sv name, struct led_key *ret,
			struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_KEY_BY_NAME, e);
	int rc;

	if (!st)
		return -1;
	led_bind_sv(st, 1, name);
	rc = led_step(s, st, "look for the key", e);
	if (rc <= 0)
		return rc ? rc : no_such_key(name, e);
	fill_key(ret, st);
	sqlite3_reset(st);
	return 0;
}

static int revoke_key(struct led_store *s, struct sv which, struct led_key *k,
		      struct err *e)
{
	AUTO_BUF body = {.max = LED_MAX_BODY};
	sqlite3_stmt *st;
	struct jw w;

	if (sv_starts(which, SV(PREFIX)) ? find_by_id(s, which, k, e)
					 : find_by_name(s, which, k, e))
		return -1;
	if (k->revoked_us) {
		err_set(e, ERR_INVALID, "key %s (" PREFIX "%s) is revoked already",
			k->name, k->id);
		return err_fix(e, "nothing is left to do");
	}
	k->revoked_us = loop_wall_us();
	st = led_stmt(s, LED_SQL_KEY_REVOKE, e);
	if (!st)
		return -1;
	led_bind_sv(st, 1, sv_of(k->id));
	sqlite3_bind_int64(st, 2, (int64_t)k->revoked_us);
	if (led_step(s, st, "revoke the key", e))
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "detail", sv_of(k->name));
	jw_kstr(&w, "name", sv_of(k->name));
	jw_obj_end(&w);
	return add_event(s, SV("key_revoked"), sv_of(k->id), &body, e);
}

int led_key_revoke(const char *state_dir, struct sv which, struct led_key *ret,
		   struct err *e)
{
	AUTO_STORE s = {0};
	struct led_key k = {0};

	if (led_store_open_tool(&s, state_dir, e) || led_begin(&s, e))
		return -1;
	if (revoke_key(&s, which, &k, e) || led_commit(&s, e)) {
		led_rollback(&s);
		return -1;
	}
	if (led_sync(&s, e))
		return -1;
	*ret = k;
	return 0;
}

/* A record made before there were keys, and only read here, has no such table. */
static int has_keys(struct led_store *s, struct err *e)
{
	sqlite3_stmt *st = led_stmt(s, LED_SQL_HAS_KEYS, e);
	int rc = st ? led_step(s, st, "read the schema", e) : -1;

	if (rc == 1) {
		rc = sqlite3_column_int64(st, 0) == 1;
		sqlite3_reset(st);
	}
	return rc;
}

int led_key_each(const char *state_dir,
		 void (*on_key)(void *arg, const struct led_key *key), void *arg,
		 struct err *e)
{
	AUTO_STORE s = {0};
	sqlite3_stmt *st;
	struct led_key k;
	int rc;

	if (led_store_open_ro(&s, state_dir, e))
		return -1;
	rc = has_keys(&s, e);
	if (rc <= 0)
		return rc;
	st = led_stmt(&s, LED_SQL_KEY_EACH, e);
	rc = -1;
	while (st && (rc = led_step(&s, st, "read the keys", e)) == 1) {
		fill_key(&k, st);
		on_key(arg, &k);
	}
	return rc;
}

int led_key_verify(struct led_store *s, struct err *e)
{
	sqlite3_stmt *st;
	char id[LED_KEY_ID_SIZE] = "?";
	int rc = has_keys(s, e);

	if (rc <= 0)
		return rc;
	st = led_stmt(s, LED_SQL_KEYS_ODD, e);
	rc = st ? led_step(s, st, "compare the keys with the record", e) : -1;
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < ID_BYTES && i < led_col(st, 0).n; i++)
		id[i] = is_id_char(led_col(st, 0).p[i]) ? led_col(st, 0).p[i] : '?';
	sqlite3_reset(st);
	err_set(e, ERR_INVALID,
		"the rows are intact, but API key " PREFIX
		"%s is not what they say of it",
		id);
	return err_fix(
		e, "somebody changed the table of keys by hand: revoke that key, keep "
		   "the files for examination");
}
