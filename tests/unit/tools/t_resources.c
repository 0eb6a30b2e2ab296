/* t_resources.c: a run's output and result are read by address, in pages that leave nothing out, by their
 * owner alone. */
#include "tests/unit/tools/keeper.h"

#include <sodium.h>

#define BACKGROUND "{\"language\":\"python\",\"code\":\"print(1)\",\"background\":true}"
#define OUT "sandbox://runs/" RUN_ID "/stdout"

static bool is_int(const struct cJSON *obj, const char *key, int64_t want)
{
	int64_t got;

	return !js_int(js_get(obj, key), &got) && got == want;
}

/* The source an address belongs to, as the protocol finds it. */
static const struct resource_source *source_of(const char *uri)
{
	for (size_t i = 0; i < tools_all.nsources; i++)
		if (sv_starts(sv_of(uri), sv_of(tools_all.sources[i].prefix)))
			return &tools_all.sources[i];
	return NULL;
}

/* The one content object at that address, or NULL with e. */
static struct cJSON *get(struct keeper *k, const char *uri, struct err *e)
{
	struct tool_env env = keeper_env(k);
	AUTO_BUF b = {0};
	struct jw w;
	struct err bad = {0};
	struct cJSON *v;

	buf_init(&b, 16 << 20);
	jw_init(&w, &b);
	jw_arr(&w);
	if (source_of(uri)->read(&env, sv_of(uri), &w, e))
		return NULL;
	jw_arr_end(&w);
	v = rpc_json_parse(buf_view(&b), &bad);
	if (!v)
		printf("# %s\n", bad.cause);
	must(v && cJSON_GetArraySize(v) == 1);
	return v;
}

static const struct cJSON *meta(const struct cJSON *list, const char *name)
{
	return js_get(js_get(js_first(list), "_meta"), name);
}

/* Reads from uri on to the end, page after page; how many there were. */
static int read_all(struct keeper *k, const char *uri, struct buf *ret)
{
	char at[200];
	int pages = 0;

	snprintf(at, sizeof(at), "%s", uri);
	while (*at && pages < 10000) {
		struct cJSON *v = get(k, at, NULL);
		const struct cJSON *blob = js_get(js_first(v), "blob");
		struct sv text = js_str(js_get(js_first(v), "text"));

		must(v && sv_eq(js_str(js_get(js_first(v), "uri")), sv_of(at)));
		pages++;
		if (blob) {
			size_t n = 0;
			char *p = buf_reserve(ret, js_str(blob).n);

			must(p && !sodium_base642bin((unsigned char *)p, js_str(blob).n,
						     js_str(blob).p, js_str(blob).n,
						     NULL, &n, NULL,
						     sodium_base64_VARIANT_ORIGINAL));
			buf_commit(ret, n);
		} else {
			buf_sv(ret, text);
		}
		must(!sv_copy(js_str(meta(v, "fumehood/next")), at, sizeof(at)));
		cJSON_Delete(v);
	}
	return pages;
}

static uint64_t begin(struct keeper *k, int w[2])
{
	struct called c;
	uint64_t id;

	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	id = keeper_begin(k, &c, BACKGROUND, w);
	called_finish(&c);
	return id;
}

static void fill(struct buf *b, bool text)
{
	uint32_t seed = 7;

	buf_init(b, 4 << 20);
	while (b->n < 1300000) {
		seed = seed * 1664525 + 1013904223;
		if (text)
			buf_fmt(b, "%u\xe2\x82\xac", seed >> 20);
		else
			buf_byte(b, (char)(seed >> 24));
	}
}

static void test_pages(struct keeper *k)
{
	for (int text = 0; text < 2; text++) {
		struct buf whole, got;
		char uri[200];
		uint64_t id;
		int w[2];

		fill(&whole, text);
		buf_init(&got, 8 << 20);
		id = begin(k, w);
		keeper_print(k, w[0], buf_view(&whole));
		keeper_finish_run(k, id, w, SUP_EXITED);
		ok(read_all(k, OUT, &got) == 2 &&
			   sv_eq(buf_view(&whole), buf_view(&got)),
		   "%s: more than a page is read in two, every byte once",
		   text ? "text" : "noise");
		for (unsigned length = 1000; length < 100000; length = length * 7 + 1) {
			buf_reset(&got);
			snprintf(uri, sizeof(uri), OUT "?offset=0&length=%u", length);
			ok(read_all(k, uri, &got) >= (int)(whole.n / length) &&
				   sv_eq(buf_view(&whole), buf_view(&got)),
			   "the same in pages of %u", length);
		}
		buf_finish(&whole);
		buf_finish(&got);
	}
}

static void test_text_or_blob(struct keeper *k)
{
	struct cJSON *v;
	uint64_t id;
	int w[2];
	AUTO_BUF got = {0};

	buf_init(&got, 1000);
	id = begin(k, w);
	keeper_print(k, w[0], SV("ab\xe2\x82\xac\xff"));
	v = get(k, OUT "?length=4", NULL);
	ok(v && sv_eq(js_str(js_get(js_first(v), "text")), SV("ab")) &&
		   sv_eq(js_str(js_get(js_first(v), "mimeType")), SV("text/plain")) &&
		   !js_get(js_first(v), "blob") &&
		   sv_eq(js_str(meta(v, "fumehood/next")),
			 SV(OUT "?offset=2&length=4")),
	   "a page ends before a character that is not whole");
	cJSON_Delete(v);
	v = get(k, OUT "?offset=2&length=1", NULL);
	ok(v && js_get(js_first(v), "blob") &&
		   sv_eq(js_str(meta(v, "fumehood/next")),
			 SV(OUT "?offset=3&length=1")),
	   "unless it would go no further");
	cJSON_Delete(v);
	v = get(k, OUT, NULL);
	ok(v && sv_eq(js_str(js_get(js_first(v), "blob")), SV("YWLigqz/")) &&
		   sv_eq(js_str(js_get(js_first(v), "mimeType")),
			 SV("application/octet-stream")) &&
		   js_is_true(meta(v, "fumehood/running")),
	   "what is no UTF-8 is a blob");
	cJSON_Delete(v);
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(read_all(k, OUT "?offset=0&length=1", &got) == 6 &&
		   sv_eq(buf_view(&got), SV("ab\xe2\x82\xac\xff")),
	   "byte by byte it is the same");
	v = get(k, OUT "?offset=6", NULL);
	ok(v && !js_str(js_get(js_first(v), "text")).n && !meta(v, "fumehood/next") &&
		   is_int(js_get(js_first(v), "_meta"), "fumehood/total_bytes", 6),
	   "at the end there is nothing and nothing comes");
	cJSON_Delete(v);
}

static void test_running(struct keeper *k)
{
	struct cJSON *v, *r;
	uint64_t id;
	int w[2];

	id = begin(k, w);
	keeper_print(k, w[0], SV("one\n\xe2\x82"));
	v = get(k, OUT, NULL);
	ok(v && sv_eq(js_str(js_get(js_first(v), "text")), SV("one\n")) &&
		   sv_starts(js_str(meta(v, "fumehood/next")), SV(OUT "?offset=4&")),
	   "while it runs what is there is given, and where to go on");
	cJSON_Delete(v);
	v = get(k, "sandbox://runs/" RUN_ID "/result", NULL);
	r = rpc_json_parse(js_str(js_get(js_first(v), "text")), NULL);
	ok(r && sv_eq(js_str(js_get(r, "status")), SV("running")),
	   "its result: it runs");
	cJSON_Delete(r);
	cJSON_Delete(v);
	keeper_finish_run(k, id, w, SUP_SIGNALED);
	v = get(k, "sandbox://runs/" RUN_ID "/result", NULL);
	r = rpc_json_parse(js_str(js_get(js_first(v), "text")), NULL);
	ok(r && sv_eq(js_str(js_get(r, "status")), SV("signaled")) &&
		   sv_eq(js_str(js_get(js_first(v), "mimeType")),
			 SV("application/json")),
	   "later: how it ended");
	cJSON_Delete(r);
	cJSON_Delete(v);
}

static void test_wrong(struct keeper *k)
{
	static const char *const none[] = {
		"sandbox://runs/",
		"sandbox://runs/" RUN_ID,
		"sandbox://runs/" RUN_ID "/",
		"sandbox://runs/" RUN_ID "/stdout/",
		"sandbox://runs/" RUN_ID "/stdin",
		"sandbox://runs/run_00112233445566778899aabbccddee00/stdout",
		"sandbox://runs//stdout",
		"sandbox://runs/../limits",
		"sandbox://limits/",
		"sandbox://limits?offset=1",
		"sandbox://runtimesx",
	};
	static const char *const bad[] = {
		OUT "?",
		OUT "?offset",
		OUT "?offset=-1",
		OUT "?offset=1x",
		OUT "?length=0",
		OUT "?length=1048577",
		OUT "?offset=7",
		OUT "?page=1",
		OUT "?offset=18446744073709551615",
		OUT "?offset=0&&&=",
		OUT "?length=99999999999999999999999",
	};
	uint64_t id;
	int w[2];

	id = begin(k, w);
	keeper_print(k, w[0], SV("123456"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct err e = {0};

		ok(!get(k, none[i], &e) && e.code == ERR_NOT_FOUND, "%s is nothing",
		   none[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = {0};

		ok(!get(k, bad[i], &e) && e.code == ERR_INVALID && e.remediation[0],
		   "%s is no page", bad[i]);
	}
}

static void test_foreign(struct keeper *k)
{
	struct err foreign = {0}, unknown = {0};
	uint64_t id;
	int w[2];

	k->principal = "alice";
	id = begin(k, w);
	keeper_print(k, w[0], SV("secret"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	k->principal = "bob";
	ok(!get(k, OUT, &foreign) && !get(k, "sandbox://runs/run_0/stdout", &unknown) &&
		   foreign.code == ERR_NOT_FOUND &&
		   !memcmp(&foreign, &unknown, sizeof(unknown)),
	   "another's run is answered like none");
	k->principal = "";
	ok(!get(k, OUT "?offset=999", &foreign) && foreign.code == ERR_NOT_FOUND,
	   "whatever page is asked for");
}

/* --- lists -------------------------------------------------------------------------------------- */

struct listed {
	char uri[64][RUN_URI_SIZE];
	unsigned n, bad;
	int64_t size;
};

static void on_listed(void *arg, const struct resource *r)
{
	struct listed *l = arg;

	must(l->n < 64 && !sv_copy(r->uri, l->uri[l->n], RUN_URI_SIZE));
	l->n++;
	l->size = r->size;
	l->bad += !r->name.n || !r->title.n || !r->description.n || !r->mime.n;
}

static bool list(struct keeper *k, const char *prefix, const char *after, unsigned max,
		 struct listed *l)
{
	struct tool_env env = keeper_env(k);

	l->n = 0;
	return source_of(prefix)->list(&env, sv_of(after), max, on_listed, l);
}

static void on_value(void *arg, struct sv value)
{
	struct listed *l = arg;

	must(l->n < 64 && !sv_copy(value, l->uri[l->n], RUN_URI_SIZE));
	l->n++;
}

static void test_list(struct keeper *k)
{
	static struct listed all, page;
	struct tool_env env;
	char at[RUN_URI_SIZE] = "", id[40];
	unsigned seen = 0;
	bool more = true, same = true;
	const struct resource_source *s = source_of("sandbox://runs/");
	uint64_t run = 0;
	int w[2];

	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	for (int i = 0; i < 5; i++) {
		struct called c;

		snprintf(id, sizeof(id), "run_%032d", i);
		k->run_id = id;
		run = keeper_begin(k, &c, BACKGROUND, w);
		if (i == 3)
			keeper_print(k, w[1], SV("oops"));
		if (i < 4)
			keeper_finish_run(k, run, w, SUP_EXITED);
		called_finish(&c);
	}
	ok(!list(k, "sandbox://runs/", "", 64, &all) && all.n == 8 && !all.bad,
	   "listed are results, and what there is of output");
	ok(strstr(all.uri[0], "4/result") && strstr(all.uri[1], "4/stdout") &&
		   strstr(all.uri[2], "4/stderr") && strstr(all.uri[3], "3/result") &&
		   strstr(all.uri[4], "3/stderr") && strstr(all.uri[7], "0/result"),
	   "the newest run first; of one that runs all that may come");
	while (more && seen < 20) {
		more = list(k, "sandbox://runs/", at, 2, &page);
		for (unsigned i = 0; i < page.n; i++)
			same = same && seen < all.n &&
			       !strcmp(page.uri[i], all.uri[seen++]);
		must(page.n);
		snprintf(at, sizeof(at), "%s", page.uri[page.n - 1]);
	}
	ok(same && seen == all.n, "in pages it is the same list");
	env = keeper_env(k);
	page.n = 0;
	s->complete(&env, &s->templates[0], SV("run_id"), SV("run_0"), on_value, &page);
	ok(page.n == 5 && strstr(page.uri[0], "4"),
	   "ids are completed, the newest first");
	page.n = 0;
	s->complete(&env, &s->templates[0], SV("run_id"), SV("run_1"), on_value, &page);
	s->complete(&env, &s->templates[0], SV("other"), SV(""), on_value, &page);
	k->principal = "bob";
	env = keeper_env(k);
	s->complete(&env, &s->templates[0], SV("run_id"), SV(""), on_value, &page);
	ok(!page.n && !list(k, "sandbox://runs/", "", 64, &page) && !page.n,
	   "those of others are not, nor listed");
	k->principal = "";
	keeper_finish_run(k, run, w, SUP_EXITED);
	k->run_id = RUN_ID;
}

static void test_info(struct keeper *k)
{
	static const char *const paths[POL_MAX_RUNTIMES] = {"/usr/bin/python3", "",
							    "/usr/bin/bash"};
	static struct listed l;
	struct tool_env env = keeper_env(k);
	struct err e = {0};
	struct cJSON *v, *r;

	ok(!get(k, "sandbox://limits", &e) && e.code == ERR_BUSY,
	   "before the keeper has said what there is, nothing is made up");
	keeper_hello(k, paths);
	v = get(k, "sandbox://limits", NULL);
	r = rpc_json_parse(js_str(js_get(js_first(v), "text")), NULL);
	ok(is_int(js_get(r, "limits"), "timeout_ms", 10000) &&
		   is_int(js_get(r, "limits"), "output_kept_ms", 1800000) &&
		   is_int(js_get(r, "limits"), "background_runs", 16) &&
		   sv_eq(js_str(js_get(r, "network")), SV("denied")),
	   "the limits are those sandbox_info tells, and how long output is kept");
	cJSON_Delete(r);
	cJSON_Delete(v);
	v = get(k, "sandbox://runtimes", NULL);
	r = rpc_json_parse(js_str(js_get(js_first(v), "text")), NULL);
	ok(js_is_true(js_get(js_first(js_get(r, "runtimes")), "available")) &&
		   !js_is_true(js_get(js_next(js_first(js_get(r, "runtimes"))),
				      "available")),
	   "the runtimes are those that are installed");
	cJSON_Delete(r);
	cJSON_Delete(v);
	ok(!list(k, "sandbox://limits", "", 10, &l) && l.n == 1 && !l.bad &&
		   !list(k, "sandbox://runtimes", "", 10, &l) && l.n == 1 &&
		   !list(k, "sandbox://limits", "sandbox://limits", 10, &l) && !l.n,
	   "both are listed, once");
	l.n = 0;
	tools_all.complete_prompt(&env, SV("debug_code"), SV("language"), SV(""),
				  on_value, &l);
	ok(l.n == 2 && !strcmp(l.uri[0], "python") && !strcmp(l.uri[1], "bash"),
	   "a prompt's language is one that is installed");
	l.n = 0;
	tools_all.complete_prompt(&env, SV("debug_code"), SV("language"), SV("b"),
				  on_value, &l);
	tools_all.complete_prompt(&env, SV("debug_code"), SV("code"), SV(""), on_value,
				  &l);
	ok(l.n == 1, "and begins as asked");
}

/* --- where a result points to -------------------------------------------------------------------- */

static void test_links(struct keeper *k)
{
	struct called c;
	struct cJSON *content;
	const struct cJSON *link;
	uint64_t id;
	int w[2];
	static char block[50000];

	memset(block, 'x', sizeof(block));
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
	id = keeper_begin(k, &c, "{\"language\":\"python\",\"code\":\"1\"}", w);
	keeper_print(k, w[0], (struct sv){block, sizeof(block)});
	keeper_print(k, w[1], SV("little"));
	keeper_finish_run(k, id, w, SUP_EXITED);
	content = rpc_json_parse(buf_view(&c.content), NULL);
	link = js_next(js_first(content));
	ok(sv_eq(js_str(js_get(js_first(content), "text")), buf_view(&c.text)) &&
		   sv_eq(js_str(js_get(js_first(content), "type")), SV("text")),
	   "with output left out the text comes as a block");
	ok(sv_eq(js_str(js_get(link, "type")), SV("resource_link")) &&
		   sv_eq(js_str(js_get(link, "uri")), SV(OUT)) &&
		   js_str(js_get(link, "name")).n && is_int(link, "size", 50000) &&
		   !js_next(link),
	   "followed by a link to the stream that was cut, and to no other");
	ok(!strcmp(text_of(&c, "stdout_uri"), OUT) &&
		   !js_get(c.structured, "stderr_uri") &&
		   strstr(text_of(&c, "stdout"),
			  " bytes omitted; run_status reads it, or " OUT "] ...") &&
		   strstr(buf_cstr(&c.text), "(all of it: run_status, or " OUT ")") &&
		   is_of_schema(&c),
	   "the address stands in both forms too");
	cJSON_Delete(content);
	called_finish(&c);
	keeper_runs(k, &(struct runs_opts){.keep_bytes = 30000});
	id = keeper_begin(k, &c, "{\"language\":\"python\",\"code\":\"1\"}", w);
	keeper_print(k, w[0], (struct sv){block, sizeof(block)});
	keeper_print(k, w[1], (struct sv){block, sizeof(block)});
	keeper_finish_run(k, id, w, SUP_EXITED);
	ok(strstr(buf_cstr(&c.text),
		  "(the first 30000 bytes: run_status, or " OUT ")") &&
		   strstr(buf_cstr(&c.content), "as far as it was kept"),
	   "what was not kept is not promised");
	ok(js_is_true(js_get(c.structured, "stderr_truncated")) &&
		   !js_get(c.structured, "stderr_uri") &&
		   !strstr(buf_cstr(&c.content), "/stderr"),
	   "and what was not kept at all not linked");
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	keeper_init(&k);
	test_info(&k);
	test_pages(&k);
	test_text_or_blob(&k);
	test_running(&k);
	test_wrong(&k);
	test_foreign(&k);
	test_list(&k);
	test_links(&k);
	keeper_finish(&k);
	return tap_done();
}
