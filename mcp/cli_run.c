/* cli_run.c: `fumehood run FILE`: one program in a sandbox, for a person at a terminal.
 *
 * Output goes straight through; on a terminal, control characters but newline and tab are shown as
 * \xNN, so that a program cannot drive it. Exit code: the program's; 128 + N for signal N; 124
 * time, 125 anything else that ended it or kept it from starting. */
#include "mcp/front.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "sandbox/supervise/supervise.h"

#include <errno.h>
#include <unistd.h>

struct once {
	struct loop loop;
	struct sup_client *client;
	char session_id[SUP_SESSION_ID_SIZE]; /* "": none is needed */
	const struct options *o;
	int code_fd, input_fd, stdin_fd;
	int out;
	bool plain; /* --json: nothing but the result at the end */
	bool terminal[3];
	bool output_lost; /* ours could not be written */
	int code;
};

/* C0 but newline and tab, DEL, and C1 in UTF-8 (U+0080 to U+009F: xterm obeys those too). */
static size_t control_at(struct sv s)
{
	const unsigned char c = (unsigned char)s.p[0];

	if (c == 0xc2 && s.n > 1 && (unsigned char)s.p[1] >= 0x80 &&
	    (unsigned char)s.p[1] <= 0x9f)
		return 2;
	return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

static int write_shown(int fd, struct sv s)
{
	AUTO_BUF b = {0};

	buf_init(&b, s.n * 4);
	while (s.n) {
		size_t k = control_at(s);

		if (!k)
			buf_byte(&b, s.p[0]);
		for (size_t i = 0; i < k; i++)
			buf_fmt(&b, "\\x%02x", (unsigned)(unsigned char)s.p[i]);
		k += !k;
		s.p += k, s.n -= k;
	}
	return fd_write_all(fd, b.p, b.n);
}

static void on_bytes(void *arg, int stream, struct sv bytes)
{
	struct once *r = arg;
	int fd = stream == 1 ? r->out : STDERR_FILENO;

	if (r->plain || r->output_lost)
		return;
	if (r->terminal[stream] ? write_shown(fd, bytes)
				: fd_write_all(fd, bytes.p, bytes.n)) {
		r->output_lost = true;
		dprintf(STDERR_FILENO,
			"fumehood: the program's output cannot be written: %s\n",
			strerror(errno));
	}
}

/* What the compiler said, which is no output of the program. */
static void tell_compiled(const struct once *r, const struct sup_stream *s)
{
	AUTO_BUF text = {0};
	AUTO_BUF tail = {0};

	buf_init(&text, 2 * (SUP_HEAD_BYTES + SUP_TAIL_BYTES));
	buf_init(&tail, SUP_TAIL_BYTES);
	if (sup_stream_text(s, &text, &tail))
		buf_str(&text, "\n...\n");
	buf_sv(&text, buf_view(&tail));
	if (r->terminal[2])
		write_shown(STDERR_FILENO, buf_view(&text));
	else
		fd_write_all(STDERR_FILENO, text.p, text.n);
}

static void tell_person(const struct once *r, const struct sup_result *s)
{
	const uint64_t us = s->duration_us + s->compile.duration_us;

	if (s->status != SUP_EXITED || log_level() >= LOG_INFO)
		dprintf(STDERR_FILENO, "fumehood: %s after %llu ms%s (run %s)\n",
			sup_status_name(s->status), (unsigned long long)(us / 1000),
			s->limits_degraded ? ", limits degraded: no cgroup" : "",
			s->run_id);
	if (s->timeout_clamped)
		dprintf(STDERR_FILENO, "fumehood: the timeout was clamped to %u ms\n",
			s->limits.wall_ms);
	(void)r;
}

static void put_stream(struct jw *w, const char *key, const struct sup_stream *s)
{
	AUTO_BUF text = {0};

	AUTO_BUF tail = {0};
	uint64_t left_out;

	buf_init(&text, 2 * (SUP_HEAD_BYTES + SUP_TAIL_BYTES));
	buf_init(&tail, SUP_TAIL_BYTES);
	left_out = sup_stream_text(s, &text, &tail);
	if (left_out)
		buf_fmt(&text, "\n... [%llu bytes omitted] ...\n",
			(unsigned long long)left_out);
	buf_sv(&text, buf_view(&tail));
	jw_kstr(w, key, buf_view(&text));
}

static void tell_machine(struct once *r, const struct sup_answer *a)
{
	const struct sup_result *s = a->result;
	AUTO_BUF b = {0};
	struct jw w;

	buf_init(&b, 1 << 20);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "status", sv_of(sup_status_name(s->status)));
	if (s->has_exit_code)
		jw_kint(&w, "exit_code", s->exit_code);
	if (s->signal)
		jw_kint(&w, "signal", s->signal);
	if (s->compile.there) {
		jw_kstr(&w, "compile_status",
			sv_of(sup_status_name(s->compile.status)));
		jw_kint(&w, "compile_ms", (int64_t)(s->compile.duration_us / 1000));
		put_stream(&w, "compile_output", a->compile);
	}
	put_stream(&w, "stdout", a->out);
	put_stream(&w, "stderr", a->errs);
	jw_kint(&w, "stdout_bytes", (int64_t)a->out->total);
	jw_kint(&w, "stderr_bytes", (int64_t)a->errs->total);
	jw_kbool(&w, "stdout_truncated",
		 a->out->total > SUP_HEAD_BYTES + SUP_TAIL_BYTES);
	jw_kbool(&w, "stderr_truncated",
		 a->errs->total > SUP_HEAD_BYTES + SUP_TAIL_BYTES);
	jw_kint(&w, "duration_ms", (int64_t)(s->duration_us / 1000));
	if (!s->limits_degraded) {
		jw_kint(&w, "cpu_ms", (int64_t)(s->cpu_us / 1000));
		jw_kint(&w, "peak_memory_bytes", (int64_t)s->peak_memory_bytes);
	}
	jw_kstr(&w, "limits", s->limits_degraded ? SV("degraded") : SV("enforced"));
	jw_kstr(&w, "run_id", sv_of(s->run_id));
	jw_obj_end(&w);
	buf_byte(&b, '\n');
	if (b.failed || fd_write_all(r->out, b.p, b.n))
		r->output_lost = true;
}

static int exit_code(const struct sup_result *s)
{
	if (s->status == SUP_TIMEOUT)
		return 124;
	if (s->has_exit_code && (s->status == SUP_EXITED || s->exit_code))
		return s->exit_code;
	return s->status == SUP_SIGNALED ? 128 + s->signal : 125;
}

static void tell_error(const struct err *e)
{
	dprintf(STDERR_FILENO, "fumehood: %s\n  %s\n", e->cause, err_remediation(e));
}

static void on_done(void *arg, const struct sup_answer *a)
{
	struct once *r = arg;

	if (a->err) {
		tell_error(a->err);
		r->code = 125;
	} else {
		r->code = exit_code(a->result);
		if (!r->plain && a->compile && a->compile->total)
			tell_compiled(r, a->compile);
		if (r->plain)
			tell_machine(r, a);
		else
			tell_person(r, a->result);
		if (r->output_lost)
			r->code = 125;
	}
	loop_stop(&r->loop);
}

static void start(struct once *r)
{
	struct err e = {0};
	struct sup_run_opts opts = {.tool = POL_RUN_CODE,
				    .language = sv_of(r->o->language),
				    .has_timeout = r->o->timeout_n >= 0,
				    .timeout_ms = r->o->timeout_n,
				    .code_fd = fd_steal(&r->code_fd),
				    .input_fd = fd_steal(&r->input_fd),
				    .stdin_fd = fd_steal(&r->stdin_fd),
				    .session_id = sv_of(r->session_id),
				    .on_done = on_done,
				    .on_bytes = on_bytes,
				    .arg = r};

	if (!sup_client_run(r->client, &opts, &e)) {
		tell_error(&e);
		loop_stop(&r->loop);
	}
}

static void on_opened(void *arg, const struct sup_session_info *s, unsigned n,
		      const struct err *e)
{
	struct once *r = arg;

	if (e) {
		tell_error(e);
		loop_stop(&r->loop);
		return;
	}
	must(n == 1);
	memcpy(r->session_id, s->id, sizeof(r->session_id));
	start(r);
}

static bool is_compiled(const char *language)
{
	for (unsigned i = 0; i < pol_runtimes_count; i++) {
		const struct pol_runtime *rt = &pol_runtimes[i];
		bool named = !strcmp(rt->name, language);

		for (const char *const *a = rt->aliases; *a; a++)
			named |= !strcmp(*a, language);
		if (named)
			return rt->compile.find[0] != NULL;
	}
	return false;
}

/* What is compiled first takes a session; it ends with this process. */
static void on_ready(void *arg)
{
	struct once *r = arg;
	const struct pol_limits *l = &sup_client_info(r->client)->limits;
	const struct sup_session_opts o = {
		.language = sv_of(r->o->language),
		.limits = {.memory_bytes = l->memory_bytes,
			   .workspace_bytes = l->workspace_bytes,
			   .processes = l->processes},
		.throwaway = true};
	struct err e = {0};

	if (!is_compiled(r->o->language)) {
		start(r);
		return;
	}
	if (!sup_client_session_open(r->client, &o, on_opened, r, &e)) {
		tell_error(&e);
		loop_stop(&r->loop);
	}
}

static void on_lost(void *arg)
{
	struct once *r = arg;
	struct err e = {0};

	if (!sup_client_info(r->client)) {
		err_set(&e, ERR_UNAVAILABLE, "no sandbox could be made");
		err_fix(&e, "the lines above say why; `fumehood doctor` looks further");
		tell_error(&e);
	}
	loop_stop(&r->loop);
}

static void on_signal(struct loop_io *io, uint32_t events)
{
	struct once *r = io->arg;

	(void)events;
	loop_stop(&r->loop);
}

/* The whole of a descriptor as a sealed memfd. */
static int slurp(int fd, uint64_t max_bytes, const char *name, struct err *e)
{
	AUTO_BUF b = {0};

	buf_init(&b, max_bytes);
	if (fd_read_all(fd, &b, e))
		return -1;
	return fd_memfd(name, b.p, b.n, e);
}

static int read_all(struct once *r, const struct front_fds *fds, struct err *e)
{
	AUTO_BUF args = {0};

	r->code_fd = slurp(fds->file, POL_MAX_CODE_BYTES, "code", e);
	/* the person's keyboard is not the program's: only a pipe or file is read */
	if (r->code_fd < 0 ||
	    (fds->in >= 0 && !isatty(fds->in) &&
	     (r->stdin_fd = slurp(fds->in, POL_MAX_STDIN_BYTES, "stdin", e)) < 0))
		return -1;
	buf_init(&args, POL_MAX_INPUT_BYTES);
	for (unsigned i = 2; i < r->o->nargs;
	     i++) /* "front-run", FILE, then the program's */
		if (sup_input_arg(&args, sv_of(r->o->args[i]), e))
			return -1;
	if (args.n)
		r->input_fd = fd_memfd("input", args.p, args.n, e);
	return args.n && r->input_fd < 0 ? -1 : 0;
}

/* By the ending of the runtimes' own file names: main.py -> .py */
static const char *language_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	for (unsigned i = 0; dot && i < pol_runtimes_count; i++) {
		const char *known = strrchr(pol_runtimes[i].file, '.');

		if (known && sv_eq(sv_of(known), sv_of(dot)))
			return pol_runtimes[i].name;
	}
	return dot && sv_eq(sv_of(dot), SV(".mjs")) ? "javascript" : "";
}

static int prepare(struct once *r, struct options *o, const struct front_fds *fds,
		   struct loop_io *signal_io, struct err *e)
{
	if (!*o->language)
		o->language = language_of(o->args[1]);
	if (!*o->language) {
		err_set(e, ERR_INVALID, "the language of %.100s is not known",
			o->args[1]);
		return err_fix(e, "give --language NAME before the file");
	}
	r->terminal[1] = isatty(r->out);
	r->terminal[2] = isatty(STDERR_FILENO);
	if (loop_init(&r->loop, e) || read_all(r, fds, e))
		return -1;
	r->client = sup_client_new(&r->loop, fds->keeper, on_lost, r, e);
	if (!r->client || front_confine(o, &signal_io->fd, e))
		return -1;
	sup_client_on_ready(r->client, on_ready, r);
	return loop_add(&r->loop, signal_io, EPOLLIN, e);
}

int front_run(const struct options *given, const struct front_fds *fds)
{
	struct options o = *given;
	struct once r = {.o = &o,
			 .code_fd = -1,
			 .input_fd = -1,
			 .stdin_fd = -1,
			 .out = fds->out,
			 .plain = o.json,
			 .code = 125};
	struct loop_io signal_io = {.fd = -1, .on_ready = on_signal, .arg = &r};
	struct err e = {0};

	if (prepare(&r, &o, fds, &signal_io, &e) || loop_run(&r.loop, &e))
		tell_error(&e);
	sup_client_free(r.client);
	loop_finish(&r.loop);
	return r.code;
}
