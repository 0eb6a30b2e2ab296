/* questions.c: calls that ask the keeper something and wait: sessions, files. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

void *question_new(struct tool_call *call, size_t n, void (*finish)(struct question *a),
		   struct err *e)
{
	struct question *a = mem_zalloc(n);

	if (!a) {
		err_set(e, ERR_LIMIT, "no memory for another call");
		return NULL;
	}
	a->call = call;
	a->loop = call->env.loop;
	a->finish = finish;
	call->state = a;
	return a;
}

void question_drop(struct question *a)
{
	if (a->at)
		sup_client_ask_cancel(a->at);
	a->call->state = NULL;
	a->finish(a);
}

/* The answer may lie in the memory that is freed, and may bring the next call. */
static void question_done(struct question *a, const struct tool_answer *answer)
{
	struct tool_call *call = a->call;

	call->state = NULL;
	a->call = NULL;
	tool_call_done(call, answer);
	a->finish(a);
}

void question_fail(struct question *a, const struct err *e)
{
	const struct err copy = *e;
	struct tool_call *call = a->call;

	question_drop(a);
	tool_call_error(call, &copy);
}

void question_answer(struct question *a, const struct buf *json, const struct buf *text,
		     const struct buf *blocks)
{
	struct err e = {0};

	if (json->failed || text->failed || (blocks && blocks->failed)) {
		err_set(&e, ERR_LIMIT, "no memory for the answer");
		err_fix(&e, "ask for less, or try again when fewer calls run");
		question_fail(a, &e);
		return;
	}
	question_done(a, &(struct tool_answer){
				 .structured_json = buf_view(json),
				 .text = buf_view(text),
				 .content_json = blocks ? buf_view(blocks) : SV(""),
				 .plain_n = blocks && blocks->n ? blocks->n - 1 : 0});
}

void question_cancel(struct tool_call *call)
{
	struct err e = {0};

	if (!call->state)
		return;
	err_set(&e, ERR_LOST,
		"the call was cancelled; whether it was done is not known");
	question_fail(call->state, &e);
}
