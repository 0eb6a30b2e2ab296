/* artifact_upload.c: the tool artifact_upload: a file, or the next piece of one.
 *
 * Theory of operation. A file is replaced as a whole or not at all. With an offset the new file is
 * the old one up to there and the content after it: the old one is opened, and its start and the
 * content go through a pipe, piece by piece as the sandbox takes them. The number of bytes is told
 * beforehand, so that a file that has become shorter meanwhile changes nothing. */
#include "sandbox/base/mem.h"
#include "tools/artifact.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define ANSWER_BYTES ((size_t)64 << 10)

static const char *mime_of_upload(const struct artifact *a)
{
	return a->fd >= 0 ? artifact_mime(a) : mime_of(buf_view(&a->content));
}

static void on_written(void *arg, const struct sup_file_done *d, const struct err *e)
{
	char sha[2 * crypto_hash_sha256_BYTES + 1];
	struct artifact *a = arg;
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	(void)d;
	a->question.at = NULL;
	if (e) {
		artifact_fail(a, e);
		return;
	}
	artifact_sha(a, sha);
	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	artifact_json(a, &w, &json);
	jw_kint(&w, "size", (int64_t)a->total);
	jw_kstr(&w, "sha256", sv_of(sha));
	jw_kstr(&w, "mime_type", sv_of(mime_of_upload(a)));
	jw_obj_end(&w);
	json_quote(&text, buf_view(&a->path));
	buf_fmt(&text, ": %s, %" PRIu64 " bytes, sha256 %s\n", mime_of_upload(a),
		a->total, sha);
	question_answer(&a->question, &json, &text, NULL);
}

/* --- with an offset ------------------------------------------------------------------------------- */

static void close_pipe(struct artifact *a)
{
	loop_del(a->question.call->env.loop, &a->pipe);
	fd_close(&a->pipe.fd);
}

/* The next bytes to go; none: all have, or the old file has become shorter. */
static struct sv next_chunk(struct artifact *a, char *bytes)
{
	const uint64_t old = (uint64_t)a->offset;
	uint64_t n;

	if (a->sent >= old) {
		struct sv rest = buf_view(&a->content);

		rest.p += a->sent - old;
		rest.n -= (size_t)(a->sent - old);
		rest.n = rest.n < CHUNK_BYTES ? rest.n : CHUNK_BYTES;
		return rest;
	}
	n = old - a->sent < CHUNK_BYTES ? old - a->sent : CHUNK_BYTES;
	return (struct sv){bytes, fd_read_at(a->fd, a->sent, bytes, (size_t)n)};
}

static void on_pipe_ready(struct loop_io *io, uint32_t events)
{
	static char bytes[CHUNK_BYTES]; /* one thread, used up before return */
	struct artifact *a = io->arg;
	size_t done = 0;

	(void)events;
	while (done < ARTIFACT_SLICE_BYTES) {
		const struct sv chunk = next_chunk(a, bytes);
		ssize_t n = chunk.n ? write(io->fd, chunk.p, chunk.n) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			/* all is said, or nobody listens: the answer tells */
			close_pipe(a);
			return;
		}
		crypto_hash_sha256_update(&a->hash, (const unsigned char *)chunk.p,
					  (size_t)n);
		a->sent += (uint64_t)n;
		done += (size_t)n;
	}
}

static int send_by_pipe(struct artifact *a, struct err *e)
{
	struct sup_file_opts o = {.op = SUP_FILE_WRITE,
				  .min_bytes = a->total,
				  .max_bytes = a->total,
				  .data_fd = -1};
	struct sup_file_opts *with = &o;
	int ends[2];

	if (fd_pipe(ends, e)) {
		question_drop(&a->question);
		return -1;
	}
	o.data_fd = ends[0];
	a->pipe = (struct loop_io){.fd = ends[1], .on_ready = on_pipe_ready, .arg = a};
	if (!fd_set_nonblock(ends[1]) &&
	    !loop_add(a->question.call->env.loop, &a->pipe, EPOLLOUT, e))
		return artifact_ask(a, with, on_written, e);
	fd_close(&o.data_fd);
	question_drop(&a->question);
	return err_set(e, ERR_LIMIT, "no room for another upload");
}

/* The old file is there. The call is failed here: its start has long returned. */
static void on_opened(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct artifact *a = arg;
	struct tool_call *call = a->question.call;
	struct err why = {0};

	a->question.at = NULL;
	if (e) {
		artifact_fail(a, e);
		return;
	}
	a->fd = d->fd;
	if (d->size < (uint64_t)a->offset) {
		err_set(&why, ERR_INVALID,
			"offset is %" PRId64 ", but there are %" PRIu64 " bytes",
			a->offset, d->size);
		err_fix(&why, "give the size of the last answer, or 0 to begin anew");
		question_fail(&a->question, &why);
		return;
	}
	if (send_by_pipe(a, &why))
		tool_call_error(call, &why);
}

/* --- start ---------------------------------------------------------------------------------------- */

static int send_at_once(struct artifact *a, struct err *e)
{
	struct sup_file_opts o = {.op = SUP_FILE_WRITE,
				  .keep = a->keep,
				  .min_bytes = a->total,
				  .max_bytes = a->total};

	crypto_hash_sha256_update(&a->hash, (const unsigned char *)a->content.p,
				  a->content.n);
	o.data_fd = fd_memfd("upload", a->content.p, a->content.n, e);
	if (o.data_fd >= 0)
		return artifact_ask(a, &o, on_written, e);
	question_drop(&a->question);
	return -1;
}

static int get_content(struct artifact *a, const struct cJSON *args, struct err *e)
{
	const struct sv text = js_str(js_get(args, "content")),
			encoding = js_str(js_get(args, "encoding"));

	if (sv_eq(encoding, SV("base64")))
		return request_base64(text, "content", &a->content, e);
	if (encoding.n && !sv_eq(encoding, SV("text")))
		return err_set(e, ERR_INVALID, "encoding is neither text nor base64");
	buf_init(&a->content, text.n);
	buf_sv(&a->content, text);
	return a->content.failed ? err_set(e, ERR_LIMIT, "no memory for the content")
				 : 0;
}

static int get_extent(struct artifact *a, const struct cJSON *args, struct err *e)
{
	const struct cJSON *overwrite = js_get(args, "overwrite");

	if (request_number(args, "offset", 0, &a->offset, e))
		return -1;
	a->keep = overwrite && !js_is_true(overwrite);
	a->total = (uint64_t)a->offset + a->content.n;
	if (a->total <= ARTIFACT_MAX_BYTES)
		return 0;
	err_set(e, ERR_LIMIT,
		"the file would be %" PRIu64 " bytes, at most %" PRIu64
		" (100 MiB) are accepted",
		a->total, ARTIFACT_MAX_BYTES);
	return err_fix(e, "split it into several files");
}

int artifact_upload_start(struct tool_call *call, struct err *e)
{
	struct artifact *a = artifact_new(call, true, e);
	struct sup_file_opts o = {.op = SUP_FILE_READ, .data_fd = -1};

	if (!a)
		return -1;
	crypto_hash_sha256_init(&a->hash);
	if (get_content(a, call->args, e) || get_extent(a, call->args, e)) {
		question_drop(&a->question);
		return -1;
	}
	return a->offset ? artifact_ask(a, &o, on_opened, e) : send_at_once(a, e);
}
