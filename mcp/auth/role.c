/* role.c: the auth role: questions of the keeper in, verdicts out; and when to fetch keys.
 *
 * Theory of operation. A question is answered before the next is read: checking a signature takes less
 * than a millisecond. But for one case: the token names a key nobody knows. The issuer may have
 * changed its keys since they were fetched, so they are fetched again, at most every RETRY_MS,
 * whoever asks, and the token is held until then. Few are held (HELD): the rest is told at once to
 * come again, so that made-up key ids hold up nobody else, and a new key's first users are not told
 * that their tokens are bad.
 *
 * Keys from a URL are fetched anew every REFRESH_MS and a little. When that fails the old ones stay
 * in force, for STALE_US after they were got: then nobody is let in by them any more.
 *
 * Ends with the keeper's socket and by nothing else, as the ledger does: a signal to the whole family
 * must not end the calls under way. */
#include "mcp/auth/auth.h"
#include "mcp/auth/cert.h"
#include "mcp/auth/fetching.h"
#include "mcp/auth/jwt.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/ipc.h"
#include "sandbox/base/log.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>

#define REFRESH_MS (10 * 60 * 1000u)
#define JITTER_MS (60 * 1000u)
#define RETRY_MS (60 * 1000u)
#define STALE_US ((uint64_t)24 * 3600 * 1000000)
#define HELD 4
#define RECORDS_PER_TURN 16

struct held {
	bool used;
	uint64_t id;
	size_t n;
	char token[JWT_MAX_BYTES];
};

struct role {
	struct loop loop;
	struct loop_io keeper_io, fetch_io;
	struct loop_timer refresh;
	struct jwt_policy policy;
	bool tokens; /* are taken */
	struct jwks *keys; /* owned; NULL: none yet, or too old */
	bool fetching;
	uint64_t attempt, asked_us, got_us; /* of the last fetch; CLOCK_MONOTONIC */
	struct held held[HELD];
	int code;
};

static int64_t now_s(void)
{
	return (int64_t)(loop_wall_us() / 1000000);
}

/* --- answers ------------------------------------------------------------------------------------ */

static void end(struct role *r, int code)
{
	r->code = code;
	loop_stop(&r->loop);
}

/* The keeper has few questions under way, so their answers always fit. */
static void answer(struct role *r, uint64_t id, const struct sup_check *c)
{
	struct err e = {0};
	struct ipc_msg m;

	ipc_start(&m, SUP_CHECKED, id);
	sup_put_check(&m, c);
	if (!ipc_send(r->keeper_io.fd, &m, &e))
		return;
	if (e.code != ERR_LOST)
		log_err("keeper_does_not_listen", &e);
	end(r, e.code == ERR_LOST ? 0 : 1);
}

static void answer_no(struct role *r, uint64_t id, enum err_code code,
		      const char *reason)
{
	struct sup_check c = {.code = code};

	snprintf(c.reason, sizeof(c.reason), "%s", reason);
	answer(r, id, &c);
}

/* --- keys ----------------------------------------------------------------------------------------- */

static void start_fetch(struct role *r)
{
	struct err e = {0};
	struct ipc_msg m;

	r->asked_us = loop_now_us();
	ipc_start(&m, FETCH_GO, ++r->attempt);
	r->fetching = !ipc_send(r->fetch_io.fd, &m, &e);
	if (!r->fetching)
		log_err("fetch_role", &e);
}

static bool may_fetch(const struct role *r)
{
	return r->fetch_io.fd >= 0 && !r->fetching &&
	       loop_now_us() - r->asked_us >= (uint64_t)RETRY_MS * 1000;
}

/* Is the answer put off? Starts a fetch if one is due. */
static bool hold(struct role *r, uint64_t id, struct sv token)
{
	struct held *h = NULL;

	if (token.n > JWT_MAX_BYTES)
		return false;
	if (may_fetch(r))
		start_fetch(r);
	for (unsigned i = 0; i < HELD; i++)
		if (!r->held[i].used)
			h = &r->held[i];
	if (!r->fetching || !h)
		return false;
	h->used = true;
	h->id = id;
	h->n = token.n;
	memcpy(h->token, token.p, token.n);
	return true;
}

/* Too old to go by? */
static void drop_stale(struct role *r)
{
	if (!r->keys || r->fetch_io.fd < 0 || loop_now_us() - r->got_us < STALE_US)
		return;
	log_msg(LOG_ERROR, "event=jwks_too_old action=\"tokens are refused\"");
	jwks_free(r->keys);
	r->keys = NULL;
}

static void check_token(struct role *r, uint64_t id, struct sv token, bool may_hold)
{
	struct sup_check c = {.code = ERR_NONE};
	struct jwt_result result;
	enum jwt_verdict v;

	drop_stale(r);
	if (!r->keys) {
		if (!may_hold || !hold(r, id, token))
			answer_no(r, id, ERR_UNAVAILABLE,
				  "there are no keys of the issuer");
		return;
	}
	v = jwt_check(r->keys, &r->policy, token, now_s(), &result);
	if (v == JWT_NO_KEY && may_hold && hold(r, id, token))
		return;
	if (v == JWT_NO_KEY && r->fetching) {
		answer_no(r, id, ERR_UNAVAILABLE, "its key may be on its way");
		return;
	}
	if (v != JWT_GOOD) {
		answer_no(r, id, v == JWT_SCOPE ? ERR_FORBIDDEN : ERR_UNAUTHENTICATED,
			  result.reason);
		return;
	}
	c.id = result.id;
	answer(r, id, &c);
}

static void release_held(struct role *r)
{
	for (unsigned i = 0; i < HELD; i++) {
		struct held *h = &r->held[i];

		if (!h->used)
			continue;
		h->used = false;
		check_token(r, h->id, (struct sv){h->token, h->n}, false);
		sodium_memzero(h->token, h->n);
	}
}

static int adopt_keys(struct role *r, struct sv json, struct err *e)
{
	unsigned passed_over;
	struct jwks *keys = jwks_parse(json, &passed_over, e);

	if (!keys)
		return -1;
	log_msg(passed_over ? LOG_WARN : LOG_INFO, "event=jwks keys=%u unusable=%u",
		jwks_count(keys), passed_over);
	jwks_free(r->keys);
	r->keys = keys;
	r->got_us = loop_now_us();
	return 0;
}

/* The memfd is sealed, so its bytes cannot change while they are read. */
static int adopt_fd(struct role *r, int fd, struct err *e)
{
	const int64_t n = fd_is_sealed(fd) ? fd_size(fd) : -1;
	void *p;
	int bad;

	if (n <= 0 || n > (int64_t)JWKS_MAX_BYTES)
		return err_set(e, ERR_INTERNAL, "the fetch role sent no sealed file");
	p = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "map the keys");
	bad = adopt_keys(r, (struct sv){p, (size_t)n}, e);
	munmap(p, (size_t)n);
	return bad;
}

static void fetched(struct role *r, struct ipc_msg *m)
{
	struct err e = {0};
	char why[200];
	int bad;

	if (m->type == FETCH_GOT) {
		AUTO_FD fd = ipc_take_fd(m);

		bad = adopt_fd(r, fd, &e);
	} else {
		log_esc(ipc_get_sv(m, 400), why, sizeof(why));
		bad = err_set(&e, ERR_UNAVAILABLE, "%s", why);
	}
	r->fetching = false;
	if (bad)
		log_msg(LOG_WARN,
			"event=jwks_not_fetched in_force=%s age_s=%llu cause=\"%s\"",
			r->keys ? "old" : "none",
			(unsigned long long)(r->keys ? (loop_now_us() - r->got_us) /
							       1000000
						     : 0),
			log_esc(sv_of(e.cause), why, sizeof(why)));
	loop_timer_set(&r->loop, &r->refresh,
		       bad ? RETRY_MS : REFRESH_MS + randombytes_uniform(JITTER_MS));
	release_held(r);
}

static void on_fetch_ready(struct loop_io *io, uint32_t events)
{
	struct role *r = io->arg;
	struct err e = {0};
	struct ipc_msg m;
	int got = ipc_recv(io->fd, &m, &e);

	(void)events;
	if (got < 0 && e.sys == EAGAIN)
		return;
	if (got == 1 && (m.type == FETCH_GOT || m.type == FETCH_FAILED) &&
	    m.id == r->attempt && r->fetching) {
		fetched(r, &m);
		ipc_finish(&m);
		return;
	}
	ipc_finish(&m);
	log_msg(LOG_ERROR, "event=fetch_gone");
	end(r, 1);
}

static void on_refresh_due(struct loop_timer *t)
{
	struct role *r = t->arg;

	drop_stale(r);
	if (!r->fetching)
		start_fetch(r);
}

/* --- questions ------------------------------------------------------------------------------------ */

static void check_cert(struct role *r, uint64_t id, struct sv der)
{
	struct sup_check c = {.code = ERR_NONE};
	const char *reason = "";

	if (cert_check(der, now_s(), &c.id, &reason))
		answer_no(r, id, ERR_UNAUTHENTICATED, reason);
	else
		answer(r, id, &c);
}

/* 0, or -1: not a record the keeper may send. */
static int question(struct role *r, struct ipc_msg *m)
{
	struct sv bytes = ipc_get_sv(m, SUP_MAX_CREDENTIAL);

	if (!ipc_end(m) || (m->type != SUP_CHECK_TOKEN && m->type != SUP_CHECK_CERT))
		return -1;
	if (m->type == SUP_CHECK_CERT)
		check_cert(r, m->id, bytes);
	else if (r->tokens)
		check_token(r, m->id, bytes, true);
	else
		answer_no(r, m->id, ERR_UNAUTHENTICATED, "tokens are not taken");
	return 0;
}

static void on_keeper_ready(struct loop_io *io, uint32_t events)
{
	struct role *r = io->arg;

	(void)events;
	for (unsigned i = 0; i < RECORDS_PER_TURN && !r->loop.stopped; i++) {
		struct err e = {0};
		struct ipc_msg m;
		int got = ipc_recv(io->fd, &m, &e);

		if (got < 0 && (e.sys == EAGAIN || e.sys == EINTR))
			return;
		if (got == 1 && question(r, &m)) {
			log_msg(LOG_ERROR, "event=bad_record_from_keeper type=%u",
				m.type);
			got = -1;
		}
		sodium_memzero(m.data, m.n);
		ipc_finish(&m);
		if (got != 1)
			end(r, got ? 1 : 0);
	}
}

/* --- life ------------------------------------------------------------------------------------------ */

static int read_file(struct role *r, int fd, struct err *e)
{
	AUTO_BUF b = {0};

	buf_init(&b, JWKS_MAX_BYTES);
	if (fd_read_all(fd, &b, e) || adopt_keys(r, buf_view(&b), e)) {
		err_fix(e,
			"look at the file of --oauth-jwks: a JSON Web Key Set, of at most "
			"%zu KiB, is wanted",
			JWKS_MAX_BYTES >> 10);
		return -1;
	}
	return 0;
}

static int add_socket(struct role *r, struct loop_io *io, struct err *e)
{
	if (fd_set_nonblock(io->fd))
		return err_sys(e, "set a socket non-blocking");
	return loop_add(&r->loop, io, EPOLLIN, e);
}

static int say_up(struct role *r, struct err *e)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_CHECKER_UP, 0);
	return ipc_send(r->keeper_io.fd, &m, e);
}

/* The file of keys is closed once it is read: nothing is open that is not needed. */
static int start(struct role *r, const struct auth_opts *o, struct err *e)
{
	AUTO_FD jwks = o->jwks_fd;

	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

	for (unsigned i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium does not start");
	r->tokens = *o->config.issuer;
	r->policy = (struct jwt_policy){.issuer = sv_of(o->config.issuer),
					.audience = sv_of(o->config.audience),
					.scope = sv_of(o->config.scope)};
	if (r->tokens && jwks < 0 && o->fetch_sock < 0)
		return err_set(e, ERR_INTERNAL, "there are no keys of the issuer");
	if (jwks >= 0 && read_file(r, jwks, e))
		return -1;
	fd_close(&jwks);
	if (loop_init(&r->loop, e) || add_socket(r, &r->keeper_io, e) ||
	    (r->fetch_io.fd >= 0 && add_socket(r, &r->fetch_io, e)))
		return -1;
	if (launch_role_confine(LAUNCH_AUTH, NULL, o->uid, e))
		return -1;
	if (say_up(r, e))
		return -1;
	if (r->fetch_io.fd >= 0)
		start_fetch(r);
	return 0;
}

int auth_main(const struct auth_opts *o)
{
	struct role *r = mem_zalloc(sizeof(*r));
	AUTO_FD keeper = o->keeper_sock, fetch = o->fetch_sock;
	struct err e = {0};
	int code = 1;

	if (!r) { /* the file goes with the process */
		log_msg(LOG_ERROR, "event=auth_start cause=\"no memory\"");
		return 1;
	}
	r->loop.epfd = -1;
	r->keeper_io =
		(struct loop_io){.fd = keeper, .on_ready = on_keeper_ready, .arg = r};
	r->fetch_io =
		(struct loop_io){.fd = fetch, .on_ready = on_fetch_ready, .arg = r};
	r->refresh = (struct loop_timer){.on_due = on_refresh_due, .arg = r};
	if (start(r, o, &e) || loop_run(&r->loop, &e))
		log_err("auth_failed", &e);
	else
		code = r->code;
	loop_finish(&r->loop);
	jwks_free(r->keys);
	sodium_memzero(r->held, sizeof(r->held));
	mem_free(r);
	return code;
}
