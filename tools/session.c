/* session.c: a session in words, and the tools session_list and session_close. */
#include "sandbox/base/mem.h"
#include "tools/internal.h"

#include <inttypes.h>

#define ANSWER_BYTES ((size_t)1 << 20)

const char *session_end_name(enum sup_session_end end)
{
	static const char *const names[] = {
		[SUP_SESSION_CLOSED] = "closed",
		[SUP_SESSION_TTL] = "ttl",
		[SUP_SESSION_IDLE] = "idle",
		[SUP_SESSION_DIED] = "died",
	};

	_Static_assert(ARRAY_LEN(names) == SUP_SESSION_END_COUNT, "a name for each");
	return (unsigned)end < ARRAY_LEN(names) ? names[end] : names[SUP_SESSION_DIED];
}

void time_text(int64_t wall_s, char dst[static TIME_TEXT_SIZE])
{
	const time_t t = (time_t)wall_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) ||
	    !strftime(dst, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(dst, TIME_TEXT_SIZE, "1970-01-01T00:00:00Z");
}

static void json_time(struct jw *w, const char *key, uint64_t wall_us)
{
	char text[TIME_TEXT_SIZE];

	time_text((int64_t)(wall_us / 1000000), text);
	jw_kstr(w, key, sv_of(text));
}

/* --- one ---------------------------------------------------------------------------------------- */

static const char *language_of(const struct sup_session_info *s)
{
	return s->language[0] ? s->language : "mixed";
}

void session_json(struct jw *w, const struct sup_session_info *s)
{
	jw_obj(w);
	jw_kstr(w, "session_id", sv_of(s->id));
	jw_kstr(w, "language", sv_of(language_of(s)));
	json_time(w, "created_at", s->created_us);
	json_time(w, "expires_at", s->expires_us);
	json_time(w, "idle_expires_at", s->idle_expires_us);
	jw_kint(w, "ttl_s", s->limits.ttl_s);
	jw_kint(w, "idle_ttl_s", s->limits.idle_ttl_s);
	jw_kint(w, "memory_bytes", (int64_t)s->limits.memory_bytes);
	jw_kint(w, "workspace_bytes", (int64_t)s->limits.workspace_bytes);
	jw_kint(w, "processes", s->limits.processes);
	jw_kint(w, "calls", s->calls);
	jw_kint(w, "running", s->running);
	jw_kint(w, "queued", s->queued);
	jw_key(w, "interpreters");
	jw_arr(w);
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if (s->alive & (uint32_t)1 << i)
			jw_str(w, sv_of(pol_runtimes[i].name));
	jw_arr_end(w);
	jw_obj_end(w);
}

void session_text(struct buf *b, const struct sup_session_info *s)
{
	char created[TIME_TEXT_SIZE], end[TIME_TEXT_SIZE], idle[TIME_TEXT_SIZE];
	const char *sep = "; running interpreters: ";

	time_text((int64_t)(s->created_us / 1000000), created);
	time_text((int64_t)(s->expires_us / 1000000), end);
	time_text((int64_t)(s->idle_expires_us / 1000000), idle);
	buf_fmt(b,
		"%s: %s, made %s, ends %s, or %s if it is not used (ttl_s %" PRIu32
		", idle_ttl_s %" PRIu32 "); %" PRIu64 " MiB memory, %" PRIu64
		" MiB workspace, %" PRIu32 " processes; %" PRIu32
		" calls so far, %" PRIu32 " running, %" PRIu32 " waiting",
		s->id, language_of(s), created, end, idle, s->limits.ttl_s,
		s->limits.idle_ttl_s, s->limits.memory_bytes >> 20,
		s->limits.workspace_bytes >> 20, s->limits.processes, s->calls,
		s->running, s->queued);
	for (unsigned i = 0; i < pol_runtimes_count; i++)
		if (s->alive & (uint32_t)1 << i) {
			buf_fmt(b, "%s%s", sep, pol_runtimes[i].name);
			sep = ", ";
		}
	buf_byte(b, '\n');
}

/* --- list, close -------------------------------------------------------------------------------- */

static void finish(struct question *a)
{
	mem_free(a);
}

static void on_listed(void *arg, const struct sup_session_info *rows, unsigned n,
		      const struct err *e)
{
	struct question *a = arg;
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	a->at = NULL;
	if (e) {
		question_fail(a, e);
		return;
	}
	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	jw_init(&w, &json);
	jw_obj(&w);
	jw_key(&w, "sessions");
	jw_arr(&w);
	buf_fmt(&text, "%u session%s\n", n, n == 1 ? "" : "s");
	for (unsigned i = 0; i < n; i++) {
		session_json(&w, &rows[i]);
		session_text(&text, &rows[i]);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	question_answer(a, &json, &text, NULL);
}

int session_list_start(struct tool_call *call, struct err *e)
{
	struct question *a = question_new(call, sizeof(*a), finish, e);

	if (!a)
		return -1;
	a->at = sup_client_session_list(call->env.client, call->env.credential,
					on_listed, a, e);
	if (a->at)
		return 0;
	question_drop(a);
	return -1;
}

static void on_closed(void *arg, const struct sup_session_info *s, unsigned n,
		      const struct err *e)
{
	struct question *a = arg;
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	a->at = NULL;
	if (e) {
		question_fail(a, e);
		return;
	}
	must(n == 1);
	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	jw_init(&w, &json);
	jw_obj(&w);
	jw_kstr(&w, "session_id", sv_of(s->id));
	jw_kbool(&w, "closed", true);
	jw_kint(&w, "calls", s->calls);
	jw_obj_end(&w);
	buf_fmt(&text,
		"%s is closed after %" PRIu32
		" calls; its workspace and interpreters are gone\n",
		s->id, s->calls);
	question_answer(a, &json, &text, NULL);
}

int session_close_start(struct tool_call *call, struct err *e)
{
	struct sv id = {"", 0};
	struct question *a;

	if (request_session(call->args, &id, e))
		return -1;
	a = question_new(call, sizeof(*a), finish, e);
	if (!a)
		return -1;
	a->at = sup_client_session_close(call->env.client, call->env.credential, id,
					 on_closed, a, e);
	if (a->at)
		return 0;
	question_drop(a);
	return -1;
}
