/* image_tree.c: walks over the folder of an image; see image_tree.h. */
#include "mcp/image_tree.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define MAX_NAMES_BYTES ((size_t)64 << 20) /* of one folder */

struct entry {
	int parent; /* of name */
	const char *name, *path;
	struct stat st;
	bool leaving; /* a folder, after what is in it */
};

struct walk {
	int (*visit)(void *arg, const struct entry *en, struct err *e);
	void *arg;
	bool with_manifest;
	char path[PATH_BYTES];
	size_t n;
};

/* --- the names of a folder, sorted --------------------------------------------------------------- */

struct names {
	struct buf text; /* each with its NUL */
	const char **p;
	size_t n;
};

static void names_finish(struct names *s)
{
	buf_finish(&s->text);
	mem_free(s->p);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_names(int dir, struct names *s, struct err *e)
{
	const int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	const struct dirent *row;
	size_t at = 0;

	if (!d)
		return err_sys(e, "list a folder");
	buf_init(&s->text, MAX_NAMES_BYTES);
	while ((row = readdir(d))) {
		if (!strcmp(row->d_name, ".") || !strcmp(row->d_name, ".."))
			continue;
		buf_add(&s->text, row->d_name, strlen(row->d_name) + 1);
		s->n++;
	}
	closedir(d);
	s->p = mem_alloc((s->n + 1) * sizeof(*s->p));
	if (s->text.failed || !s->p)
		return err_set(e, ERR_LIMIT, "a folder has too many names");
	for (size_t i = 0; i < s->n; i++, at += strlen(s->text.p + at) + 1)
		s->p[i] = s->text.p + at;
	qsort(s->p, s->n, sizeof(*s->p), compare);
	return 0;
}

/* --- the walk -------------------------------------------------------------------------------------- */

static int walk_folder(struct walk *w, int dir, unsigned depth, struct err *e);

static int walk_entry(struct walk *w, int dir, const char *name, unsigned depth,
		      struct err *e)
{
	const size_t before = w->n;
	struct entry en = {.parent = dir, .name = name, .path = w->path};
	AUTO_FD sub = -1;
	int n = snprintf(w->path + w->n, sizeof(w->path) - w->n, "%s%s",
			 depth ? "/" : "", name);

	if (n < 0 || (size_t)n >= sizeof(w->path) - w->n)
		return err_set(e, ERR_INVALID, "a path in the image is too long");
	if (fstatat(dir, name, &en.st, AT_SYMLINK_NOFOLLOW))
		return err_sys(e, "look at %.200s", w->path);
	w->n += (size_t)n;
	if (w->visit(w->arg, &en, e))
		return -1;
	if (S_ISDIR(en.st.st_mode)) {
		sub = openat(dir, name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_sys(e, "open %.200s", w->path);
		if (walk_folder(w, sub, depth + 1, e))
			return -1;
		en.leaving = true;
		if (w->visit(w->arg, &en, e))
			return -1;
	}
	w->n = before;
	w->path[before] = '\0';
	return 0;
}

static int walk_folder(struct walk *w, int dir, unsigned depth, struct err *e)
{
	struct names s = {.n = 0};
	int bad = depth > IMAGE_MAX_DEPTH
			  ? err_set(e, ERR_INVALID, "%.200s is too deep", w->path)
			  : read_names(dir, &s, e);

	for (size_t i = 0; !bad && i < s.n; i++) {
		if (!depth && !w->with_manifest && !strcmp(s.p[i], IMAGE_MANIFEST))
			continue;
		bad = walk_entry(w, dir, s.p[i], depth, e);
	}
	names_finish(&s);
	return bad;
}

static int walk(int dir, struct walk *w, struct err *e)
{
	w->n = 0;
	w->path[0] = '\0';
	return walk_folder(w, dir, 0, e);
}

/* --- checks ---------------------------------------------------------------------------------------- */

struct check {
	struct image_sum sum;
	uid_t owner;
};

static int refuse(const struct entry *en, const char *what, struct err *e)
{
	err_set(e, ERR_DENIED, "%.160s in the image %s", en->path, what);
	return err_fix(e, "see who changed it, then make the image again");
}

static int check_entry(void *arg, const struct entry *en, struct err *e)
{
	struct check *c = arg;
	const mode_t m = en->st.st_mode;

	if (en->leaving)
		return 0;
	c->sum.entries++;
	if (en->st.st_uid != c->owner)
		return refuse(en, "belongs to another user", e);
	if (S_ISLNK(m))
		return 0;
	if (!S_ISREG(m) && !S_ISDIR(m))
		return refuse(en, "is neither a file nor a folder", e);
	if (m & (S_IWGRP | S_IWOTH | S_ISUID | S_ISGID))
		return refuse(en, "can be written by others, or is setuid", e);
	if (!(m & S_IROTH) || (S_ISDIR(m) && !(m & S_IXOTH)))
		return refuse(en, "cannot be read by all", e);
	if (S_ISREG(m))
		c->sum.bytes += (uint64_t)en->st.st_size;
	return 0;
}

int image_tree_check(int dir, struct image_sum *ret, struct err *e)
{
	struct check c = {.sum.entries = 0};
	struct walk w = {.visit = check_entry, .arg = &c};
	struct stat st;

	if (fstat(dir, &st))
		return err_sys(e, "look at the image's folder");
	c.owner = st.st_uid;
	if (walk(dir, &w, e))
		return -1;
	*ret = c.sum;
	return 0;
}

static int seal_entry(void *arg, const struct entry *en, struct err *e)
{
	const mode_t m = en->st.st_mode;
	const mode_t want = S_ISDIR(m) || (m & S_IXUSR) ? 0755 : 0644;

	(void)arg;
	if (en->leaving || S_ISLNK(m))
		return 0;
	if (!S_ISREG(m) && !S_ISDIR(m))
		return refuse(en, "is neither a file nor a folder", e);
	if ((m & 07777) != want && fchmodat(en->parent, en->name, want, 0))
		return err_sys(e, "chmod %.200s", en->path);
	return 0;
}

int image_tree_seal(int dir, struct err *e)
{
	struct walk w = {.visit = seal_entry};

	if (fchmod(dir, 0755))
		return err_sys(e, "chmod the image's folder");
	return walk(dir, &w, e);
}

/* --- the digest ------------------------------------------------------------------------------------ */

struct digest {
	crypto_hash_sha256_state all;
	struct buf line;
};

static int hash_file(const struct entry *en, char hex[IMAGE_DIGEST_SIZE], struct err *e)
{
	static char block[1 << 17];
	crypto_hash_sha256_state h;
	unsigned char hash[crypto_hash_sha256_BYTES];
	uint64_t total = 0;
	ssize_t n;
	AUTO_FD fd = openat(en->parent, en->name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "open %.200s", en->path);
	crypto_hash_sha256_init(&h);
	while ((n = read(fd, block, sizeof(block))) > 0) {
		crypto_hash_sha256_update(&h, (const unsigned char *)block,
					  (unsigned long long)n);
		total += (uint64_t)n;
	}
	if (n < 0)
		return err_sys(e, "read %.200s", en->path);
	if (total != (uint64_t)en->st.st_size)
		return refuse(en, "changed while it was read", e);
	crypto_hash_sha256_final(&h, hash);
	sodium_bin2hex(hex, IMAGE_DIGEST_SIZE, hash, sizeof(hash));
	return 0;
}

static int put_link(struct buf *b, const struct entry *en, struct err *e)
{
	char to[PATH_BYTES];
	ssize_t n = readlinkat(en->parent, en->name, to, sizeof(to));

	if (n < 0 || (size_t)n == sizeof(to))
		return err_sys(e, "read the link %.200s", en->path);
	buf_fmt(b, "l %s", en->path);
	buf_byte(b, '\0');
	buf_add(b, to, (size_t)n);
	return 0;
}

static int digest_entry(void *arg, const struct entry *en, struct err *e)
{
	struct digest *d = arg;
	const mode_t m = en->st.st_mode;
	char hex[IMAGE_DIGEST_SIZE];

	if (en->leaving)
		return 0;
	buf_reset(&d->line);
	if (S_ISLNK(m)) {
		if (put_link(&d->line, en, e))
			return -1;
	} else if (S_ISDIR(m)) {
		buf_fmt(&d->line, "d %04o %s", (unsigned)(m & 07777), en->path);
	} else if (S_ISREG(m)) {
		if (hash_file(en, hex, e))
			return -1;
		buf_fmt(&d->line, "f %04o %llu %s %s", (unsigned)(m & 07777),
			(unsigned long long)en->st.st_size, hex, en->path);
	} else {
		return refuse(en, "is neither a file nor a folder", e);
	}
	buf_byte(&d->line, '\0');
	if (d->line.failed)
		return err_set(e, ERR_LIMIT, "no memory");
	crypto_hash_sha256_update(&d->all, (const unsigned char *)d->line.p, d->line.n);
	return 0;
}

int image_tree_digest(int dir, char ret[IMAGE_DIGEST_SIZE], struct err *e)
{
	struct digest d = {.line = {.max = 4 * PATH_BYTES}};
	struct walk w = {.visit = digest_entry, .arg = &d};
	unsigned char hash[crypto_hash_sha256_BYTES];
	int bad;

	crypto_hash_sha256_init(&d.all);
	bad = walk(dir, &w, e);
	buf_finish(&d.line);
	if (bad)
		return -1;
	crypto_hash_sha256_final(&d.all, hash);
	sodium_bin2hex(ret, IMAGE_DIGEST_SIZE, hash, sizeof(hash));
	return 0;
}

/* --- removal --------------------------------------------------------------------------------------- */

static int remove_entry(void *arg, const struct entry *en, struct err *e)
{
	const bool folder = S_ISDIR(en->st.st_mode);

	(void)arg;
	if (folder && !en->leaving) /* whatever mode a package gave it */
		return fchmodat(en->parent, en->name, 0700, 0)
			       ? err_sys(e, "chmod %.200s", en->path)
			       : 0;
	return unlinkat(en->parent, en->name, folder ? AT_REMOVEDIR : 0)
		       ? err_sys(e, "remove %.200s", en->path)
		       : 0;
}

int image_tree_remove(int parent, const char *name, struct err *e)
{
	struct walk w = {.visit = remove_entry, .with_manifest = true};
	struct stat st;
	AUTO_FD dir = -1;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(parent, name, 0) ? err_sys(e, "remove %.100s", name)
						 : 0;
	if (fchmodat(parent, name, 0700, 0))
		return err_sys(e, "chmod %.100s", name);
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || walk(dir, &w, e))
		return err_sys(e, "remove %.100s", name);
	return unlinkat(parent, name, AT_REMOVEDIR) ? err_sys(e, "remove %.100s", name)
						    : 0;
}
