/* cli_image.c: `fumehood image create|list|show|remove`: packages for the programs that run. */
#include "mcp/cli_image.h"

#include "mcp/image.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <signal.h>
#include <sodium.h>
#include <unistd.h>

static int complain(const struct err *e, int code)
{
	dprintf(STDERR_FILENO, "fumehood: %s\n  %s\n", e->cause, err_remediation(e));
	return code;
}

/* A wrong name or package is a wrong command line. */
static int fail(const struct err *e)
{
	return complain(e, e->code == ERR_INVALID ? 2 : 1);
}

static int put_line(struct buf *b)
{
	buf_byte(b, '\n');
	return b->failed || fwrite(b->p, 1, b->n, stdout) != b->n || fflush(stdout) ? 1
										    : 0;
}

/* --- what is known of one ------------------------------------------------------------------------------ */

enum state { NOT_LOOKED, INTACT, ALTERED, BROKEN, STATES };
static const char *const state_names[STATES] = {
	[INTACT] = "intact", [ALTERED] = "altered", [BROKEN] = "incomplete"};

struct view {
	const char *name;
	struct cJSON *manifest; /* owned; NULL: it has none that is good */
	enum state state;
	struct err why; /* of what is not good */
};

/* Shallow: owners, modes and sums are left to whoever opens it. */
static void look(int store, const char *name, bool deep, struct view *ret)
{
	AUTO_FD dir = image_open_in(store, name, false, &ret->why);

	ret->name = name;
	ret->manifest = dir < 0 ? NULL : image_manifest(dir, &ret->why);
	if (!ret->manifest)
		ret->state = BROKEN;
	else if (deep)
		ret->state = image_verify(dir, &ret->why) ? ALTERED : INTACT;
}

static void put_json(const struct view *v, struct jw *w)
{
	char *text;

	jw_obj(w);
	jw_kstr(w, "name", sv_of(v->name));
	if (v->state != NOT_LOOKED)
		jw_kstr(w, "state", sv_of(state_names[v->state]));
	if (v->why.code)
		jw_kstr(w, "cause", sv_of(v->why.cause));
	for (const struct cJSON *m = js_first(v->manifest); m; m = js_next(m)) {
		char key[64];

		if (sv_eq(js_name(m), SV("name")) ||
		    sv_copy(js_name(m), key, sizeof(key)))
			continue;
		text = cJSON_PrintUnformatted(m);
		if (text)
			jw_kraw(w, key, sv_of(text));
		cJSON_free(text);
	}
	jw_obj_end(w);
}

static int print_json(const struct view *v)
{
	AUTO_BUF b = {.max = 2 * IMAGE_MAX_MANIFEST_BYTES};
	struct jw w;

	jw_init(&w, &b);
	put_json(v, &w);
	return put_line(&b);
}

static unsigned count_packages(const struct view *v)
{
	unsigned n = 0;

	for (const struct cJSON *p = js_first(js_get(v->manifest, "packages")); p;
	     p = js_next(p))
		n++;
	return n;
}

static void put_size(struct buf *b, const struct view *v)
{
	const unsigned n = count_packages(v);
	int64_t bytes = 0, entries = 0;

	js_int(js_get(v->manifest, "bytes"), &bytes);
	js_int(js_get(v->manifest, "entries"), &entries);
	buf_fmt(b, "%u package%s, %lld files and folders, %.1f MiB", n,
		n == 1 ? "" : "s", (long long)entries, (double)bytes / (1 << 20));
}

/* As a terminal may show it: what it is made of comes from strangers. */
static void put_plain(struct buf *b, struct sv s)
{
	if (image_is_plain(s))
		buf_sv(b, s);
	else
		buf_str(b, "?");
}

static void put_packages(struct buf *b, const struct view *v)
{
	for (const struct cJSON *p = js_first(js_get(v->manifest, "packages")); p;
	     p = js_next(p)) {
		buf_str(b, "  ");
		put_plain(b, js_str(js_get(p, "language")));
		buf_byte(b, ' ');
		put_plain(b, js_str(js_get(p, "name")));
		buf_byte(b, ' ');
		put_plain(b, js_str(js_get(p, "version")));
		buf_byte(b, '\n');
	}
}

static int print_view(const struct view *v)
{
	AUTO_BUF b = {.max = 2 * IMAGE_MAX_MANIFEST_BYTES};

	buf_fmt(&b, "%s: %s\n", v->name, state_names[v->state]);
	if (v->manifest) {
		buf_str(&b, "  made ");
		put_plain(&b, js_str(js_get(v->manifest, "created")));
		buf_str(&b, "\n  SHA-256 ");
		put_plain(&b, js_str(js_get(v->manifest, "sha256")));
		buf_str(&b, "\n  ");
		put_size(&b, v);
		buf_byte(&b, '\n');
		put_packages(&b, v);
	}
	b.n -= b.n > 0; /* put_line ends the last one */
	return put_line(&b);
}

/* --- the deeds -------------------------------------------------------------------------------------------- */

static int show(const struct options *o)
{
	struct view v = {.state = NOT_LOOKED};
	AUTO_FD store = -1;
	int code;

	if (image_name_check(sv_of(o->args[1]), &v.why))
		return complain(&v.why, 2);
	store = image_store_open(o, false, &v.why);
	if (store < 0)
		return complain(&v.why, 1);
	look(store, o->args[1], true, &v);
	if (v.state == BROKEN && v.why.code == ERR_NOT_FOUND && !v.manifest)
		return complain(&v.why, 1);
	code = o->json ? print_json(&v) : print_view(&v);
	if (!o->json && v.state != INTACT)
		complain(&v.why, 1);
	cJSON_Delete(v.manifest);
	return v.state == INTACT ? code : 1;
}

static int list_one(const struct options *o, int store, const char *name)
{
	struct view v = {.state = NOT_LOOKED};
	AUTO_BUF b = {.max = 4096};
	int bad;

	look(store, name, false, &v);
	if (o->json) {
		bad = print_json(&v);
	} else {
		buf_fmt(&b, "%s: ", name);
		if (v.manifest)
			put_size(&b, &v);
		else
			buf_str(&b, v.why.cause);
		bad = put_line(&b);
	}
	cJSON_Delete(v.manifest);
	return bad;
}

static int is_image(const struct dirent *row)
{
	return !image_name_check(sv_of(row->d_name), NULL);
}

static int list(const struct options *o)
{
	struct dirent **rows = NULL;
	struct err e = {0};
	AUTO_FD store = image_store_open(o, false, &e);
	int n, bad = 0;

	if (store < 0 && e.code != ERR_NOT_FOUND)
		return complain(&e, 1);
	n = store < 0 ? 0 : scandirat(store, ".", &rows, is_image, alphasort);
	if (!n && !o->json)
		dprintf(STDERR_FILENO, "There is no image. `fumehood image create NAME "
				       "--python 'pandas'` makes one.\n");
	for (int i = 0; i < n; i++) {
		bad |= list_one(o, store, rows[i]->d_name);
		mem_free(rows[i]);
	}
	mem_free(rows);
	return bad || n < 0 ? 1 : 0;
}

static int create(const struct options *o)
{
	struct view v = {.state = NOT_LOOKED};
	AUTO_FD store = -1;
	int code;

	if (image_name_check(sv_of(o->args[1]), &v.why))
		return complain(&v.why, 2);
	store = image_store_open(o, true, &v.why);
	if (store < 0 || image_make(o, store, o->args[1], &v.why))
		return fail(&v.why);
	look(store, o->args[1], false, &v);
	v.state = INTACT; /* its hash was made just now */
	code = o->json ? print_json(&v) : print_view(&v);
	cJSON_Delete(v.manifest);
	if (!o->json)
		dprintf(STDERR_FILENO,
			"to use it: fumehood stdio --image %s%s%s    (or serve, or run)\n",
			o->args[1], *o->state ? " --state " : "", o->state);
	return code;
}

static int remove_image(const struct options *o)
{
	AUTO_BUF b = {.max = 4096};
	struct err e = {0};
	AUTO_FD store = -1;
	bool kept = false;
	struct jw w;

	if (image_name_check(sv_of(o->args[1]), &e))
		return complain(&e, 2);
	store = image_store_open(o, true, &e);
	if (store < 0 || image_retire(store, o->args[1], &kept, &e))
		return complain(&e, 1);
	if (o->json) {
		jw_init(&w, &b);
		jw_obj(&w);
		jw_kstr(&w, "name", sv_of(o->args[1]));
		jw_kbool(&w, "removed", true);
		jw_kbool(&w, "in_use", kept);
		jw_obj_end(&w);
	} else {
		buf_fmt(&b, "removed %s%s", o->args[1],
			kept ? "; servers that were started with it keep it until they end"
			     : "");
	}
	return put_line(&b);
}

int cli_image(struct options *o)
{
	static const struct {
		const char *name;
		unsigned nargs;
		int (*run)(const struct options *o);
	} deeds[] = {{"create", 2, create},
		     {"list", 1, list},
		     {"show", 2, show},
		     {"remove", 2, remove_image}};
	struct err e = {0};

	/* whoever reads what is printed may have gone: that is seen when it is written */
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0)
		return 1;
	for (unsigned i = 0; i < ARRAY_LEN(deeds); i++)
		if (o->nargs == deeds[i].nargs &&
		    sv_eq(sv_of(o->args[0]), sv_of(deeds[i].name)))
			return deeds[i].run(o);
	err_set(&e, ERR_INVALID, "that is no use of `fumehood image`");
	err_fix(&e,
		"fumehood image create NAME --python 'pandas' --javascript 'lodash', image "
		"list, image show NAME, or image remove NAME");
	return complain(&e, 2);
}
