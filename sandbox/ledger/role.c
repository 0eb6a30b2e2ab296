/* role.c: the ledger role: records in, rows, acknowledgements out.
 *
 * Theory of operation. One socket, one timer. A record is decoded, appended and
 * acknowledged before the next is read, so acknowledgements come in the order of the
 * records. If the keeper does not read them, the one that did not fit is held and nothing
 * more is read until it went out. The first row after an fsync arms the timer; when it is
 * due everything so far is made durable at once.
 *
 * The role ends with its socket and by nothing else: SIGINT from a terminal or SIGTERM from
 * a service manager reach every process of the server, and the outcomes of the runs they end
 * are still to come.
 *
 * After `confine` it needs, in the state folder: read, write, truncate, make and remove
 * files, and open the folder itself (SQLite syncs it). Syscalls of ours: read write recvmsg
 * sendmsg epoll_wait epoll_ctl fcntl newfstatat close clock_gettime clock_nanosleep
 * exit_group rt_sigreturn; of SQLite's: openat pread64 pwrite64 fstat lseek fsync fdatasync
 * ftruncate unlink access readlink mmap munmap mremap brk getpid geteuid getuid
 * gettimeofday fchmod fchown getcwd; of the allocator's and the C library's: madvise
 * mprotect futex getrandom. */
#include "sandbox/base/buf.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/records.h"
#include "sandbox/ledger/store.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#define RECORDS_PER_TURN 32
#define SYNC_MS 80 /* promised: 100; the rest is for a late wake-up */

struct role {
	struct led_store store;
	struct loop loop;
	struct loop_io io;
	struct loop_timer sync;
	struct ipc_msg in, reply;
	struct buf body;
	bool reply_held; /* reply did not fit into the socket */
	bool stop_written;
	const char *why; /* for the rows written at the end */
	int code;
};

static void end(struct role *r, const char *why, int code)
{
	r->why = why;
	r->code = code;
	loop_stop(&r->loop);
}

static void fail(struct role *r, const char *event, const struct err *e,
		 const char *why)
{
	log_err(event, e);
	end(r, why, 1);
}

/* Sends r->reply, or holds it and stops reading. */
static void send_reply(struct role *r)
{
	struct err e = {0};

	if (!ipc_send(r->io.fd, &r->reply, &e)) {
		if (r->reply_held)
			loop_mod(&r->loop, &r->io, EPOLLIN);
		r->reply_held = false;
		return;
	}
	if (e.code == ERR_BUSY) {
		r->reply_held = true;
		loop_mod(&r->loop, &r->io, EPOLLOUT);
	} else if (e.code == ERR_LOST) {
		end(r, "keeper ended", 0);
	} else {
		fail(r, "ledger_reply", &e, "ledger failed");
	}
}

static void answer(struct role *r, int64_t seq)
{
	ipc_start(&r->reply, LED_ACK, r->in.id);
	ipc_put_u64(&r->reply, (uint64_t)seq);
	send_reply(r);
}

static void refuse(struct role *r, const struct err *e)
{
	log_err("ledger_append", e);
	ipc_start(&r->reply, LED_NAK, r->in.id);
	ipc_put_sv(&r->reply, sv_of(e->cause));
	send_reply(r);
}

static void append(struct role *r, struct led_entry *x)
{
	struct err e = {0};
	int64_t seq;

	x->body = buf_view(&r->body);
	if (r->body.failed)
		err_set(&e, ERR_LIMIT, "the ledger is out of memory");
	if (e.code || led_append(&r->store, x, &seq, &e)) {
		refuse(r, &e);
		return;
	}
	if (sv_eq(x->kind, SV("stop")))
		r->stop_written = true;
	if (!r->sync.armed)
		loop_timer_set(&r->loop, &r->sync, SYNC_MS);
	answer(r, seq);
}

static int on_intent(struct role *r, struct err *e)
{
	struct led_intent x;
	struct led_entry row = {.effect = LED_OPENS, .kind = SV("intent")};

	if (led_get_intent(&r->in, &x, e))
		return -1;
	led_body_intent(&r->body, &x);
	row.run_id = x.run_id;
	row.principal = x.principal;
	append(r, &row);
	return 0;
}

static int on_outcome(struct role *r, struct err *e)
{
	struct led_outcome x;
	struct led_entry row = {.effect = LED_CLOSES, .kind = SV("outcome")};

	if (led_get_outcome(&r->in, &x, e))
		return -1;
	led_body_outcome(&r->body, &x);
	row.run_id = x.run_id;
	row.principal = x.principal;
	append(r, &row);
	return 0;
}

static int on_event(struct role *r, struct err *e)
{
	struct led_event x;
	struct led_entry row = {.effect = LED_PLAIN};

	if (led_get_event(&r->in, &x, e))
		return -1;
	led_body_event(&r->body, &x);
	row.kind = x.kind;
	row.run_id = x.run_id;
	row.principal = x.principal;
	append(r, &row);
	return 0;
}

static int on_session(struct role *r, struct err *e)
{
	struct led_session x;
	struct led_entry row = {.effect = LED_OPENS, .kind = SV("session_opened")};

	if (led_get_session(&r->in, &x, e))
		return -1;
	led_body_session(&r->body, &x);
	row.run_id = x.session_id;
	row.principal = x.principal;
	append(r, &row);
	return 0;
}

static int on_session_end(struct role *r, struct err *e)
{
	struct led_session_end x;
	struct led_entry row = {.effect = LED_CLOSES, .kind = SV("session_closed")};

	if (led_get_session_end(&r->in, &x, e))
		return -1;
	led_body_session_end(&r->body, &x);
	row.run_id = x.session_id;
	row.principal = x.principal;
	append(r, &row);
	return 0;
}

static int on_key_find(struct role *r, struct err *e)
{
	struct led_key_found found;
	struct err why = {0};
	struct sv id, hash;

	if (led_get_key_find(&r->in, &id, &hash, e))
		return -1;
	led_key_find(&r->store, id, hash, &found, &why);
	if (why.code)
		log_err("ledger_key", &why);
	/* "used" may have been noted */
	if (r->store.unsynced && !r->sync.armed)
		loop_timer_set(&r->loop, &r->sync, SYNC_MS);
	ipc_start(&r->reply, LED_KEY_FOUND, r->in.id);
	led_put_key_found(&r->reply, &found);
	send_reply(r);
	return 0;
}

static void say_done(struct role *r, int bad, const struct err *e)
{
	if (bad)
		refuse(r, e);
	else
		answer(r, r->store.last_seq);
}

static int on_wrapped_put(struct role *r, struct err *e)
{
	struct led_wrapped k;
	struct err why = {0};

	if (led_take_wrapped(&r->in, &k, e))
		return -1;
	say_done(r, led_wrapped_put(&r->store, &k, &why), &why);
	return 0;
}

static int on_wrapped_get(struct role *r, struct err *e)
{
	unsigned char blob[LED_WRAPPED_MAX];
	struct led_wrapped k;
	struct err why = {0};

	if (led_take_wrapped(&r->in, &k, e))
		return -1;
	if (led_wrapped_get(&r->store, &k, blob, &why) < 0) {
		refuse(r, &why);
		return 0;
	}
	ipc_start(&r->reply, LED_WRAPPED_FOUND, r->in.id);
	led_put_wrapped(&r->reply, &k);
	send_reply(r);
	return 0;
}

static int on_wrapped_destroy(struct role *r, struct err *e)
{
	struct led_wrapped k;
	struct err why = {0};

	if (led_take_wrapped(&r->in, &k, e))
		return -1;
	say_done(r, led_wrapped_destroy(&r->store, &k, &why), &why);
	return 0;
}

static int handle(struct role *r, struct err *e)
{
	static int (*const on[])(struct role *, struct err *) = {
		[0] = on_intent,
		[LED_OUTCOME - LED_INTENT] = on_outcome,
		[LED_EVENT - LED_INTENT] = on_event,
		[LED_KEY_FIND - LED_INTENT] = on_key_find,
		[LED_SESSION_OPEN - LED_INTENT] = on_session,
		[LED_SESSION_CLOSE - LED_INTENT] = on_session_end,
		[LED_WRAPPED_PUT - LED_INTENT] = on_wrapped_put,
		[LED_WRAPPED_GET - LED_INTENT] = on_wrapped_get,
		[LED_WRAPPED_DESTROY - LED_INTENT] = on_wrapped_destroy,
	};
	uint32_t row = r->in.type - LED_INTENT;

	if (row >= ARRAY_LEN(on) || !on[row])
		return err_set(e, ERR_INTERNAL, "the keeper sent a record of type %u",
			       r->in.type);
	buf_reset(&r->body);
	return on[row](r, e);
}

static void on_keeper_record(struct loop_io *io, uint32_t events)
{
	struct role *r = io->arg;

	(void)events;
	if (r->reply_held)
		send_reply(r);
	for (unsigned i = 0; i < RECORDS_PER_TURN && !r->reply_held && !r->loop.stopped;
	     i++) {
		struct err e = {0};
		int rc = ipc_recv(io->fd, &r->in, &e);

		if (rc < 0 && (e.sys == EAGAIN || e.sys == EINTR))
			return;
		if (rc < 0)
			fail(r, "ledger_record", &e, "keeper sent a broken record");
		else if (!rc)
			end(r, "keeper ended", 0);
		else if (handle(r, &e))
			fail(r, "ledger_record", &e, "keeper sent a broken record");
		ipc_finish(&r->in);
	}
}

static void on_sync_due(struct loop_timer *t)
{
	struct role *r = t->arg;
	struct err e = {0};

	/* After a failed fsync the kernel may drop the pages and report success next time: what was
	 * acknowledged may be gone, and going on would hide it. */
	if (led_sync(&r->store, &e))
		fail(r, "ledger_sync", &e, "ledger could not sync");
}

static int say_ready(struct role *r, uint32_t orphans, struct err *e)
{
	ipc_start(&r->reply, LED_READY, 0);
	ipc_put_u64(&r->reply, (uint64_t)r->store.last_seq);
	ipc_put_u32(&r->reply, orphans);
	return ipc_send(r->io.fd, &r->reply, e);
}

static int start(struct role *r, const struct led_opts *o, int (*confine)(void *arg),
		 void *arg, struct err *e)
{
	uint32_t orphans = 0;

	if (led_store_open(&r->store, o->state_dir, &orphans, e))
		return -1;
	if (orphans)
		log_msg(LOG_WARN, "event=ledger_orphans closed=%u", orphans);
	if (fd_set_nonblock(r->io.fd) || loop_init(&r->loop, e) ||
	    loop_add(&r->loop, &r->io, EPOLLIN, e))
		return err_set(e, ERR_INTERNAL, "the ledger's loop did not start");
	if (confine && confine(arg))
		return err_set(e, ERR_UNAVAILABLE, "the ledger could not be confined");
	return say_ready(r, orphans, e);
}

static void ignore_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	struct sigaction act = {.sa_handler = SIG_IGN};

	for (unsigned i = 0; i < ARRAY_LEN(ignored); i++)
		sigaction(ignored[i], &act, NULL);
}

static void serve(struct role *r)
{
	struct err e = {0};

	if (loop_run(&r->loop, &e))
		fail(r, "ledger_loop", &e, "ledger failed");
	err_clear(&e);
	if (led_store_end(&r->store, r->why, r->stop_written, &e)) {
		log_err("ledger_end", &e);
		r->code = 1;
	}
}

int led_main(const struct led_opts *o, int (*confine)(void *arg), void *arg)
{
	struct role *r = mem_zalloc(sizeof(*r));
	AUTO_FD sock = o->sock;
	struct err e = {0};
	int code = 1;

	ignore_signals();
	if (!r) {
		err_set(&e, ERR_LIMIT, "out of memory");
		log_err("ledger_start", &e);
		return 1;
	}
	r->loop.epfd = -1;
	r->io = (struct loop_io){.fd = sock, .on_ready = on_keeper_record, .arg = r};
	r->sync = (struct loop_timer){.on_due = on_sync_due, .arg = r};
	buf_init(&r->body, LED_MAX_BODY);
	if (start(r, o, confine, arg, &e)) {
		log_err("ledger_start", &e);
	} else {
		serve(r);
		code = r->code;
	}
	loop_del(&r->loop, &r->io);
	loop_finish(&r->loop);
	led_store_finish(&r->store);
	buf_finish(&r->body);
	mem_free(r);
	return code;
}
