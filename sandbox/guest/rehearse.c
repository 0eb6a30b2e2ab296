/* rehearse.c: see rehearse.h; linked into cell.so. */
#include "sandbox/guest/rehearse.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POPULATE_WRITE                                                                 \
	23 /* MADV_POPULATE_WRITE, Linux 5.14; newer than Debian's headers */
#define PAGE 4096
#define ONCE ((uint64_t)1 << 56) /* of a row of pagemap: mapped by this process alone */
#define OF_FILE ((uint64_t)1 << 61)
#define MAX_COPIES 4096
#define PATIENCE_S 5
#define MAX_RUNS 512

static bool is_on;
struct runs {
	unsigned n;
	struct {
		uintptr_t at;
		size_t bytes;
	} run[MAX_RUNS];
};
static struct runs hot;
static struct runs *told; /* shared: by the fork that rehearses */

/* --- what has been copied ------------------------------------------------------------------------ */

/* In order. */
struct copies {
	unsigned n;
	uintptr_t at[MAX_COPIES];
};

static uintptr_t take_hex(const char **s)
{
	uintptr_t n = 0;

	for (;; ++*s) {
		const char c = **s;

		if (c >= '0' && c <= '9')
			n = n << 4 | (uintptr_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uintptr_t)(c - 'a' + 10);
		else
			return n;
	}
}

static void look_through(int pagemap, uintptr_t from, uintptr_t to, struct copies *c)
{
	uint64_t rows[64];
	ssize_t got;

	while (from < to) {
		const size_t left = (to - from) / PAGE;
		const size_t n = left < ARRAY_LEN(rows) ? left : ARRAY_LEN(rows);

		got = pread(pagemap, rows, n * sizeof(*rows),
			    (off_t)(from / PAGE * sizeof(*rows)));
		if (got <= 0)
			return;
		for (size_t i = 0; i < (size_t)got / sizeof(*rows); i++, from += PAGE)
			if ((rows[i] & (ONCE | OF_FILE)) == ONCE && c->n < MAX_COPIES)
				c->at[c->n++] = from;
	}
}

static void find_copies(struct copies *c)
{
	static char text[65536];
	AUTO_FD maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	AUTO_FD pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	c->n = 0;
	while ((got = read(maps, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	for (const char *s = text, *end; (end = strchr(s, '\n')) != NULL; s = end + 1) {
		const uintptr_t from = take_hex(&s);
		const uintptr_t to = *s == '-' ? (s++, take_hex(&s)) : from;

		if (!strncmp(s, " rw-p", 5))
			look_through(pagemap, from, to, c);
	}
}

/* --- the rehearsal ------------------------------------------------------------------------------- */

static struct copies before;

/* A folder of its own for the program, as a room has it. Where there is none, the program fails early, and that is all. */
static void furnish(void)
{
	if (!unshare(CLONE_NEWNS) &&
	    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !mount("tmpfs", "/workspace", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k"))
		(void)!chdir("/workspace");
}

static void add(struct runs *r, uintptr_t page)
{
	const unsigned last = r->n - 1;

	if (r->n && r->run[last].at + r->run[last].bytes == page) {
		r->run[last].bytes += PAGE;
	} else if (r->n < MAX_RUNS) {
		r->run[r->n].at = page;
		r->run[r->n++].bytes = PAGE;
	}
}

static void *pointer(uintptr_t at)
{
	union {
		uintptr_t number;
		void *at;
	} u = {at};

	return u.at;
}

/* Of what was told that which is there: a call for a run fails where a page of it is not. */
static void keep_what_is_here(void)
{
	unsigned char row;

	for (unsigned i = 0; i < told->n; i++)
		for (size_t at = 0; at < told->run[i].bytes; at += PAGE)
			if (!mincore(pointer(told->run[i].at + at), PAGE, &row))
				add(&hot, told->run[i].at + at);
}

bool rehearse_begin(pid_t (*fork)(void))
{
	void *p = MAP_FAILED;
	pid_t pid;

	if (fd_size(REHEARSE_FD) < 0)
		return false;
	p = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	told = p;
	pid = fork();
	if (!pid) {
		is_on = true;
		alarm(PATIENCE_S);
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* else its pagemap is root's */
		furnish();
		return true;
	}
	close(REHEARSE_FD);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	keep_what_is_here();
	munmap(p, sizeof(*told));
	return false;
}

bool rehearse_is_on(void)
{
	return is_on;
}

int rehearse_start(int at)
{
	find_copies(&before);
	return dup3(REHEARSE_FD, at, O_CLOEXEC) < 0 || lseek(at, 0, SEEK_SET) < 0 ? -1
										  : 0;
}

void rehearse_end(void)
{
	static struct copies after;
	unsigned b = 0;

	find_copies(&after);
	for (unsigned a = 0; a < after.n; a++) {
		while (b < before.n && before.at[b] < after.at[a])
			b++;
		if (b == before.n || before.at[b] != after.at[a])
			add(told, after.at[a]);
	}
}

void rehearse_apply(void)
{
	/* where nothing is any more, or the kernel is older, it stays as it is */
	for (unsigned i = 0; i < hot.n; i++)
		(void)madvise(pointer(hot.run[i].at), hot.run[i].bytes, POPULATE_WRITE);
}
