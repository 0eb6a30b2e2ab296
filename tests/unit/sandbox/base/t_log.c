/* t_log.c: one line per event, whole, escaped, on stderr and nowhere else. */
#include "sandbox/base/log.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <unistd.h>

static struct buf heard;

/* Runs with stderr and stdout going into pipes; keeps what came on stderr in `heard`. Returns the
 * number of bytes that came on stdout. */
static size_t listen_to(void (*act)(void))
{
	int err_pipe[2], out_pipe[2], err_kept = dup(2), out_kept = dup(1);
	struct buf out;
	size_t n;

	fflush(stdout);
	must(!fd_pipe(err_pipe, NULL) && !fd_pipe(out_pipe, NULL));
	must(dup2(err_pipe[1], 2) == 2 && dup2(out_pipe[1], 1) == 1);
	fd_close(&err_pipe[1]), fd_close(&out_pipe[1]);
	act();
	must(dup2(err_kept, 2) == 2 && dup2(out_kept, 1) == 1);
	fd_close(&err_kept), fd_close(&out_kept);
	buf_init(&heard, 65536);
	buf_init(&out, 65536);
	must(!fd_read_all(err_pipe[0], &heard, NULL) &&
	     !fd_read_all(out_pipe[0], &out, NULL));
	fd_close(&err_pipe[0]), fd_close(&out_pipe[0]);
	n = out.n;
	buf_finish(&out);
	return n;
}

static void log_two_levels(void)
{
	log_open("tester", LOG_INFO);
	log_msg(LOG_INFO, "event=%s n=%d", "x", 7);
	log_msg(LOG_DEBUG, "event=unheard");
}

static void t_line(void)
{
	char want[100];

	ok(listen_to(log_two_levels) == 0, "nothing comes on stdout");
	snprintf(want, sizeof(want), "info tester pid=%d event=x n=7\n", (int)getpid());
	ok(!strcmp(buf_cstr(&heard), want),
	   "a line: level, role, pid, event; the debug one not");
	ok(log_level() == LOG_INFO, "the level can be asked");
	buf_finish(&heard);
}

static void log_long(void)
{
	log_msg(LOG_ERROR, "event=long x=%04000d", 7);
	log_msg(LOG_ERROR, "event=next");
}

static void t_long(void)
{
	const char *end;

	listen_to(log_long);
	end = strchr(buf_cstr(&heard), '\n');
	ok(end && end - heard.p < 1024 && end - heard.p > 1000,
	   "a long line is cut at 1,024 bytes");
	ok(end && strstr(end, "event=next\n"),
	   "and still ends, so that the next one begins");
	buf_finish(&heard);
}

static void log_hostile(void)
{
	struct err e = {.code = ERR_NONE};

	err_set(&e, ERR_DENIED, "a\"b\nerror root event=fake \x1b[2J\xc3\xa9\\");
	log_err("refused", &e);
	err_fix(&e, "say \"please\"\n");
	log_err("asked", &e);
}

static void t_escaped(void)
{
	listen_to(log_hostile);
	ok(strstr(buf_cstr(&heard),
		  "event=refused code=denied cause=\"a\\x22b\\x0aerror root "
		  "event=fake \\x1b[2J\\xc3\\xa9\\x5c\"\n"),
	   "what came from outside cannot forge a line or drive a terminal");
	ok(strstr(buf_cstr(&heard),
		  "\\x5c\" remediation=\"say \\x22please\\x22\\x0a\"\n"),
	   "what to do about it stands in the same line");
	ok(strchr(strchr(buf_cstr(&heard), '\n') + 1, '\n') == heard.p + heard.n - 1,
	   "each stays one line");
	buf_finish(&heard);
}

static void t_esc_room(void)
{
	char s[9];

	memset(s, 'z', sizeof(s));
	ok(!strcmp(log_esc(SV("abcdefghijklm"), s, sizeof(s)), "abcd"),
	   "cut to its room");
	ok(!strcmp(log_esc(SV("\n\n\n\n\n"), s, sizeof(s)), "\\x0a"),
	   "never in the middle of an escape");
	ok(!strcmp(log_esc(SV("\n"), s, 1), ""), "in one byte nothing fits");
}

static void t_levels(void)
{
	enum log_level l = LOG_ERROR;
	bool same = true;

	for (int i = 0; i < LOG_LEVEL_COUNT; i++)
		same = same &&
		       !log_level_of(sv_of(log_level_name((enum log_level)i)), &l) &&
		       l == (enum log_level)i;
	ok(same, "every level's name leads back to it");
	ok(log_level_of(SV("loud"), &l) == -1 && log_level_of(SV(""), &l) == -1 &&
		   log_level_of(SV("INFO"), &l) == -1 && l == LOG_DEBUG,
	   "other names lead nowhere");
	ok(!strcmp(log_level_name(LOG_LEVEL_COUNT), "?"),
	   "a level from nowhere has no name");
}

int main(void)
{
	t_line();
	t_long();
	t_escaped();
	t_esc_room();
	t_levels();
	return tap_done();
}
