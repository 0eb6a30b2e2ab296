/* t_artifact_list.c: rows of a sandbox come a page at a time, bounded, and hostile ones end the call alone. */
#include "sandbox/guest/guest.h"
#include "tests/unit/tools/fake.h"
#include "tools/artifact.h"

#define IN "\"session_id\":\"" SES_ID "\""

static void add(struct buf *b, enum guest_node node, struct sv path)
{
	char head[GUEST_ROW_HEAD];
	const struct guest_row r = {.node = node,
				    .nlink = 1,
				    .size = 7,
				    .mtime_ns = 1767323045000000000,
				    .path = path};

	guest_put_row(head, &r);
	buf_add(b, head, sizeof(head));
	buf_sv(b, path);
}

/* Asks, and is given those bytes; said: how many of them there are meant to be. */
static void list(struct keeper *k, struct called *c, const char *more,
		 const struct buf *rows, size_t said, bool has_more)
{
	struct err e = {0};
	char args[128];

	snprintf(args, sizeof(args), "{" IN "%s}", more);
	must(!call_start(c, k, "artifact_list", args) &&
	     fake.question.file.op == SUP_FILE_LIST);
	fake_file(
		&(struct sup_file_done){.is_dir = true,
					.more = has_more,
					.size = said,
					.fd = fd_memfd("rows", rows->p, rows->n, &e)});
	keeper_until_ended(k, c);
}

static size_t entries(const struct called *c)
{
	size_t n = 0;

	for (const struct cJSON *v = js_first(js_get(c->structured, "entries")); v;
	     v = js_next(v))
		n++;
	return n;
}

static void test_rows(struct keeper *k)
{
	const struct cJSON *v;
	AUTO_BUF rows = {0};
	struct called c;

	buf_init(&rows, 1 << 20);
	add(&rows, GUEST_NODE_DIR, SV("d"));
	add(&rows, GUEST_NODE_FILE, SV("d/f\n- forged 1 bytes"));
	add(&rows, GUEST_NODE_LINK, SV("l"));
	add(&rows, GUEST_NODE_OTHER, SV("n\xff"));
	list(k, &c, ",\"path\":\"x/y\"", &rows, rows.n, false);
	ok(!strcmp(fake.question.path, "x/y") &&
		   fake.question.file.max_rows == ARTIFACT_ROWS,
	   "the folder asked for, and a page of rows");
	v = js_first(js_get(c.structured, "entries"));
	ok(is_of_schema(&c) && entries(&c) == 4 &&
		   sv_eq(js_str(js_get(v, "type")), SV("folder")) && !js_get(v, "size"),
	   "a folder");
	v = js_next(v);
	ok(sv_eq(js_str(js_get(v, "type")), SV("file")) && js_get(v, "size") &&
		   sv_eq(js_str(js_get(v, "modified_at")), SV("2026-01-02T03:04:05Z")),
	   "a file with size and time");
	v = js_next(js_next(v));
	ok(sv_eq(js_str(js_get(v, "path")), SV("n\xef\xbf\xbd")) &&
		   js_is_true(js_get(v, "path_not_utf8")),
	   "a name that is no text is told to be none");
	ok(says(&c.text, "\"d/f\\n- forged 1 bytes\" 7 bytes"),
	   "a name cannot begin a line");
	ok(!js_is_true(js_get(c.structured, "more")) &&
		   !js_get(c.structured, "next_offset"),
	   "that is all");
	called_finish(&c);
	buf_reset(&rows);
	list(k, &c, "", &rows, 0, false);
	ok(is_of_schema(&c) && !entries(&c), "an empty workspace is empty");
	called_finish(&c);
}

static void test_pages(struct keeper *k)
{
	AUTO_BUF rows = {0};
	struct called c;
	char name[32];

	buf_init(&rows, 16 << 20);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		add(&rows, GUEST_NODE_FILE, sv_of(name));
	}
	list(k, &c, "", &rows, rows.n, false);
	ok(is_of_schema(&c) && entries(&c) == 2000 &&
		   js_is_true(js_get(c.structured, "more")) &&
		   int_of(&c, "next_offset") == 2000,
	   "2,000 rows are a page");
	called_finish(&c);
	list(k, &c, ",\"offset\":4000", &rows, rows.n, false);
	ok(fake.question.file.max_rows == 6000 && entries(&c) == 1000 &&
		   !js_is_true(js_get(c.structured, "more")) &&
		   sv_eq(js_str(js_get(js_first(js_get(c.structured, "entries")),
				       "path")),
			 SV("f4000")),
	   "the last page begins where the one before ended");
	called_finish(&c);
	list(k, &c, ",\"offset\":4000,\"limit\":1000", &rows, rows.n, true);
	ok(entries(&c) == 1000 && js_is_true(js_get(c.structured, "more")) &&
		   int_of(&c, "next_offset") == 5000,
	   "when the keeper has more there is more");
	called_finish(&c);
	list(k, &c, ",\"offset\":4000", &rows, rows.n, true);
	ok(is_of_schema(&c) && entries(&c) == 1000 &&
		   !js_is_true(js_get(c.structured, "more")) &&
		   !js_get(c.structured, "next_offset") &&
		   js_is_true(js_get(c.structured, "incomplete")),
	   "a page that is not full is the last, also of a list that is not whole");
	called_finish(&c);
	list(k, &c, ",\"offset\":6000", &rows, rows.n, false);
	ok(is_of_schema(&c) && !entries(&c) &&
		   !js_is_true(js_get(c.structured, "more")),
	   "after the last there is none");
	called_finish(&c);
}

/* Names as long as they can be: more than a window of them, and a page that is full before 2,000. */
static void test_long_names(struct keeper *k)
{
	AUTO_BUF rows = {0};
	AUTO_BUF path = {0};
	struct called c;
	int64_t next;

	buf_init(&rows, 32 << 20);
	buf_init(&path, 4096);
	while (path.n < 3790)
		buf_str(&path, path.n % 200 == 199 ? "/" : "\x01");
	for (unsigned i = 0; i < 3000; i++)
		add(&rows, GUEST_NODE_FILE, buf_view(&path));
	list(k, &c, "", &rows, rows.n, false);
	next = int_of(&c, "next_offset");
	ok(is_of_schema(&c) && js_is_true(js_get(c.structured, "more")) && next > 100 &&
		   next < 2000 && (int64_t)entries(&c) == next,
	   "a page is full by its bytes too: %d rows", (int)next);
	called_finish(&c);
}

static void test_hostile(struct keeper *k)
{
	static const char *const what[] = {"cut", "longer than there is", "..",
					   "garbage"};
	struct called c;

	for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
		AUTO_BUF rows = {0};
		size_t said;

		buf_init(&rows, 4 << 20);
		add(&rows, GUEST_NODE_FILE, SV("a"));
		if (i == 2)
			add(&rows, GUEST_NODE_FILE, SV("../x"));
		while (i == 3 && rows.n < 2 << 20)
			buf_byte(&rows, '\xff');
		said = rows.n - (i == 0) + (i == 1 ? (size_t)1 << 40 : 0);
		list(k, &c, "", &rows, said, false);
		ok(c.failed && c.err.code == ERR_LOST && !c.call.state,
		   "a list that is ill-formed: %s", what[i]);
		called_finish(&c);
	}
}

static void test_no_memory(struct keeper *k)
{
	AUTO_BUF rows = {0};
	struct called c;
	long n = 1;

	buf_init(&rows, 1 << 20);
	add(&rows, GUEST_NODE_FILE, SV("a"));
	for (; n < 100; n++) {
		int fd = fd_memfd("rows", rows.p, rows.n, NULL);

		must(!call_start(&c, k, "artifact_list", "{" IN "}"));
		mem_fail_after(n);
		fake_file(&(struct sup_file_done){.size = rows.n, .fd = fd});
		mem_fail_after(0);
		keeper_until_ended(k, &c);
		if (!c.failed)
			break;
		called_finish(&c);
	}
	ok(n > 3 && n < 100, "each of %ld allocations may fail", n - 1);
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	fake_init(&k);
	test_rows(&k);
	test_pages(&k);
	test_long_names(&k);
	test_hostile(&k);
	test_no_memory(&k);
	fake_finish(&k);
	return tap_done();
}
