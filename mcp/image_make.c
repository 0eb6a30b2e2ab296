/* image_make.c: `fumehood image create`: packages into a folder, the folder into an image.
 *
 * What is installed is not trusted: it will run in sandboxes only. So nothing of it may run here: wheels alone
 * from PyPI (a source package is built by its own code), no scripts of npm's packages, and no requirement
 * that names a URL, a path or a repository, for which pip and npm do build. Python's compiler reads the
 * sources without running them. What must run to be useful, runs in a sandbox (image_cache.c). */
#include "mcp/image.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PACKAGES 64
#define MAX_SPEC 200
#define MAX_ARGV (MAX_PACKAGES + 24)

struct specs {
	char text[MAX_PACKAGES][MAX_SPEC];
	unsigned n;
};

struct making {
	const struct options *o;
	const char *name;
	int dir; /* NAME.new */
	const char *python, *node, *npm;
	struct specs for_python, for_javascript;
};

/* --- what may be asked for ----------------------------------------------------------------------------- */

static bool is_one_of(char c, const char *more)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr(more, c));
}

/* A name, extras in brackets, versions: of PEP 508 what names no place and has no blanks. For pip nothing that
 * begins otherwise could be an option, a path or a URL. */
static bool is_python_spec(struct sv s)
{
	bool good = s.n > 0 && is_one_of(s.p[0], "");

	for (size_t i = 0; i < s.n; i++)
		good = good && is_one_of(s.p[i], "-_.[],<>=!~*+");
	/* which pip would look for as a file */
	return good && !sv_ends(s, SV(".whl")) && !sv_ends(s, SV(".zip")) &&
	       !sv_ends(s, SV(".gz")) && !sv_ends(s, SV(".bz2")) &&
	       !sv_ends(s, SV(".xz"));
}

/* name, @scope/name, and after another @ versions or a tag. */
static bool is_javascript_spec(struct sv s)
{
	size_t at = s.n && s.p[0] == '@', slashes = 0, ats = 0;
	bool good = s.n > at && is_one_of(s.p[at], "") && s.p[s.n - 1] != '/';

	for (size_t i = at; i < s.n; i++) {
		good = good && is_one_of(s.p[i], "-_.@/^~<>=*+|");
		ats += s.p[i] == '@';
		slashes += s.p[i] == '/';
		good = good && !(s.p[i] == '/' && ats);
	}
	return good && slashes == at && ats <= 1 && !sv_ends(s, SV(".tgz")) &&
	       !sv_ends(s, SV(".tar")) && !sv_ends(s, SV(".gz"));
}

static int take_specs(const char *list, bool (*is_spec)(struct sv s), struct specs *ret,
		      struct err *e)
{
	while (*list) {
		const size_t blanks = strspn(list, " \t\n"),
			     n = strcspn(list + blanks, " \t\n");
		const struct sv s = {list + blanks, n};
		char shown[100];

		list += blanks + n;
		if (!n)
			break;
		if (!is_spec(s) || s.n >= MAX_SPEC) {
			err_set(e, ERR_INVALID, "no package: %s",
				log_esc(s, shown, sizeof(shown)));
			return err_fix(
				e,
				"packages are named, with versions if you like, as in "
				"'pandas==3.* numpy>=2' and '@types/node@24'; no "
				"paths or URLs: building those runs their code");
		}
		if (ret->n == MAX_PACKAGES)
			return err_set(e, ERR_LIMIT, "more than %d packages",
				       MAX_PACKAGES);
		if (sv_copy(s, ret->text[ret->n++], MAX_SPEC))
			return err_set(e, ERR_INVALID,
				       "a package's name has a NUL byte");
	}
	return 0;
}

/* --- programs of the host ----------------------------------------------------------------------------- */

struct call {
	char *argv[MAX_ARGV + 1];
	unsigned n;
};

static void add(struct call *c, const char *arg)
{
	union {
		const char *in;
		char *out; /* execve keeps the const its prototype lacks */
	} u = {arg};

	must(c->n < MAX_ARGV);
	c->argv[c->n++] = u.out;
}

static void add_words(struct call *c, const char *const *words)
{
	for (; *words; words++)
		add(c, *words);
}

static void add_specs(struct call *c, const struct specs *s)
{
	for (unsigned i = 0; i < s->n; i++)
		add(c, s->text[i]);
}

/* Its exit status, 128 and more for a signal; -1: it could not be started. out -1: to stderr. */
static int run(const struct making *m, const struct call *c, int out, bool quiet,
	       struct err *e)
{
	const struct launch_installer i = {.path = c->argv[0],
					   .argv = c->argv,
					   .dir = m->dir,
					   .out = out < 0 ? STDERR_FILENO : out,
					   .quiet = quiet};
	int status;

	if (launch_installer(&i, &status, e))
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_or_fail(const struct making *m, const struct call *c, const char *what,
		       struct err *e)
{
	const int status = run(m, c, -1, false, e);

	if (status <= 0)
		return status;
	err_set(e, ERR_UNAVAILABLE, "%s failed (status %d)", what, status);
	return err_fix(e, "it says why above; nothing was made");
}

/* The first line of what it prints. */
static int ask(const struct making *m, const struct call *c, char *dst, size_t size,
	       struct err *e)
{
	AUTO_FD out = memfd_create("answer", MFD_CLOEXEC);
	ssize_t n;

	if (out < 0)
		return err_sys(e, "memfd_create");
	if (run(m, c, out, true, e))
		return err_set(e, ERR_UNAVAILABLE, "%s does not run", c->argv[0]);
	n = pread(out, dst, size - 1, 0);
	dst[n > 0 ? n : 0] = '\0';
	dst[strcspn(dst, "\n")] = '\0';
	return 0;
}

/* --- Python ----------------------------------------------------------------------------------------------- */

/* Isolated (-I): neither the current folder nor PYTHON* variables lend it modules. */
static bool has_pip(const struct making *m)
{
	static const char *const words[] = {"-I", "-m", "pip", "--version", NULL};
	struct call c = {.n = 0};
	char version[200];

	add(&c, m->python);
	add_words(&c, words);
	return !ask(m, &c, version, sizeof(version), NULL);
}

/* Debian has pip in a package of its own, or wrapped up for virtual environments. */
static int make_venv(const struct making *m, struct err *e)
{
	static const char *const words[] = {"-I", "-m", "venv", ".venv", NULL};
	struct call c = {.n = 0};
	int status;

	add(&c, m->python);
	add_words(&c, words);
	status = run(m, &c, -1, true, e);
	if (status <= 0)
		return status;
	err_set(e, ERR_UNAVAILABLE, "%s has no pip", m->python);
	return err_fix(e, "apt-get install python3-pip");
}

static int compile(const struct making *m, const char *what, struct err *e)
{
	/* hashes that nobody checks, as nothing in an image changes; and tracebacks with the paths that programs see */
	static const char *const words[] = {"-I",
					    "-m",
					    "compileall",
					    "-qq",
					    "-j",
					    "0",
					    "--invalidation-mode",
					    "unchecked-hash",
					    "-s",
					    "python",
					    "-p",
					    "/opt/fumehood/python",
					    NULL};
	struct call c = {.n = 0};
	int status;

	add(&c, m->python);
	add_words(&c, words);
	add(&c, what);
	status = run(m, &c, -1, true, e);
	/* 1: some file is no Python of this version, as tests of packages are */
	return status < 0 || status == 1 || !status
		       ? (status < 0 ? -1 : 0)
		       : err_set(e, ERR_UNAVAILABLE,
				 "Python's compiler failed (status %d)", status);
}

static int install_python(const struct making *m, struct err *e)
{
	static const char *const words[] = {"-I",
					    "-m",
					    "pip",
					    "install",
					    "--target",
					    "python",
					    "--only-binary",
					    ":all:",
					    "--no-compile",
					    "--no-input",
					    "--disable-pip-version-check",
					    "--progress-bar",
					    "off",
					    "--root-user-action",
					    "ignore",
					    "--",
					    NULL};
	struct call c = {.n = 0};
	const bool pip = has_pip(m);

	if (mkdirat(m->dir, "python", 0755))
		return err_sys(e, "make the folder of Python's packages");
	if (!m->for_python.n)
		return 0;
	dprintf(STDERR_FILENO,
		"fumehood: installing %u package%s from PyPI, with all that is needed\n",
		m->for_python.n, m->for_python.n == 1 ? "" : "s");
	if (!pip && make_venv(m, e))
		return -1;
	add(&c, pip ? m->python : ".venv/bin/python");
	add_words(&c, words);
	add_specs(&c, &m->for_python);
	if (run_or_fail(m, &c, "pip", e) ||
	    (!pip && image_tree_remove(m->dir, ".venv", e)))
		return -1;
	dprintf(STDERR_FILENO, "fumehood: compiling them\n");
	return compile(m, "python", e);
}

/* --- JavaScript ------------------------------------------------------------------------------------------- */

static int install_javascript(const struct making *m, struct err *e)
{
	static const char *const words[] = {"install",
					    "--ignore-scripts",
					    "--prefix",
					    "javascript",
					    "--no-audit",
					    "--no-fund",
					    "--no-update-notifier",
					    "--no-bin-links",
					    "--install-strategy=hoisted",
					    "--",
					    NULL};
	struct call c = {.n = 0};

	if (!m->for_javascript.n)
		return 0;
	if (mkdirat(m->dir, "javascript", 0755))
		return err_sys(e, "make the folder of JavaScript's packages");
	dprintf(STDERR_FILENO,
		"fumehood: installing %u package%s from npm, with all that is needed\n",
		m->for_javascript.n, m->for_javascript.n == 1 ? "" : "s");
	add(&c, m->npm);
	add_words(&c, words);
	add_specs(&c, &m->for_javascript);
	return run_or_fail(m, &c, "npm", e);
}

/* --- the manifest ----------------------------------------------------------------------------------------- */

static void put_package(struct jw *w, struct sv language, struct sv name,
			struct sv version)
{
	if (!image_is_plain(name) || !image_is_plain(version))
		return;
	jw_obj(w);
	jw_kstr(w, "language", language);
	jw_kstr(w, "name", name);
	jw_kstr(w, "version", version);
	jw_obj_end(w);
}

/* The value of a header in core metadata, a name and a colon at the beginning of a line. */
static struct sv header(struct sv text, struct sv name)
{
	struct sv line;
	bool more = true;

	while (sv_cut(&text, '\n', &more, &line) && line.n)
		if (sv_starts(line, name))
			return sv_trim((struct sv){line.p + name.n, line.n - name.n});
	return (struct sv){"", 0};
}

static void put_dist_info(const struct making *m, struct jw *w, const char *folder)
{
	AUTO_BUF b = {.max = (size_t)4 << 20};
	char path[400];
	AUTO_FD fd = -1;

	snprintf(path, sizeof(path), "python/%.300s/METADATA", folder);
	fd = openat(m->dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && !fd_read_all(fd, &b, NULL))
		put_package(w, SV("python"), header(buf_view(&b), SV("Name:")),
			    header(buf_view(&b), SV("Version:")));
}

static int is_dist_info(const struct dirent *row)
{
	return sv_ends(sv_of(row->d_name), SV(".dist-info"));
}

static void put_python(const struct making *m, struct jw *w)
{
	struct dirent **rows = NULL;
	const int n = scandirat(m->dir, "python", &rows, is_dist_info, alphasort);

	for (int i = 0; i < n; i++) {
		put_dist_info(m, w, rows[i]->d_name);
		mem_free(rows[i]);
	}
	mem_free(rows);
}

/* npm's own list: "node_modules/a/node_modules/b": {"version": ...} */
static void put_javascript(const struct making *m, struct jw *w)
{
	AUTO_FD fd = openat(m->dir, "javascript/node_modules/.package-lock.json",
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO_BUF b = {.max = (size_t)16 << 20};
	struct cJSON *list;

	if (fd < 0 || fd_read_all(fd, &b, NULL))
		return;
	list = rpc_json_parse(buf_view(&b), NULL);
	for (const struct cJSON *p = js_first(js_get(list, "packages")); p;
	     p = js_next(p)) {
		static const char folder[] = "node_modules/";
		struct sv name = js_name(p);

		for (size_t i = name.n; i-- > 0;)
			if (sv_starts((struct sv){name.p + i, name.n - i},
				      SV("node_modules/"))) {
				name.p += i + sizeof(folder) - 1;
				name.n -= i + sizeof(folder) - 1;
				break;
			}
		put_package(w, SV("javascript"), name, js_str(js_get(p, "version")));
	}
	cJSON_Delete(list);
}

static void put_asked(struct jw *w, const char *language, const struct specs *s)
{
	jw_key(w, language);
	jw_arr(w);
	for (unsigned i = 0; i < s->n; i++)
		jw_str(w, sv_of(s->text[i]));
	jw_arr_end(w);
}

static void put_time(struct jw *w)
{
	const time_t now = (time_t)(loop_wall_us() / 1000000);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	jw_kstr(w, "created", sv_of(text));
}

static int put_interpreters(const struct making *m, struct jw *w, struct err *e)
{
	const struct {
		const char *key, *path;
	} rows[] = {{"python", m->for_python.n ? m->python : NULL},
		    {"javascript", m->for_javascript.n ? m->node : NULL}};

	jw_key(w, "interpreters");
	jw_obj(w);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct call c = {.n = 0};
		char text[80];

		if (!rows[i].path)
			continue;
		add(&c, rows[i].path);
		add(&c, "--version");
		if (ask(m, &c, text, sizeof(text), e))
			return -1;
		jw_kstr(w, rows[i].key, sv_of(text));
	}
	jw_obj_end(w);
	return 0;
}

static int write_manifest(const struct making *m, struct err *e)
{
	AUTO_BUF b = {.max = IMAGE_MAX_MANIFEST_BYTES};
	char digest[IMAGE_DIGEST_SIZE];
	struct image_sum sum;
	struct jw w;
	AUTO_FD fd = -1;

	if (image_tree_check(m->dir, &sum, e) || image_tree_digest(m->dir, digest, e))
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "format", 1);
	jw_kstr(&w, "name", sv_of(m->name));
	jw_kstr(&w, "sha256", sv_of(digest));
	jw_kint(&w, "entries", (int64_t)sum.entries);
	jw_kint(&w, "bytes", (int64_t)sum.bytes);
	put_time(&w);
	if (put_interpreters(m, &w, e))
		return -1;
	jw_key(&w, "asked");
	jw_obj(&w);
	put_asked(&w, "python", &m->for_python);
	put_asked(&w, "javascript", &m->for_javascript);
	jw_obj_end(&w);
	jw_key(&w, "packages");
	jw_arr(&w);
	put_python(m, &w);
	put_javascript(m, &w);
	jw_arr_end(&w);
	jw_obj_end(&w);
	buf_byte(&b, '\n');
	if (b.failed)
		return err_set(e, ERR_LIMIT, "too many packages for a manifest");
	fd = openat(m->dir, IMAGE_MANIFEST,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || fchmod(fd, 0644) || fd_write_all(fd, b.p, b.n))
		return err_sys(e, "write the manifest");
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------------------- */

static const char *find_interpreter(const char *runtime)
{
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		for (const char *const *p = pol_runtimes[i].find;
		     !strcmp(pol_runtimes[i].name, runtime) && *p; p++)
			if (!access(*p, X_OK))
				return *p;
	return NULL;
}

static const char *find_npm(void)
{
	return !access("/usr/bin/npm", X_OK)	     ? "/usr/bin/npm"
	       : !access("/usr/local/bin/npm", X_OK) ? "/usr/local/bin/npm"
						     : NULL;
}

static int prepare(struct making *m, struct err *e)
{
	if (take_specs(m->o->python, is_python_spec, &m->for_python, e) ||
	    take_specs(m->o->javascript, is_javascript_spec, &m->for_javascript, e))
		return -1;
	if (!m->for_python.n && !m->for_javascript.n) {
		err_set(e, ERR_INVALID, "an image of no packages");
		return err_fix(
			e, "name some: --python 'numpy pandas', --javascript 'lodash'");
	}
	m->python = find_interpreter("python");
	m->node = find_interpreter("javascript");
	m->npm = find_npm();
	if (m->for_python.n && !m->python) {
		err_set(e, ERR_UNAVAILABLE, "Python is not installed on this host");
		return err_fix(e, "apt-get install python3 python3-pip");
	}
	if (m->for_javascript.n && (!m->node || !m->npm)) {
		err_set(e, ERR_UNAVAILABLE,
			"Node.js or npm is not installed on this host");
		return err_fix(e, "apt-get install nodejs npm");
	}
	return 0;
}

static int fill(struct making *m, struct err *e)
{
	if ((m->for_python.n && install_python(m, e)) || install_javascript(m, e) ||
	    image_tree_seal(m->dir, e))
		return -1;
	if (m->for_python.n &&
	    (image_make_caches(m->o, m->dir, m->name, e) ||
	     compile(m, "python/sitecustomize.py", e) || image_tree_seal(m->dir, e)))
		return -1;
	dprintf(STDERR_FILENO, "fumehood: hashing all of it\n");
	if (write_manifest(m, e))
		return -1;
	/* thousands of files: one flush of their file system instead of one for each */
	return syncfs(m->dir) ? err_sys(e, "write the image to the disk") : 0;
}

int image_make(const struct options *o, int store, const char *name, struct err *e)
{
	static struct making m;
	char at[IMAGE_NAME_SIZE + 8];
	bool kept;
	int bad;

	m = (struct making){.o = o, .name = name, .dir = -1};
	if (prepare(&m, e))
		return -1;
	snprintf(at, sizeof(at), "%s.new", name);
	if (mkdirat(store, at, 0755))
		return err_sys(e, "make the folder %.70s", at);
	m.dir = openat(store, at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bad = m.dir < 0 ? err_sys(e, "open the folder %.70s", at) : fill(&m, e);
	fd_close(&m.dir);
	if (!bad)
		return image_publish(store, name, &kept, e);
	image_tree_remove(store, at, NULL);
	return -1;
}
