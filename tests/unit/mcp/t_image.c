/* t_image.c: names, who may have written, replacement and removal beside somebody who has it open. */
#include "mcp/image.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct options o;

static void names(void)
{
	static const char *const good[] = {"a", "data", "py3.11", "A-b_c", "0"};
	static const char *const bad[] = {"",	   ".",	       "..",  ".a",  "-a",
					  "_a",	   "a/b",      "a b", "a\n", "a.new",
					  "a\x7f", "\xc3\xa9", "a\\b"};
	char longest[80];

	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		ok(!image_name_check(sv_of(good[i]), NULL), "a name: %s", good[i]);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = {0};

		ok(image_name_check(sv_of(bad[i]), &e) && e.code == ERR_INVALID,
		   "no name: number %u", i);
	}
	memset(longest, 'a', sizeof(longest));
	ok(!image_name_check((struct sv){longest, 64}, NULL), "64 bytes");
	ok(image_name_check((struct sv){longest, 65}, NULL), "not 65");
	ok(image_name_check(SV("a\0b"), NULL), "no NUL");
	ok(image_is_plain(SV("@types/node")) && !image_is_plain(SV("")) &&
		   !image_is_plain(SV("a b")) && !image_is_plain(SV("a\x1b")),
	   "what may be shown");
}

static void write_at(int dir, const char *name, const char *text)
{
	AUTO_FD fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && !fd_write_all(fd, text, strlen(text)) && !fchmod(fd, 0644));
}

/* NAME.new with one file, and a manifest that fits. */
static void make(int store, const char *name, const char *text)
{
	char at[80], hex[IMAGE_DIGEST_SIZE];
	AUTO_BUF b = {.max = 4096};
	AUTO_FD dir = -1;

	snprintf(at, sizeof(at), "%s.new", name);
	must(!mkdirat(store, at, 0755) && !fchmodat(store, at, 0755, 0));
	dir = openat(store, at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_at(dir, "file", text);
	must(dir >= 0 && !image_tree_digest(dir, hex, NULL));
	buf_fmt(&b,
		"{\"format\":1,\"name\":\"%s\",\"sha256\":\"%s\",\"entries\":1,\"bytes\":%zu,"
		"\"packages\":[{\"language\":\"python\",\"name\":\"x\",\"version\":\"1\"},"
		"{\"language\":\"python\",\"name\":\"a b\",\"version\":\"1\"}]}",
		name, hex, strlen(text));
	write_at(dir, IMAGE_MANIFEST, buf_cstr(&b));
}

static bool holds(int dir, const char *text)
{
	AUTO_FD fd = openat(dir, "file", O_RDONLY | O_CLOEXEC);
	char got[16] = "";

	return fd >= 0 && read(fd, got, sizeof(got) - 1) == (ssize_t)strlen(text) &&
	       !strcmp(got, text);
}

static unsigned count(int store)
{
	DIR *d = fdopendir(openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned n = 0;

	must(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void lives(void)
{
	struct err e = {0};
	AUTO_FD none = image_store_open(&o, false, &e);
	AUTO_FD first = -1;
	AUTO_FD second = -1;
	AUTO_FD store = -1;
	bool kept = true;

	ok(none < 0 && e.code == ERR_NOT_FOUND && e.remediation[0],
	   "no folder, no image");
	err_clear(&e);
	store = image_store_open(&o, true, &e);
	ok(store >= 0, "the folder is made");
	fd_close(&none);
	none = image_store_open(&o, true, &e);
	ok(none < 0 && e.code == ERR_BUSY, "one at a time changes what is there");
	make(store, "x", "one");
	o.image = "x";
	err_clear(&e);
	ok(image_open(&o, &e) < 0 && e.code == ERR_NOT_FOUND,
	   "what is being made is none");
	ok(!image_publish(store, "x", &kept, &e) && !kept, "it gets its name");
	first = image_open(&o, &e);
	ok(first >= 0 && holds(first, "one") && !image_verify(first, &e),
	   "and is opened");
	make(store, "x", "two");
	ok(!image_publish(store, "x", &kept, &e) && kept, "replaced while it is open");
	second = image_open(&o, &e);
	ok(holds(first, "one") && holds(second, "two"),
	   "who had it has it, others the new one");
	fd_close(&first);
	fd_close(&store);
	store = image_store_open(&o, true, &e);
	ok(count(store) == 1, "what nobody has open any more is swept away");
	ok(!image_retire(store, "x", &kept, &e) && kept && holds(second, "two"),
	   "removed while it is open");
	ok(image_open(&o, &e) < 0, "it is found no more");
	fd_close(&second);
	fd_close(&store);
	store = image_store_open(&o, true, &e);
	ok(!count(store), "and then it is gone");
	ok(image_retire(store, "x", &kept, &e), "there is none to remove");
}

/* Changes what is there, says why it cannot be opened, puts it back. */
static void refused(int store, const char *what, enum err_code code)
{
	struct err e = {0};
	AUTO_FD dir = image_open(&o, &e);

	ok(dir < 0 && e.code == code, "refused: %s (%s)", what, e.cause);
	must(!image_tree_remove(store, "x", NULL));
	must(!fchmod(store, 0755));
	make(store, "x", "one");
	must(!renameat(store, "x.new", store, "x"));
}

static void refusals(void)
{
	AUTO_FD store = image_store_open(&o, true, NULL);
	AUTO_FD dir = -1;
	struct err e = {0};

	make(store, "x", "one");
	must(!renameat(store, "x.new", store, "x"));
	must(!fchmodat(store, "x", 0775, 0));
	refused(store, "its group may write", ERR_DENIED);
	must(!fchmodat(store, "x/file", 0666, 0));
	refused(store, "a file others may write", ERR_DENIED);
	must(!fchmodat(store, "x/" IMAGE_MANIFEST, 0666, 0));
	refused(store, "a manifest others may write", ERR_DENIED);
	must(!fchmod(store, 0777));
	refused(store, "a folder of images others may write", ERR_DENIED);
	must(!unlinkat(store, "x/" IMAGE_MANIFEST, 0));
	refused(store, "no manifest", ERR_NOT_FOUND);
	must(!unlinkat(store, "x/file", 0));
	refused(store, "something is missing", ERR_DENIED);
	must(!renameat(store, "x", store, "y") && !symlinkat("y", store, "x"));
	refused(store, "a link to an image", ERR_INTERNAL);
	must(!image_tree_remove(store, "y", NULL));
	dir = image_open(&o, &e);
	must(dir >= 0);
	write_at(dir, "file", "0ne");
	ok(image_verify(dir, &e) && e.code == ERR_DENIED, "what was altered is found");
}

static void facts(void)
{
	AUTO_FD store = image_store_open(&o, true, NULL);
	AUTO_FD dir = image_open_in(store, "x", false, NULL);
	struct sup_image got;
	struct err e = {0};

	ok(!image_facts(dir, &got, &e) && !strcmp(got.name, "x") &&
		   strlen(got.sha256) == 64,
	   "its name and digest");
	ok(got.count == 1 && !got.cut && !strcmp(got.packages, "python x 1\n"),
	   "its packages, but for names that could not be shown");
	must(!unlinkat(dir, IMAGE_MANIFEST, 0));
	ok(!image_facts(dir, &got, &e) && !strcmp(got.name, "unfinished") &&
		   !got.sha256[0],
	   "of one that has no manifest yet");
}

static void many_packages(void)
{
	AUTO_FD store = image_store_open(&o, true, NULL);
	AUTO_FD dir = image_open_in(store, "x", false, NULL);
	AUTO_BUF b = {.max = 1 << 20};
	struct sup_image got;
	struct err e = {0};

	buf_fmt(&b, "{\"format\":1,\"name\":\"x\",\"sha256\":\"%064d\",\"packages\":[",
		0);
	for (int i = 0; i < 500; i++)
		buf_fmt(&b,
			"%s{\"language\":\"python\",\"name\":\"p%d\",\"version\":\"1\"}",
			i ? "," : "", i);
	buf_str(&b, "]}");
	write_at(dir, IMAGE_MANIFEST, buf_cstr(&b));
	ok(!image_facts(dir, &got, &e) && got.count == 500 && got.cut &&
		   strlen(got.packages) < sizeof(got.packages) &&
		   got.packages[strlen(got.packages) - 1] == '\n',
	   "of many the first, whole lines, and how many there are");
}

int main(void)
{
	char top[] = "/tmp/t_image.XXXXXX";
	AUTO_FD tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	umask(077);
	must(sodium_init() >= 0 && mkdtemp(top));
	snprintf(o.state_dir, sizeof(o.state_dir), "%s/state", top);
	o.image = o.state = "";
	names();
	lives();
	refusals();
	facts();
	many_packages();
	image_tree_remove(tmp, top + 5, NULL);
	return tap_done();
}
