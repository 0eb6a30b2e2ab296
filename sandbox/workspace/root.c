/* root.c: the operator's root key. See root.h. */
#include "sandbox/workspace/root.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/workspace/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "fumehood-root-1"
#define MAX_LINE 512
#define KEY_CHARS 43
#define MAX_OPS 64
#define MIN_KIB 8
#define MAX_KIB ((uint64_t)4 << 20)

int ws_root_find(struct ws_root *r, const char *file, const char *credentials,
		 const char *state_dir, struct err *e)
{
	int n = -1;

	*r = (struct ws_root){.ops = WS_ARGON_OPS, .kib = WS_ARGON_KIB};
	if (file && *file) {
		n = snprintf(r->path, sizeof(r->path), "%s", file);
	} else if (credentials && *credentials == '/') {
		n = snprintf(r->path, sizeof(r->path), "%s/fumehood.root", credentials);
		r->credential =
			n > 0 && (size_t)n < sizeof(r->path) && !access(r->path, F_OK);
	}
	if (!r->credential && !(file && *file))
		n = snprintf(r->path, sizeof(r->path), "%s/root.key", state_dir);
	/* room for what is put behind it */
	if (n > 0 && (size_t)n + 8 < sizeof(r->path))
		return 0;
	return err_set(e, ERR_INVALID, "the name of the root key's file is too long");
}

static const char *path_new(const struct ws_root *r, char dst[WS_ROOT_PATH_SIZE])
{
	must(snprintf(dst, WS_ROOT_PATH_SIZE, "%.4080s.new", r->path) > 0);
	return dst;
}

void ws_root_finish(struct ws_root *r)
{
	ws_key_free(r->key);
	r->key = NULL;
}

/* --- reading ---------------------------------------------------------------------- */

static int check_owner(const struct ws_root *r, const struct stat *st, struct err *e)
{
	const mode_t excess = st->st_mode & (r->credential ? 07337 : 07377);

	if (!S_ISREG(st->st_mode) || st->st_nlink != 1) {
		err_set(e, ERR_DENIED,
			"the root key %s is no ordinary file with one name", r->path);
		return err_fix(e, "see who put it there");
	}
	if (st->st_uid != geteuid() && !(r->credential && !st->st_uid)) {
		err_set(e, ERR_DENIED,
			"the root key %s belongs to user id %u, not to %u", r->path,
			(unsigned)st->st_uid, (unsigned)geteuid());
		return err_fix(e, "run this as that user, or as root: chown %u %s",
			       (unsigned)geteuid(), r->path);
	}
	if (!excess)
		return 0;
	err_set(e, ERR_DENIED,
		"the root key %s may be read or written by more than its owner's reading "
		"(mode %03o)",
		r->path, (unsigned)(st->st_mode & 0777));
	return err_fix(e,
		       "chmod 400 %s; if somebody may have read it: fumehood key root "
		       "rotate",
		       r->path);
}

/* Without the line's end; its length, or -1. */
static int64_t read_line(const struct ws_root *r, const char *path, char line[MAX_LINE],
			 struct err *e)
{
	AUTO_FD fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	size_t n;

	if (fd < 0 && errno == ENOENT) {
		err_set(e, ERR_NOT_FOUND, "there is no root key %s", r->path);
		return err_fix(e, "make one: fumehood key root init; or name it: "
				  "--root-key FILE");
	}
	if (fd < 0) {
		err_sys(e, "the root key %s", r->path);
		return err_fix(e, "name an ordinary file that this user may read");
	}
	if (fstat(fd, &st))
		return err_sys(e, "the root key %s", r->path);
	if (check_owner(r, &st, e))
		return -1;
	n = fd_read_at(fd, 0, line, MAX_LINE);
	if (n && line[n - 1] == '\n')
		n--;
	return n < MAX_LINE ? (int64_t)n : 0;
}

int ws_root_parse(struct ws_root *r, struct sv line, unsigned char bytes[WS_KEY_BYTES])
{
	struct sv f[6] = {{"", 0}};
	bool more = true;
	unsigned n = 0;
	size_t got;

	while (n < ARRAY_LEN(f) && sv_cut(&line, ' ', &more, &f[n]))
		n++;
	if (more || n < 4 || !sv_eq(f[0], SV(MAGIC)) ||
	    sodium_hex2bin(r->name, sizeof(r->name), f[2].p, f[2].n, NULL, &got,
			   NULL) ||
	    got != sizeof(r->name))
		return -1;
	r->passphrase = sv_eq(f[1], SV("argon2id"));
	if (r->passphrase)
		return n != 6 || sv_to_u64(f[3], &r->ops) || !r->ops ||
				       r->ops > MAX_OPS || sv_to_u64(f[4], &r->kib) ||
				       r->kib < MIN_KIB || r->kib > MAX_KIB ||
				       sodium_hex2bin(r->salt, sizeof(r->salt), f[5].p,
						      f[5].n, NULL, &got, NULL) ||
				       got != sizeof(r->salt)
			       ? -1
			       : 0;
	return n != 4 || !sv_eq(f[1], SV("key")) || f[3].n != KEY_CHARS ||
			       sodium_base642bin(
				       bytes, WS_KEY_BYTES, f[3].p, f[3].n, NULL, &got,
				       NULL,
				       sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
			       got != WS_KEY_BYTES
		       ? -1
		       : 0;
}

static int is_none(const struct ws_root *r, const char *why, struct err *e)
{
	err_set(e, ERR_INVALID, "%s is not a root key of fumehood%s", r->path, why);
	return err_fix(e, "name the right file with --root-key, or restore it from "
			  "where you keep a copy");
}

static int read_from(struct ws_root *r, const char *path, struct err *e)
{
	unsigned char bytes[WS_KEY_BYTES];
	char line[MAX_LINE];
	const int64_t n = read_line(r, path, line, e);
	int rc = n < 0 ? -1 : 0;

	if (!rc && ws_root_parse(r, (struct sv){line, (size_t)n}, bytes))
		rc = is_none(r, "", e);
	sodium_memzero(line, sizeof(line));
	if (!rc && !r->passphrase) {
		r->key = ws_key_take(bytes, e);
		rc = r->key ? 0 : -1;
	}
	sodium_memzero(bytes, sizeof(bytes));
	if (!rc && r->key &&
	    memcmp(ws_key_name(r->key), r->name, sizeof(r->name)) != 0) {
		ws_root_finish(r);
		rc = is_none(r, " any more: it was changed", e);
	}
	return rc;
}

int ws_root_read(struct ws_root *r, struct err *e)
{
	must(!r->key);
	return read_from(r, r->path, e);
}

/* --- passphrases ------------------------------------------------------------------ */

static struct ws_key *derive(const struct ws_root *r, struct sv passphrase,
			     struct err *e)
{
	unsigned char bytes[WS_KEY_BYTES];

	if (crypto_pwhash(bytes, sizeof(bytes), passphrase.p, passphrase.n, r->salt,
			  r->ops, (size_t)r->kib << 10, crypto_pwhash_ALG_ARGON2ID13)) {
		err_set(e, ERR_LIMIT, "the passphrase needs %llu MiB of memory",
			(unsigned long long)r->kib >> 10);
		err_fix(e, "make that much available: the root key was made with it");
		return NULL;
	}
	return ws_key_take(bytes, e);
}

int ws_root_unlock(struct ws_root *r, struct sv passphrase, struct err *e)
{
	struct ws_key *k;

	if (r->key)
		return 0;
	k = derive(r, passphrase, e);
	if (!k)
		return -1;
	if (!memcmp(ws_key_name(k), r->name, sizeof(r->name))) {
		r->key = k;
		return 0;
	}
	ws_key_free(k);
	err_set(e, ERR_DENIED, "that is not the passphrase of the root key %s",
		r->path);
	return err_fix(e, "try again; without it nothing that was kept can be opened");
}

/* --- making ----------------------------------------------------------------------- */

/* Makes the folder's entry for path last. */
static int sync_folder(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char folder[WS_ROOT_PATH_SIZE];
	AUTO_FD fd = -1;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
		 slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? err_sys(e, "sync the folder %s", folder) : 0;
}

static int write_new(const struct ws_root *r, struct sv line, struct err *e)
{
	char path[WS_ROOT_PATH_SIZE];
	AUTO_FD fd = open(path_new(r, path),
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

	if (fd < 0) {
		err_sys(e, "the root key %s cannot be made", path);
		return err_fix(e, "name a place where this user may write with "
				  "--root-key");
	}
	if (!fchmod(fd, 0400) && !fd_write_all(fd, line.p, line.n) && !fsync(fd))
		return sync_folder(path, e);
	err_sys(e, "the root key %s cannot be written", path);
	unlink(path);
	return -1;
}

static void put_line(const struct ws_root *r, char line[MAX_LINE])
{
	char name[2 * WS_KEY_NAME_BYTES + 1], salt[2 * sizeof(r->salt) + 1];
	char key[KEY_CHARS + 1];

	sodium_bin2hex(name, sizeof(name), r->name, sizeof(r->name));
	sodium_bin2hex(salt, sizeof(salt), r->salt, sizeof(r->salt));
	if (r->passphrase) {
		snprintf(line, MAX_LINE, MAGIC " argon2id %s %llu %llu %s\n", name,
			 (unsigned long long)r->ops, (unsigned long long)r->kib, salt);
		return;
	}
	sodium_bin2base64(key, sizeof(key), ws_key_open(r->key), WS_KEY_BYTES,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	ws_key_shut(r->key);
	snprintf(line, MAX_LINE, MAGIC " key %s %s\n", name, key);
	sodium_memzero(key, sizeof(key));
}

int ws_root_make(struct ws_root *r, struct sv passphrase, struct err *e)
{
	struct ws_root made = *r;
	char line[MAX_LINE];
	int rc;

	if (r->credential) {
		err_set(e, ERR_DENIED,
			"a credential of systemd cannot be changed here");
		return err_fix(e,
			       "work on the file it is made of, with --root-key, and "
			       "encrypt that again (systemd-creds)");
	}
	if (passphrase.n &&
	    (passphrase.n < WS_MIN_PASSPHRASE || passphrase.n > WS_MAX_PASSPHRASE)) {
		err_set(e, ERR_INVALID, "that passphrase has %zu bytes", passphrase.n);
		return err_fix(e, "take one of %d to %d", WS_MIN_PASSPHRASE,
			       WS_MAX_PASSPHRASE);
	}
	made.passphrase = passphrase.n != 0;
	randombytes_buf(made.salt, sizeof(made.salt));
	made.key = made.passphrase ? derive(&made, passphrase, e) : ws_key_new(e);
	if (!made.key)
		return -1;
	memcpy(made.name, ws_key_name(made.key), sizeof(made.name));
	put_line(&made, line);
	rc = write_new(&made, sv_of(line), e);
	sodium_memzero(line, sizeof(line));
	if (rc)
		ws_root_finish(&made);
	else
		*r = made;
	return rc;
}

/* --- the old and the new ---------------------------------------------------------- */

/* The bytes of a file that has no name any more, as far as they can be reached. */
static void overwrite(int old)
{
	static const char zeroes[MAX_LINE];
	char path[40];
	AUTO_FD fd = -1;

	if (old < 0 || fchmod(old, 0600))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", old);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && pwrite(fd, zeroes, sizeof(zeroes), 0) > 0)
		fsync(fd);
}

int ws_root_keep(const struct ws_root *r, struct err *e)
{
	char path[WS_ROOT_PATH_SIZE];
	AUTO_FD old = open(r->path,
			   O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (rename(path_new(r, path), r->path)) {
		err_sys(e, "%s cannot take the place of %s", path, r->path);
		return err_fix(e, "the key in %s is the one in force: move it there",
			       path);
	}
	if (sync_folder(r->path, e))
		return -1;
	overwrite(old);
	return 0;
}

/* The name in the file at path; else why there is none: ERR_INVALID when it is no root key. */
static enum err_code name_at(const struct ws_root *r, const char *path,
			     unsigned char name[WS_KEY_NAME_BYTES])
{
	struct ws_root found = *r;
	struct err e = {0};

	found.key = NULL;
	read_from(&found, path, &e);
	memcpy(name, found.name, sizeof(found.name));
	ws_root_finish(&found);
	return e.code;
}

int ws_root_settle(const struct ws_root *r, const unsigned char *name, struct err *e)
{
	unsigned char new[WS_KEY_NAME_BYTES], old[WS_KEY_NAME_BYTES];
	char path[WS_ROOT_PATH_SIZE];
	enum err_code has_new, has_old;

	if (access(path_new(r, path), F_OK))
		return 0;
	has_new = name_at(r, path, new);
	has_old = name_at(r, r->path, old);
	/* made and never used, or in force */
	if (!has_new &&
	    (name ? !memcmp(new, name, sizeof(new)) : has_old == ERR_NOT_FOUND))
		return ws_root_keep(r, e);
	/* half written, or not in force: nothing was ever wrapped with it */
	if (has_new == ERR_INVALID ||
	    (name && !has_old && !memcmp(old, name, sizeof(old))))
		return unlink(path) ? err_sys(e, "remove %s", path) : 0;
	err_set(e, ERR_DENIED, "%s is in the way", path);
	return err_fix(e, "it may be the root key of another state folder, whose "
			  "rotation was cut off: rotate that one, or move it away");
}
