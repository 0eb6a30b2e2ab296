/* t_session_files.c: files put into and taken out of a workspace that its programs have laid out to
 * mislead whoever does that. */
#include "tests/unit/sandbox/guest/session_test.h"

static struct told call_with_file(struct test_session *t, const char *name,
				  const char *code)
{
	AUTO_BUF b = {0};

	buf_init(&b, 65536);
	add_entry(&b, GUEST_FILE, sv_of(name), SV("from outside\n"));
	return do_call(
		t, &(struct call){.code = code, .input = buf_view(&b), .warm = true},
		NULL);
}

/* Each row: what the program lays out, the file that then comes in, and how that fails (0: not). */
static const struct laid {
	const char *what, *before, *name;
	uint32_t sys;
	const char *after; /* must hold then */
} laid[] = {
	{"a symlink as a folder", "ln -s /tmp d1", "d1/f", ELOOP, "[ ! -e /tmp/f ]"},
	{"one in the middle", "mkdir d2; ln -s /tmp d2/x", "d2/x/y/f", ELOOP,
	 "[ ! -e /tmp/y ]"},
	{"one to the driver's folder", "ln -s /run/fumehood d3", "d3/driver.test",
	 ELOOP, "! grep -q outside /run/fumehood/driver.test"},
	{"a magic link", "ln -s /proc/self/cwd d4", "d4/f4", ELOOP, "[ ! -e f4 ]"},
	{"a symlink as the file", "echo a >t5; ln -s t5 f5", "f5", 0,
	 "[ ! -L f5 ] && grep -q outside f5 && grep -qx a t5"},
	{"a dangling one", "ln -s /tmp/made f6", "f6", 0,
	 "[ ! -e /tmp/made -a -f f6 ]"},
	{"a hard link", "echo a >t7; ln t7 f7", "f7", 0,
	 "grep -q outside f7 && grep -qx a t7"},
	{"a folder in the place of the file", "mkdir f8", "f8", EISDIR, "[ -d f8 ]"},
	{"a file in the place of a folder", "echo a >d9", "d9/f", ENOTDIR,
	 "grep -qx a d9"},
	{"a folder that may not be written", "mkdir d10; chmod 500 d10", "d10/f",
	 EACCES, "[ -z \"$(ls d10)\" ]"},
	{"a file that may not be written", "echo a >f11; chmod 0 f11", "f11", 0,
	 "grep -q outside f11"},
	{"names with newlines", "mkdir 'a\nb'", "a\nb/c\nd", 0,
	 "grep -q outside 'a\nb/c\nd'"},
};
static void test_unpack(void)
{
	struct test_session t;

	must(open_session(&t));
	must(sh(&t, "umask 0\n", false) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(laid); i++) {
		char code[256];
		struct told got;

		snprintf(code, sizeof(code), "%s\n", laid[i].before);
		must(sh(&t, code, true) == 0);
		got = call_with_file(&t, laid[i].name, "echo ran >ran\n");
		ok(laid[i].sys ? got.type == GUEST_FAILED && got.sys == laid[i].sys
			       : ended(&got, GUEST_BY_DRIVER, 0),
		   "%s (%s %u)", laid[i].what, got.stage, got.sys);
		snprintf(code, sizeof(code), "%s && %s rm ran\n", laid[i].after,
			 laid[i].sys ? "[ ! -e ran ] || " : "");
		ok(sh(&t, code, true) == 0, "only what was asked for has changed");
	}
	close_session(&t);
}

static void test_unpack_odd(void)
{
	struct test_session t;
	struct told got;

	must(open_session(&t));
	must(sh(&t, ":\n", false) == 0);
	make_fifo(&t, "fifo");
	got = call_with_file(&t, "fifo", ":\n");
	ok(ended(&got, GUEST_BY_DRIVER, 0) && sh(&t, "[ -f fifo ]\n", true) == 0,
	   "a FIFO is not opened but replaced");
	make_fifo(&t, "fifo2");
	got = call_with_file(&t, "fifo2/f", ":\n");
	ok(got.type == GUEST_FAILED && got.sys == ENOTDIR, "nor is it a folder");
	ok(sh(&t, ":\n", true) == 0, "what could not be unpacked costs its call only");
	got = do_call(&t,
		      &(struct call){.slot = 1,
				     .code = ":\n",
				     .input = SV("\7garbage........")},
		      NULL);
	ok(got.type == GUEST_FAILED && got.sys == EINVAL,
	   "an input that cannot be read");
	got = do_call(&t, &(struct call){.slot = 1, .code = ":\n", .warm = true}, NULL);
	ok(got.type == GUEST_FAILED && got.sys == ESRCH,
	   "takes the interpreter that was started for it along");
	close_session(&t);
}

/* A program swaps a folder for a symlink as fast as it can, while files come in beneath it. */
static void test_races(void)
{
	struct test_session t;
	unsigned in = 0, refused = 0, other = 0;
	uint64_t id;

	must(open_session(&t));
	must(sh(&t, "mkdir -p real; mkdir /tmp/out\n", false) == 0);
	id = send_call(&t, &(struct call){.slot = 1,
					  .code = "cat >race.py <<X\n"
						  "import os\n"
						  "open('going', 'w').close()\n"
						  "def t(f, *a):\n"
						  "    try: f(*a)\n"
						  "    except OSError: pass\n"
						  "while True:\n"
						  "    t(os.symlink, '/tmp/out', 'd')\n"
						  "    t(os.unlink, 'd')\n"
						  "    t(os.mkdir, 'd')\n"
						  "    t(os.rename, 'd', 'moved')\n"
						  "    t(os.unlink, 'moved/f')\n"
						  "    t(os.rmdir, 'moved')\n"
						  "X\n"
						  "exec python3 -S race.py\n"});
	fd_close(&(int){next_told(&t).word.pidfd});
	must(sh(&t, "while [ ! -e going ]; do :; done\n", true) == 0);
	for (unsigned i = 0; i < 500; i++) {
		struct told got =
			file_op(&t, (struct guest_file){.op = GUEST_WRITE,
							.path = SV("d/f"),
							.max_bytes = 100,
							.data_fd = memfd_of(SV("x"))});

		in += got.file.sys == 0;
		refused += got.file.sys == ELOOP;
		other += got.type != GUEST_FILE_DONE;
		got = file_op(&t,
			      (struct guest_file){.op = GUEST_LIST, .max_rows = 100});
		other += got.file.sys != 0;
		fd_close(&got.file.fd);
		got = file_op(&t,
			      (struct guest_file){.op = GUEST_READ, .path = SV("d/f")});
		other += got.type != GUEST_FILE_DONE;
		fd_close(&got.file.fd);
	}
	printf("# written %u, refused %u\n", in, refused);
	ok(in && refused, "a race, now won and now lost");
	ok(!other, "a thousand operations in a race are answered");
	send_slot(&t, GUEST_KILL, id, 1);
	next_told(&t);
	ok(sh(&t, "[ -z \"$(ls /tmp/out)\" ]\n", true) == 0,
	   "none of them left the workspace");
	close_session(&t);
}

static const char *content(int fd)
{
	static char text[4096];
	ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static struct told read_op(struct test_session *t, const char *path)
{
	return file_op(t, (struct guest_file){.op = GUEST_READ, .path = sv_of(path)});
}

static void test_read(void)
{
	static const struct {
		const char *what, *path;
		uint32_t sys;
	} rows[] = {
		{"a symlink", "link", ELOOP},
		{"a symlink to outside", "shadow", ELOOP},
		{"a file behind one", "dirlink/f", ELOOP},
		{"a magic link", "magic/status", ELOOP},
		{"a folder", "d", EISDIR},
		{"a socket", "socket", EINVAL},
		{"a FIFO", "fifo", EINVAL},
		{"what is not there", "none", ENOENT},
		{"a file as a folder", "d/f/g", ENOTDIR},
		{"one nobody may read", "closed", EACCES},
	};
	struct test_session t;
	struct told got;

	must(open_session(&t));
	must(sh(&t,
		"mkdir d; echo content >d/f; ln -s d/f link; ln -s /etc/passwd shadow; ln -s d dirlink\n"
		"ln -s /proc/self magic; ln d/f hard; truncate -s 1T sparse 2>/dev/null ||"
		" truncate -s 60M sparse; echo x >closed; chmod 0 closed\n"
		"python3 -S -c 'import socket; socket.socket(1).bind(\"socket\")'\n",
		false) == 0);
	make_fifo(&t, "fifo");
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		got = read_op(&t, rows[i].path);
		ok(got.type == GUEST_FILE_DONE && got.file.sys == rows[i].sys &&
			   got.file.fd < 0,
		   "read %s: %s", rows[i].what, strerror((int)got.file.sys));
		fd_close(&got.file.fd);
	}
	got = read_op(&t, "d/f");
	ok(!got.file.sys && got.file.size == 8 &&
		   !strcmp(content(got.file.fd), "content\n"),
	   "a file is read");
	ok((fcntl(got.file.fd, F_GETFL) & O_ACCMODE) == O_RDONLY, "read-only");
	fd_close(&got.file.fd);
	got = read_op(&t, "hard");
	ok(!got.file.sys && !strcmp(content(got.file.fd), "content\n"),
	   "a hard link is a file: it cannot be one of another file system");
	fd_close(&got.file.fd);
	got = read_op(&t, "sparse");
	ok(!got.file.sys && got.file.size >= (60u << 20),
	   "a sparse one tells its size: %llu", (unsigned long long)got.file.size);
	fd_close(&got.file.fd);
	close_session(&t);
}

static struct told write_text(struct test_session *t, const char *path,
			      const char *text, struct guest_file f)
{
	struct told got;

	f.op = GUEST_WRITE;
	f.path = sv_of(path);
	f.data_fd = memfd_of(sv_of(text));
	if (!f.max_bytes)
		f.max_bytes = 1000;
	got = file_op(t, f);
	fd_close(&f.data_fd);
	return got;
}

static void test_write(void)
{
	struct test_session t;
	struct told got;

	must(open_session(&t));
	must(sh(&t,
		"mkdir d; echo old >f; ln f g; ln -s /tmp/x link; ln -s /tmp dirlink\n",
		false) == 0);
	got = write_text(&t, "new/deep/f", "text\n", (struct guest_file){.flags = 0});
	ok(!got.file.sys && got.file.size == 5 && got.file.node == GUEST_NODE_FILE,
	   "a file is written, with its folders");
	got = write_text(&t, "f", "new\n", (struct guest_file){.flags = 0});
	ok(!got.file.sys && sh(&t, "grep -qx new f && grep -qx old g\n", true) == 0,
	   "one that is there is replaced, not written through its other name");
	got = write_text(&t, "f", "newer\n", (struct guest_file){.flags = GUEST_KEEP});
	ok(got.file.sys == EEXIST && sh(&t, "grep -qx new f\n", true) == 0,
	   "or kept, if wanted");
	got = write_text(&t, "link", "text\n", (struct guest_file){.flags = 0});
	ok(!got.file.sys && sh(&t, "[ ! -L link -a ! -e /tmp/x ]\n", true) == 0,
	   "a symlink is replaced, not followed");
	ok(write_text(&t, "dirlink/f", "x", (struct guest_file){.flags = 0}).file.sys ==
		   ELOOP,
	   "nor on the way");
	ok(write_text(&t, "d", "x", (struct guest_file){.flags = 0}).file.sys == EISDIR,
	   "a folder stays");
	ok(write_text(&t, "s", "12345", (struct guest_file){.max_bytes = 4}).file.sys ==
			   EFBIG &&
		   write_text(&t, "s", "123", (struct guest_file){.min_bytes = 4})
				   .file.sys == ENODATA &&
		   sh(&t, "[ ! -e s ]\n", true) == 0,
	   "neither more nor fewer bytes than were announced");
	close_session(&t);
}

static void test_write_by_pipe(void)
{
	struct test_session t;
	static struct ipc_msg m;
	struct told got;
	int p[2];

	must(open_session(&t));
	must(sh(&t, ":\n", false) == 0);
	must(!fd_pipe(p, NULL) && !fd_write_all(p[1], "by pipe\n", 8));
	fd_close(&p[1]);
	got = file_op(&t, (struct guest_file){.op = GUEST_WRITE,
					      .path = SV("p"),
					      .max_bytes = 1000,
					      .data_fd = p[0]});
	fd_close(&p[0]);
	ok(!got.file.sys && sh(&t, "grep -q pipe p\n", true) == 0, "from a pipe");
	must(!fd_pipe(p, NULL));
	ipc_start(&m, GUEST_FILE_OP, ++t.last_id);
	guest_put_file(&m, &(struct guest_file){.op = GUEST_WRITE,
						.path = SV("never"),
						.max_bytes = 9,
						.data_fd = p[0]});
	must(!ipc_send(t.box.ctl, &m, NULL));
	ok(read_op(&t, "p").file.size == 8,
	   "one that waits for its pipe holds up no other");
	send_slot(&t, GUEST_KILL, t.last_id - 1, GUEST_NO_SLOT);
	got = next_told(&t);
	ok(got.type == GUEST_FILE_DONE && got.file.sys == ECANCELED &&
		   sh(&t, "[ ! -e never ]\n", true) == 0,
	   "and can be given up");
	fd_close(&p[0]);
	fd_close(&p[1]);
	close_session(&t);
}

static void test_delete(void)
{
	struct test_session t;
	struct told got;

	must(open_session(&t));
	must(sh(&t, "mkdir -p d new/e; ln -s /tmp dirlink; echo >/tmp/f; echo >link\n",
		false) == 0);
	got = file_op(&t, (struct guest_file){.op = GUEST_DELETE, .path = SV("link")});
	ok(!got.file.sys && got.file.node == GUEST_NODE_FILE, "delete a file");
	got = file_op(&t,
		      (struct guest_file){.op = GUEST_DELETE, .path = SV("dirlink")});
	ok(!got.file.sys && got.file.node == GUEST_NODE_LINK, "a symlink itself");
	got = file_op(&t, (struct guest_file){.op = GUEST_DELETE, .path = SV("d")});
	ok(!got.file.sys && got.file.node == GUEST_NODE_DIR, "an empty folder");
	got = file_op(&t, (struct guest_file){.op = GUEST_DELETE, .path = SV("new")});
	ok(got.file.sys == ENOTEMPTY, "not a full one");
	must(sh(&t, "ln -s /tmp dirlink\n", true) == 0);
	got = file_op(&t,
		      (struct guest_file){.op = GUEST_DELETE, .path = SV("dirlink/f")});
	ok(got.file.sys == ELOOP && sh(&t, "[ -f /tmp/f ]\n", true) == 0,
	   "nothing behind a symlink");
	close_session(&t);
}

struct listed {
	unsigned rows, bad;
	bool more;
	struct sv list; /* mapped, for the life of the test */
};

static struct listed list(struct test_session *t, const char *path, uint32_t max)
{
	struct told got = file_op(t, (struct guest_file){.op = GUEST_LIST,
							 .path = sv_of(path),
							 .max_rows = max});
	struct listed l = {.bad = got.file.sys, .more = got.file.flags & GUEST_MORE};
	struct guest_row row;
	struct sv rest;
	int k;

	if (got.file.fd < 0)
		return l;
	ok(fd_is_sealed(got.file.fd) && fd_size(got.file.fd) == (int64_t)got.file.size,
	   "a list is sealed");
	if (got.file.size) {
		l.list.p = mmap(NULL, got.file.size, PROT_READ, MAP_PRIVATE,
				got.file.fd, 0);
		l.list.n = got.file.size;
	}
	fd_close(&got.file.fd);
	rest = l.list;
	while ((k = guest_next_row(&rest, &row)) == 1)
		l.rows++;
	l.bad |= k < 0;
	return l;
}

static bool has(const struct listed *l, const char *path, struct guest_row *ret)
{
	struct sv rest = l->list;

	while (guest_next_row(&rest, ret) == 1)
		if (sv_eq(ret->path, sv_of(path)))
			return true;
	return false;
}

static void test_list(void)
{
	struct test_session t;
	struct guest_row row;
	struct listed l;

	must(open_session(&t));
	must(sh(&t,
		"mkdir -p d/e closed; echo 12345 >d/e/f; ln d/e/f hard; ln -s / root; echo >'n\newline'\n"
		"truncate -s 50M sparse; touch \"$(printf '\\377\\033[31m')\" -- -rf; chmod 0 closed\n",
		false) == 0);
	make_fifo(&t, "fifo");
	l = list(&t, "", 1000);
	ok(!l.bad && l.rows == 11, "all of it is listed: %u", l.rows);
	ok(l.more, "a folder nobody may look into is said to hold more");
	ok(has(&l, "d/e/f", &row) && row.node == GUEST_NODE_FILE && row.size == 6 &&
		   row.nlink == 2 && row.mtime_ns > 0,
	   "a file, with what is known of it");
	ok(has(&l, "root", &row) && row.node == GUEST_NODE_LINK,
	   "a symlink is one, and not followed");
	ok(has(&l, "fifo", &row) && row.node == GUEST_NODE_OTHER,
	   "a FIFO is something else");
	ok(has(&l, "sparse", &row) && row.size == 50u << 20 && row.disk_bytes == 0,
	   "holes are told");
	ok(has(&l, "n\newline", &row) && has(&l, "-rf", &row) &&
		   has(&l, "\377\033[31m", &row),
	   "names are bytes");
	l = list(&t, "d/e", 1000);
	ok(l.rows == 1 && has(&l, "d/e/f", &row), "a folder's");
	l = list(&t, "hard", 1000);
	ok(l.rows == 1 && has(&l, "hard", &row), "a file's own");
	ok(list(&t, "root", 10).rows == 1 && list(&t, "root/etc", 10).bad == ELOOP &&
		   list(&t, "none", 10).bad == ENOENT,
	   "nothing through a symlink");
	l = list(&t, "", 3);
	ok(l.rows == 3 && l.more, "no more rows than were asked for");
	close_session(&t);
}

static void test_large_trees(void)
{
	struct test_session t;
	struct listed l;

	must(open_session(&t));
	ok(sh(&t,
	      "cat >deep.py <<X\n"
	      "import os\n"
	      "for i in range(10000):\n"
	      "    os.mkdir('d'); os.chdir('d')\n"
	      "X\n"
	      "python3 -S deep.py; rm deep.py\n",
	      false) == 0,
	   "folders, 10,000 deep");
	l = list(&t, "", 100000);
	ok(!l.bad && l.more && l.rows > 1000 && l.rows < 2100,
	   "are listed as far as a path reaches: %u", l.rows);
	ok(sh(&t,
	      "cat >wide.py <<X\n"
	      "try:\n"
	      "    for i in range(1000000): open('w%d' % i, 'w').close()\n"
	      "except OSError as e: print(e)\n"
	      "X\n"
	      "python3 -S wide.py\n",
	      true) == 0,
	   "a million files");
	l = list(&t, "", 2000);
	ok(!l.bad && l.more && l.rows == 2000, "the first 2,000 of them");
	ok(sh(&t, ":\n", true) == 0 ||
		   sh(&t, "find . -name 'w*' -delete\n", false) == 0 || true,
	   "the session goes on");
	close_session(&t);
}

int main(void)
{
	open_host();
	test_unpack();
	test_unpack_odd();
	test_races();
	test_read();
	test_write();
	test_write_by_pipe();
	test_delete();
	test_list();
	test_large_trees();
	launch_host_free(host);
	return tap_done();
}
