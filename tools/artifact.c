/* artifact.c: what the artifact tools share, and artifact_delete. */
#include "tools/artifact.h"

#include "sandbox/base/mem.h"

#define ANSWER_BYTES ((size_t)64 << 10)

static void finish(struct question *q)
{
	struct artifact *a = (struct artifact *)q;
	struct loop *l = q->loop;

	loop_timer_stop(l, &a->slice);
	loop_del(l, &a->pipe);
	fd_close(&a->pipe.fd);
	fd_close(&a->fd);
	buf_finish(&a->path);
	buf_finish(&a->content);
	buf_finish(&a->window);
	buf_finish(&a->rows);
	buf_finish(&a->lines);
	mem_free(a);
}

/* A session's, or an ended run's, which has kept one. */
static int get_place(struct tool_call *call, struct sv *ret_id, struct sv *ret_run,
		     struct err *e)
{
	*ret_run = js_str(js_get(call->args, "run_id"));
	if (!js_get(call->args, "run_id") == !js_get(call->args, "session_id")) {
		err_set(e, ERR_INVALID, "%s",
			ret_run->n ? "both session_id and run_id are given"
				   : "neither session_id nor run_id is given");
		return err_fix(e, "give session_id, or the run_id of a run that had "
				  "outputs");
	}
	if (!js_get(call->args, "run_id"))
		return request_session(call->args, ret_id, e);
	return run_kept_session(call->env.runs, call->env.principal, *ret_run, ret_id,
				e);
}

struct artifact *artifact_new(struct tool_call *call, bool path_required, struct err *e)
{
	const struct sv path = js_str(js_get(call->args, "path"));
	struct sv id = {"", 0}, run = {"", 0};
	struct artifact *a;

	if (get_place(call, &id, &run, e) ||
	    ((path.n || path_required) && request_path(path, "path", e)))
		return NULL;
	a = question_new(call, sizeof(*a), finish, e);
	if (!a)
		return NULL;
	a->fd = a->pipe.fd = -1;
	buf_init(&a->path, RUN_MAX_PATH_BYTES);
	buf_sv(&a->path, path);
	must(!sv_copy(id, a->session_id, sizeof(a->session_id)) &&
	     !sv_copy(run, a->run_id, sizeof(a->run_id)));
	if (!a->path.failed)
		return a;
	question_drop(&a->question);
	err_set(e, ERR_LIMIT, "no memory for another call");
	return NULL;
}

int artifact_ask(struct artifact *a, struct sup_file_opts *o, sup_file_fn *fn,
		 struct err *e)
{
	o->credential = a->question.call->env.credential;
	o->session_id = sv_of(a->session_id);
	o->path = buf_view(&a->path);
	a->question.at = sup_client_file(a->question.call->env.client, o, fn, a, e);
	if (a->question.at)
		return 0;
	question_drop(&a->question);
	return -1;
}

void artifact_fail(struct artifact *a, const struct err *e)
{
	struct err with = *e;

	/* of its session nobody has heard */
	if (a->run_id[0] && e->code == ERR_NOT_FOUND && !e->sys) {
		err_clear(&with);
		err_set(&with, ERR_NOT_FOUND, "the files of %s are no longer kept",
			a->run_id);
		err_fix(&with,
			"run it again; files are kept for %d minutes after they were last "
			"asked for, and less when many runs leave some",
			RUN_KEPT_S / 60);
	}
	/* what the workspace said no to is the caller's to see, not the operator's */
	if (!with.remediation[0] && with.sys &&
	    (with.code == ERR_NOT_FOUND || with.code == ERR_DENIED ||
	     with.code == ERR_INVALID))
		err_fix(&with, "artifact_list shows what is there; give the path of a "
			       "regular file below /workspace");
	question_fail(&a->question, &with);
}

void artifact_json(struct artifact *a, struct jw *w, struct buf *json)
{
	jw_init(w, json);
	jw_obj(w);
	if (a->run_id[0])
		jw_kstr(w, "run_id", sv_of(a->run_id));
	else
		jw_kstr(w, "session_id", sv_of(a->session_id));
	jw_kstr(w, "path", buf_view(&a->path));
}

void artifact_sha(struct artifact *a, char hex[static 2 * crypto_hash_sha256_BYTES + 1])
{
	unsigned char bytes[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(&a->hash, bytes);
	sodium_bin2hex(hex, 2 * sizeof(bytes) + 1, bytes, sizeof(bytes));
}

const char *artifact_mime(const struct artifact *a)
{
	char head[ARTIFACT_HEAD_BYTES];

	return mime_of((struct sv){head, fd_read_at(a->fd, 0, head, sizeof(head))});
}

/* --- artifact_delete ------------------------------------------------------------------------------ */

static void on_deleted(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct artifact *a = arg;
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	a->question.at = NULL;
	if (e) {
		artifact_fail(a, e);
		return;
	}
	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	artifact_json(a, &w, &json);
	jw_kstr(&w, "type", d->is_dir ? SV("folder") : SV("file"));
	jw_kbool(&w, "deleted", true);
	jw_obj_end(&w);
	json_quote(&text, buf_view(&a->path));
	buf_str(&text, " is deleted\n");
	question_answer(&a->question, &json, &text, NULL);
}

int artifact_delete_start(struct tool_call *call, struct err *e)
{
	struct artifact *a = artifact_new(call, true, e);
	struct sup_file_opts o = {.op = SUP_FILE_DELETE, .data_fd = -1};

	return a ? artifact_ask(a, &o, on_deleted, e) : -1;
}
