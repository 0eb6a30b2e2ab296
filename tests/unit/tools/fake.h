/* fake.h: a tool under test, and in place of the client one that is played by the test: what was
 * asked stands in fake, and is answered when the test says so. For what the keeper's records are not
 * needed for; keeper.h has the real client. */
#ifndef TESTS_TOOLS_FAKE_H
#define TESTS_TOOLS_FAKE_H

#include "tests/unit/tools/keeper.h"

#define SES_ID "ses_00112233445566778899aabbccddeeff"

struct sup_client {
	int none;
};
struct sup_run {
	struct sup_run_opts o;		/* of the last run; views and fds are gone */
	char session_id[64], language[64];
	bool alive, cancelled;
	struct buf input;
	bool eof;
};
enum fake_kind { FAKE_NOTHING, FAKE_OPEN, FAKE_CLOSE, FAKE_LIST, FAKE_FILE };
struct sup_ask {
	enum fake_kind kind;		/* of the last question; FAKE_NOTHING: answered or withdrawn */
	sup_session_fn *on_sessions;
	sup_file_fn *on_file;
	void *arg;
	struct sup_session_limits limits;
	struct sup_file_opts file;	/* data_fd is the test's */
	char id[64], language[64], path[256], credential[64];
};
static struct {
	struct sup_client client;
	struct sup_run run;
	struct sup_ask question;
	unsigned asked, withdrawn, runs;
	unsigned stopped;	/* files that are not to happen */
	int held_fd;		/* of the last one; the test's to close */
	char dropped[SUP_SESSION_ID_SIZE]; /* by sup_client_session_drop */
	const struct sup_info *info;	/* the test's; NULL: the keeper has not said hello */
	bool refuse;			/* the next thing asked for */
} fake;

static inline int fake_refuses(struct err *e)
{
	if (!fake.refuse)
		return 0;
	fake.refuse = false;
	return err_set(e, ERR_LOST, "the keeper has gone");
}

static inline void fake_note(struct sv s, char dst[static 64])
{
	must(!sv_copy(s, dst, 64));
}

struct sup_run *sup_client_run(struct sup_client *c, const struct sup_run_opts *o, struct err *e)
{
	int fds[] = {o->code_fd, o->input_fd, o->stdin_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	must(c == &fake.client);
	if (fake_refuses(e))
		return NULL;
	buf_finish(&fake.run.input);
	fake.run = (struct sup_run){.o = *o, .alive = true};
	buf_init(&fake.run.input, 1 << 20);
	fake_note(o->session_id, fake.run.session_id);
	fake_note(o->language, fake.run.language);
	fake.runs++;
	return &fake.run;
}

void sup_client_cancel(struct sup_run *r)
{
	must(r->alive);
	r->cancelled = true;
}

void sup_client_abandon(struct sup_run *r)
{
	must(r->alive);
	r->alive = false;
}

int sup_client_input(struct sup_run *r, struct sv bytes, bool eof, struct err *e)
{
	must(r->alive && r->o.open_stdin && !r->eof);
	if (fake.refuse) {
		fake.refuse = false;
		return err_set(e, ERR_BUSY, "too much waits");
	}
	buf_sv(&r->input, bytes);
	r->eof = eof;
	return 0;
}

const struct sup_info *sup_client_info(const struct sup_client *c)
{
	(void)c;
	return fake.info;
}

static inline struct sup_ask *fake_ask(enum fake_kind kind, struct sv credential, struct sv id, void *arg)
{
	struct sup_ask *q = &fake.question;

	must(q->kind == FAKE_NOTHING);
	*q = (struct sup_ask){.kind = kind, .arg = arg};
	fake_note(credential, q->credential);
	fake_note(id, q->id);
	fake.asked++;
	return q;
}

struct sup_ask *sup_client_session_open(struct sup_client *c, const struct sup_session_opts *o,
					sup_session_fn *fn, void *arg, struct err *e)
{
	must(c == &fake.client);
	if (fake_refuses(e))
		return NULL;
	fake_ask(FAKE_OPEN, o->credential, SV(""), arg)->on_sessions = fn;
	fake_note(o->language, fake.question.language);
	fake.question.limits = o->limits;
	return &fake.question;
}

struct sup_ask *sup_client_session_close(struct sup_client *c, struct sv credential, struct sv id,
					 sup_session_fn *fn, void *arg, struct err *e)
{
	must(c == &fake.client);
	if (fake_refuses(e))
		return NULL;
	fake_ask(FAKE_CLOSE, credential, id, arg)->on_sessions = fn;
	return &fake.question;
}

struct sup_ask *sup_client_session_list(struct sup_client *c, struct sv credential, sup_session_fn *fn,
					void *arg, struct err *e)
{
	must(c == &fake.client);
	if (fake_refuses(e))
		return NULL;
	fake_ask(FAKE_LIST, credential, SV(""), arg)->on_sessions = fn;
	return &fake.question;
}

void sup_client_session_drop(struct sup_client *c, struct sv id)
{
	must(c == &fake.client && !sv_copy(id, fake.dropped, sizeof(fake.dropped)));
}

void sup_client_ask_cancel(struct sup_ask *q)
{
	must(q->kind != FAKE_NOTHING);
	q->kind = FAKE_NOTHING;
	fake.withdrawn++;
}

void sup_client_file_stop(struct sup_ask *q, int hold_fd)
{
	sup_client_ask_cancel(q);
	fake.stopped++;
	fake.held_fd = hold_fd;
}

struct sup_ask *sup_client_file(struct sup_client *c, const struct sup_file_opts *o, sup_file_fn *fn,
				void *arg, struct err *e)
{
	int fd = o->data_fd;

	must(c == &fake.client);
	if (fake_refuses(e)) {
		fd_close(&fd);
		return NULL;
	}
	fake_ask(FAKE_FILE, o->credential, o->session_id, arg)->on_file = fn;
	fake.question.file = *o;
	must(!sv_copy(o->path, fake.question.path, sizeof(fake.question.path)));
	return &fake.question;
}

/* --- what the test does ------------------------------------------------------------------------- */

static inline void fake_init(struct keeper *k)
{
	struct err e = {0};

	memset(&fake, 0, sizeof(fake));
	*k = (struct keeper){.sock = -1, .run_id = RUN_ID, .principal = "", .client = &fake.client};
	must(!loop_init(&k->loop, &e));
	keeper_runs(k, &(struct runs_opts){.keep_runs = 0});
}

static inline void fake_finish(struct keeper *k)
{
	runs_free(k->runs);
	buf_finish(&fake.run.input);
	loop_finish(&k->loop);
}

static inline struct sup_session_info fake_session(void)
{
	return (struct sup_session_info){
		.id = SES_ID,
		.language = "",
		.created_us = 1767323045000000,	/* 2026-01-02T03:04:05Z */
		.expires_us = 1767326645000000,
		.idle_expires_us = 1767323645000000,
		.limits = {3600, 600, (uint64_t)1 << 30, (uint64_t)256 << 20, 128},
		.calls = 3,
		.running = 1,
		.alive = 1};
}

/* Answers the question under way. */
static inline void fake_sessions(const struct sup_session_info *rows, unsigned n)
{
	must(fake.question.kind != FAKE_NOTHING && fake.question.on_sessions);
	fake.question.kind = FAKE_NOTHING;
	fake.question.on_sessions(fake.question.arg, rows, n, NULL);
}

static inline void fake_fails(enum err_code code, const char *cause)
{
	struct err e = {0};
	struct sup_ask q = fake.question;

	must(q.kind != FAKE_NOTHING);
	fake.question.kind = FAKE_NOTHING;
	err_set(&e, code, "%s", cause);
	if (q.on_file)
		q.on_file(q.arg, NULL, &e);
	else
		q.on_sessions(q.arg, NULL, 0, &e);
}

static inline void fake_file(const struct sup_file_done *d)
{
	must(fake.question.kind == FAKE_FILE);
	fake.question.kind = FAKE_NOTHING;
	fake.question.on_file(fake.question.arg, d, NULL);
}

static inline void fake_accept(struct keeper *k)
{
	if (fake.run.o.on_accepted)
		fake.run.o.on_accepted(fake.run.o.arg, sv_of(k->run_id));
}

static inline void fake_rich(const char *line)
{
	fake.run.o.on_rich(fake.run.o.arg, sv_of(line));
}

/* The keeper's verdict is there; it is not in the record yet. */
static inline void fake_done_as(struct keeper *k, struct sup_result r)
{
	struct sup_stream out = {.total = 0}, errs = {.total = 0};
	struct sup_answer a = {.result = &r, .out = &out, .errs = &errs};

	must(fake.run.alive);
	snprintf(r.run_id, sizeof(r.run_id), "%s", k->run_id);
	r.limits = pol_default()->limits;
	fake.run.o.on_done(fake.run.o.arg, &a);
}

static inline void fake_recorded(void)
{
	fake.run.alive = false;
	if (fake.run.o.on_recorded)
		fake.run.o.on_recorded(fake.run.o.arg);
}

static inline void fake_end_as(struct keeper *k, struct sup_result r)
{
	fake_done_as(k, r);
	fake_recorded();
}

static inline void fake_end(struct keeper *k)
{
	fake_end_as(k, (struct sup_result){.status = SUP_EXITED,
					   .has_exit_code = true,
					   .in_session = fake.run.session_id[0] != '\0'});
}

/* The call is refused at once, and nothing is run for it. */
static inline bool refuses(struct keeper *k, const char *tool, const char *args, enum err_code code,
			   struct err *ret)
{
	const unsigned before = fake.runs;
	struct called c;
	const bool yes = call_start(&c, k, tool, args) == -1 && c.err.code == code && !c.ended &&
			 fake.runs == before;

	*ret = c.err;
	called_finish(&c);
	return yes;
}

static inline bool says(const struct buf *b, const char *part)
{
	return strstr(buf_cstr(b), part) != NULL;
}

#endif
