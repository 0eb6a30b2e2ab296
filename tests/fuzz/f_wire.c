/* f_wire.c: the records front and keeper send each other, decoded from any bytes.
 *
 * What must hold: a decoder that says yes has consumed the record exactly, and what it gives has
 * an ending and lies in range; encoding it again gives the same record. */
#include "sandbox/base/mem.h"
#include "sandbox/supervise/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ipc_msg m, again;

static void decode_result(void)
{
	struct sup_result r;

	if (wire_get_result(&m, &r))
		return;
	must(strlen(r.run_id) < sizeof(r.run_id) &&
	     (unsigned)r.status < SUP_STATUS_COUNT &&
	     (unsigned)r.compile.status < SUP_STATUS_COUNT);
	must(strcmp(sup_status_name(r.status), ""));
}

static void decode_info(void)
{
	static struct sup_info i;

	if (wire_get_info(&m, &i))
		return;
	ipc_start(&again, m.type, m.id);
	wire_put_info(&again, &i);
	must(!again.bad && again.n == m.n);
}

static void decode_err(void)
{
	struct err e = {0};

	if (wire_get_err(&m, &e))
		return;
	must(e.code > ERR_NONE && e.code < ERR_CODE_COUNT);
}

static void decode_run(void)
{
	struct wire_run r;

	if (wire_get_run(&m, &r))
		return;
	must(r.code_fd == -1 && r.input_fd == -1 && r.stdin_fd == -1);
	ipc_start(&again, m.type, m.id);
	wire_put_run(&again, &r);
	must(!again.bad && again.n == m.n);
}

/* Nobody is let in without a name. */
static void decode_identity(void)
{
	struct sup_identity i;

	if (wire_get_identity(&m, &i))
		return;
	must(i.principal[0] && memchr(i.principal, '\0', sizeof(i.principal)));
	ipc_start(&again, m.type, m.id);
	wire_put_identity(&again, &i);
	must(!again.bad && again.n == m.n && !memcmp(again.data, m.data, m.n));
}

static void decode_check(void)
{
	struct sup_check c;

	if (sup_get_check(&m, &c))
		return;
	must((c.code == ERR_NONE) == !!c.id.principal[0] && c.code < ERR_CODE_COUNT);
	ipc_start(&again, m.type, m.id);
	sup_put_check(&again, &c);
	must(!again.bad && again.n == m.n && !memcmp(again.data, m.data, m.n));
}

static void same_again(void)
{
	must(!again.bad && again.n == m.n);
}

/* Without descriptors only a call of an interpreter that runs can begin. */
static void decode_start(void)
{
	struct wire_start s;

	if (wire_get_start(&m, &s))
		return;
	must(m.type == SUP_CALLED && !s.fresh && s.fds[0] == -1 && s.stdin_fd == -1);
	must(s.run_id[0] && memchr(s.session_id, '\0', sizeof(s.session_id)));
	ipc_start(&again, m.type, m.id);
	wire_put_start(&again, &s);
	same_again();
}

static void decode_ask(void)
{
	struct wire_ask a;

	if (wire_get_ask(&m, &a))
		return;
	must(a.data_fd == -1 && a.credential.n <= SUP_MAX_CREDENTIAL &&
	     a.session_id.n < SUP_SESSION_ID_SIZE &&
	     (unsigned)a.op < SUP_FILE_OP_COUNT &&
	     (m.type != SUP_ASK_FILE || a.op != SUP_FILE_WRITE));
	ipc_start(&again, m.type, m.id);
	wire_put_ask(&again, &a);
	same_again();
}

static void decode_sessions(void)
{
	static struct wire_sessions s;

	if (wire_get_sessions(&m, &s))
		return;
	must(s.n <= WIRE_SESSIONS);
	for (unsigned i = 0; i < s.n; i++)
		must(s.rows[i].id[0] &&
		     memchr(s.rows[i].language, '\0', sizeof(s.rows[i].language)));
	ipc_start(&again, m.type, m.id);
	wire_put_sessions(&again, &s);
	same_again();
}

static void decode_file_done(void)
{
	struct sup_file_done d;

	if (wire_get_file_done(&m, &d))
		return;
	must(d.fd == -1);
	ipc_start(&again, m.type, m.id);
	wire_put_file_done(&again, &d);
	same_again();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const decoders[])(void) = {
		decode_result,	 decode_info,	  decode_err,	decode_run,
		decode_identity, decode_check,	  decode_start, decode_ask,
		decode_sessions, decode_file_done};

	if (size < 1 ||
	    ipc_parse((struct sv){(const char *)data + 1, size - 1}, &m, NULL) != 1)
		return 0;
	decoders[data[0] % ARRAY_LEN(decoders)]();
	ipc_finish(&m);
	return 0;
}
