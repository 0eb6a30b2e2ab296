/* The format is what FORMAT.md says: the second implementation's vectors are made here byte for byte and opened,
 * and it opens what is made here. */
#include "ws_test.h"

#include "sandbox/base/json.h"
#include "vectors.h"

/* In place of the library's: the bytes the vectors were made with, while there are any. */
static const unsigned char *fixed;
void randombytes_buf(void *const buf, const size_t size)
{
	unsigned char *p = buf;

	if (fixed)
		memcpy(p, fixed, size);
	else
		for (size_t i = 0; i < size; i++)
			p[i] = (unsigned char)randombytes_random();
}

static void wrapped(void)
{
	unsigned char nonce[24], w[WS_WRAPPED_BYTES], id[WS_ID_BYTES];
	struct ws_key *root = key_from(0), *tenant = key_from(64),
		      *workspace = key_from(128);
	struct ws_scope s = {.tenant = SV("key:ci"), .epoch = 3};

	for (unsigned i = 0; i < sizeof(nonce); i++)
		nonce[i] = (unsigned char)(200 + i);
	fixed = nonce;
	ws_key_wrap(root, &s, tenant, w);
	ok(!memcmp(w, vec_wrapped_tenant, sizeof(w)),
	   "a tenant's key is wrapped to the same bytes");
	s.workspace = SV("ses_0123456789abcdef");
	ws_key_wrap(tenant, &s, workspace, w);
	ok(!memcmp(w, vec_wrapped_workspace, sizeof(w)), "so is a workspace's");
	fixed = NULL;
	ws_id_of_name(workspace, SV("manifest"), id);
	ok(!memcmp(id, vec_id_of_name, sizeof(id)), "a name has the same id");
	ws_key_free(root);
	ws_key_free(tenant);
	ws_key_free(workspace);
}

static void one(const struct ws_key *key, const struct vector *v)
{
	AUTO_BUF b = {.max = (size_t)1 << 20};
	const struct ws_place at = place(key, v->generation);
	unsigned char salt[24], id[WS_ID_BYTES], sha[32], *p = pattern(v->bytes);
	const struct sv name = sv_of(v->name), content = {(const char *)p, v->bytes};
	struct err e = {0};

	for (unsigned i = 0; i < sizeof(salt); i++)
		salt[i] = (unsigned char)(24 + i);
	fixed = salt;
	must(!seal_buf(&at, name, content, &b, id));
	fixed = NULL;
	crypto_hash_sha256(sha, (const unsigned char *)b.p, b.n);
	ok(b.n == v->sealed_bytes && b.n == ws_sealed_bytes(v->bytes) &&
		   !memcmp(sha, v->sha256, 32) && !memcmp(id, v->id, 32),
	   "%zu bytes \"%s\" are sealed to the same bytes", v->bytes, v->name);
	if (v->sealed_bytes <= sizeof(v->sealed)) {
		buf_reset(&b);
		buf_add(&b, v->sealed, v->sealed_bytes);
	}
	ok(!open_buf(&at, &(struct ws_label){.id = name.n ? NULL : v->id, .name = name},
		     &b, content, &e),
	   "and those are opened %s", e.cause);
	mem_free(p);
}

/* --- the other direction ------------------------------------------------------------ */

static void khex(struct jw *w, const char *key, const void *p, size_t n)
{
	AUTO_BUF hex = {.max = 256};

	buf_hex(&hex, p, n);
	jw_kstr(w, key, buf_view(&hex));
}

static void write_one(struct jw *w, unsigned nr, const struct vector *v)
{
	AUTO_BUF b = {.max = (size_t)1 << 20};
	struct ws_key *key = ws_key_new(NULL);
	const struct ws_place at = place(key, v->generation);
	unsigned char id[WS_ID_BYTES], sha[32], *p = pattern(v->bytes);
	char path[128], file[16];
	AUTO_FD fd = -1;

	must(!seal_buf(&at, sv_of(v->name), (struct sv){(const char *)p, v->bytes}, &b,
		       id));
	snprintf(file, sizeof(file), "%u", nr);
	snprintf(path, sizeof(path), "%s/%s", base_dir, file);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && !fd_write_all(fd, b.p, b.n));
	crypto_hash_sha256(sha, p, v->bytes);
	jw_obj(w);
	jw_kstr(w, "file", sv_of(file));
	khex(w, "key", ws_key_open(key), WS_KEY_BYTES);
	ws_key_shut(key);
	jw_kstr(w, "tenant", at.tenant);
	jw_kstr(w, "workspace", at.workspace);
	jw_kint(w, "generation", (int64_t)v->generation);
	jw_kstr(w, "name", sv_of(v->name));
	khex(w, "id", id, *v->name ? 0 : sizeof(id));
	khex(w, "sha256", sha, sizeof(sha));
	jw_obj_end(w);
	ws_key_free(key);
	mem_free(p);
}

static int run_other(bool quiet)
{
	char python[] = "/usr/bin/python3", script[] = "tests/lib/seal.py";
	char *const argv[] = {python, script, base_dir, NULL};
	int status;
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid) {
		must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 1) == 1);
		if (quiet)
			must(dup2(1, 2) == 2);
		execv(python, argv);
		_exit(127);
	}
	must(waitpid(pid, &status, 0) == pid);
	return status;
}

static void other_opens(void)
{
	AUTO_BUF json = {.max = 65536};
	char path[128];
	AUTO_FD fd = -1;
	struct jw w;

	if (access("tests/lib/seal.py", R_OK) ||
	    access("/usr/lib/python3/dist-packages/cryptography", F_OK)) {
		skip("python3-cryptography is not installed, or this is not the top of the tree");
		return;
	}
	jw_init(&w, &json);
	jw_arr(&w);
	for (unsigned i = 0; i < ARRAY_LEN(vectors); i++)
		write_one(&w, i, &vectors[i]);
	jw_arr_end(&w);
	snprintf(path, sizeof(path), "%s/what.json", base_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && !json.failed && !fd_write_all(fd, json.p, json.n));
	ok(!run_other(false), "the second implementation opens what is sealed here");
	snprintf(path, sizeof(path), "%s/5", base_dir);
	must(!truncate(path, 111));
	ok(run_other(true), "and would not open it cut");
}

int main(void)
{
	struct ws_key *key;

	folder_new();
	key = key_from(128);
	wrapped();
	for (unsigned i = 0; i < ARRAY_LEN(vectors); i++)
		one(key, &vectors[i]);
	other_opens();
	ws_key_free(key);
	folder_end();
	return tap_done();
}
