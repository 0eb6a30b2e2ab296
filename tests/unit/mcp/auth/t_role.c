/* The auth role, confined as it really is: questions in, verdicts out, keys from a file or fetched. */
#include "mcp/auth/auth.h"
#include "mcp/auth/fetching.h"
#include "mcp/auth/jwt.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/ipc.h"
#include "sandbox/base/loop.h"
#include "sandbox/launch/launch.h"
#include "tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct keys k, newer;
static struct ipc_msg m;

struct role {
	pid_t pid;
	int keeper, fetch;
	bool up;
};

static void patient(int sock)
{
	const struct timeval t = {.tv_sec = 20};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

/* jwks NULL: keys are fetched, and the test is the fetch role. */
static void role_up(struct role *r, const char *jwks, const char *issuer)
{
	struct err e = {0};
	int keeper[2], fetch[2], file = -1;

	must(!fd_socketpair(keeper, &e) && !fd_socketpair(fetch, &e));
	if (jwks)
		file = fd_memfd("jwks", jwks, strlen(jwks), &e);
	fflush(stdout);
	r->pid = fork();
	must(r->pid >= 0);
	if (!r->pid) {
		if (!getenv("TEST_VERBOSE"))
			must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2) == 2);
		close(keeper[0]);
		close(fetch[0]);
		_exit(auth_main(&(struct auth_opts){
			.config = {.issuer = issuer,
				   .audience = "https://box.example/mcp",
				   .scope = "code:run",
				   .jwks = ""},
			.jwks_fd = file,
			.fetch_sock = jwks ? -1 : fetch[1],
			.keeper_sock = keeper[1],
			.uid = launch_auth_uid(0)}));
	}
	close(keeper[1]);
	close(fetch[1]);
	close(file);
	r->keeper = keeper[0];
	r->fetch = fetch[0];
	patient(r->keeper);
	patient(r->fetch);
	r->up = ipc_recv(r->keeper, &m, &e) == 1 && m.type == SUP_CHECKER_UP;
}

static int role_wait(struct role *r)
{
	int status = 0;

	fd_close(&r->keeper);
	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	fd_close(&r->fetch);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void ask(struct role *r, uint64_t id, enum sup_check_type type, struct sv bytes)
{
	struct err e = {0};

	ipc_start(&m, type, id);
	ipc_put_sv(&m, bytes);
	must(!ipc_send(r->keeper, &m, &e));
}

/* The verdict that comes next; UINT32_MAX when the role has gone. */
static enum err_code verdict(struct role *r, struct sup_check *c)
{
	struct err e = {0};

	*c = (struct sup_check){.code = ERR_CODE_COUNT};
	if (ipc_recv(r->keeper, &m, &e) == 1 && m.type == SUP_CHECKED)
		must(!sup_get_check(&m, c));
	return c->code;
}

static void jwks_of(struct buf *b, struct keys *of, const char *kid)
{
	char more[64];

	snprintf(more, sizeof(more), ",\"kid\":\"%s\"", kid);
	buf_reset(b);
	buf_str(b, "{\"keys\":[");
	add_ed_jwk(b, of, more);
	buf_str(b, "]}");
}

static void token_of(struct buf *b, struct keys *by, const char *kid, const char *scope)
{
	char head[128], payload[512];

	snprintf(head, sizeof(head), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid);
	snprintf(payload, sizeof(payload),
		 "{\"iss\":\"https://id.example\",\"aud\":\"https://box.example/mcp\","
		 "\"sub\":\"alice\",\"exp\":%llu,\"scope\":\"%s\"}",
		 (unsigned long long)(loop_wall_us() / 1000000 + 600), scope);
	make_token(b, by, BY_ED, head, payload);
}

/* The line of /proc/PID/status that begins so holds that word. */
static bool status_has(pid_t pid, const char *line, const char *word)
{
	AUTO_BUF b = {.max = 65536};
	char path[64], *at;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	must(!fd_read_file(path, &b, NULL));
	at = strstr(b.p, line);
	must(at++);
	at[strcspn(at, "\n")] = '\0';
	return strstr(at, word) != NULL;
}

static void from_file(void)
{
	AUTO_BUF set = {.max = 1 << 16}, t = {.max = 1 << 16};
	struct sup_check c;
	struct role r;
	char uid[32];

	jwks_of(&set, &k, "a");
	role_up(&r, buf_cstr(&set), "https://id.example");
	token_of(&t, &k, "a", "code:run");
	ask(&r, 1, SUP_CHECK_TOKEN, buf_view(&t));
	ok(verdict(&r, &c) == ERR_NONE && m.id == 1 &&
		   !strcmp(c.id.principal, "oauth:id.example#alice"),
	   "a good token is %s", c.id.principal);
	ok(status_has(r.pid, "\nSeccomp:", "2") &&
		   status_has(r.pid, "\nNoNewPrivs:", "1") &&
		   status_has(r.pid, "\nCapEff:", "0000000000000000"),
	   "it is confined: seccomp, no new privileges, no capability");
	snprintf(uid, sizeof(uid), "%u", geteuid() ? geteuid() : launch_auth_uid(0));
	ok(status_has(r.pid, "\nUid:", uid), "under a uid of its own, if it could (%s)",
	   uid);
	token_of(&t, &k, "a", "read");
	ask(&r, 2, SUP_CHECK_TOKEN, buf_view(&t));
	ok(verdict(&r, &c) == ERR_FORBIDDEN && m.id == 2 && !c.id.principal[0],
	   "no scope");
	token_of(&t, &newer, "a", "code:run");
	ask(&r, 3, SUP_CHECK_TOKEN, buf_view(&t));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED && c.reason[0], "a forged one: %s",
	   c.reason);
	token_of(&t, &k, "b", "code:run");
	ask(&r, 4, SUP_CHECK_TOKEN, buf_view(&t));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED, "an unknown key is refused at once");
	ask(&r, 5, SUP_CHECK_TOKEN, SV(""));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED, "an empty one");
	ask(&r, 6, SUP_CHECK_CERT, buf_view(&t));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED, "a token is no certificate");
	kill(r.pid, SIGTERM);
	kill(r.pid, SIGINT);
	ask(&r, 7, SUP_CHECK_TOKEN, SV("x"));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED, "SIGTERM and SIGINT do not end it");
	ok(role_wait(&r) == 0, "the keeper's end does");
}

static void only_certificates(void)
{
	struct sup_check c;
	struct role r;

	role_up(&r, "{\"keys\":[]}", "");
	ok(role_wait(&r) == 1 && !r.up, "a file without usable keys ends it");
	role_up(&r, "garbage", "https://id.example");
	ok(role_wait(&r) == 1 && !r.up, "so does one that is none");
	role_up(&r, NULL, "");
	ok(r.up, "it says when it is up");
	ask(&r, 1, SUP_CHECK_TOKEN, SV("a.b.c"));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED,
	   "without an issuer no token is taken");
	ok(role_wait(&r) == 0, "ends");
}

static void broken_records(void)
{
	static const uint32_t types[] = {0, SUP_CHECKED, 300, FETCH_GOT};
	AUTO_BUF set = {.max = 1 << 16};
	struct err e = {0};

	jwks_of(&set, &k, "a");
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		struct sup_check c;
		struct role r;

		role_up(&r, buf_cstr(&set), "https://id.example");
		ipc_start(&m, types[i], 1);
		ipc_put_sv(&m, SV("x"));
		must(!ipc_send(r.keeper, &m, &e));
		ok(verdict(&r, &c) == ERR_CODE_COUNT && role_wait(&r) == 1,
		   "a record of type %u ends it", types[i]);
	}
}

/* The test answers as the fetch role. */
static bool await_go(struct role *r, uint64_t *id)
{
	struct err e = {0};
	int got = ipc_recv(r->fetch, &m, &e);

	*id = m.id;
	return got == 1 && m.type == FETCH_GO && ipc_end(&m);
}

static void give_keys(struct role *r, uint64_t id, const struct buf *set)
{
	struct err e = {0};
	AUTO_FD fd = fd_memfd("jwks", set->p, set->n, &e);

	ipc_start(&m, FETCH_GOT, id);
	ipc_put_fd(&m, fd);
	must(!ipc_send(r->fetch, &m, &e));
}

static void fetched(void)
{
	AUTO_BUF set = {.max = 1 << 16}, t = {.max = 1 << 16};
	struct sup_check c;
	struct role r;
	uint64_t go = 0;
	struct err e = {0};

	role_up(&r, NULL, "https://id.example");
	ok(await_go(&r, &go), "the keys are fetched at the start");
	token_of(&t, &k, "a", "code:run");
	for (uint64_t i = 1; i <= 5; i++)
		ask(&r, i, SUP_CHECK_TOKEN, buf_view(&t));
	ok(verdict(&r, &c) == ERR_UNAVAILABLE && m.id == 5,
	   "four tokens wait for them, the fifth is told");
	jwks_of(&set, &k, "a");
	give_keys(&r, go, &set);
	for (unsigned i = 0; i < 4; i++)
		ok(verdict(&r, &c) == ERR_NONE && m.id >= 1 && m.id <= 4,
		   "with the keys they are answered");
	token_of(&t, &newer, "b", "code:run");
	ask(&r, 6, SUP_CHECK_TOKEN, buf_view(&t));
	ok(verdict(&r, &c) == ERR_UNAUTHENTICATED && m.id == 6 &&
		   recv(r.fetch, &go, 1, MSG_DONTWAIT) < 0,
	   "a key that is unknown a second later is not fetched for: once a minute");
	ok(role_wait(&r) == 0, "ends");

	role_up(&r, NULL, "https://id.example");
	must(await_go(&r, &go));
	ask(&r, 1, SUP_CHECK_TOKEN, buf_view(&t));
	ipc_start(&m, FETCH_FAILED, go);
	ipc_put_sv(&m, SV("no route\n to host"));
	must(!ipc_send(r.fetch, &m, &e));
	ok(verdict(&r, &c) == ERR_UNAVAILABLE, "no keys to be had: unavailable");
	ok(role_wait(&r) == 0, "ends");

	role_up(&r, NULL, "https://id.example");
	must(await_go(&r, &go));
	ask(&r, 1, SUP_CHECK_TOKEN, buf_view(&t));
	jwks_of(&set, &k, "a");
	set.p[0] = '[';
	give_keys(&r, go, &set);
	ok(verdict(&r, &c) == ERR_UNAVAILABLE, "nor if what comes is none");
	fd_close(&r.fetch);
	ok(verdict(&r, &c) == ERR_CODE_COUNT && role_wait(&r) == 1,
	   "the fetch role gone ends it");
}

int main(void)
{
	alarm(120);
	keys_init(&k, 0, 0);
	keys_init(&newer, 0, 0);
	from_file();
	only_certificates();
	broken_records();
	fetched();
	keys_finish(&k);
	keys_finish(&newer);
	return tap_done();
}
