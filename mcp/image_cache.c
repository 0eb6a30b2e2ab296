/* image_cache.c: what packages compute when they are first imported, computed once.
 *
 * It takes running their code, so it is done by `fumehood run` with the image under way, in a sandbox as any
 * program's. What that prints is put into a file of the image: it is no more trusted than the packages are. Where no
 * sandbox can be made, or a package has changed its ways, there is no cache, and it is computed at each
 * import as it would be without.
 *
 * matplotlib looks through all fonts (about a second) and keeps the list where MPLCONFIGDIR says, which must be a folder
 * it can write to: /tmp, new in each sandbox. A sitecustomize.py links the list there when Python starts. */
#include "mcp/image.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_LIST_BYTES ((size_t)8 << 20)

/* Prints the name of the list's file, and the list. */
static const char list_fonts[] =
	"import json, os\n"
	"os.dup2(os.open(os.devnull, os.O_WRONLY), 2) # fc-list misses its configuration\n"
	"import matplotlib, matplotlib.font_manager\n"
	"folder = matplotlib.get_cachedir()\n"
	"name, = [n for n in os.listdir(folder) if n.startswith('fontlist')]\n"
	"text = open(os.path.join(folder, name), encoding='utf-8').read()\n"
	"json.loads(text)\n"
	"print(name)\n"
	"print(text, end='')\n";

static const char site[] =
	"# Written by `fumehood image create`: gives matplotlib its list of fonts.\n"
	"import os\n\n"
	"try:\n"
	"    os.mkdir('/tmp/matplotlib')\n"
	"    os.symlink('/opt/fumehood/cache/matplotlib/%s', '/tmp/matplotlib/%s')\n"
	"except OSError:\n"
	"    pass\n"
	"del os\n";

static int write_file(int dir, const char *path, struct sv content, struct err *e)
{
	AUTO_FD fd = openat(dir, path,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	return fd < 0 || fd_write_all(fd, content.p, content.n)
		       ? err_sys(e, "write %.100s", path)
		       : 0;
}

struct call {
	char *argv[16];
	struct buf text[8]; /* of those that were put together */
	unsigned n, texts;
};

static void add(struct call *c, const char *arg)
{
	union {
		const char *in;
		char *out; /* execve keeps the const its prototype lacks */
	} u = {arg};

	must(c->n + 1 < ARRAY_LEN(c->argv));
	c->argv[c->n++] = u.out;
}

static void add_option(struct call *c, const char *name, const char *value)
{
	struct buf *b = &c->text[c->texts++];

	if (!*value)
		return;
	buf_init(b, 8192);
	buf_fmt(b, "--%s=%s", name, value);
	add(c, buf_cstr(b));
}

/* What a program of ours prints in a sandbox with the image; -1 whatever went wrong. */
static int run_inside(const struct options *o, const char *name, const char *program,
		      struct buf *ret)
{
	struct call c = {.n = 0};
	char *const no_environment[] = {NULL};
	AUTO_FD out = memfd_create("output", MFD_CLOEXEC);
	AUTO_FD code = memfd_create("code", MFD_CLOEXEC);
	AUTO_FD here = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char at[40];
	int status = -1;

	if (out < 0 || code < 0 || here < 0 ||
	    fd_write_all(code, program, strlen(program)))
		return -1;
	snprintf(at, sizeof(at), "/proc/%d/fd/%d", (int)getpid(), code);
	add(&c, "fumehood");
	add(&c, "run");
	add(&c, "--image-unfinished");
	add(&c, "--timeout-ms=120000");
	add(&c, "--language=python");
	add_option(&c, "image", name);
	add_option(&c, "state", o->state_dir);
	add_option(&c, "bwrap", o->bwrap);
	add_option(&c, "uid-base", o->uid_base);
	add_option(&c, "uid-count", o->uid_count);
	add(&c, at);
	if (launch_installer(&(struct launch_installer){.path = "/proc/self/exe",
							.argv = c.argv,
							.envp = no_environment,
							.dir = here,
							.out = out},
			     &status, NULL))
		status = -1;
	for (unsigned i = 0; i < c.texts; i++)
		buf_finish(&c.text[i]);
	if (status || fd_size(out) > (int64_t)MAX_LIST_BYTES || lseek(out, 0, SEEK_SET))
		return -1;
	return fd_read_all(out, ret, NULL);
}

static bool is_file_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
		      (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.' ||
		      s.p[i] == '-'))
			return false;
	return s.n && s.n < 64 && sv_starts(s, SV("fontlist"));
}

static int keep_fonts(int dir, struct sv file, struct sv list, struct err *e)
{
	AUTO_BUF b = {.max = 4096};
	char name[64], path[128];

	if (sv_copy(file, name, sizeof(name)))
		return err_set(e, ERR_INVALID, "the list of fonts has no name");
	if (mkdirat(dir, "cache", 0755) || mkdirat(dir, "cache/matplotlib", 0755))
		return err_sys(e, "make the folder of caches");
	snprintf(path, sizeof(path), "cache/matplotlib/%s", name);
	for (const char *p = site; *p; p++) {
		const bool here = p[0] == '%' && p[1] == 's';

		if (here)
			buf_str(&b, name);
		else
			buf_byte(&b, *p);
		p += here;
	}
	return write_file(dir, path, list, e) ||
	       write_file(dir, "python/sitecustomize.py", buf_view(&b), e);
}

int image_make_caches(const struct options *o, int dir, const char *name, struct err *e)
{
	AUTO_BUF b = {.max = MAX_LIST_BYTES};
	struct sv rest, file;
	bool more = true;

	if (faccessat(dir, "python/matplotlib/font_manager.py", F_OK, 0) ||
	    !faccessat(dir, "python/sitecustomize.py", F_OK, 0))
		return 0;
	dprintf(STDERR_FILENO,
		"fumehood: making matplotlib's list of fonts, in a sandbox\n");
	if (!run_inside(o, name, list_fonts, &b)) {
		rest = buf_view(&b);
		if (sv_cut(&rest, '\n', &more, &file) && is_file_name(file) && rest.n)
			return keep_fonts(dir, file, rest, e);
	}
	dprintf(STDERR_FILENO,
		"fumehood: that did not work; matplotlib will make it at each first import\n");
	return 0;
}
