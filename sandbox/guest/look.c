/* look.c: two states of a tree, compared; see look.h.
 *
 * Theory of operation. A state is the rows of a walk. That before is the base, with what the log says put over
 * it: so what we have written ourselves is part of the state before. Both are sorted by path and merged. Before that they are
 * compared as they came: folders that nobody has changed are listed in the same order, and then nothing has.
 *
 * A file that was written in the same tick of the clock as the walk could be written again without a trace.
 * What is that young has its hash in the base, and is read again by the next look if all else is as it was. */
#include "sandbox/guest/look.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/files.h"
#include "sandbox/guest/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define YOUNG_NS ((int64_t)20000000) /* two ticks of the slowest clock */
#define YOUNG_BYTES ((uint64_t)1 << 20) /* longer ones are not read again */
#define YOUNG_ALL_BYTES ((uint64_t)16 << 20) /* of all of a look */
#define BASE_HEAD 12
#define ENTRY_HEAD (1 + SHA256_BYTES)
#define READ_BYTES 65536

struct entry {
	struct guest_row row; /* path: borrowed from the list's bytes */
	uint32_t order;
	bool logged; /* the log says so: the last word on that path */
	bool has_sha;
	unsigned char sha[SHA256_BYTES];
};

struct state {
	struct entry *list; /* owned */
	uint32_t n, cap;
	bool more; /* the walk was not complete */
	int64_t when_ns; /* CLOCK_REALTIME */
	struct buf bytes, log;
};

struct work {
	const struct look_opts *l;
	struct state before, now;
	uint64_t young_left, hash_until_us;
	struct buf rows; /* of changes */
	uint32_t shown, total;
	bool more;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int64_t tick_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t); /* what files are stamped with */
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- states ----------------------------------------------------------------------------------- */

static void state_finish(struct state *s)
{
	mem_free(s->list);
	buf_finish(&s->bytes);
	buf_finish(&s->log);
}

static struct entry *state_add(struct state *s, const struct guest_row *row)
{
	const uint32_t cap = s->cap ? 2 * s->cap : 64;
	struct entry *list = s->list;

	if (s->n == s->cap) {
		list = mem_realloc(s->list, cap * sizeof(*list));
		if (!list)
			return NULL;
		s->list = list;
		s->cap = cap;
	}
	list[s->n] = (struct entry){.row = *row, .order = s->n};
	return &list[s->n++];
}

static int walk(struct work *w)
{
	struct state *s = &w->now;
	struct guest_row row;
	struct sv rest;
	int got;

	s->when_ns = tick_ns();
	buf_init(&s->bytes, LOOK_ROWS_BYTES);
	s->more = files_list(w->l->root, "", &s->bytes, LOOK_ROWS,
			     now_us() + LOOK_WALK_US);
	rest = buf_view(&s->bytes);
	while ((got = guest_next_row(&rest, &row)) == 1)
		if (!state_add(s, &row))
			return -1;
	return got || s->bytes.failed ? -1 : 0;
}

/* All bytes from `from` on. */
static int read_memfd(int fd, uint64_t from, size_t max, struct buf *ret)
{
	const int64_t n = fd_size(fd);
	char *at;

	buf_init(ret, max);
	if (n < 0 || (uint64_t)n < from || (uint64_t)n - from > max)
		return -1;
	at = buf_reserve(ret, (size_t)((uint64_t)n - from));
	if (!at || pread(fd, at, (size_t)((uint64_t)n - from), (off_t)from) !=
			   (ssize_t)((uint64_t)n - from))
		return -1;
	buf_commit(ret, (size_t)((uint64_t)n - from));
	return 0;
}

static int read_base(struct work *w)
{
	struct state *s = &w->before;
	struct guest_row row;
	struct entry *en;
	struct sv rest;
	const char *p;

	if (w->l->base < 0)
		return 0;
	if (read_memfd(w->l->base, 0,
		       BASE_HEAD + LOOK_ROWS_BYTES + LOOK_ROWS * ENTRY_HEAD,
		       &s->bytes) ||
	    s->bytes.n < BASE_HEAD)
		return -1;
	rest = buf_view(&s->bytes);
	s->more = rest.p[0];
	memcpy(&s->when_ns, rest.p + 4, sizeof(s->when_ns));
	rest.p += BASE_HEAD, rest.n -= BASE_HEAD;
	while (rest.n) {
		p = rest.p;
		if (rest.n < ENTRY_HEAD)
			return -1;
		rest.p += ENTRY_HEAD, rest.n -= ENTRY_HEAD;
		if (guest_next_row(&rest, &row) != 1 || !(en = state_add(s, &row)))
			return -1;
		en->has_sha = p[0];
		memcpy(en->sha, p + 1, SHA256_BYTES);
	}
	return 0;
}

/* One whose write was cut short ends it: what is lost counts as a change. */
static int read_log(struct work *w, uint64_t *ret_to)
{
	struct state *s = &w->before;
	struct guest_row row;
	struct entry *en;
	struct sv rest;

	*ret_to = w->l->log_from;
	if (w->l->log < 0 ||
	    read_memfd(w->l->log, w->l->log_from, LOOK_ROWS_BYTES * 2, &s->log))
		return 0;
	*ret_to += s->log.n;
	rest = buf_view(&s->log);
	while (guest_next_row(&rest, &row) == 1) {
		en = state_add(s, &row);
		if (!en)
			return -1;
		en->logged = true;
	}
	return 0;
}

static bool same(const struct guest_row *a, const struct guest_row *b)
{
	return a->node == b->node && a->inode == b->inode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static bool is_young(const struct state *s, const struct entry *en)
{
	return en->row.node == GUEST_NODE_FILE &&
	       en->row.ctime_ns >= s->when_ns - YOUNG_NS && en->row.size <= YOUNG_BYTES;
}

/* In the order they came; nothing of it would have to be read again. */
static bool unchanged(const struct work *w)
{
	const struct state *a = &w->before, *b = &w->now;

	if (w->l->all || a->n != b->n || a->more || b->more)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->list[i].logged || a->list[i].has_sha ||
		    !same(&a->list[i].row, &b->list[i].row) ||
		    !sv_eq(a->list[i].row.path, b->list[i].row.path))
			return false;
	return true;
}

/* --- hashes ----------------------------------------------------------------------------------- */

/* The file's start, and its hash if it can be told; what is written to meanwhile has none. */
static void read_file(struct work *w, struct entry *en, struct buf *head)
{
	static char part[READ_BYTES];
	char path[PATH_MAX];
	AUTO_FD fd = -1;
	struct sha256 sha;
	struct stat st;
	uint64_t done = 0;

	if (!sv_copy(en->row.path, path, sizeof(path)))
		fd = files_open_regular(w->l->root, path, &st);
	if (fd < 0 || st.st_ino != en->row.inode)
		return;
	sha256_init(&sha);
	for (;;) {
		ssize_t n = pread(fd, part, sizeof(part), (off_t)done);

		if (n < 0)
			return;
		if (head && !done)
			buf_add(head, part,
				(size_t)n < GUEST_HEAD_BYTES ? (size_t)n
							     : GUEST_HEAD_BYTES);
		if (!n || en->row.size > LOOK_HASH_FILE_BYTES)
			break;
		sha256_add(&sha, part, (size_t)n);
		done += (uint64_t)n;
		if (done > en->row.size || now_us() > w->hash_until_us)
			return;
	}
	if (done != en->row.size || fstat(fd, &st) ||
	    st.st_size != (off_t)en->row.size ||
	    st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != en->row.mtime_ns)
		return;
	sha256_end(&sha, en->sha);
	en->has_sha = true;
}

/* For a file that is as it was by all that stat tells. */
static bool has_other_bytes(struct work *w, const struct entry *was, struct entry *is)
{
	if (!was->has_sha || w->young_left < is->row.size)
		return false;
	w->young_left -= is->row.size;
	read_file(w, is, NULL);
	return !is->has_sha || memcmp(was->sha, is->sha, SHA256_BYTES) != 0;
}

/* --- comparing -------------------------------------------------------------------------------- */

static void tell(struct work *w, struct entry *en, enum guest_change_kind kind)
{
	struct guest_change c = {.kind = kind,
				 .node = en->row.node,
				 .size = kind == GUEST_DELETED ? 0 : en->row.size,
				 .path = en->row.path};
	char bytes[GUEST_CHANGE_HEAD], room[GUEST_HEAD_BYTES + 1];
	struct buf head = {.p = room, .cap = sizeof(room), .max = GUEST_HEAD_BYTES};

	w->total++;
	if (w->shown == GUEST_MAX_CHANGES ||
	    w->rows.max - w->rows.n < GUEST_CHANGE_HEAD + c.path.n + GUEST_HEAD_BYTES) {
		w->more = true;
		return;
	}
	w->shown++;
	if (kind != GUEST_DELETED && c.node == GUEST_NODE_FILE)
		read_file(w, en, &head);
	if (c.node == GUEST_NODE_FILE && kind != GUEST_DELETED) {
		c.has_sha = en->has_sha;
		memcpy(c.sha, en->sha, sizeof(c.sha));
	}
	c.head = buf_view(&head);
	guest_put_change(bytes, &c);
	buf_add(&w->rows, bytes, sizeof(bytes));
	buf_sv(&w->rows, c.path);
	buf_sv(&w->rows, c.head);
}

/* A walk that was not complete may have left it out. */
static bool is_there(const struct work *w, const struct entry *en)
{
	char path[PATH_MAX];
	AUTO_FD fd = -1;
	struct stat st;

	if (!w->now.more || sv_copy(en->row.path, path, sizeof(path)))
		return w->now.more;
	fd = files_open(w->l->root, path, O_PATH | O_NOFOLLOW);
	return fd >= 0 && !fstat(fd, &st) && !S_ISDIR(st.st_mode);
}

static bool counts(const struct entry *en)
{
	return en && en->row.node != GUEST_NODE_DIR && !(en->logged && !en->row.nlink);
}

/* What was and what is at one path; NULL: nothing. */
static void compare(struct work *w, struct entry *was, struct entry *is)
{
	was = counts(was) ? was : NULL;
	is = counts(is) ? is : NULL;
	if (was && is) {
		const bool other =
			!same(&was->row, &is->row) || has_other_bytes(w, was, is);

		if (other || w->l->all)
			tell(w, is, other ? GUEST_CHANGED : GUEST_SAME);
	} else if (was) {
		if (!is_there(w, was))
			tell(w, was, GUEST_DELETED);
	} else if (is) {
		/* the base may have left it out */
		if (!w->before.more || is->row.ctime_ns >= w->before.when_ns)
			tell(w, is, GUEST_CREATED);
	}
}

/* By path; of one path the log comes last. */
static int by_path(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;
	const size_t n = a->row.path.n < b->row.path.n ? a->row.path.n : b->row.path.n;
	const int order = memcmp(a->row.path.p, b->row.path.p, n);

	if (order)
		return order;
	if (a->row.path.n != b->row.path.n)
		return a->row.path.n < b->row.path.n ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* qsort may be handed no NULL. */
static void sort(struct state *s)
{
	if (s->n)
		qsort(s->list, s->n, sizeof(*s->list), by_path);
}

static bool is_followed(const struct state *s, uint32_t i)
{
	return i + 1 < s->n && sv_eq(s->list[i].row.path, s->list[i + 1].row.path);
}

static void merge(struct work *w)
{
	uint32_t i = 0, j = 0;

	sort(&w->before);
	sort(&w->now);
	while (i < w->before.n || j < w->now.n) {
		struct entry *was = i < w->before.n ? &w->before.list[i] : NULL;
		struct entry *is = j < w->now.n ? &w->now.list[j] : NULL;
		int order = 0;

		if (was && is_followed(&w->before, i)) {
			i++;
			continue;
		}
		if (was && is && !sv_eq(was->row.path, is->row.path))
			order = by_path(was, is);
		if (order > 0)
			was = NULL;
		if (order < 0)
			is = NULL;
		compare(w, was, is);
		i += was != NULL;
		j += is != NULL;
	}
}

/* --- the result ------------------------------------------------------------------------------- */

/* In the order of the walk, as the next look will have it. */
static int by_order(const void *va, const void *vb)
{
	const struct entry *a = va, *b = vb;

	return a->order < b->order ? -1 : a->order > b->order;
}

static int write_base(struct work *w, int *ret)
{
	struct state *s = &w->now;
	char head[BASE_HEAD] = {(char)s->more}, row[GUEST_ROW_HEAD];
	AUTO_BUF b = {0};

	if (!s->n && !s->more)
		return 0;
	qsort(s->list, s->n, sizeof(*s->list), by_order);
	buf_init(&b, BASE_HEAD + LOOK_ROWS_BYTES + LOOK_ROWS * ENTRY_HEAD);
	memcpy(head + 4, &s->when_ns, sizeof(s->when_ns));
	buf_add(&b, head, sizeof(head));
	for (uint32_t i = 0; i < s->n; i++) {
		struct entry *en = &s->list[i];

		if (!is_young(s, en)) {
			en->has_sha = false;
		} else if (!en->has_sha && w->young_left >= en->row.size) {
			w->young_left -= en->row.size;
			read_file(w, en, NULL);
		}
		buf_byte(&b, (char)en->has_sha);
		buf_add(&b, en->sha, sizeof(en->sha));
		guest_put_row(row, &en->row);
		buf_add(&b, row, sizeof(row));
		buf_sv(&b, en->row.path);
	}
	*ret = b.failed ? -1 : fd_memfd("base", b.p, b.n, NULL);
	return *ret < 0 ? -1 : 0;
}

static int look(struct work *w, struct looked *ret)
{
	if (walk(w) || read_base(w) || read_log(w, &ret->log_to))
		return -1;
	if (unchanged(w)) {
		ret->base = w->l->base < 0 ? -1 : fcntl(w->l->base, F_DUPFD_CLOEXEC, 0);
		return 0;
	}
	w->young_left = YOUNG_ALL_BYTES;
	w->hash_until_us = now_us() + (w->l->all ? LOOK_ALL_HASH_US : LOOK_HASH_US);
	buf_init(&w->rows, GUEST_MAX_CHANGES_BYTES);
	merge(w);
	if (w->rows.failed || write_base(w, &ret->base))
		return -1;
	if (w->rows.n)
		ret->changes = fd_memfd("changes", w->rows.p, w->rows.n, NULL);
	ret->total = w->total;
	if (w->more || w->now.more || w->before.more)
		ret->flags |= GUEST_MORE;
	return w->rows.n && ret->changes < 0 ? -1 : 0;
}

int look_at(const struct look_opts *l, struct looked *ret)
{
	struct work w = {.l = l};
	int bad;

	*ret = (struct looked){.changes = -1, .base = -1};
	errno = 0;
	bad = look(&w, ret);
	if (bad) {
		const int sys = errno ? errno : ENOMEM;

		fd_close(&ret->base);
		fd_close(&ret->changes);
		errno = sys;
	}
	state_finish(&w.before);
	state_finish(&w.now);
	buf_finish(&w.rows);
	return bad;
}
