/* gen.c: turns the .json files of schemas/ into C at build time.
 *
 *	gen schemas FILE...    schemas_get() over every file, minified (schemas/schemas.h); of
 *	                       fixtures.json, which holds many small ones, over its members
 *	gen runtimes FILE...   pol_runtimes from runtimes.json (schemas/rows.h, sandbox/policy/policy.h)
 *
 * C goes to stdout, complaints to stderr; exit 1 means that nothing written may be used. It runs
 * once and ends, so it frees nothing and gives up at the first error. */
#include "schemas/rows.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNTIMES_FILE "runtimes.json"
#define FIXTURES_FILE "fixtures.json"
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

static void put_member(const char *name, const char *value)
{
	printf("\t\t.%s = ", name);
	put_cstr(value);
	printf(",\n");
}

static void put_list(const char *name, const char *const *list)
{
	printf("\t\t.%s = (const char *const[]){", name);
	for (; *list; list++) {
		put_cstr(*list);
		printf(", ");
	}
	printf("NULL},\n");
}

static void put_number(const char *name, unsigned long long n)
{
	printf("\t\t.%s = %llu,\n", name, n);
}

static void emit_runtime(const struct pol_runtime *r)
{
	puts("\t{");
	put_member("name", r->name);
	put_member("title", r->title);
	put_member("package", r->package);
	put_list("aliases", r->aliases);
	put_list("find", r->find);
	put_list("run", r->run);
	put_list("version", r->version);
	put_member("file", r->file);
	put_member("driver", r->driver);
	put_member("zygote", r->zygote);
	put_list("preload", r->preload);
	put_member("ahead", r->ahead);
	put_list("env", r->env);
	put_list("syscalls", r->syscalls);
	put_list("etc", r->etc);
	put_number("extra_memory_bytes", r->extra_memory_bytes);
	put_number("extra_processes", r->extra_processes);
	put_list("compile.find", r->compile.find);
	put_list("compile.args", r->compile.args);
	put_list("compile.env", r->compile.env);
	put_member("compile.product", r->compile.product);
	put_number("compile.timeout_ms", r->compile.timeout_ms);
	puts("\t},");
}

static void emit_runtimes(struct doc *docs, int n)
{
	static struct rows rows;
	const cJSON *list = NULL;
	const char *path = RUNTIMES_FILE;

	for (int i = 0; i < n; i++)
		if (!strcmp(docs[i].name, RUNTIMES_FILE)) {
			path = docs[i].path;
			list = cJSON_GetObjectItemCaseSensitive(docs[i].json,
								"runtimes");
		}
	if (rows_add(&rows, list))
		fail("%s: %s", path, rows.why);
	puts("#include \"sandbox/policy/policy.h\"\n\n"
	     "static const struct pol_runtime built_in[] = {");
	for (unsigned i = 0; i < rows.n; i++)
		emit_runtime(&rows.row[i]);
	printf("};\n\nconst struct pol_runtime *pol_runtimes = built_in;\n"
	       "unsigned pol_runtimes_count = %u;\n",
	       rows.n);
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
