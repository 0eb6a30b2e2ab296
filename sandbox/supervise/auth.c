/* auth.c: who is calling: a credential becomes a principal, or a refusal.
 *
 * Theory of operation. What can be told at first sight (sight.h) is told at once. All else is a
 * question to a process that can: the ledger for API keys, which are kept nowhere here so that a
 * revocation counts from the moment it is written; the auth role for tokens and certificates. Questions
 * wait in the order they came, at most MAX_ASKS of them, MAX_FLIGHT of a kind on their way: more
 * would fill the socket. An answer nobody waits for any more is dropped; a question without an answer
 * after PATIENCE_US is refused. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/sight.h"

#include <errno.h>
#include <sodium.h>
#include <unistd.h>

#define MAX_ASKS 1024
#define MAX_FLIGHT 8 /* of 8 KiB each: what a socket holds */
#define PATIENCE_US 15000000 /* the auth role may have to fetch keys, for 10 s */
#define LANGUAGE_BYTES 256

_Static_assert(SUP_PRINCIPAL_SIZE == POL_PRINCIPAL_SIZE,
	       "a plan holds every principal");
_Static_assert(LED_KEY_NAME_SIZE + 4 <= SUP_PRINCIPAL_SIZE, "key:NAME is never cut");

/* One credential that is being looked up. */
struct auth_ask {
	struct auth_ask *next;
	uint64_t id; /* ours */
	uint64_t front; /* the front's number of the run or of the question */
	uint64_t sent_us; /* 0: not yet */
	bool is_run, dropped; /* dropped: nobody wants the answer */
	enum auth_how how;
	enum sup_check_type type; /* AUTH_ROLE */
	unsigned char digest[32]; /* as of struct sight */
	char key_id[LED_KEY_ID_SIZE]; /* AUTH_LEDGER */
	struct wire_run run; /* is_run; its fds are owned, what it borrows is below */
	char language[LANGUAGE_BYTES], session_id[SUP_SESSION_ID_SIZE];
	struct ask *ask; /* neither run nor SUP_AUTH: who asks this? */
	size_t n; /* AUTH_ROLE: the token or certificate, wiped when it was sent */
	unsigned char bytes[];
};

/* --- answers ------------------------------------------------------------------------------------ */

static void tell(struct keeper *k, uint64_t front, const struct sup_identity *id,
		 const struct err *e)
{
	struct ipc_msg m;

	ipc_start(&m, id ? SUP_IDENTITY : SUP_UNKNOWN, front);
	if (id)
		wire_put_identity(&m, id);
	else
		wire_put_err(&m, e);
	keeper_tell(k, &m);
}

static void close_fds(struct wire_run *w)
{
	fd_close(&w->code_fd);
	fd_close(&w->input_fd);
	fd_close(&w->stdin_fd);
}

static void free_ask(struct keeper *k, struct auth_ask *q)
{
	struct auth *a = &k->auth;
	struct auth_ask **at = &a->asks;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	a->nasks--;
	if (q->sent_us)
		a->in_flight[q->how]--;
	if (q->is_run) {
		a->runs--;
		close_fds(&q->run);
	}
	sodium_memzero(q->bytes, q->n);
	mem_free(q);
}

static void send_some(struct keeper *k);

/* The question is answered: q is gone after it. */
static void settle(struct keeper *k, struct auth_ask *q, const struct sup_identity *id,
		   const struct err *e)
{
	if (q->dropped) {
		free_ask(k, q);
		return;
	}
	if (q->ask) {
		struct ask *x = q->ask;

		free_ask(k, q);
		ask_known(x, id, e);
		return;
	}
	if (q->is_run) {
		struct wire_run w = q->run;
		const uint64_t front = q->front;
		char language[LANGUAGE_BYTES], session_id[SUP_SESSION_ID_SIZE];

		memcpy(language, q->language, sizeof(language));
		memcpy(session_id, q->session_id, sizeof(session_id));
		w.language.p = language;
		w.session_id.p = session_id;
		q->run.code_fd = q->run.input_fd = q->run.stdin_fd =
			-1; /* run_new's now */
		free_ask(k, q);
		run_new(k, front, &w, id, e);
		keeper_pump(k);
		return;
	}
	tell(k, q->front, id, e);
	free_ask(k, q);
}

/* --- questions ------------------------------------------------------------------------------------ */

static void fail_ask(struct keeper *k, struct auth_ask *q)
{
	struct err e;

	sight_unavailable(&e);
	settle(k, q, NULL, &e);
}

static int send_ask(struct keeper *k, struct auth_ask *q)
{
	struct auth *a = &k->auth;
	struct err e = {0};
	struct ipc_msg m;
	int bad;

	if (q->how == AUTH_LEDGER) {
		ipc_start(&m, LED_KEY_FIND, q->id);
		led_put_key_find(&m, sv_of(q->key_id), q->digest);
		bad = keeper_ask_ledger(k, &m);
	} else {
		ipc_start(&m, q->type, q->id);
		ipc_put_sv(&m, (struct sv){(const char *)q->bytes, q->n});
		bad = a->gone || ipc_send(a->sock, &m, &e);
		if (bad && e.code && e.code != ERR_LOST)
			log_err("auth_does_not_listen", &e);
		sodium_memzero(m.data, m.n);
		sodium_memzero(q->bytes, q->n);
	}
	if (bad)
		return -1;
	q->sent_us = loop_now_us();
	a->in_flight[q->how]++;
	if (!a->timer.armed)
		loop_timer_set(&k->loop, &a->timer, PATIENCE_US / 1000);
	return 0;
}

/* Sends what may be on its way. Every settled one may have changed the list. */
static void send_some(struct keeper *k)
{
	struct auth *a = &k->auth;
	struct auth_ask *q = a->asks;

	while (q) {
		if (q->sent_us || a->in_flight[q->how] >= MAX_FLIGHT) {
			q = q->next;
		} else if (send_ask(k, q)) {
			fail_ask(k, q);
			q = a->asks;
		} else {
			q = q->next;
		}
	}
}

/* Remembers the question; NULL: there is no room. */
static struct auth_ask *new_ask(struct keeper *k, const struct sight *s, uint64_t front,
				const struct wire_run *w)
{
	struct auth *a = &k->auth;
	const size_t n = s->how == AUTH_ROLE ? s->body.n : 0;
	struct auth_ask *q = a->nasks < MAX_ASKS ? mem_zalloc(sizeof(*q) + n) : NULL;
	struct auth_ask **at = &a->asks;

	if (!q)
		return NULL;
	q->id = ++a->next_id;
	q->front = front;
	q->how = s->how;
	q->type = s->type;
	q->n = n;
	memcpy(q->digest, s->digest, sizeof(q->digest));
	if (n)
		memcpy(q->bytes, s->body.p, n);
	if (s->key_id.n)
		sv_copy(s->key_id, q->key_id, sizeof(q->key_id));
	if (w) {
		q->is_run = true;
		q->run = *w;
		q->run.credential = (struct sv){"", 0};
		q->run.language = (struct sv){q->language, w->language.n};
		memcpy(q->language, w->language.p, w->language.n);
		q->run.session_id = (struct sv){q->session_id, w->session_id.n};
		if (w->session_id.n)
			memcpy(q->session_id, w->session_id.p, w->session_id.n);
		a->runs++;
	}
	while (*at)
		at = &(*at)->next;
	*at = q;
	a->nasks++;
	return q;
}

static void busy(struct err *e)
{
	err_set(e, ERR_BUSY, "too many callers wait to be let in");
	err_fix(e, "try again when some have been");
}

void auth_run(struct keeper *k, uint64_t id, const struct wire_run *w)
{
	struct auth *a = &k->auth;
	struct wire_run mine = *w;
	struct err e = {0};
	struct sight s;

	sight_of(a, w->credential, &s);
	if (s.known || s.bad) {
		run_new(k, id, w, s.known ? &s.id : NULL, &s.e);
		keeper_pump(k);
		return;
	}
	/* what waits here will want a place in the queue, and holds as many descriptors */
	if (k->busy + k->waiting + a->runs >= k->max_runs + k->max_queue ||
	    w->language.n > LANGUAGE_BYTES || w->session_id.n >= SUP_SESSION_ID_SIZE ||
	    !new_ask(k, &s, id, w)) {
		busy(&e);
		close_fds(&mine);
		run_tell_refused(k, id, &e);
		return;
	}
	send_some(k);
}

void auth_identify(struct keeper *k, uint64_t id, struct sv credential)
{
	struct err e = {0};
	struct sight s;

	sight_of(&k->auth, credential, &s);
	if (s.known || s.bad) {
		tell(k, id, s.known ? &s.id : NULL, &s.e);
		return;
	}
	if (!new_ask(k, &s, id, NULL)) {
		busy(&e);
		tell(k, id, NULL, &e);
		return;
	}
	send_some(k);
}

void auth_ask(struct keeper *k, struct ask *x, struct sv credential)
{
	struct auth_ask *q;
	struct err e = {0};
	struct sight s;

	sight_of(&k->auth, credential, &s);
	if (s.known || s.bad) {
		ask_known(x, s.known ? &s.id : NULL, &s.e);
		return;
	}
	q = new_ask(k, &s, x->id, NULL);
	if (!q) {
		busy(&e);
		ask_refuse(x, &e);
		return;
	}
	q->ask = x;
	send_some(k);
}

bool auth_has(const struct keeper *k, uint64_t id, bool run)
{
	for (const struct auth_ask *q = k->auth.asks; q; q = q->next)
		if (q->front == id && q->is_run == run && !q->ask && !q->dropped)
			return true;
	return false;
}

void auth_stop(struct keeper *k, uint64_t id)
{
	struct err e = {0};

	for (struct auth_ask *q = k->auth.asks; q; q = q->next) {
		if (q->front != id || !q->is_run || q->dropped)
			continue;
		q->dropped = true;
		close_fds(&q->run);
		err_set(&e, ERR_BUSY, "cancelled before it started");
		run_tell_refused(k, id, &e);
		return;
	}
}

void auth_drop_all(struct keeper *k)
{
	while (k->auth.asks) {
		struct ask *x = k->auth.asks->ask;

		free_ask(k, k->auth.asks);
		ask_free(x);
	}
}

/* --- answers to them ------------------------------------------------------------------------------ */

static struct auth_ask *find(struct auth *a, uint64_t id, enum auth_how how)
{
	struct auth_ask *q = a->asks;

	while (q && (q->id != id || q->how != how || !q->sent_us))
		q = q->next;
	return q;
}

void auth_on_key(struct keeper *k, struct ipc_msg *m)
{
	static const char *const reasons[LED_KEY_STATE_COUNT] = {
		[LED_KEY_UNKNOWN] = "no such key",
		[LED_KEY_REVOKED] = "revoked",
		[LED_KEY_EXPIRED] = "expired",
		[LED_KEY_FAILED] = "could not be looked up",
	};
	struct auth_ask *q = find(&k->auth, m->id, AUTH_LEDGER);
	struct led_key_found found;
	struct sup_identity id = {.principal = ""};
	struct err e = {0};
	char why[120];

	if (led_get_key_found(m, &found))
		found = (struct led_key_found){.state = LED_KEY_FAILED};
	if (!q)
		return;
	if (found.state == LED_KEY_GOOD) {
		snprintf(id.principal, sizeof(id.principal), "key:%s", found.name);
		id.expires_us = found.expires_us;
		settle(k, q, &id, NULL);
	} else {
		snprintf(why, sizeof(why), "%s: fh_%s%s%s", reasons[found.state],
			 q->key_id, found.name[0] ? " " : "", found.name);
		sight_log_refusal(&k->auth, "key", why);
		if (found.state == LED_KEY_FAILED)
			sight_unavailable(&e);
		else
			sight_refuse(&e);
		settle(k, q, NULL, &e);
	}
	send_some(k);
}

/* A verdict of the auth role on q. */
static void judged(struct keeper *k, struct auth_ask *q, const struct sup_check *c)
{
	struct err e = {0};

	if (c->code == ERR_NONE && !sight_expired(&c->id)) {
		sight_remember(&k->auth, q->digest, &c->id);
		settle(k, q, &c->id, NULL);
		return;
	}
	sight_log_refusal(&k->auth, q->type == SUP_CHECK_CERT ? "cert" : "token",
			  c->code == ERR_NONE ? "expired" : c->reason);
	if (c->code == ERR_FORBIDDEN) {
		err_set(&e, ERR_FORBIDDEN,
			"the access token does not grant what is needed");
		err_fix(&e, "ask for a token with the scope the server names");
	} else if (c->code == ERR_UNAVAILABLE) {
		sight_unavailable(&e);
	} else {
		sight_refuse(&e);
	}
	settle(k, q, NULL, &e);
}

static void auth_left(struct keeper *k)
{
	struct auth *a = &k->auth;
	struct auth_ask *q = a->asks;

	if (a->gone)
		return;
	a->gone = true;
	loop_del(&k->loop, &a->io);
	log_msg(LOG_ERROR, "event=auth_gone");
	while (q) {
		if (q->how == AUTH_ROLE) {
			fail_ask(k, q);
			q = a->asks;
		} else {
			q = q->next;
		}
	}
	keeper_end(k);
}

static void on_auth_ready(struct loop_io *io, uint32_t events)
{
	struct keeper *k = io->arg;
	struct err e = {0};
	struct ipc_msg m;
	struct sup_check c;
	struct auth_ask *q;
	int got = ipc_recv(io->fd, &m, &e);

	(void)events;
	if (got < 0 && e.sys == EAGAIN)
		return;
	if (got == 1 && (m.type != SUP_CHECKED || sup_get_check(&m, &c))) {
		log_msg(LOG_ERROR, "event=bad_record_from_auth type=%u", m.type);
		got = -1;
	}
	ipc_finish(&m);
	if (got != 1) {
		auth_left(k);
		return;
	}
	q = find(&k->auth, m.id, AUTH_ROLE);
	if (q)
		judged(k, q, &c);
	send_some(k);
}

static void on_patience_due(struct loop_timer *t)
{
	struct keeper *k = t->arg;
	struct auth *a = &k->auth;
	struct auth_ask *q = a->asks;
	uint64_t now = loop_now_us(), oldest = now;

	while (q) {
		if (q->sent_us && now - q->sent_us >= PATIENCE_US) {
			log_msg(LOG_ERROR, "event=no_answer from=%s",
				q->how == AUTH_LEDGER ? "ledger" : "auth");
			fail_ask(k, q);
			q = a->asks;
			continue;
		}
		if (q->sent_us && q->sent_us < oldest)
			oldest = q->sent_us;
		q = q->next;
	}
	if (a->in_flight[AUTH_LEDGER] + a->in_flight[AUTH_ROLE])
		loop_timer_set(&k->loop, t, (oldest + PATIENCE_US - now) / 1000 + 1);
	send_some(k);
}

/* --- life ------------------------------------------------------------------------------------------ */

void auth_init(struct auth *a, int sock, unsigned modes)
{
	*a = (struct auth){.modes = modes,
			   .sock = sock,
			   .records = {.burst = 60, .per_s = 1},
			   .logs = {.burst = 20, .per_s = 1}};
}

/* Nobody is told that this server is ready before the role is. */
static int await_role(struct auth *a, struct err *e)
{
	struct ipc_msg m;
	struct err why = {0};
	const int got = ipc_recv(a->sock, &m, &why);
	const bool up = got == 1 && m.type == SUP_CHECKER_UP && ipc_end(&m);

	if (got == 1)
		ipc_finish(&m);
	if (up)
		return 0;
	err_set(e, ERR_UNAVAILABLE, "tokens and certificates could not be checked");
	return err_fix(e, "look at what the auth process said before this");
}

int auth_open(struct keeper *k, struct err *e)
{
	struct auth *a = &k->auth;

	a->timer = (struct loop_timer){.on_due = on_patience_due, .arg = k};
	randombytes_buf(a->cache_key, sizeof(a->cache_key));
	if (a->sock < 0 && a->modes & (SUP_AUTH_OAUTH | SUP_AUTH_CERT))
		return err_set(e, ERR_INTERNAL, "there is no auth role to ask");
	if (a->sock < 0)
		return 0;
	a->io = (struct loop_io){.fd = a->sock, .on_ready = on_auth_ready, .arg = k};
	if (await_role(a, e))
		return -1;
	if (fd_set_nonblock(a->sock))
		return err_sys(e, "set a socket non-blocking");
	return loop_add(&k->loop, &a->io, EPOLLIN, e);
}

void auth_finish(struct keeper *k)
{
	struct auth *a = &k->auth;

	auth_drop_all(k);
	loop_timer_stop(&k->loop, &a->timer);
	if (a->io.added)
		loop_del(&k->loop, &a->io);
	fd_close(&a->sock);
	sodium_memzero(a->cache_key, sizeof(a->cache_key));
}
