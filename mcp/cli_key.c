/* cli_key.c: `fumehood key create|list|revoke`: API keys for serve; `key root` is cli_root.c's. */
#include "mcp/cli_key.h"

#include "mcp/cli_root.h"
#include "sandbox/base/json.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"

#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_US ((uint64_t)86400 * 1000000)
#define TIME_SIZE 32

static int complain(const struct err *e, int code)
{
	dprintf(STDERR_FILENO, "fumehood: %s\n  %s\n", e->cause, err_remediation(e));
	return code;
}

/* root looks at the folder of a service: what it makes there the service could not open. */
int cli_key_complain(const struct options *o, struct err *e, int code)
{
	const struct passwd *owner;
	struct stat st;

	if (e->code != ERR_DENIED || geteuid() || stat(o->state_dir, &st) || !st.st_uid)
		return complain(e, code);
	owner = getpwuid(st.st_uid);
	if (owner)
		err_fix(e,
			"it is not root's: runuser -u %.64s -- fumehood --state %s key ...",
			owner->pw_name, o->state_dir);
	else
		err_fix(e, "it is not root's: run this as user id %u",
			(unsigned)st.st_uid);
	return complain(e, code);
}

/* "2026-07-28T12:34:56Z" */
static const char *time_text(uint64_t us, char dst[TIME_SIZE])
{
	const time_t s = (time_t)(us / 1000000);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || !strftime(dst, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
		dst[0] = '\0';
	return dst;
}

/* "2026-07-28", or "never" for 0. */
static const char *day_text(uint64_t us, char dst[TIME_SIZE])
{
	if (us)
		time_text(us, dst);
	else
		snprintf(dst, TIME_SIZE, "never");
	dst[10] = '\0';
	return dst;
}

/* --- JSON ------------------------------------------------------------------------------------------ */

static void ktime(struct jw *w, const char *name, uint64_t us)
{
	char text[TIME_SIZE];

	jw_key(w, name);
	if (us)
		jw_str(w, sv_of(time_text(us, text)));
	else
		jw_null(w);
}

static int put_line(struct buf *b)
{
	buf_byte(b, '\n');
	return b->failed || fwrite(b->p, 1, b->n, stdout) != b->n ? -1 : 0;
}

/* "fh_abcd1234": what of a key may be shown. */
static const char *shown_id(const struct led_key *k, char dst[16])
{
	snprintf(dst, 16, "fh_%s", k->id);
	return dst;
}

static const char *state_of(const struct led_key *k)
{
	if (k->revoked_us)
		return "revoked";
	return k->expires_us && k->expires_us <= loop_wall_us() ? "expired"
								: "in force";
}

static int put_json(const struct led_key *k)
{
	AUTO_BUF b = {.max = 4096};
	char id[16];
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "name", sv_of(k->name));
	jw_kstr(&w, "id", sv_of(shown_id(k, id)));
	jw_kstr(&w, "state", sv_of(state_of(k)));
	ktime(&w, "created", k->created_us);
	ktime(&w, "expires", k->expires_us);
	ktime(&w, "last_used", k->used_us);
	ktime(&w, "revoked", k->revoked_us);
	jw_obj_end(&w);
	return put_line(&b);
}

/* --- create ---------------------------------------------------------------------------------------- */

static int put_created(const struct options *o, struct sv name, const char *text,
		       uint64_t expires_us)
{
	AUTO_BUF b = {.max = 4096};
	char day[TIME_SIZE] = "never";
	struct jw w;
	int bad;

	if (o->json) {
		jw_init(&w, &b);
		jw_obj(&w);
		jw_kstr(&w, "name", name);
		jw_kstr(&w, "id", (struct sv){text, 11});
		jw_kstr(&w, "key", sv_of(text));
		ktime(&w, "expires", expires_us);
		jw_obj_end(&w);
	} else {
		buf_str(&b, text);
	}
	bad = put_line(&b) || fflush(stdout);
	sodium_memzero(b.p, b.n);
	if (bad || o->json)
		return bad ? -1 : 0;
	if (expires_us)
		time_text(expires_us, day);
	dprintf(STDERR_FILENO,
		"This is the key \"" SV_FMT
		"\". It is kept nowhere: store it now, it cannot be "
		"shown again.\n"
		"  to use it   Authorization: Bearer %.11s...\n"
		"  opens       servers with --state %s\n"
		"  expires     %s\n"
		"  to end it   fumehood key revoke " SV_FMT "%s%s\n",
		SV_ARG(name), text, o->state_dir, day, SV_ARG(name),
		*o->state ? " --state " : "", o->state);
	return 0;
}

static int create(const struct options *o)
{
	const struct sv name = sv_of(o->nargs > 1 ? o->args[1] : "");
	const uint64_t expires_us =
		o->expires_n ? loop_wall_us() + (uint64_t)o->expires_n * DAY_US : 0;
	char text[LED_KEY_TEXT_SIZE];
	struct err e = {0};
	int bad = led_key_create(o->state_dir, name, expires_us, text, &e);

	if (bad)
		return cli_key_complain(o, &e, 1);
	bad = put_created(o, name, text, expires_us);
	sodium_memzero(text, sizeof(text));
	if (!bad)
		return 0;
	/* nobody has it, so nobody should */
	led_key_revoke(o->state_dir, name, &(struct led_key){0}, &e);
	err_clear(&e);
	err_set(&e, ERR_INTERNAL, "the key could not be written to standard output");
	err_fix(&e, "it was revoked; make another");
	return complain(&e, 1);
}

/* --- list ------------------------------------------------------------------------------------------ */

struct list {
	bool json, print;
	int width; /* of the names */
	unsigned n;
	int bad;
};

static void on_key(void *arg, const struct led_key *k)
{
	struct list *l = arg;
	char id[16], created[TIME_SIZE], expires[TIME_SIZE], used[TIME_SIZE];
	const int width = (int)strlen(k->name);

	l->n++;
	if (l->json) {
		l->bad |= put_json(k);
		return;
	}
	if (width > l->width)
		l->width = width;
	if (!l->print)
		return;
	printf("%-*s  %-11s  %-10s  %-10s  %-10s  %s\n", l->width, k->name,
	       shown_id(k, id), day_text(k->created_us, created),
	       day_text(k->expires_us, expires), day_text(k->used_us, used),
	       state_of(k));
}

/* Two walks for a table: the first measures. */
static int list(const struct options *o)
{
	struct list l = {.json = o->json, .width = 4};
	struct err e = {0};

	if (led_key_each(o->state_dir, on_key, &l, &e))
		return complain(&e, 1);
	if (!l.json && l.n) {
		printf("%-*s  %-11s  %-10s  %-10s  %-10s  %s\n", l.width, "NAME", "KEY",
		       "CREATED", "EXPIRES", "LAST USED", "STATE");
		l.print = true;
		if (led_key_each(o->state_dir, on_key, &l, &e))
			return complain(&e, 1);
	} else if (!l.json) {
		dprintf(STDERR_FILENO,
			"There is no key. `fumehood key create NAME` makes one.\n");
	}
	return l.bad || fflush(stdout) ? 1 : 0;
}

/* --- revoke ---------------------------------------------------------------------------------------- */

static int revoke_key(const struct options *o)
{
	struct led_key k;
	struct err e = {0};

	if (led_key_revoke(o->state_dir, sv_of(o->nargs > 1 ? o->args[1] : ""), &k, &e))
		return cli_key_complain(o, &e, 1);
	if (o->json)
		return put_json(&k) || fflush(stdout) ? 1 : 0;
	printf("revoked %s (fh_%s); running servers refuse it from now on\n", k.name,
	       k.id);
	return 0;
}

int cli_key(struct options *o)
{
	static const struct {
		const char *name;
		unsigned nargs;
		int (*run)(const struct options *o);
	} deeds[] = {
		{"create", 2, create}, {"list", 1, list}, {"revoke", 2, revoke_key}};
	struct err e = {0};

	if (o->nargs == 2 && sv_eq(sv_of(o->args[0]), SV("root")))
		return cli_root(o);
	/* whoever reads what is printed may have gone: that is seen when it is written */
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < ARRAY_LEN(deeds); i++)
		if (o->nargs == deeds[i].nargs &&
		    sv_eq(sv_of(o->args[0]), sv_of(deeds[i].name)))
			return deeds[i].run(o);
	err_set(&e, ERR_INVALID, "that is no use of `fumehood key`");
	err_fix(&e,
		"fumehood key create NAME [--expires DAYS], key list, key revoke NAME, or key "
		"root init, rotate or show");
	return complain(&e, 2);
}
