/* t_changed.c: what a run has done to files, in the forms of a result: bounded, and what was declared found. */
#include "tests/unit/tools/registry.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/guest/guest.h"

#include <cjson/cJSON.h>

static void test_patterns(void)
{
	static const struct {
		const char *pattern, *path;
		bool fits;
	} rows[] = {
		{"a", "a", true},
		{"a", "b", false},
		{"a", "ab", false},
		{"ab", "a", false},
		{"*", "a", true},
		{"*", "d/a", false},
		{"*.txt", "a.txt", true},
		{"*.txt", "d/a.txt", false},
		{"d/*", "d/a", true},
		{"d/*", "d/e/a", false},
		{"d?a", "d/a", false},
		{"?", "a", true},
		{"?", "", false},
		{"**", "d/e/a", true},
		{"**/a", "a", true},
		{"**/a", "d/e/a", true},
		{"**/a", "ba", false},
		{"**/a", "d/ba", false},
		{"d/**/a", "d/ba", false},
		{"d/**/a", "d/e/ba", false},
		{"**/*", "a", true},
		{"**/*", "d/e/a", true},
		{"**/d/**", "a/d/e", true},
		{"**/d/**", "ad/e", false},
		{"x**/a", "xy/z/a", true},
		{"x**/a", "x/a", true},
		{"d/**/a", "d/a", true},
		{"d/**/a", "d/e/f/a", true},
		{"d/**/*.c", "d/e/x.c", true},
		{"d/**/*.c", "d/e/x.h", false},
		{"**/x*/*.c", "a/x/b/x1/c.c", true},
		{"d", "d/e/a", true},
		{"d", "da/e", false},
	};
	unsigned steps = 1000;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		ok(run_pattern_matches(rows[i].pattern, sv_of(rows[i].path), &steps) ==
			   rows[i].fits,
		   "%s %s %s", rows[i].pattern, rows[i].fits ? "fits" : "does not fit",
		   rows[i].path);
	ok(steps > 0 && steps < 1000, "each takes some of what they all may take");
	steps = 3;
	ok(!run_pattern_matches("abcdef", SV("abcdef"), &steps) && !steps,
	   "without any left nothing fits");
}

static void put(struct buf *b, enum guest_change_kind kind, enum guest_node node,
		const char *path)
{
	const bool file = node == GUEST_NODE_FILE && kind != GUEST_DELETED;
	const struct guest_change c = {.kind = kind,
				       .node = node,
				       .has_sha = file,
				       .sha = {0xab},
				       .size = file ? 3 : 0,
				       .path = sv_of(path),
				       .head = file ? SV("abc") : SV("")};
	char head[GUEST_CHANGE_HEAD];

	guest_put_change(head, &c);
	buf_add(b, head, sizeof(head));
	buf_sv(b, c.path);
	buf_sv(b, c.head);
}

static struct shelf shelf;
static struct run *run;
static struct buf rows, text;
static struct cJSON *json;

static void begin(void)
{
	shelf_init(&shelf, &(struct runs_opts){.keep_runs = 0});
	run = shelf_add(&shelf, "a", "run_0", NULL);
	must(run);
	buf_init(&rows, 1 << 20);
	buf_init(&text, 1 << 20);
}

static void end(void)
{
	cJSON_Delete(json);
	json = NULL;
	buf_finish(&rows);
	buf_finish(&text);
	shelf_end(run);
	shelf_finish(&shelf);
}

static void declare(const char *pattern)
{
	if (!run->ndeclared++)
		buf_init(&run->declared, 1000);
	buf_add(&run->declared, pattern, strlen(pattern) + 1);
}

/* The rows are taken; what is said of them is in json and text. */
static void tell(struct sup_changes c)
{
	AUTO_BUF b = {0};
	struct jw w;

	c.rows = buf_view(&rows);
	run_take_changes(run, &c);
	buf_init(&b, 1 << 20);
	jw_init(&w, &b);
	jw_obj(&w);
	files_json(&w, run);
	jw_obj_end(&w);
	files_text(run, &text);
	json = rpc_json_parse(buf_view(&b), NULL);
	must(json);
}

static const struct cJSON *row(const char *list, unsigned i)
{
	const struct cJSON *v = js_first(js_get(json, list));

	while (v && i--)
		v = js_next(v);
	return v;
}

static bool is(const struct cJSON *obj, const char *key, const char *want)
{
	return sv_eq(js_str(js_get(obj, key)), sv_of(want));
}

static bool says(const char *words)
{
	return strstr(buf_cstr(&text), words) != NULL;
}

static void test_rows(void)
{
	begin();
	put(&rows, GUEST_CREATED, GUEST_NODE_FILE, "a");
	put(&rows, GUEST_SAME, GUEST_NODE_FILE, "as it was");
	put(&rows, GUEST_CHANGED, GUEST_NODE_LINK, "l");
	put(&rows, GUEST_DELETED, GUEST_NODE_FILE, "gone");
	tell((struct sup_changes){.known = true, .total = 3});
	ok(is(row("changed_files", 0), "path", "a") &&
		   is(row("changed_files", 0), "change", "created") &&
		   is(row("changed_files", 0), "mime_type", "text/plain") &&
		   sv_starts(js_str(js_get(row("changed_files", 0), "sha256")),
			     SV("ab00")),
	   "a new file, and what it is");
	ok(is(row("changed_files", 1), "change", "changed") &&
		   is(row("changed_files", 1), "type", "link") &&
		   !js_get(row("changed_files", 1), "size"),
	   "a link, which has no bytes of its own");
	ok(is(row("changed_files", 2), "change", "deleted") &&
		   is(row("changed_files", 2), "path", "gone") &&
		   !js_get(row("changed_files", 2), "sha256"),
	   "one that was deleted");
	ok(!row("changed_files", 3) && !js_get(json, "changed_files_truncated"),
	   "and none that is as it was");
	ok(!js_get(json, "artifacts") && !js_get(json, "missing_outputs"),
	   "where nothing was declared nothing is said of that");
	ok(says("created \"a\"") && says("deleted \"gone\"") && !says("as it was"),
	   "the text says the same");
	ok(run->use[RUNS_BYTES] == run->changed.json.n + run->changed.text.n &&
		   run->use[RUNS_BYTES] > 0,
	   "what is kept of it is counted");
	end();
}

static void test_declared(void)
{
	begin();
	declare("*.txt");
	declare("old");
	declare("same");
	declare("link");
	put(&rows, GUEST_CREATED, GUEST_NODE_FILE, "a.txt");
	put(&rows, GUEST_CREATED, GUEST_NODE_FILE, "other");
	put(&rows, GUEST_DELETED, GUEST_NODE_FILE, "old");
	put(&rows, GUEST_SAME, GUEST_NODE_FILE, "same");
	put(&rows, GUEST_CREATED, GUEST_NODE_LINK, "link");
	tell((struct sup_changes){.known = true, .total = 5});
	ok(is(row("artifacts", 0), "path", "a.txt") &&
		   is(row("artifacts", 1), "path", "same") && !row("artifacts", 2),
	   "files that were declared, whoever put them there");
	ok(sv_eq(js_str(row("missing_outputs", 0)), SV("old")) &&
		   sv_eq(js_str(row("missing_outputs", 1)), SV("link")) &&
		   !row("missing_outputs", 2),
	   "what is no file, or none any more, is missing");
	ok(says("missing output \"old\"") && !says("missing output \"*.txt\""),
	   "the text says the same");
	end();
}

static void test_bounds(void)
{
	int64_t found = 0;
	char path[20];

	begin();
	for (unsigned i = 0; i < RUN_SHOWN_FILES + 1; i++) {
		snprintf(path, sizeof(path), "f%u", i);
		put(&rows, GUEST_CREATED, GUEST_NODE_FILE, path);
	}
	tell((struct sup_changes){.known = true, .total = RUN_SHOWN_FILES + 1});
	ok(row("changed_files", RUN_SHOWN_FILES - 1) &&
		   !row("changed_files", RUN_SHOWN_FILES),
	   "so many are shown");
	ok(js_is_true(js_get(json, "changed_files_truncated")) &&
		   !js_int(js_get(json, "changed_files_found"), &found) &&
		   found == RUN_SHOWN_FILES + 1,
	   "and how many there are");
	end();
	begin();
	tell((struct sup_changes){.known = false});
	ok(js_get(json, "changed_files") && !row("changed_files", 0) &&
		   js_is_true(js_get(json, "changed_files_truncated")),
	   "what could not be found out is not said to be nothing");
	end();
	begin();
	put(&rows, GUEST_CREATED, GUEST_NODE_FILE, "a");
	buf_str(&rows, "no row");
	tell((struct sup_changes){.known = true, .total = 1});
	ok(row("changed_files", 0) && !row("changed_files", 1) &&
		   js_is_true(js_get(json, "changed_files_truncated")),
	   "nor is what cannot be read");
	end();
}

int main(void)
{
	test_patterns();
	test_rows();
	test_declared();
	test_bounds();
	return tap_done();
}
