/* When keys are fetched, how long old ones count, and that strangers cannot make it otherwise. role.c
 * is compiled in here once more, with a clock of the test's own; the test is the keeper and fetches. */
#include "mcp/auth/jwt.h"
#include "sandbox/base/loop.h"
#include "tokens.h"

#include <fcntl.h>
#include <unistd.h>

static uint64_t now_us;

static uint64_t fake_now(void)
{
	return now_us;
}

#define loop_now_us fake_now
#include "mcp/auth/role.c"

#define SECOND ((uint64_t)1000000)
#define HOUR (3600 * SECOND)

static struct keys old_keys, new_keys;
static struct role r;
static int keeper, fetcher; /* the test's ends */
static struct ipc_msg m;
static uint64_t asked;

static void pair_up(int *ours, int *theirs)
{
	struct err e = {0};
	int p[2];

	must(!fd_socketpair(p, &e) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	*theirs = p[0];
	*ours = p[1];
}

static void role_up(void)
{
	struct err e = {0};

	r = (struct role){.tokens = true,
			  .policy = {.issuer = SV("https://id.example"),
				     .audience = SV("me"),
				     .scope = SV("")}};
	r.keeper_io = (struct loop_io){.on_ready = on_keeper_ready, .arg = &r};
	r.fetch_io = (struct loop_io){.on_ready = on_fetch_ready, .arg = &r};
	r.refresh = (struct loop_timer){.on_due = on_refresh_due, .arg = &r};
	pair_up(&keeper, &r.keeper_io.fd);
	pair_up(&fetcher, &r.fetch_io.fd);
	must(!loop_init(&r.loop, &e));
	now_us = 1000 * SECOND;
	start_fetch(&r);
}

static void role_down(void)
{
	loop_timer_stop(&r.loop, &r.refresh);
	loop_finish(&r.loop);
	jwks_free(r.keys);
	fd_close(&r.keeper_io.fd);
	fd_close(&r.fetch_io.fd);
	fd_close(&keeper);
	fd_close(&fetcher);
}

/* How many fetches were asked for. */
static unsigned fetches(uint64_t *id)
{
	struct err e = {0};
	unsigned n = 0;

	while (ipc_recv(fetcher, &m, &e) == 1) {
		must(m.type == FETCH_GO);
		*id = m.id;
		n++;
	}
	return n;
}

/* The keys of one, of both, or none. */
static void give(uint64_t id, struct keys *a, const char *kid_a, struct keys *b)
{
	AUTO_BUF set = {.max = 1 << 16};
	AUTO_FD fd = -1;
	char kid[64];

	snprintf(kid, sizeof(kid), ",\"kid\":\"%s\"", kid_a);
	buf_str(&set, "{\"keys\":[");
	add_ed_jwk(&set, a, kid);
	if (b) {
		buf_byte(&set, ',');
		add_ed_jwk(&set, b, ",\"kid\":\"new\"");
	}
	buf_str(&set, "]}");
	fd = fd_memfd("jwks", set.p, set.n, NULL);
	ipc_start(&m, FETCH_GOT, id);
	ipc_put_fd(&m, fd);
	must(!ipc_send(fetcher, &m, NULL));
	on_fetch_ready(&r.fetch_io, EPOLLIN);
}

static void fail(uint64_t id)
{
	ipc_start(&m, FETCH_FAILED, id);
	ipc_put_sv(&m, SV("no answer"));
	must(!ipc_send(fetcher, &m, NULL));
	on_fetch_ready(&r.fetch_io, EPOLLIN);
}

/* The next verdict; ERR_CODE_COUNT: there is none yet. */
static enum err_code verdict(void)
{
	struct err e = {0};
	struct sup_check c;

	if (ipc_recv(keeper, &m, &e) != 1)
		return ERR_CODE_COUNT;
	must(m.type == SUP_CHECKED && !sup_get_check(&m, &c));
	return c.code;
}

static enum err_code ask(struct keys *by, const char *kid)
{
	AUTO_BUF t = {.max = 1 << 16};
	char head[128], payload[256];

	snprintf(head, sizeof(head), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid);
	snprintf(payload, sizeof(payload),
		 "{\"iss\":\"https://id.example\",\"aud\":\"me\",\"sub\":\"a\","
		 "\"exp\":%llu}",
		 (unsigned long long)(loop_wall_us() / 1000000 + 600));
	make_token(&t, by, BY_ED, head, payload);
	ipc_start(&m, SUP_CHECK_TOKEN, ++asked);
	ipc_put_sv(&m, buf_view(&t));
	must(!ipc_send(keeper, &m, NULL));
	on_keeper_ready(&r.keeper_io, EPOLLIN);
	return verdict();
}

static void strangers(void)
{
	uint64_t id = 0;
	unsigned refused = 0, n = 0;

	role_up();
	must(fetches(&id) == 1);
	give(id, &old_keys, "old", NULL);
	ok(ask(&old_keys, "old") == ERR_NONE, "the control is good");
	for (unsigned i = 0; i < 300; i++) {
		char kid[32];

		now_us += 199999; /* five a second, for not quite a minute */
		snprintf(kid, sizeof(kid), "made-up-%u", i);
		refused += ask(&new_keys, kid) == ERR_UNAUTHENTICATED;
	}
	ok(refused == 300 && !fetches(&id),
	   "300 made-up key ids are refused, and nothing is fetched for them");
	now_us += SECOND;
	ok(ask(&new_keys, "made-up") == ERR_CODE_COUNT && fetches(&id) == 1,
	   "a minute after the last fetch there is one, and the token waits");
	for (unsigned i = 0; i < 100; i++)
		n += ask(&new_keys, "made-up") == ERR_UNAVAILABLE;
	ok(n == 97 && !fetches(&id), "few wait, the others are told to come again (%u)",
	   n);
	ok(ask(&old_keys, "old") == ERR_NONE,
	   "whose key is known is answered meanwhile");
	ok(ask(&new_keys, "old") == ERR_UNAUTHENTICATED,
	   "so is a forgery with a known key's id");
	now_us += 61 * SECOND;
	ok(ask(&new_keys, "made-up") == ERR_UNAVAILABLE && !fetches(&id),
	   "however long a fetch takes, there is one");
	fail(id);
	for (n = 0; verdict() == ERR_UNAUTHENTICATED;)
		n++;
	ok(n == 4, "the fetch fails: those that waited are refused (%u)", n);
	ok(ask(&old_keys, "old") == ERR_NONE, "and the old keys count on");
	role_down();
}

static void rotation(void)
{
	uint64_t id = 0;

	role_up();
	must(fetches(&id) == 1);
	give(id, &old_keys, "old", NULL);
	now_us += 61 * SECOND;
	ok(ask(&new_keys, "new") == ERR_CODE_COUNT && fetches(&id) == 1,
	   "the issuer has a new key: fetched when first seen");
	give(id, &old_keys, "old", &new_keys);
	ok(verdict() == ERR_NONE, "who brought it is let in");
	ok(ask(&old_keys, "old") == ERR_NONE && ask(&new_keys, "new") == ERR_NONE,
	   "both keys count");
	on_refresh_due(&r.refresh);
	must(fetches(&id) == 1);
	give(id, &new_keys, "new", NULL);
	ok(ask(&new_keys, "new") == ERR_NONE,
	   "the old key is withdrawn: the new counts");
	ok(ask(&old_keys, "old") == ERR_UNAUTHENTICATED, "the old does not");
	on_refresh_due(&r.refresh);
	must(fetches(&id) == 1);
	ok(r.fetching && (on_refresh_due(&r.refresh), !fetches(&id)),
	   "one fetch at a time");
	role_down();
}

/* Fail closed, but not for ever. */
static void issuer_down(void)
{
	uint64_t id = 0;

	role_up();
	must(fetches(&id) == 1);
	give(id, &old_keys, "old", NULL);
	for (unsigned i = 0; i < 23; i++) {
		now_us += HOUR;
		on_refresh_due(&r.refresh);
		must(fetches(&id) == 1);
		fail(id);
	}
	now_us += HOUR - 1;
	ok(ask(&old_keys, "old") == ERR_NONE, "for 24 hours old keys count");
	now_us++;
	ok(ask(&old_keys, "old") == ERR_CODE_COUNT && fetches(&id) == 1 && !r.keys,
	   "then no more: the token waits for a fetch");
	fail(id);
	ok(verdict() == ERR_UNAVAILABLE, "which fails: unavailable, not let in");
	ok(ask(&old_keys, "old") == ERR_UNAVAILABLE && !fetches(&id),
	   "and so at once for the next minute");
	ok(r.refresh.armed, "it is tried again by itself");
	on_refresh_due(&r.refresh);
	must(fetches(&id) == 1);
	give(id, &old_keys, "old", NULL);
	ok(ask(&old_keys, "old") == ERR_NONE, "until the issuer is back");
	role_down();
}

/* Without a restart: as above, but it was down when the server started. */
static void down_from_the_start(void)
{
	uint64_t id = 0;

	role_up();
	must(fetches(&id) == 1);
	fail(id);
	now_us += 59 * SECOND;
	ok(ask(&old_keys, "old") == ERR_UNAVAILABLE && !fetches(&id),
	   "a fetch that failed is not repeated at once for whoever asks");
	ok(ask(&old_keys, "old") == ERR_UNAVAILABLE && r.refresh.armed,
	   "no keys yet: unavailable, and tried again");
	now_us += 60 * SECOND;
	on_refresh_due(&r.refresh);
	must(fetches(&id) == 1);
	give(id, &old_keys, "old", NULL);
	ok(ask(&old_keys, "old") == ERR_NONE, "then they are there");
	role_down();
}

int main(void)
{
	alarm(60);
	if (!getenv("TEST_VERBOSE"))
		must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2) == 2);
	keys_init(&old_keys, 0, 0);
	keys_init(&new_keys, 0, 0);
	strangers();
	rotation();
	issuer_down();
	down_from_the_start();
	keys_finish(&old_keys);
	keys_finish(&new_keys);
	return tap_done();
}
