/* t_image_tree.c: what of a tree is hashed and refused, how it is put in order and removed. */
#include "mcp/image_tree.h"

#include "sandbox/base/buf.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/t_image_tree.XXXXXX";
static int dir = -1;

static void put(const char *path, const char *text, mode_t mode)
{
	AUTO_FD fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && !fd_write_all(fd, text, strlen(text)) && !fchmod(fd, mode));
}

static void folder(const char *path, mode_t mode)
{
	must(!mkdirat(dir, path, 0700) && !fchmodat(dir, path, mode, 0));
}

static void make_tree(void)
{
	folder("b", 0755);
	put("b/z", "zz", 0755);
	put("b-a", "", 0644);
	put("a", "text", 0644);
	put(IMAGE_MANIFEST, "left out", 0644);
	folder("empty", 0755);
	put("b/" IMAGE_MANIFEST, "only at the top", 0644);
	must(!symlinkat("../../etc/shadow", dir, "b/link"));
}

static void fresh(void)
{
	int at = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	fd_close(&dir);
	must(!image_tree_remove(at, top + 5, NULL));
	must(!mkdir(top, 0755));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0);
	make_tree();
	fd_close(&at);
}

/* --- by the description in the header, by hand ------------------------------------------------------- */

static void hex_of(const char *text, char hex[IMAGE_DIGEST_SIZE])
{
	unsigned char hash[32];

	crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
	sodium_bin2hex(hex, IMAGE_DIGEST_SIZE, hash, sizeof(hash));
}

static void file_record(struct buf *b, const char *path, const char *mode,
			const char *text)
{
	char hex[IMAGE_DIGEST_SIZE];

	hex_of(text, hex);
	buf_fmt(b, "f %s %zu %s %s", mode, strlen(text), hex, path);
	buf_byte(b, '\0');
}

static void expected(char hex[IMAGE_DIGEST_SIZE])
{
	AUTO_BUF b = {.max = 4096};
	unsigned char hash[32];

	file_record(&b, "a", "0644", "text");
	buf_add(&b, "d 0755 b", 9);
	file_record(&b, "b/" IMAGE_MANIFEST, "0644", "only at the top");
	buf_add(&b, "l b/link\0../../etc/shadow", 26);
	file_record(&b, "b/z", "0755", "zz");
	file_record(&b, "b-a", "0644", "");
	buf_add(&b, "d 0755 empty", 13);
	crypto_hash_sha256(hash, (const unsigned char *)b.p, b.n);
	sodium_bin2hex(hex, IMAGE_DIGEST_SIZE, hash, sizeof(hash));
}

static void digests(void)
{
	char want[IMAGE_DIGEST_SIZE], got[IMAGE_DIGEST_SIZE] = "",
				      other[IMAGE_DIGEST_SIZE];
	struct err e = {0};

	expected(want);
	ok(!image_tree_digest(dir, got, &e) && !strcmp(got, want),
	   "the digest is that of the description");
	put(IMAGE_MANIFEST, "something else", 0644);
	ok(!image_tree_digest(dir, other, &e) && !strcmp(got, other),
	   "the manifest is not part of it");
	put("b/" IMAGE_MANIFEST, "something else", 0644);
	ok(!image_tree_digest(dir, other, &e) && strcmp(got, other) != 0,
	   "one further down is");
	fresh();
	must(!fchmodat(dir, "a", 0755, 0));
	ok(!image_tree_digest(dir, other, &e) && strcmp(got, other) != 0, "a mode is");
	fresh();
	must(!unlinkat(dir, "b/link", 0) && !symlinkat("/etc/shadow", dir, "b/link"));
	ok(!image_tree_digest(dir, other, &e) && strcmp(got, other) != 0,
	   "where a link leads is, and it is not followed");
	fresh();
	must(!unlinkat(dir, "empty", AT_REMOVEDIR));
	ok(!image_tree_digest(dir, other, &e) && strcmp(got, other) != 0,
	   "an empty folder is");
	fresh();
	must(!mkfifoat(dir, "fifo", 0644));
	ok(image_tree_digest(dir, other, &e) && e.code == ERR_DENIED,
	   "a pipe is refused, not read");
}

static void refused(const char *what)
{
	struct image_sum sum = {0, 0};
	struct err e = {0};

	ok(image_tree_check(dir, &sum, &e) && e.code == ERR_DENIED &&
		   e.remediation[0] && !sum.entries,
	   "refused: %s", what);
	fresh();
}

static void checks(void)
{
	struct image_sum sum = {0, 0};
	struct err e = {0};

	fresh();
	ok(!image_tree_check(dir, &sum, &e) && sum.entries == 7 && sum.bytes == 21,
	   "what is in order is counted");
	must(!fchmodat(dir, "b/z", 0775, 0));
	refused("a file its group may write");
	must(!fchmodat(dir, "b", 0757, 0));
	refused("a folder others may write");
	must(!fchmodat(dir, "a", 04755, 0));
	refused("a setuid file");
	must(!fchmodat(dir, "empty", 02755, 0));
	refused("a setgid folder");
	must(!fchmodat(dir, "a", 0640, 0));
	refused("a file not all can read");
	must(!fchmodat(dir, "empty", 0744, 0));
	refused("a folder not all can search");
	must(!mkfifoat(dir, "b/fifo", 0644));
	refused("a pipe");
	if (!geteuid()) {
		must(!fchownat(dir, "b/link", 4243, 4243, AT_SYMLINK_NOFOLLOW));
		refused("another user's link");
	}
}

static void seals(void)
{
	struct image_sum sum;
	struct err e = {0};
	struct stat st;

	folder("closed", 0700);
	put("closed/secret", "", 0600);
	put("closed/program", "", 04711);
	must(!fchmodat(dir, "b", 02777, 0));
	ok(!image_tree_seal(dir, &e) && !image_tree_check(dir, &sum, &e),
	   "put in order, it is in order");
	ok(!fstatat(dir, "closed/program", &st, 0) && (st.st_mode & 07777) == 0755,
	   "what its owner may run all may run, as themselves");
	ok(!fstatat(dir, "closed/secret", &st, 0) && (st.st_mode & 07777) == 0644,
	   "other files are no programs");
	must(!mkfifoat(dir, "fifo", 0644));
	ok(image_tree_seal(dir, &e) && e.code == ERR_DENIED, "a pipe cannot be");
	fresh();
}

static void depths(void)
{
	struct image_sum sum;
	struct err e = {0};
	char path[4 * IMAGE_MAX_DEPTH] = "d";

	folder(path, 0755);
	for (int i = 1; i < IMAGE_MAX_DEPTH; i++) {
		memcpy(path + strlen(path), "/d", 3);
		folder(path, 0755);
	}
	ok(!image_tree_check(dir, &sum, &e), "as deep as is allowed");
	memcpy(path + strlen(path), "/d", 3);
	folder(path, 0755);
	ok(image_tree_check(dir, &sum, &e) && e.code == ERR_INVALID,
	   "one deeper is not");
	must(!unlinkat(dir, path, AT_REMOVEDIR));
	fresh();
}

static void removals(void)
{
	AUTO_FD tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};

	folder("closed", 0700);
	put("closed/x", "", 0600);
	must(!fchmodat(dir, "closed", 0, 0));
	ok(!image_tree_remove(dir, "closed", &e) && faccessat(dir, "closed", F_OK, 0),
	   "a folder goes whatever its mode");
	ok(!image_tree_remove(dir, "no-such-name", &e),
	   "what is not there is no error");
	folder("outside", 0755);
	put("outside/kept", "", 0644);
	must(!symlinkat("outside", dir, "way"));
	ok(!image_tree_remove(dir, "way", &e) &&
		   !faccessat(dir, "outside/kept", F_OK, 0) &&
		   faccessat(dir, "way", F_OK, AT_SYMLINK_NOFOLLOW),
	   "a link goes, not what it leads to");
	folder("in", 0755);
	must(!symlinkat("../outside", dir, "in/way"));
	ok(!image_tree_remove(dir, "in", &e) &&
		   !faccessat(dir, "outside/kept", F_OK, 0),
	   "the same of a link within");
	ok(!image_tree_remove(tmp, top + 5, &e) && access(top, F_OK),
	   "all of it goes, the manifest too");
	must(!mkdir(top, 0755));
	fresh();
}

/* Every allocation fails once: an error each time, and nothing leaks (the sanitized build sees). */
static void no_memory(void)
{
	char hex[IMAGE_DIGEST_SIZE];
	unsigned failed = 0;

	for (long n = 1; n <= 40; n++) {
		struct err e = {0};
		int bad;

		mem_fail_after(n);
		bad = image_tree_digest(dir, hex, &e);
		mem_fail_after(0);
		if (!bad)
			break;
		failed++;
		must(e.code != ERR_NONE);
	}
	ok(failed > 3, "without memory it is an error: %u times", failed);
	ok(!image_tree_digest(dir, hex, NULL), "and goes on after that");
}

int main(void)
{
	AUTO_FD tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(sodium_init() >= 0 && mkdtemp(top));
	fresh();
	digests();
	checks();
	seals();
	depths();
	removals();
	no_memory();
	image_tree_remove(tmp, top + 5, NULL);
	fd_close(&dir);
	return tap_done();
}
