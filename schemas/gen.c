/* gen.c: turns the .json files of schemas/ into C at build time.
 *
 *	gen schemas FILE...    schemas_get() over every file, minified (schemas/schemas.h); of
 *	                       fixtures.json, which holds many small ones, over its members
 *	gen runtimes FILE...   pol_runtimes[] from runtimes.json (sandbox/policy/policy.h)
 *
 * C goes to stdout, complaints to stderr; exit 1 means that nothing written may be used. It runs
 * once and ends, so it frees nothing and gives up at the first error. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNTIMES_FILE "runtimes.json"
#define FIXTURES_FILE "fixtures.json"
#define MAX_RUNTIMES 16 /* POL_MAX_RUNTIMES; what is generated asserts it */
#define MAX_PATH 255 /* struct pol_host keeps a path in 256 bytes */
#define MAX_FILE_BYTES (1 << 20)

struct doc {
	const char *path, *name; /* name: the last part of the path */
	char *text;
	cJSON *json;
};

__attribute__((format(printf, 1, 2))) static _Noreturn void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("gen: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* --- reading ---------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = malloc(MAX_FILE_BYTES + 1);
	size_t n;

	if (!f || !text)
		fail("%s: %s", path, strerror(errno));
	n = fread(text, 1, MAX_FILE_BYTES + 1, f);
	if (ferror(f))
		fail("%s: %s", path, strerror(errno));
	if (n > MAX_FILE_BYTES)
		fail("%s: more than %d bytes", path, MAX_FILE_BYTES);
	fclose(f);
	text[n] = '\0';
	if (strlen(text) != n)
		fail("%s: holds a NUL byte", path);
	return text;
}

/* cJSON keeps duplicate names and finds the first only: a second one would be silently dead. */
static void refuse_duplicates(const char *path, const cJSON *v)
{
	for (const cJSON *a = v->child; a; a = a->next) {
		for (const cJSON *b = a->next; cJSON_IsObject(v) && b; b = b->next)
			if (!strcmp(a->string, b->string))
				fail("%s: \"%s\" stands twice in one object", path,
				     a->string);
		refuse_duplicates(path, a);
	}
}

static struct doc load(const char *path)
{
	struct doc d = {.path = path, .name = path, .text = read_text(path)};
	const char *slash = strrchr(path, '/'), *end = NULL;

	if (slash)
		d.name = slash + 1;
	d.json = cJSON_ParseWithOpts(d.text, &end, 1);
	if (!d.json)
		fail("%s: not JSON at byte %td", path,
		     end ? end - d.text : (ptrdiff_t)0);
	if (!cJSON_IsObject(d.json))
		fail("%s: the root must be an object", path);
	refuse_duplicates(path, d.json);
	return d;
}

/* --- writing C -------------------------------------------------------------------------------- */

/* '?' is escaped because -std=c17 reads trigraphs. */
static void put_cstr(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '?')
			printf("\\%03o", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void put_bytes(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%s%u,", i % 24 ? "" : "\n\t", (unsigned)(unsigned char)p[i]);
}

/* --- gen schemas ------------------------------------------------------------------------------ */

/* Bytes as numbers, not as a literal: ISO C promises only 4,095 characters in one. */
static void emit_text(int index, const char *text)
{
	printf("static const unsigned char doc_%d[] = {", index);
	put_bytes(text, strlen(text));
	puts("\n};\n");
}

/* The members of a file of many; from is the number of the first, the next free one is given. */
static int emit_members(const struct doc *d, int from)
{
	for (const cJSON *m = d->json->child; m; m = m->next) {
		char *text;

		if (!cJSON_IsObject(m))
			fail("%s: \"%s\" must be an object", d->path, m->string);
		text = cJSON_PrintUnformatted(m);
		if (!text)
			fail("%s: no memory", d->path);
		emit_text(from++, text);
	}
	return from;
}

static void emit_row(int index, const char *name, const char *member)
{
	printf("\t{");
	put_cstr(name);
	if (member) {
		printf(" \"#\" ");
		put_cstr(member);
	}
	printf(", doc_%d, sizeof(doc_%d)},\n", index, index);
}

static bool holds_many(const struct doc *d)
{
	return !strcmp(d->name, FIXTURES_FILE);
}

static void emit_schemas(struct doc *docs, int n)
{
	int count = 0, row = 0;

	puts("#include \"schemas/schemas.h\"\n");
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < i; k++)
			if (!strcmp(docs[i].name, docs[k].name))
				fail("%s: the name is taken by %s", docs[i].path,
				     docs[k].path);
		cJSON_Minify(docs[i].text);
		if (holds_many(&docs[i]))
			count = emit_members(&docs[i], count);
		else
			emit_text(count++, docs[i].text);
	}
	puts("static const struct {\n\tconst char *name;\n\tconst unsigned char *p;\n"
	     "\tsize_t n;\n} docs[] = {");
	for (int i = 0; i < n; i++) {
		const cJSON *m = holds_many(&docs[i]) ? docs[i].json->child : NULL;

		if (!holds_many(&docs[i]))
			emit_row(row++, docs[i].name, NULL);
		for (; m; m = m->next)
			emit_row(row++, docs[i].name, m->string);
	}
	puts("};\n\nstruct sv schemas_get(const char *name)\n{\n"
	     "\tfor (size_t i = 0; i < sizeof(docs) / sizeof(*docs); i++)\n"
	     "\t\tif (!strcmp(docs[i].name, name))\n"
	     "\t\t\treturn (struct sv){(const char *)docs[i].p, docs[i].n};\n"
	     "\treturn (struct sv){\"\", 0};\n}");
}

/* --- gen runtimes ----------------------------------------------------------------------------- */

struct row {
	const char *path; /* of the file, for complaints */
	int index;
	const char *field; /* being checked */
};

static _Noreturn void fail_row(const struct row *r, const char *what)
{
	fail("%s: runtimes[%d].%s %s", r->path, r->index, r->field, what);
}

static bool is_word(const char *s)
{
	return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

static void check_word(const struct row *r, const char *s)
{
	if (!is_word(s))
		fail_row(r, "must be made of a-z, 0-9 and _");
}

static void check_text(const struct row *r, const char *s)
{
	if (!*s)
		fail_row(r, "must not be empty");
}

static void check_path(const struct row *r, const char *s)
{
	if (s[0] != '/' || strlen(s) > MAX_PATH || strstr(s, "//") || strstr(s, "/.") ||
	    s[strlen(s) - 1] == '/')
		fail_row(r, "must be a plain absolute path of at most 255 bytes");
}

static void check_file(const struct row *r, const char *s)
{
	if (!*s || *s == '.' || *s == '-' || strchr(s, '/') || strlen(s) > MAX_PATH)
		fail_row(r, "must be a plain file name");
}

/* As a name in the room of a session: driver.c's rows, and the guest, know no other form. */
static void check_driver(const struct row *r, const char *s)
{
	if (*s && (strncmp(s, "driver.", 7) || !s[7] || strlen(s) > 24 ||
		   s[7 + strspn(s + 7, "abcdefghijklmnopqrstuvwxyz0123456789")]))
		fail_row(r, "must be driver.EXTENSION, or empty");
}

static void check_env(const struct row *r, const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (!n || s[n] != '=')
		fail_row(r, "must be NAME=value");
}

enum kind { STRING, LIST, NUMBER, NOTES }; /* notes stay in the file */

static const struct field {
	const char *name;
	enum kind kind;
	bool may_be_empty; /* a list */
	void (*check)(const struct row *r, const char *s); /* each string */
	double max; /* a number */
} fields[] = {
	{"name", STRING, false, check_word, 0},
	{"title", STRING, false, check_text, 0},
	{"aliases", LIST, true, check_word, 0},
	{"find", LIST, false, check_path, 0},
	{"run", LIST, true, check_text, 0},
	{"version", LIST, false, check_text, 0},
	{"file", STRING, false, check_file, 0},
	{"driver", STRING, false, check_driver, 0},
	{"env", LIST, true, check_env, 0},
	{"syscalls", LIST, true, check_word, 0},
	{"extra_memory_bytes", NUMBER, false, NULL, 4294967296.0},
	{"extra_processes", NUMBER, false, NULL, 1024},
	{"notes", NOTES, false, NULL, 0},
};
#define FIELD_COUNT (sizeof(fields) / sizeof(*fields))

static void refuse_unknown(struct row *r, const cJSON *obj)
{
	for (const cJSON *m = obj->child; m; m = m->next) {
		size_t i = 0;

		while (i < FIELD_COUNT && strcmp(m->string, fields[i].name))
			i++;
		r->field = m->string;
		if (i == FIELD_COUNT)
			fail_row(r, "is not a field of a runtime");
	}
}

static void put_string(const struct row *r, const struct field *f, const cJSON *v)
{
	if (!cJSON_IsString(v))
		fail_row(r, "must be a string");
	f->check(r, v->valuestring);
	put_cstr(v->valuestring);
}

static void put_field(struct row *r, const struct field *f, const cJSON *v)
{
	r->field = f->name;
	if (f->kind == NOTES)
		return;
	if (!v)
		fail_row(r, "is missing");
	printf("\t\t.%s = ", f->name);
	if (f->kind == STRING) {
		put_string(r, f, v);
	} else if (f->kind == LIST) {
		if (!cJSON_IsArray(v) || (!v->child && !f->may_be_empty))
			fail_row(r, f->may_be_empty
					    ? "must be an array"
					    : "must be an array of at least one");
		printf("(const char *const[]){");
		for (const cJSON *m = v->child; m; m = m->next) {
			put_string(r, f, m);
			printf(", ");
		}
		printf("NULL}");
	} else {
		double d = cJSON_IsNumber(v) ? v->valuedouble : -1;

		if (!(d >= 0 && d <= f->max) || d != (double)(long long)d)
			fail_row(r, "must be a whole number in range");
		printf("%lld", (long long)d);
	}
	printf(",\n");
}

static bool has_name(const cJSON *row, const char *name)
{
	const cJSON *m;

	if (!strcmp(cJSON_GetObjectItemCaseSensitive(row, "name")->valuestring, name))
		return true;
	cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(
				      row, "aliases")) if (!strcmp(m->valuestring,
								   name)) return true;
	return false;
}

/* A language must name one row. Rows were checked field by field before. */
static void refuse_shared_names(struct row *r, const cJSON *list)
{
	const cJSON *a, *b, *m;

	r->index = 0;
	for (a = list->child; a; a = a->next, r->index++)
		for (b = a->next; b; b = b->next) {
			r->field = "name";
			if (has_name(b, cJSON_GetObjectItemCaseSensitive(a, "name")
						->valuestring))
				fail_row(r, "is taken by another runtime");
			r->field = "aliases";
			cJSON_ArrayForEach(
				m,
				cJSON_GetObjectItemCaseSensitive(
					a, "aliases")) if (has_name(b, m->valuestring))
				fail_row(r, "are taken by another runtime");
		}
}

static void emit_runtimes(struct doc *docs, int n)
{
	const cJSON *list = NULL, *obj;
	struct row r = {.path = RUNTIMES_FILE};

	for (int i = 0; i < n; i++)
		if (!strcmp(docs[i].name, RUNTIMES_FILE)) {
			r.path = docs[i].path;
			list = cJSON_GetObjectItemCaseSensitive(docs[i].json,
								"runtimes");
		}
	if (!cJSON_IsArray(list) || !list->child)
		fail("%s: \"runtimes\" must be an array of at least one", r.path);
	if (cJSON_GetArraySize(list) > MAX_RUNTIMES)
		fail("%s: more than %d runtimes", r.path, MAX_RUNTIMES);
	puts("#include \"sandbox/policy/policy.h\"\n\nconst struct pol_runtime pol_runtimes[] = {");
	for (obj = list->child; obj; obj = obj->next, r.index++) {
		if (!cJSON_IsObject(obj))
			fail("%s: runtimes[%d] must be an object", r.path, r.index);
		refuse_unknown(&r, obj);
		puts("\t{");
		for (size_t i = 0; i < FIELD_COUNT; i++)
			put_field(
				&r, &fields[i],
				cJSON_GetObjectItemCaseSensitive(obj, fields[i].name));
		puts("\t},");
	}
	refuse_shared_names(&r, list);
	printf("};\n\nconst unsigned pol_runtimes_count = %d;\n"
	       "_Static_assert(%d <= POL_MAX_RUNTIMES, \"policy.h has room for all\");\n",
	       cJSON_GetArraySize(list), cJSON_GetArraySize(list));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*emit)(struct doc *docs, int n);
	} modes[] = {{"schemas", emit_schemas}, {"runtimes", emit_runtimes}};
	struct doc *docs = calloc((size_t)argc, sizeof(*docs));
	size_t mode = 0, count = sizeof(modes) / sizeof(*modes);

	while (mode < count && (argc < 3 || strcmp(argv[1], modes[mode].name)))
		mode++;
	if (mode == count || !docs)
		fail("usage: gen schemas|runtimes FILE...");
	for (int i = 2; i < argc; i++)
		docs[i - 2] = load(argv[i]);
	printf("/* made by schemas/gen.c from schemas/; do not edit */\n");
	modes[mode].emit(docs, argc - 2);
	if (fflush(stdout) || ferror(stdout))
		fail("writing: %s", strerror(errno));
	return 0;
}
