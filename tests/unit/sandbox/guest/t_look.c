/* t_look.c: two states of a folder are compared, and nothing of it costs without bound. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

/* the guest is linked of its own files, and these are two of them */
#include "sandbox/guest/files.c"
#include "sandbox/guest/sha256.c"
#define now_us look_now_us
#include "sandbox/guest/look.c"

#include <sodium.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char dir[64];
static int root = -1, base = -1, note_log = -1;
static uint64_t log_from;
static struct looked got;
static char text[8192]; /* the changes, one after another */

static void clean(void)
{
	char command[100];
	pid_t pid;

	snprintf(command, sizeof(command), "%s", dir);
	pid = fork();
	if (!pid) {
		execlp("rm", "rm", "-rf", command, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/t_look.XXXXXX");
	must(mkdtemp(dir));
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	note_log = memfd_create("log", MFD_CLOEXEC);
	must(root >= 0 && note_log >= 0 && !fcntl(note_log, F_SETFL, O_APPEND));
	files_note_in(root, note_log);
	log_from = 0;
}

static void end(void)
{
	fd_close(&root);
	fd_close(&base);
	fd_close(&note_log);
	clean();
}

static void put(const char *path, const char *content)
{
	char at[200];
	int fd;

	snprintf(at, sizeof(at), "%s/%s", dir, path);
	fd = open(at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd >= 0 && !fd_write_all(fd, content, strlen(content)));
	fd_close(&fd);
}

static void put_text(struct sv rows)
{
	static const char *const kinds[] = {"same", "created", "changed", "deleted"};
	struct guest_change c;
	size_t n = 0;
	int more;

	text[0] = '\0';
	while ((more = guest_next_change(&rows, &c)) == 1 && n < sizeof(text) - 400)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %.*s%s%s; ",
				      kinds[c.kind], (int)c.path.n, c.path.p,
				      c.node == GUEST_NODE_LINK ? " link" : "",
				      c.has_sha ? " #" : "");
	must(more == 0 || n >= sizeof(text) - 400);
}

/* The next look; its changes are in text. */
static bool look_again(bool all)
{
	const struct look_opts l = {.root = root,
				    .base = base,
				    .log = note_log,
				    .log_from = log_from,
				    .all = all};
	AUTO_BUF rows = {0};

	if (look_at(&l, &got))
		return false;
	fd_close(&base);
	base = got.base;
	log_from = got.log_to;
	must(got.changes < 0 || !read_memfd(got.changes, 0, 4 << 20, &rows));
	put_text(buf_view(&rows));
	fd_close(&got.changes);
	return true;
}

static bool sees(const char *want)
{
	bool good = look_again(false) && !strcmp(text, want);

	if (!good)
		printf("# \"%s\"\n", text);
	return good;
}

static void remove_at(const char *path)
{
	must(!unlinkat(root, path, 0));
}

static void test_files(void)
{
	begin();
	ok(sees("") && base < 0, "an empty folder has no state");
	put("a", "1");
	must(!mkdirat(root, "d", 0755));
	put("d/b", "22");
	ok(sees("created a #; created d/b #; "), "what is new, but for folders");
	ok(sees("") && base >= 0, "nothing has changed");
	put("a", "2");
	ok(sees("changed a #; "), "other bytes of the same length, at once");
	put("a", "2");
	ok(look_again(false), "the same bytes, written again");
	remove_at("a");
	must(!symlinkat("d/b", root, "l"));
	ok(sees("deleted a; created l link; "), "a file goes, a link comes");
	remove_at("l");
	put("l", "x");
	ok(sees("changed l #; "), "a file in the place of a link");
	remove_at("d/b");
	must(!mkdirat(root, "d/b", 0755));
	ok(sees("deleted d/b; "), "a folder in the place of a file");
	must(!renameat(root, "l", root, "d/m"));
	ok(sees("created d/m #; deleted l; "), "a file that was renamed");
	put("\xff", "1");
	ok(sees("created \xff #; "), "a name that is no UTF-8");
	end();
}

/* A look at nothing but a, which is so young that its bytes are hashed. */
static void look_at_young(void)
{
	char has_sha = 0;

	for (unsigned i = 0; i < 1000 && !has_sha; i++) {
		put("a", "1");
		must(look_again(false) && pread(base, &has_sha, 1, BASE_HEAD) == 1);
	}
	must(has_sha);
}

/* What the last look knew of a becomes what stat tells of it now, but for these differences. */
static void know(const struct guest_row *more, bool with_hash)
{
	const size_t at = BASE_HEAD + ENTRY_HEAD;
	struct guest_row row;
	struct stat st;
	AUTO_BUF b = {0};
	struct sv rest;

	must(!fstatat(root, "a", &st, 0) && !read_memfd(base, 0, 4096, &b));
	rest = (struct sv){b.p + at, b.n - at};
	must(guest_next_row(&rest, &row) == 1);
	row.inode = st.st_ino + more->inode;
	row.mtime_ns = nanoseconds(st.st_mtim) + more->mtime_ns;
	row.ctime_ns = nanoseconds(st.st_ctim) + more->ctime_ns;
	guest_put_row(b.p + at, &row);
	b.p[BASE_HEAD] = with_hash;
	fd_close(&base);
	base = fd_memfd("base", b.p, b.n, NULL);
	must(base >= 0);
}

/* Of the same length, with times that do not tell, or not all of them. */
static void test_times(void)
{
	const struct guest_row same = {.inode = 0};
	const struct guest_row others[] = {
		{.inode = 1}, {.mtime_ns = -1}, {.ctime_ns = -1}};

	begin();
	look_at_young();
	put("a", "2");
	know(&same, true);
	ok(sees("changed a #; "), "bytes written in the tick of the look are seen");
	look_at_young();
	put("a", "1");
	know(&same, true);
	ok(sees(""), "the same ones are no change");
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		look_at_young();
		put("a", "2");
		know(&others[i], false);
		ok(sees("changed a #; "), "inode, mtime, ctime (%u): each tells", i);
	}
	end();
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	must(!fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW));
	return st.st_mode & 07777;
}

/* What is sent as a program can be run, however it comes. */
static void test_programs(void)
{
	static const struct {
		struct sv content;
		mode_t mode;
	} rows[] = {{{"#!/bin/sh\n", 10}, 0755},
		    {{"\177ELF...", 7}, 0755},
		    {{"#", 1}, 0644},
		    {{"text", 4}, 0644}};

	begin();
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct sv s = rows[i].content;
		AUTO_FD data = fd_memfd("data", s.p, s.n, NULL);
		struct guest_file_done done;

		must(!files_unpack(root, SV("unpacked"), s));
		files_serve(root,
			    &(struct guest_file){.op = GUEST_WRITE,
						 .path = SV("sent"),
						 .max_bytes = s.n,
						 .data_fd = data},
			    &done);
		ok(!done.sys && mode_of("unpacked") == rows[i].mode &&
			   mode_of("sent") == rows[i].mode,
		   "content %u has mode %o", i, (unsigned)rows[i].mode);
	}
	end();
}

static void test_own(void)
{
	begin();
	must(!files_unpack(root, SV("in/a"), SV("1")) &&
	     !files_unpack(root, SV("in/b"), SV("2")));
	put("in/b", "3");
	ok(sees("changed in/b #; "),
	   "what was put there is no change, unless it changes");
	must(!files_unpack(root, SV("in/a"), SV("9")));
	ok(sees(""), "nor is what replaces a file");
	must(!files_unpack(root, SV("in/c"), SV("9")));
	remove_at("in/c");
	ok(sees("deleted in/c; "), "what was put there and deleted is deleted");
	must(!files_unpack(root, SV("x"), SV("1")));
	put("y", "1");
	ok(look_again(true) &&
		   !strcmp(text, "same in/a #; same in/b #; same x #; created y #; "),
	   "of the last look all files are told");
	end();
}

/* A file of that many bytes, most of them holes. */
static void put_sparse(const char *path, off_t bytes)
{
	int fd;

	put(path, "");
	fd = openat(root, path, O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && !ftruncate(fd, bytes));
	fd_close(&fd);
}

static void test_bounds(void)
{
	char name[40];

	begin();
	put_sparse("big", (off_t)LOOK_HASH_FILE_BYTES + 1);
	ok(sees("created big; "), "a file over 100 MiB has no hash");
	put_sparse("full", (off_t)1 << 20);
	ok(sees("created full #; "), "another one has");
	for (unsigned i = 0; i < GUEST_MAX_CHANGES + 5; i++) {
		snprintf(name, sizeof(name), "f%05u", i);
		put(name, "");
	}
	ok(look_again(false) && got.total == GUEST_MAX_CHANGES + 5 &&
		   got.flags == GUEST_MORE,
	   "more changes than are told are counted");
	ok(sees(""), "and told but once");
	end();
}

/* What the program writes to while it is read has no hash, rather than one of no state it ever had. */
static void test_written_meanwhile(void)
{
	struct look_opts l = {.base = -1};
	struct work w = {.l = &l, .hash_until_us = UINT64_MAX};
	struct entry en = {.order = 0};
	struct stat st;

	begin();
	l.root = root;
	put("a", "12");
	must(!fstatat(root, "a", &st, 0));
	en.row = row_of(SV("a"), &st);
	read_file(&w, &en, NULL);
	ok(en.has_sha, "as it was found it has a hash");
	en.has_sha = false;
	en.row.mtime_ns--;
	read_file(&w, &en, NULL);
	ok(!en.has_sha, "not with another time");
	en.row = row_of(SV("a"), &st);
	en.row.size--;
	read_file(&w, &en, NULL);
	ok(!en.has_sha, "nor if it is longer");
	en.row.size += 2;
	read_file(&w, &en, NULL);
	ok(!en.has_sha, "or shorter");
	end();
}

static void test_long(void)
{
	static char bytes[3 * READ_BYTES + 5];
	unsigned char want[SHA256_BYTES];
	struct look_opts l = {.base = -1, .log = -1};
	struct guest_change c;
	AUTO_BUF rows = {0};
	struct sv rest;

	begin();
	memset(bytes, 'x', sizeof(bytes) - 1);
	put("long", bytes);
	crypto_hash_sha256(want, (const unsigned char *)bytes, sizeof(bytes) - 1);
	l.root = root;
	must(!look_at(&l, &got) && !read_memfd(got.changes, 0, 4 << 20, &rows));
	rest = buf_view(&rows);
	ok(guest_next_change(&rest, &c) == 1 && c.has_sha &&
		   !memcmp(c.sha, want, sizeof(want)),
	   "the hash is that of all bytes of a file");
	ok(c.head.n == GUEST_HEAD_BYTES && !memcmp(c.head.p, bytes, c.head.n),
	   "and its first bytes come along");
	fd_close(&got.base);
	fd_close(&got.changes);
	end();
}

static void test_many(void)
{
	char name[40], known[2][10], want[60];

	begin();
	for (unsigned i = 0; i < LOOK_ROWS + 500; i++) {
		snprintf(name, sizeof(name), "f%05u", i);
		put(name, "");
	}
	ok(look_again(false) && got.flags == GUEST_MORE,
	   "too many files are not all known");
	must(sscanf(text, "created %9s #; created %9s", known[0], known[1]) == 2);
	ok(look_again(false) && got.flags == GUEST_MORE && !got.total,
	   "what was not looked at is no change the next time");
	remove_at(known[0]);
	remove_at(known[1]);
	snprintf(want, sizeof(want), "deleted %s; deleted %s; ", known[0], known[1]);
	ok(look_again(false) && got.flags == GUEST_MORE && strstr(text, want),
	   "what was, and is gone, is told");
	remove_at("f00007");
	remove_at("f10007");
	ok(look_again(false) && got.flags == GUEST_MORE && got.total <= 2 &&
		   (!text[0] || strstr(text, "deleted ")),
	   "what is told is true");
	end();
}

/* As deep as names go, and deeper. */
static void test_deep(void)
{
	int at, next;

	begin();
	at = openat(root, ".", O_PATH | O_CLOEXEC);
	for (unsigned i = 0; i < 3000; i++) {
		must(!mkdirat(at, "d", 0755));
		next = openat(at, "d", O_PATH | O_CLOEXEC);
		must(next >= 0);
		fd_close(&at);
		at = next;
	}
	fd_close(&at);
	put("d/x", "1");
	ok(look_again(false) && got.flags == GUEST_MORE &&
		   !strcmp(text, "created d/x #; "),
	   "folders too deep to be named are more");
	end();
}

/* An old base from elsewhere: bytes, not trusted to be rows. */
static void test_bad_base(void)
{
	begin();
	put("a", "1");
	base = fd_memfd("base",
			"\0\0\0\0nonsense-and-more-of-it-than-a-head-has-room-for", 50,
			NULL);
	ok(!look_again(false), "a base that is none is an error");
	fd_close(&base);
	base = fd_memfd("base", "\0\0\0", 3, NULL);
	ok(!look_again(false), "so is one that is too short");
	end();
}

static void test_hash(void)
{
	static unsigned char bytes[3000];
	unsigned char ours[32], theirs[32];
	uint32_t fast[8], plain[8];
	struct sha256 s;
	bool good = true, alike = true;

	randombytes_buf(bytes, sizeof(bytes));
	for (size_t n = 0; n < sizeof(bytes); n++) {
		sha256_init(&s);
		for (size_t at = 0; at < n; at += 37)
			sha256_add(&s, bytes + at, n - at < 37 ? n - at : 37);
		sha256_end(&s, ours);
		crypto_hash_sha256(theirs, bytes, n);
		good &= !memcmp(ours, theirs, sizeof(ours));
		memcpy(fast, bytes, sizeof(fast));
		memcpy(plain, bytes, sizeof(plain));
		blocks(fast, bytes, n / 64);
		blocks_plain(plain, bytes, n / 64);
		alike &= !memcmp(fast, plain, sizeof(fast));
	}
	ok(good, "SHA-256 of all lengths");
	ok(alike, "by whatever instructions");
}

int main(void)
{
	must(sodium_init() >= 0);
	test_hash();
	test_files();
	test_times();
	test_programs();
	test_own();
	test_bounds();
	test_written_meanwhile();
	test_long();
	test_many();
	test_deep();
	test_bad_base();
	return tap_done();
}
