/* The front's questions about sessions and their files. The keeper is a socket held by the test. */
#include "tests/unit/sandbox/supervise/front.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SES "ses_0123456789abcdef0123456789abcdef"

static unsigned heard, rows_n;
static enum err_code why;
static int file_fd;

static void on_rows(void *arg, const struct sup_session_info *rows, unsigned n,
		    const struct err *e)
{
	(void)arg;
	must(!rows == !!e);
	heard++;
	rows_n = n;
	why = e ? e->code : ERR_NONE;
}

static void on_file(void *arg, const struct sup_file_done *d, const struct err *e)
{
	(void)arg;
	must(!d == !!e);
	heard++;
	file_fd = d ? d->fd : -1;
	why = e ? e->code : ERR_NONE;
}

static uint64_t asked(uint32_t type)
{
	struct ipc_msg m;
	uint64_t id;

	must(ipc_recv(keeper, &m, NULL) == 1 && m.type == type);
	id = m.id;
	ipc_finish(&m);
	return id;
}

static void answer_rows(uint64_t id, unsigned n, bool more)
{
	static struct wire_sessions w;
	struct ipc_msg m;

	w.n = n;
	w.more = more;
	for (unsigned i = 0; i < n; i++)
		snprintf(w.rows[i].id, sizeof(w.rows[i].id), "ses_%u", i);
	ipc_start(&m, SUP_SESSIONS, id);
	wire_put_sessions(&m, &w);
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static void test_questions(void)
{
	const struct sup_file_opts o = {.op = SUP_FILE_READ,
					.session_id = SV(SES),
					.path = SV("x"),
					.data_fd = -1};
	AUTO_FD any = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct sup_ask *q;
	struct ipc_msg m;
	uint64_t id;

	front_up();
	heard = 0;
	must(sup_client_session_list(client, SV(""), on_rows, NULL, NULL));
	id = asked(SUP_ASK_LIST);
	answer_rows(id, WIRE_SESSIONS, true);
	ok(!heard, "a list of several records");
	answer_rows(id, 3, false);
	ok(heard == 1 && rows_n == WIRE_SESSIONS + 3 && !why, "is told as one");
	must(sup_client_session_list(client, SV(""), on_rows, NULL, NULL));
	answer_rows(asked(SUP_ASK_LIST), 0, false);
	ok(heard == 2 && !rows_n && !why, "it may be empty");
	q = sup_client_session_close(client, SV(""), SV(SES), on_rows, NULL, NULL);
	sup_client_ask_cancel(q);
	answer_rows(asked(SUP_ASK_CLOSE), 1, false);
	ok(heard == 2 && !lost, "an answer nobody wants is dropped");
	must(sup_client_file(client, &o, on_file, NULL, NULL));
	ipc_start(&m, SUP_FILE_DONE, asked(SUP_ASK_FILE));
	wire_put_file_done(&m, &(struct sup_file_done){.fd = any});
	must(!ipc_send(keeper, &m, NULL));
	turn();
	ok(heard == 3 && file_fd >= 0, "a file comes with its descriptor");
	fd_close(&file_fd);
	must(sup_client_file(client, &o, on_file, NULL, NULL));
	must(sup_client_session_list(client, SV(""), on_rows, NULL, NULL));
	fd_close(&keeper);
	turn();
	ok(heard == 5 && why == ERR_LOST && lost, "without a keeper all are answered");
	ok(!sup_client_session_list(client, SV(""), on_rows, NULL, NULL),
	   "and none is asked");
	front_down();
}

static void test_bounds(void)
{
	const unsigned all = 1024 / WIRE_SESSIONS + 1;
	uint64_t id;

	front_up();
	heard = 0;
	must(sup_client_session_list(client, SV(""), on_rows, NULL, NULL));
	id = asked(SUP_ASK_LIST);
	for (unsigned i = 0; i < all && !lost; i++)
		answer_rows(id, WIRE_SESSIONS, true);
	ok(lost && heard == 1 && why == ERR_LOST, "a list without end is no keeper's");
	front_down();
}

static void test_wrong_answer(void)
{
	const struct sup_file_opts o = {.op = SUP_FILE_READ,
					.session_id = SV(SES),
					.path = SV("x"),
					.data_fd = -1};

	front_up();
	heard = 0;
	must(sup_client_file(client, &o, on_file, NULL, NULL));
	answer_rows(asked(SUP_ASK_FILE), 0, false);
	ok(lost && heard == 1 && why == ERR_LOST, "nor are rows for a file");
	front_down();
}

static void answer_file(uint64_t id, int fd)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_FILE_DONE, id);
	wire_put_file_done(&m, &(struct sup_file_done){.fd = fd});
	must(!ipc_send(keeper, &m, NULL));
	turn();
}

static void test_given_up(void)
{
	struct sup_file_opts o = {.op = SUP_FILE_READ,
				  .session_id = SV(SES),
				  .path = SV("x"),
				  .data_fd = -1};
	AUTO_FD any = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct sup_ask *q;
	int p[2], none;
	uint64_t id;
	char byte;

	front_up();
	heard = 0;
	q = sup_client_file(client, &o, on_file, NULL, NULL);
	id = asked(SUP_ASK_FILE);
	sup_client_ask_cancel(q);
	none = dup(any);
	close(none);
	answer_file(id, any);
	ok(!heard && dup(any) == none, "a file nobody wants any more is closed");
	close(none);
	must(!fd_pipe(p, NULL) && !fd_set_nonblock(p[0]));
	o.op = SUP_FILE_WRITE;
	o.data_fd = dup(p[0]);
	q = sup_client_file(client, &o, on_file, NULL, NULL);
	id = asked(SUP_ASK_FILE);
	sup_client_file_stop(q, p[1]);
	ok(asked(SUP_ASK_STOP) == id && read(p[0], &byte, 1) < 0 && errno == EAGAIN,
	   "what is given up does not end before the sandbox has given it up");
	answer_file(id, -1);
	ok(!heard && !lost && !read(p[0], &byte, 1), "then it does");
	fd_close(&p[0]);
	front_down();
}

int main(void)
{
	test_questions();
	test_bounds();
	test_wrong_answer();
	test_given_up();
	return tap_done();
}
