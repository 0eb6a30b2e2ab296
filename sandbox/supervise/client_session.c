/* client_session.c: interpreters of sessions, whose pipes live over many runs.
 *
 * Theory of operation. An interpreter's stdout and stderr are read always: during a call they are the
 * call's; between calls what comes is kept for the next one, so that code that goes on in the background is
 * not held up; past KEPT_BYTES it is only counted, and read every REST_MS, or a flood that nobody waits for would
 * cost this process as much as it costs its sender. The news that a call has begun comes with that of its end if it
 * is short: so from the time a call is asked for nothing is dropped. The driver has written all of a call's output before it says
 * that the call has ended, and the keeper tells that after it was told: so when SUP_ENDED is here, everything is in
 * the pipes, and is read before the run is answered. A pipe holds no more than F_GETPIPE_SZ bytes: as many are
 * read at most, or somebody who writes on and on would keep the call from its end. Rich lines are read during calls
 * alone: they belong to one, and their writer can wait. A call that sends many more of them than are kept is ended
 * like one that prints too much. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "sandbox/supervise/client.h"
#include "sandbox/supervise/stream.h"

#include <errno.h>
#include <unistd.h>

#define READ_BYTES 65536
#define KEPT_BYTES ((size_t)256 << 10) /* of each stream, between two calls */
#define KEPT_LINE_BYTES                                                                \
	((size_t)64 << 10) /* of a line that is not complete when its call ends */
#define RICH 2
#define REST_MS 20
#define LINE_COST 64 /* what a line takes beside its bytes */
#define FLOOD_BYTES (2 * (uint64_t)SUP_MAX_RICH_CALL_BYTES)

struct interp {
	struct interp *next;
	struct sup_client *c;
	char session_id[SUP_SESSION_ID_SIZE];
	uint32_t slot;
	struct sup_run *run; /* whose call it has; NULL between calls */
	struct loop_io io[3]; /* stdout, stderr, rich; fds owned, -1: ended */
	struct buf kept[2];
	uint64_t dropped[2]; /* bytes that came between calls and found no room */
	struct buf line;
	bool skips; /* what comes up to the next newline: the line is too long */
	struct loop_timer rest;
};

/* --- rich lines --------------------------------------------------------------------------------- */

static void count(struct interp *in, size_t n)
{
	if (!in->run)
		return;
	in->run->rich_seen += n;
	if (in->run->rich_seen > FLOOD_BYTES)
		client_stop_flood(in->run);
}

static void rich_line(struct interp *in, struct sv line)
{
	const size_t cost = line.n + LINE_COST;
	struct sup_run *r = in->run;

	if (!r)
		return;
	count(in, LINE_COST);
	if (cost > SUP_MAX_RICH_CALL_BYTES - r->rich_bytes) {
		r->result.rich_dropped++;
		return;
	}
	r->rich_bytes += cost;
	if (r->on_rich)
		r->on_rich(r->arg, line);
}

static void empty_line(struct interp *in)
{
	in->c->line_bytes -= in->line.n;
	buf_reset(&in->line);
}

/* With its memory. */
static void drop_line(struct interp *in)
{
	in->c->line_bytes -= in->line.n;
	buf_finish(&in->line);
	buf_init(&in->line, SUP_MAX_RICH_BYTES);
}

/* A line that is too long is dropped, and one for which those of others have left no room. */
static void add_part(struct interp *in, struct sv part)
{
	if (in->skips)
		return;
	if (part.n <= CLIENT_LINE_BYTES - in->c->line_bytes) {
		buf_sv(&in->line, part);
		if (!in->line.failed) {
			in->c->line_bytes += part.n;
			return;
		}
	}
	in->skips = true;
	if (in->run)
		in->run->result.rich_dropped++;
	drop_line(in);
}

static void take_rich(struct interp *in, struct sv bytes)
{
	ptrdiff_t at;

	count(in, bytes.n);
	while ((at = sv_find(bytes, '\n')) >= 0) {
		const struct sv part = {bytes.p, (size_t)at};

		bytes.p += at + 1;
		bytes.n -= (size_t)at + 1;
		if (!in->skips && !in->line.n && part.n <= SUP_MAX_RICH_BYTES) {
			rich_line(in, part);
			continue;
		}
		add_part(in, part);
		if (!in->skips)
			rich_line(in, buf_view(&in->line));
		in->skips = false;
		empty_line(in);
	}
	if (bytes.n)
		add_part(in, bytes);
}

/* A line of many MiB must not stay here between calls. */
static void end_of_rich(struct interp *in)
{
	if (in->line.n > KEPT_LINE_BYTES) {
		in->run->result.rich_dropped++;
		in->skips = true;
		drop_line(in);
	} else if (!in->line.n) {
		drop_line(in);
	}
}

/* --- output ------------------------------------------------------------------------------------- */

static void keep(struct interp *in, unsigned i, struct sv bytes)
{
	const size_t room = KEPT_BYTES - in->kept[i].n;
	/* what comes after a gap is not kept: it would stand in a wrong place */
	size_t n = in->dropped[i] ? 0 : bytes.n < room ? bytes.n : room;

	buf_add(&in->kept[i], bytes.p, n);
	if (in->kept[i].failed) {
		in->kept[i].failed = false;
		n = 0;
	}
	in->dropped[i] += bytes.n - n;
}

struct source {
	struct interp *in;
	unsigned i;
};

static void take(void *arg, struct sv bytes)
{
	const struct source *from = arg;
	struct interp *in = from->in;

	if (from->i == RICH)
		take_rich(in, bytes);
	else if (in->run)
		client_take(in->run, (int)from->i + 1, bytes);
	else
		keep(in, from->i, bytes);
}

static void stop(struct interp *in, unsigned i)
{
	loop_del(in->c->loop, &in->io[i]);
	fd_close(&in->io[i].fd);
}

static int watch(struct interp *in, unsigned i)
{
	return in->io[i].fd >= 0 && !in->io[i].added
		       ? loop_add(in->c->loop, &in->io[i], EPOLLIN, NULL)
		       : 0;
}

static void on_rest_due(struct loop_timer *t)
{
	for (unsigned i = 0; i < RICH; i++)
		watch(t->arg, i);
}

static void rest(struct interp *in, unsigned i)
{
	loop_del(in->c->loop, &in->io[i]);
	if (!in->rest.armed)
		loop_timer_set(in->c->loop, &in->rest, REST_MS);
}

/* A call is on its way there; one that is short has ended before it is told of as begun. */
static bool is_awaited(const struct interp *in)
{
	for (const struct sup_run *r = in->c->runs; r; r = r->next)
		if (!r->accepted && !strcmp(r->session_id, in->session_id))
			return true;
	return false;
}

/* What may be a call's is not dropped: it stays in the pipe until the call is known. */
static bool must_wait(const struct interp *in, unsigned i)
{
	return !in->run && i != RICH &&
	       (in->dropped[i] || in->kept[i].n > KEPT_BYTES - READ_BYTES) &&
	       is_awaited(in);
}

static void on_ready(struct loop_io *io, uint32_t events)
{
	struct interp *in = io->arg;
	const unsigned i = (unsigned)(io - in->io);
	static char bytes[READ_BYTES]; /* one thread, used up before return */
	struct source from = {in, i};
	ssize_t n;

	(void)events;
	if (must_wait(in, i)) {
		rest(in, i);
		return;
	}
	n = read(io->fd, bytes, sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		stop(in, i);
	else
		take(&from, (struct sv){bytes, (size_t)n});
	if (!in->run && i != RICH && in->dropped[i])
		rest(in, i);
}

static void drain(struct interp *in, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct source from = {in, i};

		if (in->io[i].fd >= 0 && !client_drain(in->io[i].fd, take, &from))
			stop(in, i);
	}
}

/* What a flood has in the pipe is older than the call. */
void client_expect(const struct sup_run *r)
{
	for (struct interp *in = r->c->interps; in; in = in->next)
		if (!in->run && in->rest.armed &&
		    !strcmp(in->session_id, r->session_id))
			drain(in, RICH);
}

/* --- the interpreter ---------------------------------------------------------------------------- */

static void free_interp(struct interp *in)
{
	struct interp **at = &in->c->interps;

	while (*at != in)
		at = &(*at)->next;
	*at = in->next;
	if (in->run)
		in->run->interp = NULL;
	loop_timer_stop(in->c->loop, &in->rest);
	for (unsigned i = 0; i < ARRAY_LEN(in->io); i++)
		stop(in, i);
	for (unsigned i = 0; i < ARRAY_LEN(in->kept); i++)
		buf_finish(&in->kept[i]);
	drop_line(in);
	mem_free(in);
}

void client_free_interps(struct sup_client *c)
{
	while (c->interps)
		free_interp(c->interps);
}

static struct interp *find(struct sup_client *c, const struct wire_start *s)
{
	struct interp *in = c->interps;

	while (in &&
	       (in->slot != s->slot || strcmp(in->session_id, s->session_id) != 0))
		in = in->next;
	return in;
}

static struct interp *new_interp(struct sup_client *c, const struct wire_start *s)
{
	struct interp *in = mem_zalloc(sizeof(*in));

	if (!in)
		return NULL;
	in->c = c;
	in->slot = s->slot;
	in->rest = (struct loop_timer){.on_due = on_rest_due, .arg = in};
	memcpy(in->session_id, s->session_id, sizeof(in->session_id));
	for (unsigned i = 0; i < ARRAY_LEN(in->io); i++)
		in->io[i] = (struct loop_io){.fd = -1, .on_ready = on_ready, .arg = in};
	for (unsigned i = 0; i < ARRAY_LEN(in->kept); i++)
		buf_init(&in->kept[i], KEPT_BYTES);
	buf_init(&in->line, SUP_MAX_RICH_BYTES);
	in->next = c->interps;
	c->interps = in;
	return in;
}

/* The last words of one that has died since stay, in front of the new one's. */
static int take_pipes(struct interp *in, struct wire_start *s)
{
	drain(in, ARRAY_LEN(in->io));
	for (unsigned i = 0; i < ARRAY_LEN(in->io); i++) {
		stop(in, i);
		in->io[i].fd = fd_steal(&s->fds[i]);
		if (fd_set_nonblock(in->io[i].fd) || (i != RICH && watch(in, i)))
			return -1;
	}
	empty_line(in);
	in->skips = false;
	return 0;
}

/* What was printed since the last call, and no more: it counts for no limit of this one. */
static void hand_over(struct interp *in, struct sup_run *r)
{
	struct sup_stream *streams[2] = {&r->out, &r->errs};

	for (unsigned i = 0; i < ARRAY_LEN(in->kept); i++) {
		r->before[i] = in->kept[i].n + in->dropped[i];
		if (in->kept[i].n)
			client_take(r, (int)i + 1, buf_view(&in->kept[i]));
		streams[i]->total += in->dropped[i];
		in->dropped[i] = 0;
		buf_finish(&in->kept[i]);
		buf_init(&in->kept[i], KEPT_BYTES);
	}
}

static int attach(struct interp *in, struct sup_run *r)
{
	in->run = r;
	r->interp = in;
	hand_over(in, r);
	for (unsigned i = 0; i < ARRAY_LEN(in->io); i++)
		if (watch(in, i))
			return -1;
	return 0;
}

static void close_start(struct wire_start *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->fds); i++)
		fd_close(&s->fds[i]);
	fd_close(&s->stdin_fd);
}

int client_on_called(struct sup_run *r, struct ipc_msg *m)
{
	struct wire_start s;
	struct interp *in;
	bool is_new;
	int bad;

	if (wire_get_start(m, &s))
		return -1;
	in = find(r->c, &s);
	bad = client_take_id(r, s.run_id, &is_new) || (in && in->run);
	if (!bad && !in)
		in = new_interp(r->c, &s);
	bad = bad || !in || (s.fresh && take_pipes(in, &s));
	r->output_max = s.output_max;
	r->accepted = !bad;
	bad = bad || client_input_start(r, fd_steal(&s.stdin_fd));
	close_start(&s);
	if (bad)
		return -1;
	if (is_new && r->on_accepted)
		r->on_accepted(r->arg, sv_of(r->result.run_id));
	return attach(in, r);
}

bool client_send_reads(struct sup_client *c)
{
	for (; c->nread && !c->lost; c->nread--) {
		struct err e = {0};
		struct ipc_msg m;

		ipc_start(&m, SUP_READ, c->read[c->nread - 1]);
		if (ipc_send(c->sock, &m, &e))
			return e.code == ERR_BUSY;
	}
	return false;
}

/* It must not get lost: the interpreter's next call waits for it. */
void client_tell_read(struct sup_client *c, uint64_t id)
{
	if (c->lost || c->nread == ARRAY_LEN(c->read))
		return;
	c->read[c->nread++] = id;
	if (client_send_reads(c))
		loop_mod(c->loop, &c->io, EPOLLIN | EPOLLOUT);
}

void client_leave_interp(struct sup_run *r)
{
	struct interp *in = r->interp;

	if (!in)
		return;
	drain(in, ARRAY_LEN(in->io));
	end_of_rich(in);
	loop_del(in->c->loop, &in->io[RICH]);
	in->run = NULL;
	r->interp = NULL;
	r->has_read = true;
	if (r->has_err || r->result.lost_state || r->result.session_ended)
		free_interp(in);
}

/* The memfd is sealed, which the keeper has checked: it is read at once. */
static void read_changes(struct sup_run *r, int fd)
{
	const int64_t n = fd_size(fd);
	char *at = NULL;

	buf_init(&r->changed, GUEST_MAX_CHANGES_BYTES);
	if (n > 0)
		at = buf_reserve(&r->changed, (size_t)n);
	if (!at || pread(fd, at, (size_t)n, 0) != n) {
		r->changes.known = false;
		return;
	}
	buf_commit(&r->changed, (size_t)n);
	r->changes.rows = buf_view(&r->changed);
}

int client_on_changes(struct sup_run *r, struct ipc_msg *m)
{
	struct guest_changes c;

	if (guest_get_changes(m, &c))
		return -1;
	r->changes.known = !(c.flags & GUEST_NOT_KNOWN);
	r->changes.more = c.flags & GUEST_MORE;
	r->changes.total = c.total;
	if (c.fd >= 0 && !r->changed.n)
		read_changes(r, c.fd);
	fd_close(&c.fd);
	return 0;
}

int client_on_gone(struct sup_client *c, struct ipc_msg *m)
{
	char id[SUP_SESSION_ID_SIZE];
	struct interp *next;
	uint32_t why;

	ipc_get_cstr(m, id, sizeof(id));
	why = ipc_get_u32(m);
	if (!ipc_end(m) || why >= SUP_SESSION_END_COUNT)
		return -1;
	for (struct interp *in = c->interps; in; in = next) {
		next = in->next;
		if (!strcmp(in->session_id, id))
			free_interp(in);
	}
	if (c->on_gone)
		c->on_gone(c->gone_arg, sv_of(id));
	return 0;
}

void sup_client_on_session_gone(struct sup_client *c,
				void (*on_gone)(void *arg, struct sv session_id),
				void *arg)
{
	c->on_gone = on_gone;
	c->gone_arg = arg;
}
