/* client.h: the front's side, shared by client.c (runs), client_order.c (those on their way), client_auth.c (who is calling), client_input.c (open
 * stdin), client_session.c (interpreters and their pipes) and client_ask.c (questions about sessions). */
#ifndef SANDBOX_SUPERVISE_CLIENT_H
#define SANDBOX_SUPERVISE_CLIENT_H

#include "sandbox/supervise/supervise.h"
#include "sandbox/supervise/wire.h"

struct interp;

/* What is on its way to a program's stdin. */
struct run_input {
	bool open; /* asked for, and neither eof nor a dead reader yet */
	bool eof; /* to be closed when all is written */
	int first_fd; /* a sealed memfd that comes before all else; owned, -1 */
	int64_t first_at;
	struct buf waiting;
	size_t at; /* of its bytes so many are written */
	struct loop_io io; /* fd: the pipe, owned; -1 until the run has started */
};

struct sup_run {
	struct sup_client *c;
	struct sup_run *next;
	uint64_t id;
	struct sup_stream out, errs, compile;
	struct loop_io out_io, err_io, compile_io;
	uint64_t output_max; /* per stream; 0 until accepted */
	bool unsent; /* its order waits for room */
	bool accepted; /* the pipes have come */
	bool stopped; /* SUP_STOP was sent */
	enum wire_stop stop_due; /* or could not be yet: why; 0: none */
	bool has_result, has_err;
	bool recorded; /* its outcome: the keeper said so */
	bool told; /* on_done was called */
	bool has_read; /* all that its interpreter wrote: to be told */
	struct sup_result result;
	struct err err;
	struct loop_timer timer;
	bool in_session;
	char session_id[SUP_SESSION_ID_SIZE]; /* "": none */
	struct interp *interp; /* whose pipes are its while it runs there */
	uint64_t before[3]; /* of each stream: what was printed before the call */
	uint64_t rich_bytes, rich_seen; /* kept, and all */
	struct sup_changes changes;
	struct buf changed; /* its rows */
	struct run_input in;
	void (*on_done)(void *arg, const struct sup_answer *a);
	void (*on_recorded)(void *arg);
	void (*on_accepted)(void *arg, struct sv run_id);
	void (*on_output)(void *arg, uint64_t total_bytes);
	void (*on_bytes)(void *arg, int stream, struct sv bytes);
	void (*on_rich)(void *arg, struct sv line);
	void *arg;
};

/* A question of sup_client_auth. */
struct sup_auth {
	struct sup_client *c;
	struct sup_auth *next;
	uint64_t id;
	bool sent;
	sup_auth_fn *on_done; /* NULL: nobody wants the answer, but it will come */
	void *arg;
	size_t n; /* bytes; wiped when sent */
	char bytes[];
};

/* one for each interpreter that can be; the keeper starts nothing more in it before it has that */
#define CLIENT_MAX_READ (SUP_MAX_SESSIONS * 8)

#define CLIENT_LINE_BYTES (4 * SUP_MAX_RICH_BYTES) /* of all lines that are not complete */

struct sup_client {
	struct loop *loop;
	struct loop_io io;
	int sock;
	struct sup_run *runs;
	unsigned active, stops_due;
	struct client_order *orders; /* that found no room; oldest first */
	struct sup_auth *auths; /* oldest first */
	unsigned nauths, auths_in_flight;
	struct interp *interps;
	size_t line_bytes; /* of rich lines that are not complete, all interpreters' */
	uint64_t read[CLIENT_MAX_READ]; /* runs whose SUP_READ has found no room yet */
	unsigned nread;
	struct sup_ask *asks;
	unsigned nasks;
	uint64_t next_id;
	bool lost, ready;
	struct sup_info info;
	void (*on_lost)(void *arg);
	void *lost_arg;
	void (*on_ready)(void *arg);
	void *ready_arg;
	void (*on_gone)(void *arg, struct sv session_id);
	void *gone_arg;
};

/* Whenever the keeper's socket has room, client_send_auths is called. */
void client_want_room(struct sup_client *c);
/* It came to nothing: answers. r may be gone. */
void client_fail(struct sup_run *r, const struct err *e);
/* Sends the stops that had no room; true when some still have none. */
bool client_send_stops(struct sup_client *c);
#define CLIENT_COMPILE 3 /* as a stream: the compiler's; shown only at the end */
/* Has it ended like one that prints too much. */
void client_stop_flood(struct sup_run *r);
/* Bytes of stream 1, 2 or 3 of a run. */
void client_take(struct sup_run *r, int stream, struct sv bytes);
/* The id comes with the first record of a run. 0, or -1: another one than before. */
int client_take_id(struct sup_run *r, const char *id, bool *ret_new);
/* All that is in the pipe now, and little of what comes later: at most what a full pipe holds. False: it has
 * ended. */
bool client_drain(int fd, void (*take)(void *arg, struct sv bytes), void *arg);

/* --- client_order.c ----------------------------------------------------------------------------- */
/* Sends SUP_RUN, or keeps it until there is room. The descriptors that go with it, which an open stdin's does not, are
 * taken over in any case. */
int client_order(struct sup_run *r, const struct sup_run_opts *opts, struct err *e);
bool client_send_orders(struct sup_client *c); /* true: there is no room for all of them yet */
void client_drop_order(struct sup_run *r);

/* --- client_auth.c ------------------------------------------------------------------------------ */
/* Sends what has room: runs before stops, as one may be the other's, and these before questions. */
void client_send_auths(struct sup_client *c);
void client_free_auth(struct sup_auth *a);
/* 0, or -1: not an answer to anything, or ill-formed. */
int client_on_auth_record(struct sup_client *c, struct ipc_msg *m);
/* The keeper has gone: answers them all. */
void client_lose_auths(struct sup_client *c);

/* --- client_session.c --------------------------------------------------------------------------- */
/* r is on its way: what its session's interpreters print from now on may be its output. */
void client_expect(const struct sup_run *r);
/* SUP_CALLED: r gets the interpreter's pipes. SUP_GONE. 0, or -1 ill-formed or out of order. */
int client_on_called(struct sup_run *r, struct ipc_msg *m);
int client_on_gone(struct sup_client *c, struct ipc_msg *m);
/* r's result is there: takes what is in the pipes and leaves them. */
void client_leave_interp(struct sup_run *r);
void client_tell_read(struct sup_client *c, uint64_t id); /* SUP_READ */
void client_free_interps(struct sup_client *c);
bool client_send_reads(struct sup_client *c); /* true: there is no room for all of them yet */
int client_on_changes(struct sup_run *r, struct ipc_msg *m); /* SUP_CHANGES */

/* --- client_input.c ----------------------------------------------------------------------------- */
/* first_fd is taken over. */
void client_input_init(struct sup_run *r, bool open, int first_fd);
int client_input_start(struct sup_run *r, int fd);	/* takes fd over; -1: it cannot be watched */
void client_input_finish(struct sup_run *r);

/* --- client_ask.c ------------------------------------------------------------------------------- */
int client_on_ask_record(struct sup_client *c, struct ipc_msg *m);
void client_lose_asks(struct sup_client *c);
void client_free_asks(struct sup_client *c);

#endif
