/* The root key: where it is looked for, whose it must be, passphrases, and a rotation cut off anywhere. */
#include "ws_test.h"

#include "vectors.h"

static char path[128], new_path[132];

static void put_file(const char *name, const char *text, mode_t mode)
{
	AUTO_FD fd = -1;

	unlink(name);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fd >= 0 && !fd_write_all(fd, text, strlen(text)) && !fchmod(fd, mode));
}

static bool exists(const char *name)
{
	return !access(name, F_OK);
}

static struct ws_root at_path(void)
{
	struct ws_root r;

	must(!ws_root_find(&r, path, NULL, "", NULL));
	r.ops = 1;
	r.kib = 64;
	return r;
}

static void clear(void)
{
	unlink(path);
	unlink(new_path);
}

static void where(void)
{
	char folder[100], file[128], longest[WS_ROOT_PATH_SIZE];
	struct ws_root r;
	struct err e = {0};

	snprintf(folder, sizeof(folder), "%s/credentials", base_dir);
	must(!mkdir(folder, 0700));
	must(!ws_root_find(&r, "/a/b", folder, "/s", NULL));
	ok(!strcmp(r.path, "/a/b") && !r.credential, "the file that is named");
	must(!ws_root_find(&r, "", folder, "/s", NULL));
	ok(!strcmp(r.path, "/s/root.key") && !r.credential,
	   "else that of the state folder");
	snprintf(file, sizeof(file), "%s/fumehood.root", folder);
	put_file(file, "x\n", 0400);
	must(!ws_root_find(&r, "", folder, "/s", NULL));
	ok(!strcmp(r.path, file) && r.credential, "but a credential comes before that");
	must(!ws_root_find(&r, "/a/b", folder, "/s", NULL));
	ok(!strcmp(r.path, "/a/b") && !r.credential, "and what is named before both");
	ok(ws_root_make(&(struct ws_root){.credential = true}, (struct sv){0}, &e) &&
		   e.code == ERR_DENIED,
	   "%s", e.cause);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ok(ws_root_find(&r, longest, NULL, "/s", NULL) &&
		   ws_root_find(&r, "", NULL, longest, NULL),
	   "a name that is too long is refused");
}

static void a_key(void)
{
	struct ws_root r = at_path(), again = at_path(), none = at_path();
	unsigned char name[WS_KEY_NAME_BYTES];
	struct err e = {0};
	struct stat st;

	ok(ws_root_read(&none, &e) && e.code == ERR_NOT_FOUND &&
		   strstr(e.remediation, "key root init"),
	   "%s", e.cause);
	ok(!ws_root_make(&r, (struct sv){0}, NULL) && !exists(path) && exists(new_path),
	   "made beside its place");
	ok(!ws_root_keep(&r, NULL) && exists(path) && !exists(new_path), "put there");
	ok(!stat(path, &st) && (st.st_mode & 07777) == 0400, "mode 0400");
	ok(!ws_root_read(&again, NULL) && again.key && !again.passphrase &&
		   !memcmp(ws_key_name(again.key), ws_key_name(r.key), 16),
	   "and read again");
	ok(!ws_root_unlock(&again, (struct sv){0}, NULL), "it needs no passphrase");
	memcpy(name, r.name, sizeof(name));
	ws_root_finish(&r);
	r = at_path();
	ok(!ws_root_make(&r, (struct sv){0}, NULL) && memcmp(r.name, name, 16),
	   "another one is another");
	ws_root_finish(&r);
	ws_root_finish(&again);
	clear();
}

static void of_others(mode_t mode, const char *words)
{
	struct ws_root r = at_path();
	struct err e = {0};

	must(!chmod(path, mode));
	ok(ws_root_read(&r, &e) && e.code == ERR_DENIED && strstr(e.cause, words) &&
		   strstr(e.remediation, "chmod"),
	   "%03o: %s", (unsigned)mode, e.cause);
}

static void is_ours(void)
{
	static const mode_t wrong[] = {0600, 0440, 0404, 0644, 0500, 0420, 04400};
	struct ws_root r = at_path();
	struct err e = {0};
	char other[140];

	must(!ws_root_make(&r, (struct sv){0}, NULL) && !ws_root_keep(&r, NULL));
	ws_root_finish(&r);
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
		of_others(wrong[i], "more than its owner's reading");
	must(!chmod(path, 0440));
	r = at_path();
	r.credential = true;
	ok(!ws_root_read(&r, NULL), "a credential may be readable by an ACL");
	ws_root_finish(&r);
	must(!chmod(path, 0400));
	snprintf(other, sizeof(other), "%s.x", path);
	must(!link(path, other));
	r = at_path();
	ok(ws_root_read(&r, &e) && strstr(e.cause, "one name"), "%s", e.cause);
	must(!unlink(path) && !symlink(other, path));
	err_clear(&e);
	ok(ws_root_read(&r, &e) && strstr(e.cause, path), "%s", e.cause);
	must(!unlink(path) && !mkfifo(path, 0400));
	err_clear(&e);
	ok(ws_root_read(&r, &e) && e.code == ERR_DENIED, "%s", e.cause);
	must(!unlink(path) && !rename(other, path));
	if (geteuid()) {
		skip("only root can give a file away");
	} else {
		must(!chown(path, 4242, 0));
		err_clear(&e);
		ok(ws_root_read(&r, &e) && strstr(e.cause, "user id 4242"), "%s",
		   e.cause);
	}
	clear();
}

static void not_one(const char *text)
{
	struct ws_root r = at_path();
	struct err e = {0};

	put_file(path, text, 0400);
	ok(ws_root_read(&r, &e) && e.code == ERR_INVALID && strstr(e.cause, path) &&
		   !r.key,
	   "none: %.60s", text);
	ws_root_finish(&r);
	clear();
}

static void texts(void)
{
	static const char *const bad[] = {
		"",
		"\n",
		"x",
		"fumehood-root-1",
		"fumehood-root-1 key",
		"fumehood-root-1 key %s",
		"fumehood-root-1 key %s ",
		"fumehood-root-1 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh",
		"fumehood-root-1 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9",
		"fumehood-root-1 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHhA", /* another's name */
		"fumehood-root-1 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 ",
		"fumehood-root-1 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n\n",
		"fumehood-root-2 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"fumehood-root-1 argon2id %s 3 65536",
		"fumehood-root-1 argon2id %s 0 65536 00112233445566778899aabbccddeeff",
		"fumehood-root-1 argon2id %s 65 65536 00112233445566778899aabbccddeeff",
		"fumehood-root-1 argon2id %s 3 7 00112233445566778899aabbccddeeff",
		"fumehood-root-1 argon2id %s 3 4194305 00112233445566778899aabbccddeeff",
		"fumehood-root-1 argon2id %s 3 65536 00112233445566778899aabbccddee",
		"fumehood-root-1 argon2id %s 3 65536 00112233445566778899aabbccddeeff 1",
		"fumehood-root-1 argon2i %s 3 65536 00112233445566778899aabbccddeeff"};
	char hex[33], text[1024];
	struct ws_root r = at_path();

	sodium_bin2hex(hex, sizeof(hex), vec_root_name, sizeof(vec_root_name));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		const char *gap = strstr(bad[i], "%s");

		snprintf(text, sizeof(text), "%.*s%s%s",
			 gap ? (int)(gap - bad[i]) : 100, bad[i], gap ? hex : "",
			 gap ? gap + 2 : "");
		not_one(text);
	}
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	not_one(text);
	snprintf(text, sizeof(text),
		 "fumehood-root-1 key %s AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
		 hex);
	put_file(path, text, 0400);
	ok(!ws_root_read(&r, NULL) && r.key &&
		   !memcmp(ws_key_open(r.key), (unsigned char[]){0, 1, 2, 3}, 4),
	   "the control is one");
	ws_key_shut(r.key);
	ws_root_finish(&r);
	clear();
}

static void passphrases(void)
{
	const struct sv words = SV("correct horse battery"),
			wrong = SV("correct horse batterz");
	AUTO_BUF b = {.max = 4096};
	struct ws_root r = at_path(), again = at_path();
	struct err e = {0};

	ok(ws_root_make(&r, SV("too short"), &e) && e.code == ERR_INVALID &&
		   !exists(new_path),
	   "%s", e.cause);
	err_clear(&e);
	ok(!ws_root_make(&r, words, &e) && !ws_root_keep(&r, &e), "of a passphrase %s",
	   e.cause);
	must(!fd_read_file(path, &b, NULL));
	ok(strstr(b.p, "fumehood-root-1 argon2id ") && strstr(b.p, " 1 64 ") &&
		   !strstr(b.p, "horse"),
	   "its file has how the key is made, not of what: %.*s", (int)b.n - 1, b.p);
	ok(!ws_root_read(&again, NULL) && again.passphrase && !again.key,
	   "it is read without");
	ok(ws_root_unlock(&again, wrong, &e) && e.code == ERR_DENIED && !again.key &&
		   !strstr(e.cause, "horse"),
	   "%s", e.cause);
	ok(!ws_root_unlock(&again, words, NULL) && again.key &&
		   !memcmp(ws_key_name(again.key), ws_key_name(r.key), 16),
	   "and opened with it");
	ws_root_finish(&r);
	ws_root_finish(&again);
	/* other parameters, other key: the file cannot be bent to a cheaper one */
	b.p[strlen("fumehood-root-1 argon2id ") + 33] = '2';
	put_file(path, b.p, 0400);
	again = at_path();
	ok(!ws_root_read(&again, NULL) && ws_root_unlock(&again, words, NULL),
	   "not with other parameters");
	ws_root_finish(&again);
	clear();
}

/* The bytes of the old file are gone where it was. */
static void overwritten(void)
{
	struct ws_root r = at_path();
	AUTO_FD old = -1;
	char text[64] = "";

	must(!ws_root_make(&r, (struct sv){0}, NULL) && !ws_root_keep(&r, NULL));
	ws_root_finish(&r);
	old = open(path, O_RDONLY | O_CLOEXEC);
	must(old >= 0 && pread(old, text, 60, 0) == 60 &&
	     strstr(text, "fumehood-root"));
	must(!ws_root_make(&r, (struct sv){0}, NULL) && !ws_root_keep(&r, NULL));
	ws_root_finish(&r);
	ok(pread(old, text, 60, 0) == 60 && sodium_is_zero((unsigned char *)text, 60),
	   "what was the root key is zeroes on the disk");
	clear();
}

/* --- a rotation that is cut off ---------------------------------------------------------- */

/* PATH has one key and PATH.new another (or what is not one); `name` is in force. */
static void settles(const char *what, const unsigned char *name,
		    const unsigned char *want, bool has_new)
{
	struct ws_root r = at_path(), now = at_path();
	struct err e = {0};
	const int rc = ws_root_settle(&r, name, &e);

	must(!ws_root_read(&now, NULL));
	ok(!rc && !memcmp(now.name, want, sizeof(now.name)) &&
		   exists(new_path) == has_new,
	   "%s %s", what, e.cause);
	ws_root_finish(&now);
}

static void two_keys(struct ws_root *old, struct ws_root *new)
{
	clear();
	*old = *new = at_path();
	must(!ws_root_make(old, (struct sv){0}, NULL) && !ws_root_keep(old, NULL) &&
	     !ws_root_make(new, (struct sv){0}, NULL));
	ws_root_finish(old);
	ws_root_finish(new);
}

static void cut_off(void)
{
	const unsigned char third[WS_KEY_NAME_BYTES] = {1};
	struct ws_root old, new, r = at_path();
	struct err e = {0};

	two_keys(&old, &new);
	settles("cut off before the database was changed", old.name, old.name, false);
	two_keys(&old, &new);
	settles("cut off after it", new.name, new.name, false);
	settles("and again", new.name, new.name, false);
	two_keys(&old, &new);
	ok(ws_root_settle(&r, third, &e) && e.code == ERR_DENIED && exists(new_path),
	   "neither is in force: nothing is touched: %s", e.cause);
	ok(ws_root_settle(&r, NULL, NULL) && exists(new_path),
	   "nor when nothing is known");
	must(!chmod(new_path, 0600) && !truncate(new_path, 60) &&
	     !chmod(new_path, 0400));
	settles("the new one was half written", old.name, old.name, false);
	two_keys(&old, &new);
	must(!unlink(path));
	settles("a first key that was not put in its place", NULL, new.name, false);
	two_keys(&old, &new);
	must(!unlink(path));
	settles("or whose place was emptied", new.name, new.name, false);
	two_keys(&old, &new);
	must(!chmod(new_path, 0644));
	ok(ws_root_settle(&r, new.name, &e) && exists(new_path),
	   "one that others could write is not taken");
	clear();
}

int main(void)
{
	folder_new();
	snprintf(path, sizeof(path), "%s/root.key", base_dir);
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	where();
	a_key();
	is_ours();
	texts();
	passphrases();
	overwritten();
	cut_off();
	folder_end();
	return tap_done();
}
