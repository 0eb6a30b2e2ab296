/* request.c: arguments of run_code and run_command -> a checked struct run_request.
 *
 * The arguments already match the tool's schema and, as the parser refuses them, hold no NUL bytes:
 * js_str ends at the first one. What a schema cannot say is checked here, where
 * the error can name the field; policy and guest check again what they depend on. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <sodium.h>

#define ID_BYTES 36 /* "ses_" and 32 hex digits */

int request_number(const struct cJSON *args, const char *name, int64_t min,
		   int64_t *ret, struct err *e)
{
	const struct cJSON *v = js_get(args, name);

	if (!v || (!js_int(v, ret) && *ret >= min))
		return 0;
	return err_set(e, ERR_INVALID, "%s is not a whole number from %lld on", name,
		       (long long)min);
}

int request_session(const struct cJSON *args, struct sv *ret, struct err *e)
{
	const struct cJSON *v = js_get(args, "session_id");
	const struct sv id = js_str(v);
	size_t n = 4;

	if (!v)
		return 0;
	if (id.n == ID_BYTES && sv_starts(id, SV("ses_")))
		while (n < id.n && memchr("0123456789abcdef", id.p[n], 16))
			n++;
	if (n == ID_BYTES) {
		*ret = id;
		return 0;
	}
	err_set(e, ERR_NOT_FOUND, "there is no session with that session_id");
	return err_fix(e,
		       "use a session_id that session_create gave; session_list shows "
		       "those that are left");
}

/* --- paths ------------------------------------------------------------------------------------ */

static int bad_path(struct err *e, const char *field, const char *what)
{
	err_set(e, ERR_INVALID, "%s %s", field, what);
	return err_fix(
		e,
		"give a path relative to /workspace with plain parts, like data/in.csv");
}

int request_path(struct sv path, const char *field, struct err *e)
{
	struct sv rest = path, part;
	bool more = true;

	if (!path.n)
		return bad_path(e, field, "is empty");
	if (path.p[0] == '/')
		return bad_path(e, field, "starts with /");
	if (path.p[path.n - 1] == '/')
		return bad_path(e, field, "ends with /");
	if (path.n > RUN_MAX_PATH_BYTES)
		return bad_path(e, field, "is longer than 4000 bytes");
	while (sv_cut(&rest, '/', &more, &part)) {
		if (!part.n)
			return bad_path(e, field, "has an empty part (//)");
		if (sv_eq(part, SV(".")) || sv_eq(part, SV("..")))
			return bad_path(e, field, "has a part that is . or ..");
		if (part.n > RUN_MAX_PART_BYTES)
			return bad_path(e, field, "has a part longer than 255 bytes");
	}
	return 0;
}
_Static_assert(RUN_MAX_PATH_BYTES == 4000 && RUN_MAX_PART_BYTES == 255,
	       "as the errors say");

/* path is dir itself or lies in it */
static bool path_within(struct sv path, struct sv dir)
{
	return sv_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/');
}

/* By bytes, '/' before all others: what lies in a folder follows it at once. */
static int path_order(const void *va, const void *vb)
{
	const struct sv *a = va, *b = vb;
	size_t i = 0;

	while (i < a->n && i < b->n && a->p[i] == b->p[i])
		i++;
	if (i == a->n || i == b->n)
		return (a->n > b->n) - (a->n < b->n);
	if (a->p[i] == '/' || b->p[i] == '/')
		return a->p[i] == '/' ? -1 : 1;
	return (unsigned char)a->p[i] < (unsigned char)b->p[i] ? -1 : 1;
}

static int quoted_len(struct sv s)
{
	return s.n < 80 ? (int)s.n : 80;
}

static int refuse_clashes(const struct cJSON *files, struct err *e)
{
	struct sv *paths;
	size_t n = 0, i = 0;
	const struct cJSON *f;
	int bad = 0;

	for (f = js_first(files); f; f = js_next(f))
		n++;
	if (n < 2)
		return 0;
	paths = mem_alloc(n * sizeof(*paths));
	if (!paths)
		return err_set(e, ERR_LIMIT, "no memory for the list of files");
	for (f = js_first(files); f; f = js_next(f))
		paths[i++] = js_str(js_get(f, "path"));
	qsort(paths, n, sizeof(*paths), path_order);
	for (i = 1; i < n && !bad; i++) {
		struct sv a = paths[i - 1], b = paths[i];

		if (!path_within(b, a))
			continue;
		if (a.n == b.n)
			err_set(e, ERR_INVALID, "files: path \"%.*s\" is given twice",
				quoted_len(a), a.p);
		else
			err_set(e, ERR_INVALID,
				"files: path \"%.*s\" is a file and the folder of another",
				quoted_len(a), a.p);
		bad = err_fix(e, "give each file a path of its own");
	}
	mem_free(paths);
	return bad;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Name of the file that will hold the code; "" when the language is unknown (policy says so). */
static struct sv own_file(struct sv language)
{
	const struct pol_runtime *r = runtime_of(language);

	return r ? sv_of(r->file) : SV("");
}

int request_base64(struct sv text, const char *field, struct buf *ret, struct err *e)
{
	size_t max = text.n / 4 * 3 + 3, n = 0;
	const char *end = NULL;
	char *at;

	buf_init(ret, max);
	at = buf_reserve(ret, max);
	if (!at)
		return err_set(e, ERR_LIMIT, "no memory to decode %s", field);
	if (sodium_base642bin((unsigned char *)at, max, text.p, text.n, NULL, &n, &end,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    end != text.p + text.n) {
		err_set(e, ERR_INVALID, "%s is not base64 (wrong at byte %zu)", field,
			end ? (size_t)(end - text.p) : 0);
		return err_fix(
			e,
			"use the standard alphabet (A-Z a-z 0-9 + /) with = padding and "
			"no line breaks, or encoding \"text\"");
	}
	buf_commit(ret, n);
	return 0;
}

static int add_base64(struct buf *input, struct sv path, struct sv text, unsigned index,
		      struct err *e)
{
	AUTO_BUF bytes = {0};
	char field[32];

	snprintf(field, sizeof(field), "files[%u].content", index);
	return request_base64(text, field, &bytes, e)
		       ? -1
		       : sup_input_file(input, path, buf_view(&bytes), e);
}

/* From a session or an ended run; whose that is, and whether it is there, is found out later. */
static int add_input(struct run_request *r, struct sv to, const struct cJSON *from,
		     unsigned index, struct err *e)
{
	const struct sv path = js_str(js_get(from, "path"));
	struct sv id = js_str(js_get(from, "run_id"));
	char field[48];

	snprintf(field, sizeof(field), "files[%u].artifact", index);
	if (!js_get(from, "run_id") == !js_get(from, "session_id")) {
		err_set(e, ERR_INVALID, "%s has %s run_id", field,
			id.n ? "both session_id and" : "neither session_id nor");
		return err_fix(e, "give one of the two: whose file it is");
	}
	if (request_session(from, &id, e))
		return -1;
	snprintf(field, sizeof(field), "files[%u].artifact.path", index);
	if (request_path(path, field, e))
		return -1;
	buf_fmt(&r->inputs, "%u", index);
	buf_byte(&r->inputs, '\0');
	buf_sv(&r->inputs, id);
	buf_byte(&r->inputs, '\0');
	buf_sv(&r->inputs, path);
	buf_byte(&r->inputs, '\0');
	buf_sv(&r->inputs, to);
	buf_byte(&r->inputs, '\0');
	return r->inputs.failed
		       ? err_set(e, ERR_LIMIT, "no memory for the list of files")
		       : 0;
}

static int add_file(struct run_request *r, const struct cJSON *f, unsigned index,
		    struct sv own, struct err *e)
{
	struct sv path = js_str(js_get(f, "path")),
		  content = js_str(js_get(f, "content"));
	struct sv encoding = js_str(js_get(f, "encoding"));
	const struct cJSON *artifact = js_get(f, "artifact");
	char field[32];

	snprintf(field, sizeof(field), "files[%u].path", index);
	if (request_path(path, field, e))
		return -1;
	if (own.n && path_within(path, own)) {
		err_set(e, ERR_INVALID,
			"%s is " SV_FMT ", which is where the code itself goes", field,
			SV_ARG(own));
		return err_fix(
			e,
			"give the program in code or command, and name this file otherwise");
	}
	if (!artifact == !js_get(f, "content")) {
		err_set(e, ERR_INVALID, "files[%u] has %s artifact", index,
			artifact ? "both content and" : "neither content nor");
		return err_fix(e, "give what is in it in content, or in artifact where "
				  "it is to be copied from");
	}
	if (artifact)
		return add_input(r, path, artifact, index, e);
	if (sv_eq(encoding, SV("base64")))
		return add_base64(&r->input, path, content, index, e);
	if (encoding.n && !sv_eq(encoding, SV("text"))) {
		err_set(e, ERR_INVALID, "files[%u].encoding is neither text nor base64",
			index);
		return -1;
	}
	return sup_input_file(&r->input, path, content, e);
}

static int add_files(struct run_request *r, const struct cJSON *files, struct sv own,
		     struct err *e)
{
	unsigned i = 0;

	for (const struct cJSON *f = js_first(files); f; f = js_next(f))
		if (add_file(r, f, i++, own, e))
			return -1;
	return refuse_clashes(files, e);
}

/* --- arguments and environment ---------------------------------------------------------------- */

/* execve refuses with E2BIG what is too much; the caller would learn that late and vaguely. */
static int count_exec(struct run_request *r, size_t n, const char *field, struct err *e)
{
	if (n > RUN_MAX_STRING_BYTES) {
		err_set(e, ERR_LIMIT, "%s is %zu bytes, at most %d are accepted", field,
			n, RUN_MAX_STRING_BYTES);
		return err_fix(e, "pass long data in stdin or files");
	}
	r->exec_bytes += n + 1 + sizeof(char *);
	if (r->exec_bytes > RUN_MAX_EXEC_BYTES) {
		err_set(e, ERR_LIMIT,
			"arguments and environment are more than %zu bytes together",
			RUN_MAX_EXEC_BYTES);
		return err_fix(e, "pass long data in stdin or files");
	}
	return 0;
}

static int add_args(struct run_request *r, const struct cJSON *list, const char *name,
		    struct err *e)
{
	char field[32];
	unsigned i = 0;

	for (const struct cJSON *v = js_first(list); v; v = js_next(v), i++) {
		struct sv value = js_str(v);

		snprintf(field, sizeof(field), "%s[%u]", name, i);
		if (count_exec(r, value.n, field, e) ||
		    sup_input_arg(&r->input, value, e))
			return -1;
	}
	return 0;
}

static bool is_env_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter =
			(c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return s.n > 0;
}

static int add_env(struct run_request *r, const struct cJSON *env, struct err *e)
{
	char field[96];

	for (const struct cJSON *v = js_first(env); v; v = js_next(v)) {
		struct sv name = js_name(v), value = js_str(v);

		snprintf(field, sizeof(field), "env.%.*s", quoted_len(name), name.p);
		if (!is_env_name(name)) {
			err_set(e, ERR_INVALID, "%s is not a name for a variable",
				field);
			return err_fix(
				e,
				"use letters, digits and _, not starting with a digit");
		}
		if (count_exec(r, name.n + 1 + value.n, field, e) ||
		    sup_input_env(&r->input, name, value, e))
			return -1;
	}
	return 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int check_size(const char *what, struct sv s, uint64_t max, const char *fix,
		      struct err *e)
{
	if (s.n <= max)
		return 0;
	err_set(e, ERR_LIMIT, "%s is %zu bytes, at most %llu (%llu MiB) are accepted",
		what, s.n, (unsigned long long)max, (unsigned long long)(max >> 20));
	return err_fix(e, "%s", fix);
}

bool run_wants_session(const struct run_request *req)
{
	return !req->session_id.n &&
	       (req->has_outputs || req->inputs.n || run_is_compiled(req));
}

bool run_is_compiled(const struct run_request *req)
{
	const struct pol_runtime *rt =
		req->tool == POL_RUN_CODE ? runtime_of(req->language) : NULL;

	return rt && rt->compile.find[0];
}

/* A path or pattern, as it is compared with the paths of files. */
static int add_output(struct run_request *r, struct sv p, unsigned index, struct err *e)
{
	char field[32];

	snprintf(field, sizeof(field), "outputs[%u]", index);
	if (sv_starts(p, SV("/workspace/")))
		p.p += 11, p.n -= 11;
	else if (sv_starts(p, SV("./")))
		p.p += 2, p.n -= 2;
	if (p.n > 1 && p.p[p.n - 1] == '/') /* a folder: all that is in it */
		p.n--;
	if (p.n > RUN_MAX_PATTERN_BYTES) {
		err_set(e, ERR_LIMIT, "%s is longer than %d bytes", field,
			RUN_MAX_PATTERN_BYTES);
		return err_fix(e, "use a shorter pattern, like out/*.png");
	}
	if (request_path(p, field, e))
		return -1;
	buf_sv(&r->declared, p);
	buf_byte(&r->declared, '\0');
	r->ndeclared++;
	return r->declared.failed ? err_set(e, ERR_LIMIT, "no memory for outputs") : 0;
}

static int add_outputs(struct run_request *r, const struct cJSON *list, struct err *e)
{
	unsigned i = 0;

	r->has_outputs = list != NULL;
	for (const struct cJSON *v = js_first(list); v; v = js_next(v), i++) {
		if (i == RUN_MAX_DECLARED) {
			err_set(e, ERR_LIMIT, "outputs has more than %d entries",
				RUN_MAX_DECLARED);
			return err_fix(e, "use patterns, like out/*.png");
		}
		if (add_output(r, js_str(v), i, e))
			return -1;
	}
	return 0;
}

/* In a session the code has a place of its own, where no file of the caller's can be, if an interpreter takes it. */
static int set_session(struct run_request *r, const struct cJSON *args, struct sv *own,
		       struct err *e)
{
	const struct pol_runtime *rt = runtime_of(r->language);

	if (request_session(args, &r->session_id, e))
		return -1;
	if (add_outputs(r, js_get(args, "outputs"), e))
		return -1;
	if (r->session_id.n && r->has_outputs) {
		err_set(e, ERR_INVALID, "outputs is given with session_id");
		return err_fix(
			e, "leave it out: in a session files stay, and changed_files "
			   "names those of each call");
	}
	if ((r->session_id.n || run_wants_session(r)) && (!rt || rt->driver[0]))
		*own = SV("");
	r->open_stdin = js_is_true(js_get(args, "open_stdin"));
	if (!r->open_stdin || r->background)
		return 0;
	err_set(e, ERR_INVALID, "open_stdin is given without background");
	return err_fix(e, "add background true, then send input with run_input and the "
			  "run_id of the answer; or give all of the input in stdin");
}

static int set_common(struct run_request *r, const struct cJSON *args, struct sv own,
		      struct err *e)
{
	const struct cJSON *timeout = js_get(args, "timeout_ms");

	r->stdin_text = js_str(js_get(args, "stdin"));
	if (check_size("stdin", r->stdin_text, POL_MAX_STDIN_BYTES, "send less", e))
		return -1;
	r->background = js_is_true(js_get(args, "background"));
	r->has_timeout = timeout != NULL;
	if (timeout && js_int(timeout, &r->timeout_ms)) {
		err_set(e, ERR_INVALID,
			"timeout_ms is not a whole number of milliseconds");
		return err_fix(
			e,
			"leave it out for the default of 10000, or give one like 30000");
	}
	if (set_session(r, args, &own, e) || add_env(r, js_get(args, "env"), e))
		return -1;
	return add_files(r, js_get(args, "files"), own, e);
}

/* Policy knows the languages; this is for names too long to ask it about. */
int request_language(struct sv language, struct err *e)
{
	char names[200] = "";
	size_t n = 0;

	if (language.n <= RUN_MAX_LANGUAGE_BYTES)
		return 0;
	for (unsigned i = 0; i < pol_runtimes_count && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
				      i ? ", " : "", pol_runtimes[i].name);
	err_set(e, ERR_NOT_FOUND, "language is no language but %zu bytes of text",
		language.n);
	return err_fix(e, "use one of: %s", names);
}

static void init_lists(struct run_request *r)
{
	buf_init(&r->input, POL_MAX_INPUT_BYTES);
	buf_init(&r->declared, RUN_MAX_DECLARED * (RUN_MAX_PATTERN_BYTES + 1));
	buf_init(&r->inputs, POL_MAX_INPUT_BYTES);
}

int run_request_code(const struct cJSON *args, struct run_request *r, struct err *e)
{
	*r = (struct run_request){.tool = POL_RUN_CODE};
	init_lists(r);
	r->language = js_str(js_get(args, "language"));
	r->code = js_str(js_get(args, "code"));
	if (request_language(r->language, e) ||
	    check_size("code", r->code, POL_MAX_CODE_BYTES,
		       "send a shorter program and its data in files", e) ||
	    add_args(r, js_get(args, "args"), "args", e))
		return -1;
	return set_common(r, args, own_file(r->language), e);
}

static int set_cwd(struct run_request *r, struct sv cwd, struct err *e)
{
	if (!cwd.n || sv_eq(cwd, SV(".")))
		return 0;
	return request_path(cwd, "cwd", e) ? -1 : sup_input_cwd(&r->input, cwd, e);
}

/* The request with command; policy gives it to bash. */
static int set_command(struct run_request *r, struct sv command, struct err *e)
{
	r->code = command;
	if (!sv_trim(command).n) {
		err_set(e, ERR_INVALID, "command is empty");
		return err_fix(e, "give a line for bash, like \"ls -l\"");
	}
	return check_size("command", command, POL_MAX_CODE_BYTES,
			  "send a shorter script and its data in files", e);
}

static int set_argv(struct run_request *r, const struct cJSON *argv, struct err *e)
{
	r->has_argv = true;
	if (!js_str(js_first(argv)).n) {
		err_set(e, ERR_INVALID, "argv[0] is missing or empty");
		return err_fix(e, "argv[0] is the program, like \"ls\"");
	}
	return add_args(r, argv, "argv", e);
}

int run_request_command(const struct cJSON *args, struct run_request *r, struct err *e)
{
	const struct cJSON *command = js_get(args, "command"),
			   *argv = js_get(args, "argv");

	*r = (struct run_request){.tool = POL_RUN_COMMAND};
	init_lists(r);
	if (!command == !argv) {
		err_set(e, ERR_INVALID, "%s",
			command ? "both command and argv are given"
				: "neither command nor argv is given");
		return err_fix(
			e, "give command (a line for bash) or argv (a program and its "
			   "arguments), exactly one of the two");
	}
	if (command ? set_command(r, js_str(command), e) : set_argv(r, argv, e))
		return -1;
	if (set_cwd(r, js_str(js_get(args, "cwd")), e))
		return -1;
	return set_common(r, args, command ? own_file(SV("bash")) : SV(""), e);
}

void run_request_finish(struct run_request *r)
{
	if (!r)
		return;
	buf_finish(&r->input);
	buf_finish(&r->declared);
	buf_finish(&r->inputs);
}
