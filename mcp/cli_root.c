/* cli_root.c: `fumehood key root init|rotate|show`.
 *
 * Theory of operation. The file and the database change together as sandbox/workspace/root.h says: the new key
 * is made beside the old one, the database is changed, the file gets its place; each command first settles what
 * an earlier one left. A lock on the state folder keeps a second command out. What needs a person's time
 * (passphrases) comes before the database is touched. */
#include "mcp/cli_root.h"

#include "mcp/cli_key.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/workspace/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#define HEX_SIZE (2 * WS_KEY_NAME_BYTES + 1)
#define TIME_SIZE 32

struct passphrase {
	char text[WS_MAX_PASSPHRASE + 2];
	size_t n;
};

struct deed {
	const struct options *o;
	struct ws_root root; /* the file's */
	struct ws_root next; /* of rotate */
	struct led_root now; /* the database's */
	struct passphrase old, new, again;
	int lock;
};

static const char *hex_of(const unsigned char name[WS_KEY_NAME_BYTES],
			  char dst[HEX_SIZE])
{
	return sodium_bin2hex(dst, HEX_SIZE, name, WS_KEY_NAME_BYTES);
}

/* --- passphrases ------------------------------------------------------------------- */

/* Up to the end of a line, byte by byte: what is behind it is not ours yet. */
static int read_line(int fd, struct passphrase *p, struct err *e)
{
	p->n = 0;
	for (;;) {
		const ssize_t k = read(fd, p->text + p->n, 1);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, "the passphrase could not be read");
		if (!k || p->text[p->n] == '\n')
			break;
		if (++p->n > WS_MAX_PASSPHRASE) {
			err_set(e, ERR_INVALID, "the passphrase is too long");
			return err_fix(e, "take one of %d to %d bytes",
				       WS_MIN_PASSPHRASE, WS_MAX_PASSPHRASE);
		}
	}
	if (p->n)
		return 0;
	err_set(e, ERR_INVALID, "no passphrase was given");
	return err_fix(e, "type it, or let it be a line of standard input");
}

/* Signals wait until the terminal shows what is typed again. */
static int ask(int tty, const char *what, struct passphrase *p, struct err *e)
{
	struct termios was, quiet;
	sigset_t all, before;
	int rc;

	if (tcgetattr(tty, &was))
		return err_sys(e, "the terminal");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	/* what was typed before it is asked for is dropped; not what is typed as soon as it is */
	rc = tcsetattr(tty, TCSAFLUSH, &quiet) ? err_sys(e, "the terminal") : 0;
	dprintf(tty, "%s: ", what);
	if (!rc)
		rc = read_line(tty, p, e);
	tcsetattr(tty, TCSAFLUSH, &was);
	dprintf(tty, "\n");
	sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static int get_old(struct deed *d, struct err *e)
{
	AUTO_FD tty = isatty(STDIN_FILENO)
			      ? open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
			      : -1;

	return tty < 0 ? read_line(STDIN_FILENO, &d->old, e)
		       : ask(tty, "Passphrase of the root key", &d->old, e);
}

static int get_new(struct deed *d, struct err *e)
{
	AUTO_FD tty = isatty(STDIN_FILENO)
			      ? open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
			      : -1;

	if (tty < 0)
		return read_line(STDIN_FILENO, &d->new, e);
	if (ask(tty, "New passphrase", &d->new, e) ||
	    ask(tty, "The same again", &d->again, e))
		return -1;
	if (d->new.n == d->again.n && !memcmp(d->new.text, d->again.text, d->new.n))
		return 0;
	err_set(e, ERR_INVALID, "the two are not the same");
	return err_fix(e, "do it again");
}

static struct sv view(const struct passphrase *p)
{
	return (struct sv){p->text, p->n};
}

/* --- what is said ------------------------------------------------------------------ */

static const char *since(const struct led_root *r, char dst[TIME_SIZE])
{
	const time_t s = (time_t)(r->since_us / 1000000);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || !strftime(dst, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
		dst[0] = '\0';
	return dst;
}

static void put_text(const struct deed *d, const char *title)
{
	char hex[HEX_SIZE], when[TIME_SIZE];

	printf("%s %s\n  file    %s%s\n", title, hex_of(d->now.name, hex), d->root.path,
	       d->root.credential ? " (systemd credential)" : "");
	if (d->root.passphrase)
		printf("  made    of a passphrase: Argon2id, %llu passes, %llu MiB\n",
		       (unsigned long long)d->root.ops,
		       (unsigned long long)d->root.kib >> 10);
	printf("  since   %s\n  wraps   %llu tenant keys, and they %llu workspace keys\n",
	       since(&d->now, when), (unsigned long long)d->now.tenants,
	       (unsigned long long)d->now.workspaces);
}

static int put_json(const struct deed *d)
{
	AUTO_BUF b = {.max = 16384};
	char hex[HEX_SIZE], when[TIME_SIZE];
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "name", sv_of(hex_of(d->now.name, hex)));
	jw_kstr(&w, "file", sv_of(d->root.path));
	jw_kstr(&w, "kind", d->root.passphrase ? SV("passphrase") : SV("key"));
	jw_kbool(&w, "credential", d->root.credential);
	jw_kstr(&w, "since", sv_of(since(&d->now, when)));
	jw_kint(&w, "tenants", (int64_t)d->now.tenants);
	jw_kint(&w, "workspaces", (int64_t)d->now.workspaces);
	jw_obj_end(&w);
	buf_byte(&b, '\n');
	return b.failed || fwrite(b.p, 1, b.n, stdout) != b.n;
}

static int put(const struct deed *d, const char *title, struct err *e)
{
	int bad = 0;

	if (d->o->json)
		bad = put_json(d);
	else
		put_text(d, title);
	return bad || fflush(stdout) ? err_sys(e, "standard output") : 0;
}

/* --- the deeds --------------------------------------------------------------------- */

/* One command at a time, in a folder that is made if it is missing. */
static int begin(struct deed *d, struct err *e)
{
	d->lock = led_state_dir(d->o->state_dir, e);
	if (d->lock < 0)
		return -1;
	if (!flock(d->lock, LOCK_EX | LOCK_NB))
		return 0;
	err_set(e, ERR_BUSY, "another `fumehood key root` works on %s",
		d->o->state_dir);
	return err_fix(e, "wait until it is done");
}

/* The file is the one the database names. */
static int is_in_force(const struct deed *d, struct err *e)
{
	char has[HEX_SIZE], wants[HEX_SIZE];

	if (!memcmp(d->root.name, d->now.name, sizeof(d->now.name)))
		return 0;
	err_set(e, ERR_DENIED, "%.120s is root key %s, but the state folder's is %s",
		d->root.path, hex_of(d->root.name, has), hex_of(d->now.name, wants));
	return err_fix(
		e,
		"name the right file with --root-key: what was kept opens with that one alone");
}

static int make_first(struct deed *d, struct err *e)
{
	if (d->o->passphrase && get_new(d, e))
		return -1;
	if (ws_root_make(&d->root, view(&d->new), e))
		return -1;
	return ws_root_keep(&d->root, e);
}

/* A file that is there is taken: it was made by a command that was cut off, or brought along. */
static int init(struct deed *d, struct err *e)
{
	struct err none = {0};
	int rc;

	if (begin(d, e))
		return -1;
	if (!led_root_get(d->o->state_dir, &d->now, &none)) {
		err_set(e, ERR_INVALID, "the state folder %s has a root key already",
			d->o->state_dir);
		return err_fix(
			e,
			"`fumehood key root show` says which, `key root rotate` changes it");
	}
	if (none.code != ERR_NOT_FOUND) {
		*e = none;
		return -1;
	}
	err_clear(&none);
	if (ws_root_settle(&d->root, NULL, e))
		return -1;
	rc = ws_root_read(&d->root, &none);
	if (rc && none.code != ERR_NOT_FOUND)
		*e = none;
	else if (rc)
		rc = make_first(d, e);
	else
		dprintf(STDERR_FILENO,
			"%s was there and is used. No other state folder may use it.\n",
			d->root.path);
	if (rc || led_root_init(d->o->state_dir, d->root.name, e) ||
	    led_root_get(d->o->state_dir, &d->now, e) || put(d, "made root key", e))
		return -1;
	if (!d->o->json)
		dprintf(STDERR_FILENO,
			d->root.passphrase
				? "Without its passphrase nothing that is kept can be opened again.\n"
				: "Keep a copy where no backup of the state folder is: without it "
				  "nothing that is kept can be opened again.\n");
	return 0;
}

/* The root key in force, after what was cut off is settled. The first question is for a folder that is not there:
 * nothing is made for the sake of looking. */
static int open_root(struct deed *d, struct err *e)
{
	if (led_root_get(d->o->state_dir, &d->now, e) || begin(d, e) ||
	    led_root_get(d->o->state_dir, &d->now, e) ||
	    ws_root_settle(&d->root, d->now.name, e) || ws_root_read(&d->root, e))
		return -1;
	return is_in_force(d, e);
}

static int show(struct deed *d, struct err *e)
{
	return open_root(d, e) || put(d, "root key", e) ? -1 : 0;
}

static int rewrap(void *arg, const struct led_wrapped *k, unsigned char *ret,
		  struct err *e)
{
	const struct deed *d = arg;
	const struct ws_scope s = {.tenant = k->tenant, .epoch = k->epoch};
	struct ws_key *key = ws_key_unwrap(d->root.key, &s, k->blob, e);

	if (!key)
		return -1;
	ws_key_wrap(d->next.key, &s, key, ret);
	ws_key_free(key);
	return 0;
}

/* The database, then the file. What of it an error has left is told apart by the database. */
static int change(struct deed *d, struct err *e)
{
	struct led_rotation r = {.rewrap = rewrap, .arg = d};
	uint64_t n;
	int rc;

	memcpy(r.old, d->now.name, sizeof(r.old));
	memcpy(r.new, d->next.name, sizeof(r.new));
	rc = led_root_rotate(d->o->state_dir, &r, &n, e);
	if (led_root_get(d->o->state_dir, &d->now, e) ||
	    ws_root_settle(&d->next, d->now.name, e))
		return -1;
	return rc;
}

static int rotate(struct deed *d, struct err *e)
{
	if (open_root(d, e))
		return -1;
	if (!d->root.key &&
	    (get_old(d, e) || ws_root_unlock(&d->root, view(&d->old), e)))
		return -1;
	/* one of a passphrase stays so: a key in a file is less */
	if ((d->root.passphrase || d->o->passphrase) && get_new(d, e))
		return -1;
	d->next = d->root;
	d->next.key = NULL;
	d->next.ops = WS_ARGON_OPS;
	d->next.kib = WS_ARGON_KIB;
	if (ws_root_make(&d->next, view(&d->new), e) || change(d, e))
		return -1;
	ws_root_finish(&d->root);
	d->root = d->next;
	d->next.key = NULL;
	return put(d, "new root key", e);
}

int cli_root(const struct options *o)
{
	static const struct {
		const char *name;
		int (*run)(struct deed *d, struct err *e);
	} deeds[] = {{"init", init}, {"rotate", rotate}, {"show", show}};
	struct deed d = {.o = o, .lock = -1};
	struct err e = {0};
	int rc = -1;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (sodium_init() < 0)
		err_set(&e, ERR_INTERNAL, "libsodium does not start");
	else if (!ws_root_find(&d.root, o->root_key, getenv("CREDENTIALS_DIRECTORY"),
			       o->state_dir, &e))
		for (unsigned i = 0; i < ARRAY_LEN(deeds); i++)
			if (sv_eq(sv_of(o->args[1]), sv_of(deeds[i].name)))
				rc = deeds[i].run(&d, &e);
	ws_root_finish(&d.root);
	ws_root_finish(&d.next);
	fd_close(&d.lock);
	sodium_memzero(&d, sizeof(d));
	if (rc && !e.code) {
		err_set(&e, ERR_INVALID, "that is no use of `fumehood key root`");
		err_fix(&e,
			"fumehood key root init, key root rotate, or key root show");
		return cli_key_complain(o, &e, 2);
	}
	return rc ? cli_key_complain(o, &e, 1) : 0;
}
