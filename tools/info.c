/* info.c: what sandbox_info says, from what the keeper found and what the runtimes printed. */
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <inttypes.h>

/* --- versions --------------------------------------------------------------------------------- */

/* The first line with something in it, escaped, or "" when there is none. */
static void first_line(const struct sup_stream *s, char *dst, size_t size)
{
	struct sv rest, line = {"", 0};
	bool more = true;
	AUTO_BUF head = {0};
	AUTO_BUF tail = {0};

	buf_init(&head, SUP_HEAD_BYTES);
	buf_init(&tail, SUP_TAIL_BYTES);
	sup_stream_text(s, &head, &tail);
	rest = buf_view(&head);
	while (!line.n && sv_cut(&rest, '\n', &more, &line))
		line = sv_trim(line);
	log_esc(line, dst, size);
}

void info_version_of(const struct sup_answer *a, struct info_version *v)
{
	const struct sup_result *r = a->result;

	*v = (struct info_version){0};
	if (a->err) {
		snprintf(v->text, sizeof(v->text), "version not known: %.*s", 130,
			 a->err->cause);
		return;
	}
	if (r->status == SUP_CANCELLED) {
		snprintf(v->text, sizeof(v->text),
			 "version not known: asking was cancelled");
		return;
	}
	if (r->status == SUP_EXITED && r->has_exit_code && r->exit_code == 0) {
		first_line(a->out, v->text, sizeof(v->text));
		if (!v->text[0])
			first_line(a->errs, v->text, sizeof(v->text));
		v->known = v->text[0] != '\0';
	}
	if (v->known)
		return;
	v->failed = true;
	snprintf(v->text, sizeof(v->text), "does not run in the sandbox: %s%s",
		 sup_status_name(r->status),
		 r->status == SUP_EXITED ? " without a version" : "");
}

/* --- what the rows of runtimes say ------------------------------------------------------------- */

struct runtime_view {
	const struct pol_runtime *row;
	const char *path; /* "" when not installed */
	bool available;
	const char *version; /* NULL when not known */
	char problem[640]; /* "" when there is none */
};

static void add_text(char *dst, size_t size, const char *a, const char *b)
{
	const size_t n = strlen(dst);

	snprintf(dst + n, size - n, "%s%s", a, b);
}

static void add_paths(const char *const *list, const char *sep, char *dst, size_t size)
{
	for (; *list; list++, sep = " and no ")
		add_text(dst, size, sep, *list);
}

/* Of one that is compiled either half may be missing. */
static void not_installed(const struct pol_runtime *row, char *dst, size_t size)
{
	const bool two = row->compile.find[0] && row->find[0];

	snprintf(dst, size, "not installed: there is no");
	add_paths(row->compile.find, " ", dst, size);
	add_paths(row->find, two ? ", or no " : " ", dst, size);
	if (row->package[0])
		add_text(dst, size, "; Debian's package: ", row->package);
}

static void view_runtime(const struct sup_info *info,
			 const struct info_version *versions, unsigned i,
			 struct runtime_view *v)
{
	*v = (struct runtime_view){.row = &pol_runtimes[i], .path = info->host.path[i]};
	v->available = v->path[0] && !versions[i].failed;
	if (!v->path[0])
		not_installed(v->row, v->problem, sizeof(v->problem));
	else if (versions[i].known)
		v->version = versions[i].text;
	else
		snprintf(v->problem, sizeof(v->problem), "%s", versions[i].text);
}

/* --- limits, once for both forms --------------------------------------------------------------- */

struct limit_row {
	const char *key;
	uint64_t value;
};

#define LIMIT_ROWS 20

static size_t list_limits(const struct sup_info *info, const struct info_more *more,
			  struct limit_row rows[static LIMIT_ROWS])
{
	const struct pol_limits *l = &info->limits;
	const struct limit_row all[] = {
		{"timeout_ms", l->wall_ms},
		{"max_timeout_ms", info->max_wall_ms},
		{"memory_bytes", l->memory_bytes},
		{"processes", l->processes},
		{"cpu_millis", l->cpu_millis},
		{"open_files", l->open_files},
		{"workspace_bytes", l->workspace_bytes},
		{"tmp_bytes", l->tmp_bytes},
		{"output_bytes", l->output_bytes},
		{"returned_output_bytes", SUP_HEAD_BYTES + SUP_TAIL_BYTES},
		{"code_bytes", POL_MAX_CODE_BYTES},
		{"input_bytes", POL_MAX_INPUT_BYTES},
		{"stdin_bytes", POL_MAX_STDIN_BYTES},
		{"concurrent_runs", info->max_runs},
		{"queued_runs", info->max_queue},
		{"background_runs", more->max_background},
		{"sessions", info->max_sessions},
		{"output_kept_ms", more->keep_ms},
		{"output_kept_bytes", more->keep_bytes},
		{"promote_ms", more->promote_ms},
	};
	/* the last says when a call that waits is answered `running`; not where that is never */
	const size_t n = ARRAY_LEN(all) - !more->promote_ms;

	_Static_assert(ARRAY_LEN(all) <= LIMIT_ROWS, "as the caller's array");
	memcpy(rows, all, n * sizeof(*rows));
	return n;
}

struct info_more info_more_of(const struct runs *r, uint64_t promote_ms)
{
	return (struct info_more){.promote_ms = promote_ms,
				  .keep_ms = runs_keep_ms(r),
				  .keep_bytes = runs_keep_bytes(r),
				  .max_background = runs_max_background(r)};
}

/* Cuts the next of "a (b; c); d" off *rest; false at the end. */
static bool next_degraded(struct sv *rest, struct sv *ret)
{
	do {
		size_t n = 0;
		int depth = 0;

		if (!rest->n)
			return false;
		for (; n < rest->n && (rest->p[n] != ';' || depth > 0); n++)
			depth += (rest->p[n] == '(') - (rest->p[n] == ')');
		*ret = sv_trim((struct sv){rest->p, n});
		n += n < rest->n;
		rest->p += n, rest->n -= n;
	} while (!ret->n);
	return true;
}

/* --- the two forms ---------------------------------------------------------------------------- */

static void json_runtime(struct jw *w, const struct runtime_view *v)
{
	jw_obj(w);
	jw_kstr(w, "name", sv_of(v->row->name));
	jw_kstr(w, "title", sv_of(v->row->title));
	jw_key(w, "aliases");
	jw_arr(w);
	for (const char *const *a = v->row->aliases; *a; a++)
		jw_str(w, sv_of(*a));
	jw_arr_end(w);
	jw_kbool(w, "available", v->available);
	if (v->path[0])
		jw_kstr(w, "path", sv_of(v->path));
	if (v->version)
		jw_kstr(w, "version", sv_of(v->version));
	if (v->problem[0])
		jw_kstr(w, "problem", sv_of(v->problem));
	jw_obj_end(w);
}

/* What could be proven, and only that: without an answer from the probes nothing is. */
static void json_escapes(struct jw *w, const struct probes *p)
{
	jw_kbool(w, "proven", p->known && !probes_open(p));
	jw_key(w, "escapes");
	jw_obj(w);
	jw_kint(w, "tried", p->known ? probe_count : 0);
	jw_key(w, "open");
	jw_arr(w);
	for (unsigned i = 0; p->known && i < probe_count; i++)
		if (!p->held[i])
			jw_str(w, sv_of(probe_names[i]));
	jw_arr_end(w);
	if (!p->known)
		jw_kstr(w, "problem", sv_of(p->err.cause));
	jw_obj_end(w);
}

static void json_isolation(struct jw *w, const struct sup_info *info,
			   const struct probes *probes)
{
	struct sv rest = sv_of(info->degraded), part;

	jw_key(w, "isolation");
	jw_obj(w);
	jw_kstr(w, "cgroup", sv_of(info->cgroup));
	jw_kint(w, "landlock_abi", info->landlock_abi);
	jw_kstr(w, "bwrap_version", sv_of(info->bwrap_version));
	jw_kbool(w, "separate_uid", info->root);
	json_escapes(w, probes);
	jw_key(w, "degraded");
	jw_arr(w);
	while (next_degraded(&rest, &part))
		jw_str(w, part);
	jw_arr_end(w);
	jw_obj_end(w);
}

/* Cuts "python pandas 3.1.1" off the lines; false at the end. */
static bool next_package(struct sv *rest, struct sv ret[3])
{
	struct sv line;
	bool more = true, parts = true;

	if (!sv_cut(rest, '\n', &more, &line) || !line.n)
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (!sv_cut(&line, ' ', &parts, &ret[i]))
			ret[i] = SV("");
	return true;
}

static void json_image(struct jw *w, const struct sup_image *image)
{
	static const char *const keys[] = {"language", "name", "version"};
	struct sv rest = sv_of(image->packages), parts[3];

	if (!image->name[0])
		return;
	jw_key(w, "runtime_image");
	jw_obj(w);
	jw_kstr(w, "name", sv_of(image->name));
	jw_kstr(w, "sha256", sv_of(image->sha256));
	jw_key(w, "packages");
	jw_arr(w);
	while (next_package(&rest, parts)) {
		jw_obj(w);
		for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
			jw_kstr(w, keys[i], parts[i]);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_kint(w, "packages_count", image->count);
	jw_obj_end(w);
}

static void text_image(struct buf *b, const struct sup_image *image)
{
	struct sv rest = sv_of(image->packages), parts[3];

	if (!image->name[0])
		return;
	buf_fmt(b, "packages, from the image %s (SHA-256 %s), %u in all%s:\n",
		image->name, image->sha256, image->count,
		image->cut ? ", among them" : "");
	while (next_package(&rest, parts))
		buf_fmt(b, "- " SV_FMT ": " SV_FMT " " SV_FMT "\n", SV_ARG(parts[0]),
			SV_ARG(parts[1]), SV_ARG(parts[2]));
}

static void json_runtimes(struct jw *w, const struct sup_info *info,
			  const struct info_version *versions)
{
	struct runtime_view v;

	jw_key(w, "runtimes");
	jw_arr(w);
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		view_runtime(info, versions, i, &v);
		json_runtime(w, &v);
	}
	jw_arr_end(w);
}

static void json_limits(struct jw *w, const struct sup_info *info,
			const struct info_more *more)
{
	struct limit_row rows[LIMIT_ROWS];
	size_t n = list_limits(info, more, rows);

	jw_key(w, "limits");
	jw_obj(w);
	for (size_t i = 0; i < n; i++)
		jw_kint(w, rows[i].key, (int64_t)rows[i].value);
	jw_obj_end(w);
	jw_kstr(w, "network", SV("denied"));
	jw_kstr(w, "persistence", SV("sessions"));
}

void info_json_runtimes(const struct sup_info *info,
			const struct info_version *versions, struct buf *b)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	json_runtimes(&w, info, versions);
	jw_obj_end(&w);
}

void info_json_limits(const struct sup_info *info, const struct info_more *more,
		      struct buf *b)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	json_limits(&w, info, more);
	jw_obj_end(&w);
}

static void render_json(const struct info_facts *f, struct buf *b)
{
	struct jw w;

	jw_init(&w, b);
	jw_obj(&w);
	jw_key(&w, "server");
	jw_obj(&w);
	jw_kstr(&w, "name", SV("fumehood"));
	jw_kstr(&w, "version", SV(FUMEHOOD_VERSION));
	jw_obj_end(&w);
	json_runtimes(&w, f->info, f->versions);
	json_image(&w, &f->info->image);
	json_limits(&w, f->info, &f->more);
	json_isolation(&w, f->info, f->probes);
	jw_obj_end(&w);
}

static void text_runtime(struct buf *b, const struct runtime_view *v)
{
	const char *sep = ", also called ";

	buf_fmt(b, "- %s (%s): %s", v->row->name, v->row->title,
		v->available ? "available" : "not available");
	if (v->version)
		buf_fmt(b, ", %s", v->version);
	if (v->problem[0])
		buf_fmt(b, ", %s", v->problem);
	if (v->path[0])
		buf_fmt(b, ", %s", v->path);
	for (const char *const *a = v->row->aliases; *a; a++, sep = ", ")
		buf_fmt(b, "%s%s", sep, *a);
	buf_byte(b, '\n');
}

static void text_escapes(const struct probes *p, struct buf *b)
{
	if (!p->known)
		buf_fmt(b, "escapes: not tried: %s\n", p->err.cause);
	else
		buf_fmt(b, "escapes: %u tried from inside, %u open\n", probe_count,
			probes_open(p));
}

static void render_text(const struct info_facts *f, struct buf *b)
{
	const struct sup_info *info = f->info;
	struct limit_row rows[LIMIT_ROWS];
	size_t n = list_limits(info, &f->more, rows);
	struct sv rest = sv_of(info->degraded), part;
	struct runtime_view v;

	buf_str(b, "fumehood " FUMEHOOD_VERSION "\nlanguages:\n");
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		view_runtime(info, f->versions, i, &v);
		text_runtime(b, &v);
	}
	text_image(b, &info->image);
	buf_str(b, "limits:\n");
	for (size_t i = 0; i < n; i++)
		buf_fmt(b, "- %s: %" PRIu64 "\n", rows[i].key, rows[i].value);
	buf_str(b,
		"network: denied\n"
		"persistence: in sessions (session_create); a call without session_id starts "
		"from an empty /workspace\n");
	buf_fmt(b,
		"isolation: cgroup %s, Landlock ABI %" PRIu32 ", bubblewrap %s, %s\n",
		info->cgroup, info->landlock_abi, info->bwrap_version,
		info->root ? "a host user for each sandbox"
			   : "all sandboxes under the server's own user");
	text_escapes(f->probes, b);
	if (!info->degraded[0])
		buf_str(b, "degraded: nothing\n");
	while (next_degraded(&rest, &part))
		buf_fmt(b, "degraded: " SV_FMT "\n", SV_ARG(part));
}

int info_render(const struct info_facts *f, struct buf *json, struct buf *text,
		struct err *e)
{
	render_json(f, json);
	render_text(f, text);
	return json->failed || text->failed
		       ? err_set(e, ERR_LIMIT,
				 "no memory for what sandbox_info has to say")
		       : 0;
}
