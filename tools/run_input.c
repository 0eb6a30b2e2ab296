/* run_input.c: the tool run_input: writes to the standard input of a run that was started with
 * open_stdin. */
#include "tools/internal.h"

#define ANSWER_BYTES ((size_t)4 << 10)

static int refuse(const struct run *r, struct err *e)
{
	if (r->ended) {
		err_set(e, ERR_INVALID, "%s has ended", r->id);
		return err_fix(e, "run_status tells how; start the program again");
	}
	if (!r->open_stdin) {
		err_set(e, ERR_INVALID, "%s was not started with open_stdin", r->id);
		return err_fix(e,
			       "start the program with background and open_stdin true, "
			       "or give all of its input in stdin");
	}
	err_set(e, ERR_INVALID, "the standard input of %s has been closed", r->id);
	return err_fix(e, "no more can follow after eof; start the program again");
}

static int answer(struct tool_call *call, const struct run *r, size_t n, struct err *e)
{
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	jw_init(&w, &json);
	jw_obj(&w);
	jw_kstr(&w, "run_id", sv_of(r->id));
	jw_kint(&w, "stdin_bytes", (int64_t)n);
	jw_kbool(&w, "stdin_open", !r->stdin_closed);
	jw_obj_end(&w);
	buf_fmt(&text,
		"%zu bytes on their way to %s%s; run_status shows what it answers\n", n,
		r->id, r->stdin_closed ? ", and the end of its input" : "");
	if (json.failed || text.failed)
		return err_set(e, ERR_LIMIT,
			       "the input was sent, but there was no memory "
			       "for the answer");
	tool_call_result(call, buf_view(&json), buf_view(&text));
	return 0;
}

int run_input_start(struct tool_call *call, struct err *e)
{
	struct run *r = run_of_args(call, e);
	const struct sv text = js_str(js_get(call->args, "stdin"));
	const bool eof = js_is_true(js_get(call->args, "eof"));
	int agreed;

	if (!r)
		return -1;
	if (!r->sup || !r->open_stdin || r->stdin_closed)
		return refuse(r, e);
	if (!text.n && !eof) {
		err_set(e, ERR_INVALID, "neither stdin nor eof is given");
		return err_fix(e, "give the text to write in stdin, or eof true");
	}
	agreed = confirm_input(call, r, text, e);
	if (agreed <= 0)
		return agreed;
	if (sup_client_input(r->sup, text, eof, e))
		return -1;
	r->stdin_closed = eof;
	return answer(call, r, text.n, e);
}
