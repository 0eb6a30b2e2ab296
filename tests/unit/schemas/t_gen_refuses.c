/* t_gen_refuses.c: a bad row in runtimes.json, or a bad file, stops the build and says where. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define GEN "build/gen/gen"

#define ROW_BUT(name, find, file, version, env, memory, more)                          \
	ROW_WITH(name, find, file ",\"driver\":\"\"", version, env, memory, more)
#define ROW_DRIVER(driver)                                                             \
	ROW_WITH("\"x\"", FIND, "\"x\",\"driver\":" driver, "[\"-v\"]", "[]", "0", "")
#define ROW_ZYGOTE(zygote, preload)                                                    \
	ROW_WITH("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[]", "0",                        \
		 ",\"zygote\":" zygote ",\"preload\":" preload)
#define ROW_AHEAD(ahead)                                                               \
	ROW_WITH("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[]", "0", ",\"ahead\":" ahead)
#define ROW_WITH(name, find, file, version, env, memory, more)                         \
	"{\"name\":" name ",\"title\":\"X\",\"aliases\":[],\"find\":" find             \
	",\"run\":[],"                                                                 \
	"\"version\":" version ",\"file\":" file ",\"env\":" env                       \
	",\"syscalls\":[],\"extra_memory_bytes\":" memory                              \
	",\"extra_processes\":0" more "}"
#define FIND "[\"/usr/bin/x\"]"
#define ROW ROW_BUT("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[]", "0", "")
#define ALIAS(name, alias)                                                                            \
	"{\"name\":\"" name "\",\"title\":\"X\",\"aliases\":[\"" alias                                \
	"\"],\"find\":" FIND                                                                          \
	",\"run\":[],\"version\":[\"-v\"],\"file\":\"x\",\"driver\":\"\",\"env\":[],\"syscalls\":[]," \
	"\"extra_memory_bytes\":0,\"extra_processes\":0}"
#define LEAST(more)                                                                    \
	"{\"name\":\"x\",\"title\":\"X\",\"version\":[\"-v\"],\"file\":\"x\"" more "}"
#define COMPILE(more)                                                                  \
	",\"compile\":{\"find\":" FIND ",\"args\":[\"x\"],\"timeout_ms\":100" more "}"
#define PRODUCT ",\"product\":\"/tmp/x\""
#define X5 "\"x\",\"x\",\"x\",\"x\",\"x\""
#define X25 X5 "," X5 "," X5 "," X5 "," X5
#define TABLE(rows) "{\"runtimes\":[" rows "]}"

static const struct {
	const char *json, *complaint; /* NULL: accepted */
} rows[] = {
	{TABLE(ROW), NULL},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[\"A=b?\\\"\\\\\"]", "5",
		       ",\"notes\":[\"why\"]")),
	 NULL},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[]", "0", ",\"finds\":[]")),
	 "runtimes[0].finds is not a field"},
	{TABLE("{\"name\":\"x\"}"), "runtimes[0].title is missing"},
	{TABLE(ROW_BUT("\"X y\"", FIND, "\"x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].name must be made of"},
	{TABLE(ROW_BUT("5", FIND, "\"x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].name must be a string"},
	{TABLE(ROW_BUT("\"x\"", "[\"bin/x\"]", "\"x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].find must be a plain absolute path"},
	{TABLE(ROW_BUT("\"x\"", "[\"/usr/../x\"]", "\"x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].find must be a plain absolute path"},
	{TABLE(ROW_BUT("\"x\"", "[\"\"]", "\"x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].find must be a plain absolute path"},
	{TABLE(ROW_BUT("\"x\"", "[]", "\"x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].find must be an array of at least one"},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"../x\"", "[\"-v\"]", "[]", "0", "")),
	 "runtimes[0].file must be a plain file name"},
	{TABLE(ROW_DRIVER("\"driver.x2\"")), NULL},
	{TABLE(ROW_DRIVER("\"x.py\"")), "runtimes[0].driver must be driver.EXTENSION"},
	{TABLE(ROW_DRIVER("\"driver.\"")),
	 "runtimes[0].driver must be driver.EXTENSION"},
	{TABLE(ROW_DRIVER("\"driver.a/b\"")),
	 "runtimes[0].driver must be driver.EXTENSION"},
	{TABLE(ROW_DRIVER("null")), "runtimes[0].driver must be a string"},
	{TABLE(ROW_ZYGOTE("\"zygote.py\"", "[\"os\", \"a.b_C\"]")), NULL},
	{TABLE(ROW_ZYGOTE("\"\"", "[]")), NULL},
	{TABLE(ROW_ZYGOTE("\"driver.py\"", "[]")),
	 "runtimes[0].zygote must be zygote.EXTENSION"},
	{TABLE(ROW_ZYGOTE("\"zygote.\"", "[]")),
	 "runtimes[0].zygote must be zygote.EXTENSION"},
	{TABLE(ROW_ZYGOTE("\"zygote.a/b\"", "[]")),
	 "runtimes[0].zygote must be zygote.EXTENSION"},
	{TABLE(ROW_ZYGOTE("\"zygote.py\"", "[\"a b\"]")),
	 "runtimes[0].preload must be made of letters"},
	{TABLE(ROW_ZYGOTE("\"zygote.py\"", "[\"\"]")),
	 "runtimes[0].preload must be made of letters"},
	{TABLE(ROW_ZYGOTE("\"\"", "[\"os\"]")),
	 "runtimes[0].preload is for a row that has a zygote"},
	{TABLE(ROW_AHEAD("\"ahead.js\"")), NULL},
	{TABLE(ROW_AHEAD("\"\"")), NULL},
	{TABLE(ROW_AHEAD("\"ahead.\"")), "runtimes[0].ahead must be ahead.EXTENSION"},
	{TABLE(ROW_AHEAD("\"ahead.a/b\"")),
	 "runtimes[0].ahead must be ahead.EXTENSION"},
	{TABLE(ROW_AHEAD("\"zygote.js\"")),
	 "runtimes[0].ahead must be ahead.EXTENSION"},
	{TABLE(ROW_AHEAD("\"ahead.js\",\"zygote\":\"zygote.js\"")),
	 "runtimes[0].ahead is not for a row that has a zygote"},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"x\"", "[]", "[]", "0", "")),
	 "runtimes[0].version must be an array of at least one"},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[\"A\"]", "0", "")),
	 "runtimes[0].env must be NAME=value"},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[]", "-1", "")),
	 "runtimes[0].extra_memory_bytes must be a whole number"},
	{TABLE(ROW_BUT("\"x\"", FIND, "\"x\"", "[\"-v\"]", "[]", "0.5", "")),
	 "runtimes[0].extra_memory_bytes must be a whole number"},
	{TABLE(ROW "," ROW), "runtimes[1].name is taken by another runtime (x)"},
	{TABLE(ALIAS("a", "b") "," ALIAS("c", "b")),
	 "runtimes[1].aliases are taken by another runtime (a)"},
	{TABLE(ALIAS("a", "b") "," ALIAS("b", "d")),
	 "runtimes[1].name is taken by another runtime (a)"},
	{TABLE(ALIAS("a", "c++") "," ALIAS("b", "d.e-f#")), NULL},
	{TABLE(ALIAS("a", "b/c")), "runtimes[0].aliases must be made of"},
	{TABLE(LEAST("")), "runtimes[0].find must be an array of at least one"},
	{TABLE(LEAST(",\"find\":" FIND)), NULL},
	{TABLE(LEAST(",\"find\":[\"/opt/x\"]")),
	 "runtimes[0].find must lie below /usr"},
	{TABLE(LEAST(",\"find\":" FIND ",\"etc\":[\"/etc/x\"]")), NULL},
	{TABLE(LEAST(",\"find\":" FIND ",\"etc\":[\"/etc\"]")),
	 "runtimes[0].etc must be a plain path below /etc"},
	{TABLE(LEAST(",\"find\":" FIND ",\"etc\":[\"/etc/../root\"]")),
	 "runtimes[0].etc must be a plain path below /etc"},
	{TABLE(LEAST(",\"find\":" FIND ",\"etc\":[\"/etc/passwd\"]")),
	 "runtimes[0].etc is something every sandbox has"},
	{TABLE(LEAST(",\"find\":" FIND ",\"run\":[" X25 "]")),
	 "runtimes[0].run has more than 24 items"},
	{TABLE(LEAST(COMPILE(PRODUCT))), NULL},
	{TABLE(LEAST(COMPILE("") ",\"find\":" FIND)), NULL},
	{TABLE(LEAST(COMPILE(""))),
	 "runtimes[0].find must be an array of at least one"},
	{TABLE(LEAST(COMPILE(PRODUCT) ",\"find\":" FIND)),
	 "runtimes[0].find is not for a row whose compile.product is run"},
	{TABLE(LEAST(COMPILE(",\"product\":\"/workspace/x\""))),
	 "runtimes[0].compile.product must be a plain path below /tmp"},
	{TABLE(LEAST(COMPILE(",\"product\":\"/tmp/../x\""))),
	 "runtimes[0].compile.product must be a plain path below /tmp"},
	{TABLE(LEAST(COMPILE(PRODUCT ",\"out\":\"x\""))),
	 "runtimes[0].compile.out is not a field"},
	{TABLE(LEAST(COMPILE(PRODUCT) ",\"driver\":\"driver.x\"")),
	 "runtimes[0].driver is not for a language that is compiled"},
	{TABLE(LEAST(COMPILE(PRODUCT) ",\"zygote\":\"zygote.x\"")),
	 "runtimes[0].zygote is not for a language that is compiled"},
	{TABLE(LEAST(COMPILE(PRODUCT) ",\"ahead\":\"ahead.x\"")),
	 "runtimes[0].ahead is not for a language that is compiled"},
	{TABLE(LEAST(",\"compile\":5")), "runtimes[0].compile must be an object"},
	{TABLE(LEAST(",\"compile\":{\"find\":" FIND ",\"args\":[\"x\"]}")),
	 "runtimes[0].compile.timeout_ms is missing"},
	{TABLE(LEAST(",\"compile\":{\"find\":" FIND
		     ",\"args\":[\"x\"],\"timeout_ms\":99}")),
	 "runtimes[0].compile.timeout_ms must be a whole number from 100 to 300000"},
	{TABLE(""), "\"runtimes\" must be an array of at least one"},
	{TABLE("5"), "runtimes[0] must be an object"},
	{"[]", "the root must be an object"},
	{"{\"runtimes\":[],\"runtimes\":[]}", "\"runtimes\" stands twice"},
	{"{\"runtimes\":[]} x", "not JSON"},
	{"/* no */ {}", "not JSON"},
};

static char dir[] = "/tmp/t_gen.XXXXXX";
static char path[64];

static void write_table(const char *json)
{
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && !fd_write_all(fd, json, strlen(json)));
}

/* Exit status of `gen mode file`; what it wrote to fd (1 or 2) is added to out. */
static int run_gen(const char *mode, const char *file, int fd, struct buf *out)
{
	char gen[] = GEN, m[16], f[64];
	char *argv[] = {gen, m, f, NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t acts;
	struct err e = {0};
	int p[2], status = -1;
	pid_t pid;

	snprintf(m, sizeof(m), "%s", mode);
	snprintf(f, sizeof(f), "%s", file);
	must(!fd_pipe(p, &e));
	posix_spawn_file_actions_init(&acts);
	posix_spawn_file_actions_addopen(&acts, 3 - fd, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&acts, p[1], fd);
	if (posix_spawn(&pid, GEN, &acts, NULL, argv, envp)) {
		printf("Bail out! %s is missing: run from the project's folder\n", GEN);
		exit(1);
	}
	posix_spawn_file_actions_destroy(&acts);
	fd_close(&p[1]);
	must(!fd_read_all(p[0], out, &e));
	fd_close(&p[0]);
	must(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_row(size_t i)
{
	AUTO_BUF said;
	int got;

	buf_init(&said, 1 << 16);
	write_table(rows[i].json);
	got = run_gen("runtimes", path, 2, &said);
	if (rows[i].complaint)
		ok(got == 1 && strstr(buf_cstr(&said), rows[i].complaint),
		   "row %zu is refused: %s", i, rows[i].complaint);
	else
		ok(got == 0 && !said.n, "row %zu is accepted", i);
	if (said.n)
		printf("# %s", buf_cstr(&said));
}

/* fixtures.json is many files in one: each member is found by name, the whole is not. */
static void test_members(void)
{
	AUTO_BUF out = {0};

	buf_init(&out, 1 << 16);
	snprintf(path, sizeof(path), "%s/fixtures.json", dir);
	write_table("{ \"a\": {\"x\": 95.5}, \"b\": {} }");
	ok(run_gen("schemas", path, 1, &out) == 0 &&
		   strstr(buf_cstr(&out), "{\"fixtures.json\" \"#\" \"a\", doc_0,") &&
		   strstr(buf_cstr(&out), "{\"fixtures.json\" \"#\" \"b\", doc_1,") &&
		   !strstr(buf_cstr(&out), "{\"fixtures.json\","),
	   "fixtures.json is offered member by member");
	/* {"x":95.5} */
	ok(strstr(buf_cstr(&out), "123,34,120,34,58,57,53,46,53,125,"),
	   "a member keeps its text");
	buf_reset(&out);
	write_table("{\"a\":{},\"b\":5}");
	ok(run_gen("schemas", path, 2, &out) == 1 &&
		   strstr(buf_cstr(&out), "\"b\" must be an object"),
	   "a member that is no object is refused");
	unlink(path);
}

int main(void)
{
	AUTO_BUF out;

	must(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/runtimes.json", dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		test_row(i);
	buf_init(&out, 1 << 20);
	write_table(rows[1].json);
	ok(run_gen("runtimes", path, 1, &out) == 0 &&
		   strstr(buf_cstr(&out), "\"A=b\\077\\042\\134\"") &&
		   !strstr(buf_cstr(&out), "why"),
	   "strings are escaped, notes stay behind");
	unlink(path);
	ok(run_gen("schemas", path, 2, &out) == 1, "a missing file is an error");
	ok(run_gen("nothing", path, 2, &out) == 1, "so is an unknown mode");
	test_members();
	rmdir(dir);
	return tap_done();
}
