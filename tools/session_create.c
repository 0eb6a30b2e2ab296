/* session_create.c: the tool session_create.
 *
 * Theory of operation. What was asked for may be made although the call was cancelled meanwhile; nobody
 * would then know the session's name, and it would hold its place until its time is over. So a
 * cancelled call waits for the answer all the same, and closes what was made. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#define ANSWER_BYTES ((size_t)64 << 10)

struct create {
	struct question question;
	bool cancelled;
};

static void finish(struct question *a)
{
	mem_free(a);
}

static void answer(struct create *c, const struct sup_session_info *s)
{
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	jw_init(&w, &json);
	session_json(&w, s);
	session_text(&text, s);
	buf_str(&text, "pass session_id to run_code and run_command to use it\n");
	question_answer(&c->question, &json, &text, NULL);
}

static void on_unwanted_closed(void *arg, const struct sup_session_info *rows,
			       unsigned n, const struct err *e)
{
	(void)arg, (void)rows, (void)n, (void)e; /* it is gone either way */
}

static void on_made(void *arg, const struct sup_session_info *s, unsigned n,
		    const struct err *e)
{
	struct create *c = arg;
	struct err why = {0};

	c->question.at = NULL;
	if (e) {
		question_fail(&c->question, e);
		return;
	}
	must(n == 1);
	if (!c->cancelled) {
		answer(c, s);
		return;
	}
	sup_client_session_close(c->question.call->env.client,
				 c->question.call->env.credential, sv_of(s->id),
				 on_unwanted_closed, NULL, NULL);
	err_set(&why, ERR_LOST, "the call was cancelled; no session is left of it");
	question_fail(&c->question, &why);
}

static int get_limits(const struct cJSON *args, struct sup_session_limits *ret,
		      struct err *e)
{
	int64_t ttl = 0, idle = 0, memory = 0, workspace = 0, processes = 0;

	if (request_number(args, "ttl_s", 1, &ttl, e) ||
	    request_number(args, "idle_ttl_s", 1, &idle, e) ||
	    request_number(args, "memory_bytes", 1, &memory, e) ||
	    request_number(args, "workspace_bytes", 1, &workspace, e) ||
	    request_number(args, "processes", 1, &processes, e))
		return -1;
	/* what is out of range for the record is more than any policy grants, which the keeper says */
	*ret = (struct sup_session_limits){
		.ttl_s = ttl > UINT32_MAX ? UINT32_MAX : (uint32_t)ttl,
		.idle_ttl_s = idle > UINT32_MAX ? UINT32_MAX : (uint32_t)idle,
		.memory_bytes = (uint64_t)memory,
		.workspace_bytes = (uint64_t)workspace,
		.processes = processes > UINT32_MAX ? UINT32_MAX : (uint32_t)processes,
	};
	return 0;
}

static int get_language(const struct cJSON *args, struct sv *ret, struct err *e)
{
	*ret = js_str(js_get(args, "language"));
	if (sv_eq(*ret, SV("mixed")))
		*ret = SV("");
	return request_language(*ret, e);
}

int session_create_start(struct tool_call *call, struct err *e)
{
	struct sup_session_opts o = {.credential = call->env.credential};
	struct create *c;

	if (get_language(call->args, &o.language, e) ||
	    get_limits(call->args, &o.limits, e))
		return -1;
	c = question_new(call, sizeof(*c), finish, e);
	if (!c)
		return -1;
	c->question.at = sup_client_session_open(call->env.client, &o, on_made, c, e);
	if (c->question.at)
		return 0;
	question_drop(&c->question);
	return -1;
}

void session_create_cancel(struct tool_call *call)
{
	struct create *c = call->state;

	if (c)
		c->cancelled = true;
}
