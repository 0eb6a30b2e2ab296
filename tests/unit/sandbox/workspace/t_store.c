/* A folder of sealed objects: put, got, deleted; names that tell nothing; what a stranger puts there. */
#include "store_test.h"

static char *path_of(const char *name)
{
	static char path[300];
	char folder[WS_STORE_NAME_SIZE];

	ws_store_name(ws_key_name(key), folder);
	snprintf(path, sizeof(path), "%s/%s/%s", base_dir, folder, name);
	return path;
}

static char *path_of_id(const unsigned char *id)
{
	char hex[65];

	return path_of(sodium_bin2hex(hex, sizeof(hex), id, WS_ID_BYTES));
}

struct seen {
	unsigned n;
	uint64_t bytes;
};
static void on_object(void *arg, const unsigned char *id, uint64_t sealed_bytes)
{
	struct seen *s = arg;

	must(id);
	s->n++;
	s->bytes += sealed_bytes;
}

static struct seen seen(struct ws_store *st)
{
	struct seen s = {0};

	must(!ws_each(st, on_object, &s, NULL));
	return s;
}

static void life(void)
{
	unsigned char big[WS_ID_BYTES], small[WS_ID_BYTES], again[WS_ID_BYTES],
		named[WS_ID_BYTES];
	struct ws_store st;
	struct err e = {0};
	struct stat is;

	must(!ws_store_open(&st, &opts, &e));
	ok(!put(&st, by_content(NULL), content(BIG), big, &e) &&
		   !put(&st, by_content(NULL), content(9), small, &e) &&
		   !put(&st, by_name("manifest", 1), content(100), named, &e),
	   "three are put %s", e.cause);
	ok(!ws_has(&st, big) && !seen(&st).n &&
		   get(&st, by_name("manifest", 1), content(100), &e) == -1 &&
		   e.code == ERR_NOT_FOUND,
	   "and not there before the flush: %s", e.cause);
	ok(!ws_store_flush(&st, &e) && ws_has(&st, big) && ws_has(&st, small) &&
		   ws_has(&st, named),
	   "then they are");
	ok(!get(&st, by_content(big), content(BIG), &e) &&
		   !get(&st, by_content(small), content(9), &e) &&
		   !get(&st, by_name("manifest", 1), content(100), &e),
	   "and opened %s", e.cause);
	ok(seen(&st).n == 3 && seen(&st).bytes == ws_sealed_bytes(BIG) +
							  ws_sealed_bytes(9) +
							  ws_sealed_bytes(100),
	   "listed with their sizes");
	must(!stat(path_of_id(big), &is));
	ok((is.st_mode & 07777) == 0600, "mode 0600");
	must(!stat(path_of(""), &is));
	ok((is.st_mode & 07777) == 0700, "in a folder of mode 0700");
	ok(!put(&st, by_content(NULL), content(BIG), again, &e) &&
		   !memcmp(big, again, sizeof(big)) && !ws_store_flush(&st, &e) &&
		   seen(&st).n == 3,
	   "equal contents are kept once");
	ok(!put(&st, by_name("manifest", 2), content(200), named, &e) &&
		   !ws_store_flush(&st, &e) && seen(&st).n == 3 &&
		   !get(&st, by_name("manifest", 2), content(200), &e),
	   "a name has its newest generation");
	err_clear(&e);
	ok(get(&st, by_name("manifest", 1), content(100), &e) == -1 &&
		   strstr(e.cause, "generation 2, not 1"),
	   "%s", e.cause);
	ok(!ws_delete(&st, small, &e) && !ws_has(&st, small) &&
		   !ws_delete(&st, small, &e) && seen(&st).n == 2,
	   "deleted, twice");
	ws_store_finish(&st);
	must(!ws_store_open(&st, &opts, &e));
	ok(!get(&st, by_content(big), content(BIG), &e) && seen(&st).n == 2,
	   "the rest is there when it is opened again");
	ws_store_finish(&st);
}

static void leftovers(void)
{
	unsigned char id[WS_ID_BYTES];
	struct ws_store st;
	struct err e = {0};
	unsigned n;

	must(!ws_store_open(&st, &opts, &e));
	n = seen(&st).n;
	must(!put(&st, by_content(NULL), content(1234), id, &e));
	must(!ws_put_start(&st, &(struct ws_object){.what = "y"}, &e));
	ok(!access(path_of("new.0"), F_OK) && !access(path_of("new.1"), F_OK),
	   "two are being written");
	ws_store_finish(&st);
	ok(access(path_of("new.0"), F_OK) && access(path_of("new.1"), F_OK),
	   "and gone when that is given up");
	must(!close(open(path_of("new.7"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
	must(!close(open(path_of("README"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
	must(!ws_store_open(&st, &opts, &e));
	ok(access(path_of("new.7"), F_OK) && !access(path_of("README"), F_OK) &&
		   seen(&st).n == n && !ws_has(&st, id),
	   "one of a server that died is swept; what is not ours is left, and no object");
	ws_store_finish(&st);
	must(!unlink(path_of("README")));
}

static void one_at_a_time(void)
{
	struct ws_store st, second;
	struct err e = {0};

	must(!ws_store_open(&st, &opts, &e));
	ok(ws_store_open(&second, &opts, &e) && e.code == ERR_BUSY, "%s", e.cause);
	err_clear(&e);
	ok(ws_store_destroy(opts.parent, ws_key_name(key), &e) && e.code == ERR_BUSY,
	   "nor destroyed: %s", e.cause);
	ws_store_finish(&st);
	ok(!ws_store_open(&second, &opts, &e), "later it can");
	ws_store_finish(&second);
}

/* Files are swapped, cut, replaced by links: what is got is told, the rest goes on. */
static void meddled(void)
{
	unsigned char a[WS_ID_BYTES], b[WS_ID_BYTES], c[WS_ID_BYTES];
	char pa[300], pb[300];
	struct ws_store st;
	struct err e = {0};

	must(!ws_store_open(&st, &opts, &e));
	must(!put(&st, by_content(NULL), content(1000), a, &e) &&
	     !put(&st, by_content(NULL), content(1001), b, &e) &&
	     !put(&st, by_content(NULL), content(1002), c, &e) &&
	     !ws_store_flush(&st, &e));
	snprintf(pa, sizeof(pa), "%s", path_of_id(a));
	snprintf(pb, sizeof(pb), "%s", path_of_id(b));
	must(!renameat2(AT_FDCWD, pa, AT_FDCWD, pb, RENAME_EXCHANGE));
	ok(get(&st, by_content(a), content(1000), &e) == -1 && e.code == ERR_DENIED,
	   "swapped: %s", e.cause);
	must(!renameat2(AT_FDCWD, pa, AT_FDCWD, pb, RENAME_EXCHANGE));
	must(!truncate(pa, 1100));
	err_clear(&e);
	ok(get(&st, by_content(a), content(1000), &e) == -1 &&
		   strstr(e.cause, "truncated"),
	   "%s", e.cause);
	ok(!put(&st, by_content(NULL), content(1000), a, &e) &&
		   !ws_store_flush(&st, &e) &&
		   !get(&st, by_content(a), content(1000), &e),
	   "one that was cut short is put anew");
	must(!unlink(pb) && !symlink(pa, pb));
	err_clear(&e);
	ok(get(&st, by_content(b), content(1000), &e) == -1 && e.sys == ELOOP, "%s",
	   e.cause);
	must(!unlink(pb) && !mkfifo(pb, 0600));
	err_clear(&e);
	ok(get(&st, by_content(b), content(1001), &e) == -1, "%s", e.cause);
	must(!unlink(pb));
	ok(!get(&st, by_content(c), content(1002), &e), "the rest can be got");
	ws_store_finish(&st);
}

static void many(void)
{
	unsigned char id[WS_ID_BYTES];
	struct ws_store st;
	struct err e = {0};
	unsigned n;

	must(!ws_store_open(&st, &opts, &e));
	n = seen(&st).n;
	for (unsigned i = 0; i < 1100; i++)
		must(!put(&st, by_content(NULL),
			  (struct sv){(const char *)&i, sizeof(i)}, id, &e));
	ok(seen(&st).n == n + 1024, "after 1024 it flushes by itself");
	ok(!ws_store_flush(&st, &e) && seen(&st).n == n + 1100, "then the rest");
	ws_store_finish(&st);
}

static void no_memory(void)
{
	unsigned char id[WS_ID_BYTES];
	struct ws_store st;
	struct err e = {0};
	unsigned n;

	must(!ws_store_open(&st, &opts, &e));
	n = seen(&st).n;
	must(!ws_put_start(&st, &(struct ws_object){.what = "object x"}, &e) &&
	     !ws_seal_add(opts.seal, "no memory", 9, &e));
	mem_fail_after(1);
	ok(ws_put_end(&st, id, &e) && e.code == ERR_LIMIT, "%s", e.cause);
	mem_fail_after(0);
	ok(!put(&st, by_content(NULL), SV("no memory"), id, &e) &&
		   !ws_store_flush(&st, &e) && seen(&st).n == n + 1,
	   "and put again when there is some");
	ws_store_finish(&st);
}

static unsigned n_stores;
static void on_store(void *arg, const unsigned char *key_name)
{
	n_stores += !memcmp(key_name, arg, WS_KEY_NAME_BYTES);
}

static void all_of_it(void)
{
	unsigned char name[WS_KEY_NAME_BYTES];
	struct err e = {0};
	struct stat st;

	memcpy(name, ws_key_name(key), sizeof(name));
	must(!ws_store_list(opts.parent, on_store, name, &e));
	ok(n_stores == 1, "the folder is listed by its key's name");
	ok(!ws_store_destroy(opts.parent, name, &e) && stat(path_of(""), &st),
	   "destroyed with all in it %s", e.cause);
	ok(!ws_store_destroy(opts.parent, name, &e), "twice is no error");
	must(!ws_store_list(opts.parent, on_store, name, &e));
	ok(n_stores == 1, "and listed no more");
}

/* A folder that others may enter is not used. */
static void not_ours(void)
{
	char name[WS_STORE_NAME_SIZE];
	struct ws_store st;
	struct err e = {0};

	must(!mkdir(path_of(""), 0700) && !chmod(path_of(""), 0755));
	ok(ws_store_open(&st, &opts, &e) && e.code == ERR_DENIED, "%s", e.cause);
	must(!rmdir(path_of("")));
	ws_store_name(ws_key_name(key), name);
	must(!symlinkat("/tmp", opts.parent, name));
	ok(ws_store_open(&st, &opts, NULL), "nor one behind a link");
	must(!unlinkat(opts.parent, name, 0));
}

int main(void)
{
	folder_new();
	store_new();
	life();
	leftovers();
	one_at_a_time();
	meddled();
	many();
	no_memory();
	all_of_it();
	not_ours();
	store_end();
	folder_end();
	return tap_done();
}
