/* Wrapped keys: kept, found, and after their destruction in no byte of any file; the root key above them. */
#include "led_test.h"

#include <dirent.h>
#include <sodium.h>

#define N 400
#define BYTES 112

static unsigned char blobs[N][BYTES], early[8][BYTES], late[64][BYTES];
static struct ledger role;

static struct led_wrapped key_of(const char *tenant, const char *workspace,
				 uint64_t epoch)
{
	return (struct led_wrapped){
		.tenant = sv_of(tenant), .workspace = sv_of(workspace), .epoch = epoch};
}

static uint32_t send_key(uint32_t type, struct led_wrapped k, struct ipc_msg *m)
{
	static uint64_t id;

	ipc_start(m, type, ++id);
	led_put_wrapped(m, &k);
	return ask(&role, m, NULL);
}

static uint32_t put(const char *tenant, const char *workspace, uint64_t epoch,
		    const unsigned char *blob)
{
	struct led_wrapped k = key_of(tenant, workspace, epoch);
	struct ipc_msg m;

	k.blob = (struct sv){(const char *)blob, BYTES};
	return send_key(LED_WRAPPED_PUT, k, &m);
}

static uint32_t destroy(const char *tenant, const char *workspace, uint64_t epoch)
{
	struct ipc_msg m;

	return send_key(LED_WRAPPED_DESTROY, key_of(tenant, workspace, epoch), &m);
}

/* The epoch of what is found with these bytes; 0: none is. */
static uint64_t find(const char *tenant, const char *workspace, uint64_t epoch,
		     const unsigned char *blob)
{
	struct led_wrapped k;
	struct ipc_msg m;

	must(send_key(LED_WRAPPED_GET, key_of(tenant, workspace, epoch), &m) ==
	     LED_WRAPPED_FOUND);
	must(!led_get_wrapped(&m, &k) && sv_eq(k.tenant, sv_of(tenant)) &&
	     sv_eq(k.workspace, sv_of(workspace)));
	if (!k.blob.n)
		return 0;
	must(k.blob.n == BYTES && !memcmp(k.blob.p, blob, BYTES));
	return k.epoch;
}

/* In how many places of how many files of the state folder 24 bytes of it are. */
static unsigned places(const unsigned char *blob)
{
	DIR *dir = opendir(state_dir);
	struct dirent *f;
	unsigned n = 0;

	must(dir);
	while ((f = readdir(dir)) != NULL) {
		AUTO_BUF b = {.max = (size_t)64 << 20};
		char path[400];
		const char *at;

		if (f->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", state_dir, f->d_name);
		must(!fd_read_file(path, &b, NULL));
		for (at = b.p;
		     b.n && (at = memmem(at, b.n - (size_t)(at - b.p), blob + 50, 24));
		     at++)
			n++;
	}
	closedir(dir);
	return n;
}

static void kept(void)
{
	struct ipc_msg m;

	ok(put("key:ci", "", 1, early[0]) == LED_ACK &&
		   put("key:ci", "", 2, early[1]) == LED_ACK &&
		   put("key:ci", "ses_1", 1, early[2]) == LED_ACK &&
		   put("key:cj", "ses_1", 1, early[3]) == LED_ACK,
	   "keys are kept");
	ok(find("key:ci", "", 1, early[0]) == 1 && find("key:ci", "", 2, early[1]) == 2,
	   "and found");
	ok(find("key:ci", "", 0, early[1]) == 2,
	   "the newest epoch, where none is asked for");
	ok(find("key:ci", "ses_1", 0, early[2]) == 1 &&
		   find("key:cj", "ses_1", 1, early[3]) == 1,
	   "each tenant's own");
	ok(!find("key:ci", "", 3, NULL) && !find("key:ck", "", 0, NULL) &&
		   !find("key:ci", "ses_2", 0, NULL) && !find("key:cj", "", 0, NULL),
	   "nothing else is");
	must(put("key:ci", "", 2, early[4]) == LED_NAK);
	ok(find("key:ci", "", 2, early[1]) == 2,
	   "no key is replaced by putting another");
	ok(destroy("key:ci", "", 1) == LED_ACK && !find("key:ci", "", 1, NULL) &&
		   !find("key:ci", "ses_1", 1, NULL) &&
		   find("key:ci", "", 2, early[1]) &&
		   find("key:cj", "ses_1", 1, early[3]),
	   "a tenant's key goes with those of its workspaces of that epoch, and no other");
	ok(destroy("key:ci", "", 1) == LED_ACK, "destroying what is gone is no error");
	ok(send_key(LED_WRAPPED_GET, key_of("key:cj", "ses_1", 1), &m) ==
		   LED_WRAPPED_FOUND,
	   "the role serves on");
}

/* Enough of them for pages to be split and merged. */
static void in_no_byte(void)
{
	unsigned before = 0, after = 0, left = 0;
	char tenant[32], workspace[32];

	for (unsigned i = 0; i < N; i++) {
		snprintf(tenant, sizeof(tenant), "key:t%u", i % 7);
		snprintf(workspace, sizeof(workspace), "ses_%x", i * 2654435761u);
		must(put(tenant, workspace, 1, blobs[i]) == LED_ACK);
	}
	for (unsigned i = 0; i < N; i++)
		before += places(blobs[i]) > 0;
	ok(before == N, "the control: %u of %u are in the files", before, N);
	for (unsigned i = 0; i < N; i += 2) {
		snprintf(tenant, sizeof(tenant), "key:t%u", i % 7);
		snprintf(workspace, sizeof(workspace), "ses_%x", i * 2654435761u);
		must(destroy(tenant, workspace, 1) == LED_ACK);
		if (i % 50 == 0)
			after += places(blobs[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		after += i % 2 ? 0 : places(blobs[i]);
		left += i % 2 && places(blobs[i]) == 1;
	}
	ok(!after, "what was destroyed is in no byte of any file (%u places)", after);
	ok(left == N / 2, "the others are in one place each (%u)", left);
}

/* A reader that holds the log open, as an audit that takes long. */
static void with_a_reader(void)
{
	sqlite3 *db = raw_open(state_dir);
	sqlite3_stmt *st = NULL;
	struct ipc_msg m;
	struct sv why;

	must(put("key:r", "ses_r", 1, early[6]) == LED_ACK);
	must(!sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) &&
	     !sqlite3_prepare_v2(db, "SELECT count(*) FROM wrapped", -1, &st, NULL) &&
	     sqlite3_step(st) == SQLITE_ROW);
	ok(send_key(LED_WRAPPED_DESTROY, key_of("key:r", "ses_r", 1), &m) == LED_NAK,
	   "a reader keeps the log");
	why = ipc_get_sv(&m, 1000);
	ok(memmem(why.p, why.n, "a reader has it open", 20), SV_FMT, SV_ARG(why));
	ok(!find("key:r", "ses_r", 1, NULL), "the key is gone for whoever asks");
	ok(places(early[6]) > 0, "but its bytes are there");
	sqlite3_finalize(st);
	must(!sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL));
	sqlite3_close(db);
	ok(destroy("key:r", "ses_r", 1) == LED_ACK && !places(early[6]),
	   "asked again, they are not");
}

static void ill_formed(void)
{
	static const struct {
		uint32_t type;
		const char *tenant, *workspace;
		uint64_t epoch;
		size_t blob;
	} bad[] = {
		{LED_WRAPPED_PUT, "", "", 1, 9},
		{LED_WRAPPED_PUT, "t", "a/b", 1, 9},
		{LED_WRAPPED_PUT, "t\n", "", 1, 9},
		{LED_WRAPPED_PUT, "t", "", 0, 9},
		{LED_WRAPPED_PUT, "t", "", 1, 0},
		{LED_WRAPPED_PUT, "t", "", 1, LED_WRAPPED_MAX + 1},
		{LED_WRAPPED_PUT, "t", "", (uint64_t)INT64_MAX + 1, 9},
		{LED_WRAPPED_GET, "t", "", 1, 9},
		{LED_WRAPPED_DESTROY, "t", "", 0, 0},
		{LED_WRAPPED_DESTROY, "t", "", 1, 9},
		{LED_WRAPPED_FOUND, "t", "", 1, 9},
	};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct ledger l = {0};
		struct ipc_msg m;

		must(ledger_start(&l, state_dir));
		ipc_start(&m, bad[i].type, 1);
		ipc_put_sv(&m, sv_of(bad[i].tenant));
		ipc_put_sv(&m, sv_of(bad[i].workspace));
		ipc_put_u64(&m, bad[i].epoch);
		ipc_put_sv(&m, (struct sv){(const char *)blobs, bad[i].blob});
		ok(!ask(&l, &m, NULL) && ledger_wait(&l) == 1,
		   "record %u ends the role", i);
	}
}

/* --- the root ------------------------------------------------------------------------------ */

static const struct led_rotation rotation = {.old = "0123456789abcde",
					     .new = "fedcba987654321"};
static unsigned n_rewrapped;
static long fails_at;

/* Each byte the other way round; the place in front says whose it is. */
static int turn(void *arg, const struct led_wrapped *k, unsigned char *ret,
		struct err *e)
{
	(void)arg;
	must(k->tenant.n && !k->workspace.n && k->epoch && k->blob.n == BYTES);
	if (fails_at && !--fails_at)
		return err_set(e, ERR_DENIED, "this one is damaged");
	for (unsigned i = 0; i < BYTES; i++)
		ret[i] = (unsigned char)~k->blob.p[i];
	n_rewrapped++;
	return 0;
}

static int rotate(struct err *e)
{
	struct led_rotation r = rotation;
	uint64_t n = 0;

	r.rewrap = turn;
	n_rewrapped = 0;
	err_clear(e);
	return led_root_rotate(state_dir, &r, &n, e) ? -1 : (int)n;
}

static void no_root(void)
{
	struct led_root root;
	struct err e = {0};

	ok(led_root_get(state_dir, &root, &e) && e.code == ERR_NOT_FOUND, "%s",
	   e.cause);
	ok(rotate(&e) == -1 && e.code == ERR_BUSY, "nothing to rotate: %s", e.cause);
	err_clear(&e);
	ok(!led_root_init(state_dir, rotation.old, &e), "a root key %s", e.cause);
	ok(led_root_init(state_dir, rotation.new, &e) && e.code == ERR_INVALID,
	   "but once: %s", e.cause);
	err_clear(&e);
	must(!led_root_get(state_dir, &root, &e));
	ok(!memcmp(root.name, rotation.old, 16) && root.since_us && root.tenants == 1 &&
		   root.workspaces == N / 2 + 1,
	   "it has a name, and %u and %u keys hang on it", (unsigned)root.tenants,
	   (unsigned)root.workspaces);
}

static void rotated(void)
{
	unsigned char turned[BYTES];
	struct led_root root;
	struct err e = {0};

	must(ledger_start(&role, state_dir));
	ok(rotate(&e) == -1 && e.code == ERR_BUSY && !n_rewrapped,
	   "not while a server runs: %s", e.cause);
	for (unsigned i = 3; i < 60; i++)
		must(put("key:ci", "", i, late[i]) == LED_ACK);
	must(put("key:z", "", 1, late[60]) == LED_ACK &&
	     put("a", "", 7, late[61]) == LED_ACK);
	must(!ledger_wait(&role));
	fails_at = 40;
	ok(rotate(&e) == -1 && strstr(e.cause, "damaged"),
	   "one that cannot be opened: %s", e.cause);
	must(!led_root_get(state_dir, &root, NULL));
	ok(!memcmp(root.name, rotation.old, 16) && places(late[3]) == 1,
	   "changes nothing");
	ok(rotate(&e) == 60 && n_rewrapped == 60,
	   "all tenants' keys are wrapped anew %s", e.cause);
	ok(places(early[1]) + places(late[3]) + places(late[60]) + places(late[61]) ==
		   0,
	   "what they were is in no file");
	ok(rotate(&e) == -1 && e.code == ERR_BUSY,
	   "and not from a root that is none any more: %s", e.cause);
	must(!led_root_get(state_dir, &root, NULL) && ledger_start(&role, state_dir));
	for (unsigned i = 0; i < BYTES; i++)
		turned[i] = (unsigned char)~late[59][i];
	ok(!memcmp(root.name, rotation.new, 16) && find("key:ci", "", 0, turned) == 59,
	   "the new ones are found");
	must(!ledger_wait(&role));
	err_clear(&e);
	ok(verify(state_dir, &e) > 0, "the record is intact %s", e.cause);
	ok(raw_int(state_dir,
		   "SELECT count(*) FROM audit WHERE kind IN ('root_key_created','root_key_rotated')") ==
			   2 &&
		   raw_int(state_dir,
			   "SELECT json_extract(body,'$.tenants') FROM audit WHERE kind='root_key_rotated'") ==
			   60,
	   "and tells of it");
}

/* A record that was made before there were such keys. */
static void old_record(void)
{
	struct led_root root;
	struct err e = {0};

	must(!raw_exec(state_dir, "DROP TABLE wrapped; DROP TABLE root"));
	ok(led_root_get(state_dir, &root, &e) && e.code == ERR_NOT_FOUND, "%s",
	   e.cause);
	err_clear(&e);
	ok(!led_root_init(state_dir, rotation.old, &e) &&
		   !led_root_get(state_dir, &root, &e),
	   "it can have one %s", e.cause);
}

int main(void)
{
	folder_new();
	must(sodium_init() >= 0);
	randombytes_buf(blobs, sizeof(blobs));
	randombytes_buf(early, sizeof(early));
	randombytes_buf(late, sizeof(late));
	must(ledger_start(&role, state_dir));
	kept();
	in_no_byte();
	with_a_reader();
	ok(!ledger_wait(&role), "the ledger ends");
	ill_formed();
	no_root();
	rotated();
	old_record();
	folder_end();
	return tap_done();
}
