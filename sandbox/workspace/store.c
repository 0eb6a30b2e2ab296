/* store.c: a folder of sealed objects. See store.h.
 *
 * Theory of operation. An object is written under a name of its own (new.N). Its bytes are sent to the disk
 * while the next one is sealed, and waited for by ws_store_flush, file by file, so that an error is of a known
 * object. Then come the renames, then one sync of the folder. Renames are not ordered among each other by all
 * file systems, hence the rule that what refers to other objects is put after they were flushed. */
#include "sandbox/workspace/store.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/workspace/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE (2 * WS_ID_BYTES + 1)
#define MAX_PENDING 1024 /* then they are flushed */

struct pending {
	uint64_t nr;
	bool named;
	unsigned char id[WS_ID_BYTES];
};

static const char *name_of(const unsigned char id[WS_ID_BYTES], char dst[NAME_SIZE])
{
	return sodium_bin2hex(dst, NAME_SIZE, id, WS_ID_BYTES);
}

static const char *new_name(uint64_t nr, char dst[NAME_SIZE])
{
	snprintf(dst, NAME_SIZE, "new.%llu", (unsigned long long)nr);
	return dst;
}

/* n bytes of lower-case hex, and nothing else. */
static bool parse_name(const char *name, unsigned char *ret, size_t n)
{
	const size_t len = strlen(name);

	return len == 2 * n && strspn(name, "0123456789abcdef") == len &&
	       !sodium_hex2bin(ret, n, name, len, NULL, NULL, NULL);
}

static int disk_error(const char *what, const char *deed, struct err *e)
{
	const int sys = errno;

	if (sys != ENOSPC && sys != EDQUOT)
		return err_sys(e, "%s could not be %s", what, deed);
	err_set(e, ERR_LIMIT, "%s could not be %s: the disk is full", what, deed);
	if (e)
		e->sys = sys;
	return err_fix(
		e, "free space on the disk of the state folder, or delete snapshots");
}

/* --- folders ---------------------------------------------------------------------- */

typedef void on_entry_fn(void *arg, int dir, const char *name);

static int cannot_walk(struct err *e)
{
	return err_sys(e, "a folder of sealed objects cannot be read");
}

static int walk(int dir, on_entry_fn *on_entry, void *arg, struct err *e)
{
	AUTO_FD fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int rc;

	if (!d)
		return cannot_walk(e);
	fd_steal(&fd);
	while (errno = 0, (entry = readdir(d)) != NULL)
		on_entry(arg, dir, entry->d_name);
	rc = errno ? cannot_walk(e) : 0;
	closedir(d);
	return rc;
}

static void sweep_one(void *arg, int dir, const char *name)
{
	(void)arg;
	if (sv_starts(sv_of(name), SV("new.")))
		unlinkat(dir, name, 0);
}

void ws_store_name(const unsigned char key_name[WS_KEY_NAME_BYTES],
		   char ret[WS_STORE_NAME_SIZE])
{
	sodium_bin2hex(ret, WS_STORE_NAME_SIZE, key_name, WS_KEY_NAME_BYTES);
}

/* The folder, locked; -1. */
static int open_folder(int parent, const char *name, struct err *e)
{
	AUTO_FD dir =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || fstat(dir, &st))
		return err_sys(e, "open the folder %s of sealed objects", name);
	if (st.st_uid != geteuid() || (st.st_mode & 077)) {
		err_set(e, ERR_DENIED,
			"the folder %s of sealed objects is not ours alone", name);
		return err_fix(e, "see who changed it (owner, mode 0700)");
	}
	if (!flock(dir, LOCK_EX | LOCK_NB))
		return fd_steal(&dir);
	if (errno != EWOULDBLOCK)
		return err_sys(e, "lock the folder %s of sealed objects", name);
	err_set(e, ERR_BUSY, "another server has the workspace in %s open", name);
	return err_fix(e, "close it there first");
}

int ws_store_open(struct ws_store *st, const struct ws_store_opts *o, struct err *e)
{
	char name[WS_STORE_NAME_SIZE];

	*st = (struct ws_store){.o = *o, .dir = -1, .put_fd = -1, .get_fd = -1};
	buf_init(&st->pending, MAX_PENDING * sizeof(struct pending));
	ws_store_name(ws_key_name(o->key), name);
	if (!mkdirat(o->parent, name, 0700)) {
		if (fsync(o->parent))
			return disk_error("the folder of a workspace", "made", e);
	} else if (errno != EEXIST) {
		return disk_error("the folder of a workspace", "made", e);
	}
	st->dir = open_folder(o->parent, name, e);
	if (st->dir < 0 || walk(st->dir, sweep_one, NULL, e)) {
		fd_close(&st->dir);
		return -1;
	}
	return 0;
}

/* --- putting ---------------------------------------------------------------------- */

static struct ws_place place_of(const struct ws_store *st, const struct ws_object *x)
{
	return (struct ws_place){.key = st->o.key,
				 .tenant = st->o.tenant,
				 .workspace = st->o.workspace,
				 .generation = x->generation,
				 .what = x->what};
}

static void forget(struct ws_store *st, uint64_t nr)
{
	char name[NAME_SIZE];

	unlinkat(st->dir, new_name(nr, name), 0);
}

static unsigned pending(const struct ws_store *st)
{
	return (unsigned)(st->pending.n / sizeof(struct pending));
}

static struct pending pending_at(const struct ws_store *st, unsigned i)
{
	struct pending p;

	memcpy(&p, st->pending.p + i * sizeof(p), sizeof(p));
	return p;
}

int ws_put_start(struct ws_store *st, const struct ws_object *x, struct err *e)
{
	const struct ws_place at = place_of(st, x);
	char name[NAME_SIZE];

	must(st->put_fd < 0);
	if (pending(st) == MAX_PENDING && ws_store_flush(st, e))
		return -1;
	st->named = x->label.name.n != 0;
	st->put_fd = openat(st->dir, new_name(st->next, name),
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (st->put_fd < 0)
		return disk_error(x->what, "made", e);
	if (!ws_seal_start(st->o.seal, &at, x->label.name,
			   &(struct ws_file){.fd = st->put_fd}, e))
		return 0;
	ws_put_drop(st);
	return -1;
}

void ws_put_drop(struct ws_store *st)
{
	if (st->put_fd < 0)
		return;
	ws_seal_drop(st->o.seal);
	fd_close(&st->put_fd);
	forget(st, st->next++);
}

/* What is being put is there already; not one that was cut short. */
static bool has_it(const struct ws_store *st, const unsigned char id[WS_ID_BYTES])
{
	char name[NAME_SIZE];
	struct stat is;

	return !fstatat(st->dir, name_of(id, name), &is, AT_SYMLINK_NOFOLLOW) &&
	       S_ISREG(is.st_mode) && is.st_size == fd_size(st->put_fd);
}

int ws_put_end(struct ws_store *st, unsigned char ret_id[WS_ID_BYTES], struct err *e)
{
	struct pending p = {.nr = st->next, .named = st->named};

	must(st->put_fd >= 0);
	if (ws_seal_end(st->o.seal, p.id, e)) {
		ws_put_drop(st);
		return -1;
	}
	if (!p.named && has_it(st, p.id)) {
		ws_put_drop(st);
	} else {
		buf_add(&st->pending, &p, sizeof(p));
		if (st->pending.failed) {
			st->pending.failed = false; /* what is in it is as it was */
			ws_put_drop(st);
			return err_set(e, ERR_LIMIT, "out of memory");
		}
		/* on its way while the next is sealed; the flush waits for it */
		sync_file_range(st->put_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		fd_close(&st->put_fd);
		st->next++;
	}
	memcpy(ret_id, p.id, sizeof(p.id));
	return 0;
}

static int sync_one(const struct ws_store *st, const struct pending *p, struct err *e)
{
	char name[NAME_SIZE];
	AUTO_FD fd = openat(st->dir, new_name(p->nr, name),
			    O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || fsync(fd) ? disk_error("a sealed object", "written", e) : 0;
}

static int rename_one(const struct ws_store *st, const struct pending *p, struct err *e)
{
	char from[NAME_SIZE], to[NAME_SIZE];

	return renameat(st->dir, new_name(p->nr, from), st->dir, name_of(p->id, to))
		       ? disk_error("a sealed object", "put in its place", e)
		       : 0;
}

static int flush(struct ws_store *st, struct err *e)
{
	for (unsigned i = 0; i < pending(st); i++) {
		const struct pending p = pending_at(st, i);

		if (sync_one(st, &p, e))
			return -1;
	}
	for (unsigned i = 0; i < pending(st); i++) {
		const struct pending p = pending_at(st, i);

		if (rename_one(st, &p, e))
			return -1;
	}
	return fsync(st->dir) ? disk_error("the folder of a workspace", "written", e)
			      : 0;
}

int ws_store_flush(struct ws_store *st, struct err *e)
{
	const unsigned n = pending(st);
	const int rc = n ? flush(st, e) : 0;

	for (unsigned i = 0; rc && i < n; i++)
		forget(st, pending_at(st, i).nr); /* those that are left */
	buf_reset(&st->pending);
	return rc;
}

void ws_store_finish(struct ws_store *st)
{
	ws_put_drop(st);
	ws_get_end(st);
	for (unsigned i = 0; i < pending(st); i++)
		forget(st, pending_at(st, i).nr);
	buf_finish(&st->pending);
	fd_close(&st->dir);
}

/* --- getting ---------------------------------------------------------------------- */

int ws_get(struct ws_store *st, const struct ws_object *x, struct err *e)
{
	const struct ws_place at = place_of(st, x);
	unsigned char id[WS_ID_BYTES];
	char name[NAME_SIZE];

	must(st->get_fd < 0);
	if (!x->label.id)
		ws_id_of_name(st->o.key, x->label.name, id);
	st->get_fd = openat(st->dir, name_of(x->label.id ? x->label.id : id, name),
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (st->get_fd < 0 && errno == ENOENT) {
		err_set(e, ERR_NOT_FOUND, "%s is not there", x->what);
		return err_fix(
			e,
			"it was deleted, or the disk has lost it; what does not need it can be used");
	}
	if (st->get_fd < 0)
		return err_sys(e, "%s could not be opened", x->what);
	if (!ws_open_start(st->o.open, &at, &x->label,
			   &(struct ws_file){.fd = st->get_fd}, e))
		return 0;
	ws_get_end(st);
	return -1;
}

void ws_get_end(struct ws_store *st)
{
	if (st->get_fd < 0)
		return;
	ws_open_drop(st->o.open);
	fd_close(&st->get_fd);
}

bool ws_has(const struct ws_store *st, const unsigned char id[WS_ID_BYTES])
{
	char name[NAME_SIZE];

	return !faccessat(st->dir, name_of(id, name), F_OK, AT_SYMLINK_NOFOLLOW);
}

int ws_delete(struct ws_store *st, const unsigned char id[WS_ID_BYTES], struct err *e)
{
	char name[NAME_SIZE];

	return unlinkat(st->dir, name_of(id, name), 0) && errno != ENOENT
		       ? err_sys(e, "a sealed object could not be deleted")
		       : 0;
}

struct each {
	void (*on_object)(void *arg, const unsigned char *id, uint64_t sealed_bytes);
	void (*on_store)(void *arg, const unsigned char *key_name);
	void *arg;
};

static void each_object(void *arg, int dir, const char *name)
{
	const struct each *x = arg;
	unsigned char id[WS_ID_BYTES];
	struct stat st;

	if (parse_name(name, id, sizeof(id)) &&
	    !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
		x->on_object(x->arg, id, (uint64_t)st.st_size);
}

int ws_each(struct ws_store *st,
	    void (*on_object)(void *arg, const unsigned char *id,
			      uint64_t sealed_bytes),
	    void *arg, struct err *e)
{
	struct each x = {.on_object = on_object, .arg = arg};

	return walk(st->dir, each_object, &x, e);
}

/* --- all of a workspace ----------------------------------------------------------- */

static void remove_one(void *arg, int dir, const char *name)
{
	(void)arg;
	unlinkat(dir, name, 0);
}

int ws_store_destroy(int parent, const unsigned char key_name[WS_KEY_NAME_BYTES],
		     struct err *e)
{
	char name[WS_STORE_NAME_SIZE];
	AUTO_FD dir = -1;

	ws_store_name(key_name, name);
	if (faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
		return 0;
	dir = open_folder(parent, name, e);
	if (dir < 0 || walk(dir, remove_one, NULL, e))
		return -1;
	if (!unlinkat(parent, name, AT_REMOVEDIR) && !fsync(parent))
		return 0;
	err_sys(e, "the folder %s of sealed objects could not be removed", name);
	return err_fix(e, "see what is left in it; its key is gone all the same");
}

static void each_store(void *arg, int dir, const char *name)
{
	const struct each *x = arg;
	unsigned char key_name[WS_KEY_NAME_BYTES];
	struct stat st;

	if (parse_name(name, key_name, sizeof(key_name)) &&
	    !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode))
		x->on_store(x->arg, key_name);
}

int ws_store_list(int parent,
		  void (*on_store)(void *arg, const unsigned char *key_name), void *arg,
		  struct err *e)
{
	struct each x = {.on_store = on_store, .arg = arg};

	return walk(parent, each_store, &x, e);
}
