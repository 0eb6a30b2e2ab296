/* rows.c: a row of runtimes.json -> struct pol_runtime, or what is wrong with it. */
#include "schemas/rows.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_PATH 255 /* struct pol_host keeps a path in 256 bytes */
#define MAX_WORDS                                                                      \
	((size_t)6 << 10) /* bytes of arguments and variables of one program */
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

struct place {
	struct rows *rows;
	unsigned index; /* of the row in its list */
	const char *in, *field; /* "" or "compile." */
};

__attribute__((format(printf, 2, 3))) static int wrong(const struct place *at,
						       const char *fmt, ...)
{
	struct rows *r = at->rows;
	va_list ap;
	int n = snprintf(r->why, sizeof(r->why), "runtimes[%u]%s%s%.60s ", at->index,
			 *at->field ? "." : "", at->in, at->field);

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < sizeof(r->why))
		vsnprintf(r->why + n, sizeof(r->why) - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* --- what a string may be: NULL, or what it must be ------------------------------------------- */

static const char *word(const char *s)
{
	return *s && !s[strspn(s, LOWER DIGITS "_")] ? NULL
						     : "must be made of a-z, 0-9 and _";
}

/* Also c++ and c#. */
static const char *alias(const char *s)
{
	return *s && !s[strspn(s, LOWER DIGITS "_+#.-")]
		       ? NULL
		       : "must be made of a-z, 0-9, _, +, #, . and -";
}

static const char *text(const char *s)
{
	return *s ? NULL : "must not be empty";
}

static const char *any(const char *s)
{
	(void)s;
	return NULL;
}

static bool plain_path(const char *s)
{
	return s[0] == '/' && s[1] && strlen(s) <= MAX_PATH && !strstr(s, "//") &&
	       !strstr(s, "/.") && s[strlen(s) - 1] != '/';
}

/* What else the host has is not in a sandbox. */
static const char *program(const char *s)
{
	static const char *const seen[] = {"/usr/", "/bin/", "/sbin/", "/lib/",
					   "/lib64/"};

	if (!plain_path(s))
		return "must be a plain absolute path of at most 255 bytes";
	for (unsigned i = 0; i < sizeof(seen) / sizeof(*seen); i++)
		if (!strncmp(s, seen[i], strlen(seen[i])))
			return NULL;
	return "must lie below /usr (or /bin, /sbin, /lib): a sandbox shows nothing else";
}

static const char *product(const char *s)
{
	return plain_path(s) && !strncmp(s, "/tmp/", 5)
		       ? NULL
		       : "must be a plain path below /tmp, or empty";
}

static const char *product_or_none(const char *s)
{
	return *s ? product(s) : NULL;
}

/* Not what every sandbox has of its own, which it would hide. */
static const char *config(const char *s)
{
	static const char *const own[] = {"/etc/passwd",       "/etc/group",
					  "/etc/hosts",	       "/etc/nsswitch.conf",
					  "/etc/alternatives", "/etc/ld.so.cache",
					  "/etc/os-release",   "/etc/mtab"};

	if (!plain_path(s) || strncmp(s, "/etc/", 5) != 0)
		return "must be a plain path below /etc";
	for (unsigned i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (!strncmp(s, own[i], strlen(own[i])) &&
		    (!s[strlen(own[i])] || s[strlen(own[i])] == '/'))
			return "is something every sandbox has of its own";
	return NULL;
}

static const char *file(const char *s)
{
	return *s && *s != '.' && *s != '-' && !strchr(s, '/') && strlen(s) <= 60
		       ? NULL
		       : "must be a plain file name of at most 60 bytes";
}

/* STEM and an extension, or nothing. As a name in the room of a session: driver.c's rows, and the guest, know no other
 * form. */
static bool is_of(const char *stem, const char *s)
{
	const size_t n = strlen(stem);

	return !*s || (!strncmp(s, stem, n) && s[n] && strlen(s) <= 24 &&
		       !s[n + strspn(s + n, LOWER DIGITS)]);
}

static const char *driver(const char *s)
{
	return is_of("driver.", s) ? NULL : "must be driver.EXTENSION, or empty";
}

static const char *zygote(const char *s)
{
	return is_of("zygote.", s) ? NULL : "must be zygote.EXTENSION, or empty";
}

static const char *ahead(const char *s)
{
	return is_of("ahead.", s) ? NULL : "must be ahead.EXTENSION, or empty";
}

/* They go to the driver in one line, with blanks between. */
static const char *module(const char *s)
{
	return *s && !s[strspn(s, LOWER UPPER DIGITS "_./:@-")]
		       ? NULL
		       : "must be made of letters, digits, _, ., /, :, @ and -";
}

static const char *variable(const char *s)
{
	const size_t n = strspn(s, UPPER DIGITS "_");

	return n && s[n] == '=' ? NULL : "must be NAME=value";
}

/* --- the fields ------------------------------------------------------------------------------- */

enum kind { STRING, LIST, NUMBER, NOTES }; /* notes stay in the file */
enum { OPTIONAL, REQUIRED };

#define AT(member) offsetof(struct pol_runtime, member)
#define STEP(member) offsetof(struct pol_runtime, compile.member)
struct field {
	const char *name;
	enum kind kind;
	int required;
	unsigned most; /* of a list */
	const char *(*check)(const char *s); /* each string */
	size_t at, size;
	double min, max; /* a number */
};

/* clang-format off */
static const struct field fields[] = {
	{"name", STRING, REQUIRED, 0, word, AT(name), 0, 0, 0},
	{"title", STRING, REQUIRED, 0, text, AT(title), 0, 0, 0},
	{"package", STRING, OPTIONAL, 0, any, AT(package), 0, 0, 0},
	{"aliases", LIST, OPTIONAL, 16, alias, AT(aliases), 0, 0, 0},
	{"find", LIST, OPTIONAL, 16, program, AT(find), 0, 0, 0},
	{"run", LIST, OPTIONAL, POL_MAX_ARGS, text, AT(run), 0, 0, 0},
	{"version", LIST, REQUIRED, POL_MAX_ARGS, text, AT(version), 0, 0, 0},
	{"file", STRING, REQUIRED, 0, file, AT(file), 0, 0, 0},
	{"driver", STRING, OPTIONAL, 0, driver, AT(driver), 0, 0, 0},
	{"zygote", STRING, OPTIONAL, 0, zygote, AT(zygote), 0, 0, 0},
	{"preload", LIST, OPTIONAL, 128, module, AT(preload), 0, 0, 0},
	{"ahead", STRING, OPTIONAL, 0, ahead, AT(ahead), 0, 0, 0},
	{"env", LIST, OPTIONAL, POL_MAX_ENV, variable, AT(env), 0, 0, 0},
	{"syscalls", LIST, OPTIONAL, 64, word, AT(syscalls), 0, 0, 0},
	{"etc", LIST, OPTIONAL, 8, config, AT(etc), 0, 0, 0},
	{"extra_memory_bytes", NUMBER, OPTIONAL, 0, NULL, AT(extra_memory_bytes), sizeof(uint64_t),
		0, 4294967296.0},
	{"extra_processes", NUMBER, OPTIONAL, 0, NULL, AT(extra_processes), sizeof(uint32_t), 0, 1024},
	{"compile", NOTES, OPTIONAL, 0, NULL, 0, 0, 0, 0},
	{"notes", NOTES, OPTIONAL, 0, NULL, 0, 0, 0, 0},
};

static const struct field compile_fields[] = {
	{"find", LIST, REQUIRED, 16, program, STEP(find), 0, 0, 0},
	{"args", LIST, REQUIRED, POL_MAX_ARGS, text, STEP(args), 0, 0, 0},
	{"env", LIST, OPTIONAL, POL_MAX_ENV, variable, STEP(env), 0, 0, 0},
	{"product", STRING, OPTIONAL, 0, product_or_none, STEP(product), 0, 0, 0},
	{"timeout_ms", NUMBER, REQUIRED, 0, NULL, STEP(timeout_ms), sizeof(uint32_t), 100, 300000},
};
/* clang-format on */
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

/* --- reading ---------------------------------------------------------------------------------- */

static int take_string(const struct place *at, const struct field *f, const cJSON *v,
		       const char **ret)
{
	const char *must =
		cJSON_IsString(v) ? f->check(v->valuestring) : "must be a string";

	if (must)
		return wrong(at, "%s", must);
	*ret = v->valuestring;
	return 0;
}

/* v NULL: empty. The list in *ret ends with NULL. */
static int take_list(const struct place *at, const struct field *f, const cJSON *v,
		     const char *const **ret)
{
	struct rows *r = at->rows;
	unsigned n = 0;

	if (v && (!cJSON_IsArray(v) || (f->required && !v->child)))
		return wrong(at, f->required ? "must be an array of at least one"
					     : "must be an array");
	*ret = &r->pool[r->npool];
	for (const cJSON *m = v ? v->child : NULL; m; m = m->next) {
		if (++n > f->most)
			return wrong(at, "has more than %u items", f->most);
		if (r->npool + 1 >= ROWS_POOL)
			return wrong(at, "is too much: the whole table is too long");
		if (take_string(at, f, m, &r->pool[r->npool]))
			return -1;
		r->npool++;
	}
	if (r->npool >= ROWS_POOL)
		return wrong(at, "is too much: the whole table is too long");
	r->pool[r->npool++] = NULL;
	return 0;
}

static int take_number(const struct place *at, const struct field *f, const cJSON *v,
		       void *ret)
{
	const double d = !v ? f->min : cJSON_IsNumber(v) ? v->valuedouble : -1;
	const uint64_t n = d >= f->min && d <= f->max ? (uint64_t)d : 0;
	const uint32_t narrow = (uint32_t)n;

	if (!(d >= f->min && d <= f->max) || d - (double)n > 0)
		return wrong(at, "must be a whole number from %.0f to %.0f", f->min,
			     f->max);
	memcpy(ret, f->size == sizeof(n) ? (const void *)&n : &narrow, f->size);
	return 0;
}

static int take_field(const struct place *at, const struct field *f, const cJSON *v,
		      struct pol_runtime *row)
{
	char *to = (char *)row + f->at;

	if (f->kind == NOTES)
		return 0;
	if (!v && f->required)
		return wrong(at, "is missing");
	if (f->kind == LIST)
		return take_list(at, f, v, (const char *const **)(void *)to);
	if (f->kind == NUMBER)
		return take_number(at, f, v, to);
	*(const char **)(void *)to = "";
	return v ? take_string(at, f, v, (const char **)(void *)to) : 0;
}

static const cJSON *member(const cJSON *obj, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(obj, name);
}

/* obj NULL: nothing is given. */
static int take_all(struct place *at, const struct field *list, size_t n,
		    const cJSON *obj, struct pol_runtime *row)
{
	for (const cJSON *m = obj ? obj->child : NULL; m; m = m->next) {
		size_t i = 0;

		while (i < n && strcmp(m->string, list[i].name) != 0)
			i++;
		at->field = m->string;
		if (i == n)
			return wrong(at, "is not a field of a runtime");
	}
	for (size_t i = 0; i < n; i++) {
		at->field = list[i].name;
		if (take_field(at, &list[i], obj ? member(obj, list[i].name) : NULL,
			       row))
			return -1;
	}
	return 0;
}

static int take_compile(struct place *at, const cJSON *c, struct pol_runtime *row)
{
	static const char *const none[] = {NULL};

	row->compile = (struct pol_compile){none, none, none, "", 0};
	at->field = "compile";
	if (c && !cJSON_IsObject(c))
		return wrong(at, "must be an object");
	at->in = "compile.";
	if (c && take_all(at, compile_fields, COUNT(compile_fields), c, row))
		return -1;
	at->in = "";
	at->field = "find";
	if (!row->find[0] && !row->compile.product[0])
		return wrong(at, "must be an array of at least one");
	if (row->find[0] && row->compile.product[0])
		return wrong(at, "is not for a row whose compile.product is run");
	at->field = "driver";
	if (c && row->driver[0])
		return wrong(at, "is not for a language that is compiled");
	at->field = "zygote";
	if (c && row->zygote[0])
		return wrong(at, "is not for a language that is compiled");
	at->field = "preload";
	if (row->preload[0] && !row->zygote[0])
		return wrong(at, "is for a row that has a zygote");
	at->field = "ahead";
	if (row->ahead[0] && row->zygote[0])
		return wrong(at, "is not for a row that has a zygote");
	if (row->ahead[0] && c)
		return wrong(at, "is not for a language that is compiled");
	return 0;
}

/* A call is one record on the line to the guest (IPC_MAX_BYTES). */
static bool fits_a_record(const struct pol_runtime *row)
{
	const char *const *const lists[] = {row->env, row->compile.env, row->run,
					    row->compile.args, row->preload};
	size_t n[COUNT(lists)] = {0};

	for (unsigned i = 0; i < COUNT(lists); i++)
		for (const char *const *s = lists[i]; *s; s++)
			n[i] += strlen(*s);
	return n[0] + n[1] + n[4] + (n[2] > n[3] ? n[2] : n[3]) <= MAX_WORDS;
}

static int take_row(struct rows *r, const cJSON *obj, unsigned index)
{
	struct place at = {r, index, "", ""};
	struct pol_runtime *row = r->row + r->n;

	if (!cJSON_IsObject(obj))
		return wrong(&at, "must be an object");
	if (r->n == POL_MAX_RUNTIMES) {
		snprintf(r->why, sizeof(r->why),
			 "more than %d runtimes, those built in included",
			 POL_MAX_RUNTIMES);
		return -1;
	}
	*row = (struct pol_runtime){0};
	if (take_all(&at, fields, COUNT(fields), obj, row) ||
	    take_compile(&at, member(obj, "compile"), row))
		return -1;
	at.field = "run";
	if (!fits_a_record(row))
		return wrong(&at,
			     "is too long, together with env, compile and preload");
	r->n++;
	return 0;
}

/* --- names ------------------------------------------------------------------------------------ */

static bool has_name(const struct pol_runtime *row, const char *name)
{
	if (!strcmp(row->name, name))
		return true;
	for (const char *const *a = row->aliases; *a; a++)
		if (!strcmp(*a, name))
			return true;
	return false;
}

/* A language must name one row. */
static int refuse_taken(struct rows *r, unsigned i, unsigned index)
{
	const struct pol_runtime *row = &r->row[i];
	struct place at = {r, index, "", ""};

	for (unsigned k = 0; k < i; k++) {
		at.field = "name";
		if (has_name(&r->row[k], row->name))
			return wrong(&at, "is taken by another runtime (%s)",
				     r->row[k].name);
		at.field = "aliases";
		for (const char *const *a = row->aliases; *a; a++)
			if (has_name(&r->row[k], *a))
				return wrong(&at, "are taken by another runtime (%s)",
					     r->row[k].name);
	}
	return 0;
}

int rows_add(struct rows *r, const struct cJSON *list)
{
	const unsigned first = r->n;
	unsigned index = 0;

	if (!cJSON_IsArray(list) || !list->child) {
		snprintf(r->why, sizeof(r->why),
			 "\"runtimes\" must be an array of at least one");
		return -1;
	}
	for (const cJSON *obj = list->child; obj; obj = obj->next, index++)
		if (take_row(r, obj, index))
			return -1;
	for (unsigned i = first; i < r->n; i++)
		if (refuse_taken(r, i, i - first))
			return -1;
	return 0;
}
