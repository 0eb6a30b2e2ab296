/* state.c: the state folder and its locks. */
#include "sandbox/ledger/state.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/ledger/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* One step of the walk: opens name below *at, making it when missing, and moves *at there. A
 * parent may be a symlink (a home that lives elsewhere): what counts is who owns the last one. */
static int step_into(int *at, const char *name, mode_t mode)
{
	int next, made = mkdirat(*at, name, mode) && errno != EEXIST ? errno : 0;

	next = openat(*at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (next < 0 && errno == EACCES) /* a parent that may be passed, not read */
		next = openat(*at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (next < 0) {
		if (errno == ENOENT && made)
			errno = made; /* why it is not there says more */
		return -1;
	}
	fd_close(at);
	*at = next;
	return 0;
}

static int make_path(const char *path, struct err *e)
{
	AUTO_FD at =
		open(path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sv rest = sv_of(path), part;
	bool more = true;

	if (at < 0)
		return err_sys(e, "open the folder %s starts from", path);
	while (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	while (sv_cut(&rest, '/', &more, &part)) {
		char name[256];

		if (!part.n)
			continue;
		if (sv_copy(part, name, sizeof(name)))
			return err_set(e, ERR_INVALID,
				       "the state folder %s has a name over 255 bytes",
				       path);
		if (step_into(&at, name, more ? 0777 : 0700)) {
			err_sys(e, "the state folder %s, at \"%s\"", path, name);
			return err_fix(
				e,
				"make it yourself, or use --state with another folder");
		}
	}
	return fd_steal(&at);
}

static int check_ours(int dir, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(dir, &st))
		return err_sys(e, "stat %s", path);
	if (st.st_uid != geteuid()) {
		err_set(e, ERR_DENIED,
			"the state folder %s belongs to user id %u, not to %u", path,
			(unsigned)st.st_uid, (unsigned)geteuid());
		return err_fix(
			e,
			"use --state with a folder of your own, or as root: chown %u %s",
			(unsigned)geteuid(), path);
	}
	if (st.st_mode & 077) {
		err_set(e, ERR_DENIED,
			"the state folder %s is open to others (mode %03o)", path,
			(unsigned)(st.st_mode & 0777));
		return err_fix(e, "chmod 700 %s, or use --state with another folder",
			       path);
	}
	return 0;
}

/* SQLite wants a path; this is the one of the folder that dir is open on. */
static int real_path(int dir, const char *path, char *real, struct err *e)
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, real, LED_PATH_SIZE);
	if (n < 0)
		return err_sys(e, "readlink %s (is /proc mounted?)", link);
	if (n > LED_PATH_SIZE - 32)
		return err_set(e, ERR_INVALID,
			       "the path of the state folder %s is too long", path);
	real[n] = '\0';
	return 0;
}

int led_dir_open(const char *path, char *real, struct err *e)
{
	AUTO_FD dir = -1;

	if (!path || !path[0])
		return err_set(e, ERR_INVALID, "no state folder was named");
	dir = make_path(path, e);
	if (dir < 0 || check_ours(dir, path, e) || real_path(dir, path, real, e))
		return -1;
	return fd_steal(&dir);
}

int led_state_dir(const char *state_dir, struct err *e)
{
	char real[LED_PATH_SIZE];

	return led_dir_open(state_dir, real, e);
}

int led_dir_open_ro(const char *path, char *real, struct err *e)
{
	AUTO_FD dir = -1;

	if (!path || !path[0])
		return err_set(e, ERR_INVALID, "no state folder was named");
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT) {
		err_set(e, ERR_NOT_FOUND, "there is no state folder %s", path);
		return err_fix(e, "name the server's folder with --state");
	}
	if (dir < 0) {
		err_sys(e, "open the state folder %s", path);
		return err_fix(e, "name a folder of your own with --state");
	}
	return real_path(dir, path, real, e) ? -1 : fd_steal(&dir);
}

int led_file_open(int dir, const char *name, struct err *e)
{
	AUTO_FD fd =
		openat(dir, name,
		       O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		err_sys(e, "open %s in the state folder", name);
		return err_fix(
			e, "let its owner write there (chmod 700), or use --state with "
			   "another folder");
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) ||
	    st.st_nlink != 1) {
		err_set(e, ERR_DENIED,
			"%s in the state folder is not a private file of ours", name);
		return err_fix(
			e,
			"see who changed it (owner, mode 0600, no links), or use --state "
			"with another folder");
	}
	return fd_steal(&fd);
}

static struct flock one_byte(short type, int64_t byte)
{
	return (struct flock){.l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = (off_t)byte,
			      .l_len = 1};
}

int led_lock(int fd, int64_t byte, unsigned timeout_ms, struct err *e)
{
	uint64_t until = loop_now_us() + (uint64_t)timeout_ms * 1000;

	for (;;) {
		struct flock l = one_byte(F_WRLCK, byte);
		struct timespec pause = {.tv_nsec = 500000};

		if (!fcntl(fd, F_OFD_SETLK, &l))
			return 0;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_sys(e, "lock the state folder");
		if (loop_now_us() >= until) {
			err_set(e, ERR_BUSY,
				"another server holds the state folder's lock");
			return err_fix(
				e,
				"wait until it has started, or use --state with another "
				"folder");
		}
		nanosleep(&pause, NULL);
	}
}

void led_unlock(int fd, int64_t byte)
{
	struct flock l = one_byte(F_UNLCK, byte);

	fcntl(fd, F_OFD_SETLK, &l);
}

bool led_is_locked(int fd, int64_t byte)
{
	struct flock l = one_byte(F_WRLCK, byte);

	return fd >= 0 && !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}
