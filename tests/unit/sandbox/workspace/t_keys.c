/* Keys: unreadable at rest, locked, out of core dumps and children; wrapped in one place and opened nowhere
 * else. */
#include "ws_test.h"

#include "vectors.h"

#ifdef __SANITIZE_ADDRESS__
#define LOCKED NULL /* its mlock does nothing */
#else
#define LOCKED " lo ", NULL
#endif

static const struct ws_scope tenant = {.tenant = {"key:ci", 6}, .epoch = 3};
static const struct ws_scope workspace = {
	.tenant = {"key:ci", 6}, .workspace = {"ses_0123456789abcdef", 20}, .epoch = 3};

static struct sv sv_wrapped(const unsigned char *w)
{
	return (struct sv){(const char *)w, WS_WRAPPED_BYTES};
}

/* The line of /proc/self/smaps that has the flags of the page p is in. */
static bool has_flags(const void *p, const char *const *flags)
{
	AUTO_BUF b = {.max = (size_t)4 << 20};
	const char *at, *end;
	char start[32];

	snprintf(start, sizeof(start), "%lx-",
		 (unsigned long)((uintptr_t)p & ~(uintptr_t)4095));
	must(!fd_read_file("/proc/self/smaps", &b, NULL));
	at = strstr(b.p, start);
	at = at ? strstr(at, "VmFlags:") : NULL;
	end = at ? strchr(at, '\n') : NULL;
	if (!end)
		return false;
	for (; *flags; flags++) {
		const char *has = strstr(at, *flags);

		if (!has || has > end)
			return false;
	}
	return true;
}

static void on_fault(int sig)
{
	(void)sig;
	_exit(77);
}

/* A child reads a byte: 0, or 77 where that is its end. */
static int child_reads(const unsigned char *p)
{
	const struct sigaction act = {.sa_handler = on_fault};
	int status;
	pid_t pid;

	pid = fork();
	must(pid >= 0);
	if (!pid) {
		sigaction(SIGSEGV, &act, NULL);
		sigaction(SIGBUS, &act, NULL);
		_exit(*(const volatile unsigned char *)p & 0);
	}
	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void in_memory(void)
{
	unsigned char bytes[WS_KEY_BYTES];
	struct ws_key *k, *other;
	const unsigned char *p;

	memset(bytes, 'k', sizeof(bytes));
	k = ws_key_take(bytes, NULL);
	ok(k && sodium_is_zero(bytes, sizeof(bytes)),
	   "taking a key zeroes where it was");
	p = ws_key_open(k);
	ok(p[0] == 'k' && p[31] == 'k', "it can be read while it is open");
	ok(has_flags(p, (const char *const[]){" rd ", " dd", " dc ", LOCKED}),
	   "its page is locked, out of core dumps and of children");
	ok(ws_keys_locked(), "and that it is locked was seen");
	ok(child_reads(bytes) == 0 && child_reads(p) == 77, "a child does not have it");
	must(ws_key_open(k) == p);
	ws_key_shut(k);
	ok(p[1] == 'k', "what is opened twice stays open until it is shut twice");
	ws_key_shut(k);
	ok(has_flags(p, (const char *const[]){" dd", NULL}) &&
		   !has_flags(p, (const char *const[]){" rd ", NULL}),
	   "at rest its page cannot be read");
	other = ws_key_new(NULL);
	ok(other && memcmp(ws_key_name(k), ws_key_name(other), WS_KEY_NAME_BYTES),
	   "keys have names");
	ws_key_free(k);
	ws_key_free(other);
	ws_key_free(NULL);
}

/* Both directions: what the other implementation made is opened, and the same is made here (t_seal_vectors). */
static void of_vectors(void)
{
	struct ws_key *root = key_from(0),
		      *k = ws_key_unwrap(root, &tenant, sv_wrapped(vec_wrapped_tenant),
					 NULL),
		      *w;

	ok(!memcmp(ws_key_name(root), vec_root_name, 16), "the root key's name");
	ok(k && !memcmp(ws_key_name(k), vec_tenant_name, 16),
	   "the tenant's key is unwrapped");
	ok(k && !memcmp(ws_key_open(k), (unsigned char[]){64, 65, 66}, 3),
	   "and is that key");
	ws_key_shut(k);
	w = ws_key_unwrap(k, &workspace, sv_wrapped(vec_wrapped_workspace), NULL);
	ok(w && !memcmp(ws_key_name(w), vec_workspace_name, 16),
	   "so is the workspace's");
	ws_key_free(root);
	ws_key_free(k);
	ws_key_free(w);
}

static void refused(const struct ws_key *with, const struct ws_scope *s, struct sv w,
		    const char *says)
{
	struct err e = {0};
	struct ws_key *k = ws_key_unwrap(with, s, w, &e);

	ok(!k && e.code == ERR_DENIED && strstr(e.cause, says) && e.remediation[0],
	   "refused: %s", e.cause);
	ws_key_free(k);
}

static void elsewhere(void)
{
	struct ws_key *root = key_from(0), *wrong = key_from(1);
	const struct sv w = sv_wrapped(vec_wrapped_tenant);
	struct ws_scope s = tenant;
	char big[2000];

	refused(wrong, &tenant, w, "another key than the one given");
	s.tenant = SV("key:cj");
	refused(root, &s, w, "damaged, or that of another");
	s = tenant;
	s.epoch = 4;
	refused(root, &s, w, "epoch 4");
	/* the same bytes in a row, cut elsewhere */
	s = (struct ws_scope){.tenant = SV("key:c"), .workspace = SV("i"), .epoch = 3};
	refused(root, &s, w, "workspace i");
	refused(root, &tenant, sv_wrapped(vec_wrapped_workspace), "another key");
	refused(root, &tenant, (struct sv){w.p, w.n - 1}, "is none");
	refused(root, &tenant, (struct sv){"", 0}, "is none");
	memset(big, 'x', sizeof(big));
	s.tenant = (struct sv){big, sizeof(big)};
	refused(root, &s, w, "damaged, or");
	ws_key_free(root);
	ws_key_free(wrong);
}

static void flipped(void)
{
	struct ws_key *root = key_from(0);
	unsigned char w[WS_WRAPPED_BYTES];
	unsigned opened = 0;

	for (unsigned i = 0; i < 8 * sizeof(w); i++) {
		struct ws_key *k;

		memcpy(w, vec_wrapped_tenant, sizeof(w));
		w[i / 8] = (unsigned char)(w[i / 8] ^ (1u << i % 8));
		k = ws_key_unwrap(root, &tenant, sv_wrapped(w), NULL);
		opened += k != NULL;
		ws_key_free(k);
	}
	ok(!opened, "no wrapped key opens with a bit flipped (%u did)", opened);
	ws_key_free(root);
}

/* The root is rotated: each tenant key is wrapped anew, and stays what it was. */
static void rewrapped(void)
{
	struct ws_key *old = key_from(0), *new = ws_key_new(NULL), *k, *again;
	unsigned char w[WS_WRAPPED_BYTES], second[WS_WRAPPED_BYTES];

	k = ws_key_unwrap(old, &tenant, sv_wrapped(vec_wrapped_tenant), NULL);
	ws_key_wrap(new, &tenant, k, w);
	ws_key_wrap(new, &tenant, k, second);
	ok(memcmp(w + 40, second + 40, 72), "a key wrapped twice looks different");
	ok(!memcmp(ws_wrapped_with(sv_wrapped(w)), ws_key_name(new), 16) &&
		   !memcmp(ws_wrapped_name(sv_wrapped(w)), vec_tenant_name, 16),
	   "and says which keys it is of");
	again = ws_key_unwrap(new, &tenant, sv_wrapped(w), NULL);
	ok(again && !memcmp(ws_key_name(again), ws_key_name(k), 16),
	   "the new root key opens it");
	refused(old, &tenant, sv_wrapped(w), "another key than the one given");
	ws_key_free(old);
	ws_key_free(new);
	ws_key_free(k);
	ws_key_free(again);
}

static void no_memory(void)
{
	struct err e = {0};

	mem_fail_after(1);
	ok(!ws_key_new(&e) && e.code == ERR_LIMIT, "no memory: %s", e.cause);
	mem_fail_after(0);
}

int main(void)
{
	folder_new();
	in_memory();
	of_vectors();
	elsewhere();
	flipped();
	rewrapped();
	no_memory();
	folder_end();
	return tap_done();
}
