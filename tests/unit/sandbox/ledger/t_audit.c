/* `audit list` and `show` tell what happened, and nothing in the record drives the terminal. */
#include "led_test.h"

static void make_record(void)
{
	struct ledger l;
	struct led_outcome x = sample_outcome("run_bb22");
	struct led_event v = {.kind = SV("refused"),
			      .principal = SV("local"),
			      .detail =
				      SV("no \x1b]0;owned\x07 such language \xc2\x9b")};
	struct ipc_msg m;

	must(ledger_start(&l, state_dir));
	must(ask_intent(&l, "run_aa11") == LED_ACK &&
	     ask_outcome(&l, "run_aa11") == LED_ACK);
	must(ask_intent(&l, "run_bb22") == LED_ACK);
	x.status = SV("timeout");
	x.exit_code = -1;
	x.signal = 9;
	x.duration_us = 10004200;
	ipc_start(&m, LED_OUTCOME, 1);
	led_put_outcome(&m, &x);
	must(ask(&l, &m, NULL) == LED_ACK);
	ipc_start(&m, LED_EVENT, 1);
	led_put_event(&m, &v);
	must(ask(&l, &m, NULL) == LED_ACK);
	must(ask_intent(&l, "run_bb33") == LED_ACK);
	must(ledger_wait(&l) == 0);
	must(ledger_start(&l, state_dir));
	must(ask_intent(&l, "run_cc44") == LED_ACK);
	kill(l.pid, SIGKILL);
	ledger_wait(&l);
}

static bool is_printable(const struct buf *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->p[i] != '\n' && (b->p[i] < 0x20 || b->p[i] >= 0x7f))
			return false;
	return true;
}

/* The line that holds text, NUL-terminated, or "". */
static const char *line_with(const struct buf *b, const char *text, char *mem,
			     size_t size)
{
	struct sv rest = buf_view(b), line;
	bool more = true;

	while (sv_cut(&rest, '\n', &more, &line)) {
		if (sv_copy(line, mem, size))
			continue;
		if (strstr(mem, text))
			return mem;
	}
	return "";
}

static unsigned count_lines(const struct buf *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->p[i] == '\n';
	return n;
}

static void list(void)
{
	struct led_query q = {.state_dir = state_dir};
	struct err e = {0};
	struct buf out;
	char mem[1024];

	ok(!printed(led_audit_list, &q, &out, &e) && count_lines(&out) == 6,
	   "a title, four runs and a refusal");
	ok(strstr(line_with(&out, "run_aa11", mem, sizeof(mem)),
		  "run_aa11  local      run_code  python    exited     12.3 ms  3"),
	   "aligned: %s", mem);
	ok(strstr(line_with(&out, "run_bb22", mem, sizeof(mem)),
		  "timeout    10.00 s  signal 9"),
	   "a signal is no exit code: %s", mem);
	ok(strstr(line_with(&out, "run_bb33", mem, sizeof(mem)),
		  "unknown          -  -"),
	   "what is not known is not made up: %s", mem);
	ok(strstr(line_with(&out, "run_cc44", mem, sizeof(mem)), "unclosed"),
	   "nor here: %s", mem);
	ok(strstr(line_with(&out, "refused", mem, sizeof(mem)),
		  "Z  -         local      -         -         refused"),
	   "a refusal: %s", mem);
	ok(is_printable(&out), "nothing but printable ASCII");
	buf_finish(&out);
	q.limit = 2;
	ok(!printed(led_audit_list, &q, &out, &e) && count_lines(&out) == 3 &&
		   has(&out, "run_bb33") && has(&out, "run_cc44"),
	   "the newest two");
	buf_finish(&out);
}

static void list_json(void)
{
	struct led_query q = {.state_dir = state_dir, .json = true};
	struct err e = {0};
	struct buf out;
	char mem[1024];

	ok(!printed(led_audit_list, &q, &out, &e) && count_lines(&out) == 5,
	   "one line a run");
	ok(strstr(line_with(&out, "run_aa11", mem, sizeof(mem)),
		  "\"run_id\":\"run_aa11\",\"principal\":\"local\",\"tool\":\"run_code\","
		  "\"language\":\"python\",\"status\":\"exited\",\"duration_us\":12345,"
		  "\"exit_code\":3,\"signal\":null}"),
	   "%s", mem);
	ok(strstr(line_with(&out, "refused", mem, sizeof(mem)),
		  "\"detail\":\"no \\u001b]0;owned\\u0007 such language \\u009b\"}"),
	   "%s", mem);
	ok(is_printable(&out), "nothing but printable ASCII");
	buf_finish(&out);
}

static void show(void)
{
	struct led_query q = {.state_dir = state_dir, .run_id = SV("run_a")};
	struct err e = {0};
	struct buf out;

	ok(!printed(led_audit_show, &q, &out, &e) && has(&out, "row 2  2") &&
		   has(&out, "Z  intent\n") && has(&out, "Z  outcome\n"),
	   "a unique prefix is enough");
	ok(has(&out, "  code_sha256       abab") &&
		   has(&out, "  exit_code         3\n") &&
		   has(&out, "  signal            none\n") &&
		   has(&out, "  hash              "),
	   "all there is to know");
	buf_finish(&out);
	q.run_id = SV("run_bb");
	ok(printed(led_audit_show, &q, &out, &e) == -1 && e.code == ERR_INVALID &&
		   strstr(e.cause, "run_bb22, run_bb33"),
	   "%s", e.cause);
	buf_finish(&out);
	err_clear(&e);
	q.run_id = SV("run_\x1b[2J");
	ok(printed(led_audit_show, &q, &out, &e) == -1 && e.code == ERR_NOT_FOUND &&
		   !strchr(e.cause, '\x1b'),
	   "%s", e.cause);
	buf_finish(&out);
	err_clear(&e);
	q.run_id = SV("");
	ok(printed(led_audit_show, &q, &out, &e) == -1 && e.code == ERR_INVALID, "%s",
	   e.cause);
	buf_finish(&out);
	err_clear(&e);
	q.run_id = SV("run_bb33");
	q.json = true;
	ok(!printed(led_audit_show, &q, &out, &e) && count_lines(&out) == 2 &&
		   has(&out, "\"body\":{\"reason\":\"keeper ended\",\"intent_seq\":7,"),
	   "in JSON one row a line");
	buf_finish(&out);
}

/* Rows written by someone else: bodies that are no JSON, text that is none. */
static void hostile_rows(void)
{
	static const char *const bodies[] = {
		"'not json'",
		"'{\"tool\":\"' || char(27) || '[31m\"}'",
		"'[1,2'",
		"'{\"tool\":{\"a\":[1,2,{\"b\":null}]},\"status\":7,\"x\":\"\\u001b[2J\"}'",
		"CAST(x'7b22746f6f6c223a22ff9b227d' AS TEXT)",
		"'[' || char(10) || '1]'",
		"'{\"duration_us\":1e300,\"exit_code\":\"7\"}'"};
	bool good = true;
	struct err e = {0};

	must(!raw_exec(state_dir, UNLOCK_SQL));
	for (unsigned i = 0; i < ARRAY_LEN(bodies); i++) {
		char sql[256];
		struct buf out;

		snprintf(sql, sizeof(sql),
			 "UPDATE audit SET body=%s, principal=char(10)||char(7),"
			 " ts_us=-9223372036854775808 WHERE run_id='run_aa11'",
			 bodies[i]);
		if (raw_exec(state_dir, sql))
			continue; /* no SQL of this SQLite's */
		for (unsigned json = 0; json < 2; json++) {
			struct led_query q = {.state_dir = state_dir,
					      .json = json,
					      .run_id = SV("run_aa11")};

			err_clear(&e);
			good = !printed(led_audit_list, &q, &out, &e) &&
			       is_printable(&out) && good;
			buf_finish(&out);
			good = !printed(led_audit_show, &q, &out, &e) &&
			       is_printable(&out) &&
			       (!json || count_lines(&out) == 2) && good;
			buf_finish(&out);
		}
	}
	ok(good, "any body is shown, none gets through to the terminal %s", e.cause);
}

int main(void)
{
	folder_new();
	make_record();
	list();
	list_json();
	show();
	hostile_rows();
	folder_end();
	return tap_done();
}
