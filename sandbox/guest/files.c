/* files.c: files of a tree that hostile programs change meanwhile; see files.h.
 *
 * Theory of operation. A path is walked one part at a time, each opened from the folder before it, so
 * that no part but the last can be anything but a folder when it is used; a folder that is moved
 * meanwhile stays in the same tree, because a tree is a mount of its own and nothing can be renamed
 * out of it. A file is made by O_EXCL, which opens nothing that was there. A file to be read
 * is first held by O_PATH, which opens nothing either, then judged, and only then opened. A file
 * to be replaced is written without a name and given its name when it is whole. */
#include "sandbox/guest/files.h"

#include "sandbox/base/buf.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TRIES 8
#define LIST_BYTES ((size_t)16 << 20)
#define LIST_US ((uint64_t)20 * 1000000) /* less than the keeper waits */
#define LOG_BYTES ((uint64_t)4 << 20)
#define TIME_EVERY 256
#define NAME_SIZE 256

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int files_open(int root, const char *path, uint64_t flags)
{
	struct open_how how = {.flags = flags | O_CLOEXEC,
			       .mode = flags & O_CREAT ? 0644 : 0,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					  RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	int fd = -1;

	/* EAGAIN: something was renamed just now and the kernel cannot tell whether it left */
	for (unsigned i = 0; fd < 0 && i < TRIES; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	return fd;
}

/* One folder further down; makes it if that is wanted. */
static int step_into(int dir, const char *name, bool make)
{
	int fd = files_open(dir, name, O_PATH | O_DIRECTORY);

	if (fd >= 0 || errno != ENOENT || !make)
		return fd;
	if (mkdirat(dir, name, 0755) && errno != EEXIST)
		return -1;
	return files_open(dir, name, O_PATH | O_DIRECTORY);
}

/* The folder that path's last part is in, and that part. The descriptor is the caller's. */
static int open_parent(int root, struct sv path, bool make, char leaf[NAME_SIZE])
{
	int dir = fcntl(root, F_DUPFD_CLOEXEC, 0), next;
	struct sv part;
	bool more = true;

	while (dir >= 0 && sv_cut(&path, '/', &more, &part)) {
		if (sv_copy(part, leaf, NAME_SIZE)) {
			errno = ENAMETOOLONG;
			fd_close(&dir);
			return -1;
		}
		if (!more)
			break;
		next = step_into(dir, leaf, make);
		fd_close(&dir);
		dir = next;
	}
	return dir;
}

/* Whatever is there goes first, unless it is a folder. */
static int create(int dir, const char *name)
{
	int fd = -1;

	for (unsigned i = 0; i < TRIES; i++) {
		fd = files_open(dir, name, O_WRONLY | O_CREAT | O_EXCL);
		if (fd >= 0 || errno != EEXIST)
			break;
		if (unlinkat(dir, name, 0) && errno != ENOENT)
			break;
		errno = EEXIST;
	}
	return fd;
}

/* --- the log ---------------------------------------------------------------------------------- */

static int noted_root = -1, noted_in = -1;

void files_note_in(int root, int log)
{
	noted_root = root;
	noted_in = log;
}

static enum guest_node node_of(mode_t mode)
{
	return S_ISREG(mode)   ? GUEST_NODE_FILE
	       : S_ISDIR(mode) ? GUEST_NODE_DIR
	       : S_ISLNK(mode) ? GUEST_NODE_LINK
			       : GUEST_NODE_OTHER;
}

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct guest_row row_of(struct sv path, const struct stat *st)
{
	return (struct guest_row){
		.node = node_of(st->st_mode),
		.nlink = (uint32_t)st->st_nlink,
		.size = (uint64_t)st->st_size,
		.disk_bytes = (uint64_t)st->st_blocks * 512,
		.inode = st->st_ino,
		.mtime_ns = nanoseconds(st->st_mtim),
		.ctime_ns = nanoseconds(st->st_ctim),
		.path = path,
	};
}

/* Without a note it will count as a change of the next call: no harm, so a log that is full takes no more. */
static void note(int root, struct sv path, const struct stat *st)
{
	char bytes[GUEST_ROW_HEAD + PATH_MAX];
	struct guest_row row = row_of(path, st);
	struct stat log;

	if (root != noted_root || path.n > PATH_MAX || fstat(noted_in, &log) ||
	    (uint64_t)log.st_blocks * 512 > LOG_BYTES)
		return;
	guest_put_row(bytes, &row);
	memcpy(bytes + GUEST_ROW_HEAD, path.p, path.n);
	if (write(noted_in, bytes, GUEST_ROW_HEAD + path.n) < 0)
		return;
}

/* Times have the grain of the kernel's tick: a program that writes within the same one as we would leave no
 * trace. So ours is one nobody's writing can leave. */
static void set_own_time(int fd)
{
	struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
	struct stat st;

	if (fstat(fd, &st))
		return;
	t[1] = st.st_mtim;
	t[1].tv_nsec -= t[1].tv_nsec ? 1 : 0;
	futimens(fd, t);
}

/* --- making files ----------------------------------------------------------------------------- */

int files_unpack(int root, struct sv path, struct sv content)
{
	char leaf[NAME_SIZE];
	AUTO_FD dir = open_parent(root, path, true, leaf);
	AUTO_FD fd = dir < 0 ? -1 : create(dir, leaf);
	struct stat st;

	if (fd < 0 || fd_write_all(fd, content.p, content.n) ||
	    (files_is_program(content) && fchmod(fd, 0755)))
		return -1;
	if (root != noted_root)
		return 0;
	set_own_time(fd);
	if (!fstat(fd, &st))
		note(root, path, &st);
	return 0;
}

/* Bytes copied, or -1. From a pipe until its end; from a file by offset, whoever else moves its. */
static int64_t copy(int from, int to, uint64_t max_bytes)
{
	char part[65536];
	const bool file = fd_size(from) >= 0;
	uint64_t done = 0;

	for (;;) {
		ssize_t n = file ? pread(from, part, sizeof(part), (off_t)done)
				 : read(from, part, sizeof(part));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -1 : (int64_t)done;
		if ((uint64_t)n > max_bytes - done) {
			errno = EFBIG;
			return -1;
		}
		if (fd_write_all(to, part, (size_t)n))
			return -1;
		done += (uint64_t)n;
	}
}

int files_unpack_fd(int root, const char *name, int from)
{
	AUTO_FD fd = create(root, name);

	return fd < 0 || copy(from, fd, INT64_MAX) < 0 ? -1 : 0;
}

/* --- operations ------------------------------------------------------------------------------- */

static int describe(const struct stat *st, struct guest_file_done *d)
{
	d->node = node_of(st->st_mode);
	d->size = (uint64_t)st->st_size;
	d->mtime_ns = nanoseconds(st->st_mtim);
	return 0;
}

static int path_of(struct sv path, char dst[PATH_MAX])
{
	if (!sv_copy(path, dst, PATH_MAX))
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int files_open_regular(int root, const char *path, struct stat *st)
{
	AUTO_FD held = files_open(root, path, O_PATH | O_NOFOLLOW);
	AUTO_FD fd = -1;
	char again[40];

	if (held < 0 || fstat(held, st))
		return -1;
	if (!S_ISREG(st->st_mode)) {
		errno = S_ISDIR(st->st_mode)   ? EISDIR
			: S_ISLNK(st->st_mode) ? ELOOP
					       : EINVAL;
		return -1;
	}
	snprintf(again, sizeof(again), "/proc/self/fd/%d", held);
	fd = open(again, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 || fstat(fd, st) ? -1 : fd_steal(&fd);
}

static int read_op(int root, const struct guest_file *f, struct guest_file_done *d)
{
	char path[PATH_MAX];
	struct stat st;

	if (path_of(f->path, path))
		return -1;
	d->fd = files_open_regular(root, path, &st);
	return d->fd < 0 ? -1 : describe(&st, d);
}

/* Gives the nameless file its name: at once where nothing is, else by way of another name. */
static int publish(int dir, const char *leaf, int fd, bool keep)
{
	char self[40], other[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!linkat(AT_FDCWD, self, dir, leaf, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno != EEXIST || keep)
		return -1;
	snprintf(other, sizeof(other), ".fumehood-%d-%d", (int)getpid(), fd);
	if (unlinkat(dir, other, 0) && errno != ENOENT)
		return -1;
	if (linkat(AT_FDCWD, self, dir, other, AT_SYMLINK_FOLLOW))
		return -1;
	if (renameat(dir, other, dir, leaf)) {
		int sys = errno;

		unlinkat(dir, other, 0);
		errno = sys;
		return -1;
	}
	return 0;
}

static int write_op(int root, const struct guest_file *f, struct guest_file_done *d)
{
	char leaf[NAME_SIZE], head[4] = "";
	AUTO_FD dir = open_parent(root, f->path, true, leaf);
	AUTO_FD fd =
		dir < 0 ? -1 : openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	struct stat st;
	int64_t got;

	if (fd < 0)
		return -1;
	got = copy(f->data_fd, fd, f->max_bytes);
	if (got < 0)
		return -1;
	if ((uint64_t)got < f->min_bytes) {
		errno = ENODATA;
		return -1;
	}
	if (pread(fd, head, sizeof(head), 0) > 0 &&
	    files_is_program((struct sv){head, sizeof(head)}) && fchmod(fd, 0755))
		return -1;
	set_own_time(fd);
	if (publish(dir, leaf, fd, f->flags & GUEST_KEEP) || fstat(fd, &st))
		return -1;
	note(root, f->path, &st);
	return describe(&st, d);
}

static int delete_op(int root, const struct guest_file *f, struct guest_file_done *d)
{
	char leaf[NAME_SIZE];
	AUTO_FD dir = open_parent(root, f->path, false, leaf);
	struct stat st;

	if (dir < 0 || fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW))
		return -1;
	describe(&st, d);
	if (unlinkat(dir, leaf, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0))
		return -1;
	st.st_nlink = 0;
	note(root, f->path, &st);
	return 0;
}

/* A row, unless there is no more room for it. */
static int add_row(struct buf *b, const char *path, const struct stat *st)
{
	char head[GUEST_ROW_HEAD];
	struct guest_row row = row_of(sv_of(path), st);

	if (!guest_path_ok(row.path) || b->max - b->n < GUEST_ROW_HEAD + row.path.n)
		return -1;
	guest_put_row(head, &row);
	buf_add(b, head, sizeof(head));
	buf_sv(b, row.path);
	return b->failed ? -1 : 0;
}

/* The rows of one folder; it may be gone by now, or be something else. True: there is more than
 * could be listed. */
static bool list_folder(int root, const char *path, struct buf *b, uint32_t *rows,
			uint64_t until_us)
{
	int fd = files_open(root, *path ? path : ".", O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char child[PATH_MAX];
	unsigned looked = 0;
	bool more = false;
	struct dirent *en;
	struct stat st;

	if (!d) {
		bool vanished = fd < 0 &&
				(errno == ENOENT || errno == ENOTDIR || errno == ELOOP);

		fd_close(&fd);
		return !vanished;
	}
	while (!more && (en = readdir(d))) {
		if (++looked % TIME_EVERY == 0 && now_us() > until_us) {
			more = true;
			break;
		}
		if (!strcmp(en->d_name, ".") || !strcmp(en->d_name, "..") ||
		    fstatat(fd, en->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!*rows ||
		    snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "",
			     en->d_name) >= PATH_MAX ||
		    add_row(b, child, &st))
			more = true;
		else
			--*rows;
	}
	closedir(d);
	return more;
}

/* The list is its own queue: each row of a folder is followed by that folder's, further down. */
bool files_list(int root, const char *top, struct buf *b, uint32_t rows,
		uint64_t until_us)
{
	bool more = list_folder(root, top, b, &rows, until_us);
	char path[PATH_MAX];
	size_t at = 0;

	while (at < b->n) {
		struct sv rest = {b->p + at, b->n - at};
		struct guest_row row;

		if (guest_next_row(&rest, &row) != 1)
			return true;
		at = b->n - rest.n;
		if (row.node != GUEST_NODE_DIR)
			continue;
		if (now_us() > until_us)
			return true;
		if (sv_copy(row.path, path, sizeof(path)))
			more = true;
		else
			more = list_folder(root, path, b, &rows, until_us) || more;
	}
	return more;
}

static int list_op(int root, const struct guest_file *f, struct guest_file_done *d)
{
	char path[PATH_MAX];
	AUTO_FD at = -1;
	AUTO_BUF b = {0};
	struct stat st;

	if (path_of(f->path, path))
		return -1;
	buf_init(&b, LIST_BYTES);
	at = files_open(root, *path ? path : ".", O_PATH | O_NOFOLLOW);
	if (at < 0 || fstat(at, &st))
		return -1;
	describe(&st, d);
	if (S_ISDIR(st.st_mode)) {
		if (files_list(root, path, &b, f->max_rows, now_us() + LIST_US))
			d->flags |= GUEST_MORE;
	} else {
		add_row(&b, path, &st);
	}
	if (b.failed) {
		errno = ENOMEM;
		return -1;
	}
	d->size = b.n;
	d->fd = fd_memfd("list", b.p, b.n, NULL);
	return d->fd < 0 ? -1 : 0;
}

void files_serve(int root, const struct guest_file *f, struct guest_file_done *d)
{
	static int (*const ops[])(int, const struct guest_file *,
				  struct guest_file_done *) = {
		[GUEST_LIST] = list_op,
		[GUEST_READ] = read_op,
		[GUEST_WRITE] = write_op,
		[GUEST_DELETE] = delete_op,
	};

	*d = (struct guest_file_done){.fd = -1};
	errno = 0;
	if (ops[f->op](root, f, d))
		*d = (struct guest_file_done){.sys = errno ? (uint32_t)errno : EIO,
					      .fd = -1};
}
