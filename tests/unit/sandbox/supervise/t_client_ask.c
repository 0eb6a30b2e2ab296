/* The front's questions about sessions and their files. The keeper is a socket held by the test. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/wire.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <unistd.h>

#define SES "ses_0123456789abcdef0123456789abcdef"

static struct loop loop;
static struct sup_client *client;
static int keeper; /* the test's end */
static bool lost;

static void on_lost(void *arg)
{
	(void)arg;
	lost = true;
}

static void on_idle(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void turn(void)
{
	for (int i = 0; i < 8; i++) {
		struct loop_timer t = {.on_due = on_idle, .arg = &loop};

		loop.stopped = false;
		loop_timer_set(&loop, &t, 0);
		must(!loop_run(&loop, NULL));
	}
}

static void up(void)
{
	int p[2];

	must(!fd_socketpair(p, NULL) && !fd_set_nonblock(p[0]) &&
	     !fd_set_nonblock(p[1]));
	must(!loop_init(&loop, NULL));
	keeper = p[1];
	client = sup_client_new(&loop, p[0], on_lost, NULL, NULL);
	must(client);
}

static void down(void)
{
	sup_client_free(client);
	loop_finish(&loop);
	fd_close(&keeper);
}

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

	up();
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
	down();
}

int main(void)
{
	test_questions();
	return tap_done();
}
