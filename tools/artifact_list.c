/* artifact_list.c: the tool artifact_list: what lies in a session's workspace, a page at a time.
 *
 * Theory of operation. The rows come in a sealed memfd and are read through a window, slice by slice
 * from a timer: a workspace can have a hundred thousand files with names of thousands of bytes. Names are
 * the programs' own: quoted, and replaced where they are not UTF-8. */
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "tools/artifact.h"

#include <inttypes.h>

#define WINDOW_BYTES ((size_t)1 << 20)
#define ROW_BYTES ((size_t)16 << 10) /* no row is longer */
#define PAGE_BYTES ((size_t)3 << 20) /* of rows as JSON: then the page is full */
#define ANSWER_BYTES ((size_t)8 << 20)

static const char *type_name(enum guest_node node)
{
	switch (node) {
	case GUEST_NODE_FILE:
		return "file";
	case GUEST_NODE_DIR:
		return "folder";
	case GUEST_NODE_LINK:
		return "link";
	default:
		return "other";
	}
}

static void put_row(struct artifact *a, const struct guest_row *r)
{
	const char *type = type_name(r->node);
	char time[TIME_TEXT_SIZE];
	struct jw w;

	time_text(r->mtime_ns / 1000000000, time);
	if (a->shown++)
		buf_byte(&a->rows, ',');
	jw_init(&w, &a->rows);
	jw_obj(&w);
	jw_kstr(&w, "path", r->path);
	if (json_bad_utf8(r->path))
		jw_kbool(&w, "path_not_utf8", true);
	jw_kstr(&w, "type", sv_of(type));
	if (r->node == GUEST_NODE_FILE)
		jw_kint(&w, "size", (int64_t)r->size);
	jw_kstr(&w, "modified_at", sv_of(time));
	jw_obj_end(&w);
	json_quote(&a->lines, r->path);
	if (r->node == GUEST_NODE_FILE)
		buf_fmt(&a->lines, " %" PRIu64 " bytes, %s\n", r->size, time);
	else
		buf_fmt(&a->lines, " %s, %s\n", type, time);
}

static void answer(struct artifact *a)
{
	AUTO_BUF json = {0};
	AUTO_BUF text = {0};
	struct jw w;

	buf_init(&json, ANSWER_BYTES);
	buf_init(&text, ANSWER_BYTES);
	artifact_json(a, &w, &json);
	jw_key(&w, "entries");
	jw_arr(&w);
	if (a->shown)
		jw_raw(&w, buf_view(&a->rows));
	jw_arr_end(&w);
	jw_kint(&w, "offset", a->offset);
	jw_kbool(&w, "more", a->more);
	if (a->more)
		jw_kint(&w, "next_offset", a->offset + a->shown);
	if (a->incomplete)
		jw_kbool(&w, "incomplete", true);
	jw_obj_end(&w);
	buf_fmt(&text, "%u entries from number %" PRId64 " on%s; names are untrusted\n",
		a->shown, a->offset, a->more ? ", and more after them" : "");
	if (a->incomplete)
		buf_str(&text,
			"not all could be gone through: list folders one by one, with path\n");
	buf_sv(&text, buf_view(&a->lines));
	json.failed |= a->rows.failed;
	text.failed |= a->lines.failed;
	question_answer(&a->question, &json, &text, NULL);
}

static bool is_full(const struct artifact *a)
{
	return a->shown == a->length || a->rows.n >= PAGE_BYTES || a->rows.failed;
}

/* Takes what is whole in the window. 1: the page is full, 0: go on, -1: ill-formed. */
static int take_rows(struct artifact *a)
{
	struct sv rest = buf_view(&a->window);
	struct guest_row r;
	int got = 0;

	while (rest.n && !is_full(a)) {
		struct sv before = rest;

		got = guest_next_row(&rest, &r);
		if (got <= 0) {
			rest = before;
			break;
		}
		if (a->row++ >= (uint64_t)a->offset)
			put_row(a, &r);
	}
	/* what is ill-formed may be a row that is not all there */
	if (got < 0 && (a->at == a->size || rest.n > ROW_BYTES))
		return -1;
	if (rest.n && is_full(a))
		a->more = true;
	buf_consume(&a->window, a->window.n - rest.n);
	return is_full(a);
}

/* One window more; false: nothing more came although there should be. */
static bool fill(struct artifact *a)
{
	const uint64_t left = a->size - a->at;
	const size_t n = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
	char *at = buf_reserve(&a->window, n);
	size_t got;

	if (!at)
		return false;
	got = fd_read_at(a->fd, a->at, at, n);
	buf_commit(&a->window, got);
	a->at += got;
	return got == n;
}

static void on_slice_due(struct loop_timer *t)
{
	struct artifact *a = t->arg;
	struct err e = {0};
	int full = fill(a) ? take_rows(a) : -1;

	if (full < 0) {
		err_set(&e, ERR_LOST, "the list of files cannot be read");
		err_fix(&e, "try again; should it stay so, close the session");
		question_fail(&a->question, &e);
		return;
	}
	a->more = a->more || (full && a->at < a->size);
	/* a page that is not full is the last: the next would be empty for ever */
	if (a->incomplete && (a->more || a->shown == a->length)) {
		a->more = true;
		a->incomplete = false;
	}
	if (full || a->at == a->size)
		answer(a);
	else
		loop_timer_set(a->question.call->env.loop, &a->slice, 0);
}

static void on_listed(void *arg, const struct sup_file_done *d, const struct err *e)
{
	struct artifact *a = arg;

	a->question.at = NULL;
	if (e) {
		artifact_fail(a, e);
		return;
	}
	a->fd = d->fd;
	a->size = d->size;
	a->incomplete = d->more;
	buf_init(&a->window, WINDOW_BYTES + 2 * ROW_BYTES);
	buf_init(&a->rows, ANSWER_BYTES - ANSWER_BYTES / 4);
	buf_init(&a->lines, ANSWER_BYTES - ANSWER_BYTES / 4);
	on_slice_due(&a->slice);
}

int artifact_list_start(struct tool_call *call, struct err *e)
{
	struct artifact *a = artifact_new(call, false, e);
	struct sup_file_opts o = {.op = SUP_FILE_LIST, .data_fd = -1};
	int bad;

	if (!a)
		return -1;
	a->length = ARTIFACT_ROWS;
	a->slice = (struct loop_timer){.on_due = on_slice_due, .arg = a};
	bad = request_number(call->args, "offset", 0, &a->offset, e) ||
	      request_number(call->args, "limit", 1, &a->length, e);
	if (!bad && a->offset >= GUEST_MAX_ROWS) {
		bad = err_set(e, ERR_INVALID, "offset is not below %d", GUEST_MAX_ROWS);
		err_fix(e, "list the folders below one by one, with path");
	}
	if (bad) {
		question_drop(&a->question);
		return -1;
	}
	if (a->length > ARTIFACT_ROWS)
		a->length = ARTIFACT_ROWS;
	o.max_rows = (uint32_t)(a->offset + a->length < GUEST_MAX_ROWS
					? a->offset + a->length
					: GUEST_MAX_ROWS);
	return artifact_ask(a, &o, on_listed, e);
}
