/* asks.c: questions of the front about sessions: from their arrival to their answer. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"

#define MAX_ASKS 256
#define MAX_ASKS_EACH 64 /* of one principal, where there are others */

void ask_free(struct ask *a)
{
	struct keeper *k = a ? a->k : NULL;

	if (!a)
		return;
	for (struct ask **at = &k->asks; *at; at = &(*at)->next)
		if (*at == a) {
			*at = a->next;
			k->nasks--;
			break;
		}
	loop_timer_stop(&k->loop, &a->timer);
	fd_close(&a->data_fd);
	mem_free(a);
}

static void tell_refused(struct keeper *k, uint64_t id, const struct err *e)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_ASK_REFUSED, id);
	wire_put_err(&m, e);
	keeper_tell(k, &m);
}

void ask_refuse(struct ask *a, const struct err *e)
{
	tell_refused(a->k, a->id, e);
	ask_free(a);
}

void ask_answer_row(struct ask *a, const struct session *s)
{
	struct wire_sessions rows = {.n = 1};
	struct ipc_msg m;

	ses_info(s, &rows.rows[0]);
	ipc_start(&m, SUP_SESSIONS, a->id);
	wire_put_sessions(&m, &rows);
	keeper_tell(a->k, &m);
	ask_free(a);
}

/* Another's is not there. */
void ask_not_found(struct err *e)
{
	err_set(e, ERR_NOT_FOUND, "there is no such session");
	err_fix(e,
		"it may have ended; session_list shows those there are, session_create "
		"makes one");
}

/* --- arrival ------------------------------------------------------------------------------------ */

bool ask_has(const struct keeper *k, uint64_t id)
{
	for (const struct ask *a = k->asks; a; a = a->next)
		if (a->id == id)
			return true;
	return false;
}

static struct ask *add(struct keeper *k, const struct wire_ask *w)
{
	struct ask **at = &k->asks, *a = NULL;

	if (k->nasks < MAX_ASKS)
		a = mem_zalloc(sizeof(*a) + w->path.n + 1);
	if (!a)
		return NULL;
	a->k = k;
	a->limits = w->limits;
	a->throwaway = w->throwaway;
	a->op = w->op;
	a->max_rows = w->max_rows;
	a->keep = w->keep;
	a->min_bytes = w->min_bytes;
	a->max_bytes = w->max_bytes;
	a->data_fd = w->data_fd;
	a->path_n = w->path.n;
	if (w->path.n)
		memcpy(a->path, w->path.p, w->path.n);
	/* ids too long or with NUL bytes are nobody's */
	sv_copy(w->session_id, a->session_id, sizeof(a->session_id));
	while (*at)
		at = &(*at)->next;
	*at = a;
	k->nasks++;
	return a;
}

void ask_new(struct keeper *k, uint64_t id, uint32_t type, const struct wire_ask *w)
{
	struct ask *a = add(k, w);
	struct err e = {0};
	int fd = w->data_fd;

	if (!a) {
		fd_close(&fd);
		err_set(&e, ERR_BUSY,
			"too many questions about sessions are under way");
		tell_refused(k, id, &e);
		return;
	}
	a->id = id;
	a->type = type;
	/* a name that does not fit is none: cut, it must not become another */
	if (sv_copy(w->language, a->language, sizeof(a->language)))
		snprintf(a->language, sizeof(a->language), "?");
	auth_ask(k, a, w->credential);
}

/* --- who asks is known -------------------------------------------------------------------------- */

static void list(struct ask *a)
{
	struct keeper *k = a->k;
	struct wire_sessions rows = {.n = 0};
	struct ipc_msg m;

	for (const struct session *s = k->sessions; s; s = s->next) {
		if (s->state != SES_OPEN || s->throwaway ||
		    strcmp(pol_plan_principal(s->plan), a->principal) != 0)
			continue;
		if (rows.n == WIRE_SESSIONS) {
			rows.more = true;
			ipc_start(&m, SUP_SESSIONS, a->id);
			wire_put_sessions(&m, &rows);
			keeper_tell(k, &m);
			rows.n = 0;
			rows.more = false;
		}
		ses_info(s, &rows.rows[rows.n++]);
	}
	ipc_start(&m, SUP_SESSIONS, a->id);
	wire_put_sessions(&m, &rows);
	keeper_tell(k, &m);
	ask_free(a);
}

static void close_one(struct ask *a)
{
	struct session *s = ses_find(a->k, a->principal, a->session_id);
	struct err e = {0};

	if (!s) {
		ask_not_found(&e);
		ask_refuse(a, &e);
		return;
	}
	s->ask = a;
	ses_end(s, SUP_SESSION_CLOSED, "closed");
}

/* As of runs, but nothing waits for it: so it is rationed, and says how many were left out. */
static void record_refusal(struct ask *a, const struct err *why)
{
	struct ration *ration = &a->k->refusals;
	const unsigned left_out = ration->denied;
	char detail[400];
	struct ipc_msg m;

	if (!ration_take(ration))
		return;
	snprintf(detail, sizeof(detail), "%s", why->cause);
	if (left_out)
		snprintf(detail, sizeof(detail), "%s (and %u more like it before)",
			 why->cause, left_out);
	ipc_start(&m, LED_EVENT, 0);
	led_put_event(&m, &(struct led_event){.kind = SV("refused"),
					      .principal = sv_of(a->principal),
					      .detail = sv_of(detail)});
	if (keeper_ask_ledger(a->k, &m))
		log_msg(LOG_ERROR, "event=refusal_not_recorded");
}

static bool has_too_many(const struct ask *a)
{
	const struct keeper *k = a->k;
	unsigned own = 0;

	if (!(k->auth.modes & (SUP_AUTH_KEYS | SUP_AUTH_OAUTH | SUP_AUTH_CERT)))
		return false;
	for (const struct ask *x = k->asks; x; x = x->next)
		own += !strcmp(x->principal, a->principal);
	return own > MAX_ASKS_EACH;
}

void ask_known(struct ask *a, const struct sup_identity *who, const struct err *why)
{
	struct err e = {0};

	if (!who) {
		if (a->type == SUP_ASK_OPEN)
			record_refusal(a, why);
		ask_refuse(a, why);
		return;
	}
	memcpy(a->principal, who->principal, sizeof(a->principal));
	if (has_too_many(a)) {
		err_set(&e, ERR_BUSY,
			"too many questions of this caller are under way");
		ask_refuse(a, &e);
	} else if (a->type == SUP_ASK_OPEN) {
		ses_open(a->k, a);
	} else if (a->type == SUP_ASK_CLOSE) {
		close_one(a);
	} else if (a->type == SUP_ASK_LIST) {
		list(a);
	} else {
		file_ask(a);
	}
}
