/* Who is calling: what the keeper tells by itself, whom it asks, and that all else is refused. The
 * ledger, the auth role and the front are sockets held by the test. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#define KEY "fh_abcd1234_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static struct keeper k;
static int front, ledger, auth; /* the test's ends */
static struct ipc_msg m;

static void pair_up(int *ours, int *theirs)
{
	struct err e = {0};
	int p[2];

	must(!fd_socketpair(p, &e) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	*theirs = p[0];
	*ours = p[1];
}

static void say(int sock, uint32_t type)
{
	ipc_start(&m, type, 0);
	must(!ipc_send(sock, &m, NULL));
}

static void keeper_up(unsigned modes)
{
	struct err e = {0};
	int sock;

	k = (struct keeper){.max_runs = 2, .max_queue = 2};
	pair_up(&front, &k.front);
	pair_up(&ledger, &k.ledger);
	pair_up(&auth, &sock);
	must(!loop_init(&k.loop, &e));
	auth_init(&k.auth, sock, modes);
	say(auth, SUP_CHECKER_UP);
	must(!auth_open(&k, &e));
}

static void keeper_down(void)
{
	auth_finish(&k);
	loop_finish(&k.loop);
	fd_close(&k.front);
	fd_close(&k.ledger);
	fd_close(&front);
	fd_close(&ledger);
	fd_close(&auth);
}

/* The type of what came, 0: nothing. */
static uint32_t take(int sock)
{
	struct err e = {0};

	return ipc_recv(sock, &m, &e) == 1 ? m.type : 0;
}

static uint64_t id_at_front;

/* Asks as the front would; the type of an answer that comes at once. */
static uint32_t identify(struct sv credential)
{
	auth_identify(&k, ++id_at_front, credential);
	return take(front);
}

static bool is_refused(enum err_code code)
{
	struct err e = {0};

	return m.type == SUP_UNKNOWN && m.id == id_at_front && !wire_get_err(&m, &e) &&
	       e.code == code;
}

static bool is_principal(const char *name)
{
	struct sup_identity id;

	return m.type == SUP_IDENTITY && m.id == id_at_front &&
	       !wire_get_identity(&m, &id) && !strcmp(id.principal, name);
}

/* --- by itself ------------------------------------------------------------------------------------ */

static const struct sv credentials[] = {
	{"", 0},
	{"none", 4},
	{"bearer " KEY, sizeof("bearer " KEY) - 1},
	{"bearer a.b.c", 12},
	{"cert DER", 8},
};

static void fail_closed(void)
{
	static const unsigned modes[] = {SUP_AUTH_LOCAL, SUP_AUTH_NONE, SUP_AUTH_KEYS,
					 SUP_AUTH_OAUTH, SUP_AUTH_CERT};

	keeper_up(0);
	for (unsigned i = 0; i < ARRAY_LEN(credentials); i++)
		ok(identify(credentials[i]) && is_refused(ERR_UNAUTHENTICATED),
		   "with no mode, \"%s\" is refused", credentials[i].p);
	keeper_down();
	for (unsigned a = 0; a < ARRAY_LEN(modes); a++) {
		keeper_up(modes[a]);
		for (unsigned i = 0; i < ARRAY_LEN(credentials); i++)
			if (i != a)
				ok(identify(credentials[i]) &&
					   is_refused(ERR_UNAUTHENTICATED) &&
					   !take(ledger) && !take(auth),
				   "mode %u does not take \"%s\"", modes[a],
				   credentials[i].p);
			else
				ok(!identify(credentials[i])
					   ? take(ledger) || take(auth)
					   : m.type == SUP_IDENTITY,
				   "but \"%s\"", credentials[i].p);
		keeper_down();
	}
}

static void at_once(void)
{
	char local[32];

	snprintf(local, sizeof(local), "local:%u", (unsigned)getuid());
	keeper_up(SUP_AUTH_LOCAL | SUP_AUTH_NONE | SUP_AUTH_KEYS | SUP_AUTH_OAUTH);
	ok(identify(SV("")) && is_principal(local), "the starter is %s", local);
	ok(identify(SV("none")) && is_principal("anonymous"), "nobody is anonymous");
	ok(identify(SV("None")) && is_refused(ERR_INVALID), "words are exact");
	ok(identify(SV("bearer ")) && is_refused(ERR_INVALID), "a token is not empty");
	ok(identify(SV("bearer a b")) && is_refused(ERR_INVALID), "has no blanks");
	ok(identify((struct sv){"bearer a\0b", 10}) && is_refused(ERR_INVALID),
	   "no NUL");
	ok(identify(SV("bearer =")) && is_refused(ERR_INVALID), "is no padding alone");
	ok(identify(SV("Bearer a")) && is_refused(ERR_INVALID),
	   "the word is ours, not HTTP's");
	ok(identify(SV("local")) && is_refused(ERR_INVALID),
	   "nobody can say he is local");
	ok(identify(SV("bearer fh_abcd1234_short")) &&
		   is_refused(ERR_UNAUTHENTICATED) && !take(ledger) && !take(auth),
	   "what is no key is asked of nobody");
	keeper_down();
}

/* --- keys ------------------------------------------------------------------------------------------- */

static void answer_key(enum led_key_state state, uint64_t id)
{
	struct ipc_msg r;

	ipc_start(&r, LED_KEY_FOUND, id);
	ipc_put_u32(&r, state);
	ipc_put_sv(&r, state == LED_KEY_UNKNOWN || state == LED_KEY_FAILED ? SV("")
									   : SV("ci"));
	ipc_put_u64(&r, 77);
	auth_on_key(&k, &r);
}

static void keys(void)
{
	static const struct {
		enum led_key_state state;
		enum err_code code;
	} rows[] = {{LED_KEY_UNKNOWN, ERR_UNAUTHENTICATED},
		    {LED_KEY_REVOKED, ERR_UNAUTHENTICATED},
		    {LED_KEY_EXPIRED, ERR_UNAUTHENTICATED},
		    {LED_KEY_FAILED, ERR_UNAVAILABLE}};
	struct err said[ARRAY_LEN(rows)] = {{0}};
	uint64_t asked;
	struct sv id;

	keeper_up(SUP_AUTH_KEYS);
	ok(!identify(SV("bearer " KEY)) && take(ledger) == LED_KEY_FIND,
	   "a key is looked up");
	id = ipc_get_sv(&m, 8);
	ok(sv_eq(id, SV("abcd1234")) && ipc_get_sv(&m, 32).n == 32 && ipc_end(&m) &&
		   !memmem(m.data, m.n, "AAAAAAAA", 8),
	   "by its id and its hash; the key itself stays here");
	answer_key(LED_KEY_GOOD, m.id);
	ok(take(front) && is_principal("key:ci"), "and is its name");
	ok(!identify(SV("bearer " KEY)) && take(ledger) == LED_KEY_FIND,
	   "each time anew");
	asked = m.id;
	answer_key(LED_KEY_GOOD, asked + 1);
	ok(!take(front), "an answer to nothing is none");
	answer_key(LED_KEY_REVOKED, asked);
	ok(take(front) && is_refused(ERR_UNAUTHENTICATED),
	   "so a revocation counts at once");
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		must(!identify(SV("bearer " KEY)) && take(ledger));
		answer_key(rows[i].state, m.id);
		must(take(front) && !wire_get_err(&m, &said[i]));
		ok(said[i].code == rows[i].code, "state %u: %s", rows[i].state,
		   said[i].cause);
	}
	ok(!memcmp(&said[0], &said[1], sizeof(said[0])) &&
		   !memcmp(&said[0], &said[2], sizeof(said[0])),
	   "unknown, revoked and expired are told in the same words");
	keeper_down();
}

/* --- the auth role ---------------------------------------------------------------------------------- */

static void judge(uint64_t id, enum err_code code, uint64_t expires_us)
{
	struct sup_check c = {.code = code, .reason = "because"};

	if (!code)
		c.id = (struct sup_identity){.principal = "oauth:i#s",
					     .expires_us = expires_us};
	ipc_start(&m, SUP_CHECKED, id);
	sup_put_check(&m, &c);
	must(!ipc_send(auth, &m, NULL));
	k.auth.io.on_ready(&k.auth.io, EPOLLIN);
}

static void tokens(void)
{
	const uint64_t far = loop_wall_us() + 3600000000u;
	uint64_t soon;

	keeper_up(SUP_AUTH_OAUTH | SUP_AUTH_CERT);
	ok(!identify(SV("bearer a.b.c")) && take(auth) == SUP_CHECK_TOKEN &&
		   sv_eq(ipc_get_sv(&m, 100), SV("a.b.c")) && ipc_end(&m),
	   "a token is asked of the auth role");
	judge(m.id, ERR_NONE, far);
	ok(take(front) && is_principal("oauth:i#s"), "which says whose it is");
	ok(identify(SV("bearer a.b.c")) && is_principal("oauth:i#s") && !take(auth),
	   "the same again is believed for a while");
	ok(!identify(SV("bearer a.b.d")) && take(auth) == SUP_CHECK_TOKEN,
	   "another is not");
	judge(m.id, ERR_UNAUTHENTICATED, 0);
	ok(take(front) && is_refused(ERR_UNAUTHENTICATED), "a bad one is refused");
	ok(!identify(SV("bearer a.b.d")) && take(auth), "and no is not remembered");
	judge(m.id, ERR_FORBIDDEN, 0);
	ok(take(front) && is_refused(ERR_FORBIDDEN), "without the scope: forbidden");
	ok(!identify(SV("cert a.b.c")) && take(auth) == SUP_CHECK_CERT,
	   "the same bytes as a certificate are something else");
	judge(m.id, ERR_UNAVAILABLE, 0);
	ok(take(front) && is_refused(ERR_UNAVAILABLE),
	   "keys that are not there: unavailable");
	ok(!identify(SV("bearer x")) && take(auth), "one more");
	judge(m.id, ERR_NONE, 1);
	ok(take(front) && is_refused(ERR_UNAUTHENTICATED),
	   "one that has expired is refused");
	ok(!identify(SV("bearer soon")) && take(auth), "one that ends in 20 ms");
	soon = loop_wall_us() + 20000;
	judge(m.id, ERR_NONE, soon);
	take(front);
	while (loop_wall_us() <= soon)
		continue;
	ok(!identify(SV("bearer soon")) && take(auth), "is asked again after that");
	keeper_down();
}

static void crowd(void)
{
	char text[32];
	unsigned asked = 0, answered = 0, busy = 0;

	keeper_up(SUP_AUTH_OAUTH);
	for (unsigned i = 0; i < 1100; i++) {
		snprintf(text, sizeof(text), "bearer t%u", i);
		auth_identify(&k, i + 1, sv_of(text));
		while (take(front) == SUP_UNKNOWN)
			busy++;
	}
	ok(busy == 1100 - 1024, "no more than 1024 wait (%u refused)", busy);
	while (take(auth) == SUP_CHECK_TOKEN) {
		asked++;
		ipc_start(&m, SUP_CHECKED, m.id);
		sup_put_check(&m, &(struct sup_check){.id.principal = "p"});
		must(!ipc_send(auth, &m, NULL));
		k.auth.io.on_ready(&k.auth.io, EPOLLIN);
		if (take(front) == SUP_IDENTITY)
			answered += m.id == asked;
	}
	ok(asked == 1024 && answered == 1024,
	   "all that wait are answered, in their order");
	keeper_down();
}

static void few_under_way(void)
{
	unsigned n = 0;

	keeper_up(SUP_AUTH_OAUTH);
	for (unsigned i = 1; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "bearer t%u", i);
		auth_identify(&k, i, sv_of(text));
	}
	while (take(auth))
		n++;
	ok(n == 8, "%u questions are under way at a time", n);
	keeper_down();
}

static void role_dies(void)
{
	keeper_up(SUP_AUTH_OAUTH | SUP_AUTH_KEYS);
	must(!identify(SV("bearer a")) && take(auth));
	fd_close(&auth);
	k.auth.io.on_ready(&k.auth.io, EPOLLIN);
	ok(take(front) == SUP_UNKNOWN && is_refused(ERR_UNAVAILABLE),
	   "the auth role dies: what it was asked is refused");
	ok(k.auth.gone && k.front_gone, "and the keeper ends");
	keeper_down();
	keeper_up(SUP_AUTH_OAUTH);
	must(!identify(SV("bearer a")) && take(auth));
	ipc_start(&m, SUP_CHECKED, m.id);
	ipc_put_u32(&m, 7);
	must(!ipc_send(auth, &m, NULL));
	k.auth.io.on_ready(&k.auth.io, EPOLLIN);
	ok(k.auth.gone && take(front) == SUP_UNKNOWN, "so it does at a broken record");
	keeper_down();
}

static void no_yes_without_a_name(void)
{
	keeper_up(SUP_AUTH_OAUTH);
	must(!identify(SV("bearer a")) && take(auth));
	ipc_start(&m, SUP_CHECKED, m.id);
	sup_put_check(&m, &(struct sup_check){.code = ERR_NONE});
	must(!ipc_send(auth, &m, NULL));
	k.auth.io.on_ready(&k.auth.io, EPOLLIN);
	ok(k.auth.gone && take(front) == SUP_UNKNOWN,
	   "a yes without a name is a broken record");
	keeper_down();
	keeper_up(SUP_AUTH_LOCAL);
	fd_close(&k.auth.sock);
	k.auth.modes = SUP_AUTH_OAUTH;
	ok(auth_open(&k, NULL), "and without the role there is no OAuth");
	keeper_down();
	keeper_up(SUP_AUTH_LOCAL);
	loop_del(&k.loop, &k.auth.io);
	say(auth, SUP_CHECKED);
	ok(auth_open(&k, NULL), "nor with one that says something else first");
	fd_close(&auth);
	ok(auth_open(&k, NULL), "nor with one that has ended");
	keeper_down();
}

/* --- runs ----------------------------------------------------------------------------------------- */

static uint32_t ask_run(uint64_t id, struct sv credential)
{
	struct wire_run w = {.credential = credential,
			     .language = SV("python"),
			     .code_fd = -1,
			     .input_fd = -1,
			     .stdin_fd = -1};

	auth_run(&k, id, &w);
	return take(front);
}

/* What the ledger is told of a refused run; its answer is left to the caller. */
static bool recorded(const char *principal, const char *detail)
{
	struct sv kind, run, who, what;

	if (take(ledger) != LED_EVENT)
		return false;
	kind = ipc_get_sv(&m, 64);
	run = ipc_get_sv(&m, 64);
	who = ipc_get_sv(&m, 256);
	what = ipc_get_sv(&m, 1024);
	return sv_eq(kind, SV("refused")) && !run.n && sv_eq(who, sv_of(principal)) &&
	       memmem(what.p, what.n, detail, strlen(detail));
}

static void unknown_runs(void)
{
	struct run *r;
	unsigned n = 1;

	keeper_up(SUP_AUTH_KEYS);
	ok(!ask_run(1, SV("")) && recorded("", "no credential"),
	   "a run of nobody is recorded");
	run_event(run_find(&k, 1), EV_RECORDED);
	ok(take(front) == SUP_REFUSED && !k.runs && !k.busy, "and refused");
	ok(!ask_run(2, SV("bearer " KEY)) && !k.runs && auth_has(&k, 2, true) &&
		   take(ledger) == LED_KEY_FIND,
	   "before it is known whose it is, there is no run");
	answer_key(LED_KEY_REVOKED, m.id);
	ok(recorded("", "not accepted"), "by a revoked key: recorded");
	run_event(run_find(&k, 2), EV_RECORDED);
	ok(take(front) == SUP_REFUSED && m.id == 2, "and refused");
	for (; n < 200 && !ask_run(100 + n, SV("")) && recorded("", "no credential");
	     n++) {
		r = run_find(&k, 100 + n);
		run_event(r, EV_RECORDED);
		take(front);
	}
	ok(n >= 58 && n <= 62 && m.type == SUP_REFUSED && !take(ledger),
	   "strangers cannot fill the record: %u, then refused unrecorded", n);
	k.auth.records.left_us = 2000000;
	ok(!ask_run(500, SV("")) && recorded("", "(and 1 more like it before)"),
	   "what was left out is in the next");
	run_event(run_find(&k, 500), EV_RECORDED);
	keeper_down();
}

static void cancelled_and_crowded(void)
{
	keeper_up(SUP_AUTH_KEYS);
	must(!ask_run(1, SV("bearer " KEY)));
	auth_stop(&k, 1);
	ok(take(front) == SUP_REFUSED && m.id == 1 && !auth_has(&k, 1, true),
	   "a run may be cancelled before it is known whose it is");
	must(take(ledger) == LED_KEY_FIND);
	answer_key(LED_KEY_GOOD, m.id);
	ok(!take(front) && !k.runs && !k.auth.nasks, "the answer then is for nobody");
	for (uint64_t i = 1; i <= 4; i++)
		must(!ask_run(i, SV("bearer " KEY)));
	ok(ask_run(5, SV("bearer " KEY)) == SUP_REFUSED,
	   "no more wait than would be queued");
	keeper_end(&k);
	ok(!k.auth.nasks && !k.auth.runs, "the front goes: nothing is left of them");
	keeper_down();
}

int main(void)
{
	must(sodium_init() >= 0);
	if (!getenv("TEST_VERBOSE"))
		must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2) == 2);
	fail_closed();
	at_once();
	keys();
	tokens();
	crowd();
	few_under_way();
	role_dies();
	no_yes_without_a_name();
	unknown_runs();
	cancelled_and_crowded();
	return tap_done();
}
