/* image.c: where images are, and what makes one fit to be used; see image.h. */
#include "mcp/image.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define OLD ".old-"

int image_name_check(struct sv name, struct err *e)
{
	static const char others[] = "-_.";
	bool good = name.n && name.n < IMAGE_NAME_SIZE && !sv_ends(name, SV(".new"));

	for (size_t i = 0; i < name.n; i++) {
		const char c = name.p[i];
		const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				    (c >= '0' && c <= '9');

		good = good && (letter || (i && c && strchr(others, c)));
	}
	if (good)
		return 0;
	err_set(e, ERR_INVALID, "that is no name for an image");
	return err_fix(e,
		       "use letters, digits, '-', '_' and '.', at most %d, beginning "
		       "with a letter or digit and not ending with .new",
		       IMAGE_NAME_SIZE - 1);
}

bool image_is_plain(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0 && s.n <= 128;
}

/* --- who can write there ----------------------------------------------------------------------------- */

static int check_owner(int dir, const char *what, struct err *e)
{
	struct stat st;

	if (fstat(dir, &st))
		return err_sys(e, "look at %s", what);
	if (st.st_uid && st.st_uid != geteuid()) {
		err_set(e, ERR_DENIED, "%s belongs to user id %u, not to %u", what,
			(unsigned)st.st_uid, (unsigned)geteuid());
		return err_fix(
			e, "see who made it; an image must be its operator's alone");
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		err_set(e, ERR_DENIED, "%s can be written by others (mode %03o)", what,
			(unsigned)(st.st_mode & 0777));
		return err_fix(e,
			       "see who has; then remove the image and make it again");
	}
	return 0;
}

/* --- the folder of all -------------------------------------------------------------------------------- */

/* What nobody has open any more, and what was given up while it was made. */
static void sweep(int store)
{
	const int own = openat(store, ".", FOLDER_FLAGS);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	const struct dirent *row;

	while (d && (row = readdir(d))) {
		const struct sv name = sv_of(row->d_name);
		AUTO_FD dir = -1;

		if (!sv_starts(name, SV(OLD)) && !sv_ends(name, SV(".new")))
			continue;
		dir = openat(store, row->d_name, FOLDER_FLAGS);
		if (dir < 0 || !flock(dir, LOCK_EX | LOCK_NB))
			image_tree_remove(store, row->d_name, NULL);
	}
	if (d)
		closedir(d);
}

static int lock_store(int store, struct err *e)
{
	if (!flock(store, LOCK_EX | LOCK_NB))
		return 0;
	err_set(e, ERR_BUSY,
		"another `fumehood image` is at work in this state folder");
	return err_fix(e, "wait until it has ended");
}

int image_store_open(const struct options *o, bool make, struct err *e)
{
	AUTO_FD state = make ? led_state_dir(o->state_dir, e)
			     : open(o->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD store = -1;

	if (state < 0 && make)
		return -1;
	if (state >= 0 && make && mkdirat(state, "images", 0755) && errno != EEXIST)
		return err_sys(e, "make %.200s/images", o->state_dir);
	store = state < 0 ? -1 : openat(state, "images", FOLDER_FLAGS);
	if (store < 0 && errno == ENOENT) {
		err_set(e, ERR_NOT_FOUND, "there is no image in %.200s", o->state_dir);
		return err_fix(e,
			       "`fumehood image create NAME --python 'pandas'` makes "
			       "one; or name its state folder with --state");
	}
	if (store < 0)
		return err_sys(e, "open %.200s/images", o->state_dir);
	if (check_owner(state, "the state folder", e) ||
	    check_owner(store, "the folder of images", e) ||
	    (make && lock_store(store, e)))
		return -1;
	if (make)
		sweep(store);
	return fd_steal(&store);
}

/* --- one ----------------------------------------------------------------------------------------------- */

static int not_found(const char *name, struct err *e)
{
	err_set(e, ERR_NOT_FOUND, "there is no image %.64s", name);
	return err_fix(e,
		       "`fumehood image list` shows those there are, and `fumehood "
		       "image create %.64s --python '...'` makes it",
		       name);
}

int image_open_in(int store, const char *name, bool unfinished, struct err *e)
{
	for (;;) {
		char at[IMAGE_NAME_SIZE + 8];
		struct stat is, named;
		AUTO_FD dir = -1;

		snprintf(at, sizeof(at), "%s%s", name, unfinished ? ".new" : "");
		dir = openat(store, at, FOLDER_FLAGS);
		if (dir < 0 && errno == ENOENT)
			return not_found(name, e);
		if (dir < 0 || flock(dir, LOCK_SH) || fstat(dir, &is))
			return err_sys(e, "open the image %.64s", name);
		if (check_owner(dir, "the image", e))
			return -1;
		/* replaced before the lock was there: what is open now may be half removed */
		if (!fstatat(store, at, &named, AT_SYMLINK_NOFOLLOW) &&
		    named.st_ino == is.st_ino && named.st_dev == is.st_dev)
			return fd_steal(&dir);
	}
}

static int check_complete(int dir, const char *name, struct err *e)
{
	struct cJSON *m = image_manifest(dir, e);
	struct image_sum sum;
	int64_t entries = -1, bytes = -1;

	if (!m)
		return -1;
	js_int(js_get(m, "entries"), &entries);
	js_int(js_get(m, "bytes"), &bytes);
	cJSON_Delete(m);
	if (image_tree_check(dir, &sum, e))
		return -1;
	if (sum.entries == (uint64_t)entries && sum.bytes == (uint64_t)bytes)
		return 0;
	err_set(e, ERR_DENIED, "the image %.64s is not as it was made", name);
	return err_fix(e, "make it again: fumehood image create %.64s ...", name);
}

int image_open(const struct options *o, struct err *e)
{
	AUTO_FD store = -1;
	AUTO_FD dir = -1;

	if (image_name_check(sv_of(o->image), e))
		return -1;
	store = image_store_open(o, false, e);
	dir = store < 0 ? -1 : image_open_in(store, o->image, o->image_unfinished, e);
	if (dir < 0 || (!o->image_unfinished && check_complete(dir, o->image, e)))
		return -1;
	return fd_steal(&dir);
}

/* --- the manifest --------------------------------------------------------------------------------------- */

static bool is_hex_digest(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
		      (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == IMAGE_DIGEST_SIZE - 1;
}

struct cJSON *image_manifest(int dir, struct err *e)
{
	AUTO_FD fd = openat(dir, IMAGE_MANIFEST,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO_BUF b = {.max = IMAGE_MAX_MANIFEST_BYTES};
	struct cJSON *m = NULL;
	int64_t format;

	if (fd < 0 || check_owner(fd, "the image's manifest", e) ||
	    fd_read_all(fd, &b, e)) {
		err_set(e, ERR_NOT_FOUND,
			"the image is not complete: it has no manifest");
		err_fix(e, "make it again with `fumehood image create`");
		return NULL;
	}
	m = rpc_json_parse(buf_view(&b), e);
	if (m && !js_int(js_get(m, "format"), &format) && format == 1 &&
	    is_hex_digest(js_str(js_get(m, "sha256"))) &&
	    !image_name_check(js_str(js_get(m, "name")), NULL))
		return m;
	cJSON_Delete(m);
	err_clear(e);
	err_set(e, ERR_DENIED, "the image's manifest is not one this version makes");
	err_fix(e, "make the image again with `fumehood image create`");
	return NULL;
}

int image_verify(int dir, struct err *e)
{
	struct cJSON *m = image_manifest(dir, e);
	char found[IMAGE_DIGEST_SIZE];
	struct image_sum sum;
	bool same = false;

	if (!m)
		return -1;
	if (!image_tree_check(dir, &sum, e) && !image_tree_digest(dir, found, e)) {
		same = sv_eq(sv_of(found), js_str(js_get(m, "sha256")));
		if (!same) {
			err_set(e, ERR_DENIED, "the image was altered: SHA-256 %s",
				found);
			err_fix(e, "see who did; then make it again");
		}
	}
	cJSON_Delete(m);
	return same ? 0 : -1;
}

static void add_package(struct sup_image *ret, size_t *n, const struct cJSON *p)
{
	const struct sv language = js_str(js_get(p, "language"));
	const struct sv name = js_str(js_get(p, "name"));
	const struct sv version = js_str(js_get(p, "version"));
	const size_t room = sizeof(ret->packages) - *n;

	if (!image_is_plain(language) || !image_is_plain(name) ||
	    !image_is_plain(version))
		return;
	ret->count++;
	if (language.n + name.n + version.n + 4 > room || ret->cut) {
		ret->cut = true;
		return;
	}
	*n += (size_t)snprintf(ret->packages + *n, room,
			       SV_FMT " " SV_FMT " " SV_FMT "\n", SV_ARG(language),
			       SV_ARG(name), SV_ARG(version));
}

int image_facts(int dir, struct sup_image *ret, struct err *e)
{
	struct cJSON *m;
	size_t n = 0;

	*ret = (struct sup_image){.name = "unfinished"};
	if (faccessat(dir, IMAGE_MANIFEST, F_OK, 0))
		return 0;
	m = image_manifest(dir, e);
	if (!m)
		return -1;
	if (sv_copy(js_str(js_get(m, "name")), ret->name, sizeof(ret->name)) ||
	    sv_copy(js_str(js_get(m, "sha256")), ret->sha256, sizeof(ret->sha256)))
		must(false); /* image_manifest has checked both */
	for (const struct cJSON *p = js_first(js_get(m, "packages")); p; p = js_next(p))
		add_package(ret, &n, p);
	cJSON_Delete(m);
	return 0;
}

/* --- change ------------------------------------------------------------------------------------------- */

/* Under a name nothing looks for. */
static int move_away(int store, const char *name, char old[32], struct err *e)
{
	snprintf(old, 32, OLD "%08x", (unsigned)randombytes_random());
	return renameat(store, name, store, old) ? err_sys(e, "rename %.70s", name) : 0;
}

static int bury(int store, const char *old, bool *ret_kept, struct err *e)
{
	AUTO_FD dir = openat(store, old, FOLDER_FLAGS);

	/* what is no folder was never an image */
	*ret_kept = dir >= 0 && flock(dir, LOCK_EX | LOCK_NB);
	return *ret_kept ? 0 : image_tree_remove(store, old, e);
}

int image_retire(int store, const char *name, bool *ret_kept, struct err *e)
{
	char old[32];

	if (faccessat(store, name, F_OK, AT_SYMLINK_NOFOLLOW))
		return not_found(name, e);
	return move_away(store, name, old, e) || bury(store, old, ret_kept, e) ? -1 : 0;
}

int image_publish(int store, const char *name, bool *ret_kept, struct err *e)
{
	char made[IMAGE_NAME_SIZE + 8], old[32];

	*ret_kept = false;
	snprintf(made, sizeof(made), "%s.new", name);
	if (!renameat2(store, made, store, name, RENAME_NOREPLACE))
		return fsync(store) ? err_sys(e, "fsync the folder of images") : 0;
	if (errno != EEXIST)
		return err_sys(e, "rename %.70s", made);
	if (renameat2(store, made, store, name, RENAME_EXCHANGE))
		return err_sys(e, "exchange %.70s", made);
	if (fsync(store))
		return err_sys(e, "fsync the folder of images");
	return move_away(store, made, old, e) || bury(store, old, ret_kept, e) ? -1 : 0;
}
